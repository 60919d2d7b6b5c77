//! Functions that take a lambda: TRANSFORM, FILTER, ANY_MATCH, ALL_MATCH, ZIP_WITH, MAP_FILTER, TRANSFORM_KEYS, TRANSFORM_VALUES.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, ListArray, UInt64Array};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::{cast, take, take_arrays};
use arrow::datatypes::{DataType, Field, FieldRef};
use arrow::row::Row;
use datafusion::common::Result;
use datafusion::logical_expr::{
    ColumnarValue, HigherOrderFunctionArgs, HigherOrderReturnFieldArgs, HigherOrderSignature, HigherOrderUDF,
    HigherOrderUDFImpl, LambdaArgument, LambdaParametersProgress, ValueOrLambda, Volatility,
};

use super::pick::{Comparable, item_field, range};
use super::{entry_type, list_of, make_map, no_void};
use crate::coercion::{map_type, type_name};
use crate::docs::Entry;
use crate::error::FunctionError;

pub(super) const DOCS: &[Entry] = &[
    ("all_match", "all_match(array, x -> condition)", "Whether the condition holds for every item."),
    ("any_match", "any_match(array, x -> condition)", "Whether the condition holds for some item."),
    ("filter", "filter(array, x -> condition)", "The items for which the condition holds."),
    ("map_filter", "map_filter(map, (k, v) -> condition)", "The entries for which the condition holds."),
    ("transform", "transform(array, x -> value)", "What the lambda makes of each item."),
    (
        "transform_keys",
        "transform_keys(map, (k, v) -> key)",
        "The map with new keys; the last of several equal keys wins.",
    ),
    ("transform_values", "transform_values(map, (k, v) -> value)", "The map with new values."),
    (
        "zip_with",
        "zip_with(a, b, (x, y) -> value)",
        "What the lambda makes of each pair; the shorter array gives NULL.",
    ),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    AllMatch,
    AnyMatch,
    Filter,
    MapFilter,
    Transform,
    TransformKeys,
    TransformValues,
    ZipWith,
}

