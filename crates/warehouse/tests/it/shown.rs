//! The texts of SHOW and DESC byte by byte: clients and scripts cut them apart.
//!
//! Formats: odpscmd prints "| Owner:                    %-56s |" and the like between lines of 84 dashes, and a blank line
//! before names; PyODPS splits SHOW SCHEMAS at line ends.

use feitian_meta::InstanceState;

use crate::sql::{Bench, OWNER};

async fn text(bench: &Bench, query: &str, settings: &[(String, String)]) -> String {
    let ended = bench.run(query, settings).await;
    assert_eq!(ended.state, InstanceState::Success, "{query}: {:?}", ended.error);
    String::from_utf8(ended.result_inline.unwrap_or_default()).unwrap()
}

fn rule() -> String {
    format!("+{}+\n", "-".repeat(84))
}

fn wide(name: &str, value: &str) -> String {
    format!("| {name:<25} {value:<56} |\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_come_one_a_line_after_a_blank_one() {
    let bench = Bench::open().await;
    let made = "create table t (a bigint) partitioned by (ds string, hh int); create view v as select 1 as x; \
                alter table t add partition (ds='20240101', hh=5) partition (ds='20240102', hh=0)";
    assert_eq!(text(&bench, made, &[]).await, "");
    assert_eq!(text(&bench, "show tables", &[]).await, format!("\n{OWNER}:t\n{OWNER}:v\n"));
    assert_eq!(text(&bench, "list tables", &[]).await, format!("\n{OWNER}:t\n{OWNER}:v\n"));
    assert_eq!(text(&bench, "show tables like 'no*'", &[]).await, "\n");
    assert_eq!(text(&bench, "show views", &[]).await, format!("\n{OWNER}:v\n"));
    assert_eq!(text(&bench, "show partitions t", &[]).await, "\nds=20240101/hh=5\nds=20240102/hh=0\n");
    assert_eq!(text(&bench, "show partitions t partition (ds='20240102')", &[]).await, "\nds=20240102/hh=0\n");
    assert_eq!(text(&bench, "show schemas", &[]).await, "default\n");
    bench.warehouse.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_is_described_in_boxes_of_the_widths_that_the_console_prints() {
    let bench = Bench::open().await;
    let made = "create table t (a bigint comment 'first', b array<map<string,bigint>>) comment 'c' \
                partitioned by (ds string comment 'day') lifecycle 9";
    text(&bench, made, &[]).await;
    let columns = |head: &str| format!("| {head:<82} |\n");
    let native =
        |name: &str, ty: &str, comment: &str| format!("| {name:<15} | {ty:<10} | {:<5} | {comment:<43} |\n", "");
    let schemas = [("odps.namespace.schema".to_string(), "true".to_string())];
    for (settings, schema) in [(&[][..], String::new()), (&schemas[..], wide("Schema:", "default"))] {
        let described = text(&bench, "desc t", settings).await;
        // The three times are of now.
        let is_time =
            |line: &&str| ["CreateTime:", "LastDDLTime:", "LastModifiedTime:"].iter().any(|t| line.contains(t));
        let times: Vec<&str> = described.lines().filter(is_time).collect();
        assert_eq!(times.len(), 3, "{described}");
        for (line, name) in times.iter().zip(["CreateTime:", "LastDDLTime:", "LastModifiedTime:"]) {
            let time = line[28..].trim_end_matches(" |").trim_end();
            assert_eq!(format!("{line}\n"), wide(name, time));
            chrono::NaiveDateTime::parse_from_str(time, "%Y-%m-%d %H:%M:%S").unwrap();
        }
        let rest: String = described.lines().filter(|l| !is_time(l)).map(|l| format!("{l}\n")).collect();
        let wanted = [
            rule(),
            wide("Owner:", OWNER),
            wide("Project:", "demo"),
            schema,
            format!("| TableComment: {:<68} |\n", "c"),
            rule(),
            wide("Lifecycle:", "9"),
            rule(),
            format!("| InternalTable: YES      | Size: {:<50} |\n", 0),
            rule(),
            columns("Native Columns:"),
            rule(),
            format!("| {:<15} | {:<10} | {:<5} | {:<43} |\n", "Field", "Type", "Label", "Comment"),
            rule(),
            native("a", "bigint", "first"),
            native("b", "array<map<string,bigint>>", ""),
            rule(),
            columns("Partition Columns:"),
            rule(),
            format!("| {:<15} | {:<10} | {:<51} |\n", "ds", "string", "day"),
            rule(),
        ];
        assert_eq!(rest, wanted.concat());
    }
    bench.warehouse.shutdown().await;
}
