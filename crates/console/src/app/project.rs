//! A project's first page: its tables by name, and its newest jobs.

use askama::Template;
use feitian_api::warehouse::InstanceFilter;
use feitian_api::{Answer, Call, admin, project_zone};
use feitian_base::Result;
use feitian_meta::rows::Table;
use feitian_meta::{DEFAULT_SCHEMA, PartitionSums, local_name};
use url::form_urlencoded::Serializer;

use super::jobs::{self, JobLine};
use super::shell::{Section, Shell};
use super::table::{count, size};
use super::words::{self, Words};
use crate::hints::{feitian, get};
use crate::show;

/// Tables of one page.
const PAGE: usize = 100;
const NEWEST_JOBS: usize = 10;
/// More schemas are not offered as links.
const MOST_SCHEMAS: usize = 200;

#[derive(Template)]
#[template(path = "app/project.html")]
struct ProjectPage<'a> {
    shell: &'a Shell,
    schemas: Vec<SchemaLink>,
    /// The schema when it is not the default one.
    schema: String,
    prefix: String,
    tables: Vec<Line>,
    next: String,
    jobs: Vec<JobLine>,
    zone: &'static str,
}

struct SchemaLink {
    name: String,
    address: String,
    current: bool,
}

struct Line {
    name: String,
    address: String,
    kind: &'static str,
    owner: String,
    comment: String,
    modified: show::Time,
    /// What it holds; all empty for a view.
    rows: String,
    size: String,
    files: String,
    /// Why that is not said; empty when it is.
    not_said: &'static str,
}

/// What kind of thing a table is, in words.
pub(super) fn kind(w: &Words, kind: &str) -> &'static str {
    if kind == "VIRTUAL_VIEW" { w.kind_view } else { w.kind_table }
}

/// `GET /console/projects/{project}`
pub(super) async fn show(call: Call) -> Answer {
    let words = words::of(&call)?;
    let mut shell = Shell::of_project(&call, Section::Tables, words.overview)?;
    let zone = project_zone(&call).await?;
    let schema = call.query.get("schema").unwrap_or(DEFAULT_SCHEMA).to_lowercase();
    let prefix = call.query.get("prefix").unwrap_or_default().trim().to_lowercase();
    let page = admin::tables_of(&call, PAGE).await?;
    let next = page.next.map_or(String::new(), |marker| address(&shell, &schema, &prefix, Some(&marker)));
    let line = |(t, sums): (Table, Option<PartitionSums>)| Line {
        address: shell.table(&local_name(&t.schema_name, &t.name)),
        name: show::short(&t.name, 200),
        kind: kind(shell.w, &t.kind),
        owner: show::short(&t.owner, 200),
        comment: show::short(&t.comment, 200),
        modified: show::time(t.modified_ms, zone),
        rows: sums.map_or(String::new(), |s| count(s.num_rows)),
        size: sums.map_or(String::new(), |s| size(s.num_bytes)),
        files: sums.map_or(String::new(), |s| count(s.num_files)),
        not_said: if sums.is_none() && t.view_text.is_none() { shell.w.many_partitions } else { "" },
    };
    let tables: Vec<Line> = page.items.into_iter().map(line).collect();
    let newest = admin::instances_of(&call, InstanceFilter::default(), None, NEWEST_JOBS).await?;
    let jobs: Vec<JobLine> = newest.items.into_iter().map(|i| jobs::line(&shell, i, zone)).collect();
    let schemas = schema_links(&call, &shell, &schema).await?;
    shell.hints = hints(&call, &schema, &prefix);
    let schema = if schema == DEFAULT_SCHEMA { String::new() } else { schema };
    shell.answer(&ProjectPage { shell: &shell, schemas, schema, prefix, tables, next, jobs, zone: zone.name() })
}

fn hints(call: &Call, schema: &str, prefix: &str) -> Vec<String> {
    let project = call.project();
    let (show_tables, in_schema) = match schema {
        DEFAULT_SCHEMA => ("SHOW TABLES".to_string(), ""),
        other => (format!("SHOW TABLES IN {project}.{other}"), other),
    };
    let marker = call.query.get("marker").unwrap_or_default();
    vec![
        feitian(["sql", "--project", project, "-e", &show_tables]),
        feitian(["instance", "list", "--project", project, "--limit", "10"]),
        get(["projects", project, "tables"], &[("schema", in_schema), ("prefix", prefix), ("marker", marker)]),
        get(["projects", project, "instances"], &[("maxitems", "10")]),
        get(["projects", project, "schemas"], &[]),
    ]
}

fn address(shell: &Shell, schema: &str, prefix: &str, marker: Option<&str>) -> String {
    let mut query = Serializer::new(String::new());
    for (key, value) in [("schema", schema), ("prefix", prefix), ("marker", marker.unwrap_or_default())] {
        if !value.is_empty() && (key, value) != ("schema", DEFAULT_SCHEMA) {
            query.append_pair(key, value);
        }
    }
    let query = query.finish();
    if query.is_empty() { shell.within("") } else { shell.within(&format!("?{query}")) }
}

/// Links to the schemas of the project; none when it has only the default one.
async fn schema_links(call: &Call, shell: &Shell, current: &str) -> Result<Vec<SchemaLink>> {
    let schemas = admin::schemas_of(call, None, MOST_SCHEMAS).await?.items;
    if schemas.len() < 2 {
        return Ok(Vec::new());
    }
    let link = |name: String| SchemaLink {
        address: address(shell, &name, "", None),
        current: name == current,
        name: show::short(&name, 200),
    };
    Ok(schemas.into_iter().map(|s| link(s.name)).collect())
}
