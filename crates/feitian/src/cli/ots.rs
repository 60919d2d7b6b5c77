//! The subcommands about the table store.

use std::path::PathBuf;

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
  feitian ots instance list
  feitian ots export shop orders --to orders-2024")]
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
    Export(OtsExportArgs),
}

/// Write a table out as Parquet files.
///
/// Each cell becomes a record: the columns of the key, then the name of its column, its version, its type and its
/// value; a row without cells becomes one record with the key alone. With --versions every version of a cell has one,
/// otherwise the newest. docs/table-store.md says what each column means.
///
/// The files are no snapshot of one moment: the table is read in pages, and what others change meanwhile is in the files
/// or not, row by row. Stop the writers first if that matters.
///
/// The directory appears as a whole when everything is on the disk, with a file _export.json that lists the others. One
/// that was interrupted leaves a hidden directory NAME.partial beside it, which can be removed.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  feitian ots export shop orders --to orders
  feitian ots export shop orders --to orders --versions
  feitian ots export shop orders --to a --from-key '[\"Ada\"]' --to-key '[\"Ada\", 100]'")]
pub struct OtsExportArgs {
    /// The instance of the table store
    pub instance: String,
    /// The table, or an index
    pub table: String,
    /// Directory to make; it must not be there, or be empty
    #[arg(long, value_name = "DIR")]
    pub to: PathBuf,
    /// Every version of each cell, not the newest alone
    #[arg(long)]
    pub versions: bool,
    /// First key, a JSON array of as many columns as matter: texts, integers, {"base64": "…"} [default: the first]
    #[arg(long, value_name = "KEY")]
    pub from_key: Option<String>,
    /// Key before which to end, in the same form [default: after the last]
    #[arg(long, value_name = "KEY")]
    pub to_key: Option<String>,
    /// Table store, for example http://127.0.0.1:7701 [default: from the credentials]
    #[arg(long, value_name = "URL", env = "FEITIAN_OTS_ENDPOINT", help_heading = "Connection")]
    pub ots_endpoint: Option<String>,
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
