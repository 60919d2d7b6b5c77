//! The settings of a process: built-in defaults, then `feitian.toml`, then the environment, then flags.
//!
//! Every key is listed once, in [`keys`], with its default and its prose. A key that is not there is refused wherever it
//! comes from, because a misspelt setting that is silently ignored is found on the worst day.

mod keys;
mod origin;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use keys::{KEYS, Key};
pub use origin::Origin;

use feitian_api::Network;
use feitian_warehouse::UserCode;

use crate::failure::{Failure, Result};

/// The name of the file that is read from the working directory when `--config` names none.
pub const FILE_NAME: &str = "feitian.toml";

/// Variables that begin with `FEITIAN_` and are no settings of the server: the client's, and test hooks.
const OTHER_VARIABLES: [&str; 5] =
    ["FEITIAN_CONFIG", "FEITIAN_ENDPOINT", "FEITIAN_KEY", "FEITIAN_STS_TOKEN", "FEITIAN_FAILPOINTS"];

/// Kubernetes sets `FEITIAN_SERVICE_HOST`, `FEITIAN_PORT_7700_TCP` and more in every pod when a service is called
/// `feitian`; nobody wrote them, so they are passed over.
const OTHER_PREFIXES: [&str; 3] = ["FEITIAN_TEST_", "FEITIAN_SERVICE_", "FEITIAN_PORT"];

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

/// The settings of one process. [`KEYS`] documents each field under its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    pub data: PathBuf,
    pub listen: SocketAddr,
    /// `None`: beside `listen`, see [`Config::ots_address`].
    pub ots_listen: Option<SocketAddr>,
    pub ots_transactions: bool,
    pub ots_tables_per_instance: usize,
    pub ots_cache: u64,
    /// `None`: SQLite in the data directory.
    pub meta: Option<String>,
    /// `None`: `master.key` in the data directory.
    pub master_key: Option<PathBuf>,
    pub log_filter: String,
    pub log_format: LogFormat,
    pub query_memory: u64,
    pub query_spill: u64,
    pub query_running_per_project: usize,
    pub query_running_total: usize,
    pub user_code: UserCode,
    pub server_grace: Duration,
    pub server_proxies: Vec<Network>,
    /// Text and origin of what is not built in, by key; of several sources the one that won.
    given: BTreeMap<&'static str, (String, Origin)>,
}

/// Where settings come from, weakest first.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The file named by `--config` or `FEITIAN_CONFIG`; it must exist. `None`: `feitian.toml` here, if there is one.
    pub file: Option<PathBuf>,
    /// The environment, all of it.
    pub environment: Vec<(OsString, OsString)>,
    /// Key, value and the flag that gave it, for messages.
    pub flags: Vec<(String, String, String)>,
}

impl Config {
    /// The built-in defaults.
    pub fn defaults() -> Self {
        let mut config = keys::blank();
        for key in KEYS {
            (key.set)(&mut config, key.default).expect("every built-in default is a valid value of its key");
        }
        config
    }

    /// Reads all `sources` and checks the values together.
    pub fn load(sources: &Sources) -> Result<Self> {
        let mut config = Self::defaults();
        config.apply_file(sources.file.as_deref())?;
        config.apply_environment(&sources.environment)?;
        for (key, value, flag) in &sources.flags {
            config.set(key, value, Origin::Flag(flag.clone()))?;
        }
        config.validate()?;
        Ok(config)
    }

    /// Where the table store listens: the next port after that of `listen`, unless a setting says where. Where the system
    /// chooses the one, it chooses the other too.
    pub fn ots_address(&self) -> SocketAddr {
        let next = if self.listen.port() == 0 { 0 } else { self.listen.port().checked_add(1).unwrap_or(0) };
        self.ots_listen.unwrap_or_else(|| SocketAddr::new(self.listen.ip(), next))
    }

