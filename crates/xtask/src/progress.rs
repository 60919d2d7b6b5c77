//! Progress bars: one for every wait that may last longer than a second. Without a terminal, a line now and then.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Without a terminal, how often a bar says where it is.
const QUIET_INTERVAL: Duration = Duration::from_secs(30);

/// A bar with a label, which moves by itself and shows the seconds.
pub struct Bar {
    bar: ProgressBar,
    label: String,
    started: Instant,
    is_terminal: bool,
    last_line: Instant,
}

impl Bar {
    /// A bar whose length is not known yet.
    pub fn start(label: &str) -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        // A bar that is not drawn (no terminal) costs nothing.
        let bar = ProgressBar::new_spinner().with_message(label.to_string());
        bar.set_style(style("{spinner} {msg} {elapsed}"));
        bar.enable_steady_tick(Duration::from_millis(100));
        Self { bar, label: label.to_string(), started: Instant::now(), is_terminal, last_line: Instant::now() }
    }

    /// `done` of `total` steps are behind us; `what` is happening now.
    pub fn at(&mut self, done: u64, total: u64, what: &str) {
        if self.bar.length() != Some(total) {
            self.bar.set_style(style("{spinner} {msg} [{bar:30}] {pos}/{len} {elapsed}"));
            self.bar.set_length(total);
        }
        self.bar.set_position(done);
        self.say(what, Some((done, total)));
    }

    /// `what` is happening now; how much of it remains is not known.
    pub fn note(&mut self, what: &str) {
        self.say(what, None);
    }

    fn say(&mut self, what: &str, count: Option<(u64, u64)>) {
        let what: String = what.chars().take(40).collect();
        self.bar.set_message(if what.is_empty() { self.label.clone() } else { format!("{} {what}", self.label) });
        if !self.is_terminal && self.last_line.elapsed() >= QUIET_INTERVAL {
            self.last_line = Instant::now();
            let count = count.map(|(done, total)| format!(" {done}/{total}")).unwrap_or_default();
            eprintln!("{}{count} {what} ({})", self.label, shown(self.started.elapsed()));
        }
    }

    /// Prints a line above the bar.
    pub fn print(&self, line: &str) {
        self.bar.suspend(|| println!("{line}"));
    }

    /// How long it has been there.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the templates of this file are well formed").progress_chars("=> ")
}

/// A duration for people: `0.8 s`, `12 s`, `3 min 20 s`.
pub fn shown(took: Duration) -> String {
    match took.as_secs() {
        0..=9 => format!("{:.1} s", took.as_secs_f64()),
        s @ 10..=119 => format!("{s} s"),
        s => format!("{} min {} s", s / 60, s % 60),
    }
}
