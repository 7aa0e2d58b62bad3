//! What an explicit mark needs: a changed picture with the metadata of the old one, and words at the head of a text.

use super::crc32;
use super::image::riff_chunk;
use crate::container::{Kind, iff, jpeg, page, png};
use crate::{Error, Result};

const MAX_STRUCTURES: usize = 1 << 20;

/// The picture `fresh` with the metadata of `original`, of which it is a changed copy of the same size and format: JPEG, PNG or
/// WebP.
///
/// What describes the old coding and not the picture is left out: the pictures behind the first (MPF), palettes, transparency
/// keys.
///
/// # Errors
/// [`Error::Unsupported`] for other formats and animations; [`Error::Damaged`].
pub fn with_metadata(original: &[u8], fresh: &[u8]) -> Result<Vec<u8>> {
    match Kind::of(original) {
        Kind::Jpeg => with_segments(original, fresh),
        Kind::Png => with_chunks(original, fresh),
        Kind::WebP => with_riff(original, fresh),
        other => Err(Error::Unsupported(other.name())),
    }
}

fn with_segments(original: &[u8], fresh: &[u8]) -> Result<Vec<u8>> {
    const DAMAGED: Error = Error::Damaged("JPEG file");
    let (old, _, whole) = jpeg::segments(original, MAX_STRUCTURES);
    let (new, ..) = jpeg::segments(fresh, MAX_STRUCTURES);
    if !whole {
        return Err(DAMAGED);
    }
    // Adobe's segment says how the old colours were coded.
    let kept = |marker: u8| (0xe0..=0xef).contains(&marker) && marker != 0xee || marker == 0xfe;
    let metadata: Vec<_> = old
        .iter()
        .take_while(|s| s.marker != 0xda)
        .filter(|s| kept(s.marker) && !(s.marker == 0xe2 && s.data.starts_with(b"MPF\0")))
        .collect();
    let mut out = vec![0xff, 0xd8];
    let first = new.iter().find(|s| !kept(s.marker) && s.marker != 0xee).ok_or(DAMAGED)?;
    if !metadata.iter().any(|s| s.marker == 0xe0) {
        for segment in new.iter().filter(|s| s.marker == 0xe0) {
            out.extend_from_slice(
                fresh.get(segment.at..segment.at + 4 + segment.data.len()).unwrap_or_default(),
            );
        }
    }
    for segment in metadata {
        out.extend_from_slice(
            original.get(segment.at..segment.at + 4 + segment.data.len()).unwrap_or_default(),
        );
    }
    out.extend_from_slice(fresh.get(first.at..).ok_or(DAMAGED)?);
    Ok(out)
}

fn with_chunks(original: &[u8], fresh: &[u8]) -> Result<Vec<u8>> {
    const DAMAGED: Error = Error::Damaged("PNG file");
    const CODING: [&[u8; 4]; 8] = [b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"bKGD", b"hIST", b"sBIT"];
    let (old, _, whole) = png::chunks(original, MAX_STRUCTURES);
    if !whole {
        return Err(DAMAGED);
    }
    if old.iter().any(|c| &c.kind == b"acTL") {
        return Err(Error::Refused("an animation is not marked"));
    }
    let (new, ..) = png::chunks(fresh, MAX_STRUCTURES);
    let mut out = png::SIGNATURE.to_vec();
    let put = |chunk: &png::Chunk<'_>, out: &mut Vec<u8>| {
        out.extend((chunk.data.len() as u32).to_be_bytes());
        let from = out.len();
        out.extend(chunk.kind);
        out.extend_from_slice(chunk.data);
        let crc = crc32(out.get(from..).unwrap_or_default());
        out.extend(crc.to_be_bytes());
    };
    let data = old.iter().position(|c| &c.kind == b"IDAT").ok_or(DAMAGED)?;
    let meta = |chunk: &&png::Chunk<'_>| !CODING.contains(&&chunk.kind);
    let mut parts = new.iter().filter(|c| CODING.contains(&&c.kind));
    put(parts.next().ok_or(DAMAGED)?, &mut out);
    old.iter().take(data).filter(meta).for_each(|c| put(c, &mut out));
    for chunk in parts {
        if &chunk.kind == b"IEND" {
            old.iter().skip(data).filter(meta).for_each(|c| put(c, &mut out));
        }
        put(chunk, &mut out);
    }
    Ok(out)
}

