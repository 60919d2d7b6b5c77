//! The jobs of a project, newest first, with their filters in the address.

use askama::Template;
use chrono::{NaiveDate, NaiveDateTime, TimeZone};
use chrono_tz::Tz;
use feitian_api::warehouse::InstanceFilter;
use feitian_api::{Answer, Call, admin, project_zone};
use feitian_base::{Error, Kind, Result, clock};
use feitian_meta::rows::{Instance, InstanceState};
use url::form_urlencoded::Serializer;

use super::shell::{Section, Shell};
use super::words;
use crate::hints::{feitian, get, word};
use crate::show;

/// Jobs of one page.
const PAGE: usize = 50;
/// States that the list can be filtered by, as the admin API calls them.
const STATES: [&str; 4] = ["Running", "Terminated", "Failed", "Cancelled"];
/// Characters of a statement that a line shows.
const QUERY: usize = 120;

#[derive(Template)]
#[template(path = "app/jobs.html")]
struct JobsPage<'a> {
    shell: &'a Shell,
    status: String,
    owner: String,
    from: String,
    to: String,
    jobs: Vec<JobLine>,
    next: String,
    first: String,
    zone: &'static str,
}

/// A job in a list.
pub(super) struct JobLine {
    pub id: String,
    pub address: String,
    pub state: &'static str,
    pub class: &'static str,
    pub owner: String,
    pub submitted: show::Time,
    pub took: String,
    pub query: String,
}

pub(super) fn line(shell: &Shell, instance: Instance, zone: Tz) -> JobLine {
    let (state, class) = state(shell, &instance);
    let end = instance.ended_ms.unwrap_or_else(clock::now_ms);
    JobLine {
        address: shell.job(&instance.id),
        id: show::seen(&instance.id).into_owned(),
        state,
        class,
        owner: show::short(&instance.owner, 200),
        submitted: show::time(instance.submitted_ms, zone),
        took: instance.started_ms.map_or(String::new(), |start| show::duration(shell.l, end - start)),
        query: one_line(&instance.query),
    }
}

/// The beginning of a statement, its blanks and line ends made one blank.
pub(super) fn one_line(query: &str) -> String {
    let words: Vec<&str> = query.split_whitespace().take(QUERY).collect();
    show::short(&words.join(" "), QUERY)
}

/// The word for a job's state, and the class of its colour.
pub(super) fn state(shell: &Shell, instance: &Instance) -> (&'static str, &'static str) {
    let l = shell.l;
    match instance.state {
        InstanceState::Waiting => (l.waiting, "wait"),
        InstanceState::Running if instance.stop_requested => (l.stopping, "busy"),
        InstanceState::Running => (l.running, "busy"),
        InstanceState::Success => (l.succeeded, "good"),
        InstanceState::Failed => (l.failed, "bad"),
        InstanceState::Cancelled => (l.stopped, "bad"),
    }
}

/// `GET /console/projects/{project}/jobs`
pub(super) async fn show(call: Call) -> Answer {
    let words = words::of(&call)?;
    let mut shell = Shell::of_project(&call, Section::Jobs, words.jobs)?;
    let zone = project_zone(&call).await?;
    let text = |key: &str| call.query.get(key).unwrap_or_default().trim().to_string();
    let (status, owner, from, to) = (status(&text("status"))?, text("owner"), text("from"), text("to"));
    let some = |text: &str| Some(text.to_string()).filter(|t| !t.is_empty());
    let filter = InstanceFilter {
        status: some(&status),
        from_ms: instant("from", &from, zone)?,
        to_ms: instant("to", &to, zone)?,
        owner: some(&owner),
    };
    shell.hints = hints(call.project(), &filter, call.query.get("marker").unwrap_or_default());
    let page = admin::instances_of(&call, filter, call.query.get("marker"), PAGE).await?;
    let filters = [("status", &status), ("owner", &owner), ("from", &from), ("to", &to)];
    let address = |marker: Option<&str>| {
        let mut query = Serializer::new(String::new());
        for (key, value) in filters.iter().filter(|(_, value)| !value.is_empty()) {
            query.append_pair(key, value);
        }
        if let Some(marker) = marker {
            query.append_pair("marker", marker);
        }
        shell.within(&format!("/jobs?{}", query.finish()))
    };
    let next = page.next.as_deref().map_or(String::new(), |marker| address(Some(marker)));
    let first = if call.query.get("marker").is_some() { address(None) } else { String::new() };
    let jobs = page.items.into_iter().map(|i| line(&shell, i, zone)).collect();
    shell.answer(&JobsPage { shell: &shell, status, owner, from, to, jobs, next, first, zone: zone.name() })
}

/// The word of a state, in any case; empty for all.
fn status(word: &str) -> Result<String> {
    match STATES.iter().find(|known| known.eq_ignore_ascii_case(word)) {
        Some(known) => Ok((*known).to_string()),
        None if word.is_empty() => Ok(String::new()),
        None => {
            let message = format!("status must be one of {}, not '{word}'", STATES.join(", "));
            Err(Error::new(Kind::Invalid, "InvalidParameter", message))
        }
    }
}

