//! The table store as SQL sees it: instances of the job's account, ranges of rows as Arrow batches, rows to write.
//!
//! An INSERT changes the columns that it names and leaves what else a row has, unless it is told to put whole rows. A row
//! of which no named column has a value is there all the same: its columns are removed, and if there was no such row, it
//! is put without any.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Float64Array, Int64Array, RecordBatch, RecordBatchOptions,
    StringArray,
};
use arrow::datatypes::{DataType as ArrowType, Field, Float64Type, Int64Type};
use async_trait::async_trait;
use feitian_api::{Ots, ots_instance_name};
use feitian_base::{Error, Kind, Result};
use feitian_meta::Meta;
use feitian_tables::Tables;
use feitian_tables::model::{
    BatchWrite, Condition, Direction, Existence, GetRange, KeyType, Returns, RowChange, RowWrite, Select, TableInfo,
    TableWrites,
};
use feitian_types::DataType;
use feitian_types::arrow::column_type;
use feitian_warehouse::source::{
    Edge, Found, KeyRange, KeyValue, RowSource, RowTable, SourceColumn, SourceKey, SourceRead, SourceWrite,
};
use feitian_wire::ots::{Cell, CellOp, KeyColumn, KeyValue as StoredKey, Row, Value};
use futures::StreamExt;
use futures::stream::{self, BoxStream};

/// Changes of one batch, and their bytes: what BatchWriteRow takes.
const BATCH_CHANGES: usize = 200;
const BATCH_BYTES: usize = 4 << 20;
/// The least that the table store is asked to cut off.
const MIN_PIECE: u64 = 1 << 20;

/// The table store of this process, open or not.
pub(super) struct TableSource {
    ots: Ots,
    meta: Meta,
}

impl TableSource {
    pub(super) fn new(ots: Ots, meta: Meta) -> Self {
        Self { ots, meta }
    }
}

#[async_trait]
impl RowSource for TableSource {
    async fn table(&self, account: &str, instance: &str, table: &str) -> Result<Found> {
        let Some(name) = ots_instance_name(instance) else { return Ok(Found::NoInstance) };
        let account = self.meta.account_by_name(account).await?;
        let found = self.meta.ots_instance(&name).await?;
        let own = found.zip(account).filter(|(found, account)| account.enabled && found.account_id == account.id);
        let Some((found, _)) = own else { return Ok(Found::NoInstance) };
        let shown = format!("tablestore://{name}/{table}");
        let tables = self.ots.tables().map_err(|e| said(&shown, None, e))?;
        let info = match tables.describe_table(&found.id, table).await {
            Ok(info) => info,
            Err(e) if e.kind() == Kind::NotFound => return Ok(Found::NoTable),
            Err(e) => return Err(said(&shown, None, e)),
        };
        let index_of = index_of(&tables, &found.id, table).await.map_err(|e| said(&shown, None, e))?;
        let (ots, keys) = (self.ots.clone(), keys(&info));
        let own = Own { ots, instance: found.id, name: table.to_string(), shown, keys, index_of };
        Ok(Found::Table(Arc::new(Handle(Arc::new(own)))))
    }
}

fn keys(info: &TableInfo) -> Vec<SourceKey> {
    let ty = |kind: KeyType| match kind {
        KeyType::Integer => DataType::BigInt,
        KeyType::String => DataType::String,
        KeyType::Binary => DataType::Binary,
    };
    let key = info.key.iter();
    key.map(|k| SourceKey { name: k.name.clone(), ty: ty(k.kind), is_generated: k.auto_increment }).collect()
}

/// The table that an index is of.
async fn index_of(tables: &Tables, instance: &str, name: &str) -> Result<Option<String>> {
    let all = tables.list_tables(instance).await?;
    if all.iter().any(|table| table == name) {
        return Ok(None);
    }
    for table in all {
        // One that has gone meanwhile has taken its indexes with it.
        let Ok(info) = tables.describe_table(instance, &table).await else { continue };
        if info.indexes.iter().any(|index| index.name == name) {
            return Ok(Some(table));
        }
    }
    Ok(None)
}

