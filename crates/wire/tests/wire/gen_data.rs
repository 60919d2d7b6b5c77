//! Random columns and batches of every type, nested ones included.

use std::sync::Arc;

use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Decimal128Type, DurationNanosecondType, Float32Type, Float64Type, Int8Type,
    Int16Type, Int32Type, Int64Type, IntervalYearMonthType, TimestampMillisecondType, TimestampNanosecondType,
};
use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, ListArray, MapArray, PrimitiveArray, RecordBatch, StringArray, StructArray,
};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_schema::DataType as ArrowType;
use feitian_types::arrow::{engine_schema, engine_type};
use feitian_types::{Column, DataType};
use proptest::collection::vec;
use proptest::prelude::*;

/// A value of any type.
#[derive(Debug, Clone)]
pub enum Value {
    Int(i64),
    Wide(i128),
    Float(f64),
    Bool(bool),
    Text(String),
    Bytes(Vec<u8>),
    List(Vec<Option<Value>>),
    Map(Vec<(Value, Option<Value>)>),
    Struct(Vec<Option<Value>>),
}

/// Milliseconds of 0001-01-01 and 9999-12-31, as `date -u` has them.
const DATETIMES: std::ops::Range<i64> = -62_135_596_800_000..253_402_214_400_000;
/// Days of the same.
const DATES: std::ops::Range<i64> = -719_162..2_932_896;

/// Types without JSON and INTERVAL_YEAR_MONTH unless `all`.
pub fn any_type(all: bool) -> impl Strategy<Value = DataType> {
    let mut names = vec![
        "tinyint",
        "smallint",
        "int",
        "bigint",
        "float",
        "double",
        "boolean",
        "string",
        "binary",
        "date",
        "datetime",
        "timestamp",
        "timestamp_ntz",
        "interval_day_time",
        "decimal(10,2)",
        "decimal(38,18)",
        "varchar(5)",
        "char(4)",
    ];
    if all {
        names.extend(["json", "interval_year_month"]);
    }
    let leaf = proptest::sample::select(names).prop_map(|t| DataType::parse(t).unwrap());
    leaf.prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|e| DataType::Array(Box::new(e))),
            (inner.clone(), inner.clone()).prop_map(|(k, v)| DataType::Map(Box::new(k), Box::new(v))),
            vec(inner, 1..3).prop_map(|types| {
                DataType::Struct(types.into_iter().enumerate().map(|(i, ty)| (format!("f{i}"), ty)).collect())
            }),
        ]
    })
}

pub fn any_value(ty: &DataType) -> BoxedStrategy<Value> {
    match ty {
        DataType::TinyInt => any::<i8>().prop_map(|v| Value::Int(v.into())).boxed(),
        DataType::SmallInt => any::<i16>().prop_map(|v| Value::Int(v.into())).boxed(),
        DataType::Int | DataType::IntervalYearMonth => any::<i32>().prop_map(|v| Value::Int(v.into())).boxed(),
        DataType::BigInt | DataType::Timestamp | DataType::TimestampNtz | DataType::IntervalDayTime => {
            prop_oneof![any::<i64>(), -100..100i64, Just(i64::MIN), Just(i64::MAX)].prop_map(Value::Int).boxed()
        }
        DataType::Date => DATES.prop_map(Value::Int).boxed(),
        DataType::Datetime => DATETIMES.prop_map(Value::Int).boxed(),
        DataType::Float => any::<f32>().prop_map(|v| Value::Float(v.into())).boxed(),
        DataType::Double => any::<f64>().prop_map(Value::Float).boxed(),
        DataType::Boolean => any::<bool>().prop_map(Value::Bool).boxed(),
        DataType::String => "\\PC{0,20}".prop_map(Value::Text).boxed(),
        DataType::Varchar(n) => {
            vec(any::<char>(), 0..=*n as usize).prop_map(String::from_iter).prop_map(Value::Text).boxed()
        }
        DataType::Char(n) => vec(any::<char>(), *n as usize).prop_map(String::from_iter).prop_map(Value::Text).boxed(),
        DataType::Json => any::<i32>().prop_map(|v| Value::Text(format!("{{\"k\": [{v}, null]}}"))).boxed(),
        DataType::Binary => vec(any::<u8>(), 0..20).prop_map(Value::Bytes).boxed(),
        DataType::Decimal(p, _) => {
            let bound = 10i128.pow((*p).into());
            prop_oneof![any::<i128>().prop_map(move |v| v % bound), (-1000..1000i128)].prop_map(Value::Wide).boxed()
        }
        DataType::Array(e) => vec(optional(e), 0..4).prop_map(Value::List).boxed(),
        DataType::Map(k, v) => vec((any_value(k), optional(v)), 0..4).prop_map(Value::Map).boxed(),
        DataType::Struct(fields) => {
            fields.iter().map(|(_, ty)| optional(ty)).collect::<Vec<_>>().prop_map(Value::Struct).boxed()
        }
    }
}

