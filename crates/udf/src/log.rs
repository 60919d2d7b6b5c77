//! What the user code of an instance prints and its processes say at their end: the last of it, whoever wrote it.

use parking_lot::Mutex;

/// Bytes that are kept; older ones go.
const KEPT: usize = 256 << 10;

/// The log of an instance.
#[derive(Default)]
pub struct Log(Mutex<Vec<u8>>);

impl Log {
    /// Adds what one process wrote at once.
    pub(crate) fn add(&self, bytes: &[u8]) {
        let mut kept = self.0.lock();
        kept.extend_from_slice(bytes);
        // Not each time: what is kept moves.
        if kept.len() > 2 * KEPT {
            let old = kept.len() - KEPT;
            kept.drain(..old);
        }
    }

    /// All that is kept.
    pub fn bytes(&self) -> Vec<u8> {
        let kept = self.0.lock();
        kept[kept.len().saturating_sub(KEPT)..].to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_bytes_are_kept() {
        let log = Log::default();
        log.add(&vec![b'a'; KEPT]);
        log.add(b"end");
        let kept = log.bytes();
        assert_eq!((kept.len(), &kept[KEPT - 4..]), (KEPT, &b"aend"[..]));
    }
}
