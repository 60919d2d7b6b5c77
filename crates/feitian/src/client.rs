//! A client of the admin API: finds the server and the key, signs requests, reads answers and errors.

use std::path::{Path, PathBuf};
use std::time::Duration;

use feitian_api::admin::types::ErrorBody;
use reqwest::Method;
use reqwest::blocking::{Client as Http, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::cli::ClientArgs;
use crate::config::{Config, Sources};
use crate::credentials::{self, Credentials};
use crate::failure::{Failure, Result};

/// Requests that take this long are given up; those that wait on purpose ask for less.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(120);
/// For requests whose work grows with the data.
const LONG_TIMEOUT: Duration = Duration::from_secs(24 * 3600);

/// Talks to one server with one key.
pub struct Client {
    http: Http,
    /// `http://host:port`, with the path of a proxy if there is one, without `/` at the end.
    base: String,
    access_id: String,
    secret: String,
    sts_token: Option<String>,
    project: String,
}

impl Client {
    /// Takes endpoint and key from the flags (or their variables), and what they leave open from the credentials in the
    /// data directory.
    pub fn connect(args: &ClientArgs) -> Result<Self> {
        let stored = match (&args.endpoint, &args.key) {
            (Some(_), Some(_)) => None,
            _ => Some(stored_credentials(args)?),
        };
        let (access_id, secret) = access_key(args, stored.as_ref())?;
        let endpoint = match (&args.endpoint, &stored) {
            (Some(endpoint), _) => endpoint.as_str(),
            (None, Some(stored)) => stored.endpoint.as_str(),
            (None, None) => return Err(Failure::new("no endpoint was given").hint("add --endpoint http://host:7700")),
        };
        let project = stored.as_ref().map_or(crate::bootstrap::PROJECT, |c| c.project.as_str()).to_string();
        let base = base_url(endpoint)?;
        let http = http_client(&base)?;
        Ok(Self { http, base, access_id, secret, sts_token: args.sts_token.clone(), project })
    }

    /// The project that commands use when none is named.
    pub fn default_project(&self) -> &str {
        &self.project
    }

    /// The address of the server.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// `GET path?query`.
    pub fn get<T: DeserializeOwned>(&self, path: &str, query: &[(&str, String)]) -> Result<T> {
        self.call(Method::GET, path, query, None, REQUEST_TIMEOUT)
    }

    /// `POST path` with a JSON body.
    pub fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T> {
        self.call(Method::POST, path, &[], Some(to_json(body)), REQUEST_TIMEOUT)
    }

    /// As [`Client::post`], for work that may take hours.
    pub fn post_long<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T> {
        self.call(Method::POST, path, &[], Some(to_json(body)), LONG_TIMEOUT)
    }

    /// `PUT path` with a JSON body.
    pub fn put<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T> {
        self.call(Method::PUT, path, &[], Some(to_json(body)), REQUEST_TIMEOUT)
    }

    /// `DELETE path`.
    pub fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        self.call(Method::DELETE, path, &[], None, REQUEST_TIMEOUT)
    }

    fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, String)],
        body: Option<String>,
        timeout: Duration,
    ) -> Result<T> {
        let mut target = path.to_string();
        if !query.is_empty() {
            let pairs = query.iter().map(|(k, v)| (*k, v.as_str()));
            target =
                format!("{path}?{}", url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish());
        }
        let content_type = if body.is_some() { "application/json" } else { "" };
        let date = chrono::Utc::now().format("%a, %d %b %Y %H:%M:%S GMT").to_string();
        let signed = [("content-type", content_type), ("date", date.as_str())];
        let authorization =
            feitian_wire::sign::sign_request(&self.access_id, &self.secret, method.as_str(), &target, signed);
        let mut request = self.http.request(method, format!("{}{target}", self.base)).timeout(timeout);
        request = request.header("date", &date).header("authorization", authorization);
        if let Some(token) = &self.sts_token {
            request = request.header("authorization-sts-token", token);
        }
        if let Some(body) = body {
            request = request.header("content-type", content_type).body(body);
        }
        let answer = request.send().map_err(|e| self.unreachable(&e))?;
        if !answer.status().is_success() {
            return Err(refused(answer));
        }
        let text = answer.text().map_err(|e| self.unreachable(&e))?;
        serde_json::from_str(&text).map_err(|e| {
            Failure::new(format!("{} answered something else than its admin API does: {e}", self.base))
                .hint("is this the port of a feitian of the same version?")
        })
    }

    fn unreachable(&self, e: &reqwest::Error) -> Failure {
        let mut root: &dyn std::error::Error = e;
        while let Some(source) = root.source() {
            root = source;
        }
        let why = if e.is_timeout() { "it did not answer in time".to_string() } else { root.to_string() };
        Failure::new(format!("cannot reach feitian at {}: {why}", self.base))
            .hint("is it running? `feitian up` starts it; --data, --endpoint or FEITIAN_ENDPOINT choose another one")
    }
}

/// A path of the admin API; each part becomes one encoded segment.
pub fn admin_path<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let mut path = "/admin/v1".to_string();
    for part in parts {
        path.push('/');
        for byte in part.bytes() {
            // Everything but the unreserved characters of RFC 3986, section 2.3.
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => path.push(byte as char),
                _ => path.push_str(&format!("%{byte:02X}")),
            }
        }
    }
    path
}

fn to_json(body: &impl Serialize) -> String {
    serde_json::to_string(body).expect("requests hold texts and numbers only")
}

