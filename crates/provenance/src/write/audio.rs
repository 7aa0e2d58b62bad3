//! MP3, WAV, FLAC and Ogg.

use super::image::riff_chunk;
use crate::bytes::{Cursor, slice, split_nul};
use crate::container::{iff, ogg as ogg_reader};
use crate::meta::id3;
use crate::{Error, Result};

fn syncsafe(n: usize) -> Result<[u8; 4]> {
    if n >= 1 << 28 {
        return Err(Error::Refused("the ID3 tag would be too large"));
    }
    Ok([(n >> 21) as u8 & 127, (n >> 14) as u8 & 127, (n >> 7) as u8 & 127, n as u8 & 127])
}

/// Adds the frame in the version of the existing tag, in place of padding where there is enough of it.
/// Zeros behind the last frame of an ID3 tag: readers that check a frame's size by what follows find its end.
const PADDING: usize = 16;

pub(super) fn mp3(bytes: &[u8], json: &str) -> Result<Vec<u8>> {
    const DAMAGED: Error = Error::Damaged("ID3 tag");
    let content = [b"\0AIGC\0", json.as_bytes()].concat();
    let Some(head) = id3::header(bytes) else {
        let mut frame = b"TXXX".to_vec();
        frame.extend(syncsafe(content.len())?);
        frame.extend([0, 0]);
        frame.extend(content);
        frame.extend([0; PADDING]);
        let mut out = b"ID3\x04\0\0".to_vec();
        out.extend(syncsafe(frame.len())?);
        out.extend(frame);
        out.extend_from_slice(bytes);
        return Ok(out);
    };
    if head.flags != 0 {
        return Err(Error::Refused("the ID3 tag uses unsynchronisation, an extended header or a footer"));
    }
    let body = bytes.get(10..head.total).ok_or(DAMAGED)?;
    let (id_len, header_len) = if head.version == 2 { (3, 6) } else { (4, 10) };
    let mut frames = Vec::new();
    let mut c = Cursor::new(body);
    while let Some(id) = c.take(id_len) {
        if id.first() == Some(&0) {
            break;
        }
        let start = c.at() - id_len;
        let rest = body.get(c.at()..).ok_or(DAMAGED)?;
        let size = match head.version {
            2 => slice(rest, 0, 3).ok_or(DAMAGED)?.iter().fold(0, |n, &b| (n << 8) | usize::from(b)),
            3 => crate::bytes::be32(rest, 0).ok_or(DAMAGED)? as usize,
            _ => slice(rest, 0, 4).ok_or(DAMAGED)?.iter().fold(0, |n, &b| (n << 7) | usize::from(b & 127)),
        };
        c.skip(header_len - id_len).and_then(|()| c.skip(size)).ok_or(DAMAGED)?;
        let frame = body.get(start..c.at()).ok_or(DAMAGED)?;
        let text = frame.get(header_len..).unwrap_or_default();
        let user = matches!(id, b"TXXX" | b"TXX");
        let described = user && is_label_frame(text);
        if !described {
            frames.extend_from_slice(frame);
        }
    }
    match head.version {
        2 => {
            frames.extend(b"TXX");
            frames.extend((content.len() as u32).to_be_bytes().iter().skip(1));
        }
        3 => {
            frames.extend(b"TXXX");
            frames.extend((content.len() as u32).to_be_bytes());
            frames.extend([0, 0]);
        }
        _ => {
            frames.extend(b"TXXX");
            frames.extend(syncsafe(content.len())?);
            frames.extend([0, 0]);
        }
    }
    frames.extend(content);
    // With enough padding the sound stays where it is.
    let fits = frames.len() + PADDING <= body.len();
    let size = if fits { body.len() } else { frames.len() + PADDING };
    frames.resize(size, 0);
    let mut out = bytes.get(..6).ok_or(DAMAGED)?.to_vec();
    out.extend(syncsafe(size)?);
    out.extend(frames);
    out.extend_from_slice(bytes.get(head.total..).ok_or(DAMAGED)?);
    Ok(out)
}

/// Whether a user-defined text has the description `AIGC`, in any encoding.
fn is_label_frame(text: &[u8]) -> bool {
    let Some((&encoding, rest)) = text.split_first() else { return false };
    let ascii: Vec<u8> = match encoding {
        1 | 2 => {
            rest.iter().copied().filter(|b| !matches!(b, 0xff | 0xfe)).take(9).filter(|b| *b != 0).collect()
        }
        _ => split_nul(rest).map(|(d, _)| d.to_vec()).unwrap_or_default(),
    };
    let long_enough = !matches!(encoding, 1 | 2) || ascii.len() <= 4;
    long_enough && ascii.eq_ignore_ascii_case(b"AIGC")
}

