//! Arrays as sets: distinct items, union, intersection, difference, overlap.

use std::collections::HashSet;
use std::ops::Range;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::row::Row;
use datafusion::common::Result;

use super::pick::{Comparable, Picks, both_items, list_and_item, pick, range, two_lists};
use crate::coercion::Param;
use crate::docs::Entry;
use crate::kernel::{Call, DataType0, Function, Returns};

pub(super) const DOCS: &[Entry] = &[
    ("array_distinct", "array_distinct(array)", "Each value once, in the order of first appearance."),
    ("array_except", "array_except(a, b)", "The values of `a` that are not in `b`, each once."),
    ("array_intersect", "array_intersect(a, b)", "The values that both arrays have, each once."),
    ("array_remove", "array_remove(array, value)", "The array without any item that equals the value."),
    ("array_union", "array_union(a, b)", "The values of both arrays, each once."),
    ("arrays_overlap", "arrays_overlap(a, b)", "Whether the arrays share a value; NULL if only a NULL could tell."),
];

pub(super) fn functions() -> Vec<Function> {
    let two = |name: &'static str, f: fn(&Call<'_>) -> Result<ArrayRef>| {
        Function::new(name, &[], Returns::Argument(0), f).coerce(two_lists)
    };
    vec![
        Function::new("array_distinct", &[Param::List], Returns::Argument(0), distinct),
        two("array_except", |c| combine(c, |left, right, all| keep(left, all, |v| !right.contains(v)))),
        two("array_intersect", |c| combine(c, |left, right, all| keep(left, all, |v| right.contains(v)))),
        two("array_union", union),
        Function::new("array_remove", &[], Returns::Argument(0), remove).coerce(list_and_item),
        Function::new("arrays_overlap", &[], Returns::Type(DataType0::Bool), overlap).coerce(two_lists),
    ]
}

/// The places of `range` whose value passes and did not occur before.
fn keep<'a>(range: Range<usize>, all: &'a Comparable, passes: impl Fn(&Row<'a>) -> bool) -> Vec<usize> {
    let mut seen = HashSet::new();
    range.filter(|at| passes(&all.get(*at)) && seen.insert(all.get(*at))).collect()
}

fn distinct(call: &Call<'_>) -> Result<ArrayRef> {
    let array = call.array(0)?;
    let all = Comparable::of(array.as_list::<i32>().values(), true)?;
    pick(call, |_, range| Ok(Some(keep(range, &all, |_| true))))
}

type Combine = for<'a> fn(Range<usize>, &HashSet<Row<'a>>, &'a Comparable) -> Vec<usize>;

/// Lists of values of the first list, chosen with the values of the second in hand.
fn combine(call: &Call<'_>, f: Combine) -> Result<ArrayRef> {
    let (left, right) = (call.array(0)?, call.array(1)?);
    let (left, right) = (left.as_list::<i32>(), right.as_list::<i32>());
    let (items, offset) = both_items(left, right)?;
    let all = Comparable::of(&items, true)?;
    let mut picks = Picks::default();
    for row in 0..call.rows {
        match range(left, row).zip(range(right, row)) {
            None => picks.null(),
            Some((l, r)) => {
                let other: HashSet<Row<'_>> = r.map(|at| all.get(at + offset)).collect();
                picks.row(f(l, &other, &all));
            }
        }
    }
    picks.finish(call, &items)
}

fn union(call: &Call<'_>) -> Result<ArrayRef> {
    let (left, right) = (call.array(0)?, call.array(1)?);
    let (left, right) = (left.as_list::<i32>(), right.as_list::<i32>());
    let (items, offset) = both_items(left, right)?;
    let all = Comparable::of(&items, true)?;
    let mut picks = Picks::default();
    for row in 0..call.rows {
        match range(left, row).zip(range(right, row)) {
            None => picks.null(),
            Some((l, r)) => {
                let mut seen = HashSet::new();
                let places = l.chain(r.start + offset..r.end + offset);
                picks.row(places.filter(|at| seen.insert(all.get(*at))).collect::<Vec<_>>());
            }
        }
    }
    picks.finish(call, &items)
}

/// MaxCompute documentation of ARRAY_REMOVE: every equal item goes; NULL as the value makes the result NULL.
fn remove(call: &Call<'_>) -> Result<ArrayRef> {
    let (array, value) = (call.array(0)?, call.array(1)?);
    let list = array.as_list::<i32>();
    let both = arrow::compute::concat(&[list.values().as_ref(), value.as_ref()])?;
    let (all, offset) = (Comparable::of(&both, true)?, list.values().len());
    pick(call, |row, range| {
        if value.is_null(row) {
            return Ok(None);
        }
        let wanted = all.get(offset + row);
        Ok(Some(range.filter(|at| all.get(*at) != wanted).collect::<Vec<_>>()))
    })
}

/// Without a shared value the answer is NULL if a NULL stands in either of two arrays that have items.
fn overlap(call: &Call<'_>) -> Result<ArrayRef> {
    let (left, right) = (call.array(0)?, call.array(1)?);
    let (left, right) = (left.as_list::<i32>(), right.as_list::<i32>());
    let (items, offset) = both_items(left, right)?;
    let all = Comparable::of(&items, true)?;
    call.make_bool(|row| {
        let Some((l, r)) = range(left, row).zip(range(right, row)) else { return Ok(None) };
        let r = r.start + offset..r.end + offset;
        let empty = l.is_empty() || r.is_empty();
        let some_null = l.clone().chain(r.clone()).any(|at| items.is_null(at));
        let other: HashSet<Row<'_>> = r.filter(|at| items.is_valid(*at)).map(|at| all.get(at)).collect();
        let shared = l.filter(|at| items.is_valid(*at)).any(|at| other.contains(&all.get(at)));
        Ok(if shared {
            Some(true)
        } else if some_null && !empty {
            None
        } else {
            Some(false)
        })
    })
}
