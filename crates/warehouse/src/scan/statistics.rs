//! What the planner may know of a table before it is read: rows, bytes of columns with a fixed width, where a column's
//! values lie and how many different ones there are. It chooses by it the order of joins and which side of one is kept in
//! memory.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::Schema;
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, ScalarValue, Statistics};
use feitian_types::{Column, DataType};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::scalar;
use crate::log::DataFile;
use crate::stats::distinct::Joined;
use crate::stats::hll::Hll;

/// The statistics of more files than this are not read: planning stays short, and their ranges mostly span everything.
const MAX_FILES: usize = 256;
/// Sketches are taken from so many bytes of statistics, of files all over the table if it has more.
const SKETCH_BYTES: usize = 2 << 20;
/// With so large a share of values that are different, all are thought to be: it is within the error of a sketch.
const UNIQUE: f64 = 0.8;

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

/// The sketches of one file.
#[derive(Deserialize)]
struct FileSketches {
    /// [`crate::stats::distinct::DISTINCT`]
    #[serde(default, rename = "feitianDistinct")]
    distinct: Map<String, Value>,
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

/// Statistics of all columns of a table in these files, its data columns first and its partition columns after them.
pub(super) fn of_table(files: &[Arc<DataFile>], schema: &Schema, columns: &[Column]) -> Statistics {
    let read: Vec<usize> = (0..columns.len()).collect();
    let mut found = of_files(files, schema, columns, &read);
    let rows = found.num_rows.get_value().copied();
    for (known, distinct) in found.column_statistics.iter_mut().zip(distinct_values(files, columns)) {
        let nulls = known.null_count.get_value().copied().unwrap_or(0);
        let most = rows.map(|rows| rows.saturating_sub(nulls) as f64);
        if let Some((distinct, most)) = distinct.zip(most) {
            let distinct = if distinct > UNIQUE * most { most } else { distinct };
            known.distinct_count = Precision::Inexact(distinct.round() as usize);
        }
    }
    let num_partition_columns = files.first().map_or(0, |f| f.partition_values.len());
    for i in 0..num_partition_columns {
        let values = files.iter().map(|f| f.partition_values.get(i));
        let Some(known) = found.column_statistics.get_mut(columns.len() + i) else { break };
        known.distinct_count = Precision::Inexact(values.collect::<HashSet<_>>().len());
    }
    found
}

/// About how many different values each column has; `None` if a file does not tell.
fn distinct_values(files: &[Arc<DataFile>], columns: &[Column]) -> Vec<Option<f64>> {
    let num_bytes: usize = files.iter().map(|f| f.stats.as_ref().map_or(0, String::len)).sum();
    let looked_at = files.iter().step_by(num_bytes.div_ceil(SKETCH_BYTES).max(1));
    let sketches = looked_at.map(|f| serde_json::from_str::<FileSketches>(f.stats.as_deref()?).ok());
    match sketches.collect::<Option<Vec<_>>>() {
        Some(sketches) => columns.iter().map(|c| distinct_of(&c.name, &sketches, files.len())).collect(),
        None => vec![None; columns.len()],
    }
}

/// About how many different values a column has in `num_files` files, of which `looked_at` are some or all.
///
/// Of some, as many values again come with twice as many files as come from one half of those to all of them: none if all
/// have the same values, and twice as many if each has its own.
fn distinct_of(name: &str, looked_at: &[FileSketches], num_files: usize) -> Option<f64> {
    let (mut all, mut other) = (Joined::default(), Joined::default());
    for (i, file) in looked_at.iter().enumerate() {
        let sketch = Hll::parse(file.distinct.get(name)?.as_str()?)?;
        let part = if i % 2 == 0 { &mut all } else { &mut other };
        part.add(&sketch);
    }
    let half = (all.estimate() + other.estimate()) / 2.0;
    all.add_all(&other);
    let found = all.estimate();
    // A text of another hand may say that all registers are full, which no number of values makes.
    if looked_at.len() >= num_files || half <= 0.0 || !found.is_finite() {
        return Some(found);
    }
    let doublings = (num_files as f64 / looked_at.len() as f64).log2();
    Some(found * (found / half).clamp(1.0, 2.0).powf(doublings))
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
    use std::ops::Range;

    use serde_json::json;

    use super::*;
    use crate::stats::hll::hash_number;

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

    /// A file of which column `k` has these values, each of them in some of `rows` rows.
    fn sketched(rows: i64, values: Range<u64>) -> Arc<DataFile> {
        let mut sketch = Hll::new();
        values.for_each(|value| sketch.add(hash_number(value)));
        file(rows, &json!({"numRecords": rows, "feitianDistinct": {"k": sketch.text(8)}}).to_string())
    }

    fn distinct(files: &[Arc<DataFile>]) -> Precision<usize> {
        let (schema, columns) = columns();
        let found = of_table(files, &schema, &columns);
        assert_eq!(found.column_statistics[1].distinct_count, Precision::Absent);
        found.column_statistics[0].distinct_count
    }

    // Arithmetic: 50 of the 200 values are in both files. Four standard errors of 6.5 % are 39 of 150.
    #[test]
    fn values_of_all_files_are_counted_together() {
        let Precision::Inexact(found) = distinct(&[sketched(1000, 0..100), sketched(1000, 50..150)]) else {
            panic!("not known")
        };
        assert!(found.abs_diff(150) <= 39, "{found}");
        // So many of so many rows are all of them.
        let each = [sketched(1000, 0..1000), sketched(1000, 1000..2000)];
        assert_eq!(distinct(&each), Precision::Inexact(2000));
    }

    #[test]
    fn a_file_that_does_not_tell_leaves_the_count_unknown() {
        for other in [r#"{"numRecords":1}"#, r#"{"feitianDistinct":{"k":7}}"#, r#"{"feitianDistinct":{"k":"x"}}"#] {
            assert_eq!(distinct(&[sketched(10, 0..10), file(1, other)]), Precision::Absent, "{other}");
        }
    }

    // Arithmetic: half of the files are looked at, and the other half has as many values, or the same.
    #[test]
    fn of_very_many_files_some_tell_for_all() {
        let padded = |f: &Arc<DataFile>| {
            let mut stats: Value = serde_json::from_str(f.stats.as_deref().unwrap_or_default()).unwrap_or_default();
            stats["padding"] = json!("x".repeat(1000));
            file(f.num_rows, &stats.to_string())
        };
        let own: Vec<_> = (0..3000).map(|i| padded(&sketched(10, 10 * i..10 * i + 10))).collect();
        let Precision::Inexact(found) = distinct(&own) else { panic!("not known") };
        assert!(found > 20_000, "{found} of 30,000");
        let same = vec![padded(&sketched(10, 0..5)); 3000];
        assert_eq!(distinct(&same), Precision::Inexact(5));
    }
}
