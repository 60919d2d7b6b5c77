//! AUTO PARTITIONED BY: one partition column whose value a time column of the row decides.
//!
//! INSERT computes the value; clients of the tunnel compute it themselves, from the expression in the table's schema
//! (`odps/models/tableio.py` of PyODPS).

use datafusion::logical_expr::{Expr, lit};
use datafusion::scalar::ScalarValue;
use feitian_base::{Error, Result};
use feitian_functions::registry;
use feitian_meta::Table;
use feitian_types::{Column, DataType};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The table property that keeps it.
pub(crate) const AUTO_PARTITION: &str = "feitian.auto_partition";
/// The column that is filled with the time of arrival, in tables that ask for it.
const ARRIVAL_COLUMN: &str = "_partitiontime";
const ARRIVAL_PROPERTY: &str = "ingestion_time_partition";
/// What `trunc_time` cuts to.
pub(crate) const UNITS: [&str; 4] = ["year", "month", "day", "hour"];

/// `trunc_time(source, unit)`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AutoPartition {
    pub(crate) source: String,
    pub(crate) unit: String,
    /// `_partitiontime` that an INSERT leaves out is the time of the statement.
    #[serde(skip)]
    fills_arrival: bool,
}

impl AutoPartition {
    pub(crate) fn new(source: String, unit: String) -> Self {
        Self { source, unit, fills_arrival: false }
    }

    /// How `table` is partitioned, if it is so partitioned.
    pub(crate) fn of(table: &Table) -> Option<Self> {
        let properties: Map<String, Value> = serde_json::from_str(&table.properties).ok()?;
        let auto: Self = serde_json::from_str(properties.get(AUTO_PARTITION)?.as_str()?).ok()?;
        let asked = properties.get(ARRIVAL_PROPERTY).and_then(Value::as_str);
        Some(Self { fills_arrival: asked.is_some_and(|v| v.eq_ignore_ascii_case("true")), ..auto })
    }

    /// The property's text.
    pub(crate) fn text(&self) -> String {
        serde_json::json!(self).to_string()
    }

    /// As DDL writes it.
    pub(crate) fn sql(&self) -> String {
        format!("TRUNC_TIME(`{}`, '{}')", self.source, self.unit)
    }

    /// The partition's value for a row whose time is `source`.
    pub(crate) fn value(&self, source: Expr) -> Result<Expr> {
        match registry().scalar.get("trunc_time") {
            Some(f) => Ok(f.call(vec![source, lit(self.unit.as_str())])),
            None => Err(Error::internal("function trunc_time is missing")),
        }
    }

    /// What `column` holds when an INSERT leaves it out, if that is the time of arrival.
    pub(crate) fn arrival(&self, column: &Column, now_ms: i64) -> Option<Expr> {
        if !self.fills_arrival || column.name != ARRIVAL_COLUMN {
            return None;
        }
        let ns = now_ms.checked_mul(1_000_000)?;
        Some(lit(match column.ty {
            DataType::Datetime => ScalarValue::TimestampMillisecond(Some(now_ms), Some("UTC".into())),
            DataType::Timestamp => ScalarValue::TimestampNanosecond(Some(ns), Some("UTC".into())),
            // Without a zone it is read on the clock of UTC, on which trunc_time cuts as well.
            DataType::TimestampNtz => ScalarValue::TimestampNanosecond(Some(ns), None),
            _ => return None,
        }))
    }
}
