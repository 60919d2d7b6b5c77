//! Making access keys and checking the tokens of temporary ones.

use feitian_base::{Error, Kind, Result, clock, id};
use feitian_meta::Meta;
use feitian_meta::rows::AccessKey;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::secrets::{Secret, Secrets};

/// A key that was just made, with its secret in clear.
#[derive(Debug)]
pub struct IssuedKey {
    pub row: AccessKey,
    pub secret: Secret,
    /// Goes into the header `authorization-sts-token`; temporary keys only.
    pub sts_token: Option<Secret>,
}

/// An access id and a secret that the client chose.
pub struct ChosenKey {
    pub access_id: String,
    pub secret: Secret,
}

/// Makes a key for an account and stores it; it is durable when this returns.
///
/// `ttl_ms` makes it a temporary key. With `chosen`, a second call with the same values returns the same key, and one
/// with other values is `ObjectAlreadyExists`.
pub async fn issue_key(
    meta: &Meta,
    secrets: &Secrets,
    account_id: &str,
    ttl_ms: Option<i64>,
    chosen: Option<ChosenKey>,
) -> Result<IssuedKey> {
    let now = clock::now_ms();
    let repeatable = chosen.is_some();
    let (access_id, secret) = match chosen {
        Some(key) => (key.access_id, key.secret),
        None => {
            let kind = if ttl_ms.is_some() { "STS." } else { "FT" };
            (format!("{kind}{}", id::random_text(20)), Secret::new(id::random_text(32)))
        }
    };
    let sts_token = ttl_ms.map(|_| id::random_text(48));
    let row = AccessKey {
        sealed_secret: secrets.seal(&access_id, secret.as_bytes()),
        access_id,
        account_id: account_id.to_string(),
        enabled: true,
        expires_ms: ttl_ms.map(|ttl| now.saturating_add(ttl)),
        sts_token_sha256: sts_token.as_deref().map(sha256_hex),
        created_ms: now,
    };
    match meta.create_key(&row).await {
        Ok(()) => Ok(IssuedKey { row, secret, sts_token: sts_token.map(Secret::new) }),
        Err(e) if repeatable && e.kind() == Kind::Conflict => repeated(meta, secrets, row, secret).await.map_err(|_| e),
        Err(e) => Err(e),
    }
}

/// The stored key when it is the one that was asked for.
async fn repeated(meta: &Meta, secrets: &Secrets, wanted: AccessKey, secret: Secret) -> Result<IssuedKey> {
    let differs = || Error::new(Kind::Conflict, "ObjectAlreadyExists", "another key has this access id");
    let row = meta.key(&wanted.access_id).await?.ok_or_else(differs)?;
    let stored = secrets.open(&row.access_id, &row.sealed_secret)?;
    let same = stored.as_bytes().ct_eq(secret.as_bytes()).into();
    if same && row.account_id == wanted.account_id && row.expires_ms.is_none() && wanted.expires_ms.is_none() {
        Ok(IssuedKey { row, secret, sts_token: None })
    } else {
        Err(differs())
    }
}

/// True when `token` is the one that belongs to a temporary key.
pub fn is_token_of(key: &AccessKey, token: &str) -> bool {
    let given = sha256_hex(token);
    key.sts_token_sha256.as_deref().is_some_and(|want| want.as_bytes().ct_eq(given.as_bytes()).into())
}

fn sha256_hex(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|b| format!("{b:02x}")).collect()
}
