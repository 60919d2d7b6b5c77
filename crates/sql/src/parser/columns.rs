//! Parts that several DDL statements share: types, column definitions, properties, partition specifications.

use feitian_types::{Column, DataType, PartitionSpec};
use sqlparser::ast::{Expr, Query, UnaryOperator};

use super::cursor::Parser;
use crate::lexer::{Kind, Symbol, Token};
use crate::statement::{ColumnRef, PartitionCondition, PartitionOp, PartitionTerm};
use crate::{Result, SqlError, literal};

/// How the names of properties begin that no statement names.
const OWN_PROPERTIES: &str = "feitian.";

/// A column and what its definition says beyond it.
pub(super) struct ColumnDef {
    pub(super) column: Column,
    pub(super) position: crate::Position,
    pub(super) primary_key: bool,
}

impl Parser<'_> {
    /// A type in MaxCompute's spelling.
    pub(super) fn data_type(&mut self) -> Result<DataType> {
        let first = self.peek();
        if first.kind != Kind::Word {
            return self.unexpected(Some("a type"));
        }
        self.take();
        if self.is_symbol(Symbol::Lt) {
            self.skip_brackets(Symbol::Lt, Symbol::Gt, "'>'")?;
        } else if self.is_symbol(Symbol::LParen) {
            self.skip_brackets(Symbol::LParen, Symbol::RParen, "')'")?;
        }
        let source = self.source_since(first);
        DataType::parse(source).map_err(|e| {
            let before = source.get(..e.offset).unwrap_or_default();
            SqlError::illegal_type(first.position.after(before), e.reason)
        })
    }

    /// Moves over brackets and what they enclose.
    fn skip_brackets(&mut self, open: Symbol, close: Symbol, shown: &str) -> Result<()> {
        let mut depth = 0u32;
        loop {
            match self.peek().kind {
                Kind::Symbol(s) if s == open => depth += 1,
                Kind::Symbol(s) if s == close => depth -= 1,
                Kind::End => return self.unexpected(Some(shown)),
                _ => {}
            }
            self.take();
            if depth == 0 {
                return Ok(());
            }
        }
    }

    /// `name type [NOT NULL | NULL] [DEFAULT constant] [PRIMARY KEY] [COMMENT 'c']`, the options once, in any order.
    pub(super) fn column_def(&mut self) -> Result<ColumnDef> {
        let position = self.position();
        let name = self.name()?;
        if self.is_symbol(Symbol::Dot) {
            return self.unsupported(position, "a column inside a STRUCT");
        }
        let mut column = Column::new(name, self.data_type()?);
        let mut primary_key = false;
        let mut seen: Vec<&str> = Vec::new();
        loop {
            let at = self.position();
            let option = if self.eat(&["not", "null"]) {
                column.nullable = false;
                "NULL"
            } else if self.eat(&["null"]) {
                column.nullable = true;
                "NULL"
            } else if self.eat(&["default"]) {
                column.default = Some(self.default_value()?);
                "DEFAULT"
            } else if self.eat(&["primary", "key"]) {
                primary_key = true;
                "PRIMARY KEY"
            } else if self.eat(&["comment"]) {
                column.comment = self.string()?;
                "COMMENT"
            } else {
                return Ok(ColumnDef { column, position, primary_key });
            };
            if seen.contains(&option) {
                return Err(SqlError::parse(at, format!("{option} appears twice in the definition of a column")));
            }
            seen.push(option);
        }
    }

    /// The source of a constant.
    fn default_value(&mut self) -> Result<String> {
        let first = self.peek();
        // NOT NULL may follow, so the value must bind tighter than comparison.
        let value = self.expr_above(super::expr::UNARY)?;
        if !is_constant(&value) {
            return Err(SqlError::semantic(first.position, "the default value of a column must be a constant"));
        }
        Ok(self.source_since(first).to_string())
    }

    /// `('k'='v', …)`
    pub(super) fn properties(&mut self) -> Result<Vec<(String, String)>> {
        self.parens(|p| {
            let key = p.property_name()?;
            p.expect_symbol(Symbol::Eq, "'='")?;
            Ok((key, p.property_value()?))
        })
    }

    /// The name of a property that is the user's to give.
    pub(super) fn property_name(&mut self) -> Result<String> {
        let at = self.position();
        let name = self.string()?;
        // There tables keep what their clauses say, which has been checked and may not change: a primary key, for one.
        match name.starts_with(OWN_PROPERTIES) {
            true => {
                Err(SqlError::semantic(at, format!("'{name}' is no property that can be set: choose another name")))
            }
            false => Ok(name),
        }
    }

    /// A string, or a bare number or word: tools write `'write.bucket.num'=16`.
    fn property_value(&mut self) -> Result<String> {
        match self.peek().kind {
            Kind::Number | Kind::Word => {
                let token = self.take();
                Ok(self.source(token).to_string())
            }
            _ => self.string(),
        }
    }

    /// `(a, b)`, each name once.
    pub(super) fn column_names(&mut self) -> Result<Vec<ColumnRef>> {
        let names = self.parens(|p| {
            let position = p.position();
            Ok(ColumnRef { name: p.name()?, position })
        })?;
        if let Some(i) = repeated(names.iter().map(|c| c.name.as_str())) {
            let detail = format!("column {} appears more than once in the list", names[i].name);
            return Err(SqlError::semantic(names[i].position, detail));
        }
        Ok(names)
    }

    /// `PARTITION (a='1', b)`
    pub(super) fn partition_terms(&mut self) -> Result<Vec<PartitionTerm>> {
        self.expect("partition")?;
        let terms = self.parens(|p| {
            let position = p.position();
            let name = p.name()?;
            let value = if p.eat_symbol(Symbol::Eq) { Some(p.partition_value()?) } else { None };
            Ok(PartitionTerm { name, value, position })
        })?;
        if let Some(i) = repeated(terms.iter().map(|t| t.name.as_str())) {
            let detail = format!("partition column {} appears more than once", terms[i].name);
            return Err(SqlError::partition_key(terms[i].position, detail));
        }
        Ok(terms)
    }

    /// `PARTITION (a='1', b='2')`, every column with a value.
    pub(super) fn partition_spec(&mut self) -> Result<PartitionSpec> {
        let mut pairs = Vec::new();
        for term in self.partition_terms()? {
            let Some(value) = term.value else {
                let detail = format!("partition column {} needs a value here", term.name);
                return Err(SqlError::partition_key(term.position, detail));
            };
            pairs.push((term.name, value));
        }
        Ok(PartitionSpec(pairs))
    }

    /// `[PARTITION (…)]`
    pub(super) fn optional_partition(&mut self) -> Result<Option<PartitionSpec>> {
        if self.is("partition") { Ok(Some(self.partition_spec()?)) } else { Ok(None) }
    }

    /// `PARTITION (ds<'2', hh='1')` of DROP PARTITION.
    pub(super) fn partition_conditions(&mut self) -> Result<Vec<PartitionCondition>> {
        self.expect("partition")?;
        self.parens(|p| {
            let name = p.name()?;
            let op = match p.symbol_at(0) {
                Some(Symbol::Eq) => PartitionOp::Eq,
                Some(Symbol::Neq) => PartitionOp::NotEq,
                Some(Symbol::Lt) => PartitionOp::Lt,
                Some(Symbol::LtEq) => PartitionOp::LtEq,
                Some(Symbol::Gt) => PartitionOp::Gt,
                Some(Symbol::GtEq) => PartitionOp::GtEq,
                _ if p.is("like") => PartitionOp::Like,
                _ => return p.unexpected(Some("a comparison")),
            };
            p.take();
            Ok(PartitionCondition { name, op, value: p.partition_value()? })
        })
    }

    /// A constant as the text that a partition value is. Whole numbers lose leading zeros.
    pub(super) fn partition_value(&mut self) -> Result<String> {
        let sign = if self.eat_symbol(Symbol::Minus) { "-" } else { "" };
        match self.peek().kind {
            Kind::Text if sign.is_empty() => self.string(),
            Kind::Number => {
                let token = self.take();
                let (digits, _) = literal::split_number(self.source(token));
                let short = if digits.bytes().all(|b| b.is_ascii_digit()) {
                    Some(digits.trim_start_matches('0')).filter(|d| !d.is_empty()).unwrap_or("0")
                } else {
                    digits
                };
                Ok(format!("{sign}{short}"))
            }
            Kind::Word if sign.is_empty() && self.is_any(&["date", "datetime", "timestamp"]) => {
                self.take();
                self.string()
            }
            Kind::Symbol(Symbol::At) if sign.is_empty() => self.partition_variable(),
            _ => self.unexpected(Some("a constant")),
        }
    }

    /// A query and its source, without parentheses around the whole.
    pub(super) fn query_with_text(&mut self) -> Result<(Box<Query>, String)> {
        let first: Token = self.peek();
        let query = self.query()?;
        Ok((query, self.source_since(first).to_string()))
    }
}

/// Index of the first name that came before.
pub(super) fn repeated<'n>(mut names: impl Iterator<Item = &'n str>) -> Option<usize> {
    let mut seen = std::collections::HashSet::new();
    names.position(|name| !seen.insert(name))
}

fn is_constant(e: &Expr) -> bool {
    match e {
        Expr::Value(_) | Expr::TypedString(_) => true,
        Expr::UnaryOp { op: UnaryOperator::Minus | UnaryOperator::Plus, expr } => is_constant(expr),
        Expr::Cast { expr, .. } | Expr::Nested(expr) => is_constant(expr),
        _ => false,
    }
}
