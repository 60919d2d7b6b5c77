//! Tunnel throughput and memory beside what the same machine does without a server: upload to durable commit and download,
//! Arrow and records.
//!
//! `feitian-tunnel-bench --feitian BIN --peer BIN --data DIR [--scale 1]` prints Markdown; `step N/M what` on its standard
//! error says how far it is.
//!
//! - The payload is `lineitem` of tpchgen. Bodies are not compressed. Every rate counts the same bytes: the rows as framed
//!   Arrow, so that a ratio of rates is a ratio of times.
//! - The server and the peer (`feitian-tunnel-peer`) share one core, the client has another. Never more than one of server
//!   and peer works. The peer reads the very file that the server reads for the downloads, warm in the page cache for both.
//! - A round measures everything once, the peer beside the server, and the order turns round every time: noise of the
//!   machine hits both. Rates are medians of the rounds; a ratio is the median of the rounds' ratios.
//! - An upload is timed from the creation of its session to the answer of its commit, which leaves after the fsync. The
//!   client sends a body that lies ready in memory.
//! - A download is timed from the creation of its session to the last byte. The Arrow client checks every CRC and decodes.
//!   Of record downloads there are two: one client drops the bytes, which times the server alone, one checks and decodes
//!   them on its core, which times the slower of the two ends. Both have to reach the target.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use arrow_array::RecordBatch;
use feitian_drive::client::{Client, records};
use feitian_drive::lineitem::{create_lineitem, lineitem, lineitem_columns};
use feitian_drive::server::{Running, Server};
use feitian_types::Column;
use feitian_wire::Limits;
use feitian_wire::arrow_frame::{ArrowDecoder, ArrowEncoder, Flavour, FrameReader, FrameWriter};
use feitian_wire::record::Decoder;
use reqwest::blocking::Body;

const SERVER_CORE: &str = "0";
const CLIENT_CORE: &str = "1";
const ROUNDS: usize = 5;
/// How long one request may take: gigabytes on a slow machine.
const REQUEST_LIMIT: Duration = Duration::from_secs(1800);
/// After this long without a request a server counts as idle.
const IDLE: Duration = Duration::from_secs(2);

/// Parts of the peer's rate that Arrow and records have to reach.
const ARROW_TARGET: f64 = 0.60;
const RECORD_TARGET: f64 = 0.25;
/// In megabytes of 1,000,000 bytes.
const IDLE_TARGET_MB: f64 = 150.0;
const BLOCK_TARGET_MB: f64 = 512.0;
/// Bytes on the wire of the one large block, at least.
const BLOCK_BYTES: u64 = 2 << 30;

/// The table that is downloaded, and whose file the peer reads.
const SOURCE: &str = "lineitem";

fn main() -> Result<()> {
    let arguments = Arguments::parse()?;
    let mut steps = Steps { done: 0, of: 4 + ROUNDS * (UPLOADS.len() + DOWNLOADS.len() + 2) };
    // The server sees the one core that it will have; threads and processes inherit it.
    pin(SERVER_CORE)?;
    let server = Server::new(&arguments.feitian, &arguments.data)?;
    steps.next("starting the server");
    let running = server.start("")?;
    pin(CLIENT_CORE)?;
    std::thread::sleep(IDLE);
    let idle_mb = memory_mb(&running, "VmRSS")?;
    let (access_id, secret) = server.credentials()?;
    let client = Client::with_limit(&server.base(), &access_id, &secret, "demo", REQUEST_LIMIT)?;

    steps.next("making lineitem");
    let payload = Payload::new(arguments.scale)?;
    steps.next("uploading the source of the downloads");
    upload(&client, SOURCE, true, payload.arrow)?;
    let directory = table_directory(&arguments.data, SOURCE)?;
    let mut peer = Peer::start(&arguments.peer, &directory, &arguments.data.with_extension("peer"))?;
    let mut rounds = Rounds::default();
    for round in 0..ROUNDS {
        rounds.measure(round, &client, &payload, &mut peer, &mut steps)?;
    }
    drop(peer);
    let transfers_mb = memory_mb(&running, "VmHWM")?;
    print_rates(&rounds, &payload, arguments.scale);

    steps.next("one block of 2 GiB");
    let block = big_block(&client, &running, &payload)?;
    std::thread::sleep(IDLE);
    print_memory(idle_mb, &block, transfers_mb, memory_mb(&running, "VmRSS")?);
    Ok(())
}

