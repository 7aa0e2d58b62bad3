//! JSON, as one array or one object a line.

use std::io::{self, Write};

use super::{Record, Sink};

/// Writes JSON.
pub(crate) struct Json<W> {
    out: W,
    array: bool,
    count: u64,
}

impl<W: Write> Json<W> {
    /// One array with an object on each line.
    pub(crate) fn array(out: W) -> Self {
        Self { out, array: true, count: 0 }
    }

    /// JSON Lines.
    pub(crate) fn lines(out: W) -> Self {
        Self { out, array: false, count: 0 }
    }
}

impl<W: Write> Sink for Json<W> {
    fn write(&mut self, record: &Record<'_>) -> io::Result<()> {
        if self.array {
            self.out.write_all(if self.count == 0 { b"[\n" } else { b",\n" })?;
        }
        self.count += 1;
        serde_json::to_writer(&mut self.out, record.verdict)?;
        if !self.array {
            self.out.write_all(b"\n")?;
        }
        self.out.flush()
    }

    fn finish(&mut self) -> io::Result<()> {
        if self.array {
            self.out.write_all(if self.count == 0 { b"[]\n" } else { b"\n]\n" })?;
        }
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{verdicts, written};
    use super::*;

    #[test]
    fn an_array_and_lines_hold_the_same_verdicts() {
        let (mut array, mut lines) = (Vec::new(), Vec::new());
        written(Json::array, &mut array);
        written(Json::lines, &mut lines);
        let array: Vec<candor::Verdict> = serde_json::from_slice(&array).unwrap();
        let lines: Vec<candor::Verdict> = lines
            .split(|&b| b == b'\n')
            .filter(|l| !l.is_empty())
            .map(|l| serde_json::from_slice(l).unwrap())
            .collect();
        assert_eq!(array, verdicts());
        assert_eq!(lines, verdicts());
    }

    #[test]
    fn nothing_is_an_empty_array() {
        let (mut array, mut lines) = (Vec::new(), Vec::new());
        Json::array(&mut array).finish().unwrap();
        Json::lines(&mut lines).finish().unwrap();
        assert_eq!((array.as_slice(), lines.as_slice()), (&b"[]\n"[..], &b""[..]));
    }
}
