//! Which tables are hot: the capacity units that were used in each of the last sixty seconds.

use std::collections::VecDeque;
use std::sync::LazyLock;
use std::time::Instant;

/// So many seconds are remembered, the one under way among them.
const SECONDS: u64 = 60;

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The second that it is, of a clock that never goes back.
pub(crate) fn second() -> u64 {
    START.elapsed().as_secs()
}

/// Read and write units by second, the oldest first. Seconds without any have no entry.
#[derive(Debug, Clone, Default)]
pub(crate) struct Heat(VecDeque<(u64, u64, u64)>);

impl Heat {
    /// Counts units that were used in a second.
    pub(crate) fn add(&mut self, second: u64, read: u64, write: u64) {
        if (read, write) == (0, 0) {
            return;
        }
        match self.0.back_mut() {
            // Whoever looked at the clock first may come last.
            Some((last, of_reads, of_writes)) if *last >= second => {
                *of_reads = of_reads.saturating_add(read);
                *of_writes = of_writes.saturating_add(write);
            }
            _ => {
                while self.0.front().is_some_and(|(at, ..)| at + SECONDS <= second) {
                    self.0.pop_front();
                }
                self.0.push_back((second, read, write));
            }
        }
    }

    /// Read and write units of the sixty seconds that end with this one.
    pub(crate) fn sum(&self, second: u64) -> (u64, u64) {
        let recent = self.0.iter().filter(|(at, ..)| at + SECONDS > second);
        recent.fold((0, 0), |sum: (u64, u64), (_, read, write)| {
            (sum.0.saturating_add(*read), sum.1.saturating_add(*write))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // By hand: of the seconds 0, 59, 60 and 61, those from 2 to 61 are the sixty that end with 61.
    #[test]
    fn sixty_seconds_count_and_no_more_are_kept() {
        let mut heat = Heat::default();
        for (second, read, write) in [(0, 1, 0), (0, 2, 5), (59, 10, 0), (60, 0, 100), (61, 1000, 1000)] {
            heat.add(second, read, write);
        }
        assert_eq!(heat.sum(61), (1010, 1100));
        assert_eq!(heat.sum(119), (1000, 1100));
        assert_eq!(heat.sum(121), (0, 0));
        assert_eq!(heat.0.len(), 3);
        for second in 62..1000 {
            heat.add(second, 1, 1);
        }
        assert_eq!((heat.0.len(), heat.sum(999)), (60, (60, 60)));
    }

    // The rule above: a second that comes after a later one counts with it, and nothing is lost.
    #[test]
    fn a_late_second_counts_with_the_last_one() {
        let mut heat = Heat::default();
        heat.add(7, 1, 0);
        heat.add(6, 1, 3);
        heat.add(8, 0, 0);
        assert_eq!((heat.sum(8), heat.0.len()), ((2, 3), 1));
    }
}
