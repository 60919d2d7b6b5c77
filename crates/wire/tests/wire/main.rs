//! The tunnel's and the table store's formats from the outside: known bytes, round trips, damage and greed.
#![allow(clippy::unwrap_used)]

mod arrow_frame;
mod compress;
mod gen_data;
mod ots_messages;
mod ots_plain;
mod record;

use std::io::Read;

use arrow_array::RecordBatch;
use feitian_base::{Error, Kind};
use feitian_types::{Column, DataType};

/// Columns `a`, `b`, ... of these types.
fn columns(types: &[&str]) -> Vec<Column> {
    let column = |(i, ty): (usize, &&str)| Column::new(char::from(b'a' + i as u8), DataType::parse(ty).unwrap());
    types.iter().enumerate().map(column).collect()
}

/// Bytes from hex digits; blanks do not matter.
fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// What a client sees: the reason of a broken body, with nothing else wrong.
fn broken(e: &Error) -> &str {
    assert_eq!((e.kind(), e.code()), (Kind::Invalid, "MalformedDataStream"), "{e}");
    e.message()
}

fn rows(batches: &[RecordBatch]) -> usize {
    batches.iter().map(RecordBatch::num_rows).sum()
}

/// Gives its bytes in pieces of changing size, as a network does, and counts them.
struct Trickle<'a> {
    bytes: &'a [u8],
    step: usize,
}

impl Read for Trickle<'_> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        self.step = self.step % 13 + 1;
        let n = self.step.min(buf.len()).min(self.bytes.len());
        buf[..n].copy_from_slice(&self.bytes[..n]);
        self.bytes = &self.bytes[n..];
        Ok(n)
    }
}
