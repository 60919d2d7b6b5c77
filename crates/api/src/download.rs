//! Rows as a file: an encoder that blocks, on a thread of its own, as the body of an answer.

use axum::body::Body;
use feitian_base::Result;

use crate::state::AppState;
use crate::tunnel::body_out::body_of;
pub use crate::tunnel::body_out::{BlockingBatches, BodyWriter};
pub use crate::tunnel::permit::StreamPermit;
use crate::warehouse::Batches;

/// Runs `encode` on a blocking thread and returns what it writes as a body. It counts as one of the downloads that may
/// run at once, and ends when the client goes away; `encode` must call [`BodyWriter::finish`].
///
/// Returns once the first bytes are there: what fails before them is an error, what fails later breaks the body off.
pub async fn download<F>(state: &AppState, batches: Batches, encode: F) -> Result<Body>
where
    F: FnOnce(&mut BlockingBatches, BodyWriter) -> Result<()> + Send + 'static,
{
    let permit = StreamPermit::acquire(state).await?;
    body_of(state, permit, batches, encode).await
}
