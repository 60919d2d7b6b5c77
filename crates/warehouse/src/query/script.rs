//! Script mode: the INSERTs of a script take effect together, or none does, with the UPDATE, DELETE or MERGE before them.
//!
//! They wait for the last one and become one statement with it, whose queries all read the tables as they were before. So a
//! query that reads what a statement before it writes is refused, as MaxCompute does (documentation, "SQL in script mode": a
//! script is one job that runs atomically; SET comes first, then DDL, then DML).

use std::collections::BTreeSet;

use feitian_base::{Error, Result};
use feitian_sql::{Dml, Insert, Parsed, Position, SqlError, Statement};
use sqlparser::ast::{Query, Spanned};

use super::names::TableName;
use super::{Session, errors, names, plan_query};
use crate::keys::key_of;

/// INSERTs that take effect together.
pub(super) struct Together {
    /// The statement that holds all of them.
    pub(super) index: i64,
    /// The change of rows before them, which takes effect with them.
    dml: Option<Box<Dml>>,
    /// How many INSERTs each statement had.
    groups: Vec<usize>,
    /// The query behind them: it must be a good one before they take effect.
    query: Option<Box<Query>>,
}

/// One UPDATE, DELETE or MERGE finds its rows in the tables as they were before the script: it stands before every INSERT,
/// and a second one would have to see what the first has left.
fn check_changes(statements: &[Parsed]) -> Result<()> {
    let changes = statements.iter().filter(|s| writes(s) || is_dml(s));
    match changes.skip(1).find(|s| is_dml(s)) {
        Some(later) => {
            refuse(later, "UPDATE, DELETE or MERGE behind another change in one script (odps.sql.submit.mode=script)")
        }
        None => Ok(()),
    }
}

/// What can be said of a script before it does anything, if it is one that computes.
pub(super) fn check(statements: &[Parsed], is_script: bool) -> Result<()> {
    check_variables(statements, is_script)?;
    if is_script {
        check_changes(statements)?;
        check_lacking(statements)?;
        // It would take effect at its place, and the INSERTs at the end.
        if let (Some(dml), true) = (statements.iter().find(|s| is_dml(s)), statements.iter().any(writes)) {
            return refuse(
                dml,
                "UPDATE, DELETE or MERGE before INSERTs in a script with IF, LOOP or computed variables",
            );
        }
    }
    Ok(())
}

fn check_lacking(statements: &[Parsed]) -> Result<()> {
    let lacking = |s: &Parsed| match &s.statement {
        Statement::Unsupported { what, position } => Some(SqlError::unsupported(*position, what)),
        _ => None,
    };
    match statements.iter().find_map(lacking) {
        Some(error) => Err(errors::front_end(error)),
        None => Ok(()),
    }
}

fn is_dml(parsed: &Parsed) -> bool {
    matches!(parsed.statement, Statement::Dml(_))
}

pub(super) fn writes(parsed: &Parsed) -> bool {
    matches!(parsed.statement, Statement::Insert(_) | Statement::MultiInsert(_))
}

pub(super) fn refuse<T>(parsed: &Parsed, what: &str) -> Result<T> {
    Err(errors::front_end(SqlError::unsupported(parsed.position, what)))
}

/// Moves the INSERTs of a script into the last of them, and takes the change of rows before them out; what stands before it
/// is left without any. `None` without a script or INSERTs.
pub(super) fn gather(session: &Session, statements: &mut [Parsed]) -> Result<Option<Together>> {
    let places: Vec<usize> = (0..statements.len()).filter(|i| writes(&statements[*i])).collect();
    let is_script = session.settings.is_script();
    check_variables(statements, is_script)?;
    if is_script {
        check_changes(statements)?;
    }
    let (Some(first), Some(last), true) = (places.first().copied(), places.last().copied(), is_script) else {
        return Ok(None);
    };
    let first = statements.iter().position(is_dml).unwrap_or(first);
    check_lacking(statements)?;
    let makes_rows = |s: &&Parsed| matches!(&s.statement, Statement::CreateTable(c) if c.as_query.is_some());
    if let Some(late) = statements[first..].iter().find(makes_rows) {
        return refuse(late, "CREATE TABLE AS after an INSERT of a script (odps.sql.submit.mode=script)");
    }
    let moves_rows = |s: &&Parsed| {
        matches!(s.statement, Statement::CreateMaterialized(_) | Statement::Load(_) | Statement::Unload(_))
    };
    if let Some(late) = statements[first..].iter().find(moves_rows) {
        return refuse(late, "this statement after an INSERT of a script (odps.sql.submit.mode=script)");
    }
    let is_other = |s: &&Parsed| !writes(s) && !is_dml(s) && !s.statement.is_temporary();
    if let Some(other) = statements[first..last].iter().find(is_other) {
        return refuse(other, "another statement between the INSERTs of a script (odps.sql.submit.mode=script)");
    }
    let (mut all, mut groups, mut dml) = (Vec::new(), Vec::new(), None);
    for parsed in &mut statements[first..=last] {
        let before = all.len();
        match std::mem::replace(&mut parsed.statement, Statement::MultiInsert(Vec::new())) {
            Statement::Insert(insert) => all.push(*insert),
            Statement::MultiInsert(inserts) => all.extend(inserts),
            Statement::Dml(change) => dml = Some(change),
            other => parsed.statement = other,
        }
        groups.push(all.len() - before);
    }
    statements[last].statement = Statement::MultiInsert(all);
    let query = match statements.get(last + 1).map(|next| &next.statement) {
        Some(Statement::Query(query)) => Some(query.clone()),
        _ => None,
    };
    Ok(Some(Together { index: last as i64, dml, groups, query }))
}

