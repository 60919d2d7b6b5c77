//! Columns of the system's tables: name, type and comment, and how each is read out of a row.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int64Array, StringArray, TimestampMillisecondArray};
use arrow::datatypes::SchemaRef;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::common::Result as DfResult;
use feitian_types::{Column, DataType};

/// The types that the system's tables need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    Text,
    Int,
    /// A DATETIME; its cells are milliseconds since 1970-01-01 UTC.
    Time,
    Real,
    Flag,
}

impl Type {
    fn data_type(self) -> DataType {
        match self {
            Self::Text => DataType::String,
            Self::Int => DataType::BigInt,
            Self::Time => DataType::Datetime,
            Self::Real => DataType::Double,
            Self::Flag => DataType::Boolean,
        }
    }
}

/// One value of a row.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cell<'a> {
    Null,
    Text(Cow<'a, str>),
    /// Of an Int or a Time.
    Int(i64),
    Real(f64),
    Flag(bool),
}

impl<'a> From<&'a str> for Cell<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl<'a> From<&'a String> for Cell<'a> {
    fn from(text: &'a String) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<i64> for Cell<'_> {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<f64> for Cell<'_> {
    fn from(number: f64) -> Self {
        Self::Real(number)
    }
}

impl From<bool> for Cell<'_> {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl<'a, T: Into<Cell<'a>>> From<Option<T>> for Cell<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// One column over rows of type `R`.
pub(super) struct Col<R> {
    name: &'static str,
    ty: Type,
    nullable: bool,
    comment: &'static str,
    get: for<'a> fn(&'a R) -> Cell<'a>,
}

/// A column that is never NULL.
pub(super) const fn must<R>(
    name: &'static str,
    ty: Type,
    comment: &'static str,
    get: for<'a> fn(&'a R) -> Cell<'a>,
) -> Col<R> {
    Col { name, ty, nullable: false, comment, get }
}

/// A column that may be NULL.
pub(super) const fn may<R>(
    name: &'static str,
    ty: Type,
    comment: &'static str,
    get: for<'a> fn(&'a R) -> Cell<'a>,
) -> Col<R> {
    Col { name, ty, nullable: true, comment, get }
}

/// The columns as tables and results know them.
pub(super) fn described<R>(columns: &[Col<R>]) -> Vec<Column> {
    let column = |c: &Col<R>| Column {
        name: c.name.to_string(),
        ty: c.ty.data_type(),
        comment: c.comment.to_string(),
        nullable: c.nullable,
        default: None,
    };
    columns.iter().map(column).collect()
}

/// The columns at the places `wanted` of `rows`; `schema` has these columns.
pub(super) fn batch<R>(columns: &[Col<R>], wanted: &[usize], schema: &SchemaRef, rows: &[R]) -> DfResult<RecordBatch> {
    let arrays = wanted.iter().filter_map(|i| columns.get(*i)).map(|c| array(c.ty, rows.iter().map(c.get)));
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    Ok(RecordBatch::try_new_with_options(schema.clone(), arrays.collect(), &options)?)
}

/// Engine form. A cell of another type is NULL.
fn array<'a>(ty: Type, cells: impl Iterator<Item = Cell<'a>>) -> ArrayRef {
    let number = |cell| match cell {
        Cell::Int(n) => Some(n),
        _ => None,
    };
    match ty {
        Type::Text => Arc::new(StringArray::from_iter(cells.map(|cell| match cell {
            Cell::Text(text) => Some(text),
            _ => None,
        }))),
        Type::Int => Arc::new(Int64Array::from_iter(cells.map(number))),
        Type::Time => Arc::new(TimestampMillisecondArray::from_iter(cells.map(number)).with_timezone("UTC")),
        Type::Real => Arc::new(Float64Array::from_iter(cells.map(|cell| match cell {
            Cell::Real(x) => Some(x),
            _ => None,
        }))),
        Type::Flag => Arc::new(BooleanArray::from_iter(cells.map(|cell| match cell {
            Cell::Flag(flag) => Some(flag),
            _ => None,
        }))),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use arrow::array::{Array, AsArray};
    use arrow::datatypes::{Int64Type, TimestampMillisecondType};
    use feitian_types::arrow::engine_schema;

    use super::*;

    struct Row(String, Option<i64>, f64, bool);

    const COLUMNS: &[Col<Row>] = &[
        must("t", Type::Text, "text", |r| (&r.0).into()),
        may("n", Type::Int, "number", |r| r.1.into()),
        may("at", Type::Time, "time", |r| r.1.into()),
        must("x", Type::Real, "real", |r| r.2.into()),
        must("f", Type::Flag, "flag", |r| r.3.into()),
    ];

    #[test]
    fn rows_become_arrays_of_the_types_that_the_columns_say() {
        let rows = [Row("a".into(), Some(5), 0.5, true), Row("b".into(), None, 1.0, false)];
        let all: Vec<usize> = (0..COLUMNS.len()).collect();
        let columns = described(COLUMNS);
        let made = batch(COLUMNS, &all, &engine_schema(&columns), &rows).unwrap();
        assert_eq!(made.column(0).as_string::<i32>().value(1), "b");
        assert_eq!(made.column(1).as_primitive::<Int64Type>().iter().collect::<Vec<_>>(), [Some(5), None]);
        assert_eq!(made.column(2).as_primitive::<TimestampMillisecondType>().value(0), 5);
        assert!(made.column(2).is_null(1) && made.column(4).as_boolean().value(0));
        let last = [3];
        let made = batch(COLUMNS, &last, &engine_schema(&columns[3..4]), &rows).unwrap();
        assert_eq!((made.num_columns(), made.num_rows()), (1, 2));
        let none = batch(COLUMNS, &[], &engine_schema(&[]), &rows).unwrap();
        assert_eq!((none.num_columns(), none.num_rows()), (0, 2));
    }
}
