//! One worker: waits for readiness, lets connections go on, accepts new ones, ends what is overdue.
//!
//! The clock is read once a turn. A connection that is over within the call that accepted it never enters the table or
//! the poller. Every loop has a named cap. Level mode: what a cap left undone is reported again by the poller.

use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use log::{debug, error, log_enabled, warn};
use polling::{Event, Events, PollMode, Poller};
use rustix::io::Errno;
use sharedance_core::store::Store;
use slab::Slab;

use crate::admission::Admission;
use crate::connection::{Awaits, Connection, End, Rules, Turn};
use crate::deadlines::Deadlines;
use crate::listener::{Accepted, Listener, Spare, break_off};
use crate::logging::{Chain, Throttle};

/// Events taken from the kernel at once. A turn with this many connections ready lasts some milliseconds.
const EVENTS_PER_TURN: NonZeroUsize = NonZeroUsize::new(256).expect("not zero");

/// Connections accepted from each listener in one turn: all that a backlog of the usual length holds, and so few that
/// those already connected wait for some milliseconds at most.
const ACCEPTS_PER_TURN: usize = 128;

/// Overdue connections closed in one turn: thousands may have fallen silent at the same time.
const CLOSES_PER_TURN: usize = 1024;

/// Connections accepted in one turn although all that may wait do wait: those whose request is there are served still.
const ARRIVALS_WHEN_FULL: usize = 8;

/// How long a peer that sends on behind its request may take to notice that it was answered.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// How long answers that are being sent may take once the server is to stop.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// What the workers of a server share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) rules: Rules,
    /// How much is read at first from a connection.
    pub(crate) read_len: usize,
    /// The most connections that may be open and waiting for something. The descriptors beyond are the store's.
    pub(crate) max_waiting: usize,
    pub(crate) waiting: AtomicUsize,
    pub(crate) shortage: Shortage,
    /// Set once, when the server is to stop; the pollers are notified then.
    pub(crate) stopping: AtomicBool,
}

/// What the workers need to know of each other once descriptors have run out.
#[derive(Debug, Default)]
pub(crate) struct Shortage {
    /// Set for good the first time. From then on workers accept one at a time, or one would get the descriptor that
    /// another has given up for refusing, and then has no more.
    has_come: AtomicBool,
    door: Mutex<()>,
    /// For saying so once, not once a worker.
    reports: Mutex<Throttle>,
}

/// A worker: its sockets, its connections, its poller.
pub(crate) struct Reactor {
    poller: Arc<Poller>,
    shared: Arc<Shared>,
    store: Store,
    /// Registered under the keys from 0.
    listeners: Vec<Listener>,
    /// The key of the first connection in the table; the others follow.
    first_key: usize,
    connections: Slab<Connection>,
    /// Accepted in this turn and not yet served; empty between turns.
    arrivals: Vec<OwnedFd>,
    idle: Deadlines,
    draining: Deadlines,
    scratch: Vec<u8>,
    spare: Spare,
    now: Instant,
    admission: Admission,
    oddities: Throttle,
    failures: Throttle,
}

impl Reactor {
    pub(crate) fn new(
        poller: Arc<Poller>,
        listeners: Vec<Listener>,
        shared: Arc<Shared>,
        store: Store,
    ) -> io::Result<Reactor> {
        for (key, listener) in listeners.iter().enumerate() {
            register(&poller, listener, Event::readable(key))?;
        }
        Ok(Reactor {
            idle: Deadlines::new(shared.rules.idle_timeout),
            draining: Deadlines::new(DRAIN_TIMEOUT),
            scratch: vec![0; shared.read_len],
            spare: Spare::new(),
            now: Instant::now(),
            connections: Slab::new(),
            arrivals: Vec::with_capacity(ACCEPTS_PER_TURN),
            admission: Admission::default(),
            oddities: Throttle::default(),
            failures: Throttle::default(),
            first_key: listeners.len(),
            poller,
            shared,
            store,
            listeners,
        })
    }

