//! DECIMAL arithmetic: exact in 256 bits, rounded half away from zero to the scale of the result.
//!
//! Sums and products that need no rounding, which are nearly all, are made in 128 bits. Where one does not fit, all rows of
//! the batch are made in 256, which decides.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Datum, Decimal128Array};
use arrow::buffer::NullBuffer;
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

/// One operand: its values, and whether there is one for all rows.
struct Side<'a> {
    values: &'a [i128],
    is_one: bool,
    scale: i8,
}

impl<'a> Side<'a> {
    fn new(array: &'a Decimal128Array, is_one: bool, scale: i8) -> Self {
        Self { values: array.values(), is_one, scale }
    }
}

/// `a * b`. Most values fit into 64 bits, and their product is one instruction.
fn product(a: i128, b: i128) -> Option<i128> {
    match (i64::try_from(a), i64::try_from(b)) {
        (Ok(a), Ok(b)) => Some(i128::from(a).wrapping_mul(i128::from(b))),
        _ => a.checked_mul(b),
    }
}

/// The results of all rows in 128 bits; `None` if one has to be rounded or is not below `limit`.
fn quick(op: Op, l: &Side<'_>, r: &Side<'_>, scale: i8, limit: u128) -> Option<Vec<i128>> {
    let wide = l.scale.max(r.scale);
    let factor = |from: i8| 10i128.checked_pow(u32::try_from(wide - from).ok()?);
    match op {
        Op::Plus | Op::Minus if scale == wide => {
            let (a, b) = (factor(l.scale)?, factor(r.scale)?);
            let b = if op == Op::Plus { b } else { -b };
            quick_rows(l, r, limit, |x, y| product(x, a)?.checked_add(product(y, b)?))
        }
        Op::Multiply if scale == l.scale + r.scale => quick_rows(l, r, limit, product),
        _ => None,
    }
}

fn quick_rows(l: &Side<'_>, r: &Side<'_>, limit: u128, f: impl Fn(i128, i128) -> Option<i128>) -> Option<Vec<i128>> {
    let rows = if l.is_one { r.values.len() } else { l.values.len() };
    let mut out = Vec::with_capacity(rows);
    let mut push = |x: i128, y: i128| {
        let v = f(x, y)?;
        out.push(v);
        (v.unsigned_abs() < limit).then_some(())
    };
    match (l.is_one, r.is_one) {
        (false, false) => l.values.iter().zip(r.values).try_for_each(|(x, y)| push(*x, *y))?,
        (true, _) => {
            let x = *l.values.first()?;
            r.values.iter().try_for_each(|y| push(x, *y))?;
        }
        (false, true) => {
            let y = *r.values.first()?;
            l.values.iter().try_for_each(|x| push(*x, y))?;
        }
    }
    Some(out)
}

/// Where either side is NULL, for `rows` rows.
fn nulls(x: &Decimal128Array, ls: bool, y: &Decimal128Array, rs: bool, rows: usize) -> Option<NullBuffer> {
    let of = |a: &Decimal128Array, is_one: bool| match is_one {
        true => (a.is_empty() || a.is_null(0)).then(|| NullBuffer::new_null(rows)),
        false => a.nulls().cloned(),
    };
    NullBuffer::union(of(x, ls).as_ref(), of(y, rs).as_ref())
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
    let below = 10u128.pow(u32::from(*precision).min(38));
    if let Some(values) = quick(op, &Side::new(x, ls, s1), &Side::new(y, rs, s2), *scale, below) {
        let out = Decimal128Array::try_new(values.into(), nulls(x, ls, y, rs, rows))?;
        return Ok(Arc::new(out.with_precision_and_scale(*precision, *scale)?));
    }
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

    // Arithmetic: 12.50 * 1.5, 0.10 * 1.5; -12.50 + 1.5 and 1.5 - 0.10 with the one value on either side.
    #[test]
    fn one_value_meets_all_rows_and_null_stays_null() {
        let column = |v: Vec<Option<i128>>| Decimal128Array::from(v).with_precision_and_scale(10, 2).expect("a type");
        let one = Decimal128Array::from(vec![15]).with_precision_and_scale(5, 1).expect("a type");
        let rows = column(vec![Some(1250), None, Some(10)]);
        let compute = |op, l: &dyn Datum, r: &dyn Datum, s1: (u8, i8), s2| {
            compute(op, l, r, &result_type(op, s1, s2)).expect("it fits").as_primitive::<Decimal128Type>().clone()
        };
        let one = arrow::array::Scalar::new(one);
        let product = compute(Op::Multiply, &rows, &one, (10, 2), (5, 1));
        assert_eq!(product.iter().collect::<Vec<_>>(), [Some(18750), None, Some(150)]);
        assert_eq!(product.data_type(), &DataType::Decimal128(15, 3));
        let difference = compute(Op::Minus, &one, &rows, (5, 1), (10, 2));
        assert_eq!(difference.iter().collect::<Vec<_>>(), [Some(-1100), None, Some(140)]);
        let null = arrow::array::Scalar::new(column(vec![None]));
        let sum = compute(Op::Plus, &rows, &null, (10, 2), (10, 2));
        assert_eq!(sum.null_count(), 3);
    }

    // Arithmetic: 10^19 is beyond 64 bits, its square is 10^38, which 38 digits do not hold; 10^18 times 10^19 is 10^37.
    #[test]
    fn products_beyond_64_bits_are_exact() {
        let (a, b) = (10i128.pow(18), 10i128.pow(19));
        assert_eq!(run(Op::Multiply, (a, 20, 0), (b, 20, 0)).expect("product").0, 10i128.pow(37));
        assert_eq!(run(Op::Multiply, (-b, 20, 0), (a, 20, 0)).expect("product").0, -10i128.pow(37));
        assert!(run(Op::Multiply, (b, 20, 0), (b, 20, 0)).is_err());
        // The largest scale is 18: 0.0000000001 times 0.5 with ten places each has twenty, and rounds to 18.
        assert_eq!(run(Op::Multiply, (1, 20, 10), (5_000_000_000, 20, 10)).expect("product").0, 50_000_000);
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        let big = 10i128.pow(37);
        assert!(run(Op::Multiply, (big, 38, 0), (big, 38, 0)).is_err());
        assert!(run(Op::Divide, (1, 5, 0), (0, 5, 0)).is_err());
    }
}
