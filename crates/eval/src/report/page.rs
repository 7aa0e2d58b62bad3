//! The page.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, Render, html};

use super::data::{
    Class, Condition, Counts, Estimate, Exhibit, Grid, GridMetric, Leak, Localisation, MetricRow, Preview,
    ReportData, Slice, SliceRow, System,
};
use super::number::{self, MISSING};
use super::plot::{self, Curve, Forest};
use candor::visible;

const STYLE: &str = include_str!("style.css");
pub(super) const SCRIPT: &str = include_str!("sort.js");
/// Nothing is loaded, and no script runs but ours, which is named by its digest.
pub(super) const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; \
     script-src 'sha256-6XRh0hGVC6GE7ASKBxhSj/ckeK1ThNvg3HYjVM1/l/8='; base-uri 'none'; form-action 'none'";

/// Metrics of the first condition that are shown large.
const TILES: usize = 4;
/// Characters of a text that are shown.
const EXCERPT: usize = 600;
/// Characters of a name that are shown.
const NAME: usize = 160;
/// Steps of colour in the grid.
const STEPS: f64 = 9.0;

/// The evaluation as one HTML page.
///
/// ```
/// use candor_eval::report::{ReportData, html};
///
/// let page = html(&ReportData { title: "<b>".into(), ..ReportData::default() });
/// assert!(page.contains("<h1>&lt;b&gt;</h1>"));
/// ```
pub fn html(data: &ReportData) -> String {
    page(data).into_string()
}

/// A name from a file, held apart from the direction of the text around it.
struct Name<'a>(&'a str);

impl Render for Name<'_> {
    fn render(&self) -> Markup {
        html! { bdi { (visible::head(&visible::line(self.0), NAME)) } }
    }
}

/// A sentence from outside.
struct Prose<'a>(&'a str);

impl Render for Prose<'_> {
    fn render(&self) -> Markup {
        html! { (visible::line(self.0)) }
    }
}

/// A number with its interval.
struct Figure(Estimate);

impl Render for Figure {
    fn render(&self) -> Markup {
        html! {
            (fixed(self.0.value))
            @if self.0.interval().is_some() { " " span class="ci" { (interval(self.0)) } }
        }
    }
}

/// A number with a true minus.
fn fixed(value: f64) -> String {
    number::fixed(value).replace('-', "−")
}

/// As [`fixed`], with a sign in front of every number.
fn signed(value: f64) -> String {
    number::signed(value).replace('-', "−")
}

/// The interval, or a word if there is none.
fn interval(e: Estimate) -> String {
    number::interval(e).map_or_else(|| MISSING.to_owned(), |i| i.replace('-', "−"))
}

/// A part of the page, if there is something to say.
struct Part {
    id: &'static str,
    heading: &'static str,
    body: Markup,
}

fn page(data: &ReportData) -> Markup {
    let parts: Vec<_> = [
        summary(data),
        conditions(&data.conditions),
        systems(&data.systems),
        slices(&data.slices),
        data.robustness.as_ref().and_then(robustness),
        data.localisation.as_ref().map(localisation),
        data.leak.as_ref().map(leak),
        exhibits(data),
        Some(glossary()),
    ]
    .into_iter()
    .flatten()
    .collect();
    html! {
        (DOCTYPE)
        html lang="en-GB" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (Prose(&data.title)) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                a class="skip" href="#content" { "Skip to the results" }
                header {
                    h1 { (Prose(&data.title)) }
                    @if !data.subtitle.is_empty() { p class="lead" { (Prose(&data.subtitle)) } }
                    (facts(data))
                    @if !data.warnings.is_empty() {
                        div class="warnings" role="note" {
                            h2 { "Read this first" }
                            ul { @for warning in &data.warnings { li { (Prose(warning)) } } }
                        }
                    }
                }
                nav aria-label="Contents" {
                    ul { @for part in &parts { li { a href=(format!("#{}", part.id)) { (part.heading) } } } }
                }
                main id="content" {
                    @for part in &parts {
                        section id=(part.id) aria-labelledby=(format!("{}-h", part.id)) {
                            h2 id=(format!("{}-h", part.id)) { (part.heading) }
                            (part.body)
                        }
                    }
                }
                footer {
                    "Made by Candor " (Prose(&data.version))
                    ". Every interval is a 95\u{a0}% interval. A score is evidence, not proof: a low one does not show \
                     that an item is genuine."
                }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    }
}

