//! Clients that ask the same things of one server, and how long they wait: threads, keys, rates, percentiles.

use std::ops::Range;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};

/// Bytes of a row's value, which no compression makes shorter.
pub const VALUE_BYTES: usize = 1000;

/// Rows of one scan.
pub const SCAN_ROWS: u32 = 1000;

/// Not counted: caches fill, and threads find their pace.
const WARM_UP: Duration = Duration::from_secs(1);

/// How uneven the keys of the mixes are: YCSB's constant.
const THETA: f64 = 0.99;

/// One connection to a server with rows of a number and a value. An error ends the run: no answer is slow, none is wrong.
pub trait Target: Send {
    /// Reads a row that is there.
    fn get(&mut self, id: u64) -> Result<()>;
    /// Writes a row, whether it is there or not.
    fn put(&mut self, id: u64, value: &[u8]) -> Result<()>;
    /// Writes the value of a row that is there, on a condition that holds.
    fn change(&mut self, id: u64, value: &[u8]) -> Result<()>;
    /// Reads so many rows in the order of their numbers.
    fn scan(&mut self, from: u64, rows: u32) -> Result<()>;
    /// Writes all rows of a range, as quickly as can be.
    fn fill(&mut self, ids: Range<u64>, random: &mut Random) -> Result<()>;
}

/// Makes connections, one for each client.
pub type Connect<'a> = &'a (dyn Fn() -> Result<Box<dyn Target>> + Sync);

/// What each client does over and over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    Get,
    Put,
    Change,
    Scan,
    /// So many reads in a hundred, and puts; some keys far more often than others.
    Mix {
        reads: u64,
    },
}

/// One measurement.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    pub work: Work,
    pub clients: usize,
    pub seconds: f64,
    /// Rows that there are.
    pub rows: u64,
    /// Requests a second of all clients together; without it each asks again at once.
    pub rate: Option<f64>,
}

/// What was measured.
#[derive(Debug, Clone, Copy)]
pub struct Found {
    pub per_second: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    /// Processors that this program used.
    pub own_cpus: f64,
}

/// A small generator (xorshift), one for each client.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    /// A number from 0 to 1, without it.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A new value.
    pub fn fill(&mut self, value: &mut [u8]) {
        for bytes in value.chunks_mut(8) {
            let number = self.next().to_le_bytes();
            bytes.copy_from_slice(&number[..bytes.len()]);
        }
    }
}

/// Numbers below `n` of which a few come often, as YCSB makes them: where they lie is scattered.
struct Zipf {
    n: u64,
    zeta: f64,
    alpha: f64,
    eta: f64,
}

impl Zipf {
    fn new(n: u64) -> Self {
        let zeta = |n: u64| (1..=n).map(|i| 1.0 / (i as f64).powf(THETA)).sum::<f64>();
        let all = zeta(n);
        let eta = (1.0 - (2.0 / n as f64).powf(1.0 - THETA)) / (1.0 - zeta(2) / all);
        Self { n, zeta: all, alpha: 1.0 / (1.0 - THETA), eta }
    }

    fn next(&self, random: &mut Random) -> u64 {
        let u = random.unit();
        let place = u * self.zeta;
        let rank = if place < 1.0 {
            0
        } else if place < 1.0 + 0.5_f64.powf(THETA) {
            1
        } else {
            (self.n as f64 * (self.eta * u - self.eta + 1.0).powf(self.alpha)) as u64
        };
        // The finalizer of splitmix64.
        let mut hash = rank.wrapping_add(0x9e37_79b9_7f4a_7c15);
        hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (hash ^ (hash >> 31)) % self.n
    }
}

/// Lets the clients work, and says what they saw.
pub fn run(connect: Connect<'_>, asked: &Asked) -> Result<Found> {
    let targets = (0..asked.clients).map(|_| connect()).collect::<Result<Vec<_>>>()?;
    let zipf = matches!(asked.work, Work::Mix { .. }).then(|| Zipf::new(asked.rows));
    let together = Barrier::new(asked.clients + 1);
    let mut cpu_seconds = 0.0;
    let times = std::thread::scope(|scope| -> Result<Vec<f64>> {
        let (together, zipf) = (&together, zipf.as_ref());
        let threads: Vec<_> = targets
            .into_iter()
            .enumerate()
            .map(|(number, target)| {
                let client = Client { target, random: Random::new(number as u64), zipf, asked, number };
                scope.spawn(move || client.work(together))
            })
            .collect();
        together.wait();
        std::thread::sleep(WARM_UP);
        let before = own_cpu_seconds()?;
        let mut times = Vec::new();
        for thread in threads {
            times.extend(thread.join().map_err(|_| anyhow!("a client panicked"))??);
        }
        cpu_seconds = own_cpu_seconds()? - before;
        Ok(times)
    })?;
    found(times, asked.seconds, cpu_seconds)
}

fn found(mut times: Vec<f64>, seconds: f64, cpu_seconds: f64) -> Result<Found> {
    ensure!(!times.is_empty(), "no request was answered in {seconds} s");
    times.sort_by(f64::total_cmp);
    let at = |part: f64| times[((times.len() as f64 * part) as usize).min(times.len() - 1)] * 1000.0;
    Ok(Found {
        per_second: times.len() as f64 / seconds,
        p50_ms: at(0.5),
        p99_ms: at(0.99),
        own_cpus: cpu_seconds / seconds,
    })
}

