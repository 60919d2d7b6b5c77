//! Capacity units that a table has used: write units are counted in the commit that they pay for, others once a second.
//!
//! 1. A write takes the next value of its latch's counter and puts it into its batch.
//! 2. Once the batch is durable, that value is the counter's. The latch is held from 1 to 2, so no value is lost or
//!    used twice.
//! 3. Read units, and units of writes that changed nothing, gather in memory; each second, and when the server stops,
//!    the sums that changed are written. A crash forgets a second of them at most; a stop forgets none, and neither does
//!    an engine that fails and is opened again by the same process (`Meters::inherit`).

use std::collections::BTreeMap;

use bytes::Bytes;
use feitian_base::{Result, failpoint};
use parking_lot::Mutex;

use crate::cells::{decode_u64, encode_u64};
use crate::engine::{Engine, Order};
use crate::errors::corrupt;
use crate::heat::{self, Heat};
use crate::keys::{self, space};
use crate::model::Units;
use crate::view::{View, Writes};

/// The counters of a table and its indexes.
#[derive(Default)]
pub(crate) struct Meters(Mutex<BTreeMap<u64, Meter>>);

#[derive(Debug, Clone, Default)]
struct Meter {
    /// By latch.
    counters: BTreeMap<u16, u64>,
    /// Read units, and write units of what was not committed.
    aside: (u64, u64),
    /// What the engine has of `aside`.
    written: (u64, u64),
    /// What was used of late, in memory alone.
    heat: Heat,
}

impl Meter {
    fn sum(&self) -> (u64, u64) {
        (self.aside.0, self.aside.1 + self.counters.values().sum::<u64>())
    }
}

/// New values of counters that are in a batch and not yet durable.
#[derive(Debug, Default)]
pub(crate) struct Charged(Vec<(u64, u16, u64)>);

impl Meters {
    /// Step 1. The caller holds the latch of `counter`.
    pub(crate) fn charge(&self, generation: u64, counter: u16, units: i32, writes: &mut Writes, charged: &mut Charged) {
        let now = self.0.lock().get(&generation).and_then(|meter| meter.counters.get(&counter)).copied().unwrap_or(0);
        let next = now.saturating_add(u64::from(units.unsigned_abs()));
        writes.put(keys::write_units(generation, counter), encode_u64(next));
        charged.0.push((generation, counter, next));
    }

    /// Step 2.
    pub(crate) fn settle(&self, charged: Charged) {
        let second = heat::second();
        let mut meters = self.0.lock();
        for (generation, counter, value) in charged.0 {
            let meter = meters.entry(generation).or_default();
            let before = meter.counters.insert(counter, value).unwrap_or(0);
            meter.heat.add(second, 0, value.saturating_sub(before));
        }
    }

    /// Step 3: units that no commit carries.
    pub(crate) fn count(&self, generation: u64, units: Units) {
        let (read, write) = (u64::from(units.read.unsigned_abs()), u64::from(units.write.unsigned_abs()));
        let second = heat::second();
        let mut meters = self.0.lock();
        let meter = meters.entry(generation).or_default();
        meter.aside.0 += read;
        meter.aside.1 += write;
        meter.heat.add(second, read, write);
    }

    /// Sums that an earlier opening had gathered and not written; they only grow, so the greater one is the later one.
    pub(crate) fn inherit(&self, before: &Self) {
        let gathered: Vec<_> = before.0.lock().iter().map(|(generation, meter)| (*generation, meter.aside)).collect();
        let mut meters = self.0.lock();
        for (generation, (read, write)) in gathered {
            if let Some(meter) = meters.get_mut(&generation) {
                meter.aside = (meter.aside.0.max(read), meter.aside.1.max(write));
            }
        }
    }

    /// Read and write units of a generation.
    pub(crate) fn sum(&self, generation: u64) -> (u64, u64) {
        self.0.lock().get(&generation).map_or((0, 0), Meter::sum)
    }

    /// Those that it used in the sixty seconds that end with this one.
    pub(crate) fn recent(&self, generation: u64, second: u64) -> (u64, u64) {
        self.0.lock().get(&generation).map_or((0, 0), |meter| meter.heat.sum(second))
    }

    /// Read and write units of the table and all its indexes.
    pub(crate) fn total(&self) -> (u64, u64) {
        let meters = self.0.lock();
        meters.values().map(Meter::sum).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1))
    }

    /// Forgets a generation.
    pub(crate) fn forget(&self, generation: u64) {
        self.0.lock().remove(&generation);
    }

    /// The sums that the engine does not have yet. What is not alive is forgotten: a reader of an index that was dropped
    /// meanwhile may have counted once more.
    fn changed(&self, alive: &[u64]) -> Vec<(u64, (u64, u64))> {
        let mut meters = self.0.lock();
        meters.retain(|generation, _| alive.contains(generation));
        meters.iter().filter(|(_, m)| m.aside != m.written).map(|(generation, m)| (*generation, m.aside)).collect()
    }

    /// Writes the sums down. The caller shares the table's gate, so that no deleted table gets a counter again, and
    /// nobody else flushes.
    pub(crate) async fn flush(&self, engine: &dyn Engine, alive: &[u64]) -> Result<()> {
        let changed = self.changed(alive);
        if changed.is_empty() {
            return Ok(());
        }
        let mut writes = Writes::default();
        for (generation, (read, write)) in &changed {
            writes.put(keys::catalog_of(space::READ_UNITS, *generation), pair(*read, *write));
        }
        failpoint::hit("tables.meter.before_flush");
        // On a full disk rows are read, and counted; the sums are written over.
        engine.commit(writes.into_batch().that_frees()).await?;
        let mut meters = self.0.lock();
        for (generation, sums) in changed {
            if let Some(meter) = meters.get_mut(&generation) {
                meter.written = sums;
            }
        }
        Ok(())
    }

    /// Reads the counters of some generations.
    pub(crate) async fn load(engine: &dyn Engine, generations: &[u64]) -> Result<Self> {
        let (view, meters) = (View::of(engine), Self::default());
        for generation in generations {
            let aside = read_pair(view.get(&keys::catalog_of(space::READ_UNITS, *generation)).await?.as_ref())?;
            let mut meter = Meter { aside, written: aside, ..Meter::default() };
            let from = keys::catalog_of(space::WRITE_UNITS, *generation);
            let to = keys::after(&from);
            let at = from.len();
            let mut pairs = view.pairs(from, to, Order::Forward).await?;
            while let Some((key, value)) = pairs.next().await? {
                let counter: [u8; 2] = key[at..].try_into().map_err(|_| corrupt("a counter's key"))?;
                meter.counters.insert(u16::from_be_bytes(counter), decode_u64(Some(&value))?);
            }
            meters.0.lock().insert(*generation, meter);
        }
        Ok(meters)
    }
}

/// Read and write units as the engine keeps them.
pub(crate) fn pair(read: u64, write: u64) -> Vec<u8> {
    [read.to_be_bytes(), write.to_be_bytes()].concat()
}

/// The same read back; none are zero.
pub(crate) fn read_pair(bytes: Option<&Bytes>) -> Result<(u64, u64)> {
    let Some(bytes) = bytes else { return Ok((0, 0)) };
    let halves = bytes.split_first_chunk::<8>().and_then(|(read, rest)| Some((*read, <[u8; 8]>::try_from(rest).ok()?)));
    let (read, write) = halves.ok_or_else(|| corrupt("units that are not 16 bytes long"))?;
    Ok((u64::from_be_bytes(read), u64::from_be_bytes(write)))
}
