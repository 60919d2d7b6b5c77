//! Operations of the storage API, versions 1 to 3.

use super::{Operation, Surface, run};
use crate::rights::{Object, Right};
use crate::storage::{reads, writes};

const SELECT: Right = Right::Object("odps:Select", Object::Table);
const UPDATE: Right = Right::Object("odps:Update", Object::Table);
const NOTE: &str = "use version 1 or the tunnel";
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

/// Version 2 and 3 name the operation and its object in the query, so that the path is always the same.
const fn action(name: &'static str, method: &'static str, query: &'static [&'static str]) -> Operation {
    op(name, method, "/api/storage/{version}", query, Right::Signed).refused(NOTE)
}

const VERSION_2: &[Operation] = &[
    action("TableCreateReadSession", "POST", &["Action=TableCreateReadSession"]),
    action("TableGetReadSession", "POST", &["Action=TableGetReadSession"]),
    action("TableRead", "POST", &["Action=TableRead"]),
    action("TablePreview", "POST", &["Action=TablePreview"]),
    action("TableCreateWriteSession", "POST", &["Action=TableCreateWriteSession"]),
    action("TableGetWriteSession", "POST", &["Action=TableGetWriteSession"]),
    action("TableCommitWriteSession", "POST", &["Action=TableCommitWriteSession"]),
    action("TableAbortWriteSession", "POST", &["Action=TableAbortWriteSession"]),
    action("TableCreateWriteStream", "POST", &["Action=TableCreateWriteStream"]),
    action("TableGetWriteStream", "POST", &["Action=TableGetWriteStream"]),
    action("TableWrite", "POST", &["Action=TableWrite"]),
    action("TableCloseWriteStream", "POST", &["Action=TableCloseWriteStream"]),
    action("InstanceCreateReadSession", "POST", &["Action=InstanceCreateReadSession"]),
    action("InstanceGetReadSession", "GET", &["Action=InstanceGetReadSession"]),
    action("InstanceRead", "POST", &["Action=InstanceRead"]),
    action("TableWriteBlob", "POST", &["Action=TableWriteBlob"]),
    action("BlobRead", "POST", &["Action=BlobRead"]),
];
