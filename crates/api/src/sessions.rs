//! Signing in with a browser: a cookie that stands for an access key, and what is checked before it counts.
//!
//! The cookie holds the id of the key, never its secret, under a signature of this installation. It works as long as the
//! key does and at most [`LONGEST_MS`]; whoever has it may do what a request signed with the key may.

mod attempts;
mod cookies;

use std::collections::HashMap;
use std::sync::Arc;

use axum::http::HeaderMap;
use feitian_base::{Error, Kind, Result, clock, id};
use feitian_meta::Meta;
use feitian_meta::rows::AccessKey;
use feitian_wire::bearer;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::auth::caller_of;
use crate::identity::{Identity, missing_credentials};
use crate::keys::is_token_of;
use crate::origin::Origin;
use crate::secrets::{Secret, Secrets};
use crate::state::AppState;
use crate::tokens::signing_key;
use attempts::Attempts;
pub use cookies::{begin_cookie, end_cookie};

/// The longest life of a session: 12 hours.
pub const LONGEST_MS: i64 = 12 * 3_600_000;
/// Where a browser that has not signed in is sent.
pub const SIGN_IN_PATH: &str = "/console/login";
/// The answer to an unknown id and to a wrong secret alike.
pub const NO_MATCH: &str = "there is no such access id, or the secret is not the one that belongs to it";

/// Name of the setting that holds the sealed signing key. Not the one of bearer tokens: neither can stand for the other.
const KEY_SETTING: &str = "session_signing_key";
/// No id, secret or token that we issue or accept is as long.
const LONGEST_FIELD: usize = 512;
/// Sessions that were ended before their time and are remembered until then.
const ENDED: usize = 10_000;

/// The sessions of this installation. Cheap to clone; clones share everything.
#[derive(Clone)]
pub struct Sessions(Arc<Inner>);

struct Inner {
    key: Secret,
    attempts: Attempts,
    /// Session id and the second at which it would have ended by itself. It is kept in memory: after a restart a cookie
    /// that somebody copied before its owner signed out works again until its time is over.
    ended: Mutex<HashMap<String, i64>>,
}

/// What a person gives to sign in.
#[derive(Clone, Copy)]
pub struct SignIn<'a> {
    pub access_id: &'a str,
    pub secret: &'a str,
    /// The token of a temporary key; empty for others.
    pub sts_token: &'a str,
}

/// A session that has just begun.
pub struct NewSession {
    token: String,
}

/// What a cookie says beside the access id and its end.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Scope {
    session: String,
    /// When the key was made: a later key of the same id is another one.
    key_created_ms: i64,
}

impl Sessions {
    /// Reads the signing key, or makes it; processes that share a database share it.
    pub(crate) async fn open(meta: &Meta, secrets: &Secrets) -> Result<Self> {
        let key = signing_key(meta, secrets, KEY_SETTING).await?;
        Ok(Self(Arc::new(Inner { key, attempts: Attempts::default(), ended: Mutex::default() })))
    }

    fn issue(&self, key: &AccessKey, now_ms: i64) -> Result<NewSession> {
        let scope = Scope { session: id::random_text(24), key_created_ms: key.created_ms };
        let scope =
            serde_json::to_string(&scope).map_err(|e| Error::internal("a session is not JSON").with_source(e))?;
        let longest = now_ms.saturating_add(LONGEST_MS);
        let end_ms = key.expires_ms.map_or(longest, |end| end.min(longest));
        let token = bearer::issue(self.0.key.as_bytes(), &key.access_id, &scope, end_ms / 1000)?;
        Ok(NewSession { token })
    }

    /// The access id, what else the cookie says and its last second; an error once it has ended.
    fn verify(&self, token: &str) -> Result<(String, Scope, i64)> {
        let token = bearer::verify(self.0.key.as_bytes(), token, clock::now_ms() / 1000).map_err(|_| over())?;
        let scope: Scope = serde_json::from_str(&token.scope).map_err(|_| over())?;
        if self.0.ended.lock().contains_key(&scope.session) {
            return Err(over());
        }
        Ok((token.id, scope, token.expiry))
    }

    fn end(&self, token: &str) {
        let Ok((_, scope, expiry)) = self.verify(token) else { return };
        let now = clock::now_ms() / 1000;
        let mut ended = self.0.ended.lock();
        if ended.len() >= ENDED {
            ended.retain(|_, end| *end > now);
        }
        if ended.len() >= ENDED
            && let Some(next) = ended.iter().min_by_key(|(_, end)| **end).map(|(id, _)| id.clone())
        {
            ended.remove(&next);
        }
        ended.insert(scope.session, expiry);
    }
}

