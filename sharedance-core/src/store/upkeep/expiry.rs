//! The sweep: a bounded walk that removes expired records.
//!
//! A reader checks the record's own deadline, always; the sweep only frees index entries and space. It visits a segment
//! some time after its earliest deadline, so that a segment whose records expire one by one is not walked for each of
//! them.

use std::collections::VecDeque;

use crate::store::disk::format::{RawSlot, Word};
use crate::store::index::Index;
use crate::store::primitives::Arc;
use crate::store::segment::sealed::Segment;
use crate::store::segment::ttl_class::TtlClass;

/// The walk over segments with expired records. It continues where it stopped.
#[derive(Debug, Default)]
pub(crate) struct Sweep {
    due: VecDeque<Arc<Segment>>,
    next_slot: u32,
    census: Census,
}

/// Counts the live records of the current segment, to determine whether it has others that the walk cannot see because
/// their slots are damaged.
#[derive(Debug, Default)]
struct Census {
    live: u32,
    /// The number of slots at the start of the walk, if each reservation had ended by then.
    slots: Option<u32>,
}

impl Census {
    fn begin(segment: &Segment) -> Census {
        let slots = segment.reserved().slots;
        Census { live: 0, slots: segment.has_no_reservations().then_some(slots) }
    }

    /// Counts the record in `slot`, which was not removed. One that has expired is not in the statistics, or its hash
    /// is damaged, so that it is not in the index.
    fn note(&mut self, segment: &Segment, slot: u32, now_ms: u64) {
        let is_live = live_word(segment.raw_slot(slot)).is_some_and(|word| !word.deadline.has_passed(now_ms));
        self.live += u32::from(is_live);
    }

    /// Whether fewer live records were seen than exist. If no slot was reserved since the walk began, each record that
    /// is live now was live when its slot was read.
    fn misses_records(&self, segment: &Segment) -> bool {
        self.live < segment.live_records() && self.slots == Some(segment.reserved().slots)
    }
}

/// The result of one piece of the walk.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Swept {
    pub(crate) examined: usize,
    pub(crate) expired: usize,
    /// Expired records that were never read, if that is tracked.
    pub(crate) unread: usize,
}

/// Whether enough time has passed since the segment's first record expired.
pub(crate) fn is_due(segment: &Segment, now_ms: u64) -> bool {
    let slack_ms = TtlClass(segment.header.ttl_class).slack_ms();
    segment.next_expiry_ms().saturating_add(slack_ms) <= now_ms && !segment.is_spent()
}

impl Sweep {
    pub(crate) fn is_done(&self) -> bool {
        self.due.is_empty()
    }

    /// Sets the next segments of the walk.
    pub(crate) fn plan(&mut self, due: impl IntoIterator<Item = Arc<Segment>>) {
        self.due.extend(due);
        self.next_slot = 0;
    }

    /// Reads up to `budget` slots, and removes the expired records among them.
    pub(crate) fn run(&mut self, index: &Index, now_ms: u64, budget: usize) -> Swept {
        let mut swept = Swept::default();
        while swept.examined < budget
            && let Some(segment) = self.due.front()
        {
            if self.next_slot == 0 {
                segment.forget_expiry();
                self.census = Census::begin(segment);
            }
            let slots = segment.reserved().slots;
            let end = slots.min(self.next_slot.saturating_add((budget - swept.examined) as u32));
            for slot in self.next_slot..end {
                let Some(word) = live_word(segment.raw_slot(slot)) else {
                    continue;
                };
                if examine(index, segment, slot, word, now_ms) {
                    swept.expired += 1;
                    let is_unread = segment.accesses.as_ref().is_some_and(|accesses| !accesses.last(slot).was_read);
                    swept.unread += usize::from(is_unread);
                } else {
                    self.census.note(segment, slot, now_ms);
                }
            }
            swept.examined += (end - self.next_slot).max(1) as usize;
            self.next_slot = end;
            if end == slots {
                if self.census.misses_records(segment) {
                    index.remove_unreadable(Some(segment));
                }
                self.due.pop_front();
                self.next_slot = 0;
            }
        }
        swept
    }
}

