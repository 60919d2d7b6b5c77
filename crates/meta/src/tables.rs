//! Tables and views: by name while they live, by id until they are forgotten.

use feitian_base::{Error, Result};
use sqlx::any::AnyRow;
use sqlx::query;

use crate::cells::{Cells, all, one};
use crate::db::Meta;
use crate::fault::{Fault, conflict, corrupt, ddl_conflict, not_found};
use crate::partition_rows::{self, Existing};
use crate::range;
use crate::rows::{Partition, Step, Table, TableFilter, split_local_name};
use crate::schemas::hold_schema;
use crate::steps::advance;
use crate::tx::Tx;

macro_rules! table_columns {
    () => {
        "id, project, schema_name, name, kind, owner, location, table_schema, schema_version, comment, properties, \
         lifecycle, view_text, created_ms, ddl_ms, modified_ms, log_version, dropped_ms"
    };
}
pub(crate) use table_columns;

/// Reads [`table_columns!`].
pub(crate) fn read_table(row: &AnyRow) -> Result<Table, Fault> {
    let mut c = Cells::new(row);
    let id = c.text()?;
    let (project, schema_name, name, kind) = (c.text()?, c.text()?, c.text()?, c.text()?);
    let (owner, location, schema) = (c.text()?, c.text()?, c.text()?);
    let schema = serde_json::from_str(&schema)
        .map_err(|e| corrupt(format!("the schema of table {id} is unreadable: {e}")).with_source(e))?;
    Ok(Table {
        id,
        project,
        schema_name,
        name,
        kind,
        owner,
        location,
        schema,
        schema_version: c.int()?,
        comment: c.text()?,
        properties: c.text()?,
        lifecycle: c.int()?,
        view_text: c.opt_text()?,
        created_ms: c.int()?,
        ddl_ms: c.int()?,
        modified_ms: c.int()?,
        log_version: c.int()?,
        dropped_ms: c.opt_int()?,
    })
}

pub(crate) fn schema_text(table: &Table) -> Result<String> {
    serde_json::to_string(&table.schema)
        .map_err(|e| Error::internal(format!("the schema of table {} cannot be written: {e}", table.id)))
}

fn already_exists(table: &Table) -> Error {
    let text = "Table or view already exists - table";
    let name = table.local_name();
    let message = format!("ODPS-0130211:[0,0] {text} {}.{name} is already defined", table.project);
    conflict("ODPS-0130211", message)
}

pub(crate) fn no_such_table(id: &str) -> Error {
    not_found("NoSuchTable", format!("Table not found - the table with the id {id} has been dropped"))
}

/// The query of [`Meta::list_tables`].
pub(crate) const LIST: &str = concat!(
    "SELECT ",
    table_columns!(),
    " FROM tables WHERE project = $1 AND schema_name = $2 AND name >= $3 AND name < $4 ",
    "AND dropped_ms IS NULL AND ($5 IS NULL OR owner = $5) AND ($6 IS NULL OR kind = $6) ",
    "ORDER BY name LIMIT $7"
);

/// The query of [`Meta::list_names`].
pub(crate) const LIST_NAMES: &str = "SELECT name, owner FROM tables WHERE project = $1 AND schema_name = $2 \
    AND name >= $3 AND name < $4 AND dropped_ms IS NULL AND ($5 IS NULL OR kind = $5) ORDER BY name LIMIT $6";

/// The query of [`Meta::table`].
pub(crate) const BY_NAME: &str = concat!(
    "SELECT ",
    table_columns!(),
    " FROM tables WHERE project = $1 AND schema_name = $2 AND name = $3 AND dropped_ms IS NULL"
);

