//! The command line: every subcommand, its flags, and the help that teaches them.

mod ots;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

pub use ots::{OtsArgs, OtsExportArgs, OtsInstanceVerb, OtsVerb};

use crate::output::Format;

const TOP_LONG: &str = "\
feitian is a data warehouse in one program that speaks the protocol of MaxCompute (ODPS): PyODPS and the other clients \
of MaxCompute work with it unchanged.

`feitian up` starts it. Every other command talks to a running server, except `check`, which opens the directory of \
one that does not run, and `explain`, which needs nothing.";

const TOP_AFTER: &str = "\
Examples:
  feitian up
  feitian sql -e 'select 1'
  feitian project list --output json
  feitian explain ODPS-0130131

Exit codes: 0 done; 1 the answer is no (not found, the job failed); 2 error, also of usage.
Data goes to stdout, everything else to stderr.";

/// An open data warehouse that speaks MaxCompute.
#[derive(Debug, Parser)]
#[command(name = "feitian", version, long_about = TOP_LONG, after_help = TOP_AFTER, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    Up(UpArgs),
    Node(NodeArgs),
    Sql(SqlArgs),
    Project(ProjectArgs),
    Account(AccountArgs),
    Key(KeyArgs),
    Instance(InstanceArgs),
    Ots(OtsArgs),
    Collect(CollectArgs),
    Status(StatusArgs),
    Check(CheckArgs),
    Explain(ExplainArgs),
    UdfWorker(UdfWorkerArgs),
}

/// Start the server on this machine.
///
/// Starts every part of feitian in one process and prints how to connect. The first start on an empty directory creates
/// an account, an access key, the project `demo` and the instance `demo` of the table store; the key's secret is printed
/// once and kept in DATA/credentials.
/// Stop it with Ctrl-C or SIGTERM: running requests get 30 seconds, the table store ends the merge of files that it may be
/// at, and running jobs are queued again for the next start.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  feitian up
  feitian up --data /srv/feitian --listen 0.0.0.0:7700
  feitian up --meta postgres://feitian@db/feitian --set query.memory=4GiB

`feitian up --help` lists every setting.")]
pub struct UpArgs {
    #[command(flatten)]
    pub settings: SettingsArgs,
    /// Address and port to listen on [default: 127.0.0.1:7700]
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<String>,
    /// Address and port of the table store [default: the next port, 127.0.0.1:7701]
    #[arg(long, value_name = "ADDR")]
    pub ots_listen: Option<String>,
    /// File with the key that seals all secrets [default: DATA/master.key]
    #[arg(long, value_name = "FILE")]
    pub master_key: Option<String>,
    /// Log level, or a list of target=level [default: info]
    #[arg(long, value_name = "LEVEL")]
    pub log: Option<String>,
    /// Form of log lines on stderr: text or json [default: text]
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<String>,
}

/// Where the settings of a process that opens the data directory come from.
#[derive(Debug, Args, Clone, Default)]
pub struct SettingsArgs {
    /// Data directory [default: ./feitian-data]
    #[arg(long, value_name = "DIR")]
    pub data: Option<String>,
    /// Metadata database, postgres://…; SQLite in the data directory when absent
    #[arg(long, value_name = "URL")]
    pub meta: Option<String>,
    /// Settings file [default: feitian.toml here, if there is one]
    #[arg(long, value_name = "FILE", env = "FEITIAN_CONFIG")]
    pub config: Option<PathBuf>,
    /// Any setting by its key, as in the settings file; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

/// Start some roles of a cluster on this machine (not available yet).
#[derive(Debug, Args)]
#[command(hide = true)]
pub struct NodeArgs {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub rest: Vec<String>,
}

/// Become a process for user code (the server starts it).
#[derive(Debug, Args)]
#[command(hide = true)]
pub struct UdfWorkerArgs {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub rest: Vec<String>,
}

/// How a client command finds its server, and how it prints.
#[derive(Debug, Args, Clone, Default)]
pub struct ClientArgs {
    /// Data directory whose credentials to use [default: ./feitian-data]
    #[arg(long, global = true, value_name = "DIR", help_heading = "Connection")]
    pub data: Option<String>,
    /// Server, for example http://127.0.0.1:7700 [default: from the credentials]
    #[arg(long, global = true, value_name = "URL", env = "FEITIAN_ENDPOINT", help_heading = "Connection")]
    pub endpoint: Option<String>,
    /// Access key; better in the environment, where other users do not see it [default: from the credentials]
    #[arg(
        long,
        global = true,
        value_name = "ID:SECRET",
        env = "FEITIAN_KEY",
        hide_env_values = true,
        help_heading = "Connection"
    )]
    pub key: Option<String>,
    /// Token of a temporary key
    #[arg(
        long,
        global = true,
        value_name = "TOKEN",
        env = "FEITIAN_STS_TOKEN",
        hide_env_values = true,
        help_heading = "Connection"
    )]
    pub sts_token: Option<String>,
    /// Form of the data on stdout
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORMAT", help_heading = "Output")]
    pub output: Format,
    /// Short for --output json
    #[arg(long, global = true, conflicts_with = "output", help_heading = "Output")]
    pub json: bool,
}