/// What the table store says of a table and, if it is about one, of the row with this key, under a code of SQL.
fn said(table: &str, key: Option<&[KeyColumn]>, e: Error) -> Error {
    let row = key.map_or_else(String::new, |key| format!(" row ({})", key_text(key)));
    let text = format!("{table}{row}: {} {}", e.code(), e.message());
    let (kind, code, general) = match e.kind() {
        Kind::Unavailable | Kind::Throttled => (Kind::Unavailable, "ODPS-0123144", "Fuxi job failed"),
        Kind::Conflict => (Kind::Conflict, "ODPS-0110061", "Failed to run ddltask"),
        kind @ (Kind::Internal | Kind::Corrupt) => (kind, "ODPS-0010000", "System internal error"),
        kind => (kind, "ODPS-0123131", "User defined function exception"),
    };
    let again = if matches!(kind, Kind::Unavailable | Kind::Conflict) { "; run the job again" } else { "" };
    Error::new(kind, code, format!("{code}:[0,0] {general} - {text}{again}")).with_source(e)
}

/// A key as messages show it.
fn key_text(key: &[KeyColumn]) -> String {
    let value = |value: &StoredKey| match value {
        StoredKey::Int(number) => KeyValue::Int(*number).to_string(),
        StoredKey::Str(text) => KeyValue::Text(text.clone()).to_string(),
        StoredKey::Bin(bytes) => KeyValue::Bytes(bytes.clone()).to_string(),
        StoredKey::InfMin | StoredKey::InfMax | StoredKey::Auto => value.type_name().to_string(),
    };
    key.iter().map(|column| format!("{}={}", column.name, value(&column.value))).collect::<Vec<_>>().join(", ")
}

/// A table of an instance that the account of a job may use.
struct Own {
    ots: Ots,
    /// The id of the instance.
    instance: String,
    name: String,
    shown: String,
    keys: Vec<SourceKey>,
    index_of: Option<String>,
}

impl Own {
    /// The table store, if it is open now.
    fn tables(&self) -> Result<Tables> {
        self.ots.tables().map_err(|e| said(&self.shown, None, e))
    }

    fn key_column(&self, place: usize, value: StoredKey) -> KeyColumn {
        KeyColumn { name: self.keys.get(place).map(|key| key.name.clone()).unwrap_or_default(), value }
    }

    /// A bound as the table store has it.
    fn bound(&self, edges: &[Edge]) -> Vec<KeyColumn> {
        let value = |edge: &Edge| match edge {
            Edge::Min => StoredKey::InfMin,
            Edge::Max => StoredKey::InfMax,
            Edge::At(KeyValue::Int(number)) => StoredKey::Int(*number),
            Edge::At(KeyValue::Text(text)) => StoredKey::Str(text.clone()),
            Edge::At(KeyValue::Bytes(bytes)) => StoredKey::Bin(bytes.clone()),
        };
        edges.iter().enumerate().map(|(place, edge)| self.key_column(place, value(edge))).collect()
    }

    /// A point between two pieces as a bound; columns that are left out are below every value.
    fn edges(&self, point: &[KeyColumn]) -> Vec<Edge> {
        let edge = |column: &KeyColumn| match &column.value {
            StoredKey::Int(number) => Edge::At(KeyValue::Int(*number)),
            StoredKey::Str(text) => Edge::At(KeyValue::Text(text.clone())),
            StoredKey::Bin(bytes) => Edge::At(KeyValue::Bytes(bytes.clone())),
            StoredKey::InfMin | StoredKey::Auto => Edge::Min,
            StoredKey::InfMax => Edge::Max,
        };
        let mut edges: Vec<Edge> = point.iter().map(edge).collect();
        edges.resize(self.keys.len(), Edge::Min);
        edges
    }

    /// Writes one batch, whose changes of one row take effect in their order.
    async fn send(&self, changes: Vec<RowWrite>) -> Result<()> {
        let told: Vec<(Vec<KeyColumn>, bool)> = changes
            .iter()
            .map(|write| (key_of(&write.change).to_vec(), write.condition.existence == Existence::Missing))
            .collect();
        let tables = vec![TableWrites { table: self.name.clone(), rows: changes }];
        let batch = BatchWrite { tables, ..BatchWrite::default() };
        let alone = match told.as_slice() {
            [(key, _)] => Some(key.as_slice()),
            _ => None,
        };
        let answer = self.tables()?.batch_write(&self.instance, batch).await;
        let answer = answer.map_err(|e| said(&self.shown, alone, e))?;
        let outcomes = answer.into_iter().flat_map(|(_, rows)| rows);
        for (outcome, (key, only_if_missing)) in outcomes.zip(&told) {
            match outcome {
                Ok(_) => {}
                // The row is there, which is all that was wanted.
                Err(e) if *only_if_missing && e.code() == "OTSConditionCheckFail" => {}
                Err(e) => return Err(said(&self.shown, Some(key), e)),
            }
        }
        Ok(())
    }
}

