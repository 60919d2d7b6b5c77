//! The token reader under every rule of the grammar: peek, take, expect, and limits on depth.

use sqlparser::ast::helpers::attached_token::AttachedToken;
use sqlparser::ast::{Ident, ObjectName, ObjectNamePart};
use sqlparser::tokenizer::{Span, Token as SqlToken, TokenWithSpan};

use super::script::Variables;
use super::sql_function::Local;
use super::words;
use crate::lexer::{Kind, Symbol, Token};
use crate::{Position, Result, SqlError, literal};

/// Rules may nest this deep: parentheses, CASE, NOT, unary signs, subqueries.
pub(crate) const MAX_NESTING: u32 = 200;

/// A syntax tree may be this high. Whoever copies or drops it recurses on a stack of 2 MB, at about 1 KB for each unit.
pub(crate) const MAX_HEIGHT: u32 = 1000;

/// What a query adds to the height.
pub(crate) const QUERY_HEIGHT: u32 = 20;

/// What a join inside a join adds to the height.
pub(crate) const JOIN_HEIGHT: u32 = 16;

/// What the window of a call adds to the height.
pub(crate) const WINDOW_HEIGHT: u32 = 4;

/// A statement may have this many branches of UNION, INTERSECT and EXCEPT (documented limit).
pub(crate) const MAX_SET_BRANCHES: u32 = 256;

/// A statement may name this many tables and subqueries in FROM: each is a level of the plan.
pub(crate) const MAX_RELATIONS: u32 = 1000;

/// A statement may have this many arguments of calls, branches of CASE, and items of SELECT, GROUP BY and ORDER BY: the
/// planner holds several copies of each, up to 5 KB together. Constants of IN and VALUES are cheaper and not counted.
pub(crate) const MAX_ARGUMENTS: u32 = 50_000;

/// Reads the tokens of one statement. The rules of the grammar are methods on it, spread over this module's files.
pub(crate) struct Parser<'a> {
    /// The whole script: tokens point into it.
    text: &'a str,
    tokens: &'a [Token],
    at: usize,
    nesting: u32,
    /// Height of the highest tree below the one that is being read.
    pub(super) peak: u32,
    /// Set operators read so far.
    pub(super) set_operators: u32,
    /// Tables and subqueries in FROM read so far.
    pub(super) relations: u32,
    /// What counts towards [`MAX_ARGUMENTS`], read so far.
    arguments: u32,
    pub(super) variables: Variables<'a>,
    /// What `@name` means in the body of a function that is being read.
    pub(super) locals: Option<Vec<Local<'a>>>,
}

impl<'a> Parser<'a> {
    /// `tokens` end with [`Kind::End`] and were cut from `text`.
    pub(super) fn new(text: &'a str, tokens: &'a [Token], variables: Variables<'a>) -> Self {
        Self {
            text,
            tokens,
            at: 0,
            nesting: 0,
            peak: 0,
            set_operators: 0,
            relations: 0,
            arguments: 0,
            variables,
            locals: None,
        }
    }

    /// How many tokens have been taken.
    pub(super) fn index(&self) -> usize {
        self.at
    }

