//! The table store's edge (Tablestore, OTS): one POST for each operation, protobuf in and out, on a port of its own.
//!
//! A request goes through `dispatch`: `auth` says who sent it, `dispatch` whose instance it names,
//! [`crate::operations::ots_operations`] what it is; its handler translates it for [`Tables`](feitian_tables::Tables) and
//! back (`read` and `told` hold what several handlers translate); `respond` signs the answer.

mod auth;
mod call;
mod dispatch;
pub(crate) mod indexes;
pub(crate) mod ranges;
mod read;
mod respond;
pub(crate) mod rows;
pub(crate) mod search;
mod store;
pub(crate) mod streams;
pub(crate) mod tables;
mod told;
pub(crate) mod transactions;

pub use call::{OtsAnswer, OtsCall};
pub use dispatch::ots_router;
pub use store::{Ots, instance_name};
