//! What the account of a job may do: asked for every project, table and view that a statement names.
//!
//! Whoever owns a project or was admitted to it may do everything in it, and so may an administrator. A user of it may do
//! what was granted, and everything with the tables that the user owns, but nothing that a policy denies. The query of a
//! view may also read what the view's owner may read in the view's own project; for other projects the reader alone counts.

use feitian_base::{Error, Kind, Result, clock};
use feitian_meta::{Access, Claim, Project, SYSTEM_PROJECT, TOKEN_SETTING, Table, Target};
use feitian_sql::Position;
use feitian_types::Column;

use super::Session;
use super::errors::{semantic, statement_error};

/// How far the bearer token goes with which the job came; `None` if it came with a key. The job's own settings are asked,
/// because a SET in its text is its client's word.
pub(crate) fn token_scope(session: &Session) -> Option<String> {
    let settings: serde_json::Value = serde_json::from_str(&session.instance.settings).unwrap_or_default();
    settings.get(TOKEN_SETTING).map(|scope| scope.as_str().unwrap_or_default().to_string())
}

/// How far the account named `name` may go in `project` within this job, and the account's id. A bearer token opens one
/// project, whatever its account may see, and makes no administrator.
async fn access(session: &Session, name: &str, project: &str) -> Result<(Access, String)> {
    let meta = session.warehouse.meta();
    let by_token = token_scope(session).is_some();
    let Some(account) = meta.account_by_name(name).await? else { return Ok((Access::None, String::new())) };
    let access = if by_token && project != session.instance.project {
        Access::None
    } else if account.admin && !by_token {
        Access::Whole
    } else {
        meta.access(project, &account.id).await?
    };
    Ok((access, account.id))
}

/// True if the job's account may do everything in the project.
pub(crate) async fn is_whole(session: &Session, project: &str) -> Result<bool> {
    let (access, _) = access(session, &session.instance.owner, project).await?;
    Ok(access == Access::Whole)
}

/// Refuses projects in which the account of the job is nobody. What the account may do there with one table, or with the
/// project, is for [`check_table`] and [`check_project`] to say. Everybody may look into `sys`, where each finds what he
/// may see.
pub(crate) async fn enter(session: &Session, project: &str) -> Result<Option<Project>> {
    let Some(found) = session.warehouse.meta().project(project).await? else {
        if project == SYSTEM_PROJECT || project == session.instance.project {
            return Ok(None);
        }
        let text = format!(
            "ODPS-0420111:[0,0] Project not found - {project}; a schema needs its project before it, as in {}.{project}.t, \
             or SET odps.namespace.schema=true",
            session.project()
        );
        return Err(Error::new(Kind::NotFound, "ODPS-0420111", text));
    };
    match access(session, &session.instance.owner, project).await? {
        (Access::None, _) => Err(denied(
            "odps:Read",
            &format!("projects/{project}"),
            "; its owner may admit the account of this job",
            Position::UNKNOWN,
        )),
        _ => Ok(Some(found)),
    }
}

/// Refuses what the account of the job may not do with the project, for example `CreateTable`.
pub(crate) async fn check_project(session: &Session, project: &str, action: &str) -> Result<()> {
    check(session, project, &[(action, Target::project(project))], Claim::Nothing).await
}

/// What is done with functions, resources and schemas. A job that came with a bearer token was let in because the token's
/// policy allows everything with tables, and nobody has asked it for these.
const BEYOND_TABLES: [&str; 6] = ["Write", "Delete", "Drop", "CreateFunction", "CreateResource", "CreateSchema"];

/// Refuses what the account of the job may not do with something of the project: one of the actions, with its object, is
/// enough, and each may be denied.
pub(crate) async fn check(session: &Session, project: &str, wanted: &[(&str, Target)], claim: Claim) -> Result<()> {
    let beyond = wanted.iter().find(|(action, _)| BEYOND_TABLES.contains(action));
    if let Some((action, target)) = beyond.filter(|_| token_scope(session).is_some()) {
        let why = "; the job came with a bearer token, and those change tables only in SQL";
        return Err(denied(&format!("odps:{action}"), target.name(), why, Position::UNKNOWN));
    }
    // `sys`, or a project that went while the job waited: nothing is in it.
    let is_gone = enter(session, project).await?.is_none();
    if is_gone || may(session, &session.instance.owner, project, wanted, claim).await? {
        return Ok(());
    }
    let (action, name) = wanted.first().map_or(("All", ""), |(action, target)| (*action, target.name()));
    Err(denied(&format!("odps:{action}"), name, "", Position::UNKNOWN))
}

/// Refuses what may not be done with a table or view, for example `Select`.
pub(crate) async fn check_table(session: &Session, table: &Table, action: &str, at: Position) -> Result<()> {
    let owner = &session.instance.owner;
    let viewed = session.view.as_ref().filter(|(project, _)| *project == table.project).map(|(_, owner)| owner);
    for name in [Some(owner), viewed].into_iter().flatten() {
        if may_with(session, name, table, action).await? {
            return Ok(());
        }
    }
    Err(denied(&format!("odps:{action}"), Target::table(table).name(), "", at))
}

/// Those of the table's columns, as they are read, whose label is above that of the account of the job.
pub(crate) async fn hidden(session: &Session, table: &Table, columns: &[Column]) -> Result<Vec<String>> {
    let mut hidden = hidden_from(session, &session.instance.owner, table, columns).await?;
    if let Some((project, owner)) = &session.view
        && *project == table.project
        && !hidden.is_empty()
    {
        let theirs = hidden_from(session, owner, table, columns).await?;
        hidden.retain(|column| theirs.contains(column));
    }
    Ok(hidden)
}

