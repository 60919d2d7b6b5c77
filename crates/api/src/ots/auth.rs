//! Who sent a request to the table store: its key, signature, clock and body, and whose the instance is.

use axum::http::HeaderMap;
use feitian_base::{Result, clock};
use feitian_meta::{OtsCaller, OtsInstance};
use feitian_wire::ots::errors;
use feitian_wire::ots::sign::{Authorization, sign_response, string_to_sign};

use super::store::instance_name;
use crate::keys::is_token_of;
use crate::secrets::Secret;
use crate::state::AppState;

/// Headers that change what the body is. Only the Java client has them, and only when it is told to.
const COMPRESSION: &str = "x-ots-request-compress-type";

/// A request that proved who sent it.
pub(super) struct Who {
    pub caller: OtsCaller,
    pub signer: Signer,
    authorization: Authorization,
}

/// Signs the answer, so that the client knows whose it is.
pub(super) struct Signer {
    access_id: String,
    key: Secret,
}

/// Proves who sent the request, or refuses it:
///
/// - a header that is missing, comes twice or is no text: `OTSParameterInvalid`, 400;
/// - a clock that is off, an unknown or disabled key or account, a signature that does not fit: `OTSAuthFailed`, 403.
///
/// That a key is disabled is told only to whoever has its secret.
pub(super) async fn authenticate(state: &AppState, headers: &HeaderMap, operation: &str) -> Result<Who> {
    let said = signed_headers(headers)?;
    if headers.contains_key(COMPRESSION) {
        let words = format!("Compressed bodies are not supported: leave the header '{COMPRESSION}' out.");
        return Err(errors::parameter_invalid(words));
    }
    let authorization = Authorization::of_headers(said.iter().copied())?;
    let now = clock::now_ms();
    authorization.check_date(now)?;
    // What is no name asks for an instance that there is not; it is refused once the signature is known to be right.
    let instance = instance_name(&authorization.instance).unwrap_or_default();
    let caller = state.meta.ots_caller(&authorization.access_id, &instance).await?;
    let caller = caller.ok_or_else(errors::access_key_unknown)?;
    let secret = state.secrets.open(&caller.key.access_id, &caller.key.sealed_secret)?;
    if !authorization.verify(secret.as_str()?, &string_to_sign(operation, said.iter().copied())) {
        return Err(errors::signature_mismatch());
    }
    check_key(&caller, &authorization, now)?;
    let key = Secret::new(authorization.response_key(secret.as_str()?));
    let signer = Signer { access_id: authorization.access_id.clone(), key };
    Ok(Who { caller, signer, authorization })
}

/// Every header that can be signed. One that comes twice is refused: the signature covers both, and we would read one.
fn signed_headers(headers: &HeaderMap) -> Result<Vec<(&str, &str)>> {
    let mut said: Vec<(&str, &str)> = Vec::new();
    for (name, value) in headers.iter().filter(|(name, _)| name.as_str().starts_with("x-ots-")) {
        let name = name.as_str();
        let text = std::str::from_utf8(value.as_bytes());
        let text = text.map_err(|_| errors::parameter_invalid(format!("The header '{name}' is no text.")))?;
        if said.iter().any(|(before, _)| *before == name) {
            return Err(errors::parameter_invalid(format!("Duplicated header: '{name}'.")));
        }
        said.push((name, text));
    }
    Ok(said)
}

/// Checks what only the holder of the secret may learn: that the key or its account is disabled or at its end.
fn check_key(caller: &OtsCaller, authorization: &Authorization, now: i64) -> Result<()> {
    let key = &caller.key;
    if !key.enabled || !caller.account.enabled {
        return Err(errors::access_key_disabled());
    }
    match (key.sts_token_sha256.is_some(), authorization.token.as_deref()) {
        (true, Some(token)) if is_token_of(key, token) => {}
        (false, None) => {}
        (true, None) => {
            return Err(errors::auth_failed("A temporary key needs its token in the header 'x-ots-ststoken'."));
        }
        (true, Some(_)) => return Err(errors::auth_failed("The token in 'x-ots-ststoken' is not that of the key.")),
        (false, Some(_)) => {
            return Err(errors::auth_failed("This is no temporary key: leave the header 'x-ots-ststoken' out."));
        }
    }
    match key.expires_ms {
        Some(end) if end <= now => Err(errors::auth_failed("The temporary key has ended; get a new one.")),
        _ => Ok(()),
    }
}

impl Who {
    /// The instance that the request names, which must be the caller's. One of somebody else's is as one that is not there:
    /// nobody learns who has which names.
    pub(super) fn instance(&self) -> Result<&OtsInstance> {
        let name = &self.authorization.instance;
        if instance_name(name).is_none() {
            return Err(errors::parameter_invalid(format!("Invalid instance name: '{}'.", name.escape_debug())));
        }
        let own = self.caller.instance.as_ref().filter(|instance| instance.account_id == self.caller.account.id);
        own.ok_or_else(errors::instance_not_found)
    }

    /// Refuses a body that is not the one that was signed.
    pub(super) fn check_body(&self, body: &[u8]) -> Result<()> {
        self.authorization.check_body(body)
    }
}

impl Signer {
    /// The `Authorization` header of an answer with these headers.
    pub(super) fn sign(&self, operation: &str, headers: &[(&'static str, &str)]) -> Result<String> {
        Ok(sign_response(&self.access_id, self.key.as_str()?, operation, headers.iter().copied()))
    }
}
