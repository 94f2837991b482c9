//! How often records are read, up to a small number: a counter for each slot. A segment allocates the counters when one
//! of its records is read.

use crate::store::primitives::OnceLock;
use crate::store::primitives::atomic::{AtomicU8, Ordering};

/// The maximum count of a record. More reads do not keep it longer.
const MAX_READS: u8 = 3;
const CHUNK_SLOTS: usize = 1024;

type Chunk = [AtomicU8; CHUNK_SLOTS];

/// The counters of one segment's slots.
#[derive(Debug)]
pub(crate) struct Reads {
    chunks: Box<[OnceLock<Box<Chunk>>]>,
}

impl Reads {
    pub(crate) fn new(slots: u32) -> Reads {
        Reads { chunks: (0..(slots as usize).div_ceil(CHUNK_SLOTS)).map(|_| OnceLock::new()).collect() }
    }

    /// Records that the record in `slot` was read. Concurrent reads may count as one: an approximate count is enough.
    pub(crate) fn note(&self, slot: u32) {
        if let Some(chunk) = self.chunks.get(slot as usize / CHUNK_SLOTS) {
            let chunk = chunk.get_or_init(|| Box::new(std::array::from_fn(|_| AtomicU8::new(0))));
            let reads = &chunk[slot as usize % CHUNK_SLOTS];
            let count = reads.load(Ordering::Relaxed);
            if count < MAX_READS {
                reads.store(count + 1, Ordering::Relaxed);
            }
        }
    }

    /// Returns the count of `slot`, and resets it.
    pub(crate) fn take(&self, slot: u32) -> u8 {
        let chunk = self.chunks.get(slot as usize / CHUNK_SLOTS).and_then(OnceLock::get);
        chunk.map_or(0, |chunk| chunk[slot as usize % CHUNK_SLOTS].swap(0, Ordering::Relaxed))
    }

    /// Sets the count of the record in `slot`, which was copied from another segment, to `count`.
    pub(crate) fn inherit(&self, slot: u32, count: u8) {
        (0..count).for_each(|_| self.note(slot));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_up_to_the_maximum_and_starts_again_when_taken() {
        let reads = Reads::new(3_000);
        for _ in 0..10 {
            reads.note(2_999);
        }
        reads.note(5);
        assert_eq!((reads.take(2_999), reads.take(2_999)), (MAX_READS, 0));
        assert_eq!((reads.take(5), reads.take(6), reads.take(1_500)), (1, 0, 0));
        reads.inherit(7, 2);
        assert_eq!(reads.take(7), 2);
    }

    #[test]
    fn slots_beyond_the_last_are_not_counted() {
        let reads = Reads::new(10);
        reads.note(u32::MAX);
        assert_eq!(reads.take(u32::MAX), 0);
    }
}
