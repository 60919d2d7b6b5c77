//! Refuses the parts of a query that the engine does not act on.
//!
//! The planner ignores much of a syntax tree without a word, which would give wrong answers. So every field of every node
//! is named here: a field that a new sqlparser brings does not compile until someone has decided about it. (`..` stands
//! only in patterns of nodes that are refused whole.)

mod expr;

use sqlparser::ast::helpers::attached_token::AttachedToken;
use sqlparser::ast::{
    Cte, Distinct, ExceptSelectItem, Expr, ExprWithAlias, GroupByExpr, GroupByWithModifier, Join, JoinConstraint,
    JoinOperator, LimitClause, NamedWindowDefinition, NamedWindowExpr, ObjectName, Offset, OrderBy, OrderByExpr,
    OrderByKind, OrderByOptions, PivotValueSource, Query, ReplaceSelectElement, ReplaceSelectItem, Select,
    SelectFlavor, SelectItem, SelectItemQualifiedWildcardKind, SetExpr, SetOperator, SetQuantifier, Spanned,
    TableAlias, TableAliasColumnDef, TableFactor, TableVersion, TableWithJoins, Values, WildcardAdditionalOptions,
    With,
};
use sqlparser::tokenizer::Span;

use crate::{Position, Result, SqlError};
use expr::{check_expr, check_exprs, check_window};

/// ODPS-0121125 at the first part of `query` that the engine does not act on.
///
/// Everything that is accepted here changes the answer as MaxCompute documents it. Hints are accepted: none of them changes
/// an answer.
pub fn check_query(query: &Query) -> Result<()> {
    check(query)
}

/// A word that the tree keeps for its place.
struct Token<'a>(&'a AttachedToken);

impl Spanned for Token<'_> {
    fn span(&self) -> Span {
        self.0.0.span
    }
}

fn refuse<T>(at: impl Into<Position>, what: &str) -> Result<T> {
    Err(SqlError::unsupported(at.into(), what))
}

/// Refuses `what` if it is there.
fn absent<T: Spanned>(node: Option<&T>, what: &str) -> Result<()> {
    node.map_or(Ok(()), |n| refuse(n.span(), what))
}

/// Refuses the first of `parts` that is there. The place is where `node` begins; it is looked up only then, because a
/// span is found by walking the whole node.
fn first_of<T: Spanned + ?Sized>(node: &T, parts: &[(bool, &str)]) -> Result<()> {
    match parts.iter().find(|(there, _)| *there) {
        Some((_, what)) => refuse(node.span(), what),
        None => Ok(()),
    }
}

#[recursive::recursive]
fn check(query: &Query) -> Result<()> {
    let Query { with, body, order_by, limit_clause, fetch, locks, for_clause, settings, format_clause, pipe_operators } =
        query;
    if let Some(With { with_token: _, recursive, cte_tables }) = with {
        cte_tables.iter().try_for_each(check_cte)?;
        if *recursive {
            cte_tables.iter().try_for_each(check_recursive)?;
        }
    }
    check_body(body)?;
    if let Some(OrderBy { kind, interpolate }) = order_by {
        match kind {
            OrderByKind::Expressions(items) => check_order(items)?,
            OrderByKind::All(_) => return refuse(query.body.span(), "ORDER BY ALL"),
        }
        if interpolate.is_some() {
            return refuse(query.body.span(), "INTERPOLATE");
        }
    }
    match limit_clause {
        Some(LimitClause::LimitOffset { limit, offset, limit_by }) => {
            check_exprs(limit)?;
            if let Some(Offset { value, rows: _ }) = offset {
                check_expr(value)?;
            }
            absent(limit_by.first(), "LIMIT BY")?;
        }
        Some(LimitClause::OffsetCommaLimit { offset, limit }) => check_exprs([offset, limit])?,
        None => {}
    }
    let others = [
        (fetch.is_some(), "FETCH"),
        (!locks.is_empty(), "FOR UPDATE"),
        (for_clause.is_some(), "FOR"),
        (settings.is_some(), "SETTINGS"),
        (format_clause.is_some(), "FORMAT"),
        (!pipe_operators.is_empty(), "a pipe operator"),
    ];
    first_of(&**body, &others)
}

fn check_cte(cte: &Cte) -> Result<()> {
    let Cte { alias, query, from, materialized, closing_paren_token: _ } = cte;
    check_alias(Some(alias))?;
    let others = [(from.is_some(), "FROM after a WITH query"), (materialized.is_some(), "MATERIALIZED")];
    if let Some((_, what)) = others.iter().find(|(there, _)| *there) {
        return refuse(alias.name.span, what);
    }
    check(query)
}

