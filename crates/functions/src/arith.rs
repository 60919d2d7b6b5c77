//! Arithmetic: `+ - * / % DIV` and the sign, which never wrap around.
//!
//! Results follow MaxCompute: `/` of whole numbers is DOUBLE, text is read as DOUBLE, what does not fit its type is an
//! error, and division by zero is NULL unless both sides are literals.

mod decimal;
mod interval;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, Datum, PrimitiveArray};
use arrow::compute::kernels::numeric;
use arrow::datatypes::{DataType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimeUnit};
use arrow::error::ArrowError;
use datafusion::common::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use datafusion::physical_expr_common::datum::apply;

use crate::coercion::{as_decimal, common_number, common_type, is_decimal, is_text, is_time, type_name};
use crate::error::FunctionError;
use crate::options::Context;

/// An arithmetic operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Op {
    Plus,
    Minus,
    Multiply,
    Divide,
    Modulo,
    /// `DIV`
    WholeDivide,
}

impl Op {
    /// The operator as it is written.
    pub fn sign(self) -> &'static str {
        match self {
            Self::Plus => "+",
            Self::Minus => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Modulo => "%",
            Self::WholeDivide => "DIV",
        }
    }

    /// The name as messages of the original show it.
    fn word(self) -> &'static str {
        match self {
            Self::Plus => "PLUS",
            Self::Minus => "MINUS",
            Self::Multiply => "MULTIPLY",
            Self::Divide => "DIVIDE",
            Self::Modulo => "MOD",
            Self::WholeDivide => "DIV",
        }
    }
}

/// One operator as a function of two arguments.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Arithmetic {
    op: Op,
    signature: Signature,
}

impl Arithmetic {
    /// The function that computes `op`.
    pub fn udf(op: Op) -> ScalarUDF {
        ScalarUDF::from(Self { op, signature: Signature::user_defined(Volatility::Immutable) })
    }

    fn refuse(&self, left: &DataType, right: &DataType) -> FunctionError {
        let (l, r) = (type_name(left), type_name(right));
        let op = self.op.sign();
        FunctionError::semantic(format!(
            "invalid operand type(s) {l},{r} for operator '{op}'; CAST one to fit the other"
        ))
    }

    fn operand_types(&self, left: &DataType, right: &DataType) -> Result<(DataType, DataType), FunctionError> {
        let null = DataType::Null;
        let known = |t: &DataType, other: &DataType| match t {
            t if is_text(t) => DataType::Float64,
            t if *t == null && (is_time(other) || other.is_numeric()) => other.clone(),
            t if *t == null => DataType::Float64,
            t => t.clone(),
        };
        let (l, r) = (known(left, right), known(right, left));
        if l.is_numeric() && r.is_numeric() {
            return self.number_types(&l, &r).ok_or_else(|| self.refuse(left, right));
        }
        let span = |t: &DataType| matches!(t, DataType::Interval(_) | DataType::Duration(_));
        match self.op {
            Op::Plus if is_time(&l) && span(&r) || span(&l) && is_time(&r) => Ok((l, r)),
            Op::Minus if is_time(&l) && span(&r) => Ok((l, r)),
            Op::Minus if is_time(&l) && is_time(&r) && *left != null && *right != null => {
                let both = common_type(&l, &r).ok_or_else(|| self.refuse(left, right))?;
                Ok((both.clone(), both))
            }
            Op::Plus | Op::Minus if span(&l) && l == r => Ok((l, r)),
            _ => Err(self.refuse(left, right)),
        }
    }

    fn number_types(&self, l: &DataType, r: &DataType) -> Option<(DataType, DataType)> {
        let common = common_number(l, r)?;
        let decimals = || {
            let side = |t: &DataType| as_decimal(t).map(|(p, s)| DataType::Decimal128(p, s));
            Some((side(l)?, side(r)?))
        };
        match self.op {
            _ if is_decimal(&common) && self.op != Op::WholeDivide => decimals(),
            Op::Divide => Some((DataType::Float64, DataType::Float64)),
            Op::Modulo | Op::WholeDivide if common.is_integer() => Some((DataType::Int64, DataType::Int64)),
            Op::Modulo | Op::WholeDivide => Some((DataType::Float64, DataType::Float64)),
            _ => Some((common.clone(), common)),
        }
    }

