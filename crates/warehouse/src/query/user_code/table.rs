//! Table functions of users: each call gets all of its rows in one process and in their order, and may say more at the end.
//!
//! Their lists stand in a projection below the operator that makes rows of them (`lateral`). That projection becomes an
//! operator of its own, which asks for one partition in the order that its input has: `SORT BY` below a call is there so
//! that the rows of a group come one after another, and the engine would drop it as an order that nobody asks for.
//!
//! What `close` forwards is the list of one more row, which has no other columns.

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::config::ConfigOptions;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{
    Distribution, EquivalenceProperties, OrderingRequirements, Partitioning, PhysicalExpr, ScalarFunctionExpr,
};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, InputDistributionRequirements,
    PlanProperties, apply_expression_roots,
};
use feitian_functions::FunctionError;
use feitian_udf::{Call, Held, Kind};
use futures::{StreamExt, stream};

use super::{UserCall, UserFunction, blocking, external};

/// Puts [`TableCalls`] in the place of projections that call table functions of users. It is the first rule: the others
/// see to what the operator asks for.
#[derive(Debug)]
pub(in crate::query) struct InOrder;

impl PhysicalOptimizerRule for InOrder {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let in_order = |node: Arc<dyn ExecutionPlan>| match node.downcast_ref::<ProjectionExec>() {
            Some(projection) if projection.expr().iter().any(|e| table_call(&e.expr).is_some()) => {
                let (input, exprs) = past_choices(projection)?;
                let ordering = input.output_ordering().cloned().map(OrderingRequirements::from);
                let calls = TableCalls::new(input, exprs, projection.schema(), ordering);
                Ok(Transformed::yes(Arc::new(calls) as Arc<dyn ExecutionPlan>))
            }
            _ => Ok(Transformed::no(node)),
        };
        plan.transform_up(in_order).map(|t| t.data)
    }

    fn name(&self) -> &str {
        "in_order"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The input and the expressions of a projection without the projections below it that only choose columns: behind one
/// that leaves out a column of the order nobody sees the order, and the engine would drop the sort.
fn past_choices(projection: &ProjectionExec) -> Result<(Arc<dyn ExecutionPlan>, Vec<ProjectionExpr>)> {
    let (mut input, mut exprs) = (projection.input().clone(), projection.expr().to_vec());
    while let Some(choice) = input.downcast_ref::<ProjectionExec>() {
        if !choice.expr().iter().all(|e| e.expr.downcast_ref::<Column>().is_some()) {
            break;
        }
        for e in &mut exprs {
            e.expr = below(e.expr.clone(), choice.expr())?;
        }
        let next = choice.input().clone();
        input = next;
    }
    Ok((input, exprs))
}

/// `expr` over the input of a projection that makes `columns`.
fn below(expr: Arc<dyn PhysicalExpr>, columns: &[ProjectionExpr]) -> Result<Arc<dyn PhysicalExpr>> {
    let chosen = |e: Arc<dyn PhysicalExpr>| match e.downcast_ref::<Column>().and_then(|c| columns.get(c.index())) {
        Some(column) => Ok(Transformed::yes(column.expr.clone())),
        None => Ok(Transformed::no(e)),
    };
    expr.transform_up(chosen).map(|t| t.data)
}

/// The table function of a user that `expr` calls, with its arguments.
fn table_call(expr: &Arc<dyn PhysicalExpr>) -> Option<(&ScalarFunctionExpr, &Arc<UserFunction>)> {
    let call = expr.downcast_ref::<ScalarFunctionExpr>()?;
    let function = &call.fun().inner().downcast_ref::<UserCall>()?.function;
    (function.signature.kind == Kind::Table).then_some((call, function))
}

/// A projection with calls of table functions.
#[derive(Debug)]
struct TableCalls {
    input: Arc<dyn ExecutionPlan>,
    exprs: Arc<[ProjectionExpr]>,
    schema: SchemaRef,
    /// The order in which the rows come, and in which they must go on coming.
    ordering: Option<OrderingRequirements>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl TableCalls {
    fn new(
        input: Arc<dyn ExecutionPlan>,
        exprs: Vec<ProjectionExpr>,
        schema: SchemaRef,
        ordering: Option<OrderingRequirements>,
    ) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema.clone()),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        let (exprs, properties) = (exprs.into(), Arc::new(properties));
        Self { input, exprs, schema, ordering, properties, metrics: ExecutionPlanMetricsSet::new() }
    }
}

