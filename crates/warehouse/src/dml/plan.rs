//! From the query that finds the rows to the plan that gives new ones: the action and the place of the old row, then the
//! columns of the table, then its partition columns.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::common::Column as PlanColumn;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::expr::Case;
use datafusion::logical_expr::{Expr, Filter, LogicalPlan, Projection, lit};
use feitian_base::{Error, Result};
use feitian_sql::{Assignment, ColumnRef, Dml, MergeAction, Position, RowChange};
use feitian_types::Column;
use sqlparser::ast::{Expr as SyntaxExpr, Spanned};

use super::query::{place_of, query, refuse};
use crate::auto_partition::AutoPartition;
use crate::catalog::OpenTable;
use crate::insert::default_value;
use crate::keys::key_of;
use crate::query::{Pinned, Planned, Session, convert_column, errors, hints, plan_change, type_of_column};

/// What happens to a row.
pub(super) const UPDATE: &str = "update";
pub(super) const DELETE: &str = "delete";
pub(super) const INSERT: &str = "insert";

/// Where the columns of the plan's rows are; the values of the new row are the last ones.
pub(super) const ACTION_AT: usize = 0;
pub(super) const FILE_AT: usize = 1;
pub(super) const ROW_AT: usize = 2;
pub(super) const VALUES: usize = 3;

const ACTION_COLUMN: &str = "__feitian_does";

/// What a statement says of the values of new rows: its `values` are those of `set`, then those of `inserted`.
struct Given<'a> {
    set: Option<&'a [Assignment]>,
    inserted: Option<(Vec<&'a ColumnRef>, &'a [SyntaxExpr])>,
    /// Each condition decides for the values of its own branch.
    is_merge: bool,
    /// The place of the statement's table.
    at: Position,
}

impl<'a> Given<'a> {
    fn of(dml: &'a Dml) -> Self {
        let at = Position::from(dml.table.span());
        match &dml.change {
            RowChange::Update { set, .. } => Self { set: Some(set.as_slice()), inserted: None, is_merge: false, at },
            RowChange::Delete { .. } => Self { set: None, inserted: None, is_merge: false, at },
            RowChange::Merge { clauses, .. } => {
                let mut given = Self { set: None, inserted: None, is_merge: true, at };
                for clause in clauses {
                    match &clause.action {
                        MergeAction::Update(set) => given.set = Some(set.as_slice()),
                        MergeAction::Insert { columns, values } => {
                            given.inserted = Some((columns.iter().collect(), values.as_slice()));
                        }
                        MergeAction::Delete => {}
                    }
                }
                given
            }
        }
    }

    /// Where the first value of an INSERT stands among the values.
    fn first_inserted(&self) -> usize {
        self.set.map_or(0, <[_]>::len)
    }
}

