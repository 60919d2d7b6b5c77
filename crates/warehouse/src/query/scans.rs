//! A query over a partitioned table must restrict a partition column, unless `odps.sql.allow.fullscan` is on.

use std::collections::BTreeSet;

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Expr, JoinType, LogicalPlan, TableScan};
use feitian_base::Result;
use feitian_sql::Position;

use super::errors;
use crate::catalog::OpenTable;

/// Refuses an optimized plan that reads a partitioned table without a condition on a partition column.
pub(super) fn check(plan: &LogicalPlan, tables: &[OpenTable]) -> Result<()> {
    let mut offender: Option<(String, String)> = None;
    // Partition columns that a semi join restricts, as in `ds IN (SELECT …)`.
    let mut joined: BTreeSet<String> = BTreeSet::new();
    let look = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::Join(join) = node
            && matches!(join.join_type, JoinType::LeftSemi | JoinType::RightSemi)
        {
            let keys = join.on.iter().flat_map(|(l, r)| [l, r]).flat_map(Expr::column_refs);
            joined.extend(keys.map(|c| c.name.clone()));
        }
        if let LogicalPlan::TableScan(scan) = node
            && let Some(table) = table_of(scan, tables)
            && !is_restricted(scan, table, &joined)
        {
            offender = Some((table.row.project.clone(), table.row.local_name()));
            return Ok(TreeNodeRecursion::Stop);
        }
        Ok(TreeNodeRecursion::Continue)
    });
    look.map_err(errors::engine)?;
    match offender {
        None => Ok(()),
        Some((project, table)) => {
            let text = format!(
                "Table({project},{table}) is full scan with all partitions, please specify partition predicates"
            );
            let detail = format!("physical plan generation failed: java.lang.RuntimeException: {text}");
            Err(errors::semantic(Position::UNKNOWN, detail))
        }
    }
}

fn table_of<'a>(scan: &TableScan, tables: &'a [OpenTable]) -> Option<&'a OpenTable> {
    let (project, name) = (scan.table_name.schema().unwrap_or_default(), scan.table_name.table());
    tables.iter().find(|t| t.row.project == project && t.row.local_name() == name)
}

fn is_restricted(scan: &TableScan, table: &OpenTable, joined: &BTreeSet<String>) -> bool {
    let columns = &table.row.schema.partition_columns;
    let is_partition = |name: &str| columns.iter().any(|c| c.name == name);
    let on_partitions = |e: &Expr| {
        let refs = e.column_refs();
        !refs.is_empty() && refs.iter().all(|c| is_partition(&c.name))
    };
    columns.is_empty()
        || scan.filters.iter().flat_map(split_conjunction).any(on_partitions)
        || columns.iter().any(|c| joined.contains(&c.name))
}
