//! Fail points: named places between two steps of a protocol where a test may end the process at once.
//!
//! `FEITIAN_FAILPOINTS=commit.after_record:3` kills the process (SIGKILL, no destructor runs) the third time that
//! `commit.after_record` is passed; `name:3:panic` panics there instead, and `name:3:error` lets a step fail that asks
//! [`check`]. Without the variable a fail point costs one load.

use std::collections::HashMap;
use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

struct Armed {
    passed: AtomicU64,
    nth: u64,
    action: Action,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Kill,
    Panic,
    Fail,
}

fn armed() -> Option<&'static HashMap<String, Armed>> {
    static ARMED: OnceLock<Option<HashMap<String, Armed>>> = OnceLock::new();
    let read = || std::env::var("FEITIAN_FAILPOINTS").ok().map(|t| t.split(',').filter_map(parse).collect());
    ARMED.get_or_init(read).as_ref()
}

fn parse(item: &str) -> Option<(String, Armed)> {
    let mut parts = item.trim().split(':');
    let name = parts.next()?.to_string();
    let nth = parts.next().unwrap_or("1").parse().ok()?;
    let action = match parts.next() {
        Some("panic") => Action::Panic,
        Some("error") => Action::Fail,
        _ => Action::Kill,
    };
    Some((name, Armed { passed: AtomicU64::new(0), nth, action }))
}

/// What is to happen this time.
#[inline]
fn due(name: &str) -> Option<Action> {
    let point = armed()?.get(name)?;
    (point.passed.fetch_add(1, Ordering::SeqCst) + 1 == point.nth).then_some(point.action)
}

/// Ends the process with SIGKILL, or panics, if the environment says so for the point `name`; otherwise does nothing.
#[inline]
pub fn hit(name: &str) {
    match due(name) {
        Some(Action::Kill) => kill(),
        Some(Action::Panic) => panic!("fail point {name}"),
        Some(Action::Fail) | None => {}
    }
}

/// The same at a step that can fail: answers an error of the disk if the environment says so.
#[inline]
pub fn check(name: &str) -> io::Result<()> {
    match due(name) {
        Some(Action::Kill) => kill(),
        Some(Action::Panic) => panic!("fail point {name}"),
        Some(Action::Fail) => Err(io::Error::other(format!("fail point {name}"))),
        None => Ok(()),
    }
}

fn kill() -> ! {
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    // SIGKILL is delivered before this thread runs on; abort is for a system that would not.
    std::process::abort();
}

#[cfg(test)]
mod tests {
    use super::*;

    // The words are those of the head of this file.
    #[test]
    fn an_item_says_where_when_and_what() {
        let parsed = |item: &str| parse(item).map(|(name, armed)| (name, armed.nth, armed.action));
        for (item, nth, action) in [
            ("a.b", 1, Action::Kill),
            (" a.b:3", 3, Action::Kill),
            ("a.b:3:panic", 3, Action::Panic),
            ("a.b:2:error", 2, Action::Fail),
        ] {
            assert_eq!(parsed(item), Some(("a.b".to_string(), nth, action)), "{item}");
        }
        assert_eq!(parsed("a.b:x"), None);
    }
}
