//! Which keys a query asks for: ranges of keys out of filters, as a pure function.
//!
//! A filter counts if it compares one column of the key with literals of the column's own type. What follows from several of
//! them is exact for the first column of the key; for the others it may be more than is asked for, and the filter is checked
//! again above.

use std::cmp::{max, min};

use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Between, BinaryExpr, Expr, Operator, TableProviderFilterPushDown};
use feitian_types::DataType;

use super::source::{Edge, KeyRange, KeyValue};

/// Later columns make at most so many ranges.
const MAX_RANGES: usize = 1000;
/// A bound has at most so many bytes, and what follows it one more.
const MAX_BOUND: usize = 1023;

/// A column of the key as SQL knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeyName {
    pub(super) name: String,
    pub(super) ty: DataType,
}

/// From the first edge up to the second, which is not part of it.
type Interval = (Edge, Edge);
/// Intervals that do not touch, in their order.
type Values = Vec<Interval>;

/// The ranges that hold every row which all filters let through, in the order of the keys. None: there is no such row.
pub(super) fn ranges(key: &[KeyName], filters: &[Expr]) -> Vec<KeyRange> {
    let mut asked: Vec<Values> = vec![vec![(Edge::Min, Edge::Max)]; key.len()];
    for filter in filters.iter().flat_map(split_conjunction) {
        if let Some((column, values)) = values_of(key, filter) {
            asked[column] = both(&asked[column], &values);
        }
    }
    if asked.iter().any(Vec::is_empty) {
        return Vec::new();
    }
    let mut prefixes: Vec<Vec<Edge>> = vec![Vec::new()];
    for (column, values) in asked.iter().enumerate() {
        let is_last = column + 1 == key.len();
        let is_bounded = column == 0 || prefixes.len().saturating_mul(values.len()) <= MAX_RANGES;
        let points: Option<Vec<&Edge>> = values.iter().map(point).collect();
        match points {
            Some(points) if is_bounded && !is_last => {
                let mut longer = Vec::with_capacity(prefixes.len().saturating_mul(points.len()));
                for prefix in &prefixes {
                    longer.extend(points.iter().map(|point| bound(prefix, point)));
                }
                prefixes = longer;
            }
            _ if is_bounded => return product(&prefixes, values, key.len()),
            _ => return product(&prefixes, &hull(values), key.len()),
        }
    }
    vec![KeyRange::whole(key.len())]
}

/// What becomes of a filter: one of the first column is met by the ranges alone.
pub(super) fn pushed(key: &[KeyName], filter: &Expr) -> TableProviderFilterPushDown {
    match values_of(key, filter) {
        Some((0, _)) => TableProviderFilterPushDown::Exact,
        Some(_) => TableProviderFilterPushDown::Inexact,
        None => TableProviderFilterPushDown::Unsupported,
    }
}

/// A filter that `pushed` may have promised to meet and that no range says any more: a plan can be rewritten in between.
pub(super) fn lost<'a>(key: &[KeyName], filters: &'a [Expr]) -> Option<&'a Expr> {
    let first = key.first().map(|k| k.name.as_str());
    filters.iter().flat_map(split_conjunction).find(|filter| {
        values_of(key, filter).is_none() && filter.column_refs().iter().all(|c| first == Some(c.name.as_str()))
    })
}

/// The one value of an interval that has one.
fn point((low, high): &Interval) -> Option<&Edge> {
    match low {
        Edge::At(value) if after(value) == *high => Some(low),
        _ => None,
    }
}

/// One interval around all of them.
fn hull(values: &[Interval]) -> Values {
    let ends = values.first().zip(values.last());
    ends.map(|((low, _), (_, high))| (low.clone(), high.clone())).into_iter().collect()
}

/// A bound with one column more.
fn bound(prefix: &[Edge], edge: &Edge) -> Vec<Edge> {
    prefix.iter().chain([edge]).cloned().collect()
}

/// The ranges of keys that begin with one of the prefixes, and go on with one of the values.
fn product(prefixes: &[Vec<Edge>], values: &[Interval], num_columns: usize) -> Vec<KeyRange> {
    let mut ranges = Vec::with_capacity(prefixes.len().saturating_mul(values.len()));
    for prefix in prefixes {
        for (low, high) in values {
            let (mut begin, mut end) = (bound(prefix, low), bound(prefix, high));
            begin.resize(num_columns, Edge::Min);
            // The smallest key with a value is where that begins; behind all values it makes no difference.
            end.resize(num_columns, if *high == Edge::Max { Edge::Max } else { Edge::Min });
            ranges.push(KeyRange { begin, end });
        }
    }
    ranges
}

