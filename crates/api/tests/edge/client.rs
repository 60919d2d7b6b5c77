//! A client written from the published behaviour of PyODPS (`odps/accounts.py`, `odps/rest.py`), sharing no code with
//! the server: it signs requests and reads answers.

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, Response, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http_body_util::BodyExt;
use sha1::Sha1;
use sha2::Sha256;
use tower::ServiceExt;

/// What a client proves itself with.
#[derive(Clone, Debug)]
pub enum Credentials {
    Nothing,
    V2 { id: String, secret: String },
    V4 { id: String, secret: String, region: String },
    Sts { id: String, secret: String, token: String },
    Bearer(String),
}

pub fn key(id: &str, secret: &str) -> Credentials {
    Credentials::V2 { id: id.into(), secret: secret.into() }
}

pub struct Client {
    pub router: Router,
    pub credentials: Credentials,
    /// Added to the clock.
    pub clock_seconds: i64,
}

#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// True when the body broke off.
    pub broken: bool,
}

impl Reply {
    /// Reads the body to its end.
    pub async fn of(answer: Response<Body>) -> Self {
        let (parts, mut body) = answer.into_parts();
        let (mut bytes, mut broken) = (Vec::new(), false);
        while let Some(frame) = body.frame().await {
            match frame {
                Ok(frame) => bytes.extend_from_slice(frame.data_ref().unwrap()),
                Err(_) => broken = true,
            }
        }
        Self { status: parts.status, headers: parts.headers, body: bytes.into(), broken }
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|v| v.to_str().unwrap()).unwrap_or_default()
    }

    /// The error's code as PyODPS finds it: XML first, then JSON.
    pub fn code(&self) -> String {
        let text = self.text();
        if text.trim_start().starts_with('<') {
            for needed in ["Message", "RequestId", "HostId"] {
                assert!(text.contains(&format!("<{needed}>")), "{needed} is missing in {text}");
            }
            return between(&text, "<Code>", "</Code>").to_string();
        }
        if self.body.is_empty() { String::new() } else { self.json()["Code"].as_str().unwrap_or_default().to_string() }
    }

    #[track_caller]
    pub fn ok(self) -> Self {
        assert!(self.status.is_success() && !self.broken, "{} {}", self.status, self.text());
        self
    }

    #[track_caller]
    pub fn refused(self, status: u16, code: &str) -> Self {
        assert_eq!((self.status.as_u16(), self.code().as_str()), (status, code), "{}", self.text());
        assert!(!self.header("x-odps-request-id").is_empty());
        self
    }
}

pub fn between<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
    text.split_once(from).and_then(|(_, rest)| rest.split_once(to)).map(|(inside, _)| inside).unwrap_or_default()
}

impl Client {
    pub fn new(router: &Router, credentials: Credentials) -> Self {
        Self { router: router.clone(), credentials, clock_seconds: 0 }
    }

    pub async fn get(&self, target: &str) -> Reply {
        self.send("GET", target, &[], Body::empty()).await
    }

    pub async fn post(&self, target: &str, body: impl Into<Body>) -> Reply {
        self.send("POST", target, &[], body.into()).await
    }

    pub async fn put(&self, target: &str, body: impl Into<Body>) -> Reply {
        self.send("PUT", target, &[], body.into()).await
    }

    pub async fn delete(&self, target: &str) -> Reply {
        self.send("DELETE", target, &[], Body::empty()).await
    }

    pub async fn send(&self, method: &str, target: &str, headers: &[(&str, &str)], body: Body) -> Reply {
        Reply::of(self.answer(method, target, headers, body).await).await
    }

    /// The answer as soon as its head is there; nobody has read its body.
    pub async fn answer(&self, method: &str, target: &str, headers: &[(&str, &str)], body: Body) -> Response<Body> {
        let mut request = Request::builder().method(Method::from_bytes(method.as_bytes()).unwrap()).uri(target);
        for (name, value) in self.headers(method, target, headers) {
            request = request.header(name, value);
        }
        self.router.clone().oneshot(request.body(body).unwrap()).await.unwrap()
    }

