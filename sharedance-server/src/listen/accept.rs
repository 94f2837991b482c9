//! Accepts connections for one worker.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use polling::{Event, PollMode, Poller};
use rustix::event::{EventfdFlags, epoll, eventfd};
use rustix::io::Errno;
use rustix::net::sockopt::set_socket_linger;

use super::admission::{Admission, ConnectionLimit};
use super::listener::{Accepted, Listener};
use super::networks::Network;
use super::options::ListenerOptions;
use crate::observe::Counters;

/// Connections accepted from each listener in one turn: as many as a backlog of the usual length holds, and so few that
/// open connections are delayed by a few milliseconds.
const ACCEPTS_PER_TURN: usize = 128;

/// Connections accepted in one turn although as many as may wait do so already: if their request has arrived, they are
/// served without waiting.
const ACCEPTS_WHEN_FULL: usize = 8;

/// A connection that was accepted.
pub(crate) struct NewConnection {
    /// Does not block.
    pub(crate) socket: OwnedFd,
    /// The properties of its listener.
    pub(crate) listener: ListenerOptions,
    /// Whether other workers accept from the same socket.
    pub(crate) is_shared: bool,
}

/// Connections of hosts that may not connect, which were reset.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Denied {
    pub(crate) count: u64,
    /// The address of the first one.
    pub(crate) first: IpAddr,
}

/// The listeners of one worker.
pub(crate) struct Acceptor {
    poller: Arc<Poller>,
    /// Registered under the keys from 0.
    listeners: Vec<Listener>,
    /// Accepted in this turn and not yet served. Empty between turns.
    accepted: Vec<NewConnection>,
    denied: Option<Denied>,
    spare: SpareDescriptor,
    admission: Admission,
}

impl Acceptor {
    /// Registers the listeners with `poller` under the keys from 0.
    ///
    /// # Errors
    /// The poller failed.
    pub(crate) fn new(poller: Arc<Poller>, listeners: Vec<Listener>) -> io::Result<Acceptor> {
        let mut acceptor = Acceptor {
            poller,
            listeners: Vec::with_capacity(listeners.len()),
            accepted: Vec::with_capacity(ACCEPTS_PER_TURN),
            denied: None,
            spare: SpareDescriptor::new(),
            admission: Admission::default(),
        };
        for (key, listener) in listeners.into_iter().enumerate() {
            watch(&acceptor.poller, &listener, key)?;
            acceptor.listeners.push(listener);
        }
        Ok(acceptor)
    }

    /// The number of listeners.
    pub(crate) fn len(&self) -> usize {
        self.listeners.len()
    }

    /// Accepts the connections that wait at a listener, and resets those of hosts outside of the `allowed` networks, unless
    /// there are none. Returns why no more could be accepted, if descriptors or memory
    /// have run out: some of the connections that waited were reset then.
    pub(crate) fn accept(&mut self, index: usize, limit: &ConnectionLimit, allowed: &[Network]) -> Option<Errno> {
        for _ in 0..ACCEPTS_PER_TURN {
            if self.accepted.len() >= ACCEPTS_WHEN_FULL && limit.is_reached(self.accepted.len()) {
                return None;
            }
            let turn = limit.wait_turn();
            let listener = &self.listeners[index];
            match listener.accept(allowed) {
                Accepted::Connection(socket) => {
                    self.accepted.push(NewConnection {
                        socket,
                        listener: listener.options(),
                        is_shared: listener.is_shared(),
                    });
                }
                Accepted::Denied(socket, host) => {
                    reset(socket);
                    self.denied.get_or_insert(Denied { count: 0, first: host }).count += 1;
                }
                Accepted::Gone => {}
                Accepted::NoneWaiting => return None,
                // Tries again, now one worker at a time.
                Accepted::Exhausted(_) if turn.is_none() => limit.accept_in_turns(),
                Accepted::Exhausted(reason) => {
                    self.spare.refuse(listener, ACCEPTS_PER_TURN);
                    return Some(reason);
                }
            }
        }
        None
    }

    /// The connections that were reset since the last call.
    pub(crate) fn take_denied(&mut self) -> Option<Denied> {
        self.denied.take()
    }

    /// Takes the connections that were accepted. [`Acceptor::reuse`] returns the memory.
    pub(crate) fn take_accepted(&mut self) -> Vec<NewConnection> {
        std::mem::take(&mut self.accepted)
    }

    /// Takes back the memory of the list, which is empty.
    pub(crate) fn reuse(&mut self, accepted: Vec<NewConnection>) {
        self.accepted = accepted;
    }

    /// Counts a connection that was refused after it was accepted. After too many, accepting pauses.
    ///
    /// # Errors
    /// The poller failed.
    pub(crate) fn count_refusal(&mut self, counters: &Counters, now: Instant) -> io::Result<()> {
        if self.admission.refused(now) { self.pause(counters, now) } else { Ok(()) }
    }

