//! A CSV file as rows of a table: its columns, the types that fit them, and the batches to write.
//!
//! An empty field and `\N` are NULL. Blanks around numbers and dates do not matter.

use std::io::Cursor;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, StringArray, StringBuilder, TimestampMillisecondArray, TimestampNanosecondArray, new_null_array,
};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use chrono::{NaiveDate, NaiveDateTime, TimeZone};
use chrono_tz::Tz;
use csv::{ErrorKind, StringRecord};
use feitian_base::{Error, Kind, Result};
use feitian_types::arrow::{engine_schema, engine_type};
use feitian_types::{Column, DataType, TableSchema};

/// Rows of one batch.
const BATCH_ROWS: usize = 8192;
/// Text of one batch; a batch ends at the first row beyond it.
const BATCH_BYTES: usize = 4 << 20;
/// Columns of a table (MaxCompute documentation, "Limits": 1,200).
const MOST_COLUMNS: usize = 1200;
/// The longest name of a column (MaxCompute documentation, "Limits": 128 bytes).
const LONGEST_NAME: usize = 128;

/// A file in memory.
pub(super) struct CsvFile {
    bytes: Bytes,
    delimiter: u8,
    /// The first line has the names of the columns.
    header: bool,
}

type Reader = csv::Reader<Cursor<Bytes>>;

impl CsvFile {
    pub(super) fn new(bytes: Bytes, delimiter: u8, header: bool) -> Self {
        // Spreadsheets begin with a byte order mark.
        let start = if bytes.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
        Self { bytes: bytes.slice(start..), delimiter, header }
    }

    fn reader(&self) -> Reader {
        let bytes = Cursor::new(self.bytes.clone());
        let mut reader =
            csv::ReaderBuilder::new().delimiter(self.delimiter).has_headers(self.header).from_reader(bytes);
        if self.header {
            // Errors of the first row behind it would otherwise name its line. Its own come again when it is asked for.
            let _ = reader.byte_headers();
        }
        reader
    }

    /// Names for the columns, in the order of the file.
    fn names(&self) -> Result<Vec<String>> {
        let mut reader = self.reader();
        let first = reader.headers().map_err(broken)?;
        if first.is_empty() {
            return Err(Error::invalid("the file is empty"));
        }
        if first.len() > MOST_COLUMNS {
            return Err(Error::invalid(format!("the file has {} columns, more than {MOST_COLUMNS}", first.len())));
        }
        let mut names: Vec<String> = Vec::new();
        for (at, text) in first.iter().enumerate() {
            let name = if self.header { plain_name(text) } else { String::new() };
            let base = if name.is_empty() { format!("col_{}", at + 1) } else { name };
            let mut name = base.clone();
            let mut again = 1;
            while names.contains(&name) {
                again += 1;
                name = format!("{base}_{again}");
            }
            names.push(name);
        }
        Ok(names)
    }

    /// The columns of a new table for this file: every value of a column fits its type.
    pub(super) fn guess(&self) -> Result<Vec<Column>> {
        let mut guesses: Vec<Guess> = self.names()?.into_iter().map(Guess::new).collect();
        let (mut reader, mut record) = (self.reader(), StringRecord::new());
        while reader.read_record(&mut record).map_err(broken)? {
            for (guess, text) in guesses.iter_mut().zip(&record) {
                guess.see(text);
            }
        }
        Ok(guesses.into_iter().map(Guess::column).collect())
    }

    /// Its rows as batches of the data columns of `table`, by name when the file has a header and else by place.
    /// A column of the table that the file does not have is NULL.
    pub(super) fn rows(self, table: &TableSchema, zone: Tz) -> Result<Rows> {
        let names = self.names()?;
        let of_file = |column: &Column| names.iter().position(|name| *name == column.name);
        let sources: Vec<Option<usize>> = if self.header {
            let unknown = |name: &&String| !table.columns.iter().any(|c| c.name == **name);
            if let Some(name) = names.iter().find(unknown) {
                let message = format!("the file has a column '{name}' and the table has none of this name");
                return Err(Error::invalid(message));
            }
            table.columns.iter().map(of_file).collect()
        } else {
            if names.len() != table.columns.len() {
                let (has, wants) = (names.len(), table.columns.len());
                return Err(Error::invalid(format!("the file has {has} columns and the table has {wants}")));
            }
            (0..names.len()).map(Some).collect()
        };
        for (column, _) in table.columns.iter().zip(&sources).filter(|(_, source)| source.is_some()) {
            check_type(column)?;
        }
        Ok(Rows { reader: self.reader(), columns: table.columns.clone(), sources, zone, row: 0 })
    }
}

