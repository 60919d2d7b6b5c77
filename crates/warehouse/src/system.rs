//! The projects `sys` and `information_schema`: tables of the system's own state, read from the metadata as queries ask.
//!
//! A row is there for those who may see it; nobody can change one. Conditions on project, instance and time of
//! submission reach the metadata database, and rows come in pages of about a thousand, so that a question about an hour
//! of a long history costs that hour. `column` says what a column is, `ask` what the conditions of a query leave to
//! read, `viewer` who looks, `scan` is the operator; the other files are one table each.

mod ask;
mod column;
mod config;
mod information;
mod instances;
mod ots;
mod partitions;
mod scan;
mod sessions;
mod tables;
mod tasks;
mod viewer;

use std::sync::Arc;

use datafusion::common::DataFusionError;
use datafusion::datasource::TableProvider;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use feitian_base::{Error, Kind, Result};
use feitian_meta::{DEFAULT_SCHEMA, SYSTEM_PROJECT, Table, split_local_name};
use feitian_sql::{Position, Statement};
use feitian_types::arrow::engine_schema;
use feitian_types::{Column, TableSchema};
use futures::future::BoxFuture;
use futures::{TryStreamExt, stream};
use sqlparser::ast::ObjectName;

use crate::Warehouse;
use crate::catalog::OpenTable;
use crate::query::errors::statement_error;
use crate::query::{Session, names};
use ask::Ask;
use column::Col;
use viewer::Viewer;

pub use ots::{OtsOptions, OtsRange, OtsTable, OtsUnits, TableStore};

/// The project of the tables that MaxCompute documents, and its schema in [`CATALOG`].
const INFORMATION: &str = "information_schema";
/// The project whose schema [`INFORMATION`] is for those who write three-part names.
const CATALOG: &str = "system_catalog";

/// A table of the project `sys`, or of `information_schema`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SystemTable {
    Config,
    InformationColumns,
    InformationPartitions,
    InformationTables,
    Instances,
    OtsTables,
    Partitions,
    Ranges,
    Sessions,
    Tables,
    Tasks,
}

impl SystemTable {
    /// Those of `sys`, by name.
    pub(crate) const ALL: [Self; 8] = [
        Self::Config,
        Self::Instances,
        Self::OtsTables,
        Self::Partitions,
        Self::Ranges,
        Self::Sessions,
        Self::Tables,
        Self::Tasks,
    ];

    /// Those of `information_schema`, by name.
    const DOCUMENTED: [Self; 3] = [Self::InformationColumns, Self::InformationPartitions, Self::InformationTables];

    /// The table that a project and a name in it mean, if it is one of these. A project `sys` of an earlier feitian
    /// does not hide them, nor one of the name `information_schema`.
    pub(crate) fn named(project: &str, name: &str) -> Option<Self> {
        let documented = |name: &str| Self::DOCUMENTED.into_iter().find(|t| t.name() == name);
        match project {
            SYSTEM_PROJECT => Self::ALL.into_iter().find(|t| t.name() == name),
            INFORMATION => documented(name),
            CATALOG => match split_local_name(name) {
                (INFORMATION, name) => documented(name),
                _ => None,
            },
            _ => None,
        }
    }

