//! A client of the table store over one connection, as cheap as one can be. It retries nothing.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::ops::Range;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use feitian_wire::ots::filter::encode_filter;
use feitian_wire::ots::messages::{
    self, BatchWriteRowRequest, BatchWriteRowResponse, CapacityUnit, Condition, CreateTableRequest, DeleteTableRequest,
    Direction, GetRangeRequest, GetRangeResponse, GetRowRequest, GetRowResponse, OperationType, PrimaryKeySchema,
    PrimaryKeyType, PutRowRequest, ReservedThroughput, RowExistenceExpectation, RowInBatchWriteRowRequest,
    TableInBatchWriteRowRequest, TableMeta, TableOptions, UpdateRowRequest, UpdateTableRequest,
};
use feitian_wire::ots::sign::sign_request;
use feitian_wire::ots::{Cell, Compare, Filter, KeyColumn, KeyValue, Row, Value, decode_row, encode_key, encode_row};

use crate::load::{Random, Target, VALUE_BYTES};

/// Rows of one batch: the most that the service takes.
const BATCH_ROWS: u64 = 200;
/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(120);
/// The most bytes of an answer that is believed.
const ANSWER_BYTES: usize = 64 << 20;

/// Whose tables, and where.
#[derive(Clone)]
pub struct Login {
    pub port: u16,
    pub access_id: String,
    pub secret: String,
    pub instance: String,
}

/// One connection, and the table that [`Target`] means. Its rows have the key `id`, a number `n` and a value `v`.
pub struct Ots {
    stream: BufReader<TcpStream>,
    login: Login,
    table: String,
    /// How far back the versions of what is put lie, and how far they are spread before that; otherwise none are given.
    age: Option<(Duration, Duration)>,
}

/// How versions of a table are kept.
#[derive(Debug, Clone, Copy)]
pub struct Keeping {
    pub ttl_seconds: i32,
    pub max_versions: i32,
}

impl Keeping {
    /// The newest version for ever.
    pub const ONE: Self = Self { ttl_seconds: -1, max_versions: 1 };
}

impl Ots {
    pub fn connect(login: &Login, table: &str) -> Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", login.port)).context("connect to the table store")?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER))?;
        Ok(Self { stream: BufReader::new(stream), login: login.clone(), table: table.into(), age: None })
    }

    /// Dates what is put so far into the past, and up to `spread` before that.
    pub fn aged(mut self, age: Duration, spread: Duration) -> Self {
        self.age = Some((age, spread));
        self
    }

    /// Sends a request and returns the body of its success.
    pub fn ask(&mut self, operation: &str, body: &[u8]) -> Result<Vec<u8>> {
        let login = &self.login;
        let now_ms = chrono::Utc::now().timestamp_millis();
        let headers = sign_request((&login.access_id, &login.secret), &login.instance, operation, body, now_ms);
        let mut request = Vec::with_capacity(512 + body.len());
        write!(request, "POST /{operation} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {}\r\n", body.len())?;
        for (name, value) in headers {
            write!(request, "{name}: {value}\r\n")?;
        }
        request.extend_from_slice(b"\r\n");
        request.extend_from_slice(body);
        self.stream.get_mut().write_all(&request)?;
        let (status, answer) = self.answer()?;
        if (200..300).contains(&status) {
            return Ok(answer);
        }
        let error = messages::decode_answer(&answer).map_err(|e| anyhow!("{operation}: {status}: {e}"))?;
        let messages::Error { code, message } = error;
        bail!("{operation}: {status} {code}: {}", message.unwrap_or_default())
    }

    /// Status and body of an HTTP/1.1 answer with a length.
    fn answer(&mut self) -> Result<(u16, Vec<u8>)> {
        let mut line = String::new();
        let (mut status, mut length) = (None, None);
        loop {
            line.clear();
            ensure!(self.stream.read_line(&mut line)? > 0, "the server closed the connection");
            let text = line.trim_end();
            if text.is_empty() {
                break;
            } else if let Some(rest) = text.strip_prefix("HTTP/1.1 ") {
                status = rest.split(' ').next().and_then(|code| code.parse().ok());
            } else if let Some((name, value)) = text.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse::<usize>().ok();
            }
        }
        let (status, length) = (status.context("no status")?, length.context("no length")?);
        ensure!(length <= ANSWER_BYTES, "an answer of {length} bytes");
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok((status, body))
    }

    /// Makes the table.
    pub fn create(&mut self, keeping: Keeping) -> Result<()> {
        let kind = PrimaryKeyType::Integer as i32;
        let key = PrimaryKeySchema { name: "id".into(), r#type: kind, option: None };
        let request = CreateTableRequest {
            table_meta: TableMeta { table_name: self.table.clone(), primary_key: vec![key], ..TableMeta::default() },
            reserved_throughput: ReservedThroughput { capacity_unit: CapacityUnit { read: Some(0), write: Some(0) } },
            table_options: Some(TableOptions {
                time_to_live: Some(keeping.ttl_seconds),
                max_versions: Some(keeping.max_versions),
                deviation_cell_version_in_sec: Some(10 * 86_400),
                ..TableOptions::default()
            }),
            ..CreateTableRequest::default()
        };
        self.ask("CreateTable", &messages::encode(&request)).map(|_| ())
    }

    /// Changes how many versions the table keeps.
    pub fn keep_versions(&mut self, max_versions: i32) -> Result<()> {
        let request = UpdateTableRequest {
            table_name: self.table.clone(),
            table_options: Some(TableOptions { max_versions: Some(max_versions), ..TableOptions::default() }),
            ..UpdateTableRequest::default()
        };
        self.ask("UpdateTable", &messages::encode(&request)).map(|_| ())
    }

    /// Drops the table.
    pub fn drop_table(&mut self) -> Result<()> {
        let request = DeleteTableRequest { table_name: self.table.clone() };
        self.ask("DeleteTable", &messages::encode(&request)).map(|_| ())
    }

    fn row(&self, id: u64, value: &[u8]) -> Result<Vec<u8>> {
        let version = match self.age {
            Some((age, spread)) => {
                let back_ms = age.as_millis() + spread.as_millis() * u128::from(id % 100) / 100;
                Some(chrono::Utc::now().timestamp_millis() - i64::try_from(back_ms)?)
            }
            None => None,
        };
        let cell = |name: &str, value| Cell { name: name.into(), value: Some(value), op: None, version };
        let cells = vec![cell("n", Value::Int(0)), cell("v", Value::Bin(value.to_vec()))];
        Ok(encode_row(&Row { key: key(id)?, cells, deleted: false }))
    }
}

