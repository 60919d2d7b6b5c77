//! Signing in with an access key, and out again.

use askama::Template;
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use feitian_api::refusal::see_other;
use feitian_api::sessions::{self, NO_MATCH, SIGN_IN_PATH, SignIn};
use feitian_api::{Answer, Call};
use feitian_base::{Error, Kind, Result};

use super::form::{Form, local_path};
use super::shell::Shell;
use super::words;
use crate::hints::feitian;
use crate::show;

#[derive(Template)]
#[template(path = "app/sign_in.html")]
struct SignInPage<'a> {
    shell: &'a Shell,
    next: &'a str,
    access_id: &'a str,
    /// Why it did not work; empty at first.
    failure: String,
    /// The field for the token of a temporary key is shown.
    temporary: bool,
}

#[derive(Template)]
#[template(path = "app/sign_out.html")]
struct SignOutPage<'a> {
    shell: &'a Shell,
}

/// `GET /console/login`
pub(super) async fn show(call: Call) -> Answer {
    let shell = shell(&call)?;
    let next = local_path(call.query.get("next"));
    shell.answer(&SignInPage { shell: &shell, next, access_id: "", failure: String::new(), temporary: false })
}

/// `POST /console/login`
pub(super) async fn sign_in(call: Call) -> Answer {
    let form = Form::of(&call).await?;
    let (access_id, sts_token) = (form.text("access_id"), form.text("sts_token"));
    let next = local_path(Some(form.text("next")));
    match sessions::sign_in(&call.state, SignIn { access_id, secret: form.text("secret"), sts_token }).await {
        Ok(session) => {
            // Whoever signs in anew leaves what was before.
            sessions::sign_out(&call.state, &call.origin, &call.headers);
            let mut response = see_other(&format!("{}{next}", call.origin.prefix));
            set_cookie(&mut response, &sessions::begin_cookie(&call.origin, &session))?;
            Ok(response)
        }
        Err(e) if matches!(e.kind(), Kind::Denied | Kind::Throttled) => {
            let shell = shell(&call)?;
            let failure = match (e.kind(), e.message()) {
                (Kind::Throttled, _) => shell.w.too_many.to_string(),
                (_, NO_MATCH) => shell.w.no_match.to_string(),
                (_, other) => show::seen(other).into_owned(),
            };
            let status =
                if e.kind() == Kind::Throttled { StatusCode::TOO_MANY_REQUESTS } else { StatusCode::FORBIDDEN };
            let temporary = !sts_token.is_empty() || access_id.starts_with("STS.");
            shell.answer_with(status, &SignInPage { shell: &shell, next, access_id, failure, temporary })
        }
        Err(e) => Err(e),
    }
}

/// `GET /console/logout`
pub(super) async fn ask(call: Call) -> Answer {
    let words = words::of(&call)?;
    let shell = Shell::of(&call, words.sign_out)?;
    shell.answer(&SignOutPage { shell: &shell })
}

/// `POST /console/logout`: the session ends, and the browser forgets it.
pub(super) async fn sign_out(call: Call) -> Answer {
    sessions::sign_out(&call.state, &call.origin, &call.headers);
    let mut response = see_other(&format!("{}{SIGN_IN_PATH}", call.origin.prefix));
    set_cookie(&mut response, &sessions::end_cookie(&call.origin))?;
    Ok(response)
}

fn shell(call: &Call) -> Result<Shell> {
    let words = words::of(call)?;
    let mut shell = Shell::of(call, words.sign_in)?;
    // A session is the browser's; in a terminal each request is signed with the key.
    let feitian_api::Origin { scheme, host, prefix } = &call.origin;
    let endpoint = format!("{scheme}://{host}{prefix}");
    shell.hints = vec![feitian(["project", "list", "--endpoint", &endpoint, "--key", "ACCESS_ID:SECRET"])];
    Ok(shell)
}

fn set_cookie(response: &mut Response, cookie: &str) -> Result<()> {
    let value = HeaderValue::from_str(cookie).map_err(|e| Error::internal("a cookie is no header").with_source(e))?;
    response.headers_mut().append(SET_COOKIE, value);
    Ok(())
}
