//! The classic dialect on a connection: one request, one answer, end.
//!
//! A request that arrives whole is read into the worker's scratch, answered and over within a single call, and nothing
//! is allocated for it.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use rustix::net::sockopt::set_socket_linger;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use sharedance_core::protocol::{DecodeError, Decoded, Response, classic};

use super::pace::Pace;
use super::{Awaits, BYTES_PER_TURN, CALLS_PER_TURN, End, Turn, has_unread_input};
use crate::buffers::{Budget, Buffer, Lease, OverBudget};
use crate::commands::{Body, execute};

/// What has arrived of a request, and what is still to be sent of its answer.
#[derive(Default)]
pub(super) struct Exchange {
    input: Buffer,
    /// How many bytes must be there before it is worth decoding them again.
    needed: usize,
    /// The answer, as long as the disk does not have what it says.
    held: Option<Box<Response<Body>>>,
    rest: Option<Box<Rest>>,
}

/// An answer that did not fit into the socket at once.
struct Rest {
    response: Response<Body>,
    sent: usize,
    lease: Lease,
}

enum Received {
    Part { len: usize, filled: bool },
    Whole(Response<Body>),
}

impl Exchange {
    /// Receives the request, and answers it once it is whole. The first `arrived` bytes are in the scratch already.
    pub(super) fn receive(
        &mut self,
        arrived: Option<usize>,
        socket: &OwnedFd,
        pace: &mut Pace,
        turn: &mut Turn<'_>,
    ) -> Result<Awaits, End> {
        let (mut arrived, mut received) = (arrived, 0);
        for _ in 0..CALLS_PER_TURN {
            let (len, filled) = match self.receive_once(arrived.take(), socket, turn) {
                Err(End::Failed(Errno::WOULDBLOCK | Errno::INTR)) => break,
                Err(end) => return Err(end),
                Ok(Received::Whole(response)) => return self.answer(response, socket, pace, turn),
                Ok(Received::Part { len, filled }) => (len, filled),
            };
            received += len;
            // A short read has drained the socket.
            if !filled || received >= BYTES_PER_TURN {
                break;
            }
        }
        pace.moved(received);
        pace.check(turn)?;
        Ok(Awaits::Request)
    }

    fn receive_once(&mut self, arrived: Option<usize>, socket: &OwnedFd, turn: &mut Turn<'_>) -> Result<Received, End> {
        let Turn { store, rules, .. } = turn;
        let scratch = &mut turn.scratch[..rules.read_len];
        let in_place = self.input.len() >= scratch.len();
        let (len, room) = if in_place {
            let spare = self.input.spare(self.needed, &rules.budget)?;
            let room = (spare.capacity() - spare.len()).min(BYTES_PER_TURN);
            let (_, len) = recv(socket, spare_capacity(spare), RecvFlags::empty())?;
            (len, room)
        } else {
            let len = match arrived {
                Some(len) => len,
                None => recv(socket, &mut *scratch, RecvFlags::empty())?.0,
            };
            (len, scratch.len())
        };
        if len == 0 {
            return Err(End::PeerClosed);
        }
        let filled = len >= room;
        turn.counters.bytes_read.add(len as u64);

        let arrived = if in_place {
            self.input.unread()
        } else if self.input.is_empty() {
            &scratch[..len]
        } else {
            self.input.append(&scratch[..len], self.needed, &rules.budget)?;
            self.input.unread()
        };
        if arrived.len() < self.needed {
            return Ok(Received::Part { len, filled });
        }
        match classic::decode_request(arrived, &rules.limits).map_err(End::Refused)? {
            Decoded::Complete { message, .. } => {
                if filled && has_unread_input(socket) {
                    return Err(End::Refused(DecodeError::TrailingBytes(1)));
                }
                execute(message, store, turn.counters).map(Received::Whole).map_err(End::StoreFailed)
            }
            Decoded::Incomplete { needed } => {
                self.needed = needed;
                if self.input.is_empty() {
                    self.input.append(&scratch[..len], needed, &rules.budget)?;
                }
                Ok(Received::Part { len, filled })
            }
        }
    }

    fn answer(
        &mut self,
        response: Response<Body>,
        socket: &OwnedFd,
        pace: &mut Pace,
        turn: &mut Turn<'_>,
    ) -> Result<Awaits, End> {
        if turn.owes_sync()? {
            self.held = Some(Box::new(response));
            return Ok(Awaits::Sync);
        }
        self.give(response, socket, pace, turn)
    }

    fn give(
        &mut self,
        response: Response<Body>,
        socket: &OwnedFd,
        pace: &mut Pace,
        turn: &mut Turn<'_>,
    ) -> Result<Awaits, End> {
        let bytes = classic::encode_response(&response);
        let sent = send_some(socket, bytes)?;
        turn.counters.bytes_written.add(sent as u64);
        let sent = match sent {
            sent if sent == bytes.len() => return Err(End::Answered),
            sent => sent,
        };
        // In this dialect the end of a value is the end of the connection. From here to its last byte every other end,
        // be it that of this process, is to be a reset: a part must not pass for a whole.
        set_socket_linger(socket, Some(Duration::ZERO))?;
        self.input.clear();
        pace.begin(turn.now);
        pace.moved(sent);
        let mut rest = Rest { response, sent, lease: Lease::default() };
        rest.unpin_neighbours(&turn.rules.budget)?;
        self.rest = Some(Box::new(rest));
        Ok(Awaits::Room)
    }

    #[cfg(test)]
    pub(super) fn pins_nothing(&self) -> bool {
        self.rest.as_ref().is_some_and(|rest| matches!(rest.response, Response::Value(Body::Copied(_))))
    }

    /// Gives the answer that was held back, or sends more of one.
    pub(super) fn send_rest(&mut self, socket: &OwnedFd, pace: &mut Pace, turn: &mut Turn<'_>) -> Result<Awaits, End> {
        if let Some(response) = self.held.take() {
            return self.give(*response, socket, pace, turn);
        }
        let Some(rest) = &mut self.rest else {
            return Err(End::Answered);
        };
        let bytes = classic::encode_response(&rest.response);
        let sent = send_some(socket, &bytes[rest.sent..])?;
        rest.sent += sent;
        turn.counters.bytes_written.add(sent as u64);
        if rest.sent < bytes.len() {
            pace.moved(sent);
            pace.check(turn)?;
            return Ok(Awaits::Room);
        }
        self.rest = None;
        set_socket_linger(socket, None)?;
        Ok(Awaits::Quiet)
    }
}

impl Rest {
    /// Replaces what is mapped and not yet sent by a copy. A slow peer would else keep the values beside it from being
    /// reclaimed; one that has a file to itself keeps nothing but that file, and costs no memory.
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

/// Sends what the socket takes of the turn's share.
fn send_some(socket: &OwnedFd, bytes: &[u8]) -> Result<usize, Errno> {
    let share = &bytes[..bytes.len().min(BYTES_PER_TURN)];
    match send(socket, share, SendFlags::NOSIGNAL) {
        Err(Errno::WOULDBLOCK | Errno::INTR) => Ok(0),
        sent => sent,
    }
}
