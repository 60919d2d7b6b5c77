//! CREATE FUNCTION, DROP FUNCTION and DROP RESOURCE: what clients register, by the words of SQL; and what a text makes for
//! itself.

use feitian_base::{Error, Kind, Result, clock, failpoint};
use feitian_meta::{Claim, Function, ObjectName as Registered, Target, split_local_name};
use feitian_sql::{CreateSqlFunction, Position, Statement, object_parts};
use sqlparser::ast::{ObjectName, Spanned};

use crate::query::errors::{semantic, statement_error};
use crate::query::{Session, names, rights, sql_function};

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
    let (function, at) = new_name(session, name).await?;
    let row = Function { class_type: class, resources: resource_names(session, resources)?, ..row(session, function) };
    failpoint::hit("ddl.before");
    session.warehouse.meta().create_function(&row, &session.step(index)).await.map_err(|e| ddl_error(e, at))
}

/// Where a new function goes, if the account of the job may make one there.
async fn new_name(session: &Session, name: &ObjectName) -> Result<(Registered, Position)> {
    let (function, at) = function_name(session, name).await?;
    let project = Target::project(&function.project);
    let wanted = [("Write", project.clone()), ("CreateFunction", project)];
    rights::check(session, &function.project, &wanted, Claim::Nothing).await?;
    check_name(&function.name, at)?;
    Ok((function, at))
}

fn check_name(name: &str, at: Position) -> Result<()> {
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        let rule = "a name has letters, digits and underscores";
        return Err(semantic(at, format!("invalid function name '{name}': {rule}")));
    }
    Ok(())
}

/// SQL would find the built-in function and never this one.
fn check_hidden(name: &str, at: Position) -> Result<()> {
    match names::is_ours(name) {
        true => Err(semantic(at, format!("invalid function name '{name}': a built-in function has it"))),
        false => Ok(()),
    }
}

fn resource_names(session: &Session, list: &str) -> Result<Vec<Registered>> {
    let names = list.split(',').map(str::trim).filter(|name| !name.is_empty());
    names.map(|name| resource_name(session, name)).collect()
}

/// A function of the job's account, with nothing in it.
fn row(session: &Session, at: Registered) -> Function {
    let now = clock::tick_ms();
    Function {
        at,
        owner: session.instance.owner.clone(),
        class_type: String::new(),
        resources: Vec::new(),
        sql: None,
        created_ms: now,
        modified_ms: now,
    }
}

/// `CREATE [OR REPLACE] [SQL] FUNCTION [IF NOT EXISTS] f (…) AS …`
pub(crate) async fn create_sql(session: &Session, create: CreateSqlFunction, index: i64) -> Result<()> {
    let CreateSqlFunction { or_replace, if_not_exists, temporary: _, name, function, text } = create;
    let (named, at) = new_name(session, &name).await?;
    check_hidden(&named.name, at)?;
    let row = Function { sql: Some(text), ..row(session, named) };
    if or_replace {
        check_replaced(session, &row.at).await?;
    }
    sql_function::check(&session.in_function(&row), &row, function).await?;
    let (meta, step) = (session.warehouse.meta(), session.step(index));
    failpoint::hit("ddl.before");
    if or_replace {
        return meta.replace_function(&row, &step).await.map_err(|e| ddl_error(e, at));
    }
    match meta.create_function(&row, &step).await {
        Err(e) if e.code() == "ObjectAlreadyExists" && if_not_exists => Ok(()),
        result => result.map_err(|e| ddl_error(e, at)),
    }
}

/// Whoever replaces a function changes it, which a policy may deny.
async fn check_replaced(session: &Session, at: &Registered) -> Result<()> {
    if session.warehouse.meta().function(at).await?.is_none() {
        return Ok(());
    }
    let wanted = [("Write", Target::project(&at.project)), ("Write", Target::function(at))];
    rights::check(session, &at.project, &wanted, Claim::Nothing).await
}

/// `FUNCTION f (…) AS …`, `CREATE TEMPORARY FUNCTION f …`: for the rest of the text.
pub(crate) async fn make_temporary(session: &mut Session, statement: Statement) -> Result<()> {
    let (name, class, resources, sql) = match statement {
        Statement::CreateFunction { name, class, resources, .. } => (name, class, resources, None),
        Statement::CreateSqlFunction(create) => {
            let CreateSqlFunction { name, function, text, .. } = *create;
            (name, String::new(), String::new(), Some((function, text)))
        }
        _ => return Err(Error::internal("no function of a text")),
    };
    let at = Position::from(name.span());
    let Ok([bare]) = <[String; 1]>::try_from(object_parts(&name)) else {
        let rule = "one of a text has no project and no schema";
        return Err(semantic(at, format!("invalid function name '{name}': {rule}")));
    };
    check_name(&bare, at)?;
    check_hidden(&bare, at)?;
    let (project, schema_name) = (session.project().to_string(), session.schema().to_string());
    let place = Registered { project, schema_name, name: bare };
    if session.has_temporary(&place.name) {
        return Err(semantic(at, format!("function {} is made twice in this text", place.name)));
    }
    let resources = resource_names(session, &resources)?;
    let mut row = Function { class_type: class, resources, ..row(session, place) };
    if let Some((function, text)) = sql {
        row.sql = Some(text);
        sql_function::check(session, &row, function).await?;
    }
    session.add_temporary(row);
    Ok(())
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
