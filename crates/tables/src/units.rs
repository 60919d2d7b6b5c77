//! Capacity units and sizes, as the protocol counts them: bytes of names and values, in units of 4 KiB.

use feitian_wire::ots::{Cell, CellOp, KeyColumn, Row};

use crate::cells::{Columns, Versions};
use crate::model::Options;

const UNIT_BYTES: usize = 4096;

/// Units for so many bytes, one at least.
pub(crate) fn units(bytes: usize) -> i32 {
    i32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(i32::MAX).max(1)
}

/// Whether versions count: a table that keeps one version for ever has none worth naming.
pub(crate) fn counts_versions(options: &Options) -> bool {
    options.max_versions > 1 || options.time_to_live_s != -1
}

/// Bytes of a key.
pub(crate) fn key_size(key: &[KeyColumn]) -> usize {
    key.iter().map(|column| column.name.len() + column.value.size()).sum()
}

/// Bytes of cells that were written or are answered. What deletes counts its name.
pub(crate) fn cells_size(cells: &[Cell], with_versions: bool) -> usize {
    cells.iter().map(|cell| cell_size(cell, with_versions)).sum()
}

fn cell_size(cell: &Cell, with_versions: bool) -> usize {
    let value = cell.value.as_ref().map_or(0, feitian_wire::ots::Value::size);
    match cell.op {
        Some(CellOp::DeleteAll | CellOp::DeleteOne) => cell.name.len(),
        Some(CellOp::Increment) | None => cell.name.len() + value + if with_versions { 8 } else { 0 },
    }
}

/// Bytes of columns, each version with its column's name.
pub(crate) fn columns_size(columns: &Columns, with_versions: bool) -> usize {
    let beside = |name: &String| name.len() + if with_versions { 8 } else { 0 };
    let column = |(name, versions): (&String, &Versions)| -> usize {
        versions.values().map(|value| beside(name) + value.size()).sum()
    };
    columns.iter().map(column).sum()
}

/// Bytes of a whole row.
pub(crate) fn row_size(row: &Row, with_versions: bool) -> usize {
    key_size(&row.key) + cells_size(&row.cells, with_versions)
}

#[cfg(test)]
mod tests {
    use feitian_wire::ots::{KeyValue, Value};

    use super::*;

    // Arithmetic on the reference's rule (part 5.2): names and values in bytes, 4096 to a unit, one at least.
    #[test]
    fn sizes_count_bytes() {
        let key = vec![KeyColumn { name: "pk".into(), value: KeyValue::Str("京".into()) }];
        let put = |name: &str, value| Cell { name: name.into(), value: Some(value), op: None, version: Some(1) };
        let cells = vec![put("a", Value::Bool(true)), put("bb", Value::Double(0.5)), put("c", Value::Bin(vec![0; 10]))];
        let row = Row { key, cells, deleted: false };
        assert_eq!(row_size(&row, false), (2 + 3) + (1 + 1) + (2 + 8) + (1 + 10));
        assert_eq!(row_size(&row, true), row_size(&row, false) + 3 * 8);
        let delete = Cell { name: "abc".into(), value: None, op: Some(CellOp::DeleteOne), version: Some(1) };
        assert_eq!(cells_size(&[delete], true), 3);
        assert_eq!([0, 1, 4096, 4097, 8193].map(units), [1, 1, 1, 2, 3]);
    }
}
