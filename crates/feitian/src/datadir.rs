//! The data directory: who may open it, which format it has, and where things are in it.

use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use feitian_base::{Kind, id};
use feitian_store::{DirLock, RealDisk, atomic_write, create_dir_all};

use crate::failure::{Failure, Result};

/// The format of the directory that this program writes. A change that an older program cannot read counts it up.
pub const FORMAT: u32 = 1;

const VERSION_FILE: &str = "VERSION";
/// Hidden, so that a start which was cut right after creating it does not find a foreign file.
const START_LOCK_FILE: &str = ".start-lock";
const TMP_DIR: &str = "tmp";

/// Names that an operator may have put there before the first start.
const FOREIGN_BUT_WELCOME: [&str; 3] = ["lock", "master.key", "lost+found"];

/// How many processes may use the directory at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// This one alone (SQLite, `feitian check`).
    Alone,
    /// Any number that keep their metadata in one PostgreSQL.
    Together,
}

/// An open data directory. The lock ends with the value, or with the process however it dies.
#[derive(Debug)]
pub struct DataDir {
    root: PathBuf,
    id: String,
    tmp: PathBuf,
    alone: bool,
    _lock: Lock,
}

#[derive(Debug)]
enum Lock {
    Alone(#[expect(dead_code, reason = "held for its lock, which ends on drop")] DirLock),
    Together(FileLock),
}

/// A lock on an open file.
#[derive(Debug)]
struct FileLock(File);

impl Drop for FileLock {
    fn drop(&mut self) {
        // Closing is not enough: a child between fork and exec has the same open file, and the lock with it (flock(2)).
        let _ = self.0.unlock();
    }
}

impl DataDir {
    /// Opens `path` and creates it when absent: lock, format, then an empty place for temporary files.
    ///
    /// Refused: a directory in use by another process (unless both say [`Share::Together`]), one written by a newer
    /// feitian, and one that has files but was never a data directory.
    pub fn open(path: &Path, share: Share) -> Result<Self> {
        let path = std::path::absolute(path).map_err(|e| Failure::from(e).context(path.display()))?;
        create_dir_all(&RealDisk, &path)?;
        let root = resolve(&path)?;
        if !root.join(VERSION_FILE).exists() {
            refuse_foreign_files(&root)?;
        }
        Self::lock(root, share)
    }

    /// Like [`DataDir::open`], but creates nothing: a directory that is not there is a negative answer.
    pub fn open_existing(path: &Path, share: Share) -> Result<Self> {
        let root = resolve(path)?;
        if !root.join(VERSION_FILE).exists() {
            return Err(Failure::negative(format!("{} is no data directory: it has no file VERSION", root.display())));
        }
        Self::lock(root, share)
    }

    fn lock(root: PathBuf, share: Share) -> Result<Self> {
        // Held over all steps below: the second of two first starts waits until the first has written the format, and
        // nobody sees the other's lock in the moment in which it changes from shared to exclusive and back.
        let _starting = start_lock(&root)?;
        let lock = lock(&root, share)?;
        let version = root.join(VERSION_FILE);
        let id = match read_version(&version)? {
            Some(id) => id,
            None => write_version(&version)?,
        };
        let alone = nobody_else(&lock).map_err(|e| Failure::from(e).context(format!("lock {}", root.display())))?;
        let tmp = prepare_tmp(&root, alone)?;
        Ok(Self { root, id, tmp, alone, _lock: lock })
    }

    /// The absolute path of the directory, which is UTF-8.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A name that the directory keeps for ever; the metadata database remembers it.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Where this process spills; empty at the start.
    pub fn tmp(&self) -> &Path {
        &self.tmp
    }

    /// True when no other process had the directory open at the start.
    pub fn was_alone(&self) -> bool {
        self.alone
    }

    /// Removes the temporary files of this process. Nothing depends on it but the space.
    pub fn remove_tmp(&self) {
        let _ = fs::remove_dir_all(&self.tmp);
    }

    /// The SQLite database in this directory, whether it is there or not.
    pub fn sqlite_file(&self) -> PathBuf {
        self.root.join("meta.db")
    }

    /// The address of the SQLite database in this directory.
    pub fn sqlite_url(&self) -> String {
        format!("sqlite://{}", self.sqlite_file().display())
    }

    /// Holds back other processes that start on this directory until the value is dropped.
    pub fn starting(&self) -> Result<StartLock> {
        start_lock(&self.root)
    }
}

/// Writes a file that its owner alone may read; durable and whole when this returns.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    Ok(atomic_write(&RealDisk, path, bytes, 0o600)?)
}

/// The path without links, so that every part of the process speaks of the same absolute path.
fn resolve(path: &Path) -> Result<PathBuf> {
    let root = fs::canonicalize(path).map_err(|e| match e.kind() {
        ErrorKind::NotFound => Failure::negative(format!("there is no directory {}", path.display())),
        _ => Failure::from(e).context(format!("open the data directory {}", path.display())),
    })?;
    match root.to_str() {
        Some(_) if root.is_dir() => Ok(root),
        Some(_) => Err(Failure::new(format!("{} is no directory", root.display()))),
        None => Err(Failure::new(format!("the path of the data directory {} is not UTF-8", root.display()))),
    }
}

