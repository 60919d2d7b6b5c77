//! How many rows a logical plan gives, and how many values its columns have: what the order of joins is chosen by.
//!
//! The rows of a table are those that its log counts in the partitions that are read; how many values a column has is what
//! the sketches of its files say, and its whole numbers and dates lie between the least and the greatest one. An equality
//! keeps the rows of one value, and a join pairs all values of the side that has fewer. Where nothing is known, the shares
//! are those that System R used (Selinger et al., "Access Path Selection in a Relational Database Management System", 1979,
//! table 1), with smaller ones for texts.

use std::collections::HashMap;

use arrow::datatypes::DataType;
use datafusion::common::stats::Precision;
use datafusion::common::{Column, JoinType, ScalarValue, Statistics};
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{
    Aggregate, Expr, FetchType, Join, LogicalPlan, Operator, TableProviderFilterPushDown, TableScan,
};

use crate::query::shared::rows_of_leaf;
use crate::scan::statistics_of;

/// The share of rows that a comparison with an unknown value keeps.
const UNKNOWN_RANGE: f64 = 1.0 / 3.0;
/// The share that a comparison of a sum, a count or the like keeps: who asks for it mostly looks for the few.
const COMPUTED_RANGE: f64 = 0.1;
/// The share that a text of unknown values has in common with one of them.
const UNKNOWN_TEXT: f64 = 1.0 / 25.0;
/// The share that an equality of unknown sides keeps.
const UNKNOWN_EQUALITY: f64 = 0.1;
/// The share that a pattern keeps.
const PATTERN: f64 = 0.05;
/// The share that any other condition keeps.
const UNKNOWN: f64 = 0.25;

/// What is thought of a plan.
#[derive(Debug, Clone, Default)]
pub(super) struct Estimate {
    pub(super) rows: f64,
    columns: HashMap<Column, Values>,
}

/// What is thought of a column.
#[derive(Debug, Clone, Copy, Default)]
struct Values {
    /// How many different ones there are.
    distinct: Option<f64>,
    least: Option<f64>,
    greatest: Option<f64>,
}

impl Estimate {
    /// The columns of all of these, in so many rows.
    pub(super) fn joined(parts: &[Self], rows: f64) -> Self {
        let columns = parts.iter().flat_map(|part| part.columns.iter().map(|(c, values)| (c.clone(), *values)));
        Self { rows, columns: columns.collect() }
    }

    /// How many different values `expr` has, at most as many as there are rows.
    pub(super) fn distinct(&self, expr: &Expr) -> f64 {
        let known = match plain(expr) {
            Expr::Column(c) => self.columns.get(c).and_then(|v| v.distinct),
            _ => None,
        };
        known.unwrap_or(self.rows).min(self.rows).max(1.0)
    }

    fn values(&self, expr: &Expr) -> Option<&Values> {
        match plain(expr) {
            Expr::Column(c) => self.columns.get(c),
            _ => None,
        }
    }

    /// The same with so many rows.
    pub(super) fn with_rows(mut self, rows: f64) -> Self {
        self.rows = rows.max(1.0);
        self
    }

    /// The share of rows that `condition` keeps.
    pub(super) fn share(&self, condition: &Expr) -> f64 {
        let share = match condition {
            Expr::Literal(ScalarValue::Boolean(Some(true)), _) => 1.0,
            Expr::Literal(..) => 0.0,
            Expr::Not(e) => 1.0 - self.share(e),
            Expr::IsNull(_) => 0.05,
            Expr::IsNotNull(_) => 0.95,
            Expr::Like(like) if like.negated => 1.0 - PATTERN,
            Expr::Like(_) => PATTERN,
            Expr::InList(list) => {
                let kept = (list.list.len() as f64 * self.share_of_one(&list.expr)).min(0.5);
                if list.negated { 1.0 - kept } else { kept }
            }
            Expr::Between(between) => {
                let from = self.beyond(&between.expr, &between.low).unwrap_or(UNKNOWN_RANGE);
                let to = self.beyond(&between.expr, &between.high).map_or(UNKNOWN_RANGE, |share| 1.0 - share);
                let kept = (from + to - 1.0).max(0.01);
                if between.negated { 1.0 - kept } else { kept }
            }
            Expr::BinaryExpr(binary) => self.share_of_binary(&binary.left, binary.op, &binary.right),
            _ => UNKNOWN,
        };
        share.clamp(0.0, 1.0)
    }

