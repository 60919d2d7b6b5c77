//! Users of a project who may do only what was granted to them, roles, and grants.
//!
//! Whoever owns a project or was admitted to it may do everything there and needs no grant. A user is in the project as
//! well, and has what was granted to the user or to one of the user's roles. A grant on a table is one on its id: it
//! follows the table through RENAME and ends with it.

use feitian_base::{Error, Kind, Result};
use sqlx::any::AnyRow;
use sqlx::query;

use crate::accounts::{account_columns, read_account};
use crate::cells::{Cells, all};
use crate::db::Meta;
use crate::fault::{Fault, conflict, corrupt, not_found};
use crate::labels::forget_holder;
use crate::projects::hold_project;
use crate::rows::{ALL_ACTIONS, Account, Granted, Grantee, Securable, Step};
use crate::steps::advance;
use crate::tx::Tx;

/// The text of a grantee in the database.
pub(crate) fn grantee_text(grantee: &Grantee) -> String {
    match grantee {
        Grantee::User(id) => format!("user/{id}"),
        Grantee::Role(name) => format!("role/{name}"),
    }
}

pub(crate) fn grantee_of(text: &str) -> Result<Grantee, Fault> {
    match text.split_once('/') {
        Some(("user", id)) => Ok(Grantee::User(id.to_string())),
        Some(("role", name)) => Ok(Grantee::Role(name.to_string())),
        _ => Err(corrupt(format!("'{text}' is no holder of a grant")).into()),
    }
}

/// The text of an object in the database: empty for the project itself, else the id of a table.
fn object_text(object: &Securable) -> &str {
    match object {
        Securable::Project => "",
        Securable::Table(id) => id,
    }
}

fn read_granted(row: &AnyRow) -> Result<Granted, Fault> {
    let mut c = Cells::new(row);
    let grantee = grantee_of(&c.text()?)?;
    let object = c.text()?;
    let object = if object.is_empty() { Securable::Project } else { Securable::Table(object) };
    Ok(Granted { grantee, object, action: c.text()?, schema_name: c.text()?, table: c.text()? })
}

pub(crate) fn no_such_role(project: &str, role: &str) -> Error {
    not_found("NoSuchObject", format!("Role not found - '{role}' in project '{project}'"))
}

fn no_such_user(project: &str, account: &str) -> Error {
    not_found("NoSuchObject", format!("User not found - account '{account}' is no user of project '{project}'"))
}

/// Fails unless the role is there; on PostgreSQL it stays until the transaction ends.
pub(crate) async fn hold_role(tx: &mut Tx, project: &str, role: &str) -> Result<(), Fault> {
    let sql = tx.locking((
        "SELECT name FROM roles WHERE project = $1 AND name = $2",
        "SELECT name FROM roles WHERE project = $1 AND name = $2 FOR SHARE",
    ));
    let row = query(sql).bind(project).bind(role).fetch_optional(tx.conn()).await?;
    row.map(|_| ()).ok_or_else(|| no_such_role(project, role).into())
}

/// Fails unless the account is a user of the project; on PostgreSQL it stays one until the transaction ends.
async fn hold_user(tx: &mut Tx, project: &str, account_id: &str) -> Result<(), Fault> {
    let sql = tx.locking((
        "SELECT account_id FROM project_users WHERE project = $1 AND account_id = $2",
        "SELECT account_id FROM project_users WHERE project = $1 AND account_id = $2 FOR SHARE",
    ));
    let row = query(sql).bind(project).bind(account_id).fetch_optional(tx.conn()).await?;
    row.map(|_| ()).ok_or_else(|| no_such_user(project, account_id).into())
}

/// Fails unless the grantee is in the project, where it stays on PostgreSQL until the transaction ends.
pub(crate) async fn hold_grantee(tx: &mut Tx, project: &str, grantee: &Grantee) -> Result<(), Fault> {
    match grantee {
        Grantee::User(id) => hold_user(tx, project, id).await,
        Grantee::Role(name) => hold_role(tx, project, name).await,
    }
}

/// Takes everything from a user that the user has in the project; true when there was a user.
pub(crate) async fn forget_user(tx: &mut Tx, project: &str, account_id: &str) -> Result<bool, Fault> {
    let sql = "DELETE FROM project_users WHERE project = $1 AND account_id = $2";
    let gone = query(sql).bind(project).bind(account_id).execute(tx.conn()).await?.rows_affected() > 0;
    let sql = "DELETE FROM role_members WHERE project = $1 AND account_id = $2";
    query(sql).bind(project).bind(account_id).execute(tx.conn()).await?;
    let sql = "DELETE FROM grants WHERE project = $1 AND grantee = $2";
    let user = grantee_text(&Grantee::User(account_id.to_string()));
    query(sql).bind(project).bind(&user).execute(tx.conn()).await?;
    forget_holder(tx, project, &user).await?;
    Ok(gone)
}

