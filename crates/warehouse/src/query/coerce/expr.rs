//! The same for one expression.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, DFSchemaRef, DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::expr::{
    AggregateFunction, AggregateFunctionParams, Between, Case, Cast, Exists, HigherOrderFunction, InList, InSubquery,
    Lambda, ScalarFunction, WindowFunction, WindowFunctionDefinition,
};
use datafusion::logical_expr::type_coercion::functions::{
    UDFCoercionExt, fields_with_udf, value_fields_with_higher_order_udf,
};
use datafusion::logical_expr::utils::COUNT_STAR_EXPANSION;
use datafusion::logical_expr::{
    BinaryExpr, Expr, ExprSchemable, HigherOrderUDF, LambdaParametersProgress, LogicalPlan, LogicalPlanBuilder,
    Operator, Projection, Subquery, TypeSignature, ValueOrLambda, lit,
};
use feitian_functions::coercion::{common_of, comparison_type, is_text, is_time, type_name};
use feitian_functions::{FunctionError, Negate, aggregate_argument, is_plain_widening, registry};
use feitian_types::arrow::{column_type, engine_type, nearest_type};

use super::{coerce_in, condition, exists, is_total, limit_of, zeros};
use crate::query::sql_function;

/// The parameters of all lambdas of a call are known after so many looks at what they make.
const MAX_LAMBDA_STEPS: usize = 4;
/// What a changed column of a subquery is called: the subquery may also join by the column as it was, and two of one name
/// are ambiguous. No name that a user would write is like it.
const CHANGED: &str = "__changed";

/// What an expression can see.
pub(super) struct Scope<'a> {
    pub(super) schema: &'a DFSchemaRef,
    /// Columns of the queries around this one, the outermost first.
    pub(super) outer: &'a [DFSchemaRef],
}

/// `e`, which is of type `from`, as `to`. With `lenient`, what cannot be converted is NULL.
pub(crate) fn convert(e: Expr, from: &DataType, to: &DataType, lenient: bool) -> Result<Expr> {
    if from == to || from.equals_datatype(to) {
        return Ok(e);
    }
    if *from == DataType::Null {
        return Ok(Expr::Cast(Cast::new(Box::new(e), to.clone())));
    }
    if is_plain_widening(from, to) {
        return Ok(Expr::Cast(Cast::new(Box::new(e), to.clone())));
    }
    let Some(target) = nearest_type(to) else {
        return Err(FunctionError::internal(format!("no type for {to}")).into());
    };
    Ok(feitian_functions::Cast::udf(&target, lenient).call(vec![e]))
}

pub(super) fn bad_operands(left: &DataType, right: &DataType, op: &str) -> DataFusionError {
    let (l, r) = (type_name(left), type_name(right));
    FunctionError::semantic(format!("invalid operand type(s) {l},{r} for operator '{op}'; CAST one to fit the other"))
        .into()
}