/// Plans `dml` over `table`, with other tables as `pinned` has them.
pub(super) async fn plan(
    session: &Session,
    state: &SessionState,
    dml: &Dml,
    table: &OpenTable,
    pinned: &mut Pinned,
) -> Result<Planned> {
    let given = Given::of(dml);
    check_assigned(&given, table)?;
    let inserted = inserted_columns(&given, table)?;
    let auto = AutoPartition::of(&table.row);
    let Planned { plan, tables } = plan_change(session, state, query(dml, table)?, table, pinned).await?;
    let found = found(plan, &given, table)?;
    let names: Vec<&Column> = table.row.schema.all_columns().collect();
    let mut exprs = vec![column(&found, ACTION_AT), column(&found, FILE_AT), column(&found, ROW_AT)];
    let first_old = found.schema().fields().len() - names.len();
    let mut parted = None;
    for (i, to) in names.into_iter().enumerate() {
        if given.set.is_none() && given.inserted.is_none() {
            break;
        }
        let old = column(&found, first_old + i);
        let set = given.set.unwrap_or_default().iter().position(|a| a.column.name == to.name);
        let updated = match set {
            Some(k) => converted(&found, VALUES + k, to, given.at)?,
            None => old,
        };
        let new = match inserted.get(to.name.as_str()) {
            _ if given.inserted.is_none() => None,
            Some(k) => Some(converted(&found, VALUES + given.first_inserted() + k, to, given.at)?),
            None => Some(match auto.as_ref().and_then(|a| a.arrival(to, session.statement_ms())) {
                Some(now) => now,
                None => default_value(session, state, to).await?,
            }),
        };
        let (updated, new) = match &auto {
            Some(auto) if auto.source == to.name => {
                let moved = if set.is_some() { Some(auto.value(updated.clone())?) } else { None };
                parted = Some((moved, new.clone().map(|new| auto.value(new)).transpose()?));
                (updated, new)
            }
            // The partition column, which follows the others.
            Some(_) if i >= table.row.schema.columns.len() => {
                let (moved, new) = parted.take().unwrap_or_default();
                (moved.unwrap_or(updated), new)
            }
            _ => (updated, new),
        };
        let value = match (new, given.set) {
            (None, _) => updated,
            (Some(new), None) => new,
            (Some(new), Some(_)) => case(&found, INSERT, new, Some(updated)),
        };
        exprs.push(value.alias(&to.name));
    }
    Ok(Planned { plan: project(exprs, found)?, tables })
}

/// The rows that change, each with its action and place, the values of the statement and the columns of the old row.
fn found(plan: LogicalPlan, given: &Given<'_>, table: &OpenTable) -> Result<LogicalPlan> {
    let LogicalPlan::Projection(Projection { expr, input, .. }) = plan else {
        return Err(Error::internal("the query of a change is no projection"));
    };
    let mut listed = expr.into_iter().map(Expr::unalias);
    let (Some(action), Some(file), Some(Expr::Column(row))) = (listed.next(), listed.next(), listed.next()) else {
        return Err(Error::internal("the query of a change has no places"));
    };
    let values: Vec<Expr> = listed.collect();
    check_inserted(&values, given, &row)?;
    // Decided once for each row: the values ask for it, and a condition may give another answer when it is asked again.
    let all = input.schema().iter().map(|(qualifier, field)| Expr::Column(PlanColumn::from((qualifier, field))));
    let mut exprs: Vec<Expr> = all.collect();
    exprs.push(action.alias(ACTION_COLUMN));
    let decided = project(exprs, Arc::unwrap_or_clone(input))?;
    let does = Expr::Column(PlanColumn::from_name(ACTION_COLUMN));
    let changes = Filter::try_new(does.clone().is_not_null(), Arc::new(decided)).map_err(errors::engine)?;
    let changes = LogicalPlan::Filter(changes);
    let mut exprs = vec![does, file, Expr::Column(row.clone())];
    for (i, value) in values.into_iter().enumerate() {
        let action = if i < given.first_inserted() { UPDATE } else { INSERT };
        let value = match given.is_merge && !matches!(value, Expr::Literal(..)) {
            // Only for the rows that come to its branch: for another one it may be an error.
            true => case_of(Expr::Column(PlanColumn::from_name(ACTION_COLUMN)), action, value, None),
            false => value,
        };
        exprs.push(value.alias(format!("__feitian_{i}")));
    }
    let old = table.row.schema.all_columns().map(|c| Expr::Column(PlanColumn::new(row.relation.clone(), &c.name)));
    exprs.extend(old);
    project(exprs, changes)
}

fn project(exprs: Vec<Expr>, input: LogicalPlan) -> Result<LogicalPlan> {
    Projection::try_new(exprs, Arc::new(input)).map(LogicalPlan::Projection).map_err(errors::engine)
}

fn column(plan: &LogicalPlan, index: usize) -> Expr {
    Expr::Column(PlanColumn::from(plan.schema().qualified_field(index)))
}

/// `value` for rows of `found` with this action, `otherwise` for others.
fn case(found: &LogicalPlan, action: &str, value: Expr, otherwise: Option<Expr>) -> Expr {
    case_of(column(found, ACTION_AT), action, value, otherwise)
}

