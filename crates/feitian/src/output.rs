//! Data for stdout in three forms: a table for people, JSON and CSV for programs.

use std::io::{self, Write};

use serde_json::{Map, Value};
use unicode_width::UnicodeWidthStr;

use crate::failure::Result;
use crate::units;

/// The form that `--output` chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    /// Aligned columns for people; may change between versions.
    #[default]
    Table,
    /// One JSON document; field names and types are stable.
    Json,
    /// A header line and one line for each row; NULL is an empty field.
    Csv,
}

/// How a field is shown in a table. JSON and CSV always carry the plain value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    Text,
    Number,
    /// Milliseconds since 1970 as a UTC time.
    Time,
    /// Milliseconds as a duration.
    Duration,
    YesNo,
    /// An object as one `key=value` line for each of its fields; for [`object`].
    Pairs,
}

/// One field of a listing: its key in JSON and CSV, its title in a table.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    pub key: &'static str,
    pub title: &'static str,
    pub shown: Shown,
}

/// A field whose title is its key in capitals.
pub const fn field(key: &'static str, title: &'static str, shown: Shown) -> Field {
    Field { key, title, shown }
}

/// Prints objects, one row each. JSON is an array of objects with exactly `fields`, a missing one as null.
pub fn list(out: &mut dyn Write, format: Format, fields: &[Field], items: &[Map<String, Value>]) -> Result<()> {
    match format {
        Format::Json => json(out, &Value::Array(items.iter().map(|item| pick(fields, item)).collect())),
        Format::Csv => {
            csv_line(out, fields.iter().map(|f| f.key))?;
            let cells = |item: &Map<String, Value>| fields.iter().map(|f| plain(item.get(f.key))).collect();
            csv_rows(out, &items.iter().map(cells).collect::<Vec<_>>())
        }
        Format::Table => {
            let titles: Vec<String> = fields.iter().map(|f| f.title.to_string()).collect();
            let right: Vec<bool> =
                fields.iter().map(|f| !matches!(f.shown, Shown::Text | Shown::YesNo | Shown::Pairs)).collect();
            let cells = |item: &Map<String, Value>| fields.iter().map(|f| shown(f.shown, item.get(f.key))).collect();
            grid(out, &titles, &right, &items.iter().map(cells).collect::<Vec<_>>())
        }
    }
}

/// Prints one object: `title  value` lines, a JSON object with exactly `fields`, or a CSV of one row.
pub fn object(out: &mut dyn Write, format: Format, fields: &[Field], item: &Map<String, Value>) -> Result<()> {
    match format {
        Format::Json => json(out, &pick(fields, item)),
        Format::Csv => list(out, format, fields, std::slice::from_ref(item)),
        Format::Table => {
            let width = fields.iter().map(|f| f.title.width()).max().unwrap_or(0);
            for f in fields {
                let value = shown(f.shown, item.get(f.key)).unwrap_or_else(|| "-".to_string());
                writeln!(out, "{:<width$}  {}", f.title, indent(&value, width + 2))?;
            }
            Ok(())
        }
    }
}

/// Prints a row set page by page. Values are texts, `None` is NULL.
///
/// JSON is `{"columns": [{"name", "type"}], "rows": [[…]]}` with one row a line. JSON and CSV go out as they come, so that
/// a large result needs little memory; a table needs all rows to align its columns.
pub struct RowWriter<'a> {
    out: &'a mut dyn Write,
    format: Format,
    columns: Vec<(String, String)>,
    /// Rows written, or kept for the table.
    n_rows: u64,
    kept: Vec<Vec<Option<String>>>,
}

impl<'a> RowWriter<'a> {
    /// Begins a row set; `columns` are names and types.
    pub fn begin(out: &'a mut dyn Write, format: Format, columns: Vec<(String, String)>) -> Result<Self> {
        match format {
            Format::Json => {
                let columns: Vec<Value> =
                    columns.iter().map(|(name, ty)| serde_json::json!({"name": name, "type": ty})).collect();
                write!(out, "{{\"columns\": {}, \"rows\": [", Value::Array(columns))?;
            }
            Format::Csv => csv_line(out, columns.iter().map(|(name, _)| name.as_str()))?,
            Format::Table => {}
        }
        Ok(Self { out, format, columns, n_rows: 0, kept: Vec::new() })
    }

    /// Rows seen so far.
    pub fn n_rows(&self) -> u64 {
        self.n_rows
    }

