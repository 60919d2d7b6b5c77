//! Partition rows as users and the warehouse see them.

use feitian_base::{Error, Result};
use feitian_types::PartitionSpec;
use sqlx::query;

use crate::cells::{Cells, all, one};
use crate::db::Meta;
use crate::fault::{Fault, ddl_conflict, not_found};
use crate::partition_rows::{self, Existing, partition_columns, read_partition, sort_key};
use crate::range;
use crate::rows::{Partition, PartitionChange, Step, Table};
use crate::steps::advance;
use crate::tables::{no_such_table, schema_text, write_row};
use crate::tx::Tx;

/// The query of [`Meta::list_partitions`].
pub(crate) const LIST: &str = concat!(
    "SELECT ",
    partition_columns!(),
    " FROM partitions WHERE table_id = $1 AND sort_key >= $2 AND sort_key < $3 ORDER BY sort_key LIMIT $4"
);

/// The query of [`Meta::largest_partition`].
pub(crate) const LARGEST: &str = concat!(
    "SELECT ",
    partition_columns!(),
    " FROM partitions WHERE table_id = $1 AND num_rows > 0 ORDER BY sort_key DESC LIMIT 1"
);

/// [`LIST`] from the end.
pub(crate) const LIST_BACKWARDS: &str = concat!(
    "SELECT ",
    partition_columns!(),
    " FROM partitions WHERE table_id = $1 AND sort_key >= $2 AND sort_key < $3 ORDER BY sort_key DESC LIMIT $4"
);

/// Fails unless the table is live; on PostgreSQL its row stays as it is until the transaction ends.
async fn hold_live(tx: &mut Tx, table_id: &str) -> Result<(), Fault> {
    let sql = tx.locking(for_update!("SELECT id FROM tables WHERE id = $1 AND dropped_ms IS NULL"));
    match query(sql).bind(table_id).fetch_optional(tx.conn()).await? {
        Some(_) => Ok(()),
        None => Err(no_such_table(table_id).into()),
    }
}

/// Whether an open commit record drops the partition: its text lists the specs of those under `drop`.
async fn is_being_dropped(tx: &mut Tx, table_id: &str, spec: &str) -> Result<bool, Fault> {
    let sql = "SELECT actions FROM commit_records WHERE table_id = $1";
    for row in query(sql).bind(table_id).fetch_all(tx.conn()).await? {
        let actions: serde_json::Value = serde_json::from_str(&Cells::new(&row).text()?).unwrap_or_default();
        if actions["drop"].as_array().is_some_and(|specs| specs.iter().any(|s| s.as_str() == Some(spec))) {
            return Ok(true);
        }
    }
    Ok(false)
}

impl Meta {
    /// Adds partitions and advances `step`, all or nothing. Those that exist stay as they are with `if_not_exists`;
    /// otherwise the first of them is a `Conflict` `ODPS-0110061`. `NotFound` when the table is not live.
    pub async fn add_partitions(
        &self,
        table_id: &str,
        partitions: &[Partition],
        if_not_exists: bool,
        step: &Step,
    ) -> Result<()> {
        let existing = if if_not_exists { Existing::Keep } else { Existing::Refuse };
        write_tx!(self, |tx| {
            advance(&mut tx, step).await?;
            hold_live(&mut tx, table_id).await?;
            partition_rows::insert(&mut tx, table_id, partitions, -1, existing).await
        })
    }

    /// The partition with this canonical spec; the empty spec is the whole of an unpartitioned table.
    pub async fn partition(&self, table_id: &str, spec: &str) -> Result<Option<Partition>> {
        let sql = concat!("SELECT ", partition_columns!(), " FROM partitions WHERE table_id = $1 AND spec = $2");
        let row = query(sql).bind(table_id).bind(spec).fetch_optional(self.reader()).await.map_err(Fault::from)?;
        Ok(one(row, read_partition)?)
    }

