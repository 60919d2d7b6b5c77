//! What the platform's pages are told of tables: what they hold and what was used of late.

use super::*;

/// A table with a stream, of two versions and a lifetime of two days.
fn with_stream(name: &str) -> NewTable {
    let options = OptionsChange { time_to_live_s: Some(172_800), max_versions: Some(2), ..OptionsChange::default() };
    let stream = StreamSpec { enable: true, expiration_h: Some(24), columns_to_get: Vec::new() };
    NewTable { options: Some(options), stream: Some(stream), ..new_table(name) }
}

async fn used(store: &Store) -> TableUsage {
    let found = store.tables.usage_of("i").unwrap();
    assert_eq!(found.len(), 1);
    found.into_iter().next().unwrap()
}

// The options as they were asked for; sizes: an engine without rows has none for them.
#[tokio::test]
async fn a_table_is_told_with_its_options_and_its_stream() {
    let store = Store::new().await;
    store.tables.create_table("i", with_stream("t")).await.unwrap();
    store.tables.create_table("other", new_table("t")).await.unwrap();
    let empty = used(&store).await;
    assert_eq!((empty.table.as_str(), empty.created_ms, empty.bytes), ("t", START_MS, 0));
    assert_eq!((empty.options.max_versions, empty.options.time_to_live_s), (2, 172_800));
    assert_eq!(empty.stream.map(|stream| stream.bytes), Some(0));
    store.tables.write_row("i", in_table("t", put(key(1, "x"), vec![set("n", 1)]))).await.unwrap();
    let full = used(&store).await;
    assert!(full.bytes > 0 && full.stream.is_some_and(|stream| stream.bytes > 0));
    assert_ne!(full.stream.map(|stream| stream.generation), Some(full.generation));
    let off = TableChange { stream: Some(StreamSpec::default()), ..TableChange::default() };
    store.tables.update_table("i", "t", off).await.unwrap();
    assert_eq!(used(&store).await.stream, None);
    assert!(store.tables.usage_of("nobody").unwrap().is_empty());
}

// Arithmetic: each of these writes and reads costs one unit. A minute may end at any moment, so that what is recent is at
// most what was used.
#[tokio::test]
async fn units_before_a_restart_are_not_recent() {
    let mut store = Store::new().await;
    store.tables.create_table("i", new_table("t")).await.unwrap();
    for n in 0..4 {
        store.tables.write_row("i", in_table("t", put(key(1, "x"), vec![set("n", n)]))).await.unwrap();
        store.tables.get_row("i", get("t", key(1, "x"))).await.unwrap();
    }
    let before = used(&store).await;
    assert_eq!((before.read_units, before.write_units), (4, 4));
    assert!(before.recent_read_units <= 4 && before.recent_write_units <= 4);
    store.tables.clone().close().await.unwrap();
    assert!(store.tables.usage_of("i").is_err(), "nobody knows sizes any more");
    store.reopen().await;
    let after = used(&store).await;
    assert_eq!((after.read_units, after.write_units), (4, 4));
    assert_eq!((after.recent_read_units, after.recent_write_units), (0, 0));
    store.tables.write_row("i", in_table("t", put(key(1, "x"), vec![]))).await.unwrap();
    let last = used(&store).await;
    assert_eq!((last.write_units, last.recent_read_units), (5, 0));
    assert!(last.recent_write_units <= 1);
}
