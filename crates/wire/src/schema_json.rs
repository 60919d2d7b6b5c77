//! The JSON of the protocol: table schemas, and the sessions of the tunnel.
//!
//! One shape of schema serves table documents, tunnel sessions and the header `odps-tunnel-schema`; the names are those
//! of `odps/models/table.py` and `odps/models/table_schema` in PyODPS.

use feitian_base::{Error, Kind, Result};
use feitian_types::{Column, DataType, TableSchema};
use serde_json::{Map, Value, json};

/// Epoch seconds with their fraction; whole seconds print without one.
pub(crate) fn seconds(ms: i64) -> Value {
    if ms % 1000 == 0 { json!(ms / 1000) } else { json!(ms as f64 / 1000.0) }
}

/// All that a table's JSON tells beyond its columns. Times are milliseconds since 1970-01-01 UTC.
#[derive(Debug, Clone, Default)]
pub struct TableInfo {
    pub comment: String,
    pub owner: String,
    pub created_ms: i64,
    /// When data changed.
    pub modified_ms: i64,
    /// When the definition changed.
    pub last_ddl_ms: i64,
    pub view: Option<View>,
    /// Days.
    pub lifecycle: Option<i64>,
    /// Bytes of data.
    pub size: u64,
    /// Rows; `None` if unknown.
    pub rows: Option<u64>,
    /// Per column (data columns, then partition columns): the expression that fills a generated column.
    pub generated: Vec<(String, String)>,
    /// What `INTO n SHARDS` said.
    pub shards: Option<Shards>,
    pub extended: Extended,
}

/// How a table was to be sharded for streams.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shards {
    pub shards: u64,
    /// Days.
    pub hub_lifecycle: Option<u64>,
}

/// A view's definition.
#[derive(Debug, Clone, Default)]
pub struct View {
    pub materialized: bool,
    /// The query after AS.
    pub text: String,
    /// The query with all names in full.
    pub expanded_text: String,
    pub rewrite_enabled: bool,
    pub outdated: bool,
}

/// The keys that only `?extended` shows.
#[derive(Debug, Clone, Default)]
pub struct Extended {
    /// Bytes on disk.
    pub physical_size: u64,
    pub files: u64,
    pub location: Option<String>,
    pub storage_handler: Option<String>,
    pub resources: Option<String>,
    pub serde_properties: Vec<(String, String)>,
    pub table_properties: Vec<(String, String)>,
    /// The object behind `Reserved`: `schema_version`, `Transactional` (the string `"true"`), `PrimaryKey`, ...
    pub reserved: Map<String, Value>,
}

fn column_json(column: &Column, generated: &[(String, String)]) -> Value {
    let mut json = json!({
        "name": column.name,
        "type": column.ty.to_string(),
        "comment": column.comment,
        "label": "",
        "isNullable": column.nullable,
    });
    if let Some(default) = &column.default {
        json["defaultValue"] = default.as_str().into();
    }
    if let Some((_, expression)) = generated.iter().find(|(name, _)| *name == column.name) {
        json["generateExpression"] = expression.as_str().into();
    }
    json
}

fn columns_json(schema: &TableSchema, generated: &[(String, String)]) -> Map<String, Value> {
    let list = |columns: &[Column]| columns.iter().map(|c| column_json(c, generated)).collect::<Vec<_>>();
    // An absent partitionKeys breaks clients; an empty one does not.
    Map::from_iter([
        ("columns".to_string(), list(&schema.columns).into()),
        ("partitionKeys".to_string(), list(&schema.partition_columns).into()),
    ])
}

/// The schema of a tunnel session or of the header `odps-tunnel-schema`: columns and partition keys alone.
pub fn schema_json(schema: &TableSchema) -> Value {
    Value::Object(columns_json(schema, &[]))
}

/// The schema JSON of a table document; `extended` adds the keys of `?extended`.
pub fn table_json(schema: &TableSchema, info: &TableInfo, extended: bool) -> String {
    let view = info.view.as_ref();
    let mut json = json!({
        "comment": info.comment,
        "owner": info.owner,
        "createTime": seconds(info.created_ms),
        "lastModifiedTime": seconds(info.modified_ms),
        "lastDDLTime": seconds(info.last_ddl_ms),
        "isVirtualView": view.is_some_and(|v| !v.materialized),
        "isMaterializedView": view.is_some_and(|v| v.materialized),
        "lifecycle": info.lifecycle.unwrap_or(-1),
        "size": info.size,
        "recordNum": info.rows.map_or(-1, |n| n as i64),
        "tableLabel": "",
        "shardExist": info.shards.is_some(),
    });
    if let Some(Shards { shards, hub_lifecycle }) = &info.shards {
        json["shardInfo"] = json!({
            "ShardNum": shards,
            "HubLifecycle": hub_lifecycle.map_or(-1, |days| days as i64),
            "DistributeCols": [],
            "SortCols": [],
        });
    }
    if let Some(view) = view {
        json["viewText"] = view.text.as_str().into();
        json["viewExpandedText"] = view.expanded_text.as_str().into();
        if view.materialized {
            json["isMaterializedViewRewriteEnabled"] = view.rewrite_enabled.into();
            json["isMaterializedViewOutdated"] = view.outdated.into();
        }
    }
    for (key, value) in columns_json(schema, &info.generated) {
        json[key] = value;
    }
    if extended {
        extend(&mut json, &info.extended);
    }
    json.to_string()
}

