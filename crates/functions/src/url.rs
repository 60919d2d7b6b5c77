//! Parts of URLs.

use arrow::array::ArrayRef;
use datafusion::common::Result;

use crate::coercion::Param;
use crate::docs::Entry;
use crate::error::FunctionError;
use crate::kernel::{Call, DataType0, Function, Returns, owned};

const TEXT: Returns = Returns::Type(DataType0::Text);

pub(crate) const DOCS: &[Entry] = &[
    (
        "parse_url",
        "parse_url(url, part[, key])",
        "`HOST`, `PATH`, `QUERY`, `REF`, `PROTOCOL`, `AUTHORITY`, `FILE` or `USERINFO`; with `QUERY` and a key its value.",
    ),
    (
        "url_decode",
        "url_decode(text[, 'utf-8'])",
        "Text of a web form, with `%41` for `A` and `+` for a blank, decoded.",
    ),
    ("url_encode", "url_encode(text[, 'utf-8'])", "The text as a web form sends it."),
];

pub(crate) fn functions() -> Vec<Function> {
    use Param::Text;
    vec![Function::new("parse_url", &[Text, Text], TEXT, parse_url).optional(&[Text])]
}

/// A URL cut at its separators (RFC 3986, appendix B).
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Url<'a> {
    pub protocol: Option<&'a str>,
    pub authority: Option<&'a str>,
    pub path: &'a str,
    pub query: Option<&'a str>,
    pub fragment: Option<&'a str>,
}

impl<'a> Url<'a> {
    pub(crate) fn parse(text: &'a str) -> Self {
        let mut url = Self::default();
        let (rest, fragment) = text.split_once('#').map_or((text, None), |(r, f)| (r, Some(f)));
        let (mut rest, query) = rest.split_once('?').map_or((rest, None), |(r, q)| (r, Some(q)));
        (url.fragment, url.query) = (fragment, query);
        if let Some((scheme, after)) = rest.split_once(':') {
            let named = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
            if scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.bytes().all(named) {
                (url.protocol, rest) = (Some(scheme), after);
            }
        }
        if let Some(after) = rest.strip_prefix("//") {
            let end = after.find('/').unwrap_or(after.len());
            url.authority = Some(&after[..end]);
            rest = &after[end..];
        }
        url.path = rest;
        url
    }

    pub(crate) fn userinfo(&self) -> Option<&'a str> {
        self.authority?.rsplit_once('@').map(|(user, _)| user)
    }

    /// The host without user and port.
    pub(crate) fn host(&self) -> Option<&'a str> {
        let authority = self.authority?;
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        // An IPv6 address stands in brackets, because it has colons of its own.
        let end = match host.find(']') {
            Some(at) => at + 1,
            None => host.find(':').unwrap_or(host.len()),
        };
        Some(&host[..end]).filter(|h| !h.is_empty())
    }
}

fn parse_url(call: &Call<'_>) -> Result<ArrayRef> {
    let (url, part) = (call.texts(0)?, call.texts(1)?);
    let key = if call.count() > 2 { Some(call.texts(2)?) } else { None };
    call.make_text(|i| {
        let (Some(text), Some(part)) = (url.get(i), part.get(i)) else { return Ok(None) };
        let url = Url::parse(text);
        // Java's URL, which Hive uses, knows no URL without a protocol.
        if url.protocol.is_none() {
            return Ok(None);
        }
        let found = match part.to_uppercase().as_str() {
            "HOST" => url.host(),
            "PATH" => Some(url.path),
            "QUERY" => match &key {
                None => url.query,
                Some(key) => key.get(i).zip(url.query).and_then(|(key, query)| parameter(query, key)),
            },
            "REF" => url.fragment,
            "PROTOCOL" => url.protocol,
            "AUTHORITY" => url.authority.filter(|a| !a.is_empty()),
            "USERINFO" => url.userinfo(),
            "FILE" => {
                let query = url.query.map_or_else(String::new, |q| format!("?{q}"));
                return owned(format!("{}{query}", url.path));
            }
            _ => return Err(FunctionError::arguments(format!("parse_url: '{part}' is no part of a URL")).into()),
        };
        found.map_or(Ok(None), owned)
    })
}

fn parameter<'a>(query: &'a str, key: &str) -> Option<&'a str> {
    query.split('&').filter_map(|pair| pair.split_once('=')).find(|(k, _)| *k == key).map(|(_, v)| v)
}
