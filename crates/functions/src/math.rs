//! Mathematics.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{Array, ArrayRef, AsArray, BinaryBuilder, Decimal128Array, PrimitiveArray};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
};
use datafusion::common::Result;
use datafusion::logical_expr::Volatility;

use crate::coercion::{Param, as_decimal};
use crate::docs::Entry;
use crate::error::FunctionError;
use crate::kernel::{Call, DataType0, Function, Returns, owned};

const DOUBLE: Returns = Returns::Type(DataType0::Double);
const BIG: Returns = Returns::Type(DataType0::Big);
const TEXT: Returns = Returns::Type(DataType0::Text);

/// `f` of each DOUBLE; NaN and what `f` has no value for are NULL.
macro_rules! double_function {
    ($name:literal, $f:expr) => {
        Function::new($name, &[Param::Double], DOUBLE, |call| {
            let x = call.doubles(0)?;
            let f: fn(f64) -> f64 = $f;
            call.make_double(|i| Ok(x.get(i).map(f)))
        })
    };
}

/// As above, but arguments for which `f` has no value are an error, or NULL when the session is lenient.
macro_rules! partial_function {
    ($name:literal, $f:expr) => {
        Function::new($name, &[Param::Double], DOUBLE, |call| {
            let x = call.doubles(0)?;
            let f: fn(f64) -> f64 = $f;
            call.make_double(|i| match x.get(i) {
                None => Ok(None),
                Some(v) => defined(call, v, f(v)),
            })
        })
    };
}

/// A result that is no number is an error unless the argument was none either.
fn defined(call: &Call<'_>, argument: f64, result: f64) -> Result<Option<f64>> {
    if result.is_finite() || !argument.is_finite() {
        Ok(Some(result))
    } else if call.context.strict {
        Err(FunctionError::range(format!("{argument} is outside the domain of function {}", call.name)).into())
    } else {
        Ok(None)
    }
}

pub(crate) const DOCS: &[Entry] = &[
    ("abs", "abs(x)", "The magnitude."),
    ("acos", "acos(x)", "The angle of a cosine, in radians."),
    ("asin", "asin(x)", "The angle of a sine, in radians."),
    ("atan", "atan(x)", "The angle of a tangent, in radians."),
    ("atan2", "atan2(y, x)", "The angle of the point (x, y), in radians."),
    ("bin", "bin(n)", "The number in base 2, as text."),
    ("cbrt", "cbrt(x)", "The cube root."),
    ("ceil", "ceil(x)", "The least whole number that is not smaller, as BIGINT."),
    ("ceiling", "ceiling(x)", "The same as CEIL."),
    ("conv", "conv(text, from, to)", "Digits of one base in another, from 2 to 36, in lower case."),
    ("cos", "cos(x)", "The cosine."),
    ("cosh", "cosh(x)", "The hyperbolic cosine."),
    ("cot", "cot(x)", "The cotangent."),
    ("degrees", "degrees(x)", "Radians as degrees."),
    ("e", "e()", "Euler's number."),
    ("exp", "exp(x)", "e to the power of x."),
    ("factorial", "factorial(n)", "The product of 1 to n; NULL outside 0 to 20."),
    ("floor", "floor(x)", "The greatest whole number that is not larger, as BIGINT."),
    ("hex", "hex(number | text | binary)", "The bytes or the number as upper-case hexadecimal digits."),
    ("isnan", "isnan(x)", "Whether the DOUBLE is not a number."),
    ("ln", "ln(x)", "The natural logarithm."),
    ("log", "log(base, x)", "The logarithm to a base."),
    ("log10", "log10(x)", "The logarithm to base 10; NULL for 0."),
    ("log2", "log2(x)", "The logarithm to base 2; NULL for 0."),
    ("negative", "negative(x)", "The number with the other sign."),
    ("pi", "pi()", "The ratio of a circle's circumference to its diameter."),
    ("positive", "positive(x)", "The number itself."),
    ("pow", "pow(x, y)", "x to the power of y, as DOUBLE."),
    ("power", "power(x, y)", "The same as POW."),
    ("radians", "radians(x)", "Degrees as radians."),
    ("rand", "rand([seed])", "A random DOUBLE from 0 up to but not including 1."),
    ("round", "round(x[, places])", "The nearest number with so many decimal places, halves away from zero."),
    ("shiftleft", "shiftleft(x, n)", "The bits moved n places up."),
    ("shiftright", "shiftright(x, n)", "The bits moved n places down; the sign stays."),
    ("shiftrightunsigned", "shiftrightunsigned(x, n)", "The bits moved n places down; zeros follow."),
    ("sign", "sign(x)", "-1.0, 0.0 or 1.0."),
    ("sin", "sin(x)", "The sine."),
    ("sinh", "sinh(x)", "The hyperbolic sine."),
    ("sqrt", "sqrt(x)", "The square root."),
    ("tan", "tan(x)", "The tangent."),
    ("tanh", "tanh(x)", "The hyperbolic tangent."),
    ("trunc", "trunc(x[, places])", "The number cut to so many decimal places."),
    ("unhex", "unhex(text)", "The bytes that hexadecimal digits say."),
    ("width_bucket", "width_bucket(x, low, high, n)", "Which of n equal buckets the number falls into, from 1."),
];

