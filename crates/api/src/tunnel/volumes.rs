//! Files of volumes with partitions: upload sessions of many files, and downloads of one.

use std::ops::Range;

use axum::http::StatusCode;
use feitian_base::{Error, Kind, Result, clock, id};
use feitian_meta::rows::{ObjectName, Session};
use feitian_meta::{PARTED_VOLUME, Volume, VolumeEntry};
use serde_json::json;

use super::permit::StreamPermit;
use super::volume_body;
use crate::answers;
use crate::call::{Answer, Call};
use crate::odps::volume_items::check_path;
use crate::odps::volumes::{ask, check_kind};
use crate::rights::{Object, Right};

/// Sessions that write, into a partition or one file.
pub(super) const UPLOAD: &str = "volume_upload";
/// Sessions that read one file.
const DOWNLOAD: &str = "volume_download";
/// A session may be used this long.
const SESSION_MS: i64 = 24 * 3600 * 1000;

const READ: Right = Right::Object("odps:Read", Object::Volume);
const WRITE: Right = Right::Changes("odps:Write", Object::Volume);

fn invalid(message: String) -> Error {
    Error::new(Kind::Invalid, "InvalidParameter", message)
}

/// What `target` names, `project/volume/partition/file`: the volume, the partition, and the file, which is empty for
/// uploads.
async fn target(call: &Call, right: Right) -> Result<(Volume, String, String)> {
    match call.query.get("type") {
        Some("volumefile") => {}
        other => {
            let kind = other.unwrap_or_default();
            return Err(Error::unsupported(format!("sessions of type '{kind}' are not supported, only volumefile")));
        }
    }
    let text = call.query.need("target")?;
    let wrong = || invalid(format!("target must be project/volume/partition/file, not '{text}'"));
    let mut parts = text.splitn(4, '/');
    let mut part = || parts.next().ok_or_else(wrong);
    let (project, name, partition, file) = (part()?.to_lowercase(), part()?.to_lowercase(), part()?, part()?);
    if project != call.project() {
        return Err(invalid(format!("target '{text}' is not in project '{}', which the path names", call.project())));
    }
    check_path(partition)?;
    let at = ObjectName { project, schema_name: call.schema().to_string(), name };
    ask(call, right, &at).await?;
    let volume = call.state.meta.volume(&at).await?;
    check_kind(&volume, PARTED_VOLUME)?;
    Ok((volume, partition.to_string(), file.to_string()))
}

/// A session that is not there yet.
pub(super) fn new_session(call: &Call, kind: &str, volume: &Volume, path: String) -> Result<Session> {
    let now = clock::now_ms();
    Ok(Session {
        id: id::ulid(),
        kind: kind.to_string(),
        project: call.project().to_string(),
        table_id: volume.id.clone(),
        schema_version: 0,
        log_version: -1,
        partition: path,
        overwrite: false,
        status: "normal".to_string(),
        owner: call.caller()?.name.clone(),
        record_count: 0,
        created_ms: now,
        expires_ms: now + SESSION_MS,
        options: String::new(),
    })
}

/// The session of this kind and id, and its volume.
pub(super) async fn find(call: &Call, kind: &str, id: &str) -> Result<(Session, Volume)> {
    let code = if kind == UPLOAD { "NoSuchUpload" } else { "NoSuchDownload" };
    let missing = || Error::new(Kind::NotFound, code, format!("{kind} session '{id}' does not exist"));
    let session = call.state.meta.session(id).await?.ok_or_else(missing)?;
    if session.kind != kind || session.project != call.project() || session.expires_ms < clock::now_ms() {
        return Err(missing());
    }
    let volume = call.state.meta.volume_by_id(&session.table_id).await?.ok_or_else(missing)?;
    Ok((session, volume))
}

/// The upload session that the path names, of a volume with partitions in which the caller may write.
async fn upload(call: &Call) -> Result<(Session, Volume)> {
    let (session, volume) = find(call, UPLOAD, call.segment("upload")).await?;
    ask(call, WRITE, &volume.at).await?;
    check_kind(&volume, PARTED_VOLUME)?;
    Ok((session, volume))
}

async fn upload_document(call: &Call, session: &Session, status: &str) -> Answer {
    let files = call.state.meta.volume_session_files(&session.id).await?;
    let file = |file: &VolumeEntry| json!({ "FileName": file.name, "FileLength": file.num_bytes });
    let files: Vec<_> = files.iter().map(file).collect();
    answers::json(&json!({ "UploadID": session.id, "Status": status, "FileList": files }))
}

pub async fn create_upload(call: Call) -> Answer {
    let (volume, partition, file) = target(&call, WRITE).await?;
    if !file.is_empty() {
        return Err(invalid(format!("the target of an upload ends with its partition, not with '{file}'")));
    }
    let session = new_session(&call, UPLOAD, &volume, partition)?;
    call.state.meta.open_volume_session(&session, None).await?;
    upload_document(&call, &session, &session.status).await
}

