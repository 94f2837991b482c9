//! One shard of the locks, as plain data: the owner of each lock, and the connections that wait for it, in order.
//!
//! The table uses no thread, no socket and no clock: it takes `now` as an argument and returns [`LockWakeup`]s. A lock
//! in the table has an owner. Each waiting connection has one timer, and so has each lock that a connection waits for.
//! Other locks have none, so that a lock without contention costs one entry in a table.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use hashbrown::HashTable;
use slab::Slab;

use super::request::{ConnectionId, LockOutcome, LockRequest, LockTicket, LockWakeup};

/// Statistics of locks.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LockStats {
    /// Locks that are held now.
    pub(crate) held: u64,
    /// Connections that wait now.
    pub(crate) waiting: u64,
    /// Requests that had to wait, since the start.
    pub(crate) waits: u64,
    /// Requests that did not get the lock within the time that they would wait.
    pub(crate) timeouts: u64,
    /// Locks that ended by their TTL.
    pub(crate) expired: u64,
}

/// A connection that holds a lock, or waits for it.
#[derive(Debug)]
struct Claim {
    connection: ConnectionId,
    /// The number of its ticket.
    number: u64,
    ttl: Duration,
    /// When the owner loses the lock, or the wait times out.
    deadline: Instant,
}

#[derive(Debug)]
struct Lock {
    hash: u64,
    key: Box<[u8]>,
    owner: Claim,
    /// Whether the owner is executing a command that needs the lock. The lock stays with its owner until then.
    is_pinned: bool,
    /// The waiting connections by ticket number, which is the order of their requests.
    queue: BTreeMap<u64, Claim>,
}

/// Locks by key. Its memory is bounded by the number of locks that it may hold and the number of connections.
#[derive(Debug)]
pub(super) struct LockTable {
    shard: u32,
    max_locks: usize,
    slots: HashTable<u32>,
    locks: Slab<Lock>,
    next_number: u64,
    /// Deadline, slot and ticket number.
    timers: BTreeSet<(Instant, u32, u64)>,
    stats: LockStats,
}

impl LockTable {
    /// The table of a shard, for at most `max_locks` locks.
    pub(super) fn new(shard: u32, max_locks: usize) -> LockTable {
        LockTable {
            shard,
            max_locks,
            slots: HashTable::new(),
            locks: Slab::new(),
            next_number: 0,
            timers: BTreeSet::new(),
            stats: LockStats::default(),
        }
    }

    /// Gives a connection the lock that it requests, or a place in the queue for it. `hash` is that of the key.
    pub(super) fn acquire(
        &mut self,
        hash: u64,
        request: &LockRequest<'_>,
        now: Instant,
        wakeups: &mut Vec<LockWakeup>,
    ) -> LockOutcome {
        let &LockRequest { key, connection, wait, ttl } = request;
        if let Some(slot) = self.find(hash, key) {
            self.release_if_expired(slot, now, wakeups);
        }
        let number = self.next_number;
        self.next_number += 1;
        let Some(slot) = self.find(hash, key) else {
            if self.locks.len() >= self.max_locks && !self.remove_expired(now, wakeups) {
                return LockOutcome::TooMany;
            }
            let owner = Claim { connection, number, ttl, deadline: now + ttl };
            let lock = Lock { hash, key: key.into(), owner, is_pinned: false, queue: BTreeMap::new() };
            let slot = self.locks.insert(lock) as u32;
            let locks = &self.locks;
            self.slots.insert_unique(hash, slot, |&slot| locks[slot as usize].hash);
            return LockOutcome::Acquired(self.ticket(slot, number));
        };
        let lock = &mut self.locks[slot as usize];
        if lock.owner.connection == connection {
            let old = lock.owner.deadline;
            lock.owner.deadline = now + ttl;
            if !lock.queue.is_empty() {
                self.timers.remove(&(old, slot, lock.owner.number));
                self.timers.insert((lock.owner.deadline, slot, lock.owner.number));
            }
            return LockOutcome::Extended;
        }
        if wait.is_zero() {
            self.stats.timeouts += 1;
            return LockOutcome::TimedOut;
        }
        if lock.queue.is_empty() {
            self.timers.insert((lock.owner.deadline, slot, lock.owner.number));
        }
        let deadline = now + wait;
        lock.queue.insert(number, Claim { connection, number, ttl, deadline });
        self.timers.insert((deadline, slot, number));
        self.stats.waits += 1;
        self.stats.waiting += 1;
        LockOutcome::Queued(self.ticket(slot, number))
    }

