//! GROUPING SETS, ROLLUP and CUBE in all their spellings, and the functions that tell their rows apart.
//!
//! The planner acts on one spelling only: a single `GROUPING SETS (…)` as the whole of GROUP BY. It drops `WITH ROLLUP`,
//! `WITH CUBE` and trailing `GROUPING SETS` without a word, and knows no list inside ROLLUP and CUBE. So every spelling
//! is multiplied out to that one here. `GROUPING__ID` and `GROUPING_ID(…)` become `GROUPING(…)`, whose first argument is
//! the highest bit, set where the column was aggregated away.

use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::common::{Column, Result as PlanResult};
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{Aggregate, Expr as PlanExpr, GroupingSet, LogicalPlan, Projection};
use feitian_base::{Error, Result};
use feitian_sql::Position;
use sqlparser::ast::{
    CastKind, DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments,
    GroupByExpr, GroupByWithModifier, Ident, ObjectName, OrderBy, Query, Select, SelectItem, SetExpr, Spanned,
    VisitMut, VisitorMut,
};

use super::errors::semantic;

/// A CUBE of 12 columns.
const MAX_SETS: usize = 4096;
/// The engine keeps a bit for each column.
const MAX_COLUMNS: usize = 60;

/// Gives the GROUP BY of `query` the one spelling that the planner acts on; branches of a set operation have their own
/// turn.
pub(super) fn rewrite(query: &mut Query) -> Result<()> {
    match &mut *query.body {
        SetExpr::Select(select) => rewrite_select(select, &mut query.order_by),
        _ => Ok(()),
    }
}

/// The same for a SELECT and the ORDER BY that belongs to it. Doing it again changes nothing.
pub(super) fn rewrite_select(select: &mut Select, order_by: &mut Option<OrderBy>) -> Result<()> {
    let GroupByExpr::Expressions(items, modifiers) = &mut select.group_by else { return Ok(()) };
    let grouped = |e: &Expr| matches!(e, Expr::GroupingSets(_) | Expr::Rollup(_) | Expr::Cube(_));
    let at = items.iter().find_map(|e| match e {
        Expr::GroupingSets(sets) | Expr::Rollup(sets) | Expr::Cube(sets) => sets.iter().flatten().next(),
        e => Some(e),
    });
    let at = at.map_or(Position::UNKNOWN, |e| e.span().into());
    let columns = distinct(items.iter().flat_map(|e| match e {
        Expr::GroupingSets(sets) | Expr::Rollup(sets) | Expr::Cube(sets) => sets.concat(),
        e => vec![e.clone()],
    }));
    if !modifiers.is_empty() || items.iter().any(grouped) {
        if columns.len() > MAX_COLUMNS {
            return Err(semantic(at, format!("more than {MAX_COLUMNS} columns in GROUPING SETS, ROLLUP or CUBE")));
        }
        let sets = match modifiers.as_slice() {
            [] => product(items, at)?,
            modifiers => modified(items, modifiers, at)?,
        };
        modifiers.clear();
        *items = match sets.as_slice() {
            // The grand total alone is a query without GROUP BY.
            [only] if only.is_empty() => Vec::new(),
            _ => vec![Expr::GroupingSets(sets)],
        };
    }
    let mut functions = Functions { columns, depth: 0 };
    for item in &mut select.projection {
        name_as_written(item);
    }
    let mut visit = || -> ControlFlow<Error> {
        select.projection.visit(&mut functions)?;
        select.having.visit(&mut functions)?;
        select.qualify.visit(&mut functions)?;
        order_by.visit(&mut functions)
    };
    match visit() {
        ControlFlow::Break(e) => Err(e),
        ControlFlow::Continue(()) => Ok(()),
    }
}

fn distinct(items: impl Iterator<Item = Expr>) -> Vec<Expr> {
    let mut seen: Vec<Expr> = Vec::new();
    for item in items {
        if !seen.contains(&item) {
            seen.push(item);
        }
    }
    seen
}

