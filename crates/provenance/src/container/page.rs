//! Texts: plain, Markdown with YAML front matter, HTML, and SVG.

use crate::bytes::{base64, utf16};
use crate::container::Kind;
use crate::report::Location;
use crate::sink::{Sink, Space, place};

fn starts_ignoring_case(b: &[u8], start: &str) -> bool {
    b.get(..start.len()).is_some_and(|s| s.eq_ignore_ascii_case(start.as_bytes()))
}

/// Tells the kinds of text apart; anything with many control characters is not a text.
pub(crate) fn kind(b: &[u8]) -> Kind {
    let Some(text) = decode(b.get(..16_384).unwrap_or(b)) else { return Kind::Unknown };
    let odd = text
        .chars()
        .filter(|c| c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\u{c}' | '\u{1b}'))
        .count();
    if odd.saturating_mul(100) > text.chars().count() || text.is_empty() {
        return Kind::Unknown;
    }
    let start = text.trim_start().as_bytes();
    let head = start.get(..4096).unwrap_or(start);
    let has = |needle: &[u8]| head.windows(needle.len()).any(|w| w.eq_ignore_ascii_case(needle));
    let xml = starts_ignoring_case(start, "<?xml") || starts_ignoring_case(start, "<!--");
    if starts_ignoring_case(start, "<svg")
        || starts_ignoring_case(start, "<!doctype svg")
        || (xml && has(b"<svg"))
    {
        return Kind::Svg;
    }
    let html = ["<!doctype html", "<html", "<head", "<body"].iter().any(|t| starts_ignoring_case(start, t));
    if html || (xml && has(b"<html")) { Kind::Html } else { Kind::Text }
}

/// A text in UTF-8 or UTF-16 with a mark; other encodings as far as they share ASCII.
pub(crate) fn decode(b: &[u8]) -> Option<String> {
    Some(match b {
        [0xfe, 0xff, rest @ ..] => utf16(rest, true),
        [0xff, 0xfe, rest @ ..] => utf16(rest, false),
        _ => {
            let b = b.strip_prefix(b"\xef\xbb\xbf").unwrap_or(b);
            if b.contains(&0) {
                return None;
            }
            String::from_utf8_lossy(b).into_owned()
        }
    })
}

/// SVG 2: an XMP packet and a C2PA manifest in `metadata`.
pub(crate) fn svg(data: &[u8], sink: &mut Sink<'_>) {
    if !sink.spend(data.len().min(sink.limits.max_value)) {
        return;
    }
    sink.xmp(data, place("SVG", 0));
    let Some(packet) = sink.packets.last() else { return };
    let manifest = packet.props.iter().find(|p| p.name == "manifest" && p.ns == "http://c2pa.org/manifest");
    let store = manifest.and_then(|p| base64(&p.value, sink.limits.max_value));
    if let Some(store) = store {
        sink.store(&store, Location { place: "SVG metadata, c2pa:manifest".into(), offset: None });
    }
}

/// YAML front matter: `AIGC:` with a JSON object behind it or a mapping below it. Other keys are passed over.
pub(crate) fn front_matter(text: &str, sink: &mut Sink<'_>) {
    let Some((block, _)) = split_front_matter(text) else { return };
    let mut lines = block.lines().peekable();
    while let Some(line) = lines.next() {
        let Some((key, rest)) = line.split_once(':') else { continue };
        let key = unquote(key.trim());
        if key.is_empty() || line.starts_with([' ', '\t', '#', '-']) {
            continue;
        }
        let rest = rest.trim();
        let mut value = rest.to_owned();
        if rest.is_empty() || matches!(rest, "|" | ">" | "|-" | ">-") {
            let mut entries = Vec::new();
            while let Some(line) = lines.next_if(|l| l.starts_with([' ', '\t']) || l.trim().is_empty()) {
                entries.push(line);
            }
            value = if rest.is_empty() { mapping(&entries) } else { entries.concat() };
        } else if let Some(folded) = rest.strip_prefix('\'').and_then(|r| r.strip_suffix('\'')) {
            value = folded.replace("''", "'");
        } else if rest.starts_with('"') {
            value = unquote(rest);
        }
        sink.text(Space::Page, key, value, place("YAML front matter", 0));
    }
}

/// Whether a text is an e-mail: up to an empty line header fields only, `From`, `Date` and one that programs add (RFC 5322). Nothing may
/// be written before them.
pub(crate) fn is_mail(text: &str) -> bool {
    let (mut sender, mut date, mut added) = (false, false, false);
    for line in text.lines().take_while(|line| !line.is_empty()).take(1000) {
        if line.starts_with([' ', '\t']) {
            continue;
        }
        let Some((name, _)) = line.split_once(':').filter(|(name, _)| !name.contains(' ')) else {
            return false;
        };
        match name.to_ascii_lowercase().as_str() {
            "from" => sender = true,
            "date" => date = true,
            "received" | "message-id" | "mime-version" | "return-path" => added = true,
            _ => {}
        }
    }
    sender && date && added
}

/// The lines between two lines `---`, and what follows.
pub(crate) fn split_front_matter(text: &str) -> Option<(&str, &str)> {
    let rest = text.strip_prefix('\u{feff}').unwrap_or(text).strip_prefix("---")?;
    let rest = rest.strip_prefix("\r\n").or_else(|| rest.strip_prefix('\n'))?;
    let mut at = 0;
    for line in rest.split_inclusive('\n').take(4096) {
        if matches!(line.trim_end(), "---" | "...") {
            return Some((rest.get(..at)?, rest.get(at.checked_add(line.len())?..)?));
        }
        at = at.checked_add(line.len())?;
    }
    None
}

fn unquote(text: &str) -> String {
    if let Some(crate::json::Value::String(s)) = crate::json::parse(text) {
        return s;
    }
    text.trim_matches(['"', '\'']).to_owned()
}

/// Indented `key: value` lines as a JSON object.
fn mapping(lines: &[&str]) -> String {
    let mut out = String::from("{");
    for line in lines {
        let Some((key, value)) = line.split_once(':') else { continue };
        if out.len() > 1 {
            out.push_str(", ");
        }
        crate::json::quote(&unquote(key.trim()), &mut out);
        out.push_str(": ");
        crate::json::quote(&unquote(value.trim()), &mut out);
    }
    out.push('}');
    out
}

/// Tags whose content is not prose.
const SKIPPED: &[&str] =
    &["script", "style", "template", "noscript", "code", "pre", "blockquote", "q", "svg", "textarea"];

/// The prose of an HTML page, code and quotations left out; `meta` elements go to the sink.
pub(crate) fn html(text: &str, sink: &mut Sink<'_>) -> String {
    let mut out = String::new();
    let mut rest = text;
    let mut skipping: Option<&str> = None;
    while let Some(at) = rest.find('<') {
        if skipping.is_none() {
            entities(rest.get(..at).unwrap_or_default(), &mut out);
        }
        let tag = rest.get(at..).unwrap_or_default();
        if let Some(comment) = tag.strip_prefix("<!--") {
            rest = comment.find("-->").and_then(|e| comment.get(e + 3..)).unwrap_or_default();
            continue;
        }
        let (inside, after) = tag.get(1..).and_then(|t| t.split_once('>')).unwrap_or((tag, ""));
        rest = after;
        let closing = inside.starts_with('/');
        let name: String = inside
            .trim_start_matches('/')
            .chars()
            .take_while(char::is_ascii_alphanumeric)
            .take(16)
            .collect::<String>()
            .to_ascii_lowercase();
        match skipping {
            Some(open) if closing && name == open => skipping = None,
            None if !closing && !inside.ends_with('/') => {
                skipping = SKIPPED.iter().find(|s| **s == name).copied();
            }
            _ => {}
        }
        if name == "meta" && !closing && sink.item() {
            meta_tag(inside, sink);
        }
        if matches!(name.as_str(), "p" | "br" | "div" | "li" | "h1" | "h2" | "h3" | "h4" | "tr" | "td") {
            out.push('\n');
        }
    }
    if skipping.is_none() {
        entities(rest, &mut out);
    }
    out
}

fn entities(text: &str, out: &mut String) {
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(rest.get(..at).unwrap_or_default());
        let tail = rest.get(at..).unwrap_or_default();
        let end = tail.char_indices().take(12).find(|(_, c)| *c == ';').map(|(i, _)| i);
        let named = end.and_then(|e| tail.get(1..e));
        let c = match named {
            Some("lt") => Some('<'),
            Some("gt") => Some('>'),
            Some("amp") => Some('&'),
            Some("quot") => Some('"'),
            Some("apos" | "#39") => Some('\''),
            Some("nbsp") => Some('\u{a0}'),
            Some(n) => n
                .strip_prefix("#x")
                .map_or_else(
                    || n.strip_prefix('#').and_then(|d| d.parse().ok()),
                    |h| u32::from_str_radix(h, 16).ok(),
                )
                .and_then(char::from_u32),
            None => None,
        };
        if let (Some(c), Some(end)) = (c, end) {
            out.push(c);
            rest = tail.get(end + 1..).unwrap_or_default();
        } else {
            out.push('&');
            rest = tail.get(1..).unwrap_or_default();
        }
    }
    out.push_str(rest);
}

