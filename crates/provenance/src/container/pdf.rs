//! PDF (ISO 32000-2): the Info dictionary, the XMP stream of the catalogue, and associated files that hold C2PA.
//!
//! Cross-reference tables, streams and object streams are followed; a file whose table is broken is searched for objects
//! once. Encrypted strings are not read.

use std::collections::{BTreeMap, BTreeSet};

use crate::bytes::{Cursor, find, rfind, slice, utf16};
use crate::report::WarningCode;
use crate::sink::{Packing, Sink, Space, place};

/// A PDF object.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Obj {
    Null,
    Number(f64),
    Str(Vec<u8>),
    Name(String),
    Array(Vec<Obj>),
    Dict(Vec<(String, Obj)>),
    Ref(u32, u16),
    /// A dictionary and where its data begins.
    Stream(Vec<(String, Obj)>, usize),
    Other,
}

impl Obj {
    pub(crate) fn entries(&self) -> &[(String, Obj)] {
        match self {
            Self::Dict(d) | Self::Stream(d, _) => d,
            _ => &[],
        }
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Obj> {
        self.entries().iter().rev().find(|(k, _)| k == key).map(|(_, v)| v)
    }

    fn items(&self) -> &[Obj] {
        match self {
            Self::Array(items) => items,
            _ => &[],
        }
    }

    fn int(&self) -> Option<usize> {
        match self {
            Self::Number(n) if *n >= 0.0 && *n <= 1e12 => Some(*n as usize),
            _ => None,
        }
    }

    fn name(&self) -> Option<&str> {
        match self {
            Self::Name(n) => Some(n),
            _ => None,
        }
    }
}

const MAX_DEPTH: usize = 24;

/// Reads objects from a position on.
pub(crate) struct Lexer<'a> {
    pub(crate) data: &'a [u8],
    pub(crate) at: usize,
    budget: usize,
}

fn is_space(b: u8) -> bool {
    matches!(b, 0 | b'\t' | b'\n' | 0x0c | b'\r' | b' ')
}

