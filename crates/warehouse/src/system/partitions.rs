//! `sys.partitions`: one row for each partition of each partitioned table.

use std::collections::VecDeque;
use std::sync::Arc;

use feitian_base::Result;
use feitian_meta::{Meta, Partition, Table};
use futures::FutureExt;
use futures::future::BoxFuture;

use super::column::{Col, Type, must};
use super::tables::Tables;
use super::{Pages, Reading};

/// A partition and its table.
pub(super) struct Row {
    pub(super) table: Arc<Table>,
    pub(super) partition: Partition,
}

impl Pages for Partitions {
    type Row = Row;

    const COLUMNS: &'static [Col<Row>] = &[
        must("project", Type::Text, "Project of the table.", |r| (&r.table.project).into()),
        must("schema_name", Type::Text, "Schema of the table.", |r| (&r.table.schema_name).into()),
        must("table_name", Type::Text, "Name of the table.", |r| (&r.table.name).into()),
        must("partition_name", Type::Text, "The partition, such as ds=20240101/hh=05.", |r| (&r.partition.spec).into()),
        must("num_rows", Type::Int, "Rows.", |r| r.partition.num_rows.into()),
        must("data_length", Type::Int, "Bytes of its files.", |r| r.partition.num_bytes.into()),
        must("num_files", Type::Int, "Files.", |r| r.partition.num_files.into()),
        must("create_time", Type::Time, "When it was created.", |r| r.partition.created_ms.into()),
        must("last_modified_time", Type::Time, "When its rows last changed.", |r| r.partition.modified_ms.into()),
    ];

    fn next(&mut self) -> BoxFuture<'_, Result<Option<Vec<Row>>>> {
        self.page().boxed()
    }
}

/// Reads the partitions of the tables that a viewer may see, table by table.
pub(super) struct Partitions {
    meta: Meta,
    tables: Tables,
    /// Tables of which nothing has been read yet.
    waiting: VecDeque<Table>,
    /// The table that is being read, and the last partition that was.
    current: Option<(Arc<Table>, Option<String>)>,
    page: i64,
}

impl Partitions {
    pub(super) fn new(reading: &Reading) -> Self {
        Self {
            meta: reading.warehouse.meta().clone(),
            tables: Tables::new(reading, false).in_whole_pages(),
            waiting: VecDeque::new(),
            current: None,
            page: reading.page_rows,
        }
    }

    /// The table to go on with, and where.
    async fn table(&mut self) -> Result<Option<(Arc<Table>, Option<String>)>> {
        loop {
            if let Some(current) = self.current.take() {
                return Ok(Some(current));
            }
            if let Some(table) = self.waiting.pop_front() {
                return Ok(Some((Arc::new(table), None)));
            }
            match self.tables.page().await? {
                Some(page) => {
                    self.waiting.extend(page.into_iter().map(|(t, _)| t).filter(|t| t.schema.is_partitioned()));
                }
                None => return Ok(None),
            }
        }
    }

    /// A page is filled from several tables: most have few partitions.
    pub(super) async fn page(&mut self) -> Result<Option<Vec<Row>>> {
        let mut rows: Vec<Row> = Vec::new();
        while let Some((table, after)) = self.table().await? {
            let room = self.page - rows.len() as i64;
            let found = self.meta.list_partitions(&table.id, &[], after.as_deref(), room, false).await?;
            let is_full = found.len() as i64 == room;
            if let (true, Some(last)) = (is_full, found.last()) {
                self.current = Some((table.clone(), Some(last.spec.clone())));
            }
            rows.extend(found.into_iter().map(|partition| Row { table: table.clone(), partition }));
            if is_full {
                break;
            }
        }
        Ok(Some(rows).filter(|rows| !rows.is_empty()))
    }
}
