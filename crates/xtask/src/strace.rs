//! Reads a system call trace of the server and says which success answers left before their files were on disk.
//!
//! The trace is made by `strace -f -yy -s 300 -o FILE`, while a client sends one request at a time. A file is *dirty* from
//! its first write until an fsync of it has returned; a directory is dirty from a create, link, rename or mkdir in it until
//! an fsync of it has returned. The rules:
//!
//! - the success answer to a POST, PUT or DELETE, and an answer that shows an ended job, may leave only when nothing below
//!   the data directory is dirty;
//! - the answer to a job submission may leave only after an fsync of the metadata's log that came after the request (the
//!   job itself may already be writing);
//! - the answer to a write to the table store may leave only after a sync of the store's journal that came after the request.
//!   Within a transaction this holds for its commit. (Its counters of units are written beside, once a second, so that a
//!   journal may be dirty at any time.)
//!
//! Not counted, since losing them loses nothing: spill files, SQLite's shared-memory index, the lock file, SQLite's main file
//! (its log is the truth until a checkpoint that SQLite syncs itself), and other files of the table store, which it writes out
//! of its journal.

use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The operations of the table store that change something for good.
const TABLE_WRITES: [&str; 10] = [
    "/CreateTable",
    "/UpdateTable",
    "/DeleteTable",
    "/CreateIndex",
    "/DropIndex",
    "/PutRow",
    "/UpdateRow",
    "/DeleteRow",
    "/BatchWriteRow",
    "/CommitTransaction",
];
/// The other operations of the table store that the client sends.
const TABLE_OTHERS: [&str; 1] = ["/StartLocalTransaction"];
/// Where the table store has its files, below the data directory.
const TABLES: &str = "tables/";
/// A header with which the client says that a write lasts with the commit of its transaction alone.
const INSIDE: &str = "x-ots-inside";

/// What the trace shows.
#[derive(Debug, Default)]
pub struct Findings {
    /// Success answers that were judged.
    pub answers: usize,
    /// fsyncs below the data directory.
    pub syncs: usize,
    /// One line each: the request and what was dirty.
    pub violations: Vec<String>,
}

struct Judge<'a> {
    data: &'a str,
    dirty: BTreeSet<String>,
    seen: BTreeSet<String>,
    /// The request last read from a socket.
    requests: HashMap<String, Request>,
    log_syncs: usize,
    journal_syncs: usize,
    findings: Findings,
}

#[derive(Clone)]
struct Request {
    line: String,
    /// Whether it lasts only with another one.
    is_inside: bool,
    /// How many syncs there had been of the metadata's log and of the table store's journals.
    log_syncs: usize,
    journal_syncs: usize,
}

/// Judges a whole trace of a server whose data directory is `data`.
pub fn judge(trace: &str, data: &str) -> Findings {
    let mut judge = Judge {
        data: data.trim_end_matches('/'),
        dirty: BTreeSet::new(),
        seen: BTreeSet::new(),
        requests: HashMap::new(),
        log_syncs: 0,
        journal_syncs: 0,
        findings: Findings::default(),
    };
    let mut unfinished: BTreeMap<&str, String> = BTreeMap::new();
    for line in trace.lines() {
        let Some((pid, call)) = line.split_once(char::is_whitespace) else { continue };
        let call = call.trim_start();
        if let Some(start) = call.strip_suffix("<unfinished ...>") {
            judge.starts(start);
            unfinished.insert(pid, start.to_string());
        } else if call.starts_with("<...") {
            let (Some(start), Some((_, end))) = (unfinished.remove(pid), call.split_once("resumed>")) else { continue };
            judge.ends(&format!("{}{end}", start.trim_end()));
        } else {
            judge.starts(call);
            judge.ends(call);
        }
    }
    judge.findings
}

