//! What a process does from its start until it is the user's: `feitian udf-worker`.
//!
//! 1. `start` ends with the server, and becomes `unshare` of util-linux, which makes user, process, mount, network and IPC
//!    namespaces and runs this program in them as their first process.
//! 2. `inside` builds a file system in memory with the system's directories in it, read-only, makes it the root, lets go of
//!    everything else, sets the limits, starts Python and waits for its end.
//!
//! The first process of a process namespace takes all others with it when it ends, and it ends with `unshare`, which ends
//! with the thread of the server that started it. User code could tell the kernel to let its own process live on; so it is
//! never the first one, and has not the capabilities of that one, which it would need to lay hands on it.
//!
//! The user of a server that runs as root is exchanged before `start`: files and limits know no exceptions for another one.

use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::symlink;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{Mode, OFlags};
use rustix::mount::{MountFlags, UnmountFlags};
use rustix::process::{Resource, Rlimit, Signal};

/// The hidden subcommand of `feitian`.
pub const SUBCOMMAND: &str = "udf-worker";
/// Of util-linux, which every Debian and Red Hat system has.
const UNSHARE: &str = "/usr/bin/unshare";
/// Whom the process takes itself for inside.
const INSIDE_ID: &str = "1000";
/// What of the old root the process sees, as far as it is there.
const DIRECTORIES: [&str; 7] = ["usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32"];
/// Single files: where libraries are, and devices that hold nothing.
const FILES: [&str; 5] = ["etc/ld.so.cache", "dev/null", "dev/zero", "dev/random", "dev/urandom"];
/// Open files; Python's imports need some.
const OPEN_FILES: u64 = 64;
/// Between the signal that the CPU time is over, which Python reports, and the end.
const CPU_GRACE_S: u64 = 5;
/// The old root while the new one is built.
const HOST: &str = "/.host";

/// What a process that was ended by a signal adds to it for its exit code, as shells do.
pub(crate) const BY_SIGNAL: i32 = 128;

/// The worker's program, which sets the limits itself that would hinder its start.
const WORKER: &str = include_str!("python/worker.py");

/// What every stage is told.
pub(crate) struct Orders {
    /// The interpreter, without symbolic links.
    pub(crate) python: PathBuf,
    pub(crate) memory: u64,
    pub(crate) cpu_s: u64,
    /// The process id of the server.
    pub(crate) server: u32,
    /// A directory that must not be seen; empty for none.
    pub(crate) hidden: PathBuf,
}

impl Orders {
    /// The arguments of `feitian` for `stage`.
    pub(crate) fn arguments(&self, stage: &str) -> Vec<String> {
        let path = |path: &Path| path.display().to_string();
        let numbers = [self.memory.to_string(), self.cpu_s.to_string(), self.server.to_string()];
        let before = [SUBCOMMAND.to_string(), stage.to_string(), path(&self.python)];
        before.into_iter().chain(numbers).chain([path(&self.hidden)]).collect()
    }

    fn parse(args: &[String]) -> Option<(&str, Self)> {
        let [stage, python, memory, cpu_s, server, hidden] = args else { return None };
        let orders = Self {
            python: PathBuf::from(python),
            memory: memory.parse().ok()?,
            cpu_s: cpu_s.parse().ok()?,
            server: server.parse().ok()?,
            hidden: PathBuf::from(hidden),
        };
        Some((stage.as_str(), orders))
    }
}

/// Becomes the process that `args`, which follow the subcommand, describe; returns only why it could not.
pub fn become_worker(args: &[String]) -> io::Error {
    let done = match Orders::parse(args) {
        Some(("start", orders)) => start(&orders),
        Some(("inside", orders)) => inside(&orders),
        Some(("bare", orders)) => bare(&orders),
        _ => Err(io::Error::other(format!("`feitian {SUBCOMMAND}` is for feitian itself"))),
    };
    let Err(e) = done;
    e
}

type Never = std::convert::Infallible;

fn doing<T, E: Into<io::Error>>(done: Result<T, E>, what: &str) -> io::Result<T> {
    done.map_err(|e| {
        let e: io::Error = e.into();
        io::Error::new(e.kind(), format!("{what}: {e}"))
    })
}

