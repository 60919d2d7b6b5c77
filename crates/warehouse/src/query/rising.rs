//! Groups by a column by which the files of a table rise: each worker reads a range of keys, in order, and a group is done
//! when the next key comes.
//!
//! The engine keeps a table of all groups that each worker has met, hands their parts out by key, and keeps them in tables
//! once more. Where a table's rows lie in the order of a key, as those of most loads do, no part of that is needed. What
//! files say of themselves (`stats::rising`) is looked at while rows are read: an order that is none is an error.

mod ranges;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::config::ConfigOptions;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{
    FileGroup, FileScanConfig, FileScanConfigBuilder, FileSource, ParquetSource,
};
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr::{DynamicFilterTracking, PhysicalExpr, split_conjunction};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions};
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties, InputOrderMode, Partitioning};
use object_store::path::Path;

use self::ranges::{KeyRanges, Range};
use crate::log::DataFile;
use crate::stats::rising;

/// The statistics of more files than this are not read.
const MOST_FILES: usize = 256;
/// Groups of fewer rows than these are soon made, in whatever way.
const LEAST_ROWS: f64 = 100_000.0;
/// A worker reads so many times its share of the rows at most.
const MOST_OF_A_SHARE: f64 = 1.5;
/// With more rows for each possible key there are few groups, and tables of them are small.
const MOST_ROWS_OF_A_KEY: f64 = 100.0;

type Plan = Arc<dyn ExecutionPlan>;

/// Makes groups in the order of rows. It comes after the rules that share rows out among workers.
#[derive(Debug)]
pub(super) struct OrderedGroups {
    /// Wherever it can be, whatever is expected of it.
    pub(super) all: bool,
}

impl PhysicalOptimizerRule for OrderedGroups {
    fn optimize(&self, plan: Plan, config: &ConfigOptions) -> Result<Plan> {
        let groups = Groups { all: self.all, workers: config.execution.target_partitions.max(1) };
        let node = |node: Plan| match groups.instead_of(&node)? {
            Some(other) => Ok(Transformed::yes(other)),
            None => Ok(Transformed::no(node)),
        };
        plan.transform_up(node).map(|t| t.data)
    }

