//! UPDATE, DELETE and MERGE INTO, also after WITH.

use sqlparser::ast::{Expr, Ident, ObjectName, Query, SelectItem, SetExpr, With};

use super::columns::repeated;
use super::cursor::{Parser, QUERY_HEIGHT};
use crate::lexer::{Symbol, Token};
use crate::render::object_parts;
use crate::statement::{Assignment, ColumnRef, Dml, MergeAction, MergeClause, RowChange, Statement};
use crate::{Result, SqlError};

/// A query that gives several columns of SET is copied for each: the copies may have so many bytes together.
const MAX_COPIED: usize = 200_000;

impl Parser<'_> {
    /// True if UPDATE, DELETE FROM or MERGE INTO comes next.
    pub(super) fn starts_dml(&self) -> bool {
        let words = |first, second| self.is(first) && self.is_at(1, second);
        self.is("update") || words("delete", "from") || words("merge", "into")
    }

    /// UPDATE, DELETE or MERGE comes next; the queries of `with` were read before it.
    pub(super) fn dml(&mut self, with: Option<With>) -> Result<Statement> {
        // The query of the rows and the CASE around its conditions stand above what is read here.
        self.nested(2 * QUERY_HEIGHT, |p| {
            let (table, alias, change) = match () {
                () if p.is("update") => p.update()?,
                () if p.is("delete") => p.delete()?,
                () => p.merge_into()?,
            };
            Ok(Statement::Dml(Box::new(Dml { table, alias, with, change })))
        })
    }

    fn update(&mut self) -> Result<(ObjectName, Option<Ident>, RowChange)> {
        self.expect("update")?;
        let table = self.object_name()?;
        let alias = self.target_alias()?;
        self.expect("set")?;
        let set = self.assignments(&called(&table, alias.as_ref()))?;
        let from = if self.is("from") { self.leading_from()?.from } else { Vec::new() };
        let selection = self.selection()?;
        Ok((table, alias, RowChange::Update { set, from, selection }))
    }

    fn delete(&mut self) -> Result<(ObjectName, Option<Ident>, RowChange)> {
        self.expect("delete")?;
        self.expect("from")?;
        let table = self.object_name()?;
        let alias = self.target_alias()?;
        let partition = if self.is("partition") { self.partition_terms()? } else { Vec::new() };
        let selection = self.selection()?;
        Ok((table, alias, RowChange::Delete { partition, selection }))
    }

    fn merge_into(&mut self) -> Result<(ObjectName, Option<Ident>, RowChange)> {
        self.expect("merge")?;
        self.expect("into")?;
        let table = self.object_name()?;
        let alias = self.target_alias()?;
        self.expect("using")?;
        let source = Box::new(self.table()?);
        self.expect("on")?;
        let on = Box::new(self.expr()?);
        let name = called(&table, alias.as_ref());
        let mut clauses = Vec::new();
        while self.is("when") {
            let clause = self.merge_clause(&name)?;
            check_clause(&clauses, &clause)?;
            clauses.push(clause);
        }
        if clauses.is_empty() {
            return self.unexpected(Some("WHEN"));
        }
        Ok((table, alias, RowChange::Merge { source, on, clauses }))
    }

    /// `WHEN [NOT] MATCHED [AND condition] THEN …`
    fn merge_clause(&mut self, target: &str) -> Result<MergeClause> {
        let position = self.position();
        self.expect("when")?;
        let matched = !self.eat(&["not"]);
        self.expect("matched")?;
        if self.is("by") {
            return self.unsupported(position, "WHEN … MATCHED BY");
        }
        let condition = if self.eat(&["and"]) { Some(self.expr()?) } else { None };
        self.expect("then")?;
        let action = match matched {
            true if self.eat(&["delete"]) => MergeAction::Delete,
            true if self.eat(&["update", "set"]) => MergeAction::Update(self.assignments(target)?),
            true => return self.unexpected(Some("UPDATE SET or DELETE")),
            false => self.merge_insert()?,
        };
        Ok(MergeClause { position, condition, action })
    }

    /// `INSERT [(a, b)] VALUES (1, 2)`
    fn merge_insert(&mut self) -> Result<MergeAction> {
        self.expect("insert")?;
        let columns = if self.is_symbol(Symbol::LParen) { self.column_names()? } else { Vec::new() };
        self.expect("values")?;
        let values = self.parens(|p| {
            p.count_argument()?;
            p.expr()
        })?;
        Ok(MergeAction::Insert { columns, values })
    }

    /// The alias of the table that is changed.
    fn target_alias(&mut self) -> Result<Option<Ident>> {
        let position = self.position();
        let is_partition = self.is("partition") && self.symbol_at(1) == Some(Symbol::LParen);
        if self.is("set") || is_partition {
            return Ok(None);
        }
        match self.table_alias()? {
            Some(alias) if !alias.columns.is_empty() => {
                self.unsupported(position, "an alias with columns of a table that is changed")
            }
            alias => Ok(alias.map(|a| a.name)),
        }
    }

    fn selection(&mut self) -> Result<Option<Box<Expr>>> {
        Ok(if self.eat(&["where"]) { Some(Box::new(self.expr()?)) } else { None })
    }

    /// `a = 1, t.b = 2, (c, d) = (3, 4)`; SET has been read.
    fn assignments(&mut self, target: &str) -> Result<Vec<Assignment>> {
        let groups = self.list(|p| p.set_item(target))?;
        let set: Vec<Assignment> = groups.into_iter().flatten().collect();
        if let Some(i) = repeated(set.iter().map(|a| a.column.name.as_str())) {
            let ColumnRef { name, position } = &set[i].column;
            return Err(SqlError::semantic(*position, format!("column {name} is assigned more than once")));
        }
        Ok(set)
    }

    fn set_item(&mut self, target: &str) -> Result<Vec<Assignment>> {
        self.count_argument()?;
        let several = self.is_symbol(Symbol::LParen);
        let columns = match several {
            true => self.parens(|p| p.assigned_column(target))?,
            false => vec![self.assigned_column(target)?],
        };
        self.expect_symbol(Symbol::Eq, "'='")?;
        let first = self.peek();
        let value = self.expr()?;
        let values = if several { self.values_of(value, columns.len(), first)? } else { vec![value] };
        Ok(columns.into_iter().zip(values).map(|(column, value)| Assignment { column, value }).collect())
    }

    /// `a`, or `t.a` where `t` is what the statement calls the table.
    fn assigned_column(&mut self, target: &str) -> Result<ColumnRef> {
        let position = self.position();
        let mut parts = object_parts(&self.object_name()?);
        let name = parts.pop().unwrap_or_default();
        match parts.pop() {
            Some(of) if of != target || !parts.is_empty() => {
                let detail = format!("column {of}.{name} cannot be resolved: SET is for columns of {target}");
                Err(SqlError::semantic(position, detail))
            }
            _ => Ok(ColumnRef { name, position }),
        }
    }

    /// The values of `(a, b) = (1, 2)` and `(a, b) = (SELECT x, y …)`. `first` is the first token of the right side.
    fn values_of(&self, value: Expr, columns: usize, first: Token) -> Result<Vec<Expr>> {
        let values = match value {
            Expr::Tuple(values) => values,
            Expr::Subquery(query) => {
                if self.source_since(first).len().saturating_mul(columns) > MAX_COPIED {
                    let detail = "the query for several columns of SET is too long";
                    return Err(SqlError::semantic(first.position, detail));
                }
                match columns_of(&query) {
                    Some(values) => values,
                    None => return self.unsupported(first.position, "this query for several columns of SET"),
                }
            }
            value => vec![value],
        };
        if values.len() == columns {
            return Ok(values);
        }
        let detail = format!("SET names {columns} columns and has {} values for them", values.len());
        Err(SqlError::semantic(first.position, detail))
    }
}

