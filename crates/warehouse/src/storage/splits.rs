//! Where the splits of a read session begin and end: rows of a fixed list of files, each in exactly one split.

use std::sync::Arc;

use feitian_base::{Error, Result};

use super::Split;
use crate::log::DataFile;
use crate::reader::RowRange;

/// More splits than this are refused: every reader gets the whole list.
const MAX_SPLITS: u64 = 100_000;

/// The rows of each split of `files`, in order and without a gap; none for [`Split::Rows`]. The same arguments always
/// give the same splits.
///
/// # Errors
/// `InvalidArgument` when there would be too many.
pub(super) fn cut(files: &[Arc<DataFile>], split: Split, cross_partition: bool) -> Result<Vec<RowRange>> {
    if split == Split::Rows {
        return Ok(Vec::new());
    }
    let groups: Vec<&[Arc<DataFile>]> = match cross_partition {
        true => vec![files],
        false => files.chunk_by(|a, b| a.partition_values == b.partition_values).collect(),
    };
    let rows_of = |files: &[Arc<DataFile>]| files.iter().map(|f| f.num_rows.max(0).unsigned_abs()).sum::<u64>();
    let total = rows_of(files);
    let mut ranges = Vec::new();
    let mut start = 0;
    for group in groups {
        let rows = rows_of(group);
        if rows == 0 {
            continue;
        }
        let bytes: u64 = group.iter().map(|f| f.num_bytes.max(0).unsigned_abs()).sum();
        let parts = match split {
            Split::Bytes(each) => bytes.div_ceil(each.max(1)),
            Split::Count(count) => share(count, rows, total),
            Split::Rows => 1,
        };
        let parts = parts.clamp(1, rows);
        if ranges.len() as u64 + parts > MAX_SPLITS {
            let text = format!("there would be more than {MAX_SPLITS} splits; ask for larger ones");
            return Err(Error::invalid(text));
        }
        let edge = |i: u64| start + share(rows, i, parts);
        ranges.extend((0..parts).map(|i| RowRange { start: edge(i), count: edge(i + 1) - edge(i) }));
        start += rows;
    }
    Ok(ranges)
}

/// `whole * part / of` for `part <= of`, without overflow.
fn share(whole: u64, part: u64, of: u64) -> u64 {
    let share = u128::from(whole) * u128::from(part) / u128::from(of.max(1));
    u64::try_from(share).unwrap_or(whole)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn file(partition: &str, num_rows: i64, num_bytes: i64) -> Arc<DataFile> {
        Arc::new(DataFile {
            path: format!("p={partition}/x.parquet"),
            partition_values: vec![Some(partition.to_string())],
            num_bytes,
            num_rows,
            modified_ms: 0,
            stats: None,
        })
    }

    fn counts(files: &[Arc<DataFile>], split: Split, cross_partition: bool) -> Vec<u64> {
        let ranges = cut(files, split, cross_partition).unwrap();
        let mut next = 0;
        for range in &ranges {
            assert_eq!(range.start, next, "{ranges:?}");
            next += range.count;
        }
        assert_eq!(next, files.iter().map(|f| f.num_rows as u64).sum::<u64>());
        ranges.iter().map(|r| r.count).collect()
    }

    // Ten rows of 100 bytes in one file and five of 10 in another.
    #[test]
    fn every_row_is_in_one_split() {
        let files = [file("a", 10, 1000), file("b", 5, 50)];
        for (split, cross, want) in [
            // 1050 bytes make three splits of at most 500, of 15 rows.
            (Split::Bytes(500), true, vec![5, 5, 5]),
            (Split::Bytes(500), false, vec![5, 5, 5]),
            (Split::Bytes(1 << 30), true, vec![15]),
            (Split::Bytes(1 << 30), false, vec![10, 5]),
            (Split::Count(4), true, vec![3, 4, 4, 4]),
            // Two thirds of three splits, and one third.
            (Split::Count(3), false, vec![5, 5, 5]),
            (Split::Count(1), false, vec![10, 5]),
            (Split::Count(1000), true, vec![1; 15]),
        ] {
            assert_eq!(counts(&files, split, cross), want, "{split:?} {cross}");
        }
    }

    #[test]
    fn nothing_is_split_into_nothing_and_too_much_is_refused() {
        assert!(cut(&[], Split::Count(3), true).unwrap().is_empty());
        assert!(cut(&[file("a", 0, 100)], Split::Bytes(1), true).unwrap().is_empty());
        assert!(cut(&[file("a", 9, 100)], Split::Rows, true).unwrap().is_empty());
        let large = [file("a", i64::MAX, i64::MAX)];
        assert_eq!(cut(&large, Split::Count(1_000_000), true).unwrap_err().code(), "InvalidArgument");
        assert_eq!(cut(&large, Split::Bytes(1), true).unwrap_err().code(), "InvalidArgument");
        assert_eq!(cut(&large, Split::Count(7), true).unwrap().len(), 7);
    }
}
