//! Filters of reads and conditions of writes, made ready once and asked of each row.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use feitian_base::Result;
use feitian_wire::ots::{Cast, Compare, Filter, KeyColumn, Transfer, Value};
use regex::{Regex, RegexBuilder};
use tokio::runtime::{Handle, RuntimeFlavor};

use crate::cells::Versions;
use crate::errors::invalid;

/// How large a compiled expression may be.
const REGEX_BYTES: usize = 1 << 18;
/// A text from which on an expression may take so long that other work should not wait for it.
const LONG_BYTES: usize = 16 << 10;

/// What a filter is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    Read,
    /// The condition of a write, which has no page of columns.
    Condition,
}

/// A filter that is ready to be asked.
#[derive(Debug)]
pub(crate) struct Ready {
    test: Test,
    /// Offset and limit of columns.
    pub page: Option<(usize, usize)>,
}

#[derive(Debug)]
enum Test {
    /// A page of columns holds for every row.
    Always,
    Compare(Box<Comparison>),
    Not(Box<Test>),
    And(Vec<Test>),
    Or(Vec<Test>),
}

#[derive(Debug)]
struct Comparison {
    op: Compare,
    column: String,
    value: Value,
    pass_if_missing: bool,
    latest_only: bool,
    transfer: Option<(Regex, Cast)>,
}

impl Ready {
    /// Refuses a filter that its use does not allow. With expressions it takes long to make, and much room to keep.
    pub(crate) fn new(filter: &Filter, usage: Use) -> Result<Self> {
        let make = || -> Result<Self> {
            let mut page = None;
            let test = ready(filter, usage, true, &mut page)?;
            Ok(Self { test, page })
        };
        if is_slow(filter) { blocking(make) } else { make() }
    }

    /// Whether a row passes, of which `columns` is what a read would show.
    pub(crate) fn passes(&self, key: &[KeyColumn], columns: &BTreeMap<String, Versions>) -> bool {
        self.test.passes(key, columns)
    }

    /// Whether a row may take long.
    pub(crate) fn has_expressions(&self) -> bool {
        self.test.has_expressions()
    }
}

/// The columns that a filter asks for.
pub(crate) fn columns(filter: &Filter, to: &mut BTreeSet<String>) {
    match filter {
        Filter::Compare { column, .. } => {
            to.insert(column.clone());
        }
        Filter::Not(inner) => columns(inner, to),
        Filter::And(parts) | Filter::Or(parts) => parts.iter().for_each(|part| columns(part, to)),
        Filter::Page { .. } => {}
    }
}

/// Whether it has expressions.
fn is_slow(filter: &Filter) -> bool {
    match filter {
        Filter::Compare { transfer, .. } => transfer.is_some(),
        Filter::Not(inner) => is_slow(inner),
        Filter::And(parts) | Filter::Or(parts) => parts.iter().any(is_slow),
        Filter::Page { .. } => false,
    }
}

fn ready(filter: &Filter, usage: Use, may_page: bool, page: &mut Option<(usize, usize)>) -> Result<Test> {
    match filter {
        Filter::Compare { op, column, value, pass_if_missing, latest_only, transfer } => {
            let transfer = transfer.as_ref().map(expression).transpose()?;
            Ok(Test::Compare(Box::new(Comparison {
                op: *op,
                column: column.clone(),
                value: value.clone(),
                pass_if_missing: *pass_if_missing,
                latest_only: *latest_only,
                transfer,
            })))
        }
        Filter::Not(inner) => Ok(Test::Not(Box::new(ready(inner, usage, false, page)?))),
        Filter::And(parts) => {
            let parts: Result<Vec<Test>> = parts.iter().map(|part| ready(part, usage, may_page, page)).collect();
            Ok(Test::And(parts?))
        }
        Filter::Or(parts) => {
            let parts: Result<Vec<Test>> = parts.iter().map(|part| ready(part, usage, false, page)).collect();
            Ok(Test::Or(parts?))
        }
        Filter::Page { offset, limit } => {
            if usage == Use::Condition {
                return Err(invalid("ColumnPaginationFilter is not allowed in the condition of a write."));
            }
            if !may_page || page.is_some() {
                return Err(invalid("ColumnPaginationFilter is allowed once, and with others under AND alone."));
            }
            let number = |n: &u32| usize::try_from(*n).unwrap_or(usize::MAX);
            *page = Some((number(offset), number(limit)));
            Ok(Test::Always)
        }
    }
}

