//! What has arrived of a request that is not whole yet, and the account on which all such bytes stand.
//!
//! A buffer grows with what has really arrived, never with what a peer announces: its capacity is at most a small
//! multiple of its length, and never more than the request needs. All buffers of a server share one [`Budget`];
//! memory is taken from it before it is allocated, so that peers can fill the budget but not the machine.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Below this, a growing buffer takes four times what has arrived, so that a large request needs few reads; above it
/// twice, so that little is taken in vain.
const EAGER_LEN: usize = 64 * 1024;

/// A lease that stays within this size may use all of the budget; a larger one leaves one part in
/// [`RESERVED_SHARE`] of it to the small: peers that stall large uploads do not keep small requests out.
const SMALL_LEASE_LEN: usize = 16 * 1024;
const RESERVED_SHARE: usize = 8;

/// An account of bytes that many connections draw on.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: usize,
    used: AtomicUsize,
}

/// The budget has not so much left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OverBudget;

impl Budget {
    pub(crate) fn new(limit: usize) -> Arc<Budget> {
        Arc::new(Budget { limit, used: AtomicUsize::new(0) })
    }

    /// The largest single lease that can ever be had.
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

    #[cfg(test)]
    fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }
}

/// Bytes taken from a budget, given back when dropped.
#[derive(Debug, Default)]
pub(crate) struct Lease {
    budget: Option<Arc<Budget>>,
    len: usize,
}

impl Lease {
    /// Makes this a lease of `len` bytes of `budget`, if it is of less.
    pub(crate) fn grow_to(&mut self, len: usize, budget: &Arc<Budget>) -> Result<(), OverBudget> {
        let more = len.saturating_sub(self.len);
        budget.take(more, len)?;
        self.len += more;
        self.budget.get_or_insert_with(|| Arc::clone(budget));
        Ok(())
    }

