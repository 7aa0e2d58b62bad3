//! JPEG, PNG, WebP, GIF and TIFF: the label goes into XMP.

use super::{crc32, xmp};
use crate::bytes::{latin1_or_utf8, slice, split_nul};
use crate::container::{gif as gif_reader, iff, jpeg as jpeg_reader, png as png_reader};
use crate::meta::exif::{Layout, type_size};
use crate::{Error, Result};

const MAX_STRUCTURES: usize = 1 << 20;

fn part(bytes: &[u8], from: usize, to: usize) -> &[u8] {
    bytes.get(from..to).unwrap_or_default()
}

pub(super) fn jpeg(bytes: &[u8], json: &str) -> Result<Vec<u8>> {
    let (segments, _, whole) = jpeg_reader::segments(bytes, MAX_STRUCTURES);
    if !whole {
        return Err(Error::Damaged("JPEG file"));
    }
    let old = segments.iter().find(|s| s.marker == 0xe1 && s.data.starts_with(jpeg_reader::XMP));
    let packet = match old {
        Some(segment) => xmp::edit(segment.data.get(jpeg_reader::XMP.len()..).unwrap_or_default(), json)?,
        None => xmp::fresh(json),
    };
    let length = packet.len() + jpeg_reader::XMP.len() + 2;
    let length =
        u16::try_from(length).map_err(|_| Error::Refused("the XMP packet would be too large for JPEG"))?;
    // Behind JFIF and EXIF, which readers want first.
    let after_first = segments
        .iter()
        .take_while(|s| s.marker == 0xe0 || (s.marker == 0xe1 && s.data.starts_with(b"Exif\0")))
        .last()
        .map_or(2, |s| s.at + 4 + s.data.len());
    let (from, to) = old.map_or((after_first, after_first), |s| (s.at, s.at + 4 + s.data.len()));
    let mut out = part(bytes, 0, from).to_vec();
    out.extend([0xff, 0xe1]);
    out.extend(length.to_be_bytes());
    out.extend_from_slice(jpeg_reader::XMP);
    out.extend_from_slice(&packet);
    out.extend_from_slice(part(bytes, to, bytes.len()));
    Ok(out)
}

pub(super) fn png(bytes: &[u8], json: &str) -> Result<Vec<u8>> {
    const KEYWORD: &[u8] = b"XML:com.adobe.xmp";
    let (chunks, end, whole) = png_reader::chunks(bytes, MAX_STRUCTURES);
    if !whole || chunks.first().is_none_or(|c| &c.kind != b"IHDR") {
        return Err(Error::Damaged("PNG file"));
    }
    let keyword = |c: &png_reader::Chunk<'_>| match &c.kind {
        b"tEXt" | b"zTXt" | b"iTXt" => split_nul(c.data).map(|(key, _)| key.to_vec()),
        _ => None,
    };
    let old = chunks.iter().find(|c| keyword(c).as_deref() == Some(KEYWORD));
    let packet = match old {
        Some(chunk) => xmp::edit(&png_text(chunk)?, json)?,
        None => xmp::fresh(json),
    };
    let mut data = KEYWORD.to_vec();
    // No compression, no language, no translated keyword.
    data.extend([0, 0, 0, 0, 0]);
    data.extend_from_slice(&packet);
    let mut new = Vec::new();
    new.extend(
        u32::try_from(data.len()).map_err(|_| Error::Refused("the XMP packet is too large"))?.to_be_bytes(),
    );
    new.extend(b"iTXt");
    new.extend_from_slice(&data);
    let crc = crc32(new.get(4..).unwrap_or_default());
    new.extend(crc.to_be_bytes());
    let mut out = part(bytes, 0, png_reader::SIGNATURE.len()).to_vec();
    for chunk in &chunks {
        if old.is_some_and(|o| o.at == chunk.at) {
            out.extend_from_slice(&new);
            continue;
        }
        if keyword(chunk).is_some_and(|k| k.eq_ignore_ascii_case(b"AIGC")) {
            continue;
        }
        out.extend_from_slice(part(bytes, chunk.at, chunk.at + 12 + chunk.data.len()));
        if old.is_none() && &chunk.kind == b"IHDR" {
            out.extend_from_slice(&new);
        }
    }
    out.extend_from_slice(part(bytes, end, bytes.len()));
    Ok(out)
}