    fn name(&self) -> &str {
        "ordered_groups"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

struct Groups {
    all: bool,
    workers: usize,
}

impl Groups {
    /// What does the same as `node`, in the order of rows; `None` if it stays as it is.
    fn instead_of(&self, node: &Plan) -> Result<Option<Plan>> {
        if let Some(filter) = node.downcast_ref::<FilterExec>() {
            return asked_first(node, filter);
        }
        let Some(last) = node.downcast_ref::<AggregateExec>() else { return Ok(None) };
        let is_alone = last.input().output_partitioning().partition_count() == 1;
        let groups = match last.mode() {
            AggregateMode::Single | AggregateMode::SinglePartitioned if is_alone => self.by_ranges(last, 1)?,
            AggregateMode::FinalPartitioned => return self.in_one_step(last),
            _ => None,
        };
        Ok(groups.filter(|groups| groups.schema() == last.schema()))
    }

    /// Groups in one step instead of two. Whoever asks for them may count on how they are shared out by key, so that they
    /// still are.
    fn in_one_step(&self, last: &AggregateExec) -> Result<Option<Plan>> {
        let Some(exchange) = last.input().downcast_ref::<RepartitionExec>() else { return Ok(None) };
        let Some(first) = exchange.input().downcast_ref::<AggregateExec>() else { return Ok(None) };
        let is_by_key = matches!(exchange.partitioning(), Partitioning::Hash(..));
        if *first.mode() != AggregateMode::Partial || !is_by_key || last.limit_options().is_some() {
            return Ok(None);
        }
        let Some(groups) = self.by_ranges(first, self.workers)?.filter(|groups| groups.schema() == last.schema())
        else {
            return Ok(None);
        };
        let partitioning = last.properties().output_partitioning().clone();
        Ok(Some(Arc::new(RepartitionExec::try_new(groups, partitioning)?)))
    }

    /// The groups of `aggregate`, finished, by one key that rises.
    fn by_ranges(&self, aggregate: &AggregateExec, workers: usize) -> Result<Option<Plan>> {
        let group_by = aggregate.group_expr();
        let [(key, _)] = group_by.expr() else { return Ok(None) };
        let Some(key) = key.downcast_ref::<Column>() else { return Ok(None) };
        let has_order = aggregate.aggr_expr().iter().any(|function| !function.order_bys().is_empty());
        if group_by.has_grouping_set() || aggregate.limit_options().is_some() || has_order {
            return Ok(None);
        }
        let Some(input) = self.rising(aggregate.input(), key.index(), workers)? else { return Ok(None) };
        let groups = AggregateExec::try_new(
            AggregateMode::SinglePartitioned,
            group_by.clone(),
            aggregate.aggr_expr().to_vec(),
            aggregate.filter_expr().to_vec(),
            input,
            aggregate.input_schema(),
        )?;
        let is_ordered = *groups.input_order_mode() == InputOrderMode::Sorted;
        Ok(is_ordered.then(|| Arc::new(groups) as Plan))
    }

    /// The rows of `plan`, rising by one of its columns, each worker with a range of its own.
    fn rising(&self, plan: &Plan, column: usize, workers: usize) -> Result<Option<Plan>> {
        if let Some(scan) = plan.downcast_ref::<DataSourceExec>() {
            return Ok(self.rising_scan(scan, column, workers));
        }
        let Some(below) = column_below(plan, column) else { return Ok(None) };
        let children = plan.children();
        let [input] = children.as_slice() else { return Ok(None) };
        let Some(input) = self.rising(input, below, workers)? else { return Ok(None) };
        // The ranges are for all workers already.
        if plan.downcast_ref::<RepartitionExec>().is_some() {
            return Ok(Some(input));
        }
        let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
        plan.clone().replace_children(vec![input], options).map(Some)
    }

    fn rising_scan(&self, scan: &DataSourceExec, column: usize, workers: usize) -> Option<Plan> {
        let (config, source) = scan.downcast_to_file_source::<ParquetSource>()?;
        // A limit counts rows, and rows have numbers, as they come.
        if config.limit.is_some() || !source.table_schema().virtual_columns().is_empty() {
            return None;
        }
        let at = match source.projection() {
            Some(projection) => projection.iter().nth(column)?.expr.downcast_ref::<Column>()?.index(),
            None => column,
        };
        let field = config.file_schema().fields().get(at)?;
        let files = files_by_key(config, field.name(), field.data_type())?;
        let ranges = ranges(&files, workers);
        if !self.all && (has_condition(source, field.name()) || !is_worth_it(&files, &ranges, workers)) {
            return None;
        }
        let within = |range: &Range| -> FileGroup {
            FileGroup::new(files.iter().filter(|f| f.meets(*range)).map(|f| f.file.clone()).collect())
        };
        let groups: Vec<FileGroup> = ranges.iter().map(within).collect();
        let config = FileScanConfigBuilder::from(config.clone()).with_file_groups(groups).with_preserve_order(true);
        let scan = DataSourceExec::from_data_source(config.build());
        Some(Arc::new(KeyRanges::over(scan, column, ranges.into())))
    }
}

/// A condition on groups is asked before they are shared out by key, for what it leaves out need not be. `None` if its rows
/// have the key no more, or if it is one on anything else.
fn asked_first(node: &Plan, filter: &FilterExec) -> Result<Option<Plan>> {
    let Some(exchange) = filter.input().downcast_ref::<RepartitionExec>() else { return Ok(None) };
    let Some(groups) = exchange.input().downcast_ref::<AggregateExec>() else { return Ok(None) };
    let partitioning = node.output_partitioning().clone();
    let is_by_key = matches!(exchange.partitioning(), Partitioning::Hash(..));
    let stays_by_key = is_by_key && matches!(partitioning, Partitioning::Hash(..));
    if *groups.mode() != AggregateMode::SinglePartitioned || !stays_by_key || node.fetch().is_some() {
        return Ok(None);
    }
    let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
    let filter = node.clone().replace_children(vec![exchange.input().clone()], options)?;
    Ok(Some(Arc::new(RepartitionExec::try_new(filter, partitioning)?)))
}

/// Where a column of `plan` stands in its input, whose rows it gives in their order; `None` for all other plans.
fn column_below(plan: &Plan, column: usize) -> Option<usize> {
    if plan.fetch().is_some() {
        return None;
    }
    if let Some(filter) = plan.downcast_ref::<FilterExec>() {
        return match filter.projection() {
            Some(projection) => projection.get(column).copied(),
            None => Some(column),
        };
    }
    if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        return Some(projection.expr().get(column)?.expr.downcast_ref::<Column>()?.index());
    }
    if let Some(exchange) = plan.downcast_ref::<RepartitionExec>() {
        // It shares the rows of one worker out among all of them.
        return matches!(exchange.partitioning(), Partitioning::RoundRobinBatch(_)).then_some(column);
    }
    plan.downcast_ref::<CooperativeExec>().map(|_| column)
}

/// A whole file, and the first and the last key in it.
struct RisingFile {
    file: PartitionedFile,
    rows: f64,
    least: i64,
    greatest: i64,
}

impl RisingFile {
    /// Whether it may have a key within the range.
    fn meets(&self, range: Range) -> bool {
        range.after.is_none_or(|after| self.greatest > after) && range.to.is_none_or(|to| self.least <= to)
    }

