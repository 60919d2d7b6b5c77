//! What one operator of a plan has counted so far, in one pass over its counters.

use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::metrics::MetricValue;

/// Times that an operator measures apart and adds to its computing time only when it ends, or never.
const PARTS_OF_COMPUTING: [&str; 3] = ["time_elapsed_processing", "build_time", "join_time"];
/// The time of the side of an exchange that gives rows away; its computing time is that of the other side.
const GIVING_AWAY: &str = "repartition_time";

/// The counters of one operator, all partitions together.
#[derive(Debug, Default)]
pub(super) struct Counters {
    /// Rows given out.
    pub(super) rows: u64,
    /// Bytes read from files, for an operator that reads files; else bytes given out, in memory.
    pub(super) bytes: u64,
    /// The part of `bytes` that was read from files.
    pub(super) scanned: u64,
    pub(super) cpu_us: u64,
    pub(super) spilled_bytes: u64,
    /// One for each partition that the operator gives out.
    pub(super) workers: Vec<Worker>,
    /// The operator counts rows; many that only pass rows on do not.
    pub(super) counts_rows: bool,
    /// Unix milliseconds of the first beginning and the last end.
    pub(super) started_ms: Option<i64>,
    pub(super) ended_ms: Option<i64>,
}

/// One partition of an operator.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Worker {
    pub(super) rows: u64,
    pub(super) started: bool,
    /// Parts of its work, as the files of a scan are.
    ended: u32,
    open: u32,
}

impl Worker {
    pub(super) fn is_done(self) -> bool {
        self.open == 0 && self.ended > 0
    }
}

impl Counters {
    /// Reads the counters of `plan`, which gives out `partitions`.
    pub(super) fn read(plan: &dyn ExecutionPlan, partitions: usize) -> Self {
        let mut all = Self { workers: vec![Worker::default(); partitions], ..Self::default() };
        let Some(metrics) = plan.metrics() else { return all };
        let (mut computing_ns, mut parts_ns, mut giving_ns, mut given_out) = (0, 0, 0, 0);
        for metric in metrics.iter() {
            let worker = metric.partition().and_then(|p| all.workers.get_mut(p));
            match metric.value() {
                MetricValue::OutputRows(count) => {
                    let rows = count.value() as u64;
                    all.rows += rows;
                    all.counts_rows = true;
                    if let Some(worker) = worker {
                        worker.rows += rows;
                    }
                }
                MetricValue::OutputBytes(count) => given_out += count.value() as u64,
                MetricValue::Count { name, count } if name == "bytes_scanned" => all.scanned += count.value() as u64,
                MetricValue::SpilledBytes(count) => all.spilled_bytes += count.value() as u64,
                MetricValue::ElapsedCompute(time) => computing_ns += time.value() as u64,
                MetricValue::Time { name, time } if PARTS_OF_COMPUTING.contains(&name.as_ref()) => {
                    parts_ns += time.value() as u64;
                }
                MetricValue::Time { name, time } if name == GIVING_AWAY => giving_ns += time.value() as u64,
                MetricValue::StartTimestamp(at) => {
                    let Some(at) = at.value().map(|t| t.timestamp_millis()) else { continue };
                    all.started_ms = Some(all.started_ms.map_or(at, |first| first.min(at)));
                    if let Some(worker) = worker {
                        worker.started = true;
                    }
                }
                MetricValue::EndTimestamp(at) => {
                    let at = at.value().map(|t| t.timestamp_millis());
                    all.ended_ms = all.ended_ms.max(at);
                    if let Some(worker) = worker {
                        *(if at.is_some() { &mut worker.ended } else { &mut worker.open }) += 1;
                    }
                }
                _ => {}
            }
        }
        all.bytes = if all.scanned > 0 { all.scanned } else { given_out };
        all.cpu_us = (computing_ns.max(parts_ns) + giving_ns) / 1000;
        all
    }

    pub(super) fn partition_rows(&self) -> Vec<u64> {
        if self.counts_rows { self.workers.iter().map(|w| w.rows).collect() } else { Vec::new() }
    }
}

/// Rows of the fullest worker by the mean of all, to two digits; 1.0 when there is one worker or no row.
pub(super) fn skew(rows: &[u64]) -> f64 {
    let total: u64 = rows.iter().sum();
    let fullest = rows.iter().copied().max().unwrap_or(0);
    if rows.len() < 2 || total == 0 {
        return 1.0;
    }
    let ratio = fullest as f64 * rows.len() as f64 / total as f64;
    (ratio * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    // Arithmetic: fullest * workers / total.
    #[test]
    fn skew_is_the_fullest_worker_by_the_mean() {
        assert_eq!(skew(&[2, 1]), 1.33);
        assert_eq!(skew(&[1, 1, 1, 1]), 1.0);
        assert_eq!(skew(&[8, 0, 0, 0]), 4.0);
        assert_eq!(skew(&[99, 1]), 1.98);
    }

    #[test]
    fn skew_of_one_worker_or_of_no_row_is_even() {
        for rows in [&[][..], &[7], &[0, 0, 0]] {
            assert_eq!(skew(rows), 1.0, "{rows:?}");
        }
    }
}
