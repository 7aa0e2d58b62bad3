//! MP4, M4A and MOV: an item in `moov.udta.meta`.

use crate::container::bmff::{Bx, boxes, meta_is_full};
use crate::{Error, Result};

const DAMAGED: Error = Error::Damaged("chain of boxes");
const MAX_BOXES: usize = 1 << 16;

fn make(kind: [u8; 4], body: &[u8]) -> Result<Vec<u8>> {
    let size = u32::try_from(body.len() + 8).map_err(|_| Error::Refused("a box would be too large"))?;
    let mut out = size.to_be_bytes().to_vec();
    out.extend(kind);
    out.extend_from_slice(body);
    Ok(out)
}

/// The children of a box, as bytes; all of it must be boxes, but for four zero bytes at the end of user data.
fn children<'a>(data: &'a [u8], parent: &Bx<'_>, skip: usize) -> Result<Vec<Bx<'a>>> {
    let end = parent.body_at + parent.body.len();
    let (found, whole) = boxes(data, parent.body_at + skip, end, MAX_BOXES);
    let last = found.last().map_or(parent.body_at + skip, |b| b.body_at + b.body.len());
    if !whole || (last != end && data.get(last..end).is_some_and(|rest| rest.iter().any(|b| *b != 0))) {
        return Err(DAMAGED);
    }
    Ok(found)
}

fn raw<'a>(data: &'a [u8], b: &Bx<'_>) -> &'a [u8] {
    data.get(b.at..b.body_at + b.body.len()).unwrap_or_default()
}

/// Puts `new` in the place of the child at `old`, or behind all.
fn with_child(data: &[u8], all: &[Bx<'_>], old: Option<usize>, new: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for b in all {
        if Some(b.at) == old {
            out.extend_from_slice(new);
        } else {
            out.extend_from_slice(raw(data, b));
        }
    }
    if old.is_none() {
        out.extend_from_slice(new);
    }
    out
}

fn value(json: &str) -> Result<Vec<u8>> {
    // UTF-8, no locale.
    make(*b"data", &[&[0, 0, 0, 1, 0, 0, 0, 0], json.as_bytes()].concat())
}

fn freeform(json: &str) -> Result<Vec<u8>> {
    let mean = make(*b"mean", b"\0\0\0\0com.apple.iTunes")?;
    let name = make(*b"name", b"\0\0\0\0AIGC")?;
    make(*b"----", &[mean, name, value(json)?].concat())
}

/// A `hdlr` box (ISO 14496-12, 8.4.3).
fn handler(kind: [u8; 4]) -> Result<Vec<u8>> {
    make(*b"hdlr", &[&[0; 8], &kind[..], &[0; 12], b"\0"].concat())
}

fn key(name: &[u8]) -> Vec<u8> {
    [&((name.len() + 8) as u32).to_be_bytes(), &b"mdta"[..], name].concat()
}

/// A `meta` box with the label as its only item.
fn fresh(json: &str) -> Result<Vec<u8>> {
    let keys = make(*b"keys", &[&[0, 0, 0, 0, 0, 0, 0, 1], &key(b"AIGC")[..]].concat())?;
    let list = make(*b"ilst", &make([0, 0, 0, 1], &value(json)?)?)?;
    make(*b"meta", &[vec![0; 4], handler(*b"mdta")?, keys, list].concat())
}

/// An existing `meta` box with the label added or replaced.
fn edit(data: &[u8], meta: &Bx<'_>, json: &str) -> Result<Vec<u8>> {
    let skip = if meta_is_full(meta.body) { 4 } else { 0 };
    let all = children(data, meta, skip)?;
    let find = |kind: &[u8; 4]| all.iter().find(|b| b.kind == *kind);
    let keys = find(b"keys");
    let list = find(b"ilst");
    let items = match list {
        Some(list) => children(data, list, 0)?,
        None => Vec::new(),
    };
    let mut body = meta.body.get(..skip).unwrap_or_default().to_vec();
    let mut boxed;
    if let Some(keys) = keys {
        let count = crate::bytes::be32(keys.body, 4).ok_or(DAMAGED)?;
        let names = names(keys.body, count)?;
        let known = names
            .iter()
            .position(|n| n.rsplit(|b| *b == b'.').next().is_some_and(|n| n.eq_ignore_ascii_case(b"AIGC")));
        let index = known.map_or(count.saturating_add(1), |i| i as u32 + 1);
        let mut new_keys = keys.body.to_vec();
        if known.is_none() {
            new_keys.get_mut(4..8).ok_or(DAMAGED)?.copy_from_slice(&index.to_be_bytes());
            new_keys.extend(key(b"AIGC"));
        }
        let item = make(index.to_be_bytes(), &value(json)?)?;
        let old = items.iter().find(|i| u32::from_be_bytes(i.kind) == index).map(|i| i.at);
        let new_list = make(*b"ilst", &with_child(data, &items, old, &item))?;
        boxed = with_child(data, &all, Some(keys.at), &make(*b"keys", &new_keys)?);
        // The list is replaced in what was just built; its place there is found by walking it again.
        let (again, _) = boxes(&boxed, 0, boxed.len(), MAX_BOXES);
        let old = again.iter().find(|b| &b.kind == b"ilst").map(|b| b.at);
        boxed = with_child(&boxed, &again, old, &new_list);
    } else {
        let is_label = |item: &Bx<'_>| {
            &item.kind == b"----"
                && children(data, item, 0).is_ok_and(|parts| {
                    parts.iter().any(|p| {
                        &p.kind == b"name" && p.body.get(4..).is_some_and(|n| n.eq_ignore_ascii_case(b"AIGC"))
                    })
                })
        };
        let old = items.iter().find(|i| is_label(i)).map(|i| i.at);
        let new_list = make(*b"ilst", &with_child(data, &items, old, &freeform(json)?))?;
        boxed = with_child(data, &all, list.map(|l| l.at), &new_list);
    }
    body.append(&mut boxed);
    make(*b"meta", &body)
}

