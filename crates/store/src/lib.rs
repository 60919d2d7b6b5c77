//! The bytes of feitian on a local directory, durable before they are acknowledged.
//!
//! [`LocalStore`] is an [`object_store::ObjectStore`] whose answer to a write means: the content and the name
//! are on the disk and survive the loss of power. It exists because `object_store::local::LocalFileSystem` 0.13
//! never syncs a file or a directory.
//!
//! Read in this order:
//! - [`FileLayer`]: the dozen file operations below everything; [`RealDisk`] is the machine's,
//!   [`sim::SimDisk`] a disk in memory whose power a test can cut;
//! - [`LocalStore`]: objects as files below one root;
//! - [`atomic_write`], [`create_dir_all`], [`DirLock`], [`free_bytes`]: for the few files that are not objects;
//! - [`storage_full`], [`base_error`]: what an error of the store means.
//!
//! ```
//! use feitian_store::{LocalStore, sim::SimDisk};
//! use object_store::{ObjectStoreExt, path::Path};
//!
//! # futures::executor::block_on(async {
//! let disk = SimDisk::new(7);
//! let store = LocalStore::open_on(disk.clone(), "/data")?;
//! store.put(&Path::from("t/a"), "rows".into()).await?;
//!
//! let after = LocalStore::open_on(disk.crash(), "/data")?;
//! assert_eq!(after.get(&Path::from("t/a")).await?.bytes().await?, "rows");
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
#![warn(missing_docs)]

mod error;
mod files;
mod layer;
mod local;
mod real;
pub mod sim;

pub use error::{DiskError, StoreFailed, base_error, storage_full};
pub use files::{DirLock, atomic_write, create_dir_all, free_bytes};
pub use layer::{DirEntry, FileKind, FileLayer, FileMeta, LayerFile};
pub use local::LocalStore;
pub use real::RealDisk;
