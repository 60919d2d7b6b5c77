//! The rows that the repositories keep and hand out. Times are milliseconds since 1970-01-01 UTC.

use feitian_types::TableSchema;

/// Who owns keys and projects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    pub id: String,
    /// The name that clients see as owner, for example `ALIYUN$demo`.
    pub name: String,
    pub enabled: bool,
    /// May use every route of the admin API.
    pub admin: bool,
    pub created_ms: i64,
}

/// An access key. The secret is sealed by the caller; this crate never sees it in clear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessKey {
    pub access_id: String,
    pub account_id: String,
    /// The sealed secret, opaque here.
    pub sealed_secret: Vec<u8>,
    pub enabled: bool,
    /// Set for temporary (STS) keys.
    pub expires_ms: Option<i64>,
    /// SHA-256 of the STS token that must accompany a temporary key, hex.
    pub sts_token_sha256: Option<String>,
    pub created_ms: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    pub name: String,
    pub owner_id: String,
    /// `Account::name` of the owner (joined).
    pub owner_name: String,
    pub comment: String,
    /// JSON object of strings: project properties.
    pub properties: String,
    pub created_ms: i64,
    pub modified_ms: i64,
}

/// An instance of the table store: the name under which an account keeps its tables there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtsInstance {
    /// Never given twice: the tables of an instance are kept under it, so that the next one of its name has none of them.
    pub id: String,
    /// Lower case; the service does not tell cases apart.
    pub name: String,
    pub account_id: String,
    /// `Account::name` of the account (joined).
    pub account_name: String,
    pub created_ms: i64,
}

/// What a request to the table store asks of the metadata, in one read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtsCaller {
    pub key: AccessKey,
    pub account: Account,
    /// `None` when nothing has the name.
    pub instance: Option<OtsInstance>,
}

/// The name of the project whose tables are the system itself. No project and no schema can be created under it.
pub const SYSTEM_PROJECT: &str = "sys";

/// A setting that the network edge gives to a job that came with a bearer token, whatever its client says: the job runs
/// later, as its account, and must not see more than the token. [`TOKEN_JOBS`] or [`TOKEN_TABLES`].
pub const TOKEN_SETTING: &str = "feitian.token";
/// The token may read the jobs of its project as well as its tables.
pub const TOKEN_JOBS: &str = "jobs";
/// The token may read the tables of its project.
pub const TOKEN_TABLES: &str = "tables";
/// A setting that the network edge gives to a job whose task came with aliases: a JSON object of names of resources, each
/// with the name of the one that stands for it.
pub const ALIASES_SETTING: &str = "feitian.aliases";

/// How far an account may go in a project.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// It owns the project or was admitted to it: everything but what is the owner's alone.
    Whole,
    /// It is a user of the project: what was granted, and what it made itself. Or it was admitted, and a policy takes
    /// something from it: then each thing is asked for, and everything is granted that is not denied.
    Granted,
    None,
}

/// The action that stands for every action on an object.
pub const ALL_ACTIONS: &str = "All";

/// Who may hold a grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Grantee {
    /// The id of an account.
    User(String),
    /// The name of a role.
    Role(String),
}

/// What a grant may be on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Securable {
    /// The project itself: actions such as `List` and `CreateTable`.
    Project,
    /// The table or view with this id: actions such as `Select`.
    Table(String),
}

/// One action that was granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Granted {
    pub grantee: Grantee,
    pub object: Securable,
    /// Without `odps:`, for example `Select`.
    pub action: String,
    /// Where the table is now; empty for the project.
    pub schema_name: String,
    /// The table's name now; empty for the project.
    pub table: String,
}

/// What of a project's security can be switched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Switch {
    /// Whether grants count.
    Acl,
    /// Whether policies count.
    Policy,
    /// Whether a user may do everything with the tables that are the user's own.
    CreatorAccess,
    /// Whether a user may grant on them.
    CreatorGrant,
    /// Whether labels count.
    Labels,
}

impl Switch {
    /// All of them, with their names in statements and documents.
    pub const ALL: [(Self, &'static str); 5] = [
        (Self::Acl, "CheckPermissionUsingAcl"),
        (Self::Policy, "CheckPermissionUsingPolicy"),
        (Self::Labels, "LabelSecurity"),
        (Self::CreatorAccess, "ObjectCreatorHasAccessPermission"),
        (Self::CreatorGrant, "ObjectCreatorHasGrantPermission"),
    ];
}

/// How the switches of a project stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Switches {
    pub acl: bool,
    pub policy: bool,
    pub creator_access: bool,
    pub creator_grant: bool,
    pub labels: bool,
}

impl Default for Switches {
    fn default() -> Self {
        Self { acl: true, policy: true, creator_access: true, creator_grant: true, labels: false }
    }
}

impl Switches {
    /// How one of them stands.
    pub fn get(&self, switch: Switch) -> bool {
        match switch {
            Switch::Acl => self.acl,
            Switch::Policy => self.policy,
            Switch::CreatorAccess => self.creator_access,
            Switch::CreatorGrant => self.creator_grant,
            Switch::Labels => self.labels,
        }
    }
}

