//! How a job is: its state in words, and its facts.

use askama::Template;
use feitian_api::warehouse::QueueLoad;
use feitian_base::Result;
use feitian_meta::rows::InstanceState;

use super::{Frame, rendered};
use crate::job::Job;
use crate::profile::State;
use crate::show::{self, fill};
use crate::words::Words;

#[derive(Template)]
#[template(path = "state.html")]
struct StateTemplate {
    class: &'static str,
    title: String,
    word: &'static str,
    comma: &'static str,
    details: Vec<String>,
    why: String,
    /// Stages; 0 shows no bar.
    total: u64,
    done: u64,
    progress: String,
}

#[derive(Template)]
#[template(path = "facts.html")]
struct FactsTemplate {
    facts: Vec<Fact>,
}

/// A line of the facts; `iso` is there for times.
struct Fact {
    name: &'static str,
    text: String,
    iso: String,
}

/// The word for the state of a job, and the class of its colour.
fn word(w: &Words, job: &Job) -> (&'static str, &'static str) {
    match job.instance.state {
        InstanceState::Waiting => (w.waiting, "wait"),
        InstanceState::Running if job.instance.stop_requested => (w.stopping, "busy"),
        InstanceState::Running => (w.running, "busy"),
        InstanceState::Success => (w.succeeded, "good"),
        InstanceState::Failed => (w.failed, "bad"),
        InstanceState::Cancelled => (w.stopped, "bad"),
    }
}

/// The title of a job's page: its state first, since tabs are narrow.
pub(super) fn title(frame: &Frame, job: &Job) -> String {
    let (word, _) = word(frame.w, job);
    format!("{word} · {} · {}", show::seen(&job.instance.id), show::short(&job.instance.project, 64))
}

/// The sentence about the state. Nothing in it ticks: it is read aloud whenever it changes.
pub(super) fn state(frame: &Frame, job: &Job) -> Result<String> {
    let w = frame.w;
    let (word, class) = word(w, job);
    let ran = show::duration(w, job.ran_ms().unwrap_or(0));
    let mut details = Vec::new();
    let mut why = String::new();
    let (mut total, mut done) = (0, 0);
    match job.instance.state {
        InstanceState::Waiting => {
            if let Some((place, load)) = &job.queue {
                details.push(fill(w.place, &[("n", &place.to_string())]));
                why = reason(w, &job.instance.project, *place, load);
            }
        }
        InstanceState::Running => {
            total = job.profile.stages.len() as u64;
            done = job.profile.stages.iter().filter(|s| s.state == State::Done).count() as u64;
            if job.instance.stop_requested {
                why = w.stop_asked.to_string();
            }
        }
        InstanceState::Success => {
            details.push(fill(w.in_time, &[("t", &ran)]));
            if job.instance.is_select {
                let rows = u64::try_from(job.instance.result_rows).unwrap_or(0);
                details.push(fill(w.with_rows, &[("n", &show::count(rows))]));
            }
        }
        InstanceState::Failed | InstanceState::Cancelled if job.instance.started_ms.is_some() => {
            details.push(fill(w.after_time, &[("t", &ran)]));
        }
        InstanceState::Failed | InstanceState::Cancelled => {}
    }
    let progress = fill(w.stages_done, &[("n", &done.to_string()), ("total", &total.to_string())]);
    rendered(&StateTemplate {
        class,
        title: title(frame, job),
        word,
        comma: w.comma,
        details,
        why,
        total,
        done,
        progress,
    })
}

/// Why a waiting job does not run.
fn reason(w: &Words, project: &str, place: usize, load: &QueueLoad) -> String {
    let project = show::short(project, 64);
    let numbers = |pattern: &str, running: usize, limit: usize| {
        fill(pattern, &[("project", &project), ("running", &running.to_string()), ("limit", &limit.to_string())])
    };
    if load.project_running >= load.project_limit {
        numbers(w.why_project, load.project_running, load.project_limit)
    } else if load.process_running >= load.process_limit {
        numbers(w.why_server, load.process_running, load.process_limit)
    } else if place <= 1 {
        w.why_next.to_string()
    } else {
        w.why_others.to_string()
    }
}

/// Who, when, and how long.
pub(super) fn facts(frame: &Frame, job: &Job) -> Result<String> {
    let (w, instance) = (frame.w, &job.instance);
    let mut facts = Vec::new();
    let mut text = |name, text: String| facts.push(Fact { name, text, iso: String::new() });
    text(w.project, show::short(&instance.project, 200));
    text(w.owner, show::short(&instance.owner, 200));
    text(w.task, format!("{} ({})", show::short(&instance.task_name, 200), show::short(&instance.task_type, 40)));
    text(w.priority, fill(w.priority_of, &[("n", &instance.priority.to_string())]));
    if instance.attempt > 1 {
        text(w.attempt, fill(w.attempt_of, &[("n", &instance.attempt.to_string())]));
    }
    for (name, ms) in
        [(w.submitted, Some(instance.submitted_ms)), (w.started, instance.started_ms), (w.ended, instance.ended_ms)]
    {
        if let Some(ms) = ms {
            let time = show::time(ms, job.zone);
            facts.push(Fact { name, text: time.text, iso: time.iso });
        }
    }
    let mut text = |name, text: String| facts.push(Fact { name, text, iso: String::new() });
    text(w.time_zone, job.zone.name().to_string());
    let so_far = |ms: i64, is_over: bool| {
        let t = show::duration(w, ms);
        if is_over { t } else { fill(w.so_far, &[("t", &t)]) }
    };
    text(w.waited, so_far(job.waited_ms(), job.is_over() || instance.started_ms.is_some()));
    if let Some(ran) = job.ran_ms() {
        text(w.ran, so_far(ran, job.is_over()));
    }
    rendered(&FactsTemplate { facts })
}
