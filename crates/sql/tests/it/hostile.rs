//! Texts made to hurt: none may panic, overflow the stack, or take more than linear time.

use std::ops::ControlFlow;

use feitian_sql::{Statement, check_query, lexer, parse_script, split};
use proptest::prelude::*;
use sqlparser::ast::{Expr, Visit, Visitor};

use crate::{error, one};

/// Counts expressions: stands for everything that walks a tree.
struct Count(usize);

impl Visitor for Count {
    type Break = ();

    fn pre_visit_expr(&mut self, _: &Expr) -> ControlFlow<()> {
        self.0 += 1;
        ControlFlow::Continue(())
    }
}

/// Parses `text` on a small stack and does with the tree what every user does: check, visit, copy, compare, drop.
/// Returns the error, or the number of expressions.
fn survive(text: String) -> Result<usize, String> {
    let work = move || {
        let script = parse_script(&text).map_err(|e| e.to_string())?;
        let mut count = Count(0);
        for parsed in &script.statements {
            if let Statement::Query(query) = &parsed.statement {
                let _ = check_query(query);
                let _ = query.visit(&mut count);
                let copy = query.clone();
                assert_eq!(&copy, query);
            }
        }
        Ok(count.0)
    };
    // Query threads, where all parsing happens, have 64 MB; planning needs most of it.
    std::thread::Builder::new().stack_size(4 << 20).spawn(work).unwrap().join().expect("no panic, no overflow")
}

fn nested(open: &str, core: &str, close: &str, depth: usize) -> String {
    format!("select {}{core}{}", open.repeat(depth), close.repeat(depth))
}

const NESTINGS: [(&str, &str, &str); 16] = [
    ("(", "1", ")"),
    ("f(", "1", ")"),
    ("not ", "a", ""),
    ("- ", "a", ""),
    ("~ ", "a", ""),
    ("! ", "a", ""),
    ("case when a then ", "1", " end"),
    ("cast(", "1", " as int)"),
    ("a[", "1", "]"),
    ("(select ", "1", ")"),
    ("a in (", "1", ")"),
    ("exists (select ", "1", ")"),
    ("x -> ", "1", ""),
    ("1 + (2 * ", "1", ")"),
    ("array(struct(", "1", "))"),
    ("sum(a) over (order by ", "1", ")"),
];

#[test]
fn nesting_is_bounded_and_refused_cleanly() {
    for (open, core, close) in NESTINGS {
        survive(nested(open, core, close, 40)).unwrap_or_else(|e| panic!("{open}: {e}"));
        // One below, at and above every limit, closed and not.
        for depth in [45, 48, 50, 60, 66, 90, 99, 100, 195, 198, 199, 200, 201, 500] {
            let _ = survive(nested(open, core, close, depth));
        }
        for (close, depth) in [(close, 50_000), ("", 50_000), ("", 300)] {
            let e = survive(nested(open, core, close, depth)).unwrap_err();
            assert!(e.contains("the statement is nested deeper than 200 levels"), "{open}: {e}");
        }
    }
}

#[test]
fn subqueries_and_joins_in_parentheses_are_bounded() {
    let wrap = |open: &str, core: &str, close: &str, depth: usize| {
        format!("select * from {}{core}{}", open.repeat(depth), close.repeat(depth))
    };
    for (open, core, close) in [
        ("(select * from ", "t", ") x"),
        ("(", "t join u on true", ")"),
        ("((select * from ", "t", ") p join t on true)"),
        ("a join ", "b", " on true"),
        ("(with x as (select 1) select * from ", "t", ") x"),
    ] {
        survive(wrap(open, core, close, 25)).unwrap_or_else(|e| panic!("{open}: {e}"));
        for depth in 26..130 {
            let _ = survive(wrap(open, core, close, depth));
        }
        let e = survive(wrap(open, core, close, 30_000)).unwrap_err();
        assert!(e.contains("nested deeper") || e.contains("expression depth"), "{open}: {e}");
        let _ = survive(wrap(open, core, "", 30_000)).unwrap_err();
    }
    let e = error(&format!("{}select 1", "explain ".repeat(100_000)));
    assert_eq!(e, "ODPS-0130161:[1,9] Parse exception - invalid token 'explain', expected a statement to explain");
}

