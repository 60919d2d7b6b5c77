//! What one write will do, worked out under the row's latch and not yet done: condition, new row, index entries, answer.

use std::collections::BTreeSet;

use feitian_base::Result;
use feitian_wire::ots::{Cell, CellOp, Filter, KeyColumn, KeyValue, Row};

use crate::apply::{self, Applied};
use crate::cells::{Live, StoredRow};
use crate::check;
use crate::errors::condition_failed;
use crate::filter::{self, Ready, Use};
use crate::hot::Known;
use crate::index::{self, Charges};
use crate::keys::{self, space};
use crate::model::{Action, Condition, Existence, Returns, RowChange, RowWrite, Units, Written};
use crate::table::{Record, Table};
use crate::units;
use crate::view::{Needed, View, Writes};
use crate::whole;

/// A write that only needs its commit.
#[derive(Debug)]
pub(crate) struct Planned {
    pub writes: Writes,
    /// What the stream tells of it.
    pub told: Option<(Action, Row)>,
    pub answer: Written,
    pub charges: Charges,
    /// Bytes that the caller sent.
    pub size: usize,
    /// The row's prefix, and what the engine will have under it: for [`Hot`](crate::hot::Hot).
    pub after: Option<(Vec<u8>, Known)>,
}

/// Works out a write at `now_ms`. Its key is complete: the caller has put a number in the place of `AUTO_INCREMENT`.
pub(crate) async fn plan(
    view: View<'_>,
    (table, record): (&Table, &Record),
    write: &RowWrite,
    now_ms: i64,
) -> Result<Planned> {
    let key = check::changed_key(&write.change);
    let prefix = keys::row(record.generation, key);
    let live = record.live(now_ms);
    let condition = write.condition.filter.as_ref();
    let (old, known) = match needs_no_look(table, record, write) {
        true => (StoredRow::default(), view.keeps_rows().then(Known::default)),
        false => view.look(&prefix, &needed(record, &write.change, condition)).await?,
    };
    // Behind the last pause: a batch may have thousands of expressions, of which few should be in memory at a time.
    let filter = condition.map(|filter| Ready::new(filter, Use::Condition)).transpose()?;
    if !holds(&write.condition, filter.as_ref(), key, &old, &live) {
        return Err(condition_failed());
    }
    let applied = apply::apply(&old, &write.change, now_ms, &live)?;
    let mut writes = Writes::default();
    if !whole::fits(&applied.row.columns) {
        table.note_apart();
        writes.put(keys::catalog_of(space::APART, record.generation), Vec::new());
    }
    applied.row.changes_from(&old, &prefix, &mut writes);
    let after = known.and_then(|known| known.with(writes.of_row(&prefix)));
    let charges = index::change(record, key, (&old, &applied.row), &mut writes)?;
    let size = changed_size(record, &write.change);
    let answer = Written { consumed: consumed(write, key, size), row: returned(write, key, &applied) };
    let told = applied
        .told
        .map(|(action, cells)| (action, Row { key: key.to_vec(), cells, deleted: action == Action::Delete }));
    Ok(Planned { writes, told, answer, charges, size, after: after.map(|known| (prefix, known)) })
}

/// A put without a condition replaces whatever there is, which is one key where no row has keys for its cells. Of indexes, the
/// entry that the row had must be found.
fn needs_no_look(table: &Table, record: &Record, write: &RowWrite) -> bool {
    let RowWrite { change: RowChange::Put(_), condition, .. } = write else { return false };
    let expects = condition.existence != Existence::Ignore || condition.filter.is_some();
    !expects && record.indexes.is_empty() && !table.may_have_apart()
}

/// A write needs the values of the columns that it increments, of those of its condition, and of those of indexes. What
/// it writes over or deletes needs none: 1024 columns may hold far more than a request.
fn needed(record: &Record, change: &RowChange, condition: Option<&Filter>) -> Needed<'static> {
    let mut values = BTreeSet::new();
    if let Some(condition) = condition {
        filter::columns(condition, &mut values);
    }
    index::columns(record, &mut values);
    match change {
        RowChange::Update(row) => {
            let names = |cell: &Cell| cell.name.clone();
            let incremented = row.cells.iter().filter(|cell| cell.op == Some(CellOp::Increment));
            values.extend(incremented.map(names));
            let mut columns = values.clone();
            columns.extend(row.cells.iter().map(names));
            Needed::Columns { columns, values }
        }
        RowChange::Put(_) | RowChange::Delete(_) => Needed::Named(values),
    }
}

fn holds(condition: &Condition, filter: Option<&Ready>, key: &[KeyColumn], old: &StoredRow, live: &Live) -> bool {
    let exists = match condition.existence {
        Existence::Ignore => true,
        Existence::Exists => old.exists,
        Existence::Missing => !old.exists,
    };
    let passes = |filter: &Ready| {
        let mut readable = old.clone();
        readable.trim(live);
        // On a row that is not there every column is missing, those of the key as well.
        let key = if old.exists { key } else { &[] };
        filter.passes(key, &readable.columns)
    };
    exists && filter.is_none_or(passes)
}

fn changed_size(record: &Record, change: &RowChange) -> usize {
    match change {
        RowChange::Put(row) | RowChange::Update(row) => units::row_size(row, units::counts_versions(&record.options)),
        RowChange::Delete(key) => units::key_size(key),
    }
}

/// Looking at the row costs read units; a write that expects nothing does not look.
fn consumed(write: &RowWrite, key: &[KeyColumn], size: usize) -> Units {
    let looks = write.condition.existence != Existence::Ignore || write.condition.filter.is_some();
    Units { read: if looks { units::units(units::key_size(key)) } else { 0 }, write: units::units(size) }
}

fn returned(write: &RowWrite, key: &[KeyColumn], applied: &Applied) -> Option<Row> {
    let wanted = |name: &String| write.return_columns.contains(name);
    let cells = match write.returns {
        Returns::Nothing => return None,
        Returns::Key => Vec::new(),
        Returns::AfterModify => applied.incremented.iter().filter(|cell| wanted(&cell.name)).cloned().collect(),
    };
    Some(Row { key: key.to_vec(), cells, deleted: false })
}

/// Puts a number in the place of `AUTO_INCREMENT`.
pub(crate) fn fill(write: &mut RowWrite, at: usize, number: i64) {
    let key = match &mut write.change {
        RowChange::Put(row) | RowChange::Update(row) => &mut row.key,
        RowChange::Delete(key) => key,
    };
    if let Some(column) = key.get_mut(at) {
        column.value = KeyValue::Int(number);
    }
}
