//! Which columns of a file rise: no NULL, and no value less than the one before it. Noted while rows are written, kept in
//! the file's statistics, and read where a query can use the order.
//!
//! The note is a member of its own of the Delta statistics, which other readers skip. A file without it promises nothing.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType as ArrowType, Date32Type, Int8Type, Int16Type, Int32Type, Int64Type,
};
use chrono::NaiveDate;
use feitian_types::{Column, DataType};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// The member of a file's statistics that names the columns.
pub(crate) const RISING: &str = "feitianRising";
/// The form of that member. One of another form promises nothing.
const FORM: u64 = 1;
/// So many columns of a table are looked at: the first ones, as Delta's own statistics do it.
const MOST_COLUMNS: usize = 32;

/// The columns of a file that have risen so far.
#[derive(Debug)]
pub(crate) struct Rising {
    /// Each with its place among the columns, and its last value.
    columns: Vec<(usize, Option<i64>)>,
}

/// Whether values of this type are looked at: those whose order is the same for everybody, and whose least and greatest
/// values are always in the statistics.
fn may_rise(ty: &DataType) -> bool {
    matches!(ty, DataType::TinyInt | DataType::SmallInt | DataType::Int | DataType::BigInt | DataType::Date)
}

impl Rising {
    /// No rows yet.
    pub(crate) fn of(columns: &[Column]) -> Self {
        let all = columns.iter().enumerate().filter(|(_, c)| may_rise(&c.ty));
        Self { columns: all.map(|(i, _)| (i, None)).take(MOST_COLUMNS).collect() }
    }

    /// Looks at the rows that follow, in engine form.
    pub(crate) fn add(&mut self, rows: &RecordBatch) {
        let goes_on = |(i, last): &mut (usize, Option<i64>)| rows.columns().get(*i).is_some_and(|c| rises(c, last));
        self.columns.retain_mut(goes_on);
    }

    /// The note as it stands in the statistics; `None` if there is nothing to note.
    pub(crate) fn member(&self, columns: &[Column]) -> Option<Value> {
        let seen = self.columns.iter().filter(|(_, last)| last.is_some());
        let names: Vec<&str> = seen.filter_map(|(i, _)| Some(columns.get(*i)?.name.as_str())).collect();
        (!names.is_empty()).then(|| json!({"form": FORM, "columns": names}))
    }
}

/// Whether `values` go on rising after `last`, which is the last one of them then. Other types than whole numbers and days
/// never do.
pub(crate) fn rises(values: &dyn Array, last: &mut Option<i64>) -> bool {
    match values.data_type() {
        ArrowType::Int8 => rises_as::<Int8Type>(values, last),
        ArrowType::Int16 => rises_as::<Int16Type>(values, last),
        ArrowType::Int32 => rises_as::<Int32Type>(values, last),
        ArrowType::Int64 => rises_as::<Int64Type>(values, last),
        ArrowType::Date32 => rises_as::<Date32Type>(values, last),
        _ => false,
    }
}

fn rises_as<T: ArrowPrimitiveType>(values: &dyn Array, last: &mut Option<i64>) -> bool
where
    T::Native: Into<i64>,
{
    let Some(values) = values.as_primitive_opt::<T>() else { return false };
    let numbers: &[T::Native] = values.values();
    let (Some(first), Some(end)) = (numbers.first(), numbers.last()) else { return true };
    let (first, end): (i64, i64) = ((*first).into(), (*end).into());
    if values.null_count() > 0 || last.is_some_and(|last| last > first) || !numbers.is_sorted() {
        return false;
    }
    *last = Some(end);
    true
}

/// How many of these values, which rise, are not above `bound`.
pub(crate) fn up_to(values: &dyn Array, bound: i64) -> usize {
    match values.data_type() {
        ArrowType::Int8 => up_to_as::<Int8Type>(values, bound),
        ArrowType::Int16 => up_to_as::<Int16Type>(values, bound),
        ArrowType::Int32 => up_to_as::<Int32Type>(values, bound),
        ArrowType::Int64 => up_to_as::<Int64Type>(values, bound),
        ArrowType::Date32 => up_to_as::<Date32Type>(values, bound),
        _ => 0,
    }
}