/// From now on this process ends with the server.
fn end_with_server(orders: &Orders) -> io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    let parent = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get().unsigned_abs());
    if parent == Some(orders.server) { Ok(()) } else { Err(io::Error::other("the server has ended")) }
}

fn start(orders: &Orders) -> io::Result<Never> {
    end_with_server(orders)?;
    // Memory that counts for no process (System V segments) comes back with the process that made it.
    let _ = fs::write("/proc/self/oom_score_adj", "1000");
    // A path could lead through directories that the other user may not enter; an open file leads nowhere else.
    let program = doing(rustix::fs::open("/proc/self/exe", OFlags::PATH, Mode::empty()), "open this program")?;
    let program_path = format!("/proc/self/fd/{}", program.as_raw_fd());
    let user = format!("--map-user={INSIDE_ID}");
    let group = format!("--map-group={INSIDE_ID}");
    let error = Command::new(UNSHARE)
        .args(["--user", &user, &group, "--keep-caps", "--pid", "--fork", "--kill-child=KILL"])
        .args(["--mount", "--net", "--ipc", "--uts", "--", &program_path])
        .args(orders.arguments("inside"))
        .exec();
    Err(io::Error::new(error.kind(), format!("{UNSHARE}: {error}")))
}

fn inside(orders: &Orders) -> io::Result<Never> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    // Namespaces in these namespaces would have powers again. Where /proc cannot be written, they have no /proc to mount.
    let _ = fs::write("/proc/sys/user/max_user_namespaces", "0");
    doing(new_root(&orders.python, &orders.hidden), "build the file system")?;
    // This process keeps its capabilities, those that it starts get none.
    rustix::thread::clear_ambient_capability_set()?;
    // There is no file to write; files in memory (memfd_create) count for no process.
    limit(Resource::Fsize, 0, 0)?;
    let ended = doing(python(orders, "alone")?.status(), &orders.python.display().to_string())?;
    let signal = ended.signal().map(|signal| BY_SIGNAL + signal);
    std::process::exit(ended.code().or(signal).unwrap_or(1))
}

/// Without a sandbox: the limits, and an end with the server.
fn bare(orders: &Orders) -> io::Result<Never> {
    end_with_server(orders)?;
    let error = python(orders, "bare")?.exec();
    Err(io::Error::new(error.kind(), format!("{}: {error}", orders.python.display())))
}

fn limit(resource: Resource, soft: u64, hard: u64) -> io::Result<()> {
    let limit = Rlimit { current: Some(soft), maximum: Some(hard) };
    doing(rustix::process::setrlimit(resource, limit), "set a limit")
}

/// The command that becomes the worker, after the limits are set that it inherits.
fn python(orders: &Orders, place: &str) -> io::Result<Command> {
    limit(Resource::Core, 0, 0)?;
    limit(Resource::Nofile, OPEN_FILES, OPEN_FILES)?;
    limit(Resource::Cpu, orders.cpu_s, orders.cpu_s.saturating_add(CPU_GRACE_S))?;
    rustix::thread::set_no_new_privs(true)?;
    let mut command = Command::new(&orders.python);
    command
        .args(["-I", "-B", "-X", "utf8", "-c", WORKER, &orders.memory.to_string(), place])
        .env_clear()
        // Libraries of linear algebra start a thread for each core, and there may be none.
        .envs([("PATH", "/usr/bin:/bin"), ("OMP_NUM_THREADS", "1"), ("OPENBLAS_NUM_THREADS", "1")]);
    Ok(command)
}

