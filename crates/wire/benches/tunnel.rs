//! How fast the tunnel's formats run, on rows like those of TPC-H `lineitem`.
//!
//! `cargo bench --profile dev -p feitian-wire` prints, for each format, megabytes of the stream a second and of the
//! batches in memory a second, one thread. Each figure is the best of several runs.
#![allow(clippy::unwrap_used)]

use std::hint::black_box;
use std::io::{Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::{
    ArrayRef, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMillisecondArray,
};
use feitian_types::arrow::{engine_schema, engine_type};
use feitian_types::{Column, DataType};
use feitian_wire::Limits;
use feitian_wire::arrow_frame::{ArrowDecoder, ArrowEncoder, Flavour, FrameReader, FrameWriter};
use feitian_wire::compress::Codec;
use feitian_wire::record::{Decoder, Encoder};

const ROWS: usize = 8192;
const BATCHES: usize = 2;

fn columns(types: &[&str]) -> Vec<Column> {
    types.iter().enumerate().map(|(i, ty)| Column::new(format!("c{i}"), DataType::parse(ty).unwrap())).collect()
}

/// Numbers that look random and are the same each time.
fn noise(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move |below| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    }
}

fn column(ty: &DataType, seed: u64, kind: usize) -> ArrayRef {
    let mut next = noise(seed);
    match ty {
        DataType::BigInt => Arc::new(Int64Array::from_iter_values((0..ROWS).map(|_| next(6_000_000) as i64))),
        DataType::Int => Arc::new(Int32Array::from_iter_values((0..ROWS).map(|_| 1 + next(7) as i32))),
        DataType::Double => Arc::new(Float64Array::from_iter_values((0..ROWS).map(|_| next(1 << 53) as f64 / 1e6))),
        DataType::Date => Arc::new(Date32Array::from_iter_values((0..ROWS).map(|_| 8036 + next(2500) as i32))),
        DataType::Datetime => {
            let values = (0..ROWS).map(|_| 1_700_000_000_000 + next(1 << 35) as i64);
            Arc::new(TimestampMillisecondArray::from_iter_values(values).with_data_type(engine_type(ty)))
        }
        DataType::Decimal(..) => {
            let below = [50_00, 10_000_000, 11, 9][kind % 4];
            let values = (0..ROWS).map(|_| i128::from(next(below)));
            Arc::new(Decimal128Array::from_iter_values(values).with_data_type(engine_type(ty)))
        }
        _ => {
            let words: &[&str] = match kind {
                0 => &["A", "N", "R"],
                1 => &["O", "F"],
                2 => &["DELIVER IN PERSON", "COLLECT COD", "NONE", "TAKE BACK RETURN"],
                3 => &["REG AIR", "AIR", "RAIL", "SHIP", "TRUCK", "MAIL", "FOB"],
                _ => &[
                    "carefully final packages",
                    "ironic deposits haggle",
                    "blithely regular",
                    "quickly bold requests nag",
                ],
            };
            Arc::new(StringArray::from_iter_values((0..ROWS).map(|_| words[next(words.len() as u64) as usize])))
        }
    }
}

fn batches(columns: &[Column]) -> Vec<RecordBatch> {
    let batch = |seed: usize| {
        let mut kinds = std::collections::HashMap::new();
        let arrays = columns.iter().enumerate().map(|(i, c)| {
            let kind = kinds.entry(std::mem::discriminant(&c.ty)).or_insert(0);
            *kind += 1;
            column(&c.ty, (seed * 100 + i + 1) as u64, *kind - 1)
        });
        RecordBatch::try_new(engine_schema(columns), arrays.collect()).unwrap()
    };
    (0..BATCHES).map(batch).collect()
}

/// Seconds of the best run among those of about a second.
fn best(mut run: impl FnMut()) -> f64 {
    let (start, mut best) = (Instant::now(), f64::MAX);
    while start.elapsed() < Duration::from_secs(1) {
        let one = Instant::now();
        run();
        best = best.min(one.elapsed().as_secs_f64());
    }
    best
}

