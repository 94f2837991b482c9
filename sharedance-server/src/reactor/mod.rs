//! One worker: waits for readiness, lets connections go on, accepts new ones, ends what is overdue.
//!
//! The clocks are read once a turn, and once more after a sync. A connection that is over within the call that accepted it
//! never enters the table or the poller. What is registered for a connection is the business of [`Connections`] alone.
//! Every loop has a named cap. Level mode: the poller reports again what a cap left undone.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use polling::{Event, PollMode, Poller};
use sharedance_core::store::{Store, StoreError};

use crate::commands::Service;
use crate::connection::{Connection, End, Rules};
use crate::listen::Admission;
use crate::listen::{Listener, Spare, break_off};
use crate::locks::{LockWakeup, Locks};

mod connections;
mod deadlines;
mod desk;
mod door;
mod readiness;
mod reports;
#[cfg(test)]
mod tests;

use connections::Connections;
use desk::Desk;
use door::ACCEPTS_PER_TURN;
pub(crate) use door::Shortage;
use readiness::Readiness;
use reports::report;

/// Overdue connections closed in one turn: thousands may have fallen silent at the same time.
const CLOSES_PER_TURN: usize = 1024;

/// How long answers that are being sent may take once the server is to stop.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// What the workers of a server share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) rules: Rules,
    pub(crate) service: Service,
    /// How long a connection may rest between its requests, where it may have several.
    pub(crate) rest_timeout: Option<Duration>,
    /// The most connections that may be open and waiting for something. The descriptors beyond are the store's.
    pub(crate) max_waiting: usize,
    pub(crate) waiting: AtomicUsize,
    pub(crate) shortage: Shortage,
    /// Set once, when the server is to stop; the pollers are notified then.
    pub(crate) stopping: AtomicBool,
}

/// A worker: its sockets, its connections, its poller.
pub(crate) struct Reactor {
    desk: Desk,
    poller: Arc<Poller>,
    /// Registered under the keys from 0.
    listeners: Vec<Listener>,
    connections: Connections,
    /// Accepted in this turn and not yet served; empty between turns.
    arrivals: Vec<OwnedFd>,
    wakeups: Vec<LockWakeup>,
    next_serial: u32,
    spare: Spare,
    admission: Admission,
}

impl Reactor {
    pub(crate) fn new(
        poller: Arc<Poller>,
        listeners: Vec<Listener>,
        number: u32,
        shared: Arc<Shared>,
        locks: Arc<Locks>,
        store: Store,
    ) -> io::Result<Reactor> {
        for (key, listener) in listeners.iter().enumerate() {
            register(&poller, listener, Event::readable(key))?;
        }
        let (idle_timeout, rest_timeout) = (shared.rules.idle_timeout, shared.rest_timeout);
        Ok(Reactor {
            spare: Spare::new(),
            connections: Connections::new(Arc::clone(&poller), listeners.len(), idle_timeout, rest_timeout),
            arrivals: Vec::with_capacity(ACCEPTS_PER_TURN),
            wakeups: Vec::new(),
            next_serial: 0,
            admission: Admission::default(),
            desk: Desk::new(number, shared, locks, store),
            poller,
            listeners,
        })
    }

    /// Serves until the server is to stop and what is being answered is sent.
    ///
    /// # Errors
    /// The poller failed.
    pub(crate) fn run(mut self) -> io::Result<()> {
        let mut readiness = Readiness::new(Arc::clone(&self.poller));
        let mut stop_by = None;
        loop {
            readiness.wait(self.wait_time(stop_by))?;
            self.turn(readiness.keys())?;

            if stop_by.is_none() && self.desk.shared.stopping.load(Ordering::SeqCst) {
                self.stop_accepting()?;
                stop_by = Some(self.desk.now + STOP_GRACE);
            }
            if let Some(by) = stop_by {
                self.close_all(by)?;
                if self.connections.is_empty() {
                    return Ok(());
                }
            }
        }
    }

    /// One pass over the sources that are ready, which have these `keys`, and over everything that is due.
    fn turn(&mut self, keys: &[usize]) -> io::Result<()> {
        self.desk.read_clocks();
        // What arrives while this turn lasts is seen in the next one, and not too late for that.
        let seen_at = self.desk.now;

        // The backlogs first, since they are short: a client that finds one full waits for a second. An event may
        // outlive its connection within a turn; a connection that got the key meanwhile finds that there is nothing to
        // do.
        for &key in keys {
            if self.connections.token_of(key).is_none() {
                self.accept(key)?;
            }
        }
        let unfinished = self.connections.take_unfinished();
        for &key in keys {
            if let Some(token) = self.connections.token_of(key)
                && self.connections.get_mut(token).is_some_and(|connection| !connection.is_unfinished())
            {
                self.advance(token)?;
            }
        }
        for id in unfinished {
            if self.connections.find(id).is_some_and(|connection| connection.is_unfinished()) {
                self.advance(id.token as usize)?;
            }
        }
        self.serve_arrivals()?;
        self.sync()?;
        self.close_overdue(seen_at)?;
        self.see_to_locks()?;
        self.resume_accepting()?;
        Ok(())
    }

