//! Who holds which lock, and who waits for it in which order: a part of all locks, as plain data.
//!
//! It knows no thread, no socket and no clock: `now` is handed in, and what others are to be told comes out as
//! [`Verdict`]s. A lock that is in the table has an owner. Each waiter has one timer, and so has each lock that somebody
//! waits for; nothing else has, so that a lock which nobody contends costs no more than an entry in a table.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use hashbrown::HashTable;
use slab::Slab;

/// A connection, in the words of its worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Party {
    pub(crate) worker: u32,
    pub(crate) token: u32,
    /// Tells it from those that had the token before.
    pub(crate) serial: u32,
}

/// For how long a lock is wanted, and how long it is waited for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    pub(crate) wait: Duration,
    pub(crate) ttl: Duration,
}

/// A lock that is held, or a place in the queue for it. It is never given out twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spot {
    slot: u32,
    ticket: u64,
}

/// What came of asking for a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    Locked(Spot),
    /// It was held by the asker already, who has it for longer now.
    Prolonged,
    Queued(Spot),
    TimedOut,
    /// There are too many locks.
    Refused,
}

/// The end of a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) party: Party,
    /// Whether it holds the lock now; else it has waited for too long.
    pub(crate) locked: bool,
}

/// What the locks have gone through.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Held now.
    pub(crate) held: u64,
    /// Connections that wait now.
    pub(crate) waiting: u64,
    /// Requests that had to wait, ever.
    pub(crate) waits: u64,
    /// Requests that were not served in the time that they would wait.
    pub(crate) timeouts: u64,
    /// Locks that were neither given back nor ended with their connection.
    pub(crate) expired: u64,
}

#[derive(Debug)]
struct Claim {
    party: Party,
    ticket: u64,
    ttl: Duration,
    /// When the owner loses the lock, or the waiter gives up.
    deadline: Instant,
}

#[derive(Debug)]
struct Lock {
    hash: u64,
    key: Box<[u8]>,
    owner: Claim,
    /// Whether the owner is carrying out a command that needs the lock: it is passed on only after that.
    is_pinned: bool,
    /// By ticket: in the order of asking.
    queue: BTreeMap<u64, Claim>,
}

/// Locks by key. Its memory is bounded by the number of locks it may hold and that of connections.
#[derive(Debug)]
pub(super) struct Table {
    most: usize,
    slots: HashTable<u32>,
    locks: Slab<Lock>,
    next_ticket: u64,
    timers: BTreeSet<(Instant, u32, u64)>,
    tally: Tally,
}

impl Table {
    /// A table for at most so many locks.
    pub(super) fn new(most: usize) -> Table {
        Table {
            most,
            slots: HashTable::new(),
            locks: Slab::new(),
            next_ticket: 0,
            timers: BTreeSet::new(),
            tally: Tally::default(),
        }
    }

    /// Gives `party` the lock of `key`, or a place in its queue.
    pub(super) fn ask(
        &mut self,
        hash: u64,
        key: &[u8],
        party: Party,
        terms: Terms,
        now: Instant,
        verdicts: &mut Vec<Verdict>,
    ) -> Asked {
        if let Some(slot) = self.find(hash, key) {
            self.end_if_expired(slot, now, verdicts);
        }
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        let Some(slot) = self.find(hash, key) else {
            if self.locks.len() >= self.most && !self.purge(now, verdicts) {
                return Asked::Refused;
            }
            let owner = Claim { party, ticket, ttl: terms.ttl, deadline: now + terms.ttl };
            let lock = Lock { hash, key: key.into(), owner, is_pinned: false, queue: BTreeMap::new() };
            let slot = self.locks.insert(lock) as u32;
            let locks = &self.locks;
            self.slots.insert_unique(hash, slot, |&slot| locks[slot as usize].hash);
            return Asked::Locked(Spot { slot, ticket });
        };
        let lock = &mut self.locks[slot as usize];
        if lock.owner.party == party {
            let old = lock.owner.deadline;
            lock.owner.deadline = now + terms.ttl;
            if !lock.queue.is_empty() {
                self.timers.remove(&(old, slot, lock.owner.ticket));
                self.timers.insert((lock.owner.deadline, slot, lock.owner.ticket));
            }
            return Asked::Prolonged;
        }
        if terms.wait.is_zero() {
            self.tally.timeouts += 1;
            return Asked::TimedOut;
        }
        if lock.queue.is_empty() {
            self.timers.insert((lock.owner.deadline, slot, lock.owner.ticket));
        }
        let deadline = now + terms.wait;
        lock.queue.insert(ticket, Claim { party, ticket, ttl: terms.ttl, deadline });
        self.timers.insert((deadline, slot, ticket));
        self.tally.waits += 1;
        self.tally.waiting += 1;
        Asked::Queued(Spot { slot, ticket })
    }

