//! Scans that read first what a join looks for.
//!
//! The table `big` has the numbers from 0 to 199,999, of which `few` has ten, one in each twenty thousand. So many rows a page
//! has, so that nearly none can be skipped without looking at rows. Expected values are arithmetic on that.

use feitian_meta::InstanceState;

use super::sql::Bench;

async fn bench() -> Bench {
    let bench = Bench::open().await;
    let cartesian = [("odps.sql.allow.cartesian".to_string(), "true".to_string())];
    let text = "create table big (id bigint, d decimal(12,2), pad string); create table few (k bigint, w bigint); \
                insert into big select x.n * 1000 + y.n, cast(x.n * 1000 + y.n as decimal(12,2)), repeat('x', 20) \
                from (select explode(sequence(0, 199)) as n) x, (select explode(sequence(0, 999)) as n) y; \
                insert into few select n * 20000, n from (select explode(sequence(0, 9)) as n) x; \
                insert into few values (null, -1), (-5, -2);";
    let made = bench.run(text, &cartesian).await;
    assert_eq!(made.state, InstanceState::Success, "{:?}", made.error);
    bench
}

/// The rows of the query, and those that each of its scans gave.
async fn run(bench: &Bench, query: &str, flag: Option<&str>) -> (Vec<String>, Vec<u64>) {
    let flags: Vec<(String, String)> = flag.into_iter().filter_map(|f| f.split_once('=')).map(own).collect();
    let job = bench.run(query, &flags).await;
    assert_eq!(job.state, InstanceState::Success, "{query}: {:?}", job.error);
    let profile = bench.warehouse.profile(&job).await.unwrap();
    let stages = profile["stages"].as_array().unwrap().iter();
    let operators = stages.flat_map(|s| s["operators"].as_array().unwrap());
    let mut scanned: Vec<u64> =
        operators.filter(|o| o["name"] == "DataSourceExec").map(|o| o["rows"].as_u64().unwrap()).collect();
    scanned.sort_unstable();
    (bench.rows(&job).await.1, scanned)
}

fn own((key, value): (&str, &str)) -> (String, String) {
    (key.to_string(), value.to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scan_gives_the_rows_that_the_join_finds_and_no_others() {
    let bench = bench().await;
    // 0 + 20,000 + … + 180,000, the same in DECIMAL, and ten times 20 letters.
    let sums = "count(*), sum(id), sum(d), sum(length(pad))";
    let wanted = ["10 | 900000 | 900000 | 200"];
    let join = format!("select {sums} from big join few on big.id = few.k;");
    assert_eq!(run(&bench, &join, None).await, (wanted.map(String::from).to_vec(), vec![10, 12]));
    let (rows, scanned) = run(&bench, &join, Some("odps.optimizer.enable.dynamic.filter=false")).await;
    assert_eq!(rows, wanted);
    assert!(scanned[0] == 12 && scanned[1] > 100_000, "{scanned:?}");
    let (rows, _) = run(&bench, &join, Some("odps.optimizer.cbo.rule.filter.black=hj")).await;
    assert_eq!(rows, wanted);
    // Through an aggregate, and where nothing of the other side is shown.
    let groups = "(select id, count(*) as n from big group by id) g";
    let grouped = format!("select count(*), sum(n) from few join {groups} on g.id = few.k;");
    assert_eq!(run(&bench, &grouped, None).await, (vec!["10 | 10".to_string()], vec![10, 12]));
    let exists = format!("select {sums} from big where exists (select 1 from few where few.k = big.id);");
    assert_eq!(run(&bench, &exists, None).await, (wanted.map(String::from).to_vec(), vec![10, 12]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_row_is_missing_where_a_join_finds_most_or_keeps_all() {
    let bench = bench().await;
    let most = "select count(*), sum(a.id) from big a join big b on a.id = b.id where b.pad like '%x' and b.id >= 10;";
    // 199,999 * 200,000 / 2, less 0 + 1 + … + 9.
    assert_eq!(run(&bench, most, None).await.0, ["199990 | 19999899955"]);
    let all = "select count(*), count(k), sum(id) from big left join few on big.id = few.k;";
    assert_eq!(run(&bench, all, None).await.0, ["200000 | 10 | 19999900000"]);
    let none = "select count(*) from big where not exists (select 1 from few where few.k = big.id);";
    assert_eq!(run(&bench, none, None).await.0, ["199990"]);
    let lonely = "select w from few where not exists (select 1 from big where few.k = big.id) order by w;";
    assert_eq!(run(&bench, lonely, None).await.0, ["-2", "-1"]);
    let listed = "select count(*) from big where id not in (select k from few where k is not null);";
    assert_eq!(run(&bench, listed, None).await.0, ["199990"]);
}
