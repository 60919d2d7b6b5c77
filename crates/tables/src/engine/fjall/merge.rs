//! The thread that merges files, for as long as there is something to merge.
//!
//! fjall itself merges once for each table that it writes, too seldom for all levels, and with one thread the next tables wait
//! behind it. With several threads the first one takes what is to be merged out of their queue and puts it back, without a
//! pause, while another one merges: a core of two (fjall 3.1, `worker_pool.rs`). So new data tell fjall that there is never
//! anything to merge ([`never`]), and it is done here by fjall's own rules. Data from before go on as well: a file is
//! merged by one thread alone.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use ::fjall::AbstractTree;
use ::fjall::compaction::Leveled;
use parking_lot::Mutex;

use super::Store;
use crate::engine::group::{State, lower};

/// How often it is looked whether there is something.
const PAUSE: Duration = Duration::from_millis(100);

/// Rules by which nothing is ever merged: files are only moved to where nothing overlaps them.
pub(super) fn never() -> Arc<Leveled> {
    Arc::new(Leveled::default().with_l0_threshold(u8::MAX).with_table_target_size(1 << 40))
}

pub(super) struct Merger {
    pub(super) state: Arc<Mutex<State>>,
    pub(super) store: Store,
}

impl Merger {
    /// Ends when the sender is gone, behind the merge that is under way, or with an error, as fjall's thread does: what such a
    /// merge has written so far takes room until the data are opened again.
    pub(super) fn run(self, stop: &Receiver<()>) {
        let rules = Arc::new(Leveled::default());
        let mut pause = PAUSE;
        while let Err(RecvTimeoutError::Timeout) = stop.recv_timeout(pause) {
            pause = match self.merge_once(&rules) {
                Ok(true) => Duration::ZERO,
                Ok(false) => PAUSE,
                Err(error) => {
                    tracing::error!(%error, "the table store takes no writes until it is opened again");
                    lower(&self.state, State::Broken);
                    return;
                }
            };
        }
    }

    /// Whether anything changed.
    fn merge_once(&self, rules: &Arc<Leveled>) -> Result<bool, ::fjall::LsmError> {
        if *self.state.lock() != State::Open {
            return Ok(false);
        }
        let tree = &self.store.rows.tree;
        let before = tree.current_version().id();
        // What no view that is open can see any more.
        let unseen = self.store.db.supervisor.snapshot_tracker.get_seqno_safe_to_gc();
        tree.compact(rules.clone(), unseen)?;
        Ok(tree.current_version().id() != before)
    }
}

impl Drop for Merger {
    /// Without it, writers would wait for files to be merged, without an end.
    fn drop(&mut self) {
        if std::thread::panicking() {
            lower(&self.state, State::Broken);
        }
    }
}
