//! Rows, keys and cells of the table store, as requests and answers carry them.

/// What a cell holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Int(i64),
    /// Finite: the protocol knows neither NaN nor infinity.
    Double(f64),
    Bool(bool),
    Str(String),
    Bin(Vec<u8>),
}

impl Value {
    /// The name of the type in error messages.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Int(_) => "VT_INTEGER",
            Self::Double(_) => "VT_DOUBLE",
            Self::Bool(_) => "VT_BOOLEAN",
            Self::Str(_) => "VT_STRING",
            Self::Bin(_) => "VT_BLOB",
        }
    }

    /// The bytes that capacity units count.
    pub fn size(&self) -> usize {
        match self {
            Self::Int(_) | Self::Double(_) => 8,
            Self::Bool(_) => 1,
            Self::Str(text) => text.len(),
            Self::Bin(bytes) => bytes.len(),
        }
    }
}

/// What a column of a key holds in a request.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum KeyValue {
    Int(i64),
    Str(String),
    Bin(Vec<u8>),
    /// Below every value, as a bound of a range.
    InfMin,
    /// Above every value, as a bound of a range.
    InfMax,
    /// The server is to choose the value (`AUTO_INCREMENT`).
    Auto,
}

impl KeyValue {
    /// The name of the type in error messages.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Int(_) => "VT_INTEGER",
            Self::Str(_) => "VT_STRING",
            Self::Bin(_) => "VT_BLOB",
            Self::InfMin => "VT_INF_MIN",
            Self::InfMax => "VT_INF_MAX",
            Self::Auto => "VT_AUTO_INCREMENT",
        }
    }

    /// The bytes that capacity units count; bounds and placeholders have none.
    pub fn size(&self) -> usize {
        match self {
            Self::Int(_) => 8,
            Self::Str(text) => text.len(),
            Self::Bin(bytes) => bytes.len(),
            Self::InfMin | Self::InfMax | Self::Auto => 0,
        }
    }

    /// The same as the value of a cell, for conditions that name a column of the key. Bounds and placeholders are none.
    pub fn to_value(&self) -> Option<Value> {
        match self {
            Self::Int(v) => Some(Value::Int(*v)),
            Self::Str(text) => Some(Value::Str(text.clone())),
            Self::Bin(bytes) => Some(Value::Bin(bytes.clone())),
            Self::InfMin | Self::InfMax | Self::Auto => None,
        }
    }
}

/// A column of a key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KeyColumn {
    pub name: String,
    pub value: KeyValue,
}

/// What an update does to a column other than putting a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CellOp {
    /// Removes every version.
    DeleteAll,
    /// Removes the version that the cell names.
    DeleteOne,
    /// Adds the cell's value to the newest one.
    Increment,
}

/// A version of an attribute column, or what is to be done to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    pub name: String,
    /// None where a version or all of them are to go.
    pub value: Option<Value>,
    /// None: put.
    pub op: Option<CellOp>,
    /// In milliseconds since 1970; none: the server's clock.
    pub version: Option<i64>,
}

/// A row, or the change of one.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Row {
    pub key: Vec<KeyColumn>,
    pub cells: Vec<Cell>,
    /// The delete marker: the row is to go.
    pub deleted: bool,
}

/// Where a change stands in the order of a stream. It compares as the changes happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Sequence {
    pub epoch: u32,
    /// In microseconds.
    pub timestamp_us: i64,
    pub row_index: u32,
}
