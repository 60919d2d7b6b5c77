//! ANALYZE TABLE: sketches of how many different values there are, for files that have none.
//!
//! What feitian writes has them for the first columns; files of other writers and of older feitians, and further columns,
//! get them here.
//!
//! 1. Files of the newest version that lack what is wanted are read. Nothing is written.
//! 2. One commit names them again, with the statistics that they had and the sketches. No row changes, so that statements
//!    which read the table meanwhile need not run again. It is given up when one of the files has gone since: naming that
//!    again would bring its rows back.
//!
//! What is kept is of one file, and files never change: nothing of it grows old, and who asks again finds nothing to do.

use std::sync::Arc;

use feitian_base::{Error, Kind, Result, id};
use feitian_meta::rows::Step;
use feitian_types::{Column, PartitionSpec};
use futures::StreamExt;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::Warehouse;
use crate::catalog::OpenTable;
use crate::commit::{Change, Replace};
use crate::log::DataFile;
use crate::reader::{Reading, RowRange, read};
use crate::stats::distinct::{Distinct, can_be_counted, counted};
use crate::stats::with_distinct;
use crate::writer::{NULL_PARTITION, partition_value};

/// So many files are named by one commit at most, and so many columns of all of them: their statistics go into its record.
const MOST_FILES: usize = 256;
const MOST_SKETCHES: usize = 8192;
/// So often another one's change of the same files is given way to.
const ATTEMPTS: usize = 5;

/// The sketches that a file has.
#[derive(Deserialize)]
struct Known {
    /// [`crate::stats::distinct::DISTINCT`]
    #[serde(default, rename = "feitianDistinct")]
    distinct: Map<String, Value>,
}

impl Warehouse {
    /// Counts the values of the columns with these names, or of those that are counted when a table is written, in the
    /// partitions that `partition` names, as far as the files do not tell.
    ///
    /// # Errors
    /// `ODPS-0123031` for what is no value of a partition; `Conflict` when others change the table all the time.
    pub(crate) async fn analyze(
        &self,
        table_id: &str,
        names: &[String],
        partition: Option<&PartitionSpec>,
    ) -> Result<()> {
        let mut attempt = 1;
        loop {
            match self.analyze_once(table_id, names, partition).await {
                Err(e) if e.kind() == Kind::Conflict && attempt < ATTEMPTS => attempt += 1,
                result => return result,
            }
        }
    }

    async fn analyze_once(&self, table_id: &str, names: &[String], partition: Option<&PartitionSpec>) -> Result<()> {
        let table = self.catalog.open_id(table_id).await?;
        let snapshot = table.data()?.clone();
        let columns = wanted(&table, names);
        let values = values_of(&table, partition)?;
        let is_in = |file: &DataFile| {
            values.iter().all(|(i, value)| {
                let own = file.partition_values.get(*i).and_then(Option::as_deref);
                own.unwrap_or(NULL_PARTITION) == value
            })
        };
        // The rows of the others are not known, and none are read of them.
        let lacks = |file: &DataFile| file.num_rows >= 0 && !missing(file, &columns).is_empty();
        let files: Vec<_> = snapshot.files().iter().filter(|f| is_in(f) && lacks(f)).cloned().collect();
        for files in files.chunks((MOST_SKETCHES / columns.len().max(1)).clamp(1, MOST_FILES)) {
            let mut described = Vec::with_capacity(files.len());
            for file in files {
                let one = self.described(&table, file, missing(file, &columns)).await?;
                described.extend(one);
            }
            if described.is_empty() {
                continue;
            }
            let change = Change {
                read_version: snapshot.version,
                replace: Replace::Described(described.iter().map(|f| f.path.clone()).collect()),
                ..Change::append(table.row.clone(), described)
            };
            self.catalog.commit(vec![change], &id::ulid(), 0, 0, &Step::None).await?;
        }
        Ok(())
    }

