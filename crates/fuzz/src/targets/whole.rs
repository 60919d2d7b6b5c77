//! Nothing of a statement is read and forgotten: what is parsed changes with each of its words.

use std::ops::Range;
use std::path::PathBuf;

use feitian_sql::lexer::{self, Kind, Symbol, Token};
use feitian_sql::{Script, Statement, parse_script};

use super::sql::{WORDS, first_word};
use super::{Target, magnitude};

/// Words that may stand in a statement and mean nothing there: what follows would be the same without them, or they say
/// what holds anyway, or (PURGE, and what stands behind PRIMARY KEY) they are documented as without effect.
const NOISE: &[&str] = &[
    "all",
    "as",
    "asc",
    "both",
    "column",
    "cross",
    "date",
    "datetime",
    "disable",
    "enable",
    "inner",
    "norely",
    "novalidate",
    "null",
    "outer",
    "purge",
    "rely",
    "repair",
    "role",
    "table",
    "timestamp",
    "user",
    "validate",
];

/// The same of several words; `*` stands for any.
const PHRASES: &[&[&str]] = &[
    &["constraint", "*"],
    // Of a column.
    &["comment", "''"],
    &["comment", "\"\""],
    &["on", "true"],
    &["on", "type", "table"],
    &["for", "columns"],
    &["both", "from"],
    &["add", "partitions"],
    // The name that the column of AUTO PARTITIONED BY has without one.
    &["as", "_pt_col_0_"],
    // The scale of DECIMAL(10, 0).
    &[",", "0"],
];

/// So many tokens are taken out at once: a clause that is forgotten is a word and its value, or a few.
const MOST: usize = 4;
/// Each input is parsed so often times [`MOST`].
const MAX_TOKENS: usize = 200;
const MAX_BYTES: usize = 8 << 10;

/// Promise: a script without some of its tokens is refused, or is another one.
pub const WHOLE: Target = Target {
    name: "whole",
    seeds,
    words: WORDS,
    stack_bytes: super::QUERY_STACK,
    run: |input| {
        let text = String::from_utf8_lossy(input);
        // What a variable is and holds is read where it is used, and nowhere else.
        let declares = text.split(';').any(|piece| piece.trim_start().starts_with('@'));
        if text.len() > MAX_BYTES || text.contains(":=") || declares {
            return "passed over".to_string();
        }
        let (Ok(tokens), Ok(script)) = (lexer::lex(&text), parse_script(&text)) else {
            return "refused".to_string();
        };
        // So are the condition of IF and the numbers of LOOP: they are no statements.
        if script.control.is_some() {
            return "passed over".to_string();
        }
        if tokens.len() > MAX_TOKENS || script.statements.iter().any(|p| is_unsupported(&p.statement)) {
            return "passed over".to_string();
        }
        let (parsed, forgotten) = without_parts(&text, &tokens, &script);
        let forgotten = forgotten.into_iter().find(|run| !is_noise(&text, &tokens, run.clone(), NOISE));
        if let Some(run) = forgotten {
            panic!("`{}` is read and forgotten in: {text}", source(&text, &tokens[run]));
        }
        let mut words: Vec<String> = script.statements.iter().map(|p| first_word(&p.statement)).collect();
        words.truncate(6);
        format!("{} {} of {}", words.join("|"), magnitude(parsed), magnitude(tokens.len() as u64))
    },
};

/// Every statement and query of the SQL tests.
fn seeds() -> Vec<Vec<u8>> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../warehouse/tests/it/sql");
    let entries = std::fs::read_dir(folder).expect("the SQL tests lie in the same source tree");
    let paths = entries.filter_map(|entry| entry.ok().map(|e| e.path()));
    let mut files: Vec<PathBuf> = paths.filter(|p| p.extension().is_some_and(|e| e == "test")).collect();
    files.sort();
    let texts = files.iter().map(|file| std::fs::read_to_string(file).expect("the SQL tests are text"));
    texts.flat_map(|text| blocks(&text)).collect()
}

/// The SQL of each block of a file: below the line that says what it is, above `----`.
fn blocks(file: &str) -> Vec<Vec<u8>> {
    let one = |block: &str| {
        let mut lines = block.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        // A line that sets a flag has nothing below it.
        lines.next()?;
        let sql: Vec<&str> = lines.take_while(|line| *line != "----").collect();
        (!sql.is_empty()).then(|| sql.join("\n").into_bytes())
    };
    file.split("\n\n").filter_map(one).collect()
}

/// Of a statement that feitian lacks only the first words are read.
fn is_unsupported(statement: &Statement) -> bool {
    match statement {
        Statement::Unsupported { .. } => true,
        Statement::Explain { statement, .. } => is_unsupported(statement),
        _ => false,
    }
}

