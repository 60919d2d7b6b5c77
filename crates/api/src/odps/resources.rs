//! Resources: uploaded files, and references to tables and to files of volumes. What they are stands in headers, the content
//! of a file is the body.

use std::ops::Range;

use axum::body::Body;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::response::Response;
use feitian_base::{Error, Kind, Result};
use feitian_meta::rows::{ObjectName, Resource, Step};
use feitian_meta::{PARTED_VOLUME, Target};
use feitian_wire::xml::docs;
use futures::StreamExt;

use super::volumes;
use crate::answers::{self, set_header};
use crate::call::{Answer, Call, body_timeout, broken_body};
use crate::rights::{Object, Right, check_denied};
use crate::warehouse::{ByteStream, NewResource, ResourceContent};

const PAGE: usize = 1000;
const FILES: [&str; 4] = ["file", "py", "jar", "archive"];
const TABLE_SOURCE: &str = "x-odps-copy-table-source";
const FILE_SOURCE: &str = "x-odps-copy-file-source";
/// References, each with the header that names what it refers to.
const REFERENCES: [(&str, &str); 3] =
    [("table", TABLE_SOURCE), ("volumefile", FILE_SOURCE), ("volumearchive", FILE_SOURCE)];
const MAX_NAME: usize = 255;

/// The header that names what a resource of this kind refers to; `None` for one with a content.
fn source_header(kind: &str) -> Option<&'static str> {
    REFERENCES.iter().find(|(of, _)| *of == kind).map(|(_, header)| *header)
}

fn invalid(message: String) -> Error {
    Error::new(Kind::Invalid, "InvalidParameter", message)
}

/// A header as text; clients may put UTF-8 there.
pub(crate) fn text_header(call: &Call, name: &str) -> Result<Option<String>> {
    let Some(value) = call.headers.get(name) else { return Ok(None) };
    match std::str::from_utf8(value.as_bytes()) {
        Ok(text) => Ok(Some(text.to_string())),
        Err(_) => Err(invalid(format!("header {name} is not UTF-8"))),
    }
}

fn needed_header(call: &Call, name: &str) -> Result<String> {
    text_header(call, name)?.filter(|t| !t.is_empty()).ok_or_else(|| invalid(format!("header {name} is missing")))
}

fn document(resource: Resource) -> docs::Resource {
    let table = (resource.kind == "table").then_some(resource.source);
    docs::Resource {
        name: resource.at.name,
        owner: resource.owner,
        kind: resource.kind,
        created_ms: resource.created_ms,
        modified_ms: resource.modified_ms,
        last_updator: resource.updator,
        size: resource.num_bytes.unsigned_abs(),
        comment: resource.comment,
        table,
    }
}

pub async fn list(call: Call) -> Answer {
    let (schema, size) = (call.known_schema().await?, call.page_size(PAGE)?);
    let filter = (call.query.get("name").unwrap_or_default(), call.query.get("owner"));
    let (meta, marker) = (&call.state.meta, call.query.get("marker"));
    let mut found = meta.list_resources(call.project(), schema, filter, marker, size as i64 + 1).await?;
    let next = (found.len() > size).then(|| found[size - 1].at.name.clone());
    found.truncate(size);
    let items: Vec<_> = found.into_iter().map(document).collect();
    answers::xml(docs::resources(&items, &docs::Page { marker: next, max_items: Some(size as u64) }))
}

async fn named(call: &Call) -> Result<Resource> {
    let at = call.object("resource");
    let missing = || {
        let local = feitian_meta::local_name(&at.schema_name, &at.name);
        Error::new(Kind::NotFound, "NoSuchObject", format!("Resource not found - '{}.{local}'", at.project))
    };
    call.state.meta.resource(&at).await?.ok_or_else(missing)
}

