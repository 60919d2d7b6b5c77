//! The rows of a table as the content of a resource: the types, then batches. `table_rows` of `worker.py` reads it.

use arrow::array::ArrayRef;
use bytes::Bytes;
use chrono_tz::Tz;
use feitian_types::DataType;
use serde_json::Value;

use crate::frame;

/// Rows that become a resource of type `table`.
pub struct TableContent {
    types: Vec<DataType>,
    zone: Tz,
    bytes: Vec<u8>,
}

impl TableContent {
    /// No rows of columns of `types` yet; clocks show the time of `zone`.
    pub fn new(types: Vec<DataType>, zone: Tz) -> Self {
        let described = Value::from(types.iter().map(frame::described).collect::<Vec<_>>()).to_string();
        let mut bytes = (described.len() as u64).to_le_bytes().to_vec();
        bytes.extend_from_slice(described.as_bytes());
        Self { types, zone, bytes }
    }

    /// Adds rows. The words of an error say which value user code cannot have.
    pub fn push(&mut self, columns: &[ArrayRef], rows: usize) -> Result<(), String> {
        let mut block = (rows as u64).to_le_bytes().to_vec();
        for (array, ty) in columns.iter().zip(&self.types) {
            frame::put_column(array, ty, self.zone, &mut block)?;
        }
        self.bytes.extend_from_slice(&(block.len() as u64).to_le_bytes());
        self.bytes.extend_from_slice(&block);
        Ok(())
    }

    /// Bytes so far.
    pub fn num_bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    pub fn finish(self) -> Bytes {
        self.bytes.into()
    }
}
