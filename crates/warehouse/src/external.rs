//! External tables: rows in files of our own buckets, which a table reads and writes and does not own.
//!
//! Read in this order: `location` (a bucket is a directory of the data store, and whose it is), `format` (what the
//! clauses say of the files), `files` (which files count, and how new ones come to count exactly once) with `turn` (one
//! statement at a time overwrites), `directories` (partitions), `text` with `json`, and `parquet` with `footer` and `pages`
//! (reading), `scan` (inside a query), `write` and `insert` (INSERT and UNLOAD), `load`, `create`, `alter` (partitions
//! come and go) and `collect`.
//!
//! Or the rows are in another part of the program, the table store: `source` (what such a part offers), `mapping` (which
//! table and columns), `ranges` (which keys a query asks for), `rows` (inside a query) and `put` (INSERT).

mod alter;
mod collect;
mod create;
mod directories;
mod files;
mod footer;
mod format;
mod insert;
mod json;
mod load;
mod location;
mod mapping;
mod pages;
mod parquet;
mod put;
mod ranges;
mod rows;
mod scan;
pub mod source;
mod text;
mod turn;
mod write;

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use feitian_base::{Error, Kind, Result};
use feitian_meta::Table;
use feitian_sql::{AlterOp, Position, SqlError};
use object_store::path::Path;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::query::Session;
use crate::query::errors::{self, semantic};
use format::Format;
use location::Location;
use mapping::Mapping;

pub(crate) use alter::{Added, add_partitions, drop_partitions, repair};
pub(crate) use create::create;
pub(crate) use insert::{insert, is_target, unload};
pub(crate) use load::{Loaded, load};

/// The kind of a row.
pub(crate) const EXTERNAL_TABLE: &str = "EXTERNAL_TABLE";
/// The table property that keeps where the files are and how they are written.
const EXTERNAL: &str = "feitian.external";

/// Whether the table's rows are in files that are not its own.
pub(crate) fn is_external(table: &Table) -> bool {
    table.kind == EXTERNAL_TABLE
}

/// Whether an external table is files of a bucket, and not rows of another part of the program.
pub(crate) fn has_files(table: &Table) -> bool {
    !Clauses::of(table).is_ok_and(|clauses| Mapping::is_meant(&clauses))
}

/// What the clauses around LOCATION say, as the table's row keeps it. There is no secret in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Clauses {
    pub(crate) location: String,
    pub(crate) row_format: Option<String>,
    pub(crate) stored_as: Option<String>,
    pub(crate) handler: Option<String>,
    pub(crate) options: Vec<(String, String)>,
}

impl Clauses {
    /// Those of an external table.
    pub(crate) fn of(table: &Table) -> Result<Self> {
        let all: Map<String, Value> = serde_json::from_str(&table.properties).unwrap_or_default();
        let kept = all.get(EXTERNAL).and_then(Value::as_str).and_then(|text| serde_json::from_str(text).ok());
        kept.ok_or_else(|| {
            let text = format!("table {}.{} does not say where its files are", table.project, table.local_name());
            Error::new(Kind::Corrupt, "InternalServerError", text)
        })
    }

    /// Where the files are, and how they are written.
    fn resolve(&self, at: Position) -> Result<(Location, Format)> {
        Ok((Location::parse(&self.location, at)?, Format::of(self, at)?))
    }
}

/// The table as the query engine sees it; a plan that needs one of the `hidden` columns is refused.
pub(crate) async fn provider(session: &Session, table: &Table, hidden: Vec<String>) -> Result<Arc<dyn TableProvider>> {
    let clauses = Clauses::of(table)?;
    if let Some(mapping) = Mapping::of(&clauses, Position::UNKNOWN)? {
        return rows::provider(session, table, mapping, hidden).await;
    }
    let (location, format) = clauses.resolve(Position::UNKNOWN)?;
    let (warehouse, columns) = (session.warehouse.clone(), table.schema.columns.clone());
    let source = scan::Source { warehouse, location, format, columns };
    Ok(Arc::new(scan::FilesScan::new(source, Some((Arc::new(table.clone()), hidden)))))
}

/// Refuses a change of an external table that nobody would act on.
pub(crate) fn check_alter(op: &AlterOp, at: Position) -> Result<()> {
    let is_transactional = |(key, _): &(String, String)| key.eq_ignore_ascii_case("transactional");
    match op {
        AlterOp::SetProperties { properties } if properties.iter().any(is_transactional) => {
            Err(errors::front_end(SqlError::unsupported(at, "'transactional' of an external table")))
        }
        AlterOp::DropPartitions { purge: true, .. } => {
            Err(errors::front_end(SqlError::unsupported(at, "PURGE of partitions of an external table: files stay")))
        }
        AlterOp::RenameTo { .. }
        | AlterOp::SetComment { .. }
        | AlterOp::SetColumnComment { .. }
        | AlterOp::SetProperties { .. }
        | AlterOp::UnsetProperties { .. }
        | AlterOp::AddPartitions { .. }
        | AlterOp::DropPartitions { .. }
        | AlterOp::Touch { .. }
        | AlterOp::ChangeOwner { .. } => Ok(()),
        _ => Err(errors::front_end(SqlError::unsupported(at, "this change of an external table"))),
    }
}

/// A file as users know it.
fn shown(path: &Path) -> String {
    let path: &str = path.as_ref();
    format!("oss://{}", path.strip_prefix("objects/").unwrap_or(path))
}

/// ODPS-0123131: a file is not what the table says of it, at this line if it has lines.
fn broken(path: &Path, line: Option<u64>, why: impl std::fmt::Display) -> Error {
    let place = line.map_or_else(String::new, |line| format!(" line {line}"));
    let text = format!("ODPS-0123131:[0,0] User defined function exception - {}{place}: {why}", shown(path));
    Error::new(Kind::Invalid, "ODPS-0123131", text)
}

/// The same for what the store says of it. Its own words would tell paths of the machine; they are for the log.
fn unreadable(path: &Path, e: object_store::Error) -> Error {
    if matches!(e, object_store::Error::NotFound { .. }) {
        return changed(format!("{} has gone while it was read", shown(path)));
    }
    match crate::log::store_error(e) {
        full if full.kind() == Kind::Unavailable => full,
        other => broken(path, None, "it cannot be read or listed").with_source(other),
    }
}

/// ODPS-0110061: others change the files. The same statement works when they have ended.
fn changed(what: String) -> Error {
    let text = format!("ODPS-0110061:[0,0] Failed to run ddltask - {what}; run the statement again");
    Error::new(Kind::Conflict, "ODPS-0110061", text)
}

/// ODPS-0130071 at the clause.
fn refused(at: Position, detail: impl AsRef<str>) -> Error {
    semantic(at, detail)
}
