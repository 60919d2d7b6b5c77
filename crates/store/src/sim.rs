//! A disk in memory whose power a test can cut: it forgets what POSIX allows a disk to forget, and no less.
//!
//! This is a tool for tests of crash safety; `kill -9` proves nothing there, because the kernel still writes what a
//! dead process left. Run a protocol on `LocalStore<SimDisk>`, cut the power at some change, and look at the disk
//! that [`SimDisk::crash`] returns:
//!
//! - **Content** of a file survives if the file was synced after the last write to it. If not, the file has what
//!   was synced last, followed by nothing, by a prefix of the rest, by zeros, by both, or by everything.
//! - **Names** (create, link, rename, unlink, mkdir) survive if the directory was synced afterwards. Each change of a
//!   name that was not synced survives or not by itself, in no order; a rename is two such changes, the new name
//!   and the removal of the old one. Real file systems keep many of these together, none promises to.
//! - A file in a directory whose own name did not survive is lost with it.
//!
//! Everything is decided by the seed and the order of the calls, so a failing seed fails again.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::path::{Component, Path};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use rand::rngs::SmallRng;
use rand::{Rng, RngExt, SeedableRng};

use crate::layer::{DirEntry, FileKind, FileLayer, FileMeta, LayerFile};

/// Free bytes of a disk without a limit: 1 TiB.
const UNLIMITED_FREE_BYTES: u64 = 1 << 40;
/// The clock of every disk begins at 2020-09-13T12:26:40Z and ticks one millisecond a change.
const CLOCK_START: Duration = Duration::from_secs(1_600_000_000);
const ROOT: usize = 0;

/// The disk. Cheap to clone; clones are one disk. It begins with an empty `/`.
#[derive(Clone)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

/// An open file or directory of a [`SimDisk`].
#[derive(Debug)]
pub struct SimFile {
    disk: SimDisk,
    inode: usize,
}

struct State {
    /// By inode number; nothing is freed before a crash.
    nodes: Vec<Node>,
    rng: SmallRng,
    changes: u64,
    cut_at: u64,
    used_bytes: u64,
    limit_bytes: Option<u64>,
}

enum Node {
    File(FileNode),
    Dir(DirNode),
}

struct FileNode {
    bytes: Arc<Vec<u8>>,
    synced: Option<Arc<Vec<u8>>>,
    modified: SystemTime,
    links: u32,
}

#[derive(Default)]
struct DirNode {
    names: BTreeMap<OsString, usize>,
    synced: BTreeMap<OsString, usize>,
    /// Changes since the last sync: the name and what it stands for now, if anything.
    pending: Vec<(OsString, Option<usize>)>,
}

impl SimDisk {
    /// An empty disk whose forgetting is decided by `seed`.
    pub fn new(seed: u64) -> Self {
        Self::from_state(State {
            nodes: vec![Node::Dir(DirNode::default())],
            rng: SmallRng::seed_from_u64(seed),
            changes: 0,
            cut_at: u64::MAX,
            used_bytes: 0,
            limit_bytes: None,
        })
    }

    /// The disk as it is found after a power cut now, with the power back on and its own count of changes.
    ///
    /// This disk stays as it is; crash it again for another of the possible outcomes.
    pub fn crash(&self) -> SimDisk {
        let mut state = self.state.lock();
        let mut rng = SmallRng::seed_from_u64(state.rng.next_u64());
        // Some cuts lose nearly everything that was not synced, some nearly nothing, some half: each finds other bugs.
        let keep = [0.0, 0.1, 0.5, 0.9, 1.0][rng.random_range(0..5)];
        let nodes = state.nodes.iter().map(|node| node.after_power_cut(&mut rng, keep)).collect();
        let mut after =
            State { nodes, rng, changes: 0, cut_at: u64::MAX, used_bytes: 0, limit_bytes: state.limit_bytes };
        after.drop_unreachable();
        Self::from_state(after)
    }

