//! Bars of time below each other: how long the job waited, and when each stage ran.

use crate::profile::{Profile, State};

/// The drawing, in units of its view box.
pub(crate) const WIDTH: i64 = 760;
const LABELS: i64 = 170;
const ROW: i64 = 28;
const TOP: i64 = 26;
/// Room for the words after the longest bar.
const RIGHT: i64 = 96;
const LEAST_BAR: i64 = 3;
/// More rows than this are only in the table.
const MOST_ROWS: usize = 60;

/// What a bar is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Of {
    /// The wait in the queue.
    Queue,
    /// The stage at this place of the profile.
    Stage(usize),
}

/// One bar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bar {
    pub(crate) of: Of,
    pub(crate) x: i64,
    /// Upper edge of its row.
    pub(crate) y: i64,
    pub(crate) width: i64,
    /// Milliseconds from the submission of the job to the beginning of the bar.
    pub(crate) from_ms: i64,
    pub(crate) length_ms: i64,
}

/// The drawing of a job's time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Chart {
    pub(crate) height: i64,
    pub(crate) bars: Vec<Bar>,
    /// Where a line of the scale stands and how many milliseconds after the submission that is.
    pub(crate) scale: Vec<(i64, i64)>,
}

/// Draws the life of a job from `submitted_ms` to `end_ms`: its end, or now.
pub(crate) fn chart(submitted_ms: i64, started_ms: Option<i64>, end_ms: i64, profile: &Profile) -> Chart {
    let last = profile.stages.iter().filter_map(|s| s.ended_ms.or(s.started_ms)).max().unwrap_or(end_ms);
    let whole = end_ms.max(last).saturating_sub(submitted_ms).max(1);
    let space = WIDTH - LABELS - RIGHT;
    let x = |ms: i64| LABELS + scaled(ms.clamp(0, whole), whole, space);
    let mut bars = Vec::new();
    let mut add = |of: Of, from: i64, to: i64| {
        let (from_ms, length_ms) = (from.saturating_sub(submitted_ms).max(0), to.saturating_sub(from).max(0));
        let (left, right) = (x(from_ms), x(from_ms.saturating_add(length_ms)));
        let y = TOP + bars.len() as i64 * ROW;
        bars.push(Bar { of, x: left, y, width: (right - left).max(LEAST_BAR), from_ms, length_ms });
    };
    add(Of::Queue, submitted_ms, started_ms.unwrap_or(end_ms));
    for (at, stage) in profile.stages.iter().enumerate().take(MOST_ROWS) {
        if let Some(from) = stage.started_ms {
            let now = if stage.state == State::Running { end_ms } else { from };
            add(Of::Stage(at), from, stage.ended_ms.unwrap_or(now));
        }
    }
    let scale = (0..=4).map(|quarter| scaled(quarter, 4, whole)).map(|ms| (x(ms), ms)).collect();
    Chart { height: TOP + bars.len() as i64 * ROW + 6, bars, scale }
}

/// `part / whole * space`, for times of any length.
fn scaled(part: i64, whole: i64, space: i64) -> i64 {
    (part as f64 / whole as f64 * space as f64).round() as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Stage;

    fn ran(from: Option<i64>, to: Option<i64>, state: State) -> Stage {
        Stage { started_ms: from, ended_ms: to, state, ..Stage::default() }
    }

    // Arithmetic: 494 units for 1000 ms, from 170 on.
    #[test]
    fn bars_stand_where_their_time_is() {
        let stages = vec![
            ran(Some(1500), Some(1750), State::Done),
            ran(Some(1750), None, State::Running),
            ran(None, None, State::Waiting),
        ];
        let drawn = chart(1000, Some(1500), 2000, &Profile { stages, ..Profile::default() });
        let spans: Vec<_> = drawn.bars.iter().map(|b| (b.of, b.x, b.width, b.from_ms, b.length_ms)).collect();
        assert_eq!(
            spans,
            [(Of::Queue, 170, 247, 0, 500), (Of::Stage(0), 417, 124, 500, 250), (Of::Stage(1), 541, 123, 750, 250),]
        );
        assert_eq!(drawn.scale.first(), Some(&(170, 0)));
        assert_eq!(drawn.scale.last(), Some(&(664, 1000)));
        assert_eq!(drawn.height, 26 + 3 * 28 + 6);
    }

    #[test]
    fn times_that_cannot_be_are_drawn_within_the_frame() {
        let stages = vec![ran(Some(-5), Some(-9), State::Done), ran(Some(i64::MAX / 2), None, State::Failed)];
        let drawn = chart(0, None, 0, &Profile { stages, ..Profile::default() });
        assert!(drawn.bars.iter().all(|b| b.x >= LABELS && b.x + b.width <= WIDTH && b.width >= LEAST_BAR));
    }
}
