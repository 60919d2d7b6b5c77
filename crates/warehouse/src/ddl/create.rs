//! CREATE TABLE, CREATE TABLE AS, CREATE TABLE LIKE and CREATE VIEW.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::logical_expr::{LogicalPlan, Projection};
use feitian_base::{Kind, Result, clock, id};
use feitian_meta::{Table, split_local_name};
use feitian_sql::{Clustering, CreateTable, CreateView, Position};
use feitian_types::{Column, DataType, TableSchema};
use serde_json::{Map, Value, json};
use sqlparser::ast::{Query, Spanned};

use super::{check_name, open, open_for};
use crate::auto_partition::{ARRIVAL_COLUMN, ARRIVAL_PROPERTY, AUTO_PARTITION, AutoPartition, UNITS};
use crate::blooms::{blooms_among, check_blooms};
use crate::catalog::NewTable;
use crate::keys::{PRIMARY_KEY, check_key_property};
use crate::query::errors::{self, semantic, statement_error};
use crate::query::{Planned, Session, convert_column, names, output_columns, plan_query, rights, run_plan};
use crate::writer::{TableDir, write_partitioned};

/// A table has at most so many levels of partitions.
const MAX_PARTITION_COLUMNS: usize = 6;
/// A comment has at most so many bytes.
const MAX_COMMENT: usize = 1024;
/// The table property that keeps CLUSTERED BY, which has no effect on how rows are stored.
pub(crate) const CLUSTERING: &str = "feitian.clustering";

/// The table property that keeps INTO n SHARDS.
const SHARDS: &str = "feitian.shards";

/// The kinds of a row.
const TABLE: &str = "MANAGED_TABLE";
const VIEW: &str = "VIRTUAL_VIEW";

pub(crate) fn exists(at: Position, project: &str, name: &str) -> feitian_base::Error {
    let detail = format!("table {project}.{name} is already defined");
    statement_error(Kind::Conflict, "ODPS-0130211", at, "Table or view already exists", &detail)
}

/// `CLUSTERED BY` as the property keeps it.
pub(crate) fn clustering_text(c: &Clustering) -> String {
    let sorted: Vec<Value> = c.sorted_by.iter().map(|(n, asc)| json!({ "name": n, "ascending": asc })).collect();
    json!({ "range": c.range, "columns": c.columns, "sorted_by": sorted, "buckets": c.buckets }).to_string()
}

pub(crate) fn check_comment(comment: &str, at: Position) -> Result<()> {
    if comment.len() > MAX_COMMENT {
        return Err(semantic(at, format!("a comment has at most {MAX_COMMENT} bytes, this one has {}", comment.len())));
    }
    Ok(())
}

/// Checks that no name occurs twice and that partition columns have a type that they may have.
pub(crate) fn check_columns(schema: &TableSchema, at: Position) -> Result<()> {
    let mut seen = BTreeSet::new();
    for column in schema.all_columns() {
        if !seen.insert(column.name.as_str()) {
            return Err(semantic(at, format!("column repeated in creation: {}", column.name)));
        }
        if column.name.is_empty() || column.name.len() > 128 {
            return Err(semantic(at, format!("invalid column name '{}': it has 1 to 128 bytes", column.name)));
        }
        check_comment(&column.comment, at)?;
    }
    if schema.partition_columns.len() > MAX_PARTITION_COLUMNS {
        return Err(semantic(at, format!("a table has at most {MAX_PARTITION_COLUMNS} partition columns")));
    }
    if schema.columns.is_empty() {
        return Err(semantic(at, "a table has at least one column that is no partition column"));
    }
    for column in &schema.partition_columns {
        let ty = &column.ty;
        let allowed = ty.is_integer()
            || matches!(ty, DataType::String | DataType::Varchar(_) | DataType::Char(_) | DataType::Date);
        if !allowed {
            let detail = format!("partition column {} cannot be {}", column.name, ty.to_string().to_uppercase());
            return Err(statement_error(Kind::Invalid, "ODPS-0130151", at, "Illegal data type", &detail));
        }
    }
    Ok(())
}

