//! Scripts that compute values on their way: an attempt after a restart leaves alone what has taken effect.

use std::time::Duration;

use feitian_meta::{Instance, InstanceState};

use crate::sql::{Bench, OWNER};

/// SET, CREATE, the variable and IF are its places 0 to 3, and its INSERTs are step 4.
const SCRIPT: &str = "set odps.sql.submit.mode=script; create table if not exists u (a bigint); \
                      @n bigint := (select count(*) from t); \
                      if (@n < 2) insert into t select @n; else insert into u select 100L;";

async fn count(bench: &Bench, table: &str) -> String {
    let ended = bench.run(&format!("select count(*) from {table}"), &[]).await;
    assert_eq!(ended.error, None);
    bench.rows(&ended).await.1.remove(0)
}

/// Runs the script as an attempt that comes when its statements before `step` have taken effect.
async fn again(bench: &Bench, id: &str, step: i64) {
    let waiting = Instance {
        id: id.into(),
        project: "demo".into(),
        owner: OWNER.into(),
        task_name: "AnonymousSQLTask".into(),
        task_type: "SQL".into(),
        state: InstanceState::Waiting,
        query: SCRIPT.into(),
        settings: "{}".into(),
        summary: "{}".into(),
        submitted_ms: 1,
        attempt: 1,
        step,
        ..Instance::default()
    };
    bench.warehouse.meta().create_instance(&waiting).await.expect("a row");
    // It is found with the next job.
    count(bench, "t").await;
    let ended = bench.warehouse.wait("demo", id, Duration::from_secs(120)).await.expect("an end");
    assert_eq!((ended.state, ended.error), (InstanceState::Success, None));
}

// Arithmetic: the first run finds one row of `t` and adds one. Another attempt would find two, and take the other branch.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inserts_of_branches_take_effect_once_whatever_conditions_say_later() {
    let bench = Bench::open().await;
    assert_eq!(bench.run("create table t (a bigint); insert into t values (1)", &[]).await.error, None);
    assert_eq!(bench.run(SCRIPT, &[]).await.error, None);
    assert_eq!((count(&bench, "t").await, count(&bench, "u").await), ("2".into(), "0".into()));
    again(&bench, "20240101000000000g2abcdefghj1", 5).await;
    assert_eq!((count(&bench, "t").await, count(&bench, "u").await), ("2".into(), "0".into()));
    // Only the table had been made when this one was cut off.
    again(&bench, "20240101000000000g2abcdefghj2", 2).await;
    assert_eq!((count(&bench, "t").await, count(&bench, "u").await), ("2".into(), "1".into()));
    bench.warehouse.shutdown().await;
}
