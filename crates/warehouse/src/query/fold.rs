//! Functions whose value the metadata know before the query is planned: GET_USER_ID, MAX_PT, TABLE_EXISTS …

use std::collections::{BTreeSet, HashMap};
use std::ops::ControlFlow;

use feitian_base::{Error, Kind, Result};
use feitian_sql::{Position, SqlError};
use sqlparser::ast::{
    Expr, Function, FunctionArguments, Ident, ObjectName, Query, Spanned, Value, Visit, VisitMut, Visitor, VisitorMut,
    visit_relations,
};

use super::Session;
use super::errors::{semantic, statement_error};
use super::names::{FOLDED, TableName, table_name, text_argument};
use super::rights;
use crate::system::SystemTable;

/// The arguments of a call that are literal texts, after the name of the function.
fn key(function: &Function) -> Result<Vec<String>> {
    let mut key = vec![function.name.to_string().to_lowercase()];
    if let FunctionArguments::List(list) = &function.args {
        for i in 0..list.args.len() {
            if let Some(text) = text_argument(function, i) {
                key.push(text?);
            }
        }
    }
    Ok(key)
}

fn is_folded(function: &Function) -> bool {
    FOLDED.contains(&function.name.to_string().to_lowercase().as_str())
}

struct Find(Vec<(Vec<String>, Position)>);

impl Visitor for Find {
    type Break = Error;

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Error> {
        match expr {
            Expr::Function(f) if is_folded(f) => match key(f) {
                Ok(key) => self.0.push((key, f.name.span().into())),
                Err(e) => return ControlFlow::Break(e),
            },
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

struct Replace(HashMap<Vec<String>, Value>);

impl VisitorMut for Replace {
    type Break = Error;

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        let Expr::Function(f) = expr else { return ControlFlow::Continue(()) };
        if is_folded(f)
            && let Ok(key) = key(f)
            && let Some(value) = self.0.get(&key)
        {
            let span = f.name.span();
            *expr = Expr::Value(value.clone().with_span(span));
        }
        ControlFlow::Continue(())
    }
}

/// Replaces the calls of these functions by their values.
pub(super) async fn fold(query: &mut Query, session: &Session) -> Result<()> {
    let mut find = Find(Vec::new());
    if let ControlFlow::Break(e) = Visit::visit(&*query, &mut find) {
        return Err(e);
    }
    if find.0.is_empty() {
        return Ok(());
    }
    let mut values = HashMap::new();
    for (key, at) in find.0 {
        let value = value_of(&key, at, session).await?;
        values.insert(key, value);
    }
    match VisitMut::visit(query, &mut Replace(values)) {
        ControlFlow::Break(e) => Err(e),
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// The tables that these functions ask about in `query`, and the system's that it reads.
pub(super) fn tables(query: &Query, session: &Session) -> Result<BTreeSet<TableName>> {
    let mut find = Find(Vec::new());
    if let ControlFlow::Break(e) = Visit::visit(query, &mut find) {
        return Err(e);
    }
    let mut tables = BTreeSet::new();
    for name in find.0.iter().filter_map(|(key, _)| key.get(1)) {
        let (project, table, _) = table_name(&table_of(name), session)?;
        tables.insert((project, table));
    }
    let _ = visit_relations(query, |name| {
        if let Ok((project, table, _)) = table_name(name, session)
            && SystemTable::named(&project, &table).is_some()
        {
            tables.insert((project, table));
        }
        ControlFlow::<()>::Continue(())
    });
    Ok(tables)
}

/// The table that a text names.
fn table_of(text: &str) -> ObjectName {
    ObjectName::from(text.split('.').map(|p| Ident::new(p.trim().to_lowercase())).collect::<Vec<_>>())
}

/// Whether the query has such calls, which look at tables that it need not read. The id of an account is no table.
pub(crate) fn asks_metadata(query: &Query) -> bool {
    let mut find = Find(Vec::new());
    let broken = Visit::visit(query, &mut find).is_break();
    broken || find.0.iter().any(|(key, _)| key.first().is_some_and(|function| function != "get_user_id"))
}

fn not_partitioned(at: Position, function: &str, project: &str, table: &str) -> Error {
    semantic(at, format!("{function}: table {project}.{table} is not a partitioned table"))
}

/// The id of the account whose job it is; NULL if it is gone.
async fn user_id(arguments: usize, at: Position, session: &Session) -> Result<Value> {
    if arguments > 0 {
        let detail = format!("function get_user_id needs 0 parameters, actually have {arguments}");
        return Err(statement_error(Kind::Invalid, "ODPS-0130221", at, "Invalid number of arguments", &detail));
    }
    let account = session.warehouse.meta().account_by_name(&session.instance.owner).await?;
    Ok(account.map_or(Value::Null, |account| Value::SingleQuotedString(account.id)))
}

async fn value_of(key: &[String], at: Position, session: &Session) -> Result<Value> {
    let (function, args) = (key[0].as_str(), &key[1..]);
    if function == "get_user_id" {
        return user_id(args.len(), at, session).await;
    }
    let Some(table) = args.first() else {
        return Err(semantic(at, format!("function {function} needs the name of a table")));
    };
    let (project, table, _) = table_name(&table_of(table), session)?;
    if SystemTable::named(&project, &table).is_some() {
        return match function {
            "table_exists" => Ok(Value::Boolean(true)),
            _ => Err(not_partitioned(at, function, &project, &table)),
        };
    }
    rights::enter(session, &project).await?;
    let open = match session.warehouse.catalog().open(&project, &table).await {
        Ok(open) => open,
        Err(e) if e.kind() == Kind::NotFound && function == "table_exists" => return Ok(Value::Boolean(false)),
        Err(e) if e.kind() == Kind::NotFound => return Err(super::errors::no_table(at, &project, &table)),
        Err(e) => return Err(e),
    };
    rights::check_table(session, &open.row, "Select", at).await?;
    if function == "table_exists" {
        return Ok(Value::Boolean(true));
    }
    if function == "materialized_view_is_valid" {
        return match args {
            [_] if crate::materialized::is_materialized(&open.row) => {
                Ok(Value::Boolean(crate::materialized::is_valid(session, &open.row).await?))
            }
            [_] => Err(semantic(at, format!("{function}: {project}.{table} is no materialized view"))),
            _ => Err(super::errors::front_end(SqlError::unsupported(at, "materialized_view_is_valid of partitions"))),
        };
    }
    if !open.row.schema.is_partitioned() {
        return Err(not_partitioned(at, function, &project, &table));
    }
    let meta = session.warehouse.meta();
    if function == "partition_exists" {
        let found = meta.list_partitions(&open.row.id, &args[1..], None, 1, false).await?;
        return Ok(Value::Boolean(!found.is_empty()));
    }
    if crate::external::is_external(&open.row) {
        // Nobody counts rows that are in files of others.
        let what = format!("{function} of an external table");
        return Err(super::errors::front_end(SqlError::unsupported(at, what)));
    }
    match meta.largest_partition(&open.row.id).await?.and_then(|p| p.values.into_iter().next()) {
        Some(value) => Ok(Value::SingleQuotedString(value)),
        None => Err(semantic(at, format!("max_pt: table {project}.{table} has no partition with data"))),
    }
}
