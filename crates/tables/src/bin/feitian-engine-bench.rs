//! The engines below the table store, measured: durable commits, space after a deletion, opening after kill -9.
//!
//! `feitian-engine-bench --data DIR` prints tables in Markdown, and `step N/M what` on its standard error; `cargo xtask
//! bench engines` keeps them. It starts itself as `--fill ENGINE DIR`, which commits without an end and says what was
//! answered, so that there is something to kill. DIR must be empty. `--puts DIR ROWS SECONDS` is for `cargo xtask bench
//! tables`, which sets the engine beside servers that are asked through a wire.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write as _};
use std::ops::Bound;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use feitian_base::{Error, Result};
use feitian_tables::engine::fjall::{self, Fjall};
use feitian_tables::engine::{Batch, Engine, Order};

/// What is measured; the name is what `--fill` takes.
const ENGINES: &[&str] = &["fjall"];

/// How many commit at the same time.
const WRITERS: [usize; 3] = [1, 16, 256];

/// The same beside other servers, whose cache is as large.
const PUTS: [usize; 2] = [64, 256];
const CACHE_BYTES: u64 = 512 << 20;

/// How long each of them does.
const SPAN: Duration = Duration::from_secs(10);

/// Bytes of a value.
const VALUE: usize = 1024;

/// Rows of each of the two ranges of which one is deleted, in batches of `BATCH`.
const ROWS: u64 = 100_000;
const BATCH: u64 = 100;

/// For how long the space is looked at after a deletion.
const PATIENCE: Duration = Duration::from_secs(60);

/// Batches of 16 rows that were answered before the process is killed: a quarter of a GB.
const KILL_AFTER: u64 = 16_384;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:?}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match words.as_slice() {
        ["--data", data] => runtime.block_on(measure(Path::new(data))),
        ["--fill", engine, data] => runtime.block_on(fill(engine, Path::new(data))),
        ["--puts", data, rows, seconds] => {
            runtime.block_on(puts(Path::new(data), whole_number(rows)?, whole_number(seconds)?))
        }
        _ => Err(Error::invalid("takes --data DIR, --fill ENGINE DIR, or --puts DIR ROWS SECONDS")),
    }
}

fn whole_number(word: &str) -> Result<u64> {
    word.parse().map_err(|_| Error::invalid(format!("`{word}` is no whole number")))
}

async fn open(engine: &str, data: &Path) -> Result<Arc<dyn Engine>> {
    match engine {
        "fjall" => Ok(Arc::new(Fjall::open(data, fjall::Settings::default()).await?)),
        other => Err(Error::invalid(format!("there is no engine {other}"))),
    }
}

async fn measure(data: &Path) -> Result<()> {
    let steps = 1 + ENGINES.len() * (WRITERS.len() + 2);
    let mut step = 0;
    let mut next = |what: String| {
        step += 1;
        eprintln!("step {step}/{steps} {what}");
    };
    std::fs::create_dir_all(data)?;

    println!("## Durable commits of {VALUE} bytes\n");
    println!("| engine | writers | commits a second | p50 ms | p99 ms | longest ms |\n|---|---:|---:|---:|---:|---:|");
    next("the file alone".into());
    print_times("a file, `write` and `fdatasync`", 1, file_alone(&data.join("file"))?);
    for engine in ENGINES {
        for writers in WRITERS {
            next(format!("{engine}, {writers} writers"));
            let place = data.join(format!("{engine}-{writers}"));
            print_times(engine, writers, commits(engine, &place, writers).await?);
            std::fs::remove_dir_all(&place)?;
        }
    }

    println!("\n## Space after deleting one of two ranges of {ROWS} rows\n");
    println!("| engine | before | right after | in the end | after | deleting |\n|---|---:|---:|---:|---:|---:|");
    for engine in ENGINES {
        next(format!("{engine}, deleting"));
        let place = data.join(format!("{engine}-space"));
        space(engine, &place).await?;
        std::fs::remove_dir_all(&place)?;
    }

    println!("\n## Opening after `kill -9`\n");
    println!("| engine | rows answered | on the disk | opening | rows lost |\n|---|---:|---:|---:|---:|");
    for engine in ENGINES {
        next(format!("{engine}, kill -9"));
        let place = data.join(format!("{engine}-kill"));
        recovery(engine, &place).await?;
        std::fs::remove_dir_all(&place)?;
    }
    Ok(())
}

