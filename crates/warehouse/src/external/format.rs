//! How files are written: what STORED BY, STORED AS and SERDEPROPERTIES say. What nobody acts on is refused by name.

use feitian_base::Result;
use feitian_sql::{Position, SqlError};
use feitian_types::{Column, DataType};

use super::{Clauses, refused};
use crate::query::errors::front_end;

/// The way in which the rows of a file are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Format {
    Text(TextFormat),
    /// Lines that are JSON objects.
    Json,
    Parquet,
}

/// The class of JSON lines.
const JSON_SERDE: &str = "org.apache.hive.hcatalog.data.jsonserde";

/// Lines of fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TextFormat {
    /// One ASCII character.
    pub(super) delimiter: u8,
    /// What a field without quotes says for NULL.
    pub(super) null: String,
    /// So many records at the beginning of each file are no rows.
    pub(super) header_lines: u64,
    /// An empty line is no row.
    pub(super) skips_empty_lines: bool,
    /// Fields may stand in double quotes, and then have delimiters, line ends and doubled quotes in them.
    pub(super) quotes: bool,
    pub(super) mismatch: Mismatch,
}

/// What becomes of a line that has more or fewer fields than the table has columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mismatch {
    Error,
    /// Fields too many are left out, fields too few are NULL.
    Truncate,
    /// The line is no row.
    Ignore,
}

fn lacking<T>(at: Position, what: String) -> Result<T> {
    Err(front_end(SqlError::unsupported(at, what)))
}

impl Format {
    pub(super) fn of(clauses: &Clauses, at: Position) -> Result<Self> {
        let word = |text: &Option<String>| text.as_deref().unwrap_or_default().to_lowercase();
        let (handler, stored_as, row_format) =
            (word(&clauses.handler), word(&clauses.stored_as), word(&clauses.row_format));
        let comma = |delimiter| TextFormat {
            delimiter,
            null: String::new(),
            header_lines: 0,
            skips_empty_lines: true,
            quotes: false,
            mismatch: Mismatch::Error,
        };
        let mut format = match (handler.as_str(), stored_as.as_str()) {
            ("com.aliyun.odps.csvstoragehandler", _) | ("", "csv") => Self::Text(comma(b',')),
            ("com.aliyun.odps.tsvstoragehandler", _) => Self::Text(comma(b'\t')),
            ("", "json") => Self::Json,
            ("", "textfile") if row_format == JSON_SERDE => Self::Json,
            // As Hive writes it.
            ("", "textfile") => {
                Self::Text(TextFormat { null: "\\N".to_string(), skips_empty_lines: false, ..comma(1) })
            }
            ("", "parquet") => Self::Parquet,
            ("", "") => return Err(refused(at, "say how the files are written: STORED AS or STORED BY")),
            ("", other) => return lacking(at, format!("STORED AS {} for files of a bucket", other.to_uppercase())),
            _ => return lacking(at, format!("STORED BY '{}'", clauses.handler.as_deref().unwrap_or_default())),
        };
        let serde = match (stored_as.as_str(), row_format.as_str()) {
            (_, "") => true,
            ("parquet", serde) => serde == "org.apache.hadoop.hive.ql.io.parquet.serde.parquethiveserde",
            ("textfile", serde) => serde == "org.apache.hadoop.hive.serde2.lazy.lazysimpleserde" || serde == JSON_SERDE,
            ("json", serde) => serde == JSON_SERDE,
            _ => false,
        };
        if !serde {
            let class = clauses.row_format.as_deref().unwrap_or_default();
            return lacking(at, format!("ROW FORMAT SERDE '{class}' for these files"));
        }
        let is_hive = stored_as == "textfile";
        for (key, value) in &clauses.options {
            // Rights come with the bucket's name. A role is no secret.
            if key == "odps.properties.rolearn" {
                continue;
            }
            match &mut format {
                Self::Text(text) if is_hive => text.set_of_hive(key, value, at)?,
                Self::Text(text) => text.set(key, value, at)?,
                Self::Json | Self::Parquet => return unknown(key, at),
            }
        }
        if let Self::Text(text) = &format {
            text.check(at)?;
        }
        Ok(format)
    }

    /// The end of a file's name.
    pub(super) fn extension(&self) -> &'static str {
        match self {
            Self::Parquet => "parquet",
            Self::Json => "json",
            Self::Text(text) if text.delimiter == b',' => "csv",
            Self::Text(text) if text.delimiter == b'\t' => "tsv",
            Self::Text(_) => "txt",
        }
    }

    /// Refuses columns whose values such files cannot hold.
    pub(super) fn check_columns(&self, columns: &[Column], at: Position) -> Result<()> {
        let fits = |ty: &DataType| match ty {
            DataType::TinyInt
            | DataType::SmallInt
            | DataType::Int
            | DataType::BigInt
            | DataType::Float
            | DataType::Double
            | DataType::Boolean
            | DataType::String
            | DataType::Varchar(_)
            | DataType::Char(_)
            | DataType::Decimal(..)
            | DataType::Date
            | DataType::Datetime
            | DataType::Timestamp
            | DataType::TimestampNtz => true,
            DataType::Binary => *self == Self::Parquet,
            DataType::IntervalDayTime
            | DataType::IntervalYearMonth
            | DataType::Json
            | DataType::Array(_)
            | DataType::Map(..)
            | DataType::Struct(_) => false,
        };
        match columns.iter().find(|c| !fits(&c.ty)) {
            Some(c) => lacking(at, format!("{} (column {}) in these files", c.ty.to_string().to_uppercase(), c.name)),
            None => Ok(()),
        }
    }
}

