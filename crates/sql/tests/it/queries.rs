//! Queries: what tree they become. Sources: MaxCompute documentation ("SELECT", "Operators", "Data types"), and the
//! grammar OdpsParser.g4 of the Java SDK for precedence.

use feitian_sql::{Statement, check_query, parse_query, types};
use sqlparser::ast::{BinaryOperator, Expr, Query, SelectItem, SetExpr, Spanned, UnaryOperator, Value};

use crate::{error, one};

fn query(text: &str) -> Box<Query> {
    match one(text) {
        Statement::Query(query) => query,
        other => panic!("{other:?}"),
    }
}

/// The first expression of the select list of `SELECT <text>`.
fn expr(text: &str) -> Expr {
    let query = query(&format!("SELECT {text}"));
    check_query(&query).unwrap_or_else(|e| panic!("{text}: {e}"));
    let SetExpr::Select(select) = *query.body else { panic!() };
    match select.projection.into_iter().next().unwrap() {
        SelectItem::UnnamedExpr(e) => e,
        other => panic!("{text}: {other:?}"),
    }
}

/// The tree with all its parentheses.
fn shape(e: &Expr) -> String {
    match e {
        Expr::BinaryOp { left, op, right } => {
            let op = match op {
                BinaryOperator::PGRegexMatch => "RLIKE".to_string(),
                BinaryOperator::PGRegexNotMatch => "NOT RLIKE".to_string(),
                other => other.to_string(),
            };
            format!("({} {op} {})", shape(left), shape(right))
        }
        Expr::UnaryOp { op: UnaryOperator::Not, expr } => format!("(NOT {})", shape(expr)),
        Expr::UnaryOp { op, expr } => format!("({op}{})", shape(expr)),
        Expr::IsNull(e) => format!("({} IS NULL)", shape(e)),
        Expr::IsNotNull(e) => format!("({} IS NOT NULL)", shape(e)),
        Expr::IsTrue(e) => format!("({} IS TRUE)", shape(e)),
        Expr::IsNotDistinctFrom(a, b) => format!("({} IS NOT DISTINCT FROM {})", shape(a), shape(b)),
        Expr::Nested(e) => shape(e),
        Expr::Between { expr, negated: false, low, high } => {
            format!("({} BETWEEN {} AND {})", shape(expr), shape(low), shape(high))
        }
        Expr::Like { negated: true, expr, pattern, .. } => format!("({} NOT LIKE {})", shape(expr), shape(pattern)),
        Expr::InList { expr, list, negated } => {
            let not = if *negated { "NOT " } else { "" };
            format!("({} {not}IN [{}])", shape(expr), list.iter().map(shape).collect::<Vec<_>>().join(" "))
        }
        other => other.to_string(),
    }
}

#[test]
fn operators_bind_as_documented() {
    for (text, tree) in [
        ("a + b * c - d", "((a + (b * c)) - d)"),
        ("a * b % c DIV d / e", "((((a * b) % c) DIV d) / e)"),
        ("a ^ b * c", "((a ^ b) * c)"),
        ("a || b + c", "(a || (b + c))"),
        ("a & b || c", "(a & (b || c))"),
        ("a | b & c", "(a | (b & c))"),
        ("a = b | c", "(a = (b | c))"),
        ("a == b or a <> b and a != c", "((a = b) OR ((a <> b) AND (a <> c)))"),
        ("a <=> b", "(a <=> b)"),
        ("not a = b and c", "((NOT (a = b)) AND c)"),
        ("! a and b", "((NOT a) AND b)"),
        ("a + b is null", "(a + (b IS NULL))"),
        ("-a is not null", "((-a) IS NOT NULL)"),
        ("a is true", "(a IS TRUE)"),
        ("a is not distinct from b + 1", "(a IS NOT DISTINCT FROM (b + 1))"),
        ("a between 1 and 2 and b", "((a BETWEEN 1 AND 2) AND b)"),
        (
            "a not like 'x%' or b rlike 'y' and not c not regexp 'z'",
            "((a NOT LIKE 'x%') OR ((b RLIKE 'y') AND (NOT (c NOT RLIKE 'z'))))",
        ),
        ("a in (1, 2) and b not in ('x')", "((a IN [1 2]) AND (b NOT IN ['x']))"),
        ("-1 - -a", "((-1) - (-a))"),
        ("(a + b) * c", "((a + b) * c)"),
        ("- (1) + 2", "((-1) + 2)"),
        ("a.b.c = d", "(a.b.c = d)"),
    ] {
        assert_eq!(shape(&expr(text)), tree, "{text}");
    }
}

