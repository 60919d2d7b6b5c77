//! The Arrow types that clients expect, where they differ from the engine form.

use std::sync::{Arc, LazyLock};

use arrow_schema::{DataType as ArrowType, Field, Fields, Schema, SchemaRef, TimeUnit};
use feitian_base::{Error, Result};
use feitian_types::arrow::engine_type;
use feitian_types::{Column, DataType};

/// Whose Arrow types: both agree but for TIMESTAMP and TIMESTAMP_NTZ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavour {
    /// Uploads and downloads of tables: nanoseconds without a zone.
    TableTunnel,
    /// Results of instances and table previews: `struct<sec: int64, nano: int32>`.
    InstanceTunnel,
}

/// `struct<sec: int64, nano: int32>`.
pub(super) static SEC_NANO: LazyLock<Fields> = LazyLock::new(|| {
    Fields::from(vec![Field::new("sec", ArrowType::Int64, true), Field::new("nano", ArrowType::Int32, true)])
});

/// True for a type that travels as seconds and nanoseconds.
pub(super) fn is_sec_nano(ty: &DataType, flavour: Flavour) -> bool {
    match ty {
        DataType::IntervalDayTime => true,
        DataType::Timestamp | DataType::TimestampNtz => flavour == Flavour::InstanceTunnel,
        _ => false,
    }
}

/// True if a column of this type cannot go out as it is held.
pub(super) fn needs_rewrite(ty: &DataType, flavour: Flavour) -> bool {
    match ty {
        DataType::Array(e) => needs_rewrite(e, flavour),
        DataType::Map(k, v) => needs_rewrite(k, flavour) || needs_rewrite(v, flavour),
        DataType::Struct(fields) => fields.iter().any(|(_, ty)| needs_rewrite(ty, flavour)),
        _ => is_sec_nano(ty, flavour),
    }
}

/// The Arrow type of `ty` on the wire.
///
/// JSON and INTERVAL_YEAR_MONTH have none, at any depth: [`Kind::Unsupported`](feitian_base::Kind::Unsupported) with
/// code `MethodNotAllowed`, upon which clients read the record stream instead.
pub fn wire_type(ty: &DataType, flavour: Flavour) -> Result<ArrowType> {
    Ok(match ty {
        DataType::Json | DataType::IntervalYearMonth => {
            return Err(Error::unsupported(format!("{ty} has no Arrow form in this protocol; use the record stream")));
        }
        _ if is_sec_nano(ty, flavour) => ArrowType::Struct(SEC_NANO.clone()),
        DataType::Datetime => ArrowType::Timestamp(TimeUnit::Millisecond, None),
        DataType::Timestamp => ArrowType::Timestamp(TimeUnit::Nanosecond, None),
        DataType::Array(e) => ArrowType::List(Arc::new(Field::new_list_field(wire_type(e, flavour)?, true))),
        DataType::Map(k, v) => {
            let pair = Fields::from(vec![
                Field::new("key", wire_type(k, flavour)?, false),
                Field::new("value", wire_type(v, flavour)?, true),
            ]);
            ArrowType::Map(Arc::new(Field::new("entries", ArrowType::Struct(pair), false)), false)
        }
        DataType::Struct(fields) => {
            let field = |(name, ty): &(String, DataType)| Ok(Field::new(name, wire_type(ty, flavour)?, true));
            ArrowType::Struct(fields.iter().map(field).collect::<Result<Fields>>()?)
        }
        other => engine_type(other),
    })
}

/// The schema that both sides of a tunnel derive from the session's columns. A column without an Arrow form is named in
/// the error.
pub fn wire_schema(columns: &[Column], flavour: Flavour) -> Result<SchemaRef> {
    let field = |column: &Column| {
        let ty = wire_type(&column.ty, flavour).map_err(|e| e.context(format_args!("column {}", column.name)))?;
        Ok(Field::new(&column.name, ty, true))
    };
    Ok(Arc::new(Schema::new(columns.iter().map(field).collect::<Result<Vec<_>>>()?)))
}
