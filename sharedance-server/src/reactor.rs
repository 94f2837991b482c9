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

use crate::connection::{Awaits, Connection, End, Rules, Turn};
use crate::deadlines::Deadlines;
use crate::listener::{Accepted, Listener, Spare};
use crate::logging::{Chain, Throttle};

/// Events taken from the kernel at once. A turn with this many connections ready lasts some milliseconds.
const EVENTS_PER_TURN: NonZeroUsize = NonZeroUsize::new(256).expect("not zero");

/// Connections accepted from each listener in one turn: all that a backlog of the usual length holds, and so few that
/// those already connected wait for some milliseconds at most.
const ACCEPTS_PER_TURN: usize = 128;

/// Overdue connections closed in one turn: thousands may have fallen silent at the same time.
const CLOSES_PER_TURN: usize = 1024;

/// How long nothing is accepted after descriptors ran out, unless one of ours is closed before: with
/// [`ACCEPTS_PER_TURN`], the most that is spent on refusing is a hundredth of a core.
const PAUSE: Duration = Duration::from_millis(200);

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
    /// For saying once, not once a worker, that there are no more descriptors.
    pub(crate) exhaustion: Mutex<Throttle>,
    /// Set once, when the server is to stop; the pollers are notified then.
    pub(crate) stopping: AtomicBool,
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
    /// Until when nothing is accepted.
    paused_until: Option<Instant>,
    refusals: Throttle,
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
            paused_until: None,
            refusals: Throttle::default(),
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
        let deadlines = [self.idle.next(), self.draining.next(), self.paused_until, stop_by];
        deadlines.into_iter().flatten().min()
    }

    /// Takes those who wait at a listener. They are served once those connected before have had their turn.
    fn accept(&mut self, index: usize) -> io::Result<()> {
        for _ in 0..ACCEPTS_PER_TURN {
            if !self.arrivals.is_empty() && self.open() >= self.shared.max_waiting {
                // Most will be over once they are served. Who is left over then is accepted in the next turn.
                break;
            }
            match self.listeners[index].accept() {
                Accepted::Connection(socket) => self.arrivals.push(socket),
                Accepted::Gone => {}
                Accepted::NoneWaiting => break,
                Accepted::Exhausted(reason) => return self.refuse_all(reason),
            }
        }
        Ok(())
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
        if self.open() >= self.shared.max_waiting {
            return self.refuse_all(Errno::MFILE);
        }
        let mut connection = Connection::new(socket, self.now);
        if let Err(end) = connection.advance(&mut Turn {
            now: self.now,
            store: &self.store,
            rules: &self.shared.rules,
            scratch: &mut self.scratch,
        }) {
            self.report(&end);
            return Ok(());
        }
        let entry = self.connections.vacant_entry();
        let token = entry.key();
        let interest = interest(self.first_key + token, connection.awaits());
        match register(&self.poller, &connection, interest) {
            Ok(()) => {}
            // The kernel watches no more descriptors: this peer is refused, the others are served on.
            Err(error) if is_shortage(&error) => return self.refuse_all(Errno::NOMEM),
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
        drop(connection);
        self.shared.waiting.fetch_sub(1, Ordering::Relaxed);
        if self.paused_until.is_some() {
            self.paused_until = Some(self.now);
        }
        self.report(end);
        Ok(())
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

    /// Lets those who wait at the listeners know that there is no room for them, and accepts nobody for a while.
    fn refuse_all(&mut self, reason: Errno) -> io::Result<()> {
        let exhaustion = &self.shared.exhaustion;
        let permitted = exhaustion.lock().unwrap_or_else(PoisonError::into_inner).permit(self.now);
        if let Some(unsaid) = permitted {
            let waiting = self.shared.waiting.load(Ordering::Relaxed);
            warn!("refusing connections, with {waiting} open: {reason}; raise the limit on open files{unsaid}");
        }
        if self.paused_until.is_none() {
            for (key, listener) in self.listeners.iter().enumerate() {
                self.spare.refuse(listener, ACCEPTS_PER_TURN);
                self.poller.modify_with_mode(listener, Event::none(key), PollMode::Level)?;
            }
        }
        self.paused_until = Some(self.now + PAUSE);
        Ok(())
    }

    fn resume_accepting(&mut self) -> io::Result<()> {
        if self.paused_until.is_none_or(|until| until > self.now) {
            return Ok(());
        }
        self.paused_until = None;
        for (key, listener) in self.listeners.iter().enumerate() {
            self.poller.modify_with_mode(listener, Event::readable(key), PollMode::Level)?;
        }
        Ok(())
    }

    /// Serves those who have connected already, then closes the door, and all connections but those being answered.
    fn stop_accepting(&mut self) -> io::Result<()> {
        (0..self.listeners.len()).try_for_each(|index| self.accept(index))?;
        self.serve_arrivals()?;
        for listener in self.listeners.drain(..) {
            self.poller.delete(&listener)?;
        }
        self.paused_until = None;
        let tokens: Vec<usize> = self.connections.iter().map(|(token, _)| token).collect();
        for token in tokens {
            self.advance(token)?;
        }
        self.close_where(|connection| connection.awaits() == Awaits::Request)
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
                    && let Some(unsaid) = self.refusals.permit(self.now)
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
