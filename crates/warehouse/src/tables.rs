//! What tables and partitions there are, and their first rows.

use feitian_base::{Error, Kind, Result};
use feitian_meta::rows::{Partition, Table};
use feitian_meta::{PartitionSums, TableFilter};
use feitian_types::{Column, PartitionSpec};
use futures::StreamExt;

use crate::Warehouse;
use crate::reader::{Batches, Reading, RowRange, canonical_spec, choose_columns, files_of, read};

/// So many partitions are added up for one table of a list.
const SUMMED_OF_ONE: i64 = 50_000;
/// And so many for all tables of one page of it: a page is there at once, whatever a project has grown to.
const SUMMED_OF_PAGE: i64 = 100_000;

/// A table with the sums of its partitions.
#[derive(Debug, Clone)]
pub struct TableInfo {
    pub table: Table,
    pub num_rows: i64,
    pub num_bytes: i64,
    pub num_files: i64,
}

/// A page of a listing; `next` is the marker of the following page.
#[derive(Debug, Clone)]
pub struct Page<T> {
    pub items: Vec<T>,
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// A page of at most `limit` out of `limit + 1` items that were looked up.
    pub(crate) fn cut(mut items: Vec<T>, limit: usize, marker: impl Fn(&T) -> String) -> Self {
        let more = items.len() > limit;
        items.truncate(limit);
        let next = if more { items.last().map(marker) } else { None };
        Self { items, next }
    }
}

impl Warehouse {
    /// A table or view with the sums of its rows, bytes and files.
    pub async fn table(&self, project: &str, table: &str) -> Result<TableInfo> {
        let open = self.catalog.open(project, table).await?;
        let (mut num_rows, mut num_bytes, mut num_files) = (0, 0, 0);
        for f in open.snapshot.iter().flat_map(|s| s.files()) {
            num_rows += f.num_rows.max(0);
            num_bytes += f.num_bytes;
            num_files += 1;
        }
        let mut table = open.row;
        crate::materialized::describe(self, &mut table).await;
        Ok(TableInfo { table, num_rows, num_bytes, num_files })
    }

    /// Tables and views by name; `marker` is the last name seen.
    pub async fn list_tables(
        &self,
        project: &str,
        schema_name: &str,
        filter: TableFilter,
        marker: Option<&str>,
        limit: usize,
    ) -> Result<Page<Table>> {
        let rows = self.meta.list_tables(project, schema_name, &filter, marker, limit as i64 + 1).await?;
        Ok(Page::cut(rows, limit, |t| t.name.clone()))
    }

    /// What each of `tables` holds, as its partition rows say; `None` for a view, and for a table with more partitions
    /// than are added up for a list. No log is read.
    pub async fn table_sizes(&self, tables: &[Table]) -> Result<Vec<Option<PartitionSums>>> {
        let mut left = SUMMED_OF_PAGE;
        let mut sizes = Vec::with_capacity(tables.len());
        for table in tables {
            // The whole of a table without partitions is one row.
            let most = if table.schema.is_partitioned() { left.min(SUMMED_OF_ONE) } else { 1 };
            let sums = match &table.view_text {
                Some(_) => None,
                None if table.location.is_empty() => None,
                None => self.meta.table_sums(&table.id, most).await?,
            };
            if table.schema.is_partitioned() {
                left -= sums.map_or(most, |sums| sums.num_partitions);
            }
            sizes.push(sums);
        }
        Ok(sizes)
    }

    /// Partitions whose leading columns have the values of `prefix`, by value; `marker` is the last spec seen.
    pub async fn list_partitions(
        &self,
        project: &str,
        table: &str,
        prefix: Option<&PartitionSpec>,
        reverse: bool,
        marker: Option<&str>,
        limit: usize,
    ) -> Result<Page<Partition>> {
        let open = self.catalog.open(project, table).await?;
        let columns = &open.row.schema.partition_columns;
        if columns.is_empty() {
            return Ok(Page { items: Vec::new(), next: None });
        }
        let mut values = Vec::new();
        if let Some(prefix) = prefix {
            for column in columns.iter().take(prefix.0.len()) {
                let value = prefix.get(&column.name).ok_or_else(|| {
                    let text = format!(
                        "partition '{prefix}' must name the leading partition columns, '{}' first",
                        column.name
                    );
                    Error::new(Kind::Invalid, "InvalidPartitionSpec", text)
                })?;
                values.push(value.to_string());
            }
        }
        let rows = self.meta.list_partitions(&open.row.id, &values, marker, limit as i64 + 1, reverse).await?;
        Ok(Page::cut(rows, limit, |p| p.spec.clone()))
    }

    /// One partition, or `NoSuchPartition`.
    pub async fn partition(&self, project: &str, table: &str, spec: &PartitionSpec) -> Result<Partition> {
        let open = self.catalog.open(project, table).await?;
        let (spec, _) = canonical_spec(&open.row.schema.partition_columns, Some(spec))?;
        self.known_partition(&open.row, &spec).await
    }

    /// At most `limit` rows of the newest version; partition columns follow the data columns.
    pub async fn preview(
        &self,
        project: &str,
        table: &str,
        partition: Option<&PartitionSpec>,
        columns: Option<Vec<String>>,
        limit: u64,
    ) -> Result<(Vec<Column>, Batches)> {
        let open = self.catalog.open(project, table).await?;
        let snapshot = open.data()?;
        let schema = &open.row.schema;
        let spec = match partition {
            None => String::new(),
            some => canonical_spec(&schema.partition_columns, some)?.0,
        };
        if !spec.is_empty() {
            self.known_partition(&open.row, &spec).await?;
        }
        let all: Vec<Column> = schema.all_columns().cloned().collect();
        let chosen = choose_columns(&all, columns.as_deref())?;
        let place = |c: &Column| schema.partition_columns.iter().position(|p| p.name == c.name);
        let reading = Reading {
            store: self.catalog.store(),
            location: open.row.location.clone(),
            files: files_of(snapshot, &spec),
            columns: chosen.iter().filter(|c| place(c).is_none()).cloned().collect(),
            partition_columns: chosen.iter().filter_map(|c| place(c).map(|at| (c.clone(), at))).collect(),
        };
        let range = RowRange { start: 0, count: limit };
        Ok((chosen, read(reading, range, self.engine.runtime()).boxed()))
    }
}
