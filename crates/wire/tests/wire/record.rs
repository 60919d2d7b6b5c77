//! The record stream.

use std::io::Read;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampNanosecondType};
use arrow_select::concat::concat_batches;
use feitian_base::Result;
use feitian_types::Column;
use feitian_types::arrow::engine_schema;
use feitian_wire::Limits;
use feitian_wire::record::{Decoder, Encoder};
use proptest::prelude::*;

use crate::gen_data::{Value, any_batch, batch};
use crate::{Trickle, broken, columns, hex, rows};

fn encode(columns: &[Column], batches: &[RecordBatch], metrics: Option<&str>) -> Vec<u8> {
    let (mut encoder, mut out) = (Encoder::new(columns), vec![]);
    for batch in batches {
        encoder.encode_batch(batch, &mut out).unwrap();
    }
    encoder.finish(metrics, &mut out);
    out
}

fn decode_from(columns: &[Column], reader: impl Read, limits: Limits) -> Result<Vec<RecordBatch>> {
    Decoder::new(columns, reader, limits).collect()
}

fn decode(columns: &[Column], bytes: &[u8]) -> Result<Vec<RecordBatch>> {
    decode_from(columns, bytes, Limits::default())
}

/// A stream of one record with the given fields, checksums computed bit by bit from the definition of CRC-32C.
fn stream(fields: &str, covered: &str) -> Vec<u8> {
    let crc = |bytes: &[u8]| {
        let step = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
        !bytes.iter().fold(!0u32, |crc, &b| (0..8).fold(crc ^ u32::from(b), step))
    };
    let varint = |mut v: u32| {
        let mut out = vec![];
        while v >= 0x80 {
            out.push(v as u8 | 0x80);
            v >>= 7;
        }
        out.push(v as u8);
        out
    };
    let record = crc(&hex(covered));
    let total = crc(&record.to_le_bytes());
    [hex(fields), hex("80c0ff7f"), varint(record), hex("f0ffff7f02f8ffff7f"), varint(total)].concat()
}

fn int(v: i64) -> Option<Value> {
    Some(Value::Int(v))
}

fn text(v: &str) -> Option<Value> {
    Some(Value::Text(v.into()))
}

// The vectors below were checked against both readers of PyODPS 0.13.2 and its Python writer.
#[test]
fn known_streams_are_written_byte_for_byte() {
    assert_eq!(encode(&columns(&["bigint"]), &[], None), hex("f0ffff7f 00 f8ffff7f 00"));
    let two = columns(&["string", "bigint"]);
    let rows = batch(&two, &[vec![text("a"), None], vec![int(1), int(-5)]]);
    let want = "0a0161 1002 80c0ff7f 9ebadba309 1009 80c0ff7f 9dccc5e60a f0ffff7f 04 f8ffff7f c1d6809b0c";
    assert_eq!(encode(&two, std::slice::from_ref(&rows), None), hex(want));
    // The C writer of the released wheels sends checksums with their sign extended to 64 bits.
    let wide = "0a0161 1002 80c0ff7f 9ebadba3f9ffffffff01 1009 80c0ff7f 9dccc5e6faffffffff01 f0ffff7f 04 f8ffff7f c1d6809bfcffffffff01";
    for stream in [want, wide] {
        assert_eq!(decode(&two, &hex(stream)).unwrap(), std::slice::from_ref(&rows));
    }
}

#[test]
fn known_fields_of_every_shape_are_written_byte_for_byte() {
    let types = [
        "boolean",
        "date",
        "timestamp_ntz",
        "array<bigint>",
        "map<string,bigint>",
        "struct<a:bigint,b:bigint>",
        "decimal(10,2)",
    ];
    let columns = columns(&types);
    let values = [
        Value::Bool(true),
        Value::Int(2),
        Value::Int(1_000_000_005),
        Value::List(vec![int(7), None]),
        Value::Map(vec![(Value::Text("k".into()), None)]),
        Value::Struct(vec![int(3), None]),
        Value::Wide(150),
    ];
    let rows = batch(&columns, &values.map(|v| vec![Some(v)]));
    let bytes = encode(&columns, std::slice::from_ref(&rows), None);
    let want = hex("0801 1004 1a020a 2202000e01 2a0100016b0101 32000601 3a04312e3530");
    assert_eq!(bytes[..want.len()], want);
    assert_eq!(decode(&columns, &bytes).unwrap(), [rows]);
}

