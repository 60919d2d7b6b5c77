//! Scripts that ask on their way: variables of expressions, IF and LOOP.
//!
//! 1. The whole text is read, all branches of it, so that one with a mistake does nothing.
//! 2. It is read again, and what it asks is computed where it stands. DDL takes effect there, and so does everything in a
//!    text that is no script: each statement as a step of its place in the text.
//! 3. The INSERTs of a script wait for its end and take effect together, as a step behind all places. Which they are is
//!    decided before any of them takes effect: an attempt that comes after that step finds another answer perhaps, but
//!    nothing left to do except a query, and a script is refused whose query would depend on it.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema};
use datafusion::common::ScalarValue;
use datafusion::datasource::{DefaultTableSource, MemTable};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::logical_expr::TableSource;
use feitian_base::{Error, Result};
use feitian_functions::coercion::type_name;
use feitian_sql::{Compute, Next, Parsed, Position, Program, Script, SqlError, Statement};
use feitian_types::Column;
use futures::StreamExt;
use sqlparser::ast::ObjectName;

use super::names::{self, TableName};
use super::script::{self, refuse};
use super::{Rows, Session, errors, fold, plan_query, run_plan, second_query, sql_function, step};
use crate::jobs::JobOutput;

/// A script may have so many INSERTs (documented limit of INSERT into several tables).
const MAX_INSERTS: usize = 256;

/// All variables together keep so much.
const MAX_KEPT_BYTES: usize = 64 << 20;

/// How far a script has come.
struct Course {
    is_script: bool,
    /// The INSERTs and the query of a script.
    waiting: Vec<Parsed>,
    has_query: bool,
    /// The tables that variables and conditions have read.
    asked: BTreeSet<TableName>,
    /// How much its variables keep.
    kept_bytes: usize,
    output: JobOutput,
}

/// Runs the text of the session, which `script` is.
pub(super) async fn run(session: &mut Session, script: &Script) -> Result<JobOutput> {
    let is_script = session.settings.is_script();
    if let (Some(at), false) = (script.control, is_script) {
        let what = "IF, LOOP or BEGIN outside of script mode (SET odps.sql.submit.mode=script)";
        return Err(errors::front_end(SqlError::unsupported(at, what)));
    }
    script::check(&script.statements, is_script)?;
    let text = session.instance.query.clone();
    let program = Program::cut(&text).map_err(errors::front_end)?;
    let mut reader = program.reader();
    let output = JobOutput::Text(String::new());
    let (waiting, asked) = (Vec::new(), BTreeSet::new());
    let mut course = Course { is_script, waiting, has_query: false, asked, kept_bytes: 0, output };
    loop {
        match reader.step().map_err(errors::front_end)? {
            Next::End => break,
            Next::Compute(wanted) => {
                let values = course.compute(session, wanted).await?;
                reader.answer(&values).map_err(errors::front_end)?;
            }
            Next::Statement(parsed) => course.statement(session, *parsed).await?,
        }
    }
    course.finish(session, program.len() as i64).await
}

