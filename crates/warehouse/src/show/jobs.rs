//! SHOW P, STATUS, KILL, DESC INSTANCE, and the flags of a session.

use std::fmt::Write;

use chrono::{Datelike, Days, NaiveDate, NaiveTime};
use feitian_base::{Kind, Result, clock};
use feitian_functions::parse_zone;
use feitian_functions::time::{datetime_text, local_of_millis, millis_of};
use feitian_meta::{Claim, Instance, InstanceState, TOKEN_JOBS, Target};
use feitian_sql::Position;

use crate::JobFilter;
use crate::query::errors::semantic;
use crate::query::{Session, rights};

/// Jobs that SHOW P lists unless it is told how many.
const LISTED: u32 = 50;
/// The most that it lists.
const MOST_LISTED: u32 = 5000;
/// Characters of a statement in a line of SHOW P.
const SHOWN_QUERY: usize = 80;

fn zone(session: &Session) -> Result<chrono_tz::Tz> {
    parse_zone(&session.settings.time_zone()?).map_err(|e| semantic(Position::UNKNOWN, e.details))
}

fn time(ms: i64, zone: chrono_tz::Tz) -> String {
    local_of_millis(ms, zone).map(datetime_text).unwrap_or_default()
}

/// When the day begins, so many days later.
fn midnight(day: NaiveDate, later: u64, zone: chrono_tz::Tz) -> Option<i64> {
    let day = day.checked_add_days(Days::new(later))?;
    Some(millis_of(day.and_time(NaiveTime::MIN), zone))
}

fn day_of(text: &str) -> Result<NaiveDate> {
    let day = NaiveDate::parse_from_str(text.trim(), "%Y-%m-%d").ok().filter(|day| (1970..=9999).contains(&day.year()));
    day.ok_or_else(|| semantic(Position::UNKNOWN, format!("'{text}' is no day; write one like 2024-01-31")))
}

/// Refuses what a bearer token may not do, whose policy the job knows in two words only.
fn refuse_token(session: &Session, but_with: Option<&str>, action: &str, resource: &str) -> Result<()> {
    match rights::token_scope(session) {
        Some(scope) if but_with != Some(scope.as_str()) => {
            let why = "; the job came with a bearer token, which does not say so for all of them";
            Err(rights::denied(action, resource, why, Position::UNKNOWN))
        }
        _ => Ok(()),
    }
}

/// Whose jobs the account may see: `None` means those of everybody in the project.
async fn seen_owner(session: &Session) -> Result<Option<String>> {
    let project = &session.instance.project;
    refuse_token(session, Some(TOKEN_JOBS), "odps:Read", &format!("projects/{project}/instances/*"))?;
    Ok(if rights::is_whole(session, project).await? { None } else { Some(session.instance.owner.clone()) })
}

/// `SHOW P`: a line of headings, then one line for each job, the newest first.
pub(crate) async fn list(
    session: &Session,
    from: Option<&str>,
    to: Option<&str>,
    limit: Option<u32>,
) -> Result<String> {
    let zone = zone(session)?;
    let limit = limit.unwrap_or(LISTED);
    if limit > MOST_LISTED {
        let detail = format!("SHOW P lists at most {MOST_LISTED} jobs; sys.instances has all");
        return Err(semantic(Position::UNKNOWN, detail));
    }
    let (from, to) = (from.map(day_of).transpose()?, to.map(day_of).transpose()?);
    let today = local_of_millis(session.statement_ms(), zone).map(|now| now.date());
    let from = from.or(if to.is_none() { today } else { None });
    let filter = JobFilter {
        status: None,
        from_ms: from.and_then(|day| midnight(day, 0, zone)),
        to_ms: to.and_then(|day| midnight(day, 1, zone)),
        owner: seen_owner(session).await?,
    };
    let project = &session.instance.project;
    rights::check(session, project, &[("List", Target::project(project))], Claim::Anybody).await?;
    let page = session.warehouse.list_instances(project, filter, None, limit as usize).await?;
    let mut text = line("StartTime", "RunTime", "Status", "InstanceID", "Owner", "Query");
    for job in &page.items {
        let seconds = (job.ended_ms.unwrap_or_else(clock::now_ms) - job.submitted_ms).max(0) / 1000;
        let mut query = job.query.split_whitespace().collect::<Vec<_>>().join(" ");
        if let Some((end, _)) = query.char_indices().nth(SHOWN_QUERY) {
            query.truncate(end);
            query.push_str("...");
        }
        let started = time(job.submitted_ms, zone);
        text += &line(&started, &format!("{seconds}s"), job.state.as_str(), &job.id, &job.owner, &query);
    }
    Ok(text)
}

