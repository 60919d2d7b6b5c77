//! Request signatures of ODPS, versions 2 and 4: what is signed, how, and how a server checks it.
//!
//! The algorithm, with its double decoding of the query, is the one of PyODPS (`odps/accounts.py`).

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use feitian_base::{Error, Kind, Result};
use hmac::{Hmac, KeyInit, Mac};
use percent_encoding::percent_decode_str;
use sha1::Sha1;
use sha2::Sha256;
use subtle::ConstantTimeEq;

/// The prefix of version 4 unless a client is configured otherwise.
pub const V4_PREFIX: &str = "aliyun_v4";

/// What is signed: method, headers and canonical resource, one a line.
///
/// `path_and_query` is the request target as sent, relative to the endpoint (`/api` cut off for REST, nothing for the
/// tunnel). `headers` are all headers of the request, names in any case; the ones that do not count are skipped, and of
/// equal names the last one counts.
pub fn string_to_sign<'a>(
    method: &str,
    path_and_query: &str,
    headers: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> String {
    let (path, query) = split_target(path_and_query);
    let params = query.as_deref().map(form_pairs);
    let mut signed: BTreeMap<String, Cow<'_, str>> =
        ["content-md5", "content-type", "date"].map(|name| (name.to_string(), Cow::Borrowed(""))).into();
    for (name, value) in headers {
        let name = name.to_ascii_lowercase();
        if signed.contains_key(&name) || name.starts_with("x-odps-") {
            signed.insert(name, value.into());
        }
    }
    for (name, value) in params.iter().flatten().filter(|(name, _)| name.starts_with("x-odps-")) {
        signed.insert(name.clone(), value.clone().into());
    }
    let mut out = method.to_ascii_uppercase();
    for (name, value) in &signed {
        out.push('\n');
        if name.starts_with("x-odps-") {
            out.push_str(name);
            out.push(':');
        }
        out.push_str(value);
    }
    out.push('\n');
    out.push_str(&path);
    for (i, (name, value)) in params.iter().flatten().enumerate() {
        out.push(if i == 0 { '?' } else { '&' });
        out.push_str(name);
        if !value.is_empty() {
            out.push('=');
            out.push_str(value);
        }
    }
    if params.as_ref().is_some_and(BTreeMap::is_empty) {
        out.push('?');
    }
    out
}

/// Decodes the whole target once and cuts it as Python's `urlparse` does: tabs and line ends vanish, the query starts at
/// the first `?`, and `;params` of the last path segment are dropped. An empty query is no query.
fn split_target(target: &str) -> (String, Option<String>) {
    let mut decoded = percent_decode_str(target).decode_utf8_lossy().into_owned();
    decoded.retain(|c| !matches!(c, '\t' | '\r' | '\n'));
    let (path, query) = match decoded.split_once('?') {
        Some((path, query)) => (path, Some(query).filter(|q| !q.is_empty()).map(str::to_string)),
        None => (decoded.as_str(), None),
    };
    let last = path.rfind('/').unwrap_or(0);
    let end = path[last..].find(';').map_or(path.len(), |at| last + at);
    (path[..end].to_string(), query)
}

/// Name and value pairs in name order, decoded a second time as form data; of equal names the last one counts.
fn form_pairs(query: &str) -> BTreeMap<String, String> {
    let decode = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    query
        .split('&')
        .filter(|part| !part.is_empty())
        .map(|part| part.split_once('=').unwrap_or((part, "")))
        .map(|(name, value)| (decode(name), decode(value)))
        .collect()
}