/// Milliseconds of each append to one file with its sync: what the machine does without an engine.
fn file_alone(path: &Path) -> Result<Vec<f64>> {
    let mut file = std::fs::File::create(path)?;
    let (mut times, end) = (Vec::new(), Instant::now() + SPAN);
    while Instant::now() < end {
        let begun = Instant::now();
        file.write_all(&value(times.len() as u64))?;
        file.sync_data()?;
        times.push(begun.elapsed().as_secs_f64() * 1000.0);
    }
    std::fs::remove_file(path)?;
    Ok(times)
}

/// Milliseconds of each commit of a new row.
async fn commits(engine: &str, place: &Path, writers: usize) -> Result<Vec<f64>> {
    let engine = open(engine, place).await?;
    let times = timed(&engine, writers, SPAN, |number| number).await?;
    engine.close().await?;
    Ok(times)
}

/// Puts to rows that are there, in no order. Prints what the load program of the tables bench prints.
async fn puts(data: &Path, rows: u64, seconds: u64) -> Result<()> {
    let settings = fjall::Settings { cache_bytes: CACHE_BYTES, ..fjall::Settings::default() };
    let engine: Arc<dyn Engine> = Arc::new(Fjall::open(data, settings).await?);
    let steps = 1 + PUTS.len();
    eprintln!("step 1/{steps} {rows} rows");
    let begun = Instant::now();
    for first in (0..rows).step_by(BATCH as usize) {
        let mut batch = Batch::new();
        for row in first..(first + BATCH).min(rows) {
            batch.put(scattered(row), value(row));
        }
        engine.commit(batch).await?;
    }
    println!("filled\t{rows}\t{}", begun.elapsed().as_secs_f64());
    for (at, writers) in PUTS.into_iter().enumerate() {
        eprintln!("step {}/{steps} {writers} writers", at + 2);
        let span = Duration::from_secs(seconds);
        let mut times = timed(&engine, writers, span, move |number| mixed(number) % rows.max(1)).await?;
        times.sort_by(f64::total_cmp);
        let at = |part: f64| times.get((times.len() as f64 * part) as usize).copied().unwrap_or(f64::NAN);
        println!("found\tput\t{writers}\t{}\t{}\t{}\t0", times.len() as f64 / seconds as f64, at(0.5), at(0.99));
    }
    engine.close().await
}

/// Milliseconds of each commit of one row. `row` says which one it is when they are counted.
async fn timed(
    engine: &Arc<dyn Engine>,
    writers: usize,
    span: Duration,
    row: impl Fn(u64) -> u64 + Copy + Send + 'static,
) -> Result<Vec<f64>> {
    let end = Instant::now() + span;
    let writer = |first: usize| {
        let engine = engine.clone();
        async move {
            let (mut times, mut number) = (Vec::new(), first as u64);
            while Instant::now() < end {
                let mut batch = Batch::new();
                batch.put(scattered(row(number)), value(number));
                let begun = Instant::now();
                engine.commit(batch).await?;
                times.push(begun.elapsed().as_secs_f64() * 1000.0);
                number += writers as u64;
            }
            Ok::<_, Error>(times)
        }
    };
    let tasks: Vec<_> = (0..writers).map(|first| tokio::spawn(writer(first))).collect();
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await.map_err(|e| Error::internal(e.to_string()))??);
    }
    Ok(times)
}

fn print_times(engine: &str, writers: usize, mut times: Vec<f64>) {
    times.sort_by(f64::total_cmp);
    let at = |part: f64| times.get((times.len() as f64 * part) as usize).or(times.last()).copied().unwrap_or(f64::NAN);
    let rate = times.len() as f64 / SPAN.as_secs_f64();
    println!("| {engine} | {writers} | {rate:.0} | {:.2} | {:.2} | {:.2} |", at(0.5), at(0.99), at(1.0));
}

async fn space(name: &str, place: &Path) -> Result<()> {
    let engine = open(name, place).await?;
    for range in 0..2_u8 {
        for first in (0..ROWS).step_by(BATCH as usize) {
            let mut batch = Batch::new();
            for row in first..first + BATCH {
                batch.put([&[range][..], &scattered(row)].concat(), value(row));
            }
            engine.commit(batch).await?;
        }
    }
    let before = used(place)?;
    let begun = Instant::now();
    engine.delete_range(Bytes::from_static(&[0]), Bytes::from_static(&[1])).await?;
    let deleting = begun.elapsed();
    let right_after = used(place)?;
    let (begun, mut least, mut when) = (Instant::now(), right_after, Duration::ZERO);
    while begun.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let now = used(place)?;
        if now < least {
            (least, when) = (now, begun.elapsed());
        }
    }
    let left = rows_from(&*engine, Bound::Unbounded, Bound::Unbounded).await?;
    engine.close().await?;
    println!(
        "| {name} | {} | {} | {} | {:.0} s | {:.1} s |",
        megabytes(before),
        megabytes(right_after),
        megabytes(least),
        when.as_secs_f64(),
        deleting.as_secs_f64()
    );
    match left == ROWS {
        true => Ok(()),
        false => Err(Error::internal(format!("{left} rows are left of {ROWS}"))),
    }
}

