//! Local transactions: part 2.10 of the reference.

use super::*;

async fn store() -> (Store, String) {
    let store = Store::new().await;
    store.tables.create_table("i", new_table("t")).await.unwrap();
    for b in ["x", "y"] {
        store.tables.write_row("i", in_table("t", put(key(1, b), vec![set("n", 1)]))).await.unwrap();
    }
    let id = store.tables.start_transaction("i", "t", key(1, "x")[..1].to_vec()).await.unwrap();
    (store, id)
}

fn inside(id: &str, write: RowWrite) -> WriteRow {
    WriteRow { transaction: Some(id.into()), ..in_table("t", write) }
}

async fn rows_inside(tables: &Tables, id: &str, direction: Direction) -> Vec<(Vec<KeyColumn>, i64)> {
    let asked = GetRange { transaction: Some(id.into()), limit: Some(1), ..whole("t", ["a", "b"], direction) };
    let rows = pages(tables, asked).await;
    rows.into_iter().map(|row| (row.key.clone(), numbers(row)[0].2)).collect()
}

#[tokio::test]
async fn own_writes_are_seen_inside_alone_and_committed_together() {
    let (mut store, id) = store().await;
    let tables = store.tables.clone();
    tables.write_row("i", inside(&id, delete(key(1, "x")))).await.unwrap();
    tables.write_row("i", inside(&id, put(key(1, "z"), vec![set("n", 3)]))).await.unwrap();
    let twice = update(key(1, "y"), vec![op("n", CellOp::Increment, Some(5), None)]);
    tables.write_row("i", inside(&id, twice.clone())).await.unwrap();
    tables.write_row("i", inside(&id, twice)).await.unwrap();
    let own = vec![(key(1, "y"), 11), (key(1, "z"), 3)];
    assert_eq!(rows_inside(&tables, &id, Direction::Forward).await, own);
    let reversed: Vec<_> = own.iter().rev().cloned().collect();
    assert_eq!(rows_inside(&tables, &id, Direction::Backward).await, reversed);
    let gone = GetRow { transaction: Some(id.clone()), ..get("t", key(1, "x")) };
    let got = tables.get_row("i", gone).await.unwrap();
    // From the reference, part 2.10: each request in a transaction costs at least one write unit.
    assert_eq!((got.row, got.consumed), (None, Units { read: 1, write: 1 }));
    // Outside nothing has happened.
    assert_eq!(pages(&tables, whole("t", ["a", "b"], Direction::Forward)).await.len(), 2);
    assert_eq!(cells(&tables, "t", key(1, "y")).await.unwrap()[0].2, 1);
    tables.commit_transaction("i", &id).await.unwrap();
    let again = tables.commit_transaction("i", &id).await.unwrap_err();
    assert_eq!((again.code(), again.message()), ("OTSSessionNotExist", "Session not exist or may be timeout."));
    store.reopen().await;
    let rows = pages(&store.tables, whole("t", ["a", "b"], Direction::Forward)).await;
    assert_eq!(rows.into_iter().map(|row| (row.key.clone(), numbers(row)[0].2)).collect::<Vec<_>>(), own);
}

#[tokio::test]
async fn outside_writers_wait_and_readers_do_not() {
    let (store, id) = store().await;
    let tables = &store.tables;
    let outside = || in_table("t", put(key(1, "x"), vec![set("n", 9)]));
    let refused = tables.write_row("i", outside()).await.unwrap_err();
    let words = ("OTSRowOperationConflict", "Data is being modified by the other request.");
    assert_eq!((refused.code(), refused.message()), words);
    let second = tables.start_transaction("i", "t", key(1, "x")[..1].to_vec()).await.unwrap_err();
    assert_eq!(second.code(), "OTSRowOperationConflict");
    tables.write_row("i", in_table("t", put(key(2, "x"), vec![]))).await.unwrap();
    let elsewhere = tables.write_row("i", inside(&id, put(key(2, "x"), vec![]))).await.unwrap_err();
    assert_eq!(elsewhere.code(), "OTSDataOutOfRange");
    tables.write_row("i", inside(&id, put(key(1, "x"), vec![set("n", 7)]))).await.unwrap();
    tables.abort_transaction("i", &id).await.unwrap();
    assert_eq!(cells(tables, "t", key(1, "x")).await.unwrap()[0].2, 1);
    tables.write_row("i", outside()).await.unwrap();
    assert_eq!(tables.open_transactions(), 0);
}

