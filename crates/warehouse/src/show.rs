//! SHOW and DESC: what there is, as the text that clients of the original read.

mod desc;
mod history;
mod jobs;
mod registry;
mod statistic;

use std::fmt::Write;

use feitian_base::Result;
use feitian_functions::time::{datetime_text, local_of_millis};
use feitian_meta::{Claim, DEFAULT_SCHEMA, SYSTEM_PROJECT, Table, Target};
use feitian_sql::{Listed, Position, object_parts};
use feitian_types::{Column, DataType, PartitionSpec};
use serde_json::{Map, Value};
use sqlparser::ast::{ObjectName, Spanned};

use crate::auto_partition::AutoPartition;
use crate::catalog::OpenTable;
use crate::external::{self, EXTERNAL_TABLE};
use crate::keys::key_names;
use crate::materialized::{Kept, MATERIALIZED_VIEW};
use crate::query::errors::{self, semantic};
use crate::query::{Session, names, rights};
use crate::system::SystemTable;

pub(crate) use desc::desc;
pub(crate) use history::history;
pub(crate) use jobs::{describe as job, flags, kill, list as jobs, status as job_status};
pub(crate) use registry::{desc_function, desc_resource, functions, resources};
pub(crate) use statistic::statistic;

/// So many rows are read from the metadata at once.
const PAGE: i64 = 1000;

async fn open(session: &Session, name: &ObjectName) -> Result<OpenTable> {
    let at = Position::from(name.span());
    let (project, table, _) = names::table_name(name, session)?;
    if let Some(system) = SystemTable::named(&project, &table) {
        return Ok(system.described());
    }
    rights::enter(session, &project).await?;
    let open = session.warehouse.catalog().open(&project, &table).await.map_err(|e| match e.code() {
        "ODPS-0130131" => errors::no_table(at, &project, &table),
        _ => e,
    })?;
    rights::check_table(session, &open.row, "Describe", at).await?;
    Ok(open)
}

/// The schema that `IN schema`, `IN project` or `IN project.schema` names.
async fn scope_of(session: &Session, scope: Option<&ObjectName>) -> Result<names::SchemaName> {
    let at = scope.map_or(Position::UNKNOWN, |s| s.span().into());
    let parts = scope.map(object_parts).unwrap_or_default();
    let (project, schema) = match parts.as_slice() {
        [] => (session.project(), session.schema()),
        [schema] if session.settings.has_schemas() && *schema != session.project() && schema != SYSTEM_PROJECT => {
            (session.project(), schema.as_str())
        }
        [project] => (project.as_str(), DEFAULT_SCHEMA),
        [project, schema] => (project.as_str(), schema.as_str()),
        _ => return Err(semantic(at, "a schema is named by project and schema")),
    };
    let name = names::SchemaName { project: project.to_string(), name: schema.to_string(), at };
    rights::check_project(session, &name.project, "List").await?;
    // The tables of the system need no project in which to be.
    if name.project != SYSTEM_PROJECT || name.name != DEFAULT_SCHEMA {
        names::check_schema_exists(session, &name).await?;
    }
    Ok(name)
}

