//! Arrow messages and their chunks.

use std::io::Read;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
use arrow_array::{Array, RecordBatch};
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{DataType as ArrowType, Field, Schema};
use arrow_select::concat::concat_batches;
use feitian_base::{Kind, Result};
use feitian_types::Column;
use feitian_wire::arrow_frame::{
    ArrowDecoder, ArrowEncoder, Flavour, FrameReader, FrameWriter, IpcStream, ipc_stream, wire_schema,
};
use feitian_wire::compress::Codec;
use feitian_wire::{Limits, from_io};
use proptest::prelude::*;

use crate::gen_data::{Value, any_batch, batch};
use crate::{Trickle, broken, columns, hex};

const BOTH: [Flavour; 2] = [Flavour::TableTunnel, Flavour::InstanceTunnel];

fn messages(columns: &[Column], flavour: Flavour, batches: &[RecordBatch]) -> Vec<u8> {
    let mut encoder = ArrowEncoder::new(columns, flavour).unwrap();
    let pieces = batches.iter().flat_map(|batch| encoder.encode(batch).unwrap());
    pieces.fold(vec![], |mut out, piece| {
        out.extend_from_slice(&piece);
        out
    })
}

fn frame(chunk: usize, pieces: &[&[u8]]) -> Vec<u8> {
    let (mut writer, mut out) = (FrameWriter::new(chunk), vec![]);
    pieces.iter().for_each(|piece| writer.push(piece, &mut out));
    writer.finish(&mut out);
    out
}

fn unframe(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut out = vec![];
    FrameReader::new(bytes).read_to_end(&mut out).map_err(from_io)?;
    Ok(out)
}

fn decode(columns: &[Column], flavour: Flavour, bytes: &[u8]) -> Result<Vec<RecordBatch>> {
    ArrowDecoder::with_flavour(columns, flavour, bytes, Limits::default())?.collect()
}

/// Complete Arrow streams as the storage API has them.
const STREAMS: [Codec; 3] = [Codec::Identity, Codec::Zstd, Codec::Lz4Frame];

fn stream(columns: &[Column], codec: Codec, batches: &[RecordBatch]) -> Vec<u8> {
    let mut stream = IpcStream::compressed(columns, Flavour::TableTunnel, codec).unwrap();
    let mut out = vec![];
    for batch in batches {
        stream.encode(batch).unwrap().iter().for_each(|piece| out.extend_from_slice(piece));
    }
    stream.finish().unwrap().iter().for_each(|piece| out.extend_from_slice(piece));
    out
}

fn decode_stream(columns: &[Column], bytes: &[u8]) -> Result<Vec<RecordBatch>> {
    ArrowDecoder::of_stream(columns, bytes, Limits::default())?.collect()
}

fn int(v: i64) -> Option<Value> {
    Some(Value::Int(v))
}

// Checksums: CRC-32C of "1234" is f63af4ee, of "123456789" e3069283 (RFC 3720 check value), of "12345678" 6087809a,
// each computed bit by bit from the polynomial. Layout: odps/tunnel/io/writer.py of PyODPS.
#[test]
fn frames_are_written_byte_for_byte() {
    assert_eq!(frame(65_536, &[]), hex("00010000 00000000"));
    let nine =
        hex("00000004 31323334 f63af4ee 35363738 crc55678 39 e3069283".replace("crc55678", &crc_hex(b"5678")).as_str());
    assert_eq!(frame(4, &[b"123456789"]), nine);
    assert_eq!(frame(4, &[b"12", b"3456", b"", b"789"]), nine);
    let eight = hex(format!("00000004 31323334 f63af4ee 35363738 {} 6087809a", crc_hex(b"5678")).as_str());
    assert_eq!(frame(4, &[b"12345678"]), eight);
    assert_eq!(unframe(&nine).unwrap(), b"123456789");
    assert_eq!(unframe(&eight).unwrap(), b"12345678");
}

fn crc_hex(bytes: &[u8]) -> String {
    let step = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
    format!("{:08x}", !bytes.iter().fold(!0u32, |crc, &b| (0..8).fold(crc ^ u32::from(b), step)))
}