#[tokio::test]
async fn transactions_end_with_their_time_and_with_a_restart() {
    let (mut store, id) = store().await;
    store.tables.write_row("i", inside(&id, put(key(1, "x"), vec![set("n", 7)]))).await.unwrap();
    store.clock.advance_ms(60_000);
    store.tables.write_row("i", in_table("t", put(key(1, "y"), vec![set("n", 9)]))).await.unwrap();
    assert_eq!(store.tables.commit_transaction("i", &id).await.unwrap_err().code(), "OTSSessionNotExist");
    assert_eq!(cells(&store.tables, "t", key(1, "x")).await.unwrap()[0].2, 1);
    let second = store.tables.start_transaction("i", "t", key(1, "x")[..1].to_vec()).await.unwrap();
    store.tables.write_row("i", inside(&second, delete(key(1, "x")))).await.unwrap();
    store.reopen().await;
    assert_eq!(store.tables.commit_transaction("i", &second).await.unwrap_err().code(), "OTSSessionNotExist");
    assert_eq!(cells(&store.tables, "t", key(1, "x")).await.unwrap()[0].2, 1);
    for bad in ["", "nosuch"] {
        let error = store.tables.commit_transaction("i", bad).await.unwrap_err();
        assert_eq!((error.code(), error.message()), ("OTSParameterInvalid", "TransactionID is invalid."));
    }
}

// Arithmetic: two rows of 3 MiB are more than the 4 MiB of part 5.3. A failed request leaves the transaction open.
#[tokio::test]
async fn a_transaction_has_a_size() {
    let (store, id) = store().await;
    let big = |b: &str| {
        let values = ["p", "q"].map(|name| {
            let value = Some(Value::Bin(vec![7; 3 << 19]));
            Cell { name: name.into(), value, op: None, version: None }
        });
        inside(&id, put(key(1, b), values.to_vec()))
    };
    store.tables.write_row("i", big("x")).await.unwrap();
    assert_eq!(store.tables.write_row("i", big("y")).await.unwrap_err().code(), "OTSParameterInvalid");
    store.tables.commit_transaction("i", &id).await.unwrap();
    assert_eq!(cells(&store.tables, "t", key(1, "y")).await.unwrap()[0].2, 1);
}

// Arithmetic: of 2 MiB for all transactions one that has 1.4 MiB leaves no room for another such one, until it is over.
#[tokio::test]
async fn transactions_have_a_size_together() {
    let (disk, clock) = (Disk::new(), Arc::new(Hand(AtomicI64::new(START_MS * 1000))));
    let settings = Settings { background: false, transactions_bytes: 2 << 20, ..Settings::default() };
    let tables = Tables::open(Arc::new(Memory::open(&disk)), clock, settings).await.unwrap();
    tables.create_table("i", new_table("t")).await.unwrap();
    let start = async |a: i64| tables.start_transaction("i", "t", key(a, "")[..1].to_vec()).await.unwrap();
    let (first, second) = (start(1).await, start(2).await);
    let big = |id: &str, a: i64| {
        let value = Some(Value::Bin(vec![7; 700 << 10]));
        inside(id, put(key(a, "x"), vec![Cell { name: "v".into(), value, op: None, version: None }]))
    };
    // The row counts twice: as it will lie in the engine, and as the stream will tell of it.
    tables.write_row("i", big(&first, 1)).await.unwrap();
    assert_eq!(tables.write_row("i", big(&second, 2)).await.unwrap_err().code(), "OTSServerBusy");
    tables.abort_transaction("i", &first).await.unwrap();
    tables.write_row("i", big(&second, 2)).await.unwrap();
    tables.commit_transaction("i", &second).await.unwrap();
    let third = start(3).await;
    tables.write_row("i", big(&third, 3)).await.unwrap();
    assert!(tables.get_row("i", get("t", key(2, "x"))).await.unwrap().row.is_some());
}

// Arithmetic: of two transactions of one instance, and of 2 MiB for them, one that has 1.4 MiB leaves no room for another
// such one, and two leave none for a third. Another instance has its own.
#[tokio::test]
async fn an_instance_takes_no_more_than_its_share_of_transactions() {
    let (disk, clock) = (Disk::new(), Arc::new(Hand(AtomicI64::new(START_MS * 1000))));
    let settings = Settings { background: false, instance_transactions: 2, ..Settings::default() };
    let settings = Settings { instance_transactions_bytes: 2 << 20, ..settings };
    let tables = Tables::open(Arc::new(Memory::open(&disk)), clock, settings).await.unwrap();
    for instance in ["i", "j"] {
        tables.create_table(instance, new_table("t")).await.unwrap();
    }
    let start = async |instance: &str, a: i64| tables.start_transaction(instance, "t", key(a, "")[..1].to_vec()).await;
    let big = |id: &str, a: i64| {
        let value = Some(Value::Bin(vec![7; 700 << 10]));
        inside(id, put(key(a, "x"), vec![Cell { name: "v".into(), value, op: None, version: None }]))
    };
    let (first, second) = (start("i", 1).await.unwrap(), start("i", 2).await.unwrap());
    assert_eq!(start("i", 3).await.unwrap_err().code(), "OTSServerBusy");
    // The row counts twice, as above.
    tables.write_row("i", big(&first, 1)).await.unwrap();
    assert_eq!(tables.write_row("i", big(&second, 2)).await.unwrap_err().code(), "OTSServerBusy");
    let other = start("j", 1).await.unwrap();
    tables.write_row("j", big(&other, 1)).await.unwrap();
    tables.commit_transaction("i", &first).await.unwrap();
    tables.write_row("i", big(&second, 2)).await.unwrap();
    start("i", 3).await.unwrap();
    assert_eq!(tables.open_transactions(), 3);
}