fn expression(transfer: &Transfer) -> Result<(Regex, Cast)> {
    let regex = RegexBuilder::new(&transfer.regex).size_limit(REGEX_BYTES).dfa_size_limit(REGEX_BYTES).build();
    let regex = regex.map_err(|e| invalid("The regular expression of a filter is not valid.").with_source(e))?;
    Ok((regex, transfer.cast))
}

/// Lets the other work of this thread go on elsewhere: an expression takes up to its own size for each byte of a text.
fn blocking<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}

impl Test {
    fn passes(&self, key: &[KeyColumn], columns: &BTreeMap<String, Versions>) -> bool {
        match self {
            Self::Always => true,
            Self::Compare(comparison) => comparison.passes(key, columns),
            Self::Not(inner) => !inner.passes(key, columns),
            Self::And(parts) => parts.iter().all(|part| part.passes(key, columns)),
            Self::Or(parts) => parts.iter().any(|part| part.passes(key, columns)),
        }
    }

    fn has_expressions(&self) -> bool {
        match self {
            Self::Always => false,
            Self::Compare(comparison) => comparison.transfer.is_some(),
            Self::Not(inner) => inner.has_expressions(),
            Self::And(parts) | Self::Or(parts) => parts.iter().any(Self::has_expressions),
        }
    }
}

impl Comparison {
    fn passes(&self, key: &[KeyColumn], columns: &BTreeMap<String, Versions>) -> bool {
        if let Some(column) = key.iter().find(|column| column.name == self.column) {
            return column.value.to_value().is_some_and(|value| self.holds(&value));
        }
        let versions = columns.get(&self.column).filter(|versions| !versions.is_empty());
        match (self.op, versions) {
            (Compare::Exist, versions) => versions.is_some(),
            (Compare::NotExist, versions) => versions.is_none(),
            (_, None) => self.pass_if_missing,
            (_, Some(versions)) if self.latest_only => versions.values().next_back().is_some_and(|v| self.holds(v)),
            (_, Some(versions)) => versions.values().any(|value| self.holds(value)),
        }
    }

    fn holds(&self, value: &Value) -> bool {
        let Some((regex, cast)) = &self.transfer else { return self.compares(value) };
        let Value::Str(text) = value else { return false };
        let find = || regex.captures(text).and_then(|found| found.get(1));
        let group = if text.len() < LONG_BYTES { find() } else { blocking(find) };
        let Some(group) = group.map(|group| group.as_str()) else { return false };
        let value = match cast {
            Cast::Int => group.parse::<i64>().ok().map(Value::Int),
            Cast::Double => group.parse::<f64>().ok().filter(|number| number.is_finite()).map(Value::Double),
            Cast::Str => Some(Value::Str(group.to_owned())),
            Cast::Bin => Some(Value::Bin(group.as_bytes().to_vec())),
        };
        value.is_some_and(|value| self.compares(&value))
    }

