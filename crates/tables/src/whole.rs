//! A small row as one value: what the marker of a row says, which is a format for ever (docs/format-tables.md).
//!
//! A row that is one pair of the engine is found by one look, of which files that lack it are spared, and is written over
//! instead of leaving a deleted key for each cell that it had. A large one would be written anew for each of its cells.

use feitian_base::Result;

use crate::cells::{self, Columns};
use crate::errors::corrupt;

/// A marker whose row has its cells under keys of their own.
pub(crate) const APART: &[u8] = &[1];
/// What a marker begins with that has the cells of its row.
const WHOLE: u8 = 2;
/// The longest marker. Entries of indexes are written and removed without a look at what is there, so another number
/// would be another format.
const MAX_BYTES: usize = 4096;

/// Whether the cells of a row fit into its marker.
pub(crate) fn fits(columns: &Columns) -> bool {
    size(columns).is_some()
}

/// The marker with all cells of a row; `None` if they do not fit.
pub(crate) fn encode(columns: &Columns) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(size(columns)?);
    bytes.push(WHOLE);
    for (name, versions) in columns {
        bytes.push(u8::try_from(name.len()).ok()?);
        bytes.extend_from_slice(name.as_bytes());
        bytes.extend_from_slice(&u16::try_from(versions.len()).ok()?.to_be_bytes());
        for (version, value) in versions.iter().rev() {
            bytes.extend_from_slice(&version.to_be_bytes());
            bytes.extend_from_slice(&u16::try_from(1 + value.size()).ok()?.to_be_bytes());
            cells::encode_to(&mut bytes, value);
        }
    }
    Some(bytes)
}

/// Bytes of the marker with all cells; `None` if they are too many.
fn size(columns: &Columns) -> Option<usize> {
    let mut size = 1;
    for (name, versions) in columns {
        let values = versions.values().map(|value| 11 + value.size()).sum::<usize>();
        size += 3 + name.len() + values;
        if size > MAX_BYTES || name.len() > usize::from(u8::MAX) {
            return None;
        }
    }
    Some(size)
}

/// The cells that a marker has: by name, the newest version first, each with its value's bytes. `None` for a row whose cells
/// have keys of their own.
pub(crate) fn cells(marker: &[u8]) -> Result<Option<Cells<'_>>> {
    match marker.split_first() {
        _ if marker == APART => Ok(None),
        Some((&WHOLE, rest)) => Ok(Some(Cells { rest, name: "", left: 0 })),
        _ => Err(corrupt("a row's marker of an unknown form")),
    }
}

/// What [`cells`] answers; nothing more comes behind an error.
pub(crate) struct Cells<'a> {
    rest: &'a [u8],
    name: &'a str,
    /// Versions of this name that are still to come.
    left: u16,
}

impl<'a> Cells<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(bytes)
    }

    fn number(&mut self) -> Option<u16> {
        self.take(2)?.try_into().ok().map(u16::from_be_bytes)
    }

    fn cell(&mut self) -> Option<(&'a str, i64, &'a [u8])> {
        if self.left == 0 {
            let length = self.take(1)?[0];
            self.name = std::str::from_utf8(self.take(length.into())?).ok()?;
            self.left = self.number()?;
        }
        self.left = self.left.checked_sub(1)?;
        let version = i64::from_be_bytes(self.take(8)?.try_into().ok()?);
        let length = self.number()?;
        Some((self.name, version, self.take(length.into())?))
    }
}

impl<'a> Iterator for Cells<'a> {
    type Item = Result<(&'a str, i64, &'a [u8])>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() && self.left == 0 {
            return None;
        }
        let cell = self.cell();
        if cell.is_none() {
            (self.rest, self.left) = (&[], 0);
        }
        Some(cell.ok_or_else(|| corrupt("a row's marker that is cut off")))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;

    use feitian_wire::ots::Value;
    use proptest::prelude::*;

    use super::*;
    use crate::cells::{StoredRow, Versions};
    use crate::keys;
    use crate::view::Writes;

    fn row(columns: Columns) -> StoredRow {
        StoredRow { exists: true, columns, ..StoredRow::default() }
    }

    fn one(value: Value) -> Columns {
        BTreeMap::from([("c1".to_owned(), Versions::from([(1, value)]))])
    }

    /// What a change does under the prefix "r", in hex without the bytes of long values.
    fn changes(old: &StoredRow, new: &StoredRow) -> Vec<(String, Option<usize>)> {
        let mut writes = Writes::default();
        new.changes_from(old, b"r", &mut writes);
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        writes.of_row(b"r").map(|(tail, value)| (hex(tail), value.map(<[u8]>::len))).collect()
    }