    /// Adds rows.
    pub fn add(&mut self, rows: Vec<Vec<Option<String>>>) -> Result<()> {
        let first = self.n_rows == 0;
        self.n_rows += rows.len() as u64;
        match self.format {
            Format::Json => {
                for (i, row) in rows.iter().enumerate() {
                    let comma = if first && i == 0 { "" } else { "," };
                    write!(self.out, "{comma}\n  {}", serde_json::json!(row))?;
                }
                Ok(())
            }
            Format::Csv => csv_rows(self.out, &rows),
            Format::Table => {
                let cell = |v: Option<String>| Some(v.map_or_else(|| "NULL".to_string(), |v| printable(&v)));
                self.kept.extend(rows.into_iter().map(|row| row.into_iter().map(cell).collect()));
                Ok(())
            }
        }
    }

    /// Ends the row set.
    pub fn end(self) -> Result<()> {
        match self.format {
            Format::Json => writeln!(self.out, "\n]}}")?,
            Format::Csv => {}
            Format::Table => {
                let titles: Vec<String> = self.columns.iter().map(|(name, _)| printable(name)).collect();
                let right: Vec<bool> = self.columns.iter().map(|(_, ty)| is_numeric(ty)).collect();
                grid(self.out, &titles, &right, &self.kept)?;
            }
        }
        Ok(())
    }
}

fn csv_rows(out: &mut dyn Write, rows: &[Vec<Option<String>>]) -> Result<()> {
    for row in rows {
        csv_line(out, row.iter().map(|cell| cell.as_deref().unwrap_or("")))?;
    }
    Ok(())
}

/// One JSON document, indented, with a final newline.
pub fn json(out: &mut dyn Write, value: &Value) -> Result<()> {
    let text = serde_json::to_string_pretty(value).expect("a JSON value always has a text");
    writeln!(out, "{text}")?;
    Ok(())
}

fn pick(fields: &[Field], item: &Map<String, Value>) -> Value {
    let value = |f: &Field| item.get(f.key).cloned().unwrap_or(Value::Null);
    Value::Object(fields.iter().map(|f| (f.key.to_string(), value(f))).collect())
}

fn is_numeric(ty: &str) -> bool {
    let head = ty.split('(').next().unwrap_or(ty).to_ascii_lowercase();
    ["tinyint", "smallint", "int", "bigint", "float", "double", "decimal"].contains(&head.as_str())
}

/// The value as CSV carries it.
fn plain(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// The value as a table shows it.
fn shown(how: Shown, value: Option<&Value>) -> Option<String> {
    let value = value.filter(|v| !v.is_null())?;
    let number = || value.as_i64();
    let text = match how {
        Shown::Time => number().map(time),
        Shown::Duration => number().map(|ms| units::show_ms(ms.max(0) as u64)),
        Shown::YesNo => value.as_bool().map(|b| if b { "yes" } else { "no" }.to_string()),
        Shown::Pairs => value.as_object().map(pairs),
        Shown::Text | Shown::Number => None,
    };
    text.or_else(|| plain(Some(value)).map(|t| printable(&t)))
}

fn pairs(object: &Map<String, Value>) -> String {
    let line = |(key, value): (&String, &Value)| format!("{key}={}", plain(Some(value)).unwrap_or_default());
    let lines: Vec<String> = object.iter().map(line).map(|text| printable(&text)).collect();
    if lines.is_empty() { "-".to_string() } else { lines.join("\n") }
}

/// `ms` since 1970 as UTC, `2024-01-02 03:04:05Z`: the machine's time zone is never read.
pub fn time(ms: i64) -> String {
    chrono::DateTime::from_timestamp_millis(ms)
        .map_or_else(|| ms.to_string(), |t| t.format("%Y-%m-%d %H:%M:%SZ").to_string())
}

/// Without control characters: a value must not move the cursor or write on the title of a terminal.
fn printable(text: &str) -> String {
    escaped(text, &[])
}

/// The same for words of several lines: line ends and tabs stay. An error may name what somebody else made.
pub fn printable_lines(text: &str) -> String {
    escaped(text, &['\n', '\t'])
}

fn escaped(text: &str, stay: &[char]) -> String {
    let hidden = |c: char| c.is_control() && !stay.contains(&c);
    text.chars().flat_map(|c| if hidden(c) { c.escape_default().collect() } else { vec![c] }).collect()
}

/// Further lines of a value stand below its first.
fn indent(text: &str, width: usize) -> String {
    text.replace('\n', &format!("\n{}", " ".repeat(width)))
}

fn grid(out: &mut dyn Write, titles: &[String], right: &[bool], rows: &[Vec<Option<String>>]) -> Result<()> {
    let mut widths: Vec<usize> = titles.iter().map(|t| t.width()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.as_deref().unwrap_or("-").width());
        }
    }
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut text = String::new();
        for (i, cell) in cells.enumerate() {
            let pad = " ".repeat(widths.get(i).copied().unwrap_or(0).saturating_sub(cell.width()));
            let gap = if i == 0 { "" } else { "  " };
            let (before, after) =
                if right.get(i).copied().unwrap_or(false) { (pad.as_str(), "") } else { ("", pad.as_str()) };
            text.push_str(&format!("{gap}{before}{cell}{after}"));
        }
        text.truncate(text.trim_end().len());
        text
    };
    writeln!(out, "{}", line(&mut titles.iter().map(String::as_str)))?;
    for row in rows {
        writeln!(out, "{}", line(&mut row.iter().map(|c| c.as_deref().unwrap_or("-"))))?;
    }
    Ok(())
}