/// Takes users, roles, grants and policies of a project that goes.
pub(crate) async fn forget_project(tx: &mut Tx, project: &str) -> Result<(), Fault> {
    for sql in [
        "DELETE FROM project_users WHERE project = $1",
        "DELETE FROM role_members WHERE project = $1",
        "DELETE FROM roles WHERE project = $1",
        "DELETE FROM grants WHERE project = $1",
        "DELETE FROM policies WHERE project = $1",
        "DELETE FROM security_switches WHERE project = $1",
        "DELETE FROM holder_labels WHERE project = $1",
        "DELETE FROM label_grants WHERE project = $1",
    ] {
        query(sql).bind(project).execute(tx.conn()).await?;
    }
    Ok(())
}

impl Meta {
    /// True when `action` on `object`, or all actions on it, was granted to the user or to a role that the user has.
    /// Says nothing of what needs no grant, nor of policies: ask [`Meta::may`].
    pub async fn is_granted(&self, project: &str, account_id: &str, object: &Securable, action: &str) -> Result<bool> {
        let sql = "SELECT g.action FROM grants g JOIN project_users u ON u.project = g.project AND u.account_id = $2 \
                   WHERE g.project = $1 AND g.object = $3 AND g.action IN ($4, $5) AND (g.grantee = $6 OR g.grantee IN \
                   (SELECT 'role/' || m.role FROM role_members m WHERE m.project = $1 AND m.account_id = $2)) LIMIT 1";
        let row = query(sql)
            .bind(project)
            .bind(account_id)
            .bind(object_text(object))
            .bind(action)
            .bind(ALL_ACTIONS)
            .bind(grantee_text(&Grantee::User(account_id.to_string())))
            .fetch_optional(self.reader())
            .await;
        Ok(row.map_err(Fault::from)?.is_some())
    }

    /// Makes the account a user of the project, who may do nothing yet, and advances `step`. `Conflict`
    /// `ObjectAlreadyExists` when the account is in the project already, `NotFound` when either is not there.
    pub async fn add_user(&self, project: &str, account_id: &str, step: &Step) -> Result<()> {
        write_tx!(self, |tx| {
            advance(&mut tx, step).await?;
            hold_project(&mut tx, project).await?;
            let account = query("SELECT id FROM accounts WHERE id = $1").bind(account_id);
            if account.fetch_optional(tx.conn()).await?.is_none() {
                return Err(not_found("NoSuchObject", format!("There is no account with the id '{account_id}'")).into());
            }
            let taken = || {
                let message = format!("Account '{account_id}' is in project '{project}' already");
                conflict("ObjectAlreadyExists", message)
            };
            let sql = "SELECT name FROM projects WHERE name = $1 AND owner_id = $2 \
                       UNION ALL SELECT project FROM admissions WHERE project = $1 AND account_id = $2";
            if query(sql).bind(project).bind(account_id).fetch_optional(tx.conn()).await?.is_some() {
                return Err(taken().into());
            }
            let sql = "INSERT INTO project_users (project, account_id) VALUES ($1, $2) ON CONFLICT DO NOTHING";
            let done = query(sql).bind(project).bind(account_id).execute(tx.conn()).await?;
            if done.rows_affected() == 0 { Err(taken().into()) } else { Ok(()) }
        })
    }

    /// Puts the account out of the project, with its roles, its grants and its admission, and advances `step`.
    /// `NotFound` when it is not in; the owner cannot be put out.
    pub async fn remove_user(&self, project: &str, account_id: &str, step: &Step) -> Result<()> {
        write_tx!(self, |tx| {
            advance(&mut tx, step).await?;
            let sql = "SELECT name FROM projects WHERE name = $1 AND owner_id = $2";
            if query(sql).bind(project).bind(account_id).fetch_optional(tx.conn()).await?.is_some() {
                let message = format!("Account '{account_id}' owns project '{project}' and stays in it");
                return Err(Error::new(Kind::Invalid, "InvalidParameter", message).into());
            }
            let was_user = forget_user(&mut tx, project, account_id).await?;
            let sql = "DELETE FROM admissions WHERE project = $1 AND account_id = $2";
            let admitted = query(sql).bind(project).bind(account_id).execute(tx.conn()).await?.rows_affected() > 0;
            if was_user || admitted { Ok(()) } else { Err(no_such_user(project, account_id).into()) }
        })
    }