/// A variable is read where it is used, so nothing may have changed since it was assigned. The INSERTs of a script all read
/// what was there before the first of them.
fn check_variables(statements: &[Parsed], is_script: bool) -> Result<()> {
    for (i, parsed) in statements.iter().enumerate() {
        let Some(since) = parsed.variables else { continue };
        let together = |s: &Parsed| is_script && (writes(s) || is_dml(s)) && writes(parsed);
        let changes = |s: &Parsed| s.statement.changes_rows() && !together(s);
        if statements.get(since..i).unwrap_or_default().iter().any(changes) {
            return refuse(parsed, "a script variable after a statement that changes something");
        }
    }
    Ok(())
}

impl Together {
    /// Runs the statement that holds all of them, as step `index` of the job.
    pub(super) async fn run(&self, session: &Session, statement: &Statement, index: i64) -> Result<String> {
        let Statement::MultiInsert(inserts) = statement else {
            return Err(Error::internal("the INSERTs of a script have gone"));
        };
        self.check(session, inserts).await?;
        crate::system::refuse_change(session, statement).await?;
        crate::insert::run_after(session, self.dml.as_deref(), inserts, index).await?;
        Ok(String::new())
    }

    /// What the query behind the INSERTs is refused for, and ODPS-0130071 if one of theirs reads what a statement before it
    /// writes.
    async fn check(&self, session: &Session, inserts: &[Insert]) -> Result<()> {
        session.settings.refuse_modes()?;
        if let Some(query) = &self.query {
            plan_query(session, &session.state()?, (**query).clone()).await?;
        }
        let mut written: BTreeSet<TableName> = BTreeSet::new();
        if let Some(dml) = &self.dml {
            written.insert(changed(session, dml, inserts).await?);
        }
        let mut inserts = inserts.iter();
        for size in &self.groups {
            let group: Vec<&Insert> = inserts.by_ref().take(*size).collect();
            if !written.is_empty() {
                for insert in &group {
                    check_reads(session, insert, &written).await?;
                }
            }
            for insert in group {
                let (project, table, _) = names::table_name(&insert.table, session)?;
                written.insert((project, table));
            }
        }
        Ok(())
    }
}

/// The table that `dml` changes. An INSERT behind it may add rows to it, which is all that one commit can do at once.
async fn changed(session: &Session, dml: &Dml, inserts: &[Insert]) -> Result<TableName> {
    crate::system::refuse_change_of(session, &dml.table, "odps:Update").await?;
    let table = crate::dml::target(session, dml).await?;
    let changed = (table.row.project.clone(), table.row.local_name());
    for insert in inserts {
        let (project, name, _) = names::table_name(&insert.table, session)?;
        if (insert.overwrite || !key_of(&table.row).is_empty()) && (project, name) == changed {
            let what = match insert.overwrite {
                true => "INSERT OVERWRITE of a table that the same script has changed (odps.sql.submit.mode=script)",
                false => "INSERT into a table with PRIMARY KEY that the same script has changed",
            };
            return Err(errors::front_end(SqlError::unsupported(Position::from(insert.table.span()), what)));
        }
    }
    Ok(changed)
}

async fn check_reads(session: &Session, insert: &Insert, written: &BTreeSet<TableName>) -> Result<()> {
    let planned = plan_query(session, &session.state()?, *insert.source.clone()).await?;
    let mut names = planned.tables.iter().map(|t| (t.row.project.clone(), t.row.local_name()));
    match names.find(|name| written.contains(name)) {
        Some((project, table)) => {
            let detail = format!(
                "table {project}.{table} is read after a statement of the same script that writes it; assign what is to \
                 be written to a variable, and read that"
            );
            Err(errors::semantic(insert.table.span().into(), detail))
        }
        None => Ok(()),
    }
}
