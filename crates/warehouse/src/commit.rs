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
//!
//! A record that only joins files ([`Replace::Files`]) is carried out if the newest version still has all of them, and else
//! given up: its files then have other rows than the table. So is one that describes files anew ([`Replace::Described`]),
//! which would bring back those that have gone.
//!
//! So it is with a record that changes rows of files ([`Replace::Rows`]): what it wrote was made of those files.
//!
//! A change that read its table is refused when others have changed the table since ([`Change::must_be_unchanged`]). One
//! that only takes and exchanges rows may come before appends that looked at nothing ([`Change::spares_appends`]): the
//! result is that of running it before them. Whether an append is such a one is in its version of the log.
//!
//! No record is carried out when the columns have changed since it was put: its files are of the old ones.
//!
//! A record that is given up takes those with it that its statement put for other tables, as far as no log has them: carried
//! out alone they would end the statement without the rows of this table.

mod partitions;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use feitian_base::{Error, Kind, Result, clock, failpoint, id};
use feitian_meta::rows::{CommitRecord, Step, Table};
use feitian_types::TableSchema;
use object_store::ObjectStoreExt;
use serde::{Deserialize, Serialize};

pub(crate) use self::partitions::partition_rows;
use self::partitions::{created_rows, touched_specs};
use crate::catalog::{Catalog, metadata_action};
use crate::log::{Commit, DeltaLog, Snapshot, store_error};
use crate::writer::{NULL_PARTITION, NewFile, object_path};

/// Which of the table's present files go when the new ones come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub enum Replace {
    #[default]
    Nothing,
    Table,
    /// Canonical partition specs.
    Partitions(Vec<String>),
    /// The files with these paths, whose rows, and no others, the new files hold in the same order: no row changes.
    ///
    /// A way of replacing of its own, so that a feitian that does not know it cannot take such a record for an append.
    Files(Vec<String>),
    /// Nothing: the files come again with other statistics, and these are their paths. No row changes.
    Described(Vec<String>),
    /// The files with these paths, of which rows have changed or gone; the rows that stay are in the new files.
    Rows {
        by: RowsBy,
        paths: Vec<String>,
        partitions: Vec<String>,
    },
}

/// The statement that changes rows of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RowsBy {
    Update,
    Delete,
    Merge,
}

impl RowsBy {
    /// The statement's word, which is Delta's name of the operation, too.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Merge => "MERGE",
        }
    }
}

/// A change of one table's rows, columns or partitions.
#[derive(Debug, Clone)]
pub struct Change {
    pub table: Table,
    /// The version that the statement read; matters only with `must_be_unchanged`.
    pub read_version: i64,
    /// The versions of other tables that it read, by the ids of these. The log tells them.
    pub reads: BTreeMap<String, i64>,
    pub files: Vec<NewFile>,
    pub replace: Replace,
    /// Values of partitions that exist afterwards even if they are empty.
    pub create_partitions: Vec<Vec<String>>,
    /// Specs of partitions that go, with their files.
    pub drop_partitions: Vec<String>,
    /// The statement also read this table: refuse if it has a newer version than `read_version`.
    pub must_be_unchanged: bool,
    /// With `must_be_unchanged`: appends of those who did not read the table do not count.
    pub spares_appends: bool,
    /// Whether the same statement changes other tables too, or did when it ran before; [`Catalog::commit`] sets it for
    /// changes that come together.
    pub among_others: bool,
    /// The columns afterwards, when they change.
    pub new_schema: Option<TableSchema>,
}

