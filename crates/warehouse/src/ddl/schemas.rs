//! CREATE SCHEMA and DROP SCHEMA.

use feitian_base::{Error, Kind, Result, clock, failpoint};
use feitian_meta::{Claim, Schema, Target};
use sqlparser::ast::ObjectName;

use super::{check_name, create};
use crate::query::errors::{semantic, statement_error};
use crate::query::{Session, names, rights};

/// The error of a change of schemas in the words of the original.
fn ddl_error(e: &Error, at: feitian_sql::Position) -> Error {
    statement_error(e.kind(), "ODPS-0110061", at, "Failed to run ddltask", e.message())
}

/// `CREATE SCHEMA [IF NOT EXISTS] [project.]schema [COMMENT '…']`
pub(crate) async fn create(
    session: &Session,
    name: &ObjectName,
    comment: Option<String>,
    if_not_exists: bool,
    index: i64,
) -> Result<()> {
    let schema = names::schema_of(session, name)?;
    let project = Target::project(&schema.project);
    let wanted = [("Write", project.clone()), ("CreateSchema", project)];
    rights::check(session, &schema.project, &wanted, Claim::Nothing).await?;
    check_name(&schema.name, schema.at)?;
    if schema.name == schema.project {
        let detail = format!("a schema of project {} cannot have the project's name", schema.project);
        return Err(semantic(schema.at, detail));
    }
    let comment = comment.unwrap_or_default();
    create::check_comment(&comment, schema.at)?;
    let now = clock::tick_ms();
    let row = Schema {
        project: schema.project,
        name: schema.name,
        owner: session.instance.owner.clone(),
        comment,
        created_ms: now,
        modified_ms: now,
    };
    failpoint::hit("ddl.before");
    match session.warehouse.meta().create_schema(&row, &session.step(index)).await {
        Err(e) if e.code() == "ObjectAlreadyExists" && if_not_exists => Ok(()),
        Err(e) if e.code() == "ObjectAlreadyExists" => Err(ddl_error(&e, schema.at)),
        result => result,
    }
}

/// `DROP SCHEMA [IF EXISTS] [project.]schema`: refused while anything is in it.
pub(crate) async fn drop(session: &Session, name: &ObjectName, if_exists: bool, index: i64) -> Result<()> {
    let schema = names::schema_of(session, name)?;
    let dropped = Target::of_project(&schema.project, "schemas", &schema.name);
    let wanted = [("Write", Target::project(&schema.project)), ("Drop", dropped)];
    rights::check(session, &schema.project, &wanted, Claim::Nothing).await?;
    failpoint::hit("ddl.before");
    let dropped = session.warehouse.meta().drop_schema(&schema.project, &schema.name, &session.step(index)).await;
    match dropped {
        Err(e) if e.kind() == Kind::NotFound && if_exists => Ok(()),
        Err(e) if matches!(e.code(), "NoSuchObject" | "SchemaNotEmpty" | "InvalidParameter") => {
            Err(ddl_error(&e, schema.at))
        }
        result => result,
    }
}
