//! Project documents, and the properties that the edge itself reads.

use feitian_base::{Error, Kind, Result};
use feitian_meta::rows::Project;
use feitian_wire::xml::docs;

use super::quotas;
use crate::admin::projects::{properties, visible};
use crate::answers::{self, set_header};
use crate::call::{Answer, Call};

/// Project property with the most rows that previews and limited results show.
const READ_LIMIT_PROPERTY: &str = "READ_TABLE_MAX_ROW";

async fn this(call: &Call) -> Result<Project> {
    let gone = || Error::new(Kind::NotFound, "NoSuchObject", format!("Project not found - '{}'", call.project()));
    call.state.meta.project(call.project()).await?.ok_or_else(gone)
}

/// One property of the project; `None` when it is not set or empty.
pub async fn property(call: &Call, key: &str) -> Result<Option<String>> {
    Ok(properties(&this(call).await?).remove(key).filter(|v| !v.is_empty()))
}

/// The most rows of a result that are shown outside an unlimited download.
pub async fn read_limit(call: &Call) -> Result<u64> {
    let set = property(call, READ_LIMIT_PROPERTY).await?.and_then(|text| text.parse().ok());
    Ok(set.unwrap_or(call.state.settings.limits.result_rows))
}

fn document(call: &Call, project: &Project) -> docs::Project {
    let zero = |key: &str| (key.to_string(), "0".to_string());
    docs::Project {
        name: project.name.clone(),
        comment: project.comment.clone(),
        owner: project.owner_name.clone(),
        state: "AVAILABLE".into(),
        region: call.state.settings.region.clone(),
        tenant_id: "1".into(),
        default_quota: quotas::NAME.into(),
        created_ms: project.created_ms,
        modified_ms: project.modified_ms,
        properties: properties(project).into_iter().collect(),
        // There is one storage tier and nobody is charged for it.
        extended_properties: ["chargableLowFreqStorageSize", "chargableLongTermStorageSize"].map(zero).into(),
    }
}

pub async fn get(call: Call) -> Answer {
    let project = this(&call).await?;
    let mut response = answers::xml(docs::project(&document(&call, &project), call.query.has("extended")))?;
    // Clients read these headers without asking whether they are there.
    set_header(&mut response, "x-odps-owner", &project.owner_name);
    set_header(&mut response, "x-odps-creation-time", &docs::http_date(project.created_ms));
    set_header(&mut response, "last-modified", &docs::http_date(project.modified_ms));
    Ok(response)
}

/// The projects in which the caller may act.
pub async fn list(call: Call) -> Answer {
    call.refuse_parameters(&["user", "group", "region", "tenant", "quotanickname", "quota_name", "quota_type"])?;
    let prefix = call.query.get("name").unwrap_or_default().to_lowercase();
    let (mut projects, marker) = visible(&call, call.caller()?, &prefix, false).await?;
    if let Some(owner) = call.query.get("owner") {
        projects.retain(|p| p.owner_name == owner);
    }
    let items: Vec<docs::Project> = projects.iter().map(|p| document(&call, p)).collect();
    answers::xml(docs::projects(&items, &docs::Page { marker, max_items: None }))
}
