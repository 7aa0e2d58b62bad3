//! The report as a page and as a table.

mod fixture;

use std::fmt::Write;

use base64::Engine;
use candor_eval::report::data::{Class, Estimate, Preview};
use candor_eval::report::{ReportData, html, markdown, terminal};
use html5ever::tendril::TendrilSink;
use markup5ever_rcdom::{Handle, NodeData, RcDom};
use proptest::prelude::*;
use sha2::{Digest, Sha256};

const HOSTILE: [&str; 6] = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "' onmouseover='alert(1)",
    "</title></style></script><svg onload=alert(1)>",
    "invoice\u{202e}gpj.exe\n\u{1b}[31m\u{0}\u{2066}",
    "&lt;&amp;&#x3c;]]>--><!--",
];

/// Parses a page as a browser would; a mistake in it is a failure.
fn parse(page: &str) -> RcDom {
    let dom = html5ever::parse_document(RcDom::default(), html5ever::ParseOpts::default()).one(page);
    assert!(dom.errors.borrow().is_empty(), "{:?}", dom.errors.borrow());
    dom
}

/// Elements and names of attributes, in order.
fn skeleton(node: &Handle, out: &mut String) {
    if let NodeData::Element { name, attrs, .. } = &node.data {
        _ = write!(out, "<{}", name.local);
        for attribute in attrs.borrow().iter() {
            _ = write!(out, " {}", attribute.name.local);
        }
        out.push('>');
    }
    for child in node.children.borrow().iter() {
        skeleton(child, out);
    }
}

fn shape(data: &ReportData) -> String {
    let mut out = String::new();
    skeleton(&parse(&html(data)).document, &mut out);
    out
}

/// Nodes with the name, and their text.
fn find(node: &Handle, wanted: &str, out: &mut Vec<(Handle, String)>) {
    fn text(node: &Handle, out: &mut String) {
        if let NodeData::Text { contents } = &node.data {
            out.push_str(&contents.borrow());
        }
        for child in node.children.borrow().iter() {
            text(child, out);
        }
    }
    if let NodeData::Element { name, .. } = &node.data
        && &*name.local == wanted
    {
        let mut content = String::new();
        text(node, &mut content);
        out.push((node.clone(), content));
    }
    for child in node.children.borrow().iter() {
        find(child, wanted, out);
    }
}

fn all(dom: &RcDom, wanted: &str) -> Vec<(Handle, String)> {
    let mut out = Vec::new();
    find(&dom.document, wanted, &mut out);
    out
}

fn attribute(node: &Handle, wanted: &str) -> Option<String> {
    let NodeData::Element { attrs, .. } = &node.data else { return None };
    attrs.borrow().iter().find(|a| &*a.name.local == wanted).map(|a| a.value.to_string())
}

/// The fixture with every string replaced.
fn named(name: &str) -> ReportData {
    let mut data = fixture::report();
    for c in &mut data.conditions {
        c.name = name.into();
        c.histogram.axis = name.into();
        c.thresholds.iter_mut().for_each(|t| t.name = name.into());
    }
    data.conditions.iter_mut().flat_map(|c| &mut c.metrics).for_each(|m| {
        m.name = name.into();
        m.note = name.into();
    });
    for s in &mut data.slices {
        s.by = name.into();
        s.metric = name.into();
        s.rows.iter_mut().for_each(|r| r.name = name.into());
    }
    for s in &mut data.systems {
        s.name = name.into();
        s.metrics.iter_mut().for_each(|m| m.name = name.into());
        if let Some(d) = &mut s.difference {
            d.against = name.into();
            d.metric = name.into();
        }
    }
    if let Some(grid) = &mut data.robustness {
        grid.metrics.iter_mut().for_each(|m| m.name = name.into());
        grid.rows.iter_mut().for_each(|r| r.condition = name.into());
    }
    if let Some(leak) = &mut data.leak {
        leak.facts.iter_mut().for_each(|f| *f = name.into());
        leak.verdict = name.into();
    }
    for e in data.misses.iter_mut().chain(&mut data.false_alarms) {
        e.name = name.into();
        e.label = name.into();
        e.group = name.into();
        if let Preview::Text(text) = &mut e.preview {
            *text = name.into();
        }
    }
    for m in &mut data.models {
        m.id = name.into();
        m.sha256 = name.into();
    }
    data.warnings.iter_mut().for_each(|w| *w = name.into());
    for s in [
        &mut data.title,
        &mut data.subtitle,
        &mut data.command,
        &mut data.version,
        &mut data.media,
        &mut data.data.name,
        &mut data.data.digest,
    ] {
        *s = name.into();
    }
    data
}

