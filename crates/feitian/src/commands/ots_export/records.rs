//! The columns of an export and how cells become records of them: docs/table-store.md has them as a table.
//!
//! Cells of one column may have different types, and rows any columns, so that a record is a cell: the key, then name,
//! version and type, then one column for each type, of which one has the value.

use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryBuilder, BooleanBuilder, Float64Builder, Int64Builder, RecordBatch, StringBuilder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use feitian_wire::ots::messages::PrimaryKeyType;
use feitian_wire::ots::{Cell, KeyColumn, KeyValue, Value};

use super::KeyPart;
use crate::failure::{Failure, Result};

/// The columns of a cell.
const CELL: [(&str, DataType); 8] = [
    ("cell_name", DataType::Utf8),
    ("cell_version", DataType::Int64),
    ("cell_type", DataType::Utf8),
    ("cell_int", DataType::Int64),
    ("cell_double", DataType::Float64),
    ("cell_bool", DataType::Boolean),
    ("cell_string", DataType::Utf8),
    ("cell_binary", DataType::Binary),
];

/// Records are handed on when there are so many, or when they have so many bytes.
const MAX_RECORDS: usize = 65_536;
const MAX_BYTES: usize = 8 << 20;

/// The name of a type of keys, as DescribeTable's users know it.
pub(super) fn key_type(kind: PrimaryKeyType) -> &'static str {
    match kind {
        PrimaryKeyType::Integer => "INTEGER",
        PrimaryKeyType::String => "STRING",
        PrimaryKeyType::Binary => "BINARY",
    }
}

fn cell_type(value: &Value) -> &'static str {
    match value {
        Value::Int(_) => "INTEGER",
        Value::Double(_) => "DOUBLE",
        Value::Bool(_) => "BOOLEAN",
        Value::Str(_) => "STRING",
        Value::Bin(_) => "BINARY",
    }
}

/// The columns of the key as the table has them, then those of a cell. Where a key has a column of such a name, those of
/// a cell get underscores in front.
fn schema(key: &[KeyPart]) -> Schema {
    let is_taken = |front: &str| CELL.iter().any(|(name, _)| key.iter().any(|k| k.name == format!("{front}{name}")));
    let mut front = String::new();
    while is_taken(&front) {
        front.push('_');
    }
    let key_field = |part: &KeyPart| {
        let ty = match part.kind {
            PrimaryKeyType::Integer => DataType::Int64,
            PrimaryKeyType::String => DataType::Utf8,
            PrimaryKeyType::Binary => DataType::Binary,
        };
        Field::new(&part.name, ty, false)
    };
    let cell_field = |(name, ty): (&str, DataType)| Field::new(format!("{front}{name}"), ty, true);
    Schema::new(key.iter().map(key_field).chain(CELL.into_iter().map(cell_field)).collect::<Vec<_>>())
}

/// A column of the key.
enum KeyBuilder {
    Int(Int64Builder),
    Text(StringBuilder),
    Bytes(BinaryBuilder),
}

impl KeyBuilder {
    fn new(part: &KeyPart) -> Self {
        match part.kind {
            PrimaryKeyType::Integer => Self::Int(Int64Builder::new()),
            PrimaryKeyType::String => Self::Text(StringBuilder::new()),
            PrimaryKeyType::Binary => Self::Bytes(BinaryBuilder::new()),
        }
    }

    /// False if the value has another type.
    fn add(&mut self, value: &KeyValue) -> bool {
        match (self, value) {
            (Self::Int(column), KeyValue::Int(number)) => column.append_value(*number),
            (Self::Text(column), KeyValue::Str(text)) => column.append_value(text),
            (Self::Bytes(column), KeyValue::Bin(bytes)) => column.append_value(bytes),
            _ => return false,
        }
        true
    }

    fn take(&mut self) -> ArrayRef {
        match self {
            Self::Int(column) => Arc::new(column.finish()),
            Self::Text(column) => Arc::new(column.finish()),
            Self::Bytes(column) => Arc::new(column.finish()),
        }
    }
}

/// Records that were not handed on yet.
pub(super) struct Records {
    schema: SchemaRef,
    key: Vec<KeyBuilder>,
    name: StringBuilder,
    version: Int64Builder,
    ty: StringBuilder,
    int: Int64Builder,
    double: Float64Builder,
    flag: BooleanBuilder,
    text: StringBuilder,
    binary: BinaryBuilder,
    count: usize,
    bytes: usize,
}

