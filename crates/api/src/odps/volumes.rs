//! Volumes, and the partitions of those that have some. What is in volumes with directories is for [`volume_items`].

use axum::http::StatusCode;
use feitian_base::{Error, Kind, Result, clock, id};
use feitian_meta::rows::{DEFAULT_SCHEMA, ObjectName};
use feitian_meta::{FS_VOLUME, PARTED_VOLUME, Volume, VolumeEntry};
use feitian_wire::xml::{docs, parse_volume};

use super::volume_items;
use crate::answers;
use crate::call::{Answer, Call, IN_SCHEMA};
use crate::rights::{Right, authorize};

const PAGE: usize = 1000;
/// As for tables.
const MAX_NAME: usize = 128;
/// As for tables. A page of volumes holds the comments of all.
const MAX_COMMENT: usize = 1024;

fn invalid(message: String) -> Error {
    Error::new(Kind::Invalid, "InvalidParameter", message)
}

/// The volume that the path names.
pub(crate) async fn named(call: &Call) -> Result<Volume> {
    call.state.meta.volume(&call.object("volume")).await
}

/// Refuses a volume of the other kind than an operation is for.
pub(crate) fn check_kind(volume: &Volume, wanted: &str) -> Result<()> {
    if volume.kind == wanted {
        return Ok(());
    }
    let has = if volume.kind == FS_VOLUME { "directories, not partitions" } else { "partitions, not directories" };
    Err(invalid(format!("volume '{}' has {has}", volume.at.name)))
}

/// Asks for a right on a volume that the path of the request does not name.
pub(crate) async fn ask(call: &Call, right: Right, at: &ObjectName) -> Result<()> {
    let mut path = call.path.clone();
    path.0.retain(|(name, _)| *name != IN_SCHEMA);
    path.0.push(("volume", at.name.clone()));
    if at.schema_name != DEFAULT_SCHEMA {
        path.0.push((IN_SCHEMA, at.schema_name.clone()));
    }
    authorize(&call.state.meta, &call.identity, right, &path).await
}

fn document(volume: Volume, size: Option<(i64, i64)>) -> docs::Volume {
    docs::Volume {
        name: volume.at.name,
        owner: volume.owner,
        comment: volume.comment,
        kind: volume.kind,
        size: size.map(|(files, bytes)| (bytes.unsigned_abs(), files.unsigned_abs())),
        created_ms: volume.created_ms,
        modified_ms: volume.modified_ms,
    }
}

fn partition_document(partition: VolumeEntry, size: Option<(i64, i64)>) -> docs::Volume {
    docs::Volume {
        name: partition.name,
        owner: partition.owner,
        comment: String::new(),
        kind: PARTED_VOLUME.to_string(),
        size: size.map(|(files, bytes)| (bytes.unsigned_abs(), files.unsigned_abs())),
        created_ms: partition.created_ms,
        modified_ms: partition.modified_ms,
    }
}

pub async fn list(call: Call) -> Answer {
    let (schema, size) = (call.known_schema().await?, call.page_size(PAGE)?);
    let prefix = call.query.get("name").unwrap_or_default().to_lowercase();
    let filter = (prefix.as_str(), call.query.get("owner"));
    let (meta, marker) = (&call.state.meta, call.query.get("marker"));
    let mut found = meta.list_volumes(call.project(), schema, filter, marker, size as i64 + 1).await?;
    let next = (found.len() > size).then(|| found[size - 1].at.name.clone());
    found.truncate(size);
    let items: Vec<_> = found.into_iter().map(|volume| document(volume, None)).collect();
    answers::xml(docs::volumes(&items, &docs::Page { marker: next, max_items: Some(size as u64) }))
}

fn check_name(name: &str) -> Result<()> {
    let is_plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    if name.is_empty() || name.len() > MAX_NAME || !is_plain {
        let rule = format!("at most {MAX_NAME} letters, digits, underscores and hyphens");
        return Err(invalid(format!("invalid volume name '{name}': a name has {rule}")));
    }
    Ok(())
}

