//! The thread that writes: what waits becomes one group with one sync. The steps are those of the file above.

use std::cell::Cell;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use ::fjall::{AbstractTree, PersistMode};
use feitian_base::failpoint;
use parking_lot::Mutex;

use super::Store;
use super::files::read_epoch;
use super::merge::{Halt, Merging};
use crate::engine::group::{Refusal, Request, State, answer, check_room, lower, take_group};

/// fjall blocks its writers, without an end if its own threads have died, at 4 tables in memory that wait to be written
/// and at 30 runs that wait to be merged. We wait before that, where an end can be seen.
const MAX_SEALED: usize = 3;
const MAX_RUNS: usize = 28;

/// Of the room that commits leave free, the part that those leave too which free some.
const LAST_ROOM: u64 = 4;

/// The thread that writes.
pub(super) struct Committer {
    pub(super) dir: PathBuf,
    pub(super) epoch: u64,
    pub(super) spare_bytes: u64,
    pub(super) memtable_bytes: u64,
    pub(super) state: Arc<Mutex<State>>,
    pub(super) store: Store,
    pub(super) merging: Arc<Merging>,
    /// Whether the last group was refused, which is told once for all that follow.
    pub(super) refuses: Cell<bool>,
}

impl Committer {
    pub(super) fn run(self, requests: &Receiver<Request>) {
        let mut behind = None;
        while let Some(first) = behind.take().or_else(|| requests.recv().ok()) {
            let (mut group, next) = take_group(first, requests);
            behind = next;
            let outcome = self.commit(&mut group);
            // Step 6.
            match outcome {
                // The whole group was refused before anything of it was written. What frees some room goes on alone.
                Err(Refusal::Full(_)) if group.iter().any(|request| request.frees) => {
                    let (mut freeing, others): (Vec<_>, Vec<_>) = group.into_iter().partition(|request| request.frees);
                    answer(others, &outcome);
                    let outcome = self.commit(&mut freeing);
                    answer(freeing, &outcome);
                }
                outcome => answer(group, &outcome),
            }
        }
    }

    fn commit(&self, group: &mut [Request]) -> Result<(), Refusal> {
        if group.iter().all(|request| request.writes.is_empty()) {
            return self.renew();
        }
        let (bytes, frees) = (group.iter().map(|r| r.bytes).sum(), group.iter().all(|r| r.frees));
        let spare_bytes = if frees { self.spare_bytes / LAST_ROOM } else { self.spare_bytes };
        let prepared = self.prepare(spare_bytes, bytes, frees);
        // That deletions go on does not say that other writes do.
        if !frees || prepared.is_err() {
            self.tell(&prepared);
        }
        prepared?;
        failpoint::check("engine.before_write").map_err(|e| self.broke(&::fjall::Error::Io(e)))?;
        // Step 3.
        for request in group.iter_mut() {
            let mut batch = self.store.db.batch().durability(None);
            for write in std::mem::take(&mut request.writes) {
                match write.value {
                    Some(value) => batch.insert(&self.store.rows, write.key, value),
                    None => batch.remove(&self.store.rows, write.key),
                }
            }
            batch.commit().map_err(|e| self.broke(&e))?;
        }
        failpoint::check("engine.before_sync").map_err(|e| self.broke(&::fjall::Error::Io(e)))?;
        // Step 4. The system tells an error of a file once. A thread of fjall's syncs the journal too, before it begins
        // another one; if it has heard the error, our own sync does not fail. It notes that: the second line asks.
        self.store.db.persist(PersistMode::SyncData).map_err(|e| self.broke(&e))?;
        self.store.db.persist(PersistMode::Buffer).map_err(|e| self.broke(&e))?;
        failpoint::hit("engine.after_sync");
        // Step 5. No other thread writes, so this view has nothing in it that is not synced.
        self.show();
        Ok(())
    }

    fn show(&self) {
        let view = Arc::new(self.store.db.snapshot());
        *self.store.view.write() = view;
    }

    /// Gives readers a view without any change, for the thread that merges files. A number is passed over: fjall lets go of what
    /// was before a list of files once each view is newer than that list by two.
    fn renew(&self) -> Result<(), Refusal> {
        let state = *self.state.lock();
        // After an error there may be in memory what is not on the disk.
        if state != State::Open {
            return Err(Refusal::Unavailable(format!("the engine is {state:?}")));
        }
        let supervisor = &self.store.db.supervisor;
        supervisor.snapshot_tracker.publish(supervisor.seqno.next());
        self.show();
        Ok(())
    }

