//! The query that finds the rows which a statement changes: its SELECT list is the action, the place of the old row, and
//! the values that the statement gives.
//!
//! UPDATE and DELETE ask the table and what FROM names. MERGE asks the source with the table joined to it: every row of the
//! source if rows are inserted, else those that match.

use std::ops::ControlFlow;

use feitian_base::{Error, Kind, Result};
use feitian_functions::registry;
use feitian_sql::{
    Assignment, Dml, MergeAction, MergeClause, PartitionTerm, Position, RowChange, SqlError, object_parts, parse_query,
    types,
};
use sqlparser::ast::helpers::attached_token::AttachedToken;
use sqlparser::ast::{
    AccessExpr, BinaryOperator, CaseWhen, CastKind, Expr, GroupByExpr, Ident, Join, JoinConstraint, JoinOperator,
    ObjectName, ObjectNamePart, Query, Select, SelectItem, SetExpr, Spanned, TableAlias, TableFactor, TableWithJoins,
    Value, Visit, VisitMut, Visitor, VisitorMut,
};

use super::plan::{DELETE, INSERT, UPDATE};
use crate::catalog::OpenTable;
use crate::query::errors::{self, semantic, statement_error};
use crate::query::names::{TARGET, is_ours};
use crate::scan::{FILE_COLUMN, ROW_COLUMN};
use crate::writer::{NULL_PARTITION, partition_value};

fn ident(name: &str) -> Ident {
    Ident::with_quote('`', name)
}

fn text(value: &str) -> Expr {
    Expr::Value(Value::SingleQuotedString(value.to_string()).with_empty_span())
}

/// The query of `dml` over `table`.
pub(super) fn query(dml: &Dml, table: &OpenTable) -> Result<Query> {
    let alias = dml.alias.clone().unwrap_or_else(|| ident(&table.row.name));
    let target = target(table, &alias);
    let place = |column: &str| Expr::CompoundIdentifier(vec![alias.clone(), ident(column)]);
    let (action, values, from, selection) = match &dml.change {
        RowChange::Update { set, from, selection } => {
            check_copies(set)?;
            let mut tables = vec![TableWithJoins { relation: target, joins: Vec::new() }];
            tables.extend(from.iter().cloned());
            let values: Vec<Expr> = set.iter().map(|a| a.value.clone()).collect();
            (text(UPDATE), values, tables, selection.as_deref().cloned())
        }
        RowChange::Delete { partition, selection } => {
            let mut conditions = Vec::new();
            for term in partition {
                conditions.push(in_partition(table, &alias, term)?);
            }
            conditions.extend(selection.iter().map(|e| Expr::Nested(e.clone())));
            let tables = vec![TableWithJoins { relation: target, joins: Vec::new() }];
            (text(DELETE), Vec::new(), tables, conditions.into_iter().reduce(and))
        }
        RowChange::Merge { source, on, clauses } => {
            let inserts = clauses.iter().any(|c| matches!(c.action, MergeAction::Insert { .. }));
            let on = JoinConstraint::On(on.as_ref().clone());
            let join_operator = if inserts { JoinOperator::LeftOuter(on) } else { JoinOperator::Inner(on) };
            let joins = vec![Join { relation: target, global: false, join_operator }];
            let tables = vec![TableWithJoins { relation: source.as_ref().clone(), joins }];
            for clause in clauses {
                if let MergeAction::Update(set) = &clause.action {
                    check_copies(set)?;
                }
            }
            let mut clauses = clauses.clone();
            let columns: Vec<&str> = table.row.schema.all_columns().map(|c| c.name.as_str()).collect();
            clauses.iter_mut().for_each(|clause| of_source(clause, source, &columns));
            (action_of(&clauses, &place(ROW_COLUMN)), values_of(&clauses), tables, None)
        }
    };
    let named = |(expr, name): (Expr, &str)| SelectItem::ExprWithAlias { expr, alias: ident(name) };
    let places = [(action, "__feitian_action"), (place(FILE_COLUMN), FILE_COLUMN), (place(ROW_COLUMN), ROW_COLUMN)];
    let mut projection: Vec<SelectItem> = places.into_iter().map(named).collect();
    projection.extend(values.into_iter().enumerate().map(|(i, e)| named((e, format!("__feitian_{i}").as_str()))));
    let mut query = *parse_query("SELECT 1").map_err(errors::front_end)?;
    let SetExpr::Select(select) = &mut *query.body else { return Err(Error::internal("a SELECT")) };
    (select.projection, select.from, select.selection) = (projection, from, selection);
    query.with.clone_from(&dml.with);
    Ok(query)
}

