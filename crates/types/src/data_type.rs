//! The type grammar of MaxCompute: `bigint`, `decimal(10,2)`, `map<string,array<int>>`, `` struct<`a`:int> ``.

use std::fmt;

/// A MaxCompute type. Prints in lower case, as tables and tunnel sessions report it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum DataType {
    TinyInt,
    SmallInt,
    Int,
    BigInt,
    Float,
    Double,
    Boolean,
    String,
    Binary,
    /// Days since 1970-01-01.
    Date,
    /// An instant in milliseconds.
    Datetime,
    /// An instant in nanoseconds.
    Timestamp,
    /// A wall clock reading in nanoseconds.
    TimestampNtz,
    /// Nanoseconds.
    IntervalDayTime,
    /// Months.
    IntervalYearMonth,
    /// UTF-8 JSON text.
    Json,
    /// Precision 1 to 38, scale 0 to precision.
    Decimal(u8, u8),
    /// At most this many characters.
    Varchar(u32),
    /// Exactly this many characters, padded with blanks.
    Char(u32),
    Array(Box<DataType>),
    Map(Box<DataType>, Box<DataType>),
    /// Field names are lower case.
    Struct(Vec<(String, DataType)>),
}

/// Why a type text is not a type: the reason and the byte offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeError {
    pub reason: String,
    pub offset: usize,
}

impl fmt::Display for TypeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at offset {}", self.reason, self.offset)
    }
}

impl std::error::Error for TypeError {}

/// Nesting deeper than this is refused, so that foreign text cannot exhaust the stack.
const MAX_DEPTH: usize = 32;

impl DataType {
    /// Parses a type; letter case and blanks do not matter. A bare `decimal` is `decimal(38,18)`.
    pub fn parse(text: &str) -> Result<Self, TypeError> {
        let mut p = Parser { text, at: 0 };
        let ty = p.data_type(0)?;
        p.blanks();
        if p.at < text.len() { p.fail("unexpected text after the type") } else { Ok(ty) }
    }

    /// True for the whole-number types.
    pub fn is_integer(&self) -> bool {
        matches!(self, Self::TinyInt | Self::SmallInt | Self::Int | Self::BigInt)
    }

    /// True for text of any length rule, JSON included.
    pub fn is_text(&self) -> bool {
        matches!(self, Self::String | Self::Varchar(_) | Self::Char(_) | Self::Json)
    }
}

