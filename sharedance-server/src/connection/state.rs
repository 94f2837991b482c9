//! The state of a connection, from its first byte to its end.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use rustix::io::Errno;
use sharedance_core::protocol::Dialect;

use super::classic::ClassicConnection;
use super::close_reason::CloseReason;
use super::context::{CALLS_PER_TURN, TurnContext};
use super::memcached::MemcachedConnection;
use super::pace::Pace;
use super::received::Received;
use super::transport::{Transport, TransportContext};
use super::waiting_for::WaitingFor;
use crate::access::Access;
use crate::commands::Interpreter;
use crate::listen::{ListenerKind, ListenerOptions};
use crate::locks::{ConnectionId, Locks};

/// How many bytes are received and discarded from a peer that continues to send after its last request. Closing while
/// input is unread would reset the connection and destroy the response on its way.
const DRAIN_LEN: usize = 256 * 1024;

/// A connection. While it is idle it uses no other memory than this.
pub(crate) struct Connection {
    transport: Transport,
    listener: ListenerOptions,
    id: ConnectionId,
    waiting_for: WaitingFor,
    pace: Pace,
    state: State,
}

pub(super) enum State {
    /// Nothing has arrived, so the dialect is unknown.
    New,
    Classic(ClassicConnection),
    Memcached(MemcachedConnection),
    /// All responses were sent; this many bytes were discarded since.
    Draining(usize),
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.transport.as_fd()
    }
}

impl Connection {
    /// A connection that a listener with these properties accepted at `now`, on a non-blocking socket.
    pub(crate) fn new(socket: OwnedFd, listener: ListenerOptions, id: ConnectionId, now: Instant) -> Connection {
        let transport = Transport::new(listener.kind, socket);
        let (waiting_for, pace, state) = (transport.first_wait(), Pace::new(now), State::New);
        Connection { transport, listener, id, waiting_for, pace, state }
    }

    pub(crate) fn id(&self) -> ConnectionId {
        self.id
    }

    pub(crate) fn waiting_for(&self) -> WaitingFor {
        self.waiting_for
    }

    /// Gives it another id: another worker serves it from now on.
    pub(crate) fn set_id(&mut self, id: ConnectionId) {
        self.id = id;
    }

    /// Whether another worker may serve it: it waits for a request, and nothing of it belongs to this worker.
    pub(crate) fn is_movable(&self) -> bool {
        let is_waiting = matches!(self.waiting_for, WaitingFor::Request | WaitingFor::NextRequest);
        is_waiting
            && self.listener.kind != ListenerKind::Tls
            && match &self.state {
                State::New | State::Classic(_) => true,
                State::Memcached(memcached) => memcached.has_no_locks() && !memcached.is_unfinished(),
                State::Draining(_) => false,
            }
    }

    /// What it has transferred. Readiness without a transfer does not move its deadline.
    pub(crate) fn pace(&self) -> Pace {
        self.pace
    }

    /// Whether it has yielded to other connections, and can continue at once.
    pub(crate) fn is_unfinished(&self) -> bool {
        matches!(&self.state, State::Memcached(memcached) if memcached.is_unfinished())
            || self.transport.has_buffered_input()
                && matches!(self.waiting_for, WaitingFor::NextRequest | WaitingFor::Request)
    }

    /// Whether it has responses to send.
    pub(crate) fn has_responses(&self) -> bool {
        matches!(self.waiting_for, WaitingFor::SocketRoom | WaitingFor::PeerClose | WaitingFor::Sync)
            || self.is_unfinished()
    }

    /// Whether the peer, if the connection ended now, would not know what happened to its request.
    pub(crate) fn is_undecided(&self) -> bool {
        match self.waiting_for {
            WaitingFor::PeerClose => false,
            // The peer has sent no request.
            WaitingFor::HandshakeInput | WaitingFor::HandshakeRoom | WaitingFor::HandshakeTurn => false,
            // The state may have changed since in a call that has failed.
            WaitingFor::NextRequest | WaitingFor::Request => {
                !matches!(&self.state, State::Memcached(memcached) if memcached.is_between_requests())
            }
            WaitingFor::SocketRoom | WaitingFor::Lock | WaitingFor::Delay | WaitingFor::Sync => true,
        }
    }

