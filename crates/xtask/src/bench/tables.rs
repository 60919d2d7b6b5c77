//! `cargo xtask bench tables`: the table store beside PostgreSQL and Redis, one after the other on the same disk, asked by one
//! program through their own protocols.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::{BY_HAND, by_hand, head, measure};
use crate::cargo;
use crate::postgres::{Cluster, MEASURED, free_port};
use crate::process::Running;
use crate::progress::shown;
use crate::server::Server;
use crate::stage::Options;
use crate::tools;
use crate::workspace::{Workspace, without_settings};

/// Rows, in millions, unless another number is asked for. Of more rows, feitian's alone are measured and kept as another
/// page; of fewer, the numbers are only printed.
const MILLIONS: f64 = 2.0;
const MORE_MILLIONS: f64 = 10.0;
/// Each measurement takes so long, after a second that does not count.
const SECONDS: u64 = 20;
/// As much as PostgreSQL has in `postgres::MEASURED`.
pub(super) const CACHE: &str = "ots.cache=512MiB";

/// The targets. Lines of less clients than these have none.
const READ_RATIO: f64 = 1.0;
const PUT_RATIO: f64 = 1.0;
const ENGINE_PUT_RATIO: f64 = 2.0;
const SCAN_RATIO: f64 = 2.0;
const HALF_LOAD_P99_MS: f64 = 2.0;
const LONELY_MS: f64 = 1.0;

/// What the load program found at one server.
#[derive(Debug, Default)]
struct Report {
    /// An append of one row and its `fdatasync`.
    disk_ms: f64,
    filled_per_second: f64,
    found: Vec<Found>,
}

#[derive(Debug)]
struct Found {
    what: String,
    clients: u64,
    per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
    cpus: f64,
}

impl Report {
    fn parse(text: &str) -> Result<Self> {
        let mut report = Self::default();
        for line in text.lines() {
            let fields: Vec<&str> = line.split('\t').collect();
            let number = |at: usize| -> Result<f64> {
                let field = fields.get(at).with_context(|| format!("a field is missing: {line}"))?;
                field.parse().with_context(|| format!("`{field}` is no number: {line}"))
            };
            match fields[0] {
                "disk" => report.disk_ms = number(1)?,
                "filled" => report.filled_per_second = number(1)? / number(2)?,
                "found" => report.found.push(Found {
                    what: fields.get(1).copied().unwrap_or_default().to_string(),
                    clients: number(2)? as u64,
                    per_second: number(3)?,
                    p50_ms: number(4)?,
                    p99_ms: number(5)?,
                    cpus: number(6)?,
                }),
                _ => bail!("the load program said `{line}`"),
            }
        }
        Ok(report)
    }

    fn of(&self, what: &str, clients: u64) -> Option<&Found> {
        self.found.iter().find(|found| found.what == what && found.clients == clients)
    }
}

/// Measures, and writes the page. True only if every target was met.
pub(super) fn run(workspace: &Workspace, options: &Options) -> Result<bool> {
    let begun = Instant::now();
    let millions = options.scale.unwrap_or(MILLIONS);
    ensure!(millions > 0.0 && millions.is_finite(), "{millions} million rows are not above 0");
    let (rows, workspace) = ((millions * 1e6) as u64, &workspace.released());
    let folder = prepare(workspace, "bench-tables")?;
    // What is in its way should be known before the first hour.
    let for_postgres = reachable(&folder)?;
    // The page that is about to be written is no part of what was measured.
    let head = head(
        workspace,
        &folder,
        "# The table store, measured",
        if millions > MILLIONS { "tables --scale 10" } else { "tables" },
        "`crates/drive/src/tables_bench.rs` and `load.rs` beside it say how each number is taken.",
        "the `release` profile of this repository, with overflow checks in its own crates, for server and load program; \
         PostgreSQL and Redis are Debian's",
    )?;
    let feitian = of_feitian(workspace, &folder, rows)?;
    let text = if millions > MILLIONS {
        alone(&feitian)
    } else {
        let engine = of_engine(workspace, &folder, rows)?;
        let postgres = of_postgres(workspace, &folder, &for_postgres, rows)?;
        let redis = of_redis(workspace, &folder, rows)?;
        [
            beside_postgres(&feitian, &postgres),
            engine_beside_postgres(&engine, &postgres),
            beside_redis(&feitian, &redis),
            how(rows),
        ]
        .join("\n")
    };
    std::fs::remove_dir_all(&folder).with_context(|| format!("remove {}", folder.display()))?;
    if millions == MILLIONS {
        write(workspace, "tables", &head, &text)?;
    } else if millions == MORE_MILLIONS {
        write(workspace, "tables-large", &head, &format!("{rows} rows, feitian alone.\n\n{text}"))?;
    } else {
        println!("\n{text}\npages are written for {MILLIONS} and {MORE_MILLIONS} million rows");
    }
    let missed = text.matches("| miss |").count();
    println!("{missed} targets missed; {} in all", shown(begun.elapsed()));
    Ok(missed == 0)
}