    /// The share that all of these conditions keep. A range of one column is looked at as a whole.
    fn share_of_all(&self, conditions: &[&Expr]) -> f64 {
        let mut ranges: HashMap<&Column, (f64, f64)> = HashMap::new();
        let mut share = 1.0;
        for condition in conditions {
            match self.range(condition) {
                Some((column, from_below, kept)) => {
                    let range = ranges.entry(column).or_insert((1.0, 1.0));
                    *(if from_below { &mut range.0 } else { &mut range.1 }) = kept;
                }
                None => share *= self.share(condition),
            }
        }
        share * ranges.values().map(|(over, under)| (over + under - 1.0).max(0.001)).product::<f64>()
    }

    /// A comparison of a column with a value: the column, whether it bounds it from below, and the share that it keeps.
    fn range<'e>(&self, condition: &'e Expr) -> Option<(&'e Column, bool, f64)> {
        let Expr::BinaryExpr(binary) = condition else { return None };
        let (column, value, op) = match (plain(&binary.left), plain(&binary.right)) {
            (Expr::Column(c), Expr::Literal(v, _)) => (c, v, binary.op),
            (Expr::Literal(v, _), Expr::Column(c)) => (c, v, binary.op.swap()?),
            _ => return None,
        };
        let above = self.part_above(self.columns.get(column)?, value)?;
        match op {
            Operator::Gt | Operator::GtEq => Some((column, true, above)),
            Operator::Lt | Operator::LtEq => Some((column, false, 1.0 - above)),
            _ => None,
        }
    }

    fn share_of_binary(&self, left: &Expr, op: Operator, right: &Expr) -> f64 {
        match op {
            Operator::And => {
                let both = left.clone().and(right.clone());
                self.share_of_all(&split_conjunction(&both))
            }
            Operator::Or => {
                let (a, b) = (self.share(left), self.share(right));
                a + b - a * b
            }
            Operator::Eq | Operator::IsNotDistinctFrom => self.share_of_equal(left, right),
            Operator::NotEq | Operator::IsDistinctFrom => 1.0 - self.share_of_equal(left, right),
            Operator::Gt | Operator::GtEq => self.beyond(left, right).unwrap_or_else(|| self.range_of(left, right)),
            Operator::Lt | Operator::LtEq => {
                self.beyond(left, right).map_or_else(|| self.range_of(left, right), |share| 1.0 - share)
            }
            _ => UNKNOWN,
        }
    }

    /// The share that a comparison keeps whose values are not known.
    fn range_of(&self, left: &Expr, right: &Expr) -> f64 {
        let is_computed = |e: &Expr| matches!(plain(e), Expr::Column(c) if !self.columns.contains_key(c));
        if is_computed(left) || is_computed(right) { COMPUTED_RANGE } else { UNKNOWN_RANGE }
    }

    fn share_of_equal(&self, left: &Expr, right: &Expr) -> f64 {
        match (plain(left), plain(right)) {
            (column @ Expr::Column(_), Expr::Literal(..)) | (Expr::Literal(..), column @ Expr::Column(_)) => {
                self.share_of_one(column)
            }
            (l @ Expr::Column(_), r @ Expr::Column(_)) => 1.0 / self.distinct(l).max(self.distinct(r)),
            _ => UNKNOWN_EQUALITY,
        }
    }

    /// The share of one value of `expr`.
    fn share_of_one(&self, expr: &Expr) -> f64 {
        match self.values(expr).and_then(|v| v.distinct) {
            Some(distinct) => 1.0 / distinct.max(1.0),
            None => UNKNOWN_TEXT.max(1.0 / self.rows.max(1.0)),
        }
    }

    /// The share of rows whose `expr` is greater than `value`.
    fn beyond(&self, expr: &Expr, value: &Expr) -> Option<f64> {
        let Expr::Literal(value, _) = plain(value) else { return None };
        self.part_above(self.values(expr)?, value)
    }

    fn part_above(&self, values: &Values, value: &ScalarValue) -> Option<f64> {
        let (least, greatest, value) = (values.least?, values.greatest?, number(value)?);
        (greatest > least).then(|| ((greatest - value) / (greatest - least)).clamp(0.001, 0.999))
    }
}

