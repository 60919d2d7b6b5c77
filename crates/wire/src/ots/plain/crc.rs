//! The CRC-8 of PlainBuffer: polynomial 0x07, no reflection, beginning at 0.

const TABLE: [u8; 256] = table();

const fn table() -> [u8; 256] {
    let mut table = [0; 256];
    let mut at = 0;
    while at < 256 {
        let mut crc = at as u8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x80 == 0 { crc << 1 } else { (crc << 1) ^ 0x07 };
            bit += 1;
        }
        table[at] = crc;
        at += 1;
    }
    table
}

/// The checksum of what `crc` covers, followed by `bytes`.
pub(super) fn update(crc: u8, bytes: &[u8]) -> u8 {
    bytes.iter().fold(crc, |crc, byte| TABLE[usize::from(crc ^ byte)])
}

#[cfg(test)]
mod tests {
    use super::*;

    // Check value over "123456789": catalogue entry CRC-8/SMBUS.
    #[test]
    fn pieces_give_the_published_check_value() {
        assert_eq!(update(0, b"123456789"), 0xf4);
        assert_eq!(update(update(0, b"1234"), b"56789"), 0xf4);
    }
}
