//! Partition rows inside a transaction: the sort key, and inserts and upserts of many rows in few statements.

use std::collections::BTreeMap;

use feitian_base::Error;
use sqlx::any::{AnyArguments, AnyRow};
use sqlx::query::Query;
use sqlx::{Any, AssertSqlSafe, query};

use crate::cells::Cells;
use crate::fault::{Fault, corrupt, ddl_conflict};
use crate::rows::{Partition, PartitionChange};
use crate::tx::Tx;

macro_rules! partition_columns {
    () => {
        "table_id, spec, sort_key, created_ms, ddl_ms, modified_ms, num_rows, num_bytes, num_files"
    };
}
pub(crate) use partition_columns;

/// Reads [`partition_columns!`].
pub(crate) fn read_partition(row: &AnyRow) -> Result<Partition, Fault> {
    let mut c = Cells::new(row);
    let (table_id, spec, key) = (c.text()?, c.text()?, c.text()?);
    let values = values_of(&key)
        .ok_or_else(|| corrupt(format!("partition '{spec}' of table {table_id} has a sort key that we never write")))?;
    Ok(Partition {
        table_id,
        spec,
        values,
        created_ms: c.int()?,
        ddl_ms: c.int()?,
        modified_ms: c.int()?,
        num_rows: c.int()?,
        num_bytes: c.int()?,
        num_files: c.int()?,
    })
}

/// Ends every value in a sort key: below every other character of a text.
const END: char = '\u{1}';
const ESCAPE: char = '\u{2}';

/// The key of the leading `values`: each ended by U+0001, so that keys sort as the values do, column by column, and
/// the key of leading values is a prefix of exactly the keys that begin with them. U+0001 and U+0002 inside a value
/// are escaped in a way that keeps the order.
pub(crate) fn sort_key(values: &[String]) -> String {
    let mut key = String::with_capacity(values.iter().map(|v| v.len() + 1).sum());
    for value in values {
        for c in value.chars() {
            match c {
                END => key.extend([ESCAPE, '\u{2}']),
                ESCAPE => key.extend([ESCAPE, '\u{3}']),
                _ => key.push(c),
            }
        }
        key.push(END);
    }
    key
}

/// The values of a whole sort key.
fn values_of(key: &str) -> Option<Vec<String>> {
    let mut values = Vec::new();
    let mut value = String::new();
    let mut chars = key.chars();
    while let Some(c) = chars.next() {
        match c {
            END => values.push(std::mem::take(&mut value)),
            ESCAPE => value.push(match chars.next()? {
                '\u{2}' => END,
                '\u{3}' => ESCAPE,
                _ => return None,
            }),
            _ => value.push(c),
        }
    }
    value.is_empty().then_some(values)
}

/// What an insert does about a partition that is there already.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Existing {
    /// Fails with the conflict of `ALTER TABLE .. ADD PARTITION`.
    Refuse,
    /// Leaves it as it is.
    Keep,
}

const COLUMNS: usize = 10;

/// Rows a statement: few enough statements for tens of thousands of partitions, and few distinct ones to prepare.
const SIZES: [usize; 3] = [64, 8, 1];

/// Splits `items` into runs of the lengths in [`SIZES`].
fn runs<T>(mut items: &[T]) -> Vec<&[T]> {
    let mut out = Vec::new();
    while let Some(size) = SIZES.into_iter().find(|s| *s <= items.len()) {
        let (run, rest) = items.split_at(size);
        out.push(run);
        items = rest;
    }
    out
}

/// `INSERT INTO partitions (..) VALUES ($1, ..), (..)` for `rows` rows, followed by `rest`. Holds no text of users.
fn insert_sql(rows: usize, rest: &str) -> String {
    let mut sql = concat!("INSERT INTO partitions (", partition_columns!(), ", log_version) VALUES ").to_string();
    for row in 0..rows {
        let marks: Vec<String> = (1..=COLUMNS).map(|c| format!("${}", row * COLUMNS + c)).collect();
        sql += if row == 0 { "(" } else { ", (" };
        sql += &marks.join(", ");
        sql += ")";
    }
    sql + " " + rest
}

type Statement = Query<'static, Any, AnyArguments>;

