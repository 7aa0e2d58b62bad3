//! Arrow: a stream of record batches, for programs that take tables.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{ArrowError, DataType, Field, Schema};

use super::{COLUMNS, Cell, Record, Sink, Type, cells};

/// Rows of a batch, and how long the first of them waits for others.
const ROWS: usize = 64;
const WAIT: Duration = Duration::from_secs(1);

/// Writes an Arrow IPC stream with the columns of the other tables.
pub(crate) struct Arrow<W: Write> {
    schema: Arc<Schema>,
    out: StreamWriter<W>,
    rows: Vec<[Cell; COLUMNS.len()]>,
    since: Instant,
}

impl<W: Write> Arrow<W> {
    pub(crate) fn new(out: W) -> io::Result<Self> {
        let kind = |kind: Type| match kind {
            Type::Text => DataType::Utf8,
            Type::Real => DataType::Float64,
            Type::Integer => DataType::Int64,
        };
        let fields: Vec<Field> = COLUMNS.iter().map(|(name, k)| Field::new(*name, kind(*k), true)).collect();
        let schema = Arc::new(Schema::new(fields));
        let out = StreamWriter::try_new(out, &schema).map_err(failed)?;
        Ok(Self { schema, out, rows: Vec::new(), since: Instant::now() })
    }

    fn batch(&mut self) -> io::Result<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let column = |(i, (_, kind)): (usize, &(&str, Type))| -> ArrayRef {
            let cells = || self.rows.iter().map(|row| row.get(i));
            match kind {
                Type::Text => Arc::new(
                    cells()
                        .map(|c| match c {
                            Some(Cell::Text(text)) => Some(text.as_str()),
                            _ => None,
                        })
                        .collect::<StringArray>(),
                ),
                Type::Real => Arc::new(
                    cells()
                        .map(|c| match c {
                            Some(Cell::Real(x)) => Some(*x),
                            _ => None,
                        })
                        .collect::<Float64Array>(),
                ),
                Type::Integer => Arc::new(
                    cells()
                        .map(|c| match c {
                            Some(Cell::Integer(x)) => Some(*x),
                            _ => None,
                        })
                        .collect::<Int64Array>(),
                ),
            }
        };
        let columns = COLUMNS.iter().enumerate().map(column).collect();
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns).map_err(failed)?;
        self.rows.clear();
        self.out.write(&batch).map_err(failed)?;
        self.out.flush().map_err(failed)
    }
}

impl<W: Write> Sink for Arrow<W> {
    fn write(&mut self, record: &Record<'_>) -> io::Result<()> {
        if self.rows.is_empty() {
            self.since = Instant::now();
        }
        self.rows.push(cells(record.verdict, None)?);
        if self.rows.len() >= ROWS || self.since.elapsed() >= WAIT { self.batch() } else { Ok(()) }
    }

    fn finish(&mut self) -> io::Result<()> {
        self.batch()?;
        self.out.finish().map_err(failed)
    }
}

/// A closed pipe stays one.
fn failed(error: ArrowError) -> io::Error {
    match error {
        ArrowError::IoError(_, error) => error,
        other => io::Error::other(other),
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::cast::AsArray;
    use arrow_ipc::reader::StreamReader;

    use super::super::samples::{verdicts, written};
    use super::*;

    #[test]
    fn a_reader_finds_every_row() {
        let mut out = Vec::new();
        written(|out| Arrow::new(out).unwrap(), &mut out);
        let batches: Vec<RecordBatch> =
            StreamReader::try_new(out.as_slice(), None).unwrap().collect::<Result<_, _>>().unwrap();
        let [batch] = batches.as_slice() else { panic!("{} batches", batches.len()) };
        let expected = verdicts();
        assert_eq!(batch.num_rows(), expected.len());
        let text = |name: &str| batch.column_by_name(name).unwrap().as_string::<i32>();
        for (i, verdict) in expected.iter().enumerate() {
            assert_eq!(text("path").value(i), verdict.path);
            assert_eq!(text("label").value(i), verdict.label.as_str());
            let whole: candor::Verdict = serde_json::from_str(text("verdict").value(i)).unwrap();
            assert_eq!(whole, *verdict);
        }
        let llr = batch.column_by_name("llr").unwrap();
        assert_eq!(
            (llr.null_count(), llr.as_primitive::<arrow_array::types::Float64Type>().value(0)),
            (2, 4.375)
        );
    }
}
