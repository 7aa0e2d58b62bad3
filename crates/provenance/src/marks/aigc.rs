//! The implicit label of China's GB 45438-2025 (annex E), and the shape that `ByteDance` apps export.

use crate::json::{self, Value};
use crate::marks::Draft;
use crate::report::{Grade, Location, Says, Statement, WarningCode};
use crate::sink::{Sink, Space};

/// Namespace of the XMP property (TC260-PG-20259A).
pub(crate) const NAMESPACE: &str = "http://www.tc260.org.cn/ns/AIGC/1.0/";
const FIELDS: [&str; 6] =
    ["ContentProducer", "ProduceID", "ReservedCode1", "ContentPropagator", "PropagateID", "ReservedCode2"];

/// Labels of one file that are compared.
const MAX_LABELS: usize = 64;

/// A label that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Label {
    pub(crate) label: u8,
    pub(crate) fields: Vec<(String, String)>,
}

fn get<'a>(object: &'a Value, key: &str) -> Option<&'a Value> {
    object.entries().iter().find(|(k, _)| k.trim().eq_ignore_ascii_case(key)).map(|(_, v)| v)
}

/// Reads the bare or the wrapped form.
pub(crate) fn parse(text: &str) -> Option<Label> {
    let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0' || c == '\u{feff}');
    let mut value = json::parse(text)?;
    // Some writers quote the object once more.
    for _ in 0..2 {
        if let Some(inner) = value.str() {
            value = json::parse(inner.trim())?;
        }
        if let Some(inner) = get(&value, "AIGC") {
            value = inner.clone();
        }
    }
    from_object(&value)
}

fn from_object(value: &Value) -> Option<Label> {
    let label = get(value, "Label")?.scalar()?;
    let label = match label.trim() {
        "1" => 1,
        "2" => 2,
        "3" => 3,
        _ => return None,
    };
    let mut fields = vec![("Label".to_owned(), label.to_string())];
    for key in FIELDS {
        if let Some(found) = get(value, key).and_then(Value::scalar) {
            fields.push((key.to_owned(), found));
        }
    }
    Some(Label { label, fields })
}

/// Whether `text` is the wrapped form, which needs no key to be known by.
pub(crate) fn wrapped(text: &str) -> bool {
    let text = text.trim_start_matches(|c: char| c.is_whitespace() || c == '\0');
    text.starts_with('{')
        && json::parse_object(text)
            .is_some_and(|v| get(&v, "AIGC").is_some_and(|i| get(i, "Label").is_some()))
}

fn is_key(space: Space, key: &str) -> bool {
    let key = key.trim();
    let last = match space {
        Space::Id3 => key.strip_prefix("TXXX:").or_else(|| key.strip_prefix("COMM:")).unwrap_or_default(),
        Space::Mp4 => key.rsplit([':', '.']).next().unwrap_or_default(),
        _ => key,
    };
    last.trim().eq_ignore_ascii_case("AIGC")
}

/// Every label in the collected metadata, copies included.
pub(crate) fn find(sink: &mut Sink<'_>) -> Vec<(Label, Location)> {
    let mut found: Vec<(Label, Location)> = Vec::new();
    let mut unreadable = false;
    for text in &sink.texts {
        let free = matches!(
            (text.space, text.key.as_str()),
            (Space::Exif, "UserComment" | "ImageDescription" | "MakerNote") | (Space::Comment, _)
        ) || matches!(text.space, Space::Id3 if text.key.starts_with("COMM") || text.key.starts_with("TXXX"))
            || matches!(
                (text.space, text.key.as_str()),
                (Space::Mp4, "©cmt" | "©des") | (Space::Chunk, "ICMT")
            )
            || (text.space == Space::Png && matches!(text.key.as_str(), "Comment" | "Description"))
            || (text.space == Space::Vorbis
                && matches!(text.key.to_ascii_uppercase().as_str(), "COMMENT" | "DESCRIPTION"));
        if is_key(text.space, &text.key) {
            match parse(&text.value) {
                Some(label) => found.push((label, text.location.clone())),
                None => unreadable |= text.value.trim_start().starts_with('{'),
            }
        } else if free && wrapped(&text.value) {
            found.extend(parse(&text.value).map(|label| (label, text.location.clone())));
        }
    }
    for packet in &sink.packets {
        for prop in packet.props.iter().filter(|p| p.top && p.name == "AIGC") {
            if prop.ns.trim_end_matches('/') == NAMESPACE.trim_end_matches('/') {
                match parse(&prop.value) {
                    Some(label) => found.push((label, packet.location.clone())),
                    None => unreadable = true,
                }
            }
        }
    }
    found.truncate(MAX_LABELS);
    if unreadable {
        sink.warn(WarningCode::NotRead, "a label of GB 45438-2025 is there, but cannot be read");
    }
    found
}