/// Of a UNION in WITH RECURSIVE the planner takes the branches, and forgets what stands around them.
fn check_recursive(cte: &Cte) -> Result<()> {
    let Query { with, body, order_by, limit_clause, .. } = &*cte.query;
    if !matches!(&**body, SetExpr::SetOperation { op: SetOperator::Union, .. }) {
        return Ok(());
    }
    let around = [
        (with.is_some(), "WITH in a query of WITH RECURSIVE"),
        (order_by.is_some(), "ORDER BY in a query of WITH RECURSIVE"),
        (limit_clause.is_some(), "LIMIT in a query of WITH RECURSIVE"),
    ];
    match around.iter().find(|(there, _)| *there) {
        Some((_, what)) => refuse(cte.alias.name.span, what),
        None => Ok(()),
    }
}

#[recursive::recursive]
fn check_body(body: &SetExpr) -> Result<()> {
    match body {
        SetExpr::Select(select) => check_select(select),
        SetExpr::Query(query) => check(query),
        SetExpr::Values(Values { explicit_row: _, value_keyword: _, rows }) => {
            rows.iter().try_for_each(|row| check_exprs(&row.content))
        }
        SetExpr::SetOperation { left, op, set_quantifier, right } => {
            match op {
                SetOperator::Union | SetOperator::Intersect | SetOperator::Except => {}
                SetOperator::Minus => return refuse(right.span(), "MINUS"),
            }
            match set_quantifier {
                // The engine looks for each row of one side on the other, and forgets how often it has found it; the parser
                // writes these in another way.
                SetQuantifier::All if *op != SetOperator::Union => {
                    return refuse(right.span(), "INTERSECT ALL and EXCEPT ALL");
                }
                SetQuantifier::All | SetQuantifier::Distinct | SetQuantifier::None => {}
                SetQuantifier::ByName | SetQuantifier::AllByName | SetQuantifier::DistinctByName => {
                    return refuse(right.span(), "a set operation BY NAME");
                }
            }
            check_body(left)?;
            check_body(right)
        }
        SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) => {
            refuse(body.span(), "a change of data inside a query")
        }
        SetExpr::Table(_) => refuse(body.span(), "TABLE"),
    }
}

fn check_select(select: &Select) -> Result<()> {
    let Select {
        select_token,
        optimizer_hints: _,
        distinct,
        select_modifiers,
        top,
        top_before_distinct: _,
        projection,
        exclude,
        into,
        from,
        lateral_views,
        prewhere,
        selection,
        connect_by,
        group_by,
        cluster_by,
        distribute_by,
        sort_by,
        having,
        named_window,
        qualify,
        window_before_qualify: _,
        value_table_mode,
        flavor,
    } = select;
    let on = matches!(distinct, Some(Distinct::On(_)));
    let others = [
        (on, "DISTINCT ON"),
        (select_modifiers.is_some(), "a modifier of SELECT"),
        (top.is_some(), "TOP"),
        (exclude.is_some(), "EXCLUDE"),
        (into.is_some(), "SELECT INTO"),
        (value_table_mode.is_some(), "SELECT AS"),
        (!connect_by.is_empty(), "CONNECT BY"),
        (*flavor == SelectFlavor::FromFirstNoSelect, "FROM without SELECT"),
    ];
    first_of(&Token(select_token), &others)?;
    projection.iter().try_for_each(check_item)?;
    from.iter().try_for_each(check_tables)?;
    if let Some(view) = lateral_views.first() {
        return refuse(view.lateral_view.span(), "LATERAL VIEW");
    }
    absent(prewhere.as_ref(), "PREWHERE")?;
    check_exprs(selection)?;
    check_group_by(group_by)?;
    check_exprs(cluster_by)?;
    check_exprs(distribute_by)?;
    check_order(sort_by)?;
    check_exprs(having)?;
    named_window.iter().try_for_each(|NamedWindowDefinition(_, window)| match window {
        NamedWindowExpr::NamedWindow(_) => Ok(()),
        NamedWindowExpr::WindowSpec(window) => check_window(window),
    })?;
    check_exprs(qualify)
}