/// True if `name` fits a pattern in which `*` is any text; letter case does not matter.
fn fits(name: &str, pattern: &str) -> bool {
    let (name, pattern) = (name.to_lowercase(), pattern.to_lowercase());
    let mut parts = pattern.split(['*', '%']);
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// `SHOW TABLES`: a blank line, then `owner:table` lines.
pub(crate) async fn tables(
    session: &Session,
    scope: Option<&ObjectName>,
    like: Option<&str>,
    listed: Listed,
) -> Result<String> {
    let schema = scope_of(session, scope).await?;
    let meta = session.warehouse.meta();
    let kind = match listed {
        Listed::All => None,
        Listed::Views => Some("VIRTUAL_VIEW"),
        Listed::External => Some(EXTERNAL_TABLE),
        Listed::Materialized => Some(MATERIALIZED_VIEW),
    };
    // Names are in lower case; what stands before the first star bounds what is read.
    let prefix = like.and_then(|l| l.split(['*', '%']).next()).unwrap_or_default().to_lowercase();
    let (mut text, mut after) = (String::from("\n"), None::<String>);
    if schema.project == SYSTEM_PROJECT && schema.name == DEFAULT_SCHEMA && kind.is_none() {
        for name in SystemTable::ALL.map(SystemTable::name).iter().filter(|n| like.is_none_or(|l| fits(n, l))) {
            let _ = writeln!(text, "{SYSTEM_PROJECT}:{name}");
        }
    }
    loop {
        let page = meta.list_names(&schema.project, &schema.name, &prefix, kind, after.as_deref(), PAGE).await?;
        for (name, owner) in page.iter().filter(|(name, _)| like.is_none_or(|l| fits(name, l))) {
            let _ = writeln!(text, "{owner}:{name}");
        }
        match page.last() {
            Some((last, _)) if page.len() as i64 == PAGE => after = Some(last.clone()),
            _ => return Ok(text),
        }
    }
}

/// `SHOW PARTITIONS`: a blank line, then `ds=20240101/hh=05` lines.
pub(crate) async fn partitions(
    session: &Session,
    table: &ObjectName,
    partition: Option<&PartitionSpec>,
) -> Result<String> {
    let at = Position::from(table.span());
    let open = open(session, table).await?;
    let columns = &open.row.schema.partition_columns;
    if columns.is_empty() {
        return Err(semantic(at, format!("{}.{} is not a partitioned table", open.row.project, open.row.local_name())));
    }
    let wanted = partition.map(|p| p.0.as_slice()).unwrap_or_default();
    if let Some((unknown, _)) = wanted.iter().find(|(n, _)| !columns.iter().any(|c| c.name == *n)) {
        return Err(semantic(at, format!("{unknown} is no partition column")));
    }
    let mut text = String::from("\n");
    for row in session.warehouse.meta().all_partitions(&open.row.id).await? {
        let value = |name: &str| columns.iter().position(|c| c.name == name).map(|i| row.values[i].as_str());
        if wanted.iter().all(|(n, v)| value(n) == Some(v.as_str())) {
            let _ = writeln!(text, "{}", row.spec);
        }
    }
    Ok(text)
}

/// `SHOW SCHEMAS [IN project]`: one name a line.
pub(crate) async fn schemas(session: &Session, project: Option<&ObjectName>) -> Result<String> {
    let project = project.map_or_else(|| session.project().to_string(), |p| object_parts(p).join("."));
    rights::check_project(session, &project, "List").await?;
    let (mut text, mut after) = (String::new(), None::<String>);
    loop {
        let page = session.warehouse.meta().list_schemas(&project, "", after.as_deref(), PAGE).await?;
        page.iter().for_each(|s| text.extend([s.name.as_str(), "\n"]));
        match page.last() {
            Some(last) if page.len() as i64 == PAGE => after = Some(last.name.clone()),
            _ => return Ok(text),
        }
    }
}

/// `DESC SCHEMA`: a JSON object, which is what PyODPS reads (`odps/models/schema.py`, `SchemaDescription`).
pub(crate) async fn schema(session: &Session, name: &ObjectName) -> Result<String> {
    let name = names::schema_of(session, name)?;
    let read = Target::of_project(&name.project, "schemas", &name.name);
    let wanted = [("Read", Target::project(&name.project)), ("Read", read)];
    rights::check(session, &name.project, &wanted, Claim::Nothing).await?;
    let schema = names::check_schema_exists(session, &name).await?;
    let zone = session.settings.time_zone()?;
    let zone = feitian_functions::parse_zone(&zone).map_err(|e| semantic(name.at, e.details))?;
    let time = |ms: i64| local_of_millis(ms, zone).map(datetime_text).unwrap_or_default();
    let json = serde_json::json!({
        "name": schema.name,
        "owner": schema.owner,
        "description": schema.comment,
        "createTime": time(schema.created_ms),
        "modifyTime": time(schema.modified_ms),
        "type": "MANAGED",
    });
    Ok(json.to_string())
}

/// A string literal.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'").replace('\n', "\\n"))
}

fn name_text(name: &str) -> String {
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if plain { name.to_string() } else { format!("`{}`", name.replace('`', "``")) }
}

