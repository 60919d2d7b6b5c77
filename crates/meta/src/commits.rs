//! The commit protocol: a record before the table's log is touched, one transaction after it.

use feitian_base::{Error, Kind, Result};
use sqlx::any::AnyRow;
use sqlx::query;

use crate::cells::{Cells, all, one};
use crate::db::Meta;
use crate::fault::{Fault, conflict, ddl_conflict, not_found};
use crate::partition_rows::{self, Existing};
use crate::rows::{CommitRecord, Partition, PartitionChange, Step, Table};
use crate::steps::{advance_recorded, has_advanced, hold_instance, hold_session, wrong_status};
use crate::tables::{row_schema, write_row};
use crate::tx::Tx;

macro_rules! record_columns {
    () => {
        "id, owner, step, attempt, table_id, read_version, actions, created_ms"
    };
}

fn read_record(row: &AnyRow) -> Result<CommitRecord, Fault> {
    let mut c = Cells::new(row);
    Ok(CommitRecord {
        id: c.text()?,
        owner: c.text()?,
        step: c.int()?,
        attempt: c.int()?,
        table_id: c.text()?,
        read_version: c.int()?,
        actions: c.text()?,
        created_ms: c.int()?,
    })
}

/// What a finished commit leaves in the rows of its table.
struct Finished<'a> {
    record_id: &'a str,
    table_id: &'a str,
    log_version: i64,
    changes: &'a [PartitionChange],
    dropped_specs: &'a [String],
    created_partitions: &'a [Partition],
    modified_ms: i64,
    step: &'a Step,
}

impl Meta {
    /// Announces a commit: returns `record` once it is durable, or the record that the same `(owner, step, table_id)`
    /// has left, which the caller must carry out instead of its own.
    ///
    /// Errors, nothing written: `NotFound` `NoSuchTable` when the table is dropped; `Conflict` `SchemaModified` when its
    /// schema version is not `expected_schema_version`; `Conflict` `ODPS-0110061` when `record.attempt` (not 0) does not
    /// own the instance or the step has taken effect; `Conflict` `StatusConflict` when the owner is a session that is
    /// closed or expired.
    pub async fn put_commit_record(&self, record: &CommitRecord, expected_schema_version: i64) -> Result<CommitRecord> {
        write_tx!(self, |tx| { put(&mut tx, record, expected_schema_version).await })
    }

    /// [`Meta::put_commit_record`] of a step that changes several tables: each record with the schema version that its
    /// table must have, all of them or none, so that no crash can leave a part of the step to be rolled forward alone.
    /// Returns the records to carry out, in the order given.
    pub async fn put_commit_records(&self, records: &[(CommitRecord, i64)]) -> Result<Vec<CommitRecord>> {
        write_tx!(self, |tx| {
            let mut open = Vec::with_capacity(records.len());
            for (record, expected_schema_version) in records {
                open.push(put(&mut tx, record, *expected_schema_version).await?);
            }
            Ok(open)
        })
    }

    /// The records of commits that are not finished, of one table or of all, the oldest first.
    pub async fn open_commit_records(&self, table_id: Option<&str>) -> Result<Vec<CommitRecord>> {
        let rows = match table_id {
            Some(id) => {
                let sql = concat!("SELECT ", record_columns!(), " FROM commit_records WHERE table_id = $1 ORDER BY id");
                query(sql).bind(id).fetch_all(self.reader()).await
            }
            None => {
                let sql = concat!("SELECT ", record_columns!(), " FROM commit_records ORDER BY id");
                query(sql).fetch_all(self.reader()).await
            }
        };
        Ok(all(&rows.map_err(Fault::from)?, read_record)?)
    }

    /// The open records of one instance or session, by step: what a new attempt must carry out before anything else.
    pub async fn commit_records_of(&self, owner: &str) -> Result<Vec<CommitRecord>> {
        let sql =
            concat!("SELECT ", record_columns!(), " FROM commit_records WHERE owner = $1 ORDER BY step, table_id");
        let rows = query(sql).bind(owner).fetch_all(self.reader()).await.map_err(Fault::from)?;
        Ok(all(&rows, read_record)?)
    }