impl DisplayAs for TableCalls {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: expr=[", self.name())?;
        for (i, e) in self.exprs.iter().enumerate() {
            write!(f, "{}{} as {}", if i == 0 { "" } else { ", " }, e.expr, e.alias)?;
        }
        write!(f, "]")
    }
}

impl ExecutionPlan for TableCalls {
    fn name(&self) -> &str {
        "TableCallsExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        InputDistributionRequirements::new(vec![Distribution::SinglePartition])
    }

    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        vec![self.ordering.clone()]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        let roots: Vec<Arc<dyn PhysicalExpr>> = self.exprs.iter().map(|e| e.expr.clone()).collect();
        apply_expression_roots(&roots, f)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let input = children.into_iter().next().unwrap_or_else(|| self.input.clone());
        let (exprs, schema) = (self.exprs.to_vec(), self.schema.clone());
        Ok(Arc::new(Self::new(input, exprs, schema, self.ordering.clone())))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let input = self.input.execute(partition, context)?;
        let (exprs, schema) = (self.exprs.clone(), self.schema.clone());
        let held = exprs.iter().map(|_| None).collect();
        let running = Running { exprs, schema, held, metrics: BaselineMetrics::new(&self.metrics, partition) };
        let batches = stream::try_unfold(Some((input, running)), next);
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), batches)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// What is still to come; nothing is after the end.
type State = Option<(SendableRecordBatchStream, Running)>;

async fn next(state: State) -> Result<Option<(RecordBatch, State)>> {
    let Some((mut input, mut running)) = state else { return Ok(None) };
    match input.next().await.transpose()? {
        Some(batch) => {
            let made = running.rows(&batch)?;
            Ok(Some((made, Some((input, running)))))
        }
        None => Ok(running.close()?.map(|last| (last, None))),
    }
}

/// One run of [`TableCalls`].
struct Running {
    exprs: Arc<[ProjectionExpr]>,
    schema: SchemaRef,
    /// The process of each call, once there has been a row.
    held: Vec<Option<(Held, Call)>>,
    metrics: BaselineMetrics,
}

impl Running {
    fn rows(&mut self, batch: &RecordBatch) -> Result<RecordBatch> {
        let rows = batch.num_rows();
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.exprs.len());
        for (e, held) in self.exprs.iter().zip(&mut self.held) {
            columns.push(match table_call(&e.expr) {
                Some((call, function)) if rows > 0 => lists(call, function, held, batch)?,
                _ => e.expr.evaluate(batch)?.into_array(rows)?,
            });
        }
        self.metrics.record_output(rows);
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?)
    }

    /// The row of what is forwarded at the end, if anything is.
    fn close(&mut self) -> Result<Option<RecordBatch>> {
        let mut last = None;
        for (e, held) in self.exprs.iter().zip(&mut self.held) {
            let (Some((_, function)), Some((process, call))) = (table_call(&e.expr), held.take()) else { continue };
            let list = blocking(|| function.pool.close(process, &call)).map_err(external)?;
            if list.as_list_opt::<i32>().is_some_and(|lists| lists.value_length(0) > 0) {
                last = Some(list);
            }
        }
        let Some(list) = last else { return Ok(None) };
        if self.exprs.len() > 1 {
            let what = "rows that close() of a BaseUDTF forwards beside columns of LATERAL VIEW are not supported";
            return Err(FunctionError::unsupported(what).into());
        }
        self.metrics.record_output(1);
        Ok(Some(RecordBatch::try_new(self.schema.clone(), vec![list])?))
    }
}

/// What the call forwards for each row of the batch, which goes to the process that had those before.
fn lists(
    expr: &ScalarFunctionExpr,
    function: &UserFunction,
    held: &mut Option<(Held, Call)>,
    batch: &RecordBatch,
) -> Result<ArrayRef> {
    let rows = batch.num_rows();
    let evaluate = |arg: &Arc<dyn PhysicalExpr>| arg.evaluate(batch)?.into_array(rows);
    let columns = expr.args().iter().map(evaluate).collect::<Result<Vec<_>>>()?;
    let process = match held {
        Some(process) => process,
        None => {
            let call = function.call_of(&fields(expr, &batch.schema())?);
            held.insert((blocking(|| function.pool.hold()).map_err(external)?, call))
        }
    };
    blocking(|| function.pool.call_held(&mut process.0, &process.1, &columns, rows)).map_err(external)
}

fn fields(expr: &ScalarFunctionExpr, schema: &Schema) -> Result<Vec<FieldRef>> {
    expr.args().iter().map(|arg| arg.return_field(schema)).collect()
}
