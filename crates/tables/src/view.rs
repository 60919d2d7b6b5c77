//! What a request sees: the engine's keys with a transaction's own writes over them, read in pages, pair by pair or row by row.

use std::collections::btree_map::Range;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::iter::{Peekable, Rev};
use std::ops::Bound;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use feitian_base::Result;

use crate::cells::StoredRow;
use crate::engine::{Batch, Engine, Order, Pair, Scan};
use crate::errors::invalid;
use crate::hot::{Gathered, Hot, Known};
use crate::inner::Inner;
use crate::keys;
use crate::whole;

/// Pairs and bytes of one page of a scan: what is in memory of a range, beside the row that is being put together.
const PAGE_PAIRS: usize = 1024;
const PAGE_BYTES: usize = 1 << 20;
/// Bytes of the rows that one answer has, or of the last row of a range.
const MAX_SHOWN_BYTES: usize = 64 << 20;

/// Changes that are to happen together, the last one for each key.
#[derive(Debug, Clone, Default)]
pub(crate) struct Writes {
    by_key: BTreeMap<Bytes, Option<Bytes>>,
    bytes: usize,
}

impl Writes {
    pub(crate) fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.set(key.into(), Some(value.into()));
    }

    pub(crate) fn delete(&mut self, key: Vec<u8>) {
        self.set(key.into(), None);
    }

    /// Takes in later changes.
    pub(crate) fn append(&mut self, later: Self) {
        for (key, value) in later.by_key {
            self.set(key, value);
        }
    }

    fn set(&mut self, key: Bytes, value: Option<Bytes>) {
        let size = |value: &Option<Bytes>| value.as_ref().map_or(0, Bytes::len);
        self.bytes += size(&value);
        let key_bytes = key.len();
        match self.by_key.insert(key, value) {
            Some(old) => self.bytes -= size(&old),
            None => self.bytes += key_bytes,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// The changes of one row: what stands behind its prefix, and the new value if there is one.
    pub(crate) fn of_row<'a>(&'a self, row: &'a [u8]) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> {
        let from = self.by_key.range::<[u8], _>((Bound::Included(row), Bound::Unbounded));
        let own = from.take_while(|(key, _)| key.starts_with(row));
        own.map(|(key, value)| (&key[row.len()..], value.as_deref()))
    }

    /// What later changes take beside these: the bytes of keys and values, and `each` for a key. What shrinks is not counted.
    pub(crate) fn growth(&self, later: &Self, each: usize) -> usize {
        let size = |value: &Option<Bytes>| value.as_ref().map_or(0, Bytes::len);
        let grows = |(key, value): (&Bytes, &Option<Bytes>)| match self.by_key.get(key) {
            Some(before) => size(value).saturating_sub(size(before)),
            None => key.len() + size(value) + each,
        };
        later.by_key.iter().map(grows).sum()
    }

    /// Bytes of keys and values.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn into_batch(self) -> Batch {
        let mut batch = Batch::new();
        for (key, value) in self.by_key {
            match value {
                Some(value) => batch.put(key, value),
                None => batch.delete(key),
            }
        }
        batch
    }
}

/// Tells a column that is wanted by its name.
pub(crate) type Wanted<'a> = &'a (dyn Fn(&str) -> bool + Send + Sync);

/// Which of a row's columns are wanted.
pub(crate) enum Needed<'a> {
    /// Those that an answer shows, all as they were at one moment, while there is room: for readers, who hold no latch.
    Shown(Wanted<'a>, &'a Room),
    /// The values of these, and which other cells there are: for writers, who replace the row.
    Named(BTreeSet<String>),
    /// The same, but of a wide row the cells of `columns` alone, to which `values` belong: for writers who leave the
    /// others as they are. Their latch keeps the row as it is from one look to the next.
    Columns { columns: BTreeSet<String>, values: BTreeSet<String> },
}

impl Needed<'_> {
    fn add_to(&self, row: &mut StoredRow, tail: &[u8], value: &[u8]) -> Result<()> {
        match self {
            Self::Shown(wanted, room) => room.take(row.add_wanted(tail, value, *wanted)?),
            Self::Named(values) | Self::Columns { values, .. } => row.add_named(tail, value, values),
        }
    }
}

/// The engine, with writes over it that nobody else sees.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    engine: &'a dyn Engine,
    overlay: Option<&'a Writes>,
    hot: Option<&'a Hot>,
}

impl<'a> View<'a> {
    pub(crate) fn of(engine: &'a dyn Engine) -> Self {
        Self::over(engine, None)
    }

