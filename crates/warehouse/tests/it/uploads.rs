//! Upload sessions whose id the caller made: a request that comes twice, to any process, opens one and adds its rows once.

use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch};
use feitian_base::id;
use feitian_types::arrow::engine_schema;
use feitian_types::{Column, DataType, PartitionSpec};
use feitian_warehouse::{BatchSource, SessionRequest};

use crate::old::{World, create};

fn request(table: &str, ds: &str) -> SessionRequest {
    SessionRequest {
        project: "p".into(),
        table: table.into(),
        partition: Some(PartitionSpec(vec![("ds".into(), ds.into())])),
        overwrite: false,
        create_partition: true,
        schema_version: None,
    }
}

fn three_rows() -> BatchSource {
    let columns = [Column::new("n", DataType::BigInt)];
    let batch = RecordBatch::try_new(engine_schema(&columns), vec![Arc::new(Int64Array::from(vec![1, 2, 3]))]);
    Box::new(std::iter::once(Ok(batch.expect("columns fit"))))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_is_opened_twice_is_one() {
    let world = World::new().await;
    let (here, there) = (world.open().await, world.open().await);
    create(&here, &["ds"]).await;
    let id = id::ulid();
    let (a, b) = tokio::join!(
        here.open_upload("test", &id, request("t", "1")),
        there.open_upload("test", &id, request("t", "1"))
    );
    let (a, b) = (a.expect("a session"), b.expect("the same session"));
    assert_eq!((&a.session, a.session.id.as_str()), (&b.session, id.as_str()));
    here.write_block(&a, 7, three_rows()).await.expect("written");
    there.write_block(&b, 7, three_rows()).await.expect("written over it");
    here.commit_upload(&a).await.expect("committed");
    let again = there.open_upload("test", &id, request("t", "1")).await.expect("the session that has ended");
    assert_eq!((again.session.status.as_str(), again.blocks.len()), ("closed", 1));
    there.commit_upload(&again).await.expect("the same answer");
    assert_eq!(here.table("p", "t").await.expect("the table").num_rows, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_that_was_for_something_else_is_refused() {
    let world = World::new().await;
    let w = world.open().await;
    create(&w, &["ds"]).await;
    let id = id::ulid();
    w.open_upload("test", &id, request("t", "1")).await.expect("a session");
    let overwriting = SessionRequest { overwrite: true, ..request("t", "1") };
    for (who, other) in [("another", request("t", "1")), ("test", request("t", "2")), ("test", overwriting)] {
        let refused = w.open_upload(who, &id, other).await.expect_err("another upload");
        assert_eq!(refused.code(), "ObjectAlreadyExists");
    }
    // Nothing came of the refused ones.
    let listed = w.list_partitions("p", "t", None, false, None, 10).await.expect("partitions");
    assert_eq!(listed.items.iter().map(|p| p.spec.as_str()).collect::<Vec<_>>(), ["ds=1"]);
    // A download's id is no upload's.
    let download = w.create_download("test", request("t", "1")).await.expect("a session");
    let refused = w.open_upload("test", &download.session.id, request("t", "1")).await.expect_err("a download");
    assert_eq!(refused.code(), "NoSuchUpload");
}
