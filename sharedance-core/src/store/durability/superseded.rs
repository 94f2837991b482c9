//! Overwritten values: when they are marked dead.
//!
//! Without a promise about crashes of the system, an old value is marked dead at once. With such a promise, a power cut
//! must not leave the old value dead and the new one unwritten. So the old one stays live on disk, as the source of the
//! new one, until a sync has ended that covers the new one.

use crate::store::api::durability::Durability;
use crate::store::disk::format::RecordState;
use crate::store::durability::group_commit::GroupCommit;
use crate::store::primitives::atomic::{AtomicUsize, Ordering};
use crate::store::primitives::{Arc, Mutex, MutexGuard, PoisonError};
use crate::store::segment::record::Pinned;
use crate::store::segment::sealed::Segment;
use crate::store::segment::sources::{Reason, Source};

/// Records that replaced others since the last sync. The old records stay on disk until a sync covers the new ones.
#[derive(Debug)]
pub(crate) struct Superseded {
    /// Whether old records are kept, which only a store that survives crashes of the system does.
    keeps_old: bool,
    waiting: Mutex<Vec<Overwrite>>,
    /// The length of `waiting`, which is read without the mutex.
    count: AtomicUsize,
}

/// A sync is due when this many records wait for it. They take 8 MiB of memory, and prevent that their segments are
/// recycled. At half a million overwrites per second they arrive within half a second. Unit tests use a smaller number,
/// which is faster.
pub(crate) const MAX_OVERWRITES_WAITING: usize = if cfg!(test) { 1 << 13 } else { 1 << 18 };

#[derive(Debug)]
struct Overwrite {
    covered_by: u64,
    segment: Arc<Segment>,
    slot: u32,
}

