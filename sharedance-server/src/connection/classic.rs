//! The classic dialect on a connection: one request, one response, end.
//!
//! A request that arrives in one piece is received into the worker's scratch buffer, executed and answered within a
//! single call, and nothing is allocated for it.

use std::io::IoSlice;
use std::sync::Arc;

use rustix::io::Errno;
use sharedance_core::protocol::{DecodeError, Decoded, Response, classic};

use super::close_reason::CloseReason;
use super::context::{BYTES_PER_TURN, CALLS_PER_TURN, TurnContext};
use super::pace::Pace;
use super::received::Received;
use super::transport::Transport;
use super::waiting_for::WaitingFor;
use crate::buffers::{Budget, Buffer, Lease, OverBudget};
use crate::commands::{Body, execute};

/// A request that has arrived in part, or a response that is not sent yet.
#[derive(Default)]
pub(super) struct ClassicConnection {
    input: Buffer,
    /// The input is decoded again once it has this many bytes.
    needed: usize,
    /// The response, as long as what it acknowledges is not on the disk.
    held_back: Option<Box<Response<Body>>>,
    rest: Option<Box<Rest>>,
}

/// A response that did not fit into the socket at once.
struct Rest {
    response: Response<Body>,
    sent: usize,
    lease: Lease,
}

enum Progress {
    /// A part of the request was received.
    Part(Received),
    Complete(Response<Body>),
}

impl ClassicConnection {
    /// Receives the request, and executes and answers it once it is complete. What has `arrived` is in the
    /// scratch buffer already.
    pub(super) fn receive(
        &mut self,
        arrived: Option<Received>,
        transport: &mut Transport,
        pace: &mut Pace,
        turn: &mut TurnContext<'_>,
    ) -> Result<WaitingFor, CloseReason> {
        let (mut arrived, mut received_len) = (arrived, 0);
        for _ in 0..CALLS_PER_TURN {
            let received = match self.receive_once(arrived.take(), transport, turn) {
                Err(CloseReason::SocketFailed(Errno::WOULDBLOCK | Errno::INTR)) => break,
                Err(reason) => return Err(reason),
                Ok(Progress::Complete(response)) => return self.respond(response, transport, pace, turn),
                Ok(Progress::Part(received)) => received,
            };
            received_len += received.len;
            if !received.may_have_more || received_len >= BYTES_PER_TURN {
                break;
            }
        }
        pace.add(received_len);
        pace.check(turn)?;
        Ok(WaitingFor::Request)
    }

    fn receive_once(
        &mut self,
        arrived: Option<Received>,
        transport: &mut Transport,
        turn: &mut TurnContext<'_>,
    ) -> Result<Progress, CloseReason> {
        let TurnContext { store, options, .. } = turn;
        let scratch = &mut turn.scratch[..options.readsize];
        let in_place = self.input.len() >= scratch.len();
        let received = if in_place {
            transport.recv_spare(self.input.spare(self.needed, &options.budget)?, turn.transport)?
        } else {
            match arrived {
                Some(received) => received,
                None => transport.recv(scratch, turn.transport)?,
            }
        };
        let len = received.len;
        if len == 0 {
            return Err(CloseReason::PeerClosed);
        }
        turn.counters.bytes_read.add(len as u64);

        let arrived = if in_place {
            self.input.unread()
        } else if self.input.is_empty() {
            &scratch[..len]
        } else {
            self.input.append(&scratch[..len], self.needed, &options.budget)?;
            self.input.unread()
        };
        if arrived.len() < self.needed {
            return Ok(Progress::Part(received));
        }
        match classic::decode_request(arrived, &options.limits).map_err(CloseReason::InvalidRequest)? {
            Decoded::Complete { message, .. } => {
                if received.may_have_more && transport.has_unread_input(turn.transport) {
                    return Err(CloseReason::InvalidRequest(DecodeError::TrailingBytes(1)));
                }
                let response =
                    execute(message, store, turn.counters, turn.latency).map_err(CloseReason::StoreFailed)?;
                if matches!(response, Response::Stored) {
                    turn.service.log.stored(turn.now);
                }
                Ok(Progress::Complete(response))
            }
            Decoded::Incomplete { needed } => {
                self.needed = needed;
                if self.input.is_empty() {
                    self.input.append(&scratch[..len], needed, &options.budget)?;
                }
                Ok(Progress::Part(received))
            }
        }
    }

