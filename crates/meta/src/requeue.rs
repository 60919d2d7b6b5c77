//! Jobs after their node: back into the queue when it died, forgotten when their time has passed.

use feitian_base::{Result, clock};
use sqlx::query;

use crate::cells::{Cells, all};
use crate::db::Meta;
use crate::fault::Fault;
use crate::instances::STOPPED;
use crate::tx::Tx;

/// Sends running jobs back; one that was asked to stop ends here instead, as nobody would hear it again.
macro_rules! send_back {
    ($which:expr) => {
        concat!(
            "UPDATE instances SET node = '', ended_ms = CASE WHEN stop_requested = 1 THEN $1 ELSE NULL END, ",
            "error = CASE WHEN stop_requested = 1 THEN $2 ELSE NULL END, ",
            "state = CASE WHEN stop_requested = 1 THEN 'Cancelled' ELSE 'Waiting' END ",
            "WHERE state = 'Running' AND ",
            $which
        )
    };
}

/// The query of [`Meta::expire_instances`].
pub(crate) const EXPIRE: &str = "DELETE FROM instances WHERE id IN (SELECT id FROM instances \
     WHERE ended_ms IS NOT NULL AND ended_ms < $1 ORDER BY ended_ms LIMIT 500) RETURNING id, result_path";

async fn requeue_all_of(tx: &mut Tx, node: &str) -> Result<i64, Fault> {
    let change = query(send_back!("node = $3")).bind(clock::now_ms()).bind(STOPPED).bind(node);
    Ok(change.execute(tx.conn()).await?.rows_affected() as i64)
}

impl Meta {
    /// Sends a running job back into the queue, where its next claim is a new attempt; a job that was asked to stop is
    /// `Cancelled`. False, and no change, when `attempt` does not own it.
    pub async fn requeue(&self, id: &str, attempt: i64) -> Result<bool> {
        write_tx!(self, |tx| {
            let change = query(send_back!("id = $3 AND attempt = $4"));
            let change = change.bind(clock::now_ms()).bind(STOPPED).bind(id).bind(attempt);
            Ok(change.execute(tx.conn()).await?.rows_affected() > 0)
        })
    }

    /// [`Meta::requeue`] of every job that `node` runs; returns how many.
    pub async fn requeue_node(&self, node: &str) -> Result<i64> {
        write_tx!(self, |tx| { requeue_all_of(&mut tx, node).await })
    }

    /// [`Meta::requeue`] of every job that runs on a node that is not in `live_nodes`; returns how many.
    pub async fn requeue_lost(&self, live_nodes: &[String]) -> Result<i64> {
        write_tx!(self, |tx| {
            let rows =
                query("SELECT DISTINCT node FROM instances WHERE state = 'Running'").fetch_all(tx.conn()).await?;
            let mut count = 0;
            for node in all(&rows, |r| Cells::new(r).text())? {
                if !live_nodes.contains(&node) {
                    count += requeue_all_of(&mut tx, &node).await?;
                }
            }
            Ok(count)
        })
    }

    /// Forgets at most 500 of the jobs that ended before `before_ms`, the longest ended first; returns their ids and the
    /// paths of their results, whose files the caller deletes. None when there are none left: a caller goes on until then,
    /// with pauses, since nobody else writes meanwhile.
    pub async fn expire_instances(&self, before_ms: i64) -> Result<Vec<(String, Option<String>)>> {
        write_tx!(self, |tx| {
            let rows = query(EXPIRE).bind(before_ms).fetch_all(tx.conn()).await?;
            all(&rows, |r| {
                let mut c = Cells::new(r);
                Ok((c.text()?, c.opt_text()?))
            })
        })
    }
}