fn bind_row(statement: Statement, table_id: &str, p: &Partition, log_version: i64) -> Statement {
    statement
        .bind(table_id.to_string())
        .bind(p.spec.clone())
        .bind(sort_key(&p.values))
        .bind(p.created_ms)
        .bind(p.ddl_ms)
        .bind(p.modified_ms)
        .bind(p.num_rows)
        .bind(p.num_bytes)
        .bind(p.num_files)
        .bind(log_version)
}

/// Adds `rows` to the table `table_id` (the one in the rows is not looked at) with numbers of `log_version`.
pub(crate) async fn insert(
    tx: &mut Tx,
    table_id: &str,
    rows: &[Partition],
    log_version: i64,
    existing: Existing,
) -> Result<(), Fault> {
    for run in runs(rows) {
        let sql = insert_sql(run.len(), "ON CONFLICT (table_id, spec) DO NOTHING RETURNING spec");
        let statement = run.iter().fold(query(AssertSqlSafe(sql)), |s, p| bind_row(s, table_id, p, log_version));
        let added = statement.fetch_all(tx.conn()).await?;
        if existing == Existing::Refuse && added.len() < run.len() {
            let mut added: Vec<String> = added.iter().map(|r| Cells::new(r).text()).collect::<Result<_, _>>()?;
            // The first row that was not added; a spec that `rows` repeats was added only once.
            let refused = run.iter().find(|p| match added.iter().position(|s| *s == p.spec) {
                Some(at) => {
                    added.swap_remove(at);
                    false
                }
                None => true,
            });
            return Err(partition_exists(refused.map(|p| p.values.as_slice()).unwrap_or_default()).into());
        }
    }
    Ok(())
}

fn partition_exists(values: &[String]) -> Error {
    let quoted: Vec<String> = values.iter().map(|v| format!("\"{v}\"")).collect();
    let text = "AlreadyExistsException(message:Partition already exists, existed values:";
    ddl_conflict(format!("{text}[{}])", quoted.join(",")))
}

/// Brings rows up to `log_version`: numbers replaced, new rows added, `created_ms` and `ddl_ms` of old rows kept. Commits
/// may be finished in another order than the log has them, so a row whose numbers are of a newer version keeps them, and
/// one that a newer version dropped stays away. Times of change only ever go on: a newer version may have been one of files
/// and not of rows.
pub(crate) async fn upsert(
    tx: &mut Tx,
    table_id: &str,
    changes: &[PartitionChange],
    log_version: i64,
) -> Result<(), Fault> {
    // One change a spec, as a statement may touch a row once; in one order, so that transactions do not deadlock.
    let mut changes: BTreeMap<&str, &PartitionChange> = changes.iter().map(|c| (c.spec.as_str(), c)).collect();
    for spec in dropped_after(tx, table_id, log_version).await? {
        changes.remove(spec.as_str());
    }
    let rows: Vec<Partition> = changes.into_values().map(|c| as_row(table_id, c)).collect();
    for run in runs(&rows) {
        let rest = "ON CONFLICT (table_id, spec) DO UPDATE SET \
                    modified_ms = CASE WHEN partitions.modified_ms < excluded.modified_ms \
                    THEN excluded.modified_ms ELSE partitions.modified_ms END, \
                    num_rows = CASE WHEN partitions.log_version <= excluded.log_version \
                    THEN excluded.num_rows ELSE partitions.num_rows END, \
                    num_bytes = CASE WHEN partitions.log_version <= excluded.log_version \
                    THEN excluded.num_bytes ELSE partitions.num_bytes END, \
                    num_files = CASE WHEN partitions.log_version <= excluded.log_version \
                    THEN excluded.num_files ELSE partitions.num_files END, \
                    log_version = CASE WHEN partitions.log_version <= excluded.log_version \
                    THEN excluded.log_version ELSE partitions.log_version END";
        let sql = insert_sql(run.len(), rest);
        let statement = run.iter().fold(query(AssertSqlSafe(sql)), |s, p| bind_row(s, table_id, p, log_version));
        statement.execute(tx.conn()).await?;
    }
    Ok(())
}

