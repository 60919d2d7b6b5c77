//! Advances whoever waits for a change, in the transaction of the change.

use feitian_base::{Error, Kind};
use sqlx::query;

use crate::cells::Cells;
use crate::fault::{Fault, ddl_conflict};
use crate::rows::Step;
use crate::tx::Tx;

/// The conflict of an attempt that another one has replaced.
pub(crate) fn superseded(instance: &str, attempt: i64) -> Error {
    ddl_conflict(format!(
        "attempt {attempt} of instance {instance} does not own it any more: it was stopped, has ended or runs elsewhere"
    ))
}

/// The conflict of a session that takes no more changes.
pub(crate) fn wrong_status(session: &str, status: &str) -> Error {
    let message = format!("The session {session} is {status}; open a new one");
    Error::new(Kind::Conflict, "StatusConflict", message)
}

/// Advances `step` strictly: a change that nothing but the step protects takes effect only for the owner, and once.
pub(crate) async fn advance(tx: &mut Tx, step: &Step) -> Result<(), Fault> {
    match step {
        Step::Instance { id, attempt, step } => {
            let sql = "UPDATE instances SET step = $3 + 1 \
                       WHERE id = $1 AND attempt = $2 AND state = 'Running' AND step <= $3";
            let done = query(sql).bind(id).bind(*attempt).bind(*step).execute(tx.conn()).await?;
            if done.rows_affected() == 0 {
                return Err(superseded(id, *attempt).into());
            }
        }
        Step::Session { id } => {
            let sql = "UPDATE sessions SET status = 'closed' WHERE id = $1 AND status IN ('normal', 'closing')";
            if query(sql).bind(id).execute(tx.conn()).await?.rows_affected() == 0 {
                return Err(wrong_status(id, "not open").into());
            }
        }
        Step::None => {}
    }
    Ok(())
}

/// Advances `step` on the strength of a commit record: the log has the change already, so whoever brings the rows up
/// to it may do so, whichever attempt it is, and an owner that is gone is no obstacle.
pub(crate) async fn advance_recorded(tx: &mut Tx, step: &Step) -> Result<(), Fault> {
    match step {
        Step::Instance { id, step, .. } => {
            let sql = "UPDATE instances SET step = $2 + 1 WHERE id = $1 AND step <= $2";
            query(sql).bind(id).bind(*step).execute(tx.conn()).await?;
        }
        Step::Session { id } => {
            query("UPDATE sessions SET status = 'closed' WHERE id = $1").bind(id).execute(tx.conn()).await?;
        }
        Step::None => {}
    }
    Ok(())
}

/// True when `step` has been advanced, or nobody waits for it.
pub(crate) async fn has_advanced(tx: &mut Tx, step: &Step) -> Result<bool, Fault> {
    Ok(match step {
        Step::Instance { id, step, .. } => {
            let sql = "SELECT id FROM instances WHERE id = $1 AND step > $2";
            query(sql).bind(id).bind(*step).fetch_optional(tx.conn()).await?.is_some()
        }
        Step::Session { id } => {
            let sql = "SELECT id FROM sessions WHERE id = $1 AND status = 'closed'";
            query(sql).bind(id).fetch_optional(tx.conn()).await?.is_some()
        }
        Step::None => true,
    })
}

/// Fails unless `attempt` runs the instance and statement `step` has not taken effect; holds the row on PostgreSQL.
pub(crate) async fn hold_instance(tx: &mut Tx, id: &str, attempt: i64, step: i64) -> Result<(), Fault> {
    let sql = tx.locking(for_update!(
        "SELECT id FROM instances WHERE id = $1 AND attempt = $2 AND state = 'Running' AND step <= $3"
    ));
    let row = query(sql).bind(id).bind(attempt).bind(step).fetch_optional(tx.conn()).await?;
    row.map(|_| ()).ok_or_else(|| superseded(id, attempt).into())
}

/// The status of a session, `None` when there is none; holds the row on PostgreSQL.
pub(crate) async fn hold_session(tx: &mut Tx, id: &str) -> Result<Option<String>, Fault> {
    let sql = tx.locking(for_update!("SELECT status FROM sessions WHERE id = $1"));
    let row = query(sql).bind(id).fetch_optional(tx.conn()).await?;
    row.map(|r| Cells::new(&r).text()).transpose()
}