#[test]
fn metrics_travel_in_the_footer() {
    let columns = columns(&["bigint"]);
    let metrics = r#"{"ServerTotalCost":100}"#;
    let bytes = encode(&columns, &[], Some(metrics));
    let mut decoder = Decoder::new(&columns, &bytes[..], Limits::default());
    assert!(decoder.next().is_none());
    assert_eq!(decoder.metrics(), Some(metrics));
    // The number of the field is free, its checksum is not: 0x0a is field 1 of type bytes, which the CRC covers.
    let mut other = bytes.clone();
    other[9] ^= 1;
    assert!(broken(&decode(&columns, &other).unwrap_err()).contains("footer"));
}

#[test]
fn char_is_padded_and_its_blanks_do_not_count() {
    let columns = columns(&["char(4)"]);
    let rows = batch(&columns, &[vec![text("中"), text("abcd"), text("abcdef  ")]]);
    let bytes = encode(&columns, &[rows.slice(0, 2)], None);
    let back = decode(&columns, &bytes).unwrap();
    let got: Vec<_> = back[0].column(0).as_string::<i32>().iter().flatten().collect();
    assert_eq!(got, ["中   ", "abcd"]);
    let e = decode(&columns, &encode(&columns, &[rows], None)).unwrap_err();
    assert_eq!(broken(&e), "row 2, column a: 6 characters do not fit char(4)");
}

/// Each with the reason a client gets. Field and checksum bytes follow the table of `odps/tunnel/io/reader.py`.
#[test]
fn values_that_do_not_fit_are_refused_by_row_and_column() {
    let one = "01000000";
    for (ty, value, covered, reason) in [
        ("tinyint", "08 8002", "8000000000000000", "128 is out of range for tinyint"),
        ("smallint", "08 ffff04", "", "-40960 is out of range for smallint"),
        ("boolean", "08 02", "02", "2 stands where 0 or 1 is expected"),
        ("string", "0a 01ff", "ff", "not UTF-8 from byte 0"),
        ("json", "0a 017b", "7b", "not JSON"),
        ("varchar(1)", "0a 026162", "6162", "2 characters do not fit varchar(1)"),
        ("decimal(3,2)", "0a 023130", "3130", "'10' does not fit decimal(3,2)"),
        ("decimal(3,2)", "0a 034e614e", "4e614e", "'NaN' is not a decimal"),
        ("date", "08 feffffff0f", "ffffff7f00000000", "outside the years 0000 to 9999"),
        ("datetime", "08 ffffffffffffffffff01", "0000000000000080", "outside the years 0000 to 9999"),
        ("timestamp", "0a 80e0f0e8bf03 00", "", "seconds are outside the years 1677 to 2262"),
        ("timestamp_ntz", "0a 00 80a8d6b907", "", "1000000000 nanoseconds are not less than a second"),
        ("map<bigint,bigint>", "0a 01 01", "", "a map has a NULL key"),
        ("map<bigint,bigint>", "0a 00 01", "", "a map has 0 keys and 1 values"),
    ] {
        let columns = columns(&[ty]);
        let e = decode(&columns, &stream(value, &format!("{one}{covered}"))).unwrap_err();
        let message = broken(&e);
        assert!(message.starts_with("row 0, column a: ") && message.contains(reason), "{ty}: {message}");
    }
}

#[test]
fn streams_that_are_not_whole_are_refused() {
    let two = columns(&["bigint", "string"]);
    let good = encode(&two, &[batch(&two, &[vec![int(1)], vec![text("x")]])], None);
    for (what, bytes, reason) in [
        ("nothing", vec![], "ends after 0 rows without its footer"),
        ("garbage at the end", [&good[..], &[0]].concat(), "more bytes follow"),
        ("a field twice", stream("0802 0802", ""), "row 0, column a: the record has this field twice"),
        ("an unknown field", stream("1802", ""), "row 0: field 3 does not belong to a record of 2 columns"),
        ("field 0", vec![0, 0], "row 0: field 0 does not belong"),
        ("another type", stream("0a0161", ""), "row 0, column a: wire type 2 is not that of bigint, 0"),
        ("a wrong sum", stream("0802", "00"), "row 0: its CRC-32C is"),
        ("a wrong count", hex("f0ffff7f 02 f8ffff7f 00"), "it counts 1 rows, but 0 came"),
        ("a footer inside a record", hex("0802 f0ffff7f 00"), "row 0: field 33554430 does not belong"),
        ("an endless varint", vec![0xff; 20], "a varint is longer than 64 bits"),
    ] {
        let e = decode(&two, &bytes).expect_err(what);
        assert!(broken(&e).contains(reason), "{what}: {e}");
    }
}

