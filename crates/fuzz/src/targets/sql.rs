//! Parsers of `feitian-sql`.

use std::fmt::{self, Write};

use feitian_sql::{Statement, check_query, lexer, parse_script, split};

use super::{Target, magnitude, shape};

const SCRIPTS: &[&str] = &[
    "SET odps.sql.allow.fullscan=true; SELECT a, COUNT(*) AS n FROM p.t WHERE b = 'x\\'y' AND c IN (1, 2) GROUP BY a HAVING n > 1 ORDER BY n DESC LIMIT 10;",
    "WITH x AS (SELECT 1 AS a UNION ALL SELECT 2) SELECT x.a, ROW_NUMBER() OVER (PARTITION BY a ORDER BY a) FROM x LEFT JOIN y ON x.a = y.a AND y.b <> 1;",
    "INSERT OVERWRITE TABLE t PARTITION (ds = '1', hh) SELECT a, CASE WHEN b THEN 1 ELSE CAST(c AS DECIMAL(10,2)) END FROM u LATERAL VIEW EXPLODE(d) e AS f;",
    "CREATE TABLE IF NOT EXISTS t (a BIGINT NOT NULL COMMENT 'x', b MAP<STRING,ARRAY<STRUCT<c:INT>>>) COMMENT 'y' PARTITIONED BY (ds STRING) TBLPROPERTIES ('k'='v') LIFECYCLE 7;",
    "ALTER TABLE t ADD IF NOT EXISTS PARTITION (ds='1') PARTITION (ds='2'); ALTER TABLE t CHANGE COLUMN a b BIGINT; DROP TABLE IF EXISTS t; TRUNCATE TABLE t;",
    "INSERT INTO t VALUES (1, NULL, 'a' \"b\", 1.5e3, -2L, 1BD, DATE'2024-01-01', INTERVAL '1' DAY); DESC t; SHOW PARTITIONS t; EXPLAIN SELECT 1",
    "@a := SELECT 1; -- comment\n/* block */ SELECT `quoted` FROM (SELECT * FROM @a) b WHERE a RLIKE '^x' OR NOT EXISTS (SELECT 1 FROM c);",
    "CREATE SQL FUNCTION f(@a BIGINT, @b STRING = 'x') RETURNS @r BIGINT AS BEGIN @t := @a + 1; @r := @t * 2; END SELECT f(1) FROM t TABLESAMPLE (10 PERCENT) s;",
    "@x BIGINT := 1 + 1; @t TABLE (a BIGINT); IF (@x > 1) BEGIN @t := CACHE ON SELECT a FROM u; INSERT INTO t SELECT a FROM @t; END ELSE LOOP @i FROM 1 TO 3 INSERT INTO u SELECT @i;",
];

pub(super) const WORDS: &[&[u8]] = &[
    b"SELECT ",
    b" FROM ",
    b" WHERE ",
    b" JOIN ",
    b" ON ",
    b" GROUP BY ",
    b" ORDER BY ",
    b" UNION ALL ",
    b"(",
    b")",
    b",",
    b";",
    b"'",
    b"\"",
    b"`",
    b"\\",
    b"--",
    b"/*",
    b"*/",
    b"CASE WHEN ",
    b" END",
    b"CAST(",
    b" AS ",
    b"NOT ",
    b"-",
    b"*",
    b"1e999",
    b"array<",
    b"struct<",
    b" OVER (",
    b"[",
    b"]",
    b".",
    b"@",
    b"SET k=v;",
    b"\xe9\xa3\x9e",
    b"\xef\xbc\x88",
];

fn seeds() -> Vec<Vec<u8>> {
    SCRIPTS.iter().map(|s| s.as_bytes().to_vec()).collect()
}

/// Promise: pieces and tokens lie in the text, in order, at characters' borders.
pub const SPLITTER: Target = Target {
    name: "splitter",
    seeds,
    words: WORDS,
    stack_bytes: super::QUERY_STACK,
    run: |input| {
        let text = String::from_utf8_lossy(input);
        let pieces = match split(&text) {
            Ok(pieces) => {
                let mut end = 0;
                for piece in &pieces {
                    assert!(piece.offset >= end, "pieces overlap");
                    assert_eq!(
                        text.get(piece.offset..piece.offset + piece.text.len()),
                        Some(piece.text),
                        "a piece moved"
                    );
                    end = piece.offset + piece.text.len();
                }
                format!("{} pieces", magnitude(pieces.len() as u64))
            }
            Err(error) => shape(&error.to_string()),
        };
        let tokens = match lexer::lex(&text) {
            Ok(tokens) => {
                let mut end = 0;
                for token in &tokens {
                    let range = token.range();
                    assert!(range.start >= end && text.get(range.clone()).is_some(), "a token lies at {range:?}");
                    end = range.end;
                }
                format!("{} tokens", magnitude(tokens.len() as u64))
            }
            Err(error) => shape(&error.to_string()),
        };
        format!("{pieces}|{tokens}")
    },
};

/// How `what` begins in its debug form, whose whole text would be many times as large as `what` itself.
pub(super) fn first_word(what: &impl fmt::Debug) -> String {
    struct Word(String);
    impl fmt::Write for Word {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            let word = text.chars().take_while(|c| c.is_alphanumeric());
            self.0.extend(word);
            if text.chars().all(char::is_alphanumeric) { Ok(()) } else { Err(fmt::Error) }
        }
    }
    let mut word = Word(String::new());
    // It ends with an error by design: there is no other way to stop a `Debug`.
    let _ = write!(word, "{what:?}");
    word.0
}

/// Promise: an error of the parser carries a code; a statement that is accepted is accepted again by itself, unless the
/// script has variables, which stand for queries before it.
pub const PARSER: Target = Target {
    name: "parser",
    seeds,
    words: WORDS,
    stack_bytes: super::QUERY_STACK,
    run: |input| {
        let text = String::from_utf8_lossy(input);
        match parse_script(&text) {
            Ok(script) => {
                let mut words = vec![format!("{} settings", script.settings.len().min(4))];
                for parsed in &script.statements {
                    let kind = first_word(&parsed.statement);
                    let checked = match &parsed.statement {
                        Statement::Query(query) => {
                            check_query(query).map_or_else(|e| shape(&e.to_string()), |()| "fine".into())
                        }
                        _ => String::new(),
                    };
                    let alone = text.contains('@') || parse_script(&parsed.text).is_ok();
                    assert!(alone, "{kind} is refused when it stands alone");
                    words.push(format!("{kind} {checked}"));
                }
                words.truncate(6);
                words.join("|")
            }
            Err(error) => {
                let error = error.to_string();
                assert!(error.starts_with("ODPS-"), "an error without a code: {error}");
                shape(&error)
            }
        }
    },
};
