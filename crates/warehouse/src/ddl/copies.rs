//! CLONE TABLE and RESTORE TABLE: the rows of a table, or of an earlier version of it, written again.

use std::collections::{BTreeMap, BTreeSet};

use feitian_base::{Kind, Result};
use feitian_sql::{CloneTable, Existing, Position, RestoreTable, SqlError};
use feitian_types::Column;
use serde_json::{Map, Value};
use sqlparser::ast::{ObjectName, Spanned};

use super::alter::{LIFECYCLE_OFF, TIERS};
use super::create::exists;
use super::partitions::known;
use super::rewrite::{commit, copied, part_of};
use super::{check_name, invalid_view, open_for};
use crate::blooms::blooms_of;
use crate::catalog::{NewTable, OpenTable};
use crate::commit::{Change, Replace};
use crate::history::Point;
use crate::insert::ATTEMPTS;
use crate::keys::key_of;
use crate::query::errors::{front_end, semantic, statement_error};
use crate::query::{Session, names, rights};
use crate::writer::TableDir;

/// Into a table that is there, so many partitions can be cloned at once.
const MAX_CLONED_PARTITIONS: usize = 10_000;

fn shown(table: &OpenTable) -> String {
    format!("{}.{}", table.row.project, table.row.local_name())
}

/// The table `name`, with which `action` is to be done; a view has no rows to copy, and a table of the system no files.
async fn open_table(session: &Session, name: &ObjectName, action: &str) -> Result<OpenTable> {
    let at = Position::from(name.span());
    let table = open_for(session, name, action).await?;
    if table.row.view_text.is_some() {
        return Err(invalid_view(at, format!("{} is a view, it has no rows of its own", shown(&table))));
    }
    if crate::materialized::is_materialized(&table.row) {
        return Err(front_end(SqlError::unsupported(at, "CLONE and RESTORE of a materialized view")));
    }
    if table.snapshot.is_none() {
        return Err(semantic(at, format!("{} has no versions of its own and cannot be copied", shown(&table))));
    }
    Ok(table)
}

/// `RESTORE TABLE t TO LSN 'n' [AS u]`
pub(super) async fn restore(session: &Session, restore: RestoreTable, index: i64) -> Result<()> {
    let at = Position::from(restore.table.span());
    let action = if restore.to.is_some() { "Select" } else { "Update" };
    let mut attempt = 1;
    loop {
        let table = open_table(session, &restore.table, action).await?;
        let (catalog, point) = (session.warehouse.catalog(), Point::Version(restore.version));
        let then = catalog.at_point(&table, point, session.statement_ms(), at).await?;
        if let Some(to) = &restore.to {
            rights::check_labels(session, &table.row, &then.row.schema.columns, at).await?;
            return create(session, &then, to, index).await;
        }
        let (newest, old) = (table.data()?, then.data()?);
        if newest.version == old.version {
            return Ok(());
        }
        let files = copied(session, &then, &table.dir()).await?;
        let specs = |s: &crate::log::Snapshot| s.files().iter().map(|f| s.spec_of(f)).collect::<BTreeSet<_>>();
        let (now, before) = (specs(newest), specs(old));
        let (replace, gone) = match table.row.schema.is_partitioned() {
            false => (Replace::Table, Vec::new()),
            true => {
                let (stay, gone): (Vec<_>, Vec<_>) = now.into_iter().partition(|spec| before.contains(spec));
                (Replace::Partitions(stay), gone)
            }
        };
        let change = Change {
            read_version: newest.version,
            replace,
            drop_partitions: gone,
            must_be_unchanged: true,
            ..Change::append(table.row.clone(), files)
        };
        match commit(session, change, index).await {
            Err(e) if e.kind() == Kind::Conflict && attempt < ATTEMPTS => attempt += 1,
            result => return result,
        }
    }
}

/// `CLONE TABLE a [PARTITION (…), …] TO b [IF EXISTS OVERWRITE|IGNORE]`
pub(super) async fn clone(session: &Session, clone: CloneTable, index: i64) -> Result<()> {
    let at = Position::from(clone.from.span());
    let mut attempt = 1;
    loop {
        let from = open_table(session, &clone.from, "Select").await?;
        rights::check_labels(session, &from.row, &from.row.schema.columns, at).await?;
        let mut named = BTreeMap::new();
        for spec in &clone.partitions {
            let partition = known(session, &from, spec, at).await?;
            named.insert(partition.spec, partition.values);
        }
        let (project, name, _) = names::table_name(&clone.to, session)?;
        rights::enter(session, &project).await?;
        let result = match session.warehouse.meta().table_named(&project, &name).await? {
            None if named.is_empty() => create(session, &from, &clone.to, index).await,
            None => create(session, &part_of(&from, &named.into_keys().collect())?, &clone.to, index).await,
            Some(_) => clone_into(session, &from, named, &clone, index).await,
        };
        match result {
            // Another statement made the table, or changed it.
            Err(e) if e.kind() == Kind::Conflict && attempt < ATTEMPTS && e.code() != "ODPS-0130211" => attempt += 1,
            result => return result,
        }
    }
}

