//! Projects and who may enter them.

use feitian_base::{Error, Result, id};
use sqlx::any::AnyRow;
use sqlx::query;

use crate::accounts::{account_columns, read_account};
use crate::cells::{Cells, all, one};
use crate::db::Meta;
use crate::fault::{Fault, conflict, not_found};
use crate::range;
use crate::rows::{Account, Project, SYSTEM_PROJECT};
use crate::security::{forget_project, forget_user};
use crate::tx::Tx;

/// The owner's name is joined, so that a project never shows a name that its account has no more.
macro_rules! project_query {
    ($rest:expr) => {
        concat!(
            "SELECT p.name, p.owner_id, COALESCE(a.name, ''), p.comment, p.properties, p.created_ms, p.modified_ms ",
            "FROM projects p LEFT JOIN accounts a ON a.id = p.owner_id WHERE ",
            $rest
        )
    };
}

fn read_project(row: &AnyRow) -> Result<Project, Fault> {
    let mut c = Cells::new(row);
    Ok(Project {
        name: c.text()?,
        owner_id: c.text()?,
        owner_name: c.text()?,
        comment: c.text()?,
        properties: c.text()?,
        created_ms: c.int()?,
        modified_ms: c.int()?,
    })
}

pub(crate) fn no_such_project(name: &str) -> Error {
    not_found("NoSuchProject", format!("Project not found - '{name}'"))
}

/// Fails unless the project is there; on PostgreSQL it stays until the transaction ends.
pub(crate) async fn hold_project(tx: &mut Tx, name: &str) -> Result<(), Fault> {
    let pair = ("SELECT name FROM projects WHERE name = $1", "SELECT name FROM projects WHERE name = $1 FOR SHARE");
    let sql = tx.locking(pair);
    match query(sql).bind(name).fetch_optional(tx.conn()).await? {
        Some(_) => Ok(()),
        None => Err(no_such_project(name).into()),
    }
}

impl Meta {
    /// Adds a project; `owner_name` is not stored. `Conflict` `ObjectAlreadyExists` when the name is taken, `NotFound`
    /// when its owner is no account, `Invalid` for [`SYSTEM_PROJECT`].
    pub async fn create_project(&self, project: &Project) -> Result<()> {
        if project.name == SYSTEM_PROJECT {
            let message = format!("'{SYSTEM_PROJECT}' names the tables of the system; choose another name");
            return Err(Error::invalid(message));
        }
        write_tx!(self, |tx| {
            let owner = query("SELECT id FROM accounts WHERE id = $1").bind(&project.owner_id);
            if owner.fetch_optional(tx.conn()).await?.is_none() {
                let message = format!("There is no account with the id '{}' to own the project", project.owner_id);
                return Err(not_found("NoSuchObject", message).into());
            }
            let sql = "INSERT INTO projects (name, owner_id, comment, properties, created_ms, modified_ms) \
                       VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING";
            let done = query(sql)
                .bind(&project.name)
                .bind(&project.owner_id)
                .bind(&project.comment)
                .bind(&project.properties)
                .bind(project.created_ms)
                .bind(project.modified_ms)
                .execute(tx.conn())
                .await?;
            if done.rows_affected() == 0 {
                let message = format!("Project '{}' exists already", project.name);
                return Err(conflict("ObjectAlreadyExists", message).into());
            }
            Ok(())
        })
    }

    /// The project of this name.
    pub async fn project(&self, name: &str) -> Result<Option<Project>> {
        let row = query(project_query!("p.name = $1")).bind(name).fetch_optional(self.reader()).await;
        Ok(one(row.map_err(Fault::from)?, read_project)?)
    }

    /// At most `limit` projects whose names begin with `prefix` and come after `after`, by name.
    pub async fn list_projects(&self, prefix: &str, after: Option<&str>, limit: i64) -> Result<Vec<Project>> {
        let (low, high) = range::page(prefix, after);
        let sql = project_query!("p.name >= $1 AND p.name < $2 ORDER BY p.name LIMIT $3");
        let rows = query(sql).bind(low).bind(high).bind(limit.max(0)).fetch_all(self.reader()).await;
        Ok(all(&rows.map_err(Fault::from)?, read_project)?)
    }

    /// Replaces the comment and the properties that are given. `NotFound` `NoSuchProject` when there is none.
    pub async fn update_project(
        &self,
        name: &str,
        comment: Option<&str>,
        properties: Option<&str>,
        modified_ms: i64,
    ) -> Result<()> {
        write_tx!(self, |tx| {
            let sql = "UPDATE projects SET comment = COALESCE($2, comment), properties = COALESCE($3, properties), \
                       modified_ms = $4 WHERE name = $1";
            let change = query(sql).bind(name).bind(comment).bind(properties).bind(modified_ms);
            if change.execute(tx.conn()).await?.rows_affected() == 0 {
                return Err(no_such_project(name).into());
            }
            Ok(())
        })
    }