pub async fn create(call: Call) -> Answer {
    let request = parse_volume(&call.document().await?)?;
    if let Some(flag) = ["autoMkDir", "accelerate"].into_iter().find(|flag| call.query.has(flag)) {
        let message = format!("query parameter '{flag}' is for external volumes, which are not supported");
        return Err(Error::unsupported(message));
    }
    let name = request.name.to_lowercase();
    check_name(&name)?;
    if request.comment.len() > MAX_COMMENT {
        let has = request.comment.len();
        return Err(invalid(format!("a comment has at most {MAX_COMMENT} bytes, this one has {has}")));
    }
    let now = clock::tick_ms();
    let volume = Volume {
        id: id::ulid(),
        at: ObjectName { project: call.project().to_string(), schema_name: call.schema().to_string(), name },
        kind: request.kind,
        owner: call.caller()?.name.clone(),
        comment: request.comment,
        created_ms: now,
        modified_ms: now,
    };
    call.state.meta.create_volume(&volume).await?;
    answers::empty(StatusCode::CREATED)
}

/// `?meta`: the volume, or what the header names in it.
pub async fn meta(call: Call) -> Answer {
    call.refuse_parameters(&["sign_url", "expire_seconds"])?;
    let volume = named(&call).await?;
    if volume_items::is_named(&call) {
        return volume_items::get(&call, &volume).await;
    }
    let size = call.state.meta.volume_size(&volume.id, None).await?;
    answers::xml(docs::volume(&document(volume, Some(size))))
}

/// The partitions of a volume, or what is in a directory.
pub async fn items(call: Call) -> Answer {
    let volume = named(&call).await?;
    if volume.kind == FS_VOLUME {
        return volume_items::list(&call, &volume).await;
    }
    if volume_items::is_named(&call) {
        check_kind(&volume, FS_VOLUME)?;
    }
    let (items, page) = entries(&call, &volume, "").await?;
    let items: Vec<_> = items.into_iter().map(|partition| partition_document(partition, None)).collect();
    answers::xml(docs::volume_partitions(&items, &page))
}

/// A page of what is in a directory or partition.
pub(crate) async fn entries(call: &Call, volume: &Volume, parent: &str) -> Result<(Vec<VolumeEntry>, docs::Page)> {
    let size = call.page_size(PAGE)?;
    let filter = (call.query.get("name").unwrap_or_default(), call.query.get("owner"));
    let (meta, marker) = (&call.state.meta, call.query.get("marker"));
    let mut found = meta.list_volume_entries((volume.id.as_str(), parent), filter, marker, size as i64 + 1).await?;
    let marker = (found.len() > size).then(|| found[size - 1].name.clone());
    found.truncate(size);
    Ok((found, docs::Page { marker, max_items: Some(size as u64) }))
}

/// The volume and the partition that the path names.
async fn named_partition(call: &Call) -> Result<(Volume, VolumeEntry)> {
    let volume = named(call).await?;
    check_kind(&volume, PARTED_VOLUME)?;
    let part = call.segment("part");
    match call.state.meta.volume_entry(&volume.id, "", part).await? {
        Some(partition) => Ok((volume, partition)),
        None => {
            let message = format!("Volume partition not found - '{}/{part}'", volume.at.name);
            Err(Error::new(Kind::NotFound, "NoSuchObject", message))
        }
    }
}

/// A partition, with the number and bytes of its files.
pub async fn partition(call: Call) -> Answer {
    let (volume, partition) = named_partition(&call).await?;
    let size = call.state.meta.volume_size(&volume.id, Some(&partition.name)).await?;
    answers::xml(docs::volume(&partition_document(partition, Some(size))))
}

/// `?path=`: the files of a partition.
pub async fn files(call: Call) -> Answer {
    call.refuse_parameters(&["path"])?;
    let (volume, partition) = named_partition(&call).await?;
    let (files, page) = entries(&call, &volume, &partition.name).await?;
    answers::xml(docs::volume_files(files.iter().map(|file| file.name.as_str()), &page))
}

/// Removes a partition with its files.
pub async fn delete_partition(call: Call) -> Answer {
    let (volume, partition) = named_partition(&call).await?;
    call.state.meta.remove_volume_entry(&volume.id, &partition.name, true, clock::tick_ms()).await?;
    answers::empty(StatusCode::OK)
}

/// Drops a volume with everything in it, or removes what the header names in it.
pub async fn delete(call: Call) -> Answer {
    if volume_items::is_named(&call) {
        let volume = named(&call).await?;
        return volume_items::delete(&call, &volume).await;
    }
    call.state.meta.drop_volume(&call.object("volume")).await?;
    answers::empty(StatusCode::OK)
}