/// The table under a name of which the planner knows that it has places.
fn target(table: &OpenTable, alias: &Ident) -> TableFactor {
    let local = format!("{}{TARGET}", table.row.local_name());
    TableFactor::Table {
        name: ObjectName::from(vec![ident(&table.row.project), ident(&local)]),
        alias: Some(TableAlias { explicit: true, name: alias.clone(), columns: Vec::new(), at: None }),
        args: None,
        with_hints: Vec::new(),
        version: None,
        with_ordinality: false,
        partitions: Vec::new(),
        json_path: None,
        sample: None,
        index_hints: Vec::new(),
    }
}

fn and(left: Expr, right: Expr) -> Expr {
    Expr::BinaryOp { left: Box::new(left), op: BinaryOperator::And, right: Box::new(right) }
}

/// `column=value` of DELETE's PARTITION clause as a condition.
fn in_partition(table: &OpenTable, alias: &Ident, term: &PartitionTerm) -> Result<Expr> {
    let key = |detail: String| {
        let general = "Invalid column or partition key";
        statement_error(Kind::Invalid, "ODPS-0130191", term.position, general, &detail)
    };
    let Some(column) = table.row.schema.partition_columns.iter().find(|c| c.name == term.name) else {
        let table = format!("{}.{}", table.row.project, table.row.local_name());
        return Err(key(format!("{} is no partition column of {table}", term.name)));
    };
    let Some(value) = &term.value else {
        return Err(key(format!("partition column {} needs a value here", term.name)));
    };
    let value = partition_value(column, value)?;
    let name = Expr::CompoundIdentifier(vec![alias.clone(), ident(&column.name)]);
    if value == NULL_PARTITION && !column.ty.is_text() {
        return Ok(Expr::IsNull(Box::new(name)));
    }
    let literal = match column.ty.is_text() {
        true => text(&value),
        false => Expr::Cast {
            kind: CastKind::Cast,
            expr: Box::new(text(&value)),
            data_type: types::to_sql(&column.ty),
            array: false,
            format: None,
        },
    };
    Ok(Expr::BinaryOp { left: Box::new(name), op: BinaryOperator::Eq, right: Box::new(literal) })
}

fn case(conditions: Vec<CaseWhen>, otherwise: Option<Expr>) -> Expr {
    let token = AttachedToken::empty();
    let else_result = otherwise.map(Box::new);
    Expr::Case { case_token: token.clone(), end_token: token, operand: None, conditions, else_result }
}

/// Where nothing matches, a name without a table means a column of the source, although the table has one of that name.
struct OfSource<'a> {
    source: &'a Ident,
    /// The names that the table has, too.
    columns: &'a [&'a str],
    /// Queries, lambdas and accesses around the expression: they have names of their own.
    depth: usize,
}

