//! Tables themselves: names, options, versions and lifetimes, deletion; parts 2.2 and 5.4 of the reference.

use feitian_tables::engine::{Batch, Engine};

use super::*;

#[tokio::test]
async fn a_table_made_again_shows_nothing_of_the_old_one() {
    let mut store = Store::new().await;
    let tables = store.tables.clone();
    tables.create_table("i", new_table("t")).await.unwrap();
    let twice = tables.create_table("i", new_table("t")).await.unwrap_err();
    assert_eq!((twice.code(), twice.message()), ("OTSObjectAlreadyExist", "Requested table already exists."));
    tables.create_table("other", new_table("t")).await.unwrap();
    tables.write_row("i", in_table("t", put(key(1, "x"), vec![set("n", 1)]))).await.unwrap();
    tables.delete_table("i", "t").await.unwrap();
    assert_eq!(tables.describe_table("i", "t").await.unwrap_err().code(), "OTSObjectNotExist");
    tables.create_table("i", new_table("t")).await.unwrap();
    assert_eq!(cells(&tables, "t", key(1, "x")).await, None);
    tables.write_row("i", in_table("t", put(key(2, "x"), vec![set("n", 2)]))).await.unwrap();
    tables.clean().await.unwrap();
    store.reopen().await;
    assert_eq!(cells(&store.tables, "t", key(1, "x")).await, None);
    assert_eq!(cells(&store.tables, "t", key(2, "x")).await, Some(vec![("n".into(), START_MS, 2)]));
    // Units of a deleted table stay with its instance: two writes; its reads were not written down before the crash.
    assert_eq!(store.tables.instance_usage("i").write_units, 2);
    store.tables.drop_instance("i").await.unwrap();
    assert_eq!(store.tables.list_tables("i").await.unwrap(), Vec::<String>::new());
    assert_eq!(store.tables.list_tables("other").await.unwrap(), ["t"]);
}

#[tokio::test]
async fn max_versions_hold_from_the_next_read() {
    let store = Store::new().await;
    let tables = &store.tables;
    let mut new = new_table("t");
    new.options = Some(OptionsChange { time_to_live_s: Some(-1), max_versions: Some(3), ..OptionsChange::default() });
    tables.create_table("i", new).await.unwrap();
    for by in 0..5 {
        let written = update(key(1, "x"), vec![set_at("n", by, Some(START_MS + by))]);
        tables.write_row("i", in_table("t", written)).await.unwrap();
    }
    let versions = async || {
        let found = cells(tables, "t", key(1, "x")).await.unwrap();
        found.into_iter().map(|cell| cell.2).collect::<Vec<_>>()
    };
    assert_eq!(versions().await, [4, 3, 2]);
    let options = OptionsChange { max_versions: Some(1), ..OptionsChange::default() };
    let change = TableChange { options: Some(options), ..TableChange::default() };
    let info = tables.update_table("i", "t", change).await.unwrap();
    assert_eq!((info.options.max_versions, info.options.time_to_live_s, info.options.deviation_s), (1, -1, 86_400));
    assert_eq!(versions().await, [4]);
    tables.clean().await.unwrap();
    assert_eq!(versions().await, [4]);
    let between = Select { time: Some(TimeRange::Between { start_ms: START_MS, end_ms: START_MS + 4 }), ..all() };
    let got = tables.get_row("i", GetRow { select: between, ..get("t", key(1, "x")) }).await.unwrap();
    assert!(numbers(got.row.unwrap()).is_empty());
}

#[tokio::test]
async fn versions_expire_and_rows_of_expired_versions_go() {
    let store = Store::new().await;
    let tables = &store.tables;
    let mut new = new_table("t");
    new.options =
        Some(OptionsChange { time_to_live_s: Some(86_400), max_versions: Some(1), ..OptionsChange::default() });
    tables.create_table("i", new).await.unwrap();
    tables.write_row("i", in_table("t", put(key(1, "x"), vec![set("n", 1)]))).await.unwrap();
    store.clock.advance_ms(3_600_000);
    tables.write_row("i", in_table("t", put(key(2, "x"), vec![set("n", 2)]))).await.unwrap();
    tables.write_row("i", in_table("t", put(key(3, "x"), vec![]))).await.unwrap();
    // One hour before the second row expires, the first one has.
    store.clock.advance_ms(86_400_000 - 3_599_999);
    assert_eq!(cells(tables, "t", key(1, "x")).await, Some(vec![]));
    tables.clean().await.unwrap();
    assert_eq!(cells(tables, "t", key(1, "x")).await, None);
    assert_eq!(cells(tables, "t", key(2, "x")).await.unwrap()[0].2, 2);
    assert_eq!(cells(tables, "t", key(3, "x")).await, Some(vec![]));
    let old = put(key(4, "x"), vec![set_at("n", 1, Some(START_MS))]);
    assert_eq!(tables.write_row("i", in_table("t", old)).await.unwrap_err().message(), "Invalid timestamp. Cell:n");
}