fn is_delimiter(b: u8) -> bool {
    matches!(b, b'(' | b')' | b'<' | b'>' | b'[' | b']' | b'{' | b'}' | b'/' | b'%')
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(data: &'a [u8], at: usize) -> Self {
        Self { data, at, budget: 100_000 }
    }

    fn peek(&self) -> Option<u8> {
        self.data.get(self.at).copied()
    }

    pub(crate) fn space(&mut self) {
        while let Some(b) = self.peek() {
            if b == b'%' {
                while self.peek().is_some_and(|b| b != b'\n' && b != b'\r') {
                    self.at += 1;
                }
            } else if is_space(b) {
                self.at += 1;
            } else {
                return;
            }
        }
    }

    pub(crate) fn eat(&mut self, word: &[u8]) -> bool {
        let found = self.data.get(self.at..).is_some_and(|d| d.starts_with(word));
        if found {
            self.at += word.len();
        }
        found
    }

    fn token(&mut self) -> &'a [u8] {
        let start = self.at;
        while self.peek().is_some_and(|b| !is_space(b) && !is_delimiter(b)) {
            self.at += 1;
        }
        self.data.get(start..self.at).unwrap_or_default()
    }

    pub(crate) fn uint(&mut self) -> Option<u64> {
        self.space();
        std::str::from_utf8(self.token()).ok()?.parse().ok()
    }

    pub(crate) fn object(&mut self, depth: usize) -> Option<Obj> {
        self.budget = self.budget.checked_sub(1)?;
        if depth > MAX_DEPTH {
            return None;
        }
        self.space();
        match self.peek()? {
            b'/' => {
                self.at += 1;
                Some(Obj::Name(name(self.token())))
            }
            b'(' => self.literal(),
            b'<' if self.eat(b"<<") => {
                let mut entries = Vec::new();
                loop {
                    self.space();
                    if self.eat(b">>") {
                        return Some(Obj::Dict(entries));
                    }
                    let Obj::Name(key) = self.object(depth + 1)? else { return None };
                    entries.push((key, self.object(depth + 1)?));
                }
            }
            b'<' => self.hexadecimal(),
            b'[' => {
                self.at += 1;
                let mut items = Vec::new();
                loop {
                    self.space();
                    if self.eat(b"]") {
                        return Some(Obj::Array(items));
                    }
                    items.push(self.object(depth + 1)?);
                }
            }
            b'0'..=b'9' | b'+' | b'-' | b'.' => {
                let number: f64 = std::str::from_utf8(self.token()).ok()?.parse().ok()?;
                // `12 0 R` is a reference.
                let back = self.at;
                if number >= 0.0
                    && number.fract() == 0.0
                    && let Some(generation) = self.uint()
                {
                    self.space();
                    if self.token() == b"R" {
                        return Some(Obj::Ref(number as u32, generation as u16));
                    }
                }
                self.at = back;
                Some(Obj::Number(number))
            }
            _ => match self.token() {
                b"" => None,
                b"null" => Some(Obj::Null),
                _ => Some(Obj::Other),
            },
        }
    }

    fn literal(&mut self) -> Option<Obj> {
        self.at += 1;
        let mut out = Vec::new();
        let mut depth = 0_usize;
        loop {
            let b = self.peek()?;
            self.at += 1;
            match b {
                b'(' => {
                    depth += 1;
                    out.push(b);
                }
                b')' => {
                    let Some(less) = depth.checked_sub(1) else { return Some(Obj::Str(out)) };
                    depth = less;
                    out.push(b);
                }
                b'\\' => {
                    let c = self.peek()?;
                    self.at += 1;
                    match c {
                        b'n' => out.push(b'\n'),
                        b'r' => out.push(b'\r'),
                        b't' => out.push(b'\t'),
                        b'b' => out.push(8),
                        b'f' => out.push(12),
                        b'\r' => {
                            let _ = self.eat(b"\n");
                        }
                        b'\n' => {}
                        b'0'..=b'7' => {
                            let mut n = u32::from(c - b'0');
                            for _ in 0..2 {
                                if let Some(d @ b'0'..=b'7') = self.peek() {
                                    n = n * 8 + u32::from(d - b'0');
                                    self.at += 1;
                                }
                            }
                            out.push(n as u8);
                        }
                        other => out.push(other),
                    }
                }
                _ => out.push(b),
            }
        }
    }

    fn hexadecimal(&mut self) -> Option<Obj> {
        self.at += 1;
        let mut digits = Vec::new();
        loop {
            let b = self.peek()?;
            self.at += 1;
            match b {
                b'>' => break,
                b if is_space(b) => {}
                b => digits.push(char::from(b).to_digit(16)? as u8),
            }
        }
        let byte = |p: &[u8]| (p.first().copied().unwrap_or(0) << 4) | p.get(1).copied().unwrap_or(0);
        Some(Obj::Str(digits.chunks(2).map(byte).collect()))
    }

    /// `n g obj` and the object, with the start of its data if it is a stream.
    pub(crate) fn indirect(&mut self) -> Option<(u32, u16, Obj)> {
        let number = u32::try_from(self.uint()?).ok()?;
        let generation = self.uint()? as u16;
        self.space();
        if !self.eat(b"obj") {
            return None;
        }
        let object = self.object(0)?;
        self.space();
        if let Obj::Dict(entries) = object {
            if self.eat(b"stream") {
                let _ = self.eat(b"\r");
                let _ = self.eat(b"\n");
                return Some((number, generation, Obj::Stream(entries, self.at)));
            }
            return Some((number, generation, Obj::Dict(entries)));
        }
        Some((number, generation, object))
    }
}

fn name(token: &[u8]) -> String {
    let mut out = Vec::with_capacity(token.len());
    let mut rest = token;
    while let Some((&b, after)) = rest.split_first() {
        if let ([hi, lo, after @ ..], b'#') = (after, b)
            && let (Some(hi), Some(lo)) = (char::from(*hi).to_digit(16), char::from(*lo).to_digit(16))
        {
            out.push((hi * 16 + lo) as u8);
            rest = after;
        } else {
            out.push(b);
            rest = after;
        }
    }
    crate::bytes::latin1_or_utf8(&out)
}

