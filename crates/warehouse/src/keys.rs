//! Tables with a primary key: which rows give way, so that a partition has one row of each key.
//!
//! 1. New rows are in files that nothing refers to. Their keys are read, in the order in which the rows came: of two with
//!    one key the later one stays.
//! 2. The keys of the table's rows in the same partitions are read, of files whose ranges meet those of the new ones: a row
//!    whose key is among the new ones gives way.
//! 3. Files with such rows are written again without them.
//! 4. One commit exchanges the files. It is refused when the table has changed since step 2.
//!
//! Only so many keys are held in memory as a part of an instance's memory takes; more are gone through in parts, by hash.
//! Of the table's rows only the columns of the key are read, but files with rows that give way are written again whole: a
//! change of few rows in many files costs as much as these files.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hasher};
use std::sync::Arc;

use arrow::array::{AsArray, Int8Array};
use arrow::datatypes::Int8Type;
use arrow::row::{RowConverter, Rows as RowKeys, SortField};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use feitian_base::{Error, Kind, Result, failpoint};
use feitian_meta::Table;
use feitian_sql::{Position, SqlError};
use feitian_types::arrow::engine_type;
use feitian_types::{Column, DataType};
use futures::StreamExt;
use serde_json::{Map, Value};

use crate::Warehouse;
use crate::blooms::BLOOMS;
use crate::catalog::OpenTable;
use crate::commit::{Replace, RowsBy};
use crate::ddl::is_transactional;
use crate::dml::marks::{Marked, Marks, Rewritten, rest_of};
use crate::join::path_in_place_of;
use crate::log::DataFile;
use crate::query::errors::{self, semantic};
use crate::reader::{Batches, Reading, RowRange, read};
use crate::writer::NewFile;

/// The table property that keeps PRIMARY KEY.
pub(crate) const PRIMARY_KEY: &str = "feitian.primary_key";
/// The column of upserted rows that says what happens to the row of their key.
pub(crate) const OPERATION: &str = "__operation";
/// Its values.
pub(crate) const UPSERT: i8 = b'U' as i8;
pub(crate) const DELETE: i8 = b'D' as i8;

/// The user's property that says in how many buckets upserted rows come.
const BUCKETS: &str = "write.bucket.num";
const DEFAULT_BUCKETS: u32 = 16;
const MAX_BUCKETS: u32 = 4096;

/// What a key takes in memory beside its own bytes, at most.
const ENTRY_BYTES: usize = 112;
/// Keys take up to this part of an instance's memory, if they are not long.
const PART_OF_MEMORY: usize = 4;

/// The names of PRIMARY KEY; none if the table has no such clause, or lacks one of its columns by now: a key that nothing
/// enforces does not keep them from going.
pub(crate) fn key_names(table: &Table) -> Vec<String> {
    let properties: Map<String, Value> = serde_json::from_str(&table.properties).unwrap_or_default();
    let names = properties.get(PRIMARY_KEY).and_then(Value::as_str).unwrap_or("[]");
    let names: Vec<String> = serde_json::from_str(names).unwrap_or_default();
    let is_there = |name: &String| table.schema.columns.iter().any(|c| c.name == *name);
    if names.iter().all(is_there) { names } else { Vec::new() }
}

/// The columns of the key by which rows of `table` replace each other; none if they do not.
pub(crate) fn key_of(table: &Table) -> Vec<Column> {
    let names = if is_transactional(table) { key_names(table) } else { Vec::new() };
    names.iter().filter_map(|name| table.schema.columns.iter().find(|c| c.name == *name)).cloned().collect()
}

/// Refuses to add rows to a table with a key without asking which of its rows give way.
///
/// # Errors
/// `MethodNotAllowed`
pub(crate) fn refuse_plain_writes(table: &Table) -> Result<()> {
    if crate::materialized::is_materialized(table) {
        let name = format!("{}.{}", table.project, table.local_name());
        let text = format!("table {name} is a materialized view, into which nobody writes");
        return Err(Error::new(Kind::Unsupported, "MethodNotAllowed", text));
    }
    if key_of(table).is_empty() {
        return Ok(());
    }
    let text = format!(
        "table {}.{} has a primary key, so that rows come into it by upsert sessions and by SQL only",
        table.project,
        table.local_name()
    );
    Err(Error::new(Kind::Unsupported, "MethodNotAllowed", text))
}

