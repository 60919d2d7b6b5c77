//! `cargo xtask`: the project's own chores, each with one spelling for people and machines alike.

mod bench;
mod cargo;
mod clients;
mod demo;
mod fuzz;
mod kill;
mod lint;
mod npm;
mod postgres;
mod powercut;
mod process;
mod progress;
mod proof;
mod python;
mod server;
mod stage;
mod strace;
mod test;
mod tidy;
mod tools;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;

use crate::stage::{COMMANDS, Command, Options};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match run(&args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Runs the command that `args` name; the answer is whether all went well.
fn run(args: &[String]) -> Result<bool> {
    let Some(name) = args.first().filter(|a| !matches!(a.as_str(), "help" | "--help" | "-h")) else {
        menu();
        return Ok(true);
    };
    let Some(command) = COMMANDS.iter().find(|c| c.name == name) else {
        menu();
        anyhow::bail!("there is no command `{name}`");
    };
    let options = Options::parse(command, &args[1..])?;
    (command.run)(&options)
}

fn menu() {
    println!("cargo xtask COMMAND\n");
    let usage = |c: &Command| format!("{} {}", c.name, c.usage).trim_end().to_string();
    let width = COMMANDS.iter().map(|c| usage(c).len()).max().unwrap_or(0);
    for command in COMMANDS {
        println!("  {:<width$}  {}", usage(command), command.about);
    }
}