/// `CREATE TABLE`
pub(super) async fn table(session: &Session, create: CreateTable, index: i64) -> Result<()> {
    let at = Position::from(create.name.span());
    let (project, name, _) = names::table_name(&create.name, session)?;
    rights::check_project(session, &project, "CreateTable").await?;
    check_name(&name, at)?;
    names::check_schema(session, &project, &name, at).await?;
    check_primary_key(&create, at)?;
    check_comment(create.comment.as_deref().unwrap_or_default(), at)?;
    // The query of CTAS is compiled even if the table exists: its errors belong to the user.
    let planned = match &create.as_query {
        Some(query) => Some(plan_source(session, query, at).await?),
        None => None,
    };
    if session.warehouse.meta().table_named(&project, &name).await?.is_some() {
        return if create.if_not_exists { Ok(()) } else { Err(exists(at, &project, &name)) };
    }
    let mut properties = properties_of(&create)?;
    if session.settings.has_tiers() && !properties.keys().any(|k| k.eq_ignore_ascii_case("storagetier")) {
        properties.insert("storagetier".to_string(), Value::String("standard".to_string()));
    }
    let mut new = NewTable {
        dir: None,
        project: project.clone(),
        name: name.clone(),
        kind: TABLE.to_string(),
        owner: session.instance.owner.clone(),
        schema: TableSchema { columns: create.columns, partition_columns: create.partition_columns },
        comment: create.comment.unwrap_or_default(),
        properties,
        lifecycle: create.lifecycle.map_or(-1, i64::from),
        view_text: None,
    };
    if let Some(like) = &create.like {
        resemble(&mut new, &open_for(session, like, "Describe").await?.row);
    }
    check_arrival(&new.properties, at)?;
    let columns = planned.as_ref().map_or(&new.schema.columns, |(_, columns)| columns);
    check_blooms(&new.properties, columns, at)?;
    let result = match planned {
        Some(planned) => as_query(session, new, planned, at, index).await,
        None => {
            check_columns(&new.schema, at)?;
            session.warehouse.catalog().create(new, None, &session.step(index)).await
        }
    };
    match result {
        // Another job was faster.
        Err(e) if e.code() == "ODPS-0130211" && create.if_not_exists => Ok(()),
        result => result,
    }
}

/// CREATE TABLE LIKE: the columns, the comment and how the other table is partitioned.
fn resemble(new: &mut NewTable, other: &Table) {
    new.schema = other.schema.clone();
    if let Some(auto) = AutoPartition::of(other) {
        new.properties.insert(AUTO_PARTITION.to_string(), Value::String(auto.text()));
        let is_told = new.properties.keys().any(|k| k.eq_ignore_ascii_case(ARRIVAL_PROPERTY));
        if auto.fills_arrival() && !is_told {
            new.properties.insert(ARRIVAL_PROPERTY.to_string(), Value::String("true".to_string()));
        }
    }
    if new.comment.is_empty() {
        new.comment = other.comment.clone();
    }
}

/// A table that asks for the time of arrival must be partitioned by it.
pub(super) fn check_arrival(properties: &Map<String, Value>, at: Position) -> Result<()> {
    if AutoPartition::misses_arrival(properties) {
        let needs = format!("AUTO PARTITIONED BY (TRUNC_TIME({ARRIVAL_COLUMN}, 'unit'))");
        return Err(semantic(at, format!("{ARRIVAL_PROPERTY} needs {needs}")));
    }
    Ok(())
}

/// A key is kept and shown, and nothing enforces it, as in tables of MaxCompute that are not transactional. In
/// transactional ones a partition has one row of each key.
fn check_primary_key(create: &CreateTable, at: Position) -> Result<()> {
    let mut key = create.columns.iter().filter(|c| create.primary_key.contains(&c.name));
    if let Some(column) = key.clone().find(|c| c.nullable) {
        return Err(semantic(at, format!("primary key column {} must be NOT NULL", column.name)));
    }
    let is_on = |(k, v): &(String, String)| k.eq_ignore_ascii_case("transactional") && v.eq_ignore_ascii_case("true");
    if create.primary_key.is_empty() || !create.properties.iter().any(is_on) {
        return Ok(());
    }
    if create.auto_partition.is_some() {
        let what = "PRIMARY KEY of a transactional table that is AUTO PARTITIONED";
        return Err(errors::front_end(feitian_sql::SqlError::unsupported(at, what)));
    }
    if let Some(column) = key.find(|c| !may_be_key(&c.ty)) {
        let detail = format!("primary key column {} cannot be {}", column.name, column.ty.to_string().to_uppercase());
        return Err(statement_error(Kind::Invalid, "ODPS-0130151", at, "Illegal data type", &detail));
    }
    create.properties.iter().try_for_each(|(name, value)| check_key_property(name, value, at))
}

