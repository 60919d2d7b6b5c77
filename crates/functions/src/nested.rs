//! Arrays, maps and structs. Arrays are indexed from 0; what is not there is NULL.

mod arrays;
mod joined;
mod lambda;
mod maps;
mod pick;
mod reduce;
mod sequence;
mod sets;

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int32Array, ListArray, MapArray, StructArray, UInt64Array, new_empty_array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::{SortOptions, concat, take};
use arrow::datatypes::{DataType, Field, Fields};
use arrow::row::{OwnedRow, RowConverter, Rows, SortField};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, HigherOrderUDF, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::coercion::{Param, common_of, is_text, map_type, type_name};
use crate::docs::Entry;
use crate::error::FunctionError;
use crate::kernel::{Call, DataType0, Function, Returns};

pub(crate) const DOCS: &[Entry] = &[
    ("array", "array(value, …)", "An array of the values, in their common type."),
    ("array_contains", "array_contains(array, value)", "Whether an item equals the value."),
    ("array_position", "array_position(array, value)", "The position of the first equal item from 1, or 0."),
    ("field", "field(struct, name)", "A field of a struct; the same as `s.name`."),
    ("index", "index(array | map, key)", "An item from 0, or the value of a key; the same as `x[key]`."),
    ("map", "map(key, value, …)", "A map; the last of several equal keys wins."),
    ("map_keys", "map_keys(map)", "The keys as an array."),
    ("map_values", "map_values(map)", "The values as an array."),
    ("named_struct", "named_struct(name, value, …)", "A struct of named values."),
    ("size", "size(array | map)", "How many items or entries."),
    ("sort_array", "sort_array(array[, ascending])", "The items in order; NULL is the smallest."),
    ("struct", "struct(value, …)", "A struct with the fields col1, col2, …."),
];

/// The entries of every file of this family.
pub(crate) fn docs() -> Vec<Entry> {
    [DOCS, arrays::DOCS, sets::DOCS, maps::DOCS, sequence::DOCS, joined::DOCS, lambda::DOCS, reduce::DOCS].concat()
}

/// The functions that take lambdas.
pub(crate) fn with_lambdas() -> Vec<HigherOrderUDF> {
    lambda::functions().into_iter().chain(reduce::functions()).collect()
}

pub(crate) fn functions() -> Vec<Function> {
    let own = own_functions();
    let families = [own, arrays::functions(), sets::functions(), maps::functions(), sequence::functions()];
    families.into_iter().flatten().chain([joined::function()]).collect()
}

fn own_functions() -> Vec<Function> {
    use Param::{Any, Bool, List};
    vec![
        Function::new("array", &[], Returns::With(array_type), array).rest(Param::Common),
        Function::new("size", &[Any], Returns::Type(DataType0::Int), size),
        Function::new("sort_array", &[List], Returns::Argument(0), sort_array).optional(&[Bool]),
        Function::new("map_keys", &[Param::Map], Returns::With(|t| entry_type(t, 0)), |c| entries(c, 0)),
        Function::new("map_values", &[Param::Map], Returns::With(|t| entry_type(t, 1)), |c| entries(c, 1)),
    ]
}

/// The functions whose argument types depend on each other.
pub(crate) fn udfs() -> Vec<ScalarUDF> {
    let udf =
        |name, kind| ScalarUDF::from(Nested { name, kind, signature: Signature::user_defined(Volatility::Immutable) });
    vec![
        udf("map", Kind::Map),
        udf("index", Kind::Index),
        udf("field", Kind::Field),
        udf("array_contains", Kind::Contains),
        udf("array_position", Kind::Position),
        udf("named_struct", Kind::NamedStruct),
        udf("struct", Kind::Struct),
    ]
}

fn list_of(item: DataType) -> DataType {
    DataType::List(Arc::new(Field::new_list_field(item, true)))
}

fn array_type(types: &[DataType]) -> Result<DataType> {
    Ok(list_of(types.first().cloned().unwrap_or(DataType::Utf8)))
}

