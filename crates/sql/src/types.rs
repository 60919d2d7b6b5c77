//! MaxCompute types in the syntax tree: [`to_sql`] puts them in, [`from_sql`] reads them back without loss.

use feitian_types::DataType;
use sqlparser::ast::{
    ArrayElemTypeDef, CharacterLength, DataType as SqlType, ExactNumberInfo, Ident, IntervalFields, StructBracketKind,
    StructField, TimezoneInfo,
};

/// The syntax tree's form of `ty`, as it stands in CAST and before typed literals.
pub fn to_sql(ty: &DataType) -> SqlType {
    let length = |n: u32| Some(CharacterLength::IntegerLength { length: u64::from(n), unit: None });
    match ty {
        DataType::TinyInt => SqlType::TinyInt(None),
        DataType::SmallInt => SqlType::SmallInt(None),
        DataType::Int => SqlType::Int(None),
        DataType::BigInt => SqlType::BigInt(None),
        DataType::Float => SqlType::Float(ExactNumberInfo::None),
        DataType::Double => SqlType::Double(ExactNumberInfo::None),
        DataType::Boolean => SqlType::Boolean,
        DataType::String => SqlType::String(None),
        DataType::Binary => SqlType::Binary(None),
        DataType::Date => SqlType::Date,
        DataType::Datetime => SqlType::Datetime(None),
        DataType::Timestamp => SqlType::Timestamp(None, TimezoneInfo::None),
        DataType::TimestampNtz => SqlType::TimestampNtz(None),
        DataType::IntervalDayTime => interval(IntervalFields::DayToSecond),
        DataType::IntervalYearMonth => interval(IntervalFields::YearToMonth),
        DataType::Json => SqlType::JSON,
        DataType::Decimal(p, s) => SqlType::Decimal(ExactNumberInfo::PrecisionAndScale(u64::from(*p), i64::from(*s))),
        DataType::Varchar(n) => SqlType::Varchar(length(*n)),
        DataType::Char(n) => SqlType::Char(length(*n)),
        DataType::Array(e) => SqlType::Array(ArrayElemTypeDef::AngleBracket(Box::new(to_sql(e)))),
        DataType::Map(k, v) => SqlType::Map(Box::new(to_sql(k)), Box::new(to_sql(v))),
        DataType::Struct(fields) => {
            let field = |(name, ty): &(String, DataType)| StructField {
                field_name: Some(Ident::with_quote('`', name.as_str())),
                field_type: to_sql(ty),
                options: None,
            };
            SqlType::Struct(fields.iter().map(field).collect(), StructBracketKind::AngleBrackets)
        }
    }
}

fn interval(fields: IntervalFields) -> SqlType {
    SqlType::Interval { fields: Some(fields), precision: None }
}

/// The MaxCompute type behind a type of the syntax tree; `None` for what [`to_sql`] never makes.
pub fn from_sql(ty: &SqlType) -> Option<DataType> {
    Some(match ty {
        SqlType::TinyInt(None) => DataType::TinyInt,
        SqlType::SmallInt(None) => DataType::SmallInt,
        SqlType::Int(None) => DataType::Int,
        SqlType::BigInt(None) => DataType::BigInt,
        SqlType::Float(ExactNumberInfo::None) => DataType::Float,
        SqlType::Double(ExactNumberInfo::None) => DataType::Double,
        SqlType::Boolean => DataType::Boolean,
        SqlType::String(None) => DataType::String,
        SqlType::Binary(None) => DataType::Binary,
        SqlType::Date => DataType::Date,
        SqlType::Datetime(None) => DataType::Datetime,
        SqlType::Timestamp(None, TimezoneInfo::None) => DataType::Timestamp,
        SqlType::TimestampNtz(None) => DataType::TimestampNtz,
        SqlType::Interval { fields: Some(IntervalFields::DayToSecond), precision: None } => DataType::IntervalDayTime,
        SqlType::Interval { fields: Some(IntervalFields::YearToMonth), precision: None } => DataType::IntervalYearMonth,
        SqlType::JSON => DataType::Json,
        SqlType::Decimal(ExactNumberInfo::PrecisionAndScale(p, s)) => {
            DataType::Decimal(u8::try_from(*p).ok()?, u8::try_from(*s).ok()?)
        }
        SqlType::Varchar(Some(CharacterLength::IntegerLength { length, unit: None })) => {
            DataType::Varchar(u32::try_from(*length).ok()?)
        }
        SqlType::Char(Some(CharacterLength::IntegerLength { length, unit: None })) => {
            DataType::Char(u32::try_from(*length).ok()?)
        }
        SqlType::Array(ArrayElemTypeDef::AngleBracket(e)) => DataType::Array(Box::new(from_sql(e)?)),
        SqlType::Map(k, v) => DataType::Map(Box::new(from_sql(k)?), Box::new(from_sql(v)?)),
        SqlType::Struct(fields, StructBracketKind::AngleBrackets) => {
            let field = |f: &StructField| Some((f.field_name.as_ref()?.value.clone(), from_sql(&f.field_type)?));
            DataType::Struct(fields.iter().map(field).collect::<Option<_>>()?)
        }
        _ => return None,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    // The spellings: PyODPS odps/types.py.
    #[test]
    fn every_type_comes_back_from_the_syntax_tree() {
        for text in [
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
            "interval_year_month",
            "json",
            "decimal(10,2)",
            "varchar(20)",
            "char(3)",
            "array<map<string,struct<a:int,`b c`:datetime>>>",
        ] {
            let ty = DataType::parse(text).unwrap();
            assert_eq!(from_sql(&to_sql(&ty)), Some(ty), "{text}");
        }
        assert_eq!(from_sql(&SqlType::Uuid), None);
    }
}
