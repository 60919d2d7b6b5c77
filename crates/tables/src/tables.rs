//! The public face of the table store.
//!
//! An instance is a name that the caller vouches for: whether there is one, and who may use it, is asked elsewhere.

use std::sync::Arc;
use std::time::Duration;

use feitian_base::{Kind, Result};
use feitian_wire::ots::KeyColumn;

use crate::alter;
use crate::backfill;
use crate::batch;
use crate::catalog;
use crate::clean::{self, Due};
use crate::clock::Clock;
use crate::engine::Engine;
use crate::inner::Inner;
use crate::model::{
    BatchAnswer, BatchWrite, DefinedColumn, GetRange, GetRow, Got, IndexMeta, InstanceUsage, NewTable, Page,
    SplitPoints, Stream, StreamDescription, StreamPage, TableChange, TableGets, TableInfo, TableUsage, WriteRow,
    Written,
};
use crate::read;
use crate::settings::Settings;
use crate::split;
use crate::stream;
use crate::usage;
use crate::write;

/// How long background work may take to stop.
const STOP_WITHIN: Duration = Duration::from_secs(30);

/// The tables of every instance. Cheap to clone; clones are one.
#[derive(Clone)]
pub struct Tables(Arc<Inner>);

impl Tables {
    /// Opens what an engine holds, and starts background work unless the settings say otherwise.
    pub async fn open(engine: Arc<dyn Engine>, clock: Arc<dyn Clock>, settings: Settings) -> Result<Self> {
        let inner = Arc::new(Inner::new(engine, clock, settings));
        catalog::load(&inner).await?;
        if inner.settings.background {
            backfill::start_all(&inner);
            start_cleaning(&inner);
            start_metering(&inner);
        }
        Ok(Self(inner))
    }

    /// Ends background work and the changes that are under way, writes the units down, and closes the engine. Requests
    /// that come later are refused.
    pub async fn close(self) -> Result<()> {
        let inner = &self.0;
        let left = inner.tasks.shutdown(STOP_WITHIN).await;
        if !left.is_empty() {
            tracing::warn!(tasks = ?left, "background work of the table store did not stop in time");
        }
        inner.writers.close();
        inner.writers.wait().await;
        inner.transactions.end_all();
        let flushed = clean::flush(inner).await;
        inner.engine.close().await?;
        flushed
    }

    /// True once a write has failed, after which none is taken: whoever keeps the store open closes it then and opens its
    /// data again.
    pub fn is_broken(&self) -> bool {
        self.0.engine.is_broken()
    }

    /// Counts on from what an opening before this one had counted and could not write down any more. To be called before
    /// the first request; if another process had the data in between, the greater sums count, so that nothing counts
    /// twice.
    pub fn inherit(&self, before: &Self) {
        let old = before.0.tables();
        for table in self.0.tables() {
            if let Some(old) = old.iter().find(|old| old.instance == table.instance && old.name == table.name) {
                table.meters.inherit(&old.meters);
            }
        }
    }

    /// CreateTable.
    pub async fn create_table(&self, instance: &str, new: NewTable) -> Result<()> {
        let (inner, instance) = (self.0.clone(), instance.to_owned());
        self.0.to_the_end(async move { catalog::create_table(&inner, &instance, new).await }).await
    }

    /// ListTable: tables without their indexes, sorted.
    pub async fn list_tables(&self, instance: &str) -> Result<Vec<String>> {
        Ok(catalog::list_tables(&self.0, instance))
    }

    /// DescribeTable, of an index too.
    pub async fn describe_table(&self, instance: &str, name: &str) -> Result<TableInfo> {
        catalog::describe(&self.0, instance, name)
    }

    /// UpdateTable; the answer is the table as it is then.
    pub async fn update_table(&self, instance: &str, name: &str, change: TableChange) -> Result<TableInfo> {
        let (inner, of, table) = (self.0.clone(), instance.to_owned(), name.to_owned());
        self.0.to_the_end(async move { alter::update_table(&inner, &of, &table, change).await }).await?;
        catalog::describe(&self.0, instance, name)
    }

    /// DeleteTable, with its indexes and its stream.
    pub async fn delete_table(&self, instance: &str, name: &str) -> Result<()> {
        let (inner, instance, name) = (self.0.clone(), instance.to_owned(), name.to_owned());
        self.0.to_the_end(async move { catalog::delete_table(&inner, &instance, &name).await }).await
    }

