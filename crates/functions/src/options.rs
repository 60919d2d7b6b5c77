//! What a statement tells every function: its time zone, how strict it is, and its one clock reading.

use chrono_tz::Tz;
use datafusion::common::config::ConfigExtension;
use datafusion::common::extensions_options;
use datafusion::config::ConfigOptions;

use crate::error::FunctionError;

extensions_options! {
    /// Settings of one statement. They reach kernels through the session's options.
    pub struct FunctionOptions {
        /// Name of the time zone in which DATETIME and TIMESTAMP read and print as text.
        pub time_zone: String, default = "Asia/Shanghai".to_string()
        /// A failed conversion is an error; when off it is NULL.
        pub strict: bool, default = true
        /// Milliseconds since 1970-01-01 UTC: what GETDATE returns for the whole statement.
        pub statement_ms: u64, default = 0
        /// Seeds RAND without arguments, so that a job that runs again draws the same numbers.
        pub seed: u64, default = 0
    }
}

impl ConfigExtension for FunctionOptions {
    const PREFIX: &'static str = "feitian";
}

/// The options that a kernel acts on.
#[derive(Debug, Clone, Copy)]
pub struct Context {
    pub zone: Tz,
    pub strict: bool,
    pub statement_ms: i64,
    pub seed: u64,
}

impl Context {
    /// Reads the statement's options; a session without them has the defaults.
    pub fn of(config: &ConfigOptions) -> Result<Self, FunctionError> {
        let default = FunctionOptions::default();
        let options = config.extensions.get::<FunctionOptions>().unwrap_or(&default);
        Ok(Self {
            zone: parse_zone(&options.time_zone)?,
            strict: options.strict,
            statement_ms: i64::try_from(options.statement_ms).unwrap_or(i64::MAX),
            seed: options.seed,
        })
    }
}

/// Parses the name of a time zone, for example `Asia/Shanghai` or `Etc/GMT`.
pub fn parse_zone(name: &str) -> Result<Tz, FunctionError> {
    name.trim().parse::<Tz>().map_err(|_| {
        FunctionError::semantic(format!(
            "unknown time zone '{name}' in odps.sql.timezone, use a name of the IANA database such as Asia/Shanghai"
        ))
    })
}
