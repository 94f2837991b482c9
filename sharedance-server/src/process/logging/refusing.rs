//! Whether the store refuses pairs because it is full: known from the results of writes.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// A full store may accept a small pair between two larger ones that it refuses. The refusals have ended with the first
/// write that is accepted this long after the last one that was not.
const QUIET_MS: u64 = 10_000;

/// The state of all workers together. Times are in milliseconds since the start of the server.
#[derive(Debug, Default)]
pub(super) struct Refusing {
    is_refusing: AtomicBool,
    began: AtomicU64,
    last: AtomicU64,
    count: AtomicU64,
}

/// Refusals that have ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ended {
    pub(super) count: u64,
    /// From the first to the last.
    pub(super) lasted: Duration,
}

impl Refusing {
    /// Notes that a write was refused. Returns whether it is the first one.
    pub(super) fn refused(&self, now: u64) -> bool {
        self.last.fetch_max(now, Ordering::Relaxed);
        self.count.fetch_add(1, Ordering::Relaxed);
        // Only the thread that changes the state sets the start, so that no other overwrites it.
        let begins = !self.is_refusing.swap(true, Ordering::AcqRel);
        if begins {
            self.began.store(now, Ordering::Relaxed);
        }
        begins
    }

    /// Whether a write that is accepted now may be the end of refusals. One load of a line that rarely changes.
    #[inline]
    pub(super) fn may_end(&self) -> bool {
        self.is_refusing.load(Ordering::Relaxed)
    }

    /// Notes that a write was accepted. Returns the refusals that have ended by that, once.
    pub(super) fn accepted(&self, now: u64) -> Option<Ended> {
        let last = self.last.load(Ordering::Relaxed);
        let is_end = now.saturating_sub(last) >= QUIET_MS && self.is_refusing.swap(false, Ordering::AcqRel);
        is_end.then(|| Ended {
            count: self.count.swap(0, Ordering::Relaxed),
            lasted: Duration::from_millis(last.saturating_sub(self.began.load(Ordering::Relaxed))),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_begin_once_and_end_once_although_small_pairs_are_accepted_in_between() {
        let refusing = Refusing::default();
        assert!(!refusing.may_end());
        for round in 1..=2 {
            let start = round * 1_000_000;
            assert!(refusing.refused(start));
            for second in 1..60 {
                assert!(refusing.may_end());
                assert!(!refusing.refused(start + second * 1000));
                assert_eq!(refusing.accepted(start + second * 1000 + 1), None);
            }
            let end = start + 59_000 + QUIET_MS;
            assert_eq!(refusing.accepted(end - 1), None);
            assert_eq!(refusing.accepted(end), Some(Ended { count: 60, lasted: Duration::from_secs(59) }));
            assert!(!refusing.may_end());
            assert_eq!(refusing.accepted(end), None);
        }
    }
}
