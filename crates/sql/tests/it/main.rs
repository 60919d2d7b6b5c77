//! The front end seen from outside: what parses into what, what is refused where, and what hostile text does to it.

#![allow(clippy::unwrap_used)]

mod ddl;
mod hostile;
mod pyodps;
mod queries;
mod refusals;

use feitian_sql::{Parsed, Statement, parse_script};

/// The one statement of `text`.
fn one(text: &str) -> Statement {
    let mut statements = parse_script(text).unwrap_or_else(|e| panic!("{text}\n{e}")).statements;
    assert_eq!(statements.len(), 1, "{text}");
    let Parsed { statement, .. } = statements.remove(0);
    statement
}

/// The error of `text`, as the user sees it.
fn error(text: &str) -> String {
    match parse_script(text) {
        Ok(script) => panic!("{text}\nparses: {script:?}"),
        Err(e) => e.to_string(),
    }
}

/// What the statement, which feitian lacks, is called.
fn lacking(text: &str) -> String {
    match one(text) {
        Statement::Unsupported { what, .. } => what,
        other => panic!("{text}\n{other:?}"),
    }
}