impl Judge<'_> {
    /// What takes effect, or leaves, as soon as the call begins.
    fn starts(&mut self, call: &str) {
        let Some((name, args)) = call.split_once('(') else { return };
        match name {
            "write" | "pwrite64" | "writev" | "pwritev" | "pwritev2" | "ftruncate" | "fallocate" | "sendto"
            | "sendmsg" => {
                let Some(target) = descriptor(args) else { return };
                if is_socket(target) {
                    self.answer(target, args);
                } else if self.counts(target) {
                    self.dirty.insert(target.to_string());
                }
            }
            _ => {}
        }
    }

    /// What takes effect only when the call has returned.
    fn ends(&mut self, call: &str) {
        let Some((name, args)) = call.split_once('(') else { return };
        if returned(call) < 0 {
            return;
        }
        match name {
            "fsync" | "fdatasync" => {
                let Some(path) = descriptor(args) else { return };
                if path.starts_with(self.data) {
                    self.findings.syncs += 1;
                    self.log_syncs += usize::from(path.ends_with("-wal"));
                    self.journal_syncs += usize::from(is_journal(path));
                    self.dirty.remove(path);
                }
            }
            "openat" | "open" | "creat" if args.contains("O_CREAT") || name == "creat" => {
                if let Some(path) = quoted(args, 0).filter(|p| self.counts(p) && !self.seen.contains(*p)) {
                    self.seen.insert(path.to_string());
                    self.enters(path);
                }
            }
            "mkdir" | "mkdirat" => {
                if let Some(path) = quoted(args, 0).filter(|p| self.counts(p)) {
                    self.enters(path);
                }
            }
            "link" | "linkat" | "rename" | "renameat" | "renameat2" => self.moves(name, args),
            "unlink" | "unlinkat" => {
                if let Some(path) = quoted(args, 0) {
                    self.dirty.remove(path);
                    self.seen.remove(path);
                }
            }
            "read" | "recvfrom" | "recvmsg" | "readv" => {
                let (Some(socket), Some(text)) = (descriptor(args), quoted(args, 0)) else { return };
                if is_socket(socket) && is_request(text) {
                    let request = Request {
                        line: text.split("\\r\\n").next().unwrap_or(text).to_string(),
                        is_inside: text.contains(INSIDE),
                        log_syncs: self.log_syncs,
                        journal_syncs: self.journal_syncs,
                    };
                    self.requests.insert(socket.to_string(), request);
                }
            }
            _ => {}
        }
    }

    fn moves(&mut self, name: &str, args: &str) {
        let (Some(from), Some(to)) = (quoted(args, 0), quoted(args, 1)) else { return };
        if !self.counts(to) {
            return;
        }
        if self.dirty.contains(from) {
            self.dirty.insert(to.to_string());
        }
        if name.starts_with("rename") {
            self.dirty.remove(from);
            self.seen.remove(from);
        }
        self.seen.insert(to.to_string());
        self.enters(to);
    }

    /// A new name in a directory: the directory is dirty.
    fn enters(&mut self, path: &str) {
        if let Some((directory, _)) = path.rsplit_once('/')
            && directory.starts_with(self.data)
        {
            self.dirty.insert(directory.to_string());
        }
    }

    fn counts(&self, path: &str) -> bool {
        let Some(below) = path.strip_prefix(self.data).and_then(|p| p.strip_prefix('/')) else { return false };
        let main_file = below == "meta.db";
        let of_tables = below.starts_with(TABLES);
        !(main_file || of_tables || below.starts_with("tmp/") || below.ends_with("-shm") || below == "lock")
    }

    fn answer(&mut self, socket: &str, args: &str) {
        if !quoted(args, 0).is_some_and(|t| t.starts_with("HTTP/1.1 2")) {
            return;
        }
        let Some(Request { line: request, is_inside, log_syncs, journal_syncs }) = self.requests.get(socket).cloned()
        else {
            return;
        };
        let path = request.split(['?', ' ']).nth(1).unwrap_or_default();
        let submits = request.starts_with("POST ") && path.ends_with("/instances");
        let changes = ["POST ", "PUT ", "DELETE "].iter().any(|m| request.starts_with(m));
        if is_inside || TABLE_OTHERS.contains(&path) {
            return;
        }
        if TABLE_WRITES.contains(&path) {
            self.findings.answers += 1;
            if self.journal_syncs == journal_syncs {
                self.findings.violations.push(format!("{request}: answered without a sync of the tables' journal"));
            }
        } else if submits {
            self.findings.answers += 1;
            if self.log_syncs == log_syncs {
                self.findings.violations.push(format!("{request}: answered without an fsync of the metadata's log"));
            }
        } else if changes || args.contains("Terminated") {
            self.findings.answers += 1;
            if !self.dirty.is_empty() {
                let dirty: Vec<&str> = self.dirty.iter().map(|p| &p[self.data.len()..]).collect();
                self.findings.violations.push(format!("{request}: answered while not on disk: {}", dirty.join(", ")));
            }
        }
    }
}

