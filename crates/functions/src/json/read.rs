//! FROM_JSON: JSON text as the complex value that a schema describes.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ListArray, MapArray, StringArray, StructArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use feitian_types::DataType as OdpsType;
use feitian_types::arrow::{column_type, engine_field, engine_type};

use super::scan::{Json, Kind};
use crate::cast::cast_array;
use crate::coercion::{Param, coerce_arguments};
use crate::error::FunctionError;
use crate::options::Context;

const NAME: &str = "from_json";

pub(super) fn from_json() -> ScalarUDF {
    ScalarUDF::from(FromJson { signature: Signature::user_defined(Volatility::Immutable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct FromJson {
    signature: Signature,
}

fn coerced(types: &[DataType]) -> Result<Vec<DataType>, FunctionError> {
    coerce_arguments(NAME, &[Param::TextOnly, Param::TextOnly], &[], None, types)
}

/// A schema is a complex type, or the fields of a struct: `a int, b array<string>`.
fn schema(text: &str) -> Result<OdpsType, FunctionError> {
    let bad = |why: String| FunctionError::arguments(format!("{NAME}: '{text}' is no schema: {why}"));
    let complex = |t: &OdpsType| matches!(t, OdpsType::Array(_) | OdpsType::Map(..) | OdpsType::Struct(_));
    match OdpsType::parse(text) {
        Ok(ty) if complex(&ty) => Ok(ty),
        Ok(ty) => Err(bad(format!("{ty} is not ARRAY, MAP or STRUCT"))),
        Err(_) => OdpsType::parse(&format!("struct<{}>", with_colons(text))).map_err(|e| bad(e.to_string())),
    }
}

/// `a int, b map<string,int>` as `a:int,b:map<string,int>`: the blank after each name becomes a colon.
fn with_colons(text: &str) -> String {
    let (mut out, mut depth, mut named) = (String::new(), 0i32, false);
    for c in text.trim().chars() {
        match c {
            '<' | '(' => depth += 1,
            '>' | ')' => depth -= 1,
            ',' if depth == 0 => named = false,
            c if c.is_whitespace() && depth == 0 => {
                if !named && !out.is_empty() && !out.ends_with(',') {
                    named = true;
                    out.push(':');
                }
                continue;
            }
            ':' if depth == 0 && named => continue,
            ':' if depth == 0 => named = true,
            _ => {}
        }
        out.push(c);
    }
    out
}

impl ScalarUDFImpl for FromJson {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    /// Errors wait for `return_field_from_args`: the planner turns those of this function into words of its own.
    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(coerced(types).unwrap_or_else(|_| types.to_vec()))
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Err(FunctionError::constant(NAME, 2).into())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let types: Vec<DataType> = args.arg_fields.iter().map(|f| f.data_type().clone()).collect();
        coerced(&types)?;
        let text = args.scalar_arguments.get(1).copied().flatten().and_then(|v| v.try_as_str().flatten());
        let Some(text) = text else { return Err(FunctionError::constant(NAME, 2).into()) };
        Ok(Arc::new(engine_field(&feitian_types::Column::new(NAME, schema(text)?))))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let context = Context { strict: false, ..Context::of(&args.config_options)? };
        let Some(ty) = column_type(&args.return_field) else {
            return Err(FunctionError::internal("from_json of an unknown type").into());
        };
        let Some(input) = args.args.first() else { return Err(FunctionError::arity(NAME, "2", 0).into()) };
        let constant = matches!(input, ColumnarValue::Scalar(_));
        let array = input.to_array(if constant { 1 } else { args.number_rows })?;
        let texts = crate::cast::texts(&array, &context)?;
        let values: Vec<Option<Json<'_>>> = texts.iter().map(|t| t.and_then(Json::parse)).collect();
        let out = column(&values, &ty, &context)?;
        if constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&out, 0)?));
        }
        Ok(ColumnarValue::Array(out))
    }
}

/// The values as a column of `ty`; what does not fit is NULL.
fn column(values: &[Option<Json<'_>>], ty: &OdpsType, context: &Context) -> Result<ArrayRef> {
    let of_kind =
        |kind: Kind| -> Vec<Option<Json<'_>>> { values.iter().map(|v| v.filter(|v| v.kind() == kind)).collect() };
    match ty {
        OdpsType::Struct(fields) => structs(&of_kind(Kind::Object), fields, context),
        OdpsType::Array(item) => lists(&of_kind(Kind::Array), item, context),
        OdpsType::Map(key, value) => maps(&of_kind(Kind::Object), key, value, context),
        scalar => {
            let texts: StringArray = values.iter().map(|v| v.and_then(|v| scalar_text(v, scalar))).collect();
            cast_array(&(Arc::new(texts) as ArrayRef), scalar, context)
        }
    }
}

/// The text that is converted to a scalar type: numbers only from JSON numbers, text from everything.
fn scalar_text<'a>(value: Json<'a>, ty: &OdpsType) -> Option<Cow<'a, str>> {
    let number = matches!(ty, OdpsType::Float | OdpsType::Double | OdpsType::Decimal(..));
    match value.kind() {
        Kind::Null => None,
        _ if ty.is_text() => Some(if *ty == OdpsType::Json { Cow::Borrowed(value.raw()) } else { value.plain() }),
        Kind::Number if ty.is_integer() => Some(value.plain()).filter(|t| !t.contains(['.', 'e', 'E'])),
        Kind::Number => Some(value.plain()).filter(|_| number),
        Kind::Bool => Some(value.plain()).filter(|_| *ty == OdpsType::Boolean),
        Kind::Text if number || ty.is_integer() || *ty == OdpsType::Boolean => None,
        Kind::Text => Some(value.plain()),
        Kind::Object | Kind::Array => None,
    }
}

