//! Orders of joins over tables of which the number of rows is known, and that each key is a number of its own unless the
//! number of its values is told.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::{Column, ColumnStatistics, JoinType, Result, ScalarValue, Statistics, not_impl_err};
use datafusion::datasource::{TableType, provider_as_source};
use datafusion::execution::SessionStateBuilder;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, col, lit};
use datafusion::physical_plan::ExecutionPlan;

use super::{estimate, joins};

#[derive(Debug)]
struct Known {
    schema: SchemaRef,
    rows: i64,
    /// How many values each column has.
    distinct: [Option<usize>; 2],
}

#[async_trait]
impl TableProvider for Known {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn statistics(&self) -> Option<Statistics> {
        let column = |distinct: Option<usize>| ColumnStatistics {
            min_value: Precision::Inexact(ScalarValue::Int64(Some(1))),
            max_value: Precision::Inexact(ScalarValue::Int64(Some(self.rows))),
            distinct_count: distinct.map_or(Precision::Absent, Precision::Inexact),
            ..ColumnStatistics::new_unknown()
        };
        Some(Statistics {
            num_rows: Precision::Exact(self.rows as usize),
            total_byte_size: Precision::Absent,
            column_statistics: self.distinct.map(column).to_vec(),
        })
    }

    async fn scan(
        &self,
        _: &dyn Session,
        _: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        not_impl_err!("nothing is read")
    }
}

/// A table with the columns `k` and `l`.
fn table(name: &str, rows: i64) -> LogicalPlanBuilder {
    counted(name, rows, [None, None])
}

/// The same, and how many values each of them has.
fn counted(name: &str, rows: i64, distinct: [Option<usize>; 2]) -> LogicalPlanBuilder {
    let fields = ["k", "l"].map(|name| Field::new(name, DataType::Int64, true));
    let known = Known { schema: Arc::new(Schema::new(fields.to_vec())), rows, distinct };
    LogicalPlanBuilder::scan(name, provider_as_source(Arc::new(known)), None).unwrap()
}

fn join(left: LogicalPlanBuilder, right: LogicalPlanBuilder, kind: JoinType, on: (&str, &str)) -> LogicalPlanBuilder {
    let keys = (vec![Column::from_qualified_name(on.0)], vec![Column::from_qualified_name(on.1)]);
    left.join(right.build().unwrap(), kind, keys, None).unwrap()
}

/// The joins and tables of the plan that `written` becomes, in one line: `(left kind right)`.
fn ordered(written: LogicalPlanBuilder) -> String {
    let written = written.build().unwrap();
    let state = SessionStateBuilder::new().build();
    let plan = joins(written.clone(), &state).unwrap();
    assert_eq!(plan.schema().columns(), written.schema().columns());
    shape(&plan)
}

fn shape(plan: &LogicalPlan) -> String {
    match plan {
        LogicalPlan::Join(join) => format!("({} {} {})", shape(&join.left), join.join_type, shape(&join.right)),
        LogicalPlan::TableScan(scan) => scan.table_name.table().to_string(),
        LogicalPlan::Filter(filter) => format!("{}[{}]", shape(&filter.input), filter.predicate),
        other => other.inputs().into_iter().map(shape).collect::<Vec<_>>().join(" "),
    }
}

// Arithmetic: `few` leaves 10 of the million rows, so that it comes first; each smaller side stands left.
#[test]
fn what_leaves_few_rows_is_joined_first() {
    let both = join(table("large", 1_000_000), table("medium", 100_000), JoinType::Inner, ("large.k", "medium.k"));
    let all = join(both, table("few", 10), JoinType::Inner, ("large.l", "few.k"));
    assert_eq!(ordered(all), "((few Inner large) Inner medium)");
}

#[test]
fn a_semi_join_goes_to_the_input_that_it_speaks_of() {
    let both = join(table("large", 1_000_000), table("medium", 100_000), JoinType::Inner, ("large.k", "medium.k"));
    let all = join(both, table("few", 10), JoinType::LeftSemi, ("medium.l", "few.k"));
    assert_eq!(ordered(all), "((few RightSemi medium) Inner large)");
}

#[test]
fn a_semi_join_with_a_large_table_waits_until_few_rows_are_left() {
    let both = join(table("medium", 100_000), table("few", 10), JoinType::Inner, ("medium.k", "few.k"));
    let semi = join(table("medium", 100_000), table("large", 1_000_000), JoinType::LeftSemi, ("medium.l", "large.k"));
    let early = join(semi, table("few", 10), JoinType::Inner, ("medium.k", "few.k"));
    let late = join(both, table("large", 1_000_000), JoinType::LeftSemi, ("medium.l", "large.k"));
    assert_eq!(ordered(early), "((few Inner medium) LeftSemi large)");
    assert_eq!(ordered(late), "((few Inner medium) LeftSemi large)");
}