pub(crate) fn functions() -> Vec<Function> {
    use Param::{Big, Double, Number};
    let mut all = vec![
        double_function!("atan", f64::atan),
        double_function!("cbrt", f64::cbrt),
        double_function!("cos", f64::cos),
        double_function!("cosh", f64::cosh),
        double_function!("degrees", f64::to_degrees),
        double_function!("exp", f64::exp),
        double_function!("radians", f64::to_radians),
        double_function!("sin", f64::sin),
        double_function!("sinh", f64::sinh),
        double_function!("tan", f64::tan),
        double_function!("tanh", f64::tanh),
        double_function!("sign", |v| if v == 0.0 { 0.0 } else { v.signum() }),
        partial_function!("acos", f64::acos),
        partial_function!("asin", f64::asin),
        partial_function!("cot", |v| 1.0 / v.tan()),
        partial_function!("ln", f64::ln),
        partial_function!("sqrt", f64::sqrt),
        Function::new("log2", &[Double], DOUBLE, |c| logarithm_or_null(c, f64::log2)),
        Function::new("log10", &[Double], DOUBLE, |c| logarithm_or_null(c, f64::log10)),
        Function::new("log", &[Double, Double], DOUBLE, log),
        Function::new("atan2", &[Double, Double], DOUBLE, atan2),
        Function::new("pi", &[], DOUBLE, |c| c.make_double(|_| Ok(Some(std::f64::consts::PI)))),
        Function::new("e", &[], DOUBLE, |c| c.make_double(|_| Ok(Some(std::f64::consts::E)))),
        Function::new("isnan", &[Double], Returns::Type(DataType0::Bool), |c| {
            let x = c.doubles(0)?;
            c.make_bool(|i| Ok(x.get(i).map(f64::is_nan)))
        }),
        Function::new("abs", &[Number], Returns::Argument(0), abs),
        Function::new("positive", &[Number], Returns::Argument(0), |c| c.array(0)),
        Function::new("ceil", &[Number], BIG, |c| whole(c, f64::ceil, 1)),
        Function::new("floor", &[Number], BIG, |c| whole(c, f64::floor, -1)),
        Function::new("round", &[Number], Returns::With(round_type), |c| round(c, true)).optional(&[Big]),
        Function::new("trunc", &[Number], Returns::With(round_type), |c| round(c, false)).optional(&[Big]),
        Function::new("factorial", &[Big], BIG, factorial),
        Function::new("width_bucket", &[Double, Double, Double, Big], BIG, width_bucket),
        Function::new("bin", &[Big], TEXT, |c| {
            let x = c.bigs(0)?;
            c.make_text(|i| x.get(i).map_or(Ok(None), |v| owned(format!("{v:b}"))))
        }),
        Function::new("hex", &[Param::Any], TEXT, hex),
        Function::new("unhex", &[Param::Text], Returns::Type(DataType0::Binary), unhex),
        Function::new("conv", &[Param::Text, Big, Big], TEXT, conv),
        Function::new("shiftleft", &[Big, Big], BIG, |c| shift(c, |v, n| v.wrapping_shl(n))),
        Function::new("shiftright", &[Big, Big], BIG, |c| shift(c, |v, n| v.wrapping_shr(n))),
        Function::new("shiftrightunsigned", &[Big, Big], BIG, |c| shift(c, |v, n| ((v as u64).wrapping_shr(n)) as i64)),
        Function::new("rand", &[], DOUBLE, rand).optional(&[Big]).volatility(Volatility::Volatile),
    ];
    for name in ["pow", "power"] {
        all.push(Function::new(name, &[Double, Double], DOUBLE, pow));
    }
    all.push(Function { name: "ceiling", ..Function::new("ceil", &[Number], BIG, |c| whole(c, f64::ceil, 1)) });
    all
}

