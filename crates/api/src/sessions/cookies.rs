//! The cookie of a session: how it is set, taken back and read.

use axum::http::HeaderMap;
use axum::http::header::COOKIE;
use feitian_base::{Error, Kind, Result};

use super::NewSession;
use crate::origin::Origin;

/// A value for `Set-Cookie` that begins a session. The browser forgets it when it is closed.
pub fn begin_cookie(origin: &Origin, session: &NewSession) -> String {
    format!("{}={}; {}", name(origin), session.token, attributes(origin))
}

/// A value for `Set-Cookie` that makes the browser forget its session.
pub fn end_cookie(origin: &Origin) -> String {
    format!("{}=; Max-Age=0; {}", name(origin), attributes(origin))
}

/// The session that a request carries. `Unauthorized` when it carries two: one of them was put there by somebody else.
pub(super) fn session<'a>(origin: &Origin, headers: &'a HeaderMap) -> Result<Option<&'a str>> {
    let wanted = name(origin);
    // HTTP/2 may cut the header into several.
    let pairs = headers.get_all(COOKIE).iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b';'));
    // Another program of this host may have set cookies that are no ASCII.
    let pairs = pairs.filter_map(|pair| std::str::from_utf8(pair).ok()?.trim().split_once('='));
    let mut values = pairs.filter(|(name, _)| *name == wanted).map(|(_, value)| value);
    let value = values.next().filter(|v| !v.is_empty());
    match values.next() {
        None => Ok(value),
        Some(_) => Err(Error::new(Kind::Denied, "Unauthorized", "the browser sent two sessions; delete its cookies")),
    }
}

/// Over TLS the prefix makes the browser refuse a cookie of this name that another host or an open connection set
/// (RFC 6265bis, section 4.1.3.2).
fn name(origin: &Origin) -> &'static str {
    if is_secure(origin) { "__Host-feitian_session" } else { "feitian_session" }
}

fn attributes(origin: &Origin) -> &'static str {
    if is_secure(origin) { "Path=/; HttpOnly; SameSite=Strict; Secure" } else { "Path=/; HttpOnly; SameSite=Strict" }
}

fn is_secure(origin: &Origin) -> bool {
    origin.scheme == "https"
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn origin(scheme: &str) -> Origin {
        Origin { scheme: scheme.into(), host: "h".into(), prefix: String::new() }
    }

    fn headers(lines: &[&str]) -> HeaderMap {
        lines.iter().map(|line| (COOKIE, line.parse().unwrap())).collect()
    }

    // RFC 6265, section 4.1: the attributes; RFC 6265bis: SameSite and the prefix __Host-, which asks for Secure and
    // Path=/.
    #[test]
    fn the_cookie_is_kept_from_scripts_other_sites_and_open_connections() {
        let session = NewSession { token: "abc+/=".into() };
        assert_eq!(
            begin_cookie(&origin("http"), &session),
            "feitian_session=abc+/=; Path=/; HttpOnly; SameSite=Strict"
        );
        assert_eq!(
            begin_cookie(&origin("https"), &session),
            "__Host-feitian_session=abc+/=; Path=/; HttpOnly; SameSite=Strict; Secure"
        );
        assert!(end_cookie(&origin("https")).starts_with("__Host-feitian_session=; Max-Age=0; Path=/"));
    }

    #[test]
    fn one_session_is_found_among_other_cookies() {
        let http = origin("http");
        for (lines, want) in [
            (&["a=b; feitian_session=x=; c=d"][..], Some("x=")),
            (&["a=b", "feitian_session=y"][..], Some("y")),
            (&["feitian_session="][..], None),
            (&["feitian_sessions=y; my_feitian_session=z; feitian_session"][..], None),
            (&["__Host-feitian_session=y"][..], None),
            (&[][..], None),
        ] {
            assert_eq!(session(&http, &headers(lines)).unwrap(), want, "{lines:?}");
        }
        assert_eq!(session(&origin("https"), &headers(&["feitian_session=y"])).unwrap(), None);
        assert!(session(&http, &headers(&["feitian_session=x; feitian_session=y"])).is_err());
        assert!(session(&http, &headers(&["feitian_session=x", "feitian_session=x"])).is_err());
    }
}
