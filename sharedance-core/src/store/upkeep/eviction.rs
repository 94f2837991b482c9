//! Eviction: removes old pairs if there is no space for new ones, in a store that evicts instead of refusing writes.
//!
//! Whole segments are evicted, the oldest first, except records that are read: a record that was read since the last
//! time is copied instead. So the hot segments are a first-in, first-out queue on probation. The cold ones are the main
//! queue, in which each read buys another round. A new pair that is not read displaces others like itself, and no pair
//! that is in use. This is S3-FIFO (Yang and others, 2023) with segments as queues: a read takes no lock and moves
//! nothing, and writes stay sequential.
//!
//! The best share for new pairs depends on the traffic: a small one if the same pairs are always read, a large one if
//! the read pairs change. So the share is learned as in CAR (Bansal and Modha, 2004): if a pair is stored again soon
//! after it was evicted as a new one, new pairs had too little space; if it was evicted from the main queue, they had
//! too much. In the first case the pair counts as read from the start.

use crate::store::disk::format::Kind;
use crate::store::error::StoreError;
use crate::store::index::Index;
use crate::store::log::ghosts::Queue;
use crate::store::log::queues::{Queues, WHOLE};
use crate::store::log::segment_log::Log;
use crate::store::primitives::Arc;
use crate::store::segment::sealed::Segment;
use crate::store::upkeep::compaction::copy_record;

/// The part of a segment that may be copied because it is read, in percent. It decreases with the number of segments
/// that were tried without gaining space. If all pairs are read, some of them must be evicted.
const MAX_KEPT_PERCENT: [usize; ROUNDS] = [100, 100, 100, 75, 75, 50, 50, 0];
/// The number of segments that are tried in a row.
pub(crate) const ROUNDS: usize = 8;
/// The first round for a writer, which waits meanwhile: so each segment gives some space.
pub(crate) const WRITERS_ROUND: usize = 3;

/// The result of one eviction.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Evicted {
    /// Live records that were removed.
    pub(crate) records: usize,
    /// Bytes that were copied because they are read.
    pub(crate) kept_bytes: usize,
}

/// Empties one segment, the `round`-th in a row; `None` if there is nothing to evict.
///
/// # Errors
/// [`StoreError::Io`] if a file for read pairs cannot be created. If there is no space for one, those pairs are evicted
/// as well.
pub(crate) fn evict_segment(
    log: &Log,
    queues: &Queues,
    index: &Index,
    now_ms: u64,
    round: usize,
) -> Result<Option<Evicted>, StoreError> {
    let Some(victim) = choose(log, queues) else {
        return Ok(None);
    };
    queues.ghosts.fit(index.len());
    let mut evicted = Evicted::default();
    let max_kept_bytes = victim.file_len() / 100 * MAX_KEPT_PERCENT[round.min(ROUNDS - 1)];
    // A record with a file of its own does not fit into a cold segment, or fills it.
    let can_be_kept = victim.header.kind != Kind::Big;
    for slot in 0..victim.reserved().slots {
        let reads = victim.take_reads(slot);
        if reads > 0 && can_be_kept && evicted.kept_bytes < max_kept_bytes {
            // Each round uses up one read.
            victim.inherit_reads(slot, reads - 1);
            match copy_record(log, index, &victim, slot, now_ms) {
                Ok(bytes) => evicted.kept_bytes += bytes,
                Err(StoreError::Full) => evicted.records += usize::from(evict(queues, index, &victim, slot, now_ms)),
                Err(error) => return Err(error),
            }
        } else {
            evicted.records += usize::from(evict(queues, index, &victim, slot, now_ms));
        }
    }
    index.remove_unreadable_if_unspent(&victim);
    Ok(Some(evicted))
}

/// Removes the record in `slot`, if it is live; returns whether it was.
fn evict(queues: &Queues, index: &Index, victim: &Arc<Segment>, slot: u32, now_ms: u64) -> bool {
    let mut was_of_use = false;
    let removed = index.remove_if(victim, slot, |record| {
        was_of_use = !record.has_expired(now_ms);
        true
    });
    if removed && was_of_use {
        queues.ghosts.remember(victim.raw_slot(slot).slot().hash, queue_of(victim));
    }
    removed
}

