//! What the first start creates: the master key, an account, its key, the project `demo`, and the instance `demo` of the
//! table store.
//!
//! Each step looks before it acts, so that a start which was cut between any two of them is completed by the next one:
//!
//! 1. the metadata database and the directory know each other;
//! 2. the master key file, and in the metadata a text sealed with it;
//! 3. `DATA/credentials`, before the key exists anywhere else: a secret that only the metadata knew would be lost;
//! 4. the account, the key, the project, the instance;
//! 5. the mark that all of this is done, after which nothing here is created again: a key that an operator deletes
//!    stays deleted.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use feitian_api::admin::default_properties;
use feitian_api::keys::{ChosenKey, issue_key};
use feitian_api::secrets::{Secret, Secrets};
use feitian_base::{Kind, clock, failpoint, id};
use feitian_meta::{Account, Meta, OtsInstance, Project};

use crate::credentials::{Credentials, is_open_to_others};
use crate::datadir::{DataDir, write_private};
use crate::failure::{Failure, Result};

/// The account of the first start.
pub const ACCOUNT: &str = "ALIYUN$demo";
/// The project of the first start.
pub const PROJECT: &str = "demo";
/// The instance of the table store of the first start.
pub const OTS_INSTANCE: &str = "demo";

const SETTING_DIRECTORY: &str = "data_directory";
const SETTING_MASTER_KEY: &str = "master_key_check";
const SETTING_DONE: &str = "first_start_done";

/// A directory that is ready to serve.
pub struct Ready {
    pub secrets: Secrets,
    /// What `DATA/credentials` holds; `None` when an operator has removed it.
    pub credentials: Option<Credentials>,
    /// True when this start completed the first one, so that the secret is shown.
    pub first: bool,
}

/// Where clients reach a server.
#[derive(Debug, Clone)]
pub struct Endpoints {
    /// `http://host:port/api`
    pub odps: String,
    /// `http://host:port`
    pub ots: String,
}

/// Brings directory and metadata to the state in which a server can run. `at` is where clients reach it.
pub async fn complete(dir: &DataDir, meta: &Meta, master_key: Option<&Path>, at: &Endpoints) -> Result<Ready> {
    let _starting = dir.starting()?;
    bind_directory(dir, meta).await?;
    let path = master_key.map_or_else(|| dir.root().join("master.key"), PathBuf::from);
    let secrets = open_secrets(&path, meta).await?;
    failpoint::hit("start.after_master_key");
    let first = meta.get_setting(SETTING_DONE).await?.is_none();
    let credentials =
        if first { Some(first_start(dir, meta, &secrets, at).await?) } else { follow_endpoint(dir.root(), at)? };
    Ok(Ready { secrets, credentials, first })
}

/// One directory holds the files of one metadata database; with another one every table would look empty or broken.
pub(crate) async fn bind_directory(dir: &DataDir, meta: &Meta) -> Result<()> {
    let known = meta.put_setting_if_absent(SETTING_DIRECTORY, dir.id()).await?;
    if known == dir.id() {
        return Ok(());
    }
    Err(Failure::new(format!(
        "the metadata database belongs to another data directory (id {known}) than {} (id {})",
        dir.root().display(),
        dir.id()
    ))
    .hint("check --data and --meta: one directory and one database are made for each other on their first start"))
}

async fn open_secrets(path: &Path, meta: &Meta) -> Result<Secrets> {
    let sealed = meta.get_setting(SETTING_MASTER_KEY).await?;
    let key = match read_master_key(path)? {
        Some(key) => key,
        None if sealed.is_some() => {
            return Err(Failure::new(format!("the master key file {} is missing", path.display()))
                .hint("restore it from a backup, or name it with --master-key; without it no access key can be read"));
        }
        None => {
            let key: [u8; 32] = id::random_bytes();
            write_private(path, format!("{}\n", STANDARD.encode(key)).as_bytes())?;
            failpoint::hit("start.after_master_key_file");
            key
        }
    };
    let secrets = Secrets::new(&key);
    let text = STANDARD.encode(secrets.seal(SETTING_MASTER_KEY, b"feitian"));
    let sealed = meta.put_setting_if_absent(SETTING_MASTER_KEY, &text).await?;
    let bytes = STANDARD.decode(&sealed).unwrap_or_default();
    secrets.open(SETTING_MASTER_KEY, &bytes).map_err(|_| {
        Failure::new(format!(
            "the master key in {} is not the one that sealed the secrets of this directory",
            path.display()
        ))
        .hint("restore the right file, or name it with --master-key")
    })?;
    Ok(secrets)
}