/// A text string: UTF-16 or UTF-8 with a mark, else `PDFDocEncoding`, of which only the part shared with ISO 8859-1.
pub(crate) fn text_string(bytes: &[u8]) -> String {
    match bytes {
        [0xfe, 0xff, rest @ ..] => utf16(rest, true),
        [0xff, 0xfe, rest @ ..] => utf16(rest, false),
        [0xef, 0xbb, 0xbf, rest @ ..] => String::from_utf8_lossy(rest).into_owned(),
        _ => crate::bytes::latin1_or_utf8(bytes),
    }
}

#[derive(Debug, Clone, Copy)]
enum Entry {
    At(usize),
    In(u32, usize),
}

/// The data of an object stream, with the numbers and the offsets of its objects.
type ObjectStream = (Vec<u8>, Vec<(u32, usize)>);

/// An open document.
pub(crate) struct Doc<'a> {
    pub(crate) data: &'a [u8],
    entries: BTreeMap<u32, Entry>,
    /// The newest trailer.
    pub(crate) trailer: Vec<(String, Obj)>,
    /// Offset of the newest cross-reference section, if it was found where it should be.
    pub(crate) last_xref: Option<usize>,
    /// The newest section is a stream.
    pub(crate) xref_is_stream: bool,
    streams: BTreeMap<u32, Option<ObjectStream>>,
    /// Objects that may still be read.
    reads: usize,
    /// Streams without a length whose end may still be searched for.
    searches: usize,
}

