//! Where a table can be cut into pieces of about one size, for readers who read it in parallel.

use feitian_base::Result;
use feitian_wire::ots::KeyColumn;

use crate::engine::Order;
use crate::engine::size::key_at;
use crate::errors::invalid;
use crate::inner::{Inner, Source};
use crate::keys;
use crate::model::{SplitPoints, Units};
use crate::view::View;

const MIN_BYTES: u64 = 1 << 20;
const MAX_POINTS: usize = 10_000;

/// Points between first key values, each after about `bytes` of rows. A small table is read for them. Those of a larger
/// one come from the sizes of the engine's files, to the size of one of them, which are compressed.
pub(crate) async fn points(inner: &Inner, instance: &str, table: &str, bytes: u64) -> Result<SplitPoints> {
    if bytes < MIN_BYTES {
        return Err(invalid(format!("The split size must be at least {MIN_BYTES} bytes.")));
    }
    let source = inner.source(instance, table)?;
    let generation = source.generation();
    let from = generation.to_be_bytes();
    let all = inner.engine.size(&from, &keys::after(&from))?;
    let points = match all <= inner.settings.counted_split_bytes {
        true => counted(inner, &source, bytes).await?,
        false => estimated(inner, &source, bytes, all).await?,
    };
    source.check_alive()?;
    let consumed = Units { read: 1, write: 0 };
    source.table.meters.count(generation, consumed);
    let pieces = i64::try_from(points.len() + 1).unwrap_or(i64::MAX);
    Ok(SplitPoints { consumed, schema: source.key().to_vec(), points, locations: vec![(String::new(), pieces)] })
}

fn too_many() -> feitian_base::Error {
    invalid(format!("The table has more than {MAX_POINTS} splits of this size: ask for larger ones."))
}

/// Reads all of the table, page by page.
async fn counted(inner: &Inner, source: &Source, bytes: u64) -> Result<Vec<Vec<KeyColumn>>> {
    let from = source.generation().to_be_bytes().to_vec();
    let to = keys::after(&from);
    let mut pairs = View::of(&*inner.engine).pairs(from, to, Order::Forward).await?;
    let (mut points, mut size, mut first) = (Vec::new(), 0_u64, Vec::<u8>::new());
    while let Some((key, value)) = pairs.next().await? {
        if points.len() >= MAX_POINTS {
            return Err(too_many());
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
    Ok(points)
}

/// Looks between the borders of the engine's files for keys up to which one size, two, three of them lie, and there for the next
/// first key value that there is.
async fn estimated(inner: &Inner, source: &Source, bytes: u64, all: u64) -> Result<Vec<Vec<KeyColumn>>> {
    if all / bytes > MAX_POINTS as u64 {
        return Err(too_many());
    }
    let from = source.generation().to_be_bytes().to_vec();
    let to = keys::after(&from);
    let mut borders = vec![(from.clone(), 0)];
    for key in inner.engine.borders(&from, &to)? {
        borders.push((key.to_vec(), inner.engine.size(&from, &key)?));
    }
    let view = View::of(&*inner.engine);
    let first_from = async |key: Vec<u8>| -> Result<Option<Vec<u8>>> {
        let Some((key, _)) = view.pairs(key, to.clone(), Order::Forward).await?.next().await? else { return Ok(None) };
        Ok(Some(key[..keys::row_len(&key, 1)?].to_vec()))
    };
    // What comes before the first row is no piece.
    let (mut points, mut last) = (Vec::new(), first_from(from).await?);
    for wanted in (1..).map(|count| bytes.saturating_mul(count)).take_while(|wanted| *wanted < all) {
        let at = borders.partition_point(|(_, before)| *before <= wanted);
        let (Some((min, less)), Some((max, more))) = (borders.get(at.saturating_sub(1)), borders.get(at)) else {
            break;
        };
        let found = first_from(key_at(min, max, wanted - less, more - less)).await?;
        if found.is_some() && found > last {
            points.extend(found.iter().map(|row| keys::read_row(row, &source.key()[..1])));
            last = found;
        }
    }
    points.into_iter().collect()
}