impl Change {
    /// An append of `files` to `table`.
    pub fn append(table: Table, files: Vec<NewFile>) -> Self {
        Self {
            read_version: table.log_version,
            reads: BTreeMap::new(),
            table,
            files,
            replace: Replace::Nothing,
            create_partitions: Vec::new(),
            drop_partitions: Vec::new(),
            must_be_unchanged: false,
            spares_appends: false,
            among_others: false,
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
    #[serde(default)]
    reads: BTreeMap<String, i64>,
    #[serde(default)]
    spares_appends: bool,
    /// Whether its statement changes other tables too.
    #[serde(default)]
    among_others: bool,
    schema: Option<TableSchema>,
    /// The schema version of the table that the files are for. Records of the first feitian do not tell.
    #[serde(default)]
    schema_version: Option<i64>,
}

impl Intent {
    /// Whether files are joined or described anew, and that is all that it does.
    fn keeps_rows(&self) -> bool {
        matches!(self.replace, Replace::Files(_) | Replace::Described(_))
    }

    /// The paths of the files that must be there, because the new ones hold rows of them.
    fn needed(&self) -> Option<&[String]> {
        match &self.replace {
            Replace::Files(paths) | Replace::Described(paths) | Replace::Rows { paths, .. } => Some(paths),
            _ => None,
        }
    }

    /// Whether others have changed what the statement read at `read_version`. Versions that only joined files have changed
    /// nothing that a statement could have read.
    fn is_outdated(&self, snapshot: &Snapshot, read_version: i64) -> bool {
        let changed = if self.spares_appends { snapshot.rewritten_version } else { snapshot.data_version };
        self.unchanged && changed > read_version
    }

    /// Rows come, and nobody has looked at what is there.
    fn is_blind_append(&self) -> bool {
        self.replace == Replace::Nothing && !self.unchanged && self.drop.is_empty() && self.schema.is_none()
    }
}

/// Tables are looked at for small files when they have grown by so many versions.
const JOIN_INTERVAL: i64 = 32;

/// What the text of a record holds that leaves the columns as they are. Inside of a text its quotes would be escaped.
const NO_SCHEMA: &str = r#""schema":null"#;
/// The same of one that is not alone.
const AMONG_OTHERS: &str = r#""among_others":true"#;

enum Driven {
    /// The newest snapshot, which holds the change.
    Done(Arc<Snapshot>),
    Conflict,
    OtherColumns,
}

impl Catalog {
    /// Makes `changes` visible, each table's at once, and advances `step` with the last one.
    ///
    /// `owner` and `step_no` identify the change for ever: a repeated call with the same pair adds nothing. `attempt` is
    /// the instance's attempt, 0 for sessions.
    ///
    /// # Errors
    /// - `ODPS-0110061` (`Conflict`): a table that had to be unchanged is not; run the statement again.
    /// - `SchemaModified`, `NoSuchTable`: the table is not what it was when the work began.
    ///
    /// That table and those of the changes after it were not changed. What those before it got they do not get again when
    /// the statement runs again.
    pub async fn commit(
        &self,
        changes: Vec<Change>,
        owner: &str,
        attempt: i64,
        step_no: i64,
        step: &Step,
    ) -> Result<()> {
        failpoint::hit("commit.before_record");
        let among_others = changes.len() > 1 || changes.iter().any(|c| c.among_others);
        let one = |c| record_of(Change { among_others, ..c }, owner, attempt, step_no);
        let announced: Vec<(CommitRecord, i64)> = changes.into_iter().map(one).collect::<Result<_>>()?;
        // All or none: a record alone would let recovery end the step without the other tables' rows.
        let records = self.meta().put_commit_records(&announced).await?;
        failpoint::hit("commit.after_record");
        let last = records.len().saturating_sub(1);
        for (i, record) in records.iter().enumerate() {
            self.roll_forward(record, if i == last { step } else { &Step::None }).await?;
        }
        Ok(())
    }

    /// Carries out a record that its writer may have left, and advances its owner. Safe at any time and by any process: the
    /// log's `txn` decides.
    pub(crate) async fn carry_out(&self, record: &CommitRecord) -> Result<()> {
        let open = self.meta().commit_records_of(&record.owner).await?;
        if !open.iter().any(|r| r.id == record.id) {
            // Somebody has ended it since it was found, or given it up with another one of its statement.
            return Ok(());
        }
        let step = self.step_of(record, open.len() == 1).await?;
        self.roll_forward(record, &step).await
    }

    /// Who advances with a record that its writer did not finish: nobody while the statement has others.
    async fn step_of(&self, record: &CommitRecord, is_last: bool) -> Result<Step> {
        Ok(match record.attempt {
            _ if !is_last => Step::None,
            0 if self.meta().session(&record.owner).await?.is_some() => Step::Session { id: record.owner.clone() },
            0 => Step::None,
            attempt => Step::Instance { id: record.owner.clone(), attempt, step: record.step },
        })
    }

    /// Steps 3 to 5 for one record. When it cannot be carried out, nor are the others of its statement that are in no log.
    pub(crate) async fn roll_forward(&self, record: &CommitRecord, step: &Step) -> Result<()> {
        match self.forward(record, step).await? {
            None => Ok(()),
            Some(refusal) => {
                self.give_up(record).await?;
                Err(refusal)
            }
        }
    }

    /// Takes a record back, and what its statement announced for other tables. Those that a log has are ended first, and
    /// advance nobody: while this record is there, nobody else takes the statement for ended.
    async fn give_up(&self, record: &CommitRecord) -> Result<()> {
        let open = self.meta().commit_records_of(&record.owner).await?;
        let mut gone = vec![record.id.as_str()];
        for other in &open {
            if other.step != record.step || other.id == record.id {
                continue;
            }
            let is_in_log = match self.meta().table_by_id(&other.table_id).await? {
                Some(table) => {
                    let snapshot = self.newest(&table).await?;
                    self.is_done(&self.log(&table), &snapshot, other).await?
                }
                None => false,
            };
            if !is_in_log || self.forward(other, &Step::None).await?.is_some() {
                gone.push(&other.id);
            }
        }
        self.meta().abandon_commits(&gone).await
    }

    /// Steps 3 to 5 for one record, or why it cannot be carried out: then it is still there.
    async fn forward(&self, record: &CommitRecord, step: &Step) -> Result<Option<Error>> {
        let intent: Intent = serde_json::from_str(&record.actions).map_err(|e| {
            Error::new(Kind::Corrupt, "InternalServerError", format!("commit record {}: {e}", record.id))
        })?;
        let entry = self.entry(&record.table_id);
        let _guard = entry.lock.lock().await;
        // Read under the lock: a commit of this process that changes the columns has ended.
        let Some(table) = self.meta().table_by_id(&record.table_id).await? else {
            self.meta().abandon_commit(&record.id).await?;
            return Ok(None);
        };
        let name = || format!("{}.{}", table.project, table.local_name());
        let (code, text) = match self.drive(&table, record, &intent).await? {
            Driven::Done(snapshot) => {
                self.end(&table, record, &intent, &snapshot, step).await?;
                return Ok(None);
            }
            Driven::Conflict => {
                let text = format!("table {} was changed while this statement ran; run it again", name());
                ("ODPS-0110061", format!("ODPS-0110061:[0,0] Failed to run ddltask - {text}"))
            }
            Driven::OtherColumns => {
                ("SchemaModified", format!("the columns of table {} have changed; read its schema again", name()))
            }
        };
        Ok(Some(Error::new(Kind::Conflict, code, text)))
    }

    /// Steps 4 and 5.
    async fn end(
        &self,
        table: &Table,
        record: &CommitRecord,
        intent: &Intent,
        snapshot: &Arc<Snapshot>,
        step: &Step,
    ) -> Result<()> {
        failpoint::hit("commit.after_log");
        self.settle(table, record, intent, snapshot, step).await?;
        failpoint::hit("commit.after_settle");
        Ok(())
    }

    /// Step 3: the log.
    async fn drive(&self, table: &Table, record: &CommitRecord, intent: &Intent) -> Result<Driven> {
        let log = self.log(table);
        loop {
            let snapshot = self.newest(table).await?;
            if self.is_done(&log, &snapshot, record).await? {
                // Whoever put it may have died before it was durable, and the success that follows says that it is.
                log.sync_names().await?;
                return Ok(Driven::Done(snapshot));
            }
            let is_outdated = intent.is_outdated(&snapshot, record.read_version);
            if is_outdated || !self.has_needed(table, intent, &snapshot).await? {
                return Ok(Driven::Conflict);
            }
            if self.has_other_columns(table, record, intent, &snapshot).await? {
                return Ok(Driven::OtherColumns);
            }
            let commit = commit_of(table, record, intent, &snapshot);
            failpoint::hit("commit.before_log");
            if !put(&log, &snapshot, &commit, record).await? {
                continue;
            }
            let next = Arc::new(log.apply(&snapshot, &commit.to_bytes())?);
            self.remember(&self.entry(&table.id), &next);
            self.checkpoint_if_due(table, &next, commit.add.len() + commit.remove.len());
            if next.version % JOIN_INTERVAL == 0 && !intent.keeps_rows() {
                self.joins().ask(&table.id);
            }
            return Ok(Driven::Done(next));
        }
    }

    /// Whether the log has the change already.
    async fn is_done(&self, log: &DeltaLog, snapshot: &Snapshot, record: &CommitRecord) -> Result<bool> {
        // A statement for several tables begins again while some have it already, and reads versions that do.
        let after = if record.actions.contains(AMONG_OTHERS) { -1 } else { record.read_version };
        let txn = log.txn_version(snapshot, &record.owner, after).await?;
        if txn.is_some_and(|v| v >= record.step) {
            return Ok(true);
        }
        if snapshot.knows_txns_after(after) {
            return Ok(false);
        }
        // The log forgets a `txn` after days. Whoever slept for so long finds that somebody else has ended the commit.
        let open = self.meta().commit_records_of(&record.owner).await?;
        Ok(!open.iter().any(|r| r.id == record.id))
    }

    /// Whether the columns are not those that the files of `record` were written for: in the metadata, or already in the
    /// log by a commit that somebody has not ended.
    async fn has_other_columns(
        &self,
        table: &Table,
        record: &CommitRecord,
        intent: &Intent,
        snapshot: &Snapshot,
    ) -> Result<bool> {
        // The records before the row: a change that ends between the two looks is seen by the second.
        if self.changing_columns(table, snapshot, Some(record)).await?.is_some() {
            return Ok(true);
        }
        let Some(now) = self.meta().table_by_id(&record.table_id).await? else { return Ok(true) };
        Ok(intent.schema_version.is_some_and(|v| v != now.schema_version))
    }

    /// The record of a commit, other than `but`, whose columns `snapshot` has and that is not ended: the table's row has
    /// older ones.
    pub(crate) async fn changing_columns(
        &self,
        table: &Table,
        snapshot: &Snapshot,
        but: Option<&CommitRecord>,
    ) -> Result<Option<CommitRecord>> {
        let log = self.log(table);
        for other in self.meta().open_commit_records(Some(&table.id)).await? {
            let is_it = but.is_some_and(|b| b.id == other.id) || other.actions.contains(NO_SCHEMA);
            let intent = if is_it { None } else { serde_json::from_str::<Intent>(&other.actions).ok() };
            if intent.is_none_or(|i| i.schema.is_none()) {
                continue;
            }
            let there = log.txn_version(snapshot, &other.owner, other.read_version).await?;
            if there.is_some_and(|v| v >= other.step) {
                return Ok(Some(other));
            }
        }
        Ok(None)
    }

    /// Whether all files are there of a change that exchanges files, old and new. A record that lay open where an older
    /// feitian ran may have lost its new ones.
    async fn has_needed(&self, table: &Table, intent: &Intent, snapshot: &Snapshot) -> Result<bool> {
        let Some(paths) = intent.needed() else { return Ok(true) };
        if !paths.iter().all(|path| snapshot.file(path).is_some()) {
            return Ok(false);
        }
        for file in &intent.files {
            match self.store().head(&object_path(&table.location, &file.path)).await {
                Ok(_) => {}
                Err(object_store::Error::NotFound { .. }) => return Ok(false),
                Err(e) => return Err(store_error(e)),
            }
        }
        Ok(true)
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
        // A record that was left open may be ended after another commit has brought a dropped partition back.
        let is_there = |spec: &String| snapshot.files().iter().any(|f| snapshot.is_in(f, spec));
        let drop: Vec<String> = intent.drop.iter().filter(|spec| !is_there(spec)).cloned().collect();
        let only = touched_specs(table, intent, &drop, snapshot);
        let mut changes = partition_rows(table, snapshot, Some(&only));
        let created = created_rows(table, intent);
        let (version, mut modified) = (snapshot.version, snapshot.timestamp_ms);
        let meta = self.meta();
        if intent.keeps_rows() {
            // Times never go back, so the table's own leaves those of rows that are there as they are.
            changes.iter_mut().for_each(|c| c.modified_ms = table.created_ms);
            modified = table.created_ms;
        }
        match &intent.schema {
            None => {
                let id = &record.id;
                meta.finish_commit(id, &table.id, version, &changes, &drop, &created, modified, step).await
            }
            Some(schema) => {
                let mut row = table.clone();
                row.schema = schema.clone();
                row.schema_version += 1;
                row.ddl_ms = modified;
                row.log_version = version;
                row.modified_ms = modified;
                let (id, before) = (&record.id, table.schema_version);
                meta.finish_schema_commit(id, &row, before, version, &changes, &drop, &created, modified, step).await
            }
        }
    }
}

/// Adds the version after `snapshot`; `false` when the log has to be looked at again.
async fn put(log: &DeltaLog, snapshot: &Snapshot, commit: &Commit, record: &CommitRecord) -> Result<bool> {
    let version = snapshot.version + 1;
    if !log.put(version, commit).await? {
        return Ok(false);
    }
    if log.has_version(snapshot.version).await? {
        return Ok(true);
    }
    // The log begins later by now. Most likely others have gone on since, and what was put is no part of it.
    let now = log.load(None).await?;
    let there = log.txn_version(&now, &record.owner, record.read_version).await?;
    if there.is_none_or(|v| v < record.step) {
        log.take_back(version).await?;
    }
    Ok(false)
}

/// The record that announces `change`, and the schema version that its table must have.
pub(crate) fn record_of(change: Change, owner: &str, attempt: i64, step_no: i64) -> Result<(CommitRecord, i64)> {
    let intent = Intent {
        files: change.files,
        replace: change.replace,
        create: change.create_partitions,
        drop: change.drop_partitions,
        unchanged: change.must_be_unchanged,
        reads: change.reads,
        spares_appends: change.spares_appends,
        among_others: change.among_others,
        schema: change.new_schema,
        schema_version: Some(change.table.schema_version),
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
    let mut specs: HashSet<&str> = intent.drop.iter().map(String::as_str).collect();
    if let Replace::Partitions(replaced) = &intent.replace {
        specs.extend(replaced.iter().map(String::as_str));
    }
    let files = snapshot.files().iter();
    let remove = match &intent.replace {
        Replace::Files(paths) | Replace::Rows { paths, .. } => {
            paths.iter().filter_map(|p| snapshot.file(p)).cloned().collect()
        }
        Replace::Table => files.cloned().collect(),
        _ if specs.is_empty() => Vec::new(),
        _ => files.filter(|f| specs.contains(snapshot.spec_of(f).as_str())).cloned().collect(),
    };
    let operation = match &intent.replace {
        Replace::Files(_) => "OPTIMIZE",
        // The name that Delta's own statement for it has.
        Replace::Described(_) => "COMPUTE STATS",
        Replace::Nothing => "WRITE",
        Replace::Rows { by, .. } => by.word(),
        Replace::Table | Replace::Partitions(_) => "OVERWRITE",
    };
    Commit {
        operation,
        timestamp_ms: clock::tick_ms(),
        txn: Some((record.owner.clone(), record.step)),
        // Delta has no versions below 0.
        read_version: Some(record.read_version).filter(|version| *version >= 0),
        reads: intent.reads.clone(),
        metadata: intent.schema.as_ref().map(|s| metadata_action(table, s, true)),
        add: intent.files.iter().cloned().map(|f| Arc::new(with_nulls(f, table))).collect(),
        remove,
        partition_columns: snapshot.partition_columns.clone(),
        keeps_rows: intent.keeps_rows(),
        is_blind_append: intent.is_blind_append(),
    }
}

/// `file` as the log names it: NULL of a column that is no text is no text either, or other readers fail to parse it.
pub(crate) fn with_nulls(mut file: NewFile, table: &Table) -> NewFile {
    for (value, column) in file.partition_values.iter_mut().zip(&table.schema.partition_columns) {
        if !column.ty.is_text() && value.as_deref() == Some(NULL_PARTITION) {
            *value = None;
        }
    }
    file
}

#[cfg(test)]
mod tests;