#[test]
fn the_page_is_well_formed() {
    let page = html(&fixture::report());
    // To look at.
    std::fs::write(concat!(env!("CARGO_TARGET_TMPDIR"), "/report.html"), &page).unwrap();
    parse(&page);
    let mut plots = 0;
    for part in page.split("<svg").skip(1) {
        let svg = format!("<svg{}</svg>", part.split("</svg>").next().unwrap());
        roxmltree::Document::parse(&svg).unwrap();
        plots += usize::from(svg.contains("role=\"img\""));
    }
    assert_eq!(plots, 4 * 5 + 3);
}

#[test]
fn nothing_is_fetched_and_no_foreign_script_runs() {
    let data = fixture::report();
    let page = html(&data);
    let dom = parse(&page);
    assert!(!page.contains("http:") && !page.contains("https:") && !page.contains("@import"));
    assert!(!page.replace("url(#", "").contains("url("));
    let scripts = all(&dom, "script");
    assert_eq!(scripts.len(), 1);
    let digest = base64::engine::general_purpose::STANDARD.encode(Sha256::digest(&scripts[0].1));
    let policy = all(&dom, "meta")
        .iter()
        .find_map(|m| attribute(&m.0, "http-equiv").and_then(|_| attribute(&m.0, "content")));
    assert!(policy.unwrap().contains(&format!("script-src 'sha256-{digest}'")), "{digest}");
}

#[test]
fn the_page_can_be_used_without_eyes_or_mouse() {
    let dom = parse(&html(&fixture::report()));
    for (table, _) in all(&dom, "table") {
        let mut captions = Vec::new();
        find(&table, "caption", &mut captions);
        assert_eq!(captions.len(), 1);
    }
    for (head, _) in all(&dom, "th") {
        assert!(matches!(attribute(&head, "scope").as_deref(), Some("row" | "col")));
    }
    for (svg, _) in all(&dom, "svg") {
        let hidden = attribute(&svg, "aria-hidden").is_some();
        let (mut titles, mut descriptions) = (Vec::new(), Vec::new());
        find(&svg, "title", &mut titles);
        find(&svg, "desc", &mut descriptions);
        assert!(hidden || titles.len() == 1 && descriptions.len() == 1);
    }
    for (picture, _) in all(&dom, "img") {
        assert!(!attribute(&picture, "alt").unwrap().is_empty());
    }
    let mut ids: Vec<_> = ["section", "h2", "svg", "title", "desc", "pattern", "main"]
        .iter()
        .flat_map(|tag| all(&dom, tag))
        .filter_map(|(node, _)| attribute(&node, "id"))
        .collect();
    let n = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), n);
    for (link, _) in all(&dom, "a") {
        let target = attribute(&link, "href").unwrap();
        assert!(ids.contains(&target[1..].to_owned()), "{target}");
    }
}

#[test]
fn curves_are_thinned() {
    let data = fixture::report();
    assert!(data.conditions[0].roc.len() > 2000);
    let dom = parse(&html(&data));
    for (path, _) in all(&dom, "path") {
        assert!(attribute(&path, "d").unwrap().matches('L').count() < 200);
    }
}

#[test]
fn hostile_names_stay_text() {
    let plain = shape(&named("x"));
    for name in HOSTILE {
        let data = named(name);
        assert_eq!(shape(&data), plain, "{name}");
        let page = html(&data);
        for bad in ['\u{202e}', '\u{2066}', '\u{1b}', '\u{0}'] {
            assert!(!page.contains(bad));
            assert!(!terminal(&data, false).contains(bad));
        }
    }
    let (_, heading) = all(&parse(&html(&named(HOSTILE[4]))), "h1").swap_remove(0);
    assert_eq!(heading, "invoice\\u{202e}gpj.exe\\n\\u{1b}[31m\\u{0}\\u{2066}");
}

