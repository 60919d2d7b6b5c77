//! Where a client reached us: scheme, host and prefix, from which every URL that we return is built.

use std::net::IpAddr;

use axum::http::HeaderMap;
use axum::http::Uri;
use axum::http::header::HOST;

use crate::settings::Settings;

/// The address by which the client knows this server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// `http` or `https`.
    pub scheme: String,
    /// `host` or `host:port`.
    pub host: String,
    /// Path before ours, put there by a proxy: empty or `/x`.
    pub prefix: String,
}

impl Origin {
    /// Derives it from the request. Forwarding headers count only when `peer` is a configured proxy.
    pub fn of(settings: &Settings, uri: &Uri, headers: &HeaderMap, peer: Option<IpAddr>) -> Self {
        let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok());
        let host = uri.authority().map(|a| a.as_str()).or_else(|| text(HOST.as_str())).filter(|h| is_host(h));
        let mut origin = Self {
            scheme: if settings.tls { "https".into() } else { "http".into() },
            host: host.unwrap_or(&settings.default_host).to_string(),
            prefix: String::new(),
        };
        if peer.is_none_or(|ip| !settings.forwarded_from.iter().any(|n| n.contains(ip))) {
            return origin;
        }
        // The nearest proxy appends its element last; with one trusted proxy that is the one that it saw itself.
        let last = |value: &str| value.rsplit(',').next().unwrap_or_default().trim().to_string();
        let forwarded = text("forwarded").map(last).unwrap_or_default();
        let element = |key: &str| {
            forwarded.split(';').find_map(|part| {
                let (name, value) = part.split_once('=')?;
                name.trim().eq_ignore_ascii_case(key).then(|| value.trim().trim_matches('"').to_string())
            })
        };
        if let Some(proto) = element("proto").or_else(|| text("x-forwarded-proto").map(last))
            && matches!(proto.as_str(), "http" | "https")
        {
            origin.scheme = proto;
        }
        if let Some(host) = element("host").or_else(|| text("x-forwarded-host").map(last)).filter(|h| is_host(h)) {
            origin.host = host;
        }
        if let Some(prefix) = text("x-forwarded-prefix").map(last).filter(|p| is_prefix(p)) {
            origin.prefix = prefix.trim_end_matches('/').to_string();
        }
        origin
    }

    /// `scheme://host/prefix`, without a slash at the end.
    pub fn base(&self) -> String {
        format!("{}://{}{}", self.scheme, self.host, self.prefix)
    }

    /// `host:port`, the port always there.
    pub fn host_port(&self) -> String {
        let has_port = self.host.rsplit_once(':').is_some_and(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
        let port = if self.scheme == "https" { 443 } else { 80 };
        if has_port { self.host.clone() } else { format!("{}:{port}", self.host) }
    }
}

/// Only what a host name, an address and a port are made of: the text goes into headers and pages.
fn is_host(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 255
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':' | b'[' | b']'))
}

fn is_prefix(text: &str) -> bool {
    text.starts_with('/')
        && !text.contains("//")
        && text.len() <= 255
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'/'))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn origin(headers: &[(&'static str, &str)], peer: &str) -> String {
        let settings = Settings { forwarded_from: vec!["10.0.0.0/8".parse().unwrap()], ..Settings::default() };
        let headers = headers
            .iter()
            .map(|(k, v)| (axum::http::HeaderName::from_static(k), v.parse().unwrap()))
            .collect::<HeaderMap>();
        Origin::of(&settings, &Uri::from_static("/api/projects"), &headers, Some(peer.parse().unwrap())).base()
    }

    #[test]
    fn urls_follow_the_requests_own_host() {
        assert_eq!(origin(&[("host", "data.example:7700")], "1.2.3.4"), "http://data.example:7700");
        assert_eq!(origin(&[], "1.2.3.4"), "http://127.0.0.1:7700");
        assert_eq!(origin(&[("host", "a\"onmouseover=x")], "1.2.3.4"), "http://127.0.0.1:7700");
    }

    // RFC 7239, section 4; the X- headers as nginx and Traefik send them.
    #[test]
    fn forwarding_headers_count_only_from_a_configured_proxy() {
        let plain = [("host", "inner:1"), ("forwarded", "for=1.1.1.1;proto=https;host=\"outer.example\"")];
        assert_eq!(origin(&plain, "10.1.1.1"), "https://outer.example");
        assert_eq!(origin(&plain, "9.9.9.9"), "http://inner:1");
        let x = [
            ("host", "inner:1"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "evil, outer.example:8443"),
            ("x-forwarded-prefix", "/feitian/"),
        ];
        assert_eq!(origin(&x, "10.1.1.1"), "https://outer.example:8443/feitian");
    }

    #[test]
    fn a_missing_port_is_the_schemes_own() {
        let origin = Origin { scheme: "https".into(), host: "h.example".into(), prefix: String::new() };
        assert_eq!(origin.host_port(), "h.example:443");
    }
}