    /// The users who have nothing but what was granted, by name.
    pub async fn project_users(&self, project: &str) -> Result<Vec<Account>> {
        let sql = concat!(
            "SELECT ",
            account_columns!(),
            " FROM project_users u JOIN accounts a ON a.id = u.account_id WHERE u.project = $1 ORDER BY a.name"
        );
        let rows = query(sql).bind(project).fetch_all(self.reader()).await.map_err(Fault::from)?;
        Ok(all(&rows, read_account)?)
    }

    /// Adds a role and advances `step`. `Conflict` `ObjectAlreadyExists` when the name is taken, `NotFound` without the
    /// project.
    pub async fn create_role(&self, project: &str, role: &str, created_ms: i64, step: &Step) -> Result<()> {
        write_tx!(self, |tx| {
            advance(&mut tx, step).await?;
            hold_project(&mut tx, project).await?;
            let sql = "INSERT INTO roles (project, name, created_ms) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
            let done = query(sql).bind(project).bind(role).bind(created_ms).execute(tx.conn()).await?;
            if done.rows_affected() == 0 {
                let message = format!("Role '{role}' exists already in project '{project}'");
                return Err(conflict("ObjectAlreadyExists", message).into());
            }
            Ok(())
        })
    }

    /// Removes a role, its policy and what was granted to it, and advances `step`. `NotFound` when there is none, `Conflict`
    /// while a user has it.
    pub async fn drop_role(&self, project: &str, role: &str, step: &Step) -> Result<()> {
        write_tx!(self, |tx| {
            advance(&mut tx, step).await?;
            // The row first: on PostgreSQL this waits for whoever is just giving the role to somebody.
            let sql = "DELETE FROM roles WHERE project = $1 AND name = $2";
            if query(sql).bind(project).bind(role).execute(tx.conn()).await?.rows_affected() == 0 {
                return Err(no_such_role(project, role).into());
            }
            let sql = "SELECT account_id FROM role_members WHERE project = $1 AND role = $2 LIMIT 1";
            if query(sql).bind(project).bind(role).fetch_optional(tx.conn()).await?.is_some() {
                let message = format!("Role '{role}' still has users; REVOKE it from them first");
                return Err(conflict("InvalidStateSetting", message).into());
            }
            let sql = "DELETE FROM grants WHERE project = $1 AND grantee = $2";
            let grantee = grantee_text(&Grantee::Role(role.to_string()));
            query(sql).bind(project).bind(&grantee).execute(tx.conn()).await?;
            forget_holder(&mut tx, project, &grantee).await?;
            let sql = "DELETE FROM policies WHERE project = $1 AND role = $2";
            query(sql).bind(project).bind(role).execute(tx.conn()).await?;
            Ok(())
        })
    }

    /// The roles of the project, or those that one account has, by name.
    pub async fn roles(&self, project: &str, of: Option<&str>) -> Result<Vec<String>> {
        let found = match of {
            None => query("SELECT name FROM roles WHERE project = $1 ORDER BY name").bind(project),
            Some(account_id) => {
                query("SELECT role FROM role_members WHERE project = $1 AND account_id = $2 ORDER BY role")
                    .bind(project)
                    .bind(account_id)
            }
        };
        let rows = found.fetch_all(self.reader()).await.map_err(Fault::from)?;
        Ok(all(&rows, |r| Cells::new(r).text())?)
    }

    /// The users who have the role, by name. `NotFound` when there is none of this name.
    pub async fn role_users(&self, project: &str, role: &str) -> Result<Vec<Account>> {
        let sql = "SELECT name FROM roles WHERE project = $1 AND name = $2";
        let row = query(sql).bind(project).bind(role).fetch_optional(self.reader()).await.map_err(Fault::from)?;
        if row.is_none() {
            return Err(no_such_role(project, role));
        }
        let sql = concat!(
            "SELECT ",
            account_columns!(),
            " FROM role_members m JOIN accounts a ON a.id = m.account_id WHERE m.project = $1 AND m.role = $2 ",
            "ORDER BY a.name"
        );
        let rows = query(sql).bind(project).bind(role).fetch_all(self.reader()).await.map_err(Fault::from)?;
        Ok(all(&rows, read_account)?)
    }

    /// Gives a role to a user and advances `step`; nothing else happens when the user has it. `NotFound` when either is
    /// not there.
    pub async fn assign_role(&self, project: &str, role: &str, account_id: &str, step: &Step) -> Result<()> {
        write_tx!(self, |tx| {
            advance(&mut tx, step).await?;
            hold_role(&mut tx, project, role).await?;
            hold_user(&mut tx, project, account_id).await?;
            let sql = "INSERT INTO role_members (project, role, account_id) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
            query(sql).bind(project).bind(role).bind(account_id).execute(tx.conn()).await?;
            Ok(())
        })
    }

