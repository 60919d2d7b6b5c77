//! Requests and answers of the admin API, as JSON. Times are milliseconds since 1970-01-01 UTC.

mod ots;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use ots::{
    OtsCellView, OtsColumn, OtsHex, OtsIndexView, OtsKeyColumn, OtsKeyPart, OtsRowView, OtsRows, OtsStreamView,
    OtsTableInfo, OtsTableList, OtsTableView, OtsUsage,
};

/// `GET /admin/v1/whoami`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WhoAmI {
    pub account: AccountView,
    pub region: String,
    pub version: String,
}

/// `GET /admin/v1/status`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerStatus {
    pub version: String,
    pub region: String,
    pub node: String,
    pub started_ms: i64,
    pub uptime_ms: i64,
    pub stopping: bool,
    pub instances_running: i64,
    pub instances_waiting: i64,
    /// Uploads and downloads that run now.
    pub streams: i64,
    pub connections: i64,
}

/// `GET /admin/v1/tasks`: names of background tasks with how many of each run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskList {
    pub tasks: BTreeMap<String, usize>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountView {
    pub id: String,
    pub name: String,
    pub enabled: bool,
    pub admin: bool,
    pub created_ms: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountList {
    pub accounts: Vec<AccountView>,
}

/// `POST /admin/v1/accounts`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateAccount {
    /// 1 to 64 letters, digits and `$ _ - . @ :`, for example `ALIYUN$demo`.
    pub name: String,
    #[serde(default)]
    pub admin: bool,
}

/// A key without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyView {
    pub access_id: String,
    pub account_id: String,
    pub enabled: bool,
    /// Set for temporary (STS) keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_ms: Option<i64>,
    pub created_ms: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyList {
    pub keys: Vec<KeyView>,
}

/// `POST /admin/v1/keys`. With `access_id` and `secret` chosen by the client the call may be repeated safely.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateKey {
    /// Name or id of the account; the caller's own when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Seconds that a temporary (STS) key lives; a permanent key when absent. 1 to 2,592,000 (30 days).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sts_ttl_seconds: Option<i64>,
    /// Chosen by the client, 8 to 64 letters and digits; comes with `secret`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_id: Option<String>,
    /// Chosen by the client, 16 to 128 visible ASCII characters; comes with `access_id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

/// A new key. The secret and the token are shown this once.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewKey {
    pub key: KeyView,
    pub secret: String,
    /// Goes into the header `authorization-sts-token`; temporary keys only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sts_token: Option<String>,
}

impl std::fmt::Debug for NewKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewKey").field("key", &self.key).finish_non_exhaustive()
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectView {
    pub name: String,
    /// Name of the owning account.
    pub owner: String,
    pub comment: String,
    pub properties: BTreeMap<String, String>,
    pub created_ms: i64,
    pub modified_ms: i64,
}

/// `GET /admin/v1/projects`; `next` is the marker of the following page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectList {
    pub projects: Vec<ProjectView>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// `POST /admin/v1/projects`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateProject {
    /// 2 to 64 lower-case letters, digits and `_`, beginning with a letter.
    pub name: String,
    /// Name or id of the owner; the caller when absent. Only an administrator may name someone else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    #[serde(default)]
    pub comment: String,
}

/// An instance of the table store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OtsInstanceView {
    pub name: String,
    /// Name of the owning account.
    pub account: String,
    pub created_ms: i64,
    /// Missing where the table store is not open in the process that answers, and in the answer to a creation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<OtsUsage>,
}

/// `GET /admin/v1/ots/instances`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OtsInstanceList {
    pub instances: Vec<OtsInstanceView>,
}

/// `POST /admin/v1/ots/instances`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateOtsInstance {
    /// 3 to 16 letters, digits and hyphens, beginning with a letter and not ending in a hyphen; case does not count.
    pub name: String,
    /// Name or id of the account; the caller when absent. Only an administrator may name someone else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
}

/// `PUT /admin/v1/projects/{project}/properties`: sets the keys that are given; `null` removes one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetProperties {
    pub properties: BTreeMap<String, Option<String>>,
}

/// `POST /admin/v1/projects/{project}/members`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Admit {
    /// Name or id.
    pub account: String,
}

/// `GET /admin/v1/projects/{project}/tables`, by name; `next` is the marker of the following page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableList {
    pub tables: Vec<TableView>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// `GET /admin/v1/projects/{project}/tables/{table}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableView {
    pub name: String,
    /// Schema of the project that it is in.
    pub schema: String,
    /// `MANAGED_TABLE` or `VIRTUAL_VIEW`.
    pub kind: String,
    pub owner: String,
    pub comment: String,
    pub created_ms: i64,
    /// When its rows last changed.
    pub modified_ms: i64,
    /// Days that rows are kept; absent when nobody set any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifecycle: Option<i64>,
    pub is_partitioned: bool,
    /// Absent for a view, and in lists for a table with very many partitions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<TableSize>,
    /// In their order, those of partitions last; empty in lists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<TableColumn>,
    /// The query of a view.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub view_text: Option<String>,
}

