//! Data behind the end of a picture: the trailer of Samsung phones (`SEFH`…`SEFT`).

use crate::bytes::{Cursor, find, latin1_or_utf8, le32, slice};
use crate::sink::{Sink, Space, place};

/// The trailer ends with the length of its directory and `SEFT`. The directory lists blocks by their distance back from
/// it.
pub(crate) fn samsung(data: &[u8], sink: &mut Sink<'_>) {
    let Some(footer) = data.len().checked_sub(8) else { return };
    if data.get(footer + 4..) != Some(b"SEFT") {
        return;
    }
    let Some(len) = le32(data, footer) else { return };
    let Some(start) = footer.checked_sub(len as usize) else { return };
    let Some(directory) = slice(data, start, len as usize).filter(|d| d.starts_with(b"SEFH")) else {
        sink.damaged("Samsung trailer");
        return;
    };
    let mut c = Cursor::new(directory);
    let _ = c.skip(8);
    let Some(count) = c.le32() else { return };
    for _ in 0..count {
        if !sink.item() {
            return;
        }
        let (Some(_), Some(back), Some(size)) = (c.le32(), c.le32(), c.le32()) else { return };
        let Some(at) = start.checked_sub(back as usize) else { continue };
        let Some(block) = slice(data, at, size as usize) else { continue };
        // A block begins with its type (4 bytes) and the length of its name.
        let mut block = Cursor::new(block);
        let (Some(_), Some(n)) = (block.le32(), block.le32()) else { continue };
        let Some(name) = block.take(n as usize) else { continue };
        let value = block.rest();
        // Pictures and videos are stored here too; only short texts are of interest.
        if value.len() <= 1 << 16 && find(value, b"\0").is_none_or(|at| at + 1 == value.len()) {
            let text = latin1_or_utf8(value);
            let name = latin1_or_utf8(name);
            sink.text(
                Space::Comment,
                format!("samsung:{name}"),
                text.trim_end_matches('\0'),
                place("Samsung trailer", at),
            );
        }
    }
}
