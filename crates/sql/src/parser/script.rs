//! Script variables: `@name := SELECT …`, and later `FROM @name`; `@name [type] := value`, and later `@name` for the value.
//!
//! A variable of a query is read again wherever it is used, so that each limit of a statement counts what its variables
//! hold. What is no literal is computed once, by whoever runs the script, and known by a name that no user can write.

use feitian_types::DataType;
use sqlparser::ast::{
    CastKind, Expr, Function, FunctionArgumentList, FunctionArguments, Ident, ObjectName, Query, SelectItem, SetExpr,
    TableAlias, TableAliasColumnDef, TableFactor, Value,
};

use super::cursor::Parser;
use super::function;
use crate::lexer::{Kind, Symbol, Token};
use crate::statement::{AlterOp, AlterTable};
use crate::{Result, SqlError, Statement, types};

/// A script may read this many tokens of variables: what is read again costs again.
pub(super) const MAX_EXPANDED: usize = 50_000;

/// What a variable stands for.
pub(super) enum Holds<'a> {
    /// It was declared alone.
    Nothing,
    Query(&'a [Token]),
    /// A literal, as a value of the declared type if there is one.
    Literal(&'a [Token]),
    /// What an expression made: the name of the function that gives it, and its text, if it has one that can stand in
    /// PARTITION.
    Value {
        function: String,
        text: Option<String>,
    },
    /// The number of a LOOP.
    Number(i64),
    /// The rows of a query, as a table of this name.
    Cached(String),
}

/// `@name type` or `@name TABLE (column type, …)`
#[derive(Clone)]
pub(super) enum Declared {
    Scalar(DataType),
    Table(Vec<(String, DataType)>),
}

/// A variable from one assignment to the next.
pub(super) struct Variable<'a> {
    pub(super) name: String,
    pub(super) holds: Holds<'a>,
    pub(super) declared: Option<Declared>,
    /// How many statements stand before its assignment, or before that of a variable in its query.
    pub(super) since: usize,
}

/// `@name …` as it was read.
pub(super) struct Assignment {
    pub(super) name: String,
    pub(super) declared: Option<Declared>,
    pub(super) value: Assigned,
}

/// What stands behind `:=`: the number of tokens before it, or the value itself.
pub(super) enum Assigned {
    Nothing,
    Query(usize),
    Literal(usize),
    /// It is to be computed, as a value of the declared type if there is one.
    Computed(Box<Expr>),
    /// Its rows are to be kept.
    Cached(Box<Query>),
}

/// What a parser knows of the variables of its script.
#[derive(Clone, Copy, Default)]
pub(super) struct Variables<'a> {
    /// Those that were assigned before the text that is being read: a query sees the variables as they were then.
    known: &'a [Variable<'a>],
    /// Tokens of variables that the script has read so far.
    pub(super) expanded: usize,
    /// The statement has used some: the least [`Variable::since`] of them.
    pub(super) since: Option<usize>,
    /// The statement has used one that holds a value.
    values: bool,
    /// WITH has been read: its names would hide tables that a variable means.
    pub(super) with: bool,
}

impl<'a> Variables<'a> {
    pub(super) fn new(known: &'a [Variable<'a>], expanded: usize) -> Self {
        Self { known, expanded, ..Self::default() }
    }
}

