//! Parsers of `feitian-wire`.

use std::io::{Cursor, Read};
use std::sync::{Arc, OnceLock};

use arrow_array::builder::{Int64Builder, ListBuilder, MapBuilder, MapFieldNames, StringBuilder};
use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, DurationNanosecondArray, Float64Array,
    Int8Array, Int64Array, IntervalYearMonthArray, RecordBatch, StringArray, StructArray, TimestampMillisecondArray,
    TimestampNanosecondArray,
};
use arrow_schema::{DataType as ArrowType, Field};
use feitian_base::Error;
use feitian_types::arrow::{engine_schema, engine_type};
use feitian_types::{Column, DataType};
use feitian_wire::arrow_frame::{ArrowDecoder, ArrowEncoder, Flavour, FrameReader, FrameWriter, IpcStream};
use feitian_wire::compress::Codec;
use feitian_wire::record::{Decoder, Encoder};
use feitian_wire::volume_frame::{VolumeReader, VolumeWriter};
use feitian_wire::{Limits, bearer, schema_json, sign, xml};

use super::{Target, magnitude, shape};

/// Rows in seeds.
const ROWS: usize = 3;

/// Small, so that a bound that is not kept shows in the memory of the process.
fn limits() -> Limits {
    Limits { max_field_bytes: 1 << 20, max_row_bytes: 4 << 20, max_message_bytes: 4 << 20, ..Limits::default() }
}

/// A column of every family of types, with values.
fn batch(arrow: bool) -> (Vec<Column>, RecordBatch) {
    let ty = |text: &str| DataType::parse(text).expect("the types of this file are well formed");
    let mut fields: Vec<(&str, ArrayRef)> = vec![
        ("tinyint", Arc::new(Int8Array::from(vec![Some(-128), None, Some(127)]))),
        ("bigint", Arc::new(Int64Array::from(vec![Some(i64::MIN + 1), Some(0), None]))),
        ("double", Arc::new(Float64Array::from(vec![Some(0.1), None, Some(-1e300)]))),
        ("boolean", Arc::new(BooleanArray::from(vec![Some(true), Some(false), None]))),
        ("string", Arc::new(StringArray::from(vec![Some("a"), Some(""), Some("飞天")]))),
        ("varchar(5)", Arc::new(StringArray::from(vec![Some("abcde"), None, Some("")]))),
        ("binary", Arc::new(BinaryArray::from_opt_vec(vec![Some(b"\x00\xff"), Some(b""), None]))),
        ("date", Arc::new(Date32Array::from(vec![Some(-1), Some(19_000), None]))),
        ("decimal(38,18)", decimals()),
        ("datetime", Arc::new(TimestampMillisecondArray::from(vec![Some(-1), Some(0), None]).with_timezone("UTC"))),
        ("timestamp", Arc::new(TimestampNanosecondArray::from(vec![Some(-1), None, Some(5)]).with_timezone("UTC"))),
        ("timestamp_ntz", Arc::new(TimestampNanosecondArray::from(vec![Some(1_000_000_005), None, Some(0)]))),
        ("interval_day_time", Arc::new(DurationNanosecondArray::from(vec![Some(-1), Some(7), None]))),
        ("array<bigint>", lists()),
        ("map<string,bigint>", maps()),
        ("struct<a:bigint,b:string>", structs(&ty("struct<a:bigint,b:string>"))),
    ];
    if !arrow {
        fields.push(("interval_year_month", Arc::new(IntervalYearMonthArray::from(vec![Some(-25), None, Some(7)]))));
        fields.push(("json", Arc::new(StringArray::from(vec![Some("{\"a\":[1]}"), None, Some("[]")]))));
    }
    let columns: Vec<Column> =
        fields.iter().enumerate().map(|(i, (text, _))| Column::new(format!("c{i}"), ty(text))).collect();
    let arrays = fields.into_iter().map(|(_, array)| array).collect();
    let batch = RecordBatch::try_new(engine_schema(&columns), arrays).expect("the arrays are in engine form");
    assert_eq!(batch.num_rows(), ROWS);
    (columns, batch)
}

