//! Reading lines of fields, and lines that are JSON objects. Every value is checked: one that its column cannot hold
//! fails the query with file and line.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, StringBuilder};
use bytes::Bytes;
use feitian_base::{Error, Kind, Result};
use feitian_functions::{Context, cast_array};
use feitian_types::Column;
use futures::stream::{BoxStream, try_unfold};
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;

use super::format::{Mismatch, TextFormat};
use super::json::JsonFields;
use super::scan::Reading;
use super::{broken, shown, unreadable};

/// Rows of one batch.
const BATCH_ROWS: usize = 8192;
/// A batch is ended when its fields have so many bytes.
const BATCH_BYTES: usize = 8 << 20;
/// A record of more bytes is refused: a quote may be missing, or the file is no text.
const MAX_RECORD: usize = 16 << 20;
/// So much of a value is shown.
const SHOWN: usize = 64;
const NO_UTF8: &str = "it is not UTF-8";

/// The rows of `input`, which is the file `path`.
pub(super) fn read(
    path: Path,
    input: BoxStream<'static, object_store::Result<Bytes>>,
    reading: Arc<Reading>,
    format: TextFormat,
) -> BoxStream<'static, Result<RecordBatch>> {
    let header_left = format.header_lines;
    let lines = Lines { input, path, quotes: format.quotes, ..Lines::empty() };
    rows(TextReader { lines, reading, written: Written::Fields(format), header_left })
}

/// The same of lines that are JSON objects.
pub(super) fn read_json(
    path: Path,
    input: BoxStream<'static, object_store::Result<Bytes>>,
    reading: Arc<Reading>,
) -> BoxStream<'static, Result<RecordBatch>> {
    let columns = reading.wanted.iter().filter_map(|place| reading.columns.get(*place));
    let written = Written::Json(JsonFields::of(columns));
    let lines = Lines { input, path, ..Lines::empty() };
    rows(TextReader { lines, reading, written, header_left: 0 })
}

fn rows(reader: TextReader) -> BoxStream<'static, Result<RecordBatch>> {
    let next = |mut reader: TextReader| async move {
        let batch = reader.next().await?;
        Ok::<_, Error>(batch.map(|batch| (batch, reader)))
    };
    try_unfold(reader, next).boxed()
}

/// How a record has its values.
enum Written {
    Fields(TextFormat),
    Json(JsonFields),
}

/// The records of a file, which are its lines unless a line end stands in quotes.
struct Lines {
    path: Path,
    input: BoxStream<'static, object_store::Result<Bytes>>,
    has_ended: bool,
    quotes: bool,
    buffer: Vec<u8>,
    /// Where the next record begins in the buffer, and the line on which it does.
    start: usize,
    line: u64,
    /// How far the buffer was looked through, whether that is inside of quotes, and the line ends inside of quotes of
    /// this record.
    looked: usize,
    in_quotes: bool,
    inner_lines: u64,
}

impl Lines {
    fn empty() -> Self {
        Self {
            path: Path::default(),
            input: futures::stream::empty().boxed(),
            has_ended: false,
            quotes: false,
            buffer: Vec::new(),
            start: 0,
            line: 1,
            looked: 0,
            in_quotes: false,
            inner_lines: 0,
        }
    }

    /// The place of the next record in the buffer, and its line; `None` at the end.
    async fn next(&mut self) -> Result<Option<(std::ops::Range<usize>, u64)>> {
        loop {
            if let Some(end) = self.find_end() {
                return Ok(Some(self.take(end, end + 1)));
            }
            if self.has_ended {
                return match self.buffer.len() {
                    len if len == self.start => Ok(None),
                    _ if self.in_quotes => Err(broken(&self.path, Some(self.line), "a quote is not closed")),
                    len => Ok(Some(self.take(len, len))),
                };
            }
            if self.buffer.len() - self.start > MAX_RECORD {
                return Err(broken(
                    &self.path,
                    Some(self.line),
                    format!("the record has more than {MAX_RECORD} bytes"),
                ));
            }
            self.fill().await?;
        }
    }

    fn take(&mut self, end: usize, next: usize) -> (std::ops::Range<usize>, u64) {
        let record = (self.start..end, self.line);
        self.line += 1 + std::mem::take(&mut self.inner_lines);
        (self.start, self.looked) = (next, next);
        record
    }

    fn find_end(&mut self) -> Option<usize> {
        while let Some(byte) = self.buffer.get(self.looked) {
            match byte {
                b'\n' if !self.in_quotes => return Some(self.looked),
                b'\n' => self.inner_lines += 1,
                b'"' if self.quotes => self.in_quotes = !self.in_quotes,
                _ => {}
            }
            self.looked += 1;
        }
        None
    }

