//! One request to the table store on its way to its handler: proven, its instance known, its body read.

use bytes::Bytes;
use feitian_base::Result;
use feitian_tables::Tables;
use feitian_wire::ots::messages::{Request, decode};

use super::store::Ots;

/// A request of the account that owns the instance.
pub struct OtsCall {
    pub tables: Tables,
    /// The id of the instance, under which its tables are kept.
    pub instance: String,
    /// The name of the instance, as the metadata have it.
    pub instance_name: String,
    pub(super) ots: Ots,
    pub(super) meta: feitian_meta::Meta,
    pub(super) body: Bytes,
}

/// The body of a success, or why there is none.
pub type OtsAnswer = Result<Vec<u8>>;

impl OtsCall {
    /// The body as a message; what does not fit is named.
    pub fn message<M: Request>(&self) -> Result<M> {
        decode(&self.body)
    }
}
