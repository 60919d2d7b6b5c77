//! Packages from npm below the target directory: installed once for each version.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail};

use crate::process;
use crate::progress::Bar;
use crate::tools;
use crate::workspace::Workspace;

/// A folder whose `node_modules` has the package, `tablestore@5.6.5` for example.
pub fn folder(workspace: &Workspace, package: &str) -> Result<PathBuf> {
    tools::ensure(tools::FOR_NODE)?;
    let folder = workspace.own("npm")?.join(package.replace('@', "-"));
    let complete = folder.join("feitian-complete");
    if !complete.exists() {
        let mut bar = Bar::start("installing a package of npm");
        bar.note(package);
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        std::fs::create_dir_all(&folder)?;
        let mut command = Command::new("npm");
        command.args(["install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"]).arg(&folder).arg(package);
        process::run_quietly(&mut command)?;
        drop(bar);
        let name = package.rsplit_once('@').map_or(package, |(name, _)| name);
        if !folder.join("node_modules").join(name).is_dir() {
            bail!("npm has installed {package}, and not into {}", folder.display());
        }
        std::fs::write(&complete, "")?;
    }
    Ok(folder)
}
