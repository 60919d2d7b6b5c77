//! Types: gives every expression of a plan its MaxCompute type, with implicit conversions written out as casts.
//!
//! DataFusion has a pass of its own for this, with other rules (text compared with BIGINT becomes BIGINT, for example).
//! This pass runs before it and leaves it nothing to do. It goes bottom up, so that the types below an expression are
//! final when the expression is looked at, and takes queries inside expressions with the columns of their outer queries.

mod expr;
mod recursive;
mod zeros;

use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use datafusion::common::tree_node::TreeNode;
use datafusion::common::{Column, DFSchema, DFSchemaRef, Result};
use datafusion::logical_expr::expr::Exists;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    Expr, ExprSchemable, Filter, Join, JoinConstraint, Limit, LogicalPlan, LogicalPlanBuilder, Partitioning,
    Projection, Repartition, SkipType, Subquery, Union, Values,
};
use feitian_functions::FunctionError;
use feitian_functions::coercion::{common_type, comparison_type, type_name};

use super::grouping;
use super::values::shown;
use expr::Scope;
pub(super) use expr::convert;

/// The plan with final types.
pub(super) fn coerce(plan: LogicalPlan) -> Result<LogicalPlan> {
    coerce_in(plan, &[])
}

/// `outer` are the columns of the queries around this one, the outermost first.
fn coerce_in(plan: LogicalPlan, outer: &[DFSchemaRef]) -> Result<LogicalPlan> {
    let plan = match plan {
        LogicalPlan::Repartition(distributed) => return coerce_in(undistributed(distributed)?, outer),
        LogicalPlan::RecursiveQuery(query) => return recursive::coerce(query, outer),
        plan => grouping::plain_columns(plan)?,
    };
    let plan = plan.map_children(|child| Ok(changed(coerce_in(child, outer)?)))?.data;
    let mut schema = merge_schema(&plan.inputs());
    if let LogicalPlan::TableScan(scan) = &plan {
        schema.merge(&DFSchema::try_from_qualified_schema(scan.table_name.clone(), &scan.source.schema())?);
    }
    let schema = Arc::new(schema);
    let plan = match plan {
        LogicalPlan::Values(values) => return coerce_values(values, outer),
        // The numbers of LIMIT stay BIGINT, which the engine wants.
        plan @ LogicalPlan::Limit(_) => return Ok(plan),
        plan => plan,
    };
    let names = NamePreserver::new(&plan);
    let scope = Scope { schema: &schema, outer };
    let plan = plan
        .map_expressions(|e| {
            let name = names.save(&e);
            Ok(changed(name.restore(scope.rewrite(e)?)))
        })?
        .data;
    let plan = match plan {
        LogicalPlan::Union(union) => coerce_union(union)?,
        LogicalPlan::Join(join) => coerce_join(join)?,
        LogicalPlan::Filter(filter) => coerce_filter(filter, &schema)?,
        LogicalPlan::Aggregate(aggregate) => zeros::group(aggregate)?,
        LogicalPlan::Distinct(distinct) => zeros::distinct(distinct)?,
        LogicalPlan::Sort(sort) => zeros::sort(sort)?,
        plan => plan,
    };
    plan.recompute_schema()
}

/// DISTRIBUTE BY says which worker gets a row, and there is one; its columns must exist all the same.
fn undistributed(Repartition { input, partitioning_scheme }: Repartition) -> Result<LogicalPlan> {
    if let Partitioning::DistributeBy(exprs) = partitioning_scheme {
        for column in exprs.iter().flat_map(Expr::column_refs) {
            if !is_known(column, &input) {
                let text = format!("column {} of DISTRIBUTE BY cannot be resolved", column.name);
                return Err(FunctionError::semantic(text).into());
            }
        }
    }
    Ok(Arc::unwrap_or_clone(input))
}

/// True if the result of `plan` or of anything below it has the column: DISTRIBUTE BY may mean what SELECT leaves out.
fn is_known(column: &Column, plan: &LogicalPlan) -> bool {
    plan.schema().has_column(column) || plan.inputs().into_iter().any(|input| is_known(column, input))
}

