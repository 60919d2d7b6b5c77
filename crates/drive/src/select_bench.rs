//! `select 1` by many clients at once, as cheap as a client can be, so that the server is what is timed.
//!
//! `feitian-select-bench --base http://127.0.0.1:PORT --credentials DATA/credentials --clients 16 --runs 200` prints one line
//! of JSON: `{"milliseconds": [...], "seconds": 1.5}`, the time of each run in no order, and of all together. Each client is
//! a thread with connections of its own; a run is the submission, the wait for its end, and the result.

use std::path::PathBuf;
use std::sync::Barrier;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use feitian_drive::client::Client;
use serde_json::json;

/// Runs of each client before the first that counts.
const WARM_UP: usize = 10;

fn main() -> Result<()> {
    let arguments = Arguments::parse()?;
    let stored = std::fs::read_to_string(&arguments.credentials)
        .with_context(|| format!("read {}", arguments.credentials.display()))?;
    let stored: serde_json::Value = serde_json::from_str(&stored)?;
    let value = |name: &str| stored[name].as_str().with_context(|| format!("the credentials have no {name}"));
    let (access_id, secret, project) = (value("access_id")?, value("secret")?, value("project")?);
    let clients = (0..arguments.clients).map(|_| Client::new(&arguments.base, access_id, secret, project));
    let clients = clients.collect::<Result<Vec<_>>>()?;

    let barrier = Barrier::new(arguments.clients + 1);
    let (times, seconds) = std::thread::scope(|scope| -> Result<(Vec<f64>, f64)> {
        let (barrier, runs) = (&barrier, arguments.runs);
        let threads: Vec<_> = clients.iter().map(|c| scope.spawn(move || measure(c, runs, barrier))).collect();
        barrier.wait();
        let begun = Instant::now();
        let mut times = Vec::new();
        for thread in threads {
            times.extend(thread.join().map_err(|_| anyhow::anyhow!("a client panicked"))??);
        }
        Ok((times, begun.elapsed().as_secs_f64()))
    })?;
    println!("{}", json!({"milliseconds": times, "seconds": seconds}));
    Ok(())
}

struct Arguments {
    base: String,
    credentials: PathBuf,
    clients: usize,
    runs: usize,
}

impl Arguments {
    fn parse() -> Result<Self> {
        let mut words = std::env::args().skip(1);
        let (mut base, mut credentials, mut clients, mut runs) = (None, None, 1, 200);
        while let Some(flag) = words.next() {
            let value = words.next().with_context(|| format!("{flag} needs a value"))?;
            match flag.as_str() {
                "--base" => base = Some(value),
                "--credentials" => credentials = Some(PathBuf::from(value)),
                "--clients" => clients = value.parse()?,
                "--runs" => runs = value.parse()?,
                other => bail!("unknown flag {other}"),
            }
        }
        Ok(Self {
            base: base.context("--base is missing")?,
            credentials: credentials.context("--credentials is missing")?,
            clients,
            runs,
        })
    }
}

/// Milliseconds of each run, begun together with the other clients.
fn measure(client: &Client, runs: usize, together: &Barrier) -> Result<Vec<f64>> {
    // Whoever fails here still has to let the others begin.
    let warm: Result<()> = (0..WARM_UP).try_for_each(|_| select_one(client).map(|_| ()));
    together.wait();
    warm?;
    (0..runs).map(|_| select_one(client)).collect()
}

/// Milliseconds of one run.
fn select_one(client: &Client) -> Result<f64> {
    let begun = Instant::now();
    let id = client.run("select 1", "")?;
    let text = client.result_text(&id)?;
    let took = begun.elapsed().as_secs_f64() * 1000.0;
    ensure!(text.lines().last() == Some("1"), "`select 1` gave {text:?}");
    Ok(took)
}
