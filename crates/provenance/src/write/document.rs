//! PDF, office documents and Markdown.

use std::io::{Cursor, Read as _, Write as _};

use super::Label;
use crate::container::{page, pdf as reader, zip as office_reader};
use crate::{Error, Limits, Result};

/// An incremental update (ISO 32000-2, 7.5.6): a new Info dictionary behind the file, and a table that points to it.
pub(super) fn pdf(bytes: &[u8], json: &str) -> Result<Vec<u8>> {
    use reader::Obj;
    const DAMAGED: Error = Error::Damaged("PDF file");
    let limits = Limits::default();
    let mut sink = crate::sink::Sink::new(&limits);
    let mut doc = reader::Doc::open(bytes, &mut sink);
    if doc.get("Encrypt").is_some_and(|e| *e != Obj::Null) {
        return Err(Error::Refused("the PDF is encrypted"));
    }
    let previous = doc.last_xref.ok_or(DAMAGED)?;
    let root = doc.get("Root").cloned().ok_or(DAMAGED)?;
    let Some(Obj::Number(size)) = doc.get("Size").cloned() else { return Err(DAMAGED) };
    let size = size as u32;
    let info = doc.get("Info").cloned();
    let (number, generation) = match info {
        Some(Obj::Ref(number, generation)) => (number, generation),
        _ => (size, 0),
    };
    let old = match &info {
        Some(info) => doc.resolve(info, &mut sink).ok_or(DAMAGED)?,
        None => Obj::Dict(Vec::new()),
    };
    let mut dictionary = b"<<".to_vec();
    for (key, value) in old.entries().iter().filter(|(k, _)| k != "AIGC") {
        write_object(&Obj::Name(key.clone()), &mut dictionary)?;
        dictionary.push(b' ');
        write_object(value, &mut dictionary)?;
    }
    dictionary.extend(b"/AIGC ");
    write_object(&Obj::Str(json.as_bytes().to_vec()), &mut dictionary)?;
    dictionary.extend(b">>");
    let mut out = bytes.to_vec();
    if !out.ends_with(b"\n") {
        out.push(b'\n');
    }
    let object_at = out.len();
    out.extend(format!("{number} {generation} obj\n").bytes());
    out.extend(dictionary);
    out.extend(b"\nendobj\n");
    let xref_at = out.len();
    let id = match doc.get("ID") {
        Some(id @ Obj::Array(_)) => {
            let mut text = b"/ID ".to_vec();
            write_object(id, &mut text)?;
            text
        }
        _ => Vec::new(),
    };
    let mut common = Vec::new();
    common.extend(b"/Root ");
    write_object(&root, &mut common)?;
    common.extend(format!("/Info {number} {generation} R/Prev {previous}").bytes());
    common.extend(id);
    if doc.xref_is_stream {
        // A file with cross-reference streams is continued with one; it lists itself too.
        let stream = size.max(number.saturating_add(1));
        let size = stream.saturating_add(1);
        let row = |kind: u8, at: usize, generation: u16| {
            let mut row = vec![kind];
            row.extend((at as u64).to_be_bytes());
            row.extend(generation.to_be_bytes());
            row
        };
        let data = [row(1, object_at, generation), row(1, xref_at, 0)].concat();
        out.extend(
            format!(
                "{stream} 0 obj\n<</Type/XRef/Size {size}/W[1 8 2]/Index[{number} 1 {stream} 1]/Length {}",
                data.len()
            )
            .bytes(),
        );
        out.extend(common);
        out.extend(b">>stream\n");
        out.extend(data);
        out.extend(b"\nendstream\nendobj\n");
    } else {
        let size = size.max(number.saturating_add(1));
        out.extend(
            format!("xref\n{number} 1\n{object_at:010} {generation:05} n \ntrailer\n<</Size {size}").bytes(),
        );
        out.extend(common);
        out.extend(b">>\n");
    }
    out.extend(format!("startxref\n{xref_at}\n%%EOF\n").bytes());
    Ok(out)
}

