//! From text to statements.
//!
//! A recursive-descent parser without backtracking: it reads every token once, so its time is linear and an error names
//! the first token that fits nowhere. Queries become sqlparser syntax trees, which is what DataFusion plans from;
//! sqlparser's own parser is not used, because it tries alternatives (time doubles with each nested join or CAST), blames
//! the wrong token when the last alternative fails, and reserves words that MaxCompute tables have as column names.

mod alter;
mod columns;
mod command;
mod create;
mod cursor;
mod dml;
mod expr;
mod files;
mod from;
mod function;
mod insert;
mod interval;
mod jobs;
mod labels;
mod lateral;
mod materialized;
mod number;
mod operand;
mod pivot;
mod query;
mod registry;
mod script;
mod security;
mod sets;
mod unnest;
mod words;

pub use lateral::{is_table_function, lift_table_function};
use sqlparser::ast::Query;

use crate::splitter::{self, Piece};
use crate::{Position, Result, SqlError, Statement};
use cursor::Parser;
use script::{Variable, Variables};

/// A script: settings and statements in order.
#[derive(Debug, Clone, PartialEq)]
pub struct Script {
    /// The `SET key=value` before the first other statement, in order, keys as written and possibly repeated: the last
    /// one counts. Later ones are [`Statement::Set`].
    pub settings: Vec<(String, String)>,
    pub statements: Vec<Parsed>,
}

/// A statement with its source.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {
    pub statement: Statement,
    /// As written, without the `;`.
    pub text: String,
    /// Where `text` begins in the script.
    pub position: Position,
    /// The statement reads script variables: how many statements stand before the oldest of their queries, which are read
    /// where they are used.
    pub variables: Option<usize>,
}

/// Parses all statements of `text`. Errors and spans point into `text`.
///
/// ODPS-0130161 for text that follows no grammar, ODPS-0130071 for limits (nesting, expression depth, branches of set
/// operations, tables in FROM) and contradictions, ODPS-0130151 for types, ODPS-0130191 for partition specifications,
/// ODPS-0121125 for parts of a query that feitian lacks. Whole statements that it lacks are [`Statement::Unsupported`].
pub fn parse_script(text: &str) -> Result<Script> {
    let mut script = Script { settings: Vec::new(), statements: Vec::new() };
    let pieces = splitter::cut(text)?;
    let (mut variables, mut expanded) = (Vec::new(), 0);
    for (piece, tokens) in &pieces {
        let Piece { text: source, line, column, setting, .. } = piece;
        let position = Position { line: *line, column: *column };
        let mut used = None;
        let statement = match setting {
            Some(_) if !variables.is_empty() => {
                return Err(SqlError::unsupported(position, "SET after a script variable"));
            }
            Some(setting) if script.statements.is_empty() => {
                script.settings.push(setting.clone());
                continue;
            }
            Some((key, value)) => Statement::Set { key: key.clone(), value: value.clone() },
            None => {
                let mut parser = Parser::new(text, tokens, Variables::new(&variables, expanded));
                if let Some((name, holds, before)) = parser.assignment()? {
                    expanded = parser.variables.expanded;
                    let since = parser.variables.since.unwrap_or(script.statements.len());
                    variables.push(Variable { name, holds, tokens: &tokens[before..], since });
                    continue;
                }
                let statement = parser.statement()?;
                parser.check_variables(&statement)?;
                (expanded, used) = (parser.variables.expanded, parser.variables.since);
                statement
            }
        };
        script.statements.push(Parsed { statement, text: source.to_string(), position, variables: used });
    }
    Ok(script)
}

/// Parses one query, for example the text of a view. A `;` may end it.
pub fn parse_query(text: &str) -> Result<Box<Query>> {
    let mut script = parse_script(text)?;
    match (script.statements.pop(), script.statements.is_empty() && script.settings.is_empty()) {
        (Some(Parsed { statement: Statement::Query(query), .. }), true) => Ok(query),
        _ => Err(SqlError::parse(Position::START, "the text is not a single query")),
    }
}
