//! `sys.ots_tables` and `sys.ranges` over a table store that the test makes up: who sees what, and what nobody knows.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use feitian_base::{Error, Kind, Result};
use feitian_meta::{Account, Instance, InstanceState, OtsInstance};
use feitian_warehouse::{NewJob, OtsOptions, OtsRange, OtsTable, OtsUnits, TableStore};

use crate::sql::{Bench, OWNER};

const OTHER: &str = "ALIYUN$other";
const ROOT: &str = "ALIYUN$root";

/// Has a table with an index in each instance but `gone`, which another process has open.
#[derive(Debug)]
struct Made;

fn table(index: Option<&str>, options: Option<OtsOptions>) -> OtsTable {
    OtsTable {
        table: "t".into(),
        index: index.map(str::to_string),
        state: if index.is_some() { "building" } else { "ready" }.into(),
        generation: if index.is_some() { 4 } else { 3 },
        options,
        bytes: 100,
        read_units: 7,
        write_units: u64::MAX,
    }
}

fn range(kind: &'static str, index: Option<&str>, units: Option<OtsUnits>) -> OtsRange {
    OtsRange {
        table: "t".into(),
        index: index.map(str::to_string),
        kind,
        generation: 3,
        first_key: None,
        last_key: Some("(1, \"x\")".into()),
        bytes: 100,
        node: "here".into(),
        units,
    }
}

#[async_trait]
impl TableStore for Made {
    async fn tables(&self, instance_id: &str) -> Result<Vec<OtsTable>> {
        if instance_id == "gone" {
            return Err(Error::new(
                Kind::Unavailable,
                "ServiceUnavailable",
                "another process has the table store open",
            ));
        }
        let options = OtsOptions { max_versions: 2, time_to_live_s: None, has_stream: true, created_ms: 1 };
        Ok(vec![table(None, Some(options)), table(Some("by_n"), None)])
    }

    async fn ranges(&self, _: &str) -> Result<Vec<OtsRange>> {
        let units = OtsUnits { read: 40, write: 7, recent_read: 30, recent_write: 15 };
        Ok(vec![range("table", None, Some(units)), range("stream", None, None)])
    }
}

/// Instance `shop` of one account, `theirs` of another one; and an administrator.
async fn open() -> Bench {
    let bench = Bench::open_beside(Arc::new(Made)).await;
    let root = Account { id: "9".into(), name: ROOT.into(), enabled: true, admin: true, created_ms: 1 };
    bench.warehouse.meta().create_account(&root).await.unwrap();
    instance(&bench, "i1", "shop", "1").await;
    instance(&bench, "i2", "theirs", "2").await;
    bench
}

async fn instance(bench: &Bench, id: &str, name: &str, account_id: &str) {
    let instance = OtsInstance {
        id: id.into(),
        name: name.into(),
        account_id: account_id.into(),
        account_name: String::new(),
        created_ms: 1,
    };
    bench.warehouse.meta().create_ots_instance(&instance).await.unwrap();
}

async fn run(bench: &Bench, who: &str, query: &str, settings: &[(&str, &str)]) -> Instance {
    let project = if who == OTHER { "other" } else { "demo" };
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

async fn rows(bench: &Bench, who: &str, query: &str, settings: &[(&str, &str)]) -> Vec<String> {
    let ended = run(bench, who, query, settings).await;
    assert_eq!(ended.state, InstanceState::Success, "{query}: {:?}", ended.error);
    bench.rows(&ended).await.1
}

// What the store above says; units beyond BIGINT are its greatest number.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn columns_say_what_the_store_says() {
    let bench = open().await;
    let columns = "instance_name, table_name, index_name, owner, state, generation, max_versions, time_to_live, \
                   has_stream, data_length, read_units, write_units, create_time is null";
    assert_eq!(
        rows(&bench, OWNER, &format!("select {columns} from sys.ots_tables order by generation limit 9"), &[]).await,
        [
            "shop | t | NULL | ALIYUN$demo | ready | 3 | 2 | NULL | TRUE | 100 | 7 | 9223372036854775807 | FALSE",
            "shop | t | by_n | ALIYUN$demo | building | 4 | NULL | NULL | NULL | 100 | 7 | 9223372036854775807 | TRUE",
        ]
    );
    // Arithmetic: 30 and 15 units in 60 seconds.
    let columns = "instance_name, table_name, index_name, kind, generation, first_key, last_key, data_length, node, \
                   read_units, write_units, read_units_per_second = 0.5, write_units_per_second = 0.25";
    assert_eq!(
        rows(&bench, OWNER, &format!("select {columns} from sys.ranges order by kind desc limit 9"), &[]).await,
        [
            "shop | t | NULL | table | 3 | NULL | (1, \"x\") | 100 | here | 40 | 7 | TRUE | TRUE",
            "shop | t | NULL | stream | 3 | NULL | (1, \"x\") | 100 | here | NULL | NULL | NULL | NULL",
        ]
    );
    bench.warehouse.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_sees_its_own_instances_and_an_administrator_all() {
    let bench = open().await;
    for table in ["sys.ots_tables", "sys.ranges"] {
        let names = format!("select distinct instance_name from {table} order by instance_name limit 9");
        assert_eq!(rows(&bench, OWNER, &names, &[]).await, ["shop"]);
        assert_eq!(rows(&bench, OTHER, &names, &[]).await, ["theirs"]);
        assert_eq!(rows(&bench, ROOT, &names, &[]).await, ["shop", "theirs"]);
        // Asking by name shows no more.
        for (condition, own, all) in [
            ("instance_name = 'theirs'", "0", "2"),
            ("instance_name = 'shop' and table_name = 't'", "2", "2"),
            ("table_name = 'u'", "0", "0"),
            ("instance_name = 'shop' and instance_name = 'theirs'", "0", "0"),
        ] {
            let count = format!("select count(*) from {table} where {condition}");
            assert_eq!(rows(&bench, OWNER, &count, &[]).await, [own], "{table} {condition}");
            assert_eq!(rows(&bench, ROOT, &count, &[]).await, [all], "{table} {condition}");
        }
        // A token opens what is in a project, whoever signed it.
        for scope in ["jobs", "tables"] {
            for who in [OWNER, ROOT] {
                bench.warehouse.meta().admit("demo", "9").await.unwrap();
                assert!(rows(&bench, who, &names, &[("feitian.token", scope)]).await.is_empty(), "{who} {scope}");
            }
        }
    }
    bench.warehouse.shutdown().await;
}

// An empty answer would say that there are no tables.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_elsewhere_fails_the_query() {
    let bench = open().await;
    instance(&bench, "gone", "away", "1").await;
    let failed = run(&bench, OWNER, "select count(*) from sys.ots_tables", &[]).await;
    let words = "ODPS-0123144:[0,0] Fuxi job failed - another process has the table store open";
    assert_eq!((failed.state, failed.error.as_deref()), (InstanceState::Failed, Some(words)));
    assert_eq!(rows(&bench, OTHER, "select count(*) from sys.ots_tables", &[]).await, ["2"]);
    bench.warehouse.shutdown().await;
    // Without a store, those who have no instance are told the truth.
    let bench = Bench::open().await;
    assert_eq!(rows(&bench, OWNER, "select count(*) from sys.ranges", &[]).await, ["0"]);
    instance(&bench, "i1", "shop", "1").await;
    let failed = run(&bench, OWNER, "select count(*) from sys.ranges", &[]).await;
    assert!(failed.error.is_some_and(|error| error.starts_with("ODPS-0123144")), "{:?}", failed.state);
    bench.warehouse.shutdown().await;
}
