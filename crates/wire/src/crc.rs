//! CRC-32C (Castagnoli), in one go or in pieces, and the CRC-32 of zlib and Ethernet.

use crc_fast::{CrcAlgorithm, Digest};

/// The CRC-32C of `bytes`.
pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(bytes)
}

/// A CRC-32C that grows piece by piece. Pieces should be large: each has a fixed cost.
pub(crate) struct Crc32c(Digest);

impl Crc32c {
    pub(crate) fn new() -> Self {
        Self(Digest::new(CrcAlgorithm::Crc32Iscsi))
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The value over all pieces so far.
    pub(crate) fn value(&self) -> u32 {
        self.0.finalize() as u32
    }

    pub(crate) fn reset(&mut self) {
        self.0.reset();
    }
}

impl Default for Crc32c {
    fn default() -> Self {
        Self::new()
    }
}

/// A CRC-32 (IEEE 802.3) that grows piece by piece.
pub(crate) struct Crc32(Digest);

impl Crc32 {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The value over all pieces so far.
    pub(crate) fn value(&self) -> u32 {
        self.0.finalize() as u32
    }
}

impl Default for Crc32 {
    fn default() -> Self {
        Self(Digest::new(CrcAlgorithm::Crc32IsoHdlc))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Check value over "123456789": catalogue entry CRC-32/ISO-HDLC.
    #[test]
    fn the_other_crc_has_its_published_check_value_too() {
        let mut crc = Crc32::default();
        crc.update(b"1234");
        crc.update(b"56789");
        assert_eq!(crc.value(), 0xcbf4_3926);
    }

    // Check value of CRC-32C over "123456789": RFC 3720 (iSCSI), catalogue entry CRC-32/ISCSI.
    #[test]
    fn pieces_give_the_published_check_value() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        let mut crc = Crc32c::new();
        crc.update(b"1234");
        crc.update(b"56789");
        assert_eq!(crc.value(), 0xe306_9283);
        crc.reset();
        assert_eq!(crc.value(), 0);
    }
}
