//! Columns between the engine and a process: Arrow's buffers, little endian, each filled up to a multiple of eight bytes.
//!
//! A column is a number that says whether it has NULLs, the bitmap of what is there if so, and the buffers of its type:
//!
//! | type | buffers |
//! |---|---|
//! | whole numbers, FLOAT, DOUBLE | the values |
//! | BOOLEAN | a bitmap |
//! | STRING, VARCHAR, CHAR, BINARY | 32-bit offsets from 0, one more than values; the bytes |
//! | DATE | days since 1970-01-01, 32 bits |
//! | DATETIME | microseconds from 1970-01-01 to what a clock in the session's zone shows, 64 bits |
//! | DECIMAL | 128-bit numbers without the point |
//! | ARRAY | 32-bit offsets; the column of the items |
//! | MAP | 32-bit offsets; the columns of keys and values |
//! | STRUCT | the columns of the fields |
//!
//! What a process answers is foreign: nothing in it is believed.

mod get;
mod put;

use feitian_types::DataType;
use serde_json::{Value, json};

pub(crate) use get::{Cursor, column};
pub(crate) use put::put_column;

/// The words of what is wrong with a column.
pub(crate) type Framed<T> = Result<T, String>;

/// Whether columns of `ty` can travel; the words of the error name the type.
pub fn supported(ty: &DataType) -> Result<(), String> {
    match ty {
        DataType::Timestamp
        | DataType::TimestampNtz
        | DataType::IntervalDayTime
        | DataType::IntervalYearMonth
        | DataType::Json => Err(format!("user code with {} is not supported", ty.to_string().to_uppercase())),
        DataType::Array(items) => supported(items),
        DataType::Map(keys, items) => supported(keys).and_then(|()| supported(items)),
        DataType::Struct(fields) => fields.iter().try_for_each(|(_, ty)| supported(ty)),
        _ => Ok(()),
    }
}

/// The type as `column_type` of `worker.py` reads it.
pub(crate) fn described(ty: &DataType) -> Value {
    match ty {
        DataType::Varchar(_) | DataType::Char(_) => json!("string"),
        DataType::Decimal(precision, scale) => json!(["decimal", precision, scale]),
        DataType::Array(items) => json!(["array", described(items)]),
        DataType::Map(keys, items) => json!(["map", described(keys), described(items)]),
        DataType::Struct(fields) => {
            let fields: Vec<Value> = fields.iter().map(|(name, ty)| json!([name, described(ty)])).collect();
            json!(["struct", fields])
        }
        plain => json!(plain.to_string()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
