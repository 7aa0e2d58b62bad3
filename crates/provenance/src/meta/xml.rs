//! XML (with namespaces, without entities of its own) as a flat list of properties: XMP (ISO 16684-1), SVG, the property
//! parts of office documents.

use quick_xml::Reader;
use quick_xml::events::Event;

use crate::bytes::utf16;
use crate::report::Limits;

pub(crate) const RDF: &str = "http://www.w3.org/1999/02/22-rdf-syntax-ns#";
const XML: &str = "http://www.w3.org/XML/1998/namespace";

/// A property: an attribute, or an element with text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Prop {
    /// Namespace of the name; empty if it has none.
    pub(crate) ns: String,
    /// Local name.
    pub(crate) name: String,
    /// Text. Items of an RDF list are parted by line feeds.
    pub(crate) value: String,
    /// For an attribute, the local name of its element.
    pub(crate) element: Option<String>,
    /// A property of the resource itself: inside `rdf:RDF` and not inside another property.
    pub(crate) top: bool,
}

/// What was read.
#[derive(Debug, Default)]
pub(crate) struct Doc {
    pub(crate) props: Vec<Prop>,
    /// Local name of the first element.
    pub(crate) root: String,
    /// The end was not reached.
    pub(crate) cut: bool,
}

struct Frame {
    ns: String,
    name: String,
    text: String,
    /// Bindings of prefixes before this element.
    bindings: usize,
}

const MAX_BINDINGS: usize = 256;

fn split(name: &[u8]) -> (&[u8], &[u8]) {
    match name.iter().position(|&b| b == b':') {
        Some(at) => (name.get(..at).unwrap_or_default(), name.get(at + 1..).unwrap_or_default()),
        None => (&[], name),
    }
}

fn lookup(bindings: &[(Vec<u8>, String)], prefix: &[u8]) -> String {
    if prefix == b"xml" {
        return XML.to_owned();
    }
    bindings.iter().rev().find(|(p, _)| p == prefix).map(|(_, ns)| ns.clone()).unwrap_or_default()
}

/// UTF-16 and UTF-32 packets become UTF-8 first.
fn to_utf8(data: &[u8]) -> std::borrow::Cow<'_, [u8]> {
    match data {
        [0xfe, 0xff, rest @ ..] => utf16(rest, true).into_bytes().into(),
        [0xff, 0xfe, rest @ ..] => utf16(rest, false).into_bytes().into(),
        [0, b'<', ..] => utf16(data, true).into_bytes().into(),
        [b'<', 0, ..] => utf16(data, false).into_bytes().into(),
        [0xef, 0xbb, 0xbf, rest @ ..] => rest.into(),
        _ => data.into(),
    }
}

/// Reads as far as the XML is well-formed and within the limits.
pub(crate) fn read(data: &[u8], limits: &Limits) -> Doc {
    let data = to_utf8(data);
    let mut reader = Reader::from_reader(data.as_ref());
    let config = reader.config_mut();
    config.expand_empty_elements = true;
    config.check_end_names = false;
    config.allow_unmatched_ends = true;
    let mut doc = Doc::default();
    let mut stack: Vec<Frame> = Vec::new();
    let mut bindings: Vec<(Vec<u8>, String)> = Vec::new();
    let mut copied = 0_usize;
    for _ in 0..limits.max_items.saturating_mul(8) {
        if copied > limits.max_value {
            break;
        }
        match reader.read_event() {
            Ok(Event::Start(tag)) => {
                if stack.len() >= limits.max_depth {
                    break;
                }
                let before = bindings.len();
                let mut attributes = Vec::new();
                for attribute in tag.attributes().with_checks(false) {
                    let Ok(attribute) = attribute else { continue };
                    let value = match attribute.unescape_value() {
                        Ok(value) => value.into_owned(),
                        Err(_) => String::from_utf8_lossy(&attribute.value).into_owned(),
                    };
                    copied = copied.saturating_add(value.len()).saturating_add(16);
                    let (prefix, local) = split(attribute.key.as_ref());
                    if prefix == b"xmlns" || (prefix.is_empty() && local == b"xmlns") {
                        let bound = if prefix.is_empty() { &[][..] } else { local };
                        if bindings.len() < MAX_BINDINGS {
                            bindings.push((bound.to_vec(), value));
                        }
                    } else {
                        attributes.push((prefix.to_vec(), local.to_vec(), value));
                    }
                    if copied > limits.max_value {
                        break;
                    }
                }
                let name = tag.name();
                let (prefix, local) = split(name.as_ref());
                let name = String::from_utf8_lossy(local).into_owned();
                let ns = lookup(&bindings, prefix);
                if stack.is_empty() && doc.root.is_empty() {
                    doc.root.clone_from(&name);
                }
                let mut text = String::new();
                // Attributes of a description belong to what the description stands in.
                let top = ns == RDF && name == "Description" && in_resource(&stack, true);
                for (prefix, local, value) in attributes {
                    let local = String::from_utf8_lossy(&local).into_owned();
                    let bound = if prefix.is_empty() { String::new() } else { lookup(&bindings, &prefix) };
                    if bound == RDF {
                        if local == "resource" {
                            text = value;
                        }
                        continue;
                    }
                    if bound == XML {
                        continue;
                    }
                    copied = copied.saturating_add(bound.len()).saturating_add(name.len());
                    let element = Some(name.clone());
                    doc.props.push(Prop { ns: bound, name: local, value, element, top });
                }
                copied = copied.saturating_add(ns.len()).saturating_add(name.len());
                stack.push(Frame { ns, name, text, bindings: before });
            }
            Ok(Event::End(_)) => {
                let Some(frame) = stack.pop() else { continue };
                bindings.truncate(frame.bindings);
                if frame.ns == RDF {
                    // Items of a list end a line of the property that holds the list.
                    if let Some(owner) = stack.iter_mut().rev().find(|f| f.ns != RDF) {
                        let text = frame.text.trim();
                        if frame.name == "li" && !text.is_empty() {
                            if !owner.text.trim().is_empty() {
                                owner.text.push('\n');
                            }
                            owner.text.push_str(text);
                        } else if frame.name == "value" {
                            owner.text.push_str(text);
                        }
                    }
                    continue;
                }
                let value = frame.text.trim();
                if !value.is_empty() {
                    let top = in_resource(&stack, false);
                    let value = value.to_owned();
                    doc.props.push(Prop { ns: frame.ns, name: frame.name, value, element: None, top });
                }
            }
            Ok(Event::Text(text)) => {
                if let Some(frame) = stack.last_mut() {
                    copied = copied.saturating_add(text.len());
                    frame.text.push_str(&String::from_utf8_lossy(&text));
                }
            }
            Ok(Event::CData(text)) => {
                if let Some(frame) = stack.last_mut() {
                    copied = copied.saturating_add(text.len());
                    frame.text.push_str(&String::from_utf8_lossy(&text));
                }
            }
            Ok(Event::GeneralRef(entity)) => {
                if let Some(frame) = stack.last_mut() {
                    let c = match &entity[..] {
                        b"lt" => Some('<'),
                        b"gt" => Some('>'),
                        b"amp" => Some('&'),
                        b"quot" => Some('"'),
                        b"apos" => Some('\''),
                        _ => entity.resolve_char_ref().ok().flatten(),
                    };
                    copied = copied.saturating_add(4);
                    frame.text.extend(c);
                }
            }
            Ok(Event::Eof) => {
                doc.cut = !stack.is_empty();
                return doc;
            }
            // Declarations, comments and processing instructions say nothing; a DTD is not read.
            Ok(_) => {}
            Err(_) => break,
        }
    }
    doc.cut = true;
    doc
}

