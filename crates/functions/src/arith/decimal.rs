//! DECIMAL arithmetic: exact in 256 bits, rounded half away from zero to the scale of the result.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Datum, Decimal128Array};
use arrow::datatypes::{DataType, Decimal128Type, i256};
use arrow::error::ArrowError;

use super::{Op, external};
use crate::error::FunctionError;

/// The largest scale of a DECIMAL result.
const MAX_SCALE: i8 = 18;

/// Precision and scale of `(p1,s1) op (p2,s2)`.
pub(super) fn result_type(op: Op, (p1, s1): (u8, i8), (p2, s2): (u8, i8)) -> DataType {
    let (p1, p2) = (i16::from(p1), i16::from(p2));
    let (a, b) = (i16::from(s1), i16::from(s2));
    let (precision, scale) = match op {
        Op::Plus | Op::Minus => ((p1 - a).max(p2 - b) + a.max(b) + 1, a.max(b)),
        Op::Multiply => (p1 + p2, a + b),
        Op::Divide | Op::WholeDivide => {
            let scale = (a + p2 + 1).max(6);
            (p1 - a + b + scale, scale)
        }
        Op::Modulo => ((p1 - a).min(p2 - b) + a.max(b), a.max(b)),
    };
    // A scale that is inherited from a column may be larger than what arithmetic alone produces.
    let limit = i16::from(MAX_SCALE.max(s1).max(s2));
    let scale = scale.min(limit);
    DataType::Decimal128(precision.clamp(1.max(scale), 38) as u8, scale as i8)
}

fn too_large(op: Op) -> ArrowError {
    external(FunctionError::overflow(format!("decimal result of operator '{}' is out of range", op.sign())))
}

fn power(n: i8) -> Option<i256> {
    i256::from_i128(10).checked_pow(u32::try_from(n).ok()?)
}

/// `a / b`, rounded half away from zero.
fn round_div(a: i256, b: i256) -> Option<i256> {
    let (q, r) = (a.checked_div(b)?, a.checked_rem(b)?);
    let twice = r.checked_abs()?.checked_mul(i256::from_i128(2))?;
    if twice < b.checked_abs()? {
        return Some(q);
    }
    let one = if (a < i256::ZERO) == (b < i256::ZERO) { i256::ONE } else { i256::MINUS_ONE };
    q.checked_add(one)
}

/// `value` of scale `from` at scale `to`.
fn rescale(value: i256, from: i8, to: i8) -> Option<i256> {
    if from <= to { value.checked_mul(power(to - from)?) } else { round_div(value, power(from - to)?) }
}

fn one(op: Op, a: i128, s1: i8, b: i128, s2: i8, scale: i8) -> Result<Option<i256>, ArrowError> {
    let (x, y) = (i256::from_i128(a), i256::from_i128(b));
    let wide = s1.max(s2);
    let exact = match op {
        Op::Plus | Op::Minus => {
            let sum = |f: fn(i256, i256) -> Option<i256>| f(rescale(x, s1, wide)?, rescale(y, s2, wide)?);
            let sum = if op == Op::Plus { sum(i256::checked_add) } else { sum(i256::checked_sub) };
            sum.and_then(|v| rescale(v, wide, scale))
        }
        Op::Multiply => x.checked_mul(y).and_then(|v| rescale(v, s1 + s2, scale)),
        _ if b == 0 && op == Op::Modulo => return Ok(None),
        _ if b == 0 => return Err(external(FunctionError::overflow("decimal division by zero"))),
        Op::Modulo => rescale(x, s1, wide).zip(rescale(y, s2, wide)).and_then(|(x, y)| x.checked_rem(y)),
        Op::Divide | Op::WholeDivide => power(scale + s2 - s1.min(scale + s2))
            .and_then(|p| x.checked_mul(p))
            .zip(power((s1 - scale - s2).max(0)).and_then(|p| y.checked_mul(p)))
            .and_then(|(x, y)| round_div(x, y)),
    };
    exact.map(Some).ok_or_else(|| too_large(op))
}

pub(super) fn compute(op: Op, l: &dyn Datum, r: &dyn Datum, ty: &DataType) -> Result<ArrayRef, ArrowError> {
    let ((la, ls), (ra, rs)) = (l.get(), r.get());
    let scale_of = |t: &DataType| if let DataType::Decimal128(_, s) = t { Some(*s) } else { None };
    let (Some(s1), Some(s2), DataType::Decimal128(precision, scale)) =
        (scale_of(la.data_type()), scale_of(ra.data_type()), ty)
    else {
        return Err(ArrowError::InvalidArgumentError(format!(
            "no decimals: {} and {}",
            la.data_type(),
            ra.data_type()
        )));
    };
    let limit = i256::from_i128(10i128.pow(u32::from(*precision).min(38)));
    let (x, y) = (la.as_primitive::<Decimal128Type>(), ra.as_primitive::<Decimal128Type>());
    let rows = if ls { ra.len() } else { la.len() };
    let out = (0..rows).map(|i| {
        let (i, j) = (if ls { 0 } else { i }, if rs { 0 } else { i });
        if x.is_null(i) || y.is_null(j) {
            return Ok(None);
        }
        match one(op, x.value(i), s1, y.value(j), s2, *scale)? {
            None => Ok(None),
            Some(v) if v.checked_abs().is_some_and(|a| a < limit) => Ok(v.to_i128()),
            Some(_) => Err(too_large(op)),
        }
    });
    let out = out.collect::<Result<Decimal128Array, ArrowError>>()?;
    Ok(Arc::new(out.with_precision_and_scale(*precision, *scale)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(op: Op, a: (i128, u8, i8), b: (i128, u8, i8)) -> Result<(i128, DataType), ArrowError> {
        let ty = result_type(op, (a.1, a.2), (b.1, b.2));
        let l = Decimal128Array::from(vec![a.0]).with_precision_and_scale(a.1, a.2)?;
        let r = Decimal128Array::from(vec![b.0]).with_precision_and_scale(b.1, b.2)?;
        let out = compute(op, &l, &r, &ty)?;
        Ok((out.as_primitive::<Decimal128Type>().value(0), ty))
    }

    // Arithmetic; types from the rules for decimal results (sum: larger scale, product: both, quotient: at least 6).
    #[test]
    fn results_are_exact_and_typed() {
        assert_eq!(run(Op::Plus, (150, 10, 2), (1, 5, 0)).expect("sum"), (250, DataType::Decimal128(11, 2)));
        assert_eq!(run(Op::Multiply, (150, 10, 2), (-3, 5, 1)).expect("product"), (-450, DataType::Decimal128(15, 3)));
        // 1.00 / 3 = 0.333333, scale 2 + 1 + 1 is raised to 6.
        assert_eq!(run(Op::Divide, (100, 3, 2), (3, 1, 0)).expect("quotient"), (333_333, DataType::Decimal128(7, 6)));
        assert_eq!(run(Op::Modulo, (105, 5, 2), (1, 3, 0)).expect("rest").0, 5);
        // 2 / 3 rounds up.
        assert_eq!(run(Op::Divide, (2, 1, 0), (3, 1, 0)).expect("quotient").0, 666_667);
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        let big = 10i128.pow(37);
        assert!(run(Op::Multiply, (big, 38, 0), (big, 38, 0)).is_err());
        assert!(run(Op::Divide, (1, 5, 0), (0, 5, 0)).is_err());
    }
}
