//! The workbench: a text, its run, and the last statements of the account.
//!
//! Without scripts the form submits the job and leads to its page. With them the result comes into this page.

use std::collections::HashSet;

use askama::Template;
use axum::http::StatusCode;
use feitian_api::admin::types::SubmitSql;
use feitian_api::refusal::{see_other, status};
use feitian_api::warehouse::InstanceFilter;
use feitian_api::{Answer, Call, admin, project_zone};
use feitian_base::{Error, Result, id};
use feitian_meta::LISTED_QUERY;
use feitian_meta::rows::Instance;
use feitian_types::Column;

use super::complete::KEYWORDS;
use super::form::Form;
use super::home::is_of_the_form;
use super::jobs::{self, JobLine};
use super::shell::{Section, Shell, hardened, wants_json};
use super::words;
use crate::hints::{feitian, get, segment};
use crate::show;

/// Statements that the history shows.
const HISTORY: usize = 20;
/// Jobs that are looked at for it: the same statement often runs many times.
const LOOKED_AT: usize = 100;
/// Characters of the statement in the command that does the same.
const HINT: usize = 2000;

#[derive(Template)]
#[template(path = "app/sql.html")]
struct SqlPage<'a> {
    shell: &'a Shell,
    text: String,
    /// Why the text was not submitted; empty otherwise.
    failure: String,
    /// Names this form: sent twice, it is one job.
    form: String,
    /// What does the same in a terminal, before the statement.
    command: String,
    /// The words that the editor colours, with blanks between them.
    keywords: String,
    history: Vec<Statement>,
    zone: &'static str,
}

struct Statement {
    job: JobLine,
    /// The whole text, for a script; empty when it is long.
    text: String,
    /// The workbench with this text.
    again: String,
}

/// `GET /console/projects/{project}/sql`, with the text of `?job=`, with `?text=`, or about `?table=`.
pub(super) async fn show(call: Call) -> Answer {
    let text = if let Some(job) = call.query.get("job") {
        admin::instance_of(&call, job).await?.query
    } else if let Some(table) = call.query.get("table") {
        about(&call, &table.to_lowercase()).await
    } else {
        call.query.get("text").unwrap_or_default().to_string()
    };
    page(&call, StatusCode::OK, None, text).await
}

/// `POST /console/projects/{project}/sql`: submits the text.
pub(super) async fn run(call: Call) -> Answer {
    let form = Form::with_statement(&call).await?;
    let sql = form.lines("text");
    let guid = guid(form.text("form"), &sql);
    match admin::submit_sql(&call, SubmitSql { sql: sql.clone(), guid, ..SubmitSql::default() }).await {
        Ok(job) if wants_json(&call) => Ok(hardened(feitian_api::json(&job)?)),
        Ok(job) => Ok(see_other(&Shell::of_project(&call, Section::Sql, "")?.job(&job.id))),
        Err(e) if is_of_the_form(&e) && !wants_json(&call) => page(&call, status(&e), Some(&e), sql).await,
        Err(e) => Err(e),
    }
}

/// A statement to begin with: the first rows of a table, of its last partition if it has some. A table that is not there
/// is an error of the statement.
async fn about(call: &Call, table: &str) -> String {
    let columns = match admin::table_named(call, table).await {
        Ok(info) => info.table.schema.partition_columns,
        Err(_) => Vec::new(),
    };
    let mut only = String::new();
    if !columns.is_empty()
        && let Ok(Some(partition)) = admin::last_partition(call, table).await
    {
        only = within_partition(&columns, &partition.values);
    }
    format!("SELECT * FROM {}{only} LIMIT 100;", quoted(table))
}

/// ` WHERE` and the values of a partition.
pub(super) fn within_partition(columns: &[Column], values: &[String]) -> String {
    let value = |column: &Column, value: &str| match column.ty.is_integer() && value.parse::<i64>().is_ok() {
        true => value.to_string(),
        false => format!("'{}'", value.replace('\\', r"\\").replace('\'', r"\'")),
    };
    let pairs = columns.iter().zip(values).map(|(c, v)| format!("{} = {}", quoted(&c.name), value(c, v)));
    format!(" WHERE {}", pairs.collect::<Vec<_>>().join(" AND "))
}

