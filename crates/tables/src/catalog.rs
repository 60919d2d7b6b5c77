//! Which tables there are: records in the engine beside the rows, changed by one commit each, and their image in memory.
//!
//! 1. Hold the catalog, so that names and generations are given once; for a table that is there, have its gate alone,
//!    so that no write is under way that goes by the old record.
//! 2. Put all of the change into one batch: the record, the last generation given, the generations that die.
//! 3. Commit it; it is durable or it did not happen.
//! 4. Show it: from now on requests go by it, and transactions that began before an index are over.
//!
//! What died is removed later (`clean.rs`); nobody asks for its generation again, so nobody sees it meanwhile.

use std::sync::Arc;

use feitian_base::{Result, failpoint};
use tokio::sync::MutexGuard;

use crate::cells::{decode_u64, encode_u64};
use crate::define;
use crate::engine::Order;
use crate::errors::{corrupt, fault, invalid, no_table, table_exists, too_many_tables};
use crate::inner::{Inner, Name, Names};
use crate::keys::{self, space};
use crate::meter::{self, Meters};
use crate::model::{IndexMeta, NewTable, StreamInfo, StreamSpec, TableInfo};
use crate::table::{FORM, FORM_WITHOUT_NOTES, Index, Record, StreamState, Table};
use crate::view::{View, Writes};

/// Reads the catalog when the engine is opened.
pub(crate) async fn load(inner: &Inner) -> Result<()> {
    inner.load_clock().await?;
    let view = View::of(&*inner.engine);
    *inner.catalog.lock().await = decode_u64(view.get(&keys::catalog(space::LAST_GENERATION)).await?.as_ref())?;
    let from = keys::catalog(space::TABLE);
    let (to, at) = (keys::after(&from), from.len());
    let (mut pairs, mut names) = (view.pairs(from, to, Order::Forward).await?, Names::new());
    while let Some((key, value)) = pairs.next().await? {
        let (instance, name) = keys::read_pair(&key[at..])?;
        let record: Record = serde_json::from_slice(&value).map_err(|e| corrupt("a table's record").with_source(e))?;
        if ![FORM, FORM_WITHOUT_NOTES].contains(&record.form) {
            let words = "write its tables out with the build that made it (feitian ots export)";
            return Err(corrupt(format!("the record of table '{name}' has form {}, not {FORM}: {words}", record.form)));
        }
        let meters = Meters::load(&*inner.engine, &generations(&record)).await?;
        let last_us = last_change(view, &record).await?;
        let note = view.get(&keys::catalog_of(space::APART, record.generation)).await?;
        let may_have_apart = record.form == FORM_WITHOUT_NOTES || note.is_some();
        let table = Arc::new(Table::new(&instance, &name, record, meters, last_us));
        if may_have_apart {
            table.note_apart();
        }
        show(&mut names, &table)?;
    }
    *inner.names.write() = names;
    let from = keys::catalog(space::PAST_UNITS);
    let (to, at) = (keys::after(&from), from.len());
    let mut pairs = view.pairs(from, to, Order::Forward).await?;
    while let Some((key, value)) = pairs.next().await? {
        inner.past.lock().insert(keys::read_one(&key[at..])?, meter::read_pair(Some(&value))?);
    }
    Ok(())
}

/// The time of the last change in the log, so that the next one is later even if the clock went back.
async fn last_change(view: View<'_>, record: &Record) -> Result<i64> {
    let Some(stream) = &record.stream else { return Ok(0) };
    let from = stream.generation.to_be_bytes().to_vec();
    let to = keys::after(&from);
    match view.pairs(from, to, Order::Backward).await?.next().await? {
        Some((key, _)) => keys::stream_time(&key),
        None => Ok(stream.enabled_us),
    }
}

/// The table's own generation and those of its indexes.
pub(crate) fn generations(record: &Record) -> Vec<u64> {
    std::iter::once(record.generation).chain(record.indexes.iter().map(|index| index.generation)).collect()
}

/// Puts a table and its indexes among the names.
fn show(names: &mut Names, table: &Arc<Table>) -> Result<()> {
    let record = table.record()?;
    let names = names.entry(table.instance.clone()).or_default();
    names.insert(table.name.clone(), Name { table: table.clone(), is_index: false });
    for index in &record.indexes {
        names.insert(index.meta.name.clone(), Name { table: table.clone(), is_index: true });
    }
    Ok(())
}

