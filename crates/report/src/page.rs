//! The page around the items.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use candor::{Label, visible};
use maud::{DOCTYPE, Markup, PreEscaped, Render, html};
use sha2::{Digest, Sha256};

use crate::words::Words;
use crate::{Report, item};

/// Looks of items and of the page around them.
pub const STYLE: &str = include_str!("style.css");
/// Sorting, filtering, the strength of heat maps and the keyboard.
pub const SCRIPT: &str = include_str!("script.js");

/// Characters of a name that are shown.
const NAME: usize = 160;
/// Items up to this many are open from the start.
const OPEN: usize = 3;

/// A name from a file, held apart from the direction of the text around it.
pub(crate) struct Name<'a>(pub(crate) &'a str);

impl Render for Name<'_> {
    fn render(&self) -> Markup {
        html! { bdi { (visible::head(&visible::line(self.0), NAME)) } }
    }
}

/// Nothing is loaded, and no style or script counts but ours, named by their digests.
fn policy() -> String {
    let digest = |text: &str| STANDARD.encode(Sha256::digest(text.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; img-src data:; media-src data:; base-uri \
         'none'; form-action 'none'",
        digest(STYLE),
        digest(SCRIPT)
    )
}

/// The class of a label.
pub(crate) fn class(label: Label) -> &'static str {
    match label {
        Label::AiGenerated => "l-ai",
        Label::Suspected => "l-suspected",
        Label::Inconclusive => "l-inconclusive",
        Label::NoSign => "l-none",
        Label::Error => "l-error",
    }
}

pub(crate) fn page(report: &Report) -> Markup {
    let words = report.language.words();
    let shown: Vec<usize> =
        report.items.iter().enumerate().filter(|(_, i)| i.exhibit.is_some()).map(|(i, _)| i).collect();
    // Where files were at hand, those that something can be shown of have pages; without any, all have.
    let detailed = |i: usize| shown.is_empty() || shown.contains(&i) || report.items.len() <= 200;
    let pages = (0..report.items.len()).filter(|&i| detailed(i)).count();
    html! {
        (DOCTYPE)
        html lang=(words.code) {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy());
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (words.title) " — Candor" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                a class="skip" href="#items" { (words.skip) }
                header class="top" {
                    h1 { (words.title) }
                    p class="lead" { "Candor " (env!("CARGO_PKG_VERSION")) " · " (report.items.len()) " " (words.files) }
                }
                main {
                    section id="overview" aria-labelledby="overview-h" {
                        h2 id="overview-h" { (words.overview) }
                        (overview(report, words))
                        (table(report, words, &detailed))
                    }
                    section id="items" aria-labelledby="items-h" {
                        h2 id="items-h" { (words.items) }
                        @for (i, item) in report.items.iter().enumerate() {
                            @if detailed(i) {
                                details class="file" id=(format!("item-{i}")) open[report.items.len() <= OPEN] {
                                    summary {
                                        span class=(format!("badge {}", class(item.verdict.label))) {
                                            (words.label(item.verdict.label))
                                        }
                                        " " (Name(&item.verdict.path))
                                    }
                                    (item::item(i, item, report, words))
                                    p class="back" { a href="#overview" { (words.back) } }
                                }
                            }
                        }
                        @if pages < report.items.len() {
                            p class="note" {
                                (words.left_out.replace("{}", &(report.items.len() - pages).to_string()))
                            }
                        }
                    }
                }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    }
}

