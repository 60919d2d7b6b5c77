//! Single rows, ranges and batches: sections 2, 4 and 5 of the reference.

use super::*;

async fn store() -> Store {
    let store = Store::new().await;
    store.tables.create_table("i", new_table("t")).await.unwrap();
    store
}

// From the reference, part 2.4 and 5.4: deletions order by commit, not by version.
#[tokio::test]
async fn a_later_write_with_an_older_version_is_seen() {
    let store = store().await;
    let (tables, row) = (&store.tables, || key(1, "x"));
    let write = |write| tables.write_row("i", in_table("t", write));
    write(put(row(), vec![set_at("c", 1, Some(START_MS + 500))])).await.unwrap();
    write(delete(row())).await.unwrap();
    write(put(row(), vec![set_at("c", 2, Some(START_MS - 500))])).await.unwrap();
    assert_eq!(cells(tables, "t", row()).await, Some(vec![("c".into(), START_MS - 500, 2)]));
    write(update(row(), vec![op("c", CellOp::DeleteAll, None, None)])).await.unwrap();
    assert_eq!(cells(tables, "t", row()).await, Some(vec![]));
    write(update(row(), vec![set_at("c", 3, Some(START_MS - 900))])).await.unwrap();
    assert_eq!(cells(tables, "t", row()).await, Some(vec![("c".into(), START_MS - 900, 3)]));
}

// From the reference, part 5.2: ceil(size / 4096), one at least; read units where the write looks at the row.
#[tokio::test]
async fn capacity_units_are_exact() {
    let store = store().await;
    let tables = &store.tables;
    let units = |read, write| Units { read, write };
    let text = |bytes: usize| {
        let cell = Cell { name: "s".into(), value: Some(Value::Str("x".repeat(bytes))), op: None, version: None };
        put(key(1, "x"), vec![cell])
    };
    // The key has 1 + 8 and 1 + 1 bytes, the column's name 1: 4084 more make 4096.
    let fits = tables.write_row("i", in_table("t", text(4084))).await.unwrap();
    assert_eq!(fits.consumed, units(0, 1));
    let above = expecting(Existence::Exists, text(4085));
    assert_eq!(tables.write_row("i", in_table("t", above)).await.unwrap().consumed, units(1, 2));
    assert_eq!(tables.get_row("i", get("t", key(1, "x"))).await.unwrap().consumed, units(2, 0));
    assert_eq!(tables.get_row("i", get("t", key(2, "x"))).await.unwrap().consumed, units(1, 0));
    assert_eq!(tables.write_row("i", in_table("t", delete(key(1, "x")))).await.unwrap().consumed, units(0, 1));
    let usage = tables.instance_usage("i");
    assert_eq!((usage.read_units, usage.write_units), (1 + 2 + 1, 1 + 2 + 1));
}

// From the reference, part 2.5 and 1.5.
#[tokio::test]
async fn conditions_hold_or_nothing_is_written() {
    let store = store().await;
    let tables = &store.tables;
    let refused = tables.write_row("i", in_table("t", expecting(Existence::Exists, put(key(1, "x"), vec![]))));
    let error = refused.await.unwrap_err();
    assert_eq!((error.code(), error.message()), ("OTSConditionCheckFail", "Condition check failed."));
    assert_eq!(cells(tables, "t", key(1, "x")).await, None);
    tables
        .write_row("i", in_table("t", expecting(Existence::Missing, put(key(1, "x"), vec![set("n", 1)]))))
        .await
        .unwrap();
    let mut if_two = update(key(1, "x"), vec![set("n", 5)]);
    if_two.condition.filter = Some(equals("n", 2));
    assert!(tables.write_row("i", in_table("t", if_two.clone())).await.is_err());
    if_two.condition.filter = Some(equals("n", 1));
    tables.write_row("i", in_table("t", if_two)).await.unwrap();
    assert_eq!(cells(tables, "t", key(1, "x")).await.unwrap()[0].2, 5);
}

