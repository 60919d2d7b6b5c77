//! `information_schema`: tables, columns and partitions under the names of MaxCompute's Information Schema.

use std::borrow::Cow;
use std::sync::Arc;

use feitian_base::Result;
use feitian_meta::{PartitionSums, Table};
use feitian_types::Column;
use futures::FutureExt;
use futures::future::BoxFuture;

use super::column::{Cell, Col, Type, may, must};
use super::partitions::{self, Partitions};
use super::tables::{KINDS, SUMS, Tables};
use super::{Pages, Reading};

/// The columns of `tables`.
pub(super) struct InformationTables(Tables);

impl InformationTables {
    pub(super) fn new(reading: &Reading) -> Self {
        Self(Tables::new(reading, reading.wants(&SUMS)))
    }
}

impl Pages for InformationTables {
    type Row = (Table, PartitionSums);

    const COLUMNS: &'static [Col<(Table, PartitionSums)>] = &[
        must("table_catalog", Type::Text, "Project that it belongs to.", |r| (&r.0.project).into()),
        must("table_schema", Type::Text, "Schema of the project that it is in.", |r| (&r.0.schema_name).into()),
        must("table_name", Type::Text, "Its name.", |r| (&r.0.name).into()),
        must("table_type", Type::Text, KINDS, |r| (&r.0.kind).into()),
        must("is_partitioned", Type::Flag, "Whether it has partition columns.", |r| r.0.schema.is_partitioned().into()),
        must("owner_name", Type::Text, "Account that owns it.", |r| (&r.0.owner).into()),
        must("create_time", Type::Time, "When it was created.", |r| r.0.created_ms.into()),
        must("last_modified_time", Type::Time, "When its rows last changed.", |r| r.0.modified_ms.into()),
        may("data_length", Type::Int, "Bytes of its files; NULL for a view.", |r| {
            (!r.0.location.is_empty()).then_some(r.1.num_bytes).into()
        }),
        must("table_comment", Type::Text, "Its comment.", |r| (&r.0.comment).into()),
        may("life_cycle", Type::Int, "Days that rows are kept; NULL for ever.", |r| {
            Some(r.0.lifecycle).filter(|days| *days > 0).into()
        }),
        may("view_original_text", Type::Text, "The query of a view.", |r| r.0.view_text.as_ref().into()),
    ];

    fn next(&mut self) -> BoxFuture<'_, Result<Option<Vec<Self::Row>>>> {
        self.0.page().boxed()
    }
}

/// A column of a table: its place among all of them, partition columns last.
pub(super) struct Row {
    table: Arc<Table>,
    at: usize,
}

impl Row {
    fn column(&self) -> Option<&Column> {
        let schema = &self.table.schema;
        let partition = || schema.partition_columns.get(self.at.checked_sub(schema.columns.len())?);
        schema.columns.get(self.at).or_else(partition)
    }

    fn is_partition(&self) -> bool {
        self.at >= self.table.schema.columns.len()
    }
}

fn data_type(row: &Row) -> Cell<'_> {
    row.column().map_or(Cell::Null, |c| Cell::Text(Cow::Owned(c.ty.to_string())))
}

/// The columns of `columns`.
pub(super) struct InformationColumns(Tables);

impl InformationColumns {
    pub(super) fn new(reading: &Reading) -> Self {
        Self(Tables::new(reading, false))
    }
}

impl Pages for InformationColumns {
    type Row = Row;

    const COLUMNS: &'static [Col<Row>] = &[
        must("table_catalog", Type::Text, "Project of the table.", |r| (&r.table.project).into()),
        must("table_schema", Type::Text, "Schema of the table.", |r| (&r.table.schema_name).into()),
        must("table_name", Type::Text, "Name of the table.", |r| (&r.table.name).into()),
        may("column_name", Type::Text, "Its name.", |r| r.column().map(|c| &c.name).into()),
        must("ordinal_position", Type::Int, "Its place in the table, counted from 1.", |r| (r.at as i64 + 1).into()),
        may("column_default", Type::Text, "Its default as it was written; NULL without one.", |r| {
            r.column().and_then(|c| c.default.as_ref()).into()
        }),
        may("is_nullable", Type::Flag, "Whether it may be NULL.", |r| r.column().map(|c| c.nullable).into()),
        may("data_type", Type::Text, "Its type.", data_type),
        may("column_comment", Type::Text, "Its comment.", |r| r.column().map(|c| &c.comment).into()),
        must("is_partition_key", Type::Flag, "Whether it is a partition column.", |r| r.is_partition().into()),
    ];

    fn next(&mut self) -> BoxFuture<'_, Result<Option<Vec<Row>>>> {
        async move {
            let Some(page) = self.0.page().await? else { return Ok(None) };
            let mut rows = Vec::new();
            for (table, _) in page {
                let table = Arc::new(table);
                let count = table.schema.all_columns().count();
                rows.extend((0..count).map(|at| Row { table: table.clone(), at }));
            }
            Ok(Some(rows))
        }
        .boxed()
    }
}

/// The columns of `partitions`.
pub(super) struct InformationPartitions(Partitions);

impl InformationPartitions {
    pub(super) fn new(reading: &Reading) -> Self {
        Self(Partitions::new(reading))
    }
}

impl Pages for InformationPartitions {
    type Row = partitions::Row;

    const COLUMNS: &'static [Col<partitions::Row>] = &[
        must("table_catalog", Type::Text, "Project of the table.", |r| (&r.table.project).into()),
        must("table_schema", Type::Text, "Schema of the table.", |r| (&r.table.schema_name).into()),
        must("table_name", Type::Text, "Name of the table.", |r| (&r.table.name).into()),
        must("partition_name", Type::Text, "The partition, such as ds=20240101/hh=05.", |r| (&r.partition.spec).into()),
        must("create_time", Type::Time, "When it was created.", |r| r.partition.created_ms.into()),
        must("last_modified_time", Type::Time, "When its rows last changed.", |r| r.partition.modified_ms.into()),
        must("data_length", Type::Int, "Bytes of its files.", |r| r.partition.num_bytes.into()),
    ];

    fn next(&mut self) -> BoxFuture<'_, Result<Option<Vec<partitions::Row>>>> {
        self.0.page().boxed()
    }
}
