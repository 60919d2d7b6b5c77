//! A table: its columns, its partitions with their sizes, and its first rows.

use askama::Template;
use chrono_tz::Tz;
use feitian_api::warehouse::TableInfo;
use feitian_api::{Answer, Call, admin, project_zone};
use feitian_base::{Error, Kind, Result};
use feitian_meta::rows::Partition;
use feitian_types::{Column, PartitionSpec};
use url::form_urlencoded::Serializer;

use super::job::{Heading, cells, heading};
use super::project::kind;
use super::shell::{Section, Shell};
use super::sql::{quoted, within_partition};
use crate::hints::{feitian, get, segment};
use crate::show::{self, fill};
use crate::sql::{Line, listing};

/// Rows of the preview.
const PREVIEW: u64 = 20;
/// Partitions of one page.
const PAGE: usize = 50;

#[derive(Template)]
#[template(path = "app/table.html")]
struct TablePage<'a> {
    shell: &'a Shell,
    name: String,
    facts: Vec<(&'static str, String)>,
    columns: Vec<ColumnLine>,
    is_partitioned: bool,
    partitions: Vec<PartitionLine>,
    next: String,
    first: String,
    /// The other order, and what the link to it says.
    turned: String,
    turn: &'static str,
    /// The text of a view.
    lines: Vec<Line>,
    preview: Preview,
    query: String,
}

struct ColumnLine {
    name: String,
    ty: String,
    nullable: bool,
    is_partition: bool,
    comment: String,
}

struct PartitionLine {
    spec: String,
    address: String,
    current: bool,
    rows: String,
    size: String,
    files: String,
    modified: show::Time,
}

#[derive(Default)]
struct Preview {
    caption: String,
    failure: String,
    columns: Vec<Heading>,
    rows: Vec<Vec<Option<String>>>,
}

/// `GET /console/projects/{project}/tables/{table}`: `partition` chooses whose rows are shown, `marker` and `order` the
/// page of partitions.
pub(super) async fn show(call: Call) -> Answer {
    let zone = project_zone(&call).await?;
    let info = admin::table_of(&call).await?;
    let mut shell = Shell::of_project(&call, Section::Tables, &show::short(call.table(), 200))?;
    let schema = &info.table.schema;
    let is_partitioned = schema.is_partitioned();
    let chosen = call.partition()?;
    let reverse = match call.query.get("order") {
        None => true,
        Some("up") => false,
        Some(other) => {
            let message = format!("query parameter 'order' must be up or missing, not '{other}'");
            return Err(Error::new(Kind::Invalid, "InvalidParameter", message));
        }
    };
    shell.hints = hints(&call, &info, chosen.as_ref(), reverse);
    let (partitions, next) = if is_partitioned {
        partitions(&call, &shell, chosen.as_ref(), reverse, zone).await?
    } else {
        (Vec::new(), String::new())
    };
    let has_marker = call.query.get("marker").is_some();
    let page = TablePage {
        name: show::short(call.table(), 200),
        facts: facts(&shell, &info, zone),
        columns: columns(&schema.columns, false).chain(columns(&schema.partition_columns, true)).collect(),
        is_partitioned,
        partitions,
        next,
        first: if has_marker { address(&shell, &call, None, None, reverse) } else { String::new() },
        turned: address(&shell, &call, None, None, !reverse),
        turn: if reverse { shell.w.earliest_first } else { shell.w.latest_first },
        lines: info.table.view_text.as_deref().map_or(Vec::new(), |text| listing(text, true, None).lines),
        preview: preview(&call, &shell, chosen.as_ref()).await,
        query: shell.within(&format!("/sql?table={}", segment(call.table()))),
        shell: &shell,
    };
    shell.answer(&page)
}

fn columns(columns: &[Column], is_partition: bool) -> impl Iterator<Item = ColumnLine> + '_ {
    columns.iter().map(move |c| ColumnLine {
        name: show::short(&c.name, 200),
        ty: show::short(&c.ty.to_string(), 1000),
        nullable: c.nullable,
        is_partition,
        comment: show::short(&c.comment, 1000),
    })
}

fn address(shell: &Shell, call: &Call, partition: Option<&str>, marker: Option<&str>, reverse: bool) -> String {
    let mut query = Serializer::new(String::new());
    let order = if reverse { None } else { Some("up") };
    for (key, value) in [("partition", partition), ("marker", marker), ("order", order)] {
        if let Some(value) = value {
            query.append_pair(key, value);
        }
    }
    let (query, table) = (query.finish(), shell.table(call.table()));
    if query.is_empty() { table } else { format!("{table}?{query}") }
}

