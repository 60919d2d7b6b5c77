//! What the conditions of a query say about the rows of a system table, so that no other rows are read.

use std::collections::BTreeMap;

use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::Between;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use feitian_meta::{InstanceState, StateClass};

use super::SystemTable;

/// The conditions that are met exactly by what is read, and need not be checked again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Ask {
    /// Columns that have one value.
    equal: BTreeMap<&'static str, String>,
    /// Submitted at this time or later, in milliseconds.
    pub(super) from_ms: Option<i64>,
    /// Submitted before this time.
    pub(super) to_ms: Option<i64>,
    /// The conditions contradict each other.
    pub(super) nothing: bool,
}

/// One condition.
enum Condition {
    Equal(&'static str, String),
    /// From the first time up to, not with, the second.
    Time(Option<i64>, Option<i64>),
}

/// The column that time conditions are about.
const TIME: &str = "submit_time";

impl Ask {
    /// What `filters`, which all hold, say.
    pub(super) fn of(table: SystemTable, filters: &[Expr]) -> Self {
        let mut ask = Self::default();
        for condition in filters.iter().filter_map(|f| condition(table, f)) {
            match condition {
                Condition::Equal(column, value) => {
                    let known = ask.equal.entry(column).or_insert_with(|| value.clone());
                    ask.nothing |= *known != value;
                }
                Condition::Time(from, to) => {
                    ask.from_ms = ask.from_ms.max(from);
                    ask.to_ms = [ask.to_ms, to].into_iter().flatten().min();
                }
            }
        }
        ask
    }

    /// True if what is read meets `filter` exactly.
    pub(super) fn knows(table: SystemTable, filter: &Expr) -> bool {
        condition(table, filter).is_some()
    }

    /// The one value of `column`.
    pub(super) fn equal(&self, column: &str) -> Option<&str> {
        self.equal.get(column).map(String::as_str)
    }

    /// The states that are asked for.
    pub(super) fn class(&self) -> Option<StateClass> {
        self.equal("status").and_then(class_of)
    }
}

impl std::fmt::Display for Ask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (column, value) in &self.equal {
            write!(f, ", {column}={value}")?;
        }
        if let Some(ms) = self.from_ms {
            write!(f, ", {TIME}>={ms}ms")?;
        }
        if let Some(ms) = self.to_ms {
            write!(f, ", {TIME}<{ms}ms")?;
        }
        Ok(())
    }
}

/// The states that are picked by their word: those of few jobs, whose indexes hold the jobs of all projects.
fn class_of(word: &str) -> Option<StateClass> {
    match InstanceState::parse(word)? {
        InstanceState::Waiting => Some(StateClass::Waiting),
        InstanceState::Running => Some(StateClass::Running),
        _ => None,
    }
}

fn condition(table: SystemTable, filter: &Expr) -> Option<Condition> {
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match (left.as_ref(), right.as_ref()) {
            (Expr::Column(column), Expr::Literal(value, _)) => compare(table, &column.name, *op, value),
            (Expr::Literal(value, _), Expr::Column(column)) => compare(table, &column.name, op.swap()?, value),
            _ => None,
        },
        Expr::Between(Between { expr, negated: false, low, high }) => {
            match (expr.as_ref(), low.as_ref(), high.as_ref()) {
                (Expr::Column(column), Expr::Literal(low, _), Expr::Literal(high, _))
                    if table.has_time(&column.name) =>
                {
                    Some(Condition::Time(Some(time(low)?), Some(time(high)?.checked_add(1)?)))
                }
                _ => None,
            }
        }
        _ => None,
    }
}

fn compare(table: SystemTable, column: &str, op: Operator, value: &ScalarValue) -> Option<Condition> {
    if table.has_time(column) {
        let ms = time(value)?;
        // Times are whole milliseconds.
        let next = ms.checked_add(1)?;
        return match op {
            Operator::Eq => Some(Condition::Time(Some(ms), Some(next))),
            Operator::Gt => Some(Condition::Time(Some(next), None)),
            Operator::GtEq => Some(Condition::Time(Some(ms), None)),
            Operator::Lt => Some(Condition::Time(None, Some(ms))),
            Operator::LtEq => Some(Condition::Time(None, Some(next))),
            _ => None,
        };
    }
    let column = *table.picked_by().iter().find(|c| **c == column)?;
    let value = value.try_as_str().flatten()?;
    // PostgreSQL takes no text with a NUL.
    let known = !value.contains('\0') && (column != "status" || class_of(value).is_some());
    (op == Operator::Eq && known).then(|| Condition::Equal(column, value.to_string()))
}