/// A client in a thread of its own.
struct Client<'a> {
    target: Box<dyn Target>,
    random: Random,
    zipf: Option<&'a Zipf>,
    asked: &'a Asked,
    number: usize,
}

impl Client<'_> {
    /// Seconds of each request that counts.
    fn work(mut self, together: &Barrier) -> Result<Vec<f64>> {
        let mut value = vec![0; VALUE_BYTES];
        together.wait();
        let begun = Instant::now();
        let end = WARM_UP + Duration::from_secs_f64(self.asked.seconds);
        let every = self.asked.rate.map(|rate| Duration::from_secs_f64(self.asked.clients as f64 / rate));
        // The clients of a rate do not all ask at the same moment.
        let share = self.number as f64 / self.asked.clients as f64;
        let mut due = every.map_or(Duration::ZERO, |every| every.mul_f64(share));
        let mut times = Vec::new();
        loop {
            match every {
                Some(every) => {
                    // Whoever is late asks at once, and its wait counts from when it should have asked.
                    if let Some(early) = due.checked_sub(begun.elapsed()) {
                        std::thread::sleep(early);
                    }
                    if due >= end {
                        return Ok(times);
                    }
                    self.step(&mut value)?;
                    if due >= WARM_UP {
                        times.push(begun.elapsed().saturating_sub(due).as_secs_f64());
                    }
                    due += every;
                }
                None => {
                    due = begun.elapsed();
                    if due >= end {
                        return Ok(times);
                    }
                    self.step(&mut value)?;
                    if due >= WARM_UP {
                        times.push((begun.elapsed() - due).as_secs_f64());
                    }
                }
            }
        }
    }

    fn step(&mut self, value: &mut [u8]) -> Result<()> {
        let id = match self.zipf {
            Some(zipf) => zipf.next(&mut self.random),
            None => self.random.below(self.asked.rows),
        };
        match self.asked.work {
            Work::Get => self.target.get(id),
            Work::Mix { reads } if self.random.below(100) < reads => self.target.get(id),
            Work::Scan => {
                let from = id.min(self.asked.rows.saturating_sub(SCAN_ROWS.into()));
                self.target.scan(from, SCAN_ROWS)
            }
            Work::Change => {
                self.random.fill(value);
                self.target.change(id, value)
            }
            Work::Put | Work::Mix { .. } => {
                self.random.fill(value);
                self.target.put(id, value)
            }
        }
    }
}

/// Writes `rows` rows by so many clients; returns the seconds it took.
pub fn fill(connect: Connect<'_>, rows: u64, clients: u64) -> Result<f64> {
    let begun = Instant::now();
    std::thread::scope(|scope| -> Result<()> {
        let mut threads = Vec::new();
        for client in 0..clients {
            let mut target = connect()?;
            let ids = rows * client / clients..rows * (client + 1) / clients;
            threads.push(scope.spawn(move || target.fill(ids, &mut Random::new(client))));
        }
        for thread in threads {
            thread.join().map_err(|_| anyhow!("a client panicked"))??;
        }
        Ok(())
    })?;
    Ok(begun.elapsed().as_secs_f64())
}

/// Processor seconds of this program so far, in its own code and in the system's on its behalf.
fn own_cpu_seconds() -> Result<f64> {
    let text = std::fs::read_to_string("/proc/self/stat").context("read /proc/self/stat")?;
    // The name in parentheses may hold blanks; user and system time are the 12th and 13th field after it, in ticks.
    let after = text.rsplit_once(')').context("/proc/self/stat has no name")?.1;
    let ticks = after.split_whitespace().skip(11).take(2).filter_map(|n| n.parse::<f64>().ok()).sum::<f64>();
    Ok(ticks / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    // YCSB's generator with theta 0.99 over a million items: the most frequent one is 1/zeta of all, which is 6.5 %.
    #[test]
    fn a_few_keys_come_often_and_all_are_below_the_end() {
        let (zipf, mut random) = (Zipf::new(1_000_000), Random::new(7));
        let mut times = std::collections::BTreeMap::new();
        for _ in 0..100_000 {
            let id = zipf.next(&mut random);
            assert!(id < 1_000_000);
            *times.entry(id).or_insert(0) += 1;
        }
        let most: i32 = times.values().copied().max().unwrap_or_default();
        assert!((6000..7000).contains(&most), "{most}");
        assert!(times.len() > 10_000, "{}", times.len());
    }

    #[test]
    fn percentiles_are_those_of_the_sorted_times() {
        let times = (1..=100).rev().map(|ms| f64::from(ms) / 1000.0).collect();
        let found = found(times, 2.0, 1.0).expect("there are times");
        assert_eq!((found.per_second, found.own_cpus), (50.0, 0.5));
        assert!((found.p50_ms - 51.0).abs() < 1e-9 && (found.p99_ms - 100.0).abs() < 1e-9, "{found:?}");
    }
}
