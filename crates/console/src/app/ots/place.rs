//! Where in the table store a page is, what is around it, and the page of a process that has no table store open.

use askama::Template;
use feitian_api::admin::types::OtsKeyPart;
use feitian_api::refusal::status;
use feitian_api::{Answer, Call, admin};
use feitian_base::{Error, Result};

use super::key;
use crate::app::shell::Shell;
use crate::app::words;
use crate::hints::{feitian, get, segment};
use crate::show;

/// The instance and the table that the address of a page names.
pub(super) struct Place {
    pub ots: String,
    /// Empty on the page of an instance.
    pub table: String,
}

/// A link to a page around this one.
pub(super) struct Link {
    pub address: String,
    pub text: String,
}

impl Place {
    pub(super) fn of(call: &Call) -> Self {
        let table = call.path.get("ots_table").unwrap_or_default();
        Self { ots: call.segment("ots").to_string(), table: table.to_string() }
    }

    pub(super) fn instance(&self, shell: &Shell) -> String {
        shell.at(&format!("/ots/{}", segment(&self.ots)))
    }

    /// The page of a table or index of the instance.
    pub(super) fn table(&self, shell: &Shell, name: &str) -> String {
        format!("{}/tables/{}", self.instance(shell), segment(name))
    }

    /// The page of rows.
    pub(super) fn rows(&self, shell: &Shell) -> String {
        format!("{}/rows", self.table(shell, &self.table))
    }

    /// The page of a row; without a key, the address that a form sends one to.
    pub(super) fn row(&self, shell: &Shell, parts: &[OtsKeyPart]) -> String {
        let address = format!("{}/row", self.table(shell, &self.table));
        if parts.is_empty() { address } else { format!("{address}?key={}", segment(&key::json(parts))) }
    }

    /// The pages above this one.
    pub(super) fn trail(&self, shell: &Shell, with_table: bool) -> Vec<Link> {
        let mut trail = vec![Link { address: shell.at("/ots"), text: shell.w.table_store.to_string() }];
        if !self.table.is_empty() {
            trail.push(Link { address: self.instance(shell), text: show::short(&self.ots, 200) });
        }
        if with_table {
            trail.push(Link { address: self.table(shell, &self.table), text: show::short(&self.table, 300) });
        }
        trail
    }

    /// What does the same: the line that lists the instance's tables, and the call below its tables.
    pub(super) fn hints(&self, below: &[&str], query: &[(&str, &str)]) -> Vec<String> {
        let list = feitian(["ots", "instance", "tables", &self.ots]);
        let call = match below {
            [] => get(["ots", "instances", &self.ots, "tables"], query),
            [table] => get(["ots", "instances", &self.ots, "tables", table], query),
            [table, what, ..] => get(["ots", "instances", &self.ots, "tables", table, what], query),
        };
        vec![list, call]
    }

    /// The frame of a page about the table.
    pub(super) fn shell(&self, call: &Call, title: &str) -> Result<Shell> {
        let name = if self.table.is_empty() { &self.ots } else { &self.table };
        Shell::of(call, format!("{title} {}", show::short(name, 200)))
    }
}

#[derive(Template)]
#[template(path = "app/ots_elsewhere.html")]
struct ElsewherePage<'a> {
    shell: &'a Shell,
}

/// The answer to an error: that another process has the table store is said on a page, everything else refuses.
pub(super) fn refused(call: &Call, hints: Vec<String>, e: Error) -> Answer {
    if !admin::is_ots_elsewhere(&e) {
        return Err(e);
    }
    let mut shell = Shell::of(call, words::of(call)?.table_store)?;
    shell.hints = hints;
    shell.answer_with(status(&e), &ElsewherePage { shell: &shell })
}
