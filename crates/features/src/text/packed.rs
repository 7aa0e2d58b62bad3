//! The running text of documents whose bytes are not their text: DOCX, PPTX, OpenDocument, EPUB, PDF and RTF.
//!
//! Formatting, deleted passages, notes of reviewers, headers and footers are left out. Whatever a file unfolds to counts
//! against the limit of a text; nothing recurses.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};

use encoding_rs::Encoding;
use quick_xml::Reader;
use quick_xml::events::{BytesRef, BytesStart, Event};
use zip::ZipArchive;

use super::{html, mail};
use crate::{Error, Limits, Result, Warning, WarningCode, sniff::TextFormat};

/// Most bytes that one part of an archive may unfold to, for each byte of text that is read: markup around the text.
const MARKUP: u64 = 8;
/// Most parts of an archive that are read.
const PARTS: usize = 10_000;
/// Most pages of a PDF that are read.
const PAGES: usize = 5_000;
/// Most bytes that one stream of a PDF may unfold to.
const STREAM: usize = 32 << 20;
/// Deepest group of RTF whose state is kept apart.
const GROUPS: usize = 256;

/// Text under construction, up to a limit.
struct Out {
    text: String,
    limit: usize,
    full: bool,
    warnings: Vec<Warning>,
}

impl Out {
    fn push(&mut self, piece: &str) {
        for c in piece.chars() {
            self.put(c);
        }
    }

    fn put(&mut self, c: char) {
        if self.text.len() + c.len_utf8() > self.limit {
            self.full = true;
        } else if !self.full {
            self.text.push(c);
        }
    }

    /// Ends a paragraph, unless nothing stands since the last end.
    fn paragraph(&mut self) {
        let kept = self.text.trim_end_matches([' ', '\n']).len();
        self.text.truncate(kept);
        if !self.text.is_empty() {
            self.push("\n\n");
        }
    }

    fn warn(&mut self, code: WarningCode, message: impl Into<String>) {
        if self.warnings.len() < 8 {
            self.warnings.push(Warning::new(code, message));
        }
    }
}

/// Reads the text of a document and what is to be said of it.
///
/// # Errors
/// [`Error::Decode`] for a document without a part that holds its text; [`Error::Unsupported`] if it is encrypted.
pub(super) fn extract(bytes: &[u8], format: TextFormat, limits: &Limits) -> Result<(String, Vec<Warning>)> {
    let limit = usize::try_from(limits.max_text_bytes).unwrap_or(usize::MAX).min(1 << 30);
    let mut out = Out { text: String::new(), limit, full: false, warnings: Vec::new() };
    match format {
        TextFormat::Docx => office(bytes, "DOCX", &mut out, |name| name == "word/document.xml", &WORD)?,
        TextFormat::Pptx => office(bytes, "PPTX", &mut out, slide, &WORD)?,
        TextFormat::OpenDocument => {
            office(bytes, "OpenDocument", &mut out, |name| name == "content.xml", &OPEN)?;
        }
        TextFormat::Epub => epub(bytes, &mut out)?,
        TextFormat::Pdf => pdf(bytes, &mut out)?,
        TextFormat::Rtf => rtf(bytes, &mut out),
        TextFormat::Mail => mail(bytes, &mut out)?,
        TextFormat::Plain | TextFormat::Html => out.push(&String::from_utf8_lossy(bytes)),
    }
    if out.full {
        out.warn(WarningCode::LimitReached, format!("only the first {limit} bytes of the text were read"));
    }
    let kept = out.text.trim_end().len();
    out.text.truncate(kept);
    Ok((out.text, out.warnings))
}

/// A message; its parser is given no more than the limit of a text, attachments included, so that it cannot unfold to more.
fn mail(bytes: &[u8], out: &mut Out) -> Result<()> {
    let cut = bytes.get(..out.limit).unwrap_or(bytes);
    out.full |= cut.len() < bytes.len();
    let damaged = || Error::Decode { format: "mail", reason: "it cannot be read".to_owned() };
    let text = catch_unwind(AssertUnwindSafe(|| mail::read(cut))).ok().flatten().ok_or_else(damaged)?;
    out.text = text;
    Ok(())
}

fn slide(name: &str) -> bool {
    name.strip_prefix("ppt/slides/slide").and_then(|rest| rest.strip_suffix(".xml")).is_some()
}

/// Which elements hold text, by their local names.
struct Rules {
    /// End a paragraph.
    paragraphs: &'static [&'static str],
    /// Hold text; empty if everything in a paragraph is text.
    texts: &'static [&'static str],
    /// Are left out with all they hold.
    skipped: &'static [&'static str],
}

/// WordprocessingML and DrawingML (ISO/IEC 29500-1).
const WORD: Rules = Rules {
    paragraphs: &["p"],
    texts: &["t"],
    skipped: &["del", "moveFrom", "pPr", "rPr", "instrText", "Fallback", "sectPr"],
};
/// OpenDocument 1.3, part 3.
const OPEN: Rules = Rules {
    paragraphs: &["p", "h"],
    texts: &[],
    skipped: &["annotation", "tracked-changes", "note", "forms", "scripts", "automatic-styles", "ruby-text"],
};

