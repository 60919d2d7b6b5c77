//! How much of a foreign stream may be in memory at once.

/// Bounds for decoders. Whatever a length field says, a decoder holds at most about
/// `batch_bytes + max_row_bytes` (record stream) or twice `max_message_bytes` (Arrow; three times where buffers are
/// compressed), and it touches memory only for bytes that have arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Largest STRING, VARCHAR, CHAR, JSON, BINARY or DECIMAL text in bytes, at any depth of nesting.
    pub max_field_bytes: usize,
    /// Largest row of a record stream in bytes, counted as it is held in memory. At most 1 GiB is used.
    pub max_row_bytes: usize,
    /// Largest Arrow message (metadata and body) in bytes.
    pub max_message_bytes: usize,
    /// A batch decoded from a record stream ends at this many rows.
    pub batch_rows: usize,
    /// A batch decoded from a record stream ends once it holds this many bytes.
    pub batch_bytes: usize,
}

/// Offsets of Arrow arrays are 32 bits wide: two such rows still fit one array.
pub(crate) const ROW_CEILING: usize = 1 << 30;

impl Default for Limits {
    /// Fields of 8 MiB (the limit of MaxCompute), rows of 32 MiB (several copies of one are held at a time), messages of 256 MiB, batches of 8192 rows or 4 MiB.
    fn default() -> Self {
        Self {
            max_field_bytes: 8 << 20,
            max_row_bytes: 32 << 20,
            max_message_bytes: 256 << 20,
            batch_rows: 8192,
            batch_bytes: 4 << 20,
        }
    }
}