    /// Takes a role from a user and advances `step`. `NotFound` when the user does not have it.
    pub async fn unassign_role(&self, project: &str, role: &str, account_id: &str, step: &Step) -> Result<()> {
        write_tx!(self, |tx| {
            advance(&mut tx, step).await?;
            let sql = "DELETE FROM role_members WHERE project = $1 AND role = $2 AND account_id = $3";
            let done = query(sql).bind(project).bind(role).bind(account_id).execute(tx.conn()).await?;
            if done.rows_affected() == 0 {
                let message = format!("Account '{account_id}' does not have role '{role}' in project '{project}'");
                return Err(not_found("NoSuchObject", message).into());
            }
            Ok(())
        })
    }

    /// Grants actions on an object and advances `step`; those that are granted stay so. `NotFound` when the grantee is no
    /// user and no role of the project.
    pub async fn grant(
        &self,
        project: &str,
        grantee: &Grantee,
        object: &Securable,
        actions: &[String],
        step: &Step,
    ) -> Result<()> {
        write_tx!(self, |tx| {
            advance(&mut tx, step).await?;
            hold_grantee(&mut tx, project, grantee).await?;
            for action in actions {
                let sql = "INSERT INTO grants (project, object, grantee, action) VALUES ($1, $2, $3, $4) \
                           ON CONFLICT DO NOTHING";
                let one = query(sql).bind(project).bind(object_text(object)).bind(grantee_text(grantee)).bind(action);
                one.execute(tx.conn()).await?;
            }
            Ok(())
        })
    }

    /// Takes actions on an object back and advances `step`; those that were not granted are none. [`ALL_ACTIONS`] takes
    /// whatever was granted on the object. `Conflict` when one of the actions was granted as a part of all of them only,
    /// because it would stay.
    pub async fn revoke(
        &self,
        project: &str,
        grantee: &Grantee,
        object: &Securable,
        actions: &[String],
        step: &Step,
    ) -> Result<()> {
        write_tx!(self, |tx| {
            advance(&mut tx, step).await?;
            let (object, grantee) = (object_text(object), grantee_text(grantee));
            if actions.iter().any(|a| a == ALL_ACTIONS) {
                let sql = "DELETE FROM grants WHERE project = $1 AND object = $2 AND grantee = $3";
                query(sql).bind(project).bind(object).bind(grantee).execute(tx.conn()).await?;
                return Ok(());
            }
            let sql = "SELECT action FROM grants WHERE project = $1 AND object = $2 AND grantee = $3 AND action = $4";
            let whole = query(sql).bind(project).bind(object).bind(&grantee).bind(ALL_ACTIONS);
            if whole.fetch_optional(tx.conn()).await?.is_some() {
                let message = "All was granted on the object; REVOKE All, then GRANT what shall stay";
                return Err(conflict("InvalidStateSetting", message).into());
            }
            for action in actions {
                let sql = "DELETE FROM grants WHERE project = $1 AND object = $2 AND grantee = $3 AND action = $4";
                query(sql).bind(project).bind(object).bind(&grantee).bind(action).execute(tx.conn()).await?;
            }
            Ok(())
        })
    }

    /// What was granted in the project to one grantee or to all, without that on tables which are gone; by object,
    /// grantee and action.
    pub async fn grants(&self, project: &str, to: Option<&Grantee>) -> Result<Vec<Granted>> {
        let sql = "SELECT g.grantee, g.object, g.action, COALESCE(t.schema_name, ''), COALESCE(t.name, '') \
                   FROM grants g LEFT JOIN tables t ON t.id = g.object AND t.dropped_ms IS NULL \
                   WHERE g.project = $1 AND (g.grantee = $2 OR $2 = '') AND (g.object = '' OR t.id IS NOT NULL) \
                   ORDER BY g.object, g.grantee, g.action";
        let to = to.map(grantee_text).unwrap_or_default();
        let rows = query(sql).bind(project).bind(to).fetch_all(self.reader()).await.map_err(Fault::from)?;
        Ok(all(&rows, read_granted)?)
    }

    /// The account that submitted a job; `None` when there is no such job.
    pub async fn instance_owner(&self, project: &str, id: &str) -> Result<Option<String>> {
        let sql = "SELECT owner FROM instances WHERE id = $1 AND project = $2";
        let row = query(sql).bind(id).bind(project).fetch_optional(self.reader()).await.map_err(Fault::from)?;
        Ok(row.map(|r| Cells::new(&r).text()).transpose()?)
    }
}