pub(super) fn wav(bytes: &[u8], json: &str) -> Result<Vec<u8>> {
    const DAMAGED: Error = Error::Damaged("WAV file");
    let (chunks, whole) = iff::chunks(bytes, 12, bytes.len(), 1 << 20);
    if !whole {
        return Err(DAMAGED);
    }
    let mut out = bytes.get(..12).ok_or(DAMAGED)?.to_vec();
    for chunk in chunks.iter().filter(|c| &c.id != b"AIGC") {
        out.extend_from_slice(bytes.get(chunk.at..chunk.end.min(bytes.len())).ok_or(DAMAGED)?);
        if out.len() % 2 == 1 {
            out.push(0);
        }
    }
    riff_chunk(*b"AIGC", json.as_bytes(), &mut out);
    let size = out.len() - 8;
    if out.starts_with(b"RIFF") {
        let size = u32::try_from(size).map_err(|_| Error::Refused("the WAV file would be too large"))?;
        out.get_mut(4..8).ok_or(DAMAGED)?.copy_from_slice(&size.to_le_bytes());
    } else {
        // RF64 and BW64 keep it in `ds64`, the first chunk.
        if out.get(12..16) != Some(b"ds64") {
            return Err(DAMAGED);
        }
        out.get_mut(20..28).ok_or(DAMAGED)?.copy_from_slice(&(size as u64).to_le_bytes());
    }
    Ok(out)
}

/// A list of Vorbis comments without labels and with the new one. What follows the list is kept.
fn comments(old: Option<&[u8]>, json: &str) -> Result<Vec<u8>> {
    const DAMAGED: Error = Error::Damaged("list of comments");
    let new = format!("AIGC={json}");
    let mut kept: Vec<&[u8]> = Vec::new();
    let mut c = Cursor::new(old.unwrap_or_default());
    let (mut vendor, mut rest): (&[u8], &[u8]) = (b"", b"");
    if old.is_some() {
        let n = c.le32().ok_or(DAMAGED)? as usize;
        vendor = c.take(n).ok_or(DAMAGED)?;
        for _ in 0..c.le32().ok_or(DAMAGED)? {
            let n = c.le32().ok_or(DAMAGED)? as usize;
            let comment = c.take(n).ok_or(DAMAGED)?;
            let label = comment.get(..5).is_some_and(|k| k.eq_ignore_ascii_case(b"AIGC="));
            if !label {
                kept.push(comment);
            }
        }
        rest = c.rest();
    }
    kept.push(new.as_bytes());
    let mut out = (vendor.len() as u32).to_le_bytes().to_vec();
    out.extend_from_slice(vendor);
    out.extend((kept.len() as u32).to_le_bytes());
    for comment in kept {
        out.extend((comment.len() as u32).to_le_bytes());
        out.extend_from_slice(comment);
    }
    out.extend_from_slice(rest);
    Ok(out)
}

pub(super) fn flac(bytes: &[u8], json: &str) -> Result<Vec<u8>> {
    const DAMAGED: Error = Error::Damaged("FLAC file");
    let start = ogg_reader::flac_start(bytes);
    let mut c = Cursor::new(bytes);
    c.skip(start).ok_or(DAMAGED)?;
    if c.take(4) != Some(b"fLaC") {
        return Err(DAMAGED);
    }
    let mut blocks: Vec<(u8, Vec<u8>)> = Vec::new();
    loop {
        let head = c.u8().ok_or(DAMAGED)?;
        let n = c.take(3).ok_or(DAMAGED)?.iter().fold(0, |n, &b| (n << 8) | usize::from(b));
        blocks.push((head & 0x7f, c.take(n).ok_or(DAMAGED)?.to_vec()));
        if head & 0x80 != 0 {
            break;
        }
    }
    if let Some(block) = blocks.iter_mut().find(|b| b.0 == 4) {
        block.1 = comments(Some(&block.1), json)?;
    } else {
        // Behind STREAMINFO, which comes first.
        blocks.insert(1.min(blocks.len()), (4, comments(None, json)?));
    }
    let mut out = bytes.get(..start + 4).ok_or(DAMAGED)?.to_vec();
    let last = blocks.len().saturating_sub(1);
    for (i, (kind, data)) in blocks.iter().enumerate() {
        if data.len() >= 1 << 24 {
            return Err(Error::Refused("the FLAC comments would be too large"));
        }
        out.push(kind | if i == last { 0x80 } else { 0 });
        out.extend((data.len() as u32).to_be_bytes().iter().skip(1));
        out.extend_from_slice(data);
    }
    out.extend_from_slice(c.rest());
    Ok(out)
}

