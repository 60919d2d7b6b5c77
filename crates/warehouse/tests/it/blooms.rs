//! Which files have Bloom filters: those that were written while the table asked for them.

use parquet::file::reader::{FileReader, SerializedFileReader};

use crate::sql::{Bench, OWNER};
use crate::users::text;

/// For each file of the table, in the order of their names, which columns have a Bloom filter, by the files' own words.
async fn filters(bench: &Bench, table: &str) -> Vec<Vec<bool>> {
    let open = bench.warehouse.catalog().open("demo", table).await.unwrap();
    let dir = bench.dir().join(&open.row.location);
    let of = |path: &str| {
        let reader = SerializedFileReader::new(std::fs::File::open(dir.join(path)).unwrap()).unwrap();
        let groups = reader.metadata().row_groups();
        assert_eq!(groups.len(), 1);
        groups[0].columns().iter().map(|c| c.bloom_filter_offset().is_some()).collect()
    };
    open.data().unwrap().files().iter().map(|f| of(&f.path)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_have_the_filters_that_the_table_asks_for() {
    const KEY: &str = "write.parquet.bloom-filter-columns";
    let bench = Bench::open().await;
    text(&bench, OWNER, &format!("create table t (a bigint, b string) tblproperties ('{KEY}'='B')")).await;
    for n in 0..2 {
        text(&bench, OWNER, &format!("insert into t values ({n}, 'x{n}')")).await;
    }
    assert_eq!(filters(&bench, "t").await, [[false, true], [false, true]]);
    let id = bench.warehouse.catalog().open("demo", "t").await.unwrap().row.id;
    assert_eq!(bench.warehouse.join_files(&id, &[], 2).await.unwrap(), 2);
    assert_eq!(filters(&bench, "t").await, [[false, true]]);
    text(&bench, OWNER, &format!("alter table t set tblproperties ('{KEY}'='a,b')")).await;
    text(&bench, OWNER, "insert into t values (2, 'x2')").await;
    text(&bench, OWNER, &format!("alter table t unset tblproperties ('{KEY}')")).await;
    text(&bench, OWNER, "insert into t values (3, 'x3')").await;
    assert_eq!(filters(&bench, "t").await, [[false, true], [true, true], [false, false]]);
    text(&bench, OWNER, &format!("create table u tblproperties ('{KEY}'='a') as select a, b from t")).await;
    assert_eq!(filters(&bench, "u").await, [[true, false]]);
    text(&bench, OWNER, "clone table u to v").await;
    assert_eq!(filters(&bench, "v").await, [[true, false]]);
    // Arithmetic: each value is in one row, wherever filters are, and others are nowhere.
    for n in 0..6 {
        let query = bench.run(&format!("select a from t where b = 'x{n}'"), &[]).await;
        let wanted = if n < 4 { vec![n.to_string()] } else { Vec::new() };
        assert_eq!((query.error.clone(), bench.rows(&query).await.1), (None, wanted));
    }
    bench.warehouse.shutdown().await;
}
