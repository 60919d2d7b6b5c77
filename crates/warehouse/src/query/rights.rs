//! What the account of a job may do: asked for every project, table and view that a statement names.
//!
//! Whoever owns a project or was admitted to it may do everything in it, and so may an administrator. A user of it may do
//! what was granted, and everything with the tables that the user owns. The query of a view may also read what the view's
//! owner may read in the view's own project; for other projects the reader alone counts.

use feitian_base::{Error, Kind, Result};
use feitian_meta::{Access, DEFAULT_SCHEMA, Project, SYSTEM_PROJECT, Securable, TOKEN_SETTING, Table};
use feitian_sql::Position;

use super::Session;
use super::errors::statement_error;

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
    enter(session, project).await?;
    let (access, id) = access(session, &session.instance.owner, project).await?;
    let meta = session.warehouse.meta();
    let may = match access {
        Access::Whole => true,
        Access::Granted => meta.is_granted(project, &id, &Securable::Project, action).await?,
        // `sys`, or a project that went while the job waited: nothing is in it.
        Access::None => meta.project(project).await?.is_none(),
    };
    if may {
        return Ok(());
    }
    Err(denied(&format!("odps:{action}"), &format!("projects/{project}"), "", Position::UNKNOWN))
}

/// Refuses what may not be done with a table or view, for example `Select`.
pub(crate) async fn check_table(session: &Session, table: &Table, action: &str, at: Position) -> Result<()> {
    if may(session, &session.instance.owner, table, action).await? {
        return Ok(());
    }
    if let Some((project, owner)) = &session.view
        && *project == table.project
        && may(session, owner, table, action).await?
    {
        return Ok(());
    }
    Err(denied(&format!("odps:{action}"), &resource_of(table), "", at))
}

/// A table or view as policies name it.
fn resource_of(table: &Table) -> String {
    let within = match table.schema_name.as_str() {
        DEFAULT_SCHEMA => String::new(),
        schema => format!("schemas/{schema}/"),
    };
    format!("projects/{}/{within}tables/{}", table.project, table.name)
}

/// Refuses everybody but those who may do everything in the view's project and the view's own owner: it reads with the
/// rights of its owner, and whoever changes its query would have them.
pub(crate) async fn check_query(session: &Session, view: &Table, at: Position) -> Result<()> {
    let (access, _) = access(session, &session.instance.owner, &view.project).await?;
    if access == Access::Whole || (access == Access::Granted && view.owner == session.instance.owner) {
        return Ok(());
    }
    let why = format!(", because the query of a view is for the owner of {}", view.local_name());
    Err(denied("odps:Alter", &resource_of(view), &why, at))
}

/// Refuses everybody but those who may do everything in the project. A user who gave a view away would read with the rights
/// of the one who got it whatever later has the names in it.
pub(crate) async fn check_giver(session: &Session, table: &Table, at: Position) -> Result<()> {
    if is_whole(session, &table.project).await? {
        return Ok(());
    }
    let why = ", because CHANGEOWNER is for the owner of the project and for accounts that were admitted";
    Err(denied("odps:Alter", &resource_of(table), why, at))
}

async fn may(session: &Session, name: &str, table: &Table, action: &str) -> Result<bool> {
    Ok(match access(session, name, &table.project).await? {
        (Access::Whole, _) => true,
        (Access::Granted, _) if table.owner == name => true,
        (Access::Granted, id) => {
            let object = Securable::Table(table.id.clone());
            session.warehouse.meta().is_granted(&table.project, &id, &object, action).await?
        }
        (Access::None, _) => false,
    })
}

/// The refusal in the words of the original.
pub(crate) fn denied(action: &str, resource: &str, why: &str, at: Position) -> Error {
    let detail =
        format!("Authorization Failed [4019], You have NO privilege '{action}' on {{acs:odps:*:{resource}}}{why}");
    statement_error(Kind::Denied, "ODPS-0130013", at, "Authorization exception", &detail)
}
