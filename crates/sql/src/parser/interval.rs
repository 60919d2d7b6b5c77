//! Interval literals and units of time.

use sqlparser::ast::{DateTimeField, Expr, Interval, Value};
use sqlparser::tokenizer::Span;

use super::cursor::Parser;
use crate::lexer::{Kind, Symbol};
use crate::{Position, Result, SqlError};

/// A unit of an interval or of EXTRACT.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Unit {
    Year,
    Quarter,
    Month,
    Day,
    Hour,
    Minute,
    Second,
}

impl Unit {
    /// The function that reads this unit from a time.
    pub(super) fn function(self) -> &'static str {
        match self {
            Self::Year => "year",
            Self::Quarter => "quarter",
            Self::Month => "month",
            Self::Day => "day",
            Self::Hour => "hour",
            Self::Minute => "minute",
            Self::Second => "second",
        }
    }

    fn field(self) -> DateTimeField {
        match self {
            Self::Year => DateTimeField::Year,
            Self::Quarter => DateTimeField::Quarter,
            Self::Month => DateTimeField::Month,
            Self::Day => DateTimeField::Day,
            Self::Hour => DateTimeField::Hour,
            Self::Minute => DateTimeField::Minute,
            Self::Second => DateTimeField::Second,
        }
    }
}

impl Parser<'_> {
    /// Takes a unit of time, if one comes next.
    pub(super) fn time_unit(&mut self) -> Option<Unit> {
        let unit = match self.source(self.peek()).to_ascii_lowercase().as_str() {
            "year" | "years" => Unit::Year,
            "quarter" | "quarters" => Unit::Quarter,
            "month" | "months" => Unit::Month,
            "day" | "days" => Unit::Day,
            "hour" | "hours" => Unit::Hour,
            "minute" | "minutes" => Unit::Minute,
            "second" | "seconds" => Unit::Second,
            _ => return None,
        };
        self.take();
        Some(unit)
    }

    /// True if INTERVAL, which comes next, begins a literal and is not the name of a column.
    pub(super) fn starts_interval(&self) -> bool {
        let next = self.peek_at(1).kind;
        matches!(next, Kind::Text | Kind::Number)
            || next == Kind::Symbol(Symbol::Minus) && matches!(self.peek_at(2).kind, Kind::Text | Kind::Number)
    }

    /// `INTERVAL '1' DAY`, `INTERVAL 1 DAY`, `INTERVAL '1-2' YEAR TO MONTH`, `INTERVAL '1 2:3:4.5' DAY TO SECOND`.
    pub(super) fn interval(&mut self) -> Result<Expr> {
        self.expect("interval")?;
        let first = self.peek();
        let negative = self.eat_symbol(Symbol::Minus);
        let digits = match self.peek().kind {
            Kind::Number => {
                let token = self.take();
                self.source(token).to_string()
            }
            _ => self.string()?,
        };
        let span = self.span_since(first);
        let Some(from) = self.time_unit() else { return self.unexpected(Some("a unit of time")) };
        let to = if self.eat(&["to"]) {
            let Some(to) = self.time_unit() else { return self.unexpected(Some("a unit of time")) };
            to
        } else {
            from
        };
        let normal = normalise(digits.trim(), negative, from, to, first.position)?;
        Ok(interval_expr(normal, span))
    }

    /// `INTERVAL_DAY_TIME('1 2:3:4.5')` and `INTERVAL_YEAR_MONTH('1-2')`, which are literals by another spelling; `None`
    /// unless `function` is one of them and one text in parentheses comes next.
    pub(super) fn interval_call(&mut self, function: &str) -> Result<Option<Expr>> {
        let (from, to) = match function {
            "interval_day_time" => (Unit::Day, Unit::Second),
            "interval_year_month" => (Unit::Year, Unit::Month),
            _ => return Ok(None),
        };
        let is_text = self.is_symbol(Symbol::LParen)
            && self.peek_at(1).kind == Kind::Text
            && self.symbol_at(2) == Some(Symbol::RParen);
        if !is_text {
            return Ok(None);
        }
        self.take();
        let first = self.peek();
        let text = self.string()?;
        let span = self.span_since(first);
        self.take();
        Ok(Some(interval_expr(normalise(text.trim(), false, from, to, first.position)?, span)))
    }
}

fn interval_expr((value, unit): (String, Option<Unit>), span: Span) -> Expr {
    Expr::Interval(Interval {
        value: Box::new(Expr::Value(Value::SingleQuotedString(value).with_span(span))),
        leading_field: unit.map(Unit::field),
        leading_precision: None,
        last_field: None,
        fractional_seconds_precision: None,
    })
}

/// The value in a form that needs no second unit: `'1-2' YEAR TO MONTH` is 14 months, `'1 2:3:4' DAY TO SECOND` is
/// `1 DAY 2 HOUR 3 MINUTE 4 SECOND`.
fn normalise(text: &str, negative: bool, from: Unit, to: Unit, at: Position) -> Result<(String, Option<Unit>)> {
    let refuse = || SqlError::parse(at, format!("'{text}' is not an interval of these units"));
    let (minus, body) = match text.strip_prefix('-') {
        Some(body) => (!negative, body),
        None => (negative, text),
    };
    let sign = if minus { "-" } else { "" };
    if from == to {
        let number = is_number(body, from == Unit::Second).then(|| format!("{sign}{body}")).ok_or_else(refuse)?;
        return Ok((number, Some(from)));
    }
    match (from, to) {
        (Unit::Year, Unit::Month) => {
            let months = body.split_once('-').and_then(|(years, months)| {
                let years: u32 = years.trim().parse().ok()?;
                years.checked_mul(12)?.checked_add(months.trim().parse().ok().filter(|m| *m < 12)?)
            });
            Ok((format!("{sign}{}", months.ok_or_else(refuse)?), Some(Unit::Month)))
        }
        (Unit::Day | Unit::Hour | Unit::Minute, Unit::Hour | Unit::Minute | Unit::Second) if from < to => {
            let units = [Unit::Day, Unit::Hour, Unit::Minute, Unit::Second];
            let wanted: Vec<Unit> = units.into_iter().filter(|u| (from..=to).contains(u)).collect();
            let parts: Vec<&str> = body.split([' ', ':']).collect();
            if parts.len() != wanted.len() || parts.iter().zip(&wanted).any(|(p, u)| !is_number(p, *u == Unit::Second))
            {
                return Err(refuse());
            }
            let spelled: Vec<String> =
                parts.iter().zip(&wanted).map(|(p, u)| format!("{sign}{p} {}", u.function().to_uppercase())).collect();
            Ok((spelled.join(" "), None))
        }
        _ => Err(refuse()),
    }
}

fn is_number(text: &str, fraction: bool) -> bool {
    let (whole, rest) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    digits(whole) && digits(rest) && (fraction || !text.contains('.'))
}
