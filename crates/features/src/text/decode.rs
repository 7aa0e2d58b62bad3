//! From bytes to a readable text.

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};

use super::{
    html,
    mapped::{Form, Mapped, compose},
    markdown, packed,
};
use crate::{Document, DocumentKind, Error, Limits, Result, Warning, WarningCode, sniff::TextFormat};

/// Bytes that the guess of an encoding looks at.
const SAMPLE: usize = 1 << 16;

/// Decodes a text, strips its markup and brings it to NFC.
///
/// The encoding comes from a byte order mark, from the bytes being UTF-8 or UTF-16, from an HTML page's own
/// declaration or, with a warning, from a guess. Markdown and HTML are found in plain text as well; every byte of the
/// result can be traced to its source. Of documents whose bytes are not their text (PDF, DOCX, ...) the source is the text
/// that was taken out of them.
///
/// # Errors
/// [`Error::Empty`] without bytes. Damaged text is mended with a warning. [`Error::Decode`] or [`Error::Unsupported`] for a
/// document that is damaged beyond reading or encrypted.
pub fn decode(bytes: &[u8], format: TextFormat, limits: &Limits) -> Result<Document> {
    if bytes.is_empty() {
        return Err(Error::Empty);
    }
    if !matches!(format, TextFormat::Plain | TextFormat::Html) {
        let (text, warnings) = packed::extract(bytes, format, limits)?;
        return Ok(Document { kind: kind(format), warnings, ..plain(&text) });
    }
    let mut warnings = Vec::new();
    // Offsets are 32 bits wide and NFC may treble a text.
    let limit = usize::try_from(limits.max_text_bytes).unwrap_or(usize::MAX).min(1 << 30);
    let head = bytes.get(..limit).unwrap_or(bytes);
    let cut = head.len() < bytes.len();
    if cut {
        warnings.push(Warning::new(
            WarningCode::LimitReached,
            format!("only the first {limit} of {} bytes were read", bytes.len()),
        ));
    }
    let html = format == TextFormat::Html;
    let (encoding, bom) = find_encoding(head, html, &mut warnings);
    let mut raw = Mapped::new(bytes.len());
    let left = if encoding == UTF_8 {
        decode_utf8(head, bom, &mut raw)
    } else {
        decode_legacy(head, bom, encoding, &mut raw)
    };
    if left > 0 && !cut {
        warnings.push(Warning::new(
            WarningCode::Truncated,
            format!("the last character is cut off after {left} bytes"),
        ));
    }
    let bad = count_bad(&raw, bytes, encoding);
    if bad > 0 {
        warnings.push(Warning::new(
            WarningCode::BadSamples,
            format!("{bad} byte sequences are not valid {} and were replaced", encoding.name()),
        ));
    }

    let (kind, stripped, markup) = if html || html::looks_like_html(&raw.text) {
        let (stripped, markup) = html::strip(&raw.text);
        (DocumentKind::Html, Some(stripped), markup)
    } else {
        let markup = markdown::count(&raw.text);
        if markdown::is_markdown(&markup, &raw.text) {
            (DocumentKind::Markdown, Some(markdown::strip(&raw.text)), markup)
        } else {
            (DocumentKind::Plain, None, markup)
        }
    };
    let readable = match stripped {
        Some(stripped) => stripped.through(&raw.map),
        None => raw,
    };
    let Mapped { text, map } = match compose(&readable.text, Form::Nfc) {
        Some(composed) => composed.through(&readable.map),
        None => readable,
    };
    Ok(Document { text, map, encoding: encoding.name(), kind, markup, warnings })
}

/// A document from a text that is its own source, for instance from a data set.
///
/// The text is brought to NFC; Markdown is stripped as [`decode`] does.
pub fn document(text: &str) -> Document {
    let markup = markdown::count(text);
    let (kind, stripped) = if markdown::is_markdown(&markup, text) {
        (DocumentKind::Markdown, markdown::strip(text))
    } else {
        let mut plain = Mapped::new(text.len());
        plain.copy(text, 0..text.len());
        (DocumentKind::Plain, plain)
    };
    let Mapped { text, map } = match compose(&stripped.text, Form::Nfc) {
        Some(composed) => composed.through(&stripped.map),
        None => stripped,
    };
    Document { text, map, encoding: UTF_8.name(), kind, markup, warnings: Vec::new() }
}

