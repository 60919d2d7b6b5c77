//! A private PostgreSQL for tests: its own directory, its own port, gone when dropped.

use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::process::{self, Running, tail};
use crate::progress::Bar;
use crate::tools;

/// How long the server may take to accept connections.
const START_LIMIT: Duration = Duration::from_secs(60);

/// Tests do not ask the disk to keep what they throw away; several test programs with pools connect at once.
const SETTINGS: [&str; 7] = [
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    "max_connections=400",
    "shared_buffers=64MB",
    "unix_socket_directories=",
    "listen_addresses=127.0.0.1",
];

/// What is measured keeps what it acknowledges, has so much cache, and does not write its log anew every few seconds.
pub const MEASURED: [&str; 7] = [
    "fsync=on",
    "synchronous_commit=on",
    "shared_buffers=512MB",
    "max_wal_size=4GB",
    "max_connections=400",
    "unix_socket_directories=",
    "listen_addresses=127.0.0.1",
];

/// A running server with a superuser `postgres` that needs no password.
pub struct Cluster {
    // Dropped first: the directory goes after the process.
    server: Running,
    dir: PathBuf,
    port: u16,
}

impl Cluster {
    /// Creates a cluster for tests and starts it.
    pub fn start() -> Result<Self> {
        Self::start_in(&std::env::temp_dir(), &SETTINGS)
    }

    /// Creates a cluster below `parent` and starts it. PostgreSQL refuses to run as root, so root hands it to the user
    /// `postgres`, who must be able to reach it there.
    pub fn start_in(parent: &Path, settings: &[&str]) -> Result<Self> {
        let bar = Bar::start("starting PostgreSQL");
        let user = if tools::is_root() { Some(unprivileged_user()?) } else { None };
        let dir = parent.join(format!("feitian-postgres-{}-{}", std::process::id(), free_port()?));
        std::fs::create_dir(&dir).with_context(|| format!("create {}", dir.display()))?;
        std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o700))?;
        if let Some((uid, gid)) = user {
            chown(&dir, Some(uid), Some(gid)).context("hand the directory to PostgreSQL's user")?;
        }
        let as_user = |program: &str| -> Result<Command> {
            let path = tools::find(program).with_context(|| format!("{program} is missing"))?;
            let mut command = Command::new(path);
            command.current_dir(&dir).env("LC_ALL", "C.UTF-8").stdin(Stdio::null());
            if let Some((uid, gid)) = user {
                command.uid(uid).gid(gid);
            }
            Ok(command)
        };
        let data = dir.join("data");
        let mut initdb = as_user("initdb")?;
        initdb.arg("-D").arg(&data).args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"]);
        process::run_quietly(&mut initdb)?;
        let port = free_port()?;
        let mut server = as_user("postgres")?;
        server.arg("-D").arg(&data).args(["-p", &port.to_string()]);
        for setting in settings {
            server.args(["-c", *setting]);
        }
        let log = std::fs::File::create(dir.join("log"))?;
        server.stdout(log.try_clone()?).stderr(log);
        let server = Running(server.spawn().context("run postgres")?);
        let mut cluster = Self { server, dir, port };
        cluster.wait()?;
        drop(bar);
        Ok(cluster)
    }

    /// Where it listens on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address of one of its databases; `postgres` is there from the start.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    fn wait(&mut self) -> Result<()> {
        let end = Instant::now() + START_LIMIT;
        let psql = tools::find("psql").context("psql is missing")?;
        while Instant::now() < end {
            if let Some(status) = self.server.0.try_wait()? {
                bail!("postgres ended ({status}):\n{}", self.log());
            }
            let asked = Command::new(&psql)
                .args(["--no-psqlrc", "--command", "select 1", "--dbname", &self.url("postgres")])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()?;
            if asked.success() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        bail!("postgres accepts no connection after {} s:\n{}", START_LIMIT.as_secs(), self.log())
    }

    fn log(&self) -> String {
        tail(&std::fs::read_to_string(self.dir.join("log")).unwrap_or_default(), 20)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // PostgreSQL's immediate shutdown: it waits for no client, and nothing in it is kept.
        let _ = self.server.stop("QUIT", Duration::from_secs(5));
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// User and group id of `postgres`, or of `nobody` where there is none.
fn unprivileged_user() -> Result<(u32, u32)> {
    let users = std::fs::read_to_string(Path::new("/etc/passwd")).context("read /etc/passwd")?;
    let entry = |name: &str| {
        users.lines().find_map(|line| {
            let mut fields = line.split(':');
            let found = fields.next() == Some(name);
            let mut numbers = fields.skip(1).map(|n| n.parse::<u32>().ok());
            if found { numbers.next()?.zip(numbers.next()?) } else { None }
        })
    };
    entry("postgres").or_else(|| entry("nobody")).context("there is no user to run PostgreSQL as")
}

/// A port of 127.0.0.1 that nobody uses at the moment.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0)).context("find a free port")?.local_addr()?.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_cluster_serves_and_leaves_nothing_behind() {
        tools::ensure(tools::FOR_TESTS).expect("PostgreSQL can be had");
        let cluster = Cluster::start().expect("it starts");
        let psql = tools::find("psql").expect("psql is there");
        let mut create = Command::new(psql);
        create.args(["--no-psqlrc", "--command", "create database other", "--dbname", &cluster.url("postgres")]);
        process::run_quietly(&mut create).expect("databases can be made");
        let (dir, port) = (cluster.dir.clone(), cluster.port);
        drop(cluster);
        assert!(!dir.exists());
        assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err(), "it still listens");
    }
}
