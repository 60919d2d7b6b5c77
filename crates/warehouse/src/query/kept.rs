//! Hash joins with one table of their smaller side for all workers, so that the rows of the other side stay where they are.
//!
//! The engine gives each worker a table of its own unless one side is tiny, and hands every row of both sides to the worker
//! of its key. To hand a row out costs about as much as to keep one. One table is made by one worker while the others wait,
//! which is made up for when the other side has many more rows, and soon with few workers. A worker that never asks for the
//! table must not let the others wait.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::config::ConfigOptions;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
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

/// Takes the filter from joins with one table where it would come too late: it comes when all workers have asked for the
/// table, and those who have wait for the others. A join whose rows are handed out by key passes over a worker that has none
/// to look for, and a join below it is never asked by that one.
#[derive(Debug)]
pub(super) struct NoWaiting;

impl PhysicalOptimizerRule for NoWaiting {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        without_waiting(&plan, false)
    }

    fn name(&self) -> &str {
        "no_waiting"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// `is_skipped` says that some workers may never ask for their part of `plan`.
fn without_waiting(plan: &Arc<dyn ExecutionPlan>, is_skipped: bool) -> Result<Arc<dyn ExecutionPlan>> {
    let join = plan.downcast_ref::<HashJoinExec>();
    let is_by_key = join.is_some_and(|join| matches!(join.partition_mode(), PartitionMode::Partitioned));
    let skips = |child: usize| match plan.name() {
        // They ask for all parts themselves.
        "RepartitionExec" | "CoalescePartitionsExec" | "SortPreservingMergeExec" => false,
        "SortMergeJoinExec" => true,
        _ => is_skipped || (is_by_key && child == 1),
    };
    let children = plan.children().into_iter().enumerate();
    let children = children.map(|(i, child)| without_waiting(child, skips(i))).collect::<Result<Vec<_>>>()?;
    let plan = replace_children_if_necessary(plan.clone(), children)?;
    if let Some(join) = plan.downcast_ref::<HashJoinExec>().filter(|join| is_skipped && waits(join)) {
        return join.builder().reset_state().build_exec();
    }
    Ok(plan)
}

fn waits(join: &HashJoinExec) -> bool {
    let workers = join.right().properties().output_partitioning().partition_count();
    let has_one_table = matches!(join.partition_mode(), PartitionMode::CollectLeft);
    has_one_table && workers > 1 && !join.dynamic_expressions_produced().is_empty()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use arrow::datatypes::{DataType, Field, Schema};
    use datafusion::common::tree_node::TreeNodeRecursion;
    use datafusion::common::{JoinType, NullEquality};
    use datafusion::physical_expr::expressions::{Column, DynamicFilterPhysicalExpr, lit};
    use datafusion::physical_expr::{Partitioning, PhysicalExpr};
    use datafusion::physical_plan::empty::EmptyExec;
    use datafusion::physical_plan::repartition::RepartitionExec;

    use super::*;

    fn key() -> Arc<dyn PhysicalExpr> {
        Arc::new(Column::new("k", 0))
    }

    /// A table for two workers.
    fn table() -> Arc<dyn ExecutionPlan> {
        let schema = Schema::new(vec![Field::new("k", DataType::Int64, true)]);
        Arc::new(EmptyExec::new(Arc::new(schema)).with_partitions(2))
    }

    fn join(right: Arc<dyn ExecutionPlan>, mode: PartitionMode) -> Arc<dyn ExecutionPlan> {
        let on = vec![(key(), key())];
        let equality = NullEquality::NullEqualsNothing;
        let join = HashJoinExec::try_new(table(), right, on, None, &JoinType::RightSemi, None, mode, equality, false);
        let filter = DynamicFilterPhysicalExpr::new(vec![key()], lit(true));
        Arc::new(join.unwrap().with_dynamic_filter_expr(Arc::new(filter)).unwrap())
    }

    /// The filters that the joins of `plan` keep.
    fn filters(plan: Arc<dyn ExecutionPlan>) -> usize {
        let mut found = 0;
        let plan = NoWaiting.optimize(plan, &ConfigOptions::new()).unwrap();
        plan.apply(|node| {
            found += node.dynamic_expressions_produced().len();
            Ok(TreeNodeRecursion::Continue)
        })
        .unwrap();
        found
    }

    #[test]
    fn a_join_that_a_worker_may_pass_over_has_no_filter_to_wait_for() {
        let one_table = || join(table(), PartitionMode::CollectLeft);
        assert_eq!(filters(join(one_table(), PartitionMode::Partitioned)), 1);
        assert_eq!(filters(join(one_table(), PartitionMode::CollectLeft)), 2);
        let shared_out = RepartitionExec::try_new(one_table(), Partitioning::Hash(vec![key()], 2)).unwrap();
        assert_eq!(filters(join(Arc::new(shared_out), PartitionMode::Partitioned)), 2);
    }

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
