//! Types on disk: how each engine-form column is stored in Parquet and named in the Delta schema.
//!
//! | MaxCompute | Parquet / Delta column |
//! |---|---|
//! | DATETIME | timestamp in microseconds, UTC |
//! | TIMESTAMP | timestamp in microseconds (floor), UTC, and a hidden SMALLINT `__ns_<column>`, 0 to 999 |
//! | TIMESTAMP_NTZ | the same with `timestamp_ntz` |
//! | INTERVAL_YEAR_MONTH | BIGINT months |
//! | INTERVAL_DAY_TIME | BIGINT seconds (floor) and a hidden INT `__ns_<column>`, nanoseconds |
//! | every other type | its plain Delta twin |
//!
//! The declared type stands in the column's metadata under `odps.type`. Inside ARRAY, MAP and STRUCT there is no room for
//! a hidden column: a nested timestamp finer than a microsecond is refused, a nested day-time interval is a struct of
//! `sec` and `nano`. `docs/types-on-disk.md` is the same table for readers outside.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, DurationNanosecondArray, Int16Array, Int32Array, Int64Array, IntervalYearMonthArray,
    ListArray, MapArray, RecordBatch, StringArray, StructArray, TimestampMicrosecondArray, TimestampMillisecondArray,
    TimestampNanosecondArray,
};
use arrow::datatypes::{
    DataType as ArrowType, DurationNanosecondType, Field, FieldRef, Fields, Int16Type, Int32Type, Int64Type,
    IntervalYearMonthType, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType,
};
use feitian_base::{Error, Kind, Result};
use feitian_types::arrow::{TYPE_KEY, engine_field, engine_type};
use feitian_types::{Column, DataType};
use serde_json::{Value, json};

const NS_PER_S: i64 = 1_000_000_000;

/// The name of the hidden column beside `column`.
pub(crate) fn hidden_name(column: &str) -> String {
    format!("__ns_{column}")
}

/// The type of the hidden column beside a column of type `ty`, if it has one.
fn hidden_type(ty: &DataType) -> Option<ArrowType> {
    match ty {
        DataType::Timestamp | DataType::TimestampNtz => Some(ArrowType::Int16),
        DataType::IntervalDayTime => Some(ArrowType::Int32),
        _ => None,
    }
}

/// True when a column of this type is stored in another form than the engine's, hidden columns included.
pub(crate) fn is_converted(ty: &DataType) -> bool {
    disk_type(ty) != engine_type(ty) || hidden_type(ty).is_some()
}

/// The Arrow type in which a column is stored, without its hidden column.
fn disk_type(ty: &DataType) -> ArrowType {
    let utc = || Some("UTC".into());
    match ty {
        DataType::Datetime | DataType::Timestamp => ArrowType::Timestamp(TimeUnit::Microsecond, utc()),
        DataType::TimestampNtz => ArrowType::Timestamp(TimeUnit::Microsecond, None),
        DataType::IntervalYearMonth | DataType::IntervalDayTime => ArrowType::Int64,
        DataType::Array(_) | DataType::Map(..) | DataType::Struct(_) => nested_type(ty),
        plain => engine_type(plain),
    }
}

/// The Arrow type in which a value is stored inside an ARRAY, MAP or STRUCT.
fn nested_type(ty: &DataType) -> ArrowType {
    match ty {
        DataType::IntervalDayTime => ArrowType::Struct(Fields::from(vec![
            Field::new("sec", ArrowType::Int64, true),
            Field::new("nano", ArrowType::Int32, true),
        ])),
        DataType::Array(e) => ArrowType::List(Arc::new(Field::new_list_field(nested_type(e), true))),
        DataType::Map(k, v) => {
            let kv = vec![Field::new("key", nested_type(k), false), Field::new("value", nested_type(v), true)];
            ArrowType::Map(Arc::new(Field::new("entries", ArrowType::Struct(kv.into()), false)), false)
        }
        DataType::Struct(fields) => {
            ArrowType::Struct(fields.iter().map(|(n, t)| Field::new(n, nested_type(t), true)).collect())
        }
        plain => disk_type(plain),
    }
}

/// The fields that store `column`: one, or two when it has a hidden column.
fn disk_fields(column: &Column) -> Vec<Field> {
    let main = Field::new(&column.name, disk_type(&column.ty), column.nullable)
        .with_metadata([(TYPE_KEY.to_string(), column.ty.to_string())].into());
    let hidden = hidden_type(&column.ty).map(|t| Field::new(hidden_name(&column.name), t, true));
    std::iter::once(main).chain(hidden).collect()
}

