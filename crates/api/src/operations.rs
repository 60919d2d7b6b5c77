//! The table of every operation: routing reads it, rights come from it, and the compatibility page is printed from it.
//!
//! The protocols stand here. Pages for people stand in a crate above this one; the binary hands them to the server, and
//! they go through the same path as everything else.

mod admin;
pub(crate) mod ots;
mod own;
mod rest;
mod storage;
mod tunnel;

use futures::future::BoxFuture;

pub use ots::{OTS_GROUPS, OTS_RIGHT, OtsHandler, OtsOperation, ots_operations};

use crate::call::{Answer, Call, Params};
use crate::query::Query;
use crate::rights::Right;

/// A handler: it gets an authorised request.
pub type Handler = fn(Call) -> BoxFuture<'static, Answer>;

/// One operation. A route without a right cannot be written down.
pub struct Operation {
    pub name: &'static str,
    pub surface: Surface,
    pub method: &'static str,
    /// Segments in braces are names; `{rest*}` at the end takes everything.
    pub path: &'static str,
    /// Query parameters that select the operation: `key` or `key=value`.
    pub query: &'static [&'static str],
    /// Further parameters that may come without a value. Any other bare parameter would be another operation's.
    pub flags: &'static [&'static str],
    pub right: Right,
    pub status: Status,
    /// What is missing, or why it is refused.
    pub note: &'static str,
    /// None when refused.
    pub handler: Option<Handler>,
}

/// Which protocol an operation belongs to: decides its prefix, its error documents and what its signature covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Surface {
    /// ODPS REST below `/api`; XML.
    Rest,
    /// Tunnel and storage API at the root; JSON.
    Tunnel,
    /// Our own `/admin/v1`; JSON.
    Admin,
    /// Pages for people; HTML. Credentials come in the query.
    Page,
    /// Health and metrics; text.
    Probe,
}

/// How far an operation is implemented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Done,
    Partial,
    Refused,
}

impl Status {
    fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Partial => "partial",
            Self::Refused => "refused",
        }
    }
}

impl Operation {
    /// An operation that is refused until it gets a handler.
    pub const fn new(
        name: &'static str,
        surface: Surface,
        method: &'static str,
        path: &'static str,
        query: &'static [&'static str],
        right: Right,
    ) -> Self {
        let (flags, note) = (&[] as &[&str], "not implemented");
        Self { name, surface, method, path, query, flags, right, status: Status::Refused, note, handler: None }
    }

    /// The same operation, which takes these parameters without a value too.
    #[must_use]
    pub const fn flags(mut self, flags: &'static [&'static str]) -> Self {
        self.flags = flags;
        self
    }

    /// The same operation, done by `handler`.
    #[must_use]
    pub const fn done(mut self, handler: Handler) -> Self {
        (self.status, self.note, self.handler) = (Status::Done, "", Some(handler));
        self
    }

    const fn partial(mut self, handler: Handler, note: &'static str) -> Self {
        (self.status, self.note, self.handler) = (Status::Partial, note, Some(handler));
        self
    }

    const fn refused(mut self, note: &'static str) -> Self {
        self.note = note;
        self
    }

    /// The path as clients see it, with the surface's prefix.
    pub fn full_path(&self) -> String {
        let prefix = if self.surface == Surface::Rest { "/api" } else { "" };
        format!("{prefix}{}", self.path)
    }
}

/// Turns the path of an async function into a [`Handler`].
macro_rules! run {
    ($handler:path) => {
        |call| Box::pin($handler(call))
    };
}
pub(crate) use run;

/// Operations under the headings of the compatibility page.
pub type Groups = &'static [(&'static str, &'static [Operation])];

/// Every operation of this crate, protocol by protocol.
pub fn all() -> impl Iterator<Item = (&'static str, &'static Operation)> {
    [rest::GROUPS, tunnel::GROUPS, storage::GROUPS, admin::GROUPS, own::GROUPS].into_iter().flat_map(each)
}

/// Every operation of `groups` with its heading.
pub fn each(groups: Groups) -> impl Iterator<Item = (&'static str, &'static Operation)> {
    groups.iter().flat_map(|(heading, operations)| operations.iter().map(move |o| (*heading, o)))
}