    /// Step 2.
    fn prepare(&self, spare_bytes: u64, bytes: usize, frees: bool) -> Result<(), Refusal> {
        let state = *self.state.lock();
        if state != State::Open {
            return Err(Refusal::Unavailable(format!("the engine is {state:?}")));
        }
        match read_epoch(&self.dir) {
            Ok(Some(epoch)) if epoch == self.epoch => {}
            Ok(epoch) => {
                lower(&self.state, State::Fenced);
                return Err(Refusal::Unavailable(format!("epoch {} was fenced by {epoch:?}", self.epoch)));
            }
            Err(error) => return Err(Refusal::Unavailable(format!("the epoch cannot be read: {error}"))),
        }
        check_room(&self.dir, spare_bytes.saturating_add(self.merging.takes()), bytes)?;
        while *self.state.lock() == State::Open {
            // This writes nothing; it tells whether fjall has stopped after an error in one of its threads.
            self.store.db.persist(PersistMode::Buffer).map_err(|e| {
                lower(&self.state, State::Broken);
                Refusal::Unavailable(format!("fjall has stopped: {e}"))
            })?;
            let rows = &self.store.rows;
            if may_add_runs(rows.tree.l0_run_count(), self.merging.halt(), frees)?
                && rows.sealed_memtable_count() < MAX_SEALED
            {
                return self.rotate();
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Err(Refusal::Unavailable("the engine broke while a write waited for files to be merged".into()))
    }

    /// Begins another table in memory when this one is full. fjall would have a thread of its own do so, which may be merging
    /// files for long, and would ask for it at each commit until it is done: the table would grow, and with it fjall's queue,
    /// behind a thread that fjall lets wait for room in the queue that it empties.
    fn rotate(&self) -> Result<(), Refusal> {
        if self.store.rows.tree.active_memtable().size() < self.memtable_bytes {
            return Ok(());
        }
        let rotated = self.store.rows.rotate_memtable();
        rotated.map(|_| ()).map_err(|e| {
            lower(&self.state, State::Broken);
            Refusal::Unavailable(format!("fjall cannot begin another table in memory: {e}"))
        })
    }

    /// Logs that groups are refused, and that they are taken again. Clients come back many times a second.
    fn tell(&self, prepared: &Result<(), Refusal>) {
        match (prepared, self.refuses.replace(prepared.is_err())) {
            (Err(refusal), false) => tracing::warn!(why = refusal.why(), "the table store refuses writes"),
            (Ok(()), true) => tracing::info!("the table store takes writes again"),
            _ => {}
        }
    }

    /// Notes that a write failed.
    fn broke(&self, error: &::fjall::Error) -> Refusal {
        tracing::error!(%error, "the table store takes no writes until it is opened again");
        lower(&self.state, State::Broken);
        Refusal::Unknown(error.to_string())
    }
}

/// Whether there are few enough runs; if not, it is to be waited until some are merged. Where nothing is merged, that would have
/// no end. On a full disk what frees some room has one run more.
fn may_add_runs(runs: usize, halt: Option<Halt>, frees: bool) -> Result<bool, Refusal> {
    match halt {
        _ if runs < MAX_RUNS => Ok(true),
        None => Ok(false),
        Some(Halt::NoRoom) if frees && runs == MAX_RUNS => Ok(true),
        Some(Halt::NoRoom) => Err(Refusal::Full("the disk has no room for files to be merged".into())),
        Some(Halt::Failed(why)) => Err(Refusal::Unavailable(format!("files cannot be merged: {why}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // A writer waits only for what has an end.
    #[test]
    fn nobody_waits_for_files_that_are_not_merged() {
        let failed = || Some(Halt::Failed("a file cannot be read".into()));
        for (runs, halt, frees, may) in [
            (27, None, false, Some(true)),
            (27, Some(Halt::NoRoom), false, Some(true)),
            (27, failed(), false, Some(true)),
            (28, None, false, Some(false)),
            (28, None, true, Some(false)),
            (28, Some(Halt::NoRoom), false, None),
            (28, Some(Halt::NoRoom), true, Some(true)),
            (29, Some(Halt::NoRoom), true, None),
            (28, failed(), true, None),
        ] {
            let found = may_add_runs(runs, halt.clone(), frees);
            assert_eq!(found.as_ref().ok(), may.as_ref(), "{runs} {halt:?} {frees}");
            // Clients try again when there is room, and when another process may have the data.
            match (found, halt) {
                (Err(refusal), Some(Halt::NoRoom)) => assert!(matches!(refusal, Refusal::Full(_))),
                (Err(refusal), _) => assert!(matches!(refusal, Refusal::Unavailable(_))),
                (Ok(_), _) => {}
            }
        }
    }
}