fn with_riff(original: &[u8], fresh: &[u8]) -> Result<Vec<u8>> {
    const DAMAGED: Error = Error::Damaged("WebP file");
    let chunks = |bytes| match iff::chunks(bytes, 12, bytes.len(), MAX_STRUCTURES) {
        (chunks, _) if chunks.is_empty() => Err(DAMAGED),
        (chunks, _) => Ok(chunks),
    };
    let (old, new) = (chunks(original)?, chunks(fresh)?);
    if old.iter().any(|c| &c.id == b"ANIM") {
        return Err(Error::Refused("an animation is not marked"));
    }
    let pixels = |c: &&iff::Chunk<'_>| matches!(&c.id, b"ALPH" | b"VP8 " | b"VP8L");
    let image = new.iter().find(|c| matches!(&c.id, b"VP8 " | b"VP8L")).ok_or(DAMAGED)?;
    let (width, height, alpha) = super::image::webp_size(image).ok_or(DAMAGED)?;
    let has = |id: &[u8; 4]| old.iter().any(|c| &c.id == id);
    let alpha = alpha || new.iter().any(|c| &c.id == b"ALPH");
    let flags =
        [(b"XMP ", 4_u8), (b"EXIF", 8), (b"ICCP", 0x20)].iter().filter(|(id, _)| has(id)).map(|(_, bit)| bit);
    let mut head = vec![flags.sum::<u8>() | if alpha { 0x10 } else { 0 }, 0, 0, 0];
    head.extend((width - 1).to_le_bytes().iter().take(3));
    head.extend((height - 1).to_le_bytes().iter().take(3));
    let mut body = b"WEBP".to_vec();
    riff_chunk(*b"VP8X", &head, &mut body);
    old.iter().filter(|c| &c.id == b"ICCP").for_each(|c| riff_chunk(c.id, c.data, &mut body));
    new.iter().filter(pixels).for_each(|c| riff_chunk(c.id, c.data, &mut body));
    let rest = |c: &&iff::Chunk<'_>| !pixels(c) && !matches!(&c.id, b"VP8X" | b"ICCP");
    old.iter().filter(rest).for_each(|c| riff_chunk(c.id, c.data, &mut body));
    let mut out = b"RIFF".to_vec();
    out.extend(u32::try_from(body.len()).map_err(|_| Error::Refused("the file is too large"))?.to_le_bytes());
    out.extend(body);
    Ok(out)
}

/// A text with `words` as its first paragraph, behind its front matter; the same text if they stand there already.
///
/// # Errors
/// [`Error::Refused`] unless it is plain text or Markdown in UTF-8.
pub fn mark_text(bytes: &[u8], words: &str) -> Result<Vec<u8>> {
    if Kind::of(bytes) != Kind::Text {
        return Err(Error::Unsupported(Kind::of(bytes).name()));
    }
    let whole = std::str::from_utf8(bytes).map_err(|_| Error::Refused("only UTF-8 is marked"))?;
    let text = whole.strip_prefix('\u{feff}').unwrap_or(whole);
    if page::is_mail(text) {
        return Err(Error::Refused("an e-mail is not marked"));
    }
    let rest = page::split_front_matter(text).map_or(text, |(_, rest)| rest);
    if rest.trim_start().starts_with(words) {
        return Ok(bytes.to_vec());
    }
    let newline = if whole.contains("\r\n") { "\r\n" } else { "\n" };
    let head = whole.get(..whole.len() - rest.len()).unwrap_or_default();
    let gap = if head.len() > 3 && !rest.starts_with(['\r', '\n']) { newline } else { "" };
    let blank = rest.len() - rest.trim_start_matches(['\r', '\n']).len();
    let (blank, rest) = rest.split_at(blank);
    Ok(format!("{head}{gap}{blank}{words}{newline}{newline}{rest}").into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stand_behind_front_matter_and_once() {
        let marked = |text: &str| String::from_utf8(mark_text(text.as_bytes(), "AI生成").unwrap()).unwrap();
        assert_eq!(marked("The tide turns.\n"), "AI生成\n\nThe tide turns.\n");
        assert_eq!(marked("\u{feff}潮水退了。\r\n又来。"), "\u{feff}AI生成\r\n\r\n潮水退了。\r\n又来。");
        let behind = "---\ntitle: x\n---\n\nAI生成\n\n# Head\n";
        assert_eq!(marked("---\ntitle: x\n---\n\n# Head\n"), behind);
        assert_eq!(marked(behind), behind);
        let mail = b"From: a@example.org\r\nDate: Mon, 2 Nov 2026 09:00:00 +0000\r\nMIME-Version: 1.0\r\n\r\nSee you.\r\n";
        assert!(matches!(mark_text(mail, "AI"), Err(Error::Refused(_))));
        let new = crate::write::Label::generated("a", "b");
        assert!(matches!(
            crate::write::label(mail, &new, crate::write::Options::default()),
            Err(Error::Refused(_))
        ));
        assert!(mark_text(b"From: me\nDate: today\n\nA letter.", "AI").is_ok());
        assert!(mark_text(b"caf\xe9 au lait, s'il vous pla\xeet", "AI").is_err());
    }
}
