//! An object store on a directory: object `a/b` is the file `ROOT/a/b`.

mod disk;
mod list;
mod upload;
mod write;

use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use feitian_base::Error as BaseError;
use futures::stream::{self, BoxStream, StreamExt};
use object_store::path::Path;
use object_store::{
    Attributes, CopyMode, CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions,
    RenameTargetMode,
};

use crate::error::{Result, StoreFailed, base_error};
use crate::files::create_dir_all;
use crate::layer::FileLayer;
use crate::real::RealDisk;
use disk::{Disk, Found};
use list::Walk;
use upload::LocalUpload;

/// An object of up to this many bytes is read in one piece, by the call that opens it; more comes as a stream.
const WHOLE_READ_MAX_BYTES: u64 = 8 << 20;
/// One piece of a stream: large enough that the hop to a blocking thread (some 10 us) is nothing beside the read.
const READ_CHUNK_BYTES: u64 = 1 << 20;
/// Entries that one hop to a blocking thread lists.
const LIST_CHUNK: usize = 1000;
/// Deletes of one stream that run at the same time.
const DELETE_PARALLEL: usize = 10;

/// Objects as files below one root directory, durable before they are acknowledged.
///
/// **Writing.** An object is written to a temporary file beside its place, synced, then linked
/// ([`PutMode::Create`]: exactly one of several writers wins, the others get `AlreadyExists`) or renamed
/// ([`PutMode::Overwrite`], multipart) to its name, then the directory is synced. So a name shows a whole object or
/// none, at every moment and after a power cut, and `Ok` means that content, name and every directory above it are on
/// the disk. A write that failed may or may not be there afterwards. `AlreadyExists` and a delete's `NotFound` are as
/// durable as `Ok`. A reader may see an object a moment before it is durable.
///
/// **Cancelling.** Dropping the future of a write does not stop it once it runs: it is done whole or not at all.
///
/// **Failing.** A full disk fails the write, leaves nothing and is found by [`crate::storage_full`]. A failed sync
/// of a file fails its write. A failed sync of a directory stops the whole store with [`StoreFailed`], reads too.
///
/// **Names.** Path segments are file names, unchanged. Names that begin with `.tmp-` are reserved and refused.
/// Symbolic links below the root are refused where they are met; mount a disk there instead. Two objects cannot be
/// `a` and `a/b`. Listings come sorted by path.
///
/// **Refused**: [`PutMode::Update`], attributes, and versions in a get. Tags are ignored, as the trait asks.
///
/// Cheap to clone; clones are one store. With a tokio runtime the disk work runs on its blocking threads, without
/// one in the calling thread. Two stores, or two processes, on one root must not sweep at the same time: hold a
/// [`crate::DirLock`].
pub struct LocalStore<L: FileLayer = RealDisk> {
    disk: Arc<Disk<L>>,
}

impl LocalStore<RealDisk> {
    /// Opens the store on the machine's disk and creates `root`, durably, where it is missing.
    pub fn open(root: impl AsRef<std::path::Path>) -> Result<Self, BaseError> {
        Self::open_on(RealDisk, std::path::absolute(root)?)
    }
}

impl<L: FileLayer> LocalStore<L> {
    /// Opens the store below the absolute path `root` of `layer` and creates it where it is missing.
    pub fn open_on(layer: L, root: impl Into<PathBuf>) -> Result<Self, BaseError> {
        let root = root.into();
        if !root.is_absolute() {
            return Err(BaseError::invalid(format!("the root of a store must be absolute: {}", root.display())));
        }
        create_dir_all(&layer, &root)?;
        Ok(Self { disk: Arc::new(Disk::new(layer, root)) })
    }

    /// The directory below which all objects are.
    pub fn root(&self) -> &std::path::Path {
        self.disk.root()
    }

    /// The file of an object, whether it exists or not.
    ///
    /// # Errors
    /// An empty path, and a segment that is reserved or not a plain name.
    pub fn path_to_filesystem(&self, location: &Path) -> Result<PathBuf> {
        self.disk.file_of(location)
    }

    /// Refuses objects from now on, as on a full disk, that would leave less than `bytes` of the file system free;
    /// objects of up to 64 KiB are refused at half of that. What else lies on it can then go on when objects fill it.
    /// Writes at the same time may each see the same space, and take a little of what is kept.
    pub fn keep_free(&self, bytes: u64) {
        self.disk.kept_free.store(bytes, Ordering::Relaxed);
    }

    /// Bytes that may still be written.
    pub async fn free_bytes(&self) -> Result<u64, BaseError> {
        self.run(|disk| disk.free_bytes()).await.map_err(base_error)
    }

    /// Why the store stopped, if it did; for health checks. Once stopped it stays so.
    pub fn failure(&self) -> Option<StoreFailed> {
        self.disk.failure()
    }

    /// Removes what writes of dead processes left: temporary files at least `older_than` old. Returns how many.
    ///
    /// Files that this process is writing are kept, whatever their age; with the directory locked, zero is safe at
    /// any time. Nothing depends on it but the space.
    pub async fn sweep_temporaries(&self, older_than: Duration) -> Result<u64, BaseError> {
        self.run(move |disk| disk.sweep(older_than)).await.map_err(base_error)
    }

