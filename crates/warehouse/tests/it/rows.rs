//! External tables over another part of the program: here a table in memory that counts the rows which are read of it.
//!
//! Expected rows are those of the table for which a condition in Rust holds, beside the one in SQL; how many are read
//! is counted by hand.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, RecordBatchOptions, StringArray};
use arrow::datatypes::Int64Type;
use async_trait::async_trait;
use feitian_base::Result;
use feitian_meta::InstanceState;
use feitian_types::DataType;
use feitian_warehouse::source::{
    Edge, Found, KeyRange, KeyValue, RowSource, RowTable, SourceKey, SourceRead, SourceWrite,
};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use parking_lot::Mutex;

use crate::sql::{Bench, OWNER};

const CREATE: &str = "create external table orders (a string, b bigint, v bigint) \
    stored by 'com.aliyun.odps.TableStoreStorageHandler' \
    with serdeproperties ('tablestore.columns.mapping'=':A, :B, V', 'tablestore.table.name'='orders') \
    location 'tablestore://shop.cn-local.tablestore.aliyuncs.com'";

/// V by A and B.
type Rows = BTreeMap<(String, i64), Option<i64>>;

/// The instance `shop` of the account of the tests, with the table `orders`: the key A and B, the column V.
#[derive(Clone)]
struct Memory {
    rows: Arc<Mutex<Rows>>,
    read: Arc<AtomicUsize>,
    key: Vec<SourceKey>,
    num_bytes: u64,
    index_of: Option<&'static str>,
}

impl Memory {
    /// Five texts with seven numbers each; V is ten times B, and is not there for 0.
    fn full(num_bytes: u64) -> Self {
        let of = |a: &'static str| (-3..=3).map(move |b| ((a.to_string(), b), (b != 0).then_some(b * 10)));
        let rows = ["", "a", "aa", "b", "é"].into_iter().flat_map(of).collect();
        let key = |name: &str, ty: DataType| SourceKey { name: name.into(), ty, is_generated: false };
        let key = vec![key("A", DataType::String), key("B", DataType::BigInt)];
        Self { rows: Arc::new(Mutex::new(rows)), read: Arc::default(), key, num_bytes, index_of: None }
    }

    /// The rows as a query prints them.
    fn lines(&self, holds: impl Fn(&str, i64, Option<i64>) -> bool) -> Vec<String> {
        let rows = self.rows.lock();
        let wanted = rows.iter().filter(|((a, b), v)| holds(a, *b, **v));
        let text = |v: &Option<i64>| v.map_or("NULL".to_string(), |v| v.to_string());
        wanted.map(|((a, b), v)| format!("{a} | {b} | {}", text(v))).collect()
    }

    fn read(&self) -> usize {
        self.read.swap(0, Ordering::SeqCst)
    }
}

#[async_trait]
impl RowSource for Memory {
    async fn table(&self, account: &str, instance: &str, table: &str) -> Result<Found> {
        Ok(match (account == OWNER && instance == "shop", table) {
            (false, _) => Found::NoInstance,
            (true, "orders") => Found::Table(Arc::new(self.clone())),
            (true, "by_v") => Found::Table(Arc::new(Self { index_of: Some("orders"), ..self.clone() })),
            (true, _) => Found::NoTable,
        })
    }
}

#[async_trait]
impl RowTable for Memory {
    fn key(&self) -> &[SourceKey] {
        &self.key
    }

    fn index_of(&self) -> Option<&str> {
        self.index_of
    }

    fn num_bytes(&self) -> u64 {
        self.num_bytes
    }

    async fn pieces(&self, _: u64) -> Result<Vec<KeyRange>> {
        let KeyRange { begin, end } = KeyRange::whole(2);
        let middle = vec![Edge::At(KeyValue::Text("aa".into())), Edge::Min];
        Ok(vec![KeyRange { begin, end: middle.clone() }, KeyRange { begin: middle, end }])
    }

