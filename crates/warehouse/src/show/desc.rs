//! DESC: the boxes that the original's console prints, byte by byte the same widths.

use std::fmt::Write;

use feitian_base::{Kind, Result};
use feitian_functions::parse_zone;
use feitian_functions::time::{datetime_text, local_of_millis};
use feitian_meta::{Partition, Table};
use feitian_sql::Position;
use feitian_types::{Column, PartitionSpec};
use sqlparser::ast::{ObjectName, Spanned};

use super::open;
use crate::catalog::OpenTable;
use crate::external;
use crate::keys::key_names;
use crate::materialized::{self, Kept};
use crate::query::Session;
use crate::query::errors::{semantic, statement_error};

const WIDTH: usize = 84;

fn rule() -> String {
    format!("+{}+\n", "-".repeat(WIDTH))
}

fn left(text: &str, width: usize) -> String {
    let missing = width.saturating_sub(text.chars().count());
    format!("{text}{}", " ".repeat(missing))
}

/// Times as the session's clock shows them.
struct Clock(chrono_tz::Tz);

impl Clock {
    fn text(&self, ms: i64) -> String {
        local_of_millis(ms, self.0).map(datetime_text).unwrap_or_default()
    }

    fn times(&self, created: i64, ddl: i64, modified: i64) -> String {
        let line = |name: &str, ms: i64| format!("| {} {} |\n", left(name, 25), left(&self.text(ms), 56));
        line("CreateTime:", created) + &line("LastDDLTime:", ddl) + &line("LastModifiedTime:", modified)
    }
}

/// `DESC [EXTENDED] t [PARTITION (…)]`
pub(crate) async fn desc(
    session: &Session,
    name: &ObjectName,
    extended: bool,
    partition: Option<&PartitionSpec>,
) -> Result<String> {
    let at = Position::from(name.span());
    let table = open(session, name).await?;
    let zone = session.settings.time_zone()?;
    let clock = Clock(parse_zone(&zone).map_err(|e| semantic(at, e.details))?);
    let schema = session.settings.has_schemas().then_some(table.row.schema_name.as_str());
    let Some(spec) = partition else {
        let labels = session.warehouse.meta().labels(&table.row.id).await?;
        return Ok(describe(&table, schema, extended, &clock, &labels));
    };
    let columns = &table.row.schema.partition_columns;
    let values = spec.values_for(columns).ok_or_else(|| {
        let detail = format!("({spec}) must give a value for every partition column");
        statement_error(Kind::Invalid, "ODPS-0130191", at, "Invalid column or partition key", &detail)
    })?;
    let pairs: Vec<String> = columns.iter().zip(&values).map(|(c, v)| format!("{}={v}", c.name)).collect();
    let found = session.warehouse.meta().partition(&table.row.id, &pairs.join("/")).await?;
    match found {
        Some(partition) => Ok(describe_partition(&partition, extended, &clock)),
        None => {
            let name = format!("{}.{}", table.row.project, table.row.local_name());
            let detail =
                format!("partition {} of {name}; SHOW PARTITIONS {name} lists those that exist", pairs.join("/"));
            Err(statement_error(Kind::NotFound, "ODPS-0130271", at, "Partition does not exist", &detail))
        }
    }
}

fn describe_partition(p: &Partition, extended: bool, clock: &Clock) -> String {
    let mut text = rule();
    let _ = writeln!(text, "| PartitionSize: {} |", left(&p.num_bytes.to_string(), 67));
    text += &rule();
    text += &clock.times(p.created_ms, p.ddl_ms, p.modified_ms);
    text += &rule();
    if extended {
        for (name, value) in [
            ("LifeCycle:", "-1".to_string()),
            ("IsExstore:", "false".to_string()),
            ("IsArchived:", "false".to_string()),
            ("PhysicalSize:", p.num_bytes.to_string()),
            ("FileNum:", p.num_files.to_string()),
        ] {
            let _ = writeln!(text, "| {} {} |", left(name, 25), left(&value, 56));
        }
        text += &rule();
    }
    text
}

/// `schema` is shown where names have one.
fn describe(
    table: &OpenTable,
    schema: Option<&str>,
    extended: bool,
    clock: &Clock,
    labels: &[(String, i64)],
) -> String {
    let row = &table.row;
    let files = table.snapshot.iter().flat_map(|s| s.files());
    let (bytes, count) = files.fold((0i64, 0i64), |(b, n), f| (b + f.num_bytes, n + 1));
    let mut text = rule();
    let _ = writeln!(text, "| Owner:                    {} |", left(&row.owner, 56));
    let _ = writeln!(text, "| Project:                  {} |", left(&row.project, 56));
    if let Some(schema) = schema {
        let _ = writeln!(text, "| Schema:                   {} |", left(schema, 56));
    }
    let _ = writeln!(text, "| TableComment: {} |", left(&row.comment, 68));
    text += &rule();
    text += &clock.times(row.created_ms, row.ddl_ms, row.modified_ms);
    if row.lifecycle > 0 {
        let _ = writeln!(text, "| Lifecycle:                {} |", left(&row.lifecycle.to_string(), 56));
    }
    text += &rule();
    match &row.view_text {
        Some(query) => {
            let _ = writeln!(text, "| {} |", left("VirtualView  : YES", WIDTH - 2));
            let _ = writeln!(text, "| ViewText: {} |", left(&query.replace('\n', " "), 72));
        }
        None if materialized::is_materialized(row) => {
            text += &materialized_view(row);
        }
        None if external::is_external(row) => {
            let _ = writeln!(text, "| {} |", left("ExternalTable: YES", WIDTH - 2));
        }
        None => {
            let _ = writeln!(text, "| InternalTable: YES      | Size: {} |", left(&bytes.to_string(), 50));
        }
    }
    text += &rule();
    text += &native_columns(&row.schema.columns, labels, extended);
    if row.schema.is_partitioned() {
        let _ = writeln!(text, "| {} |", left("Partition Columns:", WIDTH - 2));
        text += &rule();
        for c in &row.schema.partition_columns {
            let line =
                format!("| {} | {} | {} |", left(&c.name, 15), left(&c.ty.to_string(), 10), left(&c.comment, 51));
            let _ = writeln!(text, "{line}");
        }
        text += &rule();
    }
    if extended && row.view_text.is_none() {
        text += &extended_info(table, bytes, count);
    }
    text
}