/// The text of a chunk that holds XMP.
fn png_text(chunk: &png_reader::Chunk<'_>) -> Result<Vec<u8>> {
    const DAMAGED: Error = Error::Damaged("XMP chunk");
    let (_, rest) = split_nul(chunk.data).ok_or(DAMAGED)?;
    let limits = crate::Limits::default();
    let mut sink = crate::sink::Sink::new(&limits);
    let mut inflate = |data: &[u8]| sink.inflate(data, crate::sink::Packing::Zlib).ok_or(DAMAGED);
    let text = match &chunk.kind {
        b"zTXt" => inflate(rest.get(1..).ok_or(DAMAGED)?)?,
        b"iTXt" => {
            let compressed = rest.first() == Some(&1);
            let (_, rest) = rest.get(2..).and_then(split_nul).ok_or(DAMAGED)?;
            let (_, text) = split_nul(rest).ok_or(DAMAGED)?;
            if compressed { inflate(text)? } else { text.to_vec() }
        }
        _ => rest.to_vec(),
    };
    Ok(latin1_or_utf8(&text).into_bytes())
}

pub(super) fn webp(bytes: &[u8], json: &str) -> Result<Vec<u8>> {
    const DAMAGED: Error = Error::Damaged("WebP file");
    let riff_len = crate::bytes::le32(bytes, 4).ok_or(DAMAGED)? as usize;
    let end = riff_len.checked_add(8).filter(|e| *e <= bytes.len()).ok_or(DAMAGED)?;
    let (chunks, whole) = iff::chunks(bytes, 12, end, MAX_STRUCTURES);
    let first = chunks.first().filter(|_| whole).ok_or(DAMAGED)?;
    let old = chunks.iter().find(|c| &c.id == b"XMP ");
    let packet = match old {
        Some(chunk) => xmp::edit(chunk.data, json)?,
        None => xmp::fresh(json),
    };
    let mut body = b"WEBP".to_vec();
    if &first.id == b"VP8X" {
        let mut header = part(bytes, first.at, first.end).to_vec();
        *header.get_mut(8).ok_or(DAMAGED)? |= 4;
        body.extend(header);
    } else {
        let (width, height, alpha) = webp_size(first).ok_or(DAMAGED)?;
        body.extend(b"VP8X\x0a\0\0\0");
        body.extend([4 | if alpha { 0x10 } else { 0 }, 0, 0, 0]);
        body.extend((width - 1).to_le_bytes().iter().take(3));
        body.extend((height - 1).to_le_bytes().iter().take(3));
        body.extend_from_slice(part(bytes, first.at, first.end));
    }
    for chunk in chunks.iter().skip(1).filter(|c| &c.id != b"XMP ") {
        body.extend_from_slice(part(bytes, chunk.at, chunk.end.min(end)));
        if body.len() % 2 == 1 {
            body.push(0);
        }
    }
    riff_chunk(*b"XMP ", &packet, &mut body);
    let mut out = b"RIFF".to_vec();
    out.extend(u32::try_from(body.len()).map_err(|_| Error::Refused("the file is too large"))?.to_le_bytes());
    out.extend(body);
    out.extend_from_slice(part(bytes, end + (end & 1), bytes.len()));
    Ok(out)
}

/// Appends a RIFF chunk with its padding.
pub(super) fn riff_chunk(id: [u8; 4], data: &[u8], out: &mut Vec<u8>) {
    out.extend(id);
    out.extend((data.len() as u32).to_le_bytes());
    out.extend_from_slice(data);
    if data.len() % 2 == 1 {
        out.push(0);
    }
}

/// Width, height and whether there is transparency, from a bare VP8 or VP8L frame (RFC 6386, RFC 9649).
pub(super) fn webp_size(chunk: &iff::Chunk<'_>) -> Option<(u32, u32, bool)> {
    match &chunk.id {
        b"VP8 " => {
            let d = slice(chunk.data, 3, 7)?;
            let &[0x9d, 0x01, 0x2a, w0, w1, h0, h1] = d else { return None };
            let width = u32::from(u16::from_le_bytes([w0, w1]) & 0x3fff);
            let height = u32::from(u16::from_le_bytes([h0, h1]) & 0x3fff);
            (width > 0 && height > 0).then_some((width, height, false))
        }
        b"VP8L" => {
            let &[0x2f, a, b, c, d] = chunk.data.get(..5)? else { return None };
            let bits = u32::from_le_bytes([a, b, c, d]);
            Some(((bits & 0x3fff) + 1, ((bits >> 14) & 0x3fff) + 1, (bits >> 28) & 1 == 1))
        }
        _ => None,
    }
}

