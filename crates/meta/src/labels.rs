//! Labels: how sensitive columns are, how far accounts and roles may look, and who may look further for a while.
//!
//! They bind the users of a project. Its owner, and accounts that were admitted to it, read everything.

use feitian_base::Result;
use feitian_types::Column;
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, query};

use crate::cells::{Cells, all};
use crate::db::Meta;
use crate::fault::{Fault, conflict};
use crate::projects::hold_project;
use crate::rows::{Grantee, LabelGrant, Step, Table};
use crate::rules::Standing;
use crate::security::{grantee_of, grantee_text, hold_grantee};
use crate::steps::advance;
use crate::tx::Tx;

/// A label of a column; of the table if the name is empty.
type Labelled = (String, i64);

/// Whom the grants are for that an account has.
const MINE: &str = "(grantee = $2 OR grantee IN (SELECT 'role/' || m.role FROM role_members m \
                    WHERE m.project = $1 AND m.account_id = $3))";

fn read_labelled(row: &AnyRow) -> Result<Labelled, Fault> {
    let mut c = Cells::new(row);
    Ok((c.text()?, c.int()?))
}

fn read_grant(row: &AnyRow) -> Result<LabelGrant, Fault> {
    let mut c = Cells::new(row);
    Ok(LabelGrant {
        table: crate::rows::local_name(&c.text()?, &c.text()?),
        column: c.text()?,
        grantee: grantee_of(&c.text()?)?,
        level: c.int()?,
        expires_ms: c.int()?,
    })
}

/// The columns that are more sensitive than `level` and whatever `granted` opens. A label of a column counts before that
/// of the table, and so does a grant. A label of a column that the table lacks is one of all its columns: whichever of them
/// had that name, nobody looks at it by another one.
fn above(columns: &[Column], labels: &[Labelled], level: i64, granted: &[Labelled]) -> Vec<String> {
    let of = |all: &[Labelled], name: &str| all.iter().filter(|(n, _)| n == name).map(|(_, level)| *level).max();
    let is_lost = |name: &str| !name.is_empty() && !columns.iter().any(|c| c.name == name);
    let lost = labels.iter().filter(|(name, _)| is_lost(name)).map(|(_, level)| *level).max().unwrap_or(0);
    let table = of(labels, "").unwrap_or(0);
    let is_above = |c: &&Column| {
        let label = of(labels, &c.name).unwrap_or(table).max(lost);
        let open = of(granted, &c.name).or_else(|| of(granted, "")).unwrap_or(0);
        label > level.max(open)
    };
    columns.iter().filter(is_above).map(|c| c.name.clone()).collect()
}

/// Takes the labels that a user or role has and was granted.
pub(crate) async fn forget_holder(tx: &mut Tx, project: &str, holder: &str) -> Result<(), Fault> {
    for sql in [
        "DELETE FROM holder_labels WHERE project = $1 AND grantee = $2",
        "DELETE FROM label_grants WHERE project = $1 AND grantee = $2",
    ] {
        query(sql).bind(project).bind(holder).execute(tx.conn()).await?;
    }
    Ok(())
}

impl Meta {
    /// Those of the table's columns that the account may not read. None where labels do not count.
    ///
    /// `columns` are the table's as they are read: they may be those of an earlier version.
    pub async fn hidden(
        &self,
        table: &Table,
        columns: &[Column],
        account_id: &str,
        now_ms: i64,
    ) -> Result<Vec<String>> {
        let project = table.project.as_str();
        let binds = self.standing(project, account_id).await? == Some(Standing::User);
        if !binds || !self.switches(project).await?.labels {
            return Ok(Vec::new());
        }
        let labels = self.labels(&table.id).await?;
        if labels.is_empty() {
            return Ok(Vec::new());
        }
        let user = grantee_text(&Grantee::User(account_id.to_string()));
        let sql = format!("SELECT grantee, level FROM holder_labels WHERE project = $1 AND {MINE}");
        let own = query(AssertSqlSafe(sql)).bind(project).bind(&user).bind(account_id);
        let own = all(&own.fetch_all(self.reader()).await.map_err(Fault::from)?, read_labelled)?;
        let level = own.into_iter().map(|(_, level)| level).max().unwrap_or(0);
        let sql = format!(
            "SELECT column_name, level FROM label_grants WHERE project = $1 AND {MINE} AND table_id = $4 AND expires_ms > $5"
        );
        let granted = query(AssertSqlSafe(sql)).bind(project).bind(&user).bind(account_id).bind(&table.id);
        let granted = granted.bind(now_ms).fetch_all(self.reader()).await.map_err(Fault::from)?;
        Ok(above(columns, &labels, level, &all(&granted, read_labelled)?))
    }

