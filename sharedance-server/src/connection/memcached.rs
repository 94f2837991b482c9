//! A dialect of memcached on a connection: any number of requests, which may be pipelined.
//!
//! Input is received into the worker's scratch buffer and executed there. Responses collect in the worker's output and
//! are sent by one call. The connection keeps only an incomplete request and what the socket did not take; between
//! requests it owns no buffer. While a response is unsent, nothing is received or executed, which bounds what a peer
//! can make the server keep.

use std::time::Instant;

use rustix::io::Errno;
use sharedance_core::protocol::memcached::text::Reply;

use super::close_reason::CloseReason;
use super::context::{CALLS_PER_TURN, TurnContext};
use super::locks::ConnectionLocks;
use super::pace::Pace;
use super::pipeline::{self, Allowance, Pause};
use super::received::Received;
use super::transport::Transport;
use super::waiting_for::WaitingFor;
use crate::access::{Access, Delay, Revoked};
use crate::buffers::{Buffer, Lease, Output};
use crate::commands::Interpreter;
use crate::locks::Locks;
use crate::observe::PauseKind;

/// Final responses, before the connection is closed.
const TOO_MANY_CONNECTIONS: &[u8] = b"ERROR Too many open connections\r\n";
const OVER_BUDGET: &[u8] = b"SERVER_ERROR out of memory reading request\r\n";

/// The state of such a connection.
pub(super) struct MemcachedConnection {
    interpreter: Interpreter,
    access: Access,
    input: Buffer,
    /// The input is decoded again once it has this many bytes.
    needed: usize,
    unsent: Option<Box<Unsent>>,
    locks: Option<Box<ConnectionLocks>>,
    ending: Option<Ending>,
    /// The response to wrong credentials is held back.
    delay: Option<Delay>,
    /// The connection has yielded to others, and could continue.
    is_unfinished: bool,
    /// The unsent output must not be sent before a sync.
    needs_sync: bool,
}

/// Why the connection ends once its output is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// The peer sends nothing more.
    PeerClosed,
    /// The last request was executed, or a request was refused.
    Completed,
}

/// Responses that did not fit into the socket.
struct Unsent {
    output: Output,
    /// Returned to the budget together with the memory.
    _lease: Lease,
}

impl MemcachedConnection {
    pub(super) fn new(interpreter: Interpreter, access: Access) -> MemcachedConnection {
        MemcachedConnection {
            interpreter,
            access,
            input: Buffer::default(),
            needed: 1,
            unsent: None,
            locks: None,
            ending: None,
            delay: None,
            is_unfinished: false,
            needs_sync: false,
        }
    }

    /// Continues as far as the socket, the limits of a turn and the locks of others allow. What has `arrived` is
    /// in the scratch buffer already.
    pub(super) fn advance(
        &mut self,
        arrived: Option<Received>,
        transport: &mut Transport,
        pace: &mut Pace,
        turn: &mut TurnContext<'_>,
    ) -> Result<WaitingFor, CloseReason> {
        self.is_unfinished = false;
        self.needs_sync = false;
        if self.delay.is_some() {
            // The poller reports a connection without an interest only when its peer has gone.
            transport.check()?;
            return Ok(WaitingFor::Delay);
        }
        turn.service.access.renew(&mut self.access).map_err(|Revoked| CloseReason::Revoked)?;
        if !self.send_unsent(transport, pace, turn)? {
            return Ok(WaitingFor::SocketRoom);
        }
        if self.ending.is_none() {
            if !turn.may_wait && arrived.is_some() && self.refuse(TOO_MANY_CONNECTIONS, turn) {
                turn.counters.connections_rejected.add(1);
                turn.refusal = Some(CloseReason::TooManyConnections);
            } else if self.end_wait(transport, turn)? {
                self.receive_and_execute(arrived, transport, pace, turn)?;
            }
        }
        if self.delay.is_some() {
            return self.hold_back(turn);
        }
        if !self.flush(transport, pace, turn)? {
            return Ok(if self.needs_sync { WaitingFor::Sync } else { WaitingFor::SocketRoom });
        }
        match self.ending {
            Some(Ending::Completed) => Ok(WaitingFor::PeerClose),
            Some(Ending::PeerClosed) => Err(CloseReason::Completed),
            None if self.is_waiting_for_lock() => Ok(WaitingFor::Lock),
            // Nor may a connection be idle that has not sent its credentials yet.
            None if self.is_between_requests() && !self.access.is_unauthenticated() => Ok(WaitingFor::NextRequest),
            None => Ok(WaitingFor::Request),
        }
    }

    /// Whether no part of a request has arrived and no part of a response is unsent.
    pub(super) fn is_between_requests(&self) -> bool {
        self.input.is_empty() && self.unsent.is_none()
    }

    pub(super) fn has_no_locks(&self) -> bool {
        self.locks.is_none()
    }

    /// Whether it has yielded to other connections, and can continue at once.
    pub(super) fn is_unfinished(&self) -> bool {
        self.is_unfinished
    }

