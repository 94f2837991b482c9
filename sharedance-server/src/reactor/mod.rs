//! One worker: waits for readiness, lets connections go on, accepts new ones, ends what is overdue.
//!
//! The clocks are read once a turn. A connection that is over within the call that accepted it never enters the table or
//! the poller. Every loop has a named cap. Level mode: what a cap left undone is reported again by the poller.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use polling::{Event, PollMode, Poller};
use sharedance_core::store::{Store, StoreError};
use slab::Slab;

use crate::admission::Admission;
use crate::commands::Service;
use crate::connection::{Awaits, Connection, End, Pace, Patience, Rules};
use crate::deadlines::Deadlines;
use crate::listener::{Listener, Spare, break_off};
use crate::locks::{Locks, Verdict};

mod desk;
mod door;
mod readiness;
mod reports;

use desk::Desk;
use door::ACCEPTS_PER_TURN;
pub(crate) use door::Shortage;
use readiness::Readiness;
use reports::Reports;

/// Overdue connections closed in one turn: thousands may have fallen silent at the same time.
const CLOSES_PER_TURN: usize = 1024;

/// How long a peer that sends on behind its request may take to notice that it was answered.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

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
    /// The key of the first connection in the table; the others follow.
    first_key: usize,
    connections: Slab<Connection>,
    /// Accepted in this turn and not yet served; empty between turns.
    arrivals: Vec<OwnedFd>,
    /// Who could go on at once, with the serial.
    unfinished: Vec<(usize, u32)>,
    /// Who waits for a sync, with the serial.
    unsynced: Vec<(usize, u32)>,
    verdicts: Vec<Verdict>,
    next_serial: u32,
    /// Connections with something under way.
    idle: Deadlines,
    /// Those between requests, if that has an end.
    resting: Option<Deadlines>,
    draining: Deadlines,
    spare: Spare,
    admission: Admission,
    reports: Reports,
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
        Ok(Reactor {
            idle: Deadlines::new(shared.rules.idle_timeout),
            resting: shared.rest_timeout.map(Deadlines::new),
            draining: Deadlines::new(DRAIN_TIMEOUT),
            spare: Spare::new(),
            connections: Slab::new(),
            arrivals: Vec::with_capacity(ACCEPTS_PER_TURN),
            unfinished: Vec::new(),
            unsynced: Vec::new(),
            verdicts: Vec::new(),
            next_serial: 0,
            admission: Admission::default(),
            reports: Reports::default(),
            first_key: listeners.len(),
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
            let deadline = self.next_deadline(stop_by);
            readiness.wait(deadline.map(|deadline| deadline.saturating_duration_since(self.desk.now)))?;
            self.desk.read_clocks();

            // The backlogs first, since they are short: whoever does not fit in waits for a second. An event may
            // outlive its connection within a turn: whoever got the key meanwhile finds that there is nothing to do.
            let first_key = self.first_key;
            for &key in readiness.keys().iter().filter(|&&key| key < first_key) {
                self.accept(key)?;
            }
            let unfinished = std::mem::take(&mut self.unfinished);
            for &key in readiness.keys().iter().filter(|&&key| key >= first_key) {
                self.advance_if(key - first_key, |connection| !connection.is_unfinished())?;
            }
            for (token, serial) in unfinished {
                self.advance_if(token, |connection| connection.serial() == serial && connection.is_unfinished())?;
            }
            self.serve_arrivals()?;
            self.sync()?;
            self.close_overdue()?;
            self.see_to_locks()?;
            self.resume_accepting()?;
            self.flush_if_due();

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

    fn next_deadline(&self, stop_by: Option<Instant>) -> Option<Instant> {
        let Desk { now, unix_time, number, locks, shared, .. } = &self.desk;
        if !self.unfinished.is_empty() || !self.unsynced.is_empty() || locks.has_mail(*number) {
            return Some(*now);
        }
        let flush_due = shared.service.flush.due_at();
        let deadlines = [
            self.idle.next(),
            self.resting.as_ref().and_then(Deadlines::next),
            self.draining.next(),
            self.admission.resumes_at(),
            locks.next_deadline(),
            flush_due.map(|due_at| *now + due_at.saturating_sub(*unix_time)),
            stop_by,
        ];
        deadlines.into_iter().flatten().min()
    }

    fn advance_if(&mut self, token: usize, condition: impl Fn(&Connection) -> bool) -> io::Result<()> {
        if self.connections.get(token).is_some_and(condition) { self.advance(token) } else { Ok(()) }
    }

    /// Lets a connection go on.
    fn advance(&mut self, token: usize) -> io::Result<()> {
        let Some(connection) = self.connections.get_mut(token) else {
            return Ok(());
        };
        let state = |connection: &Connection| (connection.awaits(), connection.patience(), connection.pace());
        let before = state(connection);
        let mut turn = self.desk.turn(token, connection.serial());
        let result = connection.advance(&mut turn);
        if let Some(remark) = turn.remark {
            self.reports.say(&remark, self.desk.now);
        }
        if let Err(end) = result {
            return self.close(token, &end);
        }
        if connection.is_unfinished() {
            self.unfinished.push((token, connection.serial()));
        }
        let after = state(connection);
        if after.0 == Awaits::Sync {
            self.unsynced.push((token, connection.serial()));
        }
        // What is asked of the poller stays as long as the answers wait for a sync: that comes within the turn.
        if after.0 != before.0 && after.0 != Awaits::Sync {
            let interest = interest(self.first_key + token, after.0);
            self.poller.modify_with_mode(&*connection, interest, PollMode::Level)?;
        }
        self.rewatch(token, (before.1, before.2), (after.1, after.2));
        Ok(())
    }

    /// Has the disk take what was written in this turn, once for all connections, and lets those go on whose answers
    /// have waited for that. What they write now is for the next turn, which does not wait then.
    fn sync(&mut self) -> io::Result<()> {
        if self.unsynced.is_empty() && !self.desk.store.owes_sync() {
            return Ok(());
        }
        let synced = self.desk.store.sync().map_err(|error| self.reports.say(&End::StoreFailed(error), self.desk.now));
        for (token, serial) in std::mem::take(&mut self.unsynced) {
            if let Some(connection) = self.connections.get_mut(token).filter(|it| it.serial() == serial) {
                connection.release();
                match synced {
                    Ok(()) => self.advance(token)?,
                    Err(()) => self.close(token, &End::StoreFailed(StoreError::ReadOnly))?,
                }
            }
        }
        Ok(())
    }

    /// Sets the deadline of a connection that has none.
    fn watch(&mut self, token: usize, patience: Patience) {
        match patience {
            Patience::UnderWay => self.idle.touch(token, self.desk.now),
            Patience::Draining => self.draining.touch(token, self.desk.now),
            Patience::Resting => {
                if let Some(resting) = &mut self.resting {
                    resting.touch(token, self.desk.now);
                }
            }
            Patience::Waiting => {}
        }
    }

    fn rewatch(&mut self, token: usize, before: (Patience, Pace), after: (Patience, Pace)) {
        if before.0 != after.0 {
            self.unwatch(token, before.0);
            self.watch(token, after.0);
        } else if before.1 != after.1 && after.0 != Patience::Draining {
            self.watch(token, after.0);
        }
    }

    fn unwatch(&mut self, token: usize, patience: Patience) {
        match patience {
            Patience::UnderWay => self.idle.remove(token),
            Patience::Draining => self.draining.remove(token),
            Patience::Resting => {
                if let Some(resting) = &mut self.resting {
                    resting.remove(token);
                }
            }
            Patience::Waiting => {}
        }
    }

    /// The one place where a connection of the table is closed.
    fn close(&mut self, token: usize, end: &End) -> io::Result<()> {
        for patience in [Patience::UnderWay, Patience::Resting, Patience::Draining] {
            self.unwatch(token, patience);
        }
        let connection = self.connections.remove(token);
        self.poller.delete(&connection)?;
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
        self.reports.say(end, self.desk.now);
    }

    fn part_with(&mut self, connection: Connection) -> OwnedFd {
        self.desk.counters.connections_closed.add(1);
        connection.leave(&self.desk.locks, self.desk.number, self.desk.now)
    }

    /// Ends locks and waits for locks, and lets those go on whose wait has ended.
    fn see_to_locks(&mut self) -> io::Result<()> {
        let Desk { number, locks, now, .. } = &self.desk;
        locks.expire(*number, *now);
        // What these lead to is for the next turn, which does not wait then.
        if !locks.has_mail(*number) {
            return Ok(());
        }
        let mut verdicts = std::mem::take(&mut self.verdicts);
        locks.receive(*number, &mut verdicts);
        for Verdict { party, locked } in verdicts.drain(..) {
            let token = party.token as usize;
            // It may be gone, and with it what it was given.
            if let Some(connection) = self.connections.get_mut(token).filter(|it| it.serial() == party.serial) {
                connection.decide(locked);
                self.advance(token)?;
            }
        }
        self.verdicts = verdicts;
        Ok(())
    }

    /// Deletes everything where a peer has ordered that for this time.
    fn flush_if_due(&mut self) {
        let Desk { shared, store, unix_time, now, .. } = &self.desk;
        if let Err(error) = shared.service.flush.run_if_due(*unix_time, store) {
            self.reports.say(&End::StoreFailed(error), *now);
        }
    }

    fn close_overdue(&mut self) -> io::Result<()> {
        // What the cap leaves is overdue in the next turn still, which does not wait then.
        for _ in 0..CLOSES_PER_TURN {
            if let Some(token) = self.idle.expired(self.desk.now) {
                self.close(token, &End::TooSlow)?;
            } else if let Some(token) = self.resting.as_ref().and_then(|resting| resting.expired(self.desk.now)) {
                self.close(token, &End::Idle)?;
            } else if let Some(token) = self.draining.expired(self.desk.now) {
                self.close(token, &End::Answered)?;
            } else {
                break;
            }
        }
        Ok(())
    }

    /// Closes those who are not being answered any more, or all, once there is no time left for that.
    fn close_all(&mut self, by: Instant) -> io::Result<()> {
        let is_over = |connection: &Connection| by <= self.desk.now || !connection.is_being_answered();
        let over = self.connections.iter().filter(|(_, connection)| is_over(connection));
        let tokens: Vec<usize> = over.map(|(token, _)| token).collect();
        tokens.into_iter().try_for_each(|token| self.close(token, &End::Stopped))
    }
}

/// What a connection asks of the poller: a function of what it waits for, and of nothing else.
fn interest(key: usize, awaits: Awaits) -> Event {
    match awaits {
        Awaits::Request | Awaits::Quiet => Event::readable(key),
        Awaits::Room => Event::writable(key),
        // A lock, or a sync, is not the poller's business, but a peer that is gone is, which it tells unasked.
        Awaits::Lock | Awaits::Sync => Event::none(key),
    }
}

#[allow(unsafe_code)]
fn register(poller: &Poller, source: &impl AsFd, interest: Event) -> io::Result<()> {
    let source = source.as_fd().as_raw_fd();
    // SAFETY: the poller wants a source to be deleted from it before it is closed. Sources are listeners, which
    // `Reactor::stop_accepting` deletes before it drops them, and connections, which leave the table in
    // `Reactor::close` only. A worker that dies on an error drops its sources without; epoll and kqueue then forget
    // them by themselves, and nobody waits on that poller any more.
    unsafe { poller.add_with_mode(source, interest, PollMode::Level) }
}
