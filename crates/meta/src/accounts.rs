//! Accounts and their access keys.

use feitian_base::Result;
use sqlx::any::AnyRow;
use sqlx::query;

use crate::cells::{Cells, all, one};
use crate::db::Meta;
use crate::fault::{Fault, conflict, not_found};
use crate::rows::{AccessKey, Account};

macro_rules! account_columns {
    () => {
        "a.id, a.name, a.enabled, a.admin, a.created_ms"
    };
}
pub(crate) use account_columns;

macro_rules! key_columns {
    () => {
        "access_id, account_id, enabled, expires_ms, sts_token_sha256, created_ms, sealed_secret"
    };
}

/// Reads [`account_columns!`].
pub(crate) fn read_account(row: &AnyRow) -> Result<Account, Fault> {
    account_in(&mut Cells::new(row))
}

/// Reads [`account_columns!`] among others.
pub(crate) fn account_in(c: &mut Cells<'_>) -> Result<Account, Fault> {
    Ok(Account { id: c.text()?, name: c.text()?, enabled: c.flag()?, admin: c.flag()?, created_ms: c.int()? })
}

fn read_key(row: &AnyRow) -> Result<AccessKey, Fault> {
    key_in(&mut Cells::new(row))
}

/// Reads the columns of a key among others, in the order of [`key_columns!`].
pub(crate) fn key_in(c: &mut Cells<'_>) -> Result<AccessKey, Fault> {
    Ok(AccessKey {
        access_id: c.text()?,
        account_id: c.text()?,
        enabled: c.flag()?,
        expires_ms: c.opt_int()?,
        sts_token_sha256: c.opt_text()?,
        created_ms: c.int()?,
        sealed_secret: c.bytes()?,
    })
}

impl Meta {
    /// Adds an account. `Conflict` `ObjectAlreadyExists` when its id or name is taken.
    pub async fn create_account(&self, account: &Account) -> Result<()> {
        write_tx!(self, |tx| {
            let sql = "INSERT INTO accounts (id, name, enabled, admin, created_ms) VALUES ($1, $2, $3, $4, $5) \
                       ON CONFLICT DO NOTHING";
            let done = query(sql)
                .bind(&account.id)
                .bind(&account.name)
                .bind(i64::from(account.enabled))
                .bind(i64::from(account.admin))
                .bind(account.created_ms)
                .execute(tx.conn())
                .await?;
            if done.rows_affected() == 0 {
                let message = format!("Account '{}' exists already", account.name);
                return Err(conflict("ObjectAlreadyExists", message).into());
            }
            Ok(())
        })
    }

    /// The account with this id.
    pub async fn account(&self, id: &str) -> Result<Option<Account>> {
        let sql = concat!("SELECT ", account_columns!(), " FROM accounts a WHERE a.id = $1");
        let row = query(sql).bind(id).fetch_optional(self.reader()).await.map_err(Fault::from)?;
        Ok(one(row, read_account)?)
    }

    /// The account with this display name, for example `ALIYUN$demo`.
    pub async fn account_by_name(&self, name: &str) -> Result<Option<Account>> {
        let sql = concat!("SELECT ", account_columns!(), " FROM accounts a WHERE a.name = $1");
        let row = query(sql).bind(name).fetch_optional(self.reader()).await.map_err(Fault::from)?;
        Ok(one(row, read_account)?)
    }

    /// Every account, by name.
    pub async fn list_accounts(&self) -> Result<Vec<Account>> {
        let sql = concat!("SELECT ", account_columns!(), " FROM accounts a ORDER BY a.name");
        let rows = query(sql).fetch_all(self.reader()).await.map_err(Fault::from)?;
        Ok(all(&rows, read_account)?)
    }