/// Builds for release, and empties a folder.
pub(super) fn prepare(workspace: &Workspace, name: &str) -> Result<PathBuf> {
    tools::ensure(tools::FOR_TABLES)?;
    let mut build = workspace.cargo();
    build.args(["build", "--release", "--workspace", "--bin", "feitian", "--bin", "feitian-tables-bench"]);
    build.args(["--bin", "feitian-engine-bench"]);
    cargo::build("building feitian and the bench", &mut build)?;
    let folder = workspace.own(name)?;
    std::fs::remove_dir_all(&folder).with_context(|| format!("empty {}", folder.display()))?;
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}

pub(super) fn write(workspace: &Workspace, name: &str, head: &str, found: &str) -> Result<()> {
    let page = workspace.root.join(format!("docs/bench/{name}.md"));
    let before = std::fs::read_to_string(&page).unwrap_or_default();
    let text = format!("{head}\n{found}\n{BY_HAND}\n\n{}\n", by_hand(&before));
    std::fs::write(&page, &text).with_context(|| format!("write {}", page.display()))?;
    println!("written: docs/bench/{name}.md");
    Ok(())
}

/// The load program for one target.
pub(super) fn load(workspace: &Workspace, folder: &Path, target: &str, port: u16, rows: u64) -> Command {
    let mut command = Command::new(workspace.program("feitian-tables-bench"));
    without_settings(&mut command);
    command.args(["--target", target, "--port", &port.to_string(), "--rows", &rows.to_string()]);
    command.args(["--seconds", &SECONDS.to_string()]).arg("--dir").arg(folder);
    command
}

fn of_feitian(workspace: &Workspace, folder: &Path, rows: u64) -> Result<Report> {
    let data = folder.join("data");
    let server = Server::start_with(workspace, &data, false, false, &[CACHE])?;
    let mut command = load(workspace, folder, "feitian", server.ots_port, rows);
    command.arg("--credentials").arg(data.join("credentials"));
    let report = Report::parse(&measure("feitian", &mut command)?)?;
    server.stop()?;
    std::fs::remove_dir_all(&data).with_context(|| format!("remove {}", data.display()))?;
    Ok(report)
}

/// The engine below the table store by itself, with as much cache: no wire, no columns, no conditions.
fn of_engine(workspace: &Workspace, folder: &Path, rows: u64) -> Result<Report> {
    let data = folder.join("engine");
    let mut command = Command::new(workspace.program("feitian-engine-bench"));
    without_settings(&mut command);
    command.arg("--puts").arg(&data).args([rows.to_string(), SECONDS.to_string()]);
    let report = Report::parse(&measure("the engine", &mut command)?)?;
    std::fs::remove_dir_all(&data).with_context(|| format!("remove {}", data.display()))?;
    Ok(report)
}

/// A folder on the disk of `folder` that PostgreSQL's user can reach, whom root has to ask: that one, or one for the temporary
/// files of everybody.
fn reachable(folder: &Path) -> Result<PathBuf> {
    let is_open = |path: &Path| {
        let mut above = path.ancestors();
        above.all(|above| std::fs::metadata(above).is_ok_and(|found| found.mode() & 0o001 != 0))
    };
    if !tools::is_root() || is_open(folder) {
        return Ok(folder.to_path_buf());
    }
    let disk = std::fs::metadata(folder)?.dev();
    let others = [std::env::temp_dir(), PathBuf::from("/var/tmp")];
    let on_it = |path: &PathBuf| is_open(path) && std::fs::metadata(path).is_ok_and(|found| found.dev() == disk);
    let shown = folder.display();
    let why = || format!("PostgreSQL's user cannot reach {shown}; set CARGO_TARGET_DIR to where others may go");
    others.into_iter().find(on_it).with_context(why)
}

fn of_postgres(workspace: &Workspace, folder: &Path, parent: &Path, rows: u64) -> Result<Report> {
    let cluster = Cluster::start_in(parent, &MEASURED)?;
    Report::parse(&measure("PostgreSQL", &mut load(workspace, folder, "postgres", cluster.port(), rows))?)
}