// From the reference, part 1.5: the number of columns first, then name and type in the table's order.
#[tokio::test]
async fn keys_are_refused_in_the_documented_words() {
    let store = store().await;
    let words = async |key: Vec<KeyColumn>| {
        let error = store.tables.get_row("i", get("t", key)).await.unwrap_err();
        (error.code().to_owned(), error.message().to_owned())
    };
    let invalid = |text: &str| ("OTSInvalidPK".to_owned(), text.to_owned());
    assert_eq!(words(key(1, "x")[..1].to_vec()).await, invalid("Validate PK size fail. Input: 1, Meta: 2."));
    let mut renamed = key(1, "x");
    renamed[0].name = "z".into();
    assert_eq!(words(renamed).await, invalid("Validate PK name fail. Input: z, Meta: a."));
    let retyped = key_of(KeyValue::Int(1), KeyValue::Bin(vec![1]));
    assert_eq!(words(retyped).await, invalid("Validate PK type fail. Input: VT_BLOB, Meta: VT_STRING."));
    let missing = store.tables.get_row("i", get("nosuch", key(1, "x"))).await.unwrap_err();
    assert_eq!((missing.code(), missing.message()), ("OTSObjectNotExist", "Requested table does not exist."));
}

// From the reference, part 2.7: start inclusive, end exclusive, either way; the next key only if there is more.
#[tokio::test]
async fn ranges_are_read_either_way_in_pages() {
    let store = store().await;
    let tables = &store.tables;
    let keys: Vec<_> = (1..=3).flat_map(|a| ["", "x", "y"].map(|b| key(a, b))).collect();
    for row in &keys {
        tables.write_row("i", in_table("t", put(row.clone(), vec![set("n", 1)]))).await.unwrap();
    }
    for limit in [1, 2, 4, 9, 100] {
        for direction in [Direction::Forward, Direction::Backward] {
            let mut want = keys.clone();
            if direction == Direction::Backward {
                want.reverse();
            }
            let asked = GetRange { limit: Some(limit), ..whole("t", ["a", "b"], direction) };
            let got: Vec<_> = pages(tables, asked).await.into_iter().map(|row| row.key).collect();
            assert_eq!(got, want, "{limit} {direction:?}");
        }
    }
    let read = async |asked: GetRange| -> Vec<Vec<KeyColumn>> {
        pages(tables, asked).await.into_iter().map(|row| row.key).collect()
    };
    assert_eq!(read(range("t", Direction::Forward, key(1, "x"), key(2, "x"))).await, keys[1..4]);
    let backward: Vec<_> = keys[2..5].iter().rev().cloned().collect();
    assert_eq!(read(range("t", Direction::Backward, key(2, "x"), key(1, "x"))).await, backward);
    let one = |value: KeyValue| key_of(KeyValue::Int(2), value);
    assert_eq!(read(range("t", Direction::Forward, one(KeyValue::InfMin), one(KeyValue::InfMax))).await, keys[3..6]);
    let exact = GetRange { limit: Some(9), ..whole("t", ["a", "b"], Direction::Forward) };
    assert_eq!(tables.get_range("i", exact).await.unwrap().next, None);
    let equal = tables.get_range("i", range("t", Direction::Forward, key(1, "x"), key(1, "x"))).await.unwrap_err();
    assert_eq!(equal.message(), "Begin key must less than end key in FORWARD");
    let none = GetRange { limit: Some(0), ..whole("t", ["a", "b"], Direction::Forward) };
    assert_eq!(tables.get_range("i", none).await.unwrap_err().message(), "The limit must be greater than 0.");
}