    /// Gives back the lock of `key`; what it was called, or `None` where `party` does not hold it.
    pub(super) fn unlock(
        &mut self,
        hash: u64,
        key: &[u8],
        party: Party,
        now: Instant,
        verdicts: &mut Vec<Verdict>,
    ) -> Option<Spot> {
        let slot = self.find(hash, key)?;
        self.end_if_expired(slot, now, verdicts);
        let lock = self.locks.get(slot as usize).filter(|lock| lock.owner.party == party)?;
        let spot = Spot { slot, ticket: lock.owner.ticket };
        self.pass_on(slot, now, verdicts);
        Some(spot)
    }

    /// Keeps the lock of `key` with `party`, which holds it now, until it is [unpinned](Table::unpin), even where its
    /// time ends before. `None` where `party` does not hold it.
    pub(super) fn pin(&mut self, hash: u64, key: &[u8], party: Party, now: Instant) -> Option<Spot> {
        let slot = self.find(hash, key)?;
        let lock = &mut self.locks[slot as usize];
        if lock.owner.party != party || lock.owner.deadline <= now {
            return None;
        }
        lock.is_pinned = true;
        Some(Spot { slot, ticket: lock.owner.ticket })
    }

    /// Ends what [`Table::pin`] began. A lock whose time is over by `now` is passed on.
    pub(super) fn unpin(&mut self, spot: Spot, now: Instant, verdicts: &mut Vec<Verdict>) {
        let Spot { slot, ticket } = spot;
        let Some(lock) = self.locks.get_mut(slot as usize).filter(|lock| lock.owner.ticket == ticket) else {
            return;
        };
        lock.is_pinned = false;
        if !lock.queue.is_empty() {
            // It is missing where it has come while the lock was pinned.
            self.timers.insert((lock.owner.deadline, slot, ticket));
        }
        self.end_if_expired(slot, now, verdicts);
    }

    /// Gives back a lock, or a place in a queue, if it is still there. Returns whether it was a lock that was held until
    /// now.
    pub(super) fn leave(&mut self, spot: Spot, now: Instant, verdicts: &mut Vec<Verdict>) -> bool {
        let Spot { slot, ticket } = spot;
        let Some(lock) = self.locks.get_mut(slot as usize) else {
            return false;
        };
        if lock.owner.ticket == ticket {
            let was_held = lock.owner.deadline > now;
            self.tally.expired += u64::from(!was_held);
            self.pass_on(slot, now, verdicts);
            return was_held;
        }
        if let Some(claim) = lock.queue.remove(&ticket) {
            self.timers.remove(&(claim.deadline, slot, ticket));
            self.tally.waiting -= 1;
            if lock.queue.is_empty() {
                self.timers.remove(&(lock.owner.deadline, slot, lock.owner.ticket));
            }
        }
        false
    }

    /// Whether a lock is still held, or waited for, by whom it was given to.
    pub(super) fn is_current(&self, spot: Spot, now: Instant) -> bool {
        self.locks.get(spot.slot as usize).is_some_and(|lock| {
            let holds = lock.owner.ticket == spot.ticket && lock.owner.deadline > now;
            holds || lock.queue.contains_key(&spot.ticket)
        })
    }

