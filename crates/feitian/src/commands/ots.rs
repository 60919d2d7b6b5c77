//! `feitian ots`: create, list and delete instances of the table store, and show or export what they hold.

use std::io::Write;

use feitian_api::admin::types::{CreateOtsInstance, Done, OtsInstanceList, OtsInstanceView, OtsTableList};

use super::{confirm, item, ots_export};
use crate::cli::{ClientArgs, OtsArgs, OtsInstanceVerb, OtsVerb};
use crate::client::{Client, admin_path};
use crate::failure::{Answer, Result};
use crate::output::{self, Field, Shown, field};

const FIELDS: [Field; 3] = [
    field("name", "NAME", Shown::Text),
    field("account", "ACCOUNT", Shown::Text),
    field("created_ms", "CREATED", Shown::Time),
];

const TABLE_FIELDS: [Field; 6] = [
    field("table", "TABLE", Shown::Text),
    field("index", "INDEX", Shown::Text),
    field("state", "STATE", Shown::Text),
    field("bytes", "BYTES", Shown::Number),
    field("read_units", "READ UNITS", Shown::Number),
    field("write_units", "WRITE UNITS", Shown::Number),
];

pub(crate) fn run(args: &OtsArgs, out: &mut dyn Write) -> Result<Answer> {
    match &args.verb {
        OtsVerb::Instance { verb } => instance(verb, &args.client, out),
        OtsVerb::Export(export) => ots_export::run(export, &args.client, out),
    }
}

fn instance(verb: &OtsInstanceVerb, args: &ClientArgs, out: &mut dyn Write) -> Result<Answer> {
    let format = args.format();
    let client = Client::connect(args)?;
    match verb {
        OtsInstanceVerb::Create { name, account } => {
            let body = CreateOtsInstance { name: name.clone(), account: account.clone() };
            let instance: OtsInstanceView = client.post(&admin_path(["ots", "instances"]), &body)?;
            output::object(out, format, &FIELDS, &item(&instance))
        }
        OtsInstanceVerb::List => {
            let list: OtsInstanceList = client.get(&admin_path(["ots", "instances"]), &[])?;
            output::list(out, format, &FIELDS, &list.instances.iter().map(item).collect::<Vec<_>>())
        }
        OtsInstanceVerb::Tables { name } => {
            let list: OtsTableList = client.get(&admin_path(["ots", "instances", name, "tables"]), &[])?;
            output::list(out, format, &TABLE_FIELDS, &list.tables.iter().map(item).collect::<Vec<_>>())
        }
        OtsInstanceVerb::Delete { name, confirm } => {
            confirm::ask(&format!("delete instance {name} of the table store"), *confirm)?;
            let Done {} = client.delete(&admin_path(["ots", "instances", name]))?;
            eprintln!("instance {name} is gone");
            Ok(())
        }
    }?;
    Ok(Answer::Done)
}
