//! The locks that a connection holds, and the one that it waits for.

use std::time::Instant;

use crate::locks::{Answer, LOCKS_PER_CONNECTION, Locks, Party, Place, Terms};

/// What came of asking for a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    Locked,
    /// The connection has to wait, for a [`Held::decide`].
    Waits,
    TimedOut,
    /// It holds too many already, or the server does.
    Refused,
}

/// Of one connection. Without any, it is not there.
#[derive(Debug, Default)]
pub(super) struct Held {
    places: Vec<Place>,
    waits_for: Option<Place>,
    decided: Option<bool>,
}

impl Held {
    pub(super) fn ask(&mut self, key: &[u8], party: Party, terms: Terms, locks: &Locks, now: Instant) -> Asked {
        if self.places.len() >= LOCKS_PER_CONNECTION {
            self.places.retain(|&place| locks.is_current(place, now));
            if self.places.len() >= LOCKS_PER_CONNECTION {
                return Asked::Refused;
            }
        }
        match locks.ask(key, party, terms, now) {
            Answer::Locked(place) => {
                self.places.push(place);
                Asked::Locked
            }
            Answer::Prolonged => Asked::Locked,
            Answer::Queued(place) => {
                self.waits_for = Some(place);
                Asked::Waits
            }
            Answer::TimedOut => Asked::TimedOut,
            Answer::Refused => Asked::Refused,
        }
    }

    /// Gives one back; whether it was held.
    pub(super) fn unlock(&mut self, key: &[u8], party: Party, locks: &Locks, now: Instant) -> bool {
        let place = locks.unlock(key, party, now);
        if let Some(place) = place {
            self.places.retain(|&other| other != place);
        }
        place.is_some()
    }

    /// Gives back all locks; how many were held until now.
    pub(super) fn unlock_all(&mut self, worker: u32, locks: &Locks, now: Instant) -> u64 {
        self.places.drain(..).map(|place| u64::from(locks.leave(place, worker, now))).sum()
    }

    /// The wait is over: the lock is held now, or was not to be had in time.
    pub(super) fn decide(&mut self, locked: bool) {
        if let Some(place) = self.waits_for.take() {
            if locked {
                self.places.push(place);
            }
            self.decided = Some(locked);
        }
    }

    /// How the last wait ended, if that was not taken before.
    pub(super) fn take_decision(&mut self) -> Option<bool> {
        self.decided.take()
    }

    pub(super) fn waits(&self) -> bool {
        self.waits_for.is_some()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty() && self.waits_for.is_none() && self.decided.is_none()
    }

    /// Gives everything back: the connection is over.
    pub(super) fn leave(self, worker: u32, locks: &Locks, now: Instant) {
        for place in self.places.into_iter().chain(self.waits_for) {
            locks.leave(place, worker, now);
        }
    }
}