fn extend(json: &mut Value, extended: &Extended) {
    json["IsArchived"] = false.into();
    json["PhysicalSize"] = extended.physical_size.into();
    json["FileNum"] = extended.files.into();
    let texts = [
        ("location", &extended.location),
        ("storageHandler", &extended.storage_handler),
        ("resources", &extended.resources),
    ];
    for (key, text) in texts {
        if let Some(text) = text {
            json[key] = text.as_str().into();
        }
    }
    // These are strings that hold a JSON object.
    for (key, pairs) in
        [("serDeProperties", &extended.serde_properties), ("tableProperties", &extended.table_properties)]
    {
        if !pairs.is_empty() {
            let object: Map<String, Value> = pairs.iter().map(|(k, v)| (k.clone(), v.as_str().into())).collect();
            json[key] = Value::Object(object).to_string().into();
        }
    }
    if !extended.reserved.is_empty() {
        json["Reserved"] = Value::Object(extended.reserved.clone()).to_string().into();
    }
}

/// Reads the columns of a schema JSON, as [`schema_json`] and [`table_json`] write it: `columns` and `partitionKeys`.
/// Other keys are skipped. Errors name the column.
pub fn parse_schema(json: &str) -> Result<TableSchema> {
    let bad = |message: String| Error::new(Kind::Invalid, "SchemaParseError", message);
    let value: Value = serde_json::from_str(json).map_err(|e| bad(format!("the schema is no JSON: {e}")))?;
    let list = |key: &str| match value.get(key) {
        None | Some(Value::Null) => Ok(vec![]),
        Some(Value::Array(items)) => items.iter().map(|item| parse_column(item).map_err(bad)).collect(),
        Some(_) => Err(bad(format!("'{key}' of the schema is no array"))),
    };
    if value.get("columns").is_none() {
        return Err(bad("the schema has no 'columns'".to_string()));
    }
    Ok(TableSchema { columns: list("columns")?, partition_columns: list("partitionKeys")? })
}

fn parse_column(item: &Value) -> Result<Column, String> {
    let text = |key: &str| item.get(key).and_then(Value::as_str);
    let name = text("name").filter(|n| !n.is_empty()).ok_or_else(|| format!("a column has no name: {item}"))?;
    let ty = text("type").ok_or_else(|| format!("column {name} has no type"))?;
    let mut column = Column::new(name.to_lowercase(), DataType::parse(ty).map_err(|e| format!("column {name}: {e}"))?);
    column.comment = text("comment").unwrap_or_default().to_string();
    column.nullable = item.get("isNullable").and_then(Value::as_bool).unwrap_or(true);
    column.default = text("defaultValue").map(str::to_string);
    Ok(column)
}

/// What the JSON of every tunnel session has.
#[derive(Debug, Clone)]
pub struct Session<'a> {
    pub id: &'a str,
    /// `normal`, `closed`, `initiating`, ...
    pub status: &'a str,
    pub schema: &'a TableSchema,
    pub quota: &'a str,
}

/// An upload session with the ids of the blocks it holds. `max_field` is the limit of a field in bytes.
pub fn upload_session(session: &Session<'_>, blocks: impl IntoIterator<Item = u64>, max_field: usize) -> String {
    let blocks: Vec<Value> = blocks.into_iter().map(|id| json!({ "BlockID": id })).collect();
    json!({
        "UploadID": session.id,
        "Status": session.status,
        "UploadedBlockList": blocks,
        "Schema": schema_json(session.schema),
        "MaxFieldSize": max_field,
        "QuotaName": session.quota,
    })
    .to_string()
}

/// A download session of `records` rows, of a table or of an instance.
pub fn download_session(session: &Session<'_>, records: u64) -> String {
    json!({
        "DownloadID": session.id,
        "Status": session.status,
        "RecordCount": records,
        "Schema": schema_json(session.schema),
        "QuotaName": session.quota,
    })
    .to_string()
}

/// A stream upload session; a slot is an id and the `host:port` that takes its rows.
pub fn stream_session(session: &Session<'_>, schema_version: &str, slots: &[(String, String)]) -> String {
    json!({
        "session_name": session.id,
        "status": session.status,
        "slots": slots,
        "schema": schema_json(session.schema),
        "schema_version": schema_version,
        "QuotaName": session.quota,
    })
    .to_string()
}

