//! One file: what was found, what it weighs, what it does not show.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use candor::{Exhibit, Label, Marked, MediaFacts, MediaKind, Signal, SignalKind, Verdict, visible};
use candor_models::ModelFile;
use maud::{Markup, Render, html};

use crate::page::{Name, p_value, percent, ratio};
use crate::scale::{posterior, support};
use crate::words::Words;
use crate::{Item, Report};

/// Priors of the table that shows what a ratio does to them.
const PRIORS: [f64; 4] = [0.01, 0.1, 0.5, 0.9];
/// Steps of colour of marked sentences, towards either side.
const STEPS: f64 = 5.0;

/// A sentence from outside.
struct Prose<'a>(&'a str);

impl Render for Prose<'_> {
    fn render(&self) -> Markup {
        html! { (visible::line(self.0)) }
    }
}

pub(crate) fn item(i: usize, item: &Item, report: &Report, words: &Words) -> Markup {
    let v = &item.verdict;
    html! {
        article class="item" aria-label=(visible::head(&visible::line(&v.path), 160)) {
            div class="columns" {
                div class="seen" { (exhibit(i, item, words)) }
                div class="said" {
                    p class="conclusion" { (words.conclusion(v.label)) }
                    @if v.label != Label::Error {
                        dl class="figures" {
                            dt { (words.probability) } dd { b { (percent(v.confidence)) } }
                            dt { (words.ratio) } dd { b { (ratio(v.llr)) } }
                            dt { (words.p_value) } dd { b { (p_value(v.p_value)) } }
                        }
                    }
                    h4 { (words.reasons) }
                    ul class="reasons" {
                        @if let Some(error) = &v.error { li { (Prose(&words.said(&error.message))) } }
                        @for reason in &v.reasons { li { (Prose(&words.said(&reason.text))) } }
                        @if v.reasons.is_empty() && let Some(abstention) = &v.abstention {
                            li { (Prose(&words.said(&abstention.message))) }
                        }
                    }
                    @if !v.warnings.is_empty() {
                        h4 { (words.warnings) }
                        ul { @for warning in &v.warnings { li { (Prose(&words.said(&warning.message))) } } }
                    }
                }
            }
            @if let Some(llr) = v.llr { (weight(v, llr, words)) }
            (rates(v, report, words))
            (lineage(v, words))
            (findings(v, words))
            section {
                h4 { (words.limits) }
                ul class="limits" { @for line in words.limit_lines { li { (line) } } }
            }
            (identity(v, words))
        }
    }
}

fn uri(media: &str, bytes: &[u8]) -> String {
    format!("data:{media};base64,{}", STANDARD.encode(bytes))
}

fn exhibit(i: usize, item: &Item, words: &Words) -> Markup {
    match &item.exhibit {
        None => html! { p class="note" { (words.no_media) } },
        Some(Exhibit::Picture { preview, size, heat, limit }) => html! {
            figure {
                div class="stack" {
                    img src=(uri("image/jpeg", preview)) width=(size.0) height=(size.1) alt=(alt(item));
                    @if let Some(heat) = heat {
                        img class="heat" src=(uri("image/png", heat)) alt="" data-heat=(i);
                    }
                }
                @if heat.is_some() {
                    figcaption {
                        (scale(*limit, words))
                        label class="slider" {
                            span { (words.map_strength) }
                            input type="range" min="0" max="100" value="45" data-heat-slider=(i);
                        }
                        p { b { (words.map) } ". " (words.map_note) }
                    }
                } @else { figcaption { p { (words.no_map) } } }
            }
        },
        Some(Exhibit::Recording { wave, seconds, timeline, spectrogram }) => html! {
            figure {
                @if let Some(svg) = timeline {
                    img class="timeline" src=(uri("image/svg+xml", svg.as_bytes())) width="960" height="380" alt=(words.map);
                }
                img class="spectrogram" src=(uri("image/png", spectrogram)) width="880" height="257"
                    alt=(words.spectrogram.replace("{}", &format!("{seconds:.1}")));
                audio controls preload="none" src=(uri("audio/wav", wave)) aria-label=(words.play) {}
                figcaption {
                    p { (words.spectrogram.replace("{}", &format!("{seconds:.1}"))) }
                    p {
                        (words.play) ". "
                        @if *seconds > 60.0 { (words.play_note) " " }
                        @if timeline.is_some() { (words.map_note) } @else { (words.no_map) }
                    }
                }
            }
        },
        Some(Exhibit::Text { pieces, limit, cut }) => html! {
            figure {
                blockquote class="text" dir="auto" tabindex="0" {
                    @for piece in pieces { (marked(piece, *limit)) }
                    @if *cut { p class="note" { (words.text_cut) } }
                }
                figcaption { (scale(*limit, words)) p { (words.text_note) } }
            }
        },
    }
}

fn alt(item: &Item) -> String {
    visible::head(&visible::line(item.verdict.path.rsplit(['/', '\\']).next().unwrap_or_default()), 160)
}

