//! Rows without columns are not sorted: one is as another, and arrow's `take_record_batch` fails on them.
//!
//! They are below a window of `ORDER BY rand()` whose query reads no column.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::config::ConfigOptions;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};

/// Takes sorts of rows without columns away. It comes after the rules that ask for the order that the sort gives.
#[derive(Debug)]
pub(super) struct Unsorted;

impl PhysicalOptimizerRule for Unsorted {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let without = |node: Arc<dyn ExecutionPlan>| match node.downcast_ref::<SortExec>() {
            Some(sort) if is_idle(sort) => Ok(Transformed::yes(sort.input().clone())),
            _ => Ok(Transformed::no(node)),
        };
        plan.transform_up(without).map(|t| t.data)
    }

    fn name(&self) -> &str {
        "unsorted"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// A sort that also merges partitions or keeps only some rows does more than give an order.
fn is_idle(sort: &SortExec) -> bool {
    let one = sort.preserve_partitioning() || sort.input().output_partitioning().partition_count() == 1;
    sort.schema().fields().is_empty() && sort.fetch().is_none() && one
}
