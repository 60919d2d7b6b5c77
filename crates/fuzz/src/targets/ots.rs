//! Parsers of the table store's bytes.

use std::fmt::Debug;

use feitian_base::Error;
use feitian_wire::ots::filter::encode_filter;
use feitian_wire::ots::messages::{
    BatchGetRowRequest, BatchWriteRowRequest, CreateTableRequest, GetRangeRequest, GetRowRequest, PutRowRequest,
    Request, SqlQueryRequest, UpdateTableRequest, decode, encode,
};
use feitian_wire::ots::plain::{decode_rows, decode_stream_row, decode_value, encode_stream_row, encode_value};
use feitian_wire::ots::sign::{Authorization, string_to_sign};
use feitian_wire::ots::{
    Cell, CellOp, Compare, Filter, KeyColumn, KeyValue, Row, Sequence, Transfer, Value, decode_filter, decode_key,
    decode_row, encode_key, encode_row, encode_rows,
};

use super::{Target, magnitude, shape};

/// A row with everything that rows have.
fn row() -> Row {
    let column = |name: &str, value| KeyColumn { name: name.to_string(), value };
    let cell = |name: &str, value, op, version| Cell { name: name.to_string(), value, op, version };
    Row {
        key: vec![
            column("a", KeyValue::Int(-1)),
            column("b", KeyValue::Str("飞天".to_string())),
            column("c", KeyValue::Bin(vec![0, 255])),
            column("d", KeyValue::InfMin),
            column("e", KeyValue::InfMax),
            column("f", KeyValue::Auto),
        ],
        cells: vec![
            cell("i", Some(Value::Int(i64::MIN)), Some(CellOp::Increment), None),
            cell("d", Some(Value::Double(1.5)), None, Some(1_700_000_000_000)),
            cell("b", Some(Value::Bool(true)), None, None),
            cell("s", Some(Value::Str("x".to_string())), None, None),
            cell("x", Some(Value::Bin(vec![7; 9])), None, None),
            cell("o", None, Some(CellOp::DeleteOne), Some(1)),
            cell("l", None, Some(CellOp::DeleteAll), None),
        ],
        deleted: true,
    }
}

/// `input` with the checksums that belong to it, as far as it has the form of rows. Without them nothing behind the first
/// damage would ever be read.
fn summed(input: &[u8]) -> Vec<u8> {
    let mut out = input.to_vec();
    let (mut at, mut row, mut deleted) = (4, 0, false);
    while let Some(tag) = out.get(at).copied() {
        at += 1;
        match tag {
            0x03 => match sum_cell(&mut out, at) {
                Some((end, sum)) => (at, row) = (end, crc8(row, &[sum])),
                None => break,
            },
            0x08 => deleted = true,
            // Two tags with a length each, two numbers of 32 bits and one of 64 behind theirs.
            0x0b => at += 4 + 5 + 5 + 9 + 5,
            0x09 => {
                let Some(sum) = out.get_mut(at) else { break };
                *sum = crc8(row, &[u8::from(deleted)]);
                (at, row, deleted) = (at + 1, 0, false);
            }
            _ => {}
        }
    }
    out
}

/// Mends the checksum of the cell whose name begins at `at`; where it ends and the checksum.
fn sum_cell(out: &mut [u8], at: usize) -> Option<(usize, u8)> {
    let (mut covered, mut at) = sized(out, at)?;
    if out.get(at) == Some(&0x05) {
        let (value, end) = sized(out, at)?;
        covered.extend(value);
        at = end;
    }
    let mut op = None;
    if out.get(at) == Some(&0x06) {
        op = Some(*out.get(at + 1)?);
        at += 2;
    }
    if out.get(at) == Some(&0x07) {
        covered.extend(out.get(at + 1..at + 9)?);
        at += 9;
    }
    covered.extend(op);
    let sum = crc8(0, &covered);
    *out.get_mut(at + 1)? = sum;
    Some((at + 2, sum))
}