    /// Values of different types never compare as true.
    fn compares(&self, value: &Value) -> bool {
        let ordering = match (value, &self.value) {
            (Value::Int(a), Value::Int(b)) => Some(a.cmp(b)),
            (Value::Double(a), Value::Double(b)) => a.partial_cmp(b),
            (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
            (Value::Str(a), Value::Str(b)) => Some(a.cmp(b)),
            (Value::Bin(a), Value::Bin(b)) => Some(a.cmp(b)),
            _ => None,
        };
        match self.op {
            Compare::Equal => ordering == Some(Ordering::Equal),
            Compare::NotEqual => ordering.is_some_and(|o| o != Ordering::Equal),
            Compare::GreaterThan => ordering == Some(Ordering::Greater),
            Compare::GreaterEqual => ordering.is_some_and(|o| o != Ordering::Less),
            Compare::LessThan => ordering == Some(Ordering::Less),
            Compare::LessEqual => ordering.is_some_and(|o| o != Ordering::Greater),
            Compare::Exist => true,
            Compare::NotExist => false,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use feitian_wire::ots::KeyValue;

    use super::*;

    fn compare(op: Compare, column: &str, value: Value, pass_if_missing: bool, latest_only: bool) -> Filter {
        Filter::Compare { op, column: column.into(), value, pass_if_missing, latest_only, transfer: None }
    }

    fn passes(filter: &Filter) -> bool {
        let key = [KeyColumn { name: "pk".into(), value: KeyValue::Int(7) }];
        let text = Versions::from([(1, Value::Str("old 5".into())), (2, Value::Str("new 6".into()))]);
        let columns = BTreeMap::from([("n".to_owned(), Versions::from([(1, Value::Int(5))])), ("t".to_owned(), text)]);
        Ready::new(filter, Use::Read).unwrap().passes(&key, &columns)
    }

    // From the reference, part 4.2.
    #[test]
    fn comparisons_follow_their_rules() {
        assert!(passes(&compare(Compare::Equal, "n", Value::Int(5), false, true)));
        assert!(passes(&compare(Compare::LessThan, "n", Value::Int(6), false, true)));
        for op in [Compare::Equal, Compare::NotEqual, Compare::LessThan, Compare::GreaterEqual] {
            assert!(!passes(&compare(op, "n", Value::Double(5.0), true, true)), "different types never match: {op:?}");
        }
        assert!(passes(&compare(Compare::Equal, "missing", Value::Int(5), true, true)));
        assert!(!passes(&compare(Compare::Equal, "missing", Value::Int(5), false, true)));
        assert!(passes(&compare(Compare::GreaterThan, "pk", Value::Int(6), false, true)));
        let old = |latest| compare(Compare::Equal, "t", Value::Str("old 5".into()), false, latest);
        assert!(passes(&old(false)) && !passes(&old(true)));
        assert!(passes(&compare(Compare::Exist, "n", Value::Int(0), false, true)));
        assert!(passes(&compare(Compare::NotExist, "missing", Value::Int(0), false, true)));
    }

    #[test]
    fn composites_and_expressions() {
        let yes = compare(Compare::Equal, "n", Value::Int(5), false, true);
        let no = Filter::Not(Box::new(yes.clone()));
        assert!(passes(&Filter::Or(vec![no.clone(), no.clone(), yes.clone()])));
        assert!(!passes(&Filter::And(vec![yes.clone(), yes.clone(), no])));
        let number = |value| Filter::Compare {
            op: Compare::Equal,
            column: "t".into(),
            value: Value::Int(value),
            pass_if_missing: true,
            latest_only: true,
            transfer: Some(Transfer { regex: "([0-9]+)".into(), cast: Cast::Int }),
        };
        assert!(passes(&number(6)) && !passes(&number(5)));
        assert!(is_slow(&Filter::Not(Box::new(number(6)))) && !is_slow(&yes));
    }

    // By hand: the names that stand in it, whatever is asked of them.
    #[test]
    fn a_filter_asks_for_the_columns_that_it_names() {
        let named = |column: &str| compare(Compare::NotExist, column, Value::Int(0), true, true);
        let either = Filter::Or(vec![named("b"), Filter::Not(Box::new(named("c"))), named("b")]);
        let mut found = BTreeSet::new();
        columns(&Filter::And(vec![named("a"), either, Filter::Page { offset: 0, limit: 1 }]), &mut found);
        assert_eq!(found.into_iter().collect::<Vec<_>>(), ["a", "b", "c"]);
    }

    // A runtime of one thread, which would wait for the work for ever if that kept it to itself.
    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn other_work_goes_on_beside_a_long_expression() {
        let (say, hear) = std::sync::mpsc::channel();
        let long = tokio::spawn(async move {
            blocking(|| {
                tokio::spawn(async move { say.send(7) });
                hear.recv_timeout(std::time::Duration::from_secs(60))
            })
        });
        assert_eq!(long.await.unwrap(), Ok(7));
        let text = format!("{}5", "x".repeat(LONG_BYTES));
        let columns = BTreeMap::from([("t".to_owned(), Versions::from([(1, Value::Str(text))]))]);
        let five = Filter::Compare {
            op: Compare::Equal,
            column: "t".into(),
            value: Value::Int(5),
            pass_if_missing: false,
            latest_only: true,
            transfer: Some(Transfer { regex: "([0-9])$".into(), cast: Cast::Int }),
        };
        let ready = Ready::new(&Filter::Not(Box::new(five)), Use::Read).unwrap();
        assert!(ready.has_expressions() && !ready.passes(&[], &columns));
    }

    #[test]
    fn pages_of_columns_are_for_reads_and_stand_under_and_alone() {
        let page = Filter::Page { offset: 1, limit: 2 };
        let value = compare(Compare::Equal, "n", Value::Int(5), false, true);
        let both = Filter::And(vec![value.clone(), page.clone()]);
        assert_eq!(Ready::new(&both, Use::Read).unwrap().page, Some((1, 2)));
        assert!(Ready::new(&both, Use::Condition).is_err());
        assert!(Ready::new(&Filter::Or(vec![value, page.clone()]), Use::Read).is_err());
        assert!(Ready::new(&Filter::And(vec![page.clone(), page]), Use::Read).is_err());
    }
}