/// `GROUP BY a, b WITH ROLLUP`, `… WITH CUBE`, `… GROUPING SETS (…)`.
fn modified(items: &[Expr], modifiers: &[GroupByWithModifier], at: Position) -> Result<Vec<Vec<Expr>>> {
    let single: Vec<Vec<Expr>> = items.iter().map(|e| vec![e.clone()]).collect();
    match modifiers {
        [GroupByWithModifier::Rollup] => product(&[Expr::Rollup(single)], at),
        [GroupByWithModifier::Cube] => product(&[Expr::Cube(single)], at),
        [GroupByWithModifier::GroupingSets(Expr::GroupingSets(sets))] => {
            if let Some(other) = sets.iter().flatten().find(|e| !items.contains(e)) {
                let at = Position::from(other.span());
                return Err(semantic(at, format!("{other} of GROUPING SETS is not in GROUP BY")));
            }
            if let Some(unused) = items.iter().find(|e| !sets.iter().flatten().any(|s| s == *e)) {
                let at = Position::from(unused.span());
                return Err(semantic(at, format!("{unused} of GROUP BY is in none of the GROUPING SETS")));
            }
            Ok(sets.clone())
        }
        _ => Err(semantic(at, "these clauses cannot follow each other in GROUP BY")),
    }
}

/// Every combination of one set of each item.
fn product(items: &[Expr], at: Position) -> Result<Vec<Vec<Expr>>> {
    let too_many = || semantic(at, format!("GROUP BY makes more than {MAX_SETS} grouping sets"));
    let mut all: Vec<Vec<Expr>> = vec![Vec::new()];
    for item in items {
        let sets: Vec<Vec<Expr>> = match item {
            Expr::GroupingSets(sets) => sets.clone(),
            Expr::Rollup(parts) => (0..=parts.len()).rev().map(|n| parts[..n].concat()).collect(),
            Expr::Cube(parts) => {
                if parts.len() > MAX_SETS.ilog2() as usize {
                    return Err(too_many());
                }
                // The first part is the highest bit, so that the full set comes first.
                let is_in = |subset: usize, i: usize| subset >> (parts.len() - 1 - i) & 1 == 1;
                let subset = |s: usize| {
                    let chosen = parts.iter().enumerate().filter(|(i, _)| is_in(s, *i));
                    chosen.flat_map(|(_, part)| part.clone()).collect()
                };
                (0..1usize << parts.len()).rev().map(subset).collect()
            }
            other => vec![vec![other.clone()]],
        };
        if all.len() * sets.len() > MAX_SETS {
            return Err(too_many());
        }
        all = all.iter().flat_map(|a| sets.iter().map(|s| distinct(a.iter().chain(s).cloned()))).collect();
    }
    Ok(all)
}

fn is_grouping_id(expr: &Expr) -> bool {
    matches!(expr, Expr::Identifier(name) if name.value == "grouping__id")
}

/// A column that is `GROUPING__ID` keeps this name.
fn name_as_written(item: &mut SelectItem) {
    if let SelectItem::UnnamedExpr(expr) = item
        && is_grouping_id(expr)
    {
        let alias = Ident { value: "grouping__id".to_string(), quote_style: Some('`'), span: expr.span() };
        *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
    }
}

/// Turns the functions of one query, not of those inside it, into what the planner knows.
struct Functions {
    /// The columns of GROUP BY in the order written.
    columns: Vec<Expr>,
    depth: usize,
}

impl Functions {
    fn replaced(&self, expr: &Expr) -> Result<Option<Expr>> {
        let at = Position::from(expr.span());
        let all = || match self.columns.is_empty() {
            true => Err(semantic(at, "GROUPING__ID needs a GROUP BY")),
            false => Ok(self.columns.clone()),
        };
        if is_grouping_id(expr) {
            // A column of that name is a column.
            return if self.columns.is_empty() { Ok(None) } else { all().map(|c| Some(grouping(c))) };
        }
        let Expr::Function(function) = expr else { return Ok(None) };
        let args = match function.name.to_string().to_lowercase().as_str() {
            "grouping__id" => all()?,
            "grouping" | "grouping_id" => arguments(function)?,
            _ => return Ok(None),
        };
        if args.is_empty() {
            return Err(semantic(at, format!("function {} needs a column of GROUP BY", function.name)));
        }
        Ok(Some(grouping(args)))
    }
}

