//! The project `sys`: who sees which rows, that conditions reach the metadata, and that nobody changes anything.

use std::time::Duration;

use feitian_base::id;
use feitian_meta::{Account, Instance, InstanceState, Meta, Partition, Step, Table};
use feitian_types::{Column, DataType, TableSchema};
use feitian_warehouse::{NewJob, SessionRequest, Setting};

use crate::sql::{Bench, OWNER};

const OTHER: &str = "ALIYUN$other";
const ROOT: &str = "ALIYUN$root";
/// 2023-11-15 06:13:20 in Asia/Shanghai, the zone of the projects here.
const START_MS: i64 = 1_700_000_000_000;

/// Two accounts with a project each, and an administrator.
async fn open() -> Bench {
    let bench = Bench::open().await;
    let root = Account { id: "9".into(), name: ROOT.into(), enabled: true, admin: true, created_ms: 1 };
    bench.warehouse.meta().create_account(&root).await.unwrap();
    bench
}

async fn run(bench: &Bench, who: &str, project: &str, query: &str, settings: &[(&str, &str)]) -> Instance {
    let job = NewJob {
        priority: 9,
        task_name: "AnonymousSQLTask".into(),
        task_type: "SQL".into(),
        query: query.into(),
        settings: settings.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect(),
        ..NewJob::default()
    };
    let submitted = bench.warehouse.submit(who, project, job).await.unwrap();
    bench.warehouse.wait(project, &submitted.id, Duration::from_secs(120)).await.unwrap()
}

/// The rows of a query of `who` in his own project.
async fn rows(bench: &Bench, who: &str, query: &str) -> Vec<String> {
    let project = if who == OTHER { "other" } else { "demo" };
    rows_of(bench, &run(bench, who, project, query, &[]).await).await
}

async fn rows_of(bench: &Bench, ended: &Instance) -> Vec<String> {
    assert_eq!(ended.state, InstanceState::Success, "{}: {:?}", ended.query, ended.error);
    bench.rows(ended).await.1
}

async fn text(bench: &Bench, query: &str) -> String {
    let ended = run(bench, OWNER, "demo", query, &[]).await;
    assert_eq!(ended.state, InstanceState::Success, "{query}: {:?}", ended.error);
    String::from_utf8(ended.result_inline.unwrap_or_default()).unwrap()
}

async fn error(bench: &Bench, query: &str) -> String {
    let ended = run(bench, OWNER, "demo", query, &[]).await;
    assert_eq!(ended.state, InstanceState::Failed, "{query}");
    ended.error.unwrap()
}

/// The rows that the query's scan gave out.
fn rows_read(ended: &Instance) -> u64 {
    let summary: serde_json::Value = serde_json::from_str(&ended.summary).unwrap();
    summary["rows_in"].as_u64().unwrap()
}

/// A job that ended a second after it had started, which was a second after its submission.
fn old_job(id: &str, project: &str, submitted_ms: i64) -> Instance {
    Instance {
        id: id.into(),
        project: project.into(),
        owner: OWNER.into(),
        guid: String::new(),
        priority: 9,
        source: "<Job/>".into(),
        task_name: "AnonymousSQLTask".into(),
        task_type: "SQL".into(),
        query: "select 1;".into(),
        settings: r#"{"a":"b"}"#.into(),
        state: InstanceState::Success,
        node: String::new(),
        attempt: 1,
        step: 0,
        stop_requested: false,
        submitted_ms,
        started_ms: Some(submitted_ms + 1000),
        ended_ms: Some(submitted_ms + 2000),
        is_select: true,
        result_columns: None,
        result_inline: None,
        result_path: None,
        result_rows: 3,
        error: None,
        summary: "{}".into(),
    }
}

