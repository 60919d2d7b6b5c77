//! Reading a table inside a query: partition pruning, a Parquet scan over the snapshot's files, and the way back from
//! disk form to engine form.
//!
//! The scan of any file is a plain `DataSourceExec` over Parquet files, so that it can be cut into slices.

mod counted;
mod statistics;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType as ArrowType, Field, FieldRef, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, DataFusionError, Result as DfResult, ScalarValue, Statistics};
use datafusion::datasource::TableType;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema as FileTableSchema;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{ColumnarValue, Expr, TableProviderFilterPushDown};
use datafusion::physical_expr::expressions::Column as ColumnExpr;
use datafusion::physical_expr::{PhysicalExpr, create_physical_expr, projection::ProjectionExpr};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::projection::ProjectionExec;
use feitian_meta::Table;
use feitian_sql::Position;
use feitian_types::arrow::{engine_field, engine_type};
use feitian_types::{Column, DataType};
use object_store::ObjectMeta;
use parking_lot::Mutex;
use parquet::arrow::RowNumber;

use self::counted::CountedRows;
use crate::catalog::{Catalog, OpenTable, STORE_URL};
use crate::disk;
use crate::log::{DataFile, Snapshot};
use crate::query::rights;
use crate::writer::{NULL_PARTITION, object_path};

/// The column that tells where the file of a row stands in [`Snapshot::files`], in [`provider_of_places`].
pub(crate) const FILE_COLUMN: &str = "__feitian_file";
/// The column that tells the number of a row in its file, from 0.
pub(crate) const ROW_COLUMN: &str = "__feitian_row";

/// The table as the query engine sees it: engine-form columns, then partition columns.
pub fn provider(table: &OpenTable, _catalog: &Catalog) -> Arc<dyn TableProvider> {
    provider_without(table, Vec::new())
}

/// The same, of which `hidden` columns are not read: a plan that needs one is refused.
pub(crate) fn provider_without(table: &OpenTable, hidden: Vec<String>) -> Arc<dyn TableProvider> {
    Arc::new(TableScan::new(table, Vec::new(), hidden))
}

/// The same, then [`FILE_COLUMN`] and [`ROW_COLUMN`], which tell each row from every other.
pub(crate) fn provider_of_places(table: &OpenTable, hidden: Vec<String>) -> Arc<dyn TableProvider> {
    Arc::new(TableScan::new(table, vec![place_field(FILE_COLUMN), place_field(ROW_COLUMN)], hidden))
}

/// What is known of the rows of a scan with these filters, and whether those on partitions are counted in.
pub(crate) fn statistics_of(table: &dyn TableProvider, filters: &[Expr]) -> Option<(Statistics, bool)> {
    let pruned = table.downcast_ref::<TableScan>().and_then(|scan| scan.pruned_statistics(filters));
    match pruned {
        Some(statistics) => Some((statistics, true)),
        None => table.statistics().map(|statistics| (statistics, false)),
    }
}

/// The Parquet reader fills a field of this extension type.
fn place_field(name: &str) -> Field {
    let field = Field::new(name, ArrowType::Int64, true);
    if name == ROW_COLUMN { field.with_extension_type(RowNumber) } else { field }
}

struct TableScan {
    schema: SchemaRef,
    columns: Vec<Column>,
    partition_columns: Vec<Column>,
    /// The fields of a row's place, if they are wanted.
    places: Vec<FieldRef>,
    /// Columns that are not for the one who asks.
    hidden: Vec<String>,
    row: Arc<Table>,
    snapshot: Arc<Snapshot>,
    /// Read when the planner first asks for them.
    statistics: OnceLock<Statistics>,
    /// The same of the partitions that filters leave; `None` for those that cannot be looked at. Each join asks again.
    pruned: Mutex<Vec<(Vec<Expr>, Option<Statistics>)>>,
}

impl fmt::Debug for TableScan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TableScan({} at version {})", self.row.location, self.snapshot.version)
    }
}

