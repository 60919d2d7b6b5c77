//! Secondary indexes: part 2.3 of the reference.

use super::*;

fn meta(name: &str, kind: IndexKind, key: &[&str], columns: &[&str]) -> IndexMeta {
    let texts = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    IndexMeta { name: name.into(), key: texts(key), columns: texts(columns), kind }
}

fn by_n() -> IndexMeta {
    meta("by_n", IndexKind::Global, &["n"], &["s"])
}

/// Keys of an index of one integer column: that column, then the table's.
async fn entries(tables: &Tables, index: &str) -> Vec<(i64, i64, String)> {
    let bound =
        |value: KeyValue| ["n", "a", "b"].map(|name| KeyColumn { name: name.into(), value: value.clone() }).to_vec();
    let rows = pages(tables, range(index, Direction::Forward, bound(KeyValue::InfMin), bound(KeyValue::InfMax))).await;
    let entry = |row: Row| match &row.key[..] {
        [n, a, b] => match (&n.value, &a.value, &b.value) {
            (KeyValue::Int(n), KeyValue::Int(a), KeyValue::Str(b)) => (*n, *a, b.clone()),
            other => panic!("no key of the index: {other:?}"),
        },
        other => panic!("no key of the index: {other:?}"),
    };
    rows.into_iter().map(entry).collect()
}

#[tokio::test]
async fn entries_move_with_their_row_and_are_sparse() {
    let mut store = Store::new().await;
    let mut new = new_table("t");
    new.indexes = vec![by_n(), meta("local", IndexKind::Local, &["a", "n"], &[])];
    store.tables.create_table("i", new).await.unwrap();
    let tables = store.tables.clone();
    let write = |write| tables.write_row("i", in_table("t", write));
    write(put(key(1, "x"), vec![set("n", 5)])).await.unwrap();
    write(put(key(2, "x"), vec![set("n", 3)])).await.unwrap();
    write(put(key(3, "x"), vec![set("m", 3)])).await.unwrap();
    let text = Cell { name: "n".into(), value: Some(Value::Str("no integer".into())), op: None, version: None };
    write(put(key(4, "x"), vec![text])).await.unwrap();
    assert_eq!(entries(&tables, "by_n").await, [(3, 2, "x".to_owned()), (5, 1, "x".to_owned())]);
    write(update(key(1, "x"), vec![set("n", 1)])).await.unwrap();
    write(delete(key(2, "x"))).await.unwrap();
    write(update(key(3, "x"), vec![op("n", CellOp::Increment, Some(8), None)])).await.unwrap();
    let want = [(1, 1, "x".to_owned()), (8, 3, "x".to_owned())];
    assert_eq!(entries(&tables, "by_n").await, want);
    store.reopen().await;
    assert_eq!(entries(&store.tables, "by_n").await, want);
    let local = ["a", "n", "b"].map(|name| KeyColumn { name: name.into(), value: KeyValue::InfMin });
    let mut end = local.to_vec();
    end[0].value = KeyValue::InfMax;
    let rows = pages(&store.tables, range("local", Direction::Forward, local.to_vec(), end)).await;
    assert_eq!(
        rows.iter().map(|row| row.key[1].value.clone()).collect::<Vec<_>>(),
        [KeyValue::Int(1), KeyValue::Int(8)]
    );
    let refused = store.tables.write_row("i", in_table("by_n", put(key(1, "x"), vec![]))).await.unwrap_err();
    assert_eq!(refused.message(), "Can't write index table directly.");
}

