//! The processes of one function within one instance, and all processes of an instance.

use std::process::Child;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use arrow::array::{Array, ArrayRef};
use bytes::Bytes;
use chrono_tz::Tz;
use feitian_base::{Error, Kind as ErrorKind, Result};
use feitian_types::DataType;
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::frame::{self, Cursor};
use crate::launch::Walls;
use crate::worker::{Ask, Trouble, Worker};
use crate::{Kind, Log, Settings, Signature};

/// How buffers of aggregate functions travel, and the numbers of their groups.
static BUFFER: DataType = DataType::Binary;
static NUMBER: DataType = DataType::Int;

/// Whether a process has had its sandbox. Then the system grants them, and one that does not start is in want of something
/// else, which user code could bring about.
static GRANTED: AtomicBool = AtomicBool::new(false);

/// Bytes in which a class says what it is.
const MAX_SAYS: usize = 64 << 10;

/// What is imported as `odps`.
const MODULES: [(&str, &str); 3] = [
    ("odps", ""),
    ("odps.udf", include_str!("python/odps/udf.py")),
    ("odps.distcache", include_str!("python/odps/distcache.py")),
];

/// Processes that an instance may have for each processor: one for each function and part of a plan.
const MAX_FOR_PROCESSOR: usize = 16;

/// All processes of an instance.
#[derive(Default)]
pub struct Crew {
    members: Mutex<Members>,
    /// Bytes of resources that its functions hold.
    held: AtomicU64,
    log: Arc<Log>,
}

#[derive(Default)]
struct Members {
    stopped: bool,
    processes: Vec<Weak<Mutex<Child>>>,
}

impl Crew {
    /// Ends every process now, and every one that is started later: whoever waits for an answer gets an error.
    pub fn stop(&self) {
        let mut members = self.members.lock();
        members.stopped = true;
        for child in members.processes.drain(..).filter_map(|child| child.upgrade()) {
            let _ = child.lock().kill();
        }
    }

    /// What its processes have written.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Bytes of resources that the functions of the instance hold in memory.
    pub fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    /// How many processes there may be, if there are so many.
    fn full(&self) -> Option<usize> {
        let most = std::thread::available_parallelism().map_or(2, |n| n.get().max(2)) * MAX_FOR_PROCESSOR;
        let mut members = self.members.lock();
        members.processes.retain(|child| child.strong_count() > 0);
        (members.processes.len() >= most).then_some(most)
    }

    fn is_stopped(&self) -> bool {
        self.members.lock().stopped
    }

    fn admit(&self, child: &Arc<Mutex<Child>>) {
        let mut members = self.members.lock();
        members.processes.push(Arc::downgrade(child));
        if members.stopped {
            let _ = child.lock().kill();
        }
    }
}

/// A resource of a function.
#[derive(Debug, Clone)]
pub struct Resource {
    pub name: String,
    /// `py`, `file`, `archive`, or `table`, whose content is a [`TableContent`](crate::TableContent).
    pub kind: String,
    pub content: Bytes,
}

/// A class, and the resources that hold it.
#[derive(Debug, Clone)]
pub struct Code {
    /// The function's name, for messages.
    pub name: String,
    pub module: String,
    pub class: String,
    pub resources: Vec<Resource>,
}

impl Code {
    fn bytes(&self) -> u64 {
        self.resources.iter().map(|r| r.content.len() as u64).sum()
    }
}

/// A process that one call of a table function has for itself.
pub struct Held(Worker);

/// How a function is called at one place of a query.
#[derive(Debug, Clone)]
pub struct Call {
    arguments: Vec<DataType>,
    result: DataType,
    zone: Tz,
    /// The types as the process hears them.
    types: String,
}

impl Call {
    /// A call with `arguments` whose results are `result`; clocks show the time of `zone`. A table function's result is an
    /// ARRAY of STRUCT.
    pub fn new(arguments: Vec<DataType>, result: DataType, zone: Tz) -> Self {
        let described: Vec<Value> = arguments.iter().map(frame::described).collect();
        let types = json!({ "arguments": described, "result": frame::described(&result) }).to_string();
        Self { arguments, result, zone, types }
    }
}

/// The processes of one function.
pub struct Pool {
    settings: Arc<Settings>,
    crew: Arc<Crew>,
    code: Code,
    idle: Mutex<Vec<Worker>>,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("function", &self.code.name).finish_non_exhaustive()
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.crew.held.fetch_sub(self.code.bytes(), Ordering::Relaxed);
    }
}

impl Pool {
    /// No process is started before one is needed.
    pub fn new(settings: Arc<Settings>, crew: Arc<Crew>, code: Code) -> Self {
        crew.held.fetch_add(code.bytes(), Ordering::Relaxed);
        Self { settings, crew, code, idle: Mutex::default() }
    }

