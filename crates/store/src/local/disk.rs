//! The blocking half of the store: names, directories that are known to be durable, reading.

use std::collections::HashSet;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use object_store::path::Path as Location;
use object_store::{Error, ObjectMeta};
use parking_lot::Mutex;

use crate::error::{Result, StoreFailed, failed, generic, lookup};
use crate::files::{TEMP_PREFIX, TempName};
use crate::layer::{FileKind, FileLayer, FileMeta, LayerFile};

/// Directories remembered as durable, at most: about 10 MB of paths. More start anew; they cost one sync each.
const DURABLE_DIRS_MAX: usize = 1 << 16;

/// Objects of up to this many bytes may take half of what is kept free: the log entry of a TRUNCATE among them, without
/// which nothing becomes free.
const SMALL_BYTES: u64 = 64 << 10;

/// The state that all clones of one store share.
#[derive(Debug)]
pub(super) struct Disk<L: FileLayer> {
    pub(super) layer: L,
    root: PathBuf,
    /// Directories below the root whose own names are known to be on the disk, because this process synced their
    /// parents. That a directory *exists* is not enough: whoever created it may not have synced its parent yet, or
    /// was killed in between.
    durable_dirs: Mutex<HashSet<PathBuf>>,
    failure: OnceLock<StoreFailed>,
    /// Bytes of the file system that objects leave to others.
    pub(super) kept_free: AtomicU64,
}

/// An object that is open for reading.
#[derive(Debug)]
pub(super) struct Found<L: FileLayer> {
    path: PathBuf,
    file: L::File,
    pub(super) meta: ObjectMeta,
}

impl<L: FileLayer> Disk<L> {
    pub(super) fn new(layer: L, root: PathBuf) -> Self {
        Self { layer, root, durable_dirs: Mutex::default(), failure: OnceLock::new(), kept_free: AtomicU64::new(0) }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn failure(&self) -> Option<StoreFailed> {
        self.failure.get().cloned()
    }

    /// Fails once the store has stopped.
    pub(super) fn check(&self) -> Result<()> {
        self.failure.get().map_or(Ok(()), |f| Err(generic(f.clone())))
    }

    pub(super) fn free_bytes(&self) -> Result<u64> {
        self.layer.free_bytes(&self.root).map_err(|e| failed("read the free space of", &self.root, e))
    }

    /// Fails if writing `len` bytes for `target` would take what is kept free.
    pub(super) fn check_room(&self, target: &Path, len: u64) -> Result<()> {
        let kept = match self.kept_free.load(Ordering::Relaxed) {
            0 => return Ok(()),
            kept if len <= SMALL_BYTES => kept / 2,
            kept => kept,
        };
        let free = self.free_bytes()?;
        if free >= kept.saturating_add(len) {
            return Ok(());
        }
        let text =
            format!("{len} bytes do not fit: {free} are free, of which {kept} are kept for metadata and deletions");
        Err(failed("write", target, io::Error::new(io::ErrorKind::StorageFull, text)))
    }

    /// The file of an object.
    pub(super) fn file_of(&self, location: &Location) -> Result<PathBuf> {
        match location.is_root() {
            true => Err(generic("an empty path names no object")),
            false => self.path_of(location),
        }
    }

    /// The file or directory of a path. `location` has no `..` by its type; a check here does not rely on that.
    pub(super) fn path_of(&self, location: &Location) -> Result<PathBuf> {
        let mut path = self.root.clone();
        for part in location.parts() {
            let name = part.as_ref();
            let plain = !matches!(name, "" | "." | "..") && !name.contains(['/', '\0']);
            if !plain || name.starts_with(TEMP_PREFIX) {
                let why = if plain { "names that begin with .tmp- are reserved" } else { "not a plain file name" };
                return Err(generic(format!("path {location}, segment {name:?}: {why}")));
            }
            path.push(name);
        }
        Ok(path)
    }

    /// Creates `dir` and its parents below the root and makes their names durable.
    pub(super) fn ensure_dir(&self, dir: &Path) -> Result<()> {
        let unknown: Vec<&Path> = {
            let durable = self.durable_dirs.lock();
            dir.ancestors().take_while(|d| *d != self.root && !durable.contains(*d)).collect()
        };
        for dir in unknown.into_iter().rev() {
            let Some(parent) = dir.parent() else { continue };
            let handle = self.layer.open_dir(parent).map_err(|e| failed("open directory", parent, e))?;
            match self.layer.mkdir(dir) {
                Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(failed("create directory", dir, e)),
                _ => self.sync_dir(&handle, parent)?,
            }
            let mut durable = self.durable_dirs.lock();
            if durable.len() >= DURABLE_DIRS_MAX {
                durable.clear();
            }
            durable.insert(dir.to_path_buf());
        }
        Ok(())
    }

    /// Forgets `dir` and its parents: one of them was removed behind our back.
    pub(super) fn forget_dir(&self, dir: &Path) {
        let mut durable = self.durable_dirs.lock();
        dir.ancestors().take_while(|d| *d != self.root).for_each(|d| {
            durable.remove(d);
        });
    }

    /// Syncs an open directory. A failure stops the store: the names it shows may not be on the disk, and trying
    /// again proves nothing, because the kernel reports a lost write once and then calls the pages clean.
    pub(super) fn sync_dir(&self, handle: &L::File, path: &Path) -> Result<()> {
        if let Err(e) = handle.sync() {
            let reason = format!("the directory {} could not be synced: {e}", path.display());
            tracing::error!(%reason, "store stopped");
            let _ = self.failure.set(StoreFailed { reason });
            return Err(failed("sync directory", path, e));
        }
        // Another thread's sync may have met the error that this one was spared.
        self.check()
    }

    /// Opens an object. Directories, links and devices are not objects.
    pub(super) fn find(&self, path: PathBuf, location: Location) -> Result<Found<L>> {
        let open = || -> io::Result<(L::File, FileMeta)> {
            let file = self.layer.open(&path)?;
            let meta = file.metadata()?;
            match meta.kind {
                FileKind::File => Ok((file, meta)),
                _ => Err(io::ErrorKind::IsADirectory.into()),
            }
        };
        let (file, meta) = open().map_err(|e| lookup("open", &path, e))?;
        Ok(Found { path, file, meta: object_meta(location, &meta) })
    }

    /// The objects and directories directly in `dir`; none if there is no such directory.
    pub(super) fn children(&self, dir: &Path) -> Result<Vec<(String, FileKind)>> {
        let entries = match self.layer.list_dir(dir) {
            Ok(entries) => entries,
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(vec![]),
            Err(e) => return Err(failed("list", dir, e)),
        };
        let mut children = Vec::with_capacity(entries.len());
        for entry in entries {
            let name = match entry.name.into_string() {
                Ok(name) => name,
                Err(name) => return Err(generic(format!("file name {name:?} in {} is not UTF-8", dir.display()))),
            };
            match entry.kind {
                _ if name.starts_with(TEMP_PREFIX) => {}
                FileKind::File | FileKind::Dir => children.push((name, entry.kind)),
                // To skip it could hide a whole subtree that an operator has moved to another disk.
                FileKind::Symlink => {
                    let path = dir.join(name);
                    return Err(generic(format!(
                        "{} is a symbolic link, which the store does not follow: mount the other disk there, or \
                         remove the link",
                        path.display()
                    )));
                }
                FileKind::Other => {}
            }
        }
        Ok(children)
    }

    /// The metadata of a listed object; none if it went away meanwhile.
    pub(super) fn stat(&self, path: &Path, location: Location) -> Result<Option<ObjectMeta>> {
        match self.layer.metadata(path) {
            Ok(meta) => Ok((meta.kind == FileKind::File).then(|| object_meta(location, &meta))),
            Err(e) => match lookup("read the metadata of", path, e) {
                Error::NotFound { .. } => Ok(None),
                e => Err(e),
            },
        }
    }

    /// Removes temporary files at least `older_than` old that this process is not writing.
    pub(super) fn sweep(&self, older_than: Duration) -> Result<u64> {
        let now = SystemTime::now();
        let (mut dirs, mut removed) = (vec![self.root.clone()], 0);
        while let Some(dir) = dirs.pop() {
            let entries = match self.layer.list_dir(&dir) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                entries => entries.map_err(|e| failed("list", &dir, e))?,
            };
            for entry in entries {
                let path = dir.join(&entry.name);
                let name = entry.name.to_string_lossy();
                match entry.kind {
                    FileKind::Dir => dirs.push(path),
                    FileKind::File if name.starts_with(TEMP_PREFIX) && !TempName::<L>::is_live(&name) => {
                        removed += u64::from(self.remove_if_old(&path, now, older_than)?);
                    }
                    _ => {}
                }
            }
        }
        Ok(removed)
    }

