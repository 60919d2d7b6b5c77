//! Numbers with their suffixes, and binary literals.

use feitian_types::DataType;
use sqlparser::ast::{CastKind, Expr, UnaryOperator, Value};

use super::cursor::Parser;
use crate::literal::{self, Suffix};
use crate::{Result, SqlError, types};

impl Parser<'_> {
    /// A number; its minus sign, if any, has been read. `1L` is `CAST(1 AS BIGINT)`, so that the type stays visible.
    ///
    /// ODPS-0130161 if the value does not fit the type that the suffix names, or no type at all.
    pub(super) fn number(&mut self, negative: bool) -> Result<Expr> {
        let token = self.take();
        let source = self.source(token);
        let (digits, suffix) = literal::split_number(source);
        let span = self.span(token);
        let shown: String = source.chars().take(40).collect();
        let refuse = |why: &str| SqlError::parse(token.position, format!("invalid token '{shown}': {why}"));
        let ty = match suffix {
            Suffix::None => None,
            Suffix::TinyInt => Some((DataType::TinyInt, i64::from(i8::MAX))),
            Suffix::SmallInt => Some((DataType::SmallInt, i64::from(i16::MAX))),
            Suffix::BigInt => Some((DataType::BigInt, i64::MAX)),
            Suffix::Float => Some((DataType::Float, 0)),
            Suffix::Decimal => {
                let ty =
                    decimal_type(digits).ok_or_else(|| refuse("a decimal has at most 38 digits and no exponent"))?;
                // Through text: a DOUBLE on the way would lose digits.
                let text = if negative { format!("-{digits}") } else { digits.to_string() };
                return Ok(cast(Expr::Value(Value::SingleQuotedString(text).with_span(span)), &ty));
            }
        };
        if digits.parse::<f64>().is_ok_and(f64::is_infinite) {
            return Err(refuse("larger than any DOUBLE"));
        }
        let value = Expr::Value(Value::Number(digits.to_string(), false).with_span(span));
        let signed = if negative { Expr::UnaryOp { op: UnaryOperator::Minus, expr: Box::new(value) } } else { value };
        let Some((ty, max)) = ty else { return Ok(signed) };
        if ty.is_integer() {
            let limit = max as u64 + u64::from(negative);
            match digits.parse::<u64>() {
                Ok(n) if n <= limit => {}
                _ => return Err(refuse(&format!("not a {} value", ty.to_string().to_uppercase()))),
            }
        }
        Ok(cast(signed, &ty))
    }

    /// `X'6162'`
    pub(super) fn binary(&mut self) -> Result<Expr> {
        let token = self.take();
        match literal::hex_digits(self.source(token)) {
            Some(digits) => Ok(Expr::Value(Value::HexStringLiteral(digits).with_span(self.span(token)))),
            None => Err(SqlError::parse(token.position, "a binary literal holds hexadecimal digits only")),
        }
    }
}

fn cast(expr: Expr, ty: &DataType) -> Expr {
    let data_type = types::to_sql(ty);
    Expr::Cast { kind: CastKind::Cast, expr: Box::new(expr), data_type, array: false, format: None }
}

/// The narrowest DECIMAL that holds exactly these digits. `None` beyond 38 digits and for an exponent.
fn decimal_type(digits: &str) -> Option<DataType> {
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if !whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit()) {
        return None;
    }
    let whole = whole.trim_start_matches('0').len();
    let precision = u8::try_from(whole + fraction.len()).ok()?.max(1);
    (precision <= 38).then_some(DataType::Decimal(precision, fraction.len() as u8))
}
