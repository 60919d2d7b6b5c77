//! Files that are not objects: small ones replaced whole, directories made durably, the lock on a data directory.

use std::collections::BTreeSet;
use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use feitian_base::{Error, Kind, Result};
use parking_lot::Mutex;

use crate::layer::{FileKind, FileLayer, LayerFile};
use crate::real::RealDisk;

/// Names that begin so are files being written; no listing shows them.
pub(crate) const TEMP_PREFIX: &str = ".tmp-";

/// Temporary names that this process still uses; a sweep leaves them alone.
static LIVE: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Replaces the file `path` by `bytes`, whole or not at all, also when the power fails; durable on return.
///
/// - `mode`: permission bits before the umask, in force from the first byte (`0o600` for secrets).
/// - The directory must exist; [`create_dir_all`] makes it durable.
pub fn atomic_write<L: FileLayer>(layer: &L, path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let dir = path.parent().ok_or_else(|| Error::invalid(format!("{} names no file", path.display())))?;
    let write = || -> io::Result<()> {
        let handle = layer.open_dir(dir)?;
        let temp = TempName::new(layer.clone(), dir);
        let file = layer.create_new(temp.path(), mode)?;
        file.write_all_at(bytes, 0)?;
        file.sync()?;
        layer.rename(temp.path(), path)?;
        temp.release();
        handle.sync()
    };
    write().map_err(|e| Error::from(e).context(format_args!("cannot write {}", path.display())))
}

/// Creates the directory `path` and its missing parents; each new name is durable on return.
///
/// `path` is absolute. When it exists already, its own name is synced as far as the process may open its parent:
/// an earlier process may have been killed between creating and syncing it.
pub fn create_dir_all<L: FileLayer>(layer: &L, path: &Path) -> Result<()> {
    let failed = |dir: &Path, e: io::Error| Error::from(e).context(format_args!("cannot create {}", dir.display()));
    let mut missing = Vec::new();
    for dir in path.ancestors() {
        match layer.metadata(dir) {
            // A link is taken as it is: an operator may well have put the root of the data elsewhere.
            Ok(m) if matches!(m.kind, FileKind::Dir | FileKind::Symlink) => break,
            Ok(_) => return Err(failed(dir, io::ErrorKind::NotADirectory.into())),
            Err(e) if e.kind() == io::ErrorKind::NotFound => missing.push(dir),
            Err(e) => return Err(failed(dir, e)),
        }
    }
    if missing.is_empty()
        && let Some(parent) = path.parent()
        && let Err(e) = layer.sync_dir(parent)
    {
        tracing::debug!(dir = %parent.display(), error = %e, "the parent of an existing directory was not synced");
    }
    for dir in missing.into_iter().rev() {
        let Some(parent) = dir.parent() else { continue };
        let make = || -> io::Result<()> {
            let handle = layer.open_dir(parent)?;
            match layer.mkdir(dir) {
                Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(e),
                _ => handle.sync(),
            }
        };
        make().map_err(|e| failed(dir, e))?;
    }
    Ok(())
}

/// Bytes that this process may still write to the file system of `path`.
pub fn free_bytes(path: &Path) -> Result<u64> {
    RealDisk
        .free_bytes(path)
        .map_err(|e| Error::from(e).context(format_args!("cannot read the free space of {}", path.display())))
}

/// The right of one process to use a data directory: an exclusive `flock` on the file `lock` in it.
///
/// It ends when the value is dropped or the process dies, however it dies. The file stays: removing it would let
/// two processes lock two files of one name.
#[derive(Debug)]
pub struct DirLock {
    file: File,
}

impl DirLock {
    /// Takes the lock at once or fails with [`Kind::Conflict`] if another process holds it. `dir` must exist.
    pub fn acquire(dir: &Path) -> Result<Self> {
        let path = dir.join("lock");
        let failed = |e: io::Error| Error::from(e).context(format_args!("cannot lock {}", path.display()));
        let mut file =
            File::options().read(true).write(true).create(true).truncate(false).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::Error(e)) => return Err(failed(e)),
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Only a help for the reader of the message; the lock itself does not depend on it.
                let _ = (&mut file).take(32).read_to_string(&mut holder);
                let holder = match holder.trim() {
                    "" => String::new(),
                    pid => format!(" (process {pid})"),
                };
                return Err(Error::new(
                    Kind::Conflict,
                    "DirectoryInUse",
                    format!(
                        "the data directory {} is in use by another feitian{holder}; stop that one or choose another \
                         directory",
                        dir.display()
                    ),
                ));
            }
        }
        let note = |file: &mut File| -> io::Result<()> {
            file.set_len(0)?;
            file.rewind()?;
            writeln!(file, "{}", std::process::id())
        };
        note(&mut file).map_err(failed)?;
        Ok(Self { file })
    }
}

impl Drop for DirLock {
    fn drop(&mut self) {
        // Closing is not enough: a child between fork and exec has the same open file, and the lock with it (flock(2)).
        let _ = self.file.unlock();
    }
}

/// A name for a file that is being written. It is removed on drop unless it was released.
#[derive(Debug)]
pub(crate) struct TempName<L: FileLayer> {
    layer: L,
    path: PathBuf,
    name: String,
    owned: AtomicBool,
}

impl<L: FileLayer> TempName<L> {
    /// A name in `dir` that nobody uses; the file is not created.
    pub(crate) fn new(layer: L, dir: &Path) -> Self {
        let name = format!("{TEMP_PREFIX}{}", feitian_base::id::ulid());
        LIVE.lock().insert(name.clone());
        Self { layer, path: dir.join(&name), name, owned: AtomicBool::new(true) }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The name is gone, because the file was renamed: nothing is left to remove.
    pub(crate) fn release(&self) {
        self.owned.store(false, Ordering::SeqCst);
    }

    /// Removes the name now; a second call does nothing.
    pub(crate) fn remove(&self) -> io::Result<()> {
        match self.owned.swap(false, Ordering::SeqCst) {
            true => match self.layer.unlink(&self.path) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
                _ => Ok(()),
            },
            false => Ok(()),
        }
    }

    /// True if a file of this name is being written by this process.
    pub(crate) fn is_live(name: &str) -> bool {
        LIVE.lock().contains(name)
    }
}

impl<L: FileLayer> Drop for TempName<L> {
    fn drop(&mut self) {
        if let Err(e) = self.remove() {
            tracing::debug!(path = %self.path.display(), error = %e, "a temporary file stays until the next sweep");
        }
        LIVE.lock().remove(&self.name);
    }
}
