//! The space that the store's files take, and its limit.

use crate::store::error::StoreError;
use crate::store::primitives::atomic::{AtomicU64, Ordering};

/// Counts the bytes of all segment files, with the limit that the operator set, if there is one.
#[derive(Debug)]
pub(crate) struct Space {
    used: AtomicU64,
    limit: u64,
    /// The limit for survivors of compaction, if it is above `limit`: see [`Space::allow_survivors`].
    survivors_limit: AtomicU64,
}

impl Space {
    pub(crate) fn new(limit: Option<u64>) -> Space {
        Space { used: AtomicU64::new(0), limit: limit.unwrap_or(u64::MAX), survivors_limit: AtomicU64::new(0) }
    }

    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// The limit that the operator set.
    pub(crate) fn limit(&self) -> Option<u64> {
        Some(self.limit).filter(|&limit| limit < u64::MAX)
    }

    /// Bytes that can still be claimed. Without a limit, `u64::MAX` minus the used bytes.
    pub(crate) fn left(&self) -> u64 {
        self.limit.saturating_sub(self.used())
    }

    /// Whether more bytes are used than the limit allows: the store was opened with a lower limit than before.
    pub(crate) fn is_exceeded(&self) -> bool {
        self.used() > self.limit
    }

    /// Whether a file of this length fits into an empty store.
    pub(crate) fn could_hold(&self, bytes: u64) -> bool {
        bytes <= self.limit
    }

    /// Claims `bytes` for a file. After that, `reserve` bytes must be left.
    ///
    /// # Errors
    /// [`StoreError::Full`] if they are not.
    pub(crate) fn claim(&self, bytes: u64, reserve: u64) -> Result<(), StoreError> {
        self.claim_within(self.limit, bytes, reserve)
    }

    /// Claims `bytes` for a file of survivors of compaction, which frees more than it takes.
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

    /// Lets survivors take `bytes` beyond those that are used now, until that much space is free within the limit.
    /// Otherwise a store that was opened without free space could not be compacted, even if most of it is dead.
    pub(crate) fn allow_survivors(&self, bytes: u64) {
        self.survivors_limit.store(self.used().saturating_add(bytes), Ordering::Relaxed);
    }

    /// Releases the bytes of a file that was deleted or not created.
    pub(crate) fn give_back(&self, bytes: u64) {
        let before = self.used.fetch_sub(bytes, Ordering::AcqRel);
        if before <= self.limit {
            self.survivors_limit.store(0, Ordering::Relaxed);
        }
    }

    /// Sets the used bytes to those that recovery found, within the limit or not.
    pub(crate) fn resume(&self, used: u64) {
        self.used.store(used, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_leave_the_reserve_and_are_released() {
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
