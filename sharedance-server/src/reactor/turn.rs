//! The loop of a worker, and the order of the work in a turn.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use log::Level;
use polling::Poller;
use rustix::io::Errno;
use sharedance_core::store::{Store, StoreError};

use super::context::{Shared, WorkerContext};
use super::handover::Handover;
use super::interest::Connections;
use super::readiness::Readiness;
use crate::connection::{CloseReason, Connection};
use crate::listen::{Acceptor, Denied, Listener, NewConnection, reset};
use crate::locks::{ConnectionId, LockWakeup, Locks};
use crate::process::logging::Kind;

/// Overdue connections closed in one turn: thousands may have become silent at the same time.
const CLOSES_PER_TURN: usize = 1024;

/// Handshake steps that need the expensive operations, in one turn: about a millisecond with a key on an elliptic curve. The
/// other handshakes wait for their turn, so that they do not delay the requests of open connections.
const HANDSHAKES_PER_TURN: usize = 8;

/// Waiting handshakes that one turn continues, those included that turn out to need no expensive step.
const WAITING_HANDSHAKES_PER_TURN: usize = 64;

/// How long the sending of responses may take once the server has to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// A worker: its listeners, its connections, its poller.
///
/// The clocks are read once a turn, and again after a sync. A connection that ends within the call that accepted it
/// enters neither the table nor the poller.
pub(crate) struct Reactor {
    pub(super) context: WorkerContext,
    poller: Arc<Poller>,
    acceptor: Acceptor,
    handover: Arc<Handover>,
    pub(super) connections: Connections,
    /// Empty between turns.
    wakeups: Vec<LockWakeup>,
    next_serial: u32,
}

impl Reactor {
    pub(crate) fn new(
        poller: Arc<Poller>,
        listeners: Vec<Listener>,
        worker: u32,
        shared: Arc<Shared>,
        locks: Arc<Locks>,
        handover: Arc<Handover>,
        store: Store,
    ) -> io::Result<Reactor> {
        let (timeout, idle_timeout) = (shared.connection_options.timeout, shared.idle_timeout);
        let acceptor = Acceptor::new(Arc::clone(&poller), listeners)?;
        Ok(Reactor {
            context: WorkerContext::new(worker, shared, locks, store),
            connections: Connections::new(Arc::clone(&poller), acceptor.len(), timeout, idle_timeout),
            poller,
            acceptor,
            handover,
            wakeups: Vec::new(),
            next_serial: 0,
        })
    }

    /// Serves until the server has to stop and the responses are sent.
    ///
    /// # Errors
    /// The poller failed.
    pub(crate) fn run(mut self) -> io::Result<()> {
        let mut readiness = Readiness::new(Arc::clone(&self.poller));
        let mut stop_by = None;
        loop {
            readiness.wait(self.wait_time(stop_by))?;
            self.turn(readiness.keys())?;

            if stop_by.is_none() && self.context.shared.is_stopping.load(Ordering::SeqCst) {
                self.stop_accepting()?;
                stop_by = Some(self.context.now + STOP_TIMEOUT);
            }
            if let Some(stop_by) = stop_by {
                self.close_all(stop_by)?;
                if self.connections.is_empty() {
                    self.end_handed_over();
                    return Ok(());
                }
            }
        }
    }

    /// One pass over the sources that are ready, which have these `keys`, and over everything that is due.
    pub(super) fn turn(&mut self, keys: &[usize]) -> io::Result<()> {
        self.context.read_clocks();
        // What arrives during this turn is seen in the next one, and is in time for that.
        let seen_at = self.context.now;
        self.context.latency.begin_turn(seen_at);

        // The listeners first, since their backlogs are short: a client that finds one full waits for a second. An event
        // may outlive its connection within a turn; a new connection with the same key then finds nothing to do.
        for &key in keys {
            if self.connections.token_of(key).is_none() {
                self.accept(key)?;
            }
        }
        let unfinished = self.connections.take_unfinished();
        // Those that wait already come first.
        let is_first_come = !self.connections.has_handshakes();
        self.context.transport.allow_handshakes(if is_first_come { HANDSHAKES_PER_TURN } else { 0 });
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
        self.continue_handshakes()?;
        self.serve_accepted()?;
        self.serve_handed_over()?;
        self.sync(seen_at)?;
        self.close_overdue(seen_at)?;
        self.end_lock_waits()?;
        self.end_delays(seen_at)?;
        self.context.latency.end_turn(seen_at);
        self.acceptor.resume(&self.context.counters, self.context.now)
    }

