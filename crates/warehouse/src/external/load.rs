//! LOAD: the rows of files of a bucket into a table, as an INSERT of them would bring them.

use std::sync::Arc;

use datafusion::datasource::DefaultTableSource;
use datafusion::logical_expr::LogicalPlanBuilder;
use feitian_base::Result;
use feitian_sql::{Insert, Load, Position, parse_query};
use feitian_types::Column;

use super::Clauses;
use super::format::Format;
use super::location::Location;
use super::scan::{FilesScan, Source};
use crate::query::{Planned, Session, errors};

/// Files whose rows are loaded.
pub(crate) struct Loaded {
    location: Location,
    format: Format,
    at: Position,
}

impl Loaded {
    /// A plan that gives these columns of the files.
    pub(crate) fn plan(&self, session: &Session, columns: &[&Column]) -> Result<Planned> {
        let columns: Vec<Column> = columns.iter().map(|c| Column { nullable: true, ..(*c).clone() }).collect();
        self.format.check_columns(&columns, self.at)?;
        let (warehouse, location, format) = (session.warehouse.clone(), self.location.clone(), self.format.clone());
        let files = FilesScan::new(Source { warehouse, location, format, columns }, None);
        let source = Arc::new(DefaultTableSource::new(Arc::new(files)));
        let plan = LogicalPlanBuilder::scan("files", source, None).and_then(LogicalPlanBuilder::build);
        Ok(Planned { plan: plan.map_err(errors::engine)?, tables: Vec::new() })
    }
}

/// `LOAD OVERWRITE|INTO TABLE t [PARTITION (…)] FROM LOCATION …`: statement `index` of the session's job.
pub(crate) async fn load(session: &Session, load: Load, index: i64) -> Result<()> {
    let at = load.files.position;
    let (location, format) = Clauses::from(&load.files).resolve(at)?;
    location.check_rights(session, at).await?;
    // The files are the source; the query is never planned.
    let source = parse_query("SELECT 1").map_err(errors::front_end)?;
    let insert = Insert {
        table: load.table,
        overwrite: load.overwrite,
        partition: load.partition,
        if_not_exists: false,
        columns: Vec::new(),
        source,
    };
    crate::insert::run_from(session, insert, &Loaded { location, format, at }, index).await
}
