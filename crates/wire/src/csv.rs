//! The CSV of inline results and table previews, as `CsvRecordReader` of PyODPS (`odps/readers.py`) reads it.
//!
//! Fields are separated by commas, rows by line feeds. Names, text and collections stand in double quotes, a quote inside
//! doubled; everything else, control characters included, stands as it is. NULL is `\N` without quotes.

use arrow_array::RecordBatch;
use chrono_tz::Tz;
use feitian_base::{Error, Result};
use feitian_types::{Column, DataType};

use crate::text::{NULL, TextColumn};

/// Writes rows as CSV.
pub struct CsvWriter {
    columns: Vec<Column>,
    zone: Tz,
}

impl CsvWriter {
    /// A writer of these columns; `zone` is the session's, for DATETIME and TIMESTAMP.
    pub fn new(columns: &[Column], zone: Tz) -> Self {
        Self { columns: columns.to_vec(), zone }
    }

    /// Appends the row of column names.
    pub fn header(&self, out: &mut String) {
        for (i, column) in self.columns.iter().enumerate() {
            out.push_str(if i == 0 { "" } else { "," });
            quote(&column.name, out);
        }
        out.push('\n');
    }

    /// Appends the rows of `batch`, whose columns must be the engine form of the writer's columns.
    pub fn rows(&self, batch: &RecordBatch, out: &mut String) -> Result<()> {
        if batch.num_columns() != self.columns.len() {
            let (got, want) = (batch.num_columns(), self.columns.len());
            return Err(Error::internal(format!("a batch of {got} columns came for a CSV of {want}")));
        }
        let named = |e: Error, column: &Column| e.context(format_args!("column {}", column.name));
        let mut fields = Vec::with_capacity(self.columns.len());
        for (column, array) in self.columns.iter().zip(batch.columns()) {
            fields.push(TextColumn::new(&column.ty, array, self.zone).map_err(|e| named(e, column))?);
        }
        let mut text = String::new();
        for row in 0..batch.num_rows() {
            for (i, (column, field)) in self.columns.iter().zip(&fields).enumerate() {
                out.push_str(if i == 0 { "" } else { "," });
                if field.is_null(row) {
                    out.push_str(NULL);
                    continue;
                }
                text.clear();
                field.write(row, &mut text).map_err(|e| named(e, column))?;
                if is_quoted(&column.ty) { quote(&text, out) } else { out.push_str(&text) }
            }
            out.push('\n');
        }
        Ok(())
    }
}

/// Text and whatever may hold a comma.
fn is_quoted(ty: &DataType) -> bool {
    ty.is_text() || matches!(ty, DataType::Binary | DataType::Array(_) | DataType::Map(..) | DataType::Struct(_))
}

fn quote(text: &str, out: &mut String) {
    out.push('"');
    for (i, part) in text.split('"').enumerate() {
        out.push_str(if i == 0 { "" } else { "\"\"" });
        out.push_str(part);
    }
    out.push('"');
}

/// `batches` as CSV with a header.
pub fn to_csv<'a>(columns: &[Column], zone: Tz, batches: impl IntoIterator<Item = &'a RecordBatch>) -> Result<String> {
    let writer = CsvWriter::new(columns, zone);
    let mut out = String::new();
    writer.header(&mut out);
    for batch in batches {
        writer.rows(batch, &mut out)?;
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use arrow_array::{ArrayRef, BooleanArray, Int64Array, StringArray, StructArray};
    use feitian_types::arrow::{engine_schema, engine_type};

    use super::*;

    fn batch(columns: &[Column], arrays: Vec<ArrayRef>) -> RecordBatch {
        RecordBatch::try_new(engine_schema(columns), arrays).unwrap()
    }

    // The dialect: odps/readers.py of PyODPS, CsvRecordReader and parse_complex_value.
    #[test]
    fn rows_follow_the_dialect_of_the_client() {
        let columns = [
            Column::new("s", DataType::String),
            Column::new("n\"", DataType::BigInt),
            Column::new("b", DataType::Boolean),
        ];
        let text: ArrayRef = Arc::new(StringArray::from(vec![Some("a,\"b\"\n\\"), None, Some("\\N")]));
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None, Some(-3)]));
        let flags: ArrayRef = Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)]));
        let rows = batch(&columns, vec![text, numbers, flags]);
        let want = "\"s\",\"n\"\"\",\"b\"\n\"a,\"\"b\"\"\n\\\",1,true\n\\N,\\N,\\N\n\"\\N\",-3,false\n";
        assert_eq!(to_csv(&columns, Tz::UTC, [&rows]).unwrap(), want);
    }

    #[test]
    fn collections_stand_in_quotes() {
        let ty = DataType::parse("struct<f:string,g:bigint>").unwrap();
        let columns = [Column::new("c", ty.clone())];
        let arrow_schema::DataType::Struct(fields) = engine_type(&ty) else { panic!("a struct") };
        let f: ArrayRef = Arc::new(StringArray::from(vec!["a\"b"]));
        let g: ArrayRef = Arc::new(Int64Array::from(vec![None]));
        let rows = batch(&columns, vec![Arc::new(StructArray::new(fields, vec![f, g], None))]);
        assert_eq!(to_csv(&columns, Tz::UTC, [&rows]).unwrap(), "\"c\"\n\"{f:\"\"a\\\"\"b\"\", g:\\N}\"\n");
    }

    #[test]
    fn a_wrong_batch_is_named() {
        let columns = [Column::new("c", DataType::BigInt)];
        let rows = batch(&[Column::new("c", DataType::String)], vec![Arc::new(StringArray::from(vec!["x"]))]);
        assert_eq!(
            to_csv(&columns, Tz::UTC, [&rows]).unwrap_err().message(),
            "column c: Utf8 is not the engine form of bigint"
        );
    }
}
