//! The cases themselves; each takes an empty place.

use super::*;

pub(super) async fn keys_come_in_the_order_of_their_bytes(place: &dyn Place) {
    let engine = place.open().await.unwrap();
    let sorted: [&[u8]; 9] = [&[0], &[0, 0], &[0, 0xff], &[1], b"a", b"b", &[0x80], &[0xff], &[0xff, 0xff]];
    let mixed = [4, 0, 8, 2, 6, 1, 3, 7, 5];
    engine.commit(puts(mixed.map(|i| (sorted[i], [i as u8])))).await.unwrap();
    let reversed: Vec<&[u8]> = sorted.into_iter().rev().collect();
    for (order, expected) in [(Order::Forward, sorted.to_vec()), (Order::Backward, reversed)] {
        let found = all(&*engine, Bound::Unbounded, Bound::Unbounded, order, 2).await;
        assert_eq!(found.iter().map(|(key, _)| &key[..]).collect::<Vec<_>>(), expected);
        assert!(found.iter().all(|(key, value)| sorted[usize::from(value[0])] == &key[..]));
    }
    engine.close().await.unwrap();
}

pub(super) async fn bounds_are_kept_both_ways(place: &dyn Place) {
    use Bound::{Excluded, Included, Unbounded};
    let engine = place.open().await.unwrap();
    engine.commit(puts(["b", "d", "f"].map(|key| (key, key)))).await.unwrap();
    let key = |key: &'static str| Bytes::from(key);
    let cases = [
        (Unbounded, Unbounded, "bdf"),
        (Included(key("b")), Included(key("f")), "bdf"),
        (Included(key("b")), Excluded(key("f")), "bd"),
        (Excluded(key("b")), Included(key("f")), "df"),
        (Excluded(key("b")), Excluded(key("f")), "d"),
        (Included(key("a")), Excluded(key("g")), "bdf"),
        (Excluded(key("c")), Included(key("e")), "d"),
        (Included(key("d")), Included(key("d")), "d"),
        (Unbounded, Excluded(key("d")), "b"),
        (Unbounded, Included(key("d")), "bd"),
        (Excluded(key("d")), Unbounded, "f"),
        (Included(key("d")), Unbounded, "df"),
        (Included(key("g")), Unbounded, ""),
        (Included(key("ba")), Excluded(key("d")), ""),
        (Included(key("")), Excluded(key("d")), "b"),
        (Excluded(key("")), Unbounded, "bdf"),
    ];
    for (from, to, expected) in cases {
        for rows in [1, 10] {
            let joined = |pairs: Vec<Pair>| pairs.iter().map(|(key, _)| char::from(key[0])).collect::<String>();
            let forward = all(&*engine, from.clone(), to.clone(), Order::Forward, rows).await;
            assert_eq!(joined(forward), expected, "{from:?} to {to:?}");
            let backward = all(&*engine, from.clone(), to.clone(), Order::Backward, rows).await;
            assert_eq!(joined(backward), expected.chars().rev().collect::<String>(), "{from:?} to {to:?}, backward");
        }
    }
    engine.close().await.unwrap();
}

pub(super) async fn bounds_that_cross_have_nothing_between_them(place: &dyn Place) {
    use Bound::{Excluded, Included, Unbounded};
    let engine = place.open().await.unwrap();
    engine.commit(puts(["b", "d", "f"].map(|key| (key, key)))).await.unwrap();
    let (low, high) = (Bytes::from("b"), Bytes::from("f"));
    let cases = [
        (Included(high.clone()), Included(low.clone())),
        (Included(high.clone()), Excluded(low.clone())),
        (Excluded(high.clone()), Excluded(low.clone())),
        (Included(low.clone()), Excluded(low.clone())),
        (Excluded(low.clone()), Included(low.clone())),
        (Excluded(low.clone()), Excluded(low.clone())),
        (Unbounded, Excluded(Bytes::new())),
        (Unbounded, Included(Bytes::new())),
        (Included(Bytes::new()), Included(Bytes::new())),
    ];
    for (from, to) in cases {
        for order in [Order::Forward, Order::Backward] {
            assert!(all(&*engine, from.clone(), to.clone(), order, 10).await.is_empty(), "{from:?} to {to:?}");
        }
    }
    engine.close().await.unwrap();
}

