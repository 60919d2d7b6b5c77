//! Statements that create, change and drop tables, views and partitions.
//!
//! What touches no file is one transaction of the metadata together with the step of the instance; what touches files
//! goes through the commit protocol.

mod alter;
mod copies;
mod create;
mod files;
mod functions;
mod partitions;
mod rewrite;
mod schemas;

use std::time::Duration;

use feitian_base::{Kind, Result, clock, failpoint};
use feitian_meta::{Step, Table, split_local_name};
use feitian_sql::{AlterTable, CloneTable, CreateTable, CreateView, DropTable, Position, RestoreTable, Truncate};
use sqlparser::ast::{ObjectName, Spanned};

use crate::catalog::OpenTable;
use crate::insert::ATTEMPTS;
use crate::query::errors::{self, semantic, statement_error};
use crate::query::{Session, names, rights};
use crate::system::SystemTable;

pub(crate) use alter::LIFECYCLE_OFF;
pub(crate) use create::{CLUSTERING, check_columns, check_comment, clustering_text, exists};
pub(crate) use files::{is_transactional, merge as merge_files};
pub(crate) use functions::{
    create as create_function, create_sql as create_sql_function, drop_function, drop_resource, function_name,
    make_temporary, resource_name,
};
pub(crate) use schemas::{create as create_schema, drop as drop_schema};

/// `CREATE TABLE`
pub(crate) async fn create_table(session: &Session, create: CreateTable, index: i64) -> Result<()> {
    failpoint::hit("ddl.before");
    create::table(session, create, index).await?;
    failpoint::hit("ddl.after");
    Ok(())
}

/// `CREATE VIEW`
pub(crate) async fn create_view(session: &Session, create: CreateView, index: i64) -> Result<()> {
    failpoint::hit("ddl.before");
    create::view(session, create, index).await?;
    failpoint::hit("ddl.after");
    Ok(())
}

/// `DROP TABLE` and `DROP VIEW`
pub(crate) async fn drop_table(session: &Session, drop: DropTable, index: i64) -> Result<()> {
    failpoint::hit("ddl.before");
    let at = Position::from(drop.name.span());
    let (project, name, _) = names::table_name(&drop.name, session)?;
    rights::enter(session, &project).await?;
    let Some(row) = session.warehouse.meta().table_named(&project, &name).await? else {
        return match (drop.if_exists, drop.view || drop.materialized) {
            (true, _) => Ok(()),
            (false, false) => Err(errors::no_table(at, &project, &name)),
            (false, true) => {
                let detail = format!("view {project}.{name} cannot be resolved");
                Err(statement_error(Kind::NotFound, "ODPS-0130201", at, "View not found", &detail))
            }
        };
    };
    rights::check_table(session, &row, "Drop", at).await?;
    check_kind(&row, &drop, at)?;
    match (row.view_text.is_some(), drop.view) {
        (true, false) => {
            let detail = format!("{project}.{name} is a view, use DROP VIEW");
            return Err(statement_error(Kind::Invalid, "ODPS-0130031", at, "Failed to drop table", &detail));
        }
        (false, true) => return Err(invalid_view(at, format!("{project}.{name} is a table, use DROP TABLE"))),
        _ => {}
    }
    session.warehouse.meta().drop_table(&row.id, clock::tick_ms(), &session.step(index)).await?;
    failpoint::hit("ddl.after");
    Ok(())
}

/// Refuses to drop a materialized view as something else, and the other way round.
fn check_kind(row: &Table, drop: &DropTable, at: Position) -> Result<()> {
    let name = format!("{}.{}", row.project, row.local_name());
    match (crate::materialized::is_materialized(row), drop.materialized) {
        (true, false) => {
            let detail = format!("{name} is a materialized view, use DROP MATERIALIZED VIEW");
            Err(statement_error(Kind::Invalid, "ODPS-0130031", at, "Failed to drop table", &detail))
        }
        (false, true) => Err(invalid_view(at, format!("{name} is no materialized view"))),
        _ => Ok(()),
    }
}

/// `ALTER TABLE`, `ALTER VIEW` and `ALTER MATERIALIZED VIEW`
pub(crate) async fn alter_table(session: &Session, alter: AlterTable, index: i64) -> Result<()> {
    failpoint::hit("ddl.before");
    alter::run(session, alter, index).await?;
    failpoint::hit("ddl.after");
    Ok(())
}

/// `TRUNCATE TABLE`
pub(crate) async fn truncate(session: &Session, truncate: Truncate, index: i64) -> Result<()> {
    failpoint::hit("ddl.before");
    partitions::truncate(session, truncate, index).await?;
    failpoint::hit("ddl.after");
    Ok(())
}

/// `CLONE TABLE`
pub(crate) async fn clone_table(session: &Session, clone: CloneTable, index: i64) -> Result<()> {
    failpoint::hit("ddl.before");
    copies::clone(session, clone, index).await?;
    failpoint::hit("ddl.after");
    Ok(())
}

/// `RESTORE TABLE`
pub(crate) async fn restore_table(session: &Session, restore: RestoreTable, index: i64) -> Result<()> {
    failpoint::hit("ddl.before");
    copies::restore(session, restore, index).await?;
    failpoint::hit("ddl.after");
    Ok(())
}

fn invalid_view(at: Position, detail: impl AsRef<str>) -> feitian_base::Error {
    statement_error(Kind::Invalid, "ODPS-0130231", at, "Invalid view", detail.as_ref())
}

/// The table or view `name`, which is to be altered.
pub(crate) async fn open(session: &Session, name: &ObjectName) -> Result<OpenTable> {
    open_for(session, name, "Alter").await
}

/// The table or view `name`, with which `action` is to be done.
async fn open_for(session: &Session, name: &ObjectName, action: &str) -> Result<OpenTable> {
    let at = Position::from(name.span());
    let (project, table, _) = names::table_name(name, session)?;
    if let Some(system) = SystemTable::named(&project, &table) {
        return Ok(system.described());
    }
    rights::enter(session, &project).await?;
    let open = session.warehouse.catalog().open(&project, &table).await.map_err(|e| match e.code() {
        "ODPS-0130131" => errors::no_table(at, &project, &table),
        _ => e,
    })?;
    rights::check_table(session, &open.row, action, at).await?;
    Ok(open)
}

/// Checks a new name of a table or view.
pub(crate) fn check_name(local: &str, at: Position) -> Result<()> {
    let (_, name) = split_local_name(local);
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if name.is_empty() || name.len() > 128 || !plain {
        let rule = "at most 128 letters, digits and underscores";
        return Err(semantic(at, format!("invalid table name '{name}': a name has {rule}")));
    }
    Ok(())
}

/// Changes the row of a table or view; runs again when another statement got in between.
pub(crate) async fn update_row(
    session: &Session,
    name: &ObjectName,
    step: &Step,
    change: impl Fn(&mut Table) -> Result<()>,
) -> Result<()> {
    let mut attempt = 1;
    loop {
        let open = open(session, name).await?;
        let (before, mut row) = (open.row.schema_version, open.row);
        change(&mut row)?;
        row.ddl_ms = clock::tick_ms();
        match session.warehouse.meta().update_table(&row, before, step).await {
            Err(e) if e.kind() == Kind::Conflict && e.code() == "ODPS-0110061" && attempt < ATTEMPTS => {
                attempt += 1;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            result => return result,
        }
    }
}
