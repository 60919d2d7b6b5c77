//! Names that we hand out: they sort by time and are never given twice.

use chrono::{DateTime, Utc};

/// A new ULID, lower case, 26 characters: tables, sessions, commit records.
pub fn ulid() -> String {
    ulid::Ulid::generate().to_string().to_lowercase()
}

/// The ULID of this moment (milliseconds since 1970) that stands for these bytes: whoever asks again gets it again.
pub fn ulid_for(ms: i64, bytes: [u8; 10]) -> String {
    let random = bytes.iter().fold(0u128, |number, byte| (number << 8) | u128::from(*byte));
    ulid::Ulid::from_parts(ms.unsigned_abs(), random).to_string().to_lowercase()
}

/// When [`ulid`] or [`ulid_for`] made this; `None` for a text that it never makes.
pub fn ulid_ms(text: &str) -> Option<i64> {
    let read = ulid::Ulid::from_string(text).ok()?;
    // Capital letters, and numbers that do not fit, would be further names of the same.
    let is_ours = read.to_string().to_lowercase() == text;
    is_ours.then(|| i64::try_from(read.timestamp_ms()).ok()).flatten()
}

/// A new instance id: `yyyymmddhhMMssSSS`, `g`, and random lower-case letters and digits, as MaxCompute forms them.
pub fn instance_id() -> String {
    let now: DateTime<Utc> = Utc::now();
    format!("{}g{}", now.format("%Y%m%d%H%M%S%3f"), random_text(12))
}

/// A new request id: 26 upper-case letters and digits.
pub fn request_id() -> String {
    ulid::Ulid::generate().to_string()
}

/// `len` random lower-case letters and digits from the system's generator.
pub fn random_text(len: usize) -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut bytes = vec![0u8; len];
    getrandom::fill(&mut bytes).expect("the system has a random source");
    bytes.iter().map(|b| ALPHABET[(b & 31) as usize] as char).collect()
}

/// `N` random bytes from the system's generator.
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0u8; N];
    getrandom::fill(&mut bytes).expect("the system has a random source");
    bytes
}

#[cfg(test)]
mod tests {
    #[test]
    fn instance_ids_have_the_documented_shape() {
        let id = super::instance_id();
        assert_eq!(id.len(), 17 + 1 + 12);
        assert!(id[..17].bytes().all(|b| b.is_ascii_digit()) && id.as_bytes()[17] == b'g');
        assert_ne!(id, super::instance_id());
    }

    // The ULID specification: its example, whose first ten digits in base 32 are this number.
    #[test]
    fn the_time_of_a_ulid_is_in_it() {
        assert_eq!(super::ulid_ms("01arz3ndektsv4rrffq69g5fav"), Some(1_469_922_850_259));
        assert!(super::ulid_ms(&super::ulid()).is_some());
        // The last sixteen digits of that example, five bits each.
        let bytes = [0xd6, 0x76, 0x4c, 0x61, 0xef, 0xb9, 0x93, 0x02, 0xbd, 0x5b];
        assert_eq!(super::ulid_for(1_469_922_850_259, bytes), "01arz3ndektsv4rrffq69g5fav");
        for other in ["", "x", "01ARZ3NDEKTSV4RRFFQ69G5FAV", "01arz3ndektsv4rrffq69g5fau", "81arz3ndektsv4rrffq69g5fav"]
        {
            assert_eq!(super::ulid_ms(other), None, "{other}");
        }
    }
}
