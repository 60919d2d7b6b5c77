//! `cargo xtask bench tables`: the table store beside PostgreSQL and Redis, one after the other on the same disk, asked by one
//! program through their own protocols.

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

/// Rows, in millions, unless another number is asked for. Only their numbers are kept as a page; of more rows, feitian's
/// alone are measured.
const MILLIONS: f64 = 2.0;
/// Each measurement takes so long, after a second that does not count.
const SECONDS: u64 = 20;
/// The soak.
const SOAK_SECONDS: u64 = 3600;

/// The targets. Lines of less clients than these have none.
const READ_RATIO: f64 = 1.0;
const PUT_RATIO: f64 = 1.0;
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
    let rows = (millions * 1e6) as u64;
    let folder = prepare(workspace, "bench-tables")?;
    // The page that is about to be written is no part of what was measured.
    let head = head(
        workspace,
        &folder,
        "# The table store, measured",
        "tables",
        "`crates/drive/src/tables_bench.rs` and `load.rs` beside it say how each number is taken.",
        "the `dev` profile of this repository for server and load program; PostgreSQL and Redis are Debian's",
    )?;
    let feitian = of_feitian(workspace, &folder, rows)?;
    let text = if millions > MILLIONS {
        alone(&feitian)
    } else {
        let postgres = of_postgres(workspace, &folder, rows)?;
        let redis = of_redis(workspace, &folder, rows)?;
        format!("{}\n{}\n{}", beside_postgres(&feitian, &postgres), beside_redis(&feitian, &redis), how(rows))
    };
    std::fs::remove_dir_all(&folder).with_context(|| format!("remove {}", folder.display()))?;
    if millions == MILLIONS {
        write(workspace, "tables", &head, &text)?;
    } else {
        println!("\n{text}\na page is written for {MILLIONS} million rows alone");
    }
    let missed = text.matches("| miss |").count();
    println!("{missed} targets missed; {} in all", shown(begun.elapsed()));
    Ok(missed == 0)
}

/// Builds, and empties a folder.
fn prepare(workspace: &Workspace, name: &str) -> Result<PathBuf> {
    tools::ensure(tools::FOR_TABLES)?;
    let mut build = workspace.cargo();
    build.args(["build", "--workspace", "--bin", "feitian", "--bin", "feitian-tables-bench"]);
    cargo::build("building feitian and the bench", &mut build)?;
    let folder = workspace.own(name)?;
    std::fs::remove_dir_all(&folder).with_context(|| format!("empty {}", folder.display()))?;
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}

fn write(workspace: &Workspace, name: &str, head: &str, found: &str) -> Result<()> {
    let page = workspace.root.join(format!("docs/bench/{name}.md"));
    let before = std::fs::read_to_string(&page).unwrap_or_default();
    let text = format!("{head}\n{found}\n{BY_HAND}\n\n{}\n", by_hand(&before));
    std::fs::write(&page, &text).with_context(|| format!("write {}", page.display()))?;
    println!("written: docs/bench/{name}.md");
    Ok(())
}

/// The load program for one target.
fn load(workspace: &Workspace, folder: &Path, target: &str, port: u16, rows: u64) -> Command {
    let mut command = Command::new(workspace.program("feitian-tables-bench"));
    without_settings(&mut command);
    command.args(["--target", target, "--port", &port.to_string(), "--rows", &rows.to_string()]);
    command.args(["--seconds", &SECONDS.to_string()]).arg("--dir").arg(folder);
    command
}

fn of_feitian(workspace: &Workspace, folder: &Path, rows: u64) -> Result<Report> {
    let data = folder.join("data");
    let server = Server::start(workspace, &data, false, false)?;
    let mut command = load(workspace, folder, "feitian", server.ots_port, rows);
    command.arg("--credentials").arg(data.join("credentials"));
    let report = Report::parse(&measure("feitian", &mut command)?)?;
    server.stop()?;
    std::fs::remove_dir_all(&data).with_context(|| format!("remove {}", data.display()))?;
    Ok(report)
}

fn of_postgres(workspace: &Workspace, folder: &Path, rows: u64) -> Result<Report> {
    let cluster = Cluster::start_in(folder, &MEASURED)?;
    Report::parse(&measure("PostgreSQL", &mut load(workspace, folder, "postgres", cluster.port(), rows))?)
}