/// The Parquet schema of a table with these data columns.
pub(crate) fn disk_schema(columns: &[Column]) -> SchemaRef {
    Arc::new(Schema::new(columns.iter().flat_map(disk_fields).collect::<Vec<_>>()))
}

/// The Delta `schemaString` of a table: data columns with their hidden columns, then partition columns.
pub(crate) fn delta_schema(columns: &[Column], partition_columns: &[Column]) -> String {
    let mut fields = Vec::new();
    for c in columns {
        let mut metadata = json!({ TYPE_KEY: c.ty.to_string() });
        if let DataType::Varchar(_) | DataType::Char(_) = c.ty {
            metadata["__CHAR_VARCHAR_TYPE_STRING"] = json!(c.ty.to_string());
        }
        if !c.comment.is_empty() {
            metadata["comment"] = json!(c.comment);
        }
        fields.push(json!({"name": c.name, "type": delta_type(&disk_type(&c.ty)), "nullable": c.nullable,
                           "metadata": metadata}));
        if let Some(t) = hidden_type(&c.ty) {
            fields.push(json!({"name": hidden_name(&c.name), "type": delta_type(&t), "nullable": true,
                               "metadata": {"odps.hidden": "true"}}));
        }
    }
    for c in partition_columns {
        fields.push(json!({"name": c.name, "type": delta_type(&disk_type(&c.ty)), "nullable": true,
                           "metadata": {TYPE_KEY: c.ty.to_string()}}));
    }
    json!({"type": "struct", "fields": fields}).to_string()
}

/// True when the table needs Delta's `timestampNtz` feature.
pub(crate) fn needs_ntz(columns: &[Column]) -> bool {
    fn has(ty: &DataType) -> bool {
        match ty {
            DataType::TimestampNtz => true,
            DataType::Array(e) => has(e),
            DataType::Map(k, v) => has(k) || has(v),
            DataType::Struct(f) => f.iter().any(|(_, t)| has(t)),
            _ => false,
        }
    }
    columns.iter().any(|c| has(&c.ty))
}

fn delta_type(ty: &ArrowType) -> Value {
    match ty {
        ArrowType::Int8 => json!("byte"),
        ArrowType::Int16 => json!("short"),
        ArrowType::Int32 => json!("integer"),
        ArrowType::Int64 => json!("long"),
        ArrowType::Float32 => json!("float"),
        ArrowType::Float64 => json!("double"),
        ArrowType::Boolean => json!("boolean"),
        ArrowType::Binary => json!("binary"),
        ArrowType::Date32 => json!("date"),
        ArrowType::Timestamp(_, Some(_)) => json!("timestamp"),
        ArrowType::Timestamp(_, None) => json!("timestamp_ntz"),
        ArrowType::Decimal128(p, s) => json!(format!("decimal({p},{s})")),
        ArrowType::List(e) => json!({"type": "array", "elementType": delta_type(e.data_type()), "containsNull": true}),
        ArrowType::Map(entries, _) => match entries.data_type() {
            ArrowType::Struct(kv) => json!({"type": "map", "keyType": delta_type(kv[0].data_type()),
                "valueType": delta_type(kv[1].data_type()), "valueContainsNull": true}),
            _ => json!("string"),
        },
        ArrowType::Struct(fields) => {
            let fields: Vec<Value> = fields
                .iter()
                .map(|f| json!({"name": f.name(), "type": delta_type(f.data_type()), "nullable": true, "metadata": {}}))
                .collect();
            json!({"type": "struct", "fields": fields})
        }
        _ => json!("string"),
    }
}

