//! The two queues of eviction, and their shares of the space.
//!
//! A pair that is stored again soon after its eviction shows which queue had too little space: see
//! [`eviction`](crate::store::upkeep::eviction).

use crate::store::log::ghosts::{Ghosts, Queue, Recalled};
use crate::store::primitives::atomic::{AtomicU64, Ordering};

/// The whole space, in the units in which the share of new pairs is expressed.
pub(crate) const WHOLE: u64 = 1 << 32;
/// The initial and the smallest share of new pairs, as in S3-FIFO…
const MIN_PROBATION: u64 = WHOLE / 10;
/// …and the largest.
const MAX_PROBATION: u64 = WHOLE / 10 * 9;
/// What a store that evicts keeps in memory for it: about three bytes for each pair, in addition to the read counts of
/// its segments.
#[derive(Debug)]
pub(crate) struct Queues {
    pub(crate) ghosts: Ghosts,
    /// The share of new pairs, in units of [`WHOLE`].
    probation: AtomicU64,
}

impl Queues {
    pub(crate) fn new() -> Queues {
        Queues { ghosts: Ghosts::default(), probation: AtomicU64::new(MIN_PROBATION) }
    }

    pub(crate) fn probation(&self) -> u64 {
        self.probation.load(Ordering::Relaxed)
    }

    /// Records that a new pair with this hash is stored. Returns whether it was evicted too early, and therefore counts
    /// as read.
    pub(crate) fn welcome(&self, hash: u64) -> bool {
        let Some(Recalled { evicted_from, alike, others }) = self.ghosts.recall(hash) else {
            return false;
        };
        // About the share of one pair, more if such ghosts are rare, so that both queues have the same influence.
        let step = WHOLE / (self.ghosts.capacity() as u64).max(1) * (others as u64 / alike.max(1) as u64).max(1);
        // Two concurrent changes may count as one.
        let before = self.probation.load(Ordering::Relaxed);
        let after = match evicted_from {
            Queue::Probation => before.saturating_add(step),
            Queue::Main => before.saturating_sub(step),
        };
        self.probation.store(after.clamp(MIN_PROBATION, MAX_PROBATION), Ordering::Relaxed);
        evicted_from == Queue::Probation
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probation_after(evicted_from: Queue, pairs: u64) -> u64 {
        let queues = Queues::new();
        queues.ghosts.fit(1_000);
        queues.probation.store(WHOLE / 2, Ordering::Relaxed);
        let hash = |i: u64| (i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for i in 0..pairs {
            queues.ghosts.remember(hash(i), evicted_from);
            assert_eq!(queues.welcome(hash(i)), evicted_from == Queue::Probation);
            assert!(!queues.welcome(hash(i)), "a ghost is left");
        }
        queues.probation.load(Ordering::Relaxed)
    }

    #[test]
    fn a_pair_that_returns_shifts_space_to_its_queue_within_limits() {
        assert_eq!(probation_after(Queue::Probation, 64), WHOLE / 2 + WHOLE / 8);
        assert_eq!(probation_after(Queue::Main, 64), WHOLE / 2 - WHOLE / 8);
        assert_eq!(probation_after(Queue::Probation, 600), MAX_PROBATION);
        assert_eq!(probation_after(Queue::Main, 600), MIN_PROBATION);
    }
}
