//! A record that a reader holds.

use crate::store::primitives::Arc;
use crate::store::segment::accesses::{self, Access};
use crate::store::segment::sealed::{Record, Segment};

/// A record, pinned: it may be looked at without any lock.
#[derive(Debug, Clone)]
pub(crate) struct Pinned {
    pub(crate) segment: Arc<Segment>,
    pub(crate) slot: u32,
    pub(crate) record: Record,
}

impl Pinned {
    pub(crate) fn key(&self) -> &[u8] {
        self.segment.key(&self.record)
    }

    pub(crate) fn value(&self) -> &[u8] {
        self.segment.value(&self.record)
    }

    pub(crate) fn version(&self) -> u64 {
        self.segment.version(&self.record)
    }

    /// The sequence of the write: other than a version that a caller chose, no other write of the key has it.
    pub(crate) fn sequence(&self) -> u64 {
        self.segment.sequence(&self.record)
    }

    pub(crate) fn client_flags(&self) -> u32 {
        self.segment.client_flags(&self.record)
    }

    /// Records that it was read, where that is tracked.
    pub(crate) fn note_read(&self, now_ms: u64) {
        self.segment.note_read(self.slot);
        if let Some(accesses) = &self.segment.accesses {
            accesses.note(self.slot, Access { at_secs: accesses::seconds(now_ms), was_read: true });
        }
    }
}
