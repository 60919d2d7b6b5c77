//! The table store of this process: opened on its directory, at once or when it can be, and closed.
//!
//! One process has the data of the table store open at a time. Where several share a directory, the others answer that it
//! is not available, which clients take for a reason to try again, and look every second whether it is free. So does a
//! process that finds the disk full: whatever else it can answer, it should.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use feitian_api::Ots;
use feitian_base::{Kind, Tasks};
use feitian_tables::engine::fjall::{self, Fjall};
use feitian_tables::{Settings, SystemClock, Tables};

use crate::config::Config;
use crate::datadir::DataDir;
use crate::failure::{Failure, Result};

/// The directory of the table store in the data directory.
const DIRECTORY: &str = "tables";
/// How often a process looks whether it can open the table store.
const LOOK: Duration = Duration::from_secs(1);

/// Opens the table store in `dir`. Where another process has it, or the disk is full, `tasks` go on trying.
pub(super) async fn open(config: &Config, dir: &DataDir, tasks: &Tasks) -> Result<Ots> {
    let (ots, path, settings) = (Ots::default(), dir.root().join(DIRECTORY), settings(config));
    match open_in(&path, settings.clone()).await {
        Ok(tables) => {
            ots.open(tables);
            tracing::info!("the table store is open");
        }
        Err(e) if e.kind() == Kind::Unavailable => {
            tracing::info!(why = ?e, "the table store is not open here yet; trying again");
            tasks.spawn("ots-open", open_later(ots.clone(), path, settings, tasks.clone()));
        }
        Err(e) => return Err(Failure::from(e).context("open the table store")),
    }
    Ok(ots)
}

fn settings(config: &Config) -> Settings {
    Settings {
        transactions: config.ots_transactions,
        tables_per_instance: config.ots_tables_per_instance,
        ..Settings::default()
    }
}

async fn open_in(path: &Path, settings: Settings) -> feitian_base::Result<Tables> {
    let engine = Fjall::open(path, fjall::Settings::default()).await?;
    Tables::open(Arc::new(engine), Arc::new(SystemClock), settings).await
}

/// Opens the table store as soon as it can be.
async fn open_later(ots: Ots, path: PathBuf, settings: Settings, tasks: Tasks) {
    let stop = tasks.stop_token();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
        match open_in(&path, settings.clone()).await {
            Ok(tables) => {
                ots.open(tables);
                tracing::info!("the table store is open");
                return;
            }
            Err(e) if e.kind() == Kind::Unavailable => {}
            Err(e) => tracing::error!(error = ?e, "cannot open the table store; trying again"),
        }
    }
}

/// Closes what is open, when no request is under way any more.
pub(super) async fn close(ots: &Ots) {
    if let Some(tables) = ots.take()
        && let Err(e) = tables.close().await
    {
        tracing::error!(error = ?e, "the table store did not close well; its next start brings it back");
    }
}