/// The functions of this file.
pub(super) fn functions() -> Vec<HigherOrderUDF> {
    let udf = |name, kind| {
        let signature = HigherOrderSignature::user_defined(Volatility::Immutable);
        HigherOrderUDF::new_from_impl(WithLambda { name, kind, signature })
    };
    vec![
        udf("all_match", Kind::AllMatch),
        udf("any_match", Kind::AnyMatch),
        udf("filter", Kind::Filter),
        udf("map_filter", Kind::MapFilter),
        udf("transform", Kind::Transform),
        udf("transform_keys", Kind::TransformKeys),
        udf("transform_values", Kind::TransformValues),
        udf("zip_with", Kind::ZipWith),
    ]
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct WithLambda {
    name: &'static str,
    kind: Kind,
    signature: HigherOrderSignature,
}

impl WithLambda {
    fn takes_map(&self) -> bool {
        matches!(self.kind, Kind::MapFilter | Kind::TransformKeys | Kind::TransformValues)
    }

    fn values(&self) -> usize {
        if self.kind == Kind::ZipWith { 2 } else { 1 }
    }

    /// The types of the values before the lambda.
    fn value_types<L>(&self, fields: &[ValueOrLambda<FieldRef, L>]) -> Result<Vec<DataType>> {
        let value = |f: &ValueOrLambda<FieldRef, L>| match f {
            ValueOrLambda::Value(field) => Some(field.data_type().clone()),
            ValueOrLambda::Lambda(_) => None,
        };
        let types: Vec<DataType> = fields.iter().map_while(value).collect();
        if types.len() != self.values() || fields.len() != self.values() + 1 {
            let needs = format!("{} and a lambda", self.values());
            return Err(FunctionError::arity(self.name, &needs, fields.len()).into());
        }
        Ok(types)
    }

    fn check_types(&self, types: &[DataType]) -> Result<(), FunctionError> {
        for (i, ty) in types.iter().enumerate() {
            match ty {
                DataType::Map(..) if self.takes_map() => {}
                DataType::List(_) if !self.takes_map() => {}
                other => {
                    let expects = if self.takes_map() { "MAP<K,V>" } else { "ARRAY<T>" };
                    return Err(FunctionError::argument_type(self.name, i + 1, &type_name(other), expects));
                }
            }
        }
        Ok(())
    }

    fn return_type(&self, types: &[DataType], body: &DataType) -> Result<DataType> {
        let condition = matches!(self.kind, Kind::AllMatch | Kind::AnyMatch | Kind::Filter | Kind::MapFilter);
        if condition && !matches!(body, DataType::Boolean | DataType::Null) {
            return Err(FunctionError::argument_type(self.name, types.len() + 1, &type_name(body), "BOOLEAN").into());
        }
        let body = no_void(body);
        let part =
            |which: usize| -> Result<DataType> { Ok(item_field(&entry_type(types, which)?)?.data_type().clone()) };
        Ok(match self.kind {
            Kind::AllMatch | Kind::AnyMatch => DataType::Boolean,
            Kind::Filter => list_of(item_field(types.first().unwrap_or(&DataType::Null))?.data_type().clone()),
            Kind::Transform | Kind::ZipWith => list_of(body),
            Kind::MapFilter => map_type(part(0)?, part(1)?),
            Kind::TransformKeys => map_type(body, part(1)?),
            Kind::TransformValues => map_type(part(0)?, body),
        })
    }
}

impl HigherOrderUDFImpl for WithLambda {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &HigherOrderSignature {
        &self.signature
    }

    fn coerce_value_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.check_types(types)?;
        Ok(types.to_vec())
    }

    fn lambda_parameters(
        &self,
        _: usize,
        fields: &[ValueOrLambda<FieldRef, Option<FieldRef>>],
    ) -> Result<LambdaParametersProgress> {
        let types = self.value_types(fields)?;
        self.check_types(&types)?;
        let field = |ty: &DataType| -> Result<FieldRef> {
            Ok(Arc::new(Field::new("", item_field(ty)?.data_type().clone(), true)))
        };
        let parameters = if self.takes_map() {
            vec![field(&entry_type(&types, 0)?)?, field(&entry_type(&types, 1)?)?]
        } else {
            types.iter().map(field).collect::<Result<Vec<_>>>()?
        };
        Ok(LambdaParametersProgress::Complete(vec![parameters]))
    }

    fn return_field_from_args(&self, args: HigherOrderReturnFieldArgs) -> Result<FieldRef> {
        let types = self.value_types(args.arg_fields)?;
        let Some(ValueOrLambda::Lambda(body)) = args.arg_fields.last() else {
            return Err(FunctionError::argument_type(self.name, types.len() + 1, "a value", "a lambda").into());
        };
        Ok(Arc::new(Field::new(self.name, self.return_type(&types, body.data_type())?, true)))
    }

    fn invoke_with_args(&self, args: HigherOrderFunctionArgs) -> Result<ColumnarValue> {
        let (mut values, mut lambda) = (Vec::new(), None);
        for arg in &args.args {
            match arg {
                ValueOrLambda::Value(value) => values.push(value.to_array(args.number_rows)?),
                ValueOrLambda::Lambda(l) => lambda = Some(l),
            }
        }
        let Some(lambda) = lambda else {
            return Err(FunctionError::internal(format!("{} without a lambda", self.name)).into());
        };
        let ty = args.return_field.data_type();
        let out = match (self.kind, values.as_slice()) {
            (Kind::ZipWith, [a, b]) => zip_with(a, b, lambda, ty)?,
            (_, [map]) if self.takes_map() => over_map(self.kind, map, lambda, ty)?,
            (_, [list]) => over_list(self.kind, list, lambda, ty)?,
            _ => return Err(FunctionError::arity(self.name, "other", values.len()).into()),
        };
        Ok(ColumnarValue::Array(out))
    }
}

