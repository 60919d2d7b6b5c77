//! SEQUENCE and ARRAYS_ZIP: arrays that are built row by row.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, ListArray, StructArray, UInt64Array};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{cast, take};
use arrow::datatypes::{
    DataType, DurationNanosecondType, Field, Fields, IntervalUnit, IntervalYearMonthType, TimeUnit,
};
use chrono::NaiveDateTime;
use datafusion::common::Result;

use super::arrays::bounded;
use super::list_of;
use super::pick::{item_field, range};
use crate::coercion::{Param, common_of, is_time, type_name};
use crate::date::{Times, Unit, add, make_times};
use crate::docs::Entry;
use crate::error::FunctionError;
use crate::kernel::{Call, Function, Returns};

const DAY_NANOS: i64 = 86_400_000_000_000;

pub(super) const DOCS: &[Entry] = &[
    ("arrays_zip", "arrays_zip(array, …)", "An array of structs `0`, `1`, …; short arrays are filled up with NULL."),
    ("sequence", "sequence(start, stop[, step])", "Numbers or times from start to stop, both included."),
];

pub(super) fn functions() -> Vec<Function> {
    let first = Returns::With(|t| Ok(list_of(t.first().cloned().unwrap_or(DataType::Null))));
    vec![
        Function::new("sequence", &[], first, sequence).coerce(bounds_and_step),
        Function::new("arrays_zip", &[Param::List], Returns::With(zip_type), zip).rest(Param::List),
    ]
}

/// Whole numbers, or times with an interval between them.
fn bounds_and_step(name: &str, types: &[DataType]) -> Result<Vec<DataType>, FunctionError> {
    let ([start, stop] | [start, stop, _]) = types else {
        return Err(FunctionError::arity(name, "2 to 3", types.len()));
    };
    let bad = |at: usize, expects: &str| FunctionError::argument_type(name, at, &type_name(&types[at - 1]), expects);
    let common = common_of([start, stop]).filter(|t| t.is_integer() || is_time(t));
    let Some(common) = common else { return Err(bad(1, "BIGINT, DATE, DATETIME or TIMESTAMP")) };
    let mut out = vec![common.clone(), common.clone()];
    match types.get(2) {
        None => {}
        Some(step) if common.is_integer() && step.is_integer() => out.push(DataType::Int64),
        Some(step @ (DataType::Interval(_) | DataType::Duration(_))) if is_time(&common) => out.push(step.clone()),
        Some(_) => return Err(bad(3, if is_time(&common) { "INTERVAL" } else { "BIGINT" })),
    }
    Ok(out)
}

fn sequence(call: &Call<'_>) -> Result<ArrayRef> {
    if is_time(item_field(call.return_type)?.data_type()) {
        return times(call);
    }
    let whole = |i: usize| -> Result<Int64Array> {
        Ok(cast(&call.array(i)?, &DataType::Int64)?.as_primitive::<arrow::datatypes::Int64Type>().clone())
    };
    let (start, stop) = (whole(0)?, whole(1)?);
    let step = if call.count() > 2 { Some(whole(2)?) } else { None };
    let (mut items, mut lengths, mut valid) = (Vec::new(), Vec::new(), Vec::new());
    for row in 0..call.rows {
        let null = start.is_null(row) || stop.is_null(row) || step.as_ref().is_some_and(|s| s.is_null(row));
        valid.push(!null);
        if null {
            lengths.push(0);
            continue;
        }
        let (from, to) = (start.value(row), stop.value(row));
        let step = step.as_ref().map_or(if from <= to { 1 } else { -1 }, |s| s.value(row));
        check_direction(from.cmp(&to), step.cmp(&0))?;
        let count = if step == 0 { 1 } else { from.abs_diff(to) / step.unsigned_abs() + 1 };
        bounded(call, usize::try_from(count).unwrap_or(usize::MAX).saturating_add(items.len()))?;
        items.extend((0..count as i64).map(|n| from.wrapping_add(n.wrapping_mul(step))));
        lengths.push(count as usize);
    }
    let field = item_field(call.return_type)?.clone();
    let items = cast(&Int64Array::from(items), field.data_type())?;
    Ok(Arc::new(ListArray::try_new(field, OffsetBuffer::from_lengths(lengths), items, Some(valid.into()))?))
}

/// A step must lead from start to stop.
fn check_direction(bounds: std::cmp::Ordering, step: std::cmp::Ordering) -> Result<()> {
    use std::cmp::Ordering::{Equal, Greater, Less};
    match (bounds, step) {
        (Equal, _) | (Less, Greater) | (Greater, Less) => Ok(()),
        _ => Err(FunctionError::arguments("sequence: the step does not lead from start to stop").into()),
    }
}

/// One step of a sequence of times.
#[derive(Clone, Copy)]
enum Step {
    Months(i64),
    Nanos(i64),
}

impl Step {
    fn size(self) -> i64 {
        match self {
            Self::Months(n) | Self::Nanos(n) => n,
        }
    }

    /// The time `n` steps after `start`, so that months do not lose days on the way.
    fn after(self, start: NaiveDateTime, n: i64, zone: chrono_tz::Tz) -> Option<NaiveDateTime> {
        match self {
            Self::Months(m) => add(start, m.checked_mul(n)?, Unit::Month, zone),
            Self::Nanos(ns) if ns % DAY_NANOS == 0 => add(start, (ns / DAY_NANOS).checked_mul(n)?, Unit::Day, zone),
            Self::Nanos(ns) => add(start, ns.checked_mul(n)?, Unit::Nano, zone),
        }
    }
}