    /// Ends the wait for a lock.
    pub(super) fn end_lock_wait(&mut self, is_acquired: bool) {
        if let Some(locks) = &mut self.locks {
            locks.end_wait(is_acquired);
        }
    }

    /// Ends the delay: the response to wrong credentials may be sent.
    pub(super) fn end_delay(&mut self) {
        self.delay = None;
    }

    /// Releases the locks, which end with the connection.
    pub(super) fn release_locks(self, locks: &Locks, worker: u32, now: Instant) {
        if let Some(own) = self.locks {
            own.release(worker, locks, now);
        }
    }

    fn is_waiting_for_lock(&self) -> bool {
        self.locks.as_ref().is_some_and(|locks| locks.is_waiting())
    }

    /// Responds to a lock request whose wait has ended. Returns whether the connection may continue, which it may not
    /// while it waits.
    fn end_wait(&mut self, transport: &mut Transport, turn: &mut TurnContext<'_>) -> Result<bool, CloseReason> {
        let Some(locks) = &mut self.locks else {
            return Ok(true);
        };
        if locks.is_waiting() {
            // The poller reports a connection without an interest only when its peer has gone.
            transport.check()?;
            return Ok(false);
        }
        if let Some((is_acquired, began)) = locks.take_wait_result() {
            turn.latency.record_pause(PauseKind::LockWait, turn.now.saturating_duration_since(began));
            let reply = if is_acquired { Reply::Locked } else { Reply::Timeout };
            turn.output.bytes().extend_from_slice(reply.as_bytes());
        }
        if locks.is_empty() {
            self.locks = None;
        }
        Ok(true)
    }

    /// Executes the requests that have arrived and that arrive, until there is nothing more, or a reason to pause.
    fn receive_and_execute(
        &mut self,
        mut arrived: Option<Received>,
        transport: &mut Transport,
        pace: &mut Pace,
        turn: &mut TurnContext<'_>,
    ) -> Result<(), CloseReason> {
        let mut allowance = Allowance::of_turn();
        loop {
            let (consumed, pause) = if self.input.len() >= self.needed {
                self.execute_kept(&mut allowance, turn)
            } else if allowance.calls > 0 && allowance.bytes > 0 {
                match self.receive(arrived.take(), &mut allowance, transport, pace, turn) {
                    Ok(Some(executed)) => executed,
                    Ok(None) => continue,
                    Err(CloseReason::SocketFailed(Errno::WOULDBLOCK | Errno::INTR)) => break,
                    Err(CloseReason::OverBudget) if self.refuse(OVER_BUDGET, turn) => {
                        turn.refusal = Some(CloseReason::OverBudget);
                        return Ok(());
                    }
                    Err(reason) => return Err(reason),
                }
            } else {
                break;
            };
            if consumed > 0 {
                pace.begin(turn.now);
            }
            self.needed = 1;
            match pause {
                Pause::Incomplete { needed } => self.needed = needed,
                Pause::HighWater => {
                    allowance.bytes = allowance.bytes.saturating_sub(turn.output.len());
                    if !self.flush(transport, pace, turn)? {
                        return Ok(());
                    }
                    if allowance.bytes == 0 {
                        self.yield_turn(turn);
                        return Ok(());
                    }
                }
                Pause::TurnEnd => {
                    self.yield_turn(turn);
                    return Ok(());
                }
                Pause::Lock => return Ok(()),
                Pause::Rejected => return self.reject(transport, turn),
                Pause::Last => {
                    self.ending = Some(Ending::Completed);
                    return Ok(());
                }
                Pause::Invalid(error) => {
                    self.ending = Some(Ending::Completed);
                    turn.refusal = Some(CloseReason::InvalidRequest(error));
                    return Ok(());
                }
            }
        }
        if !self.is_between_requests() {
            pace.check(turn)?;
        }
        Ok(())
    }

    /// Ends a connection whose credentials were wrong, after a delay.
    fn reject(&mut self, transport: &Transport, turn: &mut TurnContext<'_>) -> Result<(), CloseReason> {
        let reason = CloseReason::WrongCredentials { peer: transport.peer() };
        self.delay = turn.service.access.delay();
        self.ending = Some(Ending::Completed);
        if self.delay.is_none() {
            return Err(reason);
        }
        turn.refusal = Some(reason);
        Ok(())
    }

    /// Keeps the output until the delay is over.
    fn hold_back(&mut self, turn: &mut TurnContext<'_>) -> Result<WaitingFor, CloseReason> {
        // A connection that was another user before may have stored something.
        if !self.access.is_unauthenticated() && turn.store.needs_sync() {
            turn.store.sync().map_err(CloseReason::StoreFailed)?;
        }
        self.keep_output(turn)?;
        Ok(WaitingFor::Delay)
    }

    /// Lets other connections have their turn, although this one could continue.
    fn yield_turn(&mut self, turn: &TurnContext<'_>) {
        self.is_unfinished = true;
        turn.counters.yields.add(1);
    }

