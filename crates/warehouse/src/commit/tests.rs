//! What a commit record means to those who find it late, or do not know all of it.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use feitian_base::Tasks;
use feitian_meta::Meta;
use feitian_meta::rows::{Account, Project};
use feitian_store::LocalStore;
use feitian_types::{Column, DataType};

use super::*;
use crate::catalog::NewTable;
use crate::log::{CHECKPOINT_FILES, CHECKPOINT_INTERVAL};

async fn catalog(dir: &std::path::Path) -> Catalog {
    catalog_with(dir, Tasks::new()).await
}

async fn catalog_with(dir: &std::path::Path, tasks: Tasks) -> Catalog {
    let meta = Meta::open(&format!("sqlite://{}/meta.db", dir.display())).await.unwrap();
    Catalog::new(meta, Arc::new(LocalStore::open(dir).unwrap()), tasks)
}

async fn create(catalog: &Catalog) {
    create_with(catalog, Vec::new()).await;
}

async fn create_with(catalog: &Catalog, partition_columns: Vec<Column>) {
    let owner = Account { id: "1".into(), name: "test".into(), enabled: true, admin: false, created_ms: 1 };
    catalog.meta().create_account(&owner).await.unwrap();
    let project = Project {
        name: "p".into(),
        owner_id: "1".into(),
        owner_name: "test".into(),
        comment: String::new(),
        properties: "{}".into(),
        created_ms: 1,
        modified_ms: 1,
    };
    catalog.meta().create_project(&project).await.unwrap();
    create_table(catalog, "t", partition_columns).await;
}

async fn create_table(catalog: &Catalog, name: &str, partition_columns: Vec<Column>) {
    let schema = TableSchema { columns: vec![Column::new("n", DataType::BigInt)], partition_columns };
    let new = NewTable {
        dir: None,
        project: "p".into(),
        name: name.into(),
        kind: "MANAGED_TABLE".into(),
        owner: "test".into(),
        schema,
        comment: String::new(),
        properties: serde_json::Map::new(),
        lifecycle: -1,
        view_text: None,
    };
    catalog.create(new, None, &Step::None).await.unwrap();
}

fn file(name: &str) -> NewFile {
    let stats = Some(r#"{"numRecords":1}"#.to_string());
    NewFile { path: name.into(), partition_values: Vec::new(), num_bytes: 1, num_rows: 1, modified_ms: 1, stats }
}

// The record was ended by somebody else and its `txn` is in no version that the log still knows, as when its writer slept
// for days. The checkpoint stands for the versions that are forgotten.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_somebody_has_ended_is_not_carried_out_again_when_the_log_has_forgotten_it() {
    let dir = tempfile::tempdir().unwrap();
    let first = catalog(dir.path()).await;
    create(&first).await;
    let table = first.open("p", "t").await.unwrap().row;
    let (asleep, _) = record_of(Change::append(table.clone(), vec![file("asleep.parquet")]), "asleep", 0, 0).unwrap();
    for n in 0..CHECKPOINT_INTERVAL {
        let change = Change::append(table.clone(), vec![file(&format!("{n}.parquet"))]);
        first.commit(vec![change], &format!("owner{n}"), 0, 0, &Step::None).await.unwrap();
    }
    first.log(&table).checkpoint(CHECKPOINT_INTERVAL).await.unwrap();
    let woken = catalog(dir.path()).await;
    woken.roll_forward(&asleep, &Step::None).await.unwrap();
    let newest = woken.open("p", "t").await.unwrap();
    let snapshot = newest.data().unwrap();
    assert_eq!((snapshot.version, snapshot.files().len() as i64), (CHECKPOINT_INTERVAL, CHECKPOINT_INTERVAL));
    assert!(snapshot.file("asleep.parquet").is_none());
    // One that is still open is.
    let change = Change::append(newest.row, vec![file("open.parquet")]);
    woken.commit(vec![change], "open", 0, 0, &Step::None).await.unwrap();
    assert!(woken.open("p", "t").await.unwrap().data().unwrap().file("open.parquet").is_some());
}

