//! Hash joins with one table of their smaller side for all workers, so that the rows of the other side stay where they are.
//!
//! The engine gives each worker a table of its own unless one side is tiny, and hands every row of both sides to the worker
//! of its key. To hand a row out costs about as much as to keep one. One table is made by one worker while the others wait,
//! which is made up for when the other side has many more rows, and soon with few workers.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::config::ConfigOptions;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::joins::{HashJoinExec, PartitionMode};
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};

/// More rows are kept by all workers.
const MOST_ROWS: usize = 4 << 20;
/// The same where texts are among them: the engine makes one batch of a table's rows, and a column of one ends at 2 GiB.
const MOST_ROWS_WITH_TEXTS: usize = 2 << 20;
/// How many times as many rows the other side has, for each worker that waits.
const OTHER_ROWS: usize = 2;

/// Chooses one table for all workers where that is sooner done, before the rule that looks at the smaller side alone.
#[derive(Debug)]
pub(super) struct OneTable;

impl PhysicalOptimizerRule for OneTable {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let workers = config.execution.target_partitions;
        let node = |node: Arc<dyn ExecutionPlan>| match with_one_table(&node, workers)? {
            Some(join) => Ok(Transformed::yes(join)),
            None => Ok(Transformed::no(node)),
        };
        plan.transform_up(node).map(|t| t.data)
    }

    fn name(&self) -> &str {
        "one_table"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn with_one_table(node: &Arc<dyn ExecutionPlan>, workers: usize) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let Some(join) = node.downcast_ref::<HashJoinExec>() else { return Ok(None) };
    if !matches!(join.partition_mode(), PartitionMode::Auto) {
        return Ok(None);
    }
    let has_texts = join.left().schema().fields().iter().any(|f| f.data_type().primitive_width().is_none());
    let most = if has_texts { MOST_ROWS_WITH_TEXTS } else { MOST_ROWS };
    match (rows(join.left()), rows(join.right())) {
        (Some(kept), Some(other)) if kept <= most && is_worth_it(kept, other, workers) => {
            join.builder().with_partition_mode(PartitionMode::CollectLeft).build_exec().map(Some)
        }
        _ => Ok(None),
    }
}

fn is_worth_it(kept: usize, other: usize, workers: usize) -> bool {
    kept.saturating_mul(workers.saturating_sub(1)).saturating_mul(OTHER_ROWS) <= other
}

/// What the engine expects of `plan`, if it knows something.
fn rows(plan: &Arc<dyn ExecutionPlan>) -> Option<usize> {
    let statistics = StatisticsContext::new().compute(plan.as_ref(), &StatisticsArgs::new()).ok()?;
    statistics.num_rows.get_value().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    // Arithmetic: a million rows kept by one of two workers let the other one wait, and two million are the other side.
    #[test]
    fn few_workers_share_a_table_sooner_than_many() {
        const MILLION: usize = 1_000_000;
        assert!(is_worth_it(MILLION, 2 * MILLION, 2));
        assert!(!is_worth_it(MILLION, 2 * MILLION - 1, 2));
        assert!(is_worth_it(MILLION, 30 * MILLION, 16) && !is_worth_it(MILLION, 29 * MILLION, 16));
        assert!(is_worth_it(MILLION, 0, 1));
    }
}
