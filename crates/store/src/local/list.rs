//! Listing: a walk in the order of the paths, level by level, without holding more than one level per depth.

use std::collections::VecDeque;
use std::sync::Arc;

use object_store::path::Path as Location;
use object_store::{ListResult, ObjectMeta};

use super::disk::Disk;
use crate::error::Result;
use crate::layer::{FileKind, FileLayer};

/// A walk over all objects below a prefix, those after an offset only if there is one.
#[derive(Debug)]
pub(super) struct Walk<L: FileLayer> {
    disk: Arc<Disk<L>>,
    /// The prefix, until the walk has begun.
    start: Option<Location>,
    offset: Option<Location>,
    levels: Vec<Level>,
}

#[derive(Debug)]
struct Level {
    dir: Location,
    /// What is still to visit, the next one last.
    children: Vec<(String, FileKind)>,
}

impl<L: FileLayer> Walk<L> {
    /// Begins nothing yet: the disk is first touched by [`Walk::take`].
    pub(super) fn new(disk: Arc<Disk<L>>, prefix: Location, offset: Option<Location>) -> Self {
        Self { disk, start: Some(prefix), offset, levels: Vec::new() }
    }

    /// The next objects, at most `max`; none when the walk has ended. Blocks.
    pub(super) fn take(&mut self, max: usize) -> Result<VecDeque<ObjectMeta>> {
        self.disk.check()?;
        if let Some(prefix) = self.start.take() {
            self.enter(prefix)?;
        }
        let mut found = VecDeque::new();
        while found.len() < max
            && let Some(level) = self.levels.last_mut()
        {
            let Some((name, kind)) = level.children.pop() else {
                self.levels.pop();
                continue;
            };
            let location = child(&level.dir, &name)?;
            match kind {
                FileKind::Dir if !self.all_before_offset(&location) => self.enter(location)?,
                FileKind::File if self.offset.as_ref().is_none_or(|offset| location > *offset) => {
                    found.extend(self.disk.stat(&self.disk.path_of(&location)?, location)?);
                }
                _ => {}
            }
        }
        Ok(found)
    }

    fn enter(&mut self, dir: Location) -> Result<()> {
        let mut children = self.disk.children(&self.disk.path_of(&dir)?)?;
        sort_as_paths(&mut children);
        children.reverse();
        self.levels.push(Level { dir, children });
        Ok(())
    }

    /// True if no path below `dir` can come after the offset.
    fn all_before_offset(&self, dir: &Location) -> bool {
        let Some(offset) = &self.offset else { return false };
        let below = format!("{dir}/");
        !offset.as_ref().starts_with(&below) && offset.as_ref() > below.as_str()
    }
}

/// The objects and directories directly below `prefix`, both sorted.
pub(super) fn one_level<L: FileLayer>(disk: &Disk<L>, prefix: &Location) -> Result<ListResult> {
    let mut children = disk.children(&disk.path_of(prefix)?)?;
    sort_as_paths(&mut children);
    let mut result = ListResult { common_prefixes: Vec::new(), objects: Vec::new() };
    for (name, kind) in children {
        let location = child(prefix, &name)?;
        match kind {
            FileKind::Dir => result.common_prefixes.push(location),
            _ => result.objects.extend(disk.stat(&disk.path_of(&location)?, location)?),
        }
    }
    Ok(result)
}

/// Sorts one directory so that a walk meets whole paths in byte order: `a-b` and `a.b` come before what is in `a/`,
/// because `-` and `.` are less than `/`.
fn sort_as_paths(children: &mut [(String, FileKind)]) {
    fn key((name, kind): &(String, FileKind)) -> impl Iterator<Item = u8> {
        name.bytes().chain((*kind == FileKind::Dir).then_some(b'/'))
    }
    children.sort_unstable_by(|a, b| key(a).cmp(key(b)));
}

/// The path of `name` in `dir`, as it is: `Location::join` would percent-encode it.
fn child(dir: &Location, name: &str) -> Result<Location> {
    Ok(match dir.is_root() {
        true => Location::parse(name)?,
        false => Location::parse(format!("{dir}/{name}"))?,
    })
}
