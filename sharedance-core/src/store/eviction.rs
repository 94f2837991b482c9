//! Eviction: what goes when there is no more room, if the operator would rather lose old pairs than refuse new ones.
//!
//! Whole segments go, the oldest first, but not what is being read: a record that was read since it was last looked at
//! is carried forward instead. So the hot segments are a first-in first-out queue on probation, and the cold ones the
//! main queue, in which each reading buys another round. That is S3-FIFO (Yang and others, 2023) with segments for
//! queues, less the ghost queue; a new pair that nobody reads pushes out others like itself, and not what is in use.

use super::compaction::carry_forward;
use super::error::StoreError;
use super::format::Kind;
use super::index::Index;
use super::log::Log;
use super::segment::Segment;
use super::sync::Arc;

/// The part of the room that new pairs have on probation: one in so many.
const PROBATION_PART: u64 = 10;
/// How much of a segment may be carried forward because it is read, in percent: the less, the more segments have been
/// tried without making room. Where everything is read, something that is has to go.
const MAX_KEPT_PERCENT: [usize; ROUNDS] = [100, 100, 100, 75, 75, 50, 50, 0];
/// How many segments are tried at once.
pub(crate) const ROUNDS: usize = 8;

/// What one eviction did.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Evicted {
    /// Records removed that were live.
    pub(crate) records: usize,
    /// Bytes carried forward because they are read.
    pub(crate) kept_bytes: usize,
}

/// Empties one segment, the `round`-th in a row; none where there is nothing to evict.
///
/// # Errors
/// [`StoreError::Io`] where a file for what is read cannot be made. Where there is no room for one, it goes as well.
pub(crate) fn evict_segment(
    log: &Log,
    index: &Index,
    now_ms: u64,
    round: usize,
) -> Result<Option<Evicted>, StoreError> {
    let Some(victim) = choose(log) else {
        return Ok(None);
    };
    let mut evicted = Evicted::default();
    let max_kept_bytes = victim.file_len() / 100 * MAX_KEPT_PERCENT[round.min(ROUNDS - 1)];
    // What is alone in its file fits into no cold segment, or fills it.
    let can_be_kept = victim.header.kind != Kind::Big;
    for slot in 0..victim.reserved().slots {
        let reads = victim.take_reads(slot);
        if reads > 0 && can_be_kept && evicted.kept_bytes < max_kept_bytes {
            // Each round costs a reading.
            victim.inherit_reads(slot, reads - 1);
            match carry_forward(log, index, &victim, slot, now_ms) {
                Ok(bytes) => evicted.kept_bytes += bytes,
                Err(StoreError::Full) => evicted.records += usize::from(index.remove_if(&victim, slot, |_| true)),
                Err(error) => return Err(error),
            }
        } else {
            evicted.records += usize::from(index.remove_if(&victim, slot, |_| true));
        }
    }
    Ok(Some(evicted))
}