    async fn fill(&mut self) -> Result<()> {
        self.buffer.drain(..self.start);
        (self.looked, self.start) = (self.looked - self.start, 0);
        match self.input.try_next().await {
            Ok(Some(bytes)) => self.buffer.extend_from_slice(&bytes),
            Ok(None) => self.has_ended = true,
            Err(e) => return Err(unreadable(&self.path, e)),
        }
        Ok(())
    }
}

struct TextReader {
    lines: Lines,
    reading: Arc<Reading>,
    written: Written,
    header_left: u64,
}

impl TextReader {
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        let mut rows = Rows::new(self.reading.wanted.len());
        while rows.lines.len() < BATCH_ROWS && rows.num_bytes < BATCH_BYTES {
            let Some((place, line)) = self.lines.next().await? else { break };
            let mut record = self.lines.buffer.get(place).unwrap_or_default();
            if line == 1 {
                record = record.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(record);
            }
            let record = record.strip_suffix(b"\r").unwrap_or(record);
            if self.header_left > 0 {
                self.header_left -= 1;
                continue;
            }
            let added = match &self.written {
                Written::Fields(format) if record.is_empty() && format.skips_empty_lines => Ok(()),
                Written::Fields(format) => rows.add(record, line, format, &self.reading),
                Written::Json(_) if record.trim_ascii().is_empty() => Ok(()),
                Written::Json(fields) => rows.add_json(record, line, fields),
            };
            added.map_err(|why| broken(&self.lines.path, Some(line), why))?;
        }
        if rows.lines.is_empty() { Ok(None) } else { rows.batch(&self.lines.path, &self.reading).map(Some) }
    }
}

/// The fields of one batch.
struct Rows {
    fields: Vec<StringBuilder>,
    lines: Vec<u64>,
    num_bytes: usize,
}

impl Rows {
    fn new(width: usize) -> Self {
        Self { fields: (0..width).map(|_| StringBuilder::new()).collect(), lines: Vec::new(), num_bytes: 0 }
    }

    /// Adds a record; the error is what is wrong with it.
    fn add(&mut self, record: &[u8], line: u64, format: &TextFormat, reading: &Reading) -> Result<(), String> {
        let text = std::str::from_utf8(record).map_err(|_| NO_UTF8.to_string())?;
        let wants = reading.columns.len();
        let (fields, has) = split(text, format, wants)?;
        if has != wants {
            match format.mismatch {
                Mismatch::Truncate => {}
                Mismatch::Ignore => return Ok(()),
                Mismatch::Error => return Err(format!("it has {has} fields, the table has {wants} columns")),
            }
        }
        self.lines.push(line);
        for (column, place) in self.fields.iter_mut().zip(&reading.wanted) {
            match fields.get(*place) {
                Some((text, is_quoted)) if *is_quoted || **text != *format.null => {
                    self.num_bytes += text.len();
                    column.append_value(text);
                }
                _ => column.append_null(),
            }
        }
        Ok(())
    }

    /// The same for a JSON object.
    fn add_json(&mut self, record: &[u8], line: u64, wanted: &JsonFields) -> Result<(), String> {
        let text = std::str::from_utf8(record).map_err(|_| NO_UTF8.to_string())?;
        let values = wanted.values(text)?;
        self.lines.push(line);
        for (column, value) in self.fields.iter_mut().zip(values) {
            self.num_bytes += value.as_ref().map_or(0, |text| text.len());
            column.append_option(value);
        }
        Ok(())
    }

    fn batch(self, path: &Path, reading: &Reading) -> Result<RecordBatch> {
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(self.fields.len());
        for (mut field, place) in self.fields.into_iter().zip(&reading.wanted) {
            let Some(column) = reading.columns.get(*place) else { return Err(Error::internal("no such column")) };
            let texts: ArrayRef = Arc::new(field.finish());
            let typed = typed(&texts, column, &reading.context);
            arrays.push(typed.map_err(|row| bad_value(path, self.lines.get(row).copied(), &texts, row, column))?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(self.lines.len()));
        RecordBatch::try_new_with_options(reading.schema.clone(), arrays, &options)
            .map_err(|e| broken(path, None, e.to_string()))
    }
}

/// A field, and whether it stood in quotes.
type Field<'a> = (Cow<'a, str>, bool);

