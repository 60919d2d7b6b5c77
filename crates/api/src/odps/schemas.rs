//! Schemas of a project.

use axum::http::StatusCode;
use feitian_base::{Error, Kind, Result, clock};
use feitian_meta::rows::{Schema, Step};
use feitian_wire::xml::{docs, parse_schema_name};

use crate::answers::{self, set_header};
use crate::call::{Answer, Call};

const PAGE: usize = 1000;
/// As for tables.
const MAX_NAME: usize = 128;

fn document(schema: Schema) -> docs::SchemaDoc {
    docs::SchemaDoc {
        name: schema.name,
        owner: schema.owner,
        description: schema.comment,
        created_ms: schema.created_ms,
        modified_ms: schema.modified_ms,
    }
}

pub async fn list(call: Call) -> Answer {
    let size = call.page_size(PAGE)?;
    let prefix = call.query.get("name").unwrap_or_default().to_lowercase();
    let marker = call.query.get("marker");
    let mut found = call.state.meta.list_schemas(call.project(), &prefix, marker, size as i64 + 1).await?;
    let next = (found.len() > size).then(|| found[size - 1].name.clone());
    found.truncate(size);
    if let Some(owner) = call.query.get("owner") {
        found.retain(|s| s.owner == owner);
    }
    let items: Vec<_> = found.into_iter().map(document).collect();
    answers::xml(docs::schemas(&items, &docs::Page { marker: next, max_items: Some(size as u64) }))
}

pub async fn get(call: Call) -> Answer {
    let name = call.segment("schema");
    let missing = || {
        let message = format!("Schema not found - '{}.{name}'", call.project());
        Error::new(Kind::NotFound, "NoSuchObject", message)
    };
    let schema = call.state.meta.schema(call.project(), name).await?.ok_or_else(missing)?;
    let (owner, created_ms, modified_ms) = (schema.owner.clone(), schema.created_ms, schema.modified_ms);
    let mut response = answers::xml(docs::schema(&document(schema)))?;
    // Clients read these headers without asking whether they are there.
    set_header(&mut response, "x-odps-owner", &owner);
    set_header(&mut response, "x-odps-creation-time", &docs::http_date(created_ms));
    set_header(&mut response, "last-modified", &docs::http_date(modified_ms));
    Ok(response)
}

fn check_name(name: &str, project: &str) -> Result<()> {
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if name.is_empty() || name.len() > MAX_NAME || !plain || name == project {
        let rule = format!("at most {MAX_NAME} letters, digits and underscores, and is not the project's");
        let message = format!("invalid schema name '{name}': a name has {rule}");
        return Err(Error::new(Kind::Invalid, "InvalidArgument", message));
    }
    Ok(())
}

pub async fn create(call: Call) -> Answer {
    let request = parse_schema_name(&call.document().await?)?;
    let name = request.name.to_lowercase();
    check_name(&name, call.project())?;
    let now = clock::tick_ms();
    let schema = Schema {
        project: call.project().to_string(),
        name,
        owner: call.caller()?.name.clone(),
        comment: request.description,
        created_ms: now,
        modified_ms: now,
    };
    call.state.meta.create_schema(&schema, &Step::None).await?;
    answers::empty(StatusCode::CREATED)
}

pub async fn delete(call: Call) -> Answer {
    call.state.meta.drop_schema(call.project(), call.segment("schema"), &Step::None).await?;
    answers::empty(StatusCode::OK)
}
