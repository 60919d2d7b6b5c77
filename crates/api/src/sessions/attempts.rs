//! How often one may try to sign in with one access id: a count for each id, in bounded memory.

use std::collections::HashMap;

use feitian_base::{Error, Kind, Result};
use parking_lot::Mutex;

/// Failures in a row after which an id is held back.
const MOST: u32 = 10;
/// How long after its first failure it is free again.
const WINDOW_MS: i64 = 5 * 60_000;
/// Ids that are remembered at most.
const IDS: usize = 4096;

/// Failed attempts by access id.
#[derive(Default)]
pub(super) struct Attempts(Mutex<HashMap<String, Count>>);

#[derive(Clone, Copy)]
struct Count {
    tries: u32,
    since_ms: i64,
}

impl Attempts {
    /// Counts an attempt before its secret is looked at, so that many at once count as many. `FlowExceeded` when there
    /// were too many.
    pub(super) fn begin(&self, access_id: &str, now_ms: i64) -> Result<()> {
        let mut counts = self.0.lock();
        let is_over = |count: &Count| now_ms - count.since_ms >= WINDOW_MS;
        if counts.len() >= IDS && !counts.contains_key(access_id) {
            make_room(&mut counts, is_over);
        }
        let count = counts.entry(access_id.to_string()).or_insert(Count { tries: 0, since_ms: now_ms });
        if is_over(count) {
            *count = Count { tries: 0, since_ms: now_ms };
        }
        if count.tries >= MOST {
            let seconds = (count.since_ms + WINDOW_MS - now_ms).max(0) / 1000 + 1;
            let message = format!("too many failed attempts with this access id; try again in {seconds} seconds");
            return Err(Error::new(Kind::Throttled, "FlowExceeded", message));
        }
        count.tries += 1;
        Ok(())
    }

    /// Forgets the attempts with an id once one of them succeeded.
    pub(super) fn succeeded(&self, access_id: &str) {
        self.0.lock().remove(access_id);
    }
}

/// Forgets what no longer counts, or else the id with the fewest attempts: made-up ids push each other out and leave the
/// one that is really being tried.
fn make_room(counts: &mut HashMap<String, Count>, is_over: impl Fn(&Count) -> bool) {
    counts.retain(|_, count| !is_over(count));
    if counts.len() >= IDS
        && let Some(id) = counts.iter().min_by_key(|(_, c)| (c.tries, c.since_ms)).map(|(id, _)| id.clone())
    {
        counts.remove(&id);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_held_back_after_ten_failures_and_free_again_after_five_minutes() {
        let attempts = Attempts::default();
        for _ in 0..MOST {
            attempts.begin("a", 1000).unwrap();
        }
        let refused = attempts.begin("a", 1000).unwrap_err();
        assert_eq!((refused.kind(), refused.code()), (Kind::Throttled, "FlowExceeded"));
        attempts.begin("b", 1000).unwrap();
        assert!(attempts.begin("a", 1000 + WINDOW_MS - 1).is_err());
        attempts.begin("a", 1000 + WINDOW_MS).unwrap();
    }

    #[test]
    fn a_success_clears_the_count() {
        let attempts = Attempts::default();
        for _ in 0..100 {
            attempts.begin("a", 0).unwrap();
            attempts.succeeded("a");
        }
    }

    #[test]
    fn made_up_ids_neither_fill_the_memory_nor_free_the_one_that_is_tried() {
        let attempts = Attempts::default();
        for _ in 0..MOST {
            attempts.begin("victim", 0).unwrap();
        }
        for i in 0..3 * IDS {
            attempts.begin(&format!("made up {i}"), 1).unwrap();
        }
        assert_eq!(attempts.0.lock().len(), IDS);
        assert!(attempts.begin("victim", 2).is_err());
        attempts.begin("another", WINDOW_MS + 1).unwrap();
        assert_eq!(attempts.0.lock().len(), 1, "what is over makes room");
    }
}