    /// The labels of the table (under the empty name) and of its columns.
    pub async fn labels(&self, table_id: &str) -> Result<Vec<(String, i64)>> {
        let sql = "SELECT column_name, level FROM labels WHERE table_id = $1 ORDER BY column_name";
        let rows = query(sql).bind(table_id).fetch_all(self.reader()).await.map_err(Fault::from)?;
        Ok(all(&rows, read_labelled)?)
    }

    /// Labels the columns, or the table where none is named, and advances `step`. `Conflict` when the table has changed
    /// since its row was read.
    pub async fn label_table(&self, table: &Table, columns: &[String], level: i64, step: &Step) -> Result<()> {
        let whole = [String::new()];
        let columns = if columns.is_empty() { &whole[..] } else { columns };
        write_tx!(self, |tx| {
            advance(&mut tx, step).await?;
            hold_table(&mut tx, table).await?;
            for column in columns {
                let sql = "INSERT INTO labels (table_id, column_name, level) VALUES ($1, $2, $3) \
                           ON CONFLICT (table_id, column_name) DO UPDATE SET level = excluded.level";
                query(sql).bind(&table.id).bind(column).bind(level).execute(tx.conn()).await?;
            }
            Ok(())
        })
    }

    /// Lets a user or role look at what has a label up to `level`, and advances `step`. `NotFound` when the holder is not
    /// there.
    pub async fn label_holder(&self, project: &str, holder: &Grantee, level: i64, step: &Step) -> Result<()> {
        write_tx!(self, |tx| {
            advance(&mut tx, step).await?;
            hold_project(&mut tx, project).await?;
            hold_grantee(&mut tx, project, holder).await?;
            let sql = "INSERT INTO holder_labels (project, grantee, level) VALUES ($1, $2, $3) \
                       ON CONFLICT (project, grantee) DO UPDATE SET level = excluded.level";
            query(sql).bind(project).bind(grantee_text(holder)).bind(level).execute(tx.conn()).await?;
            Ok(())
        })
    }

    /// Lets a user or role look at columns of a table, or at all of them where none is named, up to `level` until
    /// `expires_ms`; `None` takes that back. Advances `step`. `NotFound` when the holder is not there, `Conflict` when the
    /// table has changed since its row was read.
    pub async fn grant_label(
        &self,
        table: &Table,
        columns: &[String],
        holder: &Grantee,
        until: Option<(i64, i64)>,
        step: &Step,
    ) -> Result<()> {
        let whole = [String::new()];
        let columns = if columns.is_empty() { &whole[..] } else { columns };
        write_tx!(self, |tx| {
            advance(&mut tx, step).await?;
            hold_table(&mut tx, table).await?;
            hold_grantee(&mut tx, &table.project, holder).await?;
            for column in columns {
                let sql = "DELETE FROM label_grants WHERE project = $1 AND table_id = $2 AND grantee = $3 \
                           AND column_name = $4";
                let old = query(sql).bind(&table.project).bind(&table.id).bind(grantee_text(holder)).bind(column);
                old.execute(tx.conn()).await?;
                let Some((level, expires_ms)) = until else { continue };
                let sql = "INSERT INTO label_grants (project, table_id, grantee, column_name, level, expires_ms) \
                           VALUES ($1, $2, $3, $4, $5, $6)";
                let new = query(sql).bind(&table.project).bind(&table.id).bind(grantee_text(holder)).bind(column);
                new.bind(level).bind(expires_ms).execute(tx.conn()).await?;
            }
            Ok(())
        })
    }

