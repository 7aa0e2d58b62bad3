//! IPTC-IIM 4.2 datasets and the Photoshop image resources (8BIM) that hold them.

use crate::bytes::{Cursor, latin1_or_utf8};
use crate::sink::{Sink, Space, place};

const RESOURCE_IIM: u16 = 0x0404;
const RESOURCE_XMP: u16 = 0x0424;

/// Reads Photoshop image resource blocks.
pub(crate) fn photoshop(data: &[u8], what: &str, base: usize, sink: &mut Sink<'_>) {
    let mut c = Cursor::new(data);
    while sink.item() {
        let mut block = || {
            if c.take(4)? != b"8BIM" {
                return None;
            }
            let id = c.be16()?;
            let name = usize::from(c.u8()?);
            // The name with its length byte, and the data, are padded to an even number of bytes.
            c.skip(name + usize::from(name.is_multiple_of(2)))?;
            let len = c.be32()? as usize;
            let at = c.at();
            let value = c.take(len)?;
            let _ = c.skip(len & 1);
            Some((id, at, value))
        };
        match block() {
            Some((RESOURCE_IIM, at, value)) => iim(value, what, base.saturating_add(at), sink),
            Some((RESOURCE_XMP, at, value)) => {
                sink.xmp(value, place(format!("{what}, resource XMP"), base.saturating_add(at)));
            }
            Some(_) => {}
            None => break,
        }
    }
}

/// Reads IIM datasets, bare or inside image resources.
pub(crate) fn read(data: &[u8], what: &str, base: usize, sink: &mut Sink<'_>) {
    if data.starts_with(b"8BIM") {
        photoshop(data, what, base, sink);
    } else {
        iim(data, what, base, sink);
    }
}

fn iim(data: &[u8], what: &str, base: usize, sink: &mut Sink<'_>) {
    let mut c = Cursor::new(data);
    while sink.item() {
        let mut dataset = || {
            if c.u8()? != 0x1c {
                return None;
            }
            let (record, number, len) = (c.u8()?, c.u8()?, c.be16()?);
            let len = if len & 0x8000 == 0 {
                usize::from(len)
            } else {
                let digits = c.take(usize::from(len & 0x7fff).min(8))?;
                digits.iter().fold(0_usize, |n, &b| (n << 8) | usize::from(b))
            };
            let at = c.at();
            Some((record, number, at, c.take(len)?))
        };
        let Some((record, number, at, value)) = dataset() else { break };
        if record == 2 {
            let location = place(format!("{what}, IPTC {record}:{number}"), base.saturating_add(at));
            sink.text(Space::Iim, format!("{record}:{number}"), latin1_or_utf8(value), location);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Limits;

    #[test]
    fn a_credit_line_is_read() {
        let mut data = b"8BIM\x04\x04\0\0\0\0\0\x0a".to_vec();
        data.extend(b"\x1c\x02\x6e\0\x05Maker");
        let limits = Limits::default();
        let mut sink = Sink::new(&limits);
        photoshop(&data, "APP13", 0, &mut sink);
        assert_eq!(sink.texts[0].key, "2:110");
        assert_eq!(sink.texts[0].value, "Maker");
    }
}
