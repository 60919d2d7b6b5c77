//! Table functions one by one: which lists each makes of a row, and which columns of the items of those lists.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int32Array, ListArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Fields};
use datafusion::common::{Column, DFSchema, Result, ScalarValue};
use datafusion::functions::core::get_field;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, lit,
};
use feitian_functions::coercion::type_name;
use feitian_functions::{FunctionError, json_parts, registry};
use feitian_types::arrow::column_type;

/// What a table function makes of a row.
#[derive(Debug)]
pub(super) struct Made {
    /// Lists whose items become rows side by side; the short ones end in NULL. Without lists a row makes one row.
    pub(super) lists: Vec<Expr>,
    /// Names and values of the columns. The item of list `i` is the column [`item_name`].
    pub(super) columns: Vec<(String, Expr)>,
}

/// The column that holds list `i`, and then one item of it. No name that a user writes is like it.
pub(super) fn item_name(i: usize) -> String {
    format!("__item {i}")
}

pub(super) fn item(i: usize) -> Expr {
    Expr::Column(Column::from_name(item_name(i)))
}

/// What the function `name` makes of `args`, which can see `schema`.
pub(super) fn made(name: &str, args: Vec<Expr>, schema: &DFSchema) -> Result<Made> {
    match name {
        "explode" => explode(one(name, args)?, schema),
        "posexplode" => {
            let list = one(name, args)?;
            match list.get_type(schema)? {
                DataType::List(_) => {}
                other => return Err(FunctionError::argument_type(name, 1, &type_name(&other), "ARRAY").into()),
            }
            let positions = Parts::Positions.call(list.clone());
            Ok(Made { lists: vec![positions, list], columns: vec![("pos".into(), item(0)), ("val".into(), item(1))] })
        }
        "inline" => inline(one(name, args)?, schema),
        "stack" => stack(args),
        "json_explode" => json_explode(one(name, args)?, schema),
        "json_tuple" => tuple(name, "get_json_object", args, 1),
        "parse_url_tuple" => tuple(name, "parse_url", args, 1),
        "keyvalue_tuple" => tuple(name, "keyvalue", args, 3),
        "trans_cols" => trans_cols(args),
        "trans_array" => trans_array(args, schema),
        _ => Err(FunctionError::unsupported(format!("table function {name} is not supported yet")).into()),
    }
}

fn one(name: &str, mut args: Vec<Expr>) -> Result<Expr> {
    match (args.pop(), args.len()) {
        (Some(arg), 0) => Ok(arg),
        (None, _) => Err(FunctionError::arity(name, "1", 0).into()),
        (Some(_), more) => Err(FunctionError::arity(name, "1", more + 1).into()),
    }
}

fn explode(arg: Expr, schema: &DFSchema) -> Result<Made> {
    match arg.get_type(schema)? {
        DataType::List(_) => Ok(Made { lists: vec![arg], columns: vec![("col".into(), item(0))] }),
        DataType::Map(entries, _) => {
            let DataType::Struct(fields) = entries.data_type() else {
                return Err(FunctionError::internal("a map without entries").into());
            };
            let names = ["key", "value"].into_iter().zip(fields);
            let columns = names.map(|(name, field)| (name.to_string(), part(item(0), field.name()))).collect();
            Ok(Made { lists: vec![Parts::Entries.call(arg)], columns })
        }
        other => Err(FunctionError::argument_type("explode", 1, &type_name(&other), "ARRAY or MAP").into()),
    }
}

/// `UNNEST(array)` as `table`: the item under the name of the table, or the fields of the struct that it is.
pub(super) fn unnest(args: Vec<Expr>, schema: &DFSchema, table: &str) -> Result<Made> {
    let list = one("unnest", args)?;
    match list.get_type(schema)? {
        DataType::List(of) if matches!(of.data_type(), DataType::Struct(_)) => inline(list, schema),
        DataType::List(_) => Ok(Made { lists: vec![list], columns: vec![(table.to_string(), item(0))] }),
        other => Err(FunctionError::argument_type("unnest", 1, &type_name(&other), "ARRAY").into()),
    }
}

/// The same, with the place of each item, from 0, as a column that the last argument names.
pub(super) fn unnest_with_offset(mut args: Vec<Expr>, schema: &DFSchema, table: &str) -> Result<Made> {
    let Some(Expr::Literal(ScalarValue::Utf8(Some(offset)), _)) = args.pop() else {
        return Err(FunctionError::internal("the offset of UNNEST has no name").into());
    };
    let list = one("unnest", args)?;
    let mut columns: Vec<(String, Expr)> = match list.get_type(schema)? {
        DataType::List(of) => match of.data_type() {
            DataType::Struct(fields) => {
                fields.iter().map(|f| (f.name().to_lowercase(), part(item(1), f.name()))).collect()
            }
            _ => vec![(table.to_string(), item(1))],
        },
        other => return Err(FunctionError::argument_type("unnest", 1, &type_name(&other), "ARRAY").into()),
    };
    columns.push((offset, item(0)));
    Ok(Made { lists: vec![Parts::Positions.call(list.clone()), list], columns })
}

