//! PNG chunks (W3C PNG, third edition).

use crate::bytes::{Cursor, latin1_or_utf8, split_nul};
use crate::meta::{exif, iim};
use crate::sink::{Packing, Sink, Space, place};

pub(crate) const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

/// One chunk.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chunk<'a> {
    pub(crate) kind: [u8; 4],
    /// Offset of its length.
    pub(crate) at: usize,
    pub(crate) data: &'a [u8],
}

/// The chunks up to `IEND`, where they end, and whether `IEND` was reached.
pub(crate) fn chunks(data: &[u8], max: usize) -> (Vec<Chunk<'_>>, usize, bool) {
    let mut out = Vec::new();
    let mut c = Cursor::new(data);
    let _ = c.skip(SIGNATURE.len());
    while out.len() < max {
        let at = c.at();
        let mut chunk = || {
            let len = c.be32()? as usize;
            let kind = c.array::<4>()?;
            let data = c.take(len)?;
            c.skip(4)?;
            Some(Chunk { kind, at, data })
        };
        let Some(chunk) = chunk() else { return (out, data.len(), false) };
        out.push(chunk);
        if &chunk.kind == b"IEND" {
            return (out, c.at(), true);
        }
    }
    (out, data.len(), false)
}

pub(crate) fn read(data: &[u8], sink: &mut Sink<'_>) {
    let (chunks, _, whole) = chunks(data, sink.limits.max_items);
    if !whole {
        sink.damaged("PNG file");
    }
    for chunk in chunks {
        if !sink.item() {
            break;
        }
        let found = match &chunk.kind {
            b"tEXt" => split_nul(chunk.data).map(|(key, text)| (key, latin1_or_utf8(text))),
            b"zTXt" => packed(chunk.data, sink),
            b"iTXt" => international(chunk.data, sink),
            b"eXIf" => {
                exif::read(chunk.data, "PNG eXIf", chunk.at.saturating_add(8), sink);
                None
            }
            b"caBX" => {
                sink.store(chunk.data, place("PNG caBX", chunk.at));
                None
            }
            _ => None,
        };
        let Some((key, text)) = found else { continue };
        let key = latin1_or_utf8(key);
        let kind = String::from_utf8_lossy(&chunk.kind).into_owned();
        let location = place(format!("PNG {kind} \"{}\"", key.escape_debug()), chunk.at);
        if key == "XML:com.adobe.xmp" {
            sink.xmp(text.as_bytes(), location);
        } else if let Some(name) = key.strip_prefix("Raw profile type ") {
            raw_profile(name, &text, &location.place, chunk.at, sink);
        } else {
            sink.text(Space::Png, key, text, location);
        }
    }
}

fn packed<'a>(data: &'a [u8], sink: &mut Sink<'_>) -> Option<(&'a [u8], String)> {
    let (key, rest) = split_nul(data)?;
    let text = sink.inflate(rest.get(1..)?, Packing::Zlib)?;
    Some((key, latin1_or_utf8(&text)))
}

fn international<'a>(data: &'a [u8], sink: &mut Sink<'_>) -> Option<(&'a [u8], String)> {
    let (key, rest) = split_nul(data)?;
    let compressed = *rest.first()? == 1;
    let (_language, rest) = split_nul(rest.get(2..)?)?;
    let (_translated, text) = split_nul(rest)?;
    let text =
        if compressed { latin1_or_utf8(&sink.inflate(text, Packing::Zlib)?) } else { latin1_or_utf8(text) };
    Some((key, text))
}

/// `ImageMagick` writes profiles as text: a line feed, a name, a length, and the bytes in hexadecimal.
fn raw_profile(name: &str, text: &str, what: &str, at: usize, sink: &mut Sink<'_>) {
    let mut lines = text.trim_start().splitn(3, '\n');
    let (Some(_), Some(_), Some(hex)) = (lines.next(), lines.next(), lines.next()) else { return };
    if !sink.spend(hex.len() / 2) {
        return;
    }
    let digits: Vec<u8> = hex.chars().filter_map(|c| c.to_digit(16)).map(|d| d as u8).collect();
    let bytes: Vec<u8> = digits.chunks_exact(2).map(|p| p.iter().fold(0, |n, d| (n << 4) | d)).collect();
    match name {
        "exif" | "APP1" => match bytes.strip_prefix(super::jpeg::XMP) {
            Some(packet) => sink.xmp(packet, place(what, at)),
            None => exif::read(&bytes, what, at, sink),
        },
        "xmp" => sink.xmp(&bytes, place(what, at)),
        "iptc" => iim::read(&bytes, what, at, sink),
        _ => {}
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::report::Limits;

    /// A PNG file of one grey pixel with extra chunks before the picture data.
    pub(crate) fn png(extra: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
        let mut out = SIGNATURE.to_vec();
        let mut add = |kind: &[u8; 4], data: &[u8]| {
            out.extend((data.len() as u32).to_be_bytes());
            let start = out.len();
            out.extend(kind);
            out.extend(data);
            let crc = crate::write::crc32(&out[start..]);
            out.extend(crc.to_be_bytes());
        };
        add(b"IHDR", &[0, 0, 0, 1, 0, 0, 0, 1, 8, 0, 0, 0, 0]);
        for (kind, data) in extra {
            add(kind, data);
        }
        add(b"IDAT", &[0x78, 0x01, 0x63, 0, 0, 0, 2, 0, 1]);
        add(b"IEND", &[]);
        out
    }

    fn texts(file: &[u8], limits: &Limits) -> Vec<(String, String)> {
        let mut sink = Sink::new(limits);
        read(file, &mut sink);
        sink.texts.into_iter().map(|t| (t.key, t.value)).collect()
    }

    #[test]
    fn text_chunks_of_three_kinds() {
        use std::io::Write as _;
        let mut z = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        z.write_all(b"packed").unwrap();
        let z = z.finish().unwrap();
        let file = png(&[
            (b"tEXt", b"a\0plain"),
            (b"zTXt", &[b"b\0\0", &z[..]].concat()),
            (b"iTXt", &[b"c\0\x01\0en\0x\0", &z[..]].concat()),
            (b"iTXt", "d\0\0\0\0\0é".as_bytes()),
        ]);
        let expected = [("a", "plain"), ("b", "packed"), ("c", "packed"), ("d", "é")];
        let found = texts(&file, &Limits::default());
        let found: Vec<_> = found.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_bomb_is_cut() {
        use std::io::Write as _;
        let mut z = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
        z.write_all(&vec![b'a'; 1 << 20]).unwrap();
        let z = z.finish().unwrap();
        let file = png(&[(b"zTXt", &[b"b\0\0", &z[..]].concat())]);
        let limits = Limits { max_value: 1000, ..Limits::default() };
        assert!(texts(&file, &limits).is_empty());
    }
}