/// What was judged, by what.
fn facts(data: &ReportData) -> Markup {
    let set = &data.data;
    html! {
        dl class="facts" {
            dt { "Data" }
            dd {
                (Name(&set.name)) ": " (number::both(set.counts)) ", " (number::items(set.groups, "group"))
                @if !set.digest.is_empty() { br; code { (Name(&set.digest)) } }
            }
            @if !data.media.is_empty() {
                dt { "Media" }
                dd { (Prose(&data.media)) }
            }
            @for model in &data.models {
                dt { "Model" }
                dd { (Name(&model.id)) br; code { (Name(&model.sha256)) } }
            }
            @if !data.command.is_empty() {
                dt { "Command" }
                dd { code { (Name(&data.command)) } }
            }
        }
    }
}

fn summary(data: &ReportData) -> Option<Part> {
    let first = data.conditions.first()?;
    let worst: Vec<_> =
        data.slices.iter().flat_map(|s| s.rows.iter().filter(|r| r.worst).map(move |r| (s, r))).collect();
    let body = html! {
        p {
            "The main figures for the condition " strong { (Name(&first.name)) } ", over "
            (number::both(first.counts)) " items. The brackets hold the 95\u{a0}% interval: the range of values that \
             the data leave plausible."
        }
        dl class="tiles" {
            @for metric in first.metrics.iter().take(TILES) {
                div {
                    dt { (Prose(&metric.name)) }
                    dd {
                        span class="big" { (fixed(metric.estimate.value)) }
                        span class="ci" { (interval(metric.estimate)) }
                    }
                }
            }
        }
        @if !worst.is_empty() {
            p { "Averages hide weak spots. The worst groups:" }
            ul {
                @for (slice, row) in worst {
                    li {
                        (Prose(&slice.by)) " " strong { (Name(&row.name)) } ": " (Prose(&slice.metric)) " "
                        (Figure(row.estimate))
                        @if slice.overall.is_finite() { ", against " (fixed(slice.overall)) " overall" }
                    }
                }
            }
        }
    };
    Some(Part { id: "summary", heading: "Summary", body })
}

fn conditions(list: &[Condition]) -> Option<Part> {
    let (first, rest) = list.split_first()?;
    let body = html! {
        h3 { "Condition: " (Name(&first.name)) }
        (condition(first, 0))
        @if !rest.is_empty() {
            h3 { "Further conditions" }
            @for (i, c) in rest.iter().enumerate() {
                details {
                    summary {
                        strong { (Name(&c.name)) }
                        @if let Some(metric) = c.metrics.first() {
                            " · " (Prose(&metric.name)) " " (Figure(metric.estimate))
                        }
                    }
                    (condition(c, i + 1))
                }
            }
        }
    };
    Some(Part { id: "conditions", heading: "Accuracy and calibration", body })
}

