//! One connection for one request: opened, written, read to its end, closed. Every wait has a timeout.
//!
//! It blocks the calling thread, with the socket's own timeouts: before each system call the timeout is set to the time
//! that is left until the phase's deadline.

use std::io::{self, ErrorKind, IoSlice, Read};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sharedance_core::protocol::classic::{self, ResponseError};
use sharedance_core::protocol::{Decoded, Request, Response};
use socket2::Socket;

use crate::address::Address;
use crate::connect::{connect, is_closed_by_peer};
use crate::error::{Error, Phase};
use crate::socket;

/// The I/O timeout starts again after this many bytes have been transferred.
const PROGRESS_LEN: usize = 1024 * 1024;

/// The space for the first read of a response, and the maximum by which it grows at once, in bytes.
const READ_LEN_MIN: usize = 8 * 1024;
const READ_LEN_MAX: usize = 1024 * 1024;

/// How long to wait for the server to close the connection after an acknowledgement. It does so at once; if the server
/// closes first, the TIME_WAIT state is on the server, and does not use up this host's ports.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(100);

pub(crate) struct Connection<'a> {
    address: &'a Address,
    socket: Socket,
    io_timeout: Duration,
}

impl<'a> Connection<'a> {
    pub(crate) fn open(
        address: &'a Address,
        connect_timeout: Duration,
        io_timeout: Duration,
    ) -> Result<Connection<'a>, Error> {
        let socket = connect(address, connect_timeout)?;
        Ok(Connection { address, socket, io_timeout })
    }

    /// Sends the parts one after the other, without copying them.
    pub(crate) fn send(&mut self, parts: [&[u8]; 3]) -> Result<(), Error> {
        let mut slices = parts.map(IoSlice::new);
        let mut unsent = &mut slices[..];
        let mut deadline = Deadline::start(self.io_timeout);
        while !unsent.is_empty() {
            let sent_len = deadline
                .patiently(|left| {
                    self.socket.set_write_timeout(Some(left))?;
                    socket::send_vectored(&self.socket, unsent)
                })
                .map_err(|failure| self.failed(failure, Phase::Send, 0))?;
            IoSlice::advance_slices(&mut unsent, sent_len);
            deadline.moved(sent_len);
        }
        Ok(())
    }

    /// Receives the response to `request`.
    pub(crate) fn receive(&mut self, request: &Request<'_>, max: usize) -> Result<Response<Vec<u8>>, Error> {
        let mut received = Vec::new();
        let mut ended = false;
        let mut deadline = Deadline::start(self.io_timeout);
        loop {
            match classic::decode_response(request, &received, ended) {
                Ok(Decoded::Complete { message, .. }) => {
                    let response = message.map(|_| ());
                    if !ended {
                        self.await_close()?;
                    }
                    return Ok(response.map(|()| received));
                }
                Ok(Decoded::Incomplete { .. }) => {}
                Err(ResponseError::Cut { len }) => return Err(self.cut(len, None)),
                Err(_) => return Err(self.foreign()),
            }

            let received_len = received.len();
            if received_len > max {
                return Err(Error::AnswerTooLarge { server: self.address.to_string(), max });
            }
            let room = received_len.clamp(READ_LEN_MIN, READ_LEN_MAX);
            received.resize(received_len + room, 0);
            let read_len = deadline
                .patiently(|left| {
                    self.socket.set_read_timeout(Some(left))?;
                    (&self.socket).read(&mut received[received_len..])
                })
                .map_err(|failure| self.failed(failure, Phase::Receive, received_len))?;
            received.truncate(received_len + read_len);
            deadline.moved(read_len);
            ended = read_len == 0;
        }
    }

    /// Waits a moment for the end of the connection after an acknowledgement. The acknowledgement is valid with or
    /// without it; only further bytes show that this was not an acknowledgement.
    fn await_close(&self) -> Result<(), Error> {
        let _ = self.socket.set_read_timeout(Some(CLOSE_TIMEOUT.min(self.io_timeout)));
        match (&self.socket).read(&mut [0; 1]) {
            Ok(1..) => Err(self.foreign()),
            _ => Ok(()),
        }
    }

    /// The error for a request without a response.
    pub(crate) fn refused(&self, source: Option<io::Error>) -> Error {
        Error::Refused { server: self.address.to_string(), source: source.map(Arc::new) }
    }

    /// The error for a response that is not of this dialect.
    pub(crate) fn foreign(&self) -> Error {
        Error::UnexpectedReply { server: self.address.to_string() }
    }

    fn cut(&self, received_len: usize, source: Option<io::Error>) -> Error {
        Error::ConnectionLost { server: self.address.to_string(), received_len, source: source.map(Arc::new) }
    }

    fn failed(&self, failure: Failure, phase: Phase, received_len: usize) -> Error {
        let server = self.address.to_string();
        match failure {
            Failure::TimedOut { after } => Error::TimedOut { server, phase, after },
            // The server closed the connection before it had read the whole request, or before the request was sent.
            Failure::Io(source) if is_closed_by_peer(&source) => match received_len {
                0 => self.refused(Some(source)),
                _ => self.cut(received_len, Some(source)),
            },
            Failure::Io(source) => Error::Io { server, phase, source: source.into() },
        }
    }
}

