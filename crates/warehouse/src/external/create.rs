//! CREATE EXTERNAL TABLE: a row that says where the rows are. Files are not looked at, and partitions are to be added; a
//! table of the table store must be there, and is the account's.

use std::sync::Arc;

use feitian_base::Result;
use feitian_sql::{CreateExternal, Files, Position, SqlError};
use feitian_types::TableSchema;
use serde_json::{Map, Value};
use sqlparser::ast::Spanned;

use super::format::Format;
use super::mapping::Mapping;
use super::source::RowTable;
use super::{Clauses, EXTERNAL, EXTERNAL_TABLE};
use crate::catalog::NewTable;
use crate::ddl::{check_columns, check_comment, check_name, exists};
use crate::query::errors::front_end;
use crate::query::{Session, names, rights};

impl From<&Files> for Clauses {
    fn from(files: &Files) -> Self {
        Self {
            location: files.location.clone(),
            row_format: files.row_format.clone(),
            stored_as: files.stored_as.clone(),
            handler: files.handler.clone(),
            options: files.options.clone(),
        }
    }
}

/// Where the rows are.
enum Place {
    Files(Format),
    Rows(Mapping, Arc<dyn RowTable>),
}

impl Place {
    /// What the clauses say, if the job may make a table of it.
    async fn of(session: &Session, project: &str, clauses: &mut Clauses, at: Position) -> Result<Self> {
        if let Some(mapping) = Mapping::of(clauses, at)? {
            let source = mapping.admit(session, at).await?;
            return Ok(Self::Rows(mapping, source));
        }
        let (location, format) = clauses.resolve(at)?;
        // Whoever may read the table reads these files, so that they must be the project's own.
        location.check_rights(session, at).await?;
        if location.project() != project {
            let what = "files of another project's bucket; LOAD brings them into a table";
            return Err(front_end(SqlError::unsupported(at, what)));
        }
        clauses.location = location.text();
        Ok(Self::Files(format))
    }

    /// Refuses columns that cannot be there.
    fn check(&self, schema: &TableSchema, at: Position) -> Result<()> {
        match self {
            Self::Files(format) => format.check_columns(&schema.columns, at),
            Self::Rows(..) if schema.is_partitioned() => {
                let what = "PARTITIONED BY of a table of the table store";
                Err(front_end(SqlError::unsupported(at, what)))
            }
            Self::Rows(mapping, source) => {
                mapping.check_columns(&schema.columns, at)?;
                mapping.check_key(&schema.columns, source.key(), at)
            }
        }
    }
}

/// `CREATE EXTERNAL TABLE`
pub(crate) async fn create(session: &Session, create: CreateExternal, index: i64) -> Result<()> {
    let at = Position::from(create.name.span());
    let (project, name, _) = names::table_name(&create.name, session)?;
    rights::check_project(session, &project, "CreateTable").await?;
    check_name(&name, at)?;
    names::check_schema(session, &project, &name, at).await?;
    let place = create.files.position;
    let mut clauses = Clauses::from(&create.files);
    let found = Place::of(session, &project, &mut clauses, place).await?;
    check_comment(create.comment.as_deref().unwrap_or_default(), at)?;
    let schema = TableSchema { columns: create.columns, partition_columns: create.partition_columns };
    check_columns(&schema, at)?;
    found.check(&schema, at)?;
    if let Some(column) = schema.partition_columns.iter().find(|c| c.name.starts_with('_')) {
        let what = format!("partition column {} of an external table: its directories would be hidden", column.name);
        return Err(front_end(SqlError::unsupported(at, what)));
    }
    if let Some(column) = schema.all_columns().find(|c| !c.nullable || c.default.is_some()) {
        let what = format!("NOT NULL or DEFAULT in an external table (column {})", column.name);
        return Err(front_end(SqlError::unsupported(at, what)));
    }
    if create.properties.iter().any(|(key, _)| key.eq_ignore_ascii_case("transactional")) {
        return Err(front_end(SqlError::unsupported(at, "'transactional' of an external table")));
    }
    if session.warehouse.meta().table_named(&project, &name).await?.is_some() {
        return if create.if_not_exists { Ok(()) } else { Err(exists(at, &project, &name)) };
    }
    let mut properties: Map<String, Value> =
        create.properties.into_iter().map(|(key, value)| (key, Value::String(value))).collect();
    let kept = serde_json::to_string(&clauses).map_err(|e| feitian_base::Error::internal(e.to_string()))?;
    properties.insert(EXTERNAL.to_string(), Value::String(kept));
    let new = NewTable {
        dir: None,
        project,
        name,
        kind: EXTERNAL_TABLE.to_string(),
        owner: session.instance.owner.clone(),
        schema,
        comment: create.comment.unwrap_or_default(),
        properties,
        lifecycle: -1,
        view_text: None,
    };
    match session.warehouse.catalog().create(new, None, &session.step(index)).await {
        // Another job was faster.
        Err(e) if e.code() == "ODPS-0130211" && create.if_not_exists => Ok(()),
        result => result,
    }
}
