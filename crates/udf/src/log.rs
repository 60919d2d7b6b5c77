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
        let old = kept.len().saturating_sub(KEPT);
        kept.drain(..old);
    }

    /// All that is kept.
    pub fn bytes(&self) -> Vec<u8> {
        self.0.lock().clone()
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
