//! Resources: files that clients upload for their functions, and references to tables and files of volumes.
//!
//! 1. The bytes are written under a name that nobody knows, and are durable.
//! 2. The row names them, in one transaction with the parts that they were made of. A crash before it leaves a file that
//!    collection removes; after it, the resource is there.
//!
//! A file is never written again: a new content is a new file, so that whoever reads the old one reads it to its end.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use feitian_base::{Error, Kind, Result, clock, failpoint, id};
use feitian_meta::{ObjectName, Resource};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use md5::{Digest, Md5};
use object_store::path::Path;
use object_store::{GetOptions, GetRange, MultipartUpload, ObjectStore, ObjectStoreExt, PutPayload};

use crate::Warehouse;
use crate::log::store_error;

/// The folder of files.
pub(crate) const RESOURCES: &str = "resources";
/// MaxCompute documents 2 GB for the largest resource.
const MAX_BYTES: i64 = 2 << 30;
/// Files are handed to the store in parts of this size.
const PART_BYTES: usize = 8 << 20;

/// A content as it arrives or leaves.
pub type ByteStream = BoxStream<'static, Result<Bytes>>;

/// A resource to write.
#[derive(Debug, Clone)]
pub struct NewResource {
    pub at: ObjectName,
    /// `file`, `py`, `jar`, `archive`, `table`, `volumefile` or `volumearchive`.
    pub kind: String,
    pub is_temp: bool,
    pub comment: String,
}

/// What is in it.
pub enum ResourceContent {
    Bytes(ByteStream),
    /// The contents of these resources, one after the other; they go. `md5` (hex) and the size must be right.
    Parts {
        md5: String,
        names: Vec<String>,
        num_bytes: Option<u64>,
    },
    /// What it refers to, as the client wrote it.
    Reference(String),
}

/// A file that is durable and that no row names yet.
#[derive(Default)]
struct Written {
    path: String,
    num_bytes: i64,
    md5: String,
}

impl Warehouse {
    /// Writes a resource: a new one, or over the one of that name. Durable when this returns.
    ///
    /// # Errors
    /// `ObjectAlreadyExists` for a new one whose name is taken, `NoSuchObject` for one to be written over that is not
    /// there, `InvalidParameter` for parts that do not have the size and checksum that they should.
    pub async fn put_resource(
        &self,
        owner: &str,
        new: NewResource,
        content: ResourceContent,
        overwrite: bool,
    ) -> Result<Resource> {
        let at = &new.at;
        let known = self.meta.resource(at).await?;
        match &known {
            Some(_) if !overwrite => {
                let text = format!("resource '{}' exists already; update it instead", at.name);
                return Err(Error::new(Kind::Conflict, "ObjectAlreadyExists", text));
            }
            None if overwrite => return Err(no_such_resource(at)),
            _ => {}
        }
        let mut source = String::new();
        let mut parts = Vec::new();
        failpoint::hit("resource.before_file");
        let written = match content {
            ResourceContent::Bytes(bytes) => self.write_resource(&at.project, bytes).await?,
            ResourceContent::Reference(to) => {
                source = to;
                Written::default()
            }
            ResourceContent::Parts { md5, names, num_bytes } => {
                match self.parts(at, &names).await {
                    Ok(rows) => parts = rows,
                    // The answer to the same request was lost: the parts are in the resource already.
                    Err(e) => match known {
                        Some(row) if row.md5.eq_ignore_ascii_case(&md5) => return Ok(row),
                        _ => return Err(e),
                    },
                }
                self.join_parts(at, &parts, &md5, num_bytes).await?
            }
        };
        let now = clock::tick_ms();
        let row = Resource {
            at: at.clone(),
            kind: new.kind,
            owner: known.as_ref().map_or_else(|| owner.to_string(), |k| k.owner.clone()),
            updator: owner.to_string(),
            is_temp: new.is_temp,
            num_bytes: written.num_bytes,
            md5: written.md5,
            path: written.path,
            source,
            comment: new.comment,
            created_ms: known.map_or(now, |k| k.created_ms),
            modified_ms: now,
        };
        let parts: Vec<(String, String)> = parts.into_iter().map(|p| (p.at.name, p.path)).collect();
        failpoint::hit("resource.before_row");
        match overwrite {
            true => self.meta.update_resource(&row, &parts).await?,
            false => self.meta.create_resource(&row, &parts).await?,
        }
        failpoint::hit("resource.after_row");
        Ok(row)
    }

    /// The bytes of a resource that has some; `range` must lie inside it.
    pub async fn read_resource(&self, resource: &Resource, range: Range<u64>) -> Result<ByteStream> {
        if resource.path.is_empty() {
            let text =
                format!("resource '{}' is a reference to '{}': it has no content", resource.at.name, resource.source);
            return Err(Error::new(Kind::Invalid, "InvalidParameter", text));
        }
        self.read_content(&resource.path, range).await
    }