    /// Forgets the grants of labels that have ended by `now_ms` and advances `step`.
    pub async fn clear_label_grants(&self, project: &str, now_ms: i64, step: &Step) -> Result<()> {
        write_tx!(self, |tx| {
            advance(&mut tx, step).await?;
            let sql = "DELETE FROM label_grants WHERE project = $1 AND expires_ms <= $2";
            query(sql).bind(project).bind(now_ms).execute(tx.conn()).await?;
            Ok(())
        })
    }

    /// The grants of labels in the project that have not ended, by table, column and holder.
    pub async fn label_grants(&self, project: &str, now_ms: i64) -> Result<Vec<LabelGrant>> {
        let sql = "SELECT t.schema_name, t.name, g.column_name, g.grantee, g.level, g.expires_ms \
                   FROM label_grants g JOIN tables t ON t.id = g.table_id AND t.dropped_ms IS NULL \
                   WHERE g.project = $1 AND g.expires_ms > $2 \
                   ORDER BY t.schema_name, t.name, g.column_name, g.grantee";
        let rows = query(sql).bind(project).bind(now_ms).fetch_all(self.reader()).await.map_err(Fault::from)?;
        Ok(all(&rows, read_grant)?)
    }
}

/// Fails unless the table is as it was when its row was read; on PostgreSQL it stays so until the transaction ends.
async fn hold_table(tx: &mut Tx, table: &Table) -> Result<(), Fault> {
    let sql = tx.locking((
        "SELECT id FROM tables WHERE id = $1 AND schema_version = $2 AND dropped_ms IS NULL",
        "SELECT id FROM tables WHERE id = $1 AND schema_version = $2 AND dropped_ms IS NULL FOR SHARE",
    ));
    let row = query(sql).bind(&table.id).bind(table.schema_version).fetch_optional(tx.conn()).await?;
    let changed = || {
        let message = format!("Table '{}' has just been changed; run the statement again", table.local_name());
        conflict("InvalidStateSetting", message)
    };
    row.map(|_| ()).ok_or_else(|| changed().into())
}

#[cfg(test)]
mod tests {
    use feitian_types::DataType;

    use super::*;

    fn labelled(all: &[(&str, i64)]) -> Vec<Labelled> {
        all.iter().map(|(name, level)| (name.to_string(), *level)).collect()
    }

    // MaxCompute documentation, "Label-based access control": a column is read when its label is not above the level of the
    // account; the label of a column counts before that of the table, and so does a grant for the column.
    #[test]
    fn columns_are_hidden_above_the_level_of_the_account() {
        let columns = ["a", "b", "c"].map(|name| Column::new(name, DataType::BigInt));
        let hidden = |labels: &[(&str, i64)], level: i64, granted: &[(&str, i64)]| {
            above(&columns, &labelled(labels), level, &labelled(granted)).join("")
        };
        assert_eq!(hidden(&[("b", 2)], 1, &[]), "b");
        assert_eq!(hidden(&[("b", 2)], 2, &[]), "");
        assert_eq!(hidden(&[("", 3), ("b", 1)], 1, &[]), "ac");
        assert_eq!(hidden(&[("", 3), ("b", 0)], 0, &[("", 3)]), "");
        assert_eq!(hidden(&[("", 3)], 0, &[("", 3), ("c", 1)]), "c");
        assert_eq!(hidden(&[("", 3)], 4, &[("c", 1)]), "");
        // The column had the name before, or has it in a version that is not read.
        assert_eq!(hidden(&[("gone", 2), ("a", 1)], 1, &[]), "abc");
    }
}
