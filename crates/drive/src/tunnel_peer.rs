//! What the machine does without a server, beside which the tunnel bench puts the server.
//!
//! `feitian-tunnel-peer DIR OUT` reads a word a line from its standard input and answers each with the seconds it took:
//!
//! - `decode`: the Parquet files in DIR to framed Arrow IPC with CRC-32C, which is dropped;
//! - `encode`: the rows of these files to one Parquet file OUT, synced. Reading them is not counted.
//!
//! It stays up between two words as the server does between two requests, so that both are warm, and it reads the files
//! from the page cache as the server does. Properties, row groups and batches are those of the server's writer and reader
//! (`writer.rs` and `reader.rs` of the warehouse); what a server does besides is left out.

use std::fs::File;
use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use arrow_array::RecordBatch;
use feitian_drive::lineitem::lineitem_columns;
use feitian_wire::arrow_frame::{ArrowEncoder, Flavour, FrameWriter};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};

/// As in the server's writer: a row group is ended when its encoded pages take this much memory.
const ROW_GROUP_BYTES: usize = 64 << 20;
/// As in the server's reader.
const BATCH_ROWS: usize = 8192;

fn main() -> Result<()> {
    let mut words = std::env::args_os().skip(1).map(PathBuf::from);
    let (dir, out) = (words.next().context("DIR is missing")?, words.next().context("OUT is missing")?);
    let files = parquet_files(&dir)?;
    let mut rows: Option<Vec<RecordBatch>> = None;
    for line in std::io::stdin().lock().lines() {
        let seconds = match line?.trim() {
            "decode" => decode(&files)?,
            "encode" => {
                let batches = match rows.take() {
                    Some(batches) => batches,
                    None => read_all(&files)?,
                };
                encode(rows.insert(batches), &out)?
            }
            other => bail!("`{other}` is neither `decode` nor `encode`"),
        };
        println!("{seconds}");
    }
    Ok(())
}

fn parquet_files(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "parquet") {
            files.push(path);
        }
    }
    ensure!(!files.is_empty(), "{} holds no Parquet file", dir.display());
    files.sort();
    Ok(files)
}

fn read(file: &Path) -> Result<impl Iterator<Item = Result<RecordBatch, arrow_schema::ArrowError>>> {
    let file = File::open(file).with_context(|| file.display().to_string())?;
    Ok(ParquetRecordBatchReaderBuilder::try_new(file)?.with_batch_size(BATCH_ROWS).build()?)
}

fn read_all(files: &[PathBuf]) -> Result<Vec<RecordBatch>> {
    let mut batches = Vec::new();
    for file in files {
        for batch in read(file)? {
            batches.push(batch?);
        }
    }
    Ok(batches)
}

fn decode(files: &[PathBuf]) -> Result<f64> {
    let columns = lineitem_columns()?;
    let wrong = |e| anyhow::anyhow!("{e}");
    let begin = Instant::now();
    let mut encoder = ArrowEncoder::new(&columns, Flavour::TableTunnel).map_err(wrong)?;
    let mut frames = FrameWriter::default();
    let mut out = Vec::new();
    for file in files {
        for batch in read(file)? {
            for piece in encoder.encode(&batch?).map_err(wrong)? {
                out.clear();
                frames.push(&piece, &mut out);
                std::hint::black_box(&out);
            }
        }
    }
    out.clear();
    frames.finish(&mut out);
    std::hint::black_box(&out);
    Ok(begin.elapsed().as_secs_f64())
}

fn encode(batches: &[RecordBatch], to: &Path) -> Result<f64> {
    let schema = batches.first().context("the files hold no rows")?.schema();
    let begin = Instant::now();
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_statistics_enabled(EnabledStatistics::Page)
        .build();
    let file = File::create(to).with_context(|| to.display().to_string())?;
    let mut writer = ArrowWriter::try_new(file, schema, Some(properties))?;
    for batch in batches {
        writer.write(batch)?;
        if writer.in_progress_size() > ROW_GROUP_BYTES {
            writer.flush()?;
        }
    }
    writer.into_inner()?.sync_all()?;
    let seconds = begin.elapsed().as_secs_f64();
    std::fs::remove_file(to)?;
    Ok(seconds)
}
