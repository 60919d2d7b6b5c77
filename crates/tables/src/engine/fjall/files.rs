//! fjall's files: made as a whole, opened, numbered, measured.

use std::collections::BTreeSet;
use std::os::unix::fs::FileExt;
use std::path::Path;

use ::fjall::{AbstractTree, CompressionType, Database, Keyspace, KeyspaceCreateOptions, LsmError};
use bytes::Bytes;
use feitian_base::{Error, Kind, Result, failpoint};
use feitian_store::{RealDisk, atomic_write};

use super::Settings;
use super::merge::never;
use super::torn::{mend, newest_journal};
use crate::engine::size::share;
use crate::engine::{full, unavailable, unreadable};

/// How often the directory was opened; `None` if never.
pub(super) fn read_epoch(dir: &Path) -> Result<Option<u64>> {
    let path = dir.join("epoch");
    let text = match std::fs::read_to_string(&path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        text => text?,
    };
    match text.trim().parse() {
        Ok(epoch) => Ok(Some(epoch)),
        Err(_) => Err(Error::new(Kind::Corrupt, "OTSInternalServerError", format!("{} has no number", path.display()))),
    }
}

const MAX_BORDERS: usize = 512;

/// The file that is there from an opening to its end.
const OPEN: &str = "open";

/// Notes that the data are open; whether the opening before this one was closed.
pub(super) fn note_open(dir: &Path) -> Result<bool> {
    let path = dir.join(OPEN);
    if path.try_exists()? {
        return Ok(false);
    }
    atomic_write(&RealDisk, &path, b"", 0o644)?;
    Ok(true)
}

/// Notes that the data were closed, and that all of the journal is on the disk. If the power goes at once, the note may come
/// back, which costs the next opening some time.
pub(super) fn note_closed(dir: &Path) -> Result<()> {
    Ok(std::fs::remove_file(dir.join(OPEN))?)
}

/// Puts on the disk what an opening left that was not closed. What it wrote last can be read and may be in the system's memory
/// alone: a process that is killed does not sync, and a sync that failed leaves pages that the system takes for written and
/// does not tell of again. So the newest journal, which alone has what was not synced, is written over with what can be read
/// of it; that needs no room on a full disk, and whoever is killed meanwhile has changed nothing.
fn renew(rows: &Path) -> Result<()> {
    if let Some(journal) = newest_journal(rows)? {
        let bytes = std::fs::read(&journal)?;
        // The file is made long before it is full. A batch ends with other bytes than zeros.
        let written = bytes.len() - bytes.iter().rev().take_while(|byte| **byte == 0).count();
        let file = std::fs::File::options().write(true).open(&journal)?;
        file.write_all_at(&bytes[..written], 0)?;
        file.sync_all()?;
    }
    sync_all(rows)
}

/// Opens fjall's files, which are made aside the first time and put in their place when all are there. `was_closed`: what
/// [`note_open`] answered.
pub(super) fn open_database(dir: &Path, settings: &Settings, was_closed: bool) -> Result<(Database, Keyspace)> {
    let place = dir.join("rows");
    if !place.try_exists()? {
        let fresh = dir.join("new");
        match std::fs::remove_dir_all(&fresh) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e.into()),
            _ => {}
        }
        drop(open_files(&fresh, settings).map_err(|e| failed(&fresh, &e))?);
        sync_all(&fresh)?;
        failpoint::hit("engine.made");
        std::fs::rename(&fresh, &place)?;
        std::fs::File::open(dir)?.sync_all()?;
    }
    if !was_closed {
        renew(&place)?;
        failpoint::hit("engine.renewed");
    }
    let opened = match open_files(&place, settings) {
        Err(::fjall::Error::JournalRecovery(_)) if mend(dir, &place)? => open_files(&place, settings),
        opened => opened,
    };
    opened.map_err(|e| failed(&place, &e))
}

/// Whether there is no room left for what was to be written.
pub(super) fn is_full(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded)
}

fn failed(place: &Path, error: &::fjall::Error) -> Error {
    match error {
        ::fjall::Error::Locked => unavailable(format!("{} is open already", place.display())),
        // Once there is room, it can be opened.
        ::fjall::Error::Io(e) | ::fjall::Error::Storage(LsmError::Io(e)) if is_full(e) => {
            full(format!("cannot open {}: {e}", place.display()))
        }
        error => unreadable(error.to_string()).context(format_args!("cannot open {}", place.display())),
    }
}

fn open_files(place: &Path, settings: &Settings) -> ::fjall::Result<(Database, Keyspace)> {
    // It writes tables; `merge.rs` merges them.
    let builder = Database::builder(place)
        .cache_size(settings.cache_bytes)
        .journal_compression(CompressionType::None)
        .manual_journal_persist(true)
        .worker_threads(1);
    let db = builder.open()?;
    let options = || {
        let options = KeyspaceCreateOptions::default().manual_journal_persist(true).compaction_strategy(never());
        // Before that, the thread that writes begins another one.
        options.max_memtable_size(4 * settings.memtable_bytes)
    };
    let rows = db.keyspace("rows", options)?;
    Ok((db, rows))
}

