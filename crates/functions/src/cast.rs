//! CAST: the one conversion between MaxCompute types, used for explicit and implicit conversion alike.

mod from_text;
mod to_text;

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, ListArray, MapArray, StringArray, StructArray, TimestampMillisecondArray,
    TimestampNanosecondArray, new_null_array,
};
use arrow::buffer::NullBuffer;
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{
    DataType, Date32Type, Field, FieldRef, Int64Type, TimestampMillisecondType, TimestampNanosecondType,
};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use feitian_types::DataType as OdpsType;
use feitian_types::arrow::{TYPE_KEY, engine_type};

pub use to_text::double_text;

use crate::coercion::{is_decimal, is_text, is_time, type_name};
use crate::error::FunctionError;
use crate::options::Context;
use crate::time::{date_of_days, days_of, instant_of, local_of_nanos, millis_of, nanos_of};

/// True if a value of Arrow type `from` may be cast to `to` at all.
pub fn castable(from: &DataType, to: &OdpsType) -> bool {
    use OdpsType as T;
    let number = |t: &T| t.is_integer() || matches!(t, T::Float | T::Double | T::Decimal(..));
    match (from, to) {
        (DataType::Null, _) => true,
        (f, t) if *f == engine_type(t) => true,
        (f, t) if is_text(f) => {
            t.is_text()
                || number(t)
                || matches!(t, T::Boolean | T::Binary | T::Date | T::Datetime | T::Timestamp | T::TimestampNtz)
        }
        (DataType::Boolean, t) => number(t) || t.is_text(),
        (f, T::Timestamp) if f.is_integer() => true,
        (f, t) if f.is_numeric() => number(t) || t.is_text() || *t == T::Boolean,
        (f, t) if is_time(f) => t.is_text() || matches!(t, T::Date | T::Datetime | T::Timestamp | T::TimestampNtz),
        (DataType::Binary | DataType::LargeBinary | DataType::BinaryView, t) => t.is_text() || *t == T::Binary,
        (DataType::Duration(_) | DataType::Interval(_), T::IntervalDayTime | T::IntervalYearMonth) => true,
        (DataType::List(item), T::Array(to)) => castable(item.data_type(), to),
        (DataType::Struct(fields), T::Struct(to)) => {
            fields.len() == to.len() && fields.iter().zip(to).all(|(f, (_, t))| castable(f.data_type(), t))
        }
        (DataType::Map(entries, _), T::Map(k, v)) => match entries.data_type() {
            DataType::Struct(kv) if kv.len() == 2 => castable(kv[0].data_type(), k) && castable(kv[1].data_type(), v),
            _ => false,
        },
        _ => false,
    }
}

/// `array` as `to`. A value that cannot be converted is an error when `context.strict`, else NULL.
pub fn cast_array(array: &ArrayRef, to: &OdpsType, context: &Context) -> Result<ArrayRef> {
    let (from, target) = (array.data_type().clone(), engine_type(to));
    if from == DataType::Null {
        return Ok(new_null_array(&target, array.len()));
    }
    let sized = matches!(to, OdpsType::Varchar(_) | OdpsType::Char(_));
    if from == target && !sized {
        return Ok(array.clone());
    }
    if !castable(&from, to) {
        return Err(FunctionError::semantic(format!("{} cannot be cast to {to}", type_name(&from))).into());
    }
    match &from {
        f if to.is_text() => Ok(Arc::new(limit_length(to_text::texts(array, f, context)?, to))),
        f if is_text(f) => {
            let texts = arrow::compute::cast(array, &DataType::Utf8)?;
            from_text::parse(texts.as_string::<i32>(), to, context)
        }
        DataType::List(_) => cast_list(array, to, context),
        DataType::Struct(_) => cast_struct(array, to, context),
        DataType::Map(..) => cast_map(array, to, context),
        f if is_time(f) => times(array, to, context),
        f if f.is_integer() && *to == OdpsType::Timestamp => epochs(array, context),
        _ => {
            let options = CastOptions { safe: true, ..Default::default() };
            let out = cast_with_options(array, &target, &options)?;
            refuse_lost(array, &out, to, context)?;
            Ok(out)
        }
    }
}

/// A whole number as an instant: 0 is the epoch, which is all that is known.
///
/// Whether MaxCompute counts seconds or milliseconds is documented nowhere, so other numbers are refused rather than
/// guessed. PyODPS's own tests cast 0 (`odps/tests/test_sqlalchemy_odps.py`).
fn epochs(array: &ArrayRef, context: &Context) -> Result<ArrayRef> {
    let zero = |value: i64| (value == 0).then_some(0);
    let numbers = arrow::compute::cast(array, &DataType::Int64)?;
    let instants: TimestampNanosecondArray =
        numbers.as_primitive::<Int64Type>().iter().map(|v| v.and_then(zero)).collect();
    let out: ArrayRef = Arc::new(instants.with_timezone("UTC"));
    refuse_lost(array, &out, &OdpsType::Timestamp, context)?;
    Ok(out)
}

