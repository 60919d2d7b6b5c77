//! Operations of the storage API, versions 1 to 3.

use super::{Operation, Surface, run};
use crate::rights::{Object, Right};
use crate::storage::{reads, results, splits, streams, writes};

const SELECT: Right = Right::Object("odps:Select", Object::Table);
const UPDATE: Right = Right::Object("odps:Update", Object::Table);
const INSTANCE: Right = Right::Object("odps:Read", Object::Instance);
const NO_BLOBS: &str = "there is no type BLOB";
const NO_REFRESH: &str = "without session_refresh";

pub(super) const GROUPS: &[(&str, &[Operation])] =
    &[("Storage API version 1", VERSION_1), ("Storage API versions 2 and 3", VERSION_2)];

const fn op(
    name: &'static str,
    method: &'static str,
    path: &'static str,
    query: &'static [&'static str],
    right: Right,
) -> Operation {
    Operation::new(name, Surface::Tunnel, method, path, query, right)
}

const SESSIONS: &str = "/api/storage/v1/projects/{project}/tables/{table}/sessions";
const SESSION: &str = "/api/storage/v1/projects/{project}/tables/{table}/sessions/{session}";
const DATA: &str = "/api/storage/v1/projects/{project}/tables/{table}/data";
const SESSION_DATA: &str = "/api/storage/v1/projects/{project}/tables/{table}/sessions/{session}/data";
const COMMIT: &str = "/api/storage/v1/projects/{project}/tables/{table}/commit";

const VERSION_1: &[Operation] = &[
    op("StorageCreateReadSession", "POST", SESSIONS, &["session_type=batch_read"], SELECT)
        .partial(run!(reads::create), "without buckets; timestamps in nanoseconds, datetimes in milliseconds"),
    op("StorageCreateWriteSession", "POST", SESSIONS, &["session_type=batch_write"], UPDATE)
        .partial(run!(writes::create), "wrong rows always refuse their block"),
    op("StorageGetReadSession", "GET", SESSION, &["session_type=batch_read"], SELECT)
        .partial(run!(reads::status), NO_REFRESH),
    op("StorageGetWriteSession", "GET", SESSION, &["session_type=batch_write"], UPDATE).done(run!(writes::status)),
    op("StorageRead", "GET", DATA, &["session_id"], SELECT).done(run!(reads::read)),
    op("StorageWrite", "POST", SESSION_DATA, &[], UPDATE).done(run!(writes::write)),
    op("StorageCommit", "POST", COMMIT, &["session_id"], UPDATE)
        .partial(run!(writes::commit), "without waiting for writers"),
];

/// Versions 2 and 3 name the operation and its object in the query; the object is put behind the path.
const TARGET: &str = "/api/storage/v2/projects/{project}/tables/{table}";
const RESULT: &str = "/api/storage/v2/projects/{project}/instances/{instance}";
const BLOB: &str = "/api/storage/v2/generic/blob";

const WHOLE: &str = "whole splits with all of their columns";
const TO_THE_END: &str = "rows become visible with the commit: no streaming";

const VERSION_2: &[Operation] = &[
    op("TableCreateReadSession", "POST", TARGET, &["Action=TableCreateReadSession"], SELECT)
        .partial(run!(splits::create), "without buckets and increments; timestamps in nanoseconds"),
    op("TableGetReadSession", "POST", TARGET, &["Action=TableGetReadSession"], SELECT)
        .partial(run!(splits::status), NO_REFRESH),
    op("TableRead", "POST", TARGET, &["Action=TableRead"], SELECT).partial(run!(splits::read), WHOLE),
    op("TablePreview", "POST", TARGET, &["Action=TablePreview"], SELECT).done(run!(splits::preview)),
    op("TableCreateWriteSession", "POST", TARGET, &["Action=TableCreateWriteSession"], UPDATE)
        .partial(run!(streams::create), TO_THE_END),
    op("TableGetWriteSession", "POST", TARGET, &["Action=TableGetWriteSession"], UPDATE).done(run!(streams::status)),
    op("TableCommitWriteSession", "POST", TARGET, &["Action=TableCommitWriteSession"], UPDATE)
        .partial(run!(streams::commit), "streams of a table with a key together"),
    op("TableAbortWriteSession", "POST", TARGET, &["Action=TableAbortWriteSession"], UPDATE).done(run!(streams::abort)),
    op("TableGetWriteSchema", "POST", TARGET, &["Action=TableGetWriteSchema"], UPDATE).done(run!(streams::schema)),
    op("TableCreateWriteStream", "POST", TARGET, &["Action=TableCreateWriteStream"], UPDATE).done(run!(streams::begin)),
    op("TableGetWriteStream", "POST", TARGET, &["Action=TableGetWriteStream"], UPDATE).done(run!(streams::look)),
    op("TableGetWriteStreamByGet", "GET", TARGET, &["Action=TableGetWriteStream"], UPDATE)
        .done(run!(streams::look_by_query)),
    op("TableWrite", "POST", TARGET, &["Action=TableWrite"], UPDATE)
        .partial(run!(streams::write), "Count is looked at for tables with a key only"),
    op("TableCloseWriteStream", "POST", TARGET, &["Action=TableCloseWriteStream"], UPDATE).done(run!(streams::close)),
    op("InstanceCreateReadSession", "POST", RESULT, &["Action=InstanceCreateReadSession"], INSTANCE)
        .partial(run!(results::create), "whole results without a filter"),
    op("InstanceGetReadSession", "GET", RESULT, &["Action=InstanceGetReadSession"], INSTANCE)
        .done(run!(results::status)),
    op("InstanceGetReadSessionByPost", "POST", RESULT, &["Action=InstanceGetReadSession"], INSTANCE)
        .done(run!(results::status)),
    op("InstanceRead", "POST", RESULT, &["Action=InstanceRead"], INSTANCE).done(run!(results::read)),
    op("TableWriteBlob", "POST", TARGET, &["Action=TableWriteBlob"], UPDATE).refused(NO_BLOBS),
    op("BlobRead", "POST", BLOB, &["Action=BlobRead"], Right::Signed).refused(NO_BLOBS),
];
