//! Expressions: operators and their precedence.
//!
//! From tight to loose, as MaxCompute's grammar has it: `[] .`, unary `- + ~`, `IS NULL`, `^`, `* / % DIV`, `+ -`, `||`,
//! `&`, `|`, comparison (with LIKE, IN, BETWEEN), NOT, AND, OR. All binary operators associate to the left.

use sqlparser::ast::{BinaryOperator, Expr, Value};

use super::cursor::Parser;
use crate::Result;
use crate::lexer::{Kind, Symbol};

const OR: u8 = 10;
const AND: u8 = 20;
pub(super) const NOT: u8 = 30;
const COMPARE: u8 = 40;
const PIPE: u8 = 50;
const AMP: u8 = 60;
const CONCAT: u8 = 70;
const ADD: u8 = 80;
const MULTIPLY: u8 = 90;
const CARET: u8 = 100;
const IS_NULL: u8 = 105;
pub(super) const UNARY: u8 = 110;

/// A chain of AND or OR of at most this many operands stays a left-deep tree; longer ones are halved.
const FLAT_CHAIN: usize = 32;

/// An operator that may follow an operand.
enum Infix {
    Binary(BinaryOperator),
    /// AND or OR, with its word.
    Chain(BinaryOperator, &'static str),
    IsTest,
    IsDistinct,
    /// LIKE, RLIKE, REGEXP, IN or BETWEEN, perhaps after NOT.
    Predicate,
}

impl Parser<'_> {
    pub(super) fn expr(&mut self) -> Result<Expr> {
        self.expr_above(0)
    }

    /// An expression whose operators bind tighter than `floor`.
    #[recursive::recursive]
    pub(super) fn expr_above(&mut self, floor: u8) -> Result<Expr> {
        self.nested(0, |p| p.operators(floor))
    }

    /// Reads operands and operators; leaves the height of the tree in `self.peak`.
    fn operators(&mut self, floor: u8) -> Result<Expr> {
        let mut left = self.operand()?;
        let mut height = self.peak + 1;
        while let Some((infix, binding)) = self.peek_infix() {
            if binding <= floor {
                break;
            }
            self.peak = 0;
            let at = self.position();
            let links;
            (left, links) = self.infix(left, infix, binding)?;
            height = height.max(self.peak) + links;
            self.check_height(height, at)?;
        }
        self.peak = height;
        Ok(left)
    }

    fn peek_infix(&self) -> Option<(Infix, u8)> {
        let token = self.peek();
        let binary = |op, binding| Some((Infix::Binary(op), binding));
        match token.kind {
            Kind::Symbol(symbol) => match symbol {
                Symbol::Eq => binary(BinaryOperator::Eq, COMPARE),
                Symbol::Neq => binary(BinaryOperator::NotEq, COMPARE),
                Symbol::Lt => binary(BinaryOperator::Lt, COMPARE),
                Symbol::LtEq => binary(BinaryOperator::LtEq, COMPARE),
                Symbol::Gt => binary(BinaryOperator::Gt, COMPARE),
                Symbol::GtEq => binary(BinaryOperator::GtEq, COMPARE),
                Symbol::NullSafeEq => binary(BinaryOperator::Spaceship, COMPARE),
                Symbol::Pipe => binary(BinaryOperator::BitwiseOr, PIPE),
                Symbol::Amp => binary(BinaryOperator::BitwiseAnd, AMP),
                Symbol::Concat => binary(BinaryOperator::StringConcat, CONCAT),
                Symbol::Plus => binary(BinaryOperator::Plus, ADD),
                Symbol::Minus => binary(BinaryOperator::Minus, ADD),
                Symbol::Star => binary(BinaryOperator::Multiply, MULTIPLY),
                Symbol::Slash => binary(BinaryOperator::Divide, MULTIPLY),
                Symbol::Percent => binary(BinaryOperator::Modulo, MULTIPLY),
                Symbol::Caret => binary(BinaryOperator::BitwiseXor, CARET),
                _ => None,
            },
            Kind::Word => self.peek_word_infix(),
            _ => None,
        }
    }

    fn peek_word_infix(&self) -> Option<(Infix, u8)> {
        const PREDICATES: [&str; 5] = ["like", "rlike", "regexp", "in", "between"];
        if self.is("and") {
            Some((Infix::Chain(BinaryOperator::And, "and"), AND))
        } else if self.is("or") {
            Some((Infix::Chain(BinaryOperator::Or, "or"), OR))
        } else if self.is("div") {
            Some((Infix::Binary(BinaryOperator::MyIntegerDivide), MULTIPLY))
        } else if self.is("is") {
            let n = if self.is_at(1, "not") { 2 } else { 1 };
            let distinct = self.is_at(n, "distinct");
            Some(if distinct { (Infix::IsDistinct, COMPARE) } else { (Infix::IsTest, IS_NULL) })
        } else if self.is_any(&PREDICATES) || (self.is("not") && PREDICATES.iter().any(|k| self.is_at(1, k))) {
            Some((Infix::Predicate, COMPARE))
        } else {
            None
        }
    }

