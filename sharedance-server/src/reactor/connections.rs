//! The connections of a worker, each with what the poller and the lists of the worker know of it.
//!
//! A connection changes its state in many places. What follows from that state is done in one, [`Connections::update`]:
//! it compares what is registered with what is wanted, and changes the difference. Nothing else changes the interest of
//! a connection, its deadline, or its place among those that go on or are synced next.

use std::io;
use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use polling::{Event, PollMode, Poller};
use slab::Slab;

use super::deadlines::{Deadlines, Link, Linked};
use super::register;
use crate::connection::{Awaits, Connection, End, Pace, Patience};
use crate::locks::ConnectionId;

/// How long a peer that sends more after its request may take to notice that it was answered.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// An empty table keeps memory for at most so many entries.
const KEPT_ENTRIES: usize = 1024;

/// What the poller reports of a connection. It reports errors and hang-ups in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Interest {
    Nothing,
    Readable,
    Writable,
}

impl Interest {
    /// A function of what the connection awaits, and of nothing else. `None` where what is registered stays: a sync comes
    /// within this turn or the next, which does not wait.
    fn wanted(awaits: Awaits) -> Option<Interest> {
        match awaits {
            Awaits::Request | Awaits::Quiet => Some(Interest::Readable),
            Awaits::Room => Some(Interest::Writable),
            Awaits::Lock => Some(Interest::Nothing),
            Awaits::Sync => None,
        }
    }

    fn event(self, key: usize) -> Event {
        match self {
            Interest::Nothing => Event::none(key),
            Interest::Readable => Event::readable(key),
            Interest::Writable => Event::writable(key),
        }
    }
}

struct Entry {
    connection: Connection,
    /// What the poller was told last.
    registered: Interest,
    /// Which list of deadlines it is in, and what it had moved when its deadline was set last.
    patience: Patience,
    pace: Pace,
    link: Option<Link>,
    is_in_unfinished: bool,
    is_in_unsynced: bool,
}

impl Linked for Entry {
    fn link(&mut self) -> &mut Option<Link> {
        &mut self.link
    }
}

/// The table of connections.
pub(super) struct Connections {
    poller: Arc<Poller>,
    /// The poller's key of token 0.
    first_key: usize,
    entries: Slab<Entry>,
    /// Connections that could go on at once.
    unfinished: Vec<ConnectionId>,
    /// Connections that wait for a sync.
    unsynced: Vec<ConnectionId>,
    deadlines: DeadlineLists,
}

struct DeadlineLists {
    /// Connections with something under way.
    idle: Deadlines,
    /// Those between requests, if that has an end.
    resting: Option<Deadlines>,
    draining: Deadlines,
}

impl DeadlineLists {
    /// The list of the connections with this patience.
    fn of(&mut self, patience: Patience) -> Option<&mut Deadlines> {
        match patience {
            Patience::UnderWay => Some(&mut self.idle),
            Patience::Resting => self.resting.as_mut(),
            Patience::Draining => Some(&mut self.draining),
            Patience::Waiting => None,
        }
    }
}