    fn scan(&self, read: Arc<SourceRead>, range: KeyRange) -> BoxStream<'static, Result<RecordBatch>> {
        let is_inside = |(a, b): &(String, i64)| {
            let key = vec![Edge::At(KeyValue::Text(a.clone())), Edge::At(KeyValue::Int(*b))];
            range.begin <= key && key < range.end
        };
        let all = self.rows.lock().clone();
        let inside = all.into_iter().filter(|(key, _)| is_inside(key));
        let rows: Vec<_> = inside.take(read.limit.unwrap_or(usize::MAX)).collect();
        self.read.fetch_add(rows.len(), Ordering::SeqCst);
        let array = |name: &str| -> ArrayRef {
            match name {
                "A" => Arc::new(StringArray::from_iter_values(rows.iter().map(|((a, _), _)| a))),
                "B" => Arc::new(Int64Array::from_iter_values(rows.iter().map(|((_, b), _)| *b))),
                _ => Arc::new(rows.iter().map(|(_, v)| *v).collect::<Int64Array>()),
            }
        };
        let arrays = read.columns.iter().map(|column| array(&column.name)).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        let batch = RecordBatch::try_new_with_options(read.schema.clone(), arrays, &options);
        stream::iter([Ok(batch.expect("rows"))]).boxed()
    }

    async fn write(&self, rows: &RecordBatch, write: &SourceWrite) -> Result<()> {
        assert!(!write.replaces);
        let (a, b) = (rows.column(0).as_string::<i32>(), rows.column(1).as_primitive::<Int64Type>());
        let v = rows.column(2).as_primitive::<Int64Type>();
        let mut own = self.rows.lock();
        for i in 0..rows.num_rows() {
            own.insert((a.value(i).to_string(), b.value(i)), v.is_valid(i).then(|| v.value(i)));
        }
        Ok(())
    }
}

async fn opened(memory: &Memory) -> Bench {
    let bench = Bench::open_over(Arc::new(memory.clone())).await;
    assert_eq!(bench.run(CREATE, &[]).await.error, None);
    bench
}

async fn lines(bench: &Bench, sql: &str) -> Vec<String> {
    let job = bench.run(sql, &[]).await;
    assert_eq!(job.state, InstanceState::Success, "{sql}: {:?}", job.error);
    bench.rows(&job).await.1
}

async fn text(bench: &Bench, sql: &str) -> String {
    String::from_utf8(bench.run(sql, &[]).await.result_inline.unwrap_or_default()).unwrap()
}

