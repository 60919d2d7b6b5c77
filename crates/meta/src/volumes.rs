//! Volumes: places in a project where clients keep files. One row each; what is in one stands in `volume_entries`.

use feitian_base::{Error, Result};
use sqlx::any::AnyRow;
use sqlx::query;

use crate::cells::{Cells, all, one};
use crate::db::Meta;
use crate::fault::{Fault, conflict, not_found};
use crate::range;
use crate::rows::{ObjectName, local_name};
use crate::schemas::hold_schema;
use crate::tx::Tx;

/// The kind of a volume with directories.
pub const FS_VOLUME: &str = "NEW";
/// The kind of a volume of partitions, which hold files.
pub const PARTED_VOLUME: &str = "OLD";

/// A place for files. Names of volumes are lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// ULID; never reused.
    pub id: String,
    pub at: ObjectName,
    /// [`FS_VOLUME`] or [`PARTED_VOLUME`].
    pub kind: String,
    pub owner: String,
    pub comment: String,
    pub created_ms: i64,
    /// When something in it was last changed.
    pub modified_ms: i64,
}

macro_rules! volume_columns {
    () => {
        "id, project, schema_name, name, kind, owner, comment, created_ms, modified_ms"
    };
}

/// The query of [`Meta::list_volumes`].
pub(crate) const LIST: &str = concat!(
    "SELECT ",
    volume_columns!(),
    " FROM volumes WHERE project = $1 AND schema_name = $2 AND name >= $3 AND name < $4 ",
    "AND ($5 IS NULL OR owner = $5) ORDER BY name LIMIT $6"
);

fn read_volume(row: &AnyRow) -> Result<Volume, Fault> {
    let mut c = Cells::new(row);
    Ok(Volume {
        id: c.text()?,
        at: ObjectName { project: c.text()?, schema_name: c.text()?, name: c.text()? },
        kind: c.text()?,
        owner: c.text()?,
        comment: c.text()?,
        created_ms: c.int()?,
        modified_ms: c.int()?,
    })
}

fn no_such_volume(at: &ObjectName) -> Error {
    let local = local_name(&at.schema_name, &at.name);
    not_found("NoSuchObject", format!("Volume not found - '{}.{local}'", at.project))
}

/// Holds a volume until the transaction ends, so that what is in it stays as it is seen.
pub(crate) async fn hold_volume(tx: &mut Tx, id: &str) -> Result<(), Fault> {
    let sql = tx.locking(for_update!("SELECT id FROM volumes WHERE id = $1"));
    match query(sql).bind(id).fetch_optional(tx.conn()).await? {
        Some(_) => Ok(()),
        None => Err(not_found("NoSuchObject", "Volume not found - it was dropped").into()),
    }
}

/// Notes that something in a volume has changed.
pub(crate) async fn touch_volume(tx: &mut Tx, id: &str, now_ms: i64) -> Result<(), Fault> {
    query("UPDATE volumes SET modified_ms = $2 WHERE id = $1").bind(id).bind(now_ms).execute(tx.conn()).await?;
    Ok(())
}

impl Meta {
    /// Adds a volume. `Conflict` `ObjectAlreadyExists` when the name is taken, `NotFound` without its project or schema.
    pub async fn create_volume(&self, volume: &Volume) -> Result<()> {
        write_tx!(self, |tx| {
            let at = &volume.at;
            hold_schema(&mut tx, &at.project, &at.schema_name).await?;
            let sql = concat!(
                "INSERT INTO volumes (",
                volume_columns!(),
                ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING"
            );
            let done = query(sql)
                .bind(&volume.id)
                .bind(&at.project)
                .bind(&at.schema_name)
                .bind(&at.name)
                .bind(&volume.kind)
                .bind(&volume.owner)
                .bind(&volume.comment)
                .bind(volume.created_ms)
                .bind(volume.modified_ms)
                .execute(tx.conn())
                .await?;
            if done.rows_affected() == 0 {
                let message = format!("Volume '{}' exists already", at.name);
                return Err(conflict("ObjectAlreadyExists", message).into());
            }
            Ok(())
        })
    }

    /// The volume of this name. `NotFound` `NoSuchObject` when there is none.
    pub async fn volume(&self, at: &ObjectName) -> Result<Volume> {
        let sql = concat!(
            "SELECT ",
            volume_columns!(),
            " FROM volumes WHERE project = $1 AND schema_name = $2 AND name = $3"
        );
        let row = query(sql).bind(&at.project).bind(&at.schema_name).bind(&at.name).fetch_optional(self.reader()).await;
        one(row.map_err(Fault::from)?, read_volume)?.ok_or_else(|| no_such_volume(at))
    }

    /// The volume with this id.
    pub async fn volume_by_id(&self, id: &str) -> Result<Option<Volume>> {
        let sql = concat!("SELECT ", volume_columns!(), " FROM volumes WHERE id = $1");
        let row = query(sql).bind(id).fetch_optional(self.reader()).await.map_err(Fault::from)?;
        Ok(one(row, read_volume)?)
    }

    /// At most `limit` volumes of a schema whose names begin with `prefix` and come after `after`, by name, of one owner
    /// or all.
    pub async fn list_volumes(
        &self,
        project: &str,
        schema_name: &str,
        (prefix, owner): (&str, Option<&str>),
        after: Option<&str>,
        limit: i64,
    ) -> Result<Vec<Volume>> {
        let (low, high) = range::page(prefix, after);
        let rows = query(LIST)
            .bind(project)
            .bind(schema_name)
            .bind(low)
            .bind(high)
            .bind(owner)
            .bind(limit.max(0))
            .fetch_all(self.reader())
            .await
            .map_err(Fault::from)?;
        Ok(all(&rows, read_volume)?)
    }

    /// Removes a volume with everything in it; contents are collected later. `NotFound` `NoSuchObject` when there is none.
    pub async fn drop_volume(&self, at: &ObjectName) -> Result<()> {
        write_tx!(self, |tx| {
            // The row first: on PostgreSQL this waits for whoever changes something in the volume.
            let sql = "DELETE FROM volumes WHERE project = $1 AND schema_name = $2 AND name = $3 RETURNING id";
            let gone = query(sql).bind(&at.project).bind(&at.schema_name).bind(&at.name);
            let Some(row) = gone.fetch_optional(tx.conn()).await? else { return Err(no_such_volume(at).into()) };
            let id = Cells::new(&row).text()?;
            query("DELETE FROM volume_entries WHERE volume_id = $1").bind(&id).execute(tx.conn()).await?;
            Ok(())
        })
    }
}