/// Refuses a property of a table with a key that would change what is written or read, and that nobody acts on.
///
/// # Errors
/// `ODPS-0121125`; `ODPS-0130071` for a number of buckets that cannot be.
pub(crate) fn check_key_property(name: &str, value: &str, at: Position) -> Result<()> {
    let (name, is_off) = (name.to_lowercase(), value.eq_ignore_ascii_case("false"));
    match name.as_str() {
        BUCKETS if value.parse::<u32>().is_ok_and(|n| (1..=MAX_BUCKETS).contains(&n)) => Ok(()),
        BUCKETS => Err(semantic(at, format!("{BUCKETS} is '{value}', a table has 1 to {MAX_BUCKETS} buckets"))),
        "acid.data.retain.hours" | "acid.incremental.query.out.of.time.range.enabled" | BLOOMS => Ok(()),
        "acid.partial.fields.update.enable" | "acid.cdc.mode.enable" if is_off => Ok(()),
        _ if name.starts_with("acid.") || name.starts_with("write.") => {
            let what = format!("the property '{name}'='{value}' of a table with PRIMARY KEY");
            Err(errors::front_end(SqlError::unsupported(at, what)))
        }
        _ => Ok(()),
    }
}

/// In how many buckets upserted rows come.
pub(crate) fn num_buckets(table: &Table) -> u32 {
    let properties: Map<String, Value> = serde_json::from_str(&table.properties).unwrap_or_default();
    let told = properties.iter().find(|(name, _)| name.eq_ignore_ascii_case(BUCKETS));
    told.and_then(|(_, n)| n.as_str()?.parse().ok()).unwrap_or(DEFAULT_BUCKETS).clamp(1, MAX_BUCKETS)
}

/// What new rows are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rows {
    /// Of two with one key the later one stays.
    Inserted,
    /// The same, and a column behind the others, [`OPERATION`], says whether the row stays itself.
    Upserted,
    /// No two have one key: neither would be the later one.
    Merged,
}

/// A file of new rows, and those of them that give way.
pub(crate) struct New {
    pub(crate) file: Arc<DataFile>,
    pub(crate) gone: Option<Marked>,
}

impl New {
    /// These files, whose rows all stay.
    pub(crate) fn all(files: &[NewFile]) -> Vec<Self> {
        files.iter().map(|f| Self { file: Arc::new(f.clone()), gone: None }).collect()
    }

    fn give_way(&mut self, row: usize) {
        let num_rows = usize::try_from(self.file.num_rows).unwrap_or(0);
        self.gone.get_or_insert_with(|| Marked::none_of(num_rows)).set(row);
    }
}

/// Reads the keys of rows of one table.
pub(crate) struct Keys<'a> {
    warehouse: &'a Warehouse,
    table: &'a OpenTable,
    key: Vec<Column>,
    converter: RowConverter,
    pool: Arc<dyn MemoryPool>,
}

impl<'a> Keys<'a> {
    /// For a table with a key. What is held in memory is taken from `pool`.
    pub(crate) fn of(
        warehouse: &'a Warehouse,
        table: &'a OpenTable,
        pool: &Arc<dyn MemoryPool>,
    ) -> Result<Option<Self>> {
        let key = key_of(&table.row);
        if key.is_empty() {
            return Ok(None);
        }
        let fields = key.iter().map(|c| SortField::new(engine_type(&c.ty))).collect();
        let converter = RowConverter::new(fields).map_err(|e| Error::internal(e.to_string()))?;
        Ok(Some(Self { warehouse, table, key, converter, pool: pool.clone() }))
    }