struct Arguments {
    feitian: PathBuf,
    peer: PathBuf,
    data: PathBuf,
    scale: f64,
}

impl Arguments {
    fn parse() -> Result<Self> {
        let mut words = std::env::args().skip(1);
        let (mut feitian, mut peer, mut data) = (None::<PathBuf>, None::<PathBuf>, None::<PathBuf>);
        let mut scale = 1.0_f64;
        while let Some(flag) = words.next() {
            let value = words.next().with_context(|| format!("{flag} needs a value"))?;
            match flag.as_str() {
                "--feitian" => feitian = Some(value.into()),
                "--peer" => peer = Some(value.into()),
                "--data" => data = Some(value.into()),
                "--scale" => scale = value.parse()?,
                other => bail!("unknown flag {other}"),
            }
        }
        let missing = |flag: &str| format!("{flag} is missing");
        Ok(Self {
            feitian: feitian.with_context(|| missing("--feitian"))?,
            peer: peer.with_context(|| missing("--peer"))?,
            data: data.with_context(|| missing("--data"))?,
            scale,
        })
    }
}

/// Says how far the run is.
struct Steps {
    done: usize,
    of: usize,
}

impl Steps {
    fn next(&mut self, what: &str) {
        self.done += 1;
        eprintln!("step {}/{} {what}", self.done, self.of);
    }
}

/// The rows, and the two bodies that carry them.
struct Payload {
    columns: Arc<Vec<Column>>,
    batches: Vec<RecordBatch>,
    rows: usize,
    // They live as long as the program does, and a request body may then borrow them.
    arrow: &'static [u8],
    records: &'static [u8],
}

impl Payload {
    fn new(scale: f64) -> Result<Self> {
        let columns = lineitem_columns()?;
        let batches = lineitem(scale)?;
        let mut arrow = Vec::new();
        Repeated::new(&columns, &batches, 0)?.read_to_end(&mut arrow)?;
        let records = records(&columns, &batches)?.leak();
        let rows = batches.iter().map(RecordBatch::num_rows).sum();
        Ok(Self { columns, batches, rows, arrow: arrow.leak(), records })
    }

    /// What every rate counts.
    fn megabytes(&self) -> f64 {
        self.arrow.len() as f64 / 1e6
    }
}

/// The process that does the same work without a server, on the server's core.
struct Peer {
    child: Child,
    say: ChildStdin,
    hear: BufReader<ChildStdout>,
}

impl Peer {
    fn start(program: &Path, directory: &Path, out: &Path) -> Result<Self> {
        let mut command = Command::new("taskset");
        command.args(["-c", SERVER_CORE]).arg(program).arg(directory).arg(out);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("start the peer")?;
        let say = child.stdin.take().context("its input is piped")?;
        let hear = BufReader::new(child.stdout.take().context("its output is piped")?);
        Ok(Self { child, say, hear })
    }

