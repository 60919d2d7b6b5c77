//! ALTER TABLE and ALTER VIEW.

use std::collections::BTreeSet;

use feitian_base::{Kind, Result, clock};
use feitian_functions::is_plain_widening;
use feitian_meta::{Partition, Table, split_local_name};
use feitian_sql::{AlterOp, AlterTable, Place, Position, SqlError};
use feitian_types::arrow::engine_type;
use feitian_types::{Column, DataType, TableSchema};
use serde_json::{Map, Value, json};
use sqlparser::ast::{ObjectName, Spanned};

use super::create::{CLUSTERING, check_arrival, check_columns, check_comment, clustering_text, set_query};
use super::rewrite::{Source, rewrite};
use super::{check_name, open, partitions, update_row};
use crate::auto_partition::AutoPartition;
use crate::blooms::{BLOOMS, blooms_of, check_blooms, is_blooms};
use crate::catalog::OpenTable;
use crate::commit::Change;
use crate::external;
use crate::keys::{PRIMARY_KEY, check_key_property, key_of};
use crate::materialized;
use crate::query::errors::{self, semantic, statement_error};
use crate::query::{Session, names, rights};

/// The table property that keeps the storage tiers of partitions.
pub(super) const TIERS: &str = "feitian.tiers";

/// The table property that keeps the partitions whose lifecycle is off: when each of them was made, by its spec.
pub(crate) const LIFECYCLE_OFF: &str = "feitian.lifecycle_off";

/// Rows of one key may be there already, or come while nobody looks.
const SWITCH: &str = "another value of 'transactional' of a table with PRIMARY KEY";

/// Runs one ALTER statement.
pub(super) async fn run(session: &Session, alter: AlterTable, index: i64) -> Result<()> {
    let name = &alter.name;
    let at = Position::from(name.span());
    let table = open(session, name).await?;
    let is_view = table.row.view_text.is_some();
    if of_its_kind(session, &table, &alter, index).await? {
        return Ok(());
    }
    let shapes = matches!(
        alter.op,
        AlterOp::AddColumns { .. }
            | AlterOp::ReplaceColumns { .. }
            | AlterOp::DropColumns { .. }
            | AlterOp::RenameColumn { .. }
            | AlterOp::ChangeColumn { .. }
            | AlterOp::DropNotNull { .. }
    );
    if is_view && alter.view && shapes {
        // Its query makes them.
        return Err(errors::front_end(SqlError::unsupported(at, "another change of a view's columns than COMMENT")));
    }
    if alter.view != is_view && !matches!(alter.op, AlterOp::SetColumnComment { .. }) {
        let (has, use_) = if is_view { ("a view", "ALTER VIEW") } else { ("a table", "ALTER TABLE") };
        let detail = format!("{}.{} is {has}, use {use_}", table.row.project, table.row.local_name());
        return Err(super::invalid_view(at, detail));
    }
    match alter.op {
        AlterOp::AddColumns { .. }
        | AlterOp::ReplaceColumns { .. }
        | AlterOp::DropColumns { .. }
        | AlterOp::RenameColumn { .. }
        | AlterOp::ChangeColumn { .. }
        | AlterOp::SetColumnComment { .. }
        | AlterOp::DropNotNull { .. } => columns(session, &alter.name, alter.op, index).await,
        AlterOp::AddPartitions { .. }
        | AlterOp::DropPartitions { .. }
        | AlterOp::RenamePartition { .. }
        | AlterOp::MergePartitions { .. }
        | AlterOp::Touch { .. } => partitions::alter(session, &alter.name, alter.op, index).await,
        AlterOp::SetPartitionProperties { partition, properties } => {
            let partition = partitions::known(session, &table, &partition, at).await?;
            set_tier(session, name, &partition, &properties, index).await
        }
        AlterOp::MergeFiles { partition, compact } => {
            super::files::merge(session, name, partition.as_ref(), compact).await
        }
        AlterOp::EnableLifecycle { partition: Some(spec), enabled } => {
            let partition = partitions::known(session, &table, &spec, at).await?;
            exempt(session, name, &partition, enabled, index).await?;
            // Its end may have come first.
            partitions::known(session, &table, &spec, at).await.map(|_| ())
        }
        AlterOp::SetQuery { query, query_text } => set_query(session, name, &query, &query_text, index).await,
        AlterOp::RenameTo { name: new } => rename(session, &table.row, name, &new, index).await,
        AlterOp::ChangeOwner { owner } => {
            rights::check_giver(session, &table.row, at).await?;
            if session.warehouse.meta().account_by_name(&owner).await?.is_none() {
                return Err(semantic(at, format!("there is no account '{owner}'")));
            }
            update_row(session, name, &session.step(index), |row| {
                row.owner.clone_from(&owner);
                Ok(())
            })
            .await
        }
        op => update_row(session, name, &session.step(index), |row| describe(row, &op, at)).await,
    }
}

