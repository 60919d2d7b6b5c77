//! SHOW FUNCTIONS, LIST RESOURCES and DESC of both.

use std::fmt::Write;

use feitian_base::{Kind, Result};
use feitian_functions::parse_zone;
use feitian_functions::time::{datetime_text, local_of_millis};
use feitian_meta::{Claim, Function, Target};
use feitian_sql::{Position, object_parts};
use sqlparser::ast::ObjectName;

use super::{PAGE, fits, scope_of};
use crate::ddl::{function_name, resource_name};
use crate::query::errors::{semantic, statement_error};
use crate::query::{Session, rights};

/// Times as the session's clock shows them.
fn clock(session: &Session) -> Result<impl Fn(i64) -> String + use<>> {
    let zone = parse_zone(&session.settings.time_zone()?).map_err(|e| semantic(Position::UNKNOWN, e.details))?;
    Ok(move |ms| local_of_millis(ms, zone).map(datetime_text).unwrap_or_default())
}

fn resources_of(function: &Function) -> String {
    function.resources.iter().map(|r| r.name.as_str()).collect::<Vec<_>>().join(",")
}

/// `SHOW FUNCTIONS`: those that users registered, columns apart by tabs.
pub(crate) async fn functions(session: &Session, scope: Option<&ObjectName>, like: Option<&str>) -> Result<String> {
    let (schema, time) = (scope_of(session, scope).await?, clock(session)?);
    let (mut text, mut after) = (String::from("Name\tOwner\tCreate Time\tClass\tResources\n"), None::<String>);
    loop {
        let meta = session.warehouse.meta();
        let page = meta.list_functions(&schema.project, &schema.name, ("", None), after.as_deref(), PAGE).await?;
        for f in page.iter().filter(|f| like.is_none_or(|l| fits(&f.at.name, l))) {
            let (name, owner, class) = (&f.at.name, &f.owner, &f.class_type);
            let _ = writeln!(text, "{name}\t{owner}\t{}\t{class}\t{}", time(f.created_ms), resources_of(f));
        }
        match page.last() {
            Some(last) if page.len() as i64 == PAGE => after = Some(last.at.name.clone()),
            _ => return Ok(text),
        }
    }
}

/// `LIST RESOURCES`: columns apart by tabs.
pub(crate) async fn resources(session: &Session) -> Result<String> {
    let (schema, time) = (scope_of(session, None).await?, clock(session)?);
    let columns = [
        "Resource Name",
        "Owner",
        "Creation Time",
        "Comment",
        "Last Modified Time",
        "Type",
        "Size",
        "Source",
        "Last Updator",
    ];
    let (mut text, mut after) = (columns.join("\t") + "\n", None::<String>);
    loop {
        let meta = session.warehouse.meta();
        let page = meta.list_resources(&schema.project, &schema.name, ("", None), after.as_deref(), PAGE).await?;
        for r in &page {
            let (created, modified, size) = (time(r.created_ms), time(r.modified_ms), r.num_bytes.to_string());
            let cells = [&r.at.name, &r.owner, &created, &r.comment, &modified, &r.kind, &size, &r.source, &r.updator];
            let cells: Vec<String> = cells.iter().map(|c| c.replace(['\t', '\n', '\r'], " ")).collect();
            let _ = writeln!(text, "{}", cells.join("\t"));
        }
        match page.last() {
            Some(last) if page.len() as i64 == PAGE => after = Some(last.at.name.clone()),
            _ => return Ok(text),
        }
    }
}

/// Lines of a name and a value.
fn lines(pairs: &[(&str, &str)]) -> String {
    pairs.iter().map(|(name, value)| format!("{name:<40}{value}\n")).collect()
}

/// `DESC FUNCTION f`: one that a user registered, or how a built-in one is called.
pub(crate) async fn desc_function(session: &Session, name: &ObjectName) -> Result<String> {
    let (function, at) = function_name(session, name).await?;
    if let Some(f) = session.warehouse.meta().function(&function).await? {
        let wanted = [("List", Target::project(&function.project)), ("Read", Target::function(&function))];
        rights::check(session, &function.project, &wanted, Claim::Nothing).await?;
        let created = clock(session)?(f.created_ms);
        if let Some(sql) = &f.sql {
            return Ok(lines(&[
                ("Name", f.at.name.as_str()),
                ("Owner", f.owner.as_str()),
                ("Created Time", created.as_str()),
                ("SQL Definition Text", sql.as_str()),
            ]));
        }
        let resources = resources_of(&f);
        return Ok(lines(&[
            ("Name", f.at.name.as_str()),
            ("Owner", f.owner.as_str()),
            ("Created Time", created.as_str()),
            ("Class", f.class_type.as_str()),
            ("Resources", resources.as_str()),
        ]));
    }
    if let [plain] = object_parts(name).as_slice() {
        let is_it = |call: &&str| call.split('(').next() == Some(plain.as_str());
        if let Some(call) = feitian_functions::calls().into_iter().find(is_it) {
            return Ok(format!("{call}\n"));
        }
    }
    let detail = format!("function {}.{} cannot be resolved", function.project, function.name);
    Err(statement_error(Kind::NotFound, "ODPS-0130071", at, "Semantic analysis exception", &detail))
}

/// `DESC RESOURCE r`
pub(crate) async fn desc_resource(session: &Session, name: &str) -> Result<String> {
    let at = resource_name(session, name)?;
    let wanted = [("List", Target::project(&at.project)), ("Read", Target::resource(&at))];
    rights::check(session, &at.project, &wanted, Claim::Nothing).await?;
    let Some(r) = session.warehouse.meta().resource(&at).await? else {
        let detail = format!("resource {}.{name} cannot be resolved", at.project);
        return Err(statement_error(
            Kind::NotFound,
            "ODPS-0130071",
            Position::UNKNOWN,
            "Semantic analysis exception",
            &detail,
        ));
    };
    let time = clock(session)?;
    let (created, modified, size) = (time(r.created_ms), time(r.modified_ms), r.num_bytes.to_string());
    Ok(lines(&[
        ("Resource Name", r.at.name.as_str()),
        ("Owner", r.owner.as_str()),
        ("Type", r.kind.as_str()),
        ("Comment", r.comment.as_str()),
        ("Created Time", created.as_str()),
        ("Last Modified Time", modified.as_str()),
        ("Last Updator", r.updator.as_str()),
        ("Size", size.as_str()),
        ("Source", r.source.as_str()),
    ]))
}
