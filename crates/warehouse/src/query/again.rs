//! A query whose hash joins do not fit into memory runs again, with joins of sorted rows, which spill.
//!
//! 1. The query runs as it is planned. A hash join keeps one of its sides in memory and cannot spill.
//! 2. Memory ends before the first row has left the plan: the plan goes, and what it kept in memory with it.
//! 3. The query is planned once more, over the same versions of its tables. Hash joins whose keys can be sorted sort, and
//!    what stands in it twice is computed twice.
//! 4. Its rows are the query's. Nobody has seen one before, so that none comes twice.
//!
//! Memory that ends after the first row, or for the second time, is the error that says so.

use std::fmt;
use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::compute::SortOptions;
use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, JoinType, Result as DfResult};
use datafusion::config::ConfigOptions;
use datafusion::execution::session_state::SessionState;
use datafusion::execution::{SendableRecordBatchStream, SessionStateBuilder, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::joins::{HashJoinExec, SortMergeJoinExec};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, execute_stream};
use feitian_base::Result;
use futures::{StreamExt, TryStreamExt, stream};

use super::select::{gathered, physical_plan};
use super::{Planned, Session, errors, shared};
use crate::jobs::Run;

/// A plan is let go by its tasks where they wait next: so often it is looked whether they have.
const LOOKS: usize = 500;
const BETWEEN_LOOKS: Duration = Duration::from_millis(10);
/// What a sort keeps for merging what it has spilled. The engine's own is the greatest: too much for many sorts in little
/// memory.
const LEAST_FOR_MERGING: usize = 64 << 10;
const MOST_FOR_MERGING: usize = 10 << 20;
/// How many sorts may keep so much at once.
const SORTS: usize = 24;
/// What each worker has at least: a sort that holds less than a batch or two does not get on.
const WORKER_BYTES: usize = 32 << 20;

/// Starts `plan`, which is that of `planned`.
pub(super) fn run(
    session: &Session,
    state: &SessionState,
    planned: Planned,
    plan: Arc<dyn ExecutionPlan>,
) -> Result<SendableRecordBatchStream> {
    let run = session.progress.begin(&plan);
    let may_sort = has(&plan, "HashJoinExec") && !session.settings.sorts_joins();
    let shares = has(&plan, shared::PARTS);
    let rows = run.clone().counted(execute_stream(plan, state.task_ctx()).map_err(errors::engine)?);
    if !may_sort && !shares {
        return Ok(rows);
    }
    let schema = rows.schema();
    let first = First { session: session.clone(), state: state.clone(), planned, run, shares };
    let rows = stream::once(first.rows(rows)).try_flatten();
    Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
}

fn has(plan: &Arc<dyn ExecutionPlan>, name: &str) -> bool {
    plan.exists(|node| Ok(node.name() == name)).unwrap_or(false)
}

/// The first run of a query.
struct First {
    session: Session,
    state: SessionState,
    planned: Planned,
    run: Arc<Run>,
    /// A part of it was computed once for several that read it.
    shares: bool,
}

impl First {
    /// Step 1: its rows, or those of the second run.
    async fn rows(self, mut rows: SendableRecordBatchStream) -> DfResult<SendableRecordBatchStream> {
        let schema = rows.schema();
        let first = loop {
            match rows.next().await {
                // It tells nobody anything.
                Some(Ok(batch)) if batch.num_rows() == 0 => {}
                other => break other,
            }
        };
        match first {
            None => Ok(Box::pin(RecordBatchStreamAdapter::new(schema, stream::empty::<DfResult<RecordBatch>>()))),
            Some(Ok(batch)) => {
                let rows = stream::once(ready(Ok(batch))).chain(rows);
                Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
            }
            Some(Err(e)) if matches!(e.find_root(), DataFusionError::ResourcesExhausted(_)) => {
                drop(rows);
                self.again(e).await
            }
            Some(Err(e)) => Err(e),
        }
    }

