//! Spent segments that are not recycled yet, because the disk may need their records.
//!
//! A segment is spent when its records were overwritten, deleted, expired or copied: in memory. On the disk it may
//! still be the only segment with those records, and the source of a copy is live in it until it is retired. In a store
//! that survives crashes of the system, it is kept until a sync has ended that began after it was spent. In other
//! stores, copying must not put old records at risk: a segment that compaction emptied is kept until the system has
//! written the copies back, unless that takes too much space.

use std::collections::VecDeque;

use crate::store::api::durability::Durability;
use crate::store::durability::syncs::Syncs;
use crate::store::log::segment_log::Log;
use crate::store::primitives::Arc;
use crate::store::segment::sealed::Segment;

/// The maximum time that Linux keeps a dirty page in memory with its default settings: 30 s until the page is old
/// enough, 5 s until the next scan, and some time to write.
const WRITE_BACK_MS: u64 = 40_000;
/// At most 1/WRITE_BACK_PART of the live bytes is kept until it is written back.
const WRITE_BACK_PART: u64 = 8;

#[derive(Debug, Default)]
pub(crate) struct Quarantine {
    /// In the order of their arrival.
    waiting: VecDeque<(Arc<Segment>, Until)>,
}

#[derive(Debug, Clone, Copy)]
enum Until {
    /// The sync with this number has ended.
    Synced(u64),
    /// This store millisecond has come.
    WrittenBack(u64),
    /// It need not wait.
    Now,
}

impl Quarantine {
    /// Adds the segments that are spent.
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

    /// The last sync that a segment waits for.
    pub(crate) fn awaited_sync(&self) -> Option<u64> {
        let awaited = self.waiting.iter().filter_map(|(_, until)| match until {
            Until::Synced(number) => Some(*number),
            Until::WrittenBack(_) | Until::Now => None,
        });
        awaited.max()
    }

    /// Removes and returns the segments that may be recycled. If a writer finds no space, segments that wait for
    /// write-back only are among them.
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
            // Not before the sources of its records are gone: until then the links to them are needed.
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
