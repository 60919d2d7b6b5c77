//! Tunnel throughput beside what the same machine does without a server: upload to durable commit and download, Arrow and
//! records, server and client pinned to a core each.
//!
//! `feitian-tunnel-bench --feitian BIN --peer BIN --data DIR [--scale 1]` prints a Markdown table. The peer
//! (`feitian-tunnel-peer`) decodes the very files that the server wrote to Arrow IPC with CRC-32C, and encodes the same rows
//! as Parquet with fsync; it runs on the server's core.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use arrow_array::RecordBatch;
use feitian_drive::client::{Client, records};
use feitian_drive::lineitem::{create_lineitem, lineitem, lineitem_columns};
use feitian_drive::server::{Running, Server};
use feitian_types::Column;
use feitian_wire::Limits;
use feitian_wire::arrow_frame::{ArrowDecoder, ArrowEncoder, Flavour, FrameReader, FrameWriter};
use reqwest::blocking::Body;

const SERVER_CORE: &str = "0";
const CLIENT_CORE: &str = "1";
const ROUNDS: usize = 5;

fn main() -> Result<()> {
    let mut words = std::env::args().skip(1);
    let (mut feitian, mut peer, mut data, mut scale) = (PathBuf::new(), PathBuf::new(), PathBuf::new(), 1.0);
    while let Some(flag) = words.next() {
        let value = words.next().with_context(|| format!("{flag} needs a value"))?;
        match flag.as_str() {
            "--feitian" => feitian = value.into(),
            "--peer" => peer = value.into(),
            "--data" => data = value.into(),
            "--scale" => scale = value.parse()?,
            other => bail!("unknown flag {other}"),
        }
    }
    pin(std::process::id(), CLIENT_CORE)?;
    let server = Server::new(&feitian, &data)?;
    let running = server.start("")?;
    pin(running.pid(), SERVER_CORE)?;
    println!("idle memory: {} MB", status_mb(&running, "VmRSS")?);
    let (access_id, secret) = server.credentials()?;
    let client = Client::new(&server.base(), &access_id, &secret, "demo")?;
    let columns = lineitem_columns()?;
    let batches = lineitem(scale)?;
    let arrow = framed_arrow(&columns, &batches)?;
    let stream = records(&columns, &batches)?;
    let megabytes = arrow.len() as f64 / 1e6;
    println!(
        "payload: lineitem at scale {scale}, {megabytes:.0} MB as Arrow, {:.0} MB as records",
        stream.len() as f64 / 1e6
    );

    let mut up = Vec::new();
    for (name, is_arrow, body) in [("upload, Arrow", true, &arrow), ("upload, records", false, &stream)] {
        let seconds = median(|i| upload(&client, &format!("t_{is_arrow}_{i}"), is_arrow, body.clone()))?;
        up.push((name, megabytes / seconds));
    }
    let mut down = Vec::new();
    for (name, is_arrow) in [("download, Arrow", true), ("download, records", false)] {
        let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
        let seconds = median(|_| download(&client, "t_true_0", is_arrow, &columns, rows))?;
        down.push((name, megabytes / seconds));
    }
    let table = table_dir(&data, "t_true_0")?;
    let decode = megabytes / peer_seconds(&peer, "decode", &table)?;
    let encode = megabytes / peer_seconds(&peer, "encode", &table)?;
    println!("\n| what | MB/s | beside | MB/s | ratio |\n|---|---|---|---|---|");
    for (name, rate) in up {
        println!("| {name} | {rate:.0} | Parquet encode and fsync | {encode:.0} | {:.2} |", rate / encode);
    }
    for (name, rate) in down {
        println!("| {name} | {rate:.0} | Parquet decode to Arrow IPC with CRC | {decode:.0} | {:.2} |", rate / decode);
    }
    println!("\npeak memory so far: {} MB", status_mb(&running, "VmHWM")?);
    big_block(&client, &running, &columns, &batches)
}

/// One block of about 2 GB, streamed.
fn big_block(client: &Client, running: &Running, columns: &[Column], batches: &[RecordBatch]) -> Result<()> {
    client.run(&create_lineitem("big")?, "")?;
    let session = client.open_upload("big", "", false)?;
    let bytes: usize = batches.iter().map(RecordBatch::get_array_memory_size).sum();
    let times = (2_000_000_000 / bytes.max(1)).max(1);
    let body = Repeated::new(columns, batches, times)?;
    let begin = Instant::now();
    client.put_block("big", &session, 0, true, Body::new(body))?;
    client.commit("big", &session)?;
    let seconds = begin.elapsed().as_secs_f64();
    let peak = status_mb(running, "VmHWM")?;
    println!(
        "one block of {:.1} GB: {seconds:.1} s, peak memory of the server {peak} MB",
        (times * bytes) as f64 / 1e9
    );
    Ok(())
}

