//! Names in a query: which tables it reads, and that its functions exist.
//!
//! Every table gets its full name `project.table` in the syntax tree, and keeps the name by which the query knows it as
//! an alias, so that the planner never has to guess.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use feitian_base::{Error, Kind, Result};
use feitian_meta::{
    DEFAULT_SCHEMA, Function as Registered, ObjectName as FunctionName, Schema, local_name, split_local_name,
};
use feitian_sql::{Position, SqlError, object_parts};
use sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName, Query, Spanned, TableAlias,
    TableFactor, Value, VisitMut, VisitorMut,
};

use super::Session;
use super::errors::{semantic, statement_error};
use super::hints;
use crate::system::SystemTable;

/// A table's project and its name there ([`local_name`]).
pub(crate) type TableName = (String, String);

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
}

struct Names<'a> {
    session: &'a Session,
    /// The function because of which the visit ended: it is not one of ours.
    unknown: Option<(String, Position)>,
    /// Tables found, with the first place of each.
    tables: BTreeMap<TableName, Position>,
    frames: Vec<Frame>,
}

/// Gives every table its full name and returns the tables with their places; checks the names of functions.
pub(super) async fn resolve(query: &mut Query, session: &Session) -> Result<BTreeMap<TableName, Position>> {
    let mut names = Names { session, unknown: None, tables: BTreeMap::new(), frames: Vec::new() };
    match (query.visit(&mut names), names.unknown) {
        (ControlFlow::Continue(()), _) => Ok(names.tables),
        (ControlFlow::Break(e), None) => Err(e),
        (ControlFlow::Break(e), Some((name, at))) => match registered(session, &name).await? {
            Some(function) => {
                let what = format!("to run {name}, which a user registered for {},", function.class_type);
                Err(super::errors::front_end(SqlError::unsupported(at, what)))
            }
            None => Err(e),
        },
    }
}

/// The function that a user registered under `name` or `schema.name` in the session's project.
async fn registered(session: &Session, name: &str) -> Result<Option<Registered>> {
    let (schemas, name) = match name.split_once('.') {
        Some((schema, name)) => (vec![schema], name),
        None => (vec![session.schema(), DEFAULT_SCHEMA], name),
    };
    for schema_name in schemas {
        let (project, name) = (session.project().to_string(), name.to_string());
        let at = FunctionName { project, schema_name: schema_name.to_string(), name };
        if let Some(found) = session.warehouse.meta().function(&at).await? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

impl Names<'_> {
    fn is_with_query(&self, name: &str) -> bool {
        self.frames.iter().any(|f| f.names[..f.visible].iter().any(|n| n == name))
    }

    fn table(&mut self, factor: &mut TableFactor) -> Result<()> {
        let TableFactor::Table { name, alias, .. } = factor else { return Ok(()) };
        let parts = object_parts(name);
        if let [single] = parts.as_slice()
            && self.is_with_query(single)
        {
            return Ok(());
        }
        let (project, table, at) = table_name(name, self.session)?;
        let span = name.span();
        if alias.is_none() {
            let bare = split_local_name(&table).1.to_string();
            let name = Ident { value: bare, quote_style: Some('`'), span };
            *alias = Some(TableAlias { explicit: true, name, columns: Vec::new(), at: None });
        }
        let ident = |value: &str| Ident { value: value.to_string(), quote_style: Some('`'), span };
        *name = ObjectName::from(vec![ident(&project), ident(&table)]);
        self.tables.entry((project, table)).or_insert(at);
        Ok(())
    }

    fn function(&mut self, function: &Function) -> Result<()> {
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
                let name = parts.join(".");
                let near = hints::did_you_mean(&name, registry.names());
                let text = format!("function or view '{name}' cannot be resolved{near}");
                self.unknown = Some((name, at));
                Err(semantic(at, text))
            }
        }
    }

    fn expression(&mut self, expr: &mut Expr) -> Result<()> {
        match expr {
            Expr::Function(function) => self.function(function),
            // `project.table.column`, `schema.table.column` and all four: tables are known by their last name.
            Expr::CompoundIdentifier(parts) if parts.len() > 2 => {
                let names: Vec<&str> = parts.iter().map(|p| p.value.as_str()).collect();
                let known = |project: &str, table: &str| self.tables.keys().any(|(p, t)| p == project && t == table);
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
        self.frames.push(Frame { names: with.collect(), visible: 0 });
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

/// Functions that are replaced before planning.
pub(super) const FOLDED: [&str; 3] = ["max_pt", "partition_exists", "table_exists"];

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
