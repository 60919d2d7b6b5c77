//! SHOW HISTORY: the versions of a table that can be read or restored.

use std::fmt::Write;

use feitian_base::Result;
use feitian_functions::parse_zone;
use feitian_functions::time::{datetime_text, local_of_millis};
use feitian_sql::Position;
use sqlparser::ast::{ObjectName, Spanned};

use super::open;
use crate::log::Version;
use crate::query::Session;
use crate::query::errors::semantic;

/// What a version did, in the words of the original where it has some.
fn operation(version: &Version) -> &str {
    match version.operation.as_str() {
        _ if version.version == 0 => "CREATE",
        _ if version.describes => "ALTER",
        "WRITE" => "APPEND",
        "OPTIMIZE" => "COMPACT",
        other => other,
    }
}

/// `SHOW HISTORY FOR TABLE t`: the oldest first, columns apart by tabs.
pub(crate) async fn history(session: &Session, name: &ObjectName) -> Result<String> {
    let at = Position::from(name.span());
    let table = open(session, name).await?;
    if table.snapshot.is_none() {
        let detail = format!("{}.{} has no versions of its own", table.row.project, table.row.local_name());
        return Err(semantic(at, detail));
    }
    let zone = parse_zone(&session.settings.time_zone()?).map_err(|e| semantic(at, e.details))?;
    let versions = session.warehouse.catalog().history(&table, session.statement_ms()).await?;
    let mut text = String::from("ObjectType\tObjectId\tObjectName\tVERSION(LSN)\tTime\tOperation\n");
    for v in versions.iter().rev() {
        let time = local_of_millis(v.committed_ms, zone).map(datetime_text).unwrap_or_default();
        let (id, name) = (&table.row.id, &table.row.name);
        let _ = writeln!(text, "TABLE\t{id}\t{name}\t{:016}\t{time}\t{}", v.version, operation(v));
    }
    Ok(text)
}