fn of_redis(workspace: &Workspace, folder: &Path, rows: u64) -> Result<Report> {
    let (data, port) = (folder.join("redis"), free_port()?);
    std::fs::create_dir_all(&data)?;
    let mut command = Command::new(tools::find("redis-server").context("redis-server is missing")?);
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes"]);
    // As PostgreSQL does, it does not write its log anew in the midst of a measurement.
    command.args(["--auto-aof-rewrite-percentage", "0"]);
    command.args(["--appendfsync", "always", "--dir"]).arg(&data);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut server = Running(command.spawn().context("run redis-server")?);
    let end = Instant::now() + Duration::from_secs(30);
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        ensure!(Instant::now() < end && server.0.try_wait()?.is_none(), "redis-server does not listen");
        std::thread::sleep(Duration::from_millis(50));
    }
    let report = Report::parse(&measure("Redis", &mut load(workspace, folder, "redis", port, rows))?)?;
    server.stop("TERM", Duration::from_secs(60))?;
    std::fs::remove_dir_all(&data).with_context(|| format!("remove {}", data.display()))?;
    Ok(report)
}

/// What must be reached: words, and whether it was.
fn target(found: &Found, ratio: f64, disk_ms: f64) -> Option<(String, bool)> {
    let at_least = |wanted: f64| Some((format!("at least {wanted} times"), ratio >= wanted));
    match (found.what.as_str(), found.clients) {
        ("point read", _) => at_least(READ_RATIO),
        ("point read, half load", _) => {
            Some((format!("p99 under {HALF_LOAD_P99_MS} ms"), found.p99_ms < HALF_LOAD_P99_MS))
        }
        ("put", 64 | 256) => at_least(PUT_RATIO),
        ("put", 1) => {
            let over = found.p50_ms - disk_ms;
            Some((format!("{over:.2} ms over the disk, at most {LONELY_MS} ms"), over <= LONELY_MS))
        }
        ("scan of 1,000 rows", _) => at_least(SCAN_RATIO),
        _ => None,
    }
}

fn verdict(target: Option<(String, bool)>) -> String {
    match target {
        Some((words, is_met)) => format!("{words} | {} |", if is_met { "PASS" } else { "miss" }),
        None => " | |".to_string(),
    }
}

fn beside_postgres(feitian: &Report, postgres: &Report) -> String {
    let mut lines = vec![
        "## Beside PostgreSQL 15".to_string(),
        String::new(),
        "| what | clients | feitian, a second | p50, ms | p99, ms | PostgreSQL, a second | p50, ms | p99, ms | times | \
         own processors | target | |"
            .to_string(),
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|---|".to_string(),
    ];
    for ours in &feitian.found {
        let Some(theirs) = postgres.of(&ours.what, ours.clients) else { continue };
        let times = ours.per_second / theirs.per_second;
        lines.push(format!(
            "| {} | {} | {:.0} | {:.2} | {:.2} | {:.0} | {:.2} | {:.2} | {times:.2} | {:.2} and {:.2} | {}",
            ours.what,
            ours.clients,
            ours.per_second,
            ours.p50_ms,
            ours.p99_ms,
            theirs.per_second,
            theirs.p50_ms,
            theirs.p99_ms,
            ours.cpus,
            theirs.cpus,
            verdict(target(ours, times, feitian.disk_ms)),
        ));
    }
    lines.push(String::new());
    lines.push(format!(
        "Filled by batches of 200 rows: {:.0} rows a second, PostgreSQL {:.0}.",
        feitian.filled_per_second, postgres.filled_per_second
    ));
    lines.push(format!("An append of one row and its `fdatasync`: {:.2} ms.", feitian.disk_ms));
    lines.push(String::new());
    lines.join("\n")
}

fn engine_beside_postgres(engine: &Report, postgres: &Report) -> String {
    let mut lines = vec![
        "## Puts at the engine's own interface, beside PostgreSQL through its wire".to_string(),
        String::new(),
        "| clients | engine, a second | p50, ms | p99, ms | PostgreSQL, a second | times | target | |".to_string(),
        "|--:|--:|--:|--:|--:|--:|---|---|".to_string(),
    ];
    for ours in &engine.found {
        let Some(theirs) = postgres.of(&ours.what, ours.clients) else { continue };
        let times = ours.per_second / theirs.per_second;
        let target = (format!("at least {ENGINE_PUT_RATIO} times"), times >= ENGINE_PUT_RATIO);
        lines.push(format!(
            "| {} | {:.0} | {:.2} | {:.2} | {:.0} | {times:.2} | {}",
            ours.clients,
            ours.per_second,
            ours.p50_ms,
            ours.p99_ms,
            theirs.per_second,
            verdict(Some(target)),
        ));
    }
    lines.push(String::new());
    lines.join("\n")
}

