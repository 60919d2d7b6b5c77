//! INSERT INTO and INSERT OVERWRITE: the rows of a query into a table or into partitions of it.
//!
//! Columns match by position and are converted implicitly; the partition columns that the statement leaves open are the
//! last columns of the query. All files of a statement become visible in one commit, or none does. The INSERTs of a
//! multi-insert, and of a script with the UPDATE, DELETE or MERGE before them, read the tables at one version and are one
//! commit for each table, all announced together. In a table with a primary key they replace rows of the same keys.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::common::TableReference;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan, Projection};
use feitian_base::{Error, Kind, Result, id};
use feitian_sql::{ColumnRef, Dml, Insert, PartitionTerm, Position, SqlError};
use feitian_types::Column;
use sqlparser::ast::Spanned;

use crate::auto_partition::AutoPartition;
use crate::catalog::OpenTable;
use crate::commit::{Change, Replace};
use crate::external;
use crate::keys::{Keys, key_of};
use crate::query::errors::{self, semantic};
use crate::query::{Pinned, Planned, Session, convert_column, hints, names, plan_pinned, plan_query, rights, run_plan};
use crate::writer::{NewFile, partition_value, write_partitioned};

/// A statement that met another one's commit runs again, at most so often.
pub(crate) const ATTEMPTS: usize = 5;

/// Runs statement `index` of the session's job: one INSERT, or those of a multi-insert, which take effect together.
pub(crate) async fn run(session: &Session, inserts: &[Insert], index: i64) -> Result<()> {
    run_after(session, None, inserts, index).await
}

/// The same with the change of rows that stands before the INSERTs in their script, and takes effect with them.
pub(crate) async fn run_after(session: &Session, dml: Option<&Dml>, inserts: &[Insert], index: i64) -> Result<()> {
    for insert in inserts {
        if !external::is_target(session, insert).await? {
            continue;
        }
        session.settings.refuse_modes()?;
        if inserts.len() + usize::from(dml.is_some()) > 1 {
            let what = "an external table among several targets of INSERT";
            return Err(errors::front_end(SqlError::unsupported(insert.table.span().into(), what)));
        }
        return external::insert(session, insert, index).await;
    }
    run_all(session, dml, inserts, None, index).await
}

/// Runs statement `index`, whose rows are those of `files` and not of its query.
pub(crate) async fn run_from(session: &Session, insert: Insert, files: &external::Loaded, index: i64) -> Result<()> {
    run_all(session, None, &[insert], Some(files), index).await
}

async fn run_all(
    session: &Session,
    dml: Option<&Dml>,
    inserts: &[Insert],
    files: Option<&external::Loaded>,
    index: i64,
) -> Result<()> {
    session.settings.refuse_modes()?;
    let mut attempt = 1;
    loop {
        let again = attempt > 1 || session.instance.attempt > 1;
        match once(session, dml, inserts, files, (index, again)).await {
            Err(e) if e.kind() == Kind::Conflict && attempt < ATTEMPTS => {
                tracing::info!(attempt, error = %e, "the table changed meanwhile; the statement runs again");
                attempt += 1;
            }
            result => return result,
        }
    }
}

/// Where the rows go.
struct Target {
    table: OpenTable,
    /// Fixed values of the leading partition columns, by name.
    fixed: Vec<(String, String)>,
    /// The other partition columns.
    dynamic: Vec<Column>,
    /// What fills the partition column instead of the query.
    auto: Option<AutoPartition>,
}

impl Target {
    /// The partition columns whose values the query gives.
    fn open(&self) -> &[Column] {
        if self.auto.is_some() { &[] } else { &self.dynamic }
    }
}

/// Tries it once; `again` if it has been tried before.
async fn once(
    session: &Session,
    dml: Option<&Dml>,
    inserts: &[Insert],
    files: Option<&external::Loaded>,
    (index, again): (i64, bool),
) -> Result<()> {
    session.progress.begin_step(index);
    let mut pinned = Pinned::default();
    let mut changes: Vec<Change> = Vec::new();
    if let Some(dml) = dml {
        changes.extend(crate::dml::change(session, dml, &mut pinned).await?);
    }
    for insert in inserts {
        let Some(change) = change(session, insert, files, &mut pinned).await? else { continue };
        match changes.iter_mut().find(|c| c.table.id == change.table.id) {
            Some(earlier) => merge(earlier, change, insert)?,
            None => changes.push(change),
        }
    }
    if changes.is_empty() {
        return Ok(());
    }
    if again && inserts.len() + usize::from(dml.is_some()) > 1 {
        // One of them may have what an earlier run gave it, when another one gives nothing any more.
        changes.iter_mut().for_each(|c| c.among_others = true);
    }
    let (owner, attempt, step) = (&session.instance.id, session.instance.attempt, session.step(index));
    session.warehouse.catalog().commit(changes, owner, attempt, index, &step).await
}