    /// Ends the wait for a lock. The caller calls [`Connection::advance`] next.
    pub(crate) fn end_lock_wait(&mut self, is_acquired: bool) {
        if let State::Memcached(memcached) = &mut self.state {
            memcached.end_lock_wait(is_acquired);
        }
    }

    /// Ends the wait for a sync: what the responses acknowledge is on the disk. The caller calls
    /// [`Connection::advance`] next.
    pub(crate) fn end_sync_wait(&mut self) {
        if self.waiting_for == WaitingFor::Sync {
            self.waiting_for = WaitingFor::SocketRoom;
        }
    }

    /// Ends the delay after wrong credentials. The caller calls [`Connection::advance`] next.
    pub(crate) fn end_delay(&mut self) {
        if let State::Memcached(memcached) = &mut self.state {
            memcached.end_delay();
        }
    }

    /// Continues as far as the socket allows. On `Err` the connection has ended, and the caller drops it.
    #[inline]
    pub(crate) fn advance(&mut self, turn: &mut TurnContext<'_>) -> Result<(), CloseReason> {
        let advanced = match self.step(turn) {
            Ok(waiting_for) => {
                self.waiting_for = waiting_for;
                Ok(())
            }
            Err(reason) => {
                turn.output.clear();
                Err(reason)
            }
        };
        match advanced {
            Ok(()) if self.waiting_for == WaitingFor::Sync => turn.latency.defer_to_sync(),
            _ => turn.latency.record(turn.now, turn.clock),
        }
        advanced
    }

    /// Declares to the peer, if the transport can, that it has received everything. The caller closes the socket next.
    pub(crate) fn send_end(&mut self, context: &mut TransportContext) {
        // If this fails, the peer sees the end of the connection alone.
        let _ = self.transport.send_end(context);
    }

    /// Releases the locks of the connection, and returns its socket.
    pub(crate) fn release_locks(self, locks: &Locks, now: Instant) -> OwnedFd {
        if let State::Memcached(memcached) = self.state {
            memcached.release_locks(locks, self.id.worker, now);
        }
        self.transport.into_socket()
    }

    fn step(&mut self, turn: &mut TurnContext<'_>) -> Result<WaitingFor, CloseReason> {
        if self.waiting_for == WaitingFor::Sync {
            return Ok(WaitingFor::Sync);
        }
        let Connection { transport, pace, state, .. } = self;
        let (unprepared, sent) = transport.prepare(turn.transport)?;
        pace.add(sent);
        if let Some(waiting_for) = unprepared {
            if waiting_for == WaitingFor::SocketRoom {
                pace.check(turn)?;
            }
            return Ok(waiting_for);
        }
        if matches!(
            self.waiting_for,
            WaitingFor::HandshakeInput | WaitingFor::HandshakeRoom | WaitingFor::HandshakeTurn
        ) {
            // A request may have arrived with the end of the handshake: if it is refused, it is undecided.
            self.waiting_for = WaitingFor::Request;
        }
        let waiting_for = match state {
            State::Memcached(memcached) => memcached.advance(None, transport, pace, turn)?,
            State::New => return self.detect_dialect(turn),
            State::Classic(classic) if classic.has_response() => classic.send_rest(transport, pace, turn)?,
            State::Classic(classic) => classic.receive(None, transport, pace, turn)?,
            State::Draining(_) => return self.drain(turn.scratch),
        };
        match waiting_for {
            WaitingFor::PeerClose => self.begin_drain(turn),
            waiting_for => Ok(waiting_for),
        }
    }

