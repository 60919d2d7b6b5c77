//! Where a table can be cut into pieces of about one size, for readers who read it in parallel.

use feitian_base::Result;

use crate::engine::Order;
use crate::errors::invalid;
use crate::inner::Inner;
use crate::keys;
use crate::model::{SplitPoints, Units};
use crate::view::View;

const MIN_BYTES: u64 = 1 << 20;
const MAX_POINTS: usize = 10_000;

/// Points between first key values, each after `bytes` of rows or a little more. All of the table is read for them,
/// page by page: engines estimate sizes and do not know at which key a size is reached.
pub(crate) async fn points(inner: &Inner, instance: &str, table: &str, bytes: u64) -> Result<SplitPoints> {
    if bytes < MIN_BYTES {
        return Err(invalid(format!("The split size must be at least {MIN_BYTES} bytes.")));
    }
    let source = inner.source(instance, table)?;
    let generation = source.generation();
    let from = generation.to_be_bytes().to_vec();
    let to = keys::after(&from);
    let mut pairs = View::of(&*inner.engine).pairs(from, to, Order::Forward).await?;
    let (mut points, mut size, mut first) = (Vec::new(), 0_u64, Vec::<u8>::new());
    while let Some((key, value)) = pairs.next().await? {
        if points.len() >= MAX_POINTS {
            return Err(invalid(format!(
                "The table has more than {MAX_POINTS} splits of this size: ask for larger ones."
            )));
        }
        let partition = keys::row_len(&key, 1)?;
        if key[..partition] != first[..] {
            if size >= bytes {
                points.push(keys::read_row(&key[..partition], &source.key()[..1])?);
                size = 0;
            }
            first = key[..partition].to_vec();
        }
        size = size.saturating_add((key.len() + value.len()) as u64);
    }
    source.check_alive()?;
    let consumed = Units { read: 1, write: 0 };
    source.table.meters.count(generation, consumed);
    let pieces = i64::try_from(points.len() + 1).unwrap_or(i64::MAX);
    Ok(SplitPoints { consumed, schema: source.key().to_vec(), points, locations: vec![(String::new(), pieces)] })
}
