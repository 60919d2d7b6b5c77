//! Operations of the tunnel.

use super::{Operation, Surface, run};
use crate::rights::{Object, Right};
use crate::tunnel::{downloads, preview, results, streams, uploads, upserts, volume_files, volumes};

const SELECT: Right = Right::Object("odps:Select", Object::Table);
const UPDATE: Right = Right::Object("odps:Update", Object::Table);
const INSTANCE: Right = Right::Object("odps:Read", Object::Instance);
/// The volume is named by the session or its target: the handler asks for the action on it.
const VOLUME_READ: Right = Right::AnyUser("odps:Read");
const VOLUME_WRITE: Right = Right::AnyUser("odps:Write");
const READ_OBJECT: Right = Right::Object("odps:Read", Object::Volume);
const WRITE_OBJECT: Right = Right::Changes("odps:Write", Object::Volume);

pub(super) const GROUPS: &[(&str, &[Operation])] = &[
    ("Tunnel: uploads", UPLOADS),
    ("Tunnel: downloads", DOWNLOADS),
    ("Tunnel: instance results", RESULTS),
    ("Tunnel: preview", PREVIEW),
    ("Tunnel: stream uploads", STREAMS),
    ("Tunnel: upserts", UPSERTS),
    ("Tunnel: volumes", VOLUMES),
];

const fn op(
    name: &'static str,
    method: &'static str,
    path: &'static str,
    query: &'static [&'static str],
    right: Right,
) -> Operation {
    Operation::new(name, Surface::Tunnel, method, path, query, right)
}

const TABLE: &str = "/projects/{project}/tables/{table}";
const IN: &str = "/projects/{project}/instances/{instance}";
const STREAM: &str = "/projects/{project}/tables/{table}/streams";
const UPSERT: &str = "/projects/{project}/tables/{table}/upserts";

const UPLOADS: &[Operation] = &[
    op("CreateUpload", "POST", TABLE, &["uploads"], UPDATE).done(run!(uploads::create)),
    op("WriteUploadBlock", "PUT", TABLE, &["uploadid", "blockid"], UPDATE).flags(&["arrow"]).done(run!(uploads::write)),
    op("GetUpload", "GET", TABLE, &["uploadid"], UPDATE).done(run!(uploads::status)),
    op("CommitUpload", "POST", TABLE, &["uploadid"], UPDATE).done(run!(uploads::commit)),
];

const DOWNLOADS: &[Operation] = &[
    op("CreateDownload", "POST", TABLE, &["downloads"], SELECT).done(run!(downloads::create)),
    op("GetDownload", "GET", TABLE, &["downloadid"], SELECT).done(run!(downloads::status)),
    op("ReadDownload", "GET", TABLE, &["downloadid", "data"], SELECT)
        .flags(&["arrow"])
        .partial(run!(downloads::read), "without raw_size, which is not advertised"),
];

const RESULTS: &[Operation] = &[
    op("CreateInstanceDownload", "POST", IN, &["downloads"], INSTANCE)
        .flags(&["instance_tunnel_limit_enabled"])
        .done(run!(results::create)),
    op("GetInstanceDownload", "GET", IN, &["downloadid"], INSTANCE).done(run!(results::status)),
    op("ReadInstanceResult", "GET", IN, &["downloadid", "data"], INSTANCE)
        .flags(&["arrow", "instance_tunnel_limit_enabled"])
        .partial(run!(results::read), "without raw_size, which is not advertised"),
    op("ReadCachedResult", "GET", IN, &["data", "cached"], INSTANCE)
        .flags(&["arrow", "columns", "queryid"])
        .partial(run!(results::read_cached), "queries of interactive sessions, without raw_size"),
];

const PREVIEW: &[Operation] =
    &[op("PreviewTableArrow", "GET", "/projects/{project}/tables/{table}/preview", &[], SELECT)
        .flags(&["columns", "limit"])
        .done(run!(preview::read))];

const STREAMS: &[Operation] = &[
    op("CreateStream", "POST", STREAM, &[], UPDATE)
        .flags(&["create_partition"])
        .partial(run!(streams::create), "without zorder_columns and dynamic_partition"),
    op("WriteStream", "PUT", STREAM, &["uploadid"], UPDATE).done(run!(streams::write)),
    op("GetStream", "GET", STREAM, &["uploadid"], UPDATE).done(run!(streams::status)),
    op("CloseStream", "POST", STREAM, &["uploadid"], UPDATE).done(run!(streams::close)),
];

const UPSERTS: &[Operation] = &[
    op("CreateUpsert", "POST", UPSERT, &[], UPDATE).flags(&["create_partition"]).partial(
        run!(upserts::create),
        "one slot whatever slotnum asks for; sessions live a day whatever lifecycle says",
    ),
    op("WriteUpsert", "PUT", UPSERT, &["upsertid"], UPDATE).partial(run!(upserts::write), "whole rows only"),
    op("CommitUpsert", "POST", UPSERT, &["upsertid"], UPDATE).done(run!(upserts::commit)),
    op("GetUpsert", "GET", UPSERT, &["upsertid"], UPDATE).done(run!(upserts::status)),
    op("AbortUpsert", "DELETE", UPSERT, &["upsertid"], UPDATE).done(run!(upserts::abort)),
];

const VOLUME_UPLOAD: &str = "/projects/{project}/tunnel/uploads/{upload}";
const VOLUME_DOWNLOAD: &str = "/projects/{project}/tunnel/downloads/{download}";
const VOLUME: &str = "/projects/{project}/volumes/{volume}";

const VOLUMES: &[Operation] = &[
    op("CreateVolumeUpload", "POST", "/projects/{project}/tunnel/uploads", &[], VOLUME_WRITE)
        .done(run!(volumes::create_upload)),
    op("WriteVolumeFile", "POST", VOLUME_UPLOAD, &[], VOLUME_WRITE)
        .flags(&["resume"])
        .partial(run!(volumes::write), "whole files, without resume"),
    op("GetVolumeUpload", "GET", VOLUME_UPLOAD, &[], VOLUME_WRITE).done(run!(volumes::upload_status)),
    op("CommitVolumeUpload", "PUT", VOLUME_UPLOAD, &[], VOLUME_WRITE)
        .partial(run!(volumes::commit), "files of other names stay in the partition"),
    op("CreateVolumeDownload", "POST", "/projects/{project}/tunnel/downloads", &[], VOLUME_READ)
        .done(run!(volumes::create_download)),
    op("ReadVolumeFile", "GET", VOLUME_DOWNLOAD, &["data"], VOLUME_READ).done(run!(volumes::read)),
    op("GetVolumeDownload", "GET", VOLUME_DOWNLOAD, &[], VOLUME_READ).done(run!(volumes::download_status)),
    op("ReadVolumeObject", "GET", VOLUME, &[], READ_OBJECT).done(run!(volume_files::read)),
    op("WriteVolumeObject", "POST", VOLUME, &[], WRITE_OBJECT)
        .partial(run!(volume_files::write), "replication is kept and shown; there is one copy"),
    op("CommitVolumeObject", "PUT", VOLUME, &[], WRITE_OBJECT).done(run!(volume_files::commit)),
];
