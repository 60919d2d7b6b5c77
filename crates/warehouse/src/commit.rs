//! The commit protocol: how rows written to files become part of tables exactly once, whatever dies in between.
//!
//! 1. All files are written under unique names and durable. (The caller has done this.)
//! 2. One *commit record* per table goes into the metadata: what to add and what to replace.
//! 3. The table's log gets a version with the files and a `txn` action (owner, step). If the log holds that `txn`
//!    already, somebody else did this step and nothing is added.
//! 4. The partition rows are brought up to the log,
//! 5. and in the same transaction the record goes and the owner advances: the instance to its next statement, the upload
//!    session to `closed`.
//!
//! A record that is found later (after a crash, or by another process) is driven forward from step 3. What it replaces is
//! decided in step 3 against the newest version, so a record never grows old.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use feitian_base::{Error, Kind, Result, clock, failpoint, id};
use feitian_meta::rows::{CommitRecord, Partition, PartitionChange, Step, Table};
use feitian_types::TableSchema;
use serde::{Deserialize, Serialize};

use crate::catalog::{Catalog, metadata_action};
use crate::log::{CHECKPOINT_INTERVAL, Commit, DataFile, Snapshot};
use crate::writer::NewFile;

/// Which of the table's present files go when the new ones come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub enum Replace {
    #[default]
    Nothing,
    Table,
    /// Canonical partition specs.
    Partitions(Vec<String>),
}

/// A change of one table's rows, columns or partitions.
#[derive(Debug, Clone)]
pub struct Change {
    pub table: Table,
    /// The version that the statement read; matters only with `must_be_unchanged`.
    pub read_version: i64,
    pub files: Vec<NewFile>,
    pub replace: Replace,
    /// Values of partitions that exist afterwards even if they are empty.
    pub create_partitions: Vec<Vec<String>>,
    /// Specs of partitions that go, with their files.
    pub drop_partitions: Vec<String>,
    /// The statement also read this table: refuse if it has a newer version than `read_version`.
    pub must_be_unchanged: bool,
    /// The columns afterwards, when they change.
    pub new_schema: Option<TableSchema>,
}

impl Change {
    /// An append of `files` to `table`.
    pub fn append(table: Table, files: Vec<NewFile>) -> Self {
        Self {
            read_version: table.log_version,
            table,
            files,
            replace: Replace::Nothing,
            create_partitions: Vec::new(),
            drop_partitions: Vec::new(),
            must_be_unchanged: false,
            new_schema: None,
        }
    }
}

/// What a commit record's `actions` text holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Intent {
    pub(crate) files: Vec<NewFile>,
    replace: Replace,
    create: Vec<Vec<String>>,
    drop: Vec<String>,
    unchanged: bool,
    schema: Option<TableSchema>,
}

enum Driven {
    /// The newest snapshot, which holds the change.
    Done(Arc<Snapshot>),
    Conflict,
}

impl Catalog {
    /// Makes `changes` visible, each table's at once, and advances `step` with the last one.
    ///
    /// `owner` and `step_no` identify the change for ever: a repeated call with the same pair adds nothing. `attempt` is
    /// the instance's attempt, 0 for sessions.
    ///
    /// # Errors
    /// - `ODPS-0110061` (`Conflict`): a table that had to be unchanged is not; nothing was changed; run the statement again.
    /// - `SchemaModified`, `NoSuchTable`: the table is not what it was when the work began; nothing was changed.
    pub async fn commit(
        &self,
        changes: Vec<Change>,
        owner: &str,
        attempt: i64,
        step_no: i64,
        step: &Step,
    ) -> Result<()> {
        failpoint::hit("commit.before_record");
        let announced: Vec<(CommitRecord, i64)> =
            changes.into_iter().map(|c| record_of(c, owner, attempt, step_no)).collect::<Result<_>>()?;
        // All or none: a record alone would let recovery end the step without the other tables' rows.
        let records = self.meta().put_commit_records(&announced).await?;
        failpoint::hit("commit.after_record");
        let last = records.len().saturating_sub(1);
        for (i, record) in records.iter().enumerate() {
            self.roll_forward(record, if i == last { step } else { &Step::None }).await?;
        }
        Ok(())
    }