    /// Ends what has come to its end where somebody waits.
    pub(super) fn expire(&mut self, now: Instant, verdicts: &mut Vec<Verdict>) {
        while let Some(&(deadline, slot, ticket)) = self.timers.first()
            && deadline <= now
        {
            let lock = &mut self.locks[slot as usize];
            if lock.owner.ticket == ticket && lock.is_pinned {
                self.timers.remove(&(deadline, slot, ticket));
            } else if lock.owner.ticket == ticket {
                self.end_if_expired(slot, now, verdicts);
            } else if let Some(claim) = lock.queue.remove(&ticket) {
                self.timers.remove(&(deadline, slot, ticket));
                if lock.queue.is_empty() {
                    self.timers.remove(&(lock.owner.deadline, slot, lock.owner.ticket));
                }
                self.time_out(claim.party, verdicts);
            }
        }
    }

    /// When [`Table::expire`] has something to do next.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.timers.first().map(|&(deadline, ..)| deadline)
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> usize {
        self.tally.waiting as usize
    }

    /// What has happened until `now`.
    pub(super) fn tally(&mut self, now: Instant, verdicts: &mut Vec<Verdict>) -> Tally {
        self.purge(now, verdicts);
        Tally { held: self.locks.len() as u64, ..self.tally }
    }

    fn find(&self, hash: u64, key: &[u8]) -> Option<u32> {
        self.slots.find(hash, |&slot| *self.locks[slot as usize].key == *key).copied()
    }

    fn end_if_expired(&mut self, slot: u32, now: Instant, verdicts: &mut Vec<Verdict>) {
        let lock = &self.locks[slot as usize];
        if lock.owner.deadline <= now && !lock.is_pinned {
            self.tally.expired += 1;
            self.pass_on(slot, now, verdicts);
        }
    }

    /// Gives a lock to the first who still waits for it; without one it is gone.
    fn pass_on(&mut self, slot: u32, now: Instant, verdicts: &mut Vec<Verdict>) {
        let lock = &mut self.locks[slot as usize];
        if !lock.queue.is_empty() {
            self.timers.remove(&(lock.owner.deadline, slot, lock.owner.ticket));
        }
        while let Some((ticket, mut claim)) = self.locks[slot as usize].queue.pop_first() {
            self.timers.remove(&(claim.deadline, slot, ticket));
            if claim.deadline <= now {
                self.time_out(claim.party, verdicts);
                continue;
            }
            self.tally.waiting -= 1;
            verdicts.push(Verdict { party: claim.party, locked: true });
            claim.deadline = now + claim.ttl;
            let lock = &mut self.locks[slot as usize];
            if !lock.queue.is_empty() {
                self.timers.insert((claim.deadline, slot, ticket));
            }
            lock.owner = claim;
            return;
        }
        let lock = self.locks.remove(slot as usize);
        if let Ok(entry) = self.slots.find_entry(lock.hash, |&other| other == slot) {
            entry.remove();
        }
    }

    fn time_out(&mut self, party: Party, verdicts: &mut Vec<Verdict>) {
        self.tally.waiting -= 1;
        self.tally.timeouts += 1;
        verdicts.push(Verdict { party, locked: false });
    }

