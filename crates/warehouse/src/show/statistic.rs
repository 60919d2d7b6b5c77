//! ANALYZE TABLE and SHOW STATISTIC: what there is in columns, counted when it is asked for.
//!
//! Plans take their numbers from the files' own statistics, so ANALYZE adds what those lack (`analyze.rs`), and SHOW
//! STATISTIC counts anew, exactly. Which metrics a type has: MaxCompute documentation, "Collect information for the
//! optimizer"; the values with the highest frequency are left out.

use std::fmt::Write;

use arrow::array::{Array, RecordBatch, StringArray};
use feitian_base::{Error, Result};
use feitian_sql::{ColumnRef, Position, parse_query};
use feitian_types::{Column, DataType, PartitionSpec};
use futures::TryStreamExt;
use sqlparser::ast::{ObjectName, Spanned};

use super::{open, quoted};
use crate::catalog::OpenTable;
use crate::query::errors::{self, semantic};
use crate::query::{Rows, Session, plan_query, rights, run_plan};

/// `SHOW STATISTIC`: `column:metric:value` lines. For ANALYZE (`show` is false) nothing; it reads rows, and what it finds is
/// kept with the table.
pub(crate) async fn statistic(
    session: &Session,
    name: &ObjectName,
    partition: Option<&PartitionSpec>,
    columns: &[ColumnRef],
    show: bool,
) -> Result<String> {
    let at = Position::from(name.span());
    let table = open(session, name).await?;
    if table.snapshot.is_none() {
        let detail = format!("{}.{} is no table with data of its own", table.row.project, table.row.local_name());
        return Err(semantic(at, detail));
    }
    rights::check_table(session, &table.row, "Select", at).await?;
    if !show {
        rights::check_table(session, &table.row, "Alter", at).await?;
    }
    let condition = partition.map(|spec| condition(&table, spec, at)).transpose()?;
    let wanted = wanted(&table, columns)?;
    if !show {
        let names: Vec<String> = columns.iter().map(|c| c.name.clone()).collect();
        session.warehouse.analyze(&table.row.id, &names, partition).await?;
        return Ok(String::new());
    }
    let asked: Vec<(&str, &str, String)> = wanted
        .iter()
        .flat_map(|c| metrics(c).into_iter().map(move |(metric, sql)| (c.name.as_str(), metric, sql)))
        .collect();
    let values = ask(session, &table, &asked, condition).await?;
    let mut text = String::new();
    for ((column, metric, _), value) in asked.iter().zip(values) {
        let _ = writeln!(text, "{column}:{metric}:{value}");
    }
    Ok(text)
}

/// The columns of these names; all that are no partition columns if none is named.
fn wanted<'a>(table: &'a OpenTable, names: &[ColumnRef]) -> Result<Vec<&'a Column>> {
    let all = &table.row.schema.columns;
    if names.is_empty() {
        return Ok(all.iter().collect());
    }
    let find = |wanted: &ColumnRef| {
        let found = all.iter().find(|c| c.name == wanted.name);
        found.ok_or_else(|| semantic(wanted.position, format!("column {} cannot be resolved", wanted.name)))
    };
    names.iter().map(find).collect()
}

/// The rows of the partitions that `spec` names.
fn condition(table: &OpenTable, spec: &PartitionSpec, at: Position) -> Result<String> {
    let columns = &table.row.schema.partition_columns;
    let one = |(name, value): &(String, String)| match columns.iter().find(|c| c.name == *name) {
        Some(c) => Ok(format!("{} = CAST({} AS {})", ident(name), quoted(value), c.ty)),
        None => Err(semantic(at, format!("{name} is no partition column"))),
    };
    Ok(spec.0.iter().map(one).collect::<Result<Vec<_>>>()?.join(" AND "))
}

fn ident(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// The metrics of a column with the expressions that compute them.
fn metrics(column: &Column) -> Vec<(&'static str, String)> {
    use DataType::{
        BigInt, Binary, Boolean, Char, Date, Datetime, Decimal, Double, Float, Int, SmallInt, String as Text,
        Timestamp, TimestampNtz, TinyInt, Varchar,
    };
    let name = ident(&column.name);
    let count = |inner: &str| format!("CAST(CAST({inner} AS DOUBLE) AS STRING)");
    let mut all = Vec::new();
    let is_ordered = matches!(
        column.ty,
        TinyInt | SmallInt | Int | BigInt | Float | Double | Decimal(..) | Date | Datetime | Timestamp | TimestampNtz
    );
    if is_ordered {
        all.push(("MaxValue", format!("CAST(MAX({name}) AS STRING)")));
        all.push(("MinValue", format!("CAST(MIN({name}) AS STRING)")));
    }
    if is_ordered || matches!(column.ty, Text | Varchar(_) | Char(_) | Boolean | Binary) {
        all.push(("DistinctNum", count(&format!("COUNT(DISTINCT {name})"))));
    }
    all.push(("NullNum", count(&format!("COUNT(*) - COUNT({name})"))));
    if matches!(column.ty, Text | Varchar(_) | Char(_)) {
        all.push(("MaxLength", count(&format!("MAX(LENGTH({name}))"))));
        all.push(("AvgLength", count(&format!("AVG(LENGTH({name}))"))));
    }
    all
}

/// The values of the expressions, which are all texts, over the rows of the table.
async fn ask(
    session: &Session,
    table: &OpenTable,
    asked: &[(&str, &str, String)],
    condition: Option<String>,
) -> Result<Vec<String>> {
    let row = &table.row;
    let from = format!("{}.{}.{}", ident(&row.project), ident(&row.schema_name), ident(&row.name));
    let items: Vec<String> = asked.iter().enumerate().map(|(i, (_, _, sql))| format!("{sql} AS m{i}")).collect();
    let filter = condition.map(|c| format!(" WHERE {c}")).unwrap_or_default();
    let text = format!("SELECT {} FROM {from}{filter}", items.join(", "));
    let mut session = session.clone();
    // All rows are meant, and the texts of values are those of MaxCompute.
    session.settings.set("odps.sql.allow.fullscan", "true");
    session.settings.set("odps.sql.hive.compatible", "false");
    let query = parse_query(&text).map_err(errors::front_end)?;
    let state = session.state()?;
    let planned = plan_query(&session, &state, *query).await?;
    let Rows { stream, .. } = run_plan(&session, &state, planned).await?;
    let batches: Vec<RecordBatch> = stream.try_collect().await.map_err(errors::engine)?;
    let batch = batches.iter().find(|b| b.num_rows() > 0);
    let batch = batch.ok_or_else(|| Error::internal("an aggregate without GROUP BY gave no row"))?;
    let value = |column: &arrow::array::ArrayRef| match column.as_any().downcast_ref::<StringArray>() {
        Some(texts) if texts.is_valid(0) => texts.value(0).to_string(),
        _ => "NULL".to_string(),
    };
    Ok(batch.columns().iter().map(value).collect())
}
