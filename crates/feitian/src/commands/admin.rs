//! `feitian status` and `feitian collect`: the server as a whole.

use std::io::Write;

use feitian_api::admin::types::{Collect, Collected, ServerStatus, TaskList, WhoAmI};

use super::item;
use crate::cli::{CollectArgs, StatusArgs};
use crate::client::{Client, admin_path};
use crate::failure::{Answer, Result};
use crate::output::{self, Field, Shown, field};

const STATUS_FIELDS: [Field; 12] = [
    field("endpoint", "ENDPOINT", Shown::Text),
    field("version", "VERSION", Shown::Text),
    field("region", "REGION", Shown::Text),
    field("node", "NODE", Shown::Text),
    field("started_ms", "STARTED", Shown::Time),
    field("uptime_ms", "UPTIME", Shown::Duration),
    field("stopping", "STOPPING", Shown::YesNo),
    field("instances_running", "INSTANCES RUNNING", Shown::Number),
    field("instances_waiting", "INSTANCES WAITING", Shown::Number),
    field("streams", "STREAMS", Shown::Number),
    field("connections", "CONNECTIONS", Shown::Number),
    field("tasks", "TASKS", Shown::Pairs),
];

const COLLECT_FIELDS: [Field; 1] = [field("files", "FILES REMOVED", Shown::Number)];

pub(crate) fn status(args: &StatusArgs, out: &mut dyn Write) -> Result<Answer> {
    let client = Client::connect(&args.client)?;
    let status: ServerStatus = client.get(&admin_path(["status"]), &[])?;
    let me: WhoAmI = client.get(&admin_path(["whoami"]), &[])?;
    let mut fields = item(&status);
    fields.insert("endpoint".to_string(), format!("{}/api", client.base()).into());
    if me.account.admin {
        let list: TaskList = client.get(&admin_path(["tasks"]), &[])?;
        fields.extend(item(&list));
    }
    output::object(out, args.client.format(), &STATUS_FIELDS, &fields)?;
    Ok(Answer::Done)
}

pub(crate) fn collect(args: &CollectArgs, out: &mut dyn Write) -> Result<Answer> {
    let client = Client::connect(&args.client)?;
    let body = Collect { older_than_seconds: Some(args.older_than.as_secs()) };
    let done: Collected = client.post_long(&admin_path(["collect"]), &body)?;
    output::object(out, args.client.format(), &COLLECT_FIELDS, &item(&done))?;
    Ok(Answer::Done)
}
