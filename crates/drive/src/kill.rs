//! The kill loop: concurrent writers, a server that dies at every step of every protocol, and the whole contents compared
//! with what was acknowledged.
//!
//! `feitian-kill --feitian BIN --data DIR --kills N [--seed S]` prints one line a round and, at the end, how often each
//! fail point was reached. `DIR.expected.json` then holds what every table must contain, for a check from outside. With
//! `--shared N` so many writers change the same tables instead (`shared.rs`).

mod shared;
mod writers;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use feitian_drive::client::Client;
use feitian_drive::server::{Running, Server};
use writers::{KINDS, Kind, Writer};

/// Every numbered step of every protocol over tables of their own. The points `external.*` are not among them: no writer of
/// the loop has files in a bucket, of which neither a download nor `feitian check` knows; the tests of `external/files.rs`
/// stop between all steps of theirs. Those of the table store are in a loop of its own, `tests/clients/ots_kill.py`.
const POINTS: &[&str] = &[
    "session.before_row",
    "session.after_row",
    "block.before_file",
    "block.before_row",
    "block.after_row",
    "upload.closing",
    "upload.joined",
    "commit.before_record",
    "commit.after_record",
    "commit.before_log",
    "commit.after_log",
    "commit.after_settle",
    "dml.before_rewrite",
    "dml.before_commit",
    "keys.before_rewrite",
    "upsert.before_commit",
    "ddl.before_log",
    "ddl.before_row",
    "ddl.before",
    "ddl.after",
    "submit.before_row",
    "submit.after_row",
    "job.claimed",
    "result.before_write",
    "result.after_write",
    "job.before_finish",
    "resource.before_file",
    "resource.before_row",
    "resource.after_row",
    "volume.before_file",
    "volume.before_row",
    "volume.after_row",
    "volume.before_commit",
    "volume.after_commit",
    "collect.before_delete",
    "collect.before_forget",
    "join.before_file",
    "join.before_commit",
    "join.after_commit",
    "checkpoint.before_write",
    "checkpoint.after_write",
    "clean.before_hint",
    "clean.before_delete",
];

/// A long enough run reaches every fail point so often, a shorter one each equally often.
const TIMES: u64 = 10;

/// Writers start with a new table after so many kills, so that reading everything back stays quick.
const KILLS_PER_GENERATION: u64 = 8;
/// Everything is read by a download after so many kills, by queries after the others.
const DOWNLOADS: u64 = 8;
/// A round without its fail point ends with a kill after this time.
const ROUND: Duration = Duration::from_secs(20);
/// The same for what takes a hundred writes to happen.
const OLD_ROUND: Duration = Duration::from_secs(90);

struct Args {
    feitian: PathBuf,
    data: PathBuf,
    kills: u64,
    seed: u64,
    shared: u64,
}

fn args() -> Result<Args> {
    let mut args = Args { feitian: PathBuf::new(), data: PathBuf::new(), kills: 200, seed: 1, shared: 0 };
    let mut words = std::env::args().skip(1);
    while let Some(flag) = words.next() {
        let value = words.next().with_context(|| format!("{flag} needs a value"))?;
        match flag.as_str() {
            "--feitian" => args.feitian = value.into(),
            "--data" => args.data = value.into(),
            "--kills" => args.kills = value.parse()?,
            "--seed" => args.seed = value.parse()?,
            "--shared" => args.shared = value.parse()?,
            other => bail!("unknown flag {other}"),
        }
    }
    ensure!(args.feitian.is_file(), "--feitian must name the binary");
    Ok(args)
}

/// A small generator (xorshift), so that a run can be repeated from its seed.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

/// Who does one thing after another until the server is gone.
trait Work: Send {
    /// One thing; returns once it is acknowledged.
    fn work(&mut self, client: &Client) -> Result<()>;
}

impl Work for Writer {
    fn work(&mut self, client: &Client) -> Result<()> {
        self.step(client)
    }
}

fn main() -> Result<()> {
    let args = args()?;
    match args.shared {
        0 => each_its_own(&args),
        _ => shared::run(&args),
    }
}