fn as_row(table_id: &str, change: &PartitionChange) -> Partition {
    Partition {
        table_id: table_id.to_string(),
        spec: change.spec.clone(),
        values: change.values.clone(),
        created_ms: change.modified_ms,
        ddl_ms: change.modified_ms,
        modified_ms: change.modified_ms,
        num_rows: change.num_rows,
        num_bytes: change.num_bytes,
        num_files: change.num_files,
    }
}

/// Deletes rows whose numbers are not of a newer version than `log_version`.
pub(crate) async fn delete(tx: &mut Tx, table_id: &str, specs: &[String], log_version: i64) -> Result<(), Fault> {
    for spec in specs {
        let sql = "DELETE FROM partitions WHERE table_id = $1 AND spec = $2 AND log_version <= $3";
        query(sql).bind(table_id).bind(spec).bind(log_version).execute(tx.conn()).await?;
    }
    Ok(())
}

/// Deletes what the log dropped at `log_version`. While other commits to the table are open, one of an older version
/// may still be finished; it must not bring the partitions back, so the drops are remembered until none is open.
pub(crate) async fn drop_at(tx: &mut Tx, table_id: &str, specs: &[String], log_version: i64) -> Result<(), Fault> {
    delete(tx, table_id, specs, log_version).await?;
    if specs.is_empty() || !has_open_records(tx, table_id).await? {
        return Ok(());
    }
    for spec in specs {
        let sql = "INSERT INTO partition_drops (table_id, spec, log_version) VALUES ($1, $2, $3) \
                   ON CONFLICT (table_id, spec) DO UPDATE SET log_version = excluded.log_version \
                   WHERE partition_drops.log_version < excluded.log_version";
        query(sql).bind(table_id).bind(spec).bind(log_version).execute(tx.conn()).await?;
    }
    Ok(())
}

/// Forgets remembered drops once no commit can be late any more.
pub(crate) async fn forget_drops(tx: &mut Tx, table_id: &str) -> Result<(), Fault> {
    if !has_open_records(tx, table_id).await? {
        query("DELETE FROM partition_drops WHERE table_id = $1").bind(table_id).execute(tx.conn()).await?;
    }
    Ok(())
}

async fn has_open_records(tx: &mut Tx, table_id: &str) -> Result<bool, Fault> {
    let sql = "SELECT id FROM commit_records WHERE table_id = $1 LIMIT 1";
    Ok(query(sql).bind(table_id).fetch_optional(tx.conn()).await?.is_some())
}

/// The specs that a version newer than `log_version` has dropped, as far as they are remembered.
async fn dropped_after(tx: &mut Tx, table_id: &str, log_version: i64) -> Result<Vec<String>, Fault> {
    let sql = "SELECT spec FROM partition_drops WHERE table_id = $1 AND log_version > $2";
    let rows = query(sql).bind(table_id).bind(log_version).fetch_all(tx.conn()).await?;
    rows.iter().map(|r| Cells::new(r).text()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(items: &[&str]) -> Vec<String> {
        items.iter().map(|s| s.to_string()).collect()
    }

    #[test]
    fn sort_keys_order_as_the_values_do_and_give_them_back() {
        // In the order of column-wise comparison: the first column decides, a shorter value comes first.
        let ordered = [
            values(&["", "z"]),
            values(&["a", ""]),
            values(&["a", "b"]),
            values(&["a\u{1}", "a"]),
            values(&["a\u{2}", "a"]),
            values(&["a\u{3}", "a"]),
            values(&["a ", "a"]),
            values(&["ab", "a"]),
            values(&["é", "a"]),
        ];
        for pair in ordered.windows(2) {
            assert!(sort_key(&pair[0]) < sort_key(&pair[1]), "{pair:?}");
        }
        for v in &ordered {
            assert_eq!(values_of(&sort_key(v)).as_ref(), Some(v));
        }
        assert_eq!(values_of(&sort_key(&[])), Some(vec![]));
        assert_eq!(values_of("unended"), None);
    }

    #[test]
    fn runs_cover_all_items_in_order_with_three_lengths() {
        let items: Vec<usize> = (0..64 + 8 + 2).collect();
        let runs = runs(&items);
        assert_eq!(runs.iter().map(|r| r.len()).collect::<Vec<_>>(), [64, 8, 1, 1]);
        assert_eq!(runs.concat(), items);
    }
}
