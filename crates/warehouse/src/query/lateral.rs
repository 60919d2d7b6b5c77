//! What stands in FROM and DataFusion does not plan: LATERAL VIEW; the rest is in `pivot` and `sets`.
//!
//! `(from JOIN LATERAL f(x) t)` becomes the rows of FROM, each with the rows that `f` makes of it.
//!
//! The lists that the function makes are computed beside the columns of FROM, unnested side by side, and the columns of
//! the function computed from their items. Only the parser makes this form of a join; see its `lateral`.

use datafusion::common::{Column, DFSchema, DataFusionError, Diagnostic, NullHandling, Result, Span, TableReference};
use datafusion::common::{UnnestOptions, plan_err};
use datafusion::logical_expr::expr_rewriter::normalize_col;
use datafusion::logical_expr::planner::{PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning};
use datafusion::logical_expr::{Expr as PlanExpr, LogicalPlan, LogicalPlanBuilder};
use feitian_functions::FunctionError;
use feitian_sql::{UNNEST_WITH_OFFSET, object_parts};
use sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, Join, JoinOperator, NullInclusion, ObjectName, PivotValueSource, Spanned,
    TableAlias, TableFactor, TableWithJoins,
};

use super::pivot::{self, Pivot, Unpivot};
use super::rows::{self, Made};
use super::{sets, user_code};

/// Plans what stands in FROM and DataFusion does not know.
#[derive(Debug)]
pub(super) struct Relations;

impl RelationPlanner for Relations {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        let mut name = None;
        let plan = match relation {
            TableFactor::NestedJoin { table_with_joins, alias: None } if is_lateral(&table_with_joins) => {
                lateral(*table_with_joins, context)?
            }
            TableFactor::NestedJoin { table_with_joins, alias: None } if sets::is_set_operation(&table_with_joins) => {
                sets::plan(*table_with_joins, context)?
            }
            TableFactor::Pivot { table, aggregate_functions, mut value_column, value_source, alias, .. } => {
                let (Some(column), PivotValueSource::List(values)) = (value_column.pop(), value_source) else {
                    return plan_err!("PIVOT without a list of values");
                };
                name = alias;
                let input = context.plan(*table)?;
                pivot::pivot(input, Pivot { aggregates: aggregate_functions, column, values }, context)?
            }
            TableFactor::Unpivot {
                table,
                value: Expr::Identifier(value),
                name: key,
                columns,
                null_inclusion,
                alias,
            } => {
                name = alias;
                let without_nulls = matches!(null_inclusion, Some(NullInclusion::ExcludeNulls));
                let input = context.plan(*table)?;
                pivot::unpivot(input, Unpivot { value, name: key, columns, without_nulls }, context)?
            }
            other => return Ok(RelationPlanning::Original(Box::new(other))),
        };
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, name))))
    }
}

fn is_lateral(tables: &TableWithJoins) -> bool {
    matches!(tables.joins.as_slice(), [Join { relation: TableFactor::Function { lateral: true, .. }, .. }])
}

/// The error with the place of `name`.
fn at(e: impl Into<DataFusionError>, name: &ObjectName) -> DataFusionError {
    let e = e.into();
    let span = Span::try_from_sqlparser_span(name.span());
    let words = e.to_string();
    e.with_diagnostic(Diagnostic::new_error(words, span))
}

fn lateral(tables: TableWithJoins, context: &mut dyn RelationPlannerContext) -> Result<LogicalPlan> {
    let TableWithJoins { relation, mut joins } = tables;
    let Some(Join { relation: TableFactor::Function { name, args, alias: Some(alias), .. }, join_operator, .. }) =
        joins.pop()
    else {
        return plan_err!("a lateral view without a name");
    };
    let outer = matches!(join_operator, JoinOperator::LeftOuter(_));
    let input = context.plan(relation)?;
    let mut exprs = Vec::with_capacity(args.len());
    for arg in args {
        let FunctionArg::Unnamed(FunctionArgExpr::Expr(e)) = arg else {
            return Err(at(FunctionError::semantic("a table function takes expressions only"), &name));
        };
        exprs.push(normalize_col(context.sql_to_expr(e, input.schema())?, &input)?);
    }
    let function = object_parts(&name).concat();
    let users = context.context_provider().get_function_meta(&function);
    let made = match users.as_deref().and_then(|udf| Some((udf, user_code::table_columns(udf)?))) {
        Some((udf, columns)) => Ok(rows::structs(udf.call(exprs), columns)),
        None if function == "unnest" => rows::unnest(exprs, input.schema(), &alias.name.value),
        None if function == UNNEST_WITH_OFFSET => rows::unnest_with_offset(exprs, input.schema(), &alias.name.value),
        None => rows::made(&function, exprs, input.schema()),
    };
    let made = made.map_err(|e| at(e, &name))?;
    let made = renamed(made, &alias).map_err(|e| at(e, &name))?;
    with_rows(input, made, outer, &alias.name.value)
}

/// The columns with the names that the text gives them.
fn renamed(mut made: Made, alias: &TableAlias) -> Result<Made> {
    if alias.columns.is_empty() {
        return Ok(made);
    }
    let (has, given) = (made.columns.len(), alias.columns.len());
    if has != given {
        let text = format!("the table function makes {has} columns, but AS names {given}");
        return Err(FunctionError::semantic(text).into());
    }
    for (column, name) in made.columns.iter_mut().zip(&alias.columns) {
        column.0.clone_from(&name.name.value);
    }
    Ok(made)
}

/// The table, and its column, that the parser writes for a FROM that names no table.
const ONE_ROW: &str = "__one";

fn all_columns(schema: &DFSchema) -> Vec<PlanExpr> {
    let shown = schema.iter().filter(|(_, field)| field.name() != ONE_ROW);
    shown.map(|(qualifier, field)| PlanExpr::Column(Column::from((qualifier, field)))).collect()
}

/// `input` with the rows that are made of each of its rows; their columns belong to `table`.
///
/// A row of which nothing is made goes, or with `outer` stays once with NULLs.
pub(super) fn with_rows(input: LogicalPlan, made: Made, outer: bool, table: &str) -> Result<LogicalPlan> {
    let before = all_columns(input.schema());
    let mut plan = LogicalPlanBuilder::from(input);
    if !made.lists.is_empty() {
        let names: Vec<String> = (0..made.lists.len()).map(rows::item_name).collect();
        let lists = made.lists.into_iter().zip(&names).map(|(list, name)| list.alias(name));
        let handling = if outer { NullHandling::PreserveAndExpandEmpty } else { NullHandling::Drop };
        let options = UnnestOptions::new().with_null_handling(handling);
        let columns = names.iter().map(Column::from_name).collect();
        plan = plan
            .project(before.iter().cloned().chain(lists).collect::<Vec<_>>())?
            .unnest_columns_with_options(columns, options)?;
    }
    let table = TableReference::bare(table);
    let columns = made.columns.into_iter().map(|(name, e)| e.alias_qualified(Some(table.clone()), name));
    plan.project(before.into_iter().chain(columns).collect::<Vec<_>>())?.build()
}
