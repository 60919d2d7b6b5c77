//! Rows that were read or written of late, in memory as the engine has them.
//!
//! A large row that is written often leaves a trail in the engine: each cell that was replaced lies there, marked as removed,
//! until files are merged, and whoever reads the row passes all of them. Who finds a row here passes none, and reads no file.
//!
//! What is here is durable, and nothing that a commit may be changing is found here. Rows share stripes by the hash of
//! their partition; a stripe counts the commits that began and those that ended.
//!
//! 1. A commit has begun in the stripes of all its keys before the engine gets it.
//! 2. It has ended once the engine has answered that it is durable, or that it did not happen.
//! 3. A reader notes how many have begun, if all of them have ended, and reads the engine. The row is kept with that number.
//! 4. It is found for as long as this is the number of those that have begun.
//!
//! So a row is hidden here before anybody can see its next state in the engine, and nobody sees first the new state and then
//! the old one. A commit whose outcome nobody knows never ends: the engine alone tells of its rows then.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::engine::Batch;
use crate::keys;

const STRIPES: u64 = 16_384;
/// The most that a row takes that is kept.
const MAX_ROW_BYTES: usize = 16 << 10;
/// What a row takes beside its bytes.
const ENTRY_BYTES: usize = 128;

pub(crate) struct Hot {
    rows: Cache<Box<[u8]>, Kept, Weight>,
    stripes: Vec<Stripe>,
}

#[derive(Default)]
struct Stripe {
    begun: AtomicU64,
    ended: AtomicU64,
}

#[derive(Clone)]
struct Kept {
    known: Known,
    begun: u64,
}

#[derive(Clone)]
struct Weight;

impl Weighter<Box<[u8]>, Kept> for Weight {
    fn weight(&self, row: &Box<[u8]>, kept: &Kept) -> u64 {
        (row.len() + kept.known.0.len() + ENTRY_BYTES) as u64
    }
}

/// A commit on its way: the stripes of its keys, each with how many have begun there, itself among them.
#[derive(Debug, Default)]
pub(crate) struct Begun(Vec<(usize, u64)>);

impl Hot {
    /// Nothing yet, and later no more than so many bytes.
    pub(crate) fn new(bytes: usize) -> Self {
        Self {
            rows: Cache::with_weighter(bytes / 1024, bytes as u64, Weight),
            stripes: (0..STRIPES).map(|_| Stripe::default()).collect(),
        }
    }

    /// Step 4: what the engine has under the row's prefix.
    pub(crate) fn get(&self, row: &[u8]) -> Option<Known> {
        let kept = self.rows.get(row)?;
        let stripe = &self.stripes[stripe(row)?];
        (stripe.begun.load(Ordering::SeqCst) == kept.begun).then_some(kept.known)
    }

    /// Step 3, before the engine is read.
    pub(crate) fn begun(&self, row: &[u8]) -> Option<u64> {
        let stripe = &self.stripes[stripe(row)?];
        let begun = stripe.begun.load(Ordering::SeqCst);
        (stripe.ended.load(Ordering::SeqCst) == begun).then_some(begun)
    }

    /// Step 3, afterwards.
    pub(crate) fn keep(&self, row: &[u8], known: Known, begun: u64) {
        self.rows.insert(row.into(), Kept { known, begun });
    }

    /// Step 1.
    pub(crate) fn begin(&self, batch: &Batch) -> Begun {
        let mut stripes: Vec<usize> = batch.writes().iter().filter_map(|write| stripe(&write.key)).collect();
        stripes.sort_unstable();
        stripes.dedup();
        let begin = |at: usize| (at, self.stripes[at].begun.fetch_add(1, Ordering::SeqCst) + 1);
        Begun(stripes.into_iter().map(begin).collect())
    }

    /// Step 2.
    pub(crate) fn end(&self, begun: &Begun) {
        for (at, _) in &begun.0 {
            self.stripes[*at].ended.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Keeps a row as a commit that has ended left it, unless another one of its stripe is on its way or came later.
    pub(crate) fn learn(&self, row: &[u8], known: Known, begun: &Begun) {
        let number = stripe(row).and_then(|own| begun.0.iter().find(|(at, _)| *at == own));
        if let Some((_, number)) = number.filter(|(_, number)| self.begun(row) == Some(*number)) {
            self.keep(row, known, *number);
        }
    }
}

/// The stripe of a row's prefix, or of a key behind one. `None` for what is no row: the catalog and streams.
fn stripe(key: &[u8]) -> Option<usize> {
    if key.starts_with(&keys::CATALOG.to_be_bytes()) {
        return None;
    }
    let partition = keys::row_len(key, 1).ok()?;
    let mut hasher = DefaultHasher::new();
    key[..partition].hash(&mut hasher);
    Some((hasher.finish() % STRIPES) as usize)
}

/// All that the engine has of a row: for each key what stands behind the row's prefix, and the value. Nothing at all for a row that
/// is not there. Cheap to clone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Known(Bytes);

impl Known {
    /// Tails and values in the order of the keys.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut rest = &self.0[..];
        std::iter::from_fn(move || Some((take(&mut rest)?, take(&mut rest)?)))
    }

    /// The row with changes, which come in the order of the keys as well; `None` if it is too large then.
    pub(crate) fn with<'a>(&self, changes: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)>) -> Option<Self> {
        let (mut gathered, mut before) = (Gathered::default(), self.pairs().peekable());
        for (tail, value) in changes {
            while let Some((old, kept)) = before.next_if(|(old, _)| *old < tail) {
                gathered.push(old, kept);
            }
            before.next_if(|(old, _)| *old == tail);
            if let Some(value) = value {
                gathered.push(tail, value);
            }
        }
        before.for_each(|(old, kept)| gathered.push(old, kept));
        gathered.finish()
    }
}