/// Where the items that a lambda sees lie, row by row; rows that are NULL have none.
#[derive(Default)]
struct Seen {
    /// Places in each column of items; `None` for a missing item.
    places: Vec<Vec<Option<u64>>>,
    /// The row that each item belongs to.
    owners: Vec<u64>,
    lengths: Vec<usize>,
    valid: Vec<bool>,
}

impl Seen {
    fn row(&mut self, ranges: Option<Vec<std::ops::Range<usize>>>) {
        let row = self.lengths.len() as u64;
        let longest = ranges.iter().flatten().map(|r| r.len()).max().unwrap_or(0);
        self.valid.push(ranges.is_some());
        self.lengths.push(longest);
        self.owners.extend(std::iter::repeat_n(row, longest));
        let ranges = ranges.unwrap_or_default();
        self.places.resize(self.places.len().max(ranges.len()), Vec::new());
        for (to, r) in self.places.iter_mut().zip(ranges) {
            to.extend((0..longest).map(|n| (n < r.len()).then_some((r.start + n) as u64)));
        }
    }

    /// The items of column `which`.
    fn items(&self, which: usize, column: &ArrayRef) -> Result<ArrayRef> {
        let places = self.places.get(which).cloned().unwrap_or_default();
        Ok(take(column, &UInt64Array::from(places), None)?)
    }

    /// What the lambda makes of the items.
    fn evaluate(&self, lambda: &LambdaArgument, columns: &[ArrayRef]) -> Result<ArrayRef> {
        evaluate(lambda, &UInt64Array::from(self.owners.clone()), columns)
    }

    fn nulls(&self) -> Option<NullBuffer> {
        Some(self.valid.clone().into())
    }

    fn list(&self, items: ArrayRef, ty: &DataType) -> Result<ArrayRef> {
        let offsets = OffsetBuffer::from_lengths(self.lengths.iter().copied());
        Ok(Arc::new(ListArray::try_new(item_field(ty)?.clone(), offsets, items, self.nulls())?))
    }

    /// The items for which the condition holds, and how many each row keeps.
    fn kept(&self, holds: &ArrayRef) -> Result<(UInt64Array, Vec<usize>)> {
        let holds = conditions(holds)?;
        let mut lengths = vec![0usize; self.lengths.len()];
        let mut kept = Vec::new();
        for (at, owner) in self.owners.iter().enumerate() {
            if holds.is_valid(at) && holds.value(at) {
                kept.push(at as u64);
                lengths[*owner as usize] += 1;
            }
        }
        Ok((kept.into(), lengths))
    }
}

/// A column as a lambda asks for it.
type Column<'a> = Box<dyn Fn() -> Result<ArrayRef> + 'a>;

/// What the lambda makes of rows of `columns`; columns from outside are repeated by the rows that own them.
pub(super) fn evaluate(lambda: &LambdaArgument, owners: &UInt64Array, columns: &[ArrayRef]) -> Result<ArrayRef> {
    let spread = |arrays: &[ArrayRef]| -> Result<Vec<ArrayRef>> { Ok(take_arrays(arrays, owners, None)?) };
    let given: Vec<Column<'_>> = columns.iter().map(|c| Box::new(move || Ok(c.clone())) as Column<'_>).collect();
    let parameters: Vec<&dyn Fn() -> Result<ArrayRef>> = given.iter().map(|c| c.as_ref()).collect();
    let out = lambda.evaluate(&parameters, spread)?.into_array(owners.len())?;
    if out.data_type().is_null() { Ok(cast(&out, &DataType::Utf8)?) } else { Ok(out) }
}

/// An untyped NULL as a condition never holds.
fn conditions(array: &ArrayRef) -> Result<BooleanArray> {
    match array.data_type() {
        DataType::Boolean => Ok(array.as_boolean().clone()),
        _ => Ok(BooleanArray::new_null(array.len())),
    }
}