fn marked(piece: &Marked, limit: f64) -> Markup {
    let text = visible::block(&piece.text);
    match piece.evidence {
        None => html! { (text) },
        Some(evidence) => {
            let step = (evidence.abs() / limit * STEPS).round().min(STEPS) as usize;
            let side = if evidence > 0.0 { 'm' } else { 'g' };
            let class = if step == 0 { "n".to_owned() } else { format!("{side}{step}") };
            html! { mark class=(class) title=(format!("{evidence:+.2}")) { (text) } }
        }
    }
}

/// The scale of colours.
fn scale(limit: f64, words: &Words) -> Markup {
    html! {
        p class="scale" {
            span { (words.genuine) " " (format!("−{limit:.0}")) }
            span class="ramp" aria-hidden="true" {}
            span { (format!("+{limit:.0}")) " " (words.machine) }
        }
    }
}

/// The ratio in words, and what it does to priors.
fn weight(v: &Verdict, llr: f64, words: &Words) -> Markup {
    html! {
        section {
            h4 { (words.evidence) }
            p { (words.supports(support(llr), llr)) }
            p { (words.prior_note) }
            div class="scroll" tabindex="0" role="region" aria-label=(words.evidence) {
            table class="small" {
                tbody {
                    tr {
                        th scope="row" { (words.before) }
                        @for prior in PRIORS { td class="figure" { (percent(Some(prior))) } }
                    }
                    tr {
                        th scope="row" { (words.after) }
                        @for prior in PRIORS { td class="figure" { (percent(Some(posterior(prior, llr)))) } }
                    }
                }
            }
            }
            @if let Some(p) = v.p_value {
                p { (percent(Some(p))) " " (words.p_note.replace("{}", &format!("p ≤ {}", v.threshold.p))) }
            }
        }
    }
}

/// The condition of the measurement that is nearest to a file.
fn nearest(facts: &MediaFacts) -> &'static str {
    match facts {
        MediaFacts::Image { width, height, .. } => match (*width).max(*height) {
            0..=512 => "hard",
            513..=1024 => "web",
            _ => "clean",
        },
        MediaFacts::Audio { source_rate, .. } if *source_rate <= 8_000 => "telephone",
        MediaFacts::Audio { format, .. } if format.contains("mp3") => "mp3 32 kb/s",
        MediaFacts::Audio { .. } | MediaFacts::Text { .. } => "clean",
    }
}

