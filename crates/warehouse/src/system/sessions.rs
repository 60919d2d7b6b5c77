//! `sys.sessions`: one row for each tunnel session, until it is forgotten a day after its end.

use std::sync::Arc;

use feitian_base::Result;
use feitian_meta::{Meta, SessionRow};
use futures::FutureExt;
use futures::future::BoxFuture;

use super::column::{Cell, Col, Type, may, must};
use super::viewer::Viewer;
use super::{Pages, Reading};

/// Rows of a page, at least: where few are wanted, those of other projects are still to be passed over.
const PAGE: i64 = 200;

const KINDS: &str =
    "upload, download, stream, upsert, storage_read, storage_write, storage_stream, volume_upload or volume_download.";

/// The rows of an upload are those of its blocks, as are those of an upsert session, where one that came twice is two.
/// Nobody counts what goes through a stream.
fn record_count(row: &SessionRow) -> Cell<'_> {
    match row.session.kind.as_str() {
        "upload" | "storage_write" | "storage_stream" | "upsert" => row.block_rows.into(),
        "download" | "storage_read" => row.session.record_count.into(),
        _ => Cell::Null,
    }
}

impl Pages for Sessions {
    type Row = SessionRow;

    const COLUMNS: &'static [Col<SessionRow>] = &[
        must("session_id", Type::Text, "Id of the session.", |r| (&r.session.id).into()),
        must("kind", Type::Text, KINDS, |r| (&r.session.kind).into()),
        must("project", Type::Text, "Project of the table.", |r| (&r.session.project).into()),
        may("schema_name", Type::Text, "Schema of the table; NULL once the table is gone.", |r| {
            r.table.as_ref().map(|(schema, _)| schema).into()
        }),
        may("table_name", Type::Text, "Name of the table now; NULL once it is gone.", |r| {
            r.table.as_ref().map(|(_, name)| name).into()
        }),
        may("partition_name", Type::Text, "The partition, or the path in a volume; NULL for a whole table.", |r| {
            Some(&r.session.partition).filter(|p| !p.is_empty()).into()
        }),
        must("status", Type::Text, "normal, closing, closed, aborted or expired.", |r| (&r.session.status).into()),
        must("owner", Type::Text, "Account that opened it.", |r| (&r.session.owner).into()),
        may("record_count", Type::Int, "Rows so far, or to download; NULL for streams and volumes.", record_count),
        must("create_time", Type::Time, "When it was opened.", |r| r.session.created_ms.into()),
        must("expire_time", Type::Time, "When it can no longer be used.", |r| r.session.expires_ms.into()),
    ];

    fn next(&mut self) -> BoxFuture<'_, Result<Option<Vec<SessionRow>>>> {
        self.page().boxed()
    }
}

/// Reads the sessions in projects that a viewer may see, in the order in which they were opened.
pub(super) struct Sessions {
    meta: Meta,
    viewer: Arc<Viewer>,
    project: Option<String>,
    after: Option<String>,
    page: i64,
    is_over: bool,
}

impl Sessions {
    pub(super) fn new(reading: &Reading) -> Self {
        let project = reading.ask.equal("project");
        Self {
            meta: reading.warehouse.meta().clone(),
            viewer: reading.viewer.clone(),
            project: project.map(str::to_string),
            after: None,
            page: reading.page_rows.max(PAGE),
            is_over: reading.ask.nothing || reading.viewer.scopes(project).is_empty(),
        }
    }

    async fn page(&mut self) -> Result<Option<Vec<SessionRow>>> {
        if self.is_over {
            return Ok(None);
        }
        let mut page = self.meta.scan_sessions(self.project.as_deref(), self.after.as_deref(), self.page).await?;
        self.is_over = (page.len() as i64) < self.page;
        self.after = page.last().map(|row| row.session.id.clone());
        page.retain(|row| self.viewer.sees(&row.session.project));
        Ok(Some(page))
    }
}