async fn hidden_from(session: &Session, name: &str, table: &Table, columns: &[Column]) -> Result<Vec<String>> {
    match access(session, name, &table.project).await? {
        (Access::Whole, _) => Ok(Vec::new()),
        (Access::Granted, id) => session.warehouse.meta().hidden(table, columns, &id, clock::now_ms()).await,
        (Access::None, _) => Ok(columns.iter().map(|c| c.name.clone()).collect()),
    }
}

/// Refuses to copy a table with a column whose label is above that of the account.
pub(crate) async fn check_labels(session: &Session, table: &Table, columns: &[Column], at: Position) -> Result<()> {
    match hidden(session, table, columns).await?.first() {
        Some(column) => Err(above_label(table, column, at)),
        None => Ok(()),
    }
}

/// Refuses to take its name from a column with a label, by which the label knows it, and names under which a column would
/// have less than the label of the table or what was granted for another one.
pub(crate) async fn keep_labels(session: &Session, table: &Table, new: &[Column], at: Position) -> Result<()> {
    let meta = session.warehouse.meta();
    let labels = meta.labels(&table.id).await?;
    let is_lost = |name: &str| !name.is_empty() && !new.iter().any(|c| c.name == name);
    if let Some((name, level)) = labels.iter().find(|(name, level)| *level > 0 && is_lost(name)) {
        return Err(semantic(at, format!("column {name} has the label {level}; SET LABEL 0 first")));
    }
    let whole = labels.iter().find(|(name, _)| name.is_empty()).map_or(0, |(_, level)| *level);
    let is_new = |name: &str| !is_lost(name) && !table.schema.columns.iter().any(|c| c.name == name);
    if let Some((name, level)) = labels.iter().find(|(name, level)| !name.is_empty() && *level < whole && is_new(name))
    {
        let detail =
            format!("column {name} would have the label {level}, which another one had; the table has {whole}");
        return Err(semantic(at, detail));
    }
    let local = table.local_name();
    let granted = meta.label_grants(&table.project, clock::now_ms()).await?;
    match granted.iter().find(|grant| grant.table == local && is_lost(&grant.column)) {
        Some(grant) => Err(semantic(at, format!("a label was granted on column {}; REVOKE LABEL first", grant.column))),
        None => Ok(()),
    }
}

/// The refusal of a column.
pub(crate) fn above_label(table: &Table, column: &str, at: Position) -> Error {
    let why = format!(": the label of column '{column}' is above that of the account");
    denied("odps:Select", Target::table(table).name(), &why, at)
}

/// Refuses a new name under which policies let the account do with the table what they do not under its old one.
pub(crate) async fn check_rename(session: &Session, table: &Table, renamed: &Table, at: Position) -> Result<()> {
    let owner = &session.instance.owner;
    for action in ["Describe", "Select", "Update", "Alter", "Drop"] {
        if may_with(session, owner, renamed, action).await? && !may_with(session, owner, table, action).await? {
            let why = ", which the new name would give";
            return Err(denied(&format!("odps:{action}"), Target::table(table).name(), why, at));
        }
    }
    Ok(())
}

/// Refuses everybody but those who may do everything in the view's project and the view's own owner: it reads with the
/// rights of its owner, and whoever changes its query would have them.
pub(crate) async fn check_query(session: &Session, view: &Table, at: Position) -> Result<()> {
    let (access, _) = access(session, &session.instance.owner, &view.project).await?;
    if access == Access::Whole || (access == Access::Granted && view.owner == session.instance.owner) {
        return Ok(());
    }
    let why = format!(", because the query of a view is for the owner of {}", view.local_name());
    Err(denied("odps:Alter", Target::table(view).name(), &why, at))
}

/// Refuses everybody but those who may do everything in the project. A user who gave a view away would read with the rights
/// of the one who got it whatever later has the names in it.
pub(crate) async fn check_giver(session: &Session, table: &Table, at: Position) -> Result<()> {
    if is_whole(session, &table.project).await? {
        return Ok(());
    }
    let why = ", because CHANGEOWNER is for the owner of the project and for accounts that were admitted";
    Err(denied("odps:Alter", Target::table(table).name(), why, at))
}

/// Whether the account of this name may do one of the things that are wanted.
async fn may(session: &Session, name: &str, project: &str, wanted: &[(&str, Target)], claim: Claim) -> Result<bool> {
    let wanted: Vec<(&str, &Target)> = wanted.iter().map(|(action, target)| (*action, target)).collect();
    Ok(match access(session, name, project).await? {
        (Access::Whole, _) => true,
        (Access::Granted, id) => session.warehouse.meta().may(project, &id, &wanted, claim).await?,
        (Access::None, _) => false,
    })
}

async fn may_with(session: &Session, name: &str, table: &Table, action: &str) -> Result<bool> {
    let claim = if table.owner == name { Claim::Maker } else { Claim::Nothing };
    may(session, name, &table.project, &[(action, Target::table(table))], claim).await
}

/// The refusal in the words of the original.
pub(crate) fn denied(action: &str, resource: &str, why: &str, at: Position) -> Error {
    let detail =
        format!("Authorization Failed [4019], You have NO privilege '{action}' on {{acs:odps:*:{resource}}}{why}");
    statement_error(Kind::Denied, "ODPS-0130013", at, "Authorization exception", &detail)
}
