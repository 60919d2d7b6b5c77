//! Where the value of a setting comes from, and the list of all settings for whoever may look.

use std::fmt;

use feitian_warehouse::Setting;

use super::keys::Shown;
use super::{Config, KEYS, Key};

/// What is shown in the place of a secret.
const MASK: &str = "******";

/// Where a value comes from, when it is not the built-in one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The settings file at this path.
    File(String),
    /// The environment variable of this name.
    Variable(String),
    /// This flag of the command line.
    Flag(String),
}

impl Origin {
    fn word(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::Variable(_) => "environment",
            Self::Flag(_) => "flag",
        }
    }

    fn place(&self) -> &str {
        let (Self::File(place) | Self::Variable(place) | Self::Flag(place)) = self;
        place
    }
}

/// As error messages begin.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.write_str(path),
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::Flag(flag) => write!(f, "flag {flag}"),
        }
    }
}

impl Config {
    /// Every setting with its value as text and where that comes from. Secrets are masked.
    pub fn settings(&self) -> Vec<Setting> {
        let setting = |key: &Key| {
            let given = self.given.get(key.name);
            let value = given.map_or(key.default, |(value, _)| value.as_str());
            let shown = if key.shown == Shown::Never { MASK } else { value };
            Setting {
                name: key.name.to_string(),
                value: Some(shown.to_string()).filter(|_| !value.is_empty()),
                source: given.map_or("default", |(_, origin)| origin.word()).to_string(),
                place: given.map_or_else(String::new, |(_, origin)| origin.place().to_string()),
                description: key.doc.to_string(),
                is_private: key.shown != Shown::Everybody,
            }
        };
        KEYS.iter().map(setting).collect()
    }
}
