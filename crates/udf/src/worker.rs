//! One process and the talk with it: a question, an answer, in turn.

use std::fmt;
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, ExitStatus};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::launch::{self, Walls};
use crate::sandbox::BY_SIGNAL;
use crate::{Log, Settings};

/// What `worker.py` says first.
const GREETING: &[u8] = b"feitian";
/// A traceback is shorter: `MAX_TEXT` of `worker.py` characters of at most four bytes.
const MAX_RAISED: u64 = 64 << 10;
/// The end of what a process wrote to stderr that is kept for messages.
const KEPT_WORDS: usize = 2048;
/// How long a process that talks no more may take to end by itself.
const ENDING: Duration = Duration::from_secs(1);

/// Kinds of questions, as in `main` of `worker.py`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ask {
    Load = 1,
    Prepare = 2,
    Evaluate = 3,
    Process = 4,
    Iterate = 5,
    Merge = 6,
    Terminate = 7,
    Close = 8,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The user's code raised an exception: its traceback.
    Raised(String),
    /// The process is gone: how it ended.
    Ended(String),
    /// It answered what is no answer.
    Broken(String),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Raised(words) | Self::Ended(words) | Self::Broken(words)) = self;
        f.write_str(words)
    }
}

/// A process. It ends when this is dropped.
pub(crate) struct Worker {
    child: Arc<Mutex<Child>>,
    input: ChildStdin,
    output: ChildStdout,
    words: Arc<Mutex<Vec<u8>>>,
    /// Hears when stderr is at its end.
    last_word: Receiver<()>,
    /// The types that it was told last.
    prepared: String,
    /// Its memory: it cannot make a longer answer, only write one for ever.
    memory: u64,
}

impl Drop for Worker {
    fn drop(&mut self) {
        let mut child = self.child.lock();
        let _ = child.kill();
        let _ = child.wait();
        drop(child);
        // What it has written is in the log before whoever lets go of it reads that.
        let _ = self.last_word.recv_timeout(ENDING);
    }
}

impl Worker {
    /// Starts a process, which is handed to `admit` before anything else happens.
    pub(crate) fn start(
        settings: &Settings,
        walls: Walls,
        log: Arc<Log>,
        admit: impl FnOnce(&Arc<Mutex<Child>>),
    ) -> Result<Self, Trouble> {
        let mut child = launch::start(settings, walls).map_err(|e| Trouble::Ended(e.to_string()))?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let child = Arc::new(Mutex::new(child));
        admit(&child);
        let (Some(input), Some(output), Some(errors)) = pipes else {
            return Err(Trouble::Broken("a process without pipes".to_string()));
        };
        let words = Arc::new(Mutex::new(Vec::new()));
        let last_word = listen(errors, words.clone(), log).map_err(|e| Trouble::Ended(e.to_string()))?;
        let mut worker =
            Self { child, input, output, words, last_word, prepared: String::new(), memory: settings.memory };
        match worker.answer()? {
            greeting if greeting == GREETING => Ok(worker),
            _ => Err(Trouble::Broken("it is no worker".to_string())),
        }
    }

    /// Asks, and waits for the answer.
    pub(crate) fn ask(&mut self, ask: Ask, body: &[&[u8]]) -> Result<Vec<u8>, Trouble> {
        let size: usize = body.iter().map(|part| part.len()).sum();
        let mut head = [0; 16];
        head[..4].copy_from_slice(&(ask as u32).to_le_bytes());
        head[8..].copy_from_slice(&(size as u64).to_le_bytes());
        let parts = std::iter::once(&head[..]).chain(body.iter().copied());
        for part in parts {
            if self.input.write_all(part).is_err() {
                return Err(self.ended());
            }
        }
        self.answer()
    }

    /// Tells the types of a call unless they are those of the one before.
    pub(crate) fn prepare(&mut self, types: &str) -> Result<(), Trouble> {
        if self.prepared != types {
            self.ask(Ask::Prepare, &[types.as_bytes()])?;
            self.prepared = types.to_string();
        }
        Ok(())
    }

    fn answer(&mut self) -> Result<Vec<u8>, Trouble> {
        let mut head = [0u8; 16];
        if self.output.read_exact(&mut head).is_err() {
            return Err(self.ended());
        }
        let [k0, k1, k2, k3, z0, z1, z2, z3, size @ ..] = head;
        let (kind, size) = (u32::from_le_bytes([k0, k1, k2, k3]), u64::from_le_bytes(size));
        let longest = if kind == 0 { self.memory } else { MAX_RAISED };
        if kind > 1 || [z0, z1, z2, z3] != [0; 4] || size > longest {
            return Err(Trouble::Broken("it wrote what is no answer".to_string()));
        }
        let mut body = Vec::new();
        // It grows by what arrives, whatever the head claims.
        let read = (&mut self.output).take(size).read_to_end(&mut body);
        if read.is_err() || (body.len() as u64) < size {
            return Err(self.ended());
        }
        if kind == 0 { Ok(body) } else { Err(Trouble::Raised(String::from_utf8_lossy(&body).into_owned())) }
    }

    /// How the process ended, with its last words.
    fn ended(&mut self) -> Trouble {
        let status = self.wait();
        // Who still holds stderr open keeps its last words.
        let _ = self.last_word.recv_timeout(ENDING);
        let words = self.words.lock();
        let words = String::from_utf8_lossy(&words).trim().to_string();
        let how = match status {
            Some(status) => how(status),
            None => "it closed its pipes".to_string(),
        };
        Trouble::Ended(if words.is_empty() { how } else { format!("{how}; it wrote: {words}") })
    }

    /// Waits a moment for the end; a process that talks no more and does not end is ended by the drop.
    fn wait(&self) -> Option<ExitStatus> {
        let until = Instant::now() + ENDING;
        loop {
            if let Ok(Some(status)) = self.child.lock().try_wait() {
                return Some(status);
            }
            if Instant::now() >= until {
                return None;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn how(status: ExitStatus) -> String {
    let by_signal = status.code().filter(|code| *code > BY_SIGNAL).map(|code| code - BY_SIGNAL);
    match (status.signal().or(by_signal), status.code()) {
        (Some(9), _) => "it was killed (signal 9): too little memory, or its CPU time was over".to_string(),
        (Some(signal), _) => format!("it was ended by signal {signal}"),
        (None, Some(code)) => format!("it ended with exit code {code}"),
        (None, None) => "it ended".to_string(),
    }
}

/// Keeps the end of what a process writes to stderr, and adds all of it to `log`; the other end of the receiver goes when
/// there is no more.
fn listen(mut errors: ChildStderr, words: Arc<Mutex<Vec<u8>>>, log: Arc<Log>) -> std::io::Result<Receiver<()>> {
    let (end, last_word) = channel::<()>();
    let work = move || {
        let _end = end;
        let mut buffer = [0; 4096];
        while let Ok(n @ 1..) = errors.read(&mut buffer) {
            log.add(&buffer[..n]);
            let mut words = words.lock();
            words.extend_from_slice(&buffer[..n]);
            let old = words.len().saturating_sub(KEPT_WORDS);
            words.drain(..old);
        }
    };
    std::thread::Builder::new().name("udf-words".to_string()).spawn(work)?;
    Ok(last_word)
}