impl Records {
    pub(super) fn new(key: &[KeyPart]) -> Self {
        Self {
            schema: Arc::new(schema(key)),
            key: key.iter().map(KeyBuilder::new).collect(),
            name: StringBuilder::new(),
            version: Int64Builder::new(),
            ty: StringBuilder::new(),
            int: Int64Builder::new(),
            double: Float64Builder::new(),
            flag: BooleanBuilder::new(),
            text: StringBuilder::new(),
            binary: BinaryBuilder::new(),
            count: 0,
            bytes: 0,
        }
    }

    pub(super) fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    /// Adds a cell of the row with this key, or the row itself if it has none.
    pub(super) fn add(&mut self, key: &[KeyColumn], cell: Option<&Cell>) -> Result<()> {
        let names = self.schema.fields().iter().map(|field| field.name());
        let fits = key.len() == self.key.len() && key.iter().zip(names).all(|(column, name)| column.name == *name);
        if !fits || !self.key.iter_mut().zip(key).all(|(builder, column)| builder.add(&column.value)) {
            return Err(Failure::new("a row has another key than the table; was the table made again meanwhile?"));
        }
        let value = match cell {
            None => None,
            Some(Cell { value: Some(value), op: None, .. }) => Some(value),
            Some(cell) => return Err(Failure::new(format!("the column {} came without a value", cell.name))),
        };
        self.name.append_option(cell.map(|cell| cell.name.as_str()));
        self.version.append_option(cell.and_then(|cell| cell.version));
        self.ty.append_option(value.map(cell_type));
        let int = |value: &Value| if let Value::Int(v) = value { Some(*v) } else { None };
        let double = |value: &Value| if let Value::Double(v) = value { Some(*v) } else { None };
        let flag = |value: &Value| if let Value::Bool(v) = value { Some(*v) } else { None };
        self.int.append_option(value.and_then(int));
        self.double.append_option(value.and_then(double));
        self.flag.append_option(value.and_then(flag));
        match value {
            Some(Value::Str(text)) => self.text.append_value(text),
            _ => self.text.append_null(),
        }
        match value {
            Some(Value::Bin(bytes)) => self.binary.append_value(bytes),
            _ => self.binary.append_null(),
        }
        self.count += 1;
        self.bytes += key.iter().map(|column| column.value.size()).sum::<usize>();
        self.bytes += cell.map_or(0, |cell| cell.name.len()) + value.map_or(0, Value::size);
        Ok(())
    }

    /// True when it is time to hand the records on.
    pub(super) fn is_full(&self) -> bool {
        self.count >= MAX_RECORDS || self.bytes >= MAX_BYTES
    }