/// Creates the table `to` like `from`, with its rows. It lives for ever: whoever copies a table wants to keep the rows.
async fn create(session: &Session, from: &OpenTable, to: &ObjectName, index: i64) -> Result<()> {
    let at = Position::from(to.span());
    let (project, name, _) = names::table_name(to, session)?;
    rights::check_project(session, &project, "CreateTable").await?;
    check_name(&name, at)?;
    names::check_schema(session, &project, &name, at).await?;
    if session.warehouse.meta().table_named(&project, &name).await?.is_some() {
        return Err(exists(at, &project, &name));
    }
    let catalog = session.warehouse.catalog();
    let dir = TableDir { blooms: blooms_of(&from.row), ..catalog.reserve(&project, &name) };
    let files = copied(session, from, &dir).await?;
    let mut properties: Map<String, Value> = serde_json::from_str(&from.row.properties).unwrap_or_default();
    // What it says of partitions is of others than these.
    properties.retain(|key, _| key != LIFECYCLE_OFF && key != TIERS);
    let new = NewTable {
        dir: Some(dir),
        project,
        name,
        kind: from.row.kind.clone(),
        owner: session.instance.owner.clone(),
        schema: from.row.schema.clone(),
        comment: from.row.comment.clone(),
        properties,
        lifecycle: -1,
        view_text: None,
    };
    catalog.create(new, Some(files), &session.step(index)).await
}

/// Refuses tables whose rows do not fit into each other.
fn check_alike(from: &OpenTable, to: &OpenTable, at: Position) -> Result<()> {
    let is_same = |a: &[Column], b: &[Column]| {
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.name == b.name && a.ty == b.ty)
    };
    let (has, needs) = (&to.row.schema, &from.row.schema);
    if !is_same(&has.columns, &needs.columns) || !is_same(&has.partition_columns, &needs.partition_columns) {
        return Err(semantic(at, format!("tables {} and {} have other columns", shown(from), shown(to))));
    }
    let key = key_of(&to.row);
    if !key.is_empty() && !key.iter().map(|c| &c.name).eq(key_of(&from.row).iter().map(|c| &c.name)) {
        return Err(semantic(at, format!("table {} has a primary key and {} not the same", shown(to), shown(from))));
    }
    let mut pairs = has.columns.iter().zip(&needs.columns);
    if let Some((column, _)) = pairs.find(|(has, needs)| !has.nullable && needs.nullable) {
        let (name, from, to) = (&column.name, shown(from), shown(to));
        return Err(semantic(at, format!("column {name} is NOT NULL in table {to} and may be NULL in {from}")));
    }
    Ok(())
}

/// Clones into a table that is there.
async fn clone_into(
    session: &Session,
    from: &OpenTable,
    named: BTreeMap<String, Vec<String>>,
    clone: &CloneTable,
    index: i64,
) -> Result<()> {
    let at = Position::from(clone.to.span());
    let to = open_table(session, &clone.to, "Update").await?;
    if to.row.id == from.row.id {
        return Err(semantic(at, format!("table {} cannot be cloned to itself", shown(from))));
    }
    check_alike(from, &to, at)?;
    let read_version = to.data()?.version;
    if !to.row.schema.is_partitioned() {
        return match clone.existing {
            Existing::Refuse => Err(exists(at, &to.row.project, &to.row.local_name())),
            Existing::Ignore => Ok(()),
            Existing::Overwrite => {
                let files = copied(session, from, &to.dir()).await?;
                let change = Change { read_version, replace: Replace::Table, ..Change::append(to.row.clone(), files) };
                commit(session, change, index).await
            }
        };
    }
    let meta = session.warehouse.meta();
    let mut wanted = named;
    if clone.partitions.is_empty() {
        wanted = meta.all_partitions(&from.row.id).await?.into_iter().map(|p| (p.spec, p.values)).collect();
    }
    let there: BTreeSet<String> = meta.all_partitions(&to.row.id).await?.into_iter().map(|p| p.spec).collect();
    let both = wanted.keys().find(|spec| there.contains(*spec)).cloned();
    match (clone.existing, both) {
        (Existing::Refuse, Some(spec)) => {
            let detail = format!("AlreadyExistsException(message:Partition already exists, existed values:[{spec}])");
            return Err(statement_error(Kind::Invalid, "ODPS-0110061", at, "Failed to run ddltask", &detail));
        }
        (Existing::Ignore, _) => wanted.retain(|spec, _| !there.contains(spec)),
        _ => {}
    }
    if wanted.len() > MAX_CLONED_PARTITIONS {
        let detail =
            format!("at most {MAX_CLONED_PARTITIONS} partitions can be cloned at once into a table that is there");
        return Err(semantic(at, detail));
    }
    if wanted.is_empty() {
        return Ok(());
    }
    let files = copied(session, &part_of(from, &wanted.keys().cloned().collect())?, &to.dir()).await?;
    let overwrites = matches!(clone.existing, Existing::Overwrite);
    // All of them: one that somebody else makes meanwhile is overwritten as well.
    let replace = if overwrites { Replace::Partitions(wanted.keys().cloned().collect()) } else { Replace::Nothing };
    let change = Change {
        read_version,
        replace,
        create_partitions: wanted.into_values().collect(),
        must_be_unchanged: !overwrites,
        ..Change::append(to.row.clone(), files)
    };
    commit(session, change, index).await
}