    /// About how many of its rows are within the range.
    fn rows_in(&self, range: Range) -> f64 {
        let (least, greatest) = (self.least as f64, self.greatest as f64);
        let from = range.after.map_or(least, |after| least.max(after as f64 + 1.0));
        let to = range.to.map_or(greatest, |to| greatest.min(to as f64));
        self.rows * ((to - from + 1.0) / (greatest - least + 1.0)).clamp(0.0, 1.0)
    }
}

/// The files of a scan in the order of a column by which each of them rises, and they one after the other; `None` if they
/// do not.
fn files_by_key(config: &FileScanConfig, name: &str, ty: &DataType) -> Option<Vec<RisingFile>> {
    // The engine may have cut files into parts for its workers.
    let mut whole: BTreeMap<&Path, (&PartitionedFile, u64)> = BTreeMap::new();
    for part in config.file_groups.iter().flat_map(FileGroup::iter) {
        let size = part.object_meta.size;
        let num_bytes = part.range.as_ref().map_or(size, |r| r.end.saturating_sub(r.start).max(0).unsigned_abs());
        whole.entry(&part.object_meta.location).or_insert((part, 0)).1 += num_bytes;
    }
    if whole.is_empty() || whole.len() > MOST_FILES {
        return None;
    }
    let mut files = Vec::with_capacity(whole.len());
    for (part, num_bytes) in whole.into_values() {
        let known = part.extension::<Arc<DataFile>>()?;
        let (least, greatest) = rising::bounds(known.stats.as_deref()?, name, ty)?;
        if num_bytes != part.object_meta.size || known.num_rows < 0 {
            return None;
        }
        let file = PartitionedFile { range: None, ..part.clone() };
        files.push(RisingFile { file, rows: known.num_rows as f64, least, greatest });
    }
    files.sort_by_key(|f| (f.least, f.greatest));
    files.is_sorted_by(|a, b| a.greatest <= b.least).then_some(files)
}

/// Ranges with about as many rows each, at most one for each worker, which together are all keys.
fn ranges(files: &[RisingFile], workers: usize) -> Vec<Range> {
    let total: f64 = files.iter().map(|f| f.rows).sum();
    let last = files.last().map(|f| f.greatest);
    let (mut ranges, mut after, mut rows) = (Vec::new(), None, 0.0);
    for file in files {
        rows += file.rows;
        let is_enough = rows * workers as f64 >= total * (ranges.len() + 1) as f64;
        let is_new = after.is_none_or(|after| file.greatest > after) && last.is_some_and(|last| file.greatest < last);
        if is_enough && is_new && ranges.len() + 1 < workers {
            let to = Some(file.greatest);
            ranges.push(Range { after, to });
            after = to;
        }
    }
    ranges.push(Range { after, to: None });
    ranges
}

/// Whether ordered groups are sooner made than others: there are many of them, and no worker has much more to do than the
/// others, as where a table has fewer files than there are workers.
fn is_worth_it(files: &[RisingFile], ranges: &[Range], workers: usize) -> bool {
    let total: f64 = files.iter().map(|f| f.rows).sum();
    let keys = match (files.first(), files.last()) {
        (Some(first), Some(last)) => last.greatest as f64 - first.least as f64 + 1.0,
        _ => return false,
    };
    let share = MOST_OF_A_SHARE * total / workers as f64;
    let is_even = ranges.iter().all(|range| files.iter().map(|f| f.rows_in(*range)).sum::<f64>() <= share);
    total >= LEAST_ROWS && total <= MOST_ROWS_OF_A_KEY * keys && is_even
}

/// Whether the query restricts the column itself: what is left may lie within one range.
fn has_condition(source: &ParquetSource, name: &str) -> bool {
    let Some(condition) = source.filter() else { return false };
    let restricts = |part: &Arc<dyn PhysicalExpr>| {
        let is_named = collect_columns(part).iter().any(|column| column.name() == name);
        is_named && !DynamicFilterTracking::classify(part).contains_dynamic_filter()
    };
    split_conjunction(&condition).into_iter().any(restricts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(rows: u32, least: i64, greatest: i64) -> RisingFile {
        RisingFile { file: PartitionedFile::new("f", 1), rows: f64::from(rows), least, greatest }
    }

    fn range(after: Option<i64>, to: Option<i64>) -> Range {
        Range { after, to }
    }

    /// The numbers of the files in each range.
    fn met(files: &[RisingFile], ranges: &[Range]) -> Vec<Vec<usize>> {
        let meets = |range: &Range| -> Vec<usize> { (0..files.len()).filter(|i| files[*i].meets(*range)).collect() };
        ranges.iter().map(meets).collect()
    }

    // Arithmetic: a cut is where a file ends that brings the rows to a worker's share, and a key lies on one side of it.
    #[test]
    fn ranges_have_as_many_rows_each_and_no_key_twice() {
        let apart = [file(10, 1, 9), file(10, 10, 19), file(10, 20, 29), file(10, 30, 39)];
        let two = ranges(&apart, 2);
        assert_eq!(two, [range(None, Some(19)), range(Some(19), None)]);
        assert_eq!(met(&apart, &two), [[0, 1], [2, 3]]);
        assert_eq!(ranges(&apart, 1), [range(None, None)]);
        assert_eq!(ranges(&apart, 4).len(), 4);
        assert_eq!(ranges(&apart, 9).len(), 4);
        let touching = [file(10, 1, 10), file(10, 10, 20), file(1, 20, 20), file(20, 20, 30)];
        let two = ranges(&touching, 2);
        assert_eq!(two, [range(None, Some(20)), range(Some(20), None)]);
        assert_eq!(met(&touching, &two), [vec![0, 1, 2, 3], vec![3]]);
        let one_key = [file(10, 7, 7), file(10, 7, 7), file(10, 7, 7)];
        assert_eq!(ranges(&one_key, 2), [range(None, None)]);
        let extremes = [file(10, i64::MIN, i64::MIN), file(10, i64::MIN, i64::MAX)];
        assert_eq!(ranges(&extremes, 2), [range(None, Some(i64::MIN)), range(Some(i64::MIN), None)]);
    }

    // Arithmetic: of ten rows for ten keys, one is of each.
    #[test]
    fn rows_of_a_part_of_a_file_are_a_part_of_its_rows() {
        let file = file(10, 1, 10);
        let parts = [(None, None, 10.0), (None, Some(3), 3.0), (Some(3), None, 7.0), (Some(2), Some(4), 2.0)];
        for (after, to, rows) in parts {
            assert_eq!(file.rows_in(range(after, to)), rows, "{after:?} {to:?}");
        }
        assert_eq!(file.rows_in(range(Some(10), None)), 0.0);
        assert_eq!(file.rows_in(range(None, Some(0))), 0.0);
    }

    #[test]
    fn few_rows_few_groups_and_few_files_are_left_to_the_engine() {
        let worth = |files: &[RisingFile], workers| is_worth_it(files, &ranges(files, workers), workers);
        let (mega, kilo) = (1_000_000, 1_000);
        let even = [file(mega, 1, 500_000), file(mega, 500_000, 1_000_000)];
        assert!(worth(&even, 2) && worth(&even, 1));
        assert!(!worth(&even, 4), "two files for four workers");
        assert!(!worth(&[file(mega, 1, 500_000)], 2), "one file for two");
        assert!(!worth(&[file(kilo, 1, 500_000), file(kilo, 500_000, 1_000_000)], 2), "few rows");
        assert!(!worth(&[file(mega, 1, 500), file(mega, 501, 1_000)], 2), "few keys");
        assert!(!worth(&[file(3 * mega, 1, 1_000_000), file(mega, 1_000_000, 2_000_000)], 2), "uneven files");
    }
}