/// The oldest segment of the queue that has more than its share.
fn choose(log: &Log, queues: &Queues) -> Option<Arc<Segment>> {
    let sealed = log.segments_where(|segment| segment.sealed_at_ms().is_some() && !segment.is_spent());
    let (main, new): (Vec<_>, Vec<_>) = sealed.into_iter().partition(|segment| queue_of(segment) == Queue::Main);
    let bytes = |segments: &[Arc<Segment>]| segments.iter().map(|segment| segment.file_len() as u128).sum::<u128>();
    let all = bytes(&main) + bytes(&new);
    let probation_is_full = bytes(&new) * u128::from(WHOLE) > all * u128::from(queues.probation());
    let (first, second) = if probation_is_full { (new, main) } else { (main, new) };
    let oldest = |segments: Vec<Arc<Segment>>| segments.into_iter().min_by_key(|segment| segment.header.base);
    oldest(first).or_else(|| oldest(second))
}
fn queue_of(segment: &Segment) -> Queue {
    match segment.header.kind {
        Kind::Cold => Queue::Main,
        Kind::Hot | Kind::Big => Queue::Probation,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::Clock;
    use crate::store::{Durability, Options, Store, Ttl, WhenFull};

    const SEGMENT_LEN: usize = 65_536;
    const MAX_BYTES: u64 = 16 * SEGMENT_LEN as u64;

    fn open(dir: &tempfile::TempDir, when_full: WhenFull) -> Store {
        let options = Options::manual().segment_len(SEGMENT_LEN).max_bytes(MAX_BYTES).when_full(when_full);
        options.open(dir.path()).unwrap()
    }

    fn key(i: u32) -> [u8; 4] {
        i.to_be_bytes()
    }

    #[test]
    fn read_pairs_stay_longer_than_others() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(&dir, WhenFull::Evict);
        for i in 0..5_000 {
            store.set(key(i), [1; 1_000]).unwrap();
            for popular in 0..50.min(i) {
                if popular % 3 == i % 3 {
                    assert!(store.get(key(popular)).is_some(), "{popular} after {i}");
                }
            }
            if i % 20 == 0 {
                store.maintain(1_000).unwrap();
            }
            assert!(store.stats().file_bytes <= MAX_BYTES);
        }
        let stats = store.stats();
        assert!(stats.evicted > 3_000, "{stats:?}");
        assert!(stats.refused_full == 0 && stats.pairs > 400, "{stats:?}");
    }

    #[test]
    fn an_overwritten_pair_keeps_its_reads() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(&dir, WhenFull::Evict);
        for i in 0..3_000 {
            if i % 100 == 0 {
                assert!(i == 0 || store.get(b"session").is_some(), "after {i}");
                store.set(b"session", [i as u8; 900]).unwrap();
            }
            store.set(key(i), [1; 1_000]).unwrap();
        }
        assert!(store.stats().evicted > 1_500);
    }

    #[test]
    fn dead_records_are_reclaimed_before_live_ones_are_evicted() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(&dir, WhenFull::Evict);
        // None of it is read, and it takes half of the space; the rest is overwritten again and again.
        for i in 0..450 {
            store.set(key(i), [1; 1_000]).unwrap();
        }
        for i in 0..5_000 {
            store.set(key(1_000 + i % 60), [(i / 60) as u8; 1_000]).unwrap();
            store.maintain(1_000).unwrap();
        }
        assert_eq!((store.stats().evicted, store.len()), (0, 510));
    }

    #[test]
    fn writers_make_space_in_a_store_without_maintenance() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(&dir, WhenFull::Evict);
        let mut refused = 0;
        for i in 0..3_000 {
            match store.set(key(i), [1; 1_000]) {
                Ok(()) => assert_eq!(store.get(key(i)).unwrap(), [1; 1_000]),
                Err(StoreError::Full) => refused += 1,
                Err(error) => panic!("{error}"),
            }
            assert!(store.stats().file_bytes <= MAX_BYTES);
        }
        assert_eq!(refused, 0);
    }

    #[test]
    fn a_store_that_refuses_keeps_all_pairs_and_accepts_writes_once_there_is_space() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(&dir, WhenFull::Refuse);
        let stored = (0..).find(|i| matches!(store.set(key(*i), [1; 1_000]), Err(StoreError::Full))).unwrap();
        assert!(stored > 700, "{stored}");
        assert!(store.stats().refused_full > 0 && store.stats().evicted == 0);
        assert!((0..stored).all(|i| store.contains(key(i))));
        for i in 0..stored / 2 {
            assert!(store.delete(key(i)).unwrap());
        }
        while store.maintain(10_000).unwrap().pending {}
        for i in 0..stored / 4 {
            store.set(key(i), [2; 1_000]).unwrap();
        }
        drop(store);
        let store = open(&dir, WhenFull::Refuse);
        assert!((0..stored / 4).all(|i| store.get(key(i)).unwrap() == [2; 1_000]));
        assert!((stored / 4..stored / 2).all(|i| !store.contains(key(i))));
        assert!((stored / 2..stored).all(|i| store.get(key(i)).unwrap() == [1; 1_000]));
    }

    #[test]
    fn damaged_slots_do_not_take_space_from_new_pairs() {
        for (word, bits) in [(3, 1 << 30), (0, 1 << 41)] {
            let dir = tempfile::tempdir().unwrap();
            let store = open(&dir, WhenFull::Evict);
            (0..500).for_each(|i| store.set(key(i), [1; 1_000]).unwrap());
            store.shared.engine.log.segments().iter().for_each(|segment| segment.damage(0, word, bits));
            let refused = (500..3_000).filter(|i| store.set(key(*i), [1; 1_000]).is_err()).count();
            assert_eq!(refused, 0, "{:?}", store.stats());
            assert!(store.stats().damaged > 5, "{:?}", store.stats());
        }
    }

    #[test]
    fn evicted_pairs_are_not_restored_by_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(&dir, WhenFull::Evict);
        for i in 0..3_000 {
            store.set(key(i), [1; 1_000]).unwrap();
        }
        let there: Vec<u32> = (0..3_000).filter(|i| store.contains(key(*i))).collect();
        assert!(there.len() < 1_100);
        drop(store);
        let store = open(&dir, WhenFull::Evict);
        assert_eq!((0..3_000).filter(|i| store.contains(key(*i))).collect::<Vec<_>>(), there);
    }

    #[test]
    fn pairs_with_many_ttls_fit_into_few_segments() {
        for when_full in [WhenFull::Evict, WhenFull::Refuse] {
            let dir = tempfile::tempdir().unwrap();
            let (clock, hand) = Clock::manual();
            let options = Options::manual().segment_len(SEGMENT_LEN).max_bytes(8 * SEGMENT_LEN as u64).clock(clock);
            let store = options.when_full(when_full).open(dir.path()).unwrap();
            for i in 0..4_000u32 {
                let ttl = Ttl::After(Duration::from_secs(1_000 << (i % 8)));
                store.set_with_ttl(key(i % 50), [i as u8; 1_000], ttl).unwrap();
                store.maintain(1_000).unwrap();
                hand.advance(Duration::from_millis(50));
            }
        }
    }

    #[test]
    fn big_values_that_are_read_use_up_no_cold_segments() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(&dir, WhenFull::Evict);
        for i in 0..60 {
            store.set(key(i), vec![i as u8; SEGMENT_LEN + SEGMENT_LEN / 5]).unwrap();
            for _ in 0..3 {
                store.get(key(i)).unwrap();
            }
            let segments = store.shared.engine.log.segments();
            assert!(segments.iter().filter(|segment| segment.header.kind == Kind::Cold).count() <= 1);
        }
    }

    #[test]
    fn space_is_made_for_a_value_longer_than_a_segment() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(&dir, WhenFull::Evict);
        for i in 0..3_000 {
            store.set(key(i), [1; 1_000]).unwrap();
        }
        for i in 0..20 {
            store.set(key(i), vec![i as u8; 3 * SEGMENT_LEN]).unwrap();
        }
    }

    #[test]
    fn a_read_only_store_keeps_its_pairs() {
        let dir = tempfile::tempdir().unwrap();
        let (clock, hand) = Clock::manual();
        let durability = Durability::Interval(Duration::from_secs(36_000));
        let options = Options::manual().segment_len(SEGMENT_LEN).max_bytes(MAX_BYTES).when_full(WhenFull::Evict);
        let store = options.clock(clock).durability(durability).open(dir.path()).unwrap();
        for i in 0..3_000 {
            store.set(key(i), [1; 1_000]).unwrap();
        }
        let before = store.len();
        store.shared.syncs.group_commit.fail();
        for _ in 0..100 {
            assert!(matches!(store.maintain(1_000), Err(StoreError::ReadOnly)));
            hand.advance(Duration::from_millis(100));
        }
        assert_eq!(store.len(), before);
    }
}