/// The bytes whose length stands behind the tag at `at`, and where they end.
fn sized(bytes: &[u8], at: usize) -> Option<(Vec<u8>, usize)> {
    let length = u32::from_le_bytes(*bytes.get(at + 1..)?.first_chunk::<4>()?);
    let end = (at + 5).checked_add(length as usize)?;
    Some((bytes.get(at + 5..end)?.to_vec(), end))
}

/// The checksum from its definition, bit by bit.
fn crc8(crc: u8, bytes: &[u8]) -> u8 {
    let step = |crc: u8, _| if crc & 0x80 == 0 { crc << 1 } else { (crc << 1) ^ 0x07 };
    bytes.iter().fold(crc, |crc, byte| (0..8).fold(crc ^ byte, step))
}

/// Promise: a row that is accepted can be written again and read again as the same row; checksums that another program
/// computes are accepted.
pub const PLAIN_BUFFER: Target = Target {
    name: "ots-rows",
    seeds: || {
        let sequence = Sequence { epoch: 1, timestamp_us: 2, row_index: 3 };
        assert_eq!(summed(&encode_row(&row())), encode_row(&row()), "checksums are computed in another way");
        let parts = [Row { cells: vec![], ..row() }, Row { key: vec![], ..row() }, Row::default()];
        let rows = parts.iter().chain([&row()]).map(encode_row).collect::<Vec<_>>();
        let others = [
            encode_rows(&[row(), row()]),
            encode_key(&row().key),
            encode_stream_row(&row(), sequence),
            encode_value(&Value::Str("x".to_string())),
        ];
        rows.into_iter().chain(others).collect()
    },
    words: &[b"\x75\x00\x00\x00", b"\x01\x03\x04", b"\x02\x03\x04", b"\x05\x09\x00\x00\x00\x00", b"\x09\x00", b"\x0a"],
    stack_bytes: super::NETWORK_STACK,
    run: |input| {
        let word = |result: Result<&str, Error>| result.map_or_else(|e| shape(e.message()), str::to_string);
        let damaged = word(decode_row(input).map(|_| "row"));
        let value = word(decode_value(input).map(|value| value.type_name()));
        let input = &summed(input);
        let one = decode_row(input).map(|row| {
            let again = decode_row(&encode_row(&row)).expect("what was accepted is well formed");
            assert_eq!(again, row, "a row changes when it is written and read again");
            format!("{} columns, {} cells", row.key.len().min(8), magnitude(row.cells.len() as u64))
        });
        let many = decode_rows(input).map(|rows| {
            let again = decode_rows(&encode_rows(&rows)).expect("what was accepted is well formed");
            assert_eq!(again, rows, "rows change when they are written and read again");
            format!("{} rows", magnitude(rows.len() as u64))
        });
        [
            damaged,
            one.unwrap_or_else(|e| shape(e.message())),
            many.unwrap_or_else(|e| shape(e.message())),
            word(decode_key(input).map(|_| "key")),
            word(decode_stream_row(input).map(|(_, sequence)| if sequence.is_some() { "record" } else { "row" })),
            value,
        ]
        .join("|")
    },
};

/// What a request of one kind makes of `input`.
fn request<M: Request + PartialEq + Debug>(input: &[u8]) -> String {
    match decode::<M>(input) {
        Ok(message) => {
            let again = decode::<M>(&encode(&message)).expect("what was accepted is well formed");
            assert_eq!(again, message, "a message changes when it is written and read again");
            "message".to_string()
        }
        Err(error) => shape(error.message()),
    }
}

