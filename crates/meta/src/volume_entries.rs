//! What is in volumes: files, each naming its content, and directories or partitions.
//!
//! A path is that within its volume, `dir/file`; the volume itself is the empty one. Every directory of a path has a row of
//! its own. Sessions of the tunnel keep rows here too, under their own id: what they write, and what they read.

use feitian_base::{Error, Kind, Result};
use sqlx::any::AnyRow;
use sqlx::query;

use crate::cells::{Cells, all, one};
use crate::db::Meta;
use crate::fault::{Fault, conflict, not_found};
use crate::range;
use crate::tx::Tx;
use crate::volumes::{hold_volume, touch_volume};

/// The longest path: an index of PostgreSQL holds about 2,700 bytes.
pub const MAX_VOLUME_PATH_BYTES: usize = 2048;

/// Something in a volume.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VolumeEntry {
    /// The id of the volume, or of the session that writes or reads the file.
    pub volume_id: String,
    /// The path of the directory or partition that it is in.
    pub parent: String,
    /// Without a slash, but for files of partitions.
    pub name: String,
    pub is_dir: bool,
    pub num_bytes: i64,
    /// How many copies a client asked for. Nothing makes them.
    pub replication: i64,
    pub owner: String,
    /// The content's file below the data root; empty for directories, and in sessions that are over.
    pub object: String,
    pub created_ms: i64,
    pub modified_ms: i64,
}