/// Writes the rows of one INSERT; `None` if that changes nothing.
async fn change(
    session: &Session,
    insert: &Insert,
    files: Option<&external::Loaded>,
    pinned: &mut Pinned,
) -> Result<Option<Change>> {
    let target = target(session, insert).await?;
    let row = &target.table.row;
    let whole = target.dynamic.is_empty();
    let values: Vec<String> = target.fixed.iter().map(|(_, v)| v.clone()).collect();
    let spec = target.fixed.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join("/");
    if insert.if_not_exists && whole && session.warehouse.meta().partition(&row.id, &spec).await?.is_some() {
        return Ok(None);
    }
    let state = session.state()?;
    let planned = match files {
        Some(files) => {
            files.plan(session, &row.schema.columns.iter().chain(target.open()).collect::<Vec<&Column>>())?
        }
        None => plan_pinned(session, &state, *insert.source.clone(), pinned).await?,
    };
    let read = planned.tables.iter().find(|t| t.row.id == row.id);
    let mut read_version = match read {
        Some(t) => t.data()?.version,
        None => target.table.data()?.version,
    };
    let mut must_be_unchanged = read.is_some();
    let reads = planned.reads(&row.id);
    let planned = project(session, &state, planned, &target, insert).await?;
    let rows = run_plan(session, &state, planned).await?;
    session.progress.begin_sink(format!("{}.{}", row.project, row.local_name()));
    let catalog = session.warehouse.catalog();
    // A name of its own for every writing: two statements of a job may write to one table.
    let (dir, prefix) = (target.table.dir(), id::ulid());
    let attempt = session.instance.attempt;
    let mut files = write_partitioned(catalog, &dir, &row.schema, &target.fixed, rows.stream, &prefix, attempt).await?;
    let mut replaced = Replace::Nothing;
    if !key_of(row).is_empty() {
        // As it is by now: what came while the query ran gives way, too, and a long query begins again only if it read it.
        let now = catalog.open_id(&row.id).await?;
        let keys = Keys::of(&session.warehouse, &now, &state.runtime_env().memory_pool)?;
        let keys = keys.ok_or_else(|| Error::internal(format!("table {} has lost its key", row.id)))?;
        (files, replaced) = keys.inserted(files, insert.overwrite, attempt).await?;
        if !insert.overwrite {
            let version = now.data()?.version;
            read_version = if must_be_unchanged { read_version.min(version) } else { version };
            must_be_unchanged = true;
        }
    }
    session.progress.end_sink(files.iter().map(|f| f.num_bytes).sum());
    let is_partition = !target.fixed.is_empty() && whole;
    let replace = match insert.overwrite {
        false => replaced,
        true if !row.schema.is_partitioned() => Replace::Table,
        true if whole => Replace::Partitions(vec![spec]),
        true => Replace::Partitions(touched(&target, &files)),
    };
    let create_partitions = if is_partition { vec![values] } else { Vec::new() };
    if files.is_empty() && create_partitions.is_empty() && !matches!(replace, Replace::Table) {
        return Ok(None);
    }
    Ok(Some(Change {
        read_version,
        reads,
        replace,
        create_partitions,
        must_be_unchanged,
        ..Change::append(row.clone(), files)
    }))
}

