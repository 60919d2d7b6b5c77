//! Health and metrics.

use super::{Operation, Surface, run};
use crate::health;
use crate::rights::Right;

pub(super) const GROUPS: &[(&str, &[Operation])] = &[("Probes (feitian's own)", OWN)];

const OWN: &[Operation] = &[
    Operation::new("Health", Surface::Probe, "GET", "/healthz", &[], Right::Public).done(run!(health::live)),
    Operation::new("Ready", Surface::Probe, "GET", "/readyz", &[], Right::Public).done(run!(health::ready)),
    Operation::new("Metrics", Surface::Probe, "GET", "/metrics", &[], Right::Public).done(run!(health::metrics)),
];
