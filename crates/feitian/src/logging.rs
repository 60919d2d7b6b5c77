//! Log lines on stderr: text for people or JSON for collectors, with the fields of the spans around each event.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

use crate::config::{Config, LogFormat};
use crate::failure::{Failure, Result};

/// Starts logging as `config` says. A second call in one process keeps the first.
pub fn start(config: &Config) -> Result<()> {
    let filter = EnvFilter::try_new(&config.log_filter)
        .map_err(|e| Failure::new(format!("log.filter: `{}` is no log filter: {e}", config.log_filter)))?;
    let lines = fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let colours = std::io::stderr().is_terminal() && crate::failure::colours();
    let _ = match config.log_format {
        LogFormat::Text => lines.with_ansi(colours).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).with_span_list(true).try_init(),
    };
    log_panics();
    Ok(())
}

/// A panic becomes one structured line; the default prints text between the lines of a JSON log.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let words = panic.payload_as_str().unwrap_or("no message");
        let thread = std::thread::current().name().unwrap_or("unnamed").to_string();
        tracing::error!(place, thread, "panic: {words}");
    }));
}
