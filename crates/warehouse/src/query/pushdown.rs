//! Filters and projections that the engine pushes down a physical plan are kept from where they do harm.
//!
//! The engine looks a filter's columns up by name on its way down. Below a join of `t` and `u` that both have a column `a`,
//! a filter of `t.a` may arrive at `u`, and rows are lost. A node whose columns have names of their own lets filters pass,
//! unless it is a semi join: that hands filters of its keys to the side that it does not show, by name again. So does an
//! aggregate whose group has the name of another column, and a union whose inputs name their columns otherwise.
//!
//! A projection that passes a merge join leaves out columns that only the join's filter reads, and moves the others: the
//! filter reads other columns then, or none.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{JoinType, Result};
use datafusion::config::ConfigOptions;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::joins::{HashJoinExec, SortMergeJoinExec};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};

type Rule = Arc<dyn PhysicalOptimizerRule + Send + Sync>;

/// The rules of the engine, with barriers for those that push filters or projections down.
pub(super) fn guarded(rules: &[Rule]) -> Vec<Rule> {
    let guard = |rule: &Rule| -> Rule {
        let stops = match rule.name() {
            name if name.starts_with("FilterPushdown") => filters_stop,
            "ProjectionPushdown" => projections_stop,
            _ => return rule.clone(),
        };
        Arc::new(Guarded { inner: rule.clone(), stops })
    };
    rules.iter().map(guard).collect()
}

/// A rule that sees barriers above the nodes that `stops` names, which nobody sees after it.
#[derive(Debug)]
struct Guarded {
    inner: Rule,
    stops: fn(&Arc<dyn ExecutionPlan>) -> bool,
}

impl PhysicalOptimizerRule for Guarded {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        lowered(self.inner.optimize(raised(plan, self.stops)?, config)?)
    }

    fn name(&self) -> &str {
        self.inner.name()
    }

    fn schema_check(&self) -> bool {
        self.inner.schema_check()
    }
}

fn raised(plan: Arc<dyn ExecutionPlan>, stops: fn(&Arc<dyn ExecutionPlan>) -> bool) -> Result<Arc<dyn ExecutionPlan>> {
    let above = |node: Arc<dyn ExecutionPlan>| {
        if !stops(&node) {
            return Ok(Transformed::no(node));
        }
        Ok(Transformed::yes(Arc::new(Barrier { input: node }) as Arc<dyn ExecutionPlan>))
    };
    plan.transform_up(above).map(|t| t.data)
}

/// Whether a node would hand a filter of one column to another one.
fn filters_stop(node: &Arc<dyn ExecutionPlan>) -> bool {
    let schema = node.schema();
    let mut names = HashSet::new();
    let has_own_names = schema.fields().iter().all(|field| names.insert(field.name().as_str()));
    !has_own_names || crosses(node) || renames(node) || mixes(node)
}

/// Whether a node is a merge join with a filter.
fn projections_stop(node: &Arc<dyn ExecutionPlan>) -> bool {
    node.downcast_ref::<SortMergeJoinExec>().is_some_and(|join| join.filter().is_some())
}

/// Whether a filter of a key may arrive at a column of the other side that is not its key.
fn crosses(node: &Arc<dyn ExecutionPlan>) -> bool {
    let Some(join) = node.downcast_ref::<HashJoinExec>() else { return false };
    let other = match join.join_type() {
        JoinType::LeftSemi => join.right().schema(),
        JoinType::RightSemi => join.left().schema(),
        _ => return false,
    };
    let name = |key: &Arc<dyn PhysicalExpr>| key.downcast_ref::<Column>().map(|c| c.name().to_string());
    join.on().iter().any(|(left, right)| {
        let is_left = *join.join_type() == JoinType::LeftSemi;
        let (shown, hidden) = if is_left { (name(left), name(right)) } else { (name(right), name(left)) };
        // A key that is no column has no filter, and one whose name the other side does not know stays where it is.
        shown != hidden && shown.is_some_and(|shown| other.index_of(&shown).is_ok())
    })
}

/// Whether a filter of a group may arrive at another column of the input.
fn renames(node: &Arc<dyn ExecutionPlan>) -> bool {
    let Some(aggregate) = node.downcast_ref::<AggregateExec>() else { return false };
    let input = aggregate.input().schema();
    aggregate.group_expr().expr().iter().any(|(group, name)| {
        let is_itself = group.downcast_ref::<Column>().is_some_and(|c| c.name() == name);
        !is_itself && input.index_of(name).is_ok()
    })
}

/// Whether a filter of a union's column may arrive at another column of one of its inputs.
fn mixes(node: &Arc<dyn ExecutionPlan>) -> bool {
    let schema = node.schema();
    let has_names = |input: &Arc<dyn ExecutionPlan>| {
        let input = input.schema();
        input.fields().iter().zip(schema.fields()).all(|(own, shown)| own.name() == shown.name())
    };
    ["UnionExec", "InterleaveExec"].contains(&node.name()) && !node.children().into_iter().all(has_names)
}

fn lowered(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let without = |node: Arc<dyn ExecutionPlan>| {
        if node.name() != Barrier::NAME {
            return Ok(Transformed::no(node));
        }
        let input = node.children().first().map(|input| Arc::clone(input));
        Ok(Transformed::yes(input.unwrap_or(node)))
    };
    plan.transform_up(without).map(|t| t.data)
}

/// Its input, which no filter or projection reaches: that is what nodes do that do not say otherwise.
#[derive(Debug)]
struct Barrier {
    input: Arc<dyn ExecutionPlan>,
}

impl Barrier {
    const NAME: &'static str = "BarrierExec";
}

impl DisplayAs for Barrier {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Self::NAME)
    }
}

impl ExecutionPlan for Barrier {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let input = children.into_iter().next().unwrap_or_else(|| self.input.clone());
        Ok(Arc::new(Self { input }))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        self.input.execute(partition, context)
    }
}
