//! The file layer on the machine's own file system.

use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::SystemTime;

use rustix::fs::OFlags;

use crate::layer::{DirEntry, FileKind, FileLayer, FileMeta, LayerFile};

/// The machine's file system.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealDisk;

impl FileLayer for RealDisk {
    type File = File;

    fn create_new(&self, path: &Path, mode: u32) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).create_new(true).mode(mode).open(path)
    }

    fn open(&self, path: &Path) -> io::Result<File> {
        OpenOptions::new().read(true).custom_flags(OFlags::NOFOLLOW.bits() as i32).open(path)
    }

    fn open_dir(&self, path: &Path) -> io::Result<File> {
        OpenOptions::new().read(true).custom_flags(OFlags::DIRECTORY.bits() as i32).open(path)
    }

    fn hard_link(&self, original: &Path, link: &Path) -> io::Result<()> {
        std::fs::hard_link(original, link)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn mkdir(&self, path: &Path) -> io::Result<()> {
        std::fs::create_dir(path)
    }

    fn list_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        std::fs::read_dir(path)?
            .map(|entry| {
                let entry = entry?;
                Ok(DirEntry { kind: kind(entry.file_type()?), name: entry.file_name() })
            })
            .collect()
    }

    fn metadata(&self, path: &Path) -> io::Result<FileMeta> {
        Ok(meta(&std::fs::symlink_metadata(path)?))
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(path)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

impl LayerFile for File {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        FileExt::write_all_at(self, bytes, offset)
    }

    fn read_at(&self, range: Range<u64>) -> io::Result<Vec<u8>> {
        let len = usize::try_from(range.end.saturating_sub(range.start)).map_err(io::Error::other)?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(len).map_err(|e| io::Error::new(io::ErrorKind::OutOfMemory, e))?;
        while bytes.len() < len {
            let offset = range.start + bytes.len() as u64;
            // Into spare capacity, so that large reads are not zeroed first.
            match rustix::io::pread(self, rustix::buffer::spare_capacity(&mut bytes), offset) {
                Ok(0) => break,
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
        bytes.truncate(len);
        Ok(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_all()
    }

    fn metadata(&self) -> io::Result<FileMeta> {
        Ok(meta(&File::metadata(self)?))
    }
}

fn kind(file_type: std::fs::FileType) -> FileKind {
    if file_type.is_file() {
        FileKind::File
    } else if file_type.is_dir() {
        FileKind::Dir
    } else if file_type.is_symlink() {
        FileKind::Symlink
    } else {
        FileKind::Other
    }
}

fn meta(m: &std::fs::Metadata) -> FileMeta {
    FileMeta {
        kind: kind(m.file_type()),
        len: m.len(),
        // Every Unix reports it; the epoch is the honest answer of one that does not.
        modified: m.modified().unwrap_or(SystemTime::UNIX_EPOCH),
        inode: m.ino(),
    }
}
