//! Schemas inside projects. `default` is there with every project and has no row.

use feitian_base::{Error, Kind, Result};
use sqlx::any::AnyRow;
use sqlx::query;

use crate::cells::{Cells, all, one};
use crate::db::Meta;
use crate::fault::{Fault, conflict, not_found};
use crate::projects::hold_project;
use crate::range;
use crate::rows::{DEFAULT_SCHEMA, Project, SYSTEM_PROJECT, Schema, Step};
use crate::steps::advance;
use crate::tx::Tx;

macro_rules! schema_columns {
    () => {
        "project, name, owner, comment, created_ms, modified_ms"
    };
}

fn read_schema(row: &AnyRow) -> Result<Schema, Fault> {
    let mut c = Cells::new(row);
    Ok(Schema {
        project: c.text()?,
        name: c.text()?,
        owner: c.text()?,
        comment: c.text()?,
        created_ms: c.int()?,
        modified_ms: c.int()?,
    })
}

pub(crate) fn no_such_schema(project: &str, name: &str) -> Error {
    not_found("NoSuchObject", format!("Schema not found - '{project}.{name}'"))
}

/// Fails unless the project and its schema are there; on PostgreSQL both stay until the transaction ends.
pub(crate) async fn hold_schema(tx: &mut Tx, project: &str, name: &str) -> Result<(), Fault> {
    hold_project(tx, project).await?;
    if name == DEFAULT_SCHEMA {
        return Ok(());
    }
    let sql = tx.locking((
        "SELECT name FROM schemas WHERE project = $1 AND name = $2",
        "SELECT name FROM schemas WHERE project = $1 AND name = $2 FOR SHARE",
    ));
    match query(sql).bind(project).bind(name).fetch_optional(tx.conn()).await? {
        Some(_) => Ok(()),
        None => Err(no_such_schema(project, name).into()),
    }
}

/// The schema that has no row: it is as old as its project and belongs to its owner.
fn default_of(project: Project) -> Schema {
    Schema {
        project: project.name,
        name: DEFAULT_SCHEMA.to_string(),
        owner: project.owner_name,
        comment: String::new(),
        created_ms: project.created_ms,
        modified_ms: project.created_ms,
    }
}

impl Meta {
    /// Adds a schema and advances `step`. `Conflict` `ObjectAlreadyExists` when the name is taken, as `default` always
    /// is, `NotFound` `NoSuchProject` without its project, `Invalid` for [`SYSTEM_PROJECT`], under which two-part names
    /// would mean the tables of the system.
    pub async fn create_schema(&self, schema: &Schema, step: &Step) -> Result<()> {
        if schema.name == SYSTEM_PROJECT {
            let message = format!("'{SYSTEM_PROJECT}' names the tables of the system; choose another name");
            return Err(Error::new(Kind::Invalid, "InvalidParameter", message));
        }
        write_tx!(self, |tx| {
            advance(&mut tx, step).await?;
            hold_project(&mut tx, &schema.project).await?;
            let taken = || {
                let message = format!("Schema '{}.{}' exists already", schema.project, schema.name);
                conflict("ObjectAlreadyExists", message)
            };
            if schema.name == DEFAULT_SCHEMA {
                return Err(taken().into());
            }
            let sql = concat!(
                "INSERT INTO schemas (",
                schema_columns!(),
                ") VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING"
            );
            let done = query(sql)
                .bind(&schema.project)
                .bind(&schema.name)
                .bind(&schema.owner)
                .bind(&schema.comment)
                .bind(schema.created_ms)
                .bind(schema.modified_ms)
                .execute(tx.conn())
                .await?;
            if done.rows_affected() == 0 { Err(taken().into()) } else { Ok(()) }
        })
    }

    /// The schema of this name.
    pub async fn schema(&self, project: &str, name: &str) -> Result<Option<Schema>> {
        if name == DEFAULT_SCHEMA {
            return Ok(self.project(project).await?.map(default_of));
        }
        let sql = concat!("SELECT ", schema_columns!(), " FROM schemas WHERE project = $1 AND name = $2");
        let row = query(sql).bind(project).bind(name).fetch_optional(self.reader()).await.map_err(Fault::from)?;
        Ok(one(row, read_schema)?)
    }

    /// At most `limit` schemas, `default` among them, whose names begin with `prefix` and come after `after`, by name.
    pub async fn list_schemas(
        &self,
        project: &str,
        prefix: &str,
        after: Option<&str>,
        limit: i64,
    ) -> Result<Vec<Schema>> {
        let (low, high) = range::page(prefix, after);
        let sql = concat!(
            "SELECT ",
            schema_columns!(),
            " FROM schemas WHERE project = $1 AND name >= $2 AND name < $3 ORDER BY name LIMIT $4"
        );
        let rows = query(sql).bind(project).bind(&low).bind(&high).bind(limit.max(0)).fetch_all(self.reader()).await;
        let mut found = all(&rows.map_err(Fault::from)?, read_schema)?;
        if low.as_str() <= DEFAULT_SCHEMA
            && DEFAULT_SCHEMA < high.as_str()
            && let Some(project) = self.project(project).await?
        {
            let place = found.partition_point(|s| s.name.as_str() < DEFAULT_SCHEMA);
            found.insert(place, default_of(project));
            found.truncate(usize::try_from(limit).unwrap_or(0));
        }
        Ok(found)
    }

    /// Removes a schema and advances `step`. `NotFound` when there is none; `Conflict` while anything is in it;
    /// `Invalid` for `default`.
    pub async fn drop_schema(&self, project: &str, name: &str, step: &Step) -> Result<()> {
        write_tx!(self, |tx| {
            advance(&mut tx, step).await?;
            if name == DEFAULT_SCHEMA {
                let message = "The schema 'default' belongs to its project and cannot be dropped";
                return Err(Error::new(Kind::Invalid, "InvalidParameter", message).into());
            }
            // The row first: on PostgreSQL this waits for what is being created in the schema.
            let sql = "DELETE FROM schemas WHERE project = $1 AND name = $2";
            if query(sql).bind(project).bind(name).execute(tx.conn()).await?.rows_affected() == 0 {
                return Err(no_such_schema(project, name).into());
            }
            for (what, sql) in [
                (
                    "tables",
                    "SELECT name FROM tables WHERE project = $1 AND schema_name = $2 AND dropped_ms IS NULL LIMIT 1",
                ),
                ("functions", "SELECT name FROM functions WHERE project = $1 AND schema_name = $2 LIMIT 1"),
                ("resources", "SELECT name FROM resources WHERE project = $1 AND schema_name = $2 LIMIT 1"),
                ("volumes", "SELECT name FROM volumes WHERE project = $1 AND schema_name = $2 LIMIT 1"),
            ] {
                if let Some(row) = query(sql).bind(project).bind(name).fetch_optional(tx.conn()).await? {
                    let example = Cells::new(&row).text()?;
                    let message =
                        format!("Schema '{project}.{name}' still has {what}, for example '{example}'; drop them first");
                    return Err(conflict("SchemaNotEmpty", message).into());
                }
            }
            Ok(())
        })
    }
}