/// Takes out each part of up to [`MOST`] tokens: how often something was left that is a script, and the parts without
/// which it is the same script.
fn without_parts(text: &str, tokens: &[Token], script: &Script) -> (u64, Vec<Range<usize>>) {
    let (mut parsed, mut forgotten) = (0, Vec::new());
    for length in 1..=MOST {
        for (at, part) in tokens.windows(length).enumerate() {
            let Ok(other) = parse_script(&blanked(text, part)) else { continue };
            parsed += 1;
            if is_same(script, &other) {
                forgotten.push(at..at + length);
            }
        }
    }
    (parsed, forgotten)
}

/// The bytes of a part, with what stands between its tokens.
fn range(part: &[Token]) -> Range<usize> {
    match part {
        [first, .., last] => first.range().start..last.range().end,
        [only] => only.range(),
        [] => 0..0,
    }
}

fn source<'t>(text: &'t str, part: &[Token]) -> &'t str {
    &text[range(part)]
}

/// The text with blanks in the place of a part: all other tokens keep their positions.
fn blanked(text: &str, part: &[Token]) -> String {
    let range = range(part);
    let blanks: String = text[range.clone()].chars().map(|c| if c == '\n' { c } else { ' ' }).collect();
    format!("{}{blanks}{}", &text[..range.start], &text[range.end..])
}

/// Whether both do the same. The source of a statement, which is kept to be shown, does not count.
fn is_same(one: &Script, other: &Script) -> bool {
    let (left, right) = (one.statements.iter(), other.statements.iter());
    one.settings == other.settings && left.map(|p| &p.statement).eq(right.map(|p| &p.statement))
}

/// Whether a part is nothing but words that mean nothing.
fn is_noise(text: &str, tokens: &[Token], mut run: Range<usize>, noise: &[&str]) -> bool {
    while !run.is_empty() {
        let part = &tokens[run.clone()];
        let phrase = PHRASES.iter().find(|phrase| phrase.len() <= part.len() && begins(text, part, phrase));
        run.start += match phrase {
            Some(phrase) => phrase.len(),
            None if is_unit_of_interval(text, tokens, &run) => 2,
            None if is_alone_noise(text, tokens, run.start, noise) => 1,
            None => return false,
        };
    }
    true
}

fn begins(text: &str, part: &[Token], phrase: &[&str]) -> bool {
    part.iter().zip(phrase).all(|(token, word)| *word == "*" || token.text(text).eq_ignore_ascii_case(word))
}

/// `TO unit` of an interval whose value has no more to say.
fn is_unit_of_interval(text: &str, tokens: &[Token], run: &Range<usize>) -> bool {
    let before = &tokens[run.start.saturating_sub(4)..run.start];
    let is = |token: &Token, word: &str| token.text(text).eq_ignore_ascii_case(word);
    run.len() >= 2 && is(&tokens[run.start], "to") && before.iter().any(|token| is(token, "interval"))
}

fn is_alone_noise(text: &str, tokens: &[Token], at: usize, noise: &[&str]) -> bool {
    let next = tokens.get(at + 1);
    let source = tokens[at].text(text);
    match tokens[at].kind {
        Kind::Word => noise.iter().any(|word| source.eq_ignore_ascii_case(word)),
        // Texts that follow each other are one, and an empty one adds nothing.
        Kind::Text => source.trim_matches(|c: char| c == '\'' || c == '"' || c.is_whitespace()).is_empty(),
        // An empty statement; `::f(…)` is the built-in function that `f(…)` is, too.
        Kind::Symbol(Symbol::Semicolon | Symbol::DoubleColon) => true,
        // Partitions of ALTER TABLE follow each other with and without.
        Kind::Symbol(Symbol::Comma) => next.is_some_and(|token| token.text(text).eq_ignore_ascii_case("partition")),
        // Less than nothing is nothing.
        Kind::Symbol(Symbol::Minus) => {
            next.is_some_and(|token| !token.text(text).contains(|c: char| ('1'..='9').contains(&c)))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forgotten(text: &str, noise: &[&str]) -> Vec<String> {
        let (tokens, script) = (lexer::lex(text).expect("tokens"), parse_script(text).expect("a script"));
        let (_, found) = without_parts(text, &tokens, &script);
        let found = found.into_iter().filter(|run| !is_noise(text, &tokens, run.clone(), noise));
        found.map(|run| source(text, &tokens[run]).to_string()).collect()
    }

    #[test]
    fn nothing_of_the_sql_tests_is_read_and_forgotten() {
        let seeds = seeds();
        assert!(seeds.len() > 1000, "{} statements: is the folder the right one?", seeds.len());
        for seed in &seeds {
            (WHOLE.run)(seed);
        }
    }

    #[test]
    fn a_word_that_changes_nothing_is_found_unless_it_is_listed() {
        let text = "select a from t left outer join u on t.a = u.a";
        assert_eq!(forgotten(text, &[]), ["outer"]);
        assert_eq!(forgotten(text, NOISE), [""; 0]);
        let text = "create table t (a bigint, constraint k primary key (a) enable rely)";
        assert_eq!(forgotten(text, &["rely"]), ["enable", "enable rely"]);
        assert_eq!(forgotten(text, NOISE), [""; 0]);
    }
}
