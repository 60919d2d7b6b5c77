//! Small damage to an input: bits, bytes, numbers, pieces moved, doubled, cut, and nested deep.

use crate::rng::Rng;

/// Inputs do not grow beyond this.
pub const MAX_BYTES: usize = 64 << 10;

/// Numbers at the edges of widths and of what a machine can hold.
const EDGES: &[u64] = &[
    0,
    1,
    127,
    128,
    255,
    (1 << 16) - 1,
    (1 << 31) - 1,
    1 << 31,
    (1 << 32) - 1,
    1 << 32,
    (1 << 60),
    (1 << 63) - 1,
    1 << 63,
    u64::MAX - 1,
    u64::MAX,
];

/// A damaged copy of `input`; `other` lends pieces, `words` are tokens of the format.
pub fn mutate(rng: &mut Rng, input: &[u8], other: &[u8], words: &[&[u8]]) -> Vec<u8> {
    let mut out = input.to_vec();
    for _ in 0..=rng.below(4) {
        step(rng, &mut out, other, words);
    }
    out.truncate(MAX_BYTES);
    out
}

fn step(rng: &mut Rng, out: &mut Vec<u8>, other: &[u8], words: &[&[u8]]) {
    let at = rng.below(out.len() + 1);
    match rng.below(12) {
        0 => flip(rng, out),
        1 => set(rng, out),
        2 => {
            let range = rng.range(out.len());
            out.drain(range);
        }
        3 => {
            let piece = out[rng.range(out.len())].to_vec();
            insert(out, at, &piece);
        }
        4 => insert(out, at, &other[rng.range(other.len())]),
        5 => {
            // The beginning of one input and the end of another.
            out.truncate(at);
            out.extend_from_slice(&other[rng.below(other.len() + 1)..]);
        }
        6 => insert(out, at, &varint(EDGES[rng.below(EDGES.len())])),
        7 => {
            let number = EDGES[rng.below(EDGES.len())].to_le_bytes();
            overwrite(out, at, &number[..1 << rng.below(4)]);
        }
        8 => insert(out, at, EDGES[rng.below(EDGES.len())].to_string().as_bytes()),
        9 => out.truncate(at),
        10 => {
            // The same piece very often: depth, and lengths that add up.
            let piece = out[rng.range(out.len())].to_vec();
            let times = 1 + rng.below(3_000).min(MAX_BYTES / piece.len().max(1));
            insert(out, at, &piece.repeat(times));
        }
        _ => {
            if let Some(word) = rng.pick(words) {
                insert(out, at, word);
            }
        }
    }
}

fn flip(rng: &mut Rng, out: &mut [u8]) {
    let at = rng.below(out.len());
    if let Some(byte) = out.get_mut(at) {
        *byte ^= 1 << rng.below(8);
    }
}

fn set(rng: &mut Rng, out: &mut [u8]) {
    let at = rng.below(out.len());
    let value = rng.bits() as u8;
    if let Some(byte) = out.get_mut(at) {
        *byte = value;
    }
}

fn insert(out: &mut Vec<u8>, at: usize, piece: &[u8]) {
    let room = MAX_BYTES.saturating_sub(out.len()).min(piece.len());
    out.splice(at..at, piece[..room].iter().copied());
}

fn overwrite(out: &mut [u8], at: usize, piece: &[u8]) {
    for (byte, new) in out[at..].iter_mut().zip(piece) {
        *byte = *new;
    }
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_input_can_be_mutated_and_stays_bounded() {
        let mut rng = Rng::new(1);
        let mut input = Vec::new();
        for _ in 0..20_000 {
            input = mutate(&mut rng, &input, b"other", &[b"word"]);
            assert!(input.len() <= MAX_BYTES);
        }
    }

    #[test]
    fn varints_are_base_128_least_significant_first() {
        // The example of the protocol buffers documentation: 150 is 96 01.
        assert_eq!(varint(150), [0x96, 0x01]);
        assert_eq!(varint(u64::MAX).len(), 10);
    }
}