impl<'a> Parser<'a> {
    /// `@name [type] [:= value]` or `@name TABLE (…) [:= query]`; `None` if another statement comes next.
    pub(super) fn assignment(&mut self) -> Result<Option<Assignment>> {
        if !self.is_symbol(Symbol::At) || !self.is_name_at(1) {
            return Ok(None);
        }
        let at = self.take().position;
        let name = self.name()?;
        let given = self.declaration()?;
        let before = self.variables.known.iter().rfind(|v| v.name == name).and_then(|v| v.declared.as_ref());
        let declares = given.is_some();
        let declared = given.or_else(|| before.cloned());
        if !self.eat_symbol(Symbol::Assign) {
            if !declares || self.peek().kind != Kind::End {
                return self.unexpected(Some("':='"));
            }
            return Ok(Some(Assignment { name, declared, value: Assigned::Nothing }));
        }
        if self.is("cache") && self.is_any_at(1, &["on", "with"]) {
            let value = Assigned::Cached(self.cache(declared.as_ref())?);
            return Ok(Some(Assignment { name, declared, value }));
        }
        let (begin, scalar) = (self.index(), matches!(declared, Some(Declared::Scalar(_))));
        let value = if self.is_literal_at(0) {
            self.expr()?;
            Assigned::Literal(begin)
        } else if self.is_query_at(0) && !scalar {
            self.query()?;
            Assigned::Query(begin)
        } else {
            Assigned::Computed(Box::new(self.expr()?))
        };
        self.expect_end()?;
        match (&declared, &value) {
            (Some(Declared::Table(_)), Assigned::Literal(_) | Assigned::Computed(_)) => {
                Err(SqlError::semantic(at, format!("variable @{name} holds a table, and its value is none")))
            }
            _ => Ok(Some(Assignment { name, declared, value })),
        }
    }

    /// `CACHE ON query`
    fn cache(&mut self, declared: Option<&Declared>) -> Result<Box<Query>> {
        let at = self.take().position;
        if !self.eat(&["on"]) {
            return self.unsupported(at, "CACHE WITH CACHEPROPERTIES");
        }
        let query = self.query()?;
        self.expect_end()?;
        match declared {
            Some(Declared::Table(columns)) => typed(query, columns),
            Some(Declared::Scalar(_)) => Err(SqlError::semantic(at, "CACHE ON is for variables that hold a table")),
            None => Ok(query),
        }
    }

    /// The type of a variable, or its columns, if one comes next.
    fn declaration(&mut self) -> Result<Option<Declared>> {
        if self.is("table") && self.symbol_at(1) == Some(Symbol::LParen) {
            self.take();
            let columns = self.parens(|p| Ok((p.name()?, p.data_type()?)))?;
            if let Some(i) = super::columns::repeated(columns.iter().map(|(name, _)| name.as_str())) {
                let detail = format!("column {} of a variable is repeated", columns[i].0);
                return Err(SqlError::semantic(self.position(), detail));
            }
            return Ok(Some(Declared::Table(columns)));
        }
        match self.peek().kind {
            Kind::Word => Ok(Some(Declared::Scalar(self.data_type()?))),
            _ => Ok(None),
        }
    }

    /// A text, a number with or without a minus, or a time, and nothing behind it.
    fn is_literal_at(&self, n: usize) -> bool {
        let is_minus = self.symbol_at(n) == Some(Symbol::Minus);
        let is_time = ["date", "datetime", "timestamp"].iter().any(|word| self.is_at(n, word));
        let last = n + usize::from(is_minus || is_time);
        let fits = match self.peek_at(last).kind {
            Kind::Number => !is_time,
            Kind::Text => !is_minus,
            _ => false,
        };
        fits && self.peek_at(last + 1).kind == Kind::End
    }

    /// Takes `@name`, which must hold a value.
    fn scalar(&mut self) -> Result<&'a Variable<'a>> {
        let (at, known) = (self.position(), self.variables.known);
        if known.is_empty() {
            return self.unsupported(at, "a script variable (@name)");
        }
        self.take();
        let name = self.name()?;
        match known.iter().rfind(|v| v.name == name) {
            Some(Variable { holds: Holds::Query(_) | Holds::Cached(_), .. }) => {
                self.unsupported(at, "a script variable that holds a query, outside FROM,")
            }
            Some(Variable { holds: Holds::Nothing, .. }) => {
                Err(SqlError::semantic(at, format!("variable @{name} has no value: nothing is assigned to it before")))
            }
            Some(found) => {
                self.variables.values = true;
                Ok(found)
            }
            None => Err(SqlError::semantic(
                at,
                format!("variable @{name} cannot be resolved: nothing is assigned to it before"),
            )),
        }
    }