/// A change of the catalog in the making: whoever has it holds the catalog.
pub(crate) struct Change<'a> {
    last: MutexGuard<'a, u64>,
    given: u64,
    pub writes: Writes,
    /// It takes away more than it adds, so that it goes on where the disk is full.
    pub frees: bool,
}

impl<'a> Change<'a> {
    /// Step 1.
    pub(crate) async fn begin(inner: &'a Inner) -> Self {
        let last = inner.catalog.lock().await;
        Self { given: *last, last, writes: Writes::default(), frees: false }
    }

    pub(crate) fn generation(&mut self) -> u64 {
        self.given += 1;
        self.given
    }

    pub(crate) fn put(&mut self, table: &Table, record: &Record) -> Result<()> {
        let bytes = serde_json::to_vec(record).map_err(|e| fault("a record that is no JSON").with_source(e))?;
        self.writes.put(keys::table(&table.instance, &table.name), bytes);
        Ok(())
    }

    pub(crate) fn kill(&mut self, generation: u64) {
        self.writes.put(keys::catalog_of(space::DEAD, generation), Vec::new());
    }

    /// Step 3.
    pub(crate) async fn commit(&mut self, inner: &Inner) -> Result<()> {
        if self.given != *self.last {
            self.writes.put(keys::catalog(space::LAST_GENERATION), encode_u64(self.given));
        }
        failpoint::hit("tables.catalog.before_commit");
        let batch = std::mem::take(&mut self.writes).into_batch();
        inner.commit(if self.frees { batch.that_frees() } else { batch }).await?;
        failpoint::hit("tables.catalog.after_commit");
        *self.last = self.given;
        Ok(())
    }
}

/// Refuses names that the instance has already, or that come twice.
pub(crate) fn check_names(inner: &Inner, instance: &str, new: &[&str]) -> Result<()> {
    let names = inner.names.read();
    let has = |name: &str| names.get(instance).is_some_and(|names| names.contains_key(name));
    let is_twice = |at: usize| new[..at].contains(&new[at]);
    if new.iter().any(|name| has(name)) || (0..new.len()).any(is_twice) {
        return Err(table_exists());
    }
    Ok(())
}

/// Makes a table with its indexes.
pub(crate) async fn create_table(inner: &Inner, instance: &str, new: NewTable) -> Result<()> {
    let options = define::table(&new)?;
    // 1.
    let mut change = Change::begin(inner).await;
    {
        let mut names = vec![new.name.as_str()];
        names.extend(new.indexes.iter().map(|index| index.name.as_str()));
        check_names(inner, instance, &names)?;
    }
    let quota = inner.settings.tables_per_instance;
    if list_tables(inner, instance).len() >= quota {
        return Err(too_many_tables(quota));
    }
    // 2.
    let now_us = inner.now_us();
    let mut record = Record {
        form: FORM,
        generation: change.generation(),
        created_ms: now_us / 1000,
        key: new.key,
        defined: new.defined,
        options,
        throughput: new.throughput,
        last_increase_ms: now_us / 1000,
        last_decrease_ms: None,
        transactions: new.transactions.unwrap_or(inner.settings.transactions),
        stream: None,
        indexes: Vec::new(),
        has_surplus: false,
    };
    for meta in new.indexes {
        let index = new_index(&record, meta, change.generation())?;
        record.indexes.push(index);
    }
    if let Some(spec) = new.stream.filter(|spec| spec.enable) {
        record.stream = Some(new_stream(&new.name, &spec, change.generation(), now_us)?);
    }
    let table = Arc::new(Table::new(instance, &new.name, record.clone(), Meters::default(), now_us));
    change.put(&table, &record)?;
    // 3.
    change.commit(inner).await?;
    // 4.
    show(&mut inner.names.write(), &table)
}

/// An index of a table without rows.
pub(crate) fn new_index(record: &Record, meta: IndexMeta, generation: u64) -> Result<Index> {
    let key = define::index(&record.key, &record.defined, &record.options, record.indexes.len(), &meta)?;
    Ok(Index { meta, generation, key, is_building: false, is_whole: true })
}

/// A stream that begins now.
pub(crate) fn new_stream(table: &str, spec: &StreamSpec, generation: u64, now_us: i64) -> Result<StreamState> {
    let expiration_h = define::stream(spec)?;
    Ok(StreamState { id: format!("{table}_{now_us}"), generation, expiration_h, enabled_us: now_us })
}

