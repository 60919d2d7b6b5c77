//! A part of a plan that is computed once, and the leaves that read its rows.
//!
//! 1. [`SharedParts`], the root of a plan, begins: each part has a state of its own from here on, which goes with the rows
//!    of this run.
//! 2. The first leaf that wants rows of a part starts it: all partitions at once, on tasks that wait for no reader.
//! 3. The rows of a partition are kept, in memory while there is room and then on disk. When all of them are there, every
//!    leaf gets them, in the partition and in the order in which they were made.
//!
//! A leaf that stops early stops alone. An error, or a panic, is told to every leaf that asks.

use std::fmt;
use std::future::ready;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::task::{Context, Poll};

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use datafusion::common::runtime::SpawnedTask;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result, Statistics};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryLimit, MemoryReservation};
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream, SpillFile, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet, SpillMetrics};
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, SpillManager};
use futures::future::{BoxFuture, Shared};
use futures::stream::BoxStream;
use futures::{FutureExt, Stream, StreamExt, TryStreamExt, stream};
use parking_lot::Mutex;

/// The parts of a plan keep so much in memory,
const MOST_BYTES: usize = 64 << 20;
/// and at most one of so many parts of what their job has: the operators that read them need the rest.
const PART_OF_MEMORY: usize = 8;
/// What goes to disk goes in files of about so much memory.
const FILE_BYTES: usize = 4 << 20;
/// Who holds the memory, in errors about it.
const CONSUMER: &str = "rows of a shared part";

/// Where the leaves of a part find it while the plan runs.
#[derive(Debug, Default)]
pub(super) struct Slot(Mutex<Weak<Part>>);

impl Slot {
    fn part(&self) -> Result<Arc<Part>> {
        let part = self.0.lock().upgrade();
        part.ok_or_else(|| DataFusionError::Internal("a shared part of a plan that does not run".into()))
    }
}

/// The rows of a partition, or why there are none.
type Outcome = std::result::Result<Arc<Kept>, Arc<DataFusionError>>;
type Partition = Shared<BoxFuture<'static, Outcome>>;

/// A part in one run of its plan.
struct Part {
    plan: Arc<dyn ExecutionPlan>,
    /// That of the root. A leaf may have another one, without a disk.
    context: Arc<TaskContext>,
    metrics: ExecutionPlanMetricsSet,
    /// The bytes that all parts of the plan keep in memory.
    in_memory: Arc<AtomicUsize>,
    /// Empty until somebody asks. The tasks end with it.
    partitions: OnceLock<Vec<Partition>>,
}

impl Part {
    fn rows(&self, partition: usize) -> Result<Partition> {
        let partitions = self.partitions.get_or_init(|| self.start());
        let found = partitions.get(partition).cloned();
        found.ok_or_else(|| DataFusionError::Internal(format!("a shared part has no partition {partition}")))
    }

    fn start(&self) -> Vec<Partition> {
        let start = |partition| {
            let spills = SpillMetrics::new(&self.metrics, partition);
            let work = kept(self.plan.clone(), partition, self.context.clone(), spills, self.in_memory.clone());
            let task = SpawnedTask::spawn(work);
            let outcome = async move {
                match task.join().await {
                    Ok(kept) => kept.map(Arc::new).map_err(Arc::new),
                    Err(e) => Err(Arc::new(DataFusionError::ExecutionJoin(Box::new(e)))),
                }
            };
            outcome.boxed().shared()
        };
        (0..partitions(&self.plan)).map(start).collect()
    }
}

fn partitions(plan: &Arc<dyn ExecutionPlan>) -> usize {
    plan.properties().output_partitioning().partition_count()
}

/// The rows of a partition, in order.
struct Kept {
    pieces: Vec<Piece>,
    /// For those in memory.
    reservation: MemoryReservation,
    disk: SpillManager,
}

enum Piece {
    Memory(RecordBatch),
    Disk(Arc<dyn SpillFile>),
}