/// Letters, digits and underscores of a heading, in lower case; empty when nothing is left that could be a name.
fn plain_name(heading: &str) -> String {
    let kept = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
    let name: String = heading.trim().chars().map(kept).take(LONGEST_NAME - 8).collect();
    let name = name.trim_matches('_');
    if name.starts_with(|c: char| c.is_ascii_digit()) { format!("c_{name}") } else { name.to_string() }
}

/// What a column may still be, after the values seen so far.
struct Guess {
    name: String,
    seen: bool,
    types: Vec<DataType>,
}

impl Guess {
    fn new(name: String) -> Self {
        use DataType::{BigInt, Boolean, Date, Datetime, Double};
        // In this order of preference.
        Self { name, seen: false, types: vec![BigInt, Double, Boolean, Date, Datetime] }
    }

    fn see(&mut self, text: &str) {
        if !is_null(text) {
            self.seen = true;
            self.types.retain(|ty| looks_like(ty, text.trim()));
        }
    }

    fn column(self) -> Column {
        let ty = self.types.into_iter().next().filter(|_| self.seen);
        Column::new(self.name, ty.unwrap_or(DataType::String))
    }
}

fn is_null(text: &str) -> bool {
    text.is_empty() || text == r"\N"
}

/// Whether a person would read `text` as a value of this type. Digits with a zero before them are a code, not a number.
fn looks_like(ty: &DataType, text: &str) -> bool {
    let digits = text.trim_start_matches(['-', '+']);
    let is_code = digits.len() > 1 && digits.starts_with('0') && digits.as_bytes()[1].is_ascii_digit();
    let numeric = |b: u8| b.is_ascii_digit() || b"+-.eE".contains(&b);
    match ty {
        DataType::BigInt => !is_code && text.parse::<i64>().is_ok(),
        DataType::Double => !is_code && text.bytes().all(numeric) && text.parse::<f64>().is_ok_and(f64::is_finite),
        DataType::Boolean => text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false"),
        DataType::Date => text.len() == 10 && NaiveDate::parse_from_str(text, "%Y-%m-%d").is_ok(),
        DataType::Datetime => text.len() == 19 && wall_clock(text).is_some(),
        _ => false,
    }
}

fn wall_clock(text: &str) -> Option<NaiveDateTime> {
    let with_time = ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f"];
    let time = with_time.iter().find_map(|form| NaiveDateTime::parse_from_str(text, form).ok());
    time.or_else(|| NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.and_hms_opt(0, 0, 0))
}

/// The batches of a file, in its order.
pub(super) struct Rows {
    reader: Reader,
    columns: Vec<Column>,
    /// For each column of the table, its place in the file.
    sources: Vec<Option<usize>>,
    zone: Tz,
    /// Rows that earlier batches had.
    row: u64,
}

impl Iterator for Rows {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        self.batch().transpose()
    }
}

impl Rows {
    fn batch(&mut self) -> Result<Option<RecordBatch>> {
        let mut texts: Vec<StringBuilder> = self.columns.iter().map(|_| StringBuilder::new()).collect();
        let (mut record, mut rows, mut bytes) = (StringRecord::new(), 0, 0);
        while rows < BATCH_ROWS && bytes < BATCH_BYTES && self.reader.read_record(&mut record).map_err(broken)? {
            for ((builder, source), column) in texts.iter_mut().zip(&self.sources).zip(&self.columns) {
                let text = source.and_then(|at| record.get(at)).filter(|text| !is_null(text));
                builder.append_option(text.map(|text| if column.ty.is_text() { text } else { text.trim() }));
            }
            (rows, bytes) = (rows + 1, bytes + record.as_slice().len());
        }
        if rows == 0 {
            return Ok(None);
        }
        let mut arrays = Vec::with_capacity(self.columns.len());
        for ((builder, source), column) in texts.iter_mut().zip(&self.sources).zip(&self.columns) {
            arrays.push(match source {
                Some(_) => values(column, &builder.finish(), self.zone, self.row)?,
                None => new_null_array(&engine_type(&column.ty), rows),
            });
        }
        self.row += rows as u64;
        let batch = RecordBatch::try_new(engine_schema(&self.columns), arrays);
        batch.map(Some).map_err(|e| Error::invalid(format!("the rows do not fit the table: {e}")))
    }
}

