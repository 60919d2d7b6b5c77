//! Functions of one array: its parts, its order, its text, its largest item.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, ListArray, UInt64Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, Float64Type};
use datafusion::common::Result;
use datafusion::logical_expr::Volatility;

use super::list_of;
use super::pick::{Comparable, Picks, item_field, pick, range};
use crate::coercion::{Param, type_name};
use crate::docs::Entry;
use crate::error::FunctionError;
use crate::kernel::{Call, DataType0, Function, Returns, owned};

/// An array of more items is refused.
pub(super) const MAX_ITEMS: usize = 10_000_000;

pub(super) const DOCS: &[Entry] = &[
    (
        "array_join",
        "array_join(array, separator[, null_text])",
        "The items as one text; NULLs vanish or show as given.",
    ),
    ("array_max", "array_max(array)", "The largest item that is not NULL."),
    ("array_min", "array_min(array)", "The smallest item that is not NULL."),
    ("array_normalize", "array_normalize(array, p)", "The items divided by the p-norm of the array."),
    ("array_repeat", "array_repeat(value, n)", "An array of the value n times."),
    ("array_sort", "array_sort(array)", "The items in ascending order, NULLs last."),
    ("combinations", "combinations(array, n)", "All choices of n items, in the order of the array."),
    ("cosine_distance", "cosine_distance(a, b)", "One minus the cosine of the angle of two vectors."),
    ("flatten", "flatten(array)", "An array of arrays as one array; one level."),
    ("inner_product_distance", "inner_product_distance(a, b)", "The negated inner product of two vectors."),
    ("l2_distance", "l2_distance(a, b)", "The Euclidean distance of two vectors."),
    ("ngrams", "ngrams(array, n)", "All runs of n items that stand next to each other."),
    ("reverse", "reverse(text | array)", "The characters or items from back to front."),
    ("shuffle", "shuffle(array)", "The items in random order."),
    ("slice", "slice(array, start, length)", "Items from a position; 1 is the first, -1 the last."),
];

pub(super) fn functions() -> Vec<Function> {
    use Param::{Any, Big, List, Text};
    let same = Returns::Argument(0);
    let item = Returns::With(|t| Ok(item_field(t.first().unwrap_or(&DataType::Null))?.data_type().clone()));
    let nest = Returns::With(|t| Ok(list_of(t.first().cloned().unwrap_or(DataType::Null))));
    vec![
        Function::new("array_join", &[List, Text], Returns::Type(DataType0::Text), join).optional(&[Text]),
        Function::new("array_max", &[List], item, |c| extreme(c, true)),
        Function::new("array_min", &[List], item, |c| extreme(c, false)),
        Function::new("array_normalize", &[], Returns::With(|_| Ok(list_of(DataType::Float64))), normalize)
            .coerce(doubles_and_double),
        Function::new(
            "array_repeat",
            &[Any, Big],
            Returns::With(|t| Ok(list_of(t.first().map_or(DataType::Utf8, super::no_void)))),
            repeat,
        ),
        Function::new("array_sort", &[List], same, sort),
        Function::new("combinations", &[List, Big], nest, combinations),
        Function::new("ngrams", &[List, Big], nest, ngrams),
        Function::new("flatten", &[List], Returns::With(flat_type), flatten),
        Function::new("reverse", &[Any], Returns::With(reverse_type), reverse),
        Function::new("shuffle", &[List], same, shuffle).volatility(Volatility::Volatile),
        Function::new("slice", &[List, Big, Big], same, slice),
        distance("cosine_distance", |c| distances(c, cosine)),
        distance("inner_product_distance", |c| distances(c, |a, b| -dot(a, b))),
        distance("l2_distance", |c| {
            distances(c, |a, b| a.iter().zip(b).map(|(x, y)| (x - y) * (x - y)).sum::<f64>().sqrt())
        }),
    ]
}

const fn distance(name: &'static str, eval: fn(&Call<'_>) -> Result<ArrayRef>) -> Function {
    Function::new(name, &[], Returns::Type(DataType0::Double), eval).coerce(two_vectors)
}

