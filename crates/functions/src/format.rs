//! FORMAT_NUMBER: numbers with separators of thousands.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Decimal128Type, Float64Type, Int64Type};
use datafusion::common::Result;

use crate::coercion::{is_text, type_name};
use crate::docs::Entry;
use crate::error::FunctionError;
use crate::kernel::{Call, DataType0, Function, Returns, owned};

pub(crate) const DOCS: &[Entry] = &[(
    "format_number",
    "format_number(number, places | pattern)",
    "The number with commas and so many decimal places, or by a pattern such as `#,###.##`.",
)];

pub(crate) fn functions() -> Vec<Function> {
    vec![Function::new("format_number", &[], Returns::Type(DataType0::Text), format_number).coerce(number_and_form)]
}

/// MaxCompute documentation of FORMAT_NUMBER: more places are not supported.
const MAX_PLACES: i64 = 340;

fn number_and_form(name: &str, types: &[DataType]) -> Result<Vec<DataType>, FunctionError> {
    let [number, form] = types else { return Err(FunctionError::arity(name, "2", types.len())) };
    let number = match number {
        t if t.is_integer() => DataType::Int64,
        DataType::Decimal128(p, s) => DataType::Decimal128(*p, *s),
        t if t.is_numeric() || is_text(t) || t.is_null() => DataType::Float64,
        other => return Err(FunctionError::argument_type(name, 1, &type_name(other), "DOUBLE")),
    };
    let form = match form {
        t if t.is_integer() => DataType::Int64,
        t if is_text(t) => DataType::Utf8,
        t if t.is_null() => DataType::Int64,
        other => return Err(FunctionError::argument_type(name, 2, &type_name(other), "INT or STRING")),
    };
    Ok(vec![number, form])
}

/// How a number is laid out.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Form {
    prefix: String,
    suffix: String,
    /// Digits between commas; 0 for no commas.
    group: usize,
    least_whole: usize,
    least_fraction: usize,
    most_fraction: usize,
}

impl Form {
    fn places(n: i64) -> Option<Self> {
        let n = usize::try_from(n).ok().filter(|_| n <= MAX_PLACES)?;
        let (prefix, suffix) = (String::new(), String::new());
        Some(Self { prefix, suffix, group: 3, least_whole: 1, least_fraction: n, most_fraction: n })
    }

    /// A pattern of `#`, `0`, `,` and `.` with text around it, as java.text.DecimalFormat reads it.
    fn pattern(text: &str) -> Option<Self> {
        let is_form = |c: char| matches!(c, '#' | '0' | ',' | '.');
        let start = text.find(is_form)?;
        let end = text.rfind(is_form)? + 1;
        let form = &text[start..end];
        let (whole, fraction) = form.split_once('.').unwrap_or((form, ""));
        if !whole.chars().all(|c| matches!(c, '#' | '0' | ',')) || !fraction.chars().all(|c| matches!(c, '#' | '0')) {
            return None;
        }
        let count = |s: &str, wanted: char| s.chars().filter(|c| *c == wanted).count();
        Some(Self {
            prefix: text[..start].to_string(),
            suffix: text[end..].to_string(),
            group: whole.rfind(',').map_or(0, |at| whole.len() - at - 1),
            // Java takes the last `#` before the point for a 0 when the pattern has no 0 at all.
            least_whole: if form.contains('0') || !form.contains('.') { count(whole, '0') } else { whole.len().min(1) },
            least_fraction: count(fraction, '0'),
            most_fraction: fraction.len(),
        })
    }