    /// With writes over it.
    pub(crate) fn over(engine: &'a dyn Engine, overlay: Option<&'a Writes>) -> Self {
        Self { engine, overlay, hot: None }
    }

    /// With the rows that are in memory: for who asks for rows by their keys.
    pub(crate) fn of_rows(inner: &'a Inner) -> Self {
        Self { engine: &*inner.engine, overlay: None, hot: Some(&inner.hot) }
    }

    /// Whether rows are kept in memory that are asked for.
    pub(crate) fn keeps_rows(&self) -> bool {
        self.hot.is_some()
    }

    pub(crate) async fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        match self.overlay.and_then(|overlay| overlay.by_key.get(key)) {
            Some(own) => Ok(own.clone()),
            None => self.engine.get(key).await,
        }
    }

    /// The pairs from `from` to `to`, the end excluded.
    pub(crate) async fn pairs(&self, from: Vec<u8>, to: Vec<u8>, order: Order) -> Result<Pairs<'a>> {
        let (from, to) = (Bytes::from(from), Bytes::from(to));
        let own = match self.overlay {
            Some(overlay) if from < to => {
                let range = overlay.by_key.range::<Bytes, _>((Bound::Included(&from), Bound::Excluded(&to)));
                Some(match order {
                    Order::Forward => Own::Forward(range.peekable()),
                    Order::Backward => Own::Backward(range.rev().peekable()),
                })
            }
            _ => None,
        };
        let scan = self.engine.scan(Bound::Included(from), Bound::Excluded(to), order).await?;
        Ok(Pairs { scan, page: VecDeque::new(), is_over: false, own, order })
    }

    /// The rows whose keys lie between two bounds, each put together; a key has `columns` columns.
    /// Of their other columns those are read that are wanted.
    pub(crate) async fn rows(
        &self,
        (from, to, order): (Vec<u8>, Vec<u8>, Order),
        columns: usize,
        wanted: Wanted<'a>,
    ) -> Result<Rows<'a>> {
        Ok(Rows { pairs: self.pairs(from, to, order).await?, columns, wanted, next: None })
    }

    /// The row under a prefix; only what is needed of it, if it is wide.
    pub(crate) async fn row(&self, row: &[u8], needed: &Needed<'_>) -> Result<StoredRow> {
        Ok(self.look(row, needed).await?.0)
    }

    /// The same with all that the engine has of the row, unless that is much. It is exact for who holds the row's latch.
    pub(crate) async fn look(&self, row: &[u8], needed: &Needed<'_>) -> Result<(StoredRow, Option<Known>)> {
        let Some(hot) = self.hot else { return Ok((self.read(row, needed, None).await?, None)) };
        if let Some(known) = hot.get(row) {
            self.engine.check_readable()?;
            let mut found = StoredRow::default();
            for (tail, value) in known.pairs() {
                needed.add_to(&mut found, tail, value)?;
            }
            return Ok((found, Some(known)));
        }
        let (begun, mut gathered) = (hot.begun(row), Gathered::default());
        let found = self.read(row, needed, Some(&mut gathered)).await?;
        let known = gathered.finish();
        if let (Some(begun), Some(known)) = (begun, &known) {
            hot.keep(row, known.clone(), begun);
        }
        Ok((found, known))
    }

    /// The row as the engine and the writes over it have it.
    async fn read(&self, row: &[u8], needed: &Needed<'_>, mut gathered: Option<&mut Gathered>) -> Result<StoredRow> {
        let mut found = StoredRow::default();
        let Some(marker) = self.get(&keys::marker(row)).await? else { return Ok(found) };
        if whole::cells(&marker)?.is_some() {
            gathered.into_iter().for_each(|gathered| gathered.push(&[keys::MARKER], &marker));
            needed.add_to(&mut found, &[keys::MARKER], &marker)?;
            return Ok(found);
        }
        // Others may be changing the row: it is read again, marker and cells as they are at one moment.
        let mut pairs = self.pairs(row.to_vec(), keys::row_end(row), Order::Forward).await?;
        let mut count = 0;
        while let Some((key, value)) = pairs.next().await? {
            count += 1;
            let tail = &key[row.len()..];
            if let Some(gathered) = &mut gathered {
                gathered.push(tail, &value);
            }
            match needed {
                Needed::Columns { columns, values } if count > PAGE_PAIRS => {
                    gathered.into_iter().for_each(Gathered::give_up);
                    return self.columns(row, columns, values).await;
                }
                needed => needed.add_to(&mut found, tail, &value)?,
            }
        }
        Ok(found)
    }

    async fn columns(&self, row: &[u8], names: &BTreeSet<String>, values: &BTreeSet<String>) -> Result<StoredRow> {
        let exists = self.get(&keys::marker(row)).await?.is_some();
        let mut found = StoredRow { exists, has_cell_keys: true, ..StoredRow::default() };
        for name in names {
            let from = keys::column(row, name);
            let to = keys::after(&from);
            let mut pairs = self.pairs(from, to, Order::Forward).await?;
            while let Some((key, value)) = pairs.next().await? {
                found.add_named(&key[row.len()..], &value, values)?;
            }
        }
        Ok(found)
    }
}

