//! Rows of a table or index: a page of a range, either way, or one row with its versions.

use std::fmt::Write;

use feitian_base::{Error, Kind, Result};
use feitian_tables::model::{Direction, GetRange, GetRow, KeySchema, Select};
use feitian_wire::ots::{Cell, KeyColumn, KeyValue, Row, Value, errors};
use serde::de::DeserializeOwned;

use super::opened;
use crate::admin::types::{OtsCellView, OtsHex, OtsKeyPart, OtsRowView, OtsRows};
use crate::answers;
use crate::call::{Answer, Call};

/// Rows of one answer.
const MOST_ROWS: u64 = 100;
/// Bytes that are told of a value, and the most that may be asked for.
const VALUE_BYTES: u64 = 1024;
const MOST_VALUE_BYTES: u64 = 64 << 10;
/// Bytes of cells in one answer; what does not fit is counted. A row of the table store has no most of cells.
const CELLS_BYTES: usize = 4 << 20;
/// What a cell takes beside its name and value.
const CELL_BYTES: usize = 64;

/// A read of rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtsRead {
    pub what: OtsWhat,
    /// Of which columns the cells are told; empty: all. Rows that have none of them are told too.
    pub columns: Vec<String>,
    /// Versions of each column.
    pub versions: u64,
    /// Bytes that are told of a value.
    pub value_bytes: u64,
}

/// Which rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OtsWhat {
    /// The one with this key.
    Row(Vec<OtsKeyPart>),
    /// Those from `start` on. Columns that it leaves out begin where the direction does.
    Range { start: Vec<OtsKeyPart>, backward: bool, count: u64 },
}

pub async fn get(call: Call) -> Answer {
    let query = &call.query;
    let what = match query.get("key") {
        Some(key) => {
            call.refuse_parameters(&["start", "direction", "count"])?;
            OtsWhat::Row(ots_key("key", key)?)
        }
        None => OtsWhat::Range {
            start: query.get("start").map(|start| ots_key("start", start)).transpose()?.unwrap_or_default(),
            backward: is_ots_backward(query.get("direction"))?,
            count: query.number("count")?.unwrap_or(MOST_ROWS),
        },
    };
    let columns = |text: &str| parse("columns", text, r#"a list of names in JSON, for example ["a","b"]"#);
    let read = OtsRead {
        what,
        columns: query.get("columns").map(columns).transpose()?.unwrap_or_default(),
        versions: query.number("versions")?.unwrap_or(1),
        value_bytes: query.number("value_bytes")?.unwrap_or(VALUE_BYTES),
    };
    answers::json(&ots_rows(&call, read).await?)
}

/// The value of the parameter `direction`.
pub fn is_ots_backward(direction: Option<&str>) -> Result<bool> {
    match direction {
        None | Some("forward") => Ok(false),
        Some("backward") => Ok(true),
        Some(other) => Err(wrong(format!("query parameter 'direction' must be forward or backward, not '{other}'"))),
    }
}

/// The values of a key, or of its first columns, as the parameter `name` has them.
pub fn ots_key(name: &str, text: &str) -> Result<Vec<OtsKeyPart>> {
    parse(name, text, r#"a list of numbers, texts and {"hex": "…"} in JSON, for example [7,"a",{"hex":"00ff"}]"#)
}

fn parse<T: DeserializeOwned>(name: &str, text: &str, form: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|_| wrong(format!("query parameter '{name}' must be {form}, not '{text}'")))
}

fn wrong(message: String) -> Error {
    Error::new(Kind::Invalid, "InvalidParameter", message)
}

/// Reads rows of the table or index of the path, as any client would: it costs the same read units.
pub async fn ots_rows(call: &Call, read: OtsRead) -> Result<OtsRows> {
    let (store, instance) = opened(call).await?;
    let table = call.segment("ots_table").to_string();
    let schema = store.describe_table(&instance.id, &table).await?.key;
    let mut room = Room { bytes: CELLS_BYTES, value_bytes: read.value_bytes.min(MOST_VALUE_BYTES) as usize };
    let select = select(&schema, read.columns, read.versions);
    match read.what {
        OtsWhat::Row(parts) => {
            let get = GetRow { table, key: key(&schema, parts, None)?, select, transaction: None };
            let got = store.get_row(&instance.id, get).await?;
            let rows = got.row.into_iter().map(|row| room.row(row)).collect();
            Ok(OtsRows { rows, next: None, read_units: got.consumed.read })
        }
        OtsWhat::Range { start, backward, count } => {
            let (direction, from, to) = if backward {
                (Direction::Backward, KeyValue::InfMax, KeyValue::InfMin)
            } else {
                (Direction::Forward, KeyValue::InfMin, KeyValue::InfMax)
            };
            let range = GetRange {
                table,
                direction,
                begin: key(&schema, start, Some(&from))?,
                end: key(&schema, Vec::new(), Some(&to))?,
                limit: i32::try_from(count.clamp(1, MOST_ROWS)).ok(),
                select,
                transaction: None,
            };
            let page = store.get_range(&instance.id, range).await?;
            let rows = page.rows.into_iter().map(|row| room.row(row)).collect();
            Ok(OtsRows { rows, next: page.next.map(parts), read_units: page.consumed.read })
        }
    }
}

/// What is read of each row. With the name of a key column a row that has no other chosen one is answered too.
fn select(schema: &[KeySchema], mut columns: Vec<String>, versions: u64) -> Select {
    if !columns.is_empty() {
        columns.extend(schema.first().map(|column| column.name.clone()));
    }
    let max_versions = Some(i32::try_from(versions).unwrap_or(i32::MAX));
    Select { columns, max_versions, ..Select::default() }
}

/// The key with these first values. Those that are left out are `rest`; without it the table store refuses such a key.
fn key(schema: &[KeySchema], parts: Vec<OtsKeyPart>, rest: Option<&KeyValue>) -> Result<Vec<KeyColumn>> {
    if parts.len() > schema.len() {
        let words = format!("The key has {} columns, and {} values were given.", schema.len(), parts.len());
        return Err(errors::invalid_key(words));
    }
    let given = parts.into_iter().map(key_value).collect::<Result<Vec<_>>>()?;
    let values = given.into_iter().chain(rest.into_iter().cycle().cloned());
    Ok(schema.iter().zip(values).map(|(column, value)| KeyColumn { name: column.name.clone(), value }).collect())
}

fn key_value(part: OtsKeyPart) -> Result<KeyValue> {
    Ok(match part {
        OtsKeyPart::Integer(number) => KeyValue::Int(number),
        OtsKeyPart::String(text) => KeyValue::Str(text),
        OtsKeyPart::Binary(OtsHex { hex }) => {
            let bytes = from_hex(&hex);
            KeyValue::Bin(bytes.ok_or_else(|| errors::invalid_key(format!("'{hex}' is not hexadecimal.")))?)
        }
    })
}

/// The values of a stored key, which has neither infinities nor placeholders.
fn parts(key: Vec<KeyColumn>) -> Vec<OtsKeyPart> {
    let part = |column: KeyColumn| match column.value {
        KeyValue::Int(number) => Some(OtsKeyPart::Integer(number)),
        KeyValue::Str(text) => Some(OtsKeyPart::String(text)),
        KeyValue::Bin(bytes) => Some(OtsKeyPart::Binary(OtsHex { hex: to_hex(&bytes) })),
        KeyValue::InfMin | KeyValue::InfMax | KeyValue::Auto => None,
    };
    key.into_iter().filter_map(part).collect()
}

fn to_hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.chars().map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()));
    let digits = digits.collect::<Option<Vec<u8>>>()?;
    let is_whole = digits.len().is_multiple_of(2);
    is_whole.then(|| digits.chunks_exact(2).map(|pair| (pair[0] << 4) | pair[1]).collect())
}