/// The estimate of `plan`.
pub(super) fn of(plan: &LogicalPlan) -> Estimate {
    match plan {
        LogicalPlan::TableScan(scan) => of_scan(scan),
        LogicalPlan::Filter(filter) => {
            let input = of(&filter.input);
            let share = input.share_of_all(&split_conjunction(&filter.predicate));
            let rows = input.rows * share;
            input.with_rows(rows)
        }
        LogicalPlan::Projection(projection) => {
            let input = of(&projection.input);
            let made = projection.schema.columns().into_iter().zip(&projection.expr);
            let columns = made.filter_map(|(to, expr)| Some((to, *input.values(expr)?))).collect();
            Estimate { rows: input.rows, columns }
        }
        LogicalPlan::SubqueryAlias(alias) => {
            let input = of(&alias.input);
            let made = alias.schema.columns().into_iter().zip(alias.input.schema().columns());
            let columns = made.filter_map(|(to, from)| Some((to, *input.columns.get(&from)?))).collect();
            Estimate { rows: input.rows, columns }
        }
        LogicalPlan::Join(join) => of_join(join),
        LogicalPlan::Aggregate(aggregate) => of_aggregate(aggregate),
        LogicalPlan::Union(union) => {
            Estimate { rows: union.inputs.iter().map(|i| of(i).rows).sum(), ..Estimate::default() }
        }
        LogicalPlan::Limit(limit) => {
            let input = of(&limit.input);
            let most = match limit.get_fetch_type() {
                Ok(FetchType::Literal(Some(n))) => n as f64,
                _ => input.rows,
            };
            let rows = input.rows.min(most);
            input.with_rows(rows)
        }
        LogicalPlan::Values(values) => Estimate { rows: values.values.len() as f64, ..Estimate::default() },
        LogicalPlan::EmptyRelation(_) => Estimate { rows: 1.0, ..Estimate::default() },
        LogicalPlan::Extension(leaf) => Estimate { rows: rows_of_leaf(leaf.node.as_ref()), ..Estimate::default() },
        other => {
            let inputs = other.inputs();
            match inputs.as_slice() {
                [one] => of(one),
                many => Estimate { rows: many.iter().map(|i| of(i).rows).fold(1.0, f64::max), ..Estimate::default() },
            }
        }
    }
}

fn of_scan(scan: &TableScan) -> Estimate {
    let provider = source_as_provider(&scan.source).ok();
    let statistics = provider.and_then(|provider| statistics_of(provider.as_ref(), &scan.filters));
    let Some((statistics, is_pruned)) = statistics else { return Estimate { rows: 1000.0, ..Estimate::default() } };
    let estimate = of_table(scan, &statistics);
    // The other ones stand above the scan as well, and those on partitions may be counted in.
    let exact = |filter: &&Expr| {
        let found = scan.source.supports_filters_pushdown(&[filter]);
        !is_pruned && found.is_ok_and(|found| matches!(found.as_slice(), [TableProviderFilterPushDown::Exact]))
    };
    let filters: Vec<&Expr> = scan.filters.iter().filter(exact).flat_map(split_conjunction).collect();
    let mut rows = estimate.rows * estimate.share_of_all(&filters);
    if let Some(most) = scan.fetch {
        rows = rows.min(most as f64);
    }
    estimate.with_rows(rows)
}

fn of_table(scan: &TableScan, statistics: &Statistics) -> Estimate {
    let rows = statistics.num_rows.get_value().map_or(1000.0, |n| (*n as f64).max(1.0));
    let schema = scan.source.schema();
    let values = schema.fields().iter().zip(&statistics.column_statistics).map(|(field, known)| {
        let (least, greatest) = (bound(&known.min_value), bound(&known.max_value));
        let spread = match (field.data_type(), least, greatest) {
            (DataType::Float32 | DataType::Float64, ..) => None,
            (_, Some(least), Some(greatest)) => Some(greatest - least + 1.0),
            _ => None,
        };
        let counted = known.distinct_count.get_value().map(|n| *n as f64);
        let distinct = counted.into_iter().chain(spread).reduce(f64::min).map(|n| n.min(rows));
        (Column::new(Some(scan.table_name.clone()), field.name()), Values { distinct, least, greatest })
    });
    Estimate { rows, columns: values.collect() }
}

