//! Partitions of external tables: each is a directory below the table's, `ds=1/hh=2/`, unless ADD PARTITION named another.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Schema;
use datafusion::catalog::Session;
use datafusion::common::{DFSchema, Result as DfResult, ScalarValue};
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::utils::conjunction;
use feitian_base::{Error, Kind, Result, clock};
use feitian_meta::{Meta, Partition, Table};
use feitian_sql::Position;
use feitian_types::Column;
use feitian_types::arrow::engine_field;
use object_store::path::Path;
use serde_json::{Map, Value};

use super::changed;
use super::files::Found;
use super::location::Location;
use super::scan::Source;
use crate::Warehouse;
use crate::catalog::table_not_found;
use crate::scan::{has_subquery, scalar, unqualified};

/// The table property with the directories that ADD PARTITION named: what LOCATION said, by the partition's spec.
const PLACES: &str = "feitian.external.partitions";
/// More of them are refused: each statement reads all of the row.
const MAX_PLACES: usize = 10_000;
/// While somebody changes the partitions, they are read again so often.
pub(super) const LOOKS: usize = 10;

/// The directories of partitions that are not where their values say.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Places(BTreeMap<String, String>);

impl Places {
    /// Those of a table.
    pub(super) fn of(table: &Table) -> Result<Self> {
        let all: Map<String, Value> = serde_json::from_str(&table.properties).unwrap_or_default();
        let Some(kept) = all.get(PLACES) else { return Ok(Self::default()) };
        let places = kept.as_str().and_then(|text| serde_json::from_str(text).ok());
        places.map(Self).ok_or_else(|| {
            let text = format!("table {}.{} does not say where its partitions are", table.project, table.local_name());
            Error::new(Kind::Corrupt, "InternalServerError", text)
        })
    }

    pub(super) fn get(&self, spec: &str) -> Option<&str> {
        self.0.get(spec).map(String::as_str)
    }

    pub(super) fn remove(&mut self, spec: &str) {
        self.0.remove(spec);
    }

    pub(super) fn put(&mut self, spec: String, location: String, at: Position) -> Result<()> {
        self.0.insert(spec, location);
        match self.0.len() > MAX_PLACES {
            true => Err(super::refused(at, format!("a table has at most {MAX_PLACES} partitions with a LOCATION"))),
            false => Ok(()),
        }
    }

    /// The row of the table with these places.
    pub(super) fn row(&self, table: &Table) -> Result<Table> {
        let mut all: Map<String, Value> = serde_json::from_str(&table.properties).unwrap_or_default();
        match self.0.is_empty() {
            true => {
                all.remove(PLACES);
            }
            false => {
                let text = serde_json::to_string(&self.0).map_err(|e| Error::internal(e.to_string()))?;
                all.insert(PLACES.to_string(), Value::String(text));
            }
        }
        let (properties, schema_version) = (Value::Object(all).to_string(), table.schema_version + 1);
        Ok(Table { properties, schema_version, ddl_ms: clock::tick_ms(), ..table.clone() })
    }
}

/// The names of a partition's directories below the table's.
pub(super) fn parts<'a>(columns: &[Column], values: impl IntoIterator<Item = &'a String>) -> Vec<String> {
    columns.iter().zip(values).map(|(column, value)| format!("{}={value}", column.name)).collect()
}

/// The row of a table as it is now.
pub(super) async fn live(meta: &Meta, table: &Table) -> Result<Table> {
    let row = meta.table_by_id(&table.id).await?.filter(|row| row.dropped_ms.is_none());
    row.ok_or_else(|| table_not_found(&table.project, &table.local_name()))
}

/// The partitions of a table, and where those are that are not where their values say, as they were at one moment.
pub(super) async fn partitions(warehouse: &Warehouse, table: &Table) -> Result<(Vec<Partition>, Places)> {
    let meta = warehouse.meta();
    let mut before = live(meta, table).await?;
    for _ in 0..LOOKS {
        let partitions = meta.all_partitions(&table.id).await?;
        let now = live(meta, table).await?;
        if now.properties == before.properties {
            return Ok((partitions, Places::of(&now)?));
        }
        before = now;
    }
    Err(restless(table))
}

/// ODPS-0110061: no two looks say the same.
pub(super) fn restless(table: &Table) -> Error {
    changed(format!("the partitions of {}.{} change all the time", table.project, table.local_name()))
}

/// Whether a filter can be decided by what a partition is.
pub(super) fn prunes(filter: &Expr, columns: &[Column]) -> bool {
    let named = filter.column_refs();
    let is_plain = !filter.is_volatile() && !has_subquery(filter) && !named.is_empty();
    is_plain && named.iter().all(|c| columns.iter().any(|column| column.name == c.name))
}