fn json_explode(arg: Expr, schema: &DFSchema) -> Result<Made> {
    let (_, field) = arg.to_field(schema)?;
    if column_type(&field) != Some(feitian_types::DataType::Json) {
        let has = type_name(field.data_type());
        return Err(FunctionError::argument_type("json_explode", 1, &has, "JSON").into());
    }
    let columns = vec![("key".into(), item(0)), ("value".into(), call("json_parse", vec![item(1)])?)];
    Ok(Made { lists: vec![Parts::JsonNames.call(arg.clone()), Parts::JsonValues.call(arg)], columns })
}

/// The rows that the structs of `list` are.
pub(super) fn structs(list: Expr, names: Vec<String>) -> Made {
    let columns = names.into_iter().map(|name| {
        let value = part(item(0), &name);
        (name, value)
    });
    Made { columns: columns.collect(), lists: vec![list] }
}

fn part(of: Expr, field: &str) -> Expr {
    get_field().call(vec![of, lit(ScalarValue::from(field))])
}

fn inline(arg: Expr, schema: &DFSchema) -> Result<Made> {
    let ty = arg.get_type(schema)?;
    let fields = match &ty {
        DataType::List(element) => match element.data_type() {
            DataType::Struct(fields) => Some(fields.clone()),
            _ => None,
        },
        _ => None,
    };
    let Some(fields) = fields else {
        return Err(FunctionError::argument_type("inline", 1, &type_name(&ty), "ARRAY<STRUCT>").into());
    };
    let columns = fields.iter().map(|f| (f.name().to_lowercase(), part(item(0), f.name()))).collect();
    Ok(Made { lists: vec![arg], columns })
}

/// The value of argument `position` (from 1), which must be a whole literal of at least `least`.
fn count(name: &str, arg: Option<&Expr>, least: i64) -> Result<usize> {
    match arg {
        Some(Expr::Literal(ScalarValue::Int64(Some(n)), _)) if *n >= least => Ok(usize::try_from(*n).unwrap_or(0)),
        Some(Expr::Literal(ScalarValue::Int64(_), _)) => {
            Err(FunctionError::range(format!("argument 1 of function {name} must be at least {least}")).into())
        }
        _ => Err(FunctionError::constant(name, 1).into()),
    }
}

pub(super) fn array(items: Vec<Expr>) -> Result<Expr> {
    call("array", items)
}

fn call(name: &str, args: Vec<Expr>) -> Result<Expr> {
    match registry().scalar.get(name) {
        Some(f) => Ok(f.call(args)),
        None => Err(FunctionError::unsupported(format!("function {name} is not supported yet")).into()),
    }
}

/// `STACK(n, v…)`: the values in `n` rows, the last one filled up with NULL.
fn stack(args: Vec<Expr>) -> Result<Made> {
    let rows = count("stack", args.first(), 1)?;
    let values = &args[1..];
    if values.is_empty() {
        return Err(FunctionError::arity("stack", "at least 2", args.len()).into());
    }
    let width = values.len().div_ceil(rows);
    let mut lists = Vec::with_capacity(width);
    for column in 0..width {
        let cell = |row: usize| values.get(row * width + column).cloned().unwrap_or_else(|| lit(ScalarValue::Null));
        lists.push(array((0..rows).map(cell).collect())?);
    }
    let columns = (0..width).map(|i| (format!("col{i}"), item(i))).collect();
    Ok(Made { lists, columns })
}

/// One call of `function` for each key after the first `fixed` arguments.
fn tuple(name: &str, function: &str, mut args: Vec<Expr>, fixed: usize) -> Result<Made> {
    if args.len() <= fixed {
        return Err(FunctionError::arity(name, &format!("at least {}", fixed + 1), args.len()).into());
    }
    let keys = args.split_off(fixed);
    let mut columns = Vec::with_capacity(keys.len());
    for (i, key) in keys.into_iter().enumerate() {
        let Expr::Literal(ScalarValue::Utf8(Some(text)), _) = &key else {
            return Err(FunctionError::constant(name, fixed + i + 1).into());
        };
        let mut inner = args.clone();
        match function {
            "get_json_object" => inner.push(lit(format!("$.{text}"))),
            "parse_url" => inner.extend(text.splitn(2, ':').map(lit)),
            _ => inner.push(key),
        }
        columns.push((format!("c{i}"), call(function, inner)?));
    }
    Ok(Made { lists: Vec::new(), columns })
}

/// Keys and the rest of the arguments after the first, which says how many keys there are.
fn keys(name: &str, args: Vec<Expr>, before: usize) -> Result<(Vec<Expr>, Vec<Expr>)> {
    let n = count(name, args.first(), 0)?;
    if args.len() < before + n + 1 {
        return Err(FunctionError::arity(name, &format!("at least {}", before + n + 1), args.len()).into());
    }
    let mut keys: Vec<Expr> = args.into_iter().skip(before).collect();
    let rest = keys.split_off(n);
    Ok((keys, rest))
}

