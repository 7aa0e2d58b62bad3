//! From the lines of a finished batch to CSV, Parquet and SQLite.

use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use super::store::{Line, replace};
use crate::args::BatchFormat;
use crate::output::{COLUMNS, Cell, Csv, Record, Sink, Type, cells};

/// Rows of a Parquet row group, and of a transaction.
const GROUP: usize = 10_000;

fn row(line: &Line) -> anyhow::Result<[Cell; COLUMNS.len()]> {
    let action = line.action.map(serde_json::to_value).transpose()?;
    let action = action.and_then(|a| a.as_str().map(str::to_owned));
    Ok(cells(&line.verdict, action)?)
}

/// Writes the newest result of every path to `output`, in one step.
pub(super) fn convert(
    lines: impl Iterator<Item = anyhow::Result<Line>>,
    format: BatchFormat,
    output: &Path,
) -> anyhow::Result<()> {
    match format {
        BatchFormat::Jsonl => replace(output, |file| {
            let mut out = BufWriter::new(file);
            for line in lines {
                serde_json::to_writer(&mut out, &line?)?;
                out.write_all(b"\n")?;
            }
            Ok(out.flush()?)
        }),
        BatchFormat::Csv => replace(output, |file| {
            let mut sink = Csv::new(BufWriter::new(file));
            for line in lines {
                sink.write(&Record { verdict: &line?.verdict, artifact: None })?;
            }
            Ok(sink.finish()?)
        }),
        BatchFormat::Parquet => replace(output, |file| parquet(lines, file)),
        BatchFormat::Sqlite => sqlite(lines, output),
    }
}

fn parquet(
    mut lines: impl Iterator<Item = anyhow::Result<Line>>,
    file: &mut std::fs::File,
) -> anyhow::Result<()> {
    let fields: String = COLUMNS
        .iter()
        .map(|(name, kind)| match kind {
            Type::Text => format!("optional binary {name} (UTF8); "),
            Type::Real => format!("optional double {name}; "),
            Type::Integer => format!("optional int64 {name}; "),
        })
        .collect();
    let schema = Arc::new(parse_message_type(&format!("message verdict {{ {fields} }}"))?);
    let properties = Arc::new(WriterProperties::builder().set_compression(Compression::SNAPPY).build());
    let mut writer = SerializedFileWriter::new(file, schema, properties)?;
    loop {
        let rows: Vec<[Cell; COLUMNS.len()]> =
            lines.by_ref().take(GROUP).map(|line| row(&line?)).collect::<anyhow::Result<_>>()?;
        if rows.is_empty() {
            break;
        }
        let mut group = writer.next_row_group()?;
        let mut index = 0;
        while let Some(mut column) = group.next_column()? {
            let all = || rows.iter().filter_map(|row| row.get(index));
            let defined: Vec<i16> = all().map(|c| i16::from(!matches!(c, Cell::Null))).collect();
            match COLUMNS.get(index).map(|c| c.1) {
                Some(Type::Text) | None => {
                    let values: Vec<ByteArray> = all()
                        .filter_map(|c| match c {
                            Cell::Text(text) => Some(ByteArray::from(text.as_bytes().to_vec())),
                            _ => None,
                        })
                        .collect();
                    column.typed::<ByteArrayType>().write_batch(&values, Some(&defined), None)?;
                }
                Some(Type::Real) => {
                    let real = |c: &Cell| if let Cell::Real(x) = c { Some(*x) } else { None };
                    let values: Vec<f64> = all().filter_map(real).collect();
                    column.typed::<DoubleType>().write_batch(&values, Some(&defined), None)?;
                }
                Some(Type::Integer) => {
                    let integer = |c: &Cell| if let Cell::Integer(x) = c { Some(*x) } else { None };
                    let values: Vec<i64> = all().filter_map(integer).collect();
                    column.typed::<Int64Type>().write_batch(&values, Some(&defined), None)?;
                }
            }
            column.close()?;
            index += 1;
        }
        group.close()?;
    }
    writer.close()?;
    Ok(())
}

/// Fills the table `results` of a database in one transaction; what else is in the database stays.
fn sqlite(lines: impl Iterator<Item = anyhow::Result<Line>>, output: &Path) -> anyhow::Result<()> {
    let mut database = rusqlite::Connection::open(output)?;
    let transaction = database.transaction()?;
    let columns: Vec<String> = COLUMNS
        .iter()
        .map(|(name, kind)| match kind {
            Type::Text if *name == "path" => "path TEXT PRIMARY KEY".to_owned(),
            Type::Text => format!("{name} TEXT"),
            Type::Real => format!("{name} REAL"),
            Type::Integer => format!("{name} INTEGER"),
        })
        .collect();
    transaction.execute_batch(&format!(
        "DROP TABLE IF EXISTS results; CREATE TABLE results ({}) STRICT; CREATE INDEX results_label ON results (label);",
        columns.join(", ")
    ))?;
    {
        let marks = vec!["?"; COLUMNS.len()].join(", ");
        let mut insert = transaction.prepare(&format!("INSERT INTO results VALUES ({marks})"))?;
        for line in lines {
            let row = row(&line?)?.map(|cell| match cell {
                Cell::Null => rusqlite::types::Value::Null,
                Cell::Text(text) => rusqlite::types::Value::Text(text),
                Cell::Real(x) => rusqlite::types::Value::Real(x),
                Cell::Integer(x) => rusqlite::types::Value::Integer(x),
            });
            insert.execute(rusqlite::params_from_iter(row))?;
        }
    }
    transaction.commit()?;
    Ok(())
}