    /// The seconds of one run of `work`.
    fn seconds(&mut self, work: &str) -> Result<f64> {
        writeln!(self.say, "{work}")?;
        let mut line = String::new();
        self.hear.read_line(&mut line)?;
        line.trim().parse().with_context(|| format!("the peer answered `{}` to `{work}`", line.trim()))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the client does with a download.
#[derive(Clone, Copy)]
enum Reading {
    Arrow,
    DropRecords,
    DecodeRecords,
}

/// Name, table prefix, whether it is Arrow.
const UPLOADS: [(&str, &str, bool); 2] =
    [("upload to durable commit, Arrow", "arrow", true), ("upload to durable commit, records", "records", false)];
const DOWNLOADS: [(&str, Reading); 3] = [
    ("download, Arrow, checked and decoded by the client", Reading::Arrow),
    ("download, records, dropped by the client", Reading::DropRecords),
    ("download, records, checked and decoded by the client", Reading::DecodeRecords),
];

/// Seconds by round.
#[derive(Default)]
struct Rounds {
    encode: Vec<f64>,
    decode: Vec<f64>,
    uploads: [Vec<f64>; UPLOADS.len()],
    downloads: [Vec<f64>; DOWNLOADS.len()],
}

impl Rounds {
    /// One round. In odd ones the peer comes last.
    fn measure(
        &mut self,
        round: usize,
        client: &Client,
        payload: &Payload,
        peer: &mut Peer,
        steps: &mut Steps,
    ) -> Result<()> {
        let mut beside = |work: &str, seconds: &mut Vec<f64>, steps: &mut Steps| -> Result<()> {
            steps.next(&format!("{work} without a server"));
            seconds.push(peer.seconds(work)?);
            Ok(())
        };
        let is_peer_first = round.is_multiple_of(2);
        if is_peer_first {
            beside("encode", &mut self.encode, steps)?;
        }
        for ((name, prefix, is_arrow), seconds) in UPLOADS.into_iter().zip(&mut self.uploads) {
            steps.next(name);
            let body = if is_arrow { payload.arrow } else { payload.records };
            seconds.push(upload(client, &format!("{prefix}_{round}"), is_arrow, body)?);
        }
        if !is_peer_first {
            beside("encode", &mut self.encode, steps)?;
        }
        if is_peer_first {
            beside("decode", &mut self.decode, steps)?;
        }
        for ((name, reading), seconds) in DOWNLOADS.into_iter().zip(&mut self.downloads) {
            steps.next(name);
            seconds.push(download(client, reading, payload)?);
        }
        if !is_peer_first {
            beside("decode", &mut self.decode, steps)?;
        }
        Ok(())
    }
}

/// Seconds from the creation of the session to the answer of the commit.
fn upload(client: &Client, table: &str, is_arrow: bool, body: &'static [u8]) -> Result<f64> {
    client.run(&create_lineitem(table)?, "")?;
    let begin = Instant::now();
    let session = client.open_upload(table, "", false)?;
    client.put_block(table, &session, 0, is_arrow, Body::from(body))?;
    client.commit(table, &session)?;
    Ok(begin.elapsed().as_secs_f64())
}

/// Seconds from the creation of the session to the last byte.
fn download(client: &Client, reading: Reading, payload: &Payload) -> Result<f64> {
    let columns = &payload.columns;
    let wrong = |e| anyhow::anyhow!("{e}");
    let begin = Instant::now();
    let (id, count) = client.open_download(SOURCE, "")?;
    let mut body = client.read(SOURCE, "", &id, count, matches!(reading, Reading::Arrow))?;
    let (mut found, mut bytes) = (0, 0);
    match reading {
        Reading::Arrow => {
            for batch in ArrowDecoder::new(columns, FrameReader::new(body), Limits::default()).map_err(wrong)? {
                found += batch.map_err(wrong)?.num_rows();
            }
        }
        Reading::DecodeRecords => {
            for batch in Decoder::new(columns, body, Limits::default()) {
                found += batch.map_err(wrong)?.num_rows();
            }
        }
        Reading::DropRecords => {
            let mut buffer = vec![0; 128 << 10];
            loop {
                match body.read(&mut buffer)? {
                    0 => break,
                    n => bytes += n,
                }
            }
        }
    }
    let seconds = begin.elapsed().as_secs_f64();
    if matches!(reading, Reading::DropRecords) {
        // The server's stream is ours and its metrics.
        let least = payload.records.len();
        ensure!(bytes >= least, "{bytes} bytes of records came, {least} or more were expected");
    } else {
        ensure!(found == payload.rows, "{found} rows came of {}", payload.rows);
    }
    Ok(seconds)
}

/// What became of the large block.
struct Block {
    bytes: u64,
    seconds: f64,
    peak_mb: f64,
}

/// One block of more than [`BLOCK_BYTES`] on the wire, made while it is sent.
fn big_block(client: &Client, running: &Running, payload: &Payload) -> Result<Block> {
    client.run(&create_lineitem("big")?, "")?;
    reset_peak(running)?;
    let body = Repeated::new(&payload.columns, &payload.batches, BLOCK_BYTES)?;
    let (bytes, rows) = (body.bytes.clone(), body.rows.clone());
    let begin = Instant::now();
    let session = client.open_upload("big", "", false)?;
    client.put_block("big", &session, 0, true, Body::new(body))?;
    client.commit("big", &session)?;
    let seconds = begin.elapsed().as_secs_f64();
    let peak_mb = memory_mb(running, "VmHWM")?;
    let (_, found) = client.open_download("big", "")?;
    let sent = rows.load(Ordering::Relaxed);
    ensure!(found == sent, "{found} rows are there of {sent}");
    Ok(Block { bytes: bytes.load(Ordering::Relaxed), seconds, peak_mb })
}

/// Framed Arrow of the batches, made while it is read: once over, and again until there are `least` bytes.
struct Repeated {
    encoder: ArrowEncoder,
    /// `None` once the last checksum is written.
    frames: Option<FrameWriter>,
    batches: Vec<RecordBatch>,
    next: usize,
    least: u64,
    /// Bytes and rows made so far; they outlive the body.
    bytes: Arc<AtomicU64>,
    rows: Arc<AtomicU64>,
    ready: Vec<u8>,
    read: usize,
}

impl Repeated {
    fn new(columns: &[Column], batches: &[RecordBatch], least: u64) -> Result<Self> {
        ensure!(!batches.is_empty(), "there are no rows");
        Ok(Self {
            encoder: ArrowEncoder::new(columns, Flavour::TableTunnel).map_err(|e| anyhow::anyhow!("{e}"))?,
            frames: Some(FrameWriter::default()),
            // Batches share their memory.
            batches: batches.to_vec(),
            next: 0,
            least,
            bytes: Arc::default(),
            rows: Arc::default(),
            ready: Vec::new(),
            read: 0,
        })
    }

    /// Makes the bytes of the next batch; none at the end.
    fn refill(&mut self) -> io::Result<()> {
        self.ready.clear();
        self.read = 0;
        let Some(mut frames) = self.frames.take() else { return Ok(()) };
        if self.next >= self.batches.len() && self.bytes.load(Ordering::Relaxed) >= self.least {
            frames.finish(&mut self.ready);
        } else {
            let batch = &self.batches[self.next % self.batches.len()];
            self.next += 1;
            for piece in self.encoder.encode(batch).map_err(io::Error::other)? {
                frames.push(&piece, &mut self.ready);
            }
            self.rows.fetch_add(batch.num_rows() as u64, Ordering::Relaxed);
            self.frames = Some(frames);
        }
        self.bytes.fetch_add(self.ready.len() as u64, Ordering::Relaxed);
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

fn print_rates(rounds: &Rounds, payload: &Payload, scale: f64) {
    println!("## Transfers\n");
    println!(
        "Payload: `lineitem` of tpchgen at scale {scale}, {} rows, {:.0} MB as framed Arrow and {:.0} MB as a record \
         stream.",
        payload.rows,
        payload.megabytes(),
        payload.records.len() as f64 / 1e6
    );
    println!("Every rate counts the bytes of the framed Arrow; bodies are not compressed.");
    println!("Server and peer share core {SERVER_CORE}, the client has core {CLIENT_CORE}.");
    println!(
        "Medians of {ROUNDS} rounds; a ratio is the median of the rounds' ratios, with the lowest and the highest."
    );
    println!(
        "\n| what | MB/s | beside it, without a server | MB/s | ratio | target | |\n|---|---|---|---|---|---|---|"
    );
    let line = |name: &str, ours: &[f64], beside: &str, peer: &[f64], target: f64| {
        let rate = |seconds: &[f64]| payload.megabytes() / sorted(seconds)[seconds.len() / 2];
        let ratios: Vec<f64> = ours.iter().zip(peer).map(|(ours, peer)| peer / ours).collect();
        let ratios = sorted(&ratios);
        let (median, low, high) = (ratios[ratios.len() / 2], ratios[0], ratios[ratios.len() - 1]);
        println!(
            "| {name} | {:.0} | {beside} | {:.0} | {median:.2} ({low:.2} to {high:.2}) | {target:.2} | {} |",
            rate(ours),
            rate(peer),
            verdict(median >= target)
        );
    };
    for ((name, _, is_arrow), seconds) in UPLOADS.into_iter().zip(&rounds.uploads) {
        let target = if is_arrow { ARROW_TARGET } else { RECORD_TARGET };
        line(name, seconds, "Arrow in memory to Parquet, fsync", &rounds.encode, target);
    }
    for ((name, reading), seconds) in DOWNLOADS.into_iter().zip(&rounds.downloads) {
        let target = if matches!(reading, Reading::Arrow) { ARROW_TARGET } else { RECORD_TARGET };
        line(name, seconds, "Parquet to Arrow IPC with CRC", &rounds.decode, target);
    }
}

fn print_memory(idle_mb: f64, block: &Block, transfers_mb: f64, idle_after_mb: f64) {
    println!("\n## Memory\n");
    println!("Resident memory of the server, in megabytes of 1,000,000 bytes.");
    println!("\n| when | MB | target | |\n|---|---|---|---|");
    let idle = verdict(idle_mb < IDLE_TARGET_MB);
    println!("| idle, {} s after the start | {idle_mb:.0} | under {IDLE_TARGET_MB:.0} | {idle} |", IDLE.as_secs());
    let gigabytes = block.bytes as f64 / 1e9;
    let rate = block.bytes as f64 / 1e6 / block.seconds;
    let peak = verdict(block.peak_mb < BLOCK_TARGET_MB);
    println!(
        "| peak during one block of {gigabytes:.2} GB on the wire ({:.0} s, {rate:.0} MB/s) | {:.0} | under \
         {BLOCK_TARGET_MB:.0} | {peak} |",
        block.seconds, block.peak_mb
    );
    println!("| peak during the transfers above | {transfers_mb:.0} | | |");
    println!("| idle, {} s after everything | {idle_after_mb:.0} | | |", IDLE.as_secs());
}

fn verdict(is_met: bool) -> &'static str {
    if is_met { "PASS" } else { "miss" }
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values
}

/// The directory of a table is its name and its id.
fn table_directory(data: &Path, table: &str) -> Result<PathBuf> {
    for entry in std::fs::read_dir(data.join("warehouse/demo"))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_string();
        if name.starts_with(&format!("{table}-")) {
            return Ok(path);
        }
    }
    bail!("no directory of {table}")
}

/// Moves this process, with what it will start, to one core.
fn pin(core: &str) -> Result<()> {
    let id = std::process::id().to_string();
    let done = Command::new("taskset").args(["-a", "-c", "-p", core, &id]).output().context("run taskset")?;
    ensure!(done.status.success(), "taskset to core {core}: {}", String::from_utf8_lossy(&done.stderr).trim());
    Ok(())
}

/// `VmRSS` is what a process holds, `VmHWM` the most that it held.
fn memory_mb(running: &Running, key: &str) -> Result<f64> {
    let text = std::fs::read_to_string(format!("/proc/{}/status", running.pid()))?;
    let line = text.lines().find(|l| l.starts_with(key)).with_context(|| format!("no {key} of the server"))?;
    let kib: f64 = line.split_whitespace().nth(1).context("no number")?.parse()?;
    Ok(kib * 1024.0 / 1e6)
}

/// Makes `VmHWM` count from now on (`man 5 proc_pid_clear_refs`).
fn reset_peak(running: &Running) -> Result<()> {
    std::fs::write(format!("/proc/{}/clear_refs", running.pid()), "5").context("reset the peak of the server's memory")
}