fn arguments(function: &Function) -> Result<Vec<Expr>> {
    let FunctionArguments::List(list) = &function.args else { return Ok(Vec::new()) };
    let expr = |arg: &FunctionArg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(e)) => Ok(e.clone()),
        _ => Err(semantic(function.name.span().into(), format!("function {} takes columns only", function.name))),
    };
    list.args.iter().map(expr).collect()
}

/// `CAST(GROUPING(columns) AS BIGINT)`
fn grouping(columns: Vec<Expr>) -> Expr {
    let args = columns.into_iter().map(|e| FunctionArg::Unnamed(FunctionArgExpr::Expr(e))).collect();
    let call = Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new("grouping")]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList { duplicate_treatment: None, args, clauses: Vec::new() }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    });
    let data_type = DataType::BigInt(None);
    Expr::Cast { kind: CastKind::Cast, expr: Box::new(call), data_type, array: false, format: None }
}

impl VisitorMut for Functions {
    type Break = Error;

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<Error> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<Error> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        if self.depth > 0 {
            return ControlFlow::Continue(());
        }
        match self.replaced(expr) {
            Ok(None) => {}
            Ok(Some(new)) => *expr = new,
            Err(e) => return ControlFlow::Break(e),
        }
        ControlFlow::Continue(())
    }
}

/// Computes the expressions of grouping sets below the aggregation, so that the sets hold nothing but columns.
///
/// What comes after the planner converts types and keeps names by aliases, and a set of aliases is no set any more.
pub(super) fn plain_columns(plan: LogicalPlan) -> PlanResult<LogicalPlan> {
    let LogicalPlan::Aggregate(aggregate) = plan else { return Ok(plan) };
    let [PlanExpr::GroupingSet(GroupingSet::GroupingSets(sets))] = aggregate.group_expr.as_slice() else {
        return Ok(LogicalPlan::Aggregate(aggregate));
    };
    let mut computed: Vec<PlanExpr> = Vec::new();
    for e in sets.iter().flatten() {
        if !matches!(e, PlanExpr::Column(_)) && !computed.contains(e) {
            computed.push(e.clone());
        }
    }
    if computed.is_empty() {
        return Ok(LogicalPlan::Aggregate(aggregate));
    }
    let column = |e: &PlanExpr| match computed.contains(e) {
        true => PlanExpr::Column(Column::new_unqualified(e.schema_name().to_string())),
        false => e.clone(),
    };
    let sets = sets.iter().map(|set| set.iter().map(column).collect()).collect();
    let of_grouping = |e: &PlanExpr| match e {
        PlanExpr::AggregateFunction(AggregateFunction { func, params }) if func.name() == "grouping" => {
            let mut params = params.clone();
            params.args = params.args.iter().map(column).collect();
            PlanExpr::AggregateFunction(AggregateFunction { func: func.clone(), params })
        }
        e => e.clone(),
    };
    let aggr_expr = aggregate.aggr_expr.iter().map(of_grouping).collect();
    let before = aggregate.input.schema().iter().map(|(q, f)| PlanExpr::Column(Column::from((q, f))));
    let new = computed.iter().map(|e| e.clone().alias(e.schema_name().to_string()));
    let input = Projection::try_new(before.chain(new).collect(), aggregate.input.clone())?;
    let group_expr = vec![PlanExpr::GroupingSet(GroupingSet::GroupingSets(sets))];
    let input = Arc::new(LogicalPlan::Projection(input));
    Ok(LogicalPlan::Aggregate(Aggregate::try_new(input, group_expr, aggr_expr)?))
}
