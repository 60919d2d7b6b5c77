//! Files of a bucket inside a query: a provider that lists them, and an operator that reads each in its turn.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result as DfResult};
use datafusion::datasource::TableType;
use datafusion::execution::memory_pool::MemoryPool;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::Expr;
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::limit::LimitStream;
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use feitian_base::{Error, Result};
use feitian_functions::Context;
use feitian_meta::Table;
use feitian_sql::Position;
use feitian_types::Column;
use feitian_types::arrow::engine_field;
use futures::TryStreamExt;
use futures::stream::{self, BoxStream};
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectStore, ObjectStoreExt};

use super::files::{Directory, Found};
use super::format::Format;
use super::location::Location;
use super::{parquet, text, unreadable};
use crate::Warehouse;
use crate::query::rights;

/// Files, and what is in them.
#[derive(Clone)]
pub(super) struct Source {
    pub(super) warehouse: Warehouse,
    pub(super) location: Location,
    pub(super) format: Format,
    pub(super) columns: Vec<Column>,
}

impl Source {
    /// The directory, unless a symbolic link leads to it.
    pub(super) async fn directory(&self) -> Result<Directory> {
        self.location.check_links(&self.warehouse.config.data_dir).await?;
        Ok(Directory::new(self.warehouse.catalog.store(), self.location.dir().clone()))
    }
}

/// The files as a table.
pub(super) struct FilesScan {
    source: Source,
    schema: SchemaRef,
    /// The table whose rows they are, and those of its columns that are not for the one who asks.
    hidden: Option<(Arc<Table>, Vec<String>)>,
}

impl FilesScan {
    pub(super) fn new(source: Source, hidden: Option<(Arc<Table>, Vec<String>)>) -> Self {
        let fields: Vec<_> = source.columns.iter().map(|c| engine_field(c).with_nullable(true)).collect();
        Self { source, schema: Arc::new(Schema::new(fields)), hidden }
    }

    /// Refuses a plan that needs a hidden column. A filter is evaluated above, so that its columns are read, too.
    fn check_hidden(&self, wanted: &[usize]) -> DfResult<()> {
        let Some((table, hidden)) = &self.hidden else { return Ok(()) };
        let mut names = wanted.iter().map(|place| self.schema.field(*place).name());
        match names.find(|name| hidden.contains(name)) {
            Some(name) => Err(external(rights::above_label(table, name, Position::UNKNOWN))),
            None => Ok(()),
        }
    }
}

fn external(e: Error) -> DataFusionError {
    DataFusionError::External(Box::new(e))
}

impl fmt::Debug for FilesScan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FilesScan({})", self.source.location.text())
    }
}

#[async_trait]
impl TableProvider for FilesScan {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        let wanted: Vec<usize> = projection.cloned().unwrap_or_else(|| (0..self.schema.fields().len()).collect());
        self.check_hidden(&wanted)?;
        let directory = self.source.directory().await.map_err(external)?;
        let files = directory.files().await.map_err(external)?;
        let schema = Arc::new(self.schema.project(&wanted)?);
        // At least one partition: a scan without any is not what operators over a single one accept.
        let width = state.config().target_partitions().min(files.len()).max(1);
        let mut parts = vec![Vec::new(); width];
        for (i, file) in files.into_iter().enumerate() {
            parts[i % width].push(file);
        }
        Ok(Arc::new(FilesExec::new(self.source.clone(), parts, wanted, schema, limit)))
    }
}

/// Reads files.
struct FilesExec {
    source: Source,
    /// The files of each partition.
    parts: Vec<Vec<Found>>,
    wanted: Vec<usize>,
    schema: SchemaRef,
    /// No partition needs to give more rows.
    limit: Option<usize>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl FilesExec {
    fn new(
        source: Source,
        parts: Vec<Vec<Found>>,
        wanted: Vec<usize>,
        schema: SchemaRef,
        limit: Option<usize>,
    ) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema.clone()),
            Partitioning::UnknownPartitioning(parts.len()),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        let metrics = ExecutionPlanMetricsSet::new();
        Self { source, parts, wanted, schema, limit, properties: Arc::new(properties), metrics }
    }
}

impl fmt::Debug for FilesExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FilesExec({})", self.source.location.text())
    }
}

impl DisplayAs for FilesExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files: usize = self.parts.iter().map(Vec::len).sum();
        write!(f, "ExternalFilesExec: {}, files={files}", self.source.location.text())?;
        match self.limit {
            Some(limit) => write!(f, ", limit={limit}"),
            None => Ok(()),
        }
    }
}

impl ExecutionPlan for FilesExec {
    fn name(&self) -> &str {
        "ExternalFilesExec"
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

    fn execute(&self, partition: usize, task: Arc<TaskContext>) -> DfResult<SendableRecordBatchStream> {
        let mut context = Context::of(task.session_config().options())?;
        // A value that is no such thing is an error, whatever CAST makes of it.
        context.strict = true;
        let reading = Arc::new(Reading {
            store: self.source.warehouse.catalog.store(),
            format: self.source.format.clone(),
            columns: self.source.columns.clone(),
            wanted: self.wanted.clone(),
            schema: self.schema.clone(),
            context,
            pool: task.memory_pool().clone(),
        });
        let files = self.parts.get(partition).cloned().unwrap_or_default();
        let files = stream::iter(files.into_iter().map(Ok::<Found, Error>));
        let rows = files.and_then(move |file| reading.clone().open(file)).try_flatten().map_err(external);
        let rows = Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), rows));
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        Ok(Box::pin(LimitStream::new(rows, 0, self.limit, metrics)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// What is wanted of files.
pub(super) struct Reading {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) format: Format,
    pub(super) columns: Vec<Column>,
    /// Places of the columns that are wanted.
    pub(super) wanted: Vec<usize>,
    /// The wanted columns, each of which may be NULL.
    pub(super) schema: SchemaRef,
    pub(super) context: Context,
    pub(super) pool: Arc<dyn MemoryPool>,
}

impl Reading {
    /// The rows of a file.
    async fn open(self: Arc<Self>, file: Found) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        let path = self.place(file.path, file.or).await?;
        match self.format.clone() {
            Format::Parquet => parquet::read(path, file.num_bytes, self).await,
            Format::Text(format) => {
                let got = self.store.get(&path).await.map_err(|e| unreadable(&path, e))?;
                Ok(text::read(path, got.into_stream(), self, format))
            }
        }
    }

    /// The name under which a file is by now.
    async fn place(&self, path: Path, or: Option<Path>) -> Result<Path> {
        let Some(or) = or else { return Ok(path) };
        match self.store.head(&path).await {
            Err(StoreError::NotFound { .. }) => Ok(or),
            // It may get its name until it is opened; then the statement fails and can be run again.
            _ => Ok(path),
        }
    }
}
