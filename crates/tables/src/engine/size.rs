//! The part of a file that a range of keys takes, by the first and the last key of the file.

/// The part from `from` to `to` of `bytes` that are spread evenly over the keys from `min` to `max`.
pub(super) fn share(from: &[u8], to: &[u8], min: &[u8], max: &[u8], bytes: u64) -> u64 {
    if from >= to || to <= min || from > max {
        return 0;
    }
    if from <= min && to > max {
        return bytes;
    }
    // What lies between two keys begins as both of them do; the eight bytes after that are taken as a number.
    let common = min.iter().zip(max).take_while(|(a, b)| a == b).count();
    let number = |key: &[u8]| {
        let mut next = [0; 8];
        next.iter_mut().zip(key.iter().skip(common)).for_each(|(to, from)| *to = *from);
        u64::from_be_bytes(next)
    };
    let (first, last) = (number(min), number(max));
    let begin = if from <= min { first } else { number(from) };
    let end = if to > max { last } else { number(to) };
    match last.saturating_sub(first) {
        0 => bytes / 2,
        span => (u128::from(bytes) * u128::from(end.saturating_sub(begin)) / u128::from(span)) as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // By hand: of 1,000 bytes over the keys 0x00 to 0xff, those below 0x80 have half; bounds outside count as the ends.
    #[test]
    fn a_share_follows_the_keys() {
        let whole = [&[7, 0][..], &[7, 0xff][..]];
        let part = |from: &[u8], to: &[u8]| share(from, to, whole[0], whole[1], 1000);
        assert_eq!(part(&[7, 0], &[8]), 1000);
        assert_eq!(part(&[6], &[7]), 0);
        assert_eq!(part(&[8], &[9]), 0);
        assert_eq!(part(&[7, 9], &[7, 9]), 0);
        assert!((490..=510).contains(&part(&[6], &[7, 0x80])));
        assert!((490..=510).contains(&part(&[7, 0x80], &[9])));
        // Keys that no eight bytes tell apart have no span.
        assert_eq!(share(&[1, 0], &[2], &[1], &[1, 0, 0], 1000), 500);
    }
}