fn time(value: &ScalarValue) -> Option<i64> {
    match value {
        ScalarValue::TimestampMillisecond(ms, Some(_)) => *ms,
        _ => None,
    }
}

impl SystemTable {
    fn has_time(self, column: &str) -> bool {
        matches!(self, Self::Instances | Self::Tasks) && column == TIME
    }

    /// The columns by whose value rows are picked.
    fn picked_by(self) -> &'static [&'static str] {
        match self {
            Self::Instances => &["project", "instance_id", "owner", "status"],
            Self::Tasks => &["project", "instance_id"],
            Self::Tables | Self::Partitions => &["project", "schema_name", "table_name"],
            Self::InformationTables | Self::InformationColumns | Self::InformationPartitions => {
                &["table_catalog", "table_schema", "table_name"]
            }
            Self::OtsTables | Self::Ranges => &["instance_name", "table_name"],
            Self::Sessions => &["project"],
            Self::Config => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use datafusion::logical_expr::{col, lit};

    use super::*;

    fn at(ms: i64) -> Expr {
        lit(ScalarValue::TimestampMillisecond(Some(ms), Some("UTC".into())))
    }

    fn asked(filters: &[Expr]) -> Ask {
        assert!(filters.iter().all(|f| Ask::knows(SystemTable::Instances, f)), "{filters:?}");
        Ask::of(SystemTable::Instances, filters)
    }

    // Arithmetic on whole milliseconds: more than 5 is 6 or more, at most 9 is less than 10.
    #[test]
    fn ranges_of_time_become_half_open() {
        let ask =
            asked(&[col("submit_time").gt(at(5)), at(9).gt_eq(col("submit_time")), col("submit_time").gt_eq(at(2))]);
        assert_eq!((ask.from_ms, ask.to_ms), (Some(6), Some(10)));
        let ask = asked(&[col("submit_time").lt(at(9)), at(4).lt(col("submit_time"))]);
        assert_eq!((ask.from_ms, ask.to_ms), (Some(5), Some(9)));
        let ask = asked(&[col("submit_time").between(at(3), at(4))]);
        assert_eq!((ask.from_ms, ask.to_ms), (Some(3), Some(5)));
        let ask = asked(&[col("submit_time").eq(at(7))]);
        assert_eq!((ask.from_ms, ask.to_ms), (Some(7), Some(8)));
    }

    #[test]
    fn one_value_is_asked_for_and_two_are_none() {
        let ask = asked(&[col("project").eq(lit("p")), lit("i").eq(col("instance_id"))]);
        assert_eq!((ask.equal("project"), ask.equal("instance_id"), ask.nothing), (Some("p"), Some("i"), false));
        assert!(asked(&[col("project").eq(lit("p")), col("project").eq(lit("q"))]).nothing);
        assert!(!asked(&[col("project").eq(lit("p")), col("project").eq(lit("p"))]).nothing);
        assert_eq!(asked(&[col("status").eq(lit("Running"))]).class(), Some(StateClass::Running));
    }

    #[test]
    fn what_cannot_be_met_exactly_is_left_to_the_query() {
        for filter in [
            col("status").eq(lit("Failed")),
            col("status").eq(lit("nonsense")),
            col("project").not_eq(lit("p")),
            col("project").eq(lit("p\0")),
            col("project").gt(lit("p")),
            col("priority").eq(lit(1_i64)),
            col("submit_time").not_eq(at(5)),
            col("submit_time").gt(at(i64::MAX)),
            col("submit_time").gt(lit(ScalarValue::TimestampNanosecond(Some(1), Some("UTC".into())))),
            col("submit_time").not_between(at(3), at(4)),
            col("end_time").gt(at(5)),
            col("project").eq(col("owner")),
        ] {
            assert!(!Ask::knows(SystemTable::Instances, &filter), "{filter}");
        }
        assert!(!Ask::knows(SystemTable::Tables, &col("submit_time").gt(at(5))));
        assert!(!Ask::knows(SystemTable::Config, &col("project").eq(lit("p"))));
    }
}
