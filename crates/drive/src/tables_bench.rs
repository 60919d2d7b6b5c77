//! The load of the tables bench: one server, the same requests for each kind of it, one line for each measurement.
//!
//! `feitian-tables-bench --target feitian|postgres|redis --port PORT --rows N --seconds S --dir DIR [--credentials FILE]`
//! fills a table and asks for its rows; DIR is on the disk of the server's data. With `--soak SECONDS --pid PID` it lets
//! sixteen clients read and write rows that expire, and drops a large table at the end (`soak.rs`). On the standard output:
//!
//! ```text
//! found <what> <clients> <a second> <p50 ms> <p99 ms> <own processors>      fields are parted by tabs
//! disk <p50 ms of an append of one row and its fdatasync>
//! filled <rows> <seconds>
//! ```

#[path = "tables_bench/soak.rs"]
mod soak;

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use feitian_drive::load::{self, Asked, Connect, Random, Target, VALUE_BYTES, Work};
use feitian_drive::ots::{Keeping, Login, Ots};
use feitian_drive::peers::{Postgres, Redis};

const TABLE: &str = "bench";
/// Clients that fill a table.
const FILLERS: u64 = 8;
/// Appends of which the median is the disk's part of a write.
const SYNCS: usize = 300;

/// A measurement: its name, what is asked by how many clients, and whether half of the last rate is asked for.
struct Phase {
    name: &'static str,
    work: Work,
    clients: usize,
    is_half: bool,
}

const fn phase(name: &'static str, work: Work, clients: usize) -> Phase {
    Phase { name, work, clients, is_half: false }
}

static PHASES: [Phase; 12] = [
    phase("point read", Work::Get, 1),
    phase("point read", Work::Get, 64),
    phase("point read", Work::Get, 16),
    Phase { name: "point read, half load", work: Work::Get, clients: 16, is_half: true },
    phase("put", Work::Put, 1),
    phase("put", Work::Put, 16),
    phase("put", Work::Put, 64),
    phase("put", Work::Put, 256),
    phase("conditional update", Work::Change, 16),
    phase("scan of 1,000 rows", Work::Scan, 8),
    phase("95/5 mix", Work::Mix { reads: 95 }, 16),
    phase("50/50 mix", Work::Mix { reads: 50 }, 16),
];

struct Args {
    target: String,
    port: u16,
    rows: u64,
    seconds: f64,
    dir: PathBuf,
    credentials: PathBuf,
    soak: Option<f64>,
    pid: u32,
}

fn args() -> Result<Args> {
    let mut args = Args {
        target: String::new(),
        port: 0,
        rows: 100_000,
        seconds: 10.0,
        dir: PathBuf::new(),
        credentials: PathBuf::new(),
        soak: None,
        pid: 0,
    };
    let mut words = std::env::args().skip(1);
    while let Some(flag) = words.next() {
        let value = words.next().with_context(|| format!("{flag} needs a value"))?;
        match flag.as_str() {
            "--target" => args.target = value,
            "--port" => args.port = value.parse()?,
            "--rows" => args.rows = value.parse()?,
            "--seconds" => args.seconds = value.parse()?,
            "--dir" => args.dir = value.into(),
            "--credentials" => args.credentials = value.into(),
            "--soak" => args.soak = Some(value.parse()?),
            "--pid" => args.pid = value.parse()?,
            other => bail!("unknown flag {other}"),
        }
    }
    Ok(args)
}

fn main() -> Result<()> {
    let args = args()?;
    if let Some(seconds) = args.soak {
        return soak::run(&login(&args)?, args.pid, &args.dir, seconds);
    }
    match args.target.as_str() {
        "feitian" => {
            let login = login(&args)?;
            Ots::connect(&login, TABLE)?.create(Keeping::ONE)?;
            let connect = || -> Result<Box<dyn Target>> { Ok(Box::new(Ots::connect(&login, TABLE)?)) };
            measure(&args, &connect, |_| true)
        }
        "postgres" => {
            let mut postgres = Postgres::connect(args.port)?;
            postgres.run("CREATE TABLE rows (id bigint PRIMARY KEY, n bigint NOT NULL, v bytea NOT NULL)")?;
            // A value of this size stays in its row, and is kept as it is.
            postgres.run("ALTER TABLE rows ALTER COLUMN v SET STORAGE PLAIN")?;
            let connect = || -> Result<Box<dyn Target>> { Ok(Box::new(Postgres::prepared(args.port)?)) };
            measure(&args, &connect, |_| true)
        }
        "redis" => {
            let connect = || -> Result<Box<dyn Target>> { Ok(Box::new(Redis::connect(args.port)?)) };
            measure(&args, &connect, |phase| phase.work == Work::Put)
        }
        other => bail!("--target is feitian, postgres or redis, not `{other}`"),
    }
}

fn login(args: &Args) -> Result<Login> {
    let text =
        std::fs::read_to_string(&args.credentials).with_context(|| format!("read {}", args.credentials.display()))?;
    let stored: serde_json::Value = serde_json::from_str(&text)?;
    let value = |name: &str| Ok::<_, anyhow::Error>(stored[name].as_str().context("no key")?.to_string());
    // The first start makes this instance.
    let instance = "demo".to_string();
    Ok(Login { port: args.port, access_id: value("access_id")?, secret: value("secret")?, instance })
}

fn measure(args: &Args, connect: Connect<'_>, wanted: impl Fn(&Phase) -> bool) -> Result<()> {
    let phases: Vec<&Phase> = PHASES.iter().filter(|phase| wanted(phase)).collect();
    let steps = phases.len() + 2;
    eprintln!("step 1/{steps} {}: the disk", args.target);
    println!("disk\t{}", sync_ms(&args.dir)?);
    eprintln!("step 2/{steps} {}: {} rows", args.target, args.rows);
    let seconds = load::fill(connect, args.rows, FILLERS)?;
    println!("filled\t{}\t{seconds}", args.rows);
    let mut last = 0.0;
    for (at, phase) in phases.into_iter().enumerate() {
        eprintln!("step {}/{steps} {}: {}, {} clients", at + 3, args.target, phase.name, phase.clients);
        let rate = phase.is_half.then_some(last / 2.0);
        let Phase { work, clients, .. } = *phase;
        let found = load::run(connect, &Asked { work, clients, seconds: args.seconds, rows: args.rows, rate })?;
        last = found.per_second;
        println!(
            "found\t{}\t{clients}\t{}\t{}\t{}\t{}",
            phase.name, found.per_second, found.p50_ms, found.p99_ms, found.own_cpus
        );
    }
    Ok(())
}

/// The median of appending a row to a file and making it durable.
fn sync_ms(dir: &Path) -> Result<f64> {
    let path = dir.join("syncs");
    let mut file = File::create(&path).with_context(|| path.display().to_string())?;
    let (mut value, mut random) = (vec![0; VALUE_BYTES], Random::new(0));
    let mut times = Vec::new();
    for _ in 0..SYNCS {
        random.fill(&mut value);
        let begun = Instant::now();
        file.write_all(&value)?;
        file.sync_data()?;
        times.push(begun.elapsed().as_secs_f64() * 1000.0);
    }
    std::fs::remove_file(&path)?;
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}