/// Commits without an end: 16 writers, each with rows of its own in their order, 16 at a time. Prints what was answered.
async fn fill(engine: &str, place: &Path) -> Result<()> {
    let engine = open(engine, place).await?;
    let writer = |writer: u8| {
        let engine = engine.clone();
        async move {
            for first in (0_u64..).step_by(16) {
                let mut batch = Batch::new();
                for row in first..first + 16 {
                    batch.put(owned(writer, row), value(row));
                }
                engine.commit(batch).await?;
                println!("{writer} {}", first + 16);
            }
            Ok::<_, Error>(())
        }
    };
    let tasks: Vec<_> = (0..16).map(|number| tokio::spawn(writer(number))).collect();
    for task in tasks {
        task.await.map_err(|e| Error::internal(e.to_string()))??;
    }
    Ok(())
}

/// Kills a process that fills a directory, then times the opening and counts what was answered and is not there.
async fn recovery(name: &str, place: &Path) -> Result<()> {
    let mut child =
        Command::new(std::env::current_exe()?).args(["--fill", name]).arg(place).stdout(Stdio::piped()).spawn()?;
    let output = child.stdout.take().ok_or_else(|| Error::internal("the child has no standard output"))?;
    let (mut answered, mut lines) = (BTreeMap::<u8, u64>::new(), 0);
    // After the kill, what was printed before it is still to be read.
    for line in BufReader::new(output).lines() {
        let line = line?;
        let mut numbers = line.split(' ');
        let number = |word: Option<&str>| word.and_then(|word| word.parse::<u64>().ok());
        let (Some(writer), Some(rows)) = (number(numbers.next()), number(numbers.next())) else { continue };
        // The last line may have been cut off, which makes its number smaller.
        let most = answered.entry(writer as u8).or_default();
        *most = rows.max(*most);
        lines += 1;
        if lines == KILL_AFTER {
            child.kill()?;
        }
    }
    child.wait()?;
    let bytes = used(place)?;
    let begun = Instant::now();
    let engine = open(name, place).await?;
    let opening = begun.elapsed();
    let mut lost = 0;
    for (&writer, &rows) in &answered {
        let bounds = (Bound::Included(owned(writer, 0)), Bound::Excluded(owned(writer, rows)));
        lost += rows - rows_from(&*engine, bounds.0, bounds.1).await?;
    }
    engine.close().await?;
    let total: u64 = answered.values().sum();
    println!("| {name} | {total} | {} | {:.2} s | {lost} |", megabytes(bytes), opening.as_secs_f64());
    match lost == 0 && lines >= KILL_AFTER {
        true => Ok(()),
        false => Err(Error::internal(format!("{lost} of {total} rows are lost; {lines} batches were answered"))),
    }
}

async fn rows_from(engine: &dyn Engine, from: Bound<Bytes>, to: Bound<Bytes>) -> Result<u64> {
    let mut scan = engine.scan(from, to, Order::Forward).await?;
    let mut rows = 0;
    loop {
        match scan.next_batch(4096, 4 << 20).await?.len() as u64 {
            0 => return Ok(rows),
            page => rows += page,
        }
    }
}

/// Bytes of the disk that the files below `dir` take.
fn used(dir: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        // The engine deletes files meanwhile.
        let Ok(file) = entry.metadata() else { continue };
        bytes += match file.is_dir() {
            true => used(&entry.path()).unwrap_or(0),
            false => file.blocks() * 512,
        };
    }
    Ok(bytes)
}

fn megabytes(bytes: u64) -> String {
    format!("{:.0} MB", bytes as f64 / 1e6)
}

/// A key of its own for each number, in no order.
fn scattered(number: u64) -> Vec<u8> {
    number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes().to_vec()
}

/// A number for each number, in no order: the finalizer of splitmix64.
fn mixed(number: u64) -> u64 {
    let mut hash = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

/// The key of a writer's row, in the order of its rows.
fn owned(writer: u8, row: u64) -> Bytes {
    [&[writer][..], &row.to_be_bytes()].concat().into()
}

/// Bytes that no compression makes smaller.
fn value(number: u64) -> Vec<u8> {
    let mut state = number | 1;
    let mut bytes = Vec::with_capacity(VALUE);
    while bytes.len() < VALUE {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_be_bytes());
    }
    bytes
}
