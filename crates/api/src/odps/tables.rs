//! Table documents and the preview as CSV.

use feitian_base::{Error, Kind};
use feitian_meta::rows::{Access, Table};
use feitian_wire::schema_json::{self, Extended, Shards, TableInfo, View};
use feitian_wire::xml::docs;
use serde_json::{Map, Value, json};

use super::projects::read_limit;
use crate::answers;
use crate::call::{Answer, Call, IN_SCHEMA};
use crate::csv::{csv_answer, project_zone};
use crate::identity::Identity;
use crate::rights::denied;
use crate::tunnel::session::wanted_columns;
use crate::warehouse;

const PAGE: usize = 1000;
/// The storage tiers that clients know; all data lie on one.
pub(super) const TIERS: [&str; 3] = ["standard", "lowfrequency", "longterm"];
const KINDS: [&str; 5] = ["MANAGED_TABLE", "EXTERNAL_TABLE", "VIRTUAL_VIEW", "MATERIALIZED_VIEW", "OBJECT_TABLE"];

fn not_negative(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(0)
}

/// The schema JSON. Sums are those of the partitions, or unknown in listings.
fn schema_json(table: &Table, sums: Option<&warehouse::TableInfo>, extended: bool) -> String {
    let properties: Map<String, Value> = serde_json::from_str(&table.properties).unwrap_or_default();
    let text = |v: &Value| v.as_str().map_or_else(|| v.to_string(), str::to_string);
    let of_user = properties.iter().filter(|(k, _)| !k.starts_with("feitian."));
    let view = view_of(table, &properties);
    let external = json_property(&properties, EXTERNAL).unwrap_or_default();
    let is_external = table.kind == "EXTERNAL_TABLE";
    let info = TableInfo {
        comment: table.comment.clone(),
        owner: table.owner.clone(),
        created_ms: table.created_ms,
        modified_ms: table.modified_ms,
        last_ddl_ms: table.ddl_ms,
        view,
        lifecycle: Some(table.lifecycle).filter(|days| *days >= 0),
        size: sums.map_or(0, |s| not_negative(s.num_bytes)),
        // Nobody counts what is in files that are not the table's own.
        rows: sums.filter(|_| !is_external).map(|s| not_negative(s.num_rows)),
        generated: generated(table, &properties).into_iter().collect(),
        shards: json_property(&properties, "feitian.shards")
            .map(|s| Shards { shards: s["shards"].as_u64().unwrap_or(0), hub_lifecycle: s["hub_lifecycle"].as_u64() }),
        extended: Extended {
            physical_size: sums.map_or(0, |s| not_negative(s.num_bytes)),
            files: sums.map_or(0, |s| not_negative(s.num_files)),
            location: external["location"].as_str().map(str::to_string),
            storage_handler: external["handler"].as_str().map(str::to_string),
            serde_properties: serde_properties(&external),
            reserved: reserved(table, &properties),
            table_properties: of_user.map(|(k, v)| (k.clone(), text(v))).collect(),
            ..Extended::default()
        },
    };
    schema_json::table_json(&table.schema, &info, extended)
}

/// The query of a view. Lists do not look whether a materialized one is outdated, so that it may be.
fn view_of(table: &Table, properties: &Map<String, Value>) -> Option<View> {
    if let Some(text) = &table.view_text {
        return Some(View { text: text.clone(), expanded_text: text.clone(), ..View::default() });
    }
    let kept = json_property(properties, "feitian.materialized").filter(|_| table.kind == "MATERIALIZED_VIEW")?;
    let text = kept["query"].as_str().unwrap_or_default().to_string();
    Some(View {
        materialized: true,
        expanded_text: text.clone(),
        text,
        rewrite_enabled: kept["rewrite"] == true,
        outdated: kept["outdated"] != false,
    })
}

/// What an external table keeps beside the files of its bucket.
const EXTERNAL: &str = "feitian.external";

/// The pairs of SERDEPROPERTIES.
fn serde_properties(external: &Value) -> Vec<(String, String)> {
    let pair = |pair: &Value| Some((pair[0].as_str()?.to_string(), pair[1].as_str()?.to_string()));
    external["options"].as_array().into_iter().flatten().filter_map(pair).collect()
}

/// A property that feitian keeps as JSON text.
pub(super) fn json_property(properties: &Map<String, Value>, key: &str) -> Option<Value> {
    serde_json::from_str(properties.get(key)?.as_str()?).ok()
}

/// The column that AUTO PARTITIONED BY fills, and its expression as clients evaluate it: calls after their arguments
/// (`odps/expressions/core.py` of PyODPS).
fn generated(table: &Table, properties: &Map<String, Value>) -> Option<(String, String)> {
    let auto = json_property(properties, "feitian.auto_partition")?;
    let source = table.schema.columns.iter().find(|c| auto["source"] == c.name.as_str())?;
    let expression = json!([
        { "leafExprDesc": { "reference": { "name": source.name }, "type": source.ty.to_string() } },
        { "leafExprDesc": { "constant": auto["unit"], "type": "string" } },
        { "functionCall": { "name": "trunc_time", "type": "string" } },
    ]);
    Some((table.schema.partition_columns.first()?.name.clone(), expression.to_string()))
}