/// Runs a partition of `plan` to its end.
async fn kept(
    plan: Arc<dyn ExecutionPlan>,
    partition: usize,
    context: Arc<TaskContext>,
    spills: SpillMetrics,
    in_memory: Arc<AtomicUsize>,
) -> Result<Kept> {
    let mut rows = plan.execute(partition, context.clone())?;
    let reservation = MemoryConsumer::new(CONSUMER).register(context.memory_pool());
    let disk = SpillManager::new(context.runtime_env(), spills, plan.schema());
    let mut kept = Kept { pieces: Vec::new(), reservation, disk };
    let most = most_bytes(&context);
    let (mut waiting, mut waiting_bytes) = (Vec::new(), 0);
    while let Some(batch) = rows.next().await {
        let batch = batch?;
        if batch.num_rows() == 0 {
            continue;
        }
        let bytes = num_bytes(&batch)?;
        if waiting.is_empty() && kept.has_room(bytes, &in_memory, most) {
            kept.pieces.push(Piece::Memory(batch));
            continue;
        }
        waiting.push(batch);
        waiting_bytes += bytes;
        if waiting_bytes >= FILE_BYTES {
            kept.write(&waiting)?;
            waiting.clear();
            waiting_bytes = 0;
        }
    }
    kept.write(&waiting)?;
    Ok(kept)
}

fn most_bytes(context: &TaskContext) -> usize {
    match context.memory_pool().memory_limit() {
        MemoryLimit::Finite(all) => MOST_BYTES.min(all / PART_OF_MEMORY),
        _ => MOST_BYTES,
    }
}

/// What the rows of `batch` take. Batches that were cut out of one share its memory: each counts its own rows.
fn num_bytes(batch: &RecordBatch) -> Result<usize> {
    let columns = batch.columns().iter().map(|column| column.to_data().get_slice_memory_size());
    let bytes: std::result::Result<usize, ArrowError> = columns.sum();
    Ok(bytes?)
}

impl Kept {
    /// Takes memory for so many bytes, if there is room for them.
    fn has_room(&self, bytes: usize, in_memory: &AtomicUsize, most: usize) -> bool {
        let before = in_memory.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) <= most && self.reservation.try_grow(bytes).is_ok() {
            return true;
        }
        in_memory.fetch_sub(bytes, Ordering::Relaxed);
        false
    }

    fn write(&mut self, batches: &[RecordBatch]) -> Result<()> {
        if batches.is_empty() {
            return Ok(());
        }
        let file = self.disk.spill_record_batch_and_finish(batches, CONSUMER)?;
        self.pieces.extend(file.map(Piece::Disk));
        Ok(())
    }

    fn piece(&self, at: usize) -> BoxStream<'static, Result<RecordBatch>> {
        match self.pieces.get(at) {
            Some(Piece::Memory(batch)) => stream::once(ready(Ok(batch.clone()))).boxed(),
            Some(Piece::Disk(file)) => match self.disk.read_spill_as_stream(file.clone(), None) {
                Ok(rows) => rows.boxed(),
                Err(e) => stream::once(ready(Err(e))).boxed(),
            },
            None => stream::empty().boxed(),
        }
    }
}

/// All rows of what is kept.
fn read(kept: Arc<Kept>) -> impl Stream<Item = Result<RecordBatch>> + Send {
    stream::iter(0..kept.pieces.len()).flat_map(move |at| kept.piece(at))
}

/// A leaf that reads the rows of a part.
#[derive(Debug)]
pub(super) struct SharedRows {
    /// The place of the part among those of the plan.
    number: usize,
    slot: Arc<Slot>,
    properties: Arc<PlanProperties>,
    /// Those of the part. They answer no query.
    statistics: Arc<Statistics>,
    metrics: ExecutionPlanMetricsSet,
}

