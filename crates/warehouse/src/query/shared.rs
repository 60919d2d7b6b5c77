//! What stands in a query more than once is computed once: a view that is compared with a total of itself, a query of WITH
//! that two others read.
//!
//! 1. In the optimized plan, whose joins are in order, the largest subtree is looked for that stands there twice and is
//!    worth it; a leaf takes its place, wherever it stands. The same again, in what is left and in what was taken out.
//! 2. What was taken out is planned by itself, before what reads it: filters that a join above one of the copies makes must
//!    not get into it.
//! 3. `part` runs it once in each run of the plan, and gives its rows to all leaves.
//!
//! Subtrees are equal if they say the same about the same versions of the same tables. Nothing is shared that may be another
//! thing the next time: what calls `rand` or a function of a user, or stands within a recursive query.

mod part;
#[cfg(test)]
mod tests;

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchemaRef, JoinType, Result};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{
    Expr, Extension, LogicalPlan, TableSource, UserDefinedLogicalNode, UserDefinedLogicalNodeCore, Volatility,
};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{DefaultPhysicalPlanner, ExtensionPlanner, PhysicalPlanner};

use self::part::{SharedParts, SharedRows, Slot};
use super::order;
use super::select::gathered;

/// The operator above the parts of a plan. All but its first input are shared.
pub(crate) const PARTS: &str = SharedParts::NAME;

/// A part has a scan of at least so many rows: the others are soon done twice.
const LEAST_SCANNED: f64 = 100_000.0;
/// A part gives at most so many rows,
const MOST_ROWS: f64 = 1_000_000.0;
/// and they take at most so much, as far as one can tell before.
const MOST_BYTES: f64 = (64 << 20) as f64;
/// A plan of more nodes is not looked through.
const MOST_NODES: usize = 1000;
/// A plan has at most so many parts.
const MOST_PARTS: usize = 8;
/// A join hands the keys of one side to the scans of the other. If that has so many times as many rows, its scans read little.
const NARROWED: f64 = 10.0;

/// The physical plan of `plan`, which is optimized.
pub(super) async fn physical_plan(plan: LogicalPlan, state: &SessionState) -> Result<Arc<dyn ExecutionPlan>> {
    let Found { plan: shared, parts } = find(plan.clone())?;
    if parts.is_empty() {
        return state.query_planner().create_physical_plan(&plan, state).await;
    }
    let mut leaves = HashMap::new();
    let mut planned = Vec::with_capacity(parts.len());
    // A part reads those after it only.
    for (number, part) in parts.iter().enumerate().rev() {
        let columns = part.schema();
        let part = planner(&leaves).create_physical_plan(part, state).await?;
        // The engine plans no leaf that calls its columns otherwise.
        if !columns.matches_arrow_schema(&part.schema()) {
            return state.query_planner().create_physical_plan(&plan, state).await;
        }
        let slot = Arc::<Slot>::default();
        leaves.insert(number, Arc::new(SharedRows::of(number, &part, slot.clone())));
        planned.push((part, slot));
    }
    planned.reverse();
    let shared = planner(&leaves).create_physical_plan(&shared, state).await?;
    Ok(Arc::new(SharedParts::new(gathered(shared), planned)))
}

/// The place among the parts of its plan of the one that the leaf `plan` reads; `None` for all other operators.
pub(crate) fn part_read_by(plan: &Arc<dyn ExecutionPlan>) -> Option<usize> {
    plan.downcast_ref::<SharedRows>().map(SharedRows::number)
}

/// How many rows are expected of a leaf.
pub(super) fn rows_of_leaf(node: &dyn UserDefinedLogicalNode) -> f64 {
    node.as_any().downcast_ref::<Leaf>().map_or(1.0, |leaf| leaf.rows as f64)
}

/// A plan whose leaves read `parts`.
struct Found {
    plan: LogicalPlan,
    /// One reads those after it only.
    parts: Vec<LogicalPlan>,
}

fn find(plan: LogicalPlan) -> Result<Found> {
    let mut found = Found { plan, parts: Vec::new() };
    while found.parts.len() < MOST_PARTS {
        let Some(copy) = largest(&found)? else { break };
        let leaf = Leaf {
            number: found.parts.len(),
            rows: order::rows(&copy.plan) as u64,
            schema: copy.plan.schema().clone(),
        };
        let leaf = LogicalPlan::Extension(Extension { node: Arc::new(leaf) });
        found.plan = with_leaf(found.plan, &copy, &leaf)?;
        for part in &mut found.parts {
            *part = with_leaf(std::mem::take(part), &copy, &leaf)?;
        }
        found.parts.push(copy.plan);
    }
    Ok(found)
}