/// Refuses columns whose values have no plain text.
fn check_type(column: &Column) -> Result<()> {
    use DataType as T;
    match &column.ty {
        T::TinyInt | T::SmallInt | T::Int | T::BigInt | T::Float | T::Double | T::Boolean | T::Decimal(..) => Ok(()),
        T::Date | T::Datetime | T::Timestamp | T::TimestampNtz | T::String | T::Varchar(_) | T::Char(_) => Ok(()),
        other => Err(Error::new(
            Kind::Unsupported,
            "MethodNotAllowed",
            format!("column '{}' is {other}, which a CSV file cannot fill; use the tunnel or SQL", column.name),
        )),
    }
}

/// The values of a column in engine form. `first` is the number of rows before them.
fn values(column: &Column, texts: &StringArray, zone: Tz, first: u64) -> Result<ArrayRef> {
    let instants = |per: fn(&chrono::DateTime<chrono::Utc>) -> Option<i64>| -> Vec<Option<i64>> {
        let instant = |text: &str| {
            let local = zone.from_local_datetime(&wall_clock(text)?).earliest()?;
            per(&local.to_utc())
        };
        texts.iter().map(|text| text.and_then(instant)).collect()
    };
    let array: ArrayRef = match &column.ty {
        ty if ty.is_text() => return Ok(Arc::new(texts.clone())),
        DataType::Datetime => {
            Arc::new(TimestampMillisecondArray::from(instants(|t| Some(t.timestamp_millis()))).with_timezone("UTC"))
        }
        DataType::Timestamp => {
            Arc::new(TimestampNanosecondArray::from(instants(|t| t.timestamp_nanos_opt())).with_timezone("UTC"))
        }
        DataType::TimestampNtz => {
            let reading = |text: &str| wall_clock(text)?.and_utc().timestamp_nanos_opt();
            let values: Vec<Option<i64>> = texts.iter().map(|text| text.and_then(reading)).collect();
            Arc::new(TimestampNanosecondArray::from(values))
        }
        ty => {
            // What does not fit becomes NULL, and is found below with its row.
            let cast =
                cast_with_options(texts, &engine_type(ty), &CastOptions { safe: true, ..CastOptions::default() });
            cast.map_err(|e| Error::internal(format!("text does not become {ty}")).with_source(e))?
        }
    };
    match (0..texts.len()).find(|&row| texts.is_valid(row) && array.is_null(row)) {
        None => Ok(array),
        Some(row) => {
            let (number, text) = (first + row as u64 + 1, texts.value(row));
            let shown: String = text.chars().take(40).collect();
            Err(Error::invalid(format!("row {number}, column {}: '{shown}' is no {}", column.name, column.ty)))
        }
    }
}

