//! ZIP archives with documents: Office Open XML (ECMA-376 part 2, core, extended and custom properties), EPUB,
//! `OpenDocument`, and C2PA in any of them.

use std::io::{Cursor, Read as _};

use crate::meta::xml;
use crate::report::{Location, WarningCode};
use crate::sink::{Sink, Space};

pub(crate) const CUSTOM: &str = "docProps/custom.xml";
const PARTS: &[&str] = &[CUSTOM, "docProps/core.xml", "docProps/app.xml", "meta.xml"];
const C2PA: &str = "META-INF/content_credential.c2pa";

/// Whether an archive of this size and claimed number of members is opened at all.
pub(crate) fn plausible(data: &[u8]) -> bool {
    // The end record holds the number of members; the directory is read whole, so it is looked at first.
    let from = data.len().saturating_sub(22 + 65_535);
    let tail = data.get(from..).unwrap_or_default();
    crate::bytes::rfind(tail, b"PK\x05\x06").is_some()
}

pub(crate) fn read(data: &[u8], sink: &mut Sink<'_>) {
    if !plausible(data) {
        sink.damaged("ZIP archive");
        return;
    }
    let Ok(mut archive) = zip::ZipArchive::new(Cursor::new(data)) else {
        sink.damaged("ZIP archive");
        return;
    };
    for part in PARTS.iter().chain(&[C2PA]) {
        let Ok(member) = archive.by_name(part) else { continue };
        let cap = sink.limits.max_value as u64;
        let mut content = Vec::new();
        let read = member.take(cap.saturating_add(1)).read_to_end(&mut content);
        if content.len() as u64 > cap || !sink.spend(content.len()) {
            sink.warn(WarningCode::LimitReached, "a part of the document unfolds to more than is read");
            continue;
        }
        if read.is_err() {
            sink.damaged("part of the document");
            continue;
        }
        let location = Location { place: format!("ZIP member {part}"), offset: None };
        if *part == C2PA {
            sink.store(&content, location);
        } else {
            properties(&content, &location, sink);
        }
    }
}

fn properties(content: &[u8], location: &Location, sink: &mut Sink<'_>) {
    let doc = xml::read(content, sink.limits);
    let mut named = None;
    for prop in doc.props {
        match prop.element.as_deref() {
            // `<property name="…"><vt:lpwstr>…</vt:lpwstr></property>`, `<meta:user-defined meta:name="…">…`
            Some("property" | "user-defined") if prop.name == "name" => named = Some(prop.value),
            Some(_) => {}
            None => {
                let key = match prop.name.as_str() {
                    "lpwstr" | "lpstr" | "bstr" | "user-defined" => named.take().unwrap_or(prop.name),
                    _ => prop.name,
                };
                sink.text(Space::Office, key, prop.value, location.clone());
            }
        }
    }
}