// Renaming a column rewrites all files. An append that was announced before it must not land behind it: the file has the
// old name, and its values would be NULL.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_written_for_other_columns_is_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let catalog = catalog(dir.path()).await;
    create(&catalog).await;
    let old = catalog.open("p", "t").await.unwrap().row;
    let announce = async |file_name: &str, owner: &str, change: &dyn Fn(Change) -> Change| {
        let row = catalog.meta().table_by_id(&old.id).await.unwrap().unwrap();
        let record = record_of(change(Change::append(row, vec![file(file_name)])), owner, 0, 0).unwrap();
        catalog.meta().put_commit_records(&[record]).await.unwrap().remove(0)
    };
    let as_it_is = |change: Change| change;
    let rename = |to: &'static str| {
        move |change: Change| {
            let columns = vec![Column::new(to, DataType::BigInt)];
            let schema = TableSchema { columns, partition_columns: Vec::new() };
            Change { replace: Replace::Table, must_be_unchanged: true, new_schema: Some(schema), ..change }
        }
    };
    let early = announce("early.parquet", "early", &as_it_is).await;
    let renames = announce("renamed.parquet", "renames", &rename("m")).await;
    catalog.roll_forward(&renames, &Step::None).await.unwrap();
    let refused = catalog.roll_forward(&early, &Step::None).await.unwrap_err();
    assert_eq!((refused.kind(), refused.code()), (Kind::Conflict, "SchemaModified"));

    // The log has the new columns, the metadata does not yet: another process has stopped in between.
    let again = announce("again.parquet", "again", &rename("k")).await;
    let late = announce("late.parquet", "late", &as_it_is).await;
    let row = catalog.open("p", "t").await.unwrap().row;
    assert_eq!(row.schema.columns[0].name, "m");
    let intent: Intent = serde_json::from_str(&again.actions).unwrap();
    assert!(matches!(catalog.drive(&row, &again, &intent).await.unwrap(), Driven::Done(_)));
    let refused = catalog.roll_forward(&late, &Step::None).await.unwrap_err();
    assert_eq!((refused.kind(), refused.code()), (Kind::Conflict, "SchemaModified"));
    // Whoever opens the table does what is left, and for the other process, if it lives, that is no error.
    let open = catalog.open("p", "t").await.unwrap();
    assert_eq!(open.row.schema.columns[0].name, "k");
    catalog.roll_forward(&again, &Step::None).await.unwrap();
    let paths: Vec<_> = open.data().unwrap().files().iter().map(|f| f.path.as_str()).collect();
    assert_eq!(paths, ["again.parquet"]);
    assert!(catalog.meta().open_commit_records(None).await.unwrap().is_empty());
}

// `t` is changed after the statement has read it. The record for `u`, carried out alone, would end the statement.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_statement_announced_for_several_tables_is_given_up_together() {
    let dir = tempfile::tempdir().unwrap();
    let catalog = catalog(dir.path()).await;
    create(&catalog).await;
    create_table(&catalog, "u", Vec::new()).await;
    let changes = async |owner: &str, read_version: i64| {
        let (t, u) = (catalog.open("p", "t").await.unwrap().row, catalog.open("p", "u").await.unwrap().row);
        let read = Change::append(t, vec![file(&format!("{owner}.t.parquet"))]);
        let read = Change { read_version, must_be_unchanged: true, ..read };
        vec![read, Change::append(u, vec![file(&format!("{owner}.u.parquet"))])]
    };
    let files = async |table: &str| catalog.open("p", table).await.unwrap().data().unwrap().files().len();
    let t = catalog.open("p", "t").await.unwrap().row;
    catalog.commit(vec![Change::append(t, vec![file("other.parquet")])], "other", 0, 0, &Step::None).await.unwrap();

    let refused = catalog.commit(changes("both", 0).await, "both", 0, 0, &Step::None).await.unwrap_err();
    assert_eq!((refused.kind(), refused.code()), (Kind::Conflict, "ODPS-0110061"));
    assert!(catalog.meta().open_commit_records(None).await.unwrap().is_empty());
    assert_eq!((files("t").await, files("u").await), (1, 0));
    catalog.commit(changes("both", 1).await, "both", 0, 0, &Step::None).await.unwrap();
    assert_eq!((files("t").await, files("u").await), (2, 1));

    // What a log has already stays, and is ended; the statement that runs again does not add it twice.
    let announced =
        changes("left", 0).await.into_iter().map(|c| record_of(c, "left", 0, 0)).collect::<Result<Vec<_>>>();
    let left = catalog.meta().put_commit_records(&announced.unwrap()).await.unwrap();
    let intent: Intent = serde_json::from_str(&left[1].actions).unwrap();
    let u = catalog.meta().table_by_id(&left[1].table_id).await.unwrap().unwrap();
    assert!(matches!(catalog.drive(&u, &left[1], &intent).await.unwrap(), Driven::Done(_)));
    assert_eq!(catalog.carry_out(&left[0]).await.unwrap_err().kind(), Kind::Conflict);
    assert!(catalog.meta().open_commit_records(None).await.unwrap().is_empty());
    assert_eq!(catalog.meta().table_by_id(&u.id).await.unwrap().unwrap().log_version, 2);
    // Nor does a process that begins with a checkpoint, in which the versions before it are not seen any more.
    catalog.log(&u).checkpoint(2).await.unwrap();
    let later = catalog_with(dir.path(), Tasks::new()).await;
    let mut again = changes("left", 2).await;
    for file in again.iter_mut().flat_map(|change| &mut change.files) {
        // Who runs again writes files of other names.
        file.path = format!("again.{}", file.path);
    }
    later.commit(again, "left", 0, 0, &Step::None).await.unwrap();
    assert_eq!((files("t").await, files("u").await), (3, 2));
    // Nor when the other part gives nothing any more, so that this one comes alone.
    let latest = catalog_with(dir.path(), Tasks::new()).await;
    let mut alone = changes("left", 3).await.remove(1);
    (alone.files, alone.among_others) = (vec![file("alone.u.parquet")], true);
    latest.commit(vec![alone], "left", 0, 0, &Step::None).await.unwrap();
    assert_eq!(files("u").await, 2);
}