    /// Releases the lock of `key`. Returns its ticket, or `None` if `connection` does not hold it.
    pub(super) fn unlock(
        &mut self,
        hash: u64,
        key: &[u8],
        connection: ConnectionId,
        now: Instant,
        wakeups: &mut Vec<LockWakeup>,
    ) -> Option<LockTicket> {
        let slot = self.find(hash, key)?;
        self.release_if_expired(slot, now, wakeups);
        let lock = self.locks.get(slot as usize).filter(|lock| lock.owner.connection == connection)?;
        let ticket = self.ticket(slot, lock.owner.number);
        self.hand_over(slot, now, wakeups);
        Some(ticket)
    }

    /// Keeps the lock of `key` with `connection` until it is [unpinned](LockTable::unpin), even if its TTL ends before.
    /// Returns `None` if `connection` does not hold it at `now`.
    pub(super) fn pin(&mut self, hash: u64, key: &[u8], connection: ConnectionId, now: Instant) -> Option<LockTicket> {
        let slot = self.find(hash, key)?;
        let lock = &mut self.locks[slot as usize];
        if lock.owner.connection != connection || lock.owner.deadline <= now {
            return None;
        }
        lock.is_pinned = true;
        let number = lock.owner.number;
        Some(self.ticket(slot, number))
    }

    /// Reverses [`LockTable::pin`]. A lock that has expired by `now` goes to the next connection.
    pub(super) fn unpin(&mut self, ticket: LockTicket, now: Instant, wakeups: &mut Vec<LockWakeup>) {
        let LockTicket { slot, number, .. } = ticket;
        let Some(lock) = self.locks.get_mut(slot as usize).filter(|lock| lock.owner.number == number) else {
            return;
        };
        lock.is_pinned = false;
        if !lock.queue.is_empty() {
            // The timer is missing if it has fired while the lock was pinned.
            self.timers.insert((lock.owner.deadline, slot, number));
        }
        self.release_if_expired(slot, now, wakeups);
    }

    /// Gives up a lock or a place in a queue, if it has not ended already. Returns whether it was a lock that was held
    /// until now.
    pub(super) fn release(&mut self, ticket: LockTicket, now: Instant, wakeups: &mut Vec<LockWakeup>) -> bool {
        let LockTicket { slot, number, .. } = ticket;
        let Some(lock) = self.locks.get_mut(slot as usize) else {
            return false;
        };
        if lock.owner.number == number {
            let was_held = lock.owner.deadline > now;
            self.stats.expired += u64::from(!was_held);
            self.hand_over(slot, now, wakeups);
            return was_held;
        }
        if let Some(claim) = lock.queue.remove(&number) {
            self.timers.remove(&(claim.deadline, slot, number));
            self.stats.waiting -= 1;
            if lock.queue.is_empty() {
                self.timers.remove(&(lock.owner.deadline, slot, lock.owner.number));
            }
        }
        false
    }

    /// Whether the connection that got this ticket still holds the lock, or waits for it.
    pub(super) fn is_current(&self, ticket: LockTicket, now: Instant) -> bool {
        self.locks.get(ticket.slot as usize).is_some_and(|lock| {
            let holds = lock.owner.number == ticket.number && lock.owner.deadline > now;
            holds || lock.queue.contains_key(&ticket.number)
        })
    }

