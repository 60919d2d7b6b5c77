//! A journal whose last group was being synced when the power went: what was not answered is cut off, nothing else.
//!
//! fjall cuts off a batch that ends early, but refuses to open at all when a batch has its beginning and its end and a
//! hole of zeros between them, which a disk leaves that wrote the pages in another order. Since each group is synced
//! before the next one is written, a hole can only be in the last group, and nobody was answered about that. So a batch
//! is cut off, with all behind it, if
//!
//! 1. it is in the newest journal, and the checksum at its end is not that of its items;
//! 2. a whole sector of it is zeros: what was never written is zeros, and a disk that decays leaves other things;
//! 3. no more than one group lies from its beginning to the end of the journal, or nothing lies behind it.
//!
//! What is cut off is kept in a file beside the data.

use std::ops::Range;
use std::path::{Path, PathBuf};

use feitian_base::Result;
use feitian_store::{RealDisk, atomic_write};
use xxhash_rust::xxh3::Xxh3;

use crate::engine::group::MAX_GROUP_BYTES;

/// What a disk writes as a whole.
const SECTOR: usize = 512;

/// What ends every batch.
const END: &[u8] = b"FJL\x03";

/// Bytes of the beginning of a batch, of an item before its key, and of the end of a batch.
const START_BYTES: usize = 13;
const ITEM_BYTES: usize = 21;
const END_BYTES: usize = 13;

/// Mends the newest journal in `rows`; whether there was something to mend. What is cut off goes into `dir`.
pub(super) fn mend(dir: &Path, rows: &Path) -> Result<bool> {
    let Some(journal) = newest_journal(rows)? else { return Ok(false) };
    let bytes = std::fs::read(&journal)?;
    let written = bytes.len() - bytes.iter().rev().take_while(|byte| **byte == 0).count();
    let Some(batch) = bad_batch(&bytes) else { return Ok(false) };
    // However large a batch is that is a group by itself, nothing is behind it. Groups were larger once, by a batch.
    let is_last_group = batch.end >= written || written - batch.start <= 2 * MAX_GROUP_BYTES;
    if !is_last_group || !has_hole(&bytes, &batch) {
        return Ok(false);
    }
    let kept = dir.join(format!("torn-{}", feitian_base::id::ulid()));
    atomic_write(&RealDisk, &kept, &bytes[batch.start..written.max(batch.end)], 0o600)?;
    let file = std::fs::File::options().write(true).open(&journal)?;
    file.set_len(batch.start as u64)?;
    file.sync_all()?;
    tracing::warn!(
        journal = %journal.display(),
        at = batch.start,
        kept = %kept.display(),
        "the power went while a group was being synced; the group, which nobody was answered about, was cut off"
    );
    Ok(true)
}

/// The file `N.jnl` with the greatest number.
pub(super) fn newest_journal(rows: &Path) -> Result<Option<PathBuf>> {
    let mut newest = None;
    for entry in std::fs::read_dir(rows)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if let Some(number) = name.strip_suffix(".jnl").and_then(|number| number.parse::<u64>().ok()) {
            newest = newest.max(Some((number, path)));
        }
    }
    Ok(newest.map(|(_, path)| path))
}

/// The first batch that is all there and has a wrong checksum; `None` if what is not right is something else.
fn bad_batch(bytes: &[u8]) -> Option<Range<usize>> {
    let mut at = 0;
    loop {
        let start = at;
        if *bytes.get(at)? != 1 {
            return None;
        }
        at += START_BYTES;
        let mut hash = Xxh3::new();
        // An item: its tag, 10 bytes, the length of the key, 4 bytes, the length of the value as it lies there.
        while *bytes.get(at)? == 2 {
            let head = bytes.get(at..at + ITEM_BYTES)?;
            let key = u16::from_le_bytes(head[11..13].try_into().ok()?);
            let value = u32::from_le_bytes(head[17..21].try_into().ok()?);
            let end = at + ITEM_BYTES + usize::from(key) + value as usize;
            hash.update(bytes.get(at..end)?);
            at = end;
        }
        let end = bytes.get(at..at + END_BYTES)?;
        if end[0] != 3 || &end[9..] != END {
            return None;
        }
        at += END_BYTES;
        if end[1..9] != hash.digest().to_le_bytes() {
            return Some(start..at);
        }
    }
}

/// Whether a whole sector of the batch is zeros.
fn has_hole(bytes: &[u8], batch: &Range<usize>) -> bool {
    let first = batch.start.next_multiple_of(SECTOR);
    let inside = bytes.get(first..batch.end).unwrap_or_default();
    inside.chunks_exact(SECTOR).any(|sector| sector.iter().all(|byte| *byte == 0))
}