    /// How long the next turn may wait for readiness; `None` is without a limit.
    pub(super) fn wait_time(&self, stop_by: Option<Instant>) -> Option<Duration> {
        let WorkerContext { worker, locks, clock, .. } = &self.context;
        if self.connections.have_work() || locks.has_wakeups(*worker) || self.handover.has_connections(*worker) {
            return Some(Duration::ZERO);
        }
        let deadlines = [self.connections.next_deadline(), self.acceptor.resumes_at(), locks.next_deadline(), stop_by];
        let deadline = deadlines.into_iter().flatten().min()?;
        // Not counted from the beginning of the turn: a deadline must not be late by the length of the turn.
        Some(deadline.saturating_duration_since(clock()))
    }

    /// Accepts connections from a listener. They are served after the open connections have had their turn.
    fn accept(&mut self, index: usize) -> io::Result<()> {
        let shared = &self.context.shared;
        let shortage = self.acceptor.accept(index, &shared.connection_limit, &shared.allowed);
        if let Some(denied) = self.acceptor.take_denied() {
            self.log_denied(denied);
        }
        match shortage {
            Some(reason) => {
                self.log_shortage(reason);
                self.acceptor.pause(&self.context.counters, self.context.now)
            }
            None => Ok(()),
        }
    }

    fn serve_accepted(&mut self) -> io::Result<()> {
        let mut accepted = self.acceptor.take_accepted();
        for connection in accepted.drain(..) {
            self.serve(connection)?;
        }
        self.acceptor.reuse(accepted);
        Ok(())
    }

    /// Continues the handshakes that wait for their turn.
    fn continue_handshakes(&mut self) -> io::Result<()> {
        if !self.connections.has_handshakes() {
            return Ok(());
        }
        self.context.transport.allow_handshakes(HANDSHAKES_PER_TURN);
        for _ in 0..WAITING_HANDSHAKES_PER_TURN {
            if !self.context.transport.may_handshake() {
                break;
            }
            let Some(id) = self.connections.take_handshake() else {
                break;
            };
            if self.connections.find(id).is_some() {
                self.advance(id.token as usize)?;
            }
        }
        // Of those that are new, none is served before those that still wait.
        if self.connections.has_handshakes() {
            self.context.transport.allow_handshakes(0);
        }
        Ok(())
    }

    /// Serves a connection that was accepted in this turn, and enters it into the table only if it has to wait.
    fn serve(&mut self, NewConnection { socket, listener, is_shared }: NewConnection) -> io::Result<()> {
        let id = self.next_id();
        let mut connection = Connection::new(socket, listener, id, self.context.now);
        self.context.counters.connections_opened.add(1);
        let may_wait = !self.context.shared.connection_limit.is_reached(0);
        let mut turn = self.context.turn(id);
        turn.may_wait = may_wait;
        let result = connection.advance(&mut turn);
        if let Some(refusal) = turn.refusal {
            self.context.log(&refusal);
        }
        if let Err(reason) = result {
            self.end(connection, &reason);
            return Ok(());
        }
        if !may_wait {
            return self.refuse(connection, Errno::MFILE);
        }
        let connection = match is_shared {
            true => self.hand_over(connection),
            false => Some(connection),
        };
        match connection {
            Some(connection) => self.insert(connection),
            None => Ok(()),
        }
    }