    /// Serves until the server is to stop and what is being answered is sent.
    ///
    /// # Errors
    /// The poller failed.
    pub(crate) fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS_PER_TURN);
        let mut stop_by = None;
        loop {
            events.clear();
            match self.next_deadline(stop_by) {
                Some(deadline) => self.poller.wait_deadline(&mut events, deadline)?,
                None => self.poller.wait(&mut events, None)?,
            };
            self.now = Instant::now();

            // The backlogs first, since they are short: whoever does not fit in waits for a second. An event may
            // outlive its connection within a turn: whoever got the key meanwhile finds that there is nothing to do.
            let first_key = self.first_key;
            for event in events.iter().filter(|event| event.key < first_key) {
                self.accept(event.key)?;
            }
            for event in events.iter().filter(|event| event.key >= first_key) {
                self.advance(event.key - first_key)?;
            }
            self.serve_arrivals()?;
            self.close_overdue()?;
            self.resume_accepting()?;

            if stop_by.is_none() && self.shared.stopping.load(Ordering::SeqCst) {
                self.stop_accepting()?;
                stop_by = Some(self.now + STOP_GRACE);
            }
            if stop_by.is_some_and(|by| self.connections.is_empty() || by <= self.now) {
                return self.close_where(|_| true);
            }
        }
    }

    fn next_deadline(&self, stop_by: Option<Instant>) -> Option<Instant> {
        let deadlines = [self.idle.next(), self.draining.next(), self.admission.resumes_at(), stop_by];
        deadlines.into_iter().flatten().min()
    }

    /// Takes those who wait at a listener. They are served once those connected before have had their turn.
    fn accept(&mut self, index: usize) -> io::Result<()> {
        let mut exhausted = None;
        for _ in 0..ACCEPTS_PER_TURN {
            if self.arrivals.len() >= ARRIVALS_WHEN_FULL && self.open() >= self.shared.max_waiting {
                break;
            }
            let shortage = &self.shared.shortage;
            let door = shortage.has_come.load(Ordering::Relaxed).then(|| shortage.door.lock());
            match self.listeners[index].accept() {
                Accepted::Connection(socket) => self.arrivals.push(socket),
                Accepted::Gone => {}
                Accepted::NoneWaiting => break,
                // Once more, alone.
                Accepted::Exhausted(_) if door.is_none() => shortage.has_come.store(true, Ordering::Relaxed),
                Accepted::Exhausted(reason) => {
                    self.spare.refuse(&self.listeners[index], ACCEPTS_PER_TURN);
                    exhausted = Some(reason);
                    break;
                }
            }
        }
        match exhausted {
            Some(reason) => {
                self.report_shortage(reason);
                self.rest_from_accepting()
            }
            None => Ok(()),
        }
    }

    fn serve_arrivals(&mut self) -> io::Result<()> {
        let mut arrivals = std::mem::take(&mut self.arrivals);
        for socket in arrivals.drain(..) {
            self.serve(socket)?;
        }
        self.arrivals = arrivals;
        Ok(())
    }

    /// Connections that are open, of all workers, as far as this one knows.
    fn open(&self) -> usize {
        self.shared.waiting.load(Ordering::Relaxed) + self.arrivals.len()
    }

    /// Serves a connection that was accepted just now, and enters it into the table only if it has to wait.
    fn serve(&mut self, socket: OwnedFd) -> io::Result<()> {
        let mut connection = Connection::new(socket, self.now);
        if let Err(end) = connection.advance(&mut Turn {
            now: self.now,
            store: &self.store,
            rules: &self.shared.rules,
            scratch: &mut self.scratch,
        }) {
            self.end(connection, &end);
            return Ok(());
        }
        if self.open() >= self.shared.max_waiting {
            return self.refuse(connection, Errno::MFILE);
        }
        let entry = self.connections.vacant_entry();
        let token = entry.key();
        let interest = interest(self.first_key + token, connection.awaits());
        match register(&self.poller, &connection, interest) {
            Ok(()) => {}
            // The kernel watches no more descriptors: this peer is refused, the others are served on.
            Err(error) if is_shortage(&error) => return self.refuse(connection, Errno::NOMEM),
            Err(error) => return Err(error),
        }
        entry.insert(connection);
        self.shared.waiting.fetch_add(1, Ordering::Relaxed);
        self.idle.touch(token, self.now);
        Ok(())
    }

    /// Lets a connection that has become ready go on.
    fn advance(&mut self, token: usize) -> io::Result<()> {
        let Some(connection) = self.connections.get_mut(token) else {
            return Ok(());
        };
        let before = (connection.awaits(), connection.moved());
        if let Err(end) = connection.advance(&mut Turn {
            now: self.now,
            store: &self.store,
            rules: &self.shared.rules,
            scratch: &mut self.scratch,
        }) {
            return self.close(token, &end);
        }
        let awaits = connection.awaits();
        if awaits != before.0 {
            let interest = interest(self.first_key + token, awaits);
            self.poller.modify_with_mode(&*connection, interest, PollMode::Level)?;
        }
        let has_moved = before != (awaits, connection.moved());
        match awaits {
            Awaits::Request | Awaits::Room if has_moved => self.idle.touch(token, self.now),
            Awaits::Quiet if awaits != before.0 => {
                self.idle.remove(token);
                self.draining.touch(token, self.now);
            }
            Awaits::Request | Awaits::Room | Awaits::Quiet => {}
        }
        Ok(())
    }

    /// The one place where a connection of the table is closed.
    fn close(&mut self, token: usize, end: &End) -> io::Result<()> {
        self.idle.remove(token);
        self.draining.remove(token);
        let connection = self.connections.remove(token);
        self.poller.delete(&connection)?;
        self.end(connection, end);
        self.shared.waiting.fetch_sub(1, Ordering::Relaxed);
        self.spare.refill();
        self.admission.room_appeared(self.now);
        Ok(())
    }

    fn end(&mut self, connection: Connection, end: &End) {
        if end.is_without_verdict() && connection.awaits() != Awaits::Quiet {
            break_off(OwnedFd::from(connection));
        } else {
            drop(connection);
        }
        self.report(end);
    }

    fn close_overdue(&mut self) -> io::Result<()> {
        // What the cap leaves is overdue in the next turn still, which does not wait then.
        for _ in 0..CLOSES_PER_TURN {
            if let Some(token) = self.idle.expired(self.now) {
                self.close(token, &End::TooSlow)?;
            } else if let Some(token) = self.draining.expired(self.now) {
                self.close(token, &End::Answered)?;
            } else {
                break;
            }
        }
        Ok(())
    }

    fn close_where(&mut self, condition: impl Fn(&Connection) -> bool) -> io::Result<()> {
        let all = self.connections.iter();
        let tokens: Vec<usize> = all.filter(|(_, connection)| condition(connection)).map(|(token, _)| token).collect();
        for token in tokens {
            self.close(token, &End::Stopped)?;
        }
        Ok(())
    }

    /// Refuses a connection that would have to wait, where too many do already.
    fn refuse(&mut self, connection: Connection, reason: Errno) -> io::Result<()> {
        break_off(OwnedFd::from(connection));
        self.report_shortage(reason);
        if self.admission.refused(self.now) { self.rest_from_accepting() } else { Ok(()) }
    }

    fn rest_from_accepting(&mut self) -> io::Result<()> {
        if self.admission.rest(self.now) { self.listen_for(Event::none) } else { Ok(()) }
    }

    fn resume_accepting(&mut self) -> io::Result<()> {
        if self.admission.resume(self.now) { self.listen_for(Event::readable) } else { Ok(()) }
    }

    fn listen_for(&self, interest: fn(usize) -> Event) -> io::Result<()> {
        let mut listeners = self.listeners.iter().enumerate();
        listeners.try_for_each(|(key, listener)| self.poller.modify_with_mode(listener, interest(key), PollMode::Level))
    }

    /// Serves those who have connected already, then closes the door, and all connections but those being answered.
    fn stop_accepting(&mut self) -> io::Result<()> {
        (0..self.listeners.len()).try_for_each(|index| self.accept(index))?;
        self.serve_arrivals()?;
        for listener in self.listeners.drain(..) {
            self.poller.delete(&listener)?;
        }
        let tokens: Vec<usize> = self.connections.iter().map(|(token, _)| token).collect();
        for token in tokens {
            self.advance(token)?;
        }
        self.close_where(|connection| connection.awaits() == Awaits::Request)
    }

    fn report_shortage(&self, reason: Errno) {
        let reports = &self.shared.shortage.reports;
        let permitted = reports.lock().unwrap_or_else(PoisonError::into_inner).permit(self.now);
        if let Some(unsaid) = permitted {
            let waiting = self.shared.waiting.load(Ordering::Relaxed);
            warn!("refusing connections, with {waiting} open: {reason}; raise the limit on open files{unsaid}");
        }
    }

    /// Says what a connection's end means to the operator, if anything: no key, no value, and no flood.
    fn report(&mut self, end: &End) {
        match end {
            End::Answered | End::PeerClosed | End::Stopped => {}
            End::StoreFailed(error) => {
                if let Some(unsaid) = self.failures.permit(self.now) {
                    error!("a request failed in the store: {}{unsaid}", Chain(error));
                }
            }
            End::OverBudget => {
                if let Some(unsaid) = self.failures.permit(self.now) {
                    warn!("a request was {end}; --inflight sets how much may be{unsaid}");
                }
            }
            End::Refused(_) | End::TooSlow | End::Failed(_) => {
                if log_enabled!(log::Level::Debug)
                    && let Some(unsaid) = self.oddities.permit(self.now)
                {
                    debug!("a connection was closed: {end}{unsaid}");
                }
            }
        }
    }
}

/// What a connection asks of the poller: a function of what it waits for, and of nothing else.
fn interest(key: usize, awaits: Awaits) -> Event {
    match awaits {
        Awaits::Request | Awaits::Quiet => Event::readable(key),
        Awaits::Room => Event::writable(key),
    }
}

fn is_shortage(error: &io::Error) -> bool {
    [Errno::NOMEM, Errno::NOSPC].iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
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
