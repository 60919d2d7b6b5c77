//! The flags of a statement: the project's properties, over them the task's settings, over them SET in the text.

use std::collections::HashMap;

use feitian_base::{Error, Kind, Result};
use feitian_functions::parse_zone;
use feitian_meta::{DEFAULT_SCHEMA, Instance, Project};
use serde_json::Value;

/// Flags whose other value means other types, conversions or texts, with the value that is in force.
const FIXED: [(&str, bool); 7] = [
    ("odps.sql.type.system.odps2", true),
    ("odps.sql.type.json.enable", true),
    ("odps.sql.decimal.odps2", true),
    ("odps.sql.decimal.tostring.trimzero", true),
    ("odps.sql.executionengine.enable.string.to.date.full.format", false),
    ("odps.sql.udf.getjsonobj.new", true),
    ("odps.sql.timestamp.function.ntz", false),
];

/// Ours: MaxCompute has no flag of this kind.
const SHARED_PARTS: &str = "odps.optimizer.enable.shared.parts";

/// Flags that a statement runs under. Keys that nobody reads are kept and have no effect, as in the original.
#[derive(Debug, Clone, Default)]
pub(crate) struct Settings {
    values: HashMap<String, String>,
}

fn read_object(json: &str) -> impl Iterator<Item = (String, String)> {
    let object = match serde_json::from_str::<Value>(json) {
        Ok(Value::Object(object)) => object,
        _ => serde_json::Map::new(),
    };
    object.into_iter().map(|(key, value)| match value {
        Value::String(text) => (key, text),
        other => (key, other.to_string()),
    })
}

impl Settings {
    /// The flags of an instance before its text is read.
    pub(crate) fn of(project: Option<&Project>, instance: &Instance, default_zone: &str) -> Self {
        let mut values = HashMap::from([("odps.sql.timezone".to_string(), default_zone.to_string())]);
        values.extend(project.into_iter().flat_map(|p| read_object(&p.properties)));
        values.extend(read_object(&instance.settings));
        Self { values }
    }

    /// `SET key=value`
    pub(crate) fn set(&mut self, key: &str, value: &str) {
        self.values.insert(key.to_string(), value.to_string());
    }

    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(|v| v.trim()).filter(|v| !v.is_empty())
    }

    fn is_on(&self, key: &str, default: bool) -> bool {
        self.get(key).map_or(default, |v| v.eq_ignore_ascii_case("true"))
    }

    /// Every flag with its value, by name; without those that the network edge gave to the job.
    pub(crate) fn all(&self) -> std::collections::BTreeMap<&str, &str> {
        let flags = self.values.iter().filter(|(key, _)| !key.starts_with("feitian."));
        flags.map(|(key, value)| (key.as_str(), value.as_str())).collect()
    }

    /// Name of the time zone of the session.
    pub(crate) fn time_zone(&self) -> Result<String> {
        let name = self.get("odps.sql.timezone").unwrap_or("Asia/Shanghai");
        // Java's short forms are common in jobs: `GMT+8` is eight hours east, which IANA writes `Etc/GMT-8`.
        let plain = match name.strip_prefix("GMT").or_else(|| name.strip_prefix("UTC")) {
            Some("") => "Etc/GMT".to_string(),
            Some(offset) => java_offset(offset).unwrap_or_else(|| name.to_string()),
            None => name.to_string(),
        };
        match parse_zone(&plain) {
            Ok(zone) => Ok(zone.name().to_string()),
            Err(e) => Err(Error::new(Kind::Invalid, e.code, format!("{}:[0,0] {e}", e.code))),
        }
    }

    /// A failed conversion is an error, not NULL.
    pub(crate) fn is_strict(&self) -> bool {
        let strict = self.is_on("odps.sql.udf.strict.mode", true) && self.is_on("odps.function.strictmode", true);
        strict && !self.is_hive()
    }

    /// Queries mean what they mean in Hive.
    pub(crate) fn is_hive(&self) -> bool {
        self.is_on("odps.sql.hive.compatible", false)
    }

    /// New tables say which storage tier they lie on.
    pub(crate) fn has_tiers(&self) -> bool {
        self.is_on("odps.tiered.storage.enable", false)
    }

    pub(crate) fn allows_full_scan(&self) -> bool {
        self.is_on("odps.sql.allow.fullscan", false)
    }

    pub(crate) fn allows_cartesian(&self) -> bool {
        self.is_on("odps.sql.allow.cartesian", false)
    }

    /// Scans look for what joins look for before they read everything.
    pub(crate) fn has_late_scans(&self) -> bool {
        self.is_on("odps.optimizer.enable.dynamic.filter", true) || self.forces_late_scans()
    }

    /// They do so whatever is expected of it.
    pub(crate) fn forces_late_scans(&self) -> bool {
        self.is_on("odps.optimizer.force.dynamic.filter", false)
    }

    /// Groups by a column by which files rise are made in the order of their rows.
    pub(crate) fn has_ordered_groups(&self) -> bool {
        self.is_on("odps.optimizer.enable.ordered.groups", true) || self.forces_ordered_groups()
    }

    /// They are so whatever is expected of it.
    pub(crate) fn forces_ordered_groups(&self) -> bool {
        self.is_on("odps.optimizer.force.ordered.groups", false)
    }

    /// Joins sort rows instead of keeping one side of them in memory: hash joins are ruled out.
    pub(crate) fn sorts_joins(&self) -> bool {
        let without = self.get("odps.optimizer.cbo.rule.filter.black").unwrap_or_default();
        without.split([',', '|']).any(|rule| rule.trim().eq_ignore_ascii_case("hj"))
    }

    /// What stands in a query more than once is computed once.
    pub(crate) fn shares_parts(&self) -> bool {
        self.is_on(SHARED_PARTS, true)
    }

    /// Every part of a query is computed where it stands.
    pub(crate) fn share_nothing(&mut self) {
        self.set(SHARED_PARTS, "false");
    }

    pub(crate) fn order_by_needs_limit(&self) -> bool {
        self.is_on("odps.sql.validate.orderby.limit", false)
    }

    /// Whole numbers in GROUP BY are positions.
    pub(crate) fn group_by_position(&self) -> bool {
        self.is_on("odps.sql.groupby.position.alias", false)
            || self.is_on("odps.sql.groupby.orderby.position.alias", false)
    }

    /// Whole numbers in ORDER BY are positions.
    pub(crate) fn order_by_position(&self) -> bool {
        self.is_on("odps.sql.orderby.position.alias", false)
            || self.is_on("odps.sql.groupby.orderby.position.alias", false)
    }

    /// Two-part names mean schema and table, not project and table.
    pub(crate) fn has_schemas(&self) -> bool {
        self.is_on("odps.namespace.schema", false) || self.is_on("odps.sql.allow.namespace.schema", false)
    }

    /// The schema of names without one.
    pub(crate) fn default_schema(&self) -> String {
        let named = if self.has_schemas() { self.get("odps.default.schema") } else { None };
        named.unwrap_or(DEFAULT_SCHEMA).to_lowercase()
    }

    /// INSERT into the table store puts whole rows.
    pub(crate) fn puts_rows(&self) -> bool {
        self.is_on("odps.sql.unstructured.tablestore.put.row", false)
    }

    /// Refuses modes that change answers and that we do not have.
    pub(crate) fn refuse_modes(&self) -> Result<()> {
        match FIXED.iter().find(|(key, value)| self.is_on(key, *value) != *value) {
            Some((key, value)) => Err(crate::unsupported(format!("{key}={}", !value))),
            None => Ok(()),
        }
    }

    /// The text is one program, which takes effect as a whole or not at all.
    pub(crate) fn is_script(&self) -> bool {
        self.get("odps.sql.submit.mode").is_some_and(|mode| mode.eq_ignore_ascii_case("script"))
    }
}

