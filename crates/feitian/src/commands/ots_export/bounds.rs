//! Keys of the table store as people write them on the command line: JSON arrays.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use feitian_wire::ots::messages::PrimaryKeyType;
use feitian_wire::ots::{KeyColumn, KeyValue};
use serde_json::Value;

use super::KeyPart;
use crate::failure::{Failure, Result};

/// The key that `text` says, and its JSON. Columns that it leaves out are below every value, so that a key of few
/// columns is before all keys that begin with them.
pub(super) fn parse(text: &str, key: &[KeyPart]) -> Result<(Vec<KeyColumn>, Value)> {
    let wrong = |why: String| {
        Failure::new(format!("`{text}` is no key of the table: {why}"))
            .hint("write a JSON array of texts, whole numbers and {\"base64\": \"…\"}, for example '[\"Ada\", 1]'")
    };
    let given: Value = serde_json::from_str(text).map_err(|e| wrong(e.to_string()))?;
    let Value::Array(values) = &given else { return Err(wrong("it is no array".to_string())) };
    if values.len() > key.len() {
        return Err(wrong(format!("it has {} columns, and the table's key has {}", values.len(), key.len())));
    }
    let column = |(at, part): (usize, &KeyPart)| {
        let value = match values.get(at) {
            None => Ok(KeyValue::InfMin),
            Some(value) => column_value(value, part.kind).ok_or_else(|| {
                let kind = super::records::key_type(part.kind);
                wrong(format!("the column {} has the type {kind}, and {value} is none", part.name))
            }),
        };
        value.map(|value| KeyColumn { name: part.name.clone(), value })
    };
    let columns = key.iter().enumerate().map(column).collect::<Result<Vec<_>>>()?;
    Ok((columns, given))
}

fn column_value(value: &Value, kind: PrimaryKeyType) -> Option<KeyValue> {
    match kind {
        PrimaryKeyType::Integer => value.as_i64().map(KeyValue::Int),
        PrimaryKeyType::String => value.as_str().map(|text| KeyValue::Str(text.to_string())),
        PrimaryKeyType::Binary => {
            let fields = value.as_object().filter(|fields| fields.len() == 1)?;
            STANDARD.decode(fields.get("base64")?.as_str()?).ok().map(KeyValue::Bin)
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn key() -> [KeyPart; 3] {
        let part = |name: &str, kind| KeyPart { name: name.to_string(), kind };
        [part("s", PrimaryKeyType::String), part("n", PrimaryKeyType::Integer), part("b", PrimaryKeyType::Binary)]
    }

    fn values(text: &str) -> Vec<KeyValue> {
        parse(text, &key()).unwrap().0.into_iter().map(|column| column.value).collect()
    }

    // RFC 4648, section 10: "Zm9v" is "foo".
    #[test]
    fn a_key_is_an_array_of_as_many_columns_as_matter() {
        let (ada, foo) = (KeyValue::Str("Ada".into()), KeyValue::Bin(b"foo".to_vec()));
        assert_eq!(values(r#"["Ada", -1, {"base64": "Zm9v"}]"#), [ada.clone(), KeyValue::Int(-1), foo]);
        assert_eq!(values(r#"["Ada"]"#), [ada, KeyValue::InfMin, KeyValue::InfMin]);
        assert_eq!(values("[]"), [KeyValue::InfMin, KeyValue::InfMin, KeyValue::InfMin]);
        let names: Vec<_> = parse("[]", &key()).unwrap().0.into_iter().map(|column| column.name).collect();
        assert_eq!(names, ["s", "n", "b"]);
    }

    #[test]
    fn what_is_no_key_is_refused_by_what_is_wrong_with_it() {
        for (text, why) in [
            ("Ada", "expected value"),
            (r#""Ada""#, "no array"),
            (r#"["Ada", 1, {"base64": ""}, 2]"#, "4 columns"),
            ("[1]", "column s has the type STRING"),
            (r#"["Ada", "1"]"#, "column n has the type INTEGER"),
            (r#"["Ada", 1.5]"#, "column n has the type INTEGER"),
            (r#"["Ada", 9223372036854775808]"#, "column n has the type INTEGER"),
            (r#"["Ada", 1, "Zm9v"]"#, "column b has the type BINARY"),
            (r#"["Ada", 1, {"base64": "Zm9"}]"#, "column b has the type BINARY"),
            (r#"["Ada", 1, {"base64": "Zm9v", "more": 1}]"#, "column b has the type BINARY"),
        ] {
            let failure = parse(text, &key()).err().unwrap();
            assert!(failure.message().contains(why), "{text}: {failure:?}");
        }
    }
}
