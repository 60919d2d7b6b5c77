//! Instances of the table store, and what a request to it asks about its key.

use feitian_base::{Error, Result};
use sqlx::any::AnyRow;
use sqlx::query;

use crate::accounts::{account_columns, account_in, key_in};
use crate::cells::{Cells, all, one};
use crate::db::Meta;
use crate::fault::{Fault, conflict, not_found};
use crate::rows::{OtsCaller, OtsInstance};

/// The account's name is joined, so that an instance never shows a name that its account has no more.
macro_rules! instance_query {
    ($rest:expr) => {
        concat!(
            "SELECT i.id, i.name, i.account_id, COALESCE(a.name, ''), i.created_ms ",
            "FROM ots_instances i LEFT JOIN accounts a ON a.id = i.account_id ",
            $rest
        )
    };
}

fn read_instance(row: &AnyRow) -> Result<OtsInstance, Fault> {
    let mut c = Cells::new(row);
    let (id, name, account_id, account_name) = (c.text()?, c.text()?, c.text()?, c.text()?);
    Ok(OtsInstance { id, name, account_id, account_name, created_ms: c.int()? })
}

/// Reads the key, the account, then the columns of an instance that may not be there.
fn read_caller(row: &AnyRow) -> Result<OtsCaller, Fault> {
    let mut c = Cells::new(row);
    let (key, account) = (key_in(&mut c)?, account_in(&mut c)?);
    let (id, name, account_id) = (c.opt_text()?, c.opt_text()?, c.opt_text()?);
    let (account_name, created_ms) = (c.opt_text()?, c.opt_int()?);
    let instance = match (id, name, account_id, created_ms) {
        (Some(id), Some(name), Some(account_id), Some(created_ms)) => {
            let account_name = account_name.unwrap_or_default();
            Some(OtsInstance { id, name, account_id, account_name, created_ms })
        }
        _ => None,
    };
    Ok(OtsCaller { key, account, instance })
}

fn taken(name: &str) -> Error {
    conflict("ObjectAlreadyExists", format!("Instance '{name}' of the table store exists already"))
}

impl Meta {
    /// Adds an instance; `account_name` is not stored. `Conflict` `ObjectAlreadyExists` when the name is taken, `NotFound`
    /// when there is no such account.
    pub async fn create_ots_instance(&self, instance: &OtsInstance) -> Result<()> {
        write_tx!(self, |tx| {
            let account = query("SELECT id FROM accounts WHERE id = $1").bind(&instance.account_id);
            if account.fetch_optional(tx.conn()).await?.is_none() {
                let message = format!("There is no account with the id '{}'", instance.account_id);
                return Err(not_found("NoSuchObject", message).into());
            }
            let sql = "INSERT INTO ots_instances (id, name, account_id, created_ms) VALUES ($1, $2, $3, $4) \
                       ON CONFLICT DO NOTHING";
            let done = query(sql)
                .bind(&instance.id)
                .bind(&instance.name)
                .bind(&instance.account_id)
                .bind(instance.created_ms)
                .execute(tx.conn())
                .await?;
            if done.rows_affected() == 0 {
                return Err(taken(&instance.name).into());
            }
            Ok(())
        })
    }

    /// The instance of this name.
    pub async fn ots_instance(&self, name: &str) -> Result<Option<OtsInstance>> {
        let row = query(instance_query!("WHERE i.name = $1")).bind(name).fetch_optional(self.reader()).await;
        Ok(one(row.map_err(Fault::from)?, read_instance)?)
    }

    /// The instances of one account, or of all, by name.
    pub async fn list_ots_instances(&self, account_id: Option<&str>) -> Result<Vec<OtsInstance>> {
        let rows = match account_id {
            Some(id) => {
                let sql = instance_query!("WHERE i.account_id = $1 ORDER BY i.name");
                query(sql).bind(id).fetch_all(self.reader()).await
            }
            None => query(instance_query!("ORDER BY i.name")).fetch_all(self.reader()).await,
        };
        Ok(all(&rows.map_err(Fault::from)?, read_instance)?)
    }

    /// Forgets the instance with this id; false when there was none.
    pub async fn delete_ots_instance(&self, id: &str) -> Result<bool> {
        write_tx!(self, |tx| {
            let done = query("DELETE FROM ots_instances WHERE id = $1").bind(id).execute(tx.conn()).await?;
            Ok(done.rows_affected() > 0)
        })
    }

    /// The key with this id, its account, and the instance of this name, whosever it is; `None` when there is no such key.
    /// As the database has them now: what is remembered goes with the next change.
    pub async fn ots_caller(&self, access_id: &str, instance: &str) -> Result<Option<OtsCaller>> {
        if self.is_shared() {
            return self.read_ots_caller(access_id, instance).await;
        }
        if let Some(caller) = self.callers().get(access_id, instance) {
            return Ok(Some(caller));
        }
        let changes = self.callers().changes();
        let caller = self.read_ots_caller(access_id, instance).await?;
        if let Some(caller) = &caller {
            self.callers().keep(changes, instance, caller);
        }
        Ok(caller)
    }

    async fn read_ots_caller(&self, access_id: &str, instance: &str) -> Result<Option<OtsCaller>> {
        let sql = concat!(
            "SELECT k.access_id, k.account_id, k.enabled, k.expires_ms, k.sts_token_sha256, k.created_ms, ",
            "k.sealed_secret, ",
            account_columns!(),
            ", i.id, i.name, i.account_id, o.name, i.created_ms FROM access_keys k ",
            "JOIN accounts a ON a.id = k.account_id LEFT JOIN ots_instances i ON i.name = $2 ",
            "LEFT JOIN accounts o ON o.id = i.account_id WHERE k.access_id = $1"
        );
        let row = query(sql).bind(access_id).bind(instance).fetch_optional(self.reader()).await;
        Ok(one(row.map_err(Fault::from)?, read_caller)?)
    }
}