#[test]
fn two_columns_of_one_table_that_equal_a_third_are_compared_with_each_other() {
    let both = join(table("a", 1000), table("b", 2000), JoinType::Inner, ("a.k", "b.k"));
    let all = join(both, table("c", 10), JoinType::Inner, ("a.l", "c.k"));
    let all = LogicalPlanBuilder::from(all.build().unwrap());
    let again = join(table("d", 3000), all, JoinType::Inner, ("d.k", "b.k"));
    let equal = again.filter(col("d.l").gt(lit(0_i64))).unwrap();
    // A filter ends what is put into another order, and keeps its place.
    assert_eq!(ordered(equal), "(((c Inner a) Inner b) Inner d)[d.l > Int64(0)]");
    let three = join(table("a", 1000), table("b", 2000), JoinType::Inner, ("a.k", "b.k"));
    let keys = (
        vec![Column::from_qualified_name("b.k"), Column::from_qualified_name("b.l")],
        vec![Column::from_qualified_name("c.k"), Column::from_qualified_name("c.k")],
    );
    let three = three.join(table("c", 10).build().unwrap(), JoinType::Inner, keys, None).unwrap();
    // Arithmetic: one of the 2,000 rows of `b` is left, fewer than the 10 of `c`.
    assert_eq!(ordered(three), "((b[b.k = b.l] Inner c) Inner a)");
}

#[test]
fn outer_joins_and_tables_that_nothing_links_stay_as_they_are_written() {
    let both = join(table("large", 1_000_000), table("medium", 100_000), JoinType::Left, ("large.k", "medium.k"));
    let all = join(both, table("few", 10), JoinType::Left, ("large.l", "few.k"));
    assert_eq!(ordered(all), "(few Right (medium Right large))");
    let product = table("a", 1000).cross_join(table("b", 10).build().unwrap()).unwrap();
    let product = product.cross_join(table("c", 100).build().unwrap()).unwrap();
    assert_eq!(ordered(product), "(c Inner (b Inner a))");
}

// Arithmetic: one of two values leaves 500 of the 1,000 rows, more than the 100 of `few`; one of 1,000 leaves one.
#[test]
fn an_equality_keeps_the_rows_of_one_value() {
    let of = |distinct: Option<usize>| {
        let picked = counted("picked", 1000, [None, distinct]).filter(col("picked.l").eq(lit(1_i64))).unwrap();
        let both = join(table("large", 1_000_000), picked, JoinType::Inner, ("large.k", "picked.k"));
        ordered(join(both, table("few", 100), JoinType::Inner, ("large.l", "few.k")))
    };
    assert_eq!(of(Some(2)), "((few Inner large) Inner picked[picked.l = Int64(1)])");
    assert_eq!(of(None), "((picked[picked.l = Int64(1)] Inner large) Inner few)");
}

// Arithmetic: with ten values on either side 1,000 times 900 rows make 90,000 pairs, and 900 if each row has its own.
#[test]
fn a_join_by_few_values_comes_last() {
    let of = |distinct: Option<usize>| {
        let (a, b) = (counted("a", 1000, [distinct, None]), counted("b", 900, [distinct, None]));
        let both = join(a, b, JoinType::Inner, ("a.k", "b.k"));
        ordered(join(both, table("c", 2000), JoinType::Inner, ("a.l", "c.k")))
    };
    assert_eq!(of(Some(10)), "(b Inner (a Inner c))");
    assert_eq!(of(None), "((b Inner a) Inner c)");
}

// Arithmetic: 1,000 rows of eight values, 100 rows of four.
#[test]
fn rows_are_counted_by_values() {
    let t = || counted("t", 1000, [Some(8), None]);
    let u = || counted("u", 100, [Some(4), None]);
    let rows = |plan: LogicalPlanBuilder| estimate::of(&plan.build().unwrap()).rows;
    assert_eq!(rows(t().filter(col("t.k").eq(lit(5_i64))).unwrap()), 125.0);
    assert_eq!(rows(t().filter(col("t.k").not_eq(lit(5_i64))).unwrap()), 875.0);
    assert_eq!(rows(t().aggregate(vec![col("t.k")], Vec::<Expr>::new()).unwrap()), 8.0);
    assert_eq!(rows(join(t(), u(), JoinType::Inner, ("t.k", "u.k"))), 12_500.0);
    assert_eq!(rows(join(t(), u(), JoinType::LeftSemi, ("t.k", "u.k"))), 500.0);
    assert_eq!(rows(join(t(), u(), JoinType::LeftAnti, ("t.k", "u.k"))), 500.0);
}
