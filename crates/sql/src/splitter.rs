//! Cuts a script into its statements at `;` and recognises `SET key=value`.
//!
//! A statement with others in it (a function, IF, LOOP, BEGIN) ends behind its last END, or at a `;` outside of BEGIN … END
//! that no ELSE follows.

use crate::lexer::{Kind, Lexer, Symbol, Token};
use crate::{Position, Result, SqlError};

/// A text may have this many bytes (MaxCompute: 2 MB).
pub const MAX_BYTES: usize = 2 * 1024 * 1024;

/// One statement of a script, without its `;` and without blanks or comments before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece<'a> {
    /// The statement as written.
    pub text: &'a str,
    /// Byte offset of `text` in the script.
    pub offset: usize,
    /// Line of the first character, from 1.
    pub line: u32,
    /// Column of the first character, from 1.
    pub column: u32,
    /// Key and value if the statement is `SET key=value`. The value is verbatim, save that `\;` is `;` and that blanks
    /// around it are gone.
    pub setting: Option<(String, String)>,
}

/// The statements of `text` in order; empty ones are left out. Runs in linear time.
///
/// ODPS-0130161 for a text above [`MAX_BYTES`] and for whatever [`crate::lexer::lex`] refuses.
pub fn split(text: &str) -> Result<Vec<Piece<'_>>> {
    Ok(cut(text)?.into_iter().map(|(piece, _)| piece).collect())
}

pub(crate) fn check_size(text: &str) -> Result<()> {
    if text.len() <= MAX_BYTES {
        return Ok(());
    }
    let detail = format!("the text has {} bytes, more than the {MAX_BYTES} bytes (2 MB) allowed", text.len());
    Err(SqlError::parse(Position::UNKNOWN, detail))
}

/// As [`split`], with the tokens of each statement; the last token is always [`Kind::End`].
pub(crate) fn cut(text: &str) -> Result<Vec<(Piece<'_>, Vec<Token>)>> {
    check_size(text)?;
    let mut lexer = Lexer::new(text);
    let mut pieces = Vec::new();
    loop {
        lexer.skip_blanks()?;
        let (offset, at) = (lexer.offset(), lexer.position());
        let piece = |text, setting| Piece { text, offset, line: at.line, column: at.column, setting };
        if let Some((length, key, value)) = setting(lexer.rest()) {
            lexer.advance(length);
            pieces.push((piece(&text[offset..lexer.offset()], Some((key, value))), Vec::new()));
            if lexer.next_token()?.kind == Kind::End {
                return Ok(pieces);
            }
            continue;
        }
        let (tokens, ended) = statement_tokens(text, &mut lexer)?;
        if let [.., last, end] = tokens[..] {
            debug_assert_eq!(end.kind, Kind::End);
            pieces.push((piece(&text[offset..last.range().end], None), tokens));
        }
        if ended {
            return Ok(pieces);
        }
    }
}

/// Tokens up to where the statement ends, where a token of kind [`Kind::End`] is put; and whether the text ended.
fn statement_tokens(text: &str, lexer: &mut Lexer<'_>) -> Result<(Vec<Token>, bool)> {
    let mut tokens = Vec::new();
    let mut blocks = Blocks::default();
    loop {
        let token = lexer.next_token()?;
        match token.kind {
            Kind::Symbol(Symbol::Semicolon) if blocks.has_more(text, &tokens, lexer)? => tokens.push(token),
            Kind::Symbol(Symbol::Semicolon) | Kind::End => {
                tokens.push(token.into_end());
                return Ok((tokens, token.kind == Kind::End));
            }
            _ => {
                let closes = token.kind == Kind::Word && blocks.closes(text, &tokens, token);
                tokens.push(token);
                let next = if closes { lexer.clone().next_token()? } else { continue };
                let ends = next.kind == Kind::End || next.kind == Kind::Symbol(Symbol::Semicolon);
                if !ends && !next.is_word(text, "else") {
                    tokens.push(next.into_end());
                    return Ok((tokens, false));
                }
            }
        }
    }
}

/// The blocks of a statement that are open.
#[derive(Default)]
struct Blocks {
    /// True for BEGIN, false for CASE, which END closes as well.
    open: Vec<bool>,
}

impl Blocks {
    /// Whether `word`, which follows `before`, closes the outermost BEGIN of a statement that may have one.
    fn closes(&mut self, text: &str, before: &[Token], word: Token) -> bool {
        let is_field = before.last().is_some_and(|t| t.kind == Kind::Symbol(Symbol::Dot));
        if is_field {
            return false;
        }
        if word.is_word(text, "begin") && (before.is_empty() || has_blocks(text, before)) {
            self.open.push(true);
        } else if word.is_word(text, "case") && !self.open.is_empty() {
            self.open.push(false);
        } else if word.is_word(text, "end") {
            return self.open.pop() == Some(true) && self.open.is_empty();
        }
        false
    }