/// Lists of equal length from columns: the items of row 0, then of row 1, and so on.
fn weave(columns: &[ArrayRef], rows: usize, item: &DataType) -> Result<ArrayRef> {
    if columns.is_empty() {
        return Ok(new_empty_array(item));
    }
    let all = concat(&columns.iter().map(|c| c.as_ref()).collect::<Vec<_>>())?;
    let order = (0..rows).flat_map(|r| (0..columns.len()).map(move |c| (c * rows + r) as u64));
    Ok(take(&all, &UInt64Array::from_iter_values(order), None)?)
}

fn array(call: &Call<'_>) -> Result<ArrayRef> {
    let DataType::List(field) = call.return_type else {
        return Err(FunctionError::internal("array returns a list").into());
    };
    let columns = (0..call.count()).map(|i| call.array(i)).collect::<Result<Vec<_>>>()?;
    let values = weave(&columns, call.rows, field.data_type())?;
    let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(columns.len(), call.rows));
    Ok(Arc::new(ListArray::try_new(field.clone(), offsets, values, None)?))
}

fn size(call: &Call<'_>) -> Result<ArrayRef> {
    let a = call.array(0)?;
    let lengths: Vec<i32> = match a.data_type() {
        DataType::List(_) => a.as_list::<i32>().offsets().lengths().map(|n| n as i32).collect(),
        DataType::Map(..) => a.as_map().offsets().lengths().map(|n| n as i32).collect(),
        other => return Err(FunctionError::argument_type("size", 1, &type_name(other), "ARRAY or MAP").into()),
    };
    Ok(Arc::new(Int32Array::new(lengths.into(), a.nulls().cloned())))
}

fn rows_of(array: &ArrayRef, options: SortOptions) -> Result<(RowConverter, Rows)> {
    let converter = RowConverter::new(vec![SortField::new_with_options(array.data_type().clone(), options)])?;
    let rows = converter.convert_columns(std::slice::from_ref(array))?;
    Ok((converter, rows))
}

/// NULLs come first when ascending, last when descending: NULL is the smallest value.
fn sort_array(call: &Call<'_>) -> Result<ArrayRef> {
    let a = call.array(0)?;
    let list = a.as_list::<i32>();
    let ascending = if call.count() > 1 { Some(call.truths(1)?) } else { None };
    let options = SortOptions { descending: false, nulls_first: true };
    let (_, rows) = rows_of(list.values(), options)?;
    let mut order: Vec<u64> = Vec::with_capacity(list.values().len());
    let mut lengths = Vec::with_capacity(call.rows);
    for row in 0..call.rows {
        let (from, to) = (list.value_offsets()[row] as usize, list.value_offsets()[row + 1] as usize);
        let up = ascending.as_ref().is_none_or(|a| a.get(row).unwrap_or(true));
        let mut places: Vec<usize> = if list.is_valid(row) { (from..to).collect() } else { Vec::new() };
        places.sort_by(|x, y| rows.row(*x).cmp(&rows.row(*y)));
        if !up {
            places.reverse();
        }
        lengths.push(places.len());
        order.extend(places.iter().map(|p| *p as u64));
    }
    let values = take(list.values(), &UInt64Array::from(order), None)?;
    let DataType::List(field) = call.return_type else {
        return Err(FunctionError::internal("sort_array returns a list").into());
    };
    Ok(Arc::new(ListArray::try_new(field.clone(), OffsetBuffer::from_lengths(lengths), values, list.nulls().cloned())?))
}

fn entry_type(types: &[DataType], which: usize) -> Result<DataType> {
    match types.first() {
        Some(DataType::Map(entries, _)) => match entries.data_type() {
            DataType::Struct(kv) if kv.len() == 2 => Ok(list_of(kv[which].data_type().clone())),
            other => Err(FunctionError::internal(format!("a map of {other}")).into()),
        },
        _ => Err(FunctionError::arity("map_keys", "1", types.len()).into()),
    }
}

fn entries(call: &Call<'_>, which: usize) -> Result<ArrayRef> {
    let a = call.array(0)?;
    let map = a.as_map();
    let DataType::List(field) = call.return_type else {
        return Err(FunctionError::internal("map_keys returns a list").into());
    };
    let values = if which == 0 { map.keys() } else { map.values() };
    Ok(Arc::new(ListArray::try_new(field.clone(), map.offsets().clone(), values.clone(), map.nulls().cloned())?))
}

