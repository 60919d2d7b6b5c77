//! One file per command. Each reads its arguments, asks the server, and prints.

pub(crate) mod account;
pub(crate) mod admin;
pub(crate) mod check;
pub(crate) mod confirm;
pub(crate) mod explain;
pub(crate) mod instance;
pub(crate) mod key;
pub(crate) mod ots;
mod ots_export;
pub(crate) mod project;
pub(crate) mod sql;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::failure::{Failure, Result};

/// The fields of an answer, for printing.
pub(crate) fn item(answer: &impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(answer) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    }
}

/// Splits `key=value`; the value may be empty or hold further `=`.
pub(crate) fn key_value(text: &str) -> Result<(String, String)> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_string(), value.to_string())),
        _ => Err(Failure::new(format!("`{text}` does not have the form KEY=VALUE"))),
    }
}
