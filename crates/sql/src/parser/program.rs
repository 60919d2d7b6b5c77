//! Runs through a script: from one statement to the next, with the values in hand that somebody computes on the way.

use std::slice::Iter;

use sqlparser::ast::{CastKind, Expr, Ident, Query, SelectItem, SetExpr};

use super::blocks::{self, Block};
use super::cursor::Parser;
use super::script::{Assigned, Assignment, Declared, Holds, Variable, Variables};
use super::{Parsed, Script};
use crate::lexer::Token;
use crate::{Position, Result, SqlError, Statement, types};

/// The LOOPs of a script may have so many rounds together.
const MAX_ROUNDS: usize = 1000;

/// LOOP goes on while a script has assigned no more than so much: each assignment stays in memory.
const MAX_ASSIGNED: usize = 100_000;

/// What the name of a computed value begins with: no name that a user writes does.
const COMPUTED: &str = "\u{1}value ";

/// Ends the name of a table that no catalog knows: whoever runs the statement has it in hand. No name that a user writes
/// ends so.
pub const IN_HAND: &str = "\u{1}target";

/// A script, cut into its statements.
pub struct Program<'a> {
    text: &'a str,
    blocks: Vec<Block<'a>>,
}

impl<'a> Program<'a> {
    /// ODPS-0130161 for blocks without an end.
    pub fn cut(text: &'a str) -> Result<Self> {
        Ok(Self { text, blocks: blocks::cut(text)? })
    }

    /// How many settings, assignments, statements and blocks stand in it, those inside blocks not counted.
    pub fn len(&self) -> usize {
        self.blocks.len()
    }

