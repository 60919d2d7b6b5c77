//! Rows as CSV bodies and as texts, in the time zone of the project or of the job.

use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use chrono_tz::Tz;
use feitian_base::{Error, Result};
use feitian_meta::rows::Instance;
use feitian_types::Column;
use feitian_wire::csv::CsvWriter;
use feitian_wire::text::to_text;
use futures::stream::BoxStream;
use futures::{StreamExt, stream};

use crate::call::Call;
use crate::odps::projects::property;
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

/// A CSV body: the header, then the rows of each batch as they come.
pub fn csv_body(columns: &[Column], zone: Tz, batches: Batches) -> BoxStream<'static, Result<Bytes>> {
    let writer = CsvWriter::new(columns, zone);
    let mut header = String::new();
    writer.header(&mut header);
    let rows = batches.map(move |batch| {
        let mut text = String::new();
        writer.rows(&batch?, &mut text)?;
        Ok(Bytes::from(text))
    });
    stream::once(async move { Ok(Bytes::from(header)) }).chain(rows).boxed()
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