    /// The records since the last call.
    pub(super) fn take(&mut self) -> Result<RecordBatch> {
        (self.count, self.bytes) = (0, 0);
        let mut columns: Vec<ArrayRef> = self.key.iter_mut().map(KeyBuilder::take).collect();
        columns.push(Arc::new(self.name.finish()));
        columns.push(Arc::new(self.version.finish()));
        columns.push(Arc::new(self.ty.finish()));
        columns.push(Arc::new(self.int.finish()));
        columns.push(Arc::new(self.double.finish()));
        columns.push(Arc::new(self.flag.finish()));
        columns.push(Arc::new(self.text.finish()));
        columns.push(Arc::new(self.binary.finish()));
        let made = RecordBatch::try_new(self.schema.clone(), columns);
        made.map_err(|e| Failure::new(format!("records without form: {e}")))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use arrow::array::{Array, AsArray};
    use arrow::datatypes::{Float64Type, Int64Type};

    use super::*;

    fn part(name: &str, kind: PrimaryKeyType) -> KeyPart {
        KeyPart { name: name.to_string(), kind }
    }

    fn key(n: i64) -> [KeyColumn; 1] {
        [KeyColumn { name: "n".into(), value: KeyValue::Int(n) }]
    }

    fn cell(name: &str, version: i64, value: Value) -> Cell {
        Cell { name: name.into(), value: Some(value), op: None, version: Some(version) }
    }

    // The values are those that go in; every record has a value in the column of its type and in no other.
    #[test]
    fn a_cell_is_a_record_with_its_value_under_its_type() {
        let mut records = Records::new(&[part("n", PrimaryKeyType::Integer)]);
        let cells = [
            cell("a", 5, Value::Int(i64::MIN)),
            cell("a", 4, Value::Double(-0.0)),
            cell("b", 5, Value::Bool(false)),
            cell("c", 5, Value::Str(String::new())),
            cell("d", 5, Value::Bin(vec![0, 255])),
        ];
        for cell in &cells {
            records.add(&key(7), Some(cell)).unwrap();
        }
        records.add(&key(8), None).unwrap();
        let batch = records.take().unwrap();
        let at = |name: &str| batch.column_by_name(name).unwrap();
        assert_eq!(at("n").as_primitive::<Int64Type>().values().to_vec(), [7, 7, 7, 7, 7, 8]);
        let names: Vec<_> = at("cell_name").as_string::<i32>().iter().collect();
        assert_eq!(names, [Some("a"), Some("a"), Some("b"), Some("c"), Some("d"), None]);
        let versions: Vec<_> = at("cell_version").as_primitive::<Int64Type>().iter().collect();
        assert_eq!(versions, [Some(5), Some(4), Some(5), Some(5), Some(5), None]);
        let types: Vec<_> = at("cell_type").as_string::<i32>().iter().flatten().collect();
        assert_eq!(types, ["INTEGER", "DOUBLE", "BOOLEAN", "STRING", "BINARY"]);
        assert_eq!(at("cell_int").as_primitive::<Int64Type>().value(0), i64::MIN);
        assert!(at("cell_double").as_primitive::<Float64Type>().value(1).is_sign_negative());
        assert!(!at("cell_bool").as_boolean().value(2));
        assert_eq!(at("cell_string").as_string::<i32>().value(3), "");
        assert_eq!(at("cell_binary").as_binary::<i32>().value(4), [0, 255]);
        let values = ["cell_int", "cell_double", "cell_bool", "cell_string", "cell_binary"];
        for (place, name) in values.iter().enumerate() {
            let is_there: Vec<bool> = (0..6).map(|row| at(name).is_valid(row)).collect();
            assert_eq!(is_there, (0..6).map(|row| row == place).collect::<Vec<_>>(), "{name}");
        }
        assert_eq!(records.take().unwrap().num_rows(), 0);
    }

    // From docs/table-store.md: underscores in front of all of them, as many as it takes.
    #[test]
    fn columns_of_a_cell_make_room_for_those_of_the_key() {
        let names = |key: &[&str]| -> Vec<String> {
            let parts: Vec<_> = key.iter().map(|name| part(name, PrimaryKeyType::Binary)).collect();
            schema(&parts).fields().iter().map(|field| field.name().clone()).collect()
        };
        assert_eq!(names(&["a"])[..3], ["a", "cell_name", "cell_version"]);
        let both = names(&["cell_type", "_cell_int"]);
        assert_eq!(both[..4], ["cell_type", "_cell_int", "__cell_name", "__cell_version"]);
        assert_eq!(both.len(), 2 + 8);
    }

    #[test]
    fn rows_of_another_table_are_refused() {
        let mut records = Records::new(&[part("n", PrimaryKeyType::Integer)]);
        let text = [KeyColumn { name: "n".into(), value: KeyValue::Str("1".into()) }];
        let other = [KeyColumn { name: "m".into(), value: KeyValue::Int(1) }];
        for key in [&text[..], &other[..], &[]] {
            assert!(records.add(key, None).is_err(), "{key:?}");
        }
        assert!(records.add(&key(1), Some(&Cell { value: None, ..cell("a", 1, Value::Int(1)) })).is_err());
    }

    #[test]
    fn many_bytes_make_a_batch_full() {
        let mut records = Records::new(&[part("n", PrimaryKeyType::Integer)]);
        let large = cell("a", 1, Value::Bin(vec![0; 2 << 20]));
        for full in [false, false, false, true] {
            records.add(&key(1), Some(&large)).unwrap();
            assert_eq!(records.is_full(), full);
        }
        records.take().unwrap();
        assert!(!records.is_full());
    }
}
