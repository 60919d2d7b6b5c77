//! Every table and index, as a numbered list of steps that only grows.

use feitian_base::{Error, Kind, Result};
use sqlx::{AssertSqlSafe, Row, query};

use crate::db::Meta;
use crate::fault::Fault;
use crate::tx::Tx;

/// Step `n` (from 1) brings a database of version `n - 1` to version `n`. A published step never changes.
///
/// Types are BIGINT, TEXT and BLOB only. Columns that may be large come last: SQLite reads a row from the left and
/// leaves their pages alone when they are not asked for.
const MIGRATIONS: &[&[&str]] = &[V1, V2, V3, V4, V5, V6, V7, V8, V9, V10];

const V1: &[&str] = &[
    "CREATE TABLE accounts (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, enabled BIGINT NOT NULL, \
     admin BIGINT NOT NULL, created_ms BIGINT NOT NULL)",
    "CREATE TABLE access_keys (access_id TEXT PRIMARY KEY, account_id TEXT NOT NULL, enabled BIGINT NOT NULL, \
     expires_ms BIGINT, sts_token_sha256 TEXT, created_ms BIGINT NOT NULL, sealed_secret BLOB NOT NULL)",
    "CREATE INDEX access_keys_account ON access_keys (account_id, access_id)",
    "CREATE INDEX access_keys_expiry ON access_keys (expires_ms) WHERE expires_ms IS NOT NULL",
    "CREATE TABLE projects (name TEXT PRIMARY KEY, owner_id TEXT NOT NULL, created_ms BIGINT NOT NULL, \
     modified_ms BIGINT NOT NULL, comment TEXT NOT NULL, properties TEXT NOT NULL)",
    "CREATE TABLE admissions (project TEXT NOT NULL, account_id TEXT NOT NULL, PRIMARY KEY (project, account_id))",
    "CREATE TABLE tables (id TEXT PRIMARY KEY, project TEXT NOT NULL, schema_name TEXT NOT NULL, name TEXT NOT NULL, \
     kind TEXT NOT NULL, owner TEXT NOT NULL, location TEXT NOT NULL, schema_version BIGINT NOT NULL, \
     lifecycle BIGINT NOT NULL, created_ms BIGINT NOT NULL, ddl_ms BIGINT NOT NULL, modified_ms BIGINT NOT NULL, \
     log_version BIGINT NOT NULL, dropped_ms BIGINT, comment TEXT NOT NULL, properties TEXT NOT NULL, \
     table_schema TEXT NOT NULL, view_text TEXT)",
    "CREATE UNIQUE INDEX tables_live ON tables (project, schema_name, name) WHERE dropped_ms IS NULL",
    "CREATE INDEX tables_dropped ON tables (dropped_ms) WHERE dropped_ms IS NOT NULL",
    // sort_key: the values in table order, see partition_rows.rs. log_version: the version that the numbers are of.
    "CREATE TABLE partitions (table_id TEXT NOT NULL, spec TEXT NOT NULL, sort_key TEXT NOT NULL, \
     created_ms BIGINT NOT NULL, ddl_ms BIGINT NOT NULL, modified_ms BIGINT NOT NULL, num_rows BIGINT NOT NULL, \
     num_bytes BIGINT NOT NULL, num_files BIGINT NOT NULL, log_version BIGINT NOT NULL, PRIMARY KEY (table_id, spec))",
    "CREATE UNIQUE INDEX partitions_order ON partitions (table_id, sort_key)",
    "CREATE TABLE partition_drops (table_id TEXT NOT NULL, spec TEXT NOT NULL, log_version BIGINT NOT NULL, \
     PRIMARY KEY (table_id, spec))",
    "CREATE TABLE commit_records (id TEXT PRIMARY KEY, owner TEXT NOT NULL, step BIGINT NOT NULL, \
     attempt BIGINT NOT NULL, table_id TEXT NOT NULL, read_version BIGINT NOT NULL, created_ms BIGINT NOT NULL, \
     actions TEXT NOT NULL)",
    "CREATE UNIQUE INDEX commit_records_step ON commit_records (owner, step, table_id)",
    "CREATE INDEX commit_records_table ON commit_records (table_id, id)",
    "CREATE TABLE instances (id TEXT PRIMARY KEY, project TEXT NOT NULL, owner TEXT NOT NULL, guid TEXT NOT NULL, \
     priority BIGINT NOT NULL, task_name TEXT NOT NULL, task_type TEXT NOT NULL, state TEXT NOT NULL, \
     node TEXT NOT NULL, attempt BIGINT NOT NULL, step BIGINT NOT NULL, stop_requested BIGINT NOT NULL, \
     submitted_ms BIGINT NOT NULL, started_ms BIGINT, ended_ms BIGINT, is_select BIGINT NOT NULL, \
     result_rows BIGINT NOT NULL, result_path TEXT, error TEXT, settings TEXT NOT NULL, query TEXT NOT NULL, \
     source TEXT NOT NULL, summary TEXT NOT NULL, result_columns TEXT, result_inline BLOB)",
    "CREATE UNIQUE INDEX instances_guid ON instances (project, guid) WHERE guid <> ''",
    "CREATE INDEX instances_time ON instances (submitted_ms, id)",
    "CREATE INDEX instances_project ON instances (project, submitted_ms, id)",
    "CREATE INDEX instances_owner ON instances (owner, submitted_ms, id)",
    "CREATE INDEX instances_waiting ON instances (priority, submitted_ms, id) WHERE state = 'Waiting'",
    "CREATE INDEX instances_running ON instances (project, submitted_ms, id) WHERE state = 'Running'",
    "CREATE INDEX instances_ended ON instances (ended_ms) WHERE ended_ms IS NOT NULL",
    "CREATE TABLE nodes (name TEXT PRIMARY KEY, beat_ms BIGINT NOT NULL)",
    "CREATE TABLE sessions (id TEXT PRIMARY KEY, kind TEXT NOT NULL, project TEXT NOT NULL, table_id TEXT NOT NULL, \
     schema_version BIGINT NOT NULL, log_version BIGINT NOT NULL, partition_spec TEXT NOT NULL, \
     overwrite BIGINT NOT NULL, status TEXT NOT NULL, owner TEXT NOT NULL, record_count BIGINT NOT NULL, \
     created_ms BIGINT NOT NULL, expires_ms BIGINT NOT NULL)",
    "CREATE INDEX sessions_open ON sessions (table_id) WHERE status IN ('normal', 'closing')",
    "CREATE INDEX sessions_expiry ON sessions (expires_ms)",
    "CREATE TABLE blocks (session_id TEXT NOT NULL, block_id BIGINT NOT NULL, num_rows BIGINT NOT NULL, \
     num_bytes BIGINT NOT NULL, path TEXT NOT NULL, stats TEXT NOT NULL, PRIMARY KEY (session_id, block_id))",
    "CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
];

