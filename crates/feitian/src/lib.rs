//! The program `feitian`: arguments, settings, the data directory, wiring of the parts, signals, exit codes.
//!
//! `feitian up` joins every part in one process; every other command is a client of its admin API. Read in this order:
//! [`cli`] (what can be asked), [`config`], [`datadir`], [`bootstrap`] (the first start), [`up`] (the server's life),
//! [`warehouse_adapter`], then [`client`], `ots_client` and `commands`.

pub mod bootstrap;
pub mod cli;
pub mod client;
mod commands;
pub mod config;
pub mod credentials;
pub mod datadir;
pub mod failure;
mod logging;
mod ots_client;
mod output;
mod suggest;
mod units;
pub mod up;
pub mod warehouse_adapter;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};

use crate::cli::{Cli, Command};
use crate::failure::{Answer, Failure, Result};

/// Runs one command line, the program's name first, and returns the exit code of the process.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match parse(args) {
        Ok(cli) => cli,
        // Help goes to stdout with 0, a usage error to stderr with 2; clap decides which.
        Err(e) => {
            let _ = e.print();
            return ExitCode::from(e.exit_code() as u8);
        }
    };
    let mut out = std::io::stdout().lock();
    let answer = run(cli.command, &mut out).and_then(|answer| {
        out.flush()?;
        Ok(answer)
    });
    match answer {
        Ok(Answer::Done) => ExitCode::SUCCESS,
        Ok(Answer::No) => ExitCode::from(1),
        Err(failure) => {
            failure.report();
            ExitCode::from(failure.exit_code())
        }
    }
}

/// Reads the command line. The list of settings joins the help of `up` here, because it is data.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    let command = Cli::command().mut_subcommand("up", |up| up.after_long_help(settings_help()));
    let matches = command.try_get_matches_from(args)?;
    Cli::from_arg_matches(&matches)
}

/// Does what `command` asks; data goes to `out`.
pub fn run(command: Command, out: &mut dyn Write) -> Result<Answer> {
    match command {
        Command::Up(args) => up::run(&args, out),
        Command::Node(_) => Err(Failure::new("`feitian node` is not available yet: a process has every role")
            .hint("start several `feitian up` on one data directory with one --meta postgres://…")),
        Command::Sql(args) => commands::sql::run(&args, out),
        Command::Project(args) => commands::project::run(&args, out),
        Command::Account(args) => commands::account::run(&args, out),
        Command::Key(args) => commands::key::run(&args, out),
        Command::Instance(args) => commands::instance::run(&args, out),
        Command::Ots(args) => commands::ots::run(&args, out),
        Command::Collect(args) => commands::admin::collect(&args, out),
        Command::Status(args) => commands::admin::status(&args, out),
        Command::Check(args) => commands::check::run(&args, out),
        Command::Explain(args) => commands::explain::run(&args, out),
        Command::UdfWorker(args) => Err(feitian_udf::sandbox::become_worker(&args.rest).into()),
    }
}

fn settings_help() -> String {
    let mut text = String::from(
        "Settings, in feitian.toml, in the environment (query.memory is FEITIAN_QUERY__MEMORY) or with --set;\n\
         the later ones win. A key that is not listed here is refused.\n\n",
    );
    for key in config::KEYS {
        text.push_str(&format!("  {} ({})\n      {}\n", key.name, key.default_shown(), key.doc));
    }
    text.push_str(
        "\nExamples:\n  feitian up\n  feitian up --data /srv/feitian --listen 0.0.0.0:7700\n  \
         feitian up --meta postgres://feitian@db/feitian --set query.memory=4GiB",
    );
    text
}