impl TextFormat {
    /// A property of the handlers for CSV and TSV.
    fn set(&mut self, key: &str, value: &str, at: Position) -> Result<()> {
        match key.to_lowercase().as_str() {
            "odps.text.option.delimiter" => self.delimiter = delimiter(key, value, at)?,
            "odps.text.option.null.indicator" => self.null = null(key, value, at)?,
            "odps.text.option.header.lines.count" => {
                let bad = |_| refused(at, format!("'{key}' is '{value}', which is no number of lines"));
                self.header_lines = value.trim().parse().map_err(bad)?;
            }
            "odps.text.option.ignore.empty.lines" => self.skips_empty_lines = switch(key, value, at)?,
            "odps.text.option.use.quote" => self.quotes = switch(key, value, at)?,
            "odps.text.option.encoding" if value.eq_ignore_ascii_case("utf-8") => {}
            "odps.text.option.encoding" => return lacking(at, format!("'{key}'='{value}': files are UTF-8")),
            "odps.text.option.gzip.input.enabled" | "odps.text.option.gzip.output.enabled" => {
                if switch(key, value, at)? {
                    return lacking(at, format!("'{key}'"));
                }
            }
            "odps.sql.text.schema.mismatch.mode" => {
                self.mismatch = match value.to_lowercase().as_str() {
                    "error" => Mismatch::Error,
                    "truncate" => Mismatch::Truncate,
                    "ignore" => Mismatch::Ignore,
                    _ => return Err(refused(at, format!("'{key}' is error, truncate or ignore, not '{value}'"))),
                }
            }
            _ => return unknown(key, at),
        }
        Ok(())
    }

    /// Refuses properties with which files would not be read as they were written.
    fn check(&self, at: Position) -> Result<()> {
        if self.quotes && self.delimiter == b'"' {
            return Err(refused(at, "fields cannot be divided by what quotes them"));
        }
        if self.null.contains(char::from(self.delimiter)) || (self.quotes && self.null.contains('"')) {
            return Err(refused(at, "what stands for NULL has a delimiter or a quote in it, so that no field is it"));
        }
        Ok(())
    }

    /// A property of Hive's text files.
    fn set_of_hive(&mut self, key: &str, value: &str, at: Position) -> Result<()> {
        match key.to_lowercase().as_str() {
            "field.delim" => self.delimiter = delimiter(key, value, at)?,
            "serialization.null.format" => self.null = null(key, value, at)?,
            _ => return unknown(key, at),
        }
        Ok(())
    }
}

fn unknown<T>(key: &str, at: Position) -> Result<T> {
    // The value is not shown: nobody knows what it is.
    lacking(at, format!("the property '{key}' for these files"))
}

fn switch(key: &str, value: &str, at: Position) -> Result<bool> {
    match value.to_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(refused(at, format!("'{key}' is true or false, not '{value}'"))),
    }
}

/// One ASCII character that is no line end.
fn delimiter(key: &str, value: &str, at: Position) -> Result<u8> {
    match value.as_bytes() {
        [b] if b.is_ascii() && !matches!(b, b'\n' | b'\r') => Ok(*b),
        _ => lacking(at, format!("'{key}' of something else than one ASCII character")),
    }
}

fn null(key: &str, value: &str, at: Position) -> Result<String> {
    if value.contains(['\n', '\r']) {
        return Err(refused(at, format!("'{key}' has a line end in it")));
    }
    Ok(value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(handler: Option<&str>, stored_as: Option<&str>, options: &[(&str, &str)]) -> Result<Format> {
        let clauses = Clauses {
            location: "oss://demo/x/".into(),
            row_format: None,
            stored_as: stored_as.map(Into::into),
            handler: handler.map(Into::into),
            options: options.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect(),
        };
        Format::of(&clauses, Position::UNKNOWN)
    }

    // MaxCompute documentation, "Create an OSS external table": the properties of the text handlers.
    #[test]
    fn what_the_clauses_say_is_acted_upon_or_refused() {
        let csv = Some("com.aliyun.odps.CsvStorageHandler");
        let Ok(Format::Text(text)) = format(csv, None, &[("odps.text.option.delimiter", "|")]) else { panic!() };
        assert_eq!((text.delimiter, text.null.as_str(), text.skips_empty_lines), (b'|', "", true));
        let Ok(Format::Text(text)) = format(None, Some("textfile"), &[("field.delim", ",")]) else { panic!() };
        assert_eq!((text.delimiter, text.null.as_str()), (b',', "\\N"));
        assert_eq!(format(None, Some("parquet"), &[]).expect("a format"), Format::Parquet);
        assert_eq!(format(None, Some("json"), &[]).expect("a format"), Format::Json);
        for (handler, stored_as, key, value) in [
            (csv, None, "odps.text.option.gzip.input.enabled", "true"),
            (csv, None, "odps.text.option.encoding", "GBK"),
            (csv, None, "odps.text.option.delimiter", "||"),
            (csv, None, "odps.text.option.use.quote", "perhaps"),
            (csv, None, "field.delim", ","),
            (csv, None, "odps.text.option.null.indicator", "a,b"),
            (None, Some("textfile"), "field.delim", "N"),
            (None, Some("parquet"), "odps.text.option.delimiter", ","),
            (None, Some("json"), "field.delim", ","),
            (None, Some("orc"), "odps.properties.rolearn", "acs"),
            (Some("com.aliyun.odps.TableStoreStorageHandler"), None, "odps.properties.rolearn", "acs"),
            (None, None, "odps.properties.rolearn", "acs"),
        ] {
            assert!(format(handler, stored_as, &[(key, value)]).is_err(), "{handler:?} {stored_as:?} {key}={value}");
        }
    }
}
