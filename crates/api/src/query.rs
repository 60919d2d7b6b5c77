//! The query of a URL, read as MaxCompute clients write it: `?key` and `?key=` are the same.

use std::collections::HashMap;

use feitian_base::{Error, Kind, Result};

/// Decoded query parameters. A repeated key keeps its last value, as the signature does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Reads the raw query of a URL: `&` between parts, `+` is a space, `%xx` is decoded.
    pub fn parse(raw: &str) -> Self {
        let mut pairs: Vec<(String, String)> = Vec::new();
        // Looking a key up among the others would take hours for a form with millions of them.
        let mut places: HashMap<String, usize> = HashMap::new();
        for (key, value) in url::form_urlencoded::parse(raw.as_bytes()) {
            match places.get(key.as_ref()) {
                Some(&at) => pairs[at].1 = value.into_owned(),
                None => {
                    places.insert(key.to_string(), pairs.len());
                    pairs.push((key.into_owned(), value.into_owned()));
                }
            }
        }
        Self(pairs)
    }

    /// Every key with its value, in order.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// True when the key is there, with or without a value.
    pub fn has(&self, key: &str) -> bool {
        self.0.iter().any(|(k, _)| k == key)
    }

    /// The value of `key`; a key without value counts as absent.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str()).filter(|v| !v.is_empty())
    }

    /// The value of a key that must be there.
    pub fn need(&self, key: &str) -> Result<&str> {
        self.get(key).ok_or_else(|| wrong(format!("query parameter '{key}' is missing")))
    }

    /// A whole number that is not negative.
    pub fn number(&self, key: &str) -> Result<Option<u64>> {
        let parse = |text: &str| {
            text.parse().map_err(|_| wrong(format!("query parameter '{key}' must be a whole number, not '{text}'")))
        };
        self.get(key).map(parse).transpose()
    }

    /// `true` or `false` in any case; `default` when absent.
    pub fn flag(&self, key: &str, default: bool) -> Result<bool> {
        match self.get(key).map(str::to_lowercase).as_deref() {
            // PyODPS sends some flags bare.
            None => Ok(default || self.has(key)),
            Some("true") => Ok(true),
            Some("false") => Ok(false),
            Some(other) => Err(wrong(format!("query parameter '{key}' must be true or false, not '{other}'"))),
        }
    }

    /// A list of names joined by commas; blanks around them do not matter.
    pub fn names(&self, key: &str) -> Option<Vec<String>> {
        self.get(key).map(|text| text.split(',').map(|n| n.trim().to_lowercase()).filter(|n| !n.is_empty()).collect())
    }

    /// Keys that have no value.
    pub fn bare_keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter(|(_, v)| v.is_empty()).map(|(k, _)| k.as_str())
    }

    /// True when `want`, either `key` or `key=value`, holds.
    pub fn matches(&self, want: &str) -> bool {
        match want.split_once('=') {
            Some((key, value)) => self.get(key) == Some(value),
            None => self.has(want),
        }
    }
}

fn wrong(message: String) -> Error {
    Error::new(Kind::Invalid, "InvalidParameter", message)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_repeated_keys_counts_and_empty_values_are_none() {
        let q = Query::parse("a=1&data&x=&a=2&rowrange=%281%2C2%29&s=a+b");
        assert_eq!(q.get("a"), Some("2"));
        assert!(q.has("data") && q.has("x"));
        assert_eq!(q.get("x"), None);
        assert_eq!(q.get("rowrange"), Some("(1,2)"));
        assert_eq!(q.get("s"), Some("a b"));
        assert_eq!(q.bare_keys().collect::<Vec<_>>(), ["data", "x"]);
        assert!(q.number("s").unwrap_err().message().contains("'s'"));
    }
}
