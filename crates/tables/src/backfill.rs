//! Adding the rows from before an index to it.
//!
//! 1. The index is *building* in the catalog: every write since then keeps the entries of its row.
//! 2. Walk the table in pages of keys. For each row, under its latch, read it again and write its whole entry. A row
//!    that changes before or after does so under the same latch, so the entry is that of the row as it is.
//! 3. Once every row was visited, the index is ready in the catalog.
//!
//! After a crash all of it is done again: an entry written twice is the same entry.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use feitian_base::{Result, failpoint};
use futures::future::try_join_all;

use crate::catalog::Change;
use crate::engine::Order;
use crate::index;
use crate::inner::Inner;
use crate::keys;
use crate::table::{Index, Record, Table};
use crate::view::{Needed, View, Writes};

/// Rows that are worked on at the same time.
const PAGE_ROWS: usize = 64;
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Starts the work for every index that is building.
pub(crate) fn start_all(inner: &Arc<Inner>) {
    for table in inner.tables() {
        let Ok(record) = table.record() else { continue };
        for index in record.indexes.iter().filter(|index| index.is_building) {
            start(inner, &table, index.generation);
        }
    }
}

/// Starts the work for one index.
pub(crate) fn start(inner: &Arc<Inner>, table: &Arc<Table>, generation: u64) {
    let (own, table) = (inner.clone(), table.clone());
    inner.tasks.spawn("tables.backfill", async move {
        let stop = own.tasks.stop_token();
        while let Err(e) = run(&own, &table, generation).await {
            tracing::warn!(table = %table.name, error = ?e, "filling an index is tried again");
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(RETRY_AFTER) => {}
            }
        }
    });
}

/// Fills an index; returns early, and without an error, if it or its table is gone or the server stops.
pub(crate) async fn run(inner: &Arc<Inner>, table: &Arc<Table>, generation: u64) -> Result<()> {
    let Some((record, _)) = building(table, generation) else { return Ok(()) };
    let mut from = record.generation.to_be_bytes().to_vec();
    // 2.
    loop {
        let page = page(inner, &record, from.clone()).await?;
        let Some(last) = page.last() else { break };
        from = keys::row_end(last);
        let rows = page.iter().map(|prefix| add_row(inner, table, generation, prefix));
        let goes_on = try_join_all(rows).await?.into_iter().all(|goes_on| goes_on);
        if !goes_on || inner.tasks.is_stopping() {
            return Ok(());
        }
    }
    // 3.
    failpoint::hit("tables.backfill.before_ready");
    let mut change = Change::begin(inner).await;
    let _alone = table.gate.write().await;
    let Ok(record) = table.record() else { return Ok(()) };
    let mut record = (*record).clone();
    let Some(index) = record.indexes.iter_mut().find(|index| index.generation == generation) else { return Ok(()) };
    index.is_building = false;
    change.put(table, &record)?;
    change.commit(inner).await?;
    table.replace(Some(record));
    Ok(())
}

/// The prefixes of the next rows. The scan is not kept while they are worked on.
pub(crate) async fn page(inner: &Inner, record: &Record, from: Vec<u8>) -> Result<Vec<Bytes>> {
    let to = keys::after(&record.generation.to_be_bytes());
    let (bounds, no_column) = ((from, to, Order::Forward), |_: &str| false);
    let mut rows = View::of(&*inner.engine).rows(bounds, record.key.len(), &no_column).await?;
    let mut page = Vec::with_capacity(PAGE_ROWS);
    while page.len() < PAGE_ROWS {
        let Some(row) = rows.next().await? else { break };
        page.push(row.prefix);
    }
    Ok(page)
}

/// The table's record and the index, while there is anything to do.
fn building(table: &Table, generation: u64) -> Option<(Arc<Record>, Index)> {
    let record = table.record().ok()?;
    let index = record.indexes.iter().find(|index| index.generation == generation && index.is_building)?.clone();
    Some((record, index))
}

async fn add_row(inner: &Arc<Inner>, table: &Arc<Table>, generation: u64, prefix: &Bytes) -> Result<bool> {
    let (own, table, prefix) = (inner.clone(), table.clone(), prefix.clone());
    inner.to_the_end(async move { add_row_latched(&own, &table, generation, &prefix).await }).await
}

/// False if the index is no longer to be filled.
async fn add_row_latched(inner: &Inner, table: &Table, generation: u64, prefix: &Bytes) -> Result<bool> {
    let _gate = table.gate.read().await;
    let Some((record, index)) = building(table, generation) else { return Ok(false) };
    let key = keys::read_row(prefix, &record.key)?;
    let _held = inner.latches.row(&record.partition(&key), prefix).await;
    let mut columns = BTreeSet::new();
    index::columns(&record, &mut columns);
    let needed = Needed::Columns { values: columns.clone(), columns };
    // With what has expired and is not gone yet: the next change of the row takes the entry of all that there is for written.
    let row = View::of_rows(inner).row(prefix, &needed).await?;
    let mut writes = Writes::default();
    index::add(&index, &key, &row, &mut writes);
    if !writes.is_empty() {
        failpoint::hit("tables.backfill.before_row");
        inner.commit(writes.into_batch()).await?;
    }
    Ok(true)
}