    /// True if nothing stands in it.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// Goes where the values lead that are computed on the way.
    pub fn reader(&'a self) -> Reader<'a> {
        Reader {
            text: self.text,
            frames: vec![Frame::Blocks(self.blocks.iter())],
            variables: Vec::new(),
            expanded: 0,
            settings: Vec::new(),
            statements: 0,
            place: 0,
            rounds: 0,
            values: 0,
            waiting: None,
            all: false,
            computes: false,
            control: None,
        }
    }

    /// Goes through all branches, computing nothing.
    pub(super) fn read_all(&'a self) -> Reader<'a> {
        Reader { all: true, ..self.reader() }
    }
}

/// What a script does next.
pub enum Next {
    Statement(Box<Parsed>),
    /// The one row of a query is wanted: see [`Reader::answer`].
    Compute(Compute),
    End,
}

/// A query whose rows are wanted: one row of values, unless `table` is there.
pub struct Compute {
    pub query: Box<Query>,
    pub position: Position,
    /// Statements call a function of this name, without arguments, for the first value.
    pub function: Option<String>,
    /// The value is the condition of an IF.
    pub is_condition: bool,
    /// All rows are wanted, and no value: statements read a table of this name for them.
    pub table: Option<String>,
}

/// Where a [`Program`] is.
pub struct Reader<'a> {
    text: &'a str,
    frames: Vec<Frame<'a>>,
    variables: Vec<Variable<'a>>,
    expanded: usize,
    settings: Vec<(String, String)>,
    /// Statements so far.
    statements: usize,
    /// Blocks of the program so far, with the one that it is in.
    place: usize,
    rounds: usize,
    values: usize,
    waiting: Option<Waiting<'a>>,
    all: bool,
    computes: bool,
    control: Option<Position>,
}

enum Frame<'a> {
    Blocks(Iter<'a, Block<'a>>),
    Loop { variable: &'a str, position: Position, next: i64, last: i64, body: &'a [Block<'a>] },
}

/// `@name := CACHE ON query`
struct Cache {
    name: String,
    declared: Option<Declared>,
    query: Box<Query>,
    since: usize,
    position: Position,
}

/// What the tokens of one piece are.
enum Read {
    Assignment(Assignment),
    Statement(Box<Statement>),
}

/// What goes on with the values that are wanted.
enum Waiting<'a> {
    Variable(Variable<'a>),
    If { then: &'a [Block<'a>], otherwise: &'a [Block<'a>] },
    Loop { variable: &'a str, position: Position, body: &'a [Block<'a>] },
}

impl<'a> Reader<'a> {
    /// Goes on to the next statement or value.
    pub fn step(&mut self) -> Result<Next> {
        loop {
            let is_top = self.frames.len() == 1;
            let block = match self.frames.last_mut() {
                None => return Ok(Next::End),
                Some(Frame::Blocks(blocks)) => blocks.next(),
                Some(Frame::Loop { .. }) => {
                    self.round()?;
                    continue;
                }
            };
            let Some(block) = block else {
                self.frames.pop();
                continue;
            };
            self.place += usize::from(is_top);
            if let Some(next) = self.block(block)? {
                return Ok(next);
            }
        }
    }

    /// Begins the next round of the innermost LOOP, or ends it.
    fn round(&mut self) -> Result<()> {
        let Some(Frame::Loop { variable, position, next, last, body }) = self.frames.last_mut() else { return Ok(()) };
        let (name, at, number, body) = (*variable, *position, *next, *body);
        if number > *last {
            self.frames.pop();
            return Ok(());
        }
        // A number beyond the last ends it.
        *last = if number == i64::MAX { i64::MIN } else { *last };
        *next = number.saturating_add(1);
        self.rounds += 1;
        if self.rounds > MAX_ROUNDS {
            return Err(SqlError::semantic(at, format!("the LOOPs of the script have more than {MAX_ROUNDS} rounds")));
        }
        if self.variables.len() > MAX_ASSIGNED {
            return Err(SqlError::semantic(at, format!("the script assigns more than {MAX_ASSIGNED} times, in LOOPs")));
        }
        self.variables.push(Variable {
            name: name.to_string(),
            holds: Holds::Number(number),
            declared: None,
            since: self.statements,
        });
        self.frames.push(Frame::Blocks(body.iter()));
        Ok(())
    }

    fn block(&mut self, block: &'a Block<'a>) -> Result<Option<Next>> {
        match block {
            Block::Setting { position, .. } if !self.variables.is_empty() => {
                Err(SqlError::unsupported(*position, "SET after a script variable"))
            }
            Block::Setting { key, value, .. } if self.statements == 0 && self.control.is_none() => {
                self.settings.push((key.clone(), value.clone()));
                Ok(None)
            }
            Block::Setting { key, value, text, position } => {
                let statement = Statement::Set { key: key.clone(), value: value.clone() };
                Ok(Some(self.given(statement, text, *position, None)))
            }
            Block::Plain { text, position, tokens } => self.plain(text, *position, tokens),
            Block::Many(blocks) => {
                self.enters(position_of(blocks));
                self.frames.push(Frame::Blocks(blocks.iter()));
                Ok(None)
            }
            Block::If { position, condition, then, otherwise } => {
                self.enters(*position);
                let expr = self.expression(condition)?;
                if self.all {
                    self.frames.push(Frame::Blocks(otherwise.iter()));
                    self.frames.push(Frame::Blocks(then.iter()));
                    return Ok(None);
                }
                self.waiting = Some(Waiting::If { then, otherwise });
                self.compute(vec![expr], *position, None, true)
            }
            Block::Loop { position, variable, from, to, body } => {
                self.enters(*position);
                let (from, to) = (self.expression(from)?, self.expression(to)?);
                if self.all {
                    self.frames.push(Frame::Loop { variable, position: *position, next: 1, last: 1, body });
                    return Ok(None);
                }
                self.waiting = Some(Waiting::Loop { variable, position: *position, body });
                self.compute(vec![cast(from, &BIGINT), cast(to, &BIGINT)], *position, None, false)
            }
        }
    }

    fn enters(&mut self, at: Position) {
        self.computes = true;
        self.control.get_or_insert(at);
    }

    fn parser<'p>(&'p self, tokens: &'p [Token]) -> Parser<'p> {
        Parser::new(self.text, tokens, Variables::new(&self.variables, self.expanded))
    }

    fn expression(&mut self, tokens: &'a [Token]) -> Result<Expr> {
        let (expr, expanded) = {
            let mut parser = self.parser(tokens);
            let expr = parser.expr()?;
            parser.expect_end()?;
            (expr, parser.variables.expanded)
        };
        self.expanded = expanded;
        Ok(expr)
    }

    fn plain(&mut self, text: &str, position: Position, tokens: &'a [Token]) -> Result<Option<Next>> {
        let (read, used) = {
            let mut parser = self.parser(tokens);
            let read = match parser.assignment()? {
                Some(assignment) => Read::Assignment(assignment),
                None => {
                    let statement = parser.statement()?;
                    parser.check_variables(&statement)?;
                    Read::Statement(Box::new(statement))
                }
            };
            (read, (parser.variables.expanded, parser.variables.since))
        };
        let (expanded, since) = used;
        self.expanded = expanded;
        match read {
            Read::Assignment(assignment) => self.assign(assignment, tokens, since.unwrap_or(self.statements), position),
            Read::Statement(statement) => Ok(Some(self.given(*statement, text, position, since))),
        }
    }

    fn given(&mut self, statement: Statement, text: &str, position: Position, variables: Option<usize>) -> Next {
        self.statements += 1;
        let (place, in_block) = (self.place - 1, self.frames.len() > 1);
        let text = text.to_string();
        Next::Statement(Box::new(Parsed { statement, text, position, variables, place, in_block }))
    }

    fn assign(
        &mut self,
        Assignment { name, declared, value }: Assignment,
        tokens: &'a [Token],
        since: usize,
        position: Position,
    ) -> Result<Option<Next>> {
        let (holds, expr) = match value {
            Assigned::Nothing => (Holds::Nothing, None),
            Assigned::Query(before) => (Holds::Query(&tokens[before..]), None),
            Assigned::Literal(before) => (Holds::Literal(&tokens[before..]), None),
            Assigned::Computed(expr) => {
                self.values += 1;
                let function = format!("{COMPUTED}{}", self.values);
                (Holds::Value { function, text: None }, Some(*expr))
            }
            Assigned::Cached(query) => return Ok(self.cache(Cache { name, declared, query, since, position })),
        };
        let (function, ty) = match (&holds, &declared) {
            (Holds::Value { function, .. }, Some(Declared::Scalar(ty))) => (Some(function.clone()), Some(ty.clone())),
            (Holds::Value { function, .. }, _) => (Some(function.clone()), None),
            _ => (None, None),
        };
        let variable = Variable { name, holds, declared, since };
        let Some(expr) = expr else {
            self.variables.push(variable);
            return Ok(None);
        };
        self.computes = true;
        if self.all {
            // Some text, so that the statement can be read.
            let mut variable = variable;
            if let Holds::Value { text, .. } = &mut variable.holds {
                *text = Some(String::new());
            }
            self.variables.push(variable);
            return Ok(None);
        }
        self.waiting = Some(Waiting::Variable(variable));
        let expr = match ty {
            Some(ty) => cast(expr, &ty),
            None => expr,
        };
        self.compute(vec![expr], position, function, false)
    }

    fn compute(
        &self,
        exprs: Vec<Expr>,
        position: Position,
        function: Option<String>,
        is_condition: bool,
    ) -> Result<Option<Next>> {
        let mut query = super::parse_query("SELECT 1")?;
        if let SetExpr::Select(select) = query.body.as_mut() {
            let alias = |i: usize| Ident::with_quote('`', format!("v{i}"));
            let items = exprs.into_iter().enumerate();
            select.projection = items.map(|(i, expr)| SelectItem::ExprWithAlias { expr, alias: alias(i) }).collect();
        }
        Ok(Some(Next::Compute(Compute { query, position, function, is_condition, table: None })))
    }

    /// Assigns the rows of a query, once somebody has them.
    fn cache(&mut self, Cache { name, declared, query, since, position }: Cache) -> Option<Next> {
        self.computes = true;
        self.values += 1;
        let table = format!("\u{1}cached {}{IN_HAND}", self.values);
        let variable = Variable { name, holds: Holds::Cached(table.clone()), declared, since };
        if self.all {
            self.variables.push(variable);
            return None;
        }
        self.waiting = Some(Waiting::Variable(variable));
        let table = Some(table);
        Some(Next::Compute(Compute { query, position, function: None, is_condition: false, table }))
    }

    /// Goes on with the values of the last [`Compute`], each as the text that it has in PARTITION: whole numbers, texts,
    /// `true` and `false`; `None` for NULL and for what has none.
    pub fn answer(&mut self, values: &[Option<String>]) -> Result<()> {
        let value = |i: usize| values.get(i).and_then(Option::as_deref);
        match self.waiting.take() {
            None => {}
            Some(Waiting::Variable(mut variable)) => {
                if let Holds::Value { text, .. } = &mut variable.holds {
                    *text = value(0).map(str::to_string);
                }
                self.variables.push(variable);
            }
            Some(Waiting::If { then, otherwise }) => {
                let taken = if value(0) == Some("true") { then } else { otherwise };
                self.frames.push(Frame::Blocks(taken.iter()));
            }
            Some(Waiting::Loop { variable, position, body }) => {
                let number = |i: usize| value(i).and_then(|text| text.parse::<i64>().ok());
                let (Some(next), Some(last)) = (number(0), number(1)) else {
                    return Err(SqlError::semantic(position, "LOOP goes from a whole number to a whole number"));
                };
                self.frames.push(Frame::Loop { variable, position, next, last, body });
            }
        }
        Ok(())
    }

    pub(super) fn into_script(self, statements: Vec<Parsed>) -> Script {
        Script { settings: self.settings, statements, computes: self.computes, control: self.control }
    }
}

/// Where the first of them is.
fn position_of(blocks: &[Block<'_>]) -> Position {
    match blocks.first() {
        Some(
            Block::Setting { position, .. }
            | Block::Plain { position, .. }
            | Block::If { position, .. }
            | Block::Loop { position, .. },
        ) => *position,
        Some(Block::Many(inner)) => position_of(inner),
        None => Position::UNKNOWN,
    }
}

const BIGINT: feitian_types::DataType = feitian_types::DataType::BigInt;

fn cast(expr: Expr, ty: &feitian_types::DataType) -> Expr {
    let (expr, data_type) = (Box::new(expr), types::to_sql(ty));
    Expr::Cast { kind: CastKind::Cast, expr, data_type, array: false, format: None }
}