fn broken(e: csv::Error) -> Error {
    let line = |pos: &Option<csv::Position>| pos.as_ref().map_or(0, csv::Position::line);
    Error::invalid(match e.kind() {
        ErrorKind::Utf8 { pos, .. } => {
            format!("line {} of the file is not UTF-8; save the file as CSV in UTF-8", line(pos))
        }
        ErrorKind::UnequalLengths { pos, expected_len, len } => {
            format!("line {} of the file has {len} fields and the first line has {expected_len}", line(pos))
        }
        _ => format!("the file is no CSV: {e}"),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn file(text: &str, header: bool) -> CsvFile {
        CsvFile::new(Bytes::from(text.to_string()), b',', header)
    }

    fn guessed(text: &str) -> Vec<String> {
        file(text, true).guess().unwrap().iter().map(|c| format!("{} {}", c.name, c.ty)).collect()
    }

    fn rows(text: &str, header: bool, columns: &str) -> Result<Vec<String>> {
        let columns = columns.split(';').map(|c| c.split_once(' ').unwrap());
        let columns = columns.map(|(name, ty)| Column::new(name, DataType::parse(ty).unwrap())).collect();
        let table = TableSchema { columns, partition_columns: Vec::new() };
        let zone = chrono_tz::Asia::Shanghai;
        let mut lines = Vec::new();
        for batch in file(text, header).rows(&table, zone)? {
            let mut texts = Vec::new();
            feitian_api::text_rows(&table.columns, zone, &batch?, &mut texts)?;
            let cell = |cell: Option<String>| cell.unwrap_or("NULL".into());
            lines.extend(texts.into_iter().map(|row| row.into_iter().map(cell).collect::<Vec<_>>().join("|")));
        }
        Ok(lines)
    }

    #[test]
    fn each_column_gets_the_type_that_fits_all_its_values() {
        let text = "id,price,ok,day,at,zip,mixed,none\n\
                    1,1.5,true,2024-01-02,2024-01-02 03:04:05,01234,1,\n\
                    -2,3,FALSE,2024-12-31,2024-01-02 03:04:06,00001,x,\\N\n";
        let want = [
            "id bigint",
            "price double",
            "ok boolean",
            "day date",
            "at datetime",
            "zip string",
            "mixed string",
            "none string",
        ];
        assert_eq!(guessed(text), want);
    }

    #[test]
    fn headings_become_names_that_sql_takes() {
        let got = guessed("\u{feff}Order Id,order-id,2024,\u{59d3}\u{540d},,a\"b\n1,2,3,4,5,6\n");
        let names: Vec<&str> = got.iter().map(|c| c.split(' ').next().unwrap()).collect();
        assert_eq!(names, ["order_id", "order_id_2", "c_2024", "col_4", "col_5", "a_b"]);
        assert_eq!(file("1,x\n", false).guess().unwrap()[1], Column::new("col_2", DataType::String));
    }

    // RFC 4180: quotes, commas and line ends inside a field. 03:04:05 in Shanghai is what its texts show again.
    #[test]
    fn rows_come_by_name_or_by_place_with_null_for_nothing() {
        let columns = "n bigint;s string;d datetime;x decimal(10,2)";
        let by_name = rows("s,n,d\n\"a,\"\"b\"\"\n\", 1 ,2024-01-02 03:04:05\n,,\n", true, columns).unwrap();
        assert_eq!(by_name, ["1|a,\"b\"\n|2024-01-02 03:04:05|NULL", "NULL|NULL|NULL|NULL"]);
        let by_place = rows("1,a,2024-01-02,2.50\n", false, columns).unwrap();
        assert_eq!(by_place, ["1|a|2024-01-02 00:00:00|2.5"]);
        let many: String = (0..20_000).map(|i| format!("{i}\n")).collect();
        assert_eq!(rows(&many, false, "n bigint").unwrap().len(), 20_000);
    }

    #[test]
    fn what_does_not_fit_is_named_by_row_and_column() {
        for (text, header, columns, words) in [
            ("n\n1\nx\n", true, "n bigint", "row 2, column n: 'x' is no bigint"),
            ("n\n300\n", true, "n tinyint", "row 1, column n: '300' is no tinyint"),
            ("n\n2024-13-01\n", true, "n datetime", "'2024-13-01' is no datetime"),
            ("n,m\n1,2\n", true, "n bigint", "a column 'm'"),
            ("1,2\n", false, "n bigint", "the file has 2 columns and the table has 1"),
            ("n,m\n1\n", true, "n bigint;m bigint", "line 2 of the file has 1 fields"),
            ("", true, "n bigint", "empty"),
            ("n\n1\n", true, "n array<bigint>", "array<bigint>"),
        ] {
            let message = rows(text, header, columns).unwrap_err().message().to_string();
            assert!(message.contains(words), "{text:?}: {message}");
        }
        let latin = CsvFile::new(Bytes::from_static(b"n\n\xff\n"), b',', true);
        assert!(latin.guess().unwrap_err().message().contains("line 2 of the file is not UTF-8"));
    }
}
