//! Which types meet as what: implicit conversion, the common type of several values, and comparison.
//!
//! The rules are those of MaxCompute's type system 2.0 (MaxCompute documentation, "Type conversion").

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, TimeUnit};
use feitian_types::arrow::nearest_type;

use crate::error::FunctionError;

/// What a parameter takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Param {
    /// STRING; numbers and times are converted.
    Text,
    /// STRING and nothing else.
    TextOnly,
    /// BIGINT; other integers are converted.
    Big,
    /// DOUBLE; numbers and STRING are converted.
    Double,
    /// Any number as it is; STRING becomes DOUBLE.
    Number,
    Bool,
    /// Anything, as it is.
    Any,
    /// All arguments of this kind get their common type.
    Common,
    /// DATE, DATETIME, TIMESTAMP or TIMESTAMP_NTZ; STRING becomes DATETIME.
    Time,
    /// As [`Param::Time`], but STRING stays.
    TimeOrText,
    /// BINARY or STRING, as it is; numbers and times become STRING.
    Bytes,
    List,
    Map,
}

/// DATETIME in the engine.
pub fn datetime() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))
}

/// TIMESTAMP in the engine.
pub fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()))
}

/// True for the Arrow forms of text.
pub fn is_text(ty: &DataType) -> bool {
    matches!(ty, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// True for DATE, DATETIME, TIMESTAMP and TIMESTAMP_NTZ.
pub fn is_time(ty: &DataType) -> bool {
    matches!(ty, DataType::Date32 | DataType::Timestamp(..))
}

pub(crate) fn is_decimal(ty: &DataType) -> bool {
    matches!(ty, DataType::Decimal128(..) | DataType::Decimal64(..) | DataType::Decimal32(..))
}

/// The name of a type as messages show it: upper case, for example `BIGINT`.
pub fn type_name(ty: &DataType) -> String {
    match ty {
        DataType::Null => "VOID".to_string(),
        other => nearest_type(other).map_or_else(|| other.to_string(), |t| t.to_string().to_uppercase()),
    }
}

fn is_binary(ty: &DataType) -> bool {
    matches!(ty, DataType::Binary | DataType::LargeBinary | DataType::BinaryView)
}

/// The type that an argument of type `ty` gets for parameter `param`; `None` when the parameter does not take it.
fn implicit(param: Param, ty: &DataType) -> Option<DataType> {
    let null = matches!(ty, DataType::Null);
    match param {
        Param::Text if null || is_text(ty) || ty.is_numeric() || is_time(ty) => Some(DataType::Utf8),
        Param::TextOnly if null || is_text(ty) => Some(DataType::Utf8),
        Param::Big if null || ty.is_integer() => Some(DataType::Int64),
        Param::Double if null || ty.is_numeric() || is_text(ty) => Some(DataType::Float64),
        Param::Number if null || is_text(ty) => Some(DataType::Float64),
        Param::Number if ty.is_numeric() => Some(unsigned_to_signed(ty)),
        Param::Bool if null || matches!(ty, DataType::Boolean) => Some(DataType::Boolean),
        Param::Any => Some(if is_text(ty) { DataType::Utf8 } else { unsigned_to_signed(ty) }),
        Param::Time if null || is_text(ty) => Some(datetime()),
        Param::Time | Param::TimeOrText if is_time(ty) => Some(normal_time(ty)),
        Param::TimeOrText if null || is_text(ty) => Some(DataType::Utf8),
        Param::Bytes if is_binary(ty) => Some(DataType::Binary),
        Param::Bytes => implicit(Param::Text, ty),
        Param::List if matches!(ty, DataType::List(_)) => Some(ty.clone()),
        Param::Map if matches!(ty, DataType::Map(..)) => Some(ty.clone()),
        _ => None,
    }
}

fn expected(param: Param) -> &'static str {
    match param {
        Param::Text | Param::TextOnly => "STRING",
        Param::Big => "BIGINT",
        Param::Double | Param::Number => "DOUBLE",
        Param::Bool => "BOOLEAN",
        Param::Any | Param::Common => "a type that the other arguments share",
        Param::Time | Param::TimeOrText => "DATETIME",
        Param::Bytes => "BINARY",
        Param::List => "ARRAY<T>",
        Param::Map => "MAP<K,V>",
    }
}

/// Unsigned integers appear only inside DataFusion (row counts); here they are BIGINT.
fn unsigned_to_signed(ty: &DataType) -> DataType {
    match ty {
        DataType::UInt8 => DataType::Int16,
        DataType::UInt16 => DataType::Int32,
        DataType::UInt32 | DataType::UInt64 => DataType::Int64,
        DataType::Float16 => DataType::Float32,
        DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        other => other.clone(),
    }
}

fn normal_time(ty: &DataType) -> DataType {
    match ty {
        DataType::Timestamp(TimeUnit::Millisecond, Some(_)) => datetime(),
        DataType::Timestamp(_, Some(_)) => timestamp(),
        DataType::Timestamp(_, None) => DataType::Timestamp(TimeUnit::Nanosecond, None),
        other => other.clone(),
    }
}

/// The types that the arguments of `function` get before it is called.
pub(crate) fn coerce_arguments(
    function: &str,
    required: &[Param],
    optional: &[Param],
    rest: Option<Param>,
    types: &[DataType],
) -> Result<Vec<DataType>, FunctionError> {
    let (least, most) = (required.len(), required.len() + optional.len());
    if types.len() < least || (rest.is_none() && types.len() > most) {
        let needs = match rest {
            Some(_) => format!("at least {least}"),
            None if least == most => least.to_string(),
            None => format!("{least} to {most}"),
        };
        return Err(FunctionError::arity(function, &needs, types.len()));
    }
    let param = |i: usize| required.iter().chain(optional).nth(i).copied().or(rest).unwrap_or(Param::Any);
    let shared = types.iter().enumerate().filter(|(i, _)| param(*i) == Param::Common).map(|(_, t)| t);
    let shared = common_of(shared);
    let mut out = Vec::with_capacity(types.len());
    for (i, ty) in types.iter().enumerate() {
        let wanted = match param(i) {
            Param::Common => shared.clone(),
            other => implicit(other, ty),
        };
        let Some(wanted) = wanted else {
            return Err(FunctionError::argument_type(function, i + 1, &type_name(ty), expected(param(i))));
        };
        out.push(wanted);
    }
    Ok(out)
}

/// The common type of several values; untyped NULLs alone make a STRING.
pub fn common_of<'a>(types: impl IntoIterator<Item = &'a DataType>) -> Option<DataType> {
    let mut common = DataType::Null;
    for ty in types {
        common = common_type(&common, ty)?;
    }
    Some(if common == DataType::Null { DataType::Utf8 } else { common })
}