/// A page of the partitions, and the address of the next one.
async fn partitions(
    call: &Call,
    shell: &Shell,
    chosen: Option<&PartitionSpec>,
    reverse: bool,
    zone: Tz,
) -> Result<(Vec<PartitionLine>, String)> {
    let marker = call.query.get("marker");
    let page = admin::partitions_of(call, reverse, PAGE).await?;
    let chosen = chosen.map(PartitionSpec::to_string);
    let line = |p: Partition| PartitionLine {
        address: address(shell, call, Some(&p.spec), marker, reverse),
        current: chosen.as_deref() == Some(p.spec.as_str()),
        spec: show::short(&p.spec, 400),
        rows: count(p.num_rows),
        size: size(p.num_bytes),
        files: count(p.num_files),
        modified: show::time(p.modified_ms, zone),
    };
    let of_marker = |marker: &str| address(shell, call, chosen.as_deref(), Some(marker), reverse);
    let next = page.next.as_deref().map_or(String::new(), of_marker);
    Ok((page.items.into_iter().map(line).collect(), next))
}

pub(super) fn count(n: i64) -> String {
    show::count(u64::try_from(n).unwrap_or(0))
}

pub(super) fn size(bytes: i64) -> String {
    show::bytes(u64::try_from(bytes).unwrap_or(0))
}

fn facts(shell: &Shell, info: &TableInfo, zone: Tz) -> Vec<(&'static str, String)> {
    let (w, table) = (shell.w, &info.table);
    let time = |ms| format!("{} ({})", show::time(ms, zone).text, zone.name());
    let mut facts = vec![
        (w.kind, kind(w, &table.kind).to_string()),
        (w.owner, show::short(&table.owner, 200)),
        (w.created, time(table.created_ms)),
        (w.modified, time(table.modified_ms)),
    ];
    if table.view_text.is_none() {
        facts.push((w.rows, count(info.num_rows)));
        facts.push((w.size, size(info.num_bytes)));
        facts.push((w.files, count(info.num_files)));
    }
    if table.lifecycle >= 0 {
        facts.push((w.lifecycle, fill(w.lifecycle_days, &[("n", &table.lifecycle.to_string())])));
    }
    if !table.comment.is_empty() {
        facts.push((w.comment, show::short(&table.comment, 2000)));
    }
    facts
}

/// The first rows, or why they cannot be shown: the rest of the page is of use without them.
async fn preview(call: &Call, shell: &Shell, partition: Option<&PartitionSpec>) -> Preview {
    match rows(call, shell, partition).await {
        Ok(preview) => preview,
        Err(e) => {
            let why = show::seen(e.message());
            Preview { failure: fill(shell.w.preview_failed, &[("why", &why)]), ..Preview::default() }
        }
    }
}

async fn rows(call: &Call, shell: &Shell, partition: Option<&PartitionSpec>) -> Result<Preview> {
    let w = shell.w;
    let (columns, texts) = admin::first_rows(call, partition, PREVIEW).await?;
    let n = texts.len().to_string();
    let caption = match (texts.is_empty(), partition) {
        (true, _) => w.preview_none.to_string(),
        (_, None) => fill(w.preview_caption, &[("n", &n)]),
        (_, Some(spec)) => fill(w.preview_of, &[("n", &n), ("partition", &show::short(&spec.to_string(), 400))]),
    };
    let (columns, rows) = (columns.iter().map(heading).collect(), texts.into_iter().map(cells).collect());
    Ok(Preview { caption, columns, rows, failure: String::new() })
}

fn hints(call: &Call, info: &TableInfo, chosen: Option<&PartitionSpec>, reverse: bool) -> Vec<String> {
    let sql = |text: String| feitian(["sql", "--project", call.project(), "-e", &text]);
    let (name, columns) = (quoted(call.table()), &info.table.schema.partition_columns);
    let mut hints = vec![sql(format!("DESC EXTENDED {name}"))];
    if !columns.is_empty() {
        hints.push(sql(format!("SHOW PARTITIONS {name}")));
    }
    let only = chosen.and_then(|spec| spec.values_for(columns)).map(|values| within_partition(columns, &values));
    let select = format!("SELECT * FROM {name}{} LIMIT {PREVIEW}", only.as_deref().unwrap_or_default());
    // All partitions are read only on request.
    let all = only.is_none() && !columns.is_empty();
    hints.push(if all { sql(format!("SET odps.sql.allow.fullscan=true; {select}")) } else { sql(select) });
    let (project, table, query) = (call.project(), call.table(), &call.query);
    hints.push(get(["projects", project, "tables", table], &[]));
    if !columns.is_empty() {
        let order = if reverse { "true" } else { "" };
        let page = [("reverse", order), ("marker", query.get("marker").unwrap_or_default())];
        hints.push(get(["projects", project, "tables", table, "partitions"], &page));
    }
    let (of, most) = (query.get("partition").unwrap_or_default(), PREVIEW.to_string());
    hints.push(get(["projects", project, "tables", table, "rows"], &[("partition", of), ("count", most.as_str())]));
    hints
}
