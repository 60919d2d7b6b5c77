//! JSON values with something changed, and whether one value is inside another.
//!
//! Sources: MaxCompute documentation of JSON_SET, JSON_INSERT, JSON_STRIP_NULLS and JSON_CONTAINS.

use std::borrow::Cow;

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::datatypes::DataType;
use datafusion::common::Result;

use super::scan::{Json, Kind, quote};
use super::{Paths, parse};
use crate::coercion::{is_text, type_name};
use crate::error::FunctionError;
use crate::kernel::{Call, owned};

/// `JSON, ARRAY<STRING>, JSON[, BOOLEAN]`.
pub(super) fn change_types(name: &str, types: &[DataType]) -> Result<Vec<DataType>, FunctionError> {
    let wrong = |at: usize, expects: &str| FunctionError::argument_type(name, at, &type_name(&types[at - 1]), expects);
    let text = |t: &DataType| is_text(t) || t.is_null();
    let ([json, path, value] | [json, path, value, _]) = types else {
        return Err(FunctionError::arity(name, "3 to 4", types.len()));
    };
    if !text(json) {
        return Err(wrong(1, "JSON"));
    }
    if !matches!(path, DataType::List(f) if text(f.data_type())) {
        return Err(wrong(2, "ARRAY<STRING>"));
    }
    if !text(value) {
        return Err(wrong(3, "JSON"));
    }
    let mut out = vec![DataType::Utf8, path.clone(), DataType::Utf8];
    match types.get(3) {
        None => {}
        Some(DataType::Boolean | DataType::Null) => out.push(DataType::Boolean),
        Some(_) => return Err(wrong(4, "BOOLEAN")),
    }
    Ok(out)
}

/// What happens at the end of a path.
#[derive(Debug, Clone, Copy)]
pub(super) enum Change {
    /// Replaces what is there; adds it if it is not and `create` holds.
    Set { create: bool },
    /// Adds a member, or an item before or after the one that is there.
    Insert { after: bool },
}

pub(super) fn change(call: &Call<'_>, make: fn(bool) -> Change) -> Result<ArrayRef> {
    let (json, value) = (call.texts(0)?, call.texts(2)?);
    let paths = call.array(1)?;
    let paths = paths.as_list::<i32>();
    let flags = if call.count() > 3 { Some(call.truths(3)?) } else { None };
    call.make_text(|i| {
        let (Some(json), Some(value), true) = (json.get(i), value.get(i), paths.is_valid(i)) else { return Ok(None) };
        let Some(flag) = flags.as_ref().map_or(Some(false), |f| f.get(i)) else { return Ok(None) };
        let (Some(json), Some(value)) = (parse(call, json)?, parse(call, value)?) else { return Ok(None) };
        let steps: StringArray = crate::cast::texts(&paths.value(i), &call.context)?;
        let steps: Vec<&str> = steps.iter().flatten().collect();
        owned(changed(json, &steps, value, make(flag))?)
    })
}