/// Syncs every file and every directory below `dir`, and `dir` itself.
fn sync_all(dir: &Path) -> Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => sync_all(&entry.path())?,
            false => std::fs::File::open(entry.path())?.sync_all()?,
        }
    }
    Ok(std::fs::File::open(dir)?.sync_all()?)
}

/// Keys between which bytes lie: a file, or the table in memory.
struct Part {
    min: Bytes,
    max: Bytes,
    bytes: u64,
}

fn parts(rows: &Keyspace) -> Vec<Part> {
    let part = |min: &[u8], max: &[u8], bytes| {
        let (min, max) = (Bytes::copy_from_slice(min), Bytes::copy_from_slice(max));
        Part { min, max, bytes }
    };
    let version = rows.tree.current_version();
    let mut parts = Vec::new();
    for file in version.iter_tables() {
        let keys = &file.metadata.key_range;
        parts.push(part(keys.min(), keys.max(), file.metadata.file_size));
    }
    let memory = rows.tree.active_memtable();
    if let (Some(min), Some(max)) = (memory.iter().next(), memory.iter().next_back()) {
        parts.push(part(&min.key.user_key, &max.key.user_key, memory.size()));
    }
    parts
}

/// Roughly the bytes from `from` to `to`, by the first and the last key of each file and of the table in memory.
pub(super) fn estimate(rows: &Keyspace, from: &[u8], to: &[u8]) -> u64 {
    parts(rows).iter().map(|part| share(from, to, &part.min, &part.max, part.bytes)).sum()
}

/// The first and the last keys of files and of the table in memory, those in the range alone, and what lies from its
/// beginning to there.
pub(super) fn borders(rows: &Keyspace, from: &[u8], to: &[u8]) -> Vec<(Bytes, u64)> {
    let mut parts = parts(rows);
    parts.retain(|part| part.min[..] < *to && part.max[..] >= *from);
    let keys = parts.iter().flat_map(|part| [&part.min, &part.max]).filter(|key| from <= &key[..] && key[..] < *to);
    let keys: Vec<Bytes> = BTreeSet::from_iter(keys).into_iter().cloned().collect();
    // Each is held against each file.
    let of_them = keys.iter().step_by(keys.len() / MAX_BORDERS + 1);
    let before = |key: &Bytes| parts.iter().map(|part| share(from, key, &part.min, &part.max, part.bytes)).sum();
    of_them.map(|key| (key.clone(), before(key))).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::UNIX_EPOCH;

    use tempfile::TempDir;

    use super::*;

    #[test]
    fn an_opening_knows_whether_the_one_before_it_was_closed() {
        let dir = TempDir::new().unwrap();
        assert!(note_open(dir.path()).unwrap());
        assert!(!note_open(dir.path()).unwrap());
        note_closed(dir.path()).unwrap();
        assert!(note_open(dir.path()).unwrap());
    }

    // A file that is written to has another time than one that is not.
    #[test]
    fn the_newest_journal_is_written_over_with_itself() {
        let dir = TempDir::new().unwrap();
        let content = [&b"batches"[..], &[0; 100]].concat();
        let path = |name: &str| dir.path().join(name);
        for name in ["7.jnl", "12.jnl"] {
            std::fs::write(path(name), &content).unwrap();
            std::fs::File::options().write(true).open(path(name)).unwrap().set_modified(UNIX_EPOCH).unwrap();
        }
        renew(dir.path()).unwrap();
        let modified = |name: &str| std::fs::metadata(path(name)).unwrap().modified().unwrap();
        assert_eq!(modified("7.jnl"), UNIX_EPOCH);
        assert!(modified("12.jnl") > UNIX_EPOCH);
        assert_eq!(std::fs::read(path("12.jnl")).unwrap(), content);
    }

    // From: the table of `engine.rs`; whoever opens it tries again after the first two.
    #[test]
    fn an_opening_says_whether_it_may_be_tried_again() {
        let no_room = || std::io::Error::from(std::io::ErrorKind::StorageFull);
        for (error, code) in [
            (::fjall::Error::Io(no_room()), "OTSServerBusy"),
            (::fjall::Error::Storage(LsmError::Io(no_room())), "OTSServerBusy"),
            (::fjall::Error::Locked, "OTSPartitionUnavailable"),
            (::fjall::Error::Unrecoverable, "OTSInternalServerError"),
        ] {
            assert_eq!(failed(Path::new("rows"), &error).code(), code);
        }
    }
}