    /// `digits` is the number rounded to `most_fraction` places, without a sign.
    fn lay_out(&self, negative: bool, digits: &str) -> String {
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let kept = fraction.trim_end_matches('0').len().max(self.least_fraction).min(fraction.len());
        let fraction = &fraction[..kept];
        let whole = whole.trim_start_matches('0');
        let mut whole = format!("{whole:0>width$}", width = self.least_whole);
        // Java shows the 0 when nothing else would be there.
        if whole.is_empty() && fraction.is_empty() {
            whole.push('0');
        }
        let mut grouped = String::new();
        for (i, c) in whole.chars().enumerate() {
            if self.group > 0 && i > 0 && (whole.len() - i).is_multiple_of(self.group) {
                grouped.push(',');
            }
            grouped.push(c);
        }
        let sign = if negative && digits.bytes().any(|b| (b'1'..=b'9').contains(&b)) { "-" } else { "" };
        let point = if fraction.is_empty() { "" } else { "." };
        format!("{sign}{}{grouped}{point}{fraction}{}", self.prefix, self.suffix)
    }
}

/// A decimal as digits with `places` after the point, halves away from zero.
fn decimal_digits(value: i128, scale: i8, places: usize) -> String {
    let scale = scale.max(0) as usize;
    let mut magnitude = value.unsigned_abs();
    if places < scale {
        let unit = 10u128.pow((scale - places) as u32);
        let (q, r) = (magnitude / unit, magnitude % unit);
        magnitude = q + u128::from(r * 2 >= unit);
    }
    let shown = places.min(scale);
    let digits = format!("{magnitude:0>width$}", width = shown + 1);
    let (whole, fraction) = digits.split_at(digits.len() - shown);
    format!("{whole}.{fraction:0<places$}")
}

fn format_number(call: &Call<'_>) -> Result<ArrayRef> {
    let (number, form) = (call.array(0)?, call.array(1)?);
    let form_of = |i: usize| -> Result<Option<Form>> {
        if form.is_null(i) {
            return Ok(None);
        }
        let (found, shown) = match form.data_type() {
            DataType::Utf8 => {
                let text = form.as_string::<i32>().value(i);
                (Form::pattern(text), format!("'{text}'"))
            }
            _ => {
                let n = form.as_primitive::<Int64Type>().value(i);
                (Form::places(n), n.to_string())
            }
        };
        let bad = || FunctionError::arguments(format!("format_number: {shown} is no number of places and no pattern"));
        found.map(Some).ok_or_else(|| bad().into())
    };
    call.make_text(|i| {
        let Some(form) = form_of(i)?.filter(|_| number.is_valid(i)) else { return Ok(None) };
        let places = form.most_fraction;
        owned(match number.data_type() {
            DataType::Int64 => {
                let v = number.as_primitive::<Int64Type>().value(i);
                form.lay_out(v < 0, &decimal_digits(v.into(), 0, places))
            }
            DataType::Decimal128(_, scale) => {
                let v = number.as_primitive::<Decimal128Type>().value(i);
                form.lay_out(v < 0, &decimal_digits(v, *scale, places))
            }
            _ => {
                let v = number.as_primitive::<Float64Type>().value(i);
                if !v.is_finite() {
                    return Ok(None);
                }
                form.lay_out(v < 0.0, &format!("{:.places$}", v.abs()))
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    // java.text.DecimalFormat documentation, and MaxCompute's examples of FORMAT_NUMBER.
    #[test]
    fn numbers_are_laid_out() {
        let shown = |pattern: &str, digits: &str| Form::pattern(pattern).expect("a pattern").lay_out(false, digits);
        assert_eq!(shown("#,###,###,###.###", "12332.123"), "12,332.123");
        assert_eq!(shown("#,##0.00", "0.50"), "0.50");
        assert_eq!(shown("#.##", "0.50"), "0.5");
        assert_eq!(shown("#.00", "0.50"), ".50");
        assert_eq!(shown("$#,##0 net", "1234567"), "$1,234,567 net");
        assert_eq!(shown("0000", "12"), "0012");
        assert_eq!(Form::places(4).expect("a form").lay_out(true, "12332.1235"), "-12,332.1235");
        assert_eq!(Form::places(341), None);
        assert_eq!(Form::pattern("abc"), None);
        assert_eq!(decimal_digits(25, 1, 0), "3.");
        assert_eq!(decimal_digits(35, 1, 0), "4.");
        assert_eq!(decimal_digits(-1050, 3, 2), "1.05");
        assert_eq!(decimal_digits(7, 0, 2), "7.00");
    }
}
