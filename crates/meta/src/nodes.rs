//! Which feitian processes are alive.

use feitian_base::Result;
use sqlx::query;

use crate::cells::{Cells, all};
use crate::db::Meta;
use crate::fault::Fault;

impl Meta {
    /// Notes that `node` was alive at `now_ms`.
    pub async fn beat(&self, node: &str, now_ms: i64) -> Result<()> {
        write_tx!(self, |tx| {
            let sql = "INSERT INTO nodes (name, beat_ms) VALUES ($1, $2) \
                       ON CONFLICT (name) DO UPDATE SET beat_ms = excluded.beat_ms";
            query(sql).bind(node).bind(now_ms).execute(tx.conn()).await?;
            Ok(())
        })
    }

    /// The nodes that were alive at or after `since_ms`, by name.
    pub async fn live_nodes(&self, since_ms: i64) -> Result<Vec<String>> {
        let sql = "SELECT name FROM nodes WHERE beat_ms >= $1 ORDER BY name";
        let rows = query(sql).bind(since_ms).fetch_all(self.reader()).await.map_err(Fault::from)?;
        Ok(all(&rows, |r| Cells::new(r).text())?)
    }

    /// Forgets `node`; nothing happens when it is not known.
    pub async fn remove_node(&self, node: &str) -> Result<()> {
        write_tx!(self, |tx| {
            query("DELETE FROM nodes WHERE name = $1").bind(node).execute(tx.conn()).await?;
            Ok(())
        })
    }
}