/// Makes a change that only tables of one kind have, and refuses those that they have not; `false` if it is neither.
async fn of_its_kind(session: &Session, table: &OpenTable, alter: &AlterTable, index: i64) -> Result<bool> {
    let at = Position::from(alter.name.span());
    if external::is_external(&table.row) {
        external::check_alter(&alter.op, at)?;
    }
    let name = format!("{}.{}", table.row.project, table.row.local_name());
    match (materialized::is_materialized(&table.row), alter.materialized) {
        (true, true) => materialized::alter(session, table, alter, index).await,
        (true, false) => {
            Err(super::invalid_view(at, format!("{name} is a materialized view, use ALTER MATERIALIZED VIEW")))
        }
        (false, true) => Err(super::invalid_view(at, format!("{name} is no materialized view"))),
        (false, false) => Ok(false),
    }
}

/// Keeps the storage tier that a partition was given; all data lie on one. The creation time tells a partition from a
/// later one of the same name.
async fn set_tier(
    session: &Session,
    name: &ObjectName,
    partition: &Partition,
    properties: &[(String, String)],
    index: i64,
) -> Result<()> {
    let at = Position::from(name.span());
    let mut tier = None;
    for (key, value) in properties {
        if !key.eq_ignore_ascii_case("storagetier") {
            return Err(errors::front_end(SqlError::unsupported(at, format!("the property '{key}'"))));
        }
        tier = Some(value.to_lowercase());
    }
    update_row(session, name, &session.step(index), |row| {
        let mut properties = properties_of(row);
        let text = properties.get(TIERS).and_then(Value::as_str).unwrap_or("{}");
        let mut tiers: Map<String, Value> = serde_json::from_str(text).unwrap_or_default();
        tiers.insert(partition.spec.clone(), json!({ "tier": tier, "created_ms": partition.created_ms }));
        properties.insert(TIERS.to_string(), Value::from(Value::Object(tiers).to_string()));
        row.properties = Value::Object(properties).to_string();
        Ok(())
    })
    .await
}

/// Keeps whether a partition lives for ever. The creation time tells it from a later one of the same name.
async fn exempt(session: &Session, name: &ObjectName, partition: &Partition, enabled: bool, index: i64) -> Result<()> {
    update_row(session, name, &session.step(index), |row| {
        let mut properties = properties_of(row);
        let text = properties.get(LIFECYCLE_OFF).and_then(Value::as_str).unwrap_or("{}");
        let mut exempt: Map<String, Value> = serde_json::from_str(text).unwrap_or_default();
        if enabled {
            exempt.remove(&partition.spec);
        } else {
            exempt.insert(partition.spec.clone(), json!(partition.created_ms));
        }
        properties.insert(LIFECYCLE_OFF.to_string(), Value::from(Value::Object(exempt).to_string()));
        row.properties = Value::Object(properties).to_string();
        Ok(())
    })
    .await
}

fn properties_of(row: &Table) -> Map<String, Value> {
    serde_json::from_str(&row.properties).unwrap_or_default()
}