/// The data directory: the flag, or else the settings, as `feitian up` in this place would find it.
fn data_directory(args: &ClientArgs) -> Result<PathBuf> {
    if let Some(data) = &args.data {
        return Ok(PathBuf::from(data));
    }
    let environment: Vec<_> = std::env::vars_os().collect();
    let file = std::env::var_os("FEITIAN_CONFIG").map(PathBuf::from);
    Ok(Config::load(&Sources { file, environment, flags: Vec::new() })?.data)
}

/// The credentials in the data directory.
pub(crate) fn stored_credentials(args: &ClientArgs) -> Result<Credentials> {
    let data = data_directory(args)?;
    let path = data.join(credentials::FILE_NAME);
    warn_if_open(&path);
    Credentials::read(&data)?.ok_or_else(|| {
        Failure::new(format!("there are no credentials at {}", path.display()))
            .hint("start a server with `feitian up`, name its directory with --data, or give --endpoint and --key")
    })
}

fn warn_if_open(path: &Path) {
    if credentials::is_open_to_others(path).unwrap_or(false) {
        eprintln!("warning: {0} can be read by other users; run: chmod 600 {0}", path.display());
    }
}

/// Id and secret of the key in the flags, or else of the stored one.
pub(crate) fn access_key(args: &ClientArgs, stored: Option<&Credentials>) -> Result<(String, String)> {
    match (&args.key, stored) {
        (Some(key), _) => split_key(key),
        (None, Some(stored)) => Ok((stored.access_id.clone(), stored.secret.clone())),
        (None, None) => Err(Failure::new("no access key was given").hint("add --key ID:SECRET")),
    }
}

fn split_key(key: &str) -> Result<(String, String)> {
    match key.split_once(':') {
        Some((id, secret)) if !id.is_empty() && !secret.is_empty() => Ok((id.to_string(), secret.to_string())),
        // The text is or holds a secret, so that it is not repeated.
        _ => Err(Failure::new("the access key does not have the form ID:SECRET").hint("check --key or FEITIAN_KEY")),
    }
}

/// `http://host:port` from what users paste, among them the endpoint of PyODPS with its `/api`.
pub(crate) fn base_url(endpoint: &str) -> Result<String> {
    let wrong = |why: &str| {
        Failure::new(format!("`{endpoint}` is no endpoint: {why}")).hint("write for example http://127.0.0.1:7700")
    };
    let url = url::Url::parse(endpoint).map_err(|e| wrong(&e.to_string()))?;
    match url.scheme() {
        "http" => {}
        "https" => return Err(wrong("https is not supported by this program; use a proxy on this machine")),
        _ => return Err(wrong("it does not begin with http://")),
    }
    if url.host().is_none() || url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("it is not just a scheme, a host and a port"));
    }
    let base = url.as_str().trim_end_matches('/');
    Ok(base.strip_suffix("/api").unwrap_or(base).to_string())
}

/// For requests to `base`.
pub(crate) fn http_client(base: &str) -> Result<Http> {
    let mut builder = Http::builder()
        .user_agent(concat!("feitian/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(Duration::from_secs(10))
        .redirect(reqwest::redirect::Policy::none());
    let host = url::Url::parse(base).ok().and_then(|u| u.host_str().map(str::to_string)).unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    if host == "localhost" || address.is_ok_and(|ip| ip.is_loopback()) {
        // A proxy of the company cannot reach this machine's own addresses.
        builder = builder.no_proxy();
    }
    builder.build().map_err(|e| Failure::new(format!("cannot set up an HTTP client: {e}")))
}

fn refused(answer: Response) -> Failure {
    let status = answer.status();
    let body = answer.text().unwrap_or_default();
    let Ok(error) = serde_json::from_str::<ErrorBody>(&body) else {
        return Failure::new(format!("the server answered {status} without saying why"));
    };
    let text = format!("{}: {}", error.code, error.message);
    let failure = match status.as_u16() {
        404 => Failure::negative(&text),
        500.. => {
            Failure::new(&text).hint(format!("the server's log has the details under request id {}", error.request_id))
        }
        _ => Failure::new(&text),
    };
    failure.explained_by(&text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn endpoints_are_taken_as_users_paste_them() {
        for text in ["http://127.0.0.1:7700", "http://127.0.0.1:7700/", "http://127.0.0.1:7700/api"] {
            assert_eq!(base_url(text).unwrap(), "http://127.0.0.1:7700", "{text}");
        }
        assert_eq!(base_url("http://h/feitian/api/").unwrap(), "http://h/feitian");
        for bad in ["127.0.0.1:7700", "ftp://h", "https://h", "http://h?x=1"] {
            assert_eq!(base_url(bad).unwrap_err().exit_code(), 2, "{bad}");
        }
    }

    // RFC 3986, section 2.1: other characters are written as % and two hexadecimal digits.
    #[test]
    fn names_become_one_encoded_segment() {
        assert_eq!(admin_path(["accounts", "ALIYUN$a/b"]), "/admin/v1/accounts/ALIYUN%24a%2Fb");
    }

    #[test]
    fn a_key_without_secret_is_refused_and_not_repeated() {
        assert_eq!(split_key("id:se:cret").unwrap(), ("id".to_string(), "se:cret".to_string()));
        for bad in ["topsecret", ":topsecret", "id:"] {
            assert!(!split_key(bad).unwrap_err().message().contains("topsecret"));
        }
    }
}