/// MaxCompute documentation of LOG2 and LOG10: 0 and NULL give NULL.
fn logarithm_or_null(call: &Call<'_>, f: fn(f64) -> f64) -> Result<ArrayRef> {
    let x = call.doubles(0)?;
    call.make_double(|i| match x.get(i) {
        None | Some(0.0) => Ok(None),
        Some(v) => defined(call, v, f(v)),
    })
}

fn log(call: &Call<'_>) -> Result<ArrayRef> {
    let (base, x) = (call.doubles(0)?, call.doubles(1)?);
    call.make_double(|i| match (base.get(i), x.get(i)) {
        (Some(b), Some(v)) => {
            // Base 10 and 2 have exact logarithms of their powers.
            let value = if b == 10.0 {
                v.log10()
            } else if b == 2.0 {
                v.log2()
            } else {
                v.ln() / b.ln()
            };
            defined(call, v, if b <= 0.0 || b == 1.0 { f64::NAN } else { value })
        }
        _ => Ok(None),
    })
}

fn atan2(call: &Call<'_>) -> Result<ArrayRef> {
    let (y, x) = (call.doubles(0)?, call.doubles(1)?);
    call.make_double(|i| Ok(y.get(i).zip(x.get(i)).map(|(y, x)| y.atan2(x))))
}

fn pow(call: &Call<'_>) -> Result<ArrayRef> {
    let (x, y) = (call.doubles(0)?, call.doubles(1)?);
    call.make_double(|i| match (x.get(i), y.get(i)) {
        (Some(x), Some(y)) => defined(call, if y.is_finite() { x } else { y }, x.powf(y)),
        _ => Ok(None),
    })
}

fn shift(call: &Call<'_>, f: fn(i64, u32) -> i64) -> Result<ArrayRef> {
    let (x, n) = (call.bigs(0)?, call.bigs(1)?);
    call.make_big(|i| Ok(x.get(i).zip(n.get(i)).map(|(v, n)| f(v, (n & 63) as u32))))
}

fn factorial(call: &Call<'_>) -> Result<ArrayRef> {
    let x = call.bigs(0)?;
    // 20! is the largest that a BIGINT holds.
    call.make_big(|i| Ok(x.get(i).filter(|v| (0..=20).contains(v)).map(|v| (1..=v).product())))
}

/// Bucket 0 is below the first of `n` equal buckets, `n + 1` above the last. The bounds may run downwards, as in Spark.
fn width_bucket(call: &Call<'_>) -> Result<ArrayRef> {
    let (x, low, high, n) = (call.doubles(0)?, call.doubles(1)?, call.doubles(2)?, call.bigs(3)?);
    call.make_big(|i| {
        let (Some(x), Some(low), Some(high), Some(n)) = (x.get(i), low.get(i), high.get(i), n.get(i)) else {
            return Ok(None);
        };
        let bounds = [x, low, high].iter().all(|v| !v.is_nan()) && low.is_finite() && high.is_finite() && low != high;
        if n <= 0 || n == i64::MAX || !bounds {
            let text = format!("width_bucket: {n} buckets from {low} to {high}");
            return if call.context.strict { Err(FunctionError::range(text).into()) } else { Ok(None) };
        }
        let place = (x - low) / (high - low);
        Ok(Some(if place < 0.0 {
            0
        } else if place >= 1.0 {
            n + 1
        } else {
            (place * n as f64) as i64 + 1
        }))
    })
}

fn abs(call: &Call<'_>) -> Result<ArrayRef> {
    fn each<T: ArrowPrimitiveType>(a: &ArrayRef, f: impl Fn(T::Native) -> Option<T::Native>) -> Result<ArrayRef> {
        let checked =
            |v| f(v).ok_or_else(|| FunctionError::overflow("abs: the result is out of the range of its type"));
        let values: PrimitiveArray<T> = a.as_primitive::<T>().try_unary(checked)?;
        Ok(Arc::new(values))
    }
    let a = call.array(0)?;
    match a.data_type() {
        DataType::Int8 => each::<Int8Type>(&a, i8::checked_abs),
        DataType::Int16 => each::<Int16Type>(&a, i16::checked_abs),
        DataType::Int32 => each::<Int32Type>(&a, i32::checked_abs),
        DataType::Int64 => each::<Int64Type>(&a, i64::checked_abs),
        DataType::Float32 => each::<Float32Type>(&a, |v| Some(v.abs())),
        DataType::Float64 => each::<Float64Type>(&a, |v| Some(v.abs())),
        DataType::Decimal128(p, s) => {
            let values: Decimal128Array = a.as_primitive::<Decimal128Type>().unary(i128::abs);
            Ok(Arc::new(values.with_precision_and_scale(*p, *s)?))
        }
        other => Err(FunctionError::internal(format!("abs of {other}")).into()),
    }
}