/// One record of RFC 4180, but for the line end: `\n` alone, as every tool on this system expects.
fn csv_line<'a>(out: &mut dyn Write, cells: impl Iterator<Item = &'a str>) -> io::Result<()> {
    let quoted = |cell: &str| match cell.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", cell.replace('"', "\"\"")),
        false => cell.to_string(),
    };
    let cells: Vec<String> = cells.map(quoted).collect();
    writeln!(out, "{}", cells.join(","))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const FIELDS: [Field; 3] = [
        field("name", "NAME", Shown::Text),
        field("took_ms", "TOOK", Shown::Duration),
        field("created_ms", "CREATED", Shown::Time),
    ];

    fn print(format: Format) -> String {
        let items: Vec<Map<String, Value>> = serde_json::from_str(
            r#"[{"name": "a,\"b\"", "took_ms": 1500, "created_ms": 0, "hidden": 1}, {"name": "飞天", "took_ms": null}]"#,
        )
        .unwrap();
        let mut out = Vec::new();
        list(&mut out, format, &FIELDS, &items).unwrap();
        String::from_utf8(out).unwrap()
    }

    // By hand: 1,500 ms are 1.5 s, time 0 is the epoch, each Chinese character takes two columns (Unicode UAX #11).
    #[test]
    fn tables_align_by_display_width() {
        let want = [
            "NAME   TOOK               CREATED",
            "a,\"b\"  1.5s  1970-01-01 00:00:00Z",
            "飞天      -                     -",
            "",
        ];
        assert_eq!(print(Format::Table), want.join("\n"));
    }

    #[test]
    fn json_has_exactly_the_listed_fields() {
        let value: Value = serde_json::from_str(&print(Format::Json)).unwrap();
        let want = serde_json::json!([
            {"name": "a,\"b\"", "took_ms": 1500, "created_ms": 0},
            {"name": "飞天", "took_ms": null, "created_ms": null},
        ]);
        assert_eq!(value, want);
    }

    // RFC 4180, section 2: fields with commas or quotes are quoted, quotes doubled.
    #[test]
    fn csv_quotes_what_needs_it() {
        assert_eq!(print(Format::Csv), "name,took_ms,created_ms\n\"a,\"\"b\"\"\",1500,0\n飞天,,\n");
    }

    #[test]
    fn control_characters_of_a_value_never_reach_the_terminal() {
        let printed = print_rows(Format::Table, vec![vec![Some("\x1b]0;x\x07\n".to_string())], vec![None]]);
        assert_eq!(printed, "c\n\\u{1b}]0;x\\u{7}\\n\nNULL\n");
    }

    fn print_rows(format: Format, rows: Vec<Vec<Option<String>>>) -> String {
        let mut out = Vec::new();
        let mut writer = RowWriter::begin(&mut out, format, vec![("c".to_string(), "string".to_string())]).unwrap();
        for row in rows {
            writer.add(vec![row]).unwrap();
        }
        writer.end().unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn pages_of_rows_are_one_json_document() {
        for rows in [vec![], vec![vec![Some("1".to_string())]], vec![vec![Some("\"".to_string())], vec![None]]] {
            let value: Value = serde_json::from_str(&print_rows(Format::Json, rows.clone())).unwrap();
            assert_eq!(value, serde_json::json!({"columns": [{"name": "c", "type": "string"}], "rows": rows}));
        }
    }
}
