//! `feitian key`: create, list and withdraw access keys.

use std::io::Write;

use feitian_api::admin::types::{CreateKey, Done, KeyList, KeyView, NewKey};
use serde_json::Value;

use super::confirm;
use super::item;
use crate::cli::{KeyArgs, KeyVerb};
use crate::client::{Client, admin_path};
use crate::failure::{Answer, Failure, Result};
use crate::output::{self, Field, Format, Shown, field};

const FIELDS: [Field; 5] = [
    field("access_id", "ACCESS ID", Shown::Text),
    field("account_id", "ACCOUNT ID", Shown::Text),
    field("enabled", "ENABLED", Shown::YesNo),
    field("expires_ms", "EXPIRES", Shown::Time),
    field("created_ms", "CREATED", Shown::Time),
];

const NEW_FIELDS: [Field; 5] = [
    field("access_id", "ACCESS ID", Shown::Text),
    field("secret", "SECRET", Shown::Text),
    field("sts_token", "STS TOKEN", Shown::Text),
    field("account_id", "ACCOUNT ID", Shown::Text),
    field("expires_ms", "EXPIRES", Shown::Time),
];

pub(crate) fn run(args: &KeyArgs, out: &mut dyn Write) -> Result<Answer> {
    let format = args.client.format();
    let client = Client::connect(&args.client)?;
    let nothing = serde_json::json!({});
    match &args.verb {
        KeyVerb::Create { account, sts } => {
            let sts_ttl_seconds = match sts {
                Some(ttl) if ttl.as_secs() == 0 => return Err(Failure::new("--sts must be at least 1s")),
                Some(ttl) => Some(i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX)),
                None => None,
            };
            let body = CreateKey { account: account.clone(), sts_ttl_seconds, access_id: None, secret: None };
            show_new(out, format, client.post(&admin_path(["keys"]), &body)?)
        }
        KeyVerb::List { account } => {
            let query: Vec<_> = account.iter().map(|name| ("account", name.clone())).collect();
            let list: KeyList = client.get(&admin_path(["keys"]), &query)?;
            output::list(out, format, &FIELDS, &list.keys.iter().map(item).collect::<Vec<_>>())
        }
        KeyVerb::Disable { access_id, confirm } => {
            confirm::ask(&format!("disable access key {access_id}"), *confirm)?;
            show(out, format, client.post(&admin_path(["keys", access_id, "disable"]), &nothing)?)
        }
        KeyVerb::Enable { access_id } => {
            show(out, format, client.post(&admin_path(["keys", access_id, "enable"]), &nothing)?)
        }
        KeyVerb::Delete { access_id, confirm } => {
            confirm::ask(&format!("delete access key {access_id} for ever"), *confirm)?;
            let Done {} = client.delete(&admin_path(["keys", access_id]))?;
            eprintln!("access key {access_id} is gone");
            Ok(())
        }
    }?;
    Ok(Answer::Done)
}

fn show(out: &mut dyn Write, format: Format, key: KeyView) -> Result<()> {
    output::object(out, format, &FIELDS, &item(&key))
}

fn show_new(out: &mut dyn Write, format: Format, new: NewKey) -> Result<()> {
    let mut fields = item(&new.key);
    fields.insert("secret".to_string(), Value::String(new.secret));
    fields.insert("sts_token".to_string(), new.sts_token.map_or(Value::Null, Value::String));
    output::object(out, format, &NEW_FIELDS, &fields)?;
    eprintln!("the secret is shown this once; keep it in a safe place");
    Ok(())
}