fn of_redis(workspace: &Workspace, folder: &Path, rows: u64) -> Result<Report> {
    let (data, port) = (folder.join("redis"), free_port()?);
    std::fs::create_dir_all(&data)?;
    let mut command = Command::new(tools::find("redis-server").context("redis-server is missing")?);
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes"]);
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
    let mut lines = vec!["| what | clients | a second | p50, ms | p99, ms |".to_string()];
    lines.push("|---|--:|--:|--:|--:|".to_string());
    for found in &feitian.found {
        let Found { what, clients, per_second, p50_ms, p99_ms, .. } = found;
        lines.push(format!("| {what} | {clients} | {per_second:.0} | {p50_ms:.2} | {p99_ms:.2} |"));
    }
    lines.push(format!("\nFilled at {:.0} rows a second.", feitian.filled_per_second));
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
        "- The cache of PostgreSQL is 512 MB of shared buffers. feitian's is the engine's own setting. Redis has all \
         in memory, without a limit. The system's page cache is everybody's.",
        "- PostgreSQL: a table with a primary key, prepared statements, `synchronous_commit=on`; a put is `INSERT … ON \
         CONFLICT DO UPDATE`. Redis: `appendfsync always`, no snapshots.",
        "- Half load is half of what 16 clients had before; waiting counts from when a request should have been sent.",
        "- Keys of the mixes are Zipf's with 0.99, scattered; others are even.",
        "",
    ];
    lines.join("\n")
}

/// An hour of reads and writes of rows that expire, and a large table that is dropped.
pub(super) fn soak(workspace: &Workspace) -> Result<bool> {
    let folder = prepare(workspace, "bench-tables-soak")?;
    let head = head(
        workspace,
        &folder,
        "# The table store for an hour, measured",
        "tables --long",
        "`crates/drive/src/tables_bench/soak.rs` says how each number is taken.",
        "the `dev` profile of this repository",
    )?;
    let data = folder.join("data");
    let server = Server::start(workspace, &data, false, false)?;
    let mut command = load(workspace, &data, "feitian", server.ots_port, 0);
    command.arg("--credentials").arg(data.join("credentials"));
    command.args(["--soak", &SOAK_SECONDS.to_string(), "--pid", &server.id().to_string()]);
    let printed = measure("soak", &mut command)?;
    server.stop()?;
    let text = soaked(&printed)?;
    write(workspace, "tables-soak", &head, &text)?;
    std::fs::remove_dir_all(&folder).with_context(|| format!("remove {}", folder.display()))?;
    Ok(!text.contains("| miss |"))
}

/// The tables of the soak.
fn soaked(printed: &str) -> Result<String> {
    let mut lines = vec!["| window | p99, ms | requests a second | memory, MB | disk, MB |".to_string()];
    lines.push("|--:|--:|--:|--:|--:|".to_string());
    let (mut windows, mut dropped) = (Vec::new(), None);
    for line in printed.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let numbers: Vec<f64> = fields[1..].iter().filter_map(|field| field.parse().ok()).collect();
        match (fields[0], numbers.as_slice()) {
            ("window", [number, p99, rate, memory, disk]) => {
                lines.push(format!("| {number} | {p99:.2} | {rate:.0} | {memory:.0} | {disk:.0} |"));
                windows.push([*p99, *memory, *disk]);
            }
            ("dropped", [before, table, after]) => dropped = Some([*before, *table, *after]),
            _ => bail!("the load program said `{line}`"),
        }
    }
    let (first, last) = windows.first().zip(windows.last()).context("there are no windows")?;
    // Until the second window ends, nothing has expired for long.
    let steady = windows.get(1).context("there is one window only")?;
    let [before, table, after] = dropped.context("no table was dropped")?;
    let checks = [
        ("p99 of the last window within 1.5 times of the first", last[0] <= first[0] * 1.5),
        ("memory in the last window within 1.2 times of the second", last[1] <= steady[1] * 1.2),
        ("disk in the last window within 1.5 times of the second", last[2] <= steady[2] * 1.5),
        ("nine tenths of the dropped table's disk are given back", after <= before + table * 0.1),
    ];
    lines.push(format!("\nThe dropped table took {table:.0} MB; {before:.0} MB before it, {after:.0} MB after.\n"));
    lines.extend(["| target | |".to_string(), "|---|---|".to_string()]);
    lines.extend(checks.map(|(what, is_met)| format!("| {what} | {} |", if is_met { "PASS" } else { "miss" })));
    lines.push(String::new());
    Ok(lines.join("\n"))
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

    // The numbers are by hand: 10 ms against 16 ms is more than 1.5 times; 5 MB of 5,000 are left.
    #[test]
    fn the_soak_compares_its_end_with_its_beginning() {
        let text = "window\t1\t10\t500\t100\t200\nwindow\t2\t11\t500\t110\t220\nwindow\t3\t16\t500\t111\t221\n\
                    dropped\t221\t5000\t226\n";
        let found = soaked(text).expect("it is well-formed");
        assert_eq!((found.matches("| miss |").count(), found.matches("| PASS |").count()), (1, 3), "{found}");
    }
}
