//! Which subtrees are shared, by plans over tables of which the number of rows is known; and how leaves get their rows.
//!
//! Each table has a hundred different keys `k`, unless it is told otherwise.
#![allow(clippy::unwrap_used)]

use std::fmt;
use std::future::{pending, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::{AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Column, ColumnStatistics, DataFusionError, JoinType, Result, Statistics, not_impl_err};
use datafusion::datasource::{TableType, provider_as_source};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::functions::math::random;
use datafusion::functions_aggregate::sum::sum_udaf;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, col, lit};
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::union::UnionExec;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, collect};
use futures::{StreamExt, TryStreamExt, stream};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::part::{SharedParts, SharedRows, Slot};
use super::{Found, find};

#[derive(Debug)]
struct Known {
    schema: SchemaRef,
    rows: usize,
    keys: usize,
}

#[async_trait]
impl TableProvider for Known {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn statistics(&self) -> Option<Statistics> {
        let column = |distinct| ColumnStatistics {
            distinct_count: Precision::Inexact(distinct),
            ..ColumnStatistics::new_unknown()
        };
        Some(Statistics {
            num_rows: Precision::Exact(self.rows),
            total_byte_size: Precision::Absent,
            column_statistics: vec![column(self.keys), column(self.rows)],
        })
    }

    async fn scan(
        &self,
        _: &dyn Session,
        _: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        not_impl_err!("nothing is read")
    }
}

/// A table with the columns `k` and `l`; a clone of it is the same table.
fn table(name: &str, rows: usize, keys: usize) -> LogicalPlanBuilder {
    let fields = ["k", "l"].map(|name| Field::new(name, DataType::Int64, true));
    let known = Known { schema: Arc::new(Schema::new(fields.to_vec())), rows, keys };
    LogicalPlanBuilder::scan(name, provider_as_source(Arc::new(known)), None).unwrap()
}

fn large(name: &str) -> LogicalPlanBuilder {
    table(name, 1_000_000, 100)
}

fn sums(input: LogicalPlanBuilder) -> LogicalPlanBuilder {
    input.aggregate(vec![col("k")], vec![sum_udaf().call(vec![col("l")])]).unwrap()
}

/// Both of them, by their keys.
fn joined(left: LogicalPlanBuilder, right: LogicalPlanBuilder) -> LogicalPlanBuilder {
    let keys = (vec![Column::from_qualified_name("a.k")], vec![Column::from_qualified_name("b.k")]);
    let right = right.alias("b").unwrap().build().unwrap();
    left.alias("a").unwrap().join(right, JoinType::Inner, keys, None).unwrap()
}

fn found(plan: LogicalPlanBuilder) -> Found {
    find(plan.build().unwrap()).unwrap()
}

/// The parts of a plan, and how many leaves read them.
fn counted(plan: LogicalPlanBuilder) -> (usize, usize) {
    let found = found(plan);
    let plans = std::iter::once(&found.plan).chain(&found.parts);
    let leaves = plans.map(|plan| plan.display_indent().to_string().matches("SharedRows").count());
    (found.parts.len(), leaves.sum())
}

#[test]
fn equal_aggregates_of_a_large_table_are_one_part() {
    let t = large("t");
    assert_eq!(counted(joined(sums(t.clone()), sums(t.clone()))), (1, 2));
    let few = |t: &LogicalPlanBuilder| t.clone().filter(col("l").gt(lit(1_i64))).unwrap();
    assert_eq!(counted(joined(sums(few(&t)), sums(few(&t)))), (1, 2));
    // What stands above one of them stays where it is.
    let having = sums(t.clone()).filter(col("k").gt(lit(1_i64))).unwrap();
    assert_eq!(counted(joined(having, sums(t))), (1, 2));
}

#[test]
fn what_differs_is_not_shared() {
    let t = large("t");
    let few = t.clone().filter(col("l").gt(lit(1_i64))).unwrap();
    assert_eq!(counted(joined(sums(t.clone()), sums(few))), (0, 0));
    // Another table, or the same at another version, under the same name.
    assert_eq!(counted(joined(sums(t), sums(large("t")))), (0, 0));
}

#[test]
fn what_is_another_thing_the_next_time_is_not_shared() {
    let t = large("t");
    let some = |t: &LogicalPlanBuilder| t.clone().filter(random().call(Vec::new()).gt(lit(0.5))).unwrap();
    assert_eq!(counted(joined(sums(some(&t)), sums(some(&t)))), (0, 0));
}

#[test]
fn what_is_soon_done_or_too_much_to_keep_is_not_shared() {
    for (rows, keys) in [(99_999, 100), (10_000_000, 10_000_000)] {
        let t = table("t", rows, keys);
        assert_eq!(counted(joined(sums(t.clone()), sums(t))), (0, 0), "{rows} {keys}");
    }
    let t = large("t");
    assert_eq!(counted(joined(t.clone(), t)), (0, 0));
}