/// Takes a length and as many bytes.
fn take<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, behind) = rest.split_first_chunk::<4>()?;
    let (bytes, behind) = behind.split_at_checked(u32::from_ne_bytes(*length) as usize)?;
    *rest = behind;
    Some(bytes)
}

/// A row while it is read.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    bytes: Vec<u8>,
    is_too_large: bool,
}

impl Gathered {
    pub(crate) fn push(&mut self, tail: &[u8], value: &[u8]) {
        let more = 8 + tail.len() + value.len();
        if self.is_too_large || self.bytes.len() + more > MAX_ROW_BYTES {
            return self.give_up();
        }
        self.bytes.reserve(more);
        for part in [tail, value] {
            self.bytes.extend_from_slice(&(part.len() as u32).to_ne_bytes());
            self.bytes.extend_from_slice(part);
        }
    }

    /// There is more of the row than is kept.
    pub(crate) fn give_up(&mut self) {
        (self.bytes, self.is_too_large) = (Vec::new(), true);
    }

    /// `None` if it is too large.
    pub(crate) fn finish(self) -> Option<Known> {
        (!self.is_too_large).then(|| Known(self.bytes.into_boxed_slice().into()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use feitian_wire::ots::{KeyColumn, KeyValue};

    use super::*;

    fn row(key: &str) -> Vec<u8> {
        keys::row(7, &[KeyColumn { name: "k".into(), value: KeyValue::Str(key.into()) }])
    }

    fn known(pairs: &[(&str, &str)]) -> Known {
        let mut gathered = Gathered::default();
        pairs.iter().for_each(|(tail, value)| gathered.push(tail.as_bytes(), value.as_bytes()));
        gathered.finish().unwrap()
    }

    fn batch(row: &[u8]) -> Batch {
        let mut batch = Batch::new();
        batch.put(keys::marker(row), &b"1"[..]);
        batch.put(keys::catalog(keys::space::CLOCK), &b"1"[..]);
        batch.put(keys::stream(9, 5), &b"1"[..]);
        batch
    }

    // From: the steps of the module.
    #[test]
    fn a_row_is_found_until_a_commit_of_its_partition_begins() {
        let (hot, a) = (Hot::new(1 << 20), row("a"));
        assert_eq!(hot.get(&a), None);
        let begun = hot.begun(&a).unwrap();
        hot.keep(&a, known(&[("x", "1")]), begun);
        assert_eq!(hot.get(&a), Some(known(&[("x", "1")])));
        let commit = hot.begin(&batch(&a));
        assert_eq!(hot.get(&a), None, "it may be changing");
        assert_eq!(hot.begun(&a), None, "what is read now may be either state");
        hot.keep(&a, known(&[("x", "1")]), begun);
        assert_eq!(hot.get(&a), None, "it was read before");
        hot.end(&commit);
        assert_eq!(hot.get(&a), None);
        hot.learn(&a, known(&[("x", "2")]), &commit);
        assert_eq!(hot.get(&a), Some(known(&[("x", "2")])));
    }

    // From: the steps of the module. What a commit left is not known while another one may have changed it.
    #[test]
    fn of_two_commits_neither_tells_what_is_there() {
        let (hot, a) = (Hot::new(1 << 20), row("a"));
        let (first, second) = (hot.begin(&batch(&a)), hot.begin(&batch(&a)));
        hot.end(&second);
        hot.learn(&a, known(&[("x", "2")]), &second);
        assert_eq!((hot.get(&a), hot.begun(&a)), (None, None));
        hot.end(&first);
        hot.learn(&a, known(&[("x", "1")]), &first);
        assert_eq!(hot.get(&a), None);
        assert_eq!(hot.begun(&a), Some(2));
    }

    #[test]
    fn what_is_no_row_has_no_stripe() {
        assert_eq!(stripe(&keys::catalog(keys::space::CLOCK)), None);
        assert_eq!(stripe(&keys::stream(9, 5)), None);
        assert_eq!(stripe(&row("a")), stripe(&keys::cell(&row("a"), "c", 5)));
    }

    #[test]
    fn changes_come_over_what_was_there() {
        let changes = [("a", Some("0")), ("b", None), ("c", Some("3")), ("e", None)];
        let changes = changes.iter().map(|(tail, value)| (tail.as_bytes(), value.map(str::as_bytes)));
        let after = known(&[("b", "1"), ("c", "2"), ("d", "4")]).with(changes).unwrap();
        assert_eq!(after, known(&[("a", "0"), ("c", "3"), ("d", "4")]));
        let large = vec![0; MAX_ROW_BYTES];
        assert_eq!(after.with([(&b"f"[..], Some(&large[..]))].into_iter()), None);
        assert_eq!(known(&[]).pairs().count(), 0);
    }
}
