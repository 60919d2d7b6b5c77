//! `feitian check`: does the metadata say what the logs say, and is every file there that they name?

use std::collections::{BTreeMap, BTreeSet};

use feitian_base::Result;
use feitian_meta::rows::{Partition, Table};
use object_store::ObjectStoreExt;
use object_store::path::Path;
use serde::Serialize;

use crate::Warehouse;
use crate::commit::partition_rows;
use crate::log::Snapshot;
use crate::writer::object_path;

/// What was looked at and what was wrong.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    pub tables: u64,
    pub files: u64,
    pub rows: u64,
    /// One line each: a file that is missing or has another size, a partition row that differs from the log, a log that
    /// cannot be read.
    pub problems: Vec<String>,
    /// Partition rows that were written anew from the log.
    pub repaired: u64,
}

/// Compares every table's partition rows with its log, and the files with both. With `repair`, rows are made to agree with
/// the log; files cannot be repaired.
pub async fn run(warehouse: &Warehouse, repair: bool) -> Result<Report> {
    let mut report = Report::default();
    for table in warehouse.meta.all_tables().await? {
        if table.location.is_empty() || table.dropped_ms.is_some() {
            continue;
        }
        report.tables += 1;
        let name = format!("{}.{}", table.project, table.name);
        match warehouse.catalog.log(&table).load(None).await {
            Ok(snapshot) => check_table(warehouse, &table, &snapshot, repair, &mut report).await?,
            Err(e) => report.problems.push(format!("{name}: {e}")),
        }
    }
    check_resources(warehouse, &mut report).await?;
    check_volumes(warehouse, &mut report).await?;
    Ok(report)
}

async fn check_volumes(warehouse: &Warehouse, report: &mut Report) -> Result<()> {
    let store = warehouse.catalog.store();
    for (path, num_bytes) in warehouse.meta.all_volume_contents().await? {
        report.files += 1;
        match store.head(&Path::from(path.as_str())).await {
            Ok(meta) if meta.size == num_bytes.unsigned_abs() => {}
            Ok(meta) => {
                let text = format!("{path}: the file has {} bytes, its row says {num_bytes}", meta.size);
                report.problems.push(text);
            }
            Err(e) => report.problems.push(format!("{path}: {e}")),
        }
    }
    Ok(())
}

async fn check_resources(warehouse: &Warehouse, report: &mut Report) -> Result<()> {
    let store = warehouse.catalog.store();
    for resource in warehouse.meta.all_resource_files().await? {
        report.files += 1;
        let at = &resource.at;
        let name = format!("resource {}.{}", at.project, feitian_meta::local_name(&at.schema_name, &at.name));
        match store.head(&Path::from(resource.path.as_str())).await {
            Ok(meta) if meta.size == resource.num_bytes.unsigned_abs() => {}
            Ok(meta) => {
                let text = format!("{name}: the file has {} bytes, its row says {}", meta.size, resource.num_bytes);
                report.problems.push(text);
            }
            Err(e) => report.problems.push(format!("{name}: {e}")),
        }
    }
    Ok(())
}

async fn check_table(
    warehouse: &Warehouse,
    table: &Table,
    snapshot: &Snapshot,
    repair: bool,
    report: &mut Report,
) -> Result<()> {
    let name = format!("{}.{}", table.project, table.name);
    let store = warehouse.catalog.store();
    for file in snapshot.files() {
        report.files += 1;
        report.rows += file.num_rows.max(0) as u64;
        match store.head(&object_path(&table.location, &file.path)).await {
            Ok(meta) if meta.size == file.num_bytes as u64 => {}
            Ok(meta) => {
                let text = format!("{name}: {} has {} bytes, the log says {}", file.path, meta.size, file.num_bytes);
                report.problems.push(text);
            }
            Err(e) => report.problems.push(format!("{name}: {}: {e}", file.path)),
        }
    }
    let have: BTreeMap<String, Partition> =
        warehouse.meta.all_partitions(&table.id).await?.into_iter().map(|p| (p.spec.clone(), p)).collect();
    let mut want = rows_from_log(table, snapshot, &have);
    let wrong: BTreeSet<&String> = want
        .iter()
        .filter(|(spec, w)| have.get(*spec).is_none_or(|h| numbers(h) != numbers(w)))
        .map(|(spec, _)| spec)
        .collect();
    for spec in &wrong {
        let what = if have.contains_key(*spec) { "differs from the log" } else { "is missing" };
        let text = format!("{name}: partition row '{spec}' {what}");
        if repair {
            report.repaired += 1;
            tracing::info!("{text}: repaired");
        } else {
            report.problems.push(text);
        }
    }
    if repair && !wrong.is_empty() {
        let rows: Vec<Partition> = std::mem::take(&mut want).into_values().collect();
        warehouse.meta.replace_partitions(&table.id, &rows, snapshot.version).await?;
    }
    Ok(())
}

fn numbers(p: &Partition) -> (i64, i64, i64) {
    (p.num_rows, p.num_bytes, p.num_files)
}

/// The rows that there should be: one for each partition with files, and the empty partitions that are known.
fn rows_from_log(
    table: &Table,
    snapshot: &Snapshot,
    have: &BTreeMap<String, Partition>,
) -> BTreeMap<String, Partition> {
    let mut rows: BTreeMap<String, Partition> = have.clone();
    for p in rows.values_mut() {
        (p.num_rows, p.num_bytes, p.num_files) = (0, 0, 0);
    }
    for c in partition_rows(table, snapshot, None) {
        let known = have.get(&c.spec);
        rows.insert(
            c.spec.clone(),
            Partition {
                table_id: table.id.clone(),
                spec: c.spec,
                values: c.values,
                created_ms: known.map_or(c.modified_ms, |k| k.created_ms),
                ddl_ms: known.map_or(c.modified_ms, |k| k.ddl_ms),
                modified_ms: known.map_or(c.modified_ms, |k| k.modified_ms),
                num_rows: c.num_rows,
                num_bytes: c.num_bytes,
                num_files: c.num_files,
            },
        );
    }
    rows
}