/// A text without markup that is its own source.
fn plain(text: &str) -> Document {
    let mut copied = Mapped::new(text.len());
    copied.copy(text, 0..text.len());
    let Mapped { text: composed, map } = match compose(&copied.text, Form::Nfc) {
        Some(composed) => composed.through(&copied.map),
        None => copied,
    };
    let markup = markdown::count(text);
    Document {
        text: composed,
        map,
        encoding: UTF_8.name(),
        kind: DocumentKind::Plain,
        markup,
        warnings: Vec::new(),
    }
}

fn kind(format: TextFormat) -> DocumentKind {
    match format {
        TextFormat::Plain => DocumentKind::Plain,
        TextFormat::Html => DocumentKind::Html,
        TextFormat::Docx => DocumentKind::Docx,
        TextFormat::Pptx => DocumentKind::Pptx,
        TextFormat::OpenDocument => DocumentKind::OpenDocument,
        TextFormat::Epub => DocumentKind::Epub,
        TextFormat::Pdf => DocumentKind::Pdf,
        TextFormat::Rtf => DocumentKind::Rtf,
        TextFormat::Mail => DocumentKind::Mail,
    }
}

/// The encoding and the length of the byte order mark.
fn find_encoding(head: &[u8], html: bool, warnings: &mut Vec<Warning>) -> (&'static Encoding, usize) {
    if let Some(found) = Encoding::for_bom(head) {
        return found;
    }
    let guess = |encoding: &'static Encoding, warnings: &mut Vec<Warning>| {
        warnings.push(Warning::new(
            WarningCode::EncodingGuessed,
            format!("no declared encoding; {} fits best", encoding.name()),
        ));
        (encoding, 0)
    };
    if let Some(encoding) = find_utf16(head) {
        return guess(encoding, warnings);
    }
    if is_mostly_utf8(head) {
        return (UTF_8, 0);
    }
    if html && let Some(encoding) = declared_in_html(head) {
        return (encoding, 0);
    }
    // The first ASCII part says nothing; start a little before the first other byte.
    let first = head.iter().position(|b| !b.is_ascii()).unwrap_or(0).saturating_sub(1024);
    let sample = head.get(first..).unwrap_or(head);
    let sample = sample.get(..SAMPLE).unwrap_or(sample);
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Allow);
    // Never the last bytes: a character cut off at the end should not count against an encoding.
    detector.feed(sample, false);
    guess(detector.guess(None, Utf8Detection::Deny), warnings)
}

/// UTF-16 without a byte order mark.
///
/// Spaces, line ends and the common ideographic punctuation hold a byte below 9 or of 0xFF that other encodings of
/// text never have, so a text that has them in one byte order only is UTF-16 in that order.
fn find_utf16(head: &[u8]) -> Option<&'static Encoding> {
    let sample = head.get(..4096).unwrap_or(head);
    if !sample.iter().any(|&b| b < 9) {
        return None;
    }
    let (mut little, mut big, mut units) = (0_usize, 0_usize, 0_usize);
    for pair in sample.as_chunks::<2>().0 {
        let common = |unit: u16| match unit {
            0x0A | 0x0D | 0x20 | 0x3001 | 0x3002 | 0xFF0C => 4,
            0x21..=0x7E => 1,
            _ => 0,
        };
        little += common(u16::from_le_bytes(*pair));
        big += common(u16::from_be_bytes(*pair));
        units += 1;
    }
    let enough = units / 20;
    if little > enough && little > 4 * big {
        Some(UTF_16LE)
    } else if big > enough && big > 4 * little {
        Some(UTF_16BE)
    } else {
        None
    }
}

/// Whether the bytes are UTF-8, perhaps with a cut at the end or a few bad sequences among many good ones.
fn is_mostly_utf8(head: &[u8]) -> bool {
    let Err(error) = std::str::from_utf8(head) else { return true };
    if error.error_len().is_none() && error.valid_up_to() + 3 >= head.len() && error.valid_up_to() > 0 {
        // Only the last character is cut; with nothing but ASCII before it, a legacy letter is as likely.
        let valid = head.get(..error.valid_up_to()).unwrap_or_default();
        if !valid.is_ascii() || head.len() - error.valid_up_to() > 1 {
            return true;
        }
    }
    let (mut good, mut bad) = (0_usize, 0_usize);
    for chunk in head.utf8_chunks() {
        good += chunk.valid().bytes().filter(|b| *b >= 0xC0).count();
        bad += usize::from(!chunk.invalid().is_empty());
    }
    good > 10 * bad
}

