//! Columns by a regular expression: `` SELECT `abc.*` FROM t `` names those whose whole names match.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::logical_expr::TableSource;
use feitian_base::{Error, Kind, Result};
use feitian_functions::{ColumnPattern, is_column_pattern};
use feitian_sql::{Position, SqlError, object_parts};
use sqlparser::ast::{Expr, Ident, Query, Select, SelectItem, TableFactor, Visit, VisitMut, Visitor, VisitorMut};

use super::errors::{front_end, semantic, statement_error};
use super::names::TableName;

/// Replaces the patterns by the columns of the tables in FROM, which have their full names already.
pub(super) fn expand(query: &mut Query, sources: &HashMap<TableName, Arc<dyn TableSource>>) -> Result<()> {
    let mut named = Named(HashSet::new());
    let ControlFlow::Continue(()) = Visit::visit(&*query, &mut named);
    for source in sources.values() {
        named.0.extend(source.schema().fields().iter().map(|f| f.name().clone()));
    }
    match VisitMut::visit(query, &mut Expand { sources, named: named.0 }) {
        ControlFlow::Break(e) => Err(e),
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// The names that the query gives to columns.
struct Named(HashSet<String>);

impl Visitor for Named {
    type Break = Infallible;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Infallible> {
        for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
            self.0.extend(cte.alias.columns.iter().map(|column| column.name.value.clone()));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<Infallible> {
        for item in &select.projection {
            match item {
                SelectItem::ExprWithAlias { alias, .. } => {
                    self.0.insert(alias.value.clone());
                }
                SelectItem::ExprWithAliases { aliases, .. } => {
                    self.0.extend(aliases.iter().map(|alias| alias.value.clone()));
                }
                _ => {}
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, table: &TableFactor) -> ControlFlow<Infallible> {
        if let TableFactor::Table { alias: Some(alias), .. }
        | TableFactor::Derived { alias: Some(alias), .. }
        | TableFactor::Function { alias: Some(alias), .. }
        | TableFactor::Pivot { alias: Some(alias), .. }
        | TableFactor::Unpivot { alias: Some(alias), .. } = table
        {
            self.0.extend(alias.columns.iter().map(|column| column.name.value.clone()));
        }
        ControlFlow::Continue(())
    }
}

struct Expand<'a> {
    sources: &'a HashMap<TableName, Arc<dyn TableSource>>,
    /// The names of all columns of the query and of its tables.
    named: HashSet<String>,
}

impl VisitorMut for Expand<'_> {
    type Break = Error;

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Error> {
        if !select.projection.iter().any(|item| pattern(item).is_some()) {
            return ControlFlow::Continue(());
        }
        match self.projection(select) {
            Ok(items) => {
                select.projection = items;
                ControlFlow::Continue(())
            }
            Err(e) => ControlFlow::Break(e),
        }
    }
}

/// The item as a quoted name that may be a pattern.
fn pattern(item: &SelectItem) -> Option<&Ident> {
    match item {
        SelectItem::UnnamedExpr(Expr::Identifier(name)) if name.quote_style.is_some() => {
            is_column_pattern(&name.value).then_some(name)
        }
        _ => None,
    }
}

impl Expand<'_> {
    fn projection(&self, select: &Select) -> Result<Vec<SelectItem>> {
        let tables = select.from.iter().flat_map(|from| {
            let joined = from.joins.iter().map(|join| &join.relation);
            std::iter::once(&from.relation).chain(joined)
        });
        // `None` for the columns of what is no table: only the planner knows them.
        let columns: Option<Vec<(Ident, String)>> =
            tables.map(|table| self.columns(table)).collect::<Option<Vec<_>>>().map(|all| all.concat());
        let mut items = Vec::with_capacity(select.projection.len());
        for item in &select.projection {
            let Some(name) = pattern(item) else {
                items.push(item.clone());
                continue;
            };
            let at = Position::from(name.span);
            let Some(columns) = &columns else {
                // A subquery may give a column a name that looks like a pattern.
                if self.named.contains(&name.value) {
                    items.push(item.clone());
                    continue;
                }
                let what = "columns by a regular expression of anything but tables and views";
                return Err(front_end(SqlError::unsupported(at, what)));
            };
            if columns.iter().any(|(_, column)| *column == name.value) {
                items.push(item.clone());
                continue;
            }
            let found = ColumnPattern::parse(&name.value).map_err(|e| {
                let kind = if e.code == "ODPS-0121125" { Kind::Unsupported } else { Kind::Invalid };
                statement_error(kind, e.code, at, e.general, &e.details)
            })?;
            let before = items.len();
            for (table, column) in columns.iter().filter(|(_, column)| found.matches(column)) {
                let column = Ident { value: column.clone(), quote_style: Some('`'), span: name.span };
                items.push(SelectItem::UnnamedExpr(Expr::CompoundIdentifier(vec![table.clone(), column])));
            }
            if items.len() == before {
                return Err(semantic(
                    at,
                    format!("column {} cannot be resolved, nor does it match a column", name.value),
                ));
            }
        }
        Ok(items)
    }

    /// The columns of a table with the name by which the query knows the table.
    fn columns(&self, table: &TableFactor) -> Option<Vec<(Ident, String)>> {
        let TableFactor::Table { name, alias: Some(alias), .. } = table else { return None };
        if !alias.columns.is_empty() {
            return None;
        }
        let [project, table] = <[String; 2]>::try_from(object_parts(name)).ok()?;
        let schema = self.sources.get(&(project, table))?.schema();
        Some(schema.fields().iter().map(|f| (alias.name.clone(), f.name().clone())).collect())
    }
}