fn condition(c: &Condition, index: usize) -> Markup {
    let curve = [Curve { look: 0, roc: &c.roc }];
    let id = |name: &str| format!("c{index}-{name}");
    let title = |what: &str| format!("{what}, condition {}", visible::line(&c.name));
    let marked = c.thresholds.iter().any(|t| t.fpr.value.is_finite() && t.tpr.value.is_finite());
    html! {
        div class="plots" {
            @if !c.metrics.is_empty() { div { (metrics(&c.metrics, c.counts, &title("Metrics"))) } }
            @if !c.histogram.edges.is_empty() {
                figure {
                    h4 { "Scores" }
                    (plot::histogram(&id("hist"), &title("Histogram of scores"), &c.histogram, &c.thresholds))
                    ul class="legend" {
                        li { (plot::class_swatch(false)) "genuine" }
                        li { (plot::class_swatch(true)) "machine-made" }
                    }
                    figcaption {
                        p {
                            "The less the two shapes overlap, the better the detector tells them apart."
                            @for t in c.thresholds.iter().filter(|t| t.score.is_finite()) {
                                " Dashed line: " (Prose(&t.name)) " at " (fixed(t.score)) "."
                            }
                        }
                    }
                }
            }
            @if !c.roc.is_empty() {
                figure {
                    h4 { "ROC curve" }
                    (plot::roc(&id("roc"), &title("ROC curve"), &curve, &c.thresholds))
                    figcaption {
                        p {
                            "How many machine-made items are found (up) for how many genuine items are flagged by \
                             mistake (right). A curve near the top left corner is good; the dotted line is guessing."
                        }
                    }
                }
                figure {
                    h4 { "ROC curve, few false alarms" }
                    (plot::log_roc(&id("log"), &title("ROC curve, logarithmic"), &curve, &c.thresholds))
                    figcaption {
                        p {
                            "The same curve with its left end spread out, where a detector has to work in practice."
                            @if marked {
                                @for t in &c.thresholds {
                                    " Circle: " (Prose(&t.name)) ", flags " (Figure(t.fpr)) " of genuine and "
                                    (Figure(t.tpr)) " of machine-made items."
                                }
                            }
                        }
                    }
                }
                figure {
                    h4 { "DET curve" }
                    (plot::det(&id("det"), &title("DET curve"), &curve, &c.thresholds))
                    figcaption {
                        p {
                            "Both kinds of error on normal-quantile axes. Lower left is better; where the curve meets \
                             the dotted line, both errors are equal (EER)."
                        }
                    }
                }
            }
            @if !c.reliability.is_empty() {
                figure {
                    h4 { "Reliability" }
                    (plot::reliability(&id("rel"), &title("Reliability diagram"), &c.reliability))
                    figcaption {
                        p {
                            "Whether stated probabilities come true. Dots above the dotted line: more items are \
                             machine-made than stated; below: fewer. Larger dots hold more items."
                        }
                    }
                }
            }
        }
    }
}

fn metrics(list: &[MetricRow], counts: Counts, label: &str) -> Markup {
    html! {
        h4 { "Metrics" }
        (table(list, &format!("{} items", number::both(counts)), label))
    }
}

fn table(list: &[MetricRow], caption: &str, label: &str) -> Markup {
    html! {
        div class="scroll" role="region" aria-label=(label) tabindex="0" {
            table class="metrics" {
                caption { span { (caption) } }
                thead {
                    tr {
                        th scope="col" { "metric" }
                        th scope="col" class="num" { "value" }
                        th scope="col" class="num" { "95\u{a0}% interval" }
                    }
                }
                tbody {
                    @for row in list {
                        tr {
                            th scope="row" {
                                (Prose(&row.name))
                                @if !row.note.is_empty() { span class="note" { (Prose(&row.note)) } }
                            }
                            td class="num" { (fixed(row.estimate.value)) }
                            td class="num ci" { (interval(row.estimate)) }
                        }
                    }
                }
            }
        }
    }
}