fn key(id: u64) -> Result<Vec<KeyColumn>> {
    Ok(vec![KeyColumn { name: "id".into(), value: KeyValue::Int(i64::try_from(id)?) }])
}

fn condition(existence: RowExistenceExpectation, filter: Option<&Filter>) -> Condition {
    Condition { row_existence: existence as i32, column_condition: filter.map(encode_filter) }
}

impl Target for Ots {
    fn get(&mut self, id: u64) -> Result<()> {
        let request = GetRowRequest {
            table_name: self.table.clone(),
            primary_key: encode_key(&key(id)?),
            max_versions: Some(1),
            ..GetRowRequest::default()
        };
        let answer = self.ask("GetRow", &messages::encode(&request))?;
        let answer: GetRowResponse = messages::decode_answer(&answer)?;
        // What has expired is not there; its read was one all the same.
        if self.age.is_none() {
            let row = decode_row(&answer.row)?;
            let bytes = row.cells.iter().filter_map(|cell| cell.value.as_ref()).map(Value::size).sum::<usize>();
            ensure!(bytes == VALUE_BYTES + 8, "the row {id} has {bytes} bytes");
        }
        Ok(())
    }

    fn put(&mut self, id: u64, value: &[u8]) -> Result<()> {
        let request = PutRowRequest {
            table_name: self.table.clone(),
            row: self.row(id, value)?,
            condition: condition(RowExistenceExpectation::Ignore, None),
            ..PutRowRequest::default()
        };
        // More than one version of a row comes of updates: a put replaces all.
        if self.age.is_some() {
            let request = UpdateRowRequest {
                table_name: request.table_name,
                row_change: request.row,
                condition: request.condition,
                ..UpdateRowRequest::default()
            };
            return self.ask("UpdateRow", &messages::encode(&request)).map(|_| ());
        }
        self.ask("PutRow", &messages::encode(&request)).map(|_| ())
    }

    fn change(&mut self, id: u64, value: &[u8]) -> Result<()> {
        let holds = Filter::Compare {
            op: Compare::GreaterEqual,
            column: "n".into(),
            value: Value::Int(0),
            pass_if_missing: false,
            latest_only: true,
            transfer: None,
        };
        let request = UpdateRowRequest {
            table_name: self.table.clone(),
            row_change: self.row(id, value)?,
            condition: condition(RowExistenceExpectation::ExpectExist, Some(&holds)),
            ..UpdateRowRequest::default()
        };
        self.ask("UpdateRow", &messages::encode(&request)).map(|_| ())
    }

    fn scan(&mut self, from: u64, rows: u32) -> Result<()> {
        let (mut start, end) = (encode_key(&key(from)?), encode_key(&key(from + u64::from(rows))?));
        let mut bytes = 0;
        loop {
            let request = GetRangeRequest {
                table_name: self.table.clone(),
                direction: Direction::Forward as i32,
                max_versions: Some(1),
                inclusive_start_primary_key: start,
                exclusive_end_primary_key: end.clone(),
                ..GetRangeRequest::default()
            };
            let answer = self.ask("GetRange", &messages::encode(&request))?;
            let answer: GetRangeResponse = messages::decode_answer(&answer)?;
            bytes += answer.rows.len();
            match answer.next_start_primary_key {
                Some(next) => start = next,
                None => break,
            }
        }
        let least = rows as usize * VALUE_BYTES;
        ensure!(bytes > least, "a scan of {rows} rows has {bytes} bytes, fewer than {least}");
        Ok(())
    }

    fn fill(&mut self, ids: Range<u64>, random: &mut Random) -> Result<()> {
        let mut value = vec![0; VALUE_BYTES];
        for first in ids.clone().step_by(BATCH_ROWS as usize) {
            let mut rows = Vec::new();
            for id in first..(first + BATCH_ROWS).min(ids.end) {
                random.fill(&mut value);
                rows.push(RowInBatchWriteRowRequest {
                    r#type: OperationType::Put as i32,
                    row_change: self.row(id, &value)?,
                    condition: condition(RowExistenceExpectation::Ignore, None),
                    return_content: None,
                });
            }
            let tables = vec![TableInBatchWriteRowRequest { table_name: self.table.clone(), rows }];
            let request = BatchWriteRowRequest { tables, ..BatchWriteRowRequest::default() };
            let answer = self.ask("BatchWriteRow", &messages::encode(&request))?;
            let answer: BatchWriteRowResponse = messages::decode_answer(&answer)?;
            let failed = answer.tables.iter().flat_map(|table| &table.rows).find(|row| !row.is_ok);
            ensure!(failed.is_none(), "a row of a batch failed: {failed:?}");
        }
        Ok(())
    }
}