#[test]
fn broken_frames_name_their_chunk() {
    let good = frame(4, &[b"123456789"]);
    for (what, bytes, reason) in [
        ("nothing", vec![], "Arrow chunk 0: the body ends before the chunk size"),
        ("no checksum", hex("00010000"), "Arrow chunk 0: the body ends before the checksum"),
        ("an empty chunk", hex("00000000 00000000"), "a chunk size of 0"),
        ("a huge chunk", hex("ffffffff 00000000"), "a chunk size of 4294967295"),
        ("a cut", good[..good.len() - 7].to_vec(), "Arrow chunk 1: its CRC-32C over all chunks"),
        ("a byte too many", [&good[..], b"x"].concat(), "Arrow chunk 2: its CRC-32C over all chunks"),
        ("damage", good.iter().map(|&b| if b == b'6' { b'7' } else { b }).collect(), "Arrow chunk 1: its CRC-32C is"),
    ] {
        let e = unframe(&bytes).expect_err(what);
        assert!(broken(&e).contains(reason), "{what}: {e}");
    }
}

// The table of types: odps_type_to_arrow_type in PyODPS (odps/tunnel/io/types.py).
#[test]
fn wire_types_are_those_clients_expect() {
    let columns =
        columns(&["datetime", "timestamp", "timestamp_ntz", "interval_day_time", "array<timestamp>", "char(3)"]);
    let shown = |flavour| {
        let schema = wire_schema(&columns, flavour).unwrap();
        schema.fields().iter().map(|f| f.data_type().to_string()).collect::<Vec<_>>()
    };
    let (table, instance) = (shown(Flavour::TableTunnel), shown(Flavour::InstanceTunnel));
    assert_eq!(table[..3], ["Timestamp(ms)", "Timestamp(ns)", "Timestamp(ns)"]);
    assert_eq!((&instance[0], &instance[1], &instance[3]), (&table[0], &table[3], &table[3]));
    let pair = vec![Field::new("sec", ArrowType::Int64, true), Field::new("nano", ArrowType::Int32, true)];
    assert_eq!(table[3], ArrowType::Struct(pair.into()).to_string());
    assert!(instance[4].contains("sec") && table[5] == "Utf8");
}

#[test]
fn types_without_an_arrow_form_send_clients_to_the_record_stream() {
    for ty in ["json", "interval_year_month", "map<string,array<json>>"] {
        let columns = columns(&["bigint", ty]);
        for e in [
            ArrowEncoder::new(&columns, Flavour::TableTunnel).err().unwrap(),
            ArrowDecoder::new(&columns, &[][..], Limits::default()).err().unwrap(),
        ] {
            assert_eq!((e.kind(), e.code()), (Kind::Unsupported, "MethodNotAllowed"));
            assert!(e.message().starts_with("column b: "), "{e}");
        }
    }
}

#[test]
fn a_stream_with_its_schema_is_read_by_any_arrow_reader() {
    let columns = columns(&["bigint", "timestamp", "array<interval_day_time>"]);
    let rows = batch(
        &columns,
        &[vec![int(1), None], vec![int(-1), int(5)], vec![Some(Value::List(vec![None, int(1_500_000_000)])), None]],
    );
    let bytes = ipc_stream(&columns, Flavour::InstanceTunnel, &[rows]).unwrap();
    let mut reader = StreamReader::try_new(&bytes[..], None).unwrap();
    assert_eq!(reader.schema(), wire_schema(&columns, Flavour::InstanceTunnel).unwrap());
    let got = reader.next().unwrap().unwrap();
    let pair = |array: &dyn Array, row: usize| {
        let pair = array.as_struct();
        (pair.column(0).as_primitive::<Int64Type>().value(row), pair.column(1).as_primitive::<Int32Type>().value(row))
    };
    assert_eq!((pair(got.column(1), 0), pair(got.column(1), 1)), ((-1, 999_999_999), (0, 5)));
    let spans = got.column(2).as_list::<i32>().value(0);
    assert!(spans.is_null(0));
    assert_eq!(pair(&spans, 1), (1, 500_000_000));
    assert!(reader.next().is_none());
    let empty = ipc_stream(&columns, Flavour::InstanceTunnel, &[]).unwrap();
    assert_eq!(StreamReader::try_new(&empty[..], None).unwrap().count(), 0);
}

