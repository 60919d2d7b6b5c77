//! Files of volumes: contents that clients upload and that rows name.
//!
//! 1. The bytes are written under a name that nobody knows, and are durable.
//! 2. A row names them as a file of the upload session. A crash before it leaves a content that collection removes; after
//!    it, the content stays as long as the session.
//! 3. The commit hands the session's rows to the volume, in one transaction that closes the session. A second commit finds
//!    it closed.
//!
//! A content is never written again: a file that is written over gets another one, so that whoever reads the old one reads
//! it to its end; the row of a download session keeps it from collection. No name that a user chose becomes a path.

use std::ops::Range;

use feitian_base::{Result, clock, failpoint};
use feitian_meta::{Session, VolumeEntry};

use crate::Warehouse;
use crate::resources::ByteStream;

/// The folder of contents.
pub(crate) const VOLUMES: &str = "volumes";

impl Warehouse {
    /// Writes the bytes as the content of `file`, a file of the upload session `session`, and returns the file with its size;
    /// if `opens`, the session is opened with it. Durable when this returns.
    ///
    /// # Errors
    /// `NoSuchObject` when the volume or the session is not there, `StatusConflict` for a session that is over.
    pub async fn put_volume_file(
        &self,
        session: &Session,
        opens: bool,
        file: VolumeEntry,
        bytes: ByteStream,
    ) -> Result<VolumeEntry> {
        failpoint::hit("volume.before_file");
        // 1.
        let (object, num_bytes) = self.write_content(VOLUMES, &session.project, bytes, |_| Ok(())).await?;
        failpoint::hit("volume.before_row");
        // 2.
        let now = clock::now_ms();
        let file = VolumeEntry {
            volume_id: session.id.clone(),
            is_dir: false,
            num_bytes,
            object,
            created_ms: now,
            modified_ms: now,
            ..file
        };
        match opens {
            true => self.meta.open_volume_session(session, Some(&file)).await?,
            false => self.meta.put_volume_file(&file).await?,
        }
        failpoint::hit("volume.after_row");
        Ok(file)
    }

    /// Puts the session's files into `dir` of its volume, once; a second call finds it done.
    ///
    /// # Errors
    /// `NoSuchUpload` without the session, `NoSuchObject` without the volume, `StatusConflict` for a session that has
    /// expired, `ObjectAlreadyExists` for a name that a directory has by now.
    pub async fn commit_volume_upload(&self, session: &Session, dir: &str) -> Result<()> {
        failpoint::hit("volume.before_commit");
        // 3.
        self.meta.commit_volume_session(session, dir, clock::tick_ms()).await?;
        failpoint::hit("volume.after_commit");
        Ok(())
    }

    /// The bytes of a file; `range` must lie inside it.
    pub async fn read_volume_file(&self, file: &VolumeEntry, range: Range<u64>) -> Result<ByteStream> {
        self.read_content(&file.object, range).await
    }
}
