//! `feitian ots export`: reads a table page by page and writes it as Parquet files.

mod bounds;
mod files;
mod records;
mod source;
mod span;

use std::io::{IsTerminal, Write};
use std::path::PathBuf;

use feitian_base::clock;
use feitian_wire::ots::messages::PrimaryKeyType;
use feitian_wire::ots::{KeyColumn, KeyValue, Row, encode_key};
use indicatif::ProgressBar;
use serde::Serialize;
use serde_json::{Value, json};

use super::{item, sql};
use crate::cli::{ClientArgs, OtsExportArgs};
use crate::failure::{Answer, Result};
use crate::ots_client::OtsClient;
use crate::output::{self, Field, Shown, field};
use files::{Stage, Written};
use records::Records;
use source::Source;

const FIELDS: [Field; 6] = [
    field("directory", "DIRECTORY", Shown::Text),
    field("rows", "ROWS", Shown::Number),
    field("cells", "CELLS", Shown::Number),
    field("files", "FILES", Shown::Number),
    field("bytes", "BYTES", Shown::Number),
    field("read_units", "READ UNITS", Shown::Number),
];

/// What was done.
#[derive(Serialize)]
struct Exported {
    directory: String,
    rows: u64,
    cells: u64,
    files: usize,
    bytes: u64,
    read_units: u64,
}

/// A column of the table's key.
pub(super) struct KeyPart {
    pub name: String,
    pub kind: PrimaryKeyType,
}

pub(super) fn run(args: &OtsExportArgs, client: &ClientArgs, out: &mut dyn Write) -> Result<Answer> {
    let begun_ms = clock::now_ms();
    let connected = OtsClient::connect(client, args.ots_endpoint.as_deref(), &args.instance)?;
    let source = Source::open(connected, &args.table, args.versions)?;
    let (from, from_shown) = bound(args.from_key.as_deref(), &source, &KeyValue::InfMin)?;
    let (to, to_shown) = bound(args.to_key.as_deref(), &source, &KeyValue::InfMax)?;
    let mut about = source.described();
    about["format"] = json!(1);
    about["instance"] = json!(args.instance);
    about["versions"] = json!(args.versions);
    about["from_key"] = from_shown;
    about["to_key"] = to_shown;
    let records = Records::new(source.key());
    let stage = Stage::begin(&args.to, records.schema(), &about)?;
    let mut copy = Copying::new(records, stage);
    let read = source.read(encode_key(&from), &encode_key(&to), &mut |row| copy.row(&row));
    copy.spinner.finish_and_clear();
    read?;
    source.check_same()?;
    let (rows, cells) = (copy.rows, copy.cells);
    let (directory, files) = copy.finish(|files| {
        about["rows"] = json!(rows);
        about["cells"] = json!(cells);
        about["begun"] = json!(output::time(begun_ms));
        about["ended"] = json!(output::time(clock::now_ms()));
        about["files"] = json!(files);
        about
    })?;
    let exported = Exported {
        directory: directory.display().to_string(),
        rows,
        cells,
        files: files.len(),
        bytes: files.iter().map(|file| file.bytes).sum(),
        read_units: source.units(),
    };
    output::object(out, client.format(), &FIELDS, &item(&exported))?;
    Ok(Answer::Done)
}

/// A bound of the range, and as it was given; without one all columns of the key are `open`.
fn bound(text: Option<&str>, source: &Source, open: &KeyValue) -> Result<(Vec<KeyColumn>, Value)> {
    match text {
        Some(text) => bounds::parse(text, source.key()),
        None => {
            let column = |part: &KeyPart| KeyColumn { name: part.name.clone(), value: open.clone() };
            Ok((source.key().iter().map(column).collect(), Value::Null))
        }
    }
}

/// Rows on their way into the files.
struct Copying {
    records: Records,
    stage: Stage,
    spinner: ProgressBar,
    rows: u64,
    cells: u64,
    /// The key of the last row: a wide one comes in pieces.
    last: Vec<KeyColumn>,
}

impl Copying {
    fn new(records: Records, stage: Stage) -> Self {
        let spinner = if std::io::stderr().is_terminal() { sql::spinner() } else { ProgressBar::hidden() };
        Self { records, stage, spinner, rows: 0, cells: 0, last: Vec::new() }
    }

    fn row(&mut self, row: &Row) -> Result<()> {
        if row.key != self.last {
            self.rows += 1;
            self.last.clone_from(&row.key);
        }
        if row.cells.is_empty() {
            self.records.add(&row.key, None)?;
        }
        for cell in &row.cells {
            self.records.add(&row.key, Some(cell))?;
            self.cells += 1;
            if self.records.is_full() {
                self.stage.write(&self.records.take()?)?;
            }
        }
        if self.records.is_full() {
            self.stage.write(&self.records.take()?)?;
        }
        if self.rows.is_multiple_of(1000) {
            self.spinner.set_message(format!("{} rows", self.rows));
        }
        Ok(())
    }

    fn finish(mut self, about: impl FnOnce(&[Written]) -> Value) -> Result<(PathBuf, Vec<Written>)> {
        let rest = self.records.take()?;
        self.stage.write(&rest)?;
        self.stage.finish(about)
    }
}