/// The object behind `Reserved`: what clients ask of a table beyond its columns.
fn reserved(table: &Table, properties: &Map<String, Value>) -> Map<String, Value> {
    let mut reserved = Map::from_iter([("schema_version".to_string(), json!(table.schema_version.to_string()))]);
    let mut put = |key: &str, value: Value| reserved.insert(key.to_string(), value);
    // SQL reads these in any case.
    let told = |key: &str| properties.iter().find(|(k, _)| k.eq_ignore_ascii_case(key)).map(|(_, v)| v);
    let lower = |key: &str| told(key).and_then(Value::as_str).map(str::to_lowercase);
    if lower("transactional").as_deref() == Some("true") {
        put("Transactional", json!("true"));
    }
    let is_column = |name: &Value| table.schema.columns.iter().any(|c| name == c.name.as_str());
    // A key that nothing enforces does not keep its columns from going.
    let is_there = |key: &Value| key.as_array().is_some_and(|names| names.iter().all(is_column));
    if let Some(key) = json_property(properties, "feitian.primary_key").filter(is_there) {
        put("PrimaryKey", key);
    }
    if let Some(format) = json_property(properties, EXTERNAL).as_ref().and_then(|e| e["stored_as"].as_str()) {
        put("StoredAs", json!(format.to_uppercase()));
    }
    // Clients fail on any other tier.
    if let Some(tier) = lower("storagetier").filter(|t| TIERS.contains(&t.as_str())) {
        put("StorageTier", json!(tier));
    }
    if let Some(clustering) = json_property(properties, "feitian.clustering") {
        let order =
            |c: &Value| json!({ "col": c["name"], "order": if c["ascending"] == false { "desc" } else { "asc" } });
        let sorted: Vec<Value> = clustering["sorted_by"].as_array().into_iter().flatten().map(order).collect();
        put("ClusterType", json!(if clustering["range"] == true { "range" } else { "hash" }));
        put("BucketNum", json!(clustering["buckets"].as_u64().unwrap_or(0)));
        put("ClusterCols", clustering["columns"].clone());
        put("SortCols", Value::Array(sorted));
    }
    reserved
}

fn document(table: &Table, sums: Option<&warehouse::TableInfo>, extended: bool) -> docs::TableDoc {
    docs::TableDoc {
        name: table.name.clone(),
        id: table.id.clone(),
        schema_json: schema_json(table, sums, extended),
        comment: table.comment.clone(),
        owner: table.owner.clone(),
        kind: table.kind.clone(),
        created_ms: table.created_ms,
        last_access_ms: None,
    }
}

async fn answer(call: Call, extended: bool) -> Answer {
    let info = call.state.warehouse.table(call.project(), call.table()).await?;
    answers::xml(docs::table(&document(&info.table, Some(&info), extended)))
}

pub async fn get(call: Call) -> Answer {
    answer(call, false).await
}

pub async fn get_extended(call: Call) -> Answer {
    answer(call, true).await
}

pub async fn list(call: Call) -> Answer {
    let kind = call.query.get("type").map(str::to_uppercase);
    if let Some(kind) = &kind
        && !KINDS.contains(&kind.as_str())
    {
        let message = format!("type must be one of {}, not '{kind}'", KINDS.join(", "));
        return Err(Error::new(Kind::Invalid, "InvalidParameter", message));
    }
    let prefix = call.query.get("name").map(str::to_lowercase);
    let (owner, marker, size) = (call.query.get("owner"), call.query.get("marker"), call.page_size(PAGE)?);
    let warehouse = &call.state.warehouse;
    let schema = call.known_schema().await?;
    let (project, kind) = (call.project(), kind.as_deref());
    let extended = call.query.has("extended");
    // The columns of every table, and the queries of views: odps:List is not odps:Describe.
    if extended && call.state.meta.access(project, &call.caller()?.account_id).await? != Access::Whole {
        let message =
            "odps:List on the project lists names; ask for the columns of each table, which takes odps:Describe";
        return Err(denied(message.to_string()));
    }
    let page = warehouse.list_tables(project, schema, prefix.as_deref(), owner, kind, marker, size).await?;
    if extended && let Identity::Token { grant, .. } = &call.identity {
        let within = call.path.get(IN_SCHEMA).map_or(String::new(), |schema| format!("schemas/{schema}/"));
        let name = |table: &Table| format!("projects/{project}/{within}tables/{}", table.name);
        if let Some(closed) = page.items.iter().map(name).find(|name| !grant.policy.allows("odps:Describe", name)) {
            let message =
                format!("the policy of this bearer token does not allow odps:Describe on acs:odps:*:{closed}");
            return Err(denied(message));
        }
    }
    let summary = |table: Table| docs::TableSummary {
        extended: extended.then(|| document(&table, None, false)),
        name: table.name,
        owner: table.owner,
        id: table.id,
        kind: table.kind,
    };
    let items: Vec<_> = page.items.into_iter().map(summary).collect();
    answers::xml(docs::tables(&items, &docs::Page { marker: page.next, max_items: Some(size as u64) }))
}

/// `?data`: the first rows as CSV, streamed.
pub async fn preview(call: Call) -> Answer {
    let most = read_limit(&call).await?;
    let limit = call.query.number("linenum")?.unwrap_or(most).min(most);
    let partition = call.partition()?;
    let warehouse = &call.state.warehouse;
    let wanted = match call.query.get("cols") {
        None => None,
        Some(_) => {
            let table = warehouse.table(call.project(), call.table()).await?.table;
            let known: Vec<_> = table.schema.all_columns().cloned().collect();
            wanted_columns(&call, "cols", &known)?
        }
    };
    let (columns, batches) = warehouse.preview(call.project(), call.table(), partition.as_ref(), wanted, limit).await?;
    let zone = project_zone(&call).await?;
    csv_answer(&call, columns, zone, batches).await
}