fn up_to_as<T: ArrowPrimitiveType>(values: &dyn Array, bound: i64) -> usize
where
    T::Native: Into<i64>,
{
    let is_within = |value: &T::Native| {
        let value: i64 = (*value).into();
        value <= bound
    };
    values.as_primitive_opt::<T>().map_or(0, |values| values.values().partition_point(is_within))
}

/// The statistics of one file in the Delta log ("Per-file Statistics" of the protocol), as far as they are used.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FileStats {
    #[serde(default)]
    min_values: Map<String, Value>,
    #[serde(default)]
    max_values: Map<String, Value>,
    /// [`RISING`]
    #[serde(rename = "feitianRising")]
    rising: Note,
}

#[derive(Deserialize)]
struct Note {
    form: u64,
    columns: Vec<String>,
}

/// The first and the last value of a column in a file with these statistics; `None` unless it is said to rise there.
pub(crate) fn bounds(stats: &str, column: &str, ty: &ArrowType) -> Option<(i64, i64)> {
    let stats: FileStats = serde_json::from_str(stats).ok()?;
    let is_noted = stats.rising.form == FORM && stats.rising.columns.iter().any(|name| name == column);
    is_noted.then_some(())?;
    let least = number(stats.min_values.get(column)?, ty)?;
    let greatest = number(stats.max_values.get(column)?, ty)?;
    (least <= greatest).then_some((least, greatest))
}