/// The directory and the name of a path.
pub fn split_volume_path(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

macro_rules! entry_columns {
    () => {
        "volume_id, parent, name, is_dir, num_bytes, replication, owner, object, created_ms, modified_ms"
    };
}
pub(crate) use entry_columns;

pub(crate) fn read_entry(row: &AnyRow) -> Result<VolumeEntry, Fault> {
    let mut c = Cells::new(row);
    Ok(VolumeEntry {
        volume_id: c.text()?,
        parent: c.text()?,
        name: c.text()?,
        is_dir: c.flag()?,
        num_bytes: c.int()?,
        replication: c.int()?,
        owner: c.text()?,
        object: c.text()?,
        created_ms: c.int()?,
        modified_ms: c.int()?,
    })
}

const BY_NAME: &str =
    concat!("SELECT ", entry_columns!(), " FROM volume_entries WHERE volume_id = $1 AND parent = $2 AND name = $3");

/// The query of [`Meta::list_volume_entries`].
pub(crate) const LIST: &str = concat!(
    "SELECT ",
    entry_columns!(),
    " FROM volume_entries WHERE volume_id = $1 AND parent = $2 AND name >= $3 AND name < $4 ",
    "AND ($5 IS NULL OR owner = $5) ORDER BY name LIMIT $6"
);

pub(crate) fn no_such_path(path: &str) -> Error {
    not_found("NoSuchObject", format!("Volume path not found - '{path}'"))
}

fn taken(path: &str) -> Error {
    conflict("ObjectAlreadyExists", format!("'{path}' exists already in the volume"))
}

fn invalid(message: String) -> Error {
    Error::new(Kind::Invalid, "InvalidParameter", message)
}

/// The entry of this path, as the transaction sees it.
pub(crate) async fn entry_at(tx: &mut Tx, volume_id: &str, path: &str) -> Result<Option<VolumeEntry>, Fault> {
    let (parent, name) = split_volume_path(path);
    one(query(BY_NAME).bind(volume_id).bind(parent).bind(name).fetch_optional(tx.conn()).await?, read_entry)
}

/// Adds an entry, or puts it over the file of that name, whose creation time stays.
pub(crate) async fn put_entry(tx: &mut Tx, entry: &VolumeEntry) -> Result<(), Fault> {
    let sql = concat!(
        "INSERT INTO volume_entries (",
        entry_columns!(),
        ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (volume_id, parent, name) DO UPDATE SET ",
        "num_bytes = excluded.num_bytes, replication = excluded.replication, owner = excluded.owner, ",
        "object = excluded.object, modified_ms = excluded.modified_ms"
    );
    query(sql)
        .bind(&entry.volume_id)
        .bind(&entry.parent)
        .bind(&entry.name)
        .bind(i64::from(entry.is_dir))
        .bind(entry.num_bytes)
        .bind(entry.replication)
        .bind(&entry.owner)
        .bind(&entry.object)
        .bind(entry.created_ms)
        .bind(entry.modified_ms)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Makes the directory `path` and every one that it is in, as far as they are missing.
pub(crate) async fn make_dirs(tx: &mut Tx, volume_id: &str, path: &str, owner: &str, now_ms: i64) -> Result<(), Fault> {
    let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
    let mut missing = Vec::new();
    // From the innermost outwards, since most are there.
    for end in ends.collect::<Vec<_>>().into_iter().rev().filter(|end| *end > 0) {
        match entry_at(tx, volume_id, &path[..end]).await? {
            Some(entry) if entry.is_dir => break,
            Some(_) => return Err(invalid(format!("'{}' is a file, nothing can be in it", &path[..end])).into()),
            None => missing.push(end),
        }
    }
    for end in missing {
        let (parent, name) = split_volume_path(&path[..end]);
        let dir = VolumeEntry {
            volume_id: volume_id.to_string(),
            parent: parent.to_string(),
            name: name.to_string(),
            is_dir: true,
            owner: owner.to_string(),
            created_ms: now_ms,
            modified_ms: now_ms,
            ..VolumeEntry::default()
        };
        put_entry(tx, &dir).await?;
    }
    Ok(())
}

/// What lies somewhere below a directory has a parent between these.
fn below(path: &str) -> (String, String) {
    let inside = format!("{path}/");
    let end = range::end_of(&inside);
    (inside, end)
}

async fn is_empty(tx: &mut Tx, volume_id: &str, path: &str) -> Result<bool, Fault> {
    let sql = "SELECT name FROM volume_entries WHERE volume_id = $1 AND parent = $2 LIMIT 1";
    Ok(query(sql).bind(volume_id).bind(path).fetch_optional(tx.conn()).await?.is_none())
}

/// Takes an entry away with everything in it.
async fn remove(tx: &mut Tx, entry: &VolumeEntry, path: &str) -> Result<(), Fault> {
    if entry.is_dir {
        let (low, high) = below(path);
        let sql = "DELETE FROM volume_entries WHERE volume_id = $1 AND parent >= $2 AND parent < $3";
        query(sql).bind(&entry.volume_id).bind(low).bind(high).execute(tx.conn()).await?;
        let sql = "DELETE FROM volume_entries WHERE volume_id = $1 AND parent = $2";
        query(sql).bind(&entry.volume_id).bind(path).execute(tx.conn()).await?;
    }
    let sql = "DELETE FROM volume_entries WHERE volume_id = $1 AND parent = $2 AND name = $3";
    query(sql).bind(&entry.volume_id).bind(&entry.parent).bind(&entry.name).execute(tx.conn()).await?;
    Ok(())
}

/// Refuses to move a directory to where a path in it would be too long.
async fn check_lengths(tx: &mut Tx, volume_id: &str, from: &str, to: &str) -> Result<(), Fault> {
    let (low, high) = below(from);
    let sql = "SELECT COALESCE(MAX(CAST(octet_length(parent) AS BIGINT) + CAST(octet_length(name) AS BIGINT)), 0) \
               FROM volume_entries WHERE volume_id = $1 AND (parent = $2 OR (parent >= $3 AND parent < $4))";
    let row = query(sql).bind(volume_id).bind(from).bind(low).bind(high).fetch_one(tx.conn()).await?;
    // One slash is between parent and name.
    let longest = Cells::new(&row).int()? + 1 - from.len() as i64 + to.len() as i64;
    if longest > MAX_VOLUME_PATH_BYTES as i64 {
        let message = format!("a path below '{to}' would have {longest} bytes, more than {MAX_VOLUME_PATH_BYTES}");
        return Err(invalid(message).into());
    }
    Ok(())
}

/// Gives an entry, with everything in it, another path.
async fn rename(tx: &mut Tx, entry: &VolumeEntry, from: &str, to: &str) -> Result<(), Fault> {
    let volume_id = &entry.volume_id;
    let (parent, name) = split_volume_path(to);
    if entry_at(tx, volume_id, to).await?.is_some() {
        return Err(taken(to).into());
    }
    if to.strip_prefix(from).is_some_and(|rest| rest.starts_with('/')) {
        return Err(invalid(format!("'{from}' cannot be moved into itself, to '{to}'")).into());
    }
    if !parent.is_empty() && !entry_at(tx, volume_id, parent).await?.is_some_and(|p| p.is_dir) {
        return Err(no_such_path(parent).into());
    }
    if entry.is_dir {
        check_lengths(tx, volume_id, from, to).await?;
        let (low, high) = below(from);
        // Both databases count characters, from 1.
        let sql = "UPDATE volume_entries SET parent = $2 || substr(parent, CAST($3 AS INTEGER)) \
                   WHERE volume_id = $1 AND (parent = $4 OR (parent >= $5 AND parent < $6))";
        let rest = from.chars().count() as i64 + 1;
        query(sql).bind(volume_id).bind(to).bind(rest).bind(from).bind(low).bind(high).execute(tx.conn()).await?;
    }
    let sql = "UPDATE volume_entries SET parent = $4, name = $5 WHERE volume_id = $1 AND parent = $2 AND name = $3";
    query(sql).bind(volume_id).bind(&entry.parent).bind(&entry.name).bind(parent).bind(name).execute(tx.conn()).await?;
    Ok(())
}

impl Meta {
    /// The entry of this name in a directory or partition.
    pub async fn volume_entry(&self, volume_id: &str, parent: &str, name: &str) -> Result<Option<VolumeEntry>> {
        let row = query(BY_NAME).bind(volume_id).bind(parent).bind(name).fetch_optional(self.reader()).await;
        Ok(one(row.map_err(Fault::from)?, read_entry)?)
    }

    /// At most `limit` entries of a directory or partition whose names begin with `prefix` and come after `after`, by name,
    /// of one owner or all.
    pub async fn list_volume_entries(
        &self,
        (volume_id, parent): (&str, &str),
        (prefix, owner): (&str, Option<&str>),
        after: Option<&str>,
        limit: i64,
    ) -> Result<Vec<VolumeEntry>> {
        let (low, high) = range::page(prefix, after);
        let rows = query(LIST)
            .bind(volume_id)
            .bind(parent)
            .bind(low)
            .bind(high)
            .bind(owner)
            .bind(limit.max(0))
            .fetch_all(self.reader())
            .await
            .map_err(Fault::from)?;
        Ok(all(&rows, read_entry)?)
    }

    /// How many files a volume has, or one of its partitions, and their bytes.
    pub async fn volume_size(&self, volume_id: &str, partition: Option<&str>) -> Result<(i64, i64)> {
        let sql = "SELECT COUNT(*), CAST(COALESCE(SUM(num_bytes), 0) AS BIGINT) FROM volume_entries \
                   WHERE volume_id = $1 AND is_dir = 0 AND ($2 IS NULL OR parent = $2)";
        let row = query(sql).bind(volume_id).bind(partition).fetch_one(self.reader()).await.map_err(Fault::from)?;
        let mut c = Cells::new(&row);
        Ok((c.int()?, c.int()?))
    }

    /// Makes a directory and those that it is in; nothing happens when it is there. `Conflict` `ObjectAlreadyExists` when a
    /// file has that path, `Invalid` when one would have to hold it.
    pub async fn make_volume_dir(&self, volume_id: &str, path: &str, owner: &str, now_ms: i64) -> Result<()> {
        write_tx!(self, |tx| {
            hold_volume(&mut tx, volume_id).await?;
            match entry_at(&mut tx, volume_id, path).await? {
                Some(entry) if entry.is_dir => return Ok(()),
                Some(_) => return Err(taken(path).into()),
                None => {}
            }
            make_dirs(&mut tx, volume_id, path, owner, now_ms).await?;
            touch_volume(&mut tx, volume_id, now_ms).await
        })
    }

    /// Moves an entry to another path, notes how many copies a client wants, or both. `NotFound` without the entry or the
    /// directory to move to, `Conflict` `ObjectAlreadyExists` when there is something at the new path.
    pub async fn change_volume_entry(
        &self,
        volume_id: &str,
        from: &str,
        to: Option<&str>,
        replication: Option<i64>,
        now_ms: i64,
    ) -> Result<()> {
        write_tx!(self, |tx| {
            hold_volume(&mut tx, volume_id).await?;
            let entry = entry_at(&mut tx, volume_id, from).await?.ok_or_else(|| no_such_path(from))?;
            if let Some(replication) = replication {
                if entry.is_dir {
                    return Err(invalid(format!("'{from}' is a directory; copies are of files")).into());
                }
                let sql = "UPDATE volume_entries SET replication = $4 \
                           WHERE volume_id = $1 AND parent = $2 AND name = $3";
                let change = query(sql).bind(volume_id).bind(&entry.parent).bind(&entry.name).bind(replication);
                change.execute(tx.conn()).await?;
            }
            if let Some(to) = to.filter(|to| *to != from) {
                rename(&mut tx, &entry, from, to).await?;
            }
            touch_volume(&mut tx, volume_id, now_ms).await
        })
    }

    /// Removes a file, or a directory or partition with everything in it; contents are collected later. `NotFound` without
    /// it, `Invalid` for a directory that holds something unless `recursive`.
    pub async fn remove_volume_entry(&self, volume_id: &str, path: &str, recursive: bool, now_ms: i64) -> Result<()> {
        write_tx!(self, |tx| {
            hold_volume(&mut tx, volume_id).await?;
            let entry = entry_at(&mut tx, volume_id, path).await?.ok_or_else(|| no_such_path(path))?;
            if entry.is_dir && !recursive && !is_empty(&mut tx, volume_id, path).await? {
                let message = format!("directory '{path}' is not empty; delete it with recursive=true");
                return Err(invalid(message).into());
            }
            remove(&mut tx, &entry, path).await?;
            touch_volume(&mut tx, volume_id, now_ms).await
        })
    }

    /// Every content that somebody names, with its bytes: for checks and collection.
    pub async fn all_volume_contents(&self) -> Result<Vec<(String, i64)>> {
        let sql = "SELECT object, num_bytes FROM volume_entries WHERE object <> ''";
        let rows = query(sql).fetch_all(self.reader()).await.map_err(Fault::from)?;
        Ok(all(&rows, |row| {
            let mut c = Cells::new(row);
            Ok((c.text()?, c.int()?))
        })?)
    }
}
