//! Which files of a directory count, and how the files of a statement come to count exactly once.
//!
//! Every file counts, of directories below it too, whose name and directories do not begin with `_` or `.`. A statement
//! adds files, and takes others away, in steps:
//!
//! 1. its files are written under hidden names that no other attempt has, and are durable;
//! 2. a *marker* is put, unless the statement has one: which of these files get which names, and which others go. From
//!    here on that holds: whoever reads finds the new files under the one name or the other, and leaves the others out;
//! 3. the files get their names,
//! 4. the others are deleted,
//! 5. the marker is written again, empty. A late attempt, or one after a crash, learns that all is done.
//!
//! Markers and hidden files stand directly in the directory of the table, whatever partitions the files are for: so one
//! marker is for all partitions of a statement, and whoever looks at some of them lists these and that one directory.
//!
//! A marker that is found is carried out from step 3, by the statement when it runs again and by whoever overwrites the
//! directory next. An attempt that finds a marker at step 2 deletes what it wrote. Empty markers, and hidden files that
//! no marker names, are there until their job has ended and `collect` comes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use feitian_base::{Error, Result, failpoint};
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};
use serde::{Deserialize, Serialize};

use super::directories::ancestors;
use super::turn::Turn;
use super::{broken, changed, shown, unreadable};
use crate::log::store_error;

/// A directory may have so many files; a list of more is nothing that one query should hold.
const MAX_FILES: usize = 100_000;
/// A marker has at most so many bytes: names of that many files.
const MAX_MARKER: u64 = 64 << 20;
/// The names of markers begin so.
const MARKER: &str = "_feitian_commit-";
/// The names of files that nobody counts yet begin so.
const NEW: &str = "_feitian_new-";
/// A marker that is carried out.
const DONE: &[u8] = b"{}";
/// While somebody changes the directory, it is listed again so often.
const LOOKS: usize = 10;

/// A file that counts.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) path: Path,
    /// The name that it is about to get.
    pub(super) or: Option<Path>,
    pub(super) num_bytes: u64,
}

/// What a statement changes.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Marker {
    /// Hidden names and those that follow, in the marker's directory.
    #[serde(default)]
    files: Vec<(String, String)>,
    /// Paths below the marker's directory.
    #[serde(default)]
    removes: Vec<String>,
}

impl Marker {
    fn is_empty(&self) -> bool {
        self.files.is_empty() && self.removes.is_empty()
    }
}

/// A directory of a bucket.
#[derive(Clone)]
pub(super) struct Directory {
    store: Arc<dyn ObjectStore>,
    dir: Path,
    /// The directories below it of which files are looked at; `None` for all.
    parts: Option<Arc<BTreeSet<Path>>>,
}

/// Paths with their sizes, as one look at the directory found them.
#[derive(Default)]
struct Listing {
    plain: BTreeMap<Path, u64>,
    new: BTreeMap<Path, u64>,
    markers: BTreeMap<Path, u64>,
}

impl Directory {
    pub(super) fn new(store: Arc<dyn ObjectStore>, dir: Path) -> Self {
        Self { store, dir, parts: None }
    }

    /// The same, in which only files of these directories are looked at.
    pub(super) fn over(self, parts: BTreeSet<Path>) -> Self {
        Self { parts: Some(Arc::new(parts)), ..self }
    }

