//! JPEG marker segments (ITU-T T.81, annex B; EXIF, XMP part 3, IPTC and JUMBF in APP1, APP13 and APP11).

use std::collections::BTreeMap;

use crate::bytes::{Cursor, be32, latin1_or_utf8, slice};
use crate::meta::{exif, iim};
use crate::sink::{Sink, Space, place};

/// One segment: its marker, where it begins, and what it holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Segment<'a> {
    pub(crate) marker: u8,
    /// Offset of the marker.
    pub(crate) at: usize,
    /// Content behind the length.
    pub(crate) data: &'a [u8],
}

pub(crate) const XMP: &[u8] = b"http://ns.adobe.com/xap/1.0/\0";
/// Parts by their number, and where the first of them is.
type Parts<'a> = (usize, BTreeMap<u32, &'a [u8]>);

const EXTENDED_XMP: &[u8] = b"http://ns.adobe.com/xmp/extension/\0";

/// The segments up to the end of the picture, and where that end is. Entropy-coded data is passed over.
pub(crate) fn segments(data: &[u8], max: usize) -> (Vec<Segment<'_>>, usize, bool) {
    let mut out = Vec::new();
    let mut at = 2;
    loop {
        // Fill bytes may stand before a marker, and entropy-coded data after a scan header.
        let Some(rest) = data.get(at..) else { return (out, data.len(), false) };
        let marker =
            |&i: &usize| rest.get(i + 1).is_some_and(|m| !matches!(m, 0 | 0xff | 0x01 | 0xd0..=0xd7));
        let Some(gap) = memchr::memchr_iter(0xff, rest).find(marker) else {
            return (out, data.len(), false);
        };
        at = at.saturating_add(gap);
        let marker = data.get(at.saturating_add(1)).copied().unwrap_or(0);
        if marker == 0xd9 {
            return (out, at.saturating_add(2), true);
        }
        if marker == 0xd8 {
            at = at.saturating_add(2);
            continue;
        }
        let len = slice(data, at.saturating_add(2), 2)
            .and_then(<[u8]>::first_chunk)
            .map_or(0, |b| usize::from(u16::from_be_bytes(*b)));
        let Some(content) = len.checked_sub(2).and_then(|n| slice(data, at.saturating_add(4), n)) else {
            return (out, data.len(), false);
        };
        if out.len() >= max {
            return (out, data.len(), false);
        }
        out.push(Segment { marker, at, data: content });
        at = at.saturating_add(2).saturating_add(len);
    }
}

pub(crate) fn read(data: &[u8], sink: &mut Sink<'_>) {
    let (segments, _, whole) = segments(data, sink.limits.max_items);
    if !whole {
        sink.damaged("JPEG file");
    }
    let mut extended: BTreeMap<&[u8], Parts<'_>> = BTreeMap::new();
    let mut jumbf: BTreeMap<u16, Parts<'_>> = BTreeMap::new();
    let mut photoshop: Option<(usize, Vec<u8>)> = None;
    for segment in &segments {
        if !sink.item() {
            break;
        }
        let (at, body) = (segment.at.saturating_add(4), segment.data);
        match segment.marker {
            0xe1 => {
                if body.starts_with(b"Exif\0") {
                    // One program writes a stray byte for the second zero.
                    let block = body.get(6..).unwrap_or_default();
                    exif::read(block, "JPEG APP1 EXIF", at.saturating_add(6), sink);
                } else if let Some(packet) = body.strip_prefix(XMP) {
                    sink.xmp(packet, place("JPEG APP1 XMP", segment.at));
                } else if let Some(rest) = body.strip_prefix(EXTENDED_XMP) {
                    let mut c = Cursor::new(rest);
                    if let (Some(guid), Some(_), Some(offset)) = (c.take(32), c.be32(), c.be32()) {
                        let parts = extended.entry(guid).or_insert((segment.at, BTreeMap::new()));
                        parts.1.insert(offset, c.rest());
                    }
                }
            }
            0xeb => {
                let mut c = Cursor::new(body);
                if c.take(2) == Some(b"JP")
                    && let (Some(instance), Some(number)) = (c.be16(), c.be32())
                {
                    jumbf.entry(instance).or_insert((segment.at, BTreeMap::new())).1.insert(number, c.rest());
                }
            }
            0xed => {
                if let Some(rest) = body.strip_prefix(b"Photoshop 3.0\0")
                    && sink.spend(rest.len())
                {
                    photoshop.get_or_insert((segment.at, Vec::new())).1.extend_from_slice(rest);
                }
            }
            0xfe => {
                let text = latin1_or_utf8(body);
                sink.text(
                    Space::Comment,
                    "COM",
                    text.trim_end_matches('\0'),
                    place("JPEG comment", segment.at),
                );
            }
            _ => {}
        }
    }
    for (at, parts) in extended.into_values() {
        if let Some(packet) = join(parts.values().copied(), sink) {
            sink.xmp(&packet, place("JPEG APP1 extended XMP", at));
        }
    }
    for (at, parts) in jumbf.into_values() {
        // Each packet repeats the header of the box (8 bytes, or 16 with a long length).
        let long = parts.values().next().is_some_and(|p| be32(p, 0) == Some(1));
        let header = if long { 16 } else { 8 };
        let pieces = parts
            .values()
            .enumerate()
            .map(|(i, p)| if i == 0 { p } else { p.get(header..).unwrap_or_default() });
        if let Some(store) = join(pieces, sink) {
            sink.store(&store, place("JPEG APP11 JUMBF", at));
        }
    }
    if let Some((at, blocks)) = photoshop {
        iim::photoshop(&blocks, "JPEG APP13", at, sink);
    }
}

fn join<'a>(parts: impl Iterator<Item = &'a [u8]>, sink: &mut Sink<'_>) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    for part in parts {
        if !sink.spend(part.len()) {
            return None;
        }
        out.extend_from_slice(part);
    }
    Some(out)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A JPEG file without a picture: segments between SOI and EOI.
    pub(crate) fn jpeg(segments: &[(u8, &[u8])]) -> Vec<u8> {
        let mut out = vec![0xff, 0xd8];
        for (marker, data) in segments {
            out.extend([0xff, *marker]);
            out.extend((data.len() as u16 + 2).to_be_bytes());
            out.extend_from_slice(data);
        }
        out.extend([0xff, 0xda, 0, 3, 0, 0x55, 0xff, 0, 0xff, 0xd0, 0x12, 0xff, 0xd9]);
        out
    }

    #[test]
    fn scans_are_passed_over() {
        let file = jpeg(&[(0xfe, b"hello")]);
        let (found, end, whole) = segments(&file, 99);
        assert_eq!((found.len(), end, whole), (2, file.len(), true));
    }
}
