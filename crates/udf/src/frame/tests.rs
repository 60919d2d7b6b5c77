//! Tests of columns as bytes: the bytes are counted out by hand from the table in `frame.rs`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, Int32Array, Int64Array, StringArray, TimestampMillisecondArray};
use chrono_tz::Tz;
use feitian_types::DataType;
use feitian_types::arrow::engine_type;

use super::*;

const ZONE: Tz = Tz::Asia__Shanghai;

fn bytes_of(array: ArrayRef, ty: &DataType) -> Vec<u8> {
    let mut out = Vec::new();
    put_column(&array, ty, ZONE, &mut out).unwrap();
    out
}

fn read(bytes: &[u8], rows: usize, ty: &DataType) -> Framed<ArrayRef> {
    let mut cursor = Cursor(bytes);
    let array = column(&mut cursor, rows, ty, ZONE)?;
    assert!(cursor.0.is_empty());
    Ok(array)
}

#[test]
fn numbers_without_nulls_are_a_zero_and_the_values() {
    let array: ArrayRef = Arc::new(Int64Array::from(vec![1, -1]));
    let mut want = vec![0u8; 8];
    want.extend(1i64.to_le_bytes());
    want.extend((-1i64).to_le_bytes());
    assert_eq!(bytes_of(array.clone(), &DataType::BigInt), want);
    assert_eq!(&read(&want, 2, &DataType::BigInt).unwrap(), &array);
}

#[test]
fn nulls_are_a_one_and_a_bitmap_and_buffers_are_filled_up() {
    let array: ArrayRef = Arc::new(Int32Array::from(vec![Some(7), None, Some(9)]));
    let bytes = bytes_of(array.clone(), &DataType::Int);
    assert_eq!(bytes[..16], [1, 0, 0, 0, 0, 0, 0, 0, 0b101, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(bytes.len(), 32);
    assert_eq!(&read(&bytes, 3, &DataType::Int).unwrap(), &array);
}

#[test]
fn a_slice_travels_as_if_it_were_the_whole() {
    let text: ArrayRef = Arc::new(StringArray::from(vec![Some("before"), Some("a"), None, Some("飞天")]));
    let truth: ArrayRef = Arc::new(BooleanArray::from(vec![Some(true), None, Some(false), Some(true)]));
    for (array, ty) in [(text, DataType::String), (truth, DataType::Boolean)] {
        let slice = array.slice(1, 3);
        assert_eq!(&read(&bytes_of(slice.clone(), &ty), 3, &ty).unwrap(), &slice, "{ty}");
    }
}

// Asia/Shanghai is eight hours ahead of UTC (IANA time zone database).
#[test]
fn a_datetime_travels_as_what_the_clock_of_the_session_shows() {
    let array: ArrayRef = Arc::new(TimestampMillisecondArray::from(vec![Some(1_500), None]).with_timezone("UTC"));
    let bytes = bytes_of(array.clone(), &DataType::Datetime);
    let micros: i64 = 8 * 3_600_000_000 + 1_500_000;
    assert_eq!(bytes[16..24], micros.to_le_bytes());
    assert_eq!(&read(&bytes, 2, &DataType::Datetime).unwrap(), &array);
}

#[test]
fn nested_columns_come_back() {
    for text in ["array<bigint>", "map<string,array<double>>", "struct<a:bigint,b:struct<c:decimal(10,2)>>"] {
        let ty = DataType::parse(text).unwrap();
        let array = arrow::array::new_null_array(&engine_type(&ty), 3);
        assert_eq!(&read(&bytes_of(array.clone(), &ty), 3, &ty).unwrap(), &array, "{text}");
    }
}

#[test]
fn foreign_bytes_are_refused_and_never_panic() {
    let array: ArrayRef = Arc::new(StringArray::from(vec![Some("ab"), None, Some("c")]));
    let good = bytes_of(array, &DataType::String);
    for cut in 0..good.len() {
        assert!(read(&good[..cut], 3, &DataType::String).is_err(), "cut at {cut}");
    }
    let text = |offsets: [i32; 2], bytes: &[u8; 8]| {
        let mut raw = vec![0u8; 8];
        raw.extend(offsets.iter().flat_map(|o| o.to_le_bytes()));
        raw.extend(bytes);
        read(&raw, 1, &DataType::String)
    };
    assert!(text([0, 2], b"ab\0\0\0\0\0\0").is_ok());
    assert!(text([1, 2], b"ab\0\0\0\0\0\0").is_err());
    assert!(text([0, -2], b"ab\0\0\0\0\0\0").is_err());
    assert!(text([0, i32::MAX], b"ab\0\0\0\0\0\0").is_err());
    assert!(text([0, 1], b"\xff\0\0\0\0\0\0\0").is_err());
    let mut flag = vec![2u8, 0, 0, 0, 0, 0, 0, 0];
    flag.extend([0; 8]);
    assert!(read(&flag, 1, &DataType::BigInt).is_err());
    assert!(read(&[0; 16], usize::MAX, &DataType::BigInt).is_err());
    let mut clock = vec![0u8; 8];
    clock.extend(i64::MAX.to_le_bytes());
    assert!(read(&clock, 1, &DataType::Datetime).is_err());
    assert!(read(&clock, 1, &DataType::Timestamp).is_err());
}
