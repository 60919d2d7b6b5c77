//! Reading rows: one, some, and ranges in pages. What is in memory is a page of the engine's, a row, and the answer.

use feitian_base::Result;
use feitian_wire::ots::KeyColumn;

use crate::check::{self, KeyUse};
use crate::engine::Order;
use crate::errors::{again, invalid};
use crate::inner::{Inner, Source};
use crate::keys;
use crate::model::{Direction, GetRange, GetRow, Got, Page, Select, Units};
use crate::project::Projector;
use crate::units;
use crate::view::{Needed, Room, View};

/// One row.
pub(crate) async fn get_row(inner: &Inner, instance: &str, get: &GetRow) -> Result<Got> {
    let source = inner.source(instance, &get.table)?;
    let projector = projector(inner, &source, &get.select);
    let Some(id) = &get.transaction else {
        return row(&source, (View::of_rows(inner), &Room::default()), &get.key, &projector).await;
    };
    let txn = inner.transactions.find(inner, instance, id)?;
    txn.check_table(&source.table.name)?;
    let own = txn.own()?;
    let overlay = own.as_ref().map(|own| &own.writes);
    let look = (View::over(&*inner.engine, overlay), &Room::default());
    let mut got = row(&source, look, &get.key, &projector).await?;
    in_transaction(&source, &mut got.consumed);
    Ok(got)
}

/// A request within a transaction costs a write unit at least.
fn in_transaction(source: &Source, consumed: &mut Units) {
    let one = Units { read: 0, write: 1 };
    source.table.meters.count(source.generation(), one);
    consumed.write += one.write;
}

/// What a request shows of a table's rows: made once for all of them, since the expressions of a filter take time and
/// room. An error in it is that of every row whose key is right.
pub(crate) fn projector<'a>(inner: &Inner, source: &Source, select: &'a Select) -> Result<Projector<'a>> {
    Projector::new(select, source.record.live(inner.now_ms()), source.key(), source.options())
}

/// One row of a table that was found already.
pub(crate) async fn row(
    source: &Source,
    (view, room): (View<'_>, &Room),
    key: &[KeyColumn],
    projector: &Result<Projector<'_>>,
) -> Result<Got> {
    check::key(source.key(), key, KeyUse::Read)?;
    let projector = projector.as_ref().map_err(again)?;
    let wanted = |name: &str| projector.wants_column(name);
    let stored = view.row(&keys::row(source.generation(), key), &Needed::Shown(&wanted, room)).await?;
    source.check_alive()?;
    let shown = projector.show(key.to_vec(), stored);
    let read = units::units(shown.row.as_ref().map_or(0, |row| projector.size(row)));
    let consumed = Units { read, write: 0 };
    source.table.meters.count(source.generation(), consumed);
    Ok(Got { consumed, row: shown.row, next_token: None })
}

/// Rows of a range, either way.
pub(crate) async fn get_range(inner: &Inner, instance: &str, get: &GetRange) -> Result<Page> {
    let source = inner.source(instance, &get.table)?;
    let Some(id) = &get.transaction else {
        return range(inner, &source, View::of(&*inner.engine), get).await;
    };
    let txn = inner.transactions.find(inner, instance, id)?;
    txn.check_table(&source.table.name)?;
    let own = txn.own()?;
    let overlay = own.as_ref().map(|own| &own.writes);
    let mut page = range(inner, &source, View::over(&*inner.engine, overlay), get).await?;
    in_transaction(&source, &mut page.consumed);
    Ok(page)
}

async fn range(inner: &Inner, source: &Source, view: View<'_>, get: &GetRange) -> Result<Page> {
    check::key(source.key(), &get.begin, KeyUse::Bound)?;
    check::key(source.key(), &get.end, KeyUse::Bound)?;
    let bounds = bounds(source.generation(), get)?;
    let limit = match get.limit {
        None => inner.settings.range_rows,
        Some(limit) if limit <= 0 => return Err(invalid("The limit must be greater than 0.")),
        Some(limit) => usize::try_from(limit).unwrap_or(usize::MAX).min(inner.settings.range_rows),
    };
    let projector = projector(inner, source, &get.select)?;
    let wanted = |name: &str| projector.wants_column(name);
    let mut scan = view.rows(bounds, source.key().len(), &wanted).await?;
    let (mut rows, mut scanned, mut looked_at, mut next) = (Vec::new(), 0, 0_usize, None);
    while let Some(prefix) = scan.peek().await? {
        if rows.len() >= limit || scanned >= inner.settings.range_bytes {
            next = Some(keys::read_row(&prefix, source.key())?);
            break;
        }
        let Some(row) = scan.next().await? else { break };
        scanned += row.bytes;
        let shown = projector.show(keys::read_row(&row.prefix, source.key())?, row.row);
        looked_at = looked_at.saturating_add(shown.looked_at);
        rows.extend(shown.row);
        if projector.is_slow() {
            // A page of the engine's is many rows, and no other task of this thread would go on before its end.
            tokio::task::yield_now().await;
        }
    }
    source.check_alive()?;
    let consumed = Units { read: units::units(looked_at), write: 0 };
    source.table.meters.count(source.generation(), consumed);
    Ok(Page { consumed, rows, next, next_token: None })
}

/// The keys of the engine between two bounds, of which the first is part of the range and the second is not.
fn bounds(generation: u64, get: &GetRange) -> Result<(Vec<u8>, Vec<u8>, Order)> {
    let (begin, end) = (keys::row(generation, &get.begin), keys::row(generation, &get.end));
    match get.direction {
        Direction::Forward if begin >= end => Err(invalid("Begin key must less than end key in FORWARD")),
        Direction::Forward => Ok((begin, end, Order::Forward)),
        Direction::Backward if begin <= end => Err(invalid("Begin key must more than end key in BACKWARD")),
        // Everything of the first row, and nothing of the last.
        Direction::Backward => Ok((keys::row_end(&end), keys::row_end(&begin), Order::Backward)),
    }
}
