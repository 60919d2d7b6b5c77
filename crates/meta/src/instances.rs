//! Jobs: submitted once, claimed by one node at a time, ended once.

use std::collections::HashMap;

use feitian_base::{Error, Result, clock};
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, query};

use crate::cells::{Cells, all, one};
use crate::db::Meta;
use crate::fault::{Fault, conflict, corrupt};
use crate::rows::{Instance, InstanceFilter, InstanceState, Outcome, StateClass};

/// Everything but the result itself.
macro_rules! brief_columns {
    () => {
        brief_columns!("source", "query")
    };
    // What stands for the two columns that may be large.
    ($source:literal, $query:literal) => {
        concat!(
            "id, project, owner, guid, priority, ",
            $source,
            ", task_name, task_type, ",
            $query,
            ", settings, state, node, attempt, step, stop_requested, submitted_ms, started_ms, ended_ms, is_select, ",
            "result_path, result_rows, error, summary"
        )
    };
}

macro_rules! all_columns {
    () => {
        concat!(brief_columns!(), ", result_columns, result_inline")
    };
}

/// The query of [`Meta::earlier_run`]; parameters: project, hash of the text, time and id of the later run, the text.
pub(crate) const EARLIER: &str = concat!(
    "SELECT ",
    brief_columns!(),
    " FROM instances WHERE project = $1 AND query_hash = $2 AND (submitted_ms, id) < ($3, $4) AND query = $5 \
     AND state IN ('Success', 'Failed', 'Cancelled') ORDER BY submitted_ms DESC, id DESC LIMIT 1"
);

