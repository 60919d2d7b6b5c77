//! The table store over an engine in memory: what callers are promised, before and after a restart.
#![allow(clippy::unwrap_used)]

mod apart;
mod changes;
mod hot;
mod indexes;
mod model;
mod options;
mod restarts;
mod rows;
mod transactions;
mod usage;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use feitian_tables::engine::memory::{Disk, Memory};
use feitian_tables::model::*;
use feitian_tables::{Clock, Settings, Tables};
use feitian_wire::ots::{Cell, CellOp, Compare, Filter, KeyColumn, KeyValue, Row, Value};

/// Where the clock begins, in milliseconds.
const START_MS: i64 = 1_700_000_000_000;

/// A clock that goes when it is told to.
struct Hand(AtomicI64);

impl Hand {
    fn advance_ms(&self, by: i64) {
        self.0.fetch_add(by * 1000, Ordering::SeqCst);
    }
}

impl Clock for Hand {
    fn now_us(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// A table store that can be opened again.
struct Store {
    disk: Disk,
    clock: Arc<Hand>,
    tables: Tables,
}

impl Store {
    async fn new() -> Self {
        let (disk, clock) = (Disk::new(), Arc::new(Hand(AtomicI64::new(START_MS * 1000))));
        let tables = open(&disk, &clock).await;
        Self { disk, clock, tables }
    }

    /// Opens the data again without closing them first, as after a crash.
    async fn reopen(&mut self) {
        self.tables = open(&self.disk, &self.clock).await;
    }
}

async fn open(disk: &Disk, clock: &Arc<Hand>) -> Tables {
    let settings = Settings { background: false, ..Settings::default() };
    Tables::open(Arc::new(Memory::open(disk)), clock.clone(), settings).await.unwrap()
}

fn key_schema(name: &str, kind: KeyType) -> KeySchema {
    KeySchema { name: name.into(), kind, auto_increment: false }
}

/// A table `name` with the keys `a` (integer) and `b` (string), the defined columns `n` (integer) and `s` (string).
fn new_table(name: &str) -> NewTable {
    NewTable {
        name: name.into(),
        key: vec![key_schema("a", KeyType::Integer), key_schema("b", KeyType::String)],
        defined: vec![
            DefinedColumn { name: "n".into(), kind: ColumnType::Integer },
            DefinedColumn { name: "s".into(), kind: ColumnType::String },
        ],
        throughput: Throughput::default(),
        options: Some(OptionsChange { time_to_live_s: Some(-1), max_versions: Some(1), ..OptionsChange::default() }),
        stream: None,
        indexes: Vec::new(),
        transactions: None,
    }
}

fn key(a: i64, b: &str) -> Vec<KeyColumn> {
    key_of(KeyValue::Int(a), KeyValue::Str(b.into()))
}

fn key_of(a: KeyValue, b: KeyValue) -> Vec<KeyColumn> {
    vec![KeyColumn { name: "a".into(), value: a }, KeyColumn { name: "b".into(), value: b }]
}

fn set(name: &str, value: i64) -> Cell {
    set_at(name, value, None)
}

fn set_at(name: &str, value: i64, version: Option<i64>) -> Cell {
    Cell { name: name.into(), value: Some(Value::Int(value)), op: None, version }
}

fn op(name: &str, op: CellOp, value: Option<i64>, version: Option<i64>) -> Cell {
    Cell { name: name.into(), value: value.map(Value::Int), op: Some(op), version }
}

fn write_of(change: RowChange) -> RowWrite {
    RowWrite { change, condition: Condition::default(), returns: Returns::Nothing, return_columns: Vec::new() }
}

fn put(key: Vec<KeyColumn>, cells: Vec<Cell>) -> RowWrite {
    write_of(RowChange::Put(Row { key, cells, deleted: false }))
}

fn update(key: Vec<KeyColumn>, cells: Vec<Cell>) -> RowWrite {
    write_of(RowChange::Update(Row { key, cells, deleted: false }))
}

fn delete(key: Vec<KeyColumn>) -> RowWrite {
    write_of(RowChange::Delete(key))
}

fn expecting(existence: Existence, mut write: RowWrite) -> RowWrite {
    write.condition.existence = existence;
    write
}

fn in_table(table: &str, write: RowWrite) -> WriteRow {
    WriteRow { table: table.into(), write, transaction: None }
}

/// Every version of every column.
fn all() -> Select {
    Select { max_versions: Some(i32::MAX), ..Select::default() }
}

fn get(table: &str, key: Vec<KeyColumn>) -> GetRow {
    GetRow { table: table.into(), key, select: all(), transaction: None }
}

/// The cells of a row as name, version and number; `None` if it is not there.
async fn cells(tables: &Tables, table: &str, key: Vec<KeyColumn>) -> Option<Vec<(String, i64, i64)>> {
    tables.get_row("i", get(table, key)).await.unwrap().row.map(numbers)
}

fn numbers(row: Row) -> Vec<(String, i64, i64)> {
    let number = |cell: Cell| match cell.value {
        Some(Value::Int(value)) => (cell.name, cell.version.unwrap(), value),
        other => panic!("no number: {other:?}"),
    };
    row.cells.into_iter().map(number).collect()
}

fn range(table: &str, direction: Direction, begin: Vec<KeyColumn>, end: Vec<KeyColumn>) -> GetRange {
    GetRange { table: table.into(), direction, begin, end, limit: None, select: all(), transaction: None }
}

/// The whole of a table with two key columns named so.
fn whole(table: &str, names: [&str; 2], direction: Direction) -> GetRange {
    let bound = |value: KeyValue| {
        names.iter().map(|name| KeyColumn { name: (*name).into(), value: value.clone() }).collect::<Vec<_>>()
    };
    match direction {
        Direction::Forward => range(table, direction, bound(KeyValue::InfMin), bound(KeyValue::InfMax)),
        Direction::Backward => range(table, direction, bound(KeyValue::InfMax), bound(KeyValue::InfMin)),
    }
}

/// Reads a range page by page.
async fn pages(tables: &Tables, mut range: GetRange) -> Vec<Row> {
    let mut rows = Vec::new();
    loop {
        let page = tables.get_range("i", range.clone()).await.unwrap();
        rows.extend(page.rows);
        match page.next {
            Some(next) => range.begin = next,
            None => return rows,
        }
    }
}

fn equals(column: &str, value: i64) -> Filter {
    Filter::Compare {
        op: Compare::Equal,
        column: column.into(),
        value: Value::Int(value),
        pass_if_missing: false,
        latest_only: true,
        transfer: None,
    }
}