impl Scope<'_> {
    fn type_of(&self, e: &Expr) -> Result<DataType> {
        e.get_type(self.schema.as_ref())
    }

    fn to(&self, e: Expr, to: &DataType, lenient: bool) -> Result<Expr> {
        let from = self.type_of(&e)?;
        convert(e, &from, to, lenient)
    }

    /// The expression with final types, its inner queries included.
    pub(super) fn rewrite(&self, e: Expr) -> Result<Expr> {
        let down = |e: Expr| -> Result<Transformed<Expr>> {
            match e {
                // A lambda has no types before the arguments beside it have theirs.
                Expr::HigherOrderFunction(f) => {
                    Ok(Transformed::new(self.with_lambdas(f)?, true, TreeNodeRecursion::Jump))
                }
                e => Ok(Transformed::no(e)),
            }
        };
        e.transform_down_up(down, |e| Ok(Transformed::yes(self.one(e)?))).map(|t| t.data)
    }

    /// A function that takes lambdas: first its values get their types, then the parameters of its lambdas, then these.
    fn with_lambdas(&self, HigherOrderFunction { func, args }: HigherOrderFunction) -> Result<Expr> {
        let value = |e: Expr| if matches!(e, Expr::Lambda(_)) { Ok(e) } else { self.rewrite(e) };
        let args = args.into_iter().map(value).collect::<Result<Vec<_>>>()?;
        let field = |e: &Expr| -> Result<ValueOrLambda<FieldRef, Option<FieldRef>>> {
            Ok(match e {
                Expr::Lambda(_) => ValueOrLambda::Lambda(None),
                e => ValueOrLambda::Value(e.to_field(self.schema.as_ref())?.1),
            })
        };
        let given = args.iter().map(field).collect::<Result<Vec<_>>>()?;
        let mut wanted = value_fields_with_higher_order_udf(&given, func.as_ref())?;
        let mut parameters = self.parameters(&func, &args, &mut wanted)?.into_iter();
        widen(&func, &mut wanted)?;
        let mut typed = Vec::with_capacity(args.len());
        for ((arg, given), wanted) in args.into_iter().zip(&given).zip(&wanted) {
            typed.push(match (arg, given, wanted) {
                (Expr::Lambda(lambda), ..) => Expr::Lambda(self.lambda(lambda, parameters.next().unwrap_or_default())?),
                (arg, ValueOrLambda::Value(from), ValueOrLambda::Value(to)) => {
                    convert(arg, from.data_type(), to.data_type(), false)?
                }
                (arg, ..) => arg,
            });
        }
        let call = Expr::HigherOrderFunction(HigherOrderFunction::new(func, typed));
        self.type_of(&call)?;
        Ok(call)
    }

    /// The parameters of each lambda. Those of one may depend on what another makes, which `fields` then says.
    fn parameters(
        &self,
        func: &HigherOrderUDF,
        args: &[Expr],
        fields: &mut [ValueOrLambda<FieldRef, Option<FieldRef>>],
    ) -> Result<Vec<Vec<FieldRef>>> {
        for step in 0..MAX_LAMBDA_STEPS {
            let known = match func.lambda_parameters(step, fields)? {
                LambdaParametersProgress::Complete(parameters) => return Ok(parameters),
                LambdaParametersProgress::Partial(known) => known,
            };
            let lambdas = args.iter().zip(fields.iter_mut()).filter_map(|pair| match pair {
                (Expr::Lambda(lambda), ValueOrLambda::Lambda(made)) => Some((lambda, made)),
                _ => None,
            });
            for ((lambda, made), known) in lambdas.zip(known) {
                if let Some(parameters) = known {
                    let lambda = self.lambda(lambda.clone(), parameters)?;
                    *made = Some(lambda.body.to_field(self.schema.as_ref())?.1);
                }
            }
        }
        Err(FunctionError::internal(format!("{} has lambdas without types", func.name())).into())
    }

    /// A lambda whose parameters are `fields`.
    fn lambda(&self, Lambda { params, body }: Lambda, fields: Vec<FieldRef>) -> Result<Lambda> {
        if params.len() > fields.len() {
            let text = format!("a lambda here has {} parameters, not {}", fields.len(), params.len());
            return Err(FunctionError::semantic(text).into());
        }
        let named = |(name, field): (&String, FieldRef)| {
            (name.clone(), Arc::new(field.as_ref().clone().with_name(name)) as FieldRef)
        };
        let fields: HashMap<String, FieldRef> = params.iter().zip(fields).map(named).collect();
        let variable = |e: Expr| -> Result<Transformed<Expr>> {
            match e {
                Expr::LambdaVariable(mut v) if fields.contains_key(&v.name) => {
                    v.field = fields.get(&v.name).cloned();
                    Ok(Transformed::yes(Expr::LambdaVariable(v)))
                }
                e => Ok(Transformed::no(e)),
            }
        };
        let body = self.rewrite((*body).transform_up(variable)?.data)?;
        Ok(Lambda { params, body: Box::new(body) })
    }

    /// One expression whose operands are final.
    fn one(&self, e: Expr) -> Result<Expr> {
        match e {
            Expr::Literal(value, metadata) => Ok(Expr::Literal(literal(value), metadata)),
            Expr::OuterReferenceColumn(field, column) => Ok(self.outer_column(field, column)),
            Expr::Cast(Cast { expr, field }) => match column_type(&field) {
                Some(to) => self.explicit_cast(*expr, &to),
                None => Ok(Expr::Cast(Cast { expr, field })),
            },
            Expr::Negative(inner) => match *inner {
                Expr::Literal(ScalarValue::Int64(Some(v)), m) if v != i64::MIN => {
                    Ok(Expr::Literal(literal(ScalarValue::Int64(Some(-v))), m))
                }
                inner => self.call(Arc::new(Negate::udf()), vec![inner]),
            },
            Expr::Not(inner) => Ok(Expr::Not(Box::new(condition(*inner, self.schema, "NOT")?))),
            Expr::BinaryExpr(b) => self.binary(b),
            Expr::Like(mut like) => {
                let operands = (self.type_of(&like.expr)?, self.type_of(&like.pattern)?);
                let text = |t: &DataType| is_text(t) || *t == DataType::Null;
                if !text(&operands.0) || !text(&operands.1) {
                    return Err(bad_operands(&operands.0, &operands.1, "LIKE"));
                }
                like.expr = Box::new(self.to(*like.expr, &DataType::Utf8, false)?);
                like.pattern = Box::new(self.to(*like.pattern, &DataType::Utf8, false)?);
                Ok(Expr::Like(like))
            }
            Expr::Between(b) => self.between(b),
            Expr::InList(list) => self.in_list(list),
            Expr::Case(case) => self.case(case),
            Expr::ScalarFunction(ScalarFunction { func, mut args }) => {
                if let Some(function) = sql_function::of(&func) {
                    return function.inline(args, self.schema);
                }
                match func.inner().downcast_ref::<feitian_functions::Cast>() {
                    Some(cast) if args.len() == 1 => self.explicit_cast(args.remove(0), cast.target()),
                    _ => self.call(func, args),
                }
            }
            Expr::AggregateFunction(f) => self.aggregate(f),
            Expr::WindowFunction(f) => self.window(*f),
            Expr::ScalarSubquery(q) => Ok(Expr::ScalarSubquery(self.subquery(q)?)),
            Expr::Exists(Exists { subquery, negated }) => exists(self.subquery(subquery)?, negated),
            Expr::InSubquery(q) => self.in_subquery(q),
            other => Ok(other),
        }
    }

    /// The type of a column of an outer query may have changed since the reference was planned.
    fn outer_column(&self, field: FieldRef, column: Column) -> Expr {
        let found = self.outer.iter().rev().find_map(|s| s.qualified_field_from_column(&column).ok());
        let field = found.map_or(field, |(_, f)| f.clone());
        Expr::OuterReferenceColumn(field, column)
    }

    fn explicit_cast(&self, e: Expr, to: &feitian_types::DataType) -> Result<Expr> {
        let (from, target) = (self.type_of(&e)?, engine_type(to));
        let sized = to.is_text() && *to != feitian_types::DataType::String;
        if sized || !(from == target || is_plain_widening(&from, &target)) {
            return Ok(feitian_functions::Cast::udf(to, false).call(vec![e]));
        }
        Ok(if from == target { e } else { Expr::Cast(Cast::new(Box::new(e), target)) })
    }

    fn is_char(&self, e: &Expr) -> bool {
        e.to_field(self.schema.as_ref()).is_ok_and(|(_, field)| is_char(&field))
    }

    /// What is done to both sides of a comparison as `to`: one that CHAR takes part in is without blanks at the end.
    fn ignores_blanks<'e>(&self, to: &DataType, sides: impl IntoIterator<Item = &'e Expr>) -> fn(Expr) -> Expr {
        let is_char = *to == DataType::Utf8 && sides.into_iter().any(|e| self.is_char(e));
        if is_char { without_blanks } else { as_it_is }
    }

    fn binary(&self, BinaryExpr { left, op, right }: BinaryExpr) -> Result<Expr> {
        let make = |l, r| Expr::BinaryExpr(BinaryExpr::new(Box::new(l), op, Box::new(r)));
        match op {
            Operator::And | Operator::Or => {
                let clause = if op == Operator::And { "AND" } else { "OR" };
                Ok(make(condition(*left, self.schema, clause)?, condition(*right, self.schema, clause)?))
            }
            Operator::Eq
            | Operator::NotEq
            | Operator::Lt
            | Operator::LtEq
            | Operator::Gt
            | Operator::GtEq
            | Operator::IsDistinctFrom
            | Operator::IsNotDistinctFrom => {
                let (l, r) = (self.type_of(&left)?, self.type_of(&right)?);
                let to = comparison_type(&l, &r).ok_or_else(|| bad_operands(&l, &r, &op.to_string()))?;
                // Two untyped NULLs: the engine compares typed values only.
                let to = if to == DataType::Null { DataType::Boolean } else { to };
                let lenient = is_lenient(&l, &r, &to);
                let blanks = self.ignores_blanks(&to, [&*left, &*right]);
                let (l, r) = (convert(*left, &l, &to, lenient)?, convert(*right, &r, &to, lenient)?);
                if zeros::is_floating(&to) {
                    return Ok(zeros::compare(l, op, r, self.schema));
                }
                Ok(make(blanks(l), blanks(r)))
            }
            _ => Ok(make(*left, *right)),
        }
    }

    fn between(&self, Between { expr, negated, low, high }: Between) -> Result<Expr> {
        let (e, l, h) = (self.type_of(&expr)?, self.type_of(&low)?, self.type_of(&high)?);
        let first = comparison_type(&e, &l).ok_or_else(|| bad_operands(&e, &l, "BETWEEN"))?;
        let to = comparison_type(&first, &h).ok_or_else(|| bad_operands(&e, &h, "BETWEEN"))?;
        let lenient = is_lenient(&e, &l, &to);
        let blanks = self.ignores_blanks(&to, [&*expr, &*low, &*high]);
        let expr = blanks(convert(*expr, &e, &to, lenient)?);
        let (low, high) = (blanks(convert(*low, &l, &to, lenient)?), blanks(convert(*high, &h, &to, lenient)?));
        if zeros::is_floating(&to) {
            return Ok(zeros::between(expr, negated, low, high));
        }
        Ok(Expr::Between(Between::new(Box::new(expr), negated, Box::new(low), Box::new(high))))
    }

    fn in_list(&self, InList { expr, list, negated }: InList) -> Result<Expr> {
        let e = self.type_of(&expr)?;
        let mut to = e.clone();
        for item in &list {
            let ty = self.type_of(item)?;
            to = comparison_type(&to, &ty).ok_or_else(|| bad_operands(&e, &ty, "IN"))?;
        }
        let blanks = self.ignores_blanks(&to, list.iter().chain([&*expr]));
        let item = |item| Ok(blanks(self.to(item, &to, is_time(&to))?));
        let list = list.into_iter().map(item).collect::<Result<Vec<_>>>()?;
        let expr = blanks(convert(*expr, &e, &to, false)?);
        if zeros::is_floating(&to) {
            return Ok(zeros::in_list(expr, list, negated, self.schema));
        }
        Ok(Expr::InList(InList::new(Box::new(expr), list, negated)))
    }

    fn case(&self, case: Case) -> Result<Expr> {
        let mut subject = case.expr;
        let mut whens: Vec<(Expr, Expr)> = case.when_then_expr.into_iter().map(|(w, t)| (*w, *t)).collect();
        match subject.take() {
            None => {
                for (when, _) in &mut whens {
                    *when = condition(std::mem::take(when), self.schema, "CASE WHEN")?;
                }
            }
            Some(e) => {
                let ty = self.type_of(&e)?;
                let mut to = ty.clone();
                for (when, _) in &whens {
                    let w = self.type_of(when)?;
                    to = comparison_type(&to, &w).ok_or_else(|| bad_operands(&ty, &w, "CASE"))?;
                }
                let blanks = self.ignores_blanks(&to, whens.iter().map(|(when, _)| when).chain([&*e]));
                for (when, _) in &mut whens {
                    *when = blanks(self.to(std::mem::take(when), &to, false)?);
                }
                let mut e = blanks(convert(*e, &ty, &to, false)?);
                if zeros::is_floating(&to) && !whens.iter().all(|(when, _)| zeros::is_other(when)) {
                    e = zeros::one_zero(e, self.schema);
                    for (when, _) in &mut whens {
                        *when = zeros::one_zero(std::mem::take(when), self.schema);
                    }
                }
                subject = Some(Box::new(e));
            }
        }
        let mut types = whens.iter().map(|(_, t)| self.type_of(t)).collect::<Result<Vec<_>>>()?;
        types.extend(case.else_expr.as_ref().map(|e| self.type_of(e)).transpose()?);
        let Some(to) = common_of(&types) else {
            let names = types.iter().map(type_name).collect::<Vec<_>>().join(", ");
            return Err(FunctionError::semantic(format!("the branches of CASE have no common type: {names}")).into());
        };
        let branch = |(w, t): (Expr, Expr)| Ok((Box::new(w), Box::new(self.to(t, &to, false)?)));
        let whens = whens.into_iter().map(branch).collect::<Result<Vec<_>>>()?;
        let otherwise = case.else_expr.map(|e| self.to(*e, &to, false).map(Box::new)).transpose()?;
        Ok(Expr::Case(Case::new(subject, whens, otherwise)))
    }

    /// Arguments as the function wants them.
    fn arguments<F: UDFCoercionExt>(&self, args: Vec<Expr>, func: &F) -> Result<Vec<Expr>> {
        let zero = args.is_empty() && !matches!(func.signature().type_signature, TypeSignature::UserDefined);
        if zero {
            return Ok(args);
        }
        let fields = args.iter().map(|a| Ok(a.to_field(self.schema.as_ref())?.1)).collect::<Result<Vec<_>>>()?;
        let wanted = fields_with_udf(&fields, func)?;
        let cast = |((arg, field), wanted): ((Expr, &FieldRef), &FieldRef)| {
            convert(arg, field.data_type(), wanted.data_type(), false)
        };
        args.into_iter().zip(&fields).zip(&wanted).map(cast).collect()
    }

    fn call(&self, func: Arc<datafusion::logical_expr::ScalarUDF>, args: Vec<Expr>) -> Result<Expr> {
        let mut args = self.arguments(args, func.as_ref())?;
        if Arc::ptr_eq(&func, &registry().scalar["nullif"])
            && args.len() == 2
            && !args[0].is_volatile()
            && zeros::is_floating(&self.type_of(&args[0])?)
        {
            let (other, value) = (args.remove(1), args.remove(0));
            return Ok(zeros::nullif(value, other, self.schema));
        }
        let call = Expr::ScalarFunction(ScalarFunction::new_udf(func, args));
        // Functions that check their arguments do so when their type is asked for; do not leave that to the engine.
        self.type_of(&call)?;
        Ok(call)
    }

    /// Text arguments of numeric aggregates are read as DOUBLE.
    fn numeric(&self, name: &str, args: Vec<Expr>) -> Result<Vec<Expr>> {
        let cast = |arg: Expr| {
            let ty = self.type_of(&arg)?;
            match aggregate_argument(name, &ty) {
                Some(to) => convert(arg, &ty, &to, false),
                None => Ok(arg),
            }
        };
        args.into_iter().map(cast).collect()
    }

    fn aggregate(&self, f: AggregateFunction) -> Result<Expr> {
        let AggregateFunction { func, params } = f;
        let AggregateFunctionParams { args, distinct, filter, mut order_by, null_treatment } = params;
        let one = |args: &[Expr]| matches!(args, [Expr::Literal(v, _)] if *v == ScalarValue::Int32(Some(1)));
        let args = if func.name() == "count" && one(&args) {
            // COUNT(*) and COUNT(1): the engine knows them by this literal.
            vec![lit(COUNT_STAR_EXPANSION)]
        } else {
            let args = self.arguments(self.numeric(func.name(), args)?, func.as_ref())?;
            self.different(args, distinct || func.name() == "approx_distinct")?
        };
        if distinct {
            // The engine wants the same expressions here as among the arguments.
            zeros::sort_keys(&mut order_by, self.schema)?;
        }
        let filter = filter.map(|f| condition(*f, self.schema, "FILTER").map(Box::new)).transpose()?;
        let f = AggregateFunction::new_udf(func, args, distinct, filter, order_by, null_treatment);
        Ok(Expr::AggregateFunction(f))
    }

    /// Arguments of an aggregate, which looks at different ones only if `distinct`.
    fn different(&self, args: Vec<Expr>, distinct: bool) -> Result<Vec<Expr>> {
        if distinct { args.into_iter().map(|e| zeros::different(e, self.schema)).collect() } else { Ok(args) }
    }

    fn window(&self, mut f: WindowFunction) -> Result<Expr> {
        let args = std::mem::take(&mut f.params.args);
        let one = |args: &[Expr]| matches!(args, [Expr::Literal(v, _)] if *v == ScalarValue::Int32(Some(1)));
        f.params.args = match &f.fun {
            WindowFunctionDefinition::AggregateUDF(func) if func.name() == "count" && one(&args) => {
                vec![lit(COUNT_STAR_EXPANSION)]
            }
            WindowFunctionDefinition::AggregateUDF(func) => {
                let args = self.arguments(self.numeric(func.name(), args)?, func.as_ref())?;
                self.different(args, f.params.distinct || func.name() == "approx_distinct")?
            }
            WindowFunctionDefinition::WindowUDF(func) => self.arguments(args, func.as_ref())?,
        };
        for e in &mut f.params.partition_by {
            *e = zeros::key(std::mem::take(e), self.schema)?;
        }
        zeros::sort_keys(&mut f.params.order_by, self.schema)?;
        f.params.filter = match f.params.filter.take() {
            Some(filter) => Some(Box::new(condition(*filter, self.schema, "FILTER")?)),
            None => None,
        };
        Ok(Expr::from(f))
    }

    fn subquery(&self, q: Subquery) -> Result<Subquery> {
        let outer: Vec<DFSchemaRef> = self.outer.iter().cloned().chain([self.schema.clone()]).collect();
        let plan = coerce_in(Arc::unwrap_or_clone(q.subquery), &outer)?;
        let outer_ref_columns = plan.all_out_ref_exprs();
        Ok(Subquery { subquery: Arc::new(plan), outer_ref_columns, spans: q.spans })
    }

    fn in_subquery(&self, InSubquery { expr, subquery, negated }: InSubquery) -> Result<Expr> {
        let mut subquery = self.subquery(subquery)?;
        let (e, column) = (self.type_of(&expr)?, subquery.subquery.schema().field(0).data_type().clone());
        let to = comparison_type(&e, &column).ok_or_else(|| bad_operands(&e, &column, "IN"))?;
        let is_char = self.is_char(&expr) || is_char(subquery.subquery.schema().field(0));
        let alike = |e: Expr, schema: &DFSchema| match &to {
            DataType::Utf8 if is_char => without_blanks(e),
            to if zeros::is_floating(to) => zeros::one_zero(e, schema),
            _ => e,
        };
        if column != to || is_char || zeros::is_floating(&to) {
            let plan = Arc::unwrap_or_clone(subquery.subquery);
            let schema = Arc::clone(plan.schema());
            let changed = with_first(plan, |e| Ok(alike(convert(e, &column, &to, false)?, &schema)))?;
            subquery.subquery = Arc::new(changed);
        }
        let expr = alike(convert(*expr, &e, &to, false)?, self.schema);
        if !subquery.outer_ref_columns.is_empty() && is_total(&subquery.subquery) {
            // It has a row where there is nothing to count too.
            let op = if negated { Operator::NotEq } else { Operator::Eq };
            let row = Box::new(Expr::ScalarSubquery(subquery));
            return Ok(Expr::BinaryExpr(BinaryExpr::new(Box::new(expr), op, row)));
        }
        if negated && !subquery.outer_ref_columns.is_empty() {
            return self.none_is(expr, subquery);
        }
        Ok(Expr::InSubquery(InSubquery::new(Box::new(expr), subquery, negated)))
    }

    /// `expr NOT IN (subquery)` where it is a condition: no row equals it or may. The engine's join for it has one key, and
    /// takes a NULL for every row's, whichever rows the subquery belongs to.
    fn none_is(&self, expr: Expr, subquery: Subquery) -> Result<Expr> {
        let outer = |e: Expr| match e {
            Expr::Column(c) => {
                let field = Arc::clone(self.schema.qualified_field_from_column(&c)?.1);
                Ok(Transformed::yes(Expr::OuterReferenceColumn(field, c)))
            }
            other => Ok(Transformed::no(other)),
        };
        let expr = expr.transform(outer)?.data;
        if limit_of(&subquery.subquery).is_some() {
            let text = "NOT IN with LIMIT in a query that names columns of another one is not supported yet";
            return Err(FunctionError::unsupported(text).into());
        }
        let plan = Arc::unwrap_or_clone(subquery.subquery);
        let found = Expr::from(Column::from(plan.schema().qualified_field(0)));
        let may_be = expr.clone().eq(found.clone()).or(found.is_null()).or(expr.is_null());
        let plan = LogicalPlanBuilder::from(plan).filter(may_be)?.build()?;
        let outer_ref_columns = plan.all_out_ref_exprs();
        let subquery = Subquery { subquery: Arc::new(plan), outer_ref_columns, spans: subquery.spans };
        Ok(Expr::Exists(Exists::new(subquery, true)))
    }
}

