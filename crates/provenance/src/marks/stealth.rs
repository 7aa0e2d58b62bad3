//! Messages in the lowest bits of a lossless picture ("stealth pnginfo"), and the signature of NovelAI.

use std::io::Cursor;

use crate::bytes::base64;
use crate::json::{self, Value};
use crate::marks::{Draft, params};
use crate::report::{Grade, Integrity, Limits, Location, Says, Statement, WarningCode};
use crate::sink::{Packing, Sink, Space};

/// Public key of NovelAI, from its published checker.
const NOVELAI_KEY: &str = "Y2JcQAOhLwzwSDUJPNgL04nS0Tbqm7cSRc4xk0vRMic=";
const SIGNATURE_BYTES: usize = 15;

/// 8-bit pixels, row by row, three (RGB) or four (RGBA) bytes each.
#[derive(Debug, Clone)]
pub(crate) struct Picture {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) channels: usize,
    pub(crate) data: Vec<u8>,
}

/// Bits of a message: down the columns, the highest bit of a byte first.
struct Bits<'a> {
    picture: &'a Picture,
    alpha: bool,
    at: usize,
}

impl Bits<'_> {
    fn bit(&mut self) -> Option<u8> {
        let (pixel, channel) = if self.alpha { (self.at, 3) } else { (self.at / 3, self.at % 3) };
        let (x, y) = (pixel.checked_div(self.picture.height)?, pixel.checked_rem(self.picture.height)?);
        if x >= self.picture.width {
            return None;
        }
        self.at += 1;
        let index = (y * self.picture.width + x) * self.picture.channels + channel;
        self.picture.data.get(index).map(|b| b & 1)
    }

    fn byte(&mut self) -> Option<u8> {
        (0..8).try_fold(0, |n, _| Some((n << 1) | self.bit()?))
    }

    fn bytes(&mut self, n: usize) -> Option<Vec<u8>> {
        let pixels = self.picture.width.checked_mul(self.picture.height)?;
        if n > pixels {
            return None;
        }
        (0..n).map(|_| self.byte()).collect()
    }
}

/// The signature at the start of a picture's bits, and whether its payload is compressed and where it is.
fn signature(picture: &Picture) -> Option<(bool, bool)> {
    for alpha in [true, false] {
        if alpha && picture.channels < 4 {
            continue;
        }
        let found = Bits { picture, alpha, at: 0 }.bytes(SIGNATURE_BYTES);
        let packed = match (alpha, found.as_deref()) {
            (true, Some(b"stealth_pnginfo")) | (false, Some(b"stealth_rgbinfo")) => false,
            (true, Some(b"stealth_pngcomp")) | (false, Some(b"stealth_rgbcomp")) => true,
            _ => continue,
        };
        return Some((alpha, packed));
    }
    None
}

fn message(picture: &Picture, sink: &mut Sink<'_>) -> Option<String> {
    let (alpha, packed) = signature(picture)?;
    let mut bits = Bits { picture, alpha, at: SIGNATURE_BYTES * 8 };
    let length = bits.bytes(4)?;
    let length = length.first_chunk().map(|b| u32::from_be_bytes(*b))? as usize / 8;
    let capacity = picture.data.len() / 8;
    if length > capacity || length > sink.limits.max_value {
        sink.damaged("message in the lowest bits");
        return None;
    }
    let data = bits.bytes(length)?;
    let data = if packed { sink.inflate(&data, Packing::Gzip)? } else { data };
    Some(crate::bytes::latin1_or_utf8(&data))
}

