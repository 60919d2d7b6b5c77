//! Last changes to a physical plan: pauses in joins, no spilling in nested loops, an end of recursive queries.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::execution::disk_manager::{DiskManager, DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use feitian_functions::FunctionError;

/// The plan as it is run in `environment`.
///
/// - An operator that may make many batches out of one, as joins do, pauses for the runtime between them. The engine has
///   pauses at the leaves only, so that a cross join of two small tables could not be stopped.
/// - A nested loop join does not spill. Its way to do so runs its left side a second time, which repartitioning refuses
///   with a panic, and its authors say that it repeats rows of outer, semi and anti joins. Without it, a left side that does
///   not fit is the error that says so.
/// - A recursive query that takes [`MAX_STEPS`] steps is an error: it would never end.
pub(super) fn finish(plan: Arc<dyn ExecutionPlan>, environment: &RuntimeEnv) -> Result<Arc<dyn ExecutionPlan>> {
    let disabled = Arc::new(DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled).build()?);
    let node = |node: Arc<dyn ExecutionPlan>| {
        let node = match node.name() {
            "NestedLoopJoinExec" => without_spilling(node, &disabled, &environment.disk_manager)?,
            "RecursiveQueryExec" => with_an_end(node)?,
            "UnnestExec" => node,
            _ if node.children().len() > 1 => node,
            _ => return Ok(Transformed::no(node)),
        };
        Ok(Transformed::yes(Arc::new(CooperativeExec::new(node)) as Arc<dyn ExecutionPlan>))
    };
    plan.transform_up(node).map(|t| t.data)
}

/// A recursive query runs its second part so often at most.
const MAX_STEPS: usize = 10_000;

fn with_an_end(node: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let mut children: Vec<Arc<dyn ExecutionPlan>> = node.children().into_iter().cloned().collect();
    if let Some(second) = children.last_mut() {
        *second = Arc::new(Steps { input: second.clone(), taken: Arc::default() });
    }
    node.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
}

/// The second part of a recursive query, which counts how often it is run.
#[derive(Debug)]
struct Steps {
    input: Arc<dyn ExecutionPlan>,
    /// Shared by the copies that the engine makes for each step.
    taken: Arc<AtomicUsize>,
}

impl DisplayAs for Steps {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name())
    }
}

impl ExecutionPlan for Steps {
    fn name(&self) -> &str {
        "StepsExec"
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
        Ok(Arc::new(Self { input, taken: self.taken.clone() }))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        if self.taken.fetch_add(1, Ordering::Relaxed) >= MAX_STEPS {
            let text = format!("a recursive query has not ended after {MAX_STEPS} steps; give its second part a WHERE");
            return Err(FunctionError::semantic(text).into());
        }
        self.input.execute(partition, context)
    }
}

/// The operator without spill files; what is below it keeps them.
fn without_spilling(
    node: Arc<dyn ExecutionPlan>,
    disabled: &Arc<DiskManager>,
    enabled: &Arc<DiskManager>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let children = node.children().into_iter().map(|c| OnDisk::over(c.clone(), enabled)).collect();
    let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
    Ok(OnDisk::over(node.replace_children(children, options)?, disabled))
}

/// Runs what is below it with the spill files of `disk`.
#[derive(Debug)]
struct OnDisk {
    input: Arc<dyn ExecutionPlan>,
    disk: Arc<DiskManager>,
}

impl OnDisk {
    fn over(input: Arc<dyn ExecutionPlan>, disk: &Arc<DiskManager>) -> Arc<dyn ExecutionPlan> {
        Arc::new(Self { input, disk: disk.clone() })
    }
}

impl DisplayAs for OnDisk {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name())
    }
}

impl ExecutionPlan for OnDisk {
    fn name(&self) -> &str {
        if self.disk.tmp_files_enabled() { "SpillExec" } else { "NoSpillExec" }
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
        Ok(Self::over(input, &self.disk))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let now = context.runtime_env();
        let builder = RuntimeEnvBuilder {
            disk_manager: Some(self.disk.clone()),
            memory_pool: Some(now.memory_pool.clone()),
            object_store_registry: now.object_store_registry.clone(),
            ..RuntimeEnvBuilder::new()
        };
        let context = TaskContext::new(
            context.task_id(),
            context.session_id(),
            context.session_config().clone(),
            context.scalar_functions().clone(),
            context.higher_order_functions().clone(),
            context.aggregate_functions().clone(),
            context.window_functions().clone(),
            builder.build_arc()?,
        );
        self.input.execute(partition, Arc::new(context))
    }
}