/// The loop over writers with tables of their own.
fn each_its_own(args: &Args) -> Result<()> {
    println!("seed {}, {} kills", args.seed, args.kills);
    let server = Server::new(&args.feitian, &args.data)?;
    let mut random = Random(args.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut running = server.start("")?;
    let (access_id, secret) = server.credentials()?;
    let client = Client::new(&server.base(), &access_id, &secret, "demo")?;
    let mut reached: BTreeMap<String, u64> = BTreeMap::new();
    let mut old: Vec<Writer> = Vec::new();
    let mut writers = new_generation(&client, 0)?;
    writers.push(created(&client, Writer::new(Kind::Stream, KINDS.len() as i64, 0))?);
    let started = Instant::now();
    let (mut kill, mut turn) = (0, 0);
    while kill < args.kills || (kill < args.kills + args.kills / 5 && short_of(&reached, args.kills).is_some()) {
        if kill > 0 && kill % KILLS_PER_GENERATION == 0 {
            let growing_old = writers.split_off(KINDS.len());
            old.append(&mut writers);
            writers = new_generation(&client, kill / KILLS_PER_GENERATION)?;
            writers.extend(growing_old);
        }
        let begun = Instant::now();
        running.kill();
        // Every ninth kill falls at a random moment, the others at the points in turn.
        let random_moment = kill % 9 == 8;
        let point = match short_of(&reached, args.kills) {
            Some(point) if kill >= args.kills => point,
            _ if random_moment => "",
            _ => next_in_turn(&mut turn, &reached),
        };
        let nth = passes(point, &mut random);
        let armed = if random_moment { String::new() } else { format!("{point}:{nth}") };
        running = server.start(&armed).with_context(|| format!("kill {kill}"))?;
        let limit = if random_moment { Duration::from_millis(300 + random.below(1500)) } else { round_of(point) };
        let before: u64 = writers.iter().map(|w| w.acknowledged).sum();
        let hit = round(&mut running, &client, &mut writers, limit, true);
        let name = if random_moment {
            "a random moment"
        } else if hit {
            point
        } else {
            "no fail point"
        };
        *reached.entry(name.to_string()).or_default() += 1;
        running.kill();
        running = server.start("").with_context(|| format!("restart after {name}"))?;
        for w in &mut writers {
            w.settle(&client).with_context(|| format!("kill {kill} at {name}"))?;
            let as_whole = kill % DOWNLOADS == 0 && w.kind != Kind::Stream;
            let same = if as_whole { w.verify_rows(&client) } else { w.verify(&client) };
            same.with_context(|| format!("kill {kill} at {name}"))?;
        }
        let acknowledged = writers.iter().map(|w| w.acknowledged).sum::<u64>() - before;
        let seconds = begun.elapsed().as_secs_f64();
        println!("kill {kill:4} at {name:24} {acknowledged:4} acknowledged, all there once, {seconds:.1} s");
        kill += 1;
    }
    old.append(&mut writers);
    // What is on disk afterwards is judged from outside.
    client.collect(0).context("the last collection")?;
    for w in &old {
        w.verify_rows(&client).context("final comparison")?;
    }
    write_expectations(args, &old)?;
    let total: u64 = old.iter().map(|w| w.acknowledged).sum();
    println!("took {:.0} s", started.elapsed().as_secs_f64());
    report(&reached, args.kills, kill, total)
}

/// Prints what was reached, and judges whether it was enough.
fn report(reached: &BTreeMap<String, u64>, wanted: u64, kill: u64, total: u64) -> Result<()> {
    println!("{kill} kills, {total} acknowledged writes, {:.1} a kill", total as f64 / kill as f64);
    for (name, n) in reached {
        println!("{n:5} kills at {name}");
    }
    if let Some(point) = short_of(reached, wanted) {
        bail!("the fail point {point} was reached {} times only", reached.get(point).copied().unwrap_or_default());
    }
    ensure!(total >= 20 * kill, "fewer than 20 acknowledged writes a kill");
    Ok(())
}

/// A fail point that a run of so many kills should have reached more often.
fn short_of(reached: &BTreeMap<String, u64>, kills: u64) -> Option<&'static str> {
    let wanted = TIMES.min(kills * 8 / 9 / POINTS.len() as u64);
    POINTS.iter().find(|p| reached.get(**p).copied().unwrap_or_default() < wanted).copied()
}

