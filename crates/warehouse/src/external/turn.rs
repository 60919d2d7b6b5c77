//! One statement at a time overwrites a directory, whichever process runs it: what each takes away is what is there.
//!
//! 1. the last *turn* of the directory is looked at: of the files `_feitian_turn-N`, the one with the greatest number. It
//!    is free when nothing is in it any more, or its job has ended, or runs in another attempt;
//! 2. the file with the next number is put, unless somebody else was faster. It names the job: the turn is ours;
//! 3. (what is to be overwritten is listed, and the marker of `files` put and carried out);
//! 4. the file is written again, empty, and those before it go. It stays, so that numbers only grow.
//!
//! A process that was taken for dead finds a later turn before it puts its marker, and gives up.

use std::time::Duration;

use feitian_base::{Error, Result, failpoint};
use feitian_meta::{Instance, InstanceState, Meta};
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectStoreExt, PutMode, PutOptions, PutPayload};
use serde::{Deserialize, Serialize};

use super::files::Directory;
use super::{broken, changed, shown, unreadable};
use crate::log::store_error;

/// The names of turns begin so.
const TURN: &str = "_feitian_turn-";
/// A turn that is over.
const FREE: &[u8] = b"{}";
/// A turn that names a job has at most so many bytes.
const MAX_TURN: u64 = 4096;
/// Others are waited for so often, and so long each time.
const WAITS: usize = 200;
const WAIT: Duration = Duration::from_millis(50);

/// Who overwrites.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Holder {
    project: String,
    job: String,
    attempt: i64,
}

/// The right to overwrite a directory.
pub(super) struct Turn {
    directory: Directory,
    number: u64,
}

impl Turn {
    /// Waits for the turn, not for ever.
    ///
    /// # Errors
    /// ODPS-0110061 while another process overwrites the directory.
    pub(super) async fn take(directory: &Directory, meta: &Meta, job: &Instance) -> Result<Self> {
        let holder = Holder { project: job.project.clone(), job: job.id.clone(), attempt: job.attempt };
        let text = serde_json::to_vec(&holder).map_err(|e| Error::internal(e.to_string()))?;
        for _ in 0..WAITS {
            let last = turns(directory).await?.last().copied();
            if let Some((number, num_bytes)) = last
                && !is_over(directory, number, num_bytes, &holder, meta).await?
            {
                tokio::time::sleep(WAIT).await;
                continue;
            }
            let number = last.map_or(Some(0), |(number, _)| number.checked_add(1));
            let number = number.ok_or_else(|| broken(directory.dir(), None, "no turn can follow the last one"))?;
            let (path, options) = (path(directory, number)?, PutOptions::from(PutMode::Create));
            match directory.store().put_opts(&path, PutPayload::from(text.clone()), options).await {
                Ok(_) => {
                    failpoint::hit("external.after_turn");
                    return Ok(Self { directory: directory.clone(), number });
                }
                Err(StoreError::AlreadyExists { .. }) => {}
                Err(e) => return Err(store_error(e)),
            }
        }
        Err(changed(format!("another process overwrites {}", shown(directory.dir()))))
    }

    /// Fails if somebody else has the turn by now.
    pub(super) async fn check(&self) -> Result<()> {
        match turns(&self.directory).await?.last() {
            Some((number, _)) if *number == self.number => Ok(()),
            _ => Err(changed(format!("another process overwrites {}", shown(self.directory.dir())))),
        }
    }

    /// Step 4. What is left of it is done by the next turn: the job ends.
    pub(super) async fn end(self) {
        if let Err(e) = self.give_back().await {
            tracing::warn!(error = ?e, directory = %self.directory.dir(), "a turn is left");
        }
    }

    async fn give_back(&self) -> Result<()> {
        let (store, options) = (self.directory.store(), PutOptions::from(PutMode::Overwrite));
        let before = turns(&self.directory).await?;
        let path_of_ours = path(&self.directory, self.number)?;
        store.put_opts(&path_of_ours, PutPayload::from_static(FREE), options).await.map_err(store_error)?;
        for (number, _) in before {
            if number >= self.number {
                break;
            }
            match store.delete(&path(&self.directory, number)?).await {
                Ok(()) | Err(StoreError::NotFound { .. }) => {}
                Err(e) => return Err(store_error(e)),
            }
        }
        Ok(())
    }
}

/// The first turn of a directory.
#[cfg(test)]
pub(super) async fn first(directory: &Directory) -> Turn {
    let path = path(directory, 0).expect("a path");
    directory.store().put(&path, PutPayload::from_static(b"ours")).await.expect("a turn");
    Turn { directory: directory.clone(), number: 0 }
}

fn path(directory: &Directory, number: u64) -> Result<Path> {
    let path = Path::parse(format!("{}/{TURN}{number:020}", directory.dir()));
    path.map_err(|e| Error::internal(e.to_string()))
}

/// The turns that are there and their sizes, the last one last.
async fn turns(directory: &Directory) -> Result<Vec<(u64, u64)>> {
    let here = directory.store().list_with_delimiter(Some(directory.dir())).await;
    let here = here.map_err(|e| unreadable(directory.dir(), e))?;
    let number = |name: Option<&str>| name?.strip_prefix(TURN)?.parse::<u64>().ok();
    let turns = here.objects.iter().filter_map(|o| Some((number(o.location.filename())?, o.size)));
    let mut turns: Vec<_> = turns.collect();
    turns.sort_unstable();
    Ok(turns)
}

/// Whether nobody has this turn any more, or we have it ourselves.
async fn is_over(directory: &Directory, number: u64, num_bytes: u64, us: &Holder, meta: &Meta) -> Result<bool> {
    if num_bytes <= FREE.len() as u64 {
        return Ok(true);
    }
    let path = path(directory, number)?;
    let strange = || broken(&path, None, "it is no turn of feitian");
    let got = match directory.store().get(&path).await {
        Ok(got) if got.meta.size > MAX_TURN => return Err(strange()),
        Ok(got) => got.bytes().await.map_err(|e| unreadable(&path, e))?,
        // Somebody has just put a later one.
        Err(StoreError::NotFound { .. }) => return Ok(false),
        Err(e) => return Err(unreadable(&path, e)),
    };
    if got.as_ref() == FREE {
        return Ok(true);
    }
    let holder: Holder = serde_json::from_slice(&got).map_err(|_| strange())?;
    if holder == *us {
        return Ok(true);
    }
    let now = meta.instance_state(&holder.project, &holder.job).await?;
    Ok(now != Some((InstanceState::Running, holder.attempt)))
}