    /// Whether files of this name are looked at.
    fn has(&self, path: &Path) -> bool {
        self.parts.as_ref().is_none_or(|parts| ancestors(path).any(|dir| parts.contains(&dir)))
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    /// The files that count, by name.
    pub(super) async fn files(&self) -> Result<Vec<Found>> {
        for _ in 0..LOOKS {
            if let Some(found) = self.found(self.stable().await?).await? {
                if found.is_empty() {
                    self.check_directories().await?;
                }
                return Ok(found);
            }
        }
        Err(self.restless())
    }

    /// Refuses files where directories are named: an empty answer would hide them.
    async fn check_directories(&self) -> Result<()> {
        let parts: Vec<&Path> = self.parts.iter().flat_map(|parts| parts.iter()).chain([&self.dir]).collect();
        for dir in parts {
            if self.store.head(dir).await.is_ok() {
                return Err(broken(dir, None, "it is a file, and LOCATION names a directory"));
            }
        }
        Ok(())
    }

    /// The files that count of those that one look found; `None` if a marker was carried out since.
    async fn found(&self, listing: Listing) -> Result<Option<Vec<Found>>> {
        let mut found: BTreeMap<Path, Found> = BTreeMap::new();
        let mut removed = BTreeSet::new();
        for (path, _) in listing.markers.iter().filter(|(_, size)| !is_carried_out(**size)) {
            let marker = self.marker(path).await?;
            if marker.is_empty() {
                return Ok(None);
            }
            for (new, name) in &marker.files {
                let (new, name) = (beside(path, new)?, beside(path, name)?);
                if listing.plain.contains_key(&name) || !self.has(&name) {
                    continue;
                }
                // Without its hidden name it has got the other since.
                let Some(num_bytes) = listing.new.get(&new).copied() else { return Ok(None) };
                found.insert(name.clone(), Found { path: new, or: Some(name), num_bytes });
            }
            for name in &marker.removes {
                removed.insert(beside(path, name)?);
            }
        }
        for (path, num_bytes) in listing.plain {
            if !removed.contains(&path) {
                found.insert(path.clone(), Found { path, or: None, num_bytes });
            }
        }
        Ok(Some(found.into_values().collect()))
    }

    /// The directory as it was at one moment. A look while files get their names could see some of them, and not even the
    /// marker: names come in no order.
    async fn stable(&self) -> Result<Listing> {
        let mut before = self.look().await?;
        for _ in 0..LOOKS {
            if before.plain.is_empty() && before.markers.is_empty() {
                return Ok(before);
            }
            let now = self.look().await?;
            // Files that nobody counts may come and go.
            if now.plain == before.plain && now.markers == before.markers {
                return Ok(now);
            }
            before = now;
        }
        Err(self.restless())
    }

    fn restless(&self) -> Error {
        changed(format!("the files of {} change all the time", shown(&self.dir)))
    }

    async fn look(&self) -> Result<Listing> {
        let (mut listing, mut count) = (Listing::default(), 0);
        let Some(parts) = &self.parts else {
            self.look_into(&self.dir, &mut listing, &mut count).await?;
            return Ok(listing);
        };
        // Markers before what they say: a file that has got its name since is found by its partition.
        let here = self.store.list_with_delimiter(Some(&self.dir)).await.map_err(|e| unreadable(&self.dir, e))?;
        for ObjectMeta { location, size, .. } in here.objects {
            let is = |prefix: &str| location.filename().is_some_and(|name| name.starts_with(prefix));
            if is(MARKER) {
                listing.markers.insert(location, size);
            } else if is(NEW) {
                listing.new.insert(location, size);
            }
        }
        for part in parts.iter() {
            self.look_into(part, &mut listing, &mut count).await?;
        }
        Ok(listing)
    }

    /// Adds what is in a directory, and in those below it.
    async fn look_into(&self, dir: &Path, listing: &mut Listing, count: &mut usize) -> Result<()> {
        let mut all = self.store.list(Some(dir));
        while let Some(ObjectMeta { location, size, .. }) = all.try_next().await.map_err(|e| unreadable(dir, e))? {
            *count += 1;
            if *count > MAX_FILES {
                return Err(broken(&self.dir, None, format!("it has more than {MAX_FILES} files")));
            }
            let Some(parts) = location.prefix_match(dir) else { continue };
            let parts: Vec<String> = parts.map(|p| p.as_ref().to_string()).collect();
            let Some((name, dirs)) = parts.split_last() else { continue };
            if dirs.iter().any(|dir| is_hidden(dir)) {
                continue;
            }
            let known = match name {
                name if name.starts_with(MARKER) => &mut listing.markers,
                name if name.starts_with(NEW) => &mut listing.new,
                name if is_hidden(name) => continue,
                _ => &mut listing.plain,
            };
            known.insert(location, size);
        }
        Ok(())
    }

    async fn marker(&self, path: &Path) -> Result<Marker> {
        let got = self.store.get(path).await.map_err(|e| unreadable(path, e))?;
        if got.meta.size > MAX_MARKER {
            return Err(broken(path, None, "it is no marker of feitian"));
        }
        let bytes = got.bytes().await.map_err(|e| unreadable(path, e))?;
        serde_json::from_slice(&bytes).map_err(|_| broken(path, None, "it is no marker of feitian"))
    }

    fn marker_of(&self, statement: &str) -> Result<Path> {
        below(&self.dir, &format!("{MARKER}{statement}"))
    }

    /// Where file number `file` of an attempt of a statement is written.
    pub(super) fn new_file(&self, statement: &str, attempt: i64, file: usize) -> Result<(String, Path)> {
        let name = format!("{NEW}{statement}-{attempt}-{file:06}");
        let path = below(&self.dir, &name)?;
        Ok((name, path))
    }

    /// Whether the statement has taken effect. What is left to do of it is done.
    pub(super) async fn is_done(&self, statement: &str) -> Result<bool> {
        let path = self.marker_of(statement)?;
        match self.store.head(&path).await {
            Ok(_) => self.carry_out(&path).await.map(|()| true),
            Err(StoreError::NotFound { .. }) => Ok(false),
            Err(e) => Err(unreadable(&path, e)),
        }
    }

    /// Steps 2 to 5: makes the files of hidden names `new`, with the directories below this one that they are for, count,
    /// in place of all others if it is their turn to be overwritten.
    pub(super) async fn publish(
        &self,
        statement: &str,
        new: Vec<(String, String)>,
        extension: &str,
        overwrite: Option<&Turn>,
    ) -> Result<()> {
        if self.is_done(statement).await? {
            // No other attempt can put a marker any more.
            return self.clean(statement, None).await;
        }
        let removes = if overwrite.is_some() { self.overwritten().await? } else { Vec::new() };
        let named = |(i, (name, part)): (usize, &(String, String))| {
            (name.clone(), format!("{part}{statement}-{i:06}.{extension}"))
        };
        let marker = Marker { files: new.iter().enumerate().map(named).collect(), removes };
        // A marker of files that are not there would hold for ever: a collection may have taken them for left ones.
        for (name, _) in &new {
            let path = below(&self.dir, name)?;
            self.store.head(&path).await.map_err(|e| unreadable(&path, e))?;
        }
        let text = match marker.is_empty() {
            true => DONE.to_vec(),
            false => serde_json::to_vec(&marker).map_err(|e| Error::internal(e.to_string()))?,
        };
        if text.len() as u64 > MAX_MARKER {
            return Err(broken(&self.dir, None, "it has too many files to be overwritten at once"));
        }
        if let Some(turn) = overwrite {
            turn.check().await?;
        }
        failpoint::hit("external.before_marker");
        let path = self.marker_of(statement)?;
        match self.store.put_opts(&path, PutPayload::from(text), PutOptions::from(PutMode::Create)).await {
            Ok(_) => {}
            // Another attempt has done it.
            Err(StoreError::AlreadyExists { .. }) => {}
            Err(e) => {
                // It may be there after all; then its files are those that count.
                if let Err(StoreError::NotFound { .. }) = self.store.head(&path).await {
                    for (name, _) in &new {
                        self.delete(&below(&self.dir, name)?).await?;
                    }
                }
                return Err(store_error(e));
            }
        }
        failpoint::hit("external.after_marker");
        self.carry_out(&path).await?;
        // No other attempt can put a marker any more.
        self.clean(statement, None).await
    }

    /// The files that are there, below this directory. Whatever others have begun is ended first, also what they begin
    /// meanwhile: of a statement that has given its files half of their names, half would go.
    async fn overwritten(&self) -> Result<Vec<String>> {
        let below = |path: Path| {
            let parts = path.prefix_match(&self.dir)?;
            Some(parts.map(|p| p.as_ref().to_string()).collect::<Vec<_>>().join("/"))
        };
        for _ in 0..LOOKS {
            let Listing { plain, markers, .. } = self.stable().await?;
            let open: Vec<Path> =
                markers.into_iter().filter(|(_, size)| !is_carried_out(*size)).map(|(path, _)| path).collect();
            if open.is_empty() {
                return Ok(plain.into_keys().filter_map(below).collect());
            }
            for path in &open {
                self.carry_out(path).await?;
            }
        }
        Err(self.restless())
    }

    /// Steps 3 to 5 of a marker. Two may do so at once.
    async fn carry_out(&self, path: &Path) -> Result<()> {
        let marker = self.marker(path).await?;
        if marker.is_empty() {
            return Ok(());
        }
        for (new, name) in &marker.files {
            let (new, name) = (beside(path, new)?, beside(path, name)?);
            match self.store.copy_if_not_exists(&new, &name).await {
                Ok(()) | Err(StoreError::AlreadyExists { .. }) => self.delete(&new).await?,
                // It has its name already.
                Err(StoreError::NotFound { .. }) => {
                    if let Err(e) = self.store.head(&name).await {
                        // Another process has done all of it since, and one has overwritten the file.
                        let is_gone = matches!(e, StoreError::NotFound { .. });
                        if is_gone && self.marker(path).await?.is_empty() {
                            return Ok(());
                        }
                        return Err(unreadable(&name, e));
                    }
                }
                Err(e) => return Err(store_error(e)),
            }
        }
        failpoint::hit("external.after_names");
        for name in &marker.removes {
            self.delete(&beside(path, name)?).await?;
        }
        failpoint::hit("external.before_end");
        let options = PutOptions::from(PutMode::Overwrite);
        self.store.put_opts(path, PutPayload::from_static(DONE), options).await.map_err(store_error)?;
        Ok(())
    }

    /// Deletes what an attempt of a statement, or all of them, have written that did not come to count.
    pub(super) async fn clean(&self, statement: &str, attempt: Option<i64>) -> Result<()> {
        let attempt = attempt.map_or_else(String::new, |attempt| format!("{attempt}-"));
        let ours = format!("{NEW}{statement}-{attempt}");
        let left = self.look().await?.new.into_keys();
        for path in left.filter(|path| path.filename().is_some_and(|name| name.starts_with(&ours))) {
            self.delete(&path).await?;
        }
        Ok(())
    }

    async fn delete(&self, path: &Path) -> Result<()> {
        match self.store.delete(path).await {
            Ok(()) | Err(StoreError::NotFound { .. }) => Ok(()),
            Err(e) => Err(store_error(e)),
        }
    }
}

/// The statement that has written a hidden file of this name, and whether the file is its marker; `None` for names that
/// no statement gives.
pub(super) fn statement_of(name: &str) -> Option<(String, bool)> {
    let (rest, is_marker) = match name.strip_prefix(MARKER) {
        Some(rest) => (rest, true),
        None => (name.strip_prefix(NEW)?, false),
    };
    let mut parts = rest.split('-');
    let (instance, index) = (parts.next()?, parts.next()?);
    let behind = if is_marker { 0 } else { 2 };
    let is_ours = !instance.is_empty() && !index.is_empty() && parts.count() == behind;
    is_ours.then(|| (format!("{instance}-{index}"), is_marker))
}

/// Whether a marker of this size says nothing any more.
pub(super) fn is_carried_out(num_bytes: u64) -> bool {
    num_bytes <= DONE.len() as u64
}

fn is_hidden(name: &str) -> bool {
    name.starts_with(['_', '.'])
}

/// `name` in the directory `dir`; a name from a file may be anything.
fn below(dir: &Path, name: &str) -> Result<Path> {
    let bad = |_| broken(dir, None, format!("'{name}' is no name of a file"));
    if name.is_empty() || name.starts_with('/') {
        return Err(broken(dir, None, "a name of a file is empty"));
    }
    Path::parse(format!("{dir}/{name}")).map_err(bad)
}

/// `name` in the directory of `marker`.
fn beside(marker: &Path, name: &str) -> Result<Path> {
    let dir = marker.as_ref().rsplit_once('/').map_or("", |(dir, _)| dir);
    below(&Path::parse(dir).map_err(|_| broken(marker, None, "it is nowhere"))?, name)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use feitian_store::LocalStore;

    use super::*;
    use crate::external::turn::first;

    const FIRST_TURN: &str = "_feitian_turn-00000000000000000000";

    fn open() -> (tempfile::TempDir, Directory) {
        let root = tempfile::tempdir().unwrap();
        let store: Arc<dyn ObjectStore> = Arc::new(LocalStore::open(root.path()).unwrap());
        (root, Directory::new(store, Path::parse("objects/demo/t").unwrap()))
    }

    async fn put(directory: &Directory, name: &str, content: &'static [u8]) {
        let path = below(&directory.dir, name).unwrap();
        directory.store.put(&path, PutPayload::from_static(content)).await.unwrap();
    }

    /// A file that an attempt of a statement has written; its name.
    async fn new_file(directory: &Directory, statement: &str, attempt: i64, file: usize) -> String {
        let (name, path) = directory.new_file(statement, attempt, file).unwrap();
        directory.store.put(&path, PutPayload::from_static(b"1\n")).await.unwrap();
        name
    }

    /// The same for the directory itself.
    async fn new_here(directory: &Directory, statement: &str, attempt: i64, file: usize) -> (String, String) {
        (new_file(directory, statement, attempt, file).await, String::new())
    }

    /// The files that count, by the names that they have or are about to get.
    async fn counted(directory: &Directory) -> Vec<String> {
        let files = directory.files().await.unwrap();
        let name = |f: Found| f.or.unwrap_or(f.path).filename().unwrap_or_default().to_string();
        files.into_iter().map(name).collect()
    }

    /// Every file that is there, hidden or not.
    async fn there(directory: &Directory) -> Vec<String> {
        let all: Vec<ObjectMeta> = directory.store.list(Some(&directory.dir)).try_collect().await.unwrap();
        all.iter().map(|m| m.location.filename().unwrap_or_default().to_string()).collect()
    }

    /// Puts the marker of a statement as step 2 does, and nothing after it.
    async fn announce(directory: &Directory, statement: &str, files: &[(&str, &str)], removes: &[&str]) {
        let own = |(a, b): &(&str, &str)| ((*a).to_string(), (*b).to_string());
        let files = files.iter().map(own).collect();
        let marker = Marker { files, removes: removes.iter().map(|r| (*r).to_string()).collect() };
        let text = serde_json::to_vec(&marker).unwrap();
        let path = directory.marker_of(statement).unwrap();
        directory.store.put(&path, PutPayload::from(text)).await.unwrap();
    }

    #[tokio::test]
    async fn what_a_marker_says_holds_before_anybody_has_carried_it_out() {
        let (_root, directory) = open();
        put(&directory, "old.csv", b"0\n").await;
        put(&directory, "_SUCCESS", b"").await;
        put(&directory, ".hidden/x.csv", b"0\n").await;
        let (a, b) = (new_file(&directory, "s-0", 1, 0).await, new_file(&directory, "s-0", 1, 1).await);
        assert_eq!(counted(&directory).await, ["old.csv"]);
        announce(&directory, "s-0", &[(a.as_str(), "s-0-0.csv"), (b.as_str(), "s-0-1.csv")], &["old.csv"]).await;
        assert_eq!(counted(&directory).await, ["s-0-0.csv", "s-0-1.csv"]);
        // Died between two names.
        let (new, name) = (below(&directory.dir, &a).unwrap(), below(&directory.dir, "s-0-0.csv").unwrap());
        directory.store.rename(&new, &name).await.unwrap();
        assert_eq!(counted(&directory).await, ["s-0-0.csv", "s-0-1.csv"]);
        assert!(directory.is_done("s-0").await.unwrap());
        assert!(!directory.is_done("s-1").await.unwrap());
        assert_eq!(counted(&directory).await, ["s-0-0.csv", "s-0-1.csv"]);
        assert_eq!(there(&directory).await, ["x.csv", "_SUCCESS", "_feitian_commit-s-0", "s-0-0.csv", "s-0-1.csv"]);
        // The name is free again for others.
        put(&directory, "old.csv", b"9\n").await;
        assert_eq!(counted(&directory).await, ["old.csv", "s-0-0.csv", "s-0-1.csv"]);
    }

    #[tokio::test]
    async fn of_two_attempts_one_takes_effect() {
        let (_root, directory) = open();
        let late = vec![new_here(&directory, "s-0", 1, 0).await, new_here(&directory, "s-0", 1, 1).await];
        let new = vec![new_here(&directory, "s-0", 2, 0).await];
        directory.publish("s-0", new, "csv", None).await.unwrap();
        assert_eq!(there(&directory).await, ["_feitian_commit-s-0", "s-0-000000.csv"]);
        directory.publish("s-0", late, "csv", Some(&first(&directory).await)).await.unwrap();
        assert_eq!(counted(&directory).await, ["s-0-000000.csv"]);
        // A marker of a file that somebody took would never be carried out.
        let gone = vec![("_feitian_new-s-2-1-000000".to_string(), String::new())];
        let gone = directory.publish("s-2", gone, "csv", None).await;
        assert_eq!(gone.unwrap_err().code(), "ODPS-0110061");
        assert!(!directory.is_done("s-2").await.unwrap());
        // A statement that failed takes its own files away and those of no other attempt.
        let other = new_file(&directory, "s-1", 2, 0).await;
        new_file(&directory, "s-1", 1, 0).await;
        new_file(&directory, "s-11", 1, 0).await;
        directory.clean("s-1", Some(1)).await.unwrap();
        let left = there(&directory).await;
        assert!(left.contains(&other) && left.iter().filter(|name| name.starts_with(NEW)).count() == 2, "{left:?}");
    }

    #[test]
    fn names_tell_the_statement() {
        assert_eq!(statement_of("_feitian_new-job-3-1-000000"), Some(("job-3".to_string(), false)));
        assert_eq!(statement_of("_feitian_commit-job-3"), Some(("job-3".to_string(), true)));
        for name in ["job-3.csv", "_feitian_new-job-3", "_feitian_commit-job-3-1", "_feitian_commit-", "_SUCCESS"] {
            assert_eq!(statement_of(name), None, "{name}");
        }
    }

    #[tokio::test]
    async fn overwriting_ends_what_others_began() {
        let (_root, directory) = open();
        put(&directory, "deeper/old.csv", b"0\n").await;
        let begun = new_file(&directory, "s-0", 1, 0).await;
        announce(&directory, "s-0", &[(begun.as_str(), "s-0-0.csv")], &[]).await;
        let new = vec![new_here(&directory, "s-1", 1, 0).await];
        let turn = first(&directory).await;
        directory.publish("s-1", new, "csv", Some(&turn)).await.unwrap();
        turn.end().await;
        assert_eq!(counted(&directory).await, ["s-1-000000.csv"]);
        let names = ["_feitian_commit-s-0", "_feitian_commit-s-1", FIRST_TURN, "s-1-000000.csv"];
        assert_eq!(there(&directory).await, names);
    }

    #[tokio::test]
    async fn a_statement_takes_effect_in_all_its_partitions_at_once_and_in_no_other() {
        let (_root, directory) = open();
        for name in ["ds=1/old.csv", "ds=2/old.csv", "ds=3/old.csv"] {
            put(&directory, name, b"0\n").await;
        }
        let over = |parts: &[&str]| {
            let parts = parts.iter().map(|part| below(&directory.dir, part).unwrap()).collect();
            directory.clone().over(parts)
        };
        let (one, three, two) = (over(&["ds=1"]), over(&["ds=3"]), over(&["ds=1", "ds=2"]));
        let new = [new_file(&directory, "s-0", 1, 0).await, new_file(&directory, "s-0", 1, 1).await];
        let files = [(new[0].as_str(), "ds=1/s-0-0.csv"), (new[1].as_str(), "ds=2/s-0-1.csv")];
        announce(&directory, "s-0", &files, &["ds=1/old.csv", "ds=2/old.csv"]).await;
        // Whatever is looked at says the same before and after the files have their names.
        for _ in 0..2 {
            assert_eq!(counted(&one).await, ["s-0-0.csv"]);
            assert_eq!(counted(&two).await, ["s-0-0.csv", "s-0-1.csv"]);
            assert_eq!(counted(&three).await, ["old.csv"]);
            assert_eq!(counted(&directory).await, ["s-0-0.csv", "s-0-1.csv", "old.csv"]);
            assert!(three.is_done("s-0").await.unwrap());
        }
        let new = vec![(new_file(&directory, "s-1", 1, 0).await, "ds=2/".to_string())];
        over(&["ds=2"]).publish("s-1", new, "csv", Some(&first(&directory).await)).await.unwrap();
        assert_eq!(counted(&directory).await, ["s-0-0.csv", "s-1-000000.csv", "old.csv"]);
        assert_eq!(counted(&over(&[])).await, Vec::<String>::new());
    }

    #[tokio::test]
    async fn a_marker_of_somebody_else_leads_nowhere() {
        let (_root, directory) = open();
        let texts = ["no JSON", r#"{"removes":["../x"]}"#, r#"{"removes":["/x"]}"#, r#"{"files":[["a",""]]}"#];
        for text in texts {
            let path = directory.marker_of("x").unwrap();
            directory.store.put(&path, PutPayload::from(text.as_bytes().to_vec())).await.unwrap();
            assert_eq!(directory.files().await.unwrap_err().code(), "ODPS-0123131");
            directory.store.delete(&path).await.unwrap();
        }
    }
}