    /// Marks the rows that give way: among the new ones, whose files stand in the order in which rows of one partition
    /// came, and among those of the table, if `old` is there.
    ///
    /// # Errors
    /// `ODPS-0121095` if two rows of MERGE have one key.
    pub(crate) async fn settle(&self, new: &mut [New], rows: Rows, mut old: Option<&mut Marks>) -> Result<()> {
        let snapshot = self.table.data()?;
        let mut partitions: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (at, one) in new.iter().enumerate() {
            partitions.entry(snapshot.spec_of(&one.file)).or_default().push(at);
        }
        // The table's files in these partitions, if their rows are asked for.
        let mut there: HashMap<String, Vec<usize>> = HashMap::new();
        for (place, file) in snapshot.files().iter().enumerate().filter(|_| old.is_some()) {
            let spec = snapshot.spec_of(file);
            if partitions.contains_key(&spec) {
                there.entry(spec).or_default().push(place);
            }
        }
        for (spec, places) in &partitions {
            let count: u64 = places.iter().map(|at| new[*at].file.num_rows.unsigned_abs()).sum();
            let at_once = self.warehouse.config.memory_per_instance / PART_OF_MEMORY / ENTRY_BYTES;
            let parts = count / at_once.max(1) as u64 + 1;
            let ranges = Ranges::of(&self.key, places.iter().map(|at| &*new[*at].file));
            for part in 0..parts {
                let known = self.new_keys(new, places, rows, (part, parts)).await?;
                if let (Some(old), Some(there)) = (&mut old, there.get(spec)) {
                    self.old_keys(&known, there, &ranges, old).await?;
                }
            }
        }
        Ok(())
    }

    /// The keys of the new rows at `places` that are in this part of all.
    async fn new_keys(&self, new: &mut [New], places: &[usize], rows: Rows, part: (u64, u64)) -> Result<Known> {
        let held = MemoryConsumer::new("keys").register(&self.pool);
        let mut known: HashMap<Box<[u8]>, (usize, usize)> = HashMap::new();
        for &place in places {
            let mut reader = self.read(new[place].file.clone(), rows == Rows::Upserted)?;
            while let Some(batch) = reader.next().await? {
                let mut more = 0;
                for (i, key) in batch.keys.iter().enumerate() {
                    let (key, row) = (key.data(), batch.first + i);
                    if !is_in(key, part) {
                        continue;
                    }
                    match known.get_mut(key) {
                        Some(_) if rows == Rows::Merged => return Err(self.twice()),
                        Some(last) => {
                            let (file, row) = std::mem::replace(last, (place, row));
                            new[file].give_way(row);
                        }
                        None => {
                            more += ENTRY_BYTES + key.len();
                            known.insert(key.into(), (place, row));
                        }
                    }
                    if batch.operations.as_ref().is_some_and(|o| o.value(i) == DELETE) {
                        new[place].give_way(row);
                    }
                }
                held.try_grow(more).map_err(crate::engine_error)?;
            }
        }
        Ok(Known { keys: known, _held: held })
    }