/// Counts of labels: a bar and buttons that filter.
fn overview(report: &Report, words: &Words) -> Markup {
    let count = |label: Label| report.items.iter().filter(|i| i.verdict.label == label).count();
    let all = report.items.len().max(1) as f64;
    let mut at = 0.0;
    let mut bars = Vec::new();
    for label in Label::ALL {
        let width = 100.0 * count(label) as f64 / all;
        bars.push((label, at, width));
        at += width;
    }
    html! {
        svg class="bar" viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true" {
            @for (label, x, width) in bars {
                @if width > 0.0 {
                    rect class=(class(label)) x=(format!("{x:.3}")) y="0" width=(format!("{width:.3}")) height="4" {}
                }
            }
        }
        div class="filters" role="group" aria-label=(words.label) {
            button type="button" data-filter="" aria-pressed="true" { (words.all) " " b { (report.items.len()) } }
            @for label in Label::ALL {
                @if count(label) > 0 {
                    button type="button" data-filter=(label.as_str()) aria-pressed="false" {
                        span class=(format!("dot {}", class(label))) aria-hidden="true" {}
                        " " (words.label(label)) " " b { (count(label)) }
                    }
                }
            }
            label class="search" {
                span class="away" { (words.search) }
                input type="search" id="search" placeholder=(words.search) autocomplete="off";
            }
        }
    }
}

fn table(report: &Report, words: &Words, detailed: &dyn Fn(usize) -> bool) -> Markup {
    html! {
        div class="scroll" tabindex="0" role="region" aria-label=(words.overview) {
            table class="sortable" {
                thead { tr {
                    @for head in [words.file, words.label, words.kind, words.probability, words.ratio, words.p_value, words.reason] {
                        th scope="col" { button type="button" { (head) } }
                    }
                } }
                tbody {
                    @for (i, item) in report.items.iter().enumerate() {
                        @let v = &item.verdict;
                        tr data-label=(v.label.as_str()) {
                            td class="name" {
                                @if detailed(i) { a href=(format!("#item-{i}")) { (Name(&v.path)) } }
                                @else { (Name(&v.path)) }
                            }
                            td data-value=(Label::ALL.iter().position(|&l| l == v.label).unwrap_or(9)) {
                                span class=(format!("badge {}", class(v.label))) { (words.label(v.label)) }
                            }
                            td { (v.media.as_ref().map_or("–", |m| words.kind(m.kind()))) }
                            td class="figure" data-value=(v.confidence.unwrap_or(-1.0)) { (percent(v.confidence)) }
                            td class="figure" data-value=(v.llr.unwrap_or(-99.0)) { (ratio(v.llr)) }
                            td class="figure" data-value=(v.p_value.unwrap_or(2.0)) { (p_value(v.p_value)) }
                            td class="why" { (first_reason(v, words)) }
                        }
                    }
                }
            }
        }
    }
}

fn first_reason(v: &candor::Verdict, words: &Words) -> String {
    let text = match (&v.error, &v.abstention, v.reasons.first()) {
        (Some(error), ..) => &error.message,
        (None, _, Some(reason)) => &reason.text,
        (None, Some(abstention), None) => &abstention.message,
        (None, None, None) => return String::new(),
    };
    visible::head(&visible::line(&words.said(text)), NAME)
}

/// A share in percent, or a dash.
pub(crate) fn percent(share: Option<f64>) -> String {
    match share {
        // Neither certainty is ever claimed.
        Some(p) if p > 0.9999 => "> 99.99 %".to_owned(),
        Some(p) if p < 0.0001 => "< 0.01 %".to_owned(),
        Some(p) if !(0.01..=0.99).contains(&p) => format!("{:.2} %", 100.0 * p),
        Some(p) => format!("{:.1} %", 100.0 * p),
        None => "–".to_owned(),
    }
}

/// A p-value, or a dash.
pub(crate) fn p_value(p: Option<f64>) -> String {
    p.map_or_else(|| "–".to_owned(), |p| format!("{p:.4}"))
}