/// What the model's card says of its errors.
fn rates(v: &Verdict, report: &Report, words: &Words) -> Markup {
    let of = |v: &Verdict| -> Option<(&ModelFile, MediaKind, &'static str)> {
        let facts = v.media.as_ref()?;
        let model = v.models.first()?;
        let card = report.cards.iter().find(|c| c.id == model.id && c.sha256 == model.sha256)?;
        Some((card, facts.kind(), nearest(facts)))
    };
    let Some((card, _, near)) = of(v) else { return html! {} };
    let mut conditions: Vec<&str> = Vec::new();
    for row in &card.figures.overall {
        if !conditions.contains(&row.slice.as_str()) {
            conditions.push(&row.slice);
        }
    }
    let figure = |slice: &str, metric: &str, percent: bool| {
        let row = card.figures.overall.iter().find(|r| r.slice == slice && r.metric == metric);
        row.map_or_else(
            || "–".to_owned(),
            |r| {
                let e = r.estimate;
                if percent {
                    format!("{:.1} % ({:.1}–{:.1})", 100.0 * e.value, 100.0 * e.low, 100.0 * e.high)
                } else {
                    format!("{:.3} ({:.3}–{:.3})", e.value, e.low, e.high)
                }
            },
        )
    };
    html! {
        section {
            h4 { (words.rates) " (" (card.id) ")" }
            p { (words.rates_note) }
            div class="scroll" tabindex="0" role="region" aria-label=(words.rates) {
                table class="small" {
                    thead { tr {
                        @for head in [words.condition, "AUROC", words.flagged_machine, words.flagged_genuine] {
                            th scope="col" { (head) }
                        }
                    } }
                    tbody {
                        @for slice in conditions {
                            tr class=[(slice == near).then_some("near")] {
                                th scope="row" {
                                    (slice) @if slice == near { " " span class="note" { "(" (words.applies) ")" } }
                                }
                                td class="figure" { (figure(slice, "AUROC", false)) }
                                td class="figure" { (figure(slice, "machine-made flagged, out of fold", true)) }
                                td class="figure" { (figure(slice, "genuine flagged, out of fold", true)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Steps of a history that are shown.
const HISTORY: usize = 64;

/// The history that Content Credentials tell, as a tree.
fn lineage(v: &Verdict, words: &Words) -> Markup {
    let told = v.signals.iter().find(|s| s.id == Signal::LINEAGE);
    let Some(manifests) = told.and_then(|s| s.detail.get("manifests")).and_then(|m| m.as_array()) else {
        return html! {};
    };
    let mut left = HISTORY;
    html! {
        section {
            h4 { (words.lineage) }
            p { (words.lineage_note) }
            ul class="tree" { @for manifest in manifests { (step(manifest, words, &mut left, 0)) } }
        }
    }
}

fn step(manifest: &serde_json::Value, words: &Words, left: &mut usize, depth: usize) -> Markup {
    // Verdicts come from files, too.
    let Some(rest) = left.checked_sub(1).filter(|_| depth <= 16) else { return html! {} };
    *left = rest;
    let text = |key: &str| manifest.get(key).and_then(|v| v.as_str()).filter(|t| !t.is_empty());
    let list =
        |key: &str| manifest.get(key).and_then(|v| v.as_array()).map(Vec::as_slice).unwrap_or_default();
    let actions: Vec<&str> = list("actions").iter().filter_map(|a| a.as_str()).collect();
    html! {
        li {
            b { (Prose(text("title").unwrap_or(words.untitled))) }
            @if let Some(relationship) = text("relationship") { " " span class="note" { (Prose(relationship)) } }
            dl class="pairs" {
                @for (name, value) in [(words.made_with, text("generator")), (words.signed_by, text("signer"))] {
                    @if let Some(value) = value { div { dt { (name) } dd { (Prose(value)) } } }
                }
                @if !actions.is_empty() { div { dt { (words.done) } dd { (Prose(&actions.join(", "))) } } }
            }
            @if !list("ingredients").is_empty() {
                ul { @for inner in list("ingredients") { (step(inner, words, left, depth + 1)) } }
            }
        }
    }
}

/// Every signal with its figures.
fn findings(v: &Verdict, words: &Words) -> Markup {
    let signals: Vec<&Signal> = v.signals.iter().filter(|s| s.id != Signal::LINEAGE).collect();
    if signals.is_empty() {
        return html! {};
    }
    let kind = |kind: SignalKind| match kind {
        SignalKind::Declared => words.declared,
        SignalKind::Watermark => words.watermark,
        SignalKind::Learned => words.learned,
        SignalKind::Statistical => words.statistical,
    };
    let value = |value: &serde_json::Value| match value {
        serde_json::Value::String(text) => visible::line(text),
        serde_json::Value::Object(map) => {
            let number = map.get("value").map_or_else(
                || "–".to_owned(),
                |v| match v.as_f64() {
                    Some(x) => format!("{x:.4}"),
                    None => visible::line(&v.to_string()),
                },
            );
            let unit = map.get("unit").and_then(|u| u.as_str()).unwrap_or_default();
            format!("{number} {}", visible::line(unit)).trim_end().to_owned()
        }
        serde_json::Value::Number(number) if !number.is_i64() && !number.is_u64() => {
            number.as_f64().map_or_else(String::new, |x| format!("{x:.4}"))
        }
        other => visible::line(&other.to_string()),
    };
    html! {
        section {
            h4 { (words.finding) }
            div class="scroll" tabindex="0" role="region" aria-label=(words.finding) {
                table class="small" {
                    thead { tr {
                        @for head in [words.finding, words.source, words.ratio, words.details] { th scope="col" { (head) } }
                    } }
                    tbody {
                        @for signal in &signals {
                            tr {
                                th scope="row" { (Name(&signal.id)) }
                                td { (kind(signal.kind)) }
                                td class="figure" { (ratio(signal.llr)) }
                                td class="why" {
                                    @if signal.detail.len() > 6 {
                                        details { summary { (words.details) " (" (signal.detail.len()) ")" }
                                            (detail_list(signal, &value))
                                        }
                                    } @else { (detail_list(signal, &value)) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn detail_list(signal: &Signal, value: &dyn Fn(&serde_json::Value) -> String) -> Markup {
    html! {
        dl class="pairs" {
            @if let Some(score) = signal.score { div { dt { "logit" } dd { (format!("{score:.3}")) } } }
            @for (name, figure) in &signal.detail {
                div { dt { (visible::line(name)) } dd { (visible::head(&value(figure), 400)) } }
            }
        }
    }
}

fn identity(v: &Verdict, words: &Words) -> Markup {
    let size = v.media.as_ref().map(|m| match m {
        MediaFacts::Image { format, width, height } => format!("{format}, {width} × {height} px"),
        MediaFacts::Audio { format, seconds, source_rate, source_channels } => {
            format!("{format}, {seconds:.1} {}, {source_rate} Hz, {source_channels} ch", words.seconds)
        }
        MediaFacts::Text { format, chars, encoding, .. } => format!("{format}, {chars} ch, {encoding}"),
    });
    html! {
        section {
            h4 { (words.identity) }
            dl class="facts" {
                dt { (words.file) } dd { (Name(&v.path)) }
                @if let Some(sha256) = &v.sha256 { dt { "SHA-256" } dd { code { (visible::line(sha256)) } } }
                @if let Some(bytes) = v.bytes { dt { (words.bytes) } dd { (bytes) } }
                @if let Some(size) = size { dt { (words.format) } dd { (Prose(&size)) } }
                @for model in &v.models {
                    dt { (words.models) } dd { (Prose(&model.id)) " " code { (visible::line(&model.sha256)) } }
                }
                dt { (words.threshold) } dd { "p ≤ " (v.threshold.p) }
                dt { (words.version) } dd { (Prose(&v.version)) }
            }
        }
    }
}
