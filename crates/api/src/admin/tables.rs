//! Tables: which there are and what they hold, their partitions, their first rows, and the schemas that they are in.

use feitian_base::Result;
use feitian_meta::rows::{Partition, Schema, Table};
use feitian_meta::{DEFAULT_SCHEMA, PartitionSums};
use feitian_types::{Column, PartitionSpec};
use futures::StreamExt;

use super::types::{
    ColumnView, FirstRows, FunctionList, PartitionList, PartitionView, SchemaList, SchemaView, TableColumn, TableList,
    TableSize, TableView,
};
use crate::answers;
use crate::call::{Answer, Call};
use crate::csv::{project_zone, text_rows};
use crate::warehouse::{Page, TableInfo};

/// Items of one answer.
const PAGE: usize = 200;
/// Rows of a table that one answer holds. They lie in memory at once, and a value may have megabytes.
const MOST_ROWS: u64 = 100;

/// Rows as texts; `None` is NULL.
pub type Texts = Vec<Vec<Option<String>>>;

/// Tables and views by name: those of the schema and with the beginning that the query names.
async fn page_of(call: &Call, size: usize) -> Result<Page<Table>> {
    let query = &call.query;
    let schema = query.get("schema").unwrap_or(DEFAULT_SCHEMA).to_lowercase();
    let prefix = query.get("prefix").map(|prefix| prefix.trim().to_lowercase());
    let (prefix, marker) = (prefix.as_deref(), query.get("marker"));
    call.state.warehouse.list_tables(call.project(), &schema, prefix, None, None, marker, size).await
}

/// A page of tables with what each holds. A size is missing for a view, and for a table with too many partitions to add
/// up for a list.
pub async fn tables_of(call: &Call, size: usize) -> Result<Page<(Table, Option<PartitionSums>)>> {
    let page = page_of(call, size).await?;
    let sizes = call.state.warehouse.table_sizes(&page.items).await?;
    Ok(Page { items: page.items.into_iter().zip(sizes).collect(), next: page.next })
}

/// The same page, of their names within the project.
pub async fn names_of(call: &Call, size: usize) -> Result<Page<String>> {
    let page = page_of(call, size).await?;
    Ok(Page { items: page.items.iter().map(Table::local_name).collect(), next: page.next })
}

/// The table of the path, with what it holds.
pub async fn table_of(call: &Call) -> Result<TableInfo> {
    table_named(call, call.table()).await
}

/// A table of the project by its name there.
pub async fn table_named(call: &Call, name: &str) -> Result<TableInfo> {
    call.state.warehouse.table(call.project(), name).await
}

/// The partitions of the table of the path, by value or from the last one on.
pub async fn partitions_of(call: &Call, reverse: bool, size: usize) -> Result<Page<Partition>> {
    let marker = call.query.get("marker");
    call.state.warehouse.list_partitions(call.project(), call.table(), None, reverse, marker, size).await
}

/// The last partition by value of a table of the project.
pub async fn last_partition(call: &Call, table: &str) -> Result<Option<Partition>> {
    let page = call.state.warehouse.list_partitions(call.project(), table, None, true, None, 1).await?;
    Ok(page.items.into_iter().next())
}

/// The first rows of the table of the path, or of one of its partitions, in the time zone of the project.
pub async fn first_rows(call: &Call, of: Option<&PartitionSpec>, count: u64) -> Result<(Vec<Column>, Texts)> {
    let zone = project_zone(call).await?;
    let (columns, mut batches) = call.state.warehouse.preview(call.project(), call.table(), of, None, count).await?;
    let mut rows = Vec::new();
    while let Some(batch) = batches.next().await {
        text_rows(&columns, zone, &batch?, &mut rows)?;
    }
    Ok((columns, rows))
}

