//! What is in volumes with directories. A header names it: `/volume/directory/file`.

use axum::http::StatusCode;
use feitian_base::{Error, Kind, Result, clock};
use feitian_meta::{FS_VOLUME, MAX_VOLUME_PATH_BYTES, Volume, VolumeEntry, split_volume_path};
use feitian_wire::xml::{docs, parse_volume_change, parse_volume_directory};

use super::resources::text_header;
use super::volumes::{check_kind, entries, named};
use crate::answers;
use crate::call::{Answer, Call};

const PATH: &str = "x-odps-volume-fs-path";

fn invalid(message: String) -> Error {
    Error::new(Kind::Invalid, "InvalidParameter", message)
}

/// Whether the request is about something in the volume that its path names.
pub(crate) fn is_named(call: &Call) -> bool {
    call.headers.contains_key(PATH)
}

/// Refuses paths within a volume that something could take for others, or that no document could show.
pub(crate) fn check_path(path: &str) -> Result<()> {
    if path.len() > MAX_VOLUME_PATH_BYTES {
        let message = format!("a path in a volume has at most {MAX_VOLUME_PATH_BYTES} bytes, not {}", path.len());
        return Err(invalid(message));
    }
    if path.split('/').any(|name| matches!(name, "" | "." | "..")) {
        return Err(invalid(format!("no name in '{path}' may be empty, '.' or '..'")));
    }
    if path.chars().any(|c| c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}')) {
        return Err(invalid(format!("{path:?} has a character that no name may have")));
    }
    Ok(())
}

/// The path within the volume of `text`, which begins with the volume's name; empty for the volume itself.
fn within(volume: &Volume, text: &str) -> Result<String> {
    let mut names = text.split('/').filter(|name| !name.is_empty());
    if !names.next().is_some_and(|first| first.eq_ignore_ascii_case(&volume.at.name)) {
        return Err(invalid(format!("path '{text}' does not begin with /{}", volume.at.name)));
    }
    let path = names.collect::<Vec<_>>().join("/");
    if !path.is_empty() {
        check_path(&path)?;
    }
    Ok(path)
}

/// The path within the volume that the header names. The volume must have directories.
pub(crate) fn path(call: &Call, volume: &Volume) -> Result<String> {
    check_kind(volume, FS_VOLUME)?;
    let text = text_header(call, PATH)?.ok_or_else(|| invalid(format!("header {PATH} is missing")))?;
    within(volume, &text)
}

/// The same, but not the volume itself.
pub(crate) fn inner_path(call: &Call, volume: &Volume) -> Result<String> {
    let path = path(call, volume)?;
    match path.is_empty() {
        true => Err(invalid(format!("header {PATH} names the volume '{}', nothing in it", volume.at.name))),
        false => Ok(path),
    }
}

/// What is at this path of the volume.
pub(crate) async fn entry(call: &Call, volume: &Volume, path: &str) -> Result<VolumeEntry> {
    if path.is_empty() {
        return Ok(VolumeEntry {
            volume_id: volume.id.clone(),
            is_dir: true,
            owner: volume.owner.clone(),
            created_ms: volume.created_ms,
            modified_ms: volume.modified_ms,
            ..VolumeEntry::default()
        });
    }
    let (parent, name) = split_volume_path(path);
    let missing = || {
        let message = format!("Volume path not found - '/{}/{path}'", volume.at.name);
        Error::new(Kind::NotFound, "NoSuchObject", message)
    };
    call.state.meta.volume_entry(&volume.id, parent, name).await?.ok_or_else(missing)
}

fn document(volume: &Volume, entry: VolumeEntry) -> docs::VolumeItem {
    let names = [volume.at.name.as_str(), entry.parent.as_str(), entry.name.as_str()];
    docs::VolumeItem {
        path: names.iter().filter(|name| !name.is_empty()).map(|name| format!("/{name}")).collect(),
        is_dir: entry.is_dir,
        size: entry.num_bytes.unsigned_abs(),
        replication: entry.replication.unsigned_abs(),
        owner: entry.owner,
        created_ms: entry.created_ms,
        modified_ms: entry.modified_ms,
    }
}