/// Whoever may look at columns of a table beyond the own label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelGrant {
    /// The table's name within the project.
    pub table: String,
    /// Empty for all columns.
    pub column: String,
    pub grantee: Grantee,
    pub level: i64,
    pub expires_ms: i64,
}

/// The schema that every project has; it needs no row.
pub const DEFAULT_SCHEMA: &str = "default";

/// A schema of a project: a namespace for tables, resources and functions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schema {
    pub project: String,
    pub name: String,
    pub owner: String,
    pub comment: String,
    pub created_ms: i64,
    pub modified_ms: i64,
}

/// The full name of a resource or function. Function names are lower case, resource names keep theirs.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectName {
    pub project: String,
    pub schema_name: String,
    pub name: String,
}

/// A resource: a file that clients uploaded, or a reference to a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    pub at: ObjectName,
    /// `file`, `py`, `jar`, `archive` or `table`.
    pub kind: String,
    pub owner: String,
    /// Who wrote it last.
    pub updator: String,
    /// Clients mark what they will delete themselves; nothing here does.
    pub is_temp: bool,
    pub num_bytes: i64,
    /// MD5 of the content, hex; empty for references.
    pub md5: String,
    /// The file below the data root; empty for references.
    pub path: String,
    /// What a reference names, as the client wrote it; empty for files.
    pub source: String,
    pub comment: String,
    pub created_ms: i64,
    pub modified_ms: i64,
}

/// A function that a user registered: a class and the resources that hold it, or a text of SQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    pub at: ObjectName,
    pub owner: String,
    pub class_type: String,
    pub resources: Vec<ObjectName>,
    /// The statement that defines a SQL function, which has neither class nor resources.
    pub sql: Option<String>,
    pub created_ms: i64,
    pub modified_ms: i64,
}

/// A table or view. `dropped_ms` set means that it is gone for users and kept for recovery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// ULID; never reused.
    pub id: String,
    pub project: String,
    /// The schema of the project that it is in.
    pub schema_name: String,
    pub name: String,
    /// `MANAGED_TABLE` or `VIRTUAL_VIEW`.
    pub kind: String,
    pub owner: String,
    /// Directory below the data root, `warehouse/<project>/<name>-<id>`; empty for a view.
    pub location: String,
    pub schema: TableSchema,
    /// Counts column changes; sessions hold it.
    pub schema_version: i64,
    pub comment: String,
    /// JSON object: table properties.
    pub properties: String,
    /// Days; -1 when unset.
    pub lifecycle: i64,
    pub view_text: Option<String>,
    pub created_ms: i64,
    pub ddl_ms: i64,
    pub modified_ms: i64,
    /// The version of the table's log that the partition rows reflect; -1 before the first commit.
    pub log_version: i64,
    pub dropped_ms: Option<i64>,
}

impl Table {
    /// The table's name within its project: `t`, or `s.t` when it is in a schema other than `default`.
    pub fn local_name(&self) -> String {
        local_name(&self.schema_name, &self.name)
    }
}

/// `name` in the schema `default`, `schema.name` in every other one. Names of tables have no dots.
pub fn local_name(schema_name: &str, name: &str) -> String {
    if schema_name == DEFAULT_SCHEMA { name.to_string() } else { format!("{schema_name}.{name}") }
}

/// Schema and bare name of a [`local_name`].
pub fn split_local_name(local: &str) -> (&str, &str) {
    local.split_once('.').unwrap_or((DEFAULT_SCHEMA, local))
}

/// One partition, or the whole of an unpartitioned table under the empty `spec`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    pub table_id: String,
    /// `ds=20240101/hh=05`, columns in table order; empty for an unpartitioned table.
    pub spec: String,
    /// The values in table order.
    pub values: Vec<String>,
    pub created_ms: i64,
    pub ddl_ms: i64,
    pub modified_ms: i64,
    pub num_rows: i64,
    pub num_bytes: i64,
    pub num_files: i64,
}

/// The state of an instance. Text in the database is the variant's name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum InstanceState {
    #[default]
    Waiting,
    Running,
    Success,
    Failed,
    Cancelled,
}

impl InstanceState {
    /// The text in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "Waiting",
            Self::Running => "Running",
            Self::Success => "Success",
            Self::Failed => "Failed",
            Self::Cancelled => "Cancelled",
        }
    }

    /// The state of this text.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Waiting, Self::Running, Self::Success, Self::Failed, Self::Cancelled]
            .into_iter()
            .find(|s| s.as_str() == text)
    }

    /// True once nothing will change any more.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Success | Self::Failed | Self::Cancelled)
    }
}