/// Schemas inside projects, resources and functions. The schema `default` has no row.
const V2: &[&str] = &[
    "CREATE TABLE schemas (project TEXT NOT NULL, name TEXT NOT NULL, owner TEXT NOT NULL, created_ms BIGINT NOT NULL, \
     modified_ms BIGINT NOT NULL, comment TEXT NOT NULL, PRIMARY KEY (project, name))",
    "CREATE TABLE resources (project TEXT NOT NULL, schema_name TEXT NOT NULL, name TEXT NOT NULL, kind TEXT NOT NULL, \
     owner TEXT NOT NULL, updator TEXT NOT NULL, is_temp BIGINT NOT NULL, num_bytes BIGINT NOT NULL, md5 TEXT NOT NULL, \
     path TEXT NOT NULL, created_ms BIGINT NOT NULL, modified_ms BIGINT NOT NULL, source TEXT NOT NULL, \
     comment TEXT NOT NULL, PRIMARY KEY (project, schema_name, name))",
    "CREATE TABLE functions (project TEXT NOT NULL, schema_name TEXT NOT NULL, name TEXT NOT NULL, owner TEXT NOT NULL, \
     created_ms BIGINT NOT NULL, modified_ms BIGINT NOT NULL, class_type TEXT NOT NULL, resources TEXT NOT NULL, \
     PRIMARY KEY (project, schema_name, name))",
];