/// The first fields of a record, at most `most`, and how many it has: they may be as many as its bytes.
fn split<'a>(text: &'a str, format: &TextFormat, most: usize) -> Result<(Vec<Field<'a>>, usize), String> {
    let delimiter = char::from(format.delimiter);
    if !format.quotes {
        let fields = text.split(delimiter).take(most).map(|field| (Cow::Borrowed(field), false)).collect();
        return Ok((fields, text.split(delimiter).count()));
    }
    let (mut fields, mut count) = (Vec::new(), 0);
    let mut rest = text;
    loop {
        let (field, next) = if let Some(inner) = rest.strip_prefix('"') {
            let (value, after) = quoted(inner)?;
            match after.strip_prefix(delimiter) {
                None if !after.is_empty() => return Err("something follows a closing quote".to_string()),
                next => ((Cow::Owned(value), true), next),
            }
        } else {
            let (field, next) = match rest.split_once(delimiter) {
                Some((field, next)) => (field, Some(next)),
                None => (rest, None),
            };
            if field.contains('"') {
                return Err("a quote stands in a field that does not begin with one".to_string());
            }
            ((Cow::Borrowed(field), false), next)
        };
        count += 1;
        if fields.len() < most {
            fields.push(field);
        }
        match next {
            Some(next) => rest = next,
            None => return Ok((fields, count)),
        }
    }
}

/// What stands before the closing quote, and what after it.
fn quoted(mut inner: &str) -> Result<(String, &str), String> {
    let mut value = String::new();
    loop {
        let Some((before, after)) = inner.split_once('"') else { return Err("a quote is not closed".to_string()) };
        value.push_str(before);
        match after.strip_prefix('"') {
            Some(more) => {
                value.push('"');
                inner = more;
            }
            None => return Ok((value, after)),
        }
    }
}

/// `texts` as the column has them; the error is the first row that is no such value. What CAST would only cut, as the
/// fraction of a number, is one too.
fn typed(texts: &ArrayRef, column: &Column, context: &Context) -> Result<ArrayRef, usize> {
    if column.ty.is_integer() {
        let all = texts.as_string::<i32>();
        let is_bad = |row: &usize| all.is_valid(*row) && all.value(*row).trim().parse::<i64>().is_err();
        if let Some(row) = (0..all.len()).find(is_bad) {
            return Err(row);
        }
    }
    cast_array(texts, &column.ty, context).map_err(|_| {
        let is_bad = |row: &usize| cast_array(&texts.slice(*row, 1), &column.ty, context).is_err();
        (0..texts.len()).find(is_bad).unwrap_or_default()
    })
}

fn bad_value(path: &Path, line: Option<u64>, texts: &ArrayRef, row: usize, column: &Column) -> Error {
    let texts = texts.as_string::<i32>();
    let value = if row < texts.len() && texts.is_valid(row) { texts.value(row) } else { "" };
    let value: String = value.chars().take(SHOWN).collect();
    let line = line.map_or_else(String::new, |line| format!(" line {line}"));
    let ty = column.ty.to_string().to_uppercase();
    let why = format!("{}{line}: '{value}' is no {ty}, the type of column {}", shown(path), column.name);
    Error::new(Kind::Invalid, "ODPS-0123091", format!("ODPS-0123091:[0,0] Illegal type cast - {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(quotes: bool) -> TextFormat {
        TextFormat {
            delimiter: b',',
            null: String::new(),
            header_lines: 0,
            skips_empty_lines: true,
            quotes,
            mismatch: Mismatch::Error,
        }
    }

    fn fields(text: &str, quotes: bool) -> Result<Vec<(String, bool)>, String> {
        let (fields, _) = split(text, &format(quotes), usize::MAX)?;
        Ok(fields.into_iter().map(|(field, quoted)| (field.into_owned(), quoted)).collect())
    }

    // RFC 4180, section 2, with quotes; without them a quote is a character (MaxCompute documentation of the property).
    #[test]
    fn fields_stand_between_delimiters() {
        let plain = |words: &[&str]| words.iter().map(|w| ((*w).to_string(), false)).collect::<Vec<_>>();
        assert_eq!(fields("a,,\"b\"", false), Ok(plain(&["a", "", "\"b\""])));
        assert_eq!(fields("", true), Ok(plain(&[""])));
        assert_eq!(fields("a,", true), Ok(plain(&["a", ""])));
        let want = vec![("a,\"b\"\nc".to_string(), true), (String::new(), true), ("d".to_string(), false)];
        assert_eq!(fields("\"a,\"\"b\"\"\nc\",\"\",d", true), Ok(want));
        for bad in ["\"a", "\"a\"b", "a\"b\"", "\"a\"\""] {
            assert!(fields(bad, true).is_err(), "{bad}");
        }
    }

    #[test]
    fn fields_beyond_the_columns_are_counted_and_not_kept() {
        for quotes in [false, true] {
            let (fields, count) = split("a,b,,d", &format(quotes), 2).expect("fields");
            assert_eq!((fields.len(), count), (2, 4));
        }
    }
}
