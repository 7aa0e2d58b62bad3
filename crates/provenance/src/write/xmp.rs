//! The AIGC property in XMP packets (ISO 16684-1).

use quick_xml::Reader;
use quick_xml::events::Event;

use crate::marks::aigc::NAMESPACE;
use crate::meta::xml::RDF;
use crate::{Error, Result};

const DAMAGED: Error = Error::Damaged("XMP packet");

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A packet with nothing but the label.
pub(super) fn fresh(json: &str) -> Vec<u8> {
    format!(
        "<?xpacket begin=\"\u{feff}\" id=\"W5M0MpCehiHzreSzNTczkc9d\"?>\n<x:xmpmeta xmlns:x=\"adobe:ns:meta/\">\n <rdf:RDF \
         xmlns:rdf=\"{RDF}\">\n  {}\n </rdf:RDF>\n</x:xmpmeta>\n<?xpacket end=\"w\"?>",
        description("rdf", "", json)
    )
    .into_bytes()
}

fn description(rdf: &str, about: &str, json: &str) -> String {
    let json = escape(json);
    format!(
        "<{rdf}:Description {rdf}:about=\"{about}\" xmlns:TC260=\"{NAMESPACE}\"><TC260:AIGC>{json}</TC260:AIGC></{rdf}:Description>"
    )
}

/// Prefix and local name.
fn split(name: &[u8]) -> (String, String) {
    let name = String::from_utf8_lossy(name);
    match name.split_once(':') {
        Some((prefix, local)) => (prefix.to_owned(), local.to_owned()),
        None => (String::new(), name.into_owned()),
    }
}

/// A packet with its labels taken out and the new one put in; everything else stays as it is.
pub(super) fn edit(packet: &[u8], json: &str) -> Result<Vec<u8>> {
    let text = std::str::from_utf8(packet).map_err(|_| DAMAGED)?;
    let mut reader = Reader::from_str(text);
    reader.config_mut().check_end_names = true;
    let mut prefixes: Vec<(String, String, usize)> = Vec::new();
    let mut depth = 0_usize;
    let mut cuts: Vec<(usize, usize)> = Vec::new();
    let mut removing: Option<(usize, usize)> = None;
    let mut insert: Option<(usize, String)> = None;
    let mut about: Option<String> = None;
    let mut at = 0_usize;
    for _ in 0..1_000_000 {
        let event = reader.read_event().map_err(|_| DAMAGED)?;
        let end = usize::try_from(reader.buffer_position()).map_err(|_| DAMAGED)?;
        let namespace = |prefixes: &[(String, String, usize)], prefix: &str| {
            prefixes.iter().rev().find(|(p, ..)| p == prefix).map(|(_, ns, _)| ns.clone()).unwrap_or_default()
        };
        let is_label = |ns: &str, local: &str| {
            local == "AIGC" && ns.trim_end_matches('/') == NAMESPACE.trim_end_matches('/')
        };
        match event {
            Event::Start(ref tag) | Event::Empty(ref tag) => {
                let empty = matches!(event, Event::Empty(_));
                if depth > 64 || prefixes.len() > 256 {
                    return Err(DAMAGED);
                }
                for attribute in tag.attributes().with_checks(false).flatten() {
                    let (prefix, local) = split(attribute.key.as_ref());
                    let value = String::from_utf8_lossy(&attribute.value).into_owned();
                    if prefix == "xmlns" {
                        prefixes.push((local, value, depth));
                    } else if prefix.is_empty() && local == "xmlns" {
                        prefixes.push((String::new(), value, depth));
                    }
                }
                let (prefix, local) = split(tag.name().as_ref());
                let ns = namespace(&prefixes, &prefix);
                for attribute in tag.attributes().with_checks(false).flatten() {
                    let (prefix, local) = split(attribute.key.as_ref());
                    let bound = namespace(&prefixes, &prefix);
                    if is_label(&bound, &local) {
                        cuts.push(attribute_range(text, at, end, attribute.key.as_ref())?);
                    } else if bound == RDF && local == "about" && about.is_none() {
                        about = Some(String::from_utf8_lossy(&attribute.value).into_owned());
                    }
                }
                if is_label(&ns, &local) && removing.is_none() {
                    if empty {
                        cuts.push((at, end));
                    } else {
                        removing = Some((at, depth));
                    }
                }
                // An empty element for the whole RDF cannot hold a description.
                if empty && ns == RDF && local == "RDF" {
                    return Err(DAMAGED);
                }
                if empty {
                    prefixes.retain(|(.., d)| *d < depth);
                } else {
                    depth += 1;
                }
            }
            Event::End(ref tag) => {
                depth = depth.checked_sub(1).ok_or(DAMAGED)?;
                let (prefix, local) = split(tag.name().as_ref());
                if let Some((start, d)) = removing
                    && d == depth
                {
                    cuts.push((start, end));
                    removing = None;
                }
                if local == "RDF" && namespace(&prefixes, &prefix) == RDF && insert.is_none() {
                    insert = Some((at, prefix));
                }
                prefixes.retain(|(.., d)| *d < depth);
            }
            Event::Eof => break,
            _ => {}
        }
        at = end;
    }
    let (position, prefix) = insert.ok_or(DAMAGED)?;
    if prefix.is_empty() {
        return Err(Error::Refused("the XMP packet is written in an unusual way"));
    }
    let added = description(&prefix, &about.unwrap_or_default(), json);
    let mut out = String::with_capacity(text.len() + added.len());
    let mut from = 0;
    for (start, end) in cuts.into_iter().filter(|(_, end)| *end <= position) {
        out.push_str(text.get(from..start).ok_or(DAMAGED)?);
        from = end;
    }
    out.push_str(text.get(from..position).ok_or(DAMAGED)?);
    out.push_str(&added);
    out.push_str(text.get(position..).ok_or(DAMAGED)?);
    Ok(out.into_bytes())
}