impl SharedRows {
    /// A leaf for the part that `plan` is.
    pub(super) fn of(number: usize, plan: &Arc<dyn ExecutionPlan>, slot: Arc<Slot>) -> Self {
        let of_plan = plan.properties();
        let properties = PlanProperties::new(
            of_plan.equivalence_properties().clone(),
            of_plan.output_partitioning().clone(),
            EmissionType::Final,
            Boundedness::Bounded,
        );
        let statistics = match StatisticsContext::new().compute(plan.as_ref(), &StatisticsArgs::new()) {
            Ok(known) => known.as_ref().clone().to_inexact(),
            Err(_) => Statistics::new_unknown(&plan.schema()),
        };
        let (properties, statistics) = (Arc::new(properties), Arc::new(statistics));
        Self { number, slot, properties, statistics, metrics: ExecutionPlanMetricsSet::new() }
    }

    /// Another leaf of the same part, which counts for itself.
    pub(super) fn another(&self) -> Self {
        Self {
            number: self.number,
            slot: self.slot.clone(),
            properties: self.properties.clone(),
            statistics: self.statistics.clone(),
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }

    pub(super) fn number(&self) -> usize {
        self.number
    }
}

impl DisplayAs for SharedRows {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: part={}", self.name(), self.number + 1)
    }
}

impl ExecutionPlan for SharedRows {
    fn name(&self) -> &str {
        "SharedRowsExec"
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
        let part = self.slot.part()?;
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let rows = async move {
            let kept = part.rows(partition)?.await.map_err(DataFusionError::Shared)?;
            Ok::<_, DataFusionError>(read(kept))
        };
        let rows = stream::once(rows).try_flatten();
        let rows = rows.inspect_ok(move |batch| {
            metrics.record_output(batch.num_rows());
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn statistics_from_inputs(&self, _: &[Arc<Statistics>], args: &StatisticsArgs) -> Result<Arc<Statistics>> {
        Ok(match args.partition() {
            None => self.statistics.clone(),
            Some(_) => Arc::new(Statistics::new_unknown(&self.schema())),
        })
    }
}

/// The root of a plan with shared parts: the rows of its first input, whose leaves read those of the other inputs.
#[derive(Debug)]
pub(super) struct SharedParts {
    input: Arc<dyn ExecutionPlan>,
    parts: Vec<(Arc<dyn ExecutionPlan>, Arc<Slot>)>,
    /// What the parts wrote to disk.
    metrics: ExecutionPlanMetricsSet,
}

impl SharedParts {
    pub(super) const NAME: &'static str = "SharedPartsExec";

    /// `input` has one partition: what is shared belongs to its one run.
    pub(super) fn new(input: Arc<dyn ExecutionPlan>, parts: Vec<(Arc<dyn ExecutionPlan>, Arc<Slot>)>) -> Self {
        Self { input, parts, metrics: ExecutionPlanMetricsSet::new() }
    }
}

impl DisplayAs for SharedParts {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: parts={}", Self::NAME, self.parts.len())
    }
}

impl ExecutionPlan for SharedParts {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        (0..=self.parts.len()).map(|input| input == 0).collect()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        std::iter::once(&self.input).chain(self.parts.iter().map(|(plan, _)| plan)).collect()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let mut children = children.into_iter();
        let input = children.next().unwrap_or_else(|| self.input.clone());
        let slots = self.parts.iter().map(|(_, slot)| slot.clone());
        Ok(Arc::new(Self::new(input, children.zip(slots).collect())))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let in_memory = Arc::<AtomicUsize>::default();
        let begin = |(plan, slot): &(Arc<dyn ExecutionPlan>, Arc<Slot>)| {
            let part = Arc::new(Part {
                plan: plan.clone(),
                context: context.clone(),
                metrics: self.metrics.clone(),
                in_memory: in_memory.clone(),
                partitions: OnceLock::new(),
            });
            *slot.0.lock() = Arc::downgrade(&part);
            part
        };
        let parts = self.parts.iter().map(begin).collect();
        let rows = self.input.execute(partition, context.clone())?;
        Ok(Box::pin(Run { rows, _parts: parts }))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// The rows of a plan, with which its parts go.
struct Run {
    rows: SendableRecordBatchStream,
    _parts: Vec<Arc<Part>>,
}

impl Stream for Run {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.rows.poll_next_unpin(cx)
    }
}

impl RecordBatchStream for Run {
    fn schema(&self) -> SchemaRef {
        self.rows.schema()
    }
}
