//! What the engines share that write groups: requests in a queue, the state of an opening, why a group was refused.

use std::path::Path;
use std::sync::mpsc::Receiver;

use feitian_base::{Error, Result};
use feitian_store::free_bytes;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::{Batch, Write, full, unavailable, unknown};

/// The most bytes of a group of several batches, so that one sync does not take long: who comes later is in the next one.
pub(super) const MAX_GROUP_BYTES: usize = 8 << 20;

/// More than the bytes that a log has beside each change, and beside each batch.
const MARK_BYTES: usize = 32;

/// What the engine still does. It only goes down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum State {
    Open,
    /// A write failed: what is durable can be read.
    Broken,
    Fenced,
    Closed,
}

/// Brings the state down to `to`; answers what it was.
pub(super) fn lower(state: &Mutex<State>, to: State) -> State {
    let mut state = state.lock();
    let was = *state;
    *state = was.max(to);
    was
}

/// Refuses unless what is durable can be read.
pub(super) fn check_readable(state: &Mutex<State>) -> Result<()> {
    let state = *state.lock();
    match state {
        State::Open | State::Broken => Ok(()),
        State::Fenced | State::Closed => Err(unavailable(format!("the engine is {state:?}"))),
    }
}

/// A batch on its way.
pub(super) struct Request {
    pub(super) writes: Vec<Write>,
    /// The most that it takes in a log.
    pub(super) bytes: usize,
    /// Whether the last room of the disk is for it.
    pub(super) frees: bool,
    answer: oneshot::Sender<Result<()>>,
}

impl Request {
    /// The request for a batch, and where its answer comes.
    pub(super) fn new(batch: Batch) -> (Self, oneshot::Receiver<Result<()>>) {
        let (answer, answered) = oneshot::channel();
        let bytes = batch.bytes() + MARK_BYTES * (batch.len() + 1);
        let frees = batch.frees();
        (Self { bytes, frees, writes: batch.into_distinct(), answer }, answered)
    }
}

/// What is committed together: `first` and what waits behind it, as far as there is room in the group. Where there is none
/// for the next one, that begins another group.
pub(super) fn take_group(first: Request, requests: &Receiver<Request>) -> (Vec<Request>, Option<Request>) {
    let mut bytes = first.bytes;
    let mut group = vec![first];
    while let Ok(next) = requests.try_recv() {
        bytes = bytes.saturating_add(next.bytes);
        if bytes > MAX_GROUP_BYTES {
            return (group, Some(next));
        }
        group.push(next);
    }
    (group, None)
}

/// Why a group was not committed; each of its callers gets an error of its own.
pub(super) enum Refusal {
    Unavailable(String),
    Full(String),
    Unknown(String),
}

impl Refusal {
    /// The cause, for the log.
    pub(super) fn why(&self) -> &str {
        match self {
            Self::Unavailable(why) | Self::Full(why) | Self::Unknown(why) => why,
        }
    }

    fn error(&self) -> Error {
        match self {
            Self::Unavailable(why) => unavailable(why.as_str()),
            Self::Full(why) => full(why.as_str()),
            Self::Unknown(why) => unknown(why.as_str()),
        }
    }
}

/// Tells everybody in the group how it went. Whoever is not there any more did not wait.
pub(super) fn answer(group: Vec<Request>, outcome: &Result<(), Refusal>) {
    for request in group {
        let own = outcome.as_ref().copied().map_err(|refusal| refusal.error());
        let _ = request.answer.send(own);
    }
}

/// Refuses a group that would leave less than `spare_bytes` free.
pub(super) fn check_room(dir: &Path, spare_bytes: u64, bytes: usize) -> Result<(), Refusal> {
    let free = free_bytes(dir).map_err(|e| Refusal::Unavailable(e.to_string()))?;
    // A batch is written twice: into a log and, later, into a table.
    let needed = spare_bytes.saturating_add(2 * bytes as u64);
    match free < needed {
        true => Err(Refusal::Full(format!("{free} bytes are free and {needed} needed"))),
        false => Ok(()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    // A batch that was cut off is taken for one of the last group by how much lies behind it (`fjall/torn.rs`).
    #[test]
    fn a_group_of_several_batches_has_a_bound() {
        let request = |bytes: usize| {
            let mut batch = Batch::new();
            batch.put("k", vec![0; bytes]);
            Request::new(batch).0
        };
        let (queue, requests) = channel();
        let sizes = [1 << 20, 6 << 20, 3 << 20, 20 << 20, 1, 1];
        sizes.iter().for_each(|bytes| queue.send(request(*bytes)).unwrap());
        let (mut behind, mut groups) = (None, Vec::new());
        while let Some(first) = behind.take().or_else(|| requests.try_recv().ok()) {
            let (group, next) = take_group(first, &requests);
            groups.push(group.len());
            behind = next;
        }
        assert_eq!(groups, [2, 1, 1, 2]);
    }
}