    /// Receives once, and executes the requests that are complete then. Returns how many bytes they have and why
    /// execution has paused, or `None` if there is too little input, or the input is in the connection's own buffer.
    fn receive(
        &mut self,
        arrived: Option<Received>,
        allowance: &mut Allowance,
        transport: &mut Transport,
        pace: &mut Pace,
        turn: &mut TurnContext<'_>,
    ) -> Result<Option<(usize, Pause)>, CloseReason> {
        let kept = self.input.len();
        if self.needed > turn.scratch.len() {
            let received =
                transport.recv_spare(self.input.spare(self.needed, &turn.options.budget)?, turn.transport)?;
            self.count_received(received, allowance, pace, turn);
            return Ok(None);
        }
        let received = match arrived {
            Some(received) => received,
            None => transport.recv(&mut turn.scratch[kept..], turn.transport)?,
        };
        self.count_received(received, allowance, pace, turn);
        let len = kept + received.len;
        if len < self.needed {
            self.input.append(&turn.scratch[kept..len], self.needed, &turn.options.budget)?;
            return Ok(None);
        }
        let scratch = std::mem::take(&mut turn.scratch);
        scratch[..kept].copy_from_slice(self.input.unread());
        let (consumed, pause) = pipeline::execute(
            &mut self.interpreter,
            &mut self.access,
            &mut self.locks,
            &scratch[..len],
            allowance,
            turn,
        );
        let kept = self.input.replace(&scratch[consumed..len], &turn.options.budget);
        turn.scratch = scratch;
        kept?;
        Ok(Some((consumed, pause)))
    }

    fn execute_kept(&mut self, allowance: &mut Allowance, turn: &mut TurnContext<'_>) -> (usize, Pause) {
        let input = self.input.unread();
        let (consumed, pause) =
            pipeline::execute(&mut self.interpreter, &mut self.access, &mut self.locks, input, allowance, turn);
        self.input.consume(consumed);
        (consumed, pause)
    }

    fn count_received(
        &mut self,
        received: Received,
        allowance: &mut Allowance,
        pace: &mut Pace,
        turn: &TurnContext<'_>,
    ) {
        let Received { len, may_have_more } = received;
        if len == 0 {
            self.ending = Some(Ending::PeerClosed);
        }
        allowance.calls = if may_have_more { allowance.calls - 1 } else { 0 };
        allowance.bytes = allowance.bytes.saturating_sub(len);
        pace.add(len);
        turn.counters.bytes_read.add(len as u64);
    }

    /// Queues a final error response. Returns `false` in the binary dialect, which has none.
    fn refuse(&mut self, response: &[u8], turn: &mut TurnContext<'_>) -> bool {
        if self.interpreter.is_binary() {
            return false;
        }
        turn.output.bytes().extend_from_slice(response);
        self.ending = Some(Ending::Completed);
        true
    }

    /// Sends the worker's output, and keeps what the socket does not take or what must not be sent before a sync.
    /// Returns whether nothing is left.
    fn flush(
        &mut self,
        transport: &mut Transport,
        pace: &mut Pace,
        turn: &mut TurnContext<'_>,
    ) -> Result<bool, CloseReason> {
        if self.unsent.is_some() {
            return Ok(false);
        }
        if turn.output.is_empty() {
            return Ok(true);
        }
        self.needs_sync = turn.needs_sync()?;
        for _ in 0..if self.needs_sync { 0 } else { CALLS_PER_TURN } {
            let sent = turn.output.send(|pieces| transport.send(pieces, turn.transport))?;
            turn.counters.bytes_written.add(sent as u64);
            if turn.output.is_empty() {
                turn.output.clear();
                if !transport.has_unsent() {
                    return Ok(true);
                }
                break;
            }
            if sent == 0 {
                break;
            }
        }
        self.keep_output(turn)?;
        pace.begin(turn.now);
        Ok(false)
    }

    /// Keeps what is in the worker's output and was not sent.
    fn keep_output(&mut self, turn: &mut TurnContext<'_>) -> Result<(), CloseReason> {
        let rest_len = turn.output.rest_len();
        if self.input.len() + rest_len > turn.options.max_connection_memory {
            return Err(CloseReason::OverBudget);
        }
        let mut lease = Lease::default();
        lease.grow_to(rest_len, &turn.options.budget)?;
        self.unsent = Some(Box::new(Unsent { output: turn.output.take_rest(), _lease: lease }));
        Ok(())
    }

    /// Sends more of the unsent output. Returns whether nothing is left.
    fn send_unsent(
        &mut self,
        transport: &mut Transport,
        pace: &mut Pace,
        turn: &mut TurnContext<'_>,
    ) -> Result<bool, CloseReason> {
        let Some(unsent) = &mut self.unsent else {
            return Ok(true);
        };
        if !unsent.output.is_empty() {
            let sent = unsent.output.send(|pieces| transport.send(pieces, turn.transport))?;
            turn.counters.bytes_written.add(sent as u64);
            pace.add(sent);
        }
        if !unsent.output.is_empty() || transport.has_unsent() {
            pace.check(turn)?;
            return Ok(false);
        }
        self.unsent = None;
        pace.begin(turn.now);
        Ok(true)
    }
}