#[test]
fn not_null_columns_need_a_value() {
    let mut strict = columns(&["bigint", "bigint"]);
    strict[1].nullable = false;
    let loose = columns(&["bigint", "bigint"]);
    let rows = batch(&loose, &[vec![None, int(1)], vec![int(1), None]]);
    let e = decode(&strict, &encode(&loose, &[rows], None)).unwrap_err();
    assert_eq!(broken(&e), "row 1, column b: NULL is not allowed here");
}

#[test]
fn batches_end_at_the_limits() {
    let columns = columns(&["bigint", "string"]);
    let values = [(0..20_000).map(int).collect::<Vec<_>>(), vec![text("x"); 20_000]];
    let rows_in = batch(&columns, &values);
    let bytes = encode(&columns, std::slice::from_ref(&rows_in), None);
    let sizes = |limits: Limits| -> Vec<usize> {
        Decoder::new(&columns, &bytes[..], limits).map(|b| b.unwrap().num_rows()).collect()
    };
    assert_eq!(sizes(Limits::default()), [8192, 8192, 3616]);
    // A row takes 8 + 1 bytes for the number, 4 + 1 + 1 for the text: 15.
    assert_eq!(sizes(Limits { batch_bytes: 150_000, ..Limits::default() }), [8192, 8192, 3616]);
    assert_eq!(sizes(Limits { batch_bytes: 75_000, ..Limits::default() }), [5000; 4]);
    let back = decode(&columns, &bytes).unwrap();
    assert_eq!(concat_batches(&engine_schema(&columns), &back).unwrap(), rows_in);
}

#[test]
fn a_batch_without_columns_keeps_its_rows() {
    let bytes = stream("", "");
    assert_eq!(rows(&decode(&[], &bytes).unwrap()), 1);
}

#[test]
fn a_value_as_large_as_a_field_may_be_passes_and_one_byte_more_does_not() {
    let columns = columns(&["string", "binary"]);
    let big = "x".repeat(300_000);
    let rows =
        batch(&columns, &[vec![text("a"), text(&big)], vec![Some(Value::Bytes(big.clone().into_bytes())), None]]);
    let bytes = encode(&columns, std::slice::from_ref(&rows), None);
    let limits = |n| Limits { max_field_bytes: n, ..Limits::default() };
    assert_eq!(decode_from(&columns, &bytes[..], limits(300_000)).unwrap(), [rows]);
    let e = decode_from(&columns, &bytes[..], limits(299_999)).unwrap_err();
    assert_eq!(broken(&e), "row 0, column b: the value is larger than the 299999 bytes a field may have");
}

/// Endless bytes, counted.
struct Endless<'a> {
    start: &'a [u8],
    then: u8,
    read: &'a std::cell::Cell<usize>,
}

impl Read for Endless<'_> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let n = self.start.len().min(buf.len());
        buf[..n].copy_from_slice(&self.start[..n]);
        buf[n..].fill(self.then);
        self.start = &self.start[n..];
        self.read.set(self.read.get() + buf.len());
        Ok(buf.len())
    }
}

#[test]
fn greedy_streams_end_at_the_row_limit() {
    let wide =
        format!("array<struct<{}>>", (0..200).map(|i| format!("f{i}:decimal(38,0)")).collect::<Vec<_>>().join(","));
    for (ty, start, then) in [
        // A length of 2^60 and a count of 2^60: 9 bytes of varint.
        ("string", "0a 808080808080808010", b'x'),
        ("array<bigint>", "0a 808080808080808010", 1),
        ("array<string>", "0a 808080808080808010", 0),
        ("array<array<array<bigint>>>", "0a 808080808080808010", 1),
        ("map<string,bigint>", "0a 808080808080808010", 0),
        // Each byte of the stream is a NULL of 200 fields.
        (&wide, "0a 808080808080808010", 1),
        ("array<string>", "0a 808080808080808010 00 ffff03", b'y'),
    ] {
        let (read, start) = (std::cell::Cell::new(0), hex(start));
        let reader = Endless { start: &start, then, read: &read };
        let limits = Limits { max_row_bytes: 1 << 20, ..Limits::default() };
        let e = decode_from(&columns(&[ty]), reader, limits).unwrap_err();
        let message = broken(&e);
        assert!(message.starts_with("row 0, column a: "), "{message}");
        assert!(message.contains("larger than") || message.contains("stands where"), "{message}");
        assert!(read.get() <= (1 << 20) + (256 << 10), "{ty}: {} bytes were read", read.get());
    }
}