/// Jobs `h00000`, `h00001` and so on of project `demo`, one a second from [`START_MS`].
async fn history(meta: &Meta, jobs: i64) {
    for i in 0..jobs {
        meta.create_instance(&old_job(&format!("h{i:05}"), "demo", START_MS + i * 1000)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_sees_the_jobs_of_its_projects_and_an_administrator_all() {
    let bench = open().await;
    let meta = bench.warehouse.meta();
    let own = run(&bench, OWNER, "demo", "select 'mine'", &[]).await.id;
    let foreign = run(&bench, OTHER, "other", "select 'secret'", &[]).await.id;
    let one = |id: &str| {
        format!("select project, owner, status, operation_text from sys.instances where instance_id = '{id}'")
    };
    let in_other = "select count(*) from sys.instances where operation_text like '%secret%' and project = 'other'";
    assert_eq!(rows(&bench, OWNER, &one(&own)).await, ["demo | ALIYUN$demo | Success | select 'mine'"]);
    assert!(rows(&bench, OWNER, &one(&foreign)).await.is_empty());
    assert_eq!(rows(&bench, OWNER, in_other).await, ["0"]);
    let projects = "select distinct project from sys.instances";
    assert_eq!(rows(&bench, OWNER, projects).await, ["demo"]);
    assert_eq!(rows(&bench, OTHER, projects).await, ["other"]);
    assert_eq!(rows(&bench, ROOT, &format!("{projects} order by project limit 9")).await, ["demo", "other"]);
    assert_eq!(rows(&bench, ROOT, &one(&foreign)).await, ["other | ALIYUN$other | Success | select 'secret'"]);
    meta.admit("other", "1").await.unwrap();
    assert_eq!(rows(&bench, OWNER, &one(&foreign)).await.len(), 1);
    assert_eq!(rows(&bench, OWNER, &format!("{projects} order by project limit 9")).await, ["demo", "other"]);
    meta.expel("other", "1").await.unwrap();
    assert!(rows(&bench, OWNER, &one(&foreign)).await.is_empty());
    meta.set_account_enabled("1", false).await.unwrap();
    assert!(rows(&bench, OWNER, projects).await.is_empty());
    bench.warehouse.shutdown().await;
}

/// Settings of a job, and the rows of two queries.
type Case<'a> = (&'a [(&'a str, &'a str)], &'a [&'a str], &'a [&'a str]);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_of_a_bearer_token_sees_its_project_and_no_more_than_the_token() {
    let bench = open().await;
    run(&bench, OWNER, "demo", "create table t (a bigint)", &[]).await;
    run(&bench, OTHER, "other", "create table u (a bigint)", &[]).await;
    let all = "select distinct project from sys.instances order by project limit 9";
    let tables = "select project, table_name from sys.tables order by project, table_name limit 9";
    // The network edge takes no token for a project that its account was not let into.
    bench.warehouse.meta().admit("demo", "9").await.unwrap();
    let cases: [Case<'_>; 3] = [
        (&[], &["demo", "other"], &["demo | t", "other | u"]),
        (&[("feitian.token", "jobs")], &["demo"], &["demo | t"]),
        (&[("feitian.token", "tables")], &[], &["demo | t"]),
    ];
    for (settings, jobs, found) in cases {
        assert_eq!(rows_of(&bench, &run(&bench, ROOT, "demo", all, settings).await).await, jobs, "{settings:?}");
        assert_eq!(rows_of(&bench, &run(&bench, ROOT, "demo", tables, settings).await).await, found, "{settings:?}");
        let foreign = run(&bench, ROOT, "demo", "select * from other.u", settings).await;
        assert_eq!(foreign.state == InstanceState::Success, settings.is_empty(), "{:?}", foreign.error);
    }
    // What the text of the job says does not count.
    let lie = format!("set feitian.token=none; {all};");
    let seen = run(&bench, ROOT, "demo", &lie, &[("feitian.token", "tables")]).await;
    assert!(rows_of(&bench, &seen).await.is_empty());
    bench.warehouse.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conditions_and_limits_reach_the_metadata() {
    let bench = open().await;
    history(bench.warehouse.meta(), 1050).await;
    let from = "select instance_id from sys.instances where";
    // Arithmetic: a job a second from 06:13:20, so that number 400 is of 06:20:00.
    for (query, read) in [
        (format!("{from} instance_id = 'h00007'"), 1),
        (format!("{from} 'h00007' = instance_id and project = 'demo'"), 1),
        (format!("{from} instance_id = 'h00007' and project = 'other'"), 0),
        (format!("{from} project = 'demo' and project = 'other'"), 0),
        (format!("{from} project = 'other'"), 0),
        (format!("{from} owner = 'ALIYUN$nobody'"), 0),
        (format!("{from} submit_time >= '2023-11-15 06:20:00' and submit_time < '2023-11-15 06:21:40'"), 100),
        (
            format!(
                "{from} submit_time > datetime '2023-11-15 06:20:00' and submit_time <= datetime '2023-11-15 06:21:40'"
            ),
            100,
        ),
        (format!("{from} submit_time between datetime '2023-11-15 06:20:00' and datetime '2023-11-15 06:20:09'"), 10),
        (format!("{from} submit_time = '2023-11-15 06:20:00'"), 1),
        (format!("{from} submit_time < dateadd(datetime '2023-11-14 06:14:20', 1, 'dd')"), 60),
        (format!("{from} submit_time < '2024-01-01 00:00:00' limit 10"), 10),
        (format!("{from} submit_time < '2024-01-01 00:00:00' order by submit_time desc limit 10"), 10),
        (format!("{from} submit_time < '2024-01-01 00:00:00'"), 1050),
    ] {
        let ended = run(&bench, OWNER, "demo", &query, &[]).await;
        assert_eq!(rows_of(&bench, &ended).await.len() as u64, read, "{query}");
        assert_eq!(rows_read(&ended), read, "{query}");
    }
    let newest = format!("{from} submit_time < '2024-01-01 00:00:00' order by submit_time desc limit 2");
    assert_eq!(rows(&bench, OWNER, &newest).await, ["h01049", "h01048"]);
    let oldest = format!("{from} submit_time < '2024-01-01 00:00:00' order by submit_time limit 2");
    assert_eq!(rows(&bench, OWNER, &oldest).await, ["h00000", "h00001"]);
    // Rows are not lost or repeated between pages, with and without their texts.
    let ids = "count(*), count(distinct instance_id), min(instance_id), max(instance_id)";
    let old = "where submit_time < '2024-01-01 00:00:00'";
    let counted = "1050 | 1050 | h00000 | h01049";
    assert_eq!(rows(&bench, OWNER, &format!("select {ids} from sys.instances {old}")).await, [counted]);
    let with_texts = format!("select {ids}, count(operation_text) from sys.instances {old}");
    assert_eq!(rows(&bench, ROOT, &with_texts).await, [format!("{counted} | 1050")]);
    bench.warehouse.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_newest_jobs_of_several_projects_are_found_without_reading_the_rest() {
    let bench = open().await;
    let meta = bench.warehouse.meta();
    meta.admit("other", "1").await.unwrap();
    // A job a second in one project, and in the other one half a second after each.
    for i in 0..300 {
        for (id, project, at) in [(format!("h{i:05}"), "demo", 0), (format!("o{i:05}"), "other", 500)] {
            meta.create_instance(&old_job(&id, project, START_MS + i * 1000 + at)).await.unwrap();
        }
    }
    let newest_first: Vec<String> = (0..300).rev().flat_map(|i| [format!("o{i:05}"), format!("h{i:05}")]).collect();
    let old = "from sys.instances where submit_time < '2024-01-01 00:00:00'";
    for (columns, limit) in [("instance_id", 5), ("instance_id", 500), ("instance_id, operation_text", 500)] {
        let query = format!("select {columns} {old} order by submit_time desc limit {limit}");
        let ended = run(&bench, OWNER, "demo", &query, &[]).await;
        let found: Vec<String> = rows_of(&bench, &ended).await.iter().map(|r| r[..6].to_string()).collect();
        assert_eq!(found, newest_first[..limit], "{query}");
        assert_eq!(rows_read(&ended), limit as u64, "{query}");
    }
    let counted = format!("select count(*), count(distinct instance_id), count(distinct project) {old}");
    assert_eq!(rows(&bench, OWNER, &counted).await, ["600 | 600 | 2"]);
    assert_eq!(rows(&bench, OWNER, &format!("{counted} and owner = 'ALIYUN$nobody'")).await, ["0 | 0 | 0"]);
    // Jobs are counted without being read.
    for (more, jobs) in
        [("", 600), (" and project = 'other'", 300), (" and instance_id = 'h00007'", 1), (" and 1 = 2", 0)]
    {
        assert_eq!(rows(&bench, OWNER, &format!("select count(*) {old}{more}")).await, [jobs.to_string()], "{more}");
    }
    assert_eq!(rows(&bench, OTHER, &format!("select count(*) {old}")).await, ["300"]);
    assert_eq!(rows(&bench, OWNER, &format!("select 'x' {old} limit 7")).await, ["x"; 7]);
    bench.warehouse.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_shows_its_times_its_error_and_what_it_gave() {
    let bench = open().await;
    let meta = bench.warehouse.meta();
    let failed = Instance {
        state: InstanceState::Failed,
        error: Some("ODPS-0130131:[1,15] Table not found - table demo.t cannot be resolved".into()),
        ..old_job("h2", "demo", START_MS)
    };
    let stopped = Instance { state: InstanceState::Cancelled, started_ms: None, ..old_job("h3", "demo", START_MS) };
    for job in [old_job("h1", "demo", START_MS), failed, stopped] {
        meta.create_instance(&job).await.unwrap();
    }
    let columns = "instance_id, task_type, status, priority, submit_time, start_time, end_time, wait_ms, run_ms, \
                   result_rows, error_code, error, settings";
    let all = format!("select {columns} from sys.instances where instance_id like 'h%' order by instance_id limit 9");
    assert_eq!(
        rows(&bench, OWNER, &all).await,
        [
            "h1 | SQL | Success | 9 | 2023-11-15 06:13:20 | 2023-11-15 06:13:21 | 2023-11-15 06:13:22 | 1000 | 1000 | \
             3 | NULL | NULL | {\"a\":\"b\"}",
            "h2 | SQL | Failed | 9 | 2023-11-15 06:13:20 | 2023-11-15 06:13:21 | 2023-11-15 06:13:22 | 1000 | 1000 | \
             NULL | ODPS-0130131 | ODPS-0130131:[1,15] Table not found - table demo.t cannot be resolved | {\"a\":\"b\"}",
            "h3 | SQL | Cancelled | 9 | 2023-11-15 06:13:20 | NULL | 2023-11-15 06:13:22 | 2000 | NULL | NULL | NULL | \
             NULL | {\"a\":\"b\"}",
        ]
    );
    // The query that asks is itself a job that runs.
    let me = "select status, end_time, result_rows, run_ms >= 0 from sys.instances where status = 'Running'";
    assert_eq!(rows(&bench, OWNER, me).await, ["Running | NULL | NULL | TRUE"]);
    bench.warehouse.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stages_of_jobs_are_rows_and_jobs_without_a_profile_have_none() {
    let bench = open().await;
    let meta = bench.warehouse.meta();
    let profile = serde_json::json!({ "stages": [
        { "id": "M1_job_0", "step": 0, "state": "done", "started_ms": START_MS, "ended_ms": START_MS + 1000, "workers": 2,
          "rows_in": 7, "rows_out": 5, "bytes_in": 90, "cpu_us": 2500, "spilled_bytes": 0, "skew": 1.5, "unknown": 1 },
        { "id": "R2_1_job_0", "state": "running", "ended_ms": null },
    ] });
    let with = Instance { summary: profile.to_string(), ..old_job("h1", "demo", START_MS) };
    let foreign = Instance { id: "h2".into(), project: "other".into(), ..with.clone() };
    let broken = Instance { summary: "no profile".into(), ..old_job("h3", "demo", START_MS) };
    for job in [with, foreign, broken, old_job("h4", "demo", START_MS)] {
        meta.create_instance(&job).await.unwrap();
    }
    let columns = "instance_id, stage, step, status, workers, rows_in, rows_out, bytes_in, cpu_ms, spilled_bytes, skew, \
                   submit_time, start_time, end_time";
    let all =
        format!("select {columns} from sys.tasks where submit_time < '2024-01-01 00:00:00' order by stage limit 9");
    assert_eq!(
        rows(&bench, OWNER, &all).await,
        [
            "h1 | M1_job_0 | 0 | Success | 2 | 7 | 5 | 90 | 2 | 0 | 1.5 | 2023-11-15 06:13:20 | 2023-11-15 06:13:20 | \
             2023-11-15 06:13:21",
            "h1 | R2_1_job_0 | NULL | Running | NULL | NULL | NULL | NULL | NULL | NULL | NULL | 2023-11-15 06:13:20 | \
             NULL | NULL",
        ]
    );
    let one =
        run(&bench, OWNER, "demo", "select stage from sys.tasks where instance_id = 'h1' and project = 'demo'", &[])
            .await;
    assert_eq!((rows_of(&bench, &one).await.len(), rows_read(&one)), (2, 2));
    assert!(rows(&bench, OTHER, "select stage from sys.tasks where instance_id = 'h1'").await.is_empty());
    bench.warehouse.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_and_partitions_are_those_of_ones_own_projects() {
    let bench = open().await;
    for query in [
        "create table plain (a bigint) comment 'c' lifecycle 7",
        "insert into plain values (1), (2)",
        "create table parted (a bigint) partitioned by (ds string, hh string)",
        "insert into parted partition (ds, hh) select 1, '1', 'a' union all select 2, '1', 'b' union all select 3, '2', 'a'",
        "alter table parted add partition (ds='3', hh='a')",
        "create view seen as select a from plain",
        "create schema s",
        "create table demo.s.inner_one (a bigint)",
        "create table gone (a bigint)",
        "drop table gone",
    ] {
        let ended = run(&bench, OWNER, "demo", query, &[]).await;
        assert_eq!(ended.state, InstanceState::Success, "{query}: {:?}", ended.error);
    }
    run(&bench, OTHER, "other", "create table hidden (a bigint) partitioned by (ds string)", &[]).await;
    run(&bench, OTHER, "other", "alter table hidden add partition (ds='1')", &[]).await;
    let columns = "project, schema_name, table_name, table_type, owner, lifecycle, is_partitioned, num_partitions, \
                   num_rows, num_files, table_comment";
    let all = format!("select {columns} from sys.tables order by project, schema_name, table_name limit 9");
    let own = [
        "demo | default | parted | MANAGED_TABLE | ALIYUN$demo | NULL | TRUE | 4 | 3 | 3 | ",
        "demo | default | plain | MANAGED_TABLE | ALIYUN$demo | 7 | FALSE | NULL | 2 | 1 | c",
        "demo | default | seen | VIRTUAL_VIEW | ALIYUN$demo | NULL | FALSE | NULL | NULL | NULL | ",
        "demo | s | inner_one | MANAGED_TABLE | ALIYUN$demo | NULL | FALSE | NULL | 0 | 0 | ",
    ];
    assert_eq!(rows(&bench, OWNER, &all).await, own);
    assert_eq!(rows(&bench, ROOT, &all).await.len(), 5);
    let plain = "select data_length > 0, location like 'warehouse/demo/plain-%', length(table_id), \
                 create_time <= last_modified_time from sys.tables where table_name = 'plain' and schema_name = 'default'";
    // A ULID has 26 characters.
    assert_eq!(rows(&bench, OWNER, plain).await, ["TRUE | TRUE | 26 | TRUE"]);
    let hidden = "select table_name from sys.tables where project = 'other'";
    assert!(rows(&bench, OWNER, hidden).await.is_empty());
    let parts = "select table_name, partition_name, num_rows, num_files, data_length > 0 from sys.partitions \
                 order by partition_name limit 9";
    assert_eq!(
        rows(&bench, OWNER, parts).await,
        [
            "parted | ds=1/hh=a | 1 | 1 | TRUE",
            "parted | ds=1/hh=b | 1 | 1 | TRUE",
            "parted | ds=2/hh=a | 1 | 1 | TRUE",
            "parted | ds=3/hh=a | 0 | 0 | FALSE",
        ]
    );
    assert_eq!(rows(&bench, OTHER, parts).await, ["hidden | ds=1 | 0 | 0 | FALSE"]);
    bench.warehouse.shutdown().await;
}

// Arithmetic on the columns and partitions that are made here. A bearer token makes no administrator.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn information_schema_shows_the_tables_of_ones_own_projects() {
    let bench = open().await;
    for query in [
        "create table t (a bigint) partitioned by (ds string)",
        "alter table t add partition (ds='1')",
        "create view v as select 7 as a",
    ] {
        run(&bench, OWNER, "demo", query, &[]).await;
    }
    run(&bench, OTHER, "other", "create table u (a bigint) partitioned by (ds string)", &[]).await;
    run(&bench, OTHER, "other", "alter table u add partition (ds='2')", &[]).await;
    bench.warehouse.meta().admit("demo", "9").await.unwrap();
    for (table, demo, other) in [("tables", 2, 1), ("columns", 3, 2), ("partitions", 1, 1)] {
        let all = format!("select count(*) from information_schema.{table}");
        assert_eq!(rows(&bench, OWNER, &all).await, [demo.to_string()], "{table}");
        assert_eq!(rows(&bench, OTHER, &all).await, [other.to_string()], "{table}");
        let by_root: [(&[(&str, &str)], i64); 2] = [(&[], demo + other), (&[("feitian.token", "tables")], demo)];
        for (settings, wanted) in by_root {
            let seen = run(&bench, ROOT, "demo", &all, settings).await;
            assert_eq!(rows_of(&bench, &seen).await, [wanted.to_string()], "{table} {settings:?}");
        }
        let foreign =
            format!("select count(*) from system_catalog.information_schema.{table} where table_catalog = 'other'");
        assert_eq!(rows(&bench, OWNER, &foreign).await, ["0"], "{table}");
        assert_eq!(rows(&bench, OTHER, &foreign).await, [other.to_string()], "{table}");
    }
    bench.warehouse.shutdown().await;
}

fn table(name: &str, partition_columns: Vec<Column>) -> Table {
    Table {
        id: id::ulid(),
        project: "demo".into(),
        schema_name: "default".into(),
        name: name.into(),
        kind: "MANAGED_TABLE".into(),
        owner: OWNER.into(),
        location: "warehouse/demo/none".into(),
        schema: TableSchema { columns: vec![Column::new("a", DataType::BigInt)], partition_columns },
        schema_version: 0,
        comment: String::new(),
        properties: "{}".into(),
        lifecycle: -1,
        view_text: None,
        created_ms: START_MS,
        ddl_ms: START_MS,
        modified_ms: START_MS,
        log_version: 0,
        dropped_ms: None,
    }
}

fn partition(table: &Table, ds: &str) -> Partition {
    Partition {
        table_id: table.id.clone(),
        spec: format!("ds={ds}"),
        values: vec![ds.to_string()],
        created_ms: START_MS,
        ddl_ms: START_MS,
        modified_ms: START_MS,
        num_rows: 2,
        num_bytes: 3,
        num_files: 1,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_repeated_between_pages_of_tables_and_partitions() {
    let bench = open().await;
    let meta = bench.warehouse.meta();
    for i in 0..210 {
        let new = table(&format!("t{i:03}"), vec![Column::new("ds", DataType::String)]);
        let count = if i == 100 { 1100 } else { i % 3 };
        let partitions: Vec<Partition> = (0..count).map(|p| partition(&new, &format!("{p:05}"))).collect();
        meta.create_table(&new, &partitions, &Step::None).await.unwrap();
    }
    let tables = "select count(*), count(distinct table_name), sum(num_partitions), sum(num_rows) from sys.tables";
    // Arithmetic: 210 numbers of which each third has 0, 1 or 2, without the 1 of number 100, and 1100: 70 * 3 - 1 + 1100.
    assert_eq!(rows(&bench, OWNER, tables).await, ["210 | 210 | 1309 | 2618"]);
    let partitions = "select count(*), count(distinct concat(table_name, partition_name)), sum(num_rows), \
                      min(table_name), max(table_name) from sys.partitions";
    assert_eq!(rows(&bench, ROOT, partitions).await, ["1309 | 1309 | 2618 | t001 | t209"]);
    let of_one =
        run(&bench, OWNER, "demo", "select partition_name from sys.partitions where table_name = 't005'", &[]).await;
    assert_eq!((rows_of(&bench, &of_one).await.len(), rows_read(&of_one)), (2, 2));
    let few = run(&bench, OWNER, "demo", "select partition_name from sys.partitions limit 5", &[]).await;
    assert_eq!((rows_of(&bench, &few).await.len(), rows_read(&few)), (5, 5));
    bench.warehouse.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tunnel_sessions_are_those_of_ones_own_projects() {
    let bench = open().await;
    run(&bench, OWNER, "demo", "create table t (a bigint)", &[]).await;
    run(&bench, OTHER, "other", "create table u (a bigint) partitioned by (ds string)", &[]).await;
    let request = |project: &str, table: &str, create_partition: bool| SessionRequest {
        project: project.into(),
        table: table.into(),
        partition: create_partition.then(|| feitian_types::PartitionSpec(vec![("ds".into(), "1".into())])),
        overwrite: false,
        create_partition,
        schema_version: None,
    };
    let upload = bench.warehouse.create_upload(OWNER, request("demo", "t", false)).await.unwrap();
    bench.warehouse.create_download(OWNER, request("demo", "t", false)).await.unwrap();
    bench.warehouse.create_stream(OTHER, request("other", "u", true)).await.unwrap();
    let all = "select kind, project, schema_name, table_name, partition_name, status, owner, record_count, \
               create_time < expire_time from sys.sessions order by kind limit 9";
    let own = [
        "download | demo | default | t | NULL | normal | ALIYUN$demo | 0 | TRUE",
        "upload | demo | default | t | NULL | normal | ALIYUN$demo | 0 | TRUE",
    ];
    let foreign = "stream | other | default | u | ds=1 | normal | ALIYUN$other | NULL | TRUE";
    assert_eq!(rows(&bench, OWNER, all).await, own);
    assert_eq!(rows(&bench, OTHER, all).await, [foreign]);
    assert_eq!(rows(&bench, ROOT, all).await, [own[0], foreign, own[1]]);
    let named = format!("select kind from sys.sessions where session_id = '{}'", upload.session.id);
    assert_eq!(rows(&bench, OWNER, &named).await, ["upload"]);
    assert!(rows(&bench, OTHER, &named).await.is_empty());
    bench.warehouse.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_show_paths_of_the_machine_to_administrators_alone() {
    let setting = |name: &str, value: Option<&str>, source: &str, place: &str, is_private: bool| Setting {
        name: name.into(),
        value: value.map(str::to_string),
        source: source.into(),
        place: place.into(),
        description: "What it is.".into(),
        is_private,
    };
    let bench = Bench::open_with(vec![
        setting("data", Some("/srv/feitian"), "file", "/etc/feitian.toml", true),
        setting("listen", Some("127.0.0.1:7700"), "default", "", false),
        setting("unset", None, "default", "", false),
    ])
    .await;
    let root = Account { id: "9".into(), name: ROOT.into(), enabled: true, admin: true, created_ms: 1 };
    bench.warehouse.meta().create_account(&root).await.unwrap();
    let all = "select name, value, source, description from sys.config order by name limit 9";
    let rest = ["listen | 127.0.0.1:7700 | default | What it is.", "unset | NULL | default | What it is."];
    assert_eq!(rows(&bench, OWNER, all).await, ["data | NULL | file | What it is.", rest[0], rest[1]]);
    let full = "data | /srv/feitian | file /etc/feitian.toml | What it is.";
    assert_eq!(rows(&bench, ROOT, all).await, [full, rest[0], rest[1]]);
    let token = run(&bench, ROOT, "demo", all, &[("feitian.token", "jobs")]).await;
    assert_eq!(rows_of(&bench, &token).await[0], "data | NULL | file | What it is.");
    bench.warehouse.shutdown().await;
}

// ODPS-0130013 is "Authorization exception" and ODPS-0130131 "Table not found" in MaxCompute's list of SQL errors.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_changes_the_system_through_sql() {
    let bench = open().await;
    for query in [
        "insert into sys.config select 'a', 'b', 'c', 'd'",
        "insert overwrite table sys.instances select 1",
        "from (select 1 as a) t insert into table sys.tasks select a insert into table sys.tables select a",
        "create table sys.instances (a bigint)",
        "create table sys.mine (a bigint)",
        "create table if not exists sys.mine (a bigint)",
        "create view sys.mine as select 1 as a",
        "drop table sys.instances",
        "drop table if exists sys.mine",
        "drop view sys.tables",
        "truncate table sys.instances",
        "alter table sys.tables add columns (b bigint)",
        "alter table sys.tables rename to tables",
        "create schema sys.mine",
        "drop schema sys.mine",
        "explain insert into sys.config select 'a', 'b', 'c', 'd'",
        "set odps.namespace.schema=true; drop table sys.instances;",
        "use sys; create table mine (a bigint);",
        "use sys; drop table instances;",
    ] {
        let said = error(&bench, query).await;
        assert!(said.starts_with("ODPS-0130013:["), "{query}: {said}");
        assert!(said.contains("You have NO privilege 'odps:"), "{query}: {said}");
    }
    for query in [
        "select * from sys.nothing",
        "desc sys.nothing",
        "select * from sys.default.nothing",
        "use sys; select * from t",
    ] {
        let said = error(&bench, query).await;
        assert!(said.starts_with("ODPS-0130131:["), "{query}: {said}");
    }
    // What the client makes of ALTER TABLE .. MERGE SMALLFILES (odps/models/tasks/merge.py).
    let task = NewJob { task_type: "Merge".into(), query: "sys.tables".into(), priority: 9, ..NewJob::default() };
    let submitted = bench.warehouse.submit(OWNER, "demo", task).await.unwrap();
    let merged = bench.warehouse.wait("demo", &submitted.id, Duration::from_secs(120)).await.unwrap();
    assert!(merged.error.unwrap_or_default().contains("You have NO privilege 'odps:Alter'"));
    for function in ["max_pt('sys.tables')", "partition_exists('sys.tables', '1')"] {
        let said = error(&bench, &format!("select {function}")).await;
        assert!(said.contains("table sys.tables is not a partitioned table"), "{said}");
    }
    let taken = error(&bench, "create schema sys").await;
    assert!(taken.contains("'sys'"), "{taken}");
    bench.warehouse.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn system_tables_are_tables_like_others_to_those_who_read() {
    let bench = open().await;
    run(&bench, OTHER, "other", "create table u (a bigint)", &[]).await;
    let names = ["config", "instances", "ots_tables", "partitions", "ranges", "sessions", "tables", "tasks"];
    let shown = text(&bench, "show tables in sys").await;
    assert_eq!(shown.lines().filter(|l| !l.is_empty()).collect::<Vec<_>>(), names.map(|n| format!("sys:{n}")));
    assert_eq!(text(&bench, "use sys; show tables like 'ta*'").await.trim(), "sys:tables\nsys:tasks");
    assert!(
        text(&bench, "explain select * from sys.instances where project = 'demo'")
            .await
            .contains("SystemScanExec: sys.instances, project=demo")
    );
    // Every way to name a table, and one table twice.
    for query in [
        "select count(*) from sys.tables",
        "select count(*) from sys.default.tables",
        "use sys; select count(*) from tables;",
        "set odps.namespace.schema=true; select count(*) from sys.tables;",
        "select count(*) from sys.tables a join sys.tables b on a.table_id = b.table_id",
        "select count(sys.tables.table_name) from sys.tables",
    ] {
        assert_eq!(rows(&bench, OTHER, query).await, ["1"], "{query}");
    }
    assert_eq!(
        rows(&bench, OWNER, "select table_exists('sys.tables'), table_exists('sys.nothing')").await,
        ["TRUE | FALSE"]
    );
    // A view shows its reader's rows, not those of whoever made it.
    run(&bench, ROOT, "demo", "create view v as select project, table_name from sys.tables", &[]).await;
    assert_eq!(rows(&bench, OWNER, "select * from v").await, ["demo | v"]);
    assert_eq!(rows(&bench, ROOT, "select count(*) from v").await, ["2"]);
    run(&bench, OWNER, "demo", "create table kept as select table_name, create_time from sys.tables", &[]).await;
    assert_eq!(rows(&bench, OWNER, "select table_name from kept").await, ["v"]);
    run(&bench, OWNER, "demo", "create table alike like sys.config", &[]).await;
    run(&bench, OWNER, "demo", "insert into alike select * from sys.config", &[]).await;
    assert_eq!(rows(&bench, OWNER, "select count(*) from alike").await, ["0"]);
    bench.warehouse.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_of_the_manual_has_every_column() {
    let bench = open().await;
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/sys.md");
    let page = std::fs::read_to_string(path).unwrap();
    for name in ["config", "instances", "ots_tables", "partitions", "ranges", "sessions", "tables", "tasks"] {
        let (_, section) =
            page.split_once(&format!("\n## sys.{name}\n")).unwrap_or_else(|| panic!("{name} is missing"));
        let section = section.split("\n## ").next().unwrap();
        let wanted: Vec<&str> = section.lines().filter(|l| l.starts_with("| `")).collect();
        let shown = text(&bench, &format!("desc sys.{name}")).await;
        let (_, columns) = shown.split_once("| Field ").unwrap();
        let row = |line: &str| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            format!("| `{}` | {} | {} |", cells[0], cells[1].to_uppercase(), cells[3])
        };
        let found: Vec<String> = columns.lines().skip(1).filter(|l| l.starts_with("| ")).map(row).collect();
        assert_eq!(wanted, found, "sys.{name}");
    }
    bench.warehouse.shutdown().await;
}
