//! JSON: paths into text and the JSON type, constructors, and values as JSON and back.
//!
//! A JSON value is its text. Functions of the JSON type also take STRING, which is read as JSON.

mod build;
mod edit;
mod path;
mod read;
mod scan;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListBuilder, StringBuilder};
use datafusion::common::Result;
use datafusion::logical_expr::ScalarUDF;

use crate::coercion::Param;
use crate::docs::Entry;
use crate::error::FunctionError;
use crate::kernel::{Call, DataType0, Function, Returns, Texts, owned};

use path::{Found, Path};
use scan::{Json, Kind};

const TEXT: Returns = Returns::Type(DataType0::Text);
const BOOL: Returns = Returns::Type(DataType0::Bool);
const JSON: Returns = Returns::Type(DataType0::Json);

pub(crate) const DOCS: &[Entry] = &[
    ("from_json", "from_json(text, schema)", "The complex value that the text describes, by a literal schema."),
    ("get_json_object", "get_json_object(json, path)", "What the path finds, as text; NULL if there is nothing."),
    ("json_array", "json_array(value, …)", "A JSON array of the values."),
    (
        "json_contains",
        "json_contains(json, value[, path])",
        "Whether the value is inside, or inside what the path finds.",
    ),
    ("json_exists", "json_exists(json, path)", "Whether the path finds anything."),
    ("json_extract", "json_extract(json, path)", "What the path finds, as JSON."),
    ("json_format", "json_format(json)", "The JSON value as text."),
    (
        "json_insert",
        "json_insert(json, array(step, …), value[, after])",
        "The JSON value with a member or an item added at the end of the path.",
    ),
    ("json_length", "json_length(json[, path])", "Items of an array, members of an object, 1 for a scalar."),
    ("json_object", "json_object(key, value, …)", "A JSON object of the keys and values."),
    ("json_parse", "json_parse(text)", "The JSON value that the text is; an error if it is none."),
    ("json_pretty", "json_pretty(json)", "The JSON value as text with a line for each part."),
    (
        "json_set",
        "json_set(json, array(step, …), value[, create])",
        "The JSON value with another value at the end of the path.",
    ),
    (
        "json_strip_nulls",
        "json_strip_nulls(json[, arrays[, empty]])",
        "The JSON value without nulls; those of arrays stay if `arrays` is FALSE, empty parts go if `empty` is TRUE.",
    ),
    ("json_type", "json_type(json)", "`object`, `array`, `string`, `number`, `boolean` or `null`."),
    ("json_unquote", "json_unquote(json)", "A JSON string without its quotes; other values as text."),
    ("json_valid", "json_valid(text)", "Whether the text is JSON."),
    ("to_json", "to_json(value)", "An array, map or struct as JSON text; struct fields that are NULL are left out."),
];

pub(crate) fn functions() -> Vec<Function> {
    use Param::{Any, TextOnly};
    vec![
        Function::new("get_json_object", &[TextOnly, TextOnly], TEXT, get_json_object),
        Function::new("json_extract", &[TextOnly, TextOnly], JSON, extract),
        Function::new("json_exists", &[TextOnly, TextOnly], BOOL, exists),
        Function::new("json_type", &[TextOnly], TEXT, |c| each(c, |v| type_of(v).to_string())),
        Function::new("json_format", &[TextOnly], TEXT, |c| each(c, |v| v.compact())),
        Function::new("json_pretty", &[TextOnly], TEXT, |c| each(c, pretty)),
        Function::new("json_unquote", &[TextOnly], TEXT, |c| each(c, |v| v.plain().into_owned())),
        Function::new("json_strip_nulls", &[TextOnly], JSON, edit::strip_nulls).optional(&[Param::Bool, Param::Bool]),
        Function::new("json_contains", &[TextOnly, TextOnly], BOOL, edit::contains).optional(&[TextOnly]),
        Function::new("json_set", &[], JSON, |c| edit::change(c, |create| edit::Change::Set { create }))
            .coerce(edit::change_types),
        Function::new("json_insert", &[], JSON, |c| edit::change(c, |after| edit::Change::Insert { after }))
            .coerce(edit::change_types),
        Function::new("json_parse", &[TextOnly], JSON, |c| each(c, |v| v.compact())),
        Function::new("json_valid", &[TextOnly], BOOL, |c| {
            let text = c.texts(0)?;
            c.make_bool(|i| Ok(text.get(i).map(|t| Json::parse(t).is_some())))
        }),
        Function::new("json_length", &[TextOnly], Returns::Type(DataType0::Big), length).optional(&[TextOnly]),
        Function::new("json_array", &[], JSON, build::array).rest(Any),
        Function::new("json_object", &[], JSON, build::object).rest(Any),
        Function::new("to_json", &[Any], TEXT, build::to_json),
    ]
}

