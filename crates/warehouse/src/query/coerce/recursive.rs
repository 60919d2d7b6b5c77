//! WITH RECURSIVE: both parts and the table between them get the same types.
//!
//! The planner makes that table of the first part as it was before its types were final, and casts the second part to it.
//! So the casts go, and the table is made anew until the second part adds nothing to its types, as a UNION would have them.
//! The engine wants the same metadata too: a column whose parts were declared as different types, or only one of them, is
//! declared as the nearest type of both.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, DFSchema, DFSchemaRef, Result};
use datafusion::datasource::cte_worktable::CteWorkTable;
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::{Cast, Expr, LogicalPlan, Projection, RecursiveQuery, TableScanBuilder};
use feitian_functions::FunctionError;
use feitian_functions::coercion::{common_type, type_name};
use feitian_types::arrow::{TYPE_KEY, nearest_type};

use super::{coerce_in, to_types, zeros};

/// Types are final after so many looks, or they grow with each.
const MAX_LOOKS: usize = 6;

/// A column of the result.
#[derive(Clone, PartialEq)]
struct Shape {
    ty: DataType,
    /// The parts have it in different types, or declared as such.
    mixed: bool,
}

impl Shape {
    /// What the column must be declared as.
    fn declared(&self) -> Option<feitian_types::DataType> {
        if self.mixed && !self.ty.is_null() { nearest_type(&self.ty) } else { None }
    }
}

pub(super) fn coerce(query: RecursiveQuery, outer: &[DFSchemaRef]) -> Result<LogicalPlan> {
    let RecursiveQuery { name, static_term, recursive_term, is_distinct, .. } = query;
    let first = coerce_in(Arc::unwrap_or_clone(static_term), outer)?;
    let second = without_casts(Arc::unwrap_or_clone(recursive_term))?;
    let fields = first.schema().fields().iter();
    let mut shapes: Vec<Shape> = fields.map(|f| Shape { ty: f.data_type().clone(), mixed: false }).collect();
    for _ in 0..MAX_LOOKS {
        let table = table_schema(&first, &shapes);
        let second = coerce_in(over_table(second.clone(), &name, &table)?, outer)?;
        let wider = met(&shapes, first.schema(), second.schema())?;
        if wider == shapes {
            let names = first.schema().clone();
            let (first, second) = (shaped(first, &shapes, &names)?, shaped(second, &shapes, &names)?);
            let (first, second) = match is_distinct {
                true => (zeros::one_of_each(first)?, zeros::one_of_each(second)?),
                false => (first, second),
            };
            return Ok(LogicalPlan::RecursiveQuery(RecursiveQuery::try_new(name, first, second, is_distinct)?));
        }
        shapes = wider;
    }
    let text = format!("the types of recursive query {name} grow with each step; CAST its columns in the second part");
    Err(FunctionError::union(text).into())
}

/// The columns as `shapes` had them, where they meet those of the second part.
fn met(shapes: &[Shape], first: &DFSchema, second: &DFSchema) -> Result<Vec<Shape>> {
    let mut wider = Vec::with_capacity(shapes.len());
    for (i, shape) in shapes.iter().enumerate() {
        let (a, b) = (first.field(i), second.field(i));
        let ty = common_type(&shape.ty, b.data_type()).ok_or_else(|| {
            let (a, b) = (type_name(&shape.ty), type_name(b.data_type()));
            FunctionError::union(format!("column {} of the branches is {a} and {b}", i + 1))
        })?;
        let same = *a.data_type() == ty && *b.data_type() == ty && a.metadata() == b.metadata();
        wider.push(Shape { ty, mixed: shape.mixed || !same });
    }
    Ok(wider)
}

/// Whatever the first part says, a later row may have NULL.
fn table_schema(first: &LogicalPlan, shapes: &[Shape]) -> SchemaRef {
    let mut fields: Vec<Field> = Vec::with_capacity(shapes.len());
    for (field, shape) in first.schema().fields().iter().zip(shapes) {
        let metadata = match shape.declared() {
            Some(declared) => HashMap::from([(TYPE_KEY.to_string(), declared.to_string())]),
            None => field.metadata().clone(),
        };
        fields.push(Field::new(field.name(), shape.ty.clone(), true).with_metadata(metadata));
    }
    Arc::new(Schema::new(fields))
}

/// One part with the columns of `shapes`.
fn shaped(plan: LogicalPlan, shapes: &[Shape], names: &DFSchema) -> Result<Arc<LogicalPlan>> {
    let types: Vec<DataType> = shapes.iter().map(|shape| shape.ty.clone()).collect();
    if shapes.iter().all(|shape| shape.declared().is_none()) {
        return to_types(Arc::new(plan), &types, names);
    }
    let mut exprs = Vec::with_capacity(shapes.len());
    for (i, (qualifier, field)) in plan.schema().iter().enumerate() {
        let column = Expr::Column(Column::from((qualifier, field)));
        exprs.push(match shapes[i].declared() {
            Some(to) => feitian_functions::Cast::udf(&to, false).call(vec![column]).alias(names.field(i).name()),
            None => column,
        });
    }
    let plan = LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(plan))?);
    to_types(Arc::new(plan), &types, names)
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

/// The plan without the planner's casts. Those of the text are calls of functions, and literals of times say as what they
/// are declared.
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
        Expr::Cast(Cast { expr, field }) if field.metadata().is_empty() => *expr,
        e => e,
    }
}
