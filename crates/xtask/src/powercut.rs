//! `cargo xtask powercut`: the server under strace while a client changes things one at a time; no success answer may leave
//! before what it promises is on disk.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::cargo;
use crate::postgres::free_port;
use crate::process::{self, Running};
use crate::progress::Bar;
use crate::python::{self, CLIENTS};
use crate::stage::{Options, Outcome};
use crate::strace::judge;
use crate::tools;
use crate::workspace::{Workspace, without_settings};

const CALLS: &str = "trace=openat,creat,read,recvfrom,write,writev,pwrite64,pwritev,pwritev2,sendto,sendmsg,ftruncate,\
                     fallocate,fsync,fdatasync,link,linkat,rename,renameat,renameat2,unlink,unlinkat,mkdir,mkdirat";
/// Fewer judged answers than this mean that the client did not do its work.
const ANSWERS: usize = 100;

/// Traces one run and judges it.
pub fn run(workspace: &Workspace, _: &Options) -> Result<Outcome> {
    tools::ensure(tools::FOR_TESTS)?;
    cargo::build_feitian(workspace)?;
    let python = python::environment(workspace, &["requirements.txt"])?;
    let folder = workspace.own("powercut")?;
    std::fs::remove_dir_all(&folder)?;
    std::fs::create_dir_all(&folder)?;
    let (data, trace) = (folder.join("data"), folder.join("trace"));
    let bar = Bar::start("working under strace");
    let mut traced = start(workspace, &data, &trace)?;
    let mut client = Command::new(&python);
    client.arg("-B").arg(workspace.root.join(CLIENTS).join("changes.py")).arg(data.join("credentials"));
    let printed = process::run_quietly(&mut client);
    // strace hands SIGTERM to nobody, but it ends with the server.
    let server = Command::new("pkill").args(["-TERM", "-P", &traced.0.id().to_string()]).status();
    traced.0.wait().context("wait for strace")?;
    drop(bar);
    printed?;
    server?;
    let text = String::from_utf8_lossy(&std::fs::read(&trace)?).into_owned();
    let findings = judge(&text, &data.display().to_string());
    println!("{} success answers judged, {} fsyncs seen", findings.answers, findings.syncs);
    for violation in &findings.violations {
        println!("{violation}");
    }
    ensure!(findings.answers >= ANSWERS, "only {} answers were judged", findings.answers);
    let mut outcome = Outcome::one(findings.violations.is_empty());
    outcome
        .report
        .push(format!("{} success answers, {} fsyncs, no answer too early", findings.answers, findings.syncs));
    if outcome.is_good() {
        std::fs::remove_dir_all(&folder)?;
    }
    Ok(outcome)
}

fn start(workspace: &Workspace, data: &Path, trace: &Path) -> Result<Running> {
    let (port, ots_port) = (free_port()?, free_port()?);
    let mut command = Command::new("strace");
    without_settings(&mut command);
    command.args(["-f", "-yy", "-s", "400", "-e", CALLS, "-o"]).arg(trace).arg(workspace.feitian());
    command.arg("up").arg("--data").arg(data).args(["--listen", &format!("127.0.0.1:{port}")]);
    command.args(["--ots-listen", &format!("127.0.0.1:{ots_port}")]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut traced = Running(command.spawn().context("run strace")?);
    let end = Instant::now() + Duration::from_secs(60);
    while Instant::now() < end {
        if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() && data.join("credentials").exists() {
            return Ok(traced);
        }
        if let Some(status) = traced.0.try_wait()? {
            bail!("the traced server ended: {status}");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    bail!("the traced server was not ready within 60 s")
}
