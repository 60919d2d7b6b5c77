//! Rows of the table store: known bytes, round trips, damage and greed.

use feitian_base::{Error, Kind};
use feitian_wire::ots::plain::{
    decode_change, decode_key, decode_row, decode_rows, decode_stream_row, decode_value, encode_key, encode_row,
    encode_rows, encode_stream_row, encode_value,
};
use feitian_wire::ots::{Cell, CellOp, KeyColumn, KeyValue, Row, Sequence, Value};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use crate::hex;

// Bytes: what the Python SDK 6.1.0 sends.
const PUT: &str = "75000000 01 03 04 03000000 706b31 05 07000000 03 02000000 687a 0a e8
    03 04 03000000 706b32 05 09000000 00 6400000000000000 0a 05
    02 03 04 02000000 6331 05 02000000 02 01 0a c8
    03 04 02000000 6332 05 09000000 01 000000000000f83f 07 0068e5cf8b010000 0a d1 09 1f";
const UPDATE: &str = "75000000 01 03 04 03000000 706b31 05 09000000 00 0700000000000000 0a 3a
    02 03 04 01000000 61 05 06000000 03 01000000 78 0a 4d
    03 04 01000000 62 06 03 07 0068e5cf8b010000 0a 66
    03 04 01000000 63 06 01 0a cd
    03 04 01000000 6e 05 09000000 00 ffffffffffffffff 06 04 0a b1 09 e3";
const DELETE: &str = "75000000 01 03 04 03000000 706b31 05 09000000 00 0700000000000000 0a 3a 08 09 7c";
const BOUND: &str = "75000000 01 03 04 03000000 706b31 05 07000000 03 02000000 687a 0a e8
    03 04 03000000 706b32 05 01000000 09 0a f7 09 e0";

fn column(name: &str, value: KeyValue) -> KeyColumn {
    KeyColumn { name: name.to_string(), value }
}

fn cell(name: &str, value: Option<Value>, op: Option<CellOp>, version: Option<i64>) -> Cell {
    Cell { name: name.to_string(), value, op, version }
}

fn text(value: &str) -> KeyValue {
    KeyValue::Str(value.to_string())
}

const VERSION: Option<i64> = Some(1_700_000_000_000);

fn put() -> Row {
    Row {
        key: vec![column("pk1", text("hz")), column("pk2", KeyValue::Int(100))],
        cells: vec![
            cell("c1", Some(Value::Bool(true)), None, None),
            cell("c2", Some(Value::Double(1.5)), None, VERSION),
        ],
        deleted: false,
    }
}

fn update() -> Row {
    Row {
        key: vec![column("pk1", KeyValue::Int(7))],
        cells: vec![
            cell("a", Some(Value::Str("x".to_string())), None, None),
            cell("b", None, Some(CellOp::DeleteOne), VERSION),
            cell("c", None, Some(CellOp::DeleteAll), None),
            cell("n", Some(Value::Int(-1)), Some(CellOp::Increment), None),
        ],
        deleted: false,
    }
}

fn delete() -> Row {
    Row { key: vec![column("pk1", KeyValue::Int(7))], cells: vec![], deleted: true }
}

fn bound() -> Vec<KeyColumn> {
    vec![column("pk1", text("hz")), column("pk2", KeyValue::InfMin)]
}

/// What a client sees: the reason, with nothing else wrong.
fn refused(e: &Error) -> &str {
    assert_eq!((e.kind(), e.code()), (Kind::Invalid, "OTSParameterInvalid"), "{e}");
    e.message()
}

#[test]
fn the_worked_examples_are_read_and_written_to_the_byte() {
    for (bytes, row) in [(PUT, put()), (UPDATE, update()), (DELETE, delete())] {
        assert_eq!(decode_row(&hex(bytes)).unwrap(), row);
        assert_eq!(encode_row(&row), hex(bytes));
    }
    assert_eq!(decode_key(&hex(BOUND)).unwrap(), bound());
    assert_eq!(encode_key(&bound()), hex(BOUND));
}

// From: the Python SDK, `read_rows` of `plain_buffer_coded_stream.py`: one header, then rows to the end.
#[test]
fn several_rows_share_a_header() {
    let bytes = [hex(PUT), hex(DELETE)[4..].to_vec(), hex(UPDATE)[4..].to_vec()].concat();
    let rows = [put(), delete(), update()];
    assert_eq!(encode_rows(&rows), bytes);
    assert_eq!(decode_rows(&bytes).unwrap(), rows);
    assert_eq!(encode_rows([]), Vec::<u8>::new());
    assert!(decode_rows(b"").unwrap().is_empty());
    assert!(decode_rows(&hex("75000000")).unwrap().is_empty());
    assert!(refused(&decode_row(&bytes).unwrap_err()).contains("goes on"));
}