// From the reference, part 2.6: columns, versions, filter; the rules for columns that do not match.
#[tokio::test]
async fn projections_follow_the_documented_order() {
    let store = store().await;
    let tables = &store.tables;
    let written = put(key(1, "x"), vec![set("c1", 1), set("c2", 2), set("c3", 3)]);
    tables.write_row("i", in_table("t", written)).await.unwrap();
    let read = async |select: Select| {
        let got = tables.get_row("i", GetRow { select, ..get("t", key(1, "x")) }).await.unwrap();
        got.row.map(|row| numbers(row).into_iter().map(|cell| cell.0).collect::<Vec<_>>())
    };
    let columns = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    assert_eq!(read(Select { columns: columns(&["c3", "c1"]), ..all() }).await, Some(columns(&["c1", "c3"])));
    assert_eq!(read(Select { columns: columns(&["no"]), ..all() }).await, None);
    assert_eq!(read(Select { columns: columns(&["no", "a"]), ..all() }).await, Some(vec![]));
    let between = Select { start_column: Some("c2".into()), end_column: Some("c3".into()), ..all() };
    assert_eq!(read(between).await, Some(columns(&["c2"])));
    // The filter sees what is left: c1 is not.
    let filtered = Select { columns: columns(&["c2"]), filter: Some(equals("c1", 1)), ..all() };
    assert_eq!(read(filtered).await, None);
    let paged = Filter::And(vec![equals("c1", 1), Filter::Page { offset: 1, limit: 1 }]);
    assert_eq!(read(Select { filter: Some(paged), ..all() }).await, Some(columns(&["c2"])));
    let nothing = tables.get_row("i", GetRow { select: Select::default(), ..get("t", key(1, "x")) }).await;
    assert_eq!(nothing.unwrap_err().message(), "No version condition is specified while querying row.");
}

// From the reference, part 2.9: rows succeed or fail alone, and one row several times is written in order.
#[tokio::test]
async fn rows_of_a_batch_stand_alone_and_an_atomic_one_together() {
    let store = store().await;
    let tables = &store.tables;
    let batch =
        |rows, atomic| BatchWrite { tables: vec![TableWrites { table: "t".into(), rows }], transaction: None, atomic };
    let rows = vec![
        put(key(1, "x"), vec![set("n", 1)]),
        put(key(1, "x")[..1].to_vec(), vec![]),
        update(key(1, "x"), vec![set("n", 2)]),
        expecting(Existence::Exists, put(key(9, "x"), vec![])),
    ];
    let answers = tables.batch_write("i", batch(rows, false)).await.unwrap();
    assert_eq!(answers[0].1.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true, false]);
    assert_eq!(cells(tables, "t", key(1, "x")).await.unwrap()[0].2, 2);
    let failing = vec![put(key(1, "y"), vec![]), expecting(Existence::Missing, put(key(1, "x"), vec![]))];
    let answers = tables.batch_write("i", batch(failing, true)).await.unwrap();
    assert!(answers[0].1.iter().all(|row| row.as_ref().unwrap_err().code() == "OTSConditionCheckFail"));
    assert_eq!(cells(tables, "t", key(1, "y")).await, None);
    let apart = vec![put(key(0, "y"), vec![]), put(key(1, "x"), vec![])];
    let answers = tables.batch_write("i", batch(apart, true)).await.unwrap();
    let words = "Data out of scope of atomic. Atomic PartKey:0. Data PartKey:1";
    assert!(answers[0].1.iter().all(|row| row.as_ref().unwrap_err().message() == words));
    let together = vec![put(key(1, "y"), vec![set("n", 7)]), update(key(1, "y"), vec![set("n", 8)])];
    assert!(tables.batch_write("i", batch(together, true)).await.unwrap()[0].1.iter().all(Result::is_ok));
    let keys = vec![key(1, "y"), key(5, "x"), key(1, "y")];
    let gets = vec![TableGets { table: "t".into(), keys, select: all() }];
    let got = tables.batch_get("i", gets).await.unwrap();
    let found: Vec<_> = got[0].1.iter().map(|got| got.as_ref().unwrap().row.is_some()).collect();
    assert_eq!(found, [true, false, true]);
    let mixed = BatchWrite { transaction: Some("txn".into()), ..batch(vec![put(key(1, "x"), vec![])], true) };
    assert_eq!(tables.batch_write("i", mixed).await.unwrap_err().code(), "OTSParameterInvalid");
    let none = tables.batch_write("i", BatchWrite::default()).await.unwrap_err();
    assert_eq!(none.message(), "No row is specified in BatchWriteRow.");
}