/// The fail points in turn; those that take long to come by are left out once they were reached often enough, so that a long
/// run has more kills to the hour.
fn next_in_turn(turn: &mut usize, reached: &BTreeMap<String, u64>) -> &'static str {
    loop {
        let point = POINTS[*turn % POINTS.len()];
        *turn += 1;
        if !is_seldom(point) || reached.get(point).copied().unwrap_or_default() < TIMES + 2 {
            return point;
        }
    }
}

/// What a table does only after a hundred writes, and what a collection does only after it has looked at everything else.
fn is_seldom(point: &str) -> bool {
    ["join.", "checkpoint.", "clean.", "collect.before_forget"].iter().any(|protocol| point.starts_with(protocol))
}

/// How often a fail point is passed before the server dies at it: what happens seldom would not happen in a round.
fn passes(point: &str, random: &mut Random) -> u64 {
    match point.split_once('.').map_or("", |(protocol, _)| protocol) {
        "collect" => 1,
        "checkpoint" => 1,
        "join" => 1 + random.below(2),
        "clean" if point == "clean.before_delete" => 1 + random.below(100),
        "clean" => 1,
        _ => 4 + random.below(12),
    }
}

fn round_of(point: &str) -> Duration {
    if is_seldom(point) { OLD_ROUND } else { ROUND }
}

fn new_generation(client: &Client, generation: u64) -> Result<Vec<Writer>> {
    let writers = KINDS.iter().enumerate().map(|(i, kind)| Writer::new(*kind, i as i64, generation));
    writers.map(|writer| created(client, writer)).collect()
}

/// The writer, once its table is there.
fn created(client: &Client, writer: Writer) -> Result<Writer> {
    if let Some(sql) = writer.create() {
        client.run(&sql, "")?;
    }
    if writer.kind == Kind::Volume {
        client.create_volume(&writer.table)?;
    }
    Ok(writer)
}

/// Lets all writers work until the server dies or `limit` has passed; true if it died by itself. What nobody refers to is
/// removed all the while if `collects`.
fn round<W: Work>(running: &mut Running, client: &Client, writers: &mut [W], limit: Duration, collects: bool) -> bool {
    let (stop, done) = (AtomicBool::new(false), AtomicU64::new(0));
    let begin = Instant::now();
    let mut died = false;
    std::thread::scope(|scope| {
        for writer in writers.iter_mut() {
            let (stop, done) = (&stop, &done);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) && writer.work(client).is_ok() {
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let collector = client.clone();
        let stop = &stop;
        scope.spawn(move || {
            let mut begun = Instant::now();
            while collects && !stop.load(Ordering::Relaxed) && collector.collect(2).is_ok() {
                // As long as it took: tables grow many, and the writers want their share of the machine.
                let until = Instant::now() + begun.elapsed().max(Duration::from_millis(200));
                while Instant::now() < until && !stop.load(Ordering::Relaxed) {
                    std::thread::park_timeout(Duration::from_millis(20));
                }
                begun = Instant::now();
            }
        });
        while begin.elapsed() < limit {
            if running.has_ended() {
                died = true;
                break;
            }
            std::thread::park_timeout(Duration::from_millis(5));
        }
        if !died {
            kill_now(running.pid());
        }
        stop.store(true, Ordering::Relaxed);
    });
    died
}

/// SIGKILL in the middle of whatever runs.
fn kill_now(pid: u32) {
    let _ = std::process::Command::new("kill").args(["-9", &pid.to_string()]).status();
}

fn write_expectations(args: &Args, writers: &[Writer]) -> Result<()> {
    let tables: BTreeMap<String, Vec<i64>> = writers.iter().filter_map(Writer::expectation).collect();
    let path = args.data.with_extension("expected.json");
    std::fs::write(&path, serde_json::to_string(&tables)?).with_context(|| format!("write {}", path.display()))
}