impl VisitorMut for OfSource<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        self.depth += usize::from(matches!(expr, Expr::Lambda(_) | Expr::CompoundFieldAccess { .. }));
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        match expr {
            Expr::Lambda(_) => self.depth -= 1,
            Expr::CompoundFieldAccess { root, access_chain } => {
                self.depth -= 1;
                if let Expr::Identifier(name) = &**root
                    && self.depth == 0
                    && name.value != self.source.value
                    && self.columns.contains(&name.value.as_str())
                {
                    access_chain.insert(0, AccessExpr::Dot(Expr::Identifier(name.clone())));
                    **root = Expr::Identifier(self.source.clone());
                }
            }
            Expr::Identifier(name) if self.depth == 0 && self.columns.contains(&name.value.as_str()) => {
                *expr = Expr::CompoundIdentifier(vec![self.source.clone(), name.clone()]);
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// Gives the source's name to the names in `clause`, if it is an INSERT. A source without a name leaves them as they are.
fn of_source(clause: &mut MergeClause, source: &TableFactor, columns: &[&str]) {
    let MergeAction::Insert { values, .. } = &mut clause.action else { return };
    let source = match source {
        TableFactor::Table { alias: Some(alias), .. } | TableFactor::Derived { alias: Some(alias), .. } => &alias.name,
        TableFactor::Table { name, .. } => match name.0.last().and_then(ObjectNamePart::as_ident) {
            Some(name) => name,
            None => return,
        },
        _ => return,
    };
    let mut visitor = OfSource { source, columns, depth: 0 };
    for expr in values.iter_mut().chain(&mut clause.condition) {
        let _ = VisitMut::visit(expr, &mut visitor);
    }
}

/// Finds aggregates of a SELECT list, but none of a query inside.
#[derive(Default)]
struct Aggregates {
    depth: usize,
    found: bool,
}

impl Visitor for Aggregates {
    type Break = ();

    fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if let Expr::Function(f) = expr
            && self.depth == 0
            && f.over.is_none()
        {
            let name = object_parts(&f.name).join(".");
            // One of a user may be an aggregate.
            self.found |= registry().aggregate.contains_key(&name) || !is_ours(&name);
        }
        ControlFlow::Continue(())
    }
}

/// Whether `select` makes one row of all because of an aggregate in its list.
fn is_total(select: &Select) -> bool {
    let mut aggregates = Aggregates::default();
    let _ = Visit::visit(&select.projection, &mut aggregates);
    aggregates.found && matches!(&select.group_by, GroupByExpr::Expressions(items, _) if items.is_empty())
}

/// Refuses `(a, b) = (SELECT max(x), 1 …)`: each column has a copy of the query, and one without the aggregate finds other
/// rows. Copies stand at the same place and follow each other.
fn check_copies(set: &[Assignment]) -> Result<()> {
    fn select_of(value: &Expr) -> Option<&Select> {
        let Expr::Subquery(query) = value else { return None };
        let SetExpr::Select(select) = &*query.body else { return None };
        Some(select)
    }
    for (a, b) in set.iter().zip(set.iter().skip(1)) {
        let (Some(x), Some(y)) = (select_of(&a.value), select_of(&b.value)) else { continue };
        if x.select_token.0.span == y.select_token.0.span && is_total(x) != is_total(y) {
            let at = place_of(&a.value, a.column.position);
            let what =
                "this query for several columns of SET, some with aggregates or functions of users and some without,";
            return Err(errors::front_end(SqlError::unsupported(at, what)));
        }
    }
    Ok(())
}

/// Which of the clauses a row of the join comes to: the first whose condition holds, NULL if none does. `row` is NULL where
/// nothing matches.
fn action_of(clauses: &[MergeClause], row: &Expr) -> Expr {
    let mut sides = [Vec::new(), Vec::new()];
    for clause in clauses {
        let (side, word) = match clause.action {
            MergeAction::Update(_) => (0, UPDATE),
            MergeAction::Delete => (0, DELETE),
            MergeAction::Insert { .. } => (1, INSERT),
        };
        let always = || Expr::Value(Value::Boolean(true).with_empty_span());
        let condition = clause.condition.clone().unwrap_or_else(always);
        sides[side].push(CaseWhen { condition, result: text(word) });
    }
    let [matched, not_matched] = sides.map(|whens| match whens.is_empty() {
        true => Expr::Value(Value::Null.with_empty_span()),
        false => case(whens, None),
    });
    let is_matched = Expr::IsNotNull(Box::new(row.clone()));
    case(vec![CaseWhen { condition: is_matched, result: matched }], Some(not_matched))
}

/// The values of UPDATE, then those of INSERT.
fn values_of(clauses: &[MergeClause]) -> Vec<Expr> {
    let mut values = Vec::new();
    for clause in clauses {
        if let MergeAction::Update(set) = &clause.action {
            values.extend(set.iter().map(|a| a.value.clone()));
        }
    }
    for clause in clauses {
        if let MergeAction::Insert { values: inserted, .. } = &clause.action {
            values.extend(inserted.iter().cloned());
        }
    }
    values
}

/// Where a value stands in the text; `other` for one without a place.
pub(super) fn place_of(value: &Expr, other: Position) -> Position {
    match Position::from(value.span()) {
        Position::UNKNOWN => other,
        at => at,
    }
}

/// ODPS-0130071 at `at`
pub(super) fn refuse<T>(at: Position, detail: impl AsRef<str>) -> Result<T> {
    Err(semantic(at, detail))
}
