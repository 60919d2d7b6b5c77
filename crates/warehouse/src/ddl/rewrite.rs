//! Writing a table's files again: for columns that change their name, type or place, and for partitions that move.

use std::sync::Arc;

use datafusion::common::Column as PlanColumn;
use datafusion::datasource::DefaultTableSource;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, Projection, TableSource, lit};
use feitian_base::{Result, id};
use feitian_types::TableSchema;

use crate::catalog::OpenTable;
use crate::commit::{Change, Replace};
use crate::provider;
use crate::query::errors;
use crate::query::{Planned, Rows, Session, convert_value, run_plan};
use crate::writer::{NewFile, write_partitioned};

/// Where the values of a new column come from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Source {
    /// The old data column of this index.
    Column(usize),
}

/// A scan of the whole table, without the rule against full scans.
fn scan(session: &Session, table: &OpenTable, filter: Option<Expr>) -> Result<LogicalPlan> {
    let source: Arc<dyn TableSource> = Arc::new(DefaultTableSource::new(provider(table, session.warehouse.catalog())));
    let mut builder = LogicalPlanBuilder::scan("t", source, None).map_err(errors::engine)?;
    if let Some(filter) = filter {
        builder = builder.filter(filter).map_err(errors::engine)?;
    }
    builder.build().map_err(errors::engine)
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
    let plan = scan(session, table, None)?;
    let mut exprs = Vec::new();
    for (new, Source::Column(old)) in schema.columns.iter().zip(sources) {
        let from = plan.schema().field(*old).data_type();
        let to = feitian_types::arrow::engine_type(&new.ty);
        exprs.push(convert_value(column(&plan, *old), from, &to)?.alias(&new.name));
    }
    let first_partition = table.row.schema.columns.len();
    for (i, partition) in schema.partition_columns.iter().enumerate() {
        exprs.push(column(&plan, first_partition + i).alias(&partition.name));
    }
    let plan = LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(plan)).map_err(errors::engine)?);
    let files = write(session, table, &schema, &[], plan).await?;
    let change = Change {
        read_version: table.data()?.version,
        replace: Replace::Table,
        must_be_unchanged: true,
        new_schema: Some(schema),
        ..Change::append(table.row.clone(), files)
    };
    commit(session, change, index).await
}

/// The rows of partition `from`, written again as partition `to`. Values are in table order.
pub(super) async fn copy_partition(
    session: &Session,
    table: &OpenTable,
    from: &[String],
    to: &[(String, String)],
) -> Result<Vec<NewFile>> {
    let schema = &table.row.schema;
    let filter = schema.partition_columns.iter().zip(from).map(|(c, value)| {
        let value = crate::scan::scalar(c, Some(value));
        let name = Expr::Column(PlanColumn::from_name(&c.name));
        if value.is_null() { name.is_null() } else { name.eq(lit(value)) }
    });
    let plan = scan(session, table, filter.reduce(Expr::and))?;
    let exprs = (0..schema.columns.len()).map(|i| column(&plan, i)).collect();
    let plan = LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(plan)).map_err(errors::engine)?);
    write(session, table, schema, to, plan).await
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