    /// `@name` in an expression.
    pub(super) fn literal_variable(&mut self) -> Result<Expr> {
        if self.locals.is_some() {
            return self.local();
        }
        let first = self.peek();
        let found = self.scalar()?;
        let (expr, ty) = match &found.holds {
            Holds::Literal(tokens) => {
                let ty = match &found.declared {
                    Some(Declared::Scalar(ty)) => Some(ty.clone()),
                    _ => None,
                };
                let back = self.exchange(tokens, 0);
                let expr = self.expr();
                self.exchange(back.0, back.1);
                (expr?, ty)
            }
            Holds::Number(n) => {
                let number = Value::Number(n.to_string(), false).with_span(self.span(first));
                (Expr::Value(number), Some(DataType::BigInt))
            }
            Holds::Value { function: name, .. } => {
                let name = Ident::with_quote_and_span('`', self.span(first), name);
                let nothing = FunctionArgumentList { duplicate_treatment: None, args: Vec::new(), clauses: Vec::new() };
                let args = FunctionArguments::List(nothing);
                (Expr::Function(Function { args, ..function::bare(name) }), None)
            }
            Holds::Nothing | Holds::Query(_) | Holds::Cached(_) => return self.unexpected(Some("a value")),
        };
        let expr = Box::new(expr);
        Ok(match ty.map(|ty| types::to_sql(&ty)) {
            Some(data_type) => Expr::Cast { kind: CastKind::Cast, expr, data_type, array: false, format: None },
            None => *expr,
        })
    }

    /// `@name` as the value of a partition column.
    pub(super) fn partition_variable(&mut self) -> Result<String> {
        let at = self.position();
        let found = self.scalar()?;
        match &found.holds {
            Holds::Literal(tokens) => {
                let is_text = tokens.first().is_some_and(|first| first.kind == Kind::Text);
                if is_text && matches!(&found.declared, Some(Declared::Scalar(ty)) if !ty.is_text()) {
                    return self.unsupported(at, "a script variable that converts a text, in PARTITION,");
                }
                let back = self.exchange(tokens, 0);
                let value = self.partition_value();
                self.exchange(back.0, back.1);
                value
            }
            Holds::Number(n) => Ok(n.to_string()),
            Holds::Value { text: Some(text), .. } => Ok(text.clone()),
            _ => self.unsupported(at, "a script variable that is neither a text nor a whole number, in PARTITION,"),
        }
    }

    fn is_query_at(&self, n: usize) -> bool {
        let first = (n..).find(|n| self.symbol_at(*n) != Some(Symbol::LParen)).unwrap_or(n);
        ["select", "with", "values"].iter().any(|word| self.is_at(first, word))
    }

