//! ID3v2.2, 2.3 and 2.4 tags, and ID3v1 at the end of a file (id3.org informal standards).

use std::borrow::Cow;

use crate::bytes::{Cursor, be32, latin1_or_utf8, slice, split_nul, utf16};
use crate::sink::{Packing, Sink, Space, place};

/// A tag's header.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Header {
    pub(crate) version: u8,
    pub(crate) flags: u8,
    /// Bytes of the tag with its header and footer.
    pub(crate) total: usize,
}

fn syncsafe(n: u32) -> u32 {
    (n & 0x7f) | ((n >> 1) & 0x3f80) | ((n >> 2) & 0x1f_c000) | ((n >> 3) & 0xfe0_0000)
}

/// The header of a tag at the start of `data`.
pub(crate) fn header(data: &[u8]) -> Option<Header> {
    let rest = data.strip_prefix(b"ID3")?;
    let (&version, &flags) = (rest.first()?, rest.get(2)?);
    let size = be32(rest, 3)?;
    if !(2..=4).contains(&version) || size & 0x8080_8080 != 0 {
        return None;
    }
    let footer = if version == 4 && flags & 0x10 != 0 { 10 } else { 0 };
    Some(Header { version, flags, total: syncsafe(size) as usize + 10 + footer })
}

fn deunsync(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(data.len());
    let mut last = 0;
    for &b in data {
        if !(last == 0xff && b == 0) {
            out.push(b);
        }
        last = b;
    }
    out
}

/// Reads the tag at the start of `data`, which is at `base` in the file.
pub(crate) fn read(data: &[u8], what: &str, base: usize, sink: &mut Sink<'_>) {
    let Some(head) = header(data) else { return };
    let end = head.total.min(data.len());
    if head.total > data.len() {
        sink.damaged(what);
    }
    let Some(body) = data.get(10..end) else { return };
    let body: Cow<'_, [u8]> = if head.flags & 0x80 != 0 && head.version < 4 {
        if !sink.spend(body.len()) {
            return;
        }
        deunsync(body).into()
    } else {
        body.into()
    };
    let mut c = Cursor::new(&body);
    if head.version > 2 && head.flags & 0x40 != 0 {
        let Some(n) = c.be32() else { return };
        let skip = if head.version == 4 { (syncsafe(n) as usize).saturating_sub(4) } else { n as usize };
        if c.skip(skip).is_none() {
            return;
        }
    }
    while sink.item() {
        let at = base.saturating_add(10).saturating_add(c.at());
        let Some((id, flags, data)) = frame(&mut c, head.version) else { break };
        let Some(data) = unpack(data, head, flags, sink) else { continue };
        content(id, &data, what, at, sink);
    }
}

fn frame<'a>(c: &mut Cursor<'a>, version: u8) -> Option<(&'a [u8], u16, &'a [u8])> {
    if version == 2 {
        let id = c.take(3)?;
        let size = c.take(3)?.iter().fold(0, |n, &b| (n << 8) | usize::from(b));
        return id.first().filter(|b| **b != 0).and_then(|_| Some((id, 0, c.take(size)?)));
    }
    let id = c.take(4)?;
    if id.first() == Some(&0) {
        return None;
    }
    let size = c.be32()?;
    let flags = c.be16()?;
    let plain = size as usize;
    let safe = syncsafe(size) as usize;
    if version == 3 || size & 0x8080_8080 != 0 {
        return Some((id, flags, c.take(plain)?));
    }
    // Some programs write plain sizes in 2.4: believe whichever is followed by a frame or the end.
    let fits = |n: usize| {
        let mut ahead = *c;
        ahead.skip(n).is_some()
            && ahead.take(4).is_none_or(|id| {
                id.iter().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit()) || id.first() == Some(&0)
            })
    };
    let n = if plain != safe && !fits(safe) && fits(plain) { plain } else { safe };
    Some((id, flags, c.take(n)?))
}

fn unpack<'a>(data: &'a [u8], head: Header, flags: u16, sink: &mut Sink<'_>) -> Option<Cow<'a, [u8]>> {
    if flags == 0 || head.version == 2 {
        return Some(data.into());
    }
    let mut data: Cow<'a, [u8]> = data.into();
    let (compressed, encrypted, grouped, unsync, length) = if head.version == 3 {
        (flags & 0x80 != 0, flags & 0x40 != 0, flags & 0x20 != 0, false, flags & 0x80 != 0)
    } else {
        (flags & 8 != 0, flags & 4 != 0, flags & 0x40 != 0, flags & 2 != 0, flags & 1 != 0)
    };
    if encrypted {
        return None;
    }
    let skip = usize::from(grouped) + if length { 4 } else { 0 };
    if skip > 0 {
        data = data.get(skip..)?.to_vec().into();
    }
    if unsync {
        if !sink.spend(data.len()) {
            return None;
        }
        data = deunsync(&data).into();
    }
    if compressed {
        data = sink.inflate(&data, Packing::Zlib)?.into();
    }
    Some(data)
}

/// A text in one of the four encodings.
fn decode(encoding: u8, data: &[u8]) -> String {
    let text = match (encoding, data) {
        (1 | 2, [0xff, 0xfe, rest @ ..]) => utf16(rest, false),
        (1 | 2, [0xfe, 0xff, rest @ ..]) => utf16(rest, true),
        (1, _) => utf16(data, false),
        (2, _) => utf16(data, true),
        _ => latin1_or_utf8(data),
    };
    text.trim_end_matches('\0').to_owned()
}