/// The partitions that the filters leave.
pub(super) fn pruned(
    state: &dyn Session,
    columns: &[Column],
    all: Vec<Partition>,
    filters: &[Expr],
) -> DfResult<Vec<Partition>> {
    let filter = conjunction(filters.iter().filter(|filter| prunes(filter, columns)).cloned());
    let Some(filter) = filter.filter(|_| !all.is_empty()) else { return Ok(all) };
    let fields: Vec<_> = columns.iter().map(|c| engine_field(c).with_nullable(true)).collect();
    let mut arrays = Vec::with_capacity(columns.len());
    for (i, column) in columns.iter().enumerate() {
        let values = all.iter().map(|p| scalar(column, p.values.get(i).map(String::as_str)));
        arrays.push(ScalarValue::iter_to_array(values)?);
    }
    let schema = Arc::new(Schema::new(fields));
    let batch = RecordBatch::try_new(schema.clone(), arrays)?;
    let df_schema = DFSchema::try_from(schema.as_ref().clone())?;
    let keep = state.create_physical_expr(unqualified(filter)?, &df_schema)?.evaluate(&batch)?;
    let keep = keep.into_array(all.len())?;
    let keep = keep.as_boolean();
    let kept = all.into_iter().enumerate().filter(|(i, _)| keep.is_valid(*i) && keep.value(*i));
    Ok(kept.map(|(_, partition)| partition).collect())
}

/// A file, and the values of the partition that it is in.
#[derive(Clone)]
pub(super) struct PartFile {
    pub(super) file: Found,
    pub(super) part: Arc<Part>,
}

/// A partition of those that are read.
#[derive(Default)]
pub(super) struct Part {
    /// Its place among them.
    pub(super) place: usize,
    pub(super) values: Vec<ScalarValue>,
}

/// The row of a partition that is new now.
pub(super) fn new_partition(table_id: &str, spec: String, values: Vec<String>, now: i64) -> Partition {
    Partition {
        table_id: table_id.to_string(),
        spec,
        values,
        created_ms: now,
        ddl_ms: now,
        modified_ms: now,
        num_rows: 0,
        num_bytes: 0,
        num_files: 0,
    }
}

/// The files of these partitions. No other directory is listed, but for the names that stand directly in the table's.
pub(super) async fn files(
    source: &Source,
    columns: &[Column],
    partitions: &[Partition],
    places: &Places,
) -> Result<Vec<PartFile>> {
    let mut parts_in: HashMap<Path, Arc<Part>> = HashMap::new();
    let mut found = Vec::new();
    for (place, partition) in partitions.iter().enumerate() {
        let values = columns.iter().zip(&partition.values).map(|(c, v)| scalar(c, Some(v.as_str())));
        let part = Arc::new(Part { place, values: values.collect() });
        match places.get(&partition.spec) {
            Some(named) => {
                let location = Location::parse(named, Position::UNKNOWN)?;
                let files = source.directory_of(&location).await?.files().await?;
                found.extend(files.into_iter().map(|file| PartFile { file, part: part.clone() }));
            }
            None => {
                let location = source.location.below(&parts(columns, &partition.values))?;
                location.check_links(&source.warehouse.config.data_dir).await?;
                parts_in.insert(location.dir().clone(), part);
            }
        }
    }
    if parts_in.is_empty() {
        return Ok(found);
    }
    let directory = source.directory().await?.over(parts_in.keys().cloned().collect());
    for file in directory.files().await? {
        let name = file.or.as_ref().unwrap_or(&file.path);
        let Some(part) = ancestors(name).find_map(|dir| parts_in.get(&dir).cloned()) else {
            return Err(Error::internal(format!("{name} is in no partition")));
        };
        found.push(PartFile { file, part });
    }
    Ok(found)
}

/// The directories that a path is in, the nearest first.
pub(super) fn ancestors(path: &Path) -> impl Iterator<Item = Path> {
    std::iter::successors(path.parent(), Path::parent)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use feitian_types::DataType;

    use super::*;

    // MaxCompute documentation, "Create an OSS external table": directories are `column=value`.
    #[test]
    fn a_partition_is_a_directory_below_the_table() {
        let table = Location::parse("oss://demo/t/", Position::UNKNOWN).unwrap();
        let columns = [Column::new("ds", DataType::String), Column::new("hh", DataType::BigInt)];
        let values = ["2024-01-01 a@b=c".to_string(), "5".to_string()];
        let at = table.below(&parts(&columns, &values)).unwrap();
        assert_eq!(at.text(), "oss://demo/t/ds=2024-01-01 a@b=c/hh=5/");
        for bad in ["a%b", "a?b", "a#b", "a*b", "a\\b"] {
            let values = [bad.to_string(), "5".to_string()];
            assert_eq!(table.below(&parts(&columns, &values)).unwrap_err().code(), "ODPS-0123031", "{bad}");
        }
    }

    #[test]
    fn a_path_is_in_its_directories() {
        let path = Path::parse("a/b/c").unwrap();
        let dirs: Vec<String> = ancestors(&path).map(|p| p.to_string()).collect();
        assert_eq!(dirs[..2], ["a/b", "a"]);
    }
}
