//! Columns as versions 2 and 3 show them to those who write: types are numbers, and what is nested has a name.
//!
//! The numbers are those of `_TYPE_CODE_MAP` in `odps/maxstorage/models/types.py` of PyODPS.

use feitian_types::{Column, DataType};
use serde_json::{Value, json};

/// The columns that rows carry, and behind them those of the system.
pub fn write_schema(data: &[Column], system: &[Column]) -> Value {
    let columns = |columns: &[Column], first: usize| -> Vec<Value> {
        let one = |(at, column): (usize, &Column)| {
            let mut ty = type_info(&column.name, &column.ty);
            ty["ColumnId"] = json!(first + at);
            ty["Nullable"] = json!(column.nullable);
            json!({"columnType": ty, "comment": column.comment, "label": ""})
        };
        columns.iter().enumerate().map(one).collect()
    };
    json!({"DataColumns": columns(data, 0), "SystemColumns": columns(system, data.len())})
}

fn type_info(name: &str, ty: &DataType) -> Value {
    let mut info = json!({"MemberName": name, "Type": code(ty)});
    match ty {
        DataType::Decimal(precision, scale) => {
            info["Precision"] = json!(precision);
            info["Scale"] = json!(scale);
        }
        DataType::Varchar(length) | DataType::Char(length) => info["SpecifiedLength"] = json!(length),
        DataType::Array(item) => info["SubTypes"] = json!([type_info("element", item)]),
        DataType::Map(key, value) => {
            info["SubTypes"] = json!([type_info("key", key), type_info("value", value)]);
        }
        DataType::Struct(fields) => {
            info["SubTypes"] = fields.iter().map(|(name, ty)| type_info(name, ty)).collect();
        }
        _ => {}
    }
    info
}

fn code(ty: &DataType) -> u8 {
    match ty {
        DataType::BigInt => 0,
        DataType::Double => 1,
        DataType::Boolean => 2,
        DataType::Datetime => 3,
        DataType::String => 4,
        DataType::Decimal(..) => 5,
        DataType::TinyInt => 6,
        DataType::SmallInt => 7,
        DataType::Int => 8,
        DataType::Char(_) => 9,
        DataType::Varchar(_) => 10,
        DataType::Binary => 11,
        DataType::Date => 12,
        DataType::Timestamp => 13,
        DataType::Float => 14,
        DataType::IntervalYearMonth => 15,
        DataType::IntervalDayTime => 16,
        DataType::Array(_) => 17,
        DataType::Map(..) => 18,
        DataType::Struct(_) => 19,
        DataType::Json => 20,
        DataType::TimestampNtz => 21,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    // What `parse_write_schema_type` of odps/maxstorage/models/types.py reads.
    #[test]
    fn types_are_numbers_with_what_belongs_to_them() {
        let column = |name: &str, ty: &str| Column::new(name, DataType::parse(ty).unwrap());
        let shown = write_schema(
            &[column("d", "decimal(10,2)"), column("a", "array<struct<x:int,m:map<string,varchar(5)>>>")],
            &[column("__operation", "tinyint")],
        );
        assert_eq!(
            shown["DataColumns"][0],
            json!({"columnType": {"MemberName": "d", "Type": 5, "Precision": 10, "Scale": 2, "ColumnId": 0,
                "Nullable": true}, "comment": "", "label": ""})
        );
        let of = &shown["DataColumns"][1]["columnType"];
        assert_eq!((&of["Type"], &of["ColumnId"]), (&json!(17), &json!(1)));
        let item = &of["SubTypes"][0];
        assert_eq!((&item["MemberName"], &item["Type"]), (&json!("element"), &json!(19)));
        assert_eq!(item["SubTypes"][0], json!({"MemberName": "x", "Type": 8}));
        let map = &item["SubTypes"][1];
        assert_eq!((&map["MemberName"], &map["Type"]), (&json!("m"), &json!(18)));
        assert_eq!(map["SubTypes"][1], json!({"MemberName": "value", "Type": 10, "SpecifiedLength": 5}));
        let system = &shown["SystemColumns"][0]["columnType"];
        assert_eq!(
            (&system["MemberName"], &system["Type"], &system["ColumnId"]),
            (&json!("__operation"), &json!(6), &json!(2))
        );
    }
}