fn decimals() -> ArrayRef {
    let values = Decimal128Array::from(vec![Some(1_500_000_000_000_000_000), None, Some(-(10_i128.pow(38) - 1))]);
    Arc::new(values.with_precision_and_scale(38, 18).expect("the values fit 38 digits"))
}

fn lists() -> ArrayRef {
    let mut builder = ListBuilder::new(Int64Builder::new());
    builder.append_value([Some(7), None]);
    builder.append_null();
    builder.append_value([]);
    Arc::new(builder.finish())
}

fn maps() -> ArrayRef {
    let names = MapFieldNames { entry: "entries".into(), key: "key".into(), value: "value".into() };
    let mut builder = MapBuilder::new(Some(names), StringBuilder::new(), Int64Builder::new());
    for keys in [&["k", "l"][..], &[], &["m"]] {
        for key in keys {
            builder.keys().append_value(key);
            builder.values().append_option((*key != "k").then_some(5));
        }
        builder.append(true).expect("as many values as keys");
    }
    Arc::new(builder.finish())
}

fn structs(ty: &DataType) -> ArrayRef {
    let ArrowType::Struct(fields) = engine_type(ty) else { unreachable!("the type is a struct") };
    let a: ArrayRef = Arc::new(Int64Array::from(vec![Some(3), None, None]));
    let b: ArrayRef = Arc::new(StringArray::from(vec![None, Some("x"), None]));
    let fields: Vec<Arc<Field>> = fields.iter().cloned().collect();
    Arc::new(StructArray::from(fields.into_iter().zip([a, b]).collect::<Vec<_>>()))
}

fn record_columns() -> &'static [Column] {
    static COLUMNS: OnceLock<Vec<Column>> = OnceLock::new();
    COLUMNS.get_or_init(|| batch(false).0)
}

fn arrow_columns() -> &'static [Column] {
    static COLUMNS: OnceLock<Vec<Column>> = OnceLock::new();
    COLUMNS.get_or_init(|| batch(true).0)
}

fn encode_records(columns: &[Column], batches: &[RecordBatch]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = Encoder::new(columns);
    for batch in batches {
        encoder.encode_batch(batch, &mut out).expect("a batch in engine form can be encoded");
    }
    encoder.finish(Some("{\"ServerIOCost\":1}"), &mut out);
    out
}

/// Promise: what is accepted can be written again and read again as the same rows.
pub const RECORDS: Target = Target {
    name: "records",
    seeds: || {
        let (columns, batch) = batch(false);
        let rows: Vec<Vec<u8>> = (0..ROWS).map(|i| encode_records(&columns, &[batch.slice(i, 1)])).collect();
        let whole = vec![encode_records(&columns, &[]), encode_records(&columns, std::slice::from_ref(&batch))];
        rows.into_iter().chain(whole).collect()
    },
    // The tags that end a record, begin and end a footer, and end its metrics.
    words: &[b"\x80\xc0\xff\x7f", b"\xf0\xff\xff\x7f", b"\xf8\xff\xff\x7f", b"\x80\xf0\xff\x7f"],
    stack_bytes: super::NETWORK_STACK,
    run: |input| {
        let columns = record_columns();
        let decode = |bytes: &[u8]| {
            let mut decoder = Decoder::new(columns, bytes, limits());
            let batches: Result<Vec<RecordBatch>, Error> = decoder.by_ref().collect();
            (batches, decoder.rows())
        };
        let (batches, rows) = decode(input);
        match batches {
            Ok(batches) => {
                let again = decode(&encode_records(columns, &batches)).0.expect("what was accepted is well formed");
                assert_eq!(batches, again, "rows change when they are written and read again");
                format!("{} rows", magnitude(rows))
            }
            Err(error) => format!("{} {}", magnitude(rows), shape(error.message())),
        }
    },
};

fn arrow_message() -> Vec<u8> {
    let (columns, batch) = batch(true);
    let mut encoder = ArrowEncoder::new(&columns, Flavour::TableTunnel).expect("every column has an Arrow form");
    let buffers = encoder.encode(&batch).expect("the batch can be encoded");
    buffers.iter().flat_map(|b| b.as_slice().to_vec()).collect()
}

fn framed(payload: &[u8], chunk: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = FrameWriter::new(chunk);
    writer.push(payload, &mut out);
    writer.finish(&mut out);
    out
}