pub(super) async fn a_page_is_as_large_as_was_asked_for(place: &dyn Place) {
    let engine = place.open().await.unwrap();
    // Ten bytes each.
    engine.commit(puts((0..7_u8).map(|i| ([i], [i; 9])))).await.unwrap();
    let pages: [(usize, usize, Vec<usize>); 7] = [
        (3, usize::MAX, vec![3, 3, 1]),
        (7, usize::MAX, vec![7]),
        (100, 30, vec![3, 3, 1]),
        (100, 31, vec![4, 3]),
        (2, 30, vec![2, 2, 2, 1]),
        (100, 1, vec![1; 7]),
        (0, 0, vec![1; 7]),
    ];
    for (rows, bytes, expected) in pages {
        let mut scan = engine.scan(Bound::Unbounded, Bound::Unbounded, Order::Forward).await.unwrap();
        let mut found = Vec::new();
        loop {
            let page = scan.next_batch(rows, bytes).await.unwrap();
            if page.is_empty() {
                break;
            }
            found.push(page.len());
        }
        assert_eq!(found, expected, "{rows} rows, {bytes} bytes");
        // The end stays the end.
        assert!(scan.next_batch(rows, bytes).await.unwrap().is_empty());
    }
    engine.close().await.unwrap();
}

pub(super) async fn a_scan_does_not_see_what_is_written_later(place: &dyn Place) {
    let engine = place.open().await.unwrap();
    engine.commit(puts((0..20_u8).map(|i| ([i], "old")))).await.unwrap();
    let mut forward = engine.scan(Bound::Unbounded, Bound::Unbounded, Order::Forward).await.unwrap();
    let mut backward = engine.scan(Bound::Unbounded, Bound::Unbounded, Order::Backward).await.unwrap();
    let first = forward.next_batch(3, usize::MAX).await.unwrap();
    let mut batch = puts((0..10_u8).map(|i| ([i], "new")));
    (10..20_u8).for_each(|i| batch.delete(vec![i]));
    batch.put(vec![5_u8, 5], "new");
    engine.commit(batch).await.unwrap();
    let old: Vec<Pair> = (0..20_u8).map(|i| (vec![i].into(), "old".into())).collect();
    assert_eq!([first, rest(&mut *forward, 4).await].concat(), old);
    let mut back = rest(&mut *backward, 4).await;
    back.reverse();
    assert_eq!(back, old);
    let mut new: Vec<Pair> = (0..10_u8).map(|i| (vec![i].into(), "new".into())).collect();
    new.insert(6, (vec![5, 5].into(), "new".into()));
    assert_eq!(all(&*engine, Bound::Unbounded, Bound::Unbounded, Order::Forward, 100).await, new);
    drop((forward, backward));
    engine.close().await.unwrap();
}

pub(super) async fn of_two_changes_to_a_key_the_later_one_counts(place: &dyn Place) {
    let engine = place.open().await.unwrap();
    let mut batch = puts([("put twice", "1"), ("put twice", "2"), ("then deleted", "1")]);
    batch.delete("then deleted");
    batch.delete("then put");
    batch.put("then put", "3");
    batch.append(puts([("put twice", "4")]));
    engine.commit(batch).await.unwrap();
    let found = all(&*engine, Bound::Unbounded, Bound::Unbounded, Order::Forward, 100).await;
    let expected: Vec<Pair> = vec![("put twice".into(), "4".into()), ("then put".into(), "3".into())];
    assert_eq!(found, expected);
    engine.close().await.unwrap();
}

