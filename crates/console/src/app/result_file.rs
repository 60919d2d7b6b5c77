//! The result of a job as a file: CSV or Parquet, streamed.

use axum::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use axum::response::Response;
use feitian_api::download::{BlockingBatches, BodyWriter, download};
use feitian_api::warehouse::{Batches, RowRange};
use feitian_api::{Answer, Call, admin, csv_answer, instance_zone};
use feitian_base::{Error, Kind, Result};
use feitian_meta::rows::Instance;
use feitian_types::Column;
use feitian_types::arrow::engine_schema;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

/// Every row of the result.
const ALL: RowRange = RowRange { start: 0, count: u64::MAX };
/// An encoded row group is about this large; so much of a download lies in memory at once.
const ROW_GROUP_BYTES: usize = 16 << 20;
const ROW_GROUP_ROWS: usize = 1 << 20;

async fn rows(call: &Call) -> Result<(Instance, Vec<Column>, Batches)> {
    let instance = admin::instance_of(call, call.instance()).await?;
    // Says why when there is no result.
    admin::result_of(call, &instance).await?;
    let (columns, batches) = admin::result_rows(call, &instance, ALL, None).await?;
    Ok((instance, columns, batches))
}

/// `result.csv`: a line of names, then the rows, in the time zone of the job.
pub(super) async fn csv(call: Call) -> Answer {
    let (instance, columns, batches) = rows(&call).await?;
    let zone = instance_zone(&call, &instance).await?;
    Ok(file(csv_answer(&call, columns, zone, batches).await?, &instance.id, "csv"))
}

/// `result.parquet`: the columns in their own types; times are instants.
pub(super) async fn parquet(call: Call) -> Answer {
    let (instance, columns, batches) = rows(&call).await?;
    let body = download(&call.state, batches, move |batches, out| write_parquet(&columns, batches, out)).await?;
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/vnd.apache.parquet"));
    Ok(file(response, &instance.id, "parquet"))
}

fn write_parquet(columns: &[Column], batches: &mut BlockingBatches, out: BodyWriter) -> Result<()> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .build();
    let mut writer = ArrowWriter::try_new(out, engine_schema(columns), Some(properties)).map_err(not_parquet)?;
    for batch in batches {
        writer.write(&batch?).map_err(not_parquet)?;
        if writer.in_progress_size() > ROW_GROUP_BYTES {
            writer.flush().map_err(not_parquet)?;
        }
    }
    // Writes the footer and hands the writer back.
    writer.into_inner().map_err(not_parquet)?.finish()
}

/// A client that went away comes as an error of the writer, wrapped in one of the format.
fn not_parquet(e: ParquetError) -> Error {
    match e {
        ParquetError::External(inner) => match inner.downcast::<std::io::Error>() {
            Ok(io) => Error::new(Kind::Cancelled, "IncompleteBody", "the download was broken off").with_source(*io),
            Err(other) => Error::internal("the result was not written as Parquet").with_source(other),
        },
        ParquetError::NYI(what) | ParquetError::ArrowError(what) => {
            Error::unsupported(format!("Parquet cannot hold this result: {what}; download it as CSV"))
        }
        other => Error::internal("the result was not written as Parquet").with_source(other),
    }
}

/// Makes a file of an answer.
fn file(mut response: Response, id: &str, ending: &str) -> Response {
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Ids are ours, but they came in with the address.
    let name: String = id.chars().filter(char::is_ascii_alphanumeric).collect();
    if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{name}.{ending}\"")) {
        headers.insert(CONTENT_DISPOSITION, value);
    }
    response
}