pub async fn upload_status(call: Call) -> Answer {
    let (session, _) = upload(&call).await?;
    upload_document(&call, &session, &session.status).await
}

/// Writes a file of the session, in place of one that had its name. It is in the volume once the session is committed.
pub async fn write(call: Call) -> Answer {
    if call.query.has("resume") {
        let message = "query parameter 'resume' is not supported by WriteVolumeFile; write the whole file again";
        return Err(Error::unsupported(message));
    }
    let (session, _) = upload(&call).await?;
    if session.status != "normal" {
        let message = format!("upload session '{}' is {}; open a new one", session.id, session.status);
        return Err(Error::new(Kind::Conflict, "StatusConflict", message));
    }
    let name = call.query.need("blockid")?.to_string();
    check_path(&format!("{}/{name}", session.partition))?;
    let (parent, owner) = (session.partition.clone(), call.caller()?.name.clone());
    let file = VolumeEntry { parent, name, replication: 1, owner, ..VolumeEntry::default() };
    let _permit = StreamPermit::acquire(&call.state).await?;
    let (bytes, pump) = volume_body::content(&call)?;
    let (written, ()) = tokio::join!(call.state.warehouse.put_volume_file(&session, false, file, bytes), pump);
    written?;
    answers::empty(StatusCode::OK)
}

/// Puts the files of a session into its partition, once. A second commit answers as the first.
pub async fn commit(call: Call) -> Answer {
    let (session, _) = upload(&call).await?;
    call.state.warehouse.commit_volume_upload(&session, &session.partition).await?;
    upload_document(&call, &session, "closed").await
}

fn download_document(session: &Session, volume: &Volume, file: &VolumeEntry) -> Answer {
    answers::json(&json!({
        "DownloadID": session.id,
        "Status": session.status,
        "File": { "FileName": file.name, "FileLength": file.num_bytes },
        "Partition": { "Volume": volume.at.name, "Partition": file.parent },
    }))
}

pub async fn create_download(call: Call) -> Answer {
    let (volume, partition, name) = target(&call, READ).await?;
    let path = format!("{partition}/{name}");
    check_path(&path)?;
    let session = new_session(&call, DOWNLOAD, &volume, path)?;
    let file = call.state.meta.open_volume_download(&session, &partition, &name).await?;
    download_document(&session, &volume, &file)
}

/// The download session that the path names, and its file.
async fn download(call: &Call) -> Result<(Session, Volume, VolumeEntry)> {
    let id = call.segment("download");
    let (session, volume) = find(call, DOWNLOAD, id).await?;
    ask(call, READ, &volume.at).await?;
    let file = call.state.meta.volume_session_files(&session.id).await?.into_iter().next();
    // Its file goes when the session's time has come.
    let over = || Error::new(Kind::NotFound, "NoSuchDownload", format!("download session '{id}' is over"));
    Ok((session, volume, file.ok_or_else(over)?))
}

pub async fn download_status(call: Call) -> Answer {
    let (session, volume, file) = download(&call).await?;
    download_document(&session, &volume, &file)
}

/// `range=(start,length)`, cut at the end of the content.
fn range(text: Option<&str>, size: u64) -> Result<Range<u64>> {
    let Some(text) = text else { return Ok(0..size) };
    let wrong = || invalid(format!("range must be (start,length) with two whole numbers, not '{text}'"));
    let inner = text.trim().strip_prefix('(').and_then(|t| t.strip_suffix(')')).ok_or_else(wrong)?;
    let (start, length) = inner.split_once(',').ok_or_else(wrong)?;
    let number = |text: &str| text.trim().parse::<u64>().map_err(|_| wrong());
    let (start, length) = (number(start)?.min(size), number(length)?);
    Ok(start..start.saturating_add(length).min(size))
}

pub async fn read(call: Call) -> Answer {
    let (_, _, file) = download(&call).await?;
    let wanted = range(call.query.get("range"), file.num_bytes.unsigned_abs())?;
    let bytes = call.state.warehouse.read_volume_file(&file, wanted).await?;
    volume_body::respond(&call, bytes).await
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    // PyODPS sends sys.maxsize for the whole file: odps/tunnel/volumetunnel.py.
    #[test]
    fn a_range_is_cut_at_the_end_of_the_content() {
        for (text, wanted) in
            [(None, 0..10), (Some("(0,9223372036854775807)"), 0..10), (Some("(4, 3)"), 4..7), (Some("(99,1)"), 10..10)]
        {
            assert_eq!(range(text, 10).unwrap(), wanted);
        }
        for text in ["", "0,1", "(0)", "(-1,2)", "(0,x)"] {
            assert_eq!(range(Some(text), 10).unwrap_err().code(), "InvalidParameter", "{text}");
        }
    }
}