fn systems(list: &[System]) -> Option<Part> {
    if list.len() < 2 {
        return None;
    }
    let curves: Vec<_> = list
        .iter()
        .enumerate()
        .map(|(look, s)| Curve { look, roc: &s.roc })
        .filter(|c| !c.roc.is_empty())
        .collect();
    let names = list.first().map(|s| s.metrics.as_slice()).unwrap_or_default();
    let compared = list.iter().any(|s| s.difference.is_some());
    let legend = html! {
        ul class="legend" {
            @for (i, system) in list.iter().enumerate() { li { (plot::swatch(i)) (Name(&system.name)) } }
        }
    };
    let body = html! {
        p {
            "All systems judged the same items. A difference counts only if its interval leaves out zero: it is drawn \
             pair by pair, so two overlapping intervals of single systems say little."
        }
        div class="scroll" role="region" aria-label="Comparison of systems" tabindex="0" {
            table class="sortable" {
                caption { span { "Systems compared, with 95\u{a0}% intervals." } }
                thead {
                    tr {
                        th scope="col" { "system" }
                        @for metric in names { th scope="col" { (Prose(&metric.name)) } }
                        @if compared { th scope="col" { "paired difference" } }
                    }
                }
                tbody {
                    @for (i, system) in list.iter().enumerate() {
                        tr {
                            th scope="row" { (plot::swatch(i)) " " (Name(&system.name)) }
                            @for (column, _) in names.iter().enumerate() {
                                @let e = system.metrics.get(column).map(|m| m.estimate).unwrap_or_default();
                                td data-v=(number::fixed(e.value)) { (Figure(e)) }
                            }
                            @if compared {
                                @match &system.difference {
                                    Some(d) => {
                                        td data-v=(number::fixed(d.estimate.value)) {
                                            (signed(d.estimate.value))
                                            @if let Some((low, high)) = d.estimate.interval() {
                                                " " span class="ci" { "[" (signed(low)) ", " (signed(high)) "]" }
                                            }
                                            span class="note" { (Prose(&d.metric)) ", against " (Name(&d.against)) }
                                        }
                                    }
                                    None => { td data-v="" { "–" } }
                                }
                            }
                        }
                    }
                }
            }
        }
        @if !curves.is_empty() {
            (legend)
            div class="plots" {
                figure {
                    h4 { "ROC curves" }
                    (plot::roc("s-roc", "ROC curves of the systems", &curves, &[]))
                    figcaption {
                        p { "The system whose curve lies higher finds more at the same share of false alarms." }
                    }
                }
                figure {
                    h4 { "ROC curves, few false alarms" }
                    (plot::log_roc("s-log", "ROC curves of the systems, logarithmic", &curves, &[]))
                    figcaption {
                        p {
                            "The left end spread out. Curves that cross mean that the better system depends on the \
                             threshold."
                        }
                    }
                }
                figure {
                    h4 { "DET curves" }
                    (plot::det("s-det", "DET curves of the systems", &curves, &[]))
                    figcaption { p { "Both kinds of error; lower left is better." } }
                }
            }
        }
    };
    Some(Part { id: "systems", heading: "Systems compared", body })
}

fn slices(list: &[Slice]) -> Option<Part> {
    if list.is_empty() {
        return None;
    }
    let classes = [
        (Class::Fabricated, "Machine-made items by origin"),
        (Class::Genuine, "Genuine items by source"),
        (Class::Both, "Other groups"),
    ];
    let body = html! {
        p {
            "Dot and bar show a group's figure and its 95\u{a0}% interval; the dotted line is the figure over all \
             groups. The worst group is in bold. Wide bars mean few items, not a worse detector."
        }
        @for (class, heading) in classes {
            @if list.iter().any(|s| s.class == class) {
                h3 { (heading) }
                @for slice in list.iter().filter(|s| s.class == class) { (groups(slice)) }
            }
        }
    };
    Some(Part { id: "groups", heading: "Results by group", body })
}

