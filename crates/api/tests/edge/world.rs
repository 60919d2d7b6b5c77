//! A server with accounts, keys and a project, as the tests need it.

use std::sync::Arc;

use axum::Router;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use feitian_api::keys::{ChosenKey, issue_key};
use feitian_api::secrets::{Secret, Secrets};
use feitian_api::{AppState, Settings, router};
use feitian_base::{Tasks, clock};
use feitian_meta::Meta;
use feitian_meta::rows::{Account, Project};

use crate::client::{Client, Credentials, key, sha256_hmac};
use crate::fake::Fake;

/// Project `p` belongs to account `ALIYUN$demo` (key `demokey1`). Account `ALIYUN$other` (key `otherkey`) owns `q`.
/// Account `ALIYUN$root` (key `rootkey1`) is the administrator. Every secret is `secret-of-<access id>`.
pub struct World {
    pub state: AppState,
    pub router: Router,
    pub fake: Arc<Fake>,
    pub tasks: Tasks,
    _dir: tempfile::TempDir,
}

pub fn secret(access_id: &str) -> String {
    format!("secret-of-{access_id}")
}

impl World {
    pub async fn new() -> Self {
        Self::with(Settings::default()).await
    }

    pub async fn with(settings: Settings) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let meta = Meta::open(&format!("sqlite://{}/meta.db", dir.path().display())).await.unwrap();
        let secrets = Secrets::new(&[42; 32]);
        for (id, admin, access_id) in
            [("demo", false, "demokey1"), ("other", false, "otherkey"), ("root", true, "rootkey1")]
        {
            let account = Account {
                id: id.into(),
                name: format!("ALIYUN${id}"),
                enabled: true,
                admin,
                created_ms: clock::now_ms(),
            };
            meta.create_account(&account).await.unwrap();
            let chosen = ChosenKey { access_id: access_id.into(), secret: Secret::new(secret(access_id)) };
            issue_key(&meta, &secrets, id, None, Some(chosen)).await.unwrap();
        }
        for (name, owner) in [("p", "demo"), ("q", "other")] {
            let project = Project {
                name: name.into(),
                owner_id: owner.into(),
                owner_name: String::new(),
                comment: "the project".into(),
                properties: r#"{"odps.sql.type.system.odps2":"true"}"#.into(),
                created_ms: 1_704_067_200_000,
                modified_ms: 1_704_067_200_000,
            };
            meta.create_project(&project).await.unwrap();
        }
        let (fake, tasks) = (Fake::new(meta.clone()), Tasks::new());
        let state = AppState::open(fake.clone(), meta, secrets, settings, tasks.clone()).await.unwrap();
        Self { router: router(state.clone()), state, fake, tasks, _dir: dir }
    }

    pub fn client(&self, access_id: &str) -> Client {
        Client::new(&self.router, key(access_id, &secret(access_id)))
    }

    /// The owner of project `p`.
    pub fn demo(&self) -> Client {
        self.client("demokey1")
    }

    pub fn with_credentials(&self, credentials: Credentials) -> Client {
        Client::new(&self.router, credentials)
    }

    /// A bearer token of `ALIYUN$demo` for project `p`.
    pub async fn token(&self, policy: serde_json::Value) -> String {
        self.token_of("demokey1", "p", policy).await
    }

    /// A bearer token of the account of this key, for `project`.
    pub async fn token_of(&self, access_id: &str, project: &str, policy: serde_json::Value) -> String {
        let body = serde_json::json!({ "expires_in_hours": 1, "policy": policy }).to_string();
        let target = format!("/api/projects/{project}/authorization?sign_bearer_token");
        let reply = self.client(access_id).post(&target, body).await.ok();
        let text = reply.text();
        crate::client::between(&text, "<Result>", "</Result>").to_string()
    }

    /// The same token as this installation would have signed it with an end so many seconds from now.
    ///
    /// A token is the Base64 of `id,scope,expiry,signature` (PyODPS reads so much in `odps/accounts.py`); what stands
    /// before the signature is signed with the key that lies sealed among the settings.
    pub async fn ending_in(&self, token: &str, seconds: i64) -> String {
        const SETTING: &str = "bearer_signing_key";
        let sealed = self.state.meta.get_setting(SETTING).await.unwrap().unwrap();
        let key = self.state.secrets.open(SETTING, &STANDARD.decode(sealed).unwrap()).unwrap();
        let text = String::from_utf8(STANDARD.decode(token).unwrap()).unwrap();
        let parts: Vec<&str> = text.split(',').collect();
        let claims = format!("{},{},{}", parts[0], parts[1], clock::now_ms() / 1000 + seconds);
        let signature = URL_SAFE_NO_PAD.encode(sha256_hmac(key.as_bytes(), &claims));
        STANDARD.encode(format!("{claims},{signature}"))
    }
}
