//! The cheapest order of a region's joins, by trying all of them (Selinger et al. 1979; bushy trees as in Moerkotte and
//! Neumann, "Analysis of Two Existing and One New Dynamic Programming Algorithm", 2006: DPsub).

use std::sync::Arc;

use datafusion::common::{JoinType, NullEquality, Result};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, Filter, Join, JoinConstraint, LogicalPlan};

use super::estimate::{self, Estimate, share_of_pairs};
use super::region::{Region, Set};

/// What a row costs that is kept in a hash table, beside one that looks something up there.
const KEEPING: f64 = 2.0;

/// The numbers of values of keys that are equal, on either side.
type Pairs = Vec<(f64, f64)>;

/// A region with what is thought of its inputs.
struct Costs<'a> {
    region: &'a Region,
    estimates: Vec<Estimate>,
    /// Which of the semi and anti joins are done at their one input, before everything else.
    early: u32,
}

/// How the inputs of a set are best joined.
#[derive(Clone, Copy)]
struct Best {
    cost: f64,
    /// The side that is kept in memory; empty for a single input.
    kept: Set,
}

/// The joins of `region` in their cheapest order.
pub(super) fn cheapest(region: &Region) -> Result<Option<LogicalPlan>> {
    let plain: Vec<Estimate> = region.inputs.iter().map(|input| estimate::of(input)).collect();
    let mut best: Option<(f64, Costs<'_>, Vec<Option<Best>>)> = None;
    for early in 0..1_u32 << region.reducers.len() {
        let Some(costs) = Costs::with_early(region, &plain, early) else { continue };
        let table = costs.table();
        let Some(all) = table.last().copied().flatten() else { return Ok(None) };
        let cost = all.cost + costs.cost_of_reducers();
        if best.as_ref().is_none_or(|(least, ..)| cost < *least) {
            best = Some((cost, costs, table));
        }
    }
    best.map(|(_, costs, table)| costs.plan(&table)).transpose()
}

impl<'a> Costs<'a> {
    /// `None` if one of the `early` ones speaks of more than one input.
    fn with_early(region: &'a Region, plain: &[Estimate], early: u32) -> Option<Self> {
        let mut estimates = plain.to_vec();
        for (_, reducer) in region.reducers.iter().enumerate().filter(|(i, _)| early & 1 << i != 0) {
            (reducer.needs.count_ones() == 1).then_some(())?;
            let input = reducer.needs.trailing_zeros() as usize;
            let rows = reduced(&reducer.join, &estimates[input]);
            estimates[input].rows = rows;
        }
        Some(Self { region, estimates, early })
    }

    fn all(&self) -> Set {
        (1 << self.region.inputs.len()) - 1
    }

    /// How many rows the joined inputs of `set` have, in whatever order they are joined.
    fn rows(&self, set: Set) -> f64 {
        let inputs = (0..self.estimates.len()).filter(|i| set & 1 << i != 0);
        let mut rows: f64 = inputs.clone().map(|i| self.estimates[i].rows).product();
        let mut shared: Vec<((usize, usize), Pairs)> = Vec::new();
        for class in &self.region.classes {
            let mut members: Vec<(f64, usize)> = class
                .iter()
                .filter(|m| set & 1 << m.input != 0)
                .map(|m| (self.estimates[m.input].distinct(&m.key), m.input))
                .collect();
            // Each further member has to meet one of the values that there are: the fewest values come first.
            members.sort_by(|a, b| a.0.total_cmp(&b.0));
            for pair in members.windows(2) {
                let ((a, i), (b, k)) = (pair[0], pair[1]);
                let (between, values) = if i < k { ((i, k), (a, b)) } else { ((k, i), (b, a)) };
                match shared.iter_mut().find(|(found, _)| *found == between) {
                    Some((_, pairs)) => pairs.push(values),
                    None => shared.push((between, vec![values])),
                }
            }
        }
        for ((i, k), pairs) in shared {
            rows *= share_of_pairs(&pairs, self.estimates[i].rows, self.estimates[k].rows);
        }
        for (condition, needs) in &self.region.conditions {
            if needs & !set == 0 {
                rows *= self.share(condition, *needs);
            }
        }
        rows.max(1.0)
    }

    fn share(&self, condition: &Expr, needs: Set) -> f64 {
        match needs.count_ones() {
            1 => self.estimates[needs.trailing_zeros() as usize].share(condition),
            _ => 1.0 / 3.0,
        }
    }

    /// Whether an equality leads from one set to the other.
    fn are_linked(&self, a: Set, b: Set) -> bool {
        self.region.classes.iter().any(|class| {
            let touches = |set: Set| class.iter().any(|m| set & 1 << m.input != 0);
            touches(a) && touches(b)
        })
    }

    /// For each set of inputs the best way to join it; `None` where no equalities hold it together.
    fn table(&self) -> Vec<Option<Best>> {
        let all = self.all();
        let rows: Vec<f64> = (0..=all).map(|set| if set == 0 { 0.0 } else { self.rows(set) }).collect();
        let mut table: Vec<Option<Best>> = vec![None; all as usize + 1];
        for set in 1..=all {
            if set.count_ones() == 1 {
                table[set as usize] = Some(Best { cost: 0.0, kept: 0 });
                continue;
            }
            // Each way to cut the set in two, once.
            let mut part = (set - 1) & set;
            while part > set ^ part {
                let rest = set ^ part;
                if let (Some(a), Some(b)) = (table[part as usize], table[rest as usize])
                    && self.are_linked(part, rest)
                {
                    let (r, s) = (rows[part as usize], rows[rest as usize]);
                    let (kept, few, many) = if r <= s { (part, r, s) } else { (rest, s, r) };
                    let cost = a.cost + b.cost + KEEPING * few + many + rows[set as usize];
                    if table[set as usize].is_none_or(|best| cost < best.cost) {
                        table[set as usize] = Some(Best { cost, kept });
                    }
                }
                part = (part - 1) & set;
            }
        }
        table
    }

    /// What the semi and anti joins cost, early or late.
    fn cost_of_reducers(&self) -> f64 {
        let mut left_over = Estimate::joined(&self.estimates, self.rows(self.all()));
        let mut cost = 0.0;
        for (i, reducer) in self.region.reducers.iter().enumerate() {
            let right = estimate::of(&reducer.join.right).rows;
            let left = if self.early & 1 << i == 0 {
                left_over.rows
            } else {
                // Its input as it is read.
                estimate::of(&self.region.inputs[reducer.needs.trailing_zeros() as usize]).rows
            };
            cost += KEEPING * left.min(right) + left.max(right);
            if self.early & 1 << i == 0 {
                left_over.rows = reduced(&reducer.join, &left_over);
            }
        }
        cost
    }

    fn plan(&self, table: &[Option<Best>]) -> Result<LogicalPlan> {
        let mut done = 0;
        let mut plan = self.join(table, self.all(), &mut done)?;
        for (i, reducer) in self.region.reducers.iter().enumerate() {
            if self.early & 1 << i == 0 {
                plan = reduce(plan, &reducer.join)?;
            }
        }
        Ok(plan)
    }

    /// The plan of `set`. `done` has a bit for each condition that stands in it already.
    fn join(&self, table: &[Option<Best>], set: Set, done: &mut u64) -> Result<LogicalPlan> {
        let kept = table[set as usize].map_or(0, |best| best.kept);
        if kept == 0 {
            return self.input(set, done);
        }
        let probing = set ^ kept;
        let left = self.join(table, kept, done)?;
        let right = self.join(table, probing, done)?;
        let mut on = Vec::new();
        for class in &self.region.classes {
            let of = |set: Set| class.iter().find(|m| set & 1 << m.input != 0);
            if let (Some(l), Some(r)) = (of(kept), of(probing)) {
                on.push((l.key.clone(), r.key.clone()));
            }
        }
        let filter = conjunction(self.ready(set, done));
        let join = Join::try_new(
            Arc::new(left),
            Arc::new(right),
            on,
            filter,
            JoinType::Inner,
            JoinConstraint::On,
            NullEquality::NullEqualsNothing,
            false,
        )?;
        Ok(LogicalPlan::Join(join))
    }

    fn input(&self, set: Set, done: &mut u64) -> Result<LogicalPlan> {
        let index = set.trailing_zeros() as usize;
        let mut plan = self.region.inputs[index].as_ref().clone();
        if let Some(filter) = conjunction(self.ready(set, done)) {
            plan = LogicalPlan::Filter(Filter::try_new(filter, Arc::new(plan))?);
        }
        for (i, reducer) in self.region.reducers.iter().enumerate() {
            if self.early & 1 << i != 0 && reducer.needs == set {
                plan = reduce(plan, &reducer.join)?;
            }
        }
        Ok(plan)
    }

    /// The conditions that can be looked at in `set` and have not been.
    fn ready(&self, set: Set, done: &mut u64) -> Vec<Expr> {
        let mut ready = Vec::new();
        for (i, (condition, needs)) in self.region.conditions.iter().enumerate() {
            if needs & !set == 0 && *done & 1 << i == 0 {
                *done |= 1 << i;
                ready.push(condition.clone());
            }
        }
        ready
    }
}

/// The rows that `join` keeps of its left side, if that were `left`.
fn reduced(join: &Join, left: &Estimate) -> f64 {
    let right = estimate::of(&join.right);
    let found = join.on.iter().map(|(l, r)| (right.distinct(r) / left.distinct(l)).min(1.0)).fold(1.0, f64::min);
    let share = if join.join_type == JoinType::LeftAnti { (1.0 - found).max(0.1) } else { found };
    (left.rows * share).max(1.0)
}

fn reduce(left: LogicalPlan, join: &Join) -> Result<LogicalPlan> {
    Ok(LogicalPlan::Join(Join::try_new(
        Arc::new(left),
        join.right.clone(),
        join.on.clone(),
        join.filter.clone(),
        join.join_type,
        join.join_constraint,
        join.null_equality,
        join.null_aware,
    )?))
}
