//! Vorbis comments in FLAC (RFC 9639) and Ogg (RFC 3533: Vorbis, Opus, FLAC, Speex, Theora).

use std::collections::BTreeMap;

use crate::bytes::{Cursor, latin1_or_utf8};
use crate::meta::id3;
use crate::sink::{Sink, Space, place};

/// A comment header: vendor, count, `NAME=value` each with its length, little-endian.
pub(crate) fn comments(data: &[u8], what: &str, base: usize, sink: &mut Sink<'_>) {
    let mut c = Cursor::new(data);
    let mut all = || {
        let n = c.le32()? as usize;
        let vendor = latin1_or_utf8(c.take(n)?);
        sink.text(Space::Vorbis, "vendor", vendor, place(format!("{what} vendor"), base));
        for _ in 0..c.le32()? {
            if !sink.item() {
                return Some(());
            }
            let n = c.le32()? as usize;
            let at = base.saturating_add(c.at());
            let comment = latin1_or_utf8(c.take(n)?);
            if let Some((name, value)) = comment.split_once('=') {
                let location = place(format!("{what} comment {}", name.escape_debug()), at);
                sink.text(Space::Vorbis, name, value, location);
            }
        }
        Some(())
    };
    if all().is_none() {
        sink.damaged("list of comments");
    }
}

/// Where the `fLaC` signature is: at the start, or behind an ID3v2 tag.
pub(crate) fn flac_start(data: &[u8]) -> usize {
    id3::header(data).map_or(0, |h| h.total)
}

pub(crate) fn flac(data: &[u8], sink: &mut Sink<'_>) {
    id3::read(data, "ID3v2", 0, sink);
    let mut c = Cursor::new(data);
    if c.skip(flac_start(data)).is_none() || c.take(4) != Some(b"fLaC") {
        sink.damaged("FLAC file");
        return;
    }
    while sink.item() {
        let mut block = || {
            let head = c.u8()?;
            let len = c.take(3)?.iter().fold(0, |n, &b| (n << 8) | usize::from(b));
            let at = c.at();
            Some((head, at, c.take(len)?))
        };
        let Some((head, at, body)) = block() else {
            sink.damaged("FLAC file");
            return;
        };
        if head & 0x7f == 4 {
            comments(body, "FLAC", at, sink);
        }
        if head & 0x80 != 0 {
            return;
        }
    }
}

/// One page.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Page<'a> {
    pub(crate) flags: u8,
    pub(crate) serial: u32,
    pub(crate) at: usize,
    pub(crate) lacing: &'a [u8],
    pub(crate) body: &'a [u8],
    pub(crate) end: usize,
}

pub(crate) fn page(data: &[u8], at: usize) -> Option<Page<'_>> {
    let mut c = Cursor::new(data.get(at..)?);
    if c.take(4)? != b"OggS" {
        return None;
    }
    c.skip(1)?;
    let flags = c.u8()?;
    c.skip(8)?;
    let serial = c.le32()?;
    c.skip(8)?;
    let segments = c.u8()?;
    let lacing = c.take(usize::from(segments))?;
    let len = lacing.iter().map(|&n| usize::from(n)).sum();
    let body = c.take(len)?;
    Some(Page { flags, serial, at, lacing, body, end: at.checked_add(c.at())? })
}

#[derive(Default)]
struct Stream {
    packets: usize,
    open: Vec<u8>,
    at: usize,
    flac: bool,
}

/// Reads the header packets of each stream; they stand before any audio.
pub(crate) fn read(data: &[u8], sink: &mut Sink<'_>) {
    let mut streams: BTreeMap<u32, Stream> = BTreeMap::new();
    let mut at = 0;
    while let Some(page) = page(data, at) {
        at = page.end;
        if !sink.item() || (streams.len() >= 64 && !streams.contains_key(&page.serial)) {
            return;
        }
        let stream = streams.entry(page.serial).or_default();
        let mut c = Cursor::new(page.body);
        for &n in page.lacing {
            let Some(part) = c.take(usize::from(n)) else { break };
            if stream.packets >= 8 {
                break;
            }
            if stream.open.is_empty() {
                stream.at = page.at;
            }
            if stream.open.len() > sink.limits.max_value || !sink.spend(part.len()) {
                return;
            }
            stream.open.extend_from_slice(part);
            if n < 255 {
                let packet = std::mem::take(&mut stream.open);
                header_packet(&packet, stream, sink);
                stream.packets += 1;
            }
        }
        // Streams begin together; once each has shown its headers, nothing more is to come.
        if !streams.is_empty() && streams.values().all(|s| s.packets >= 3 && !s.flac || s.packets >= 8) {
            return;
        }
    }
}

fn header_packet(packet: &[u8], stream: &mut Stream, sink: &mut Sink<'_>) {
    let at = stream.at;
    if let Some(rest) = packet.strip_prefix(b"\x03vorbis") {
        comments(rest, "Ogg Vorbis", at, sink);
    } else if let Some(rest) = packet.strip_prefix(b"OpusTags") {
        comments(rest, "Ogg Opus", at, sink);
    } else if let Some(rest) = packet.strip_prefix(b"\x81theora") {
        comments(rest, "Ogg Theora", at, sink);
    } else if packet.starts_with(b"\x7fFLAC") {
        stream.flac = true;
    } else if stream.flac && packet.first().is_some_and(|b| b & 0x7f == 4) {
        comments(packet.get(4..).unwrap_or_default(), "Ogg FLAC", at, sink);
    }
}