/// The messages another writer makes of a batch of the wire's own types, without the schema message.
fn foreign(batch: &RecordBatch) -> Vec<u8> {
    let schema_only = {
        let mut writer = StreamWriter::try_new(vec![], &batch.schema()).unwrap();
        writer.flush().unwrap();
        writer.get_ref().len()
    };
    let mut writer = StreamWriter::try_new(vec![], &batch.schema()).unwrap();
    writer.write(batch).unwrap();
    writer.get_ref()[schema_only..].to_vec()
}

#[test]
fn messages_of_another_writer_are_read_with_or_without_the_end_mark() {
    let columns = columns(&["bigint", "string"]);
    let rows = batch(&columns, &[vec![int(1), None], vec![None, Some(Value::Text("x".into()))]]);
    let bytes = foreign(&rows);
    let twice = [&bytes[..], &bytes[..]].concat();
    assert_eq!(decode(&columns, Flavour::TableTunnel, &twice).unwrap(), [rows.clone(), rows.clone()]);
    let ended = [&bytes[..], &hex("ffffffff00000000")].concat();
    assert_eq!(decode(&columns, Flavour::TableTunnel, &ended).unwrap(), [rows]);
    let e = decode(&columns, Flavour::TableTunnel, &[&ended[..], b"x"].concat()).unwrap_err();
    assert!(broken(&e).contains("bytes follow the end-of-stream mark"));
}

#[test]
fn messages_that_do_not_fit_the_table_are_refused() {
    let rows = |types: &[&str], values: &[Vec<Option<Value>>]| {
        let columns = columns(types);
        messages(&columns, Flavour::TableTunnel, &[batch(&columns, values)])
    };
    let text = |v: &str| vec![Some(Value::Text(v.into()))];
    let full_stream = ipc_stream(&columns(&["bigint"]), Flavour::TableTunnel, &[]).unwrap();
    let mut strict = columns(&["bigint"]);
    strict[0].nullable = false;
    for (what, columns, bytes, reason) in [
        ("a schema", columns(&["bigint"]), full_stream, "it is a schema"),
        (
            "too many columns",
            columns(&["bigint"]),
            rows(&["bigint"; 2], &[vec![int(1)], vec![int(1)]]),
            "more columns than the 1",
        ),
        ("too few columns", columns(&["bigint"; 2]), rows(&["bigint"], &[vec![int(1)]]), "fewer columns"),
        ("narrower values", columns(&["bigint"]), rows(&["tinyint"], &[vec![int(1)]]), "should have 8"),
        (
            "bytes that are no text",
            columns(&["string"]),
            rows(&["binary"], &[vec![Some(Value::Bytes(vec![b'a', 0xff]))]]),
            "row 0, column a: the bytes are not UTF-8 from byte 1",
        ),
        ("NULL", strict, rows(&["bigint"], &[vec![int(1), None]]), "row 1, column a: NULL is not allowed"),
        (
            "a long text",
            columns(&["varchar(1)"]),
            rows(&["string"], &[text("中文")]),
            "2 characters do not fit varchar(1)",
        ),
        (
            "a large decimal",
            columns(&["decimal(2,0)"]),
            rows(&["decimal(5,0)"], &[vec![Some(Value::Wide(100))]]),
            "does not fit decimal(2,0)",
        ),
        (
            "a far date",
            columns(&["date"]),
            rows(&["int"], &[vec![int(i32::MAX.into())]]),
            "outside the years 0000 to 9999",
        ),
        (
            "a far time",
            columns(&["datetime"]),
            rows(&["bigint"], &[vec![int(i64::MAX)]]),
            "outside the years 0000 to 9999",
        ),
        ("half a prefix", columns(&["bigint"]), hex("ffffffff"), "ends inside its prefix"),
        ("records", columns(&["bigint"]), hex("1002 80c0ff7f 9dccc5e60a"), "does not begin with ff ff ff ff"),
        ("huge metadata", columns(&["bigint"]), hex("ffffffff ffffff7f"), "metadata of 2147483647 bytes is too large"),
        (
            "missing metadata",
            columns(&["bigint"]),
            hex("ffffffff 10000000 00"),
            "ends after 1 of 16 bytes of its metadata",
        ),
        ("noise", columns(&["bigint"]), hex("ffffffff 08000000 0123456789abcdef"), "damaged metadata"),
    ] {
        let e = decode(&columns, Flavour::TableTunnel, &bytes).expect_err(what);
        assert!(broken(&e).contains(reason), "{what}: {e}");
    }
    let columns = columns(&["bigint"]);
    let bytes = rows(&["bigint"], &[(0..1000).map(int).collect()]);
    let limits = Limits { max_message_bytes: 4096, ..Limits::default() };
    let e = ArrowDecoder::new(&columns, &bytes[..], limits).unwrap().next().unwrap().unwrap_err();
    assert!(broken(&e).contains("is larger than 4096"), "{e}");
}

