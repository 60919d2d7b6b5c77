//! ARRAY_REDUCE, whose lambda sees what it made of the items before, and MAP_ZIP_WITH, whose lambda sees two maps.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, MapArray, UInt64Array};
use arrow::compute::{concat, take};
use arrow::datatypes::{DataType, Field, FieldRef};
use arrow::row::Row;
use datafusion::common::Result;
use datafusion::logical_expr::{
    ColumnarValue, HigherOrderFunctionArgs, HigherOrderReturnFieldArgs, HigherOrderSignature, HigherOrderUDF,
    HigherOrderUDFImpl, LambdaArgument, LambdaParametersProgress, ValueOrLambda, Volatility,
};
use feitian_types::arrow::nearest_type;

use super::lambda::evaluate;
use super::pick::{Comparable, item_field};
use super::{entry_type, make_map, no_void};
use crate::cast::cast_array;
use crate::coercion::{common_type, is_decimal, map_type, type_name};
use crate::docs::Entry;
use crate::error::FunctionError;
use crate::options::Context;

pub(super) const DOCS: &[Entry] = &[
    (
        "array_reduce",
        "array_reduce(array, start, (so_far, x) -> value, so_far -> result)",
        "What the last lambda makes of what the first one makes of the items, one after another.",
    ),
    (
        "map_zip_with",
        "map_zip_with(a, b, (k, x, y) -> value)",
        "What the lambda makes of the values of each key; the map without the key gives NULL.",
    ),
];

/// The functions of this file.
pub(super) fn functions() -> Vec<HigherOrderUDF> {
    let signature = || HigherOrderSignature::user_defined(Volatility::Immutable);
    vec![
        HigherOrderUDF::new_from_impl(Reduce { signature: signature() }),
        HigherOrderUDF::new_from_impl(ZipMaps { signature: signature() }),
    ]
}

fn field(ty: DataType) -> FieldRef {
    Arc::new(Field::new("", ty, true))
}

/// The arguments as `N` values and the lambdas after them; ODPS-0130221 if they are others.
fn split<'a, const N: usize, L>(
    name: &str,
    args: &'a [ValueOrLambda<FieldRef, L>],
    lambdas: usize,
) -> Result<([&'a DataType; N], Vec<&'a L>)> {
    let value = |arg: &'a ValueOrLambda<FieldRef, L>| match arg {
        ValueOrLambda::Value(field) => Some(field.data_type()),
        ValueOrLambda::Lambda(_) => None,
    };
    let lambda = |arg: &'a ValueOrLambda<FieldRef, L>| match arg {
        ValueOrLambda::Lambda(l) => Some(l),
        ValueOrLambda::Value(_) => None,
    };
    let values: Vec<&DataType> = args.iter().map_while(value).collect();
    let rest: Vec<&L> = args.iter().skip(N).filter_map(lambda).collect();
    match <[&DataType; N]>::try_from(values) {
        Ok(values) if rest.len() == lambdas && args.len() == N + lambdas => Ok((values, rest)),
        _ => {
            let needs = format!("{N} and {lambdas} {} after them", if lambdas == 1 { "lambda" } else { "lambdas" });
            Err(FunctionError::arity(name, &needs, args.len()).into())
        }
    }
}

const REDUCE: &str = "array_reduce";

#[derive(Debug, PartialEq, Eq, Hash)]
struct Reduce {
    signature: HigherOrderSignature,
}

fn has_decimal(ty: &DataType) -> bool {
    match ty {
        DataType::List(item) | DataType::Map(item, _) => has_decimal(item.data_type()),
        DataType::Struct(fields) => fields.iter().any(|f| has_decimal(f.data_type())),
        other => is_decimal(other),
    }
}

/// The type of what the first lambda gets and gives: the start's, widened to what the lambda makes of it.
///
/// DECIMAL stays: it would grow a digit with each look.
fn so_far(start: &DataType, made: &DataType) -> Result<DataType, FunctionError> {
    match common_type(start, made) {
        Some(_) if has_decimal(start) => Ok(start.clone()),
        Some(common) => Ok(no_void(&common)),
        None => Err(FunctionError::argument_type(REDUCE, 3, &type_name(made), &type_name(start))),
    }
}

fn check_list(list: &DataType) -> Result<&DataType, FunctionError> {
    match list {
        DataType::List(item) => Ok(item.data_type()),
        other => Err(FunctionError::argument_type(REDUCE, 1, &type_name(other), "ARRAY<T>")),
    }
}

impl HigherOrderUDFImpl for Reduce {
    fn name(&self) -> &str {
        REDUCE
    }

    fn signature(&self) -> &HigherOrderSignature {
        &self.signature
    }

