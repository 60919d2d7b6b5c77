//! TABLESAMPLE behind a table or its alias: some of its rows. It becomes a subquery that chooses them.

use sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectNamePart, SetExpr, TableAlias, TableFactor,
};

use super::cursor::{Parser, QUERY_HEIGHT};
use crate::lexer::Kind;
use crate::{Result, SqlError};

/// Documented limit of columns behind ON.
const MAX_COLUMNS: usize = 10;

/// Documented limit of ROWS.
const MAX_ROWS: u32 = 10_000;

/// Which rows.
pub(super) enum Sample {
    /// One bucket of several, by the values of columns, or by chance without any.
    Bucket { part: u32, parts: u32, columns: Vec<Expr> },
    /// About so many of a hundred, by chance.
    Percent(f64),
    /// At most so many, by chance.
    Rows(u32),
}

impl Parser<'_> {
    /// Takes `TABLESAMPLE (…)`, if that comes next.
    pub(super) fn sample(&mut self) -> Result<Option<Sample>> {
        if !self.eat(&["tablesample"]) {
            return Ok(None);
        }
        self.open()?;
        let sample = if self.is("bucket") { self.bucket()? } else { self.share()? };
        self.close()?;
        Ok(Some(sample))
    }

    /// `BUCKET x OUT OF y ON column, …` or `… ON rand()`
    fn bucket(&mut self) -> Result<Sample> {
        self.expect("bucket")?;
        let at = self.position();
        let part = self.count(1)?;
        self.expect("out")?;
        self.expect("of")?;
        let parts = self.count(1)?;
        if part > parts {
            return Err(SqlError::semantic(at, format!("there is no bucket {part} of {parts}")));
        }
        if !self.eat(&["on"]) {
            return self.unsupported(at, "TABLESAMPLE (BUCKET …) without ON");
        }
        let at = self.position();
        let mut columns = self.list(Self::expr)?;
        if let [Expr::Function(call)] = columns.as_slice()
            && call.name.to_string().eq_ignore_ascii_case("rand")
            && matches!(&call.args, FunctionArguments::List(list) if list.args.is_empty())
        {
            columns.clear();
        }
        let is_column = |e: &Expr| matches!(e, Expr::Identifier(_) | Expr::CompoundIdentifier(_));
        if columns.len() > MAX_COLUMNS || !columns.iter().all(is_column) {
            let detail = format!("BUCKET … ON takes up to {MAX_COLUMNS} columns, or RAND()");
            return Err(SqlError::semantic(at, detail));
        }
        Ok(Sample::Bucket { part, parts, columns })
    }

    /// `n PERCENT` or `n ROWS`
    fn share(&mut self) -> Result<Sample> {
        let (at, token) = (self.position(), self.peek());
        if token.kind != Kind::Number {
            return self.unexpected(Some("BUCKET or a number"));
        }
        if self.is_at(1, "rows") {
            let rows = self.count(0)?;
            self.expect("rows")?;
            return match rows {
                0..=MAX_ROWS => Ok(Sample::Rows(rows)),
                _ => Err(SqlError::semantic(at, format!("TABLESAMPLE takes up to {MAX_ROWS} ROWS"))),
            };
        }
        let number = self.source(token).parse::<f64>();
        self.take();
        if !self.eat(&["percent"]) {
            return self.unexpected(Some("PERCENT or ROWS"));
        }
        match number {
            Ok(n) if (0.0..=100.0).contains(&n) => Ok(Sample::Percent(n)),
            _ => Err(SqlError::semantic(at, "TABLESAMPLE takes 0 to 100 PERCENT")),
        }
    }

    /// The rows of `table` that `sample` chooses, known as `alias`, or as the table.
    pub(super) fn sampled(
        &mut self,
        table: TableFactor,
        sample: Sample,
        alias: Option<TableAlias>,
    ) -> Result<TableFactor> {
        self.grow(QUERY_HEIGHT)?;
        let text = match &sample {
            Sample::Bucket { part, parts, .. } => format!("SELECT * FROM t WHERE sample({parts}, {part})"),
            Sample::Percent(n) => format!("SELECT * FROM t WHERE rand() < {}", n / 100.0),
            Sample::Rows(n) => format!("SELECT * FROM t ORDER BY rand() LIMIT {n}"),
        };
        let mut subquery = super::parse_query(&text)?;
        let own = match &table {
            TableFactor::Table { name, .. } => name.0.last().and_then(ObjectNamePart::as_ident).cloned(),
            _ => None,
        };
        let named = |name: Ident| TableAlias { explicit: true, name, columns: Vec::new(), at: None };
        let alias = alias.or_else(|| own.map(named));
        if let SetExpr::Select(select) = subquery.body.as_mut() {
            if let (Sample::Bucket { columns, .. }, Some(Expr::Function(call))) = (sample, &mut select.selection)
                && let FunctionArguments::List(list) = &mut call.args
            {
                list.args.extend(columns.into_iter().map(|c| FunctionArg::Unnamed(FunctionArgExpr::Expr(c))));
            }
            if let Some(from) = select.from.first_mut() {
                from.relation = table;
            }
        }
        Ok(TableFactor::Derived { lateral: false, subquery, alias, sample: None })
    }

    /// Refuses TABLESAMPLE behind what is no table, and a second one.
    pub(super) fn refuse_sample(&self) -> Result<()> {
        if self.is("tablesample") {
            return self.unsupported(self.position(), "TABLESAMPLE behind anything but the name of a table");
        }
        Ok(())
    }
}
