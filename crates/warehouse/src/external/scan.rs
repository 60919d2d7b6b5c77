//! Files of a bucket inside a query: a provider that lists them, and an operator that reads each in its turn.

use std::fmt;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result as DfResult, ScalarValue};
use datafusion::datasource::TableType;
use datafusion::execution::memory_pool::MemoryPool;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
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
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectStore, ObjectStoreExt};

use super::directories::{self, Part, PartFile};
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
        self.directory_of(&self.location).await
    }

    /// The same for another place.
    pub(super) async fn directory_of(&self, location: &Location) -> Result<Directory> {
        location.check_links(&self.warehouse.config.data_dir).await?;
        Ok(Directory::new(self.warehouse.catalog.store(), location.dir().clone()))
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
        let partitions = hidden.iter().flat_map(|(table, _)| &table.schema.partition_columns);
        let fields = source.columns.iter().chain(partitions).map(|c| engine_field(c).with_nullable(true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        Self { source, schema, hidden }
    }

    /// The table, if it is partitioned.
    fn partitioned(&self) -> Option<&Table> {
        self.hidden.as_ref().map(|(table, _)| table.as_ref()).filter(|table| table.schema.is_partitioned())
    }

    /// The files to read, and of how many partitions of how many they are.
    async fn files(&self, state: &dyn Session, filters: &[Expr]) -> DfResult<(Vec<PartFile>, Option<(usize, usize)>)> {
        let Some(table) = self.partitioned() else {
            let files = self.source.directory().await.map_err(external)?.files().await.map_err(external)?;
            let whole = Arc::new(Part::default());
            let files = files.into_iter().map(|file| PartFile { file, part: whole.clone() });
            return Ok((files.collect(), None));
        };
        let columns = &table.schema.partition_columns;
        for _ in 0..directories::LOOKS {
            let (all, places) = directories::partitions(&self.source.warehouse, table).await.map_err(external)?;
            let count = all.len();
            let kept = directories::pruned(state, columns, all, filters)?;
            let files = directories::files(&self.source, columns, &kept, &places).await.map_err(external)?;
            // Of a statement whose partitions came meanwhile some files may be among these.
            let (all, places_now) = directories::partitions(&self.source.warehouse, table).await.map_err(external)?;
            let now = directories::pruned(state, columns, all, filters)?;
            let is_same = now.iter().map(|p| &p.spec).eq(kept.iter().map(|p| &p.spec));
            if is_same && places == places_now {
                return Ok((files, Some((kept.len(), count))));
            }
        }
        Err(external(directories::restless(table)))
    }

    /// Refuses a plan that needs a hidden column, be it for a filter alone: those over partitions are evaluated here.
    fn check_hidden(&self, wanted: &[usize], filters: &[Expr]) -> DfResult<()> {
        let Some((table, hidden)) = &self.hidden else { return Ok(()) };
        let read = wanted.iter().map(|place| self.schema.field(*place).name().clone());
        let asked = filters.iter().flat_map(|filter| filter.column_refs().into_iter().map(|c| c.name.clone()));
        match read.chain(asked).find(|name| hidden.contains(name)) {
            Some(name) => Err(external(rights::above_label(table, &name, Position::UNKNOWN))),
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

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> DfResult<Vec<TableProviderFilterPushDown>> {
        let columns = self.partitioned().map(|table| table.schema.partition_columns.as_slice()).unwrap_or_default();
        let of = |filter: &&Expr| match directories::prunes(filter, columns) {
            true => TableProviderFilterPushDown::Exact,
            false => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(of).collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        let wanted: Vec<usize> = projection.cloned().unwrap_or_else(|| (0..self.schema.fields().len()).collect());
        self.check_hidden(&wanted, filters)?;
        let (files, partitions) = self.files(state, filters).await?;
        let layout = Layout::new(&self.schema, self.source.columns.len(), &wanted)?;
        // At least one partition: a scan without any is not what operators over a single one accept.
        let width = state.config().target_partitions().min(files.len()).max(1);
        let mut parts = vec![Vec::new(); width];
        for (i, file) in files.into_iter().enumerate() {
            parts[i % width].push(file);
        }
        Ok(Arc::new(FilesExec::new(self.source.clone(), parts, partitions, layout, limit)))
    }
}

/// Where a column of the answer comes from.
enum Made {
    /// From the file: the column at this place among those that are read.
    File(usize),
    /// From the partition: the value of this column of it.
    Partition(usize),
}

/// The columns of the answer.
struct Layout {
    /// Places in the table of the columns that are read.
    read: Vec<usize>,
    read_schema: SchemaRef,
    made: Vec<Made>,
    schema: SchemaRef,
}

impl Layout {
    /// For the columns at places `wanted` of a table of which the first `num_columns` are in its files.
    fn new(table: &Schema, num_columns: usize, wanted: &[usize]) -> DfResult<Arc<Self>> {
        let (mut read, mut made) = (Vec::new(), Vec::with_capacity(wanted.len()));
        for place in wanted {
            made.push(match place.checked_sub(num_columns) {
                Some(of_partition) => Made::Partition(of_partition),
                None => {
                    read.push(*place);
                    Made::File(read.len() - 1)
                }
            });
        }
        let read_schema = Arc::new(table.project(&read)?);
        Ok(Arc::new(Self { read, read_schema, made, schema: Arc::new(table.project(wanted)?) }))
    }

    /// What was read as the answer has it.
    fn batch(&self, read: &RecordBatch, values: &[ScalarValue]) -> Result<RecordBatch> {
        let (num_rows, mut arrays) = (read.num_rows(), Vec::with_capacity(self.made.len()));
        for made in &self.made {
            let array = match made {
                Made::File(place) => read.columns().get(*place).cloned(),
                Made::Partition(place) => {
                    let value = values.get(*place).map(|value| value.to_array_of_size(num_rows));
                    value.transpose().map_err(crate::engine_error)?
                }
            };
            arrays.push(array.ok_or_else(|| Error::internal("a column that neither file nor partition has"))?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(num_rows));
        RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options)
            .map_err(|e| Error::internal(format!("rows of a partition: {e}")))
    }
}

/// Reads files.
struct FilesExec {
    source: Source,
    /// The files of each part of the work.
    parts: Vec<Vec<PartFile>>,
    /// Of how many partitions of the table they are, and how many it has.
    partitions: Option<(usize, usize)>,
    layout: Arc<Layout>,
    /// No partition needs to give more rows.
    limit: Option<usize>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl FilesExec {
    fn new(
        source: Source,
        parts: Vec<Vec<PartFile>>,
        partitions: Option<(usize, usize)>,
        layout: Arc<Layout>,
        limit: Option<usize>,
    ) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(layout.schema.clone()),
            Partitioning::UnknownPartitioning(parts.len()),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        let metrics = ExecutionPlanMetricsSet::new();
        Self { source, parts, partitions, layout, limit, properties: Arc::new(properties), metrics }
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
        if let Some((kept, all)) = self.partitions {
            write!(f, ", partitions={kept}/{all}")?;
        }
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
            wanted: self.layout.read.clone(),
            schema: self.layout.read_schema.clone(),
            context,
            pool: task.memory_pool().clone(),
        });
        let files = self.parts.get(partition).cloned().unwrap_or_default();
        let files = stream::iter(files.into_iter().map(Ok::<PartFile, Error>));
        let layout = self.layout.clone();
        let rows = files.and_then(move |file| open(reading.clone(), layout.clone(), file)).try_flatten();
        let rows = Box::pin(RecordBatchStreamAdapter::new(self.layout.schema.clone(), rows.map_err(external)));
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        Ok(Box::pin(LimitStream::new(rows, 0, self.limit, metrics)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// The rows of a file with the values of its partition.
async fn open(
    reading: Arc<Reading>,
    layout: Arc<Layout>,
    PartFile { file, part }: PartFile,
) -> Result<BoxStream<'static, Result<RecordBatch>>> {
    let rows = reading.open(file).await?;
    Ok(rows.map(move |batch| layout.batch(&batch?, &part.values)).boxed())
}

/// What is wanted of files.
pub(super) struct Reading {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) format: Format,
    pub(super) columns: Vec<Column>,
    /// Places of the columns that are wanted.
    pub(super) wanted: Vec<usize>,
    /// These columns, each of which may be NULL.
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
            Format::Json => {
                let got = self.store.get(&path).await.map_err(|e| unreadable(&path, e))?;
                Ok(text::read_json(path, got.into_stream(), self))
            }
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
