//! Files of buckets: who may name one, what is read of what others wrote, and statements at the same time.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use feitian_meta::{InstanceState, TOKEN_JOBS, TOKEN_SETTING};

use crate::sql::{Bench, OWNER};
use crate::users::{self, USER, USER_ID, refused, rows, run_as, text};
use crate::watched::Watched;

/// The directory of `oss://demo/name/`, made.
fn directory(bench: &Bench, name: &str) -> PathBuf {
    let dir = bench.dir().join("objects/demo").join(name);
    std::fs::create_dir_all(&dir).unwrap();
    dir
}

async fn error(bench: &Bench, query: &str) -> String {
    run_as(bench, OWNER, query, &[]).await.error.unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn buckets_are_for_those_who_may_do_everything_and_tables_for_those_who_may_read_them() {
    let bench = users::open().await;
    text(&bench, OWNER, "grant createtable on project demo to user ALIYUN$other").await;
    text(&bench, OWNER, "grant select on table secret to user ALIYUN$other").await;
    for query in [
        "create external table mine (a bigint) stored as csv location 'oss://demo/x/'",
        "unload from secret into location 'oss://demo/x/' stored as csv",
        "load into table t partition (ds='1') from location 'oss://demo/x/' stored as csv",
    ] {
        refused(&bench, query, "bucket").await;
    }
    // The bucket of a project in which the user may do everything, and the table would be another one's.
    let create = "create external table mine (a bigint) stored as csv location 'oss://other/x/'";
    let elsewhere = run_as(&bench, USER, create, &[]).await.error.unwrap_or_default();
    assert!(elsewhere.starts_with("ODPS-0121125:"), "{elsewhere}");
    let token = [(TOKEN_SETTING, TOKEN_JOBS)];
    let unload = "unload from secret into location 'oss://demo/x/' stored as csv";
    let ended = run_as(&bench, OWNER, unload, &token).await;
    assert!(ended.error.unwrap_or_default().starts_with("ODPS-0130013:"));
    let create = "create external table ext (a bigint) stored as csv location 'oss://demo/ext/'";
    text(&bench, OWNER, &format!("{create}; insert into ext values (7)")).await;
    refused(&bench, "select a from ext", "'odps:Select' on {acs:odps:*:projects/demo/tables/ext}").await;
    refused(&bench, "insert into ext values (8)", "odps:Update").await;
    refused(&bench, "drop table ext", "odps:Drop").await;
    text(&bench, OWNER, "grant select on table ext to user ALIYUN$other").await;
    assert_eq!(rows(&bench, "select a from ext").await, ["7"]);
    refused(&bench, "insert into ext values (8)", "odps:Update").await;
    // A label above that of the user.
    text(&bench, OWNER, "set LabelSecurity=true; set label 2 to table ext(a)").await;
    let labelled = run_as(&bench, USER, "select a from ext", &[]).await;
    assert_eq!(labelled.state, InstanceState::Failed);
    assert!(!bench.warehouse.meta().is_admitted("demo", USER_ID).await.unwrap());
    bench.warehouse.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_of_others_are_read_with_their_faults_named() {
    let bench = Bench::open().await;
    let create = "create external table ext (a bigint, b string) stored as csv location 'oss://demo/ext/'";
    text(&bench, OWNER, create).await;
    let dir = directory(&bench, "ext");
    std::fs::create_dir_all(dir.join("deeper")).unwrap();
    // A byte order mark, ends of lines as Windows has them, an empty line, and no end of the last line.
    std::fs::write(dir.join("a.csv"), b"\xEF\xBB\xBF1,x\r\n\r\n2,y").unwrap();
    std::fs::write(dir.join("deeper/b.csv"), "3,\u{4e2d}\n").unwrap();
    std::fs::write(dir.join("_hidden"), "what is this").unwrap();
    std::fs::write(dir.join(".hidden"), "what is this").unwrap();
    let ended = run_as(&bench, OWNER, "select a, b from ext order by a", &[]).await;
    assert_eq!(bench.rows(&ended).await.1, ["1 | x", "2 | y", "3 | \u{4e2d}"]);
    for (content, code, words) in [
        (b"1,x\n2,\xFF\n".as_slice(), "ODPS-0123131:", "line 2: it is not UTF-8"),
        (b"1,x\n\n\nz,y\n".as_slice(), "ODPS-0123091:", "line 4: 'z' is no BIGINT"),
        (b"1\n".as_slice(), "ODPS-0123131:", "line 1: it has 1 fields, the table has 2 columns"),
    ] {
        std::fs::write(dir.join("a.csv"), content).unwrap();
        let error = error(&bench, "select a, b from ext").await;
        assert!(error.starts_with(code) && error.contains("oss://demo/ext/a.csv") && error.contains(words), "{error}");
    }
    text(&bench, OWNER, "create external table one (a bigint) stored as csv location 'oss://demo/ext/a.csv'").await;
    let file = error(&bench, "select a from one").await;
    assert!(file.starts_with("ODPS-0123131:") && file.contains("it is a file"), "{file}");
    // One record of 17 MiB.
    std::fs::write(dir.join("a.csv"), vec![b'1'; 17 << 20]).unwrap();
    let long = error(&bench, "select a, b from ext").await;
    assert!(long.starts_with("ODPS-0123131:") && long.contains("a.csv line 1"), "{long}");
    bench.warehouse.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_parquet_ends_the_query_and_nothing_else() {
    let bench = Bench::open().await;
    let create = "create external table ext (a bigint, b string) stored as parquet location 'oss://demo/ext/'";
    text(&bench, OWNER, &format!("{create}; insert into ext values (1, 'x'), (2, null), (3, 'zzz')")).await;
    let dir = directory(&bench, "ext");
    let mut files = std::fs::read_dir(&dir).unwrap().map(|f| f.unwrap().path());
    let file = files.find(|f| f.extension().is_some_and(|e| e == "parquet")).unwrap();
    let whole = std::fs::read(&file).unwrap();
    for at in (0..whole.len()).step_by(7) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0xFF;
        std::fs::write(&file, &damaged).unwrap();
        let ended = run_as(&bench, OWNER, "select a, b from ext", &[]).await;
        // A flipped bit of a value is a value; all else is an error of the file.
        let error = ended.error.unwrap_or_default();
        let is_fine = ended.state == InstanceState::Success;
        assert!(is_fine || error.contains("oss://demo/ext/"), "byte {at}: {error}");
    }
    for len in [0, 3, 11, 12, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&file, &whole[..len]).unwrap();
        let error = error(&bench, "select a, b from ext").await;
        assert!(error.starts_with("ODPS-0123131:") && error.contains("oss://demo/ext/"), "{len} bytes: {error}");
    }
    std::fs::write(&file, &whole).unwrap();
    let ended = run_as(&bench, OWNER, "select count(*), sum(a) from ext", &[]).await;
    assert_eq!(bench.rows(&ended).await.1, ["3 | 6"]);
    bench.warehouse.shutdown().await;
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn symbolic_links_lead_nowhere() {
    let bench = Bench::open().await;
    let outside = bench.dir().join("tmp/outside");
    std::fs::create_dir_all(&outside).unwrap();
    std::fs::write(outside.join("secret.csv"), "1\n").unwrap();
    std::os::unix::fs::symlink(&outside, directory(&bench, "in").join("link")).unwrap();
    std::os::unix::fs::symlink(&outside, bench.dir().join("objects/demo-link")).unwrap();
    for place in ["oss://demo/in/", "oss://demo/in/link/", "oss://demo-link/", "oss://demo-link/x/"] {
        let create = format!("create external table if not exists ext (a string) stored as csv location '{place}'");
        for query in ["select a from ext", "insert overwrite table ext values ('2')"] {
            let error = error(&bench, &format!("{create}; {query}")).await;
            assert!(error.starts_with("ODPS-0123131:"), "{place} {query}: {error}");
            assert!(!error.contains(&*bench.dir().to_string_lossy()), "{error}");
        }
        text(&bench, OWNER, "drop table ext").await;
    }
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 1);
    bench.warehouse.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_at_the_same_time_lose_and_double_nothing() {
    let bench = Bench::open().await;
    let create = |name| format!("create external table {name} (a bigint) stored as csv location 'oss://demo/{name}/'");
    text(&bench, OWNER, &format!("{}; {}", create("added"), create("replaced"))).await;
    let run = |query: String| {
        let bench = &bench;
        async move { run_as(bench, OWNER, &query, &[]).await.state }
    };
    let inserts = (0..8).map(|n| run(format!("insert into added values ({n})")));
    let overwrites = (0..8).map(|n| run(format!("insert overwrite table replaced values ({n}), ({n})")));
    let place = "location 'oss://demo/added/' stored as csv";
    let unloads = (0..8).map(|n| run(format!("unload from (select {n}) into {place}")));
    let (inserted, overwritten, unloaded) = futures::join!(
        futures::future::join_all(inserts),
        futures::future::join_all(overwrites),
        futures::future::join_all(unloads)
    );
    for state in inserted.into_iter().chain(overwritten).chain(unloaded) {
        assert_eq!(state, InstanceState::Success);
    }
    // 0 to 7 are 28, by INSERT and by UNLOAD.
    let ended = run_as(&bench, OWNER, "select count(*), sum(a) from added", &[]).await;
    assert_eq!(bench.rows(&ended).await.1, ["16 | 56"]);
    let ended = run_as(&bench, OWNER, "select count(*), count(distinct a) from replaced", &[]).await;
    assert_eq!(bench.rows(&ended).await.1, ["2 | 1"]);
    bench.warehouse.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_ended_statements_have_left_is_collected() {
    let bench = Bench::open().await;
    let create = "create external table ext (a bigint) stored as csv location 'oss://demo/ext/'";
    text(&bench, OWNER, &format!("{create}; insert into ext values (1)")).await;
    let dir = directory(&bench, "ext");
    // A job that is not there any more: one statement has died behind its marker, another one before it.
    let job = "20240101000000000gabcdefghijkl";
    std::fs::write(dir.join(format!("_feitian_new-{job}-0-1-000000")), "2\n").unwrap();
    std::fs::write(dir.join(format!("_feitian_new-{job}-1-1-000000")), "3\n").unwrap();
    let marker = format!(r#"{{"files":[["_feitian_new-{job}-0-1-000000","late.csv"]],"removes":[]}}"#);
    std::fs::write(dir.join(format!("_feitian_commit-{job}-0")), marker).unwrap();
    std::fs::write(dir.join("_of_others"), "4\n").unwrap();
    for _ in 0..2 {
        bench.warehouse.collect(Duration::ZERO).await.unwrap();
        let ended = run_as(&bench, OWNER, "select a from ext order by a", &[]).await;
        assert_eq!(bench.rows(&ended).await.1, ["1", "2"]);
    }
    let names = std::fs::read_dir(&dir).unwrap().map(|f| f.unwrap().file_name().into_string().unwrap());
    assert_eq!(names.filter(|name| name.starts_with('_')).collect::<Vec<_>>(), ["_of_others"]);
    bench.warehouse.shutdown().await;
}

/// A partitioned table of CSV files, and its rows.
const PARTED: &str = "create external table p (a bigint) partitioned by (ds string, hh bigint) stored as csv \
                      location 'oss://demo/p/'; \
                      insert into p partition (ds, hh) \
                      select 1, '1', 1L union all select 2, '1', 2L union all select 3, '2', 1L";

// The directories and their rows are those of PARTED.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pruned_partition_is_neither_listed_nor_opened() {
    let mut watched = None;
    let bench = Bench::open_on(Vec::new(), |store| {
        let store = Watched::of(store);
        watched = Some(store.clone());
        store
    })
    .await;
    let watched: Arc<Watched> = watched.unwrap();
    text(&bench, OWNER, PARTED).await;
    for (condition, rows, listed, opened) in [
        ("ds = '1' and hh = 2", vec!["2"], vec!["hh=2"], 1),
        ("ds = '2'", vec!["3"], vec!["hh=1"], 1),
        ("concat(ds, 'x') = '1x'", vec!["1", "2"], vec!["hh=1", "hh=2"], 2),
        ("hh > 5", vec![], vec![], 0),
        ("ds > '' and a = 3", vec!["3"], vec!["hh=1", "hh=1", "hh=2"], 3),
    ] {
        watched.take();
        let ended = run_as(&bench, OWNER, &format!("select a from p where {condition} order by a"), &[]).await;
        assert_eq!(bench.rows(&ended).await.1, rows, "{condition}");
        let reads = watched.take();
        let count = |read: &str| reads.iter().filter(|r| *r == read).count();
        let mut found: Vec<&str> = reads.iter().filter_map(|r| r.strip_prefix("list ")).collect();
        found.retain(|dir| dir.starts_with("hh="));
        found.sort_unstable();
        // Each directory is looked at twice: between two looks that say the same nobody has changed it.
        let twice: Vec<&str> = listed.iter().flat_map(|dir| [*dir; 2]).collect();
        assert_eq!(found, twice, "{condition}");
        assert!(count("list ds=1") + count("list ds=2") == 0, "{reads:?}");
        let files = reads.iter().filter(|r| r.starts_with("get ") && r.ends_with(".csv")).count();
        assert_eq!(files, opened, "{condition}: {reads:?}");
    }
    std::fs::create_dir_all(directory(&bench, "p").join("ds=3")).unwrap();
    std::fs::write(directory(&bench, "p").join("ds=3/hh=1"), "1\n").unwrap();
    text(&bench, OWNER, "alter table p add partition (ds='3', hh=1)").await;
    let file = error(&bench, "select a from p where ds = '3'").await;
    assert!(file.starts_with("ODPS-0123131:") && file.contains("it is a file"), "{file}");
    // What nobody can read hurts nobody who does not read it.
    let dir = directory(&bench, "p");
    std::fs::write(dir.join("ds=1/hh=1/bad.csv"), b"\xFF\n").unwrap();
    let ended = run_as(&bench, OWNER, "select a from p where hh = 2", &[]).await;
    assert_eq!(bench.rows(&ended).await.1, ["2"]);
    let error = error(&bench, "select a from p where hh = 1").await;
    assert!(error.starts_with("ODPS-0123131:") && error.contains("oss://demo/p/ds=1/hh=1/bad.csv"), "{error}");
    bench.warehouse.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn msck_believes_no_name_of_a_directory() {
    let bench = Bench::open().await;
    text(&bench, OWNER, PARTED).await;
    let dir = directory(&bench, "p");
    for name in ["ds=3/other", "ds=3/hh=", "_ds=4/hh=1", ".ds=5/hh=1", "other/hh=1"] {
        std::fs::create_dir_all(dir.join(name)).unwrap();
    }
    let empty = error(&bench, "msck repair table p").await;
    assert!(empty.starts_with("ODPS-0123031:"), "{empty}");
    std::fs::remove_dir(dir.join("ds=3/hh=")).unwrap();
    // Names as other tools write them: the partition is one, wherever it is.
    std::fs::create_dir_all(dir.join("DS=6/hh=01")).unwrap();
    std::fs::write(dir.join("DS=6/hh=01/x.csv"), "60\n").unwrap();
    text(&bench, OWNER, "msck repair table p; msck repair table p").await;
    let shown = text(&bench, OWNER, "show partitions p").await;
    assert_eq!(shown.trim(), "ds=1/hh=1\nds=1/hh=2\nds=2/hh=1\nds=6/hh=1");
    let ended = run_as(&bench, OWNER, "insert into p partition (ds='6', hh=1) values (61)", &[]).await;
    assert_eq!(ended.state, InstanceState::Success, "{:?}", ended.error);
    let ended = run_as(&bench, OWNER, "select a from p where ds = '6' order by a", &[]).await;
    assert_eq!(bench.rows(&ended).await.1, ["60", "61"]);
    assert!(!dir.join("ds=6").exists());
    // Two directories of one partition.
    std::fs::create_dir_all(dir.join("ds=7/hh=1")).unwrap();
    std::fs::create_dir_all(dir.join("ds=7/hh=01")).unwrap();
    let twice = error(&bench, "msck repair table p").await;
    assert!(twice.starts_with("ODPS-0123131:") && twice.contains("ds=7/hh=1"), "{twice}");
    bench.warehouse.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_are_for_those_who_may_alter_and_update_the_table() {
    let bench = users::open().await;
    text(&bench, OWNER, PARTED).await;
    refused(&bench, "select a from p where ds = '1'", "odps:Select").await;
    refused(&bench, "insert into p partition (ds='1', hh=1) values (8)", "odps:Update").await;
    for query in [
        "alter table p add partition (ds='8', hh=1)",
        "alter table p drop partition (ds='1', hh=1)",
        "msck repair table p",
        "msck repair table p drop partitions",
    ] {
        refused(&bench, query, "odps:Alter").await;
    }
    text(&bench, OWNER, "grant alter, select on table p to user ALIYUN$other").await;
    // Who may alter the table names no bucket.
    refused(&bench, "alter table p add partition (ds='8', hh=1) location 'oss://demo/x/'", "bucket").await;
    let elsewhere = "alter table p add partition (ds='8', hh=1) location 'oss://other/x/'";
    let elsewhere = run_as(&bench, USER, elsewhere, &[]).await.error.unwrap_or_default();
    assert!(elsewhere.starts_with("ODPS-0121125:"), "{elsewhere}");
    assert_eq!(run_as(&bench, USER, "msck repair table p", &[]).await.state, InstanceState::Success);
    assert_eq!(rows(&bench, "select a from p where ds = '2'").await, ["3"]);
    bench.warehouse.shutdown().await;
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_that_is_a_symbolic_link_leads_nowhere() {
    let bench = Bench::open().await;
    text(&bench, OWNER, PARTED).await;
    let outside = bench.dir().join("tmp/outside");
    std::fs::create_dir_all(&outside).unwrap();
    std::fs::write(outside.join("secret.csv"), "1\n").unwrap();
    std::os::unix::fs::symlink(&outside, directory(&bench, "p").join("ds=1/hh=9")).unwrap();
    text(&bench, OWNER, "alter table p add partition (ds='1', hh=9)").await;
    for query in [
        "select a from p where hh = 9",
        "insert overwrite table p partition (ds='1', hh=9) values (2)",
        "insert into p partition (ds, hh) select 2, '1', 9L",
        "msck repair table p",
    ] {
        let error = error(&bench, query).await;
        assert!(error.starts_with("ODPS-0123131:"), "{query}: {error}");
        assert!(!error.contains(&*bench.dir().to_string_lossy()), "{error}");
    }
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 1);
    bench.warehouse.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_on_partitions_at_the_same_time_lose_and_double_nothing() {
    let bench = Bench::open().await;
    text(&bench, OWNER, PARTED).await;
    let run = |query: String| {
        let bench = &bench;
        async move { run_as(bench, OWNER, &query, &[]).await.state }
    };
    // Each adds a row to a partition of its own and to one that is of all.
    let inserts = (0..6).map(|n| {
        run(format!("insert into p partition (ds, hh) select {n}, 'new', {n}L union all select {n}, 'all', 1L"))
    });
    let overwrites = (0..6).map(|n| run(format!("insert overwrite table p partition (ds='one', hh=1) values ({n})")));
    let (inserted, overwritten) =
        futures::join!(futures::future::join_all(inserts), futures::future::join_all(overwrites));
    for state in inserted.into_iter().chain(overwritten) {
        assert_eq!(state, InstanceState::Success);
    }
    let counts = "select ds, count(*), count(distinct hh) from p where ds in ('new', 'all', 'one')";
    let ended = run_as(&bench, OWNER, &format!("{counts} group by ds order by ds"), &[]).await;
    assert_eq!(bench.rows(&ended).await.1, ["all | 6 | 1", "new | 6 | 6", "one | 1 | 1"]);
    bench.warehouse.shutdown().await;
}

// The names and contents of turns are those of `external/turn.rs`; the rows are those that are written.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_turn_of_a_job_that_has_ended_keeps_nobody_waiting() {
    let bench = Bench::open().await;
    let create = "create external table ext (a bigint) stored as csv location 'oss://demo/ext/'";
    text(&bench, OWNER, &format!("{create}; insert into ext values (1)")).await;
    let dir = directory(&bench, "ext");
    let held = r#"{"project":"demo","job":"20240101000000000gabcdefghijkl","attempt":1}"#;
    std::fs::write(dir.join("_feitian_turn-00000000000000000007"), held).unwrap();
    text(&bench, OWNER, "insert overwrite table ext values (2)").await;
    let ended = run_as(&bench, OWNER, "select a from ext", &[]).await;
    assert_eq!(bench.rows(&ended).await.1, ["2"]);
    let turns = |dir: &PathBuf| {
        let names = std::fs::read_dir(dir).unwrap().map(|f| f.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with("_feitian_turn-")).collect::<Vec<_>>()
    };
    assert_eq!(turns(&dir), ["_feitian_turn-00000000000000000008"]);
    text(&bench, OWNER, "insert overwrite table ext values (3)").await;
    assert_eq!(turns(&dir), ["_feitian_turn-00000000000000000009"]);
    std::fs::write(dir.join("_feitian_turn-00000000000000000010"), "what is this").unwrap();
    let strange = error(&bench, "insert overwrite table ext values (4)").await;
    assert!(strange.starts_with("ODPS-0123131:") && strange.contains("_feitian_turn-"), "{strange}");
    let ended = run_as(&bench, OWNER, "select a from ext", &[]).await;
    assert_eq!(bench.rows(&ended).await.1, ["3"]);
    bench.warehouse.shutdown().await;
}
