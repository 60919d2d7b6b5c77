//! Sorts what has to be sorted where a plan no longer shows that it is.
//!
//! The engine leaves a sort out where its key is constant. A rule that comes after may take the column away, or the filter,
//! that showed it: the engine refuses such a plan then, before it runs.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::config::ConfigOptions;
use datafusion::physical_expr::LexOrdering;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};

/// Adds the rule before the engine's that refuses.
pub(super) fn add(rules: &mut Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>>) {
    let at = rules.iter().position(|rule| rule.name() == "SanityCheckPlan").unwrap_or(rules.len());
    rules.insert(at, Arc::new(Sorted));
}

#[derive(Debug)]
struct Sorted;

impl PhysicalOptimizerRule for Sorted {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(with_sorted_inputs).map(|t| t.data)
    }

    fn name(&self) -> &str {
        "sorted"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn with_sorted_inputs(node: Arc<dyn ExecutionPlan>) -> Result<Transformed<Arc<dyn ExecutionPlan>>> {
    let mut inputs: Vec<_> = node.children().into_iter().cloned().collect();
    let mut changed = false;
    for (input, needed) in inputs.iter_mut().zip(node.required_input_ordering()) {
        let Some(needed) = needed.map(|needed| needed.into_single()) else { continue };
        if input.equivalence_properties().ordering_satisfy_requirement(needed.clone())? {
            continue;
        }
        let sort = SortExec::new(LexOrdering::from(needed), input.clone());
        *input = Arc::new(sort.with_preserve_partitioning(input.output_partitioning().partition_count() > 1));
        changed = true;
    }
    Ok(if changed { Transformed::yes(replace_children_if_necessary(node, inputs)?) } else { Transformed::no(node) })
}