    /// All headers of a request, signed.
    pub fn headers(&self, method: &str, target: &str, extra: &[(&str, &str)]) -> Vec<(String, String)> {
        let now = chrono::Utc::now() + chrono::Duration::seconds(self.clock_seconds);
        let mut headers: Vec<(String, String)> = vec![
            ("Host".into(), "feitian.test:7700".into()),
            ("Date".into(), now.format("%a, %d %b %Y %H:%M:%S GMT").to_string()),
            ("x-odps-user-agent".into(), "test/1".into()),
        ];
        headers.extend(extra.iter().map(|(k, v)| (k.to_string(), v.to_string())));
        let relative =
            if target.starts_with("/api/storage") { target } else { target.strip_prefix("/api").unwrap_or(target) };
        let text = signed_text(method, relative, &headers);
        let v2 = |id: &str, secret: &str| format!("ODPS {id}:{}", STANDARD.encode(sha1_hmac(secret.as_bytes(), &text)));
        match &self.credentials {
            Credentials::Nothing => {}
            Credentials::V2 { id, secret } => headers.push(("Authorization".into(), v2(id, secret))),
            Credentials::Sts { id, secret, token } => {
                headers.push(("Authorization".into(), v2(id, secret)));
                headers.push(("authorization-sts-token".into(), token.clone()));
            }
            Credentials::V4 { id, secret, region } => {
                let date = now.format("%Y%m%d").to_string();
                let mut key = format!("aliyun_v4{secret}").into_bytes();
                for word in [date.as_str(), region, "odps", "aliyun_v4_request"] {
                    key = sha256_hmac(&key, word);
                }
                let signature = STANDARD.encode(sha1_hmac(&key, &text));
                headers.push((
                    "Authorization".into(),
                    format!("ODPS {id}/{date}/{region}/odps/aliyun_v4_request:{signature}"),
                ));
            }
            Credentials::Bearer(token) => headers.push(("x-odps-bearer-token".into(), token.clone())),
        }
        headers
    }
}

fn sha1_hmac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = <Hmac<Sha1>>::new_from_slice(key).unwrap();
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

pub fn sha256_hmac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = <Hmac<Sha256>>::new_from_slice(key).unwrap();
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

/// Decodes `%xx`; with `form`, `+` is a blank.
fn decoded(text: &str, form: bool) -> String {
    let (mut out, mut bytes) = (Vec::new(), text.bytes());
    while let Some(b) = bytes.next() {
        match b {
            b'%' => {
                let hex: String = bytes.by_ref().take(2).map(char::from).collect();
                out.push(u8::from_str_radix(&hex, 16).unwrap());
            }
            b'+' if form => out.push(b' '),
            b => out.push(b),
        }
    }
    String::from_utf8(out).unwrap()
}

fn signed_text(method: &str, target: &str, headers: &[(String, String)]) -> String {
    let target = decoded(target, false);
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let mut params = std::collections::BTreeMap::new();
    for part in query.split('&').filter(|p| !p.is_empty()) {
        let (k, v) = part.split_once('=').unwrap_or((part, ""));
        params.insert(decoded(k, true), decoded(v, true));
    }
    let find = |name: &str| {
        headers.iter().find(|(k, _)| k.eq_ignore_ascii_case(name)).map(|(_, v)| v.clone()).unwrap_or_default()
    };
    let mut lines = vec![method.to_string(), find("content-md5"), find("content-type"), find("date")];
    let mut odps: Vec<String> = headers
        .iter()
        .filter(|(k, _)| k.to_lowercase().starts_with("x-odps-"))
        .map(|(k, v)| format!("{}:{v}", k.to_lowercase()))
        .collect();
    odps.sort();
    lines.extend(odps);
    let query: Vec<String> =
        params.iter().map(|(k, v)| if v.is_empty() { k.clone() } else { format!("{k}={v}") }).collect();
    lines.push(if query.is_empty() { path.to_string() } else { format!("{path}?{}", query.join("&")) });
    lines.join("\n")
}

// Values: PyODPS 0.13.2 for this request with access id `demo` and secret `s3cret`.
#[test]
fn the_test_client_signs_as_pyodps_does() {
    let agent = "pyodps/0.13.2 CPython/3.11.7 Linux/6.1";
    let headers = [("Date", "Sat, 21 Nov 2026 20:18:23 GMT"), ("x-odps-user-agent", agent)];
    let headers: Vec<_> = headers.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
    let text = signed_text("GET", "/projects/p1/tables?expectmarker=true&curr_project=p1", &headers);
    assert_eq!(STANDARD.encode(sha1_hmac(b"s3cret", &text)), "74WaTcEIYs1LrxDSiE0yNzSql9k=");
}

impl Reply {
    /// An error of any document form.
    #[track_caller]
    pub fn refused_or_page(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
        self
    }
}
