//! Writing: temporary file, sync, link or rename, sync of the directory; deleting and copying by the same rules.

use std::io;
use std::path::Path;

use object_store::{CopyMode, PutPayload, PutResult};

use super::disk::{Disk, e_tag};
use crate::error::{Result, exists, failed, lookup};
use crate::files::TempName;
use crate::layer::{FileKind, FileLayer, LayerFile};

/// Objects may be read by whoever the umask lets: a table is meant to be copied away by its owner.
const OBJECT_MODE: u32 = 0o666;
/// One piece of a copy between file systems.
const COPY_CHUNK_BYTES: u64 = 1 << 20;

/// A temporary file beside the place that it is for.
#[derive(Debug)]
pub(super) struct Staged<L: FileLayer> {
    pub(super) temp: TempName<L>,
    pub(super) file: L::File,
}

impl<L: FileLayer> Disk<L> {
    /// Writes a whole object:
    /// 1. the directory exists and is durable; 2. temporary file, content, sync; 3. [`Disk::publish`].
    pub(super) fn put(&self, target: &Path, payload: &PutPayload, mode: CopyMode) -> Result<PutResult> {
        self.check_room(target, payload.content_length() as u64)?;
        let staged = self.stage(target)?;
        staged.write(payload, 0).map_err(|e| failed("write", target, e))?;
        self.publish_file(&staged, target, mode)
    }

    /// An empty temporary file in the directory of `target`.
    pub(super) fn stage(&self, target: &Path) -> Result<Staged<L>> {
        let dir = dir_of(target)?;
        self.ensure_dir(dir)?;
        match self.create_temp(dir) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                self.forget_dir(dir);
                self.ensure_dir(dir)?;
                self.create_temp(dir).map_err(|e| failed("create a file in", dir, e))
            }
            staged => staged.map_err(|e| failed("create a file in", dir, e)),
        }
    }

    /// Makes the content of `staged` durable, then gives it its name.
    pub(super) fn publish_file(&self, staged: &Staged<L>, target: &Path, mode: CopyMode) -> Result<PutResult> {
        // A failed sync is final for this file: its pages may be lost and marked clean. The caller's next attempt
        // writes another file.
        staged.file.sync().map_err(|e| failed("sync", target, e))?;
        let meta = staged.file.metadata().map_err(|e| failed("read the metadata of", target, e))?;
        self.publish(&staged.temp, target, mode)?;
        Ok(PutResult { e_tag: Some(e_tag(&meta)), version: None })
    }

    /// Gives a synced temporary file its name; durable on return.
    fn publish(&self, temp: &TempName<L>, target: &Path, mode: CopyMode) -> Result<()> {
        let dir = dir_of(target)?;
        let handle = self.layer.open_dir(dir).map_err(|e| failed("open directory", dir, e))?;
        match mode {
            CopyMode::Create => match self.layer.hard_link(temp.path(), target) {
                Ok(()) => {
                    // Before the directory is synced, so that one sync covers both. If it fails, a sweep does it.
                    let _ = temp.remove();
                }
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                    // The winner may not have synced yet, and the caller will build on what it is told.
                    self.sync_dir(&handle, dir)?;
                    return Err(exists(target));
                }
                Err(e) => {
                    return Err(failed("link a finished file (the file system must have hard links) to", target, e));
                }
            },
            CopyMode::Overwrite => {
                self.layer.rename(temp.path(), target).map_err(|e| failed("rename a finished file to", target, e))?;
                // Not released: where both names were one file already, rename does nothing and the temporary name
                // is still there.
                let _ = temp.remove();
            }
        }
        self.sync_dir(&handle, dir)
    }

    /// Removes an object; durable on return. `NotFound` is durable too: a delete at the same time may have removed
    /// the name and not synced yet.
    pub(super) fn delete(&self, target: &Path) -> Result<()> {
        let dir = dir_of(target)?;
        let handle = self.layer.open_dir(dir).map_err(|e| lookup("open", target, e))?;
        match self.layer.unlink(target) {
            Ok(()) => self.sync_dir(&handle, dir),
            Err(e) => {
                let error = lookup("delete", target, e);
                if matches!(error, object_store::Error::NotFound { .. }) {
                    self.sync_dir(&handle, dir)?;
                }
                Err(error)
            }
        }
    }

    /// Gives the content of `from` the name `to` as well, without copying bytes where the file system can.
    ///
    /// Both names then are one file. That is as good as a copy, because no object is ever changed in place.
    pub(super) fn copy(&self, from: &Path, to: &Path, mode: CopyMode) -> Result<()> {
        let source = self.layer.open(from).map_err(|e| lookup("open", from, e))?;
        let meta = source.metadata().map_err(|e| failed("read the metadata of", from, e))?;
        if meta.kind != FileKind::File {
            return Err(lookup("copy", from, io::ErrorKind::IsADirectory.into()));
        }
        if from == to {
            return match mode {
                CopyMode::Create => Err(exists(to)),
                CopyMode::Overwrite => Ok(()),
            };
        }
        // Our own objects are synced; this is for files that somebody has put there by hand.
        source.sync().map_err(|e| failed("sync", from, e))?;
        let dir = dir_of(to)?;
        self.ensure_dir(dir)?;
        let temp = TempName::new(self.layer.clone(), dir);
        let mut linked = self.layer.hard_link(from, temp.path());
        if linked.as_ref().is_err_and(|e| e.kind() == io::ErrorKind::NotFound) {
            self.forget_dir(dir);
            self.ensure_dir(dir)?;
            linked = self.layer.hard_link(from, temp.path());
        }
        match linked {
            Ok(()) => self.publish(&temp, to, mode),
            // Another mount below the root, or more names than an inode may have.
            Err(e) if matches!(e.kind(), io::ErrorKind::CrossesDevices | io::ErrorKind::TooManyLinks) => {
                self.copy_bytes(&source, meta.len, to, mode)
            }
            Err(e) => Err(lookup("link", from, e)),
        }
    }

    fn copy_bytes(&self, source: &L::File, len: u64, to: &Path, mode: CopyMode) -> Result<()> {
        let staged = self.stage(to)?;
        let copy = || -> io::Result<()> {
            for start in (0..len).step_by(COPY_CHUNK_BYTES as usize) {
                let bytes = source.read_at(start..len.min(start + COPY_CHUNK_BYTES))?;
                staged.file.write_all_at(&bytes, start)?;
            }
            Ok(())
        };
        copy().map_err(|e| failed("write", to, e))?;
        self.publish_file(&staged, to, mode).map(drop)
    }

    fn create_temp(&self, dir: &Path) -> io::Result<Staged<L>> {
        let temp = TempName::new(self.layer.clone(), dir);
        let file = self.layer.create_new(temp.path(), OBJECT_MODE)?;
        Ok(Staged { temp, file })
    }
}

impl<L: FileLayer> Staged<L> {
    /// Writes `payload` at `offset`, piece by piece as it comes.
    pub(super) fn write(&self, payload: &PutPayload, mut offset: u64) -> io::Result<()> {
        for piece in payload {
            self.file.write_all_at(piece, offset)?;
            offset += piece.len() as u64;
        }
        Ok(())
    }
}

fn dir_of(path: &Path) -> Result<&Path> {
    path.parent().ok_or_else(|| failed("use", path, io::ErrorKind::InvalidFilename.into()))
}