fn changed<T>(data: T) -> datafusion::common::tree_node::Transformed<T> {
    datafusion::common::tree_node::Transformed::yes(data)
}

/// A condition must be BOOLEAN; an untyped NULL is one that never holds.
pub(super) fn condition(e: Expr, schema: &DFSchema, clause: &str) -> Result<Expr> {
    match e.get_type(schema)? {
        DataType::Boolean => Ok(e),
        DataType::Null => convert(e, &DataType::Null, &DataType::Boolean, false),
        other => {
            let text = format!("expect a BOOLEAN expression in {clause}, but it is {}", type_name(&other));
            Err(FunctionError::semantic(text).into())
        }
    }
}

/// `[NOT] EXISTS (subquery)`. The engine joins a query by the columns of the outer one without its LIMIT, which leaves a row
/// if there is one; OFFSET may leave none.
fn exists(subquery: Subquery, negated: bool) -> Result<Expr> {
    let is_joined = !subquery.outer_ref_columns.is_empty();
    if let Some(limit) = limit_of(&subquery.subquery).filter(|_| is_joined)
        && !matches!(limit.get_skip_type()?, SkipType::Literal(0))
    {
        let text = "EXISTS with OFFSET in a query that names columns of another one is not supported yet";
        return Err(FunctionError::unsupported(text).into());
    }
    Ok(Expr::Exists(Exists::new(subquery, negated)))
}

/// LIMIT or OFFSET of a query.
fn limit_of(plan: &LogicalPlan) -> Option<&Limit> {
    match plan {
        LogicalPlan::Limit(limit) => Some(limit),
        LogicalPlan::Projection(made) => limit_of(&made.input),
        LogicalPlan::SubqueryAlias(named) => limit_of(&named.input),
        _ => None,
    }
}

/// Whether a query has one row, whatever it finds.
fn is_total(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Aggregate(aggregate) => aggregate.group_expr.is_empty(),
        LogicalPlan::Projection(made) => is_total(&made.input),
        LogicalPlan::SubqueryAlias(named) => is_total(&named.input),
        _ => false,
    }
}

fn coerce_filter(filter: Filter, schema: &DFSchema) -> Result<LogicalPlan> {
    let predicate = condition(filter.predicate, schema, "WHERE or HAVING")?;
    let (predicate, input) = zeros::correlated(predicate, filter.input)?;
    Ok(LogicalPlan::Filter(Filter::try_new(predicate, input)?))
}

fn coerce_join(mut join: Join) -> Result<LogicalPlan> {
    let (left, right) = (join.left.schema().clone(), join.right.schema().clone());
    let side = |e: Expr, schema: &DFSchema, to: &DataType| {
        let from = e.get_type(schema)?;
        convert(e, &from, to, false)
    };
    let pair = |(l, r): (Expr, Expr)| {
        let (lt, rt) = (l.get_type(&left)?, r.get_type(&right)?);
        let common = comparison_type(&lt, &rt).ok_or_else(|| expr::bad_operands(&lt, &rt, "="))?;
        let is_char = expr::is_char(&l.to_field(&left)?.1) || expr::is_char(&r.to_field(&right)?.1);
        let (l, r) = (side(l, &left, &common)?, side(r, &right, &common)?);
        Ok(match common {
            DataType::Utf8 if is_char => (expr::without_blanks(l), expr::without_blanks(r)),
            common if zeros::is_floating(&common) => (zeros::one_zero(l, &left), zeros::one_zero(r, &right)),
            _ => (l, r),
        })
    };
    join.on = std::mem::take(&mut join.on).into_iter().map(pair).collect::<Result<_>>()?;
    // The names in USING are resolved by now, and the engine takes its keys for columns for ever.
    if join.on.iter().any(|(l, r)| l.get_as_join_column().is_none() || r.get_as_join_column().is_none()) {
        join.join_constraint = JoinConstraint::On;
    }
    let both = left.join(&right)?;
    join.filter = join.filter.take().map(|f| condition(f, &both, "ON")).transpose()?;
    Ok(LogicalPlan::Join(join))
}

