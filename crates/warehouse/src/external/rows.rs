//! Inside a query: a table whose rows are in another part of the program, read in ranges of its keys.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session as EngineSession, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result as DfResult, Statistics};
use datafusion::datasource::TableType;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::limit::LimitStream;
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use feitian_base::{Error, Result};
use feitian_meta::Table;
use feitian_sql::Position;
use feitian_types::arrow::engine_field;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use tokio::sync::OnceCell;

use super::mapping::Mapping;
use super::ranges::{self, KeyName};
use super::source::{KeyRange, RowTable, SourceRead};
use crate::query::{Session, rights};

/// A table with fewer bytes is read by one task.
const WORTH_PIECES: u64 = 64 << 20;
/// What a row is thought to take, and how many rows a table has at least whose bytes nobody has counted yet.
const ROW_BYTES: u64 = 100;
const FEW_ROWS: u64 = 1000;
/// EXPLAIN shows so many ranges.
const SHOWN_RANGES: usize = 4;

/// The table as the query engine sees it, once the account of the job was found to have its instance; a plan that needs one
/// of the `hidden` columns is refused.
pub(super) async fn provider(
    session: &Session,
    table: &Table,
    mapping: Mapping,
    hidden: Vec<String>,
) -> Result<Arc<dyn TableProvider>> {
    let at = Position::UNKNOWN;
    let source = mapping.open(session, at).await?;
    let columns = &table.schema.columns;
    mapping.check_columns(columns, at)?;
    mapping.check_key(columns, source.key(), at)?;
    let key = mapping.key_names(columns);
    let fields = columns.iter().map(|c| engine_field(c).with_nullable(true));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    Ok(Arc::new(RowsScan { source, mapping, key, schema, table: Arc::new(table.clone()), hidden }))
}

struct RowsScan {
    source: Arc<dyn RowTable>,
    mapping: Mapping,
    key: Vec<KeyName>,
    schema: SchemaRef,
    table: Arc<Table>,
    hidden: Vec<String>,
}

impl RowsScan {
    /// Refuses a plan that needs a hidden column, be it for a filter alone: some are met by what is read.
    fn check_hidden(&self, wanted: &[usize], filters: &[Expr]) -> DfResult<()> {
        let read = wanted.iter().map(|place| self.schema.field(*place).name().clone());
        let asked = filters.iter().flat_map(|filter| filter.column_refs().into_iter().map(|c| c.name.clone()));
        match read.chain(asked).find(|name| self.hidden.contains(name)) {
            Some(name) => Err(external(rights::above_label(&self.table, &name, Position::UNKNOWN))),
            None => Ok(()),
        }
    }
}

fn external(e: Error) -> DataFusionError {
    DataFusionError::External(Box::new(e))
}

impl fmt::Debug for RowsScan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RowsScan({})", self.mapping.shown())
    }
}

#[async_trait]
impl TableProvider for RowsScan {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    /// About how many rows there are, for the order of joins.
    fn statistics(&self) -> Option<Statistics> {
        let num_rows = (self.source.num_bytes() / ROW_BYTES).max(FEW_ROWS);
        let num_rows = Precision::Inexact(usize::try_from(num_rows).unwrap_or(usize::MAX));
        Some(Statistics { num_rows, ..Statistics::new_unknown(&self.schema) })
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> DfResult<Vec<TableProviderFilterPushDown>> {
        Ok(filters.iter().map(|filter| ranges::pushed(&self.key, filter)).collect())
    }

    async fn scan(
        &self,
        state: &dyn EngineSession,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        let wanted: Vec<usize> = projection.cloned().unwrap_or_else(|| (0..self.schema.fields().len()).collect());
        self.check_hidden(&wanted, filters)?;
        if let Some(filter) = ranges::lost(&self.key, filters) {
            return Err(external(Error::internal(format!("the filter {filter} is no range of keys any more"))));
        }
        let schema = Arc::new(self.schema.project(&wanted)?);
        let columns = wanted.iter().filter_map(|place| self.mapping.columns.get(*place).cloned()).collect();
        let ranges = ranges::ranges(&self.key, filters);
        let width = state.config().target_partitions().max(1);
        let is_whole = ranges.first().is_some_and(KeyRange::is_whole);
        let num_bytes = if is_whole && width > 1 && limit.is_none() { self.source.num_bytes() } else { 0 };
        let work = match num_bytes >= WORTH_PIECES {
            true => Work::Pieces { width, num_bytes: num_bytes.div_ceil(width as u64), found: OnceCell::new() },
            false => Work::Ranges(dealt(ranges, width)),
        };
        let read = SourceRead { columns, schema, limit, hides_keys: !self.hidden.is_empty() };
        Ok(Arc::new(RowsExec::new(self.source.clone(), self.mapping.shown(), work, read)))
    }
}

/// The ranges for so many tasks, one at least: a scan without any is not what operators over a single one accept.
fn dealt(ranges: Vec<KeyRange>, width: usize) -> Vec<Vec<KeyRange>> {
    let width = width.min(ranges.len()).max(1);
    let mut parts = vec![Vec::new(); width];
    for (i, range) in ranges.into_iter().enumerate() {
        parts[i % width].push(range);
    }
    parts
}

/// The whole table for so many tasks.
async fn pieces(source: &Arc<dyn RowTable>, num_bytes: u64, width: usize) -> Result<Vec<Vec<KeyRange>>> {
    let mut parts = dealt(source.pieces(num_bytes).await?, width);
    parts.resize(width, Vec::new());
    Ok(parts)
}

/// Which ranges each task reads.
enum Work {
    Ranges(Vec<Vec<KeyRange>>),
    /// The whole table in pieces of so many bytes. They are looked for when it is read, not when it is planned: the source
    /// may read the table for them.
    Pieces {
        width: usize,
        num_bytes: u64,
        found: OnceCell<Vec<Vec<KeyRange>>>,
    },
}

impl Work {
    fn width(&self) -> usize {
        match self {
            Self::Ranges(parts) => parts.len(),
            Self::Pieces { width, .. } => *width,
        }
    }

