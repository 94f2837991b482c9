//! Spent segments that must not go yet, since the disk may know their records from nowhere else.
//!
//! A segment is spent because its records were overwritten, deleted, expired, or copied; in memory. On the disk
//! it may still be the only one that has them, and the source of a copy is live in it until it is retired. Where the store promises to survive a crash of the system, it is kept
//! until a sync has ended that began after it was spent. Where it does not, records that were written long ago must
//! still not get lost by being moved: a segment that was emptied by compaction is kept for as long as the system takes
//! to write the copies back, unless that takes too much room.

use std::collections::VecDeque;

use crate::store::api::durability::Durability;
use crate::store::durability::syncs::Syncs;
use crate::store::log::segment_log::Log;
use crate::store::primitives::Arc;
use crate::store::segment::sealed::Segment;

/// How long Linux leaves a dirty page in memory, at most, with its default settings: 30 s until it is old enough, 5 s
/// until the next scan, and some time to write.
const WRITE_BACK_MS: u64 = 40_000;
/// The part of the live bytes that may be kept waiting for that.
const WRITE_BACK_PART: u64 = 8;

#[derive(Debug, Default)]
pub(crate) struct Quarantine {
    /// In the order of their coming.
    waiting: VecDeque<(Arc<Segment>, Until)>,
}

#[derive(Debug, Clone, Copy)]
enum Until {
    /// The sync of this number has ended.
    Synced(u64),
    /// This store millisecond.
    WrittenBack(u64),
    /// Nothing.
    Now,
}

impl Quarantine {
    /// Takes in the segments that are spent by now.
    pub(crate) fn admit(&mut self, log: &Log, syncs: &Syncs, now_ms: u64) {
        for segment in log.segments_where(Segment::is_spent) {
            if !segment.enter_quarantine() {
                continue;
            }
            let until = match syncs.mode {
                Durability::Os if segment.sources.has_destinations() => Until::WrittenBack(now_ms + WRITE_BACK_MS),
                Durability::Os => Until::Now,
                Durability::Interval(_) | Durability::Always => Until::Synced(syncs.group_commit.next()),
            };
            self.waiting.push_back((segment, until));
        }
    }

    /// The last of the syncs that segments wait for.
    pub(crate) fn awaited_sync(&self) -> Option<u64> {
        let awaited = self.waiting.iter().filter_map(|(_, until)| match until {
            Until::Synced(number) => Some(*number),
            Until::WrittenBack(_) | Until::Now => None,
        });
        awaited.max()
    }

    /// The segments that may go. Where a writer finds no room, what was only to be written back is not waited for.
    pub(crate) fn release(
        &mut self,
        log: &Log,
        syncs: &Syncs,
        now_ms: u64,
        is_short_of_room: bool,
    ) -> Vec<Arc<Segment>> {
        if self.waiting.is_empty() {
            return Vec::new();
        }
        let live: u64 = log.segments().iter().map(|segment| segment.live_bytes()).sum();
        let kept: u64 = self.waiting.iter().map(|(segment, _)| segment.file_len() as u64).sum();
        let mut surplus = kept.saturating_sub(live / WRITE_BACK_PART);
        let mut released = Vec::new();
        for (segment, until) in std::mem::take(&mut self.waiting) {
            // The sources of what is here go first: only then is the way back to them no longer needed.
            let may_go = !segment.sources.has_sources()
                && match until {
                    Until::Now => true,
                    Until::Synced(number) => syncs.group_commit.ended() >= number,
                    Until::WrittenBack(at_ms) => at_ms <= now_ms || surplus > 0 || is_short_of_room,
                };
            if may_go {
                surplus = surplus.saturating_sub(segment.file_len() as u64);
                segment.give_up();
                released.push(segment);
            } else {
                self.waiting.push_back((segment, until));
            }
        }
        released
    }
}
