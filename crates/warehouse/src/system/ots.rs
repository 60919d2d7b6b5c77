//! `sys.ots_tables` and `sys.ranges`: what the table store has, told by a trait that the program implements.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use feitian_base::{Error, Kind, Result};
use feitian_meta::{Meta, OtsInstance};
use futures::FutureExt;
use futures::future::BoxFuture;

use super::column::{Cell, Col, Type, may, must};
use super::{Pages, Reading};

/// The table store as this process has it, as far as `sys` shows it.
///
/// Both methods answer for one instance, by the id that its tables are kept under. They fail with `Unavailable` where
/// this process cannot know, as when another one has the data open: an empty answer would say that there is nothing.
#[async_trait]
pub trait TableStore: fmt::Debug + Send + Sync + 'static {
    /// Its tables, each followed by its indexes.
    async fn tables(&self, instance_id: &str) -> Result<Vec<OtsTable>>;

    /// The ranges that they lie in.
    async fn ranges(&self, instance_id: &str) -> Result<Vec<OtsRange>>;
}

/// A table of the table store, or an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtsTable {
    pub table: String,
    /// `None` for the table itself.
    pub index: Option<String>,
    /// `ready` or `building`.
    pub state: String,
    pub generation: u64,
    /// What only a table has.
    pub options: Option<OtsOptions>,
    /// An estimate.
    pub bytes: u64,
    /// Capacity units since it was made.
    pub read_units: u64,
    pub write_units: u64,
}

/// How a table of the table store keeps its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OtsOptions {
    pub max_versions: i32,
    /// Seconds; `None` is for ever.
    pub time_to_live_s: Option<i32>,
    pub has_stream: bool,
    pub created_ms: i64,
}

/// Keys of the table store that follow each other and have one owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtsRange {
    pub table: String,
    pub index: Option<String>,
    /// `table`, `index` or `stream`.
    pub kind: &'static str,
    pub generation: u64,
    /// As text; `None` is the open end.
    pub first_key: Option<String>,
    pub last_key: Option<String>,
    /// An estimate.
    pub bytes: u64,
    /// The process that has it open.
    pub node: String,
    /// `None` where units are not counted.
    pub units: Option<OtsUnits>,
}

/// Capacity units of a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OtsUnits {
    pub read: u64,
    pub write: u64,
    /// Those of the last sixty seconds.
    pub recent_read: u64,
    pub recent_write: u64,
}

/// The seconds that the recent units are of.
const RECENT_SECONDS: f64 = 60.0;

/// A number of bytes or units.
fn int(number: u64) -> Cell<'static> {
    Cell::Int(i64::try_from(number).unwrap_or(i64::MAX))
}

/// A table or range with the instance that it belongs to.
pub(super) struct Of<T> {
    instance: Arc<OtsInstance>,
    it: T,
}

impl Of<OtsRange> {
    fn per_second(&self, recent: impl Fn(OtsUnits) -> u64) -> Option<f64> {
        self.it.units.map(|units| recent(units) as f64 / RECENT_SECONDS)
    }
}

impl Pages for OtsTables {
    type Row = Of<OtsTable>;

    const COLUMNS: &'static [Col<Of<OtsTable>>] = &[
        must("instance_name", Type::Text, "Instance of the table store.", |r| (&r.instance.name).into()),
        must("table_name", Type::Text, "Name of the table.", |r| (&r.it.table).into()),
        may("index_name", Type::Text, "The index; NULL for the table itself.", |r| r.it.index.as_ref().into()),
        must("owner", Type::Text, "Account that owns the instance.", |r| (&r.instance.account_name).into()),
        must("state", Type::Text, "ready, or building for an index that is being filled.", |r| (&r.it.state).into()),
        must("generation", Type::Int, "Number of its keys in the store, never given again.", |r| int(r.it.generation)),
        may("max_versions", Type::Int, "Versions that a cell keeps; NULL for an index.", |r| {
            r.it.options.map(|o| i64::from(o.max_versions)).into()
        }),
        may("time_to_live", Type::Int, "Seconds that versions live; NULL for ever, and for an index.", |r| {
            r.it.options.and_then(|o| o.time_to_live_s).map(i64::from).into()
        }),
        may("has_stream", Type::Flag, "Whether changes are kept; NULL for an index.", |r| {
            r.it.options.map(|o| o.has_stream).into()
        }),
        must("data_length", Type::Int, "Bytes of its keys and values on the disk, an estimate.", |r| int(r.it.bytes)),
        must("read_units", Type::Int, "Read capacity units since it was made.", |r| int(r.it.read_units)),
        must("write_units", Type::Int, "Write capacity units since it was made.", |r| int(r.it.write_units)),
        may("create_time", Type::Time, "When the table was made; NULL for an index.", |r| {
            r.it.options.map(|o| o.created_ms).into()
        }),
    ];

    fn next(&mut self) -> BoxFuture<'_, Result<Option<Vec<Self::Row>>>> {
        async move {
            let Some((instance, store)) = self.0.next().await? else { return Ok(None) };
            let mut tables = store.tables(&instance.id).await?;
            tables.retain(|table| self.0.wants_table(&table.table));
            Ok(Some(tables.into_iter().map(|it| Of { instance: instance.clone(), it }).collect()))
        }
        .boxed()
    }
}