    /// Steps 3 to 5 for one record.
    pub(crate) async fn roll_forward(&self, record: &CommitRecord, step: &Step) -> Result<()> {
        let intent: Intent = serde_json::from_str(&record.actions).map_err(|e| {
            Error::new(Kind::Corrupt, "InternalServerError", format!("commit record {}: {e}", record.id))
        })?;
        let Some(table) = self.meta().table_by_id(&record.table_id).await? else {
            return self.meta().abandon_commit(&record.id).await;
        };
        let entry = self.entry(&table.id);
        let _guard = entry.lock.lock().await;
        let snapshot = match self.drive(&table, record, &intent).await? {
            Driven::Done(snapshot) => snapshot,
            Driven::Conflict => {
                self.meta().abandon_commit(&record.id).await?;
                let text = format!("table {}.{} was changed while this statement ran", table.project, table.name);
                let text = format!("ODPS-0110061:[0,0] Failed to run ddltask - {text}; run it again");
                return Err(Error::new(Kind::Conflict, "ODPS-0110061", text));
            }
        };
        failpoint::hit("commit.after_log");
        self.settle(&table, record, &intent, &snapshot, step).await?;
        failpoint::hit("commit.after_settle");
        Ok(())
    }

    /// Step 3: the log.
    async fn drive(&self, table: &Table, record: &CommitRecord, intent: &Intent) -> Result<Driven> {
        let log = self.log(table);
        loop {
            let snapshot = self.newest(table).await?;
            if log.txn_version(&snapshot, &record.owner).await?.is_some_and(|v| v >= record.step) {
                return Ok(Driven::Done(snapshot));
            }
            if intent.unchanged && snapshot.version != record.read_version {
                return Ok(Driven::Conflict);
            }
            let commit = commit_of(table, record, intent, &snapshot);
            failpoint::hit("commit.before_log");
            if !log.put(snapshot.version + 1, &commit).await? {
                continue;
            }
            let next = Arc::new(log.apply(&snapshot, &commit.to_bytes())?);
            self.remember(&self.entry(&table.id), &next);
            if next.version % CHECKPOINT_INTERVAL == 0
                && let Err(e) = log.checkpoint(next.version).await
            {
                tracing::warn!(table = %table.id, version = next.version, error = ?e, "no checkpoint");
            }
            return Ok(Driven::Done(next));
        }
    }

    /// Steps 4 and 5: partition rows, the record and the owner, in one transaction.
    async fn settle(
        &self,
        table: &Table,
        record: &CommitRecord,
        intent: &Intent,
        snapshot: &Arc<Snapshot>,
        step: &Step,
    ) -> Result<()> {
        let only = touched_specs(table, intent, snapshot);
        let changes = partition_rows(table, snapshot, Some(&only));
        let created = created_rows(table, intent);
        let (version, modified) = (snapshot.version, snapshot.timestamp_ms);
        let meta = self.meta();
        match &intent.schema {
            None => {
                let (id, drop) = (&record.id, &intent.drop);
                meta.finish_commit(id, &table.id, version, &changes, drop, &created, modified, step).await
            }
            Some(schema) => {
                let mut row = table.clone();
                row.schema = schema.clone();
                row.schema_version += 1;
                row.ddl_ms = modified;
                row.log_version = version;
                row.modified_ms = modified;
                let (id, before, drop) = (&record.id, table.schema_version, &intent.drop);
                meta.finish_schema_commit(id, &row, before, version, &changes, drop, &created, modified, step).await
            }
        }
    }
}

fn record_of(change: Change, owner: &str, attempt: i64, step_no: i64) -> Result<(CommitRecord, i64)> {
    let intent = Intent {
        files: change.files,
        replace: change.replace,
        create: change.create_partitions,
        drop: change.drop_partitions,
        unchanged: change.must_be_unchanged,
        schema: change.new_schema,
    };
    let actions = serde_json::to_string(&intent).map_err(|e| Error::internal(e.to_string()))?;
    let record = CommitRecord {
        id: id::ulid(),
        owner: owner.to_string(),
        step: step_no,
        attempt,
        table_id: change.table.id,
        read_version: change.read_version,
        actions,
        created_ms: clock::now_ms(),
    };
    Ok((record, change.table.schema_version))
}