// A process has announced that the lifecycle of a partition is over, and died.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_announced_end_of_a_partition_is_carried_out_by_others_unless_rows_have_come() {
    let dir = tempfile::tempdir().unwrap();
    let first = catalog(dir.path()).await;
    create_with(&first, vec![Column::new("ds", DataType::String)]).await;
    let append = async |owner: &str| {
        let row = first.open("p", "t").await.unwrap().row;
        let file = NewFile { partition_values: vec![Some("1".into())], ..file(&format!("ds=1/{owner}.parquet")) };
        first.commit(vec![Change::append(row, vec![file])], owner, 0, 0, &Step::None).await.unwrap();
    };
    let announce = async |owner: &str| {
        let open = first.open("p", "t").await.unwrap();
        let specs = vec!["ds=1".to_string()];
        let change = Change {
            read_version: open.data().unwrap().version,
            drop_partitions: specs.clone(),
            must_be_unchanged: true,
            ..Change::append(open.row.clone(), Vec::new())
        };
        let (record, _) = record_of(change, owner, 0, 0).unwrap();
        assert!(first.meta().put_expiry(&record, &open.row, &specs, i64::MAX).await.unwrap());
        record
    };
    append("early").await;
    let late = announce("late").await;
    append("meanwhile").await;
    let other = catalog(dir.path()).await;
    assert_eq!(other.carry_out(&late).await.unwrap_err().kind(), Kind::Conflict);
    let open = other.open("p", "t").await.unwrap();
    assert_eq!(open.data().unwrap().files().len(), 2);
    let left = announce("left").await;
    other.carry_out(&left).await.unwrap();
    assert!(other.open("p", "t").await.unwrap().data().unwrap().files().is_empty());
    assert_eq!(other.meta().partition(&open.row.id, "ds=1").await.unwrap(), None);
    assert!(other.meta().open_commit_records(None).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_of_very_many_files_gets_a_checkpoint_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let tasks = Tasks::new();
    let catalog = catalog_with(dir.path(), tasks.clone()).await;
    create(&catalog).await;
    let table = catalog.open("p", "t").await.unwrap().row;
    for (owner, files) in [("few", 10), ("many", CHECKPOINT_FILES)] {
        let files = (0..files).map(|n| file(&format!("{owner}{n}.parquet"))).collect();
        catalog.commit(vec![Change::append(table.clone(), files)], owner, 0, 0, &Step::None).await.unwrap();
    }
    assert!(tasks.shutdown(std::time::Duration::from_secs(300)).await.is_empty());
    let log = dir.path().join(&table.location).join("_delta_log");
    assert!(!log.join("00000000000000000001.checkpoint.parquet").exists());
    assert!(log.join("00000000000000000002.checkpoint.parquet").exists());
    let again = catalog_with(dir.path(), Tasks::new()).await;
    let open = again.open("p", "t").await.unwrap();
    assert_eq!(open.data().unwrap().files().len(), CHECKPOINT_FILES + 10);
}

// The three ways of replacing are those that the first feitian reads in a commit record.
#[test]
fn a_feitian_that_cannot_exchange_files_refuses_the_record_of_an_exchange() {
    #[derive(Deserialize)]
    enum First {
        Nothing,
        Table,
        Partitions(#[allow(dead_code)] Vec<String>),
    }
    let written = |replace: Replace| serde_json::to_string(&replace).unwrap();
    let read = |text: String| serde_json::from_str::<First>(&text);
    assert!(matches!(read(written(Replace::Nothing)), Ok(First::Nothing)));
    assert!(matches!(read(written(Replace::Table)), Ok(First::Table)));
    assert!(matches!(read(written(Replace::Partitions(vec!["p=1".into()]))), Ok(First::Partitions(_))));
    assert!(read(written(Replace::Files(vec!["a.parquet".into()]))).is_err());
    assert!(read(written(Replace::Described(vec!["a.parquet".into()]))).is_err());
    let rows = Replace::Rows { by: RowsBy::Delete, paths: vec!["a.parquet".into()], partitions: vec![String::new()] };
    assert!(read(written(rows)).is_err());
}
