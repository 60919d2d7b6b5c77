//! An object store that writes down what is read of it, and can keep its answers to itself as if the process had died.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use feitian_store::LocalStore;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};
use parking_lot::Mutex;

use crate::old::World;

/// The files of a world.
#[derive(Debug)]
pub struct Watched {
    inner: LocalStore,
    /// `get`, `head` or `list`, and the last part of the name.
    reads: Mutex<Vec<String>>,
    /// Commit files are put and nobody hears of it.
    is_mute: AtomicBool,
}

impl Watched {
    pub fn on(world: &World) -> Arc<Self> {
        Self::of(LocalStore::open(world.dir.path()).expect("a store"))
    }

    pub fn of(inner: LocalStore) -> Arc<Self> {
        Arc::new(Self { inner, reads: Mutex::default(), is_mute: AtomicBool::new(false) })
    }

    /// What was read since the last call.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.reads.lock())
    }

    /// From now on whoever puts a commit file gets an error although it is there.
    pub fn mute(&self) {
        self.is_mute.store(true, Ordering::SeqCst);
    }

    fn note(&self, how: &str, what: Option<&Path>) {
        self.reads.lock().push(format!("{how} {}", what.and_then(Path::filename).unwrap_or_default()));
    }
}

impl fmt::Display for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "watched {}", self.inner)
    }
}

#[async_trait]
impl ObjectStore for Watched {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let done = self.inner.put_opts(location, payload, opts).await?;
        if self.is_mute.load(Ordering::SeqCst) && location.filename().is_some_and(|name| name.ends_with(".json")) {
            return Err(Error::Generic { store: "watched", source: "the answer is lost".into() });
        }
        Ok(done)
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.note(if options.head { "head" } else { "get" }, Some(location));
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.note("list", prefix);
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.note("list", prefix);
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.inner.rename_opts(from, to, options).await
    }
}