/// Promise: what a frame gives back, framed again with the same chunk size, is the frame.
pub const ARROW_FRAMES: Target = Target {
    name: "arrow-frames",
    seeds: || {
        let message = arrow_message();
        vec![framed(b"", 65_536), framed(b"abc", 16), framed(&message, 64), framed(&message, 65_536)]
    },
    words: &[b"\x00\x00\x00\x00", b"\x00\x00\x00\x10", b"\xff\xff\xff\xff"],
    stack_bytes: super::NETWORK_STACK,
    run: |input| {
        let mut payload = Vec::new();
        match FrameReader::new(input).read_to_end(&mut payload) {
            Ok(n) => {
                let chunk = input.first_chunk::<4>().map_or(0, |c| u32::from_be_bytes(*c) as usize);
                if (1..=64 << 20).contains(&chunk) {
                    assert_eq!(framed(&payload, chunk), input, "a frame of other bytes was accepted");
                }
                format!("{} bytes", magnitude(n as u64))
            }
            Err(error) => format!("{} {}", magnitude(payload.len() as u64), shape(&error.to_string())),
        }
    },
};

fn volume_framed(content: &[u8]) -> Vec<u8> {
    let (mut writer, mut out) = (VolumeWriter::default(), Vec::new());
    writer.push(content, &mut out);
    writer.finish(&mut out);
    out
}

fn volume_content(input: &[u8]) -> Result<Vec<u8>, Error> {
    let (mut reader, mut content) = (VolumeReader::new(input), Vec::new());
    while let Some(piece) = reader.next_piece()? {
        content.extend_from_slice(&piece);
    }
    Ok(content)
}

/// Promise: what is accepted can be framed again and read again as the same content.
pub const VOLUME_FRAMES: Target = Target {
    name: "volume-frames",
    seeds: || {
        let chunks = b"\x00\x00\x00\x04abcd\x5c\x64\x6b\xa4ef\xed\x89\xd4\x29".to_vec();
        vec![chunks, volume_framed(b""), volume_framed(b"abc")]
    },
    words: &[b"\x00\x00\x00\x00", b"\x00\x00\x00\x01", b"\x10\x00\x00\x00", b"\xff\xff\xff\xff"],
    stack_bytes: super::NETWORK_STACK,
    run: |input| match volume_content(input) {
        Ok(content) => {
            let again = volume_content(&volume_framed(&content)).expect("what was accepted is well formed");
            assert_eq!(content, again, "a content changes when it is framed and read again");
            format!("{} bytes", magnitude(content.len() as u64))
        }
        Err(error) => shape(error.message()),
    },
};

/// Promise: what is accepted can be encoded again.
pub const ARROW_MESSAGES: Target = Target {
    name: "arrow-messages",
    seeds: || vec![arrow_message(), [arrow_message(), arrow_message()].concat(), Vec::new()],
    words: &[b"\xff\xff\xff\xff\x00\x00\x00\x00", b"\xff\xff\xff\xff"],
    stack_bytes: super::NETWORK_STACK,
    run: |input| {
        let columns = arrow_columns();
        let mut decoder = ArrowDecoder::new(columns, input, limits()).expect("every column has an Arrow form");
        let batches: Result<Vec<RecordBatch>, Error> = decoder.by_ref().collect();
        match batches {
            Ok(batches) => {
                let mut encoder = ArrowEncoder::new(columns, Flavour::TableTunnel).expect("as above");
                for batch in &batches {
                    encoder.encode(batch).expect("what was accepted can be encoded");
                }
                format!("{} messages, {} rows", batches.len().min(8), magnitude(decoder.rows()))
            }
            Err(error) => shape(error.message()),
        }
    },
};

fn arrow_stream(columns: &[Column], batches: &[RecordBatch], codec: Codec) -> Vec<u8> {
    let mut stream = IpcStream::compressed(columns, Flavour::TableTunnel, codec).expect("Arrow compresses so");
    let mut buffers = Vec::new();
    for batch in batches {
        buffers.extend(stream.encode(batch).expect("the batch can be encoded"));
    }
    buffers.extend(stream.finish().expect("the stream can be ended"));
    buffers.iter().flat_map(|b| b.as_slice().to_vec()).collect()
}

