//! `feitian account`: create, list, lock out and let in.

use std::io::Write;

use feitian_api::admin::types::{AccountList, AccountView, CreateAccount};

use super::confirm;
use super::item;
use crate::cli::{AccountArgs, AccountVerb};
use crate::client::{Client, admin_path};
use crate::failure::{Answer, Result};
use crate::output::{self, Field, Format, Shown, field};

/// The fields of an account, in every form of output.
pub(crate) const FIELDS: [Field; 5] = [
    field("name", "NAME", Shown::Text),
    field("id", "ID", Shown::Text),
    field("enabled", "ENABLED", Shown::YesNo),
    field("admin", "ADMIN", Shown::YesNo),
    field("created_ms", "CREATED", Shown::Time),
];

pub(crate) fn run(args: &AccountArgs, out: &mut dyn Write) -> Result<Answer> {
    let format = args.client.format();
    let client = Client::connect(&args.client)?;
    match &args.verb {
        AccountVerb::Create { name, admin } => {
            let body = CreateAccount { name: name.clone(), admin: *admin };
            show(out, format, client.post(&admin_path(["accounts"]), &body)?)
        }
        AccountVerb::List => {
            let list: AccountList = client.get(&admin_path(["accounts"]), &[])?;
            output::list(out, format, &FIELDS, &list.accounts.iter().map(item).collect::<Vec<_>>())
        }
        AccountVerb::Disable { name, confirm } => {
            confirm::ask(&format!("disable account {name} and all of its keys"), *confirm)?;
            show(out, format, client.post(&admin_path(["accounts", name, "disable"]), &serde_json::json!({}))?)
        }
        AccountVerb::Enable { name } => {
            show(out, format, client.post(&admin_path(["accounts", name, "enable"]), &serde_json::json!({}))?)
        }
    }?;
    Ok(Answer::Done)
}

fn show(out: &mut dyn Write, format: Format, account: AccountView) -> Result<()> {
    output::object(out, format, &FIELDS, &item(&account))
}