/// Decodes an 8-bit RGB or RGBA PNG. With `probe`, only if the rows that hold the start of a message hold one.
fn decode(data: &[u8], limits: &Limits, probe: bool) -> Option<Picture> {
    let budget = usize::try_from(limits.max_pixels).unwrap_or(usize::MAX).saturating_mul(4);
    let mut decoder = png::Decoder::new_with_limits(Cursor::new(data), png::Limits { bytes: budget });
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    let mut reader = decoder.read_info().ok()?;
    let info = reader.info();
    let (width, height) = (info.width as usize, info.height as usize);
    let channels = match (info.color_type, info.bit_depth) {
        (png::ColorType::Rgb, png::BitDepth::Eight) => 3,
        (png::ColorType::Rgba, png::BitDepth::Eight) => 4,
        _ => return None,
    };
    if (width as u64).saturating_mul(height as u64) > limits.max_pixels {
        return None;
    }
    let interlaced = info.interlaced;
    let mut picture = Picture { width, height, channels, data: Vec::new() };
    if interlaced {
        picture.data = vec![0; reader.output_buffer_size()?];
        reader.next_frame(&mut picture.data).ok()?;
        return (!probe || signature(&picture).is_some()).then_some(picture);
    }
    // A signature in the alpha channel takes 120 rows of the first column.
    let probe_rows = SIGNATURE_BYTES * 8;
    let mut rows = 0;
    while let Ok(Some(row)) = reader.next_row() {
        picture.data.extend_from_slice(row.data());
        rows += 1;
        if probe && rows == probe_rows && height > probe_rows && !starts(&picture, rows) {
            return None;
        }
    }
    (rows == height).then_some(picture)
}

/// Whether the first column of the rows so far begins a signature. Only for pictures higher than these rows.
fn starts(picture: &Picture, rows: usize) -> bool {
    let part = Picture {
        width: picture.width,
        height: rows,
        channels: picture.channels,
        data: picture.data.clone(),
    };
    signature(&part).is_some()
}

/// Reads a message from RGBA pixels (`width * height * 4` bytes, row by row) of a lossless picture of any format.
pub(crate) fn from_rgba(rgba: &[u8], width: usize, height: usize, limits: &Limits) -> Option<Statement> {
    let len = width.checked_mul(height)?.checked_mul(4)?;
    if rgba.len() != len {
        return None;
    }
    let picture = Picture { width, height, channels: 4, data: rgba.to_vec() };
    let mut sink = Sink::new(limits);
    let text = message(&picture, &mut sink)?;
    let mut out = Vec::new();
    state(&text, &picture, &mut out);
    out.into_iter().max_by_key(|s| s.grade)
}

/// Looks for a message in a PNG, and checks NovelAI's signature wherever its parameters are.
pub(crate) fn read(data: &[u8], sink: &mut Sink<'_>, out: &mut Vec<Statement>) {
    let comment = sink
        .texts
        .iter()
        .find(|t| t.space == Space::Png && t.key == "Comment" && t.value.contains("signed_hash"))
        .cloned();
    let Some(picture) = decode(data, sink.limits, comment.is_none()) else { return };
    if let Some(text) = message(&picture, sink) {
        state(&text, &picture, out);
    }
    let Some(comment) = comment.and_then(|c| Some((json::parse_object(&c.value)?, c.location))) else {
        return;
    };
    match verify(&comment.0, &picture) {
        Some(true) => out.push(signed(&comment.1)),
        Some(false) => sink.warn(
            WarningCode::Contradiction,
            "NovelAI's signature does not fit the picture: the picture or its parameters were changed",
        ),
        None => {}
    }
}

fn signed(location: &Location) -> Statement {
    let words =
        "The file carries NovelAI's signature over its pixels and parameters, and the signature holds.";
    let mut statement = Draft::new("generator/novelai-signature", Grade::Proof, Says::Ai, location, words)
        .generator("NovelAI")
        .done();
    statement.integrity = Integrity::Signed;
    statement
}

fn state(text: &str, picture: &Picture, out: &mut Vec<Statement>) {
    let location = Location { place: "lowest bits of the pixels".to_owned(), offset: None };
    let json = json::parse_object(text);
    let software = json.as_ref().and_then(|v| v.get("Software")).and_then(Value::str).unwrap_or_default();
    let comment = json.as_ref().and_then(|v| match v.get("Comment") {
        Some(Value::String(s)) => json::parse_object(s),
        Some(object @ Value::Object(_)) => Some(object.clone()),
        _ => None,
    });
    let words = "The file's pixels carry a hidden message with the parameters of a picture generator.";
    let mut draft =
        Draft::new("generator/stealth", Grade::Strong, Says::Ai, &location, words).field("message", text);
    if !software.is_empty() {
        draft = draft.generator(software);
    } else if params::is_a1111(text) {
        draft = draft.generator("Stable Diffusion web UI");
    }
    out.push(draft.done());
    // The picture's own copy of the comment may be wrapped once more.
    let inner =
        comment.as_ref().and_then(|c| c.get("Comment")).and_then(Value::str).and_then(json::parse_object);
    if let Some(comment) = inner.or(comment)
        && verify(&comment, picture) == Some(true)
    {
        out.push(signed(&location));
    }
}

