//! Delta per-file statistics: from a Parquet footer the row count, NULL counts, and the least and greatest value of columns
//! whose order every reader agrees on; from the rows, sketches of how many different values there are, and which columns
//! rise.

pub(crate) mod distinct;
pub(crate) mod hll;
pub(crate) mod rising;

use std::collections::BTreeMap;

use feitian_types::{Column, DataType};
use parquet::file::metadata::ParquetMetaData;
use parquet::file::statistics::Statistics;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value, json};

use self::distinct::{DISTINCT, Distinct};
use self::rising::{RISING, Rising};

/// Text longer than this is not worth its place in the log.
const MAX_TEXT: usize = 64;

/// The statistics JSON of a file with these data columns, whose rows `distinct` and `rising` have seen.
///
/// Least and greatest values are given for whole numbers, dates, finite floats and short text; a column without them is
/// simply not pruned by them. Source: "Per-file Statistics" of the Delta protocol.
pub(crate) fn delta_stats(columns: &[Column], file: &ParquetMetaData, distinct: &Distinct, rising: &Rising) -> String {
    let (mut min, mut max, mut nulls) = (Map::new(), Map::new(), Map::new());
    let leaves = file.file_metadata().schema_descr();
    for (i, leaf) in leaves.columns().iter().enumerate() {
        let [name] = leaf.path().parts() else { continue };
        let Some(column) = columns.iter().find(|c| c.name == *name) else { continue };
        let groups: Option<Vec<&Statistics>> = file.row_groups().iter().map(|g| g.column(i).statistics()).collect();
        let Some(groups) = groups else { continue };
        if let Some(n) = groups.iter().map(|s| s.null_count_opt()).sum::<Option<u64>>() {
            nulls.insert(name.clone(), json!(n));
        }
        let with_values: Vec<_> = groups.iter().filter(|s| s.min_is_exact() || s.max_is_exact()).collect();
        if with_values.len() != groups.len() {
            continue;
        }
        let bounds: Option<Vec<(Value, Value)>> = groups.iter().map(|s| bounds(&column.ty, s)).collect();
        let Some(bounds) = bounds else { continue };
        let Some((lo, hi)) = bounds.into_iter().reduce(|a, b| (lesser(a.0, b.0), greater(a.1, b.1))) else { continue };
        min.insert(name.clone(), lo);
        max.insert(name.clone(), hi);
    }
    let rows = file.file_metadata().num_rows();
    let mut stats = json!({"numRecords": rows, "minValues": min, "maxValues": max, "nullCount": nulls});
    let sketches = distinct.members(columns, rows.unsigned_abs());
    if !sketches.is_empty() {
        stats[DISTINCT] = Value::Object(sketches);
    }
    if let Some(names) = rising.member(columns) {
        stats[RISING] = names;
    }
    stats.to_string()
}

/// The statistics of a file with these sketches beside those that it has; `None` if what it has is no statistics.
///
/// All others stay letter by letter: other writers put bounds of DECIMAL columns there with more digits than an f64 holds,
/// and a bound that is rounded hides rows from whoever prunes by it.
pub(crate) fn with_distinct(stats: &str, sketches: Map<String, Value>) -> Option<String> {
    let mut members: BTreeMap<String, Box<RawValue>> = serde_json::from_str(stats).ok()?;
    let known = members.get(DISTINCT).and_then(|known| serde_json::from_str::<Map<String, Value>>(known.get()).ok());
    let mut all = known.unwrap_or_default();
    all.extend(sketches);
    members.insert(DISTINCT.to_string(), to_raw_value(&all).ok()?);
    serde_json::to_string(&members).ok()
}

fn bounds(ty: &DataType, s: &Statistics) -> Option<(Value, Value)> {
    match (ty, s) {
        (DataType::TinyInt | DataType::SmallInt | DataType::Int, Statistics::Int32(s)) => {
            Some((json!(s.min_opt()?), json!(s.max_opt()?)))
        }
        (DataType::BigInt, Statistics::Int64(s)) => Some((json!(s.min_opt()?), json!(s.max_opt()?))),
        (DataType::Date, Statistics::Int32(s)) => Some((date(*s.min_opt()?)?, date(*s.max_opt()?)?)),
        (DataType::Double, Statistics::Double(s)) => finite(*s.min_opt()?, *s.max_opt()?),
        (DataType::Float, Statistics::Float(s)) => finite(f64::from(*s.min_opt()?), f64::from(*s.max_opt()?)),
        (DataType::String, Statistics::ByteArray(s)) => {
            let text = |b: &[u8]| (b.len() <= MAX_TEXT).then(|| std::str::from_utf8(b).ok().map(|t| json!(t)))?;
            (s.min_is_exact() && s.max_is_exact()).then_some(())?;
            Some((text(s.min_opt()?.data())?, text(s.max_opt()?.data())?))
        }
        _ => None,
    }
}

fn finite(lo: f64, hi: f64) -> Option<(Value, Value)> {
    (lo.is_finite() && hi.is_finite()).then(|| (json!(lo), json!(hi)))
}

fn date(days: i32) -> Option<Value> {
    let day =
        chrono::NaiveDate::from_ymd_opt(1970, 1, 1)?.checked_add_signed(chrono::Duration::days(i64::from(days)))?;
    let year = chrono::Datelike::year(&day);
    (0..=9999).contains(&year).then(|| json!(day.format("%Y-%m-%d").to_string()))
}

fn lesser(a: Value, b: Value) -> Value {
    if less(&b, &a) { b } else { a }
}

fn greater(a: Value, b: Value) -> Value {
    if less(&a, &b) { b } else { a }
}

fn less(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::String(a), Value::String(b)) => a < b,
        _ => match (a.as_i64(), b.as_i64()) {
            (Some(a), Some(b)) => a < b,
            _ => a.as_f64() < b.as_f64(),
        },
    }
}