    /// The bytes of a content; `range` must lie inside it.
    pub(crate) async fn read_content(&self, path: &str, range: Range<u64>) -> Result<ByteStream> {
        if range.is_empty() {
            return Ok(futures::stream::empty().boxed());
        }
        let options = GetOptions { range: Some(GetRange::Bounded(range)), ..GetOptions::default() };
        let found = self.catalog.store().get_opts(&Path::from(path), options).await.map_err(store_error)?;
        Ok(found.into_stream().map_err(store_error).boxed())
    }

    async fn parts(&self, at: &ObjectName, names: &[String]) -> Result<Vec<Resource>> {
        let mut rows = Vec::with_capacity(names.len());
        for name in names {
            let part = ObjectName { name: name.clone(), ..at.clone() };
            let row = self.meta.resource(&part).await?;
            rows.push(row.filter(|r| !r.path.is_empty()).ok_or_else(|| no_such_resource(&part))?);
        }
        Ok(rows)
    }

    async fn join_parts(
        &self,
        at: &ObjectName,
        parts: &[Resource],
        md5: &str,
        num_bytes: Option<u64>,
    ) -> Result<Written> {
        let warehouse = self.clone();
        let contents = futures::stream::iter(parts.to_vec()).then(move |part| {
            let warehouse = warehouse.clone();
            async move { warehouse.read_resource(&part, 0..part.num_bytes.unsigned_abs()).await }
        });
        let written = self.write_resource(&at.project, contents.try_flatten().boxed()).await?;
        let has = written.num_bytes.unsigned_abs();
        if num_bytes.is_some_and(|wanted| wanted != has) || !written.md5.eq_ignore_ascii_case(md5) {
            let wanted = num_bytes.map_or_else(String::new, |n| format!("{n} bytes and "));
            let text = format!(
                "the parts of resource '{}' have {has} bytes and MD5 {}, not {wanted}MD5 {md5}; upload them again",
                at.name, written.md5
            );
            return Err(Error::new(Kind::Invalid, "InvalidParameter", text));
        }
        Ok(written)
    }

    async fn write_resource(&self, project: &str, bytes: ByteStream) -> Result<Written> {
        let (mut md5, mut seen) = (Md5::new(), 0);
        let look = |piece: &Bytes| {
            md5.update(piece);
            seen += piece.len() as i64;
            match seen > MAX_BYTES {
                true => {
                    let text = format!("a resource has at most {MAX_BYTES} bytes");
                    Err(Error::new(Kind::Invalid, "InvalidParameter", text))
                }
                false => Ok(()),
            }
        };
        let (path, num_bytes) = self.write_content(RESOURCES, project, bytes, look).await?;
        Ok(Written { path, num_bytes, md5: md5.finalize().iter().map(|b| format!("{b:02x}")).collect() })
    }

    /// Writes the bytes as one file in `folder` that nobody knows, and returns its path and size; durable when this returns,
    /// and nothing is left on an error. `look` sees every piece.
    pub(crate) async fn write_content(
        &self,
        folder: &str,
        project: &str,
        bytes: ByteStream,
        look: impl FnMut(&Bytes) -> Result<()> + Send,
    ) -> Result<(String, i64)> {
        let path = format!("{folder}/{project}/{}", id::ulid());
        let mut upload = self.catalog.store().put_multipart(&Path::from(path.as_str())).await.map_err(store_error)?;
        match copy(bytes, upload.as_mut(), look).await {
            Ok(num_bytes) => {
                upload.complete().await.map_err(store_error)?;
                Ok((path, num_bytes))
            }
            Err(e) => {
                // What is left of a failed abort is collected.
                let _ = upload.abort().await;
                Err(e)
            }
        }
    }
}

/// Hands the bytes to `upload` in parts; returns how many they were.
async fn copy(
    mut bytes: ByteStream,
    upload: &mut dyn MultipartUpload,
    mut look: impl FnMut(&Bytes) -> Result<()> + Send,
) -> Result<i64> {
    let mut num_bytes = 0;
    let mut part = BytesMut::new();
    while let Some(piece) = bytes.try_next().await? {
        look(&piece)?;
        num_bytes += piece.len() as i64;
        part.extend_from_slice(&piece);
        if part.len() >= PART_BYTES {
            upload.put_part(PutPayload::from_bytes(part.split().freeze())).await.map_err(store_error)?;
        }
    }
    if !part.is_empty() {
        upload.put_part(PutPayload::from_bytes(part.freeze())).await.map_err(store_error)?;
    }
    Ok(num_bytes)
}

fn no_such_resource(at: &ObjectName) -> Error {
    let local = feitian_meta::local_name(&at.schema_name, &at.name);
    Error::new(Kind::NotFound, "NoSuchObject", format!("Resource not found - '{}.{local}'", at.project))
}