/// The functions whose type follows from the value of an argument.
pub(crate) fn udfs() -> Vec<ScalarUDF> {
    vec![read::from_json()]
}

/// Of the JSON value in each row of a text column the parts as a list: members of an object or items of an array. With
/// `names` the members' names, and NULL for items; else the values as text.
///
/// ODPS-0121095 for other JSON values and for what is no JSON.
pub fn json_parts(texts: &ArrayRef, names: bool) -> Result<ArrayRef> {
    let texts = arrow::compute::cast(texts, &arrow::datatypes::DataType::Utf8)?;
    let texts = texts.as_string::<i32>();
    let mut out = ListBuilder::new(StringBuilder::new());
    for row in 0..texts.len() {
        if texts.is_null(row) {
            out.append(false);
            continue;
        }
        let text = texts.value(row);
        let json = Json::parse(text).filter(|json| matches!(json.kind(), Kind::Object | Kind::Array));
        let Some(json) = json else {
            let shown: String = text.chars().take(64).collect();
            let detail = format!("json_explode: '{shown}' is neither an object nor an array");
            return Err(FunctionError::arguments(detail).into());
        };
        for (name, value) in json.members() {
            out.values().append_value(if names { &*name } else { value.raw() });
        }
        for value in json.items() {
            out.values().append_option((!names).then(|| value.raw()));
        }
        out.append(true);
    }
    Ok(Arc::new(out.finish()))
}

/// The paths of one call, each read once.
struct Paths {
    texts: Texts,
    read: HashMap<String, Option<Path>>,
}

impl Paths {
    fn of(call: &Call<'_>, index: usize) -> Result<Self> {
        Ok(Self { texts: call.texts(index)?, read: HashMap::new() })
    }

    /// The path in `row`: outside `None` for NULL, inside for what is no path.
    fn get(&mut self, row: usize) -> Option<Option<&Path>> {
        let text = self.texts.get(row)?;
        if !self.read.contains_key(text) {
            self.read.insert(text.to_string(), Path::parse(text));
        }
        Some(self.read.get(text).and_then(Option::as_ref))
    }

    /// As [`Paths::get`], but what is no path is an error.
    fn checked(&mut self, row: usize) -> Result<Option<&Path>> {
        let shown = self.texts.get(row).unwrap_or_default().to_string();
        match self.get(row) {
            None => Ok(None),
            Some(Some(path)) => Ok(Some(path)),
            Some(None) => Err(FunctionError::arguments(format!("Param json path {shown} is invalid")).into()),
        }
    }
}

/// A JSON argument; text that is no JSON is an error when the statement is strict, else NULL.
fn parse<'a>(call: &Call<'_>, text: &'a str) -> Result<Option<Json<'a>>> {
    match Json::parse(text) {
        None if call.context.strict => {
            let shown: String = text.chars().take(64).collect();
            Err(FunctionError::arguments(format!("{}: '{shown}' is no JSON", call.name)).into())
        }
        found => Ok(found),
    }
}

fn each(call: &Call<'_>, f: fn(Json<'_>) -> String) -> Result<ArrayRef> {
    let text = call.texts(0)?;
    call.make_text(|i| match text.get(i) {
        None => Ok(None),
        Some(text) => parse(call, text)?.map_or(Ok(None), |json| owned(f(json))),
    })
}

