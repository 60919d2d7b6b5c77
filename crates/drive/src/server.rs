//! The server under test as a child process: started, waited for, killed.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// How to start a server.
#[derive(Clone)]
pub struct Server {
    /// The `feitian` binary.
    pub binary: PathBuf,
    pub data: PathBuf,
    pub port: u16,
    /// Where the table store listens.
    pub ots_port: u16,
}

/// A running server; killed when dropped.
pub struct Running {
    child: Child,
}

impl Server {
    /// A server on ports that are free now.
    pub fn new(binary: &Path, data: &Path) -> Result<Self> {
        // Both are held until both are known, so that they differ.
        let (first, second) = (TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?);
        let (port, ots_port) = (first.local_addr()?.port(), second.local_addr()?.port());
        Ok(Self { binary: binary.to_path_buf(), data: data.to_path_buf(), port, ots_port })
    }

    /// `http://host:port`.
    pub fn base(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Starts it with `fail_points` armed and waits until it is ready. Its log is appended to `DATA.log`.
    pub fn start(&self, fail_points: &str) -> Result<Running> {
        let log = std::fs::File::options().create(true).append(true).open(self.data.with_extension("log"))?;
        let mut command = Command::new(&self.binary);
        command.arg("up").arg("--data").arg(&self.data).arg("--listen").arg(format!("127.0.0.1:{}", self.port));
        command.arg("--ots-listen").arg(format!("127.0.0.1:{}", self.ots_port));
        command.stdout(Stdio::null()).stderr(log).stdin(Stdio::null()).env_remove("FEITIAN_FAILPOINTS");
        if !fail_points.is_empty() {
            command.env("FEITIAN_FAILPOINTS", fail_points);
        }
        let mut running = Running { child: command.spawn().context("start the server")? };
        let deadline = Instant::now() + Duration::from_secs(60);
        let ready = format!("{}/readyz", self.base());
        while Instant::now() < deadline {
            if reqwest::blocking::get(&ready).is_ok_and(|r| r.status().is_success()) {
                return Ok(running);
            }
            if running.has_ended() {
                bail!("the server ended before it was ready; see {}", self.data.with_extension("log").display());
            }
            std::thread::park_timeout(Duration::from_millis(10));
        }
        bail!("the server was not ready within 60 s")
    }

    /// The access key that the first start wrote.
    pub fn credentials(&self) -> Result<(String, String)> {
        let text = std::fs::read_to_string(self.data.join("credentials")).context("read DATA/credentials")?;
        let stored: serde_json::Value = serde_json::from_str(&text)?;
        let value = |name: &str| Ok::<_, anyhow::Error>(stored[name].as_str().context("no key")?.to_string());
        Ok((value("access_id")?, value("secret")?))
    }
}

impl Running {
    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// True once the process is gone.
    pub fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }

    /// Ends it at once (SIGKILL).
    pub fn kill(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
