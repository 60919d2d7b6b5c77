//! Files of volumes with directories: a header names them. A write is a session of one file, which a second request commits.

use std::ops::Range;

use axum::http::StatusCode;
use feitian_base::{Error, Kind, Result};
use feitian_meta::{Volume, VolumeEntry, split_volume_path};

use super::permit::StreamPermit;
use super::volume_body;
use super::volumes::{UPLOAD, find, new_session};
use crate::answers::{self, set_header};
use crate::call::{Answer, Call};
use crate::odps::volume_items::{entry, inner_path};
use crate::odps::volumes::named;

const SESSION: &str = "x-odps-volume-sessionid";

fn invalid(message: String) -> Error {
    Error::new(Kind::Invalid, "InvalidParameter", message)
}

/// `Range: bytes=first-last`, cut at the end of the content. PyODPS asks for nothing with `bytes=0--1`.
fn range(text: &str, size: u64) -> Result<Range<u64>> {
    let wrong = || invalid(format!("header Range must be bytes=first-last, not '{text}'"));
    let (first, last) = text.trim().strip_prefix("bytes=").and_then(|t| t.split_once('-')).ok_or_else(wrong)?;
    let first = first.parse::<u64>().map_err(|_| wrong())?;
    let end = match last {
        "" => size,
        "-1" if first == 0 => 0,
        last => last.parse::<u64>().map_err(|_| wrong())?.saturating_add(1),
    };
    let end = end.min(size);
    Ok(first.min(end)..end)
}

pub async fn read(call: Call) -> Answer {
    let volume = named(&call).await?;
    let path = inner_path(&call, &volume)?;
    let file = entry(&call, &volume, &path).await?;
    if file.is_dir {
        return Err(invalid(format!("'/{}/{path}' is a directory", volume.at.name)));
    }
    let size = file.num_bytes.unsigned_abs();
    let wanted = call.header("range").map_or(Ok(0..size), |text| range(text, size))?;
    let bytes = call.state.warehouse.read_volume_file(&file, wanted).await?;
    volume_body::respond(&call, bytes).await
}

/// `replication`: how many copies the client wants.
fn replication(call: &Call) -> Result<i64> {
    match call.query.number("replication")? {
        None => Ok(1),
        Some(count) => match i64::try_from(count).ok().filter(|n| (1..=32_767).contains(n)) {
            Some(count) => Ok(count),
            None => Err(invalid(format!("replication must be 1 to 32767, not {count}"))),
        },
    }
}

/// Refuses early what the commit would refuse.
async fn check_place(call: &Call, volume: &Volume, path: &str) -> Result<()> {
    let (parent, name) = split_volume_path(path);
    match call.state.meta.volume_entry(&volume.id, parent, name).await? {
        Some(found) if found.is_dir => {
            let message = format!("'/{}/{path}' is a directory and cannot become a file", volume.at.name);
            Err(Error::new(Kind::Conflict, "ObjectAlreadyExists", message))
        }
        _ => Ok(()),
    }
}

/// Writes the content; the file is there once the session in the answer is committed.
pub async fn write(call: Call) -> Answer {
    let volume = named(&call).await?;
    let path = inner_path(&call, &volume)?;
    check_place(&call, &volume, &path).await?;
    let replication = replication(&call)?;
    let owner = call.caller()?.name.clone();
    let session = new_session(&call, UPLOAD, &volume, path.clone())?;
    let _permit = StreamPermit::acquire(&call.state).await?;
    let (bytes, pump) = volume_body::content(&call)?;
    let (parent, name) = split_volume_path(&path);
    let (parent, name) = (parent.to_string(), name.to_string());
    let file = VolumeEntry { parent, name, replication, owner, ..VolumeEntry::default() };
    let (written, ()) = tokio::join!(call.state.warehouse.put_volume_file(&session, true, file, bytes), pump);
    written?;
    let mut response = answers::empty(StatusCode::CREATED)?;
    set_header(&mut response, SESSION, &session.id);
    Ok(response)
}

/// Puts the file of a session in its place, once. A second commit answers as the first.
pub async fn commit(call: Call) -> Answer {
    let volume = named(&call).await?;
    let path = inner_path(&call, &volume)?;
    let id = call.header(SESSION).ok_or_else(|| invalid(format!("header {SESSION} is missing")))?;
    let (session, of) = find(&call, UPLOAD, id).await?;
    if of.id != volume.id || session.partition != path {
        let message = format!("upload session '{id}' is not of '/{}/{path}'", volume.at.name);
        return Err(Error::new(Kind::NotFound, "NoSuchUpload", message));
    }
    call.state.warehouse.commit_volume_upload(&session, split_volume_path(&path).0).await?;
    answers::empty(StatusCode::OK)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    // RFC 9110, section 14.1.2: the last position is part of the range.
    #[test]
    fn a_range_ends_behind_its_last_byte_and_with_the_content() {
        for (text, wanted) in [
            ("bytes=0-9", 0..10),
            ("bytes=2-3", 2..4),
            ("bytes=5-", 5..10),
            ("bytes=7-99", 7..10),
            ("bytes=99-100", 10..10),
            ("bytes=0--1", 0..0),
            ("bytes=0-18446744073709551615", 0..10),
        ] {
            assert_eq!(range(text, 10).unwrap(), wanted, "{text}");
        }
        for text in ["", "bytes", "bytes=", "bytes=-5", "bytes=a-b", "bytes=1--1", "bytes=0-1,2-3", "rows=0-1"] {
            assert_eq!(range(text, 10).unwrap_err().code(), "InvalidParameter", "{text}");
        }
    }
}