    /// The project that its two-part name begins with.
    fn project(self) -> &'static str {
        if Self::DOCUMENTED.contains(&self) { INFORMATION } else { SYSTEM_PROJECT }
    }

    /// Its name in the project.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::InformationColumns => "columns",
            Self::Instances => "instances",
            Self::OtsTables => "ots_tables",
            Self::InformationPartitions | Self::Partitions => "partitions",
            Self::Ranges => "ranges",
            Self::Sessions => "sessions",
            Self::InformationTables | Self::Tables => "tables",
            Self::Tasks => "tasks",
        }
    }

    fn comment(self) -> &'static str {
        match self {
            Self::Config => "Settings of the process that runs the query.",
            Self::InformationColumns => "Columns of tables and views.",
            Self::Instances => "Jobs, for as long as they are remembered.",
            Self::OtsTables => "Tables of the table store, and their indexes.",
            Self::InformationPartitions | Self::Partitions => "Partitions of partitioned tables.",
            Self::Ranges => "Ranges of keys of the table store, each with one owner.",
            Self::Sessions => "Sessions of the tunnel and the storage API, until a day after their end.",
            Self::InformationTables | Self::Tables => "Tables and views.",
            Self::Tasks => "Stages of jobs.",
        }
    }

    fn columns(self) -> Vec<Column> {
        match self {
            Self::Config => column::described(config::Config::COLUMNS),
            Self::InformationColumns => column::described(information::InformationColumns::COLUMNS),
            Self::InformationPartitions => column::described(information::InformationPartitions::COLUMNS),
            Self::InformationTables => column::described(information::InformationTables::COLUMNS),
            Self::Instances => column::described(instances::Instances::COLUMNS),
            Self::OtsTables => column::described(ots::OtsTables::COLUMNS),
            Self::Partitions => column::described(partitions::Partitions::COLUMNS),
            Self::Ranges => column::described(ots::Ranges::COLUMNS),
            Self::Sessions => column::described(sessions::Sessions::COLUMNS),
            Self::Tables => column::described(tables::Tables::COLUMNS),
            Self::Tasks => column::described(tasks::Tasks::COLUMNS),
        }
    }

    /// The table as DESC shows it. It has no files.
    pub(crate) fn described(self) -> OpenTable {
        let row = Table {
            id: format!("{}.{}", self.project(), self.name()),
            project: self.project().to_string(),
            schema_name: DEFAULT_SCHEMA.to_string(),
            name: self.name().to_string(),
            kind: "MANAGED_TABLE".to_string(),
            owner: SYSTEM_PROJECT.to_string(),
            location: String::new(),
            schema: TableSchema { columns: self.columns(), partition_columns: Vec::new() },
            schema_version: 0,
            comment: self.comment().to_string(),
            properties: "{}".to_string(),
            lifecycle: -1,
            view_text: None,
            created_ms: 0,
            ddl_ms: 0,
            modified_ms: 0,
            log_version: -1,
            dropped_ms: None,
        };
        OpenTable { row, snapshot: None }
    }

    /// The table inside a query of this session, with the rows that its account may see.
    pub(crate) async fn provider(self, session: &Session) -> Result<Arc<dyn TableProvider>> {
        let viewer = Arc::new(Viewer::of(session).await?);
        let schema = engine_schema(&self.columns());
        Ok(Arc::new(scan::SystemProvider { table: self, schema, viewer, warehouse: session.warehouse.clone() }))
    }
}

/// What one scan reads.
#[derive(Clone)]
struct Reading {
    table: SystemTable,
    ask: Ask,
    viewer: Arc<Viewer>,
    warehouse: Warehouse,
    /// Places of the columns that are wanted.
    wanted: Vec<usize>,
    /// Rows of a page, at least 1.
    page_rows: i64,
}

/// The rows of one system table, page by page.
trait Pages: Send + Sized + 'static {
    type Row: Send + 'static;

    const COLUMNS: &'static [Col<Self::Row>];

    /// The next rows, none perhaps; `None` at the end.
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Vec<Self::Row>>>>;
}

impl Reading {
    /// The rows, as batches of the wanted columns, which `schema` describes.
    fn open(&self, schema: arrow::datatypes::SchemaRef) -> SendableRecordBatchStream {
        match self.table {
            SystemTable::Config => self.stream(config::Config::new(self), schema),
            SystemTable::InformationColumns => self.stream(information::InformationColumns::new(self), schema),
            SystemTable::InformationPartitions => self.stream(information::InformationPartitions::new(self), schema),
            SystemTable::InformationTables => self.stream(information::InformationTables::new(self), schema),
            SystemTable::Instances if self.wanted.is_empty() && self.ask.equal("instance_id").is_none() => {
                self.stream(instances::Count::new(self), schema)
            }
            SystemTable::Instances => self.stream(instances::Instances::new(self, instances::parts(self)), schema),
            SystemTable::OtsTables => self.stream(ots::OtsTables::new(self), schema),
            SystemTable::Partitions => self.stream(partitions::Partitions::new(self), schema),
            SystemTable::Ranges => self.stream(ots::Ranges::new(self), schema),
            SystemTable::Sessions => self.stream(sessions::Sessions::new(self), schema),
            SystemTable::Tables => self.stream(tables::Tables::new(self, self.wants(&tables::SUMS)), schema),
            SystemTable::Tasks => self.stream(tasks::Tasks::new(self), schema),
        }
    }

    /// True if one of these columns is wanted.
    fn wants(&self, names: &[&str]) -> bool {
        let columns = self.table.columns();
        self.wanted.iter().filter_map(|i| columns.get(*i)).any(|c| names.contains(&c.name.as_str()))
    }

