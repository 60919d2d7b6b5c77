//! Resources: one row each, written after the file that it names is durable.

use feitian_base::{Error, Result};
use sqlx::any::AnyRow;
use sqlx::query;

use crate::cells::{Cells, all, one};
use crate::db::Meta;
use crate::fault::{Fault, conflict, not_found};
use crate::range;
use crate::rows::{ObjectName, Resource, Step};
use crate::schemas::hold_schema;
use crate::steps::advance;
use crate::tx::Tx;

macro_rules! resource_columns {
    () => {
        "project, schema_name, name, kind, owner, updator, is_temp, num_bytes, md5, path, created_ms, modified_ms, \
         source, comment"
    };
}

fn read_resource(row: &AnyRow) -> Result<Resource, Fault> {
    let mut c = Cells::new(row);
    Ok(Resource {
        at: ObjectName { project: c.text()?, schema_name: c.text()?, name: c.text()? },
        kind: c.text()?,
        owner: c.text()?,
        updator: c.text()?,
        is_temp: c.flag()?,
        num_bytes: c.int()?,
        md5: c.text()?,
        path: c.text()?,
        created_ms: c.int()?,
        modified_ms: c.int()?,
        source: c.text()?,
        comment: c.text()?,
    })
}

pub(crate) fn no_such_resource(at: &ObjectName) -> Error {
    let schema = crate::rows::local_name(&at.schema_name, &at.name);
    not_found("NoSuchObject", format!("Resource not found - '{}.{schema}'", at.project))
}

/// Removes the rows of the parts that a resource was made of. `NotFound` when one is not there: without it, the caller
/// has read a part that somebody else has replaced or merged.
async fn take_parts(tx: &mut Tx, at: &ObjectName, parts: &[(String, String)]) -> Result<(), Fault> {
    for (name, path) in parts {
        let sql = "DELETE FROM resources WHERE project = $1 AND schema_name = $2 AND name = $3 AND path = $4";
        let done = query(sql).bind(&at.project).bind(&at.schema_name).bind(name).bind(path).execute(tx.conn()).await?;
        if done.rows_affected() == 0 {
            return Err(no_such_resource(&ObjectName { name: name.clone(), ..at.clone() }).into());
        }
    }
    Ok(())
}

impl Meta {
    /// Adds a resource and removes the parts it was made of, each named with its path. `Conflict`
    /// `ObjectAlreadyExists` when the name is taken, `NotFound` without its project or schema or one of the parts.
    pub async fn create_resource(&self, resource: &Resource, parts: &[(String, String)]) -> Result<()> {
        write_tx!(self, |tx| {
            let at = &resource.at;
            hold_schema(&mut tx, &at.project, &at.schema_name).await?;
            take_parts(&mut tx, at, parts).await?;
            let sql = concat!(
                "INSERT INTO resources (",
                resource_columns!(),
                ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) ON CONFLICT DO NOTHING"
            );
            let done = query(sql)
                .bind(&at.project)
                .bind(&at.schema_name)
                .bind(&at.name)
                .bind(&resource.kind)
                .bind(&resource.owner)
                .bind(&resource.updator)
                .bind(i64::from(resource.is_temp))
                .bind(resource.num_bytes)
                .bind(&resource.md5)
                .bind(&resource.path)
                .bind(resource.created_ms)
                .bind(resource.modified_ms)
                .bind(&resource.source)
                .bind(&resource.comment)
                .execute(tx.conn())
                .await?;
            if done.rows_affected() == 0 {
                let message = format!("Resource '{}' exists already; update it instead", at.name);
                return Err(conflict("ObjectAlreadyExists", message).into());
            }
            Ok(())
        })
    }

    /// Writes everything but owner and creation time over the resource of that name, and removes the parts it was made
    /// of. `NotFound` `NoSuchObject` when the resource or a part is not there.
    pub async fn update_resource(&self, resource: &Resource, parts: &[(String, String)]) -> Result<()> {
        write_tx!(self, |tx| {
            let at = &resource.at;
            take_parts(&mut tx, at, parts).await?;
            let sql = "UPDATE resources SET kind = $4, updator = $5, is_temp = $6, num_bytes = $7, md5 = $8, path = $9, \
                       modified_ms = $10, source = $11, comment = $12 \
                       WHERE project = $1 AND schema_name = $2 AND name = $3";
            let done = query(sql)
                .bind(&at.project)
                .bind(&at.schema_name)
                .bind(&at.name)
                .bind(&resource.kind)
                .bind(&resource.updator)
                .bind(i64::from(resource.is_temp))
                .bind(resource.num_bytes)
                .bind(&resource.md5)
                .bind(&resource.path)
                .bind(resource.modified_ms)
                .bind(&resource.source)
                .bind(&resource.comment)
                .execute(tx.conn())
                .await?;
            if done.rows_affected() == 0 { Err(no_such_resource(at).into()) } else { Ok(()) }
        })
    }

    /// The resource of this name.
    pub async fn resource(&self, at: &ObjectName) -> Result<Option<Resource>> {
        let sql = concat!(
            "SELECT ",
            resource_columns!(),
            " FROM resources WHERE project = $1 AND schema_name = $2 AND name = $3"
        );
        let row = query(sql).bind(&at.project).bind(&at.schema_name).bind(&at.name).fetch_optional(self.reader()).await;
        Ok(one(row.map_err(Fault::from)?, read_resource)?)
    }

    /// At most `limit` resources of a schema whose names begin with `prefix` and come after `after`, by name, of one
    /// owner or all.
    pub async fn list_resources(
        &self,
        project: &str,
        schema_name: &str,
        (prefix, owner): (&str, Option<&str>),
        after: Option<&str>,
        limit: i64,
    ) -> Result<Vec<Resource>> {
        let (low, high) = range::page(prefix, after);
        let sql = concat!(
            "SELECT ",
            resource_columns!(),
            " FROM resources WHERE project = $1 AND schema_name = $2 AND name >= $3 AND name < $4 ",
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
        Ok(all(&rows, read_resource)?)
    }

    /// Removes the row and advances `step`; the file is collected later. `NotFound` `NoSuchObject` when there is none.
    pub async fn drop_resource(&self, at: &ObjectName, step: &Step) -> Result<()> {
        write_tx!(self, |tx| {
            advance(&mut tx, step).await?;
            let sql = "DELETE FROM resources WHERE project = $1 AND schema_name = $2 AND name = $3";
            let done = query(sql).bind(&at.project).bind(&at.schema_name).bind(&at.name).execute(tx.conn()).await?;
            if done.rows_affected() == 0 { Err(no_such_resource(at).into()) } else { Ok(()) }
        })
    }

    /// Every resource that has a file, by name: for checks and collection.
    pub async fn all_resource_files(&self) -> Result<Vec<Resource>> {
        let sql = concat!(
            "SELECT ",
            resource_columns!(),
            " FROM resources WHERE path <> '' ORDER BY project, schema_name, name"
        );
        let rows = query(sql).fetch_all(self.reader()).await.map_err(Fault::from)?;
        Ok(all(&rows, read_resource)?)
    }
}
