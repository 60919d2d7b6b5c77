//! `DATA/credentials`: how a client on this machine reaches the server, with the first key. Mode 0600.

use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::failure::{Failure, Result};

/// The name of the file in the data directory.
pub const FILE_NAME: &str = "credentials";

/// The content of the file, a JSON object.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    /// `http://host:port/api`, as PyODPS takes it.
    pub endpoint: String,
    /// `http://host:port`, as clients of the table store take it; files of older versions have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ots_endpoint: Option<String>,
    pub project: String,
    pub access_id: String,
    pub secret: String,
}

impl Credentials {
    /// Reads the file in `data`; `None` when there is none.
    pub fn read(data: &Path) -> Result<Option<Self>> {
        let path = data.join(FILE_NAME);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
            Err(e) => return Err(Failure::from(e).context(format!("read {}", path.display()))),
        };
        // The text holds a secret, so that the parser's message, which may quote it, is not repeated.
        let parsed = serde_json::from_str(&text).map_err(|e| {
            Failure::new(format!("{} is damaged at line {}, column {}", path.display(), e.line(), e.column())).hint(
                "restore it from a backup, or write endpoint, project, access_id and secret of a known key as JSON",
            )
        })?;
        Ok(Some(parsed))
    }

    /// Writes the file in `data`, readable by its owner alone and durable when this returns.
    pub fn write(&self, data: &Path) -> Result<()> {
        let mut text = serde_json::to_string_pretty(self).expect("texts always have a JSON form");
        text.push('\n');
        crate::datadir::write_private(&data.join(FILE_NAME), text.as_bytes())
    }
}

/// True when others than the owner may read the file at `path`.
pub fn is_open_to_others(path: &Path) -> std::io::Result<bool> {
    Ok(std::fs::metadata(path)?.permissions().mode() & 0o077 != 0)
}