/// Promise: what is accepted can be written again and read again as the same rows.
pub const ARROW_STREAMS: Target = Target {
    name: "arrow-streams",
    seeds: || {
        let (columns, batch) = batch(true);
        let codecs = [Codec::Identity, Codec::Zstd, Codec::Lz4Frame];
        let streams = codecs.map(|codec| arrow_stream(&columns, &[batch.clone(), batch.slice(0, 1)], codec));
        streams.into_iter().chain([arrow_stream(&columns, &[], Codec::Identity)]).collect()
    },
    words: &[b"\xff\xff\xff\xff\x00\x00\x00\x00", b"\xff\xff\xff\xff", b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18"],
    stack_bytes: super::NETWORK_STACK,
    run: |input| {
        let columns = arrow_columns();
        let decode = |bytes: &[u8], limits: Limits| {
            let decoder = ArrowDecoder::of_stream(columns, bytes, limits).expect("every column has an Arrow form");
            decoder.collect::<Result<Vec<RecordBatch>, Error>>()
        };
        match decode(input, limits()) {
            Ok(batches) => {
                // Buffers may overlap in a message, and do not when they are written again.
                let again = decode(&arrow_stream(columns, &batches, Codec::Zstd), Limits::default());
                assert_eq!(again.expect("what was accepted is well formed"), batches, "rows change");
                let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
                format!("{} batches, {} rows", batches.len().min(8), magnitude(rows as u64))
            }
            Err(error) => shape(error.message()),
        }
    },
};

/// Promise: reading a megabyte of a body that inflates to anything takes little time and memory.
pub const COMPRESSION: Target = Target {
    name: "compression",
    seeds: || {
        let plain = [arrow_message(), vec![0; 100_000]].concat();
        let codecs = [Codec::Deflate, Codec::Zstd, Codec::Lz4Frame, Codec::SnappyFramed];
        let compress = |(number, codec): (usize, Codec)| {
            use std::io::Write;
            let mut writer = codec.writer(vec![number as u8]).expect("a vector can be written to");
            writer.write_all(&plain).expect("a vector can be written to");
            writer.finish().expect("a vector can be written to")
        };
        codecs.into_iter().enumerate().map(compress).collect()
    },
    words: &[b"\x78\x01", b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18", b"\xff\x06\x00\x00sNaPpY"],
    stack_bytes: super::NETWORK_STACK,
    run: |input| {
        let codecs = [Codec::Deflate, Codec::Zstd, Codec::Lz4Frame, Codec::SnappyFramed];
        let Some((first, body)) = input.split_first() else { return "empty".to_string() };
        let codec = codecs[usize::from(*first) % codecs.len()];
        let mut plain = Vec::new();
        match codec.reader(Cursor::new(body.to_vec())).take(1 << 20).read_to_end(&mut plain) {
            Ok(n) => format!("{codec:?} {}", magnitude(n as u64)),
            Err(error) => format!("{codec:?} {} {}", magnitude(plain.len() as u64), shape(&error.to_string())),
        }
    },
};

const INSTANCE: &str = r#"<?xml version="1.0" encoding="utf-8"?>
<Instance><Job><Priority>9</Priority><Guid>g</Guid><Tasks><SQL><Name>AnonymousSQLTask</Name><Config><Property>
<Name>settings</Name><Value>{"odps.sql.type.system.odps2": "true"}</Value></Property></Config>
<Query><![CDATA[select 1 &amp; 2;]]></Query></SQL></Tasks><DAG><RunMode>Sequence</RunMode></DAG></Job></Instance>"#;

/// Promise: none beyond not panicking; every document is read as every kind of request.
pub const XML: Target = Target {
    name: "xml",
    seeds: || {
        let others = [
            "<Instance><Status>Terminated</Status></Instance>",
            "<Instance><Key>k</Key><Value>v</Value></Instance>",
            "<Authorization><Query>whoami</Query><ResponseInJsonFormat>true</ResponseInJsonFormat></Authorization>",
            "<Function><Alias>f</Alias><ClassType>m.C</ClassType><Resources><ResourceName>r</ResourceName></Resources></Function>",
            "<Meta><Name>v</Name><Comment>c</Comment><Type>OLD</Type></Meta>",
            "<Item><Type>directory</Type><Path>/v/d</Path></Item>",
            "<Item><Path>/v/x</Path><Replication>3</Replication></Item>",
        ];
        others.iter().chain([&INSTANCE]).map(|s| s.as_bytes().to_vec()).collect()
    },
    words: &[
        b"<![CDATA[",
        b"]]>",
        b"&#x0;",
        b"&#55296;",
        b"&lt;",
        b"<!DOCTYPE a [<!ENTITY b \"b\">]>",
        b"<a>",
        b"</a>",
        b"<!--",
        b"-->",
    ],
    stack_bytes: super::NETWORK_STACK,
    run: |input| {
        let word = |result: Result<&str, Error>| result.map_or_else(|e| shape(e.message()), str::to_string);
        [
            word(xml::Node::parse(input).map(|_| "node")),
            word(xml::parse_instance(input).map(|_| "instance")),
            word(xml::parse_stop(input).map(|()| "stop")),
            word(xml::parse_info(input).map(|_| "info")),
            word(xml::parse_authorization(input).map(|_| "authorization")),
            word(xml::parse_function(input).map(|_| "function")),
            word(xml::parse_volume(input).map(|_| "volume")),
            word(xml::parse_volume_directory(input).map(|_| "directory")),
            word(xml::parse_volume_change(input).map(|_| "change")),
        ]
        .join("|")
    },
};

/// Promise: a type that is accepted prints as a text that is read as the same type.
pub const SCHEMAS: Target = Target {
    name: "schemas",
    seeds: || {
        let (columns, _) = batch(false);
        let types = columns.iter().map(|c| c.ty.to_string().into_bytes());
        let schema = r#"{"columns":[{"name":"id","type":"bigint","isNullable":false},
            {"name":"t","type":"map<string,array<decimal(10,2)>>"}],"partitionKeys":[{"name":"ds","type":"string"}]}"#;
        types.chain([schema.as_bytes().to_vec(), b"array<struct<`a b`:char(3)>>".to_vec()]).collect()
    },
    words: &[b"array<", b"map<", b"struct<", b"`", b">", b",", b":", b"decimal(", b"\"columns\":[", b"\"type\":"],
    stack_bytes: super::NETWORK_STACK,
    run: |input| {
        let text = String::from_utf8_lossy(input);
        let ty = match DataType::parse(&text) {
            Ok(ty) => {
                assert_eq!(DataType::parse(&ty.to_string()).as_ref(), Ok(&ty), "a type does not print as itself");
                "type".to_string()
            }
            Err(error) => shape(&error.reason),
        };
        let schema = schema_json::parse_schema(&text)
            .map_or_else(|e| shape(e.message()), |s| format!("{} columns", s.columns.len()));
        format!("{ty}|{schema}")
    },
};