    /// AddDefinedColumn.
    pub async fn add_columns(&self, instance: &str, name: &str, columns: Vec<DefinedColumn>) -> Result<()> {
        let (inner, instance, name) = (self.0.clone(), instance.to_owned(), name.to_owned());
        self.0.to_the_end(async move { alter::add_columns(&inner, &instance, &name, columns).await }).await
    }

    /// DeleteDefinedColumn.
    pub async fn delete_columns(&self, instance: &str, name: &str, columns: Vec<String>) -> Result<()> {
        let (inner, instance, name) = (self.0.clone(), instance.to_owned(), name.to_owned());
        self.0.to_the_end(async move { alter::delete_columns(&inner, &instance, &name, &columns).await }).await
    }

    /// CreateIndex. Rows that are there already are added in the background.
    pub async fn create_index(
        &self,
        instance: &str,
        name: &str,
        index: IndexMeta,
        include_base_data: bool,
    ) -> Result<()> {
        let (inner, instance, name) = (self.0.clone(), instance.to_owned(), name.to_owned());
        let work = async move { make_index(&inner, &instance, &name, index, include_base_data).await };
        self.0.to_the_end(work).await
    }

    /// DropIndex.
    pub async fn drop_index(&self, instance: &str, name: &str, index: &str) -> Result<()> {
        let (inner, instance, name, index) = (self.0.clone(), instance.to_owned(), name.to_owned(), index.to_owned());
        self.0.to_the_end(async move { alter::drop_index(&inner, &instance, &name, &index).await }).await
    }

    /// GetRow.
    pub async fn get_row(&self, instance: &str, get: GetRow) -> Result<Got> {
        read::get_row(&self.0, instance, &get).await
    }

    /// GetRange.
    pub async fn get_range(&self, instance: &str, range: GetRange) -> Result<Page> {
        read::get_range(&self.0, instance, &range).await
    }

    /// PutRow, UpdateRow, DeleteRow.
    pub async fn write_row(&self, instance: &str, write: WriteRow) -> Result<Written> {
        let inner = self.0.clone();
        let table = inner.table(instance, &write.table)?;
        if let Some(id) = &write.transaction {
            let txn = inner.transactions.find(&inner, instance, id)?;
            txn.check_table(&write.table)?;
            return txn.write(&inner, &write.write).await;
        }
        self.0.to_the_end(async move { write::write_row(&inner, &table, write.write).await }).await
    }

    /// BatchGetRow.
    pub async fn batch_get(&self, instance: &str, tables: Vec<TableGets>) -> Result<BatchAnswer<Got>> {
        batch::get(&self.0, instance, &tables).await
    }

    /// BatchWriteRow.
    pub async fn batch_write(&self, instance: &str, batch: BatchWrite) -> Result<BatchAnswer<Written>> {
        batch::write(&self.0, instance, batch).await
    }

    /// StartLocalTransaction over the rows whose first key column is this; the answer is the transaction's id.
    pub async fn start_transaction(&self, instance: &str, table: &str, key: Vec<KeyColumn>) -> Result<String> {
        let (inner, table) = (self.0.clone(), self.0.table(instance, table)?);
        self.0.transactions.start(&inner, table, &key).await
    }

    /// CommitTransaction.
    pub async fn commit_transaction(&self, instance: &str, id: &str) -> Result<()> {
        let inner = self.0.clone();
        let txn = inner.transactions.find(&inner, instance, id)?;
        self.0.to_the_end(async move { txn.commit(&inner).await }).await
    }

    /// AbortTransaction.
    pub async fn abort_transaction(&self, instance: &str, id: &str) -> Result<()> {
        self.0.transactions.find(&self.0, instance, id)?.abort(&self.0)
    }

    /// ComputeSplitPointsBySize, with the size in bytes.
    pub async fn split_points(&self, instance: &str, table: &str, bytes: u64) -> Result<SplitPoints> {
        split::points(&self.0, instance, table, bytes).await
    }

    /// ListStream, of one table or of all.
    pub async fn list_streams(&self, instance: &str, table: Option<&str>) -> Result<Vec<Stream>> {
        stream::list(&self.0, instance, table)
    }

    /// DescribeStream.
    pub async fn describe_stream(&self, instance: &str, stream_id: &str) -> Result<StreamDescription> {
        stream::describe(&self.0, instance, stream_id)
    }