    /// Pauses accepting for a moment.
    ///
    /// # Errors
    /// The poller failed.
    pub(crate) fn pause(&mut self, counters: &Counters, now: Instant) -> io::Result<()> {
        if !self.admission.pause(now) {
            return Ok(());
        }
        counters.accepting_pauses.add(1);
        self.listeners.iter().enumerate().try_for_each(|(key, listener)| match listener.is_shared() {
            // The interest of such a registration cannot be changed. Other workers are woken meanwhile.
            true => self.poller.delete(listener),
            false => self.poller.modify_with_mode(listener, Event::none(key), PollMode::Level),
        })
    }

    /// Ends a pause that is over at `now`.
    ///
    /// # Errors
    /// The poller failed.
    pub(crate) fn resume(&mut self, counters: &Counters, now: Instant) -> io::Result<()> {
        let Some(paused) = self.admission.resume(now) else {
            return Ok(());
        };
        counters.accepting_resumes.add(1);
        counters.accepting_paused_us.add(paused.as_micros() as u64);
        self.listeners.iter().enumerate().try_for_each(|(key, listener)| match listener.is_shared() {
            true => watch(&self.poller, listener, key),
            false => self.poller.modify_with_mode(listener, Event::readable(key), PollMode::Level),
        })
    }

    /// When the pause ends, if there is one.
    pub(crate) fn resumes_at(&self) -> Option<Instant> {
        self.admission.resumes_at()
    }

    /// A connection of the worker was closed, so that there is room for another.
    pub(crate) fn connection_closed(&mut self, now: Instant) {
        self.spare.refill();
        self.admission.end_pause(now);
    }

    /// Whether the connections that wait at a listener may be left to another server.
    pub(crate) fn outlives_server(&self, index: usize) -> bool {
        self.listeners[index].outlives_server()
    }

    /// Closes the listeners.
    ///
    /// # Errors
    /// The poller failed.
    pub(crate) fn close(&mut self) -> io::Result<()> {
        let is_paused = self.admission.resumes_at().is_some();
        self.listeners.drain(..).try_for_each(|listener| match is_paused && listener.is_shared() {
            true => Ok(()),
            false => self.poller.delete(&listener),
        })
    }
}

/// Registers a listener under `key`.
///
/// Of the workers that share a socket, a connection wakes one that waits, and not all of them
/// ([`EXCLUSIVE`](epoll::EventFlags::EXCLUSIVE)). The poller has no such option, so that these are registered with its
/// descriptor.
#[allow(unsafe_code)]
fn watch(poller: &Poller, listener: &Listener, key: usize) -> io::Result<()> {
    if listener.is_shared() {
        let flags = epoll::EventFlags::IN | epoll::EventFlags::EXCLUSIVE;
        return Ok(epoll::add(poller, listener, epoll::EventData::new_u64(key as u64), flags)?);
    }
    // SAFETY: the poller requires that a source is deleted from it before it is closed. `Acceptor::close` does that before
    // it drops the listeners. A worker that ends by an error drops them without it; epoll then removes them by itself, and
    // no thread waits on that poller.
    unsafe { poller.add_with_mode(listener.as_fd().as_raw_fd(), Event::readable(key), PollMode::Level) }
}

/// A descriptor that is kept for the case that there is no other. Without it, a connection that waits at a listener
/// could not be accepted and closed: its peer would wait until it gives up, and the poller would report it each turn.
#[derive(Debug)]
struct SpareDescriptor {
    descriptor: Option<OwnedFd>,
}

impl SpareDescriptor {
    fn new() -> SpareDescriptor {
        let mut spare = SpareDescriptor { descriptor: None };
        spare.refill();
        spare
    }

    /// Opens the descriptor again, if that failed before.
    fn refill(&mut self) {
        if self.descriptor.is_none() {
            self.descriptor = eventfd(0, EventfdFlags::CLOEXEC).ok();
        }
    }

    /// Resets up to `max` of the connections that wait at `listener`.
    fn refuse(&mut self, listener: &Listener, max: usize) {
        self.descriptor = None;
        for _ in 0..max {
            match listener.accept(&[]) {
                Accepted::Connection(socket) | Accepted::Denied(socket, _) => reset(socket),
                Accepted::Gone => {}
                Accepted::NoneWaiting | Accepted::Exhausted(_) => break,
            }
        }
        self.refill();
    }
}

/// Closes a connection with a reset. In the classic dialect, an orderly close without a response means that there is no
/// such pair: a web session that the server could not look up must not look like one that has ended.
pub(crate) fn reset(socket: impl AsFd) {
    // If even this fails, the connection is closed in order.
    let _ = set_socket_linger(&socket, Some(Duration::ZERO));
    drop(socket);
}
