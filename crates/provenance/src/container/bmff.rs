//! ISO base media files (ISO 14496-12): MP4, M4A, MOV, 3GP, HEIF and AVIF, and the boxes of JPEG XL (ISO 18181-2).

use crate::bytes::{Cursor, latin1_or_utf8, slice, split_nul, utf16};
use crate::meta::exif;
use crate::sink::{Sink, Space, place};

const UUID_C2PA: [u8; 16] =
    [0xd8, 0xfe, 0xc3, 0xd6, 0x1b, 0x0e, 0x48, 0x3c, 0x92, 0x97, 0x58, 0x28, 0x87, 0x7e, 0xc4, 0x81];
const UUID_XMP: [u8; 16] =
    [0xbe, 0x7a, 0xcf, 0xcb, 0x97, 0xa9, 0x42, 0xe8, 0x9c, 0x71, 0x99, 0x94, 0x91, 0xe3, 0xaf, 0xac];

/// One box.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bx<'a> {
    pub(crate) kind: [u8; 4],
    /// Offset of its size.
    pub(crate) at: usize,
    /// Offset of its content.
    pub(crate) body_at: usize,
    pub(crate) body: &'a [u8],
}

/// The boxes of `data[from..to]`; false if the last one is cut.
pub(crate) fn boxes(data: &[u8], from: usize, to: usize, max: usize) -> (Vec<Bx<'_>>, bool) {
    let mut out = Vec::new();
    let to = to.min(data.len());
    let mut at = from;
    while at.saturating_add(8) <= to {
        if out.len() >= max {
            return (out, false);
        }
        let head = || {
            let mut c = Cursor::new(data.get(at..to)?);
            let size = c.be32()?;
            let kind = c.array::<4>()?;
            let size = match size {
                0 => to - at,
                1 => usize::try_from(c.be64()?).ok()?,
                n => n as usize,
            };
            let body_at = at + c.at();
            let body = slice(data, body_at, size.checked_sub(c.at())?).filter(|b| body_at + b.len() <= to)?;
            Some((Bx { kind, at, body_at, body }, size))
        };
        let Some((found, size)) = head() else { return (out, false) };
        out.push(found);
        at += size;
    }
    // QuickTime ends lists of user data with four zero bytes.
    (out, true)
}

pub(crate) fn name(kind: [u8; 4]) -> String {
    kind.iter().map(|&b| char::from(b)).collect()
}

pub(crate) fn read(data: &[u8], sink: &mut Sink<'_>) {
    let (top, whole) = boxes(data, 0, data.len(), sink.limits.max_items);
    if !whole {
        sink.damaged("chain of boxes");
    }
    for b in top {
        if !sink.item() {
            return;
        }
        match &b.kind {
            b"uuid" => uuid(b, sink),
            b"moov" | b"moof" => movie(data, b, 0, sink),
            b"meta" => meta(data, b, "meta", sink),
            b"udta" => user_data(data, b, "udta", sink),
            b"jumb" => sink
                .store(data.get(b.at..b.body_at + b.body.len()).unwrap_or_default(), place("box jumb", b.at)),
            b"xml " => sink.xmp(b.body, place("box xml", b.at)),
            b"Exif" => exif_item(b.body, "box Exif", b.body_at, sink),
            _ => {}
        }
    }
}

fn uuid(b: Bx<'_>, sink: &mut Sink<'_>) {
    let Some((id, rest)) = b.body.split_first_chunk::<16>() else { return };
    if *id == UUID_XMP {
        sink.xmp(rest, place("box uuid (XMP)", b.at));
    } else if *id == UUID_C2PA {
        // A full box: version and flags, the purpose, and for a manifest the offset of the first Merkle box.
        let store = rest.get(4..).and_then(split_nul).filter(|(purpose, _)| *purpose != b"merkle");
        if let Some(store) = store.and_then(|(_, rest)| rest.get(8..)) {
            sink.store(store, place("box uuid (C2PA)", b.at));
        }
    }
}

fn movie(data: &[u8], parent: Bx<'_>, depth: usize, sink: &mut Sink<'_>) {
    let end = parent.body_at.saturating_add(parent.body.len());
    let (children, _) = boxes(data, parent.body_at, end, sink.limits.max_items);
    for b in children {
        if !sink.item() {
            return;
        }
        match &b.kind {
            b"udta" => user_data(data, b, "moov.udta", sink),
            b"meta" => meta(data, b, "moov.meta", sink),
            b"uuid" => uuid(b, sink),
            b"trak" if depth < 4 => movie(data, b, depth + 1, sink),
            _ => {}
        }
    }
}

