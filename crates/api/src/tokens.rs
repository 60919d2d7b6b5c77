//! Bearer tokens: signed by this installation, bound to an account, a project and a policy.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use feitian_base::{Error, Kind, Result, clock, id};
use feitian_meta::{Meta, Policy};
use feitian_wire::bearer;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::identity::Grant;
use crate::secrets::{Secret, Secrets};

/// Name of the setting that holds the sealed signing key. Processes that share a database share it.
const KEY_SETTING: &str = "bearer_signing_key";

/// The longest life of a token: 30 days, the default of PyODPS' `options.logview_hours`.
pub const LONGEST_HOURS: f64 = 720.0;

/// Issues and checks bearer tokens.
#[derive(Clone)]
pub struct Tokens(Arc<Secret>);

/// What a token says beside its account and its end.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Scope {
    project: String,
    policy: Value,
}

/// The signing key that lies sealed in `setting`; made when it is not there yet. Of several processes that do so at once
/// one wins.
pub(crate) async fn signing_key(meta: &Meta, secrets: &Secrets, setting: &str) -> Result<Secret> {
    let fresh = secrets.seal(setting, &id::random_bytes::<32>());
    let stored = meta.put_setting_if_absent(setting, &STANDARD.encode(fresh)).await?;
    let sealed = STANDARD
        .decode(stored)
        .map_err(|_| Error::new(Kind::Corrupt, "InternalServerError", "the stored signing key is not Base64"))?;
    secrets.open(setting, &sealed)
}

impl Tokens {
    /// Reads the signing key, or makes it; of several processes that do so at once one wins.
    pub async fn open(meta: &Meta, secrets: &Secrets) -> Result<Self> {
        Ok(Self(Arc::new(signing_key(meta, secrets, KEY_SETTING).await?)))
    }

    /// A token for `account_id` in `project` under `policy`, good for `hours`.
    pub fn issue(&self, account_id: &str, project: &str, policy: Value, hours: f64) -> Result<String> {
        Policy::parse(&policy)?;
        if !(hours > 0.0 && hours <= LONGEST_HOURS) {
            let message = format!("expires_in_hours must be more than 0 and at most {LONGEST_HOURS}, not {hours}");
            return Err(Error::new(Kind::Invalid, "InvalidParameter", message));
        }
        let scope = serde_json::to_string(&Scope { project: project.to_string(), policy })
            .map_err(|e| Error::internal("a policy is not JSON").with_source(e))?;
        let expiry = clock::now_ms() / 1000 + (hours * 3600.0).ceil() as i64;
        bearer::issue(self.0.as_bytes(), account_id, &scope, expiry)
    }

    /// The account id and what the token grants. `Unauthorized` for a token that is not ours,
    /// `AuthenticationRequestExpired` for one whose time has passed.
    pub fn verify(&self, token: &str) -> Result<(String, Grant)> {
        let token = bearer::verify(self.0.as_bytes(), token, clock::now_ms() / 1000)?;
        let broken = || Error::new(Kind::Denied, "Unauthorized", "the bearer token has a scope of another version");
        let scope: Scope = serde_json::from_str(&token.scope).map_err(|_| broken())?;
        let policy = Policy::parse(&scope.policy).map_err(|_| broken())?;
        Ok((token.id, Grant { project: scope.project, policy }))
    }
}