/// The schemas of the project, by name; `after` is the last name seen.
pub async fn schemas_of(call: &Call, after: Option<&str>, size: usize) -> Result<Page<Schema>> {
    let mut items = call.state.meta.list_schemas(call.project(), "", after, size as i64 + 1).await?;
    let more = items.len() > size;
    items.truncate(size);
    let next = items.last().filter(|_| more).map(|schema| schema.name.clone());
    Ok(Page { items, next })
}

fn view(table: Table, size: Option<TableSize>) -> TableView {
    TableView {
        is_partitioned: table.schema.is_partitioned(),
        lifecycle: Some(table.lifecycle).filter(|days| *days >= 0),
        columns: Vec::new(),
        name: table.name,
        schema: table.schema_name,
        kind: table.kind,
        owner: table.owner,
        comment: table.comment,
        created_ms: table.created_ms,
        modified_ms: table.modified_ms,
        view_text: table.view_text,
        size,
    }
}

fn size(sums: PartitionSums) -> TableSize {
    let PartitionSums { num_rows, num_bytes, num_files, .. } = sums;
    TableSize { num_rows, num_bytes, num_files }
}

fn column(column: &Column, is_partition: bool) -> TableColumn {
    TableColumn {
        name: column.name.clone(),
        ty: column.ty.to_string(),
        nullable: column.nullable,
        is_partition,
        comment: column.comment.clone(),
    }
}

pub async fn list(call: Call) -> Answer {
    let page = tables_of(&call, call.page_size(PAGE)?).await?;
    let tables = page.items.into_iter().map(|(table, sums)| view(table, sums.map(size))).collect();
    answers::json(&TableList { tables, next: page.next })
}

pub async fn get(call: Call) -> Answer {
    let TableInfo { table, num_rows, num_bytes, num_files } = table_of(&call).await?;
    let has_own_files = table.view_text.is_none() && table.kind != "EXTERNAL_TABLE";
    let size = has_own_files.then_some(TableSize { num_rows, num_bytes, num_files });
    let (data, partition) = (table.schema.columns.iter(), table.schema.partition_columns.iter());
    let columns = data.map(|c| column(c, false)).chain(partition.map(|c| column(c, true))).collect();
    answers::json(&TableView { columns, ..view(table, size) })
}

pub async fn partitions(call: Call) -> Answer {
    let page = partitions_of(&call, call.query.flag("reverse", false)?, call.page_size(PAGE)?).await?;
    let partition = |p: Partition| PartitionView {
        size: TableSize { num_rows: p.num_rows, num_bytes: p.num_bytes, num_files: p.num_files },
        partition: p.spec,
        created_ms: p.created_ms,
        modified_ms: p.modified_ms,
    };
    answers::json(&PartitionList { partitions: page.items.into_iter().map(partition).collect(), next: page.next })
}

pub async fn rows(call: Call) -> Answer {
    let (of, count) = (call.partition()?, call.query.number("count")?);
    let (columns, rows) = first_rows(&call, of.as_ref(), count.unwrap_or(MOST_ROWS).min(MOST_ROWS)).await?;
    let columns = columns.iter().map(|c| ColumnView { name: c.name.clone(), ty: c.ty.to_string() }).collect();
    answers::json(&FirstRows { columns, rows })
}

pub async fn schemas(call: Call) -> Answer {
    let page = schemas_of(&call, call.query.get("marker"), call.page_size(PAGE)?).await?;
    let schema = |s: Schema| SchemaView {
        name: s.name,
        owner: s.owner,
        comment: s.comment,
        created_ms: s.created_ms,
        modified_ms: s.modified_ms,
    };
    answers::json(&SchemaList { schemas: page.items.into_iter().map(schema).collect(), next: page.next })
}

/// How each function of SQL is called.
pub fn functions_of(call: &Call) -> Vec<&'static str> {
    call.state.warehouse.functions()
}

pub async fn functions(call: Call) -> Answer {
    answers::json(&FunctionList { functions: functions_of(&call).into_iter().map(str::to_string).collect() })
}