/// Gives the values beside lambdas the types that these ask for.
fn widen(func: &HigherOrderUDF, fields: &mut [ValueOrLambda<FieldRef, Option<FieldRef>>]) -> Result<()> {
    let ty = |field: &ValueOrLambda<FieldRef, Option<FieldRef>>| match field {
        ValueOrLambda::Value(field) => ValueOrLambda::Value(field.data_type().clone()),
        ValueOrLambda::Lambda(made) => {
            ValueOrLambda::Lambda(made.as_ref().map_or(DataType::Null, |field| field.data_type().clone()))
        }
    };
    let types: Vec<ValueOrLambda<DataType, DataType>> = fields.iter().map(ty).collect();
    let values = fields.iter_mut().filter_map(|field| match field {
        ValueOrLambda::Value(field) => Some(field),
        ValueOrLambda::Lambda(_) => None,
    });
    for (field, to) in values.zip(func.coerce_values_for_lambdas(&types)?.into_iter().flatten()) {
        *field = Arc::new(field.as_ref().clone().with_data_type(to));
    }
    Ok(())
}

/// A query of one column, with `change` made to that column.
fn with_first(plan: LogicalPlan, change: impl FnOnce(Expr) -> Result<Expr>) -> Result<LogicalPlan> {
    let schema: &DFSchema = plan.schema();
    let expr = change(Expr::Column(Column::from(schema.qualified_field(0))))?.alias(CHANGED);
    Ok(LogicalPlan::Projection(Projection::try_new(vec![expr], Arc::new(plan))?))
}