#[test]
fn what_a_join_makes_small_is_shared_only_beside_a_copy_that_is_read_whole() {
    let t = large("t");
    let narrowed = |name: &str| {
        let keys = (vec![Column::from_qualified_name(format!("{name}.k"))], vec![Column::from_qualified_name("t.k")]);
        let right = sums(t.clone()).build().unwrap();
        let both = table(name, 2, 2).join(right, JoinType::Inner, keys, None).unwrap();
        both.project(vec![col("t.k").alias("k")]).unwrap()
    };
    assert_eq!(counted(joined(narrowed("few"), narrowed("less"))), (0, 0));
    let whole = sums(t.clone()).project(vec![col("k")]).unwrap();
    assert_eq!(counted(whole.union(narrowed("few").build().unwrap()).unwrap()), (1, 2));
}

#[test]
fn a_limit_may_stop_a_join_and_no_aggregate() {
    let t = large("t");
    let limited = |plan: LogicalPlanBuilder| plan.limit(0, Some(5)).unwrap();
    let twice = |plan: LogicalPlanBuilder| {
        let other = limited(plan.clone()).build().unwrap();
        counted(limited(plan).union(other).unwrap())
    };
    assert_eq!(twice(sums(t.clone())), (1, 2));
    let pairs = joined(table("u", 500_000, 100), table("small", 300, 300)).project(vec![col("a.k")]).unwrap();
    assert_eq!(twice(pairs.clone()), (0, 0));
    let other = pairs.clone().build().unwrap();
    assert_eq!(counted(pairs.union(other).unwrap()), (1, 2));
}

#[test]
fn the_largest_is_shared_and_what_is_left_of_it_elsewhere() {
    let (t, u) = (large("t"), large("u"));
    let both = joined(sums(t.clone()), sums(u)).project(vec![col("a.k").alias("k")]).unwrap();
    let whole = joined(both.clone(), both);
    let whole = whole.project(vec![col("a.k").alias("k")]).unwrap();
    let third = sums(t).project(vec![col("k")]).unwrap().build().unwrap();
    let found = found(whole.union(third).unwrap());
    let leaves = |plan: &LogicalPlan, part: &str| plan.display_indent().to_string().matches(part).count();
    assert_eq!(found.parts.len(), 2);
    assert_eq!((leaves(&found.plan, "part=1"), leaves(&found.plan, "part=2")), (2, 1));
    assert_eq!((leaves(&found.parts[0], "part=2"), leaves(&found.parts[1], "part=")), (1, 0));
}

/// How a partition ends.
#[derive(Debug, Clone, Copy)]
enum End {
    Well,
    Error,
    Panic,
    Never,
}

/// Two partitions of two batches each, of a thousand rows: numbers from 0 to 3.
#[derive(Debug)]
struct Source {
    end: End,
    /// Partitions that were run.
    runs: AtomicUsize,
    /// Goes with the first of them.
    guard: Mutex<Option<oneshot::Sender<()>>>,
    properties: Arc<PlanProperties>,
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true)]))
}

impl Source {
    fn new(end: End) -> Arc<Self> {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema()),
            Partitioning::UnknownPartitioning(2),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Arc::new(Self { end, runs: AtomicUsize::new(0), guard: Mutex::default(), properties: Arc::new(properties) })
    }

    fn runs(&self) -> usize {
        self.runs.load(Ordering::Relaxed)
    }
}

impl DisplayAs for Source {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name())
    }
}

impl ExecutionPlan for Source {
    fn name(&self) -> &str {
        "Source"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, partition: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let guard = self.guard.lock().take();
        self.runs.fetch_add(1, Ordering::Relaxed);
        let batch = |n: i64| -> Result<RecordBatch> {
            Ok(RecordBatch::try_new(schema(), vec![Arc::new(Int64Array::from(vec![n; 1000]))])?)
        };
        let first = 2 * partition as i64;
        let batches = stream::iter([batch(first), batch(first + 1)]);
        let end = self.end;
        let last = async move {
            let _guard = guard;
            match end {
                End::Well => None::<Result<RecordBatch>>,
                End::Error => Some(Err(DataFusionError::Execution("no more".to_string()))),
                End::Panic => panic!("no way"),
                End::Never => pending().await,
            }
        };
        let rows = batches.chain(stream::once(last).filter_map(ready));
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema(), rows)))
    }
}

/// A plan that reads `source` twice, and its two leaves.
fn shared(source: &Arc<Source>) -> (Arc<dyn ExecutionPlan>, [Arc<dyn ExecutionPlan>; 2]) {
    let part: Arc<dyn ExecutionPlan> = source.clone();
    let slot = Arc::<Slot>::default();
    let leaf = SharedRows::of(0, &part, slot.clone());
    let leaves: [Arc<dyn ExecutionPlan>; 2] = [Arc::new(leaf.another()), Arc::new(leaf)];
    let both = UnionExec::try_new(leaves.to_vec()).unwrap();
    let plan = SharedParts::new(Arc::new(CoalescePartitionsExec::new(both)), vec![(part, slot)]);
    (Arc::new(plan), leaves)
}

