//! The admin API below `/admin/v1`: JSON in, JSON out, signed like every other request (version 2 or 4, path as sent).
//!
//! | request | who | body -> answer |
//! |---|---|---|
//! | `GET /admin/v1/whoami` | any account | -> `WhoAmI` |
//! | `GET /admin/v1/status` | any account | -> `ServerStatus` |
//! | `GET /admin/v1/tasks` | administrator | -> `TaskList` |
//! | `POST /admin/v1/collect` | administrator | `Collect` -> `Collected` |
//! | `GET /admin/v1/accounts` | administrator | -> `AccountList` |
//! | `POST /admin/v1/accounts` | administrator | `CreateAccount` -> `AccountView` |
//! | `GET /admin/v1/accounts/{account}` | administrator | -> `AccountView` |
//! | `POST /admin/v1/accounts/{account}/enable`, `.../disable` | administrator | -> `AccountView` |
//! | `GET /admin/v1/keys?account=` | own keys; administrator: any or all (`account=*`) | -> `KeyList` |
//! | `POST /admin/v1/keys` | for oneself; administrator: for anyone | `CreateKey` -> `NewKey` (201) |
//! | `POST /admin/v1/keys/{key}/enable`, `.../disable` | own keys; administrator | -> `KeyView` |
//! | `DELETE /admin/v1/keys/{key}` | own keys; administrator | -> `Done` |
//! | `GET /admin/v1/projects?prefix=&marker=&maxitems=` | own and admitted; administrator: all | -> `ProjectList` |
//! | `POST /admin/v1/projects` | for oneself; administrator: for anyone | `CreateProject` -> `ProjectView` (201) |
//! | `GET /admin/v1/projects/{project}` | member | -> `ProjectView` |
//! | `DELETE /admin/v1/projects/{project}` | owner | -> `Done` |
//! | `PUT /admin/v1/projects/{project}/properties` | owner | `SetProperties` -> `ProjectView` |
//! | `GET /admin/v1/projects/{project}/members` | member | -> `AccountList` |
//! | `POST /admin/v1/projects/{project}/members` | owner | `Admit` -> `AccountList` |
//! | `DELETE /admin/v1/projects/{project}/members/{account}` | owner | -> `AccountList` |
//! | `GET /admin/v1/projects/{project}/schemas?marker=&maxitems=` | member | -> `SchemaList` |
//! | `GET /admin/v1/projects/{project}/tables?schema=&prefix=&marker=&maxitems=` | member | -> `TableList` |
//! | `GET /admin/v1/projects/{project}/tables/{table}` | member | -> `TableView` |
//! | `GET /admin/v1/projects/{project}/tables/{table}/partitions?reverse=&marker=&maxitems=` | member | -> `PartitionList` |
//! | `GET /admin/v1/projects/{project}/tables/{table}/rows?partition=&count=` | member | -> `FirstRows` |
//! | `GET /admin/v1/ots/instances` | own instances of the table store; administrator: all | -> `OtsInstanceList` |
//! | `POST /admin/v1/ots/instances` | for oneself; administrator: for anyone | `CreateOtsInstance` -> `OtsInstanceView` (201) |
//! | `GET /admin/v1/ots/instances/{ots}` | own; administrator | -> `OtsInstanceView` |
//! | `DELETE /admin/v1/ots/instances/{ots}` | own; administrator | -> `Done` |
//! | `GET /admin/v1/ots/instances/{ots}/tables` | own; administrator | -> `OtsTableList` |
//! | `GET /admin/v1/ots/instances/{ots}/tables/{ots_table}` | own; administrator | -> `OtsTableInfo` |
//! | `GET /admin/v1/ots/instances/{ots}/tables/{ots_table}/rows?start=&direction=&count=&columns=&versions=&value_bytes=`, or `?key=` for one row | own; administrator | -> `OtsRows` |
//! | `GET /admin/v1/functions` | any account | -> `FunctionList` |
//! | `POST /admin/v1/projects/{project}/sql` | member | `SubmitSql` -> `InstanceView` |
//! | `GET /admin/v1/projects/{project}/instances?status=&from_ms=&to_ms=&owner=&marker=&maxitems=` | member | -> `InstanceList` |
//! | `GET /admin/v1/projects/{project}/instances/{instance}?wait_ms=` | member | -> `InstanceView` |
//! | `POST /admin/v1/projects/{project}/instances/{instance}/stop` | member | -> `InstanceView` |
//! | `GET /admin/v1/projects/{project}/instances/{instance}/rows?start=&count=&format=json` | member | -> `Rows`, or CSV with `format=csv` |
//!
//! Pages for people read what these answer, through the functions below.
//!
//! "Member" is an account of the project or an administrator; "owner" is the project's owner or an administrator.
//! `{account}` is a name or an id, `{table}` is `t`, or `s.t` in a schema. Bearer tokens are not accepted, and
//! temporary keys change no keys. Errors are `ErrorBody`. Every call may be sent again: creating what exists with the
//! same content answers as the first time, removing what is gone is `Done`; only keys made without a chosen `access_id`
//! and jobs without a `guid` are made anew.

pub(crate) mod accounts;
pub(crate) mod instances;
pub(crate) mod keys;
pub(crate) mod ots;
pub(crate) mod projects;
pub(crate) mod server;
pub(crate) mod tables;
pub mod types;

pub use instances::{
    earlier_of, ended_of, get as instance_json, instance_of, instances_of, profile_of, queue_of, result_of,
    result_rows, rows as instance_rows, stop_instance, submit_sql,
};
pub use keys::{create_key, delete_key, keys_of, set_key_enabled};
pub use ots::rows::{OtsRead, OtsWhat, is_ots_backward, ots_key, ots_rows};
pub use ots::tables::{ots_table, ots_tables};
pub use ots::{create_ots_instance, delete_ots_instance, is_ots_elsewhere, is_ots_open, ots_instance, ots_instances};
pub use projects::{admit_account, create_project, default_properties, expel_account, members_of, project_of, visible};
pub use tables::{
    Texts, first_rows, functions_of, last_partition, names_of, partitions_of, schemas_of, table_named, table_of,
    tables_of,
};
