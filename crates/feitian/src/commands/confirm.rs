//! The question before something is taken away.

use std::io::{IsTerminal, Write};

use crate::cli::Confirm;
use crate::failure::{Failure, Result};

/// Asks on the terminal whether to do `what`; returns when the answer is yes or `--yes` was given.
///
/// Where nobody can answer, the command is refused: a script says `--yes` because it means it.
pub(crate) fn ask(what: &str, confirm: Confirm) -> Result<()> {
    if confirm.yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Err(Failure::new(format!("not done: {what} needs a confirmation, and there is no terminal to ask on"))
            .hint("add --yes"));
    }
    let mut err = std::io::stderr();
    write!(err, "{what}? [y/N] ")?;
    err.flush()?;
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    match line.trim().to_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Failure::negative("not done")),
    }
}