#[tokio::test]
async fn rows_from_before_an_index_are_added_once_asked_for() {
    let store = Store::new().await;
    let tables = &store.tables;
    tables.create_table("i", new_table("t")).await.unwrap();
    for a in 0..200 {
        tables.write_row("i", in_table("t", put(key(a, "x"), vec![set("n", 1000 - a)]))).await.unwrap();
    }
    tables.create_index("i", "t", by_n(), true).await.unwrap();
    let building = tables.get_range("i", whole("by_n", ["n", "a"], Direction::Forward)).await.unwrap_err();
    assert_eq!(building.message(), "Disallow read index table in building base state");
    assert_eq!(tables.describe_table("i", "t").await.unwrap().building, ["by_n"]);
    // Changes while it is being filled are not undone by it.
    tables.write_row("i", in_table("t", update(key(7, "x"), vec![set("n", 1)]))).await.unwrap();
    tables.write_row("i", in_table("t", delete(key(8, "x")))).await.unwrap();
    tables.fill_indexes().await.unwrap();
    tables.fill_indexes().await.unwrap();
    let found = entries(tables, "by_n").await;
    let mut want: Vec<_> =
        (0..200).filter(|a| *a != 8).map(|a| (if a == 7 { 1 } else { 1000 - a }, a, "x".to_owned())).collect();
    want.sort();
    assert_eq!(found, want);
    tables.create_index("i", "t", meta("later", IndexKind::Global, &["n"], &[]), false).await.unwrap();
    assert!(entries(tables, "later").await.is_empty());
    // A row from before gets its entry with its next write, whatever that changes.
    tables.write_row("i", in_table("t", update(key(9, "x"), vec![set("other", 1)]))).await.unwrap();
    assert_eq!(entries(tables, "later").await, [(991, 9, "x".to_owned())]);
    let described = tables.describe_table("i", "t").await.unwrap();
    assert_eq!(described.indexes, [by_n(), meta("later", IndexKind::Global, &["n"], &[])]);
    assert!(described.building.is_empty());
    tables.drop_index("i", "t", "later").await.unwrap();
    assert_eq!(tables.get_row("i", get("later", key(1, "x"))).await.unwrap_err().code(), "OTSObjectNotExist");
    assert_eq!(entries(tables, "by_n").await, want);
}

// From the reference, part 5.3: a key column has 1024 bytes at most, in an index too. A row from before the index may
// have more: it has no entry, and is not stuck.
#[tokio::test]
async fn a_row_with_a_value_too_long_for_an_index_is_not_stuck() {
    let store = Store::new().await;
    let tables = &store.tables;
    tables.create_table("i", new_table("t")).await.unwrap();
    let text = |bytes: usize| {
        vec![Cell { name: "s".into(), value: Some(Value::Str("x".repeat(bytes))), op: None, version: None }]
    };
    let write = |write| tables.write_row("i", in_table("t", write));
    write(put(key(1, "x"), text(100_000))).await.unwrap();
    write(put(key(2, "x"), text(100_000))).await.unwrap();
    write(put(key(3, "x"), text(1024))).await.unwrap();
    tables.create_index("i", "t", meta("by_s", IndexKind::Global, &["s"], &["n"]), true).await.unwrap();
    tables.fill_indexes().await.unwrap();
    let found = async || {
        let bound = |value: KeyValue| {
            ["s", "a", "b"].map(|name| KeyColumn { name: name.into(), value: value.clone() }).to_vec()
        };
        let asked = range("by_s", Direction::Forward, bound(KeyValue::InfMin), bound(KeyValue::InfMax));
        pages(tables, asked).await.into_iter().map(|row| row.key[1].value.clone()).collect::<Vec<_>>()
    };
    assert_eq!(found().await, [KeyValue::Int(3)]);
    let refused = write(put(key(4, "x"), text(1025))).await.unwrap_err();
    let words = "The length of primary key column: 's' exceeds the MaxLength:1024 with CurrentLength:1025.";
    assert_eq!((refused.code(), refused.message()), ("OTSParameterInvalid", words));
    write(update(key(1, "x"), vec![set("n", 1)])).await.unwrap();
    write(update(key(1, "x"), text(3))).await.unwrap();
    assert_eq!(found().await, [KeyValue::Int(1), KeyValue::Int(3)]);
    write(delete(key(2, "x"))).await.unwrap();
    assert_eq!(cells(tables, "t", key(2, "x")).await, None);
    assert_eq!(found().await, [KeyValue::Int(1), KeyValue::Int(3)]);
}

/// What an index has of a row, read by its key and in a range: lengths of texts by the names of their columns.
async fn lengths(tables: &Tables, index: &str, number: i64) -> Vec<(String, usize)> {
    let texts = |row: Row| {
        let length = |cell: Cell| (cell.name, cell.value.unwrap().size());
        row.cells.into_iter().map(length).collect::<Vec<_>>()
    };
    let of = |values: [KeyValue; 3]| {
        let named = ["n", "a", "b"].into_iter().zip(values);
        named.map(|(name, value)| KeyColumn { name: name.into(), value }).collect::<Vec<_>>()
    };
    let bound = |value: KeyValue| of([value.clone(), value.clone(), value]);
    let asked = range(index, Direction::Backward, bound(KeyValue::InfMax), bound(KeyValue::InfMin));
    let rows = pages(tables, asked).await;
    assert_eq!(rows.len(), 1, "{index}: {rows:?}");
    assert_eq!(rows[0].key[0].value, KeyValue::Int(number), "{index}");
    let own = of([KeyValue::Int(number), KeyValue::Int(1), KeyValue::Str("x".into())]);
    let one = texts(tables.get_row("i", get(index, own)).await.unwrap().row.unwrap());
    assert_eq!(texts(rows[0].clone()), one, "{index}");
    one
}

