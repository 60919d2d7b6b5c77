//! Tables that inner joins put together, taken apart: what is joined, what has to be equal, and what else has to hold.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::common::tree_node::TreeNode;
use datafusion::common::{Column, JoinType, NullEquality};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Expr, Join, LogicalPlan};

/// More inputs than these, semi and anti joins counted, are not put into another order.
pub(super) const MOST_INPUTS: usize = 12;
/// With more semi and anti joins than these, everything stays in its order: each of them doubles what is tried.
const MOST_REDUCERS: usize = 4;

/// They are told apart by the bits of a number.
const MOST_CONDITIONS: usize = 64;

/// A set of inputs, one bit each.
pub(super) type Set = u32;

/// What inner joins put together.
#[derive(Default)]
pub(super) struct Region {
    pub(super) inputs: Vec<Arc<LogicalPlan>>,
    /// Columns that are equal to each other in every row, each of one input.
    pub(super) classes: Vec<Vec<Member>>,
    /// What else has to hold, and of which inputs it speaks.
    pub(super) conditions: Vec<(Expr, Set)>,
    /// Semi and anti joins.
    pub(super) reducers: Vec<Reducer>,
}

/// A key that others are equal to.
#[derive(Clone)]
pub(super) struct Member {
    pub(super) key: Expr,
    pub(super) input: usize,
}

/// A semi or anti join: it keeps rows of what is on its left, and adds no column.
pub(super) struct Reducer {
    pub(super) join: Join,
    /// The inputs that its condition speaks of.
    pub(super) needs: Set,
}

impl Region {
    /// Takes the joins below `plan` apart. `None` if there is nothing to choose, or not for us.
    pub(super) fn below(plan: &LogicalPlan) -> Option<Self> {
        let mut parts = Parts::default();
        parts.take(plan)?;
        let parties = parts.inputs.len() + parts.reducers.len();
        if !(3..=MOST_INPUTS).contains(&parties) || parts.inputs.len() < 2 || parts.reducers.len() > MOST_REDUCERS {
            return None;
        }
        if !have_names_of_their_own(&parts) {
            return None;
        }
        parts.sorted().filter(|region| region.conditions.len() <= MOST_CONDITIONS)
    }
}

/// What [`Region`] is made of, in the order of the plan.
#[derive(Default)]
struct Parts {
    inputs: Vec<Arc<LogicalPlan>>,
    equal: Vec<(Expr, Expr)>,
    conditions: Vec<Expr>,
    reducers: Vec<Join>,
}

impl Parts {
    fn take(&mut self, plan: &LogicalPlan) -> Option<()> {
        match plan {
            LogicalPlan::Join(join) if is_movable(join) => match join.join_type {
                JoinType::Inner => {
                    self.equal.extend(join.on.iter().cloned());
                    self.conditions.extend(join.filter.iter().flat_map(split_conjunction).cloned());
                    self.take(&join.left)?;
                    self.take(&join.right)?;
                }
                _ => {
                    self.take(&join.left)?;
                    self.reducers.push(join.clone());
                }
            },
            // Which columns go on is found anew.
            LogicalPlan::Projection(p) if p.expr.iter().all(|e| matches!(e, Expr::Column(_))) => self.take(&p.input)?,
            input => self.inputs.push(Arc::new(input.clone())),
        }
        (self.inputs.len() <= MOST_INPUTS).then_some(())
    }

    fn sorted(self) -> Option<Region> {
        let mut region = Region { inputs: self.inputs, ..Region::default() };
        for (left, right) in self.equal {
            match (region.one_input(&left), region.one_input(&right)) {
                (Some(l), Some(r)) if l != r => {
                    region.are_equal(Member { key: left, input: l }, Member { key: right, input: r });
                }
                _ => {
                    let condition = left.eq(right);
                    let needs = region.needs(&condition)?;
                    region.conditions.push((condition, needs));
                }
            }
        }
        region.once_each();
        for condition in self.conditions {
            let needs = region.needs(&condition)?;
            region.conditions.push((condition, needs));
        }
        for join in self.reducers {
            let of_left = |c: &&Column| !join.right.schema().has_column(c);
            let in_filter = join.filter.iter().flat_map(Expr::column_refs).filter(of_left);
            let columns = join.on.iter().flat_map(|(left, _)| left.column_refs()).chain(in_filter);
            let needs = region.inputs_of(columns)?;
            region.reducers.push(Reducer { join, needs });
        }
        Some(region)
    }
}

impl Region {
    fn are_equal(&mut self, left: Member, right: Member) {
        let place = |key: &Expr| self.classes.iter().position(|class| class.iter().any(|m| m.key == *key));
        match (place(&left.key), place(&right.key)) {
            (Some(a), Some(b)) if a == b => {}
            (Some(a), Some(b)) => {
                let other = self.classes.swap_remove(a.max(b));
                self.classes[a.min(b)].extend(other);
            }
            (Some(a), None) => self.classes[a].push(right),
            (None, Some(b)) => self.classes[b].push(left),
            (None, None) => self.classes.push(vec![left, right]),
        }
    }

    /// Leaves one key of an input in a class: that it equals the input's other ones is a condition of that input.
    fn once_each(&mut self) {
        for class in &mut self.classes {
            let mut kept: Vec<Member> = Vec::new();
            for member in class.drain(..) {
                match kept.iter().find(|k| k.input == member.input) {
                    Some(k) => self.conditions.push((k.key.clone().eq(member.key), 1 << member.input)),
                    None => kept.push(member),
                }
            }
            *class = kept;
        }
    }

    fn one_input(&self, key: &Expr) -> Option<usize> {
        let needs = self.needs(key)?;
        (needs.count_ones() == 1).then(|| needs.trailing_zeros() as usize)
    }

    /// The inputs that an expression speaks of; `None` if one of its columns is of none of them.
    fn needs(&self, expr: &Expr) -> Option<Set> {
        self.inputs_of(expr.column_refs().into_iter())
    }

    fn inputs_of<'a>(&self, columns: impl Iterator<Item = &'a Column>) -> Option<Set> {
        columns.into_iter().try_fold(0, |set, column| {
            let mut owners = (0..self.inputs.len()).filter(|i| self.inputs[*i].schema().has_column(column));
            let owner = owners.next()?;
            owners.next().is_none().then_some(set | 1 << owner)
        })
    }
}

/// Inner joins, and those that only keep rows of their left side, whose conditions mean the same wherever they stand.
fn is_movable(join: &Join) -> bool {
    let kind = matches!(join.join_type, JoinType::Inner | JoinType::LeftSemi | JoinType::LeftAnti);
    let mut conditions = join.on.iter().flat_map(|(l, r)| [l, r]).chain(&join.filter);
    let plain = |e: &Expr| {
        let has_query = e.exists(|e| Ok(matches!(e, Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_))));
        !e.is_volatile() && !e.contains_outer() && !has_query.unwrap_or(true)
    };
    kind && join.null_equality == NullEquality::NullEqualsNothing && conditions.all(plain)
}

/// Whether no column of one input could be taken for that of another one, or of a semi join's right side.
fn have_names_of_their_own(parts: &Parts) -> bool {
    let mut seen: HashSet<Column> = HashSet::new();
    let rights = parts.reducers.iter().map(|join| &join.right);
    parts.inputs.iter().chain(rights).all(|plan| {
        let columns = plan.schema().columns();
        let qualified = columns.iter().all(|c| c.relation.is_some());
        qualified && columns.into_iter().all(|c| seen.insert(c))
    })
}
