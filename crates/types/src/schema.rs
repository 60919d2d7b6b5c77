//! Columns, table schemas and partition specifications.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::DataType;

/// A column of a table or of a result. Names are lower case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    pub name: String,
    #[serde(rename = "type")]
    pub ty: DataType,
    #[serde(default)]
    pub comment: String,
    #[serde(default = "yes")]
    pub nullable: bool,
    /// The text of a DEFAULT expression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
}

fn yes() -> bool {
    true
}

impl Column {
    /// A nullable column without a comment.
    pub fn new(name: impl Into<String>, ty: DataType) -> Self {
        Self { name: name.into(), ty, comment: String::new(), nullable: true, default: None }
    }
}

/// The data columns of a table in order, and the partition columns that follow them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct TableSchema {
    pub columns: Vec<Column>,
    #[serde(default)]
    pub partition_columns: Vec<Column>,
}

impl TableSchema {
    /// True when the table has partition columns.
    pub fn is_partitioned(&self) -> bool {
        !self.partition_columns.is_empty()
    }

    /// Data columns, then partition columns.
    pub fn all_columns(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().chain(&self.partition_columns)
    }
}

/// Values for partition columns, in the order in which they were written: `ds='20240101',hh='05'`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct PartitionSpec(pub Vec<(String, String)>);

impl PartitionSpec {
    /// Parses `k=v` pairs joined by `,` or `/`; values may stand in single or double quotes. Names become lower case.
    ///
    /// Both forms of the protocol are read: quoted on REST, bare on the tunnel. `None` when a pair has no `=`, a name is
    /// empty or repeated, or a quote is not closed.
    pub fn parse(text: &str) -> Option<Self> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        let mut rest = text.trim();
        while !rest.is_empty() {
            let (name, after) = rest.split_once('=')?;
            let name = name.trim().trim_matches('`').to_lowercase();
            let after = after.trim_start();
            let (value, tail) = match after.chars().next() {
                Some(q @ ('\'' | '"')) => {
                    let (value, tail) = after[1..].split_once(q)?;
                    (value.to_string(), tail.trim_start())
                }
                _ => {
                    let end = after.find([',', '/']).unwrap_or(after.len());
                    (after[..end].trim().to_string(), &after[end..])
                }
            };
            if name.is_empty() || pairs.iter().any(|(n, _)| *n == name) {
                return None;
            }
            pairs.push((name, value));
            rest = match tail.strip_prefix([',', '/']) {
                Some(next) if !next.trim().is_empty() => next.trim_start(),
                Some(_) => return None,
                None if tail.trim().is_empty() => "",
                None => return None,
            };
        }
        Some(Self(pairs))
    }

    /// The value of `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// The values in the order of `columns`; `None` unless exactly these columns are given.
    pub fn values_for(&self, columns: &[Column]) -> Option<Vec<String>> {
        if self.0.len() != columns.len() {
            return None;
        }
        columns.iter().map(|c| self.get(&c.name).map(str::to_string)).collect()
    }
}

/// `a=1/b=2`, without quotes: the form of SHOW PARTITIONS.
impl fmt::Display for PartitionSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (name, value)) in self.0.iter().enumerate() {
            let slash = if i == 0 { "" } else { "/" };
            write!(f, "{slash}{name}={value}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Forms: PyODPS sends quotes on REST and none on the tunnel; SHOW PARTITIONS joins with a slash.
    #[test]
    fn partition_specs_are_read_in_every_form_clients_send() {
        let want = PartitionSpec(vec![("ds".into(), "20240101".into()), ("hh".into(), "05".into())]);
        for text in ["ds='20240101',hh='05'", "ds=20240101,hh=05", "DS=\"20240101\" , hh=05", "ds=20240101/hh=05"] {
            assert_eq!(PartitionSpec::parse(text).as_ref(), Some(&want), "{text}");
        }
        assert_eq!(want.to_string(), "ds=20240101/hh=05");
        for bad in ["ds", "=1", "ds='1", "ds=1,", "ds=1,ds=2"] {
            assert_eq!(PartitionSpec::parse(bad), None, "{bad}");
        }
    }
}