/// Makes a root in which there is nothing but the system's directories and Python's, read-only, and nothing in `hidden`.
fn new_root(python: &Path, hidden: &Path) -> io::Result<()> {
    let closed = MountFlags::NOSUID | MountFlags::NODEV;
    // Any directory would do: nobody else sees what is mounted here.
    doing(rustix::mount::mount("tmpfs", "/tmp", "tmpfs", closed, c"size=1m,mode=0755"), "mount a tmpfs")?;
    fs::create_dir(format!("/tmp{HOST}"))?;
    doing(rustix::process::pivot_root("/tmp", format!("/tmp{HOST}")), "exchange the root")?;
    rustix::process::chdir("/")?;
    for name in DIRECTORIES {
        same_directory(name)?;
    }
    if let Some(prefix) = prefix_outside(python) {
        mount_directory(prefix)?;
    }
    // What is in none of these directories is not here.
    if hidden.is_absolute() && hidden.is_dir() {
        let nothing = closed | MountFlags::RDONLY;
        doing(rustix::mount::mount("tmpfs", hidden, "tmpfs", nothing, c"size=4k,mode=0000"), "hide a directory")?;
    }
    for name in FILES {
        let host = format!("{HOST}/{name}");
        if fs::exists(&host)? {
            let here = Path::new("/").join(name);
            fs::create_dir_all(here.parent().unwrap_or(Path::new("/")))?;
            fs::File::create(&here)?;
            doing(rustix::mount::mount_bind(&host, &here), name)?;
        }
    }
    doing(rustix::mount::unmount(HOST, UnmountFlags::DETACH), "let go of the old root")?;
    fs::remove_dir(HOST)?;
    let frozen = closed | MountFlags::BIND | MountFlags::RDONLY;
    doing(rustix::mount::mount_remount("/", frozen, c""), "make the root read-only")
}

/// A directory of the old root; what is a link there is one here.
fn same_directory(name: &str) -> io::Result<()> {
    let host = format!("{HOST}/{name}");
    match fs::symlink_metadata(&host) {
        Ok(found) if found.is_symlink() => symlink(fs::read_link(&host)?, format!("/{name}")),
        Ok(found) if found.is_dir() => mount_directory(Path::new(name)),
        _ => Ok(()),
    }
}

/// Mounts a directory of the old root, named from the root, at the same place.
fn mount_directory(name: &Path) -> io::Result<()> {
    let (host, here) = (Path::new(HOST).join(name), Path::new("/").join(name));
    fs::create_dir_all(&here)?;
    let what = here.display().to_string();
    doing(rustix::mount::mount_bind_recursive(&host, &here), &what)?;
    let closed = MountFlags::BIND | MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV;
    doing(rustix::mount::mount_remount(&here, closed, c""), &what)
}

/// The directory of an interpreter that is in none of [`DIRECTORIES`], from the root: `opt/python` of
/// `/opt/python/bin/python3`.
fn prefix_outside(python: &Path) -> Option<&Path> {
    let python = python.strip_prefix("/").ok()?;
    if DIRECTORIES.iter().any(|d| python.starts_with(d)) {
        return None;
    }
    // Above any other directory there may be everything: `/srv` is above `/srv/me/python3`.
    let bin = python.parent().filter(|bin| bin.ends_with("bin"))?;
    bin.parent().filter(|prefix| !prefix.as_os_str().is_empty())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn orders_arrive_as_they_were_given() {
        let orders = Orders {
            python: "/usr/bin/python3.11".into(),
            memory: 1 << 30,
            cpu_s: 60,
            server: 7,
            hidden: "/data".into(),
        };
        let args = orders.arguments("start");
        assert_eq!(args[0], SUBCOMMAND);
        let (stage, again) = Orders::parse(&args[1..]).unwrap();
        assert_eq!((stage, again.memory, again.cpu_s, again.server), ("start", 1 << 30, 60, 7));
        assert_eq!((again.python, again.hidden), (orders.python, orders.hidden));
        assert!(Orders::parse(&args).is_none());
    }

    #[test]
    fn an_interpreter_outside_the_system_brings_its_directory() {
        for (python, prefix) in [
            ("/usr/bin/python3.11", None),
            ("/usr/local/bin/python3.13", None),
            ("/opt/python/bin/python3", Some("opt/python")),
            ("/python3", None),
            ("/srv/me/python3", None),
            ("/bin/python3", None),
        ] {
            assert_eq!(prefix_outside(Path::new(python)), prefix.map(Path::new), "{python}");
        }
    }
}
