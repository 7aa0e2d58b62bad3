//! TIFF directories (TIFF 6.0, `BigTIFF`) and the EXIF tags in them (CIPA DC-008).

use std::collections::BTreeSet;

use crate::bytes::{latin1_or_utf8, slice, utf16};
use crate::meta::iim;
use crate::sink::{Sink, Space, place};

/// Tags of text that are read, by number.
const TEXT_TAGS: &[(u16, &str)] = &[
    (0x010d, "DocumentName"),
    (0x010e, "ImageDescription"),
    (0x010f, "Make"),
    (0x0110, "Model"),
    (0x0131, "Software"),
    (0x013b, "Artist"),
    (0x013c, "HostComputer"),
    (0x8298, "Copyright"),
    (0x9003, "DateTimeOriginal"),
    (0x9286, "UserComment"),
    (0x927c, "MakerNote"),
    (0x9c9b, "XPTitle"),
    (0x9c9c, "XPComment"),
    (0x9c9d, "XPAuthor"),
    (0x9c9e, "XPKeywords"),
    (0x9c9f, "XPSubject"),
    (0xa420, "ImageUniqueID"),
];
const XMP: u16 = 0x02bc;
const IIM: u16 = 0x83bb;
const C2PA: u16 = 0xcd41;
const EXIF_IFD: u16 = 0x8769;
const SUB_IFDS: u16 = 0x014a;
const USER_COMMENT: u16 = 0x9286;
const MAKER_NOTE: u16 = 0x927c;
const MAX_DIRECTORIES: usize = 64;

/// Byte order and offset width of a TIFF block.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout {
    pub(crate) big_endian: bool,
    pub(crate) big: bool,
}

impl Layout {
    pub(crate) fn of(data: &[u8]) -> Option<Self> {
        let (big_endian, version) = match data.get(..4)? {
            [b'I', b'I', v, 0] => (false, *v),
            [b'M', b'M', 0, v] => (true, *v),
            _ => return None,
        };
        matches!(version, 42 | 43).then_some(Self { big_endian, big: version == 43 })
    }

    /// An unsigned number of `len` bytes (at most 8) at `at`.
    pub(crate) fn uint(self, data: &[u8], at: usize, len: usize) -> Option<u64> {
        let bytes = slice(data, at, len.min(8))?;
        let add = |n: u64, &b: &u8| (n << 8) | u64::from(b);
        Some(if self.big_endian { bytes.iter().fold(0, add) } else { bytes.iter().rev().fold(0, add) })
    }

    pub(crate) fn size(self, data: &[u8], at: usize, len: usize) -> Option<usize> {
        usize::try_from(self.uint(data, at, len)?).ok()
    }

    /// Width of an offset.
    pub(crate) fn word(self) -> usize {
        if self.big { 8 } else { 4 }
    }

    /// Offset of the first directory.
    pub(crate) fn first(self, data: &[u8]) -> Option<usize> {
        if self.big { self.size(data, 8, 8) } else { self.size(data, 4, 4) }
    }
}

pub(crate) fn type_size(kind: u64) -> usize {
    match kind {
        3 | 8 => 2,
        4 | 9 | 11 | 13 => 4,
        5 | 10 | 12 | 16..=18 => 8,
        _ => 1,
    }
}

/// Reads a TIFF block. `what` names it, `base` is its offset in the file.
pub(crate) fn read(data: &[u8], what: &str, base: usize, sink: &mut Sink<'_>) {
    let data = data.strip_prefix(b"Exif\0\0").unwrap_or(data);
    let Some(layout) = Layout::of(data) else {
        sink.damaged(what);
        return;
    };
    let Some(first) = layout.first(data) else { return };
    let mut todo = vec![first];
    let mut seen = BTreeSet::new();
    while let Some(at) = todo.pop() {
        // A directory is read once, so that directories that point at each other come to an end.
        if at == 0 || !seen.insert(at) || seen.len() > MAX_DIRECTORIES {
            continue;
        }
        // A careless writer leaves a random number where the next directory would be.
        if directory(data, layout, at, what, base, &mut todo, sink).is_none() && seen.len() == 1 {
            sink.damaged(what);
        }
    }
}