impl Course {
    /// The values of the row that is wanted, as [`feitian_sql::Reader::answer`] takes them.
    async fn compute(&mut self, session: &mut Session, wanted: Compute) -> Result<Vec<Option<String>>> {
        session.settings.refuse_modes()?;
        // Another attempt must find the same time, and take the same branches.
        session.statement_ms = session.instance.submitted_ms;
        let state = session.state()?;
        let mut read = fold::tables(&wanted.query, session)?;
        let planned = plan_query(session, &state, *wanted.query).await?;
        read.extend(planned.tables.iter().map(|t| (t.row.project.clone(), t.row.local_name())));
        self.note(session, read, wanted.position)?;
        let Rows { columns, mut stream } = run_plan(session, &state, planned).await?;
        if let Some(table) = wanted.table {
            let rows = self.kept(&columns, stream, wanted.position).await?;
            session.cached.insert(table, rows);
            return Ok(Vec::new());
        }
        let mut row = None;
        while let Some(batch) = stream.next().await {
            let batch = batch.map_err(crate::engine_error)?;
            if row.is_none() && batch.num_rows() > 0 {
                row = Some(batch.slice(0, 1));
            }
        }
        let row = row.ok_or_else(|| Error::internal("a SELECT without FROM has made no row"))?;
        let mut values = Vec::with_capacity(row.num_columns());
        for column in row.columns() {
            values.push(ScalarValue::try_from_array(column, 0).map_err(errors::engine)?);
        }
        if wanted.is_condition {
            check_condition(values.first(), wanted.position)?;
        }
        if let (Some(function), Some(value)) = (wanted.function, values.first()) {
            self.keep(&row, wanted.position)?;
            let schema = row.schema();
            let constant = sql_function::constant(&function, value.clone(), schema.field(0));
            session.values.insert(function, Arc::new(constant));
        }
        Ok(values.iter().map(text_of).collect())
    }

    /// The rows of a query as a table in memory.
    async fn kept(
        &mut self,
        columns: &[Column],
        mut stream: SendableRecordBatchStream,
        at: Position,
    ) -> Result<Arc<dyn TableSource>> {
        let is_repeated = |(i, c): &(usize, &Column)| columns[..*i].iter().any(|before| before.name == c.name);
        if let Some((_, twice)) = columns.iter().enumerate().find(is_repeated) {
            let detail = format!("column {} is ambiguous, because it occurs more than once", twice.name);
            return Err(errors::semantic(at, detail));
        }
        let of_query = stream.schema();
        let named = of_query.fields().iter().zip(columns);
        let fields: Vec<Field> =
            named.map(|(f, c)| f.as_ref().clone().with_name(&c.name).with_nullable(true)).collect();
        let schema = Arc::new(Schema::new(fields));
        let mut batches = Vec::new();
        while let Some(batch) = stream.next().await {
            let batch = batch.map_err(crate::engine_error)?;
            self.keep(&batch, at)?;
            let batch = RecordBatch::try_new(schema.clone(), batch.columns().to_vec());
            batches.push(batch.map_err(|e| Error::internal(format!("keeping rows: {e}")))?);
        }
        let table = MemTable::try_new(schema, vec![batches]).map_err(errors::engine)?;
        Ok(Arc::new(DefaultTableSource::new(Arc::new(table))))
    }

    /// Counts what a variable keeps from now on.
    fn keep(&mut self, batch: &RecordBatch, at: Position) -> Result<()> {
        self.kept_bytes = self.kept_bytes.saturating_add(batch.get_array_memory_size());
        if self.kept_bytes <= MAX_KEPT_BYTES {
            return Ok(());
        }
        let what = format!("a script whose variables keep more than {} MiB", MAX_KEPT_BYTES >> 20);
        Err(errors::front_end(SqlError::unsupported(at, what)))
    }

    /// Refuses a value that an attempt after a restart would not find again.
    fn note(&mut self, session: &Session, read: BTreeSet<TableName>, at: Position) -> Result<()> {
        if read.is_empty() {
            return Ok(());
        }
        if !self.is_script {
            let what = "a variable that reads a table, outside of script mode (SET odps.sql.submit.mode=script),";
            return Err(errors::front_end(SqlError::unsupported(at, what)));
        }
        if let Some((project, table)) = written(session, &self.waiting)?.intersection(&read).next() {
            let detail = format!("table {project}.{table} is read after an INSERT of the same script that writes it");
            return Err(errors::semantic(at, detail));
        }
        self.asked.extend(read);
        Ok(())
    }

