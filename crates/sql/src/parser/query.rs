//! Queries: WITH, set operations, SELECT and its clauses.

use sqlparser::ast::{
    Cte, Distinct, Expr, GroupByExpr, GroupByWithModifier, Ident, LimitClause, NamedWindowDefinition, NamedWindowExpr,
    Offset, OffsetRows, OptimizerHint, OptimizerHintStyle, OrderBy, OrderByExpr, OrderByKind, OrderByOptions, Parens,
    Query, Select, SelectFlavor, SetExpr, SetOperator, SetQuantifier, TableAlias, TableAliasColumnDef, Value, Values,
    With,
};

use super::cursor::{MAX_SET_BRANCHES, Parser, QUERY_HEIGHT};
use super::lateral;
use crate::lexer::{Kind, Symbol, Token};
use crate::{Result, SqlError};

/// VALUES may have this many cells: each takes about a KB until its row is written.
const MAX_CELLS: usize = 250_000;

impl Parser<'_> {
    pub(super) fn starts_query(&self) -> bool {
        self.starts_query_at(0)
    }

    pub(super) fn starts_query_at(&self, n: usize) -> bool {
        ["select", "with", "values", "from"].iter().any(|k| self.is_at(n, k))
    }

    pub(super) fn is_set_operator(&self) -> bool {
        self.is_any(&["union", "intersect", "except", "minus"])
    }

    /// A query, from WITH or SELECT to LIMIT.
    #[recursive::recursive]
    pub(crate) fn query(&mut self) -> Result<Box<Query>> {
        self.nested(QUERY_HEIGHT, |p| {
            let with = p.with()?;
            let body = p.set_operations(None)?;
            p.query_tail(with, body)
        })
    }

    /// If `first` is a subquery in parentheses and a set operator follows, the whole is a query: `((SELECT 1) UNION …)`.
    pub(super) fn set_operation_after(&mut self, first: Expr) -> Result<Expr> {
        match first {
            Expr::Subquery(query) if self.is_set_operator() => Ok(Expr::Subquery(self.query_after(query)?)),
            other => Ok(other),
        }
    }

    /// The query whose first operand, in parentheses, has been read.
    pub(super) fn query_after(&mut self, first: Box<Query>) -> Result<Box<Query>> {
        self.grow(QUERY_HEIGHT)?;
        let body = self.set_operations(Some(SetExpr::Query(first)))?;
        self.query_tail(None, body)
    }

    /// The query whose first SELECT, of FROM and SELECT in this order, has its tables already.
    pub(super) fn query_from(&mut self, tables: Select) -> Result<Box<Query>> {
        self.nested(QUERY_HEIGHT, |p| {
            let first = SetExpr::Select(Box::new(p.select_from(tables)?));
            let body = p.set_operations(Some(first))?;
            p.query_tail(None, body)
        })
    }

    pub(super) fn with(&mut self) -> Result<Option<With>> {
        if !self.is("with") {
            return Ok(None);
        }
        let token = self.take();
        let recursive = self.is("recursive") && self.is_name_at(1);
        if recursive {
            self.take();
        }
        self.variables.with = true;
        let cte_tables = self.list(Self::cte)?;
        Ok(Some(With { with_token: self.attached(token), recursive, cte_tables }))
    }

    fn cte(&mut self) -> Result<Cte> {
        let name = self.ident()?;
        let columns = if self.is_symbol(Symbol::LParen) { self.column_aliases()? } else { Vec::new() };
        self.expect("as")?;
        self.open()?;
        let query = self.query()?;
        let close = self.close()?;
        let alias = TableAlias { explicit: false, name, columns, at: None };
        Ok(Cte { alias, query, from: None, materialized: None, closing_paren_token: self.attached(close) })
    }

    /// `(a, b)`
    pub(super) fn column_aliases(&mut self) -> Result<Vec<TableAliasColumnDef>> {
        self.parens(|p| Ok(TableAliasColumnDef { name: p.ident()?, data_type: None }))
    }

    /// Operands joined by UNION, EXCEPT, MINUS and, binding tighter, INTERSECT. `first` has been read already.
    fn set_operations(&mut self, first: Option<SetExpr>) -> Result<SetExpr> {
        let mut left = self.intersections(first)?;
        loop {
            let op = match () {
                () if self.is("union") => SetOperator::Union,
                () if self.is_any(&["except", "minus"]) => SetOperator::Except,
                () => return Ok(left),
            };
            let set_quantifier = self.set_operator()?;
            let right = self.intersections(None)?;
            left = self.set_operation(left, op, set_quantifier, right)?;
        }
    }

    fn intersections(&mut self, first: Option<SetExpr>) -> Result<SetExpr> {
        let mut left = match first {
            Some(first) => first,
            None => self.set_operand()?,
        };
        while self.is("intersect") {
            let set_quantifier = self.set_operator()?;
            let right = self.set_operand()?;
            left = self.set_operation(left, SetOperator::Intersect, set_quantifier, right)?;
        }
        Ok(left)
    }

    /// Takes the operator, which comes next, and its quantifier.
    fn set_operator(&mut self) -> Result<SetQuantifier> {
        let token = self.take();
        self.set_operators += 1;
        if self.set_operators >= MAX_SET_BRANCHES {
            let detail = format!("more than {MAX_SET_BRANCHES} branches of UNION, INTERSECT or EXCEPT");
            return Err(SqlError::semantic(token.position, detail));
        }
        Ok(match () {
            () if self.eat(&["all"]) => SetQuantifier::All,
            () if self.eat(&["distinct"]) => SetQuantifier::Distinct,
            () => SetQuantifier::None,
        })
    }

    fn set_operand(&mut self) -> Result<SetExpr> {
        if self.is_any(&["select", "from"]) {
            return Ok(SetExpr::Select(Box::new(self.select()?)));
        }
        if self.eat(&["values"]) {
            return Ok(SetExpr::Values(self.rows()?));
        }
        if !self.is_symbol(Symbol::LParen) {
            return self.unexpected(Some("SELECT"));
        }
        self.open()?;
        let query = self.query()?;
        self.close()?;
        Ok(SetExpr::Query(query))
    }

    /// `(1, 'a'), (2, 'b')`; VALUES has been read.
    ///
    /// ODPS-0130071 beyond [`MAX_CELLS`].
    pub(super) fn rows(&mut self) -> Result<Values> {
        let mut cells = 0;
        let rows = self.list(|p| {
            let opening = p.open()?;
            let mut content = p.list(Self::expr)?;
            // Room for three more expressions in each of very many rows would be most of the memory.
            content.shrink_to_fit();
            cells += content.len();
            if cells > MAX_CELLS {
                let detail = format!("more than {MAX_CELLS} values in VALUES; use several statements, or the tunnel");
                return Err(SqlError::semantic(p.position(), detail));
            }
            let closing = p.close()?;
            Ok(Parens { opening_token: p.attached(opening), content, closing_token: p.attached(closing) })
        })?;
        Ok(Values { explicit_row: false, value_keyword: false, rows })
    }

    /// ORDER BY, CLUSTER BY, DISTRIBUTE BY, SORT BY, LIMIT.
    fn query_tail(&mut self, with: Option<With>, mut body: SetExpr) -> Result<Box<Query>> {
        let mut order_by = None;
        if self.eat(&["order", "by"]) {
            let kind = OrderByKind::Expressions(self.list(Self::order_item)?);
            order_by = Some(OrderBy { kind, interpolate: None });
        }
        self.distribution(&mut body, order_by.is_some())?;
        if self.is("zorder") && self.is_at(1, "by") {
            return self.unsupported(self.position(), "ZORDER BY");
        }
        let limit_clause = self.limit()?;
        Ok(Box::new(Query {
            with,
            body: Box::new(body),
            order_by,
            limit_clause,
            fetch: None,
            locks: Vec::new(),
            for_clause: None,
            settings: None,
            format_clause: None,
            pipe_operators: Vec::new(),
        }))
    }

    fn distribution(&mut self, body: &mut SetExpr, ordered: bool) -> Result<()> {
        if !self.is_any(&["cluster", "distribute", "sort"]) || !self.is_at(1, "by") {
            return Ok(());
        }
        let at = self.position();
        let SetExpr::Select(select) = body else {
            return self.unsupported(at, "CLUSTER BY, DISTRIBUTE BY or SORT BY after a set operation");
        };
        let clause = self.source(self.peek()).to_uppercase() + " BY";
        lateral::refuse_after_list(select, &clause, at)?;
        if ordered {
            return Err(SqlError::semantic(at, format!("ORDER BY and {clause} can not be in the same query")));
        }
        if self.eat(&["cluster", "by"]) {
            select.cluster_by = self.list(Self::expr)?;
            if !self.is_any(&["distribute", "sort"]) || !self.is_at(1, "by") {
                return Ok(());
            }
            let detail = "CLUSTER BY can not be in the same query as DISTRIBUTE BY or SORT BY";
            return Err(SqlError::semantic(self.position(), detail));
        }
        if self.eat(&["distribute", "by"]) {
            select.distribute_by = self.list(Self::expr)?;
        }
        if self.eat(&["sort", "by"]) {
            select.sort_by = self.list(Self::order_item)?;
        }
        Ok(())
    }

    fn limit(&mut self) -> Result<Option<LimitClause>> {
        if !self.eat(&["limit"]) {
            return Ok(None);
        }
        let first = self.limit_number()?;
        if self.eat_symbol(Symbol::Comma) {
            return Ok(Some(LimitClause::OffsetCommaLimit { offset: first, limit: self.limit_number()? }));
        }
        let offset = if self.eat(&["offset"]) {
            Some(Offset { value: self.limit_number()?, rows: OffsetRows::None })
        } else {
            None
        };
        Ok(Some(LimitClause::LimitOffset { limit: Some(first), offset, limit_by: Vec::new() }))
    }

    fn limit_number(&mut self) -> Result<Expr> {
        let token = self.peek();
        let digits = self.source(token);
        if token.kind != Kind::Number || digits.parse::<i64>().is_err() {
            return self.unexpected(Some("a whole number"));
        }
        self.take();
        Ok(Expr::Value(Value::Number(digits.to_string(), false).with_span(self.span(token))))
    }

    pub(super) fn order_item(&mut self) -> Result<OrderByExpr> {
        self.count_argument()?;
        let expr = self.expr()?;
        let asc = match () {
            () if self.eat(&["asc"]) => Some(true),
            () if self.eat(&["desc"]) => Some(false),
            () => None,
        };
        let nulls_first = match () {
            () if self.eat(&["nulls", "first"]) => Some(true),
            () if self.eat(&["nulls", "last"]) => Some(false),
            () => None,
        };
        Ok(OrderByExpr { expr, options: OrderByOptions { asc, nulls_first }, with_fill: None })
    }

    /// SELECT up to WINDOW; FROM may stand first.
    fn select(&mut self) -> Result<Select> {
        if self.is("from") {
            let tables = self.leading_from()?;
            if self.is("insert") {
                return self.unexpected(Some("SELECT"));
            }
            return self.select_from(tables);
        }
        let select = empty_select(self.attached(self.peek()));
        self.select_from(select)
    }

    /// FROM and its tables, before the SELECT that reads them.
    pub(super) fn leading_from(&mut self) -> Result<Select> {
        let mut select = empty_select(self.attached(self.peek()));
        select.flavor = SelectFlavor::FromFirst;
        self.tables(&mut select)?;
        Ok(select)
    }

    /// SELECT up to WINDOW; the tables of `select` have been read if FROM stood first.
    pub(super) fn select_from(&mut self, mut select: Select) -> Result<Select> {
        self.expect("select")?;
        self.hints(&mut select.optimizer_hints);
        if self.eat(&["distinct"]) {
            select.distinct = Some(Distinct::Distinct);
        } else {
            self.eat(&["all"]);
        }
        select.projection = self.list(Self::select_item)?;
        if select.flavor == SelectFlavor::Standard && self.is("from") {
            self.tables(&mut select)?;
        }
        self.filters(&mut select)?;
        lateral::lift_from_list(&mut select)?;
        Ok(select)
    }

    /// WHERE to WINDOW.
    fn filters(&mut self, select: &mut Select) -> Result<()> {
        if self.eat(&["where"]) {
            select.selection = Some(self.expr()?);
        }
        if self.eat(&["group", "by"]) {
            select.group_by = self.group_by()?;
        }
        if self.eat(&["having"]) {
            select.having = Some(self.expr()?);
        }
        if self.is_window_clause() {
            select.named_window = self.named_windows()?;
            select.window_before_qualify = true;
        }
        if self.eat(&["qualify"]) {
            select.qualify = Some(self.expr()?);
        }
        if select.named_window.is_empty() && self.is_window_clause() {
            select.named_window = self.named_windows()?;
        }
        Ok(())
    }

    fn is_window_clause(&self) -> bool {
        self.is("window") && self.is_name_at(1) && self.is_at(2, "as")
    }

    fn named_windows(&mut self) -> Result<Vec<NamedWindowDefinition>> {
        self.expect("window")?;
        self.list(|p| {
            let name = p.ident()?;
            p.expect("as")?;
            let window = if p.is_symbol(Symbol::LParen) {
                NamedWindowExpr::WindowSpec(p.window()?)
            } else {
                NamedWindowExpr::NamedWindow(p.ident()?)
            };
            Ok(NamedWindowDefinition(name, window))
        })
    }

    pub(super) fn hints(&mut self, hints: &mut Vec<OptimizerHint>) {
        while self.peek().kind == Kind::Hint {
            let token = self.take();
            let source = self.source(token);
            let text = source.get(3..source.len() - 2).unwrap_or_default();
            let style = OptimizerHintStyle::MultiLine;
            hints.push(OptimizerHint { prefix: String::new(), text: text.to_string(), style });
        }
    }

    fn group_by(&mut self) -> Result<GroupByExpr> {
        let items = self.list(Self::group_item)?;
        let mut modifiers = Vec::new();
        if self.eat(&["grouping", "sets"]) {
            modifiers.push(GroupByWithModifier::GroupingSets(Expr::GroupingSets(self.grouping_sets()?)));
        } else if self.eat(&["with", "rollup"]) {
            modifiers.push(GroupByWithModifier::Rollup);
        } else if self.eat(&["with", "cube"]) {
            modifiers.push(GroupByWithModifier::Cube);
        }
        Ok(GroupByExpr::Expressions(items, modifiers))
    }

    fn group_item(&mut self) -> Result<Expr> {
        self.count_argument()?;
        if self.eat(&["grouping", "sets"]) {
            return Ok(Expr::GroupingSets(self.grouping_sets()?));
        }
        let calls = self.symbol_at(1) == Some(Symbol::LParen);
        if calls && self.eat(&["rollup"]) {
            return Ok(Expr::Rollup(self.grouping_sets()?));
        }
        if calls && self.eat(&["cube"]) {
            return Ok(Expr::Cube(self.grouping_sets()?));
        }
        self.expr()
    }

    /// `((a, b), c, ())`
    fn grouping_sets(&mut self) -> Result<Vec<Vec<Expr>>> {
        self.parens(|p| {
            if p.is_symbol(Symbol::LParen) && p.symbol_at(1) == Some(Symbol::RParen) {
                p.open()?;
                p.close()?;
                return Ok(Vec::new());
            }
            match p.expr()? {
                Expr::Tuple(items) => Ok(items),
                Expr::Nested(item) => Ok(vec![*item]),
                item => Ok(vec![item]),
            }
        })
    }

    /// An alias: a name, or a string.
    pub(super) fn alias_of(&mut self, token: Token) -> Result<Ident> {
        if token.kind == Kind::Text {
            let value = self.string()?.to_lowercase();
            return Ok(Ident::with_quote_and_span('`', self.span(token), value));
        }
        self.ident()
    }
}

pub(super) fn empty_select(token: sqlparser::ast::helpers::attached_token::AttachedToken) -> Select {
    Select {
        select_token: token,
        optimizer_hints: Vec::new(),
        distinct: None,
        select_modifiers: None,
        top: None,
        top_before_distinct: false,
        projection: Vec::new(),
        exclude: None,
        into: None,
        from: Vec::new(),
        lateral_views: Vec::new(),
        prewhere: None,
        selection: None,
        connect_by: Vec::new(),
        group_by: GroupByExpr::Expressions(Vec::new(), Vec::new()),
        cluster_by: Vec::new(),
        distribute_by: Vec::new(),
        sort_by: Vec::new(),
        having: None,
        named_window: Vec::new(),
        qualify: None,
        window_before_qualify: false,
        value_table_mode: None,
        flavor: SelectFlavor::Standard,
    }
}