    /// Ends the waits that have timed out, and the locks that have expired and that connections wait for.
    pub(super) fn expire(&mut self, now: Instant, wakeups: &mut Vec<LockWakeup>) {
        while let Some(&(deadline, slot, number)) = self.timers.first()
            && deadline <= now
        {
            let lock = &mut self.locks[slot as usize];
            if lock.owner.number == number && lock.is_pinned {
                self.timers.remove(&(deadline, slot, number));
            } else if lock.owner.number == number {
                self.release_if_expired(slot, now, wakeups);
            } else if let Some(claim) = lock.queue.remove(&number) {
                self.timers.remove(&(deadline, slot, number));
                if lock.queue.is_empty() {
                    self.timers.remove(&(lock.owner.deadline, slot, lock.owner.number));
                }
                self.time_out(claim.connection, wakeups);
            }
        }
    }

    /// When [`LockTable::expire`] is due next.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.timers.first().map(|&(deadline, ..)| deadline)
    }

    /// The number of connections that wait.
    pub(super) fn waiting(&self) -> usize {
        self.stats.waiting as usize
    }

    /// Statistics at `now`.
    pub(super) fn stats(&mut self, now: Instant, wakeups: &mut Vec<LockWakeup>) -> LockStats {
        self.remove_expired(now, wakeups);
        LockStats { held: self.locks.len() as u64, ..self.stats }
    }

    fn ticket(&self, slot: u32, number: u64) -> LockTicket {
        LockTicket { shard: self.shard, slot, number }
    }

    fn find(&self, hash: u64, key: &[u8]) -> Option<u32> {
        self.slots.find(hash, |&slot| *self.locks[slot as usize].key == *key).copied()
    }

    fn release_if_expired(&mut self, slot: u32, now: Instant, wakeups: &mut Vec<LockWakeup>) {
        let lock = &self.locks[slot as usize];
        if lock.owner.deadline <= now && !lock.is_pinned {
            self.stats.expired += 1;
            self.hand_over(slot, now, wakeups);
        }
    }

    /// Gives a lock to the first connection that still waits for it, or removes it.
    fn hand_over(&mut self, slot: u32, now: Instant, wakeups: &mut Vec<LockWakeup>) {
        let lock = &mut self.locks[slot as usize];
        if !lock.queue.is_empty() {
            self.timers.remove(&(lock.owner.deadline, slot, lock.owner.number));
        }
        while let Some((number, mut claim)) = self.locks[slot as usize].queue.pop_first() {
            self.timers.remove(&(claim.deadline, slot, number));
            if claim.deadline <= now {
                self.time_out(claim.connection, wakeups);
                continue;
            }
            self.stats.waiting -= 1;
            wakeups.push(LockWakeup { connection: claim.connection, is_acquired: true });
            claim.deadline = now + claim.ttl;
            let lock = &mut self.locks[slot as usize];
            if !lock.queue.is_empty() {
                self.timers.insert((claim.deadline, slot, number));
            }
            lock.owner = claim;
            return;
        }
        let lock = self.locks.remove(slot as usize);
        if let Ok(entry) = self.slots.find_entry(lock.hash, |&other| other == slot) {
            entry.remove();
        }
    }

    fn time_out(&mut self, connection: ConnectionId, wakeups: &mut Vec<LockWakeup>) {
        self.stats.waiting -= 1;
        self.stats.timeouts += 1;
        wakeups.push(LockWakeup { connection, is_acquired: false });
    }

    /// Ends all locks that have expired. Returns whether there is room for another lock.
    fn remove_expired(&mut self, now: Instant, wakeups: &mut Vec<LockWakeup>) -> bool {
        let expired = self.locks.iter().filter(|(_, lock)| lock.owner.deadline <= now);
        let expired: Vec<u32> = expired.map(|(slot, _)| slot as u32).collect();
        for slot in expired {
            self.release_if_expired(slot, now, wakeups);
        }
        self.locks.len() < self.max_locks
    }
}