#[test]
fn a_pair_beyond_nanoseconds_is_refused() {
    let far = columns(&["struct<sec:bigint,nano:int>"]);
    for (sec, nano) in [(1i64 << 40, 0), (0, 1_000_000_000)] {
        let rows = batch(&far, &[vec![None, Some(Value::Struct(vec![int(sec), int(nano)]))]]);
        let bytes = messages(&far, Flavour::TableTunnel, &[rows]);
        let e = decode(&columns(&["interval_day_time"]), Flavour::TableTunnel, &bytes).unwrap_err();
        assert!(broken(&e).starts_with("row 1, column a: ") && e.message().contains("do not fit"), "{e}");
    }
}

#[test]
fn slices_do_not_send_what_they_do_not_show() {
    let columns = columns(&["array<timestamp>", "string"]);
    let list = |i: i64| Some(Value::List(vec![int(i); 50]));
    let values = [(0..1000).map(list).collect(), (0..1000).map(|i| Some(Value::Text(format!("text {i}")))).collect()];
    let rows = batch(&columns, &values);
    for flavour in BOTH {
        let part = messages(&columns, flavour, &[rows.slice(500, 10)]);
        // 10 lists of 50 values of at most 12 bytes, and some KiB of metadata and padding.
        assert!(part.len() < 10_000, "{}", part.len());
        let back = decode(&columns, flavour, &part).unwrap();
        assert_eq!(back, [rows.slice(500, 10)]);
    }
}

#[test]
fn compressed_buffers_are_named_as_such() {
    // A record batch message whose metadata declares a compression: built with the generated flatbuffer code.
    let schema = Schema::new(vec![Field::new("a", ArrowType::Int64, true)]);
    let rows = batch(&columns(&["bigint"]), &[vec![int(1)]]);
    let rows = RecordBatch::try_new(Arc::new(schema), rows.columns().to_vec()).unwrap();
    let options = arrow_ipc::writer::IpcWriteOptions::default();
    let Ok(options) = options.try_with_compression(Some(arrow_ipc::CompressionType::LZ4_FRAME)) else { return };
    let Ok(mut writer) = StreamWriter::try_new_with_options(vec![], &rows.schema(), options) else { return };
    let start = writer.get_ref().len();
    if writer.write(&rows).is_err() {
        // The feature is off in this build; then nothing can be made to test with.
        return;
    }
    let e = decode(&columns(&["bigint"]), Flavour::TableTunnel, &writer.get_ref()[start..]).unwrap_err();
    assert_eq!(e.kind(), Kind::Unsupported);
}

// The columns of a client's stream are the table's, in its order: names have no case, types are exact.
#[test]
fn a_stream_of_other_columns_is_refused() {
    let given = columns(&["bigint", "string"]);
    let bytes = stream(&given, Codec::Identity, &[]);
    assert_eq!(decode_stream(&given, &bytes).unwrap().len(), 0);
    for nothing in [&b""[..], &bytes[bytes.len() - 8..]] {
        assert!(broken(&decode_stream(&given, nothing).unwrap_err()).contains("before its schema"));
    }
    for (types, word) in [
        (&["bigint"][..], "2 columns where 1 are wanted"),
        (&["bigint", "bigint"][..], "column b of the stream is not of the Arrow type Int64"),
        (&["int", "string"][..], "column a of the stream is not of the Arrow type Int32"),
        (&["decimal(10,2)", "string"][..], "not of the Arrow type Decimal128(10, 2)"),
        (&["bigint", "array<string>"][..], "column b"),
    ] {
        let e = decode_stream(&columns(types), &bytes).unwrap_err();
        assert!(broken(&e).contains(word), "{e}");
    }
    let renamed: Vec<Column> = given.iter().map(|c| Column::new(format!("{}x", c.name), c.ty.clone())).collect();
    assert!(broken(&decode_stream(&renamed, &bytes).unwrap_err()).contains("is 'a' where 'ax' is wanted"));
    let rows = batch(&given, &[vec![int(1)], vec![None]]);
    let alone = messages(&given, Flavour::TableTunnel, &[rows]);
    assert!(broken(&decode_stream(&given, &alone).unwrap_err()).contains("before the schema"));
    let start = bytes.len() - 8;
    let twice = [&bytes[..start], &bytes[..]].concat();
    assert!(broken(&decode_stream(&given, &twice).unwrap_err()).contains("a second schema"));
}

