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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{HashMap, VecDeque};

    const SECOND: Duration = Duration::from_secs(1);

    /// The hash of all keys: the table must not rely on it.
    const HASH: u64 = 7;

    fn id(token: u32) -> ConnectionId {
        ConnectionId { worker: token % 3, token, serial: 1 }
    }

    fn acquire(
        table: &mut LockTable,
        key: &[u8],
        token: u32,
        [wait_secs, ttl_secs]: [u32; 2],
        now: Instant,
    ) -> (LockOutcome, Vec<LockWakeup>) {
        let mut wakeups = Vec::new();
        let (wait, ttl) = (SECOND * wait_secs, SECOND * ttl_secs);
        let request = LockRequest { key, connection: id(token), wait, ttl };
        (table.acquire(HASH, &request, now, &mut wakeups), wakeups)
    }

    fn unlock(table: &mut LockTable, key: &[u8], token: u32, now: Instant) -> (bool, Vec<LockWakeup>) {
        let mut wakeups = Vec::new();
        (table.unlock(HASH, key, id(token), now, &mut wakeups).is_some(), wakeups)
    }

    fn locked(token: u32) -> LockWakeup {
        LockWakeup { connection: id(token), is_acquired: true }
    }

    fn timed_out(token: u32) -> LockWakeup {
        LockWakeup { connection: id(token), is_acquired: false }
    }

    #[test]
    fn first_come_first_served() {
        let (mut table, now) = (LockTable::new(0, 10), Instant::now());
        assert!(matches!(acquire(&mut table, b"k", 0, [9, 9], now).0, LockOutcome::Acquired(_)));
        for token in 1..=3 {
            assert!(matches!(acquire(&mut table, b"k", token, [9, 9], now).0, LockOutcome::Queued(_)));
        }
        assert!(matches!(acquire(&mut table, b"other", 4, [9, 9], now).0, LockOutcome::Acquired(_)));
        assert_eq!(unlock(&mut table, b"k", 2, now), (false, vec![]));
        for token in 0..3 {
            assert_eq!(unlock(&mut table, b"k", token, now), (true, vec![locked(token + 1)]));
        }
        assert_eq!(unlock(&mut table, b"k", 3, now), (true, vec![]));
        assert_eq!(unlock(&mut table, b"k", 3, now), (false, vec![]));
        assert_eq!(table.next_deadline(), None);
        let stats = LockStats { held: 1, waits: 3, ..LockStats::default() };
        assert_eq!(table.stats(now, &mut Vec::new()), stats);
    }

    #[test]
    fn a_lock_ends_by_its_ttl_and_the_next_owner_has_its_whole_ttl() {
        let (mut table, start) = (LockTable::new(0, 10), Instant::now());
        acquire(&mut table, b"k", 0, [0, 5], start);
        acquire(&mut table, b"k", 1, [60, 3], start);
        acquire(&mut table, b"k", 2, [60, 3], start);
        let mut wakeups = Vec::new();
        assert_eq!(table.next_deadline(), Some(start + 5 * SECOND));
        table.expire(start + 4 * SECOND, &mut wakeups);
        assert_eq!(wakeups, []);
        table.expire(start + 5 * SECOND, &mut wakeups);
        assert_eq!(wakeups, [locked(1)]);
        assert_eq!(table.next_deadline(), Some(start + 8 * SECOND));
        assert_eq!(unlock(&mut table, b"k", 0, start + 6 * SECOND), (false, vec![]));
        assert_eq!(unlock(&mut table, b"k", 1, start + 8 * SECOND), (false, vec![locked(2)]));
    }

    #[test]
    fn a_wait_that_times_out_is_reported_and_never_gets_the_lock() {
        let (mut table, start) = (LockTable::new(0, 10), Instant::now());
        acquire(&mut table, b"k", 0, [0, 60], start);
        acquire(&mut table, b"k", 1, [2, 60], start);
        acquire(&mut table, b"k", 2, [4, 60], start);
        assert_eq!(acquire(&mut table, b"k", 3, [0, 60], start).0, LockOutcome::TimedOut);
        let mut wakeups = Vec::new();
        table.expire(start + 2 * SECOND, &mut wakeups);
        assert_eq!(wakeups, [timed_out(1)]);
        assert_eq!(unlock(&mut table, b"k", 0, start + 4 * SECOND), (true, vec![timed_out(2)]));
        assert_eq!(table.stats(start, &mut Vec::new()), LockStats { waits: 2, timeouts: 3, ..LockStats::default() });
    }

    #[test]
    fn a_released_ticket_is_a_lock_or_a_place_in_the_queue() {
        let (mut table, now) = (LockTable::new(0, 10), Instant::now());
        let mut wakeups = Vec::new();
        let LockOutcome::Acquired(owner) = acquire(&mut table, b"k", 0, [0, 9], now).0 else { panic!() };
        let LockOutcome::Queued(first) = acquire(&mut table, b"k", 1, [9, 9], now).0 else { panic!() };
        let LockOutcome::Queued(second) = acquire(&mut table, b"k", 2, [9, 9], now).0 else { panic!() };
        assert!([owner, first, second].iter().all(|&ticket| table.is_current(ticket, now)));
        table.release(first, now, &mut wakeups);
        table.release(first, now, &mut wakeups);
        assert_eq!(wakeups, []);
        table.release(owner, now, &mut wakeups);
        table.release(owner, now, &mut wakeups);
        assert_eq!(wakeups, [locked(2)]);
        assert!(!table.is_current(owner, now) && !table.is_current(first, now) && table.is_current(second, now));
        table.release(second, now, &mut wakeups);
        assert_eq!((wakeups.len(), table.next_deadline()), (1, None));
        // The slot is used again, with another ticket number.
        acquire(&mut table, b"k", 3, [0, 9], now);
        table.release(second, now, &mut wakeups);
        assert_eq!(unlock(&mut table, b"k", 3, now), (true, vec![]));
    }

    fn pin(table: &mut LockTable, key: &[u8], token: u32, now: Instant) -> Option<LockTicket> {
        table.pin(HASH, key, id(token), now)
    }

    #[test]
    fn a_lock_is_not_handed_over_while_it_is_pinned() {
        let (mut table, start) = (LockTable::new(0, 2), Instant::now());
        acquire(&mut table, b"k", 0, [0, 5], start);
        let pinned = pin(&mut table, b"k", 0, start + 4 * SECOND).unwrap();
        let late = start + 6 * SECOND;
        let mut wakeups = Vec::new();
        assert_eq!(acquire(&mut table, b"k", 1, [0, 9], late), (LockOutcome::TimedOut, vec![]));
        assert!(matches!(acquire(&mut table, b"k", 2, [9, 9], late).0, LockOutcome::Queued(_)));
        table.expire(late, &mut wakeups);
        assert_eq!(table.stats(late, &mut wakeups).held, 1);
        assert_eq!(wakeups, []);
        table.unpin(pinned, late, &mut wakeups);
        assert_eq!(wakeups, [locked(2)]);
        assert_eq!(pin(&mut table, b"k", 0, late), None);
        // A pin that has ended has no effect on a later owner.
        table.unpin(pinned, late + 9 * SECOND, &mut wakeups);
        assert_eq!(unlock(&mut table, b"k", 2, late), (true, vec![]));
    }

    #[test]
    fn a_lock_that_expired_while_it_was_pinned_is_handed_over_by_the_next_expire() {
        let (mut table, start) = (LockTable::new(0, 2), Instant::now());
        acquire(&mut table, b"k", 0, [0, 5], start);
        acquire(&mut table, b"k", 1, [60, 9], start);
        let before = start + 4 * SECOND;
        let pinned = pin(&mut table, b"k", 0, before).unwrap();
        let mut wakeups = Vec::new();
        table.expire(start + 5 * SECOND, &mut wakeups);
        // The owner's worker has read the clock earlier than the worker that called `expire`.
        table.unpin(pinned, before, &mut wakeups);
        assert_eq!((&wakeups[..], table.next_deadline()), (&[][..], Some(start + 5 * SECOND)));
        table.expire(start + 5 * SECOND, &mut wakeups);
        assert_eq!(wakeups, [locked(1)]);
    }

    #[test]
    fn only_the_owner_can_pin_and_only_within_its_ttl() {
        let (mut table, start) = (LockTable::new(0, 2), Instant::now());
        assert_eq!(pin(&mut table, b"k", 0, start), None);
        acquire(&mut table, b"k", 0, [0, 5], start);
        assert_eq!((pin(&mut table, b"k", 1, start), pin(&mut table, b"l", 0, start)), (None, None));
        assert_eq!(pin(&mut table, b"k", 0, start + 5 * SECOND), None);
        let pinned = pin(&mut table, b"k", 0, start + 4 * SECOND).unwrap();
        table.unpin(pinned, start + 4 * SECOND, &mut Vec::new());
        assert_eq!(unlock(&mut table, b"k", 0, start + 4 * SECOND), (true, vec![]));
    }

    #[test]
    fn a_second_request_extends_the_lock() {
        let (mut table, start) = (LockTable::new(0, 10), Instant::now());
        acquire(&mut table, b"k", 0, [0, 5], start);
        acquire(&mut table, b"k", 1, [60, 5], start);
        assert_eq!(acquire(&mut table, b"k", 0, [0, 5], start + 3 * SECOND).0, LockOutcome::Extended);
        assert_eq!(table.next_deadline(), Some(start + 8 * SECOND));
        assert_eq!(unlock(&mut table, b"k", 0, start + 7 * SECOND), (true, vec![locked(1)]));
    }

    #[test]
    fn at_most_max_locks_are_held_until_one_expires() {
        let (mut table, start) = (LockTable::new(0, 2), Instant::now());
        assert!(matches!(acquire(&mut table, b"a", 0, [0, 5], start).0, LockOutcome::Acquired(_)));
        assert!(matches!(acquire(&mut table, b"b", 1, [0, 7], start).0, LockOutcome::Acquired(_)));
        assert_eq!(acquire(&mut table, b"c", 2, [9, 5], start + 4 * SECOND).0, LockOutcome::TooMany);
        assert!(matches!(acquire(&mut table, b"a", 2, [9, 5], start + 4 * SECOND).0, LockOutcome::Queued(_)));
        assert!(matches!(acquire(&mut table, b"c", 3, [9, 5], start + 7 * SECOND).0, LockOutcome::Acquired(_)));
    }

    /// The simplest implementation.
    #[derive(Default)]
    struct Model {
        locks: HashMap<u8, (u32, u64)>,
        pinned: Option<u8>,
        queues: HashMap<u8, VecDeque<(u32, u64, u64)>>,
    }

    impl Model {
        /// Ends what has expired at `now`, and returns the wake-ups.
        fn settle(&mut self, now: u64) -> Vec<LockWakeup> {
            let mut wakeups = Vec::new();
            self.locks.retain(|&key, &mut (_, deadline)| deadline > now || self.pinned == Some(key));
            for (key, queue) in &mut self.queues {
                queue.retain(|&(token, gives_up, _)| {
                    wakeups.extend((gives_up <= now).then(|| timed_out(token)));
                    gives_up > now
                });
                if !self.locks.contains_key(key)
                    && let Some((token, _, ttl)) = queue.pop_front()
                {
                    self.locks.insert(*key, (token, now + ttl));
                    wakeups.push(locked(token));
                }
            }
            wakeups
        }
    }

    fn sorted(mut wakeups: Vec<LockWakeup>) -> Vec<LockWakeup> {
        wakeups.sort_by_key(|wakeup| wakeup.connection.token);
        wakeups
    }

    #[derive(Debug, Clone)]
    enum Step {
        Acquire {
            key: u8,
            wait: u64,
            ttl: u64,
        },
        Unlock {
            key: u8,
        },
        UnlockAll,
        Release {
            nth: usize,
        },
        /// A command that needs the lock and takes this long.
        Use {
            key: u8,
            secs: u64,
        },
        Wait {
            secs: u64,
        },
    }

    fn steps() -> impl Strategy<Value = Vec<(u32, Step)>> {
        let step = prop_oneof![
            4 => (0..3_u8, 0..6_u64, 1..6_u64).prop_map(|(key, wait, ttl)| Step::Acquire { key, wait, ttl }),
            3 => (0..3_u8).prop_map(|key| Step::Unlock { key }),
            1 => Just(Step::UnlockAll),
            1 => (0..9_usize).prop_map(|nth| Step::Release { nth }),
            2 => (0..3_u8, 0..3_u64).prop_map(|(key, secs)| Step::Use { key, secs }),
            1 => (0..3_u64).prop_map(|secs| Step::Wait { secs }),
        ];
        proptest::collection::vec((0..8_u32, step), 1..120)
    }

    /// A table and its model, which execute the same steps.
    struct Comparison {
        table: LockTable,
        model: Model,
        start: Instant,
        /// Seconds since the start.
        now: u64,
        /// All tickets, with their connection and key.
        tickets: Vec<(u32, u8, LockTicket)>,
    }

    impl Comparison {
        fn new() -> Comparison {
            let (table, model) = (LockTable::new(0, 100), Model::default());
            Comparison { table, model, start: Instant::now(), now: 0, tickets: Vec::new() }
        }

        fn now(&self) -> Instant {
            self.start + Duration::from_secs(self.now)
        }

        fn holds(&self, token: u32, key: u8) -> bool {
            self.model.locks.get(&key).is_some_and(|&(owner, _)| owner == token)
        }

        fn step(&mut self, token: u32, step: &Step) -> Result<(), TestCaseError> {
            let mut wakeups = Vec::new();
            // A connection that waits requests nothing else.
            let waits = self.model.queues.values().flatten().any(|&(waiter, ..)| waiter == token);
            match *step {
                Step::Acquire { key, wait, ttl } if !waits => self.acquire(token, key, [wait, ttl], &mut wakeups)?,
                Step::Unlock { key } if !waits => {
                    let holds = self.holds(token, key);
                    let unlocked = self.table.unlock(HASH, &[key], id(token), self.now(), &mut wakeups);
                    prop_assert_eq!(unlocked.is_some(), holds);
                    if holds {
                        self.model.locks.remove(&key);
                    }
                }
                Step::UnlockAll if !waits => self.unlock_all(token, &mut wakeups)?,
                Step::Use { key, secs } if !waits => self.use_lock(token, key, secs, &mut wakeups)?,
                Step::Release { nth } if nth < self.tickets.len() => self.release(nth, &mut wakeups),
                Step::Wait { secs } => {
                    self.now += secs;
                    self.table.expire(self.now(), &mut wakeups);
                }
                _ => {}
            }
            prop_assert_eq!(sorted(wakeups), sorted(self.model.settle(self.now)));
            let waiting: usize = self.model.queues.values().map(VecDeque::len).sum();
            prop_assert_eq!(self.table.stats.waiting, waiting as u64);
            prop_assert_eq!(self.table.next_deadline().is_none(), waiting == 0);
            prop_assert!(self.table.next_deadline().is_none_or(|deadline| deadline > self.now()));
            Ok(())
        }

        fn acquire(
            &mut self,
            token: u32,
            key: u8,
            [wait, ttl]: [u64; 2],
            wakeups: &mut Vec<LockWakeup>,
        ) -> Result<(), TestCaseError> {
            let (connection, secs) = (id(token), Duration::from_secs);
            let request = LockRequest { key: &[key], connection, wait: secs(wait), ttl: secs(ttl) };
            let outcome = self.table.acquire(HASH, &request, self.now(), wakeups);
            match self.model.locks.get_mut(&key) {
                None => {
                    self.model.locks.insert(key, (token, self.now + ttl));
                    prop_assert!(matches!(outcome, LockOutcome::Acquired(_)));
                }
                Some((owner, deadline)) if *owner == token => {
                    *deadline = self.now + ttl;
                    prop_assert_eq!(outcome, LockOutcome::Extended);
                }
                Some(_) if wait == 0 => prop_assert_eq!(outcome, LockOutcome::TimedOut),
                Some(_) => {
                    self.model.queues.entry(key).or_default().push_back((token, self.now + wait, ttl));
                    prop_assert!(matches!(outcome, LockOutcome::Queued(_)));
                }
            }
            if let LockOutcome::Acquired(ticket) | LockOutcome::Queued(ticket) = outcome {
                self.tickets.push((token, key, ticket));
            }
            Ok(())
        }

        /// As a connection does it: all tickets that it ever got, also those that have ended.
        fn unlock_all(&mut self, token: u32, wakeups: &mut Vec<LockWakeup>) -> Result<(), TestCaseError> {
            let now = self.now();
            let mut count = 0;
            self.tickets.retain(|&(owner, _, ticket)| {
                count += usize::from(owner == token && self.table.release(ticket, now, wakeups));
                owner != token
            });
            let held = self.model.locks.len();
            self.model.locks.retain(|_, &mut (owner, _)| owner != token);
            prop_assert_eq!(count, held - self.model.locks.len());
            Ok(())
        }

        /// Executes a command that needs the lock and takes this long.
        fn use_lock(
            &mut self,
            token: u32,
            key: u8,
            secs: u64,
            wakeups: &mut Vec<LockWakeup>,
        ) -> Result<(), TestCaseError> {
            let pinned = self.table.pin(HASH, &[key], id(token), self.now());
            prop_assert_eq!(pinned.is_some(), self.holds(token, key));
            let Some(ticket) = pinned else {
                return Ok(());
            };
            self.now += secs;
            self.model.pinned = Some(key);
            self.table.expire(self.now(), wakeups);
            prop_assert_eq!(sorted(std::mem::take(wakeups)), sorted(self.model.settle(self.now)));
            let now = self.now();
            let other = acquire(&mut self.table, &[key], 8, [0, 9], now);
            prop_assert_eq!(other, (LockOutcome::TimedOut, vec![]));
            self.model.pinned = None;
            self.table.unpin(ticket, now, wakeups);
            Ok(())
        }

        fn release(&mut self, nth: usize, wakeups: &mut Vec<LockWakeup>) {
            let (token, key, ticket) = self.tickets.swap_remove(nth);
            if self.table.is_current(ticket, self.now()) {
                if self.holds(token, key) {
                    self.model.locks.remove(&key);
                }
                self.model.queues.entry(key).or_default().retain(|&(waiter, ..)| waiter != token);
            }
            let now = self.now();
            self.table.release(ticket, now, wakeups);
        }
    }

    proptest! {
        /// The order, the single owner and every deadline are those of the model, after each step.
        #[test]
        fn equals_the_model(steps in steps()) {
            let mut comparison = Comparison::new();
            for (token, step) in &steps {
                comparison.step(*token, step)?;
            }
            let Comparison { model, now: secs, .. } = &comparison;
            let held = model.locks.values().filter(|&&(_, deadline)| deadline > *secs).count();
            let now = comparison.now();
            prop_assert_eq!(comparison.table.stats(now, &mut Vec::new()).held, held as u64);
        }
    }
}
