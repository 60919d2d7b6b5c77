//! Rows that rise by a key, each partition's within a range of keys of its own.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::SortOptions;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{Partitioning, PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties};
use feitian_base::Error;
use futures::StreamExt;
use futures::stream::try_unfold;

use crate::stats::rising::{rises, up_to};

/// The keys above `after`, up to `to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    /// `None` stands for all that are less.
    pub(super) after: Option<i64>,
    /// `None` stands for all that are greater.
    pub(super) to: Option<i64>,
}

/// Of the rows of each partition of `input`, which rise by a key, those within its range. Files that touch are read by two
/// partitions, each of which leaves the other's rows out.
#[derive(Debug)]
pub(super) struct KeyRanges {
    input: Arc<dyn ExecutionPlan>,
    /// The place of the key among the columns.
    key: usize,
    /// One for each partition.
    ranges: Arc<[Range]>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl KeyRanges {
    /// `input` has as many partitions as there are ranges.
    pub(super) fn over(input: Arc<dyn ExecutionPlan>, key: usize, ranges: Arc<[Range]>) -> Self {
        let mut known = input.equivalence_properties().clone();
        let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(input.schema().field(key).name(), key));
        // There are no NULLs. Where the engine sorts, they are the smallest.
        let options = SortOptions { descending: false, nulls_first: true };
        known.add_ordering([PhysicalSortExpr::new(column, options)]);
        let properties = PlanProperties::new(
            known,
            Partitioning::UnknownPartitioning(ranges.len()),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Self { input, key, ranges, properties: Arc::new(properties), metrics: ExecutionPlanMetricsSet::new() }
    }
}

impl DisplayAs for KeyRanges {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let schema = self.input.schema();
        write!(f, "KeyRangesExec: order=[{}@{} ASC], ranges=[", schema.field(self.key).name(), self.key)?;
        for (i, range) in self.ranges.iter().enumerate() {
            let comma = if i > 0 { ", " } else { "" };
            match range.to {
                Some(to) => write!(f, "{comma}..={to}")?,
                None => write!(f, "{comma}..")?,
            }
        }
        write!(f, "]")
    }
}