/// A likelihood ratio with its larger side first: `18 : 1` or `1 : 490`.
pub(crate) fn ratio(llr: Option<f64>) -> String {
    let side = |r: f64| if r < 10.0 { format!("{r:.1}") } else { format!("{r:.0}") };
    match llr {
        Some(l) if l >= 0.0 => format!("{} : 1", side(l.exp())),
        Some(l) => format!("1 : {}", side((-l).exp())),
        None => "–".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use candor::{Exhibit, Marked, Scanner};

    use super::*;
    use crate::{Item, Language};

    const HOSTILE: &str = "a/<script>alert(1)</script>\"'>\u{202e}gpj.\u{1b}[31m.jpg";

    fn report(language: Language) -> Report {
        let scanner = Scanner::new().unwrap();
        let text = include_str!("../../../datasets/samples/tides.txt");
        let mut judged = scanner.scan_bytes("tides.txt", text.as_bytes());
        let exhibit = candor::exhibit(&judged);
        judged.verdict.elapsed_ms = 0.0;
        let hostile = Item {
            verdict: scanner.scan_bytes(HOSTILE, b"<img src=x onerror=alert(1)>").verdict,
            exhibit: Some(Exhibit::Text {
                pieces: vec![Marked { text: "<img src=x onerror=alert(2)>".into(), evidence: Some(1.0) }],
                limit: 2.0,
                cut: false,
            }),
        };
        let mut hostile = hostile;
        let mut told = serde_json::json!({ "title": "<img src=x>", "signer": "</li><img src=x>", "actions": ["<img src=x>", 7] });
        for _ in 0..40 {
            told = serde_json::json!({ "title": "deep", "ingredients": [told, "no step"] });
        }
        hostile.verdict.signals.push(candor::Signal {
            id: candor::Signal::LINEAGE.to_owned(),
            kind: candor::SignalKind::Declared,
            score: None,
            llr: None,
            detail: std::collections::BTreeMap::from([(
                "manifests".to_owned(),
                serde_json::json!([told, { "title": "<img src=x onerror=alert(3)>", "generator": "\u{202e}" }]),
            )]),
            regions: Vec::new(),
        });
        let files = candor_models::ModelFiles::embedded();
        Report {
            items: vec![Item { verdict: judged.verdict, exhibit }, hostile],
            cards: files.iter().map(|f| f.file().unwrap()).collect(),
            language,
        }
    }

    #[test]
    fn what_comes_from_files_stays_text() {
        let page = report(Language::English).html();
        // One script, one style, and nothing that files said became an element.
        assert_eq!(page.matches("<script").count(), 1);
        assert!(!page.contains("<img src=x"));
        assert!(!page.contains('\u{202e}') && !page.contains('\u{1b}'));
        assert!(page.contains("&lt;script&gt;alert(1)") && page.contains("&lt;img src=x onerror=alert(3)"));
    }

    #[test]
    fn the_policy_names_the_script_and_style_that_are_in_the_page() {
        let page = report(Language::English).html();
        for (tag, text) in [("script", SCRIPT), ("style", STYLE)] {
            assert!(page.contains(&format!("<{tag}>{text}</{tag}>")));
        }
        assert!(page.contains(&policy().replace('\'', "&#39;")) || page.contains(&policy()));
        // Inline styles would be blocked.
        assert!(!page.contains(" style=\""));
        assert!(!page.contains("http://") && !page.contains("https://"));
    }

    #[test]
    fn pages_are_well_formed_and_speak_their_language() {
        for (language, code, word) in
            [(Language::English, "en", "Likelihood ratio"), (Language::Chinese, "zh-CN", "似然比")]
        {
            let page = report(language).html();
            assert!(page.contains(&format!("<html lang=\"{code}\">")) && page.contains(word));
            let dom = html5ever::parse_document(
                markup5ever_rcdom::RcDom::default(),
                html5ever::ParseOpts::default(),
            );
            let dom = html5ever::tendril::TendrilSink::one(dom, page);
            let errors = dom.errors.borrow();
            assert!(errors.is_empty(), "{errors:?}");
        }
    }

    #[test]
    fn figures_claim_no_certainty() {
        assert_eq!(percent(Some(1.0)), "> 99.99 %");
        assert_eq!(percent(Some(0.0)), "< 0.01 %");
        assert_eq!(percent(Some(0.947)), "94.7 %");
        assert_eq!(
            (ratio(Some(2.9)), ratio(Some(-6.19)), ratio(None)),
            ("18 : 1".into(), "1 : 488".into(), "–".into())
        );
    }
}