type Holds = fn(&str, i64, Option<i64>) -> bool;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_are_those_that_meet_the_conditions_and_others_are_not_read() {
    let memory = Memory::full(0);
    let bench = opened(&memory).await;
    let cases: [(&str, Holds, usize); 18] = [
        ("true", |_, _, _| true, 35),
        ("a = 'b'", |a, _, _| a == "b", 7),
        ("'b' = a", |a, _, _| a == "b", 7),
        ("a = 'b' and b > 1", |a, b, _| a == "b" && b > 1, 2),
        ("a = 'b' and b > 1 and v = 20", |a, b, v| a == "b" && b > 1 && v == Some(20), 2),
        ("a >= 'a' and a < 'b'", |a, _, _| ("a".."b").contains(&a), 14),
        ("a between 'a' and 'aa' and b <= -2", |a, b, _| ("a"..="aa").contains(&a) && b <= -2, 14),
        ("a in ('b', 'a', 'zz') and b in (3, -3)", |a, b, _| (a == "a" || a == "b") && b.abs() == 3, 4),
        ("a in ('', 'a', 'aa', 'b')", |a, _, _| a != "é", 28),
        ("a > 'b'", |a, _, _| a > "b", 7),
        ("a = 'b' or a = 'é'", |a, _, _| a == "b" || a == "é", 14),
        ("a = 'b' or b = 3", |a, b, _| a == "b" || b == 3, 35),
        ("b = 2", |_, b, _| b == 2, 35),
        ("not (a = 'b')", |a, _, _| a != "b", 35),
        ("upper(a) = 'B'", |a, _, _| a == "b", 35),
        ("a = 'a' and v is null", |a, _, v| a == "a" && v.is_none(), 7),
        ("a = 'a' and b = 9223372036854775807", |_, _, _| false, 0),
        ("a = 'b' and a = 'a'", |_, _, _| false, 0),
    ];
    for (condition, holds, read) in cases {
        let sql = format!("select a, b, v from orders where {condition} order by a, b");
        assert_eq!(lines(&bench, &sql).await, memory.lines(holds), "{condition}");
        assert_eq!(memory.read(), read, "{condition}");
    }
    assert_eq!(lines(&bench, "select count(*) from orders").await, ["35"]);
    assert_eq!(memory.read(), 35);
    assert_eq!(lines(&bench, "select v from orders limit 4").await.len(), 4);
    assert_eq!(memory.read(), 4);
    let joined = "select o.v from orders o join (select 'b' as x, 3 as y) k on o.a = k.x and o.b = k.y";
    assert_eq!(lines(&bench, joined).await, ["30"]);
    bench.warehouse.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_table_is_read_in_pieces_that_are_all_of_it() {
    let memory = Memory::full(1 << 30);
    let bench = opened(&memory).await;
    assert_eq!(lines(&bench, "select a, b, v from orders order by a, b").await, memory.lines(|_, _, _| true));
    assert_eq!(memory.read(), 35);
    bench.warehouse.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn explain_shows_what_is_read() {
    let bench = opened(&Memory::full(0)).await;
    for (sql, part) in [
        ("select b from orders", "ExternalRowsExec: tablestore://shop/orders, columns=[B], ranges=all"),
        ("select v from orders where a = 'b' and b > 1", "ranges=[('b', 2), ('b', +inf))"),
        ("select v from orders where a in ('é', 'b')", "ranges=[('b', -inf), ('b', +inf)) [('é', -inf), ('é', +inf))"),
        ("select v from orders where a <= 'b'", "ranges=[(-inf, -inf), ('b\\0', -inf))"),
        ("select v from orders limit 2", "limit=2"),
    ] {
        let plan = text(&bench, &format!("explain {sql}")).await;
        assert!(plan.contains(part), "{sql}: {plan}");
    }
    bench.warehouse.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inserted_rows_are_under_their_keys() {
    let memory = Memory::full(0);
    let bench = opened(&memory).await;
    let index = CREATE.replace("table orders", "table by_v").replace("'orders'", "'by_v'");
    assert_eq!(bench.run(&index, &[]).await.error, None);
    // As after a crash: the same once more. MaxCompute documentation, "Create a Tablestore external table": OVERWRITE
    // changes the rows of the keys that are written, and no others.
    for word in ["into", "into", "overwrite table"] {
        let insert = format!("insert {word} orders values ('b', 3, 1), ('n', 1, null), ('n', 2, 5)");
        assert_eq!(bench.run(&insert, &[]).await.error, None, "{word}");
        let wanted = ["b | 3 | 1", "n | 1 | NULL", "n | 2 | 5"];
        assert_eq!(memory.lines(|a, b, _| a == "n" || (a == "b" && b == 3)), wanted);
        assert_eq!(memory.lines(|_, _, _| true).len(), 37, "{word}");
    }
    let before = memory.lines(|_, _, _| true);
    for (sql, error) in [
        ("insert into orders values ('x', 1, 1), (null, 1, 1)", "ODPS-0130071:[0,0]"),
        ("insert into orders (a, v) values ('x', 1)", "ODPS-0130071:[1,13]"),
        ("insert into orders select concat(a, 'x'), b, v from orders", "ODPS-0121125:[1,13]"),
        ("insert overwrite table orders select a, b, v + 1 from orders", "ODPS-0121125:[1,24]"),
        ("insert into orders select a, b, v + 1 from by_v", "ODPS-0121125:[1,13]"),
        ("insert into by_v values ('x', 1, 1)", "ODPS-0121125:[1,13]"),
        ("insert into orders partition (ds = '1') values ('x', 1, 1)", "ODPS-0130071:"),
    ] {
        let said = bench.run(sql, &[]).await.error.unwrap_or_default();
        assert!(said.starts_with(error), "{sql}: {said}");
    }
    assert_eq!(memory.lines(|_, _, _| true), before);
    let rows = "create table inside as select * from orders; select count(*), sum(b), sum(v) from inside";
    // 37 rows; B sums up to 0 in each of the five texts, and 1 and 2 came; V as well, and 1 for 30, and 5.
    assert_eq!(lines(&bench, rows).await, ["37 | 3 | -24"]);
    bench.warehouse.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_there_or_does_not_fit_is_no_table() {
    let bench = opened(&Memory::full(0)).await;
    for (from, to, words) in [
        ("tablestore://shop.", "tablestore://other.", "there is no instance 'other' of the table store"),
        ("'orders')", "'missing')", "has no table 'missing'"),
        (":A, :B, V", ":B, :A, V", "has (:A, :B)"),
        (":A, :B, V", ":a, :B, V", "has (:A, :B)"),
        (":A, :B, V", ":A, B, V", "has (:A, :B)"),
        ("b bigint", "b string", "needs BIGINT"),
        ("v bigint", "v datetime", "DATETIME (column v)"),
        ("v bigint", "v bigint, w bigint", "names 3 columns, and the table has 4"),
    ] {
        let sql = CREATE.replace("table orders", "table bad").replace(from, to);
        let said = bench.run(&sql, &[]).await.error.unwrap_or_default();
        assert!(said.contains(words), "{sql}: {said}");
    }
    bench.warehouse.shutdown().await;
}