    fn remove_if_old(&self, path: &Path, now: SystemTime, older_than: Duration) -> Result<bool> {
        let remove = || -> io::Result<bool> {
            let modified = self.layer.metadata(path)?.modified;
            // A file from the future (the clock was set back) has age zero.
            let old = now.duration_since(modified).unwrap_or_default() >= older_than;
            if old {
                self.layer.unlink(path)?;
            }
            Ok(old)
        };
        match remove() {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
            done => done.map_err(|e| failed("remove", path, e)),
        }
    }
}

impl<L: FileLayer> Found<L> {
    /// The bytes of `range`, all of them: a range that leaves the object is an error, not a short answer.
    pub(super) fn read(&self, range: Range<u64>) -> Result<Bytes> {
        let wanted = range.end.checked_sub(range.start);
        let Some(wanted) = wanted.filter(|_| range.end <= self.meta.size) else {
            return Err(generic(format!(
                "range {}..{} is not within the {} bytes of {}",
                range.start, range.end, self.meta.size, self.meta.location
            )));
        };
        if wanted == 0 {
            return Ok(Bytes::new());
        }
        let bytes = self.file.read_at(range).map_err(|e| failed("read", &self.path, e))?;
        match bytes.len() as u64 == wanted {
            true => Ok(bytes.into()),
            // Nobody shortens an object: something else writes into our directory.
            false => Err(failed("read", &self.path, io::ErrorKind::UnexpectedEof.into())),
        }
    }
}

/// The metadata of an object as listings and gets give it.
fn object_meta(location: Location, meta: &FileMeta) -> ObjectMeta {
    ObjectMeta {
        location,
        last_modified: meta.modified.into(),
        size: meta.len,
        e_tag: Some(e_tag(meta)),
        version: None,
    }
}

/// `inode-mtime-size` in hexadecimal, mtime in microseconds: the form of `object_store::local`.
pub(super) fn e_tag(meta: &FileMeta) -> String {
    let micros = meta.modified.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_micros();
    format!("{:x}-{micros:x}-{:x}", meta.inode, meta.len)
}
