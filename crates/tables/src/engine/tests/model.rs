//! Random calls of an engine and of a map of the standard library, which must answer alike.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::*;

/// One call.
#[derive(Debug, Clone)]
enum Call {
    Commit(Vec<(Vec<u8>, Option<Vec<u8>>)>),
    Get(Vec<u8>),
    Scan { from: Bound<Vec<u8>>, to: Bound<Vec<u8>>, order: Order, rows: usize, bytes: usize },
    DeleteRange(Vec<u8>, Vec<u8>),
    OpenAgain,
}

/// Few keys, so that calls meet each other; some are the beginnings of others.
fn key() -> impl Strategy<Value = Vec<u8>> {
    vec(0..3_u8, 1..4)
}

fn bound() -> impl Strategy<Value = Bound<Vec<u8>>> {
    prop_oneof![Just(Bound::Unbounded), key().prop_map(Bound::Included), key().prop_map(Bound::Excluded)]
}

fn call() -> impl Strategy<Value = Call> {
    let value = vec(any::<u8>(), 0..3000);
    let write = (key(), proptest::option::weighted(0.7, value));
    let order = prop_oneof![Just(Order::Forward), Just(Order::Backward)];
    let scan = (bound(), bound(), order, 1..20_usize, 1..9000_usize);
    prop_oneof![
        8 => vec(write, 1..12).prop_map(Call::Commit),
        4 => key().prop_map(Call::Get),
        6 => scan.prop_map(|(from, to, order, rows, bytes)| Call::Scan { from, to, order, rows, bytes }),
        1 => (key(), key()).prop_map(|(from, to)| Call::DeleteRange(from, to)),
        1 => Just(Call::OpenAgain),
    ]
}

pub(super) fn agree<P: Place>() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let config = ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() };
    let outcome = TestRunner::new(config).run(&vec(call(), 1..40), |calls| {
        runtime.block_on(run(&P::new(), calls));
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}

async fn run(place: &dyn Place, calls: Vec<Call>) {
    let mut engine = place.open().await.unwrap();
    let mut model = BTreeMap::<Vec<u8>, Vec<u8>>::new();
    for call in calls {
        match call {
            Call::Commit(writes) => {
                let mut batch = Batch::new();
                for (key, value) in writes {
                    match value {
                        Some(value) => {
                            batch.put(key.clone(), value.clone());
                            model.insert(key, value);
                        }
                        None => {
                            batch.delete(key.clone());
                            model.remove(&key);
                        }
                    }
                }
                engine.commit(batch).await.unwrap();
            }
            Call::Get(key) => {
                let found = engine.get(&key).await.unwrap();
                assert_eq!(found.as_deref(), model.get(&key).map(Vec::as_slice));
            }
            Call::Scan { from, to, order, rows, bytes } => {
                let mut expected = between(&model, &from, &to);
                if order == Order::Backward {
                    expected.reverse();
                }
                let mut scan = engine.scan(from.map(Bytes::from), to.map(Bytes::from), order).await.unwrap();
                let page = scan.next_batch(rows, bytes).await.unwrap();
                let found = [page, rest(&mut *scan, rows).await].concat();
                assert_eq!(found, expected);
            }
            Call::DeleteRange(from, to) => {
                engine.delete_range(from.clone().into(), to.clone().into()).await.unwrap();
                model.retain(|key, _| *key < from || *key >= to);
            }
            Call::OpenAgain => {
                engine.close().await.unwrap();
                engine = place.open().await.unwrap();
            }
        }
    }
    let found = all(&*engine, Bound::Unbounded, Bound::Unbounded, Order::Forward, 1000).await;
    assert_eq!(found, between(&model, &Bound::Unbounded, &Bound::Unbounded));
    engine.close().await.unwrap();
}

/// What the model has between two bounds, by comparing every key with both.
fn between(model: &BTreeMap<Vec<u8>, Vec<u8>>, from: &Bound<Vec<u8>>, to: &Bound<Vec<u8>>) -> Vec<Pair> {
    let after = |key: &Vec<u8>| match from {
        Bound::Included(from) => key >= from,
        Bound::Excluded(from) => key > from,
        Bound::Unbounded => true,
    };
    let before = |key: &Vec<u8>| match to {
        Bound::Included(to) => key <= to,
        Bound::Excluded(to) => key < to,
        Bound::Unbounded => true,
    };
    let inside = model.iter().filter(|(key, _)| after(key) && before(key));
    inside.map(|(key, value)| (key.clone().into(), value.clone().into())).collect()
}