    fn result_type(&self, l: &DataType, r: &DataType) -> Result<DataType, FunctionError> {
        if let (DataType::Decimal128(p1, s1), DataType::Decimal128(p2, s2)) = (l, r) {
            return Ok(decimal::result_type(self.op, (*p1, *s1), (*p2, *s2)));
        }
        Ok(match self.op {
            Op::WholeDivide => DataType::Int64,
            Op::Minus if is_time(l) && is_time(r) => DataType::Duration(TimeUnit::Nanosecond),
            _ if is_time(l) => l.clone(),
            _ if is_time(r) => r.clone(),
            _ => l.clone(),
        })
    }

    /// Both sides are literals: the original folds them while it compiles, and refuses what has no value.
    fn refuse_constant(&self, args: &[ColumnarValue], result: &ColumnarValue) -> Result<()> {
        let constant = |a: &ColumnarValue| matches!(a, ColumnarValue::Scalar(v) if !v.is_null());
        let lost = matches!(result, ColumnarValue::Scalar(v) if v.is_null());
        if matches!(self.op, Op::Divide | Op::Modulo | Op::WholeDivide) && lost && args.iter().all(constant) {
            let value = |a: &ColumnarValue| match a {
                ColumnarValue::Scalar(v) => v.to_string(),
                ColumnarValue::Array(_) => a.to_string(),
            };
            let shown = args.iter().map(value).collect::<Vec<_>>().join(" and ");
            let text = format!("{} func result NaN, two params are {shown}", self.op.word());
            return Err(FunctionError::semantic(text).into());
        }
        Ok(())
    }
}

impl ScalarUDFImpl for Arithmetic {
    fn name(&self) -> &str {
        self.op.sign()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let [left, right] = types else {
            return Err(FunctionError::arity(self.op.sign(), "2", types.len()).into());
        };
        // Errors wait for `return_type`: the planner turns those of this function into words of its own.
        Ok(self.operand_types(left, right).map_or_else(|_| types.to_vec(), |(l, r)| vec![l, r]))
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        let [l, r] = types else {
            return Err(FunctionError::arity(self.op.sign(), "2", types.len()).into());
        };
        let (l, r) = self.operand_types(l, r)?;
        Ok(self.result_type(&l, &r)?)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [left, right] = args.args.as_slice() else {
            return Err(FunctionError::arity(self.op.sign(), "2", args.args.len()).into());
        };
        let context = Context::of(&args.config_options)?;
        let ty = args.return_field.data_type();
        let op = self.op;
        let compute = |l: &dyn Datum, r: &dyn Datum| compute(op, l, r, ty, &context);
        let result = apply(left, right, compute).map_err(|e| overflow(op, e))?;
        self.refuse_constant(&args.args, &result)?;
        Ok(result)
    }
}

fn overflow(op: Op, e: datafusion::error::DataFusionError) -> datafusion::error::DataFusionError {
    match &e {
        datafusion::error::DataFusionError::ArrowError(a, _) if matches!(**a, ArrowError::ArithmeticOverflow(_)) => {
            FunctionError::overflow(format!("{} func result is out of the range of its type: {a}", op.word())).into()
        }
        _ => e,
    }
}

fn external(e: FunctionError) -> ArrowError {
    ArrowError::ExternalError(Box::new(e))
}

