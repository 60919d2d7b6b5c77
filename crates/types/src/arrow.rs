//! The Arrow type that stands for each MaxCompute type inside feitian (the *engine form*), and the way back.
//!
//! Types that share an Arrow type (STRING, VARCHAR, CHAR, JSON) are told apart by the field metadata [`TYPE_KEY`]:
//!
//! | MaxCompute | engine form |
//! |---|---|
//! | TINYINT, SMALLINT, INT, BIGINT | Int8, Int16, Int32, Int64 |
//! | FLOAT, DOUBLE, BOOLEAN | Float32, Float64, Boolean |
//! | STRING, VARCHAR, CHAR, JSON | Utf8 |
//! | BINARY, DATE | Binary, Date32 |
//! | DATETIME | Timestamp(Millisecond, "UTC") |
//! | TIMESTAMP | Timestamp(Nanosecond, "UTC") |
//! | TIMESTAMP_NTZ | Timestamp(Nanosecond, none) |
//! | DECIMAL(p,s) | Decimal128(p,s) |
//! | INTERVAL_DAY_TIME | Duration(Nanosecond) |
//! | INTERVAL_YEAR_MONTH | Interval(YearMonth) |
//! | ARRAY, MAP, STRUCT | List, Map, Struct |

use std::collections::HashMap;
use std::sync::Arc;

use arrow_schema::{DataType as ArrowType, Field, FieldRef, Fields, IntervalUnit, Schema, SchemaRef, TimeUnit};

use crate::{Column, DataType};

/// The metadata key that holds a column's declared MaxCompute type.
pub const TYPE_KEY: &str = "odps.type";

/// The engine form of `ty`.
pub fn engine_type(ty: &DataType) -> ArrowType {
    match ty {
        DataType::TinyInt => ArrowType::Int8,
        DataType::SmallInt => ArrowType::Int16,
        DataType::Int => ArrowType::Int32,
        DataType::BigInt => ArrowType::Int64,
        DataType::Float => ArrowType::Float32,
        DataType::Double => ArrowType::Float64,
        DataType::Boolean => ArrowType::Boolean,
        DataType::String | DataType::Varchar(_) | DataType::Char(_) | DataType::Json => ArrowType::Utf8,
        DataType::Binary => ArrowType::Binary,
        DataType::Date => ArrowType::Date32,
        DataType::Datetime => ArrowType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())),
        DataType::Timestamp => ArrowType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())),
        DataType::TimestampNtz => ArrowType::Timestamp(TimeUnit::Nanosecond, None),
        DataType::IntervalDayTime => ArrowType::Duration(TimeUnit::Nanosecond),
        DataType::IntervalYearMonth => ArrowType::Interval(IntervalUnit::YearMonth),
        DataType::Decimal(p, s) => ArrowType::Decimal128(*p, *s as i8),
        DataType::Array(e) => ArrowType::List(element_field(e)),
        DataType::Map(k, v) => ArrowType::Map(map_entries(k, v), false),
        DataType::Struct(fields) => ArrowType::Struct(
            fields.iter().map(|(name, ty)| Field::new(name, engine_type(ty), true)).collect::<Fields>(),
        ),
    }
}

fn element_field(e: &DataType) -> FieldRef {
    Arc::new(Field::new_list_field(engine_type(e), true))
}

fn map_entries(k: &DataType, v: &DataType) -> FieldRef {
    let entries =
        Fields::from(vec![Field::new("key", engine_type(k), false), Field::new("value", engine_type(v), true)]);
    Arc::new(Field::new("entries", ArrowType::Struct(entries), false))
}

/// The engine form of a column, with its declared type in the metadata.
pub fn engine_field(column: &Column) -> Field {
    Field::new(&column.name, engine_type(&column.ty), column.nullable)
        .with_metadata(HashMap::from([(TYPE_KEY.to_string(), column.ty.to_string())]))
}

/// The engine form of a list of columns.
pub fn engine_schema<'a>(columns: impl IntoIterator<Item = &'a Column>) -> SchemaRef {
    Arc::new(Schema::new(columns.into_iter().map(engine_field).collect::<Vec<_>>()))
}

