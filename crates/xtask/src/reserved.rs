//! Commands that have a name and no content yet.

use anyhow::{Result, bail};

use crate::stage::Options;

pub fn run(options: &Options) -> Result<bool> {
    bail!("`cargo xtask {}` is not there yet", options.command)
}