fn check_list(name: &str, at: usize, ty: &DataType) -> Result<DataType, FunctionError> {
    match ty {
        DataType::List(f) if f.data_type().is_numeric() || f.data_type().is_null() => Ok(list_of(DataType::Float64)),
        other => Err(FunctionError::argument_type(name, at, &type_name(other), "ARRAY<DOUBLE>")),
    }
}

fn two_vectors(name: &str, types: &[DataType]) -> Result<Vec<DataType>, FunctionError> {
    match types {
        [a, b] => Ok(vec![check_list(name, 1, a)?, check_list(name, 2, b)?]),
        _ => Err(FunctionError::arity(name, "2", types.len())),
    }
}

fn doubles_and_double(name: &str, types: &[DataType]) -> Result<Vec<DataType>, FunctionError> {
    match types {
        [a, p] if p.is_numeric() || p.is_null() => Ok(vec![check_list(name, 1, a)?, DataType::Float64]),
        [_, p] => Err(FunctionError::argument_type(name, 2, &type_name(p), "DOUBLE")),
        _ => Err(FunctionError::arity(name, "2", types.len())),
    }
}

fn join(call: &Call<'_>) -> Result<ArrayRef> {
    let (array, separator) = (call.array(0)?, call.texts(1)?);
    let nulls = if call.count() > 2 { Some(call.texts(2)?) } else { None };
    let list = array.as_list::<i32>();
    let items = crate::cast::texts(list.values(), &call.context)?;
    call.make_text(|row| {
        let (Some(range), Some(separator)) = (range(list, row), separator.get(row)) else { return Ok(None) };
        let shown = nulls.as_ref().and_then(|n| n.get(row));
        let text = |at: usize| if items.is_valid(at) { Some(items.value(at)) } else { shown };
        owned(range.filter_map(text).collect::<Vec<_>>().join(separator))
    })
}

fn extreme(call: &Call<'_>, largest: bool) -> Result<ArrayRef> {
    let array = call.array(0)?;
    let list = array.as_list::<i32>();
    let all = Comparable::of(list.values(), true)?;
    let best = |row: usize| -> Option<u64> {
        let there = range(list, row)?.filter(|at| list.values().is_valid(*at));
        let order = |a: &usize, b: &usize| all.get(*a).cmp(&all.get(*b));
        let at = if largest { there.max_by(order) } else { there.min_by(order) };
        at.map(|at| at as u64)
    };
    let places: UInt64Array = (0..call.rows).map(best).collect();
    Ok(take(list.values(), &places, None)?)
}

/// MaxCompute documentation of ARRAY_NORMALIZE: p = 0 changes nothing, a NULL among the items makes NULL.
fn normalize(call: &Call<'_>) -> Result<ArrayRef> {
    let (array, p) = (call.array(0)?, call.doubles(1)?);
    let list = array.as_list::<i32>();
    let items = list.values().as_primitive::<Float64Type>();
    let mut out: Vec<f64> = items.values().to_vec();
    let mut valid = Vec::with_capacity(call.rows);
    for row in 0..call.rows {
        let (Some(range), Some(p)) = (range(list, row), p.get(row)) else {
            valid.push(false);
            continue;
        };
        if p < 0.0 {
            return Err(FunctionError::range(format!("array_normalize: the norm {p} is negative")).into());
        }
        valid.push(!range.clone().any(|at| items.is_null(at)));
        let norm = out[range.clone()].iter().map(|v| v.abs().powf(p)).sum::<f64>().powf(1.0 / p);
        if p > 0.0 && norm != 0.0 {
            out[range].iter_mut().for_each(|v| *v /= norm);
        }
    }
    let field = item_field(call.return_type)?.clone();
    let out = Arc::new(Float64Array::new(out.into(), items.nulls().cloned()));
    Ok(Arc::new(ListArray::try_new(field, list.offsets().clone(), out, Some(valid.into()))?))
}

