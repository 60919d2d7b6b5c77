//! HyperLogLog++ sketches as bytes: how HLL_COUNT_INIT and its like count different values.
//!
//! Users keep sketches in tables, so their form is one for ever: a byte 1, the precision p, a byte for the kind of the
//! values, and the registers that are not zero. Those are one byte for each of the 2^p registers, or, where that is
//! shorter, pairs of the register's number (4 bytes, the lowest first) and its byte, in ascending order.
//!
//! A register's number is the first p bits of a value's hash, and its byte the place of the first 1 in the others, the
//! largest that occurred. The hash is FNV-1a over the value's bytes, finished as in MurmurHash3.

use std::collections::BTreeMap;

use crate::error::FunctionError;

const FORM: u8 = 1;
const HEADER: usize = 3;
/// Bytes of a register in the short form.
const PAIR: usize = 5;

/// Precisions that a sketch may have.
pub(crate) const PRECISIONS: std::ops::RangeInclusive<u8> = 10..=24;
pub(crate) const DEFAULT_PRECISION: u8 = 15;

/// What the values of a sketch are. Sketches of different kinds do not merge: equal values have other bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Big = 1,
    Decimal = 2,
    Text = 3,
    Bytes = 4,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Big => "BIGINT",
            Self::Decimal => "DECIMAL",
            Self::Text => "STRING",
            Self::Bytes => "BINARY",
        }
    }
}

/// The registers of one sketch.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sketch {
    precision: u8,
    kind: Kind,
    registers: Registers,
}

#[derive(Debug, Clone, PartialEq)]
enum Registers {
    Few(BTreeMap<u32, u8>),
    Many(Vec<u8>),
}

fn hash(value: &[u8]) -> u64 {
    let fnv = value.iter().fold(0xcbf2_9ce4_8422_2325, |h: u64, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3));
    let mixed = (fnv ^ (fnv >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    mixed ^ (mixed >> 33)
}

impl Sketch {
    pub(crate) fn new(precision: u8, kind: Kind) -> Self {
        Self { precision, kind, registers: Registers::Few(BTreeMap::new()) }
    }

    pub(crate) fn precision(&self) -> u8 {
        self.precision
    }

    pub(crate) fn add(&mut self, value: &[u8]) {
        let hash = hash(value);
        let number = (hash >> (64 - self.precision)) as u32;
        // A 1 behind the last bit ends the search.
        let rest = (hash << self.precision) | (1 << (self.precision - 1));
        self.raise(number, rest.leading_zeros() as u8 + 1);
    }

    fn count_of_registers(&self) -> usize {
        1 << self.precision
    }

    fn raise(&mut self, number: u32, to: u8) {
        let all = self.count_of_registers();
        match &mut self.registers {
            Registers::Many(bytes) => {
                if let Some(byte) = bytes.get_mut(number as usize) {
                    *byte = to.max(*byte);
                }
            }
            Registers::Few(few) => {
                let byte = few.entry(number).or_default();
                *byte = to.max(*byte);
                if few.len() * PAIR >= all {
                    let mut bytes = vec![0; all];
                    few.iter().for_each(|(number, byte)| bytes[*number as usize] = *byte);
                    self.registers = Registers::Many(bytes);
                }
            }
        }
    }

    /// The registers that are not zero.
    fn each(&self, mut f: impl FnMut(u32, u8)) {
        match &self.registers {
            Registers::Few(few) => few.iter().for_each(|(number, byte)| f(*number, *byte)),
            Registers::Many(bytes) => {
                bytes.iter().enumerate().filter(|(_, b)| **b > 0).for_each(|(number, byte)| f(number as u32, *byte));
            }
        }
    }

    /// The same sketch as one of a lower precision would have become.
    fn lowered(&self, precision: u8) -> Self {
        let mut out = Self::new(precision, self.kind);
        let less = self.precision - precision;
        self.each(|number, byte| {
            let cut = number & ((1 << less) - 1);
            let to = if cut == 0 { less + byte } else { less - (32 - cut.leading_zeros()) as u8 + 1 };
            out.raise(number >> less, to);
        });
        out
    }

    /// Adds the values of `other`; the result has the lower precision of both.
    pub(crate) fn merge(&mut self, other: &Self) -> Result<(), FunctionError> {
        if self.kind != other.kind {
            let (ours, theirs) = (self.kind.name(), other.kind.name());
            return Err(FunctionError::arguments(format!("a sketch of {ours} and one of {theirs} do not merge")));
        }
        let precision = self.precision.min(other.precision);
        if precision < self.precision {
            *self = self.lowered(precision);
        }
        if precision < other.precision {
            other.lowered(precision).each(|number, byte| self.raise(number, byte));
        } else {
            other.each(|number, byte| self.raise(number, byte));
        }
        Ok(())
    }

    /// About how many different values were added: Otmar Ertl, "New cardinality estimation algorithms for HyperLogLog
    /// sketches", arXiv:1702.01284, algorithm 6.
    pub(crate) fn count(&self) -> i64 {
        let registers = self.count_of_registers() as f64;
        let highest = usize::from(64 - self.precision);
        let mut counts = vec![0.0; highest + 2];
        let mut zeros = registers;
        self.each(|_, byte| {
            if let Some(count) = counts.get_mut(usize::from(byte)) {
                *count += 1.0;
                zeros -= 1.0;
            }
        });
        let mut z = registers * tau(1.0 - counts[highest + 1] / registers);
        for count in counts[1..=highest].iter().rev() {
            z = 0.5 * (z + count);
        }
        z += registers * sigma(zeros / registers);
        (registers * registers / (2.0 * std::f64::consts::LN_2 * z)).round() as i64
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut out = vec![FORM, self.precision, self.kind as u8];
        match &self.registers {
            Registers::Many(bytes) => out.extend(bytes),
            Registers::Few(few) => {
                for (number, byte) in few {
                    out.extend(number.to_le_bytes());
                    out.push(*byte);
                }
            }
        }
        out
    }

    /// ODPS-0121095 for bytes that are no sketch.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, FunctionError> {
        Self::read(bytes).ok_or_else(|| FunctionError::arguments("the bytes are no sketch of HLL_COUNT_INIT"))
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (header, rest) = bytes.split_at_checked(HEADER)?;
        let &[FORM, precision, kind] = header else { return None };
        let kind = [Kind::Big, Kind::Decimal, Kind::Text, Kind::Bytes].into_iter().find(|k| *k as u8 == kind)?;
        if !PRECISIONS.contains(&precision) {
            return None;
        }
        let mut out = Self::new(precision, kind);
        let (all, highest) = (out.count_of_registers(), 64 - precision + 1);
        if rest.len() == all {
            out.registers = Registers::Many(rest.to_vec());
            return rest.iter().all(|byte| *byte <= highest).then_some(out);
        }
        if rest.len() > all || !rest.len().is_multiple_of(PAIR) {
            return None;
        }
        let mut few: BTreeMap<u32, u8> = BTreeMap::new();
        for pair in rest.chunks_exact(PAIR) {
            let &[a, b, c, d, byte] = pair else { return None };
            let number = u32::from_le_bytes([a, b, c, d]);
            let ascends = few.last_key_value().is_none_or(|(last, _)| *last < number);
            if !ascends || number as usize >= all || !(1..=highest).contains(&byte) {
                return None;
            }
            few.insert(number, byte);
        }
        out.registers = Registers::Few(few);
        Some(out)
    }

    /// About how much memory it takes.
    pub(crate) fn size(&self) -> usize {
        size_of_val(self)
            + match &self.registers {
                Registers::Few(few) => few.len() * 4 * PAIR,
                Registers::Many(bytes) => bytes.len(),
            }
    }
}

