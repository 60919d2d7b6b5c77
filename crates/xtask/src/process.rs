//! Child processes: run to the end with their output read line by line, or kept until dropped.

use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Which output a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    Out,
    Err,
}

/// Runs `command` to its end and hands every line of both outputs to `on_line`, without colour codes. A carriage return
/// ends a line too: that is how other programs draw their bars.
pub fn run(command: &mut Command, mut on_line: impl FnMut(Stream, &str)) -> Result<ExitStatus> {
    let name = command.get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = Running(command.spawn().with_context(|| format!("run {name}"))?);
    let (sender, receiver) = channel();
    let out = child.0.stdout.take().context("stdout is piped")?;
    let err = child.0.stderr.take().context("stderr is piped")?;
    let (for_out, for_err) = (sender.clone(), sender);
    let readers = [
        std::thread::spawn(move || read_lines(out, Stream::Out, &for_out)),
        std::thread::spawn(move || read_lines(err, Stream::Err, &for_err)),
    ];
    for (stream, line) in receiver {
        on_line(stream, &line);
    }
    for reader in readers {
        reader.join().map_err(|_| anyhow::anyhow!("a reader of {name} panicked"))?;
    }
    child.0.wait().with_context(|| format!("wait for {name}"))
}

/// Runs `command`, and fails with what it printed if it fails.
pub fn run_quietly(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let mut printed = String::new();
    let status = run(command, |_, line| {
        printed.push_str(line);
        printed.push('\n');
    })?;
    if !status.success() {
        bail!("{name} failed ({status}):\n{}", tail(&printed, 30));
    }
    Ok(printed)
}

fn read_lines(mut from: impl Read, stream: Stream, to: &Sender<(Stream, String)>) {
    let mut buffer = [0; 8192];
    let mut line = Vec::new();
    let send = |line: &mut Vec<u8>| {
        let text = plain(&String::from_utf8_lossy(line));
        line.clear();
        to.send((stream, text)).is_ok()
    };
    let mut after_return = false;
    while let Ok(n @ 1..) = from.read(&mut buffer) {
        for &byte in &buffer[..n] {
            match byte {
                b'\r' if line.is_empty() => {}
                b'\n' if after_return => {}
                b'\n' | b'\r' => {
                    if !send(&mut line) {
                        return;
                    }
                }
                byte => line.push(byte),
            }
            after_return = byte == b'\r';
        }
    }
    if !line.is_empty() {
        send(&mut line);
    }
}

/// `text` without terminal escape sequences.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\u{1b}' {
            out.push(c);
            continue;
        }
        // A sequence of the form ESC [ … letter.
        if chars.next() == Some('[') {
            for c in chars.by_ref() {
                if c.is_ascii_alphabetic() {
                    break;
                }
            }
        }
    }
    out
}

/// The last `n` lines of `text`.
pub fn tail(text: &str, n: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(n)..].join("\n")
}

/// A child that is killed when this is dropped.
pub struct Running(pub Child);

impl Running {
    /// Sends `signal` (`TERM`, `QUIT`) and waits at most `limit` for the process to end by itself.
    pub fn stop(&mut self, signal: &str, limit: Duration) -> Result<()> {
        let pid = self.0.id().to_string();
        Command::new("kill").args(["-s", signal, &pid]).status().context("run kill")?;
        let end = Instant::now() + limit;
        while Instant::now() < end {
            if self.0.try_wait()?.is_some() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        bail!("process {pid} did not end within {} s of SIG{signal}", limit.as_secs())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_outputs_arrive_line_by_line_without_colours() {
        let mut lines = Vec::new();
        let script = r"printf 'a\r\033[1mb\033[0m\r\nc'; printf 'x\n' >&2; exit 3";
        let status =
            run(Command::new("sh").args(["-c", script]), |s, l| lines.push((s, l.to_string()))).expect("sh runs");
        let of = |stream| lines.iter().filter(|(s, _)| *s == stream).map(|(_, l)| l.as_str()).collect::<Vec<_>>();
        assert_eq!(status.code(), Some(3));
        assert_eq!(of(Stream::Out), ["a", "b", "c"]);
        assert_eq!(of(Stream::Err), ["x"]);
    }

    #[test]
    fn a_failure_shows_what_was_printed() {
        let error = run_quietly(Command::new("sh").args(["-c", "echo because; exit 1"])).expect_err("it fails");
        assert!(error.to_string().contains("because"), "{error}");
    }
}
