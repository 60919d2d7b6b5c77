//! User code: functions of users in Python 3, in processes that see nothing of the machine.
//!
//! Read in this order: [`Pool`] (the processes of one function within one instance), `worker` (one process and the talk
//! with it), `frame` (columns as bytes), `launch` (how a process is started) and [`sandbox`] (what it does before it becomes
//! the user's). The other end of the talk is `python/worker.py`, which travels in this program.
//!
//! A process lives at most as long as its instance ([`Crew`]) and this process. It has no network, no files but those of
//! the system and Python, no other processes, and limits of memory and CPU time.

mod frame;
mod launch;
mod log;
mod pool;
pub mod sandbox;
mod signature;
mod table;
mod worker;

use std::path::PathBuf;
use std::time::Duration;

pub use frame::supported;
pub use log::Log;
pub use pool::{Call, Code, Crew, Held, Pool, Resource};
pub use signature::{Kind, Signature};
pub use table::TableContent;

/// What the operator allows user code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The interpreter: a path, or a name that is looked for where systems have it.
    pub python: String,
    /// Address space of one process in bytes.
    pub memory: u64,
    /// CPU time of one process.
    pub cpu_time: Duration,
    /// A directory that user code must not see even if it lies among those of the system; empty for none.
    pub hidden: PathBuf,
    /// Whether user code may run as this process's own user where the system grants no sandbox.
    pub allow_unsandboxed: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            python: "python3".to_string(),
            memory: 1 << 30,
            cpu_time: Duration::from_secs(3600),
            hidden: PathBuf::new(),
            allow_unsandboxed: false,
        }
    }
}
