//! Commits that fail and are there, or are not: all of a change is, or nothing of it.

use feitian_tables::engine::Engine;
use feitian_tables::engine::memory::Failure;

use super::*;

async fn store() -> Store {
    let store = Store::new().await;
    let mut new = new_table("t");
    new.stream = Some(StreamSpec { enable: true, expiration_h: Some(24), columns_to_get: Vec::new() });
    let texts = |names: [&str; 1]| names.map(str::to_owned).to_vec();
    new.indexes =
        vec![IndexMeta { name: "by_n".into(), key: texts(["n"]), columns: texts(["s"]), kind: IndexKind::Global }];
    store.tables.create_table("i", new).await.unwrap();
    store.tables.write_row("i", in_table("t", put(key(1, "x"), vec![set("n", 1)]))).await.unwrap();
    store
}

/// Rows of the table, entries of the index, records of the stream.
async fn counts(tables: &Tables) -> (Vec<i64>, Vec<KeyValue>, usize) {
    let rows = pages(tables, whole("t", ["a", "b"], Direction::Forward)).await;
    let bound =
        |value: KeyValue| ["n", "a", "b"].map(|name| KeyColumn { name: name.into(), value: value.clone() }).to_vec();
    let asked = range("by_n", Direction::Forward, bound(KeyValue::InfMin), bound(KeyValue::InfMax));
    let entries = pages(tables, asked).await.into_iter().map(|row| row.key[0].value.clone()).collect();
    let stream = tables.list_streams("i", None).await.unwrap().remove(0);
    let shard = tables.describe_stream("i", &stream.stream_id).await.unwrap().shards.remove(0);
    let iterator = tables.shard_iterator("i", &stream.stream_id, &shard, None).await.unwrap();
    let records = tables.stream_record("i", &iterator, None).await.unwrap().records.len();
    (rows.into_iter().flat_map(numbers).map(|cell| cell.2).collect(), entries, records)
}

#[tokio::test]
async fn a_write_whose_outcome_is_unknown_is_there_as_a_whole_or_not_at_all() {
    // Units, by arithmetic: a row and its entry cost one each; an entry that moves costs one at each of its places.
    for (failure, want, want_units) in [
        (Failure::Lost, (vec![1], vec![KeyValue::Int(1)], 1), 2),
        (Failure::Kept, (vec![2], vec![KeyValue::Int(2)], 2), 2 + 3),
    ] {
        let mut store = store().await;
        store.disk.fail_next(failure);
        let change = update(key(1, "x"), vec![set("n", 2)]);
        // The code says that it may have happened: clients do not send writes again for it.
        assert_eq!(store.tables.write_row("i", in_table("t", change)).await.unwrap_err().code(), "OTSTimeout");
        store.reopen().await;
        assert_eq!(counts(&store.tables).await, want, "{failure:?}");
        assert_eq!(store.tables.instance_usage("i").write_units, want_units, "{failure:?}");
    }
}

#[tokio::test]
async fn a_transaction_is_committed_as_a_whole_or_not_at_all() {
    for (failure, want) in [
        (Failure::Lost, (vec![1], vec![KeyValue::Int(1)], 1)),
        (Failure::Kept, (vec![5, 3], vec![KeyValue::Int(3), KeyValue::Int(5)], 3)),
    ] {
        let mut store = store().await;
        let id = store.tables.start_transaction("i", "t", key(1, "x")[..1].to_vec()).await.unwrap();
        for change in [put(key(1, "x"), vec![set("n", 5)]), put(key(1, "y"), vec![set("n", 3)])] {
            let write = WriteRow { transaction: Some(id.clone()), ..in_table("t", change) };
            store.tables.write_row("i", write).await.unwrap();
        }
        store.disk.fail_next(failure);
        assert_eq!(store.tables.commit_transaction("i", &id).await.unwrap_err().code(), "OTSTimeout");
        store.reopen().await;
        assert_eq!(counts(&store.tables).await, want, "{failure:?}");
    }
}

