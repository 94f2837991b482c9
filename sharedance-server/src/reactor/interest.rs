//! The connections of a worker, each with what is registered for it: its poller interest, its deadline, and its place in
//! the lists of connections that continue or are synced next.
//!
//! A connection changes its state in many places. What follows from that state is registered in one,
//! [`Connections::update`]: it compares what is registered with what is wanted, and changes the difference.

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use polling::{Event, PollMode, Poller};
use slab::Slab;

use super::deadlines::{Deadlines, Link, Linked};
use crate::access::REFUSAL_DELAY;
use crate::connection::{CloseReason, Connection, Interest, Pace, Timeout, WaitingFor};
use crate::locks::ConnectionId;

/// How long a peer that sends more after its last request may take to notice the end of the connection.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a handshake may take, if `--timeout` is not shorter.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// An empty table keeps memory for at most this many entries.
const KEPT_ENTRIES: usize = 1024;

fn event(interest: Interest, key: usize) -> Event {
    match interest {
        Interest::Nothing => Event::none(key),
        Interest::Readable => Event::readable(key),
        Interest::Writable => Event::writable(key),
    }
}

struct Entry {
    connection: Connection,
    /// What is registered with the poller.
    interest: Interest,
    /// The list of deadlines that has the connection, and what it had transferred when its deadline was last set.
    timeout: Option<Timeout>,
    pace: Pace,
    link: Option<Link>,
    is_in_unfinished: bool,
    is_in_unsynced: bool,
    is_in_handshakes: bool,
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
    /// Connections that can continue at once.
    unfinished: Vec<ConnectionId>,
    /// Connections that wait for a sync.
    unsynced: Vec<ConnectionId>,
    /// Connections whose handshake waits for its turn, in the order in which they have begun to wait.
    handshakes: VecDeque<ConnectionId>,
    deadlines: DeadlineLists,
}

struct DeadlineLists {
    handshake: Deadlines,
    transfer: Deadlines,
    /// `None` without an idle timeout.
    idle: Option<Deadlines>,
    drain: Deadlines,
    delay: Deadlines,
}

impl DeadlineLists {
    /// The list of the connections with this timeout.
    fn of(&mut self, timeout: Timeout) -> Option<&mut Deadlines> {
        match timeout {
            Timeout::Handshake => Some(&mut self.handshake),
            Timeout::Transfer => Some(&mut self.transfer),
            Timeout::Idle => self.idle.as_mut(),
            Timeout::Drain => Some(&mut self.drain),
            Timeout::Delay => Some(&mut self.delay),
        }
    }
}

