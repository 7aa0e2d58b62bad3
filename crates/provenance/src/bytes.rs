//! Bounds-checked reading of bytes; nothing here can panic.

/// A reading position in a slice.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor<'a> {
    data: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(data: &'a [u8]) -> Self {
        Self { data, at: 0 }
    }

    pub(crate) fn at(&self) -> usize {
        self.at
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.at >= self.data.len()
    }

    pub(crate) fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(n)?;
        let out = self.data.get(self.at..end)?;
        self.at = end;
        Some(out)
    }

    pub(crate) fn skip(&mut self, n: usize) -> Option<()> {
        self.take(n).map(|_| ())
    }

    pub(crate) fn rest(&mut self) -> &'a [u8] {
        let out = self.data.get(self.at..).unwrap_or_default();
        self.at = self.data.len();
        out
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.first_chunk().copied()
    }

    pub(crate) fn be16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn be32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn be64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    pub(crate) fn le32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }
}

/// The slice of `len` bytes at `at`.
pub(crate) fn slice(data: &[u8], at: usize, len: usize) -> Option<&[u8]> {
    data.get(at..at.checked_add(len)?)
}

pub(crate) fn be32(data: &[u8], at: usize) -> Option<u32> {
    slice(data, at, 4)?.first_chunk().map(|b| u32::from_be_bytes(*b))
}

pub(crate) fn le32(data: &[u8], at: usize) -> Option<u32> {
    slice(data, at, 4)?.first_chunk().map(|b| u32::from_le_bytes(*b))
}

/// Whether `data` has `magic` at `at`.
pub(crate) fn has(data: &[u8], at: usize, magic: &[u8]) -> bool {
    data.get(at..).is_some_and(|d| d.starts_with(magic))
}

/// Position of the first `needle` in `data`.
pub(crate) fn find(data: &[u8], needle: &[u8]) -> Option<usize> {
    data.windows(needle.len().max(1)).position(|w| w == needle)
}

/// Position of the last `needle` in `data`.
pub(crate) fn rfind(data: &[u8], needle: &[u8]) -> Option<usize> {
    data.windows(needle.len().max(1)).rposition(|w| w == needle)
}

/// Splits at the first zero byte, which is dropped.
pub(crate) fn split_nul(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = data.iter().position(|&b| b == 0)?;
    Some((data.get(..at)?, data.get(at.checked_add(1)?..)?))
}

/// UTF-8 where it is valid, ISO 8859-1 otherwise: many programs write the former where a standard asks for the latter.
pub(crate) fn latin1_or_utf8(data: &[u8]) -> String {
    match std::str::from_utf8(data) {
        Ok(text) => text.to_owned(),
        Err(_) => data.iter().map(|&b| char::from(b)).collect(),
    }
}

/// UTF-16 in the given byte order; bad surrogates are replaced.
pub(crate) fn utf16(data: &[u8], big_endian: bool) -> String {
    let units = data.chunks_exact(2).map(|p| match *p {
        [a, b] if big_endian => u16::from_be_bytes([a, b]),
        [a, b] => u16::from_le_bytes([a, b]),
        _ => 0,
    });
    char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
}

/// At most `max` bytes of `text`, cut between characters.
pub(crate) fn clip(text: &str, max: usize) -> &str {
    if text.len() <= max {
        return text;
    }
    let mut end = max;
    while end > 0 && !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

/// Decodes base64 (RFC 4648, either alphabet); white space is passed over. `None` for anything else.
pub(crate) fn base64(text: &str, max: usize) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let (mut bits, mut held) = (0_u32, 0_u32);
    let mut ended = false;
    for c in text.bytes() {
        let value = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            b'=' => {
                ended = true;
                continue;
            }
            b' ' | b'\t' | b'\r' | b'\n' => continue,
            _ => return None,
        };
        if ended || out.len() >= max {
            return None;
        }
        bits = ((bits << 6) | u32::from(value)) & 0xffff;
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
        }
    }
    Some(out)
}

/// Whether `text` is a UUID in its usual form of 36 characters (RFC 9562).
pub(crate) fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(i, c)| match i {
            8 | 13 | 18 | 23 => c == b'-',
            _ => c.is_ascii_hexdigit(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_reads_what_it_should() {
        assert_eq!(base64("Q2FuZG9y", 99).as_deref(), Some(&b"Candor"[..]));
        assert_eq!(base64("Zm8=\n", 99).as_deref(), Some(&b"fo"[..]));
        assert_eq!(base64("not base64!", 99), None);
        assert_eq!(base64("Q2FuZG9y", 3), None);
    }

    #[test]
    fn a_cursor_stops_at_the_end() {
        let mut c = Cursor::new(&[0, 1, 2]);
        assert_eq!(c.be16(), Some(1));
        assert_eq!(c.be16(), None);
        assert_eq!(c.u8(), Some(2));
        assert!(c.is_empty());
        assert_eq!(c.take(usize::MAX), None);
    }

    #[test]
    fn text_is_cut_between_characters() {
        assert_eq!(clip("aé", 2), "a");
        assert_eq!(utf16(&[0, 0x41, 0xd8, 0], true), "A\u{fffd}");
        assert!(is_uuid("2b6e053b-9a65-4ca9-9e13-b6f4465164d4"));
    }
}
