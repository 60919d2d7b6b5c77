//! Streams: part 2.12 of the reference.

use std::ops::Bound;
use std::sync::atomic::AtomicBool;

use async_trait::async_trait;
use bytes::Bytes;
use feitian_base::Result;
use feitian_tables::engine::{Batch, Engine, Order, Scan};
use tokio::sync::Semaphore;

use super::*;

fn with_stream(name: &str) -> NewTable {
    let stream = StreamSpec { enable: true, expiration_h: Some(24), columns_to_get: Vec::new() };
    NewTable { stream: Some(stream), ..new_table(name) }
}

async fn begin(tables: &Tables) -> String {
    let streams = tables.list_streams("i", Some("t")).await.unwrap();
    let described = tables.describe_stream("i", &streams[0].stream_id).await.unwrap();
    tables.shard_iterator("i", &streams[0].stream_id, &described.shards[0], None).await.unwrap()
}

/// Everything behind an iterator, in pages of two, and where it goes on.
async fn read(tables: &Tables, mut iterator: String) -> (Vec<StreamRecord>, String) {
    let mut records = Vec::new();
    loop {
        let page = tables.stream_record("i", &iterator, Some(2)).await.unwrap();
        iterator = page.next_iterator.unwrap();
        records.extend(page.records);
        if !page.may_have_more {
            return (records, iterator);
        }
    }
}

#[tokio::test]
async fn changes_are_told_in_the_order_of_their_commits() {
    let mut store = Store::new().await;
    let tables = store.tables.clone();
    tables.create_table("i", with_stream("t")).await.unwrap();
    let write = |write| tables.write_row("i", in_table("t", write));
    write(put(key(1, "x"), vec![set("n", 1)])).await.unwrap();
    let changes = vec![op("n", CellOp::Increment, Some(4), None), op("m", CellOp::DeleteAll, None, None)];
    write(update(key(1, "x"), changes)).await.unwrap();
    // Nothing happens, so nothing is told.
    write(delete(key(9, "x"))).await.unwrap();
    assert!(write(expecting(Existence::Missing, put(key(1, "x"), vec![]))).await.is_err());
    let first = begin(&tables).await;
    let (records, iterator) = read(&tables, first.clone()).await;
    let actions = |records: &[StreamRecord]| records.iter().map(|record| record.action).collect::<Vec<_>>();
    assert_eq!(actions(&records), [Action::Put, Action::Update]);
    let told = vec![set_at("n", 5, Some(START_MS)), op("m", CellOp::DeleteAll, None, None)];
    assert_eq!(records[1].row, Row { key: key(1, "x"), cells: told, deleted: false });
    // The clock goes back over the restart; order does not.
    store.clock.advance_ms(-5000);
    store.reopen().await;
    let tables = store.tables.clone();
    tables.write_row("i", in_table("t", delete(key(1, "x")))).await.unwrap();
    let (later, _) = read(&tables, iterator).await;
    assert_eq!(actions(&later), [Action::Delete]);
    assert!(later[0].row.deleted && later[0].timestamp_us > records[1].timestamp_us);
    assert_eq!(read(&tables, first.clone()).await.0.len(), 3);
    // After a day the last change alone is still in the engine, and nobody sees it.
    store.clock.advance_ms(24 * 3_600_000 + 6000);
    assert!(read(&tables, first.clone()).await.0.is_empty());
    tables.clean().await.unwrap();
    tables.write_row("i", in_table("t", put(key(2, "x"), vec![]))).await.unwrap();
    assert_eq!(actions(&read(&tables, first.clone()).await.0), [Action::Put]);
    let off = TableChange { stream: Some(StreamSpec::default()), ..TableChange::default() };
    assert!(!tables.update_table("i", "t", off).await.unwrap().stream.enable);
    assert_eq!(tables.stream_record("i", &first, None).await.unwrap_err().code(), "OTSObjectNotExist");
}