/// CRC-32 of Ogg: polynomial 0x04c11db7, nothing reflected (RFC 3533, 6).
pub(super) fn ogg_crc(data: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0_u32; 256];
        let mut i = 0;
        while i < 256 {
            let mut r = (i as u32) << 24;
            let mut k = 0;
            while k < 8 {
                r = if r & 0x8000_0000 != 0 { (r << 1) ^ 0x04c1_1db7 } else { r << 1 };
                k += 1;
            }
            #[allow(clippy::indexing_slicing, reason = "the index is below the length")]
            {
                table[i] = r;
            }
            i += 1;
        }
        table
    };
    data.iter()
        .fold(0, |crc, &b| (crc << 8) ^ TABLE.get(usize::from((crc >> 24) as u8 ^ b)).copied().unwrap_or(0))
}

/// The comment header is written anew, its pages are cut again, and later pages are numbered on.
pub(super) fn ogg(bytes: &[u8], json: &str) -> Result<Vec<u8>> {
    const DAMAGED: Error = Error::Damaged("Ogg file");
    let mut pages = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let page = ogg_reader::page(bytes, at).ok_or(DAMAGED)?;
        at = page.end;
        pages.push(page);
    }
    let first = pages.first().ok_or(DAMAGED)?;
    let serial = first.serial;
    if pages.iter().any(|p| p.serial != serial) || pages.iter().skip(1).any(|p| p.flags & 2 != 0) {
        return Err(Error::Refused("the Ogg file has more than one stream"));
    }
    let (magic, headers): (&[u8], usize) = match first.body {
        b if b.starts_with(b"\x01vorbis") => (b"\x03vorbis", 3),
        b if b.starts_with(b"OpusHead") => (b"OpusTags", 2),
        _ => return Err(Error::Refused("only Vorbis and Opus are labelled in Ogg")),
    };
    // Header packets end with a page of their own.
    let mut packets: Vec<Vec<u8>> = vec![Vec::new()];
    let mut used = 0;
    for page in &pages {
        used += 1;
        let mut c = Cursor::new(page.body);
        for &n in page.lacing {
            packets.last_mut().ok_or(DAMAGED)?.extend_from_slice(c.take(usize::from(n)).ok_or(DAMAGED)?);
            if n < 255 {
                packets.push(Vec::new());
            }
        }
        if packets.len() > headers {
            break;
        }
    }
    if packets.len() != headers + 1 || packets.last().is_some_and(|p| !p.is_empty()) {
        return Err(Error::Refused("sound and headers share a page"));
    }
    packets.pop();
    let comment = packets.get_mut(1).ok_or(DAMAGED)?;
    let list = comment.strip_prefix(magic).ok_or(DAMAGED)?;
    *comment = [magic, &comments(Some(list), json)?].concat();
    let mut out = bytes.get(..first.end).ok_or(DAMAGED)?.to_vec();
    let mut lacing = Vec::new();
    let mut data = Vec::new();
    for packet in packets.iter().skip(1) {
        lacing.extend(std::iter::repeat_n(255_u8, packet.len() / 255));
        lacing.push((packet.len() % 255) as u8);
        data.extend_from_slice(packet);
    }
    let mut body = Cursor::new(&data);
    let mut number = 1_u32;
    let mut open = false;
    for laces in lacing.chunks(255) {
        let len = laces.iter().map(|&n| usize::from(n)).sum();
        let ends = laces.iter().any(|n| *n < 255);
        let granule: u64 = if ends { 0 } else { u64::MAX };
        let start = out.len();
        out.extend(b"OggS\0");
        out.push(u8::from(open));
        out.extend(granule.to_le_bytes());
        out.extend(serial.to_le_bytes());
        out.extend(number.to_le_bytes());
        out.extend([0; 4]);
        out.push(laces.len() as u8);
        out.extend_from_slice(laces);
        out.extend_from_slice(body.take(len).ok_or(DAMAGED)?);
        seal(&mut out, start).ok_or(DAMAGED)?;
        number = number.wrapping_add(1);
        open = laces.last() == Some(&255);
    }
    for page in pages.iter().skip(used) {
        let start = out.len();
        out.extend_from_slice(bytes.get(page.at..page.end).ok_or(DAMAGED)?);
        out.get_mut(start + 18..start + 22).ok_or(DAMAGED)?.copy_from_slice(&number.to_le_bytes());
        seal(&mut out, start).ok_or(DAMAGED)?;
        number = number.wrapping_add(1);
    }
    Ok(out)
}

/// Writes the checksum of the page from `start` on.
fn seal(out: &mut [u8], start: usize) -> Option<()> {
    let page = out.get_mut(start..)?;
    page.get_mut(22..26)?.fill(0);
    let crc = ogg_crc(page);
    page.get_mut(22..26)?.copy_from_slice(&crc.to_le_bytes());
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_frames_in_each_encoding() {
        assert!(is_label_frame(b"\0AIGC\0{}"));
        assert!(is_label_frame(b"\x01\xff\xfeA\0I\0G\0C\0\0\0\xff\xfe{\0"));
        assert!(!is_label_frame(b"\0AIGCX\0{}"));
    }
}
