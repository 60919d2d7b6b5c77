//! fjall's files: made as a whole, opened, numbered, measured.

use std::path::Path;

use ::fjall::{AbstractTree, CompressionType, Database, Keyspace, KeyspaceCreateOptions};
use feitian_base::{Error, Kind, Result, failpoint};

use super::Settings;
use crate::engine::{unavailable, unreadable};

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
        drop(open_files(&fresh, settings)?);
        sync_all(&fresh)?;
        failpoint::hit("engine.made");
        std::fs::rename(&fresh, &place)?;
        std::fs::File::open(dir)?.sync_all()?;
    }
    open_files(&place, settings)
}

fn open_files(place: &Path, settings: &Settings) -> Result<(Database, Keyspace)> {
    let failed = |e: ::fjall::Error| match e {
        ::fjall::Error::Locked => unavailable(format!("{} is open already", place.display())),
        e => unreadable(e.to_string()).context(format_args!("cannot open {}", place.display())),
    };
    let threads = std::thread::available_parallelism().map_or(2, |threads| threads.get().clamp(2, 4));
    let builder = Database::builder(place)
        .cache_size(settings.cache_bytes)
        .journal_compression(CompressionType::None)
        .manual_journal_persist(true)
        .worker_threads(threads);
    let db = builder.open().map_err(failed)?;
    let options = || {
        let options = KeyspaceCreateOptions::default().manual_journal_persist(true);
        options.max_memtable_size(settings.memtable_bytes)
    };
    let rows = db.keyspace("rows", options).map_err(failed)?;
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

/// The part from `from` to `to` of `bytes` that are spread evenly over the keys from `min` to `max`.
fn share(from: &[u8], to: &[u8], min: &[u8], max: &[u8], bytes: u64) -> u64 {
    if from >= to || to <= min || from > max {
        return 0;
    }
    if from <= min && to > max {
        return bytes;
    }
    // What lies between two keys begins as both of them do; the eight bytes after that are taken as a number.
    let common = min.iter().zip(max).take_while(|(a, b)| a == b).count();
    let number = |key: &[u8]| {
        let mut next = [0; 8];
        next.iter_mut().zip(key.iter().skip(common)).for_each(|(to, from)| *to = *from);
        u64::from_be_bytes(next)
    };
    let (first, last) = (number(min), number(max));
    let begin = if from <= min { first } else { number(from) };
    let end = if to > max { last } else { number(to) };
    match last.saturating_sub(first) {
        0 => bytes / 2,
        span => (u128::from(bytes) * u128::from(end.saturating_sub(begin)) / u128::from(span)) as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // By hand: of 1,000 bytes over the keys 0x00 to 0xff, those below 0x80 have half; bounds outside count as the ends.
    #[test]
    fn a_share_follows_the_keys() {
        let whole = [&[7, 0][..], &[7, 0xff][..]];
        let part = |from: &[u8], to: &[u8]| share(from, to, whole[0], whole[1], 1000);
        assert_eq!(part(&[7, 0], &[8]), 1000);
        assert_eq!(part(&[6], &[7]), 0);
        assert_eq!(part(&[8], &[9]), 0);
        assert_eq!(part(&[7, 9], &[7, 9]), 0);
        assert!((490..=510).contains(&part(&[6], &[7, 0x80])));
        assert!((490..=510).contains(&part(&[7, 0x80], &[9])));
        // Keys that no eight bytes tell apart have no span.
        assert_eq!(share(&[1, 0], &[2], &[1], &[1, 0, 0], 1000), 500);
    }
}