    /// The file with sketches of these columns; `None` if its statistics are none.
    async fn described(
        &self,
        table: &OpenTable,
        file: &Arc<DataFile>,
        columns: Vec<Column>,
    ) -> Result<Option<DataFile>> {
        let reading = Reading {
            store: self.catalog.store(),
            location: table.row.location.clone(),
            files: vec![file.clone()],
            columns: columns.clone(),
            partition_columns: Vec::new(),
        };
        let (mut distinct, mut rows) = (Distinct::of(0..columns.len()), 0);
        let mut batches = read(reading, RowRange { start: 0, count: u64::MAX }, self.engine.runtime());
        while let Some(batch) = batches.next().await {
            let batch = batch?;
            rows += batch.num_rows() as u64;
            distinct.add(&columns, &batch);
        }
        if rows != file.num_rows.unsigned_abs() {
            let text = format!("data file {} holds {rows} rows, the log says {}", file.path, file.num_rows);
            return Err(Error::new(Kind::Corrupt, "InternalServerError", text));
        }
        let stats = file.stats.as_deref().and_then(|s| with_distinct(s, distinct.members(&columns, rows)));
        Ok(stats.map(|stats| DataFile { stats: Some(stats), ..file.as_ref().clone() }))
    }
}

/// The columns of these names whose values can be counted; those that a writer counts if none is named.
fn wanted(table: &OpenTable, names: &[String]) -> Vec<Column> {
    let all = &table.row.schema.columns;
    if names.is_empty() {
        return counted(all).map(|i| all[i].clone()).collect();
    }
    all.iter().filter(|c| names.contains(&c.name) && can_be_counted(&c.ty)).cloned().collect()
}

/// Those of the columns of which the file has no sketch.
fn missing(file: &DataFile, columns: &[Column]) -> Vec<Column> {
    let known = file.stats.as_deref().and_then(|s| serde_json::from_str::<Known>(s).ok());
    let has = |c: &&Column| known.as_ref().is_some_and(|k| k.distinct.contains_key(&c.name));
    columns.iter().filter(|c| !has(c)).cloned().collect()
}

/// The values that `partition` gives to partition columns, with the places of these.
fn values_of(table: &OpenTable, partition: Option<&PartitionSpec>) -> Result<Vec<(usize, String)>> {
    let columns = &table.row.schema.partition_columns;
    let named = partition.into_iter().flat_map(|spec| &spec.0).filter_map(|(name, value)| {
        let at = columns.iter().position(|c| c.name == *name)?;
        Some(partition_value(&columns[at], value).map(|value| (at, value)))
    });
    named.collect()
}

#[cfg(test)]
mod tests {
    use feitian_types::DataType;

    use super::*;

    fn file(stats: &str) -> DataFile {
        DataFile {
            path: "f.parquet".to_string(),
            partition_values: vec![],
            num_bytes: 1,
            num_rows: 1,
            modified_ms: 0,
            stats: Some(stats.to_string()),
        }
    }

    #[test]
    fn a_file_lacks_the_columns_that_it_does_not_name() {
        let columns = [Column::new("a", DataType::BigInt), Column::new("b", DataType::String)];
        let lacks = |stats: &str| missing(&file(stats), &columns).into_iter().map(|c| c.name).collect::<Vec<_>>();
        assert_eq!(lacks(r#"{"numRecords":1}"#), ["a", "b"]);
        assert_eq!(lacks(r#"{"numRecords":1,"feitianDistinct":{"a":"."}}"#), ["b"]);
        assert!(lacks(r#"{"feitianDistinct":{"a":".","b":"."}}"#).is_empty());
    }

    // The members are those that the statistics had, and the one that is added.
    #[test]
    fn what_a_file_tells_already_stays() {
        let add = |stats: &str| {
            let sketches = Map::from_iter([("b".to_string(), Value::from(".AAB"))]);
            with_distinct(stats, sketches).map(|text| serde_json::from_str::<Value>(&text).unwrap_or_default())
        };
        let wanted = serde_json::json!({"numRecords": 2, "other": [1], "feitianDistinct": {"b": ".AAB"}});
        assert_eq!(add(r#"{"numRecords":2,"other":[1]}"#), Some(wanted));
        let wanted = serde_json::json!({"feitianDistinct": {"a": ".", "b": ".AAB"}});
        assert_eq!(add(r#"{"feitianDistinct":{"a":"."}}"#), Some(wanted));
        assert_eq!(add("[2]"), None);
        // More digits than an f64 holds.
        let bound = r#""maxValues":{"d":12345678901234567890.123456789}"#;
        let text = with_distinct(&format!("{{{bound}}}"), Map::new()).unwrap_or_default();
        assert!(text.contains(bound), "{text}");
    }
}