impl Connections {
    /// An empty table. Its connections are registered with `poller` under the keys from `first_key` on.
    pub(super) fn new(
        poller: Arc<Poller>,
        first_key: usize,
        idle_timeout: Duration,
        rest_timeout: Option<Duration>,
    ) -> Connections {
        Connections {
            poller,
            first_key,
            entries: Slab::new(),
            unfinished: Vec::new(),
            unsynced: Vec::new(),
            deadlines: DeadlineLists {
                idle: Deadlines::new(idle_timeout),
                resting: rest_timeout.map(Deadlines::new),
                draining: Deadlines::new(DRAIN_TIMEOUT),
            },
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The token of the connection that is inserted next.
    pub(super) fn next_token(&self) -> usize {
        self.entries.vacant_key()
    }

    /// The token of a connection that was reported under `key`, unless that is the key of something else.
    pub(super) fn token_of(&self, key: usize) -> Option<usize> {
        key.checked_sub(self.first_key)
    }

    pub(super) fn get_mut(&mut self, token: usize) -> Option<&mut Connection> {
        self.entries.get_mut(token).map(|entry| &mut entry.connection)
    }

    /// The connection, unless it is over.
    pub(super) fn find(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        self.get_mut(id.token as usize).filter(|connection| connection.id() == id)
    }

    /// The tokens of all connections that meet `condition`.
    pub(super) fn tokens(&self, condition: impl Fn(&Connection) -> bool) -> Vec<usize> {
        let entries = self.entries.iter().filter(|(_, entry)| condition(&entry.connection));
        entries.map(|(token, _)| token).collect()
    }

    /// Registers a connection that is to be inserted next.
    ///
    /// # Errors
    /// The poller refuses it.
    pub(super) fn register(&self, connection: &Connection) -> io::Result<Interest> {
        let interest = Interest::wanted(connection.awaits()).unwrap_or(Interest::Readable);
        register(&self.poller, connection, interest.event(self.first_key + self.next_token()))?;
        Ok(interest)
    }

    /// Inserts a connection that was registered.
    ///
    /// # Errors
    /// The poller failed.
    pub(super) fn insert(&mut self, connection: Connection, registered: Interest, now: Instant) -> io::Result<()> {
        let token = self.entries.insert(Entry {
            registered,
            patience: Patience::Waiting,
            pace: connection.pace(),
            link: None,
            is_in_unfinished: false,
            is_in_unsynced: false,
            connection,
        });
        self.update(token, now)
    }

    /// Brings the poller, the deadlines and the lists into agreement with the state of a connection. To be called after
    /// every change of that state.
    ///
    /// # Errors
    /// The poller failed.
    pub(super) fn update(&mut self, token: usize, now: Instant) -> io::Result<()> {
        let Some(entry) = self.entries.get_mut(token) else {
            return Ok(());
        };
        let id = entry.connection.id();
        let awaits = entry.connection.awaits();
        if let Some(wanted) = Interest::wanted(awaits)
            && wanted != entry.registered
        {
            let event = wanted.event(self.first_key + token);
            self.poller.modify_with_mode(&entry.connection, event, PollMode::Level)?;
            entry.registered = wanted;
        }
        if entry.connection.is_unfinished() && !mem::replace(&mut entry.is_in_unfinished, true) {
            self.unfinished.push(id);
        }
        if awaits == Awaits::Sync && !mem::replace(&mut entry.is_in_unsynced, true) {
            self.unsynced.push(id);
        }
        let (patience, pace) = (entry.connection.patience(), entry.connection.pace());
        let before = mem::replace(&mut entry.patience, patience);
        let has_moved = mem::replace(&mut entry.pace, pace) != pace;
        if before != patience {
            if let Some(deadlines) = self.deadlines.of(before) {
                deadlines.remove(&mut self.entries, token);
            }
            self.set_deadline(token, patience, now);
        } else if has_moved && patience != Patience::Draining {
            self.set_deadline(token, patience, now);
        }
        Ok(())
    }

    /// Takes a connection out, and out of everything that knows of it.
    ///
    /// # Errors
    /// The poller failed.
    pub(super) fn remove(&mut self, token: usize) -> io::Result<Connection> {
        let patience = self.entries[token].patience;
        if let Some(deadlines) = self.deadlines.of(patience) {
            deadlines.remove(&mut self.entries, token);
        }
        let connection = self.entries.remove(token).connection;
        if self.entries.is_empty() && self.entries.capacity() > KEPT_ENTRIES {
            // A storm of connections does not leave its table behind.
            self.entries = Slab::new();
        }
        self.poller.delete(&connection)?;
        Ok(connection)
    }

    /// Whether a connection has something to do that no event reports.
    pub(super) fn have_work(&self) -> bool {
        !self.unfinished.is_empty() || !self.unsynced.is_empty()
    }

    pub(super) fn any_awaits_sync(&self) -> bool {
        !self.unsynced.is_empty()
    }

    /// The connections that could go on at once, each of them once.
    pub(super) fn take_unfinished(&mut self) -> Vec<ConnectionId> {
        let ids = mem::take(&mut self.unfinished);
        for id in &ids {
            if let Some(entry) = self.entry(*id) {
                entry.is_in_unfinished = false;
            }
        }
        ids
    }

    /// The connections that wait for a sync, each of them once.
    pub(super) fn take_unsynced(&mut self) -> Vec<ConnectionId> {
        let ids = mem::take(&mut self.unsynced);
        for id in &ids {
            if let Some(entry) = self.entry(*id) {
                entry.is_in_unsynced = false;
            }
        }
        ids
    }

    /// When the next connection is overdue.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let DeadlineLists { idle, resting, draining } = &self.deadlines;
        [idle.next(), resting.as_ref().and_then(Deadlines::next), draining.next()].into_iter().flatten().min()
    }

    /// A connection that is overdue at `now`, and why it is to be closed.
    pub(super) fn overdue(&self, now: Instant) -> Option<(usize, End)> {
        let DeadlineLists { idle, resting, draining } = &self.deadlines;
        let resting = || resting.as_ref()?.expired(now).map(|token| (token, End::Idle));
        let draining = || draining.expired(now).map(|token| (token, End::Answered));
        idle.expired(now).map(|token| (token, End::TooSlow)).or_else(resting).or_else(draining)
    }

    fn entry(&mut self, id: ConnectionId) -> Option<&mut Entry> {
        self.entries.get_mut(id.token as usize).filter(|entry| entry.connection.id() == id)
    }

    fn set_deadline(&mut self, token: usize, patience: Patience, now: Instant) {
        if let Some(deadlines) = self.deadlines.of(patience) {
            deadlines.touch(&mut self.entries, token, now);
        }
    }
}
