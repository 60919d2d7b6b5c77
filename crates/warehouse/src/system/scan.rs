//! A system table as the query engine sees it: a provider that takes conditions, and an operator that reads pages.

use std::fmt;
use std::sync::Arc;

use arrow::compute::SortOptions;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result as DfResult;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::TableType;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_expr::expressions::Column as ColumnExpr;
use datafusion::physical_expr::{EquivalenceProperties, LexOrdering, Partitioning, PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::limit::LimitStream;
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};

use super::ask::Ask;
use super::viewer::Viewer;
use super::{Reading, SystemTable};
use crate::Warehouse;

/// Rows that are read from the metadata at once.
const PAGE: usize = 1000;

/// A system table with the eyes of one account.
pub(super) struct SystemProvider {
    pub(super) table: SystemTable,
    pub(super) schema: SchemaRef,
    pub(super) viewer: Arc<Viewer>,
    pub(super) warehouse: Warehouse,
}

impl fmt::Debug for SystemProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SystemProvider({})", self.table.name())
    }
}

#[async_trait]
impl TableProvider for SystemProvider {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> DfResult<Vec<TableProviderFilterPushDown>> {
        let of = |filter: &&Expr| match Ask::knows(self.table, filter) {
            true => TableProviderFilterPushDown::Exact,
            false => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(of).collect())
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        let wanted: Vec<usize> = projection.cloned().unwrap_or_else(|| (0..self.schema.fields().len()).collect());
        let schema = Arc::new(self.schema.project(&wanted)?);
        let reading = Reading {
            table: self.table,
            ask: Ask::of(self.table, filters),
            viewer: self.viewer.clone(),
            warehouse: self.warehouse.clone(),
            wanted,
            page_rows: 0,
        };
        Ok(Arc::new(SystemScan::new(reading, schema, limit)))
    }
}

/// Reads a system table.
struct SystemScan {
    reading: Reading,
    limit: Option<usize>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl SystemScan {
    fn new(reading: Reading, schema: SchemaRef, limit: Option<usize>) -> Self {
        let equivalences = match order(reading.table, &schema) {
            Some(order) => EquivalenceProperties::new_with_orderings(schema, [order]),
            None => EquivalenceProperties::new(schema),
        };
        let properties = PlanProperties::new(
            equivalences,
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Self { reading, limit, properties: Arc::new(properties), metrics: ExecutionPlanMetricsSet::new() }
    }
}

/// Jobs come newest first. Knowing it, the engine does not sort a whole history for its newest ten.
fn order(table: SystemTable, schema: &SchemaRef) -> Option<LexOrdering> {
    if table != SystemTable::Instances {
        return None;
    }
    let options = SortOptions { descending: true, nulls_first: false };
    let falling = |name: &str| {
        let at = schema.index_of(name).ok()?;
        Some(PhysicalSortExpr::new(Arc::new(ColumnExpr::new(name, at)), options))
    };
    LexOrdering::new([falling("submit_time")?].into_iter().chain(falling("instance_id")))
}

impl fmt::Debug for SystemScan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SystemScan({})", self.reading.table.name())
    }
}

impl DisplayAs for SystemScan {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let table = self.reading.table;
        write!(f, "SystemScanExec: {}.{}{}", table.project(), table.name(), self.reading.ask)?;
        match self.limit {
            Some(limit) => write!(f, ", limit={limit}"),
            None => Ok(()),
        }
    }
}

impl ExecutionPlan for SystemScan {
    fn name(&self) -> &str {
        "SystemScanExec"
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
        // A page has no more rows than are wanted, so that a question for ten reads ten.
        let page_rows = self.limit.unwrap_or(PAGE).clamp(1, PAGE) as i64;
        let rows = Reading { page_rows, ..self.reading.clone() }.open(self.schema());
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        Ok(Box::pin(LimitStream::new(rows, 0, self.limit, metrics)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn with_fetch(&self, limit: Option<usize>) -> Option<Arc<dyn ExecutionPlan>> {
        Some(Arc::new(Self {
            reading: self.reading.clone(),
            limit,
            properties: self.properties.clone(),
            metrics: self.metrics.clone(),
        }))
    }

    fn fetch(&self) -> Option<usize> {
        self.limit
    }
}