fn repeat(call: &Call<'_>) -> Result<ArrayRef> {
    let (value, n) = (call.array(0)?, call.bigs(1)?);
    let value = if value.data_type().is_null() { arrow::compute::cast(&value, &DataType::Utf8)? } else { value };
    let (mut picks, mut total) = (Picks::default(), 0usize);
    for row in 0..call.rows {
        let Some(n) = n.get(row) else {
            picks.null();
            continue;
        };
        let n = usize::try_from(n.max(0)).unwrap_or(usize::MAX);
        total = total.saturating_add(n);
        bounded(call, total)?;
        picks.row(std::iter::repeat_n(row, n));
    }
    picks.finish(call, &value)
}

/// Refuses results with too many items.
pub(super) fn bounded(call: &Call<'_>, items: usize) -> Result<()> {
    if items > MAX_ITEMS {
        let text = format!("{}: the result has more than {MAX_ITEMS} items", call.name);
        return Err(FunctionError::range(text).into());
    }
    Ok(())
}

fn sort(call: &Call<'_>) -> Result<ArrayRef> {
    let array = call.array(0)?;
    let all = Comparable::of(array.as_list::<i32>().values(), false)?;
    pick(call, |_, range| {
        let mut places: Vec<usize> = range.collect();
        places.sort_by(|a, b| all.get(*a).cmp(&all.get(*b)));
        Ok(Some(places))
    })
}

fn shuffle(call: &Call<'_>) -> Result<ArrayRef> {
    pick(call, |_, range| {
        let mut places: Vec<usize> = range.collect();
        for last in (1..places.len()).rev() {
            // 122 random bits; the bias of the remainder is below 2^-64.
            let other = uuid::Uuid::new_v4().as_u128() % (last as u128 + 1);
            places.swap(last, other as usize);
        }
        Ok(Some(places))
    })
}

/// Spark documentation of `slice`, which MaxCompute's repeats: position 0 and a negative length are errors.
fn slice(call: &Call<'_>) -> Result<ArrayRef> {
    let (start, length) = (call.bigs(1)?, call.bigs(2)?);
    pick(call, |row, range| {
        let (Some(start), Some(length)) = (start.get(row), length.get(row)) else { return Ok(None) };
        if start == 0 || length < 0 {
            let text = format!("slice: start {start} must not be 0 and length {length} must not be negative");
            return Err(FunctionError::range(text).into());
        }
        let count = range.len() as i64;
        let from = if start > 0 { start - 1 } else { count.saturating_add(start) };
        if from < 0 || from >= count {
            return Ok(Some(0..0));
        }
        let to = from.saturating_add(length).min(count);
        Ok(Some(range.start + from as usize..range.start + to as usize))
    })
}

fn reverse_type(types: &[DataType]) -> Result<DataType> {
    match types.first() {
        Some(t @ DataType::List(_)) => Ok(t.clone()),
        Some(t) if matches!(t, DataType::Boolean | DataType::Binary | DataType::Map(..) | DataType::Struct(_)) => {
            Err(FunctionError::argument_type("reverse", 1, &type_name(t), "STRING or ARRAY<T>").into())
        }
        _ => Ok(DataType::Utf8),
    }
}

fn reverse(call: &Call<'_>) -> Result<ArrayRef> {
    if let DataType::List(_) = call.return_type {
        return pick(call, |_, range| Ok(Some(range.rev())));
    }
    let texts = crate::cast::texts(&call.array(0)?, &call.context)?;
    call.make_text(
        |i| if texts.is_null(i) { Ok(None) } else { owned(texts.value(i).chars().rev().collect::<String>()) },
    )
}

fn flat_type(types: &[DataType]) -> Result<DataType> {
    match types.first() {
        Some(DataType::List(f)) if matches!(f.data_type(), DataType::List(_)) => Ok(f.data_type().clone()),
        other => {
            let has = other.map_or_else(String::new, type_name);
            Err(FunctionError::argument_type("flatten", 1, &has, "ARRAY<ARRAY<T>>").into())
        }
    }
}

/// An inner array that is NULL makes the result NULL, as in Spark.
fn flatten(call: &Call<'_>) -> Result<ArrayRef> {
    let array = call.array(0)?;
    let outer = array.as_list::<i32>();
    let inner = outer.values().as_list::<i32>();
    let mut picks = Picks::default();
    for row in 0..call.rows {
        let parts = range(outer, row).and_then(|r| r.map(|at| range(inner, at)).collect::<Option<Vec<_>>>());
        match parts {
            None => picks.null(),
            Some(parts) => picks.row(parts.into_iter().flatten()),
        }
    }
    picks.finish(call, inner.values())
}