fn report(what: &str, stream: usize, memory: usize, seconds: f64) {
    let rate = |bytes: usize| bytes as f64 / 1e6 / seconds;
    let rows = (ROWS * BATCHES) as f64 / 1e6 / seconds;
    println!("{what:<36} {:>7.0} MB/s stream {:>7.0} MB/s memory {rows:>7.2} M rows/s", rate(stream), rate(memory));
}

fn record(name: &str, columns: &[Column], batches: &[RecordBatch], memory: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let seconds = best(|| {
        out.clear();
        let mut encoder = Encoder::new(columns);
        batches.iter().for_each(|batch| encoder.encode_batch(batch, &mut out).unwrap());
        encoder.finish(None, &mut out);
    });
    report(&format!("{name}: record encode"), out.len(), memory, seconds);
    let seconds = best(|| {
        let rows: usize = Decoder::new(columns, &out[..], Limits::default()).map(|b| b.unwrap().num_rows()).sum();
        assert_eq!(rows, ROWS * BATCHES);
    });
    report(&format!("{name}: record decode"), out.len(), memory, seconds);
    out
}

fn arrow(name: &str, columns: &[Column], batches: &[RecordBatch], memory: usize) {
    let mut out = Vec::new();
    let seconds = best(|| {
        out.clear();
        let (mut encoder, mut frame) =
            (ArrowEncoder::new(columns, Flavour::TableTunnel).unwrap(), FrameWriter::default());
        for batch in batches {
            encoder.encode(batch).unwrap().iter().for_each(|piece| frame.push(piece, &mut out));
        }
        frame.finish(&mut out);
    });
    report(&format!("{name}: arrow encode"), out.len(), memory, seconds);
    let seconds = best(|| {
        let decoder = ArrowDecoder::new(columns, FrameReader::new(&out[..]), Limits::default()).unwrap();
        let rows: usize = decoder.map(|b| b.unwrap().num_rows()).sum();
        assert_eq!(rows, ROWS * BATCHES);
    });
    report(&format!("{name}: arrow decode"), out.len(), memory, seconds);
}

fn codecs(stream: &[u8]) {
    for codec in [Codec::Deflate, Codec::Zstd, Codec::Lz4Frame, Codec::SnappyFramed] {
        let name = codec.token().unwrap();
        let mut packed = Vec::new();
        let seconds = best(|| {
            let mut writer = codec.writer(Vec::new()).unwrap();
            stream.chunks(1 << 16).for_each(|piece| writer.write_all(piece).unwrap());
            packed = writer.finish().unwrap();
        });
        report(&format!("{name}: compress to {}%", packed.len() * 100 / stream.len()), stream.len(), 0, seconds);
        let packed: &'static [u8] = packed.leak();
        let mut buf = vec![0; 1 << 17];
        let seconds = best(|| {
            let mut reader = codec.reader(packed);
            while reader.read(black_box(&mut buf)).unwrap() > 0 {}
        });
        report(&format!("{name}: expand"), stream.len(), 0, seconds);
    }
}

fn main() {
    let lineitem = columns(&[
        "bigint",
        "bigint",
        "bigint",
        "int",
        "decimal(15,2)",
        "decimal(15,2)",
        "decimal(15,2)",
        "decimal(15,2)",
        "string",
        "string",
        "date",
        "date",
        "date",
        "string",
        "string",
        "string",
    ]);
    let numbers = columns(&["bigint", "double", "datetime", "bigint", "double", "int"]);
    let mut stream = vec![];
    for (name, columns) in [("lineitem", &lineitem), ("numbers", &numbers)] {
        let batches = batches(columns);
        let memory = batches.iter().map(RecordBatch::get_array_memory_size).sum();
        let bytes = record(name, columns, &batches, memory);
        arrow(name, columns, &batches, memory);
        stream = if stream.is_empty() { bytes } else { stream };
    }
    codecs(&stream);
}