fn user_data(data: &[u8], parent: Bx<'_>, what: &str, sink: &mut Sink<'_>) {
    let end = parent.body_at.saturating_add(parent.body.len());
    let (children, _) = boxes(data, parent.body_at, end, sink.limits.max_items);
    for b in children {
        if !sink.item() {
            return;
        }
        let id = name(b.kind);
        let location = place(format!("{what}.{}", id.escape_debug()), b.at);
        match &b.kind {
            b"meta" => meta(data, b, &format!("{what}.meta"), sink),
            b"XMP_" => sink.xmp(b.body, location),
            b"uuid" => uuid(b, sink),
            // QuickTime texts: length, language, text; several may follow each other.
            [0xa9, ..] => {
                let mut c = Cursor::new(b.body);
                let (Some(len), Some(_)) = (c.be16(), c.be16()) else { continue };
                let text = c.take(usize::from(len)).unwrap_or_default();
                sink.text(Space::Mp4, id, latin1_or_utf8(text), location);
            }
            // 3GPP texts: version and flags, language, text.
            b"titl" | b"dscp" | b"auth" | b"cprt" | b"perf" => {
                let text = match b.body.get(6..).unwrap_or_default() {
                    [0xfe, 0xff, rest @ ..] => utf16(rest, true),
                    text => latin1_or_utf8(text),
                };
                sink.text(Space::Mp4, id, text.trim_end_matches('\0'), location);
            }
            b"AIGC" => {
                let text = latin1_or_utf8(b.body);
                sink.text(Space::Mp4, id, text.trim_matches('\0'), location);
            }
            _ => {}
        }
    }
}

/// Whether a `meta` box has the four bytes of version and flags that `QuickTime` leaves out.
pub(crate) fn meta_is_full(body: &[u8]) -> bool {
    body.get(..4) == Some(&[0; 4]) && body.get(4..8) != Some(b"hdlr")
}

fn meta(data: &[u8], parent: Bx<'_>, what: &str, sink: &mut Sink<'_>) {
    let start = parent.body_at.saturating_add(if meta_is_full(parent.body) { 4 } else { 0 });
    let end = parent.body_at.saturating_add(parent.body.len());
    let (children, _) = boxes(data, start, end, sink.limits.max_items);
    let find = |kind: &[u8; 4]| children.iter().find(|b| b.kind == *kind).copied();
    let keys = find(b"keys").map(|b| keys(b.body, sink.limits.max_items)).unwrap_or_default();
    if let Some(list) = find(b"ilst") {
        items(data, list, &keys, what, sink);
    }
    for b in &children {
        match &b.kind {
            b"uuid" => uuid(*b, sink),
            b"xml " => sink.xmp(b.body.get(4..).unwrap_or_default(), place(format!("{what}.xml"), b.at)),
            _ => {}
        }
    }
    if let (Some(info), Some(locations)) = (find(b"iinf"), find(b"iloc")) {
        still_items(data, info, locations, find(b"idat"), what, sink);
    }
}

/// The names in a `keys` box, without their namespace (`QuickTime` metadata).
fn keys(body: &[u8], max: usize) -> Vec<String> {
    let mut c = Cursor::new(body);
    let mut out = Vec::new();
    let (Some(_), Some(count)) = (c.be32(), c.be32()) else { return out };
    for _ in 0..(count as usize).min(max) {
        let (Some(size), Some(_namespace)) = (c.be32(), c.be32()) else { break };
        let Some(name) = (size as usize).checked_sub(8).and_then(|n| c.take(n)) else { break };
        out.push(latin1_or_utf8(name));
    }
    out
}

fn items(data: &[u8], list: Bx<'_>, keys: &[String], what: &str, sink: &mut Sink<'_>) {
    let (entries, _) =
        boxes(data, list.body_at, list.body_at.saturating_add(list.body.len()), sink.limits.max_items);
    for entry in entries {
        if !sink.item() {
            return;
        }
        let end = entry.body_at.saturating_add(entry.body.len());
        let (children, _) = boxes(data, entry.body_at, end, 64);
        let mut key = name(entry.kind);
        let index = u32::from_be_bytes(entry.kind);
        if index > 0
            && let Some(named) = keys.get(index as usize - 1)
        {
            key.clone_from(named);
        }
        for child in children {
            match &child.kind {
                b"name" => key = latin1_or_utf8(child.body.get(4..).unwrap_or_default()),
                b"data" => {
                    // Type (1 UTF-8, 2 UTF-16, 0 unspecified), locale, value.
                    let kind = child.body.get(3).copied().unwrap_or(0);
                    let Some(value) = child.body.get(8..) else { continue };
                    let text = match kind {
                        0 | 1 => latin1_or_utf8(value),
                        2 => utf16(value, true),
                        _ => continue,
                    };
                    let location = place(format!("{what}.ilst {}", key.escape_debug()), entry.at);
                    sink.text(Space::Mp4, key.clone(), text.trim_end_matches('\0'), location);
                }
                _ => {}
            }
        }
    }
}

