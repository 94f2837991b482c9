//! All locks of a server, in shards.
//!
//! The mutex of a shard is held for as long as a table lookup takes. Acquiring a free lock and releasing it make no
//! system call and wake no thread. The end of a wait is sent to the worker of the connection that waited.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use polling::Poller;

use super::request::{ConnectionId, LockOutcome, LockRequest, LockTicket, LockWakeup};
use super::table::{LockStats, LockTable};
use super::wakeups::WakeupQueue;

const SHARDS: usize = 64;

/// Bounds the memory that all connections together can make the server use: about 80 MB with the longest keys.
const LOCKS_PER_SHARD: usize = 4096;

/// The most locks that a connection may hold. Its requests for more are refused.
pub(crate) const LOCKS_PER_CONNECTION: usize = 256;

const NEVER: u64 = u64::MAX;

/// All locks of a server.
#[derive(Debug)]
pub(crate) struct Locks {
    /// Keyed at random: keys come from the network.
    hasher: RandomState,
    shards: Box<[Shard]>,
    /// How many connections wait, in all shards together. Written only when a wait begins or ends, and read once a turn.
    waiting: AtomicUsize,
    /// One for each worker.
    wakeups: Box<[WakeupQueue]>,
    origin: Instant,
}

/// A part of the locks, on cache lines of its own.
#[derive(Debug)]
#[repr(align(128))]
struct Shard {
    table: Mutex<LockTable>,
    /// When the next wait, or the next lock that a connection waits for, ends: in microseconds since the origin. Written
    /// under the mutex.
    next_deadline: AtomicU64,
}

/// Keeps a lock with its owner while this exists: a command that needs the lock is being executed. See [`Locks::pin`].
#[derive(Debug)]
#[must_use = "the lock may go to the next connection once this is dropped"]
pub(crate) struct LockPin<'a> {
    locks: &'a Locks,
    ticket: LockTicket,
    worker: u32,
    now: Instant,
}

impl Drop for LockPin<'_> {
    fn drop(&mut self) {
        let LockPin { locks, ticket, worker, now } = *self;
        locks.change(ticket.shard, worker, |table, wakeups| table.unpin(ticket, now, wakeups));
    }
}

impl Locks {
    /// The locks of a server whose workers, numbered in this order, wait on these pollers.
    pub(crate) fn new(pollers: &[Arc<Poller>], now: Instant) -> Locks {
        let shard = |number| Shard {
            table: Mutex::new(LockTable::new(number, LOCKS_PER_SHARD)),
            next_deadline: AtomicU64::new(NEVER),
        };
        Locks {
            hasher: RandomState::new(),
            shards: (0..SHARDS as u32).map(shard).collect(),
            waiting: AtomicUsize::new(0),
            wakeups: pollers.iter().map(WakeupQueue::new).collect(),
            origin: now,
        }
    }

    /// Gives a connection the lock that it requests, or a place in the queue for it.
    pub(crate) fn acquire(&self, request: &LockRequest<'_>, now: Instant) -> LockOutcome {
        let (shard, hash) = self.shard_of(request.key);
        self.change(shard, request.connection.worker, |table, wakeups| table.acquire(hash, request, now, wakeups))
    }

    /// Releases the lock of `key`. Returns its ticket, or `None` if `connection` does not hold it.
    pub(crate) fn unlock(&self, key: &[u8], connection: ConnectionId, now: Instant) -> Option<LockTicket> {
        let (shard, hash) = self.shard_of(key);
        self.change(shard, connection.worker, |table, wakeups| table.unlock(hash, key, connection, now, wakeups))
    }

