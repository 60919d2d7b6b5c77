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
/// A first key value may have more rows than a piece: not each look finds a point.
const MAX_LOOKS: u64 = 10 * MAX_POINTS as u64;

/// Points between first key values, each after about `bytes` of rows. A small table is read for them. In a larger one they
/// are estimated from the engine's files: their sizes are those on the disk, compressed, and what several tables share is not
/// told apart well.
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

/// Looks between keys up to which sizes are known for those up to which `bytes` lie, twice as much and so on: at each, a piece
/// begins with the first key value of the row that is found there.
async fn estimated(inner: &Inner, source: &Source, bytes: u64, all: u64) -> Result<Vec<Vec<KeyColumn>>> {
    if all / bytes > MAX_LOOKS {
        return Err(too_many());
    }
    let from = source.generation().to_be_bytes().to_vec();
    let to = keys::after(&from);
    let view = View::of(&*inner.engine);
    let end = async |order| view.pairs(from.clone(), to.clone(), order).await?.next().await;
    let (Some((first, _)), Some((last, _))) = (end(Order::Forward).await?, end(Order::Backward).await?) else {
        return Ok(Vec::new());
    };
    let mut borders = vec![(first.clone(), 0)];
    let within = inner.engine.borders(&from, &to)?;
    borders.extend(within.into_iter().filter(|(key, before)| first < *key && *key < last && *before <= all));
    borders.push((last, all));
    let (mut points, mut begun) = (Vec::new(), first.slice(..keys::row_len(&first, 1)?));
    for wanted in (1..).map(|count| bytes.saturating_mul(count)).take_while(|wanted| *wanted < all) {
        let at = borders.partition_point(|(_, before)| *before <= wanted);
        let (Some((min, less)), Some((max, more))) = (borders.get(at.wrapping_sub(1)), borders.get(at)) else { break };
        let guess = key_at(min, max, wanted.saturating_sub(*less), more.saturating_sub(*less));
        let Some((key, _)) = view.pairs(guess, to.clone(), Order::Forward).await?.next().await? else { break };
        let partition = key.slice(..keys::row_len(&key, 1)?);
        if partition <= begun {
            continue;
        }
        if points.len() >= MAX_POINTS {
            return Err(too_many());
        }
        points.push(keys::read_row(&partition, &source.key()[..1])?);
        begun = partition;
    }
    Ok(points)
}