#[test]
fn long_chains_keep_the_tree_low() {
    for word in ["and", "or"] {
        let text = format!("select {}", vec!["a = 1"; 20_000].join(&format!(" {word} ")));
        assert_eq!(survive(text).unwrap(), 20_000 * 3 + 19_999, "{word}: every condition is still there");
    }
    for op in ["+", "||", "*", "=", "&", "like"] {
        let text = format!("select {}", vec!["1"; 900].join(&format!(" {op} ")));
        survive(text).unwrap_or_else(|e| panic!("{op}: {e}"));
    }
    survive(format!("select a{}", " is null".repeat(900))).unwrap();
    let e = survive(format!("select 1{}", "+1".repeat(100_000))).unwrap_err();
    assert!(
        e.starts_with("ODPS-0130071:[1,") && e.ends_with("Semantic analysis exception - expression depth > 1000"),
        "{e}"
    );
    // The height of a tree is what counts, not the length of one chain in it.
    let e =
        survive(format!("select {}1{}", "(".repeat(100), format!("{})", "+1".repeat(100)).repeat(100))).unwrap_err();
    assert!(e.contains("expression depth > 1000"), "{e}");
    let e = survive(format!("select 1{}", " is null".repeat(100_000))).unwrap_err();
    assert!(e.contains("expression depth > 1000"), "{e}");
}

#[test]
fn wide_statements_are_not_deep() {
    let items = vec!["a"; 40_000].join(",");
    let many = vec!["a"; 100_000].join(",");
    for text in [
        format!("select {items} from t"),
        format!("select a in ({many}) from t"),
        format!("select case {} end", "when a then b ".repeat(40_000)),
        format!("insert into t values {}", vec!["(1,'x')"; 100_000].join(",")),
        format!("select f({items})"),
    ] {
        survive(text).unwrap();
    }
    for text in [format!("select {many} from t"), format!("select f({many})"), format!("select 1 order by {many}")] {
        let e = survive(text).unwrap_err();
        assert!(e.starts_with("ODPS-0130071") && e.contains("more than 50000"), "{e}");
    }
}

// MaxCompute documentation, "Limits": 256 branches of UNION.
#[test]
fn set_operations_are_counted() {
    survive(vec!["select 1"; 256].join(" union all ")).unwrap();
    for op in ["union all", "union", "intersect", "except"] {
        let e = survive(vec!["select 1"; 10_000].join(&format!(" {op} "))).unwrap_err();
        assert!(e.contains("more than 256 branches of UNION, INTERSECT or EXCEPT"), "{op}: {e}");
    }
    // These are joins in the tree, each in a query of its own.
    for op in ["minus all", "intersect all"] {
        let e = survive(vec!["select 1"; 10_000].join(&format!(" {op} "))).unwrap_err();
        assert!(e.contains("expression depth > 1000"), "{op}: {e}");
    }
    let e = survive(format!("select * from t {}", "join t on a = b ".repeat(10_000))).unwrap_err();
    assert!(e.contains("more than 1000 tables and subqueries in FROM"), "{e}");
}

/// Texts on which a parser that tries alternatives, or looks ahead without bound, would not end.
// Each variable reads the one before it twice: the last one would have 2^60 tables.
#[test]
fn script_variables_that_double_are_counted() {
    let double = |i: u32| format!("@v{} := select 1 from @v{i} a join @v{i} b; ", i + 1);
    let text = format!("@v0 := select 1 from t; {}select 1 from @v60", (0..60).map(double).collect::<String>());
    assert!(survive(text).unwrap_err().contains("more than 1000 tables"));
    let deep = |i: u32| format!("@v{} := select 1 from @v{i}; ", i + 1);
    let text = format!("@v0 := select 1 from t; {}select 1 from @v400", (0..400).map(deep).collect::<String>());
    assert!(survive(text).unwrap_err().starts_with("ODPS-0130071"));
    let wide = format!("@v := select {} from t; ", vec!["1"; 2000].join(", "));
    let text = format!("{wide}{}", "select * from @v; ".repeat(1000));
    assert!(survive(text).unwrap_err().contains("more than 50000 tokens"));
}

#[test]
fn time_is_linear() {
    let mut join = String::from("select * from a join b on a.x = b.x");
    for _ in 0..15 {
        join = format!("select * from ((select * from ({join}) s) p join t on p.x = t.x)");
    }
    survive(join).unwrap();
    for text in [
        format!("select {}1 as{}", "cast(".repeat(190), " int)".repeat(189)),
        format!("select {} 1", "case when a then ".repeat(190)),
        format!("select a{}.+", ".b".repeat(500_000)),
        format!("select a{}.+", ".b[0]".repeat(100_000)),
        format!("select {}", "(a,".repeat(180)),
        format!("select {}", "(a,b,c,".repeat(180)),
        "'".repeat(2_000_000),
        "`".repeat(2_000_001),
        "/*".repeat(1_000_000),
        "${".repeat(1_000_000),
        format!("select 1{}", ";select 1".repeat(20_000)),
        "set a=b;".repeat(200_000),
        format!("select '{}'", "\\001".repeat(500_000)),
        "1e".repeat(1_000_000),
        "a.".repeat(1_000_000),
        format!("insert into t ({}) select 1", (0..100_000).map(|i| format!("c{i}")).collect::<Vec<_>>().join(",")),
    ] {
        let _ = survive(text);
    }
}