/// The number in each batch.
fn numbers(batches: &[RecordBatch]) -> Vec<i64> {
    batches.iter().map(|batch| batch.column(0).as_primitive::<Int64Type>().value(batch.num_rows() - 1)).collect()
}

fn sorted(batches: &[RecordBatch]) -> Vec<i64> {
    let mut numbers = numbers(batches);
    numbers.sort_unstable();
    numbers
}

#[tokio::test]
async fn a_part_is_computed_once_in_each_run() {
    let source = Source::new(End::Well);
    let (plan, _) = shared(&source);
    for run in 1..=2 {
        let rows = collect(plan.clone(), Arc::default()).await.unwrap();
        assert_eq!(sorted(&rows), [0, 0, 1, 1, 2, 2, 3, 3]);
        assert_eq!(source.runs(), 2 * run);
    }
}

#[tokio::test]
async fn a_leaf_that_stops_early_stops_alone() {
    let source = Source::new(End::Well);
    let (plan, [first, second]) = shared(&source);
    let context = Arc::<TaskContext>::default();
    let run = plan.execute(0, context.clone()).unwrap();
    let mut early = first.execute(0, context.clone()).unwrap();
    assert_eq!(numbers(&[early.next().await.unwrap().unwrap()]), [0]);
    drop(early);
    for (partition, wanted) in [(1, [2, 3]), (0, [0, 1])] {
        let rows: Vec<RecordBatch> = second.execute(partition, context.clone()).unwrap().try_collect().await.unwrap();
        assert_eq!(numbers(&rows), wanted);
    }
    assert_eq!(source.runs(), 2);
    // What is kept goes with the rows of the plan.
    drop(run);
    assert!(second.execute(0, context).is_err());
}

#[tokio::test]
async fn an_error_and_a_panic_are_told_to_every_leaf() {
    for (end, wanted) in [(End::Error, "no more"), (End::Panic, "no way")] {
        let (plan, leaves) = shared(&Source::new(end));
        let context = Arc::<TaskContext>::default();
        let _run = plan.execute(0, context.clone()).unwrap();
        for leaf in leaves {
            let error = leaf.execute(1, context.clone()).unwrap().next().await.unwrap().unwrap_err();
            assert!(error.to_string().contains(wanted), "{error}");
        }
    }
    let (plan, _) = shared(&Source::new(End::Error));
    let error = collect(plan, Arc::default()).await.unwrap_err();
    assert!(matches!(error.find_root(), DataFusionError::Execution(_)), "{error:?}");
}

#[tokio::test]
async fn the_work_ends_when_nobody_waits_for_the_plan() {
    let source = Source::new(End::Never);
    let (sender, receiver) = oneshot::channel();
    *source.guard.lock() = Some(sender);
    let (plan, [leaf, _]) = shared(&source);
    let context = Arc::<TaskContext>::default();
    let run = plan.execute(0, context.clone()).unwrap();
    let mut rows = leaf.execute(0, context).unwrap();
    assert!(futures::poll!(rows.next()).is_pending());
    while source.runs() < 2 {
        tokio::task::yield_now().await;
    }
    drop(run);
    drop(rows);
    assert!(receiver.await.is_err());
}

// Arithmetic: a thousand numbers are 8,000 bytes, and an eighth of the memory is 4,096.
#[tokio::test]
async fn what_does_not_fit_into_memory_waits_on_disk() {
    let environment = RuntimeEnvBuilder::new().with_memory_limit(32 << 10, 1.0).build_arc().unwrap();
    let context = Arc::new(TaskContext::default().with_runtime(environment.clone()));
    let (plan, _) = shared(&Source::new(End::Well));
    let rows = collect(plan.clone(), context).await.unwrap();
    assert_eq!(sorted(&rows), [0, 0, 1, 1, 2, 2, 3, 3]);
    assert!(rows.iter().all(|batch| batch.num_rows() == 1000));
    assert!(plan.metrics().unwrap().spilled_bytes().unwrap() > 32_000);
    assert_eq!(environment.memory_pool.reserved(), 0);
}

#[tokio::test]
async fn what_fits_is_counted_while_the_plan_runs() {
    let environment = RuntimeEnvBuilder::new().with_memory_limit(1 << 20, 1.0).build_arc().unwrap();
    let context = Arc::new(TaskContext::default().with_runtime(environment.clone()));
    let (plan, [leaf, _]) = shared(&Source::new(End::Well));
    let run = plan.execute(0, context.clone()).unwrap();
    for partition in 0..2 {
        let rows: Vec<RecordBatch> = leaf.execute(partition, context.clone()).unwrap().try_collect().await.unwrap();
        assert_eq!(rows.len(), 2);
    }
    // Arithmetic: four thousand numbers, of which each leaf has the same.
    assert_eq!(environment.memory_pool.reserved(), 32_000);
    drop(run);
    // Tasks that end are let go of by the runtime.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(environment.memory_pool.reserved(), 0);
    assert_eq!(plan.metrics().unwrap().spilled_bytes().unwrap_or(0), 0);
}
