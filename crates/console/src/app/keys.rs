//! One's own access keys: list, make, switch off and on, delete.

use askama::Template;
use axum::http::StatusCode;
use feitian_api::admin::types::{CreateKey, KeyView, NewKey};
use feitian_api::refusal::{see_other, status};
use feitian_api::{Answer, Call, admin, sessions};
use feitian_base::{Error, Kind};

use super::form::Form;
use super::home::is_of_the_form;
use super::shell::Shell;
use super::words;
use crate::hints::{feitian, get, word};
use crate::show::{self, fill};

#[derive(Template)]
#[template(path = "app/keys.html")]
struct KeysPage<'a> {
    shell: &'a Shell,
    keys: Vec<Line>,
    failure: String,
}

#[derive(Template)]
#[template(path = "app/new_key.html")]
struct NewKeyPage<'a> {
    shell: &'a Shell,
    key: NewKey,
    /// How a program uses it; empty for temporary keys, which need more.
    python: String,
}

#[derive(Template)]
#[template(path = "app/delete_key.html")]
struct DeletePage<'a> {
    shell: &'a Shell,
    key: &'a str,
    question: String,
}

struct Line {
    id: String,
    shown: String,
    enabled: bool,
    /// The session of the browser stands on it.
    current: bool,
    created: show::Time,
    /// Empty for a key that does not end by itself.
    expires: String,
    switch: String,
    delete: String,
}

/// `GET /console/keys`
pub(super) async fn show(call: Call) -> Answer {
    page(&call, StatusCode::OK, None).await
}

/// `POST /console/keys`: makes, changes or deletes a key of the caller.
pub(super) async fn change(call: Call) -> Answer {
    let form = Form::of(&call).await?;
    let key = form.text("key").to_string();
    // Else an hour's key, or what is stolen from a browser, would become one for ever.
    if form.text("action") != "disable"
        && let Some(own) = sessions::access_id(&call.state, &call.origin, &call.headers)
        && call.state.meta.key(&own).await?.is_some_and(|k| k.expires_ms.is_some())
    {
        return Err(Error::new(Kind::Denied, "NoPermission", "a temporary key may not make or change keys"));
    }
    let done = match form.text("action") {
        "create" => return create(&call, form.text("life")).await,
        "enable" => admin::set_key_enabled(&call, &key, true).await.map(drop),
        "disable" => admin::set_key_enabled(&call, &key, false).await.map(drop),
        "delete" => return ask(&call, &key),
        "really delete" => admin::delete_key(&call, &key).await,
        _ => return Err(form.no_such_action()),
    };
    match done {
        Ok(()) => Ok(see_other(&Shell::of(&call, "")?.at("/keys"))),
        Err(e) if is_of_the_form(&e) => page(&call, status(&e), Some(&e)).await,
        Err(e) => Err(e),
    }
}

/// The one page that shows the secret. It is the answer itself: an address to go on to could be opened again.
async fn create(call: &Call, life: &str) -> Answer {
    let sts_ttl_seconds = match life {
        "" => None,
        "1h" => Some(3_600),
        "1d" => Some(86_400),
        "30d" => Some(30 * 86_400),
        other => {
            let message = format!("a key cannot work for '{other}'; load the page again");
            return Err(Error::new(Kind::Invalid, "InvalidParameter", message));
        }
    };
    let key = admin::create_key(call, CreateKey { sts_ttl_seconds, ..CreateKey::default() }).await?;
    let words = words::of(call)?;
    let mut shell = Shell::of(call, words.new_key)?;
    let sts = sts_ttl_seconds.map_or(String::new(), |_| format!(" --sts {}", word(life)));
    shell.hints = vec![format!("{}{sts}", feitian(["key", "create"]))];
    let python = if key.sts_token.is_some() { String::new() } else { python(call, &key) };
    shell.answer(&NewKeyPage { shell: &shell, key, python })
}

/// The first line of a program that uses the key.
fn python(call: &Call, key: &NewKey) -> String {
    let feitian_api::Origin { scheme, host, prefix } = &call.origin;
    let (id, secret) = (&key.key.access_id, &key.secret);
    format!("ODPS({id:?}, {secret:?}, project=\"…\", endpoint=\"{scheme}://{host}{prefix}/api\")")
}

/// Asks before a key is deleted, since that cannot be taken back.
fn ask(call: &Call, key: &str) -> Answer {
    let words = words::of(call)?;
    let mut shell = Shell::of(call, words.keys)?;
    shell.hints = vec![feitian(["key", "delete", key])];
    let question = fill(shell.w.delete_ask, &[("key", &show::short(key, 200))]);
    shell.answer(&DeletePage { shell: &shell, key, question })
}

async fn page(call: &Call, status: StatusCode, failure: Option<&Error>) -> Answer {
    let words = words::of(call)?;
    let mut shell = Shell::of(call, words.keys)?;
    shell.hints = vec![
        feitian(["key", "list"]),
        feitian(["key", "create"]),
        feitian(["key", "disable", "ACCESS_ID"]),
        feitian(["key", "delete", "ACCESS_ID"]),
        get(["keys"], &[]),
    ];
    let mut keys = admin::keys_of(call, None).await?;
    keys.sort_by_key(|key| std::cmp::Reverse(key.created_ms));
    let current = sessions::access_id(&call.state, &call.origin, &call.headers);
    let keys = keys.into_iter().map(|key| line(&shell, key, current.as_deref())).collect();
    let failure = failure.map_or(String::new(), |e| show::seen(e.message()).into_owned());
    shell.answer_with(status, &KeysPage { shell: &shell, keys, failure })
}

fn line(shell: &Shell, key: KeyView, current: Option<&str>) -> Line {
    let shown = show::short(&key.access_id, 200);
    let named = |pattern| fill(pattern, &[("key", &shown)]);
    let time = |ms| show::time(ms, chrono_tz::Tz::UTC);
    Line {
        current: current == Some(key.access_id.as_str()),
        enabled: key.enabled,
        created: time(key.created_ms),
        expires: key.expires_ms.map_or(String::new(), |ms| fill(shell.w.key_until, &[("t", &time(ms).text)])),
        switch: named(if key.enabled { shell.w.disable_what } else { shell.w.enable_what }),
        delete: named(shell.w.delete_what),
        id: key.access_id,
        shown,
    }
}