    /// `@name [[AS] alias]` in FROM: the variable's query in parentheses.
    pub(super) fn variable(&mut self) -> Result<TableFactor> {
        let (at, outer) = (self.position(), self.variables);
        if outer.known.is_empty() {
            return self.unsupported(at, "a script variable (@name)");
        }
        self.take();
        let ident = self.ident()?;
        let Some(index) = outer.known.iter().rposition(|v| v.name == ident.value) else {
            let detail = format!("variable @{} cannot be resolved: no query is assigned to it before", ident.value);
            return Err(SqlError::semantic(at, detail));
        };
        let Variable { holds, declared, since, .. } = &outer.known[index];
        if let Holds::Cached(table) = holds {
            return self.cached_rows(ident, table);
        }
        if outer.with {
            return self.unsupported(at, "a script variable in a statement with WITH");
        }
        let tokens = match holds {
            Holds::Query(tokens) => *tokens,
            Holds::Nothing => {
                let detail = format!("variable @{} has no rows: nothing is assigned to it before", ident.value);
                return Err(SqlError::semantic(at, detail));
            }
            _ => {
                return Err(SqlError::semantic(at, format!("variable @{} holds a value, and no table", ident.value)));
            }
        };
        let expanded = outer.expanded + tokens.len();
        if expanded > MAX_EXPANDED {
            let detail = format!("the uses of script variables have more than {MAX_EXPANDED} tokens together");
            return Err(SqlError::semantic(at, detail));
        }
        self.variables = Variables { known: &outer.known[..index], expanded, since: None, with: false, ..outer };
        let back = self.exchange(tokens, 0);
        let mut query = self.query()?;
        self.exchange(back.0, back.1);
        if let Some(Declared::Table(columns)) = declared {
            query = typed(query, columns)?;
        }
        let since = Some(outer.since.map_or(*since, |least| least.min(*since)));
        let values = self.variables.values;
        self.variables = Variables { expanded: self.variables.expanded, since, values, ..outer };
        let mut table = self.derived(false, query)?;
        if let TableFactor::Derived { alias: alias @ None, .. } = &mut table {
            *alias = Some(TableAlias { explicit: true, name: ident, columns: Vec::new(), at: None });
        }
        Ok(table)
    }

    /// The rows that a variable has kept in the table of this name.
    fn cached_rows(&mut self, ident: Ident, table: &str) -> Result<TableFactor> {
        self.variables.values = true;
        let mut query = super::parse_query("SELECT * FROM t")?;
        if let SetExpr::Select(select) = query.body.as_mut()
            && let Some(TableFactor::Table { name, .. }) = select.from.first_mut().map(|from| &mut from.relation)
        {
            *name = ObjectName::from(vec![Ident::with_quote_and_span('`', ident.span, table)]);
        }
        let mut rows = self.derived(false, query)?;
        if let TableFactor::Derived { alias: alias @ None, .. } = &mut rows {
            *alias = Some(TableAlias { explicit: true, name: ident, columns: Vec::new(), at: None });
        }
        Ok(rows)
    }

    /// Refuses what would mean another thing to a variable, which is read where it is used.
    pub(super) fn check_variables(&self, statement: &Statement) -> Result<()> {
        let uses = self.variables.since.is_some() || self.variables.values;
        let what = match statement {
            Statement::CreateView(_) | Statement::CreateMaterialized(_) if uses => "a view on a script variable",
            Statement::AlterTable(alter) if uses && is_of_query(alter) => "a view on a script variable",
            Statement::Use { .. } if !self.variables.known.is_empty() => "USE after a script variable",
            _ => return Ok(()),
        };
        self.unsupported(self.first_position(), what)
    }
}

/// The rows of `query` with these names and types of its columns.
fn typed(query: Box<Query>, columns: &[(String, DataType)]) -> Result<Box<Query>> {
    let mut outer = super::parse_query("SELECT 1 FROM (SELECT 1) AS t")?;
    let SetExpr::Select(select) = outer.body.as_mut() else { return Ok(query) };
    let name = |name: &str| Ident::with_quote('`', name);
    let item = |(column, ty): &(String, DataType)| {
        let expr = Box::new(Expr::Identifier(name(column)));
        let data_type = types::to_sql(ty);
        let expr = Expr::Cast { kind: CastKind::Cast, expr, data_type, array: false, format: None };
        SelectItem::ExprWithAlias { expr, alias: name(column) }
    };
    select.projection = columns.iter().map(item).collect();
    if let Some(TableFactor::Derived { subquery, alias: Some(alias), .. }) =
        select.from.first_mut().map(|from| &mut from.relation)
    {
        *subquery = query;
        let column = |(column, _): &(String, DataType)| TableAliasColumnDef { name: name(column), data_type: None };
        alias.columns = columns.iter().map(column).collect();
    }
    Ok(outer)
}

/// A view keeps its query as text.
fn is_of_query(alter: &AlterTable) -> bool {
    matches!(alter.op, AlterOp::SetQuery { .. })
}