/// The encoding that a page declares in its first kilobyte.
fn declared_in_html(head: &[u8]) -> Option<&'static Encoding> {
    let start = head.get(..2048).unwrap_or(head).to_ascii_lowercase();
    let at = start.windows(8).position(|w| w == b"charset=")? + 8;
    let label = start.get(at..)?;
    let label = label.strip_prefix(b"\"").or_else(|| label.strip_prefix(b"'")).unwrap_or(label);
    let end = label.iter().position(|b| !(b.is_ascii_alphanumeric() || b"-_:".contains(b)))?;
    // A page whose declaration can be read as ASCII is not UTF-16, and UTF-8 was refused before.
    Encoding::for_label(label.get(..end)?).filter(|e| e.is_ascii_compatible() && *e != UTF_8)
}

/// Decodes UTF-8; returns the number of bytes of a character cut off at the end.
fn decode_utf8(bytes: &[u8], bom: usize, out: &mut Mapped) -> usize {
    let mut at = bom;
    for chunk in bytes.get(bom..).unwrap_or_default().utf8_chunks() {
        let valid = chunk.valid();
        if !valid.is_empty() {
            out.map.push(out.text.len(), at, true);
            out.text.push_str(valid);
        }
        at += valid.len();
        let invalid = chunk.invalid();
        if invalid.is_empty() {
            continue;
        }
        let incomplete = at + invalid.len() == bytes.len()
            && std::str::from_utf8(invalid).is_err_and(|e| e.error_len().is_none());
        if incomplete {
            return invalid.len();
        }
        out.put(char::REPLACEMENT_CHARACTER, at);
        at += invalid.len();
    }
    0
}

/// Decodes any other encoding; returns the number of bytes of a character cut off at the end.
///
/// Bytes are fed one at a time, so that each character's place in the source is known. Runs of ASCII are copied whole
/// where the encoding allows it.
fn decode_legacy(bytes: &[u8], bom: usize, encoding: &'static Encoding, out: &mut Mapped) -> usize {
    let mut decoder = encoding.new_decoder_without_bom_handling();
    let ascii = encoding.is_ascii_compatible();
    let (mut at, mut start) = (bom, bom);
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        if ascii && start == at {
            let run = Encoding::ascii_valid_up_to(rest);
            if let Ok(run) = std::str::from_utf8(rest.get(..run).unwrap_or_default())
                && !run.is_empty()
            {
                out.map.push(out.text.len(), at, true);
                out.text.push_str(run);
                at += run.len();
                start = at;
                continue;
            }
        }
        // Room for more characters than one byte can finish; the decoder always takes the byte.
        let mut buffer = [0; 32];
        let byte = rest.get(..1).unwrap_or_default();
        let (_, _, written, _) = decoder.decode_to_utf8(byte, &mut buffer, false);
        at += 1;
        if let Ok(chars) = std::str::from_utf8(buffer.get(..written).unwrap_or_default())
            && !chars.is_empty()
        {
            out.map.push(out.text.len(), start, false);
            out.text.push_str(chars);
            start = at;
        }
    }
    out.mark(at);
    at - start
}

/// Replacement characters that the decoder wrote; those that the file itself holds do not count.
fn count_bad(raw: &Mapped, bytes: &[u8], encoding: &'static Encoding) -> usize {
    let own: &[u8] = match encoding.name() {
        "UTF-8" => "\u{FFFD}".as_bytes(),
        "UTF-16LE" => &[0xFD, 0xFF],
        "UTF-16BE" => &[0xFF, 0xFD],
        _ => &[],
    };
    raw.text
        .match_indices(char::REPLACEMENT_CHARACTER)
        .filter(|(at, _)| {
            own.is_empty() || !bytes.get(raw.map.source(*at)..).is_some_and(|source| source.starts_with(own))
        })
        .count()
}