/// Begins a session for whoever knows the secret of an access key.
///
/// `Unauthorized` when id and secret do not belong together, and, to those who know the secret, when the key is disabled,
/// expired, or is temporary and its token is not given; `FlowExceeded` after too many failures with one id; `NoPermission`
/// when the account is disabled.
pub async fn sign_in(state: &AppState, given: SignIn<'_>) -> Result<NewSession> {
    let (access_id, secret, sts_token) = (given.access_id.trim(), given.secret.trim(), given.sts_token.trim());
    if [access_id, secret, sts_token].iter().any(|text| text.len() > LONGEST_FIELD) {
        return Err(unauthorized(NO_MATCH));
    }
    let now = clock::now_ms();
    let Inner { attempts, .. } = &*state.sessions.0;
    attempts.begin(access_id, now)?;
    let key = state.meta.key(access_id).await?;
    let stored = match &key {
        Some(key) => state.secrets.open(&key.access_id, &key.sealed_secret)?,
        // So that the answer to an unknown id takes as long.
        None => Secret::new("the secret of nobody"),
    };
    let fits = same(stored.as_bytes(), secret.as_bytes());
    let Some(key) = key.filter(|_| fits) else {
        tracing::info!("a sign-in failed");
        return Err(unauthorized(NO_MATCH));
    };
    check_key(&key, sts_token, now)?;
    let caller = caller_of(state, &key.account_id).await?;
    attempts.succeeded(access_id);
    tracing::info!(access_id = key.access_id, account = caller.name, "signed in");
    state.sessions.issue(&key, now)
}

/// Ends the session that these headers carry, if they carry one.
pub fn sign_out(state: &AppState, origin: &Origin, headers: &HeaderMap) {
    if let Ok(Some(token)) = cookies::session(origin, headers) {
        state.sessions.end(token);
    }
}

/// Whose session the cookie of a request is. `Unauthorized` without a cookie, with one that was not issued here or has
/// ended, and when its key does not work any more.
pub(crate) async fn identify(state: &AppState, origin: &Origin, headers: &HeaderMap) -> Result<Identity> {
    let token = cookies::session(origin, headers)?.ok_or_else(missing_credentials)?;
    let (access_id, scope, _) = state.sessions.verify(token)?;
    let now = clock::now_ms();
    let works = |key: &AccessKey| {
        key.enabled && key.created_ms == scope.key_created_ms && key.expires_ms.is_none_or(|end| end > now)
    };
    let key = state.meta.key(&access_id).await?.filter(works).ok_or_else(over)?;
    Ok(Identity::Account(caller_of(state, &key.account_id).await?))
}

/// The access id of the session that these headers carry; `None` without one that works.
pub fn access_id(state: &AppState, origin: &Origin, headers: &HeaderMap) -> Option<String> {
    let token = cookies::session(origin, headers).ok()??;
    state.sessions.verify(token).ok().map(|(access_id, ..)| access_id)
}

/// What only the holder of the secret may learn.
fn check_key(key: &AccessKey, sts_token: &str, now: i64) -> Result<()> {
    if !key.enabled {
        return Err(unauthorized(format!("access key '{}' is disabled", key.access_id)));
    }
    match (key.sts_token_sha256.is_some(), sts_token.is_empty()) {
        (true, true) => return Err(unauthorized("this key is temporary: its security token is needed too")),
        (true, false) if !is_token_of(key, sts_token) => {
            return Err(unauthorized("the security token is not the one of this key"));
        }
        (false, false) => return Err(unauthorized("this key is not temporary: leave the security token empty")),
        _ => {}
    }
    match key.expires_ms {
        Some(end) if end <= now => Err(unauthorized("this temporary key has ended; make another one")),
        _ => Ok(()),
    }
}

/// Compares secrets in a time that does not depend on where they differ, nor on their lengths.
fn same(a: &[u8], b: &[u8]) -> bool {
    Sha256::digest(a).as_slice().ct_eq(Sha256::digest(b).as_slice()).into()
}

fn over() -> Error {
    unauthorized("the session has ended; sign in again")
}

fn unauthorized(message: impl Into<String>) -> Error {
    Error::new(Kind::Denied, "Unauthorized", message)
}