/// A table that many readers share.
struct Handle(Arc<Own>);

#[async_trait]
impl RowTable for Handle {
    fn key(&self) -> &[SourceKey] {
        &self.0.keys
    }

    fn index_of(&self) -> Option<&str> {
        self.0.index_of.as_deref()
    }

    fn num_bytes(&self) -> u64 {
        let own = &self.0;
        // Sizes of a table store that is being closed nobody knows.
        let Ok(usage) = own.tables().and_then(|tables| tables.usage_of(&own.instance)) else { return 0 };
        usage.iter().filter(|used| *used.index.as_ref().unwrap_or(&used.table) == own.name).map(|used| used.bytes).sum()
    }

    async fn pieces(&self, num_bytes: u64) -> Result<Vec<KeyRange>> {
        let own = &self.0;
        let found = own.tables()?.split_points(&own.instance, &own.name, num_bytes.max(MIN_PIECE)).await;
        let found = found.map_err(|e| said(&own.shown, None, e))?;
        let whole = KeyRange::whole(own.keys.len());
        let mut begin = whole.begin;
        let mut pieces = Vec::with_capacity(found.points.len() + 1);
        for point in &found.points {
            let end = own.edges(point);
            pieces.push(KeyRange { begin: std::mem::replace(&mut begin, end.clone()), end });
        }
        pieces.push(KeyRange { begin, end: whole.end });
        Ok(pieces)
    }

    fn scan(&self, read: Arc<SourceRead>, range: KeyRange) -> BoxStream<'static, Result<RecordBatch>> {
        let own = self.0.clone();
        // A row that has none of the columns asked for is answered if one of them is of its key.
        let first = own.keys.first().map(|key| key.name.clone());
        let others = read.columns.iter().filter(|column| !column.is_key).map(|column| column.name.clone());
        let columns = first.into_iter().chain(others).collect();
        let (next, end, left) = (Some(own.bound(&range.begin)), own.bound(&range.end), read.limit);
        let scan = Scan { own, read, columns, next, end, left };
        let step = |mut scan: Scan| async move {
            let page = scan.page().await?;
            Ok::<_, Error>(page.map(|page| (page, scan)))
        };
        stream::try_unfold(scan, step).boxed()
    }

    async fn write(&self, rows: &RecordBatch, write: &SourceWrite) -> Result<()> {
        let (mut batch, mut num_bytes) = (Vec::new(), 0);
        for row in 0..rows.num_rows() {
            let changes = changes(rows, write, row)?;
            let more: usize = changes.iter().map(bytes_of).sum();
            let is_full = batch.len() + changes.len() > BATCH_CHANGES || num_bytes + more > BATCH_BYTES;
            if is_full && !batch.is_empty() {
                self.0.send(std::mem::take(&mut batch)).await?;
                num_bytes = 0;
            }
            num_bytes += more;
            batch.extend(changes);
        }
        if batch.is_empty() { Ok(()) } else { self.0.send(batch).await }
    }
}

/// A range that is being read.
struct Scan {
    own: Arc<Own>,
    read: Arc<SourceRead>,
    columns: Vec<String>,
    /// Where the next page begins; `None` behind the last.
    next: Option<Vec<KeyColumn>>,
    end: Vec<KeyColumn>,
    /// So many rows are still needed, if anybody knows.
    left: Option<usize>,
}

impl Scan {
    async fn page(&mut self) -> Result<Option<RecordBatch>> {
        let Some(begin) = self.next.take().filter(|_| self.left != Some(0)) else { return Ok(None) };
        let get = GetRange {
            table: self.own.name.clone(),
            direction: Direction::Forward,
            begin,
            end: self.end.clone(),
            limit: self.left.map(|left| i32::try_from(left).unwrap_or(i32::MAX)),
            select: Select { columns: self.columns.clone(), max_versions: Some(1), ..Select::default() },
            transaction: None,
        };
        let page = self.own.tables()?.get_range(&self.own.instance, get).await;
        let page = page.map_err(|e| said(&self.own.shown, None, e))?;
        self.left = self.left.map(|left| left.saturating_sub(page.rows.len()));
        self.next = page.next;
        to_batch(&self.own.shown, &self.read, &page.rows).map(Some)
    }
}

