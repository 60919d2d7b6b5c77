//! Late scans: the columns that a join looks for are read first, and the others only of the rows that it finds.
//!
//! The engine hands the keys of the side of a hash join that is kept in memory to the scans of the other side: a filter that
//! is there when they begin, and by which they skip row groups and pages. A late scan looks at each row with it. The join
//! still does its work, so that a filter may let rows through; it never holds one back that the join would find.
//!
//! That a filter keeps few rows is guessed when a query is planned and seen when it runs: one that keeps many looks away.

use std::collections::HashMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{JoinType, NullEquality, Result, ScalarValue, Statistics};
use datafusion::config::ConfigOptions;
use datafusion::datasource::physical_plan::{FileScanConfigBuilder, FileSource, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::functions::core::input_file_name;
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::expressions::{
    BinaryExpr, CastExpr, Column, InListExpr, IsNotNullExpr, IsNullExpr, Literal, NotExpr,
};
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr::{
    DynamicFilterTracking, PhysicalExpr, ScalarFunctionExpr, conjunction, split_conjunction,
};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::joins::HashJoinExec;
use feitian_functions::is_plain_widening;

/// A join finds most rows if the side in memory is a whole table with at least so many rows for each possible key.
const MOST_KEYS: f64 = 0.9;
/// A scan of fewer rows than these is soon done, whatever it reads.
const LEAST_ROWS: usize = 100_000;
/// A filter that keeps a larger share of the rows looks away: looking costs more than it saves. Rows are skipped one by one,
/// and those between are decoded all the same where a page has them together.
const MOST_KEPT: f64 = 0.05;
/// A filter looks at so many rows before it looks away.
const ROWS_LOOKED_AT: u64 = 64 << 10;
/// When a filter has looked at so many rows, they count half.
const ROWS_REMEMBERED: u64 = 2 * ROWS_LOOKED_AT;
/// A filter that looks away looks at one of so many batches, in case the rows have changed.
const BATCHES_BETWEEN: u64 = 32;

/// What a reader keeps of the columns that it has looked at, so that those of a row group need not be decoded twice.
const CACHE_BYTES: usize = 32 << 20;

/// Makes scans below hash joins late. It comes after the rule that hands filters down, and finds them in the scans.
#[derive(Debug)]
pub(super) struct LateScans {
    /// Whatever is expected of them, and they never look away.
    pub(super) all: bool,
}

/// The filters that may hold rows back, by their ids, and how many rows a whole table has that their join keeps in memory.
type Joins = HashMap<u64, Option<usize>>;

impl PhysicalOptimizerRule for LateScans {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let mut joins = Joins::new();
        plan.apply(|node| {
            if let Some(join) = node.downcast_ref::<HashJoinExec>().filter(|join| is_exact(join)) {
                let ids = join.dynamic_expressions_produced().into_iter().filter_map(|filter| filter.expression_id());
                joins.extend(ids.map(|id| (id, whole_rows(join.left()))));
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        if joins.is_empty() {
            return Ok(plan);
        }
        let late = |node: Arc<dyn ExecutionPlan>| match self.late(&node, &joins) {
            Some(scan) => Ok(Transformed::yes(scan)),
            None => Ok(Transformed::no(node)),
        };
        plan.transform_up(late).map(|t| t.data)
    }

    fn name(&self) -> &str {
        "late_scans"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Whether a row of the right side that the filter of `join` holds back is of no use to it.
///
/// NOT IN wants to know of every row whether there is one. -0.0 and 0.0 are two keys for a filter and may be one for a join,
/// and NaN lies within no bounds.
fn is_exact(join: &HashJoinExec) -> bool {
    use JoinType as J;
    let schema = join.right().schema();
    let is_exact = |key: &Arc<dyn PhysicalExpr>| key.data_type(&schema).is_ok_and(|ty| has_exact_keys(&ty));
    matches!(join.join_type(), J::Inner | J::Left | J::LeftSemi | J::RightSemi | J::LeftAnti)
        && !join.null_aware
        && join.null_equality() == NullEquality::NullEqualsNothing
        && join.on().iter().all(|(_, key)| is_exact(key))
}

fn has_exact_keys(ty: &DataType) -> bool {
    use DataType as T;
    ty.is_integer()
        || matches!(ty, T::Boolean | T::Date32 | T::Timestamp(..) | T::Decimal128(..))
        || matches!(ty, T::Utf8 | T::Utf8View | T::LargeUtf8 | T::Binary | T::BinaryView | T::LargeBinary)
}

/// The rows of a table of which nothing is left out; `None` for everything else.
fn whole_rows(plan: &Arc<dyn ExecutionPlan>) -> Option<usize> {
    if let Some(scan) = plan.downcast_ref::<DataSourceExec>() {
        let (config, source) = scan.downcast_to_file_source::<ParquetSource>()?;
        let is_whole = source.filter().is_none() && config.limit.is_none();
        return config.statistics().num_rows.get_value().copied().filter(|_| is_whole);
    }
    let passes = ["ProjectionExec", "RepartitionExec", "CoalescePartitionsExec", "CooperativeExec"];
    match plan.children().as_slice() {
        [input] if passes.contains(&plan.name()) => whole_rows(input),
        _ => None,
    }
}

impl LateScans {
    /// The scan as a late one; `None` if it is no scan or stays as it is.
    fn late(&self, node: &Arc<dyn ExecutionPlan>, joins: &Joins) -> Option<Arc<dyn ExecutionPlan>> {
        let scan = node.downcast_ref::<DataSourceExec>()?;
        let (config, source) = scan.downcast_to_file_source::<ParquetSource>()?;
        // A limit counts rows, and rows have numbers, before anybody looks at them.
        if config.limit.is_some() || !source.table_schema().virtual_columns().is_empty() {
            return None;
        }
        let statistics = config.statistics();
        let is_small = statistics.num_rows.get_value().is_some_and(|rows| *rows < LEAST_ROWS);
        if is_small && !self.all {
            return None;
        }
        let condition = source.filter()?;
        let mut parts: Vec<(Place, Arc<dyn PhysicalExpr>)> = Vec::new();
        for filter in split_conjunction(&condition) {
            let columns = collect_columns(filter);
            // A part that reads nothing from the file has no place in it.
            if !columns.iter().any(|c| config.file_schema().index_of(c.name()).is_ok()) {
                return None;
            }
            let place = self.place(filter, joins, config.file_schema(), &statistics)?;
            let look = match place {
                Place::Never => Look::Never(file_name()),
                _ if self.all => Look::Always,
                _ => Look::WhileFewAreKept(Arc::default(), file_name()),
            };
            parts.push((place, Arc::new(Part { filter: filter.clone(), look })));
        }
        if !parts.iter().any(|(place, _)| *place == Place::Join) {
            return None;
        }
        parts.sort_by_key(|(place, _)| *place);
        let condition = conjunction(parts.into_iter().map(|(_, part)| part));
        let mut options = source.table_parquet_options().clone();
        options.global.pushdown_filters = true;
        options.global.max_predicate_cache_size = Some(CACHE_BYTES);
        let source = source.with_predicate(condition).with_table_parquet_options(options);
        let config = FileScanConfigBuilder::from(config.clone()).with_source(Arc::new(source)).build();
        Some(DataSourceExec::from_data_source(config))
    }

    /// `None` if nothing may be looked at by row: filters of aggregates and of ORDER BY with LIMIT change while the scan runs,
    /// which then leaves out row groups that it has begun to plan for.
    fn place(
        &self,
        filter: &Arc<dyn PhysicalExpr>,
        joins: &Joins,
        schema: &Schema,
        statistics: &Statistics,
    ) -> Option<Place> {
        Some(match filter.expression_id().and_then(|id| joins.get(&id)) {
            Some(_) if !filter.children().into_iter().all(|key| is_plain_key(key, schema)) => Place::Never,
            Some(Some(rows)) if !self.all && has_most_keys(filter, *rows, statistics) => Place::Never,
            Some(_) => Place::Join,
            None if DynamicFilterTracking::classify(filter).contains_dynamic_filter() => return None,
            None => Place::of_condition(filter, schema),
        })
    }
}

/// Where a part of a condition stands among the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    /// Comparisons of numbers and dates cost next to nothing.
    Cheap,
    Join,
    /// It is for row groups and pages. Where it is a condition, it stands above the scan as well, and looks at the rows that
    /// joins find: a text that is looked at before is decoded for all rows around them.
    Never,
}

impl Place {
    /// Only what cannot fail is looked at before its time. Times are not: the engine compares them in the unit of the file.
    fn of_condition(filter: &Arc<dyn PhysicalExpr>, schema: &Schema) -> Self {
        let is_plain = |e: &Arc<dyn PhysicalExpr>| match e.downcast_ref::<BinaryExpr>() {
            Some(binary) => binary.op().is_logic_operator() || binary.op().supports_propagation(),
            None => {
                e.downcast_ref::<Column>().is_some()
                    || e.downcast_ref::<Literal>().is_some()
                    || e.downcast_ref::<InListExpr>().is_some()
                    || e.downcast_ref::<IsNullExpr>().is_some()
                    || e.downcast_ref::<IsNotNullExpr>().is_some()
                    || e.downcast_ref::<NotExpr>().is_some()
            }
        };
        let has_other = filter.exists(|e| Ok(!is_plain(e))).unwrap_or(true);
        let is_cheap = |column: &Column| match schema.field_with_name(column.name()) {
            Ok(field) if matches!(field.data_type(), DataType::Timestamp(..)) => false,
            Ok(field) => field.data_type().primitive_width().is_some(),
            Err(_) => false,
        };
        if has_other || !collect_columns(filter).iter().all(is_cheap) { Self::Never } else { Self::Cheap }
    }
}

/// Whether the key of a join can be made of any row: a late scan also looks at those that conditions above it leave out, for
/// which a conversion or a function of a user may fail.
fn is_plain_key(key: &Arc<dyn PhysicalExpr>, schema: &Schema) -> bool {
    let is_read =
        |e: &Arc<dyn PhysicalExpr>| e.downcast_ref::<Column>().is_some() || e.downcast_ref::<Literal>().is_some();
    let is_wider = |cast: &CastExpr| {
        let types = (cast.expr().data_type(schema), key.data_type(schema));
        is_read(cast.expr()) && matches!(types, (Ok(from), Ok(to)) if is_plain_widening(&from, &to))
    };
    is_read(key) || key.downcast_ref::<CastExpr>().is_some_and(is_wider)
}

/// Whether so many rows have nearly all the values that the one key of `filter` may have.
fn has_most_keys(filter: &Arc<dyn PhysicalExpr>, rows: usize, statistics: &Statistics) -> bool {
    let keys = filter.children();
    let [key] = keys.as_slice() else { return false };
    let known = key.downcast_ref::<Column>().and_then(|c| statistics.column_statistics.get(c.index()));
    let number = |value: &ScalarValue| match value.cast_to(&DataType::Float64) {
        Ok(ScalarValue::Float64(number)) => number,
        _ => None,
    };
    let least = known.and_then(|known| number(known.min_value.get_value()?));
    let greatest = known.and_then(|known| number(known.max_value.get_value()?));
    least.zip(greatest).is_some_and(|(least, greatest)| rows as f64 >= MOST_KEYS * (greatest - least + 1.0))
}

/// A part of a late scan's condition.
#[derive(Debug)]
struct Part {
    filter: Arc<dyn PhysicalExpr>,
    look: Look,
}

/// When a part of a condition looks at rows. Row groups and pages are skipped by it in any case.
///
/// What stands beside it keeps it out of the engine's filters of rows, which are made when a file is opened: a part that
/// looks away then costs nothing for that file.
#[derive(Debug, Clone)]
enum Look {
    Always,
    WhileFewAreKept(Arc<Watch>, Arc<dyn PhysicalExpr>),
    Never(Arc<dyn PhysicalExpr>),
}

/// The name of the file. The engine leaves out of its filters of rows what asks for that, and nobody ever does.
fn file_name() -> Arc<dyn PhysicalExpr> {
    const NAME: &str = "input_file_name";
    let field = Arc::new(Field::new(NAME, DataType::Utf8, true));
    Arc::new(ScalarFunctionExpr::new(NAME, input_file_name(), Vec::new(), field, Arc::default()))
}

/// What a filter has seen, in all files of a scan.
#[derive(Debug, Default)]
struct Watch {
    batches: AtomicU64,
    rows: AtomicU64,
    kept: AtomicU64,
}

impl Watch {
    /// Whether the next batch is looked at.
    fn looks(&self) -> bool {
        let batch = self.batches.fetch_add(1, Ordering::Relaxed);
        !self.keeps_many() || batch.is_multiple_of(BATCHES_BETWEEN)
    }

    fn keeps_many(&self) -> bool {
        let (rows, kept) = (self.rows.load(Ordering::Relaxed), self.kept.load(Ordering::Relaxed));
        rows >= ROWS_LOOKED_AT && kept as f64 > MOST_KEPT * rows as f64
    }

    fn saw(&self, rows: usize, kept: usize) {
        let all_rows = self.rows.fetch_add(rows as u64, Ordering::Relaxed) + rows as u64;
        let all_kept = self.kept.fetch_add(kept as u64, Ordering::Relaxed) + kept as u64;
        if all_rows >= ROWS_REMEMBERED {
            self.rows.store(all_rows / 2, Ordering::Relaxed);
            self.kept.store(all_kept / 2, Ordering::Relaxed);
        }
    }
}

impl PartialEq for Part {
    fn eq(&self, other: &Self) -> bool {
        self.filter.eq(&other.filter)
    }
}

impl Eq for Part {}

impl Hash for Part {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.filter.hash(state);
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.look {
            Look::Never(_) => write!(f, "{}", self.filter),
            Look::Always | Look::WhileFewAreKept(..) => write!(f, "late({})", self.filter),
        }
    }
}

impl PhysicalExpr for Part {
    fn data_type(&self, _: &Schema) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn nullable(&self, schema: &Schema) -> Result<bool> {
        self.filter.nullable(schema)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let everything = ColumnarValue::Scalar(ScalarValue::Boolean(Some(true)));
        match &self.look {
            Look::Never(_) => Ok(everything),
            Look::Always => self.filter.evaluate(batch),
            Look::WhileFewAreKept(watch, _) if !watch.looks() => Ok(everything),
            Look::WhileFewAreKept(watch, _) => {
                let found = self.filter.evaluate(batch)?;
                // One value for all rows costs nothing, and says nothing: so is a filter that is not there yet.
                if let ColumnarValue::Array(array) = &found
                    && let Some(kept) = array.as_boolean_opt()
                {
                    watch.saw(batch.num_rows(), kept.true_count());
                }
                Ok(found)
            }
        }
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        match &self.look {
            Look::WhileFewAreKept(watch, _) if !watch.keeps_many() => vec![&self.filter],
            Look::Always => vec![&self.filter],
            Look::WhileFewAreKept(_, name) | Look::Never(name) => vec![&self.filter, name],
        }
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        let filter = children.into_iter().next().unwrap_or_else(|| self.filter.clone());
        Ok(Arc::new(Self { filter, look: self.look.clone() }))
    }

    /// What skips row groups and pages knows the expressions of the engine only.
    fn snapshot(&self) -> Result<Option<Arc<dyn PhysicalExpr>>> {
        Ok(Some(self.filter.clone()))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.filter.fmt_sql(f)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use arrow::array::{ArrayRef, Int64Array};
    use arrow::datatypes::TimeUnit;
    use datafusion::common::ColumnStatistics;
    use datafusion::common::stats::Precision;
    use datafusion::logical_expr::Operator;
    use datafusion::physical_expr::expressions::{DynamicFilterPhysicalExpr, lit};
    use datafusion::physical_expr_common::physical_expr::snapshot_physical_expr;

    use super::*;

    fn schema() -> Schema {
        let time = DataType::Timestamp(TimeUnit::Microsecond, None);
        let fields = [("k", DataType::Int64), ("t", DataType::Utf8), ("at", time)];
        Schema::new(fields.map(|(name, ty)| Field::new(name, ty, true)).to_vec())
    }

    fn binary(left: Arc<dyn PhysicalExpr>, op: Operator, right: Arc<dyn PhysicalExpr>) -> Arc<dyn PhysicalExpr> {
        Arc::new(BinaryExpr::new(left, op, right))
    }

    fn key() -> Arc<dyn PhysicalExpr> {
        Arc::new(Column::new("k", 0))
    }

    fn above(least: i64) -> Arc<dyn PhysicalExpr> {
        binary(key(), Operator::Gt, lit(least))
    }

    /// The rows that `part` keeps of 1, 2, 3 and 4.
    fn kept(part: &dyn PhysicalExpr) -> usize {
        let keys: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3, 4]));
        let batch = RecordBatch::try_from_iter([("k", keys)]).unwrap();
        let found = part.evaluate(&batch).unwrap().into_array(batch.num_rows()).unwrap();
        found.as_boolean().true_count()
    }

    #[test]
    fn a_filter_that_keeps_many_rows_looks_away_and_comes_back_for_few() {
        let watch = Watch::default();
        watch.saw(ROWS_LOOKED_AT as usize, ROWS_LOOKED_AT as usize / 2);
        let looked = |watch: &Watch| (0..BATCHES_BETWEEN).filter(|_| watch.looks()).count();
        assert_eq!(looked(&watch), 1);
        for _ in 0..16 {
            watch.saw(ROWS_LOOKED_AT as usize, 0);
        }
        assert_eq!(looked(&watch) as u64, BATCHES_BETWEEN);
        let few = Watch::default();
        few.saw(10, 10);
        assert_eq!(looked(&few) as u64, BATCHES_BETWEEN);
    }

    #[test]
    fn rows_are_held_back_by_parts_that_look_and_row_groups_by_all_of_them() {
        let filter = above(3);
        for (look, rows) in
            [(Look::Always, 1), (Look::WhileFewAreKept(Arc::default(), file_name()), 1), (Look::Never(file_name()), 4)]
        {
            let part: Arc<dyn PhysicalExpr> = Arc::new(Part { filter: filter.clone(), look });
            assert_eq!(kept(part.as_ref()), rows, "{part:?}");
            assert!(snapshot_physical_expr(part).unwrap().eq(&filter));
        }
        let watch: Arc<Watch> = Arc::default();
        watch.batches.store(1, Ordering::Relaxed);
        watch.saw(ROWS_LOOKED_AT as usize, ROWS_LOOKED_AT as usize);
        assert_eq!(kept(&Part { filter, look: Look::WhileFewAreKept(watch, file_name()) }), 4);
    }

    #[test]
    fn a_filter_that_is_not_there_yet_is_not_counted() {
        let filter = Arc::new(DynamicFilterPhysicalExpr::new(vec![key()], lit(true)));
        let watch: Arc<Watch> = Arc::default();
        let part = Part { filter: filter.clone(), look: Look::WhileFewAreKept(watch.clone(), file_name()) };
        assert_eq!((kept(&part), watch.rows.load(Ordering::Relaxed)), (4, 0));
        filter.update(above(2)).unwrap();
        assert_eq!((kept(&part), watch.rows.load(Ordering::Relaxed)), (2, 4));
    }

    #[test]
    fn conditions_that_may_fail_or_have_texts_wait_until_the_rows_are_read() {
        let schema = schema();
        let text: Arc<dyn PhysicalExpr> = Arc::new(Column::new("t", 1));
        let equal = binary(text, Operator::Eq, lit("x"));
        let sum = binary(binary(key(), Operator::Plus, lit(1_i64)), Operator::Gt, lit(3_i64));
        let both = binary(above(1), Operator::And, equal.clone());
        let time = binary(Arc::new(Column::new("at", 2)), Operator::Eq, Arc::new(Column::new("at", 2)));
        let range = binary(above(1), Operator::Or, binary(key(), Operator::Lt, lit(0_i64)));
        let places = [above(1), range, equal, both, sum, time].map(|filter| Place::of_condition(&filter, &schema));
        assert_eq!(places[..2], [Place::Cheap, Place::Cheap]);
        assert_eq!(places[2..], [Place::Never; 4]);
        assert!(Place::Cheap < Place::Join && Place::Join < Place::Never);
    }

    #[test]
    fn keys_that_may_fail_for_a_row_are_left_to_the_join() {
        let cast =
            |column: Column, to| -> Arc<dyn PhysicalExpr> { Arc::new(CastExpr::new(Arc::new(column), to, None)) };
        let schema = Schema::new(vec![
            Field::new("k", DataType::Int32, true),
            Field::new("t", DataType::Utf8, true),
            Field::new("n", DataType::Int64, true),
        ]);
        let sum = binary(key(), Operator::Plus, lit(1_i32));
        let plain = [key(), lit("x"), cast(Column::new("k", 0), DataType::Int64)];
        assert!(plain.iter().all(|key| is_plain_key(key, &schema)));
        let others = [cast(Column::new("t", 1), DataType::Int64), cast(Column::new("n", 2), DataType::Int32), sum];
        assert!(!others.iter().any(|key| is_plain_key(key, &schema)));
    }

    // Arithmetic: from 1 to 1000 there are 1000 keys.
    #[test]
    fn a_whole_table_with_a_row_for_each_key_holds_nothing_back() {
        let column = ColumnStatistics {
            min_value: Precision::Inexact(ScalarValue::Int64(Some(1))),
            max_value: Precision::Inexact(ScalarValue::Int64(Some(1000))),
            ..ColumnStatistics::new_unknown()
        };
        let statistics = Statistics {
            num_rows: Precision::Exact(1_000_000),
            total_byte_size: Precision::Absent,
            column_statistics: vec![column, ColumnStatistics::new_unknown()],
        };
        let of = |keys: Vec<Arc<dyn PhysicalExpr>>| -> Arc<dyn PhysicalExpr> {
            Arc::new(DynamicFilterPhysicalExpr::new(keys, lit(true)))
        };
        assert!(has_most_keys(&of(vec![key()]), 1000, &statistics));
        assert!(!has_most_keys(&of(vec![key()]), 100, &statistics));
        assert!(!has_most_keys(&of(vec![key(), key()]), 1000, &statistics));
        assert!(!has_most_keys(&of(vec![Arc::new(Column::new("t", 1))]), 1000, &statistics));
    }

    #[test]
    fn keys_that_are_equal_in_more_ways_than_one_stay_with_the_join() {
        let exact = [DataType::Int8, DataType::Int64, DataType::Utf8, DataType::Date32, DataType::Decimal128(38, 18)];
        assert!(exact.iter().all(has_exact_keys));
        let list = DataType::List(Arc::new(Field::new_list_field(DataType::Int64, true)));
        assert!([DataType::Float32, DataType::Float64, list].iter().all(|ty| !has_exact_keys(ty)));
    }
}