/// An upsert session with one slot at `worker` (`host:port`) that owns all `buckets`.
pub fn upsert_session(session: &Session<'_>, hash_key: &[String], worker: &str, buckets: u32) -> String {
    let buckets: Vec<u32> = (0..buckets.max(1)).collect();
    json!({
        "id": session.id,
        "status": session.status,
        "schema": schema_json(session.schema),
        "slots": [{ "slot_id": "0", "worker_addr": worker, "buckets": buckets }],
        "hash_key": hash_key,
        "hasher": "default",
        "enable_partial_update": false,
        "quota_name": session.quota,
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn schema() -> TableSchema {
        let mut id = Column::new("id", DataType::BigInt);
        id.nullable = false;
        let mut tags = Column::new("tags", DataType::parse("array<string>").unwrap());
        tags.comment = "free text".into();
        TableSchema { columns: vec![id, tags], partition_columns: vec![Column::new("ds", DataType::String)] }
    }

    #[test]
    fn columns_are_read_back() {
        let want = schema();
        assert_eq!(parse_schema(&schema_json(&want).to_string()).unwrap(), want);
        let text = table_json(&want, &TableInfo::default(), true);
        assert_eq!(parse_schema(&text).unwrap(), want);
        let bare = parse_schema(r#"{"columns":[{"name":"A","type":"BIGINT"}]}"#).unwrap();
        assert_eq!(bare.columns, [Column::new("a", DataType::BigInt)]);
        for (bad, named) in [
            ("[", "JSON"),
            ("{}", "columns"),
            (r#"{"columns":1}"#, "columns"),
            (r#"{"columns":[{"type":"int"}]}"#, "no name"),
            (r#"{"columns":[{"name":"a","type":"void"}]}"#, "column a"),
        ] {
            let e = parse_schema(bad).unwrap_err();
            assert!(e.message().contains(named), "{bad}: {e}");
        }
    }

    // What clients insist on: odps/models/table.py and its tests in PyODPS.
    #[test]
    fn a_table_tells_what_clients_insist_on() {
        let reserved = Map::from_iter([("Transactional".to_string(), json!("true"))]);
        let info = TableInfo {
            created_ms: 1_704_067_200_000,
            modified_ms: 1_704_067_260_250,
            generated: vec![("ds".into(), "trunc_time(t,'day')".into())],
            extended: Extended { reserved, table_properties: vec![("k".into(), "v".into())], ..Extended::default() },
            ..TableInfo::default()
        };
        let plain: Value = serde_json::from_str(&table_json(&schema(), &info, false)).unwrap();
        assert_eq!((&plain["createTime"], &plain["lastModifiedTime"]), (&json!(1704067200), &json!(1704067260.25)));
        assert_eq!((&plain["lifecycle"], &plain["tableLabel"]), (&json!(-1), &json!("")));
        assert_eq!((&plain["isVirtualView"], &plain["recordNum"]), (&json!(false), &json!(-1)));
        assert_eq!(plain["partitionKeys"][0]["generateExpression"], "trunc_time(t,'day')");
        assert!(plain.get("IsArchived").is_none() && plain.get("Reserved").is_none());
        let extended: Value = serde_json::from_str(&table_json(&schema(), &info, true)).unwrap();
        assert_eq!((&extended["IsArchived"], &extended["PhysicalSize"]), (&json!(false), &json!(0)));
        assert_eq!(extended["Reserved"], r#"{"Transactional":"true"}"#);
        assert_eq!(extended["tableProperties"], r#"{"k":"v"}"#);
    }

    #[test]
    fn a_view_tells_its_text() {
        let view = View { materialized: true, text: "select 1".into(), ..View::default() };
        let info = TableInfo { view: Some(view), ..TableInfo::default() };
        let json: Value = serde_json::from_str(&table_json(&schema(), &info, false)).unwrap();
        assert_eq!((&json["isMaterializedView"], &json["isVirtualView"]), (&json!(true), &json!(false)));
        assert_eq!((&json["viewText"], &json["isMaterializedViewOutdated"]), (&json!("select 1"), &json!(false)));
    }

    // Names: odps/tunnel/tabletunnel of PyODPS.
    #[test]
    fn sessions_have_the_fields_clients_read() {
        let schema = TableSchema { columns: schema().columns, partition_columns: vec![] };
        let session = Session { id: "S", status: "normal", schema: &schema, quota: "default" };
        let json: Value = serde_json::from_str(&upload_session(&session, [0, 3], 8 << 20)).unwrap();
        assert_eq!(json["UploadedBlockList"], json!([{"BlockID": 0}, {"BlockID": 3}]));
        assert_eq!((&json["UploadID"], &json["Schema"]["partitionKeys"]), (&json!("S"), &json!([])));
        let json: Value = serde_json::from_str(&download_session(&session, 12)).unwrap();
        assert_eq!((&json["DownloadID"], &json["RecordCount"]), (&json!("S"), &json!(12)));
        let slots = [("0".to_string(), "127.0.0.1:7700".to_string())];
        let json: Value = serde_json::from_str(&stream_session(&session, "1", &slots)).unwrap();
        assert_eq!((&json["session_name"], &json["slots"]), (&json!("S"), &json!([["0", "127.0.0.1:7700"]])));
        let json: Value = serde_json::from_str(&upsert_session(&session, &["id".into()], "h:1", 1)).unwrap();
        assert_eq!((&json["id"], &json["slots"][0]["buckets"]), (&json!("S"), &json!([0])));
    }
}
