//! The select list and FROM: tables, subqueries, joins.

use sqlparser::ast::{
    ExceptSelectItem, FunctionArg, FunctionArgExpr, Ident, Join, JoinConstraint, JoinOperator, ObjectName, Query,
    ReplaceSelectElement, ReplaceSelectItem, Select, SelectItem, SelectItemQualifiedWildcardKind, SetExpr, TableAlias,
    TableFactor, TableFunctionArgs, TableVersion, TableWithJoins, WildcardAdditionalOptions,
};

use super::cursor::{JOIN_HEIGHT, MAX_RELATIONS, Parser};
use super::{lateral, words};
use crate::lexer::{Kind, Symbol, Token};
use crate::{Result, SqlError};

/// What stands in parentheses in FROM.
enum Parenthesised {
    Query(Box<Query>),
    Table(Box<TableFactor>),
}

impl Parser<'_> {
    pub(super) fn select_item(&mut self) -> Result<SelectItem> {
        self.count_argument()?;
        let first = self.peek();
        if self.is_symbol(Symbol::Star) {
            self.take();
            let item = SelectItem::Wildcard(self.wildcard_options(first)?);
            return self.refuse_alias().map(|()| item);
        }
        if let Some(name) = self.qualified_wildcard()? {
            let options = self.wildcard_options(first)?;
            self.refuse_alias()?;
            return Ok(SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), options));
        }
        let expr = self.expr()?;
        if self.eat(&["as"]) {
            if self.is_symbol(Symbol::LParen) {
                let aliases = self.parens(Self::ident)?;
                return Ok(SelectItem::ExprWithAliases { expr, aliases });
            }
            let token = self.peek();
            return Ok(SelectItem::ExprWithAlias { expr, alias: self.alias_of(token)? });
        }
        match self.bare_alias()? {
            Some(alias) => Ok(SelectItem::ExprWithAlias { expr, alias }),
            None => Ok(SelectItem::UnnamedExpr(expr)),
        }
    }

    /// A star takes no alias.
    fn refuse_alias(&self) -> Result<()> {
        if self.is("as") || self.peek_alias() { self.unexpected(None) } else { Ok(()) }
    }

    pub(super) fn peek_alias(&self) -> bool {
        let token = self.peek();
        match token.kind {
            Kind::Quoted | Kind::Text => true,
            Kind::Word => words::is_alias(self.source(token)) && !self.is_window_start(),
            _ => false,
        }
    }

    fn is_window_start(&self) -> bool {
        self.is("window") && self.is_name_at(1) && self.is_at(2, "as")
    }

    /// An alias without AS.
    fn bare_alias(&mut self) -> Result<Option<Ident>> {
        let token = self.peek();
        if self.peek_alias() { Ok(Some(self.alias_of(token)?)) } else { Ok(None) }
    }

    /// `[EXCEPT (a, b)] [REPLACE (e AS a)]` after a star.
    fn wildcard_options(&mut self, star: Token) -> Result<WildcardAdditionalOptions> {
        let mut options = WildcardAdditionalOptions { wildcard_token: self.attached(star), ..Default::default() };
        if self.is("except") && self.symbol_at(1) == Some(Symbol::LParen) && self.is_name_at(2) {
            self.take();
            let mut names = self.parens(Self::ident)?;
            let additional_elements = names.split_off(1);
            let first_element = names.swap_remove(0);
            options.opt_except = Some(ExceptSelectItem { first_element, additional_elements });
        }
        if self.is("replace") && self.symbol_at(1) == Some(Symbol::LParen) {
            self.take();
            let items = self.parens(|p| {
                let expr = p.expr()?;
                p.expect("as")?;
                Ok(Box::new(ReplaceSelectElement { expr, column_name: p.ident()?, as_keyword: true }))
            })?;
            options.opt_replace = Some(ReplaceSelectItem { items });
        }
        Ok(options)
    }

    pub(super) fn tables(&mut self, select: &mut Select) -> Result<()> {
        self.expect("from")?;
        self.hints(&mut select.optimizer_hints);
        loop {
            if self.is_unnest() {
                let before = match select.from.is_empty() {
                    true => vec![lateral::one_row(select)],
                    false => std::mem::take(&mut select.from),
                };
                let next = self.unnest(before, None)?;
                select.from.push(self.unnest_joins(next)?);
            } else {
                let next = self.table_with_joins()?;
                select.from.push(self.unnest_joins(next)?);
            }
            while self.is_lateral_view() {
                let before = std::mem::take(&mut select.from);
                let next = self.lateral_view(before)?;
                select.from.push(self.unnest_joins(next)?);
            }
            if !self.eat_symbol(Symbol::Comma) {
                return Ok(());
            }
        }
    }

    fn table_with_joins(&mut self) -> Result<TableWithJoins> {
        let relation = self.table()?;
        Ok(TableWithJoins { relation, joins: self.joins()? })
    }

    fn is_join(&self) -> bool {
        self.is_any(&["join", "inner", "left", "right", "full", "cross", "natural"])
    }

    pub(super) fn joins(&mut self) -> Result<Vec<Join>> {
        let mut joins = Vec::new();
        while self.is_join() && self.unnest_join().is_none() {
            joins.push(self.join()?);
        }
        Ok(joins)
    }

    fn join(&mut self) -> Result<Join> {
        let natural = self.eat(&["natural"]);
        if self.eat(&["cross"]) {
            self.expect("join")?;
            let relation = self.table()?;
            return Ok(Join { relation, global: false, join_operator: JoinOperator::CrossJoin(JoinConstraint::None) });
        }
        let kind = self.join_kind()?;
        self.expect("join")?;
        let relation = self.nested(0, |p| p.joined_table(natural))?;
        let constraint = if natural { JoinConstraint::Natural } else { self.join_constraint()? };
        Ok(Join { relation, global: false, join_operator: kind(constraint) })
    }

    /// The right side of a join. In `a JOIN b JOIN c ON … ON …` it is `b JOIN c ON …`.
    fn joined_table(&mut self, natural: bool) -> Result<TableFactor> {
        let relation = self.table()?;
        if natural || !self.is_join() || self.is_any(&["cross", "natural"]) {
            return Ok(relation);
        }
        self.joined(relation)
    }

    fn join_kind(&mut self) -> Result<fn(JoinConstraint) -> JoinOperator> {
        Ok(if self.eat(&["left"]) {
            match () {
                () if self.eat(&["semi"]) => JoinOperator::LeftSemi,
                () if self.eat(&["anti"]) => JoinOperator::LeftAnti,
                () => {
                    self.eat(&["outer"]);
                    JoinOperator::LeftOuter
                }
            }
        } else if self.eat(&["right"]) {
            self.eat(&["outer"]);
            JoinOperator::RightOuter
        } else if self.eat(&["full"]) {
            self.eat(&["outer"]);
            JoinOperator::FullOuter
        } else {
            self.eat(&["inner"]);
            JoinOperator::Inner
        })
    }

    fn join_constraint(&mut self) -> Result<JoinConstraint> {
        if self.eat(&["on"]) {
            return Ok(JoinConstraint::On(self.expr()?));
        }
        if !self.is("using") {
            return Ok(JoinConstraint::None);
        }
        let at = self.position();
        self.take();
        if !self.is_symbol(Symbol::LParen) {
            return self.unsupported(at, "JOIN … USING with a function (UDJ)");
        }
        let names = self.parens(|p| Ok(ObjectName::from(vec![p.ident()?])))?;
        Ok(JoinConstraint::Using(names))
    }

    /// A table with what turns its rows and columns.
    pub(super) fn table(&mut self) -> Result<TableFactor> {
        let table = self.plain_table()?;
        self.pivots(table)
    }

    /// A table, a subquery, VALUES, a table function or a join in parentheses.
    fn plain_table(&mut self) -> Result<TableFactor> {
        if self.is_symbol(Symbol::LParen) {
            return match self.parenthesised_table()? {
                Parenthesised::Query(query) => self.derived(false, query),
                Parenthesised::Table(table) => self.alias_for(*table),
            };
        }
        if self.is_symbol(Symbol::At) {
            return self.variable();
        }
        if self.is("lateral") && self.symbol_at(1) == Some(Symbol::LParen) {
            self.take();
            self.open()?;
            let query = self.query()?;
            self.close()?;
            return self.derived(true, query);
        }
        if self.is("values") && self.symbol_at(1) == Some(Symbol::LParen) {
            self.take();
            let rows = SetExpr::Values(self.rows()?);
            return self.derived(false, Box::new(plain_query(rows)));
        }
        self.named_table()
    }

    pub(super) fn derived(&mut self, lateral: bool, subquery: Box<Query>) -> Result<TableFactor> {
        self.count_relation()?;
        let alias = self.table_alias()?;
        self.refuse_table_tail()?;
        Ok(TableFactor::Derived { lateral, subquery, alias, sample: None })
    }

    /// `(…)` in FROM. Whether it is a query or a join shows only after its first element, so what has been read becomes
    /// one or the other; nothing is read twice.
    #[recursive::recursive]
    fn parenthesised_table(&mut self) -> Result<Parenthesised> {
        self.nested(0, |p| {
            p.open()?;
            let content = if p.starts_query() {
                Parenthesised::Query(p.query()?)
            } else if p.is_symbol(Symbol::LParen) {
                match p.parenthesised_table()? {
                    Parenthesised::Query(query) => p.after_inner_query(query)?,
                    Parenthesised::Table(table) => {
                        let table = p.alias_for(*table)?;
                        Parenthesised::Table(Box::new(p.joined(table)?))
                    }
                }
            } else {
                let table = p.table()?;
                Parenthesised::Table(Box::new(p.joined(table)?))
            };
            p.close()?;
            Ok(content)
        })
    }

    /// After `((SELECT …)` in FROM: a set operation, a closing parenthesis, or an alias and joins.
    fn after_inner_query(&mut self, query: Box<Query>) -> Result<Parenthesised> {
        if self.is_set_operator() || self.is_any(&["order", "limit"]) || self.is_symbol(Symbol::RParen) {
            return Ok(Parenthesised::Query(self.query_after(query)?));
        }
        let table = self.derived(false, query)?;
        Ok(Parenthesised::Table(Box::new(self.joined(table)?)))
    }

    /// `relation` with the joins that follow it.
    fn joined(&mut self, relation: TableFactor) -> Result<TableFactor> {
        let joins = self.joins()?;
        if joins.is_empty() {
            return Ok(relation);
        }
        self.grow(JOIN_HEIGHT)?;
        let table_with_joins = Box::new(TableWithJoins { relation, joins });
        Ok(TableFactor::NestedJoin { table_with_joins, alias: None })
    }

    /// Takes an alias for something in parentheses that has none of its own.
    fn alias_for(&mut self, mut table: TableFactor) -> Result<TableFactor> {
        let first = self.position();
        let Some(outer) = self.table_alias()? else { return Ok(table) };
        match &mut table {
            TableFactor::Table { alias: alias @ None, .. }
            | TableFactor::Derived { alias: alias @ None, .. }
            | TableFactor::NestedJoin { alias: alias @ None, .. } => *alias = Some(outer),
            _ => return Err(SqlError::parse(first, "the table in parentheses has an alias already")),
        }
        Ok(table)
    }

    /// `[AS] alias [(columns)]`
    pub(super) fn table_alias(&mut self) -> Result<Option<TableAlias>> {
        let explicit = self.eat(&["as"]);
        let name = if explicit {
            let token = self.peek();
            self.alias_of(token)?
        } else {
            match self.bare_alias()? {
                Some(name) => name,
                None => return Ok(None),
            }
        };
        let columns = if self.is_symbol(Symbol::LParen) { self.column_aliases()? } else { Vec::new() };
        Ok(Some(TableAlias { explicit, name, columns, at: None }))
    }

    fn named_table(&mut self) -> Result<TableFactor> {
        self.count_relation()?;
        let name = self.object_name()?;
        let args = if self.is_symbol(Symbol::LParen) { Some(self.table_arguments()?) } else { None };
        let version = self.table_version()?;
        let is_table = args.is_none();
        let sample = if is_table { self.sample()? } else { None };
        self.refuse_table_tail()?;
        let alias = self.table_alias()?;
        // Behind an alias, columns are named by that.
        let of_alias = if is_table && sample.is_none() { self.sample()? } else { None };
        self.refuse_table_tail()?;
        let table = |alias| TableFactor::Table {
            name,
            alias,
            args,
            with_hints: Vec::new(),
            version,
            with_ordinality: false,
            partitions: Vec::new(),
            json_path: None,
            sample: None,
            index_hints: Vec::new(),
        };
        match (sample, of_alias) {
            (Some(sample), _) => self.sampled(table(None), sample, alias),
            (None, Some(sample)) => {
                let shown = alias.clone().map(|alias| TableAlias { columns: Vec::new(), ..alias });
                self.sampled(table(alias), sample, shown)
            }
            (None, None) => Ok(table(alias)),
        }
    }

    fn count_relation(&mut self) -> Result<()> {
        self.relations += 1;
        if self.relations <= MAX_RELATIONS {
            return Ok(());
        }
        let detail = format!("more than {MAX_RELATIONS} tables and subqueries in FROM");
        Err(SqlError::semantic(self.position(), detail))
    }

    fn table_arguments(&mut self) -> Result<TableFunctionArgs> {
        self.open()?;
        let mut args = Vec::new();
        if !self.is_symbol(Symbol::RParen) {
            args = self.list(|p| Ok(FunctionArg::Unnamed(FunctionArgExpr::Expr(p.expr()?))))?;
        }
        self.close()?;
        Ok(TableFunctionArgs { args, settings: None })
    }

    /// `TIMESTAMP AS OF e`, `VERSION AS OF n`
    fn table_version(&mut self) -> Result<Option<TableVersion>> {
        if !self.is_any(&["timestamp", "version"]) {
            return Ok(None);
        }
        if self.is_at(1, "between") {
            return self.unsupported(self.position(), "an incremental query (VERSION BETWEEN)");
        }
        if self.eat(&["timestamp", "as", "of"]) {
            return Ok(Some(TableVersion::TimestampAsOf(self.expr_above(super::expr::NOT)?)));
        }
        if self.eat(&["version", "as", "of"]) {
            return Ok(Some(TableVersion::VersionAsOf(self.expr_above(super::expr::NOT)?)));
        }
        Ok(None)
    }

    /// What may follow a table in MaxCompute but has no place in our syntax tree.
    fn refuse_table_tail(&self) -> Result<()> {
        self.refuse_sample()?;
        if self.is("partition") && self.symbol_at(1) == Some(Symbol::LParen) {
            return self.unexpected(None);
        }
        Ok(())
    }
}

/// A query that is nothing but `body`.
pub(super) fn plain_query(body: SetExpr) -> Query {
    Query {
        with: None,
        body: Box::new(body),
        order_by: None,
        limit_clause: None,
        fetch: None,
        locks: Vec::new(),
        for_clause: None,
        settings: None,
        format_clause: None,
        pipe_operators: Vec::new(),
    }
}