/// CEIL and FLOOR: `away` is the step that a decimal with a fraction on that side of zero takes after truncation.
fn whole(call: &Call<'_>, f: fn(f64) -> f64, away: i128) -> Result<ArrayRef> {
    let a = call.array(0)?;
    let lost = |v: String| FunctionError::overflow(format!("{} of {v} is no BIGINT", call.name));
    if let DataType::Decimal128(_, scale) = a.data_type() {
        let unit = 10i128.pow(u32::from(scale.unsigned_abs()));
        let v = a.as_primitive::<Decimal128Type>();
        return call.make_big(|i| {
            if v.is_null(i) {
                return Ok(None);
            }
            let (q, r) = (v.value(i) / unit, v.value(i) % unit);
            let q = if r != 0 && (r > 0) == (away > 0) { q + away } else { q };
            i64::try_from(q).map(Some).map_err(|_| lost(q.to_string()).into())
        });
    }
    if a.data_type().is_integer() {
        return Ok(arrow::compute::cast(&a, &DataType::Int64)?);
    }
    let v = arrow::compute::cast(&a, &DataType::Float64)?;
    let v = v.as_primitive::<Float64Type>();
    call.make_big(|i| {
        if v.is_null(i) {
            return Ok(None);
        }
        let x = f(v.value(i));
        if x.abs() < 9.3e18 && (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&x) {
            Ok(Some(x as i64))
        } else {
            Err(lost(x.to_string()).into())
        }
    })
}

/// DECIMAL stays DECIMAL, everything else becomes DOUBLE.
fn round_type(types: &[DataType]) -> Result<DataType> {
    Ok(match types.first() {
        Some(DataType::Decimal128(p, s)) => DataType::Decimal128(*p, *s),
        _ => DataType::Float64,
    })
}

fn round(call: &Call<'_>, nearest: bool) -> Result<ArrayRef> {
    let a = call.array(0)?;
    let places = if call.count() > 1 { Some(call.bigs(1)?) } else { None };
    let places = |i: usize| places.as_ref().map_or(Some(0), |p| p.get(i));
    if let (DataType::Decimal128(p, s), Some(_)) = (a.data_type(), as_decimal(a.data_type())) {
        let (limit, s) = (10i128.pow(u32::from(*p)), *s);
        let v = a.as_primitive::<Decimal128Type>();
        return call.make::<Decimal128Type>(|i| {
            let (Some(n), false) = (places(i), v.is_null(i)) else { return Ok(None) };
            let drop = i64::from(s) - n;
            let value = match u32::try_from(drop) {
                Err(_) | Ok(0) => v.value(i),
                Ok(drop) if drop > 38 => 0,
                Ok(drop) => {
                    let unit = 10i128.pow(drop);
                    let (q, r) = (v.value(i) / unit, v.value(i) % unit);
                    let up = if nearest && r.abs() >= unit - r.abs() { v.value(i).signum() } else { 0 };
                    (q + up) * unit
                }
            };
            if value.abs() < limit { Ok(Some(value)) } else { Err(FunctionError::overflow("round of decimal").into()) }
        });
    }
    let v = arrow::compute::cast(&a, &DataType::Float64)?;
    let v = v.as_primitive::<Float64Type>();
    call.make_double(|i| {
        let (Some(n), false) = (places(i), v.is_null(i)) else { return Ok(None) };
        Ok(Some(round_double(v.value(i), n, nearest)))
    })
}