    /// Runs `work` where it may block, unless the store has stopped.
    async fn run<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Arc<Disk<L>>) -> Result<T> + Send + 'static,
    {
        let disk = Arc::clone(&self.disk);
        blocking(move || {
            disk.check()?;
            work(&disk)
        })
        .await
    }

    fn refuse(&self, what: impl Into<String>) -> Error {
        Error::NotImplemented { operation: what.into(), implementer: self.to_string() }
    }

    fn walk(&self, prefix: Option<&Path>, offset: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let walk = Walk::new(Arc::clone(&self.disk), prefix.cloned().unwrap_or_default(), offset.cloned());
        stream::try_unfold((walk, VecDeque::new()), |(mut walk, mut ready)| async move {
            if ready.is_empty() {
                (walk, ready) = blocking(move || {
                    let ready = walk.take(LIST_CHUNK)?;
                    Ok((walk, ready))
                })
                .await?;
            }
            Ok(ready.pop_front().map(|meta| (meta, (walk, ready))))
        })
        .boxed()
    }
}

/// Runs `work` on a blocking thread of the current runtime, or here if there is none.
async fn blocking<T, F>(work: F) -> Result<T>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T> + Send + 'static,
{
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => runtime.spawn_blocking(work).await?,
        Err(_) => work(),
    }
}

#[async_trait]
impl<L: FileLayer> ObjectStore for LocalStore<L> {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        if !opts.attributes.is_empty() {
            return Err(self.refuse("`put_opts` with attributes"));
        }
        let mode = match opts.mode {
            PutMode::Create => CopyMode::Create,
            PutMode::Overwrite => CopyMode::Overwrite,
            PutMode::Update(_) => return Err(self.refuse("`put_opts` with `PutMode::Update`")),
        };
        let target = self.disk.file_of(location)?;
        self.run(move |disk| disk.put(&target, &payload, mode)).await
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        if !opts.attributes.is_empty() {
            return Err(self.refuse("`put_multipart_opts` with attributes"));
        }
        let target = self.disk.file_of(location)?;
        let upload = self.run(move |disk| LocalUpload::start(Arc::clone(disk), target)).await?;
        Ok(Box::new(upload))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        if options.version.is_some() {
            return Err(self.refuse("`get_opts` with a version"));
        }
        let path = self.disk.file_of(location)?;
        let location = location.clone();
        let (found, range, first) = self
            .run(move |disk| {
                let found = disk.find(path, location)?;
                options.check_preconditions(&found.meta)?;
                let size = found.meta.size;
                let range = match &options.range {
                    Some(range) => range.as_range(size).map_err(crate::error::generic)?,
                    None => 0..size,
                };
                let first = match range.end - range.start {
                    _ if options.head => Some(Bytes::new()),
                    len if len <= WHOLE_READ_MAX_BYTES => Some(found.read(range.clone())?),
                    _ => None,
                };
                Ok((found, range, first))
            })
            .await?;
        let meta = found.meta.clone();
        let payload = match first {
            Some(bytes) => stream::iter((!bytes.is_empty()).then_some(Ok(bytes))).boxed(),
            None => chunks(found, range.clone()),
        };
        Ok(GetResult { payload: GetResultPayload::Stream(payload), meta, range, attributes: Attributes::default() })
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let path = self.disk.file_of(location)?;
        let (location, ranges) = (location.clone(), ranges.to_vec());
        self.run(move |disk| {
            let found = disk.find(path, location)?;
            ranges.into_iter().map(|range| found.read(range)).collect()
        })
        .await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        locations
            .map(move |location| {
                let store = store.clone();
                async move {
                    let location = location?;
                    let path = store.disk.file_of(&location)?;
                    store.run(move |disk| disk.delete(&path)).await?;
                    Ok(location)
                }
            })
            .buffered(DELETE_PARALLEL)
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.walk(prefix, None)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.walk(prefix, Some(offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let prefix = prefix.cloned().unwrap_or_default();
        self.run(move |disk| list::one_level(disk, &prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let (from, to) = (self.disk.file_of(from)?, self.disk.file_of(to)?);
        self.run(move |disk| disk.copy(&from, &to, options.mode)).await
    }

    /// Copies, then removes the source: after a power cut between the two both names exist, never neither.
    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        let mode = match options.target_mode {
            RenameTargetMode::Overwrite => CopyMode::Overwrite,
            RenameTargetMode::Create => CopyMode::Create,
        };
        let (from, to) = (self.disk.file_of(from)?, self.disk.file_of(to)?);
        self.run(move |disk| {
            disk.copy(&from, &to, mode)?;
            match from == to {
                true => Ok(()),
                false => disk.delete(&from),
            }
        })
        .await
    }
}

/// The bytes of `range` in pieces; each is read when the one before was taken.
fn chunks<L: FileLayer>(found: Found<L>, range: Range<u64>) -> BoxStream<'static, Result<Bytes>> {
    stream::try_unfold((Arc::new(found), range), |(found, rest)| async move {
        if rest.is_empty() {
            return Ok(None);
        }
        let piece = rest.start..rest.end.min(rest.start + READ_CHUNK_BYTES);
        let rest = piece.end..rest.end;
        let file = Arc::clone(&found);
        let bytes = blocking(move || file.read(piece)).await?;
        Ok(Some((bytes, (found, rest))))
    })
    .boxed()
}

impl<L: FileLayer> Clone for LocalStore<L> {
    fn clone(&self) -> Self {
        Self { disk: Arc::clone(&self.disk) }
    }
}

impl<L: FileLayer> fmt::Display for LocalStore<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LocalStore({})", self.root().display())
    }
}

impl<L: FileLayer> fmt::Debug for LocalStore<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalStore").field("root", &self.root()).field("failure", &self.failure()).finish()
    }
}
