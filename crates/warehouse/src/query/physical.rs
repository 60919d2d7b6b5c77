//! Last changes to a physical plan, for what the engine leaves out: pauses in joins, and no spilling in nested loops.

use std::fmt;
use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::execution::disk_manager::{DiskManager, DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};

/// The plan as it is run in `environment`.
///
/// - An operator that may make many batches out of one, as joins do, pauses for the runtime between them. The engine has
///   pauses at the leaves only, so that a cross join of two small tables could not be stopped.
/// - A nested loop join does not spill. Its way to do so runs its left side a second time, which repartitioning refuses
///   with a panic, and its authors say that it repeats rows of outer, semi and anti joins. Without it, a left side that does
///   not fit is the error that says so.
pub(super) fn finish(plan: Arc<dyn ExecutionPlan>, environment: &RuntimeEnv) -> Result<Arc<dyn ExecutionPlan>> {
    let disabled = Arc::new(DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled).build()?);
    let node = |node: Arc<dyn ExecutionPlan>| {
        let node = match node.name() {
            "NestedLoopJoinExec" => without_spilling(node, &disabled, &environment.disk_manager)?,
            "UnnestExec" => node,
            _ if node.children().len() > 1 => node,
            _ => return Ok(Transformed::no(node)),
        };
        Ok(Transformed::yes(Arc::new(CooperativeExec::new(node)) as Arc<dyn ExecutionPlan>))
    };
    plan.transform_up(node).map(|t| t.data)
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