    /// Receives the first bytes, which decide the dialect.
    fn detect_dialect(&mut self, turn: &mut TurnContext<'_>) -> Result<WaitingFor, CloseReason> {
        let access = turn.service.access.new_connection(&self.listener);
        let classic_refusal = self.refuses_classic(&access);
        let Connection { transport, pace, .. } = self;
        if let Some(refusal) = &classic_refusal
            && transport.first_byte().and_then(Dialect::detect) == Some(Dialect::Classic)
        {
            // Nothing is received before: unread input makes the end a reset, also on a Unix socket.
            return Err(refuse_classic(*refusal, transport, turn));
        }
        let received = match transport.recv(&mut turn.scratch[..turn.options.readsize], turn.transport) {
            Ok(Received { len: 0, .. }) => return Err(CloseReason::PeerClosed),
            Ok(received) => received,
            Err(CloseReason::SocketFailed(Errno::WOULDBLOCK | Errno::INTR)) => {
                pace.check(turn)?;
                return Ok(WaitingFor::Request);
            }
            Err(reason) => return Err(reason),
        };
        let dialect = Dialect::detect(turn.scratch[0]);
        if let (Some(refusal), Some(Dialect::Classic)) = (classic_refusal, dialect) {
            return Err(refuse_classic(refusal, transport, turn));
        }
        let is_refused = dialect.is_some_and(|dialect| !self.listener.dialects.contains(dialect));
        let interpreter = match dialect {
            Some(Dialect::MemcachedText) => Interpreter::text(),
            Some(Dialect::MemcachedBinary) => Interpreter::binary(),
            _ => {
                let mut classic = ClassicConnection::default();
                let waiting_for = classic.receive(Some(received), transport, pace, turn)?;
                self.state = State::Classic(classic);
                return Ok(waiting_for);
            }
        };
        // In these dialects every response has a length or an end.
        transport.release_input()?;
        let interpreter = if is_refused {
            turn.counters.refused_dialects.add(1);
            turn.refusal = Some(CloseReason::DialectNotAllowed);
            interpreter.refusing()
        } else {
            interpreter
        };
        let mut memcached = MemcachedConnection::new(interpreter, access);
        let waiting_for = memcached.advance(Some(received), transport, pace, turn);
        // Also if the connection has ended: it may hold locks.
        self.state = State::Memcached(memcached);
        match waiting_for? {
            WaitingFor::PeerClose => self.begin_drain(turn),
            waiting_for => Ok(waiting_for),
        }
    }

    /// Why the connection may not use the classic dialect.
    fn refuses_classic(&self, access: &Access) -> Option<ClassicRefusal> {
        match () {
            () if !self.listener.dialects.contains(Dialect::Classic) => Some(ClassicRefusal::Dialect),
            () if access.is_unauthenticated() => Some(ClassicRefusal::Credentials),
            () => None,
        }
    }

    /// Closes the sending side, and waits until the peer notices that.
    fn begin_drain(&mut self, turn: &mut TurnContext<'_>) -> Result<WaitingFor, CloseReason> {
        if !self.transport.has_unread_input(turn.transport) {
            return Err(CloseReason::Completed);
        }
        self.transport.shut_down_sending(turn.transport)?;
        if let State::Memcached(memcached) = std::mem::replace(&mut self.state, State::Draining(0)) {
            memcached.release_locks(turn.locks, turn.id.worker, turn.now);
        }
        self.drain(turn.scratch)
    }

    /// Receives and discards bytes until the peer closes.
    fn drain(&mut self, scratch: &mut [u8]) -> Result<WaitingFor, CloseReason> {
        let State::Draining(discarded) = &mut self.state else {
            return Err(CloseReason::Completed);
        };
        for _ in 0..CALLS_PER_TURN {
            match self.transport.discard(scratch) {
                Ok(0) => return Err(CloseReason::Completed),
                Ok(len) => *discarded += len,
                Err(CloseReason::SocketFailed(Errno::WOULDBLOCK | Errno::INTR)) => return Ok(WaitingFor::PeerClose),
                Err(reason) => return Err(reason),
            }
            if *discarded >= DRAIN_LEN {
                return Err(CloseReason::Completed);
            }
        }
        Ok(WaitingFor::PeerClose)
    }

    #[cfg(test)]
    pub(super) fn state(&self) -> &State {
        &self.state
    }
}

/// Why a connection may not use the classic dialect. That dialect has no response that a client would not take for a result,
/// so the connection is reset.
#[derive(Debug, Clone, Copy)]
enum ClassicRefusal {
    /// The listener does not allow the dialect.
    Dialect,
    /// The listener requires credentials, which the dialect does not have.
    Credentials,
}

fn refuse_classic(refusal: ClassicRefusal, transport: &Transport, turn: &TurnContext<'_>) -> CloseReason {
    match refusal {
        ClassicRefusal::Dialect => {
            turn.counters.refused_dialects.add(1);
            CloseReason::DialectNotAllowed
        }
        ClassicRefusal::Credentials => {
            turn.counters.auth_classic_refused.add(1);
            CloseReason::NoCredentials { peer: transport.peer() }
        }
    }
}
