//! The table store of this process: opened on its directory, at once or when it can be, again when it fails, and closed.
//!
//! One process has the data of the table store open at a time. Where several share a directory, the others answer that it
//! is not available, which clients take for a reason to try again, and look every second whether it is free. So does a
//! process that finds the disk full: whatever else it can answer, it should.
//!
//! A store that takes no writes any more, because one failed, is opened again by the process that has it:
//!
//! 1. Each second it asks whether a write has failed. From then on none is taken, and rows are read as before.
//! 2. It waits until the disk can be written again: a store that can be read is better than one that cannot be opened.
//! 3. It takes the store away from requests. From now on they are refused with the code after which clients try again.
//! 4. It closes the store: changes under way end with what they get, open transactions are forgotten, of which nothing was
//!    durable, and the engine lets go of its files.
//! 5. It opens the data. A write whose client was told `OTSTimeout` is there as a whole or not at all; all that was
//!    acknowledged is there. If this fails, it is tried again each second.
//! 6. The units that could not be written down are counted on, and requests are answered again.
//!
//! A store whose data somebody else has opened, who got round the lock, is left as it is: opening it would take them back.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use feitian_api::Ots;
use feitian_base::{Error, Kind, Tasks, failpoint};
use feitian_store::{RealDisk, atomic_write, free_bytes};
use feitian_tables::engine::fjall::{self, Fjall};
use feitian_tables::{Settings, SystemClock, Tables};
use tokio::time::{MissedTickBehavior, interval};

use crate::config::Config;
use crate::datadir::DataDir;
use crate::failure::{Failure, Result};

/// The directory of the table store in the data directory.
const DIRECTORY: &str = "tables";
/// What is written there to see whether the disk takes it.
const PROBE: &str = "probe";
/// How often a process looks whether it can open the table store, and whether the one that it has takes writes.
const LOOK: Duration = Duration::from_secs(1);

/// Opens the table store in `dir`. Where another process has it, or the disk is full, `tasks` go on trying; they also open
/// it again when it fails.
pub(super) async fn open(config: &Config, dir: &DataDir, tasks: &Tasks) -> Result<Ots> {
    let keeper = Keeper {
        ots: Ots::default(),
        path: dir.root().join(DIRECTORY),
        settings: settings(config),
        engine: engine_settings(config),
        before: None,
        told: String::new(),
    };
    let ots = keeper.ots.clone();
    match keeper.open_once().await {
        Ok(tables) => {
            ots.open(tables);
            tracing::info!("the table store is open");
        }
        Err(e) if e.kind() == Kind::Unavailable => {
            tracing::info!(why = ?e, "the table store is not open here yet; trying again");
        }
        Err(e) => return Err(Failure::from(e).context("open the table store")),
    }
    tasks.spawn("ots-open", keeper.keep_open(tasks.clone()));
    Ok(ots)
}

/// Of the cache, the part that is whole rows; the others are blocks.
const ROW_PART: u64 = 4;

fn settings(config: &Config) -> Settings {
    Settings {
        transactions: config.ots_transactions,
        tables_per_instance: config.ots_tables_per_instance,
        row_cache_bytes: (config.ots_cache / ROW_PART) as usize,
        ..Settings::default()
    }
}

fn engine_settings(config: &Config) -> fjall::Settings {
    fjall::Settings { cache_bytes: config.ots_cache - config.ots_cache / ROW_PART, ..fjall::Settings::default() }
}

/// Who keeps the table store open.
struct Keeper {
    ots: Ots,
    path: PathBuf,
    settings: Settings,
    engine: fjall::Settings,
    /// A store that failed, until another one has its units.
    before: Option<Tables>,
    /// Why it could not be opened the last time: each reason is logged once.
    told: String,
}

impl Keeper {
    async fn open_once(&self) -> feitian_base::Result<Tables> {
        let engine = Fjall::open(&self.path, self.engine.clone()).await?;
        Tables::open(Arc::new(engine), Arc::new(SystemClock), self.settings.clone()).await
    }

    /// Opens the table store as soon as it can be, and again when it fails.
    async fn keep_open(mut self, tasks: Tasks) {
        let (stop, mut looks) = (tasks.stop_token(), interval(LOOK));
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = looks.tick() => {}
            }
            // 1. and 2.
            if self.ots.is_broken() && self.can_write().await {
                self.close_broken().await;
            }
            if self.ots.is_open() {
                continue;
            }
            // 5.
            match self.open_once().await {
                Ok(tables) if stop.is_cancelled() => return close_one(tables).await,
                Ok(tables) => self.show(tables),
                Err(e) => self.tell(&e),
            }
        }
    }

    /// Steps 3 and 4.
    async fn close_broken(&mut self) {
        let Some(tables) = self.ots.take() else { return };
        tracing::warn!("the table store takes no writes any more; closing and opening it again");
        failpoint::hit("tables.reopen.taken");
        if let Err(e) = tables.clone().close().await {
            tracing::debug!(error = ?e, "the last units are kept until it is open again");
        }
        failpoint::hit("tables.reopen.closed");
        self.before = Some(tables);
    }

    /// Step 6.
    fn show(&mut self, tables: Tables) {
        failpoint::hit("tables.reopen.opened");
        if let Some(before) = self.before.take() {
            tables.inherit(&before);
        }
        self.ots.open(tables);
        self.told.clear();
        tracing::info!("the table store is open");
    }

    /// Whether the disk takes a file, and has the room without which the store would refuse every write.
    async fn can_write(&self) -> bool {
        let (path, spare_bytes) = (self.path.clone(), self.engine.spare_bytes);
        let probed = tokio::task::spawn_blocking(move || probe(&path, spare_bytes)).await;
        probed.unwrap_or(false)
    }

    fn tell(&mut self, error: &Error) {
        let why = format!("{error:?}");
        if why == self.told {
            return;
        }
        match error.kind() {
            Kind::Unavailable => tracing::info!(%why, "the table store is not open here yet; trying again"),
            _ => tracing::error!(%why, "cannot open the table store; trying again"),
        }
        self.told = why;
    }
}

fn probe(path: &Path, spare_bytes: u64) -> bool {
    let (has_room, file) = (free_bytes(path).is_ok_and(|free| free >= spare_bytes), path.join(PROBE));
    has_room && atomic_write(&RealDisk, &file, b"", 0o644).is_ok() && std::fs::remove_file(&file).is_ok()
}

/// Closes what is open, when no request is under way any more.
pub(super) async fn close(ots: &Ots) {
    if let Some(tables) = ots.take() {
        close_one(tables).await;
    }
}

async fn close_one(tables: Tables) {
    if let Err(e) = tables.close().await {
        tracing::error!(error = ?e, "the table store did not close well; its next start brings it back");
    }
}