#[test]
fn literals_keep_value_and_type() {
    for (text, tree) in [
        ("'ab' \"cd\"\n'e'", "'abcde'"),
        ("'it''s'", "'its'"),
        (r#""x\ty""#, "'x\ty'"),
        ("1L", "CAST(1 AS BIGINT)"),
        ("-128Y", "CAST(-128 AS TINYINT)"),
        ("7s", "CAST(7 AS SMALLINT)"),
        ("1.50BD", "CAST('1.50' AS DECIMAL(3,2))"),
        ("-0BD", "CAST('-0' AS DECIMAL(1,0))"),
        ("3.14f", "CAST(3.14 AS FLOAT)"),
        ("1e3", "1e3"),
        ("X'616'", "X'0616'"),
        ("DATE'2017-11-11'", "DATE '2017-11-11'"),
        ("datetime\"2017-11-11 00:00:00\"", "DATETIME '2017-11-11 00:00:00'"),
        ("TIMESTAMP'2017-11-11 00:00:00.1'", "TIMESTAMP '2017-11-11 00:00:00.1'"),
        ("TIMESTAMP_NTZ'2017-11-11 00:00:00'", "TIMESTAMP_NTZ '2017-11-11 00:00:00'"),
        ("JSON'{\"a\":1}'", "JSON '{\"a\":1}'"),
        ("INTERVAL '1' DAY", "INTERVAL '1' DAY"),
        ("INTERVAL 3 months", "INTERVAL '3' MONTH"),
        ("INTERVAL '1-2' YEAR TO MONTH", "INTERVAL '14' MONTH"),
        ("INTERVAL '-1-2' YEAR TO MONTH", "INTERVAL '-14' MONTH"),
        ("INTERVAL '1 2:3:4.5' DAY TO SECOND", "INTERVAL '1 DAY 2 HOUR 3 MINUTE 4.5 SECOND'"),
        ("INTERVAL_DAY_TIME('2 1:2:3')", "INTERVAL '2 DAY 1 HOUR 2 MINUTE 3 SECOND'"),
        ("interval_year_month('10-11')", "INTERVAL '131' MONTH"),
        ("null", "NULL"),
        ("TRUE", "true"),
    ] {
        assert_eq!(expr(text).to_string(), tree, "{text}");
    }
    for (text, place) in
        [("128Y", 8), ("32768S", 8), ("9223372036854775808L", 8), ("1.5L", 8), ("INTERVAL '1-13' YEAR TO MONTH", 17)]
    {
        let e = error(&format!("SELECT {text}"));
        assert!(e.starts_with(&format!("ODPS-0130161:[1,{place}] Parse exception - ")), "{text}: {e}");
    }
    let Expr::Cast { data_type, .. } = expr("cast(a as map<string,array<decimal(5,1)>>)") else { panic!() };
    assert_eq!(types::from_sql(&data_type).unwrap().to_string(), "map<string,array<decimal(5,1)>>");
}

#[test]
fn operands_become_what_the_planner_knows() {
    for (text, tree) in [
        ("count(distinct a, b)", "count(DISTINCT a, b)"),
        ("COUNT(*)", "count(*)"),
        ("if(a, 1, 2)", "if(a, 1, 2)"),
        ("p:f(a)", "p.f(a)"),
        ("::length(a)", "length(a)"),
        ("trim(both 'x' from a)", "trim(a, 'x')"),
        ("trim(leading from a)", "ltrim(a)"),
        ("trim('x' from a)", "trim(a, 'x')"),
        ("trim(a, 'x')", "trim(a, 'x')"),
        ("trim(both)", "trim(both)"),
        ("substring(a from 2 for 3)", "substring(a, 2, 3)"),
        ("extract(month from a)", "month(a)"),
        ("current_date", "current_date"),
        ("getdate()", "getdate()"),
        ("a[0]", "a[0]"),
        ("m['k'].f", "m['k'].f"),
        ("t.s.f[1].g", "t.s.f[1].g"),
        ("f(a)[0]", "f(a)[0]"),
        ("transform(a, x -> x + 1)", "transform(a, x -> x + 1)"),
        ("aggregate(a, 0, (acc, x) -> acc + x)", "aggregate(a, 0, (acc, x) -> acc + x)"),
        ("case a when 1 then 'x' else 'y' end", "CASE a WHEN 1 THEN 'x' ELSE 'y' END"),
        ("case when a then b end", "CASE WHEN a THEN b END"),
        ("exists (select 1)", "EXISTS (SELECT 1)"),
        ("not exists (select 1)", "NOT EXISTS (SELECT 1)"),
        ("(select max(a) from t)", "(SELECT max(a) FROM t)"),
        ("a in (select b from t)", "a IN (SELECT b FROM t)"),
        ("a in ((select 1) union all (select 2))", "a IN ((SELECT 1) UNION ALL (SELECT 2))"),
        ("(a, b) in ((1, 2), (3, 4))", "(a, b) IN ((1, 2), (3, 4))"),
        ("wm_concat(',', a) within group (order by a desc)", "wm_concat(',', a) WITHIN GROUP (ORDER BY a DESC)"),
        ("sum(a) filter (where b > 0)", "sum(a) FILTER (WHERE b > 0)"),
        (
            "sum(a) over (partition by b order by c rows between 1 preceding and current row)",
            "sum(a) OVER (PARTITION BY b ORDER BY c ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)",
        ),
        ("rank() over (distribute by b sort by c desc)", "rank() OVER (PARTITION BY b ORDER BY c DESC)"),
        ("lag(a) ignore nulls over w", "lag(a) IGNORE NULLS OVER w"),
        (
            "last_value(a) over (order by b range between unbounded preceding and unbounded following)",
            "last_value(a) OVER (ORDER BY b RANGE BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)",
        ),
        ("`A` + `b c`", "`a` + `b c`"),
        ("a like '%\\\\%' escape '\\\\'", "a LIKE '%\\%' ESCAPE '\\'"),
        // Words that other dialects reserve are ordinary column names.
        ("top", "top"),
        ("interval", "interval"),
        ("date", "date"),
        ("position", "position"),
        ("value", "value"),
        ("left(a, 2)", "left(a, 2)"),
        ("t.order", "t.order"),
    ] {
        assert_eq!(expr(text).to_string(), tree, "{text}");
    }
}

#[test]
fn queries_keep_their_clauses() {
    for (text, tree) in [
        (
            "select 1 as \"X\", 2 y, 3 'z', id `中文标题` from t",
            "SELECT 1 AS `x`, 2 AS y, 3 AS `z`, id AS `中文标题` FROM t",
        ),
        ("select all a, t.*, p.t.* from p.t", "SELECT a, t.*, p.t.* FROM p.t"),
        ("select * except (a, b) replace (c + 1 as c) from t", "SELECT * EXCEPT (a, b) REPLACE (c + 1 AS c) FROM t"),
        (
            "select distinct a from t where a > 1 group by a, b having count(*) > 1 order by a desc nulls last, b limit 10",
            "SELECT DISTINCT a FROM t WHERE a > 1 GROUP BY a, b HAVING count(*) > 1 ORDER BY a DESC NULLS LAST, b LIMIT 10",
        ),
        ("select a from t limit 5, 10", "SELECT a FROM t LIMIT 5, 10"),
        ("select a from t limit 10 offset 5", "SELECT a FROM t LIMIT 10 OFFSET 5"),
        ("from t select a where b", "FROM t SELECT a WHERE b"),
        (
            "select a from t1 x join t2 as y on x.a = y.a left join t3 z using (a, b) full outer join t4 on true cross join t5",
            "SELECT a FROM t1 x INNER JOIN t2 AS y ON x.a = y.a LEFT OUTER JOIN t3 z USING(a, b) FULL JOIN t4 ON true CROSS JOIN t5",
        ),
        (
            "select 1 from a left semi join b on a.x=b.x left anti join c on a.x=c.x natural join d, e",
            "SELECT 1 FROM a LEFT SEMI JOIN b ON a.x = b.x LEFT ANTI JOIN c ON a.x = c.x NATURAL INNER JOIN d, e",
        ),
        (
            "select 1 from a join b join c on b.x = c.x on a.x = b.x",
            "SELECT 1 FROM a INNER JOIN (b INNER JOIN c ON b.x = c.x) ON a.x = b.x",
        ),
        (
            "select * from (select 1) a, ((select 2) union (select 3)) b, ((t1 join t2) join t3) c, (t4) d",
            "SELECT * FROM (SELECT 1) a, ((SELECT 2) UNION (SELECT 3)) b, ((t1 INNER JOIN t2) INNER JOIN t3) c, t4 d",
        ),
        (
            "select * from ((select 1) x join (select 2) y on true)",
            "SELECT * FROM ((SELECT 1) x INNER JOIN (SELECT 2) y ON true)",
        ),
        ("select * from values (1, 'a'), (2, 'b') t(a, b)", "SELECT * FROM (VALUES (1, 'a'), (2, 'b')) t (a, b)"),
        ("select * from (values (1)) as t(a)", "SELECT * FROM (VALUES (1)) AS t (a)"),
        (
            "select 1 union all select 2 minus select 3 intersect select 4",
            "SELECT 1 UNION ALL SELECT 2 EXCEPT SELECT 3 INTERSECT SELECT 4",
        ),
        (
            "(select 1 order by 1 limit 1) union distinct select 2 order by 1",
            "(SELECT 1 ORDER BY 1 LIMIT 1) UNION DISTINCT SELECT 2 ORDER BY 1",
        ),
        (
            "with a(x, y) as (select 1, 2), b as (select * from a) select * from b",
            "WITH a (x, y) AS (SELECT 1, 2), b AS (SELECT * FROM a) SELECT * FROM b",
        ),
        (
            "select row_number() over w from t qualify row_number() over w = 1 window w as (partition by a), v as (w order by b)",
            "SELECT row_number() OVER w FROM t QUALIFY row_number() OVER w = 1 WINDOW w AS (PARTITION BY a), v AS (w ORDER BY b)",
        ),
        ("select a from t distribute by a", "SELECT a FROM t DISTRIBUTE BY a"),
        (
            "select /*+ mapjoin(b) */ a.x from a join b on a.x < b.x",
            "SELECT /*+ mapjoin(b) */ a.x FROM a INNER JOIN b ON a.x < b.x",
        ),
        ("select sample.x from t sample", "SELECT sample.x FROM t sample"),
        ("select a.offset from t window, u version", "SELECT a.offset FROM t window, u version"),
        ("SELECT （a， b） FROM t；", "SELECT (a, b) FROM t"),
        (
            "select * from t where pt='${bizdate}' and x_${v} = 1",
            "SELECT * FROM t WHERE pt = '${bizdate}' AND x_${v} = 1",
        ),
    ] {
        let q = query(text);
        assert_eq!(q.to_string(), tree, "{text}");
        check_query(&q).unwrap_or_else(|e| panic!("{text}: {e}"));
    }
}

#[test]
fn spans_point_into_the_original_text() {
    let text = "set a.b=1;\n/* 注释 */ select '中',\n  foo.bar from p.t";
    let Statement::Query(q) = one(text) else { panic!() };
    let SetExpr::Select(select) = *q.body else { panic!() };
    let place = |span: sqlparser::tokenizer::Span| (span.start.line, span.start.column, span.end.line, span.end.column);
    assert_eq!(place(select.select_token.0.span), (2, 10, 2, 16));
    let SelectItem::UnnamedExpr(Expr::Value(text_value)) = &select.projection[0] else { panic!() };
    assert_eq!((&text_value.value, place(text_value.span)), (&Value::SingleQuotedString("中".into()), (2, 17, 2, 20)));
    let SelectItem::UnnamedExpr(column) = &select.projection[1] else { panic!() };
    assert_eq!(place(column.span()), (3, 3, 3, 10));
    assert_eq!(place(select.from[0].relation.span()), (3, 16, 3, 19));
}

#[test]
fn errors_name_the_first_token_that_fits_nowhere() {
    for (text, message) in [
        ("WRONG", "[1,1] Parse exception - invalid token 'WRONG'"),
        ("select * as x from t", "[1,10] Parse exception - invalid token 'as'"),
        ("select a frm t", "[1,14] Parse exception - invalid token 't'"),
        ("select * from (select a frm t) x", "[1,29] Parse exception - invalid token 't', expected ')'"),
        ("select * from x where a in (select b form t)", "[1,43] Parse exception - invalid token 't', expected ')'"),
        ("select a from t where", "[1,22] Parse exception - invalid token '<EOF>', expected an expression"),
        ("select a from t group a", "[1,17] Parse exception - invalid token 'group'"),
        ("select from t", "[1,8] Parse exception - invalid token 'from', expected an expression"),
        ("select (1, 2", "[1,13] Parse exception - invalid token '<EOF>', expected ')'"),
        ("select f(a,)", "[1,12] Parse exception - invalid token ')', expected an expression"),
        ("select case when a then b", "[1,26] Parse exception - invalid token '<EOF>', expected END"),
        ("select cast(a int)", "[1,15] Parse exception - invalid token 'int', expected AS"),
        ("select\n\n  a b c", "[3,7] Parse exception - invalid token 'c'"),
        ("select a limit x", "[1,16] Parse exception - invalid token 'x', expected a whole number"),
        ("select 1 2", "[1,10] Parse exception - invalid token '2'"),
        ("select '\\08'", "[1,9] Parse exception - unexpected escape sequence"),
        ("select a from t join", "[1,21] Parse exception - invalid token '<EOF>', expected a name"),
        ("select a from (t x) y", "[1,21] Parse exception - the table in parentheses has an alias already"),
        ("select a is 1", "[1,13] Parse exception - invalid token '1', expected NULL, TRUE, FALSE or DISTINCT FROM"),
        ("select a; select b c d", "[1,22] Parse exception - invalid token 'd'"),
        ("select ?", "[1,8] Parse exception - invalid token '?', expected an expression"),
        ("select in (1)", "[1,8] Parse exception - invalid token 'in', expected an expression"),
    ] {
        assert_eq!(error(text), format!("ODPS-0130161:{message}"), "{text}");
    }
}

#[test]
fn a_view_text_is_one_query() {
    assert_eq!(parse_query("select 1 ;").unwrap().to_string(), "SELECT 1");
    for text in ["", "select 1; select 2", "set a=1; select 1", "drop table t"] {
        assert!(parse_query(text).unwrap_err().to_string().contains("not a single query"), "{text}");
    }
}