impl Superseded {
    pub(crate) fn new(durability: Durability) -> Superseded {
        Superseded { keeps_old: durability != Durability::Os, waiting: Mutex::default(), count: AtomicUsize::new(0) }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Overwrite>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes and returns the overwrites that a sync has covered.
    fn take_covered(&self, is_covered: impl Fn(u64) -> bool) -> Vec<Overwrite> {
        let mut waiting = self.lock();
        let (covered, rest) = std::mem::take(&mut *waiting).into_iter().partition(|one| is_covered(one.covered_by));
        *waiting = rest;
        self.count.store(waiting.len(), Ordering::Relaxed);
        covered
    }

    fn push(&self, overwrite: Overwrite) {
        let mut waiting = self.lock();
        waiting.push(overwrite);
        self.count.store(waiting.len(), Ordering::Relaxed);
    }

    /// Subtracts the old record of a key, which the record in `slot` of `segment` has just replaced, from the
    /// statistics. Marks it dead, at once or when that is safe. The caller holds the key's shard for writing.
    pub(crate) fn supersede(&self, group_commit: &GroupCommit, segment: &Arc<Segment>, slot: u32, old: &Pinned) {
        let (old_segment, old_slot) = (old.segment(), old.slot());
        if !self.keeps_old {
            return old.record().mark_dead();
        }
        // Read after the commit: a sync that begins later writes the new record.
        let covered_by = group_commit.next();
        let reason = Reason::Overwrite(covered_by);
        match old_segment.sources.source(old_slot) {
            // No sync has begun since the old value was written. The disk may have the value before it, which stays.
            // The value in between is marked dead.
            Some(oldest) if oldest.reason == reason => {
                segment.note_source(slot, oldest);
                old_segment.sources.forget(old_slot);
                old.record().mark_dead();
            }
            _ => {
                segment.note_source(slot, Source { segment: old_segment.clone(), slot: old_slot, reason });
                old.record().discount();
            }
        }
        self.push(Overwrite { covered_by, segment: segment.clone(), slot });
    }

    /// Marks old records dead if the disk has their successors.
    pub(crate) fn mark_covered(&self, group_commit: &GroupCommit) {
        if self.keeps_old {
            let ended = group_commit.ended();
            for overwrite in self.take_covered(|number| number <= ended) {
                overwrite.segment.bury_source(overwrite.slot, RecordState::Dead);
            }
        }
    }

    /// The number of records that wait for a sync.
    pub(crate) fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::{Clock, ManualClock};
    use crate::store::{Options, Store, Ttl};

    const INTERVAL: Durability = Durability::Interval(Duration::from_secs(1));

    fn open(durability: Durability) -> (tempfile::TempDir, Store, ManualClock) {
        let dir = tempfile::tempdir().unwrap();
        let (clock, hand) = Clock::manual();
        let options = Options::manual().segment_len(65_536).clock(clock).durability(durability);
        let store = options.open(dir.path()).unwrap();
        (dir, store, hand)
    }

    /// The number of live records with a value in the files, indexed or not.
    fn live_on_disk(store: &Store, value: &[u8]) -> usize {
        let count = |segment: &Arc<Segment>| {
            let records = (0..segment.reserved().slots).filter_map(|slot| segment.record(slot));
            records.filter(|record| record.value() == value).count()
        };
        store.shared.engine.log.segments().iter().map(count).sum()
    }

    fn on_disk(store: &Store, values: &[&[u8]]) -> Vec<usize> {
        values.iter().map(|value| live_on_disk(store, value)).collect()
    }

    #[test]
    fn an_old_value_stays_on_disk_until_the_new_one_is_synced() {
        let (_dir, store, _) = open(INTERVAL);
        let values: [&[u8]; 4] = [b"one", b"two", b"three", b"four"];
        store.set(b"k", b"one").unwrap();
        store.sync().unwrap();
        store.set(b"k", b"two").unwrap();
        assert_eq!(on_disk(&store, &values), [1, 1, 0, 0]);
        store.set(b"k", b"three").unwrap();
        assert_eq!(on_disk(&store, &values), [1, 0, 1, 0], "no sync covers the one in between");
        assert!(store.len() == 1 && store.get(b"k").unwrap() == b"three");
        assert_eq!(store.stats().live_bytes, 48, "an old value that is kept on disk is not counted");
        store.sync().unwrap();
        assert_eq!(on_disk(&store, &values), [0, 0, 1, 0]);
        store.set(b"k", b"four").unwrap();
        assert!(store.delete(b"k").unwrap());
        assert_eq!(on_disk(&store, &values), [0; 4], "a deletion marks all of them");
        store.sync().unwrap();
        assert!(store.shared.syncs.superseded.lock().is_empty());
    }

    #[test]
    fn a_value_written_during_a_sync_does_not_remove_the_one_that_it_covers() {
        let (_dir, store, _) = open(INTERVAL);
        let values: [&[u8]; 3] = [b"one", b"two", b"three"];
        store.set(b"k", b"one").unwrap();
        store.sync().unwrap();
        store.set(b"k", b"two").unwrap();
        let synced = store.shared.syncs.group_commit.sync(|| {
            // This write may be too late for the sync, which promises the second value.
            store.set(b"k", b"three").unwrap();
            assert_eq!(on_disk(&store, &values), [1, 1, 1]);
            Ok(())
        });
        assert!(synced.unwrap());
        store.shared.syncs.superseded.mark_covered(&store.shared.syncs.group_commit);
        assert_eq!(on_disk(&store, &values), [0, 1, 1]);
        store.sync().unwrap();
        assert_eq!(on_disk(&store, &values), [0, 0, 1]);
    }

    /// Two segments have the sources of each other's records.
    #[test]
    fn a_store_that_could_not_be_synced_does_not_keep_its_directory_locked() {
        let (dir, store, hand) = open(INTERVAL);
        let [short, long] = [1, 1_000].map(|secs| Ttl::After(Duration::from_secs(secs)));
        for (value, ttls) in [(b"old", [short, long]), (b"new", [long, short])] {
            store.set_with_ttl(b"a", value, ttls[0]).unwrap();
            store.set_with_ttl(b"b", value, ttls[1]).unwrap();
            store.shared.syncs.group_commit.sync(|| Ok(())).unwrap();
        }
        store.shared.syncs.group_commit.fail();
        drop(store);
        let options = Options::manual().segment_len(65_536).clock(hand.clock()).durability(INTERVAL);
        assert_eq!(options.open(dir.path()).unwrap().len(), 2);
    }

    #[test]
    fn without_a_promise_the_old_value_is_marked_dead_at_once() {
        let (_dir, store, _) = open(Durability::Os);
        store.set(b"k", b"one").unwrap();
        store.set(b"k", b"two").unwrap();
        assert_eq!(on_disk(&store, &[b"one", b"two"]), [0, 1]);
    }

    #[test]
    fn overwritten_values_survive_compaction_and_reopening() {
        let (dir, store, hand) = open(INTERVAL);
        let key = |i: u32| i.to_be_bytes();
        for round in 0..12u8 {
            for i in 0..200 {
                store.set_with_ttl(key(i), [round; 900], Ttl::Never).unwrap();
                if i % 5 == 0 {
                    store.set_with_ttl(key(1_000 * u32::from(round + 1) + i), [round; 300], Ttl::Never).unwrap();
                }
            }
            if round % 2 == 0 {
                hand.advance(Duration::from_secs(2));
            }
            while store.maintain(64).unwrap().pending {}
        }
        assert!(store.stats().compacted_bytes > 0);
        (0..50).for_each(|i| assert!(store.delete(key(i)).unwrap()));
        drop(store);
        let options = Options::manual().segment_len(65_536).clock(hand.clock()).durability(INTERVAL);
        let store = options.open(dir.path()).unwrap();
        assert_eq!((store.len(), store.recovery().dropped), (150 + 12 * 40, 0));
        assert!((50..200).all(|i| store.get(key(i)).unwrap() == [11; 900]));
        for _ in 0..3 {
            hand.advance(Duration::from_secs(2));
            while store.maintain(1_000).unwrap().pending {}
        }
        assert_eq!(live_on_disk(&store, &[11; 900]), 150);
        assert_eq!((0..11).map(|round| live_on_disk(&store, &[round; 900])).sum::<usize>(), 0);
    }
}
