//! What the machine does without a server: `decode DIR` reads a table's Parquet files to Arrow IPC with CRC-32C, `encode DIR`
//! writes the same rows as Parquet and fsyncs. Prints the median seconds of five runs.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use arrow_array::RecordBatch;
use feitian_drive::lineitem::lineitem_columns;
use feitian_wire::arrow_frame::{ArrowEncoder, Flavour, FrameWriter};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};

fn main() -> Result<()> {
    let mut words = std::env::args().skip(1);
    let (what, dir) = (words.next().context("decode or encode")?, PathBuf::from(words.next().context("DIR")?));
    let mut files: Vec<PathBuf> = std::fs::read_dir(&dir)?.filter_map(|e| Some(e.ok()?.path())).collect();
    files.retain(|f| f.extension().is_some_and(|e| e == "parquet"));
    let mut seconds = Vec::new();
    for _ in 0..5 {
        seconds.push(match what.as_str() {
            "decode" => decode(&files)?,
            "encode" => encode(&files, &dir.with_extension("peer"))?,
            other => bail!("unknown work {other}"),
        });
    }
    seconds.sort_by(f64::total_cmp);
    println!("{}", seconds[2]);
    Ok(())
}

fn read(file: &Path) -> Result<impl Iterator<Item = Result<RecordBatch, arrow_schema::ArrowError>>> {
    Ok(ParquetRecordBatchReaderBuilder::try_new(File::open(file)?)?.with_batch_size(8192).build()?)
}

fn decode(files: &[PathBuf]) -> Result<f64> {
    let columns = lineitem_columns()?;
    let begin = Instant::now();
    let wrong = |e| anyhow::anyhow!("{e}");
    for file in files {
        let mut encoder = ArrowEncoder::new(&columns, Flavour::TableTunnel).map_err(wrong)?;
        let mut frames = FrameWriter::new(65536);
        let mut out = Vec::new();
        for batch in read(file)? {
            for buffer in encoder.encode(&batch?).map_err(wrong)? {
                frames.push(&buffer, &mut out);
            }
            std::hint::black_box(&out);
            out.clear();
        }
        frames.finish(&mut out);
    }
    Ok(begin.elapsed().as_secs_f64())
}

fn encode(files: &[PathBuf], to: &Path) -> Result<f64> {
    let mut batches = Vec::new();
    for file in files {
        for batch in read(file)? {
            batches.push(batch?);
        }
    }
    let schema = batches.first().context("no rows")?.schema();
    let begin = Instant::now();
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_statistics_enabled(EnabledStatistics::Page)
        .build();
    let mut writer = ArrowWriter::try_new(File::create(to)?, schema, Some(properties))?;
    for batch in &batches {
        writer.write(batch)?;
    }
    writer.into_inner()?.sync_all()?;
    let seconds = begin.elapsed().as_secs_f64();
    std::fs::remove_file(to)?;
    Ok(seconds)
}
