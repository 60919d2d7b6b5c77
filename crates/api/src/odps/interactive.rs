//! Interactive sessions (MCQA, version 1), as `odps/models/session/v1.py` of PyODPS asks for them.
//!
//! No machine has to be started for a query here, so that a session holds nothing: it is a job that ends at once, and its
//! queries are ordinary jobs of the project, whose guid is the session's id and the query's number.

use feitian_base::{Error, Kind, Result, clock, id};
use feitian_meta::rows::{Instance, InstanceState};
use feitian_sql::{Statement, parse_script};
use feitian_wire::xml::{Task, TaskKind, parse_info};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::instance_docs::csv_of;
use super::instances::wait_for;
use crate::answers::{self, set_header};
use crate::call::{Answer, Call};
use crate::jobs::{self, Envelope, job_element};
use crate::rights::{Right, authorize};

/// Clients attach to a session anew when they find it gone.
const SESSION_MS: i64 = 24 * 3600 * 1000;
/// The name of the one task of a query's job.
const TASK: &str = "AnonymousSQLTask";

/// Whether the instance is a session.
pub fn is_session(instance: &Instance) -> bool {
    instance.task_type == TaskKind::SqlRt.name()
}

fn guid(session_id: &str, number: u64) -> String {
    format!("{session_id}-query-{number}")
}

/// The job of a query of this session.
pub async fn query(call: &Call, session_id: &str, number: &str) -> Result<Instance> {
    let missing = || {
        let message = format!("session '{session_id}' has no query '{number}'");
        Error::new(Kind::NotFound, "NoSuchObject", message)
    };
    let number = number.parse::<u64>().map_err(|_| missing())?;
    let found = call.state.warehouse.instance_of_guid(call.project(), &guid(session_id, number)).await?;
    let job = found.ok_or_else(missing)?;
    // Whoever may do everything in the project may run queries in the session of somebody who may not see them.
    jobs::refuse_foreign(call, call.caller()?, &job).await?;
    Ok(job)
}

/// `?info&key=`: the session's status, or the result or the source of one of its queries.
pub async fn info(call: &Call, session: &Instance, key: &str) -> Answer {
    let document = match key.split_once('_') {
        None if key == "status" => session_status(call, session).await?,
        Some(("result", number)) => result(call, session, number).await?,
        Some(("sourcexml", number)) => json!({"result": sql_element(&query(call, &session.id, number).await?.source)}),
        _ => {
            let message = format!("task information '{key}' is not kept by a session");
            return Err(Error::new(Kind::Unsupported, "MethodNotAllowed", message));
        }
    };
    answers::json(&document)
}

/// Numbers of clients: 2 runs, 4 failed, 5 has ended, 6 was cancelled; another one is yet to come.
async fn session_status(call: &Call, session: &Instance) -> Result<Value> {
    let session = wait_for(call, &session.id, call.state.settings.limits.first_status_hold).await?;
    let status = match session.state {
        InstanceState::Success if is_open(&session) => 2,
        InstanceState::Success => 5,
        InstanceState::Failed => 4,
        InstanceState::Cancelled => 6,
        InstanceState::Waiting | InstanceState::Running => 1,
    };
    let settings: Map<String, Value> = serde_json::from_str(&session.settings).unwrap_or_default();
    let named = ["odps.sql.session.name", "odps.sql.session.share.id"].map(|key| settings.get(key));
    let name = named.into_iter().flatten().find_map(Value::as_str).unwrap_or(&session.id);
    Ok(json!({"status": status, "result": format!("Session name: {name}")}))
}

fn is_open(session: &Instance) -> bool {
    clock::now_ms() - session.submitted_ms < SESSION_MS
}

async fn result(call: &Call, session: &Instance, number: &str) -> Result<Value> {
    let mut job = query(call, &session.id, number).await?;
    if !job.state.is_terminal() {
        job = wait_for(call, &job.id, call.state.settings.limits.first_status_hold).await?;
    }
    let (status, text) = match job.state {
        InstanceState::Waiting | InstanceState::Running => (2, Vec::new()),
        InstanceState::Success if job.is_select => (5, csv_of(call, &job).await?),
        InstanceState::Success => (5, job.result_inline.clone().unwrap_or_default()),
        InstanceState::Failed => (4, job.error.clone().unwrap_or_default().into_bytes()),
        InstanceState::Cancelled => (6, b"Job is cancelled".to_vec()),
    };
    let text = String::from_utf8_lossy(&text);
    let number: u64 = number.parse().unwrap_or_default();
    Ok(json!({"status": status, "result": text, "warnings": "", "subQueryId": number}))
}

/// The `<SQL>` element of a job's source.
fn sql_element(source: &str) -> &str {
    let range = source.find("<SQL>").zip(source.rfind("</SQL>").map(|end| end + "</SQL>".len()));
    range.and_then(|(start, end)| source.get(start..end)).unwrap_or_default()
}