/// The parts of an archive that hold text, in the order of the numbers in their names.
fn office(
    bytes: &[u8],
    format: &'static str,
    out: &mut Out,
    wanted: impl Fn(&str) -> bool,
    rules: &Rules,
) -> Result<()> {
    let mut archive = open(bytes, format)?;
    let mut names: Vec<String> = names_of(&archive).filter(|n| wanted(n)).take(PARTS).collect();
    let number = |name: &str| -> u64 {
        name.chars().filter(char::is_ascii_digit).take(9).collect::<String>().parse().unwrap_or(0)
    };
    names.sort_by_key(|n| (number(n), n.clone()));
    if names.is_empty() {
        return Err(Error::Decode { format, reason: "it has no part that holds text".into() });
    }
    for name in names {
        let part = member(&mut archive, &name, out)
            .ok_or_else(|| Error::Decode { format, reason: format!("{name} is damaged or encrypted") })?;
        xml(&part, rules, out);
        out.paragraph();
        if out.full {
            break;
        }
    }
    Ok(())
}

fn open<'a>(bytes: &'a [u8], format: &'static str) -> Result<ZipArchive<Cursor<&'a [u8]>>> {
    ZipArchive::new(Cursor::new(bytes)).map_err(|e| Error::Decode { format, reason: e.to_string() })
}

fn names_of<'a>(archive: &'a ZipArchive<Cursor<&[u8]>>) -> impl Iterator<Item = String> + use<'a> {
    archive.file_names().flatten().map(std::borrow::Cow::into_owned)
}

/// One part, unfolded as far as the limit goes.
fn member(archive: &mut ZipArchive<Cursor<&[u8]>>, name: &str, out: &mut Out) -> Option<Vec<u8>> {
    let most = (out.limit as u64).saturating_mul(MARKUP).max(1 << 20);
    let file = archive.by_name(name).ok()?;
    let mut part = Vec::new();
    let read = file.take(most + 1).read_to_end(&mut part);
    if part.len() as u64 > most {
        part.truncate(usize::try_from(most).unwrap_or(usize::MAX));
        out.warn(WarningCode::LimitReached, "a part of the document unfolds to more than is read");
    } else if read.is_err() {
        if part.is_empty() {
            return None;
        }
        out.warn(WarningCode::Truncated, "a part of the document is damaged or ends early");
    }
    Some(part)
}

/// Text of an XML part.
fn xml(part: &[u8], rules: &Rules, out: &mut Out) {
    let mut reader = Reader::from_reader(part);
    reader.config_mut().check_end_names = false;
    let any = |list: &[&str], name: &[u8]| list.iter().any(|n| n.as_bytes() == name);
    // Depths: of the element that is skipped, of elements that hold text, of paragraphs.
    let (mut skipped, mut texts, mut paragraphs) = (0_usize, 0_usize, 0_usize);
    loop {
        if out.full {
            return;
        }
        match reader.read_event() {
            Ok(Event::Start(e)) => {
                let name = e.local_name();
                let name = name.as_ref();
                if skipped > 0 || any(rules.skipped, name) {
                    skipped += 1;
                    continue;
                }
                texts += usize::from(any(rules.texts, name));
                paragraphs += usize::from(any(rules.paragraphs, name));
                single(&e, name, out);
            }
            Ok(Event::Empty(e)) if skipped == 0 => {
                let name = e.local_name();
                let name = name.as_ref();
                if any(rules.paragraphs, name) {
                    out.paragraph();
                } else {
                    single(&e, name, out);
                }
            }
            Ok(Event::End(e)) => {
                let name = e.local_name();
                let name = name.as_ref();
                if skipped > 0 {
                    skipped -= 1;
                } else if any(rules.paragraphs, name) {
                    paragraphs = paragraphs.saturating_sub(1);
                    out.paragraph();
                } else if any(rules.texts, name) {
                    texts = texts.saturating_sub(1);
                }
            }
            Ok(Event::Text(t)) if skipped == 0 => {
                let held = if rules.texts.is_empty() { paragraphs > 0 } else { texts > 0 };
                if held {
                    out.push(&String::from_utf8_lossy(&t));
                }
            }
            Ok(Event::CData(t)) if skipped == 0 && texts > 0 => out.push(&String::from_utf8_lossy(&t)),
            Ok(Event::GeneralRef(e)) if skipped == 0 && (texts > 0 || paragraphs > 0) => {
                out.push(&reference(&e));
            }
            Ok(Event::Eof) => return,
            Ok(_) => {}
            Err(e) => {
                out.warn(WarningCode::Truncated, format!("a part of the document is damaged: {e}"));
                return;
            }
        }
    }
}

