//! LIFECYCLE: tables and partitions go whose rows nobody has changed for so many days.
//!
//! A table without partitions is dropped; of a partitioned one each partition for itself, and the table stays.
//!
//! 1. Look at what is over, from a table that is opened: its rows in the metadata are those of its log.
//! 2. One transaction looks again while it holds the table's row. It drops the table; for partitions it puts the commit
//!    record that drops them. Neither happens when anything was changed since, or while a commit to the table is open; no
//!    table is dropped while an upload into it is open.
//! 3. The record is carried out as any other; it gives way to rows that have come since step 1.
//!
//! Several processes may do so at once, and any of them may die: step 2 is for one of them, and a record that is left is
//! carried out by whoever finds it. A TOUCH waits for the end of a record that drops its partition, and so does a change
//! of the table's lifecycle: what is answered as kept stays.

use std::time::Duration;

use feitian_base::{Kind, Result, clock, failpoint, id};
use feitian_meta::{Partition, Step, Table};
use serde_json::{Map, Value};

use crate::Warehouse;
use crate::commit::{Change, record_of};
use crate::ddl::LIFECYCLE_OFF;

const DAY_MS: i64 = 24 * 3600 * 1000;
const INTERVAL: Duration = Duration::from_secs(600);
/// Soon at first, so that a server which is often started again ends lifecycles too.
const FIRST: Duration = Duration::from_secs(90);
/// One commit drops so many partitions at most.
const PARTITIONS_AT_ONCE: usize = 100;
/// So often a table's other writers are given way to; then its partitions wait for the next time.
const ATTEMPTS: usize = 5;

/// The time before which the table, or a partition of it, must have been changed last to be over; `None` if it lives for
/// ever, as one does whose properties cannot be read: they may say so.
fn over_before(table: &Table, now_ms: i64) -> Option<i64> {
    let properties: Map<String, Value> = serde_json::from_str(&table.properties).ok()?;
    let enabled = properties.get("lifecycle.enabled").and_then(Value::as_str);
    if table.lifecycle <= 0 || table.location.is_empty() || enabled.is_some_and(|v| v.eq_ignore_ascii_case("false")) {
        return None;
    }
    now_ms.checked_sub(table.lifecycle.checked_mul(DAY_MS)?)
}

/// The partitions whose lifecycle is off: when each of them was made, by its spec. `None` if that cannot be read.
fn exempt(table: &Table) -> Option<Map<String, Value>> {
    let properties: Map<String, Value> = serde_json::from_str(&table.properties).ok()?;
    let text = properties.get(LIFECYCLE_OFF).map_or(Some("{}"), Value::as_str)?;
    serde_json::from_str(text).ok()
}

fn is_among(exempt: &Map<String, Value>, partition: &Partition) -> bool {
    exempt.get(&partition.spec).and_then(Value::as_i64) == Some(partition.created_ms)
}

/// Whether the lifecycle of the partition is off.
pub(crate) fn lives_for_ever(table: &Table, partition: &Partition) -> bool {
    exempt(table).is_none_or(|exempt| is_among(&exempt, partition))
}

impl Warehouse {
    /// Ends lifecycles until the warehouse stops.
    pub(crate) async fn lifecycle_loop(&self) {
        let stop = self.tasks.stop_token();
        let mut wait = FIRST;
        loop {
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = stop.cancelled() => return,
            }
            wait = INTERVAL;
            if let Err(e) = self.end_lifecycles(clock::now_ms()).await {
                tracing::warn!(error = ?e, "lifecycles could not be ended; it is tried again later");
            }
        }
    }

    /// Drops the tables and partitions whose lifecycle is over at `now_ms`; returns how many went.
    pub async fn end_lifecycles(&self, now_ms: i64) -> Result<u64> {
        let mut gone = 0;
        for table in self.meta.tables_with_lifecycle().await? {
            if self.tasks.is_stopping() {
                break;
            }
            // One table that cannot be read must not keep all others.
            gone += self.end_lifecycle(&table, now_ms).await.unwrap_or_else(|e| {
                match e.kind() {
                    // Somebody has dropped it meanwhile.
                    Kind::NotFound => {}
                    _ => tracing::warn!(table = %table.id, error = ?e, "a lifecycle could not be ended"),
                }
                0
            });
        }
        Ok(gone)
    }

    async fn end_lifecycle(&self, table: &Table, now_ms: i64) -> Result<u64> {
        if table.schema.is_partitioned() {
            return self.end_partitions(&table.id, now_ms).await;
        }
        if over_before(table, now_ms).is_none_or(|before_ms| table.modified_ms >= before_ms) {
            return Ok(0);
        }
        // Only opening it shows what another writer of the log has done.
        let row = self.catalog.open_id(&table.id).await?.row;
        if over_before(&row, now_ms).is_none_or(|before_ms| row.modified_ms >= before_ms) {
            return Ok(0);
        }
        failpoint::hit("lifecycle.before_drop");
        if !self.meta.expire_table(&row, clock::tick_ms()).await? {
            return Ok(0);
        }
        let name = format!("{}.{}", row.project, row.local_name());
        tracing::info!(table = %name, days = row.lifecycle, "table dropped: its lifecycle is over");
        Ok(1)
    }

    async fn end_partitions(&self, table_id: &str, now_ms: i64) -> Result<u64> {
        let (mut gone, mut conflicts) = (0, 0);
        while conflicts < ATTEMPTS && !self.tasks.is_stopping() {
            let Some(row) = self.meta.table_by_id(table_id).await? else { break };
            let Some(before_ms) = over_before(&row, now_ms) else { break };
            if self.over_partitions(&row, before_ms).await?.is_empty() {
                break;
            }
            let open = self.catalog.open_id(table_id).await?;
            let specs = self.over_partitions(&open.row, before_ms).await?;
            let change = Change {
                read_version: open.data()?.version,
                drop_partitions: specs.clone(),
                must_be_unchanged: true,
                ..Change::append(open.row.clone(), Vec::new())
            };
            let (record, _) = record_of(change, &id::ulid(), 0, 0)?;
            failpoint::hit("lifecycle.before_record");
            if specs.is_empty() || !self.meta.put_expiry(&record, &open.row, &specs, before_ms).await? {
                break;
            }
            failpoint::hit("lifecycle.after_record");
            match self.catalog.roll_forward(&record, &Step::None).await {
                Ok(()) => {
                    let name = format!("{}.{}", row.project, row.local_name());
                    tracing::info!(table = %name, days = row.lifecycle, ?specs, "partitions dropped: their lifecycle is over");
                    gone += specs.len() as u64;
                }
                Err(e) if e.kind() == Kind::Conflict => conflicts += 1,
                Err(e) => return Err(e),
            }
        }
        Ok(gone)
    }

    /// Partitions that were last changed before `before_ms` and whose lifecycle is not off.
    async fn over_partitions(&self, table: &Table, before_ms: i64) -> Result<Vec<String>> {
        let Some(exempt) = exempt(table) else { return Ok(Vec::new()) };
        let over = self.meta.partitions_unchanged(&table.id, before_ms).await?;
        let over = over.into_iter().filter(|p| !is_among(&exempt, p));
        Ok(over.map(|p| p.spec).take(PARTITIONS_AT_ONCE).collect())
    }
}
