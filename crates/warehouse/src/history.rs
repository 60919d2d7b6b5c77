//! Earlier versions of a table: which of them can be read, and the table as it was then.
//!
//! A version is kept for a day from when the next one came, as long as nobody had files collected earlier; its columns must
//! be those of today.

use feitian_base::{Error, Result};
use feitian_sql::Position;
use object_store::ObjectStoreExt;

use crate::catalog::{Catalog, OpenTable};
use crate::log::{Version, store_error};
use crate::query::errors::semantic;
use crate::writer::object_path;

/// So long a version can be read after the next one has come: the files that only it names are collected then.
const KEPT_MS: i64 = 24 * 3600 * 1000;

/// A place in the history of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Point {
    Version(i64),
    /// What was the newest at this time, in milliseconds since 1970.
    Time(i64),
}

impl Catalog {
    /// The versions that are kept at `now_ms`, the newest first.
    pub(crate) async fn history(&self, table: &OpenTable, now_ms: i64) -> Result<Vec<Version>> {
        self.log(&table.row).history(table.data()?, now_ms - KEPT_MS, 0).await
    }

    /// The table as it was at `point`. `at` is where the statement names it.
    ///
    /// # Errors
    /// `ODPS-0130071`: there is no such version, it is not kept any more, or the columns have changed since.
    pub(crate) async fn at_point(
        &self,
        table: &OpenTable,
        point: Point,
        now_ms: i64,
        at: Position,
    ) -> Result<OpenTable> {
        let name = format!("{}.{}", table.row.project, table.row.local_name());
        let newest = table.data()?;
        let (since_ms, oldest) = match point {
            Point::Version(version) if version > newest.version => {
                let detail = format!("table {name} has no version {version}, its newest is {}", newest.version);
                return Err(semantic(at, detail));
            }
            Point::Version(version) => (now_ms - KEPT_MS, version),
            Point::Time(ms) => (ms.max(now_ms - KEPT_MS), 0),
        };
        let versions = self.log(&table.row).history(newest, since_ms, oldest).await?;
        let is_meant = |v: &Version| match point {
            Point::Version(version) => v.version == version,
            Point::Time(ms) => v.committed_ms <= ms,
        };
        let Some(place) = versions.iter().position(is_meant) else { return Err(gone(at, &name, &versions)) };
        let version = versions[place].version;
        if let Some(change) = versions[..place].iter().find(|v| v.describes) {
            let detail = format!(
                "version {version} of table {name} has other columns, they were changed by version {}",
                change.version
            );
            return Err(semantic(at, detail));
        }
        if version == newest.version {
            return Ok(table.clone());
        }
        let then = self.at_version(&table.row, version).await?;
        // Whoever asked for an earlier collection has the files of old versions no more.
        for file in then.files().iter().filter(|f| newest.file(&f.path).is_none()) {
            match self.store().head(&object_path(&table.row.location, &file.path)).await {
                Ok(_) => {}
                Err(object_store::Error::NotFound { .. }) => return Err(gone(at, &name, &versions[..place])),
                Err(e) => return Err(store_error(e)),
            }
        }
        Ok(OpenTable { row: table.row.clone(), snapshot: Some(then) })
    }
}

fn gone(at: Position, name: &str, kept: &[Version]) -> Error {
    let from = kept.last().map_or_else(String::new, |v| format!(", from version {} on", v.version));
    semantic(at, format!("that version of table {name} is not kept any more: those of the last 24 hours are{from}"))
}
