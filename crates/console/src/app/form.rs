//! What forms send, and the addresses that a browser may be sent back to.

use feitian_api::sessions::SIGN_IN_PATH;
use feitian_api::{Call, Query};
use feitian_base::{Error, Kind, Result};

/// Bytes of a form that has no statement in it.
const SMALL: usize = 64 << 10;
/// No form of ours has so many fields.
const MOST_FIELDS: usize = 32;

/// The fields of a form that was sent as `application/x-www-form-urlencoded`.
pub(super) struct Form(Query);

impl Form {
    /// Reads the body of the request. Anybody may send one to the page for signing in, so that it is small.
    pub(super) async fn of(call: &Call) -> Result<Self> {
        Self::within(call, SMALL).await
    }

    /// Reads a form with a statement in it.
    pub(super) async fn with_statement(call: &Call) -> Result<Self> {
        Self::within(call, call.state.settings.limits.document_bytes).await
    }

    async fn within(call: &Call, most: usize) -> Result<Self> {
        let body = call.document_of(most).await?;
        if body.iter().filter(|byte| **byte == b'&').count() >= MOST_FIELDS {
            return Err(Error::invalid(format!("the form has more than {MOST_FIELDS} fields")));
        }
        let text = std::str::from_utf8(&body).map_err(|_| Error::invalid("the form is not UTF-8"))?;
        Ok(Self(Query::parse(text)))
    }

    /// A field without the blanks around it; empty when it is not there.
    pub(super) fn text(&self, name: &str) -> &str {
        self.0.get(name).unwrap_or_default().trim()
    }

    /// The lines of a text area, which browsers end with a carriage return too.
    pub(super) fn lines(&self, name: &str) -> String {
        self.0.get(name).unwrap_or_default().replace("\r\n", "\n")
    }

    /// The error for a button that no form of ours has.
    pub(super) fn no_such_action(&self) -> Error {
        let action = self.text("action");
        Error::new(Kind::Invalid, "InvalidParameter", format!("the form has no action '{action}'; load the page again"))
    }
}

/// Where to go on after signing in: a page of this server, whatever the link to the form said.
pub(super) fn local_path(next: Option<&str>) -> &str {
    next.filter(|path| is_ours(path)).unwrap_or("/console")
}

fn is_ours(path: &str) -> bool {
    let page = path.split(['?', '#']).next().unwrap_or_default();
    let below = |root: &str| page.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let steps_out = |step: &str| matches!(step, "." | "..");
    path.len() <= 4096
        && path.bytes().all(|b| b.is_ascii_graphic() && b != b'\\')
        && (below("/console") || below("/logview"))
        && !page.contains("//")
        && !page.to_ascii_lowercase().contains("%2e")
        && !page.split('/').any(steps_out)
        && page != SIGN_IN_PATH
        && page != super::SIGN_OUT_PATH
}

#[cfg(test)]
mod tests {
    use super::*;

    // OWASP, "Unvalidated Redirects and Forwards": the forms in which a link leads elsewhere.
    #[test]
    fn only_pages_of_this_server_follow_a_sign_in() {
        for path in [
            "/console",
            "/console/",
            "/console/projects/p/jobs?owner=ALIYUN%24demo&status=Running",
            "/console/projects/p/tables/s.t",
            "/logview/?p=p&i=1",
            "/console/projects/p/sql?text=//x",
        ] {
            assert_eq!(local_path(Some(path)), path);
        }
        for path in [
            "",
            "/",
            "//evil.example",
            "/\\evil.example",
            "https://evil.example/console",
            "javascript:alert(1)",
            "/consolex",
            "/admin/v1/keys",
            "/console//evil.example",
            "/console/../admin",
            "/console/%2e%2E/admin",
            "/console\r\nSet-Cookie: a=b",
            "/console/\u{202e}",
            " /console",
            "/console/login",
            "/console/login?next=/console",
            "/console/logout",
        ] {
            assert_eq!(local_path(Some(path)), "/console", "{path:?}");
        }
        assert_eq!(local_path(None), "/console");
    }
}
