//! Script mode: the INSERTs of a script take effect together, or none does.
//!
//! They wait for the last one and become one statement with it, whose queries all read the tables as they were before. So a
//! query that reads what an INSERT before it writes is refused, as MaxCompute does (documentation, "SQL in script mode": a
//! script is one job that runs atomically; SET comes first, then DDL, then DML).

use std::collections::BTreeSet;

use feitian_base::Result;
use feitian_sql::{Insert, Parsed, SqlError, Statement};
use sqlparser::ast::{Query, Spanned};

use super::names::TableName;
use super::{Session, errors, names, plan_query};

/// INSERTs that take effect together.
pub(super) struct Together {
    /// The statement that holds all of them.
    pub(super) index: i64,
    /// How many INSERTs each statement had.
    groups: Vec<usize>,
    /// The query behind them: it must be a good one before they take effect.
    query: Option<Box<Query>>,
}

/// UPDATE, DELETE and MERGE are commits of their own, so that a script has one of them and no INSERT.
fn check_changes(statements: &[Parsed]) -> Result<()> {
    let is_dml = |s: &&Parsed| matches!(s.statement, Statement::Dml(_));
    let mut changes = statements.iter().filter(|s| writes(s) || is_dml(s));
    match (statements.iter().any(|s| is_dml(&s)), changes.nth(1)) {
        (true, Some(second)) => {
            refuse(second, "UPDATE, DELETE or MERGE beside another change in one script (odps.sql.submit.mode=script)")
        }
        _ => Ok(()),
    }
}

/// What can be said of a script before it does anything.
pub(super) fn check(statements: &[Parsed], is_script: bool) -> Result<()> {
    check_variables(statements, is_script)?;
    if is_script {
        check_changes(statements)?;
        check_lacking(statements)?;
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

pub(super) fn writes(parsed: &Parsed) -> bool {
    matches!(parsed.statement, Statement::Insert(_) | Statement::MultiInsert(_))
}

pub(super) fn refuse<T>(parsed: &Parsed, what: &str) -> Result<T> {
    Err(errors::front_end(SqlError::unsupported(parsed.position, what)))
}

/// Moves the INSERTs of a script into the last of them; those before it are left without any. `None` without a script or
/// INSERTs.
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
    if let Some(other) = statements[first..last].iter().find(|s| !writes(s) && !s.statement.is_temporary()) {
        return refuse(other, "another statement between the INSERTs of a script (odps.sql.submit.mode=script)");
    }
    let (mut all, mut groups) = (Vec::new(), Vec::new());
    for parsed in &mut statements[first..=last] {
        let before = all.len();
        match std::mem::replace(&mut parsed.statement, Statement::MultiInsert(Vec::new())) {
            Statement::Insert(insert) => all.push(*insert),
            Statement::MultiInsert(inserts) => all.extend(inserts),
            other => parsed.statement = other,
        }
        groups.push(all.len() - before);
    }
    statements[last].statement = Statement::MultiInsert(all);
    let query = match statements.get(last + 1).map(|next| &next.statement) {
        Some(Statement::Query(query)) => Some(query.clone()),
        _ => None,
    };
    Ok(Some(Together { index: last as i64, groups, query }))
}

/// A variable is read where it is used, so nothing may have changed since it was assigned. The INSERTs of a script all read
/// what was there before the first of them.
fn check_variables(statements: &[Parsed], is_script: bool) -> Result<()> {
    for (i, parsed) in statements.iter().enumerate() {
        let Some(since) = parsed.variables else { continue };
        let changes = |s: &Parsed| s.statement.changes_rows() && !(is_script && writes(s) && writes(parsed));
        if statements.get(since..i).unwrap_or_default().iter().any(changes) {
            return refuse(parsed, "a script variable after a statement that changes something");
        }
    }
    Ok(())
}

impl Together {
    /// What the query behind the INSERTs is refused for, and ODPS-0130071 if one of theirs reads what an INSERT before it
    /// writes.
    pub(super) async fn check(&self, session: &Session, statement: &Statement) -> Result<()> {
        let Statement::MultiInsert(inserts) = statement else { return Ok(()) };
        session.settings.refuse_modes()?;
        if let Some(query) = &self.query {
            plan_query(session, &session.state()?, (**query).clone()).await?;
        }
        let mut written: BTreeSet<TableName> = BTreeSet::new();
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

async fn check_reads(session: &Session, insert: &Insert, written: &BTreeSet<TableName>) -> Result<()> {
    let planned = plan_query(session, &session.state()?, *insert.source.clone()).await?;
    let mut names = planned.tables.iter().map(|t| (t.row.project.clone(), t.row.local_name()));
    match names.find(|name| written.contains(name)) {
        Some((project, table)) => {
            let detail = format!(
                "table {project}.{table} is read after an INSERT of the same script that writes it; assign what is to be \
                 written to a variable, and read that"
            );
            Err(errors::semantic(insert.table.span().into(), detail))
        }
        None => Ok(()),
    }
}