/// The oldest segment of the queue that has more than its share.
fn choose(log: &Log) -> Option<Arc<Segment>> {
    let sealed = log.segments_where(|segment| segment.sealed_at_ms().is_some() && !segment.is_spent());
    let (cold, hot): (Vec<_>, Vec<_>) = sealed.into_iter().partition(|segment| segment.header.kind == Kind::Cold);
    let bytes = |segments: &[Arc<Segment>]| segments.iter().map(|segment| segment.file_len() as u64).sum::<u64>();
    let probation_is_full = bytes(&hot) * PROBATION_PART > bytes(&hot) + bytes(&cold);
    let (first, second) = if probation_is_full { (hot, cold) } else { (cold, hot) };
    let oldest = |segments: Vec<Arc<Segment>>| segments.into_iter().min_by_key(|segment| segment.header.base);
    oldest(first).or_else(|| oldest(second))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Kind;
    use crate::clock::Clock;
    use crate::store::{Durability, Options, Store, StoreError, Ttl, WhenFull};

    const SEGMENT_LEN: usize = 65_536;
    const MAX_BYTES: u64 = 16 * SEGMENT_LEN as u64;

    fn open(dir: &tempfile::TempDir, when_full: WhenFull) -> Store {
        let options = Options::new().segment_len(SEGMENT_LEN).max_bytes(MAX_BYTES).when_full(when_full);
        options.open(dir.path()).unwrap()
    }

    fn key(i: u32) -> [u8; 4] {
        i.to_be_bytes()
    }

    #[test]
    fn what_is_read_outlives_what_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(&dir, WhenFull::Evict);
        for i in 0..5_000 {
            store.set(&key(i), &[1; 1_000]).unwrap();
            for popular in 0..50.min(i) {
                if popular % 3 == i % 3 {
                    assert!(store.get(&key(popular)).is_some(), "{popular} after {i}");
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
    fn writers_make_room_where_nobody_maintains_the_store() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(&dir, WhenFull::Evict);
        let mut refused = 0;
        for i in 0..3_000 {
            match store.set(&key(i), &[1; 1_000]) {
                Ok(()) => assert_eq!(store.get(&key(i)).unwrap(), [1; 1_000]),
                Err(StoreError::Full) => refused += 1,
                Err(error) => panic!("{error}"),
            }
            assert!(store.stats().file_bytes <= MAX_BYTES);
        }
        assert_eq!(refused, 0);
    }

    #[test]
    fn refusing_loses_nothing_and_serves_again_once_there_is_room() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(&dir, WhenFull::Refuse);
        let stored = (0..).find(|i| matches!(store.set(&key(*i), &[1; 1_000]), Err(StoreError::Full))).unwrap();
        assert!(stored > 700, "{stored}");
        assert!(store.stats().refused_full > 0 && store.stats().evicted == 0);
        assert!((0..stored).all(|i| store.contains(&key(i))));
        for i in 0..stored / 2 {
            assert!(store.delete(&key(i)).unwrap());
        }
        while store.maintain(10_000).unwrap().pending {}
        for i in 0..stored / 4 {
            store.set(&key(i), &[2; 1_000]).unwrap();
        }
        drop(store);
        let store = open(&dir, WhenFull::Refuse);
        assert!((0..stored / 4).all(|i| store.get(&key(i)).unwrap() == [2; 1_000]));
        assert!((stored / 4..stored / 2).all(|i| !store.contains(&key(i))));
        assert!((stored / 2..stored).all(|i| store.get(&key(i)).unwrap() == [1; 1_000]));
    }

    #[test]
    fn what_was_evicted_is_not_back_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(&dir, WhenFull::Evict);
        for i in 0..3_000 {
            store.set(&key(i), &[1; 1_000]).unwrap();
        }
        let there: Vec<u32> = (0..3_000).filter(|i| store.contains(&key(*i))).collect();
        assert!(there.len() < 1_100);
        drop(store);
        let store = open(&dir, WhenFull::Evict);
        assert_eq!((0..3_000).filter(|i| store.contains(&key(*i))).collect::<Vec<_>>(), there);
    }

    #[test]
    fn many_lifetimes_find_room_in_few_segments() {
        for when_full in [WhenFull::Evict, WhenFull::Refuse] {
            let dir = tempfile::tempdir().unwrap();
            let (clock, hand) = Clock::manual();
            let options = Options::new().segment_len(SEGMENT_LEN).max_bytes(8 * SEGMENT_LEN as u64).clock(clock);
            let store = options.when_full(when_full).open(dir.path()).unwrap();
            for i in 0..4_000u32 {
                let ttl = Ttl::After(Duration::from_secs(1_000 << (i % 8)));
                store.set_with_ttl(&key(i % 50), &[i as u8; 1_000], ttl).unwrap();
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
            store.set(&key(i), &vec![i as u8; SEGMENT_LEN + SEGMENT_LEN / 5]).unwrap();
            for _ in 0..3 {
                store.get(&key(i)).unwrap();
            }
            let segments = store.inner.log.segments();
            assert!(segments.iter().filter(|segment| segment.header.kind == Kind::Cold).count() <= 1);
        }
    }

    #[test]
    fn room_is_made_for_a_value_longer_than_segments() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(&dir, WhenFull::Evict);
        for i in 0..3_000 {
            store.set(&key(i), &[1; 1_000]).unwrap();
        }
        for i in 0..20 {
            store.set(&key(i), &vec![i as u8; 3 * SEGMENT_LEN]).unwrap();
        }
    }

    #[test]
    fn a_read_only_store_keeps_what_it_has() {
        let dir = tempfile::tempdir().unwrap();
        let (clock, hand) = Clock::manual();
        let durability = Durability::Interval(Duration::from_secs(36_000));
        let options = Options::new().segment_len(SEGMENT_LEN).max_bytes(MAX_BYTES).when_full(WhenFull::Evict);
        let store = options.clock(clock).durability(durability).open(dir.path()).unwrap();
        for i in 0..3_000 {
            store.set(&key(i), &[1; 1_000]).unwrap();
        }
        let before = store.len();
        store.inner.group_commit.fail();
        for _ in 0..100 {
            assert!(matches!(store.maintain(1_000), Err(StoreError::ReadOnly)));
            hand.advance(Duration::from_millis(100));
        }
        assert_eq!(store.len(), before);
    }
}