/// `?meta`: everything but the content, in headers.
pub async fn meta(call: Call) -> Answer {
    let resource = named(&call).await?;
    let mut response = answers::empty(StatusCode::OK)?;
    let mut set = |name, value: &str| set_header(&mut response, name, value);
    set("x-odps-owner", &resource.owner);
    set("x-odps-resource-type", &resource.kind);
    set("x-odps-resource-name", &resource.at.name);
    set("x-odps-resource-size", &resource.num_bytes.to_string());
    set("x-odps-resource-istemp", if resource.is_temp { "true" } else { "false" });
    set("x-odps-comment", &resource.comment);
    set("x-odps-updator", &resource.updator);
    set("x-odps-creation-time", &docs::http_date(resource.created_ms));
    set("last-modified", &docs::http_date(resource.modified_ms));
    match source_header(&resource.kind) {
        Some(header) => set(header, &resource.source),
        None => set("content-md5", &resource.md5),
    }
    Ok(response)
}

/// The slice that `rOffset` and `rSize` name, cut at the end.
fn slice(call: &Call, size: u64) -> Result<Range<u64>> {
    let start = call.query.number("rOffset")?.unwrap_or(0).min(size);
    let end = call.query.number("rSize")?.map_or(size, |n| start.saturating_add(n).min(size));
    Ok(start..end)
}

/// The content, or a slice of it.
pub async fn get(call: Call) -> Answer {
    let resource = named(&call).await?;
    let size = resource.num_bytes.unsigned_abs();
    let range = slice(&call, size)?;
    let has_more = range.end < size;
    let bytes = call.state.warehouse.read_resource(&resource, range).await?;
    let mut response = Response::new(Body::from_stream(bytes));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    set_header(&mut response, "x-odps-resource-has-remaining", if has_more { "true" } else { "false" });
    Ok(response)
}

/// The body piece by piece. A silence longer than the limit is an error.
fn content(call: &Call) -> ByteStream {
    let idle = call.state.settings.limits.body_idle;
    let body = call.take_body().into_data_stream();
    let next = move |mut body: axum::body::BodyDataStream| async move {
        match tokio::time::timeout(idle, body.next()).await {
            Ok(None) => None,
            Ok(Some(piece)) => Some((piece.map_err(broken_body), body)),
            Err(_) => Some((Err(body_timeout(idle)), body)),
        }
    };
    futures::stream::unfold(body, next).boxed()
}

fn flag(call: &Call, header: &str) -> Result<bool> {
    match text_header(call, header)?.map(|t| t.to_lowercase()).as_deref() {
        None | Some("" | "false") => Ok(false),
        Some("true") => Ok(true),
        Some(other) => Err(invalid(format!("header {header} must be true or false, not '{other}'"))),
    }
}

/// What a request wants to write.
fn requested(call: &Call, at: ObjectName) -> Result<NewResource> {
    let kind = needed_header(call, "x-odps-resource-type")?.to_lowercase();
    if source_header(&kind).is_none() && !FILES.contains(&kind.as_str()) {
        let message = format!("resources of type '{kind}' are not supported; use {} or table", FILES.join(", "));
        return Err(Error::new(Kind::Unsupported, "MethodNotAllowed", message));
    }
    if at.name.len() > MAX_NAME || at.name.contains(['/', ',', '|']) || at.name.chars().any(char::is_control) {
        let rule = format!("at most {MAX_NAME} bytes and none of / , |");
        return Err(invalid(format!("invalid resource name '{}': it has {rule}", at.name)));
    }
    let comment = text_header(call, "x-odps-comment")?.unwrap_or_default();
    Ok(NewResource { at, kind, is_temp: flag(call, "x-odps-resource-istemp")?, comment })
}

async fn put(call: Call, at: ObjectName, overwrite: bool) -> Answer {
    let new = requested(&call, at)?;
    let content = match source_header(&new.kind) {
        Some(FILE_SOURCE) => ResourceContent::Reference(volume_file(&call).await?),
        Some(header) => ResourceContent::Reference(needed_header(&call, header)?),
        None => ResourceContent::Bytes(content(&call)),
    };
    finish(&call, new, content, overwrite).await
}

