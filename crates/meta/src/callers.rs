//! What requests to the table store were told of their keys, for as long as nothing changes: one asks for every row.
//!
//! Only where one process has the database. Every write transaction of it, whatever it changes, ends what is remembered
//! before its caller hears of it. A transaction whose caller went away during its commit may take effect a moment later
//! than it ends; therefore nothing is remembered for longer than [`LIFE`].

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::rows::OtsCaller;

const LIFE: Duration = Duration::from_secs(1);
/// Keys beside instances; with more of them at once the database is asked.
const MOST: usize = 1024;

#[derive(Default)]
pub(crate) struct Callers {
    /// Write transactions that have ended.
    changes: AtomicU64,
    known: Mutex<Known>,
}

/// What was read when so many transactions had ended.
#[derive(Default)]
struct Known {
    changes: u64,
    since: Option<Instant>,
    callers: HashMap<String, OtsCaller>,
}

impl Callers {
    /// A write transaction has ended.
    pub(crate) fn changed(&self) {
        self.changes.fetch_add(1, Ordering::SeqCst);
    }

    /// How often anything changed: to be asked for before the database is, and handed to [`Callers::keep`].
    pub(crate) fn changes(&self) -> u64 {
        self.changes.load(Ordering::SeqCst)
    }

    pub(crate) fn get(&self, access_id: &str, instance: &str) -> Option<OtsCaller> {
        let known = self.lock();
        if known.changes != self.changes() || known.is_old() {
            return None;
        }
        known.callers.get(&name(access_id, instance)).cloned()
    }

    /// Remembers what was read after so many changes, unless there were more since.
    pub(crate) fn keep(&self, changes: u64, instance: &str, caller: &OtsCaller) {
        let mut known = self.lock();
        if changes != self.changes() {
            return;
        }
        if known.changes != changes || known.is_old() || known.callers.len() >= MOST {
            *known = Known { changes, since: Some(Instant::now()), callers: HashMap::new() };
        }
        known.callers.insert(name(&caller.key.access_id, instance), caller.clone());
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn is_old(&self) -> bool {
        self.since.is_none_or(|since| since.elapsed() > LIFE)
    }
}

/// No key and no instance has a line feed in its name: headers cannot carry one.
fn name(access_id: &str, instance: &str) -> String {
    format!("{access_id}\n{instance}")
}
