//! The list of parsers under test.

mod ots;
mod sql;
mod whole;
mod wire;

/// A parser of foreign bytes.
pub struct Target {
    pub name: &'static str,
    /// Well-formed inputs to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Tokens of the format, thrown in at random places.
    pub words: &'static [&'static [u8]],
    /// The stack that it has at least.
    pub stack_bytes: usize,
    /// Runs the parser and returns what it did, in few words: the same words mean the same behaviour. Panics when the
    /// parser breaks a promise.
    pub run: fn(&[u8]) -> String,
}

/// Threads that answer requests have so much.
const NETWORK_STACK: usize = 2 << 20;
/// Statements are read by threads with more, so that there is room for their plans.
const QUERY_STACK: usize = 4 << 20;

/// All of them.
pub const TARGETS: &[Target] = &[
    wire::RECORDS,
    wire::ARROW_FRAMES,
    wire::ARROW_MESSAGES,
    wire::ARROW_STREAMS,
    wire::VOLUME_FRAMES,
    wire::COMPRESSION,
    wire::XML,
    wire::SCHEMAS,
    wire::SIGNATURES,
    ots::PLAIN_BUFFER,
    ots::REQUESTS,
    ots::FILTERS,
    ots::SIGNATURES,
    sql::SPLITTER,
    sql::PARSER,
    whole::WHOLE,
];

/// A message with everything that varies taken out.
fn shape(message: &str) -> String {
    let mut out = String::new();
    let mut quoted = false;
    for c in message.chars() {
        match c {
            '\'' | '"' | '`' => quoted = !quoted,
            c if quoted || c.is_ascii_digit() => {}
            c => out.push(c),
        }
        if out.len() > 60 {
            break;
        }
    }
    out
}

/// A count with little precision: 0, 1, 2, 4, 8, …
fn magnitude(n: u64) -> u64 {
    n.next_power_of_two().min(1 << 20) * u64::from(n > 0)
}
