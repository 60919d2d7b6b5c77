//! IF, COALESCE, NVL, NULLIF, GREATEST, LEAST, ORDINAL and FAILIF.
//!
//! The first four become CASE when the plan is simplified, so that a branch is computed only for rows that need it.

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, UInt64Array, new_null_array};
use arrow::compute::kernels::{cmp, zip::zip};
use arrow::compute::{SortOptions, and, concat, is_not_null, is_null, or, prep_null_mask_filter, take};
use arrow::datatypes::DataType;
use arrow::row::{RowConverter, SortField};
use datafusion::common::Result;
use datafusion::logical_expr::expr::Case;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::coercion::{Param, coerce_arguments, comparison_type, type_name};
use crate::docs::Entry;
use crate::error::FunctionError;
use crate::kernel::{Call, DataType0, Function, Returns};

pub(crate) const DOCS: &[Entry] = &[
    ("coalesce", "coalesce(value, …)", "The first value that is not NULL."),
    ("failif", "failif(condition, message)", "Fails with the message if the condition holds, else FALSE."),
    ("greatest", "greatest(value, …)", "The largest value; NULL only if all are."),
    ("if", "if(condition, a, b)", "`a` if the condition holds, else `b`."),
    ("least", "least(value, …)", "The smallest value; NULL is the smallest."),
    ("nullif", "nullif(a, b)", "NULL if both are equal, else `a`."),
    ("nvl", "nvl(a, b)", "`a`, or `b` if that is NULL."),
    ("ordinal", "ordinal(n, value, …)", "The nth smallest value; NULL is the smallest."),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    If,
    Coalesce,
    Nullif,
}

/// A function that is a CASE in disguise.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Conditional {
    name: &'static str,
    kind: Kind,
    signature: Signature,
}

fn conditional(name: &'static str, kind: Kind) -> ScalarUDF {
    ScalarUDF::from(Conditional { name, kind, signature: Signature::user_defined(Volatility::Immutable) })
}

/// Where `mask` is true; its NULLs count as false.
fn known_true(mask: &BooleanArray) -> BooleanArray {
    // The kernel below takes only masks that have room for NULLs.
    if mask.nulls().is_none() { mask.clone() } else { prep_null_mask_filter(mask) }
}

/// The functions of this file that are CASE in disguise.
pub(crate) fn conditionals() -> Vec<ScalarUDF> {
    vec![
        conditional("if", Kind::If),
        conditional("coalesce", Kind::Coalesce),
        conditional("nvl", Kind::Coalesce),
        conditional("nullif", Kind::Nullif),
    ]
}

/// The functions of this file that are kernels.
pub(crate) fn functions() -> Vec<Function> {
    vec![
        Function::new("failif", &[Param::Bool, Param::Text], Returns::Type(DataType0::Bool), failif),
        Function::new("ordinal", &[Param::Big, Param::Common], Returns::Argument(1), ordinal).rest(Param::Common),
        Function::new("greatest", &[Param::Common], Returns::Argument(0), greatest).rest(Param::Common),
        Function::new("least", &[Param::Common], Returns::Argument(0), least).rest(Param::Common),
    ]
}

impl Conditional {
    /// The types that arguments get.
    fn coerced(&self, types: &[DataType]) -> Result<Vec<DataType>, FunctionError> {
        use Param::{Bool, Common};
        Ok(match self.kind {
            Kind::If => coerce_arguments(self.name, &[Bool, Common, Common], &[], None, types)?,
            Kind::Coalesce if self.name == "nvl" => coerce_arguments("nvl", &[Common, Common], &[], None, types)?,
            Kind::Coalesce => coerce_arguments(self.name, &[Common], &[], Some(Common), types)?,
            Kind::Nullif => match types {
                [a, b] => {
                    let both = comparison_type(a, b)
                        .ok_or_else(|| FunctionError::argument_type(self.name, 2, &type_name(b), &type_name(a)))?;
                    vec![both.clone(), both]
                }
                _ => return Err(FunctionError::arity(self.name, "2", types.len())),
            },
        })
    }
}