/// Changes that only the row knows of.
fn describe(row: &mut Table, op: &AlterOp, at: Position) -> Result<()> {
    let mut properties = properties_of(row);
    match op {
        AlterOp::SetComment { comment } => {
            check_comment(comment, at)?;
            row.comment.clone_from(comment);
        }
        AlterOp::SetLifecycle { days } => row.lifecycle = i64::from(*days),
        AlterOp::EnableLifecycle { enabled, .. } => {
            let value = if *enabled { "true" } else { "false" };
            properties.insert("lifecycle.enabled".to_string(), Value::from(value));
        }
        AlterOp::SetProperties { properties: new } => {
            let (has_key, is_enforced) = (properties.contains_key(PRIMARY_KEY), !key_of(row).is_empty());
            for (key, value) in new {
                let is_switch = key.eq_ignore_ascii_case("transactional");
                if has_key && is_switch && value.eq_ignore_ascii_case("true") != is_enforced {
                    return Err(errors::front_end(SqlError::unsupported(at, SWITCH)));
                }
                if is_enforced {
                    check_key_property(key, value, at)?;
                }
                properties.insert(key.clone(), Value::String(value.clone()));
            }
            check_arrival(&properties, at)?;
            if row.view_text.is_none() && new.iter().any(|(key, _)| is_blooms(key)) {
                check_blooms(&properties, &row.schema.columns, at)?;
            }
        }
        AlterOp::UnsetProperties { keys } => {
            let is_switch = |k: &String| k.eq_ignore_ascii_case("transactional");
            if keys.iter().any(is_switch) && !key_of(row).is_empty() {
                return Err(errors::front_end(SqlError::unsupported(at, SWITCH)));
            }
            keys.iter().for_each(|k| {
                properties.remove(k);
            });
        }
        AlterOp::SetClustering { clustering } => {
            let mut names = clustering.columns.iter().chain(clustering.sorted_by.iter().map(|(name, _)| name));
            if let Some(name) = names.find(|name| !row.schema.columns.iter().any(|c| c.name == **name)) {
                return Err(semantic(at, format!("column {name} of CLUSTERED BY cannot be resolved")));
            }
            properties.insert(CLUSTERING.to_string(), Value::from(clustering_text(clustering)));
        }
        AlterOp::NotClustered => {
            properties.remove(CLUSTERING);
        }
        _ => return Err(errors::front_end(SqlError::unsupported(at, "this form of ALTER"))),
    }
    row.properties = Value::Object(properties).to_string();
    Ok(())
}

async fn rename(session: &Session, row: &Table, name: &ObjectName, new: &ObjectName, index: i64) -> Result<()> {
    let at = Position::from(new.span());
    let (project, old, _) = names::table_name(name, session)?;
    let schema = split_local_name(&old).0;
    let (new_project, new_name, _) = names::table_name(new, &session.in_schema(&project, schema))?;
    if new_project != project || split_local_name(&new_name).0 != schema {
        return Err(semantic(at, format!("RENAME TO cannot move table {project}.{old} to {new_project}.{new_name}")));
    }
    check_name(&new_name, at)?;
    let renamed = Table { name: split_local_name(&new_name).1.to_string(), ..row.clone() };
    rights::check_rename(session, row, &renamed, at).await?;
    let result = update_row(session, name, &session.step(index), |row| {
        row.name = split_local_name(&new_name).1.to_string();
        Ok(())
    })
    .await;
    result.map_err(|e| match e.code() {
        "ODPS-0130211" => {
            let detail = format!("table {project}.{new_name} is already defined");
            statement_error(Kind::Conflict, "ODPS-0130211", at, "Table or view already exists", &detail)
        }
        _ => e,
    })
}

/// The columns after an ALTER, and whether the files must be written again.
struct NewColumns {
    schema: TableSchema,
    /// For each new data column where its values come from; `None` when the files stay.
    sources: Option<Vec<Source>>,
}

async fn columns(session: &Session, name: &ObjectName, op: AlterOp, index: i64) -> Result<()> {
    let at = Position::from(name.span());
    let mut attempt = 1;
    loop {
        let table = open(session, name).await?;
        keep_partition_source(&table, &op, at)?;
        keep_key(&table, &op, at)?;
        keep_blooms(&table, &op, at)?;
        let new = new_columns(&table, &op, at)?;
        if new.schema == table.row.schema {
            return Ok(());
        }
        rights::keep_labels(session, &table.row, &new.schema.columns, at).await?;
        let result = apply(session, &table, new, index, at).await;
        match result {
            Err(e) if e.kind() == Kind::Conflict && attempt < crate::insert::ATTEMPTS => attempt += 1,
            result => return result,
        }
    }
}

/// Refuses to change the column that decides the partition of a row: the rows would lie in partitions of old values.
fn keep_partition_source(table: &OpenTable, op: &AlterOp, at: Position) -> Result<()> {
    let Some(auto) = AutoPartition::of(&table.row) else { return Ok(()) };
    match changes(table, op, &auto.source) {
        true => Err(semantic(at, format!("column {} cannot be changed: {} is the partition", auto.source, auto.sql()))),
        false => Ok(()),
    }
}

/// Refuses to change a column of the primary key, by which rows are told apart.
fn keep_key(table: &OpenTable, op: &AlterOp, at: Position) -> Result<()> {
    let may_be_null = |name: &String| match op {
        AlterOp::DropNotNull { name: named } => named == name,
        AlterOp::ReplaceColumns { columns } => columns.iter().any(|c| c.name == *name && c.nullable),
        _ => false,
    };
    match key_of(&table.row).iter().find(|c| changes(table, op, &c.name) || may_be_null(&c.name)) {
        Some(c) => Err(semantic(at, format!("column {} is in the primary key and cannot be changed", c.name))),
        None => Ok(()),
    }
}

