//! Names in a query: which tables it reads, and which of its functions are not ours.
//!
//! Every table gets its full name `project.table` in the syntax tree, and keeps the name by which the query knows it as
//! an alias, so that the planner never has to guess.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use feitian_base::{Error, Kind, Result};
use feitian_meta::{
    Claim, DEFAULT_SCHEMA, Function as Registered, ObjectName as FunctionName, Schema, Target, local_name,
    split_local_name,
};
use feitian_sql::{IN_HAND, Position, UNNEST_WITH_OFFSET, object_parts};
use sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName, Query, Spanned, TableAlias,
    TableFactor, Value, VisitMut, VisitorMut,
};

use super::errors::{semantic, statement_error};
use super::travel::Travel;
use super::{Session, rights};
use crate::system::SystemTable;

/// A table's project and its name there ([`local_name`]).
pub(crate) type TableName = (String, String);

/// Ends the name of the table that UPDATE, DELETE or MERGE changes, in the query that they make: it is not looked up again.
/// No name that a user writes ends so.
pub(crate) const TARGET: &str = IN_HAND;

/// The table of the parameters of a function, in the query that its body becomes.
pub(super) const OF_PARAMETERS: &str = "\u{1}parameters\u{1}target";

/// Project and table of a name, with the place where it stands.
pub(crate) fn table_name(name: &ObjectName, session: &Session) -> Result<(String, String, Position)> {
    let at = Position::from(name.span());
    let parts = object_parts(name);
    // Local names join schema and table with a dot, so a dot inside a part would mean another table.
    if parts.iter().any(|part| part.contains('.')) {
        return Err(semantic(at, format!("table name {name} cannot be resolved: a name has no dots")));
    }
    match parts.as_slice() {
        [table] => Ok((session.project().to_string(), local_name(session.schema(), table), at)),
        [schema, table]
            if session.settings.has_schemas()
                && *schema != session.project()
                && SystemTable::named(schema, table).is_none() =>
        {
            Ok((session.project().to_string(), local_name(schema, table), at))
        }
        [project, table] => Ok((project.clone(), table.clone(), at)),
        [project, schema, table] => Ok((project.clone(), local_name(schema, table), at)),
        _ => Err(semantic(at, format!("table name {name} cannot be resolved"))),
    }
}

/// A schema that a statement names.
pub(crate) struct SchemaName {
    pub(crate) project: String,
    pub(crate) name: String,
    pub(crate) at: Position,
}

/// The schema that `schema` or `project.schema` names.
pub(crate) fn schema_of(session: &Session, name: &ObjectName) -> Result<SchemaName> {
    let at = Position::from(name.span());
    let (project, name) = match object_parts(name).as_slice() {
        [schema] => (session.project().to_string(), schema.clone()),
        [project, schema] => (project.clone(), schema.clone()),
        _ => return Err(semantic(at, format!("schema name {name} cannot be resolved"))),
    };
    Ok(SchemaName { project, name, at })
}

/// Refuses a schema that does not exist.
pub(crate) async fn check_schema_exists(session: &Session, schema: &SchemaName) -> Result<Schema> {
    let SchemaName { project, name, at } = schema;
    session.warehouse.meta().schema(project, name).await?.ok_or_else(|| {
        let detail = format!("schema {project}.{name} cannot be resolved");
        statement_error(Kind::NotFound, "ODPS-0130261", *at, "Invalid schema", &detail)
    })
}

/// Refuses a table name whose schema does not exist.
pub(crate) async fn check_schema(session: &Session, project: &str, local: &str, at: Position) -> Result<()> {
    let (schema, _) = split_local_name(local);
    let name = SchemaName { project: project.to_string(), name: schema.to_string(), at };
    check_schema_exists(session, &name).await.map(drop)
}

/// The WITH queries of one query, and how many of them can be seen so far.
struct Frame {
    names: Vec<String>,
    visible: usize,
    /// WITH RECURSIVE: a query sees itself too.
    recursive: bool,
}

impl Frame {
    fn shows(&self, name: &str) -> bool {
        self.names.iter().take(self.visible + usize::from(self.recursive)).any(|n| n == name)
    }
}

/// What the name of a user's function begins with in the syntax tree: the planner gives some names a meaning of its own.
pub(super) const OF_A_USER: &str = "user ";

/// A call of a function that is not one of ours. In the syntax tree its name is one word, [`OF_A_USER`] and `name`.
pub(super) struct UnknownCall {
    /// The parts of the name with dots between them.
    pub(super) name: String,
    pub(super) at: Position,
    /// Whether it stands where only table functions stand.
    pub(super) in_from: bool,
    /// What it has that only aggregates and windows have.
    pub(super) clause: Option<&'static str>,
}

/// The tables of a query.
#[derive(Default)]
pub(super) struct Named {
    /// With the first place of each.
    pub(super) tables: BTreeMap<TableName, Position>,
    /// Those that are read as they were, by the name that they have in `tables`.
    pub(super) travels: BTreeMap<TableName, Travel>,
}