fn integer_width(ty: &DataType) -> Option<u8> {
    Some(match ty {
        DataType::Int8 => 1,
        DataType::Int16 | DataType::UInt8 => 2,
        DataType::Int32 | DataType::UInt16 => 3,
        DataType::Int64 | DataType::UInt32 | DataType::UInt64 => 4,
        _ => return None,
    })
}

/// Precision and scale of a number as DECIMAL.
pub(crate) fn as_decimal(ty: &DataType) -> Option<(u8, i8)> {
    Some(match ty {
        DataType::Int8 => (3, 0),
        DataType::Int16 | DataType::UInt8 => (5, 0),
        DataType::Int32 | DataType::UInt16 => (10, 0),
        DataType::Int64 | DataType::UInt32 | DataType::UInt64 => (19, 0),
        DataType::Decimal32(p, s) | DataType::Decimal64(p, s) | DataType::Decimal128(p, s) => (*p, *s),
        _ => return None,
    })
}

/// The type of two numbers side by side; `None` unless both are numbers.
pub(crate) fn common_number(a: &DataType, b: &DataType) -> Option<DataType> {
    if let (Some(x), Some(y)) = (integer_width(a), integer_width(b)) {
        return Some(
            [DataType::Int8, DataType::Int16, DataType::Int32, DataType::Int64][x.max(y) as usize - 1].clone(),
        );
    }
    if let (Some((p1, s1)), Some((p2, s2))) = (as_decimal(a), as_decimal(b)) {
        let scale = s1.max(s2);
        let whole = (p1 as i16 - s1 as i16).max(p2 as i16 - s2 as i16);
        return Some(DataType::Decimal128((whole + scale as i16).clamp(1, 38) as u8, scale));
    }
    match (a, b) {
        (DataType::Float32, DataType::Float32) => Some(DataType::Float32),
        // A FLOAT holds every TINYINT and SMALLINT; wider integers would lose digits.
        (DataType::Float32, o) | (o, DataType::Float32) if integer_width(o).is_some_and(|w| w <= 2) => {
            Some(DataType::Float32)
        }
        _ if a.is_numeric() && b.is_numeric() => Some(DataType::Float64),
        _ => None,
    }
}

fn common_time(a: &DataType, b: &DataType) -> Option<DataType> {
    let rank = |t: &DataType| match normal_time(t) {
        DataType::Date32 => Some(0),
        t if t == datetime() => Some(1),
        t if t == timestamp() => Some(2),
        _ => None,
    };
    let (x, y) = (normal_time(a), normal_time(b));
    match (rank(&x), rank(&y)) {
        (Some(i), Some(j)) => Some(if i >= j { x } else { y }),
        // A wall clock reading meets only itself and DATE: an instant would need a zone.
        (None, Some(0)) | (None, None) => Some(x),
        (Some(0), None) => Some(y),
        _ => None,
    }
}

