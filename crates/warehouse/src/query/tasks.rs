//! EXPLAIN, and the tasks that are no SQL statement: SQLCost and Merge.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::Arc;

use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_plan::{ExecutionPlan, displayable};
use feitian_base::{Error, Result};
use feitian_sql::{SqlError, Statement};
use feitian_types::PartitionSpec;
use sqlparser::ast::{Ident, ObjectName, Query};

use super::select::physical_plan;
use super::{Planned, Session, errors, names, parse, plan_query, rights};
use crate::jobs::JobOutput;

/// The queries inside a statement; ODPS-0121125 for one that we lack.
fn sources(statement: Statement) -> Result<Vec<Query>> {
    Ok(match statement {
        Statement::Query(query) => vec![*query],
        Statement::Insert(insert) => vec![*insert.source],
        Statement::MultiInsert(inserts) => inserts.into_iter().map(|i| *i.source).collect(),
        Statement::CreateTable(create) => create.as_query.into_iter().map(|q| *q).collect(),
        Statement::CreateView(create) => vec![*create.query],
        Statement::CreateMaterialized(create) => vec![*create.query],
        Statement::Unload(unload) => vec![*unload.query],
        Statement::Unsupported { what, position } => {
            return Err(errors::front_end(SqlError::unsupported(position, what)));
        }
        _ => Vec::new(),
    })
}

/// ODPS-0130131 if a table that the statement writes to is missing.
async fn check_targets(session: &Session, statement: &Statement) -> Result<()> {
    let targets: Vec<&ObjectName> = match statement {
        Statement::Insert(insert) => vec![&insert.table],
        Statement::MultiInsert(inserts) => inserts.iter().map(|i| &i.table).collect(),
        _ => Vec::new(),
    };
    for name in targets {
        let (project, table, place) = names::table_name(name, session)?;
        rights::enter(session, &project).await?;
        let Some(row) = session.warehouse.meta().table_named(&project, &table).await? else {
            return Err(errors::no_table(place, &project, &table));
        };
        rights::check_table(session, &row, "Update", place).await?;
    }
    Ok(())
}

/// The plans of the queries inside a statement.
async fn plans(session: &Session, statement: Statement) -> Result<Vec<(Planned, Arc<dyn ExecutionPlan>)>> {
    let state = session.state()?;
    let planned = match statement {
        Statement::Dml(dml) => vec![crate::dml::plan(session, &dml).await?],
        statement => {
            let mut planned = Vec::new();
            for query in sources(statement)? {
                planned.push(plan_query(session, &state, query).await?);
            }
            planned
        }
    };
    let mut plans = Vec::new();
    for planned in planned {
        let plan = physical_plan(session, &state, &planned).await?;
        plans.push((planned, plan));
    }
    Ok(plans)
}

/// The plan of a statement as text, under the headings that clients know.
pub(super) async fn explain(session: &Session, statement: Statement) -> Result<String> {
    let sink = if statement.is_query() { "Data sink: SCREEN" } else { "Data sink: TABLE" };
    check_targets(session, &statement).await?;
    session.settings.refuse_modes()?;
    let plans = plans(session, statement).await?;
    if plans.is_empty() {
        // An empty answer would say that the statement is a good one, and nobody has looked.
        return Err(crate::unsupported("EXPLAIN of a statement without a query"));
    }
    let tasks = (1..=plans.len()).map(|i| format!("M{i}")).collect::<Vec<_>>().join(", ");
    let mut text = format!("job0 is root job\n\nIn Job job0:\nroot Tasks: {tasks}\n");
    for (i, (planned, plan)) in plans.into_iter().enumerate() {
        let _ = writeln!(text, "\nIn Task M{}:", i + 1);
        let tables = planned.tables.iter().map(|t| format!("{}.{}", t.row.project, t.row.local_name()));
        for name in tables.collect::<BTreeSet<String>>() {
            let _ = writeln!(text, "    Data source: {name}");
        }
        for line in displayable(plan.as_ref()).indent(false).to_string().lines() {
            let _ = writeln!(text, "    {line}");
        }
        let _ = writeln!(text, "    {sink}");
    }
    Ok(text)
}

/// SQLCost: the bytes that the statement would read.
pub(super) async fn cost(session: &mut Session) -> Result<JobOutput> {
    let mut bytes = 0;
    let script = parse(session)?;
    if script.computes {
        return Err(crate::unsupported("the cost of a script that computes values on its way"));
    }
    for parsed in script.statements {
        match parsed.statement {
            Statement::Set { key, value } => session.settings.set(&key, &value),
            statement => {
                bytes += plans(session, statement).await?.iter().map(|(_, plan)| scanned_bytes(plan)).sum::<u64>();
            }
        }
    }
    let cost = serde_json::json!({ "Cost": { "SQL": { "Complexity": 1.0, "UDF": 0, "Input": bytes } } });
    Ok(JobOutput::Text(cost.to_string()))
}

fn scanned_bytes(plan: &Arc<dyn ExecutionPlan>) -> u64 {
    let own = plan.downcast_ref::<DataSourceExec>().and_then(|s| s.data_source().downcast_ref::<FileScanConfig>());
    let files = own.into_iter().flat_map(|c| &c.file_groups).flat_map(|g| g.files());
    files.map(|f| f.object_meta.size).sum::<u64>() + plan.children().into_iter().map(scanned_bytes).sum::<u64>()
}

/// Merge: `MERGE SMALLFILES` or `COMPACT` of a table or of partitions.
pub(super) async fn merge(session: &Session) -> Result<JobOutput> {
    const OTHERS: [&str; 2] = ["odps.merge.cold.storage.mode", "odps.merge.archive.flag"];
    const COMPACT: &str = "odps.merge.txn.table.compact";
    let compact = session.settings.get(COMPACT);
    let other = OTHERS.iter().find(|m| session.settings.get(m).is_some());
    let unknown = compact.is_some_and(|way| !matches!(way, "major_compact" | "minor_compact"));
    if let Some(mode) = other.or(unknown.then_some(&COMPACT)) {
        return Err(crate::unsupported(format!("a Merge task with {mode}")));
    }
    let text = session.instance.query.trim().trim_end_matches(';');
    let at = text.to_ascii_lowercase().find(" partition").unwrap_or(text.len());
    let (name, rest) = text.split_at(at);
    let parts = name.trim().split('.').map(|p| Ident::new(p.trim().trim_matches('`').to_lowercase()));
    let name = ObjectName::from(parts.collect::<Vec<_>>());
    crate::system::refuse_change_of(session, &name, "odps:Alter").await?;
    let inside = rest.trim().get("partition".len()..).unwrap_or_default().trim();
    let partition = match inside.strip_prefix('(').and_then(|s| s.strip_suffix(')')) {
        Some(spec) => {
            Some(PartitionSpec::parse(spec).ok_or_else(|| Error::invalid(format!("'{spec}' is no partition")))?)
        }
        None => None,
    };
    crate::ddl::merge_files(session, &name, partition.as_ref(), compact.is_some()).await?;
    Ok(JobOutput::Text(String::new()))
}