fn check_item(item: &SelectItem) -> Result<()> {
    match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, alias: _ } => check_expr(expr),
        SelectItem::ExprWithAliases { expr, aliases: _ } => refuse(expr.span(), "a table function with column aliases"),
        SelectItem::Wildcard(options) => check_wildcard(options),
        SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(_), options) => {
            check_wildcard(options)
        }
        SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::Expr(expr), _) => {
            refuse(expr.span(), "a star after an expression")
        }
    }
}

fn check_wildcard(options: &WildcardAdditionalOptions) -> Result<()> {
    let WildcardAdditionalOptions {
        wildcard_token,
        opt_ilike,
        opt_exclude,
        opt_except,
        opt_replace,
        opt_rename,
        opt_alias,
    } = options;
    if let Some(ExceptSelectItem { first_element: _, additional_elements: _ }) = opt_except {}
    if let Some(ReplaceSelectItem { items }) = opt_replace {
        for item in items {
            let ReplaceSelectElement { expr, column_name: _, as_keyword: _ } = &**item;
            check_expr(expr)?;
        }
    }
    let others = [
        (opt_ilike.is_some(), "* ILIKE"),
        (opt_exclude.is_some(), "* EXCLUDE"),
        (opt_rename.is_some(), "* RENAME"),
        (opt_alias.is_some(), "an alias for *"),
    ];
    first_of(&Token(wildcard_token), &others)
}

fn check_group_by(group_by: &GroupByExpr) -> Result<()> {
    match group_by {
        GroupByExpr::All(_) => refuse(group_by.span(), "GROUP BY ALL"),
        GroupByExpr::Expressions(items, modifiers) => {
            for item in items {
                match item {
                    Expr::GroupingSets(sets) | Expr::Cube(sets) | Expr::Rollup(sets) => {
                        check_exprs(sets.iter().flatten())?;
                    }
                    item => check_expr(item)?,
                }
            }
            modifiers.iter().try_for_each(|modifier| match modifier {
                GroupByWithModifier::Rollup | GroupByWithModifier::Cube => Ok(()),
                GroupByWithModifier::GroupingSets(Expr::GroupingSets(sets)) => check_exprs(sets.iter().flatten()),
                // The modifier itself has no place in the tree.
                GroupByWithModifier::GroupingSets(_) | GroupByWithModifier::Totals => {
                    refuse(items.last().map_or(Position::UNKNOWN, |e| e.span().into()), "this form of GROUP BY")
                }
            })
        }
    }
}

fn check_order(items: &[OrderByExpr]) -> Result<()> {
    items.iter().try_for_each(|item| {
        let OrderByExpr { expr, options: OrderByOptions { asc: _, nulls_first: _ }, with_fill } = item;
        check_expr(expr)?;
        first_of(expr, &[(with_fill.is_some(), "WITH FILL")])
    })
}

fn check_alias(alias: Option<&TableAlias>) -> Result<()> {
    let Some(TableAlias { explicit: _, name, columns, at }) = alias else { return Ok(()) };
    if at.is_some() {
        return refuse(name.span, "AT after an alias");
    }
    columns.iter().try_for_each(|TableAliasColumnDef { name, data_type }| match data_type {
        Some(_) => refuse(name.span, "a type in a column alias"),
        None => Ok(()),
    })
}

fn check_tables(tables: &TableWithJoins) -> Result<()> {
    let TableWithJoins { relation, joins } = tables;
    check_table(relation)?;
    joins.iter().try_for_each(check_join)
}

