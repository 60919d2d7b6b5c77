//! A multipart upload: parts go to their offsets in one temporary file, which gets its name at the end.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use futures::FutureExt;
use object_store::{CopyMode, MultipartUpload, PutPayload, PutResult, UploadPart};

use super::blocking;
use super::disk::Disk;
use super::write::Staged;
use crate::error::{Result, failed, generic};
use crate::layer::FileLayer;

/// One upload. It overwrites what its target names, at [`MultipartUpload::complete`] and not before; dropped or
/// aborted it leaves nothing.
#[derive(Debug)]
pub(super) struct LocalUpload<L: FileLayer> {
    state: Option<Arc<State<L>>>,
    /// Where the next part goes: the total length of all parts so far, in bytes.
    offset: u64,
}

#[derive(Debug)]
struct State<L: FileLayer> {
    disk: Arc<Disk<L>>,
    staged: Staged<L>,
    target: PathBuf,
    /// Bytes of the parts that were written whole.
    written: AtomicU64,
}

impl<L: FileLayer> LocalUpload<L> {
    /// Creates the temporary file; blocks.
    pub(super) fn start(disk: Arc<Disk<L>>, target: PathBuf) -> Result<Self> {
        let staged = disk.stage(&target)?;
        let state = State { disk, staged, target, written: AtomicU64::new(0) };
        Ok(Self { state: Some(Arc::new(state)), offset: 0 })
    }
}

#[async_trait]
impl<L: FileLayer> MultipartUpload for LocalUpload<L> {
    /// Takes the next place in the file, in the order of the calls; the futures may run in any order.
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let offset = self.offset;
        let len = data.content_length() as u64;
        self.offset += len;
        let Some(state) = self.state.clone() else {
            return async { Err(finished()) }.boxed();
        };
        blocking(move || {
            state.disk.check()?;
            state.disk.check_room(&state.target, len)?;
            state.staged.write(&data, offset).map_err(|e| failed("write a part of", &state.target, e))?;
            state.written.fetch_add(len, Ordering::SeqCst);
            Ok(())
        })
        .boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let state = self.state.take().ok_or_else(finished)?;
        let expected = self.offset;
        blocking(move || {
            let publish = || {
                state.disk.check()?;
                let written = state.written.load(Ordering::SeqCst);
                if written != expected {
                    let target = state.target.display();
                    return Err(generic(format!(
                        "upload of {target} cannot complete: {written} of {expected} bytes are written; wait for \
                         every part and repeat the upload if one failed"
                    )));
                }
                state.disk.publish_file(&state.staged, &state.target, CopyMode::Overwrite)
            };
            let result = publish();
            // Here and not by the last owner of `state`: a part that is still held must not keep the file.
            let _ = state.staged.temp.remove();
            result
        })
        .await
    }

    async fn abort(&mut self) -> Result<()> {
        let state = self.state.take().ok_or_else(finished)?;
        blocking(move || state.staged.temp.remove().map_err(|e| failed("remove", state.staged.temp.path(), e))).await
    }
}

impl<L: FileLayer> Drop for LocalUpload<L> {
    fn drop(&mut self) {
        let Some(state) = self.state.take() else { return };
        let remove = move || drop(state.staged.temp.remove());
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(remove)),
            Err(_) => remove(),
        }
    }
}

fn finished() -> object_store::Error {
    generic("the upload was completed or aborted before")
}
