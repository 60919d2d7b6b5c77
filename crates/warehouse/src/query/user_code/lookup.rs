//! Tables as resources of functions: their rows lie in memory like the bytes of a file.
//!
//! Whoever runs the function must be allowed to read the table, as in a query.

use arrow::array::RecordBatch;
use bytes::Bytes;
use chrono_tz::Tz;
use feitian_base::Result;
use feitian_meta::{DEFAULT_SCHEMA, Resource as ResourceRow, Table, local_name};
use feitian_sql::{Position, SqlError};
use feitian_types::PartitionSpec;
use feitian_udf::{TableContent, supported};
use futures::StreamExt;

use crate::query::errors::{front_end, semantic};
use crate::query::{Session, rights};

/// What a resource refers to.
#[derive(Debug, PartialEq, Eq)]
struct Source {
    project: String,
    /// With its schema before it, unless that is `default`.
    table: String,
    partition: Option<PartitionSpec>,
}

/// Reads `project.table` or `project.schema.table`, which may be quoted, and `partition(name='value',…)` behind it.
fn source(text: &str) -> Option<Source> {
    let (table, partition) = match text.split_once(" partition(") {
        Some((table, spec)) => (table, Some(PartitionSpec::parse(spec.trim().strip_suffix(')')?)?)),
        None => (text, None),
    };
    let name = |part: &str| part.trim().trim_matches('`').to_lowercase();
    let names: Vec<String> = table.split('.').map(name).collect();
    let (project, table) = match names.as_slice() {
        [project, table] => (project, table.clone()),
        [project, schema, table] if schema == DEFAULT_SCHEMA => (project, table.clone()),
        [project, schema, table] => (project, local_name(schema, table)),
        _ => return None,
    };
    Some(Source { project: project.clone(), table, partition: partition.filter(|p| !p.0.is_empty()) })
}

/// The rows of the table that `resource` of function `name` refers to, at most `room` bytes of them.
pub(super) async fn content(
    session: &Session,
    resource: &ResourceRow,
    zone: Tz,
    room: u64,
    (name, at): (&str, Position),
) -> Result<Bytes> {
    let wrong = |why: &str| semantic(at, format!("resource {} of function {name}: {why}", resource.at.name));
    let source = source(&resource.source).ok_or_else(|| wrong(&format!("'{}' is no table", resource.source)))?;
    let warehouse = &session.warehouse;
    rights::enter(session, &source.project).await?;
    let Some(table) = warehouse.meta().table_named(&source.project, &source.table).await? else {
        return Err(wrong(&format!("table {}.{} is not there", source.project, source.table)));
    };
    rights::check_table(session, &table, "Select", at).await?;
    rights::check_labels(session, &table, &table.schema.columns, at).await?;
    let types: Vec<_> = table.schema.columns.iter().map(|c| c.ty.clone()).collect();
    if let Some(why) = types.iter().find_map(|ty| supported(ty).err()) {
        return Err(front_end(SqlError::unsupported(at, format!("to run {name} with {}: {why}", resource.at.name))));
    }
    let mut rows = TableContent::new(types, zone);
    let mut batches = read(session, &source, &table).await?;
    while let Some(batch) = batches.next().await {
        let batch: RecordBatch = batch?;
        rows.push(batch.columns(), batch.num_rows()).map_err(|why| wrong(&why))?;
        if rows.num_bytes() > room {
            let what = format!("to run {name} with {}, whose rows do not fit into memory,", resource.at.name);
            return Err(front_end(SqlError::unsupported(at, what)));
        }
    }
    Ok(rows.finish())
}

/// The rows without the values of their partitions.
async fn read(session: &Session, source: &Source, table: &Table) -> Result<crate::Batches> {
    let names = table.schema.columns.iter().map(|c| c.name.clone()).collect();
    let (project, local, partition) = (&source.project, &source.table, source.partition.as_ref());
    Ok(session.warehouse.preview(project, local, partition, Some(names), u64::MAX).await?.1)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    // What `source_table_name` of odps/models/resource.py of PyODPS is made of.
    #[test]
    fn a_reference_names_a_table_and_perhaps_a_partition() {
        let of = |text: &str| source(text).map(|s| (s.project, s.table, s.partition.map(|p| p.to_string())));
        let some = |p: &str, t: &str, spec: Option<&str>| Some((p.into(), t.into(), spec.map(str::to_string)));
        assert_eq!(of("P.t"), some("p", "t", None));
        assert_eq!(of("p.`T`"), some("p", "t", None));
        assert_eq!(of("p.default.t"), some("p", "t", None));
        assert_eq!(of("p.s.t"), some("p", "s.t", None));
        let spec = PartitionSpec::parse("ds='a b'").unwrap().to_string();
        assert_eq!(of("p.t partition(ds='a b')"), some("p", "t", Some(&spec)));
        for text in ["t", "", "a.b.c.d", "p.t partition(ds)", "p.t partition(ds='1'"] {
            assert_eq!(of(text), None, "{text}");
        }
    }
}
