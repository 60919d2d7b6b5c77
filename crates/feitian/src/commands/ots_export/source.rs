//! Where an export reads: the protocol of the table store, page by page; rows that are too wide for a page in pieces.

use std::cell::Cell as Counter;

use feitian_wire::ots::messages::{
    self, DefinedColumnType, DescribeTableRequest, DescribeTableResponse, Direction, GetRangeRequest, GetRangeResponse,
    GetRowRequest, GetRowResponse,
};
use feitian_wire::ots::plain::decode_rows;
use feitian_wire::ots::{KeyColumn, Row, encode_key};
use serde_json::{Value, json};

use super::KeyPart;
use super::records::key_type;
use super::span::Span;
use crate::failure::{Failure, Result};
use crate::ots_client::{OtsClient, Trouble};

/// The most rows of one page, which nobody needs to ask for.
const PAGE_ROWS: i32 = 5000;
/// A page that a wide row spoils is asked for again with so many times fewer rows.
const FEWER: i32 = 8;

/// A table that is read.
pub(super) struct Source {
    client: OtsClient,
    table: String,
    key: Vec<KeyPart>,
    described: DescribeTableResponse,
    max_versions: i32,
    units: Counter<u64>,
}

impl Source {
    /// Asks what the table is.
    pub(super) fn open(client: OtsClient, table: &str, with_versions: bool) -> Result<Self> {
        let described = describe(&client, table)?;
        let part = |key: &messages::PrimaryKeySchema| KeyPart { name: key.name.clone(), kind: key.r#type() };
        let key: Vec<KeyPart> = described.table_meta.primary_key.iter().map(part).collect();
        if key.is_empty() {
            return Err(Failure::new(format!("the table store describes {table} without a key")));
        }
        let max_versions = if with_versions { i32::MAX } else { 1 };
        Ok(Self { client, table: table.to_string(), key, described, max_versions, units: Counter::new(0) })
    }

    /// Refuses a copy of two tables: rows may be those of one that was made under the name meanwhile.
    pub(super) fn check_same(&self) -> Result<()> {
        let now = describe(&self.client, &self.table)?;
        let same_key = now.table_meta.primary_key == self.described.table_meta.primary_key;
        if same_key && now.creation_time == self.described.creation_time {
            return Ok(());
        }
        Err(Failure::new(format!("the table {} was made again while it was read", self.table)).hint("export it again"))
    }

    pub(super) fn key(&self) -> &[KeyPart] {
        &self.key
    }

    /// Read units that were used.
    pub(super) fn units(&self) -> u64 {
        self.units.get()
    }

    /// What the table was when it was asked.
    pub(super) fn described(&self) -> Value {
        let defined = |column: &messages::DefinedColumnSchema| {
            let kind = match column.r#type() {
                DefinedColumnType::Integer => "INTEGER",
                DefinedColumnType::Double => "DOUBLE",
                DefinedColumnType::Boolean => "BOOLEAN",
                DefinedColumnType::String => "STRING",
                DefinedColumnType::Blob => "BINARY",
            };
            json!({"name": column.name, "type": kind})
        };
        let key = |key: &messages::PrimaryKeySchema| {
            let kind = key_type(key.r#type());
            json!({"name": key.name, "type": kind, "auto_increment": key.option.is_some()})
        };
        let meta = &self.described.table_meta;
        json!({
            "table": self.table,
            "key": meta.primary_key.iter().map(key).collect::<Vec<_>>(),
            "defined_columns": meta.defined_column.iter().map(defined).collect::<Vec<_>>(),
            "max_versions": self.described.table_options.max_versions,
            "time_to_live": self.described.table_options.time_to_live,
        })
    }

    /// Reads the rows from one key, with it, to another one, without it, in their order. A row that is too wide for one
    /// answer is taken in pieces that follow each other.
    pub(super) fn read(&self, from: Vec<u8>, to: &[u8], take: &mut dyn FnMut(Row) -> Result<()>) -> Result<()> {
        let (mut begin, mut limit) = (from, None);
        loop {
            let next = match self.page(&begin, to, limit, Vec::new()) {
                Ok(page) => {
                    limit = limit.map(|rows: i32| rows.saturating_mul(2)).filter(|rows| *rows < PAGE_ROWS);
                    for row in decode_rows(&page.rows)? {
                        take(row)?;
                    }
                    page.next_start_primary_key
                }
                Err(trouble) if is_too_large(&trouble) && limit == Some(1) => self.wide_row(&begin, to, take)?,
                Err(trouble) if is_too_large(&trouble) => {
                    limit = Some((limit.unwrap_or(PAGE_ROWS) / FEWER).max(1));
                    continue;
                }
                Err(trouble) => return Err(trouble.into()),
            };
            match next {
                Some(next) => begin = next,
                None => return Ok(()),
            }
        }
    }

    fn page(
        &self,
        begin: &[u8],
        to: &[u8],
        limit: Option<i32>,
        columns: Vec<String>,
    ) -> Result<GetRangeResponse, Trouble> {
        let request = GetRangeRequest {
            table_name: self.table.clone(),
            direction: Direction::Forward as i32,
            columns_to_get: columns,
            max_versions: Some(self.max_versions),
            limit,
            inclusive_start_primary_key: begin.to_vec(),
            exclusive_end_primary_key: to.to_vec(),
            ..GetRangeRequest::default()
        };
        let answer = self.client.read("GetRange", &messages::encode(&request))?;
        let page: GetRangeResponse = messages::decode_answer(&answer).map_err(|e| Trouble::Strange(e.into()))?;
        self.count(page.consumed.capacity_unit.read);
        Ok(page)
    }

    /// Reads the first row of a range piece by piece; the answer is where the next row begins. Asked for a column of
    /// the key alone, the page has the key and no cell.
    fn wide_row(&self, begin: &[u8], to: &[u8], take: &mut dyn FnMut(Row) -> Result<()>) -> Result<Option<Vec<u8>>> {
        let page = self.page(begin, to, Some(1), vec![self.key[0].name.clone()])?;
        for row in decode_rows(&page.rows)? {
            self.pieces(row.key, take)?;
        }
        Ok(page.next_start_primary_key)
    }

    fn pieces(&self, key: Vec<KeyColumn>, take: &mut dyn FnMut(Row) -> Result<()>) -> Result<()> {
        let encoded = encode_key(&key);
        let (mut left, mut is_there, mut has_cells) = (vec![Span::all()], false, false);
        while let Some(span) = left.pop() {
            match self.cells(&encoded, &span) {
                Ok(None) => {}
                Ok(Some(row)) => {
                    is_there = true;
                    if !row.cells.is_empty() {
                        has_cells = true;
                        take(row)?;
                    }
                }
                Err(trouble) if is_too_large(&trouble) => match span.halves() {
                    Some((first, second)) => left.extend([second, first]),
                    None => {
                        let what = format!("column {:?} of the row {key:?}", span.from);
                        return Err(Failure::from(trouble).context(what));
                    }
                },
                Err(trouble) => return Err(trouble.into()),
            }
        }
        if is_there && !has_cells {
            take(Row { key, ..Row::default() })?;
        }
        Ok(())
    }

    /// The columns of a row whose names are in a span; `None` without the row.
    fn cells(&self, key: &[u8], span: &Span) -> Result<Option<Row>, Trouble> {
        let request = GetRowRequest {
            table_name: self.table.clone(),
            primary_key: key.to_vec(),
            max_versions: Some(self.max_versions),
            start_column: Some(span.from.clone()).filter(|from| !from.is_empty()),
            end_column: span.to.clone(),
            ..GetRowRequest::default()
        };
        let answer = self.client.read("GetRow", &messages::encode(&request))?;
        let strange = |e: feitian_base::Error| Trouble::Strange(e.into());
        let got: GetRowResponse = messages::decode_answer(&answer).map_err(strange)?;
        self.count(got.consumed.capacity_unit.read);
        Ok(decode_rows(&got.row).map_err(strange)?.into_iter().next())
    }

    fn count(&self, units: Option<i32>) {
        self.units.set(self.units.get() + u64::from(units.unwrap_or(0).unsigned_abs()));
    }
}

fn describe(client: &OtsClient, table: &str) -> Result<DescribeTableResponse> {
    let request = DescribeTableRequest { table_name: table.to_string() };
    let answer = client.read("DescribeTable", &messages::encode(&request))?;
    Ok(messages::decode_answer(&answer)?)
}

/// What the table store says of an answer with a row that is too wide for it.
fn is_too_large(trouble: &Trouble) -> bool {
    matches!(trouble, Trouble::Refused { code, message, .. }
        if code == "OTSParameterInvalid" && message.starts_with("The answer is too large"))
}
