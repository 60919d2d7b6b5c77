//! A feitian server as a child process: started on a directory, ready, and stopped.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::postgres::free_port;
use crate::process::{Running, tail};
use crate::progress::Bar;
use crate::workspace::{Workspace, without_settings};

/// How long a start on an empty directory may take before we give up.
const START_LIMIT: Duration = Duration::from_secs(30);
/// Requests get 30 seconds after SIGTERM.
pub const STOP_LIMIT: Duration = Duration::from_secs(40);

/// A running server; killed when dropped, unless it was let go.
pub struct Server {
    process: Option<Running>,
    pub port: u16,
    /// Where the table store listens.
    pub ots_port: u16,
    pub data: PathBuf,
    pub log: PathBuf,
}

impl Server {
    /// Starts the built server on `data` and waits until it is ready. It takes the ports 7700 and 7701 if they are free
    /// and `usual` is true. `stays` gives it a process group of its own, so that it outlives us and our terminal's Ctrl-C.
    pub fn start(workspace: &Workspace, data: &Path, usual: bool, stays: bool) -> Result<Self> {
        Self::start_with(workspace, data, usual, stays, &[])
    }

    /// The same with settings, for example `ots.cache=512MiB`.
    pub fn start_with(workspace: &Workspace, data: &Path, usual: bool, stays: bool, settings: &[&str]) -> Result<Self> {
        let _bar = Bar::start("starting feitian");
        let usual_or_free = |wanted: u16| {
            if usual && TcpListener::bind(("127.0.0.1", wanted)).is_ok() { Ok(wanted) } else { free_port() }
        };
        let (port, ots_port) = (usual_or_free(7700)?, usual_or_free(7701)?);
        let log = data.with_extension("log");
        let out = File::create(&log).with_context(|| format!("create {}", log.display()))?;
        let mut command = Command::new(workspace.feitian());
        without_settings(&mut command);
        command.arg("up").arg("--data").arg(data).args(["--listen", &format!("127.0.0.1:{port}")]);
        command.args(["--ots-listen", &format!("127.0.0.1:{ots_port}")]);
        command.args(settings.iter().flat_map(|setting| ["--set", *setting]));
        command.current_dir(data.parent().unwrap_or(data));
        command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out);
        if stays {
            command.process_group(0);
        }
        let process = Running(command.spawn().context("run feitian")?);
        let mut server = Self { process: Some(process), port, ots_port, data: data.to_path_buf(), log };
        server.wait()?;
        Ok(server)
    }

    fn wait(&mut self) -> Result<()> {
        let end = Instant::now() + START_LIMIT;
        while Instant::now() < end {
            if let Some(process) = &mut self.process
                && let Some(status) = process.0.try_wait()?
            {
                bail!("feitian ended ({status}):\n{}", self.log_tail());
            }
            if is_ready(self.port) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        bail!("feitian is not ready after {} s:\n{}", START_LIMIT.as_secs(), self.log_tail())
    }

    /// Its process id; 0 when it is not ours any more.
    pub fn id(&self) -> u32 {
        self.process.as_ref().map_or(0, |process| process.0.id())
    }

    /// The end of what it logged.
    pub fn log_tail(&self) -> String {
        tail(&std::fs::read_to_string(&self.log).unwrap_or_default(), 20)
    }

    /// Stops it with SIGTERM.
    pub fn stop(mut self) -> Result<()> {
        let _bar = Bar::start("stopping feitian");
        match self.process.take() {
            Some(mut process) => process.stop("TERM", STOP_LIMIT),
            None => Ok(()),
        }
    }

    /// Leaves it running after we end; returns its process id.
    pub fn let_go(mut self) -> Option<u32> {
        let process = self.process.take()?;
        let id = process.0.id();
        std::mem::forget(process);
        Some(id)
    }
}

/// Whether the server answers 200 on `/readyz`.
fn is_ready(port: u16) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")?;
        let mut answer = Vec::new();
        stream.take(4096).read_to_end(&mut answer)?;
        Ok(answer.starts_with(b"HTTP/1.1 200"))
    };
    ask().unwrap_or(false)
}