fn valid(values: &[Option<Json<'_>>]) -> NullBuffer {
    values.iter().map(Option::is_some).collect::<Vec<bool>>().into()
}

/// Names of fields are compared without regard to case, since those of a schema are lower case.
fn structs(values: &[Option<Json<'_>>], fields: &[(String, OdpsType)], context: &Context) -> Result<ArrayRef> {
    let objects: Vec<Option<Vec<_>>> = values.iter().map(|v| v.map(Json::members)).collect();
    let mut columns = Vec::with_capacity(fields.len());
    for (name, ty) in fields {
        let found = objects
            .iter()
            .map(|object| object.as_ref()?.iter().find(|(n, _)| n.to_lowercase() == *name).map(|(_, value)| *value));
        let members: Vec<Option<Json<'_>>> = found.collect();
        columns.push(column(&members, ty, context)?);
    }
    let field = |(name, ty): &(String, OdpsType)| Field::new(name, engine_type(ty), true);
    let fields: Fields = fields.iter().map(field).collect();
    let array = StructArray::try_new_with_length(fields, columns, Some(valid(values)), values.len())?;
    Ok(Arc::new(array))
}

fn lists(values: &[Option<Json<'_>>], item: &OdpsType, context: &Context) -> Result<ArrayRef> {
    let rows: Vec<Vec<Json<'_>>> = values.iter().map(|v| v.map(Json::items).unwrap_or_default()).collect();
    let lengths: Vec<usize> = rows.iter().map(Vec::len).collect();
    let items: Vec<Option<Json<'_>>> = rows.into_iter().flatten().map(Some).collect();
    let items = column(&items, item, context)?;
    let field = Arc::new(Field::new_list_field(engine_type(item), true));
    Ok(Arc::new(ListArray::try_new(field, OffsetBuffer::from_lengths(lengths), items, Some(valid(values)))?))
}

fn maps(values: &[Option<Json<'_>>], key: &OdpsType, value: &OdpsType, context: &Context) -> Result<ArrayRef> {
    let (mut keys, mut items, mut lengths) = (Vec::new(), Vec::new(), Vec::with_capacity(values.len()));
    for object in values {
        let members = object.map(Json::members).unwrap_or_default();
        let before = items.len();
        for (n, (name, member)) in members.iter().enumerate() {
            // The last of several equal keys wins.
            if !members[n + 1..].iter().any(|(later, _)| later == name) {
                keys.push(Some(name.to_string()));
                items.push(Some(*member));
            }
        }
        lengths.push(items.len() - before);
    }
    let keys = cast_array(&(Arc::new(StringArray::from(keys)) as ArrayRef), key, context)?;
    if keys.null_count() > 0 {
        return Err(FunctionError::arguments(format!("{NAME}: a key of a map is no {key}")).into());
    }
    let items = column(&items, value, context)?;
    let DataType::Map(entries, _) = engine_type(&OdpsType::Map(Box::new(key.clone()), Box::new(value.clone()))) else {
        return Err(FunctionError::internal("a map is no map").into());
    };
    let DataType::Struct(fields) = entries.data_type().clone() else {
        return Err(FunctionError::internal("a map without entries").into());
    };
    let pairs = StructArray::try_new(fields, vec![keys, items], None)?;
    let offsets = OffsetBuffer::from_lengths(lengths);
    Ok(Arc::new(MapArray::try_new(entries, offsets, pairs, Some(valid(values)), false)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    // MaxCompute documentation of FROM_JSON: a schema is a type or a list of fields.
    #[test]
    fn schemas_are_types_or_lists_of_fields() {
        let parsed = |text: &str| schema(text).map(|t| t.to_string()).map_err(|e| e.details);
        assert_eq!(parsed("array<bigint>").as_deref(), Ok("array<bigint>"));
        assert_eq!(parsed("a int, b map<string, int>").as_deref(), Ok("struct<a:int,b:map<string,int>>"));
        assert_eq!(parsed("a:int, b double").as_deref(), Ok("struct<a:int,b:double>"));
        assert_eq!(parsed("p decimal(10, 2)").as_deref(), Ok("struct<p:decimal(10,2)>"));
        assert!(parsed("int").is_err());
        assert!(parsed("a wibble").is_err());
    }
}