/// Adds what `insert` changes to what the INSERTs before it change in the same table.
///
/// ODPS-0130071 if one overwrites what another one writes: the result would depend on their order.
fn merge(earlier: &mut Change, change: Change, insert: &Insert) -> Result<()> {
    let clash = match (&earlier.replace, &change.replace) {
        // Behind an UPDATE, DELETE or MERGE these are more rows. An INSERT into a table with a key exchanges rows itself.
        (Replace::Nothing | Replace::Rows { .. }, Replace::Nothing) => None,
        (Replace::Table | Replace::Files(_) | Replace::Described(_) | Replace::Rows { .. }, _)
        | (_, Replace::Table | Replace::Files(_) | Replace::Described(_) | Replace::Rows { .. }) => {
            Some("the table".to_string())
        }
        (Replace::Partitions(a), Replace::Partitions(b)) => a.iter().find(|spec| b.contains(spec)).cloned(),
        (Replace::Partitions(a), Replace::Nothing) => written(&change).into_iter().find(|spec| a.contains(spec)),
        (Replace::Nothing, Replace::Partitions(b)) => written(earlier).into_iter().find(|spec| b.contains(spec)),
    };
    if let Some(spec) = clash {
        let table = format!("{}.{}", earlier.table.project, earlier.table.name);
        let detail = format!("{table}: two branches of the statement write {spec}, and one of them overwrites it");
        return Err(semantic(insert.table.span().into(), detail));
    }
    if let Replace::Partitions(specs) = change.replace {
        match &mut earlier.replace {
            Replace::Partitions(replaced) => replaced.extend(specs),
            other => *other = Replace::Partitions(specs),
        }
    }
    // One that read the table before it changed makes the whole statement run again.
    earlier.read_version = match (earlier.must_be_unchanged, change.must_be_unchanged) {
        (true, true) => earlier.read_version.min(change.read_version),
        (false, true) => change.read_version,
        _ => earlier.read_version,
    };
    earlier.must_be_unchanged |= change.must_be_unchanged;
    earlier.reads.extend(change.reads);
    earlier.files.extend(change.files);
    for values in change.create_partitions {
        if !earlier.create_partitions.contains(&values) {
            earlier.create_partitions.push(values);
        }
    }
    Ok(())
}

/// Specs of the partitions that get rows or come to be.
fn written(change: &Change) -> BTreeSet<String> {
    let columns = &change.table.schema.partition_columns;
    let created = change.create_partitions.iter().map(|v| v.iter().cloned().map(Some).collect::<Vec<_>>());
    created
        .map(|v| spec_of(columns, &v))
        .chain(change.files.iter().map(|f| spec_of(columns, &f.partition_values)))
        .collect()
}

/// Specs of the partitions that receive rows: only these are overwritten.
fn touched(target: &Target, files: &[NewFile]) -> Vec<String> {
    files
        .iter()
        .map(|f| spec_of(target.table.row.schema.partition_columns.as_slice(), &f.partition_values))
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect()
}

fn spec_of(columns: &[Column], values: &[Option<String>]) -> String {
    let value = |v: &Option<String>| v.clone().unwrap_or_else(|| crate::writer::NULL_PARTITION.to_string());
    let pairs = columns.iter().zip(values).map(|(c, v)| format!("{}={}", c.name, value(v)));
    pairs.collect::<Vec<_>>().join("/")
}

async fn target(session: &Session, insert: &Insert) -> Result<Target> {
    let at = Position::from(insert.table.span());
    let (project, name, _) = names::table_name(&insert.table, session)?;
    rights::enter(session, &project).await?;
    let table = session.warehouse.catalog().open(&project, &name).await.map_err(|e| match e.code() {
        "ODPS-0130131" => errors::no_table(at, &project, &name),
        _ => e,
    })?;
    rights::check_table(session, &table.row, "Update", at).await?;
    if table.row.view_text.is_some() {
        return Err(semantic(at, format!("{project}.{name} is a view, rows cannot be inserted into it")));
    }
    crate::materialized::refuse_writes(&table.row, at)?;
    if external::is_external(&table.row) {
        return Err(semantic(at, format!("{project}.{name} is an external table, INSERT alone writes its rows")));
    }
    let auto = AutoPartition::of(&table.row);
    let (fixed, dynamic) = match (&auto, &insert.partition) {
        (Some(_), None) => (Vec::new(), table.row.schema.partition_columns.clone()),
        (Some(auto), Some(_)) => {
            let detail = format!("table {project}.{name} is partitioned by {}: leave PARTITION out", auto.sql());
            return Err(semantic(at, detail));
        }
        (None, clause) => partition_columns(&table, clause.as_deref(), at)?,
    };
    Ok(Target { table, fixed, dynamic, auto })
}

pub(crate) type Partitions = (Vec<(String, String)>, Vec<Column>);

