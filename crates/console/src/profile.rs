//! The profile of a job, read from JSON of any version: what is missing or of another kind counts as not known.

use serde_json::Value;

/// Bounds on what one page shows. The writer of profiles stays below them.
const MOST_STAGES: usize = 500;
const MOST_OPERATORS: usize = 2000;

/// What is known about the run of a job.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Profile {
    pub(crate) rows_out: Option<u64>,
    /// Empty for jobs of before there were profiles.
    pub(crate) stages: Vec<Stage>,
    /// Equal for two runs with the same plan.
    pub(crate) plan_hash: Option<String>,
}

/// A part of a job whose workers run side by side.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Stage {
    pub(crate) id: String,
    /// Statement of the script, from 0.
    pub(crate) step: u64,
    /// Ids of the stages that it reads from.
    pub(crate) inputs: Vec<String>,
    pub(crate) state: State,
    pub(crate) started_ms: Option<i64>,
    pub(crate) ended_ms: Option<i64>,
    pub(crate) workers: u64,
    pub(crate) rows_in: u64,
    pub(crate) rows_out: u64,
    pub(crate) bytes_in: u64,
    pub(crate) cpu_us: u64,
    pub(crate) spilled_bytes: u64,
    /// Rows of the fullest worker over the mean; 1 when even or not known.
    pub(crate) skew: f64,
    pub(crate) operators: Vec<Operator>,
}

/// How far a stage is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum State {
    #[default]
    Waiting,
    Running,
    Done,
    Failed,
}

/// One operator of a stage's plan.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Operator {
    pub(crate) id: u64,
    pub(crate) parent: Option<u64>,
    pub(crate) name: String,
    pub(crate) text: String,
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    pub(crate) cpu_us: u64,
    pub(crate) spilled_bytes: u64,
    pub(crate) skew: f64,
}

impl Profile {
    /// Reads a profile. Never fails.
    pub(crate) fn read(value: &Value) -> Self {
        let mut operators_left = MOST_OPERATORS;
        let mut stages: Vec<Stage> = Vec::new();
        for item in items(value, "stages").iter().take(MOST_STAGES) {
            let stage = stage(item, operators_left);
            operators_left -= stage.operators.len();
            stages.push(stage);
        }
        Self {
            rows_out: value.get("rows_out").and_then(Value::as_u64),
            stages,
            plan_hash: value.get("plan_hash").and_then(Value::as_str).filter(|h| !h.is_empty()).map(str::to_string),
        }
    }

    /// Reads the profile that an ended job keeps.
    pub(crate) fn of_summary(summary: &str) -> Self {
        serde_json::from_str(summary).map(|value: Value| Self::read(&value)).unwrap_or_default()
    }

    /// Bytes that were read from files.
    pub(crate) fn bytes_in(&self) -> Option<u64> {
        (!self.stages.is_empty()).then(|| self.stages.iter().map(|s| s.bytes_in).sum())
    }

    /// For each stage the places of its inputs in the list. Ids of no stage and a stage's own are left out; the same
    /// statement's stage goes before another's.
    pub(crate) fn edges(&self) -> Vec<Vec<usize>> {
        let find = |of: usize, id: &String| {
            let fits = |(at, s): &(usize, &Stage)| *at != of && s.id == *id;
            let all = || self.stages.iter().enumerate().filter(fits);
            let same = all().find(|(_, s)| s.step == self.stages[of].step);
            same.or_else(|| all().next()).map(|(at, _)| at)
        };
        let inputs = |of: usize| {
            let mut found: Vec<usize> = self.stages[of].inputs.iter().filter_map(|id| find(of, id)).collect();
            found.sort_unstable();
            found.dedup();
            found
        };
        (0..self.stages.len()).map(inputs).collect()
    }
}

fn stage(value: &Value, most_operators: usize) -> Stage {
    Stage {
        id: text(value, "id"),
        step: number(value, "step"),
        inputs: items(value, "inputs").iter().filter_map(|v| v.as_str().map(str::to_string)).take(64).collect(),
        state: match value.get("state").and_then(Value::as_str) {
            Some("running") => State::Running,
            Some("done") => State::Done,
            Some("failed") => State::Failed,
            _ => State::Waiting,
        },
        started_ms: value.get("started_ms").and_then(Value::as_i64),
        ended_ms: value.get("ended_ms").and_then(Value::as_i64),
        workers: number(value, "workers"),
        rows_in: number(value, "rows_in"),
        rows_out: number(value, "rows_out"),
        bytes_in: number(value, "bytes_in"),
        cpu_us: number(value, "cpu_us"),
        spilled_bytes: number(value, "spilled_bytes"),
        skew: ratio(value, "skew"),
        operators: items(value, "operators").iter().take(most_operators).map(operator).collect(),
    }
}

fn operator(value: &Value) -> Operator {
    Operator {
        id: number(value, "id"),
        parent: value.get("parent").and_then(Value::as_u64),
        name: text(value, "name"),
        text: text(value, "text"),
        rows: number(value, "rows"),
        bytes: number(value, "bytes"),
        cpu_us: number(value, "cpu_us"),
        spilled_bytes: number(value, "spilled_bytes"),
        skew: ratio(value, "skew"),
    }
}

fn items<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[][..], Vec::as_slice)
}

fn number(value: &Value, key: &str) -> u64 {
    value.get(key).and_then(Value::as_u64).unwrap_or(0)
}

fn ratio(value: &Value, key: &str) -> f64 {
    value.get(key).and_then(Value::as_f64).filter(|r| r.is_finite() && *r >= 1.0).unwrap_or(1.0)
}

fn text(value: &Value, key: &str) -> String {
    value.get(key).and_then(Value::as_str).unwrap_or_default().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_profile_of_an_old_job_has_no_stages() {
        let old = r#"{"elapsed_ms":5,"rows_in":10,"rows_out":3,"operators":[{"depth":0,"operator":"X"}]}"#;
        let profile = Profile::of_summary(old);
        assert_eq!((profile.rows_out, profile.stages.len()), (Some(3), 0));
        assert_eq!((profile.bytes_in(), profile.plan_hash), (None, None));
        for text in ["", "{}", "[]", "null", "nonsense"] {
            assert_eq!(Profile::of_summary(text), Profile::default(), "{text}");
        }
    }

    #[test]
    fn what_is_of_another_kind_counts_as_not_known() {
        let value = json!({"stages": [{"id": 7, "state": "dancing", "rows_in": -1, "skew": "wide", "inputs": [1, "a"],
            "operators": [null, {"name": "Scan", "skew": 0.5, "parent": "x", "new": true}]}], "plan_hash": ""});
        let profile = Profile::read(&value);
        let stage = &profile.stages[0];
        assert_eq!((stage.id.as_str(), stage.state, stage.rows_in, stage.skew), ("", State::Waiting, 0, 1.0));
        assert_eq!(stage.inputs, ["a"]);
        assert_eq!((stage.operators[1].name.as_str(), stage.operators[1].skew), ("Scan", 1.0));
        assert_eq!(profile.plan_hash, None);
    }

    #[test]
    fn edges_lead_to_known_stages_of_the_same_statement_first() {
        let stage = |id: &str, step: u64, inputs: &[&str]| json!({"id": id, "step": step, "inputs": inputs});
        let value = json!({"stages": [
            stage("M1", 0, &[]), stage("M1", 1, &[]), stage("R2", 1, &["M1", "M1", "gone", "R2"]), stage("R3", 2, &["M1"]),
        ]});
        assert_eq!(Profile::read(&value).edges(), [vec![], vec![], vec![1], vec![0]]);
    }
}
