//! How many different values columns of files have: sketches made while rows are written, kept in the files' statistics,
//! and joined for the files of a scan.
//!
//! They are a member of their own of the Delta statistics, which other readers skip. A file with few rows keeps few
//! registers, so that a log of very many small files does not grow by more than a few letters a column.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{
    ArrowPrimitiveType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, TimestampMillisecondType, TimestampNanosecondType,
};
use feitian_types::{Column, DataType};
use serde_json::{Map, Value};

use super::hll::{FINEST, Hll, hash_bytes, hash_number};

/// The member of a file's statistics that holds the sketches by column.
pub(crate) const DISTINCT: &str = "feitianDistinct";

/// So many columns of a table are counted while it is written: the first ones, as Delta's own statistics do it.
const MOST_COLUMNS: usize = 32;

/// The sketches of the values of columns.
#[derive(Debug)]
pub(crate) struct Distinct {
    /// Each with its place among the columns.
    sketches: Vec<(usize, Hll)>,
}

/// The places of the columns that are counted while they are written.
pub(crate) fn counted(columns: &[Column]) -> impl Iterator<Item = usize> + '_ {
    let all = columns.iter().enumerate().filter(|(_, c)| can_be_counted(&c.ty));
    all.map(|(i, _)| i).take(MOST_COLUMNS)
}

/// Whether values of this type can be told apart by their bytes.
pub(crate) fn can_be_counted(ty: &DataType) -> bool {
    use DataType as T;
    match ty {
        T::TinyInt | T::SmallInt | T::Int | T::BigInt | T::Float | T::Double | T::Boolean | T::Decimal(..) => true,
        T::Date | T::Datetime | T::Timestamp | T::TimestampNtz => true,
        T::String | T::Varchar(_) | T::Char(_) | T::Binary => true,
        T::Json | T::IntervalDayTime | T::IntervalYearMonth | T::Array(_) | T::Map(..) | T::Struct(_) => false,
    }
}

impl Distinct {
    /// No values yet of the columns at these places.
    pub(crate) fn of(places: impl IntoIterator<Item = usize>) -> Self {
        Self { sketches: places.into_iter().map(|i| (i, Hll::new())).collect() }
    }

    /// Adds the values of rows in engine form.
    pub(crate) fn add(&mut self, columns: &[Column], rows: &RecordBatch) {
        // What is of another type than the column's is not counted at all.
        self.sketches.retain_mut(|(i, sketch)| match (columns.get(*i), rows.columns().get(*i)) {
            (Some(column), Some(values)) => add_values(sketch, &column.ty, values.as_ref()).is_some(),
            _ => false,
        });
    }

    /// The sketches as they stand in the statistics of a file with so many rows.
    pub(crate) fn members(&self, columns: &[Column], num_rows: u64) -> Map<String, Value> {
        let size = match num_rows {
            0..1024 => 5,
            1024..65_536 => 6,
            _ => FINEST,
        };
        let named = self.sketches.iter().filter_map(|(i, sketch)| Some((columns.get(*i)?, sketch)));
        named.map(|(column, sketch)| (column.name.clone(), Value::String(sketch.text(size)))).collect()
    }
}

/// Adds values that are not NULL, equal ones with equal hashes; `None` if they are not of this type.
fn add_values(sketch: &mut Hll, ty: &DataType, values: &dyn Array) -> Option<()> {
    use DataType as T;
    match ty {
        T::TinyInt => add_numbers::<Int8Type>(sketch, values, |v| v as u64),
        T::SmallInt => add_numbers::<Int16Type>(sketch, values, |v| v as u64),
        T::Int => add_numbers::<Int32Type>(sketch, values, |v| v as u64),
        T::BigInt => add_numbers::<Int64Type>(sketch, values, |v| v as u64),
        T::Date => add_numbers::<Date32Type>(sketch, values, |v| v as u64),
        T::Datetime => add_numbers::<TimestampMillisecondType>(sketch, values, |v| v as u64),
        T::Timestamp | T::TimestampNtz => add_numbers::<TimestampNanosecondType>(sketch, values, |v| v as u64),
        T::Float => add_numbers::<Float32Type>(sketch, values, |v| bits(f64::from(v))),
        T::Double => add_numbers::<Float64Type>(sketch, values, bits),
        T::Decimal(..) => add_numbers::<Decimal128Type>(sketch, values, |v| v as u64 ^ hash_number((v >> 64) as u64)),
        T::Boolean => {
            values.as_boolean_opt()?.iter().flatten().for_each(|v| sketch.add(hash_number(u64::from(v))));
            Some(())
        }
        T::String | T::Varchar(_) => {
            values.as_string_opt::<i32>()?.iter().flatten().for_each(|v| sketch.add(hash_bytes(v.as_bytes())));
            Some(())
        }
        T::Char(_) => {
            let texts = values.as_string_opt::<i32>()?.iter().flatten();
            texts.for_each(|v| sketch.add(hash_bytes(v.trim_end_matches(' ').as_bytes())));
            Some(())
        }
        T::Binary => {
            values.as_binary_opt::<i32>()?.iter().flatten().for_each(|v| sketch.add(hash_bytes(v)));
            Some(())
        }
        T::Json | T::IntervalDayTime | T::IntervalYearMonth | T::Array(_) | T::Map(..) | T::Struct(_) => None,
    }
}

fn add_numbers<T: ArrowPrimitiveType>(
    sketch: &mut Hll,
    values: &dyn Array,
    number: impl Fn(T::Native) -> u64,
) -> Option<()> {
    let values = values.as_primitive_opt::<T>()?;
    if values.null_count() == 0 {
        for value in values.values() {
            sketch.add(hash_number(number(*value)));
        }
    } else {
        for value in values.iter().flatten() {
            sketch.add(hash_number(number(value)));
        }
    }
    Some(())
}