/// Fails at the first value that became NULL, unless conversion is lenient.
fn refuse_lost(input: &ArrayRef, output: &ArrayRef, to: &OdpsType, context: &Context) -> Result<()> {
    if !context.strict || input.null_count() == output.null_count() {
        return Ok(());
    }
    match (0..input.len()).find(|&i| input.is_valid(i) && output.is_null(i)) {
        None => Ok(()),
        Some(row) => {
            let value = to_text::texts(&input.slice(row, 1), input.data_type(), context)?;
            let from = capital(&type_name(input.data_type()));
            Err(FunctionError::cast(value.value(0), &from, &capital(&to.to_string())).into())
        }
    }
}

/// `BIGINT` as messages of CAST write it: `Bigint`.
pub(crate) fn capital(name: &str) -> String {
    let lower = name.to_lowercase();
    let mut chars = lower.chars();
    chars.next().map(|c| c.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

/// VARCHAR(n) is cut, CHAR(n) is cut and padded with blanks.
fn limit_length(texts: StringArray, to: &OdpsType) -> StringArray {
    let (limit, pad) = match to {
        OdpsType::Varchar(n) => (*n as usize, false),
        OdpsType::Char(n) => (*n as usize, true),
        _ => return texts,
    };
    let fit = |s: &str| match s.char_indices().nth(limit) {
        Some((end, _)) => s[..end].to_string(),
        None if pad => format!("{s:<limit$}"),
        None => s.to_string(),
    };
    texts.iter().map(|s| s.map(fit)).collect()
}

fn times(array: &ArrayRef, to: &OdpsType, context: &Context) -> Result<ArrayRef> {
    let zone = context.zone;
    // Every time becomes nanoseconds of an instant or a local reading first; rows outside 1677..2262 fall out.
    let local = |row: usize| -> Option<chrono::NaiveDateTime> {
        match array.data_type() {
            DataType::Date32 => date_of_days(array.as_primitive::<Date32Type>().value(row))?.and_hms_opt(0, 0, 0),
            DataType::Timestamp(arrow::datatypes::TimeUnit::Millisecond, Some(_)) => {
                crate::time::local_of_millis(array.as_primitive::<TimestampMillisecondType>().value(row), zone)
            }
            DataType::Timestamp(_, zoned) => {
                let ns = array.as_primitive::<TimestampNanosecondType>().value(row);
                Some(local_of_nanos(ns, if zoned.is_some() { zone } else { chrono_tz::UTC }))
            }
            _ => None,
        }
    };
    let rows = (0..array.len()).map(|i| if array.is_valid(i) { local(i) } else { None });
    let out: ArrayRef = match to {
        OdpsType::Date => {
            let days = rows.map(|t| t.map(|t| days_of(t.date())));
            Arc::new(days.collect::<arrow::array::Date32Array>())
        }
        OdpsType::Datetime => {
            let ms = rows.map(|t| t.map(|t| millis_of(t, zone)));
            Arc::new(ms.collect::<TimestampMillisecondArray>().with_timezone("UTC"))
        }
        OdpsType::Timestamp => {
            let ns = rows.map(|t| t.and_then(|t| nanos_of(t, zone)));
            Arc::new(ns.collect::<TimestampNanosecondArray>().with_timezone("UTC"))
        }
        _ => {
            let ns = rows.map(|t| t.and_then(|t| instant_of(t, chrono_tz::UTC).timestamp_nanos_opt()));
            Arc::new(ns.collect::<TimestampNanosecondArray>())
        }
    };
    refuse_lost(array, &out, to, context)?;
    Ok(out)
}

fn cast_list(array: &ArrayRef, to: &OdpsType, context: &Context) -> Result<ArrayRef> {
    let (DataType::List(field), OdpsType::Array(item)) = (engine_type(to), to) else {
        return Err(FunctionError::internal(format!("{to} is no list")).into());
    };
    let list = array.as_list::<i32>();
    let values = cast_array(list.values(), item, context)?;
    Ok(Arc::new(ListArray::try_new(field, list.offsets().clone(), values, list.nulls().cloned())?))
}

fn cast_struct(array: &ArrayRef, to: &OdpsType, context: &Context) -> Result<ArrayRef> {
    let (DataType::Struct(fields), OdpsType::Struct(items)) = (engine_type(to), to) else {
        return Err(FunctionError::internal(format!("{to} is no struct")).into());
    };
    let columns = array.as_struct().columns().iter().zip(items);
    let columns = columns.map(|(c, (_, t))| cast_array(c, t, context)).collect::<Result<Vec<_>>>()?;
    Ok(Arc::new(StructArray::try_new(fields, columns, array.nulls().cloned())?))
}

fn cast_map(array: &ArrayRef, to: &OdpsType, context: &Context) -> Result<ArrayRef> {
    let (DataType::Map(field, _), OdpsType::Map(k, v)) = (engine_type(to), to) else {
        return Err(FunctionError::internal(format!("{to} is no map")).into());
    };
    let map = array.as_map();
    let DataType::Struct(kv) = field.data_type().clone() else {
        return Err(FunctionError::internal("a map without entries").into());
    };
    let columns = vec![cast_array(map.keys(), k, context)?, cast_array(map.values(), v, context)?];
    let entries = StructArray::try_new(kv, columns, None::<NullBuffer>)?;
    Ok(Arc::new(MapArray::try_new(field, map.offsets().clone(), entries, map.nulls().cloned(), false)?))
}

/// The text form of every row of `array`.
pub(crate) fn texts(array: &ArrayRef, context: &Context) -> Result<StringArray> {
    to_text::texts(array, array.data_type(), context)
}

/// Bytes of a BINARY column in its plain layout.
pub(crate) fn binary(array: &ArrayRef) -> Result<BinaryArray> {
    Ok(arrow::compute::cast(array, &DataType::Binary)?.as_binary::<i32>().clone())
}

/// CAST to one type, as a function.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Cast {
    name: String,
    to: OdpsType,
    lenient: bool,
    signature: Signature,
}

impl Cast {
    /// A cast to `to`; with `lenient` a value that cannot be converted is NULL whatever the session says.
    pub fn udf(to: &OdpsType, lenient: bool) -> ScalarUDF {
        let name = format!("cast_{to}");
        ScalarUDF::from(Self {
            name,
            to: to.clone(),
            lenient,
            signature: Signature::user_defined(Volatility::Immutable),
        })
    }

    /// The type it casts to.
    pub fn target(&self) -> &OdpsType {
        &self.to
    }
}

impl ScalarUDFImpl for Cast {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(types.to_vec())
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(engine_type(&self.to))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let from = args.arg_fields.first().map(|f| f.data_type()).unwrap_or(&DataType::Null);
        if !castable(from, &self.to) {
            let to = self.to.to_string().to_uppercase();
            return Err(FunctionError::semantic(format!("{} cannot be cast to {to}", type_name(from))).into());
        }
        let metadata = HashMap::from([(TYPE_KEY.to_string(), self.to.to_string())]);
        Ok(Arc::new(Field::new(&self.name, engine_type(&self.to), true).with_metadata(metadata)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let mut context = Context::of(&args.config_options)?;
        context.strict &= !self.lenient;
        match args.args.first() {
            Some(ColumnarValue::Scalar(value)) => {
                let out = cast_array(&value.to_array_of_size(1)?, &self.to, &context)?;
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&out, 0)?))
            }
            Some(ColumnarValue::Array(array)) => Ok(ColumnarValue::Array(cast_array(array, &self.to, &context)?)),
            None => Err(FunctionError::arity("cast", "1", 0).into()),
        }
    }
}

/// True for conversions that Arrow's own cast does exactly as MaxCompute does: numbers that only become wider.
///
/// They stay plain casts, because the optimizer knows how to move those.
pub fn is_plain_widening(from: &DataType, to: &DataType) -> bool {
    use DataType::{Float32, Float64, Int8, Int16, Int32, Int64};
    let width = |t: &DataType| match t {
        Int8 => Some(1),
        Int16 => Some(2),
        Int32 => Some(3),
        Int64 => Some(4),
        _ => None,
    };
    match (from, to) {
        (f, t) if width(f).is_some() && width(t).is_some() => width(f) <= width(t),
        (f, Float64) => width(f).is_some() || *f == Float32,
        (DataType::UInt64, Int64) => true,
        (f, t) if is_decimal(f) && is_decimal(t) => match (f, t) {
            (DataType::Decimal128(p1, s1), DataType::Decimal128(p2, s2)) => {
                s1 <= s2 && *p1 as i16 - *s1 as i16 <= *p2 as i16 - *s2 as i16
            }
            _ => false,
        },
        _ => false,
    }
}
