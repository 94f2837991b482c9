//! A connected blocking socket. Every wait is limited by the socket's own timeouts.
//!
//! A call usually takes three system calls: one that checks the connection, one that sends and one that receives.

use std::io::{self, ErrorKind, Read};
use std::time::Duration;

use socket2::Socket;

use crate::address::Address;
use crate::call::Cause;
use crate::connect::connect;
use crate::error::Error;
use crate::runtime;
use crate::socket;
use crate::time::Deadline;

pub(crate) struct Stream {
    socket: Socket,
    /// The socket's timeout for receiving; a new socket has none.
    read_timeout: Option<Duration>,
}

impl Stream {
    pub(super) fn open(address: &Address, timeout: Duration) -> Result<Stream, Error> {
        Ok(Stream { socket: connect(address, timeout)?, read_timeout: None })
    }

    /// Sends some of `bytes`. Most requests fit into the socket's buffer; only the others set a timeout.
    pub(super) fn send(&self, bytes: &[u8], deadline: Deadline) -> Result<usize, Cause> {
        match socket::try_send(&self.socket, bytes) {
            Err(error) if is_to_be_repeated(&error) => {}
            outcome => return outcome.map_err(Cause::Io),
        }
        loop {
            let left = deadline.left().ok_or(Cause::TimedOut)?;
            self.socket.set_write_timeout(Some(left.max(TIMEOUT_MIN))).map_err(Cause::Io)?;
            match socket::send(&self.socket, bytes) {
                Err(error) if is_to_be_repeated(&error) => {}
                outcome => return outcome.map_err(Cause::Io),
            }
        }
    }

    /// Receives into `room`. Returns 0 if the peer has closed the connection.
    pub(super) fn receive(&mut self, room: &mut [u8], deadline: Deadline) -> Result<usize, Cause> {
        let mut is_first = true;
        loop {
            let left = deadline.left().ok_or(Cause::TimedOut)?;
            let timeout = if is_first { coarse_timeout(left, self.read_timeout) } else { left.max(TIMEOUT_MIN) };
            if self.read_timeout != Some(timeout) {
                self.socket.set_read_timeout(Some(timeout)).map_err(Cause::Io)?;
                self.read_timeout = Some(timeout);
            }
            match (&self.socket).read(room) {
                Err(error) if is_to_be_repeated(&error) => is_first = false,
                outcome => return outcome.map_err(Cause::Io),
            }
        }
    }
}

impl runtime::Stream for Stream {
    fn try_peek(&self) -> io::Result<usize> {
        socket::try_peek(&self.socket)
    }

    fn try_send(&self, bytes: &[u8]) -> io::Result<usize> {
        socket::try_send(&self.socket, bytes)
    }
}

/// Less than a microsecond would be rounded to zero, which the system interprets as no timeout.
const TIMEOUT_MIN: Duration = Duration::from_micros(1);

/// The timeout for the first attempt to receive: `current` if that ends before the deadline, but not long before, so
/// that consecutive calls need not set it. The wait for the remaining time after it is exact.
fn coarse_timeout(left: Duration, current: Option<Duration>) -> Duration {
    match current {
        Some(current) if current <= left && current >= left / 8 * 7 => current,
        _ => (left / 16 * 15).max(TIMEOUT_MIN),
    }
}

/// Whether the attempt was interrupted or its timeout has passed, which may be before the deadline.
fn is_to_be_repeated(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_kept_for_the_next_call_and_never_ends_after_the_deadline() {
        let micros = Duration::from_micros;
        let first = coarse_timeout(micros(5_000_000), None);
        for left in [5_000_000, 4_999_000, 4_900_000] {
            assert_eq!(coarse_timeout(micros(left), Some(first)), first);
        }
        for left in [15_000_000, 4_000_000, 1000, 1, 0] {
            let timeout = coarse_timeout(micros(left), Some(first));
            assert!(timeout <= micros(left).max(TIMEOUT_MIN) && timeout >= micros(left) / 8 * 7, "{left}: {timeout:?}");
        }
    }
}
