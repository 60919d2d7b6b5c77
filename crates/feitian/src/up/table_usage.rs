//! What the table store holds and has used, for the tables of the project `sys` about it.

use std::fmt;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use feitian_api::Ots;
use feitian_base::{Error, Kind, Result};
use feitian_tables::model::TableUsage;
use feitian_warehouse::{OtsOptions, OtsRange, OtsTable, OtsUnits, TableStore};

/// Where, below the data directory, whoever opens the table store writes the number of the process.
const LOCK: &str = "tables/lock";

/// The table store of this process, open or not.
pub(super) struct Usage {
    ots: Ots,
    /// The name of this process among those that share the metadata.
    node: String,
    lock: PathBuf,
}

impl Usage {
    pub(super) fn new(ots: Ots, node: &str, data: &Path) -> Self {
        Self { ots, node: node.to_string(), lock: data.join(LOCK) }
    }

    /// What an instance has, sorted by name, a table before its indexes.
    fn of(&self, instance_id: &str) -> Result<Vec<TableUsage>> {
        let found = self.ots.tables().and_then(|tables| tables.usage_of(instance_id));
        let mut found = found.map_err(|e| match e.kind() {
            Kind::Unavailable => self.elsewhere().with_source(e),
            _ => e,
        })?;
        found.sort_by(|a, b| (&a.table, &a.index).cmp(&(&b.table, &b.index)));
        Ok(found)
    }

    /// Whether another process has it now, nobody here can tell; which one opened it last is written down.
    fn elsewhere(&self) -> Error {
        let (own, last) = (std::process::id(), std::fs::read_to_string(&self.lock).unwrap_or_default());
        let holder = match last.trim().parse::<u32>() {
            Ok(pid) if pid != own => format!("; process {pid} opened it last"),
            _ => String::new(),
        };
        let words = format!("the table store is not open in process {own}, which runs this query{holder}");
        Error::new(Kind::Unavailable, "ServiceUnavailable", format!("{words}; run it again"))
    }
}

impl fmt::Debug for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Usage({})", self.node)
    }
}

#[async_trait]
impl TableStore for Usage {
    async fn tables(&self, instance_id: &str) -> Result<Vec<OtsTable>> {
        Ok(self.of(instance_id)?.into_iter().map(table).collect())
    }

    async fn ranges(&self, instance_id: &str) -> Result<Vec<OtsRange>> {
        Ok(self.of(instance_id)?.iter().flat_map(|used| ranges(used, &self.node)).collect())
    }
}

fn table(used: TableUsage) -> OtsTable {
    let options = OtsOptions {
        max_versions: used.options.max_versions,
        time_to_live_s: Some(used.options.time_to_live_s).filter(|ttl| *ttl != -1),
        has_stream: used.stream.is_some(),
        created_ms: used.created_ms,
    };
    OtsTable {
        options: used.index.is_none().then_some(options),
        table: used.table,
        index: used.index,
        state: used.state.to_string(),
        generation: used.generation,
        bytes: used.bytes,
        read_units: used.read_units,
        write_units: used.write_units,
    }
}

/// One range for the keys, and one for the stream of a table that has one: nothing is split yet.
fn ranges(used: &TableUsage, node: &str) -> Vec<OtsRange> {
    let own = OtsRange {
        table: used.table.clone(),
        index: used.index.clone(),
        kind: if used.index.is_some() { "index" } else { "table" },
        generation: used.generation,
        first_key: None,
        last_key: None,
        bytes: used.bytes,
        node: node.to_string(),
        units: Some(OtsUnits {
            read: used.read_units,
            write: used.write_units,
            recent_read: used.recent_read_units,
            recent_write: used.recent_write_units,
        }),
    };
    let stream = used.stream.map(|stream| OtsRange {
        kind: "stream",
        generation: stream.generation,
        bytes: stream.bytes,
        units: None,
        ..own.clone()
    });
    std::iter::once(own).chain(stream).collect()
}

#[cfg(test)]
mod tests {
    use feitian_tables::model::{Options, StreamUsage};

    use super::*;

    fn used(index: Option<&str>, time_to_live_s: i32, stream: Option<StreamUsage>) -> TableUsage {
        TableUsage {
            instance: "i".into(),
            table: "t".into(),
            index: index.map(str::to_string),
            generation: 3,
            read_units: 1,
            write_units: 2,
            recent_read_units: 3,
            recent_write_units: 4,
            bytes: 5,
            state: "ready",
            created_ms: 6,
            options: Options {
                time_to_live_s,
                max_versions: 7,
                deviation_s: 1,
                allow_update: true,
                update_full_row: false,
            },
            stream,
        }
    }

    // From docs/sys.md: an index has no options of its own, and -1 is how the service says "for ever".
    #[test]
    fn options_are_those_of_tables() {
        let forever = table(used(None, -1, None)).options;
        let options = OtsOptions { max_versions: 7, time_to_live_s: None, has_stream: false, created_ms: 6 };
        assert_eq!(forever, Some(options));
        let kept = table(used(None, 86_400, Some(StreamUsage { generation: 9, bytes: 1 }))).options;
        assert_eq!(kept, Some(OtsOptions { time_to_live_s: Some(86_400), has_stream: true, ..options }));
        assert_eq!(table(used(Some("by_n"), -1, None)).options, None);
    }

    #[test]
    fn a_stream_is_a_range_without_units() {
        let found = ranges(&used(None, -1, Some(StreamUsage { generation: 9, bytes: 1 })), "here");
        let seen: Vec<_> = found.iter().map(|r| (r.kind, r.generation, r.bytes, r.units.is_some())).collect();
        assert_eq!(seen, [("table", 3, 5, true), ("stream", 9, 1, false)]);
        let found = ranges(&used(Some("by_n"), -1, None), "here");
        assert_eq!(found.iter().map(|r| r.kind).collect::<Vec<_>>(), ["index"]);
    }

    // An answer without rows would say that an instance has no tables.
    #[tokio::test]
    async fn a_store_that_is_not_open_is_an_error_that_says_so() {
        let dir = tempfile::tempdir().expect("a directory");
        let usage = Usage::new(Ots::default(), "node-7", dir.path());
        for error in [usage.tables("i").await.err(), usage.ranges("i").await.err()] {
            let error = error.expect("nobody knows");
            assert_eq!(error.kind(), Kind::Unavailable);
            assert!(error.message().contains("which runs this query; run it again"), "{error}");
        }
        // Whoever has it is named, by the number that lies beside the data.
        std::fs::create_dir(dir.path().join("tables")).expect("a directory");
        std::fs::write(dir.path().join(LOCK), "4294967295\n").expect("a file");
        let error = usage.tables("i").await.expect_err("nobody knows");
        assert!(error.message().contains("; process 4294967295 opened it last; run it again"), "{error}");
    }
}
