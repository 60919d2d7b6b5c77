//! A query over a partitioned table must restrict a partition column, unless `odps.sql.allow.fullscan` is on.

use std::collections::BTreeSet;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Expr, JoinType, LogicalPlan, TableScan};
use feitian_base::Result;
use feitian_sql::Position;

use super::errors;
use super::names::TARGET;
use crate::catalog::OpenTable;

/// Refuses an optimized plan that reads a partitioned table without a condition on a partition column.
pub(super) fn check(plan: &LogicalPlan, tables: &[OpenTable]) -> Result<()> {
    let mut offender: Option<&OpenTable> = None;
    // Partition columns that a query restricts, as in `ds IN (SELECT …)` and `ds = (SELECT …)`.
    let mut joined: BTreeSet<String> = BTreeSet::new();
    let look = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::Join(join) = node
            && matches!(join.join_type, JoinType::LeftSemi | JoinType::RightSemi)
        {
            let keys = join.on.iter().flat_map(|(l, r)| [l, r]).flat_map(Expr::column_refs);
            joined.extend(keys.map(|c| c.name.clone()));
        }
        if let LogicalPlan::Filter(filter) = node {
            let compared = split_conjunction(&filter.predicate).into_iter().filter(|e| has_query(e));
            let columns = compared.map(Expr::column_refs).filter(|refs| refs.len() == 1);
            joined.extend(columns.flatten().map(|c| c.name.clone()));
        }
        if let LogicalPlan::TableScan(scan) = node
            && let Some(table) = table_of(scan, tables)
            && !is_restricted(scan, table, &joined)
        {
            offender = Some(table);
            return Ok(TreeNodeRecursion::Stop);
        }
        Ok(TreeNodeRecursion::Continue)
    });
    look.map_err(errors::engine)?;
    match offender {
        None => Ok(()),
        Some(table) => {
            let (project, name) = (&table.row.project, table.row.local_name());
            let columns: Vec<_> = table.row.schema.partition_columns.iter().map(|c| c.name.as_str()).collect();
            let text = format!(
                "Table({project},{name}) is full scan with all partitions, please specify partition predicates on {}, \
                 or SET odps.sql.allow.fullscan=true to read all of them",
                columns.join(", ")
            );
            let detail = format!("physical plan generation failed: java.lang.RuntimeException: {text}");
            Err(errors::semantic(Position::UNKNOWN, detail))
        }
    }
}

/// True if a scalar query stands in `e`.
fn has_query(e: &Expr) -> bool {
    e.exists(|e| Ok(matches!(e, Expr::ScalarSubquery(_)))).unwrap_or_default()
}

fn table_of<'a>(scan: &TableScan, tables: &'a [OpenTable]) -> Option<&'a OpenTable> {
    let (project, name) = (scan.table_name.schema().unwrap_or_default(), scan.table_name.table());
    let name = name.strip_suffix(TARGET).unwrap_or(name);
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
