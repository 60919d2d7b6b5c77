//! Which waiting jobs start next, as a pure function of who waits, who runs and the limits.
//!
//! Projects share the machine: the next slot goes to the project that runs the fewest jobs, so that a project with a
//! thousand waiting jobs delays another one's first job by at most one job. Inside a project the smaller priority
//! number goes first, then the older job.

use std::collections::BTreeMap;

/// A job that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    pub id: String,
    pub project: String,
    /// Smaller goes first.
    pub priority: i64,
    /// Milliseconds since 1970-01-01 UTC.
    pub submitted_ms: i64,
}

/// Who waits and who runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inventory {
    pub waiting: Vec<Waiting>,
    /// Running jobs of each project, in every process; projects that run nothing may be missing.
    pub running: BTreeMap<String, usize>,
    /// Running jobs in this process.
    pub running_here: usize,
}

/// How many jobs may run at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Of one project, in all processes together.
    pub per_project: usize,
    /// In this process, over all projects.
    pub total_here: usize,
}

/// The ids of the jobs to start here now, in the order in which to start them.
pub fn plan(inventory: &Inventory, policy: &Policy) -> Vec<String> {
    let mut queues = Queues::new(inventory);
    let free = policy.total_here.saturating_sub(inventory.running_here);
    std::iter::from_fn(|| queues.next(policy.per_project)).take(free).map(|w| w.id.clone()).collect()
}

/// The place of the waiting job `id` in the queue, 1 is next; `None` if it does not wait.
///
/// This is the order in which jobs would start if one slot after the other became free and none of them ended.
pub fn place(inventory: &Inventory, id: &str) -> Option<usize> {
    let mut queues = Queues::new(inventory);
    std::iter::from_fn(|| queues.next(usize::MAX)).position(|w| w.id == id).map(|at| at + 1)
}

/// Each project's waiting jobs, next one last, and how many it runs.
struct Queues<'a> {
    projects: BTreeMap<&'a str, (usize, Vec<&'a Waiting>)>,
}

fn rank(w: &Waiting) -> (i64, i64, &str) {
    (w.priority, w.submitted_ms, &w.id)
}

impl<'a> Queues<'a> {
    fn new(inventory: &'a Inventory) -> Self {
        let mut projects: BTreeMap<&str, (usize, Vec<&Waiting>)> = BTreeMap::new();
        for job in &inventory.waiting {
            let count = inventory.running.get(&job.project).copied().unwrap_or(0);
            projects.entry(&job.project).or_insert_with(|| (count, Vec::new())).1.push(job);
        }
        for (_, queue) in projects.values_mut() {
            queue.sort_by(|a, b| rank(b).cmp(&rank(a)));
        }
        Self { projects }
    }

    fn next(&mut self, per_project: usize) -> Option<&'a Waiting> {
        let open = self.projects.values_mut().filter(|(running, queue)| *running < per_project && !queue.is_empty());
        let head = |queue: &[&'a Waiting]| queue.last().map(|w| rank(w));
        let (running, queue) = open.min_by(|(r1, q1), (r2, q2)| r1.cmp(r2).then_with(|| head(q1).cmp(&head(q2))))?;
        *running += 1;
        queue.pop()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(id: &str, project: &str, priority: i64, submitted_ms: i64) -> Waiting {
        Waiting { id: id.into(), project: project.into(), priority, submitted_ms }
    }

    fn inventory(waiting: &[Waiting], running: &[(&str, usize)]) -> Inventory {
        let running: BTreeMap<String, usize> = running.iter().map(|(p, n)| (p.to_string(), *n)).collect();
        Inventory { waiting: waiting.to_vec(), running_here: running.values().sum(), running }
    }

    const WIDE: Policy = Policy { total_here: 100, per_project: 100 };

    #[test]
    fn inside_a_project_priority_goes_before_age() {
        let waiting = [job("old", "p", 9, 1), job("urgent", "p", 1, 3), job("older", "p", 9, 0)];
        assert_eq!(plan(&inventory(&waiting, &[]), &WIDE), ["urgent", "older", "old"]);
    }

    #[test]
    fn equal_jobs_start_in_the_order_of_their_ids() {
        let waiting = [job("b", "p", 9, 1), job("a", "p", 9, 1)];
        assert_eq!(plan(&inventory(&waiting, &[]), &WIDE), ["a", "b"]);
    }

    #[test]
    fn limits_hold_for_the_project_and_for_the_process() {
        let waiting: Vec<_> = (0..5).map(|i| job(&format!("a{i}"), "a", 9, i)).collect();
        let policy = Policy { total_here: 10, per_project: 3 };
        assert_eq!(plan(&inventory(&waiting, &[("a", 1)]), &policy), ["a0", "a1"]);
        assert_eq!(plan(&inventory(&waiting, &[("a", 3)]), &policy), [""; 0]);
        assert_eq!(plan(&inventory(&waiting, &[("b", 9)]), &policy), ["a0"]);
        assert_eq!(plan(&inventory(&waiting, &[("b", 12)]), &policy), [""; 0]);
    }

    #[test]
    fn a_greedy_project_does_not_starve_another() {
        let mut waiting: Vec<_> = (0..1000).map(|i| job(&format!("g{i:04}"), "greedy", 0, i)).collect();
        waiting.push(job("late", "modest", 9, 5000));
        let policy = Policy { total_here: 5, per_project: 100 };
        // Four of the greedy one's jobs run: the free slot goes to the project that runs nothing.
        let state = inventory(&waiting, &[("greedy", 4)]);
        assert_eq!(plan(&state, &policy), ["late"]);
        assert_eq!(place(&state, "late"), Some(1));
    }

    #[test]
    fn the_place_counts_who_starts_before() {
        let waiting = [job("a1", "a", 9, 1), job("a2", "a", 9, 2), job("b1", "b", 9, 3)];
        let state = inventory(&waiting, &[]);
        assert_eq!(place(&state, "a1"), Some(1));
        assert_eq!(place(&state, "b1"), Some(2));
        assert_eq!(place(&state, "a2"), Some(3));
        assert_eq!(place(&state, "nobody"), None);
    }
}
