//! Which partition rows a change of a table touches, and what they say after it.

use std::collections::{BTreeMap, BTreeSet};

use feitian_base::clock;
use feitian_meta::rows::{Partition, PartitionChange, Table};

use super::{Intent, Replace};
use crate::log::Snapshot;
use crate::writer::NULL_PARTITION;

pub(super) fn touched_specs(table: &Table, intent: &Intent, drop: &[String], snapshot: &Snapshot) -> BTreeSet<String> {
    let mut specs: BTreeSet<String> = intent.files.iter().map(|f| snapshot.spec_of(f)).collect();
    match &intent.replace {
        Replace::Nothing | Replace::Files(_) => {}
        Replace::Partitions(touched) | Replace::Rows { partitions: touched, .. } => {
            specs.extend(touched.iter().cloned());
        }
        Replace::Table if table.schema.is_partitioned() => specs.extend(partition_specs(snapshot)),
        Replace::Table => {
            specs.insert(String::new());
        }
    }
    for dropped in drop {
        specs.remove(dropped);
    }
    specs
}

fn partition_specs(snapshot: &Snapshot) -> impl Iterator<Item = String> + '_ {
    snapshot.files().iter().map(|f| snapshot.spec_of(f))
}

pub(super) fn created_rows(table: &Table, intent: &Intent) -> Vec<Partition> {
    let now = clock::tick_ms();
    let spec = |values: &[String]| {
        let pairs = table.schema.partition_columns.iter().zip(values).map(|(c, v)| format!("{}={v}", c.name));
        pairs.collect::<Vec<_>>().join("/")
    };
    let row = |values: &Vec<String>| Partition {
        table_id: table.id.clone(),
        spec: spec(values),
        values: values.clone(),
        created_ms: now,
        ddl_ms: now,
        modified_ms: now,
        num_rows: 0,
        num_bytes: 0,
        num_files: 0,
    };
    intent.create.iter().map(row).collect()
}

/// The partition rows that `snapshot` implies: of all partitions that hold files, or exactly of those in `only`.
pub(crate) fn partition_rows(
    table: &Table,
    snapshot: &Snapshot,
    only: Option<&BTreeSet<String>>,
) -> Vec<PartitionChange> {
    let mut rows: BTreeMap<String, PartitionChange> = BTreeMap::new();
    let new_row = |spec: &str, values: Vec<String>| PartitionChange {
        spec: spec.to_string(),
        values,
        num_rows: 0,
        num_bytes: 0,
        num_files: 0,
        modified_ms: snapshot.timestamp_ms,
    };
    for spec in only.into_iter().flatten() {
        let values = spec.split('/').filter_map(|p| p.split_once('=')).map(|(_, v)| v.to_string()).collect();
        rows.insert(spec.clone(), new_row(spec, values));
    }
    if only.is_none() && !table.schema.is_partitioned() {
        rows.insert(String::new(), new_row("", Vec::new()));
    }
    // Mostly it is one partition of very many: comparing is cheaper than making every file's text.
    let single = only.filter(|o| o.len() == 1).and_then(|o| o.first());
    // The files of a partition mostly follow each other.
    for files in snapshot.files().chunk_by(|a, b| a.partition_values == b.partition_values) {
        let file = &files[0];
        if single.is_some_and(|s| !snapshot.is_in(file, s)) {
            continue;
        }
        let spec = snapshot.spec_of(file);
        if only.is_some_and(|o| !o.contains(&spec)) {
            continue;
        }
        let null = || NULL_PARTITION.to_string();
        let row = rows.entry(spec).or_insert_with_key(|spec| {
            new_row(spec, file.partition_values.iter().map(|v| v.clone().unwrap_or_else(null)).collect())
        });
        for f in files {
            row.num_rows += f.num_rows.max(0);
            row.num_bytes += f.num_bytes;
            row.num_files += 1;
        }
    }
    rows.into_values().collect()
}