/// A value as it lies in a row.
#[derive(Clone, Copy)]
enum Seen<'a> {
    Int(i64),
    Double(f64),
    Bool(bool),
    Text(&'a str),
    Bytes(&'a [u8]),
}

impl<'a> Seen<'a> {
    fn int(self) -> Option<i64> {
        if let Self::Int(number) = self { Some(number) } else { None }
    }

    fn double(self) -> Option<f64> {
        if let Self::Double(number) = self { Some(number) } else { None }
    }

    fn truth(self) -> Option<bool> {
        if let Self::Bool(truth) = self { Some(truth) } else { None }
    }

    fn text(self) -> Option<&'a str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    fn bytes(self) -> Option<&'a [u8]> {
        if let Self::Bytes(bytes) = self { Some(bytes) } else { None }
    }

    /// In the words of the table store.
    fn type_name(self) -> &'static str {
        match self {
            Self::Int(_) => "INTEGER",
            Self::Double(_) => "DOUBLE",
            Self::Bool(_) => "BOOLEAN",
            Self::Text(_) => "STRING",
            Self::Bytes(_) => "BINARY",
        }
    }
}

/// What a row has in a column; cells are in the order of their names, one of each.
fn seen<'a>(row: &'a Row, column: &SourceColumn) -> Option<Seen<'a>> {
    if column.is_key {
        let key = row.key.iter().find(|key| key.name == column.name)?;
        return match &key.value {
            StoredKey::Int(number) => Some(Seen::Int(*number)),
            StoredKey::Str(text) => Some(Seen::Text(text)),
            StoredKey::Bin(bytes) => Some(Seen::Bytes(bytes)),
            StoredKey::InfMin | StoredKey::InfMax | StoredKey::Auto => None,
        };
    }
    let at = row.cells.binary_search_by(|cell| cell.name.as_str().cmp(&column.name)).ok()?;
    Some(match row.cells[at].value.as_ref()? {
        Value::Int(number) => Seen::Int(*number),
        Value::Double(number) => Seen::Double(*number),
        Value::Bool(truth) => Seen::Bool(*truth),
        Value::Str(text) => Seen::Text(text),
        Value::Bin(bytes) => Seen::Bytes(bytes),
    })
}

/// The rows of a page with the columns that are wanted.
fn to_batch(table: &str, read: &SourceRead, rows: &[Row]) -> Result<RecordBatch> {
    let wanted = read.columns.iter().zip(read.schema.fields());
    let all = wanted.map(|(column, field)| Column { table, rows, column, field, hides_keys: read.hides_keys });
    let arrays = all.map(|column| to_array(&column)).collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    RecordBatch::try_new_with_options(read.schema.clone(), arrays, &options)
        .map_err(|e| Error::internal(format!("rows of {table}: {e}")))
}

fn to_array(all: &Column<'_>) -> Result<ArrayRef> {
    Ok(match all.field.data_type() {
        ArrowType::Int64 => Arc::new(all.take::<_, Int64Array>(Seen::int)?),
        ArrowType::Float64 => Arc::new(all.take::<_, Float64Array>(Seen::double)?),
        ArrowType::Boolean => Arc::new(all.take::<_, BooleanArray>(Seen::truth)?),
        ArrowType::Utf8 => Arc::new(all.take::<_, StringArray>(Seen::text)?),
        ArrowType::Binary => Arc::new(all.take::<_, BinaryArray>(Seen::bytes)?),
        other => return Err(Error::internal(format!("a column of {} as {other}", all.table))),
    })
}

/// One column of some rows.
struct Column<'a> {
    table: &'a str,
    rows: &'a [Row],
    column: &'a SourceColumn,
    field: &'a Field,
    hides_keys: bool,
}

impl<'a> Column<'a> {
    /// All values. One that is not of the column's type is an error.
    fn take<T, A: FromIterator<Option<T>>>(&self, take: impl Fn(Seen<'a>) -> Option<T>) -> Result<A> {
        let one = |row: &'a Row| match seen(row, self.column) {
            None => Ok(None),
            Some(value) => take(value).map(Some).ok_or_else(|| self.mismatch(row, value)),
        };
        self.rows.iter().map(one).collect()
    }