#[tokio::test]
async fn a_transaction_is_told_when_it_is_committed() {
    let store = Store::new().await;
    let tables = &store.tables;
    tables.create_table("i", with_stream("t")).await.unwrap();
    let id = tables.start_transaction("i", "t", key(1, "x")[..1].to_vec()).await.unwrap();
    for b in ["x", "y"] {
        let write = WriteRow { transaction: Some(id.clone()), ..in_table("t", put(key(1, b), vec![])) };
        tables.write_row("i", write).await.unwrap();
    }
    let first = begin(tables).await;
    assert!(read(tables, first.clone()).await.0.is_empty());
    tables.commit_transaction("i", &id).await.unwrap();
    let keys: Vec<_> = read(tables, first).await.0.into_iter().map(|record| record.row.key).collect();
    assert_eq!(keys, [key(1, "x"), key(1, "y")]);
}

/// An engine whose commits of a column `slow` wait until they are let go.
struct Slow {
    below: Memory,
    has_begun: Arc<AtomicBool>,
    go: Arc<Semaphore>,
}

#[async_trait]
impl Engine for Slow {
    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        self.below.get(key).await
    }

    async fn scan(&self, from: Bound<Bytes>, to: Bound<Bytes>, order: Order) -> Result<Box<dyn Scan>> {
        self.below.scan(from, to, order).await
    }

    async fn commit(&self, batch: Batch) -> Result<()> {
        let is_slow = |value: &Bytes| value.windows(4).any(|name| name == b"slow");
        if batch.writes().iter().any(|write| write.value.as_ref().is_some_and(is_slow)) {
            self.has_begun.store(true, Ordering::SeqCst);
            self.go.acquire().await.expect("nobody closes it").forget();
        }
        self.below.commit(batch).await
    }

    async fn delete_range(&self, from: Bytes, to: Bytes) -> Result<()> {
        self.below.delete_range(from, to).await
    }

    fn size(&self, from: &[u8], to: &[u8]) -> Result<u64> {
        self.below.size(from, to)
    }

    fn borders(&self, from: &[u8], to: &[u8]) -> Result<Vec<(Bytes, u64)>> {
        self.below.borders(from, to)
    }

    fn check_readable(&self) -> Result<()> {
        self.below.check_readable()
    }

    fn epoch(&self) -> u64 {
        self.below.epoch()
    }

    fn is_broken(&self) -> bool {
        self.below.is_broken()
    }

    async fn close(&self) -> Result<()> {
        self.below.close().await
    }
}

// A change that is still being written holds back those after it, so that no reader goes past it.
#[tokio::test]
async fn readers_do_not_go_past_a_change_on_its_way() {
    let (has_begun, go) = (Arc::new(AtomicBool::new(false)), Arc::new(Semaphore::new(0)));
    let engine = Slow { below: Memory::open(&Disk::new()), has_begun: has_begun.clone(), go: go.clone() };
    let clock = Arc::new(Hand(AtomicI64::new(START_MS * 1000)));
    let settings = Settings { background: false, ..Settings::default() };
    let tables = Tables::open(Arc::new(engine), clock, settings).await.unwrap();
    tables.create_table("i", with_stream("t")).await.unwrap();
    let own = tables.clone();
    let change = put(key(1, "x"), vec![set("slow", 1)]);
    let slow = tokio::spawn(async move { own.write_row("i", in_table("t", change)).await });
    while !has_begun.load(Ordering::SeqCst) {
        assert!(!slow.is_finished(), "it waits for nothing");
        tokio::task::yield_now().await;
    }
    tables.write_row("i", in_table("t", put(key(2, "x"), vec![]))).await.unwrap();
    let (records, iterator) = read(&tables, begin(&tables).await).await;
    assert!(records.is_empty(), "{records:?}");
    go.add_permits(1);
    slow.await.unwrap().unwrap();
    let keys: Vec<_> = read(&tables, iterator).await.0.into_iter().map(|record| record.row.key).collect();
    assert_eq!(keys, [key(1, "x"), key(2, "x")]);
}
