//! Write sessions of a partitioned table that name no partition: each row says where it goes, a block is many files.
//!
//! The row of such a block has no path; its statistics are the list of its files, as JSON. A block of a stream has its
//! files likewise, beside what there is to know of the stream.

use std::collections::BTreeSet;

use datafusion::common::DataFusionError;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use feitian_base::{Error, Kind, Result, failpoint, id};
use feitian_meta::rows::Block;
use feitian_types::TableSchema;
use feitian_types::arrow::engine_schema;
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::Warehouse;
use crate::log::spec_text;
use crate::tunnel::{BatchSource, SessionInfo};
use crate::writer::{NewFile, TableDir, write_partitioned};

/// Whether the rows of a session name their partitions.
pub(crate) fn is_dynamic(info: &SessionInfo) -> bool {
    info.session.partition.is_empty() && !info.partition_columns.is_empty()
}

/// What the statistics of a block without a path say.
#[derive(Deserialize)]
#[serde(untagged)]
enum Held {
    Files(Vec<NewFile>),
    OfStream { files: Vec<NewFile> },
}

/// The files of a block that has no path, none if it has no rows.
pub(crate) fn files_of_block(block: &Block) -> Result<Vec<NewFile>> {
    if block.num_rows == 0 {
        return Ok(Vec::new());
    }
    let broken = |e: serde_json::Error| {
        let text = format!("block {} of session {}: {e}", block.block_id, block.session_id);
        Error::new(Kind::Corrupt, "InternalServerError", text)
    };
    match serde_json::from_str::<Held>(&block.stats).map_err(broken)? {
        Held::Files(files) | Held::OfStream { files } => Ok(files),
    }
}

/// The files of these blocks of a session, and the specs of their partitions.
///
/// # Errors
/// `ODPS-0123031` when they are of more partitions than the session allows.
pub(crate) fn files_of_blocks(info: &SessionInfo, blocks: &[Block]) -> Result<(Vec<NewFile>, Vec<String>)> {
    let mut files = Vec::new();
    for block in blocks {
        files.extend(files_of_block(block)?);
    }
    let specs = specs_of(info, &files)?;
    Ok((files, specs))
}

fn specs_of(info: &SessionInfo, files: &[NewFile]) -> Result<Vec<String>> {
    let names: Vec<String> = info.partition_columns.iter().map(|c| c.name.clone()).collect();
    let specs: BTreeSet<String> = files.iter().map(|f| spec_text(&names, &f.partition_values)).collect();
    let limit = info.session.options.parse::<usize>().unwrap_or(0);
    if specs.len() > limit {
        let text = format!("the rows are of more partitions than the {limit} that the session allows");
        let text = format!("ODPS-0123031:[0,0] Partition exception - {text}");
        return Err(Error::new(Kind::Invalid, "ODPS-0123031", text));
    }
    Ok(specs.into_iter().collect())
}

impl Warehouse {
    /// Writes the rows, whose last columns are the partition columns, as files that nothing refers to, and describes
    /// them in `block`.
    pub(crate) async fn write_dynamic(
        &self,
        info: &SessionInfo,
        block: &mut Block,
        batches: BatchSource,
    ) -> Result<()> {
        let row = self.meta.table_by_id(&info.session.table_id).await?.filter(|r| r.dropped_ms.is_none());
        let gone = || Error::new(Kind::NotFound, "NoSuchTable", "the table of this session was dropped");
        let row = row.ok_or_else(gone)?;
        let schema = TableSchema { columns: info.columns.clone(), partition_columns: info.partition_columns.clone() };
        // The batches are drawn on a thread that may block; it ends when nobody takes them any more.
        let (sender, receiver) = mpsc::channel(1);
        let drawing = tokio::task::spawn_blocking(move || {
            for batch in batches {
                let batch = batch.map_err(|e| DataFusionError::External(Box::new(e)));
                if sender.blocking_send(batch).is_err() {
                    break;
                }
            }
        });
        let columns = engine_schema(schema.all_columns());
        let input = Box::pin(RecordBatchStreamAdapter::new(columns, ReceiverStream::new(receiver)));
        let dir = TableDir::of(&row);
        let prefix = format!("{}-{:010}", block.session_id, block.block_id);
        let attempt = i64::from(u32::from_le_bytes(id::random_bytes()));
        failpoint::hit("block.before_file");
        // Encoding is work; it does not hold up those who answer requests.
        let catalog = self.catalog.clone();
        let writing = self
            .engine
            .runtime()
            .spawn(async move { write_partitioned(&catalog, &dir, &schema, &[], input, &prefix, attempt).await });
        let files = writing.await.map_err(|e| Error::internal(format!("writing a block: {e}")))??;
        // One that died has not told that there were more rows.
        drawing.await.map_err(|e| Error::internal(format!("reading a block: {e}")))?;
        specs_of(info, &files)?;
        block.num_rows = files.iter().map(|f| f.num_rows).sum();
        block.num_bytes = files.iter().map(|f| f.num_bytes).sum();
        block.stats = serde_json::to_string(&files).map_err(|e| Error::internal(e.to_string()))?;
        Ok(())
    }
}