    /// Reads the operator and what follows it; also says by how many levels the tree grew.
    fn infix(&mut self, left: Expr, infix: Infix, binding: u8) -> Result<(Expr, u32)> {
        let expr = match infix {
            Infix::Binary(op) => {
                self.take();
                Expr::BinaryOp { left: Box::new(left), op, right: Box::new(self.expr_above(binding)?) }
            }
            Infix::Chain(op, word) => return self.chain(left, op, word, binding),
            Infix::IsTest => self.is_test(left)?,
            Infix::IsDistinct => {
                self.expect("is")?;
                let negated = self.eat(&["not"]);
                self.expect("distinct")?;
                self.expect("from")?;
                let right = Box::new(self.expr_above(binding)?);
                let build = if negated { Expr::IsNotDistinctFrom } else { Expr::IsDistinctFrom };
                build(Box::new(left), right)
            }
            Infix::Predicate => self.predicate(Box::new(left), binding)?,
        };
        Ok((expr, 1))
    }

    /// `left AND b AND c …` as a tree of logarithmic height: generated texts join thousands of conditions, and whoever
    /// walks the tree recurses once per level.
    fn chain(&mut self, left: Expr, op: BinaryOperator, word: &str, binding: u8) -> Result<(Expr, u32)> {
        let mut operands = vec![left];
        while self.eat(&[word]) {
            operands.push(self.expr_above(binding)?);
        }
        let links = operands.len().min(FLAT_CHAIN) as u32 + operands.len().ilog2();
        Ok((balanced(operands, &op), links))
    }

    fn is_test(&mut self, left: Expr) -> Result<Expr> {
        self.expect("is")?;
        let negated = self.eat(&["not"]);
        let build = if self.eat(&["null"]) {
            if negated { Expr::IsNotNull } else { Expr::IsNull }
        } else if self.eat(&["true"]) {
            if negated { Expr::IsNotTrue } else { Expr::IsTrue }
        } else if self.eat(&["false"]) {
            if negated { Expr::IsNotFalse } else { Expr::IsFalse }
        } else {
            return self.unexpected(Some("NULL, TRUE, FALSE or DISTINCT FROM"));
        };
        Ok(build(Box::new(left)))
    }

    fn predicate(&mut self, left: Box<Expr>, binding: u8) -> Result<Expr> {
        let negated = self.eat(&["not"]);
        if self.eat(&["between"]) {
            let low = Box::new(self.expr_above(binding)?);
            self.expect("and")?;
            let high = Box::new(self.expr_above(binding)?);
            return Ok(Expr::Between { expr: left, negated, low, high });
        }
        if self.eat(&["in"]) {
            return self.in_list(left, negated);
        }
        if self.eat(&["like"]) {
            if self.is_any(&["any", "all", "some"]) && self.symbol_at(1) == Some(Symbol::LParen) {
                return self.unsupported(self.position(), "LIKE ANY and LIKE ALL");
            }
            let pattern = Box::new(self.expr_above(binding)?);
            let escape_char = if self.eat(&["escape"]) {
                let token = self.peek();
                let value = Value::SingleQuotedString(self.string()?);
                Some(value.with_span(self.span_since(token)))
            } else {
                None
            };
            return Ok(Expr::Like { negated, any: false, expr: left, pattern, escape_char });
        }
        // The planner knows regular expressions as operators only.
        let op = if negated { BinaryOperator::PGRegexNotMatch } else { BinaryOperator::PGRegexMatch };
        self.take();
        Ok(Expr::BinaryOp { left, op, right: Box::new(self.expr_above(binding)?) })
    }

    fn in_list(&mut self, expr: Box<Expr>, negated: bool) -> Result<Expr> {
        self.open()?;
        if self.starts_query() {
            let subquery = self.query()?;
            self.close()?;
            return Ok(Expr::InSubquery { expr, subquery, negated });
        }
        let first = self.expr()?;
        let first = self.set_operation_after(first)?;
        if let (Expr::Subquery(_), Some(Symbol::RParen)) = (&first, self.symbol_at(0)) {
            self.close()?;
            let Expr::Subquery(subquery) = first else { return self.unexpected(None) };
            return Ok(Expr::InSubquery { expr, subquery, negated });
        }
        let mut list = vec![first];
        while self.eat_symbol(Symbol::Comma) {
            list.push(self.expr()?);
        }
        self.close()?;
        Ok(Expr::InList { expr, list, negated })
    }
}

/// A tree over `operands`, in their order, of height at most [`FLAT_CHAIN`] plus the logarithm of their number.
fn balanced(mut operands: Vec<Expr>, op: &BinaryOperator) -> Expr {
    let join = |left, right| Expr::BinaryOp { left: Box::new(left), op: op.clone(), right: Box::new(right) };
    if operands.len() > FLAT_CHAIN {
        let right = operands.split_off(operands.len() / 2);
        return join(balanced(operands, op), balanced(right, op));
    }
    operands.into_iter().reduce(join).expect("a chain has operands")
}
