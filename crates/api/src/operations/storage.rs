//! Operations of the storage API, versions 1 to 3.

use super::{Operation, Surface};
use crate::rights::{Object, Right};

const SELECT: Right = Right::Object("odps:Select", Object::Table);
const UPDATE: Right = Right::Object("odps:Update", Object::Table);
const NOTE: &str = "use the tunnel; clients of the storage API are not served yet";

pub(super) const GROUPS: &[(&str, &[Operation])] =
    &[("Storage API version 1", VERSION_1), ("Storage API versions 2 and 3", VERSION_2)];

const fn op(
    name: &'static str,
    method: &'static str,
    path: &'static str,
    query: &'static [&'static str],
    right: Right,
) -> Operation {
    Operation::new(name, Surface::Tunnel, method, path, query, right).refused(NOTE)
}

const SESSIONS: &str = "/api/storage/v1/projects/{project}/schemas/{schema}/tables/{table}/sessions";
const SESSION: &str = "/api/storage/v1/projects/{project}/schemas/{schema}/tables/{table}/sessions/{session}";
const DATA: &str = "/api/storage/v1/projects/{project}/schemas/{schema}/tables/{table}/data";
const SESSION_DATA: &str = "/api/storage/v1/projects/{project}/schemas/{schema}/tables/{table}/sessions/{session}/data";
const COMMIT: &str = "/api/storage/v1/projects/{project}/schemas/{schema}/tables/{table}/commit";

const VERSION_1: &[Operation] = &[
    op("StorageCreateReadSession", "POST", SESSIONS, &["session_type=batch_read"], SELECT),
    op("StorageCreateWriteSession", "POST", SESSIONS, &["session_type=batch_write"], UPDATE),
    op("StorageGetReadSession", "GET", SESSION, &["session_type=batch_read"], SELECT),
    op("StorageGetWriteSession", "GET", SESSION, &["session_type=batch_write"], UPDATE),
    op("StorageRead", "GET", DATA, &["session_id"], SELECT),
    op("StorageWrite", "POST", SESSION_DATA, &[], UPDATE),
    op("StorageCommit", "POST", COMMIT, &["session_id"], UPDATE),
];

/// Version 2 and 3 name the operation and its object in the query, so that the path is always the same.
const fn action(name: &'static str, method: &'static str, query: &'static [&'static str]) -> Operation {
    op(name, method, "/api/storage/{version}", query, Right::Signed)
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