impl Meta {
    /// Adds a table or view with its first partition rows and advances `step`, all or nothing.
    ///
    /// `Conflict` `ODPS-0130211` when a live one of that name exists, `NotFound` `NoSuchProject` without its project and
    /// `NoSuchObject` without its schema, `Conflict` `ODPS-0110061` when the step's owner has been replaced.
    pub async fn create_table(&self, table: &Table, partitions: &[Partition], step: &Step) -> Result<()> {
        let schema = schema_text(table)?;
        write_tx!(self, |tx| {
            advance(&mut tx, step).await?;
            hold_schema(&mut tx, &table.project, &table.schema_name).await?;
            let sql = concat!(
                "INSERT INTO tables (",
                table_columns!(),
                ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18) ",
                "ON CONFLICT DO NOTHING"
            );
            let done = query(sql)
                .bind(&table.id)
                .bind(&table.project)
                .bind(&table.schema_name)
                .bind(&table.name)
                .bind(&table.kind)
                .bind(&table.owner)
                .bind(&table.location)
                .bind(&schema)
                .bind(table.schema_version)
                .bind(&table.comment)
                .bind(&table.properties)
                .bind(table.lifecycle)
                .bind(table.view_text.as_deref())
                .bind(table.created_ms)
                .bind(table.ddl_ms)
                .bind(table.modified_ms)
                .bind(table.log_version)
                .bind(table.dropped_ms)
                .execute(tx.conn())
                .await?;
            if done.rows_affected() == 0 {
                return Err(already_exists(table).into());
            }
            partition_rows::insert(&mut tx, &table.id, partitions, table.log_version, Existing::Refuse).await
        })
    }

    /// The live table or view of this name.
    pub async fn table(&self, project: &str, schema_name: &str, name: &str) -> Result<Option<Table>> {
        let row = query(BY_NAME).bind(project).bind(schema_name).bind(name).fetch_optional(self.reader()).await;
        Ok(one(row.map_err(Fault::from)?, read_table)?)
    }

    /// The live table or view whose [`crate::local_name`] within the project is `local`.
    pub async fn table_named(&self, project: &str, local: &str) -> Result<Option<Table>> {
        let (schema_name, name) = split_local_name(local);
        self.table(project, schema_name, name).await
    }

    /// The table or view with this id, dropped ones included.
    pub async fn table_by_id(&self, id: &str) -> Result<Option<Table>> {
        let sql = concat!("SELECT ", table_columns!(), " FROM tables WHERE id = $1");
        let row = query(sql).bind(id).fetch_optional(self.reader()).await.map_err(Fault::from)?;
        Ok(one(row, read_table)?)
    }

    /// At most `limit` live tables and views that pass `filter` and come after the name `after`, by name.
    pub async fn list_tables(
        &self,
        project: &str,
        schema_name: &str,
        filter: &TableFilter,
        after: Option<&str>,
        limit: i64,
    ) -> Result<Vec<Table>> {
        let (low, high) = range::page(filter.prefix.as_deref().unwrap_or_default(), after);
        let rows = query(LIST)
            .bind(project)
            .bind(schema_name)
            .bind(low)
            .bind(high)
            .bind(filter.owner.as_deref())
            .bind(filter.kind.as_deref())
            .bind(limit.max(0))
            .fetch_all(self.reader())
            .await
            .map_err(Fault::from)?;
        Ok(all(&rows, read_table)?)
    }

    /// Name and owner of at most `limit` live tables and views whose names begin with `prefix` and come after `after`, by
    /// name; `kind` as in [`TableFilter`]. Without the columns, which are most of a row.
    pub async fn list_names(
        &self,
        project: &str,
        schema_name: &str,
        prefix: &str,
        kind: Option<&str>,
        after: Option<&str>,
        limit: i64,
    ) -> Result<Vec<(String, String)>> {
        let (low, high) = range::page(prefix, after);
        let rows = query(LIST_NAMES)
            .bind(project)
            .bind(schema_name)
            .bind(low)
            .bind(high)
            .bind(kind)
            .bind(limit.max(0))
            .fetch_all(self.reader())
            .await
            .map_err(Fault::from)?;
        Ok(all(&rows, |row| {
            let mut c = Cells::new(row);
            Ok((c.text()?, c.text()?))
        })?)
    }

    /// Writes the whole row over the live one of the same id and advances `step`. `log_version` and `modified_ms`
    /// never go back: a commit may have raised them since the caller read the row.
    ///
    /// `Conflict` `ODPS-0110061` when the schema version is not `expected_schema_version`, the table is dropped or
    /// an open commit record names it; `Conflict` `ODPS-0130211` when the new name is taken.
    pub async fn update_table(&self, table: &Table, expected_schema_version: i64, step: &Step) -> Result<()> {
        let schema = schema_text(table)?;
        write_tx!(self, |tx| {
            advance(&mut tx, step).await?;
            write_row(&mut tx, table, &schema, expected_schema_version).await?;
            // After the row: on PostgreSQL the row lock orders us with whoever puts a record.
            let sql = "SELECT id FROM commit_records WHERE table_id = $1 LIMIT 1";
            if query(sql).bind(&table.id).fetch_optional(tx.conn()).await?.is_some() {
                let message = format!("a commit to table {}.{} is under way", table.project, table.name);
                return Err(ddl_conflict(message).into());
            }
            Ok(())
        })
    }

    /// Hides the table from its users at `dropped_ms` and advances `step`. `NotFound` when it is not live.
    pub async fn drop_table(&self, id: &str, dropped_ms: i64, step: &Step) -> Result<()> {
        write_tx!(self, |tx| {
            advance(&mut tx, step).await?;
            let sql = "UPDATE tables SET dropped_ms = $2 WHERE id = $1 AND dropped_ms IS NULL";
            if query(sql).bind(id).bind(dropped_ms).execute(tx.conn()).await?.rows_affected() == 0 {
                return Err(no_such_table(id).into());
            }
            Ok(())
        })
    }

    /// The tables and views that were dropped before `before_ms`, the oldest first.
    pub async fn list_dropped(&self, before_ms: i64) -> Result<Vec<Table>> {
        let sql = concat!(
            "SELECT ",
            table_columns!(),
            " FROM tables WHERE dropped_ms IS NOT NULL AND dropped_ms < $1 ORDER BY dropped_ms"
        );
        let rows = query(sql).bind(before_ms).fetch_all(self.reader()).await.map_err(Fault::from)?;
        Ok(all(&rows, read_table)?)
    }

    /// Deletes a dropped table's row and everything that hangs on it; nothing happens when there is none. `Conflict`
    /// when it is live.
    pub async fn forget_table(&self, id: &str) -> Result<()> {
        write_tx!(self, |tx| {
            let sql = tx.locking(for_update!("SELECT dropped_ms FROM tables WHERE id = $1"));
            let row = query(sql).bind(id).fetch_optional(tx.conn()).await?;
            if let Some(row) = row
                && Cells::new(&row).opt_int()?.is_none()
            {
                return Err(ddl_conflict(format!("table {id} is live; only a dropped one can be forgotten")).into());
            }
            for sql in [
                "DELETE FROM partitions WHERE table_id = $1",
                "DELETE FROM partition_drops WHERE table_id = $1",
                "DELETE FROM commit_records WHERE table_id = $1",
                "DELETE FROM grants WHERE object = $1",
                "DELETE FROM labels WHERE table_id = $1",
                "DELETE FROM label_grants WHERE table_id = $1",
                "DELETE FROM tables WHERE id = $1",
            ] {
                query(sql).bind(id).execute(tx.conn()).await?;
            }
            Ok(())
        })
    }

    /// Sets the times of the last change of data and of the last DDL, and advances `step`. `NotFound` when not live.
    pub async fn touch_table(&self, id: &str, modified_ms: i64, ddl_ms: i64, step: &Step) -> Result<()> {
        write_tx!(self, |tx| {
            advance(&mut tx, step).await?;
            let sql = "UPDATE tables SET modified_ms = $2, ddl_ms = $3 WHERE id = $1 AND dropped_ms IS NULL";
            let change = query(sql).bind(id).bind(modified_ms).bind(ddl_ms);
            if change.execute(tx.conn()).await?.rows_affected() == 0 {
                return Err(no_such_table(id).into());
            }
            Ok(())
        })
    }

    /// Every table and view, live and dropped, by id: for checks and collection.
    pub async fn all_tables(&self) -> Result<Vec<Table>> {
        let sql = concat!("SELECT ", table_columns!(), " FROM tables ORDER BY id");
        let rows = query(sql).fetch_all(self.reader()).await.map_err(Fault::from)?;
        Ok(all(&rows, read_table)?)
    }
}