fn commit_of(table: &Table, record: &CommitRecord, intent: &Intent, snapshot: &Snapshot) -> Commit {
    let goes = |f: &&Arc<DataFile>| match &intent.replace {
        Replace::Table => true,
        Replace::Nothing => intent.drop.contains(&snapshot.spec_of(f)),
        Replace::Partitions(specs) => {
            let spec = snapshot.spec_of(f);
            specs.contains(&spec) || intent.drop.contains(&spec)
        }
    };
    let nothing_goes = intent.replace == Replace::Nothing && intent.drop.is_empty();
    let remove = if nothing_goes { Vec::new() } else { snapshot.files().iter().filter(goes).cloned().collect() };
    Commit {
        operation: if intent.replace == Replace::Nothing { "WRITE" } else { "OVERWRITE" },
        timestamp_ms: clock::tick_ms(),
        txn: Some((record.owner.clone(), record.step)),
        metadata: intent.schema.as_ref().map(|s| metadata_action(table, s, true)),
        add: intent.files.iter().cloned().map(Arc::new).collect(),
        remove,
        partition_columns: snapshot.partition_columns.clone(),
    }
}

fn touched_specs(table: &Table, intent: &Intent, snapshot: &Snapshot) -> BTreeSet<String> {
    let mut specs: BTreeSet<String> = intent.files.iter().map(|f| snapshot.spec_of(f)).collect();
    match &intent.replace {
        Replace::Nothing => {}
        Replace::Partitions(replaced) => specs.extend(replaced.iter().cloned()),
        Replace::Table if table.schema.is_partitioned() => specs.extend(partition_specs(snapshot)),
        Replace::Table => {
            specs.insert(String::new());
        }
    }
    specs.retain(|s| !intent.drop.contains(s));
    specs
}

fn partition_specs(snapshot: &Snapshot) -> impl Iterator<Item = String> + '_ {
    snapshot.files().iter().map(|f| snapshot.spec_of(f))
}

fn created_rows(table: &Table, intent: &Intent) -> Vec<Partition> {
    let now = clock::tick_ms();
    let spec = |values: &[String]| {
        let pairs = table.schema.partition_columns.iter().zip(values).map(|(c, v)| format!("{}={v}", c.name));
        pairs.collect::<Vec<_>>().join("/")
    };
    let row = |values: &Vec<String>| Partition {
        table_id: table.id.clone(),
        spec: spec(values),
        values: values.clone(),
        created_ms: now,
        ddl_ms: now,
        modified_ms: now,
        num_rows: 0,
        num_bytes: 0,
        num_files: 0,
    };
    intent.create.iter().map(row).collect()
}

/// The partition rows that `snapshot` implies: of all partitions that hold files, or exactly of those in `only`.
pub(crate) fn partition_rows(
    table: &Table,
    snapshot: &Snapshot,
    only: Option<&BTreeSet<String>>,
) -> Vec<PartitionChange> {
    let mut rows: BTreeMap<String, PartitionChange> = BTreeMap::new();
    let new_row = |spec: &str, values: Vec<String>| PartitionChange {
        spec: spec.to_string(),
        values,
        num_rows: 0,
        num_bytes: 0,
        num_files: 0,
        modified_ms: snapshot.timestamp_ms,
    };
    for spec in only.into_iter().flatten() {
        let values = spec.split('/').filter_map(|p| p.split_once('=')).map(|(_, v)| v.to_string()).collect();
        rows.insert(spec.clone(), new_row(spec, values));
    }
    if only.is_none() && !table.schema.is_partitioned() {
        rows.insert(String::new(), new_row("", Vec::new()));
    }
    for file in snapshot.files() {
        let spec = snapshot.spec_of(file);
        if only.is_some_and(|o| !o.contains(&spec)) {
            continue;
        }
        let null = || crate::writer::NULL_PARTITION.to_string();
        let row = rows.entry(spec.clone()).or_insert_with(|| {
            new_row(&spec, file.partition_values.iter().map(|v| v.clone().unwrap_or_else(null)).collect())
        });
        row.num_rows += file.num_rows.max(0);
        row.num_bytes += file.num_bytes;
        row.num_files += 1;
    }
    rows.into_values().collect()
}
