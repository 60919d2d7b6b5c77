//! A look at the pages of Parquet columns before their reader inflates them: few bytes may claim to become very many.
//!
//! A column is pages, each of them a header, which is a struct of Thrift's compact protocol, and the bytes that it tells
//! of. The reader fetches columns whole, so that all headers are there before it looks at any.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use datafusion::execution::memory_pool::MemoryReservation;
use futures::FutureExt;
use futures::future::BoxFuture;
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;

use super::footer::{DAMAGED, I32, STRUCT, Thrift};
use crate::reader::StoredFile;

/// A page becomes at most so many bytes.
const MAX_PAGE: u64 = 256 << 20;
/// A page whose codec goes on for as long as there is something has at most so many bytes before. GZIP makes a thousand
/// times as many of them, and LZ4 255 times.
const MAX_STREAMED: u64 = 2 << 20;

// Fields of a page's header, and a type of pages.
const TYPE: i16 = 1;
const INFLATED: i16 = 2;
const LEN: i16 = 3;
const CHECKSUM: i16 = 4;
const OF_DATA: i16 = 5;
const OF_INDEX: i16 = 6;
const OF_DICTIONARY: i16 = 7;
const OF_DATA_2: i16 = 8;
const DICTIONARY: i32 = 2;

/// Whether a codec stops at the length that the header claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Codec {
    Exact,
    Streamed,
}

impl Codec {
    /// `None` for one of which a page has no bound at all.
    pub(super) fn of(compression: Compression) -> Option<Self> {
        match compression {
            Compression::BROTLI(_) | Compression::LZO => None,
            Compression::GZIP(_) | Compression::LZ4 => Some(Self::Streamed),
            _ => Some(Self::Exact),
        }
    }
}

/// The columns of a file that are read, by where they begin, and the memory that is taken for them.
pub(super) struct Pages {
    pub(super) columns: HashMap<u64, Codec>,
    pub(super) held: MemoryReservation,
    /// What is held for the bytes of the columns themselves.
    pub(super) fetched: usize,
}

impl Pages {
    /// Refuses columns with pages that are too large, and takes the memory for a page of each.
    fn check(&self, ranges: &[Range<u64>], columns: &[Bytes]) -> Result<(), String> {
        let mut needs = self.fetched;
        for (range, bytes) in ranges.iter().zip(columns) {
            let Some(codec) = self.columns.get(&range.start) else {
                return Err("its reader looks where no column begins".to_string());
            };
            needs += inflated(bytes, *codec)?;
        }
        self.held.try_resize(needs).map_err(|_| format!("its pages need {needs} bytes, for which there is no memory"))
    }
}

/// What the dictionary and the largest page of a column take when they are inflated.
fn inflated(column: &[u8], codec: Codec) -> Result<usize, String> {
    let (mut rest, mut dictionary, mut largest) = (Thrift(column), 0, 0);
    while !rest.0.is_empty() {
        let page = header(&mut rest)?;
        if page.inflated > MAX_PAGE {
            return Err(format!("a page claims to become {} bytes; the most are {MAX_PAGE}", page.inflated));
        }
        if codec == Codec::Streamed && page.len > MAX_STREAMED {
            return Err(format!("a page has {} bytes; with this codec the most are {MAX_STREAMED}", page.len));
        }
        rest.pass(page.len)?;
        let most = if page.is_dictionary { &mut dictionary } else { &mut largest };
        *most = page.inflated.max(*most);
    }
    usize::try_from(dictionary + largest).map_err(|_| DAMAGED.to_string())
}

/// What the header of a page says.
struct Page {
    is_dictionary: bool,
    inflated: u64,
    len: u64,
}