/// `+8` and `+08:00` as `Etc/GMT-8`; `None` for offsets that are no whole hours.
fn java_offset(offset: &str) -> Option<String> {
    let (sign, rest) = match offset.split_at_checked(1)? {
        ("+", rest) => ('-', rest),
        ("-", rest) => ('+', rest),
        _ => return None,
    };
    let hours = rest.strip_suffix(":00").unwrap_or(rest);
    let hours: u8 = hours.parse().ok()?;
    Some(if hours == 0 { "Etc/GMT".to_string() } else { format!("Etc/GMT{sign}{hours}") })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn settings(pairs: &[(&str, &str)]) -> Settings {
        Settings { values: pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect() }
    }

    #[test]
    fn time_zones_may_be_named_as_java_names_them() {
        // The sign of `Etc/GMT` zones is reversed (IANA time zone database, file etcetera).
        for (given, name) in
            [("Asia/Shanghai", "Asia/Shanghai"), ("GMT+8", "Etc/GMT-8"), ("GMT+08:00", "Etc/GMT-8"), ("UTC", "Etc/GMT")]
        {
            assert_eq!(settings(&[("odps.sql.timezone", given)]).time_zone().unwrap(), name);
        }
        assert_eq!(settings(&[("odps.sql.timezone", "Mars/Base")]).time_zone().unwrap_err().code(), "ODPS-0130071");
    }

    // MaxCompute documentation, "Dynamic filtering", has the three flags.
    #[test]
    fn how_joins_run_can_be_said() {
        let unset = settings(&[]);
        assert_eq!((unset.has_late_scans(), unset.forces_late_scans(), unset.sorts_joins()), (true, false, false));
        assert!(!settings(&[("odps.optimizer.enable.dynamic.filter", "false")]).has_late_scans());
        assert!(settings(&[("odps.optimizer.force.dynamic.filter", "true")]).forces_late_scans());
        let mut flags = settings(&[]);
        assert!(flags.shares_parts());
        flags.share_nothing();
        assert!(!flags.shares_parts());
        for (rules, sorts) in [("hj", true), ("pojr, HJ", true), ("xhj", false), ("", false)] {
            assert_eq!(settings(&[("odps.optimizer.cbo.rule.filter.black", rules)]).sorts_joins(), sorts, "{rules}");
        }
    }

    #[test]
    fn how_groups_are_made_can_be_said() {
        let unset = settings(&[]);
        assert_eq!((unset.has_ordered_groups(), unset.forces_ordered_groups()), (true, false));
        assert!(!settings(&[("odps.optimizer.enable.ordered.groups", "false")]).has_ordered_groups());
        assert!(settings(&[("odps.optimizer.force.ordered.groups", "true")]).forces_ordered_groups());
    }

    // MaxCompute documentation, "Flag parameters": these flags choose other types and conversions.
    #[test]
    fn modes_that_would_change_answers_are_refused_and_the_ones_in_force_are_not() {
        for (key, value) in FIXED {
            settings(&[(key, if value { "TRUE" } else { "false" })]).refuse_modes().unwrap();
            let e = settings(&[(key, if value { "false" } else { "true" })]).refuse_modes().unwrap_err();
            assert_eq!(e.code(), "ODPS-0121125", "{key}");
        }
    }

    #[test]
    fn either_flag_makes_conversions_lenient() {
        assert!(settings(&[]).is_strict());
        assert!(!settings(&[("odps.sql.udf.strict.mode", "false")]).is_strict());
        assert!(!settings(&[("odps.function.strictmode", "False")]).is_strict());
        assert!(!settings(&[("odps.sql.hive.compatible", "true")]).is_strict());
    }
}