impl ExecutionPlan for KeyRanges {
    fn name(&self) -> &str {
        "KeyRangesExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    /// The files of a partition belong to its range.
    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
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
        Ok(Arc::new(Self::over(input, self.key, self.ranges.clone())))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let Some(range) = self.ranges.get(partition).copied() else {
            return Err(DataFusionError::Internal(format!("there is no range of keys for partition {partition}")));
        };
        let input = self.input.execute(partition, context)?;
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let within = Within { key: self.key, range, last: None, is_over: false };
        let rows = try_unfold((input, within, metrics), |(mut input, mut within, metrics)| async move {
            while !within.is_over {
                let Some(batch) = input.next().await.transpose()? else { break };
                let kept = {
                    let _timer = metrics.elapsed_compute().timer();
                    within.keep(&batch)?
                };
                if kept.num_rows() > 0 {
                    metrics.record_output(kept.num_rows());
                    return Ok(Some((kept, (input, within, metrics))));
                }
            }
            Ok::<_, DataFusionError>(None)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// What one partition has read.
struct Within {
    key: usize,
    range: Range,
    last: Option<i64>,
    /// A key above the range has come: all that follow are.
    is_over: bool,
}

impl Within {
    /// The rows of a batch that are within the range. Rows that do not rise are an error, since answers would be wrong.
    fn keep(&mut self, batch: &RecordBatch) -> Result<RecordBatch> {
        let keys = batch.column(self.key);
        if !rises(keys, &mut self.last) {
            let name = batch.schema().field(self.key).name().clone();
            let text = format!(
                "the rows of a file are not in the order of column '{name}', as the table's log says; \
                 SET odps.optimizer.enable.ordered.groups=false does without it"
            );
            return Err(DataFusionError::External(Box::new(Error::internal(text))));
        }
        let from = self.range.after.map_or(0, |after| up_to(keys, after));
        let to = self.range.to.map_or(batch.num_rows(), |to| up_to(keys, to));
        self.is_over = to < batch.num_rows();
        Ok(batch.slice(from.min(to), to.saturating_sub(from)))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use arrow::array::{Array, AsArray, Int64Array};
    use arrow::datatypes::{DataType, Field, Int64Type, Schema};
    use datafusion::datasource::memory::MemorySourceConfig;
    use datafusion::physical_plan::{collect_partitioned, displayable};

    use super::*;

    fn batch(keys: Vec<Option<i64>>) -> RecordBatch {
        let schema = Arc::new(Schema::new(vec![Field::new("k", DataType::Int64, true)]));
        RecordBatch::try_new(schema, vec![Arc::new(Int64Array::from(keys))]).unwrap()
    }

    /// The partitions hold these batches, and are to give what is within these ranges.
    fn plan(partitions: &[&[&[i64]]], ranges: &[Range]) -> Arc<dyn ExecutionPlan> {
        let batches = |batches: &&[&[i64]]| -> Vec<RecordBatch> {
            batches.iter().map(|keys| batch(keys.iter().copied().map(Some).collect())).collect()
        };
        let batches: Vec<Vec<RecordBatch>> = partitions.iter().map(batches).collect();
        let input = MemorySourceConfig::try_new_exec(&batches, batch(Vec::new()).schema(), None).unwrap();
        Arc::new(KeyRanges::over(input, 0, ranges.into()))
    }

    async fn keys(partitions: &[&[&[i64]]], ranges: &[Range]) -> Result<Vec<Vec<i64>>> {
        let rows = collect_partitioned(plan(partitions, ranges), Arc::new(TaskContext::default())).await?;
        let keys = |batch: &RecordBatch| batch.column(0).as_primitive::<Int64Type>().values().to_vec();
        Ok(rows.iter().map(|batches| batches.iter().flat_map(keys).collect()).collect())
    }

    // Arithmetic: the file of 5, 5 and 6 is read by both, and each row is given once.
    #[tokio::test]
    async fn each_key_is_within_one_range() {
        let ranges = [Range { after: None, to: Some(5) }, Range { after: Some(5), to: None }];
        let shared: &[i64] = &[5, 5, 6];
        let found = keys(&[&[&[1, 2], &[2, 5], shared], &[shared, &[9]]], &ranges).await.unwrap();
        assert_eq!(found, [vec![1, 2, 2, 5, 5, 5], vec![6, 9]]);
        let none = keys(&[&[&[7], &[8]], &[&[5], &[5]]], &ranges).await.unwrap();
        assert_eq!(none, [Vec::<i64>::new(), Vec::new()]);
        let all = [Range { after: None, to: None }];
        assert_eq!(keys(&[&[&[i64::MIN, i64::MAX]]], &all).await.unwrap(), [[i64::MIN, i64::MAX]]);
    }

    #[tokio::test]
    async fn rows_that_do_not_rise_are_an_error() {
        let all = [Range { after: None, to: None }];
        let falling: [[&[i64]; 2]; 2] = [[&[2, 1], &[3]], [&[1, 2], &[1]]];
        for batches in falling {
            assert!(keys(&[&batches], &all).await.unwrap_err().to_string().contains("not in the order of column 'k'"));
        }
        let mut within = Within { key: 0, range: all[0], last: None, is_over: false };
        assert!(within.keep(&batch(vec![Some(1), None])).is_err());
    }

    #[test]
    fn nothing_is_read_behind_the_range() {
        let range = Range { after: Some(1), to: Some(3) };
        let mut within = Within { key: 0, range, last: None, is_over: false };
        let kept = within.keep(&batch(vec![Some(1), Some(2), Some(3)])).unwrap();
        assert_eq!((kept.num_rows(), within.is_over), (2, false));
        let kept = within.keep(&batch(vec![Some(3), Some(4)])).unwrap();
        assert_eq!((kept.num_rows(), kept.column(0).len(), within.is_over), (1, 1, true));
    }

    #[test]
    fn the_order_is_shown_and_known() {
        let ranges = [Range { after: None, to: Some(5) }, Range { after: Some(5), to: None }];
        let plan = plan(&[&[], &[]], &ranges);
        let shown = displayable(plan.as_ref()).indent(false).to_string();
        assert!(shown.starts_with("KeyRangesExec: order=[k@0 ASC], ranges=[..=5, ..]"), "{shown}");
        assert!(plan.output_ordering().is_some());
        assert_eq!(plan.output_partitioning().partition_count(), 2);
    }
}