    /// The function's name.
    pub fn name(&self) -> &str {
        &self.code.name
    }

    /// What the class says of itself. Starts a process, which stays for the first call. Blocks.
    pub fn signature(&self) -> Result<Signature> {
        let (worker, says) = self.load()?;
        self.idle.lock().push(worker);
        if says.len() > MAX_SAYS {
            return Err(self.broken("it says more of the class than there is to say"));
        }
        let says: Value = serde_json::from_slice(&says).map_err(|e| self.broken(&e.to_string()))?;
        let kind = match says["kind"].as_str() {
            Some("scalar") => Kind::Scalar,
            Some("table") => Kind::Table,
            Some("aggregate") => Kind::Aggregate,
            _ => return Err(self.broken("it does not say what the class is")),
        };
        let Some(annotation) = says["annotation"].as_str() else {
            return Err(self.wrong(&format!("class {} has no @annotate with its signature", self.code.class)));
        };
        Signature::parse(kind, annotation)
            .map_err(|why| self.wrong(&format!("the signature '{annotation}' of class {}: {why}", self.code.class)))
    }

    /// What a scalar function makes of `rows` rows. Like all that follow, it blocks until the answer is there, the process
    /// has ended or the instance is stopped.
    pub fn call(&self, call: &Call, columns: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        let columns: Vec<_> = columns.iter().zip(&call.arguments).collect();
        self.exchange(call, Ask::Evaluate, &[rows], &columns, (rows, &call.result))
    }

    /// A process for all rows of one call of a table function; its object has seen no row.
    pub fn hold(&self) -> Result<Held> {
        Ok(Held(self.idle_or_new()?))
    }

    /// What a table function forwards for each of `rows` rows, which follow those that the process had before.
    pub fn call_held(&self, held: &mut Held, call: &Call, columns: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        let columns: Vec<_> = columns.iter().zip(&call.arguments).collect();
        self.ask(&mut held.0, call, Ask::Process, &[rows], &columns, (rows, &call.result))
    }

    /// What a table function forwards after its last row: one list.
    pub fn close(&self, held: Held, call: &Call) -> Result<ArrayRef> {
        let Held(mut worker) = held;
        let list = self.ask(&mut worker, call, Ask::Close, &[], &[], (1, &call.result))?;
        // It has let go of its object.
        self.idle.lock().push(worker);
        Ok(list)
    }

    /// The buffers of an aggregate function with rows added: `groups` says for each row whose. A NULL is a new buffer.
    pub fn iterate(
        &self,
        call: &Call,
        buffers: &ArrayRef,
        groups: &ArrayRef,
        columns: &[ArrayRef],
    ) -> Result<ArrayRef> {
        let mut all = vec![(buffers, &BUFFER), (groups, &NUMBER)];
        all.extend(columns.iter().zip(&call.arguments));
        let counts = [groups.len(), buffers.len()];
        self.exchange(call, Ask::Iterate, &counts, &all, (buffers.len(), &BUFFER))
    }

    /// The buffers with those of `others` added: `groups` says for each of these to which.
    pub fn merge(&self, call: &Call, buffers: &ArrayRef, groups: &ArrayRef, others: &ArrayRef) -> Result<ArrayRef> {
        let all = [(buffers, &BUFFER), (groups, &NUMBER), (others, &BUFFER)];
        let counts = [groups.len(), buffers.len()];
        self.exchange(call, Ask::Merge, &counts, &all, (buffers.len(), &BUFFER))
    }

    /// The results of groups.
    pub fn terminate(&self, call: &Call, buffers: &ArrayRef) -> Result<ArrayRef> {
        let all = [(buffers, &BUFFER)];
        self.exchange(call, Ask::Terminate, &[buffers.len()], &all, (buffers.len(), &call.result))
    }

    /// Sends counts and columns; the answer is one column.
    fn exchange(
        &self,
        call: &Call,
        ask: Ask,
        counts: &[usize],
        columns: &[(&ArrayRef, &DataType)],
        result: (usize, &DataType),
    ) -> Result<ArrayRef> {
        let mut worker = self.idle_or_new()?;
        let array = self.ask(&mut worker, call, ask, counts, columns, result)?;
        self.idle.lock().push(worker);
        Ok(array)
    }

    fn idle_or_new(&self) -> Result<Worker> {
        let idle = self.idle.lock().pop();
        match idle {
            Some(worker) => Ok(worker),
            None => Ok(self.load()?.0),
        }
    }

