//! What the log tells of its versions: when each was committed and what it did.

use feitian_base::Result;
use serde_json::Value;

use super::actions::lines;
use super::{DeltaLog, Snapshot};

/// One version of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Version {
    pub(crate) version: i64,
    pub(crate) committed_ms: i64,
    /// As its writer calls what it did; ours are `CREATE TABLE`, `WRITE`, `OVERWRITE` and `OPTIMIZE`.
    pub(crate) operation: String,
    /// It added or removed rows, as joining files does not.
    pub(crate) changes_rows: bool,
    /// It described the table, anew unless it is the first: its columns may be others than before.
    pub(crate) describes: bool,
}

impl DeltaLog {
    /// The versions up to `newest`, the newest first, back to `oldest` or to the one that was the newest at `since_ms`,
    /// whichever comes first, or to where the log begins.
    pub(crate) async fn history(&self, newest: &Snapshot, since_ms: i64, oldest: i64) -> Result<Vec<Version>> {
        let mut found = Vec::new();
        for version in (oldest.max(0)..=newest.version).rev() {
            let Some(bytes) = self.read_version(version).await? else { break };
            let mut one =
                Version { version, committed_ms: 0, operation: String::new(), changes_rows: false, describes: false };
            for (i, line) in lines(&bytes) {
                let line = line.map_err(|e| self.corrupt(format!("version {version}, line {i}: {e}")))?;
                one.describes |= line.meta_data.is_some();
                one.changes_rows |= line.add.is_some_and(|a| a.data_change);
                one.changes_rows |= line.remove.is_some_and(|r| r.data_change);
                if let Some(c) = line.commit_info {
                    one.committed_ms = c.timestamp;
                    one.operation = c.operation.as_ref().and_then(Value::as_str).unwrap_or_default().to_string();
                }
            }
            // Other writers may leave the time out: such a version ends nothing.
            let is_last = one.committed_ms > 0 && one.committed_ms <= since_ms;
            found.push(one);
            if is_last {
                break;
            }
        }
        Ok(found)
    }
}
