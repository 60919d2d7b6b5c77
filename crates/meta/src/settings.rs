//! Values that every process of one installation shares: the cluster's id, sealed signing keys.

use feitian_base::{Error, Result};
use sqlx::query;

use crate::cells::{Cells, one};
use crate::db::Meta;
use crate::fault::Fault;

impl Meta {
    /// The value of `key`.
    pub async fn get_setting(&self, key: &str) -> Result<Option<String>> {
        let sql = "SELECT value FROM settings WHERE name = $1";
        let row = query(sql).bind(key).fetch_optional(self.reader()).await.map_err(Fault::from)?;
        Ok(one(row, |r| Cells::new(r).text())?)
    }

    /// Sets `key` unless it is set; returns the value that it has then. Of several callers at once, all get the same.
    pub async fn put_setting_if_absent(&self, key: &str, value: &str) -> Result<String> {
        write_tx!(self, |tx| {
            let sql = "INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT DO NOTHING";
            query(sql).bind(key).bind(value).execute(tx.conn()).await?;
            let row = query("SELECT value FROM settings WHERE name = $1").bind(key).fetch_optional(tx.conn()).await?;
            let winner = one(row, |r| Cells::new(r).text())?;
            winner.ok_or_else(|| Error::internal(format!("setting '{key}' vanished while it was being set")).into())
        })
    }
}