fn case_of(does: Expr, action: &str, value: Expr, otherwise: Option<Expr>) -> Expr {
    let when = vec![(Box::new(does.eq(lit(action))), Box::new(value))];
    Expr::Case(Case::new(None, when, otherwise.map(Box::new)))
}

fn converted(plan: &LogicalPlan, index: usize, to: &Column, at: Position) -> Result<Expr> {
    if let Some(expr) = convert_column(plan, index, to)? {
        return Ok(expr);
    }
    let (has, wants) = (type_of_column(plan, index), to.ty.to_string().to_uppercase());
    refuse(at, format!("a value has incompatible type {has} with column {}, which has type {wants}; use CAST", to.name))
}

fn shown(table: &OpenTable) -> String {
    format!("{}.{}", table.row.project, table.row.local_name())
}

/// Refuses SET of what is no data column, and of the primary key.
fn check_assigned(given: &Given<'_>, table: &OpenTable) -> Result<()> {
    let schema = &table.row.schema;
    let key = key_of(&table.row);
    for Assignment { column: ColumnRef { name, position }, .. } in given.set.unwrap_or_default() {
        if schema.partition_columns.iter().any(|c| c.name == *name) {
            return refuse(
                *position,
                format!("{name} is a partition column of {}, it cannot be updated", shown(table)),
            );
        }
        if !schema.columns.iter().any(|c| c.name == *name) {
            return refuse(*position, format!("column {name} cannot be resolved in table {}", shown(table)));
        }
        if key.iter().any(|c| c.name == *name) {
            let detail = format!("column {name} is in the primary key of {}, it cannot be updated", shown(table));
            return refuse(*position, detail);
        }
    }
    Ok(())
}

/// For each column that MERGE's INSERT gives, which of its values it is.
fn inserted_columns<'a>(given: &Given<'a>, table: &'a OpenTable) -> Result<HashMap<&'a str, usize>> {
    let Some((listed, values)) = &given.inserted else { return Ok(HashMap::new()) };
    let at = values.first().map_or(given.at, |v| place_of(v, given.at));
    let schema = &table.row.schema;
    // A partition that a column decides is not for the statement to give.
    let open: &[Column] = if AutoPartition::of(&table.row).is_some() { &[] } else { &schema.partition_columns };
    let known = || schema.columns.iter().chain(open);
    let names: Vec<&str> = match listed.is_empty() {
        true => known().map(|c| c.name.as_str()).collect(),
        false => listed.iter().map(|c| c.name.as_str()).collect(),
    };
    if let Some(unknown) = listed.iter().find(|c| !known().any(|has| has.name == c.name)) {
        let detail = format!("column {} cannot be resolved in table {}", unknown.name, shown(table));
        return refuse(unknown.position, detail);
    }
    if let Some(missing) = open.iter().find(|c| !names.contains(&c.name.as_str())) {
        return refuse(at, format!("INSERT must give partition column {} a value", missing.name));
    }
    if names.len() != values.len() {
        let (has, needs) = (values.len(), names.len());
        let list = hints::list(&names);
        return refuse(at, format!("wrong columns count {has} in VALUES, requires {needs} columns: {list}"));
    }
    Ok(names.into_iter().enumerate().map(|(i, name)| (name, i)).collect())
}

/// Refuses what INSERT of MERGE takes from the table: there is no row of it.
fn check_inserted(values: &[Expr], given: &Given<'_>, row: &PlanColumn) -> Result<()> {
    let Some((_, syntax)) = &given.inserted else { return Ok(()) };
    for (value, syntax) in values[given.first_inserted()..].iter().zip(*syntax) {
        if let Some(column) = value.column_refs().into_iter().find(|c| c.relation == row.relation) {
            let detail = format!("INSERT of MERGE cannot use column {} of the table: nothing matches", column.name);
            return refuse(place_of(syntax, given.at), detail);
        }
    }
    Ok(())
}