// Arithmetic on what was written: entries on both sides of the size up to which a row is one value of the engine, in an index
// of all rows and in one of later rows alone.
#[tokio::test]
async fn entries_grow_and_shrink_with_their_row() {
    let mut store = Store::new().await;
    let mut new = new_table("t");
    new.defined.push(DefinedColumn { name: "r".into(), kind: ColumnType::String });
    new.indexes = vec![meta("by_n", IndexKind::Global, &["n"], &["r", "s"])];
    store.tables.create_table("i", new).await.unwrap();
    let text = |name: &str, length: usize| {
        let value = Some(Value::Str("x".repeat(length)));
        Cell { name: name.into(), value, op: None, version: None }
    };
    let row = |number, r, s| put(key(1, "x"), vec![set("n", number), text("r", r), text("s", s)]);
    store.tables.write_row("i", in_table("t", row(1, 9000, 50))).await.unwrap();
    let later = meta("later", IndexKind::Global, &["n"], &["r", "s"]);
    store.tables.create_index("i", "t", later, false).await.unwrap();
    let writes = [
        (1, 20, 50, update(key(1, "x"), vec![text("r", 20)])),
        (1, 20, 9000, update(key(1, "x"), vec![text("s", 9000)])),
        (1, 30, 9000, update(key(1, "x"), vec![text("r", 30)])),
        (1, 30, 40, update(key(1, "x"), vec![text("s", 40)])),
        (1, 0, 40, update(key(1, "x"), vec![op("r", CellOp::DeleteAll, None, None)])),
        (2, 30, 40, update(key(1, "x"), vec![set("n", 2), text("r", 30)])),
        (2, 10, 9000, row(2, 10, 9000)),
        (3, 10, 9000, update(key(1, "x"), vec![set("n", 3)])),
        (3, 10, 30, row(3, 10, 30)),
        (3, 8000, 30, update(key(1, "x"), vec![text("r", 8000)])),
    ];
    for (number, r, s, write) in writes {
        store.clock.advance_ms(1);
        store.tables.write_row("i", in_table("t", write)).await.unwrap();
        store.reopen().await;
        for index in ["by_n", "later"] {
            let mut want = vec![("r".to_owned(), r), ("s".to_owned(), s)];
            want.retain(|(_, length)| *length > 0);
            assert_eq!(lengths(&store.tables, index, number).await, want, "{index}");
        }
    }
    store.tables.write_row("i", in_table("t", delete(key(1, "x")))).await.unwrap();
    for index in ["by_n", "later"] {
        assert_eq!(entries(&store.tables, index).await, []);
    }
}

// From the reference, part 5.3: an index is made with the rows that are there. What has expired of one counts until it is gone.
#[tokio::test]
async fn an_index_is_made_of_rows_of_which_something_has_expired() {
    const DAY_MS: i64 = 86_400_000;
    let store = Store::new().await;
    let tables = &store.tables;
    let mut new = new_table("t");
    let options = OptionsChange { time_to_live_s: Some(86_400), max_versions: Some(1), ..OptionsChange::default() };
    new.options = Some(OptionsChange { allow_update: Some(false), ..options });
    tables.create_table("i", new).await.unwrap();
    let text =
        |length: usize| Cell { name: "s".into(), value: Some(Value::Str("x".repeat(length))), op: None, version: None };
    let write = |cells| tables.write_row("i", in_table("t", put(key(1, "x"), cells)));
    write(vec![set("n", 5), text(9000)]).await.unwrap();
    store.clock.advance_ms(DAY_MS + 1);
    tables.create_index("i", "t", by_n(), true).await.unwrap();
    tables.fill_indexes().await.unwrap();
    write(vec![set("n", 5), text(9001)]).await.unwrap();
    assert_eq!(lengths(tables, "by_n", 5).await, [("s".to_owned(), 9001)]);
}