fn write_object(object: &reader::Obj, out: &mut Vec<u8>) -> Result<()> {
    use reader::Obj;
    match object {
        Obj::Null => out.extend(b" null"),
        Obj::Number(n) => out.extend(format!(" {n}").bytes()),
        Obj::Str(bytes) => {
            out.push(b'<');
            for b in bytes {
                out.extend(format!("{b:02X}").bytes());
            }
            out.push(b'>');
        }
        Obj::Name(name) => {
            out.push(b'/');
            for b in name.bytes() {
                if b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b':' | b'+') {
                    out.push(b);
                } else {
                    out.extend(format!("#{b:02X}").bytes());
                }
            }
        }
        Obj::Array(items) => {
            out.push(b'[');
            for item in items {
                write_object(item, out)?;
            }
            out.push(b']');
        }
        Obj::Dict(entries) => {
            out.extend(b"<<");
            for (key, value) in entries {
                write_object(&Obj::Name(key.clone()), out)?;
                out.push(b' ');
                write_object(value, out)?;
            }
            out.extend(b">>");
        }
        Obj::Ref(number, generation) => out.extend(format!(" {number} {generation} R").bytes()),
        Obj::Stream(..) | Obj::Other => return Err(Error::Refused("the PDF's Info dictionary is unusual")),
    }
    Ok(())
}

const CONTENT_TYPES: &str = "[Content_Types].xml";
const RELATIONS: &str = "_rels/.rels";
const CUSTOM_TYPE: &str = "application/vnd.openxmlformats-officedocument.custom-properties+xml";
const CUSTOM_RELATION: &str =
    "http://schemas.openxmlformats.org/officeDocument/2006/relationships/custom-properties";
const FORMAT_ID: &str = "{D5CDD505-2E9C-101B-9397-08002B2CF9AE}";

/// A custom property (ECMA-376 part 2; part 1, 15.2.12.2). Members that do not change are copied as they are.
pub(super) fn office(bytes: &[u8], json: &str) -> Result<Vec<u8>> {
    const DAMAGED: Error = Error::Damaged("ZIP archive");
    if !office_reader::plausible(bytes) {
        return Err(DAMAGED);
    }
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).map_err(|_| DAMAGED)?;
    let mut get = |name: &str| -> Result<Option<String>> {
        let Ok(member) = archive.by_name(name) else { return Ok(None) };
        let mut text = String::new();
        member.take(16 << 20).read_to_string(&mut text).map_err(|_| DAMAGED)?;
        Ok(Some(text))
    };
    let Some(types) = get(CONTENT_TYPES)? else {
        return Err(Error::Unsupported("ZIP"));
    };
    let relations = get(RELATIONS)?.ok_or(DAMAGED)?;
    let custom = get(office_reader::CUSTOM)?;
    let mut new: Vec<(&str, String)> = vec![(office_reader::CUSTOM, property(custom.as_deref(), json)?)];
    if !types.contains(CUSTOM_TYPE) {
        let part =
            format!("<Override PartName=\"/{}\" ContentType=\"{CUSTOM_TYPE}\"/>", office_reader::CUSTOM);
        new.push((CONTENT_TYPES, before_end(&types, "</Types>", &part)?));
    }
    if !relations.contains(CUSTOM_RELATION) {
        let mut id = String::from("rIdAigc");
        while relations.contains(&format!("\"{id}\"")) {
            id.push('1');
        }
        let part = format!(
            "<Relationship Id=\"{id}\" Type=\"{CUSTOM_RELATION}\" Target=\"{}\"/>",
            office_reader::CUSTOM
        );
        new.push((RELATIONS, before_end(&relations, "</Relationships>", &part)?));
    }
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::with_capacity(bytes.len() + 4096)));
    let options =
        zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
    for i in 0..archive.len() {
        let member = archive.by_index_raw(i).map_err(|_| DAMAGED)?;
        let name = member.name().map_err(|_| DAMAGED)?.into_owned();
        if let Some((_, text)) = new.iter().find(|(n, _)| *n == name) {
            let text = text.clone();
            drop(member);
            writer.start_file(&name, options).map_err(|_| DAMAGED)?;
            writer.write_all(text.as_bytes()).map_err(|_| DAMAGED)?;
        } else {
            writer.raw_copy_file(member).map_err(|_| DAMAGED)?;
        }
    }
    if custom.is_none() {
        let text = new.first().map(|(_, t)| t.as_str()).unwrap_or_default();
        writer.start_file(office_reader::CUSTOM, options).map_err(|_| DAMAGED)?;
        writer.write_all(text.as_bytes()).map_err(|_| DAMAGED)?;
    }
    Ok(writer.finish().map_err(|_| DAMAGED)?.into_inner())
}

