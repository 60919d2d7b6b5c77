//! Conditions that read no column are kept above aggregates and windows.
//!
//! The engine pushes what reads groups only below an aggregate, and takes a condition without columns for such a one. But an
//! aggregate without groups has a row for no rows as well: `SELECT count(*) FROM t HAVING FALSE` would be 0. And one that is
//! not the same for each row, as `rand() < 0.5`, would choose rows instead of groups.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::Transformed;
use datafusion::logical_expr::LogicalPlan;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

type Rule = Arc<dyn OptimizerRule + Send + Sync>;

/// The rules of the engine, of which the one that pushes filters down leaves such conditions where they are.
pub(super) fn kept_above(rules: &[Rule]) -> Vec<Rule> {
    let guard = |rule: &Rule| -> Rule {
        if rule.name() == "push_down_filter" { Arc::new(KeptAbove(rule.clone())) } else { rule.clone() }
    };
    rules.iter().map(guard).collect()
}

#[derive(Debug)]
struct KeptAbove(Rule);

impl OptimizerRule for KeptAbove {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.0.apply_order()
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        if stays(&plan) { Ok(Transformed::no(plan)) } else { self.0.rewrite(plan, config) }
    }
}

fn stays(plan: &LogicalPlan) -> bool {
    let LogicalPlan::Filter(filter) = plan else { return false };
    matches!(&*filter.input, LogicalPlan::Aggregate(_) | LogicalPlan::Window(_))
        && split_conjunction(&filter.predicate).into_iter().any(|e| e.column_refs().is_empty())
}