fn column_text(column: &Column) -> String {
    let mut text = format!("{} {}", name_text(&column.name), type_text(&column.ty));
    if !column.nullable {
        text.push_str(" NOT NULL");
    }
    if let Some(default) = &column.default {
        let _ = write!(text, " DEFAULT {default}");
    }
    if !column.comment.is_empty() {
        let _ = write!(text, " COMMENT {}", quoted(&column.comment));
    }
    text
}

/// A type with its words in upper case and the fields of structs as they are.
fn type_text(ty: &DataType) -> String {
    match ty {
        DataType::Array(element) => format!("ARRAY<{}>", type_text(element)),
        DataType::Map(key, value) => format!("MAP<{},{}>", type_text(key), type_text(value)),
        DataType::Struct(fields) => {
            let plain = |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            let field = |(name, ty): &(String, DataType)| match plain(name) {
                true => format!("{name}:{}", type_text(ty)),
                false => format!("`{name}`:{}", type_text(ty)),
            };
            format!("STRUCT<{}>", fields.iter().map(field).collect::<Vec<_>>().join(","))
        }
        ty => ty.to_string().to_uppercase(),
    }
}

/// The CLUSTERED BY clause that the properties keep, with a blank before it.
fn clustering(row: &Table) -> String {
    let all: Map<String, Value> = serde_json::from_str(&row.properties).unwrap_or_default();
    let kept = all.get(crate::ddl::CLUSTERING).and_then(Value::as_str);
    let Some(kept) = kept.and_then(|t| serde_json::from_str::<Value>(t).ok()) else { return String::new() };
    let list = |key: &str| kept[key].as_array().cloned().unwrap_or_default();
    let names: Vec<String> = list("columns").iter().filter_map(Value::as_str).map(str::to_string).collect();
    let range = if kept["range"].as_bool() == Some(true) { "RANGE " } else { "" };
    let mut text = format!(" {range}CLUSTERED BY ({})", names.join(", "));
    let sorted = list("sorted_by");
    let order = |c: &Value| {
        let way = if c["ascending"].as_bool() == Some(false) { "DESC" } else { "ASC" };
        format!("{} {way}", c["name"].as_str().unwrap_or_default())
    };
    if !sorted.is_empty() {
        let _ = write!(text, " SORTED BY ({})", sorted.iter().map(order).collect::<Vec<_>>().join(", "));
    }
    if let Some(buckets) = kept["buckets"].as_u64() {
        let _ = write!(text, " INTO {buckets} BUCKETS");
    }
    text
}

/// `SHOW CREATE TABLE`: a statement that creates a table like this one.
pub(crate) async fn create_table(session: &Session, table: &ObjectName) -> Result<String> {
    let row = open(session, table).await?.row;
    let name = format!("{}.{}", row.project, row.local_name());
    let list = |columns: &[Column]| columns.iter().map(column_text).collect::<Vec<_>>().join(", ");
    if let Some(query) = &row.view_text {
        let names = row.schema.columns.iter().map(|c| format!("`{}`", c.name)).collect::<Vec<_>>().join(", ");
        return Ok(format!("CREATE VIEW IF NOT EXISTS {name}({names}) AS {query};"));
    }
    if let Some(kept) = Kept::of(&row) {
        return Ok(materialized_view(&row, &name, &kept));
    }
    if external::is_external(&row) {
        return external_table(&row, &name, (&list(&row.schema.columns), &list(&row.schema.partition_columns)));
    }
    let mut text = format!("CREATE TABLE IF NOT EXISTS {name}({}", list(&row.schema.columns));
    let key = key_names(&row);
    if !key.is_empty() {
        let names: Vec<String> = key.iter().map(|name| name_text(name)).collect();
        let _ = write!(text, ", PRIMARY KEY({})", names.join(", "));
    }
    text.push(')');
    if !row.comment.is_empty() {
        let _ = write!(text, " COMMENT {}", quoted(&row.comment));
    }
    match (AutoPartition::of(&row), row.schema.partition_columns.as_slice()) {
        (_, []) => {}
        (Some(auto), [column]) => {
            let _ = write!(text, " AUTO PARTITIONED BY ({} AS `{}`)", auto.sql(), column.name);
        }
        (_, columns) => {
            let _ = write!(text, " PARTITIONED BY ({})", list(columns));
        }
    }
    text.push_str(&clustering(&row));
    text.push_str(" STORED AS ALIORC");
    text.push_str(&properties_text(" TBLPROPERTIES", &properties(&row)));
    if row.lifecycle > 0 {
        let _ = write!(text, " LIFECYCLE {}", row.lifecycle);
    }
    text.push(';');
    Ok(text)
}