fn names(body: &[u8], count: u32) -> Result<Vec<&[u8]>> {
    let mut c = crate::bytes::Cursor::new(body);
    c.skip(8).ok_or(DAMAGED)?;
    let mut out = Vec::new();
    for _ in 0..count {
        let size = c.be32().ok_or(DAMAGED)? as usize;
        c.skip(4).ok_or(DAMAGED)?;
        out.push(size.checked_sub(8).and_then(|n| c.take(n)).ok_or(DAMAGED)?);
    }
    Ok(out)
}

pub(super) fn write(bytes: &[u8], json: &str) -> Result<Vec<u8>> {
    let (top, whole) = boxes(bytes, 0, bytes.len(), MAX_BOXES);
    if !whole {
        return Err(DAMAGED);
    }
    let has = |kind: &[u8; 4]| top.iter().any(|b| b.kind == *kind);
    let Some(movie) = top.iter().find(|b| &b.kind == b"moov") else {
        return Err(Error::Unsupported("HEIF and AVIF"));
    };
    if has(b"moof") || has(b"sidx") || has(b"mfra") {
        return Err(Error::Refused("the MP4 file is fragmented"));
    }
    let parts = children(bytes, movie, 0)?;
    // Some files have several; the one that has a label already is the one to change.
    let users = || parts.iter().filter(|b| &b.kind == b"udta");
    let labelled = users().find(|b| crate::bytes::find(b.body, b"AIGC").is_some());
    let user = labelled.or_else(|| users().next());
    let user_parts = match user {
        Some(user) => children(bytes, user, 0)?,
        None => Vec::new(),
    };
    let meta = user_parts.iter().find(|b| &b.kind == b"meta");
    let new_meta = match meta {
        Some(meta) => edit(bytes, meta, json)?,
        None => fresh(json)?,
    };
    let mut user_body = with_child(bytes, &user_parts, meta.map(|m| m.at), &new_meta);
    if let Some(user) = user {
        // The zero bytes that end QuickTime's list are kept.
        let last = user_parts.last().map_or(user.body_at, |b| b.body_at + b.body.len());
        user_body.extend_from_slice(bytes.get(last..user.body_at + user.body.len()).unwrap_or_default());
    }
    let new_user = make(*b"udta", &user_body)?;
    let body = with_child(bytes, &parts, user.map(|u| u.at), &new_user);
    let mut new_movie = make(*b"moov", &body)?;
    let end = movie.body_at + movie.body.len();
    let delta = (new_movie.len() as i64).saturating_sub((end - movie.at) as i64);
    if delta != 0 && end < bytes.len() {
        let len = new_movie.len();
        shift(&mut new_movie, 8, len, end as u64, delta, 0)?;
    }
    let mut out = bytes.get(..movie.at).unwrap_or_default().to_vec();
    out.extend(new_movie);
    out.extend_from_slice(bytes.get(end..).unwrap_or_default());
    Ok(out)
}

/// Moves the chunk offsets that point behind the old movie box (`stco` and `co64`).
fn shift(movie: &mut [u8], from: usize, to: usize, behind: u64, delta: i64, depth: usize) -> Result<()> {
    let found: Vec<([u8; 4], usize, usize)> = {
        let (found, whole) = boxes(movie, from, to, MAX_BOXES);
        if !whole {
            return Err(DAMAGED);
        }
        found.iter().map(|b| (b.kind, b.body_at, b.body.len())).collect()
    };
    for (kind, at, len) in found {
        match &kind {
            b"trak" | b"mdia" | b"minf" | b"stbl" if depth < 8 => {
                shift(movie, at, at + len, behind, delta, depth + 1)?;
            }
            b"stco" | b"co64" => {
                let width = if &kind == b"stco" { 4 } else { 8 };
                let count = crate::bytes::be32(movie, at + 4).ok_or(DAMAGED)? as usize;
                let table =
                    count.checked_mul(width).and_then(|n| movie.get_mut(at + 8..(at + 8).checked_add(n)?));
                for slot in table.ok_or(DAMAGED)?.chunks_exact_mut(width) {
                    let old = slot.iter().fold(0_u64, |n, &b| (n << 8) | u64::from(b));
                    if old < behind {
                        continue;
                    }
                    let new = old.checked_add_signed(delta).ok_or(DAMAGED)?;
                    if width == 4 && u32::try_from(new).is_err() {
                        return Err(Error::Refused("the MP4 file is too large for its table of offsets"));
                    }
                    let all = new.to_be_bytes();
                    slot.copy_from_slice(all.get(8 - width..).unwrap_or_default());
                }
            }
            _ => {}
        }
    }
    Ok(())
}