/// Where an attribute stands in the tag at `at..end`, with the white space before it.
fn attribute_range(text: &str, at: usize, end: usize, key: &[u8]) -> Result<(usize, usize)> {
    let tag = text.get(at..end).ok_or(DAMAGED)?;
    let key = std::str::from_utf8(key).map_err(|_| DAMAGED)?;
    // Walk over quoted values, so that a key inside a value is not taken for one.
    let mut quote: Option<char> = None;
    for (i, c) in tag.char_indices() {
        match quote {
            Some(q) if c == q => quote = None,
            None if c == '"' || c == '\'' => quote = Some(c),
            None if c.is_whitespace() => {
                let rest = tag.get(i..).ok_or(DAMAGED)?.trim_start();
                let Some(after) =
                    rest.strip_prefix(key).map(str::trim_start).and_then(|r| r.strip_prefix('='))
                else {
                    continue;
                };
                let after = after.trim_start();
                let q = after.chars().next().filter(|c| matches!(c, '"' | '\'')).ok_or(DAMAGED)?;
                let close = after.get(1..).and_then(|a| a.find(q)).ok_or(DAMAGED)?;
                let stop = tag.len() - after.len() + close + 2;
                return Ok((at + i, at + stop));
            }
            _ => {}
        }
    }
    Err(DAMAGED)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meta::xml;
    use crate::report::Limits;

    fn labels(packet: &[u8]) -> Vec<String> {
        let doc = xml::read(packet, &Limits::default());
        assert!(!doc.cut);
        doc.props.into_iter().filter(|p| p.top && p.name == "AIGC").map(|p| p.value).collect()
    }

    #[test]
    fn a_packet_is_written_and_edited() {
        let fresh = fresh("{\"a\":\"<&\"}");
        assert_eq!(labels(&fresh), ["{\"a\":\"<&\"}"]);
        assert_eq!(labels(&edit(&fresh, "{}").unwrap()), ["{}"]);
    }

    #[test]
    fn attributes_and_other_properties() {
        let packet = format!(
            "<R:RDF xmlns:R=\"{RDF}\"><R:Description R:about=\"u\" xmlns:t=\"{NAMESPACE}\" xmlns:a=\"u:a\" a:x=\"t:AIGC='\" t:AIGC='old' a:y='2'/></R:RDF>"
        );
        let edited = edit(packet.as_bytes(), "new").unwrap();
        assert_eq!(labels(&edited), ["new"]);
        let text = String::from_utf8(edited).unwrap();
        assert!(
            text.contains("a:x=\"t:AIGC='\" a:y='2'/>") && text.contains("R:about=\"u\" xmlns:TC260"),
            "{text}"
        );
    }

    #[test]
    fn what_is_no_xmp_is_refused() {
        assert!(edit(b"<a><b></a>", "x").is_err());
        assert!(edit(b"<a/>", "x").is_err());
    }
}
