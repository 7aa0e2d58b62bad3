//! Chunked files of the IFF family: RIFF (WebP, WAV, AVI, with RF64 and BW64), AIFF, and Core Audio.

use crate::bytes::{Cursor, latin1_or_utf8, le32, slice};
use crate::meta::{exif, id3};
use crate::sink::{Sink, Space, place};

/// One RIFF chunk.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chunk<'a> {
    pub(crate) id: [u8; 4],
    /// Offset of its identifier.
    pub(crate) at: usize,
    pub(crate) data: &'a [u8],
    /// Offset behind it, padding included.
    pub(crate) end: usize,
}

/// The chunks of `data[from..to]`; false if the last one is cut.
pub(crate) fn chunks(data: &[u8], from: usize, to: usize, max: usize) -> (Vec<Chunk<'_>>, bool) {
    let mut out = Vec::new();
    let mut at = from;
    let to = to.min(data.len());
    // RF64 keeps the size of its largest chunk in `ds64`.
    let long = data.get(..4).is_some_and(|m| m == b"RF64" || m == b"BW64");
    while at.saturating_add(8) <= to && out.len() < max {
        let (Some(id), Some(len)) = (slice(data, at, 4).and_then(<[u8]>::first_chunk), le32(data, at + 4))
        else {
            return (out, false);
        };
        let mut len = len as usize;
        if long && len == 0xffff_ffff && id == b"data" {
            let size = slice(data, 28, 8).and_then(<[u8]>::first_chunk).map_or(0, |b| u64::from_le_bytes(*b));
            len = usize::try_from(size).unwrap_or(usize::MAX);
        }
        let start = at + 8;
        let Some(content) = slice(data, start, len).filter(|_| start + len <= to) else {
            // The last chunk of a recording that was cut off is still worth its beginning.
            return (out, false);
        };
        let end = start + len + (len & 1);
        out.push(Chunk { id: *id, at, data: content, end });
        at = end;
    }
    (out, true)
}

fn code(id: [u8; 4]) -> String {
    String::from_utf8_lossy(&id).trim_end().to_owned()
}

fn string(data: &[u8]) -> String {
    latin1_or_utf8(data).trim_end_matches(['\0', ' ']).to_owned()
}

pub(crate) fn riff(data: &[u8], what: &str, sink: &mut Sink<'_>) {
    list(data, 12, data.len(), what, 0, sink);
}

fn list(data: &[u8], from: usize, to: usize, what: &str, depth: usize, sink: &mut Sink<'_>) {
    let (chunks, whole) = chunks(data, from, to, sink.limits.max_items);
    if !whole && depth == 0 {
        sink.damaged(what);
    }
    for chunk in chunks {
        if !sink.item() {
            return;
        }
        let id = code(chunk.id);
        let location = place(format!("{what} chunk {}", id.escape_debug()), chunk.at);
        let start = chunk.at.saturating_add(8);
        match &chunk.id {
            b"LIST" => {
                let inside = (start.saturating_add(4), start.saturating_add(chunk.data.len()));
                if chunk.data.starts_with(b"INFO") {
                    info(data, inside.0, inside.1, what, sink);
                } else if depth < 4 && !chunk.data.starts_with(b"movi") && !chunk.data.starts_with(b"wavl") {
                    list(data, inside.0, inside.1, what, depth + 1, sink);
                }
            }
            b"EXIF" => exif::read(chunk.data, &format!("{what} chunk EXIF"), start, sink),
            b"XMP " | b"_PMX" => sink.xmp(chunk.data, location),
            b"C2PA" => sink.store(chunk.data, location),
            b"id3 " | b"ID3 " => id3::read(chunk.data, &format!("{what} ID3v2"), start, sink),
            b"AIGC" => sink.text(Space::Chunk, "AIGC", string(chunk.data), location),
            _ => {}
        }
    }
}

fn info(data: &[u8], from: usize, to: usize, what: &str, sink: &mut Sink<'_>) {
    for chunk in chunks(data, from, to, sink.limits.max_items).0 {
        let id = code(chunk.id);
        let location = place(format!("{what} LIST INFO {}", id.escape_debug()), chunk.at);
        sink.text(Space::Chunk, id, string(chunk.data), location);
    }
}

/// AIFF and AIFF-C (Apple, 1989 and 1991).
pub(crate) fn aiff(data: &[u8], sink: &mut Sink<'_>) {
    let mut c = Cursor::new(data);
    let _ = c.skip(12);
    while sink.item() && !c.is_empty() {
        let at = c.at();
        let mut chunk = || {
            let id = c.array::<4>()?;
            let len = c.be32()? as usize;
            let data = c.take(len)?;
            let _ = c.skip(len & 1);
            Some((id, data))
        };
        let Some((id, body)) = chunk() else {
            sink.damaged("AIFF file");
            return;
        };
        let location = place(format!("AIFF chunk {}", code(id).escape_debug()), at);
        match &id {
            b"ID3 " | b"id3 " => id3::read(body, "AIFF ID3v2", at.saturating_add(8), sink),
            b"C2PA" => sink.store(body, location),
            b"XMP " | b"_PMX" => sink.xmp(body, location),
            b"NAME" | b"AUTH" | b"(c) " | b"ANNO" | b"AIGC" => {
                sink.text(Space::Chunk, code(id), string(body), location);
            }
            _ => {}
        }
    }
}

/// Core Audio Format (Apple): the information chunk.
pub(crate) fn caf(data: &[u8], sink: &mut Sink<'_>) {
    let mut c = Cursor::new(data);
    let _ = c.skip(8);
    while sink.item() {
        let at = c.at();
        let (Some(id), Some(len)) = (c.array::<4>(), c.be64()) else { return };
        let Some(body) = usize::try_from(len).ok().and_then(|n| c.take(n)) else { return };
        if &id != b"info" {
            continue;
        }
        let mut strings = body.get(4..).unwrap_or_default().split(|&b| b == 0);
        while let (Some(key), Some(value)) = (strings.next(), strings.next()) {
            if !key.is_empty() {
                sink.text(
                    Space::Chunk,
                    latin1_or_utf8(key),
                    latin1_or_utf8(value),
                    place("CAF chunk info", at),
                );
            }
            if !sink.item() {
                return;
            }
        }
    }
}