fn make_map(ty: &DataType, columns: Vec<ArrayRef>, lengths: Vec<usize>, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
    let DataType::Map(field, _) = ty else {
        return Err(FunctionError::internal(format!("a map function returns {ty}")).into());
    };
    let DataType::Struct(kv) = field.data_type().clone() else {
        return Err(FunctionError::internal("a map without entries").into());
    };
    let entries = StructArray::try_new(kv, columns, None)?;
    Ok(Arc::new(MapArray::try_new(field.clone(), OffsetBuffer::from_lengths(lengths), entries, nulls, false)?))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Map,
    Index,
    Field,
    Contains,
    Position,
    NamedStruct,
    Struct,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Nested {
    name: &'static str,
    kind: Kind,
    signature: Signature,
}

impl Nested {
    fn arity(&self, needs: &str, types: &[DataType]) -> datafusion::error::DataFusionError {
        FunctionError::arity(self.name, needs, types.len()).into()
    }

    fn map_types(&self, types: &[DataType]) -> Result<(DataType, DataType)> {
        if !types.len().is_multiple_of(2) {
            return Err(self.arity("an even number of", types));
        }
        let common = |odd: usize| {
            let picked: Vec<DataType> = types.iter().skip(odd).step_by(2).cloned().collect();
            common_of(&picked).ok_or_else(|| {
                let names = picked.iter().map(type_name).collect::<Vec<_>>().join(", ");
                FunctionError::argument_type(self.name, odd + 1, &names, "one type")
            })
        };
        Ok((common(0)?, common(1)?))
    }

    /// The types that arguments get.
    fn coerced(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match self.kind {
            Kind::Map => {
                let (k, v) = self.map_types(types)?;
                Ok((0..types.len()).map(|i| if i % 2 == 0 { k.clone() } else { v.clone() }).collect())
            }
            Kind::Index => match types {
                [DataType::List(_), i] if i.is_integer() => Ok(vec![types[0].clone(), DataType::Int64]),
                [DataType::Map(..), _] => match entry_type(types, 0)? {
                    DataType::List(k) => Ok(vec![types[0].clone(), k.data_type().clone()]),
                    _ => Err(self.arity("2", types)),
                },
                [other, _] => Err(FunctionError::argument_type(self.name, 1, &type_name(other), "ARRAY or MAP").into()),
                _ => Err(self.arity("2", types)),
            },
            Kind::Contains | Kind::Position => Ok(pick::list_and_item(self.name, types)?),
            Kind::Field => match types {
                [DataType::Struct(_), name] if is_text(name) => Ok(vec![types[0].clone(), DataType::Utf8]),
                [other, _] => Err(FunctionError::argument_type(self.name, 1, &type_name(other), "STRUCT").into()),
                _ => Err(self.arity("2", types)),
            },
            Kind::NamedStruct if !types.len().is_multiple_of(2) || types.is_empty() => {
                Err(self.arity("an even number of", types))
            }
            Kind::NamedStruct | Kind::Struct => Ok(types.iter().map(no_void).collect()),
        }
    }
}

impl ScalarUDFImpl for Nested {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    /// Errors wait for `return_field_from_args`: the planner turns those of this function into words of its own.
    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(self.coerced(types).unwrap_or_else(|_| types.to_vec()))
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(match self.kind {
            Kind::Map => {
                let (k, v) = self.map_types(types)?;
                map_type(k, v)
            }
            Kind::Index => match types.first() {
                Some(DataType::List(f)) => f.data_type().clone(),
                _ => match entry_type(types, 1)? {
                    DataType::List(f) => f.data_type().clone(),
                    _ => return Err(self.arity("2", types)),
                },
            },
            Kind::Contains => DataType::Boolean,
            Kind::Position => DataType::Int64,
            Kind::Struct => {
                let field = |(i, t): (usize, &DataType)| Field::new(format!("col{}", i + 1), no_void(t), true);
                DataType::Struct(types.iter().enumerate().map(field).collect::<Fields>())
            }
            Kind::NamedStruct => return Err(FunctionError::constant(self.name, 1).into()),
            Kind::Field => return Err(FunctionError::constant(self.name, 2).into()),
        })
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<Arc<Field>> {
        let types: Vec<DataType> = args.arg_fields.iter().map(|f| f.data_type().clone()).collect();
        self.coerced(&types)?;
        let literal = |i: usize| args.scalar_arguments.get(i).copied().flatten().and_then(|v| v.try_as_str().flatten());
        let ty = if self.kind == Kind::Field {
            let name = literal(1).ok_or_else(|| FunctionError::constant(self.name, 2))?;
            match types.first() {
                Some(DataType::Struct(fields)) => field_of(fields, name)?.1.data_type().clone(),
                _ => return Err(self.arity("2", &types)),
            }
        } else if self.kind == Kind::NamedStruct {
            let mut fields = Vec::new();
            for i in (0..types.len()).step_by(2) {
                let Some(name) = literal(i) else { return Err(FunctionError::constant(self.name, i + 1).into()) };
                let value = types.get(i + 1).map_or(DataType::Utf8, no_void);
                fields.push(Field::new(name.to_lowercase(), value, true));
            }
            DataType::Struct(fields.into())
        } else {
            self.return_type(&types)?
        };
        Ok(Arc::new(Field::new(self.name, ty, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = args.args.iter().all(|a| matches!(a, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let arrays = args.args.iter().map(|a| a.to_array(rows)).collect::<Result<Vec<_>>>()?;
        let ty = args.return_field.data_type();
        let out = match (self.kind, arrays.as_slice()) {
            (Kind::Map, columns) => map(columns, rows, ty)?,
            (Kind::Index, [from, key]) if matches!(from.data_type(), DataType::List(_)) => list_item(from, key)?,
            (Kind::Index, [from, key]) => map_item(from, key)?,
            (Kind::Field, [from, name]) => struct_field(from, name, ty)?,
            (Kind::Contains | Kind::Position, [list, value]) => search(list, value, self.kind)?,
            (Kind::NamedStruct, columns) => structure(ty, columns.iter().skip(1).step_by(2).cloned().collect(), rows)?,
            (Kind::Struct, columns) => structure(ty, columns.to_vec(), rows)?,
            _ => return Err(FunctionError::arity(self.name, "2", arrays.len()).into()),
        };
        if constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&out, 0)?));
        }
        Ok(ColumnarValue::Array(out))
    }
}

/// The place and the type of a field; letter case does not matter.
fn field_of<'a>(fields: &'a Fields, name: &str) -> Result<(usize, &'a Arc<Field>), FunctionError> {
    let found = fields.iter().enumerate().find(|(_, f)| f.name().eq_ignore_ascii_case(name));
    found.ok_or_else(|| FunctionError::semantic(format!("field: the struct has no field '{name}'")))
}

fn struct_field(from: &ArrayRef, name: &ArrayRef, ty: &DataType) -> Result<ArrayRef> {
    let structure = from.as_struct();
    if structure.is_empty() {
        return Ok(new_empty_array(ty));
    }
    // The name is a literal, so every row has the same.
    let (at, _) = field_of(structure.fields(), name.as_string::<i32>().value(0))?;
    let places = (0..structure.len()).map(|row| structure.is_valid(row).then_some(row as u64));
    Ok(take(structure.column(at), &places.collect::<UInt64Array>(), None)?)
}

fn no_void(ty: &DataType) -> DataType {
    if *ty == DataType::Null { DataType::Utf8 } else { ty.clone() }
}

fn structure(ty: &DataType, columns: Vec<ArrayRef>, rows: usize) -> Result<ArrayRef> {
    let DataType::Struct(fields) = ty else {
        return Err(FunctionError::internal(format!("a struct function returns {ty}")).into());
    };
    Ok(Arc::new(StructArray::try_new_with_length(fields.clone(), columns, None, rows)?))
}

/// The last of several equal keys wins.
fn map(columns: &[ArrayRef], rows: usize, ty: &DataType) -> Result<ArrayRef> {
    let DataType::Map(field, _) = ty else { return Err(FunctionError::internal("map returns a map").into()) };
    let DataType::Struct(kv) = field.data_type() else { return Err(FunctionError::internal("map of nothing").into()) };
    let pick = |odd: usize| -> Vec<ArrayRef> { columns.iter().skip(odd).step_by(2).cloned().collect() };
    let keys = weave(&pick(0), rows, kv[0].data_type())?;
    let values = weave(&pick(1), rows, kv[1].data_type())?;
    if keys.null_count() > 0 {
        return Err(FunctionError::arguments("map: a key is NULL").into());
    }
    let (width, (_, sorted)) = (columns.len() / 2, rows_of(&keys, SortOptions::default())?);
    let (mut keep, mut lengths) = (Vec::new(), Vec::with_capacity(rows));
    for row in 0..rows {
        let places = row * width..(row + 1) * width;
        let last = |p: &usize| !(p + 1..(row + 1) * width).any(|q| sorted.row(q) == sorted.row(*p));
        let kept: Vec<u64> = places.filter(last).map(|p| p as u64).collect();
        lengths.push(kept.len());
        keep.extend(kept);
    }
    let keep = UInt64Array::from(keep);
    make_map(ty, vec![take(&keys, &keep, None)?, take(&values, &keep, None)?], lengths, None)
}

fn list_item(from: &ArrayRef, key: &ArrayRef) -> Result<ArrayRef> {
    let list = from.as_list::<i32>();
    let index = key.as_primitive::<arrow::datatypes::Int64Type>();
    let place = |row: usize| {
        let (start, end) = (i64::from(list.value_offsets()[row]), i64::from(list.value_offsets()[row + 1]));
        if list.is_null(row) || index.is_null(row) || index.value(row) < 0 {
            return None;
        }
        start.checked_add(index.value(row)).filter(|at| *at < end).map(|at| at as u64)
    };
    let places: UInt64Array = (0..list.len()).map(place).collect();
    Ok(take(list.values(), &places, None)?)
}

/// The value under each key, one row of `needles` for each row of `from`.
fn map_item(from: &ArrayRef, needles: &ArrayRef) -> Result<ArrayRef> {
    let map = from.as_map();
    let (converter, keys) = rows_of(map.keys(), SortOptions::default())?;
    let needles_rows = converter.convert_columns(std::slice::from_ref(needles))?;
    let place = |row: usize| {
        if map.is_null(row) || needles.is_null(row) {
            return None;
        }
        let (start, end) = (map.value_offsets()[row] as usize, map.value_offsets()[row + 1] as usize);
        (start..end).find(|at| keys.row(*at) == needles_rows.row(row)).map(|at| at as u64)
    };
    let places: UInt64Array = (0..map.len()).map(place).collect();
    Ok(take(map.values(), &places, None)?)
}

/// Where in each list the value is: truth for ARRAY_CONTAINS, a position from 1 (or 0) for ARRAY_POSITION.
fn search(list: &ArrayRef, value: &ArrayRef, kind: Kind) -> Result<ArrayRef> {
    let list = list.as_list::<i32>();
    let (converter, items) = rows_of(list.values(), SortOptions::default())?;
    let wanted = converter.convert_columns(std::slice::from_ref(value))?;
    let find = |row: usize| -> Option<i64> {
        if list.is_null(row) || value.is_null(row) {
            return None;
        }
        let (start, end) = (list.value_offsets()[row] as usize, list.value_offsets()[row + 1] as usize);
        let needle: OwnedRow = wanted.row(row).owned();
        Some((start..end).position(|at| items.row(at) == needle.row()).map_or(0, |p| p as i64 + 1))
    };
    let found = (0..list.len()).map(find);
    Ok(match kind {
        Kind::Contains => Arc::new(found.map(|p| p.map(|p| p > 0)).collect::<arrow::array::BooleanArray>()),
        _ => Arc::new(found.collect::<arrow::array::Int64Array>()),
    })
}