/// The bits of a number: one zero, and one NaN.
fn bits(value: f64) -> u64 {
    let value = if value.is_nan() { f64::NAN } else { value + 0.0 };
    value.to_bits()
}

/// About how many different values all of these sketches have together.
///
/// Sketches of few registers would make the result as rough as they are, even if they are of a few rows among very many. So
/// each size is joined by itself, and a rougher one changes the estimate by as much as its own values may.
#[derive(Debug, Default)]
pub(crate) struct Joined {
    /// The largest first.
    sizes: Vec<Hll>,
}

impl Joined {
    pub(crate) fn add(&mut self, sketch: &Hll) {
        match self.sizes.binary_search_by(|s| sketch.size().cmp(&s.size())) {
            Ok(at) => self.sizes[at].join(sketch),
            Err(at) => self.sizes.insert(at, sketch.clone()),
        }
    }

    /// The same for all values of another one.
    pub(crate) fn add_all(&mut self, other: &Self) {
        other.sizes.iter().for_each(|sketch| self.add(sketch));
    }

    pub(crate) fn estimate(&self) -> f64 {
        let Some((first, rest)) = self.sizes.split_first() else { return 0.0 };
        let (mut all, mut found) = (first.clone(), first.estimate());
        for rougher in rest {
            all.join(rougher);
            let own = rougher.estimate();
            found = all.estimate().clamp(found.max(own), found + own);
        }
        found
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;

    use arrow::array::{ArrayRef, Decimal128Array, Float64Array, Int64Array, StringArray};
    use arrow::datatypes::{Field, Schema};

    use super::*;

    fn estimate(ty: DataType, values: ArrayRef) -> f64 {
        let field = Field::new("c", values.data_type().clone(), true);
        let rows = RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![values]).unwrap();
        let columns = [Column::new("c", ty)];
        let mut distinct = Distinct::of(counted(&columns));
        distinct.add(&columns, &rows);
        let members = distinct.members(&columns, rows.num_rows() as u64);
        Hll::parse(members["c"].as_str().unwrap()).unwrap().estimate().round()
    }

    // Arithmetic: one value that is written in two ways is one value, and NULL is none.
    #[test]
    fn equal_values_count_once_and_nulls_do_not() {
        let doubles = [Some(0.0), Some(-0.0), None, Some(f64::NAN), Some(-f64::NAN), Some(1.5)];
        assert_eq!(estimate(DataType::Double, Arc::new(Float64Array::from(doubles.to_vec()))), 3.0);
        let texts = || Arc::new(StringArray::from(vec![Some("a"), Some("a  "), None, Some("a "), Some("")]));
        assert_eq!(estimate(DataType::Char(3), texts()), 2.0);
        assert_eq!(estimate(DataType::String, texts()), 4.0);
        let amounts = Decimal128Array::from(vec![Some(-1), Some(-1), Some(1), Some(1 << 64), None]);
        let amounts = amounts.with_precision_and_scale(38, 2).unwrap();
        assert_eq!(estimate(DataType::Decimal(38, 2), Arc::new(amounts)), 3.0);
        assert_eq!(estimate(DataType::BigInt, Arc::new(Int64Array::from(vec![None, None]))), 0.0);
    }

    // Arithmetic: a number means the same in a column that was made wider.
    #[test]
    fn whole_numbers_of_all_widths_are_alike() {
        let mut sketch = Hll::new();
        let narrow = arrow::array::Int8Array::from(vec![-1, 5]);
        let wide = Int64Array::from(vec![-1, 5]);
        add_values(&mut sketch, &DataType::TinyInt, &narrow).unwrap();
        let before = sketch.clone();
        add_values(&mut sketch, &DataType::BigInt, &wide).unwrap();
        assert_eq!(sketch, before);
    }

    // Arithmetic: a point and three letters, then a letter for each of 32, 64 and 256 registers.
    #[test]
    fn few_rows_take_few_letters() {
        let columns = [Column::new("c", DataType::BigInt)];
        for (rows, letters) in [(1, 4), (100, 32), (1023, 32), (1024, 64), (65_535, 64), (65_536, 256)] {
            let values: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows));
            let field = Field::new("c", values.data_type().clone(), true);
            let rows = RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![values]).unwrap();
            let mut distinct = Distinct::of(counted(&columns));
            distinct.add(&columns, &rows);
            let members = distinct.members(&columns, rows.num_rows() as u64);
            assert_eq!(members["c"].as_str().unwrap().len(), letters, "{} rows", rows.num_rows());
        }
    }

    #[test]
    fn the_first_columns_are_counted_and_nested_ones_never() {
        let mut columns: Vec<Column> = (0..40).map(|i| Column::new(format!("c{i}"), DataType::BigInt)).collect();
        columns[1].ty = DataType::Array(Box::new(DataType::BigInt));
        let places: Vec<usize> = counted(&columns).collect();
        assert_eq!((places.len(), places[1], places[31]), (32, 2, 32));
    }

    // Arithmetic: 100,000 values in 256 registers, then 100 of them and 100 new ones in 32. 6.5 % is one standard error.
    #[test]
    fn a_few_rows_do_not_make_the_rest_rough() {
        let of = |from: u64, to: u64| {
            let mut sketch = Hll::new();
            (from..to).for_each(|n| sketch.add(hash_number(n)));
            sketch
        };
        let mut joined = Joined::default();
        joined.add(&of(99_900, 100_100).folded(5));
        joined.add(&of(0, 50_000));
        joined.add(&of(50_000, 100_000));
        let found = joined.estimate();
        assert!((found / 100_100.0 - 1.0).abs() < 0.25, "{found}");
        assert_eq!(Joined::default().estimate(), 0.0);
    }
}