    fn mismatch(&self, row: &Row, value: Seen<'_>) -> Error {
        let Column { table, column, field, .. } = self;
        let ty = column_type(field).map_or_else(|| field.data_type().to_string(), |ty| ty.to_string().to_uppercase());
        let words = format!("column {} holds {}, and column {} is {ty}", column.name, value.type_name(), field.name());
        let key = if self.hides_keys { "…".to_string() } else { key_text(&row.key) };
        let text = format!("{table} row ({key}): {words}");
        let text = format!("ODPS-0123131:[0,0] User defined function exception - {text}");
        Error::new(Kind::Invalid, "ODPS-0123131", text)
    }
}

/// What brings a row about.
fn changes(rows: &RecordBatch, write: &SourceWrite, row: usize) -> Result<Vec<RowWrite>> {
    let (mut key, mut cells, mut gone) = (Vec::new(), Vec::new(), Vec::new());
    for (column, values) in write.columns.iter().zip(rows.columns()) {
        let name = column.name.clone();
        match (column.is_key, value_at(values, row)?) {
            (true, value) => key.push(KeyColumn { name, value: key_value(&column.name, value)? }),
            (false, value @ Some(_)) => cells.push(Cell { name, value, op: None, version: None }),
            (false, None) => gone.push(Cell { name, value: None, op: Some(CellOp::DeleteAll), version: None }),
        }
    }
    let change = |change: RowChange, existence: Existence| RowWrite {
        change,
        condition: Condition { existence, filter: None },
        returns: Returns::Nothing,
        return_columns: Vec::new(),
    };
    let of = |key: Vec<KeyColumn>, cells: Vec<Cell>| Row { key, cells, deleted: false };
    if write.replaces {
        return Ok(vec![change(RowChange::Put(of(key, cells)), Existence::Ignore)]);
    }
    if !cells.is_empty() {
        cells.extend(gone);
        return Ok(vec![change(RowChange::Update(of(key, cells)), Existence::Ignore)]);
    }
    let put = change(RowChange::Put(of(key.clone(), Vec::new())), Existence::Missing);
    if gone.is_empty() {
        return Ok(vec![put]);
    }
    Ok(vec![change(RowChange::Update(of(key, gone)), Existence::Ignore), put])
}

/// A value of a column; `None` for NULL.
fn value_at(values: &ArrayRef, row: usize) -> Result<Option<Value>> {
    if values.is_null(row) {
        return Ok(None);
    }
    Ok(Some(match values.data_type() {
        ArrowType::Int64 => Value::Int(values.as_primitive::<Int64Type>().value(row)),
        ArrowType::Float64 => Value::Double(values.as_primitive::<Float64Type>().value(row)),
        ArrowType::Boolean => Value::Bool(values.as_boolean().value(row)),
        ArrowType::Utf8 => Value::Str(values.as_string::<i32>().value(row).to_string()),
        ArrowType::Binary => Value::Bin(values.as_binary::<i32>().value(row).to_vec()),
        other => return Err(Error::internal(format!("a value of {other} for the table store"))),
    }))
}

/// A value of a column of the key, which SQL has seen to that it has one.
fn key_value(name: &str, value: Option<Value>) -> Result<StoredKey> {
    match value {
        Some(Value::Int(number)) => Ok(StoredKey::Int(number)),
        Some(Value::Str(text)) => Ok(StoredKey::Str(text)),
        Some(Value::Bin(bytes)) => Ok(StoredKey::Bin(bytes)),
        Some(Value::Double(_) | Value::Bool(_)) | None => {
            Err(Error::internal(format!("a value of the key column {name} that none can have")))
        }
    }
}

fn key_of(change: &RowChange) -> &[KeyColumn] {
    match change {
        RowChange::Put(row) | RowChange::Update(row) => &row.key,
        RowChange::Delete(key) => key,
    }
}

