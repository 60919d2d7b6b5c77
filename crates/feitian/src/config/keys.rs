//! The list of all settings: key, default, prose, and how text becomes the value.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use feitian_warehouse::UserCode;

use super::{Config, LogFormat};
use crate::units::{parse_bytes, parse_duration};

/// One setting.
pub struct Key {
    /// As in `feitian.toml`: `query.memory` is `memory` in the section `[query]`; in the environment it is
    /// `FEITIAN_QUERY__MEMORY`.
    pub name: &'static str,
    /// Text of the built-in value; empty when the setting is unset.
    pub default: &'static str,
    pub doc: &'static str,
    pub(super) is_path: bool,
    /// Who may see the value when the system is asked for its settings.
    pub(super) shown: Shown,
    pub(super) set: fn(&mut Config, &str) -> Result<(), String>,
}

/// Who may see the value of a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    /// Every account.
    Everybody,
    /// Administrators: it says something about the machine.
    Administrators,
    /// Nobody: it is a secret, or leads to one.
    Never,
}

impl Key {
    /// The default for help texts.
    pub fn default_shown(&self) -> String {
        if self.default.is_empty() { "unset by default".to_string() } else { format!("default `{}`", self.default) }
    }
}

/// Every setting there is.
pub const KEYS: &[Key] = &[
    Key {
        name: "data",
        default: "./feitian-data",
        doc: "The directory that holds everything: tables, metadata, keys. Created when absent.",
        is_path: true,
        shown: Shown::Administrators,
        set: |c, v| path(v).map(|p| c.data = p),
    },
    Key {
        name: "listen",
        default: "127.0.0.1:7700",
        doc: "Address and port of the server. Port 0 takes a free one.",
        is_path: false,
        shown: Shown::Everybody,
        set: |c, v| {
            c.listen = v.parse().map_err(|_| format!("`{v}` is no address; write for example 127.0.0.1:7700"))?;
            Ok(())
        },
    },
    Key {
        name: "meta",
        default: "",
        doc: "Metadata database, postgres://user@host/database. Unset: SQLite in the data directory.",
        is_path: false,
        shown: Shown::Never,
        set: |c, v| {
            let known = v.is_empty() || v.starts_with("postgres://") || v.starts_with("postgresql://");
            if !known {
                // The value may hold a password, so that it is not repeated.
                return Err("only postgres:// addresses are known; leave it out for SQLite".to_string());
            }
            c.meta = Some(v.to_string()).filter(|v| !v.is_empty());
            Ok(())
        },
    },
    Key {
        name: "master_key",
        default: "",
        doc: "File with the key that seals all secrets: 32 bytes in base64, mode 0600. Unset: master.key in the data directory.",
        is_path: true,
        shown: Shown::Never,
        set: |c, v| {
            c.master_key = Some(PathBuf::from(v)).filter(|_| !v.is_empty());
            Ok(())
        },
    },
    Key {
        name: "log.filter",
        default: "info,sqlx=warn,hyper=warn",
        doc: "Level, or list of target=level: error, warn, info, debug, trace, off.",
        is_path: false,
        shown: Shown::Everybody,
        set: |c, v| {
            tracing_subscriber::EnvFilter::try_new(v).map_err(|e| format!("`{v}` is no log filter: {e}"))?;
            c.log_filter = v.to_string();
            Ok(())
        },
    },
    Key {
        name: "log.format",
        default: "text",
        doc: "text or json, one line per event, on stderr.",
        is_path: false,
        shown: Shown::Everybody,
        set: |c, v| {
            c.log_format = match v {
                "text" => LogFormat::Text,
                "json" => LogFormat::Json,
                _ => return Err(format!("`{v}` is neither text nor json")),
            };
            Ok(())
        },
    },
    Key {
        name: "query.memory",
        default: "1GiB",
        doc: "Memory of one running instance; beyond it operators spill to disk or the instance fails. At least 16MiB.",
        is_path: false,
        shown: Shown::Everybody,
        set: |c, v| at_least(parse_bytes(v)?, 16 << 20, "16MiB").map(|n| c.query_memory = n),
    },
    Key {
        name: "query.spill",
        default: "50GiB",
        doc: "Disk that all running instances of this process together may use for spilling, below `tmp` in the data directory.",
        is_path: false,
        shown: Shown::Everybody,
        set: |c, v| parse_bytes(v).map(|n| c.query_spill = n),
    },
    Key {
        name: "query.running_per_project",
        default: "4",
        doc: "Instances of one project that run at the same time; the others wait. At least 1.",
        is_path: false,
        shown: Shown::Everybody,
        set: |c, v| count(v).map(|n| c.query_running_per_project = n),
    },
    Key {
        name: "query.running_total",
        default: "8",
        doc: "Instances of all projects that run at the same time in this process. At least 1.",
        is_path: false,
        shown: Shown::Everybody,
        set: |c, v| count(v).map(|n| c.query_running_total = n),
    },
    Key {
        name: "user_code.python",
        default: "python3",
        doc: "Python 3.9 or newer for functions of users: a path, or a name in /usr/bin, /usr/local/bin or /bin.",
        is_path: false,
        shown: Shown::Administrators,
        set: |c, v| {
            c.user_code.python = v.to_string();
            if v.is_empty() { Err("a path or a name is missing".to_string()) } else { Ok(()) }
        },
    },
    Key {
        name: "user_code.memory",
        default: "1GiB",
        doc: "Address space of one process that runs user code. At least 256MiB.",
        is_path: false,
        shown: Shown::Everybody,
        set: |c, v| at_least(parse_bytes(v)?, 256 << 20, "256MiB").map(|n| c.user_code.memory = n),
    },
    Key {
        name: "user_code.cpu_time",
        default: "1h",
        doc: "CPU time of one process that runs user code, after which its instance fails.",
        is_path: false,
        shown: Shown::Everybody,
        set: |c, v| parse_duration(v).map(|d| c.user_code.cpu_time = d),
    },
    Key {
        name: "user_code.allow_unsandboxed",
        default: "false",
        doc: "true: where the system grants no namespaces, user code runs with the rights of the server, and may read its files.",
        is_path: false,
        shown: Shown::Everybody,
        set: |c, v| {
            c.user_code.allow_unsandboxed = truth(v)?;
            Ok(())
        },
    },
    Key {
        name: "ots.listen",
        default: "",
        doc: "Address and port of the table store. Unset: the address of `listen` with the next port, which is 7701.",
        is_path: false,
        shown: Shown::Everybody,
        set: |c, v| {
            let wrong = |_| format!("`{v}` is no address; write for example 127.0.0.1:7701");
            c.ots_listen = if v.is_empty() { None } else { Some(v.parse().map_err(wrong)?) };
            Ok(())
        },
    },
    Key {
        name: "ots.transactions",
        default: "true",
        doc: "Whether tables of the table store have local transactions when their creation says nothing of them.",
        is_path: false,
        shown: Shown::Everybody,
        set: |c, v| truth(v).map(|b| c.ots_transactions = b),
    },
    Key {
        name: "ots.tables_per_instance",
        default: "64",
        doc: "Tables that one instance of the table store may have. At least 1.",
        is_path: false,
        shown: Shown::Everybody,
        set: |c, v| count(v).map(|n| c.ots_tables_per_instance = n),
    },
    Key {
        name: "ots.cache",
        default: "64MiB",
        doc: "Memory for rows and blocks of the table store that were read. At least 1MiB.",
        is_path: false,
        shown: Shown::Everybody,
        set: |c, v| at_least(parse_bytes(v)?, 1 << 20, "1MiB").map(|n| c.ots_cache = n),
    },
    Key {
        name: "server.grace",
        default: "30s",
        doc: "How long requests may still take after SIGTERM.",
        is_path: false,
        shown: Shown::Everybody,
        set: |c, v| parse_duration(v).map(|d| c.server_grace = d),
    },
    Key {
        name: "server.proxies",
        default: "",
        doc: "Addresses or networks (10.0.0.0/8) of proxies whose Forwarded headers are believed, separated by commas.",
        is_path: false,
        shown: Shown::Administrators,
        set: |c, v| {
            let items = v.split(',').map(str::trim).filter(|item| !item.is_empty());
            let parsed = items.map(|item| item.parse().map_err(|e: feitian_base::Error| e.message().to_string()));
            parsed.collect::<Result<_, _>>().map(|list| c.server_proxies = list)
        },
    },
];

/// Something to set the defaults on; no value in it survives.
pub(super) fn blank() -> Config {
    Config {
        data: PathBuf::new(),
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        ots_listen: None,
        ots_transactions: false,
        ots_tables_per_instance: 0,
        ots_cache: 0,
        meta: None,
        master_key: None,
        log_filter: String::new(),
        log_format: LogFormat::Text,
        query_memory: 0,
        query_spill: 0,
        query_running_per_project: 0,
        query_running_total: 0,
        user_code: UserCode::default(),
        server_grace: Duration::ZERO,
        server_proxies: Vec::new(),
        given: BTreeMap::new(),
    }
}

fn path(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() { Err("a path is missing".to_string()) } else { Ok(PathBuf::from(text)) }
}

fn truth(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| format!("`{text}` is neither true nor false"))
}

fn count(text: &str) -> Result<usize, String> {
    let number: usize = text.parse().map_err(|_| format!("`{text}` is no whole number"))?;
    at_least(number as u64, 1, "1").map(|_| number)
}

fn at_least(value: u64, least: u64, shown: &str) -> Result<u64, String> {
    if value < least { Err(format!("must be at least {shown}")) } else { Ok(value) }
}