impl ClientArgs {
    /// The form that `--output` or `--json` chooses.
    pub fn format(&self) -> Format {
        if self.json { Format::Json } else { self.output }
    }
}

/// Run SQL and print its rows.
///
/// Submits the text as one job, waits for it and prints the result. The text may hold several statements separated by
/// `;` and SET commands. The job goes on when this command is interrupted: find it with `feitian instance list`. A job
/// that fails prints its reason and ends with exit code 1. JSON is {"columns", "rows"} for rows and {"text"} otherwise.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  feitian sql -e 'select count(*) from flights'
  feitian sql -f report.sql --project sales --output csv > report.csv
  echo 'show tables' | feitian sql -f -
  feitian sql -e 'select * from t' --set odps.sql.allow.fullscan=true")]
pub struct SqlArgs {
    /// The SQL text
    #[arg(short, long, value_name = "TEXT", conflicts_with = "file", required_unless_present = "file")]
    pub execute: Option<String>,
    /// A file with the SQL text; - is stdin
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Project to run in [default: from the credentials]
    #[arg(long, value_name = "NAME")]
    pub project: Option<String>,
    /// A setting of the job; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Print the instance id and do not wait
    #[arg(long)]
    pub no_wait: bool,
    #[command(flatten)]
    pub client: ClientArgs,
}

/// Create, list and change projects.
///
/// A project holds tables and jobs. Its owner and admitted accounts may use it, and nobody else.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  feitian project create sales
  feitian project list")]
pub struct ProjectArgs {
    #[command(subcommand)]
    pub verb: ProjectVerb,
    #[command(flatten)]
    pub client: ClientArgs,
}

#[derive(Debug, Subcommand)]
pub enum ProjectVerb {
    /// Create a project.
    ///
    /// It starts with the settings of a new MaxCompute project; --set changes single ones.
    #[command(after_help = "Example:\n  feitian project create sales --comment 'sales reports'")]
    Create {
        name: String,
        #[arg(long, default_value = "", hide_default_value = true)]
        comment: String,
        /// Owning account [default: the account of the key]
        #[arg(long, value_name = "ACCOUNT")]
        owner: Option<String>,
        /// A project property; may be repeated
        #[arg(long = "set", value_name = "KEY=VALUE")]
        set: Vec<String>,
    },
    /// List the projects that the key may use.
    #[command(after_help = "Example:\n  feitian project list --json")]
    List {
        /// Only names that begin so
        #[arg(long, default_value = "", hide_default_value = true)]
        prefix: String,
    },
    /// Show one project with its properties.
    #[command(after_help = "Example:\n  feitian project show demo")]
    Show { name: String },
    /// Change properties of a project.
    ///
    /// An empty value takes a property back to its default.
    #[command(
        after_help = "Examples:\n  feitian project set demo odps.sql.timezone=UTC\n  feitian project set demo odps.sql.allow.fullscan="
    )]
    Set {
        name: String,
        #[arg(value_name = "KEY=VALUE", required = true)]
        properties: Vec<String>,
    },
    /// Delete a project that has no tables.
    #[command(after_help = "Example:\n  feitian project delete sales --yes")]
    Delete {
        name: String,
        #[command(flatten)]
        confirm: Confirm,
    },
    /// Let an account use a project.
    #[command(after_help = "Example:\n  feitian project admit sales 'ALIYUN$anna'")]
    Admit { name: String, account: String },
    /// List the accounts that may use a project, its owner first.
    #[command(after_help = "Example:\n  feitian project members sales --json")]
    Members { name: String },
    /// Take the admission of an account back.
    #[command(after_help = "Example:\n  feitian project expel sales 'ALIYUN$anna' --yes")]
    Expel {
        name: String,
        account: String,
        #[command(flatten)]
        confirm: Confirm,
    },
}