/// Elements that stand for a character.
fn single(e: &BytesStart<'_>, name: &[u8], out: &mut Out) {
    match name {
        b"tab" => out.put('\t'),
        b"br" | b"cr" | b"line-break" => out.put('\n'),
        b"noBreakHyphen" => out.put('\u{2011}'),
        b"s" => {
            let count = e.attributes().flatten().find(|a| a.key.local_name().as_ref() == b"c");
            let count =
                count.and_then(|a| std::str::from_utf8(&a.value).ok()?.parse().ok()).unwrap_or(1_usize);
            out.push(&" ".repeat(count.min(64)));
        }
        _ => {}
    }
}

/// The five entities of XML and numbers; documents may define no others that are expanded.
fn reference(e: &BytesRef<'_>) -> String {
    if let Ok(Some(c)) = e.resolve_char_ref() {
        return c.to_string();
    }
    match &**e {
        b"amp" => "&",
        b"lt" => "<",
        b"gt" => ">",
        b"quot" => "\"",
        b"apos" => "'",
        _ => "",
    }
    .to_owned()
}

/// The chapters of an EPUB in reading order (EPUB 3.3, 5.7 and 4.2).
fn epub(bytes: &[u8], out: &mut Out) -> Result<()> {
    let mut archive = open(bytes, "EPUB")?;
    let container = member(&mut archive, "META-INF/container.xml", out).unwrap_or_default();
    let package = attributes(&container, "rootfile").into_iter().find_map(|a| value(&a, "full-path"));
    let folder =
        package.as_deref().and_then(|p| p.rsplit_once('/')).map_or(String::new(), |(f, _)| format!("{f}/"));
    let package = package.and_then(|p| member(&mut archive, &p, out)).unwrap_or_default();
    let items = attributes(&package, "item");
    let mut names: Vec<String> = attributes(&package, "itemref")
        .iter()
        .filter_map(|r| {
            let id = value(r, "idref")?;
            let item = items.iter().find(|i| value(i, "id").as_deref() == Some(&id))?;
            Some(format!("{folder}{}", value(item, "href")?.replace("%20", " ")))
        })
        .take(PARTS)
        .collect();
    if names.is_empty() {
        let page =
            |n: &String| [".xhtml", ".html", ".htm"].iter().any(|e| n.to_ascii_lowercase().ends_with(e));
        names = names_of(&archive).filter(page).take(PARTS).collect();
        names.sort();
    }
    let mut found = false;
    for name in names {
        let Some(page) = member(&mut archive, &name, out) else { continue };
        found = true;
        out.push(&html::strip(&String::from_utf8_lossy(&page)).0.text);
        out.paragraph();
        if out.full {
            break;
        }
    }
    if found { Ok(()) } else { Err(Error::Decode { format: "EPUB", reason: "it has no chapter".into() }) }
}

type Attributes = Vec<(String, String)>;

/// Attributes of all elements of this name.
fn attributes(part: &[u8], element: &str) -> Vec<Attributes> {
    let mut reader = Reader::from_reader(part);
    reader.config_mut().check_end_names = false;
    let mut found = Vec::new();
    while let Ok(event) = reader.read_event() {
        match event {
            Event::Start(e) | Event::Empty(e) if e.local_name().as_ref() == element.as_bytes() => {
                let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
                found.push(
                    e.attributes()
                        .flatten()
                        .map(|a| (text(a.key.local_name().as_ref()), text(&a.value)))
                        .collect(),
                );
            }
            Event::Eof => break,
            _ => {}
        }
        if found.len() >= PARTS {
            break;
        }
    }
    found
}

fn value(attributes: &Attributes, key: &str) -> Option<String> {
    attributes.iter().find(|(k, _)| k == key).map(|(_, v)| v.clone())
}

/// The text of a PDF's pages. Lines become paragraphs again.
fn pdf(bytes: &[u8], out: &mut Out) -> Result<()> {
    let failed = |reason: String| Error::Decode { format: "PDF", reason };
    let options = lopdf::LoadOptions { max_decompressed_size: Some(STREAM), ..lopdf::LoadOptions::default() };
    // The library is not ours and the file is not a friend's.
    let load = || lopdf::Document::load_mem_with_options(bytes, options);
    let document = catch_unwind(AssertUnwindSafe(load))
        .map_err(|_| failed("its structure is damaged".into()))?
        .map_err(|e| failed(e.to_string()))?;
    if document.is_encrypted() {
        let remedy = "it is encrypted; save it without a password first";
        return Err(Error::Unsupported { format: "encrypted PDF", remedy });
    }
    let pages: Vec<lopdf::ObjectId> = document.get_pages().into_values().collect();
    if pages.len() > PAGES {
        out.warn(
            WarningCode::LimitReached,
            format!("only the first {PAGES} of {} pages were read", pages.len()),
        );
    }
    let mut unread = 0_usize;
    for page in pages.iter().take(PAGES) {
        let read = || page_text(&document, *page);
        let text = catch_unwind(AssertUnwindSafe(read)).ok().and_then(lopdf::Result::ok).unwrap_or_default();
        unread += usize::from(text.trim().is_empty());
        reflow(&text, out);
        if out.full {
            break;
        }
    }
    if unread > 0 {
        let what =
            format!("{unread} of {} pages have no text that can be read (scans have none)", pages.len());
        out.warn(WarningCode::Truncated, what);
    }
    Ok(())
}

