//! The subcommands about the table store.

use clap::{Args, Subcommand};

use super::{ClientArgs, Confirm};

/// Look after the table store.
///
/// The table store speaks the protocol of Tablestore (OTS) on a port of its own. Its clients name an instance, which
/// belongs to one account and holds tables.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  feitian ots instance create shop
  feitian ots instance list")]
pub struct OtsArgs {
    #[command(subcommand)]
    pub verb: OtsVerb,
    #[command(flatten)]
    pub client: ClientArgs,
}

#[derive(Debug, Subcommand)]
pub enum OtsVerb {
    /// Create, list and delete instances.
    #[command(after_help = "Example:\n  feitian ots instance create shop --account 'ALIYUN$anna'")]
    Instance {
        #[command(subcommand)]
        verb: OtsInstanceVerb,
    },
}

#[derive(Debug, Subcommand)]
pub enum OtsInstanceVerb {
    /// Create an instance, which has no tables yet.
    ///
    /// Its name has 3 to 16 letters, digits and hyphens and is not case-sensitive. The keys of its account alone reach
    /// its tables.
    #[command(after_help = "Example:\n  feitian ots instance create shop")]
    Create {
        name: String,
        /// Owning account [default: the account of the key]
        #[arg(long, value_name = "ACCOUNT")]
        account: Option<String>,
    },
    /// List instances: those of the key's account; for an administrator all of them.
    #[command(after_help = "Example:\n  feitian ots instance list --json")]
    List,
    /// List what an instance holds: its tables and indexes with their sizes and used capacity units.
    #[command(after_help = "Example:\n  feitian ots instance tables demo")]
    Tables { name: String },
    /// Delete an instance that has no tables.
    #[command(after_help = "Example:\n  feitian ots instance delete shop --yes")]
    Delete {
        name: String,
        #[command(flatten)]
        confirm: Confirm,
    },
}