/// One file or directory.
pub(crate) async fn get(call: &Call, volume: &Volume) -> Answer {
    let entry = entry(call, volume, &path(call, volume)?).await?;
    answers::xml(docs::volume_item(&document(volume, entry)))
}

/// What is in a directory, in the volume itself when no header names one.
pub(crate) async fn list(call: &Call, volume: &Volume) -> Answer {
    let path = if is_named(call) { path(call, volume)? } else { String::new() };
    if !entry(call, volume, &path).await?.is_dir {
        return Err(invalid(format!("'/{}/{path}' is a file, nothing is in it", volume.at.name)));
    }
    let (items, page) = entries(call, volume, &path).await?;
    let items: Vec<_> = items.into_iter().map(|entry| document(volume, entry)).collect();
    answers::xml(docs::volume_items(&items, &page))
}

/// Makes a directory and those that it is in. The body names it.
pub async fn make_directory(call: Call) -> Answer {
    let volume = named(&call).await?;
    check_kind(&volume, FS_VOLUME)?;
    let path = within(&volume, &parse_volume_directory(&call.document().await?)?)?;
    if !path.is_empty() {
        let (meta, owner) = (&call.state.meta, &call.caller()?.name);
        meta.make_volume_dir(&volume.id, &path, owner, clock::tick_ms()).await?;
    }
    answers::empty(StatusCode::CREATED)
}

/// `?meta`: moves a file or directory, or notes how many copies of a file are wanted.
pub async fn change(call: Call) -> Answer {
    let volume = named(&call).await?;
    let from = inner_path(&call, &volume)?;
    let change = parse_volume_change(&call.document().await?)?;
    let to = change.path.as_deref().map(|text| within(&volume, text)).transpose()?;
    if to.as_deref() == Some("") {
        return Err(invalid(format!("nothing can take the place of the volume '{}'", volume.at.name)));
    }
    let (meta, now) = (&call.state.meta, clock::tick_ms());
    meta.change_volume_entry(&volume.id, &from, to.as_deref(), change.replication, now).await?;
    answers::empty(StatusCode::OK)
}

/// Removes a file or directory.
pub(crate) async fn delete(call: &Call, volume: &Volume) -> Answer {
    let path = inner_path(call, volume)?;
    let recursive = call.query.flag("recursive", false)?;
    call.state.meta.remove_volume_entry(&volume.id, &path, recursive, clock::tick_ms()).await?;
    answers::empty(StatusCode::OK)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use feitian_meta::rows::ObjectName;

    use super::*;

    // Paths as odps/models/volume_fs.py and odps/tunnel/volumetunnel.py of PyODPS write them.
    #[test]
    fn a_path_begins_with_its_volume_and_names_nothing_outside() {
        let at = ObjectName { project: "p".into(), schema_name: "default".into(), name: "v".into() };
        let (owner, comment) = (String::new(), String::new());
        let (id, kind) = ("1".to_string(), FS_VOLUME.to_string());
        let volume = Volume { id, at, kind, owner, comment, created_ms: 0, modified_ms: 0 };
        for (text, wanted) in [
            ("/v", ""),
            ("/v/", ""),
            ("/V/a", "a"),
            ("/v//a/b/", "a/b"),
            ("v/...", "..."),
            ("/v/文 件/%2e%2e", "文 件/%2e%2e"),
        ] {
            assert_eq!(within(&volume, text).unwrap(), wanted, "{text}");
        }
        let long = format!("/v/{}", "a".repeat(MAX_VOLUME_PATH_BYTES + 1));
        for text in ["", "/", "/w/a", "/vv", "/v/../w", "/v/.", "/v/a/..", "/v/a\0", "/v/a\nb", "/v/\u{ffff}", &long] {
            assert_eq!(within(&volume, text).unwrap_err().code(), "InvalidParameter", "{text:?}");
        }
    }
}
