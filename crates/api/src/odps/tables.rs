//! Table documents and the preview as CSV.

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::response::Response;
use feitian_base::{Error, Kind};
use feitian_meta::rows::Table;
use feitian_wire::schema_json::{self, Extended, TableInfo, View};
use feitian_wire::xml::docs;
use serde_json::{Map, Value};

use super::projects::read_limit;
use crate::answers;
use crate::call::{Answer, Call};
use crate::csv::{csv_body, project_zone};
use crate::tunnel::session::wanted_columns;
use crate::warehouse;

const PAGE: usize = 1000;
const KINDS: [&str; 5] = ["MANAGED_TABLE", "EXTERNAL_TABLE", "VIRTUAL_VIEW", "MATERIALIZED_VIEW", "OBJECT_TABLE"];

fn not_negative(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(0)
}

/// The schema JSON. Sums are those of the partitions, or unknown in listings.
fn schema_json(table: &Table, sums: Option<&warehouse::TableInfo>, extended: bool) -> String {
    let properties: Map<String, Value> = serde_json::from_str(&table.properties).unwrap_or_default();
    let text = |v: Value| v.as_str().map_or_else(|| v.to_string(), str::to_string);
    let reserved = Map::from_iter([("schema_version".to_string(), Value::String(table.schema_version.to_string()))]);
    let view = table.view_text.as_ref().map(|text| View {
        text: text.clone(),
        expanded_text: text.clone(),
        ..View::default()
    });
    let info = TableInfo {
        comment: table.comment.clone(),
        owner: table.owner.clone(),
        created_ms: table.created_ms,
        modified_ms: table.modified_ms,
        last_ddl_ms: table.ddl_ms,
        view,
        lifecycle: Some(table.lifecycle).filter(|days| *days >= 0),
        size: sums.map_or(0, |s| not_negative(s.num_bytes)),
        rows: sums.map(|s| not_negative(s.num_rows)),
        generated: Vec::new(),
        extended: Extended {
            physical_size: sums.map_or(0, |s| not_negative(s.num_bytes)),
            files: sums.map_or(0, |s| not_negative(s.num_files)),
            table_properties: properties.into_iter().map(|(k, v)| (k, text(v))).collect(),
            reserved,
            ..Extended::default()
        },
    };
    schema_json::table_json(&table.schema, &info, extended)
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
    let page = warehouse.list_tables(call.project(), prefix.as_deref(), owner, kind.as_deref(), marker, size).await?;
    let extended = call.query.has("extended");
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
    let mut response = Response::new(Body::from_stream(csv_body(&columns, zone, batches)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8"));
    Ok(response)
}
