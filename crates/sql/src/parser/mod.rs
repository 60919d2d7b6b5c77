//! From text to statements.
//!
//! A recursive-descent parser without backtracking: it reads every token once, so its time is linear and an error names
//! the first token that fits nowhere. Queries become sqlparser syntax trees, which is what DataFusion plans from;
//! sqlparser's own parser is not used, because it tries alternatives (time doubles with each nested join or CAST), blames
//! the wrong token when the last alternative fails, and reserves words that MaxCompute tables have as column names.

mod alter;
mod blocks;
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
mod program;
mod query;
mod registry;
mod sample;
mod script;
mod security;
mod sets;
mod sql_function;
mod unnest;
mod words;

pub use lateral::{is_table_function, lift_table_function};
pub use program::{Compute, IN_HAND, Next, Program, Reader};
pub use sql_function::PARAMETERS;
use sqlparser::ast::Query;
pub use unnest::UNNEST_WITH_OFFSET;

use crate::sql_function::SqlFunction;
use crate::{Position, Result, SqlError, Statement};

/// A script: settings and statements in order.
#[derive(Debug, Clone, PartialEq)]
pub struct Script {
    /// The `SET key=value` before the first other statement, in order, keys as written and possibly repeated: the last
    /// one counts. Later ones are [`Statement::Set`].
    pub settings: Vec<(String, String)>,
    /// Those of all branches, and those of a LOOP once.
    pub statements: Vec<Parsed>,
    /// What it does depends on values that must be computed: a [`Program`] is to be run.
    pub computes: bool,
    /// Where its first IF, LOOP or BEGIN is.
    pub control: Option<Position>,
}

impl Script {
    /// True if nothing is left of it, and nothing stood around what was taken.
    fn is_empty(&self) -> bool {
        self.statements.is_empty() && self.settings.is_empty() && !self.computes
    }
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
    /// How many settings, assignments, statements and blocks of the script stand before it, or before the block that it is
    /// in.
    pub place: usize,
    /// It stands in a block.
    pub in_block: bool,
}

/// Parses all statements of `text`. Errors and spans point into `text`.
///
/// ODPS-0130161 for text that follows no grammar, ODPS-0130071 for limits (nesting, expression depth, branches of set
/// operations, tables in FROM) and contradictions, ODPS-0130151 for types, ODPS-0130191 for partition specifications,
/// ODPS-0121125 for parts of a query that feitian lacks. Whole statements that it lacks are [`Statement::Unsupported`].
pub fn parse_script(text: &str) -> Result<Script> {
    let program = Program::cut(text)?;
    let mut reader = program.read_all();
    let mut statements = Vec::new();
    loop {
        match reader.step()? {
            Next::Statement(parsed) => statements.push(*parsed),
            Next::Compute(_) | Next::End => return Ok(reader.into_script(statements)),
        }
    }
}

/// Parses the definition of a SQL function, as [`crate::CreateSqlFunction`] keeps it.
pub fn parse_sql_function(text: &str) -> Result<SqlFunction> {
    let mut script = parse_script(text)?;
    match (script.statements.pop(), script.is_empty()) {
        (Some(Parsed { statement: Statement::CreateSqlFunction(create), .. }), true) => Ok(create.function),
        _ => Err(SqlError::parse(Position::START, "the text is not a single SQL function")),
    }
}

/// Parses one query, for example the text of a view. A `;` may end it.
pub fn parse_query(text: &str) -> Result<Box<Query>> {
    let mut script = parse_script(text)?;
    match (script.statements.pop(), script.is_empty()) {
        (Some(Parsed { statement: Statement::Query(query), .. }), true) => Ok(query),
        _ => Err(SqlError::parse(Position::START, "the text is not a single query")),
    }
}