/// The same form with the same text is the same job: a request that was sent twice runs once.
fn guid(form: &str, sql: &str) -> String {
    if form.is_empty() {
        return String::new();
    }
    let hash = sql.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    let form: String = form.chars().filter(char::is_ascii_alphanumeric).take(40).collect();
    format!("console-{form}-{hash:016x}")
}

/// The name of a table as SQL takes it, with its schema if it has one.
pub(super) fn quoted(local_name: &str) -> String {
    let part = |name: &str| format!("`{}`", name.replace('`', "``"));
    local_name.split('.').map(part).collect::<Vec<_>>().join(".")
}

async fn page(call: &Call, status: StatusCode, failure: Option<&Error>, text: String) -> Answer {
    let mut shell = Shell::of_project(call, Section::Sql, words::of(call)?.workbench)?;
    let zone = project_zone(call).await?;
    let statement = if text.trim().is_empty() { "SELECT 1".to_string() } else { show::short(text.trim(), HINT) };
    shell.hints = vec![
        // The script of the page puts the statement that it has sent into the first one.
        feitian(["sql", "--project", call.project(), "-e", &statement]),
        format!("POST /admin/v1/projects/{}/sql", segment(call.project())),
        get(["projects", call.project(), "instances"], &[("owner", call.caller()?.name.as_str())]),
        get(["projects", call.project(), "tables"], &[]),
        get(["functions"], &[]),
    ];
    let page = SqlPage {
        history: history(call, &shell, zone).await?,
        failure: failure.map_or(String::new(), |e| show::seen(e.message()).into_owned()),
        form: id::random_text(24),
        keywords: KEYWORDS.join(" "),
        command: feitian(["sql", "--project", call.project(), "-e"]),
        zone: zone.name(),
        shell: &shell,
        text,
    };
    shell.answer_with(status, &page)
}

/// The last different statements of the caller in the project; long ones that begin alike count as one.
async fn history(call: &Call, shell: &Shell, zone: chrono_tz::Tz) -> Result<Vec<Statement>> {
    let filter = InstanceFilter { owner: Some(call.caller()?.name.clone()), ..InstanceFilter::default() };
    let jobs = admin::instances_of(call, filter, None, LOOKED_AT).await?;
    let mut seen = HashSet::new();
    let fresh = |i: &Instance| i.task_type.eq_ignore_ascii_case("SQL") && seen.insert(i.query.clone());
    let statement = |instance: Instance| Statement {
        again: shell.within(&format!("/sql?job={}", segment(&instance.id))),
        text: if instance.query.len() < LISTED_QUERY { instance.query.clone() } else { String::new() },
        job: jobs::line(shell, instance, zone),
    };
    Ok(jobs.items.into_iter().filter(fresh).take(HISTORY).map(statement).collect())
}

impl Statement {
    /// What a link to it says to those who do not see its line.
    fn label(&self, verb: &str) -> String {
        format!("{verb}: {}", self.job.query)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_and_a_text_make_one_job() {
        assert_eq!(guid("abc", "select 1"), guid("abc", "select 1"));
        assert_ne!(guid("abc", "select 1"), guid("abc", "select 2"));
        assert_ne!(guid("abc", "select 1"), guid("abd", "select 1"));
        assert_eq!(guid("", "select 1"), "");
        // The FNV specification: FNV-1a of nothing is its offset basis.
        assert_eq!(guid("a<b>\n", ""), "console-ab-cbf29ce484222325");
    }

    // MaxCompute documentation, "Escape characters": a backslash before a quote and before itself.
    #[test]
    fn a_partition_is_named_by_its_values() {
        use feitian_types::DataType;
        let columns = [Column::new("ds", DataType::String), Column::new("n", DataType::BigInt)];
        let only = within_partition(&columns, &[r"it's a \".to_string(), "7".to_string()]);
        assert_eq!(only, r" WHERE `ds` = 'it\'s a \\' AND `n` = 7");
    }

    #[test]
    fn names_are_quoted_part_by_part() {
        assert_eq!(quoted("t"), "`t`");
        assert_eq!(quoted("s.order"), "`s`.`order`");
        assert_eq!(quoted("a`; drop table b; --"), "`a``; drop table b; --`");
    }
}
