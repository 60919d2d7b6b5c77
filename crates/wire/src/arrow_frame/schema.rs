//! Whether the schema of an Arrow stream is that of a table's columns on the wire.

use arrow_ipc::{DateUnit, Endianness, Field, Precision, Schema as Given, TimeUnit as GivenUnit, Type};
use arrow_schema::{DataType as ArrowType, Schema, TimeUnit};

/// What is wrong with a schema message in the place of `wanted`; `None` when it fits. Whether a field may be NULL is
/// not looked at: the values are.
pub(super) fn problem(given: Given<'_>, wanted: &Schema) -> Option<String> {
    if given.endianness() != Endianness::Little {
        return Some("the stream is not little-endian".into());
    }
    let fields: Vec<Field<'_>> = given.fields().map_or_else(Vec::new, |f| f.iter().collect());
    if fields.len() != wanted.fields().len() {
        return Some(format!("the stream has {} columns where {} are wanted", fields.len(), wanted.fields().len()));
    }
    fields.iter().zip(wanted.fields()).enumerate().find_map(|(i, (field, want))| {
        let name = field.name().unwrap_or_default();
        if !name.eq_ignore_ascii_case(want.name()) {
            // A name may be as long as the message.
            let name: String = name.chars().take(100).collect();
            return Some(format!("column {i} of the stream is '{name}' where '{}' is wanted", want.name()));
        }
        let wrong = || format!("column {name} of the stream is not of the Arrow type {}", want.data_type());
        (!fits(*field, want.data_type())).then(wrong)
    })
}

/// Whether `field` is of type `ty`, which bounds how deep this goes.
fn fits(field: Field<'_>, ty: &ArrowType) -> bool {
    if field.dictionary().is_some() {
        return false;
    }
    let children: Vec<Field<'_>> = field.children().map_or_else(Vec::new, |c| c.iter().collect());
    let is = |wanted: Type| field.type_type() == wanted;
    let has_only = |child: &ArrowType| matches!(children.as_slice(), [only] if fits(*only, child));
    match ty {
        ArrowType::Int8 => is_int(field, 8),
        ArrowType::Int16 => is_int(field, 16),
        ArrowType::Int32 => is_int(field, 32),
        ArrowType::Int64 => is_int(field, 64),
        ArrowType::Float32 => field.type_as_floating_point().is_some_and(|f| f.precision() == Precision::SINGLE),
        ArrowType::Float64 => field.type_as_floating_point().is_some_and(|f| f.precision() == Precision::DOUBLE),
        ArrowType::Boolean => is(Type::Bool),
        ArrowType::Utf8 => is(Type::Utf8),
        ArrowType::Binary => is(Type::Binary),
        ArrowType::Date32 => field.type_as_date().is_some_and(|d| d.unit() == DateUnit::DAY),
        ArrowType::Timestamp(unit, _) => field.type_as_timestamp().is_some_and(|t| {
            // The numbers of both are counted from 1970 UTC.
            t.unit() == unit_of(*unit) && t.timezone().is_none_or(|zone| zone.is_empty() || zone == "UTC")
        }),
        ArrowType::Decimal128(precision, scale) => field.type_as_decimal().is_some_and(|d| {
            d.bitWidth() == 128 && d.precision() == i32::from(*precision) && d.scale() == i32::from(*scale)
        }),
        ArrowType::List(item) => is(Type::List) && has_only(item.data_type()),
        ArrowType::Map(entries, _) => is(Type::Map) && has_only(entries.data_type()),
        ArrowType::Struct(wanted) => {
            let same = |(given, want): (&Field<'_>, &arrow_schema::FieldRef)| {
                let name = given.name().unwrap_or_default();
                name.eq_ignore_ascii_case(want.name()) && fits(*given, want.data_type())
            };
            is(Type::Struct_) && children.len() == wanted.len() && children.iter().zip(wanted).all(same)
        }
        _ => false,
    }
}

fn is_int(field: Field<'_>, bits: i32) -> bool {
    field.type_as_int().is_some_and(|i| i.bitWidth() == bits && i.is_signed())
}

fn unit_of(unit: TimeUnit) -> GivenUnit {
    match unit {
        TimeUnit::Second => GivenUnit::SECOND,
        TimeUnit::Millisecond => GivenUnit::MILLISECOND,
        TimeUnit::Microsecond => GivenUnit::MICROSECOND,
        TimeUnit::Nanosecond => GivenUnit::NANOSECOND,
    }
}