/// Promise: nothing that was not made with the key is accepted.
pub const SIGNATURES: Target = Target {
    name: "signatures",
    seeds: || {
        [
            "ODPS id:c2lnbmF0dXJl",
            "ODPS id/20261121/cn-local/odps/aliyun_v4_request:c2lnbmF0dXJl",
            "/projects/p/registration%2Ffunctions?a=b%26c&a=d+e%2B&x-odps-k=v;p?q",
            "aWQsc2NvcGUsMTcwMDAwMDAwMCxzaWduYXR1cmU=",
        ]
        .map(|s| s.as_bytes().to_vec())
        .to_vec()
    },
    words: &[b"%", b"%2", b"%25", b"+", b"&", b"=", b"?", b";", b"ODPS ", b"/", b":", b","],
    stack_bytes: super::NETWORK_STACK,
    run: |input| {
        let text = String::from_utf8_lossy(input);
        let to_sign = sign::string_to_sign("GET", &text, [("Date", "d"), ("x-odps-a", &text)]);
        let header = sign::Authorization::parse(&text).map_or_else(
            |e| shape(e.message()),
            |parsed| {
                assert!(!parsed.verify("secret", &to_sign), "a signature was guessed");
                "authorization".to_string()
            },
        );
        assert!(bearer::verify(b"key", &text, 0).is_err(), "a token was guessed");
        format!("{header}|{}", magnitude(to_sign.len() as u64))
    },
};