#[tokio::test]
async fn a_table_is_made_and_deleted_as_a_whole_or_not_at_all() {
    for (failure, is_there) in [(Failure::Lost, false), (Failure::Kept, true)] {
        let mut store = Store::new().await;
        store.disk.fail_next(failure);
        assert!(store.tables.create_table("i", new_table("t")).await.is_err());
        store.reopen().await;
        assert_eq!(store.tables.list_tables("i").await.unwrap().len(), usize::from(is_there));
        if !is_there {
            store.tables.create_table("i", new_table("t")).await.unwrap();
        }
        store.tables.write_row("i", in_table("t", put(key(1, "x"), vec![set("n", 1)]))).await.unwrap();
        store.disk.fail_next(failure);
        assert!(store.tables.delete_table("i", "t").await.is_err());
        store.reopen().await;
        assert_eq!(store.tables.list_tables("i").await.unwrap().is_empty(), is_there);
        if !is_there {
            assert_eq!(cells(&store.tables, "t", key(1, "x")).await.unwrap()[0].2, 1);
        }
    }
}

// A full disk refuses with a code that clients send the write again for, forgets nothing, and goes on once there is
// room.
#[tokio::test]
async fn a_full_disk_keeps_what_there_is() {
    let store = store().await;
    store.disk.set_full(true);
    let change = || in_table("t", update(key(1, "x"), vec![set("n", 2)]));
    assert_eq!(store.tables.write_row("i", change()).await.unwrap_err().code(), "OTSServerBusy");
    assert_eq!(cells(&store.tables, "t", key(1, "x")).await.unwrap()[0].2, 1);
    store.disk.set_full(false);
    store.tables.write_row("i", change()).await.unwrap();
    assert_eq!(counts(&store.tables).await, (vec![2], vec![KeyValue::Int(2)], 2));
}

// What gives the disk its room back goes on when there is none: otherwise nobody could ever write again. What writes is
// refused all the same.
#[tokio::test]
async fn a_full_disk_can_be_emptied() {
    let mut store = store().await;
    store.tables.create_table("i", new_table("u")).await.unwrap();
    store.tables.write_row("i", in_table("u", put(key(1, "x"), vec![set("n", 1)]))).await.unwrap();
    store.disk.set_full(true);
    store.tables.write_row("i", in_table("t", delete(key(1, "x")))).await.unwrap();
    assert_eq!(cells(&store.tables, "t", key(1, "x")).await, None);
    let generation = store.tables.usage().into_iter().find(|used| used.table == "u").unwrap().generation;
    store.tables.delete_table("i", "u").await.unwrap();
    store.tables.clean().await.unwrap();
    let again = put(key(1, "x"), vec![set("n", 3)]);
    assert_eq!(store.tables.write_row("i", in_table("t", again)).await.unwrap_err().code(), "OTSServerBusy");
    store.reopen().await;
    assert_eq!(cells(&store.tables, "t", key(1, "x")).await, None);
    assert_eq!(store.tables.list_tables("i").await.unwrap(), ["t"]);
    let of_it = Memory::open(&store.disk).size(&generation.to_be_bytes(), &(generation + 1).to_be_bytes());
    assert_eq!(of_it.unwrap(), 0);
}

// A version is the server's time. If the clock goes back over a restart, the later write is the one that is read all
// the same.
#[tokio::test]
async fn a_clock_that_goes_back_hides_no_write() {
    let mut store = store().await;
    store.tables.clone().close().await.unwrap();
    store.clock.advance_ms(-5000);
    store.reopen().await;
    store.tables.write_row("i", in_table("t", update(key(1, "x"), vec![set("n", 2)]))).await.unwrap();
    assert_eq!(cells(&store.tables, "t", key(1, "x")).await, Some(vec![("n".into(), START_MS, 2)]));
}

