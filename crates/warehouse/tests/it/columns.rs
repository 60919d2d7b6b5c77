//! Changes of columns whose process died when the log had them and the table's row did not.

use feitian_base::clock;
use feitian_meta::{Instance, Step, Table};
use feitian_types::{Column, DataType};
use feitian_warehouse::{Change, NewJob};

use crate::old::{World, assert_sound, create, put, rows};
use crate::watched::Watched;

/// A process that adds a column and dies in the middle of it; its job.
async fn die_while_adding(world: &World, column: &str) -> Instance {
    let store = Watched::on(world);
    let dying = world.open_on(store.clone()).await;
    let job = NewJob { query: format!("alter table t add columns ({column} string);"), ..NewJob::default() };
    let job = dying.submit("test", "p", job).await.expect("a job");
    let job = world.meta.claim(&job.id, "dying", clock::now_ms()).await.expect("metadata").expect("a job that waits");
    let open = dying.catalog().open("p", "t").await.expect("the table");
    let (mut schema, read_version) = (open.row.schema.clone(), open.data().expect("a table").version);
    schema.columns.push(Column::new(column, DataType::String));
    let change = Change { read_version, new_schema: Some(schema), ..Change::append(open.row, Vec::new()) };
    let step = Step::Instance { id: job.id.clone(), attempt: job.attempt, step: 0 };
    store.mute();
    dying.catalog().commit(vec![change], &job.id, job.attempt, 0, &step).await.expect_err("it dies");
    job
}

fn names(row: &Table) -> Vec<&str> {
    row.schema.columns.iter().map(|c| c.name.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_opens_the_table_next_ends_the_change() {
    let world = World::new().await;
    // One has the table in memory, the other has never seen it; what a start does is behind both.
    let (warm, cold) = (world.open().await, world.open().await);
    create(&warm, &[]).await;
    put(&warm, None, &[1]).await.expect("written");
    assert_eq!(rows(&warm).await, [1]);
    for (survivor, columns) in [(&warm, ["n", "m"].as_slice()), (&cold, ["n", "m", "k"].as_slice())] {
        let (new, old) = columns.split_last().expect("columns");
        let job = die_while_adding(&world, new).await;
        let row = world.meta.table_named("p", "t").await.expect("metadata").expect("the table");
        assert_eq!(names(&row), old);
        assert_eq!(world.meta.open_commit_records(None).await.expect("metadata").len(), 1);

        let open = survivor.catalog().open("p", "t").await.expect("the table, at once");
        assert_eq!(names(&open.row), columns);
        assert!(world.meta.open_commit_records(None).await.expect("metadata").is_empty());
        let job = world.meta.instance("p", &job.id).await.expect("metadata").expect("the job");
        assert_eq!(job.step, 1, "the statement has taken effect, so that no other attempt runs it");
        assert_eq!(rows(survivor).await, [1]);
        assert_sound(survivor).await;
    }
    assert_eq!(names(&warm.catalog().open("p", "t").await.expect("the table").row), ["n", "m", "k"]);
}
