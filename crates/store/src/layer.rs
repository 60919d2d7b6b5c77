//! The few file operations that durable storage is made of, as a trait, so that a test can stand in for the disk.

use std::ffi::OsString;
use std::fmt::Debug;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::time::SystemTime;

/// What a directory entry or an open file is. Symbolic links are reported, not followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Dir,
    /// A symbolic link, whatever it points to.
    Symlink,
    /// A socket, a device, a pipe.
    Other,
}

/// The metadata of a file or directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileMeta {
    /// What it is.
    pub kind: FileKind,
    /// Length in bytes.
    pub len: u64,
    /// Time of the last write.
    pub modified: SystemTime,
    /// Inode number: the same for all links to one file.
    pub inode: u64,
}

/// One name in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirEntry {
    /// The last component of its path.
    pub name: OsString,
    /// What the name stands for.
    pub kind: FileKind,
}

/// Blocking file operations with the durability rules of POSIX and no others.
///
/// Nothing here is durable by itself. The bytes of a file survive the loss of power once [`LayerFile::sync`] on the
/// file returned, a name (created, linked, renamed or removed) once `sync` on the *directory* that holds it returned,
/// and that holds for the name of a new directory in its parent too. After a failed `sync` of a handle the state on
/// disk is unknown, and a later success on the same file proves nothing (the kernel has dropped the dirty pages).
///
/// Errors keep the [`io::ErrorKind`] of the system: `NotFound`, `AlreadyExists`, `StorageFull`, ...
pub trait FileLayer: Clone + Debug + Send + Sync + 'static {
    /// An open file or directory.
    type File: LayerFile;

    /// Creates a file for reading and writing; `AlreadyExists` if the name is taken. `mode` is the permission bits
    /// before the process's umask, for example `0o600`.
    fn create_new(&self, path: &Path, mode: u32) -> io::Result<Self::File>;

    /// Opens an existing file for reading. A symbolic link as the last component is refused.
    fn open(&self, path: &Path) -> io::Result<Self::File>;

    /// Opens a directory, for [`LayerFile::sync`].
    ///
    /// Open it *before* the change that must be synced: then running out of file descriptors fails the change
    /// while nothing is visible yet, and what fails later is a real sync error.
    fn open_dir(&self, path: &Path) -> io::Result<Self::File>;

    /// Gives the file `original` the second name `link`; `AlreadyExists` if that is taken.
    fn hard_link(&self, original: &Path, link: &Path) -> io::Result<()>;

    /// Renames a file and replaces what `to` named. Does nothing at all when both name one file already (POSIX).
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes the name of a file.
    fn unlink(&self, path: &Path) -> io::Result<()>;

    /// Creates one directory; `AlreadyExists` if the name is taken.
    fn mkdir(&self, path: &Path) -> io::Result<()>;

    /// The names in a directory, in no order, without `.` and `..`.
    fn list_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>>;

    /// The metadata of a name; a symbolic link is not followed.
    fn metadata(&self, path: &Path) -> io::Result<FileMeta>;

    /// Bytes that this process may still write to the file system of `path`.
    fn free_bytes(&self, path: &Path) -> io::Result<u64>;

    /// Makes the names in a directory durable.
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.open_dir(path)?.sync()
    }
}

/// An open file; the calls are positional and may run at the same time.
pub trait LayerFile: Debug + Send + Sync + 'static {
    /// Writes all of `bytes` at `offset`.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// The bytes of `range`, fewer only where the file ends before. Allocates the length of `range` at once: bound
    /// it by [`LayerFile::metadata`] first.
    fn read_at(&self, range: Range<u64>) -> io::Result<Vec<u8>>;

    /// Makes the content (of a directory: its names) durable. Never call it again after it failed.
    fn sync(&self) -> io::Result<()>;

    /// The metadata of the open file.
    fn metadata(&self) -> io::Result<FileMeta>;
}
