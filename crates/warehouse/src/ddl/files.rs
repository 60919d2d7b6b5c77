//! MERGE SMALLFILES and COMPACT: small files that follow each other become one, and no row changes.

use feitian_base::{Kind, Result};
use feitian_meta::Table;
use feitian_sql::Position;
use feitian_types::PartitionSpec;
use serde_json::{Map, Value};
use sqlparser::ast::{ObjectName, Spanned};

use super::{invalid_view, open};
use crate::catalog::OpenTable;
use crate::query::Session;
use crate::query::errors::{semantic, statement_error};
use crate::writer::partition_value;

/// Joins the small files of a table, or of the partitions whose leading columns have the values of `partition`. Compaction
/// is for transactional tables, whose changes are rows here like all others.
pub(crate) async fn merge(
    session: &Session,
    name: &ObjectName,
    partition: Option<&PartitionSpec>,
    compact: bool,
) -> Result<()> {
    let at = Position::from(name.span());
    let table = open(session, name).await?;
    let shown = format!("{}.{}", table.row.project, table.row.local_name());
    if table.row.view_text.is_some() {
        return Err(invalid_view(at, format!("{shown} is a view, it has no files")));
    }
    if table.snapshot.is_none() {
        return Err(semantic(at, format!("{shown} has no files of its own")));
    }
    if compact && !is_transactional(&table.row) {
        return Err(semantic(at, format!("table {shown} is not a transactional table")));
    }
    let within = match partition {
        Some(spec) => leading_values(session, &table, spec, at).await?,
        None => Vec::new(),
    };
    session.warehouse.join_files(&table.row.id, &within, 2).await?;
    Ok(())
}

/// Whether the user's property `transactional` is on.
pub(crate) fn is_transactional(table: &Table) -> bool {
    let properties: Map<String, Value> = serde_json::from_str(&table.properties).unwrap_or_default();
    let is_on = |v: &Value| v.as_str().is_some_and(|v| v.eq_ignore_ascii_case("true"));
    properties.iter().any(|(k, v)| k.eq_ignore_ascii_case("transactional") && is_on(v))
}

/// The values of the leading partition columns that `spec` names; there must be such a partition.
async fn leading_values(
    session: &Session,
    table: &OpenTable,
    spec: &PartitionSpec,
    at: Position,
) -> Result<Vec<String>> {
    let shown = format!("{}.{}", table.row.project, table.row.local_name());
    let columns = &table.row.schema.partition_columns;
    let named = columns.iter().map_while(|c| spec.get(&c.name).map(|v| partition_value(c, v)));
    let values = named.collect::<Result<Vec<_>>>()?;
    if values.len() != spec.0.len() {
        return Err(semantic(at, format!("partition ({spec}) does not fit table {shown}")));
    }
    if session.warehouse.meta().list_partitions(&table.row.id, &values, None, 1, false).await?.is_empty() {
        let detail = format!("partition ({spec}) of table {shown} does not exist");
        return Err(statement_error(Kind::NotFound, "ODPS-0130271", at, "Partition does not exist", &detail));
    }
    Ok(values)
}