    /// Ends a commit that the table's log holds as `log_version`: one transaction that deletes `dropped_specs`, writes
    /// `changes`, adds `created_partitions` that are not there, raises the table's log version and modification time,
    /// deletes the record and advances `step`.
    ///
    /// While the record is there, whoever brings it may end it, whichever attempt `step` names. When it is gone this is
    /// `Ok` if the step has been advanced (the commit was ended before) and otherwise a `Conflict` `ODPS-0110061`.
    #[allow(clippy::too_many_arguments)] // one flat list, as the protocol names these
    pub async fn finish_commit(
        &self,
        record_id: &str,
        table_id: &str,
        log_version: i64,
        changes: &[PartitionChange],
        dropped_specs: &[String],
        created_partitions: &[Partition],
        modified_ms: i64,
        step: &Step,
    ) -> Result<()> {
        let done = Finished {
            record_id,
            table_id,
            log_version,
            changes,
            dropped_specs,
            created_partitions,
            modified_ms,
            step,
        };
        write_tx!(self, |tx| { finish(&mut tx, &done).await.map(|_| ()) })
    }

    /// [`Meta::finish_commit`] of a commit that changed the table's columns: the row `table` is written in the same
    /// transaction, over the live row of schema version `expected_schema_version`. A table that was dropped since keeps
    /// its old row.
    #[allow(clippy::too_many_arguments)] // as finish_commit
    pub async fn finish_schema_commit(
        &self,
        record_id: &str,
        table: &Table,
        expected_schema_version: i64,
        log_version: i64,
        changes: &[PartitionChange],
        dropped_specs: &[String],
        created_partitions: &[Partition],
        modified_ms: i64,
        step: &Step,
    ) -> Result<()> {
        let schema = row_schema(table)?;
        let done = Finished {
            record_id,
            table_id: &table.id,
            log_version,
            changes,
            dropped_specs,
            created_partitions,
            modified_ms,
            step,
        };
        write_tx!(self, |tx| {
            if !finish(&mut tx, &done).await? || is_dropped(&mut tx, &table.id).await? {
                return Ok(());
            }
            write_row(&mut tx, table, &schema, expected_schema_version).await
        })
    }

    /// Takes back a record whose commit will never be in the log; nothing happens when it is gone.
    pub async fn abandon_commit(&self, record_id: &str) -> Result<()> {
        self.abandon_commits(&[record_id]).await
    }

    /// [`Meta::abandon_commit`] of all records of a step at once, so that no crash can leave a part of them to be rolled
    /// forward alone.
    pub async fn abandon_commits(&self, record_ids: &[&str]) -> Result<()> {
        write_tx!(self, |tx| {
            for id in record_ids {
                query("DELETE FROM commit_records WHERE id = $1").bind(*id).execute(tx.conn()).await?;
            }
            Ok(())
        })
    }
}

pub(crate) async fn put(
    tx: &mut Tx,
    record: &CommitRecord,
    expected_schema_version: i64,
) -> Result<CommitRecord, Fault> {
    if record.attempt > 0 {
        hold_instance(tx, &record.owner, record.attempt, record.step).await?;
    }
    if let Some(left) = left_record(tx, record).await? {
        return Ok(left);
    }
    if record.attempt == 0
        && let Some(status) = hold_session(tx, &record.owner).await?
        && status != "normal"
        && status != "closing"
    {
        return Err(wrong_status(&record.owner, &status).into());
    }
    check_schema(tx, &record.table_id, expected_schema_version).await?;
    let sql = concat!(
        "INSERT INTO commit_records (",
        record_columns!(),
        ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (owner, step, table_id) DO NOTHING"
    );
    let done = query(sql)
        .bind(&record.id)
        .bind(&record.owner)
        .bind(record.step)
        .bind(record.attempt)
        .bind(&record.table_id)
        .bind(record.read_version)
        .bind(&record.actions)
        .bind(record.created_ms)
        .execute(tx.conn())
        .await?;
    if done.rows_affected() > 0 {
        return Ok(record.clone());
    }
    // Another process has put one since we looked.
    let left = left_record(tx, record).await?;
    left.ok_or_else(|| ddl_conflict("another process has just ended the same commit").into())
}