    fn next_id(&mut self) -> ConnectionId {
        self.next_serial = self.next_serial.wrapping_add(1);
        let token = self.connections.next_token() as u32;
        ConnectionId { worker: self.context.worker, token, serial: self.next_serial }
    }

    /// Enters a connection, which has the next id, into the table.
    fn insert(&mut self, connection: Connection) -> io::Result<()> {
        let registered = match self.connections.register(&connection) {
            Ok(registered) => registered,
            // The kernel watches no more descriptors: this connection is refused, the others are served.
            Err(error) if is_shortage(&error) => return self.refuse(connection, Errno::NOMEM),
            Err(error) => return Err(error),
        };
        self.context.shared.connection_limit.add_connection();
        self.handover.add_connection(self.context.worker);
        self.connections.insert(connection, registered, self.context.now)
    }

    /// Hands over a connection to a worker that has fewer, or returns it.
    fn hand_over(&self, connection: Connection) -> Option<Connection> {
        match self.handover.target(self.context.worker) {
            Some(target) if connection.is_movable() => self.handover.send(target, connection),
            _ => Some(connection),
        }
    }

    /// Enters the connections that other workers have handed over into the table.
    fn serve_handed_over(&mut self) -> io::Result<()> {
        for mut connection in self.handover.take(self.context.worker) {
            self.handover.remove_connection(self.context.worker);
            connection.set_id(self.next_id());
            self.insert(connection)?;
        }
        Ok(())
    }

    /// Ends the connections that were handed over while this worker has stopped.
    fn end_handed_over(&mut self) {
        for connection in self.handover.close(self.context.worker) {
            self.end(connection, &CloseReason::Stopping);
        }
    }

    /// Resets a connection that would have to wait, where no more may.
    fn refuse(&mut self, connection: Connection, reason: Errno) -> io::Result<()> {
        self.context.counters.connections_rejected.add(1);
        reset(self.dissolve(connection));
        self.log_shortage(reason);
        self.acceptor.count_refusal(&self.context.counters, self.context.now)
    }

    /// Advances a connection of the table.
    fn advance(&mut self, token: usize) -> io::Result<()> {
        let Some(connection) = self.connections.get_mut(token) else {
            return Ok(());
        };
        let mut turn = self.context.turn(connection.id());
        let result = connection.advance(&mut turn);
        if let Some(refusal) = turn.refusal {
            self.context.log(&refusal);
        }
        match result {
            Ok(()) => self.connections.update(token, self.context.now),
            Err(reason) => self.close(token, &reason),
        }
    }

    /// Syncs the pairs of this turn, once for all connections, and advances the connections that wait for that. The pairs
    /// that they store now are synced in the next turn, which does not wait.
    fn sync(&mut self, turn_began: Instant) -> io::Result<()> {
        if !self.connections.any_waits_for_sync() && !self.context.store.needs_sync() {
            return Ok(());
        }
        let began = (self.context.clock)();
        let synced = self.context.store.sync().map_err(|error| self.context.log(&CloseReason::StoreFailed(error)));
        // A sync may take seconds. They do not count against the peers, and waits for locks end meanwhile.
        self.context.read_clocks();
        self.context.latency.record_sync(turn_began, began, self.context.now);
        for id in self.connections.take_unsynced() {
            let Some(connection) = self.connections.find(id) else {
                continue;
            };
            connection.end_sync_wait();
            match synced {
                Ok(()) => self.advance(id.token as usize)?,
                Err(()) => self.close(id.token as usize, &CloseReason::StoreFailed(StoreError::ReadOnly))?,
            }
        }
        Ok(())
    }

    /// Ends locks and waits for locks that are due, and advances the connections whose wait has ended.
    fn end_lock_waits(&mut self) -> io::Result<()> {
        let WorkerContext { worker, locks, now, .. } = &self.context;
        locks.expire(*worker, *now);
        // Wake-ups that result from these are for the next turn, which does not wait.
        if !locks.has_wakeups(*worker) {
            return Ok(());
        }
        let mut wakeups = std::mem::take(&mut self.wakeups);
        locks.take_wakeups(*worker, &mut wakeups);
        for LockWakeup { connection: id, is_acquired } in wakeups.drain(..) {
            // If the connection has ended, so has the lock that it was given.
            if let Some(connection) = self.connections.find(id) {
                connection.end_lock_wait(is_acquired);
                self.advance(id.token as usize)?;
            }
        }
        self.wakeups = wakeups;
        Ok(())
    }