// From: the Java SDK, `writeRow` and `writeExtension` of `PlainBufferCodedOutputStream.java`; checksums computed by a
// program of three lines from the definition of the CRC.
#[test]
fn a_record_of_a_stream_says_where_it_stands() {
    let bytes = hex("75000000 01 03 04 03000000 706b31 05 09000000 00 0700000000000000 0a 3a
        02 03 04 01000000 61 05 06000000 03 01000000 78 07 0068e5cf8b010000 0a 86
        0b 18000000 0c 13000000 0d 01000000 0e 00401e18240a0600 0f 02000000 09 ae");
    let row = Row {
        key: vec![column("pk1", KeyValue::Int(7))],
        cells: vec![cell("a", Some(Value::Str("x".to_string())), None, VERSION)],
        deleted: false,
    };
    let sequence = Sequence { epoch: 1, timestamp_us: 1_700_000_000_000_000, row_index: 2 };
    assert_eq!(encode_stream_row(&row, sequence), bytes);
    assert_eq!(decode_stream_row(&bytes).unwrap(), (row.clone(), Some(sequence)));
    assert_eq!(decode_stream_row(&encode_row(&row)).unwrap(), (row, None));
    // A request has no such thing.
    refused(&decode_row(&bytes).unwrap_err());
}

// Bytes: what the Python SDK 6.1.0 sends as the values of filters.
#[test]
fn a_value_of_a_filter_has_a_type_and_a_payload() {
    for (bytes, value) in [
        ("00 0500000000000000", Value::Int(5)),
        ("03 02000000 687a", Value::Str("hz".to_string())),
        ("02 01", Value::Bool(true)),
        ("01 000000000000f83f", Value::Double(1.5)),
        ("07 02000000 0102", Value::Bin(vec![1, 2])),
    ] {
        assert_eq!(decode_value(&hex(bytes)).unwrap(), value);
        assert_eq!(encode_value(&value), hex(bytes));
    }
    for bytes in ["", "00", "00 05", "02", "02 02", "02 0101", "03 02000000 68", "03 01000000 687a", "03 01000000 ff"] {
        refused(&decode_value(&hex(bytes)).unwrap_err());
    }
    // DATETIME and NULL; then bounds, which are no values of cells.
    for bytes in ["04 0500000000000000", "06", "09", "0a", "0b", "0c"] {
        refused(&decode_value(&hex(bytes)).unwrap_err());
    }
}

// From: the Java SDK's tests against the service: the text about NaN; the one about keys has their words.
#[test]
fn doubles_are_finite_and_keys_hold_no_doubles() {
    for (double, words) in [("f87f", "NaN can't be set to double value."), ("f07f", "Infinity can't be set to")] {
        let bytes = hex(&format!("01 000000000000 {double}"));
        assert!(refused(&decode_value(&bytes).unwrap_err()).starts_with(words), "{double}");
    }
    let wrong = Row { key: vec![], cells: vec![cell("pk1", Some(Value::Double(1.5)), None, None)], deleted: false };
    // The cell stands after the mark of the key instead of that of the attributes.
    let mut bytes = encode_row(&wrong);
    bytes.remove(5);
    let e = decode_row(&bytes).unwrap_err();
    assert_eq!(refused(&e), "VT_DOUBLE is an invalid type for the primary key.");
}

#[test]
fn a_row_may_lack_key_and_attributes() {
    // A row whose parts are empty; the checksum covers the byte for the delete marker alone, and is 0 for 0.
    for bytes in ["75000000 09 00", "75000000 01 09 00", "75000000 01 02 09 00", "75000000 02 09 00"] {
        assert_eq!(decode_row(&hex(bytes)).unwrap(), Row::default(), "{bytes}");
        refused(&decode_rows(&hex(bytes)).unwrap_err());
    }
}

#[test]
fn a_key_is_a_key_alone() {
    for bytes in [PUT, DELETE] {
        assert!(refused(&decode_key(&hex(bytes)).unwrap_err()).contains("primary key"));
    }
    // A version on a column of the key: the cell of UPDATE's `a` with a version, behind the mark of the key.
    let bytes = hex("75000000 01 03 04 01000000 61 05 06000000 03 01000000 78 07 0068e5cf8b010000 0a 86 09 00");
    assert!(refused(&decode_row(&bytes).unwrap_err()).contains("'a'"));
}

// Arithmetic: of 2,000 cells one more than the most, 1,024, is kept; of 1,024 all. What is not kept is read all the same.
#[test]
fn of_a_change_with_too_many_cells_as_many_are_kept_as_show_that() {
    let row = |cells: i64| {
        let cell = |n| Cell { name: format!("c{n:04}"), value: Some(Value::Int(n)), op: None, version: None };
        Row { key: vec![column("k", KeyValue::Int(1))], cells: (0..cells).map(cell).collect(), deleted: false }
    };
    for (sent, kept) in [(1024, 1024), (1025, 1025), (2000, 1025)] {
        let mut bytes = encode_row(&row(sent));
        assert_eq!(decode_change(&bytes).unwrap(), row(kept));
        assert_eq!(decode_row(&bytes).unwrap(), row(sent));
        *bytes.last_mut().unwrap() ^= 1;
        refused(&decode_change(&bytes).unwrap_err());
    }
}

#[test]
fn lengths_that_are_not_there_cost_nothing() {
    for bytes in [
        "75000000 01 03 04 ffffffff 706b31",
        "75000000 01 03 04 ffffff7f 706b31",
        "75000000 01 03 04 03000000 706b31 05 ffffffff 03 02000000 687a",
        "75000000 01 03 04 03000000 706b31 05 07000000 03 ffffffff 687a 0a e8 09 eb",
    ] {
        refused(&decode_row(&hex(bytes)).unwrap_err());
    }
}

// A CRC finds every single bit that is wrong.
#[test]
fn no_bit_can_be_turned_and_no_byte_left_out() {
    for bytes in [PUT, UPDATE, DELETE, BOUND] {
        let bytes = hex(bytes);
        for at in 0..bytes.len() {
            refused(&decode_row(&bytes[..at]).unwrap_err());
            for bit in 0..8 {
                let mut damaged = bytes.clone();
                damaged[at] ^= 1 << bit;
                assert!(decode_row(&damaged).is_err(), "byte {at}, bit {bit}: {damaged:02x?}");
            }
        }
        refused(&decode_row(&[&bytes[..], &[1]].concat()).unwrap_err());
        // The SDK of npm sends zeros behind a row.
        assert_eq!(decode_row(&[&bytes[..], &[0, 0]].concat()).unwrap(), decode_row(&bytes).unwrap());
    }
}

pub fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<i64>().prop_map(Value::Int),
        any::<f64>().prop_map(|v| Value::Double(if v.is_finite() { v } else { -0.0 })),
        any::<bool>().prop_map(Value::Bool),
        any::<String>().prop_map(Value::Str),
        vec(any::<u8>(), 0..40).prop_map(Value::Bin),
    ]
}