    /// Whether the statement goes on behind a `;` at which `lexer` stands.
    fn has_more(&self, text: &str, before: &[Token], lexer: &Lexer<'_>) -> Result<bool> {
        if !self.open.is_empty() {
            return Ok(true);
        }
        let may = before.first().is_some_and(|first| ["if", "loop"].iter().any(|word| first.is_word(text, word)));
        Ok(may && lexer.clone().next_token()?.is_word(text, "else"))
    }
}

/// Whether the statement that begins so may have others in it.
fn has_blocks(text: &str, tokens: &[Token]) -> bool {
    let is = |n: usize, word: &str| tokens.get(n).is_some_and(|t| t.is_word(text, word));
    let create = if is(0, "create") && is(1, "or") { 3 } else { 1 };
    let makes = create + usize::from(is(create, "sql") || is(create, "temporary"));
    ["function", "if", "loop", "begin"].iter().any(|word| is(0, word)) || (is(0, "create") && is(makes, "function"))
}

/// If `rest` begins with `SET key=value`: its length, the key and the value.
fn setting(rest: &str) -> Option<(usize, String, String)> {
    let word = rest.get(..3)?;
    let after = &rest[3..];
    let body = after.trim_start();
    if !word.eq_ignore_ascii_case("set") || body.len() == after.len() {
        return None;
    }
    let key_end = body.find(|c: char| !(c.is_ascii_alphanumeric() || "._-".contains(c)))?;
    let (key, tail) = body.split_at(key_end);
    let value = tail.trim_start().strip_prefix('=')?;
    if key.is_empty() || is_security_switch(key) {
        return None;
    }
    let end = value_length(value);
    let length = rest.len() - value.len() + end;
    Some((length, key.to_string(), value[..end].replace("\\;", ";").trim().to_string()))
}

/// The value runs to the next `;` that no backslash precedes.
fn value_length(value: &str) -> usize {
    let bytes = value.as_bytes();
    let ends = |i: usize| bytes[i] == b';' && (i == 0 || bytes[i - 1] != b'\\');
    (0..bytes.len()).find(|&i| ends(i)).unwrap_or(bytes.len())
}

/// `SET projectprotection=true` and its like change who may do what in a project: they are statements, not flags, and
/// must not vanish among flags that nobody reads.
pub(crate) fn is_security_switch(key: &str) -> bool {
    const SWITCHES: [&str; 6] = [
        "projectprotection",
        "labelsecurity",
        "checkpermissionusingacl",
        "checkpermissionusingpolicy",
        "objectcreatorhasaccesspermission",
        "objectcreatorhasgrantpermission",
    ];
    SWITCHES.iter().any(|s| key.eq_ignore_ascii_case(s))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn texts(script: &str) -> Vec<&str> {
        split(script).unwrap().into_iter().map(|p| p.text).collect()
    }

    #[test]
    fn a_semicolon_in_a_string_a_name_or_a_comment_does_not_split() {
        let script = "select ';' ; -- a;b\nselect \"x\\\";\", `a;b` /* ; */ ;; \n select 1；select 2";
        assert_eq!(texts(script), ["select ';'", "select \"x\\\";\", `a;b`", "select 1", "select 2"]);
        assert_eq!(texts(" -- nothing\n ; "), Vec::<&str>::new());
    }

    #[test]
    fn pieces_know_their_place() {
        let pieces = split("select 1;\n  /* c */ select 2").unwrap();
        assert_eq!((pieces[1].offset, pieces[1].line, pieces[1].column), (20, 2, 11));
    }

    // MaxCompute documentation, "SET": the value runs to the next semicolon, `\;` stands for one in the value. Keys as in
    // PyODPS odps/utils.py, which leaves the SET statements in the text.
    #[test]
    fn set_keeps_its_value_verbatim() {
        for (script, key, value) in [
            ("set odps.sql.allow.fullscan=true;", "odps.sql.allow.fullscan", "true"),
            ("SET odps.sql.timezone = Asia/Shanghai", "odps.sql.timezone", "Asia/Shanghai"),
            (r#"set a.b={"fieldDelim":"|", 'x--y'};"#, "a.b", r#"{"fieldDelim":"|", 'x--y'}"#),
            (r"set k=a\;b;", "k", "a;b"),
            ("set k=;", "k", ""),
            ("set k='unclosed;", "k", "'unclosed"),
        ] {
            let pieces = split(script).unwrap();
            assert_eq!(pieces[0].setting, Some((key.to_string(), value.to_string())), "{script}");
        }
        let pieces = split("set a=1; set b=2;\nselect 1").unwrap();
        assert_eq!(pieces.len(), 3);
        assert_eq!(pieces[2].setting, None);
        for script in ["set projectprotection=true", "set label 2 to user x", "set", "settle = 1"] {
            assert!(split(script).unwrap().iter().all(|p| p.setting.is_none()), "{script}");
        }
    }

    #[test]
    fn a_text_above_two_megabytes_is_refused() {
        assert!(split(&" ".repeat(MAX_BYTES)).unwrap().is_empty());
        let e = split(&" ".repeat(MAX_BYTES + 1)).unwrap_err().to_string();
        assert!(e.starts_with("ODPS-0130161:[0,0] Parse exception - the text has 2097153 bytes"), "{e}");
    }
}