    /// Advances the connections whose delay was over at `seen_at`: they send their response, and end.
    fn end_delays(&mut self, seen_at: Instant) -> io::Result<()> {
        for _ in 0..CLOSES_PER_TURN {
            let Some(token) = self.connections.delayed_until(seen_at) else {
                break;
            };
            if let Some(connection) = self.connections.get_mut(token) {
                connection.end_delay();
            }
            self.advance(token)?;
        }
        Ok(())
    }

    /// Closes the connections that were overdue at `seen_at`, when readiness was last read.
    fn close_overdue(&mut self, seen_at: Instant) -> io::Result<()> {
        // The next turn, which does not wait, closes what the cap leaves.
        for _ in 0..CLOSES_PER_TURN {
            let Some((token, reason)) = self.connections.overdue(seen_at) else {
                break;
            };
            self.close(token, &reason)?;
        }
        Ok(())
    }

    /// Serves the connections that have been made and the requests that have arrived, and closes the listeners.
    /// Connections that another server may accept are left to it.
    fn stop_accepting(&mut self) -> io::Result<()> {
        for index in 0..self.acceptor.len() {
            if !self.acceptor.outlives_server(index) {
                self.accept(index)?;
            }
        }
        self.serve_accepted()?;
        self.acceptor.close()?;
        self.connections.tokens(|_| true).into_iter().try_for_each(|token| self.advance(token))
    }

    /// Closes the connections that have no responses to send, or all at `stop_by`.
    fn close_all(&mut self, stop_by: Instant) -> io::Result<()> {
        let is_over = |connection: &Connection| stop_by <= self.context.now || !connection.has_responses();
        let tokens = self.connections.tokens(is_over);
        tokens.into_iter().try_for_each(|token| self.close(token, &CloseReason::Stopping))
    }

    /// Closes a connection of the table. No other function does.
    fn close(&mut self, token: usize, reason: &CloseReason) -> io::Result<()> {
        let connection = self.connections.remove(token)?;
        self.end(connection, reason);
        self.context.shared.connection_limit.remove_connection();
        self.handover.remove_connection(self.context.worker);
        self.acceptor.connection_closed(self.context.now);
        Ok(())
    }

    fn end(&mut self, mut connection: Connection, reason: &CloseReason) {
        reason.count(&self.context.counters);
        if reason.is_without_decision() && connection.is_undecided() {
            reset(self.dissolve(connection));
        } else {
            connection.send_end(&mut self.context.transport);
            drop(self.dissolve(connection));
        }
        self.context.log(reason);
    }

    /// Takes a connection apart: its locks are released, and its socket is left.
    fn dissolve(&mut self, connection: Connection) -> OwnedFd {
        self.context.counters.connections_closed.add(1);
        connection.release_locks(&self.context.locks, self.context.now)
    }

    fn log_denied(&self, Denied { count, first }: Denied) {
        self.context.counters.connections_denied.add(count);
        let line = format_args!("closed a connection of {first}, which no network of --allow contains");
        self.context.shared.service.log.log(Kind::Denied, Level::Warn, self.context.now, line);
    }

    fn log_shortage(&self, reason: Errno) {
        let shared = &self.context.shared;
        let open = shared.connection_limit.waiting();
        let line = format_args!("refusing connections, with {open} open: {reason}; raise the limit on open files");
        shared.service.log.log(Kind::Shortage, Level::Warn, self.context.now, line);
    }
}

fn is_shortage(error: &io::Error) -> bool {
    [Errno::NOMEM, Errno::NOSPC].iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}