/// The value with a change at the end of `steps`; where the path leads nowhere it stays as it is.
fn changed(json: Json<'_>, steps: &[&str], value: Json<'_>, change: Change) -> Result<String> {
    let Some((step, rest)) = steps.split_first() else { return Ok(json.compact()) };
    match json.kind() {
        Kind::Object => {
            let members = json.members();
            let found = members.iter().position(|(name, _)| name == step);
            let mut out: Vec<(Cow<'_, str>, String)> =
                members.iter().map(|(name, v)| (name.clone(), v.compact())).collect();
            match (found, change) {
                (Some(at), _) if !rest.is_empty() => out[at].1 = changed(members[at].1, rest, value, change)?,
                (Some(at), Change::Set { .. }) => out[at].1 = value.compact(),
                (Some(_), Change::Insert { .. }) => {
                    return Err(FunctionError::arguments(format!("json_insert: the key '{step}' is there")).into());
                }
                (None, Change::Set { create: true } | Change::Insert { .. }) if rest.is_empty() => {
                    out.push((Cow::Borrowed(step), value.compact()));
                }
                _ => {}
            }
            Ok(object(&out))
        }
        Kind::Array => {
            let items = json.items();
            let mut out: Vec<String> = items.iter().map(|v| v.compact()).collect();
            let Ok(index) = step.trim().parse::<i64>() else {
                return Err(FunctionError::arguments(format!("'{step}' is no index of a JSON array")).into());
            };
            let count = items.len() as i64;
            let at = usize::try_from(if index < 0 { count + index } else { index }).ok();
            let found = at.filter(|at| *at < items.len());
            match (found, change) {
                (Some(at), _) if !rest.is_empty() => out[at] = changed(items[at], rest, value, change)?,
                (Some(at), Change::Set { .. }) => out[at] = value.compact(),
                (Some(at), Change::Insert { after }) => out.insert(at + usize::from(after), value.compact()),
                (None, Change::Set { create: true } | Change::Insert { .. }) if rest.is_empty() => {
                    // Beyond the end it is appended, before the beginning it is put in front.
                    out.insert(if index < 0 { 0 } else { items.len() }, value.compact());
                }
                _ => {}
            }
            Ok(format!("[{}]", out.join(",")))
        }
        _ => Ok(json.compact()),
    }
}

fn object(members: &[(Cow<'_, str>, String)]) -> String {
    let mut out = String::from("{");
    for (i, (name, value)) in members.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        quote(name, &mut out);
        out.push(':');
        out.push_str(value);
    }
    out + "}"
}

/// Without anything left the result is JSON's null.
pub(super) fn strip_nulls(call: &Call<'_>) -> Result<ArrayRef> {
    let json = call.texts(0)?;
    let flag = |at: usize| if call.count() > at { call.truths(at).map(Some) } else { Ok(None) };
    let (arrays, empty) = (flag(1)?, flag(2)?);
    call.make_text(|i| {
        let Some(arrays) = arrays.as_ref().map_or(Some(true), |f| f.get(i)) else { return Ok(None) };
        let Some(empty) = empty.as_ref().map_or(Some(false), |f| f.get(i)) else { return Ok(None) };
        let Some(json) = json.get(i).map(|t| parse(call, t)).transpose()?.flatten() else { return Ok(None) };
        owned(stripped(json, arrays, empty).unwrap_or_else(|| "null".to_string()))
    })
}

/// The value without nulls in it; `None` for null, and for what is empty then if `empty` holds.
fn stripped(json: Json<'_>, arrays: bool, empty: bool) -> Option<String> {
    match json.kind() {
        Kind::Null => None,
        Kind::Object => {
            let keep = |(name, v): (_, Json<'_>)| stripped(v, arrays, empty).map(|text| (name, text));
            let members: Vec<(Cow<'_, str>, String)> = json.members().into_iter().filter_map(keep).collect();
            (!empty || !members.is_empty()).then(|| object(&members))
        }
        Kind::Array => {
            let item = |v: Json<'_>| match stripped(v, arrays, empty) {
                None if !arrays => Some("null".to_string()),
                kept => kept,
            };
            let items: Vec<String> = json.items().into_iter().filter_map(item).collect();
            (!empty || !arrays || !items.is_empty()).then(|| format!("[{}]", items.join(",")))
        }
        _ => Some(json.raw().to_string()),
    }
}

/// A path that is none, or that leads nowhere, is FALSE.
pub(super) fn contains(call: &Call<'_>) -> Result<ArrayRef> {
    let (json, wanted) = (call.texts(0)?, call.texts(1)?);
    let mut paths = if call.count() > 2 { Some(Paths::of(call, 2)?) } else { None };
    call.make_bool(|i| {
        let (Some(json), Some(wanted)) = (json.get(i), wanted.get(i)) else { return Ok(None) };
        let (Some(json), Some(wanted)) = (parse(call, json)?, parse(call, wanted)?) else { return Ok(None) };
        let places = match &mut paths {
            None => vec![json],
            Some(paths) => match paths.get(i) {
                None => return Ok(None),
                Some(path) => path.map(|p| p.select(json)).unwrap_or_default(),
            },
        };
        Ok(Some(places.into_iter().any(|place| is_inside(wanted, place))))
    })
}

/// Whether every part of `wanted` is found in `place`; an array holds a value that one of its items holds.
fn is_inside(wanted: Json<'_>, place: Json<'_>) -> bool {
    match (wanted.kind(), place.kind()) {
        (Kind::Array, Kind::Array) => wanted.items().into_iter().all(|w| is_inside(w, place)),
        (_, Kind::Array) => place.items().into_iter().any(|p| is_inside(wanted, p)),
        (Kind::Object, Kind::Object) => {
            wanted.members().iter().all(|(name, w)| place.member(name).is_some_and(|p| is_inside(*w, p)))
        }
        (Kind::Number, Kind::Number) => wanted.raw().parse::<f64>().ok() == place.raw().parse::<f64>().ok(),
        (Kind::Text, Kind::Text) => wanted.text() == place.text(),
        (a, b) => a == b && wanted.raw() == place.raw(),
    }
}