/// Why a system call did not succeed.
enum Failure {
    TimedOut { after: Duration },
    Io(io::Error),
}

/// The deadline of one phase, which is extended with each [`PROGRESS_LEN`] bytes.
struct Deadline {
    timeout: Duration,
    started: Instant,
    at: Instant,
    /// Bytes transferred since the deadline was last extended.
    moved_len: usize,
}

impl Deadline {
    fn start(timeout: Duration) -> Deadline {
        let started = Instant::now();
        Deadline { timeout, started, at: started + timeout, moved_len: 0 }
    }

    fn moved(&mut self, len: usize) {
        self.moved_len += len;
        if self.moved_len >= PROGRESS_LEN {
            self.moved_len = 0;
            self.at = Instant::now() + self.timeout;
        }
    }

    /// Calls `attempt` with the remaining time, until it succeeds, fails permanently, or the deadline has passed.
    fn patiently(&self, mut attempt: impl FnMut(Duration) -> io::Result<usize>) -> Result<usize, Failure> {
        loop {
            let now = Instant::now();
            let left = self.at.saturating_duration_since(now);
            if left.is_zero() {
                return Err(Failure::TimedOut { after: now - self.started });
            }
            // Less than a microsecond would be rounded to zero, which the system interprets as no timeout.
            match attempt(left.max(Duration::from_micros(1))) {
                Ok(len) => return Ok(len),
                Err(error) => match error.kind() {
                    ErrorKind::Interrupted | ErrorKind::WouldBlock | ErrorKind::TimedOut => {}
                    _ => return Err(Failure::Io(error)),
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AMPLE: Duration = Duration::from_secs(60);

    #[test]
    fn only_full_progress_extends_a_deadline() {
        let mut deadline = Deadline::start(AMPLE);
        let before = deadline.at;
        deadline.moved(PROGRESS_LEN - 1);
        assert_eq!(deadline.at, before);
        deadline.moved(1);
        assert!(deadline.at > before);
    }

    #[test]
    fn interruptions_do_not_prolong_a_wait() {
        let deadline = Deadline::start(Duration::from_millis(5));
        let mut lefts = Vec::new();
        let outcome = deadline.patiently(|left| {
            lefts.push(left);
            Err(ErrorKind::Interrupted.into())
        });
        assert!(matches!(outcome, Err(Failure::TimedOut { after }) if after >= deadline.timeout));
        assert!(lefts.is_sorted_by(|earlier, later| earlier >= later));
    }
}
