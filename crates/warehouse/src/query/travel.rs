//! Time travel: `t TIMESTAMP AS OF …` and `t VERSION AS OF …` read a transactional table as it was then.

use feitian_base::Result;
use feitian_functions::parse_zone;
use feitian_functions::time::{millis_of, parse_loose};
use feitian_meta::split_local_name;
use feitian_sql::{Position, object_parts};
use sqlparser::ast::{
    BinaryOperator, Expr, Function, Ident, ObjectName, TableVersion, TypedString, Value, ValueWithSpan,
};

use super::errors::{no_table, semantic};
use super::names::{TableName, table_name, text_argument};
use super::{Session, rights};
use crate::catalog::OpenTable;
use crate::ddl::is_transactional;
use crate::history::Point;
use crate::log::Version;

/// A table that a query reads as it was.
pub(super) struct Travel {
    table: TableName,
    version: TableVersion,
}

impl Travel {
    pub(super) fn new(table: TableName, version: TableVersion) -> Self {
        Self { table, version }
    }

    /// The name under which the plan knows it: another one than that of the table today. In small letters as all names are,
    /// and without dots, which would part schema and table.
    pub(super) fn key(&self) -> TableName {
        let (project, table) = &self.table;
        (project.clone(), format!("{table}@{}", self.version.to_string().to_lowercase().replace('.', ",")))
    }

    /// The table as it was. It goes by the name of its key, and by an id of its own: an INSERT into the table of today does
    /// not read that.
    /// With the columns that are not for the account.
    pub(super) async fn open(&self, session: &Session, at: Position) -> Result<(OpenTable, Vec<String>)> {
        let (project, table) = &self.table;
        let open = open_named(session, project, table, at).await?;
        if open.row.view_text.is_some() || !is_transactional(&open.row) {
            let detail =
                format!("{project}.{table} is not a transactional table: only such a one can be read as it was");
            return Err(semantic(at, detail));
        }
        let point = self.point(session, at).await?;
        let mut then = session.warehouse.catalog().at_point(&open, point, session.statement_ms(), at).await?;
        let hidden = rights::hidden(session, &open.row, &then.row.schema.columns).await?;
        let version = then.data()?.version;
        then.row.id = format!("{}@{version}", then.row.id);
        then.row.name = split_local_name(&self.key().1).1.to_string();
        Ok((then, hidden))
    }

    async fn point(&self, session: &Session, at: Position) -> Result<Point> {
        match &self.version {
            TableVersion::VersionAsOf(Expr::Function(f)) if is_call_of(f, "get_latest_version") => {
                Ok(Point::Version(latest(session, f, at).await?.version))
            }
            TableVersion::VersionAsOf(e) => whole(e)
                .map(Point::Version)
                .ok_or_else(|| semantic(at, "VERSION AS OF needs a whole number or get_latest_version('table'[, n])")),
            TableVersion::TimestampAsOf(Expr::Function(f)) if is_call_of(f, "get_latest_timestamp") => {
                Ok(Point::Time(latest(session, f, at).await?.committed_ms))
            }
            TableVersion::TimestampAsOf(e) => {
                let zone = parse_zone(&session.settings.time_zone()?).map_err(|e| semantic(at, e.details))?;
                let ms = instant(e, session.statement_ms(), &|text: &str| Some(millis_of(parse_loose(text)?, zone)));
                ms.map(Point::Time).ok_or_else(|| {
                    let forms = "a time as text, getdate() or current_timestamp() with seconds added or taken away, \
                                 or get_latest_timestamp('table'[, n])";
                    semantic(at, format!("TIMESTAMP AS OF needs {forms}"))
                })
            }
            _ => Err(semantic(at, "a table is read TIMESTAMP AS OF or VERSION AS OF")),
        }
    }
}

/// The table of today, of which the rows are to be read.
async fn open_named(session: &Session, project: &str, table: &str, at: Position) -> Result<OpenTable> {
    let open = session.warehouse.catalog().open(project, table).await.map_err(|e| match e.code() {
        "ODPS-0130131" => no_table(at, project, table),
        _ => e,
    })?;
    rights::check_table(session, &open.row, "Select", at).await?;
    Ok(open)
}

fn is_call_of(function: &Function, name: &str) -> bool {
    object_parts(&function.name) == [name]
}

/// A whole number without a sign.
fn whole(e: &Expr) -> Option<i64> {
    match e {
        Expr::Value(ValueWithSpan { value: Value::Number(digits, _), .. }) => digits.parse().ok(),
        _ => None,
    }
}

/// The instant that `e` names: a constant, or the clock with seconds added or taken away.
fn instant(e: &Expr, now_ms: i64, read: &impl Fn(&str) -> Option<i64>) -> Option<i64> {
    match e {
        Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(text), .. })
        | Expr::TypedString(TypedString {
            value: ValueWithSpan { value: Value::SingleQuotedString(text), .. }, ..
        }) => read(text),
        Expr::Function(f) => {
            let clocks = ["getdate", "now", "current_timestamp", "localtimestamp"];
            clocks.iter().any(|clock| is_call_of(f, clock)).then_some(now_ms)
        }
        Expr::BinaryOp { left, op: BinaryOperator::Plus, right } => {
            instant(left, now_ms, read)?.checked_add(whole(right)?.checked_mul(1000)?)
        }
        Expr::BinaryOp { left, op: BinaryOperator::Minus, right } => {
            instant(left, now_ms, read)?.checked_sub(whole(right)?.checked_mul(1000)?)
        }
        _ => None,
    }
}

/// The version that the `n`th last change of rows made: `get_latest_version('table'[, n])` and its sister.
async fn latest(session: &Session, function: &Function, at: Position) -> Result<Version> {
    let called = function.name.to_string().to_lowercase();
    let Some(table) = text_argument(function, 0).transpose()? else {
        return Err(semantic(at, format!("function {called} needs the name of a table")));
    };
    let n = match text_argument(function, 1).transpose()? {
        None => 1,
        Some(n) => n
            .parse::<usize>()
            .ok()
            .filter(|n| *n > 0)
            .ok_or_else(|| semantic(at, format!("function {called}: '{n}' is no number of changes")))?,
    };
    let name = ObjectName::from(table.split('.').map(|p| Ident::new(p.trim().to_lowercase())).collect::<Vec<_>>());
    let (project, table, _) = table_name(&name, session)?;
    rights::enter(session, &project).await?;
    let open = open_named(session, &project, &table, at).await?;
    let kept = session.warehouse.catalog().history(&open, session.statement_ms()).await?;
    kept.into_iter().filter(|v| v.changes_rows).nth(n - 1).ok_or_else(|| {
        semantic(at, format!("{called}: table {project}.{table} has no {n} changes of the last 24 hours"))
    })
}