/// What a table or a partition holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableSize {
    pub num_rows: i64,
    pub num_bytes: i64,
    pub num_files: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableColumn {
    pub name: String,
    #[serde(rename = "type")]
    pub ty: String,
    pub nullable: bool,
    pub is_partition: bool,
    pub comment: String,
}

/// `GET /admin/v1/projects/{project}/tables/{table}/partitions`, by value, or from the last on with `reverse=true`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionList {
    pub partitions: Vec<PartitionView>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionView {
    /// For example `ds=20240101/hh=05`.
    pub partition: String,
    pub size: TableSize,
    pub created_ms: i64,
    pub modified_ms: i64,
}

/// `GET /admin/v1/projects/{project}/tables/{table}/rows`: at most 100 rows; times are those of the project's zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstRows {
    pub columns: Vec<ColumnView>,
    /// One array per row; a value is its text as in CSV, or null.
    pub rows: Vec<Vec<Option<String>>>,
}

/// `GET /admin/v1/projects/{project}/schemas`, by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchemaList {
    pub schemas: Vec<SchemaView>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchemaView {
    pub name: String,
    pub owner: String,
    pub comment: String,
    pub created_ms: i64,
    pub modified_ms: i64,
}

/// `GET /admin/v1/functions`: how each function of SQL is called, for example `abs(number)`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionList {
    pub functions: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceView {
    pub id: String,
    pub project: String,
    pub owner: String,
    /// `Waiting`, `Running`, `Success`, `Failed` or `Cancelled`.
    pub state: String,
    #[serde(default)]
    pub task_name: String,
    /// `SQL`, `SQLCost`, `SQLRT` or `Merge`.
    #[serde(default)]
    pub task_type: String,
    /// 0 goes first, 9 last.
    #[serde(default)]
    pub priority: i64,
    /// Counts how often it was begun.
    #[serde(default)]
    pub attempt: i64,
    /// It was asked to stop.
    #[serde(default)]
    pub stopping: bool,
    /// In listings no more than its first 4096 characters.
    pub query: String,
    pub submitted_ms: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_ms: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_ms: Option<i64>,
    /// True when the result is a row set; otherwise a successful statement may have left a text.
    pub is_select: bool,
    pub result_rows: i64,
    /// The text of a statement that returns text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Why it failed: `ODPS-nnnnnnn:[line,column] ...`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Place in the queue while it waits, 1 is next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_place: Option<usize>,
    /// What it waits for; never in listings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<QueueView>,
    /// The run of the same SQL before it, once it has ended; never in listings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub earlier: Option<String>,
    pub settings: serde_json::Value,
    #[serde(default)]
    pub stages: Vec<StageView>,
    /// What it did or has done so far, by stages and operators; never in listings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<serde_json::Value>,
}

/// How many jobs run, and how many may at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueView {
    pub project_running: usize,
    pub project_limit: usize,
    /// Of any project, in the process that answers.
    pub process_running: usize,
    pub process_limit: usize,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageView {
    pub id: String,
    pub workers_total: u64,
    pub workers_running: u64,
    pub workers_done: u64,
    pub rows_in: u64,
    pub rows_out: u64,
    /// 0 to 100.
    pub percent: u64,
}

/// `GET /admin/v1/projects/{project}/instances`, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceList {
    pub instances: Vec<InstanceView>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// `POST /admin/v1/projects/{project}/sql`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubmitSql {
    pub sql: String,
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
    /// 0 to 9, smaller goes first; 9 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<i64>,
    /// The client's own id: sent again, the same job answers. Send one.
    #[serde(default)]
    pub guid: String,
    /// How long to wait for the end, at most 30,000; the answer tells the state either way.
    #[serde(default)]
    pub wait_ms: u64,
}

/// `GET /admin/v1/projects/{project}/instances/{instance}/rows?format=json`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rows {
    pub columns: Vec<ColumnView>,
    /// One array per row; a value is its text as in CSV, or null.
    pub rows: Vec<Vec<Option<String>>>,
    /// Rows of the whole result.
    pub total: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnView {
    pub name: String,
    /// For example `decimal(10,2)`.
    #[serde(rename = "type")]
    pub ty: String,
}

/// `POST /admin/v1/collect`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Collect {
    /// Files younger than this stay; one day when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub older_than_seconds: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Collected {
    pub files: u64,
}

/// The answer to a change that has nothing else to tell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {}

/// An error, with any status from 400 up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ErrorBody {
    pub code: String,
    pub message: String,
    pub request_id: String,
}