pub(super) async fn a_batch_is_seen_as_a_whole(place: &dyn Place) {
    let engine = place.open().await.unwrap();
    engine.commit(puts([("a", [0_u8]), ("z", [0])])).await.unwrap();
    let writer = tokio::spawn({
        let engine = engine.clone();
        async move {
            for i in 1..=40_u8 {
                engine.commit(puts([("a", [i]), ("z", [i])])).await.unwrap();
            }
        }
    });
    let mut last = 0;
    while last < 40 {
        let found = all(&*engine, Bound::Unbounded, Bound::Unbounded, Order::Forward, 1).await;
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].1, found[1].1, "half a batch");
        assert!(found[0].1[0] >= last, "a later read sees no less");
        last = found[0].1[0];
        assert!(last == 40 || !writer.is_finished() || engine.get(b"a").await.unwrap().unwrap()[0] == 40);
    }
    writer.await.unwrap();
    engine.close().await.unwrap();
}

pub(super) async fn what_was_committed_is_there_after_opening_again(place: &dyn Place) {
    let mut epoch = 0;
    for round in 0..4_u8 {
        let engine = place.open().await.unwrap();
        assert!(engine.epoch() > epoch);
        epoch = engine.epoch();
        let found = all(&*engine, Bound::Unbounded, Bound::Unbounded, Order::Forward, 100).await;
        let expected: Vec<Pair> = (0..round).map(|i| (vec![i].into(), vec![i; 100].into())).collect();
        assert_eq!(found, expected);
        engine.commit(puts([(vec![round], vec![round; 100]), (vec![round, 0], vec![])])).await.unwrap();
        let mut batch = Batch::new();
        batch.delete(vec![round, 0]);
        engine.commit(batch).await.unwrap();
        engine.close().await.unwrap();
        engine.close().await.unwrap();
    }
}

