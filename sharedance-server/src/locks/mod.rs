//! The web-session locks: first come, first served, across all workers, in memory only.
//!
//! A lock ends when it is given back, with its connection, or after its time. Keys are spread over shards, each under a
//! mutex that is held for as long as a table lookup takes; asking for a lock that is free, and giving it back, makes no
//! system call and wakes nobody. A wait that ends is told to the one connection that waited, through the [`Mailbox`] of
//! its worker.

mod table;

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use polling::Poller;

use table::{Asked, Spot, Table};
pub(crate) use table::{Party, Tally, Terms, Verdict};

const SHARDS: usize = 64;

/// Bounds what all connections together can make the server remember: some 80 MB with the longest keys.
const LOCKS_PER_SHARD: usize = 4096;

/// What a connection may hold at once. Its requests for more are refused.
pub(crate) const LOCKS_PER_CONNECTION: usize = 256;

const NEVER: u64 = u64::MAX;

/// All locks of a server.
#[derive(Debug)]
pub(crate) struct Locks {
    /// Keyed at random: keys come from the network.
    hasher: RandomState,
    shards: Box<[Shard]>,
    /// Who waits, in all shards together. Changed only where somebody has to wait, and read once a turn.
    waiting: AtomicUsize,
    mailboxes: Box<[Mailbox]>,
    origin: Instant,
}

/// On cache lines of its own.
#[derive(Debug)]
#[repr(align(128))]
struct Shard {
    table: Mutex<Table>,
    /// When somebody's wait, or a lock that is waited for, ends next, in microseconds since the origin. Written under
    /// the mutex.
    next_deadline: AtomicU64,
}

/// What other threads have to tell a worker.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Mailbox {
    verdicts: Mutex<Vec<Verdict>>,
    is_filled: AtomicBool,
    poller: Arc<Poller>,
}

/// A lock that a connection holds, or its place in a queue. To be [left](Locks::leave) with the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    shard: u32,
    spot: Spot,
}

/// A lock that stays with its owner while this lives: a command is being carried out under it. See [`Locks::pin`].
#[derive(Debug)]
#[must_use = "the lock may be passed on once this is dropped"]
pub(crate) struct Pin<'a> {
    locks: &'a Locks,
    place: Place,
    worker: u32,
    now: Instant,
}

impl Drop for Pin<'_> {
    fn drop(&mut self) {
        let Pin { locks, place, worker, now } = *self;
        locks.change(place.shard, worker, |table, verdicts| table.unpin(place.spot, now, verdicts));
    }
}

/// What came of asking for a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The connection holds it, from now on.
    Locked(Place),
    /// The connection held it already, and does so for longer now.
    Prolonged,
    /// The connection has to wait. A [`Verdict`] ends that.
    Queued(Place),
    /// It would have to wait, and does not want to.
    TimedOut,
    /// There are more locks than a server has room for.
    Refused,
}

impl Locks {
    /// The locks of a server whose workers, numbered in this order, wait on these pollers.
    pub(crate) fn new(pollers: &[Arc<Poller>], now: Instant) -> Locks {
        let shard = |_| Shard { table: Mutex::new(Table::new(LOCKS_PER_SHARD)), next_deadline: AtomicU64::new(NEVER) };
        let mailbox = |poller: &Arc<Poller>| Mailbox {
            verdicts: Mutex::default(),
            is_filled: AtomicBool::new(false),
            poller: Arc::clone(poller),
        };
        Locks {
            hasher: RandomState::new(),
            shards: (0..SHARDS).map(shard).collect(),
            waiting: AtomicUsize::new(0),
            mailboxes: pollers.iter().map(mailbox).collect(),
            origin: now,
        }
    }

    /// Gives `party` the lock of `key`, or a place in the queue for it.
    pub(crate) fn ask(&self, key: &[u8], party: Party, terms: Terms, now: Instant) -> Answer {
        let (shard, hash) = self.shard_of(key);
        let asked =
            self.change(shard, party.worker, |table, verdicts| table.ask(hash, key, party, terms, now, verdicts));
        let place = |spot| Place { shard, spot };
        match asked {
            Asked::Locked(spot) => Answer::Locked(place(spot)),
            Asked::Prolonged => Answer::Prolonged,
            Asked::Queued(spot) => Answer::Queued(place(spot)),
            Asked::TimedOut => Answer::TimedOut,
            Asked::Refused => Answer::Refused,
        }
    }

    /// Gives back the lock of `key`; its place, or `None` where `party` does not hold it.
    pub(crate) fn unlock(&self, key: &[u8], party: Party, now: Instant) -> Option<Place> {
        let (shard, hash) = self.shard_of(key);
        let unlocked =
            self.change(shard, party.worker, |table, verdicts| table.unlock(hash, key, party, now, verdicts));
        unlocked.map(|spot| Place { shard, spot })
    }