#[test]
fn nulls_of_a_wide_table_count_towards_the_batch() {
    let wide = columns(&["decimal(38,0)"; 26]);
    let nulls = vec![vec![None; 5000]; 26];
    let bytes = encode(&wide, &[batch(&wide, &nulls)], None);
    let limits = Limits { batch_bytes: 17 * 26 * 1000, ..Limits::default() };
    let sizes: Vec<_> = Decoder::new(&wide, &bytes[..], limits).map(|b| b.unwrap().num_rows()).collect();
    assert_eq!(sizes, [1000; 5]);
}

#[test]
fn times_before_1970_keep_their_pair() {
    let columns = columns(&["timestamp"]);
    // PyODPS sends 1969-12-31 23:59:58.5 as (-1 s, +500,000,000 ns): seconds cut towards zero.
    let bytes = stream("0a 01 8094ebdc03", "01000000 ffffffffffffffff 0065cd1d");
    let back = decode(&columns, &bytes).unwrap();
    assert_eq!(back[0].column(0).as_primitive::<TimestampNanosecondType>().value(0), -500_000_000);
    assert_eq!(encode(&columns, &back, None), bytes);
}

#[test]
fn an_error_ends_the_iterator() {
    let columns = columns(&["bigint"]);
    let rows = batch(&columns, &[(0..10_000).map(int).collect()]);
    let mut bytes = encode(&columns, &[rows], None);
    let at = bytes.len() - 30;
    bytes[at] ^= 1;
    let mut decoder = Decoder::new(&columns, &bytes[..], Limits::default());
    let first = decoder.next().unwrap().unwrap();
    assert_eq!(first.column(0).as_primitive::<Int64Type>().value(8191), 8191);
    assert!(decoder.next().unwrap().is_err());
    assert!(decoder.next().is_none() && decoder.next().is_none());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn every_type_round_trips((columns, rows) in any_batch(true), step in 0usize..13) {
        let half = rows.num_rows() / 2;
        let parts = [rows.slice(0, half), rows.slice(half, rows.num_rows() - half)];
        let bytes = encode(&columns, &parts, Some("{}"));
        prop_assert_eq!(&bytes, &encode(&columns, std::slice::from_ref(&rows), Some("{}")));
        let back = decode_from(&columns, Trickle { bytes: &bytes, step }, Limits::default()).unwrap();
        prop_assert_eq!(concat_batches(&rows.schema(), &back).unwrap(), rows);
    }

    #[test]
    fn a_stream_cut_short_is_an_error((columns, rows) in any_batch(true), at in any::<prop::sample::Index>()) {
        let bytes = encode(&columns, &[rows], None);
        let e = decode(&columns, &bytes[..at.index(bytes.len())]).unwrap_err();
        broken(&e);
    }

    #[test]
    fn a_flipped_bit_never_changes_data((columns, rows) in any_batch(true), at in any::<prop::sample::Index>(), bit in 0u32..8) {
        let mut bytes = encode(&columns, std::slice::from_ref(&rows), None);
        let at = at.index(bytes.len());
        bytes[at] ^= 1u8 << bit;
        if let Ok(back) = decode(&columns, &bytes) {
            prop_assert_eq!(concat_batches(&rows.schema(), &back).unwrap(), rows);
        }
    }

    #[test]
    fn any_bytes_are_rows_or_an_error((columns, rows) in any_batch(true), noise in proptest::collection::vec(any::<u8>(), 1..40), at in any::<prop::sample::Index>()) {
        let mut bytes = encode(&columns, &[rows], None);
        let at = at.index(bytes.len());
        for (slot, byte) in bytes[at..].iter_mut().zip(&noise) {
            *slot = *byte;
        }
        let _ = decode(&columns, &bytes);
        let _ = decode(&columns, &noise);
    }
}
