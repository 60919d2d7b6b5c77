//! Errors of statements in the words of the original: code, position in the text, general description, details.

use datafusion::common::{Column, DataFusionError, SchemaError};
use feitian_base::{Error, Kind};
use feitian_functions::FunctionError;
use feitian_sql::{Position, SqlError};

use super::hints;

/// `code:[line,column] general - detail`
pub(crate) fn statement_error(kind: Kind, code: &'static str, at: Position, general: &str, detail: &str) -> Error {
    Error::new(kind, code, format!("{code}:{at} {general} - {detail}"))
}

/// `ODPS-0130071`: it follows the grammar but cannot mean anything.
pub(crate) fn semantic(at: Position, detail: impl AsRef<str>) -> Error {
    statement_error(Kind::Invalid, "ODPS-0130071", at, "Semantic analysis exception", detail.as_ref())
}

/// `ODPS-0130131`
pub(crate) fn no_table(at: Position, project: &str, table: &str) -> Error {
    let detail = format!("table {project}.{table} cannot be resolved");
    statement_error(Kind::NotFound, "ODPS-0130131", at, "Table not found", &detail)
}

/// An error of the front end.
pub(crate) fn front_end(e: SqlError) -> Error {
    let kind = if e.code == "ODPS-0121125" { Kind::Unsupported } else { Kind::Invalid };
    let text = e.to_string();
    Error::new(kind, e.code, text)
}

fn of_function(e: &FunctionError, at: Position) -> Error {
    let kind = match e.code {
        "ODPS-0010000" => Kind::Internal,
        "ODPS-0121125" => Kind::Unsupported,
        _ => Kind::Invalid,
    };
    statement_error(kind, e.code, at, e.general, &e.details)
}

/// What the engine says, with the place in the text if it knows one.
pub(crate) fn engine(e: DataFusionError) -> Error {
    // Several errors at once: the first one is the one to mend first.
    if let DataFusionError::Collection(mut all) = e {
        return match all.is_empty() {
            true => Error::internal("an error without a cause"),
            false => engine(all.swap_remove(0)),
        };
    }
    let at = place(&e);
    if let Some(f) = function_error(&e) {
        return of_function(f, at);
    }
    match e.find_root() {
        DataFusionError::SchemaError(schema, _) => semantic(at, schema_words(schema)).with_source(e),
        DataFusionError::Plan(words) => match plan_words(words) {
            Some(words) => semantic(at, words).with_source(e),
            None => moved(crate::engine_error(e), at),
        },
        DataFusionError::Execution(words) if words.starts_with("Scalar subquery returned more than one row") => {
            let detail = "Data Set should contains exactly one row";
            statement_error(Kind::Invalid, "ODPS-0130111", at, "Subquery partition pruning exception", detail)
        }
        _ => moved(crate::engine_error(e), at),
    }
}

fn place(e: &DataFusionError) -> Position {
    let span = e.diagnostic().and_then(|d| d.span);
    span.map_or(Position::UNKNOWN, |s| Position {
        line: u32::try_from(s.start.line).unwrap_or(0),
        column: u32::try_from(s.start.column).unwrap_or(0),
    })
}

/// The same error with a known place instead of `[0,0]`.
pub(super) fn moved(e: Error, at: Position) -> Error {
    if at == Position::UNKNOWN || !e.message().contains(":[0,0] ") {
        return e;
    }
    let text = e.message().replacen(":[0,0] ", &format!(":{at} "), 1);
    Error::new(e.kind(), e.code().to_string(), text).with_source(e)
}

fn function_error(e: &DataFusionError) -> Option<&FunctionError> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(e);
    while let Some(c) = cause {
        if let Some(f) = c.downcast_ref::<FunctionError>() {
            return Some(f);
        }
        match c.downcast_ref::<DataFusionError>() {
            Some(DataFusionError::External(inner)) => {
                if let Some(f) = inner.downcast_ref::<FunctionError>() {
                    return Some(f);
                }
            }
            Some(DataFusionError::Shared(inner)) => return function_error(inner),
            Some(DataFusionError::ArrowError(a, _)) => {
                if let arrow::error::ArrowError::ExternalError(inner) = a.as_ref()
                    && let Some(f) = inner.downcast_ref::<FunctionError>()
                {
                    return Some(f);
                }
            }
            _ => {}
        }
        cause = c.source();
    }
    None
}

fn column_name(column: &Column) -> String {
    match &column.relation {
        // Inside, tables have two-part names; the user wrote the last part.
        Some(relation) => format!("{}.{}", relation.table(), column.name),
        None => column.name.clone(),
    }
}

fn schema_words(e: &SchemaError) -> String {
    match e {
        SchemaError::FieldNotFound { field, valid_fields } => {
            format!("column {} cannot be resolved{}", column_name(field), hints::columns(field, valid_fields))
        }
        SchemaError::AmbiguousReference { field } => {
            format!("column {} is ambiguous; write its table before it, as in t.{}", column_name(field), field.name)
        }
        SchemaError::DuplicateQualifiedField { name, .. } | SchemaError::DuplicateUnqualifiedField { name } => {
            format!("column {name} is ambiguous, because it occurs more than once; name one of them anew with AS")
        }
    }
}

/// The original's words for what the planner says; `None` if it has none of its own.
fn plan_words(words: &str) -> Option<String> {
    let quoted = |text: &str| text.split('"').nth(1).map(str::to_string);
    if words.contains("must appear in the GROUP BY clause") || words.contains("must be in GROUP BY") {
        let column = words.rsplit("column \"").next().and_then(|t| t.split("\" must").next());
        let column = column.map(|c| c.rsplit('.').next().unwrap_or(c).replace('"', ""));
        let column = column.unwrap_or_default();
        return Some(format!(
            "column reference {column} should appear in GROUP BY key, or in a function like MAX({column})"
        ));
    }
    if words.starts_with("Cannot create filter with non-boolean predicate") {
        return Some("expect a BOOLEAN expression in WHERE or HAVING".to_string());
    }
    if let Some(rest) = words.strip_prefix("Invalid function '") {
        let name = rest.split('\'').next().unwrap_or_default();
        return Some(format!("function or view '{name}' cannot be resolved"));
    }
    if words.starts_with("Projections require unique expression names") {
        let name = quoted(words).unwrap_or_default();
        let name = name.rsplit(" AS ").next()?.rsplit('.').next()?;
        return Some(format!("column {name} is ambiguous, because it occurs more than once"));
    }
    None
}