fn compute(op: Op, l: &dyn Datum, r: &dyn Datum, ty: &DataType, context: &Context) -> Result<ArrayRef, ArrowError> {
    let (lt, rt) = (l.get().0.data_type(), r.get().0.data_type());
    if is_decimal(lt) && is_decimal(rt) {
        return decimal::compute(op, l, r, ty);
    }
    if is_time(lt) || is_time(rt) {
        return interval::compute(op, l, r, context).map_err(external);
    }
    match op {
        Op::Plus => numeric::add(l, r),
        Op::Minus => numeric::sub(l, r),
        Op::Multiply => numeric::mul(l, r),
        Op::Divide => divide::<Float64Type, Float64Type>(l, r, |a, b| Ok((b != 0.0).then(|| a / b))),
        Op::Modulo if *lt == DataType::Int64 => divide::<Int64Type, Int64Type>(l, r, |a, b| {
            // The remainder of the smallest BIGINT by -1 overflows in hardware; it is 0.
            Ok((b != 0).then(|| a.wrapping_rem(b)))
        }),
        Op::Modulo => divide::<Float64Type, Float64Type>(l, r, |a, b| Ok((b != 0.0).then(|| a % b))),
        Op::WholeDivide if *lt == DataType::Int64 => divide::<Int64Type, Int64Type>(l, r, |a, b| match b {
            0 => Ok(None),
            _ => a.checked_div(b).map(Some).ok_or_else(|| ArrowError::ArithmeticOverflow(format!("{a} DIV {b}"))),
        }),
        Op::WholeDivide => divide::<Float64Type, Int64Type>(l, r, |a, b| {
            let q = (a / b).trunc();
            match b == 0.0 || q.is_nan() {
                true => Ok(None),
                false if q.abs() < 9.2e18 => Ok(Some(q as i64)),
                false => Err(ArrowError::ArithmeticOverflow(format!("{a} DIV {b}"))),
            }
        }),
    }
}

/// Row by row, where either side may be one value for all rows.
fn divide<T: ArrowPrimitiveType, O: ArrowPrimitiveType>(
    l: &dyn Datum,
    r: &dyn Datum,
    f: impl Fn(T::Native, T::Native) -> Result<Option<O::Native>, ArrowError>,
) -> Result<ArrayRef, ArrowError> {
    let ((la, ls), (ra, rs)) = (l.get(), r.get());
    let (x, y) = (la.as_primitive::<T>(), ra.as_primitive::<T>());
    let rows = if ls { ra.len() } else { la.len() };
    let out: Result<PrimitiveArray<O>, ArrowError> = (0..rows)
        .map(|i| {
            let (i, j) = (if ls { 0 } else { i }, if rs { 0 } else { i });
            if x.is_null(i) || y.is_null(j) { Ok(None) } else { f(x.value(i), y.value(j)) }
        })
        .collect();
    Ok(Arc::new(out?))
}

/// The sign: `-x`.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Negate {
    signature: Signature,
}

impl Negate {
    /// The function.
    pub fn udf() -> ScalarUDF {
        ScalarUDF::from(Self { signature: Signature::user_defined(Volatility::Immutable) })
    }
}

impl ScalarUDFImpl for Negate {
    fn name(&self) -> &str {
        "negative"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(match types {
            [t] if is_text(t) || *t == DataType::Null => vec![DataType::Float64],
            _ => types.to_vec(),
        })
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [t] if t.is_numeric() || matches!(t, DataType::Interval(_) | DataType::Duration(_)) => Ok(t.clone()),
            [t] => Err(FunctionError::argument_type("negative", 1, &type_name(t), "a number").into()),
            _ => Err(FunctionError::arity("negative", "1", types.len()).into()),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let array = ColumnarValue::values_to_arrays(&args.args)?.remove(0);
        let out: ArrayRef = match array.data_type() {
            DataType::Int8 => negate::<Int8Type>(&array, i8::checked_neg)?,
            DataType::Int16 => negate::<Int16Type>(&array, i16::checked_neg)?,
            DataType::Int32 => negate::<Int32Type>(&array, i32::checked_neg)?,
            DataType::Int64 => negate::<Int64Type>(&array, i64::checked_neg)?,
            DataType::Float32 => negate::<Float32Type>(&array, |v| Some(-v))?,
            DataType::Float64 => negate::<Float64Type>(&array, |v| Some(-v))?,
            _ => numeric::neg(&array)?,
        };
        match args.args.first() {
            Some(ColumnarValue::Scalar(_)) => {
                Ok(ColumnarValue::Scalar(datafusion::common::ScalarValue::try_from_array(&out, 0)?))
            }
            _ => Ok(ColumnarValue::Array(out)),
        }
    }
}

fn negate<T: ArrowPrimitiveType>(array: &ArrayRef, f: impl Fn(T::Native) -> Option<T::Native>) -> Result<ArrayRef> {
    let checked = |v: T::Native| {
        f(v).ok_or_else(|| external(FunctionError::overflow("NEGATIVE func result is out of the range of its type")))
    };
    Ok(Arc::new(array.as_primitive::<T>().try_unary::<_, T, _>(checked)?))
}