// A buffer begins with its length as it will be: 1 TiB here, of a message that holds some bytes.
#[test]
fn a_compressed_buffer_is_not_believed_its_length() {
    let columns = columns(&["bigint"]);
    let rows = batch(&columns, &[vec![int(7); 4000]]);
    let bytes = stream(&columns, Codec::Zstd, &[rows]);
    // 4000 values of 8 bytes.
    let length = 32_000_i64.to_le_bytes();
    let at = bytes.windows(8).position(|w| w == length).unwrap();
    for (claimed, word) in [(1_i64 << 40, "is too large"), (-7, "is too large"), (31_999, "does not have the 31999")] {
        let mut bytes = bytes.clone();
        bytes[at..at + 8].copy_from_slice(&claimed.to_le_bytes());
        let e = decode_stream(&columns, &bytes).unwrap_err();
        assert!(broken(&e).contains(word), "{e}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn every_type_round_trips_in_a_stream((columns, rows) in any_batch(false)) {
        for codec in STREAMS {
            let half = rows.num_rows() / 2;
            let parts = [rows.slice(0, half), rows.slice(half, rows.num_rows() - half)];
            let back = decode_stream(&columns, &stream(&columns, codec, &parts)).unwrap();
            prop_assert_eq!(concat_batches(&rows.schema(), &back).unwrap(), rows.clone());
        }
    }

    #[test]
    fn damaged_streams_never_panic((columns, rows) in any_batch(false), hits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        for codec in STREAMS {
            let mut bytes = stream(&columns, codec, std::slice::from_ref(&rows));
            for (at, byte) in &hits {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            let _ = decode_stream(&columns, &bytes);
        }
    }

    #[test]
    fn every_type_round_trips((columns, rows) in any_batch(false), chunk in 16usize..2000, step in 0usize..13) {
        for flavour in BOTH {
            let half = rows.num_rows() / 2;
            let parts = [rows.slice(0, half), rows.slice(half, rows.num_rows() - half)];
            let framed = frame(chunk, &[&messages(&columns, flavour, &parts)]);
            let reader = FrameReader::new(Trickle { bytes: &framed, step });
            let decoder = ArrowDecoder::with_flavour(&columns, flavour, reader, Limits::default()).unwrap();
            let back = decoder.collect::<Result<Vec<_>>>().unwrap();
            prop_assert_eq!(back.len(), 2);
            prop_assert_eq!(concat_batches(&rows.schema(), &back).unwrap(), rows.clone());
        }
    }

    #[test]
    fn a_damaged_frame_is_an_error((columns, rows) in any_batch(false), at in any::<prop::sample::Index>(), bit in 0u32..8, cut in any::<bool>()) {
        let content = messages(&columns, Flavour::TableTunnel, &[rows]);
        let mut framed = frame(100, &[&content]);
        let at = at.index(framed.len());
        if cut { framed.truncate(at) } else { framed[at] ^= 1u8 << bit }
        match unframe(&framed) {
            // A larger chunk size changes nothing for a body of one chunk.
            Ok(same) => prop_assert_eq!(same, content),
            Err(e) => { broken(&e); }
        }
    }

    #[test]
    fn damaged_messages_never_panic((columns, rows) in any_batch(false), hits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        for flavour in BOTH {
            let mut bytes = messages(&columns, flavour, std::slice::from_ref(&rows));
            for (at, byte) in &hits {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            let _ = decode(&columns, flavour, &bytes);
        }
    }

    #[test]
    fn messages_cut_short_are_an_error((columns, rows) in any_batch(false), at in any::<prop::sample::Index>()) {
        let bytes = messages(&columns, Flavour::TableTunnel, &[rows]);
        let at = at.index(bytes.len());
        let got = decode(&columns, Flavour::TableTunnel, &bytes[..at]);
        if at > 0 { broken(&got.unwrap_err()); } else { prop_assert_eq!(got.unwrap().len(), 0); }
    }
}
