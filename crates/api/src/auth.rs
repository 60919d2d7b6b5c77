//! Who sent a request: the one place that checks signatures, temporary keys and bearer tokens.

use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, DATE};
use axum::http::request::Parts;
use feitian_base::{Error, Kind, Result, clock};
use feitian_meta::rows::{AccessKey, Account};
use feitian_wire::sign::{Authorization, string_to_sign};

use crate::answers::{iso, parse_rfc822};
use crate::call::Call;
use crate::identity::{Identity, missing_credentials};
use crate::keys::is_token_of;
use crate::operations::Surface;
use crate::origin::Origin;
use crate::query::Query;
use crate::rights::denied;
use crate::secrets::Secret;
use crate::sessions;
use crate::state::AppState;
use crate::warehouse::Caller;

/// How far a request's `Date` may be from our clock.
const LONGEST_SKEW_MS: i64 = 15 * 60_000;
const DAY_MS: i64 = 86_400_000;

/// Proves who sent the request, or refuses it. Every request but those open to everyone passes here.
///
/// - no credentials, an unknown or disabled key, a wrong security token: `Unauthorized`, 401;
/// - a signature that does not fit: `SignatureNotMatch`, 403;
/// - a `Date` more than 15 minutes off: `RequestTimeTooSkewed`, 403;
/// - a temporary key or bearer token whose time has passed: `AuthenticationRequestExpired`, 401;
/// - a disabled account: `NoPermission`, 403.
///
/// Pages take a bearer token in their address, or the cookie of a session, which counts as a signature of its key.
pub async fn authenticate(
    state: &AppState,
    surface: Surface,
    origin: &Origin,
    parts: &Parts,
    query: &Query,
) -> Result<Identity> {
    if surface == Surface::Page {
        // `+` of Base64 arrives as a blank, because clients put the token into the address as it is.
        return match query.get("token") {
            Some(token) => by_token(state, &token.replace(' ', "+")).await,
            None => sessions::identify(state, origin, &parts.headers).await,
        };
    }
    let bearer = header(&parts.headers, "x-odps-bearer-token")?;
    match (header(&parts.headers, AUTHORIZATION.as_str())?, bearer) {
        (Some(_), Some(_)) => Err(unauthorized("send either a signature or a bearer token, not both")),
        (Some(text), None) => by_signature(state, surface, parts, text).await,
        (None, Some(token)) => by_token(state, token).await,
        (None, None) => Err(missing_credentials()),
    }
}

/// The value of a header that must not come twice: the signature covers one of them, another part might read the other.
fn header<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(unauthorized(format!("the header {name} comes twice")));
    }
    let text = value.to_str().map_err(|_| unauthorized(format!("the header {name} is not ASCII text")))?;
    Ok(Some(text).filter(|t| !t.is_empty()))
}

async fn by_token(state: &AppState, token: &str) -> Result<Identity> {
    let (account_id, grant) = state.tokens.verify(token)?;
    let caller = caller_of(state, &account_id).await?;
    // A token never has more than the project's own rights, whatever its account may do elsewhere.
    Ok(Identity::Token { caller: Caller { admin: false, ..caller }, grant })
}

async fn by_signature(state: &AppState, surface: Surface, parts: &Parts, text: &str) -> Result<Identity> {
    let authorization = Authorization::parse(text)?;
    let now = clock::now_ms();
    check_date(&parts.headers, &authorization, now)?;
    let (key, secret) = open_key(state, authorization.access_id()).await?;
    let target = signed_target(surface, parts);
    let headers = parts.headers.iter().filter_map(|(name, value)| Some((name.as_str(), value_text(value.as_bytes())?)));
    let covered = string_to_sign(parts.method.as_str(), target, headers);
    if !authorization.verify(secret.as_str()?, &covered) {
        return Err(signature_differs(&covered));
    }
    check_key(&parts.headers, &key, now)?;
    if let Some(application) = header(&parts.headers, "application-authentication")? {
        check_application(state, application, text, now).await?;
    }
    Ok(Identity::Account(caller_of(state, &key.account_id).await?))
}

fn value_text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

/// The request target relative to the endpoint, as it was sent: REST endpoints end in `/api`, the others in nothing.
fn signed_target(surface: Surface, parts: &Parts) -> &str {
    let target = parts.uri.path_and_query().map_or("/", |p| p.as_str());
    if surface != Surface::Rest {
        return target;
    }
    let end = target[1..].find(['/', '?']).map_or(target.len(), |at| at + 1);
    &target[end..]
}

async fn open_key(state: &AppState, access_id: &str) -> Result<(AccessKey, Secret)> {
    let unknown = || {
        unauthorized(
            "ODPS-0410051:Invalid credentials - accessKeyId not found; check the access id and the endpoint, each server \
             has its own keys",
        )
    };
    let key = state.meta.key(access_id).await?.ok_or_else(unknown)?;
    let secret = state.secrets.open(&key.access_id, &key.sealed_secret)?;
    Ok((key, secret))
}

