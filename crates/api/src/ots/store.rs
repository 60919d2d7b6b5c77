//! The table store as this process has it: open or not, and what must not happen at once.

use std::sync::Arc;

use feitian_base::Result;
use feitian_tables::Tables;
use feitian_wire::ots::errors;
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// The place of the table store. Cheap to clone; clones share it. Of several processes on one directory, one has the table
/// store open at a time, and the others take it over when that one has gone.
#[derive(Clone, Default)]
pub struct Ots(Arc<Shared>);

#[derive(Default)]
struct Shared {
    tables: parking_lot::RwLock<Option<Tables>>,
    /// Held to read while a table is made, to write while an instance is deleted: an instance goes only when it has no
    /// tables, and a table is made only in an instance that is there.
    instances: RwLock<()>,
}

impl Ots {
    /// Requests are answered by `tables` from now on.
    pub fn open(&self, tables: Tables) {
        *self.0.tables.write() = Some(tables);
    }

    /// Whether something is open here.
    pub fn is_open(&self) -> bool {
        self.0.tables.read().is_some()
    }

    /// Whether what is open here takes no writes until it is opened again.
    pub fn is_broken(&self) -> bool {
        self.0.tables.read().as_ref().is_some_and(Tables::is_broken)
    }

    /// Requests find nothing from now on; what was open, to be closed.
    pub fn take(&self) -> Option<Tables> {
        self.0.tables.write().take()
    }

    /// What is open here. `OTSPartitionUnavailable` when nothing is: nothing was written, and clients try again.
    pub(crate) fn tables(&self) -> Result<Tables> {
        self.0.tables.read().clone().ok_or_else(errors::partition_unavailable)
    }

    /// Keeps every instance in its place until the guard is dropped.
    pub(crate) async fn hold_instances(&self) -> RwLockReadGuard<'_, ()> {
        self.0.instances.read().await
    }

    /// Waits until no table is being made; none is until the guard is dropped.
    pub(crate) async fn change_instances(&self) -> RwLockWriteGuard<'_, ()> {
        self.0.instances.write().await
    }
}

/// The name of an instance as the metadata have it, which do not tell cases apart; `None` for what is no name.
pub(crate) fn instance_name(text: &str) -> Option<String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    let fits = (3..=16).contains(&text.len())
        && text.bytes().all(plain)
        && text.as_bytes()[0].is_ascii_alphabetic()
        && !text.ends_with('-');
    fits.then(|| text.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    // Tablestore's documentation of instances: 3 to 16 letters, digits and hyphens, a letter first, no hyphen last.
    #[test]
    fn names_of_instances_are_those_of_the_service() {
        for (text, want) in [
            ("demo", Some("demo")),
            ("Shop-1", Some("shop-1")),
            ("a234567890123456", Some("a234567890123456")),
            ("ab", None),
            ("a2345678901234567", None),
            ("1ab", None),
            ("-ab", None),
            ("ab-", None),
            ("a_b", None),
            ("名字名字", None),
        ] {
            assert_eq!(instance_name(text).as_deref(), want, "{text}");
        }
    }
}