struct Names<'a> {
    session: &'a Session,
    /// The table that the statement changes: `project.table.column` may name it.
    target: Option<TableName>,
    unknown: Vec<UnknownCall>,
    found: Named,
    frames: Vec<Frame>,
}

/// Gives every table its full name; returns the tables, and the calls of functions that are not ours.
pub(super) fn resolve(
    query: &mut Query,
    session: &Session,
    target: Option<TableName>,
) -> Result<(Named, Vec<UnknownCall>)> {
    let mut names = Names { session, target, unknown: Vec::new(), found: Named::default(), frames: Vec::new() };
    match query.visit(&mut names) {
        ControlFlow::Continue(()) => Ok((names.found, names.unknown)),
        ControlFlow::Break(e) => Err(e),
    }
}

/// The function that the text has made or a user registered under `name`: `f`, `schema.f`, `project.f` or
/// `project.schema.f`.
pub(super) async fn registered(session: &Session, name: &str) -> Result<Option<Registered>> {
    if let Some(temporary) = session.functions.get(name) {
        return Ok(Some(temporary.clone()));
    }
    let ours = session.project();
    let parts: Vec<&str> = name.split('.').collect();
    let places = match parts.as_slice() {
        [name] => vec![(ours, session.schema(), *name), (ours, DEFAULT_SCHEMA, *name)],
        [first, name] => vec![(ours, *first, *name), (*first, DEFAULT_SCHEMA, *name)],
        [project, schema, name] => vec![(*project, *schema, *name)],
        _ => Vec::new(),
    };
    for (project, schema, name) in places {
        let meta = session.warehouse.meta();
        if project != ours && meta.project(project).await?.is_none() {
            continue;
        }
        rights::enter(session, project).await?;
        let at = FunctionName { project: project.into(), schema_name: schema.into(), name: name.into() };
        if let Some(found) = meta.function(&at).await? {
            let wanted = [("Execute", Target::function(&at)), ("Read", Target::function(&at))];
            rights::check(session, project, &wanted, Claim::Anybody).await?;
            return Ok(Some(found));
        }
    }
    Ok(None)
}