impl Connections {
    /// An empty table. Its connections are registered with `poller` under the keys from `first_key` on.
    pub(super) fn new(
        poller: Arc<Poller>,
        first_key: usize,
        timeout: Duration,
        idle_timeout: Option<Duration>,
    ) -> Connections {
        Connections {
            poller,
            first_key,
            entries: Slab::new(),
            unfinished: Vec::new(),
            unsynced: Vec::new(),
            handshakes: VecDeque::new(),
            deadlines: DeadlineLists {
                handshake: Deadlines::new(HANDSHAKE_TIMEOUT.min(timeout)),
                transfer: Deadlines::new(timeout),
                idle: idle_timeout.map(Deadlines::new),
                drain: Deadlines::new(DRAIN_TIMEOUT),
                delay: Deadlines::new(REFUSAL_DELAY),
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

    /// The connection with this id, unless it has ended.
    pub(super) fn find(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        self.get_mut(id.token as usize).filter(|connection| connection.id() == id)
    }

    /// The tokens of all connections that meet `condition`.
    pub(super) fn tokens(&self, condition: impl Fn(&Connection) -> bool) -> Vec<usize> {
        let entries = self.entries.iter().filter(|(_, entry)| condition(&entry.connection));
        entries.map(|(token, _)| token).collect()
    }

    /// Registers the connection that is inserted next. Returns what is registered.
    ///
    /// # Errors
    /// The poller refuses it.
    #[allow(unsafe_code)]
    pub(super) fn register(&self, connection: &Connection) -> io::Result<Interest> {
        let interest = connection.waiting_for().interest().unwrap_or(Interest::Readable);
        let (source, event) = (connection.as_fd().as_raw_fd(), event(interest, self.first_key + self.next_token()));
        // SAFETY: the poller requires that a source is deleted from it before it is closed. The caller inserts the
        // connection into the table, which it leaves only in `Connections::remove`, which deletes the source. A worker
        // that ends by an error drops its connections without that; epoll then removes them by itself, and no thread
        // waits on that poller.
        unsafe { self.poller.add_with_mode(source, event, PollMode::Level)? };
        Ok(interest)
    }

    /// Inserts a connection that was registered.
    ///
    /// # Errors
    /// The poller failed.
    pub(super) fn insert(&mut self, connection: Connection, interest: Interest, now: Instant) -> io::Result<()> {
        let token = self.entries.insert(Entry {
            interest,
            timeout: None,
            pace: connection.pace(),
            link: None,
            is_in_unfinished: false,
            is_in_unsynced: false,
            is_in_handshakes: false,
            connection,
        });
        self.update(token, now)
    }

    /// Registers what follows from the state of a connection, with the poller, the deadlines and the lists. Called after
    /// every change of that state.
    ///
    /// # Errors
    /// The poller failed.
    pub(super) fn update(&mut self, token: usize, now: Instant) -> io::Result<()> {
        let Some(entry) = self.entries.get_mut(token) else {
            return Ok(());
        };
        let id = entry.connection.id();
        let waiting_for = entry.connection.waiting_for();
        if let Some(wanted) = waiting_for.interest()
            && wanted != entry.interest
        {
            let event = event(wanted, self.first_key + token);
            self.poller.modify_with_mode(&entry.connection, event, PollMode::Level)?;
            entry.interest = wanted;
        }
        if entry.connection.is_unfinished() && !mem::replace(&mut entry.is_in_unfinished, true) {
            self.unfinished.push(id);
        }
        if waiting_for == WaitingFor::Sync && !mem::replace(&mut entry.is_in_unsynced, true) {
            self.unsynced.push(id);
        }
        if waiting_for == WaitingFor::HandshakeTurn && !mem::replace(&mut entry.is_in_handshakes, true) {
            self.handshakes.push_back(id);
        }
        let (timeout, pace) = (waiting_for.timeout(), entry.connection.pace());
        let before = mem::replace(&mut entry.timeout, timeout);
        let has_transferred = mem::replace(&mut entry.pace, pace) != pace;
        if before != timeout {
            if let Some(deadlines) = before.and_then(|before| self.deadlines.of(before)) {
                deadlines.remove(&mut self.entries, token);
            }
            self.set_deadline(token, timeout, now);
        } else if has_transferred && !matches!(timeout, Some(Timeout::Drain | Timeout::Handshake)) {
            self.set_deadline(token, timeout, now);
        }
        Ok(())
    }

    /// Removes a connection from the table, the poller and the deadlines.
    ///
    /// # Errors
    /// The poller failed.
    pub(super) fn remove(&mut self, token: usize) -> io::Result<Connection> {
        let timeout = self.entries[token].timeout;
        if let Some(deadlines) = timeout.and_then(|timeout| self.deadlines.of(timeout)) {
            deadlines.remove(&mut self.entries, token);
        }
        let connection = self.entries.remove(token).connection;
        if self.entries.is_empty() && self.entries.capacity() > KEPT_ENTRIES {
            // The table of a burst of connections is not kept.
            self.entries = Slab::new();
        }
        self.poller.delete(&connection)?;
        Ok(connection)
    }

    /// Whether a connection has something to do that the poller does not report.
    pub(super) fn have_work(&self) -> bool {
        !self.unfinished.is_empty() || !self.unsynced.is_empty() || self.has_handshakes()
    }

    /// Whether a handshake waits for its turn.
    pub(super) fn has_handshakes(&self) -> bool {
        !self.handshakes.is_empty()
    }

    /// The connection whose handshake has waited longest for its turn. It is no longer in the list.
    pub(super) fn take_handshake(&mut self) -> Option<ConnectionId> {
        let id = self.handshakes.pop_front()?;
        if let Some(entry) = self.entry(id) {
            entry.is_in_handshakes = false;
        }
        Some(id)
    }

    pub(super) fn any_waits_for_sync(&self) -> bool {
        !self.unsynced.is_empty()
    }

    /// The connections that can continue at once, each of them once.
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
        let DeadlineLists { handshake, transfer, idle, drain, delay } = &self.deadlines;
        let idle = idle.as_ref().and_then(Deadlines::next);
        [handshake.next(), transfer.next(), idle, drain.next(), delay.next()].into_iter().flatten().min()
    }

    /// A connection that is overdue at `now`, and the reason to close it.
    pub(super) fn overdue(&self, now: Instant) -> Option<(usize, CloseReason)> {
        let DeadlineLists { handshake, transfer, idle, drain, .. } = &self.deadlines;
        let handshake = || handshake.expired(now).map(|token| (token, CloseReason::HANDSHAKE_TOO_SLOW));
        let idle = || idle.as_ref()?.expired(now).map(|token| (token, CloseReason::Idle));
        let drain = || drain.expired(now).map(|token| (token, CloseReason::Completed));
        transfer.expired(now).map(|token| (token, CloseReason::TooSlow)).or_else(handshake).or_else(idle).or_else(drain)
    }

    /// A connection whose delay is over at `now`.
    pub(super) fn delayed_until(&self, now: Instant) -> Option<usize> {
        self.deadlines.delay.expired(now)
    }

    fn entry(&mut self, id: ConnectionId) -> Option<&mut Entry> {
        self.entries.get_mut(id.token as usize).filter(|entry| entry.connection.id() == id)
    }

    fn set_deadline(&mut self, token: usize, timeout: Option<Timeout>, now: Instant) {
        if let Some(deadlines) = timeout.and_then(|timeout| self.deadlines.of(timeout)) {
            deadlines.touch(&mut self.entries, token, now);
        }
    }
}
