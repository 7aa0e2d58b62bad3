//! Matroska and `WebM` tags (RFC 9559), and the metadata object of FLV (Adobe FLV 10.1, annex E).

use crate::bytes::{Cursor, latin1_or_utf8};
use crate::sink::{Sink, Space, place};

const SEGMENT: u32 = 0x1853_8067;
const CLUSTER: u32 = 0x1f43_b675;
const TAGS: u32 = 0x1254_c367;
const TAG: u32 = 0x7373;
const SIMPLE_TAG: u32 = 0x67c8;
const TAG_NAME: u32 = 0x45a3;
const TAG_STRING: u32 = 0x4487;
const INFO: u32 = 0x1549_a966;
const TITLE: u32 = 0x7ba9;
const WRITING_APP: u32 = 0x5741;

fn element_id(c: &mut Cursor<'_>) -> Option<u32> {
    let first = c.u8()?;
    let more = first.leading_zeros();
    if more > 3 {
        return None;
    }
    (0..more).try_fold(u32::from(first), |n, _| Some((n << 8) | u32::from(c.u8()?)))
}

#[derive(Debug, Clone, Copy)]
enum Size {
    Known(usize),
    Unknown,
}

fn element_size(c: &mut Cursor<'_>) -> Option<Size> {
    let first = c.u8()?;
    let more = first.leading_zeros();
    if more > 7 {
        return None;
    }
    let head = u64::from(first) & (0x7f_u64 >> more);
    let n = (0..more).try_fold(head, |n, _| Some((n << 8) | u64::from(c.u8()?)))?;
    let unknown = (1_u64 << (7 * (more + 1))) - 1;
    Some(if n == unknown { Size::Unknown } else { Size::Known(usize::try_from(n).ok()?) })
}

pub(crate) fn read(data: &[u8], sink: &mut Sink<'_>) {
    let mut c = Cursor::new(data);
    level(&mut c, data.len(), 0, sink);
}

fn level(c: &mut Cursor<'_>, end: usize, depth: usize, sink: &mut Sink<'_>) {
    while c.at() < end && sink.item() {
        let (Some(id), Some(size)) = (element_id(c), element_size(c)) else { return };
        match (id, size) {
            // Elements of unknown size hold their children until one that cannot be theirs; read on among them.
            (SEGMENT | CLUSTER, Size::Unknown) => {}
            (_, Size::Unknown) => return,
            (SEGMENT | TAGS | TAG | INFO, Size::Known(n)) if depth < 8 => {
                let stop = c.at().saturating_add(n).min(end);
                level(c, stop, depth + 1, sink);
                let _ = c.skip(stop.saturating_sub(c.at()));
            }
            (SIMPLE_TAG, Size::Known(n)) => {
                let at = c.at();
                let Some(body) = c.take(n) else { return };
                simple_tag(body, at, 0, sink);
            }
            (TITLE | WRITING_APP, Size::Known(n)) if depth > 0 => {
                let at = c.at();
                let Some(text) = c.take(n) else { return };
                let name = if id == TITLE { "Title" } else { "WritingApp" };
                sink.text(Space::Video, name, latin1_or_utf8(text), place(format!("Matroska {name}"), at));
            }
            (_, Size::Known(n)) => {
                if c.skip(n).is_none() {
                    sink.damaged("Matroska file");
                    return;
                }
            }
        }
    }
}

fn simple_tag(body: &[u8], at: usize, depth: usize, sink: &mut Sink<'_>) {
    let mut c = Cursor::new(body);
    let (mut name, mut value) = (String::new(), None);
    while !c.is_empty() && sink.item() {
        let (Some(id), Some(Size::Known(n))) = (element_id(&mut c), element_size(&mut c)) else { break };
        let inner = at.saturating_add(c.at());
        let Some(data) = c.take(n) else { break };
        match id {
            TAG_NAME => name = latin1_or_utf8(data),
            TAG_STRING => value = Some(latin1_or_utf8(data)),
            SIMPLE_TAG if depth < 8 => simple_tag(data, inner, depth + 1, sink),
            _ => {}
        }
    }
    if let Some(value) = value {
        let location = place(format!("Matroska tag {}", name.escape_debug()), at);
        sink.text(Space::Video, name, value.trim_end_matches('\0'), location);
    }
}

/// The first script tags: a name, and an object or an array of named values in AMF0.
pub(crate) fn flv(data: &[u8], sink: &mut Sink<'_>) {
    let mut c = Cursor::new(data);
    let _ = c.skip(9);
    for _ in 0..16 {
        let at = c.at().saturating_add(4);
        let mut tag = || {
            c.skip(4)?;
            let kind = c.u8()?;
            let n = c.take(3)?.iter().fold(0, |n, &b| (n << 8) | usize::from(b));
            c.skip(7)?;
            Some((kind, c.take(n)?))
        };
        let Some((kind, body)) = tag() else { return };
        if kind != 18 {
            continue;
        }
        let mut c = Cursor::new(body);
        let mut object = || {
            c.skip(1)?;
            let n = c.be16()?;
            c.skip(usize::from(n))?;
            if c.u8()? == 8 {
                c.skip(4)?;
            }
            while sink.item() {
                let n = c.be16()?;
                let name = latin1_or_utf8(c.take(usize::from(n))?);
                match c.u8()? {
                    0 => c.skip(8)?,
                    1 => c.skip(1)?,
                    2 => {
                        let n = c.be16()?;
                        let text = latin1_or_utf8(c.take(usize::from(n))?);
                        sink.text(Space::Video, name, text, place("FLV onMetaData", at));
                    }
                    12 => {
                        let n = c.be32()?;
                        let text = latin1_or_utf8(c.take(n as usize)?);
                        sink.text(Space::Video, name, text, place("FLV onMetaData", at));
                    }
                    11 => c.skip(10)?,
                    _ => return None,
                }
            }
            Some(())
        };
        let _ = object();
    }
}