    /// Cuts the power at the `nth` change of this disk (1 is the first): that one and every later operation, reads
    /// too, fails and does nothing. Changes are create, write, sync, link, rename, unlink and mkdir, failed ones too.
    ///
    /// `u64::MAX` turns the power on again with nothing lost and nothing more durable: as if only the process had
    /// died, so that its open files are of no use but the disk goes on.
    pub fn cut_power_at(&self, nth: u64) {
        self.state.lock().cut_at = nth;
    }

    /// Cuts the power now.
    pub fn cut_power(&self) {
        self.state.lock().cut_at = 0;
    }

    /// How many changes were asked for so far.
    pub fn changes(&self) -> u64 {
        self.state.lock().changes
    }

    /// Lets files take at most `limit` bytes together; a write beyond it stores what fits and fails with
    /// `StorageFull`, as a real disk does.
    pub fn limit_bytes(&self, limit: u64) {
        self.state.lock().limit_bytes = Some(limit);
    }

    fn from_state(state: State) -> Self {
        Self { state: Arc::new(Mutex::new(state)) }
    }

    fn file(&self, inode: usize) -> SimFile {
        SimFile { disk: self.clone(), inode }
    }
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.lock();
        f.debug_struct("SimDisk").field("changes", &state.changes).field("used_bytes", &state.used_bytes).finish()
    }
}

impl State {
    /// Fails if the power is off.
    fn powered(&self) -> io::Result<()> {
        match self.cut_at == 0 || self.changes >= self.cut_at {
            true => Err(io::Error::other("the power is off")),
            false => Ok(()),
        }
    }

    /// Counts one change; fails if the power is off, or goes off right here.
    fn change(&mut self) -> io::Result<()> {
        self.powered()?;
        self.changes += 1;
        self.powered()
    }

    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + CLOCK_START + Duration::from_millis(self.changes)
    }

    /// The inode of an absolute path.
    fn resolve(&self, path: &Path) -> io::Result<usize> {
        let mut inode = ROOT;
        let mut components = path.components();
        if components.next() != Some(Component::RootDir) {
            return Err(ErrorKind::InvalidInput.into());
        }
        for component in components {
            let Component::Normal(name) = component else { return Err(ErrorKind::InvalidInput.into()) };
            inode = *self.dir(inode)?.names.get(name).ok_or(ErrorKind::NotFound)?;
        }
        Ok(inode)
    }

    /// The directory of `path` and the last component.
    fn resolve_parent<'a>(&self, path: &'a Path) -> io::Result<(usize, &'a OsStr)> {
        let name = path.file_name().ok_or(ErrorKind::InvalidInput)?;
        let parent = self.resolve(path.parent().ok_or(ErrorKind::InvalidInput)?)?;
        self.dir(parent)?;
        Ok((parent, name))
    }

    fn dir(&self, inode: usize) -> io::Result<&DirNode> {
        match &self.nodes[inode] {
            Node::Dir(dir) => Ok(dir),
            Node::File(_) => Err(ErrorKind::NotADirectory.into()),
        }
    }

    fn file(&self, inode: usize) -> io::Result<&FileNode> {
        match &self.nodes[inode] {
            Node::File(file) => Ok(file),
            Node::Dir(_) => Err(ErrorKind::IsADirectory.into()),
        }
    }

    fn file_mut(&mut self, inode: usize) -> io::Result<&mut FileNode> {
        match &mut self.nodes[inode] {
            Node::File(file) => Ok(file),
            Node::Dir(_) => Err(ErrorKind::IsADirectory.into()),
        }
    }

    /// Lets `name` in the directory `parent` stand for `to`, and counts links.
    fn set_name(&mut self, parent: usize, name: &OsStr, to: Option<usize>) {
        if let Some(Node::File(file)) = to.map(|inode| &mut self.nodes[inode]) {
            file.links += 1;
        }
        let Node::Dir(dir) = &mut self.nodes[parent] else { return };
        let before = match to {
            Some(inode) => dir.names.insert(name.to_os_string(), inode),
            None => dir.names.remove(name),
        };
        dir.pending.push((name.to_os_string(), to));
        if let Some(Node::File(file)) = before.map(|inode| &mut self.nodes[inode]) {
            file.links -= 1;
            if file.links == 0 {
                self.used_bytes -= file.bytes.len() as u64;
            }
        }
    }

    /// Adds a node under a new name.
    fn add(&mut self, path: &Path, node: Node) -> io::Result<usize> {
        let (parent, name) = self.resolve_parent(path)?;
        if self.dir(parent)?.names.contains_key(name) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        self.nodes.push(node);
        let inode = self.nodes.len() - 1;
        self.set_name(parent, name, Some(inode));
        Ok(inode)
    }

    fn metadata(&self, inode: usize) -> FileMeta {
        let (kind, len, modified) = match &self.nodes[inode] {
            Node::File(file) => (FileKind::File, file.bytes.len() as u64, file.modified),
            Node::Dir(_) => (FileKind::Dir, 0, SystemTime::UNIX_EPOCH + CLOCK_START),
        };
        FileMeta { kind, len, modified, inode: inode as u64 }
    }

    /// Empties what no name leads to, and counts links and bytes anew.
    fn drop_unreachable(&mut self) {
        let mut links = vec![0u32; self.nodes.len()];
        let mut to_visit = vec![ROOT];
        while let Some(inode) = to_visit.pop() {
            links[inode] += 1;
            if let Node::Dir(dir) = &self.nodes[inode] {
                to_visit.extend(dir.names.values());
            }
        }
        self.used_bytes = 0;
        for (node, links) in self.nodes.iter_mut().zip(links) {
            match node {
                Node::File(file) if links > 0 => {
                    file.links = links;
                    self.used_bytes += file.bytes.len() as u64;
                }
                Node::Dir(_) if links > 0 => {}
                _ => *node = Node::Dir(DirNode::default()),
            }
        }
    }
}