/// How a filter can be used before rows are read.
enum Use {
    /// It names partition columns only: it picks files and need not be checked again.
    Partitions,
    /// It names stored columns only, in their stored form: Parquet statistics may skip pages.
    Pages,
    No,
}

impl TableScan {
    fn new(table: &OpenTable, places: Vec<Field>, hidden: Vec<String>) -> Self {
        let columns = table.row.schema.columns.clone();
        let partition_columns = table.row.schema.partition_columns.clone();
        let fields = columns.iter().chain(&partition_columns).map(engine_field).chain(places.iter().cloned());
        Self {
            schema: Arc::new(Schema::new(fields.collect::<Vec<_>>())),
            columns,
            partition_columns,
            places: places.into_iter().map(Arc::new).collect(),
            hidden,
            row: Arc::new(table.row.clone()),
            snapshot: table.snapshot.clone().unwrap_or_default(),
            statistics: OnceLock::new(),
            pruned: Mutex::default(),
        }
    }

    fn use_of(&self, filter: &Expr) -> Use {
        let columns = filter.column_refs();
        let plain = !filter.is_volatile() && !has_subquery(filter) && !columns.is_empty();
        let is_partition = |name: &str| self.partition_columns.iter().any(|c| c.name == name);
        let is_stored = |name: &str| self.columns.iter().any(|c| c.name == name && stored_as_is(&c.ty));
        if plain && columns.iter().all(|c| is_partition(&c.name)) {
            Use::Partitions
        } else if plain && columns.iter().all(|c| is_partition(&c.name) || is_stored(&c.name)) {
            Use::Pages
        } else {
            Use::No
        }
    }

    /// Those of the filters that name partition columns only.
    fn on_partitions(&self, filters: &[Expr]) -> Vec<Expr> {
        filters.iter().filter(|f| matches!(self.use_of(f), Use::Partitions)).cloned().collect()
    }

    /// The files whose partition values satisfy the filters, of which `plan` makes what can be computed.
    fn pick_files(
        &self,
        filters: &[Expr],
        plan: impl FnOnce(Expr, &DFSchema) -> DfResult<Arc<dyn PhysicalExpr>>,
    ) -> DfResult<Vec<Arc<DataFile>>> {
        let on_partitions = self.on_partitions(filters);
        let Some(filter) = conjunction(on_partitions) else { return Ok(self.snapshot.files().to_vec()) };
        // The files of a partition mostly follow each other: each run of them is looked at once.
        let runs: Vec<&[Arc<DataFile>]> =
            self.snapshot.files().chunk_by(|a, b| a.partition_values == b.partition_values).collect();
        if runs.is_empty() {
            return Ok(Vec::new());
        }
        let schema = Schema::new(self.partition_columns.iter().map(engine_field).collect::<Vec<_>>());
        let mut arrays: Vec<ArrayRef> = Vec::new();
        for (i, c) in self.partition_columns.iter().enumerate() {
            arrays.push(values_of(c, runs.iter().map(|run| run[0].partition_values[i].as_deref()))?);
        }
        let relaxed: Vec<_> = schema.fields().iter().map(|f| f.as_ref().clone().with_nullable(true)).collect();
        let schema = Arc::new(Schema::new(relaxed));
        let batch = RecordBatch::try_new(schema.clone(), arrays)?;
        let df_schema = DFSchema::try_from(schema.as_ref().clone())?;
        let filter = unqualified(filter)?;
        let keep = plan(filter, &df_schema)?.evaluate(&batch)?.into_array(runs.len())?;
        let keep = keep.as_boolean();
        let kept = runs.iter().enumerate().filter(|(i, _)| keep.is_valid(*i) && keep.value(*i));
        Ok(kept.flat_map(|(_, run)| run.iter().cloned()).collect())
    }