fn is_request(text: &str) -> bool {
    ["GET /", "POST /", "PUT /", "DELETE /", "HEAD /"].iter().any(|m| text.starts_with(m))
}

/// Whether this is a file into which the table store writes before it answers.
fn is_journal(path: &str) -> bool {
    path.ends_with(".jnl")
}

fn is_socket(target: &str) -> bool {
    target.starts_with("TCP:") || target.starts_with("TCPv6:") || target.starts_with("socket:")
}

/// What the first argument's descriptor stands for: `12</data/x>` is `/data/x`.
fn descriptor(args: &str) -> Option<&str> {
    let (number, rest) = args.split_once('<')?;
    number.bytes().all(|b| b.is_ascii_digit()).then_some(())?;
    // A socket is shown as TCP:[a->b], so the end is the last '>' before the next argument.
    let end = rest.find(">,").or_else(|| rest.find(">)"))?;
    Some(&rest[..end])
}

/// The `n`-th string argument, as strace prints it (escapes stay).
fn quoted(args: &str, n: usize) -> Option<&str> {
    let mut rest = args;
    for i in 0..=n {
        let start = rest.find('"')? + 1;
        let bytes = rest.as_bytes();
        let mut end = start;
        while end < bytes.len() && bytes[end] != b'"' {
            end += if bytes[end] == b'\\' { 2 } else { 1 };
        }
        let text = rest.get(start..end)?;
        if i == n {
            return Some(text);
        }
        rest = rest.get(end + 1..)?;
    }
    None
}

