//! Function calls: arguments, FILTER, WITHIN GROUP and OVER with its window.
//!
//! Calls that the language spells with words (`TRIM(BOTH 'x' FROM s)`, `EXTRACT(YEAR FROM d)`) become ordinary calls
//! (`trim(s, 'x')`, `year(d)`).

use sqlparser::ast::{
    DuplicateTreatment, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, Ident,
    NullTreatment, ObjectName, WindowFrame, WindowFrameBound, WindowFrameUnits, WindowSpec, WindowType,
};

use super::cursor::{Parser, WINDOW_HEIGHT};
use crate::lexer::Symbol;
use crate::{Result, SqlError};

/// A call without parentheses: `CURRENT_DATE`.
pub(super) fn bare(name: Ident) -> Function {
    Function {
        name: ObjectName::from(vec![name]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::None,
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    }
}

fn plain_call(name: Ident, args: Vec<Expr>) -> Expr {
    let args = args.into_iter().map(|e| FunctionArg::Unnamed(FunctionArgExpr::Expr(e))).collect();
    let list = FunctionArgumentList { duplicate_treatment: None, args, clauses: Vec::new() };
    Expr::Function(Function { args: FunctionArguments::List(list), ..bare(name) })
}

impl Parser<'_> {
    /// A call of the function `names`, whose name has been read.
    pub(super) fn call(&mut self, names: Vec<Ident>) -> Result<Expr> {
        if let [name] = names.as_slice()
            && let Some(interval) = self.interval_call(&name.value)?
        {
            return Ok(interval);
        }
        let args = FunctionArguments::List(self.arguments()?);
        if self.is("using") && names.last().is_some_and(|n| ["transform", "map", "reduce"].contains(&n.value.as_str()))
        {
            return self.unsupported(names[0].span.into(), "SELECT TRANSFORM");
        }
        let mut within_group = Vec::new();
        if self.eat(&["within", "group"]) {
            self.open()?;
            self.expect("order")?;
            self.expect("by")?;
            within_group = self.list(Self::order_item)?;
            self.close()?;
        }
        let mut filter = None;
        if self.is("filter") && self.symbol_at(1) == Some(Symbol::LParen) {
            self.take();
            self.open()?;
            self.expect("where")?;
            filter = Some(Box::new(self.expr()?));
            self.close()?;
        }
        let null_treatment = match () {
            () if self.eat(&["ignore", "nulls"]) => Some(NullTreatment::IgnoreNulls),
            () if self.eat(&["respect", "nulls"]) => Some(NullTreatment::RespectNulls),
            () => None,
        };
        let over = self.over()?;
        Ok(Expr::Function(Function {
            name: ObjectName::from(names),
            uses_odbc_syntax: false,
            parameters: FunctionArguments::None,
            args,
            filter,
            null_treatment,
            over,
            within_group,
        }))
    }

    /// `([DISTINCT] a, t.*, *, x -> y)`
    fn arguments(&mut self) -> Result<FunctionArgumentList> {
        self.open()?;
        let mut list = FunctionArgumentList { duplicate_treatment: None, args: Vec::new(), clauses: Vec::new() };
        if self.eat_symbol(Symbol::RParen) {
            return Ok(list);
        }
        if self.eat(&["distinct"]) {
            list.duplicate_treatment = Some(DuplicateTreatment::Distinct);
        } else if self.eat(&["all"]) {
            list.duplicate_treatment = Some(DuplicateTreatment::All);
        }
        list.args = self.list(|p| Ok(FunctionArg::Unnamed(p.argument()?)))?;
        self.close()?;
        Ok(list)
    }

    fn argument(&mut self) -> Result<FunctionArgExpr> {
        self.count_argument()?;
        if self.is_symbol(Symbol::Star) && matches!(self.symbol_at(1), Some(Symbol::RParen | Symbol::Comma)) {
            self.take();
            return Ok(FunctionArgExpr::Wildcard);
        }
        match self.qualified_wildcard()? {
            Some(name) => Ok(FunctionArgExpr::QualifiedWildcard(name)),
            None => Ok(FunctionArgExpr::Expr(self.expr()?)),
        }
    }

    /// Takes `t.*` or `p.t.*`, if that comes next.
    pub(super) fn qualified_wildcard(&mut self) -> Result<Option<ObjectName>> {
        let mut n = 0;
        while self.is_name_at(n) && self.symbol_at(n + 1) == Some(Symbol::Dot) && n < 6 {
            n += 2;
            if self.symbol_at(n) == Some(Symbol::Star) {
                let mut names = Vec::new();
                for _ in 0..n / 2 {
                    names.push(self.ident_after_dot()?);
                    self.take();
                }
                self.take();
                return Ok(Some(ObjectName::from(names)));
            }
        }
        Ok(None)
    }

    fn over(&mut self) -> Result<Option<WindowType>> {
        let named = self.is_name_at(1);
        if !self.is("over") || !(named || self.symbol_at(1) == Some(Symbol::LParen)) {
            return Ok(None);
        }
        self.take();
        if named {
            return Ok(Some(WindowType::NamedWindow(self.ident()?)));
        }
        Ok(Some(WindowType::WindowSpec(self.nested(WINDOW_HEIGHT, Self::window)?)))
    }

    /// `([name] [PARTITION BY …] [ORDER BY …] [frame])`; DISTRIBUTE BY and SORT BY mean the same here.
    pub(super) fn window(&mut self) -> Result<WindowSpec> {
        self.open()?;
        let clause = |p: &Self| {
            p.is_any(&["partition", "distribute", "order", "sort"]) && p.is_at(1, "by")
                || p.is_any(&["rows", "range", "groups"])
        };
        let window_name = if self.is_name() && !clause(self) { Some(self.ident()?) } else { None };
        let mut spec = WindowSpec { window_name, partition_by: Vec::new(), order_by: Vec::new(), window_frame: None };
        if self.eat(&["partition", "by"]) || self.eat(&["distribute", "by"]) {
            spec.partition_by = self.list(Self::expr)?;
        }
        if self.eat(&["order", "by"]) || self.eat(&["sort", "by"]) {
            spec.order_by = self.list(Self::order_item)?;
        }
        if self.is_any(&["rows", "range", "groups"]) {
            spec.window_frame = Some(self.frame()?);
        }
        if self.is("exclude") {
            return self.unsupported(self.position(), "EXCLUDE in a window frame");
        }
        self.close()?;
        Ok(spec)
    }

    fn frame(&mut self) -> Result<WindowFrame> {
        let units = match () {
            () if self.eat(&["rows"]) => WindowFrameUnits::Rows,
            () if self.eat(&["range"]) => WindowFrameUnits::Range,
            () => {
                self.expect("groups")?;
                WindowFrameUnits::Groups
            }
        };
        if !self.eat(&["between"]) {
            return Ok(WindowFrame { units, start_bound: self.frame_bound()?, end_bound: None });
        }
        let start_bound = self.frame_bound()?;
        self.expect("and")?;
        Ok(WindowFrame { units, start_bound, end_bound: Some(self.frame_bound()?) })
    }

    fn frame_bound(&mut self) -> Result<WindowFrameBound> {
        if self.eat(&["current", "row"]) {
            return Ok(WindowFrameBound::CurrentRow);
        }
        let size = if self.eat(&["unbounded"]) {
            None
        } else {
            // AND separates the bounds, so the size must bind tighter.
            Some(Box::new(self.expr_above(super::expr::NOT)?))
        };
        if self.eat(&["preceding"]) {
            Ok(WindowFrameBound::Preceding(size))
        } else if self.eat(&["following"]) {
            Ok(WindowFrameBound::Following(size))
        } else {
            self.unexpected(Some("PRECEDING or FOLLOWING"))
        }
    }

    /// `EXTRACT(unit FROM x)`
    pub(super) fn extract(&mut self) -> Result<Expr> {
        let name = self.ident()?;
        self.open()?;
        let Some(unit) = self.time_unit() else {
            return self.unexpected(Some("YEAR, QUARTER, MONTH, DAY, HOUR, MINUTE or SECOND"));
        };
        self.expect("from")?;
        let x = self.expr()?;
        self.close()?;
        Ok(plain_call(Ident::with_span(name.span, unit.function()), vec![x]))
    }

    /// `TRIM([BOTH|LEADING|TRAILING] [characters FROM] x)`, or the ordinary call.
    pub(super) fn trim(&mut self) -> Result<Expr> {
        let operand_follows = !matches!(self.symbol_at(3), Some(Symbol::Comma | Symbol::RParen | Symbol::Dot));
        let side = [("both", "trim"), ("leading", "ltrim"), ("trailing", "rtrim")]
            .into_iter()
            .find(|(word, _)| self.is_at(2, word) && operand_follows);
        let name = self.ident()?;
        self.open()?;
        if side.is_some() {
            self.take();
        }
        let function = Ident::with_span(name.span, side.map_or("trim", |(_, function)| function));
        if side.is_some() && self.eat(&["from"]) {
            let args = vec![self.expr()?];
            self.close()?;
            return Ok(plain_call(function, args));
        }
        let mut args = vec![self.expr()?];
        if self.eat(&["from"]) {
            args.insert(0, self.expr()?);
        } else if side.is_none() && self.eat_symbol(Symbol::Comma) {
            args.append(&mut self.list(Self::expr)?);
        }
        self.close()?;
        Ok(plain_call(function, args))
    }

    /// `SUBSTRING(s FROM a [FOR b])`, or the ordinary call.
    pub(super) fn substring(&mut self) -> Result<Expr> {
        let name = self.ident()?;
        self.open()?;
        let mut args = vec![self.expr()?];
        if self.eat(&["from"]) {
            args.push(self.expr()?);
            if self.eat(&["for"]) {
                args.push(self.expr()?);
            }
        } else if self.eat_symbol(Symbol::Comma) {
            args.append(&mut self.list(Self::expr)?);
        } else {
            return Err(SqlError::invalid_token(self.position(), self.source(self.peek()), Some("',' or FROM")));
        }
        self.close()?;
        Ok(plain_call(name, args))
    }
}
