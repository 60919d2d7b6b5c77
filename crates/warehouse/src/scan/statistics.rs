//! What the planner may know of a table before it is read: rows, bytes of columns with a fixed width, and where a column's
//! values lie. It chooses by it which side of a join is kept in memory.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::Schema;
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, ScalarValue, Statistics};
use feitian_types::{Column, DataType};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::scalar;
use crate::log::{DataFile, Snapshot};

/// The statistics of more files than this are not read: planning stays short, and their ranges mostly span everything.
const MAX_FILES: usize = 256;

/// The statistics of one file in the Delta log ("Per-file Statistics" of the protocol), as far as they are used.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct FileStats {
    #[serde(default)]
    min_values: Map<String, Value>,
    #[serde(default)]
    max_values: Map<String, Value>,
    #[serde(default)]
    null_count: Map<String, Value>,
}

/// Statistics of `files` for a scan that reads the fields `read` of `schema`.
///
/// The number of rows is exact, since the log is the truth about them. Everything else is an estimate that never answers a
/// query. The log does not tell how long texts are: with one of them among the columns the bytes are not known, and the
/// planner compares rows. A guess here makes it keep the larger side of a join whenever texts are shorter than guessed.
pub(super) fn of_files(files: &[Arc<DataFile>], schema: &Schema, columns: &[Column], read: &[usize]) -> Statistics {
    let Some(rows) = files.iter().try_fold(0, |n, f| usize::try_from(f.num_rows).ok().map(|rows| n + rows)) else {
        return Statistics::new_unknown(schema);
    };
    let parsed = parse(files);
    let bytes = |i: usize| schema.field(i).data_type().primitive_width().map(|width| rows.saturating_mul(width));
    let inexact = |bytes: Option<usize>| bytes.map_or(Precision::Absent, Precision::Inexact);
    let column_statistics = schema.fields().iter().enumerate().map(|(i, field)| {
        let column = columns.iter().find(|c| c.name == *field.name() && has_range(&c.ty));
        let known = column.zip(parsed.as_deref()).filter(|_| read.contains(&i));
        let known = known.map_or_else(ColumnStatistics::new_unknown, |(column, parsed)| of_column(column, parsed));
        ColumnStatistics { byte_size: inexact(bytes(i)), ..known }
    });
    Statistics {
        num_rows: Precision::Exact(rows),
        total_byte_size: inexact(read.iter().map(|i| bytes(*i)).sum()),
        column_statistics: column_statistics.collect(),
    }
}

/// Statistics of a whole table, its data columns first and its partition columns after them.
pub(super) fn of_table(snapshot: &Snapshot, schema: &Schema, columns: &[Column]) -> Statistics {
    let read: Vec<usize> = (0..columns.len()).collect();
    let mut found = of_files(snapshot.files(), schema, columns, &read);
    let num_partition_columns = snapshot.files().first().map_or(0, |f| f.partition_values.len());
    for i in 0..num_partition_columns {
        let values = snapshot.files().iter().map(|f| f.partition_values.get(i));
        let Some(known) = found.column_statistics.get_mut(columns.len() + i) else { break };
        known.distinct_count = Precision::Inexact(values.collect::<HashSet<_>>().len());
    }
    found
}

/// Types whose least and greatest values tell how many different ones there may be, or which part a condition keeps.
fn has_range(ty: &DataType) -> bool {
    use DataType as T;
    matches!(ty, T::TinyInt | T::SmallInt | T::Int | T::BigInt | T::Float | T::Double | T::Date)
}

fn parse(files: &[Arc<DataFile>]) -> Option<Vec<FileStats>> {
    (files.len() <= MAX_FILES).then_some(())?;
    files.iter().map(|f| serde_json::from_str(f.stats.as_deref()?).ok()).collect()
}