fn returned(call: &str) -> i64 {
    let Some((_, value)) = call.rsplit_once(" = ") else { return -1 };
    let digits: String = value.trim().chars().take_while(|c| c.is_ascii_digit() || *c == '-').collect();
    digits.parse().unwrap_or(-1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: &str = r#"7 read(9<TCP:[127.0.0.1:7700->127.0.0.1:5]>, "PUT /projects/p/tables/t?uploadid=1 HTTP/1.1\r\nHost"..., 8192) = 99"#;
    const ANSWER: &str = r#"7 write(9<TCP:[127.0.0.1:7700->127.0.0.1:5]>, "HTTP/1.1 200 OK\r\n\r\n", 19) = 19"#;
    const WRITE: &str = r#"8 openat(AT_FDCWD, "/d/w/.tmp-1", O_WRONLY|O_CREAT|O_EXCL, 0644) = 12</d/w/.tmp-1>
8 write(12</d/w/.tmp-1>, "x", 1) = 1"#;
    const LINK: &str = r#"8 linkat(AT_FDCWD, "/d/w/.tmp-1", AT_FDCWD, "/d/w/a", 0) = 0"#;
    const SYNC_FILE: &str = "8 fsync(12</d/w/.tmp-1>) = 0";
    const SYNC_DIR: &str = "8 fsync(13</d/w>) = 0";

    fn violations(lines: &[&str]) -> usize {
        judge(&lines.join("\n"), "/d").violations.len()
    }

    // Each case is the POSIX rule by hand: contents need an fsync of the file, names one of the directory.
    #[test]
    fn an_answer_needs_both_the_file_and_its_directory_on_disk() {
        assert_eq!(violations(&[REQUEST, WRITE, SYNC_FILE, LINK, SYNC_DIR, ANSWER]), 0);
        assert_eq!(violations(&[REQUEST, WRITE, LINK, SYNC_DIR, ANSWER]), 1, "no fsync of the file");
        assert_eq!(violations(&[REQUEST, WRITE, SYNC_FILE, LINK, ANSWER]), 1, "no fsync of the directory");
        assert_eq!(violations(&[REQUEST, WRITE, SYNC_FILE, SYNC_DIR, LINK, ANSWER]), 1, "the directory too early");
        let failed = "8 fsync(12</d/w/.tmp-1>) = -1 EIO (Input/output error)";
        assert_eq!(violations(&[REQUEST, WRITE, failed, LINK, SYNC_DIR, ANSWER]), 1, "a failed fsync");
    }

    #[test]
    fn an_fsync_that_has_not_returned_does_not_count() {
        let begun = "8 fsync(12</d/w/.tmp-1> <unfinished ...>";
        let done = "8 <... fsync resumed>) = 0";
        assert_eq!(violations(&[REQUEST, WRITE, begun, ANSWER, done]), 1);
        assert_eq!(violations(&[REQUEST, WRITE, begun, done, LINK, SYNC_DIR, ANSWER]), 0);
    }

    #[test]
    fn a_submission_needs_the_metadata_log_on_disk() {
        let request = r#"7 read(9<TCP:[127.0.0.1:7700->127.0.0.1:5]>, "POST /api/projects/p/instances?curr_project=p HTTP/1.1\r\n"..., 8192) = 99"#;
        let answer = r#"7 writev(9<TCP:[127.0.0.1:7700->127.0.0.1:5]>, [{iov_base="HTTP/1.1 201 Created\r\n"..., iov_len=20}], 1) = 20"#;
        let wal = "8 fdatasync(5</d/meta.db-wal>) = 0";
        assert_eq!(violations(&[request, wal, WRITE, answer]), 0, "the job may write already");
        assert_eq!(violations(&[wal, request, answer]), 1);
    }

    #[test]
    fn a_write_to_the_table_store_needs_its_journal_on_disk() {
        let request = r#"7 read(9<TCP:[127.0.0.1:7701->127.0.0.1:5]>, "POST /PutRow HTTP/1.1\r\nHost"..., 8192) = 99"#;
        let answer = r#"7 write(9<TCP:[127.0.0.1:7701->127.0.0.1:5]>, "HTTP/1.1 200 OK\r\n\r\n", 19) = 19"#;
        let journal = r#"8 write(5</d/tables/demo/rows/0.jnl>, "x", 1) = 1"#;
        let sync = "8 fdatasync(5</d/tables/demo/rows/0.jnl>) = 0";
        let written_out = r#"8 write(6</d/tables/demo/rows/keyspaces/1/tables/3>, "x", 1) = 1"#;
        assert_eq!(violations(&[request, journal, sync, answer]), 0);
        assert_eq!(violations(&[request, journal, sync, written_out, answer]), 0, "the journal has it");
        assert_eq!(violations(&[request, journal, answer]), 1, "no sync");
        assert_eq!(violations(&[journal, sync, request, answer]), 1, "a sync of what was before");
        let inside = request.replace("\\r\\nHost", "\\r\\nx-ots-inside: a transaction\\r\\nHost");
        assert_eq!(violations(&[&inside, answer]), 0, "the commit makes it last");
        let commit = request.replace("PutRow", "CommitTransaction");
        assert_eq!(violations(&[&commit, answer]), 1);
    }
}