// From the reference, part 2.10: each request in a transaction costs a write unit at least. Arithmetic: the two rows of
// the beginning, and what was answered since, however the transactions end.
#[tokio::test]
async fn units_that_were_answered_count_however_a_transaction_ends() {
    let (mut store, mut id) = store().await;
    let tables = store.tables.clone();
    let answered = async |id: &str| {
        let written = tables.write_row("i", inside(id, put(key(1, "x"), vec![set("n", 7)]))).await.unwrap();
        assert_eq!(written.consumed, Units { read: 0, write: 1 });
    };
    let start = async || tables.start_transaction("i", "t", key(1, "x")[..1].to_vec()).await.unwrap();
    let counted = || tables.instance_usage("i").write_units;
    answered(&id).await;
    tables.abort_transaction("i", &id).await.unwrap();
    assert_eq!(counted(), 2 + 1);
    id = start().await;
    answered(&id).await;
    answered(&id).await;
    tables.commit_transaction("i", &id).await.unwrap();
    assert_eq!(counted(), 3 + 2);
    id = start().await;
    answered(&id).await;
    store.clock.advance_ms(60_000);
    assert_eq!(tables.commit_transaction("i", &id).await.unwrap_err().code(), "OTSSessionNotExist");
    assert_eq!(counted(), 5 + 1);
    // One whose table is deleted.
    tables.create_table("i", new_table("other")).await.unwrap();
    let other = tables.start_transaction("i", "other", key(1, "x")[..1].to_vec()).await.unwrap();
    let write = WriteRow { transaction: Some(other), ..in_table("other", put(key(1, "x"), vec![])) };
    tables.write_row("i", write).await.unwrap();
    tables.delete_table("i", "other").await.unwrap();
    assert_eq!(counted(), 6 + 1);
    // One that is open when the store is closed.
    id = start().await;
    answered(&id).await;
    tables.clone().close().await.unwrap();
    store.reopen().await;
    assert_eq!(store.tables.instance_usage("i").write_units, 7 + 1);
    assert_eq!(cells(&store.tables, "t", key(1, "x")).await.unwrap()[0].2, 7);
}

// From the reference, part 2.10: its life is so many seconds, and then others write. The clock of versions never goes
// back: it stands still until the one that was set back has come up with it.
#[tokio::test]
async fn a_clock_that_was_set_back_keeps_no_lock() {
    let (disk, clock) = (Disk::new(), Arc::new(Hand(AtomicI64::new(START_MS * 1000))));
    let life = std::time::Duration::from_millis(1);
    let settings = Settings { background: false, transaction_life: life, ..Settings::default() };
    let tables = Tables::open(Arc::new(Memory::open(&disk)), clock.clone(), settings).await.unwrap();
    tables.create_table("i", new_table("t")).await.unwrap();
    let id = tables.start_transaction("i", "t", key(1, "x")[..1].to_vec()).await.unwrap();
    clock.advance_ms(-3_600_000);
    // No more than a guard: without an end of the lock it would wait for ever.
    let begun = std::time::Instant::now();
    while let Err(refused) = tables.write_row("i", in_table("t", put(key(1, "x"), vec![]))).await {
        assert_eq!(refused.code(), "OTSRowOperationConflict");
        assert!(begun.elapsed().as_secs() < 60, "the lock has no end");
        tokio::task::yield_now().await;
    }
    assert_eq!(tables.commit_transaction("i", &id).await.unwrap_err().code(), "OTSSessionNotExist");
    assert_eq!(tables.open_transactions(), 0);
}

// Arithmetic: a row of two key columns and one cell is two changed keys and a record of four parts. 3,000 of them, of
// 128 bytes each, are more than the 2 MiB of all transactions, though the rows' own bytes are not a quarter of that.
#[tokio::test]
async fn small_rows_weigh_what_they_take_in_memory() {
    let (disk, clock) = (Disk::new(), Arc::new(Hand(AtomicI64::new(START_MS * 1000))));
    let settings = Settings { background: false, transactions_bytes: 2 << 20, ..Settings::default() };
    let tables = Tables::open(Arc::new(Memory::open(&disk)), clock, settings).await.unwrap();
    tables.create_table("i", new_table("t")).await.unwrap();
    let id = tables.start_transaction("i", "t", key(1, "x")[..1].to_vec()).await.unwrap();
    let mut refused = None;
    for n in 0..3000 {
        let write = inside(&id, put(key(1, &format!("{n:04}")), vec![set("n", n)]));
        if let Err(error) = tables.write_row("i", write).await {
            refused = Some(error.code().to_owned());
            break;
        }
    }
    assert_eq!(refused.as_deref(), Some("OTSServerBusy"));
    tables.abort_transaction("i", &id).await.unwrap();
}