    /// The tokens from the next one to the end of the statement.
    pub(super) fn ahead(&self) -> &'a [Token] {
        &self.tokens[self.at..]
    }

    /// Goes on at another place of other tokens; the ones until now and the place in them.
    pub(super) fn exchange(&mut self, tokens: &'a [Token], at: usize) -> (&'a [Token], usize) {
        (std::mem::replace(&mut self.tokens, tokens), std::mem::replace(&mut self.at, at))
    }

    /// Where the statement begins.
    pub(super) fn first_position(&self) -> Position {
        self.tokens[0].position
    }

    pub(super) fn peek(&self) -> Token {
        self.peek_at(0)
    }

    /// The token `n` after the next one; the end of the statement if there are not so many.
    pub(super) fn peek_at(&self, n: usize) -> Token {
        let last = self.tokens.len() - 1;
        self.tokens[(self.at + n).min(last)]
    }

    pub(super) fn position(&self) -> Position {
        self.peek().position
    }

    pub(super) fn take(&mut self) -> Token {
        let token = self.peek();
        if self.at + 1 < self.tokens.len() {
            self.at += 1;
        }
        token
    }

    pub(super) fn source(&self, token: Token) -> &'a str {
        token.text(self.text)
    }

    /// The source from `first` up to the token before the next one.
    pub(super) fn source_since(&self, first: Token) -> &'a str {
        let end = self.tokens[self.at.saturating_sub(1)].range().end;
        self.text.get(first.range().start..end).unwrap_or_default()
    }

    /// An error at the next token, with `expected` if that is worth saying.
    pub(super) fn unexpected<T>(&self, expected: Option<&str>) -> Result<T> {
        let token = self.peek();
        let shown = if token.kind == Kind::End { "<EOF>" } else { self.source(token) };
        Err(SqlError::invalid_token(token.position, shown, expected))
    }

    pub(super) fn unsupported<T>(&self, at: Position, what: &str) -> Result<T> {
        Err(SqlError::unsupported(at, what))
    }

    pub(super) fn is(&self, keyword: &str) -> bool {
        self.is_at(0, keyword)
    }

    pub(super) fn is_at(&self, n: usize, keyword: &str) -> bool {
        self.peek_at(n).is_word(self.text, keyword)
    }

    pub(super) fn is_any(&self, keywords: &[&str]) -> bool {
        self.is_any_at(0, keywords)
    }

    pub(super) fn is_any_at(&self, n: usize, keywords: &[&str]) -> bool {
        let token = self.peek_at(n);
        token.kind == Kind::Word && words::among(self.source(token), keywords)
    }

    /// Takes the keywords if all of them come next.
    pub(super) fn eat(&mut self, keywords: &[&str]) -> bool {
        let found = keywords.iter().enumerate().all(|(n, k)| self.is_at(n, k));
        if found {
            self.at += keywords.len();
        }
        found
    }

    pub(super) fn expect(&mut self, keyword: &str) -> Result<Token> {
        if self.is(keyword) { Ok(self.take()) } else { self.unexpected(Some(&keyword.to_uppercase())) }
    }

    pub(super) fn is_symbol(&self, symbol: Symbol) -> bool {
        self.symbol_at(0) == Some(symbol)
    }

    pub(super) fn symbol_at(&self, n: usize) -> Option<Symbol> {
        match self.peek_at(n).kind {
            Kind::Symbol(symbol) => Some(symbol),
            _ => None,
        }
    }

    pub(super) fn eat_symbol(&mut self, symbol: Symbol) -> bool {
        let found = self.is_symbol(symbol);
        if found {
            self.at += 1;
        }
        found
    }

    pub(super) fn expect_symbol(&mut self, symbol: Symbol, shown: &str) -> Result<Token> {
        if self.is_symbol(symbol) { Ok(self.take()) } else { self.unexpected(Some(shown)) }
    }

    pub(super) fn open(&mut self) -> Result<Token> {
        self.expect_symbol(Symbol::LParen, "'('")
    }

    pub(super) fn close(&mut self) -> Result<Token> {
        self.expect_symbol(Symbol::RParen, "')'")
    }

    /// `item [, item]…`
    pub(super) fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        let mut items = vec![item(self)?];
        while self.eat_symbol(Symbol::Comma) {
            items.push(item(self)?);
        }
        Ok(items)
    }

    /// `( item [, item]… )`
    pub(super) fn parens<T>(&mut self, item: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        self.open()?;
        let items = self.list(item)?;
        self.close()?;
        Ok(items)
    }

    pub(super) fn expect_end(&self) -> Result<()> {
        if self.peek().kind == Kind::End { Ok(()) } else { self.unexpected(None) }
    }

    /// Runs a rule one level deeper and adds `height` to the height of what it reads.
    ///
    /// ODPS-0130071 beyond [`MAX_NESTING`] and [`MAX_HEIGHT`].
    pub(super) fn nested<T>(&mut self, height: u32, rule: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let at = self.position();
        if self.nesting >= MAX_NESTING {
            return Err(SqlError::semantic(at, format!("the statement is nested deeper than {MAX_NESTING} levels")));
        }
        let outer = std::mem::take(&mut self.peak);
        self.nesting += 1;
        let result = rule(self)?;
        self.nesting -= 1;
        self.check_height(self.peak + height, at)?;
        self.peak = outer.max(self.peak + height);
        Ok(result)
    }

    /// Adds `height` to what the current rule has read so far.
    pub(super) fn grow(&mut self, height: u32) -> Result<()> {
        self.peak += height;
        self.check_height(self.peak, self.position())
    }

    pub(super) fn check_height(&self, height: u32, at: Position) -> Result<()> {
        if height <= MAX_HEIGHT {
            return Ok(());
        }
        Err(SqlError::semantic(at, format!("expression depth > {MAX_HEIGHT}")))
    }

    /// Counts one more argument, branch or item; ODPS-0130071 beyond [`MAX_ARGUMENTS`].
    pub(super) fn count_argument(&mut self) -> Result<()> {
        self.arguments += 1;
        if self.arguments <= MAX_ARGUMENTS {
            return Ok(());
        }
        let detail = format!("more than {MAX_ARGUMENTS} arguments of functions, branches of CASE and selected columns");
        Err(SqlError::semantic(self.position(), detail))
    }

    /// Where `token` stands, for the syntax tree.
    pub(super) fn span(&self, token: Token) -> Span {
        Span::new(token.position.location(), token.position.after(self.source(token)).location())
    }

    /// From the beginning of `first` to the end of the token before the next one.
    pub(super) fn span_since(&self, first: Token) -> Span {
        let last = self.tokens[self.at.saturating_sub(1)];
        Span::new(first.position.location(), self.span(last).end)
    }

    pub(super) fn attached(&self, token: Token) -> AttachedToken {
        let word = SqlToken::make_keyword(&self.source(token).to_uppercase());
        AttachedToken(TokenWithSpan { token: word, span: self.span(token) })
    }

    /// True if the next token can be a name: quoted, or a word that the grammar does not reserve.
    pub(super) fn is_name(&self) -> bool {
        self.is_name_at(0)
    }

    pub(super) fn is_name_at(&self, n: usize) -> bool {
        let token = self.peek_at(n);
        match token.kind {
            Kind::Quoted => true,
            Kind::Word => !words::is_reserved(self.source(token)),
            _ => false,
        }
    }

    /// A name, lower case.
    pub(super) fn name(&mut self) -> Result<String> {
        Ok(self.ident()?.value)
    }

    /// A name, lower case, with its place.
    pub(super) fn ident(&mut self) -> Result<Ident> {
        if !self.is_name() {
            return self.unexpected(Some("a name"));
        }
        let token = self.take();
        Ok(self.ident_of(token))
    }

    /// After a dot any word is a name.
    pub(super) fn ident_after_dot(&mut self) -> Result<Ident> {
        match self.peek().kind {
            Kind::Word | Kind::Quoted => {
                let token = self.take();
                Ok(self.ident_of(token))
            }
            _ => self.unexpected(Some("a name")),
        }
    }

    pub(super) fn ident_of(&self, token: Token) -> Ident {
        let (source, span) = (self.source(token), self.span(token));
        match token.kind {
            Kind::Quoted => Ident::with_quote_and_span('`', span, literal::quoted_name(source)),
            _ => Ident::with_span(span, source.to_lowercase()),
        }
    }

    /// `[project.[schema.]]name`
    pub(super) fn object_name(&mut self) -> Result<ObjectName> {
        let first = self.position();
        let mut parts = vec![ObjectNamePart::Identifier(self.ident()?)];
        while self.eat_symbol(Symbol::Dot) {
            parts.push(ObjectNamePart::Identifier(self.ident_after_dot()?));
        }
        if parts.len() > 3 {
            return Err(SqlError::parse(first, "a name has at most three parts: project.schema.table"));
        }
        Ok(ObjectName(parts))
    }

    /// One or more adjacent strings, which are one literal.
    pub(super) fn string(&mut self) -> Result<String> {
        if self.peek().kind != Kind::Text {
            return self.unexpected(Some("a string"));
        }
        let mut value = String::new();
        while self.peek().kind == Kind::Text {
            let token = self.take();
            value.push_str(&literal::text_value(self.source(token), token.position)?);
        }
        Ok(value)
    }

    /// A whole number without suffix, from `min` on.
    pub(super) fn count(&mut self, min: u32) -> Result<u32> {
        let token = self.peek();
        match self.source(token).parse::<u32>() {
            Ok(n) if token.kind == Kind::Number && n >= min => {
                self.take();
                Ok(n)
            }
            _ => self.unexpected(Some(&format!("a whole number from {min} on"))),
        }
    }
}