    /// Ends all locks that are over; whether there is room now.
    fn purge(&mut self, now: Instant, verdicts: &mut Vec<Verdict>) -> bool {
        let over = self.locks.iter().filter(|(_, lock)| lock.owner.deadline <= now);
        let over: Vec<u32> = over.map(|(slot, _)| slot as u32).collect();
        for slot in over {
            self.end_if_expired(slot, now, verdicts);
        }
        self.locks.len() < self.most
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{HashMap, VecDeque};

    const SECOND: Duration = Duration::from_secs(1);

    fn party(token: u32) -> Party {
        Party { worker: token % 3, token, serial: 1 }
    }

    fn terms(wait_secs: u32, ttl_secs: u32) -> Terms {
        Terms { wait: SECOND * wait_secs, ttl: SECOND * ttl_secs }
    }

    /// All keys have one hash: the table must not rely on it.
    fn ask(table: &mut Table, key: &[u8], token: u32, terms: Terms, now: Instant) -> (Asked, Vec<Verdict>) {
        let mut verdicts = Vec::new();
        (table.ask(7, key, party(token), terms, now, &mut verdicts), verdicts)
    }

    fn unlock(table: &mut Table, key: &[u8], token: u32, now: Instant) -> (bool, Vec<Verdict>) {
        let mut verdicts = Vec::new();
        (table.unlock(7, key, party(token), now, &mut verdicts).is_some(), verdicts)
    }

    fn locked(token: u32) -> Verdict {
        Verdict { party: party(token), locked: true }
    }

    fn timed_out(token: u32) -> Verdict {
        Verdict { party: party(token), locked: false }
    }

    #[test]
    fn first_come_first_served() {
        let (mut table, now) = (Table::new(10), Instant::now());
        assert!(matches!(ask(&mut table, b"k", 0, terms(9, 9), now).0, Asked::Locked(_)));
        for token in 1..=3 {
            assert!(matches!(ask(&mut table, b"k", token, terms(9, 9), now).0, Asked::Queued(_)));
        }
        assert!(matches!(ask(&mut table, b"other", 4, terms(9, 9), now).0, Asked::Locked(_)));
        assert_eq!(unlock(&mut table, b"k", 2, now), (false, vec![]));
        for token in 0..3 {
            assert_eq!(unlock(&mut table, b"k", token, now), (true, vec![locked(token + 1)]));
        }
        assert_eq!(unlock(&mut table, b"k", 3, now), (true, vec![]));
        assert_eq!(unlock(&mut table, b"k", 3, now), (false, vec![]));
        assert_eq!(table.next_deadline(), None);
        let tally = Tally { held: 1, waits: 3, ..Tally::default() };
        assert_eq!(table.tally(now, &mut Vec::new()), tally);
    }

    #[test]
    fn a_lock_ends_in_time_and_the_next_has_all_of_its_own_time() {
        let (mut table, start) = (Table::new(10), Instant::now());
        ask(&mut table, b"k", 0, terms(0, 5), start);
        ask(&mut table, b"k", 1, terms(60, 3), start);
        ask(&mut table, b"k", 2, terms(60, 3), start);
        let mut verdicts = Vec::new();
        assert_eq!(table.next_deadline(), Some(start + 5 * SECOND));
        table.expire(start + 4 * SECOND, &mut verdicts);
        assert_eq!(verdicts, []);
        table.expire(start + 5 * SECOND, &mut verdicts);
        assert_eq!(verdicts, [locked(1)]);
        assert_eq!(table.next_deadline(), Some(start + 8 * SECOND));
        assert_eq!(unlock(&mut table, b"k", 0, start + 6 * SECOND), (false, vec![]));
        assert_eq!(unlock(&mut table, b"k", 1, start + 8 * SECOND), (false, vec![locked(2)]));
    }

    #[test]
    fn who_waits_for_too_long_is_told_and_never_served() {
        let (mut table, start) = (Table::new(10), Instant::now());
        ask(&mut table, b"k", 0, terms(0, 60), start);
        ask(&mut table, b"k", 1, terms(2, 60), start);
        ask(&mut table, b"k", 2, terms(4, 60), start);
        assert_eq!(ask(&mut table, b"k", 3, terms(0, 60), start).0, Asked::TimedOut);
        let mut verdicts = Vec::new();
        table.expire(start + 2 * SECOND, &mut verdicts);
        assert_eq!(verdicts, [timed_out(1)]);
        assert_eq!(unlock(&mut table, b"k", 0, start + 4 * SECOND), (true, vec![timed_out(2)]));
        assert_eq!(table.tally(start, &mut Vec::new()), Tally { waits: 2, timeouts: 3, ..Tally::default() });
    }

    #[test]
    fn who_leaves_leaves_lock_and_place() {
        let (mut table, now) = (Table::new(10), Instant::now());
        let mut verdicts = Vec::new();
        let Asked::Locked(owner) = ask(&mut table, b"k", 0, terms(0, 9), now).0 else { panic!() };
        let Asked::Queued(first) = ask(&mut table, b"k", 1, terms(9, 9), now).0 else { panic!() };
        let Asked::Queued(second) = ask(&mut table, b"k", 2, terms(9, 9), now).0 else { panic!() };
        assert!([owner, first, second].iter().all(|&spot| table.is_current(spot, now)));
        table.leave(first, now, &mut verdicts);
        table.leave(first, now, &mut verdicts);
        assert_eq!(verdicts, []);
        table.leave(owner, now, &mut verdicts);
        table.leave(owner, now, &mut verdicts);
        assert_eq!(verdicts, [locked(2)]);
        assert!(!table.is_current(owner, now) && !table.is_current(first, now) && table.is_current(second, now));
        table.leave(second, now, &mut verdicts);
        assert_eq!((verdicts.len(), table.next_deadline()), (1, None));
        // The slot is used again, by another ticket.
        ask(&mut table, b"k", 3, terms(0, 9), now);
        table.leave(second, now, &mut verdicts);
        assert_eq!(unlock(&mut table, b"k", 3, now), (true, vec![]));
    }

    fn pin(table: &mut Table, key: &[u8], token: u32, now: Instant) -> Option<Spot> {
        table.pin(7, key, party(token), now)
    }

    #[test]
    fn a_lock_is_not_passed_on_while_it_is_pinned() {
        let (mut table, start) = (Table::new(2), Instant::now());
        ask(&mut table, b"k", 0, terms(0, 5), start);
        let pinned = pin(&mut table, b"k", 0, start + 4 * SECOND).unwrap();
        let late = start + 6 * SECOND;
        let mut verdicts = Vec::new();
        assert_eq!(ask(&mut table, b"k", 1, terms(0, 9), late), (Asked::TimedOut, vec![]));
        assert!(matches!(ask(&mut table, b"k", 2, terms(9, 9), late).0, Asked::Queued(_)));
        table.expire(late, &mut verdicts);
        assert_eq!(table.tally(late, &mut verdicts).held, 1);
        assert_eq!(verdicts, []);
        table.unpin(pinned, late, &mut verdicts);
        assert_eq!(verdicts, [locked(2)]);
        assert_eq!(pin(&mut table, b"k", 0, late), None);
        // A pin that is over concerns nobody who came later.
        table.unpin(pinned, late + 9 * SECOND, &mut verdicts);
        assert_eq!(unlock(&mut table, b"k", 2, late), (true, vec![]));
    }

    #[test]
    fn a_lock_whose_time_came_while_it_was_pinned_is_passed_on_by_whoever_looks_next() {
        let (mut table, start) = (Table::new(2), Instant::now());
        ask(&mut table, b"k", 0, terms(0, 5), start);
        ask(&mut table, b"k", 1, terms(60, 9), start);
        let before = start + 4 * SECOND;
        let pinned = pin(&mut table, b"k", 0, before).unwrap();
        let mut verdicts = Vec::new();
        table.expire(start + 5 * SECOND, &mut verdicts);
        // The owner's worker has read the clock earlier than the one that has looked at the deadlines.
        table.unpin(pinned, before, &mut verdicts);
        assert_eq!((&verdicts[..], table.next_deadline()), (&[][..], Some(start + 5 * SECOND)));
        table.expire(start + 5 * SECOND, &mut verdicts);
        assert_eq!(verdicts, [locked(1)]);
    }

    #[test]
    fn only_the_owner_can_pin_and_only_in_its_time() {
        let (mut table, start) = (Table::new(2), Instant::now());
        assert_eq!(pin(&mut table, b"k", 0, start), None);
        ask(&mut table, b"k", 0, terms(0, 5), start);
        assert_eq!((pin(&mut table, b"k", 1, start), pin(&mut table, b"l", 0, start)), (None, None));
        assert_eq!(pin(&mut table, b"k", 0, start + 5 * SECOND), None);
        let pinned = pin(&mut table, b"k", 0, start + 4 * SECOND).unwrap();
        table.unpin(pinned, start + 4 * SECOND, &mut Vec::new());
        assert_eq!(unlock(&mut table, b"k", 0, start + 4 * SECOND), (true, vec![]));
    }

    #[test]
    fn asking_again_prolongs() {
        let (mut table, start) = (Table::new(10), Instant::now());
        ask(&mut table, b"k", 0, terms(0, 5), start);
        ask(&mut table, b"k", 1, terms(60, 5), start);
        assert_eq!(ask(&mut table, b"k", 0, terms(0, 5), start + 3 * SECOND).0, Asked::Prolonged);
        assert_eq!(table.next_deadline(), Some(start + 8 * SECOND));
        assert_eq!(unlock(&mut table, b"k", 0, start + 7 * SECOND), (true, vec![locked(1)]));
    }

    #[test]
    fn the_most_locks_are_the_most_until_one_is_over() {
        let (mut table, start) = (Table::new(2), Instant::now());
        assert!(matches!(ask(&mut table, b"a", 0, terms(0, 5), start).0, Asked::Locked(_)));
        assert!(matches!(ask(&mut table, b"b", 1, terms(0, 7), start).0, Asked::Locked(_)));
        assert_eq!(ask(&mut table, b"c", 2, terms(9, 5), start + 4 * SECOND).0, Asked::Refused);
        assert!(matches!(ask(&mut table, b"a", 2, terms(9, 5), start + 4 * SECOND).0, Asked::Queued(_)));
        assert!(matches!(ask(&mut table, b"c", 3, terms(9, 5), start + 7 * SECOND).0, Asked::Locked(_)));
    }

    /// The same, said as simply as possible.
    #[derive(Default)]
    struct Model {
        locks: HashMap<u8, (u32, u64)>,
        pinned: Option<u8>,
        queues: HashMap<u8, VecDeque<(u32, u64, u64)>>,
    }

    impl Model {
        /// Who is told what, until nothing is due at `now`.
        fn settle(&mut self, now: u64) -> Vec<Verdict> {
            let mut verdicts = Vec::new();
            self.locks.retain(|&key, &mut (_, deadline)| deadline > now || self.pinned == Some(key));
            for (key, queue) in &mut self.queues {
                queue.retain(|&(token, gives_up, _)| {
                    verdicts.extend((gives_up <= now).then(|| timed_out(token)));
                    gives_up > now
                });
                if !self.locks.contains_key(key)
                    && let Some((token, _, ttl)) = queue.pop_front()
                {
                    self.locks.insert(*key, (token, now + ttl));
                    verdicts.push(locked(token));
                }
            }
            verdicts
        }
    }

    fn sorted(mut verdicts: Vec<Verdict>) -> Vec<Verdict> {
        verdicts.sort_by_key(|verdict| verdict.party.token);
        verdicts
    }

    #[derive(Debug, Clone)]
    enum Step {
        Ask {
            key: u8,
            wait: u64,
            ttl: u64,
        },
        Unlock {
            key: u8,
        },
        UnlockAll,
        Leave {
            nth: usize,
        },
        /// A command that needs the lock, during which time passes.
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
            4 => (0..3_u8, 0..6_u64, 1..6_u64).prop_map(|(key, wait, ttl)| Step::Ask { key, wait, ttl }),
            3 => (0..3_u8).prop_map(|key| Step::Unlock { key }),
            1 => Just(Step::UnlockAll),
            1 => (0..9_usize).prop_map(|nth| Step::Leave { nth }),
            2 => (0..3_u8, 0..3_u64).prop_map(|(key, secs)| Step::Use { key, secs }),
            1 => (0..3_u64).prop_map(|secs| Step::Wait { secs }),
        ];
        proptest::collection::vec((0..8_u32, step), 1..120)
    }

