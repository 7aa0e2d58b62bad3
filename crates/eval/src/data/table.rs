//! Rows of tables: CSV with a header, JSON Lines, JSON Lines under Zstandard and, as a
//! feature, Parquet.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
};

use serde_json::{Map, Value};

use crate::{Error, Result};

/// One row. Cells of a CSV file are strings, empty ones null.
pub(super) struct Row {
    /// The line that it begins on, from 1.
    pub(super) line: u64,
    pub(super) cells: Map<String, Value>,
}

impl Row {
    /// A cell as text: strings, numbers and truth values; `None` for an absent, null or empty one.
    pub(super) fn text(&self, column: &str) -> Option<String> {
        text(self.cells.get(column)?)
    }
}

/// A value as text, `None` when it is null, empty or not a scalar.
pub(super) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(s) if !s.is_empty() => Some(s.clone()),
        Value::Number(n) => Some(n.to_string()),
        Value::Bool(b) => Some(b.to_string()),
        _ => None,
    }
}

/// Rows of a table.
pub(super) type Rows = Box<dyn Iterator<Item = Result<Row>> + Send>;

/// Forms of tables, told by the end of the name.
#[derive(Clone, Copy)]
enum Form {
    Csv,
    JsonLines,
    JsonLinesZstd,
    #[cfg(feature = "parquet")]
    Parquet,
}

fn form(path: &Path) -> Option<Form> {
    let name = path.file_name()?.to_string_lossy().to_lowercase();
    let forms = [
        (".csv", Form::Csv),
        (".jsonl", Form::JsonLines),
        (".jsonl.zst", Form::JsonLinesZstd),
        #[cfg(feature = "parquet")]
        (".parquet", Form::Parquet),
    ];
    forms.into_iter().find(|(end, _)| name.ends_with(end)).map(|f| f.1)
}

/// Whether the name of a file is that of a table.
pub(super) fn is_table(path: &Path) -> bool {
    form(path).is_some()
}

/// Opens a table; one without a known ending is read as CSV.
pub(super) fn rows(path: &Path) -> Result<Rows> {
    let file = File::open(path).map_err(|e| Error::io(path, e))?;
    match form(path) {
        Some(Form::JsonLines) => Ok(Box::new(JsonLines::new(path, BufReader::new(file)))),
        Some(Form::JsonLinesZstd) => {
            let decoder = ruzstd::decoding::StreamingDecoder::new(file)
                .map_err(|e| Error::file(path, format!("not a Zstandard file: {e}")))?;
            Ok(Box::new(JsonLines::new(path, BufReader::new(decoder))))
        }
        #[cfg(feature = "parquet")]
        Some(Form::Parquet) => parquet_rows(path, file),
        Some(Form::Csv) | None => csv_rows(path, file),
    }
}

/// Rows of a Parquet file, one row group at a time; `line` counts them.
#[cfg(feature = "parquet")]
fn parquet_rows(path: &Path, file: File) -> Result<Rows> {
    use parquet::file::reader::{FileReader, SerializedFileReader};

    let wrong = |e: parquet::errors::ParquetError| Error::file(path, format!("not a Parquet file: {e}"));
    let reader = SerializedFileReader::new(file).map_err(wrong)?;
    let path = path.to_owned();
    let (groups, mut before) = (reader.num_row_groups(), 0);
    Ok(Box::new((0..groups).flat_map(move |group| {
        let first = before + 1;
        // The library's iterators stay on their thread, so a group is read at once.
        let rows = reader
            .get_row_group(group)
            .and_then(|g| g.get_row_iter(None)?.collect::<std::result::Result<Vec<_>, _>>());
        let rows: Vec<Result<Row>> = match rows {
            Ok(rows) => (first..).zip(rows).map(|(line, row)| json_row(&path, line, &row)).collect(),
            Err(e) => vec![Err(Error::row(&path, first, e.to_string()))],
        };
        before += rows.len() as u64;
        rows
    })))
}

#[cfg(feature = "parquet")]
fn json_row(path: &Path, line: u64, row: &parquet::record::Row) -> Result<Row> {
    match row.to_json_value() {
        Value::Object(cells) => Ok(Row { line, cells }),
        _ => Err(Error::row(path, line, "not a row with named columns")),
    }
}

/// Rows of a CSV file with a header.
pub(super) fn csv_rows(path: &Path, read: impl std::io::Read + Send + 'static) -> Result<Rows> {
    let mut reader = csv::Reader::from_reader(read);
    let header = reader.headers().map_err(|e| csv_error(path, &e))?;
    let header: Vec<String> =
        header.iter().map(|h| h.trim_start_matches('\u{feff}').trim().to_owned()).collect();
    let path = path.to_owned();
    Ok(Box::new(reader.into_records().map(move |record| {
        let record = record.map_err(|e| csv_error(&path, &e))?;
        let value = |s: &str| if s.is_empty() { Value::Null } else { Value::String(s.to_owned()) };
        let cells = header.iter().cloned().zip(record.iter().map(value)).collect();
        Ok(Row { line: record.position().map_or(0, csv::Position::line), cells })
    })))
}

fn csv_error(path: &Path, error: &csv::Error) -> Error {
    match error.position() {
        Some(position) => Error::row(path, position.line(), error.to_string()),
        None => Error::file(path, error.to_string()),
    }
}

/// Objects of a JSON Lines file. Ends at an error of the file, goes on after one of a line.
struct JsonLines<R> {
    path: PathBuf,
    reader: R,
    line: u64,
    ended: bool,
}

impl<R: BufRead> JsonLines<R> {
    fn new(path: &Path, reader: R) -> Self {
        Self { path: path.to_owned(), reader, line: 0, ended: false }
    }
}

impl<R: BufRead> Iterator for JsonLines<R> {
    type Item = Result<Row>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut bytes = Vec::new();
        while !self.ended {
            bytes.clear();
            self.line += 1;
            match self.reader.read_until(b'\n', &mut bytes) {
                Ok(0) => self.ended = true,
                Err(e) => {
                    self.ended = true;
                    return Some(Err(Error::io(&self.path, e)));
                }
                Ok(_) if bytes.trim_ascii().is_empty() => {}
                Ok(_) => {
                    let cells = serde_json::from_slice(&bytes)
                        .map_err(|e| Error::row(&self.path, self.line, format!("not a JSON object: {e}")));
                    return Some(cells.map(|cells| Row { line: self.line, cells }));
                }
            }
        }
        None
    }
}