fn header(rest: &mut Thrift<'_>) -> Result<Page, &'static str> {
    let (mut is_dictionary, mut inflated, mut len, mut last) = (false, None, None, 0);
    while let Some((id, kind)) = rest.field(&mut last)? {
        match (id, kind) {
            (TYPE, I32) => is_dictionary = rest.number()? == DICTIONARY,
            (INFLATED, I32) => inflated = u64::try_from(rest.number()?).ok(),
            (LEN, I32) => len = u64::try_from(rest.number()?).ok(),
            (CHECKSUM, I32) => rest.skip(kind, 0)?,
            (OF_DATA, STRUCT) => inner(rest, 4, None)?,
            (OF_INDEX, STRUCT) => inner(rest, 0, None)?,
            (OF_DICTIONARY, STRUCT) => inner(rest, 2, Some(3))?,
            (OF_DATA_2, STRUCT) => inner(rest, 6, Some(7))?,
            // The reader goes by the number alone, and would take other bytes for what follows.
            (TYPE..=OF_DATA_2, _) => return Err(DAMAGED),
            _ => rest.skip(kind, 0)?,
        }
    }
    match (inflated, len) {
        (Some(inflated), Some(len)) => Ok(Page { is_dictionary, inflated, len }),
        _ => Err(DAMAGED),
    }
}

/// Passes over a struct of which the reader takes the first fields for numbers, and one for true or false, whatever type
/// they claim.
fn inner(rest: &mut Thrift<'_>, numbers: i16, truth: Option<i16>) -> Result<(), &'static str> {
    let mut last = 0;
    while let Some((id, kind)) = rest.field(&mut last)? {
        let fits = match id {
            id if truth == Some(id) => matches!(kind, 1 | 2),
            id if (1..=numbers).contains(&id) => kind == I32,
            _ => true,
        };
        if !fits {
            return Err(DAMAGED);
        }
        rest.skip(kind, 1)?;
    }
    Ok(())
}

/// A file of which columns are looked at before they are handed on, once it is known where they are.
pub(super) struct CheckedFile {
    pub(super) file: StoredFile,
    pub(super) pages: Arc<OnceLock<Pages>>,
}

impl AsyncFileReader for CheckedFile {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes, ParquetError>> {
        async move {
            let bytes = self.file.get_bytes(range.clone()).await?;
            self.check(&[range], std::slice::from_ref(&bytes))?;
            Ok(bytes)
        }
        .boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, Result<Vec<Bytes>, ParquetError>> {
        async move {
            let bytes = self.file.get_byte_ranges(ranges.clone()).await?;
            self.check(&ranges, &bytes)?;
            Ok(bytes)
        }
        .boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, Result<Arc<ParquetMetaData>, ParquetError>> {
        self.file.get_metadata(options)
    }
}

impl CheckedFile {
    fn check(&self, ranges: &[Range<u64>], bytes: &[Bytes]) -> Result<(), ParquetError> {
        match self.pages.get() {
            Some(pages) => pages.check(ranges, bytes).map_err(ParquetError::General),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, RecordBatch, StringArray};
    use parquet::arrow::ArrowWriter;

    use super::*;

    /// A page of this type that claims to become so many bytes, and its own (parquet.thrift, PageHeader; numbers are
    /// zigzag varints).
    fn page(kind: u8, inflated: u64, bytes: &[u8]) -> Vec<u8> {
        let mut page = vec![0x15, kind << 1, 0x15];
        for number in [inflated * 2, bytes.len() as u64 * 2] {
            let mut left = number;
            while left >= 0x80 {
                page.push((left & 0x7f) as u8 | 0x80);
                left >>= 7;
            }
            page.push(left as u8);
            page.push(0x15);
        }
        page.pop();
        page.push(0x00);
        page.extend_from_slice(bytes);
        page
    }

    #[test]
    fn the_largest_page_and_the_dictionary_are_what_a_column_needs() {
        let column = [page(2, 1000, b"dict"), page(0, 300, b"a"), page(0, 5000, b"bc"), page(3, 20, b"")].concat();
        assert_eq!(inflated(&column, Codec::Exact), Ok(6000));
        assert_eq!(inflated(&[], Codec::Exact), Ok(0));
        for len in 1..column.len() {
            // A column that ends with a page is one.
            let cut = inflated(&column[..len], Codec::Exact);
            assert!(cut.as_ref().is_ok_and(|needs| *needs <= 6000) || cut.is_err_and(|why| why == DAMAGED), "{len}");
        }
    }

    #[test]
    fn a_page_that_would_become_too_much_is_refused() {
        assert!(inflated(&page(0, MAX_PAGE, b"x"), Codec::Exact).is_ok());
        let large = inflated(&page(0, MAX_PAGE + 1, b"x"), Codec::Exact);
        assert!(large.is_err_and(|why| why.contains("claims to become")));
        let long = page(0, 10, &vec![0; MAX_STREAMED as usize + 1]);
        assert!(inflated(&long, Codec::Exact).is_ok());
        assert!(inflated(&long, Codec::Streamed).is_err());
        // Less than nothing.
        assert_eq!(inflated(&[0x15, 0x00, 0x15, 0x01, 0x15, 0x00, 0x00], Codec::Exact), Err(DAMAGED.to_string()));
    }

    // parquet.thrift, PageHeader: field 5 is a struct whose field 1 is a number, and field 7 one whose field 3 is a bool.
    #[test]
    fn fields_of_other_types_hide_nothing() {
        let page = |more: &[u8]| [[0x15, 0x00, 0x15, 0x14, 0x15, 0x00].as_slice(), more, &[0x00]].concat();
        for good in [[0x2c, 0x15, 0x02, 0x00].as_slice(), &[0x4c, 0x31, 0x00], &[0x15, 0x08], &[]] {
            assert_eq!(inflated(&page(good), Codec::Exact), Ok(10), "{good:?}");
        }
        // A text, a text inside, a text for a bool, a text for a checksum.
        for bad in [[0x28, 0x00].as_slice(), &[0x2c, 0x18, 0x00, 0x00], &[0x4c, 0x38, 0x00, 0x00], &[0x18, 0x00]] {
            assert_eq!(inflated(&page(bad), Codec::Exact), Err(DAMAGED.to_string()), "{bad:?}");
        }
    }

    // The sizes that the writer notes in its footer are with the headers of pages.
    #[test]
    fn the_pages_of_a_writer_are_found() {
        let texts: ArrayRef = Arc::new(StringArray::from_iter_values((0..5000).map(|n| format!("text {}", n % 1000))));
        let batch = RecordBatch::try_from_iter([("s", texts)]).expect("a batch");
        let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).expect("a writer");
        writer.write(&batch).expect("rows");
        let metadata = writer.finish().expect("a footer");
        let file = std::mem::take(writer.inner_mut());
        let chunk = metadata.row_group(0).column(0);
        let (begin, len) = chunk.byte_range();
        let column = &file[begin as usize..(begin + len) as usize];
        let needs = inflated(column, Codec::Exact).expect("pages");
        let most = usize::try_from(chunk.uncompressed_size()).expect("a size");
        assert!(needs > most / 2 && needs <= most, "{needs} of {most}");
    }
}