/// For verbs that take something away.
#[derive(Debug, Args, Clone, Copy)]
pub struct Confirm {
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
}

/// Create, list and lock accounts.
///
/// An account owns access keys and projects. Its name has the form ALIYUN$name.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  feitian account create 'ALIYUN$anna'
  feitian account list")]
pub struct AccountArgs {
    #[command(subcommand)]
    pub verb: AccountVerb,
    #[command(flatten)]
    pub client: ClientArgs,
}

#[derive(Debug, Subcommand)]
pub enum AccountVerb {
    /// Create an account; it has no key yet.
    #[command(
        after_help = "Example:\n  feitian account create 'ALIYUN$anna' && feitian key create --account 'ALIYUN$anna'"
    )]
    Create {
        name: String,
        /// May use every admin command
        #[arg(long)]
        admin: bool,
    },
    /// List all accounts.
    #[command(after_help = "Example:\n  feitian account list --output csv")]
    List,
    /// Lock an account out: none of its keys works until it is enabled again.
    #[command(after_help = "Example:\n  feitian account disable 'ALIYUN$anna' --yes")]
    Disable {
        name: String,
        #[command(flatten)]
        confirm: Confirm,
    },
    /// Let a disabled account in again.
    #[command(after_help = "Example:\n  feitian account enable 'ALIYUN$anna'")]
    Enable { name: String },
}

/// Create, list and withdraw access keys.
///
/// A key is an id and a secret with which a client signs its requests. The secret is shown once, when the key is created.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  feitian key create
  feitian key list")]
pub struct KeyArgs {
    #[command(subcommand)]
    pub verb: KeyVerb,
    #[command(flatten)]
    pub client: ClientArgs,
}

#[derive(Debug, Subcommand)]
pub enum KeyVerb {
    /// Create a key and print its secret, once.
    ///
    /// With --sts the key is temporary: it comes with a token that the client must send too, and ends by itself.
    #[command(
        after_help = "Examples:\n  feitian key create\n  feitian key create --account 'ALIYUN$anna' --sts 1h --json"
    )]
    Create {
        /// Account of the key [default: the account of the calling key]
        #[arg(long, value_name = "ACCOUNT")]
        account: Option<String>,
        /// Make it temporary: how long it works, for example 1h
        #[arg(long, value_name = "DURATION", value_parser = crate::units::parse_duration)]
        sts: Option<Duration>,
    },
    /// List keys, without secrets.
    #[command(after_help = "Example:\n  feitian key list --account 'ALIYUN$anna'")]
    List {
        /// Only keys of this account
        #[arg(long, value_name = "ACCOUNT")]
        account: Option<String>,
    },
    /// Make a key stop working for now.
    #[command(after_help = "Example:\n  feitian key disable LTAI5tExample --yes")]
    Disable {
        access_id: String,
        #[command(flatten)]
        confirm: Confirm,
    },
    /// Let a disabled key work again.
    #[command(after_help = "Example:\n  feitian key enable LTAI5tExample")]
    Enable { access_id: String },
    /// Delete a key for ever.
    #[command(after_help = "Example:\n  feitian key delete LTAI5tExample --yes")]
    Delete {
        access_id: String,
        #[command(flatten)]
        confirm: Confirm,
    },
}

/// Look at jobs, stop them, fetch their results.
///
/// Every job is an instance with an id, from its submission until its history expires.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  feitian instance list --status failed
  feitian instance show 20240102030405123gabcdefghijkm")]