    fn coerce_value_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(types.iter().map(no_void).collect())
    }

    fn lambda_parameters(
        &self,
        _: usize,
        fields: &[ValueOrLambda<FieldRef, Option<FieldRef>>],
    ) -> Result<LambdaParametersProgress> {
        let ([list, start], lambdas) = split::<2, _>(REDUCE, fields, 2)?;
        let item = check_list(list)?;
        Ok(match lambdas.first().copied().and_then(Option::as_ref) {
            None => {
                LambdaParametersProgress::Partial(vec![Some(vec![field(start.clone()), field(item.clone())]), None])
            }
            Some(made) => {
                let buffer = field(so_far(start, made.data_type())?);
                LambdaParametersProgress::Complete(vec![vec![buffer.clone(), field(item.clone())], vec![buffer]])
            }
        })
    }

    fn coerce_values_for_lambdas(&self, args: &[ValueOrLambda<DataType, DataType>]) -> Result<Option<Vec<DataType>>> {
        Ok(match args {
            [ValueOrLambda::Value(list), ValueOrLambda::Value(start), ValueOrLambda::Lambda(made), _] => {
                Some(vec![list.clone(), so_far(start, made)?])
            }
            _ => None,
        })
    }

    fn return_field_from_args(&self, args: HigherOrderReturnFieldArgs) -> Result<FieldRef> {
        let ([list, start], lambdas) = split::<2, _>(REDUCE, args.arg_fields, 2)?;
        check_list(list)?;
        let [made, last] = lambdas.as_slice() else {
            return Err(FunctionError::arity(REDUCE, "4", args.arg_fields.len()).into());
        };
        so_far(start, made.data_type())?;
        Ok(Arc::new(Field::new(REDUCE, no_void(last.data_type()), true)))
    }

    fn invoke_with_args(&self, args: HigherOrderFunctionArgs) -> Result<ColumnarValue> {
        let [
            ValueOrLambda::Value(list),
            ValueOrLambda::Value(start),
            ValueOrLambda::Lambda(merge),
            ValueOrLambda::Lambda(last),
        ] = args.args.as_slice()
        else {
            return Err(FunctionError::arity(REDUCE, "4", args.args.len()).into());
        };
        let (list, start) = (list.to_array(args.number_rows)?, start.to_array(args.number_rows)?);
        let context = Context::of(&args.config_options)?;
        Ok(ColumnarValue::Array(reduce(&list, &start, (merge, last), &context)?))
    }
}

/// All lists take a step together, the longest first, so that those that have ended are the last.
fn reduce(
    list: &ArrayRef,
    start: &ArrayRef,
    (merge, last): (&LambdaArgument, &LambdaArgument),
    context: &Context,
) -> Result<ArrayRef> {
    let list = list.as_list::<i32>();
    let ty = start.data_type().clone();
    let length = |row: usize| list.value_length(row) as usize;
    let mut order: Vec<usize> = (0..list.len()).filter(|row| list.is_valid(*row)).collect();
    order.sort_by_key(|row| Reverse(length(*row)));
    let owners = UInt64Array::from_iter_values(order.iter().map(|row| *row as u64));
    let mut buffers = take(start, &owners, None)?;
    let (mut ended, mut step) = (Vec::new(), 0);
    loop {
        let active = order.partition_point(|row| length(*row) > step);
        if active < buffers.len() {
            ended.push(buffers.slice(active, buffers.len() - active));
            buffers = buffers.slice(0, active);
        }
        if active == 0 {
            break;
        }
        let places = order[..active].iter().map(|row| (list.value_offsets()[*row] as usize + step) as u64);
        let items = take(list.values(), &UInt64Array::from_iter_values(places), None)?;
        buffers = of_type(evaluate(merge, &owners.slice(0, active), &[buffers, items])?, &ty, context)?;
        step += 1;
    }
    let all = match ended.is_empty() {
        true => buffers,
        false => concat(&ended.iter().rev().map(|part| part.as_ref()).collect::<Vec<_>>())?,
    };
    let made = evaluate(last, &owners, &[all])?;
    let mut places: Vec<Option<u64>> = vec![None; list.len()];
    for (at, row) in order.into_iter().enumerate() {
        places[row] = Some(at as u64);
    }
    Ok(take(&made, &UInt64Array::from(places), None)?)
}

fn of_type(array: ArrayRef, ty: &DataType, context: &Context) -> Result<ArrayRef> {
    if array.data_type() == ty {
        return Ok(array);
    }
    match nearest_type(ty) {
        Some(to) => cast_array(&array, &to, context),
        None => Err(FunctionError::internal(format!("{REDUCE} over {ty}")).into()),
    }
}

const ZIP: &str = "map_zip_with";

#[derive(Debug, PartialEq, Eq, Hash)]
struct ZipMaps {
    signature: HigherOrderSignature,
}