/// Whether a property here is one of the resource that the packet describes.
fn in_resource(stack: &[Frame], is_description: bool) -> bool {
    let Some(rdf) = stack.iter().position(|f| f.ns == RDF && f.name == "RDF") else { return false };
    let inside = stack.get(rdf + 1..).unwrap_or_default();
    let described = is_description || inside.iter().any(|f| f.ns == RDF && f.name == "Description");
    described && inside.iter().all(|f| f.ns == RDF && f.name == "Description")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn top(doc: &Doc) -> Vec<(&str, &str)> {
        doc.props.iter().filter(|p| p.top).map(|p| (p.name.as_str(), p.value.as_str())).collect()
    }

    #[test]
    fn properties_as_attributes_elements_lists_and_references() {
        let xmp = r#"<?xpacket begin=""?><x:xmpmeta xmlns:x="adobe:ns:meta/"><r:RDF
            xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><r:Description r:about="" xmlns:a="urn:a" a:one="1">
            <a:two>{&quot;k&quot;:&#x31;}</a:two><a:three><r:Bag><r:li>x</r:li><r:li>y</r:li></r:Bag></a:three>
            <a:four r:resource="urn:f"/><a:five><r:Description a:inner="no"/></a:five>
            <a:six r:parseType="Resource"><a:inner>no</a:inner></a:six></r:Description></r:RDF></x:xmpmeta>"#;
        let doc = read(xmp.as_bytes(), &Limits::default());
        assert!(!doc.cut);
        assert_eq!(top(&doc), [("one", "1"), ("two", "{\"k\":1}"), ("three", "x\ny"), ("four", "urn:f")]);
        assert!(doc.props.iter().filter(|p| p.name != "xmptk").all(|p| p.ns == "urn:a"));
    }

    #[test]
    fn entities_of_a_file_are_not_expanded() {
        let xml = r#"<!DOCTYPE a [<!ENTITY x "xxxxxxxx"><!ENTITY y "&x;&x;&x;">]><a><b>&y;</b></a>"#;
        assert!(read(xml.as_bytes(), &Limits::default()).props.is_empty());
    }

    #[test]
    fn depth_is_bounded() {
        assert!(read("<a>".repeat(100_000).as_bytes(), &Limits::default()).cut);
    }

    #[test]
    fn utf_16_is_read() {
        let text = "<r:RDF xmlns:r=\"http://www.w3.org/1999/02/22-rdf-syntax-ns#\"><r:Description xmlns:a=\"u\" a:b=\"c\"/></r:RDF>";
        let bytes: Vec<u8> = [0xfe, 0xff].into_iter().chain(text.bytes().flat_map(|b| [0, b])).collect();
        assert_eq!(top(&read(&bytes, &Limits::default())), [("b", "c")]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(text in "(<|>|/|rdf:|RDF|x:a|=\"|xmlns:x=\"u\"|&#1;|&amp;| |<!\\[CDATA\\[|\\]\\]>|[a-z]){0,60}") {
            let _ = read(text.as_bytes(), &Limits::default());
        }
    }
}