impl Names<'_> {
    fn is_with_query(&self, name: &str) -> bool {
        self.frames.iter().any(|frame| frame.shows(name))
    }

    fn table(&mut self, factor: &mut TableFactor) -> Result<()> {
        if let TableFactor::Function { name, .. } = factor {
            return self.table_function(name);
        }
        let TableFactor::Table { name, alias, version, .. } = factor else { return Ok(()) };
        let parts = object_parts(name);
        if let [single] = parts.as_slice()
            && self.is_with_query(single)
        {
            return match version {
                None => Ok(()),
                Some(_) => Err(semantic(name.span().into(), format!("{single} is a query, it has no versions"))),
            };
        }
        if parts.last().is_some_and(|table| table.ends_with(TARGET)) {
            return Ok(());
        }
        let (project, mut table, at) = table_name(name, self.session)?;
        let span = name.span();
        if alias.is_none() {
            let bare = split_local_name(&table).1.to_string();
            let name = Ident { value: bare, quote_style: Some('`'), span };
            *alias = Some(TableAlias { explicit: true, name, columns: Vec::new(), at: None });
        }
        if let Some(version) = version.take() {
            if SystemTable::named(&project, &table).is_some() {
                return Err(semantic(at, format!("{project}.{table} has no versions")));
            }
            let travel = Travel::new((project.clone(), table), version);
            let key = travel.key();
            table = key.1.clone();
            self.found.travels.insert(key, travel);
        }
        let ident = |value: &str| Ident { value: value.to_string(), quote_style: Some('`'), span };
        *name = ObjectName::from(vec![ident(&project), ident(&table)]);
        self.found.tables.entry((project, table)).or_insert(at);
        Ok(())
    }

    /// Notes a call of a function that is not one of ours, and makes its name one word.
    fn note(&mut self, name: &mut ObjectName, in_from: bool, clause: Option<&'static str>) {
        let span = name.span();
        let joined = object_parts(name).join(".");
        *name = ObjectName::from(vec![Ident { value: format!("{OF_A_USER}{joined}"), quote_style: Some('`'), span }]);
        self.unknown.push(UnknownCall { name: joined, at: span.into(), in_from, clause });
    }

    fn table_function(&mut self, name: &mut ObjectName) -> Result<()> {
        match object_parts(name).as_slice() {
            // UNNEST comes only from FROM; the parser refuses it in LATERAL VIEW.
            [known] if feitian_sql::is_table_function(known) || known == "unnest" || known == UNNEST_WITH_OFFSET => {}
            [known] if feitian_functions::registry().contains(known) => {
                let detail = format!("function '{known}' is not a table function");
                return Err(semantic(name.span().into(), detail));
            }
            _ => self.note(name, true, None),
        }
        Ok(())
    }

    fn function(&mut self, function: &mut Function) -> Result<()> {
        let at = Position::from(function.name.span());
        let parts = object_parts(&function.name);
        let registry = feitian_functions::registry();
        match parts.as_slice() {
            [name] if FOLDED.contains(&name.as_str()) || REWRITTEN.contains(&name.as_str()) => Ok(()),
            [name] if feitian_sql::is_table_function(name) => {
                let places = "in LATERAL VIEW or alone in a SELECT list";
                Err(semantic(at, format!("table function {name} can only stand {places}")))
            }
            [name] if registry.contains(name) => {
                let only_window = registry.window.contains_key(name) && !registry.aggregate.contains_key(name);
                if !only_window || function.over.is_some() {
                    return Ok(());
                }
                let detail = format!("window function {name} needs an OVER clause");
                Err(statement_error(Kind::Invalid, "ODPS-0130181", at, "Window function exception", &detail))
            }
            _ => {
                let clause = clause_of(function);
                self.note(&mut function.name, false, clause);
                Ok(())
            }
        }
    }

    fn expression(&mut self, expr: &mut Expr) -> Result<()> {
        match expr {
            Expr::Function(function) => self.function(function),
            // `project.table.column`, `schema.table.column` and all four: tables are known by their last name.
            Expr::CompoundIdentifier(parts) if parts.len() > 2 => {
                let names: Vec<&str> = parts.iter().map(|p| p.value.as_str()).collect();
                let known = |project: &str, table: &str| {
                    self.found.tables.keys().chain(&self.target).any(|(p, t)| p == project && t == table)
                };
                let before_table = match names.as_slice() {
                    [project, schema, table, _, ..] if known(project, &local_name(schema, table)) => 2,
                    [project, table, ..] if known(project, table) => 1,
                    [schema, table, ..] if known(self.session.project(), &local_name(schema, table)) => 1,
                    _ => 0,
                };
                parts.drain(..before_table);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// The clause that aggregates of users may have.
pub(super) const DISTINCT: &str = "DISTINCT";

/// What a call has that only aggregates and windows have.
fn clause_of(function: &Function) -> Option<&'static str> {
    let distinct = matches!(&function.args, FunctionArguments::List(list) if list.duplicate_treatment.is_some());
    let within = matches!(&function.args, FunctionArguments::List(list) if !list.clauses.is_empty());
    let clauses = [
        (within, "a clause after the arguments"),
        (function.filter.is_some(), "FILTER"),
        (function.over.is_some(), "OVER"),
        (function.null_treatment.is_some(), "IGNORE NULLS"),
        (!function.within_group.is_empty(), "WITHIN GROUP"),
        // The last, because some calls may have it alone.
        (distinct, DISTINCT),
    ];
    clauses.into_iter().find_map(|(there, name)| there.then_some(name))
}

fn flow(result: Result<()>) -> ControlFlow<Error> {
    match result {
        Ok(()) => ControlFlow::Continue(()),
        Err(e) => ControlFlow::Break(e),
    }
}

impl VisitorMut for Names<'_> {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        let with = query.with.iter().flat_map(|w| &w.cte_tables).map(|c| c.alias.name.value.clone());
        let recursive = query.with.as_ref().is_some_and(|with| with.recursive);
        self.frames.push(Frame { names: with.collect(), visible: 0, recursive });
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<Error> {
        self.frames.pop();
        // WITH comes before everything else of a query, so the first inner queries are its own, in order.
        if let Some(outer) = self.frames.last_mut()
            && outer.visible < outer.names.len()
        {
            outer.visible += 1;
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Error> {
        flow(self.table(factor))
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        flow(self.expression(expr))
    }
}

/// True if feitian has a function of this name, of whatever kind.
pub(crate) fn is_ours(name: &str) -> bool {
    let special = FOLDED.contains(&name) || REWRITTEN.contains(&name);
    special || feitian_sql::is_table_function(name) || feitian_functions::registry().contains(name)
}

/// Functions that are replaced before planning.
pub(super) const FOLDED: [&str; 5] =
    ["get_user_id", "materialized_view_is_valid", "max_pt", "partition_exists", "table_exists"];

/// Functions that `prepare` turns into something else.
const REWRITTEN: [&str; 3] = ["decode", "grouping_id", "grouping__id"];

/// A literal text argument of a call; `None` if there is no such argument.
pub(super) fn text_argument(function: &Function, index: usize) -> Option<Result<String>> {
    let FunctionArguments::List(list) = &function.args else { return None };
    let arg = list.args.get(index)?;
    Some(match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(v))) => match &v.value {
            Value::SingleQuotedString(s) => Ok(s.clone()),
            Value::Number(n, _) => Ok(n.clone()),
            _ => Err(constant(function, index)),
        },
        _ => Err(constant(function, index)),
    })
}

fn constant(function: &Function, index: usize) -> Error {
    let at = Position::from(function.name.span());
    let detail = format!("argument {} of function {} must be a constant", index + 1, function.name);
    statement_error(Kind::Invalid, "ODPS-0121105", at, "Constant argument value expected", &detail)
}
