//! Puts do not look for the cells of what was there, unless a row of the table may have some under keys of their own.

use std::ops::Bound;

use feitian_tables::engine::{Batch, Engine, Order, Pair};

use super::*;

/// A row whose cells do not fit into its marker, by docs/format-tables.md: 4,096 bytes at most.
fn large() -> Row {
    Row { key: key(1, "x"), cells: vec![text("s", 5000), set("n", 1)], deleted: false }
}

fn text(name: &str, length: usize) -> Cell {
    Cell { name: name.into(), value: Some(Value::Str("x".repeat(length))), op: None, version: None }
}

/// What the engine has under the row's prefix, as lengths of what stands behind it. Nobody can use the store afterwards.
async fn tails(store: &Store) -> Vec<usize> {
    let generation = store.tables.usage()[0].generation;
    let from = [&generation.to_be_bytes()[..], b"\x10\x80\0\0\0\0\0\0\x01\x20x\0\x01"].concat();
    let to = [&from[..], &[0xff]].concat();
    pairs(store, from.clone(), to).await.iter().map(|(key, _)| key.len() - from.len()).collect()
}

async fn pairs(store: &Store, from: Vec<u8>, to: Vec<u8>) -> Vec<Pair> {
    let engine = Memory::open(&store.disk);
    let mut scan = engine.scan(Bound::Included(from.into()), Bound::Excluded(to.into()), Order::Forward).await.unwrap();
    scan.next_batch(100, 1 << 20).await.unwrap()
}

/// A store whose row was put small and then, as told, large.
async fn store(put_large: impl AsyncFnOnce(&Tables)) -> Store {
    let store = Store::new().await;
    store.tables.create_table("i", new_table("t")).await.unwrap();
    let small = put(key(1, "x"), vec![set("n", 1), set("s1", 1)]);
    store.tables.write_row("i", in_table("t", small)).await.unwrap();
    put_large(&store.tables).await;
    store
}

async fn put_small(tables: &Tables) {
    let (one, other) = (vec![set("n", 2)], vec![set("n", 3)]);
    tables.write_row("i", in_table("t", put(key(1, "x"), one))).await.unwrap();
    assert_eq!(cells(tables, "t", key(1, "x")).await, Some(vec![("n".into(), START_MS, 2)]));
    tables.write_row("i", in_table("t", put(key(1, "x"), other))).await.unwrap();
    assert_eq!(cells(tables, "t", key(1, "x")).await, Some(vec![("n".into(), START_MS, 3)]));
}

fn write(change: RowChange) -> RowWrite {
    RowWrite { change, ..put(key(1, "x"), vec![]) }
}

// From docs/format-tables.md: what a put replaces leaves nothing behind, however it came there.
#[tokio::test]
async fn a_put_over_a_large_row_leaves_none_of_its_cells() {
    let by_put = async |tables: &Tables| {
        tables.write_row("i", in_table("t", write(RowChange::Put(large())))).await.unwrap();
    };
    let by_update = async |tables: &Tables| {
        tables.write_row("i", in_table("t", write(RowChange::Update(large())))).await.unwrap();
    };
    let by_batch = async |tables: &Tables| {
        let rows = vec![write(RowChange::Put(large()))];
        let batch =
            BatchWrite { tables: vec![TableWrites { table: "t".into(), rows }], transaction: None, atomic: true };
        tables.batch_write("i", batch).await.unwrap();
    };
    for restarts in [false, true] {
        let stores = [store(by_put).await, store(by_update).await, store(by_batch).await];
        for mut store in stores {
            if restarts {
                store.reopen().await;
            }
            put_small(&store.tables).await;
            assert_eq!(tails(&store).await, [1], "the marker alone, restarted: {restarts}");
        }
    }
}

// The same where nobody but the transaction sees the large row.
#[tokio::test]
async fn a_put_over_a_large_row_of_its_own_transaction_leaves_none_of_its_cells() {
    let store = store(async |_: &Tables| {}).await;
    let tables = &store.tables;
    let id = tables.start_transaction("i", "t", key(1, "x")[..1].to_vec()).await.unwrap();
    for change in [RowChange::Put(large()), put(key(1, "x"), vec![set("n", 4)]).change] {
        let change = WriteRow { transaction: Some(id.clone()), ..in_table("t", write(change)) };
        tables.write_row("i", change).await.unwrap();
    }
    tables.commit_transaction("i", &id).await.unwrap();
    assert_eq!(cells(tables, "t", key(1, "x")).await, Some(vec![("n".into(), START_MS, 4)]));
    assert_eq!(tails(&store).await, [1]);
}

// From docs/format-tables.md: tables of form 2 have no notes.
#[tokio::test]
async fn tables_from_before_the_note_are_looked_at() {
    let mut store = store(async |tables: &Tables| {
        tables.write_row("i", in_table("t", write(RowChange::Put(large())))).await.unwrap();
    })
    .await;
    let record = [&[0; 8][..], &[2], b"i\0\x01t\0\x01"].concat();
    let stored = pairs(&store, record.clone(), [&record[..], &[0]].concat()).await.remove(0).1;
    let text = String::from_utf8(stored.to_vec()).unwrap();
    assert!(text.contains(r#""form":3"#), "{text}");
    let mut older = Batch::new();
    older.put(record, text.replace(r#""form":3"#, r#""form":2"#).into_bytes());
    let generation = store.tables.usage()[0].generation;
    older.delete([&[0; 8][..], &[9], &generation.to_be_bytes()].concat());
    Memory::open(&store.disk).commit(older).await.unwrap();
    store.reopen().await;
    put_small(&store.tables).await;
    assert_eq!(tails(&store).await, [1]);
}

// A marker that no feitian wrote cannot be read, but written over by who does not look: until a row of the table is large.
#[tokio::test]
async fn a_put_looks_only_once_a_row_was_large() {
    for is_noted in [false, true] {
        let mut store = store(async |_: &Tables| {}).await;
        if is_noted {
            let row = Row { key: key(2, "x"), ..large() };
            let other = RowWrite { change: RowChange::Put(row), ..put(key(2, "x"), vec![]) };
            store.tables.write_row("i", in_table("t", other)).await.unwrap();
        }
        let generation = store.tables.usage()[0].generation;
        let mut foreign = Batch::new();
        let marker = [&generation.to_be_bytes()[..], b"\x10\x80\0\0\0\0\0\0\x01\x20x\0\x01\x01"].concat();
        foreign.put(marker, vec![9]);
        Memory::open(&store.disk).commit(foreign).await.unwrap();
        store.reopen().await;
        assert!(store.tables.get_row("i", get("t", key(1, "x"))).await.is_err());
        let written = store.tables.write_row("i", in_table("t", put(key(1, "x"), vec![set("n", 2)]))).await;
        assert_eq!(written.is_err(), is_noted);
    }
}