/// `<meta name="…" content="…">`.
fn meta_tag(inside: &str, sink: &mut Sink<'_>) {
    let (mut name, mut content) = (None, None);
    let mut rest = inside;
    while let Some((key, after)) = rest.split_once('=') {
        let key = key.rsplit(|c: char| c.is_whitespace()).next().unwrap_or_default();
        let after = after.trim_start();
        let quote = after.chars().next().filter(|c| matches!(c, '"' | '\''));
        let (value, next) = match quote {
            Some(q) => after.get(1..).and_then(|a| a.split_once(q)).unwrap_or((after, "")),
            None => after.split_once(|c: char| c.is_whitespace()).unwrap_or((after, "")),
        };
        let mut plain = String::new();
        entities(value, &mut plain);
        if key.eq_ignore_ascii_case("name") || key.eq_ignore_ascii_case("property") {
            name = Some(plain);
        } else if key.eq_ignore_ascii_case("content") {
            content = Some(plain);
        }
        rest = next;
    }
    if let (Some(name), Some(content)) = (name, content) {
        let location = Location { place: format!("HTML meta {}", name.escape_debug()), offset: None };
        sink.text(Space::Page, name, content, location);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Limits;

    #[test]
    fn front_matter_becomes_json() {
        let limits = Limits::default();
        let mut sink = Sink::new(&limits);
        front_matter("---\ntitle: A\nAIGC:\n  Label: \"1\"\n  ContentProducer: x:y\n---\nText", &mut sink);
        assert_eq!(sink.texts[1].key, "AIGC");
        assert_eq!(sink.texts[1].value, "{\"Label\": \"1\", \"ContentProducer\": \"x:y\"}");
    }

    #[test]
    fn prose_of_a_page() {
        let limits = Limits::default();
        let mut sink = Sink::new(&limits);
        let page =
            "<html><meta name=AIGC content='{&quot;Label&quot;:1}'><p>a &amp; b<code>turn0search0</code> c";
        assert_eq!(html(page, &mut sink).trim(), "a & b c");
        assert_eq!(sink.texts[0].value, "{\"Label\":1}");
    }
}