fn number(value: &Value, ty: &ArrowType) -> Option<i64> {
    match ty {
        ArrowType::Int8 | ArrowType::Int16 | ArrowType::Int32 | ArrowType::Int64 => value.as_i64(),
        ArrowType::Date32 => {
            let day = NaiveDate::parse_from_str(value.as_str()?, "%Y-%m-%d").ok()?;
            Some(day.signed_duration_since(NaiveDate::from_ymd_opt(1970, 1, 1)?).num_days())
        }
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Date32Array, Float64Array, Int8Array, Int64Array};
    use arrow::datatypes::{Field, Schema};

    use super::*;

    fn rows(values: ArrayRef) -> RecordBatch {
        let field = Field::new("c", values.data_type().clone(), true);
        RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![values]).unwrap()
    }

    /// The note of a file of one column with these batches.
    fn noted(ty: DataType, batches: &[ArrayRef]) -> Option<Value> {
        let columns = [Column::new("c", ty)];
        let mut rising = Rising::of(&columns);
        batches.iter().for_each(|values| rising.add(&rows(values.clone())));
        rising.member(&columns)
    }

    fn numbers(values: &[Option<i64>]) -> ArrayRef {
        Arc::new(Int64Array::from(values.to_vec()))
    }

    fn is_noted(batches: &[&[i64]]) -> bool {
        let batches: Vec<ArrayRef> =
            batches.iter().map(|values| Arc::new(Int64Array::from(values.to_vec())) as ArrayRef).collect();
        noted(DataType::BigInt, &batches).is_some()
    }

    // Arithmetic: no value is less than the one before it, within a batch and from one to the next.
    #[test]
    fn values_rise_if_none_is_less_than_the_one_before() {
        let rising: [&[&[i64]]; 6] = [
            &[&[1, 2, 3], &[4, 5]],
            &[&[1, 1], &[1, 1]],
            &[&[7]],
            &[&[], &[2], &[], &[3]],
            &[&[i64::MIN, i64::MIN], &[0, i64::MAX], &[i64::MAX]],
            &[&[-3, -2], &[-2]],
        ];
        for batches in rising {
            assert!(is_noted(batches), "{batches:?}");
        }
        let others: [&[&[i64]]; 6] =
            [&[&[1, 3, 2]], &[&[1, 2], &[1]], &[&[2, 3], &[], &[2]], &[&[i64::MAX], &[i64::MIN]], &[&[]], &[]];
        for batches in others {
            assert!(!is_noted(batches), "{batches:?}");
        }
        // What once fell does not rise again.
        assert!(!is_noted(&[&[5], &[1], &[6], &[7]]));
    }

    #[test]
    fn null_and_other_types_do_not_rise() {
        assert_eq!(noted(DataType::BigInt, &[numbers(&[None])]), None);
        assert_eq!(noted(DataType::BigInt, &[numbers(&[Some(1), Some(2)]), numbers(&[None])]), None);
        assert_eq!(noted(DataType::BigInt, &[numbers(&[Some(1), None, Some(2)])]), None);
        assert_eq!(noted(DataType::Double, &[Arc::new(Float64Array::from(vec![1.0, 2.0]))]), None);
        // A batch of another type than the column's.
        assert_eq!(noted(DataType::BigInt, &[Arc::new(Float64Array::from(vec![1.0]))]), None);
        let wanted = Some(json!({"form": 1, "columns": ["c"]}));
        assert_eq!(noted(DataType::TinyInt, &[Arc::new(Int8Array::from(vec![-128, 127]))]), wanted);
        assert_eq!(noted(DataType::Date, &[Arc::new(Date32Array::from(vec![-1, 0, 0]))]), wanted);
    }

    #[test]
    fn the_first_columns_are_looked_at() {
        let columns: Vec<Column> = (0..40).map(|i| Column::new(format!("c{i}"), DataType::BigInt)).collect();
        let places: Vec<usize> = Rising::of(&columns).columns.iter().map(|(i, _)| *i).collect();
        assert_eq!(places, (0..32).collect::<Vec<_>>());
    }

    // Arithmetic.
    #[test]
    fn values_up_to_a_bound_are_counted() {
        let values = numbers(&[Some(i64::MIN), Some(1), Some(1), Some(3), Some(i64::MAX)]);
        for (bound, count) in [(i64::MIN, 1), (0, 1), (1, 3), (2, 3), (3, 4), (i64::MAX - 1, 4), (i64::MAX, 5)] {
            assert_eq!(up_to(&values, bound), count, "{bound}");
        }
        assert_eq!(up_to(&Int8Array::from(vec![-128, 0, 127]), 126), 2);
        assert_eq!(up_to(&Date32Array::from(Vec::<i32>::new()), 0), 0);
    }

    // The JSON is of the form that the Delta protocol shows. 2024-02-29 is day 19,782: 54 years of 365 days, 13 days of leap
    // years, 31 of January and 28.
    #[test]
    fn bounds_are_known_of_noted_columns_with_both_of_them() {
        let whole = r#"{"numRecords":2,"minValues":{"k":-5,"d":"1970-01-01"},"maxValues":{"k":9223372036854775807,
            "d":"2024-02-29"},"feitianRising":{"form":1,"columns":["k","d"]}}"#;
        assert_eq!(bounds(whole, "k", &ArrowType::Int64), Some((-5, i64::MAX)));
        assert_eq!(bounds(whole, "d", &ArrowType::Date32), Some((0, 19_782)));
        assert_eq!(bounds(whole, "k", &ArrowType::Utf8), None);
        assert_eq!(bounds(whole, "x", &ArrowType::Int64), None);
        let values = r#""minValues":{"k":1},"maxValues":{"k":2}"#;
        for other in [
            format!("{{{values}}}"),
            format!(r#"{{{values},"feitianRising":{{"form":2,"columns":["k"]}}}}"#),
            format!(r#"{{{values},"feitianRising":{{"form":1,"columns":["d"]}}}}"#),
            format!(r#"{{{values},"feitianRising":["k"]}}"#),
            r#"{"minValues":{"k":1},"feitianRising":{"form":1,"columns":["k"]}}"#.to_string(),
            r#"{"minValues":{"k":2},"maxValues":{"k":1},"feitianRising":{"form":1,"columns":["k"]}}"#.to_string(),
            r#"{"minValues":{"k":1.5},"maxValues":{"k":2},"feitianRising":{"form":1,"columns":["k"]}}"#.to_string(),
            "no".to_string(),
        ] {
            assert_eq!(bounds(&other, "k", &ArrowType::Int64), None, "{other}");
        }
    }
}