impl Node {
    /// What is left of this node; `keep` is the chance of each unsynced change of a name to survive.
    fn after_power_cut(&self, rng: &mut SmallRng, keep: f64) -> Node {
        match self {
            Node::File(file) => {
                let bytes = file.after_power_cut(rng);
                Node::File(FileNode { synced: Some(Arc::clone(&bytes)), bytes, modified: file.modified, links: 0 })
            }
            Node::Dir(dir) => {
                let mut names = dir.synced.clone();
                // In the order of the calls: a name ends as any of its unsynced states or as the synced one, which
                // is all that another order could give.
                for (name, to) in &dir.pending {
                    match to {
                        _ if !rng.random_bool(keep) => {}
                        Some(inode) => drop(names.insert(name.clone(), *inode)),
                        None => drop(names.remove(name)),
                    }
                }
                Node::Dir(DirNode { synced: names.clone(), names, pending: Vec::new() })
            }
        }
    }
}

impl FileNode {
    fn after_power_cut(&self, rng: &mut SmallRng) -> Arc<Vec<u8>> {
        let synced = self.synced.clone().unwrap_or_default();
        if synced == self.bytes {
            return synced;
        }
        let (start, len) = (synced.len(), self.bytes.len());
        let middle = rng.random_range(start..=len);
        let mut bytes = match rng.random_range(0..5) {
            0 => return synced,
            1 => return Arc::clone(&self.bytes),
            2 => synced.to_vec(),
            _ => self.bytes[..middle].to_vec(),
        };
        // The new length reached the disk before the data did, or did not.
        if bytes.len() == start || rng.random_bool(0.5) {
            bytes.resize(len, 0);
        }
        Arc::new(bytes)
    }
}

impl FileLayer for SimDisk {
    type File = SimFile;

    /// `mode` is ignored: there is one user.
    fn create_new(&self, path: &Path, _mode: u32) -> io::Result<SimFile> {
        let mut state = self.state.lock();
        state.change()?;
        let file = FileNode { bytes: Arc::default(), synced: None, modified: state.now(), links: 0 };
        let inode = state.add(path, Node::File(file))?;
        Ok(self.file(inode))
    }

    fn open(&self, path: &Path) -> io::Result<SimFile> {
        let state = self.state.lock();
        state.powered()?;
        Ok(self.file(state.resolve(path)?))
    }