    /// Steps 2 and 3, after the error `e`. It stays the error when there is nothing to sort and nothing was shared.
    async fn again(mut self, e: DataFusionError) -> DfResult<SendableRecordBatchStream> {
        self.run.forget_plan();
        let pool = self.state.runtime_env().memory_pool.clone();
        for _ in 0..LOOKS {
            if pool.reserved() == 0 {
                break;
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
        // Rows that are kept for others take memory, too.
        self.session.settings.share_nothing();
        let state = sorting(self.state, self.session.warehouse.config.memory_per_instance);
        let plan = physical_plan(&self.session, &state, &self.planned).await;
        let plan = plan.map_err(|e| DataFusionError::External(Box::new(e)))?;
        if !self.shares && !has(&plan, "SortMergeJoinExec") {
            return Err(e);
        }
        tracing::info!(error = %e, "memory is too little for hash joins; the query runs again and sorts");
        let plan: Arc<dyn ExecutionPlan> = Arc::new(Again { input: gathered(plan) });
        let run = self.session.progress.begin_again(&self.run, &plan);
        Ok(run.counted(execute_stream(plan, state.task_ctx())?))
    }
}

/// Batches have at most a row for so many bytes of memory, since each run that is merged has batches in memory, and the first
/// sort takes as many runs as there is room for;
const BATCHES: usize = 64 << 10;
/// and so many at least.
const LEAST_ROWS: usize = 512;

/// The same session, whose joins sort where they can, for instances of so much memory.
pub(super) fn sorting(state: SessionState, memory: usize) -> SessionState {
    let rows = state.config().batch_size().min((memory / BATCHES).max(LEAST_ROWS));
    let mut config = state.config().clone().with_batch_size(rows);
    let for_merging = (memory / SORTS).clamp(LEAST_FOR_MERGING, MOST_FOR_MERGING);
    let workers = (memory / WORKER_BYTES).clamp(1, config.target_partitions().max(1));
    let options = &mut config.options_mut().execution;
    (options.sort_spill_reservation_bytes, options.target_partitions) = (for_merging, workers);
    // It comes before the rules that choose how hash joins run, and those that sort what has to be sorted.
    let mut rules = state.physical_optimizers().to_vec();
    rules.insert(0, Arc::new(SortedJoins));
    let builder = SessionStateBuilder::new_from_existing(state).with_config(config);
    builder.with_physical_optimizer_rules(rules).build()
}

/// Makes merge joins of hash joins.
#[derive(Debug)]
struct SortedJoins;

impl PhysicalOptimizerRule for SortedJoins {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> DfResult<Arc<dyn ExecutionPlan>> {
        let node = |node: Arc<dyn ExecutionPlan>| match sorted(&node)? {
            Some(join) => Ok(Transformed::yes(join)),
            None => Ok(Transformed::no(node)),
        };
        plan.transform_up(node).map(|t| t.data)
    }

    fn name(&self) -> &str {
        "sorted_joins"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn sorted(node: &Arc<dyn ExecutionPlan>) -> DfResult<Option<Arc<dyn ExecutionPlan>>> {
    let Some(join) = node.downcast_ref::<HashJoinExec>().filter(|join| can_sort(join)) else { return Ok(None) };
    let join = SortMergeJoinExec::try_new(
        join.left().clone(),
        join.right().clone(),
        join.on().to_vec(),
        join.filter().cloned(),
        *join.join_type(),
        vec![SortOptions::default(); join.on().len()],
        join.null_equality(),
    )?;
    Ok(Some(Arc::new(join)))
}

/// Whether a merge join gives the rows of `join`: it knows nothing of NOT IN, and a full one with a filter stays as it is.
fn can_sort(join: &HashJoinExec) -> bool {
    use JoinType as J;
    let kind = match join.join_type() {
        J::Inner | J::Left | J::Right | J::LeftSemi | J::RightSemi | J::LeftAnti | J::RightAnti => true,
        J::Full => join.filter().is_none(),
        J::LeftMark | J::RightMark => false,
    };
    let (left, right) = (join.left().schema(), join.right().schema());
    let is_sortable = |(l, r): &(Arc<dyn PhysicalExpr>, Arc<dyn PhysicalExpr>)| matches!((l.data_type(&left), r.data_type(&right)), (Ok(l), Ok(r)) if l == r && has_order(&l));
    kind && !join.null_aware
        && !join.contains_projection()
        && join.fetch().is_none()
        && join.on().iter().all(is_sortable)
}

/// The types that a merge join compares. It panics on NaN, so that FLOAT and DOUBLE are not among them.
fn has_order(ty: &DataType) -> bool {
    use DataType as T;
    ty.is_integer()
        || matches!(ty, T::Boolean | T::Date32 | T::Timestamp(_, None) | T::Decimal128(..))
        || matches!(ty, T::Utf8 | T::Utf8View | T::LargeUtf8 | T::Binary | T::BinaryView | T::LargeBinary)
}

/// Its input, which is the second plan of a query. It is there to be seen in the job's profile.
#[derive(Debug)]
struct Again {
    input: Arc<dyn ExecutionPlan>,
}

impl DisplayAs for Again {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: memory was too little for hash joins, this plan sorts", self.name())
    }
}

impl ExecutionPlan for Again {
    fn name(&self) -> &str {
        "AgainExec"
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
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> DfResult<TreeNodeRecursion>,
    ) -> DfResult<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> DfResult<Arc<dyn ExecutionPlan>> {
        let input = children.into_iter().next().unwrap_or_else(|| self.input.clone());
        Ok(Arc::new(Self { input }))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> DfResult<SendableRecordBatchStream> {
        self.input.execute(partition, context)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use arrow::datatypes::{Field, Schema};
    use datafusion::common::NullEquality;
    use datafusion::physical_expr::expressions::Column;
    use datafusion::physical_plan::empty::EmptyExec;
    use datafusion::physical_plan::joins::PartitionMode;

    use super::*;

    /// A join of two tables by a column of this type each; what it becomes.
    fn planned(ty: &DataType, kind: JoinType, null_aware: bool) -> String {
        let schema = Arc::new(Schema::new(vec![Field::new("k", ty.clone(), true)]));
        let table = || -> Arc<dyn ExecutionPlan> { Arc::new(EmptyExec::new(schema.clone())) };
        let key = || -> Arc<dyn PhysicalExpr> { Arc::new(Column::new("k", 0)) };
        let join = HashJoinExec::try_new(
            table(),
            table(),
            vec![(key(), key())],
            None,
            &kind,
            None,
            PartitionMode::CollectLeft,
            NullEquality::NullEqualsNothing,
            null_aware,
        );
        let plan = SortedJoins.optimize(Arc::new(join.unwrap()), &ConfigOptions::new()).unwrap();
        plan.name().to_string()
    }

    #[test]
    fn joins_whose_keys_have_an_order_sort() {
        for ty in [DataType::Int64, DataType::Utf8, DataType::Date32, DataType::Decimal128(38, 18)] {
            for kind in [JoinType::Inner, JoinType::Left, JoinType::Full, JoinType::LeftAnti, JoinType::RightSemi] {
                assert_eq!(planned(&ty, kind, false), "SortMergeJoinExec", "{ty} {kind}");
            }
        }
    }

    #[test]
    fn joins_that_a_merge_join_gets_wrong_stay() {
        for ty in [DataType::Float32, DataType::Float64] {
            assert_eq!(planned(&ty, JoinType::Inner, false), "HashJoinExec", "{ty}");
        }
        assert_eq!(planned(&DataType::Int64, JoinType::LeftMark, false), "HashJoinExec");
        assert_eq!(planned(&DataType::Int64, JoinType::LeftAnti, true), "HashJoinExec");
    }
}
