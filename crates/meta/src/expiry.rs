//! The end of tables and partitions whose lifecycle is over: decided in one transaction with what it is decided by.

use feitian_base::Result;
use sqlx::query;

use crate::cells::{Cells, all};
use crate::commits;
use crate::db::Meta;
use crate::fault::Fault;
use crate::partition_rows::{partition_columns, read_partition};
use crate::rows::{CommitRecord, Partition, Table};
use crate::tables::{read_table, table_columns};
use crate::tx::Tx;

impl Meta {
    /// The live tables that have a lifecycle, by id.
    pub async fn tables_with_lifecycle(&self) -> Result<Vec<Table>> {
        let sql =
            concat!("SELECT ", table_columns!(), " FROM tables WHERE lifecycle > 0 AND dropped_ms IS NULL ORDER BY id");
        let rows = query(sql).fetch_all(self.reader()).await.map_err(Fault::from)?;
        Ok(all(&rows, read_table)?)
    }

    /// The partitions of a table that were last changed before `before_ms`, in the order of their values.
    pub async fn partitions_unchanged(&self, table_id: &str, before_ms: i64) -> Result<Vec<Partition>> {
        let sql = concat!(
            "SELECT ",
            partition_columns!(),
            " FROM partitions WHERE table_id = $1 AND modified_ms < $2 ORDER BY sort_key"
        );
        let rows = query(sql).bind(table_id).bind(before_ms).fetch_all(self.reader()).await.map_err(Fault::from)?;
        Ok(all(&rows, read_partition)?)
    }

    /// Hides the table from its users at `dropped_ms`, as long as it is what `seen` says; false, and no change, when it
    /// was changed or dropped since, or a commit to it or a session that writes into it is under way.
    pub async fn expire_table(&self, seen: &Table, dropped_ms: i64) -> Result<bool> {
        write_tx!(self, |tx| {
            if !is_at_rest(&mut tx, seen).await? {
                return Ok(false);
            }
            let sql = "SELECT id FROM sessions WHERE table_id = $1 AND kind NOT IN ('download', 'storage_read') \
                       AND status IN ('normal', 'closing') AND expires_ms > $2 LIMIT 1";
            let writer = query(sql).bind(&seen.id).bind(dropped_ms).fetch_optional(tx.conn()).await?;
            if writer.is_some() {
                return Ok(false);
            }
            let sql = "UPDATE tables SET dropped_ms = $2 WHERE id = $1 AND modified_ms = $3";
            let drop = query(sql).bind(&seen.id).bind(dropped_ms).bind(seen.modified_ms);
            Ok(drop.execute(tx.conn()).await?.rows_affected() > 0)
        })
    }

    /// Announces the commit `record`, which drops `specs`, as long as each of them was last changed before `before_ms` and
    /// the table has the columns, lifecycle and properties of `seen`; false, and no change, when that is not so or a commit
    /// to the table is under way.
    pub async fn put_expiry(
        &self,
        record: &CommitRecord,
        seen: &Table,
        specs: &[String],
        before_ms: i64,
    ) -> Result<bool> {
        write_tx!(self, |tx| {
            if !is_at_rest(&mut tx, seen).await? {
                return Ok(false);
            }
            let sql = for_update!("SELECT modified_ms FROM partitions WHERE table_id = $1 AND spec = $2");
            for spec in specs {
                let found = query(tx.locking(sql)).bind(&seen.id).bind(spec).fetch_optional(tx.conn()).await?;
                match found {
                    Some(row) if Cells::new(&row).int()? < before_ms => {}
                    _ => return Ok(false),
                }
            }
            commits::put(&mut tx, record, seen.schema_version).await?;
            Ok(true)
        })
    }
}

/// Whether the live table still has the columns, lifecycle and properties of `seen`, and no commit to it is open. Its row is
/// held until the transaction ends: a commit that is announced meanwhile sees what this one has done.
async fn is_at_rest(tx: &mut Tx, seen: &Table) -> Result<bool, Fault> {
    let sql = tx.locking(for_update!(
        "SELECT schema_version, lifecycle, properties FROM tables WHERE id = $1 AND dropped_ms IS NULL"
    ));
    let Some(row) = query(sql).bind(&seen.id).fetch_optional(tx.conn()).await? else { return Ok(false) };
    let mut c = Cells::new(&row);
    let (version, lifecycle, properties) = (c.int()?, c.int()?, c.text()?);
    if (version, lifecycle) != (seen.schema_version, seen.lifecycle) || properties != seen.properties {
        return Ok(false);
    }
    let open = query("SELECT id FROM commit_records WHERE table_id = $1 LIMIT 1").bind(&seen.id);
    Ok(open.fetch_optional(tx.conn()).await?.is_none())
}