fn optional(ty: &DataType) -> BoxedStrategy<Option<Value>> {
    proptest::option::weighted(0.8, any_value(ty)).boxed()
}

/// Up to four columns and up to twenty rows.
pub fn any_batch(all_types: bool) -> impl Strategy<Value = (Vec<Column>, RecordBatch)> {
    (vec((any_type(all_types), any::<bool>()), 1..5), 0..20usize).prop_flat_map(|(types, rows)| {
        let column =
            |(i, (ty, nullable)): (usize, (DataType, bool))| Column { nullable, ..Column::new(format!("c{i}"), ty) };
        let columns: Vec<Column> = types.into_iter().enumerate().map(column).collect();
        let values = columns.iter().map(|c| match c.nullable {
            true => vec(optional(&c.ty), rows).boxed(),
            false => vec(any_value(&c.ty).prop_map(Some), rows).boxed(),
        });
        let values = values.collect::<Vec<_>>();
        (Just(columns), values).prop_map(|(columns, values)| {
            let batch = batch(&columns, &values);
            (columns, batch)
        })
    })
}

pub fn batch(columns: &[Column], values: &[Vec<Option<Value>>]) -> RecordBatch {
    let arrays = columns.iter().zip(values).map(|(c, values)| array(&c.ty, values)).collect();
    RecordBatch::try_new(engine_schema(columns), arrays).unwrap()
}

fn primitive<T: ArrowPrimitiveType>(ty: &DataType, values: &[Option<T::Native>]) -> ArrayRef {
    Arc::new(values.iter().copied().collect::<PrimitiveArray<T>>().with_data_type(engine_type(ty)))
}