    /// What is known of the partitions that the filters leave; `None` if they leave all of them, or cannot be looked at before
    /// the query runs.
    fn pruned_statistics(&self, filters: &[Expr]) -> Option<Statistics> {
        let filters = self.on_partitions(filters);
        let calls = |e: &Expr| e.exists(|e| Ok(matches!(e, Expr::ScalarFunction(_)))).unwrap_or(true);
        if filters.is_empty() || filters.iter().any(calls) {
            return None;
        }
        let mut pruned = self.pruned.lock();
        if let Some((_, found)) = pruned.iter().find(|(known, _)| *known == filters) {
            return found.clone();
        }
        let (props, context) = (ExecutionProps::new(), PhysicalPlanningContext::default());
        let plan = |filter: Expr, schema: &DFSchema| create_physical_expr(&filter, schema, &props, &context);
        let files = self.pick_files(&filters, plan).ok();
        let found = files.map(|files| statistics::of_table(&files, &self.schema, &self.columns));
        pruned.push((filters, found.clone()));
        found
    }

    /// Refuses a plan that needs a hidden column, be it for a filter alone.
    fn check_hidden(&self, wanted: &[usize], filters: &[Expr]) -> DfResult<()> {
        if self.hidden.is_empty() {
            return Ok(());
        }
        let read = wanted.iter().map(|i| self.schema.field(*i).name().clone());
        let asked = filters.iter().flat_map(|f| f.column_refs().into_iter().map(|c| c.name.clone()));
        match read.chain(asked).find(|name| self.hidden.contains(name)) {
            Some(name) => {
                let e = rights::above_label(&self.row, &name, Position::UNKNOWN);
                Err(DataFusionError::External(Box::new(e)))
            }
            None => Ok(()),
        }
    }

    /// The rows that need no reading: none, or so many of which nothing is wanted, if the log counts those of all files.
    fn known(
        &self,
        files: &[Arc<DataFile>],
        wanted: &[usize],
        filters: &[Expr],
    ) -> DfResult<Option<Arc<dyn ExecutionPlan>>> {
        if files.is_empty() {
            // One empty partition: a scan without any is not what operators over a single partition accept.
            return Ok(Some(Arc::new(EmptyExec::new(Arc::new(self.schema.project(wanted)?)))));
        }
        if !wanted.is_empty() || !filters.iter().all(|f| matches!(self.use_of(f), Use::Partitions)) {
            return Ok(None);
        }
        let counted = files.iter().try_fold((0, 0), |(rows, bytes), f| {
            Some((rows + usize::try_from(f.num_rows).ok()?, bytes + f.num_bytes.max(0).unsigned_abs()))
        });
        Ok(counted.map(|(rows, bytes)| Arc::new(CountedRows::new(rows, bytes)) as Arc<dyn ExecutionPlan>))
    }

    /// The file as the engine reads it. What the log says of it goes with it, for `query::rising`.
    fn partitioned_file(&self, file: &Arc<DataFile>, num_columns: usize) -> PartitionedFile {
        let modified = chrono::DateTime::from_timestamp_millis(file.modified_ms).unwrap_or_default();
        let meta = ObjectMeta {
            location: object_path(&self.row.location, &file.path),
            last_modified: modified,
            size: file.num_bytes.max(0) as u64,
            e_tag: None,
            version: None,
        };
        let values = self.partition_columns.iter().zip(&file.partition_values).map(|(c, v)| scalar(c, v.as_deref()));
        let place = |_: &FieldRef| self.snapshot.place_of(&file.path).and_then(|place| i64::try_from(place).ok());
        let values = values.chain(self.places.first().map(place).map(ScalarValue::Int64));
        let mut out = PartitionedFile::new_from_meta(meta).with_partition_values(values.collect());
        out = out.with_extension(file.clone());
        if file.num_rows >= 0 {
            let unknown = datafusion::common::ColumnStatistics::new_unknown();
            out = out.with_statistics(Arc::new(Statistics {
                num_rows: Precision::Exact(file.num_rows as usize),
                total_byte_size: Precision::Absent,
                column_statistics: vec![unknown; num_columns],
            }));
        }
        out
    }
}