/// A transaction's own writes in the order of a scan.
enum Own<'a> {
    Forward(Peekable<Range<'a, Bytes, Option<Bytes>>>),
    Backward(Peekable<Rev<Range<'a, Bytes, Option<Bytes>>>>),
}

impl<'a> Own<'a> {
    fn peek(&mut self) -> Option<&'a Bytes> {
        match self {
            Self::Forward(range) => range.peek().map(|(key, _)| *key),
            Self::Backward(range) => range.peek().map(|(key, _)| *key),
        }
    }

    fn next(&mut self) -> Option<(&'a Bytes, &'a Option<Bytes>)> {
        match self {
            Self::Forward(range) => range.next(),
            Self::Backward(range) => range.next(),
        }
    }
}

/// The pairs of a range, own writes merged in.
pub(crate) struct Pairs<'a> {
    scan: Box<dyn Scan>,
    page: VecDeque<Pair>,
    is_over: bool,
    own: Option<Own<'a>>,
    order: Order,
}

impl Pairs<'_> {
    pub(crate) async fn next(&mut self) -> Result<Option<Pair>> {
        loop {
            if self.page.is_empty() && !self.is_over {
                self.page = self.scan.next_batch(PAGE_PAIRS, PAGE_BYTES).await?.into();
                self.is_over = self.page.is_empty();
            }
            let stored = self.page.front().map(|(key, _)| key);
            let Some((own, key)) = self.own.as_mut().and_then(|own| own.peek().map(|key| (own, key))) else {
                return Ok(self.page.pop_front());
            };
            let comes_first = stored.is_none_or(|stored| match self.order {
                Order::Forward => key <= stored,
                Order::Backward => key >= stored,
            });
            if !comes_first {
                return Ok(self.page.pop_front());
            }
            let hides = stored == Some(key);
            let change = own.next();
            if hides {
                self.page.pop_front();
            }
            if let Some((key, Some(value))) = change {
                return Ok(Some((key.clone(), value.clone())));
            }
        }
    }
}

/// What rows take that are in memory together before they are answered: one of GetRow, and all of a batch.
#[derive(Debug, Default)]
pub(crate) struct Room(AtomicUsize);

impl Room {
    fn take(&self, bytes: usize) -> Result<()> {
        if self.0.fetch_add(bytes, Ordering::Relaxed) + bytes <= MAX_SHOWN_BYTES {
            return Ok(());
        }
        let words =
            "The answer is too large: read fewer rows, or parts of them (columns_to_get, start_column, end_column).";
        Err(invalid(format!("{words} The most is {MAX_SHOWN_BYTES} bytes.")))
    }
}

/// One row of a range.
#[derive(Debug)]
pub(crate) struct Scanned {
    pub prefix: Bytes,
    pub row: StoredRow,
    /// Bytes read for it.
    pub bytes: usize,
}

/// The rows of a range.
pub(crate) struct Rows<'a> {
    pairs: Pairs<'a>,
    columns: usize,
    wanted: Wanted<'a>,
    next: Option<Pair>,
}

impl Rows<'_> {
    pub(crate) async fn next(&mut self) -> Result<Option<Scanned>> {
        let Some(prefix) = self.peek().await? else { return Ok(None) };
        let (mut row, mut bytes, room) = (StoredRow::default(), 0, Room::default());
        while let Some((key, value)) = self.next.take() {
            if !key.starts_with(&prefix) {
                self.next = Some((key, value));
                break;
            }
            bytes += key.len() + value.len();
            room.take(row.add_wanted(&key[prefix.len()..], &value, self.wanted)?)?;
            self.next = self.pairs.next().await?;
        }
        Ok(Some(Scanned { prefix, row, bytes }))
    }

    /// The prefix of the next row, which stays where it is.
    pub(crate) async fn peek(&mut self) -> Result<Option<Bytes>> {
        if self.next.is_none() {
            self.next = self.pairs.next().await?;
        }
        let Some((key, _)) = &self.next else { return Ok(None) };
        Ok(Some(key.slice(..keys::row_len(key, self.columns)?)))
    }
}