pub(super) async fn many_writers_at_once_lose_nothing(place: &dyn Place) {
    let engine = place.open().await.unwrap();
    let writers = (0..32_u8).map(|writer| {
        let engine = engine.clone();
        tokio::spawn(async move {
            for number in 0..8_u8 {
                engine.commit(puts([([writer, number], [number; 500])])).await.unwrap();
                assert_eq!(engine.get(&[writer, number]).await.unwrap().unwrap(), vec![number; 500]);
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let expected: Vec<Pair> = (0..32_u8)
        .flat_map(|writer| (0..8_u8).map(move |number| (vec![writer, number].into(), vec![number; 500].into())))
        .collect();
    assert_eq!(all(&*engine, Bound::Unbounded, Bound::Unbounded, Order::Forward, 100).await, expected);
    engine.close().await.unwrap();
    let again = place.open().await.unwrap();
    assert_eq!(all(&*again, Bound::Unbounded, Bound::Unbounded, Order::Forward, 100).await, expected);
    again.close().await.unwrap();
}

/// Three ranges of 300 keys, of which some were written twice, and enough of them for several files.
async fn three_ranges(engine: &dyn Engine) -> Vec<Pair> {
    for round in 0..2_u8 {
        for range in 0..3_u8 {
            let keys = (0..300_u16).filter(|i| round == 0 || i % 2 == 0);
            let pairs = keys.map(|i| ([&[range][..], &i.to_be_bytes()].concat(), [round; 400]));
            engine.commit(puts(pairs)).await.unwrap();
        }
    }
    let pairs = (0..3_u8).flat_map(|range| (0..300_u16).map(move |i| (range, i)));
    let pair = |(range, i): (u8, u16)| {
        let key = [&[range][..], &i.to_be_bytes()].concat();
        (key.into(), vec![u8::from(i % 2 == 0); 400].into())
    };
    pairs.map(pair).collect()
}

pub(super) async fn a_range_is_deleted_and_nothing_beside_it(place: &dyn Place) {
    let engine = place.open().await.unwrap();
    let before = three_ranges(&*engine).await;
    assert_eq!(all(&*engine, Bound::Unbounded, Bound::Unbounded, Order::Forward, 64).await, before);
    engine.delete_range(vec![1].into(), vec![2].into()).await.unwrap();
    let mut after: Vec<Pair> = before.into_iter().filter(|(key, _)| key[0] != 1).collect();
    assert_eq!(all(&*engine, Bound::Unbounded, Bound::Unbounded, Order::Forward, 64).await, after);
    // The borders: the first one belongs to the range, the last one does not.
    let (first, last) = (after[0].0.clone(), after[2].0.clone());
    engine.delete_range(first, last).await.unwrap();
    after.drain(..2);
    assert_eq!(all(&*engine, Bound::Unbounded, Bound::Unbounded, Order::Forward, 64).await, after);
    // Nothing between crossed bounds, and nothing where nothing is.
    engine.delete_range(vec![2].into(), vec![1].into()).await.unwrap();
    engine.delete_range(vec![1].into(), vec![2].into()).await.unwrap();
    assert_eq!(all(&*engine, Bound::Unbounded, Bound::Unbounded, Order::Forward, 64).await, after);
    engine.close().await.unwrap();
}

pub(super) async fn a_deleted_range_stays_deleted_after_opening_again(place: &dyn Place) {
    let engine = place.open().await.unwrap();
    let before = three_ranges(&*engine).await;
    engine.delete_range(vec![1].into(), vec![2].into()).await.unwrap();
    engine.commit(puts([([1_u8, 7], "again")])).await.unwrap();
    engine.close().await.unwrap();
    let mut after: Vec<Pair> = before.into_iter().filter(|(key, _)| key[0] != 1).collect();
    after.insert(300, (vec![1, 7].into(), "again".into()));
    for _ in 0..2 {
        let again = place.open().await.unwrap();
        assert_eq!(all(&*again, Bound::Unbounded, Bound::Unbounded, Order::Forward, 64).await, after);
        again.close().await.unwrap();
    }
}

/// Every file has keys of three ranges, so none goes as a whole; the deletions are so many that they get files of their
/// own, which do.
pub(super) async fn a_range_that_shares_its_files_is_deleted(place: &dyn Place) {
    let engine = place.open().await.unwrap();
    let key = |range: u8, i: u32| [&[range][..], &i.to_be_bytes()].concat();
    for batch in 0..20_u32 {
        let inner = (0..1000).map(|i| (key(1, batch * 1000 + i), [7_u8; 20]));
        let borders = [0, 2].map(|range| (key(range, batch), [7_u8; 20]));
        engine.commit(puts(inner.chain(borders))).await.unwrap();
    }
    engine.delete_range(vec![1].into(), vec![2].into()).await.unwrap();
    let left = [0, 2].into_iter().flat_map(|range| (0..20_u32).map(move |batch| (range, batch)));
    let left: Vec<Pair> = left.map(|(range, batch)| (key(range, batch).into(), vec![7_u8; 20].into())).collect();
    assert_eq!(all(&*engine, Bound::Unbounded, Bound::Unbounded, Order::Forward, 1000).await, left);
    // What is written later shows whatever is below it.
    engine.commit(puts([("a", "1")])).await.unwrap();
    let found = all(&*engine, Bound::Unbounded, Bound::Excluded("a".into()), Order::Forward, 1000).await;
    assert_eq!(found, left);
    engine.close().await.unwrap();
    let again = place.open().await.unwrap();
    let found = all(&*again, Bound::Unbounded, Bound::Excluded("a".into()), Order::Forward, 1000).await;
    assert_eq!(found, left);
    again.close().await.unwrap();
}

pub(super) async fn a_size_grows_with_the_range(place: &dyn Place) {
    let engine = place.open().await.unwrap();
    three_ranges(&*engine).await;
    // In this order: what is on its way to the disk is not counted, and will be.
    let (one, all) = (engine.size(&[1], &[2]).unwrap(), engine.size(&[0], &[3]).unwrap());
    assert!(one <= all, "{one} of {all}");
    // By arithmetic: 900 rows of 403 bytes, of which an engine may keep some twice, and each in 100 bytes more.
    assert!(all <= 2 * 900 * 503, "{all}");
    assert_eq!(engine.size(&[2], &[1]).unwrap(), 0);
    assert_eq!(engine.size(&[9], &[10]).unwrap(), 0);
    let borders = engine.borders(&[1], &[2]).unwrap();
    assert!(borders.iter().all(|(key, _)| key.starts_with(&[1])), "{borders:?}");
    assert!(borders.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1), "{borders:?}");
    assert!(engine.borders(&[2], &[1]).unwrap().is_empty() && engine.borders(&[9], &[10]).unwrap().is_empty());
    engine.close().await.unwrap();
}

pub(super) async fn of_two_openings_one_can_write(place: &dyn Place) {
    let first = place.open().await.unwrap();
    first.commit(puts([("a", "1")])).await.unwrap();
    let second = match place.open().await {
        // A lock keeps the second one out.
        Err(refused) => {
            assert_eq!(refused.code(), "OTSPartitionUnavailable");
            first.commit(puts([("a", "2")])).await.unwrap();
            first.close().await.unwrap();
            place.open().await.unwrap()
        }
        // It fences the first one, which notices at its next commit if not before.
        Ok(second) => {
            assert!(second.epoch() > first.epoch());
            second.commit(puts([("a", "2")])).await.unwrap();
            let code = code_of(first.commit(puts([("a", "3"), ("b", "3")])).await);
            assert!(["OTSPartitionUnavailable", "OTSTimeout"].contains(&&code[..]), "{code}");
            for _ in 0..3 {
                assert_eq!(code_of(first.commit(puts([("b", "4")])).await), "OTSPartitionUnavailable");
            }
            assert_eq!(code_of(first.get(b"a").await), "OTSPartitionUnavailable");
            let _ = first.close().await;
            second
        }
    };
    assert_eq!(second.get(b"a").await.unwrap().unwrap(), "2");
    assert_eq!(second.get(b"b").await.unwrap(), None);
    second.commit(puts([("a", "5")])).await.unwrap();
    second.close().await.unwrap();
    let third = place.open().await.unwrap();
    assert_eq!(third.get(b"a").await.unwrap().unwrap(), "5");
    third.close().await.unwrap();
}

pub(super) async fn a_closed_engine_is_not_available(place: &dyn Place) {
    let engine = place.open().await.unwrap();
    engine.commit(puts([("a", "1")])).await.unwrap();
    engine.close().await.unwrap();
    let unbounded = || (Bound::Unbounded, Bound::Unbounded);
    let scan = engine.scan(unbounded().0, unbounded().1, Order::Forward).await.map(drop);
    let codes = [
        code_of(engine.get(b"a").await),
        code_of(scan),
        code_of(engine.commit(puts([("a", "2")])).await),
        code_of(engine.commit(Batch::new()).await),
        code_of(engine.delete_range(vec![0].into(), vec![255].into()).await),
        code_of(engine.size(&[0], &[255])),
    ];
    assert_eq!(codes, ["OTSPartitionUnavailable"; 6]);
}

pub(super) async fn what_no_engine_can_hold_is_refused_and_changes_nothing(place: &dyn Place) {
    let engine = place.open().await.unwrap();
    let long = vec![1_u8; MAX_KEY_BYTES + 1];
    for bad in [vec![], long] {
        assert_eq!(code_of(engine.get(&bad).await), "OTSInternalServerError");
        let mut batch = puts([("a", "1")]);
        batch.put(bad.clone(), "1");
        assert_eq!(code_of(engine.commit(batch).await), "OTSInternalServerError");
        let mut batch = puts([("a", "1")]);
        batch.delete(bad);
        assert_eq!(code_of(engine.commit(batch).await), "OTSInternalServerError");
    }
    let large = puts([("a", vec![0_u8; MAX_VALUE_BYTES + 1])]);
    assert_eq!(code_of(engine.commit(large).await), "OTSInternalServerError");
    assert_eq!(engine.get(b"a").await.unwrap(), None);
    engine.commit(Batch::new()).await.unwrap();
    engine.close().await.unwrap();
}

pub(super) async fn long_keys_and_large_values_come_back(place: &dyn Place) {
    let engine = place.open().await.unwrap();
    let pairs: [(Vec<u8>, Vec<u8>); 3] =
        [(vec![1; MAX_KEY_BYTES], vec![2; 3 << 20]), (vec![1; MAX_KEY_BYTES - 1], vec![]), (vec![2], vec![])];
    engine.commit(puts(pairs.clone())).await.unwrap();
    engine.close().await.unwrap();
    let again = place.open().await.unwrap();
    for (key, value) in pairs {
        assert_eq!(again.get(&key).await.unwrap().unwrap(), value);
    }
    again.close().await.unwrap();
}
