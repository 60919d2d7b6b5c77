//! `sys.tables`: one row for each live table and view.

use std::collections::VecDeque;

use feitian_base::Result;
use feitian_meta::{Meta, PartitionSums, Table, TableScan};
use futures::FutureExt;
use futures::future::BoxFuture;

use super::column::{Col, Type, may, must};
use super::{Pages, Reading};

/// Rows of a page: fewer than elsewhere, because each brings its columns.
const PAGE: i64 = 200;

/// The columns that are sums over partition rows.
pub(super) const SUMS: [&str; 4] = ["num_partitions", "num_rows", "data_length", "num_files"];

/// What the type of a table may be.
pub(super) const KINDS: &str = "MANAGED_TABLE, EXTERNAL_TABLE, VIRTUAL_VIEW or MATERIALIZED_VIEW.";

/// A table with the sums of its partitions.
pub(super) struct Row {
    table: Table,
    sums: PartitionSums,
}

impl Row {
    /// `number`, which is of files that the table has: a view and an external table have none.
    fn of_data(&self, number: i64) -> Option<i64> {
        (!self.table.location.is_empty()).then_some(number)
    }
}

impl Pages for Tables {
    type Row = Row;

    const COLUMNS: &'static [Col<Row>] = &[
        must("project", Type::Text, "Project that it belongs to.", |r| (&r.table.project).into()),
        must("schema_name", Type::Text, "Schema of the project that it is in.", |r| (&r.table.schema_name).into()),
        must("table_name", Type::Text, "Its name.", |r| (&r.table.name).into()),
        must("table_type", Type::Text, KINDS, |r| (&r.table.kind).into()),
        must("owner", Type::Text, "Account that owns it.", |r| (&r.table.owner).into()),
        must("create_time", Type::Time, "When it was created.", |r| r.table.created_ms.into()),
        must("last_ddl_time", Type::Time, "When its definition last changed.", |r| r.table.ddl_ms.into()),
        must("last_modified_time", Type::Time, "When its rows last changed.", |r| r.table.modified_ms.into()),
        may("lifecycle", Type::Int, "Days that rows are kept; NULL for ever.", |r| {
            Some(r.table.lifecycle).filter(|days| *days > 0).into()
        }),
        must("is_partitioned", Type::Flag, "Whether it has partition columns.", |r| {
            r.table.schema.is_partitioned().into()
        }),
        may("num_partitions", Type::Int, "Partitions; NULL without partition columns.", |r| {
            r.table.schema.is_partitioned().then_some(r.sums.num_partitions).into()
        }),
        may("num_rows", Type::Int, "Rows; NULL for a view.", |r| r.of_data(r.sums.num_rows).into()),
        may("data_length", Type::Int, "Bytes of its files; NULL for a view.", |r| r.of_data(r.sums.num_bytes).into()),
        may("num_files", Type::Int, "Files; NULL for a view.", |r| r.of_data(r.sums.num_files).into()),
        must("table_comment", Type::Text, "Its comment.", |r| (&r.table.comment).into()),
        must("table_id", Type::Text, "Its id, which RENAME does not change.", |r| (&r.table.id).into()),
        may("location", Type::Text, "Its directory below the data directory; NULL for a view.", |r| {
            Some(&r.table.location).filter(|l| !l.is_empty()).into()
        }),
    ];

    fn next(&mut self) -> BoxFuture<'_, Result<Option<Vec<Row>>>> {
        async move {
            let page = self.page().await?;
            Ok(page.map(|tables| tables.into_iter().map(|(table, sums)| Row { table, sums }).collect()))
        }
        .boxed()
    }
}

/// Reads the tables that a viewer may see, by project, schema and name.
pub(super) struct Tables {
    meta: Meta,
    scopes: VecDeque<Option<String>>,
    scan: TableScan,
    /// The last table of the first scope that was read.
    after: Option<Table>,
    page: i64,
}

impl Tables {
    pub(super) fn new(reading: &Reading, with_sums: bool) -> Self {
        let ask = &reading.ask;
        // A table of `information_schema` has other words for them.
        let one = |column, documented| ask.equal(column).or_else(|| ask.equal(documented));
        let project = one("project", "table_catalog");
        let schema_name = one("schema_name", "table_schema").map(str::to_string);
        let name = ask.equal("table_name").map(str::to_string);
        Self {
            meta: reading.warehouse.meta().clone(),
            scopes: if ask.nothing { VecDeque::new() } else { reading.viewer.scopes(project) },
            scan: TableScan { project: None, schema_name, name, with_sums },
            after: None,
            page: reading.page_rows.min(PAGE),
        }
    }

    /// In whole pages, however few rows are wanted: for those who pass over many tables.
    pub(super) fn in_whole_pages(self) -> Self {
        Self { page: PAGE, ..self }
    }

    /// The next tables; `None` at the end.
    pub(super) async fn page(&mut self) -> Result<Option<Vec<(Table, PartitionSums)>>> {
        while let Some(scope) = self.scopes.front() {
            self.scan.project.clone_from(scope);
            let page = self.meta.scan_tables(&self.scan, self.after.as_ref(), self.page).await?;
            self.after = page.last().map(|(table, _)| table.clone());
            if (page.len() as i64) < self.page {
                self.scopes.pop_front();
                self.after = None;
            }
            if !page.is_empty() {
                return Ok(Some(page));
            }
        }
        Ok(None)
    }
}