/// FNV-1a, 64 bits: the number under which runs of the same text are found. It is stored, so it stays as it is.
pub(crate) fn query_hash(query: &str) -> i64 {
    let step = |h: u64, byte: u8| (h ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    query.bytes().fold(0xcbf2_9ce4_8422_2325_u64, step).cast_signed()
}

/// The failure text of an instance that a user stopped.
pub(crate) const STOPPED: &str = "ODPS-0120031:[0,0] Instance has been cancelled";

fn state_of(text: &str) -> Result<InstanceState, Fault> {
    InstanceState::parse(text).ok_or_else(|| corrupt(format!("'{text}' is no state of an instance")).into())
}

fn read_cells(c: &mut Cells<'_>) -> Result<Instance, Fault> {
    Ok(Instance {
        id: c.text()?,
        project: c.text()?,
        owner: c.text()?,
        guid: c.text()?,
        priority: c.int()?,
        source: c.text()?,
        task_name: c.text()?,
        task_type: c.text()?,
        query: c.text()?,
        settings: c.text()?,
        state: state_of(&c.text()?)?,
        node: c.text()?,
        attempt: c.int()?,
        step: c.int()?,
        stop_requested: c.flag()?,
        submitted_ms: c.int()?,
        started_ms: c.opt_int()?,
        ended_ms: c.opt_int()?,
        is_select: c.flag()?,
        result_path: c.opt_text()?,
        result_rows: c.int()?,
        error: c.opt_text()?,
        summary: c.text()?,
        result_columns: None,
        result_inline: None,
    })
}

pub(crate) fn read_brief(row: &AnyRow) -> Result<Instance, Fault> {
    read_cells(&mut Cells::new(row))
}

fn read_instance(row: &AnyRow) -> Result<Instance, Fault> {
    let mut c = Cells::new(row);
    let brief = read_cells(&mut c)?;
    Ok(Instance { result_columns: c.opt_text()?, result_inline: c.opt_bytes()?, ..brief })
}

/// Characters of a statement in [`Meta::list_instances`]: one of fewer bytes is there as a whole.
pub const LISTED_QUERY: usize = 4096;

/// The query of [`Meta::list_instances`]. Holds no text of users.
///
/// A statement may have megabytes, and a list shows its beginning; the source would only repeat it.
pub(crate) fn list_sql(class: Option<StateClass>, project: bool, owner: bool) -> String {
    // The number is that of `LISTED_QUERY`.
    concat!("SELECT ", brief_columns!("''", "substr(query, 1, 4096)")).to_string() + &range_sql(class, project, owner)
}

/// A page of instances, all but what is selected; parameters: end time, end id, from time, limit, then project and
/// owner.
///
/// Jobs that wait or run are few beside those that ended: for them the expressions keep a planner without statistics on
/// the index of their state, and off those that lead through the whole history. Those that failed or were stopped may be
/// many; the indexes of their states are on the same expression of the project, and in the order of the list.
pub(crate) fn range_sql(class: Option<StateClass>, project: bool, owner: bool) -> String {
    let is_few = matches!(class, Some(StateClass::Waiting | StateClass::Running));
    let has_index = class.is_some_and(|class| class != StateClass::Terminal);
    let time = if is_few { "submitted_ms + 0" } else { "submitted_ms" };
    let head = format!(" FROM instances WHERE ({time}, id) < ($1, $2) AND {time} >= $3");
    // Literals, not parameters, so that the indexes on one state apply.
    let state = match class {
        Some(StateClass::Waiting) => " AND state = 'Waiting'",
        Some(StateClass::Running) => " AND state = 'Running'",
        Some(StateClass::Terminal) => " AND state IN ('Success', 'Failed', 'Cancelled')",
        Some(StateClass::Failed) => " AND state = 'Failed'",
        Some(StateClass::Cancelled) => " AND state = 'Cancelled'",
        None => "",
    };
    let equal = match (project, owner) {
        (true, true) if has_index => " AND (project || '') = $5 AND (owner || '') = $6",
        (true, false) if has_index => " AND (project || '') = $5",
        (false, true) if has_index => " AND (owner || '') = $5",
        (true, true) => " AND (project || '/' || owner) = $5 || '/' || $6",
        (true, false) => " AND project = $5",
        (false, true) => " AND owner = $5",
        (false, false) => "",
    };
    format!("{head}{state}{equal} ORDER BY {time} DESC, id DESC LIMIT $4")
}

/// The query of [`Meta::waiting`].
///
/// Who waits is looked at in every round, with thousands at once: what they are to run is not read.
pub(crate) const WAITING: &str = concat!(
    "SELECT ",
    brief_columns!("''", "''"),
    " FROM instances WHERE state = 'Waiting' ORDER BY priority, submitted_ms, id LIMIT $1"
);

/// The query of [`Meta::running_counts`].
pub(crate) const RUNNING: &str = "SELECT project, COUNT(*) FROM instances WHERE state = 'Running' GROUP BY project";

/// The query of [`Meta::stops_requested`].
pub(crate) const STOPS: &str = "SELECT id FROM instances WHERE state = 'Running' AND stop_requested = 1";

impl Meta {
    /// Adds a job and returns it with false; when the project has one with the same non-empty `guid`, that one is
    /// returned with true and nothing is added. `Conflict` `ObjectAlreadyExists` when the id is taken otherwise.
    pub async fn create_instance(&self, instance: &Instance) -> Result<(Instance, bool)> {
        write_tx!(self, |tx| {
            let sql = concat!(
                "INSERT INTO instances (",
                all_columns!(),
                ", query_hash) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, ",
                "$19, $20, $21, $22, $23, $24, $25, $26) ON CONFLICT DO NOTHING"
            );
            let done = query(sql)
                .bind(&instance.id)
                .bind(&instance.project)
                .bind(&instance.owner)
                .bind(&instance.guid)
                .bind(instance.priority)
                .bind(&instance.source)
                .bind(&instance.task_name)
                .bind(&instance.task_type)
                .bind(&instance.query)
                .bind(&instance.settings)
                .bind(instance.state.as_str())
                .bind(&instance.node)
                .bind(instance.attempt)
                .bind(instance.step)
                .bind(i64::from(instance.stop_requested))
                .bind(instance.submitted_ms)
                .bind(instance.started_ms)
                .bind(instance.ended_ms)
                .bind(i64::from(instance.is_select))
                .bind(instance.result_path.as_deref())
                .bind(instance.result_rows)
                .bind(instance.error.as_deref())
                .bind(&instance.summary)
                .bind(instance.result_columns.as_deref())
                .bind(instance.result_inline.as_deref())
                .bind(query_hash(&instance.query))
                .execute(tx.conn())
                .await?;
            if done.rows_affected() > 0 {
                return Ok((instance.clone(), false));
            }
            let sql =
                concat!("SELECT ", all_columns!(), " FROM instances WHERE project = $1 AND guid = $2 AND guid <> ''");
            let same = query(sql).bind(&instance.project).bind(&instance.guid).fetch_optional(tx.conn()).await?;
            match one(same, read_instance)? {
                Some(same) => Ok((same, true)),
                None => {
                    let message = format!("Instance '{}' exists already", instance.id);
                    Err(conflict("ObjectAlreadyExists", message).into())
                }
            }
        })
    }

    /// The job with its result.
    pub async fn instance(&self, project: &str, id: &str) -> Result<Option<Instance>> {
        let sql = concat!("SELECT ", all_columns!(), " FROM instances WHERE id = $1 AND project = $2");
        let row = query(sql).bind(id).bind(project).fetch_optional(self.reader()).await.map_err(Fault::from)?;
        Ok(one(row, read_instance)?)
    }

    /// The job that was submitted with this `guid`, with its result.
    pub async fn instance_of_guid(&self, project: &str, guid: &str) -> Result<Option<Instance>> {
        let sql = concat!("SELECT ", all_columns!(), " FROM instances WHERE project = $1 AND guid = $2 AND guid <> ''");
        let row = query(sql).bind(project).bind(guid).fetch_optional(self.reader()).await.map_err(Fault::from)?;
        Ok(one(row, read_instance)?)
    }

    /// State and attempt alone: cheap enough to ask again and again.
    pub async fn instance_state(&self, project: &str, id: &str) -> Result<Option<(InstanceState, i64)>> {
        let sql = "SELECT state, attempt FROM instances WHERE id = $1 AND project = $2";
        let row = query(sql).bind(id).bind(project).fetch_optional(self.reader()).await.map_err(Fault::from)?;
        Ok(one(row, |r| {
            let mut c = Cells::new(r);
            Ok((state_of(&c.text()?)?, c.int()?))
        })?)
    }

    /// The newest ended job of the same project with the same text that was submitted before `later`, without
    /// `result_columns` and `result_inline`.
    pub async fn earlier_run(&self, later: &Instance) -> Result<Option<Instance>> {
        let found = query(EARLIER)
            .bind(&later.project)
            .bind(query_hash(&later.query))
            .bind(later.submitted_ms)
            .bind(&later.id)
            .bind(&later.query);
        let row = found.fetch_optional(self.reader()).await.map_err(Fault::from)?;
        Ok(one(row, read_brief)?)
    }

    /// At most `limit` jobs that pass `filter`, of one project or all, newest submission first, without `source`,
    /// `result_columns` and `result_inline`, and with no more of `query` than [`LISTED_QUERY`] says. A page goes on behind
    /// the instance `before`; when that has been forgotten, so has everything older, and the page is empty.
    pub async fn list_instances(
        &self,
        project: Option<&str>,
        filter: &InstanceFilter,
        before: Option<&str>,
        limit: i64,
    ) -> Result<Vec<Instance>> {
        let from_ms = filter.from_ms.unwrap_or(i64::MIN);
        // Rows with (submitted_ms, id) below this pair; no id is below the empty text.
        let mut end = (filter.to_ms.unwrap_or(i64::MAX), String::new());
        if let Some(before) = before {
            let sql = "SELECT submitted_ms FROM instances WHERE id = $1";
            let row = query(sql).bind(before).fetch_optional(self.reader()).await.map_err(Fault::from)?;
            let Some(at) = one(row, |r| Cells::new(r).int())? else { return Ok(Vec::new()) };
            end = end.min((at, before.to_string()));
        }
        let sql = list_sql(filter.class, project.is_some(), filter.owner.is_some());
        let page = query(AssertSqlSafe(sql)).bind(end.0).bind(end.1).bind(from_ms).bind(limit.max(0));
        let equal = project.into_iter().chain(filter.owner.as_deref());
        let page = equal.fold(page, |page, value| page.bind(value));
        let rows = page.fetch_all(self.reader()).await.map_err(Fault::from)?;
        Ok(all(&rows, read_brief)?)
    }

    /// The first `limit` waiting jobs, smaller priority first, then by submission, without `query`, `source`,
    /// `result_columns` and `result_inline`.
    pub async fn waiting(&self, limit: i64) -> Result<Vec<Instance>> {
        let rows = query(WAITING).bind(limit.max(0)).fetch_all(self.reader()).await.map_err(Fault::from)?;
        Ok(all(&rows, read_brief)?)
    }

    /// How many jobs wait, in all projects.
    pub async fn waiting_count(&self) -> Result<i64> {
        let sql = "SELECT COUNT(*) FROM instances WHERE state = 'Waiting'";
        let row = query(sql).fetch_optional(self.reader()).await.map_err(Fault::from)?;
        Ok(one(row, |r| Cells::new(r).int())?.unwrap_or_default())
    }

    /// How many jobs run, by project; projects without one are absent.
    pub async fn running_counts(&self) -> Result<HashMap<String, i64>> {
        let rows = query(RUNNING).fetch_all(self.reader()).await.map_err(Fault::from)?;
        let counts = all(&rows, |r| {
            let mut c = Cells::new(r);
            Ok((c.text()?, c.int()?))
        })?;
        Ok(counts.into_iter().collect())
    }

    /// Takes a waiting job for `node` as a new attempt; `None` when it does not wait. Of several callers one gets it.
    pub async fn claim(&self, id: &str, node: &str, started_ms: i64) -> Result<Option<Instance>> {
        write_tx!(self, |tx| {
            let sql = concat!(
                "UPDATE instances SET state = 'Running', attempt = attempt + 1, node = $2, started_ms = $3 ",
                "WHERE id = $1 AND state = 'Waiting' RETURNING ",
                all_columns!()
            );
            let row = query(sql).bind(id).bind(node).bind(started_ms).fetch_optional(tx.conn()).await?;
            one(row, read_instance)
        })
    }

    /// Asks a job to stop: a waiting one is `Cancelled` at once, a running one is marked for its node. False when it has
    /// ended or is not there.
    pub async fn request_stop(&self, id: &str) -> Result<bool> {
        write_tx!(self, |tx| {
            let sql = "UPDATE instances SET stop_requested = 1, \
                       ended_ms = CASE WHEN state = 'Waiting' THEN $2 ELSE ended_ms END, \
                       error = CASE WHEN state = 'Waiting' THEN $3 ELSE error END, \
                       state = CASE WHEN state = 'Waiting' THEN 'Cancelled' ELSE state END \
                       WHERE id = $1 AND state IN ('Waiting', 'Running')";
            let done = query(sql).bind(id).bind(clock::now_ms()).bind(STOPPED).execute(tx.conn()).await?;
            Ok(done.rows_affected() > 0)
        })
    }

    /// The running jobs, on any node, that have been asked to stop.
    pub async fn stops_requested(&self) -> Result<Vec<String>> {
        let rows = query(STOPS).fetch_all(self.reader()).await.map_err(Fault::from)?;
        Ok(all(&rows, |r| Cells::new(r).text())?)
    }

    /// Ends a running job; false, and no change, when `attempt` does not own it any more.
    pub async fn finish_instance(
        &self,
        id: &str,
        attempt: i64,
        state: InstanceState,
        outcome: &Outcome,
        ended_ms: i64,
    ) -> Result<bool> {
        if !state.is_terminal() {
            return Err(Error::internal(format!("instance {id} cannot end as {}", state.as_str())));
        }
        write_tx!(self, |tx| {
            let sql = "UPDATE instances SET state = $3, ended_ms = $4, is_select = $5, result_columns = $6, \
                       result_inline = $7, result_path = $8, result_rows = $9, error = $10, summary = $11 \
                       WHERE id = $1 AND attempt = $2 AND state = 'Running'";
            let done = query(sql)
                .bind(id)
                .bind(attempt)
                .bind(state.as_str())
                .bind(ended_ms)
                .bind(i64::from(outcome.is_select))
                .bind(outcome.result_columns.as_deref())
                .bind(outcome.result_inline.as_deref())
                .bind(outcome.result_path.as_deref())
                .bind(outcome.result_rows)
                .bind(outcome.error.as_deref())
                .bind(&outcome.summary)
                .execute(tx.conn())
                .await?;
            Ok(done.rows_affected() > 0)
        })
    }

    /// Writes the progress of a running job; false, and no change, when `attempt` does not own it any more.
    pub async fn update_summary(&self, id: &str, attempt: i64, summary: &str) -> Result<bool> {
        write_tx!(self, |tx| {
            let sql = "UPDATE instances SET summary = $3 WHERE id = $1 AND attempt = $2 AND state = 'Running'";
            let done = query(sql).bind(id).bind(attempt).bind(summary).execute(tx.conn()).await?;
            Ok(done.rows_affected() > 0)
        })
    }
}