/// Finds the runs of one SQL text. Instances of before keep 0 and are not found: a run that is not compared is no harm.
const V3: &[&str] = &[
    "ALTER TABLE instances ADD COLUMN query_hash BIGINT NOT NULL DEFAULT 0",
    "CREATE INDEX instances_query ON instances (project, query_hash, submitted_ms, id)",
];

/// Lists the jobs of one account in one project, however many it has elsewhere. One expression, because planners take a
/// narrower index where there are two columns; no name of a project has a slash.
const V4: &[&str] =
    &["CREATE INDEX instances_project_owner ON instances ((project || '/' || owner), submitted_ms, id)"];

/// What a session of the storage API reads.
const V5: &[&str] = &["ALTER TABLE sessions ADD COLUMN options TEXT NOT NULL DEFAULT ''"];

/// Users of a project who have only what is granted, roles, and grants. `object` is empty for the project and else the id
/// of a table, `grantee` is `user/` and an account's id or `role/` and a name.
const V6: &[&str] = &[
    "CREATE TABLE project_users (project TEXT NOT NULL, account_id TEXT NOT NULL, PRIMARY KEY (project, account_id))",
    "CREATE TABLE roles (project TEXT NOT NULL, name TEXT NOT NULL, created_ms BIGINT NOT NULL, \
     PRIMARY KEY (project, name))",
    "CREATE TABLE role_members (project TEXT NOT NULL, role TEXT NOT NULL, account_id TEXT NOT NULL, \
     PRIMARY KEY (project, account_id, role))",
    "CREATE INDEX role_members_role ON role_members (project, role)",
    "CREATE TABLE grants (project TEXT NOT NULL, object TEXT NOT NULL, grantee TEXT NOT NULL, action TEXT NOT NULL, \
     PRIMARY KEY (project, object, grantee, action))",
    "CREATE INDEX grants_grantee ON grants (project, grantee)",
    "CREATE INDEX grants_object ON grants (object)",
];

/// Policies of projects, whose `role` is empty, and of roles; how the switches of a project's security stand; and labels.
/// `column_name` is empty for the table, `grantee` is as in `grants`.
const V7: &[&str] = &[
    "CREATE TABLE policies (project TEXT NOT NULL, role TEXT NOT NULL, document TEXT NOT NULL, \
     PRIMARY KEY (project, role))",
    "CREATE TABLE security_switches (project TEXT PRIMARY KEY, acl BIGINT NOT NULL, policy BIGINT NOT NULL, \
     creator_access BIGINT NOT NULL, creator_grant BIGINT NOT NULL, labels BIGINT NOT NULL)",
    "CREATE TABLE labels (table_id TEXT NOT NULL, column_name TEXT NOT NULL, level BIGINT NOT NULL, \
     PRIMARY KEY (table_id, column_name))",
    "CREATE TABLE holder_labels (project TEXT NOT NULL, grantee TEXT NOT NULL, level BIGINT NOT NULL, \
     PRIMARY KEY (project, grantee))",
    "CREATE TABLE label_grants (project TEXT NOT NULL, table_id TEXT NOT NULL, grantee TEXT NOT NULL, \
     column_name TEXT NOT NULL, level BIGINT NOT NULL, expires_ms BIGINT NOT NULL, \
     PRIMARY KEY (table_id, grantee, column_name))",
    "CREATE INDEX label_grants_grantee ON label_grants (project, grantee)",
];