/// Writes `table` over the live row of its id if that has the expected schema version.
pub(crate) async fn write_row(tx: &mut Tx, table: &Table, schema: &str, expected: i64) -> Result<(), Fault> {
    let sql = "UPDATE tables SET project = $3, schema_name = $4, name = $5, kind = $6, owner = $7, location = $8, \
               table_schema = $9, schema_version = $10, comment = $11, properties = $12, lifecycle = $13, \
               view_text = $14, created_ms = $15, ddl_ms = $16, \
               modified_ms = CASE WHEN modified_ms < $17 THEN $17 ELSE modified_ms END, \
               log_version = CASE WHEN log_version < $18 THEN $18 ELSE log_version END \
               WHERE id = $1 AND schema_version = $2 AND dropped_ms IS NULL";
    let done = query(sql)
        .bind(&table.id)
        .bind(expected)
        .bind(&table.project)
        .bind(&table.schema_name)
        .bind(&table.name)
        .bind(&table.kind)
        .bind(&table.owner)
        .bind(&table.location)
        .bind(schema)
        .bind(table.schema_version)
        .bind(&table.comment)
        .bind(&table.properties)
        .bind(table.lifecycle)
        .bind(table.view_text.as_deref())
        .bind(table.created_ms)
        .bind(table.ddl_ms)
        .bind(table.modified_ms)
        .bind(table.log_version)
        .execute(tx.conn())
        .await
        .map_err(Fault::from);
    match done {
        Ok(done) if done.rows_affected() == 0 => {
            let message = format!("table {}.{} was changed or dropped meanwhile", table.project, table.name);
            Err(ddl_conflict(message).into())
        }
        Ok(_) => Ok(()),
        Err(fault) if fault.is_unique_violation() => Err(already_exists(table).into()),
        Err(fault) => Err(fault),
    }
}

/// The text form of a schema for [`write_row`].
pub(crate) fn row_schema(table: &Table) -> Result<String> {
    schema_text(table)
}