fn groups(slice: &Slice) -> Markup {
    let forest = Forest::new(slice.rows.iter().map(|r| r.estimate), slice.overall);
    let (class, genuine, fabricated) = match slice.class {
        Class::Genuine => ("genuine", true, slice.rows.iter().any(|r| r.counts.fabricated > 0)),
        Class::Fabricated => ("fabricated", slice.rows.iter().any(|r| r.counts.genuine > 0), true),
        Class::Both => ("both", true, true),
    };
    let label = format!("{} by {}", visible::line(&slice.metric), visible::line(&slice.by));
    html! {
        div class="scroll" role="region" aria-label=(label) tabindex="0" {
            table class="sortable" {
                caption {
                    span {
                        (Prose(&slice.metric)) " by " (Prose(&slice.by))
                        @if slice.overall.is_finite() { "; " (fixed(slice.overall)) " over all groups" }
                        "."
                    }
                }
                thead {
                    tr {
                        th scope="col" { (Prose(&slice.by)) }
                        th scope="col" class="num" { (Prose(&slice.metric)) }
                        th scope="col" data-fixed { "95\u{a0}% interval" }
                        th scope="col" class="pic" data-fixed { (forest.head()) }
                        @if genuine { th scope="col" class="num" { "genuine" } }
                        @if fabricated { th scope="col" class="num" { "machine-made" } }
                    }
                }
                tbody {
                    @for SliceRow { name, counts, estimate, worst } in &slice.rows {
                        tr class=[worst.then_some("worst")] {
                            th scope="row" {
                                (Name(name))
                                @if *worst { span class="tag" { "worst" } }
                            }
                            td class="num" data-v=(number::fixed(estimate.value)) { (fixed(estimate.value)) }
                            td class="ci" { (interval(*estimate)) }
                            td class="pic" { (forest.row(*estimate, class)) }
                            @if genuine {
                                td class="num" data-v=(counts.genuine) { (number::count(counts.genuine)) }
                            }
                            @if fabricated {
                                td class="num" data-v=(counts.fabricated) { (number::count(counts.fabricated)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn robustness(grid: &Grid) -> Option<Part> {
    if grid.rows.is_empty() || grid.metrics.is_empty() {
        return None;
    }
    let body = html! {
        p {
            "The same items after common changes, such as compression or resizing. The stronger the colour of a cell, \
             the worse the figure. The head of each column gives the ends of its scale: no colour, and the strongest."
        }
        div class="scroll" role="region" aria-label="Robustness" tabindex="0" {
            table class="heat" {
                caption { span { "Figures with their 95\u{a0}% intervals for each condition." } }
                thead {
                    tr {
                        th scope="col" { "condition" }
                        @for metric in &grid.metrics {
                            th scope="col" {
                                (Prose(&metric.name))
                                span class="note" { (fixed(metric.best)) " to " (fixed(metric.worst)) }
                            }
                        }
                    }
                }
                tbody {
                    @for row in &grid.rows {
                        tr {
                            th scope="row" { (Name(&row.condition)) }
                            @for (i, metric) in grid.metrics.iter().enumerate() {
                                @let e = row.cells.get(i).copied().unwrap_or_default();
                                td class=(shade(metric, e.value)) { (Figure(e)) }
                            }
                        }
                    }
                }
            }
        }
    };
    Some(Part { id: "robustness", heading: "Robustness", body })
}

fn localisation(found: &Localisation) -> Part {
    let body = html! {
        p {
            "Genuine items with a part of a machine-made one put into them: how far the map of the detector, or its \
             timeline, or its marks on sentences, shows where. 0.5 is guessing for an AUROC and an EER, 0 for a \
             correlation."
        }
        (table(&found.metrics, &number::items(found.composites, "composite"), "Localisation"))
    };
    Part { id: "localisation", heading: "Localisation", body }
}

/// `w0` at the best value to `w9` at the worst one and beyond.
fn shade(metric: &GridMetric, value: f64) -> String {
    let place = (value - metric.best) / (metric.worst - metric.best);
    let step = if place.is_finite() { (STEPS * place.clamp(0.0, 1.0)).round() } else { 0.0 };
    format!("w{step}")
}

fn leak(leak: &Leak) -> Part {
    let mut rows =
        vec![("facts alone", None, leak.facts_auroc, "both"), ("detector", None, leak.detector_auroc, "s0")];
    if let Some(m) = &leak.matched {
        rows.push(("facts alone, matched", Some(m.counts), m.facts_auroc, "both"));
        rows.push(("detector, matched", Some(m.counts), m.detector_auroc, "s0"));
    }
    let forest = Forest::new(rows.iter().map(|r| r.2), 0.5);
    let body = html! {
        p {
            "A simple model is given nothing but facts beside the content"
            @if !leak.facts.is_empty() {
                " ("
                @for (i, fact) in leak.facts.iter().enumerate() { @if i > 0 { ", " } (Prose(fact)) }
                ")"
            }
            ". If it can tell the classes apart, the data set gives the answer away, and the detector's figures may \
             owe something to that. 0.5, the dotted line, is guessing."
        }
        @if !leak.verdict.is_empty() { p { strong { (Prose(&leak.verdict)) } } }
        div class="scroll" role="region" aria-label="Leak test" tabindex="0" {
            table {
                caption { span { "AUROC of facts and detector." } }
                thead {
                    tr {
                        th scope="col" { "judged by" }
                        th scope="col" class="num" { "AUROC" }
                        th scope="col" { "95\u{a0}% interval" }
                        th scope="col" class="pic" { (forest.head()) }
                        th scope="col" { "items" }
                    }
                }
                tbody {
                    @for (name, counts, estimate, class) in rows {
                        tr {
                            th scope="row" { (name) }
                            td class="num" { (fixed(estimate.value)) }
                            td class="ci" { (interval(estimate)) }
                            td class="pic" { (forest.row(estimate, class)) }
                            td class="whole" { (counts.map_or_else(|| "all".to_owned(), number::both)) }
                        }
                    }
                }
            }
        }
    };
    Part { id: "leak", heading: "Leak test", body }
}

fn exhibits(data: &ReportData) -> Option<Part> {
    if data.misses.is_empty() && data.false_alarms.is_empty() {
        return None;
    }
    let body = html! {
        p {
            "The clearest mistakes, the worst first. They show where a detector must not be trusted; they are not \
             typical items."
        }
        @if !data.false_alarms.is_empty() {
            h3 { "False alarms: genuine items with high scores" }
            ul class="cards" { @for e in &data.false_alarms { (card(e)) } }
        }
        @if !data.misses.is_empty() {
            h3 { "Misses: machine-made items with low scores" }
            ul class="cards" { @for e in &data.misses { (card(e)) } }
        }
    };
    Some(Part { id: "mistakes", heading: "Mistakes", body })
}

fn card(e: &Exhibit) -> Markup {
    html! {
        li class="card" {
            (preview(e))
            div class="text" {
                p class="name" { (Name(&e.name)) }
                dl {
                    dt { "group" } dd { (Name(&e.group)) }
                    dt { "label" } dd { (Prose(&e.label)) }
                    dt { "score" } dd { (fixed(e.score)) }
                    dt { "log likelihood ratio" } dd { (signed(e.llr)) }
                    dt { "p-value" } dd { (fixed(e.p_value)) }
                }
            }
        }
    }
}

fn preview(e: &Exhibit) -> Markup {
    let none = html! { div class="none" { "no preview" } };
    let picture = |bytes: &[u8], what: &str, class: Option<&str>| match data_uri(bytes) {
        Some(uri) => html! {
            img class=[class] src=(uri) alt=(format!("{what} {}", visible::head(&visible::line(&e.name), NAME)));
        },
        None => none.clone(),
    };
    match &e.preview {
        Preview::None => none,
        Preview::Image(bytes) => picture(bytes, "Picture", None),
        Preview::Spectrogram(bytes) => picture(bytes, "Spectrogram of", Some("spectrogram")),
        Preview::Text(text) => html! {
            blockquote dir="auto" tabindex="0" { (visible::head(&visible::block(text), EXCERPT)) }
        },
    }
}

/// The bytes of a PNG or JPEG file as an address.
fn data_uri(bytes: &[u8]) -> Option<String> {
    let kind = if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        "png"
    } else if bytes.starts_with(b"\xff\xd8\xff") {
        "jpeg"
    } else {
        return None;
    };
    Some(format!("data:image/{kind};base64,{}", STANDARD.encode(bytes)))
}

fn glossary() -> Part {
    let terms = [
        (
            "AUROC",
            "The chance that a machine-made item scores higher than a genuine one. 1 is perfect, 0.5 is guessing.",
        ),
        (
            "TPR at x\u{a0}% FPR",
            "The share of machine-made items found when x\u{a0}% of genuine items are flagged by mistake.",
        ),
        ("EER", "The error at the threshold where both kinds of error are equally common. Lower is better."),
        (
            "ECE",
            "How far stated probabilities are from observed shares, on average. 0 is perfect; lower is better.",
        ),
        (
            "Log likelihood ratio",
            "How much likelier the score is for a machine-made item than for a genuine one, as a natural logarithm. 0 \
             says nothing, +2.3 is ten to one for machine-made, −2.3 ten to one for genuine.",
        ),
        (
            "Cllr",
            "The cost of the stated likelihood ratios, in bits. 0 is perfect; 1 is as good as saying nothing.",
        ),
        ("p-value", "The share of held-back genuine items that score at least as high as this one."),
        (
            "95\u{a0}% interval",
            "Drawn by a method that holds the true value 95 times in 100. It covers chance in the choice of items and \
             sources, not a data set that is unlike yours.",
        ),
    ];
    let body = html! {
        dl class="glossary" {
            @for (term, meaning) in terms { div { dt { (term) } dd { (meaning) } } }
        }
    };
    Part { id: "terms", heading: "Terms", body }
}