fn hmac_sha1(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = <Hmac<Sha1>>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

pub(crate) fn hmac_sha256(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = <Hmac<Sha256>>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

/// The Base64 signature of version 2 over `sts` (see [`string_to_sign`]).
pub fn sign_v2(secret: &str, sts: &str) -> String {
    STANDARD.encode(hmac_sha1(secret.as_bytes(), sts))
}

/// The signing key of version 4 for one `date` (`yyyymmdd`, UTC) and `region`.
pub fn key_v4(secret: &str, date: &str, region: &str, prefix: &str) -> Vec<u8> {
    let key = hmac_sha256(format!("{prefix}{secret}").as_bytes(), date);
    let key = hmac_sha256(&key, region);
    let key = hmac_sha256(&key, "odps");
    hmac_sha256(&key, &format!("{prefix}_request"))
}

/// The Base64 signature of version 4 over `sts`; `date` is `yyyymmdd` in UTC, `prefix` usually [`V4_PREFIX`].
pub fn sign_v4(secret: &str, date: &str, region: &str, prefix: &str, sts: &str) -> String {
    STANDARD.encode(hmac_sha1(&key_v4(secret, date, region, prefix), sts))
}

/// A parsed `Authorization` header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Authorization {
    V2 {
        access_id: String,
        /// Base64.
        signature: String,
    },
    V4 {
        access_id: String,
        /// `yyyymmdd`, UTC.
        date: String,
        region: String,
        /// `aliyun_v4` unless the client is configured otherwise.
        prefix: String,
        /// Base64.
        signature: String,
    },
}

impl Authorization {
    /// Parses `ODPS <id>:<signature>` or `ODPS <id>/<date>/<region>/odps/<prefix>_request:<signature>`.
    ///
    /// Anything else is [`Kind::Denied`] with code `Unauthorized`.
    pub fn parse(header: &str) -> Result<Self> {
        let bad = |why: &str| {
            let form = "ODPS <access id>:<signature>";
            Error::new(Kind::Denied, "Unauthorized", format!("the Authorization header {why}; expected '{form}'"))
        };
        let rest = header.trim().strip_prefix("ODPS ").ok_or_else(|| bad("does not start with 'ODPS '"))?;
        let (credential, signature) = rest.trim().rsplit_once(':').ok_or_else(|| bad("has no signature"))?;
        if credential.is_empty() || signature.is_empty() {
            return Err(bad("has an empty access id or signature"));
        }
        let signature = signature.to_string();
        let parts: Vec<&str> = credential.split('/').collect();
        match parts[..] {
            [access_id] => Ok(Self::V2 { access_id: access_id.to_string(), signature }),
            [access_id, date, region, "odps", request] => {
                let prefix = request.strip_suffix("_request").ok_or_else(|| bad("does not end in '_request'"))?;
                if date.len() != 8 || !date.bytes().all(|b| b.is_ascii_digit()) {
                    return Err(bad("has a date that is not yyyymmdd"));
                }
                let [access_id, date, region, prefix] = [access_id, date, region, prefix].map(str::to_string);
                Ok(Self::V4 { access_id, date, region, prefix, signature })
            }
            _ => Err(bad("has a credential of unknown form")),
        }
    }

    /// Whose key signed the request.
    pub fn access_id(&self) -> &str {
        match self {
            Self::V2 { access_id, .. } | Self::V4 { access_id, .. } => access_id,
        }
    }

    /// The Base64 signature as sent.
    pub fn signature(&self) -> &str {
        match self {
            Self::V2 { signature, .. } | Self::V4 { signature, .. } => signature,
        }
    }

    /// True if `secret` signs `sts` with this signature. The comparison takes the same time for every wrong signature
    /// of the right length.
    pub fn verify(&self, secret: &str, sts: &str) -> bool {
        let want = match self {
            Self::V2 { .. } => sign_v2(secret, sts),
            Self::V4 { date, region, prefix, .. } => sign_v4(secret, date, region, prefix, sts),
        };
        want.as_bytes().ct_eq(self.signature().as_bytes()).into()
    }
}

/// The header value that parses as this.
impl std::fmt::Display for Authorization {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::V2 { access_id, signature } => write!(f, "ODPS {access_id}:{signature}"),
            Self::V4 { access_id, date, region, prefix, signature } => {
                write!(f, "ODPS {access_id}/{date}/{region}/odps/{prefix}_request:{signature}")
            }
        }
    }
}

/// The `Authorization` value a client sends, version 2. `headers` must hold the `Date` that will be sent.
pub fn sign_request<'a>(
    access_id: &str,
    secret: &str,
    method: &str,
    path_and_query: &str,
    headers: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> String {
    let signature = sign_v2(secret, &string_to_sign(method, path_and_query, headers));
    Authorization::V2 { access_id: access_id.to_string(), signature }.to_string()
}

/// The `Authorization` value a client sends, version 4; `date` is `yyyymmdd` in UTC.
pub fn sign_request_v4<'a>(
    access_id: &str,
    secret: &str,
    (date, region): (&str, &str),
    method: &str,
    path_and_query: &str,
    headers: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> String {
    let sts = string_to_sign(method, path_and_query, headers);
    let signature = sign_v4(secret, date, region, V4_PREFIX, &sts);
    let [access_id, date, region, prefix] = [access_id, date, region, V4_PREFIX].map(str::to_string);
    Authorization::V4 { access_id, date, region, prefix, signature }.to_string()
}