fn refuse_foreign_files(root: &Path) -> Result<()> {
    let failed = |e| Failure::from(e).context(format!("list {}", root.display()));
    for entry in fs::read_dir(root).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let welcome = FOREIGN_BUT_WELCOME.iter().any(|known| name == *known);
        if !welcome && !name.to_string_lossy().starts_with('.') {
            return Err(Failure::new(format!(
                "{} is no data directory: it holds `{}` but no file VERSION",
                root.display(),
                name.to_string_lossy()
            ))
            .hint("choose an empty directory with --data; a damaged data directory needs its VERSION from a backup"));
        }
    }
    Ok(())
}

/// Takes the lock of a process. Both kinds are `flock`s on one file, so that they exclude each other.
fn lock(root: &Path, share: Share) -> Result<Lock> {
    if share == Share::Alone {
        return DirLock::acquire(root).map(Lock::Alone).map_err(|e| {
            let in_use = e.kind() == Kind::Conflict;
            let failure = Failure::from(e);
            if in_use { failure.hint("commands such as `feitian sql` talk to the running one") } else { failure }
        });
    }
    let path = root.join("lock");
    let failed = |e| Failure::from(e).context(format!("lock {}", path.display()));
    let file = File::options().read(true).write(true).create(true).truncate(false).open(&path).map_err(failed)?;
    match file.try_lock_shared() {
        Ok(()) => Ok(Lock::Together(FileLock(file))),
        Err(TryLockError::Error(e)) => Err(failed(e)),
        Err(TryLockError::WouldBlock) => Err(Failure::new(format!(
            "the data directory {} is in use by a feitian that does not share it",
            root.display()
        ))
        .hint("processes share a directory only if all of them have the same --meta postgres://…")),
    }
}

/// A short exclusive lock around the steps of a start, on a file of its own: `lock` is held for the whole life.
fn start_lock(root: &Path) -> Result<StartLock> {
    let path = root.join(START_LOCK_FILE);
    let take = || {
        let file = File::options().read(true).write(true).create(true).truncate(false).open(&path)?;
        file.lock()?;
        Ok(StartLock { _file: FileLock(file) })
    };
    take().map_err(|e: std::io::Error| Failure::from(e).context(format!("lock {}", path.display())))
}

/// Ends when it is dropped.
#[derive(Debug)]
pub struct StartLock {
    _file: FileLock,
}

/// The directory's id; `None` when there is no VERSION yet.
fn read_version(path: &Path) -> Result<Option<String>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Failure::from(e).context(format!("read {}", path.display()))),
    };
    let mut words = text.split_whitespace();
    let format: Option<u32> = words.next().and_then(|word| word.parse().ok());
    match (format, words.next()) {
        (Some(newer), _) if newer > FORMAT => {
            Err(Failure::new(format!("{} says format {newer}, and this feitian knows up to {FORMAT}", path.display()))
                .hint("the directory was written by a newer feitian; start that one"))
        }
        (Some(FORMAT), Some(id)) => Ok(Some(id.to_string())),
        _ => Err(Failure::new(format!("{} is damaged: it holds `{}`", path.display(), text.trim().escape_default()))
            .hint(format!(
                "it should hold the format number ({FORMAT}) and the directory's id; restore it from a backup"
            ))),
    }
}

fn write_version(path: &Path) -> Result<String> {
    let id = id::ulid();
    atomic_write(&RealDisk, path, format!("{FORMAT} {id}\n").as_bytes(), 0o644)?;
    Ok(id)
}

/// A directory of our own below `tmp`. What earlier processes left is removed when nobody else can be using it.
fn prepare_tmp(root: &Path, alone: bool) -> Result<PathBuf> {
    let tmp = root.join(TMP_DIR);
    let failed = |e| Failure::from(e).context(format!("empty {}", tmp.display()));
    if alone {
        match fs::remove_dir_all(&tmp) {
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(failed(e)),
            _ => {}
        }
    }
    let own = tmp.join(id::ulid());
    fs::create_dir_all(&own).map_err(failed)?;
    Ok(own)
}

/// True when no other process holds the lock at this moment. Whoever starts later waits for the start lock, which the
/// caller holds.
fn nobody_else(lock: &Lock) -> std::io::Result<bool> {
    let Lock::Together(FileLock(own)) = lock else { return Ok(true) };
    // A second handle would be refused by our own lock, so the lock is turned into an exclusive one and back.
    let alone = match own.try_lock() {
        Ok(()) => true,
        Err(TryLockError::WouldBlock) => false,
        Err(TryLockError::Error(e)) => return Err(e),
    };
    // An attempt that failed may have given up the shared lock (flock(2)), so it is taken again in either case.
    own.lock_shared()?;
    Ok(alone)
}