/// True when the scan can hand the Parquet column to the query as it is, at most widened by a cast.
fn stored_as_is(ty: &DataType) -> bool {
    matches!(ty, DataType::Datetime) || !disk::is_converted(ty)
}

/// Filters come with the table's name before their columns; here there is one table only.
pub(crate) fn unqualified(filter: Expr) -> DfResult<Expr> {
    use datafusion::common::tree_node::Transformed;
    let strip = |e: Expr| match e {
        Expr::Column(mut c) if c.relation.is_some() => {
            c.relation = None;
            Ok(Transformed::yes(Expr::Column(c)))
        }
        other => Ok(Transformed::no(other)),
    };
    filter.transform(strip).map(|t| t.data)
}

pub(crate) fn has_subquery(filter: &Expr) -> bool {
    let mut found = false;
    let _ = filter.apply(|e| {
        found |= matches!(
            e,
            Expr::ScalarSubquery(_) | Expr::InSubquery(_) | Expr::Exists(_) | Expr::OuterReferenceColumn(..)
        );
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    found
}

/// A partition value in its column's type; NULL when it is not of that type.
pub(crate) fn scalar(column: &Column, value: Option<&str>) -> ScalarValue {
    let ty = engine_type(&column.ty);
    let null = || ScalarValue::try_from(&ty).unwrap_or(ScalarValue::Null);
    match value {
        None => null(),
        Some(NULL_PARTITION) if ty != ArrowType::Utf8 => null(),
        Some(v) => ScalarValue::try_from_string(v.to_string(), &ty).unwrap_or_else(|_| null()),
    }
}

/// Partition values as an array of their column's type.
fn values_of<'a>(column: &Column, values: impl Iterator<Item = Option<&'a str>>) -> DfResult<ArrayRef> {
    match engine_type(&column.ty) {
        // What [`scalar`] gives, without a value of its own for each of very many partitions.
        ArrowType::Utf8 => Ok(Arc::new(values.collect::<StringArray>())),
        _ => ScalarValue::iter_to_array(values.map(|v| scalar(column, v))),
    }
}

#[async_trait]
impl TableProvider for TableScan {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> DfResult<Vec<TableProviderFilterPushDown>> {
        let of = |f: &&Expr| match self.use_of(f) {
            Use::Partitions => TableProviderFilterPushDown::Exact,
            Use::Pages => TableProviderFilterPushDown::Inexact,
            Use::No => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(of).collect())
    }

    fn statistics(&self) -> Option<Statistics> {
        let files = self.snapshot.files();
        let found = self.statistics.get_or_init(|| statistics::of_table(files, &self.schema, &self.columns));
        Some(found.clone())
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
        let files = self.pick_files(filters, |filter, schema| state.create_physical_expr(filter, schema))?;
        if let Some(known) = self.known(&files, &wanted, filters)? {
            return Ok(known);
        }
        let (file_fields, place) = self.file_fields();
        let num_file_fields = file_fields.len();
        let (of_file, of_row) = self.places.split_at(self.places.len().min(1));
        let partition_fields = self.partition_columns.iter().map(|c| Arc::new(engine_field(c).with_nullable(true)));
        let partition_fields: Vec<FieldRef> = partition_fields.chain(of_file.iter().cloned()).collect();
        let num_columns = num_file_fields + partition_fields.len() + of_row.len();
        // What to read, and how each wanted column is made of it.
        let (mut read, mut made) = (Vec::new(), Vec::new());
        for i in &wanted {
            match self.columns.get(*i) {
                Some(c) => {
                    let at = place[c.name.as_str()];
                    let width = if stored_as_is(&c.ty) { 1 } else { disk::disk_fields_of([c]).len() };
                    made.push((c.name.as_str(), Some(c).filter(|c| !stored_as_is(&c.ty)), read.len(), width));
                    read.extend(at..at + width);
                }
                None => {
                    made.push((self.schema.field(*i).name().as_str(), None, read.len(), 1));
                    read.push(num_file_fields + i - self.columns.len());
                }
            }
        }
        let group = FileGroup::new(files.iter().map(|f| self.partitioned_file(f, num_columns)).collect());
        let file_schema = Arc::new(Schema::new(file_fields));
        let table_schema = FileTableSchema::builder(file_schema)
            .with_table_partition_cols(partition_fields)
            .with_virtual_columns(of_row.to_vec())
            .build();
        let statistics = statistics::of_files(&files, table_schema.table_schema(), &self.columns, &read);
        let source = ParquetSource::new(table_schema);
        let config = FileScanConfigBuilder::new(ObjectStoreUrl::parse(STORE_URL)?, Arc::new(source))
            .with_file_groups(vec![group])
            .with_projection_indices(Some(read))?
            .with_statistics(if limit.is_some() { statistics.to_inexact() } else { statistics })
            .with_limit(limit)
            .build();
        let scan: Arc<dyn ExecutionPlan> = DataSourceExec::from_data_source(config);
        if made.iter().all(|(_, converted, _, _)| converted.is_none()) {
            return Ok(scan);
        }
        let input = scan.schema();
        let column = |at: usize| Arc::new(ColumnExpr::new(input.field(at).name(), at)) as Arc<dyn PhysicalExpr>;
        let expressions = made.iter().map(|(name, converted, at, width)| {
            let expr = match converted {
                None => column(*at),
                Some(c) => {
                    let parts = (0..*width).map(|k| column(at + k)).collect();
                    Arc::new(ToEngine { column: (*c).clone(), parts }) as Arc<dyn PhysicalExpr>
                }
            };
            ProjectionExpr::new(expr, name.to_string())
        });
        Ok(Arc::new(ProjectionExec::try_new(expressions.collect::<Vec<_>>(), scan)?))
    }
}

impl TableScan {
    /// The fields of the files, and where those of each column begin.
    fn file_fields(&self) -> (Vec<FieldRef>, HashMap<&str, usize>) {
        let (mut fields, mut place): (Vec<FieldRef>, _) = (Vec::new(), HashMap::new());
        for c in &self.columns {
            place.insert(c.name.as_str(), fields.len());
            if stored_as_is(&c.ty) {
                fields.push(Arc::new(engine_field(c)));
            } else {
                fields.extend(disk::disk_fields_of([c]));
            }
        }
        (fields, place)
    }
}

/// Makes one engine-form column out of its disk columns.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ToEngine {
    column: Column,
    parts: Vec<Arc<dyn PhysicalExpr>>,
}

impl std::hash::Hash for ToEngine {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.column.name.hash(state);
        self.parts.hash(state);
    }
}

impl fmt::Display for ToEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "to_engine({})", self.column.name)
    }
}

impl PhysicalExpr for ToEngine {
    fn return_field(&self, _input: &Schema) -> DfResult<FieldRef> {
        Ok(Arc::new(engine_field(&self.column)))
    }

    fn evaluate(&self, batch: &RecordBatch) -> DfResult<ColumnarValue> {
        let rows = batch.num_rows();
        let parts =
            self.parts.iter().map(|p| p.evaluate(batch)?.into_array(rows)).collect::<DfResult<Vec<ArrayRef>>>()?;
        let main = parts.first().ok_or_else(|| DataFusionError::Internal("to_engine without a column".into()))?;
        disk::column_to_engine(&self.column.ty, main, parts.get(1))
            .map(ColumnarValue::Array)
            .map_err(|e| DataFusionError::External(Box::new(e)))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        self.parts.iter().collect()
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn PhysicalExpr>>) -> DfResult<Arc<dyn PhysicalExpr>> {
        Ok(Arc::new(Self { column: self.column.clone(), parts: children }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