    fn ask(
        &self,
        worker: &mut Worker,
        call: &Call,
        ask: Ask,
        counts: &[usize],
        columns: &[(&ArrayRef, &DataType)],
        (rows, result): (usize, &DataType),
    ) -> Result<ArrayRef> {
        let mut body: Vec<u8> = counts.iter().flat_map(|count| (*count as u64).to_le_bytes()).collect();
        for (array, ty) in columns {
            frame::put_column(array, ty, call.zone, &mut body).map_err(|why| self.wrong(&why))?;
        }
        worker.prepare(&call.types).map_err(|t| self.failed(&t))?;
        let answer = worker.ask(ask, &[&body[..]]).map_err(|t| self.failed(&t))?;
        let mut cursor = Cursor(&answer);
        frame::column(&mut cursor, rows, result, call.zone).map_err(|why| self.broken(&why))
    }

    /// A process that has the class, and what the class says of itself.
    fn load(&self) -> Result<(Worker, Vec<u8>)> {
        let mut worker = self.start()?;
        let resources: Vec<Value> =
            self.code.resources.iter().map(|r| json!([r.name, r.kind, r.content.len()])).collect();
        let modules: Vec<Value> = MODULES.iter().map(|(name, text)| json!([name, text])).collect();
        let what = json!({
            "module": self.code.module, "class": self.code.class, "modules": modules, "resources": resources,
        });
        let what = what.to_string();
        let size = (what.len() as u64).to_le_bytes();
        let mut body: Vec<&[u8]> = vec![&size[..], what.as_bytes()];
        body.extend(self.code.resources.iter().map(|r| &r.content[..]));
        let says = worker.ask(Ask::Load, &body).map_err(|t| self.failed(&t))?;
        Ok((worker, says))
    }

    fn start(&self) -> Result<Worker> {
        if let Some(most) = self.crew.full() {
            let text = format!(
                "Fuxi job failed - function {} needs one more process than the {most} that an instance may have for user \
                 code; call fewer functions in one statement",
                self.code.name
            );
            return Err(self.error(ErrorKind::Invalid, "ODPS-0123144", &text));
        }
        let start = |walls| Worker::start(&self.settings, walls, self.crew.log.clone(), |child| self.crew.admit(child));
        let started = match start(Walls::Sandbox) {
            Ok(worker) => {
                GRANTED.store(true, Ordering::Relaxed);
                Ok(worker)
            }
            Err(trouble) if self.may_do_without() => {
                tracing::warn!(why = %trouble, "user code runs without a sandbox, as user_code.allow_unsandboxed allows");
                start(Walls::None)
            }
            failed => failed,
        };
        started.map_err(|trouble| self.not_started(&trouble))
    }

    fn may_do_without(&self) -> bool {
        self.settings.allow_unsandboxed && !self.crew.is_stopped() && !GRANTED.load(Ordering::Relaxed)
    }

    fn not_started(&self, trouble: &Trouble) -> Error {
        if self.crew.is_stopped() {
            return stopped();
        }
        let text = format!(
            "{UNSUPPORTED} - function {} cannot run, because its process does not start in its sandbox: {trouble}; \
             user_code.allow_unsandboxed=true runs user code without one",
            self.code.name
        );
        self.error(ErrorKind::Unsupported, "ODPS-0121125", &text)
    }

    fn failed(&self, trouble: &Trouble) -> Error {
        match trouble {
            _ if self.crew.is_stopped() => stopped(),
            Trouble::Raised(text) => {
                let text = format!("Script exception - function {} failed: {text}", self.code.name);
                self.error(ErrorKind::Invalid, "ODPS-0123055", &text)
            }
            Trouble::Ended(how) | Trouble::Broken(how) => self.broken(how),
        }
    }

    fn broken(&self, why: &str) -> Error {
        let text = format!(
            "Fuxi job failed - WorkerRestart, the process of function {} gave no result: {why}; it may use {} MiB \
             (user_code.memory) and {} s of CPU time (user_code.cpu_time)",
            self.code.name,
            self.settings.memory >> 20,
            self.settings.cpu_time.as_secs()
        );
        self.error(ErrorKind::Invalid, "ODPS-0123144", &text)
    }

    fn wrong(&self, why: &str) -> Error {
        let text = format!("Semantic analysis exception - function {}: {why}", self.code.name);
        self.error(ErrorKind::Invalid, "ODPS-0130071", &text)
    }

    fn error(&self, kind: ErrorKind, code: &'static str, text: &str) -> Error {
        Error::new(kind, code, format!("{code}:[0,0] {text}"))
    }
}

const UNSUPPORTED: &str = "Unsupported function or operation";

fn stopped() -> Error {
    Error::new(ErrorKind::Cancelled, "ODPS-0123105", "ODPS-0123105:[0,0] Job got killed - stopped on request")
}