    async fn statement(&mut self, session: &mut Session, mut parsed: Parsed) -> Result<()> {
        let is_query = parsed.statement.is_query();
        if is_query && std::mem::replace(&mut self.has_query, true) {
            return Err(second_query(parsed.position));
        }
        if self.is_script && (is_query || script::writes(&parsed)) {
            if self.waiting.len() > MAX_INSERTS {
                let detail = format!("a script has more than {MAX_INSERTS} INSERTs");
                return Err(errors::semantic(parsed.position, detail));
            }
            // Where variables stand has been looked at already, in the order of the text.
            parsed.variables = None;
            self.waiting.push(parsed);
            return Ok(());
        }
        // What waits would mean other tables and other values behind them.
        let of_text = matches!(parsed.statement, Statement::Set { .. } | Statement::Use { .. });
        let keeps_meaning = parsed.statement.is_temporary() || (of_text && self.waiting.is_empty());
        if self.is_script && !keeps_meaning {
            self.check_place(&parsed)?;
        }
        let place = parsed.place as i64;
        step(session, parsed.statement, place, None, &mut self.output).await
    }

    fn check_place(&self, parsed: &Parsed) -> Result<()> {
        if parsed.in_block {
            return refuse(parsed, "a statement other than an assignment, INSERT or SELECT inside IF, LOOP or BEGIN");
        }
        if !self.waiting.is_empty() {
            return refuse(parsed, "another statement after an INSERT of a script (odps.sql.submit.mode=script)");
        }
        if !self.asked.is_empty() && parsed.statement.changes_rows() {
            return refuse(parsed, "a change after a variable or a condition that reads tables");
        }
        Ok(())
    }

    /// Lets the INSERTs take effect as step `last`, and runs the query.
    async fn finish(mut self, session: &mut Session, last: i64) -> Result<JobOutput> {
        let mut waiting = std::mem::take(&mut self.waiting);
        let query = waiting.iter().find(|parsed| parsed.statement.is_query());
        let changed = written(session, &waiting)?;
        if let (Some(query), Some((project, table))) = (query, changed.intersection(&self.asked).next()) {
            let what = format!(
                "a query in a script that writes table {project}.{table}, which a variable or a condition of it reads,"
            );
            return refuse(query, &what);
        }
        let together = script::gather(session, &mut waiting)?;
        for (i, parsed) in waiting.into_iter().enumerate() {
            let together = together.as_ref().filter(|together| together.index == i as i64);
            let index = last + i64::from(parsed.statement.is_query());
            step(session, parsed.statement, index, together, &mut self.output).await?;
        }
        Ok(self.output)
    }
}

/// The tables that INSERTs write.
fn written(session: &Session, statements: &[Parsed]) -> Result<BTreeSet<TableName>> {
    let mut tables: Vec<&ObjectName> = Vec::new();
    for parsed in statements {
        match &parsed.statement {
            Statement::Insert(insert) => tables.push(&insert.table),
            Statement::MultiInsert(inserts) => tables.extend(inserts.iter().map(|insert| &insert.table)),
            _ => {}
        }
    }
    let named = |name| names::table_name(name, session).map(|(project, table, _)| (project, table));
    tables.into_iter().map(named).collect()
}

fn check_condition(value: Option<&ScalarValue>, at: Position) -> Result<()> {
    match value {
        None | Some(ScalarValue::Boolean(_) | ScalarValue::Null) => Ok(()),
        Some(other) => {
            let detail = format!("expect a BOOLEAN expression in IF, but it is {}", type_name(&other.data_type()));
            Err(errors::semantic(at, detail))
        }
    }
}

/// What a value is as the value of a partition, or as a condition; `None` for NULL and for what cannot be either.
fn text_of(value: &ScalarValue) -> Option<String> {
    match value {
        ScalarValue::Utf8(text) => text.clone(),
        ScalarValue::Boolean(value) => value.map(|v| v.to_string()),
        ScalarValue::Int8(value) => value.map(|v| v.to_string()),
        ScalarValue::Int16(value) => value.map(|v| v.to_string()),
        ScalarValue::Int32(value) => value.map(|v| v.to_string()),
        ScalarValue::Int64(value) => value.map(|v| v.to_string()),
        _ => None,
    }
}