#[test]
fn a_text_may_end_anywhere() {
    let text = "with a(x) as (select 'x\\'y', `b``c`, 1.5BD, X'61', date'2020-01-01' from t /* c */ lateral view explode(a) v as b where a in (1, 2) \
                and case when b then c end group by d with rollup) insert overwrite table p.t partition (ds='1', hh) (a, b) select \
                sum(a) over (partition by b order by c rows between 1 preceding and current row) from (t join u using (x)) -- d\n limit 1, 2";
    for end in (0..text.len()).filter(|i| text.is_char_boundary(*i)) {
        let _ = parse_script(&text[..end]);
    }
    assert!(matches!(one(text), Statement::Insert(_)));
}

/// A token or a piece of one.
fn word() -> impl Strategy<Value = String> {
    let words = [
        "select",
        "from",
        "where",
        "group by",
        "order by",
        "having",
        "limit",
        "union all",
        "intersect",
        "join",
        "left",
        "on",
        "using",
        "with",
        "as",
        "in",
        "not",
        "exists",
        "case",
        "when",
        "then",
        "else",
        "end",
        "cast(",
        "interval",
        "between",
        "and",
        "or",
        "is null",
        "like",
        "over (",
        "partition by",
        "rows",
        "preceding",
        "lateral view",
        "values",
        "create table",
        "create view",
        "alter table",
        "add",
        "drop",
        "partition",
        "partitioned by",
        "comment",
        "lifecycle",
        "insert into",
        "overwrite",
        "table",
        "set",
        "show",
        "desc",
        "explain",
        "truncate",
        "rename to",
        "columns",
        "default",
        "tblproperties",
        "clustered by",
        "into",
        "buckets",
        "primary key",
        "like",
        "bigint",
        "map<",
        "array<",
        "decimal(10,2)",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        ",",
        ";",
        ".",
        ":",
        "::",
        ":=",
        "+",
        "-",
        "*",
        "/",
        "%",
        "^",
        "~",
        "!",
        "&",
        "|",
        "||",
        "=",
        "==",
        "<>",
        "!=",
        "<",
        "<=",
        ">",
        ">=",
        "<=>",
        "->",
        "@",
        "#",
        "?",
        "（",
        "）",
        "，",
        "；",
        "'",
        "\"",
        "`",
        "\\",
        "--",
        "/*",
        "*/",
        "/*+",
        "\n",
        "${",
        "}",
        "a",
        "b.c",
        "中文",
        "1",
        "1L",
        "1.5BD",
        "0x",
        "'s'",
        "\"s\"",
        "`q`",
        "X'6'",
        "date",
        "trim(",
        "both",
        "extract(",
        "year",
        "count(distinct",
        "grouping sets",
        "rollup(",
        "x ->",
        "@v :=",
    ];
    prop_oneof![
        8 => prop::sample::select(words.to_vec()).prop_map(str::to_string),
        1 => any::<String>(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    #[test]
    fn token_soups_never_panic(words in prop::collection::vec(word(), 0..40), glue in prop::sample::select(vec!["", " "])) {
        let text = words.join(glue);
        let _ = lexer::lex(&text);
        if let Ok(pieces) = split(&text) {
            for piece in pieces {
                prop_assert_eq!(&text[piece.offset..piece.offset + piece.text.len()], piece.text);
            }
        }
        if let Err(e) = parse_script(&text) {
            // The place lies in the text, or just behind it.
            let lines: Vec<&str> = text.split('\n').collect();
            let line = lines.get((e.line as usize).saturating_sub(1)).copied().unwrap_or_default();
            prop_assert!(e.line as usize <= lines.len() && e.column as usize <= line.chars().count() + 1, "{} in {:?}", e, text);
        }
    }

    #[test]
    fn tokens_cover_the_text_in_order(text in any::<String>()) {
        if let Ok(tokens) = lexer::lex(&text) {
            let mut end = 0;
            for token in tokens {
                let range = token.range();
                prop_assert!(range.start >= end && range.end > range.start && text.is_char_boundary(range.end));
                end = range.end;
            }
        }
    }

    #[test]
    fn strings_come_back_from_their_literal(text in any::<String>()) {
        let literal = format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"));
        prop_assert_eq!(feitian_sql::literal::text_value(&literal, feitian_sql::Position::START).unwrap(), text);
    }
}