    fn apply_file(&mut self, named: Option<&Path>) -> Result<()> {
        let path = named.unwrap_or(Path::new(FILE_NAME));
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound && named.is_none() => return Ok(()),
            Err(e) => return Err(Failure::from(e).context(format!("read the settings in {}", path.display()))),
        };
        let shown = path.display().to_string();
        let table: toml::Table = text.parse().map_err(|e| Failure::new(format!("{shown}: {e}")))?;
        let mut values = BTreeMap::new();
        flatten("", &table, &shown, &mut values)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        for (key, value) in values {
            // A file speaks of paths beside itself, wherever the process was started.
            let is_path = KEYS.iter().any(|k| k.name == key && k.is_path);
            let value = if is_path && !value.is_empty() { folder.join(value).display().to_string() } else { value };
            self.set(&key, &value, Origin::File(shown.clone()))?;
        }
        Ok(())
    }

    fn apply_environment(&mut self, variables: &[(OsString, OsString)]) -> Result<()> {
        for (name, value) in variables {
            let Some(name) = name.to_str().filter(|n| n.starts_with("FEITIAN_")) else { continue };
            if OTHER_VARIABLES.contains(&name) || OTHER_PREFIXES.iter().any(|p| name.starts_with(p)) {
                continue;
            }
            let key = name["FEITIAN_".len()..].to_lowercase().replace("__", ".");
            let source = Origin::Variable(name.to_string());
            let value = value.to_str().ok_or_else(|| Failure::new(format!("{source} is not UTF-8")))?;
            self.set(&key, value, source)?;
        }
        Ok(())
    }

    /// Sets one key from text.
    fn set(&mut self, key: &str, value: &str, source: Origin) -> Result<()> {
        let Some(known) = KEYS.iter().find(|k| k.name == key) else {
            return Err(unknown_key(key, &source.to_string()));
        };
        (known.set)(self, value).map_err(|why| {
            Failure::new(format!("{source}: {key}: {why}")).hint(format!(
                "{key} ({}): {}",
                known.default_shown(),
                known.doc
            ))
        })?;
        self.given.insert(known.name, (value.to_string(), source));
        Ok(())
    }

    /// What no single key can check.
    fn validate(&self) -> Result<()> {
        if self.query_running_per_project > self.query_running_total {
            return Err(Failure::new(format!(
                "query.running_per_project ({}) is more than query.running_total ({})",
                self.query_running_per_project, self.query_running_total
            ))
            .hint("raise query.running_total or lower query.running_per_project"));
        }
        Ok(())
    }
}

/// Every leaf of `table` as dotted key and text.
fn flatten(prefix: &str, table: &toml::Table, source: &str, out: &mut BTreeMap<String, String>) -> Result<()> {
    for (name, value) in table {
        let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        let text = match value {
            toml::Value::Table(inner) => {
                // An unknown section is one mistake, not as many as it has keys.
                if !KEYS.iter().any(|k| k.name.starts_with(&format!("{key}."))) {
                    return Err(unknown_key(&key, source));
                }
                flatten(&key, inner, source, out)?;
                continue;
            }
            toml::Value::String(text) => text.clone(),
            toml::Value::Integer(n) => n.to_string(),
            toml::Value::Boolean(b) => b.to_string(),
            toml::Value::Array(items) => {
                let texts: Option<Vec<&str>> = items.iter().map(toml::Value::as_str).collect();
                texts.ok_or_else(|| Failure::new(format!("{source}: {key}: a list holds texts only")))?.join(",")
            }
            other => return Err(Failure::new(format!("{source}: {key}: a {} is no value here", other.type_str()))),
        };
        out.insert(key, text);
    }
    Ok(())
}

fn unknown_key(key: &str, source: &str) -> Failure {
    let sections = KEYS.iter().filter_map(|k| k.name.split_once('.')).map(|(section, _)| section);
    let hint = match crate::suggest::nearest(key, KEYS.iter().map(|k| k.name).chain(sections)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "`feitian up --help` lists every key".to_string(),
    };
    Failure::new(format!("{source}: unknown key `{key}`")).hint(hint)
}