fn steps(call: &Call<'_>) -> Result<Vec<Option<Step>>> {
    if call.count() < 3 {
        return Ok(Vec::new());
    }
    let array = call.array(2)?;
    Ok(match array.data_type() {
        DataType::Interval(IntervalUnit::YearMonth) => {
            array.as_primitive::<IntervalYearMonthType>().iter().map(|m| m.map(|m| Step::Months(m.into()))).collect()
        }
        DataType::Duration(TimeUnit::Nanosecond) => {
            array.as_primitive::<DurationNanosecondType>().iter().map(|n| n.map(Step::Nanos)).collect()
        }
        other => return Err(FunctionError::unsupported(format!("sequence with a step of {}", type_name(other))).into()),
    })
}

fn times(call: &Call<'_>) -> Result<ArrayRef> {
    let (start, stop, steps) = (Times::of(call, 0)?, Times::of(call, 1)?, steps(call)?);
    let field = item_field(call.return_type)?.clone();
    let zone = match field.data_type() {
        DataType::Timestamp(_, Some(_)) => call.context.zone,
        _ => chrono_tz::UTC,
    };
    let (mut items, mut lengths, mut valid) = (Vec::new(), Vec::new(), Vec::new());
    for row in 0..call.rows {
        let bounds = start.get(row, call.context.zone).zip(stop.get(row, call.context.zone));
        let one_day = |(a, b): (NaiveDateTime, NaiveDateTime)| Step::Nanos(if a <= b { DAY_NANOS } else { -DAY_NANOS });
        let step = if steps.is_empty() { bounds.map(one_day) } else { steps[row] };
        let Some(((from, to), step)) = bounds.zip(step) else {
            lengths.push(0);
            valid.push(false);
            continue;
        };
        check_direction(from.cmp(&to), step.size().cmp(&0))?;
        let before = items.len();
        let mut at = Some(from);
        while let Some(t) = at.filter(|t| if step.size() >= 0 { *t <= to } else { *t >= to }) {
            items.push(t);
            bounded(call, items.len())?;
            at = if step.size() == 0 { None } else { step.after(from, (items.len() - before) as i64, zone) };
        }
        lengths.push(items.len() - before);
        valid.push(true);
    }
    let inner = Call {
        name: call.name,
        rows: items.len(),
        return_type: field.data_type(),
        context: call.context,
        args: &[],
        fields: &[],
    };
    let items = make_times(&inner, |i| Ok(Some(items[i])))?;
    Ok(Arc::new(ListArray::try_new(field.clone(), OffsetBuffer::from_lengths(lengths), items, Some(valid.into()))?))
}

/// The structs have the fields `0`, `1`, ….
fn zip_type(types: &[DataType]) -> Result<DataType> {
    let field = |(i, ty): (usize, &DataType)| Ok(Field::new(i.to_string(), item_field(ty)?.data_type().clone(), true));
    let fields = types.iter().enumerate().map(field).collect::<Result<Vec<_>>>()?;
    Ok(list_of(DataType::Struct(fields.into())))
}

/// MaxCompute documentation of ARRAYS_ZIP: the longest array says how many structs; an array that is NULL makes NULL.
fn zip(call: &Call<'_>) -> Result<ArrayRef> {
    let arrays = (0..call.count()).map(|i| call.array(i)).collect::<Result<Vec<_>>>()?;
    let lists: Vec<&ListArray> = arrays.iter().map(|a| a.as_list::<i32>()).collect();
    let mut places: Vec<Vec<Option<u64>>> = vec![Vec::new(); lists.len()];
    let (mut lengths, mut valid) = (Vec::new(), Vec::new());
    for row in 0..call.rows {
        let ranges: Option<Vec<_>> = lists.iter().map(|l| range(l, row)).collect();
        valid.push(ranges.is_some());
        let longest = ranges.iter().flatten().map(|r| r.len()).max().unwrap_or(0);
        lengths.push(longest);
        for (to, r) in places.iter_mut().zip(ranges.into_iter().flatten()) {
            to.extend((0..longest).map(|n| (n < r.len()).then_some((r.start + n) as u64)));
        }
    }
    let field = item_field(call.return_type)?.clone();
    let DataType::Struct(fields) = field.data_type().clone() else {
        return Err(FunctionError::internal("arrays_zip of no struct").into());
    };
    let total = lengths.iter().sum();
    let column = |(l, p): (&&ListArray, Vec<Option<u64>>)| Ok(take(l.values(), &UInt64Array::from(p), None)?);
    let columns = lists.iter().zip(places).map(column).collect::<Result<Vec<_>>>()?;
    let structs = structs(fields, columns, total)?;
    Ok(Arc::new(ListArray::try_new(field, OffsetBuffer::from_lengths(lengths), structs, Some(valid.into()))?))
}

fn structs(fields: Fields, columns: Vec<ArrayRef>, rows: usize) -> Result<ArrayRef> {
    Ok(Arc::new(StructArray::try_new_with_length(fields, columns, None, rows)?))
}