impl fmt::Display for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::TinyInt => "tinyint",
            Self::SmallInt => "smallint",
            Self::Int => "int",
            Self::BigInt => "bigint",
            Self::Float => "float",
            Self::Double => "double",
            Self::Boolean => "boolean",
            Self::String => "string",
            Self::Binary => "binary",
            Self::Date => "date",
            Self::Datetime => "datetime",
            Self::Timestamp => "timestamp",
            Self::TimestampNtz => "timestamp_ntz",
            Self::IntervalDayTime => "interval_day_time",
            Self::IntervalYearMonth => "interval_year_month",
            Self::Json => "json",
            Self::Decimal(p, s) => return write!(f, "decimal({p},{s})"),
            Self::Varchar(n) => return write!(f, "varchar({n})"),
            Self::Char(n) => return write!(f, "char({n})"),
            Self::Array(e) => return write!(f, "array<{e}>"),
            Self::Map(k, v) => return write!(f, "map<{k},{v}>"),
            Self::Struct(fields) => {
                f.write_str("struct<")?;
                for (i, (name, ty)) in fields.iter().enumerate() {
                    let comma = if i == 0 { "" } else { "," };
                    let plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
                    if plain { write!(f, "{comma}{name}:{ty}")? } else { write!(f, "{comma}`{name}`:{ty}")? }
                }
                return f.write_str(">");
            }
        };
        f.write_str(name)
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl Parser<'_> {
    fn fail<T>(&self, reason: impl Into<String>) -> Result<T, TypeError> {
        Err(TypeError { reason: reason.into(), offset: self.at })
    }

    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn blanks(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    fn eat(&mut self, c: char) -> bool {
        self.blanks();
        let found = self.rest().starts_with(c);
        if found {
            self.at += c.len_utf8();
        }
        found
    }

    fn expect(&mut self, c: char) -> Result<(), TypeError> {
        if self.eat(c) { Ok(()) } else { self.fail(format!("expected '{c}'")) }
    }

    fn word(&mut self) -> Result<String, TypeError> {
        self.blanks();
        let rest = self.rest();
        if let Some(quoted) = rest.strip_prefix('`') {
            let Some(end) = quoted.find('`') else { return self.fail("a back quote is not closed") };
            let word = quoted[..end].to_lowercase();
            self.at += end + 2;
            return Ok(word);
        }
        let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$')).unwrap_or(rest.len());
        if end == 0 {
            return self.fail("expected a name");
        }
        let word = rest[..end].to_lowercase();
        self.at += end;
        Ok(word)
    }

    fn number(&mut self, min: u32, max: u32) -> Result<u32, TypeError> {
        self.blanks();
        let rest = self.rest();
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        match rest[..end].parse::<u32>() {
            Ok(n) if n >= min && n <= max => {
                self.at += end;
                Ok(n)
            }
            _ => self.fail(format!("expected a number from {min} to {max}")),
        }
    }

    fn data_type(&mut self, depth: usize) -> Result<DataType, TypeError> {
        if depth > MAX_DEPTH {
            return self.fail("the type is nested too deeply");
        }
        let start = self.at;
        let name = self.word()?;
        Ok(match name.as_str() {
            "tinyint" => DataType::TinyInt,
            "smallint" => DataType::SmallInt,
            "int" => DataType::Int,
            "bigint" => DataType::BigInt,
            "float" => DataType::Float,
            "double" => DataType::Double,
            "boolean" => DataType::Boolean,
            "string" => DataType::String,
            "binary" => DataType::Binary,
            "date" => DataType::Date,
            "datetime" => DataType::Datetime,
            "timestamp" => DataType::Timestamp,
            "timestamp_ntz" => DataType::TimestampNtz,
            "interval_day_time" => DataType::IntervalDayTime,
            "interval_year_month" => DataType::IntervalYearMonth,
            "json" => DataType::Json,
            "decimal" => self.decimal()?,
            "varchar" => DataType::Varchar(self.length(65_535)?),
            "char" => DataType::Char(self.length(255)?),
            "array" => {
                self.expect('<')?;
                let element = self.data_type(depth + 1)?;
                self.expect('>')?;
                DataType::Array(Box::new(element))
            }
            "map" => {
                self.expect('<')?;
                let key = self.data_type(depth + 1)?;
                self.expect(',')?;
                let value = self.data_type(depth + 1)?;
                self.expect('>')?;
                DataType::Map(Box::new(key), Box::new(value))
            }
            "struct" => self.fields(depth)?,
            _ => {
                self.at = start;
                return self.fail(format!("unknown type '{name}'"));
            }
        })
    }

    fn decimal(&mut self) -> Result<DataType, TypeError> {
        if !self.eat('(') {
            return Ok(DataType::Decimal(38, 18));
        }
        let precision = self.number(1, 38)?;
        let scale = if self.eat(',') { self.number(0, precision)? } else { 0 };
        self.expect(')')?;
        Ok(DataType::Decimal(precision as u8, scale as u8))
    }

    fn length(&mut self, max: u32) -> Result<u32, TypeError> {
        self.expect('(')?;
        let n = self.number(1, max)?;
        self.expect(')')?;
        Ok(n)
    }

    fn fields(&mut self, depth: usize) -> Result<DataType, TypeError> {
        self.expect('<')?;
        let mut fields: Vec<(String, DataType)> = Vec::new();
        loop {
            let name = self.word()?;
            self.expect(':')?;
            let ty = self.data_type(depth + 1)?;
            if fields.iter().any(|(n, _)| *n == name) {
                return self.fail(format!("field '{name}' is repeated"));
            }
            fields.push((name, ty));
            if !self.eat(',') {
                break;
            }
        }
        self.expect('>')?;
        Ok(DataType::Struct(fields))
    }
}

impl serde::Serialize for DataType {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for DataType {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Grammar and spellings: PyODPS odps/types.py.
    #[test]
    fn every_type_prints_as_it_parses() {
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
            "array<bigint>",
            "map<string,array<int>>",
            "struct<a:int,b:map<string,double>>",
        ] {
            assert_eq!(DataType::parse(text).expect(text).to_string(), text);
        }
        let loose = DataType::parse(" STRUCT< `NAME` : String , n : Decimal ( 10 , 2 ) > ").expect("loose spelling");
        assert_eq!(loose.to_string(), "struct<name:string,n:decimal(10,2)>");
        assert_eq!(DataType::parse("decimal").expect("bare"), DataType::Decimal(38, 18));
    }

    #[test]
    fn what_is_no_type_is_refused_with_its_place() {
        for (text, offset) in
            [("", 0), ("void", 0), ("array<", 6), ("decimal(39)", 8), ("char(256)", 5), ("int int", 4)]
        {
            assert_eq!(DataType::parse(text).expect_err(text).offset, offset, "{text}");
        }
        assert!(DataType::parse(&"array<".repeat(100_000)).is_err());
    }
}
