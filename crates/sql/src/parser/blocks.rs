//! Cuts a script into its statements, and IF, LOOP and BEGIN … END into those that stand in them.

use crate::lexer::{Kind, Symbol, Token};
use crate::splitter::{self, Piece};
use crate::{Position, Result, SqlError};

/// Blocks may nest this deep.
const MAX_DEPTH: u32 = 50;

/// Words that begin a statement behind a condition.
const STARTS: [&str; 12] =
    ["begin", "insert", "select", "values", "with", "loop", "create", "drop", "alter", "truncate", "update", "delete"];

/// A statement with its tokens, which end with [`Kind::End`], or one with others in it.
pub(super) enum Block<'a> {
    Setting {
        key: String,
        value: String,
        text: &'a str,
        position: Position,
    },
    Plain {
        text: &'a str,
        position: Position,
        tokens: Vec<Token>,
    },
    If {
        position: Position,
        condition: Vec<Token>,
        then: Vec<Block<'a>>,
        otherwise: Vec<Block<'a>>,
    },
    Loop {
        position: Position,
        variable: String,
        from: Vec<Token>,
        to: Vec<Token>,
        body: Vec<Block<'a>>,
    },
    /// BEGIN … END.
    Many(Vec<Block<'a>>),
}

/// The statements of `text`, one for each piece.
pub(super) fn cut(text: &str) -> Result<Vec<Block<'_>>> {
    splitter::cut(text)?.into_iter().map(|(piece, tokens)| block(text, piece, tokens)).collect()
}

fn block<'a>(text: &'a str, piece: Piece<'a>, tokens: Vec<Token>) -> Result<Block<'a>> {
    let position = Position { line: piece.line, column: piece.column };
    if let Some((key, value)) = piece.setting {
        return Ok(Block::Setting { key, value, text: piece.text, position });
    }
    let is = |n: usize, word: &str| tokens.get(n).is_some_and(|t| t.is_word(text, word));
    if !["if", "loop", "begin"].iter().any(|word| is(0, word)) {
        return Ok(Block::Plain { text: piece.text, position, tokens });
    }
    let mut cutter = Cutter { text, tokens: &tokens, at: 0 };
    let block = cutter.statement(0)?;
    match cutter.peek().kind {
        Kind::End => Ok(block),
        _ => cutter.unexpected(None),
    }
}

/// Reads the tokens of one piece.
struct Cutter<'t, 'a> {
    text: &'a str,
    tokens: &'t [Token],
    at: usize,
}