#[test]
fn foreign_bytes_are_no_picture() {
    let mut data = fixture::report();
    data.misses[0].preview = Preview::Image(b"<svg onload=alert(1)>".to_vec());
    let pictures = |data: &ReportData| all(&parse(&html(data)), "img").len();
    assert_eq!(pictures(&data) + 1, pictures(&fixture::report()));
}

fn only_numbers(page: &str) -> bool {
    page.split(|c: char| !c.is_alphanumeric()).all(|word| !matches!(word, "NaN" | "inf"))
}

#[test]
fn whatever_is_missing_is_left_out() {
    let page = html(&ReportData::default());
    parse(&page);
    assert!(only_numbers(&page));
    assert!(terminal(&ReportData::default(), false).lines().count() < 4);

    let mut data = fixture::report();
    for c in &mut data.conditions {
        c.metrics.iter_mut().for_each(|m| m.estimate = Estimate::default());
        c.roc = vec![(f64::NAN, 0.5), (f64::INFINITY, f64::NEG_INFINITY)];
        c.histogram.edges.truncate(3);
        c.histogram.genuine.clear();
        c.reliability.iter_mut().for_each(|b| b.mean_p = f64::NAN);
    }
    data.slices.iter_mut().flat_map(|s| &mut s.rows).for_each(|r| r.estimate = Estimate::default());
    let page = html(&data);
    parse(&page);
    assert!(only_numbers(&page));
    assert!(page.contains("n/a"));
}

#[test]
fn the_same_data_gives_the_same_bytes() {
    assert_eq!(html(&fixture::report()), html(&fixture::report()));
}

#[test]
fn data_survives_json() {
    let mut data = fixture::report();
    data.slices[0].overall = f64::NAN;
    let json = serde_json::to_string(&data).unwrap();
    let back: ReportData = serde_json::from_str(&json).unwrap();
    assert!(back.slices[0].overall.is_nan());
    assert_eq!(html(&back), html(&data));
    assert!(serde_json::from_str::<ReportData>(&json.replacen("\"title\"", "\"titel\"", 1)).is_err());
}

#[test]
fn the_figures_become_markdown() {
    let mut data = fixture::report();
    data.slices[1].rows[0].name = "a|b <script>\nc".into();
    let page = markdown(&data);
    assert!(!page.contains("<script>") && !page.contains("a|b"), "{page}");
    insta::assert_snapshot!(page);
}

#[test]
fn the_terminal_shows_a_table() {
    let mut data = fixture::report();
    data.slices[1].rows[0].name = "写真\u{202e} 从手机发送的照片 and a very long name indeed".into();
    insta::assert_snapshot!(terminal(&data, false));
}

#[test]
fn colour_marks_the_worst_group() {
    let data = fixture::report();
    let (plain, coloured) = (terminal(&data, false), terminal(&data, true));
    assert!(!plain.contains('\u{1b}'));
    assert_eq!(coloured.replace("\u{1b}[1m", "").replace("\u{1b}[0m", ""), plain);
    let bold: Vec<_> = coloured.lines().filter(|l| l.starts_with("\u{1b}[1m  ")).collect();
    assert_eq!(bold.len(), data.slices.len());
    assert!(bold[0].contains("flux-1-schnell") && data.slices[0].class == Class::Fabricated);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_name_changes_the_page(name in "[<>&\"'/= a-z\\p{any}]{1,40}") {
        let data = named(&name);
        prop_assert_eq!(shape(&data), shape(&named("x")));
        let hostile =
            |c: char| matches!(c as u32, 0x200e..=0x200f | 0x202a..=0x202e | 0x2066..=0x2069);
        prop_assert!(!html(&data).contains(hostile));
        prop_assert!(!terminal(&data, true).contains(hostile));
    }
}
