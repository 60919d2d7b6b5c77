//! The pages for people: the Logview, which shows one job, what the error codes mean, and the console ([`app`]) for whoever
//! has signed in.
//!
//! Pages are operations like those of the protocols: the binary hands [`GROUPS`] to the server
//! ([`feitian_api::AppState::with_pages`]), and a request goes through the same path of identity and rights. A handler
//! asks the functions of [`feitian_api::admin`] that `/admin/v1` answers from, makes a [`job`] of the answers, and a
//! template of it (`view`). Whatever a user wrote is text in a page: templates escape it, [`show::seen`] shows characters
//! that would hide or turn it.
//!
//! A page works without JavaScript and loads nothing from elsewhere.

mod app;
mod assets;
mod compare;
mod dag;
mod events;
mod failure;
mod gantt;
mod hints;
mod job;
mod lang;
mod links;
mod logview;
mod markdown;
mod profile;
mod show;
mod sql;
#[cfg(test)]
mod tests;
mod view;
mod words;

use feitian_api::operations::{Groups, Operation, Surface};
use feitian_api::rights::{Object, Right};

pub use app::refusal_page;

/// Every page, under its heading of the compatibility page.
pub const GROUPS: Groups = &[("Pages (feitian's own)", PAGES), ("Console (feitian's own)", app::PAGES)];

const READ: Right = Right::Object("odps:Read", Object::Instance);
/// What the address of a job's page may hold beside the project and the instance, which come in the query as clients
/// build it.
const FLAGS: &[&str] = &["h", "p", "i", "token", "lang", "subQuery"];

const PAGES: &[Operation] = &[
    Operation::new("Logview", Surface::Page, "GET", "/logview", &[], READ)
        .flags(FLAGS)
        .done(|call| Box::pin(logview::show(call))),
    Operation::new("LogviewEvents", Surface::Page, "GET", "/logview/events", &[], READ)
        .flags(FLAGS)
        .done(|call| Box::pin(events::follow(call))),
    Operation::new("LogviewProfile", Surface::Page, "GET", "/logview/profile", &[], READ)
        .flags(FLAGS)
        .done(|call| Box::pin(logview::profile(call))),
    Operation::new("ListErrorCodes", Surface::Page, "GET", "/logview/errors", &[], Right::Public)
        .done(|call| Box::pin(logview::all_codes(call))),
    Operation::new("GetErrorCode", Surface::Page, "GET", "/logview/errors/{code}", &[], Right::Public)
        .done(|call| Box::pin(logview::code(call))),
    Operation::new("GetAsset", Surface::Page, "GET", "/console/assets/{name}", &[], Right::Public)
        .done(|call| Box::pin(assets::serve(call))),
];