/// Splits a description from what follows it.
fn described(encoding: u8, data: &[u8]) -> Option<(String, &[u8])> {
    if matches!(encoding, 1 | 2) {
        let end = data.chunks_exact(2).position(|p| p == [0, 0])?.saturating_mul(2);
        return Some((decode(encoding, data.get(..end)?), data.get(end + 2..)?));
    }
    let (description, rest) = split_nul(data)?;
    Some((decode(encoding, description), rest))
}

fn content(id: &[u8], data: &[u8], what: &str, at: usize, sink: &mut Sink<'_>) {
    let name = String::from_utf8_lossy(id).into_owned();
    let location = place(format!("{what} frame {}", name.escape_default()), at);
    let encoding = data.first().copied().unwrap_or(0);
    let rest = data.get(1..).unwrap_or_default();
    match id {
        b"TXXX" | b"TXX" => {
            let Some((description, value)) = described(encoding, rest) else { return };
            sink.text(Space::Id3, format!("TXXX:{description}"), decode(encoding, value), location);
        }
        b"COMM" | b"COM" => {
            let Some((description, value)) = rest.get(3..).and_then(|d| described(encoding, d)) else {
                return;
            };
            sink.text(Space::Id3, format!("COMM:{description}"), decode(encoding, value), location);
        }
        b"WXXX" | b"WXX" => {
            let Some((description, value)) = described(encoding, rest) else { return };
            sink.text(Space::Id3, format!("WXXX:{description}"), decode(0, value), location);
        }
        b"GEOB" | b"GEO" => {
            let object = || {
                let (mime, rest) = split_nul(rest)?;
                let (_, rest) = described(encoding, rest)?;
                let (_, object) = described(encoding, rest)?;
                Some((latin1_or_utf8(mime).to_ascii_lowercase(), object))
            };
            let Some((mime, object)) = object() else { return };
            let known = ["application/c2pa", "application/x-c2pa-manifest-store", "application/jumbf"];
            if known.contains(&mime.as_str()) {
                sink.store(object, location);
            }
        }
        b"PRIV" => {
            if let Some((b"XMP", packet)) = split_nul(data) {
                sink.xmp(packet, location);
            }
        }
        [b'T', ..] => sink.text(Space::Id3, name, decode(encoding, rest), location),
        [b'W', ..] => sink.text(Space::Id3, name, decode(0, data), location),
        _ => {}
    }
}

/// Reads an ID3v1 tag, the last 128 bytes of a file.
pub(crate) fn v1(data: &[u8], sink: &mut Sink<'_>) {
    let Some(at) = data.len().checked_sub(128) else { return };
    let Some(tag) = slice(data, at, 128).filter(|t| t.starts_with(b"TAG")) else { return };
    for (key, from, len) in [("TIT2", 3, 30), ("TPE1", 33, 30), ("TALB", 63, 30), ("COMM:", 97, 30)] {
        let text = slice(tag, from, len).map(latin1_or_utf8).unwrap_or_default();
        let text = text.trim_end_matches(['\0', ' ']);
        if !text.is_empty() {
            sink.text(Space::Id3, key, text, place("ID3v1 tag", at));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::report::Limits;

    fn tag(version: u8, flags: u8, frames: &[u8]) -> Vec<u8> {
        let n = frames.len() as u32;
        let size = [(n >> 21) as u8 & 127, (n >> 14) as u8 & 127, (n >> 7) as u8 & 127, n as u8 & 127];
        [b"ID3", &[version, 0, flags][..], &size, frames].concat()
    }

    fn texts(tag: &[u8]) -> Vec<(String, String)> {
        let limits = Limits::default();
        let mut sink = Sink::new(&limits);
        read(tag, "ID3v2", 0, &mut sink);
        sink.texts.into_iter().map(|t| (t.key, t.value)).collect()
    }

    #[test]
    fn frames_of_each_version() {
        let expected = [("TXXX:a".to_owned(), "b".to_owned())];
        assert_eq!(texts(&tag(2, 0, b"TXX\0\0\x04\0a\0b")), expected);
        assert_eq!(texts(&tag(3, 0, b"TXXX\0\0\0\x0b\0\0\x01\xff\xfea\0\0\0\xff\xfeb\0")), expected);
        assert_eq!(texts(&tag(4, 0, b"TXXX\0\0\0\x04\0\0\x03a\0b")), expected);
        assert_eq!(texts(&tag(3, 0x80, b"TXXX\0\0\0\x04\0\0\0a\0b")), expected);
    }

    proptest! {
        #[test]
        fn any_frames_end(
            bytes in proptest::collection::vec(any::<u8>(), 0..300), version in 2_u8..5, flags in any::<u8>(),
        ) {
            let _ = texts(&tag(version, flags, &bytes));
            let _ = texts(&tag(version, flags, &[b"TXXX\0\0\0\x20\0", &bytes[..]].concat()));
            let _ = texts(&tag(version, flags, &[b"GEOB\0\0\0\x40\0", &bytes[..]].concat()));
        }
    }
}