/// The fixed and the open partition columns of a PARTITION clause.
pub(crate) fn partition_columns(
    table: &OpenTable,
    clause: Option<&[PartitionTerm]>,
    at: Position,
) -> Result<Partitions> {
    let (row, columns) = (&table.row, &table.row.schema.partition_columns);
    let name = format!("{}.{}", row.project, row.local_name());
    let names = || columns.iter().map(|c| c.name.as_str()).collect::<Vec<_>>().join(", ");
    let terms = match clause {
        None if columns.is_empty() => return Ok((Vec::new(), Vec::new())),
        None => return Err(semantic(at, format!("table {name} is partitioned: add PARTITION ({})", names()))),
        Some(terms) if columns.is_empty() => {
            let at = terms.first().map_or(at, |t| t.position);
            return Err(semantic(at, format!("table {name} is not a partitioned table")));
        }
        Some(terms) => terms,
    };
    let key = |at, detail: String| {
        Err(errors::statement_error(Kind::Invalid, "ODPS-0130191", at, "Invalid column or partition key", &detail))
    };
    if let Some(unknown) = terms.iter().find(|t| !columns.iter().any(|c| c.name == t.name)) {
        return key(
            unknown.position,
            format!("{} is no partition column of {name}, which has {}", unknown.name, names()),
        );
    }
    let (mut fixed, mut dynamic) = (Vec::new(), Vec::new());
    for column in columns {
        let Some(term) = terms.iter().find(|t| t.name == column.name) else {
            return key(at, format!("PARTITION must name every partition column of {name}: {}", names()));
        };
        match &term.value {
            Some(_) if !dynamic.is_empty() => {
                return key(
                    term.position,
                    format!("{} has a value, so it must stand before the open columns", term.name),
                );
            }
            Some(value) => fixed.push((column.name.clone(), partition_value(column, value)?)),
            None => dynamic.push(column.clone()),
        }
    }
    Ok((fixed, dynamic))
}

/// The query's columns as those of a table without a log, then those of its open partition columns.
pub(crate) async fn project_files(
    session: &Session,
    state: &SessionState,
    planned: Planned,
    (table, (fixed, dynamic)): (OpenTable, Partitions),
    insert: &Insert,
) -> Result<Planned> {
    let target = Target { table, fixed, dynamic, auto: None };
    project(session, state, planned, &target, insert).await
}

/// Puts a projection over the query: the table's data columns in order, then the open partition columns.
async fn project(
    session: &Session,
    state: &SessionState,
    planned: Planned,
    target: &Target,
    insert: &Insert,
) -> Result<Planned> {
    let row = &target.table.row;
    let wanted: Vec<&Column> = row.schema.columns.iter().chain(target.open()).collect();
    let sources = sources(&planned, &wanted, target, &insert.columns, insert)?;
    let mut exprs = Vec::with_capacity(wanted.len() + 1);
    let mut automatic = None;
    for (column, source) in wanted.into_iter().zip(sources) {
        let expr = match source {
            Some(i) => match convert_column(&planned.plan, i, column)? {
                Some(expr) => expr,
                None => return Err(incompatible(&planned.plan, i, column, insert)),
            },
            None => match target.auto.as_ref().and_then(|a| a.arrival(column, session.statement_ms())) {
                Some(now) => now,
                None => default_value(session, state, column).await?,
            },
        };
        if let Some(auto) = target.auto.as_ref().filter(|a| a.source == column.name) {
            automatic = Some(auto.value(expr.clone())?);
        }
        exprs.push(expr.alias(&column.name));
    }
    if let (Some(value), [column]) = (automatic, target.dynamic.as_slice()) {
        exprs.push(value.alias(&column.name));
    }
    let plan = Projection::try_new(exprs, Arc::new(planned.plan)).map_err(errors::engine)?;
    Ok(Planned { plan: LogicalPlan::Projection(plan), tables: planned.tables })
}