impl<'a> Doc<'a> {
    pub(crate) fn open(data: &'a [u8], sink: &mut Sink<'_>) -> Self {
        let mut doc = Doc {
            data,
            entries: BTreeMap::new(),
            trailer: Vec::new(),
            last_xref: None,
            xref_is_stream: false,
            streams: BTreeMap::new(),
            reads: 4096,
            searches: 8,
        };
        let tail_at = data.len().saturating_sub(2048);
        let tail = data.get(tail_at..).unwrap_or_default();
        let start = rfind(tail, b"startxref")
            .and_then(|at| Lexer::new(data, tail_at + at + 9).uint())
            .and_then(|n| usize::try_from(n).ok());
        let mut todo: Vec<usize> = start.into_iter().collect();
        let mut seen = BTreeSet::new();
        let mut broken = start.is_none();
        while let Some(at) = todo.pop() {
            if !seen.insert(at) || seen.len() > 1024 {
                continue;
            }
            if doc.section(at, &mut todo, sink).is_none() {
                broken = true;
            } else if Some(at) == start {
                doc.last_xref = start;
            }
        }
        if doc.get("Root").is_none() || (broken && doc.get("Info").is_none()) {
            doc.search(sink);
        }
        doc
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Obj> {
        self.trailer.iter().find(|(k, _)| k == key).map(|(_, v)| v)
    }

    fn merge(&mut self, trailer: &[(String, Obj)]) {
        for (key, value) in trailer {
            let known = matches!(key.as_str(), "Root" | "Info" | "Size" | "ID" | "Encrypt");
            if known && self.get(key).is_none() {
                self.trailer.push((key.clone(), value.clone()));
            }
        }
    }

    fn section(&mut self, at: usize, todo: &mut Vec<usize>, sink: &mut Sink<'_>) -> Option<()> {
        let mut lexer = Lexer::new(self.data, at);
        lexer.space();
        let first = self.trailer.is_empty();
        if lexer.eat(b"xref") {
            loop {
                lexer.space();
                if lexer.eat(b"trailer") {
                    break;
                }
                let from = u32::try_from(lexer.uint()?).ok()?;
                let count = lexer.uint()?;
                for i in 0..count {
                    let offset = lexer.uint()?;
                    lexer.uint()?;
                    lexer.space();
                    let used = lexer.token() == b"n";
                    if self.entries.len() > 4_000_000 {
                        return None;
                    }
                    let number = from.checked_add(u32::try_from(i).ok()?)?;
                    if used {
                        self.entries.entry(number).or_insert(Entry::At(usize::try_from(offset).ok()?));
                    }
                }
            }
            let trailer = lexer.object(0)?;
            self.merge(trailer.entries());
            todo.extend(trailer.get("Prev").and_then(Obj::int));
            todo.extend(trailer.get("XRefStm").and_then(Obj::int));
        } else {
            let (_, _, object) = lexer.indirect()?;
            if object.get("Type").and_then(Obj::name) != Some("XRef") {
                return None;
            }
            let table = self.stream(&object, sink)?;
            let widths: Vec<usize> = object.get("W")?.items().iter().filter_map(Obj::int).collect();
            let &[a, b, c] = widths.as_slice() else { return None };
            if a > 8 || b > 8 || c > 8 || a + b + c == 0 {
                return None;
            }
            let size = object.get("Size").and_then(Obj::int)?;
            let index: Vec<usize> = match object.get("Index") {
                Some(index) => index.items().iter().filter_map(Obj::int).collect(),
                None => vec![0, size],
            };
            let mut rows = table.chunks_exact(a + b + c);
            'index: for pair in index.chunks_exact(2) {
                let &[from, count] = pair else { continue };
                for i in 0..count {
                    let Some(row) = rows.next() else { break 'index };
                    let mut cursor = Cursor::new(row);
                    let mut field = |n: usize| {
                        cursor
                            .take(n)?
                            .iter()
                            .try_fold(0_u64, |v, &b| Some(v.checked_mul(256)?.saturating_add(u64::from(b))))
                    };
                    let kind = if a == 0 { 1 } else { field(a).unwrap_or(0) };
                    let (second, third) = (field(b).unwrap_or(0), field(c).unwrap_or(0));
                    let Ok(number) = u32::try_from(from.saturating_add(i)) else { break 'index };
                    let entry = match kind {
                        1 => Entry::At(usize::try_from(second).unwrap_or(usize::MAX)),
                        2 => Entry::In(second as u32, third as usize),
                        _ => continue,
                    };
                    self.entries.entry(number).or_insert(entry);
                }
            }
            self.merge(object.entries());
            todo.extend(object.get("Prev").and_then(Obj::int));
            if first {
                self.xref_is_stream = true;
            }
        }
        Some(())
    }

    /// Finds `n g obj` and `trailer` by reading through the file once.
    fn search(&mut self, sink: &mut Sink<'_>) {
        sink.damaged("cross-reference table");
        let mut at = 0;
        while let Some(found) = self.data.get(at..).and_then(|d| find(d, b"obj")) {
            let word = at + found;
            at = word + 3;
            // Step back over the generation and the number.
            let mut start = word;
            for digits in [false, true, false, true] {
                while let Some(b) = start.checked_sub(1).and_then(|i| self.data.get(i)) {
                    if digits && b.is_ascii_digit() || !digits && is_space(*b) {
                        start -= 1;
                    } else {
                        break;
                    }
                }
            }
            if !sink.item() {
                return;
            }
            let number = Lexer::new(self.data, start).uint().and_then(|n| u32::try_from(n).ok());
            if let Some(number) = number.filter(|_| start < word) {
                self.entries.insert(number, Entry::At(start));
            }
        }
        at = 0;
        while let Some(found) = self.data.get(at..).and_then(|d| find(d, b"trailer")) {
            at += found + 7;
            if !sink.item() {
                return;
            }
            if let Some(trailer) = Lexer::new(self.data, at).object(0) {
                let old = std::mem::take(&mut self.trailer);
                self.merge(trailer.entries());
                self.merge(&old);
            }
        }
    }

    /// The object behind a reference; other objects are themselves.
    pub(crate) fn resolve(&mut self, object: &Obj, sink: &mut Sink<'_>) -> Option<Obj> {
        let mut object = object.clone();
        for _ in 0..8 {
            let Obj::Ref(number, _) = object else { return Some(object) };
            object = self.load(number, sink)?;
        }
        None
    }

    fn load(&mut self, number: u32, sink: &mut Sink<'_>) -> Option<Obj> {
        self.reads = self.reads.checked_sub(1)?;
        // Many references may name one large object.
        if !sink.spend(0) {
            return None;
        }
        match *self.entries.get(&number)? {
            Entry::At(at) => {
                let mut lexer = Lexer::new(self.data, at);
                let (found, _, object) = lexer.indirect()?;
                (found == number && sink.spend(lexer.at.saturating_sub(at))).then_some(object)
            }
            Entry::In(stream, index) => {
                if !self.streams.contains_key(&stream) {
                    // A stream whose length is kept inside itself must not be asked for again.
                    self.streams.insert(stream, None);
                    let loaded = self.object_stream(stream, sink);
                    self.streams.insert(stream, loaded);
                }
                let (data, offsets) = self.streams.get(&stream)?.as_ref()?;
                let by_index = offsets.get(index).filter(|(n, _)| *n == number);
                let (_, at) = by_index.or_else(|| offsets.iter().find(|(n, _)| *n == number))?;
                let mut lexer = Lexer::new(data, *at);
                let object = lexer.object(0)?;
                sink.spend(lexer.at.saturating_sub(*at)).then_some(object)
            }
        }
    }

    fn object_stream(&mut self, number: u32, sink: &mut Sink<'_>) -> Option<ObjectStream> {
        let Entry::At(at) = *self.entries.get(&number)? else { return None };
        let (_, _, object) = Lexer::new(self.data, at).indirect()?;
        let data = self.stream(&object, sink)?;
        let first = object.get("First").and_then(Obj::int)?;
        let count = object.get("N").and_then(Obj::int)?;
        let mut offsets = Vec::new();
        let mut lexer = Lexer::new(&data, 0);
        for _ in 0..count {
            let (Some(n), Some(at)) = (lexer.uint(), lexer.uint()) else { break };
            offsets.push((n as u32, first.saturating_add(usize::try_from(at).ok()?)));
        }
        Some((data, offsets))
    }

    /// The data of a stream, decompressed. Only Flate is known, with PNG predictors.
    pub(crate) fn stream(&mut self, object: &Obj, sink: &mut Sink<'_>) -> Option<Vec<u8>> {
        let Obj::Stream(_, start) = object else { return None };
        let len = match object.get("Length") {
            // A reference is followed once the table is known; until then the end is searched for.
            Some(length @ Obj::Ref(..)) => self.resolve(length, sink).and_then(|l| l.int()),
            Some(length) => length.int(),
            None => None,
        };
        let data = self.data;
        let raw = if let Some(raw) = len.and_then(|n| slice(data, *start, n)) {
            raw
        } else {
            self.searches = self.searches.checked_sub(1)?;
            let rest = data.get(*start..)?;
            rest.get(..find(rest, b"endstream")?)?
        };
        let filter = object.get("Filter").cloned().unwrap_or(Obj::Null);
        let filters: Vec<&str> = match &filter {
            Obj::Name(n) => vec![n.as_str()],
            Obj::Array(items) => items.iter().filter_map(Obj::name).collect(),
            _ => Vec::new(),
        };
        let plain = match filters.as_slice() {
            [] => {
                if raw.len() > sink.limits.max_value || !sink.spend(raw.len()) {
                    return None;
                }
                raw.to_vec()
            }
            ["FlateDecode" | "Fl"] => sink.inflate(raw, Packing::Zlib)?,
            _ => {
                sink.warn(WarningCode::NotRead, "a PDF stream is compressed in a way that is not read");
                return None;
            }
        };
        let parameters = match object.get("DecodeParms") {
            Some(Obj::Array(items)) => items.first().cloned(),
            other => other.cloned(),
        };
        let parameter = |key: &str| parameters.as_ref().and_then(|p| p.get(key)).and_then(Obj::int);
        match parameter("Predictor").unwrap_or(1) {
            1 => Some(plain),
            10.. => unpredict(&plain, parameter("Columns").unwrap_or(1)),
            _ => None,
        }
    }
}

/// Undoes PNG prediction with one byte for each column.
fn unpredict(data: &[u8], columns: usize) -> Option<Vec<u8>> {
    if columns == 0 || columns > 1 << 16 {
        return None;
    }
    let mut out = Vec::with_capacity(data.len());
    let mut above = vec![0_u8; columns];
    for row in data.chunks(columns + 1) {
        let (&kind, row) = row.split_first()?;
        let mut now = Vec::with_capacity(columns);
        let (mut left, mut corner) = (0_u8, 0_u8);
        for (&x, &up) in row.iter().zip(&above) {
            let predicted = match kind {
                1 => left,
                2 => up,
                3 => left.midpoint(up),
                4 => {
                    let (a, b, c) = (i16::from(left), i16::from(up), i16::from(corner));
                    let p = a + b - c;
                    let (da, db, dc) = ((p - a).abs(), (p - b).abs(), (p - c).abs());
                    if da <= db && da <= dc {
                        left
                    } else if db <= dc {
                        up
                    } else {
                        corner
                    }
                }
                _ => 0,
            };
            let value = x.wrapping_add(predicted);
            now.push(value);
            (left, corner) = (value, up);
        }
        now.resize(columns, 0);
        out.extend_from_slice(&now);
        above = now;
    }
    Some(out)
}

pub(crate) fn read(data: &[u8], sink: &mut Sink<'_>) {
    let mut doc = Doc::open(data, sink);
    let encrypted = doc.get("Encrypt").is_some_and(|e| *e != Obj::Null);
    if encrypted {
        sink.warn(WarningCode::NotRead, "the PDF is encrypted; its strings are not read");
    }
    if let Some(info) = doc.get("Info").cloned()
        && let Some(info) = doc.resolve(&info, sink)
        && !encrypted
    {
        for (key, value) in info.entries() {
            if let Some(Obj::Str(bytes)) = doc.resolve(value, sink) {
                let location = place(format!("PDF Info /{}", key.escape_debug()), 0);
                sink.text(
                    Space::Pdf,
                    key.clone(),
                    text_string(&bytes),
                    crate::report::Location { offset: None, ..location },
                );
            }
        }
    }
    let Some(root) = doc.get("Root").cloned() else { return };
    let Some(root) = doc.resolve(&root, sink) else { return };
    if let Some(metadata) = root.get("Metadata").and_then(|m| doc.resolve(m, sink))
        && let Obj::Stream(_, at) = metadata
        && let Some(packet) = doc.stream(&metadata, sink)
    {
        sink.xmp(&packet, place("PDF Metadata stream", at));
    }
    let mut files: Vec<Obj> = Vec::new();
    if let Some(list) = root.get("AF").and_then(|a| doc.resolve(a, sink)) {
        files.extend(list.items().iter().take(64).cloned());
    }
    let names = root.get("Names").and_then(|n| doc.resolve(n, sink));
    let embedded = names.as_ref().and_then(|n| n.get("EmbeddedFiles")).and_then(|n| doc.resolve(n, sink));
    if let Some(list) = embedded.as_ref().and_then(|e| e.get("Names")).and_then(|n| doc.resolve(n, sink)) {
        files.extend(list.items().iter().take(128).cloned());
    }
    for file in files {
        let Some(spec) = doc.resolve(&file, sink) else { continue };
        if spec.get("AFRelationship").and_then(Obj::name) != Some("C2PA_Manifest") {
            continue;
        }
        let stream = spec.get("EF").and_then(|e| doc.resolve(e, sink)).and_then(|e| e.get("F").cloned());
        if let Some(stream) = stream.and_then(|f| doc.resolve(&f, sink))
            && let Obj::Stream(_, at) = stream
            && let Some(store) = doc.stream(&stream, sink)
        {
            sink.store(&store, place("PDF associated file (C2PA)", at));
            return;
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::report::Limits;

    /// A PDF with the given objects (numbered from 1) and trailer entries.
    pub(crate) fn pdf(objects: &[&str], trailer: &str) -> Vec<u8> {
        let mut out = b"%PDF-1.7\n".to_vec();
        let mut offsets = Vec::new();
        for (i, object) in objects.iter().enumerate() {
            offsets.push(out.len());
            out.extend(format!("{} 0 obj\n{object}\nendobj\n", i + 1).bytes());
        }
        let start = out.len();
        out.extend(format!("xref\n0 {}\n0000000000 65535 f \n", objects.len() + 1).bytes());
        for at in offsets {
            out.extend(format!("{at:010} 00000 n \n").bytes());
        }
        let size = objects.len() + 1;
        out.extend(format!("trailer\n<< /Size {size} {trailer} >>\nstartxref\n{start}\n%%EOF\n").bytes());
        out
    }

    fn texts(file: &[u8]) -> Vec<(String, String)> {
        let limits = Limits::default();
        let mut sink = Sink::new(&limits);
        read(file, &mut sink);
        sink.texts.into_iter().map(|t| (t.key, t.value)).collect()
    }

    #[test]
    fn info_by_the_table_and_without_it() {
        let mut file = pdf(
            &["<< /Type /Catalog >>", "<< /AIGC (a\\(b\\)\\101) /Title <FEFF0041> /Other 3 0 R >>", "(c)"],
            "/Root 1 0 R /Info 2 0 R",
        );
        let expected = [("AIGC", "a(b)A"), ("Title", "A"), ("Other", "c")];
        let expected: Vec<_> = expected.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        assert_eq!(texts(&file), expected);
        let at = crate::bytes::rfind(&file, b"startxref").unwrap();
        file[at + 10] = b'x';
        assert_eq!(texts(&file), expected);
    }

    #[test]
    fn info_in_an_object_stream() {
        let stream = "2 0 << /AIGC (x) /Title (A) >>";
        let mut file = b"%PDF-1.7\n".to_vec();
        let catalogue = file.len();
        file.extend(b"1 0 obj\n<< /Type /Catalog >>\nendobj\n");
        let objects = file.len();
        file.extend(
            format!(
                "3 0 obj\n<< /Type /ObjStm /N 1 /First 4 /Length {} >>\nstream\n{stream}\nendstream\nendobj\n",
                stream.len()
            )
            .bytes(),
        );
        let xref = file.len();
        file.extend(
            b"4 0 obj\n<< /Type /XRef /Size 5 /W [1 2 1] /Root 1 0 R /Info 2 0 R /Length 20 >>\nstream\n",
        );
        for (kind, at, third) in [(0, 0, 0), (1, catalogue, 0), (2, 3, 0), (1, objects, 0), (1, xref, 0)] {
            file.extend([kind, (at >> 8) as u8, at as u8, third]);
        }
        file.extend(format!("\nendstream\nendobj\nstartxref\n{xref}\n%%EOF\n").bytes());
        let expected = [("AIGC".to_owned(), "x".to_owned()), ("Title".to_owned(), "A".to_owned())];
        assert_eq!(texts(&file), expected);
        let label = crate::write::Label::generated("Maker", "1");
        let done = crate::write::label(&file, &label, crate::write::Options::default()).unwrap();
        assert!(texts(&done.bytes).contains(&("Title".to_owned(), "A".to_owned())));
    }

    #[test]
    fn rows_are_unpredicted() {
        assert_eq!(unpredict(&[2, 1, 2, 2, 1, 1, 1, 5, 1], 2), Some(vec![1, 2, 2, 3, 5, 6]));
    }

    proptest! {
        #[test]
        fn any_bytes_end(text in "(obj|endobj|<<|>>|/Info|/Root| [0-9] 0 R|xref|trailer|startxref|stream|\\(|\\)|[0-9 \\n\\[\\]<>/]){0,60}") {
            let _ = texts(format!("%PDF-1.4\n{text}").as_bytes());
        }
    }
}
