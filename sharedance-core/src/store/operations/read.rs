//! Reads of one pair.

use crate::Version;
use crate::store::engine::Engine;
use crate::store::segment::record::{Pinned, RecordRef};

impl Engine {
    /// The live record of `key`, verified. Counts as a read.
    pub(crate) fn read(&self, hash: u64, key: &[u8], now_ms: u64) -> Option<Pinned> {
        let pinned = self.find(hash, key, now_ms)?;
        pinned.note_read(now_ms);
        Some(pinned)
    }

    /// The live record of `key`, verified.
    pub(crate) fn find(&self, hash: u64, key: &[u8], now_ms: u64) -> Option<Pinned> {
        let pinned = {
            let shard = self.index.read(hash);
            let found = shard.find(hash, key)?;
            if found.has_expired(now_ms) {
                self.counters.expired_reads.add(1);
                return None;
            }
            found.pin()
        };
        self.is_sound(&pinned).then_some(pinned)
    }

    /// Whether the record matches its checksum. Otherwise it is dropped.
    pub(crate) fn is_sound(&self, pinned: &Pinned) -> bool {
        let is_sound = pinned.record().verify();
        if !is_sound {
            self.drop_damaged(pinned);
        }
        is_sound
    }

    /// Drops a record that does not match its checksum; returns `false` if it is not in the index.
    pub(crate) fn drop_damaged(&self, damaged: &Pinned) -> bool {
        self.index.remove_damaged(&damaged.record())
    }
}

/// The version of the record, unless it has expired.
pub(crate) fn live_version(record: &RecordRef<'_>, now_ms: u64) -> Option<Version> {
    (!record.has_expired(now_ms)).then(|| record.version())
}
