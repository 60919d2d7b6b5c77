//! Where things are: the source tree, the target directory, and what xtask keeps in it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// The directories of one checkout.
pub struct Workspace {
    pub root: PathBuf,
    /// `CARGO_TARGET_DIR` if it is set, else `target` in the root.
    pub target: PathBuf,
    /// Where cargo puts the programs of the profile that is measured or tested.
    built: &'static str,
}

impl Workspace {
    /// The workspace that this program was built from.
    pub fn find() -> Result<Self> {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = here.parent().and_then(Path::parent).context("xtask lies two levels below the root")?.to_path_buf();
        ensure!(
            root.join("Cargo.toml").exists(),
            "the source tree was moved after xtask was built; run cargo xtask again"
        );
        let target = match std::env::var_os("CARGO_TARGET_DIR") {
            // Cargo takes a relative one from the directory in which it was called.
            Some(dir) => std::env::current_dir()?.join(dir),
            None => root.join("target"),
        };
        Ok(Self { root, target, built: "debug" })
    }

    /// The same, with the programs of the `release` profile.
    pub fn released(&self) -> Self {
        Self { root: self.root.clone(), target: self.target.clone(), built: "release" }
    }

    /// A directory below the target directory that belongs to xtask; created when absent.
    pub fn own(&self, name: &str) -> Result<PathBuf> {
        let dir = self.target.join("xtask").join(name);
        std::fs::create_dir_all(&dir).with_context(|| format!("create {}", dir.display()))?;
        Ok(dir)
    }

    /// The built server.
    pub fn feitian(&self) -> PathBuf {
        self.program("feitian")
    }

    /// A built program.
    pub fn program(&self, name: &str) -> PathBuf {
        self.target.join(self.built).join(name)
    }

    /// A cargo call in the root, with the same cargo that called us. Settings of a server in the environment are not
    /// handed to the tests: they would change what is tested.
    pub fn cargo(&self) -> Command {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command.current_dir(&self.root).env("CARGO_TARGET_DIR", &self.target);
        without_settings(&mut command);
        // What `cargo run` tells xtask about itself. Build scripts look at it: with it in the environment, ring and all that
        // stands on it, DataFusion included, would be compiled anew each time somebody alternates with plain cargo.
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|n| n.starts_with("CARGO_MANIFEST_") || n.starts_with("CARGO_PKG_")) {
                command.env_remove(name);
            }
        }
        command
    }

    /// Every file that git tracks or would track, relative to the root.
    pub fn files(&self) -> Result<Vec<PathBuf>> {
        let listed = Command::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(&self.root)
            .output()
            .context("run git; install it with: sudo apt-get install git")?;
        ensure!(listed.status.success(), "git ls-files failed: {}", String::from_utf8_lossy(&listed.stderr).trim());
        let names = String::from_utf8_lossy(&listed.stdout);
        let files = names.split('\0').filter(|n| !n.is_empty()).map(PathBuf::from);
        Ok(files.filter(|f| self.root.join(f).is_file()).collect())
    }
}

/// Takes the settings of a feitian server out of the environment of `command`, but leaves those of tests.
pub fn without_settings(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let is_setting = name.to_str().is_some_and(|n| n.starts_with("FEITIAN_") && !n.starts_with("FEITIAN_TEST_"));
        if is_setting {
            command.env_remove(name);
        }
    }
}