async fn left_record(tx: &mut Tx, record: &CommitRecord) -> Result<Option<CommitRecord>, Fault> {
    let sql =
        concat!("SELECT ", record_columns!(), " FROM commit_records WHERE owner = $1 AND step = $2 AND table_id = $3");
    let row = query(sql).bind(&record.owner).bind(record.step).bind(&record.table_id).fetch_optional(tx.conn()).await?;
    one(row, read_record)
}

/// Fails unless the table is live with this schema version; holds its row on PostgreSQL, so that a change of columns
/// sees the record or is seen here.
async fn check_schema(tx: &mut Tx, table_id: &str, expected: i64) -> Result<(), Fault> {
    let sql = tx.locking(for_update!("SELECT project, name, schema_version, dropped_ms FROM tables WHERE id = $1"));
    let Some(row) = query(sql).bind(table_id).fetch_optional(tx.conn()).await? else {
        return Err(crate::tables::no_such_table(table_id).into());
    };
    let mut c = Cells::new(&row);
    let (project, name, version, dropped) = (c.text()?, c.text()?, c.int()?, c.opt_int()?);
    if dropped.is_some() {
        let message = format!("Table not found - table {project}.{name} has been dropped");
        return Err(not_found("NoSuchTable", message).into());
    }
    if version != expected {
        let message = format!(
            "The columns of table {project}.{name} have changed (schema version {version}, not {expected}); \
             read its schema again"
        );
        return Err(conflict("SchemaModified", message).into());
    }
    Ok(())
}

async fn is_dropped(tx: &mut Tx, table_id: &str) -> Result<bool, Fault> {
    let sql = "SELECT id FROM tables WHERE id = $1 AND dropped_ms IS NULL";
    Ok(query(sql).bind(table_id).fetch_optional(tx.conn()).await?.is_none())
}

/// Applies a finished commit; false when that was done before.
async fn finish(tx: &mut Tx, done: &Finished<'_>) -> Result<bool, Fault> {
    // The owner's row, then the table's row: the order of put_commit_record, so that the two do not deadlock.
    let ended = query("DELETE FROM commit_records WHERE id = $1").bind(done.record_id).execute(tx.conn()).await?;
    if ended.rows_affected() == 0 {
        if has_advanced(tx, done.step).await? {
            return Ok(false);
        }
        let message = format!("the commit record {} is gone; the statement has to run again", done.record_id);
        return Err(ddl_conflict(message).into());
    }
    advance_recorded(tx, done.step).await?;
    let sql = "UPDATE tables SET log_version = CASE WHEN log_version < $2 THEN $2 ELSE log_version END, \
               modified_ms = CASE WHEN modified_ms < $3 THEN $3 ELSE modified_ms END WHERE id = $1";
    let change = query(sql).bind(done.table_id).bind(done.log_version).bind(done.modified_ms);
    if change.execute(tx.conn()).await?.rows_affected() == 0 {
        let message = format!("the table {} of commit record {} is forgotten", done.table_id, done.record_id);
        return Err(Error::new(Kind::NotFound, "NoSuchTable", message).into());
    }
    partition_rows::drop_at(tx, done.table_id, done.dropped_specs, done.log_version).await?;
    partition_rows::upsert(tx, done.table_id, done.changes, done.log_version).await?;
    partition_rows::insert(tx, done.table_id, done.created_partitions, done.log_version, Existing::Keep).await?;
    partition_rows::forget_drops(tx, done.table_id).await?;
    Ok(true)
}