fn any_column() -> impl Strategy<Value = KeyColumn> {
    let value = prop_oneof![
        any::<i64>().prop_map(KeyValue::Int),
        any::<String>().prop_map(KeyValue::Str),
        vec(any::<u8>(), 0..40).prop_map(KeyValue::Bin),
        Just(KeyValue::InfMin),
        Just(KeyValue::InfMax),
        Just(KeyValue::Auto),
    ];
    (any::<String>(), value).prop_map(|(name, value)| KeyColumn { name, value })
}

fn any_cell() -> impl Strategy<Value = Cell> {
    let op = prop_oneof![Just(CellOp::DeleteAll), Just(CellOp::DeleteOne), Just(CellOp::Increment)];
    (any::<String>(), option::of(any_value()), option::of(op), option::of(any::<i64>()))
        .prop_map(|(name, value, op, version)| Cell { name, value, op, version })
}

fn any_row() -> impl Strategy<Value = Row> {
    (vec(any_column(), 1..5), vec(any_cell(), 0..6), any::<bool>()).prop_map(|(key, cells, deleted)| Row {
        key,
        cells,
        deleted,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn every_row_round_trips(rows in vec(any_row(), 1..4), epoch in any::<u32>(), timestamp_us in any::<i64>()) {
        prop_assert_eq!(&decode_rows(&encode_rows(&rows)).unwrap(), &rows);
        prop_assert_eq!(&decode_row(&encode_row(&rows[0])).unwrap(), &rows[0]);
        prop_assert_eq!(&decode_key(&encode_key(&rows[0].key)).unwrap(), &rows[0].key);
        let sequence = Sequence { epoch, timestamp_us, row_index: epoch };
        let back = decode_stream_row(&encode_stream_row(&rows[0], sequence)).unwrap();
        prop_assert_eq!(back, (rows[0].clone(), Some(sequence)));
    }

    #[test]
    fn a_row_cut_short_is_an_error(row in any_row(), at in any::<prop::sample::Index>()) {
        let bytes = encode_row(&row);
        prop_assert!(decode_row(&bytes[..at.index(bytes.len())]).is_err());
    }

    #[test]
    fn any_bytes_are_a_row_or_an_error(tail in vec(0u8..16, 0..80), noise in vec(any::<u8>(), 0..40)) {
        let bytes = [&[0x75_u8, 0, 0, 0][..], &tail, &noise].concat();
        if let Ok(row) = decode_row(&bytes) {
            prop_assert_eq!(decode_row(&encode_row(&row)).unwrap(), row);
        }
    }
}
