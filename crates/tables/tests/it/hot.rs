//! Rows that are read again are those of the last commit, whatever made it.

use super::*;

/// The numbers of the row that has been read twice: the second time it is in memory.
async fn twice(tables: &Tables) -> Option<Vec<(String, i64)>> {
    let mut answers = Vec::new();
    for _ in 0..2 {
        let cells = cells(tables, "t", key(1, "x")).await;
        answers.push(cells.map(|cells| cells.into_iter().map(|(name, _, value)| (name, value)).collect()));
    }
    assert_eq!(answers[0], answers[1]);
    answers.swap_remove(0)
}

fn row(cells: &[(&str, i64)]) -> Option<Vec<(String, i64)>> {
    Some(cells.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect())
}

// Arithmetic on what was written.
#[tokio::test]
async fn every_kind_of_commit_is_seen_by_who_has_read_before() {
    let mut store = Store::new().await;
    let tables = store.tables.clone();
    tables.create_table("i", new_table("t")).await.unwrap();
    assert_eq!(twice(&tables).await, None);
    tables.write_row("i", in_table("t", put(key(1, "x"), vec![set("n", 1), set("m", 1)]))).await.unwrap();
    assert_eq!(twice(&tables).await, row(&[("m", 1), ("n", 1)]));
    tables.write_row("i", in_table("t", put(key(1, "x"), vec![set("n", 2)]))).await.unwrap();
    assert_eq!(twice(&tables).await, row(&[("n", 2)]));
    let add = || update(key(1, "x"), vec![op("n", CellOp::Increment, Some(5), None)]);
    for atomic in [false, true] {
        let writes = TableWrites { table: "t".into(), rows: vec![add(), put(key(1, "y"), vec![set("n", 0)])] };
        let batch = BatchWrite { tables: vec![writes], transaction: None, atomic };
        tables.batch_write("i", batch).await.unwrap();
    }
    assert_eq!(twice(&tables).await, row(&[("n", 12)]));
    let id = tables.start_transaction("i", "t", key(1, "x")[..1].to_vec()).await.unwrap();
    tables.write_row("i", WriteRow { transaction: Some(id.clone()), ..in_table("t", add()) }).await.unwrap();
    assert_eq!(twice(&tables).await, row(&[("n", 12)]), "it is not committed");
    tables.commit_transaction("i", &id).await.unwrap();
    assert_eq!(twice(&tables).await, row(&[("n", 17)]));
    tables.write_row("i", in_table("t", delete(key(1, "x")))).await.unwrap();
    assert_eq!(twice(&tables).await, None);
    tables.write_row("i", in_table("t", add())).await.unwrap();
    assert_eq!(twice(&tables).await, row(&[("n", 5)]));
    tables.delete_table("i", "t").await.unwrap();
    tables.create_table("i", new_table("t")).await.unwrap();
    assert_eq!(twice(&tables).await, None, "it is another table");
    tables.write_row("i", in_table("t", add())).await.unwrap();
    store.reopen().await;
    assert_eq!(twice(&store.tables).await, row(&[("n", 5)]));
    // The first one lost its data to the second one.
    let lost = tables.get_row("i", get("t", key(1, "x"))).await.unwrap_err();
    assert_eq!(lost.code(), "OTSPartitionUnavailable");
}