// From the reference, part 5.5: concurrent writes to one row are serialised. Every success was counted by its writer.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_conditional_updates_lose_nothing() {
    let store = store().await;
    store.tables.write_row("i", in_table("t", put(key(1, "x"), vec![set("n", 0)]))).await.unwrap();
    let writers = (0..8).map(|_| {
        let tables = store.tables.clone();
        tokio::spawn(async move {
            let mut successes = 0;
            for _ in 0..40 {
                let seen = cells(&tables, "t", key(1, "x")).await.unwrap()[0].2;
                let mut swap = update(key(1, "x"), vec![set("n", seen + 1)]);
                swap.condition.filter = Some(equals("n", seen));
                successes += i64::from(tables.write_row("i", in_table("t", swap)).await.is_ok());
                let add = update(key(1, "x"), vec![op("z", CellOp::Increment, Some(1), None)]);
                tables.write_row("i", in_table("t", add)).await.unwrap();
            }
            successes
        })
    });
    let mut successes = 0;
    for writer in writers.collect::<Vec<_>>() {
        successes += writer.await.unwrap();
    }
    let row = cells(&store.tables, "t", key(1, "x")).await.unwrap();
    assert_eq!(row.iter().map(|cell| cell.2).collect::<Vec<_>>(), [successes, 8 * 40]);
}

// From the reference, part 2.4: unique and increasing within one first key, whatever the clock does.
#[tokio::test]
async fn auto_increment_keys_rise_over_restarts() {
    let mut store = Store::new().await;
    let mut new = new_table("auto");
    new.key[1] = KeySchema { name: "b".into(), kind: KeyType::Integer, auto_increment: true };
    store.tables.create_table("i", new).await.unwrap();
    let mut last = 0;
    for round in 0..3 {
        for _ in 0..3 {
            let mut write = put(key_of(KeyValue::Int(1), KeyValue::Auto), vec![]);
            write.returns = Returns::Key;
            let row = store.tables.write_row("i", in_table("auto", write)).await.unwrap().row.unwrap();
            let KeyValue::Int(number) = row.key[1].value else { panic!("no number: {row:?}") };
            assert!(number > last, "{number} after {last}");
            last = number;
        }
        store.clock.advance_ms(-1000 * (round + 1));
        store.reopen().await;
    }
    assert_eq!(pages(&store.tables, whole("auto", ["a", "b"], Direction::Forward)).await.len(), 9);
    let conditional = expecting(Existence::Missing, put(key_of(KeyValue::Int(1), KeyValue::Auto), vec![]));
    let refused = store.tables.write_row("i", in_table("auto", conditional)).await.unwrap_err();
    assert_eq!(refused.message(), "Can't set condition when modify row with pk auto increment.");
}

// Arithmetic: 21 times 3 MiB fit into the 64 MiB that an answer may hold, 22 times do not. The rows after that have an
// error of their own.
#[tokio::test]
async fn a_batch_of_reads_has_a_size() {
    let store = store().await;
    let values = ["p", "q"].map(|name| {
        let value = Some(Value::Bin(vec![7; 3 << 19]));
        Cell { name: name.into(), value, op: None, version: None }
    });
    store.tables.write_row("i", in_table("t", put(key(1, "x"), values.to_vec()))).await.unwrap();
    let gets = vec![TableGets { table: "t".into(), keys: vec![key(1, "x"); 30], select: all() }];
    let got = store.tables.batch_get("i", gets).await.unwrap().remove(0).1;
    assert_eq!(got.iter().filter(|row| row.is_ok()).count(), 21);
    assert!(got.iter().filter_map(|row| row.as_ref().err()).all(|error| error.code() == "OTSParameterInvalid"));
}

// From the reference, part 2.8 and 1.5: a bad key fails its row only, and in its own words. What all rows are asked for
// is wrong for each of them.
#[tokio::test]
async fn what_is_wrong_with_all_rows_of_a_batch_is_said_of_each() {
    let store = store().await;
    let keys = vec![key(1, "x"), key(1, "x")[..1].to_vec(), key(2, "x")];
    let gets = vec![TableGets { table: "t".into(), keys, select: Select::default() }];
    let got = store.tables.batch_get("i", gets).await.unwrap().remove(0).1;
    let said: Vec<_> = got.iter().map(|row| row.as_ref().unwrap_err().message()).collect();
    let versions = "No version condition is specified while querying row.";
    assert_eq!(said, [versions, "Validate PK size fail. Input: 1, Meta: 2.", versions]);
    let nothing = vec![TableGets { table: "t".into(), keys: Vec::new(), select: Select::default() }];
    assert!(store.tables.batch_get("i", nothing).await.unwrap().remove(0).1.is_empty());
}