fn before_end(text: &str, end: &str, part: &str) -> Result<String> {
    let at = text.rfind(end).ok_or(Error::Refused("the document's parts are written in an unusual way"))?;
    let (head, tail) = text.split_at(at);
    Ok(format!("{head}{part}{tail}"))
}

fn property(old: Option<&str>, json: &str) -> Result<String> {
    let json = json.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let Some(old) = old else {
        return Ok(format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\n<Properties \
             xmlns=\"http://schemas.openxmlformats.org/officeDocument/2006/custom-properties\" \
             xmlns:vt=\"http://schemas.openxmlformats.org/officeDocument/2006/docPropsVTypes\"><property \
             fmtid=\"{FORMAT_ID}\" pid=\"2\" name=\"AIGC\"><vt:lpwstr>{json}</vt:lpwstr></property></Properties>"
        ));
    };
    // The old label, from `<property … name="AIGC"` to its end.
    let mut text = old.to_owned();
    while let Some(name) = text.find("name=\"AIGC\"") {
        let start = text.get(..name).and_then(|t| t.rfind("<property"));
        let end =
            text.get(name..).and_then(|t| t.find("</property>")).map(|e| name + e + "</property>".len());
        let (Some(start), Some(end)) = (start, end) else {
            return Err(Error::Refused("the document's custom properties are written in an unusual way"));
        };
        text.replace_range(start..end, "");
    }
    let taken = text.split("pid=\"").skip(1).filter_map(|t| t.split('"').next()?.parse::<u32>().ok()).max();
    let pid = taken.unwrap_or(1).saturating_add(1);
    let part = format!(
        "<property fmtid=\"{FORMAT_ID}\" pid=\"{pid}\" name=\"AIGC\"><vt:lpwstr>{json}</vt:lpwstr></property>"
    );
    if !text.contains("xmlns:vt=") {
        return Err(Error::Refused("the document's custom properties are written in an unusual way"));
    }
    before_end(&text, "</Properties>", &part)
}

/// A mapping `AIGC:` in the front matter, which is made if there is none.
pub(super) fn markdown(bytes: &[u8], label: &Label) -> Result<Vec<u8>> {
    let text = std::str::from_utf8(bytes).map_err(|_| Error::Refused("only UTF-8 is labelled"))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if page::is_mail(text) {
        return Err(Error::Refused("an e-mail has no place for a label"));
    }
    let newline = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let mut mapping = format!("AIGC:{newline}");
    for (key, value) in label.fields() {
        let mut quoted = String::new();
        crate::json::quote(value, &mut quoted);
        mapping.push_str("  ");
        mapping.push_str(key);
        mapping.push_str(": ");
        mapping.push_str(&quoted);
        mapping.push_str(newline);
    }
    let Some((block, rest)) = page::split_front_matter(text) else {
        return Ok(format!("---{newline}{mapping}---{newline}{newline}{text}").into_bytes());
    };
    let mut kept = String::new();
    let mut dropping = false;
    for line in block.split_inclusive('\n') {
        if dropping && line.starts_with([' ', '\t']) {
            continue;
        }
        dropping = line.trim_start_matches(['"', '\'']).starts_with("AIGC")
            && line.split(':').next().is_some_and(|k| k.trim().trim_matches(['"', '\'']) == "AIGC");
        if !dropping {
            kept.push_str(line);
        }
    }
    Ok(format!("---{newline}{kept}{mapping}---{newline}{rest}").into_bytes())
}
