//! AUTO PARTITIONED BY: one partition column whose value a time column of the row decides.
//!
//! INSERT computes the value; clients of the tunnel compute it themselves, from the expression in the table's schema
//! (`odps/models/tableio.py` of PyODPS). In a table that is partitioned by the time of arrival they also fill the column
//! with that time, and so does an INSERT that leaves it out.

use chrono::{DateTime, Datelike, Timelike};
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
pub(crate) const ARRIVAL_COLUMN: &str = "_partitiontime";
/// The user's table property that asks for it.
pub(crate) const ARRIVAL_PROPERTY: &str = "ingestion_time_partition";
const DAY_MS: i64 = 24 * 60 * 60 * 1000;
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
        Self::among(&serde_json::from_str(&table.properties).ok()?)
    }

    fn among(properties: &Map<String, Value>) -> Option<Self> {
        let auto: Self = serde_json::from_str(properties.get(AUTO_PARTITION)?.as_str()?).ok()?;
        Some(Self { fills_arrival: asks_for_arrival(properties), ..auto })
    }

    /// Whether a table with these properties asks for the time of arrival without being partitioned by it.
    pub(crate) fn misses_arrival(properties: &Map<String, Value>) -> bool {
        asks_for_arrival(properties) && Self::among(properties).is_none_or(|a| a.source != ARRIVAL_COLUMN)
    }

    /// Whether an INSERT that leaves the source out fills it with the time of arrival.
    pub(crate) fn fills_arrival(&self) -> bool {
        self.fills_arrival
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

    /// What `column` holds when an INSERT leaves it out, if that is the time of arrival: cut like the partition, as the
    /// documentation of MaxCompute has it (Ingestion-time partitioned tables).
    pub(crate) fn arrival(&self, column: &Column, now_ms: i64) -> Option<Expr> {
        if !self.fills_arrival || column.name != ARRIVAL_COLUMN {
            return None;
        }
        let ms = cut(now_ms, &self.unit)?;
        let ns = ms.checked_mul(1_000_000)?;
        Some(lit(match column.ty {
            DataType::Date => ScalarValue::Date32(Some(i32::try_from(ms.div_euclid(DAY_MS)).ok()?)),
            DataType::Datetime => ScalarValue::TimestampMillisecond(Some(ms), Some("UTC".into())),
            DataType::Timestamp => ScalarValue::TimestampNanosecond(Some(ns), Some("UTC".into())),
            // Without a zone it is read on the clock of UTC, on which trunc_time cuts as well.
            DataType::TimestampNtz => ScalarValue::TimestampNanosecond(Some(ns), None),
            _ => return None,
        }))
    }
}

fn asks_for_arrival(properties: &Map<String, Value>) -> bool {
    let is_on = |v: &Value| v.as_str().is_some_and(|v| v.eq_ignore_ascii_case("true"));
    properties.iter().any(|(k, v)| k.eq_ignore_ascii_case(ARRIVAL_PROPERTY) && is_on(v))
}

/// The instant at which the unit began that holds `ms`, on the clock of UTC.
fn cut(ms: i64, unit: &str) -> Option<i64> {
    let time = DateTime::from_timestamp_millis(ms)?.naive_utc();
    let date = match unit {
        "year" => time.date().with_ordinal(1)?,
        "month" => time.date().with_day(1)?,
        "day" | "hour" => time.date(),
        _ => return None,
    };
    let hour = if unit == "hour" { time.hour() } else { 0 };
    Some(date.and_hms_opt(hour, 0, 0)?.and_utc().timestamp_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    // MaxCompute documentation, "Ingestion-time partitioned tables": rows that come at 17:22 and 17:40 are of 17:00. The
    // instants are the calendar's, counted by `date -u -d`.
    #[test]
    fn the_time_of_arrival_is_cut_to_the_unit_of_the_partition() {
        let arrived = 1_750_238_520_123; // 2025-06-18 09:22:00.123
        for (unit, wanted) in [
            ("hour", Some(1_750_237_200_000)),  // 2025-06-18 09:00:00
            ("day", Some(1_750_204_800_000)),   // 2025-06-18
            ("month", Some(1_748_736_000_000)), // 2025-06-01
            ("year", Some(1_735_689_600_000)),  // 2025-01-01
            ("minute", None),
        ] {
            assert_eq!(cut(arrived, unit), wanted, "{unit}");
        }
    }
}