/// The value of `application-authentication` with which an application vouches for a signed request.
pub fn sign_application(access_id: &str, secret: &str, authorization: &str) -> String {
    let signature = sign_v2(secret, authorization);
    format!("account_provider:aliyun,signature_method:hmac-sha1,access_id:{access_id},signature:{signature}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const AGENT: &str = "pyodps/0.13.2 CPython/3.11.7 Linux/6.1";
    const DATE: &str = "Sat, 21 Nov 2026 20:18:23 GMT";
    const TARGET: &str = "/projects/p1/tables?expectmarker=true&curr_project=p1";

    fn headers() -> [(&'static str, &'static str); 4] {
        [("Date", DATE), ("User-Agent", AGENT), ("X-Odps-User-Agent", AGENT), ("Accept", "*/*")]
    }

    // Values: what PyODPS 0.13.2 sends for this request with access id `demo` and secret `s3cret`.
    #[test]
    fn a_request_is_signed_as_pyodps_signs_it() {
        let sts = string_to_sign("get", TARGET, headers());
        let want = format!(
            "GET\n\n\n{DATE}\nx-odps-user-agent:{AGENT}\n/projects/p1/tables?curr_project=p1&expectmarker=true"
        );
        assert_eq!(sts, want);
        let header = sign_request("demo", "s3cret", "GET", TARGET, headers());
        assert_eq!(header, "ODPS demo:74WaTcEIYs1LrxDSiE0yNzSql9k=");
        let key: String =
            key_v4("s3cret", "20261121", "cn-local", V4_PREFIX).iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(key, "5ba568aee4a982e52c21c04fc3a40766352d290d7809bb14fd9a91002d966f6a");
        let header = sign_request_v4("demo", "s3cret", ("20261121", "cn-local"), "GET", TARGET, headers());
        assert_eq!(header, "ODPS demo/20261121/cn-local/odps/aliyun_v4_request:GWYUzAqgiFnnw7Z9UlZszYct7WA=");
    }

    #[test]
    fn only_the_right_secret_and_text_verify() {
        let sts = string_to_sign("GET", TARGET, headers());
        for header in [
            sign_request("demo", "s3cret", "GET", TARGET, headers()),
            sign_request_v4("demo", "s3cret", ("20261121", "cn-local"), "GET", TARGET, headers()),
        ] {
            let auth = Authorization::parse(&header).unwrap();
            assert_eq!((auth.access_id(), auth.to_string()), ("demo", header.clone()));
            assert!(auth.verify("s3cret", &sts));
            assert!(!auth.verify("s3crex", &sts));
            assert!(!auth.verify("s3cret", &format!("{sts} ")));
        }
    }

    // Each line follows from PyODPS: urlparse(unquote(url)), then parse_qsl(query, keep_blank_values=True).
    #[test]
    fn the_resource_keeps_the_oddities_of_the_client() {
        let resource = |target: &str| string_to_sign("GET", target, []).rsplit('\n').next().unwrap().to_string();
        for (target, want) in [
            ("/projects/p/registration%2Ffunctions", "/projects/p/registration/functions"),
            ("/a?b", "/a?b"),
            ("/a?b=", "/a?b"),
            ("/a?", "/a"),
            ("/a?&", "/a?"),
            ("/a?z=1&b=2&z=3", "/a?b=2&z=3"),
            // An encoded `&` or `=` separates after all, because the whole target is decoded first.
            ("/a?x=1%26y%3D2", "/a?x=1&y=2"),
            // `+` and a doubly encoded `%` are decoded again as form data.
            ("/a?x=1%2B2&y=a+b", "/a?x=1 2&y=a b"),
            ("/a?x=%2541", "/a?x=A"),
            ("/a?x=%E4%B8%AD", "/a?x=中"),
            ("/p;v=1/t;v=2?x", "/p;v=1/t?x"),
            ("/a?x=1%0A2", "/a?x=12"),
            ("/a?partition=ds%3D'1'%2Chh%3D'2'", "/a?partition=ds='1',hh='2'"),
            ("/a?x=1%232", "/a?x=1#2"),
        ] {
            assert_eq!(resource(target), want, "{target}");
        }
    }

    #[test]
    fn odps_parameters_count_as_headers() {
        let sts = string_to_sign("PUT", "/a?x-odps-b=2", [("x-odps-c", "3"), ("content-type", "t"), ("x-other", "0")]);
        assert_eq!(sts, "PUT\n\nt\n\nx-odps-b:2\nx-odps-c:3\n/a?x-odps-b=2");
    }

    #[test]
    fn a_strange_header_is_refused() {
        for header in ["", "ODPS", "ODPS :x", "ODPS a:", "Basic a:b", "ODPS a/1/r/odps/p_request:s", "ODPS a/b:c"] {
            let e = Authorization::parse(header).unwrap_err();
            assert_eq!((e.kind(), e.code()), (Kind::Denied, "Unauthorized"), "{header}");
        }
        assert_eq!(Authorization::parse("ODPS a:b:c=").unwrap().access_id(), "a:b", "ids may hold colons");
    }
}