/// Checks the clock of the client: the `Date` that the signature covers, and the day of a version 4 signature.
fn check_date(headers: &HeaderMap, authorization: &Authorization, now: i64) -> Result<()> {
    let text = header(headers, DATE.as_str())?.ok_or_else(|| unauthorized("the request has no Date header"))?;
    let date = parse_rfc822(text).map_err(|e| unauthorized(e.message()))?;
    if (now - date).abs() > LONGEST_SKEW_MS {
        return Err(skewed(date, now));
    }
    if let Authorization::V4 { date, .. } = authorization {
        let midnight = format!("{}-{}-{}T00:00:00Z", &date[..4], &date[4..6], &date[6..]);
        let day = chrono::DateTime::parse_from_rfc3339(&midnight)
            .map_err(|_| unauthorized("the date in the Authorization header is no day"))?
            .timestamp_millis();
        if !(day - LONGEST_SKEW_MS..day + DAY_MS + LONGEST_SKEW_MS).contains(&now) {
            return Err(skewed(day, now));
        }
    }
    Ok(())
}

/// Clients read the three values at the end (PyODPS `odps/errors.py`, `RequestTimeTooSkewed`).
fn skewed(date: i64, now: i64) -> Error {
    let message = format!(
        "ODPS-0410031:Authentication request expired - the clocks of client and server differ too much, \
         max_interval_date:{LONGEST_SKEW_MS},expire_date:{},now_date:{}",
        iso(date),
        iso(now)
    );
    Error::new(Kind::Denied, "RequestTimeTooSkewed", message)
}

/// The text that was signed holds no secret; showing it is how people find what their client does differently.
fn signature_differs(covered: &str) -> Error {
    let mut shown: String = covered.chars().filter(|c| !c.is_control() || *c == '\n').collect();
    shown.truncate(shown.floor_char_boundary(2000));
    let message =
        format!("the signature does not fit the secret of this key; check the secret and what was signed:\n{shown}");
    Error::new(Kind::Denied, "SignatureNotMatch", message)
}

/// Checks what only the holder of the secret may learn: that the key is disabled or expired.
fn check_key(headers: &HeaderMap, key: &AccessKey, now: i64) -> Result<()> {
    if !key.enabled {
        return Err(unauthorized(format!("access key '{}' is disabled", key.access_id)));
    }
    match (key.sts_token_sha256.is_some(), header(headers, "authorization-sts-token")?) {
        (true, None) => {
            return Err(unauthorized("a temporary key needs its token in the header authorization-sts-token"));
        }
        (true, Some(token)) if !is_token_of(key, token) => {
            return Err(unauthorized("the header authorization-sts-token is not the token of this key"));
        }
        (false, Some(_)) => {
            return Err(unauthorized("this is no temporary key: leave out the header authorization-sts-token"));
        }
        _ => {}
    }
    match key.expires_ms {
        Some(end) if end <= now => {
            let message = format!("the temporary key ended at {}", iso(end));
            Err(Error::new(Kind::Denied, "AuthenticationRequestExpired", message))
        }
        _ => Ok(()),
    }
}

/// A second key that vouches for the first: it must be known, working and right. It adds no rights.
async fn check_application(state: &AppState, text: &str, signed: &str, now: i64) -> Result<()> {
    let field = |name: &str| {
        text.split(',').find_map(|part| part.trim().strip_prefix(name).and_then(|rest| rest.strip_prefix(':')))
    };
    let (Some(access_id), Some(signature)) = (field("access_id"), field("signature")) else {
        return Err(unauthorized("the header application-authentication has no access_id or no signature"));
    };
    let (key, secret) = open_key(state, access_id).await?;
    let proof = Authorization::V2 { access_id: access_id.to_string(), signature: signature.to_string() };
    if !proof.verify(secret.as_str()?, signed) {
        let message = "the signature of application-authentication does not fit the secret of its key";
        return Err(Error::new(Kind::Denied, "SignatureNotMatch", message));
    }
    if !key.enabled || key.expires_ms.is_some_and(|end| end <= now) {
        return Err(unauthorized(format!("the application's access key '{access_id}' is disabled or expired")));
    }
    Ok(())
}

/// When the key ends that stands behind an authenticated request; `None` for one that lasts. Whatever the request makes that
/// may act in its account's name must not outlive it.
pub(crate) async fn key_end(call: &Call) -> Result<Option<i64>> {
    let access_id = match call.operation.surface {
        Surface::Page => sessions::access_id(&call.state, &call.origin, &call.headers),
        _ => match header(&call.headers, AUTHORIZATION.as_str())? {
            Some(text) => Some(Authorization::parse(text)?.access_id().to_string()),
            None => None,
        },
    };
    let key = match access_id {
        Some(access_id) => call.state.meta.key(&access_id).await?,
        None => None,
    };
    Ok(key.ok_or_else(|| unauthorized("the key of this request is gone"))?.expires_ms)
}

/// The account as a caller. `NoPermission` when it is disabled.
pub(crate) async fn caller_of(state: &AppState, account_id: &str) -> Result<Caller> {
    match state.meta.account(account_id).await? {
        Some(Account { id, name, admin, enabled: true, .. }) => Ok(Caller { account_id: id, name, admin }),
        Some(account) => Err(denied(format!("account '{}' is disabled; an administrator can enable it", account.name))),
        None => Err(unauthorized("the account of these credentials is gone")),
    }
}

fn unauthorized(message: impl Into<String>) -> Error {
    Error::new(Kind::Denied, "Unauthorized", message)
}
