//! The locks that a connection holds, and the one that it waits for.

use std::time::Instant;

use crate::locks::{ConnectionId, LOCKS_PER_CONNECTION, LockOutcome, LockRequest, LockTicket, Locks};

/// The locks of one connection. A connection that has never requested a lock has no such value.
#[derive(Debug, Default)]
pub(super) struct ConnectionLocks {
    held: Vec<LockTicket>,
    waiting_for: Option<LockTicket>,
    /// When the last wait began.
    wait_began: Option<Instant>,
    /// Whether the last wait has ended with the lock, until the response is queued.
    wait_result: Option<bool>,
}

impl ConnectionLocks {
    pub(super) fn acquire(&mut self, request: &LockRequest<'_>, locks: &Locks, now: Instant) -> LockOutcome {
        if self.held.len() >= LOCKS_PER_CONNECTION {
            self.held.retain(|&ticket| locks.is_current(ticket, now));
            if self.held.len() >= LOCKS_PER_CONNECTION {
                return LockOutcome::TooMany;
            }
        }
        let outcome = locks.acquire(request, now);
        match outcome {
            LockOutcome::Acquired(ticket) => self.held.push(ticket),
            LockOutcome::Queued(ticket) => (self.waiting_for, self.wait_began) = (Some(ticket), Some(now)),
            LockOutcome::Extended | LockOutcome::TimedOut | LockOutcome::TooMany => {}
        }
        outcome
    }

    /// Releases the lock of `key`. Returns whether it was held.
    pub(super) fn unlock(&mut self, key: &[u8], connection: ConnectionId, locks: &Locks, now: Instant) -> bool {
        let ticket = locks.unlock(key, connection, now);
        if let Some(ticket) = ticket {
            self.held.retain(|&other| other != ticket);
        }
        ticket.is_some()
    }

    /// Releases all locks. Returns how many were held until now.
    pub(super) fn unlock_all(&mut self, worker: u32, locks: &Locks, now: Instant) -> u64 {
        self.held.drain(..).map(|ticket| u64::from(locks.release(ticket, worker, now))).sum()
    }

    /// Ends the wait: the lock is held now, or the wait has timed out.
    pub(super) fn end_wait(&mut self, is_acquired: bool) {
        if let Some(ticket) = self.waiting_for.take() {
            if is_acquired {
                self.held.push(ticket);
            }
            self.wait_result = Some(is_acquired);
        }
    }

    /// Whether the last wait has ended with the lock, and when it began. Returns `None` from the second call on.
    pub(super) fn take_wait_result(&mut self) -> Option<(bool, Instant)> {
        self.wait_result.take().zip(self.wait_began.take())
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.waiting_for.is_some()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty() && self.waiting_for.is_none() && self.wait_result.is_none()
    }

    /// Releases everything at the end of the connection.
    pub(super) fn release(self, worker: u32, locks: &Locks, now: Instant) {
        for ticket in self.held.into_iter().chain(self.waiting_for) {
            locks.release(ticket, worker, now);
        }
    }
}
