//! Functions that users registered. The registry alone: nothing here runs them.

use feitian_base::{Error, Result};
use sqlx::any::AnyRow;
use sqlx::query;

use crate::cells::{Cells, all, one};
use crate::db::Meta;
use crate::fault::{Fault, conflict, corrupt, not_found};
use crate::range;
use crate::resources::no_such_resource;
use crate::rows::{Function, ObjectName, Step, local_name};
use crate::schemas::hold_schema;
use crate::steps::advance;
use crate::tx::Tx;

macro_rules! function_columns {
    () => {
        "project, schema_name, name, owner, created_ms, modified_ms, class_type, resources"
    };
}

fn read_function(row: &AnyRow) -> Result<Function, Fault> {
    let mut c = Cells::new(row);
    let at = ObjectName { project: c.text()?, schema_name: c.text()?, name: c.text()? };
    let (owner, created_ms, modified_ms, class_type) = (c.text()?, c.int()?, c.int()?, c.text()?);
    let (resources, sql) = made_of(&c.text()?)
        .map_err(|e| corrupt(format!("the resources of function {} are unreadable: {e}", at.name)).with_source(e))?;
    let resources =
        resources.into_iter().map(|[project, schema_name, name]| ObjectName { project, schema_name, name }).collect();
    Ok(Function { at, owner, class_type, resources, sql, created_ms, modified_ms })
}

type MadeOf = (Vec<[String; 3]>, Option<String>);

/// What a function is made of as it stands in the row: an array of project, schema and name of each resource, or an object
/// with the text of a SQL function.
fn made_of(text: &str) -> serde_json::Result<MadeOf> {
    let value: serde_json::Value = serde_json::from_str(text)?;
    match value.get("sql").and_then(serde_json::Value::as_str) {
        Some(sql) => Ok((Vec::new(), Some(sql.to_string()))),
        None => Ok((serde_json::from_value(value)?, None)),
    }
}

fn resources_text(function: &Function) -> String {
    if let Some(sql) = &function.sql {
        return serde_json::json!({ "sql": sql }).to_string();
    }
    let names: Vec<[&str; 3]> =
        function.resources.iter().map(|r| [r.project.as_str(), r.schema_name.as_str(), r.name.as_str()]).collect();
    serde_json::json!(names).to_string()
}

fn no_such_function(at: &ObjectName) -> Error {
    let local = local_name(&at.schema_name, &at.name);
    not_found("NoSuchObject", format!("Function not found - '{}.{local}'", at.project))
}

/// Fails unless every resource is there.
async fn check_resources(tx: &mut Tx, function: &Function) -> Result<(), Fault> {
    for at in &function.resources {
        let sql = "SELECT name FROM resources WHERE project = $1 AND schema_name = $2 AND name = $3";
        let row = query(sql).bind(&at.project).bind(&at.schema_name).bind(&at.name).fetch_optional(tx.conn()).await?;
        if row.is_none() {
            return Err(no_such_resource(at).into());
        }
    }
    Ok(())
}

impl Meta {
    /// Registers a function and advances `step`. `Conflict` `ObjectAlreadyExists` when the name is taken, `NotFound`
    /// without its project, its schema or one of its resources.
    pub async fn create_function(&self, function: &Function, step: &Step) -> Result<()> {
        write_tx!(self, |tx| {
            advance(&mut tx, step).await?;
            let at = &function.at;
            hold_schema(&mut tx, &at.project, &at.schema_name).await?;
            check_resources(&mut tx, function).await?;
            let sql = concat!(
                "INSERT INTO functions (",
                function_columns!(),
                ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING"
            );
            let done = query(sql)
                .bind(&at.project)
                .bind(&at.schema_name)
                .bind(&at.name)
                .bind(&function.owner)
                .bind(function.created_ms)
                .bind(function.modified_ms)
                .bind(&function.class_type)
                .bind(resources_text(function))
                .execute(tx.conn())
                .await?;
            if done.rows_affected() == 0 {
                let message = format!("Function '{}' exists already; update it instead", at.name);
                return Err(conflict("ObjectAlreadyExists", message).into());
            }
            Ok(())
        })
    }