/// The text of a page with its lines, from where the strings are shown (ISO 32000-2, 9.4). Forms within it are left out.
fn page_text(document: &lopdf::Document, page: lopdf::ObjectId) -> lopdf::Result<String> {
    use lopdf::Object;

    let fonts: BTreeMap<Vec<u8>, _> = document
        .get_page_fonts(page)?
        .into_iter()
        .filter_map(|(name, font)| Some((name, Font::of(font, document)?)))
        .collect();
    let content = lopdf::content::Content::decode(&document.get_page_content_with_limit(page, STREAM)?)?;
    let mut line = Line::default();
    let mut font = None;
    for operation in &content.operations {
        let operands = &operation.operands;
        let number = |i: usize| operands.get(i).and_then(|o| o.as_float().ok()).unwrap_or(0.0);
        match operation.operator.as_str() {
            "BT" => (line.x, line.y, line.scale) = (0.0, 0.0, [1.0, 1.0]),
            "Tf" => {
                font = operands.first().and_then(|n| n.as_name().ok()).and_then(|n| fonts.get(n));
                line.size = number(1);
            }
            "TL" => line.leading = number(0),
            "Td" => line.go(number(0), number(1)),
            "TD" => {
                line.leading = -number(1);
                line.go(number(0), number(1));
            }
            "Tm" => {
                line.scale = [number(0), number(3)];
                (line.x, line.y, line.moved) = (number(4), number(5), true);
            }
            "T*" => line.go(0.0, -line.leading),
            "Tj" | "'" | "\"" | "TJ" => {
                if matches!(operation.operator.as_str(), "'" | "\"") {
                    line.go(0.0, -line.leading);
                }
                let Some(font) = font else { continue };
                for operand in
                    operands.iter().flat_map(|o| o.as_array().map_or(std::slice::from_ref(o), |a| a))
                {
                    match operand {
                        Object::String(bytes, _) => {
                            line.show(&font.decode(bytes));
                        }
                        other if operation.operator == "TJ" && other.as_float().is_ok_and(|n| n < -180.0) => {
                            line.space();
                        }
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    Ok(line.finish())
}

/// How the codes of a font become letters.
enum Font<'a> {
    Known(lopdf::Encoding<'a>),
    /// By the table that the file has for one-byte codes.
    Table(BTreeMap<u8, String>),
}

impl<'a> Font<'a> {
    fn of(font: &'a lopdf::Dictionary, document: &'a lopdf::Document) -> Option<Self> {
        // Glyphs that are drawn (Type 3) have no names that mean anything; browsers print fonts so that they cannot embed.
        let drawn = font.get(b"Subtype").and_then(lopdf::Object::as_name).is_ok_and(|name| name == b"Type3");
        let table = font.get_deref(b"ToUnicode", document).and_then(lopdf::Object::as_stream);
        if drawn && let Ok(table) = table {
            let text = table.get_plain_content_with_limit(STREAM).ok()?;
            return Some(Self::Table(byte_table(&text)));
        }
        font.get_font_encoding_with_limit(document, STREAM).ok().map(Self::Known)
    }

    fn decode(&self, bytes: &[u8]) -> String {
        match self {
            Self::Known(encoding) => lopdf::Document::decode_text(encoding, bytes).unwrap_or_default(),
            Self::Table(table) => bytes.iter().filter_map(|b| table.get(b)).map(String::as_str).collect(),
        }
    }
}

/// The one-byte codes of a `ToUnicode` table (ISO 32000-2, 9.10.3): between `beginbfchar` and its end pairs of code and letters,
/// between `beginbfrange` and its end the first and last code and the letters of the first or a list.
fn byte_table(text: &[u8]) -> BTreeMap<u8, String> {
    let text = String::from_utf8_lossy(text);
    let code = |hex: &str| u8::from_str_radix(hex, 16).ok().filter(|_| hex.len() == 2);
    let units = |hex: &str| -> Vec<u16> {
        (0..hex.len().min(64) / 4)
            .filter_map(|i| u16::from_str_radix(hex.get(4 * i..4 * i + 4)?, 16).ok())
            .collect()
    };
    let mut table = BTreeMap::new();
    // A table has 256 codes; who says more hides something.
    let mut entries = 4096_u32;
    for (kind, end, width) in [("beginbfchar", "endbfchar", 2), ("beginbfrange", "endbfrange", 3)] {
        for section in text.split(kind).skip(1) {
            let section = section.split(end).next().unwrap_or_default();
            // A list takes the place of the third string.
            let mut entry: Vec<String> = Vec::new();
            let mut list = false;
            let mut rest = section;
            while let Some(at) = rest.find(['<', '[', ']']) {
                let Some(left) = entries.checked_sub(1) else { return table };
                entries = left;
                let (mark, tail) = rest.split_at(at).1.split_at(1);
                rest = tail;
                match mark {
                    "[" => list = true,
                    "]" => (list, entry) = (false, Vec::new()),
                    _ => {
                        let Some(close) = rest.find('>') else { break };
                        let hex: String = rest.chars().take(close).filter(|c| !c.is_whitespace()).collect();
                        rest = rest.get(close + 1..).unwrap_or_default();
                        entry.push(hex);
                        let first = entry.first().and_then(|hex| code(hex));
                        if list && entry.len() > 2 {
                            let offset = entry.len() - 3;
                            if let (Some(first), Some(hex)) = (first, entry.last())
                                && let Ok(offset) = u8::try_from(offset)
                                && let Some(at) = first.checked_add(offset)
                            {
                                table.insert(at, String::from_utf16_lossy(&units(hex)));
                            }
                        } else if entry.len() == width {
                            let last =
                                if width == 3 { entry.get(1).and_then(|hex| code(hex)) } else { first };
                            if let (Some(first), Some(last), Some(hex)) = (first, last, entry.last()) {
                                let mut letters = units(hex);
                                for at in first..=last {
                                    table.insert(at, String::from_utf16_lossy(&letters));
                                    if let Some(unit) = letters.last_mut() {
                                        *unit = unit.wrapping_add(1);
                                    }
                                }
                            }
                            entry.clear();
                        }
                    }
                }
            }
        }
    }
    table
}

/// Stands between strings of one line where the place was set anew, until it is known whether that means a space.
const PERHAPS: char = '\u{1f}';

/// Where the next string of a page will be shown, and what was.
#[derive(Default)]
struct Line {
    text: String,
    x: f32,
    y: f32,
    /// Of the text matrix.
    scale: [f32; 2],
    size: f32,
    leading: f32,
    /// Whether the place was set since the last string.
    moved: bool,
    /// Height and length of the last string; no height before the first.
    last: Option<(f32, usize)>,
}

impl Line {
    fn go(&mut self, x: f32, y: f32) {
        self.x += x * self.scale[0];
        self.y += y * self.scale[1];
        self.moved = true;
    }

    fn space(&mut self) {
        if !self.text.is_empty() && !self.text.ends_with([' ', '\n']) {
            self.text.push(' ');
        }
    }

    fn show(&mut self, shown: &str) {
        if shown.is_empty() {
            return;
        }
        let height = (self.size * self.scale[1]).abs().max(1.0);
        if let Some((y, length)) = self.last.filter(|_| self.moved) {
            let fall = (y - self.y).abs();
            if fall > 1.9 * height {
                self.text.push_str("\n\n");
            } else if fall > 0.3 * height {
                self.text.push('\n');
            } else if length > 1 && !shown.starts_with([',', '.', ';', ':', '!', '?', ')']) {
                self.text.push(PERHAPS);
            }
        }
        self.text.push_str(shown);
        self.last = Some((self.y, shown.chars().count()));
        self.moved = false;
    }
}

impl Line {
    /// The text. Some programs write spaces and place parts of words to adjust the distances of letters, others place each
    /// word: where the strings have spaces, nothing else is one.
    fn finish(self) -> String {
        let (spaces, all) = self.text.chars().fold((0_usize, 0_usize), |(spaces, all), c| {
            (spaces + usize::from(c == ' '), all + usize::from(c != PERHAPS))
        });
        if spaces * 12 >= all { self.text.replace(PERHAPS, "") } else { self.text.replace(PERHAPS, " ") }
    }
}

/// Joins the lines of a page to paragraphs: one ends at an empty line, and where a line is clearly shorter than most and
/// ends a sentence.
fn reflow(page: &str, out: &mut Out) {
    let lines: Vec<&str> = page.lines().map(str::trim).collect();
    let mut lengths: Vec<usize> = lines.iter().filter(|l| !l.is_empty()).map(|l| l.chars().count()).collect();
    lengths.sort_unstable();
    let usual = lengths.get(lengths.len() * 3 / 4).copied().unwrap_or(0);
    for (i, line) in lines.iter().enumerate() {
        if line.is_empty() {
            out.paragraph();
            continue;
        }
        let next = lines.get(i + 1).and_then(|l| l.chars().next());
        let hyphen = line.strip_suffix(['-', '\u{ad}']).filter(|l| l.ends_with(char::is_alphabetic));
        if let Some(stem) = hyphen
            && next.is_some_and(char::is_lowercase)
        {
            out.push(stem);
            continue;
        }
        out.push(line);
        let ends = line.ends_with(['.', '!', '?', ':', '"', '\u{201d}', '。', '！', '？', '”']);
        if ends && line.chars().count() * 4 < usual * 3 {
            out.paragraph();
        } else if !line.ends_with(wide) || !next.is_some_and(wide) {
            out.put(' ');
        }
    }
    out.paragraph();
}

/// Whether lines are broken at this character without a space.
fn wide(c: char) -> bool {
    matches!(u32::from(c), 0x2e80..=0x9fff | 0xac00..=0xd7af | 0xf900..=0xfaff | 0xff00..=0xffef)
}

/// Destinations of RTF that hold no running text.
const APART: [&str; 22] = [
    "fonttbl",
    "colortbl",
    "stylesheet",
    "info",
    "pict",
    "header",
    "headerl",
    "headerr",
    "headerf",
    "footer",
    "footerl",
    "footerr",
    "footerf",
    "footnote",
    "annotation",
    "object",
    "listtable",
    "listoverridetable",
    "themedata",
    "datastore",
    "fldinst",
    "xmlnstbl",
];

/// State of a group.
#[derive(Clone, Copy)]
struct Group {
    apart: bool,
    /// Characters that stand behind `\uN` for readers without Unicode.
    fallback: usize,
}

/// Rich Text Format 1.9.1.
fn rtf(bytes: &[u8], out: &mut Out) {
    let mut groups = vec![Group { apart: false, fallback: 1 }];
    let mut deeper = 0_usize;
    let mut encoding = encoding_rs::WINDOWS_1252;
    // Bytes of the code page that wait for the rest of a character.
    let mut pending: Vec<u8> = Vec::new();
    let mut skip = 0_usize;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        let group = groups.last().copied().unwrap_or(Group { apart: false, fallback: 1 });
        let word = byte == b'\\' && bytes.get(at) != Some(&b'\'');
        if (word || !(byte == b'\\' || byte >= 0x80)) && !pending.is_empty() {
            out.push(&encoding.decode_without_bom_handling(&pending).0);
            pending.clear();
        }
        if out.full {
            return;
        }
        match byte {
            b'{' if groups.len() < GROUPS => groups.push(group),
            b'{' => deeper += 1,
            b'}' if deeper > 0 => deeper -= 1,
            b'}' => {
                if groups.len() > 1 {
                    groups.pop();
                }
                skip = 0;
            }
            b'\\' => {
                let rest = bytes.get(at..).unwrap_or_default();
                let letters = rest.iter().take_while(|b| b.is_ascii_alphabetic()).take(32).count();
                if letters == 0 {
                    at += 1;
                    match rest.first() {
                        Some(b'\'') => {
                            let hex = rest.get(1..3).and_then(|h| std::str::from_utf8(h).ok());
                            if let Some(code) = hex.and_then(|h| u8::from_str_radix(h, 16).ok()) {
                                at += 2;
                                if skip > 0 {
                                    skip -= 1;
                                } else if !group.apart {
                                    pending.push(code);
                                }
                            }
                        }
                        Some(b'*') => mark(&mut groups, |g| g.apart = true),
                        Some(b'~') if !group.apart => out.put('\u{a0}'),
                        Some(b'_') if !group.apart => out.put('\u{2011}'),
                        Some(&c @ (b'\\' | b'{' | b'}')) if !group.apart => out.put(char::from(c)),
                        Some(b'\n' | b'\r') if !group.apart => out.paragraph(),
                        _ => {}
                    }
                    continue;
                }
                let name = rest.get(..letters).and_then(|n| std::str::from_utf8(n).ok()).unwrap_or_default();
                let digits = rest.get(letters..).unwrap_or_default();
                let sign = usize::from(digits.first() == Some(&b'-'));
                let count = sign
                    + digits
                        .get(sign..)
                        .unwrap_or_default()
                        .iter()
                        .take_while(|b| b.is_ascii_digit())
                        .take(10)
                        .count();
                let number: Option<i64> =
                    digits.get(..count).and_then(|n| std::str::from_utf8(n).ok()?.parse().ok());
                at += letters + count;
                at += usize::from(bytes.get(at) == Some(&b' '));
                match (name, number) {
                    ("ansicpg", Some(page)) => encoding = code_page(page),
                    ("uc", Some(n)) => {
                        mark(&mut groups, |g| g.fallback = usize::try_from(n).unwrap_or(1).min(8));
                    }
                    ("u", Some(n)) => {
                        let unit = (n & 0xffff) as u16;
                        if !group.apart {
                            units(unit, out);
                        }
                        skip = group.fallback;
                    }
                    ("bin", Some(n)) => at = at.saturating_add(usize::try_from(n).unwrap_or(0)),
                    _ if APART.contains(&name) => mark(&mut groups, |g| g.apart = true),
                    _ if group.apart => {}
                    ("par" | "sect" | "page" | "row", _) => out.paragraph(),
                    ("line", _) => out.put('\n'),
                    ("tab" | "cell", _) => out.put('\t'),
                    ("emdash", _) => out.put('—'),
                    ("endash", _) => out.put('–'),
                    ("lquote", _) => out.put('‘'),
                    ("rquote", _) => out.put('’'),
                    ("ldblquote", _) => out.put('“'),
                    ("rdblquote", _) => out.put('”'),
                    ("bullet", _) => out.put('•'),
                    _ => {}
                }
            }
            b'\r' | b'\n' => {}
            _ if group.apart => {}
            _ if skip > 0 => skip -= 1,
            _ if byte >= 0x80 => pending.push(byte),
            _ => out.put(char::from(byte)),
        }
    }
    if !pending.is_empty() {
        out.push(&encoding.decode_without_bom_handling(&pending).0);
    }
}

fn mark(groups: &mut [Group], change: impl FnOnce(&mut Group)) {
    if let Some(group) = groups.last_mut() {
        change(group);
    }
}

/// A unit of UTF-16; the first half of a pair waits as a private character in the text until the second comes.
fn units(unit: u16, out: &mut Out) {
    const WAITING: u32 = 0x000F_0000;
    let last = out.text.chars().next_back().map(u32::from).filter(|c| (WAITING..WAITING + 0x400).contains(c));
    if let (0xdc00..=0xdfff, Some(high)) = (unit, last) {
        out.text.pop();
        let code = 0x1_0000 + ((high - WAITING) << 10) + (u32::from(unit) - 0xdc00);
        out.put(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
    } else if (0xd800..0xdc00).contains(&unit) {
        out.put(char::from_u32(WAITING + u32::from(unit) - 0xd800).unwrap_or(char::REPLACEMENT_CHARACTER));
    } else {
        out.put(char::from_u32(u32::from(unit)).unwrap_or(char::REPLACEMENT_CHARACTER));
    }
}

fn code_page(page: i64) -> &'static Encoding {
    let label = match page {
        932 => "shift_jis".to_owned(),
        936 => "gbk".to_owned(),
        949 => "euc-kr".to_owned(),
        950 => "big5".to_owned(),
        10_000 => "macintosh".to_owned(),
        65_001 => "utf-8".to_owned(),
        other => format!("windows-{other}"),
    };
    Encoding::for_label(label.as_bytes()).unwrap_or(encoding_rs::WINDOWS_1252)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use proptest::prelude::*;
    use zip::write::SimpleFileOptions;

    use super::*;

    fn archive(parts: &[(&str, &str)]) -> Vec<u8> {
        let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for (name, text) in parts {
            zip.start_file(*name, SimpleFileOptions::default()).unwrap();
            zip.write_all(text.as_bytes()).unwrap();
        }
        zip.finish().unwrap().into_inner()
    }

    fn read(bytes: &[u8], format: TextFormat) -> String {
        extract(bytes, format, &Limits::default()).unwrap().0
    }

    #[test]
    fn tables_of_drawn_fonts() {
        let table = byte_table(
            b"begincmap 2 beginbfchar\n<01> <4F60>\n<02> <D83DDE00>\nendbfchar\n1 beginbfrange\n<03> <05> <0041>\n<06> <07> [<597D> <0066 0069>]\nendbfrange\n<0001> <0002>",
        );
        let read = |codes: &[u8]| -> Vec<&str> { codes.iter().map(|c| table[c].as_str()).collect() };
        assert_eq!(read(&[1, 2, 3, 4, 5, 6, 7]), ["你", "\u{1f600}", "A", "B", "C", "好", "fi"]);
        assert_eq!(table.len(), 7);
        assert!(byte_table(b"beginbfchar <01 beginbfrange <02> [").is_empty());
    }

    #[test]
    fn word_without_what_was_deleted() {
        let xml = "<w:document xmlns:w='w'><w:body><w:p><w:pPr><w:tabs><w:tab/></w:tabs></w:pPr><w:r><w:t>Tom &amp; J&#233;r</w:t></w:r>\
                   <w:ins><w:r><w:t>ôme</w:t></w:r></w:ins><w:del><w:r><w:delText>gone</w:delText><w:t>gone</w:t></w:r></w:del></w:p>\
                   <w:p/><w:p><w:r><w:t>Two</w:t><w:tab/><w:t>three</w:t><w:br/><w:t>four</w:t><w:instrText>PAGE</w:instrText></w:r></w:p></w:body></w:document>";
        let file = archive(&[("[Content_Types].xml", ""), ("word/document.xml", xml)]);
        assert_eq!(read(&file, TextFormat::Docx), "Tom & Jérôme\n\nTwo\tthree\nfour");
        assert!(extract(&file, TextFormat::Pptx, &Limits::default()).is_err());
    }

    #[test]
    fn slides_stand_in_the_order_of_their_numbers() {
        let slide =
            |text: &str| format!("<p:sld xmlns:a='a'><a:p><a:r><a:t>{text}</a:t></a:r></a:p></p:sld>");
        let file = archive(&[
            ("ppt/slides/slide10.xml", &slide("ten")),
            ("ppt/slides/slide2.xml", &slide("two")),
            ("ppt/slides/_rels/slide2.xml.rels", &slide("none")),
        ]);
        assert_eq!(read(&file, TextFormat::Pptx), "two\n\nten");
    }

    #[test]
    fn open_documents_and_their_spaces() {
        let xml = "<office:document-content><text:h>Title</text:h><text:p>a<text:s text:c='3'/>b<text:span>c</text:span>\
                   <office:annotation><text:p>note</text:p></office:annotation></text:p>  outside </office:document-content>";
        assert_eq!(read(&archive(&[("content.xml", xml)]), TextFormat::OpenDocument), "Title\n\na   bc");
    }

    #[test]
    fn chapters_in_reading_order() {
        let file = archive(&[
            ("mimetype", "application/epub+zip"),
            ("META-INF/container.xml", "<container><rootfile full-path='O/p.opf'/></container>"),
            (
                "O/p.opf",
                "<package><manifest><item id='a' href='one.xhtml'/><item id='b' href='two.xhtml'/></manifest>\
                         <spine><itemref idref='b'/><itemref idref='a'/></spine></package>",
            ),
            ("O/one.xhtml", "<html><body><p>first</p></body></html>"),
            ("O/two.xhtml", "<html><body><p>second &amp; more</p></body></html>"),
        ]);
        assert_eq!(read(&file, TextFormat::Epub), "second & more\n\nfirst");
    }

    /// A PDF with these lines on one page.
    fn page(lines: &[&str]) -> Vec<u8> {
        use lopdf::{Document, Object, Stream, dictionary};
        let mut document = Document::with_version("1.5");
        let pages = document.new_object_id();
        let font = document.add_object(dictionary! { "Type" => "Font", "Subtype" => "Type1", "BaseFont" => "Courier", "Encoding" => "WinAnsiEncoding" });
        let resources = document.add_object(dictionary! { "Font" => dictionary! { "F1" => font } });
        let shown = lines.iter().map(|l| format!("({l}) Tj 0 -14 Td")).collect::<Vec<_>>().join(" ");
        let content = format!("BT /F1 12 Tf 50 700 Td {shown} ET");
        let content = document.add_object(Stream::new(dictionary! {}, content.into_bytes()));
        let page = document.add_object(dictionary! { "Type" => "Page", "Parent" => pages, "Contents" => content, "Resources" => resources,
            "MediaBox" => vec![0.into(), 0.into(), 595.into(), 842.into()] });
        let tree = dictionary! { "Type" => "Pages", "Kids" => vec![page.into()], "Count" => 1 };
        document.objects.insert(pages, Object::Dictionary(tree));
        let catalog = document.add_object(dictionary! { "Type" => "Catalog", "Pages" => pages });
        document.trailer.set("Root", catalog);
        let mut bytes = Vec::new();
        document.save_to(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn lines_of_a_pdf_become_paragraphs_again() {
        let file = page(&[
            "The bridge was opened in the spring of",
            "that year, and nobody had ex-",
            "pected it.",
            "A second paragraph begins here.",
        ]);
        assert_eq!(
            read(&file, TextFormat::Pdf),
            "The bridge was opened in the spring of that year, and nobody had expected it.\n\nA second paragraph begins here."
        );
        let (text, warnings) = extract(&page(&[]), TextFormat::Pdf, &Limits::default()).unwrap();
        assert!(text.is_empty() && warnings[0].message.contains("scans have none"), "{warnings:?}");
    }

    #[test]
    fn rich_text_and_its_code_pages() {
        let file = br"{\rtf1\ansi\ansicpg1252{\fonttbl{\f0 Times;}}{\*\generator X;}\f0 caf\'e9 \u8220?quoted\u8221? \emdash  {\b bold}\par \u-10179?\u-8704? next\line line\{\}}";
        assert_eq!(read(file, TextFormat::Rtf), "café “quoted” — bold\n\n\u{1f600} next\nline{}");
        let chinese = br"{\rtf1\ansi\ansicpg936 \'c4\'e3\'ba\'c3}";
        assert_eq!(read(chinese, TextFormat::Rtf), "你好");
        let deep = [b"{\\rtf1 ".repeat(5_000), b"text".to_vec()].concat();
        assert!(read(&deep, TextFormat::Rtf).ends_with("text"));
    }

    #[test]
    fn bombs_end_at_the_limit() {
        let limits = Limits { max_text_bytes: 1 << 16, ..Limits::default() };
        let xml = format!("<d><p><t>{}</t></p></d>", "x".repeat(64 << 20));
        let (text, warnings) =
            extract(&archive(&[("word/document.xml", &xml)]), TextFormat::Docx, &limits).unwrap();
        assert_eq!(text.len(), 1 << 16);
        assert!(warnings.iter().any(|w| w.code == WarningCode::LimitReached), "{warnings:?}");
        // Entities are not expanded.
        let xml = "<!DOCTYPE d [<!ENTITY a 'bang'>]><d><p><t>&a;&lt;</t></p></d>";
        assert_eq!(read(&archive(&[("word/document.xml", xml)]), TextFormat::Docx), "<");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn damage_is_an_error_or_a_warning(cut in 0.0..1.0_f64, at in 0.0..1.0_f64, with in any::<u8>()) {
            let xml = "<d><p><t>some words that are long enough to be cut in the middle</t></p></d>";
            let files = [
                (archive(&[("word/document.xml", xml), ("content.xml", xml)]), TextFormat::Docx),
                (page(&["a line of words", "and another"]), TextFormat::Pdf),
                (br"{\rtf1\ansi{\fonttbl{\f0 Times;}}caf\'e9 \u8220?quoted \par next}".to_vec(), TextFormat::Rtf),
            ];
            for (mut file, format) in files {
                let n = file.len() as f64;
                file[(at * n) as usize] = with;
                file.truncate((cut * n) as usize + 1);
                let _ = extract(&file, format, &Limits::default());
            }
        }
    }
}