/// What is left of an answer's size.
struct Room {
    bytes: usize,
    value_bytes: usize,
}

impl Room {
    /// A row with as many of its first cells as there is room for.
    fn row(&mut self, row: Row) -> OtsRowView {
        let (mut cells, mut more_cells) = (Vec::new(), 0);
        for cell in row.cells {
            let value = cell.value.as_ref().map_or(0, Value::size);
            let size = cell.name.len() + value.min(self.value_bytes) + CELL_BYTES;
            if size > self.bytes {
                self.bytes = 0;
                more_cells += 1;
                continue;
            }
            self.bytes -= size;
            cells.extend(told(cell, self.value_bytes));
        }
        OtsRowView { key: parts(row.key), cells, more_cells }
    }
}

/// A cell with the beginning of its value; every stored one has a value and a version.
fn told(cell: Cell, most: usize) -> Option<OtsCellView> {
    let Cell { name, value, version, .. } = cell;
    let value = value?;
    let bytes = value.size() as u64;
    let (ty, text, cut) = match value {
        Value::Int(number) => ("integer", number.to_string(), false),
        // The shortest text that reads back as the same number.
        Value::Double(number) => ("double", format!("{number:?}"), false),
        Value::Bool(yes) => ("boolean", yes.to_string(), false),
        Value::Str(mut text) => {
            let end = text.floor_char_boundary(most.min(text.len()));
            let cut = end < text.len();
            text.truncate(end);
            ("string", text, cut)
        }
        Value::Bin(bytes) => ("binary", to_hex(&bytes[..most.min(bytes.len())]), most < bytes.len()),
    };
    Some(OtsCellView { name, ty: ty.to_string(), value: text, bytes, cut, version: version? })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use feitian_tables::model::KeyType;

    use super::*;

    fn schema() -> Vec<KeySchema> {
        let column = |name: &str, kind| KeySchema { name: name.into(), kind, auto_increment: false };
        vec![column("a", KeyType::Integer), column("b", KeyType::String), column("c", KeyType::Binary)]
    }

    fn values(text: &str, rest: Option<&KeyValue>) -> Result<Vec<KeyValue>> {
        let key = key(&schema(), ots_key("start", text)?, rest)?;
        Ok(key.into_iter().map(|column| column.value).collect())
    }

    fn text(text: &str) -> KeyValue {
        KeyValue::Str(text.into())
    }

    // RFC 8259: numbers, strings and objects of JSON; the numbers are the ends of 64 bits.
    #[test]
    fn a_key_is_a_list_in_json() {
        for (given, want) in [
            ("[9223372036854775807]", vec![KeyValue::Int(i64::MAX)]),
            (r#"[-9223372036854775808,""]"#, vec![KeyValue::Int(i64::MIN), text("")]),
            (
                r#"[0,"\"\u0000字",{"hex":"00fF01"}]"#,
                vec![KeyValue::Int(0), text("\"\0字"), KeyValue::Bin(vec![0, 255, 1])],
            ),
        ] {
            assert_eq!(values(given, None).unwrap(), want, "{given}");
        }
        for wrong in ["", "7", "[1.5]", "[9223372036854775808]", "[null]", r#"[{"hex":"00","x":1}]"#, "[[1]]", "[1"] {
            assert_eq!(values(wrong, None).unwrap_err().code(), "InvalidParameter", "{wrong}");
        }
        for wrong in [r#"[{"hex":"0"}]"#, r#"[{"hex":"0g"}]"#, r#"[{"hex":"字"}]"#, "[1,2,3,4]"] {
            assert_eq!(values(wrong, None).unwrap_err().code(), "OTSInvalidPK", "{wrong}");
        }
    }

    #[test]
    fn columns_without_a_value_are_at_the_end_that_was_named() {
        let want = vec![KeyValue::Int(1), KeyValue::InfMax, KeyValue::InfMax];
        assert_eq!(values("[1]", Some(&KeyValue::InfMax)).unwrap(), want);
        assert_eq!(values("[]", Some(&KeyValue::InfMin)).unwrap(), [const { KeyValue::InfMin }; 3]);
    }

    #[test]
    fn a_stored_key_comes_back_as_what_it_is_asked_for_with() {
        let stored = [KeyValue::Int(-1), text("<b>\u{202e}"), KeyValue::Bin(vec![0, 1, 254, 255])];
        let name = |value: &KeyValue| KeyColumn { name: "k".into(), value: value.clone() };
        let told = serde_json::to_string(&parts(stored.iter().map(name).collect())).unwrap();
        assert_eq!(told, "[-1,\"<b>\u{202e}\",{\"hex\":\"0001feff\"}]");
        assert_eq!(values(&told, None).unwrap(), stored);
    }

    fn cell(value: Value) -> Cell {
        Cell { name: "n".into(), value: Some(value), op: None, version: Some(5) }
    }

    #[test]
    fn long_values_are_cut_and_their_size_is_told() {
        let shown = |value| {
            let told = told(cell(value), 4).unwrap();
            (told.ty, told.value, told.bytes, told.cut)
        };
        let want = |ty: &str, value: &str, bytes, cut| (ty.to_string(), value.to_string(), bytes, cut);
        assert_eq!(shown(Value::Str("abcd".into())), want("string", "abcd", 4, false));
        // A character of three bytes is whole or not there.
        assert_eq!(shown(Value::Str("ab字c".into())), want("string", "ab", 6, true));
        assert_eq!(shown(Value::Bin(vec![0, 1, 2, 255])), want("binary", "000102ff", 4, false));
        assert_eq!(shown(Value::Bin(vec![9; 5])), want("binary", "09090909", 5, true));
        assert_eq!(shown(Value::Int(i64::MIN)), want("integer", "-9223372036854775808", 8, false));
        assert_eq!(shown(Value::Bool(true)), want("boolean", "true", 1, false));
        // IEEE 754: the least double above zero, and a whole number.
        assert_eq!(shown(Value::Double(5e-324)), want("double", "5e-324", 8, false));
        assert_eq!(shown(Value::Double(3.0)), want("double", "3.0", 8, false));
    }

    #[test]
    fn cells_without_room_are_counted() {
        let row = Row { key: Vec::new(), cells: vec![cell(Value::Int(1)); 3], deleted: false };
        let mut room = Room { bytes: 2 * (1 + 8 + CELL_BYTES), value_bytes: 100 };
        let first = room.row(row.clone());
        assert_eq!((first.cells.len(), first.more_cells), (2, 1));
        let second = room.row(row);
        assert_eq!((second.cells.len(), second.more_cells), (0, 3));
    }
}