    // From docs/format-tables.md: written by hand from its rules.
    #[test]
    fn golden_bytes() {
        assert_eq!(encode(&Columns::new()).unwrap(), [2]);
        let versions = Versions::from([(1, Value::Bool(true)), (258, Value::Str("hz".into()))]);
        let columns = BTreeMap::from([("c1".to_owned(), versions)]);
        let bytes = [
            &[2, 2, b'c', b'1', 0, 2][..],
            &[0, 0, 0, 0, 0, 0, 1, 2, 0, 3, 3, 0x68, 0x7a],
            &[0, 0, 0, 0, 0, 0, 0, 1, 0, 2, 2, 1],
        ]
        .concat();
        assert_eq!(encode(&columns).unwrap(), bytes);
        let read: Vec<_> = cells(&bytes).unwrap().unwrap().map(Result::unwrap).collect();
        assert_eq!(read, [("c1", 258, &[3, 0x68, 0x7a][..]), ("c1", 1, &[2, 1][..])]);
        assert!(cells(APART).unwrap().is_none());
    }

    // From docs/format-tables.md: 4,096 bytes, of which 17 are not the text's: the form, the name and its length, the number
    // of versions, the version, the value's length and type.
    #[test]
    fn a_row_that_grows_gets_keys_for_its_cells() {
        let (small, large) = (row(one(Value::Str("x".repeat(4079)))), row(one(Value::Str("x".repeat(4080)))));
        assert!(fits(&small.columns) && !fits(&large.columns));
        let cell = "0263310001".to_owned() + "7ffffffffffffffe";
        let nothing = StoredRow::default();
        assert_eq!(changes(&nothing, &small), [("01".to_owned(), Some(4096))]);
        assert_eq!(changes(&small, &small), []);
        assert_eq!(changes(&small, &nothing), [("01".to_owned(), None)]);
        assert_eq!(changes(&small, &large), [("01".to_owned(), Some(1)), (cell.clone(), Some(4081))]);
        let apart = StoredRow { has_cell_keys: true, ..large.clone() };
        assert_eq!(changes(&apart, &apart), []);
        // It was put: nothing is left of what was there.
        assert_eq!(changes(&apart, &small), [("01".to_owned(), Some(4096)), (cell.clone(), None)]);
        assert_eq!(changes(&apart, &nothing), [("01".to_owned(), None), (cell.clone(), None)]);
        // It was updated: the values of its other columns may not have been read.
        let shrunk = StoredRow { has_cell_keys: true, ..row(one(Value::Bool(true))) };
        assert_eq!(changes(&apart, &shrunk), [(cell, Some(2))]);
    }

    // IEEE 754: zero and minus zero are equal and not the same.
    #[test]
    fn a_changed_bit_is_a_change() {
        let (zero, minus) = (row(one(Value::Double(0.0))), row(one(Value::Double(-0.0))));
        assert_eq!(changes(&zero, &minus).len(), 1);
        assert_eq!(changes(&zero, &zero), []);
    }

    fn columns() -> impl Strategy<Value = Columns> {
        let value = prop_oneof![
            any::<i64>().prop_map(Value::Int),
            "[a\0é]{0,9}".prop_map(Value::Str),
            proptest::collection::vec(any::<u8>(), 0..600).prop_map(Value::Bin),
        ];
        let versions = proptest::collection::btree_map(any::<i64>(), value, 1..4);
        proptest::collection::btree_map("[a-c_]{1,3}", versions, 0..6)
    }

    proptest! {
        #[test]
        fn rows_come_back(columns in columns()) {
            let Some(marker) = encode(&columns) else { return Ok(()) };
            prop_assert!(marker.len() <= MAX_BYTES && Some(marker.len()) == size(&columns));
            let (mut all, mut none) = (StoredRow::default(), StoredRow::default());
            all.add_named(&[keys::MARKER], &marker, &std::collections::BTreeSet::new()).unwrap();
            none.add_wanted(&[keys::MARKER], &marker, &|_: &str| false).unwrap();
            prop_assert_eq!(all, row(columns));
            prop_assert_eq!(none, row(Columns::new()));
        }

        #[test]
        fn foreign_bytes_are_refused_without_a_panic(columns in columns(), at in any::<usize>(), with in any::<u8>()) {
            let mut marker = encode(&columns).unwrap_or_default();
            let cut = at % (marker.len() + 1);
            for bytes in [&marker[..cut].to_vec(), { if cut < marker.len() { marker[cut] = with; } &marker }] {
                let mut read = StoredRow::default();
                let _ = read.add_wanted(&[keys::MARKER], bytes, &|_: &str| true);
            }
        }
    }
}