/// What a statement calls the table that it changes.
fn called(table: &ObjectName, alias: Option<&Ident>) -> String {
    alias.map(|a| a.value.clone()).or_else(|| object_parts(table).pop()).unwrap_or_default()
}

/// A query for each column of `query`. Each is to find the same row, so there must be no choice.
fn columns_of(query: &Query) -> Option<Vec<Expr>> {
    let SetExpr::Select(select) = &*query.body else { return None };
    let is_plain = |item: &SelectItem| matches!(item, SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. });
    let chooses = query.limit_clause.is_some() || query.order_by.is_some();
    if chooses || select.distinct.is_some() || select.qualify.is_some() || !select.projection.iter().all(is_plain) {
        return None;
    }
    let one = |item: &SelectItem| {
        let mut one = query.clone();
        if let SetExpr::Select(select) = &mut *one.body {
            select.projection = vec![item.clone()];
        }
        Expr::Subquery(Box::new(one))
    };
    Some(select.projection.iter().map(one).collect())
}

/// ODPS-0130071 if `clause` repeats one of `before`, or no row can come to it.
fn check_clause(before: &[MergeClause], clause: &MergeClause) -> Result<()> {
    let is_insert = |c: &MergeClause| matches!(c.action, MergeAction::Insert { .. });
    let same = |c: &MergeClause| std::mem::discriminant(&c.action) == std::mem::discriminant(&clause.action);
    if before.iter().any(same) {
        let what = match clause.action {
            MergeAction::Update(_) => "UPDATE",
            MergeAction::Delete => "DELETE",
            MergeAction::Insert { .. } => "INSERT",
        };
        return Err(SqlError::semantic(clause.position, format!("MERGE has more than one {what}")));
    }
    if before.iter().any(|c| c.condition.is_none() && is_insert(c) == is_insert(clause)) {
        let detail = "no row comes to this WHEN: the one before it has no condition";
        return Err(SqlError::semantic(clause.position, detail));
    }
    Ok(())
}