/// Lists of lists: `f` gives the places of each inner list.
fn nested(call: &Call<'_>, f: impl Fn(std::ops::Range<usize>, usize) -> Result<Vec<Vec<usize>>>) -> Result<ArrayRef> {
    let (array, n) = (call.array(0)?, call.bigs(1)?);
    let list = array.as_list::<i32>();
    let field = item_field(call.return_type)?.clone();
    let (mut places, mut inner, mut outer, mut valid) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for row in 0..call.rows {
        let found = range(list, row).zip(n.get(row));
        valid.push(found.is_some());
        let mut rows = Vec::new();
        if let Some((range, n)) = found {
            let Ok(n) = usize::try_from(n) else {
                return Err(FunctionError::range(format!("{}: {n} is negative", call.name)).into());
            };
            rows = f(range, n)?;
        }
        outer.push(rows.len());
        for row in rows {
            inner.push(row.len());
            places.extend(row.into_iter().map(|p| p as u64));
        }
        bounded(call, places.len())?;
    }
    let items = take(list.values(), &UInt64Array::from(places), None)?;
    let offsets = arrow::buffer::OffsetBuffer::from_lengths(inner);
    let lists = ListArray::try_new(item_field(field.data_type())?.clone(), offsets, items, None)?;
    let offsets = arrow::buffer::OffsetBuffer::from_lengths(outer);
    Ok(Arc::new(ListArray::try_new(field, offsets, Arc::new(lists), Some(valid.into()))?))
}

/// In lexicographic order of positions.
fn combinations(call: &Call<'_>) -> Result<ArrayRef> {
    nested(call, |range, n| {
        let (start, count) = (range.start, range.len());
        let mut out = Vec::new();
        if n > count {
            return Ok(out);
        }
        let mut chosen: Vec<usize> = (0..n).collect();
        loop {
            out.push(chosen.iter().map(|p| start + p).collect::<Vec<_>>());
            bounded(call, out.len().saturating_mul(n.max(1)))?;
            // The last position that can still move.
            let Some(at) = (0..n).rev().find(|i| chosen[*i] < count - n + i) else { return Ok(out) };
            chosen[at] += 1;
            for i in at + 1..n {
                chosen[i] = chosen[i - 1] + 1;
            }
        }
    })
}

/// An array that is shorter than n is its only n-gram.
fn ngrams(call: &Call<'_>) -> Result<ArrayRef> {
    nested(call, |range, n| {
        if n == 0 {
            return Err(FunctionError::range("ngrams: n must be positive").into());
        }
        let n = n.min(range.len());
        bounded(call, (range.len() - n + 1).saturating_mul(n))?;
        Ok((range.start..=range.end - n).map(|from| (from..from + n).collect()).collect())
    })
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

fn cosine(a: &[f64], b: &[f64]) -> f64 {
    1.0 - dot(a, b) / (dot(a, a).sqrt() * dot(b, b).sqrt())
}

/// `f` of two vectors; NULL if one is NULL or holds a NULL, an error if their lengths differ.
fn distances(call: &Call<'_>, f: fn(&[f64], &[f64]) -> f64) -> Result<ArrayRef> {
    let (a, b) = (call.array(0)?, call.array(1)?);
    let (a, b) = (a.as_list::<i32>(), b.as_list::<i32>());
    let (x, y) = (a.values().as_primitive::<Float64Type>(), b.values().as_primitive::<Float64Type>());
    call.make_double(|row| {
        let Some((l, r)) = range(a, row).zip(range(b, row)) else { return Ok(None) };
        if l.len() != r.len() {
            let text = format!("{}: the vectors have {} and {} items", call.name, l.len(), r.len());
            return Err(FunctionError::arguments(text).into());
        }
        if l.clone().any(|at| x.is_null(at)) || r.clone().any(|at| y.is_null(at)) {
            return Ok(None);
        }
        Ok(Some(f(&x.values()[l], &y.values()[r])))
    })
}