    /// GetShardIterator: from the begin, or from a time in microseconds.
    pub async fn shard_iterator(
        &self,
        instance: &str,
        stream_id: &str,
        shard_id: &str,
        from_us: Option<i64>,
    ) -> Result<String> {
        stream::iterator(&self.0, instance, stream_id, shard_id, from_us)
    }

    /// GetStreamRecord.
    pub async fn stream_record(&self, instance: &str, iterator: &str, limit: Option<i32>) -> Result<StreamPage> {
        stream::records(&self.0, instance, iterator, limit).await
    }

    /// Takes everything of an instance away.
    pub async fn drop_instance(&self, instance: &str) -> Result<()> {
        let (inner, instance) = (self.0.clone(), instance.to_owned());
        self.0.to_the_end(async move { catalog::drop_instance(&inner, &instance).await }).await
    }

    /// What each table and index has used and holds.
    pub fn usage(&self) -> Vec<TableUsage> {
        let size = |generation: u64| -> Result<u64> { Ok(usage::size(&self.0, generation).unwrap_or(0)) };
        self.0.tables().iter().flat_map(|table| usage::of(table, &size).unwrap_or_default()).collect()
    }

    /// The same of one instance; an error instead of sizes that nobody knows, as when the store is being closed.
    pub fn usage_of(&self, instance: &str) -> Result<Vec<TableUsage>> {
        let size = |generation: u64| -> Result<u64> { usage::size(&self.0, generation) };
        let mut found = Vec::new();
        for table in self.0.tables_of(instance) {
            found.extend(usage::of(&table, &size)?);
        }
        Ok(found)
    }

    /// What an instance has used, with the tables that it had.
    pub fn instance_usage(&self, instance: &str) -> InstanceUsage {
        let past = self.0.past.lock().get(instance).copied().unwrap_or_default();
        let tables = self.0.tables();
        let of_it = tables.iter().filter(|table| table.instance == instance);
        let (read_units, write_units) =
            of_it.map(|table| table.meters.total()).fold(past, |sum, own| (sum.0 + own.0, sum.1 + own.1));
        InstanceUsage { read_units, write_units }
    }

    /// How many transactions are open.
    pub fn open_transactions(&self) -> usize {
        self.0.transactions.count()
    }

    /// One round of cleaning, now: for tests, and for who switched background work off.
    pub async fn clean(&self) -> Result<()> {
        clean::round(&self.0, &mut Due::default()).await
    }

    /// Writes the units down, now: likewise.
    pub async fn flush(&self) -> Result<()> {
        clean::flush(&self.0).await
    }

    /// Fills every index that is building, now: likewise.
    pub async fn fill_indexes(&self) -> Result<()> {
        for table in self.0.tables() {
            let Ok(record) = table.record() else { continue };
            for index in record.indexes.iter().filter(|index| index.is_building) {
                backfill::run(&self.0, &table, index.generation).await?;
            }
        }
        Ok(())
    }
}

/// Makes an index and begins to fill it. Here and not behind the answer: a caller that goes away leaves no index that
/// nobody fills.
async fn make_index(
    inner: &Arc<Inner>,
    instance: &str,
    name: &str,
    index: IndexMeta,
    include_base_data: bool,
) -> Result<()> {
    let made = alter::create_index(inner, instance, name, index, include_base_data).await?;
    if let Some((table, generation)) = made.filter(|_| inner.settings.background) {
        backfill::start(inner, &table, generation);
    }
    Ok(())
}

fn start_cleaning(inner: &Arc<Inner>) {
    let own = inner.clone();
    inner.tasks.spawn("tables.clean", async move {
        let (stop, mut due) = (own.tasks.stop_token(), Due::default());
        loop {
            if let Err(e) = clean::round(&own, &mut due).await {
                tracing::warn!(error = ?e, "cleaning the table store goes on in the next round");
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(own.settings.clean_every) => {}
            }
        }
    });
}

fn start_metering(inner: &Arc<Inner>) {
    let own = inner.clone();
    inner.tasks.spawn("tables.meter", async move {
        let stop = own.tasks.stop_token();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(own.settings.meter_every) => {}
            }
            own.transactions.expire(&own);
            match clean::flush(&own).await {
                Ok(()) => {}
                // The engine has told of it, once.
                Err(e) if e.kind() == Kind::Unavailable => tracing::debug!(error = ?e, "units wait for the next round"),
                Err(e) => tracing::warn!(error = ?e, "read units are written down in the next round"),
            }
        }
    });
}