    /// Lets the account in or locks it out. `NotFound` when there is none.
    pub async fn set_account_enabled(&self, id: &str, enabled: bool) -> Result<()> {
        write_tx!(self, |tx| {
            let sql = "UPDATE accounts SET enabled = $2 WHERE id = $1";
            let done = query(sql).bind(id).bind(i64::from(enabled)).execute(tx.conn()).await?;
            if done.rows_affected() == 0 {
                return Err(not_found("NoSuchObject", format!("There is no account with the id '{id}'")).into());
            }
            Ok(())
        })
    }

    /// Adds a key. `Conflict` `ObjectAlreadyExists` when its id is taken, `NotFound` when its account is not there.
    pub async fn create_key(&self, key: &AccessKey) -> Result<()> {
        write_tx!(self, |tx| {
            let owner = query("SELECT id FROM accounts WHERE id = $1").bind(&key.account_id);
            if owner.fetch_optional(tx.conn()).await?.is_none() {
                let message = format!("There is no account with the id '{}'", key.account_id);
                return Err(not_found("NoSuchObject", message).into());
            }
            let sql = concat!(
                "INSERT INTO access_keys (",
                key_columns!(),
                ") VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING"
            );
            let done = query(sql)
                .bind(&key.access_id)
                .bind(&key.account_id)
                .bind(i64::from(key.enabled))
                .bind(key.expires_ms)
                .bind(key.sts_token_sha256.as_deref())
                .bind(key.created_ms)
                .bind(key.sealed_secret.as_slice())
                .execute(tx.conn())
                .await?;
            if done.rows_affected() == 0 {
                let message = format!("Access key '{}' exists already", key.access_id);
                return Err(conflict("ObjectAlreadyExists", message).into());
            }
            Ok(())
        })
    }

    /// The key with this id, enabled or not, expired or not.
    pub async fn key(&self, access_id: &str) -> Result<Option<AccessKey>> {
        let sql = concat!("SELECT ", key_columns!(), " FROM access_keys WHERE access_id = $1");
        let row = query(sql).bind(access_id).fetch_optional(self.reader()).await.map_err(Fault::from)?;
        Ok(one(row, read_key)?)
    }

    /// The keys of one account, or of all, by id.
    pub async fn list_keys(&self, account_id: Option<&str>) -> Result<Vec<AccessKey>> {
        let rows = match account_id {
            Some(id) => {
                let sql =
                    concat!("SELECT ", key_columns!(), " FROM access_keys WHERE account_id = $1 ORDER BY access_id");
                query(sql).bind(id).fetch_all(self.reader()).await
            }
            None => {
                let sql = concat!("SELECT ", key_columns!(), " FROM access_keys ORDER BY access_id");
                query(sql).fetch_all(self.reader()).await
            }
        };
        Ok(all(&rows.map_err(Fault::from)?, read_key)?)
    }

    /// Makes the key work or stop working. `NotFound` when there is none.
    pub async fn set_key_enabled(&self, access_id: &str, enabled: bool) -> Result<()> {
        write_tx!(self, |tx| {
            let sql = "UPDATE access_keys SET enabled = $2 WHERE access_id = $1";
            let done = query(sql).bind(access_id).bind(i64::from(enabled)).execute(tx.conn()).await?;
            if done.rows_affected() == 0 {
                return Err(not_found("NoSuchObject", format!("There is no access key '{access_id}'")).into());
            }
            Ok(())
        })
    }

    /// Forgets the key; false when there was none.
    pub async fn delete_key(&self, access_id: &str) -> Result<bool> {
        write_tx!(self, |tx| {
            let done = query("DELETE FROM access_keys WHERE access_id = $1").bind(access_id).execute(tx.conn()).await?;
            Ok(done.rows_affected() > 0)
        })
    }

    /// Forgets the keys whose time has passed at `now_ms`; returns how many.
    pub async fn delete_expired_keys(&self, now_ms: i64) -> Result<u64> {
        write_tx!(self, |tx| {
            let sql = "DELETE FROM access_keys WHERE expires_ms IS NOT NULL AND expires_ms <= $1";
            Ok(query(sql).bind(now_ms).execute(tx.conn()).await?.rows_affected())
        })
    }
}
