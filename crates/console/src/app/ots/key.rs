//! Keys of the table store: as they are typed in, as addresses have them, and as they are shown.

use feitian_api::Query;
use feitian_api::admin::types::{OtsHex, OtsKeyColumn, OtsKeyPart};
use feitian_base::{Error, Kind, Result};

use crate::app::words::Words;
use crate::show::{self, fill};

/// The fields of a form, one for each column of the longest key, which is that of an index.
const FIELDS: [&str; 8] = ["key1", "key2", "key3", "key4", "key5", "key6", "key7", "key8"];
/// Characters of a value that a page shows; keys have at most 1,024 bytes in each column.
const SHOWN: usize = 200;

/// A column of the key in a form.
pub(super) struct Field {
    pub id: &'static str,
    pub name: String,
    pub ty: String,
    pub value: String,
}

/// The fields of the form with what was typed in before. Values with hidden characters are left out: they would show
/// something else than they are.
pub(super) fn fields(key: &[OtsKeyColumn], query: &Query) -> Vec<Field> {
    let field = |(id, column): (&'static str, &OtsKeyColumn)| {
        let typed = query.get(id).filter(|text| show::seen(text) == *text).unwrap_or_default();
        Field { id, name: show::short(&column.name, SHOWN), ty: column.ty.clone(), value: typed.to_string() }
    };
    FIELDS.into_iter().zip(key).map(field).collect()
}

/// Whether a form was sent, with values or without.
pub(super) fn is_typed(query: &Query) -> bool {
    FIELDS.iter().any(|field| query.has(field))
}

/// The values of the first columns, up to the first field that was left empty.
pub(super) fn typed_start(key: &[OtsKeyColumn], query: &Query) -> Result<Vec<OtsKeyPart>> {
    let mut parts = Vec::new();
    let mut missing: Option<&OtsKeyColumn> = None;
    for (field, column) in FIELDS.into_iter().zip(key) {
        match (query.get(field), missing) {
            (None, _) => missing = missing.or(Some(column)),
            (Some(text), None) => parts.push(part(column, text)?),
            (Some(_), Some(before)) => {
                return Err(wrong(format!(
                    "key column '{}' has a value, and '{}' before it has none",
                    column.name, before.name
                )));
            }
        }
    }
    Ok(parts)
}

/// The values of all columns. An empty field is a text or bytes without length.
pub(super) fn typed_whole(key: &[OtsKeyColumn], query: &Query) -> Result<Vec<OtsKeyPart>> {
    let fields = FIELDS.into_iter().zip(key);
    fields.map(|(field, column)| part(column, query.get(field).unwrap_or_default())).collect()
}

/// A value of this column, as somebody types it in.
fn part(column: &OtsKeyColumn, text: &str) -> Result<OtsKeyPart> {
    let name = &column.name;
    match column.ty.as_str() {
        "integer" => text.trim().parse().map(OtsKeyPart::Integer).map_err(|_| {
            wrong(format!("the value of key column '{name}' must be a whole number of 64 bits, not '{text}'"))
        }),
        "binary" => {
            let digits: String = text.chars().filter(|c| !c.is_whitespace()).collect();
            let digits = digits.strip_prefix("0x").unwrap_or(&digits);
            if !digits.chars().all(|c| c.is_ascii_hexdigit()) || !digits.len().is_multiple_of(2) {
                let words = "must be hexadecimal, two digits for each byte";
                return Err(wrong(format!("the value of key column '{name}' {words}, not '{text}'")));
            }
            Ok(OtsKeyPart::Binary(OtsHex { hex: digits.to_ascii_lowercase() }))
        }
        _ => Ok(OtsKeyPart::String(text.to_string())),
    }
}

pub(super) fn wrong(message: String) -> Error {
    Error::new(Kind::Invalid, "InvalidParameter", message)
}

/// The values as an address has them.
pub(super) fn json(parts: &[OtsKeyPart]) -> String {
    serde_json::to_string(parts).expect("numbers and texts are always JSON")
}

/// A value as text, with what must be said of it. Either may be empty.
pub(super) struct Shown {
    pub text: String,
    pub note: String,
}

/// A value of a key.
pub(super) fn shown(w: &Words, part: &OtsKeyPart) -> Shown {
    match part {
        OtsKeyPart::Integer(number) => Shown { text: number.to_string(), note: String::new() },
        OtsKeyPart::String(text) if text.is_empty() => empty(w),
        OtsKeyPart::String(text) => {
            let is_cut = text.chars().nth(SHOWN).is_some();
            let size = show::bytes(text.len() as u64);
            let note = if is_cut { fill(w.ots_cut, &[("size", &size)]) } else { String::new() };
            Shown { text: show::short(text, SHOWN), note }
        }
        OtsKeyPart::Binary(OtsHex { hex }) => {
            let pattern = if hex.len() > SHOWN { w.ots_binary_cut } else { w.ots_binary };
            let note = fill(pattern, &[("size", &show::bytes(hex.len() as u64 / 2))]);
            Shown { text: show::short(hex, SHOWN), note }
        }
    }
}

/// What is shown of a text without length.
pub(super) fn empty(w: &Words) -> Shown {
    Shown { text: String::new(), note: w.ots_empty.to_string() }
}
