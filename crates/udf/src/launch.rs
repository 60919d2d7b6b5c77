//! How processes are started: by a thread that lives as long as this process, with which they end.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::sync::mpsc::{Sender, SyncSender, channel, sync_channel};

use crate::Settings;
use crate::sandbox::Orders;

/// Where an interpreter that is given by its name is looked for. `PATH` may lead to one that only its owner can read.
const PLACES: [&str; 3] = ["/usr/bin", "/usr/local/bin", "/bin"];
/// The user and group `nobody` of Debian and of container images: they own no file.
const NOBODY: u32 = 65534;

/// Whether a process gets a sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Walls {
    Sandbox,
    None,
}

type Errand = (Command, SyncSender<io::Result<Child>>);

/// The kernel ends a process with the *thread* that started it, so this thread never ends.
static STARTER: LazyLock<io::Result<Sender<Errand>>> = LazyLock::new(|| {
    let (errands, inbox) = channel::<Errand>();
    let work = move || {
        for (mut command, answer) in inbox {
            // Nobody waits any more: the child is dropped, and ends because nobody talks to it.
            let _ = answer.send(command.spawn());
        }
    };
    std::thread::Builder::new().name("udf-start".to_string()).spawn(work).map(|_| errands)
});

/// Starts a process; its stdin, stdout and stderr are pipes.
pub(crate) fn start(settings: &Settings, walls: Walls) -> io::Result<Child> {
    let orders = Orders {
        python: interpreter(&settings.python)?,
        memory: settings.memory,
        cpu_s: settings.cpu_time.as_secs().max(1),
        server: std::process::id(),
        hidden: settings.hidden.clone(),
    };
    // Paths are arguments of the process as text.
    if let Some(path) = [&orders.python, &orders.hidden].into_iter().find(|path| path.to_str().is_none()) {
        return Err(io::Error::other(format!("the path {} is not UTF-8", path.display())));
    }
    // This program, even if its file has been exchanged by a newer one meanwhile.
    let mut command = Command::new("/proc/self/exe");
    command
        .args(orders.arguments(if walls == Walls::Sandbox { "start" } else { "bare" }))
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Ctrl-C at the terminal of the server is meant for the server.
        .process_group(0);
    if walls == Walls::Sandbox && rustix::process::geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    let gone = || io::Error::other("the thread that starts processes is gone");
    let starter = STARTER.as_ref().map_err(|e| io::Error::new(e.kind(), e.to_string()))?;
    let (answer, started) = sync_channel(1);
    starter.send((command, answer)).map_err(|_| gone())?;
    started.recv().map_err(|_| gone())?
}

/// The interpreter without symbolic links.
fn interpreter(name: &str) -> io::Result<PathBuf> {
    if name.contains('/') {
        return Path::new(name).canonicalize().map_err(|e| io::Error::new(e.kind(), format!("{name}: {e}")));
    }
    let found = PLACES.iter().find_map(|place| Path::new(place).join(name).canonicalize().ok());
    let places = PLACES.join(", ");
    found.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("there is no {name} in {places}")))
}