/// Engine form to disk form. `first_row` is the number of the batch's first row, for messages.
///
/// # Errors
/// A nested timestamp finer than a microsecond: `InvalidArgument` with row and column.
pub(crate) fn to_disk(columns: &[Column], batch: &RecordBatch, first_row: u64) -> Result<RecordBatch> {
    let mut arrays: Vec<ArrayRef> = Vec::with_capacity(columns.len());
    for (c, array) in columns.iter().zip(batch.columns()) {
        match &c.ty {
            DataType::Datetime => arrays.push(millis_to_micros(array, &c.name, first_row)?),
            DataType::Timestamp | DataType::TimestampNtz => {
                let ns = array.as_primitive::<TimestampNanosecondType>();
                let micros: TimestampMicrosecondArray = ns.unary(|v| v.div_euclid(1000));
                let micros = micros.with_data_type(disk_type(&c.ty));
                let rest: Int16Array = ns.unary(|v| v.rem_euclid(1000) as i16);
                arrays.extend([Arc::new(micros) as ArrayRef, Arc::new(rest)]);
            }
            DataType::IntervalYearMonth => {
                let months: Int64Array = array.as_primitive::<IntervalYearMonthType>().unary(i64::from);
                arrays.push(Arc::new(months));
            }
            DataType::IntervalDayTime => {
                let ns = array.as_primitive::<DurationNanosecondType>();
                let secs: Int64Array = ns.unary(|v| v.div_euclid(NS_PER_S));
                let rest: Int32Array = ns.unary(|v| v.rem_euclid(NS_PER_S) as i32);
                arrays.extend([Arc::new(secs) as ArrayRef, Arc::new(rest)]);
            }
            DataType::Char(n) => arrays.push(Arc::new(padded(array.as_string::<i32>(), *n as usize))),
            ty if is_converted(ty) => {
                let at = |row| format!("row {}, column '{}'", first_row + row, c.name);
                arrays.push(
                    nested_to_disk(ty, array)
                        .map_err(|(row, why)| Error::invalid(format!("{}: {why}", at(row as u64))))?,
                );
            }
            _ => arrays.push(array.clone()),
        }
    }
    RecordBatch::try_new(disk_schema(columns), arrays)
        .map_err(|e| Error::new(Kind::Invalid, "InvalidArgument", format!("rows do not fit the table: {e}")))
}

/// CHAR is as long as its type says, so that equal values are equal bytes.
fn padded(texts: &StringArray, width: usize) -> StringArray {
    let is_short = |v: &str| v.len() < width || v.chars().count() != width;
    if !texts.iter().flatten().any(is_short) {
        return texts.clone();
    }
    texts.iter().map(|v| v.map(|v| format!("{:<width$}", v.trim_end_matches(' ')))).collect()
}

fn millis_to_micros(array: &ArrayRef, column: &str, first_row: u64) -> Result<ArrayRef> {
    let millis = array.as_primitive::<TimestampMillisecondType>();
    let micros: TimestampMicrosecondArray = millis
        .try_unary(|v| v.checked_mul(1000).ok_or(()))
        .map_err(|()| Error::invalid(format!("column '{column}', near row {first_row}: DATETIME is out of range")))?;
    Ok(Arc::new(micros.with_data_type(disk_type(&DataType::Datetime))))
}

/// Converts a value inside a nested type; the error is the index of the first bad element and the reason.
fn nested_to_disk(ty: &DataType, array: &ArrayRef) -> Result<ArrayRef, (usize, String)> {
    if !is_converted(ty) {
        return Ok(array.clone());
    }
    Ok(match ty {
        DataType::Timestamp | DataType::TimestampNtz => {
            let ns = array.as_primitive::<TimestampNanosecondType>();
            if let Some(i) = (0..ns.len()).find(|i| ns.is_valid(*i) && ns.value(*i).rem_euclid(1000) != 0) {
                let why = "a timestamp inside ARRAY, MAP or STRUCT holds whole microseconds only";
                return Err((i, why.to_string()));
            }
            let micros: TimestampMicrosecondArray = ns.unary(|v| v.div_euclid(1000));
            Arc::new(micros.with_data_type(disk_type(ty)))
        }
        DataType::Datetime => {
            let micros: TimestampMicrosecondArray = array
                .as_primitive::<TimestampMillisecondType>()
                .try_unary(|v| v.checked_mul(1000).ok_or((0, "DATETIME is out of range".to_string())))?;
            Arc::new(micros.with_data_type(disk_type(ty)))
        }
        DataType::IntervalYearMonth => {
            let months: Int64Array = array.as_primitive::<IntervalYearMonthType>().unary(i64::from);
            Arc::new(months)
        }
        DataType::IntervalDayTime => {
            let ns = array.as_primitive::<DurationNanosecondType>();
            let secs: Int64Array = ns.unary(|v| v.div_euclid(NS_PER_S));
            let rest: Int32Array = ns.unary(|v| v.rem_euclid(NS_PER_S) as i32);
            let ArrowType::Struct(fields) = nested_type(ty) else { return Err((0, "no struct".into())) };
            Arc::new(StructArray::new(fields, vec![Arc::new(secs), Arc::new(rest)], ns.nulls().cloned()))
        }
        _ => rebuild(array, &nested_type(ty), children(ty), nested_to_disk)?,
    })
}