/// Removes the record in `slot`, which has this word, if it has expired; otherwise records when it will expire.
fn examine(index: &Index, segment: &Arc<Segment>, slot: u32, word: Word, now_ms: u64) -> bool {
    if word.deadline.has_passed(now_ms) {
        return remove_if_expired(index, segment, slot, now_ms);
    }
    segment.expect_expiry(word.deadline);
    false
}

fn live_word(raw: RawSlot) -> Option<Word> {
    Word::decode(raw.word()).filter(|word| word.is_live())
}

/// Checks again under the lock: the record may have been touched, overwritten or deleted since its slot was read.
fn remove_if_expired(index: &Index, segment: &Arc<Segment>, slot: u32, now_ms: u64) -> bool {
    index.remove_if(segment, slot, |record| {
        let has_expired = record.has_expired(now_ms);
        if !has_expired {
            segment.expect_expiry(record.word().deadline);
        }
        has_expired
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::Clock;
    use crate::store::upkeep::compaction::copy_record;
    use crate::store::{Options, Ttl};

    #[test]
    fn a_record_that_was_touched_meanwhile_is_not_removed() {
        let dir = tempfile::tempdir().unwrap();
        let store = Options::manual().segment_len(65_536).clock(Clock::manual().0).open(dir.path()).unwrap();
        store.set_with_ttl(b"key", b"value", Ttl::After(Duration::from_millis(100))).unwrap();
        let segment = &store.shared.engine.log.segments()[0];
        segment.forget_expiry();
        assert!(!remove_if_expired(&store.shared.engine.index, segment, 0, 99));
        assert_eq!((store.len(), segment.next_expiry_ms()), (1, 100), "the walk finds it again");
        assert!(remove_if_expired(&store.shared.engine.index, segment, 0, 100));
        assert!(!remove_if_expired(&store.shared.engine.index, segment, 0, 100));
        assert_eq!((store.len(), segment.live_bytes()), (0, 0));
    }

    #[test]
    fn a_damaged_slot_does_not_keep_its_segment_longer_than_the_other_records() {
        for value_len in [100, 300_000] {
            for (word, bits) in [(3, 1 << 30), (0, 1 << 41)] {
                let dir = tempfile::tempdir().unwrap();
                let (clock, hand) = Clock::manual();
                let store = Options::manual().segment_len(65_536).clock(clock).open(dir.path()).unwrap();
                for key in [b"a", b"b"] {
                    store.set_with_ttl(key, vec![1; value_len], Ttl::After(Duration::from_secs(10))).unwrap();
                }
                let segments = store.shared.engine.log.segments();
                segments[0].damage(0, word, bits);
                drop(segments);
                for _ in 0..3 {
                    hand.advance(Duration::from_secs(20));
                    while store.maintain(1).unwrap().pending {}
                }
                let stats = store.stats();
                let expected = (0, 0, 0, 1);
                assert_eq!((stats.pairs, stats.segments, stats.live_bytes, stats.damaged), expected, "{value_len}");
            }
        }
    }

    #[test]
    fn a_walk_over_a_retired_segment_does_not_touch_the_next_one_with_its_number() {
        let dir = tempfile::tempdir().unwrap();
        let (clock, hand) = Clock::manual();
        let store = Options::manual().segment_len(65_536).clock(clock).open(dir.path()).unwrap();
        let engine = &store.shared.engine;
        let ttl = |secs| Ttl::After(Duration::from_secs(secs));
        store.set_with_ttl(b"k", b"old", ttl(10)).unwrap();
        let old = engine.log.segments()[0].clone();
        engine.log.seal(&old, 0);
        copy_record(&engine.log, &engine.index, &old, 0, 0).unwrap();
        store.touch(b"k", ttl(10_000)).unwrap();
        old.give_up();
        engine.index.forget_segment(old.number);
        engine.log.retire(old.clone());
        store.set_with_ttl(b"k", b"new", ttl(100_000)).unwrap();
        assert!(engine.log.segments().iter().any(|new| new.number == old.number), "another segment has the number");
        hand.advance(Duration::from_secs(20));
        let mut sweep = Sweep::default();
        sweep.plan([old]);
        sweep.run(&engine.index, engine.timeline.now_ms(), 100);
        assert_eq!(store.get(b"k").unwrap(), b"new");
    }
}