/// The type in which two values can stand in one column: CASE, COALESCE, UNION, arrays.
pub fn common_type(a: &DataType, b: &DataType) -> Option<DataType> {
    let null = DataType::Null;
    match (a, b) {
        _ if a == b => Some(unsigned_to_signed(a)),
        (_, t) if *a == null => Some(unsigned_to_signed(t)),
        (t, _) if *b == null => Some(unsigned_to_signed(t)),
        (DataType::List(x), DataType::List(y)) => {
            let item = common_type(x.data_type(), y.data_type())?;
            Some(DataType::List(Arc::new(Field::new_list_field(item, true))))
        }
        (DataType::Struct(x), DataType::Struct(y)) if x.len() == y.len() => {
            let field = |(f, g): (&Arc<Field>, &Arc<Field>)| {
                Some(Field::new(f.name(), common_type(f.data_type(), g.data_type())?, true))
            };
            Some(DataType::Struct(x.iter().zip(y).map(field).collect::<Option<Vec<_>>>()?.into()))
        }
        (DataType::Map(x, _), DataType::Map(y, _)) => common_map(x.data_type(), y.data_type()),
        _ if a.is_numeric() && b.is_numeric() => common_number(a, b),
        _ if is_time(a) && is_time(b) => common_time(a, b),
        _ if is_text(a) && (is_text(b) || b.is_numeric() || is_time(b)) => Some(DataType::Utf8),
        _ if is_text(b) && (a.is_numeric() || is_time(a)) => Some(DataType::Utf8),
        _ if is_binary(a) && is_binary(b) => Some(DataType::Binary),
        _ => None,
    }
}

fn common_map(a: &DataType, b: &DataType) -> Option<DataType> {
    let (DataType::Struct(x), DataType::Struct(y)) = (a, b) else { return None };
    let (xk, xv, yk, yv) = (x.first()?, x.get(1)?, y.first()?, y.get(1)?);
    Some(map_type(common_type(xk.data_type(), yk.data_type())?, common_type(xv.data_type(), yv.data_type())?))
}

/// The engine form of MAP<key, value>.
pub fn map_type(key: DataType, value: DataType) -> DataType {
    let entries = vec![Field::new("key", key, false), Field::new("value", value, true)];
    DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entries.into()), false)), false)
}

/// The type in which two values are compared.
///
/// STRING meets a number as DOUBLE, or as DECIMAL when the number is one, and a time as that time.
pub fn comparison_type(a: &DataType, b: &DataType) -> Option<DataType> {
    let against_text = |other: &DataType| match other {
        t if is_decimal(t) => Some(DataType::Decimal128(38, 18)),
        t if t.is_numeric() => Some(DataType::Float64),
        t if is_time(t) => Some(normal_time(t)),
        _ => None,
    };
    match (is_text(a), is_text(b)) {
        (true, true) => Some(DataType::Utf8),
        (true, false) if *b != DataType::Null => against_text(b),
        (false, true) if *a != DataType::Null => against_text(a),
        _ => common_type(a, b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // MaxCompute documentation, "Type conversion": STRING compared with BIGINT goes through DOUBLE.
    #[test]
    fn text_meets_numbers_as_double_in_comparisons_and_as_text_in_one_column() {
        assert_eq!(comparison_type(&DataType::Utf8, &DataType::Int64), Some(DataType::Float64));
        assert_eq!(comparison_type(&DataType::Decimal128(10, 2), &DataType::Utf8), Some(DataType::Decimal128(38, 18)));
        assert_eq!(common_type(&DataType::Utf8, &DataType::Int64), Some(DataType::Utf8));
        assert_eq!(comparison_type(&DataType::Boolean, &DataType::Int32), None);
    }

    // Type system 2.0 widens TINYINT to SMALLINT to INT to BIGINT to DECIMAL to DOUBLE.
    #[test]
    fn numbers_widen() {
        assert_eq!(common_type(&DataType::Int8, &DataType::Int32), Some(DataType::Int32));
        assert_eq!(common_type(&DataType::Int32, &DataType::Decimal128(5, 2)), Some(DataType::Decimal128(12, 2)));
        assert_eq!(common_type(&DataType::Int64, &DataType::Float64), Some(DataType::Float64));
        assert_eq!(common_type(&DataType::Decimal128(5, 2), &DataType::Float64), Some(DataType::Float64));
    }

    #[test]
    fn wrong_arguments_are_named() {
        let e = coerce_arguments("substr", &[Param::Text, Param::Big], &[Param::Big], None, &[DataType::Utf8]);
        assert_eq!(e.expect_err("too few").details, "function substr needs 2 to 3 parameters, actually have 1");
        let e = coerce_arguments("size", &[Param::List], &[], None, &[DataType::Utf8]).expect_err("no list");
        assert_eq!(e.details, "invalid type STRING of argument 1 for function size, expect ARRAY<T>");
    }
}
