//! The memory that buffers may use, shared by all connections of a server.
//!
//! Memory is taken from the [`Budget`] before it is allocated, so that peers can exhaust the budget and not the memory of
//! the machine.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A lease of at most this size may use all of the budget. Larger ones leave one part in [`RESERVED_SHARE`] of it for
/// those: stalled uploads of large values do not keep small requests out.
const SMALL_LEASE_LEN: usize = 16 * 1024;
const RESERVED_SHARE: usize = 8;

/// A limit on the bytes that the buffers of all connections use.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: usize,
    used: AtomicUsize,
}

/// The budget has not enough bytes left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OverBudget;

impl Budget {
    pub(crate) fn new(limit: usize) -> Arc<Budget> {
        Arc::new(Budget { limit, used: AtomicUsize::new(0) })
    }

    /// The largest lease that a budget with this limit can grant.
    pub(crate) fn largest_lease(limit: usize) -> usize {
        limit - limit / RESERVED_SHARE
    }

    fn take(&self, bytes: usize, lease_len: usize) -> Result<(), OverBudget> {
        let ceiling = if lease_len <= SMALL_LEASE_LEN { self.limit } else { Budget::largest_lease(self.limit) };
        self.used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                used.checked_add(bytes).filter(|&used| used <= ceiling)
            })
            .map(drop)
            .map_err(|_| OverBudget)
    }

    fn give_back(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// How many bytes are leased.
    #[cfg(any(test, feature = "status"))]
    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }
}

/// Bytes taken from a budget, and returned when this is dropped.
#[derive(Debug, Default)]
pub(crate) struct Lease {
    budget: Option<Arc<Budget>>,
    len: usize,
}

impl Lease {
    /// Extends the lease to `len` bytes of `budget`, if it has fewer.
    pub(crate) fn grow_to(&mut self, len: usize, budget: &Arc<Budget>) -> Result<(), OverBudget> {
        let more = len.saturating_sub(self.len);
        budget.take(more, len)?;
        self.len += more;
        self.budget.get_or_insert_with(|| Arc::clone(budget));
        Ok(())
    }

    /// Reduces the lease to `len` bytes, if it has more.
    pub(super) fn shrink_to(&mut self, len: usize) {
        let less = self.len.saturating_sub(len);
        if let Some(budget) = &self.budget {
            budget.give_back(less);
        }
        self.len -= less;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(budget) = &self.budget {
            budget.give_back(self.len);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1024 * 1024;

    #[test]
    fn stalled_uploads_leave_room_for_small_requests() {
        let budget = Budget::new(8 * MIB);
        let mut stalled = Vec::new();
        loop {
            let mut lease = Lease::default();
            if lease.grow_to(MIB, &budget).is_err() {
                break;
            }
            stalled.push(lease);
        }
        assert_eq!(stalled.len(), 7);

        let mut small = Lease::default();
        small.grow_to(1000, &budget).unwrap();
        assert_eq!(budget.used(), 7 * MIB + 1000);
        drop((stalled, small));
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn a_refused_lease_takes_nothing() {
        let budget = Budget::new(1000);
        let mut lease = Lease::default();
        assert_eq!(lease.grow_to(1001, &budget), Err(OverBudget));
        assert_eq!(budget.used(), 0);
        lease.grow_to(1000, &budget).unwrap();
        assert_eq!(lease.grow_to(usize::MAX, &budget), Err(OverBudget));
        assert_eq!(budget.used(), 1000);
    }
}