/// The sum of `x^(2^k) 2^(k-1)` over all k from 1, and x.
fn sigma(x: f64) -> f64 {
    if x >= 1.0 {
        return f64::INFINITY;
    }
    let (mut power, mut weight, mut sum) = (x, 1.0, x);
    loop {
        power *= power;
        let before = sum;
        sum += power * weight;
        weight += weight;
        if sum <= before {
            return sum;
        }
    }
}

/// A third of `1 - x` less the sum of `(1 - x^(2^-k))^2 2^-k` over all k from 1.
fn tau(x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return 0.0;
    }
    let (mut root, mut weight, mut sum) = (x, 1.0, 1.0 - x);
    loop {
        root = root.sqrt();
        let before = sum;
        weight *= 0.5;
        sum -= (1.0 - root).powi(2) * weight;
        if sum >= before {
            return sum / 3.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(precision: u8, numbers: std::ops::Range<u64>) -> Sketch {
        let mut sketch = Sketch::new(precision, Kind::Big);
        numbers.for_each(|n| sketch.add(&n.to_le_bytes()));
        sketch
    }

    // The standard error of the paper is 1.04 / sqrt(2^p); four of it are as good as never missed.
    #[test]
    fn counts_are_near_the_truth() {
        for (precision, n) in [(10, 0), (10, 1), (10, 100), (10, 100_000), (15, 3), (15, 50_000), (24, 1_000)] {
            let (found, truth) = (of(precision, 0..n).count() as f64, n as f64);
            let error = 4.0 * 1.04 / f64::from(1u32 << precision).sqrt();
            assert!((found - truth).abs() <= (truth * error).max(0.5), "{precision}: {found} for {truth}");
        }
    }

    #[test]
    fn sketches_merge_to_the_sketch_of_all_values() {
        for (high, low) in [(15, 15), (15, 10), (24, 11)] {
            let mut merged = of(high, 0..3_000);
            merged.merge(&of(low, 2_000..5_000)).expect("one kind");
            assert_eq!(merged, of(low, 0..5_000), "{high} and {low}");
            let mut merged = of(low, 0..3_000);
            merged.merge(&of(high, 2_000..5_000)).expect("one kind");
            assert_eq!(merged, of(low, 0..5_000), "{low} and {high}");
        }
        let other = Sketch::new(15, Kind::Text);
        assert!(of(15, 0..3).merge(&other).is_err());
    }

    #[test]
    fn bytes_are_read_back_and_other_bytes_are_refused() {
        for sketch in [of(10, 0..0), of(10, 0..5), of(10, 0..5_000), of(15, 0..700)] {
            assert_eq!(Sketch::parse(&sketch.to_bytes()).expect("a sketch"), sketch);
        }
        let few = of(10, 0..2).to_bytes();
        let cut = &few[..few.len() - 1];
        let (number, byte) = ([1, 10, 1, 0, 4, 0, 0, 1], [1, 10, 1, 0, 0, 0, 0, 56]);
        let all_bad: [&[u8]; 7] = [b"", b"abc", cut, &[1, 9, 1], &[1, 10, 9], &number, &byte];
        for bad in all_bad {
            assert!(Sketch::parse(bad).is_err(), "{bad:?}");
        }
    }
}