/// A reading of the clock of `zone`, as `datetime-local` fields send it, in milliseconds since 1970-01-01 UTC. Where the
/// clock was turned back, the earlier of the two instants; where it skipped an hour, an hour later.
fn instant(key: &str, text: &str, zone: Tz) -> Result<Option<i64>> {
    if text.is_empty() {
        return Ok(None);
    }
    let forms = ["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S"];
    let clock = forms.iter().find_map(|form| NaiveDateTime::parse_from_str(text, form).ok());
    let clock = clock.or_else(|| NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.and_hms_opt(0, 0, 0));
    let Some(clock) = clock else {
        let message = format!("query parameter '{key}' must be a time like 2024-01-31T08:00, not '{text}'");
        return Err(Error::new(Kind::Invalid, "InvalidParameter", message));
    };
    let hour = chrono::TimeDelta::hours(1);
    let at = zone.from_local_datetime(&clock).earliest();
    let at = at.or_else(|| zone.from_local_datetime(&clock.checked_add_signed(hour)?).earliest());
    Ok(Some(at.map_or(clock.and_utc().timestamp_millis(), |at| at.timestamp_millis())))
}

fn hints(project: &str, filter: &InstanceFilter, marker: &str) -> Vec<String> {
    let [from, to] = [filter.from_ms, filter.to_ms].map(|ms| ms.map_or(String::new(), |ms| ms.to_string()));
    let [status, owner] = [&filter.status, &filter.owner].map(|text| text.as_deref().unwrap_or_default());
    let query =
        [("status", status), ("owner", owner), ("from_ms", from.as_str()), ("to_ms", to.as_str()), ("marker", marker)];
    let call = get(["projects", project, "instances"], &query);
    // The command knows no times, no owners and no markers.
    if query[1..].iter().any(|(_, value)| !value.is_empty()) {
        return vec![call];
    }
    let mut command = feitian(["instance", "list", "--project", project]);
    if !status.is_empty() {
        command.push_str(&format!(" --status {}", word(&status.to_lowercase())));
    }
    vec![command, call]
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    // 2024-01-01 00:00 UTC is 19,723 days after 1970-01-01; Shanghai is eight hours ahead. New York went from 02:00 to
    // 03:00 on 2024-03-10 (07:00 UTC) and from 02:00 back to 01:00 on 2024-11-03 (tz database).
    #[test]
    fn times_are_those_of_the_projects_clock() {
        let (shanghai, new_york) = (chrono_tz::Asia::Shanghai, chrono_tz::America::New_York);
        let new_year = 19_723 * 86_400_000;
        assert_eq!(instant("from", "2024-01-01T08:00", shanghai).unwrap(), Some(new_year));
        assert_eq!(instant("from", "2024-01-01T08:00:01", shanghai).unwrap(), Some(new_year + 1000));
        assert_eq!(instant("from", "2024-01-01", chrono_tz::UTC).unwrap(), Some(new_year));
        assert_eq!(instant("from", "", shanghai).unwrap(), None);
        let utc = |text: &str| chrono::DateTime::parse_from_rfc3339(text).unwrap().timestamp_millis();
        assert_eq!(instant("to", "2024-03-10T02:30", new_york).unwrap(), Some(utc("2024-03-10T07:30:00Z")));
        assert_eq!(instant("to", "2024-11-03T01:30", new_york).unwrap(), Some(utc("2024-11-03T05:30:00Z")));
        let refused = instant("to", "yesterday", shanghai).unwrap_err();
        assert!(refused.message().contains("'to'") && refused.message().contains("yesterday"));
    }

    #[test]
    fn a_state_is_one_word_in_any_case() {
        for (word, known) in [("", ""), ("failed", "Failed"), ("CANCELLED", "Cancelled"), ("Running", "Running")] {
            assert_eq!(status(word).unwrap(), known);
        }
        for word in ["fail", "Success", "Failed,Cancelled", "\u{202e}"] {
            assert!(status(word).unwrap_err().message().contains("Terminated, Failed, Cancelled"), "{word}");
        }
    }

    #[test]
    fn a_statement_is_shown_on_one_line() {
        assert_eq!(one_line("select\n  1,\t2;\r\n"), "select 1, 2;");
        assert_eq!(one_line(&"x".repeat(200)).chars().count(), QUERY + 1);
    }

    #[test]
    fn the_command_or_the_call_has_the_same_filters() {
        let running = InstanceFilter { status: Some("Running".into()), ..InstanceFilter::default() };
        assert_eq!(
            hints("p", &running, ""),
            ["feitian instance list --project p --status running", "GET /admin/v1/projects/p/instances?status=Running"]
        );
        let failed = InstanceFilter { status: Some("Failed".into()), ..InstanceFilter::default() };
        assert_eq!(hints("p", &failed, "")[0], "feitian instance list --project p --status failed");
        let late = InstanceFilter { from_ms: Some(5), owner: Some("ALIYUN$a".into()), ..InstanceFilter::default() };
        assert_eq!(hints("p", &late, ""), ["GET /admin/v1/projects/p/instances?owner=ALIYUN%24a&from_ms=5"]);
        let next = hints("p", &InstanceFilter::default(), "i1");
        assert_eq!(next, ["GET /admin/v1/projects/p/instances?marker=i1"]);
    }
}
