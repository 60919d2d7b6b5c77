//! The wall clock, in the one unit that we store: milliseconds since 1970-01-01 UTC.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970-01-01 UTC, as the machine's clock has them.
pub fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as i64)
}

/// Milliseconds since 1970-01-01 UTC, never the same twice in one process and never going back.
///
/// Modification times use it: clients compare two of them that lie less than a clock tick apart.
pub fn tick_ms() -> i64 {
    static LAST: AtomicI64 = AtomicI64::new(0);
    let now = now_ms();
    let last = LAST.fetch_max(now, Ordering::SeqCst);
    if now > last { now } else { LAST.fetch_add(1, Ordering::SeqCst) + 1 }
}