pub(super) fn gif(bytes: &[u8], json: &str) -> Result<Vec<u8>> {
    const DAMAGED: Error = Error::Damaged("GIF file");
    let mut old = None;
    let walk = gif_reader::walk(
        bytes,
        MAX_STRUCTURES,
        |a| {
            if a.id == b"XMP DataXMP" && old.is_none() {
                old = Some(a);
            }
        },
        |_, _| {},
    );
    walk.ok_or(DAMAGED)?;
    let packet = match old {
        Some(a) => {
            let end = a.raw.len().saturating_sub(258);
            xmp::edit(a.raw.get(..end).unwrap_or_default(), json)?
        }
        None => xmp::fresh(json),
    };
    let mut extension = vec![0x21, 0xff, 11];
    extension.extend(b"XMP DataXMP");
    extension.extend(packet);
    // Whatever byte of the packet a reader takes for a length, it ends up at the final zero.
    extension.push(1);
    extension.extend((0..=255).rev());
    extension.push(0);
    let start = gif_reader::blocks_start(bytes).ok_or(DAMAGED)?;
    let (from, to) = old.map_or((start, start), |a| (a.at, a.end));
    let mut out = part(bytes, 0, from).to_vec();
    // Extensions came with the second version.
    if let Some(version) = out.get_mut(..6) {
        version.copy_from_slice(b"GIF89a");
    }
    out.extend(extension);
    out.extend_from_slice(part(bytes, to, bytes.len()));
    Ok(out)
}

/// The first directory is written anew at the end, with the XMP tag in it; everything else stays where it is.
pub(super) fn tiff(bytes: &[u8], json: &str) -> Result<Vec<u8>> {
    const DAMAGED: Error = Error::Damaged("TIFF file");
    const XMP: u64 = 0x02bc;
    let layout = Layout::of(bytes).ok_or(DAMAGED)?;
    let word = layout.word();
    let (head, size) = if layout.big { (8, 20) } else { (2, 12) };
    let at = layout.first(bytes).ok_or(DAMAGED)?;
    let count = layout.size(bytes, at, head).ok_or(DAMAGED)?;
    let table = at.checked_add(head).ok_or(DAMAGED)?;
    let len = count.checked_mul(size).filter(|_| count < 65_535).ok_or(DAMAGED)?;
    let entries = slice(bytes, table, len).ok_or(DAMAGED)?;
    let next = slice(bytes, table + len, word).ok_or(DAMAGED)?;
    let tag = |entry: &[u8]| layout.uint(entry, 0, 2).unwrap_or(0);
    let old = entries.chunks_exact(size).find(|e| tag(e) == XMP);
    let packet = match old {
        Some(entry) => {
            let kind = layout.uint(entry, 2, 2).unwrap_or(1);
            let n = layout.size(entry, 4, word).unwrap_or(0).saturating_mul(type_size(kind));
            let start = layout.size(entry, 4 + word, word).ok_or(DAMAGED)?;
            xmp::edit(slice(bytes, start, n).ok_or(DAMAGED)?, json)?
        }
        None => xmp::fresh(json),
    };
    let put = |out: &mut Vec<u8>, value: usize, len: usize| {
        let all = (value as u64).to_le_bytes();
        let bytes = all.get(..len).unwrap_or_default();
        if layout.big_endian { out.extend(bytes.iter().rev()) } else { out.extend(bytes) }
    };
    let mut out = bytes.to_vec();
    let align = |out: &mut Vec<u8>| out.resize(out.len().next_multiple_of(8), 0);
    align(&mut out);
    let packet_at = out.len();
    out.extend_from_slice(&packet);
    align(&mut out);
    let directory_at = out.len();
    if !layout.big && u32::try_from(directory_at.saturating_add(len + 64)).is_err() {
        return Err(Error::Refused("the TIFF file is too large"));
    }
    let mut new = Vec::new();
    put(&mut new, XMP as usize, 2);
    put(&mut new, 7, 2);
    put(&mut new, packet.len(), word);
    put(&mut new, packet_at, word);
    put(&mut out, count + usize::from(old.is_none()), head);
    let mut placed = false;
    for entry in entries.chunks_exact(size) {
        if !placed && tag(entry) >= XMP {
            out.extend_from_slice(&new);
            placed = true;
        }
        if tag(entry) != XMP {
            out.extend_from_slice(entry);
        }
    }
    if !placed {
        out.extend_from_slice(&new);
    }
    out.extend_from_slice(next);
    let mut first = Vec::new();
    put(&mut first, directory_at, word);
    let slot = if layout.big { 8 } else { 4 };
    out.get_mut(slot..slot + word).ok_or(DAMAGED)?.copy_from_slice(&first);
    Ok(out)
}