/// An EXIF item: the offset of the TIFF header, then perhaps `Exif\0\0`, then the block.
fn exif_item(body: &[u8], what: &str, at: usize, sink: &mut Sink<'_>) {
    let mut c = Cursor::new(body);
    let Some(skip) = c.be32() else { return };
    if c.skip(skip as usize).is_none() {
        return;
    }
    let start = c.at();
    exif::read(c.rest(), what, at.saturating_add(start), sink);
}

/// Items of type `Exif` and `mime` in HEIF and AVIF (ISO 23008-12): found in `iinf`, placed by `iloc`.
fn still_items(
    data: &[u8],
    info: Bx<'_>,
    locations: Bx<'_>,
    idat: Option<Bx<'_>>,
    what: &str,
    sink: &mut Sink<'_>,
) {
    let mut wanted: Vec<(u32, bool)> = Vec::new();
    let wide = info.body.first().is_some_and(|v| *v > 0);
    let start = info.body_at.saturating_add(if wide { 8 } else { 6 });
    let (entries, _) =
        boxes(data, start, info.body_at.saturating_add(info.body.len()), sink.limits.max_items);
    for entry in entries {
        let mut c = Cursor::new(entry.body);
        let mut item = || {
            let version = c.u8()?;
            c.skip(3)?;
            let id = match version {
                2 => u32::from(c.be16()?),
                3 => c.be32()?,
                _ => return None,
            };
            c.skip(2)?;
            let kind = c.array::<4>()?;
            let (_, rest) = split_nul(c.rest())?;
            let mime = split_nul(rest).map_or(rest, |(mime, _)| mime);
            match &kind {
                b"Exif" => Some((id, true)),
                b"mime" if mime == b"application/rdf+xml" => Some((id, false)),
                _ => None,
            }
        };
        wanted.extend(item());
        // A picture has one of each.
        if wanted.len() >= 16 {
            break;
        }
    }
    if wanted.is_empty() {
        return;
    }
    for (id, from_idat, extents) in item_locations(locations.body, sink.limits.max_items) {
        let Some(&(_, is_exif)) = wanted.iter().find(|(w, _)| *w == id) else { continue };
        let source = if from_idat { idat.map(|b| b.body) } else { Some(data) };
        let Some(source) = source else { continue };
        let mut whole = Vec::new();
        let mut first = 0;
        for (i, (at, len)) in extents.iter().enumerate() {
            let Some(part) = slice(source, *at, *len) else {
                sink.damaged("item of the picture");
                break;
            };
            if i == 0 {
                first = *at;
            }
            if whole.len().saturating_add(part.len()) > sink.limits.max_value || !sink.spend(part.len()) {
                break;
            }
            whole.extend_from_slice(part);
        }
        if is_exif {
            exif_item(&whole, &format!("{what} item EXIF"), first, sink);
        } else {
            sink.xmp(&whole, place(format!("{what} item XMP"), first));
        }
    }
}

type ItemPlace = (u32, bool, Vec<(usize, usize)>);

fn item_locations(body: &[u8], max: usize) -> Vec<ItemPlace> {
    fn sized(c: &mut Cursor<'_>, n: u8) -> Option<usize> {
        match n {
            0 => Some(0),
            4 => c.be32().map(|v| v as usize),
            8 => c.be64().and_then(|v| usize::try_from(v).ok()),
            _ => None,
        }
    }
    let mut out = Vec::new();
    let mut c = Cursor::new(body);
    let mut total = 0_usize;
    let mut all = || {
        let version = c.u8()?;
        c.skip(3)?;
        let (sizes, more) = (c.u8()?, c.u8()?);
        let (offset_size, length_size, base_size) = (sizes >> 4, sizes & 15, more >> 4);
        let index_size = if version > 0 { more & 15 } else { 0 };
        let count = if version < 2 { u32::from(c.be16()?) } else { c.be32()? };
        for _ in 0..count {
            let id = if version < 2 { u32::from(c.be16()?) } else { c.be32()? };
            let method = if version > 0 { c.be16()? & 15 } else { 0 };
            c.skip(2)?;
            let base = sized(&mut c, base_size)?;
            let mut extents = Vec::new();
            for _ in 0..c.be16()? {
                total += 1;
                if total > max {
                    return None;
                }
                sized(&mut c, index_size)?;
                let offset = sized(&mut c, offset_size)?;
                let len = sized(&mut c, length_size)?;
                extents.push((base.saturating_add(offset), len));
            }
            if method < 2 {
                out.push((id, method == 1, extents));
            }
        }
        Some(())
    };
    let _ = all();
    out
}