/// The key in the file at `path`; `None` when there is no file. A file that others may read is refused.
fn read_master_key(path: &Path) -> Result<Option<[u8; 32]>> {
    let failed = |e| Failure::from(e).context(format!("read the master key {}", path.display()));
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(failed(e)),
    };
    if is_open_to_others(path).map_err(failed)? {
        return Err(Failure::new(format!(
            "the master key {} can be used by other users than its owner",
            path.display()
        ))
        .hint(format!("run: chmod 600 {}", path.display())));
    }
    let key = STANDARD.decode(text.trim()).ok().and_then(|bytes| bytes.try_into().ok());
    key.map(Some).ok_or_else(|| {
        Failure::new(format!("the master key {} is not 32 bytes in base64", path.display()))
            .hint("make one with: head -c 32 /dev/urandom | base64, or restore it from a backup")
    })
}

async fn first_start(dir: &DataDir, meta: &Meta, secrets: &Secrets, at: &Endpoints) -> Result<Credentials> {
    let credentials = match follow_endpoint(dir.root(), at)? {
        Some(credentials) => credentials,
        None => {
            let credentials = Credentials {
                endpoint: at.odps.clone(),
                ots_endpoint: Some(at.ots.clone()),
                project: PROJECT.to_string(),
                access_id: format!("FT{}", id::random_text(20)),
                secret: id::random_text(32),
            };
            credentials.write(dir.root())?;
            credentials
        }
    };
    failpoint::hit("start.after_credentials");
    let now = clock::tick_ms();
    let account = match meta.account_by_name(ACCOUNT).await? {
        Some(account) => account,
        None => {
            let account =
                Account { id: id::ulid(), name: ACCOUNT.to_string(), enabled: true, admin: true, created_ms: now };
            meta.create_account(&account).await?;
            account
        }
    };
    failpoint::hit("start.after_account");
    let chosen =
        ChosenKey { access_id: credentials.access_id.clone(), secret: Secret::new(credentials.secret.as_bytes()) };
    issue_key(meta, secrets, &account.id, None, Some(chosen)).await?;
    failpoint::hit("start.after_key");
    unless_there(
        meta.create_project(&Project {
            name: PROJECT.to_string(),
            owner_id: account.id.clone(),
            owner_name: account.name.clone(),
            comment: String::new(),
            properties: default_properties(),
            created_ms: now,
            modified_ms: now,
        })
        .await,
    )?;
    failpoint::hit("start.after_project");
    unless_there(
        meta.create_ots_instance(&OtsInstance {
            id: id::ulid(),
            name: OTS_INSTANCE.to_string(),
            account_id: account.id,
            account_name: account.name,
            created_ms: now,
        })
        .await,
    )?;
    failpoint::hit("start.after_instance");
    meta.put_setting_if_absent(SETTING_DONE, "1").await?;
    failpoint::hit("start.after_done");
    Ok(credentials)
}

/// An earlier start that was cut has created it already.
fn unless_there(created: feitian_base::Result<()>) -> Result<()> {
    match created {
        Err(e) if e.kind() != Kind::Conflict => Err(e.into()),
        _ => Ok(()),
    }
}

/// The credentials file, whose endpoints are where the server listens this time.
fn follow_endpoint(root: &Path, at: &Endpoints) -> Result<Option<Credentials>> {
    let Some(mut credentials) = Credentials::read(root)? else { return Ok(None) };
    if credentials.endpoint != at.odps || credentials.ots_endpoint.as_ref() != Some(&at.ots) {
        credentials.endpoint = at.odps.clone();
        credentials.ots_endpoint = Some(at.ots.clone());
        // A full disk must not keep a server down that could still answer reads.
        if let Err(e) = credentials.write(root) {
            tracing::warn!(error = e.message(), "the credentials file keeps its old endpoints");
        }
    }
    Ok(Some(credentials))
}