    /// Registers a function in the place of the one that has its name, which keeps its owner and the time of its making, if
    /// there is one, and advances `step`. `NotFound` as in [`Meta::create_function`].
    pub async fn replace_function(&self, function: &Function, step: &Step) -> Result<()> {
        write_tx!(self, |tx| {
            advance(&mut tx, step).await?;
            let at = &function.at;
            hold_schema(&mut tx, &at.project, &at.schema_name).await?;
            check_resources(&mut tx, function).await?;
            let sql = concat!(
                "INSERT INTO functions (",
                function_columns!(),
                ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (project, schema_name, name) DO UPDATE SET ",
                "modified_ms = excluded.modified_ms, class_type = excluded.class_type, resources = excluded.resources"
            );
            query(sql)
                .bind(&at.project)
                .bind(&at.schema_name)
                .bind(&at.name)
                .bind(&function.owner)
                .bind(function.created_ms)
                .bind(function.modified_ms)
                .bind(&function.class_type)
                .bind(resources_text(function))
                .execute(tx.conn())
                .await?;
            Ok(())
        })
    }

    /// Writes class and resources over the function of that name. `NotFound` `NoSuchObject` when it or one of its
    /// resources is not there.
    pub async fn update_function(&self, function: &Function) -> Result<()> {
        write_tx!(self, |tx| {
            let at = &function.at;
            check_resources(&mut tx, function).await?;
            let sql = "UPDATE functions SET class_type = $4, resources = $5, modified_ms = $6 \
                       WHERE project = $1 AND schema_name = $2 AND name = $3";
            let done = query(sql)
                .bind(&at.project)
                .bind(&at.schema_name)
                .bind(&at.name)
                .bind(&function.class_type)
                .bind(resources_text(function))
                .bind(function.modified_ms)
                .execute(tx.conn())
                .await?;
            if done.rows_affected() == 0 { Err(no_such_function(at).into()) } else { Ok(()) }
        })
    }

    /// Gives the function another owner. `NotFound` `NoSuchObject` when there is no such function or account.
    pub async fn change_function_owner(&self, at: &ObjectName, owner: &str, modified_ms: i64) -> Result<()> {
        write_tx!(self, |tx| {
            let account = query("SELECT id FROM accounts WHERE name = $1").bind(owner);
            if account.fetch_optional(tx.conn()).await?.is_none() {
                return Err(not_found("NoSuchObject", format!("There is no account named '{owner}'")).into());
            }
            let sql = "UPDATE functions SET owner = $4, modified_ms = $5 \
                       WHERE project = $1 AND schema_name = $2 AND name = $3";
            let change =
                query(sql).bind(&at.project).bind(&at.schema_name).bind(&at.name).bind(owner).bind(modified_ms);
            let done = change.execute(tx.conn()).await?;
            if done.rows_affected() == 0 { Err(no_such_function(at).into()) } else { Ok(()) }
        })
    }

    /// The function of this name.
    pub async fn function(&self, at: &ObjectName) -> Result<Option<Function>> {
        let sql = concat!(
            "SELECT ",
            function_columns!(),
            " FROM functions WHERE project = $1 AND schema_name = $2 AND name = $3"
        );
        let row = query(sql).bind(&at.project).bind(&at.schema_name).bind(&at.name).fetch_optional(self.reader()).await;
        Ok(one(row.map_err(Fault::from)?, read_function)?)
    }

    /// At most `limit` functions of a schema whose names begin with `prefix` and come after `after`, by name, of one
    /// owner or all.
    pub async fn list_functions(
        &self,
        project: &str,
        schema_name: &str,
        (prefix, owner): (&str, Option<&str>),
        after: Option<&str>,
        limit: i64,
    ) -> Result<Vec<Function>> {
        let (low, high) = range::page(prefix, after);
        let sql = concat!(
            "SELECT ",
            function_columns!(),
            " FROM functions WHERE project = $1 AND schema_name = $2 AND name >= $3 AND name < $4 ",
            "AND ($5 IS NULL OR owner = $5) ORDER BY name LIMIT $6"
        );
        let rows = query(sql)
            .bind(project)
            .bind(schema_name)
            .bind(low)
            .bind(high)
            .bind(owner)
            .bind(limit.max(0))
            .fetch_all(self.reader())
            .await
            .map_err(Fault::from)?;
        Ok(all(&rows, read_function)?)
    }

    /// Removes the function and advances `step`. `NotFound` `NoSuchObject` when there is none.
    pub async fn drop_function(&self, at: &ObjectName, step: &Step) -> Result<()> {
        write_tx!(self, |tx| {
            advance(&mut tx, step).await?;
            let sql = "DELETE FROM functions WHERE project = $1 AND schema_name = $2 AND name = $3";
            let done = query(sql).bind(&at.project).bind(&at.schema_name).bind(&at.name).execute(tx.conn()).await?;
            if done.rows_affected() == 0 { Err(no_such_function(at).into()) } else { Ok(()) }
        })
    }
}
