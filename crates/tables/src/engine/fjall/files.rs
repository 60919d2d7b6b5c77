//! fjall's files: made as a whole, opened, numbered, measured.

use std::path::Path;

use ::fjall::{AbstractTree, CompressionType, Database, Keyspace, KeyspaceCreateOptions, LsmError};
use feitian_base::{Error, Kind, Result, failpoint};

use super::Settings;
use super::torn::mend;
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

/// Opens fjall's files, which are made aside the first time and put in their place when all are there.
pub(super) fn open_database(dir: &Path, settings: &Settings) -> Result<(Database, Keyspace)> {
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
    let opened = match open_files(&place, settings) {
        Err(::fjall::Error::JournalRecovery(_)) if mend(dir, &place)? => open_files(&place, settings),
        opened => opened,
    };
    opened.map_err(|e| failed(&place, &e))
}

fn failed(place: &Path, error: &::fjall::Error) -> Error {
    use std::io::ErrorKind::{QuotaExceeded, StorageFull};
    match error {
        ::fjall::Error::Locked => unavailable(format!("{} is open already", place.display())),
        // Once there is room, it can be opened.
        ::fjall::Error::Io(e) | ::fjall::Error::Storage(LsmError::Io(e))
            if matches!(e.kind(), StorageFull | QuotaExceeded) =>
        {
            full(format!("cannot open {}: {e}", place.display()))
        }
        error => unreadable(error.to_string()).context(format_args!("cannot open {}", place.display())),
    }
}

fn open_files(place: &Path, settings: &Settings) -> ::fjall::Result<(Database, Keyspace)> {
    let threads = std::thread::available_parallelism().map_or(2, |threads| threads.get().clamp(2, 4));
    let builder = Database::builder(place)
        .cache_size(settings.cache_bytes)
        .journal_compression(CompressionType::None)
        .manual_journal_persist(true)
        .worker_threads(threads);
    let db = builder.open()?;
    let options = || {
        let options = KeyspaceCreateOptions::default().manual_journal_persist(true);
        options.max_memtable_size(settings.memtable_bytes)
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

/// Roughly the bytes from `from` to `to`, by the first and the last key of each file and of the table in memory.
pub(super) fn estimate(rows: &Keyspace, from: &[u8], to: &[u8]) -> u64 {
    let version = rows.tree.current_version();
    let files = version.iter_tables().map(|file| {
        let keys = &file.metadata.key_range;
        share(from, to, keys.min(), keys.max(), file.metadata.file_size)
    });
    let memory = rows.tree.active_memtable();
    let ends = (memory.iter().next(), memory.iter().next_back());
    let in_memory = match ends {
        (Some(min), Some(max)) => share(from, to, &min.key.user_key, &max.key.user_key, memory.size()),
        _ => 0,
    };
    files.sum::<u64>() + in_memory
}

#[cfg(test)]
mod tests {
    use super::*;

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