/// Types of which equal values are the same bytes.
fn may_be_key(ty: &DataType) -> bool {
    use DataType as T;
    let is_time = matches!(ty, T::Date | T::Datetime | T::Timestamp | T::TimestampNtz);
    let is_text = matches!(ty, T::String | T::Varchar(_) | T::Char(_) | T::Binary);
    is_time || is_text || ty.is_integer() || matches!(ty, T::Decimal(..) | T::Boolean)
}

/// What the row keeps beside the columns: the user's properties, and ours for clauses that do not change how rows lie.
fn properties_of(create: &CreateTable) -> Result<Map<String, Value>> {
    let mut properties = Map::new();
    properties.extend(create.properties.iter().map(|(k, v)| (k.clone(), Value::String(v.clone()))));
    let mut keep = |key: &str, text: String| properties.insert(key.to_string(), Value::String(text));
    if let Some(c) = &create.clustering {
        keep(CLUSTERING, clustering_text(c));
    }
    if let Some(auto) = &create.auto_partition {
        check_auto_partition(auto, &create.columns)?;
        keep(AUTO_PARTITION, AutoPartition::new(auto.source.name.clone(), auto.unit.clone()).text());
    }
    if let Some(s) = &create.shards {
        keep(SHARDS, json!({ "shards": s.shards, "hub_lifecycle": s.hub_lifecycle }).to_string());
    }
    if !create.primary_key.is_empty() {
        keep(PRIMARY_KEY, json!(create.primary_key).to_string());
    }
    Ok(properties)
}

/// The source must be a time column of the table, and the unit one that `trunc_time` knows.
fn check_auto_partition(auto: &feitian_sql::AutoPartition, columns: &[Column]) -> Result<()> {
    let feitian_sql::AutoPartition { source, unit } = auto;
    let Some(column) = columns.iter().find(|c| c.name == source.name) else {
        return Err(semantic(source.position, format!("column {} cannot be resolved", source.name)));
    };
    let is_time =
        matches!(column.ty, DataType::Date | DataType::Datetime | DataType::Timestamp | DataType::TimestampNtz);
    if !is_time {
        let ty = column.ty.to_string().to_uppercase();
        let detail = format!("column {} is {ty}, TRUNC_TIME cuts a DATE, DATETIME or TIMESTAMP", column.name);
        return Err(semantic(source.position, detail));
    }
    if !UNITS.contains(&unit.as_str()) {
        let detail = format!("TRUNC_TIME cannot cut to '{unit}': use {}", UNITS.join(", "));
        return Err(semantic(source.position, detail));
    }
    Ok(())
}

async fn plan_source(session: &Session, query: &Query, at: Position) -> Result<(Planned, Vec<Column>)> {
    session.settings.refuse_modes()?;
    let state = session.state()?;
    let planned = plan_query(session, &state, query.clone()).await?;
    let columns = output_columns(&planned.plan)?;
    let schema = TableSchema { columns, partition_columns: Vec::new() };
    check_columns(&schema, at)?;
    Ok((planned, schema.columns))
}

/// Files first, below a directory that nobody knows; then the table with them.
async fn as_query(
    session: &Session,
    mut new: NewTable,
    (planned, columns): (Planned, Vec<Column>),
    at: Position,
    index: i64,
) -> Result<()> {
    let mut exprs = Vec::with_capacity(columns.len());
    for (i, column) in columns.iter().enumerate() {
        let Some(expr) = convert_column(&planned.plan, i, column)? else {
            return Err(semantic(at, format!("column {} has no type that a table can hold", column.name)));
        };
        exprs.push(expr.alias(&column.name));
    }
    let plan = Projection::try_new(exprs, Arc::new(planned.plan)).map_err(errors::engine)?;
    let planned = Planned { plan: LogicalPlan::Projection(plan), tables: planned.tables };
    let state = session.state()?;
    let rows = run_plan(session, &state, planned).await?;
    session.progress.begin_sink(format!("{}.{}", new.project, new.name));
    let catalog = session.warehouse.catalog();
    new.schema.columns = columns;
    let blooms = blooms_among(&new.properties);
    let dir = TableDir { blooms, ..catalog.reserve(&new.project, &new.name) };
    let attempt = session.instance.attempt;
    let files = write_partitioned(catalog, &dir, &new.schema, &[], rows.stream, &id::ulid(), attempt).await?;
    session.progress.end_sink(files.iter().map(|f| f.num_bytes).sum());
    new.dir = Some(dir);
    catalog.create(new, Some(files), &session.step(index)).await
}

