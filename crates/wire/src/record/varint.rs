//! Base-128 varints, eight bytes at a time, and the growing buffer they are written to.

/// Maps small numbers of either sign to small unsigned ones.
#[inline]
pub(super) fn zigzag(v: i64) -> u64 {
    ((v << 1) ^ (v >> 63)) as u64
}

/// The inverse of [`zigzag`].
#[inline]
pub(super) fn unzigzag(v: u64) -> i64 {
    (v >> 1) as i64 ^ -((v & 1) as i64)
}

/// Spreads the low 56 bits over eight bytes, seven bits in each.
#[inline]
fn spread(v: u64) -> u64 {
    let v = (v & 0x0000_0000_0fff_ffff) | ((v & 0x00ff_ffff_f000_0000) << 4);
    let v = (v & 0x0000_3fff_0000_3fff) | ((v & 0x0fff_c000_0fff_c000) << 2);
    (v & 0x007f_007f_007f_007f) | ((v & 0x3f80_3f80_3f80_3f80) << 1)
}

/// The inverse of [`spread`]; the top bit of each byte must be clear.
#[inline]
fn gather(v: u64) -> u64 {
    let v = (v & 0x007f_007f_007f_007f) | ((v & 0x7f00_7f00_7f00_7f00) >> 1);
    let v = (v & 0x0000_3fff_0000_3fff) | ((v & 0x3fff_0000_3fff_0000) >> 2);
    (v & 0x0000_0000_0fff_ffff) | ((v & 0x0fff_ffff_0000_0000) >> 4)
}

const TOPS: u64 = 0x8080_8080_8080_8080;

/// The bytes of a varint below 2^56 as a little-endian word, and how many there are.
#[inline]
pub(super) fn encode_word(v: u64) -> (u64, usize) {
    let bits = 64 - (v | 1).leading_zeros() as usize;
    let n = bits.div_ceil(7);
    let tops = TOPS & ((1u64 << (8 * (n - 1))) - 1);
    (spread(v) | tops, n)
}

/// The varint at the start of ten bytes and its length; `None` if it does not end there or exceeds 64 bits.
#[inline]
pub(super) fn decode(bytes: &[u8; 10]) -> Option<(u64, usize)> {
    if bytes[0] < 0x80 {
        return Some((bytes[0].into(), 1));
    }
    let [b0, b1, b2, b3, b4, b5, b6, b7, b8, b9] = *bytes;
    let word = u64::from_le_bytes([b0, b1, b2, b3, b4, b5, b6, b7]);
    let ends = !word & TOPS;
    if ends != 0 {
        let n = ends.trailing_zeros() as usize / 8 + 1;
        let used = word & (u64::MAX >> (64 - 8 * n)) & !TOPS;
        return Some((gather(used), n));
    }
    let low = gather(word & !TOPS) | u64::from(b8 & 0x7f) << 56;
    match (b8 < 0x80, b9) {
        (true, _) => Some((low, 9)),
        (false, 0 | 1) => Some((low | u64::from(b9) << 63, 10)),
        _ => None,
    }
}

/// A byte buffer with room to spare, so that a small value is one store of eight bytes.
pub(super) struct Sink {
    buf: Vec<u8>,
    len: usize,
}

impl Sink {
    pub(super) fn new() -> Self {
        Self::over(Vec::new())
    }

    /// Appends to `buf`; [`Sink::into_vec`] gives it back.
    pub(super) fn over(buf: Vec<u8>) -> Self {
        Self { len: buf.len(), buf }
    }

    pub(super) fn into_vec(mut self) -> Vec<u8> {
        self.buf.truncate(self.len);
        self.buf
    }

    pub(super) fn filled(&self) -> &[u8] {
        &self.buf[..self.len]
    }

    pub(super) fn clear(&mut self) {
        self.len = 0;
    }

    /// Makes room for `n` more bytes.
    #[inline]
    pub(super) fn room(&mut self, n: usize) {
        if self.buf.len() - self.len < n {
            self.grow(n);
        }
    }

    #[cold]
    fn grow(&mut self, n: usize) {
        let want = (self.len + n).max(self.buf.len() * 2).max(4096);
        self.buf.resize(want, 0);
    }

    /// Appends the low `n` (at most 8) bytes of `word`; needs room for 8.
    #[inline]
    pub(super) fn word(&mut self, word: u64, n: usize) {
        self.buf[self.len..self.len + 8].copy_from_slice(&word.to_le_bytes());
        self.len += n;
    }

    /// Appends a varint; needs room for 16.
    #[inline]
    pub(super) fn varint(&mut self, v: u64) {
        if v < 0x80 {
            self.buf[self.len] = v as u8;
            self.len += 1;
        } else if v < 1 << 56 {
            let (word, n) = encode_word(v);
            self.word(word, n);
        } else {
            self.word(spread(v & ((1 << 56) - 1)) | TOPS, 8);
            let high = v >> 56;
            if high < 0x80 {
                self.word(high, 1);
            } else {
                self.word(high | 0x80 | (1 << 8), 2);
            }
        }
    }

    /// Appends `bytes`; needs room for them.
    #[inline]
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.buf[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn encoded(v: u64) -> Vec<u8> {
        let mut sink = Sink::new();
        sink.room(16);
        sink.varint(v);
        sink.into_vec()
    }

    /// The definition: seven bits a byte, lowest first, the top bit says that more follow.
    fn by_definition(mut v: u64) -> Vec<u8> {
        let mut out = vec![];
        while v >= 0x80 {
            out.push(v as u8 | 0x80);
            v >>= 7;
        }
        out.push(v as u8);
        out
    }

    fn padded(bytes: &[u8]) -> [u8; 10] {
        let mut ten = [0xff; 10];
        ten[..bytes.len()].copy_from_slice(bytes);
        ten
    }

    #[test]
    fn varints_of_every_length_follow_the_definition() {
        for v in (0..64).flat_map(|bit| [(1u64 << bit) - 1, 1 << bit, (1 << bit) + 1]).chain([u64::MAX]) {
            assert_eq!(encoded(v), by_definition(v), "{v}");
            assert_eq!(decode(&padded(&encoded(v))), Some((v, encoded(v).len())), "{v}");
        }
        assert_eq!(decode(&[0xff; 10]), None);
        assert_eq!(decode(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]), None);
    }

    proptest! {
        #[test]
        fn varints_round_trip(v in any::<u64>(), shift in 0u32..64) {
            let v = v >> shift;
            prop_assert_eq!(decode(&padded(&encoded(v))), Some((v, by_definition(v).len())));
            prop_assert_eq!(unzigzag(zigzag(v as i64)), v as i64);
        }
    }
}