    /// True if no other columns than these are wanted.
    fn wants_only(&self, names: &[&str]) -> bool {
        let columns = self.table.columns();
        self.wanted.iter().filter_map(|i| columns.get(*i)).all(|c| names.contains(&c.name.as_str()))
    }

    fn stream<P: Pages>(&self, pages: P, schema: arrow::datatypes::SchemaRef) -> SendableRecordBatchStream {
        let (wanted, of) = (self.wanted.clone(), schema.clone());
        let rows = stream::try_unfold(pages, |mut pages| async move {
            let page = pages.next().await.map_err(|e| DataFusionError::External(Box::new(e)))?;
            Ok::<_, DataFusionError>(page.map(|page| (page, pages)))
        });
        let batches = rows.and_then(move |page: Vec<P::Row>| {
            let batch = column::batch(P::COLUMNS, &wanted, &of, &page);
            async move { batch }
        });
        Box::pin(RecordBatchStreamAdapter::new(schema, batches))
    }
}

/// What a statement changes, and the action that policies name it by.
fn changed(statement: &Statement) -> Vec<(&ObjectName, &'static str)> {
    match statement {
        Statement::Insert(insert) => vec![(&insert.table, "odps:Update")],
        Statement::MultiInsert(inserts) => inserts.iter().map(|i| (&i.table, "odps:Update")).collect(),
        Statement::Dml(dml) => vec![(&dml.table, "odps:Update")],
        Statement::CreateTable(create) => vec![(&create.name, "odps:CreateTable")],
        Statement::CreateExternal(create) => vec![(&create.name, "odps:CreateTable")],
        Statement::CreateMaterialized(create) => vec![(&create.name, "odps:CreateTable")],
        Statement::Load(load) => vec![(&load.table, "odps:Update")],
        Statement::CreateView(create) => vec![(&create.name, "odps:CreateTable")],
        Statement::DropTable(drop) => vec![(&drop.name, "odps:Drop")],
        Statement::AlterTable(alter) => vec![(&alter.name, "odps:Alter")],
        Statement::Truncate(truncate) => vec![(&truncate.table, "odps:Update")],
        Statement::Repair(repair) => vec![(&repair.table, "odps:Alter")],
        Statement::CloneTable(clone) => vec![(&clone.to, "odps:CreateTable")],
        Statement::RestoreTable(restore) => vec![(restore.to.as_ref().unwrap_or(&restore.table), "odps:Update")],
        _ => Vec::new(),
    }
}

/// Refuses a statement that would change a table of `sys`, or put something among them, and its explanation too.
///
/// # Errors
/// `ODPS-0130013`, which clients know as missing privilege.
pub(crate) async fn refuse_change(session: &Session, statement: &Statement) -> Result<()> {
    let statement = match statement {
        Statement::Explain { statement, .. } => statement,
        other => other,
    };
    for (name, action) in changed(statement) {
        refuse_change_of(session, name, action).await?;
    }
    if let Statement::CreateSchema { name, .. } | Statement::DropSchema { name, .. } = statement {
        let schema = names::schema_of(session, name)?;
        if is_only_ours(session, &schema.project).await? {
            return Err(denied("odps:CreateSchema", &format!("projects/{SYSTEM_PROJECT}"), schema.at));
        }
    }
    Ok(())
}

/// The same for one table and the action that policies name the change by.
pub(crate) async fn refuse_change_of(session: &Session, name: &ObjectName, action: &str) -> Result<()> {
    let (project, table, at) = names::table_name(name, session)?;
    if SystemTable::named(&project, &table).is_some() || is_only_ours(session, &project).await? {
        return Err(denied(action, &format!("projects/{project}/tables/{table}"), at));
    }
    Ok(())
}

/// True for `sys`, unless a project of that name was there before the name was taken.
async fn is_only_ours(session: &Session, project: &str) -> Result<bool> {
    Ok(project == SYSTEM_PROJECT && session.warehouse.meta().project(project).await?.is_none())
}

fn denied(action: &str, resource: &str, at: Position) -> Error {
    let detail = format!(
        "Authorization Failed [4019], You have NO privilege '{action}' on {{acs:odps:*:{resource}}}, because \
         tables of the system can only be read"
    );
    statement_error(Kind::Denied, "ODPS-0130013", at, "Authorization exception", &detail)
}