pub struct InstanceArgs {
    #[command(subcommand)]
    pub verb: InstanceVerb,
    /// Project of the instance [default: from the credentials]
    #[arg(long, global = true, value_name = "NAME")]
    pub project: Option<String>,
    #[command(flatten)]
    pub client: ClientArgs,
}

#[derive(Debug, Subcommand)]
pub enum InstanceVerb {
    /// List instances, newest first.
    #[command(after_help = "Example:\n  feitian instance list --status running")]
    List {
        /// Only these
        #[arg(long, value_enum)]
        status: Option<StatusFilter>,
        /// At most so many
        #[arg(long, default_value_t = 20, value_name = "N")]
        limit: usize,
    },
    /// Show one instance: its SQL, times, progress and error.
    #[command(after_help = "Example:\n  feitian instance show 20240102030405123gabcdefghijkm --json")]
    Show { id: String },
    /// Stop a waiting or running instance.
    #[command(after_help = "Example:\n  feitian instance stop 20240102030405123gabcdefghijkm --yes")]
    Stop {
        id: String,
        #[command(flatten)]
        confirm: Confirm,
    },
    /// Print the rows of a finished query.
    #[command(after_help = "Example:\n  feitian instance result 20240102030405123gabcdefghijkm --output csv")]
    Result { id: String },
}

/// The states that clients know, and of what has ended what did not end well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum StatusFilter {
    Suspended,
    Running,
    Terminated,
    Failed,
    Cancelled,
}

/// Remove files that nothing refers to any more.
///
/// The server does this by itself; call it to free space now. A file goes only when no table version, no open upload and
/// no open download needs it and it is older than --older-than.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  feitian collect --older-than 1d")]
pub struct CollectArgs {
    /// Leave younger files alone
    #[arg(long, value_name = "DURATION", default_value = "1d", value_parser = crate::units::parse_duration)]
    pub older_than: Duration,
    #[command(flatten)]
    pub client: ClientArgs,
}

/// Show what the server is doing.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  feitian status --json")]
pub struct StatusArgs {
    #[command(flatten)]
    pub client: ClientArgs,
}

/// Prove that the files and the metadata of a data directory agree.
///
/// Opens the directory itself, so that no server may run on it. Reads the log of every table, compares it with the
/// partitions that the metadata knows, and checks that every file is there. With --repair the metadata follow the log.
/// Exit code 1 when anything is wrong and was not repaired.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  feitian check ./feitian-data
  feitian check ./feitian-data --repair")]
pub struct CheckArgs {
    /// The data directory
    #[arg(value_name = "DATA")]
    pub dir: PathBuf,
    /// Bring the metadata up to the log
    #[arg(long)]
    pub repair: bool,
    /// Metadata database, postgres://…; SQLite in the data directory when absent
    #[arg(long, value_name = "URL")]
    pub meta: Option<String>,
    /// Settings file [default: feitian.toml here, if there is one]
    #[arg(long, value_name = "FILE", env = "FEITIAN_CONFIG")]
    pub config: Option<PathBuf>,
    /// Form of the data on stdout
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
}

/// Say what an error code means, why it comes and what to do.
///
/// Needs no server. CODE is a code (ODPS-0130131), its number, a class of PyODPS (NoSuchTable) or a whole error message.
/// Without CODE every code is listed. Exit code 1 when there is no page about it. JSON is {"code", "title", "text"}, with
/// the page as Markdown, and a list of {"code", "title"} without CODE.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  feitian explain ODPS-0130131
  feitian explain 'FAILED: ODPS-0130071:[1,8] Semantic analysis exception - column b cannot be resolved'
  feitian explain NoSuchTable --lang zh
  feitian explain")]
pub struct ExplainArgs {
    /// The code, or a message that holds one
    #[arg(value_name = "CODE")]
    pub code: Vec<String>,
    /// Language of the explanation
    #[arg(long, value_enum, default_value_t, value_name = "LANG")]
    pub lang: Language,
    /// Form of the data on stdout
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
    /// Short for --output json
    #[arg(long, conflicts_with = "output")]
    pub json: bool,
}

/// A language in which error codes are explained.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Language {
    #[default]
    En,
    Zh,
}
