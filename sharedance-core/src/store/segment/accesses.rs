//! When records were last read: four bytes for each record in memory, none on disk. Only stores that track it have
//! this.

use crate::store::primitives::OnceLock;
use crate::store::primitives::atomic::{AtomicU32, Ordering};

const CHUNK_SLOTS: usize = 1024;
/// Set if the record has been read. Otherwise the second is that of the write.
const WAS_READ: u32 = 1 << 31;
const SECOND_BITS: u32 = WAS_READ - 1;

type Chunk = [AtomicU32; CHUNK_SLOTS];

/// The last access to each record of a segment, by slot.
#[derive(Debug)]
pub(crate) struct Accesses {
    /// When tracking began, in store seconds.
    since_secs: u32,
    chunks: Box<[OnceLock<Box<Chunk>>]>,
}

/// The last access to a record. Its write is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Access {
    pub(crate) at_secs: u32,
    /// Whether the record was read after it was written.
    pub(crate) was_read: bool,
}

/// Store milliseconds as whole seconds, which 31 bits hold for 68 years.
pub(crate) fn seconds(store_ms: u64) -> u32 {
    u32::try_from(store_ms / 1_000).unwrap_or(u32::MAX).min(SECOND_BITS - 1)
}

impl Accesses {
    pub(crate) fn new(slots: u32, now_ms: u64) -> Accesses {
        let chunks = (0..(slots as usize).div_ceil(CHUNK_SLOTS)).map(|_| OnceLock::new()).collect();
        Accesses { since_secs: seconds(now_ms), chunks }
    }

    /// Records an access to the record in `slot`.
    pub(crate) fn note(&self, slot: u32, access: Access) {
        if let Some(chunk) = self.chunks.get(slot as usize / CHUNK_SLOTS) {
            let chunk = chunk.get_or_init(|| Box::new(std::array::from_fn(|_| AtomicU32::new(0))));
            let second = access.at_secs.min(SECOND_BITS - 1) + 1;
            let noted = if access.was_read { second | WAS_READ } else { second };
            chunk[slot as usize % CHUNK_SLOTS].store(noted, Ordering::Relaxed);
        }
    }

    /// The last access to the record in `slot`. A record that is older than the tracking counts as written when that
    /// began.
    pub(crate) fn last(&self, slot: u32) -> Access {
        let chunk = self.chunks.get(slot as usize / CHUNK_SLOTS).and_then(OnceLock::get);
        let noted = chunk.map_or(0, |chunk| chunk[slot as usize % CHUNK_SLOTS].load(Ordering::Relaxed));
        let at_secs = (noted & SECOND_BITS).checked_sub(1).unwrap_or(self.since_secs);
        Access { at_secs, was_read: noted & WAS_READ != 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_access_that_was_noted_last_is_returned() {
        let accesses = Accesses::new(3_000, 5_999);
        let read_at = |at_secs| Access { at_secs, was_read: true };
        assert_eq!(accesses.last(2_999), Access { at_secs: 5, was_read: false });
        accesses.note(2_999, Access { at_secs: 0, was_read: false });
        assert_eq!(accesses.last(2_999), Access { at_secs: 0, was_read: false });
        accesses.note(2_999, read_at(70));
        assert_eq!((accesses.last(2_999), accesses.last(2_998).was_read), (read_at(70), false));
        accesses.note(0, read_at(u32::MAX));
        assert_eq!(accesses.last(0), read_at(seconds(u64::MAX)));
    }

    #[test]
    fn slots_beyond_the_last_have_no_access() {
        let accesses = Accesses::new(10, 0);
        let access = Access { at_secs: 3, was_read: true };
        accesses.note(u32::MAX, access);
        assert_ne!(accesses.last(u32::MAX), access);
    }
}
