//! From a prepared syntax tree to a logical plan: DataFusion's planner with our tables, functions, types and operators.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef, SchemaRef};
use datafusion::common::{DFSchema, DataFusionError, Result, ScalarValue, TableReference, plan_err};
use datafusion::config::ConfigOptions;
use datafusion::datasource::cte_worktable::CteWorkTable;
use datafusion::datasource::provider_as_source;
use datafusion::functions::core::get_field;
use datafusion::functions::core::planner::CoreFunctionPlanner;
use datafusion::functions_aggregate::planner::AggregateFunctionPlanner;
use datafusion::functions_window::planner::WindowFunctionPlanner;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::planner::{
    ContextProvider, ExprPlanner, PlannerResult, RawAggregateExpr, RawBinaryExpr, RawFieldAccessExpr, RawWindowExpr,
    RelationPlanner, TypePlanner,
};
use datafusion::logical_expr::{
    AggregateUDF, BinaryExpr, Expr, ExprSchemable, GetFieldAccess, HigherOrderUDF, LogicalPlan, Operator, ScalarUDF,
    TableSource, WindowUDF, cast, lit,
};
use datafusion::sql::planner::{NullOrdering, ParserOptions, SqlToRel};
use feitian_functions::{Arithmetic, Op, registry};
use feitian_types::Column;
use feitian_types::arrow::engine_field;
use sqlparser::ast::{BinaryOperator, Query, Statement};

use super::casts;
use super::lateral::Relations;
use super::names::TableName;
use super::user_code::UserFunctions;
use super::values;

/// Plans queries over a fixed set of tables and functions of users.
pub(super) struct Planner<'a> {
    options: &'a ConfigOptions,
    tables: HashMap<TableName, Arc<dyn TableSource>>,
    functions: UserFunctions,
    expressions: Vec<Arc<dyn ExprPlanner>>,
    relations: [Arc<dyn RelationPlanner>; 1],
}

impl<'a> Planner<'a> {
    pub(super) fn new(
        options: &'a ConfigOptions,
        tables: HashMap<TableName, Arc<dyn TableSource>>,
        functions: UserFunctions,
    ) -> Self {
        let expressions: Vec<Arc<dyn ExprPlanner>> = vec![
            Arc::new(Expressions),
            Arc::new(AggregateFunctionPlanner),
            Arc::new(WindowFunctionPlanner),
            Arc::new(CoreFunctionPlanner::default()),
        ];
        Self { options, tables, functions, expressions, relations: [Arc::new(Relations)] }
    }

    /// The plan of a prepared query, without type coercion.
    pub(super) fn plan(&self, mut query: Query) -> Result<LogicalPlan> {
        casts::as_calls(&mut query);
        let options = ParserOptions {
            parse_float_as_decimal: false,
            enable_ident_normalization: true,
            support_varchar_with_length: true,
            enable_options_value_normalization: false,
            collect_spans: true,
            map_string_types_to_utf8view: false,
            // NULL is the smallest value.
            default_null_ordering: NullOrdering::NullsMin,
        };
        SqlToRel::new_with_options(self, options).sql_statement_to_plan(Statement::Query(Box::new(query)))
    }
}

impl ContextProvider for Planner<'_> {
    fn get_table_source(&self, name: TableReference) -> Result<Arc<dyn TableSource>> {
        let key = (name.schema().unwrap_or_default().to_string(), name.table().to_string());
        match self.tables.get(&key) {
            Some(source) => Ok(source.clone()),
            None => plan_err!("table {name} cannot be resolved"),
        }
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        &self.expressions
    }

    fn get_relation_planners(&self) -> &[Arc<dyn RelationPlanner>] {
        &self.relations
    }

    fn get_type_planner(&self) -> Option<Arc<dyn TypePlanner>> {
        Some(Arc::new(Types))
    }

    fn create_cte_work_table(&self, name: &str, schema: SchemaRef) -> Result<Arc<dyn TableSource>> {
        Ok(provider_as_source(Arc::new(CteWorkTable::new(name, schema))))
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        if name == values::CELL {
            return Some(Arc::new(values::cell_function()));
        }
        let built_in = || registry().scalar.get(name).cloned().or_else(|| casts::function(name));
        self.functions.scalar(name).or_else(built_in)
    }

    fn get_higher_order_meta(&self, name: &str) -> Option<Arc<HigherOrderUDF>> {
        registry().higher.get(name).cloned()
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        self.functions.aggregate(name).or_else(|| registry().aggregate.get(name).cloned())
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        registry().window.get(name).cloned()
    }

    fn get_variable_type(&self, _: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        self.options
    }

    fn udf_names(&self) -> Vec<String> {
        registry().scalar.keys().cloned().collect()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        registry().higher.keys().cloned().collect()
    }

    fn udaf_names(&self) -> Vec<String> {
        registry().aggregate.keys().cloned().collect()
    }

    fn udwf_names(&self) -> Vec<String> {
        registry().window.keys().cloned().collect()
    }
}

