//! GIF extension blocks (GIF89a), with XMP (part 3 of its specification) and C2PA.

use crate::bytes::{Cursor, latin1_or_utf8};
use crate::sink::{Sink, Space, place};

/// Reads sub-blocks to their terminator.
fn sub_blocks(c: &mut Cursor<'_>, mut keep: Option<&mut Vec<u8>>) -> Option<()> {
    loop {
        let n = c.u8()?;
        if n == 0 {
            return Some(());
        }
        let block = c.take(usize::from(n))?;
        if let Some(out) = keep.as_mut() {
            out.extend_from_slice(block);
        }
    }
}

/// Where the blocks begin: behind the header and the global colour table.
pub(crate) fn blocks_start(data: &[u8]) -> Option<usize> {
    let flags = *data.get(10)?;
    let table = if flags & 0x80 == 0 { 0 } else { 3_usize << ((flags & 7) + 1) };
    Some(13 + table)
}

/// An application extension: its identifier with its code, where it begins and ends, and the raw bytes of its
/// sub-blocks with their lengths.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Application<'a> {
    pub(crate) id: &'a [u8],
    pub(crate) at: usize,
    pub(crate) end: usize,
    pub(crate) raw: &'a [u8],
}

/// The application extensions and the comments; `None` at the end if the file is cut.
pub(crate) fn walk<'a>(
    data: &'a [u8],
    max: usize,
    mut on_application: impl FnMut(Application<'a>),
    mut on_comment: impl FnMut(usize, Vec<u8>),
) -> Option<()> {
    let mut c = Cursor::new(data);
    c.skip(blocks_start(data)?)?;
    for _ in 0..max {
        let at = c.at();
        match c.u8()? {
            0x21 => match c.u8()? {
                0xff => {
                    let n = c.u8()?;
                    let id = c.take(usize::from(n))?;
                    let start = c.at();
                    sub_blocks(&mut c, None)?;
                    let raw = data.get(start..c.at())?;
                    on_application(Application { id, at, end: c.at(), raw });
                }
                0xfe => {
                    let mut text = Vec::new();
                    sub_blocks(&mut c, Some(&mut text))?;
                    on_comment(at, text);
                }
                _ => sub_blocks(&mut c, None)?,
            },
            0x2c => {
                c.skip(8)?;
                let flags = c.u8()?;
                let table = if flags & 0x80 == 0 { 0 } else { 3_usize << ((flags & 7) + 1) };
                c.skip(table + 1)?;
                sub_blocks(&mut c, None)?;
            }
            0x3b => return Some(()),
            _ => return None,
        }
    }
    None
}

pub(crate) fn read(data: &[u8], sink: &mut Sink<'_>) {
    let mut applications = Vec::new();
    let mut comments = Vec::new();
    let whole = walk(data, sink.limits.max_items, |a| applications.push(a), |at, c| comments.push((at, c)));
    if whole.is_none() {
        sink.damaged("GIF file");
    }
    for a in applications {
        if !sink.item() {
            return;
        }
        if a.id == b"XMP DataXMP" {
            // The packet stands there bare; 258 bytes that lead any reader to the end follow it.
            let end = a.raw.len().saturating_sub(258);
            let packet = match a.raw.get(end..) {
                Some([1, 0xff, 0xfe, ..]) => a.raw.get(..end).unwrap_or_default(),
                _ => a.raw,
            };
            sink.xmp(packet, place("GIF extension XMP", a.at));
        } else if a.id.starts_with(b"C2PA_GIF") && sink.spend(a.raw.len()) {
            let mut store = Vec::new();
            let _ = sub_blocks(&mut Cursor::new(a.raw), Some(&mut store));
            sink.store(&store, place("GIF extension C2PA", a.at));
        }
    }
    for (at, text) in comments {
        sink.text(Space::Comment, "comment", latin1_or_utf8(&text), place("GIF comment", at));
    }
}