/// What a request asks for.
pub(crate) enum Found {
    Operation(&'static Operation, Params),
    /// The path is known, the method or the action is not.
    NoSuchAction(String),
    /// Nothing has this path.
    NoSuchPath,
}

/// Parameters that any operation may get without a value.
const ANYWHERE: &[&str] =
    &["curr_project", "curr_schema", "expectmarker", "marker", "maxitems", "name", "owner", "partition", "taskname"];

/// Every operation that one server has, ready to be found.
pub(crate) struct Routes(Vec<Shape>);

impl Routes {
    /// The operations of this crate and `pages`.
    pub(crate) fn new(pages: Groups) -> Self {
        Self(all().chain(each(pages)).map(|(_, operation)| Shape::of(operation)).collect())
    }

    /// Finds the operation of a request. `segments` are decoded and without the surface's prefix.
    pub(crate) fn find(&self, surface: Surface, method: &str, segments: &[&str], query: &Query) -> Found {
        let mut best: Option<(&Shape, usize)> = None;
        let mut path_known = false;
        for shape in self.0.iter().filter(|s| s.operation.surface == surface && s.fits(segments)) {
            path_known = true;
            let op = shape.operation;
            if op.method == method && op.query.iter().all(|want| query.matches(want)) {
                let weight = shape.literals * 100 + op.query.len();
                if best.is_none_or(|(_, w)| weight > w) {
                    best = Some((shape, weight));
                }
            }
        }
        let Some((shape, _)) = best else {
            return match path_known {
                true => Found::NoSuchAction(format!("{method} with these parameters is no operation of this resource")),
                false => Found::NoSuchPath,
            };
        };
        let op = shape.operation;
        let selects = |key: &str| op.query.iter().any(|want| want.split('=').next() == Some(key));
        if let Some(stray) = query.bare_keys().find(|k| !selects(k) && !op.flags.contains(k) && !ANYWHERE.contains(k)) {
            return Found::NoSuchAction(format!("'?{stray}' is no operation of this resource"));
        }
        Found::Operation(op, shape.params(segments))
    }
}

struct Shape {
    operation: &'static Operation,
    segments: Vec<Segment>,
    literals: usize,
}

enum Segment {
    Literal(&'static str),
    Name(&'static str),
    Rest(&'static str),
}

impl Shape {
    fn of(operation: &'static Operation) -> Self {
        let segment = |text: &'static str| match text.strip_prefix('{').and_then(|t| t.strip_suffix('}')) {
            Some(name) => match name.strip_suffix('*') {
                Some(name) => Segment::Rest(name),
                None => Segment::Name(name),
            },
            None => Segment::Literal(text),
        };
        let segments: Vec<Segment> = operation.path.split('/').filter(|s| !s.is_empty()).map(segment).collect();
        let literals = segments.iter().filter(|s| matches!(s, Segment::Literal(_))).count();
        Self { operation, segments, literals }
    }

    fn fits(&self, path: &[&str]) -> bool {
        let open = matches!(self.segments.last(), Some(Segment::Rest(_)));
        let enough = if open { path.len() >= self.segments.len() } else { path.len() == self.segments.len() };
        enough
            && self.segments.iter().zip(path).all(|(segment, text)| match segment {
                Segment::Literal(want) => want == text,
                Segment::Name(_) | Segment::Rest(_) => !text.is_empty(),
            })
    }

    fn params(&self, path: &[&str]) -> Params {
        let names = self.segments.iter().enumerate().filter_map(|(i, segment)| match segment {
            Segment::Name(name) => Some((*name, path[i].to_string())),
            Segment::Rest(name) => Some((*name, path[i..].join("/"))),
            Segment::Literal(_) => None,
        });
        Params(names.collect())
    }
}

/// The compatibility page: every operation of the protocol with how far it goes, `pages`, and the table store.
pub fn compat_markdown(pages: Groups) -> String {
    use std::fmt::Write;
    let count = |status| all().filter(|(_, o)| is_protocol(o) && o.status == status).count();
    let mut page = String::from(
        "# Compatibility\n\n\
         Every operation of the ODPS protocol (REST, tunnel, storage API) and how far feitian implements it.\n\
         This page is printed from the table that routes requests; do not edit it.\n\n\
         - **done**: works as clients expect.\n\
         - **partial**: works within the limits of its note.\n\
         - **refused**: answers `MethodNotAllowed` (HTTP 405) and changes nothing.\n\n",
    );
    let (done, partial, refused) = (count(Status::Done), count(Status::Partial), count(Status::Refused));
    let _ = writeln!(page, "{done} done, {partial} partial, {refused} refused.\n");
    let _ = writeln!(
        page,
        "Tunnel paths may also contain `/schemas/{{schema}}` before `/tables`; on REST the parameter `curr_schema` names it.\n\
         What stands behind `/api/storage/v2` clients send as `Target`, joined with dots; `/api/storage/v3` is the same."
    );
    let mut last = "";
    for (heading, op) in all().chain(each(pages)) {
        if heading != last {
            let _ = write!(
                page,
                "\n## {heading}\n\n| operation | request | status | right | note |\n|---|---|---|---|---|\n"
            );
            last = heading;
        }
        let query = if op.query.is_empty() { String::new() } else { format!("?{}", op.query.join("&")) };
        let status = op.status.word();
        let (name, method, path, right, note) = (op.name, op.method, op.full_path(), op.right, op.note);
        let _ = writeln!(page, "| {name} | `{method} {path}{query}` | {status} | {right} | {note} |");
    }
    page + &ots::markdown()
}

fn is_protocol(op: &Operation) -> bool {
    matches!(op.surface, Surface::Rest | Surface::Tunnel)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn name(surface: Surface, method: &str, path: &str, query: &str) -> String {
        let segments: Vec<&str> = path.split('/').filter(|s| !s.is_empty()).collect();
        match Routes::new(&[]).find(surface, method, &segments, &Query::parse(query)) {
            Found::Operation(op, _) => op.name.to_string(),
            Found::NoSuchAction(why) => why,
            Found::NoSuchPath => "404".into(),
        }
    }

    // Requests as PyODPS sends them (odps/models, odps/tunnel).
    #[test]
    fn requests_of_the_client_find_their_operation() {
        use Surface::{Rest, Tunnel};
        for (surface, method, path, query, want) in [
            (Rest, "GET", "/projects/p/tables/t", "curr_project=p", "GetTable"),
            (Rest, "GET", "/projects/p/tables/t", "extended&curr_project=p", "GetTableExtended"),
            (Rest, "GET", "/projects/p/tables/t", "data=&linenum=3&partition=pt%3D1", "PreviewTable"),
            (Rest, "GET", "/projects/p/tables/t", "partitions&expectmarker=true", "ListPartitions"),
            (Rest, "GET", "/projects/p/tables/t", "partition=ds%3D'1'", "GetPartition"),
            (Rest, "GET", "/projects/p/tables/t", "partition=ds%3D'1'&extended", "GetPartitionExtended"),
            (Rest, "GET", "/projects/p/instances/i", "instancestatus", "GetInstanceStatus"),
            (Rest, "GET", "/projects/p/instances/i", "instanceprogress=t&taskname=t", "GetInstanceProgress"),
            (Rest, "POST", "/projects/p/authorization", "sign_bearer_token", "SignBearerToken"),
            (Tunnel, "POST", "/projects/p/tables/t", "uploads=1&reload=False", "CreateUpload"),
            (Tunnel, "PUT", "/projects/p/tables/t", "uploadid=u&blockid=1&arrow", "WriteUploadBlock"),
            (Tunnel, "GET", "/projects/p/tables/t", "uploadid=u&reload=True", "GetUpload"),
            (Tunnel, "POST", "/projects/p/tables/t", "uploadid=u", "CommitUpload"),
            (Tunnel, "POST", "/projects/p/tables/t", "downloads=&asyncmode=true", "CreateDownload"),
            (Tunnel, "GET", "/projects/p/tables/t", "data&downloadid=d&rowrange=%281%2C2%29", "ReadDownload"),
            (Tunnel, "GET", "/projects/p/instances/i", "downloadid=d&data=&rowrange=%281%2C2%29", "ReadInstanceResult"),
            (Tunnel, "PUT", "/projects/p/tables/t/streams", "uploadid=s&slotid=0", "WriteStream"),
            (Rest, "GET", "/nowhere", "", "404"),
            (Rest, "GET", "/projects/p/tables/t", "shards", "'?shards' is no operation of this resource"),
        ] {
            assert_eq!(name(surface, method, path, query), want, "{method} {path}?{query}");
        }
    }

    #[test]
    fn every_operation_is_found_under_its_own_shape() {
        let mut names = std::collections::BTreeSet::new();
        for (_, op) in all() {
            assert!(names.insert(op.name), "{} is listed twice", op.name);
            assert_eq!(op.handler.is_none(), op.status == Status::Refused, "{}", op.name);
            assert!(op.status == Status::Done || !op.note.is_empty(), "{} lacks a note", op.name);
            let path = op.path.replace(['{', '}', '*'], "");
            assert_eq!(name(op.surface, op.method, &path, &op.query.join("&")), op.name);
        }
    }
}