/// Types of keys and values of a map.
fn parts(map: &DataType, position: usize) -> Result<(DataType, DataType)> {
    if !matches!(map, DataType::Map(..)) {
        return Err(FunctionError::argument_type(ZIP, position, &type_name(map), "MAP<K,V>").into());
    }
    let part = |which: usize| -> Result<DataType> {
        Ok(item_field(&entry_type(std::slice::from_ref(map), which)?)?.data_type().clone())
    };
    Ok((part(0)?, part(1)?))
}

impl HigherOrderUDFImpl for ZipMaps {
    fn name(&self) -> &str {
        ZIP
    }

    fn signature(&self) -> &HigherOrderSignature {
        &self.signature
    }

    /// The keys of both maps get their common type.
    fn coerce_value_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let [a, b] = types else { return Err(FunctionError::arity(ZIP, "2 and a lambda", types.len()).into()) };
        let ((key, x), (other, y)) = (parts(a, 1)?, parts(b, 2)?);
        match common_type(&key, &other) {
            Some(key) => Ok(vec![map_type(key.clone(), x), map_type(key, y)]),
            None => Err(FunctionError::argument_type(ZIP, 2, &type_name(b), &type_name(a)).into()),
        }
    }

    fn lambda_parameters(
        &self,
        _: usize,
        fields: &[ValueOrLambda<FieldRef, Option<FieldRef>>],
    ) -> Result<LambdaParametersProgress> {
        let ([a, b], _) = split::<2, _>(ZIP, fields, 1)?;
        let ((key, x), (_, y)) = (parts(a, 1)?, parts(b, 2)?);
        Ok(LambdaParametersProgress::Complete(vec![vec![field(key), field(x), field(y)]]))
    }

    fn return_field_from_args(&self, args: HigherOrderReturnFieldArgs) -> Result<FieldRef> {
        let ([a, _], lambdas) = split::<2, _>(ZIP, args.arg_fields, 1)?;
        let Some(body) = lambdas.first() else {
            return Err(FunctionError::arity(ZIP, "3", args.arg_fields.len()).into());
        };
        let ty = map_type(parts(a, 1)?.0, no_void(body.data_type()));
        Ok(Arc::new(Field::new(ZIP, ty, true)))
    }

    fn invoke_with_args(&self, args: HigherOrderFunctionArgs) -> Result<ColumnarValue> {
        let [ValueOrLambda::Value(a), ValueOrLambda::Value(b), ValueOrLambda::Lambda(lambda)] = args.args.as_slice()
        else {
            return Err(FunctionError::arity(ZIP, "3", args.args.len()).into());
        };
        let (a, b) = (a.to_array(args.number_rows)?, b.to_array(args.number_rows)?);
        Ok(ColumnarValue::Array(zip_maps(a.as_map(), b.as_map(), lambda, args.return_field.data_type())?))
    }
}

fn entries(map: &MapArray, row: usize) -> Range<usize> {
    map.value_offsets()[row] as usize..map.value_offsets()[row + 1] as usize
}

/// The keys of `a` in their order, then those that only `b` has.
fn zip_maps(a: &MapArray, b: &MapArray, lambda: &LambdaArgument, ty: &DataType) -> Result<ArrayRef> {
    let keys = concat(&[a.keys().as_ref(), b.keys().as_ref()])?;
    let (all, second) = (Comparable::of(&keys, true)?, a.keys().len());
    let mut places: [Vec<Option<u64>>; 3] = Default::default();
    let (mut owners, mut lengths, mut valid) = (Vec::new(), Vec::new(), Vec::new());
    for row in 0..a.len() {
        let whole = a.is_valid(row) && b.is_valid(row);
        let before = owners.len();
        let mut add = |key: usize, x: Option<usize>, y: Option<usize>| {
            for (to, place) in places.iter_mut().zip([Some(key), x, y]) {
                to.push(place.map(|p| p as u64));
            }
            owners.push(row as u64);
        };
        if whole {
            let key_of = |at: usize| all.get(second + at);
            let mut right: HashMap<Row<'_>, usize> = entries(b, row).map(|at| (key_of(at), at)).collect();
            for at in entries(a, row) {
                add(at, Some(at), right.remove(&all.get(at)));
            }
            for at in entries(b, row).filter(|at| right.get(&key_of(*at)) == Some(at)) {
                add(second + at, None, Some(at));
            }
        }
        lengths.push(owners.len() - before);
        valid.push(whole);
    }
    let [key, x, y] = places.map(UInt64Array::from);
    let key = take(&keys, &key, None)?;
    let columns = [key.clone(), take(a.values(), &x, None)?, take(b.values(), &y, None)?];
    let made = evaluate(lambda, &UInt64Array::from(owners), &columns)?;
    make_map(ty, vec![key, made], lengths, Some(valid.into()))
}