/// True for a column that is CHAR: blanks at the end do not count when it is compared.
pub(super) fn is_char(field: &Field) -> bool {
    matches!(column_type(field), Some(feitian_types::DataType::Char(_)))
}

/// A text without blanks at its end.
pub(super) fn without_blanks(e: Expr) -> Expr {
    registry().scalar["rtrim"].call(vec![e])
}

fn as_it_is(e: Expr) -> Expr {
    e
}

/// Whole numbers are INT if they fit, else BIGINT, else DOUBLE. Intervals are months, or nanoseconds.
fn literal(value: ScalarValue) -> ScalarValue {
    const DAY: i64 = 86_400_000_000_000;
    match value {
        ScalarValue::Int64(Some(v)) => match i32::try_from(v) {
            Ok(v) => ScalarValue::Int32(Some(v)),
            Err(_) => ScalarValue::Int64(Some(v)),
        },
        ScalarValue::UInt64(Some(v)) => ScalarValue::Float64(Some(v as f64)),
        ScalarValue::IntervalMonthDayNano(Some(v)) if v.days == 0 && v.nanoseconds == 0 && v.months != 0 => {
            ScalarValue::IntervalYearMonth(Some(v.months))
        }
        ScalarValue::IntervalMonthDayNano(Some(v)) if v.months == 0 => {
            match i64::from(v.days).checked_mul(DAY).and_then(|d| d.checked_add(v.nanoseconds)) {
                Some(nanos) => ScalarValue::DurationNanosecond(Some(nanos)),
                None => ScalarValue::IntervalMonthDayNano(Some(v)),
            }
        }
        other => other,
    }
}

/// Text that is no time compares as NULL with DATE and TIMESTAMP, and is an error against DATETIME.
fn is_lenient(left: &DataType, right: &DataType, to: &DataType) -> bool {
    let datetime = feitian_functions::coercion::datetime();
    (is_text(left) || is_text(right)) && is_time(to) && *to != datetime
}