/// Ed25519 (RFC 8032) over the RGB bytes and the comment without its signature. `None` if there is no signature.
fn verify(comment: &Value, picture: &Picture) -> Option<bool> {
    let hash = comment.get("signed_hash")?.str()?;
    let signature = base64(hash, 128)?;
    let rest: Vec<(String, Value)> =
        comment.entries().iter().filter(|(k, _)| k != "signed_hash").cloned().collect();
    let mut message: Vec<u8> = Vec::with_capacity(picture.data.len());
    for pixel in picture.data.chunks_exact(picture.channels.max(1)) {
        message.extend_from_slice(pixel.get(..3)?);
    }
    message.extend_from_slice(Value::Object(rest).dumps().as_bytes());
    Some(holds(NOVELAI_KEY, &signature, &message))
}

fn holds(key: &str, signature: &[u8], message: &[u8]) -> bool {
    let key = base64(key, 64).and_then(|k| ed25519_compact::PublicKey::from_slice(&k).ok());
    let signature = ed25519_compact::Signature::from_slice(signature).ok();
    key.zip(signature).is_some_and(|(key, signature)| key.verify(message, &signature).is_ok())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Writes a message into the alpha channel.
    fn hide(text: &[u8], signature: &[u8], width: usize, height: usize) -> Vec<u8> {
        let mut rgba = vec![0xff; width * height * 4];
        let payload = [signature, &(text.len() as u32 * 8).to_be_bytes(), text].concat();
        let bits = payload.iter().flat_map(|b| (0..8).rev().map(move |i| (b >> i) & 1));
        for (i, bit) in bits.enumerate() {
            rgba[((i % height) * width + i / height) * 4 + 3] = 0xfe | bit;
        }
        rgba
    }

    #[test]
    fn a_plain_message_is_read() {
        let text = b"a cat\nSteps: 20, Sampler: Euler, Seed: 1";
        let rgba = hide(text, b"stealth_pnginfo", 40, 50);
        let found = from_rgba(&rgba, 40, 50, &Limits::default()).unwrap();
        assert_eq!(found.id, "generator/stealth");
        assert!(found.generator.unwrap().starts_with("Stable Diffusion"));
        assert_eq!(from_rgba(&vec![0xff; 8000], 40, 50, &Limits::default()), None);
    }

    #[test]
    fn a_claimed_length_is_bounded() {
        let mut rgba = hide(b"", b"stealth_pnginfo", 40, 50);
        for i in 120..152 {
            rgba[((i % 50) * 40 + i / 50) * 4 + 3] = 0xff;
        }
        assert_eq!(from_rgba(&rgba, 40, 50, &Limits::default()), None);
    }

    // RFC 8032, 7.1, test 2.
    #[test]
    fn signatures_are_checked() {
        let key = "PUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw=";
        let signature =
            base64("kqAJqfDUyrhyDoILX2QlQKKye1QWUD+Ps3YiI+vbadoIWsHkPhWZblWPNhPwDPG0GHNEDWZX6g==", 128);
        // A signature that is too short or belongs to something else does not hold.
        assert!(!holds(key, &signature.unwrap_or_default(), b"\x72"));
        let pair = ed25519_compact::KeyPair::from_seed(ed25519_compact::Seed::new([7; 32]));
        let mut text = String::new();
        for chunk in pair.pk.chunks(3) {
            const A: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
            let n = chunk.iter().chain(&[0, 0]).take(3).fold(0_u32, |n, b| (n << 8) | u32::from(*b));
            text.extend((0..=chunk.len()).map(|i| char::from(A[(n >> (18 - 6 * i)) as usize & 63])));
        }
        let signature = pair.sk.sign(b"message", None);
        assert!(holds(&text, signature.as_ref(), b"message"));
        assert!(!holds(&text, signature.as_ref(), b"messagf"));
    }
}
