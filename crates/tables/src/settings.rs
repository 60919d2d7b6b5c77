//! Limits and habits of the table store, with the service's own as defaults.

use std::time::Duration;

/// What an operator may change.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Tables of one instance.
    pub tables_per_instance: usize,
    /// Whether a table whose creation says nothing has local transactions.
    pub transactions: bool,
    /// Rows of one GetRange response.
    pub range_rows: usize,
    /// Bytes that one GetRange may look at.
    pub range_bytes: usize,
    /// Bytes of cells that one write request or transaction may carry.
    pub write_bytes: usize,
    pub batch_get_rows: usize,
    pub batch_write_rows: usize,
    pub transaction_life: Duration,
    /// Open transactions at one time, and those of one instance.
    pub open_transactions: usize,
    pub instance_transactions: usize,
    /// Bytes that all open transactions may hold in memory together, and those of one instance.
    pub transactions_bytes: usize,
    pub instance_transactions_bytes: usize,
    /// Bytes of rows that are kept in memory as they are.
    pub row_cache_bytes: usize,
    /// Up to this size a table is read to tell where it can be split; of a larger one it is estimated.
    pub counted_split_bytes: u64,
    /// Between two rounds of cleaning.
    pub clean_every: Duration,
    /// How often read units are written down.
    pub meter_every: Duration,
    /// Whether background tasks run; without them a test calls them itself.
    pub background: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            tables_per_instance: 64,
            transactions: true,
            range_rows: 5000,
            range_bytes: 4 << 20,
            write_bytes: 4 << 20,
            batch_get_rows: 100,
            batch_write_rows: 200,
            transaction_life: Duration::from_secs(60),
            open_transactions: 10_000,
            instance_transactions: 2500,
            transactions_bytes: 1 << 30,
            instance_transactions_bytes: 256 << 20,
            row_cache_bytes: 16 << 20,
            counted_split_bytes: 64 << 20,
            clean_every: Duration::from_secs(60),
            meter_every: Duration::from_secs(1),
            background: true,
        }
    }
}
