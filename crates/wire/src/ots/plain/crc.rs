//! The CRC-8 of PlainBuffer: polynomial 0x07, no reflection, beginning at 0.

/// `TABLES[n][byte]` is what a byte with `n` bytes behind it adds to the checksum.
const TABLES: [[u8; 256]; 8] = tables();

const fn tables() -> [[u8; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut at = 0;
    while at < 256 {
        let mut crc = at as u8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x80 == 0 { crc << 1 } else { (crc << 1) ^ 0x07 };
            bit += 1;
        }
        tables[0][at] = crc;
        at += 1;
    }
    let mut behind = 1;
    while behind < 8 {
        let mut at = 0;
        while at < 256 {
            tables[behind][at] = tables[0][tables[behind - 1][at] as usize];
            at += 1;
        }
        behind += 1;
    }
    tables
}

/// The checksum of what `crc` covers, followed by `bytes`. Eight bytes at a time: one after the other, each would wait for
/// the one before, and a page of rows has megabytes.
pub(super) fn update(mut crc: u8, bytes: &[u8]) -> u8 {
    let (eights, rest) = bytes.as_chunks::<8>();
    for eight in eights {
        let [first, others @ ..] = *eight;
        crc = others
            .iter()
            .zip([6_usize, 5, 4, 3, 2, 1, 0])
            .fold(TABLES[7][usize::from(crc ^ first)], |crc, (byte, behind)| crc ^ TABLES[behind][usize::from(*byte)]);
    }
    rest.iter().fold(crc, |crc, byte| TABLES[0][usize::from(crc ^ byte)])
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

    // Arithmetic: the remainder of the bits, one after the other.
    #[test]
    fn eight_bytes_at_a_time_are_one_at_a_time() {
        let bytes: Vec<u8> = (0..100_u8).map(|n| n.wrapping_mul(37) ^ 0x5a).collect();
        let bit_by_bit = |bytes: &[u8]| {
            bytes.iter().fold(0_u8, |crc, byte| {
                (0..8).fold(crc ^ byte, |crc, _| if crc & 0x80 == 0 { crc << 1 } else { (crc << 1) ^ 0x07 })
            })
        };
        for (from, to) in [(0, 0), (0, 7), (0, 8), (3, 20), (1, 100)] {
            assert_eq!(update(0, &bytes[from..to]), bit_by_bit(&bytes[from..to]), "{from}..{to}");
        }
    }
}