/// Bytes of a change as a batch counts them: names and values.
fn bytes_of(write: &RowWrite) -> usize {
    let key: usize = key_of(&write.change).iter().map(|column| column.name.len() + column.value.size()).sum();
    let cells = match &write.change {
        RowChange::Put(row) | RowChange::Update(row) => row.cells.as_slice(),
        RowChange::Delete(_) => &[],
    };
    key + cells.iter().map(|cell| cell.name.len() + cell.value.as_ref().map_or(0, Value::size)).sum::<usize>()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use feitian_types::Column as SqlColumn;
    use feitian_types::arrow::engine_schema;

    use super::*;

    fn columns(names: &[(&str, bool)]) -> Vec<SourceColumn> {
        names.iter().map(|(name, is_key)| SourceColumn { name: (*name).into(), is_key: *is_key }).collect()
    }

    fn key(value: StoredKey) -> Vec<KeyColumn> {
        vec![KeyColumn { name: "K".into(), value }]
    }

    fn cell(name: &str, value: Value) -> Cell {
        Cell { name: name.into(), value: Some(value), op: None, version: None }
    }

    fn gone(name: &str) -> Cell {
        Cell { name: name.into(), value: None, op: Some(CellOp::DeleteAll), version: None }
    }

    // MaxCompute documentation, "Create a Tablestore external table": columns that it does not name are not changed.
    #[test]
    fn a_row_is_changed_in_its_named_columns_and_is_there_without_any() {
        let names = [("K", DataType::String), ("v", DataType::Double), ("w", DataType::Boolean)];
        let schema = engine_schema(&names.map(|(name, ty)| SqlColumn::new(name, ty)));
        let arrays: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from(vec!["a", "b"])),
            Arc::new(Float64Array::from(vec![Some(0.5), None])),
            Arc::new(BooleanArray::from(vec![None::<bool>, None])),
        ];
        let rows = RecordBatch::try_new(schema, arrays).unwrap();
        let row = |k: &str, cells: Vec<Cell>| Row { key: key(StoredKey::Str(k.into())), cells, deleted: false };
        let mut write = SourceWrite { columns: columns(&[("K", true), ("v", false), ("w", false)]), replaces: false };
        let made = |write: &SourceWrite, at: usize| -> Vec<(RowChange, Existence)> {
            changes(&rows, write, at).unwrap().into_iter().map(|made| (made.change, made.condition.existence)).collect()
        };
        let changed = RowChange::Update(row("a", vec![cell("v", Value::Double(0.5)), gone("w")]));
        assert_eq!(made(&write, 0), [(changed, Existence::Ignore)]);
        let emptied = RowChange::Update(row("b", vec![gone("v"), gone("w")]));
        let there = RowChange::Put(row("b", Vec::new()));
        assert_eq!(made(&write, 1), [(emptied, Existence::Ignore), (there.clone(), Existence::Missing)]);
        write.replaces = true;
        let put = RowChange::Put(row("a", vec![cell("v", Value::Double(0.5))]));
        assert_eq!(made(&write, 0), [(put, Existence::Ignore)]);
        assert_eq!(made(&write, 1), [(there, Existence::Ignore)]);
    }

    #[test]
    fn rows_become_columns_and_a_cell_of_another_type_is_named() {
        let names = [("n", DataType::BigInt), ("k", DataType::Binary), ("s", DataType::String)];
        let schema = engine_schema(&names.map(|(name, ty)| SqlColumn::new(name, ty)));
        let wanted = columns(&[("N", false), ("K", true), ("S", false)]);
        let mut read = SourceRead { columns: wanted, schema, limit: None, hides_keys: false };
        let row = |k: u8, cells: Vec<Cell>| Row { key: key(StoredKey::Bin(vec![k])), cells, deleted: false };
        let first = row(1, vec![cell("N", Value::Int(7)), cell("S", Value::Str("x".into()))]);
        let batch = to_batch("t", &read, &[first.clone(), row(2, Vec::new())]).unwrap();
        assert_eq!(batch.column(0).as_primitive::<Int64Type>(), &Int64Array::from(vec![Some(7), None]));
        assert_eq!(batch.column(1).as_binary::<i32>(), &BinaryArray::from(vec![&[1_u8][..], &[2]]));
        assert_eq!(batch.column(2).as_string::<i32>(), &StringArray::from(vec![Some("x"), None]));
        let other = row(255, vec![cell("N", Value::Str("seven".into()))]);
        let rows = [first, other];
        let e = to_batch("tablestore://shop/t", &read, &rows).unwrap_err();
        let words = "tablestore://shop/t row (K=X'FF'): column N holds STRING, and column n is BIGINT";
        assert!(e.message().ends_with(words), "{e}");
        read.hides_keys = true;
        let e = to_batch("tablestore://shop/t", &read, &rows).unwrap_err();
        assert!(e.message().contains("t row (…): column N holds STRING"), "{e}");
    }
}