impl<'a> Cutter<'_, 'a> {
    fn peek_at(&self, n: usize) -> Token {
        self.tokens[(self.at + n).min(self.tokens.len() - 1)]
    }

    fn peek(&self) -> Token {
        self.peek_at(0)
    }

    fn is(&self, word: &str) -> bool {
        self.peek().is_word(self.text, word)
    }

    fn is_symbol(&self, n: usize, symbol: Symbol) -> bool {
        self.peek_at(n).kind == Kind::Symbol(symbol)
    }

    /// Moves on, but not beyond the end.
    fn step(&mut self) {
        if self.peek().kind != Kind::End {
            self.at += 1;
        }
    }

    fn eat(&mut self, word: &str) -> bool {
        let found = self.is(word);
        if found {
            self.step();
        }
        found
    }

    fn semicolons(&mut self) {
        while self.is_symbol(0, Symbol::Semicolon) {
            self.step();
        }
    }

    fn unexpected<T>(&self, expected: Option<&str>) -> Result<T> {
        let token = self.peek();
        let shown = if token.kind == Kind::End { "<EOF>" } else { token.text(self.text) };
        Err(SqlError::invalid_token(token.position, shown, expected))
    }

    fn statement(&mut self, depth: u32) -> Result<Block<'a>> {
        let position = self.peek().position;
        if depth > MAX_DEPTH {
            return Err(SqlError::semantic(position, format!("blocks are nested deeper than {MAX_DEPTH} levels")));
        }
        if self.eat("begin") {
            return Ok(Block::Many(self.until_end(depth)?));
        }
        if self.eat("if") {
            return self.branches(position, depth);
        }
        if self.eat("loop") {
            return self.repeated(position, depth);
        }
        let start = self.at;
        while self.peek().kind != Kind::End && !self.is_symbol(0, Symbol::Semicolon) {
            self.step();
        }
        if self.at == start {
            return self.unexpected(Some("a statement"));
        }
        let text = &self.text[self.tokens[start].range().start..self.tokens[self.at - 1].range().end];
        let tokens = self.since(start);
        self.semicolons();
        Ok(Block::Plain { text, position, tokens })
    }

    /// The tokens from `start` to here, with an end.
    fn since(&self, start: usize) -> Vec<Token> {
        let mut tokens = self.tokens[start..self.at].to_vec();
        tokens.push(self.peek().into_end());
        tokens
    }

    fn until_end(&mut self, depth: u32) -> Result<Vec<Block<'a>>> {
        let mut blocks = Vec::new();
        loop {
            self.semicolons();
            if self.eat("end") {
                return Ok(blocks);
            }
            if self.peek().kind == Kind::End {
                return self.unexpected(Some("END"));
            }
            blocks.push(self.statement(depth + 1)?);
        }
    }

    /// `condition statement [ELSE statement]`
    fn branches(&mut self, position: Position, depth: u32) -> Result<Block<'a>> {
        let condition = self.expression(None)?;
        let then = vec![self.statement(depth + 1)?];
        let behind = self.at;
        self.semicolons();
        let mut otherwise = Vec::new();
        if self.eat("else") {
            otherwise.push(self.statement(depth + 1)?);
        } else {
            self.at = behind;
        }
        Ok(Block::If { position, condition, then, otherwise })
    }

    /// `@name FROM expression TO expression statement`
    fn repeated(&mut self, position: Position, depth: u32) -> Result<Block<'a>> {
        if !self.is_symbol(0, Symbol::At) || self.peek_at(1).kind != Kind::Word {
            return self.unexpected(Some("@ and a name"));
        }
        self.step();
        let variable = self.peek().text(self.text).to_lowercase();
        self.step();
        if !self.eat("from") {
            return self.unexpected(Some("FROM"));
        }
        let from = self.expression(Some("to"))?;
        if !self.eat("to") {
            return self.unexpected(Some("TO"));
        }
        let to = self.expression(None)?;
        let body = vec![self.statement(depth + 1)?];
        Ok(Block::Loop { position, variable, from, to, body })
    }

    /// The tokens of an expression: up to the word `until`, or to where a statement begins.
    fn expression(&mut self, until: Option<&str>) -> Result<Vec<Token>> {
        let (start, mut open, mut cases) = (self.at, 0usize, 0usize);
        while self.peek().kind != Kind::End && !self.is_symbol(0, Symbol::Semicolon) {
            let ends = match until {
                Some(word) => self.is(word),
                None => self.starts_statement(),
            };
            if open == 0 && cases == 0 && self.at > start && ends {
                break;
            }
            match self.peek().kind {
                Kind::Symbol(Symbol::LParen | Symbol::LBracket) => open += 1,
                Kind::Symbol(Symbol::RParen | Symbol::RBracket) => open = open.saturating_sub(1),
                _ if self.is("case") => cases += 1,
                _ if self.is("end") => cases = cases.saturating_sub(1),
                _ => {}
            }
            self.step();
        }
        if self.at == start {
            return self.unexpected(Some("an expression"));
        }
        Ok(self.since(start))
    }

    /// A word that begins a statement, or an assignment.
    fn starts_statement(&self) -> bool {
        let assigns = self.is_symbol(0, Symbol::At) && (2..4).any(|n| self.is_symbol(n, Symbol::Assign));
        assigns || STARTS.iter().any(|word| self.is(word))
    }
}