/// Type names of MaxCompute.
#[derive(Debug)]
struct Types;

impl TypePlanner for Types {
    fn plan_type_field(&self, sql_type: &sqlparser::ast::DataType) -> Result<Option<FieldRef>> {
        let Some(ty) = feitian_sql::types::from_sql(sql_type) else {
            return Err(DataFusionError::NotImplemented(format!("the type {sql_type}")));
        };
        Ok(Some(Arc::new(engine_field(&Column::new("", ty)))))
    }
}

/// Operators and accesses of MaxCompute.
#[derive(Debug)]
struct Expressions;

fn call(name: &str, args: Vec<Expr>) -> Result<Expr> {
    match registry().scalar.get(name) {
        Some(f) => Ok(Expr::ScalarFunction(ScalarFunction::new_udf(f.clone(), args))),
        None => plan_err!("function {name} is missing"),
    }
}

fn binary(left: Expr, op: Operator, right: Expr) -> Expr {
    Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)))
}

impl ExprPlanner for Expressions {
    fn plan_binary_op(&self, raw: RawBinaryExpr, _: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        use BinaryOperator as B;
        let RawBinaryExpr { op, left, right } = raw;
        let arithmetic = |op, l, r| Arithmetic::udf(op).call(vec![l, r]);
        let bits = |op, l, r| binary(cast(l, DataType::Int64), op, cast(r, DataType::Int64));
        Ok(PlannerResult::Planned(match op {
            B::Plus => arithmetic(Op::Plus, left, right),
            B::Minus => arithmetic(Op::Minus, left, right),
            B::Multiply => arithmetic(Op::Multiply, left, right),
            B::Divide => arithmetic(Op::Divide, left, right),
            B::Modulo => arithmetic(Op::Modulo, left, right),
            B::MyIntegerDivide => arithmetic(Op::WholeDivide, left, right),
            B::Spaceship => binary(left, Operator::IsNotDistinctFrom, right),
            B::PGRegexMatch => call("rlike", vec![left, right])?,
            B::PGRegexNotMatch => Expr::Not(Box::new(call("rlike", vec![left, right])?)),
            B::StringConcat => call("concat", vec![left, right])?,
            B::BitwiseAnd => bits(Operator::BitwiseAnd, left, right),
            B::BitwiseOr => bits(Operator::BitwiseOr, left, right),
            B::BitwiseXor => bits(Operator::BitwiseXor, left, right),
            op => return Ok(PlannerResult::Original(RawBinaryExpr { op, left, right })),
        }))
    }

    fn plan_field_access(
        &self,
        raw: RawFieldAccessExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawFieldAccessExpr>> {
        let RawFieldAccessExpr { field_access, expr } = raw;
        Ok(match field_access {
            GetFieldAccess::ListIndex { key } => PlannerResult::Planned(call("index", vec![expr, *key])?),
            GetFieldAccess::NamedStructField { name } => {
                if matches!(expr.get_type(schema)?, DataType::Struct(_)) {
                    let name = ScalarValue::from(name.try_as_str().flatten().unwrap_or_default().to_lowercase());
                    return Ok(PlannerResult::Planned(get_field().call(vec![expr, lit(name)])));
                }
                PlannerResult::Planned(call("index", vec![expr, lit(name)])?)
            }
            field_access => PlannerResult::Original(RawFieldAccessExpr { field_access, expr }),
        })
    }

    fn plan_make_map(&self, args: Vec<Expr>) -> Result<PlannerResult<Vec<Expr>>> {
        Ok(PlannerResult::Planned(call("map", args)?))
    }

    fn plan_aggregate(&self, raw: RawAggregateExpr) -> Result<PlannerResult<RawAggregateExpr>> {
        Ok(match feitian_functions::plan_aggregate(raw)? {
            Ok(planned) => PlannerResult::Planned(planned),
            Err(raw) => PlannerResult::Original(raw),
        })
    }

    fn plan_window(&self, raw: RawWindowExpr) -> Result<PlannerResult<RawWindowExpr>> {
        let raw = feitian_functions::shape_window(raw)?;
        Ok(match feitian_functions::plan_window(raw)? {
            Ok(planned) => PlannerResult::Planned(planned),
            Err(raw) => PlannerResult::Original(raw),
        })
    }
}