fn children(ty: &DataType) -> Vec<&DataType> {
    match ty {
        DataType::Array(e) => vec![e],
        DataType::Map(k, v) => vec![k, v],
        DataType::Struct(fields) => fields.iter().map(|(_, t)| t).collect(),
        _ => Vec::new(),
    }
}

/// Rebuilds a list, map or struct with its children converted by `each`.
fn rebuild<E: From<(usize, String)>>(
    array: &ArrayRef,
    target: &ArrowType,
    types: Vec<&DataType>,
    each: impl Fn(&DataType, &ArrayRef) -> Result<ArrayRef, E>,
) -> Result<ArrayRef, E> {
    let struct_of = |s: &StructArray, fields: &Fields| -> Result<StructArray, E> {
        let columns = s.columns().iter().zip(&types).map(|(a, t)| each(t, a)).collect::<Result<Vec<_>, E>>()?;
        Ok(StructArray::new(fields.clone(), columns, s.nulls().cloned()))
    };
    Ok(match target {
        ArrowType::List(field) => {
            let list = array.as_list::<i32>();
            let values = each(types[0], list.values())?;
            Arc::new(ListArray::new(field.clone(), list.offsets().clone(), values, list.nulls().cloned()))
        }
        ArrowType::Map(entries, sorted) => {
            let map = array.as_map();
            let ArrowType::Struct(fields) = entries.data_type() else {
                return Err((0, "map without entries".to_string()).into());
            };
            let inner = struct_of(map.entries(), fields)?;
            Arc::new(MapArray::new(entries.clone(), map.offsets().clone(), inner, map.nulls().cloned(), *sorted))
        }
        ArrowType::Struct(fields) => Arc::new(struct_of(array.as_struct(), fields)?),
        _ => array.clone(),
    })
}

/// Disk form to engine form. `columns` are the wanted data columns; the batch holds their disk columns in that order.
pub(crate) fn to_engine(columns: &[Column], batch: &RecordBatch) -> Result<RecordBatch> {
    let mut arrays = batch.columns().iter();
    let mut out = Vec::with_capacity(columns.len());
    for c in columns {
        let missing = || Error::new(Kind::Corrupt, "InternalServerError", format!("column '{}' is missing", c.name));
        let main = arrays.next().ok_or_else(missing)?;
        let hidden = if hidden_type(&c.ty).is_some() { Some(arrays.next().ok_or_else(missing)?) } else { None };
        out.push(column_to_engine(&c.ty, main, hidden)?);
    }
    let schema = Arc::new(Schema::new(columns.iter().map(engine_field).collect::<Vec<_>>()));
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(schema, out, &options)
        .map_err(|e| Error::new(Kind::Corrupt, "InternalServerError", format!("data file does not fit its table: {e}")))
}

/// One column from disk form to engine form; `hidden` is its hidden column.
pub(crate) fn column_to_engine(ty: &DataType, main: &ArrayRef, hidden: Option<&ArrayRef>) -> Result<ArrayRef> {
    let rest = |i: usize| match hidden {
        Some(h) if h.is_valid(i) => match h.data_type() {
            ArrowType::Int16 => i64::from(h.as_primitive::<Int16Type>().value(i)),
            _ => i64::from(h.as_primitive::<Int32Type>().value(i)),
        },
        _ => 0,
    };
    Ok(match ty {
        DataType::Timestamp | DataType::TimestampNtz => {
            let micros = main.as_primitive::<TimestampMicrosecondType>();
            let ns: TimestampNanosecondArray = (0..micros.len())
                .map(|i| micros.is_valid(i).then(|| micros.value(i).saturating_mul(1000).saturating_add(rest(i))))
                .collect();
            Arc::new(ns.with_data_type(engine_type(ty)))
        }
        DataType::IntervalDayTime => {
            let secs = main.as_primitive::<Int64Type>();
            let ns: DurationNanosecondArray = (0..secs.len())
                .map(|i| secs.is_valid(i).then(|| secs.value(i).saturating_mul(NS_PER_S).saturating_add(rest(i))))
                .collect();
            Arc::new(ns)
        }
        ty if is_converted(ty) => nested_to_engine(ty, main)?,
        _ => main.clone(),
    })
}