fn line(start: &str, run: &str, status: &str, id: &str, owner: &str, query: &str) -> String {
    format!("{start:<21}{run:<9}{status:<11}{id:<32}{owner:<22}{query}\n")
}

/// The job of this id, if the account may see it and do this with it.
async fn find(session: &Session, id: &str, action: &str) -> Result<Instance> {
    let project = &session.instance.project;
    let seen = seen_owner(session).await?;
    let found = match session.warehouse.instance(project, id).await {
        Err(e) if e.kind() == Kind::NotFound => return Err(semantic(Position::UNKNOWN, e.message())),
        found => found?,
    };
    match seen {
        Some(owner) if owner != found.owner => {
            let resource = format!("projects/{project}/instances/{id}");
            Err(rights::denied("odps:Read", &resource, "", Position::UNKNOWN))
        }
        _ => {
            let job = Target::of_project(project, "instances", id);
            rights::check(session, project, &[(action, job)], Claim::Anybody).await?;
            Ok(found)
        }
    }
}

/// `STATUS id`
pub(crate) async fn status(session: &Session, id: &str) -> Result<String> {
    Ok(format!("{}\n", find(session, id, "Read").await?.state.as_str()))
}

/// `KILL id`. A job that was killed before is killed: the statement may run a second time after a crash.
pub(crate) async fn kill(session: &Session, id: &str) -> Result<String> {
    let resource = format!("projects/{}/instances/{id}", session.instance.project);
    refuse_token(session, None, "odps:Write", &resource)?;
    let job = find(session, id, "Write").await?;
    if job.id == session.instance.id {
        return Err(semantic(Position::UNKNOWN, "a job cannot kill itself"));
    }
    let killed = job.state == InstanceState::Cancelled || job.stop_requested;
    match session.warehouse.stop(&session.instance.project, id).await {
        Err(e) if e.kind() == Kind::Conflict && !killed => return Err(semantic(Position::UNKNOWN, e.message())),
        Err(e) if e.kind() != Kind::Conflict => return Err(e),
        _ => {}
    }
    Ok(format!("Instance {id} is killed.\n"))
}

/// `DESC INSTANCE id`: a name and a value in each line.
pub(crate) async fn describe(session: &Session, id: &str) -> Result<String> {
    let (job, zone) = (find(session, id, "Read").await?, zone(session)?);
    let mut text = String::new();
    let mut pair = |name: &str, value: &str| {
        let _ = writeln!(text, "{name:<40}{value:<40}");
    };
    pair("ID", &job.id);
    pair("Owner", &job.owner);
    pair("StartTime", &time(job.submitted_ms, zone));
    if let Some(ended_ms) = job.ended_ms {
        pair("EndTime", &time(ended_ms, zone));
    }
    pair("Status", if job.state.is_terminal() { "Terminated" } else { "Running" });
    pair(&job.task_name, job.state.as_str());
    pair("Query", &job.query);
    Ok(text)
}

/// `SHOW FLAGS`, `SET` and `SETPROJECT` alone: `key=value` lines.
pub(crate) async fn flags(session: &Session, of_project: bool) -> Result<String> {
    if !of_project {
        return Ok(session.settings.all().into_iter().map(|(key, value)| format!("{key}={value}\n")).collect());
    }
    refuse_token(session, None, "odps:Read", &format!("projects/{}", session.project()))?;
    rights::check_project(session, session.project(), "Read").await?;
    let project = session.warehouse.meta().project(session.project()).await?;
    let properties = project.map(|p| p.properties).unwrap_or_default();
    let properties: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&properties).unwrap_or_default();
    let value = |v: &serde_json::Value| v.as_str().map_or_else(|| v.to_string(), str::to_string);
    Ok(properties.iter().map(|(key, v)| format!("{key}={}\n", value(v))).collect())
}