fn key_columns(keys: Vec<Expr>) -> impl Iterator<Item = (String, Expr)> {
    keys.into_iter().enumerate().map(|(i, e)| (format!("key{i}"), e))
}

/// `TRANS_COLS(n, key…, column…)`: a row for each column, with its number from 1 and the keys.
fn trans_cols(args: Vec<Expr>) -> Result<Made> {
    let (keys, values) = keys("trans_cols", args, 1)?;
    let numbers = (1..=values.len() as i64).map(lit).collect();
    let mut columns = vec![("idx".to_string(), item(0))];
    columns.extend(key_columns(keys));
    columns.push(("col".to_string(), item(1)));
    Ok(Made { lists: vec![array(numbers)?, array(values)?], columns })
}

/// `TRANS_ARRAY(n, separator, key…, list…)`: the lists side by side, with the keys; text is cut at the separator.
fn trans_array(args: Vec<Expr>, schema: &DFSchema) -> Result<Made> {
    let separator = match args.get(1) {
        Some(Expr::Literal(ScalarValue::Utf8(Some(text)), _)) if !text.is_empty() => text.clone(),
        _ => return Err(FunctionError::constant("trans_array", 2).into()),
    };
    // SPLIT takes a pattern; the separator is meant as it is.
    let pattern: String = separator.chars().flat_map(|c| literally(c).chars().collect::<Vec<_>>()).collect();
    let (keys, values) = keys("trans_array", args, 2)?;
    let mut lists = Vec::with_capacity(values.len());
    for value in values {
        lists.push(match value.get_type(schema)? {
            DataType::List(_) => value,
            _ => call("split", vec![value, lit(pattern.clone()), lit(false)])?,
        });
    }
    let mut columns: Vec<(String, Expr)> = key_columns(keys).collect();
    columns.extend((0..lists.len()).map(|i| (format!("col{i}"), item(i))));
    Ok(Made { lists, columns })
}

/// The pattern of one character.
fn literally(c: char) -> String {
    if c.is_alphanumeric() || c.is_whitespace() || !c.is_ascii() { c.to_string() } else { format!("\\{c}") }
}

/// The lists that no function of the language makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Parts {
    /// Of a list: 0, 1, 2 … for its items.
    Positions,
    /// Of a map: its pairs as structs.
    Entries,
    /// Of a JSON value: the names of its members.
    JsonNames,
    /// Of a JSON value: its members or items as text.
    JsonValues,
}

impl Parts {
    fn call(self, arg: Expr) -> Expr {
        ScalarUDF::from(PartsOf { parts: self, signature: Signature::any(1, Volatility::Immutable) }).call(vec![arg])
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct PartsOf {
    parts: Parts,
    signature: Signature,
}

impl ScalarUDFImpl for PartsOf {
    fn name(&self) -> &str {
        match self.parts {
            Parts::Positions => "positions of",
            Parts::Entries => "entries of",
            Parts::JsonNames => "names of",
            Parts::JsonValues => "values of",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        let element = match (self.parts, types) {
            (Parts::Positions, _) => DataType::Int32,
            (Parts::Entries, [DataType::Map(entries, _)]) => entries.data_type().clone(),
            (Parts::Entries, _) => DataType::Struct(Fields::empty()),
            (Parts::JsonNames | Parts::JsonValues, _) => DataType::Utf8,
        };
        Ok(DataType::List(Arc::new(Field::new_list_field(element, true))))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let [array] = arrays.as_slice() else {
            return Err(FunctionError::internal("one argument").into());
        };
        let made: ArrayRef = match (self.parts, array.data_type()) {
            (Parts::Positions, DataType::List(_)) => {
                let list = array.as_list::<i32>();
                let valid = |row: usize| if list.is_valid(row) { list.value_length(row) } else { 0 };
                let lengths: Vec<i32> = (0..list.len()).map(valid).collect();
                let values: Int32Array = lengths.iter().flat_map(|n| 0..*n).collect();
                let offsets = OffsetBuffer::from_lengths(lengths.iter().map(|n| *n as usize));
                let field = Arc::new(Field::new_list_field(DataType::Int32, true));
                Arc::new(ListArray::try_new(field, offsets, Arc::new(values), list.nulls().cloned())?)
            }
            (Parts::Entries, DataType::Map(..)) => {
                let map = array.as_map();
                let field = Arc::new(Field::new_list_field(map.entries().data_type().clone(), true));
                let (offsets, nulls) = (map.offsets().clone(), map.nulls().cloned());
                Arc::new(ListArray::try_new(field, offsets, Arc::new(map.entries().clone()), nulls)?)
            }
            (Parts::JsonNames, _) => json_parts(array, true)?,
            (Parts::JsonValues, _) => json_parts(array, false)?,
            (_, other) => return Err(FunctionError::internal(format!("no parts of {other}")).into()),
        };
        Ok(ColumnarValue::Array(made))
    }
}