fn directory(
    data: &[u8],
    layout: Layout,
    at: usize,
    what: &str,
    base: usize,
    todo: &mut Vec<usize>,
    sink: &mut Sink<'_>,
) -> Option<()> {
    let word = layout.word();
    let (head, size) = if layout.big { (8, 20) } else { (2, 12) };
    let count = layout.size(data, at, head)?;
    let mut entry = at.checked_add(head)?;
    for _ in 0..count {
        if !sink.item() {
            return Some(());
        }
        slice(data, entry, size)?;
        let tag = layout.uint(data, entry, 2)? as u16;
        let kind = layout.uint(data, entry + 2, 2)?;
        let n = layout.size(data, entry + 4, word)?;
        let field = entry + 4 + word;
        entry = entry.checked_add(size)?;
        let len = n.saturating_mul(type_size(kind));
        let start = if len <= word { field } else { layout.size(data, field, word)? };
        let wanted = TEXT_TAGS.iter().find(|(t, _)| *t == tag);
        if wanted.is_none() && !matches!(tag, XMP | IIM | C2PA | EXIF_IFD | SUB_IFDS) {
            continue;
        }
        let Some(value) = slice(data, start, len) else {
            sink.damaged(what);
            continue;
        };
        // Values may overlap, so their sizes add up to more than the file.
        if !sink.spend(value.len()) {
            return Some(());
        }
        let offset = base.saturating_add(start);
        match (tag, wanted) {
            (EXIF_IFD | SUB_IFDS, _) => {
                for i in 0..n.min(16) {
                    todo.extend(layout.size(value, i.saturating_mul(type_size(kind)), type_size(kind)));
                }
            }
            (XMP, _) => sink.xmp(value, place(format!("{what}, tag XMP"), offset)),
            (IIM, _) => iim::read(value, &format!("{what}, tag IPTC"), offset, sink),
            (C2PA, _) => sink.store(value, place(format!("{what}, tag C2PA"), offset)),
            // Maker notes are binary; those of some phone exports are JSON.
            (MAKER_NOTE, _) if !value.starts_with(b"{") => {}
            (USER_COMMENT, _) => {
                let location = place(format!("{what}, tag UserComment"), offset);
                sink.text(Space::Exif, "UserComment", user_comment(value), location);
            }
            (_, Some((tag, name))) => {
                let text = if *tag >= 0x9c9b && *tag <= 0x9c9f { utf16(value, false) } else { string(value) };
                let text = text.trim_end_matches('\0');
                if !text.is_empty() {
                    sink.text(Space::Exif, *name, text, place(format!("{what}, tag {name}"), offset));
                }
            }
            _ => {}
        }
    }
    todo.extend(layout.size(data, entry, word));
    Some(())
}

fn string(value: &[u8]) -> String {
    let end = value.iter().rposition(|&b| b != 0).map_or(0, |at| at + 1);
    latin1_or_utf8(value.get(..end).unwrap_or_default())
}

/// `UserComment` has eight bytes that name its character code; programs leave them out, or the byte order wrong.
pub(crate) fn user_comment(value: &[u8]) -> String {
    if let Some(rest) = value.strip_prefix(b"UNICODE\0") {
        return match rest {
            [0xfe, 0xff, rest @ ..] => utf16(rest, true),
            [0xff, 0xfe, rest @ ..] => utf16(rest, false),
            _ => {
                let (big, little) = (utf16(rest, true), utf16(rest, false));
                let ascii = |s: &str| s.chars().filter(|c| matches!(c, ' '..='~' | '\n')).count();
                if ascii(&little) > ascii(&big) { little } else { big }
            }
        }
        .trim_end_matches('\0')
        .to_owned();
    }
    let rest = [&b"ASCII\0\0\0"[..], b"JIS\0\0\0\0\0", &[0; 8]]
        .iter()
        .find_map(|prefix| value.strip_prefix(*prefix))
        .unwrap_or(value);
    string(rest)
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::report::Limits;

    /// A little TIFF block with tags of type ASCII (or UNDEFINED for `UserComment`) in one directory.
    pub(crate) fn tiff(tags: &[(u16, &[u8])]) -> Vec<u8> {
        let mut out = b"II*\0\x08\0\0\0".to_vec();
        out.extend((tags.len() as u16).to_le_bytes());
        let mut at = 8 + 2 + 12 * tags.len() + 4;
        let mut tail = Vec::new();
        for (tag, value) in tags {
            out.extend(tag.to_le_bytes());
            let kind: u16 = if *tag == USER_COMMENT || *tag == XMP { 7 } else { 2 };
            out.extend(kind.to_le_bytes());
            out.extend((value.len() as u32).to_le_bytes());
            if value.len() <= 4 {
                out.extend(value.iter().chain(&[0; 4]).take(4));
            } else {
                out.extend(((at + tail.len()) as u32).to_le_bytes());
                tail.extend_from_slice(value);
            }
        }
        at = 0;
        out.extend((at as u32).to_le_bytes());
        out.extend(tail);
        out
    }

    #[test]
    fn text_tags_are_read() {
        let limits = Limits::default();
        let mut sink = Sink::new(&limits);
        read(&tiff(&[(0x010f, b"abc\0"), (0x0131, b"A program\0")]), "EXIF", 0, &mut sink);
        let found: Vec<_> = sink.texts.iter().map(|t| (t.key.as_str(), t.value.as_str())).collect();
        assert_eq!(found, [("Make", "abc"), ("Software", "A program")]);
    }

    #[test]
    fn user_comments_in_either_byte_order() {
        assert_eq!(user_comment(b"UNICODE\0\0S\0t"), "St");
        assert_eq!(user_comment(b"UNICODE\0S\0t\0"), "St");
        assert_eq!(user_comment(b"ASCII\0\0\0St\0"), "St");
        assert_eq!(user_comment(b"{\"AIGC\""), "{\"AIGC\"");
    }

    #[test]
    fn a_circle_of_directories_ends() {
        let mut block = tiff(&[(0x0131, b"x\0\0\0")]);
        let at = 8 + 2 + 12;
        block[at] = 8;
        let limits = Limits::default();
        let mut sink = Sink::new(&limits);
        read(&block, "EXIF", 0, &mut sink);
        assert_eq!(sink.texts.len(), 1);
    }

    proptest! {
        #[test]
        fn any_bytes_end(bytes in proptest::collection::vec(any::<u8>(), 0..400), big in any::<bool>()) {
            let limits = Limits::default();
            let mut sink = Sink::new(&limits);
            let start: &[u8] = if big { b"MM\0*\0\0\0\x08" } else { b"II*\0\x08\0\0\0" };
            read(&[start, &bytes].concat(), "EXIF", 0, &mut sink);
            read(&bytes, "EXIF", 0, &mut sink);
        }
    }
}