    /// At most `limit` partitions whose first values are `prefix_values`, in the order of their values column by
    /// column (bytes compared), backwards with `reverse`. A page goes on behind the spec `after`, which need not exist
    /// any more.
    pub async fn list_partitions(
        &self,
        table_id: &str,
        prefix_values: &[String],
        after: Option<&str>,
        limit: i64,
        reverse: bool,
    ) -> Result<Vec<Partition>> {
        let prefix = sort_key(prefix_values);
        let marker = match after {
            Some(spec) => Some(self.marker_key(table_id, spec).await?),
            None => None,
        };
        let (low, high) = if reverse {
            let end = range::end_of(&prefix);
            (prefix, marker.filter(|m| *m < end).unwrap_or(end))
        } else {
            range::page(&prefix, marker.as_deref())
        };
        let sql = if reverse { LIST_BACKWARDS } else { LIST };
        let rows = query(sql).bind(table_id).bind(low).bind(high).bind(limit.max(0)).fetch_all(self.reader()).await;
        Ok(all(&rows.map_err(Fault::from)?, read_partition)?)
    }

    /// The sort key of a page marker. The row has it; if the partition was dropped since, the spec's text gives it.
    async fn marker_key(&self, table_id: &str, spec: &str) -> Result<String> {
        let sql = "SELECT sort_key FROM partitions WHERE table_id = $1 AND spec = $2";
        let row = query(sql).bind(table_id).bind(spec).fetch_optional(self.reader()).await.map_err(Fault::from)?;
        if let Some(row) = row {
            return Ok(Cells::new(&row).text()?);
        }
        let parsed = PartitionSpec::parse(spec)
            .ok_or_else(|| Error::invalid(format!("The marker '{spec}' is no partition of this table")))?;
        let values: Vec<String> = parsed.0.into_iter().map(|(_, value)| value).collect();
        Ok(sort_key(&values))
    }

    /// The last partition with rows in the order of their values: that of the largest value of the first column.
    pub async fn largest_partition(&self, table_id: &str) -> Result<Option<Partition>> {
        let row = query(LARGEST).bind(table_id).fetch_optional(self.reader()).await.map_err(Fault::from)?;
        Ok(one(row, read_partition)?)
    }

    /// Every partition of the table, in the order of their values.
    pub async fn all_partitions(&self, table_id: &str) -> Result<Vec<Partition>> {
        let sql = concat!("SELECT ", partition_columns!(), " FROM partitions WHERE table_id = $1 ORDER BY sort_key");
        let rows = query(sql).bind(table_id).fetch_all(self.reader()).await.map_err(Fault::from)?;
        Ok(all(&rows, read_partition)?)
    }

    /// Sets the time of the last change of data of one partition and advances `step`. `NotFound` `NoSuchPartition`;
    /// `Conflict` `ODPS-0110061` while an open commit record drops the partition: it may be gone at once.
    pub async fn touch_partition(&self, table_id: &str, spec: &str, modified_ms: i64, step: &Step) -> Result<()> {
        write_tx!(self, |tx| {
            advance(&mut tx, step).await?;
            let sql = "UPDATE partitions SET modified_ms = $3, ddl_ms = $3 WHERE table_id = $1 AND spec = $2";
            let change = query(sql).bind(table_id).bind(spec).bind(modified_ms);
            if change.execute(tx.conn()).await?.rows_affected() == 0 {
                let message = format!("Partition not found - '{spec}'; SHOW PARTITIONS lists those that exist");
                return Err(not_found("NoSuchPartition", message).into());
            }
            // After the row: on PostgreSQL its lock orders us with whoever announces the end of what nobody touches.
            if is_being_dropped(&mut tx, table_id, spec).await? {
                return Err(ddl_conflict(format!("partition '{spec}' is being dropped")).into());
            }
            Ok(())
        })
    }

    /// Deletes rows of empty partitions and advances `step`; specs that are not there are passed over. Partitions with
    /// data are dropped through their table's log.
    pub async fn drop_partition_rows(&self, table_id: &str, specs: &[String], step: &Step) -> Result<()> {
        write_tx!(self, |tx| {
            advance(&mut tx, step).await?;
            hold_live(&mut tx, table_id).await?;
            partition_rows::delete(&mut tx, table_id, specs, i64::MAX).await
        })
    }