/// Properties behind their words; nothing if there are none.
fn properties_text(words: &str, properties: &[(String, String)]) -> String {
    if properties.is_empty() {
        return String::new();
    }
    let pairs = properties.iter().map(|(k, v)| format!("{}={}", quoted(k), quoted(v))).collect::<Vec<_>>();
    format!("{words} ({})", pairs.join(","))
}

/// The same for a table whose files are not its own.
fn external_table(row: &Table, name: &str, (columns, partitions): (&str, &str)) -> Result<String> {
    let clauses = external::Clauses::of(row)?;
    let mut text = format!("CREATE EXTERNAL TABLE IF NOT EXISTS {name}({columns})");
    if !row.comment.is_empty() {
        let _ = write!(text, " COMMENT {}", quoted(&row.comment));
    }
    if !partitions.is_empty() {
        let _ = write!(text, " PARTITIONED BY ({partitions})");
    }
    if let Some(class) = &clauses.row_format {
        let _ = write!(text, " ROW FORMAT SERDE {}", quoted(class));
    }
    if let Some(handler) = &clauses.handler {
        let _ = write!(text, " STORED BY {}", quoted(handler));
    }
    if let Some(format) = &clauses.stored_as {
        let _ = write!(text, " STORED AS {}", format.to_uppercase());
    }
    text.push_str(&properties_text(" WITH SERDEPROPERTIES", &clauses.options));
    let _ = write!(text, " LOCATION {}", quoted(&clauses.location));
    text.push_str(&properties_text(" TBLPROPERTIES", &properties(row)));
    text.push(';');
    Ok(text)
}

/// The same for a materialized view.
fn materialized_view(row: &Table, name: &str, kept: &Kept) -> String {
    let column = |c: &Column| match c.comment.as_str() {
        "" => name_text(&c.name),
        comment => format!("{} COMMENT {}", name_text(&c.name), quoted(comment)),
    };
    let columns = row.schema.all_columns().map(column).collect::<Vec<_>>().join(", ");
    let mut text = format!("CREATE MATERIALIZED VIEW IF NOT EXISTS {name}");
    if row.lifecycle > 0 {
        let _ = write!(text, " LIFECYCLE {}", row.lifecycle);
    }
    let _ = write!(text, " ({columns})");
    if !kept.rewrite {
        text.push_str(" DISABLE REWRITE");
    }
    if !row.comment.is_empty() {
        let _ = write!(text, " COMMENT {}", quoted(&row.comment));
    }
    if row.schema.is_partitioned() {
        let on = row.schema.partition_columns.iter().map(|c| name_text(&c.name)).collect::<Vec<_>>().join(", ");
        let _ = write!(text, " PARTITIONED ON ({on})");
    }
    text.push_str(&clustering(row));
    text.push_str(&properties_text(" TBLPROPERTIES", &properties(row)));
    let _ = write!(text, " AS {};", kept.query);
    text
}

/// The properties that a user set.
fn properties(row: &Table) -> Vec<(String, String)> {
    let all: Map<String, Value> = serde_json::from_str(&row.properties).unwrap_or_default();
    let text = |v: Value| v.as_str().map_or_else(|| v.to_string(), str::to_string);
    all.into_iter().filter(|(k, _)| !k.starts_with("feitian.")).map(|(k, v)| (k, text(v))).collect()
}

#[cfg(test)]
mod tests {
    use super::fits;

    // MaxCompute documentation, "SHOW TABLES": `*` stands for any text.
    #[test]
    fn like_of_show_tables_knows_the_star() {
        for (name, pattern, wanted) in [
            ("ods_user", "ods_*", true),
            ("ods_user", "*user", true),
            ("ods_user", "o*_*r", true),
            ("ods_user", "ods", false),
            ("ods_user", "ODS_USER", true),
            ("aa", "a*a*a", false),
            ("x", "*", true),
        ] {
            assert_eq!(fits(name, pattern), wanted, "{name} like {pattern}");
        }
    }
}