fn of_join(join: &Join) -> Estimate {
    let (left, right) = (of(&join.left), of(&join.right));
    let pairs: Vec<(f64, f64)> = join.on.iter().map(|(l, r)| (left.distinct(l), right.distinct(r))).collect();
    let rest = if join.filter.is_some() { UNKNOWN_RANGE } else { 1.0 };
    let inner = left.rows * right.rows * share_of_pairs(&pairs, left.rows, right.rows) * rest;
    // The share of the rows of one side that find a partner on the other.
    let found = |of: fn(&(f64, f64)) -> (f64, f64)| {
        pairs.iter().map(of).map(|(own, other)| (other / own).min(1.0)).fold(1.0, f64::min)
    };
    let (found_left, found_right) = (found(|p| *p), found(|(l, r)| (*r, *l)));
    let rows = match join.join_type {
        JoinType::Inner => inner,
        JoinType::Left => inner.max(left.rows),
        JoinType::Right => inner.max(right.rows),
        JoinType::Full => inner.max(left.rows + right.rows),
        JoinType::LeftSemi => left.rows * found_left,
        JoinType::LeftAnti => left.rows * (1.0 - found_left).max(0.1),
        JoinType::RightSemi => right.rows * found_right,
        JoinType::RightAnti => right.rows * (1.0 - found_right).max(0.1),
        JoinType::LeftMark => left.rows,
        JoinType::RightMark => right.rows,
    };
    let mut columns = left.columns;
    columns.extend(right.columns);
    Estimate { rows: rows.max(1.0), columns }
}

/// The share of all pairs of rows whose keys are equal: of one key by its values, of several at most one row each of the
/// smaller side, since they mostly are its key together.
pub(super) fn share_of_pairs(pairs: &[(f64, f64)], left_rows: f64, right_rows: f64) -> f64 {
    match pairs {
        [] => 1.0,
        [(l, r)] => 1.0 / l.max(*r),
        many => {
            let together = |of: fn(&(f64, f64)) -> f64, rows: f64| many.iter().map(of).product::<f64>().min(rows);
            1.0 / together(|p| p.0, left_rows).min(together(|p| p.1, right_rows)).max(1.0)
        }
    }
}

fn of_aggregate(aggregate: &Aggregate) -> Estimate {
    let input = of(&aggregate.input);
    let group = |e: &Expr| match plain(e) {
        Expr::Column(_) => input.distinct(e),
        Expr::Literal(..) => 1.0,
        _ => input.rows.sqrt(),
    };
    let rows = aggregate.group_expr.iter().map(group).product::<f64>().min(input.rows).max(1.0);
    let made = aggregate.schema.columns().into_iter().zip(&aggregate.group_expr);
    let columns = made.filter_map(|(to, expr)| Some((to, *input.values(expr)?))).collect();
    Estimate { rows, columns }
}

/// The expression without a name and without what only changes its type.
fn plain(expr: &Expr) -> &Expr {
    match expr {
        Expr::Alias(alias) => plain(&alias.expr),
        Expr::Cast(cast) => plain(&cast.expr),
        other => other,
    }
}

fn bound(value: &Precision<ScalarValue>) -> Option<f64> {
    number(value.get_value()?)
}

/// A value on a line.
fn number(value: &ScalarValue) -> Option<f64> {
    match value {
        ScalarValue::Int8(v) => v.map(f64::from),
        ScalarValue::Int16(v) => v.map(f64::from),
        ScalarValue::Int32(v) | ScalarValue::Date32(v) => v.map(f64::from),
        ScalarValue::Int64(v) => v.map(|v| v as f64),
        ScalarValue::Float32(v) => v.map(f64::from),
        ScalarValue::Float64(v) => *v,
        _ => None,
    }
}
