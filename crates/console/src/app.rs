//! The console: pages for whoever signs in with an access key.
//!
//! A handler asks the functions that the admin API answers from, and makes a page of what they say. What
//! changes something is a form that is sent to the address of its own page, so that an address always has a page.

mod complete;
mod csv_file;
mod form;
mod home;
mod job;
mod jobs;
mod keys;
mod members;
mod multipart;
mod ots;
mod project;
mod refusal;
mod result_file;
mod shell;
mod sign_in;
mod sql;
mod table;
mod upload;
mod words;

use feitian_api::operations::{Operation, Surface};
use feitian_api::rights::Right;
use feitian_api::sessions::SIGN_IN_PATH;

pub use refusal::refusal_page;

const SIGN_OUT_PATH: &str = "/console/logout";
const PROJECT: &str = "/console/projects/{project}";
const MEMBERS: &str = "/console/projects/{project}/members";
const SQL: &str = "/console/projects/{project}/sql";
const UPLOAD: &str = "/console/projects/{project}/upload";
const JOB: &str = "/console/projects/{project}/jobs/{instance}";

const OTS: &str = "/console/ots";
const OTS_INSTANCE: &str = "/console/ots/{ots}";

/// Browsers send a field that was left empty as a parameter without a value.
const FIELDS: &[&str] = &["next", "lang", "prefix", "schema", "status", "from", "to", "text", "order", "start"];

const fn page(name: &'static str, method: &'static str, path: &'static str, right: Right) -> Operation {
    Operation::new(name, Surface::Page, method, path, &[], right).flags(FIELDS)
}

/// The same of the table store's forms.
const OTS_FIELDS: &[&str] =
    &["next", "lang", "start", "direction", "columns", "key1", "key2", "key3", "key4", "key5", "key6", "key7", "key8"];

const fn ots_page(name: &'static str, method: &'static str, path: &'static str) -> Operation {
    Operation::new(name, Surface::Page, method, path, &[], Right::Account).flags(OTS_FIELDS)
}

/// Every page of the console.
pub(crate) const PAGES: &[Operation] = &[
    page("ConsoleSignIn", "GET", SIGN_IN_PATH, Right::Public).done(|call| Box::pin(sign_in::show(call))),
    page("ConsoleBeginSession", "POST", SIGN_IN_PATH, Right::Public).done(|call| Box::pin(sign_in::sign_in(call))),
    page("ConsoleSignOut", "GET", SIGN_OUT_PATH, Right::Public).done(|call| Box::pin(sign_in::ask(call))),
    page("ConsoleEndSession", "POST", SIGN_OUT_PATH, Right::Public).done(|call| Box::pin(sign_in::sign_out(call))),
    page("ConsoleHome", "GET", "/console", Right::Account).done(|call| Box::pin(home::show(call))),
    page("ConsoleCreateProject", "POST", "/console", Right::Account).done(|call| Box::pin(home::create(call))),
    page("ConsoleKeys", "GET", "/console/keys", Right::Account).done(|call| Box::pin(keys::show(call))),
    page("ConsoleChangeKey", "POST", "/console/keys", Right::Account).done(|call| Box::pin(keys::change(call))),
    ots_page("ConsoleOts", "GET", OTS).done(|call| Box::pin(ots::show(call))),
    ots_page("ConsoleCreateOts", "POST", OTS).done(|call| Box::pin(ots::create(call))),
    ots_page("ConsoleOtsInstance", "GET", OTS_INSTANCE).done(|call| Box::pin(ots::instance::show(call))),
    ots_page("ConsoleDeleteOts", "POST", OTS_INSTANCE).done(|call| Box::pin(ots::instance::change(call))),
    ots_page("ConsoleOtsTable", "GET", "/console/ots/{ots}/tables/{ots_table}")
        .done(|call| Box::pin(ots::table::show(call))),
    ots_page("ConsoleOtsRows", "GET", "/console/ots/{ots}/tables/{ots_table}/rows")
        .done(|call| Box::pin(ots::rows::show(call))),
    ots_page("ConsoleOtsRow", "GET", "/console/ots/{ots}/tables/{ots_table}/row")
        .done(|call| Box::pin(ots::row::show(call))),
    page("ConsoleProject", "GET", PROJECT, Right::Member).done(|call| Box::pin(project::show(call))),
    page("ConsoleMembers", "GET", MEMBERS, Right::Member).done(|call| Box::pin(members::show(call))),
    page("ConsoleChangeMembers", "POST", MEMBERS, Right::Owner).done(|call| Box::pin(members::change(call))),
    page("ConsoleTable", "GET", "/console/projects/{project}/tables/{table}", Right::Member)
        .done(|call| Box::pin(table::show(call))),
    page("ConsoleSql", "GET", SQL, Right::Member).done(|call| Box::pin(sql::show(call))),
    page("ConsoleRun", "POST", SQL, Right::Member).done(|call| Box::pin(sql::run(call))),
    page("ConsoleComplete", "GET", "/console/projects/{project}/complete", Right::Member)
        .done(|call| Box::pin(complete::show(call))),
    page("ConsoleUpload", "GET", UPLOAD, Right::Member).done(|call| Box::pin(upload::show(call))),
    page("ConsoleLoad", "POST", UPLOAD, Right::Member).done(|call| Box::pin(upload::load(call))),
    page("ConsoleJobs", "GET", "/console/projects/{project}/jobs", Right::Member)
        .done(|call| Box::pin(jobs::show(call))),
    page("ConsoleJob", "GET", JOB, Right::Member).done(|call| Box::pin(job::show(call))),
    page("ConsoleStopJob", "POST", JOB, Right::Member).done(|call| Box::pin(job::change(call))),
    page("ConsoleJobState", "GET", "/console/projects/{project}/jobs/{instance}/state", Right::Member)
        .done(|call| Box::pin(job::state_json(call))),
    page("ConsoleJobRows", "GET", "/console/projects/{project}/jobs/{instance}/rows", Right::Member)
        .done(|call| Box::pin(job::rows_json(call))),
    page("ConsoleResultCsv", "GET", "/console/projects/{project}/jobs/{instance}/result.csv", Right::Member)
        .done(|call| Box::pin(result_file::csv(call))),
    page("ConsoleResultParquet", "GET", "/console/projects/{project}/jobs/{instance}/result.parquet", Right::Member)
        .done(|call| Box::pin(result_file::parquet(call))),
];
