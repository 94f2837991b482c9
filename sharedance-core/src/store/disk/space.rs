//! How much room the store's files take, and may take.

use crate::store::error::StoreError;
use crate::store::primitives::atomic::{AtomicU64, Ordering};

/// An account of the bytes of all segment files, with a limit where the operator set one.
#[derive(Debug)]
pub(crate) struct Space {
    used: AtomicU64,
    limit: u64,
    /// What survivors of compaction may use up to, where that is more than the limit: see [`Space::allow_survivors`].
    survivors_limit: AtomicU64,
}

impl Space {
    pub(crate) fn new(limit: Option<u64>) -> Space {
        Space { used: AtomicU64::new(0), limit: limit.unwrap_or(u64::MAX), survivors_limit: AtomicU64::new(0) }
    }

    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// What the operator set.
    pub(crate) fn limit(&self) -> Option<u64> {
        Some(self.limit).filter(|&limit| limit < u64::MAX)
    }

    /// Bytes that may still be claimed; `u64::MAX` less what is used where there is no limit.
    pub(crate) fn left(&self) -> u64 {
        self.limit.saturating_sub(self.used())
    }

    /// Whether more is used than the limit allows: the store was opened with a lower one than before.
    pub(crate) fn is_exceeded(&self) -> bool {
        self.used() > self.limit
    }

    /// Whether there would be room for so many bytes if nothing else were there.
    pub(crate) fn could_hold(&self, bytes: u64) -> bool {
        bytes <= self.limit
    }

    /// Takes `bytes` for a file, of which `reserve` more must be left.
    ///
    /// # Errors
    /// [`StoreError::Full`] where they are not.
    pub(crate) fn claim(&self, bytes: u64, reserve: u64) -> Result<(), StoreError> {
        self.claim_within(self.limit, bytes, reserve)
    }

    /// Takes `bytes` for a file of survivors of compaction, which gives back more than it takes.
    ///
    /// # Errors
    /// As for [`Space::claim`].
    pub(crate) fn claim_for_survivors(&self, bytes: u64) -> Result<(), StoreError> {
        self.claim_within(self.limit.max(self.survivors_limit.load(Ordering::Relaxed)), bytes, 0)
    }

    fn claim_within(&self, limit: u64, bytes: u64, reserve: u64) -> Result<(), StoreError> {
        let fits = |used: u64| {
            let claimed = used.checked_add(bytes)?;
            (claimed.checked_add(reserve)? <= limit).then_some(claimed)
        };
        self.used.fetch_update(Ordering::AcqRel, Ordering::Relaxed, fits).map(drop).map_err(|_| StoreError::Full)
    }

    /// Lets survivors take `bytes` beyond what is used now, until there is that much room within the limit: a store that
    /// was opened without any could otherwise not be compacted, however much of it is dead.
    pub(crate) fn allow_survivors(&self, bytes: u64) {
        self.survivors_limit.store(self.used().saturating_add(bytes), Ordering::Relaxed);
    }

    /// Gives back the bytes of a file that is gone, or did not come into being.
    pub(crate) fn give_back(&self, bytes: u64) {
        let before = self.used.fetch_sub(bytes, Ordering::AcqRel);
        if before <= self.limit {
            self.survivors_limit.store(0, Ordering::Relaxed);
        }
    }

    /// Sets the account to what recovery found, within the limit or not.
    pub(crate) fn resume(&self, used: u64) {
        self.used.store(used, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_leave_the_reserve_and_come_back() {
        let space = Space::new(Some(100));
        space.claim(60, 20).unwrap();
        assert!(matches!(space.claim(30, 20), Err(StoreError::Full)));
        space.claim(30, 10).unwrap();
        assert_eq!((space.used(), space.left()), (90, 10));
        space.give_back(60);
        assert_eq!((space.used(), space.left()), (30, 70));
        assert!(matches!(space.claim(u64::MAX, u64::MAX), Err(StoreError::Full)));
        space.resume(200);
        assert_eq!(space.left(), 0);
    }

    #[test]
    fn survivors_exceed_the_limit_only_while_there_is_no_room_within_it() {
        let space = Space::new(Some(100));
        space.resume(130);
        assert!(space.claim_for_survivors(20).is_err());
        space.allow_survivors(20);
        space.claim_for_survivors(20).unwrap();
        assert!(space.claim_for_survivors(20).is_err() && space.claim(20, 0).is_err());
        for used in [130, 110, 90] {
            space.give_back(20);
            assert_eq!(space.used(), used);
        }
        space.give_back(20);
        space.claim_for_survivors(20).unwrap();
        assert!(space.claim_for_survivors(20).is_err(), "the limit holds again");
    }
}
