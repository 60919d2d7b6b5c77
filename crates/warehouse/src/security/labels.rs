//! SET LABEL, GRANT LABEL, REVOKE LABEL and SHOW LABEL GRANTS.

use std::collections::HashMap;
use std::fmt::Write;

use chrono::{DateTime, SecondsFormat};
use feitian_base::{Error, Kind, Result, clock};
use feitian_meta::{Access, Grantee, Table};
use feitian_sql::{Holder, Security, SecurityObject};
use sqlparser::ast::ObjectName;

use super::{Desk, SecurityAnswer, invalid};

/// How long a grant lasts that does not say so (MaxCompute documentation, "GRANT LABEL").
const DEFAULT_DAYS: u32 = 180;
const DAY_MS: i64 = 24 * 3600 * 1000;

impl Desk<'_> {
    pub(super) async fn about_labels(&self, statement: Security) -> Result<SecurityAnswer> {
        match statement {
            Security::LabelHolder { level, holder } => self.label_holder(level, &holder).await?,
            Security::LabelTable { level, table, columns } => self.label_table(level, table, &columns).await?,
            Security::GrantLabel { level, table, columns, holder, days } => {
                let until = level.map(|level| (level, days));
                self.grant_label(until, table, &columns, &holder).await?;
            }
            Security::ShowLabelGrants { level, table, holder } => {
                return self.label_grants(level, table, holder).await;
            }
            Security::ClearExpiredGrants => {
                self.must_manage()?;
                self.meta.clear_label_grants(self.place.project, clock::now_ms(), &self.step).await?;
            }
            _ => return Err(Error::internal("no statement about labels")),
        }
        Ok(SecurityAnswer::done())
    }

    async fn label_holder(&self, level: u8, holder: &Holder) -> Result<()> {
        self.must_manage()?;
        let holder = self.grantee(holder).await?;
        self.meta.label_holder(self.place.project, &holder, level.into(), &self.step).await
    }

    async fn label_table(&self, level: u8, table: ObjectName, columns: &[String]) -> Result<()> {
        self.must_manage()?;
        let table = self.labelled(table, columns).await?;
        self.meta.label_table(&table, columns, level.into(), &self.step).await
    }

    /// `until` is the level and the days; `None` takes a grant back.
    async fn grant_label(
        &self,
        until: Option<(u8, Option<u32>)>,
        table: ObjectName,
        columns: &[String],
        holder: &Holder,
    ) -> Result<()> {
        self.must_manage()?;
        let (table, holder) = (self.labelled(table, columns).await?, self.grantee(holder).await?);
        let until = until.map(|(level, days)| {
            let days = i64::from(days.unwrap_or(DEFAULT_DAYS));
            (i64::from(level), clock::now_ms().saturating_add(days.saturating_mul(DAY_MS)))
        });
        self.meta.grant_label(&table, columns, &holder, until, &self.step).await
    }

    /// The table of this name, which has columns of these names that can have labels.
    async fn labelled(&self, name: ObjectName, columns: &[String]) -> Result<Table> {
        let (_, table) = self.object(&SecurityObject::Table(name)).await?;
        let table = table.ok_or_else(|| Error::internal("the name of a table named none"))?;
        if table.view_text.is_some() {
            let message = format!("labels of views such as {} are not supported; label tables", table.local_name());
            return Err(Error::new(Kind::Unsupported, "MethodNotAllowed", message));
        }
        let is_partition = |name: &&String| table.schema.partition_columns.iter().any(|c| c.name == **name);
        if let Some(name) = columns.iter().find(is_partition) {
            return Err(invalid(format!("column {name} is a partition column, which has no label")));
        }
        let is_missing = |name: &&String| !table.schema.columns.iter().any(|c| c.name == **name);
        match columns.iter().find(is_missing) {
            Some(name) => Err(invalid(format!("column {name} of table {} cannot be resolved", table.local_name()))),
            None => Ok(table),
        }
    }

    /// A line for each: holder, table, column (`*` for all), label and end, apart by tabs.
    async fn label_grants(
        &self,
        level: Option<u8>,
        table: Option<ObjectName>,
        holder: Option<Holder>,
    ) -> Result<SecurityAnswer> {
        let (meta, project) = (self.meta, self.place.project);
        let table = match table {
            Some(name) => self.object(&SecurityObject::Table(name)).await?.1.map(|t| t.local_name()),
            None => None,
        };
        let mut names = HashMap::from([(self.me.id.clone(), self.me.name.clone())]);
        names.extend(meta.project_users(project).await?.into_iter().map(|a| (a.id, a.name)));
        let holder = match holder {
            Some(holder) => Some(self.grantee(&holder).await?),
            None => None,
        };
        let mine = meta.roles(project, Some(&self.me.id)).await?;
        let is_mine = |grantee: &Grantee| match grantee {
            Grantee::User(id) => *id == self.me.id,
            Grantee::Role(role) => mine.contains(role),
        };
        let sees_all = self.access == Access::Whole;
        let mut text = String::new();
        for grant in meta.label_grants(project, clock::now_ms()).await? {
            let is_asked = table.as_ref().is_none_or(|t| *t == grant.table)
                && level.is_none_or(|level| i64::from(level) == grant.level)
                && holder.as_ref().is_none_or(|holder| *holder == grant.grantee);
            if !is_asked || !(sees_all || is_mine(&grant.grantee)) {
                continue;
            }
            let who = match &grant.grantee {
                Grantee::User(id) => format!("user/{}", names.get(id).unwrap_or(id)),
                Grantee::Role(role) => format!("role/{role}"),
            };
            let column = if grant.column.is_empty() { "*" } else { &grant.column };
            let end = DateTime::from_timestamp_millis(grant.expires_ms).unwrap_or_default();
            let end = end.to_rfc3339_opts(SecondsFormat::Secs, true);
            let _ = writeln!(text, "{who}\t{}\t{column}\t{}\t{end}", grant.table, grant.level);
        }
        Ok(SecurityAnswer::Text(text))
    }
}