    /// Keeps the lock of `key` with `party` for as long as the pin lives, even where its time ends before that; `None`
    /// where `party` does not hold it. No mutex is held meanwhile.
    pub(crate) fn pin(&self, key: &[u8], party: Party, now: Instant) -> Option<Pin<'_>> {
        let (shard, hash) = self.shard_of(key);
        let spot = self.table(shard).pin(hash, key, party, now)?;
        Some(Pin { locks: self, place: Place { shard, spot }, worker: party.worker, now })
    }

    /// Gives back a lock, or a place in a queue; nothing happens where it is over already. Returns whether it was a lock
    /// that was held until now. `worker` is the caller.
    pub(crate) fn leave(&self, place: Place, worker: u32, now: Instant) -> bool {
        self.change(place.shard, worker, |table, verdicts| table.leave(place.spot, now, verdicts))
    }

    /// Whether a lock is still held, or waited for, by whom it was given to.
    pub(crate) fn is_current(&self, place: Place, now: Instant) -> bool {
        self.table(place.shard).is_current(place.spot, now)
    }

    /// When [`Locks::expire`] has something to do next. To be asked by each worker before it waits: of those that have
    /// changed something at least the last sees it.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        if self.waiting.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let next = self.shards.iter().map(|shard| shard.next_deadline.load(Ordering::Relaxed)).min()?;
        // A poller that rounds down would come too early, and then again and again.
        (next != NEVER).then(|| self.origin + Duration::from_micros(next))
    }

    /// Ends the waits, and the locks that others wait for, whose time has come. `worker` is the caller.
    pub(crate) fn expire(&self, worker: u32, now: Instant) {
        if self.waiting.load(Ordering::Relaxed) == 0 {
            return;
        }
        let now_micros = self.micros(now);
        for (number, shard) in (0..).zip(&self.shards) {
            if shard.next_deadline.load(Ordering::Relaxed) <= now_micros {
                self.change(number, worker, |table, verdicts| table.expire(now, verdicts));
            }
        }
    }

    /// Whether there is something to [receive](Locks::receive).
    pub(crate) fn has_mail(&self, worker: u32) -> bool {
        self.mailboxes[worker as usize].is_filled.load(Ordering::Acquire)
    }

    /// Takes what a worker has been told, in order.
    pub(crate) fn receive(&self, worker: u32, verdicts: &mut Vec<Verdict>) {
        let mailbox = &self.mailboxes[worker as usize];
        let mut waiting = mailbox.lock();
        mailbox.is_filled.store(false, Ordering::Relaxed);
        verdicts.append(&mut waiting);
    }

    /// What has happened until `now`. `worker` is the caller.
    pub(crate) fn tally(&self, worker: u32, now: Instant) -> Tally {
        (0..SHARDS as u32).fold(Tally::default(), |sum, shard| {
            let tally = self.change(shard, worker, |table, verdicts| table.tally(now, verdicts));
            Tally {
                held: sum.held + tally.held,
                waiting: sum.waiting + tally.waiting,
                waits: sum.waits + tally.waits,
                timeouts: sum.timeouts + tally.timeouts,
                expired: sum.expired + tally.expired,
            }
        })
    }

    /// Changes a shard, and then, without its mutex, tells those whose wait that has ended.
    fn change<T>(&self, shard: u32, worker: u32, change: impl FnOnce(&mut Table, &mut Vec<Verdict>) -> T) -> T {
        // Without an element it has no memory.
        let mut verdicts = Vec::new();
        let mut table = self.table(shard);
        let waiting = table.waiting();
        let result = change(&mut table, &mut verdicts);
        if waiting + table.waiting() > 0 {
            self.waiting.fetch_add(table.waiting().wrapping_sub(waiting), Ordering::Relaxed);
            let next = table.next_deadline().map_or(NEVER, |deadline| self.micros(deadline) + 1);
            self.shards[shard as usize].next_deadline.store(next, Ordering::Relaxed);
        }
        drop(table);
        for verdict in verdicts {
            self.mailboxes[verdict.party.worker as usize].deliver(verdict, worker);
        }
        result
    }

    fn table(&self, shard: u32) -> MutexGuard<'_, Table> {
        self.shards[shard as usize].table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shard_of(&self, key: &[u8]) -> (u32, u64) {
        let hash = self.hasher.hash_one(key);
        // The table itself uses the lower and the topmost bits.
        ((hash >> 32) as u32 % SHARDS as u32, hash)
    }

    fn micros(&self, at: Instant) -> u64 {
        at.duration_since(self.origin).as_micros() as u64
    }
}