impl ScalarUDFImpl for Conditional {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    /// Errors wait for `return_type`: the planner turns those of this function into words of its own.
    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(self.coerced(types).unwrap_or_else(|_| types.to_vec()))
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.coerced(types)?;
        let value = if self.kind == Kind::If { types.get(1) } else { types.first() };
        value.cloned().ok_or_else(|| FunctionError::arity(self.name, "more", types.len()).into())
    }

    fn simplify(&self, args: Vec<Expr>, _: &SimplifyContext) -> Result<ExprSimplifyResult> {
        let mut args = args;
        let case = |when: Vec<(Expr, Expr)>, otherwise: Option<Expr>| {
            let when = when.into_iter().map(|(w, t)| (Box::new(w), Box::new(t))).collect();
            Expr::Case(Case::new(None, when, otherwise.map(Box::new)))
        };
        // What is not the same each time is asked once, if nothing behind it must wait for what it says.
        let changes = |args: &[Expr]| args.iter().any(Expr::is_volatile);
        Ok(match self.kind {
            Kind::If if args.len() == 3 => {
                let (no, yes, condition) = (args.remove(2), args.remove(1), args.remove(0));
                ExprSimplifyResult::Simplified(case(vec![(condition, yes)], Some(no)))
            }
            Kind::Coalesce if args.len() == 1 => ExprSimplifyResult::Simplified(args.remove(0)),
            Kind::Coalesce if args.len() > 1 && (!changes(&args[..args.len() - 1]) || changes(&args[1..])) => {
                let last = args.remove(args.len() - 1);
                let when = args.into_iter().map(|a| (a.clone().is_not_null(), a)).collect();
                ExprSimplifyResult::Simplified(case(when, Some(last)))
            }
            Kind::Nullif if args.len() == 2 && !changes(&args[..1]) => {
                let (b, a) = (args.remove(1), args.remove(0));
                ExprSimplifyResult::Simplified(case(vec![(a.clone().eq(b).is_not_true(), a)], None))
            }
            _ => ExprSimplifyResult::Original(args),
        })
    }

    fn short_circuits(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let out = match (self.kind, arrays.as_slice()) {
            (Kind::If, [condition, yes, no]) => zip(&known_true(condition.as_boolean()), yes, no)?,
            (Kind::Coalesce, [first, rest @ ..]) => {
                let mut out = first.clone();
                for next in rest {
                    out = zip(&is_not_null(&out)?, &out, next)?;
                }
                out
            }
            (Kind::Nullif, [a, b]) => {
                let same = known_true(&cmp::eq(a, b)?);
                zip(&same, &new_null_array(a.data_type(), a.len()), a)?
            }
            _ => return Err(FunctionError::arity(self.name, "more", arrays.len()).into()),
        };
        Ok(ColumnarValue::Array(out))
    }
}

fn pick(call: &Call<'_>, better: impl Fn(&ArrayRef, &ArrayRef) -> Result<BooleanArray>) -> Result<ArrayRef> {
    let mut best = call.array(0)?;
    for i in 1..call.count() {
        let next = call.array(i)?;
        best = zip(&known_true(&better(&next, &best)?), &next, &best)?;
    }
    Ok(best)
}

/// NULL is the smallest value, so it wins only when all are NULL.
fn greatest(call: &Call<'_>) -> Result<ArrayRef> {
    pick(call, |next, best| {
        let larger = known_true(&cmp::gt(next, best)?);
        Ok(or(&larger, &is_null(best)?)?)
    })
}

/// NULL is the smallest value, so one NULL is enough.
fn least(call: &Call<'_>) -> Result<ArrayRef> {
    pick(call, |next, best| {
        let smaller = known_true(&cmp::lt(next, best)?);
        Ok(and(&or(&smaller, &is_null(next)?)?, &is_not_null(best)?)?)
    })
}

fn failif(call: &Call<'_>) -> Result<ArrayRef> {
    let (condition, message) = (call.truths(0)?, call.texts(1)?);
    call.make_bool(|i| match condition.get(i) {
        Some(true) => Err(FunctionError::user(message.get(i).unwrap_or("failif")).into()),
        _ => Ok(Some(false)),
    })
}

/// MaxCompute documentation of ORDINAL: counts from 1, NULL is the smallest.
fn ordinal(call: &Call<'_>) -> Result<ArrayRef> {
    let nth = call.bigs(0)?;
    let columns = (1..call.count()).map(|i| call.array(i)).collect::<Result<Vec<_>>>()?;
    let all = concat(&columns.iter().map(|c| c.as_ref()).collect::<Vec<_>>())?;
    let options = SortOptions { descending: false, nulls_first: true };
    let converter = RowConverter::new(vec![SortField::new_with_options(all.data_type().clone(), options)])?;
    let rows = converter.convert_columns(std::slice::from_ref(&all))?;
    let place = |row: usize| -> Result<Option<u64>> {
        let Some(n) = nth.get(row) else { return Ok(None) };
        let mut places: Vec<usize> = (0..columns.len()).map(|c| c * call.rows + row).collect();
        places.sort_by(|a, b| rows.row(*a).cmp(&rows.row(*b)));
        let found = usize::try_from(n - 1).ok().and_then(|at| places.get(at));
        let bad = || FunctionError::range(format!("ordinal: there is no value {n} of {}", columns.len()));
        Ok(Some(*found.ok_or_else(bad)? as u64))
    };
    let places = (0..call.rows).map(place).collect::<Result<Vec<_>>>()?;
    Ok(take(&all, &UInt64Array::from(places), None)?)
}