fn nested_to_engine(ty: &DataType, array: &ArrayRef) -> Result<ArrayRef> {
    if !is_converted(ty) {
        return Ok(array.clone());
    }
    Ok(match ty {
        DataType::Datetime => {
            let ms: TimestampMillisecondArray =
                array.as_primitive::<TimestampMicrosecondType>().unary(|v| v.div_euclid(1000));
            Arc::new(ms.with_data_type(engine_type(ty)))
        }
        DataType::Timestamp | DataType::TimestampNtz => {
            let ns: TimestampNanosecondArray =
                array.as_primitive::<TimestampMicrosecondType>().unary(|v| v.saturating_mul(1000));
            Arc::new(ns.with_data_type(engine_type(ty)))
        }
        DataType::IntervalYearMonth => {
            let months: IntervalYearMonthArray = array.as_primitive::<Int64Type>().unary(|v| v as i32);
            Arc::new(months)
        }
        DataType::IntervalDayTime => {
            let s = array.as_struct();
            let (sec, nano) = (s.column(0).as_primitive::<Int64Type>(), s.column(1).as_primitive::<Int32Type>());
            let ns: DurationNanosecondArray = (0..s.len())
                .map(|i| s.is_valid(i).then(|| sec.value(i).saturating_mul(NS_PER_S) + i64::from(nano.value(i))))
                .collect();
            Arc::new(ns)
        }
        _ => rebuild::<ConvertError>(array, &engine_type(ty), children(ty), |t, a| {
            nested_to_engine(t, a).map_err(ConvertError)
        })
        .map_err(|e| e.0)?,
    })
}

struct ConvertError(Error);

impl From<(usize, String)> for ConvertError {
    fn from((_, why): (usize, String)) -> Self {
        Self(Error::new(Kind::Corrupt, "InternalServerError", why))
    }
}

/// The disk fields of the chosen columns, in order: what to read so that [`to_engine`] can make those columns.
pub(crate) fn disk_fields_of<'a>(columns: impl IntoIterator<Item = &'a Column>) -> Vec<FieldRef> {
    columns.into_iter().flat_map(|c| disk_fields(c).into_iter().map(Arc::new)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use feitian_types::arrow::engine_schema;

    fn round_trip(ty: &str, array: ArrayRef) -> ArrayRef {
        let columns = [Column::new("c", DataType::parse(ty).expect(ty))];
        let batch = RecordBatch::try_new(engine_schema(&columns), vec![array]).expect("engine form");
        let disk = to_disk(&columns, &batch, 0).expect("to disk");
        to_engine(&columns, &disk).expect("to engine").column(0).clone()
    }

    #[test]
    fn nanoseconds_before_1970_survive() {
        // Arithmetic: -1 ns is -1 microsecond (floor) and 999 ns.
        let ns: ArrayRef = Arc::new(
            TimestampNanosecondArray::from(vec![Some(-1), Some(0), None, Some(1_234_567_890_123_456_789)])
                .with_data_type(engine_type(&DataType::Timestamp)),
        );
        assert_eq!(&round_trip("timestamp", ns.clone()), &ns);
        let columns = [Column::new("c", DataType::Timestamp)];
        let disk = to_disk(&columns, &RecordBatch::try_new(engine_schema(&columns), vec![ns]).expect("batch"), 0);
        let disk = disk.expect("to disk");
        assert_eq!(disk.column(0).as_primitive::<TimestampMicrosecondType>().value(0), -1);
        assert_eq!(disk.column(1).as_primitive::<Int16Type>().value(0), 999);
        let d: ArrayRef = Arc::new(DurationNanosecondArray::from(vec![Some(-1), None, Some(5)]));
        assert_eq!(&round_trip("interval_day_time", d.clone()), &d);
    }

    #[test]
    fn a_nested_timestamp_finer_than_a_microsecond_is_refused_by_row_and_column() {
        let columns = [Column::new("c", DataType::parse("struct<a:timestamp>").expect("type"))];
        let ArrowType::Struct(fields) = engine_type(&columns[0].ty) else { panic!("struct") };
        let ns = TimestampNanosecondArray::from(vec![Some(1000), Some(1001)]).with_timezone("UTC");
        let s: ArrayRef = Arc::new(StructArray::new(fields, vec![Arc::new(ns)], None));
        let batch = RecordBatch::try_new(engine_schema(&columns), vec![s]).expect("batch");
        let e = to_disk(&columns, &batch, 40).expect_err("must be refused");
        assert!(e.message().starts_with("row 41, column 'c'"), "{e}");
        assert_eq!(round_trip("struct<a:timestamp>", batch.column(0).slice(0, 1)).len(), 1);
    }
}