    proptest! {
        /// Order, one owner, every deadline: as the model says, step by step.
        #[test]
        fn equals_the_model(steps in steps()) {
            let start = Instant::now();
            let at = |secs: u64| start + Duration::from_secs(secs);
            let (mut table, mut model, mut now) = (Table::new(100), Model::default(), 0_u64);
            let mut spots: Vec<(u32, u8, Spot)> = Vec::new();
            for (token, step) in steps {
                let mut verdicts = Vec::new();
                // A connection that waits asks for nothing else.
                let waits = model.queues.values().flatten().any(|&(waiter, ..)| waiter == token);
                match step {
                    Step::Ask { key, wait, ttl } if !waits => {
                        let terms = Terms { wait: Duration::from_secs(wait), ttl: Duration::from_secs(ttl) };
                        let asked = table.ask(7, &[key], party(token), terms, at(now), &mut verdicts);
                        match model.locks.get_mut(&key) {
                            None => {
                                model.locks.insert(key, (token, now + ttl));
                                prop_assert!(matches!(asked, Asked::Locked(_)));
                            }
                            Some((owner, deadline)) if *owner == token => {
                                *deadline = now + ttl;
                                prop_assert_eq!(asked, Asked::Prolonged);
                            }
                            Some(_) if wait == 0 => prop_assert_eq!(asked, Asked::TimedOut),
                            Some(_) => {
                                model.queues.entry(key).or_default().push_back((token, now + wait, ttl));
                                prop_assert!(matches!(asked, Asked::Queued(_)));
                            }
                        }
                        if let Asked::Locked(spot) | Asked::Queued(spot) = asked {
                            spots.push((token, key, spot));
                        }
                    }
                    Step::Unlock { key } if !waits => {
                        let holds = model.locks.get(&key).is_some_and(|&(owner, _)| owner == token);
                        let unlocked = table.unlock(7, &[key], party(token), at(now), &mut verdicts).is_some();
                        prop_assert_eq!(unlocked, holds);
                        if holds {
                            model.locks.remove(&key);
                        }
                    }
                    // As a connection does it: all that it was ever given, whatever has become of that.
                    Step::UnlockAll if !waits => {
                        let mut count = 0;
                        spots.retain(|&(owner, _, spot)| {
                            count += usize::from(owner == token && table.leave(spot, at(now), &mut verdicts));
                            owner != token
                        });
                        let held = model.locks.len();
                        model.locks.retain(|_, &mut (owner, _)| owner != token);
                        prop_assert_eq!(count, held - model.locks.len());
                    }
                    Step::Use { key, secs } if !waits => {
                        let holds = model.locks.get(&key).is_some_and(|&(owner, _)| owner == token);
                        let pinned = table.pin(7, &[key], party(token), at(now));
                        prop_assert_eq!(pinned.is_some(), holds);
                        if let Some(spot) = pinned {
                            now += secs;
                            model.pinned = Some(key);
                            table.expire(at(now), &mut verdicts);
                            prop_assert_eq!(sorted(std::mem::take(&mut verdicts)), sorted(model.settle(now)));
                            let other = table.ask(7, &[key], party(8), terms(0, 9), at(now), &mut verdicts);
                            prop_assert_eq!(other, Asked::TimedOut);
                            model.pinned = None;
                            table.unpin(spot, at(now), &mut verdicts);
                        }
                    }
                    Step::Leave { nth } if nth < spots.len() => {
                        let (token, key, spot) = spots.swap_remove(nth);
                        if table.is_current(spot, at(now)) {
                            if model.locks.get(&key).is_some_and(|&(owner, _)| owner == token) {
                                model.locks.remove(&key);
                            }
                            model.queues.entry(key).or_default().retain(|&(waiter, ..)| waiter != token);
                        }
                        table.leave(spot, at(now), &mut verdicts);
                    }
                    Step::Wait { secs } => {
                        now += secs;
                        table.expire(at(now), &mut verdicts);
                    }
                    _ => {}
                }
                prop_assert_eq!(sorted(verdicts), sorted(model.settle(now)));
                let waiting: usize = model.queues.values().map(VecDeque::len).sum();
                prop_assert_eq!(table.tally.waiting, waiting as u64);
                prop_assert_eq!(table.next_deadline().is_none(), waiting == 0);
                prop_assert!(table.next_deadline().is_none_or(|deadline| deadline > at(now)));
            }
            let held = model.locks.values().filter(|&&(_, deadline)| deadline > now).count();
            prop_assert_eq!(table.tally(at(now), &mut Vec::new()).held, held as u64);
        }
    }
}