    fn open_dir(&self, path: &Path) -> io::Result<SimFile> {
        let state = self.state.lock();
        state.powered()?;
        let inode = state.resolve(path)?;
        state.dir(inode)?;
        Ok(self.file(inode))
    }

    fn hard_link(&self, original: &Path, link: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.change()?;
        let inode = state.resolve(original)?;
        state.file(inode)?;
        let (parent, name) = state.resolve_parent(link)?;
        if state.dir(parent)?.names.contains_key(name) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        state.set_name(parent, name, Some(inode));
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.change()?;
        let inode = state.resolve(from)?;
        state.file(inode)?;
        let (from_dir, from_name) = state.resolve_parent(from)?;
        let (to_dir, to_name) = state.resolve_parent(to)?;
        match state.dir(to_dir)?.names.get(to_name) {
            Some(target) if *target == inode => return Ok(()),
            Some(target) => drop(state.file(*target)?),
            None => {}
        }
        state.set_name(to_dir, to_name, Some(inode));
        state.set_name(from_dir, from_name, None);
        Ok(())
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.change()?;
        let inode = state.resolve(path)?;
        state.file(inode)?;
        let (parent, name) = state.resolve_parent(path)?;
        state.set_name(parent, name, None);
        Ok(())
    }

    fn mkdir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.change()?;
        state.add(path, Node::Dir(DirNode::default())).map(drop)
    }

    fn list_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let state = self.state.lock();
        state.powered()?;
        let dir = state.dir(state.resolve(path)?)?;
        Ok(dir.names.iter().map(|(name, i)| DirEntry { name: name.clone(), kind: state.metadata(*i).kind }).collect())
    }

    fn metadata(&self, path: &Path) -> io::Result<FileMeta> {
        let state = self.state.lock();
        state.powered()?;
        Ok(state.metadata(state.resolve(path)?))
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        let state = self.state.lock();
        state.powered()?;
        state.resolve(path)?;
        Ok(state.limit_bytes.map_or(UNLIMITED_FREE_BYTES, |limit| limit.saturating_sub(state.used_bytes)))
    }
}

impl LayerFile for SimFile {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.disk.state.lock();
        state.change()?;
        let now = state.now();
        let free = state.limit_bytes.map_or(u64::MAX, |limit| limit.saturating_sub(state.used_bytes));
        let offset = usize::try_from(offset).map_err(|_| ErrorKind::FileTooLarge)?;
        let end = offset.checked_add(bytes.len()).ok_or(ErrorKind::FileTooLarge)?;
        let file = state.file_mut(self.inode)?;
        let before = file.bytes.len();
        let fitting = end.min(before.saturating_add(usize::try_from(free).unwrap_or(usize::MAX)));
        let grown = fitting.saturating_sub(before);
        if fitting > offset {
            let content = Arc::make_mut(&mut file.bytes);
            content.resize(before.max(fitting), 0);
            content[offset..fitting].copy_from_slice(&bytes[..fitting - offset]);
        }
        file.modified = now;
        if file.links > 0 && fitting > offset {
            state.used_bytes += grown as u64;
        }
        if fitting < end { Err(ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn read_at(&self, range: Range<u64>) -> io::Result<Vec<u8>> {
        let state = self.disk.state.lock();
        state.powered()?;
        let bytes = &state.file(self.inode)?.bytes;
        let clamp = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
        Ok(bytes.get(clamp(range.start)..clamp(range.end)).unwrap_or_default().to_vec())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.state.lock();
        state.change()?;
        match &mut state.nodes[self.inode] {
            Node::File(file) => file.synced = Some(Arc::clone(&file.bytes)),
            Node::Dir(dir) => {
                for (name, to) in dir.pending.drain(..) {
                    match to {
                        Some(inode) => drop(dir.synced.insert(name, inode)),
                        None => drop(dir.synced.remove(&name)),
                    }
                }
            }
        }
        Ok(())
    }

    fn metadata(&self) -> io::Result<FileMeta> {
        let state = self.disk.state.lock();
        state.powered()?;
        Ok(state.metadata(self.inode))
    }
}
