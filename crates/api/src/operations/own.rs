//! Health, metrics and the job page.

use super::{Operation, Surface, run};
use crate::rights::{Object, Right};
use crate::{health, logview};

pub(super) const GROUPS: &[(&str, &[Operation])] = &[("Pages and probes (feitian's own)", OWN)];

const OWN: &[Operation] = &[
    Operation::new("Health", Surface::Probe, "GET", "/healthz", &[], Right::Public).done(run!(health::live)),
    Operation::new("Ready", Surface::Probe, "GET", "/readyz", &[], Right::Public).done(run!(health::ready)),
    Operation::new("Metrics", Surface::Probe, "GET", "/metrics", &[], Right::Public).done(run!(health::metrics)),
    // The project and the instance come in the query, as clients build the address.
    Operation::new("Logview", Surface::Page, "GET", "/logview", &[], Right::Object("odps:Read", Object::Instance))
        .flags(&["h", "p", "i", "token", "subQuery"])
        .done(run!(logview::page)),
];