    /// How long the next turn may wait for readiness; as long as it takes, without a number.
    fn wait_time(&self, stop_by: Option<Instant>) -> Option<Duration> {
        let Desk { number, locks, .. } = &self.desk;
        if self.connections.have_work() || locks.has_wakeups(*number) {
            return Some(Duration::ZERO);
        }
        let deadlines = [self.connections.next_deadline(), self.admission.resumes_at(), locks.next_deadline(), stop_by];
        let deadline = deadlines.into_iter().flatten().min()?;
        // Not counted from the beginning of the turn: nothing is to be late by the time that the turn took.
        Some(deadline.saturating_duration_since((self.desk.clock)()))
    }

    /// Lets a connection go on.
    fn advance(&mut self, token: usize) -> io::Result<()> {
        let Some(connection) = self.connections.get_mut(token) else {
            return Ok(());
        };
        let mut turn = self.desk.turn(connection.id());
        let result = connection.advance(&mut turn);
        if let Some(remark) = turn.remark {
            self.desk.report(&remark);
        }
        match result {
            Ok(()) => self.connections.update(token, self.desk.now),
            Err(end) => self.close(token, &end),
        }
    }

    /// Writes to the disk what this turn has stored, once for all connections, and lets the connections go on that wait
    /// for it. What they store now is for the next turn, which does not wait then.
    fn sync(&mut self) -> io::Result<()> {
        if !self.connections.any_awaits_sync() && !self.desk.store.owes_sync() {
            return Ok(());
        }
        let synced = self.desk.store.sync().map_err(|error| self.desk.report(&End::StoreFailed(error)));
        // A sync may take seconds. They are not the peers' seconds, and the waits for locks go on meanwhile.
        self.desk.read_clocks();
        for id in self.connections.take_unsynced() {
            let Some(connection) = self.connections.find(id) else {
                continue;
            };
            connection.release();
            match synced {
                Ok(()) => self.advance(id.token as usize)?,
                Err(()) => self.close(id.token as usize, &End::StoreFailed(StoreError::ReadOnly))?,
            }
        }
        Ok(())
    }

    /// The one place where a connection of the table is closed.
    fn close(&mut self, token: usize, end: &End) -> io::Result<()> {
        let connection = self.connections.remove(token)?;
        self.end(connection, end);
        self.desk.shared.waiting.fetch_sub(1, Ordering::Relaxed);
        self.spare.refill();
        self.admission.room_appeared(self.desk.now);
        Ok(())
    }

    fn end(&mut self, connection: Connection, end: &End) {
        let is_undecided = connection.is_undecided();
        let socket = self.part_with(connection);
        if end.is_without_verdict() && is_undecided {
            break_off(socket);
        } else {
            drop(socket);
        }
        self.desk.report(end);
    }

    fn part_with(&mut self, connection: Connection) -> OwnedFd {
        self.desk.counters.connections_closed.add(1);
        connection.release_locks(&self.desk.locks, self.desk.now)
    }

    /// Ends locks and waits for locks, and lets those go on whose wait has ended.
    fn see_to_locks(&mut self) -> io::Result<()> {
        let Desk { number, locks, now, .. } = &self.desk;
        locks.expire(*number, *now);
        // What these lead to is for the next turn, which does not wait then.
        if !locks.has_wakeups(*number) {
            return Ok(());
        }
        let mut wakeups = std::mem::take(&mut self.wakeups);
        locks.take_wakeups(*number, &mut wakeups);
        for LockWakeup { connection: id, is_acquired } in wakeups.drain(..) {
            // It may be gone, and the lock that it was given went with it.
            if let Some(connection) = self.connections.find(id) {
                connection.end_lock_wait(is_acquired);
                self.advance(id.token as usize)?;
            }
        }
        self.wakeups = wakeups;
        Ok(())
    }

    /// Closes the connections that were overdue at `seen_at`, when readiness was looked at last.
    fn close_overdue(&mut self, seen_at: Instant) -> io::Result<()> {
        // The next turn, which does not wait then, closes what the cap leaves.
        for _ in 0..CLOSES_PER_TURN {
            let Some((token, end)) = self.connections.overdue(seen_at) else {
                break;
            };
            self.close(token, &end)?;
        }
        Ok(())
    }

    /// Closes those who are not being answered any more, or all, once there is no time left for that.
    fn close_all(&mut self, by: Instant) -> io::Result<()> {
        let is_over = |connection: &Connection| by <= self.desk.now || !connection.is_being_answered();
        let tokens = self.connections.tokens(is_over);
        tokens.into_iter().try_for_each(|token| self.close(token, &End::Stopped))
    }
}

#[allow(unsafe_code)]
fn register(poller: &Poller, source: &impl AsFd, interest: Event) -> io::Result<()> {
    let source = source.as_fd().as_raw_fd();
    // SAFETY: the poller wants a source to be deleted from it before it is closed. Sources are listeners, which
    // `Reactor::stop_accepting` deletes before it drops them, and connections, which leave the table in
    // `Connections::remove` only. A worker that dies on an error drops its sources without; epoll and kqueue then forget
    // them by themselves, and no thread waits on that poller any more.
    unsafe { poller.add_with_mode(source, interest, PollMode::Level) }
}