impl Mailbox {
    /// The first letter wakes the worker, unless it is the one who writes: it looks before it waits. Further letters
    /// find that it has been woken, or that it is at work.
    fn deliver(&self, verdict: Verdict, from: u32) {
        let mut verdicts = self.lock();
        let was_empty = verdicts.is_empty();
        verdicts.push(verdict);
        self.is_filled.store(true, Ordering::Release);
        drop(verdicts);
        if was_empty && verdict.party.worker != from {
            // It fails only where the poller is beyond use, and its worker has ended then.
            let _ = self.poller.notify();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Verdict>> {
        self.verdicts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU32;
    use std::thread;

    const TERMS: Terms = Terms { wait: Duration::from_secs(3600), ttl: Duration::from_secs(3600) };

    fn locks(workers: usize) -> Locks {
        let pollers: Vec<_> = (0..workers).map(|_| Arc::new(Poller::new().unwrap())).collect();
        Locks::new(&pollers, Instant::now())
    }

    fn received(locks: &Locks, worker: u32) -> Vec<Verdict> {
        let mut verdicts = Vec::new();
        locks.receive(worker, &mut verdicts);
        verdicts
    }

    #[test]
    fn the_end_of_a_wait_is_told_to_the_worker_that_it_concerns() {
        let (locks, now) = (locks(2), Instant::now());
        let (owner, waiter) = (Party { worker: 0, token: 5, serial: 1 }, Party { worker: 1, token: 6, serial: 2 });
        assert!(matches!(locks.ask(b"k", owner, TERMS, now), Answer::Locked(_)));
        assert_eq!(locks.next_deadline(), None);
        assert!(matches!(locks.ask(b"k", waiter, TERMS, now), Answer::Queued(_)));
        assert!(locks.next_deadline().is_some_and(|deadline| deadline >= now + TERMS.wait));
        assert!(!locks.has_mail(0) && !locks.has_mail(1));
        assert!(locks.unlock(b"k", owner, now).is_some());
        assert!(!locks.has_mail(0) && locks.has_mail(1));
        assert_eq!(received(&locks, 1), [Verdict { party: waiter, locked: true }]);
        assert!(!locks.has_mail(1));
        assert_eq!(locks.next_deadline(), None);
    }

    #[test]
    fn a_deadline_is_never_told_too_early() {
        let (locks, now) = (locks(1), Instant::now());
        let terms = Terms { wait: Duration::from_nanos(1_500), ..TERMS };
        locks.ask(b"k", Party { worker: 0, token: 0, serial: 0 }, TERMS, now);
        locks.ask(b"k", Party { worker: 0, token: 1, serial: 0 }, terms, now);
        let deadline = locks.next_deadline().unwrap();
        locks.expire(0, now + Duration::from_nanos(1_499));
        assert!(!locks.has_mail(0));
        locks.expire(0, deadline);
        assert!(!received(&locks, 0)[0].locked);
    }

    fn again(left: &mut [u32], ready: &mut Vec<u32>, token: u32) {
        left[token as usize] -= 1;
        if left[token as usize] > 0 {
            ready.push(token);
        }
    }

    /// Each thread is a worker with several connections, which waits on its poller as a reactor does.
    #[test]
    fn no_wake_up_is_missed_and_never_do_two_hold_a_lock() {
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
                    let hold = |token: u32| {
                        assert_eq!(holders.fetch_add(1, Ordering::SeqCst), 0);
                        holders.fetch_sub(1, Ordering::SeqCst);
                        let party = Party { worker, token, serial: 0 };
                        assert!(locks.unlock(b"k", party, Instant::now()).is_some());
                    };
                    let mut left = [TURNS; CONNECTIONS as usize];
                    let mut ready: Vec<u32> = (0..CONNECTIONS).collect();
                    let (mut waiting, mut events) = (0, polling::Events::new());
                    while !ready.is_empty() || waiting > 0 {
                        for token in std::mem::take(&mut ready) {
                            match locks.ask(b"k", Party { worker, token, serial: 0 }, TERMS, Instant::now()) {
                                Answer::Locked(_) => {
                                    hold(token);
                                    again(&mut left, &mut ready, token);
                                }
                                answer => {
                                    assert!(matches!(answer, Answer::Queued(_)), "{answer:?}");
                                    waiting += 1;
                                }
                            }
                        }
                        let patience = Instant::now() + Duration::from_secs(60);
                        while ready.is_empty() && waiting > 0 && !locks.has_mail(worker) {
                            events.clear();
                            poller.wait_deadline(&mut events, patience).unwrap();
                            assert!(Instant::now() < patience, "nobody says anything");
                        }
                        for verdict in received(locks, worker) {
                            assert!(verdict.locked);
                            waiting -= 1;
                            hold(verdict.party.token);
                            again(&mut left, &mut ready, verdict.party.token);
                        }
                    }
                });
            }
        });
        let tally = locks.tally(0, Instant::now());
        assert_eq!((tally.held, tally.waiting, tally.timeouts), (0, 0, 0));
    }
}
