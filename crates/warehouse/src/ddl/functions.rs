//! CREATE FUNCTION, DROP FUNCTION and DROP RESOURCE: what clients register, by the words of SQL.

use feitian_base::{Error, Kind, Result, clock, failpoint};
use feitian_meta::{Claim, Function, ObjectName as Registered, Target, split_local_name};
use feitian_sql::Position;
use sqlparser::ast::ObjectName;

use crate::query::errors::{semantic, statement_error};
use crate::query::{Session, names, rights};

/// The error of a change of the registry in the words of the original.
fn ddl_error(e: Error, at: Position) -> Error {
    match e.code() {
        "ObjectAlreadyExists" | "NoSuchObject" => {
            statement_error(e.kind(), "ODPS-0110061", at, "Failed to run ddltask", e.message())
        }
        _ => e,
    }
}

/// Where the function `name` is registered.
pub(crate) async fn function_name(session: &Session, name: &ObjectName) -> Result<(Registered, Position)> {
    let (project, local, at) = names::table_name(name, session)?;
    rights::enter(session, &project).await?;
    let (schema, name) = split_local_name(&local);
    let (schema_name, name) = (schema.to_string(), name.to_string());
    Ok((Registered { project, schema_name, name }, at))
}

/// A resource of the session's project and schema.
pub(crate) fn resource_name(session: &Session, name: &str) -> Result<Registered> {
    if name.is_empty() || name.contains(|c: char| c == '/' || c.is_whitespace()) {
        let detail = format!("'{name}' is no resource of project {}: write its name alone", session.project());
        return Err(semantic(Position::UNKNOWN, detail));
    }
    let (project, schema_name) = (session.project().to_string(), session.schema().to_string());
    Ok(Registered { project, schema_name, name: name.to_string() })
}

/// `CREATE FUNCTION f AS 'class' USING 'resource,…'`
pub(crate) async fn create(
    session: &Session,
    name: &ObjectName,
    class: String,
    resources: &str,
    index: i64,
) -> Result<()> {
    let (function, at) = function_name(session, name).await?;
    let project = Target::project(&function.project);
    let wanted = [("Write", project.clone()), ("CreateFunction", project)];
    rights::check(session, &function.project, &wanted, Claim::Nothing).await?;
    if function.name.is_empty() || !function.name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        let rule = "a name has letters, digits and underscores";
        return Err(semantic(at, format!("invalid function name '{}': {rule}", function.name)));
    }
    let resources = resources.split(',').map(str::trim).filter(|r| !r.is_empty());
    let resources = resources.map(|r| resource_name(session, r)).collect::<Result<Vec<_>>>()?;
    let now = clock::tick_ms();
    let owner = session.instance.owner.clone();
    let row = Function { at: function, owner, class_type: class, resources, created_ms: now, modified_ms: now };
    failpoint::hit("ddl.before");
    session.warehouse.meta().create_function(&row, &session.step(index)).await.map_err(|e| ddl_error(e, at))
}

/// `DROP FUNCTION [IF EXISTS] f`
pub(crate) async fn drop_function(session: &Session, name: &ObjectName, if_exists: bool, index: i64) -> Result<()> {
    let (function, at) = function_name(session, name).await?;
    let wanted = [("Write", Target::project(&function.project)), ("Delete", Target::function(&function))];
    rights::check(session, &function.project, &wanted, Claim::Nothing).await?;
    failpoint::hit("ddl.before");
    dropped(session.warehouse.meta().drop_function(&function, &session.step(index)).await, if_exists, at)
}

/// `DROP RESOURCE [IF EXISTS] r`
pub(crate) async fn drop_resource(session: &Session, name: &str, if_exists: bool, index: i64) -> Result<()> {
    let resource = resource_name(session, name)?;
    let wanted = [("Write", Target::project(&resource.project)), ("Delete", Target::resource(&resource))];
    rights::check(session, &resource.project, &wanted, Claim::Nothing).await?;
    failpoint::hit("ddl.before");
    let result = session.warehouse.meta().drop_resource(&resource, &session.step(index)).await;
    dropped(result, if_exists, Position::UNKNOWN)
}

fn dropped(result: Result<()>, if_exists: bool, at: Position) -> Result<()> {
    match result {
        Err(e) if e.kind() == Kind::NotFound && if_exists => Ok(()),
        result => result.map_err(|e| ddl_error(e, at)),
    }
}