    /// Keeps the lock of `key` with `connection` until the pin is dropped, even if its TTL ends before. Returns `None` if
    /// `connection` does not hold it. No mutex is held meanwhile.
    pub(crate) fn pin(&self, key: &[u8], connection: ConnectionId, now: Instant) -> Option<LockPin<'_>> {
        let (shard, hash) = self.shard_of(key);
        let ticket = self.table(shard).pin(hash, key, connection, now)?;
        Some(LockPin { locks: self, ticket, worker: connection.worker, now })
    }

    /// Gives up a lock or a place in a queue; has no effect if it has ended already. Returns whether it was a lock that
    /// was held until now. `worker` is the caller.
    pub(crate) fn release(&self, ticket: LockTicket, worker: u32, now: Instant) -> bool {
        self.change(ticket.shard, worker, |table, wakeups| table.release(ticket, now, wakeups))
    }

    /// Whether the connection that got this ticket still holds the lock, or waits for it.
    pub(crate) fn is_current(&self, ticket: LockTicket, now: Instant) -> bool {
        self.table(ticket.shard).is_current(ticket, now)
    }

    /// When [`Locks::expire`] is due next. Each worker calls this before it waits: of the workers that have changed
    /// something, at least the last one sees the result.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        if self.waiting.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let next = self.shards.iter().map(|shard| shard.next_deadline.load(Ordering::Relaxed)).min()?;
        // Rounded up in `change`: a worker that wakes too early would wake again and again.
        (next != NEVER).then(|| self.origin + Duration::from_micros(next))
    }

    /// Ends the waits that have timed out, and the locks that have expired and that connections wait for. `worker` is the
    /// caller.
    pub(crate) fn expire(&self, worker: u32, now: Instant) {
        if self.waiting.load(Ordering::Relaxed) == 0 {
            return;
        }
        let now_micros = self.micros(now);
        for (number, shard) in (0..).zip(&self.shards) {
            if shard.next_deadline.load(Ordering::Relaxed) <= now_micros {
                self.change(number, worker, |table, wakeups| table.expire(now, wakeups));
            }
        }
    }

    /// Whether [`Locks::take_wakeups`] has something to return.
    pub(crate) fn has_wakeups(&self, worker: u32) -> bool {
        !self.wakeups[worker as usize].is_empty()
    }

    /// Moves the wake-ups of a worker to the end of `taken`, in order.
    pub(crate) fn take_wakeups(&self, worker: u32, taken: &mut Vec<LockWakeup>) {
        self.wakeups[worker as usize].take(taken);
    }

    /// Statistics at `now`. `worker` is the caller.
    pub(crate) fn stats(&self, worker: u32, now: Instant) -> LockStats {
        (0..SHARDS as u32).fold(LockStats::default(), |sum, shard| {
            let stats = self.change(shard, worker, |table, wakeups| table.stats(now, wakeups));
            LockStats {
                held: sum.held + stats.held,
                waiting: sum.waiting + stats.waiting,
                waits: sum.waits + stats.waits,
                timeouts: sum.timeouts + stats.timeouts,
                expired: sum.expired + stats.expired,
            }
        })
    }

    /// Changes a shard, then sends the wake-ups that result, without holding its mutex.
    fn change<T>(&self, shard: u32, worker: u32, change: impl FnOnce(&mut LockTable, &mut Vec<LockWakeup>) -> T) -> T {
        // Allocates nothing while it is empty.
        let mut wakeups = Vec::new();
        let mut table = self.table(shard);
        let waiting = table.waiting();
        let result = change(&mut table, &mut wakeups);
        if waiting + table.waiting() > 0 {
            self.waiting.fetch_add(table.waiting().wrapping_sub(waiting), Ordering::Relaxed);
            let next = table.next_deadline().map_or(NEVER, |deadline| self.micros(deadline) + 1);
            self.shards[shard as usize].next_deadline.store(next, Ordering::Relaxed);
        }
        drop(table);
        for wakeup in wakeups {
            self.wakeups[wakeup.connection.worker as usize].push(wakeup, worker);
        }
        result
    }

    fn table(&self, shard: u32) -> MutexGuard<'_, LockTable> {
        self.shards[shard as usize].table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shard_of(&self, key: &[u8]) -> (u32, u64) {
        let hash = self.hasher.hash_one(key);
        // The table itself uses the lowest and the highest bits.
        ((hash >> 32) as u32 % SHARDS as u32, hash)
    }

    fn micros(&self, at: Instant) -> u64 {
        at.duration_since(self.origin).as_micros() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU32;
    use std::thread;

    const HOUR: Duration = Duration::from_secs(3600);

    fn locks(workers: usize) -> Locks {
        let pollers: Vec<_> = (0..workers).map(|_| Arc::new(Poller::new().unwrap())).collect();
        Locks::new(&pollers, Instant::now())
    }

    fn request(connection: ConnectionId) -> LockRequest<'static> {
        LockRequest { key: b"k", connection, wait: HOUR, ttl: HOUR }
    }

    fn taken(locks: &Locks, worker: u32) -> Vec<LockWakeup> {
        let mut wakeups = Vec::new();
        locks.take_wakeups(worker, &mut wakeups);
        wakeups
    }

    #[test]
    fn the_end_of_a_wait_is_sent_to_the_worker_of_the_connection_that_waited() {
        let (locks, now) = (locks(2), Instant::now());
        let owner = ConnectionId { worker: 0, token: 5, serial: 1 };
        let waiter = ConnectionId { worker: 1, token: 6, serial: 2 };
        assert!(matches!(locks.acquire(&request(owner), now), LockOutcome::Acquired(_)));
        assert_eq!(locks.next_deadline(), None);
        assert!(matches!(locks.acquire(&request(waiter), now), LockOutcome::Queued(_)));
        assert!(locks.next_deadline().is_some_and(|deadline| deadline >= now + HOUR));
        assert!(!locks.has_wakeups(0) && !locks.has_wakeups(1));
        assert!(locks.unlock(b"k", owner, now).is_some());
        assert!(!locks.has_wakeups(0) && locks.has_wakeups(1));
        assert_eq!(taken(&locks, 1), [LockWakeup { connection: waiter, is_acquired: true }]);
        assert!(!locks.has_wakeups(1));
        assert_eq!(locks.next_deadline(), None);
    }

    #[test]
    fn a_deadline_is_never_reported_too_early() {
        let (locks, now) = (locks(1), Instant::now());
        let owner = ConnectionId { worker: 0, token: 0, serial: 0 };
        locks.acquire(&request(owner), now);
        let waiter = ConnectionId { token: 1, ..owner };
        locks.acquire(&LockRequest { wait: Duration::from_nanos(1_500), ..request(waiter) }, now);
        let deadline = locks.next_deadline().unwrap();
        locks.expire(0, now + Duration::from_nanos(1_499));
        assert!(!locks.has_wakeups(0));
        locks.expire(0, deadline);
        assert!(!taken(&locks, 0)[0].is_acquired);
    }

    fn again(left: &mut [u32], ready: &mut Vec<u32>, token: u32) {
        left[token as usize] -= 1;
        if left[token as usize] > 0 {
            ready.push(token);
        }
    }

    /// Each thread is a worker with several connections, which waits on its poller as a reactor does.
    #[test]
    fn no_wakeup_is_missed_and_no_two_connections_hold_a_lock() {
        const WORKERS: u32 = 4;
        const CONNECTIONS: u32 = 5;
        const TURNS: u32 = 2_000;
        let pollers: Vec<_> = (0..WORKERS).map(|_| Arc::new(Poller::new().unwrap())).collect();
        let locks = Locks::new(&pollers, Instant::now());
        let holders = AtomicU32::new(0);
        thread::scope(|scope| {
            for worker in 0..WORKERS {
                let (locks, holders, poller) = (&locks, &holders, &pollers[worker as usize]);
                scope.spawn(move || {
                    let id = |token: u32| ConnectionId { worker, token, serial: 0 };
                    let hold = |token: u32| {
                        assert_eq!(holders.fetch_add(1, Ordering::SeqCst), 0);
                        holders.fetch_sub(1, Ordering::SeqCst);
                        assert!(locks.unlock(b"k", id(token), Instant::now()).is_some());
                    };
                    let mut left = [TURNS; CONNECTIONS as usize];
                    let mut ready: Vec<u32> = (0..CONNECTIONS).collect();
                    let (mut waiting, mut events) = (0, polling::Events::new());
                    while !ready.is_empty() || waiting > 0 {
                        for token in std::mem::take(&mut ready) {
                            match locks.acquire(&request(id(token)), Instant::now()) {
                                LockOutcome::Acquired(_) => {
                                    hold(token);
                                    again(&mut left, &mut ready, token);
                                }
                                outcome => {
                                    assert!(matches!(outcome, LockOutcome::Queued(_)), "{outcome:?}");
                                    waiting += 1;
                                }
                            }
                        }
                        let deadline = Instant::now() + Duration::from_secs(60);
                        while ready.is_empty() && waiting > 0 && !locks.has_wakeups(worker) {
                            events.clear();
                            poller.wait_deadline(&mut events, deadline).unwrap();
                            assert!(Instant::now() < deadline, "no wake-up arrives");
                        }
                        for wakeup in taken(locks, worker) {
                            assert!(wakeup.is_acquired);
                            waiting -= 1;
                            hold(wakeup.connection.token);
                            again(&mut left, &mut ready, wakeup.connection.token);
                        }
                    }
                });
            }
        });
        let stats = locks.stats(0, Instant::now());
        assert_eq!((stats.held, stats.waiting, stats.timeouts), (0, 0, 0));
    }
}