fn over_list(kind: Kind, array: &ArrayRef, lambda: &LambdaArgument, ty: &DataType) -> Result<ArrayRef> {
    let list = array.as_list::<i32>();
    let mut seen = Seen::default();
    for row in 0..list.len() {
        seen.row(range(list, row).map(|r| vec![r]));
    }
    let items = seen.items(0, list.values())?;
    let made = seen.evaluate(lambda, std::slice::from_ref(&items))?;
    match kind {
        Kind::Transform => seen.list(made, ty),
        Kind::Filter => {
            let (kept, lengths) = seen.kept(&made)?;
            let offsets = OffsetBuffer::from_lengths(lengths);
            let items = take(&items, &kept, None)?;
            Ok(Arc::new(ListArray::try_new(item_field(ty)?.clone(), offsets, items, seen.nulls())?))
        }
        _ => Ok(Arc::new(matches(&seen, &conditions(&made)?, kind == Kind::AnyMatch))),
    }
}

/// AND or OR of three-valued conditions: the deciding value wins over NULL, and NULL over the other.
fn matches(seen: &Seen, holds: &BooleanArray, any: bool) -> BooleanArray {
    let mut out: Vec<Option<bool>> = seen.valid.iter().map(|v| v.then_some(!any)).collect();
    let mut decided = vec![false; out.len()];
    for (at, owner) in seen.owners.iter().enumerate() {
        let row = *owner as usize;
        if decided[row] {
            continue;
        }
        if holds.is_null(at) {
            out[row] = None;
        } else if holds.value(at) == any {
            out[row] = Some(any);
            decided[row] = true;
        }
    }
    out.into()
}

fn zip_with(a: &ArrayRef, b: &ArrayRef, lambda: &LambdaArgument, ty: &DataType) -> Result<ArrayRef> {
    let (a, b) = (a.as_list::<i32>(), b.as_list::<i32>());
    let mut seen = Seen::default();
    for row in 0..a.len() {
        seen.row(range(a, row).zip(range(b, row)).map(|(x, y)| vec![x, y]));
    }
    let columns = [seen.items(0, a.values())?, seen.items(1, b.values())?];
    let made = seen.evaluate(lambda, &columns)?;
    seen.list(made, ty)
}

fn over_map(kind: Kind, array: &ArrayRef, lambda: &LambdaArgument, ty: &DataType) -> Result<ArrayRef> {
    let map = array.as_map();
    let mut seen = Seen::default();
    for row in 0..map.len() {
        let at = |n: usize| map.value_offsets()[n] as usize;
        seen.row(map.is_valid(row).then(|| vec![at(row)..at(row + 1)]));
    }
    let (keys, values) = (seen.items(0, map.keys())?, seen.items(0, map.values())?);
    let made = seen.evaluate(lambda, &[keys.clone(), values.clone()])?;
    let (columns, lengths) = match kind {
        Kind::MapFilter => {
            let (kept, lengths) = seen.kept(&made)?;
            (vec![take(&keys, &kept, None)?, take(&values, &kept, None)?], lengths)
        }
        Kind::TransformValues => (vec![keys, made], seen.lengths.clone()),
        _ => renamed(&seen, &made, &values)?,
    };
    make_map(ty, columns, lengths, seen.nulls())
}

/// Entries under new keys.
fn renamed(seen: &Seen, keys: &ArrayRef, values: &ArrayRef) -> Result<(Vec<ArrayRef>, Vec<usize>)> {
    if keys.null_count() > 0 {
        return Err(FunctionError::arguments("transform_keys: a key is NULL").into());
    }
    let all = Comparable::of(keys, true)?;
    let mut last: HashMap<(u64, Row<'_>), usize> = HashMap::new();
    for (at, owner) in seen.owners.iter().enumerate() {
        last.insert((*owner, all.get(at)), at);
    }
    let mut lengths = vec![0usize; seen.lengths.len()];
    let mut kept = Vec::new();
    for (at, owner) in seen.owners.iter().enumerate() {
        if last.get(&(*owner, all.get(at))) == Some(&at) {
            kept.push(at as u64);
            lengths[*owner as usize] += 1;
        }
    }
    let kept = UInt64Array::from(kept);
    Ok((vec![take(keys, &kept, None)?, take(values, &kept, None)?], lengths))
}