#[recursive::recursive]
fn check_table(table: &TableFactor) -> Result<()> {
    match table {
        TableFactor::Table {
            name: ObjectName(_),
            alias,
            args,
            with_hints,
            version,
            with_ordinality,
            partitions,
            json_path,
            sample,
            index_hints,
        } => {
            check_alias(alias.as_ref())?;
            let is_as_of = matches!(version, Some(TableVersion::TimestampAsOf(_) | TableVersion::VersionAsOf(_)));
            let others = [
                (args.is_some(), "a table function"),
                (version.is_some() && !is_as_of, "time travel of another kind than AS OF"),
                (sample.is_some(), "TABLESAMPLE"),
                (!with_hints.is_empty() || !index_hints.is_empty(), "a table hint"),
                (*with_ordinality, "WITH ORDINALITY"),
                (!partitions.is_empty(), "PARTITION after a table in FROM"),
                (json_path.is_some(), "a path after a table in FROM"),
            ];
            first_of(table, &others)
        }
        TableFactor::Derived { lateral, subquery, alias, sample } => {
            check_alias(alias.as_ref())?;
            first_of(&**subquery, &[(*lateral, "LATERAL"), (sample.is_some(), "TABLESAMPLE")])?;
            check(subquery)
        }
        TableFactor::NestedJoin { table_with_joins, alias } => {
            check_alias(alias.as_ref())?;
            check_tables(table_with_joins)
        }
        TableFactor::Function { lateral, name, args, with_ordinality, alias } => {
            check_alias(alias.as_ref())?;
            first_of(name, &[(!*lateral, "a table function in FROM"), (*with_ordinality, "WITH ORDINALITY")])?;
            args.iter().try_for_each(|arg| expr::check_argument(arg, name.span().into()))
        }
        TableFactor::TableFunction { .. } => refuse(table.span(), "a table function"),
        TableFactor::UNNEST { .. } => refuse(table.span(), "UNNEST"),
        TableFactor::JsonTable { .. } => refuse(table.span(), "JSON_TABLE"),
        TableFactor::OpenJsonTable { .. } => refuse(table.span(), "OPENJSON"),
        TableFactor::Pivot { table, aggregate_functions, value_column, value_source, default_on_null, alias } => {
            check_table(table)?;
            check_named(aggregate_functions)?;
            check_exprs(value_column)?;
            match value_source {
                PivotValueSource::List(values) => check_named(values)?,
                PivotValueSource::Any(_) | PivotValueSource::Subquery(_) => {
                    return refuse(table.span(), "PIVOT without a list of values");
                }
            }
            absent(default_on_null.as_ref(), "DEFAULT ON NULL")?;
            check_alias(alias.as_ref())
        }
        TableFactor::Unpivot { table, value, name: _, columns, null_inclusion: _, alias } => {
            check_table(table)?;
            check_expr(value)?;
            check_named(columns)?;
            check_alias(alias.as_ref())
        }
        TableFactor::MatchRecognize { .. } => refuse(table.span(), "MATCH_RECOGNIZE"),
        TableFactor::XmlTable { .. } => refuse(table.span(), "XMLTABLE"),
        TableFactor::SemanticView { .. } => refuse(table.span(), "SEMANTIC_VIEW"),
    }
}

fn check_named(exprs: &[ExprWithAlias]) -> Result<()> {
    exprs.iter().try_for_each(|ExprWithAlias { expr, alias: _ }| check_expr(expr))
}

fn check_join(join: &Join) -> Result<()> {
    let Join { relation, global, join_operator } = join;
    first_of(relation, &[(*global, "GLOBAL JOIN")])?;
    check_table(relation)?;
    let constraint = match join_operator {
        JoinOperator::Join(c)
        | JoinOperator::Inner(c)
        | JoinOperator::Left(c)
        | JoinOperator::LeftOuter(c)
        | JoinOperator::Right(c)
        | JoinOperator::RightOuter(c)
        | JoinOperator::FullOuter(c)
        | JoinOperator::LeftSemi(c)
        | JoinOperator::LeftAnti(c)
        | JoinOperator::CrossJoin(c @ JoinConstraint::None)
        // INTERSECT ALL and EXCEPT ALL.
        | JoinOperator::Semi(c @ JoinConstraint::None)
        | JoinOperator::Anti(c @ JoinConstraint::None) => c,
        JoinOperator::CrossJoin(_) => return refuse(relation.span(), "CROSS JOIN with a condition"),
        JoinOperator::Semi(_) | JoinOperator::RightSemi(_) => return refuse(relation.span(), "RIGHT SEMI JOIN"),
        JoinOperator::Anti(_) | JoinOperator::RightAnti(_) => return refuse(relation.span(), "RIGHT ANTI JOIN"),
        JoinOperator::CrossApply | JoinOperator::OuterApply => return refuse(relation.span(), "APPLY"),
        JoinOperator::AsOf { .. } => return refuse(relation.span(), "ASOF JOIN"),
        JoinOperator::StraightJoin(_) => return refuse(relation.span(), "STRAIGHT_JOIN"),
        JoinOperator::ArrayJoin | JoinOperator::LeftArrayJoin | JoinOperator::InnerArrayJoin => {
            return refuse(relation.span(), "ARRAY JOIN");
        }
    };
    match constraint {
        JoinConstraint::On(condition) => check_expr(condition),
        JoinConstraint::Using(_) | JoinConstraint::Natural | JoinConstraint::None => Ok(()),
    }
}
