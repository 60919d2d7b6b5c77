//! What parses, or would parse, but must not reach the planner, which would ignore it or fail late.

use feitian_sql::{Statement, check_query, parse_script};

use crate::one;

/// The refusal of a query, from the parser or from `check_query`.
fn refusal(text: &str) -> String {
    match parse_script(text) {
        Err(e) => e.to_string(),
        Ok(_) => match one(text) {
            Statement::Query(query) => check_query(&query).expect_err(text).to_string(),
            other => panic!("{other:?}"),
        },
    }
}

// DataFusion's planner drops samples without a word (datafusion-sql, select.rs and
// relation/mod.rs); the rest it refuses late and without a place.
#[test]
fn clauses_that_would_be_ignored_are_refused_with_their_place() {
    for (text, place, what) in [
        (
            "select a from (select 1 as a) x tablesample(10 percent)",
            "[1,33]",
            "TABLESAMPLE behind anything but the name of a table",
        ),
        (
            "select a from t tablesample (1 rows) x tablesample(10 percent)",
            "[1,40]",
            "TABLESAMPLE behind anything but the name of a table",
        ),
        ("select a from t zorder by a", "[1,17]", "ZORDER BY"),
        ("select concat(b) as (k, v) from t", "[1,8]", "a table function with column aliases"),
        ("select * from explode_json(a) t", "[1,15]", "a table function"),
        ("select * from t, lateral (select 1) x", "[1,27]", "LATERAL"),
        ("select * from t pivot (sum(a) for (b, c) in ((1, 2)))", "[1,35]", "PIVOT by several columns"),
        ("select ~a", "[1,9]", "the operator ~"),
        ("select count(t.*) from t", "[1,14]", "t.* as an argument"),
        ("select a from @v", "[1,15]", "a script variable (@name)"),
        ("select a.foo(1).bar(2)", "[1,17]", "a method call (UDT)"),
        ("select transform(a, b) using 'cat' as (x) from t", "[1,8]", "SELECT TRANSFORM"),
        ("select sum(a) over (order by b rows 1 preceding exclude current row)", "[1,49]", "EXCLUDE in a window frame"),
        (
            "select a from t union all select b from u sort by b",
            "[1,43]",
            "CLUSTER BY, DISTRIBUTE BY or SORT BY after a set operation",
        ),
    ] {
        let want = format!("ODPS-0121125:{place} Unsupported function or operation - {what} is not supported yet");
        assert_eq!(refusal(text), want, "{text}");
    }
}

// The walk must reach every place where a query can hide.
#[test]
fn a_refused_clause_is_found_wherever_it_hides() {
    let bad = "select a from u(3)";
    for text in [
        format!("with x as ({bad}) select 1"),
        format!("select ({bad})"),
        format!("select * from ({bad}) x"),
        format!("select * from t join ({bad}) x on true"),
        format!("select * from (t join ({bad}) x on true)"),
        format!("select * from t where a in ({bad})"),
        format!("select * from t where exists ({bad})"),
        format!("select case when a then ({bad}) end from t"),
        format!("select f(g(({bad})))"),
        format!("select a from t group by ({bad})"),
        format!("select a from t having 1 = ({bad})"),
        format!("select a from t order by ({bad})"),
        format!("select sum(a) over (partition by ({bad})) from t"),
        format!("select sum(a) over (order by ({bad})) from t"),
        format!("select sum(a) filter (where b = ({bad})) from t"),
        format!("select a from t window w as (order by ({bad}))"),
        format!("select a from t qualify 1 = ({bad})"),
        format!("select 1 union all ({bad})"),
        format!("select * from (values (({bad}))) t"),
        format!("select a[({bad})] from t"),
        format!("select a from t join u on a = ({bad})"),
        format!("select a between 1 and ({bad})"),
        format!("select * replace (({bad}) as a) from t"),
        format!("select a from t distribute by ({bad})"),
        format!("select transform(a, x -> ({bad}))"),
        format!("select cast(({bad}) as int)"),
        format!("select a from t where b like ({bad})"),
        format!("select (1, ({bad}))"),
        format!("select -({bad}) is null"),
        format!("{} + ({bad})", "select 1".to_string() + &" + 1".repeat(50)),
    ] {
        assert!(refusal(&text).contains("a table function"), "{text}");
    }
}

// MaxCompute documentation, "LATERAL VIEW" and "Built-in functions": one table function, alone, without these clauses.
#[test]
fn table_functions_stand_where_they_may() {
    for (text, message) in [
        (
            "select a, explode(b) as x from t",
            "[1,11] Semantic analysis exception - a table function must be the only item of a SELECT list",
        ),
        (
            "select explode(b) as x from t group by a",
            "[1,8] Semantic analysis exception - GROUP BY cannot be in the same query as a table function in the SELECT list",
        ),
        (
            "select explode(b) as x from t sort by x",
            "[1,31] Semantic analysis exception - SORT BY cannot be in the same query as a table function in the SELECT list",
        ),
        (
            "select explode(b) as x from t distribute by x",
            "[1,31] Semantic analysis exception - DISTRIBUTE BY cannot be in the same query as a table function in the SELECT list",
        ),
        (
            "select a from t order by a sort by a",
            "[1,28] Semantic analysis exception - ORDER BY and SORT BY can not be in the same query",
        ),
        (
            "select a from t cluster by a sort by a",
            "[1,30] Semantic analysis exception - CLUSTER BY can not be in the same query as DISTRIBUTE BY or SORT BY",
        ),
    ] {
        let error = parse_script(text).expect_err(text).to_string();
        assert_eq!(error, format!("ODPS-0130071:{message}"), "{text}");
    }
}