fn of_column(column: &Column, files: &[FileStats]) -> ColumnStatistics {
    let extreme = |of: fn(&FileStats) -> &Map<String, Value>, keep: fn(&ScalarValue, &ScalarValue) -> bool| {
        let values = files.iter().map(|f| value(column, of(f).get(&column.name)?));
        let extreme = values.reduce(|a, b| {
            let (a, b) = a.zip(b)?;
            Some(if keep(&a, &b) { a } else { b })
        });
        extreme.flatten().map_or(Precision::Absent, Precision::Inexact)
    };
    let nulls = files.iter().map(|f| usize::try_from(f.null_count.get(&column.name)?.as_u64()?).ok());
    ColumnStatistics {
        min_value: extreme(|f| &f.min_values, |a, b| a <= b),
        max_value: extreme(|f| &f.max_values, |a, b| a >= b),
        null_count: nulls.sum::<Option<usize>>().map_or(Precision::Absent, Precision::Inexact),
        ..ColumnStatistics::new_unknown()
    }
}

/// A value of the log in its column's type. Statistics of other writers may hold anything.
fn value(column: &Column, found: &Value) -> Option<ScalarValue> {
    let text = match found {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    Some(scalar(column, Some(&text))).filter(|v| !v.is_null())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(rows: i64, stats: &str) -> Arc<DataFile> {
        Arc::new(DataFile {
            path: "f.parquet".to_string(),
            partition_values: vec![],
            num_bytes: 1,
            num_rows: rows,
            modified_ms: 0,
            stats: Some(stats.to_string()),
        })
    }

    fn columns() -> (Schema, Vec<Column>) {
        let columns = vec![Column::new("k", DataType::BigInt), Column::new("t", DataType::String)];
        (Schema::new(columns.iter().map(feitian_types::arrow::engine_field).collect::<Vec<_>>()), columns)
    }

    fn of(files: &[Arc<DataFile>], read: &[usize]) -> Statistics {
        let (schema, columns) = columns();
        of_files(files, &schema, &columns, read)
    }

    // Arithmetic. The JSON is of the form that the Delta protocol shows.
    #[test]
    fn ranges_and_counts_of_all_files_come_together() {
        let one =
            r#"{"numRecords":3,"minValues":{"k":-5,"t":"a"},"maxValues":{"k":7,"t":"b"},"nullCount":{"k":1,"t":0}}"#;
        let two = r#"{"numRecords":2,"minValues":{"k":2},"maxValues":{"k":90},"nullCount":{"k":0,"t":2}}"#;
        let found = of(&[file(3, one), file(2, two)], &[0]);
        assert_eq!((found.num_rows, found.total_byte_size), (Precision::Exact(5), Precision::Inexact(40)));
        let k = &found.column_statistics[0];
        assert_eq!(k.min_value, Precision::Inexact(ScalarValue::Int64(Some(-5))));
        assert_eq!(k.max_value, Precision::Inexact(ScalarValue::Int64(Some(90))));
        assert_eq!(k.null_count, Precision::Inexact(1));
        assert_eq!(found.column_statistics[1].max_value, Precision::Absent);
    }

    #[test]
    fn how_long_texts_are_is_not_guessed() {
        let found = of(&[file(3, r#"{"numRecords":3}"#)], &[0, 1]);
        assert_eq!((found.num_rows, found.total_byte_size), (Precision::Exact(3), Precision::Absent));
        // Arithmetic: three BIGINTs of 8 bytes.
        assert_eq!(found.column_statistics[0].byte_size, Precision::Inexact(24));
        assert_eq!(found.column_statistics[1].byte_size, Precision::Absent);
    }

    #[test]
    fn what_other_writers_leave_out_or_mistake_is_not_known() {
        let good = r#"{"numRecords":1,"minValues":{"k":1},"maxValues":{"k":1},"nullCount":{"k":0}}"#;
        for bad in
            [r#"{"numRecords":1}"#, r#"{"minValues":{"k":"x"},"maxValues":{"k":[1]},"nullCount":{"k":-1}}"#, "no"]
        {
            let found = of(&[file(1, good), file(1, bad)], &[0, 1]);
            assert_eq!(found.num_rows, Precision::Exact(2), "{bad}");
            let k = &found.column_statistics[0];
            assert_eq!((&k.min_value, &k.max_value), (&Precision::Absent, &Precision::Absent), "{bad}");
            assert_eq!(k.null_count, Precision::Absent, "{bad}");
        }
        assert_eq!(of(&[file(1, good), file(-1, good)], &[0]).num_rows, Precision::Absent);
    }
}