/// Takes a table away, with its indexes and its stream.
pub(crate) async fn delete_table(inner: &Inner, instance: &str, name: &str) -> Result<()> {
    // 1.
    let mut change = Change::begin(inner).await;
    let table = inner.table(instance, name).map_err(index_is_no_table)?;
    let _alone = table.gate.write().await;
    let record = table.record()?;
    // 2.
    change.writes.delete(keys::table(instance, name));
    change.frees = true;
    for generation in generations(&record).into_iter().chain(record.stream.as_ref().map(|s| s.generation)) {
        change.kill(generation);
    }
    // Their units are among those that the instance keeps.
    inner.transactions.end_all_of(&table);
    let past = add_past(inner, instance, table.meters.total());
    change.writes.put(keys::past_units(instance), meter::pair(past.0, past.1));
    // 3.
    change.commit(inner).await?;
    // 4.
    inner.past.lock().insert(instance.to_owned(), past);
    table.replace(None);
    if let Some(names) = inner.names.write().get_mut(instance) {
        names.retain(|_, name| !Arc::ptr_eq(&name.table, &table));
    }
    Ok(())
}

fn index_is_no_table(error: feitian_base::Error) -> feitian_base::Error {
    if error.code() == no_table().code() { error } else { invalid("Can't delete index table directly.") }
}

/// An instance's past units with those of something that goes.
pub(crate) fn add_past(inner: &Inner, instance: &str, (read, write): (u64, u64)) -> (u64, u64) {
    let past = inner.past.lock().get(instance).copied().unwrap_or_default();
    (past.0.saturating_add(read), past.1.saturating_add(write))
}

/// Takes every table of an instance away, and then what is known of the instance. Who was interrupted asks again.
pub(crate) async fn drop_instance(inner: &Inner, instance: &str) -> Result<()> {
    for name in list_tables(inner, instance) {
        match delete_table(inner, instance, &name).await {
            // Somebody else was faster.
            Err(e) if e.code() == no_table().code() => {}
            other => other?,
        }
    }
    let mut change = Change::begin(inner).await;
    change.writes.delete(keys::past_units(instance));
    change.frees = true;
    change.commit(inner).await?;
    inner.past.lock().remove(instance);
    inner.names.write().retain(|name, names| name != instance || !names.is_empty());
    Ok(())
}

/// The tables of an instance without their indexes, sorted.
pub(crate) fn list_tables(inner: &Inner, instance: &str) -> Vec<String> {
    let names = inner.names.read();
    let tables = names.get(instance).into_iter().flatten().filter(|(_, name)| !name.is_index);
    tables.map(|(name, _)| name.clone()).collect()
}

/// What is known of a table, or of an index as if it were one.
pub(crate) fn describe(inner: &Inner, instance: &str, name: &str) -> Result<TableInfo> {
    let found = inner.name(instance, name)?;
    let record = found.table.record()?;
    let info = describe_table(&found.table.name, &record);
    if !found.is_index {
        return Ok(info);
    }
    let index = record.indexes.iter().find(|index| index.meta.name == name).ok_or_else(no_table)?;
    let defined = record.defined.iter().filter(|column| index.meta.columns.contains(&column.name));
    Ok(TableInfo {
        name: name.to_owned(),
        key: index.key.clone(),
        defined: defined.cloned().collect(),
        stream: StreamInfo { enable: false, stream_id: None, expiration_h: None, last_enable_us: None },
        indexes: Vec::new(),
        building: Vec::new(),
        ..info
    })
}

fn describe_table(name: &str, record: &Record) -> TableInfo {
    let stream = record.stream.as_ref();
    TableInfo {
        name: name.to_owned(),
        key: record.key.clone(),
        defined: record.defined.clone(),
        options: record.options,
        throughput: record.throughput,
        last_increase_ms: record.last_increase_ms,
        last_decrease_ms: record.last_decrease_ms,
        stream: StreamInfo {
            enable: stream.is_some(),
            stream_id: stream.map(|stream| stream.id.clone()),
            expiration_h: stream.map(|stream| stream.expiration_h),
            last_enable_us: stream.map(|stream| stream.enabled_us),
        },
        indexes: record.indexes.iter().map(|index| index.meta.clone()).collect(),
        building: record
            .indexes
            .iter()
            .filter(|index| index.is_building)
            .map(|index| index.meta.name.clone())
            .collect(),
        created_ms: record.created_ms,
        transactions: record.transactions,
    }
}
