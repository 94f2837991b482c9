//! The lock table compared with a simple model, step by step.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::super::request::{LockOutcome, LockRequest, LockTicket, LockWakeup};
use super::super::table::LockTable;
use super::{HASH, id, locked, timed_out};

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
        prop_assert_eq!(self.table.waiting(), waiting);
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
    fn use_lock(&mut self, token: u32, key: u8, secs: u64, wakeups: &mut Vec<LockWakeup>) -> Result<(), TestCaseError> {
        let pinned = self.table.pin(HASH, &[key], id(token), self.now());
        prop_assert_eq!(pinned.is_some(), self.holds(token, key));
        let Some(ticket) = pinned else {
            return Ok(());
        };
        self.now += secs;
        self.model.pinned = Some(key);
        self.table.expire(self.now(), wakeups);
        prop_assert_eq!(sorted(std::mem::take(wakeups)), sorted(self.model.settle(self.now)));
        let (now, ttl) = (self.now(), Duration::from_secs(9));
        let request = LockRequest { key: &[key], connection: id(8), wait: Duration::ZERO, ttl };
        prop_assert_eq!(self.table.acquire(HASH, &request, now, wakeups), LockOutcome::TimedOut);
        prop_assert_eq!(wakeups.len(), 0);
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