pub(crate) fn read(sink: &mut Sink<'_>, out: &mut Vec<Statement>) {
    let found = find(sink);
    if found.iter().any(|(label, _)| found.iter().any(|(other, _)| other != label)) {
        sink.warn(
            WarningCode::Contradiction,
            "the file has labels of GB 45438-2025 that contradict each other",
        );
    }
    let mut said: Vec<Label> = Vec::new();
    for (label, location) in found {
        if said.contains(&label) {
            continue;
        }
        let (grade, says, words) = match label.label {
            1 => (
                Grade::Strong,
                Says::Ai,
                "The file carries a Chinese AIGC label that states: made by generative AI.",
            ),
            2 => (
                Grade::Medium,
                Says::AiSuspected,
                "The file carries a Chinese AIGC label that states: possibly made by generative AI.",
            ),
            _ => (
                Grade::Medium,
                Says::AiSuspected,
                "The file carries a Chinese AIGC label that states: suspected to be made by generative AI.",
            ),
        };
        let mut draft = Draft::new("china-aigc", grade, says, &location, words);
        for (key, value) in &label.fields {
            draft = draft.field(key, value.clone());
        }
        if let Some((_, producer)) =
            label.fields.iter().find(|(k, v)| k == "ContentProducer" && !v.is_empty())
        {
            draft = draft.generator(product(producer));
        }
        out.push(draft.done());
        said.push(label);
    }
    export(sink, out);
}

/// Codes name a legal entity; of two it is known which product writes them.
fn product(code: &str) -> String {
    match code {
        "001191110102MACQD9K64010000" => "Doubao".to_owned(),
        "00119144030008867405X210001" => "Jimeng".to_owned(),
        other => other.to_owned(),
    }
}

/// `{"data": {"product": …, "aigc_info": "{\"aigc_type\": n}"}}`: type 1 is a disclosure, 0 says nothing.
fn export(sink: &Sink<'_>, out: &mut Vec<Statement>) {
    for text in sink
        .texts
        .iter()
        .filter(|t| matches!(t.space, Space::Exif | Space::Comment | Space::Mp4 | Space::Png))
    {
        if !text.value.contains("aigc_") {
            continue;
        }
        let Some(value) = json::parse_object(&text.value) else { continue };
        let Some(kind) = export_type(&value, 0) else { continue };
        let data = value.get("data").unwrap_or(&value);
        let product = data.get("product").and_then(Value::scalar).unwrap_or_default();
        let (grade, says, words) = if kind == "1" {
            (Grade::Medium, Says::Ai, "The file carries an app's export data with its AI disclosure set.")
        } else {
            (Grade::Weak, Says::Other, "The file carries an app's export data that says nothing about AI.")
        };
        let draft = Draft::new("bytedance-export", grade, says, &text.location, words)
            .field("aigc_type", kind)
            .field("product", product);
        out.push(draft.done());
    }
}

fn export_type(value: &Value, depth: usize) -> Option<String> {
    if depth > 4 {
        return None;
    }
    for (key, inner) in value.entries() {
        if matches!(key.as_str(), "aigc_type" | "aigc_label_type")
            && let Some(kind) = inner.scalar()
        {
            return Some(kind);
        }
        let found = match inner.str() {
            Some(text) if text.trim_start().starts_with('{') => {
                json::parse_object(text).and_then(|v| export_type(&v, depth + 1))
            }
            _ => export_type(inner, depth + 1),
        };
        if found.is_some() {
            return found;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bare_wrapped_quoted_and_lenient() {
        let bare = r#"{"Label":"1","ContentProducer":"X","ProduceID":"1"}"#;
        let label = parse(bare).unwrap();
        assert_eq!(label.label, 1);
        assert_eq!(parse(&format!("{{\"AIGC\": {bare}}}")), Some(label.clone()));
        let mut quoted = String::new();
        json::quote(bare, &mut quoted);
        assert_eq!(parse(&quoted), Some(label));
        assert_eq!(parse(r#"{ "Label" : 2 , "ContentProducer" : "中文" }"#).unwrap().label, 2);
        assert_eq!(parse(r#"{"Label":"0"}"#), None);
        assert_eq!(parse("made with AIGC"), None);
    }
}