/// The file of a volume that a header names, `project/volumes/volume/partition/file`. It must be there, in the project and
/// the schema of the request, for somebody who may read it.
async fn volume_file(call: &Call) -> Result<String> {
    let text = needed_header(call, FILE_SOURCE)?;
    let wrong = || invalid(format!("header {FILE_SOURCE} must be project/volumes/volume/partition/file, not '{text}'"));
    let parts: Vec<&str> = text.trim_start_matches('/').splitn(5, '/').collect();
    let [project, "volumes", volume, partition, file] = parts[..] else { return Err(wrong()) };
    if project.to_lowercase() != call.project() {
        return Err(invalid(format!("the file of a volume must be in project '{}', not '{project}'", call.project())));
    }
    let (project, schema_name) = (call.project().to_string(), call.schema().to_string());
    let at = ObjectName { project, schema_name, name: volume.to_lowercase() };
    volumes::ask(call, Right::Object("odps:Read", Object::Volume), &at).await?;
    let volume = call.state.meta.volume(&at).await?;
    volumes::check_kind(&volume, PARTED_VOLUME)?;
    match call.state.meta.volume_entry(&volume.id, partition, file).await?.filter(|entry| !entry.is_dir) {
        Some(_) => Ok(text),
        None => Err(Error::new(Kind::NotFound, "NoSuchObject", format!("Volume file not found - '{text}'"))),
    }
}

async fn finish(call: &Call, new: NewResource, content: ResourceContent, overwrite: bool) -> Answer {
    call.state.warehouse.put_resource(call.caller()?, new, content, overwrite).await?;
    answers::empty(if overwrite { StatusCode::OK } else { StatusCode::CREATED })
}

/// The name of a resource that is created stands in a header.
fn new_name(call: &Call) -> Result<ObjectName> {
    let name = needed_header(call, "x-odps-resource-name")?;
    Ok(ObjectName { project: call.project().to_string(), schema_name: call.schema().to_string(), name })
}

pub async fn create(call: Call) -> Answer {
    let at = new_name(&call)?;
    put(call, at, false).await
}

pub async fn update(call: Call) -> Answer {
    let at = call.object("resource");
    put(call, at, true).await
}

/// `?rOpMerge`: joins parts that were uploaded before. The body is `md5|part,part,…`.
async fn merge(call: Call, at: ObjectName, overwrite: bool) -> Answer {
    let new = requested(&call, at)?;
    if source_header(&new.kind).is_some() {
        return Err(invalid(format!("a reference of type {} has no parts", new.kind)));
    }
    let text = call.text().await?;
    let wrong = || invalid("the body must be the MD5 of the whole, '|', and the names of the parts".to_string());
    let (md5, names) = text.trim().split_once('|').ok_or_else(wrong)?;
    let names: Vec<String> = names.split(',').map(|n| n.trim().to_string()).filter(|n| !n.is_empty()).collect();
    if md5.len() != 32 || !md5.bytes().all(|b| b.is_ascii_hexdigit()) || names.is_empty() {
        return Err(wrong());
    }
    // The parts are read, and they go.
    let part = |name: &String| Target::resource(&ObjectName { name: name.clone(), ..new.at.clone() });
    let parts = names.iter().flat_map(|name| [("odps:Read", part(name)), ("odps:Delete", part(name))]);
    let made = [("odps:CreateResource", Target::project(call.project())), ("odps:Write", Target::resource(&new.at))];
    let wanted: Vec<_> = made.into_iter().chain(parts).collect();
    check_denied(&call.state.meta, call.caller()?, call.project(), &wanted).await?;
    let parse = |text: String| {
        let message = format!("header x-odps-resource-merge-total-bytes must be a whole number, not '{text}'");
        text.parse::<u64>().map_err(|_| invalid(message))
    };
    let num_bytes = text_header(&call, "x-odps-resource-merge-total-bytes")?.map(parse).transpose()?;
    finish(&call, new, ResourceContent::Parts { md5: md5.to_string(), names, num_bytes }, overwrite).await
}

pub async fn merge_new(call: Call) -> Answer {
    let at = new_name(&call)?;
    merge(call, at, false).await
}

pub async fn merge_into(call: Call) -> Answer {
    let at = call.object("resource");
    merge(call, at, true).await
}

pub async fn delete(call: Call) -> Answer {
    call.state.meta.drop_resource(&call.object("resource"), &Step::None).await?;
    answers::empty(StatusCode::OK)
}
