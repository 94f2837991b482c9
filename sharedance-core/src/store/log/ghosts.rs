//! Ghosts: fingerprints of pairs that were evicted recently, and their queues.
//!
//! A table of buckets. In a bucket the newest fingerprint is first and displaces the oldest, so fingerprints are
//! dropped in about the order of the evictions, without a lock. A pair with the fingerprint of another one, about one
//! in a hundred million, is only kept longer.

use crate::store::primitives::OnceLock;
use crate::store::primitives::atomic::{AtomicU32, AtomicUsize, Ordering};

/// The fingerprints of a bucket: half a cache line.
const BUCKET_LEN: usize = 8;
const MIN_TABLE_LEN: usize = 64;
/// The lengths of tables are powers of two. No index has more pairs than the last table supports.
const TABLES: usize = 32;
/// The bits of a fingerprint for the queue from which the pair was evicted, and for its presence.
const MAIN_BIT: u32 = 1;
const PRESENT_BIT: u32 = 2;

/// The queues that pairs are evicted from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Queue {
    /// Queue of new pairs.
    Probation,
    /// Queue of pairs that were read while they were new.
    Main,
}

/// A pair that is stored again after its eviction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Recalled {
    pub(crate) evicted_from: Queue,
    /// The number of ghosts of the same queue, including the pair, and of the other queue.
    pub(crate) alike: usize,
    pub(crate) others: usize,
}

#[derive(Debug, Default)]
pub(crate) struct Ghosts {
    /// By the binary logarithm of their length. Only the largest one is in use.
    tables: [OnceLock<Table>; TABLES],
    current: AtomicUsize,
}

#[derive(Debug)]
struct Table {
    fingerprints: Box<[AtomicU32]>,
    /// The number of ghosts of each queue.
    counts: [AtomicUsize; 2],
}

impl Ghosts {
    /// Allocates a table for half as many ghosts as `pairs`, rounded up. A larger table starts empty.
    pub(crate) fn fit(&self, pairs: usize) {
        let wanted = (pairs / 2).max(MIN_TABLE_LEN).next_power_of_two().ilog2() as usize;
        if wanted > self.current.load(Ordering::Relaxed)
            && let Some(table) = self.tables.get(wanted)
        {
            table.get_or_init(|| Table::new(1 << wanted));
            self.current.store(wanted, Ordering::Release);
        }
    }

    /// The maximum number of ghosts; zero before the first [`Ghosts::fit`].
    pub(crate) fn capacity(&self) -> usize {
        self.table().map_or(0, |table| table.fingerprints.len())
    }

    /// Records that the pair with this hash was evicted.
    pub(crate) fn remember(&self, hash: u64, evicted_from: Queue) {
        if let Some(table) = self.table() {
            let mut pushed = fingerprint(hash, evicted_from);
            table.count(pushed).fetch_add(1, Ordering::Relaxed);
            for place in table.bucket(hash) {
                pushed = place.swap(pushed, Ordering::Relaxed);
                if pushed == 0 {
                    return;
                }
            }
            table.count(pushed).fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Returns the ghost of the pair with this hash, if there is one, and removes it.
    pub(crate) fn recall(&self, hash: u64) -> Option<Recalled> {
        let table = self.table()?;
        for evicted_from in [Queue::Probation, Queue::Main] {
            let wanted = fingerprint(hash, evicted_from);
            let takes = |place: &AtomicU32| {
                place.load(Ordering::Relaxed) == wanted
                    && place.compare_exchange(wanted, 0, Ordering::Relaxed, Ordering::Relaxed).is_ok()
            };
            if table.bucket(hash).iter().any(takes) {
                let alike = table.count(wanted).fetch_sub(1, Ordering::Relaxed);
                let others = table.count(wanted ^ MAIN_BIT).load(Ordering::Relaxed);
                return Some(Recalled { evicted_from, alike, others });
            }
        }
        None
    }

    fn table(&self) -> Option<&Table> {
        self.tables[self.current.load(Ordering::Acquire)].get()
    }
}

impl Table {
    fn new(len: usize) -> Table {
        Table { fingerprints: (0..len).map(|_| AtomicU32::new(0)).collect(), counts: Default::default() }
    }

    fn bucket(&self, hash: u64) -> &[AtomicU32] {
        let first = hash as usize % (self.fingerprints.len() / BUCKET_LEN) * BUCKET_LEN;
        &self.fingerprints[first..first + BUCKET_LEN]
    }

    fn count(&self, fingerprint: u32) -> &AtomicUsize {
        &self.counts[(fingerprint & MAIN_BIT) as usize]
    }
}

/// The upper half of the hash, except two bits: the lower half has selected the bucket.
fn fingerprint(hash: u64, evicted_from: Queue) -> u32 {
    let queue_bit = if evicted_from == Queue::Main { MAIN_BIT } else { 0 };
    (hash >> 32) as u32 & !(MAIN_BIT | PRESENT_BIT) | PRESENT_BIT | queue_bit
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(i: u64) -> u64 {
        (i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    #[test]
    fn an_evicted_pair_is_recalled_once_and_counted() {
        let ghosts = Ghosts::default();
        ghosts.remember(hash(1), Queue::Main);
        assert_eq!((ghosts.recall(hash(1)), ghosts.capacity()), (None, 0));
        ghosts.fit(1_000);
        assert_eq!(ghosts.capacity(), 512);
        ghosts.remember(hash(1), Queue::Main);
        ghosts.remember(hash(2), Queue::Probation);
        ghosts.remember(hash(3), Queue::Probation);
        assert_eq!(ghosts.recall(hash(4)), None);
        let recalled = |evicted_from, alike, others| Some(Recalled { evicted_from, alike, others });
        assert_eq!(ghosts.recall(hash(2)), recalled(Queue::Probation, 2, 1));
        assert_eq!(ghosts.recall(hash(2)), None);
        assert_eq!(ghosts.recall(hash(1)), recalled(Queue::Main, 1, 1));
    }

    #[test]
    fn the_oldest_ghosts_are_dropped_first() {
        let ghosts = Ghosts::default();
        ghosts.fit(2_048);
        let evicted = 10_000;
        (0..evicted).for_each(|i| ghosts.remember(hash(i), Queue::Probation));
        let recalled: Vec<u64> = (0..evicted).filter(|i| ghosts.recall(hash(*i)).is_some()).collect();
        assert!(recalled.len() > 900 && recalled.len() <= 1_024, "{}", recalled.len());
        assert!(recalled.iter().all(|i| *i > evicted - 4 * 1_024), "{:?}", recalled.first());
        assert!((evicted - 256..evicted).all(|i| recalled.contains(&i)));
        ghosts.remember(hash(1), Queue::Probation);
        let alone = Recalled { evicted_from: Queue::Probation, alike: 1, others: 0 };
        assert_eq!(ghosts.recall(hash(1)), Some(alone), "displaced and recalled ghosts are not counted");
    }

    #[test]
    fn a_larger_table_replaces_a_smaller_one_and_not_vice_versa() {
        let ghosts = Ghosts::default();
        ghosts.fit(10);
        assert_eq!(ghosts.capacity(), MIN_TABLE_LEN);
        ghosts.fit(100_000);
        assert_eq!(ghosts.capacity(), 65_536);
        ghosts.remember(hash(1), Queue::Main);
        ghosts.fit(10);
        assert!(ghosts.recall(hash(1)).is_some());
    }
}