/// A job. Everything a client may ask about it later is here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Instance {
    pub id: String,
    pub project: String,
    /// `Account::name` of the submitter.
    pub owner: String,
    /// The client's own id of this submission; a second one with the same id is the same instance. Empty when none.
    pub guid: String,
    pub priority: i64,
    /// The `<Job>` element as submitted.
    pub source: String,
    pub task_name: String,
    /// `SQL`, `SQLCost`, `SQLRT` or `Merge`.
    pub task_type: String,
    pub query: String,
    /// JSON object of strings: hints of the task.
    pub settings: String,
    pub state: InstanceState,
    /// The feitian process that runs it; empty while it waits.
    pub node: String,
    /// Counts claims; an older attempt may not write any more.
    pub attempt: i64,
    /// Statements of the query that have taken effect; hence the number of the next one, counted from 0.
    pub step: i64,
    pub stop_requested: bool,
    pub submitted_ms: i64,
    pub started_ms: Option<i64>,
    pub ended_ms: Option<i64>,
    /// True when the result is a row set.
    pub is_select: bool,
    /// Result columns as JSON array of `Column`, for row sets.
    pub result_columns: Option<String>,
    /// Result rows as one Arrow IPC stream (small results), or the text of a statement that returns text.
    pub result_inline: Option<Vec<u8>>,
    /// Path of the Arrow IPC file below the data root (large results).
    pub result_path: Option<String>,
    pub result_rows: i64,
    /// The failure text, without `FAILED: `.
    pub error: Option<String>,
    /// JSON: summary, progress stages, operator metrics.
    pub summary: String,
}

/// What an instance leaves behind when it ends.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    pub is_select: bool,
    pub result_columns: Option<String>,
    pub result_inline: Option<Vec<u8>>,
    pub result_path: Option<String>,
    pub result_rows: i64,
    pub error: Option<String>,
    pub summary: String,
}

/// A session of the tunnel, whose `kind` is `upload`, `download`, `stream`, `upsert`, `volume_upload` or
/// `volume_download`, or of the storage API: `storage_read`, `storage_write` or `storage_stream`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    pub id: String,
    pub kind: String,
    pub project: String,
    /// The id of the volume for sessions of volumes.
    pub table_id: String,
    pub schema_version: i64,
    /// Downloads and reads: the log version that is read. Others: -1.
    pub log_version: i64,
    /// Canonical partition spec; empty when the table has no partitions. A path within the volume for sessions of volumes.
    pub partition: String,
    pub overwrite: bool,
    /// `normal`, `closing`, `closed`, `aborted`, `expired`.
    pub status: String,
    /// The account that opened it.
    pub owner: String,
    pub record_count: i64,
    pub created_ms: i64,
    pub expires_ms: i64,
    /// JSON, opaque here: what a `storage_read` session reads, how many partitions rows of a `storage_write` or
    /// `storage_stream` session may name, the key and the buckets of an `upsert` session. Empty for others.
    pub options: String,
}

/// A block of an upload session, already durable as a data file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    pub session_id: String,
    pub block_id: i64,
    /// File name below the table directory.
    pub path: String,
    pub num_rows: i64,
    pub num_bytes: i64,
    /// Delta statistics JSON of the file.
    pub stats: String,
}

/// Step 2 of the commit protocol: what will be committed to one table, written before the table's log is touched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitRecord {
    pub id: String,
    /// Instance or session id: the `appId` of the log's `txn` action.
    pub owner: String,
    /// The `version` of the log's `txn` action.
    pub step: i64,
    /// The attempt of the instance that wrote it; 0 for sessions.
    pub attempt: i64,
    pub table_id: String,
    pub read_version: i64,
    /// JSON, opaque here: files to add, what to replace, partitions to create.
    pub actions: String,
    pub created_ms: i64,
}

/// Who advances when a change takes effect: the change and the advance are one transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Statement `step`, counted from 0, of attempt `attempt` of instance `id`, whose `Instance::step` becomes
    /// `step + 1`; fails with Conflict if that attempt no longer owns the instance or the statement has taken effect.
    Instance { id: String, attempt: i64, step: i64 },
    /// Upload session `id` becomes `closed`.
    Session { id: String },
    /// Nobody waits for it (recovery of old state, administration).
    None,
}

/// New numbers for partition rows after a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionChange {
    pub spec: String,
    pub values: Vec<String>,
    pub num_rows: i64,
    pub num_bytes: i64,
    pub num_files: i64,
    pub modified_ms: i64,
}

/// Which tables to list; the default lists all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableFilter {
    /// Names that begin with this.
    pub prefix: Option<String>,
    pub owner: Option<String>,
    /// `MANAGED_TABLE` or `VIRTUAL_VIEW`.
    pub kind: Option<String>,
}

/// The states of instances as listings group them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StateClass {
    Waiting,
    Running,
    /// `Success`, `Failed` and `Cancelled`.
    Terminal,
    Failed,
    Cancelled,
}

/// Which instances to list; the default lists all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InstanceFilter {
    pub class: Option<StateClass>,
    /// Submitted at this time or later.
    pub from_ms: Option<i64>,
    /// Submitted before this time.
    pub to_ms: Option<i64>,
    /// `Account::name` of the submitter.
    pub owner: Option<String>,
}