/// The largest subtree that is worth to be shared.
fn largest(found: &Found) -> Result<Option<Subtree>> {
    let plans: Vec<&LogicalPlan> = std::iter::once(&found.plan).chain(&found.parts).collect();
    let repeated = repeated(&plans)?;
    if repeated.is_empty() {
        return Ok(None);
    }
    let mut copies = Vec::new();
    for plan in plans {
        collect(plan, Around::default(), &repeated, &mut copies)?;
    }
    let mut different: Vec<(Subtree, usize)> = Vec::new();
    for copy in copies {
        match different.iter_mut().find(|(known, _)| known.is(&copy)) {
            Some((known, count)) => {
                *count += 1;
                known.is_read_whole |= copy.is_read_whole;
            }
            None => different.push((copy, 1)),
        }
    }
    let worth = different.into_iter().filter(|(copy, count)| *count > 1 && copy.is_read_whole && is_small(&copy.plan));
    Ok(worth.map(|(copy, _)| copy).max_by_key(|copy| copy.nodes))
}

fn is_small(plan: &LogicalPlan) -> bool {
    order::rows(plan) <= MOST_ROWS && order::num_bytes(plan) <= MOST_BYTES
}

/// The large tables that are scanned more than once; none if there is too much to look at.
fn repeated(plans: &[&LogicalPlan]) -> Result<HashSet<usize>> {
    let (mut nodes, mut scans) = (0, HashMap::<usize, (usize, f64)>::new());
    for plan in plans {
        plan.apply_with_subqueries(|node| {
            nodes += 1;
            if let LogicalPlan::TableScan(scan) = node {
                let (count, rows) = scans.entry(address(&scan.source)).or_default();
                *count += 1;
                *rows = rows.max(order::rows(node));
            }
            Ok(if nodes > MOST_NODES { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        })?;
    }
    if nodes > MOST_NODES {
        return Ok(HashSet::new());
    }
    let repeated = scans.into_iter().filter(|(_, (count, rows))| *count > 1 && *rows >= LEAST_SCANNED);
    Ok(repeated.map(|(source, _)| source).collect())
}

/// What tells a table at one version from others: the engine compares their names only.
fn address(source: &Arc<dyn TableSource>) -> usize {
    Arc::as_ptr(source).cast::<()>().addr()
}

/// A subtree that may be shared.
struct Subtree {
    plan: LogicalPlan,
    /// Of its scans, in order.
    sources: Vec<usize>,
    nodes: usize,
    /// What stands above it leaves nothing of it out.
    is_read_whole: bool,
}

impl Subtree {
    fn is(&self, other: &Self) -> bool {
        self.nodes == other.nodes && self.sources == other.sources && self.plan == other.plan
    }
}

/// What stands above a subtree.
#[derive(Clone, Copy, Default)]
struct Around {
    /// A LIMIT may stop it.
    is_limited: bool,
    /// A join hands it the few keys that it looks for.
    is_narrowed: bool,
}

impl Around {
    /// What stands above input `place` of `plan`, around which is this.
    fn input(self, plan: &LogicalPlan, place: usize) -> Self {
        match plan {
            LogicalPlan::Limit(_) => Self { is_limited: true, ..self },
            LogicalPlan::Aggregate(_) | LogicalPlan::Distinct(_) | LogicalPlan::Sort(_) => {
                Self { is_limited: false, ..self }
            }
            LogicalPlan::Join(join) if place == 1 && !join.on.is_empty() => {
                use JoinType as J;
                let hands = matches!(join.join_type, J::Inner | J::Left | J::LeftSemi | J::RightSemi | J::LeftAnti);
                let few = hands && order::rows(&join.left) * NARROWED <= order::rows(&join.right);
                Self { is_narrowed: self.is_narrowed || few, ..self }
            }
            _ => self,
        }
    }
}

/// Adds the subtrees of `plan` that scan one of the tables `wanted` and may be shared.
fn collect(plan: &LogicalPlan, around: Around, wanted: &HashSet<usize>, copies: &mut Vec<Subtree>) -> Result<()> {
    if matches!(plan, LogicalPlan::RecursiveQuery(_)) {
        return Ok(());
    }
    copies.extend(copy_of(plan, around, wanted)?);
    plan.apply_subqueries(|query| {
        collect(query, Around::default(), wanted, copies)?;
        Ok(TreeNodeRecursion::Continue)
    })?;
    for (place, input) in plan.inputs().into_iter().enumerate() {
        collect(input, around.input(plan, place), wanted, copies)?;
    }
    Ok(())
}

fn copy_of(plan: &LogicalPlan, around: Around, wanted: &HashSet<usize>) -> Result<Option<Subtree>> {
    let Some(first) = first_work(plan) else { return Ok(None) };
    let seen = Seen::of(plan)?;
    if !seen.is_same_again || !seen.sources.iter().any(|source| wanted.contains(source)) {
        return Ok(None);
    }
    // The first row of an aggregate is there when all of its input is read.
    let stops = around.is_limited && !matches!(first, LogicalPlan::Aggregate(_) | LogicalPlan::Distinct(_));
    let is_read_whole = !stops && !around.is_narrowed;
    Ok(Some(Subtree { plan: plan.clone(), sources: seen.sources, nodes: seen.nodes, is_read_whole }))
}

/// The operator below the projections and filters at the top of `plan`, if it is one that may be shared. Not a sort: some
/// functions of users see the order of their rows, and the plan behind a leaf does not tell of it.
fn first_work(plan: &LogicalPlan) -> Option<&LogicalPlan> {
    use LogicalPlan as P;
    match plan {
        _ if plan.schema().fields().is_empty() => None,
        P::Projection(projection) => first_work(&projection.input),
        P::Filter(filter) => first_work(&filter.input),
        P::SubqueryAlias(alias) => first_work(&alias.input),
        P::Aggregate(_) | P::Distinct(_) | P::Window(_) | P::Join(_) => Some(plan),
        _ => None,
    }
}

/// What is in a subtree.
struct Seen {
    nodes: usize,
    sources: Vec<usize>,
    /// It gives the same rows whenever it is run, or rows that are as good.
    is_same_again: bool,
}

impl Seen {
    fn of(plan: &LogicalPlan) -> Result<Self> {
        use LogicalPlan as P;
        let mut seen = Self { nodes: 0, sources: Vec::new(), is_same_again: true };
        plan.apply_with_subqueries(|node| {
            seen.nodes += 1;
            match node {
                P::TableScan(scan) => seen.sources.push(address(&scan.source)),
                P::Subquery(query) => seen.is_same_again &= query.outer_ref_columns.is_empty(),
                P::Projection(_) | P::Filter(_) | P::SubqueryAlias(_) | P::Union(_) | P::Limit(_) | P::Sort(_) => {}
                P::Aggregate(_) | P::Distinct(_) | P::Window(_) | P::Join(_) | P::Unnest(_) => {}
                P::Values(_) | P::EmptyRelation(_) | P::Repartition(_) => {}
                // Recursive queries, and leaves: a part reads those after it only.
                _ => seen.is_same_again = false,
            }
            node.apply_expressions(|e| {
                seen.is_same_again &= !e.exists(|e| Ok(is_another_again(e)))?;
                Ok(TreeNodeRecursion::Continue)
            })?;
            Ok(if seen.is_same_again { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
        })?;
        Ok(seen)
    }
}

/// Whether `e` may have another value the next time, or has none without what is around it.
fn is_another_again(e: &Expr) -> bool {
    match e {
        Expr::ScalarFunction(call) => call.func.signature().volatility == Volatility::Volatile,
        Expr::AggregateFunction(call) => call.func.signature().volatility == Volatility::Volatile,
        Expr::WindowFunction(call) => call.fun.signature().volatility == Volatility::Volatile,
        Expr::OuterReferenceColumn(..) | Expr::Placeholder(_) => true,
        _ => false,
    }
}

/// `plan` with `leaf` wherever `copy` stands in it.
fn with_leaf(plan: LogicalPlan, copy: &Subtree, leaf: &LogicalPlan) -> Result<LogicalPlan> {
    let node = |node: LogicalPlan| {
        if matches!(node, LogicalPlan::RecursiveQuery(_)) {
            return Ok(Transformed::new(node, false, TreeNodeRecursion::Jump));
        }
        // The engine's equality comes first: it is soon clear that two nodes differ.
        if node == copy.plan && Seen::of(&node)?.sources == copy.sources {
            return Ok(Transformed::new(leaf.clone(), true, TreeNodeRecursion::Jump));
        }
        Ok(Transformed::no(node))
    };
    plan.transform_down_with_subqueries(node).map(|t| t.data)
}

/// Stands where a part stood.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Leaf {
    number: usize,
    rows: u64,
    schema: DFSchemaRef,
}

impl PartialOrd for Leaf {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.number.partial_cmp(&other.number)
    }
}

impl UserDefinedLogicalNodeCore for Leaf {
    fn name(&self) -> &str {
        "SharedRows"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        Vec::new()
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        Vec::new()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SharedRows: part={}", self.number + 1)
    }

    fn with_exprs_and_inputs(&self, _: Vec<Expr>, _: Vec<LogicalPlan>) -> Result<Self> {
        Ok(self.clone())
    }
}

type Leaves = HashMap<usize, Arc<SharedRows>>;

fn planner(leaves: &Leaves) -> DefaultPhysicalPlanner {
    DefaultPhysicalPlanner::with_extension_planners(vec![Arc::new(LeafPlanner(leaves.clone()))])
}

/// Plans leaves, by the numbers of their parts.
struct LeafPlanner(Leaves);

#[async_trait]
impl ExtensionPlanner for LeafPlanner {
    async fn plan_extension(
        &self,
        _: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _: &[&LogicalPlan],
        _: &[Arc<dyn ExecutionPlan>],
        _: &dyn Session,
        _: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let leaf = node.as_any().downcast_ref::<Leaf>().and_then(|leaf| self.0.get(&leaf.number));
        Ok(leaf.map(|leaf| Arc::new(leaf.another()) as Arc<dyn ExecutionPlan>))
    }
}
