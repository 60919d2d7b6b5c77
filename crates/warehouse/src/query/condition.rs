//! A condition on the rows of one table that comes without a query around it: the filter of a read session.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::Schema;
use datafusion::common::DFSchema;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{Expr as PlanExpr, LogicalPlan};
use datafusion::physical_expr::PhysicalExpr;
use feitian_base::{Error, Result};
use feitian_meta::Instance;
use feitian_meta::rows::Table;
use feitian_sql::{Position, object_parts, parse_query};
use feitian_types::Column;
use feitian_types::arrow::engine_field;
use sqlparser::ast::{Expr, Ident, ObjectName, Query, Select, SetExpr, TableFactor, Visit, Visitor};

use super::names::{FOLDED, is_ours};
use super::settings::Settings;
use super::{Session, errors, plan_query};
use crate::Warehouse;

/// A condition that has been understood.
pub(crate) struct Condition {
    expr: PlanExpr,
    state: SessionState,
}

/// The same over batches of certain columns.
pub(crate) struct RowFilter(Arc<dyn PhysicalExpr>);

impl Condition {
    /// Reads `text` as what follows WHERE in a query of `owner` over `table` at `now_ms`.
    ///
    /// # Errors
    /// Those of SQL. Whatever looks beyond the row, as queries and random numbers do, is refused.
    pub(crate) async fn plan(
        warehouse: &Warehouse,
        owner: &str,
        table: &Table,
        text: &str,
        now_ms: i64,
    ) -> Result<Self> {
        let query = query_of(table, text)?;
        let project = warehouse.meta().project(&table.project).await?;
        let instance = Instance {
            id: table.id.clone(),
            project: table.project.clone(),
            owner: owner.to_string(),
            query: text.to_string(),
            settings: "{}".to_string(),
            ..Instance::default()
        };
        let session = Session {
            settings: Settings::of(project.as_ref(), &instance, &warehouse.config.default_project_timezone),
            warehouse: warehouse.clone(),
            instance,
            progress: Arc::default(),
            project: table.project.clone(),
            schema: table.schema_name.clone(),
            statement_ms: now_ms,
            crew: Arc::default(),
            view: None,
            functions: BTreeMap::new(),
            values: BTreeMap::new(),
            cached: BTreeMap::new(),
        };
        let state = session.state()?;
        let planned = plan_query(&session, &state, query).await?;
        let mut found: Vec<PlanExpr> = Vec::new();
        let look = planned.plan.apply(|node| {
            if let LogicalPlan::Filter(filter) = node {
                found.push(filter.predicate.clone());
            }
            Ok(TreeNodeRecursion::Continue)
        });
        look.map_err(errors::engine)?;
        match (found.pop(), found.is_empty()) {
            (Some(expr), true) if is_of_row(&expr) => Ok(Self { expr, state }),
            _ => Err(refused("its result must depend on the row alone")),
        }
    }

    /// Whether it looks at this column.
    pub(crate) fn reads(&self, column: &str) -> bool {
        self.expr.column_refs().iter().any(|c| c.name == column)
    }

    /// The condition over batches that have these columns, in this order.
    pub(crate) fn over(&self, columns: &[Column]) -> Result<RowFilter> {
        let fields: Vec<_> = columns.iter().map(|c| engine_field(c).with_nullable(true)).collect();
        let schema = DFSchema::try_from(Schema::new(fields)).map_err(errors::engine)?;
        let expr = crate::scan::unqualified(self.expr.clone()).map_err(errors::engine)?;
        self.state.create_physical_expr(expr, &schema).map(RowFilter).map_err(errors::engine)
    }
}

impl RowFilter {
    /// The rows for which it is true.
    pub(crate) fn apply(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let value = self.0.evaluate(batch).and_then(|v| v.into_array(batch.num_rows()));
        let value = value.map_err(errors::engine)?;
        let keep = value.as_boolean_opt().ok_or_else(|| refused("it is no BOOLEAN"))?;
        filter_record_batch(batch, keep).map_err(|e| Error::internal(format!("filtering rows: {e}")))
    }
}

/// Whether nothing but a row decides about the result.
fn is_of_row(expr: &PlanExpr) -> bool {
    let over_rows = |e: &PlanExpr| Ok(matches!(e, PlanExpr::AggregateFunction(_) | PlanExpr::WindowFunction(_)));
    !expr.is_volatile() && !crate::scan::has_subquery(expr) && !expr.exists(over_rows).unwrap_or(true)
}

/// `SELECT * FROM table WHERE text`, if `text` is a condition and nothing more.
fn query_of(table: &Table, text: &str) -> Result<Query> {
    let parse = |text: &str| parse_query(text).map_err(errors::front_end);
    let plain = parse("SELECT * FROM t WHERE TRUE")?;
    let (mut whole, mut given) = (plain.clone(), parse(&format!("SELECT * FROM t WHERE\n{text}\n"))?);
    let (Some(ours), Some(theirs)) = (select_of(&mut whole), select_of(&mut given)) else {
        return Err(refused("it is no condition"));
    };
    std::mem::swap(&mut ours.selection, &mut theirs.selection);
    let name = Ident::with_quote('`', table.name.clone());
    if let Some(TableFactor::Table { name: placeholder, .. }) = ours.from.first_mut().map(|f| &mut f.relation) {
        *placeholder = ObjectName::from(vec![name]);
    }
    if let ControlFlow::Break(what) = ours.selection.visit(&mut BeyondRow) {
        return Err(refused(what));
    }
    // With our condition in its place, what came may not differ from what we wrote.
    if given != plain {
        return Err(refused("something follows the condition"));
    }
    Ok(*whole)
}

fn select_of(query: &mut Query) -> Option<&mut Select> {
    match query.body.as_mut() {
        SetExpr::Select(select) => Some(select.as_mut()),
        _ => None,
    }
}

/// Finds what looks at other things than the row.
struct BeyondRow;

impl Visitor for BeyondRow {
    type Break = &'static str;

    fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<Self::Break> {
        ControlFlow::Break("it has a query in it")
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Self::Break> {
        let Expr::Function(call) = expr else { return ControlFlow::Continue(()) };
        let name = object_parts(&call.name).join(".");
        if FOLDED.contains(&name.as_str()) {
            return ControlFlow::Break("it has a function that looks at tables");
        }
        // Before its class is asked what it is, in a process that no job could stop.
        if !is_ours(&name) {
            return ControlFlow::Break("it has a function that is not one of feitian's own");
        }
        ControlFlow::Continue(())
    }
}

fn refused(why: &str) -> Error {
    errors::semantic(Position::UNKNOWN, format!("the filter of a read session must be one condition on its row: {why}"))
}