fn beside_redis(feitian: &Report, redis: &Report) -> String {
    let mut lines = vec![
        "## Puts beside Redis 7".to_string(),
        String::new(),
        "| clients | feitian, a second | p50, ms | p99, ms | Redis, a second | p50, ms | p99, ms | times |".to_string(),
        "|--:|--:|--:|--:|--:|--:|--:|--:|".to_string(),
    ];
    for theirs in &redis.found {
        let Some(ours) = feitian.of(&theirs.what, theirs.clients) else { continue };
        lines.push(format!(
            "| {} | {:.0} | {:.2} | {:.2} | {:.0} | {:.2} | {:.2} | {:.2} |",
            ours.clients,
            ours.per_second,
            ours.p50_ms,
            ours.p99_ms,
            theirs.per_second,
            theirs.p50_ms,
            theirs.p99_ms,
            ours.per_second / theirs.per_second,
        ));
    }
    lines.push(String::new());
    lines.join("\n")
}

/// The numbers of feitian by itself.
fn alone(feitian: &Report) -> String {
    let mut lines = vec!["| what | clients | a second | p50, ms | p99, ms | processors of the program |".to_string()];
    lines.push("|---|--:|--:|--:|--:|--:|".to_string());
    for found in &feitian.found {
        let Found { what, clients, per_second, p50_ms, p99_ms, cpus } = found;
        lines.push(format!("| {what} | {clients} | {per_second:.0} | {p50_ms:.2} | {p99_ms:.2} | {cpus:.2} |"));
    }
    lines.push(format!("\nFilled at {:.0} rows a second.", feitian.filled_per_second));
    lines.push(format!("An append of one row and its `fdatasync`: {:.2} ms.\n", feitian.disk_ms));
    lines.join("\n")
}

/// What was measured how, in words.
fn how(rows: u64) -> String {
    let first = format!("- {rows} rows of a number and 1,000 random bytes; each measurement takes {SECONDS} seconds.");
    let lines = [
        "## How",
        "",
        &first,
        "- The servers run one at a time on the same disk; every write is durable before it is acknowledged.",
        "- One program asks all of them through their own protocols, a connection and a thread for each client. Requests \
         to feitian are signed. What it used of the processors itself is in the table, for feitian and for PostgreSQL.",
        "- The cache of PostgreSQL is 512 MB of shared buffers, feitian's are 512 MiB of rows and blocks, the engine's by \
         itself too. Redis has all in memory, without a limit. The system's page cache is everybody's.",
        "- PostgreSQL: a table with a primary key, prepared statements, `synchronous_commit=on`; a put is `INSERT … ON \
         CONFLICT DO UPDATE`. Redis: `appendfsync always`, no snapshots, no rewriting of its log.",
        "- The engine's own puts are commits of one key and one value of 1,024 bytes each, by so many tasks in its \
         process.",
        "- Half load is half of what 16 clients had before; waiting counts from when a request should have been sent.",
        "- Keys of the mixes are Zipf's with 0.99, scattered; others are even.",
        "",
    ];
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_load_program_prints_is_read() {
        let text = "disk\t0.5\nfilled\t1000\t2\nfound\tput\t64\t5000\t1.5\t9\t0.25\n";
        let report = Report::parse(text).expect("it is well-formed");
        assert_eq!((report.disk_ms, report.filled_per_second), (0.5, 500.0));
        let put = report.of("put", 64).expect("it is there");
        assert_eq!((put.per_second, put.p50_ms, put.p99_ms, put.cpus), (5000.0, 1.5, 9.0, 0.25));
        assert!(report.of("put", 1).is_none());
        assert!(Report::parse("found\tput\t64\n").is_err());
        assert!(Report::parse("panicked\n").is_err());
    }

    // The targets are those of the constants above.
    #[test]
    fn a_target_that_is_missed_is_a_miss() {
        fn put(clients: u64, p50_ms: f64) -> Found {
            Found { what: "put".into(), clients, per_second: 1.0, p50_ms, p99_ms: 9.0, cpus: 0.0 }
        }
        assert!(verdict(target(&put(64, 1.0), 0.99, 0.5)).contains("| miss |"));
        assert!(verdict(target(&put(64, 1.0), 1.0, 0.5)).contains("| PASS |"));
        assert!(verdict(target(&put(1, 1.6), 9.0, 0.5)).contains("| miss |"));
        assert!(verdict(target(&put(1, 1.4), 0.1, 0.5)).contains("| PASS |"));
        assert_eq!(verdict(target(&put(16, 9.0), 0.1, 0.5)), " | |");
    }
}