/// Refuses to change a column with Bloom filters: the property that asks for them names it.
fn keep_blooms(table: &OpenTable, op: &AlterOp, at: Position) -> Result<()> {
    match blooms_of(&table.row).iter().find(|name| changes(table, op, name)) {
        Some(name) => {
            let detail = format!("column {name} has Bloom filters and cannot be changed; unset '{BLOOMS}' first");
            Err(semantic(at, detail))
        }
        None => Ok(()),
    }
}

/// Whether a data column goes, or gets another name or type.
fn changes(table: &OpenTable, op: &AlterOp, column: &str) -> bool {
    let type_in = |columns: &[Column]| columns.iter().find(|c| c.name == column).map(|c| c.ty.clone());
    let has = type_in(&table.row.schema.columns);
    match op {
        AlterOp::DropColumns { names } => names.iter().any(|n| n == column),
        AlterOp::ReplaceColumns { columns } => type_in(columns) != has,
        AlterOp::RenameColumn { old, .. } => old == column,
        AlterOp::ChangeColumn { old, new, ty, .. } => old == column && (new != old || has.as_ref() != Some(ty)),
        _ => false,
    }
}

async fn apply(session: &Session, table: &OpenTable, new: NewColumns, index: i64, at: Position) -> Result<()> {
    check_columns(&new.schema, at)?;
    if table.row.view_text.is_some() || external::is_external(&table.row) {
        let before = table.row.schema_version;
        let row = Table { schema: new.schema, ddl_ms: clock::tick_ms(), ..table.row.clone() };
        return session.warehouse.meta().update_table(&row, before, &session.step(index)).await;
    }
    let has_rows = !table.data()?.files().is_empty();
    match new.sources {
        Some(sources) if has_rows => rewrite(session, table, new.schema, &sources, index).await,
        _ => {
            let change = Change { new_schema: Some(new.schema), ..Change::append(table.row.clone(), Vec::new()) };
            let change = Change { read_version: table.data()?.version, must_be_unchanged: !has_rows, ..change };
            let (owner, attempt) = (&session.instance.id, session.instance.attempt);
            session.warehouse.catalog().commit(vec![change], owner, attempt, index, &session.step(index)).await
        }
    }
}

fn position_of(schema: &TableSchema, name: &str, at: Position) -> Result<usize> {
    schema.columns.iter().position(|c| c.name == name).ok_or_else(|| {
        match schema.partition_columns.iter().any(|c| c.name == name) {
            true => semantic(at, format!("column {name} is a partition column and cannot be changed")),
            false => semantic(at, format!("column {name} cannot be resolved")),
        }
    })
}