impl Pages for Ranges {
    type Row = Of<OtsRange>;

    const COLUMNS: &'static [Col<Of<OtsRange>>] = &[
        must("instance_name", Type::Text, "Instance of the table store.", |r| (&r.instance.name).into()),
        must("table_name", Type::Text, "Name of the table.", |r| (&r.it.table).into()),
        may("index_name", Type::Text, "The index; NULL for the table and its stream.", |r| r.it.index.as_ref().into()),
        must("kind", Type::Text, "table, index or stream: whose keys these are.", |r| r.it.kind.into()),
        must("generation", Type::Int, "Number of these keys in the store.", |r| int(r.it.generation)),
        may("first_key", Type::Text, "First key of the range; NULL for the open end.", |r| {
            r.it.first_key.as_ref().into()
        }),
        may("last_key", Type::Text, "Key behind the range; NULL for the open end.", |r| r.it.last_key.as_ref().into()),
        must("data_length", Type::Int, "Bytes of its keys and values on the disk, an estimate.", |r| int(r.it.bytes)),
        must("node", Type::Text, "Process that has it open.", |r| (&r.it.node).into()),
        may("read_units", Type::Int, "Read capacity units since it was made; NULL for a stream.", |r| {
            r.it.units.map_or(Cell::Null, |u| int(u.read))
        }),
        may("write_units", Type::Int, "Write capacity units since it was made; NULL for a stream.", |r| {
            r.it.units.map_or(Cell::Null, |u| int(u.write))
        }),
        may("read_units_per_second", Type::Real, "Mean of the last sixty seconds; NULL for a stream.", |r| {
            r.per_second(|u| u.recent_read).into()
        }),
        may("write_units_per_second", Type::Real, "Mean of the last sixty seconds; NULL for a stream.", |r| {
            r.per_second(|u| u.recent_write).into()
        }),
    ];

    fn next(&mut self) -> BoxFuture<'_, Result<Option<Vec<Self::Row>>>> {
        async move {
            let Some((instance, store)) = self.0.next().await? else { return Ok(None) };
            let mut ranges = store.ranges(&instance.id).await?;
            ranges.retain(|range| self.0.wants_table(&range.table));
            Ok(Some(ranges.into_iter().map(|it| Of { instance: instance.clone(), it }).collect()))
        }
        .boxed()
    }
}

/// Reads the tables and indexes of the instances that a viewer may see, an instance at a time.
pub(super) struct OtsTables(Instances);

impl OtsTables {
    pub(super) fn new(reading: &Reading) -> Self {
        Self(Instances::new(reading))
    }
}

/// Reads their ranges.
pub(super) struct Ranges(Instances);

impl Ranges {
    pub(super) fn new(reading: &Reading) -> Self {
        Self(Instances::new(reading))
    }
}

/// The instances of the table store that a viewer may see: his own, and for an administrator all.
struct Instances {
    meta: Meta,
    store: Option<Arc<dyn TableStore>>,
    /// Whose; `None` is everybody's.
    account_id: Option<String>,
    /// The one that is asked for.
    name: Option<String>,
    table: Option<String>,
    /// Those that were not read yet, once they are known.
    left: Option<VecDeque<OtsInstance>>,
}

impl Instances {
    fn new(reading: &Reading) -> Self {
        let (ask, viewer) = (&reading.ask, &reading.viewer);
        let sees_none = ask.nothing || !(viewer.is_admin || viewer.account_id.is_some());
        Self {
            meta: reading.warehouse.meta().clone(),
            store: reading.warehouse.config.table_store.clone(),
            account_id: if viewer.is_admin { None } else { viewer.account_id.clone() },
            name: ask.equal("instance_name").map(str::to_string),
            table: ask.equal("table_name").map(str::to_string),
            left: sees_none.then(VecDeque::new),
        }
    }

    /// The next instance, and the store that knows what it has; `None` at the end. Without an instance nobody needs the
    /// store.
    async fn next(&mut self) -> Result<Option<(Arc<OtsInstance>, Arc<dyn TableStore>)>> {
        if self.left.is_none() {
            let mut found = self.meta.list_ots_instances(self.account_id.as_deref()).await?;
            found.retain(|instance| self.name.as_ref().is_none_or(|name| *name == instance.name));
            self.left = Some(found.into());
        }
        let Some(instance) = self.left.as_mut().and_then(VecDeque::pop_front) else { return Ok(None) };
        let words = "this process has no table store; ask one that has";
        let missing = || Error::new(Kind::Unavailable, "ServiceUnavailable", words);
        let store = self.store.clone().ok_or_else(missing)?;
        Ok(Some((Arc::new(instance), store)))
    }

    fn wants_table(&self, table: &str) -> bool {
        self.table.as_ref().is_none_or(|wanted| wanted == table)
    }
}
