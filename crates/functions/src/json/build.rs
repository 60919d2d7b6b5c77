//! Columns as JSON text: TO_JSON, JSON_ARRAY, JSON_OBJECT.

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::DataType;
use datafusion::common::Result;

use super::scan::{Json, quote};
use crate::coercion::type_name;
use crate::error::FunctionError;
use crate::kernel::{Call, owned};
use crate::options::Context;

/// A column whose rows can be written as JSON.
enum Source {
    /// Numbers and truth values, as they stand.
    Plain(StringArray),
    Quoted(StringArray),
    /// Already JSON.
    Json(StringArray),
    List {
        items: Box<Source>,
        offsets: OffsetBuffer<i32>,
        nulls: Option<NullBuffer>,
    },
    Map {
        keys: Box<Source>,
        values: Box<Source>,
        offsets: OffsetBuffer<i32>,
        nulls: Option<NullBuffer>,
    },
    Struct {
        fields: Vec<(String, Source)>,
        nulls: Option<NullBuffer>,
    },
}

fn is_null(nulls: &Option<NullBuffer>, row: usize) -> bool {
    nulls.as_ref().is_some_and(|n| n.is_null(row))
}

impl Source {
    fn of(array: &ArrayRef, json: bool, context: &Context) -> Result<Self> {
        Ok(match array.data_type() {
            DataType::List(_) => {
                let list = array.as_list::<i32>();
                let items = Box::new(Self::of(list.values(), false, context)?);
                Self::List { items, offsets: list.offsets().clone(), nulls: list.nulls().cloned() }
            }
            DataType::Map(..) => {
                let map = array.as_map();
                let keys = Box::new(Self::of(map.keys(), false, context)?);
                let values = Box::new(Self::of(map.values(), false, context)?);
                Self::Map { keys, values, offsets: map.offsets().clone(), nulls: map.nulls().cloned() }
            }
            DataType::Struct(fields) => {
                let columns = array.as_struct().columns().iter();
                let field = |(f, c): (&arrow::datatypes::FieldRef, &ArrayRef)| {
                    Ok((f.name().clone(), Self::of(c, false, context)?))
                };
                let fields = fields.iter().zip(columns).map(field).collect::<Result<Vec<_>>>()?;
                Self::Struct { fields, nulls: array.nulls().cloned() }
            }
            DataType::Boolean => {
                let word = |b: Option<bool>| b.map(|b| if b { "true" } else { "false" });
                Self::Plain(array.as_boolean().iter().map(word).collect())
            }
            ty => {
                let texts = crate::cast::texts(array, context)?;
                match ty {
                    _ if json => Self::Json(texts),
                    t if t.is_numeric() => Self::Plain(texts),
                    _ => Self::Quoted(texts),
                }
            }
        })
    }

    fn is_null(&self, row: usize) -> bool {
        match self {
            Self::Plain(t) | Self::Quoted(t) | Self::Json(t) => t.is_null(row),
            Self::List { nulls, .. } | Self::Map { nulls, .. } | Self::Struct { nulls, .. } => is_null(nulls, row),
        }
    }

    /// Writes the value of `row`. Infinity and NaN have no JSON form and become null.
    fn write(&self, row: usize, out: &mut String) -> Result<()> {
        if self.is_null(row) {
            out.push_str("null");
            return Ok(());
        }
        match self {
            Self::Plain(t) if t.value(row).ends_with(['y', 'N']) => out.push_str("null"),
            Self::Plain(t) => out.push_str(t.value(row)),
            Self::Quoted(t) => quote(t.value(row), out),
            Self::Json(t) => match Json::parse(t.value(row)) {
                Some(json) => out.push_str(&json.compact()),
                None => return Err(FunctionError::arguments(format!("'{}' is no JSON", t.value(row))).into()),
            },
            Self::List { items, offsets, .. } => {
                out.push('[');
                for (n, item) in (offsets[row] as usize..offsets[row + 1] as usize).enumerate() {
                    if n > 0 {
                        out.push(',');
                    }
                    items.write(item, out)?;
                }
                out.push(']');
            }
            Self::Map { keys, values, offsets, .. } => {
                out.push('{');
                for (n, entry) in (offsets[row] as usize..offsets[row + 1] as usize).enumerate() {
                    if n > 0 {
                        out.push(',');
                    }
                    keys.write_name(entry, out)?;
                    out.push(':');
                    values.write(entry, out)?;
                }
                out.push('}');
            }
            Self::Struct { fields, .. } => {
                out.push('{');
                let mut first = true;
                for (name, field) in fields.iter().filter(|(_, f)| !f.is_null(row)) {
                    if !std::mem::take(&mut first) {
                        out.push(',');
                    }
                    quote(name, out);
                    out.push(':');
                    field.write(row, out)?;
                }
                out.push('}');
            }
        }
        Ok(())
    }

    /// The value of `row` as the name of a member; a complex one is its JSON text.
    fn write_name(&self, row: usize, out: &mut String) -> Result<()> {
        match self {
            Self::Plain(t) | Self::Quoted(t) => quote(t.value(row), out),
            _ => {
                let mut text = String::new();
                self.write(row, &mut text)?;
                quote(&text, out);
            }
        }
        Ok(())
    }
}

fn sources(call: &Call<'_>) -> Result<Vec<Source>> {
    (0..call.count()).map(|i| Source::of(&call.array(i)?, call.is_json(i), &call.context)).collect()
}

/// MaxCompute documentation of TO_JSON: arrays, maps and structs; fields that are NULL are left out.
pub(super) fn to_json(call: &Call<'_>) -> Result<ArrayRef> {
    let array = call.array(0)?;
    let complex = matches!(array.data_type(), DataType::List(_) | DataType::Map(..) | DataType::Struct(_));
    if !complex && !call.is_json(0) && *array.data_type() != DataType::Null {
        let has = type_name(array.data_type());
        return Err(FunctionError::argument_type("to_json", 1, &has, "ARRAY, MAP or STRUCT").into());
    }
    let source = Source::of(&array, call.is_json(0), &call.context)?;
    call.make_text(|i| {
        if source.is_null(i) {
            return Ok(None);
        }
        let mut out = String::new();
        source.write(i, &mut out)?;
        owned(out)
    })
}

pub(super) fn array(call: &Call<'_>) -> Result<ArrayRef> {
    let sources = sources(call)?;
    call.make_text(|i| {
        let mut out = String::from("[");
        for (n, source) in sources.iter().enumerate() {
            if n > 0 {
                out.push(',');
            }
            source.write(i, &mut out)?;
        }
        out.push(']');
        owned(out)
    })
}

pub(super) fn object(call: &Call<'_>) -> Result<ArrayRef> {
    if !call.count().is_multiple_of(2) {
        return Err(FunctionError::arity(call.name, "an even number of", call.count()).into());
    }
    let sources = sources(call)?;
    call.make_text(|i| {
        let mut out = String::from("{");
        for (n, pair) in sources.chunks(2).enumerate() {
            if n > 0 {
                out.push(',');
            }
            if pair[0].is_null(i) {
                return Err(FunctionError::arguments("json_object: a key is NULL").into());
            }
            pair[0].write_name(i, &mut out)?;
            out.push(':');
            pair[1].write(i, &mut out)?;
        }
        out.push('}');
        owned(out)
    })
}