/// The branches of a set operation get the common type of each column.
fn coerce_union(union: Union) -> Result<LogicalPlan> {
    let width = union.schema.fields().len();
    let mut types: Vec<DataType> = Vec::with_capacity(width);
    for i in 0..width {
        let mut common = DataType::Null;
        for input in &union.inputs {
            let ty = input.schema().field(i).data_type();
            common = common_type(&common, ty).ok_or_else(|| {
                let (a, b) = (type_name(&common), type_name(ty));
                FunctionError::union(format!("column {} of the branches is {a} and {b}", i + 1))
            })?;
        }
        types.push(common);
    }
    let qualified = union.schema.iter().zip(&types).enumerate().map(|(i, ((qualifier, field), ty))| {
        let same = union.inputs.iter().all(|input| input.schema().field(i).metadata() == field.metadata());
        let nullable = union.inputs.iter().any(|input| input.schema().field(i).is_nullable());
        let field = if same { field.as_ref().clone() } else { Field::new(field.name(), ty.clone(), nullable) };
        (qualifier.cloned(), Arc::new(field.with_data_type(ty.clone()).with_nullable(nullable)))
    });
    let schema = Arc::new(DFSchema::new_with_metadata(qualified.collect(), union.schema.metadata().clone())?);
    let inputs = union.inputs.into_iter().map(|input| to_types(input, &types, &schema)).collect::<Result<Vec<_>>>()?;
    Ok(LogicalPlan::Union(Union { inputs, schema }))
}

fn to_types(input: Arc<LogicalPlan>, types: &[DataType], target: &DFSchema) -> Result<Arc<LogicalPlan>> {
    let from = input.schema().clone();
    if from.fields().iter().zip(types).all(|(f, t)| f.data_type() == t) {
        return Ok(input);
    }
    let cast = |(i, ((qualifier, field), ty)): (usize, ((Option<&_>, &_), &DataType))| {
        let column = Expr::Column(Column::from((qualifier, field)));
        Ok(convert(column, from.field(i).data_type(), ty, false)?.alias(target.field(i).name()))
    };
    let exprs = from.iter().zip(types).enumerate().map(cast).collect::<Result<Vec<_>>>()?;
    Ok(Arc::new(LogicalPlan::Projection(Projection::try_new(exprs, input)?)))
}

/// Rows of literals: each column gets the common type of its values. A column of NULLs only stays untyped.
fn coerce_values(values: Values, outer: &[DFSchemaRef]) -> Result<LogicalPlan> {
    let empty = Arc::new(DFSchema::empty());
    let scope = Scope { schema: &empty, outer };
    let mut rows = Vec::with_capacity(values.values.len());
    let mut types: Vec<DataType> = vec![DataType::Null; values.schema.fields().len()];
    for row in values.values {
        let row = row.into_iter().map(|e| scope.rewrite(shown(e))).collect::<Result<Vec<_>>>()?;
        for (i, e) in row.iter().enumerate() {
            let ty = e.get_type(&empty)?;
            types[i] = common_type(&types[i], &ty).ok_or_else(|| {
                let (a, b) = (type_name(&types[i]), type_name(&ty));
                FunctionError::semantic(format!("column {} of VALUES is {a} and {b}", i + 1))
            })?;
        }
        rows.push(row);
    }
    let typed = |row: Vec<Expr>| {
        let cast = |(e, to): (Expr, &DataType)| {
            let from = e.get_type(&empty)?;
            convert(e, &from, to, false)
        };
        row.into_iter().zip(&types).map(cast).collect::<Result<Vec<_>>>()
    };
    let rows = rows.into_iter().map(typed).collect::<Result<Vec<_>>>()?;
    let mut fields = Vec::with_capacity(types.len());
    for (i, (f, ty)) in values.schema.fields().iter().zip(&types).enumerate() {
        fields.push((None, Arc::new(super::values::field(f.name(), ty, rows.iter().map(|row| &row[i]))?)));
    }
    let schema = Arc::new(DFSchema::new_with_metadata(fields, Default::default())?);
    LogicalPlanBuilder::values_with_schema(rows, &schema)?.build()
}
