//! The soak of the table store: hours of reads and writes of rows that expire, then a large table that is dropped. Memory stays
//! flat, the disk bounded, answers as quick as in the beginning, and a dropped table gives its space back.
//!
//! Versions are dated into the past, so that their time to live of a day ends within minutes. A table is walked for what has
//! expired ten times in that day; here it is each time that the most versions were lowered, in every window but the first.
//! Lines on the standard output: `window <number> <p99 ms> <a second> <most memory MB> <most disk MB>` for each sixth of the
//! time, then `dropped <MB before> <MB of the table> <MB after>`; fields are parted by tabs.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use feitian_drive::load::{self, Asked, Target, Work};
use feitian_drive::ots::{Keeping, Login, Ots};

const ROWS: u64 = 200_000;
const CLIENTS: usize = 16;
/// So many windows, of which the first and the last are compared.
const WINDOWS: u32 = 6;
/// A day, the shortest time to live that the service knows, and three versions of each row.
const KEEPING: Keeping = Keeping { ttl_seconds: 86_400, max_versions: 3 };
/// How far versions are dated back: they live for five to fifteen minutes more.
const AGE: Duration = Duration::from_secs(86_400 - 900);
const SPREAD: Duration = Duration::from_secs(600);
/// The table that is dropped after an hour: about 5 GB. After less, as much less, but not less than the other's files move by.
const DROPPED_ROWS: f64 = 5e6;
const LEAST_DROPPED_ROWS: f64 = 1e6;
const HOUR_S: f64 = 3600.0;
/// How long the space of a dropped table may take to come back.
const GIVEN_BACK: Duration = Duration::from_secs(900);
/// How often memory and disk are looked at.
const SAMPLE: Duration = Duration::from_secs(2);

pub fn run(login: &Login, pid: u32, data: &Path, seconds: f64) -> Result<()> {
    Ots::connect(login, "soak")?.create(KEEPING)?;
    let connect = || -> Result<Box<dyn Target>> { Ok(Box::new(Ots::connect(login, "soak")?.aged(AGE, SPREAD))) };
    for number in 1..=WINDOWS {
        eprintln!("step {number}/{} soak", WINDOWS + 1);
        if number > 1 {
            let mut owner = Ots::connect(login, "soak")?;
            owner.keep_versions(KEEPING.max_versions - 1)?;
            owner.keep_versions(KEEPING.max_versions)?;
        }
        let work = Work::Mix { reads: 50 };
        let asked = Asked { work, clients: CLIENTS, seconds: seconds / f64::from(WINDOWS), rows: ROWS, rate: None };
        let (found, memory, disk) = watched(pid, data, || load::run(&connect, &asked))?;
        println!("window\t{number}\t{}\t{}\t{memory}\t{disk}", found.p99_ms, found.per_second);
    }
    eprintln!("step {0}/{0} a large table", WINDOWS + 1);
    dropped(login, data, (DROPPED_ROWS * seconds / HOUR_S).clamp(LEAST_DROPPED_ROWS, DROPPED_ROWS) as u64)
}

/// Fills a table, drops it, and waits until its space is back.
fn dropped(login: &Login, data: &Path, rows: u64) -> Result<()> {
    let before = disk_mb(data)?;
    let large = || -> Result<Box<dyn Target>> { Ok(Box::new(Ots::connect(login, "large")?)) };
    Ots::connect(login, "large")?.create(Keeping::ONE)?;
    load::fill(&large, rows, 8)?;
    let table = disk_mb(data)? - before;
    ensure!(table > 0.0, "the large table takes no space");
    Ots::connect(login, "large")?.drop_table()?;
    let begun = Instant::now();
    let mut after = disk_mb(data)?;
    while after > before + table * 0.1 && begun.elapsed() < GIVEN_BACK {
        std::thread::sleep(Duration::from_secs(1));
        after = disk_mb(data)?;
    }
    println!("dropped\t{before}\t{table}\t{after}");
    Ok(())
}

/// What `work` found, and the most that the server had of memory and disk meanwhile, in MB.
fn watched<T>(pid: u32, data: &Path, work: impl FnOnce() -> Result<T>) -> Result<(T, f64, f64)> {
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watch = scope.spawn(|| -> Result<(f64, f64)> {
            let (mut memory, mut disk) = (0.0_f64, 0.0_f64);
            loop {
                let is_last = is_over.load(Ordering::SeqCst);
                memory = memory.max(memory_mb(pid)?);
                disk = disk.max(disk_mb(data)?);
                if is_last {
                    return Ok((memory, disk));
                }
                std::thread::park_timeout(SAMPLE);
            }
        });
        let found = work();
        is_over.store(true, Ordering::SeqCst);
        watch.thread().unpark();
        let (memory, disk) = watch.join().map_err(|_| anyhow!("the watch panicked"))??;
        Ok((found?, memory, disk))
    })
}

/// What the server holds of the memory.
fn memory_mb(pid: u32) -> Result<f64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = text.lines().find(|l| l.starts_with("VmRSS")).context("no VmRSS of the server")?;
    let kib: f64 = line.split_whitespace().nth(1).context("no number")?.parse()?;
    Ok(kib * 1024.0 / 1e6)
}

/// What the files below a directory take on the disk, which may be less than their length.
fn disk_mb(dir: &Path) -> Result<f64> {
    use std::os::unix::fs::MetadataExt;
    let (mut blocks, mut folders) = (0, vec![dir.to_path_buf()]);
    while let Some(folder) = folders.pop() {
        // What is found may be gone a moment later.
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            match entry.metadata() {
                Ok(about) if about.is_dir() => folders.push(entry.path()),
                Ok(about) => blocks += about.blocks(),
                Err(_) => {}
            }
        }
    }
    Ok(blocks as f64 * 512.0 / 1e6)
}