    /// Forgets the project and who may enter it. `Conflict` while it has live tables, views, schemas, resources,
    /// functions or volumes.
    pub async fn delete_project(&self, name: &str) -> Result<()> {
        write_tx!(self, |tx| {
            // The row first: on PostgreSQL this waits for tables that are being created in the project.
            let done = query("DELETE FROM projects WHERE name = $1").bind(name).execute(tx.conn()).await?;
            if done.rows_affected() == 0 {
                return Err(no_such_project(name).into());
            }
            let sql = "SELECT name FROM tables WHERE project = $1 AND dropped_ms IS NULL LIMIT 1";
            if let Some(row) = query(sql).bind(name).fetch_optional(tx.conn()).await? {
                let table = Cells::new(&row).text()?;
                let message = format!("Project '{name}' still has tables, for example '{table}'; drop them first");
                return Err(conflict("ProjectNotEmpty", message).into());
            }
            for (what, sql) in [
                ("schemas", "SELECT name FROM schemas WHERE project = $1 LIMIT 1"),
                ("functions", "SELECT name FROM functions WHERE project = $1 LIMIT 1"),
                ("resources", "SELECT name FROM resources WHERE project = $1 LIMIT 1"),
                ("volumes", "SELECT name FROM volumes WHERE project = $1 LIMIT 1"),
            ] {
                if let Some(row) = query(sql).bind(name).fetch_optional(tx.conn()).await? {
                    let example = Cells::new(&row).text()?;
                    let message =
                        format!("Project '{name}' still has {what}, for example '{example}'; drop them first");
                    return Err(conflict("ProjectNotEmpty", message).into());
                }
            }
            let sql = "SELECT id FROM instances WHERE project = $1 AND state IN ('Waiting', 'Running') LIMIT 1";
            if let Some(row) = query(sql).bind(name).fetch_optional(tx.conn()).await? {
                let job = Cells::new(&row).text()?;
                let message = format!("Project '{name}' still has jobs, for example '{job}'; stop them first");
                return Err(conflict("ProjectNotEmpty", message).into());
            }
            // Whoever takes the name next must not see these jobs. They and their results go when their time has come.
            query("UPDATE instances SET project = $2 WHERE project = $1")
                .bind(name)
                .bind(format!("{name}:{}", id::ulid()))
                .execute(tx.conn())
                .await?;
            query("DELETE FROM admissions WHERE project = $1").bind(name).execute(tx.conn()).await?;
            forget_project(&mut tx, name).await
        })
    }

    /// Lets the account into the project; nothing happens when it is in. `NotFound` when either is not there.
    pub async fn admit(&self, project: &str, account_id: &str) -> Result<()> {
        write_tx!(self, |tx| {
            hold_project(&mut tx, project).await?;
            let account = query("SELECT id FROM accounts WHERE id = $1").bind(account_id);
            if account.fetch_optional(tx.conn()).await?.is_none() {
                return Err(not_found("NoSuchObject", format!("There is no account with the id '{account_id}'")).into());
            }
            let sql = "INSERT INTO admissions (project, account_id) VALUES ($1, $2) ON CONFLICT DO NOTHING";
            query(sql).bind(project).bind(account_id).execute(tx.conn()).await?;
            Ok(())
        })
    }

    /// Takes an admission back, and whatever was granted; nothing happens when there is none. The owner stays in.
    pub async fn expel(&self, project: &str, account_id: &str) -> Result<()> {
        write_tx!(self, |tx| {
            let sql = "DELETE FROM admissions WHERE project = $1 AND account_id = $2";
            query(sql).bind(project).bind(account_id).execute(tx.conn()).await?;
            forget_user(&mut tx, project, account_id).await?;
            Ok(())
        })
    }

    /// True when the account owns the project or was admitted.
    pub async fn is_admitted(&self, project: &str, account_id: &str) -> Result<bool> {
        let sql = "SELECT name FROM projects WHERE name = $1 AND owner_id = $2 \
                   UNION ALL SELECT project FROM admissions WHERE project = $1 AND account_id = $2";
        let row = query(sql).bind(project).bind(account_id).fetch_optional(self.reader()).await;
        Ok(row.map_err(Fault::from)?.is_some())
    }

    /// The names of the projects that the account owns or was admitted to, in byte order.
    pub async fn projects_of(&self, account_id: &str) -> Result<Vec<String>> {
        let sql = "SELECT name FROM projects WHERE owner_id = $1 \
                   UNION SELECT project FROM admissions WHERE account_id = $1 ORDER BY 1";
        let rows = query(sql).bind(account_id).fetch_all(self.reader()).await.map_err(Fault::from)?;
        Ok(all(&rows, |r| Cells::new(r).text())?)
    }

    /// The admitted accounts, by name; the owner only when admitted as well.
    pub async fn admitted(&self, project: &str) -> Result<Vec<Account>> {
        let sql = concat!(
            "SELECT ",
            account_columns!(),
            " FROM admissions m JOIN accounts a ON a.id = m.account_id WHERE m.project = $1 ORDER BY a.name"
        );
        let rows = query(sql).bind(project).fetch_all(self.reader()).await.map_err(Fault::from)?;
        Ok(all(&rows, read_account)?)
    }
}