/// The value of the key `query`.
#[derive(Deserialize)]
struct Asked {
    query: String,
    #[serde(default)]
    settings: Map<String, Value>,
}

/// Whether the text changes nothing. One that cannot be read fails as a job, with an error of its own.
fn only_looks(text: &str) -> bool {
    use Statement::{
        Desc, DescFunction, DescResource, DescSchema, DescribeJob, Explain, JobStatus, ListResources, Query, Set,
        ShowCreateTable, ShowFlags, ShowFunctions, ShowHistory, ShowJobs, ShowPartitions, ShowSchemas, ShowTables,
        Statistic, Use,
    };
    let looks = |statement: &Statement| {
        matches!(
            statement,
            Query(_)
                | Desc { .. }
                | DescFunction { .. }
                | DescResource { .. }
                | DescSchema { .. }
                | DescribeJob { .. }
                | Explain { .. }
                | JobStatus { .. }
                | ListResources
                | Set { .. }
                | ShowCreateTable { .. }
                | ShowFlags { .. }
                | ShowFunctions { .. }
                | ShowHistory { .. }
                | ShowJobs { .. }
                | ShowPartitions { .. }
                | ShowSchemas { .. }
                | ShowTables { .. }
                | Statistic { show: true, .. }
                | Use { .. }
        )
    };
    match parse_script(text) {
        Ok(script) => script.statements.iter().all(|parsed| looks(&parsed.statement)),
        Err(_) => true,
    }
}

/// Submits a query as a job. Other keys than `query` are no task's; clients take an empty answer so.
pub async fn put(call: &Call, session: &Instance, body: &[u8]) -> Answer {
    let (key, value) = parse_info(body)?;
    if key != "query" {
        return answers::empty(axum::http::StatusCode::OK);
    }
    // What else sets information on an instance runs no SQL.
    authorize(&call.state.meta, &call.identity, Right::Sql, &call.path).await?;
    let invalid = |message: String| Error::new(Kind::Invalid, "InvalidParameter", message);
    let asked: Asked = serde_json::from_str(&value).map_err(|e| invalid(format!("the query is no JSON: {e}")))?;
    let text = |value: Value| match value {
        Value::String(text) => text,
        other => other.to_string(),
    };
    let settings: Vec<(String, String)> = asked.settings.into_iter().map(|(key, v)| (key, text(v))).collect();
    let is_off = |(key, value): &(String, String)| key == "odps.mcqa.disable" && value.eq_ignore_ascii_case("true");
    if settings.iter().any(is_off) || !is_open(session) {
        let why = "ODPS-1850001: interactive sessions are unsupported with odps.mcqa.disable and after a day; submit a \
                   task of type SQL, or attach anew";
        return Err(invalid(why.to_string()));
    }
    // Clients send it again when the answer is lost, and nothing in it says that it is the same. Jobs have a guid.
    if !only_looks(&asked.query) {
        let why = "ODPS-1850001: interactive sessions are unsupported for statements that change something; submit a \
                   task of type SQL";
        return Err(invalid(why.to_string()));
    }
    // Clients have them as whole numbers, which not all of them can have with 64 bits.
    let number = u64::from_le_bytes(id::random_bytes()) >> 11;
    let guid = guid(&session.id, number);
    let source = job_element(session.priority, &guid, TASK, &asked.query, &settings);
    let envelope = Envelope { guid, priority: session.priority, source };
    let (kind, name, query) = (TaskKind::Sql, TASK.to_string(), asked.query);
    let task = Task { kind, name, query, table: None, settings, aliases: Vec::new(), properties: Vec::new() };
    jobs::submit(call, call.caller()?, envelope, task).await?;
    let result = json!({"queryId": number}).to_string();
    let mut response = answers::json(&json!({"status": "ok", "result": result}))?;
    let location = format!("{}/api/projects/{}/instances/{}", call.origin.base(), call.project(), session.id);
    set_header(&mut response, "location", &location);
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changes_nothing_may_come_twice() {
        for text in ["select 1;", "set a=b; with x as (select 1) select * from x", "show tables; desc t", "nonsense"] {
            assert!(only_looks(text), "{text}");
        }
        for text in ["insert into t select 1", "create table t as select 1", "select 1; drop table t"] {
            assert!(!only_looks(text), "{text}");
        }
        // What ANALYZE finds is kept with the table.
        assert!(only_looks("show statistic t columns") && !only_looks("analyze table t compute statistics"));
    }

    #[test]
    fn the_source_of_a_query_is_its_task() {
        let settings = vec![("a".to_string(), "1".to_string())];
        let job = job_element(9, "g", TASK, "select '</SQL>';", &settings);
        let element = sql_element(&job);
        assert!(element.starts_with("<SQL>") && element.ends_with("</SQL>"), "{element}");
        assert!(element.contains("select '</SQL>';") && !element.contains("<Tasks>"), "{element}");
        assert_eq!(sql_element("</SQL><SQL>"), "");
        assert_eq!(sql_element(""), "");
    }
}
