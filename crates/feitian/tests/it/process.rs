//! Starts the built program and talks to it, each test in a directory of its own.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use feitian::credentials::Credentials;

/// The program with a clean environment, in `dir`.
pub fn feitian(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_feitian"));
    command.current_dir(dir).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("FEITIAN_") {
            command.env_remove(name);
        }
    }
    command
}

/// Runs one command to its end.
pub fn run(dir: &Path, args: &[&str]) -> Output {
    feitian(dir).args(args).output().unwrap()
}

/// Runs a command that must end with `code`; its stdout and stderr.
pub fn expect(dir: &Path, code: i32, args: &[&str]) -> (String, String) {
    let output = run(dir, args);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{args:?}\nstdout: {out}\nstderr: {err}");
    (out, err)
}

/// Runs a command that must succeed; its stdout as JSON.
pub fn json(dir: &Path, args: &[&str]) -> serde_json::Value {
    let (out, _) = expect(dir, 0, &[args, &["--output", "json"]].concat());
    serde_json::from_str(&out).unwrap_or_else(|e| panic!("{args:?}: {e}: {out}"))
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A running `feitian up` on `DIR/feitian-data`; killed when dropped.
pub struct Up {
    pub child: Child,
    pub dir: PathBuf,
    /// What it printed until it was ready.
    pub banner: String,
    /// How long that took.
    pub took: Duration,
    stdout: BufReader<std::process::ChildStdout>,
}

impl Up {
    pub fn start(dir: &Path) -> Self {
        Self::start_with(dir, &[])
    }

    /// Starts on a free port and returns once the banner is out.
    pub fn start_with(dir: &Path, args: &[&str]) -> Self {
        let began = Instant::now();
        let mut command = feitian(dir);
        command.args(["up", "--listen", "127.0.0.1:0"]).args(args).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut banner = String::new();
        // The banner ends with the last line of the Python example.
        while !banner.contains("print(") {
            if stdout.read_line(&mut banner).unwrap() == 0 {
                let mut err = String::new();
                child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
                panic!("feitian up ended early, {:?}: {banner}{err}", child.wait().unwrap());
            }
        }
        let took = began.elapsed();
        let mut stderr = child.stderr.take().unwrap();
        // Read in the background, so that a full pipe never holds up the server.
        std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
        Self { child, dir: dir.to_path_buf(), banner, took, stdout }
    }

    pub fn data(&self) -> PathBuf {
        self.dir.join("feitian-data")
    }

    pub fn credentials(&self) -> Credentials {
        Credentials::read(&self.data()).unwrap().unwrap()
    }

    /// Where this server is, from what it printed.
    pub fn endpoint(&self) -> String {
        self.banner.split_whitespace().find(|word| word.starts_with("http://")).unwrap().to_string()
    }

    /// Where its table store is, from what it printed.
    pub fn ots_endpoint(&self) -> String {
        let mut lines = self.banner.lines().map(str::trim);
        lines.find_map(|line| line.strip_prefix("table store")).unwrap().trim().to_string()
    }

    /// `host:port` of the server.
    pub fn address(&self) -> String {
        self.endpoint().trim_start_matches("http://").trim_end_matches("/api").to_string()
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(self.child.id() as i32).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Waits for the end of the process; its exit code, or `None` when a signal killed it.
    pub fn wait(&mut self) -> Option<i32> {
        // A process that hangs would hold its stdout open: reading it to the end is waiting without polling.
        let mut rest = String::new();
        let _ = self.stdout.read_to_string(&mut rest);
        self.child.wait().unwrap().code()
    }

    /// Stops it in order; the exit code must be 0.
    pub fn stop(mut self) {
        self.signal(rustix::process::Signal::TERM);
        assert_eq!(self.wait(), Some(0));
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