    /// Marks the rows of the table's files at `places` that have a key of `known`.
    async fn old_keys(&self, known: &Known, places: &[usize], ranges: &Ranges, old: &mut Marks) -> Result<()> {
        let files = self.table.data()?.files();
        for (&place, file) in places.iter().filter_map(|place| Some((place, files.get(*place)?))) {
            if !ranges.meet(file) {
                continue;
            }
            let mut reader = self.read(file.clone(), false)?;
            while let Some(batch) = reader.next().await? {
                for (i, key) in batch.keys.iter().enumerate() {
                    if known.keys.contains_key(key.data()) {
                        old.give_way(place, batch.first + i)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn read(&self, file: Arc<DataFile>, with_operations: bool) -> Result<KeyReader<'_>> {
        if file.num_rows < 0 {
            let what =
                format!("to look for keys in {}, which another writer put without its number of rows,", file.path);
            return Err(crate::unsupported(what));
        }
        let mut columns = self.key.clone();
        if with_operations {
            columns.push(Column::new(OPERATION, DataType::TinyInt));
        }
        let reading = Reading {
            store: self.warehouse.catalog().store(),
            location: self.table.row.location.clone(),
            files: vec![file],
            columns,
            partition_columns: Vec::new(),
        };
        let batches = read(reading, RowRange { start: 0, count: u64::MAX }, self.warehouse.engine.runtime());
        Ok(KeyReader { converter: &self.converter, width: self.key.len(), batches, first: 0 })
    }

    fn twice(&self) -> Error {
        let names: Vec<&str> = self.key.iter().map(|c| c.name.as_str()).collect();
        let text = format!(
            "ODPS-0121095:[0,0] Invalid arguments - two rows that MERGE writes into {}.{} have the same primary key ({}); \
             give the source one row for each key, by GROUP BY or ROW_NUMBER",
            self.table.row.project,
            self.table.row.local_name(),
            names.join(", ")
        );
        Error::new(Kind::Invalid, "ODPS-0121095", text)
    }

    /// The files of an INSERT without the rows that give way, and what they replace. One that overwrites replaces what it
    /// would without a key.
    pub(crate) async fn inserted(
        &self,
        files: Vec<NewFile>,
        overwrites: bool,
        attempt: i64,
    ) -> Result<(Vec<NewFile>, Replace)> {
        let name = format!("{}.{}", self.table.row.project, self.table.row.local_name());
        let mut marks = Marks::new(self.table.data()?.clone(), name);
        let mut new = New::all(&files);
        self.settle(&mut new, Rows::Inserted, (!overwrites).then_some(&mut marks)).await?;
        failpoint::hit("keys.before_rewrite");
        let mut written = Vec::with_capacity(files.len());
        for (file, new) in files.into_iter().zip(new) {
            match new.gone {
                None => written.push(file),
                // The later ones are in other files or rows: a file whose rows all give way just goes.
                Some(gone) => {
                    let path = path_in_place_of(&file.path).ok_or_else(|| Error::internal("a file without a place"))?;
                    let rest = rest_of(self.warehouse, self.table, &new.file, gone, path).await?;
                    written.extend(Some(rest).filter(|rest| rest.num_rows > 0));
                }
            }
        }
        let Rewritten { paths, partitions, files } = marks.rewrite(self.warehouse, self.table, attempt).await?;
        written.extend(files);
        Ok((written, Replace::Rows { by: RowsBy::Merge, paths, partitions }))
    }
}

/// Keys, and where the last row of each is; they give their memory back when they go.
struct Known {
    keys: HashMap<Box<[u8]>, (usize, usize)>,
    _held: MemoryReservation,
}

/// Whether `key` is in part `part` of `parts`.
fn is_in(key: &[u8], (part, parts): (u64, u64)) -> bool {
    if parts == 1 {
        return true;
    }
    let mut hasher = DefaultHasher::new();
    hasher.write(key);
    hasher.finish() % parts == part
}

/// The keys of a file, batch by batch.
struct KeyReader<'a> {
    converter: &'a RowConverter,
    /// The number of columns of a key.
    width: usize,
    batches: Batches,
    /// The number of the next batch's first row.
    first: usize,
}

struct KeyBatch {
    keys: RowKeys,
    /// What happens to the row of each key, if the file says that.
    operations: Option<Int8Array>,
    /// The number of the first row.
    first: usize,
}

impl KeyReader<'_> {
    async fn next(&mut self) -> Result<Option<KeyBatch>> {
        let Some(batch) = self.batches.next().await else { return Ok(None) };
        let batch = batch?;
        let keys = self.converter.convert_columns(&batch.columns()[..self.width]);
        let keys = keys.map_err(|e| Error::internal(e.to_string()))?;
        let operations = batch.columns().get(self.width).map(|array| array.as_primitive::<Int8Type>().clone());
        let first = self.first;
        self.first += batch.num_rows();
        Ok(Some(KeyBatch { keys, operations, first }))
    }
}

/// Between which values new keys lie, column by column, as far as their files tell it.
struct Ranges(Vec<(String, Value, Value)>);

impl Ranges {
    fn of<'a>(key: &[Column], files: impl Iterator<Item = &'a DataFile>) -> Self {
        use DataType as T;
        // What files tell of other types is not exact, or other writers have another way to write it.
        let exact = |ty: &T| matches!(ty, T::TinyInt | T::SmallInt | T::Int | T::BigInt | T::Date | T::String);
        let told: Vec<Option<Value>> = files.map(stats_of).collect();
        let range = |column: &Column| {
            let mut all: Option<(Value, Value)> = None;
            for stats in &told {
                let (low, high) = range_of(stats.as_ref()?, &column.name)?;
                all = Some(match all {
                    None => (low.clone(), high.clone()),
                    Some((least, greatest)) => (
                        if is_less(low, &least) { low.clone() } else { least },
                        if is_less(&greatest, high) { high.clone() } else { greatest },
                    ),
                });
            }
            all.map(|(least, greatest)| (column.name.clone(), least, greatest))
        };
        Self(key.iter().filter(|c| exact(&c.ty)).filter_map(range).collect())
    }

    /// False if no row of `file` can have one of the keys.
    fn meet(&self, file: &DataFile) -> bool {
        let Some(stats) = stats_of(file) else { return true };
        let is_apart = |(name, least, greatest): &(String, Value, Value)| match range_of(&stats, name) {
            Some((low, high)) => is_less(high, least) || is_less(greatest, low),
            None => false,
        };
        !self.0.iter().any(is_apart)
    }
}

fn stats_of(file: &DataFile) -> Option<Value> {
    serde_json::from_str(file.stats.as_deref()?).ok()
}

fn range_of<'a>(stats: &'a Value, column: &str) -> Option<(&'a Value, &'a Value)> {
    Some((stats["minValues"].get(column)?, stats["maxValues"].get(column)?))
}