/// Lists the jobs of a project that failed or were stopped, however many ended well between them. On an expression, so
/// that planners do not take the index of all jobs of the project instead.
const V8: &[&str] = &[
    "CREATE INDEX instances_failed ON instances ((project || ''), submitted_ms, id) WHERE state = 'Failed'",
    "CREATE INDEX instances_cancelled ON instances ((project || ''), submitted_ms, id) WHERE state = 'Cancelled'",
];

/// Volumes, and what is in them. `parent` is the path of a directory within its volume, empty for the volume itself. Tunnel
/// sessions have rows in `volume_entries` too, under their own id.
const V9: &[&str] = &[
    "CREATE TABLE volumes (id TEXT PRIMARY KEY, project TEXT NOT NULL, schema_name TEXT NOT NULL, name TEXT NOT NULL, \
     kind TEXT NOT NULL, owner TEXT NOT NULL, created_ms BIGINT NOT NULL, modified_ms BIGINT NOT NULL, \
     comment TEXT NOT NULL)",
    "CREATE UNIQUE INDEX volumes_name ON volumes (project, schema_name, name)",
    "CREATE TABLE volume_entries (volume_id TEXT NOT NULL, parent TEXT NOT NULL, name TEXT NOT NULL, \
     is_dir BIGINT NOT NULL, num_bytes BIGINT NOT NULL, replication BIGINT NOT NULL, owner TEXT NOT NULL, \
     object TEXT NOT NULL, created_ms BIGINT NOT NULL, modified_ms BIGINT NOT NULL, \
     PRIMARY KEY (volume_id, parent, name))",
];

/// Instances of the table store: whose name it is. Their tables are the table store's, under the instance's id.
const V10: &[&str] = &[
    "CREATE TABLE ots_instances (id TEXT PRIMARY KEY, name TEXT NOT NULL, account_id TEXT NOT NULL, \
     created_ms BIGINT NOT NULL)",
    "CREATE UNIQUE INDEX ots_instances_name ON ots_instances (name)",
    "CREATE INDEX ots_instances_account ON ots_instances (account_id, name)",
];

/// Brings the database to the newest version in one transaction; several processes may do so at once.
pub(crate) async fn run(meta: &Meta) -> Result<()> {
    let newest = MIGRATIONS.len() as i64;
    write_tx!(meta, |tx| {
        if meta.is_shared() {
            // CREATE TABLE IF NOT EXISTS of two sessions at once may fail on PostgreSQL; the number is arbitrary.
            query("SELECT pg_advisory_xact_lock(770077007700)").execute(tx.conn()).await?;
        }
        let found = version(&mut tx).await?;
        if found > newest {
            let message = format!(
                "The metadata database has version {found}; this feitian knows versions up to {newest}. \
                 Start the newer feitian that wrote it"
            );
            return Err(Error::new(Kind::Unsupported, "MethodNotAllowed", message).into());
        }
        for statement in MIGRATIONS[found.max(0) as usize..].concat() {
            query(AssertSqlSafe(in_dialect(statement, meta.is_shared()))).execute(tx.conn()).await?;
        }
        if found < newest {
            query("DELETE FROM schema_version").execute(tx.conn()).await?;
            query("INSERT INTO schema_version (version) VALUES ($1)").bind(newest).execute(tx.conn()).await?;
        }
        Ok(())
    })
}

/// The version of the database; 0 for a new one, whose version table is made here.
async fn version(tx: &mut Tx) -> Result<i64, Fault> {
    query("CREATE TABLE IF NOT EXISTS schema_version (version BIGINT NOT NULL)").execute(tx.conn()).await?;
    let row = query("SELECT version FROM schema_version").fetch_optional(tx.conn()).await?;
    Ok(row.map(|r| r.try_get(0)).transpose()?.unwrap_or(0))
}

/// SQLite compares text by its bytes; PostgreSQL does so in the C collation only, and calls BLOB otherwise.
fn in_dialect(statement: &str, shared: bool) -> String {
    if shared {
        statement.replace(" TEXT", " TEXT COLLATE \"C\"").replace(" BLOB", " BYTEA")
    } else {
        statement.to_string()
    }
}