// Units that no commit carries are written down when the store is closed, to the last one.
#[tokio::test]
async fn read_units_are_closed_exactly() {
    let mut store = store().await;
    for _ in 0..7 {
        store.tables.get_row("i", get("t", key(1, "x"))).await.unwrap();
    }
    let failing = expecting(Existence::Missing, put(key(1, "x"), vec![]));
    assert!(store.tables.write_row("i", in_table("t", failing)).await.is_err());
    let before = store.tables.usage();
    assert_eq!((before[0].read_units, before[0].write_units), (7 + 1, 1 + 1));
    store.tables.clone().close().await.unwrap();
    store.reopen().await;
    let after = store.tables.usage();
    let units = |usage: &[TableUsage]| usage.iter().map(|u| (u.read_units, u.write_units)).collect::<Vec<_>>();
    assert_eq!(units(&after), units(&before));
    // Who is fenced answers with the retryable code for ever after.
    let old = store.tables.clone();
    store.reopen().await;
    let refused = old.write_row("i", in_table("t", delete(key(1, "x")))).await.unwrap_err();
    assert_eq!(refused.code(), "OTSPartitionUnavailable");
    assert_eq!(cells(&store.tables, "t", key(1, "x")).await.unwrap()[0].2, 1);
}

// An engine that fails is opened again by the process that has it, which forgets no unit, counts none twice, and answers in
// between what was acknowledged. Each of these reads costs one unit, by arithmetic.
#[tokio::test]
async fn units_outlive_an_engine_that_fails() {
    for failure in [Failure::Lost, Failure::Kept] {
        let mut store = store().await;
        for _ in 0..3 {
            store.tables.get_row("i", get("t", key(1, "x"))).await.unwrap();
        }
        store.disk.fail_next(failure);
        let change = in_table("t", update(key(1, "x"), vec![set("n", 2)]));
        assert_eq!(store.tables.write_row("i", change).await.unwrap_err().code(), "OTSTimeout");
        assert!(store.tables.is_broken());
        assert_eq!(cells(&store.tables, "t", key(1, "x")).await.unwrap()[0].2, 1);
        let before = store.tables.clone();
        assert!(before.clone().close().await.is_err(), "there is nowhere to write the units");
        store.reopen().await;
        assert!(!store.tables.is_broken());
        assert_eq!(store.tables.usage()[0].read_units, 0);
        store.tables.inherit(&before);
        store.tables.inherit(&before);
        assert_eq!(store.tables.usage()[0].read_units, 3 + 1);
        store.tables.clone().close().await.unwrap();
        store.reopen().await;
        assert_eq!(store.tables.usage()[0].read_units, 3 + 1);
    }
}

// The loop in the background writes the units down once a second. What was counted before that outlives a crash, what came
// after it is forgotten, and nothing counts twice. Each of these reads costs one unit, by arithmetic.
#[tokio::test]
async fn a_crash_forgets_what_was_read_since_the_units_were_written_down() {
    assert_eq!(Settings::default().meter_every, std::time::Duration::from_secs(1));
    let mut store = store().await;
    let mut written_down = 0;
    for turn in 1..=3 {
        for _ in 0..turn {
            store.tables.get_row("i", get("t", key(1, "x"))).await.unwrap();
        }
        store.tables.flush().await.unwrap();
        store.tables.flush().await.unwrap();
        written_down += turn;
        store.tables.get_row("i", get("t", key(1, "x"))).await.unwrap();
        assert_eq!(store.tables.usage()[0].read_units, written_down + 1);
        store.reopen().await;
        assert_eq!(store.tables.usage()[0].read_units, written_down);
    }
}

// A full disk refuses writes and answers reads, whose units are in the ledger after a clean stop. Each of these reads costs one
// unit, by arithmetic.
#[tokio::test]
async fn units_of_reads_are_written_down_on_a_full_disk() {
    let mut store = store().await;
    store.disk.set_full(true);
    let change = in_table("t", update(key(1, "x"), vec![set("n", 2)]));
    assert_eq!(store.tables.write_row("i", change).await.unwrap_err().code(), "OTSServerBusy");
    for _ in 0..3 {
        store.tables.get_row("i", get("t", key(1, "x"))).await.unwrap();
    }
    store.tables.clone().close().await.unwrap();
    store.reopen().await;
    assert_eq!(store.tables.usage()[0].read_units, 3);
}