fn new_columns(table: &OpenTable, op: &AlterOp, at: Position) -> Result<NewColumns> {
    let old = &table.row.schema;
    let mut schema = old.clone();
    let keep = || (0..old.columns.len()).map(Source::Column).collect::<Vec<_>>();
    match op {
        AlterOp::AddColumns { if_not_exists, columns, place } => {
            let added = added(old, *if_not_exists, columns, at)?;
            let target = match place {
                Place::Stay => old.columns.len(),
                Place::First => 0,
                Place::After(name) => position_of(old, name, at)? + 1,
            };
            // Files are read by the names of their columns, so that they stay.
            schema.columns.splice(target..target, added);
            Ok(NewColumns { schema, sources: None })
        }
        AlterOp::ReplaceColumns { columns } => {
            let sources = columns.iter().map(|c| replaced(old, c, at)).collect::<Result<Vec<_>>>()?;
            schema.columns.clone_from(columns);
            Ok(NewColumns { schema, sources: Some(sources) })
        }
        AlterOp::DropColumns { names } => {
            let gone = names.iter().map(|n| position_of(old, n, at)).collect::<Result<BTreeSet<_>>>()?;
            let kept: Vec<usize> = (0..old.columns.len()).filter(|i| !gone.contains(i)).collect();
            schema.columns = kept.iter().map(|i| old.columns[*i].clone()).collect();
            Ok(NewColumns { schema, sources: Some(kept.into_iter().map(Source::Column).collect()) })
        }
        AlterOp::RenameColumn { old: name, new } => {
            let i = position_of(old, name, at)?;
            schema.columns[i].name.clone_from(new);
            Ok(NewColumns { schema, sources: Some(keep()) })
        }
        AlterOp::ChangeColumn { old: name, new, ty, not_null, comment, place } => {
            let i = position_of(old, name, at)?;
            let mut column = old.columns[i].clone();
            widen(&column, ty, at)?;
            if *not_null && column.nullable {
                let detail = format!("column {name} may be NULL, it cannot become NOT NULL");
                return Err(semantic(at, detail));
            }
            let same_bytes = column.name == *new && column.ty == *ty && *place == Place::Stay;
            column.name.clone_from(new);
            column.ty = ty.clone();
            if let Some(comment) = comment {
                column.comment.clone_from(comment);
            }
            let order = moved(old, i, place, at)?;
            schema.columns =
                order.iter().map(|k| if *k == i { column.clone() } else { old.columns[*k].clone() }).collect();
            let sources = order.into_iter().map(Source::Column).collect();
            Ok(NewColumns { schema, sources: if same_bytes { None } else { Some(sources) } })
        }
        AlterOp::SetColumnComment { name, comment } => {
            let column = schema.columns.iter_mut().chain(&mut schema.partition_columns).find(|c| c.name == *name);
            let column = column.ok_or_else(|| semantic(at, format!("column {name} cannot be resolved")))?;
            column.comment.clone_from(comment);
            Ok(NewColumns { schema, sources: None })
        }
        AlterOp::DropNotNull { name } => {
            let i = position_of(old, name, at)?;
            schema.columns[i].nullable = true;
            Ok(NewColumns { schema, sources: None })
        }
        _ => Err(errors::front_end(SqlError::unsupported(at, "this form of ALTER"))),
    }
}

/// The columns that ADD COLUMNS adds.
fn added(old: &TableSchema, if_not_exists: bool, columns: &[Column], at: Position) -> Result<Vec<Column>> {
    let mut added = Vec::new();
    for column in columns {
        if old.all_columns().any(|c| c.name == column.name) {
            if if_not_exists {
                continue;
            }
            return Err(semantic(at, format!("column repeated in creation: {}", column.name)));
        }
        nullable(column, at)?;
        added.push(column.clone());
    }
    Ok(added)
}

fn nullable(column: &Column, at: Position) -> Result<()> {
    if column.nullable {
        return Ok(());
    }
    let detail = format!("column {} cannot be NOT NULL: the rows that exist have no value for it", column.name);
    Err(semantic(at, detail))
}

/// Where the values of a column come from that REPLACE COLUMNS names: the old one of the same name keeps its values.
fn replaced(old: &TableSchema, column: &Column, at: Position) -> Result<Source> {
    let Some(i) = old.columns.iter().position(|c| c.name == column.name) else {
        nullable(column, at)?;
        return Ok(Source::Null);
    };
    widen(&old.columns[i], &column.ty, at)?;
    if old.columns[i].nullable && !column.nullable {
        return Err(semantic(at, format!("column {} may be NULL, it cannot become NOT NULL", column.name)));
    }
    Ok(Source::Column(i))
}

/// Indices of the old columns in their new order.
fn moved(old: &TableSchema, i: usize, place: &Place, at: Position) -> Result<Vec<usize>> {
    let mut order: Vec<usize> = (0..old.columns.len()).collect();
    let target = match place {
        Place::Stay => return Ok(order),
        Place::First => 0,
        Place::After(name) => {
            let after = position_of(old, name, at)?;
            if after == i {
                return Ok(order);
            }
            if after < i { after + 1 } else { after }
        }
    };
    order.remove(i);
    order.insert(target, i);
    Ok(order)
}

/// A type may only widen: every value must stay what it was.
fn widen(column: &Column, to: &DataType, at: Position) -> Result<()> {
    let from = &column.ty;
    let numbers = is_plain_widening(&engine_type(from), &engine_type(to));
    let fits = match (from, to) {
        (a, b) if a == b => true,
        (DataType::BigInt, DataType::Double) => false,
        (DataType::Varchar(a) | DataType::Char(a), DataType::Varchar(b)) => a <= b,
        (a, DataType::String) => {
            a.is_integer() || a.is_text() || matches!(a, DataType::Float | DataType::Double | DataType::Decimal(..))
        }
        _ => numbers,
    };
    if fits {
        return Ok(());
    }
    let (from, to) = (from.to_string().to_uppercase(), to.to_string().to_uppercase());
    Err(semantic(at, format!("column {} is {from} and cannot become {to}: a type may only widen", column.name)))
}