/// Whether `a` is certainly less than `b`; statistics of other writers may hold anything.
fn is_less(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::String(a), Value::String(b)) => a < b,
        _ => a.as_i64().zip(b.as_i64()).is_some_and(|(a, b)| a < b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(stats: &str) -> DataFile {
        DataFile {
            path: "f.parquet".to_string(),
            partition_values: Vec::new(),
            num_bytes: 1,
            num_rows: 1,
            modified_ms: 0,
            stats: Some(stats.to_string()),
        }
    }

    fn stats(low: &str, high: &str) -> DataFile {
        file(&format!(r#"{{"minValues":{{"k":{low}}},"maxValues":{{"k":{high}}}}}"#))
    }

    // Arithmetic: two ranges have something in common unless one ends before the other begins.
    #[test]
    fn files_are_read_whose_ranges_meet() {
        let new = [stats("10", "20"), stats("30", "40")];
        let ranges = Ranges::of(&[Column::new("k", DataType::BigInt)], new.iter());
        for (low, high, meet) in [("1", "9", false), ("1", "10", true), ("40", "50", true), ("41", "50", false)] {
            assert_eq!(ranges.meet(&stats(low, high)), meet, "{low} to {high}");
        }
        for unknown in [r#"{"minValues":{}}"#, "no", r#"{"minValues":{"k":"a"},"maxValues":{"k":"b"}}"#] {
            assert!(ranges.meet(&file(unknown)), "{unknown}");
        }
    }

    #[test]
    fn nothing_is_passed_over_where_a_new_file_does_not_tell_its_range() {
        let key = [Column::new("k", DataType::BigInt)];
        let ranges = Ranges::of(&key, [stats("10", "20"), file("{}")].iter());
        assert!(ranges.meet(&stats("1", "2")));
        // Whoever wrote a DOUBLE may have left NaN out.
        let ranges = Ranges::of(&[Column::new("k", DataType::Double)], [stats("10", "20")].iter());
        assert!(ranges.meet(&stats("1", "2")));
    }
}