    /// Changes the partitions of a table that has no log, and advances `step`, all or nothing: those of `gone` go, of
    /// which each must have been changed last at the time beside it, and `added` come. With `row` the first takes the
    /// place of the second, which must still be the table's row.
    ///
    /// `Conflict` `ODPS-0110061` when a partition is there already, has been changed meanwhile or is gone, or the row
    /// has been changed; `NotFound` when the table is not live.
    pub async fn change_partitions(
        &self,
        table_id: &str,
        row: Option<(&Table, &Table)>,
        gone: &[(String, i64)],
        added: &[Partition],
        step: &Step,
    ) -> Result<()> {
        let schema = row.map(|(table, _)| schema_text(table)).transpose()?;
        write_tx!(self, |tx| {
            advance(&mut tx, step).await?;
            hold_live(&mut tx, table_id).await?;
            if let (Some((table, before)), Some(schema)) = (row, &schema) {
                // Not every change of a row counts its schema version up.
                let sql = "SELECT id FROM tables WHERE id = $1 AND ddl_ms = $2";
                if query(sql).bind(table_id).bind(before.ddl_ms).fetch_optional(tx.conn()).await?.is_none() {
                    return Err(ddl_conflict(format!("table {} was changed meanwhile", table.local_name())).into());
                }
                write_row(&mut tx, table, schema, before.schema_version).await?;
            }
            for (spec, modified_ms) in gone {
                let sql = "DELETE FROM partitions WHERE table_id = $1 AND spec = $2 AND modified_ms = $3";
                let done = query(sql).bind(table_id).bind(spec.as_str()).bind(*modified_ms).execute(tx.conn()).await?;
                if done.rows_affected() == 0 {
                    return Err(ddl_conflict(format!("partition '{spec}' was changed or dropped meanwhile")).into());
                }
            }
            partition_rows::insert(&mut tx, table_id, added, -1, Existing::Refuse).await
        })
    }

    /// Sets the time of the last change of data of a table without a log and of these partitions, adds those of `kept`
    /// that are not there, and advances `step`. `NotFound` when the table is not live.
    pub async fn touch_partitions(
        &self,
        table_id: &str,
        kept: &[Partition],
        specs: &[String],
        modified_ms: i64,
        step: &Step,
    ) -> Result<()> {
        write_tx!(self, |tx| {
            advance(&mut tx, step).await?;
            hold_live(&mut tx, table_id).await?;
            let sql = "UPDATE tables SET modified_ms = $2 WHERE id = $1 AND modified_ms < $2";
            query(sql).bind(table_id).bind(modified_ms).execute(tx.conn()).await?;
            partition_rows::insert(&mut tx, table_id, kept, -1, Existing::Keep).await?;
            for spec in specs {
                let sql = "UPDATE partitions SET modified_ms = $3 WHERE table_id = $1 AND spec = $2";
                query(sql).bind(table_id).bind(spec.as_str()).bind(modified_ms).execute(tx.conn()).await?;
            }
            Ok(())
        })
    }

    /// Brings the rows from the log's version `from_version` to `to_version` if that is where they are; false, and no
    /// change, when somebody else has brought them further. `dropped_specs` are deleted before `changes` are written.
    pub async fn catch_up(
        &self,
        table_id: &str,
        from_version: i64,
        to_version: i64,
        changes: &[PartitionChange],
        dropped_specs: &[String],
        modified_ms: i64,
    ) -> Result<bool> {
        write_tx!(self, |tx| {
            let sql = "UPDATE tables SET log_version = $3, \
                       modified_ms = CASE WHEN modified_ms < $4 THEN $4 ELSE modified_ms END \
                       WHERE id = $1 AND log_version = $2";
            let step = query(sql).bind(table_id).bind(from_version).bind(to_version).bind(modified_ms);
            if step.execute(tx.conn()).await?.rows_affected() == 0 {
                return Ok(false);
            }
            partition_rows::drop_at(&mut tx, table_id, dropped_specs, to_version).await?;
            partition_rows::upsert(&mut tx, table_id, changes, to_version).await?;
            Ok(true)
        })
    }

    /// Replaces every partition row and the log version: the repair of `feitian check`. `NotFound` without the table.
    pub async fn replace_partitions(&self, table_id: &str, rows: &[Partition], log_version: i64) -> Result<()> {
        write_tx!(self, |tx| {
            let sql = "UPDATE tables SET log_version = $2 WHERE id = $1";
            if query(sql).bind(table_id).bind(log_version).execute(tx.conn()).await?.rows_affected() == 0 {
                return Err(no_such_table(table_id).into());
            }
            query("DELETE FROM partitions WHERE table_id = $1").bind(table_id).execute(tx.conn()).await?;
            query("DELETE FROM partition_drops WHERE table_id = $1").bind(table_id).execute(tx.conn()).await?;
            partition_rows::insert(&mut tx, table_id, rows, log_version, Existing::Refuse).await
        })
    }
}