/// What the box says of a materialized view.
fn materialized_view(row: &Table) -> String {
    let Some(kept) = Kept::of(row) else { return String::new() };
    let mut text = format!("| {} |\n", left("MaterializedView: YES", WIDTH - 2));
    let query = kept.query.replace('\n', " ");
    let rewrite = kept.rewrite.to_string();
    for (name, value) in
        [("ViewText:", query.as_str()), ("Rewrite Enabled:", rewrite.as_str()), ("AutoRefresh Enabled:", "false")]
    {
        let _ = writeln!(text, "| {} {} |", left(name, 25), left(value, 56));
    }
    text
}

/// A column without a label has that of the table, which goes by the empty name.
fn native_columns(columns: &[Column], labels: &[(String, i64)], extended: bool) -> String {
    let mut text = format!("| {} |\n", left("Native Columns:", WIDTH - 2));
    text += &rule();
    let widths: &[usize] = if extended { &[8, 6, 5, 13, 8, 12, 12] } else { &[15, 10, 5, 43] };
    let heads: &[&str] = if extended {
        &["Field", "Type", "Label", "ExtendedLabel", "Nullable", "DefaultValue", "Comment"]
    } else {
        &["Field", "Type", "Label", "Comment"]
    };
    let line = |cells: &[String]| {
        let cells: Vec<String> = cells.iter().zip(widths).map(|(c, w)| left(c, *w)).collect();
        format!("| {} |\n", cells.join(" | "))
    };
    text += &line(&heads.iter().map(|h| h.to_string()).collect::<Vec<_>>());
    text += &rule();
    for c in columns {
        let (name, ty, comment) = (c.name.clone(), c.ty.to_string(), c.comment.replace('\n', " "));
        let label = [c.name.as_str(), ""].into_iter().find_map(|wanted| labels.iter().find(|(name, _)| name == wanted));
        let label = label.map_or(String::new(), |(_, level)| level.to_string());
        let cells = if extended {
            let default = c.default.clone().unwrap_or_else(|| "NULL".to_string());
            vec![name, ty, label, String::new(), c.nullable.to_string(), default, comment]
        } else {
            vec![name, ty, label, comment]
        };
        text += &line(&cells);
    }
    text + &rule()
}

fn extended_info(table: &OpenTable, bytes: i64, files: i64) -> String {
    let mut text = format!("| {} |\n", left("Extended Info:", WIDTH - 2));
    text += &rule();
    let known = [
        ("TableID:", table.row.id.clone()),
        ("IsArchived:", "false".to_string()),
        ("PhysicalSize:", bytes.to_string()),
        ("FileNum:", files.to_string()),
    ];
    let key = key_names(&table.row);
    let key = (!key.is_empty()).then(|| ("PrimaryKey:", format!("[{}]", key.join(", "))));
    for (name, value) in known.into_iter().chain(key) {
        let _ = writeln!(text, "| {} {} |", left(name, 25), left(&value, 56));
    }
    if let Ok(clauses) = external::Clauses::of(&table.row) {
        let handler = clauses.handler.or(clauses.stored_as).unwrap_or_default();
        for (name, value) in [("StorageHandler", handler), ("Location", clauses.location)] {
            let _ = writeln!(text, "| {}: {} |", left(name, 20), left(&value, 60));
        }
    }
    for (name, value) in super::properties(&table.row) {
        let _ = writeln!(text, "| {} {} |", left(&format!("{name}:"), 25), left(&value, 56));
    }
    text + &rule()
}

#[cfg(test)]
mod tests {
    use super::*;

    // Widths: odpscmd prints "| Owner:                    %-56s |" and boxes of 84 dashes.
    #[test]
    fn lines_are_as_wide_as_the_box() {
        let clock = Clock(chrono_tz::Asia::Shanghai);
        for line in clock.times(0, 0, 0).lines() {
            assert_eq!(line.len(), WIDTH + 2);
        }
        assert_eq!(clock.text(0), "1970-01-01 08:00:00");
        assert!(clock.times(0, 0, 0).starts_with("| CreateTime:               1970-01-01 08:00:00 "));
        let columns = [Column::new("a", feitian_types::DataType::BigInt)];
        let text = native_columns(&columns, &[], false);
        assert!(text.contains("| a               | bigint     |       |"), "{text}");
    }
}
