//! Bearer tokens: Base64 of `id,scope,expiry,signature`, which clients read as far as the expiry.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use feitian_base::{Error, Kind, Result};
use subtle::ConstantTimeEq;

use crate::sign::hmac_sha256;

/// What a token says, once its signature has been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Who may use it.
    pub id: String,
    /// What for: free text of the issuer, for example a policy as JSON.
    pub scope: String,
    /// Seconds since 1970-01-01 UTC at which it ends.
    pub expiry: i64,
}

/// A token that [`verify`] accepts with the same `key` until `expiry` (seconds since 1970-01-01 UTC).
///
/// `id` must not hold a comma: [`Kind::Invalid`].
pub fn issue(key: &[u8], id: &str, scope: &str, expiry: i64) -> Result<String> {
    if id.is_empty() || id.contains(',') {
        return Err(Error::invalid(format!("'{id}' cannot own a token: it is empty or holds a comma")));
    }
    let claims = format!("{id},{},{expiry}", URL_SAFE_NO_PAD.encode(scope));
    let signature = URL_SAFE_NO_PAD.encode(hmac_sha256(key, &claims));
    Ok(STANDARD.encode(format!("{claims},{signature}")))
}

/// Checks a token against `key` and the time `now` (seconds since 1970-01-01 UTC).
///
/// A token that is not ours is [`Kind::Denied`] with code `Unauthorized`; one whose time has passed has code
/// `AuthenticationRequestExpired`, upon which clients ask for a new one.
pub fn verify(key: &[u8], token: &str, now: i64) -> Result<Token> {
    parse(key, token)
        .ok_or_else(|| Error::new(Kind::Denied, "Unauthorized", "the bearer token was not issued here"))
        .and_then(|token| {
            if token.expiry > now {
                return Ok(token);
            }
            let message = format!("the bearer token ended at {} (seconds since 1970)", token.expiry);
            Err(Error::new(Kind::Denied, "AuthenticationRequestExpired", message))
        })
}

fn parse(key: &[u8], token: &str) -> Option<Token> {
    let text = String::from_utf8(STANDARD.decode(token.trim()).ok()?).ok()?;
    let (claims, signature) = text.rsplit_once(',')?;
    let want = URL_SAFE_NO_PAD.encode(hmac_sha256(key, claims));
    if !bool::from(want.as_bytes().ct_eq(signature.as_bytes())) {
        return None;
    }
    let mut parts = claims.split(',');
    let (id, scope, expiry, None) = (parts.next()?, parts.next()?, parts.next()?, parts.next()) else { return None };
    let scope = String::from_utf8(URL_SAFE_NO_PAD.decode(scope).ok()?).ok()?;
    Some(Token { id: id.to_string(), scope, expiry: expiry.parse().ok()? })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const KEY: &[u8] = b"a key of the server";

    #[test]
    fn a_token_says_what_was_issued() {
        let scope = r#"{"Statement":[{"Action":["odps:*"],"Effect":"Allow"}]}"#;
        let token = issue(KEY, "demo", scope, 2000).unwrap();
        let got = verify(KEY, &token, 1999).unwrap();
        assert_eq!(got, Token { id: "demo".into(), scope: scope.into(), expiry: 2000 });
        // PyODPS (odps/accounts.py) reads item 2 of the decoded token as the expiry.
        let text = String::from_utf8(STANDARD.decode(&token).unwrap()).unwrap();
        assert_eq!(text.split(',').nth(2), Some("2000"));
    }

    #[test]
    fn foreign_changed_and_old_tokens_are_refused() {
        let token = issue(KEY, "demo", "all", 2000).unwrap();
        assert_eq!(verify(KEY, &token, 2000).unwrap_err().code(), "AuthenticationRequestExpired");
        assert_eq!(verify(b"another key", &token, 0).unwrap_err().code(), "Unauthorized");
        let text = String::from_utf8(STANDARD.decode(&token).unwrap()).unwrap();
        for changed in [text.replace("demo", "root"), text.replace("2000", "9000"), "a,b".into(), String::new()] {
            assert_eq!(verify(KEY, &STANDARD.encode(changed), 0).unwrap_err().code(), "Unauthorized");
        }
        assert_eq!(verify(KEY, "%%%", 0).unwrap_err().code(), "Unauthorized");
        assert!(issue(KEY, "a,b", "", 0).is_err());
    }
}