/// The MaxCompute type of an Arrow field: the one in its metadata, if its Arrow type still agrees with it, else the
/// nearest one. `None` for an Arrow type that stands for nothing here.
pub fn column_type(field: &Field) -> Option<DataType> {
    if let Some(declared) = field.metadata().get(TYPE_KEY).and_then(|t| DataType::parse(t).ok())
        && same_shape(&engine_type(&declared), field.data_type())
    {
        return Some(declared);
    }
    nearest_type(field.data_type())
}

fn same_shape(a: &ArrowType, b: &ArrowType) -> bool {
    a == b || a.equals_datatype(b)
}

/// The nearest MaxCompute type of an Arrow type.
pub fn nearest_type(ty: &ArrowType) -> Option<DataType> {
    Some(match ty {
        ArrowType::Int8 => DataType::TinyInt,
        ArrowType::Int16 | ArrowType::UInt8 => DataType::SmallInt,
        ArrowType::Int32 | ArrowType::UInt16 => DataType::Int,
        ArrowType::Int64 | ArrowType::UInt32 | ArrowType::UInt64 => DataType::BigInt,
        ArrowType::Float16 | ArrowType::Float32 => DataType::Float,
        ArrowType::Float64 => DataType::Double,
        ArrowType::Boolean => DataType::Boolean,
        ArrowType::Null | ArrowType::Utf8 | ArrowType::LargeUtf8 | ArrowType::Utf8View => DataType::String,
        ArrowType::Binary | ArrowType::LargeBinary | ArrowType::BinaryView | ArrowType::FixedSizeBinary(_) => {
            DataType::Binary
        }
        ArrowType::Date32 | ArrowType::Date64 => DataType::Date,
        ArrowType::Timestamp(TimeUnit::Millisecond, Some(_)) => DataType::Datetime,
        ArrowType::Timestamp(_, Some(_)) => DataType::Timestamp,
        ArrowType::Timestamp(_, None) => DataType::TimestampNtz,
        ArrowType::Duration(_) => DataType::IntervalDayTime,
        ArrowType::Interval(IntervalUnit::YearMonth) => DataType::IntervalYearMonth,
        ArrowType::Interval(_) => DataType::IntervalDayTime,
        ArrowType::Decimal128(p, s) | ArrowType::Decimal32(p, s) | ArrowType::Decimal64(p, s) if *s >= 0 => {
            DataType::Decimal(*p, *s as u8)
        }
        ArrowType::List(f) | ArrowType::LargeList(f) | ArrowType::FixedSizeList(f, _) => {
            DataType::Array(Box::new(column_type(f)?))
        }
        ArrowType::Map(entries, _) => match entries.data_type() {
            ArrowType::Struct(kv) if kv.len() == 2 => {
                DataType::Map(Box::new(column_type(&kv[0])?), Box::new(column_type(&kv[1])?))
            }
            _ => return None,
        },
        ArrowType::Struct(fields) => DataType::Struct(
            fields.iter().map(|f| Some((f.name().to_lowercase(), column_type(f)?))).collect::<Option<Vec<_>>>()?,
        ),
        ArrowType::Dictionary(_, v) => nearest_type(v)?,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_comes_back_from_its_engine_form() {
        for text in [
            "tinyint",
            "bigint",
            "double",
            "varchar(5)",
            "char(3)",
            "json",
            "datetime",
            "timestamp",
            "timestamp_ntz",
            "interval_day_time",
            "interval_year_month",
            "decimal(10,2)",
            "array<map<string,struct<a:int,b:datetime>>>",
        ] {
            let ty = DataType::parse(text).expect(text);
            let field = engine_field(&Column::new("c", ty.clone()));
            assert_eq!(column_type(&field), Some(ty.clone()), "{text}");
            if !ty.is_text() {
                assert_eq!(nearest_type(field.data_type()), Some(ty), "{text} without metadata");
            }
        }
    }
}
