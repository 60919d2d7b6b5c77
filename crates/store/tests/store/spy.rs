//! A file layer around another that records the changes, and skips, fails or holds those that a test chooses.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use feitian_store::{DirEntry, FileLayer, FileMeta, LayerFile};

/// What a test's rule says about one change.
pub enum Verdict {
    Do,
    /// Answer `Ok` and do nothing: a layer that lies.
    Skip,
    Fail(io::ErrorKind),
}

type Rule = dyn Fn(&str, &Path) -> Verdict + Send + Sync;

/// The layer. Changes are named `create`, `write`, `sync`, `link`, `rename`, `unlink`, `mkdir` and `sync_dir`; a rule
/// sees the name and the path that changes, and may block.
#[derive(Clone)]
pub struct Spy<L: FileLayer> {
    inner: L,
    rule: Arc<Rule>,
    log: Arc<Mutex<Vec<String>>>,
}

#[derive(Debug)]
pub struct SpyFile<L: FileLayer> {
    inner: L::File,
    spy: Spy<L>,
    path: PathBuf,
    is_dir: bool,
}

impl<L: FileLayer> Spy<L> {
    pub fn new(inner: L, rule: impl Fn(&str, &Path) -> Verdict + Send + Sync + 'static) -> Self {
        Self { inner, rule: Arc::new(rule), log: Arc::default() }
    }

    /// The changes so far as `name path`, the random part of temporary names as `*`; forgets them.
    pub fn take_log(&self) -> Vec<String> {
        std::mem::take(&mut self.log.lock().unwrap())
    }

    fn act(&self, change: &str, path: &Path, work: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let shown = path.display().to_string();
        let shown = match shown.split_once(".tmp-") {
            Some((dir, _)) => format!("{dir}.tmp-*"),
            None => shown,
        };
        self.log.lock().unwrap().push(format!("{change} {shown}"));
        match (self.rule)(change, path) {
            Verdict::Do => work(),
            Verdict::Skip => Ok(()),
            Verdict::Fail(kind) => Err(kind.into()),
        }
    }

    fn wrap(&self, inner: L::File, path: &Path, is_dir: bool) -> SpyFile<L> {
        SpyFile { inner, spy: self.clone(), path: path.to_path_buf(), is_dir }
    }
}

impl<L: FileLayer> fmt::Debug for Spy<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl<L: FileLayer> FileLayer for Spy<L> {
    type File = SpyFile<L>;

    fn create_new(&self, path: &Path, mode: u32) -> io::Result<SpyFile<L>> {
        let mut file = None;
        self.act("create", path, || {
            file = Some(self.inner.create_new(path, mode)?);
            Ok(())
        })?;
        Ok(self.wrap(file.expect("a test does not skip creation"), path, false))
    }

    fn open(&self, path: &Path) -> io::Result<SpyFile<L>> {
        Ok(self.wrap(self.inner.open(path)?, path, false))
    }

    fn open_dir(&self, path: &Path) -> io::Result<SpyFile<L>> {
        Ok(self.wrap(self.inner.open_dir(path)?, path, true))
    }

    fn hard_link(&self, original: &Path, link: &Path) -> io::Result<()> {
        self.act("link", link, || self.inner.hard_link(original, link))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.act("rename", to, || self.inner.rename(from, to))
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        self.act("unlink", path, || self.inner.unlink(path))
    }

    fn mkdir(&self, path: &Path) -> io::Result<()> {
        self.act("mkdir", path, || self.inner.mkdir(path))
    }

    fn list_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.inner.list_dir(path)
    }

    fn metadata(&self, path: &Path) -> io::Result<FileMeta> {
        self.inner.metadata(path)
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        self.inner.free_bytes(path)
    }
}

impl<L: FileLayer> LayerFile for SpyFile<L> {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.spy.act("write", &self.path, || self.inner.write_all_at(bytes, offset))
    }

    fn read_at(&self, range: Range<u64>) -> io::Result<Vec<u8>> {
        self.inner.read_at(range)
    }

    fn sync(&self) -> io::Result<()> {
        let change = if self.is_dir { "sync_dir" } else { "sync" };
        self.spy.act(change, &self.path, || self.inner.sync())
    }

    fn metadata(&self) -> io::Result<FileMeta> {
        self.inner.metadata()
    }
}