// From the reference, part 5.4: a row all of whose cells have expired disappears once cleaned. A key that no table has
// written, in another table, is no reason to leave it.
#[tokio::test]
async fn a_table_that_cannot_be_cleaned_holds_up_no_other_one() {
    let mut store = Store::new().await;
    let tables = store.tables.clone();
    for name in ["a", "b"] {
        let options = OptionsChange { time_to_live_s: Some(86_400), max_versions: Some(1), ..OptionsChange::default() };
        tables.create_table("i", NewTable { options: Some(options), ..new_table(name) }).await.unwrap();
        tables.write_row("i", in_table(name, put(key(1, "x"), vec![set("n", 1)]))).await.unwrap();
    }
    let broken = tables.usage().into_iter().find(|used| used.table == "a").unwrap().generation;
    let mut foreign = Batch::new();
    foreign.put([&broken.to_be_bytes()[..], &[0x99]].concat(), vec![1_u8]);
    Memory::open(&store.disk).commit(foreign).await.unwrap();
    store.reopen().await;
    store.clock.advance_ms(86_400_001);
    assert!(store.tables.clean().await.is_err());
    assert_eq!(cells(&store.tables, "b", key(1, "x")).await, None);
}

#[tokio::test]
async fn what_is_given_is_told() {
    let store = Store::new().await;
    let tables = &store.tables;
    let mut new = new_table("t");
    new.throughput = Throughput { read: 5000, write: 4000 };
    tables.create_table("i", new.clone()).await.unwrap();
    let info = tables.describe_table("i", "t").await.unwrap();
    assert_eq!((info.key, info.defined, info.throughput), (new.key, new.defined, new.throughput));
    assert_eq!((info.last_increase_ms, info.last_decrease_ms, info.created_ms), (START_MS, None, START_MS));
    store.clock.advance_ms(1000);
    let less = ThroughputChange { read: Some(1), write: None };
    let change = TableChange { throughput: Some(less), ..TableChange::default() };
    let info = tables.update_table("i", "t", change).await.unwrap();
    assert_eq!(info.throughput, Throughput { read: 1, write: 4000 });
    assert_eq!(info.last_decrease_ms, Some(START_MS + 1000));
    for name in ["b", "a"] {
        tables.create_table("i", new_table(name)).await.unwrap();
    }
    assert_eq!(tables.list_tables("i").await.unwrap(), ["a", "b", "t"]);
}

// Arithmetic: of ten first keys of 300 KiB each, three are less than 1 MiB and four are more.
#[tokio::test]
async fn split_points_cut_at_first_keys() {
    let store = Store::new().await;
    store.tables.create_table("i", new_table("t")).await.unwrap();
    for a in 0..10 {
        let value = Some(Value::Bin(vec![0; 300 << 10]));
        let cell = Cell { name: "v".into(), value, op: None, version: None };
        store.tables.write_row("i", in_table("t", put(key(a, "x"), vec![cell]))).await.unwrap();
    }
    let split = store.tables.split_points("i", "t", 1 << 20).await.unwrap();
    let points: Vec<_> = split.points.iter().map(|point| (point.len(), point[0].value.clone())).collect();
    assert_eq!(points, [(1, KeyValue::Int(4)), (1, KeyValue::Int(8))]);
    assert_eq!(split.locations, [(String::new(), 3)]);
}

// Arithmetic: where no more is known than the first and the last key, bytes are taken to be spread evenly between them. They are
// not here: of 3,000 rows the last 1,000 are large, and who counted would cut among those alone.
#[tokio::test]
async fn split_points_of_a_large_table_are_estimated() {
    let (disk, clock) = (Disk::new(), Arc::new(Hand(AtomicI64::new(START_MS * 1000))));
    let settings = Settings { background: false, counted_split_bytes: 0, ..Settings::default() };
    let tables = Tables::open(Arc::new(Memory::open(&disk)), clock, settings).await.unwrap();
    tables.create_table("i", new_table("t")).await.unwrap();
    for a in 0..3000 {
        let value = Some(Value::Bin(vec![0; if a < 2000 { 10 } else { 4000 }]));
        let cell = Cell { name: "v".into(), value, op: None, version: None };
        tables.write_row("i", in_table("t", put(key(a, "x"), vec![cell]))).await.unwrap();
    }
    let split = tables.split_points("i", "t", 1 << 20).await.unwrap();
    let number = |point: &Vec<KeyColumn>| match point[0].value {
        KeyValue::Int(a) => a,
        _ => panic!("no number"),
    };
    let points: Vec<i64> = split.points.iter().map(number).collect();
    // 2,000 rows of 48 bytes and 1,000 of 4,038 are 3.94 MiB: 22 bytes are the key, 16 come before the value.
    let all = 2000.0 * 48.0 + 1000.0 * 4038.0;
    let at = |mib: f64| (mib * 1024.0 * 1024.0 / all * 2999.0).ceil() as i64;
    assert_eq!(points, [at(1.0), at(2.0), at(3.0)]);
    assert!(tables.split_points("i", "t", 1 << 30).await.unwrap().points.is_empty());
}