/// MaxCompute documentation of GET_JSON_OBJECT: what is no JSON and what is no path is NULL, whatever the flags say.
fn get_json_object(call: &Call<'_>) -> Result<ArrayRef> {
    let (text, mut paths) = (call.texts(0)?, Paths::of(call, 1)?);
    call.make_text(|i| {
        let (Some(text), Some(Some(path))) = (text.get(i), paths.get(i)) else { return Ok(None) };
        Ok(Json::parse(text).and_then(|root| path.find(root)).map(|found| match found {
            Found::One(value) => Cow::Owned(value.plain().into_owned()),
            Found::Many(values) => Cow::Owned(joined(&values)),
        }))
    })
}

fn joined(values: &[Json<'_>]) -> String {
    format!("[{}]", values.iter().map(|v| v.raw()).collect::<Vec<_>>().join(","))
}

/// One value is itself; a path with `[*]`, or one that unwrapped an array, gives an array of all of them.
fn extract(call: &Call<'_>) -> Result<ArrayRef> {
    let (text, mut paths) = (call.texts(0)?, Paths::of(call, 1)?);
    call.make_text(|i| {
        let (Some(text), Some(path)) = (text.get(i), paths.checked(i)?) else { return Ok(None) };
        let Some(root) = parse(call, text)? else { return Ok(None) };
        match path.select(root).as_slice() {
            [] => Ok(None),
            [one] if !path.is_many() => owned(one.raw()),
            all => owned(joined(all)),
        }
    })
}

fn exists(call: &Call<'_>) -> Result<ArrayRef> {
    let (text, mut paths) = (call.texts(0)?, Paths::of(call, 1)?);
    call.make_bool(|i| {
        let (Some(text), Some(path)) = (text.get(i), paths.checked(i)?) else { return Ok(None) };
        Ok(parse(call, text)?.map(|root| !path.select(root).is_empty()))
    })
}

fn length(call: &Call<'_>) -> Result<ArrayRef> {
    let text = call.texts(0)?;
    let mut paths = if call.count() > 1 { Some(Paths::of(call, 1)?) } else { None };
    call.make_big(|i| {
        let Some(root) = text.get(i).map(|t| parse(call, t)).transpose()?.flatten() else { return Ok(None) };
        let value = match &mut paths {
            None => Some(root),
            Some(paths) => paths.checked(i)?.and_then(|p| p.select(root).first().copied()),
        };
        Ok(value.map(|v| match v.kind() {
            Kind::Object => v.members().len() as i64,
            Kind::Array => v.items().len() as i64,
            _ => 1,
        }))
    })
}

fn type_of(value: Json<'_>) -> &'static str {
    match value.kind() {
        Kind::Object => "object",
        Kind::Array => "array",
        Kind::Text => "string",
        Kind::Number => "number",
        Kind::Bool => "boolean",
        Kind::Null => "null",
    }
}

fn pretty(value: Json<'_>) -> String {
    let mut out = String::new();
    lay_out(value, 0, &mut out);
    out
}

/// A member of an object, or an item of an array, which has no name.
type Item<'a> = (Option<Cow<'a, str>>, Json<'a>);

fn lay_out(value: Json<'_>, depth: usize, out: &mut String) {
    let line = |depth: usize, out: &mut String| {
        out.push('\n');
        out.extend(std::iter::repeat_n("    ", depth));
    };
    let (open, close, entries): (char, char, Vec<Item<'_>>) = match value.kind() {
        Kind::Object => ('{', '}', value.members().into_iter().map(|(k, v)| (Some(k), v)).collect()),
        Kind::Array => ('[', ']', value.items().into_iter().map(|v| (None, v)).collect()),
        _ => return out.push_str(value.raw()),
    };
    out.push(open);
    for (i, (name, entry)) in entries.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        line(depth + 1, out);
        if let Some(name) = name {
            scan::quote(name, out);
            out.push(':');
        }
        lay_out(*entry, depth + 1, out);
    }
    if !entries.is_empty() {
        line(depth, out);
    }
    out.push(close);
}
