//! The part of a request that has arrived while the request is incomplete.
//!
//! A buffer grows with the bytes that have arrived, not with the length that a peer announces: its capacity is at most a
//! small multiple of its length, and at most what the request needs. It takes its memory from a [`Budget`].

use std::sync::Arc;

use super::budget::{Budget, Lease, OverBudget};

/// Below this length, a growing buffer takes four times the bytes that have arrived, so that a large request needs few
/// reads; above it, twice, so that little memory is unused.
const EAGER_LEN: usize = 64 * 1024;

/// The unread bytes of one connection. An empty buffer owns no memory.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    /// How many of them are consumed.
    consumed: usize,
    lease: Lease,
}

impl Buffer {
    /// The bytes that have arrived and are not consumed.
    pub(crate) fn unread(&self) -> &[u8] {
        &self.bytes[self.consumed..]
    }

    /// The same bytes, to be changed in place.
    #[cfg(feature = "tls")]
    pub(crate) fn unread_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.consumed..]
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - self.consumed
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Removes the first `len` unread bytes, and frees memory that the others do not need.
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

    /// Replaces the content by `unread`, in memory of exactly that size.
    pub(crate) fn replace(&mut self, unread: &[u8], budget: &Arc<Budget>) -> Result<(), OverBudget> {
        if self.bytes.capacity() > 0 {
            self.clear();
        }
        if unread.is_empty() { Ok(()) } else { self.append(unread, unread.len(), budget) }
    }

    /// Appends `arrived`. `request_len` is the length that the request is known to need.
    pub(crate) fn append(
        &mut self,
        arrived: &[u8],
        request_len: usize,
        budget: &Arc<Budget>,
    ) -> Result<(), OverBudget> {
        self.move_to_front();
        let len = self.bytes.len() + arrived.len();
        if len > self.bytes.capacity() {
            // The first piece is usually a header, and the rest may take long: no spare capacity.
            let growing = !self.bytes.is_empty();
            let capacity = if growing { len.max(2 * self.bytes.capacity()) } else { len };
            self.grow(capacity.min(request_len + 1).max(len), budget)?;
        }
        self.bytes.extend_from_slice(arrived);
        Ok(())
    }

    /// The buffer with room for a read: always at least a byte, and one byte more than the request needs once its end is
    /// near, so that a read which fills all of it reveals surplus bytes.
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

    /// Removes all bytes and frees their memory.
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
    fn memory_follows_what_has_arrived_not_what_was_announced() {
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
        assert_eq!(arrived, 30 * MIB + 1, "there is room for the surplus byte, and no more");
        assert_eq!(budget.used(), 30 * MIB + 1);

        buffer.clear();
        assert_eq!((buffer.len(), budget.used()), (0, 0));
    }

    #[test]
    fn appending_byte_by_byte_keeps_the_order_and_is_amortised() {
        let budget = Budget::new(MIB);
        let mut buffer = Buffer::default();
        for n in 0..1000_u32 {
            buffer.append(&[n as u8], 100_000, &budget).unwrap();
        }
        assert!(buffer.unread().iter().enumerate().all(|(n, &byte)| byte == n as u8));
        assert!(budget.used() <= 2000);
    }

    #[test]
    fn consumed_bytes_free_their_memory() {
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
}
