//! A small CBOR reader (RFC 8949) for the claims and assertions of C2PA. Depth and size are bounded.

use crate::bytes::Cursor;

/// A CBOR value; tags are dropped.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Int(i128),
    Bytes(Vec<u8>),
    Text(String),
    Array(Vec<Value>),
    Map(Vec<(Value, Value)>),
    Bool(bool),
    Float(f64),
    Null,
}

const MAX_DEPTH: usize = 48;
const MAX_NODES: usize = 1 << 17;

impl Value {
    pub(crate) fn get(&self, key: &str) -> Option<&Value> {
        self.entries().iter().find(|(k, _)| k.text() == Some(key)).map(|(_, v)| v)
    }

    /// The value under an integer key, as COSE headers have them.
    pub(crate) fn get_int(&self, key: i128) -> Option<&Value> {
        self.entries().iter().find(|(k, _)| *k == Value::Int(key)).map(|(_, v)| v)
    }

    pub(crate) fn entries(&self) -> &[(Value, Value)] {
        match self {
            Self::Map(entries) => entries,
            _ => &[],
        }
    }

    pub(crate) fn items(&self) -> &[Value] {
        match self {
            Self::Array(items) => items,
            _ => &[],
        }
    }

    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(s) => Some(s),
            _ => None,
        }
    }

    pub(crate) fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Bytes(b) => Some(b),
            _ => None,
        }
    }

    pub(crate) fn uint(&self) -> Option<u64> {
        match self {
            Self::Int(n) => u64::try_from(*n).ok(),
            _ => None,
        }
    }
}

/// Reads the first CBOR item of `data`.
pub(crate) fn parse(data: &[u8]) -> Option<Value> {
    let mut nodes = 0;
    value(&mut Cursor::new(data), 0, &mut nodes)
}

fn length(c: &mut Cursor<'_>, info: u8) -> Option<u64> {
    Some(match info {
        0..=23 => u64::from(info),
        24 => u64::from(c.u8()?),
        25 => u64::from(c.be16()?),
        26 => u64::from(c.be32()?),
        27 => c.be64()?,
        _ => return None,
    })
}

fn is_break(c: &mut Cursor<'_>) -> bool {
    let mut ahead = *c;
    let stop = ahead.u8() == Some(0xff);
    if stop {
        *c = ahead;
    }
    stop
}

fn value(c: &mut Cursor<'_>, depth: usize, nodes: &mut usize) -> Option<Value> {
    *nodes += 1;
    if depth > MAX_DEPTH || *nodes > MAX_NODES {
        return None;
    }
    let head = c.u8()?;
    let (major, info) = (head >> 5, head & 31);
    if info == 31 {
        return match major {
            2 | 3 => {
                let mut whole = Vec::new();
                while !is_break(c) {
                    *nodes += 1;
                    let head = c.u8()?;
                    if head >> 5 != major || *nodes > MAX_NODES {
                        return None;
                    }
                    let n = usize::try_from(length(c, head & 31)?).ok()?;
                    whole.extend_from_slice(c.take(n)?);
                }
                Some(if major == 2 {
                    Value::Bytes(whole)
                } else {
                    Value::Text(String::from_utf8(whole).ok()?)
                })
            }
            4 => {
                let mut items = Vec::new();
                while !is_break(c) {
                    items.push(value(c, depth + 1, nodes)?);
                }
                Some(Value::Array(items))
            }
            5 => {
                let mut entries = Vec::new();
                while !is_break(c) {
                    entries.push((value(c, depth + 1, nodes)?, value(c, depth + 1, nodes)?));
                }
                Some(Value::Map(entries))
            }
            _ => None,
        };
    }
    if major == 7 {
        return Some(match info {
            20 => Value::Bool(false),
            21 => Value::Bool(true),
            25 => {
                c.skip(2)?;
                Value::Null
            }
            26 => Value::Float(f64::from(f32::from_bits(c.be32()?))),
            27 => Value::Float(f64::from_bits(c.be64()?)),
            24 => {
                c.skip(1)?;
                Value::Null
            }
            28..=31 => return None,
            _ => Value::Null,
        });
    }
    let n = length(c, info)?;
    let size = usize::try_from(n).ok()?;
    Some(match major {
        0 => Value::Int(i128::from(n)),
        1 => Value::Int(-1 - i128::from(n)),
        2 => Value::Bytes(c.take(size)?.to_vec()),
        3 => Value::Text(String::from_utf8(c.take(size)?.to_vec()).ok()?),
        // The vectors grow as items are read, so a claimed length allocates nothing.
        4 => {
            let mut items = Vec::new();
            for _ in 0..size {
                items.push(value(c, depth + 1, nodes)?);
            }
            Value::Array(items)
        }
        5 => {
            let mut entries = Vec::new();
            for _ in 0..size {
                entries.push((value(c, depth + 1, nodes)?, value(c, depth + 1, nodes)?));
            }
            Value::Map(entries)
        }
        _ => value(c, depth + 1, nodes)?,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    // Examples of RFC 8949, appendix A.
    #[test]
    fn reads_the_examples_of_the_standard() {
        assert_eq!(parse(&[0x1a, 0, 0x0f, 0x42, 0x40]), Some(Value::Int(1_000_000)));
        assert_eq!(parse(&[0x38, 0x63]), Some(Value::Int(-100)));
        let map = parse(b"\xa2\x61a\x01\x61b\x82\x02\x03").unwrap();
        assert_eq!(map.get("a"), Some(&Value::Int(1)));
        assert_eq!(map.get("b").unwrap().items().len(), 2);
        assert_eq!(parse(b"\x7f\x65strea\x64ming\xff"), Some(Value::Text("streaming".into())));
        assert_eq!(parse(b"\xbf\x63Fun\xf5\xff").unwrap().get("Fun"), Some(&Value::Bool(true)));
        assert_eq!(parse(&[0xc1, 0x1a, 0x51, 0x4b, 0x67, 0xb0]), Some(Value::Int(1_363_896_240)));
    }

    #[test]
    fn claimed_sizes_and_depth_are_bounded() {
        assert_eq!(parse(&[0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), None);
        assert_eq!(parse(&vec![0x81; 100_000]), None);
        assert_eq!(parse(&[0x5b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&bytes);
        }
    }
}
