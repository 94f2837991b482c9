//! Touches and deletions: they change eight bytes of a slot and need no space.

use crate::store::api::request::{Condition, DeleteResult, Refusal, Ttl};
use crate::store::disk::format::Deadline;
use crate::store::engine::Engine;
use crate::store::index::Location;
use crate::store::operations::read::live_version;
use crate::store::segment::record::Pinned;
use crate::store::timeline::Moment;

impl Engine {
    /// Changes the deadline of `key`; returns its record, if there is one.
    pub(crate) fn touch(&self, hash: u64, key: &[u8], ttl: Ttl, now: Moment) -> Option<Pinned> {
        let deadline = self.lifetime(ttl, now).deadline;
        let (pinned, touched) = {
            let shard = self.index.read(hash);
            let found = shard.find(hash, key).filter(|found| !found.has_expired(now.ms))?;
            (found.pin(), found.touch(deadline))
        };
        if touched.is_none() {
            self.drop_damaged(&pinned);
            return None;
        }
        self.is_sound(&pinned).then_some(pinned)
    }

    /// Changes the deadline of the record if it is still current; returns whether it was.
    pub(crate) fn touch_again(&self, hash: u64, key: &[u8], current: &Pinned, deadline: Deadline, now_ms: u64) -> bool {
        let touched = {
            let shard = self.index.read(hash);
            match shard.find(hash, key) {
                Some(found) if found.is(current) && !found.has_expired(now_ms) => found.touch(deadline),
                _ => return false,
            }
        };
        if touched.is_none() {
            self.drop_damaged(current);
        }
        touched.is_some()
    }

    /// Removes `key` from the index and marks its record dead, if `condition` holds; returns the version of the record.
    pub(crate) fn remove(&self, hash: u64, key: &[u8], condition: Condition, now_ms: u64) -> DeleteResult {
        let mut shard = self.index.write(hash);
        let Some(found) = shard.find(hash, key) else {
            return condition.refuses(None).unwrap_or(Refusal::NotFound).into();
        };
        let version = live_version(&found, now_ms);
        if let Some(refused) = condition.refuses(version) {
            return refused.into();
        }
        let location = Location::of(&found);
        found.mark_gone();
        shard.remove(hash, location);
        version.map_or(DeleteResult::NotFound, DeleteResult::Deleted)
    }

    /// Deletes all pairs, shard by shard.
    pub(crate) fn clear(&self) {
        for shard in 0..self.index.shards() {
            // Under the lock until the last record is marked: after a deletion that finds no pair, none may be live on
            // disk.
            let mut emptied = self.index.write_shard(shard);
            for (segment, slot, offset) in emptied.take_all() {
                match segment.record(slot) {
                    Some(record) => record.mark_gone(),
                    None => {
                        segment.write_off(slot, offset);
                        self.index.damaged.add(1);
                    }
                }
            }
        }
    }
}
