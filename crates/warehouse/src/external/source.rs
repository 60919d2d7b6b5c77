//! What a part of the program offers whose tables are no files: rows under ordered keys, such as the table store's.
//!
//! The binary implements it. Keys and names are the source's own; columns of SQL are mapped to them in `mapping`.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use feitian_base::Result;
use feitian_types::DataType;
use futures::stream::BoxStream;

/// Instances with tables.
#[async_trait]
pub trait RowSource: Send + Sync + 'static {
    /// A table of an instance, as the account of this name finds it.
    ///
    /// # Errors
    /// `Unavailable` while the source is not open in this process.
    async fn table(&self, account: &str, instance: &str, table: &str) -> Result<Found>;
}

/// What there is under a name.
pub enum Found {
    Table(Arc<dyn RowTable>),
    /// No such instance, or one of another account: nobody learns which.
    NoInstance,
    NoTable,
}

/// A table whose rows are in the order of their keys.
#[async_trait]
pub trait RowTable: Send + Sync + 'static {
    /// Its key, one column at least.
    fn key(&self) -> &[SourceKey];

    /// The table whose rows these are in another order, if they are an index of one.
    fn index_of(&self) -> Option<&str> {
        None
    }

    /// About how many bytes it holds.
    fn num_bytes(&self) -> u64;

    /// Ranges that are the whole table together, each of about so many bytes. It may read the table for them.
    async fn pieces(&self, num_bytes: u64) -> Result<Vec<KeyRange>>;

    /// The rows of a range, a page at a time. A row that changes meanwhile is given as it was before or as it is then.
    fn scan(&self, read: Arc<SourceRead>, range: KeyRange) -> BoxStream<'static, Result<RecordBatch>>;

    /// Writes rows in their order, each under its key; they are durable when it returns. To write them again changes nothing
    /// but versions. After an error some may be written.
    async fn write(&self, rows: &RecordBatch, write: &SourceWrite) -> Result<()>;
}

/// A column of a key: BIGINT, STRING or BINARY.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceKey {
    pub name: String,
    pub ty: DataType,
    /// The source makes its values.
    pub is_generated: bool,
}

/// A column by the name that it has in the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceColumn {
    pub name: String,
    pub is_key: bool,
}

/// What is wanted of a range.
#[derive(Debug, Clone)]
pub struct SourceRead {
    pub columns: Vec<SourceColumn>,
    /// These columns in engine form, under their names in SQL.
    pub schema: SchemaRef,
    /// More rows than this are not needed.
    pub limit: Option<usize>,
    /// Errors say nothing of keys: the one who asks may not see all columns.
    pub hides_keys: bool,
}

/// How rows are written.
#[derive(Debug, Clone)]
pub struct SourceWrite {
    /// What the columns of the rows are.
    pub columns: Vec<SourceColumn>,
    /// Whether a row loses what it has beside these columns.
    pub replaces: bool,
}

/// The value of a key's column. They are in the order of the source: numbers by value, texts and bytes by their bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyValue {
    Int(i64),
    Text(String),
    Bytes(Vec<u8>),
}

/// A column of a bound. The order of the variants is that of the bounds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Edge {
    /// Below every value.
    Min,
    At(KeyValue),
    /// Above every value.
    Max,
}

/// Keys from one bound up to another, which is not part of it. Bounds have every column of the key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KeyRange {
    pub begin: Vec<Edge>,
    pub end: Vec<Edge>,
}

impl KeyRange {
    /// Every key of so many columns.
    pub fn whole(num_columns: usize) -> Self {
        Self { begin: vec![Edge::Min; num_columns], end: vec![Edge::Max; num_columns] }
    }

    /// Whether no key is outside.
    pub fn is_whole(&self) -> bool {
        self.begin.iter().all(|edge| *edge == Edge::Min) && self.end.first() == Some(&Edge::Max)
    }
}

/// So many characters of a value are shown.
const SHOWN: usize = 40;

impl fmt::Display for KeyValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(number) => write!(f, "{number}"),
            Self::Text(text) => {
                let shown: String = text.chars().take(SHOWN).collect();
                let more = if shown.len() < text.len() { "…" } else { "" };
                write!(f, "'{}{more}'", shown.escape_debug())
            }
            Self::Bytes(bytes) => {
                write!(f, "X'")?;
                bytes.iter().take(SHOWN / 2).try_for_each(|byte| write!(f, "{byte:02X}"))?;
                write!(f, "{}'", if bytes.len() > SHOWN / 2 { "…" } else { "" })
            }
        }
    }
}

impl fmt::Display for Edge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Min => f.write_str("-inf"),
            Self::At(value) => value.fmt(f),
            Self::Max => f.write_str("+inf"),
        }
    }
}

impl fmt::Display for KeyRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bound = |edges: &[Edge]| edges.iter().map(Edge::to_string).collect::<Vec<_>>().join(", ");
        write!(f, "[({}), ({}))", bound(&self.begin), bound(&self.end))
    }
}