    /// Sends a response, or holds it back until a sync.
    fn respond(
        &mut self,
        response: Response<Body>,
        transport: &mut Transport,
        pace: &mut Pace,
        turn: &mut TurnContext<'_>,
    ) -> Result<WaitingFor, CloseReason> {
        if turn.needs_sync()? {
            self.held_back = Some(Box::new(response));
            return Ok(WaitingFor::Sync);
        }
        self.send(response, transport, pace, turn)
    }

    fn send(
        &mut self,
        response: Response<Body>,
        transport: &mut Transport,
        pace: &mut Pace,
        turn: &mut TurnContext<'_>,
    ) -> Result<WaitingFor, CloseReason> {
        let bytes = classic::encode_response(&response);
        let sent = send_some(transport, bytes, turn)?;
        turn.counters.bytes_written.add(sent as u64);
        if sent == bytes.len() {
            transport.send_end(turn.transport)?;
            if !transport.has_unsent() {
                transport.release_input()?;
                return Err(CloseReason::Completed);
            }
        }
        // In this dialect the end of the connection is the end of the value. Until the last byte is sent, any other end,
        // also that of this process, must be a reset: the client must not take a part for the whole value.
        transport.set_reset_at_end(true)?;
        self.input.clear();
        pace.begin(turn.now);
        pace.add(sent);
        let mut rest = Rest { response, sent, lease: Lease::default() };
        rest.unpin_neighbours(&turn.options.budget)?;
        self.rest = Some(Box::new(rest));
        Ok(WaitingFor::SocketRoom)
    }

    /// Whether the request was executed, and its response is not sent completely.
    pub(super) fn has_response(&self) -> bool {
        self.held_back.is_some() || self.rest.is_some()
    }

    #[cfg(test)]
    pub(super) fn has_copied_rest(&self) -> bool {
        self.rest.as_ref().is_some_and(|rest| matches!(rest.response, Response::Value(Body::Copied(_))))
    }

    /// Sends the response that was held back, or more of a response.
    pub(super) fn send_rest(
        &mut self,
        transport: &mut Transport,
        pace: &mut Pace,
        turn: &mut TurnContext<'_>,
    ) -> Result<WaitingFor, CloseReason> {
        if let Some(response) = self.held_back.take() {
            return self.send(*response, transport, pace, turn);
        }
        let Some(rest) = &mut self.rest else {
            return Err(CloseReason::Completed);
        };
        let bytes = classic::encode_response(&rest.response);
        let sent = if rest.sent < bytes.len() { send_some(transport, &bytes[rest.sent..], turn)? } else { 0 };
        rest.sent += sent;
        turn.counters.bytes_written.add(sent as u64);
        if rest.sent == bytes.len() {
            // The declared end is a part of the response: without it, the value could be incomplete.
            transport.send_end(turn.transport)?;
        }
        if rest.sent < bytes.len() || transport.has_unsent() {
            pace.add(sent);
            pace.check(turn)?;
            return Ok(WaitingFor::SocketRoom);
        }
        self.rest = None;
        transport.release_input()?;
        transport.set_reset_at_end(false)?;
        Ok(WaitingFor::PeerClose)
    }
}

impl Rest {
    /// Replaces the unsent part of a mapped value by a copy: while a slow peer pins a value, the values beside it in the
    /// segment cannot be reclaimed. A value that has a file to itself pins only that file, and stays mapped.
    fn unpin_neighbours(&mut self, budget: &Arc<Budget>) -> Result<(), OverBudget> {
        if let Response::Value(Body::Mapped(value)) = &self.response
            && !value.is_alone()
        {
            let unsent = &value[self.sent..];
            self.lease.grow_to(unsent.len(), budget)?;
            self.response = Response::Value(Body::Copied(unsent.to_vec()));
            self.sent = 0;
        }
        Ok(())
    }
}

/// Sends as much as the socket takes, and at most what a turn allows. Returns how much that was.
fn send_some(transport: &mut Transport, bytes: &[u8], turn: &mut TurnContext<'_>) -> Result<usize, CloseReason> {
    transport.send(&[IoSlice::new(&bytes[..bytes.len().min(BYTES_PER_TURN)])], turn.transport)
}