/// The columns of a view: those of its query, under the names of its list.
async fn view_columns(
    session: &Session,
    (project, view): (&str, &str),
    query: &Query,
    list: &[(String, Option<String>)],
    at: Position,
) -> Result<Vec<Column>> {
    let inner = session.in_schema(project, split_local_name(view).0).lasting();
    let (_, mut columns) = plan_source(&inner, query, at).await?;
    if !list.is_empty() && list.len() != columns.len() {
        let detail = format!("the view names {} columns, its query has {}", list.len(), columns.len());
        return Err(statement_error(Kind::Invalid, "ODPS-0130171", at, "Creating view exception", &detail));
    }
    for (column, (name, comment)) in columns.iter_mut().zip(list) {
        column.name.clone_from(name);
        column.comment = comment.clone().unwrap_or_default();
    }
    check_columns(&TableSchema { columns: columns.clone(), partition_columns: Vec::new() }, at)?;
    Ok(columns)
}

/// `CREATE VIEW`
pub(super) async fn view(session: &Session, create: CreateView, index: i64) -> Result<()> {
    let at = Position::from(create.name.span());
    let (project, name, _) = names::table_name(&create.name, session)?;
    rights::check_project(session, &project, "CreateTable").await?;
    check_name(&name, at)?;
    names::check_schema(session, &project, &name, at).await?;
    let columns = view_columns(session, (&project, &name), &create.query, &create.columns, at).await?;
    let schema = TableSchema { columns, partition_columns: Vec::new() };
    let properties: Map<String, Value> =
        create.properties.iter().map(|(k, v)| (k.clone(), Value::String(v.clone()))).collect();
    let (meta, step) = (session.warehouse.meta(), session.step(index));
    match meta.table_named(&project, &name).await? {
        Some(_) if create.if_not_exists => Ok(()),
        Some(row) if create.or_replace && row.view_text.is_some() => {
            // The view keeps its owner, with whose rights it reads.
            rights::check_query(session, &row, at).await?;
            let before = row.schema_version;
            let row = Table {
                schema,
                schema_version: before + 1,
                comment: create.comment.unwrap_or_default(),
                properties: Value::Object(properties).to_string(),
                view_text: Some(create.query_text),
                ddl_ms: clock::tick_ms(),
                ..row
            };
            meta.update_table(&row, before, &step).await
        }
        Some(_) => Err(exists(at, &project, &name)),
        None => {
            let new = NewTable {
                dir: None,
                project,
                name,
                kind: VIEW.to_string(),
                owner: session.instance.owner.clone(),
                schema,
                comment: create.comment.unwrap_or_default(),
                properties,
                lifecycle: -1,
                view_text: Some(create.query_text),
            };
            session.warehouse.catalog().create(new, None, &step).await
        }
    }
}

/// `ALTER VIEW v AS query`
pub(super) async fn set_query(
    session: &Session,
    name: &sqlparser::ast::ObjectName,
    query: &Query,
    text: &str,
    index: i64,
) -> Result<()> {
    let at = Position::from(name.span());
    let view = open(session, name).await?;
    if view.row.view_text.is_none() {
        return Err(super::invalid_view(at, format!("{}.{} is a table", view.row.project, view.row.local_name())));
    }
    // The view keeps its owner, with whose rights it reads.
    rights::check_query(session, &view.row, at).await?;
    let columns = view_columns(session, (&view.row.project, &view.row.local_name()), query, &[], at).await?;
    super::update_row(session, name, &session.step(index), |row| {
        row.schema.columns.clone_from(&columns);
        row.schema_version += 1;
        row.view_text = Some(text.to_string());
        Ok(())
    })
    .await
}
