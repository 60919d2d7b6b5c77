//! Whether a change was asked for by a page of our own, and not by one of another site.

use axum::http::HeaderMap;
use feitian_base::{Error, Kind, Result};

use crate::origin::Origin;

/// Refuses a request that a page of another origin may have sent: `NoPermission`.
///
/// Browsers say where a request comes from in `Sec-Fetch-Site`, where they trust the connection, and in `Origin` with
/// every POST; pages cannot set either. A request with neither is refused too. That the cookie is kept for the same site
/// (`SameSite`) is not enough, because another port of the same host is the same site.
pub(crate) fn check_same_origin(headers: &HeaderMap, origin: &Origin) -> Result<()> {
    let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok());
    let ours = || format!("{}://{}", origin.scheme, origin.host);
    let same = match (text("sec-fetch-site"), text("origin")) {
        (Some(site), _) => site == "same-origin",
        (None, Some(from)) => from.eq_ignore_ascii_case(&ours()),
        (None, None) => false,
    };
    if same {
        return Ok(());
    }
    let message = "this change was not sent by a page of this server; open the page here and send it again";
    Err(Error::new(Kind::Denied, "NoPermission", message))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    // W3C Fetch Metadata, section 2.3: the values of Sec-Fetch-Site; Fetch standard: Origin is sent with every POST and
    // is `null` for origins that must not be known.
    #[test]
    fn only_a_page_of_the_same_origin_may_change_something() {
        let ours = Origin { scheme: "http".into(), host: "h.example:7700".into(), prefix: String::new() };
        for (headers, want) in [
            (&[("sec-fetch-site", "same-origin")][..], true),
            (&[("sec-fetch-site", "same-origin"), ("origin", "null")][..], true),
            (&[("origin", "http://h.example:7700")][..], true),
            (&[("origin", "http://H.example:7700")][..], true),
            (&[("sec-fetch-site", "same-site"), ("origin", "http://h.example:7700")][..], false),
            (&[("sec-fetch-site", "cross-site")][..], false),
            (&[("sec-fetch-site", "none")][..], false),
            (&[("origin", "http://h.example:8080")][..], false),
            (&[("origin", "https://h.example:7700")][..], false),
            (&[("origin", "http://h.example:7700.evil.example")][..], false),
            (&[("origin", "null")][..], false),
            (&[][..], false),
        ] {
            let map: HeaderMap =
                headers.iter().map(|(k, v)| (axum::http::HeaderName::from_static(k), v.parse().unwrap())).collect();
            assert_eq!(check_same_origin(&map, &ours).is_ok(), want, "{headers:?}");
        }
    }
}
