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
#[inline(always)]
pub(super) fn encode_word(v: u64) -> (u64, usize) {
    let top_bit = 63 - (v | 1).leading_zeros();
    // One more than top_bit / 7, without a division.
    let n = (top_bit * 9 + 73) / 64;
    let tops = TOPS & ((1u64 << (8 * (n - 1))) - 1);
    (spread(v) | tops, n as usize)
}

/// The varint at the start of ten bytes and its length; `None` if it does not end there or exceeds 64 bits.
#[inline(always)]
pub(super) fn decode(bytes: &[u8; 10]) -> Option<(u64, usize)> {
    let word = u64::from_le_bytes(*bytes.first_chunk::<8>()?);
    // The lowest of these bits ends the varint.
    let ends = !word & TOPS;
    if ends == 0 {
        return decode_long(word, bytes[8], bytes[9]);
    }
    let upto = ends ^ (ends - 1);
    Some((gather(word & upto & !TOPS), (ends.trailing_zeros() as usize + 1) / 8))
}

#[cold]
fn decode_long(word: u64, b8: u8, b9: u8) -> Option<(u64, usize)> {
    let low = gather(word & !TOPS) | u64::from(b8 & 0x7f) << 56;
    match (b8 < 0x80, b9) {
        (true, _) => Some((low, 9)),
        (false, 0 | 1) => Some((low | u64::from(b9) << 63, 10)),
        _ => None,
    }
}

/// Up to seven bytes that go before others, in a word.
#[derive(Clone, Copy)]
pub(super) struct Lead {
    pub(super) word: u64,
    pub(super) len: usize,
}

impl Lead {
    pub(super) const NOTHING: Self = Self { word: 0, len: 0 };
}

/// A byte buffer with room to spare, so that a small value is one store of a fixed width.
pub(super) struct Sink {
    /// The filled bytes, then zeroes and leftovers to be overwritten.
    buf: Vec<u8>,
    len: usize,
    /// What [`Sink::room`] leaves free beyond what it is asked for.
    spare: usize,
}

/// So much is zeroed ahead: seldom enough, and still in the cache when it is overwritten.
const STEP: usize = 4096;

impl Sink {
    /// A sink that keeps `spare` bytes free for values of bounded size.
    pub(super) fn new(spare: usize) -> Self {
        Self::over(Vec::new(), spare)
    }

    /// Appends to `buf`; [`Sink::into_vec`] gives it back.
    pub(super) fn over(buf: Vec<u8>, spare: usize) -> Self {
        Self { len: buf.len(), buf, spare }
    }

    pub(super) fn into_vec(mut self) -> Vec<u8> {
        self.buf.truncate(self.len);
        self.buf
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn filled(&self) -> &[u8] {
        &self.buf[..self.len]
    }

    pub(super) fn clear(&mut self) {
        self.len = 0;
    }

    /// Makes room for `n` more bytes, and what is spare.
    #[inline(always)]
    pub(super) fn room(&mut self, n: usize) {
        if self.buf.len() - self.len < self.spare + n {
            self.grow(n);
        }
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self, n: usize) {
        self.buf.resize(self.len + self.spare + n + STEP, 0);
    }

    /// Appends the first `n` of `bytes`; needs room for all `N`.
    #[inline(always)]
    pub(super) fn short<const N: usize>(&mut self, bytes: &[u8; N], n: usize) {
        *at(&mut self.buf[self.len..]) = *bytes;
        self.len += n;
    }

    /// [`Sink::word`] of `lead` and [`Sink::short`] in one; needs room for 8 and `N`.
    #[inline(always)]
    pub(super) fn led<const N: usize>(&mut self, lead: Lead, bytes: &[u8; N], n: usize) {
        let slot = &mut self.buf[self.len..][..8 + N];
        *at(slot) = lead.word.to_le_bytes();
        // The mask tells the compiler that it is at most 7.
        *at(&mut slot[lead.len & 7..]) = *bytes;
        self.len += lead.len + n;
    }

    /// Appends the low `n` (at most 8) bytes of `word`; needs room for 8.
    #[inline(always)]
    pub(super) fn word(&mut self, word: u64, n: usize) {
        self.short(&word.to_le_bytes(), n);
    }

    /// Appends `lead` and a varint; needs room for 24.
    #[inline(always)]
    pub(super) fn led_varint(&mut self, lead: Lead, v: u64) {
        if v < 1 << 56 {
            let (word, n) = encode_word(v);
            self.led(lead, &word.to_le_bytes(), n);
        } else {
            self.long_varint(lead, v);
        }
    }

    #[cold]
    fn long_varint(&mut self, lead: Lead, v: u64) {
        self.led(lead, &(spread(v & ((1 << 56) - 1)) | TOPS).to_le_bytes(), 8);
        let high = v >> 56;
        if high < 0x80 {
            self.word(high, 1);
        } else {
            self.word(high | 0x80 | (1 << 8), 2);
        }
    }

    /// Appends a varint; needs room for 24.
    pub(super) fn varint(&mut self, v: u64) {
        self.led_varint(Lead::NOTHING, v);
    }

    /// Appends `bytes` of any length.
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.room(bytes.len());
        self.buf[self.len..][..bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }
}

/// The first bytes of `free`, to be stored to as one. Copying a slice would do, but a build with debug assertions then
/// checks each time that source and target do not overlap.
#[inline(always)]
fn at<const N: usize>(free: &mut [u8]) -> &mut [u8; N] {
    free.first_chunk_mut().expect("room has been made")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn encoded(v: u64) -> Vec<u8> {
        let mut sink = Sink::new(24);
        sink.room(0);
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