/// The least value above this one.
fn after(value: &KeyValue) -> Edge {
    match value {
        KeyValue::Int(number) => number.checked_add(1).map_or(Edge::Max, |next| Edge::At(KeyValue::Int(next))),
        KeyValue::Text(text) => Edge::At(KeyValue::Text(format!("{text}\0"))),
        KeyValue::Bytes(bytes) => {
            let mut next = bytes.clone();
            next.push(0);
            Edge::At(KeyValue::Bytes(next))
        }
    }
}

/// The column that a filter is about, and the values that it lets through.
fn values_of(key: &[KeyName], filter: &Expr) -> Option<(usize, Values)> {
    match filter {
        // What is left of conditions that contradict each other.
        Expr::Literal(ScalarValue::Boolean(truth), _) => {
            let all = (*truth == Some(true)).then_some((Edge::Min, Edge::Max));
            Some((0, all.into_iter().collect()))
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match op {
            Operator::And | Operator::Or => {
                let (column, left) = values_of(key, left)?;
                let (other, right) = values_of(key, right)?;
                let combined = if *op == Operator::And { both(&left, &right) } else { either(left, right) };
                (column == other).then_some((column, combined))
            }
            _ => match (left.as_ref(), right.as_ref()) {
                (Expr::Column(_), Expr::Literal(value, _)) => compared(key, left, *op, value),
                (Expr::Literal(value, _), Expr::Column(_)) => compared(key, right, op.swap()?, value),
                _ => None,
            },
        },
        Expr::Between(Between { expr, negated: false, low, high }) => {
            let (Expr::Literal(low, _), Expr::Literal(high, _)) = (low.as_ref(), high.as_ref()) else { return None };
            let (column, from) = compared(key, expr, Operator::GtEq, low)?;
            let (_, to) = compared(key, expr, Operator::LtEq, high)?;
            Some((column, both(&from, &to)))
        }
        Expr::InList(InList { expr, list, negated: false }) => {
            let mut all: Option<(usize, Values)> = None;
            for element in list {
                let Expr::Literal(value, _) = element else { return None };
                let (column, values) = compared(key, expr, Operator::Eq, value)?;
                all.get_or_insert_with(|| (column, Vec::new())).1.extend(values);
            }
            all.map(|(column, values)| (column, joined(values)))
        }
        _ => None,
    }
}

/// The values of a column for which a comparison holds.
fn compared(key: &[KeyName], column: &Expr, op: Operator, value: &ScalarValue) -> Option<(usize, Values)> {
    let Expr::Column(column) = column else { return None };
    let at = key.iter().position(|k| k.name == column.name)?;
    let value = key_value(&key[at].ty, value)?;
    let next = after(&value);
    let here = Edge::At(value);
    let interval = match op {
        Operator::Eq => (here, next),
        Operator::Lt => (Edge::Min, here),
        Operator::LtEq => (Edge::Min, next),
        Operator::Gt => (next, Edge::Max),
        Operator::GtEq => (here, Edge::Max),
        _ => return None,
    };
    // Above the greatest number there is nothing.
    let values = if interval.0 < interval.1 { vec![interval] } else { Vec::new() };
    Some((at, values))
}

/// A literal of the column's own type. One that no bound can hold is compared above.
fn key_value(ty: &DataType, value: &ScalarValue) -> Option<KeyValue> {
    let value = match (ty, value) {
        (DataType::BigInt, ScalarValue::Int64(Some(number))) => KeyValue::Int(*number),
        (DataType::String, value) => KeyValue::Text(value.try_as_str().flatten()?.to_string()),
        (
            DataType::Binary,
            ScalarValue::Binary(Some(bytes))
            | ScalarValue::LargeBinary(Some(bytes))
            | ScalarValue::BinaryView(Some(bytes)),
        ) => KeyValue::Bytes(bytes.clone()),
        _ => return None,
    };
    let fits = match &value {
        KeyValue::Int(_) => true,
        KeyValue::Text(text) => text.len() <= MAX_BOUND,
        KeyValue::Bytes(bytes) => bytes.len() <= MAX_BOUND,
    };
    fits.then_some(value)
}

/// What is in one and in the other.
fn both(left: &[Interval], right: &[Interval]) -> Values {
    let (mut i, mut j, mut common) = (0, 0, Vec::new());
    while let (Some(a), Some(b)) = (left.get(i), right.get(j)) {
        let (low, high) = (max(&a.0, &b.0), min(&a.1, &b.1));
        if low < high {
            common.push((low.clone(), high.clone()));
        }
        if a.1 <= b.1 {
            i += 1;
        } else {
            j += 1;
        }
    }
    common
}

/// What is in one or the other.
fn either(left: Values, right: Values) -> Values {
    joined(left.into_iter().chain(right).collect())
}

/// The same values in intervals that do not overlap. Values beside each other stay apart: each is read as one.
fn joined(mut values: Values) -> Values {
    values.sort();
    let mut apart: Values = Vec::with_capacity(values.len());
    for (low, high) in values {
        match apart.last_mut() {
            Some(last) if low < last.1 => {
                if last.1 < high {
                    last.1 = high;
                }
            }
            _ => apart.push((low, high)),
        }
    }
    apart
}

#[cfg(test)]
mod tests {
    use datafusion::logical_expr::{col, in_list, lit};

    use super::*;

    fn key(types: &[DataType]) -> Vec<KeyName> {
        types.iter().enumerate().map(|(i, ty)| KeyName { name: format!("k{i}"), ty: ty.clone() }).collect()
    }

    fn shown(types: &[DataType], filters: &[Expr]) -> Vec<String> {
        ranges(&key(types), filters).iter().map(KeyRange::to_string).collect()
    }

    const INT: DataType = DataType::BigInt;
    const TEXT: DataType = DataType::String;

    // By hand: the first key that meets the filter, and the first behind it that does not.
    #[test]
    fn comparisons_of_a_single_column_are_one_range_each() {
        for (filter, want) in [
            (col("k0").eq(lit(5_i64)), "[(5), (6))"),
            (col("k0").lt(lit(5_i64)), "[(-inf), (5))"),
            (col("k0").lt_eq(lit(5_i64)), "[(-inf), (6))"),
            (col("k0").gt(lit(5_i64)), "[(6), (+inf))"),
            (col("k0").gt_eq(lit(5_i64)), "[(5), (+inf))"),
            (lit(5_i64).lt(col("k0")), "[(6), (+inf))"),
            (col("k0").between(lit(5_i64), lit(7_i64)), "[(5), (8))"),
            (col("k0").lt_eq(lit(i64::MAX)), "[(-inf), (+inf))"),
            (col("k0").eq(lit(i64::MAX)), "[(9223372036854775807), (+inf))"),
        ] {
            assert_eq!(shown(&[INT], std::slice::from_ref(&filter)), [want], "{filter}");
        }
        assert_eq!(shown(&[INT], &[]), ["[(-inf), (+inf))"]);
    }

    // By hand: behind a text comes the same with a zero byte, and no text is between them.
    #[test]
    fn texts_are_in_the_order_of_their_bytes() {
        assert_eq!(shown(&[TEXT], &[col("k0").eq(lit("b"))]), ["[('b'), ('b\\0'))"]);
        assert_eq!(shown(&[TEXT], &[col("k0").gt(lit("b")).and(col("k0").lt(lit("é")))]), ["[('b\\0'), ('é'))"]);
        assert!(Edge::At(KeyValue::Text("z".into())) < Edge::At(KeyValue::Text("é".into())));
        let long = col("k0").eq(lit("x".repeat(MAX_BOUND + 1)));
        assert_eq!(shown(&[TEXT], &[long]), ["[(-inf), (+inf))"]);
        let bytes = ScalarValue::Binary(Some(vec![0xFF]));
        let above = col("k0").gt(Expr::Literal(bytes, None));
        assert_eq!(shown(&[DataType::Binary], &[above]), ["[(X'FF00'), (+inf))"]);
    }

    #[test]
    fn equalities_of_a_prefix_and_a_range_behind_it_are_one_range() {
        let filters = [col("k0").eq(lit("a")), col("k1").gt_eq(lit(3_i64)), col("k1").lt(lit(9_i64))];
        assert_eq!(shown(&[TEXT, INT], &filters), ["[('a', 3), ('a', 9))"]);
        // The third column does not go on after a range.
        let more = [filters.as_slice(), &[col("k2").eq(lit(1_i64))]].concat();
        assert_eq!(shown(&[TEXT, INT, INT], &more), ["[('a', 3, -inf), ('a', 9, -inf))"]);
        assert_eq!(shown(&[TEXT, INT], &filters[..1]), ["[('a', -inf), ('a', +inf))"]);
        assert_eq!(shown(&[TEXT, INT], &filters[1..]), ["[(-inf, -inf), (+inf, +inf))"]);
        let whole = [col("k0").eq(lit(1_i64)), col("k1").eq(lit(2_i64))];
        assert_eq!(shown(&[INT, INT], &whole), ["[(1, 2), (1, 3))"]);
    }

    #[test]
    fn lists_are_ranges_in_the_order_of_their_values() {
        let list = in_list(col("k0"), vec![lit(9_i64), lit(1_i64), lit(9_i64)], false);
        assert_eq!(shown(&[INT], std::slice::from_ref(&list)), ["[(1), (2))", "[(9), (10))"]);
        let second = in_list(col("k1"), vec![lit(4_i64), lit(3_i64)], false);
        let want = ["[(1, 3), (1, 4))", "[(1, 4), (1, 5))", "[(9, 3), (9, 4))", "[(9, 4), (9, 5))"];
        assert_eq!(shown(&[INT, INT], &[list.clone(), second]), want);
        let or = col("k0").eq(lit(7_i64)).or(col("k0").eq(lit(2_i64))).or(col("k0").gt(lit(100_i64)));
        assert_eq!(shown(&[INT], &[or]), ["[(2), (3))", "[(7), (8))", "[(101), (+inf))"]);
        assert_eq!(shown(&[INT], &[list.clone(), col("k0").gt(lit(1_i64))]), ["[(9), (10))"]);
        // 1,001 values of a second column are read as what is between the least and the greatest.
        let many = in_list(col("k1"), (0..1001).map(|n| lit(n * 2_i64)).collect(), false);
        assert_eq!(shown(&[INT, INT], &[col("k0").eq(lit(1_i64)), many.clone()]), ["[(1, 0), (1, 2001))"]);
        let first = in_list(col("k0"), (0..1001).map(|n| lit(n * 2_i64)).collect(), false);
        assert_eq!(shown(&[INT, INT], &[first]).len(), 1001);
    }

    #[test]
    fn what_contradicts_itself_has_no_range() {
        let filters = [col("k0").gt(lit(5_i64)), col("k0").lt(lit(5_i64))];
        assert!(shown(&[INT], &filters).is_empty());
        assert!(shown(&[INT], &[col("k0").gt(lit(i64::MAX))]).is_empty());
        assert!(shown(&[INT], &[col("k0").between(lit(7_i64), lit(5_i64))]).is_empty());
        let later = [col("k0").eq(lit(1_i64)), col("k1").lt(lit(1_i64)), col("k1").gt(lit(1_i64))];
        assert!(shown(&[INT, INT], &later).is_empty());
        assert!(shown(&[INT], &[lit(false)]).is_empty());
        assert!(shown(&[INT], &[Expr::Literal(ScalarValue::Boolean(None), None)]).is_empty());
        assert_eq!(shown(&[INT], &[lit(true)]), ["[(-inf), (+inf))"]);
    }

    #[test]
    fn a_filter_of_the_first_column_that_is_no_range_is_told() {
        let key = key(&[INT, TEXT]);
        let other = col("k0").not_eq(lit(5_i64));
        let filters =
            [col("k0").eq(lit(5_i64)), col("k1").not_eq(lit("a")), col("k0").eq(lit(1_i64)).and(other.clone())];
        assert_eq!(lost(&key, &filters[..2]), None);
        assert_eq!(lost(&key, &filters), Some(&other));
    }

    #[test]
    fn what_is_no_comparison_with_a_literal_of_the_type_is_left_above() {
        let key = key(&[INT, TEXT]);
        let names = |filter: &Expr| pushed(&key, filter);
        for filter in [
            col("k0").eq(lit(5_i32)),
            col("k0").eq(lit(5.0)),
            col("k0").eq(lit("5")),
            col("k0").eq(Expr::Literal(ScalarValue::Int64(None), None)),
            col("k0").not_eq(lit(5_i64)),
            col("k0").is_null(),
            col("k1").eq(lit(5_i64)),
            col("other").eq(lit(5_i64)),
            col("k0").eq(col("k0")),
            col("k0").eq(lit(5_i64)).or(col("k1").eq(lit("a"))),
            in_list(col("k0"), vec![lit(1_i64)], true),
            in_list(col("k0"), vec![lit(1_i64), Expr::Literal(ScalarValue::Int64(None), None)], false),
        ] {
            assert_eq!(names(&filter), TableProviderFilterPushDown::Unsupported, "{filter}");
        }
        assert_eq!(names(&col("k0").eq(lit(5_i64))), TableProviderFilterPushDown::Exact);
        assert_eq!(names(&col("k1").gt(lit("a"))), TableProviderFilterPushDown::Inexact);
    }
}