    async fn of(&self, partition: usize, source: &Arc<dyn RowTable>) -> Result<Vec<KeyRange>> {
        let parts = match self {
            Self::Ranges(parts) => parts,
            Self::Pieces { width, num_bytes, found } => {
                found.get_or_try_init(|| pieces(source, *num_bytes, *width)).await?
            }
        };
        Ok(parts.get(partition).cloned().unwrap_or_default())
    }
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = match self {
            Self::Pieces { .. } => return write!(f, "ranges=all"),
            Self::Ranges(parts) => parts,
        };
        let count: usize = parts.iter().map(Vec::len).sum();
        if count == 0 {
            return write!(f, "ranges=none");
        }
        if parts.iter().flatten().all(KeyRange::is_whole) {
            return write!(f, "ranges=all");
        }
        // In the order of the keys: the first of each task, then the second of each.
        let width = parts.len();
        let in_order = (0..count).filter_map(|i| parts[i % width].get(i / width));
        let shown: Vec<String> = in_order.take(SHOWN_RANGES).map(KeyRange::to_string).collect();
        let more = if count > SHOWN_RANGES { format!(" and {} more", count - SHOWN_RANGES) } else { String::new() };
        write!(f, "ranges={}{more}", shown.join(" "))
    }
}

/// Reads ranges.
struct RowsExec {
    source: Arc<dyn RowTable>,
    name: String,
    work: Arc<Work>,
    read: Arc<SourceRead>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl RowsExec {
    fn new(source: Arc<dyn RowTable>, name: String, work: Work, read: SourceRead) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(read.schema.clone()),
            Partitioning::UnknownPartitioning(work.width()),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        let (work, read, metrics) = (Arc::new(work), Arc::new(read), ExecutionPlanMetricsSet::new());
        Self { source, name, work, read, properties: Arc::new(properties), metrics }
    }
}

impl fmt::Debug for RowsExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RowsExec({})", self.name)
    }
}

impl DisplayAs for RowsExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns: Vec<&str> = self.read.columns.iter().map(|c| c.name.as_str()).collect();
        write!(f, "ExternalRowsExec: {}, columns=[{}], {}", self.name, columns.join(", "), self.work)?;
        match self.read.limit {
            Some(limit) => write!(f, ", limit={limit}"),
            None => Ok(()),
        }
    }
}

impl ExecutionPlan for RowsExec {
    fn name(&self) -> &str {
        "ExternalRowsExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> DfResult<TreeNodeRecursion>,
    ) -> DfResult<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> DfResult<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, partition: usize, _: Arc<TaskContext>) -> DfResult<SendableRecordBatchStream> {
        let (source, work, read) = (self.source.clone(), self.work.clone(), self.read.clone());
        let rows = stream::once(async move {
            let ranges = work.of(partition, &source).await?;
            Ok::<_, Error>(in_order(source, read, ranges))
        });
        let rows = rows.try_flatten().map_err(external);
        let rows = Box::pin(RecordBatchStreamAdapter::new(self.read.schema.clone(), rows));
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        Ok(Box::pin(LimitStream::new(rows, 0, self.read.limit, metrics)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// The rows of one range after the other.
fn in_order(
    source: Arc<dyn RowTable>,
    read: Arc<SourceRead>,
    ranges: Vec<KeyRange>,
) -> BoxStream<'static, Result<RecordBatch>> {
    stream::iter(ranges).flat_map(move |range| source.scan(read.clone(), range)).boxed()
}