/// The engine form of these values.
pub fn array(ty: &DataType, values: &[Option<Value>]) -> ArrayRef {
    let ints = || values.iter().map(|v| v.as_ref().map(|v| if let Value::Int(v) = v { *v } else { panic!("{v:?}") }));
    let floats =
        || values.iter().map(|v| v.as_ref().map(|v| if let Value::Float(v) = v { *v } else { panic!("{v:?}") }));
    match ty {
        DataType::TinyInt => primitive::<Int8Type>(ty, &ints().map(|v| v.map(|v| v as i8)).collect::<Vec<_>>()),
        DataType::SmallInt => primitive::<Int16Type>(ty, &ints().map(|v| v.map(|v| v as i16)).collect::<Vec<_>>()),
        DataType::Int => primitive::<Int32Type>(ty, &ints().map(|v| v.map(|v| v as i32)).collect::<Vec<_>>()),
        DataType::Date => primitive::<Date32Type>(ty, &ints().map(|v| v.map(|v| v as i32)).collect::<Vec<_>>()),
        DataType::IntervalYearMonth => {
            primitive::<IntervalYearMonthType>(ty, &ints().map(|v| v.map(|v| v as i32)).collect::<Vec<_>>())
        }
        DataType::BigInt => primitive::<Int64Type>(ty, &ints().collect::<Vec<_>>()),
        DataType::Datetime => primitive::<TimestampMillisecondType>(ty, &ints().collect::<Vec<_>>()),
        DataType::Timestamp | DataType::TimestampNtz => {
            primitive::<TimestampNanosecondType>(ty, &ints().collect::<Vec<_>>())
        }
        DataType::IntervalDayTime => primitive::<DurationNanosecondType>(ty, &ints().collect::<Vec<_>>()),
        DataType::Float => primitive::<Float32Type>(ty, &floats().map(|v| v.map(|v| v as f32)).collect::<Vec<_>>()),
        DataType::Double => primitive::<Float64Type>(ty, &floats().collect::<Vec<_>>()),
        DataType::Decimal(..) => {
            let wide =
                values.iter().map(|v| v.as_ref().map(|v| if let Value::Wide(v) = v { *v } else { panic!("{v:?}") }));
            primitive::<Decimal128Type>(ty, &wide.collect::<Vec<_>>())
        }
        DataType::Boolean => {
            let flags = values.iter().map(|v| v.as_ref().map(|v| matches!(v, Value::Bool(true))));
            Arc::new(flags.collect::<BooleanArray>())
        }
        DataType::Binary => {
            let bytes =
                values.iter().map(|v| v.as_ref().map(|v| if let Value::Bytes(v) = v { v } else { panic!("{v:?}") }));
            Arc::new(bytes.collect::<BinaryArray>())
        }
        ty if ty.is_text() => {
            let text =
                values.iter().map(|v| v.as_ref().map(|v| if let Value::Text(v) = v { v } else { panic!("{v:?}") }));
            Arc::new(text.collect::<StringArray>())
        }
        nested => nested_array(nested, values),
    }
}

fn nested_array(ty: &DataType, values: &[Option<Value>]) -> ArrayRef {
    let nulls = NullBuffer::from(values.iter().map(Option::is_some).collect::<Vec<_>>());
    let nulls = (nulls.null_count() > 0).then_some(nulls);
    match (ty, engine_type(ty)) {
        (DataType::Array(e), ArrowType::List(field)) => {
            let lists: Vec<&[Option<Value>]> =
                values.iter().map(|v| if let Some(Value::List(v)) = v { &v[..] } else { &[] }).collect();
            let offsets = OffsetBuffer::from_lengths(lists.iter().map(|l| l.len()));
            Arc::new(ListArray::new(field, offsets, array(e, &lists.concat()), nulls))
        }
        (DataType::Map(k, v), ArrowType::Map(entries, _)) => {
            let maps: Vec<&[(Value, Option<Value>)]> =
                values.iter().map(|v| if let Some(Value::Map(v)) = v { &v[..] } else { &[] }).collect();
            let offsets = OffsetBuffer::from_lengths(maps.iter().map(|m| m.len()));
            let pairs = maps.concat();
            let keys = array(k, &pairs.iter().map(|(k, _)| Some(k.clone())).collect::<Vec<_>>());
            let items = array(v, &pairs.iter().map(|(_, v)| v.clone()).collect::<Vec<_>>());
            let ArrowType::Struct(kv) = entries.data_type().clone() else { panic!("entries") };
            let pairs = StructArray::new(kv, vec![keys, items], None);
            Arc::new(MapArray::new(entries, offsets, pairs, nulls, false))
        }
        (DataType::Struct(types), ArrowType::Struct(fields)) => {
            let column = |i: usize| -> Vec<Option<Value>> {
                values.iter().map(|v| if let Some(Value::Struct(v)) = v { v[i].clone() } else { None }).collect()
            };
            let columns = types.iter().enumerate().map(|(i, (_, ty))| array(ty, &column(i))).collect();
            Arc::new(StructArray::new(fields, columns, nulls))
        }
        _ => panic!("{ty} is not nested"),
    }
}