    /// Makes this a lease of `len` bytes, if it is of more.
    fn shrink_to(&mut self, len: usize) {
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

/// The unread bytes of one connection. Empty, it owns no memory.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    /// So many of them are consumed.
    consumed: usize,
    lease: Lease,
}

impl Buffer {
    /// What has arrived and is not yet consumed.
    pub(crate) fn unread(&self) -> &[u8] {
        &self.bytes[self.consumed..]
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - self.consumed
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets the first `len` unread bytes, and gives back memory that is not needed for the others.
    pub(crate) fn consume(&mut self, len: usize) {
        self.consumed += len;
        if self.is_empty() {
            self.clear();
        } else if self.len() <= self.bytes.capacity() / 4 {
            self.bytes = self.unread().to_vec();
            self.consumed = 0;
            self.lease.shrink_to(self.bytes.capacity());
        }
    }

    /// Keeps `unread` in place of what there was, in a memory of just the size.
    pub(crate) fn replace(&mut self, unread: &[u8], budget: &Arc<Budget>) -> Result<(), OverBudget> {
        if self.bytes.capacity() > 0 {
            self.clear();
        }
        if unread.is_empty() { Ok(()) } else { self.append(unread, unread.len(), budget) }
    }

    /// Keeps `arrived`. `request_len` is what the request is known to need.
    pub(crate) fn append(
        &mut self,
        arrived: &[u8],
        request_len: usize,
        budget: &Arc<Budget>,
    ) -> Result<(), OverBudget> {
        self.move_to_front();
        let len = self.bytes.len() + arrived.len();
        if len > self.bytes.capacity() {
            // The first piece is usually a header, and the peer may let us wait: no spare.
            let growing = !self.bytes.is_empty();
            let capacity = if growing { len.max(2 * self.bytes.capacity()) } else { len };
            self.grow(capacity.min(request_len + 1).max(len), budget)?;
        }
        self.bytes.extend_from_slice(arrived);
        Ok(())
    }

    /// Room behind the unread bytes, to be filled by a read: always some, and one byte more than the request needs
    /// where it is in sight, so that a read that fills all of it tells of bytes too many.
    pub(crate) fn spare(&mut self, request_len: usize, budget: &Arc<Budget>) -> Result<&mut Vec<u8>, OverBudget> {
        self.move_to_front();
        let len = self.bytes.len();
        if len == self.bytes.capacity() {
            let factor = if len < EAGER_LEN { 4 } else { 2 };
            let capacity = (len * factor).min(request_len + 1).max(len + 1);
            self.grow(capacity, budget)?;
        }
        Ok(&mut self.bytes)
    }

    /// Forgets the bytes and frees their memory.
    pub(crate) fn clear(&mut self) {
        *self = Buffer::default();
    }

    fn move_to_front(&mut self) {
        if self.consumed > 0 {
            self.bytes.drain(..self.consumed);
            self.consumed = 0;
        }
    }

    fn grow(&mut self, capacity: usize, budget: &Arc<Budget>) -> Result<(), OverBudget> {
        self.lease.grow_to(capacity, budget)?;
        self.bytes.reserve_exact(capacity - self.bytes.len());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1024 * 1024;

    #[test]
    fn memory_follows_what_arrived_not_what_was_announced() {
        let budget = Budget::new(256 * MIB);
        let mut buffer = Buffer::default();
        buffer.append(&[0; 20], 30 * MIB, &budget).unwrap();
        assert_eq!(budget.used(), 20);

        let mut arrived = 20;
        while arrived < 30 * MIB {
            let room = {
                let spare = buffer.spare(30 * MIB, &budget).unwrap();
                let room = spare.capacity() - spare.len();
                spare.resize(spare.capacity(), 7);
                room
            };
            assert!(room > 0);
            arrived += room;
            assert!(budget.used() <= 4 * arrived, "{} for {arrived}", budget.used());
        }
        assert_eq!(arrived, 30 * MIB + 1, "the surplus byte has its room, and nothing more");
        assert_eq!(budget.used(), 30 * MIB + 1);

        buffer.clear();
        assert_eq!((buffer.len(), budget.used()), (0, 0));
    }

    #[test]
    fn a_byte_at_a_time_keeps_the_order_and_amortises() {
        let budget = Budget::new(MIB);
        let mut buffer = Buffer::default();
        for n in 0..1000_u32 {
            buffer.append(&[n as u8], 100_000, &budget).unwrap();
        }
        assert!(buffer.unread().iter().enumerate().all(|(n, &byte)| byte == n as u8));
        assert!(budget.used() <= 2000);
    }

    #[test]
    fn what_is_consumed_gives_its_memory_back() {
        let budget = Budget::new(MIB);
        let mut buffer = Buffer::default();
        let bytes: Vec<u8> = (0..1000).map(|n| n as u8).collect();
        buffer.append(&bytes, 1000, &budget).unwrap();
        buffer.consume(300);
        assert_eq!((buffer.unread(), budget.used()), (&bytes[300..], 1000));
        buffer.consume(500);
        assert_eq!((buffer.unread(), budget.used()), (&bytes[800..], 200));
        buffer.consume(100);
        buffer.append(b"more", 2000, &budget).unwrap();
        assert_eq!(buffer.unread(), [&bytes[900..], b"more"].concat());
        let used = budget.used();
        assert!((104..=208).contains(&used), "{used}");
        buffer.consume(104);
        assert_eq!((buffer.len(), buffer.bytes.capacity(), budget.used()), (0, 0, 0));

        buffer.append(b"what was", 8, &budget).unwrap();
        buffer.replace(b"what is", &budget).unwrap();
        assert_eq!((buffer.unread(), budget.used()), (&b"what is"[..], 7));
        buffer.replace(b"", &budget).unwrap();
        assert_eq!(budget.used(), 0);
    }

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

        let mut small = Buffer::default();
        small.append(&[1; 1000], 2000, &budget).unwrap();
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