/// Framed Arrow of the batches, `times` over, made while it is read.
struct Repeated {
    encoder: ArrowEncoder,
    frames: Option<FrameWriter>,
    batches: Vec<RecordBatch>,
    next: usize,
    end: usize,
    ready: Vec<u8>,
    read: usize,
}

impl Repeated {
    fn new(columns: &[Column], batches: &[RecordBatch], times: usize) -> Result<Self> {
        let encoder = ArrowEncoder::new(columns, Flavour::TableTunnel).map_err(|e| anyhow::anyhow!("{e}"))?;
        let end = batches.len() * times;
        let (batches, frames) = (batches.to_vec(), Some(FrameWriter::new(65536)));
        Ok(Self { encoder, frames, batches, next: 0, end, ready: Vec::new(), read: 0 })
    }

    fn refill(&mut self) -> io::Result<()> {
        self.ready.clear();
        self.read = 0;
        while self.ready.is_empty() {
            let Some(frames) = &mut self.frames else { return Ok(()) };
            if self.next == self.end {
                if let Some(frames) = self.frames.take() {
                    frames.finish(&mut self.ready);
                }
                return Ok(());
            }
            let batch = &self.batches[self.next % self.batches.len()];
            self.next += 1;
            for buffer in self.encoder.encode(batch).map_err(io::Error::other)? {
                frames.push(&buffer, &mut self.ready);
            }
        }
        Ok(())
    }
}

impl Read for Repeated {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.read == self.ready.len() {
            self.refill()?;
        }
        let n = out.len().min(self.ready.len() - self.read);
        out[..n].copy_from_slice(&self.ready[self.read..self.read + n]);
        self.read += n;
        Ok(n)
    }
}

fn framed_arrow(columns: &[Column], batches: &[RecordBatch]) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    Repeated::new(columns, batches, 1)?.read_to_end(&mut out)?;
    Ok(out)
}

fn upload(client: &Client, table: &str, arrow: bool, body: Vec<u8>) -> Result<f64> {
    client.run(&create_lineitem(table)?, "")?;
    let begin = Instant::now();
    let session = client.open_upload(table, "", false)?;
    client.put_block(table, &session, 0, arrow, body.into())?;
    client.commit(table, &session)?;
    Ok(begin.elapsed().as_secs_f64())
}

fn download(client: &Client, table: &str, arrow: bool, columns: &[Column], rows: usize) -> Result<f64> {
    let begin = Instant::now();
    let (id, count) = client.open_download(table, "")?;
    let body = client.read(table, "", &id, count, arrow)?;
    let wrong = |e| anyhow::anyhow!("{e}");
    let mut found = 0;
    if arrow {
        for batch in ArrowDecoder::new(columns, FrameReader::new(body), Limits::default()).map_err(wrong)? {
            found += batch.map_err(wrong)?.num_rows();
        }
    } else {
        // Only the bytes: decoding them is the client's cost, on the client's core.
        let mut body = body;
        io::copy(&mut body, &mut io::sink())?;
        found = rows;
    }
    ensure!(found == rows, "{found} rows came of {rows}");
    Ok(begin.elapsed().as_secs_f64())
}

fn median(run: impl Fn(usize) -> Result<f64>) -> Result<f64> {
    let mut seconds = (0..ROUNDS).map(run).collect::<Result<Vec<_>>>()?;
    seconds.sort_by(f64::total_cmp);
    Ok(seconds[ROUNDS / 2])
}

fn peer_seconds(peer: &Path, what: &str, table: &Path) -> Result<f64> {
    let mut command = Command::new("taskset");
    let out = command.args(["-c", SERVER_CORE]).arg(peer).arg(what).arg(table).output().context("run the peer")?;
    ensure!(out.status.success(), "the peer failed: {}", String::from_utf8_lossy(&out.stderr));
    Ok(String::from_utf8_lossy(&out.stdout).trim().parse()?)
}

fn table_dir(data: &Path, table: &str) -> Result<PathBuf> {
    for entry in std::fs::read_dir(data.join("warehouse/demo"))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_string();
        if name.starts_with(&format!("{table}-")) {
            return Ok(path);
        }
    }
    bail!("no directory of {table}")
}

fn pin(pid: u32, core: &str) -> Result<()> {
    let status = Command::new("taskset").args(["-a", "-cp", core, &pid.to_string()]).output()?.status;
    ensure!(status.success(), "taskset failed");
    Ok(())
}

fn status_mb(running: &Running, key: &str) -> Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{}/status", running.pid()))?;
    let line = text.lines().find(|l| l.starts_with(key)).context("no such line")?;
    let kb: u64 = line.split_whitespace().nth(1).context("no number")?.parse()?;
    Ok(kb / 1024)
}