/// Promise: a message that is accepted can be written again and read again as the same message.
pub const REQUESTS: Target = Target {
    name: "ots-requests",
    seeds: || {
        let (table_name, primary_key) = ("t".to_string(), encode_key(&row().key));
        let put = PutRowRequest { table_name: table_name.clone(), row: encode_row(&row()), ..Default::default() };
        vec![
            encode(&put),
            encode(&GetRowRequest { table_name, primary_key, max_versions: Some(1), ..Default::default() }),
            encode(&CreateTableRequest::default()),
            encode(&UpdateTableRequest::default()),
            encode(&GetRangeRequest::default()),
            encode(&SqlQueryRequest { query: "select 1".to_string(), ..Default::default() }),
            // A batch of one table with one row.
            b"\x0a\x0d\x0a\x01t\x12\x08\x08\x01\x12\x00\x1a\x02\x08\x00".to_vec(),
            b"\x0a\x07\x0a\x01t\x12\x00\x12\x00".to_vec(),
        ]
    },
    words: &[b"\x0a\x00", b"\x12\x00", b"\x1a\x02\x08\x00", b"\x08\x01", b"\x22\x00", b"\x28\x01", b"\x0b", b"\x0c"],
    stack_bytes: super::NETWORK_STACK,
    run: |input| {
        [
            request::<PutRowRequest>(input),
            request::<GetRowRequest>(input),
            request::<GetRangeRequest>(input),
            request::<BatchGetRowRequest>(input),
            request::<BatchWriteRowRequest>(input),
            request::<CreateTableRequest>(input),
            request::<UpdateTableRequest>(input),
            request::<SqlQueryRequest>(input),
        ]
        .join("|")
    },
};

/// Promise: a filter that is accepted can be written again and read again as the same filter.
pub const FILTERS: Target = Target {
    name: "ots-filters",
    seeds: || {
        let compare = |op, transfer| Filter::Compare {
            op,
            column: "age".to_string(),
            value: Value::Int(5),
            pass_if_missing: false,
            latest_only: true,
            transfer,
        };
        let rule = Transfer { regex: "(a)".to_string(), cast: feitian_wire::ots::Cast::Int };
        let two = vec![compare(Compare::Equal, None), compare(Compare::LessThan, Some(rule))];
        let page = Filter::Page { offset: 1, limit: 2 };
        let or = Filter::Or(vec![Filter::And(two.clone()), Filter::Not(Box::new(page.clone()))]);
        two.iter().chain([&page, &or]).map(encode_filter).collect()
    },
    words: &[b"\x08\x01", b"\x08\x02\x12", b"\x08\x03", b"\x12\x00", b"\x1a\x09\x00", b"\x20\x01", b"\x28\x01"],
    stack_bytes: super::NETWORK_STACK,
    run: |input| match decode_filter(input) {
        Ok(filter) => {
            let again = decode_filter(&encode_filter(&filter)).expect("what was accepted is well formed");
            assert_eq!(again, filter, "a filter changes when it is written and read again");
            "filter".to_string()
        }
        Err(error) => shape(error.message()),
    },
};

/// Promise: nothing that was not made with the secret is accepted.
pub const SIGNATURES: Target = Target {
    name: "ots-headers",
    seeds: || {
        let v2 = "x-ots-date:2024-01-02T03:04:05.000Z\nx-ots-apiversion:2015-12-31\nx-ots-accesskeyid:ak\n\
                  x-ots-instancename:inst\nx-ots-contentmd5:1B2M2Y8AsgTpgAmY7PhCfg==\nx-ots-signature:eQciA6Z3eIw=";
        let v4 = format!("{v2}\nx-ots-signdate:20240102\nx-ots-signregion:r\nx-ots-signaturev4:eQciA6Z3eIw=");
        vec![v2.as_bytes().to_vec(), v4.into_bytes()]
    },
    words: &[b"x-ots-", b":", b"\n", b" ", b"T00:00:00.000Z", b"x-ots-signaturev4:", b"+08:00"],
    stack_bytes: super::NETWORK_STACK,
    run: |input| {
        let text = String::from_utf8_lossy(input);
        let headers: Vec<(&str, &str)> = text.lines().filter_map(|line| line.split_once(':')).collect();
        let to_sign = string_to_sign("GetRow", headers.iter().copied());
        let found = Authorization::of_headers(headers.iter().copied());
        let word = found.map_or_else(
            |e| shape(e.message()),
            |found| {
                assert!(!found.verify("secret", &to_sign), "a signature was guessed");
                let date = found.check_date(1_704_164_645_000).map_or_else(|e| e.code().to_string(), |()| "now".into());
                let body = found.check_body(b"").map_or_else(|e| e.code().to_string(), |()| "body".into());
                format!("{date} {body}")
            },
        );
        format!("{word}|{}", magnitude(to_sign.len() as u64))
    },
};
