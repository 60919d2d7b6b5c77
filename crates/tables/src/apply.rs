//! What a change makes of a row: a pure function of the row before it, the change, and the moment.
//!
//! Versions that cannot be read any more are left out first, so that no deletion uncovers one of them.

use feitian_base::Result;
use feitian_wire::ots::{Cell, CellOp, Row, Value};

use crate::cells::{Live, StoredRow};
use crate::errors::invalid;
use crate::model::{Action, RowChange};

/// What came of a change.
#[derive(Debug)]
pub(crate) struct Applied {
    pub row: StoredRow,
    /// What a stream tells of it; `None`: nothing happened.
    pub told: Option<(Action, Vec<Cell>)>,
    /// The columns that were incremented, with their new values.
    pub incremented: Vec<Cell>,
}

/// Changes a row at `now_ms`.
pub(crate) fn apply(old: &StoredRow, change: &RowChange, now_ms: i64, live: &Live) -> Result<Applied> {
    match change {
        RowChange::Put(row) => Ok(put(row, now_ms, live)),
        RowChange::Update(row) => update(old, row, now_ms, live),
        RowChange::Delete(_) => {
            let told = old.exists.then(|| (Action::Delete, Vec::new()));
            Ok(Applied { row: StoredRow::default(), told, incremented: Vec::new() })
        }
    }
}

fn put(row: &Row, now_ms: i64, live: &Live) -> Applied {
    let mut new = StoredRow { exists: true, ..StoredRow::default() };
    let mut told = Vec::with_capacity(row.cells.len());
    for cell in &row.cells {
        if let Some(value) = &cell.value {
            told.push(set(&mut new, &cell.name, cell.version.unwrap_or(now_ms), value.clone()));
        }
    }
    new.trim(live);
    Applied { row: new, told: Some((Action::Put, told)), incremented: Vec::new() }
}

fn update(old: &StoredRow, row: &Row, now_ms: i64, live: &Live) -> Result<Applied> {
    let creates = row.cells.iter().any(|cell| matches!(cell.op, None | Some(CellOp::Increment)));
    if !old.exists && !creates {
        return Ok(Applied { row: old.clone(), told: None, incremented: Vec::new() });
    }
    let mut new = old.clone();
    new.trim(live);
    new.exists = true;
    let (mut told, mut incremented) = (Vec::with_capacity(row.cells.len()), Vec::new());
    for cell in &row.cells {
        match (cell.op, &cell.value) {
            (None, Some(value)) => {
                told.push(set(&mut new, &cell.name, cell.version.unwrap_or(now_ms), value.clone()));
            }
            (Some(CellOp::Increment), Some(Value::Int(by))) => {
                let cell = increment(&mut new, &cell.name, *by, now_ms)?;
                incremented.push(cell.clone());
                told.push(cell);
            }
            (Some(CellOp::DeleteAll), _) => {
                new.columns.remove(&cell.name);
                told.push(cell.clone());
            }
            (Some(CellOp::DeleteOne), _) => {
                if let (Some(versions), Some(version)) = (new.columns.get_mut(&cell.name), cell.version) {
                    versions.remove(&version);
                }
                told.push(cell.clone());
            }
            (None | Some(CellOp::Increment), _) => return Err(invalid(format!("Invalid value. Cell:{}", cell.name))),
        }
    }
    new.trim(live);
    Ok(Applied { row: new, told: Some((Action::Update, told)), incremented })
}

fn set(row: &mut StoredRow, name: &str, version: i64, value: Value) -> Cell {
    row.columns.entry(name.to_owned()).or_default().insert(version, value.clone());
    Cell { name: name.to_owned(), value: Some(value), op: None, version: Some(version) }
}

/// Adds to the newest version. The sum is the newest then, whatever version a caller gave the one before.
fn increment(row: &mut StoredRow, name: &str, by: i64, now_ms: i64) -> Result<Cell> {
    let newest = row.columns.get(name).and_then(|versions| versions.last_key_value());
    let (version, before) = match newest {
        None => (now_ms, 0),
        Some((version, Value::Int(value))) => (now_ms.max(*version), *value),
        Some((_, other)) => {
            let words = format!("Column '{name}' of type {} cannot be incremented.", other.type_name());
            return Err(invalid(words));
        }
    };
    let sum = before.checked_add(by).ok_or_else(|| invalid(format!("Increment of column '{name}' overflows.")))?;
    Ok(set(row, name, version, Value::Int(sum)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn row(cells: Vec<Cell>) -> Row {
        Row { key: Vec::new(), cells, deleted: false }
    }

    fn cell(name: &str, op: Option<CellOp>, value: Option<i64>, version: Option<i64>) -> Cell {
        Cell { name: name.into(), value: value.map(Value::Int), op, version }
    }

    fn stored(columns: &[(&str, &[(i64, i64)])]) -> StoredRow {
        let versions = |cells: &[(i64, i64)]| cells.iter().map(|(at, value)| (*at, Value::Int(*value))).collect();
        let columns = columns.iter().map(|(name, cells)| ((*name).to_owned(), versions(cells))).collect();
        StoredRow { exists: true, columns, ..StoredRow::default() }
    }

    const ONE: Live = Live { max_versions: 1, oldest: i64::MIN };

    // From the reference, part 2.4 and 5.4.
    #[test]
    fn a_put_replaces_the_row_whatever_its_versions() {
        let old = stored(&[("a", &[(90, 1)]), ("b", &[(90, 2)])]);
        let new = apply(&old, &RowChange::Put(row(vec![cell("a", None, Some(5), Some(3))])), 10, &Live::ALL).unwrap();
        assert_eq!(new.row, stored(&[("a", &[(3, 5)])]));
    }

    #[test]
    fn deletions_alone_create_nothing_and_keep_the_last_row() {
        let delete = RowChange::Update(row(vec![cell("a", Some(CellOp::DeleteAll), None, None)]));
        let missing = apply(&StoredRow::default(), &delete, 10, &ONE).unwrap();
        assert!(missing.told.is_none() && !missing.row.exists);
        let emptied = apply(&stored(&[("a", &[(1, 1)])]), &delete, 10, &ONE).unwrap();
        assert_eq!(emptied.row, stored(&[]));
    }

    #[test]
    fn a_deleted_version_uncovers_none_that_could_not_be_read() {
        let delete = RowChange::Update(row(vec![cell("a", Some(CellOp::DeleteOne), None, Some(2))]));
        assert_eq!(apply(&stored(&[("a", &[(1, 1), (2, 2)])]), &delete, 10, &ONE).unwrap().row, stored(&[]));
        let two = apply(&stored(&[("a", &[(1, 1), (2, 2)])]), &delete, 10, &Live::ALL).unwrap();
        assert_eq!(two.row, stored(&[("a", &[(1, 1)])]));
    }

    #[test]
    fn increments_add_to_the_newest_version() {
        let add = |by| RowChange::Update(row(vec![cell("n", Some(CellOp::Increment), Some(by), None)]));
        let first = apply(&StoredRow::default(), &add(-1), 10, &ONE).unwrap();
        assert_eq!(first.row, stored(&[("n", &[(10, -1)])]));
        let ahead = apply(&stored(&[("n", &[(50, 7)])]), &add(2), 10, &ONE).unwrap();
        assert_eq!(ahead.row, stored(&[("n", &[(50, 9)])]));
        assert_eq!(ahead.incremented, vec![cell("n", None, Some(9), Some(50))]);
        let full = apply(&stored(&[("n", &[(1, i64::MAX)])]), &add(1), 10, &ONE);
        assert_eq!(full.unwrap_err().code(), "OTSParameterInvalid");
    }
}
