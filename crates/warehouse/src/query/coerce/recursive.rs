//! WITH RECURSIVE: both parts and the table between them get the same types.
//!
//! The planner makes that table of the first part as it was before its types were final, and casts the second part to it.
//! So the casts go, and the table is made anew until the second part adds nothing to its types, as a UNION would have them.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchemaRef, Result};
use datafusion::datasource::cte_worktable::CteWorkTable;
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::{Cast, Expr, LogicalPlan, Projection, RecursiveQuery, TableScanBuilder};
use feitian_functions::FunctionError;
use feitian_functions::coercion::{common_type, type_name};

use super::{coerce_in, to_types};

/// Types are final after so many looks, or they grow with each.
const MAX_LOOKS: usize = 4;

pub(super) fn coerce(query: RecursiveQuery, outer: &[DFSchemaRef]) -> Result<LogicalPlan> {
    let RecursiveQuery { name, static_term, recursive_term, is_distinct, .. } = query;
    let first = coerce_in(Arc::unwrap_or_clone(static_term), outer)?;
    let second = without_casts(Arc::unwrap_or_clone(recursive_term))?;
    let mut types: Vec<DataType> = first.schema().fields().iter().map(|f| f.data_type().clone()).collect();
    for _ in 0..MAX_LOOKS {
        let table = table_schema(&first, &types);
        let second = coerce_in(over_table(second.clone(), &name, &table)?, outer)?;
        let mut wider = Vec::with_capacity(types.len());
        for (i, (ty, field)) in types.iter().zip(second.schema().fields()).enumerate() {
            wider.push(common_type(ty, field.data_type()).ok_or_else(|| {
                let (a, b) = (type_name(ty), type_name(field.data_type()));
                FunctionError::union(format!("column {} of the branches is {a} and {b}", i + 1))
            })?);
        }
        if wider == types {
            let names = first.schema().clone();
            let first = to_types(Arc::new(first), &types, &names)?;
            let second = to_types(Arc::new(second), &types, &names)?;
            return Ok(LogicalPlan::RecursiveQuery(RecursiveQuery::try_new(name, first, second, is_distinct)?));
        }
        types = wider;
    }
    let text = format!("the types of recursive query {name} grow with each step; CAST its columns in the second part");
    Err(FunctionError::union(text).into())
}

/// Whatever the first part says, a later row may have NULL.
fn table_schema(first: &LogicalPlan, types: &[DataType]) -> SchemaRef {
    let fields = first.schema().fields().iter().zip(types);
    let field =
        |(field, ty): (&Arc<Field>, &DataType)| field.as_ref().clone().with_data_type(ty.clone()).with_nullable(true);
    Arc::new(Schema::new(fields.map(field).collect::<Vec<Field>>()))
}

/// `plan` over a table between the parts that has this schema. Tables of projects have names of two parts.
fn over_table(plan: LogicalPlan, name: &str, schema: &SchemaRef) -> Result<LogicalPlan> {
    let exchanged = plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::TableScan(scan) if scan.table_name.schema().is_none() && scan.table_name.table() == name => {
            let source = provider_as_source(Arc::new(CteWorkTable::new(name, schema.clone())));
            let scan = TableScanBuilder::new(scan.table_name, source).with_projection(scan.projection).build()?;
            Ok(Transformed::yes(LogicalPlan::TableScan(scan)))
        }
        node => Ok(Transformed::no(node)),
    });
    exchanged.map(|t| t.data)
}

/// The plan without the planner's casts; those of the text are calls of functions.
fn without_casts(plan: LogicalPlan) -> Result<LogicalPlan> {
    match plan {
        LogicalPlan::Projection(Projection { expr, input, .. }) => {
            let exprs = expr.into_iter().map(without_cast).collect();
            Ok(LogicalPlan::Projection(Projection::try_new(exprs, input)?))
        }
        plan => Ok(plan),
    }
}

fn without_cast(e: Expr) -> Expr {
    match e {
        Expr::Alias(mut alias) => {
            *alias.expr = without_cast(std::mem::take(&mut *alias.expr));
            Expr::Alias(alias)
        }
        Expr::Cast(Cast { expr, .. }) => *expr,
        e => e,
    }
}
