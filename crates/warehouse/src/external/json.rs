//! JSON lines: each is an object, whose members are columns by name.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use feitian_base::{Error, Result};
use feitian_functions::{Context, cast_array};
use feitian_types::{Column, DataType};
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::write::{check_seconds, no_text};

/// So much of a value is shown.
const SHOWN: usize = 64;

/// The columns that are wanted of lines.
pub(super) struct JsonFields {
    types: Vec<DataType>,
    /// Where each name stands among them.
    places: HashMap<String, usize>,
}

impl JsonFields {
    pub(super) fn of<'a>(columns: impl Iterator<Item = &'a Column>) -> Self {
        let (mut types, mut places) = (Vec::new(), HashMap::new());
        for column in columns {
            places.insert(column.name.clone(), types.len());
            types.push(column.ty.clone());
        }
        Self { types, places }
    }

    /// The text of each wanted value; the error is what is wrong with the line. Letter case of names does not matter;
    /// what no wanted column is called is not looked at.
    pub(super) fn values<'a>(&self, line: &'a str) -> Result<Vec<Option<Cow<'a, str>>>, String> {
        let mut reader = serde_json::Deserializer::from_str(line);
        let raws = Deserializer::deserialize_map(&mut reader, Wanted(self));
        let raws = raws.and_then(|raws| reader.end().map(|()| raws));
        let raws = raws.map_err(|e| format!("it is no JSON object: {e}"))?;
        let values = raws.into_iter().zip(&self.types).map(|(raw, ty)| match raw {
            Some(raw) => text(raw, ty),
            None => Ok(None),
        });
        values.collect()
    }
}

/// Takes the wanted members of an object as they are written, and keeps no others: a line may have millions.
struct Wanted<'f>(&'f JsonFields);

impl<'de> Visitor<'de> for Wanted<'_> {
    type Value = Vec<Option<&'de str>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut raws: Self::Value = vec![None; self.0.types.len()];
        while let Some(name) = map.next_key::<String>()? {
            let name = name.to_lowercase();
            let Some(slot) = self.0.places.get(&name).and_then(|place| raws.get_mut(*place)) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let raw = map.next_value::<&'de RawValue>()?;
            if slot.replace(raw.get()).is_some() {
                return Err(A::Error::custom(format!("it has more than one value of column {name}")));
            }
        }
        Ok(raws)
    }
}

fn is_number(ty: &DataType) -> bool {
    ty.is_integer() || matches!(ty, DataType::Float | DataType::Double | DataType::Decimal(..))
}

/// A JSON value as text of a type; `None` for null.
fn text<'a>(raw: &'a str, ty: &DataType) -> Result<Option<Cow<'a, str>>, String> {
    let is_text = matches!(ty, DataType::String | DataType::Varchar(_) | DataType::Char(_));
    let fits = match raw.bytes().next() {
        Some(b'n') => return Ok(None),
        Some(b'"') => {
            let text: String = serde_json::from_str(raw).map_err(|e| format!("a text cannot be read: {e}"))?;
            return Ok(Some(Cow::Owned(text)));
        }
        Some(b't' | b'f') => is_text || *ty == DataType::Boolean,
        Some(b'{' | b'[') => false,
        _ => is_text || is_number(ty),
    };
    if fits {
        return Ok(Some(Cow::Borrowed(raw)));
    }
    let shown: String = raw.chars().take(SHOWN).collect();
    Err(format!("{shown} is no {}", ty.to_string().to_uppercase()))
}

/// Appends the rows as lines.
pub(super) fn lines(batch: &RecordBatch, columns: &[Column], context: &Context, out: &mut Vec<u8>) -> Result<()> {
    let mut fields = Vec::with_capacity(columns.len());
    for (array, column) in batch.columns().iter().zip(columns) {
        if column.ty == DataType::Datetime {
            check_seconds(array, column)?;
        }
        let texts = cast_array(array, &DataType::String, context).map_err(crate::engine_error)?;
        let name = serde_json::to_string(&column.name).map_err(|e| Error::internal(e.to_string()))?;
        fields.push(Field { name, column, array, texts: texts.as_string::<i32>().clone() });
    }
    for row in 0..batch.num_rows() {
        for (i, field) in fields.iter().enumerate() {
            out.push(if i == 0 { b'{' } else { b',' });
            out.extend_from_slice(field.name.as_bytes());
            out.push(b':');
            field.write(row, out)?;
        }
        out.extend_from_slice(b"}\n");
    }
    Ok(())
}

/// A column that is written.
struct Field<'a> {
    /// In quotes.
    name: String,
    column: &'a Column,
    array: &'a ArrayRef,
    texts: StringArray,
}

impl Field<'_> {
    fn write(&self, row: usize, out: &mut Vec<u8>) -> Result<()> {
        if self.texts.is_null(row) {
            out.extend_from_slice(b"null");
            return Ok(());
        }
        let text = self.texts.value(row);
        match &self.column.ty {
            DataType::Boolean => {
                let value = if self.array.as_boolean().value(row) { "true" } else { "false" };
                out.extend_from_slice(value.as_bytes());
            }
            ty if is_number(ty) && !is_json_number(text) => {
                let why = format!("{text} in column {} is no number that JSON can write", self.column.name);
                return Err(no_text(&why));
            }
            ty if is_number(ty) => out.extend_from_slice(text.as_bytes()),
            _ => serde_json::to_writer(&mut *out, text).map_err(|e| Error::internal(e.to_string()))?,
        }
        Ok(())
    }
}

/// Whether JSON reads it as a number.
fn is_json_number(text: &str) -> bool {
    text.starts_with(|c: char| c == '-' || c.is_ascii_digit()) && serde_json::from_str::<&RawValue>(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(line: &str) -> Result<Vec<Option<String>>, String> {
        let columns = [Column::new("a", DataType::BigInt), Column::new("s", DataType::String)];
        let values = JsonFields::of(columns.iter()).values(line)?;
        Ok(values.into_iter().map(|v| v.map(Cow::into_owned)).collect())
    }

    // RFC 8259: objects, escapes and numbers; MaxCompute documentation, "JSON external tables": members too many are left
    // out, those that lack are NULL.
    #[test]
    fn members_are_columns_by_name() {
        let some = |text: &str| Some(text.to_string());
        assert_eq!(values(r#" {"s":"x\n\u00e9", "A" : -1} "#), Ok(vec![some("-1"), some("x\n\u{e9}")]));
        assert_eq!(values(r#"{"b":{"a":[1]},"s":null}"#), Ok(vec![None, None]));
        assert_eq!(values(r#"{"s":1.50}"#), Ok(vec![None, some("1.50")]));
        assert_eq!(values("{}"), Ok(vec![None, None]));
        let deep = format!(r#"{{"b":{}1{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(values(&deep), Ok(vec![None, None]));
        for bad in ["", "[]", "1", r#"{"a":1"#, r#"{"a":1}{}"#, r#"{"a":01}"#, r#"{"a":[1]}"#, r#"{"a":true}"#] {
            assert!(values(bad).is_err(), "{bad}");
        }
        assert!(values(r#"{"a":1,"A":2}"#).is_err_and(|why| why.contains("more than one value of column a")));
    }

    #[test]
    fn what_is_no_number_is_told_apart() {
        assert!(["0", "-1", "1.5", "1.0E10"].iter().all(|text| is_json_number(text)));
        assert!(["NaN", "Infinity", "-Infinity", "", "01", ".5", "1 2"].iter().all(|text| !is_json_number(text)));
    }
}
