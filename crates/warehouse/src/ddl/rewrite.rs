//! Writing a table's files again: for columns that change their name, type, place or values, and for partitions that move.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::{Column as PlanColumn, ScalarValue};
use datafusion::datasource::DefaultTableSource;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, Projection, TableSource, lit};
use feitian_base::{Result, id};
use feitian_types::TableSchema;

use crate::catalog::OpenTable;
use crate::commit::{Change, Replace};
use crate::provider;
use crate::query::errors;
use crate::query::{Planned, Rows, Session, convert_value, run_plan};
use crate::writer::{NewFile, TableDir, write_partitioned};

/// Where the values of a column come from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Source {
    /// The old data column of this index.
    Column(usize),
    /// Nowhere: every row has NULL.
    Null,
}

/// The table as if it had only the partitions `specs`.
pub(super) fn part_of(table: &OpenTable, specs: &BTreeSet<String>) -> Result<OpenTable> {
    let all = table.data()?;
    let part = all.only(|file| specs.contains(&all.spec_of(file)));
    Ok(OpenTable { row: table.row.clone(), snapshot: Some(Arc::new(part)) })
}

/// A scan of the whole table, without the rule against full scans.
fn scan(session: &Session, table: &OpenTable) -> Result<LogicalPlan> {
    let source: Arc<dyn TableSource> = Arc::new(DefaultTableSource::new(provider(table, session.warehouse.catalog())));
    LogicalPlanBuilder::scan("t", source, None).and_then(LogicalPlanBuilder::build).map_err(errors::engine)
}

async fn rows(session: &Session, plan: LogicalPlan) -> Result<Rows> {
    let state = session.state()?;
    run_plan(session, &state, Planned { plan, tables: Vec::new() }).await
}

fn column(plan: &LogicalPlan, index: usize) -> Expr {
    let (qualifier, field) = plan.schema().qualified_field(index);
    Expr::Column(PlanColumn::from((qualifier, field)))
}

/// Writes every row again under `schema`, whose data column `i` comes from `sources[i]`, in one commit.
pub(super) async fn rewrite(
    session: &Session,
    table: &OpenTable,
    schema: TableSchema,
    sources: &[Source],
    index: i64,
) -> Result<()> {
    let files = rewritten(session, table, &schema, sources).await?;
    let change = Change {
        read_version: table.data()?.version,
        replace: Replace::Table,
        must_be_unchanged: true,
        new_schema: Some(schema),
        ..Change::append(table.row.clone(), files)
    };
    commit(session, change, index).await
}

/// Files with every row of `table` under `schema`, whose data column `i` comes from `sources[i]`.
pub(super) async fn rewritten(
    session: &Session,
    table: &OpenTable,
    schema: &TableSchema,
    sources: &[Source],
) -> Result<Vec<NewFile>> {
    let plan = scan(session, table)?;
    let mut exprs = Vec::new();
    for (new, source) in schema.columns.iter().zip(sources) {
        let to = feitian_types::arrow::engine_type(&new.ty);
        let value = match source {
            Source::Column(old) => convert_value(column(&plan, *old), plan.schema().field(*old).data_type(), &to)?,
            Source::Null => convert_value(lit(ScalarValue::Null), &DataType::Null, &to)?,
        };
        exprs.push(value.alias(&new.name));
    }
    let first_partition = table.row.schema.columns.len();
    for (i, partition) in schema.partition_columns.iter().enumerate() {
        exprs.push(column(&plan, first_partition + i).alias(&partition.name));
    }
    let plan = LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(plan)).map_err(errors::engine)?);
    write(session, table, schema, &[], plan).await
}

/// The rows of the partitions `from`, written again as partition `to`. Values are in table order.
pub(super) async fn copy_partitions(
    session: &Session,
    table: &OpenTable,
    from: &BTreeSet<String>,
    to: &[(String, String)],
) -> Result<Vec<NewFile>> {
    let schema = &table.row.schema;
    let plan = scan(session, &part_of(table, from)?)?;
    let exprs = (0..schema.columns.len()).map(|i| column(&plan, i)).collect();
    let plan = LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(plan)).map_err(errors::engine)?);
    write(session, table, schema, to, plan).await
}

/// Files in `dir` with every row of `table`.
pub(super) async fn copied(session: &Session, table: &OpenTable, dir: &TableDir) -> Result<Vec<NewFile>> {
    let stream = rows(session, scan(session, table)?).await?.stream;
    let (catalog, attempt) = (session.warehouse.catalog(), session.instance.attempt);
    write_partitioned(catalog, dir, &table.row.schema, &[], stream, &id::ulid(), attempt).await
}

async fn write(
    session: &Session,
    table: &OpenTable,
    schema: &TableSchema,
    fixed: &[(String, String)],
    plan: LogicalPlan,
) -> Result<Vec<NewFile>> {
    let stream = rows(session, plan).await?.stream;
    session.progress.begin_sink(format!("{}.{}", table.row.project, table.row.local_name()));
    let (catalog, attempt) = (session.warehouse.catalog(), session.instance.attempt);
    let files = write_partitioned(catalog, &table.dir(), schema, fixed, stream, &id::ulid(), attempt).await?;
    session.progress.end_sink(files.iter().map(|f| f.num_bytes).sum());
    Ok(files)
}

/// Commits one change of statement `index`.
pub(super) async fn commit(session: &Session, change: Change, index: i64) -> Result<()> {
    let (owner, attempt) = (&session.instance.id, session.instance.attempt);
    session.warehouse.catalog().commit(vec![change], owner, attempt, index, &session.step(index)).await
}
