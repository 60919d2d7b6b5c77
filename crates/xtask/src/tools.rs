//! Programs that tests need: found, installed where that is possible, or named with the command that installs them.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process;
use crate::progress::Bar;

/// A program and the Debian packages that bring it and what it needs, with blanks between them.
pub struct Tool {
    pub program: &'static str,
    pub package: &'static str,
}

/// What the tests need beside Rust and Python.
pub const FOR_TESTS: &[Tool] = &[
    Tool { program: "initdb", package: "postgresql" },
    Tool { program: "postgres", package: "postgresql" },
    Tool { program: "psql", package: "postgresql-client" },
    Tool { program: "strace", package: "strace" },
];

/// What the table store is measured beside.
pub const FOR_TABLES: &[Tool] = &[
    Tool { program: "initdb", package: "postgresql" },
    Tool { program: "postgres", package: "postgresql" },
    Tool { program: "psql", package: "postgresql-client" },
    Tool { program: "redis-server", package: "redis-server" },
];

/// What clients from npm run on.
pub const FOR_NODE: &[Tool] = &[Tool { program: "node", package: "nodejs" }, Tool { program: "npm", package: "npm" }];

/// What Spark runs on.
pub const FOR_SPARK: &[Tool] = &[Tool { program: "java", package: "default-jre-headless" }];

/// What the tests of pages need: a browser without a screen (about 100 MB to fetch), and letters for Chinese.
pub const FOR_PAGES: &[Tool] =
    &[Tool { program: "chromium-headless-shell", package: "chromium-headless-shell fonts-wqy-microhei" }];

/// Makes sure that every tool of `tools` is there; installs what is missing when we are root, else fails and says how.
pub fn ensure(tools: &[Tool]) -> Result<()> {
    let missing = tools.iter().filter(|t| find(t.program).is_none());
    let mut packages: Vec<&str> = missing.flat_map(|t| t.package.split_whitespace()).collect();
    packages.dedup();
    if packages.is_empty() {
        return Ok(());
    }
    install(&packages)?;
    match tools.iter().find(|t| find(t.program).is_none()) {
        Some(tool) => bail!("{} is not there although the package {} was installed", tool.program, tool.package),
        None => Ok(()),
    }
}

/// Installs Debian packages.
pub fn install(packages: &[&str]) -> Result<()> {
    let names = packages.join(" ");
    let by_hand = format!("install them with: sudo apt-get install -y {names}");
    if !is_root() || find("apt-get").is_none() {
        bail!("missing on this machine: {names}; {by_hand}");
    }
    let bar = Bar::start(&format!("installing {names}"));
    let apt = |args: &[&str]| {
        let mut command = Command::new("apt-get");
        process::run_quietly(command.args(args).env("DEBIAN_FRONTEND", "noninteractive"))
    };
    // The list of packages may be old; it may also be out of reach while the packages are in a cache.
    let updated = apt(&["update"]);
    let installed = apt(&[["install", "-y", "--no-install-recommends"].as_slice(), packages].concat());
    drop(bar);
    installed.and(updated).map(|_| ()).with_context(|| by_hand)
}

/// The path of a program: on `PATH`, or where Debian keeps the server programs of PostgreSQL, the newest first.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|dir| dir.join(program)).find(|p| p.is_file());
    on_path.or_else(|| {
        let mut versions: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
            .ok()?
            .flatten()
            .filter_map(|e| Some((e.file_name().to_str()?.parse().ok()?, e.path().join("bin").join(program))))
            .filter(|(_, p)| p.is_file())
            .collect();
        versions.sort();
        versions.pop().map(|(_, p)| p)
    })
}

/// Whether this process is root's.
pub fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(Path::new("/proc/self")).is_ok_and(|m| m.uid() == 0)
}