/// Rounds in binary, as the original does: `round(4.515, 2)` is 4.51 because 4.515 is a little less than it looks.
fn round_double(v: f64, places: i64, nearest: bool) -> f64 {
    let f = if nearest { f64::round } else { f64::trunc };
    // So large a number has no places; scaling it would change its last digits.
    let is_whole = v.abs() >= (1u64 << 52) as f64;
    if !v.is_finite() || places > 300 || (is_whole && places >= 0) {
        return v;
    }
    if places < -308 {
        return 0.0;
    }
    let scale = 10f64.powi(places.unsigned_abs() as i32);
    let out = if places >= 0 { f(v * scale) / scale } else { f(v / scale) * scale };
    if out.is_finite() { out } else { v }
}

fn hex(call: &Call<'_>) -> Result<ArrayRef> {
    let a = call.array(0)?;
    let bytes = |b: &[u8]| b.iter().map(|b| format!("{b:02X}")).collect::<String>();
    match a.data_type() {
        t if t.is_integer() => {
            let v = arrow::compute::cast(&a, &DataType::Int64)?;
            let v = v.as_primitive::<Int64Type>();
            call.make_text(|i| if v.is_null(i) { Ok(None) } else { owned(format!("{:X}", v.value(i))) })
        }
        DataType::Utf8 | DataType::Binary | DataType::Null => {
            let v = arrow::compute::cast(&a, &DataType::Binary)?;
            let v = v.as_binary::<i32>();
            call.make_text(|i| if v.is_null(i) { Ok(None) } else { owned(bytes(v.value(i))) })
        }
        other => Err(FunctionError::argument_type("hex", 1, &crate::coercion::type_name(other), "BIGINT").into()),
    }
}

fn unhex(call: &Call<'_>) -> Result<ArrayRef> {
    let text = call.texts(0)?;
    let mut out = BinaryBuilder::new();
    for i in 0..call.rows {
        let digit = |b: u8| char::from(b).to_digit(16).map(|d| d as u8);
        let decode = |t: &str| {
            // An odd number of digits has a leading zero.
            let padded = if t.len() % 2 == 1 { format!("0{t}") } else { t.to_string() };
            padded.as_bytes().chunks(2).map(|p| Some(digit(p[0])? << 4 | digit(p[1])?)).collect::<Option<Vec<u8>>>()
        };
        out.append_option(text.get(i).and_then(decode));
    }
    Ok(Arc::new(out.finish()))
}

/// Reads digits of one base and writes another; the digits come out in lower case.
fn conv(call: &Call<'_>) -> Result<ArrayRef> {
    let (text, from, to) = (call.texts(0)?, call.bigs(1)?, call.bigs(2)?);
    call.make_text(|i| {
        let (Some(t), Some(from), Some(to)) = (text.get(i), from.get(i), to.get(i)) else { return Ok(None) };
        let base = |b: i64| u32::try_from(b).ok().filter(|b| (2..=36).contains(b));
        let (Some(from), Some(to)) = (base(from), base(to)) else {
            return Err(FunctionError::range(format!("conv: bases {from} and {to} must be from 2 to 36")).into());
        };
        let Ok(mut value) = u64::from_str_radix(t.trim(), from) else {
            let text = format!("conv: '{t}' is no 64-bit number of base {from}");
            return if call.context.strict { Err(FunctionError::range(text).into()) } else { Ok(None) };
        };
        let mut digits = Vec::new();
        loop {
            digits.push(char::from_digit((value % u64::from(to)) as u32, to).unwrap_or('0'));
            value /= u64::from(to);
            if value == 0 {
                break;
            }
        }
        owned(digits.iter().rev().collect::<String>())
    })
}

/// Number `n` of the SplitMix64 generator that `seed` starts.
pub(crate) fn mix(seed: u64, n: u64) -> u64 {
    const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
    let mut z = seed.wrapping_add(n.wrapping_add(1).wrapping_mul(STEP));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Numbers from 0 to 1. Every batch of a process continues one counter, mixed with the job's seed; with a seed of their
/// own the numbers of a batch are the same every time.
fn rand(call: &Call<'_>) -> Result<ArrayRef> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let own = if call.count() > 0 { Some(call.bigs(0)?) } else { None };
    let first = if own.is_some() { 0 } else { COUNTER.fetch_add(call.rows as u64, Ordering::Relaxed) };
    call.make_double(|i| {
        let seed = own.as_ref().map_or(Some(call.context.seed), |own| own.get(i).map(|s| s as u64));
        let Some(seed) = seed else { return Ok(None) };
        let number = mix(seed, first.wrapping_add(i as u64));
        Ok(Some((number >> 11) as f64 / (1u64 << 53) as f64))
    })
}
