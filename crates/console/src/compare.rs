//! The job beside the run of the same SQL before it, in numbers and in words.

use feitian_meta::rows::{Instance, InstanceState};

use crate::profile::Profile;
use crate::show;
use crate::words::Words;

/// What one run is compared by.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Run {
    pub(crate) state: Option<InstanceState>,
    /// Milliseconds from its start to its end; none while it runs.
    pub(crate) ran_ms: Option<i64>,
    pub(crate) rows: Option<u64>,
    pub(crate) bytes_in: Option<u64>,
    pub(crate) plan_hash: Option<String>,
}

/// One line of the comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Measure {
    pub(crate) name: &'static str,
    pub(crate) now: String,
    pub(crate) before: String,
    pub(crate) words: String,
}

impl Run {
    pub(crate) fn of(instance: &Instance, profile: &Profile) -> Self {
        let span = instance.started_ms.zip(instance.ended_ms);
        let result = instance.is_select.then(|| u64::try_from(instance.result_rows).unwrap_or(0));
        Self {
            state: Some(instance.state),
            ran_ms: span.map(|(from, to)| (to - from).max(0)),
            rows: result.or(profile.rows_out).filter(|_| instance.state == InstanceState::Success),
            bytes_in: profile.bytes_in(),
            plan_hash: profile.plan_hash.clone(),
        }
    }

    fn failed(&self) -> bool {
        self.state.is_some_and(|s| s.is_terminal() && s != InstanceState::Success)
    }
}

/// The lines of the comparison: time, rows, bytes, plan.
pub(crate) fn measures(w: &Words, now: &Run, before: &Run) -> Vec<Measure> {
    let or_unknown = |text: Option<String>| text.unwrap_or_else(|| w.unknown.to_string());
    let line = |name, now: Option<String>, before: Option<String>, words: String| Measure {
        name,
        now: or_unknown(now),
        before: or_unknown(before),
        words,
    };
    let duration = |ms: Option<i64>| ms.map(|ms| show::duration(w, ms));
    let count = |n: Option<u64>| n.map(show::count);
    let bytes = |n: Option<u64>| n.map(show::bytes);
    let plan = |run: &Run| run.plan_hash.as_ref().map(|hash| show::short(hash, 12));
    vec![
        line(w.ran, duration(now.ran_ms), duration(before.ran_ms), time_words(w, now, before)),
        line(w.rows, count(now.rows), count(before.rows), number_words(w, now.rows, before.rows)),
        line(w.bytes_read, bytes(now.bytes_in), bytes(before.bytes_in), number_words(w, now.bytes_in, before.bytes_in)),
        line(w.plan, plan(now), plan(before), plan_words(w, now, before)),
    ]
}

fn time_words(w: &Words, now: &Run, before: &Run) -> String {
    if before.failed() || now.failed() {
        return w.cmp_one_failed.to_string();
    }
    let (Some(a), Some(b)) = (now.ran_ms, before.ran_ms) else { return w.cmp_not_yet.to_string() };
    // Below this, two runs of the same work differ by chance.
    let close = (a - b).abs() <= (a.max(b) / 10).max(50);
    let (a, b) = (a.max(1) as f64, b.max(1) as f64);
    if close {
        w.cmp_about_as_long.to_string()
    } else if a > b {
        show::fill(w.cmp_slower, &[("n", &show::times(a, b))])
    } else {
        show::fill(w.cmp_faster, &[("n", &show::times(b, a))])
    }
}

fn number_words(w: &Words, now: Option<u64>, before: Option<u64>) -> String {
    let (Some(a), Some(b)) = (now, before) else { return w.cmp_not_known.to_string() };
    match a.cmp(&b) {
        std::cmp::Ordering::Equal => w.cmp_same.to_string(),
        std::cmp::Ordering::Greater => show::fill(w.cmp_more, &[("n", &show::count(a - b))]),
        std::cmp::Ordering::Less => show::fill(w.cmp_fewer, &[("n", &show::count(b - a))]),
    }
}

fn plan_words(w: &Words, now: &Run, before: &Run) -> String {
    match (&now.plan_hash, &before.plan_hash) {
        (Some(a), Some(b)) if a == b => w.cmp_same_plan.to_string(),
        (Some(_), Some(_)) => w.cmp_other_plan.to_string(),
        _ => w.cmp_not_known.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::{EN, ZH};

    fn run(ran_ms: i64, rows: u64, hash: &str) -> Run {
        Run {
            state: Some(InstanceState::Success),
            ran_ms: Some(ran_ms),
            rows: Some(rows),
            bytes_in: Some(rows * 8),
            plan_hash: Some(hash.into()),
        }
    }

    fn words(w: &Words, now: &Run, before: &Run) -> Vec<String> {
        measures(w, now, before).into_iter().map(|m| m.words).collect()
    }

    // Arithmetic: 3000 ms is 3 times 1000 ms; 1200 rows are 200 more than 1000, in 8 bytes each.
    #[test]
    fn two_runs_are_compared_in_words() {
        let (slow, fast) = (run(3000, 1200, "a"), run(1000, 1000, "b"));
        assert_eq!(words(&EN, &slow, &fast), ["3.0 times as long", "200 more", "1,600 more", "another plan"]);
        assert_eq!(words(&EN, &fast, &slow)[..2], ["3.0 times as fast", "200 fewer"]);
        assert_eq!(words(&EN, &fast, &fast), ["about as long", "the same", "the same", "the same plan"]);
        assert_eq!(words(&ZH, &slow, &fast)[0], "耗时是上次的 3.0 倍");
        let shown = measures(&EN, &slow, &fast);
        assert_eq!((shown[0].now.as_str(), shown[0].before.as_str()), ("3.00 s", "1.00 s"));
    }

    #[test]
    fn short_runs_do_not_differ_by_chance() {
        assert_eq!(words(&EN, &run(60, 1, "a"), &run(20, 1, "a"))[0], "about as long");
        assert_eq!(words(&EN, &run(0, 1, "a"), &run(100, 1, "a"))[0], "100 times as fast");
    }

    #[test]
    fn what_is_not_known_is_said() {
        let running = Run { state: Some(InstanceState::Running), ..Run::default() };
        let failed = Run { state: Some(InstanceState::Failed), ..run(5, 1, "a") };
        let before = run(1000, 10, "a");
        assert_eq!(words(&EN, &running, &before), ["not yet known", "not known", "not known", "not known"]);
        assert_eq!(words(&EN, &before, &failed)[0], "not compared: a run that did not succeed says nothing about time");
        assert_eq!(measures(&EN, &running, &before)[0].now, EN.unknown);
    }
}