/// For each wanted column the column of the query that fills it; `None` for one that the column list leaves out.
fn sources(
    planned: &Planned,
    wanted: &[&Column],
    target: &Target,
    list: &[ColumnRef],
    insert: &Insert,
) -> Result<Vec<Option<usize>>> {
    let has = planned.plan.schema().fields().len();
    let at = Position::from(insert.table.span());
    let count = |names: &[&str]| {
        let needs = names.len();
        let detail = format!(
            "wrong columns count {has} in data source, requires {needs} columns (includes dynamic partitions if any): {}",
            hints::list(names)
        );
        if has == needs { Ok(()) } else { Err(semantic(at, detail)) }
    };
    if list.is_empty() {
        if !has_generated(planned, wanted.len(), target) {
            count(&wanted.iter().map(|c| c.name.as_str()).collect::<Vec<_>>())?;
        }
        return Ok((0..wanted.len()).map(Some).collect());
    }
    for (i, c) in list.iter().enumerate() {
        if list[..i].iter().any(|before| before.name == c.name) {
            return Err(semantic(c.position, format!("column {} is repeated in the column list", c.name)));
        }
        if !wanted.iter().any(|w| w.name == c.name) {
            let table = format!("{}.{}", target.table.row.project, target.table.row.local_name());
            return Err(semantic(c.position, format!("column {} cannot be resolved in table {table}", c.name)));
        }
    }
    // Open partition columns that the list does not name follow its columns.
    let named: Vec<&str> = list.iter().map(|c| c.name.as_str()).collect();
    let open = target.open().iter().map(|c| c.name.as_str()).filter(|n| !named.contains(n));
    let order: Vec<&str> = named.iter().copied().chain(open).collect();
    count(&order)?;
    Ok(wanted.iter().map(|w| order.iter().position(|n| *n == w.name)).collect())
}

/// Whether the query has one column more, which is the partition column of a table that is partitioned as this one, beside
/// the time that it comes from: so `SELECT *` of such a table gives it, and INSERT computes the same. Of any other column
/// the values would be lost.
fn has_generated(planned: &Planned, wanted: usize, target: &Target) -> bool {
    let (Some(auto), [column]) = (&target.auto, target.dynamic.as_slice()) else { return false };
    let plan = &planned.plan;
    let source = target.table.row.schema.columns.iter().position(|c| c.name == auto.source);
    let time = source.and_then(|i| stored_column(plan, i));
    let given = if plan.schema().fields().len() == wanted + 1 { stored_column(plan, wanted) } else { None };
    let (Some((table, name)), Some(time)) = (given, time) else { return false };
    let is_alike = |t: &OpenTable| {
        let is_it = table.schema() == Some(t.row.project.as_str()) && table.table() == t.row.local_name();
        let theirs = AutoPartition::of(&t.row).filter(|a| a.source == auto.source && a.unit == auto.unit);
        let has_it = t.row.schema.partition_columns.iter().any(|c| c.name == column.name && c.ty == column.ty);
        is_it && theirs.is_some() && has_it
    };
    name == column.name && time == (table, auto.source.as_str()) && planned.tables.iter().any(is_alike)
}

/// The table, and its column, that column `index` of a query shows as it is, row by row.
fn stored_column(mut plan: &LogicalPlan, mut index: usize) -> Option<(&TableReference, &str)> {
    loop {
        plan = match plan {
            LogicalPlan::Projection(projection) => {
                let Expr::Column(column) = projection.expr.get(index)?.clone().unalias() else { return None };
                index = projection.input.schema().index_of_column(&column).ok()?;
                projection.input.as_ref()
            }
            LogicalPlan::Filter(filter) => filter.input.as_ref(),
            LogicalPlan::SubqueryAlias(alias) => alias.input.as_ref(),
            LogicalPlan::TableScan(scan) => {
                let field = scan.projected_schema.fields().get(index)?;
                return Some((&scan.table_name, field.name().as_str()));
            }
            _ => return None,
        };
    }
}

fn incompatible(plan: &LogicalPlan, index: usize, to: &Column, insert: &Insert) -> feitian_base::Error {
    let from = plan.schema().field(index).name();
    let has = crate::query::type_of_column(plan, index);
    let detail = format!(
        "column {from} in source has incompatible type {has} with destination column {}, which has type {}; use CAST in the query",
        to.name,
        to.ty.to_string().to_uppercase()
    );
    semantic(insert.table.span().into(), detail)
}

/// What a column gets that an INSERT leaves out: its DEFAULT, or NULL.
pub(crate) async fn default_value(session: &Session, state: &SessionState, column: &Column) -> Result<Expr> {
    let text = format!("SELECT {}", column.default.as_deref().unwrap_or("NULL"));
    let query = feitian_sql::parse_query(&text).map_err(errors::front_end)?;
    let planned = plan_query(session, state, *query).await?;
    let LogicalPlan::Projection(projection) = &planned.plan else {
        return Err(semantic(Position::UNKNOWN, format!("the default of column {} is no constant", column.name)));
    };
    let value = projection.expr.first().cloned().map(Expr::unalias).unwrap_or_default();
    let (from, to) = (planned.plan.schema().field(0).data_type(), feitian_types::arrow::engine_type(&column.ty));
    crate::query::convert_value(value, from, &to)
}
