//! Keys as numbers: the part of a file that a range of keys takes, and the key at which a part ends.

/// The part from `from` to `to` of `bytes` that are spread evenly over the keys from `min` to `max`.
pub(super) fn share(from: &[u8], to: &[u8], min: &[u8], max: &[u8], bytes: u64) -> u64 {
    if from >= to || to <= min || from > max {
        return 0;
    }
    if from <= min && to > max {
        return bytes;
    }
    let common = common(min, max);
    let (first, last) = (number(min, common), number(max, common));
    let begin = if from <= min { first } else { number(from, common) };
    let end = if to > max { last } else { number(to, common) };
    match last.saturating_sub(first) {
        0 => bytes / 2,
        span => (u128::from(bytes) * u128::from(end.saturating_sub(begin)) / u128::from(span)) as u64,
    }
}

/// The key below which `part` of `whole` bytes lie that are spread evenly over the keys from `min` to `max`.
pub(crate) fn key_at(min: &[u8], max: &[u8], part: u64, whole: u64) -> Vec<u8> {
    let common = common(min, max);
    let (first, last) = (number(min, common), number(max, common));
    let span = u128::from(last.saturating_sub(first)) * u128::from(part.min(whole)) / u128::from(whole.max(1));
    let mut key = min[..common].to_vec();
    key.extend((first + span as u64).to_be_bytes());
    key
}

/// With how many bytes both keys begin.
fn common(min: &[u8], max: &[u8]) -> usize {
    min.iter().zip(max).take_while(|(a, b)| a == b).count()
}

/// What lies between two keys begins as both of them do: the eight bytes after that as a number.
fn number(key: &[u8], common: usize) -> u64 {
    let mut next = [0; 8];
    next.iter_mut().zip(key.iter().skip(common)).for_each(|(to, from)| *to = *from);
    u64::from_be_bytes(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    // By hand: half of the way from 0x0000... to 0xff00... is 0x7f80...
    #[test]
    fn a_part_ends_at_a_key() {
        let at = |part| key_at(&[7, 0], &[7, 0xff], part, 1000);
        assert_eq!(at(0), [7, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(at(500), [7, 0x7f, 0x80, 0, 0, 0, 0, 0, 0]);
        assert_eq!(at(1000), [7, 0xff, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(at(2000), at(1000));
        assert_eq!(key_at(&[7], &[7], 1, 0), [7, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(key_at(&[9], &[7], 1, 2), [9, 0, 0, 0, 0, 0, 0, 0]);
    }

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
