//! Rows as CSV and as texts, in the time zone of the project or of the job.

use std::io::Write;

use arrow::record_batch::RecordBatch;
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::response::Response;
use chrono_tz::Tz;
use feitian_base::{Error, Result};
use feitian_meta::rows::Instance;
use feitian_types::Column;
use feitian_wire::csv::CsvWriter;
use feitian_wire::from_io;
use feitian_wire::text::to_text;
use futures::StreamExt;

use crate::call::{Answer, Call};
use crate::download::{BlockingBatches, BodyWriter, download};
use crate::odps::projects::property;
use crate::tunnel::codec::slices;
use crate::warehouse::Batches;

/// Project property and job setting with the time zone.
pub const ZONE_KEY: &str = "odps.sql.timezone";
/// The zone of projects that set none; the zone of the machine never counts.
pub const DEFAULT_ZONE: Tz = chrono_tz::Asia::Shanghai;

/// The time zone of the call's project.
pub async fn project_zone(call: &Call) -> Result<Tz> {
    Ok(property(call, ZONE_KEY).await?.and_then(|name| name.parse().ok()).unwrap_or(DEFAULT_ZONE))
}

/// The time zone under which a job ran: its own setting, else the project's.
pub async fn instance_zone(call: &Call, instance: &Instance) -> Result<Tz> {
    let settings: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(&instance.settings).unwrap_or_default();
    let own = settings.iter().find(|(key, _)| key.eq_ignore_ascii_case(ZONE_KEY)).and_then(|(_, value)| value.as_str());
    match own.and_then(|name| name.parse().ok()) {
        Some(zone) => Ok(zone),
        None => project_zone(call).await,
    }
}

/// The answer with rows as CSV: the header, then the rows of each batch as they come. It is a download like those of the
/// tunnel: one of those that may run at once, and gone when its client does not read.
pub async fn csv_answer(call: &Call, columns: Vec<Column>, zone: Tz, batches: Batches) -> Answer {
    let encode = move |batches: &mut BlockingBatches, mut out: BodyWriter| {
        let writer = CsvWriter::new(&columns, zone);
        let mut text = String::new();
        writer.header(&mut text);
        for batch in batches {
            for slice in slices(&batch?) {
                writer.rows(&slice, &mut text)?;
                out.write_all(text.as_bytes()).map_err(from_io)?;
                text.clear();
            }
        }
        out.write_all(text.as_bytes()).map_err(from_io)?;
        out.finish()
    };
    let mut response = Response::new(download(&call.state, batches, encode).await?);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8"));
    Ok(response)
}

/// The same text in memory, for few rows.
pub async fn csv_text(columns: &[Column], zone: Tz, mut batches: Batches) -> Result<String> {
    let writer = CsvWriter::new(columns, zone);
    let mut text = String::new();
    writer.header(&mut text);
    while let Some(batch) = batches.next().await {
        writer.rows(&batch?, &mut text)?;
    }
    Ok(text)
}

/// Appends the rows of `batch` as texts; `None` is NULL.
pub fn text_rows(columns: &[Column], zone: Tz, batch: &RecordBatch, rows: &mut Vec<Vec<Option<String>>>) -> Result<()> {
    if batch.num_columns() != columns.len() {
        return Err(Error::internal("a batch does not have the columns of its result"));
    }
    for row in 0..batch.num_rows() {
        let cells = columns.iter().zip(batch.columns());
        rows.push(cells.map(|(c, array)| to_text(&c.ty, array, row, zone)).collect::<Result<_>>()?);
    }
    Ok(())
}
