//! What is known of the partitions that filters leave.
#![allow(clippy::unwrap_used)]

use datafusion::logical_expr::{col, lit};
use feitian_types::TableSchema;
use object_store::memory::InMemory;

use super::*;
use crate::log::{Commit, DeltaLog, MetadataAction};
use crate::stats::hll::{Hll, hash_number};

/// Ten files of ten rows, each with its own ten values of `k`, one in each of the partitions `ds=0` to `ds=9`.
fn table() -> Arc<dyn TableProvider> {
    let schema = TableSchema {
        columns: vec![Column::new("k", DataType::BigInt)],
        partition_columns: vec![Column::new("ds", DataType::BigInt)],
    };
    let file = |n: u64| {
        let mut sketch = Hll::new();
        (10 * n..10 * n + 10).for_each(|value| sketch.add(hash_number(value)));
        let stats = serde_json::json!({"numRecords": 10, "feitianDistinct": {"k": sketch.text(8)}});
        Arc::new(DataFile {
            path: format!("ds={n}/f.parquet"),
            partition_values: vec![Some(n.to_string())],
            num_bytes: 1,
            num_rows: 10,
            modified_ms: 0,
            stats: Some(stats.to_string()),
        })
    };
    let commit = Commit {
        metadata: Some(MetadataAction { with_protocol: true, ..MetadataAction::default() }),
        add: (0..10).map(file).collect(),
        partition_columns: vec!["ds".to_string()],
        ..Commit::default()
    };
    let log = DeltaLog::new(Arc::new(InMemory::new()), "t");
    let snapshot = log.apply(&Snapshot::before_first(), &commit.to_bytes()).unwrap();
    let row = Table {
        id: "t".into(),
        project: "p".into(),
        schema_name: "default".into(),
        name: "t".into(),
        kind: "MANAGED_TABLE".into(),
        owner: "test".into(),
        location: "t".into(),
        schema,
        schema_version: 0,
        comment: String::new(),
        properties: "{}".into(),
        lifecycle: -1,
        view_text: None,
        created_ms: 0,
        ddl_ms: 0,
        modified_ms: 0,
        log_version: 0,
        dropped_ms: None,
    };
    provider_without(&OpenTable { row, snapshot: Some(Arc::new(snapshot)) }, Vec::new())
}

// Arithmetic: two of ten partitions hold 20 rows of 20 values. A share of all would be so for every choice.
#[test]
fn rows_and_values_are_those_of_the_partitions_that_filters_leave() {
    let table = table();
    let known = |filters: &[Expr]| {
        let (found, is_pruned) = statistics_of(table.as_ref(), filters).unwrap();
        let distinct: Vec<_> = found.column_statistics.iter().map(|c| c.distinct_count).collect();
        (found.num_rows, distinct, is_pruned)
    };
    let some = Precision::Inexact;
    let all = (Precision::Exact(100), vec![some(100), some(10)], false);
    let two = (Precision::Exact(20), vec![some(20), some(2)], true);
    assert_eq!(known(&[]), all);
    assert_eq!(known(&[col("t.ds").lt(lit(2_i64))]), two);
    assert_eq!(known(&[col("t.ds").lt(lit(2_i64)), col("t.k").gt(lit(5_i64))]), two);
    assert_eq!(known(&[col("t.k").gt(lit(5_i64))]), all);
    assert_eq!(known(&[col("t.ds").gt(lit(9_i64))]), (Precision::Exact(0), vec![some(0), Precision::Absent], true));
}
