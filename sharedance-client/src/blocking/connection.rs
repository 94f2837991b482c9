//! One kept connection of the blocking client. Every wait is bounded by the socket's own timeouts.
//!
//! A call takes three system calls as a rule: one that checks the connection, one that sends and one that receives.
//!
//! A connection on which anything went wrong is not used again.

use std::io::{self, ErrorKind, Read};
use std::time::Duration;

use socket2::Socket;

use crate::address::Address;
use crate::command::Command;
use crate::connect::connect;
use crate::error::{Error, Phase};
use crate::failure::Failure;
use crate::pipeline::{Pipeline, Step};
use crate::socket;
use crate::time::Deadline;
use crate::wire::Wire;

pub(crate) struct Connection {
    socket: Socket,
    wire: Wire,
    /// The socket's timeout for receiving; none is set on a new socket.
    read_timeout: Option<Duration>,
}

impl Connection {
    pub(crate) fn open(address: &Address, timeout: Duration) -> Result<Connection, Error> {
        Ok(Connection { socket: connect(address, timeout)?, wire: Wire::default(), read_timeout: None })
    }

    /// Runs the pipeline to its end.
    pub(crate) fn run<C: Command>(
        &mut self,
        pipeline: &mut Pipeline<'_, C>,
        deadline: Deadline,
    ) -> Result<(), Failure> {
        let mut received_len = 0;
        loop {
            match pipeline.step(&mut self.wire).map_err(|error| pipeline.failure(error))? {
                Step::Send => {
                    let sent = self.send(deadline);
                    let sent_len = sent.map_err(|cause| cause.into_failure(deadline, Phase::Send, received_len))?;
                    self.wire.sent(sent_len);
                }
                Step::Receive => {
                    let received = self.receive(deadline);
                    match received.map_err(|cause| cause.into_failure(deadline, Phase::Receive, received_len))? {
                        0 => return Err(Failure::Closed { received_len, source: None }),
                        len => {
                            received_len += len;
                            self.wire.received(len);
                        }
                    }
                }
                Step::Done => return Ok(()),
            }
        }
    }

    /// Sends some of what is unsent. Most requests fit into the socket's buffer; only the others set a timeout.
    fn send(&mut self, deadline: Deadline) -> Result<usize, Cause> {
        match socket::try_send(&self.socket, self.wire.unsent()) {
            Err(error) if is_to_be_repeated(&error) => {}
            outcome => return outcome.map_err(Cause::Io),
        }
        loop {
            let left = deadline.left().ok_or(Cause::TimedOut)?;
            self.socket.set_write_timeout(Some(left.max(TIMEOUT_MIN))).map_err(Cause::Io)?;
            match socket::send(&self.socket, self.wire.unsent()) {
                Err(error) if is_to_be_repeated(&error) => {}
                outcome => return outcome.map_err(Cause::Io),
            }
        }
    }

    fn receive(&mut self, deadline: Deadline) -> Result<usize, Cause> {
        let mut is_first = true;
        loop {
            let left = deadline.left().ok_or(Cause::TimedOut)?;
            let timeout = if is_first { coarse_timeout(left, self.read_timeout) } else { left.max(TIMEOUT_MIN) };
            if self.read_timeout != Some(timeout) {
                self.socket.set_read_timeout(Some(timeout)).map_err(Cause::Io)?;
                self.read_timeout = Some(timeout);
            }
            match (&self.socket).read(self.wire.spare()) {
                Err(error) if is_to_be_repeated(&error) => is_first = false,
                outcome => return outcome.map_err(Cause::Io),
            }
        }
    }

    /// Whether the other end has neither closed it nor sent anything that nobody asked for.
    pub(crate) fn is_fit(&self) -> bool {
        if !self.wire.is_idle() {
            return false;
        }
        match socket::try_peek(&self.socket) {
            Ok(0) => false,
            Ok(_) => self.wire.is_owed(),
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        }
    }

    /// Gives back what locks it may hold, without waiting for the answer, and returns whether the connection can be used
    /// again; where it cannot, closing it gives them back.
    pub(crate) fn unlock_all_at_once(&mut self) -> bool {
        if !self.wire.is_idle() {
            return false;
        }
        if self.wire.may_hold_lock() {
            self.wire.put_unlock_all();
            let sent = socket::try_send(&self.socket, self.wire.unsent());
            self.wire.sent(sent.unwrap_or(0));
        }
        self.wire.is_idle()
    }
}

/// Less than a microsecond would be rounded to zero, which the system takes for no timeout at all.
const TIMEOUT_MIN: Duration = Duration::from_micros(1);

/// The timeout for the first attempt to receive: `current` where that ends before the deadline, but not long before, so
/// that calls in a row need not set it. Whatever is left after it is waited for exactly.
fn coarse_timeout(left: Duration, current: Option<Duration>) -> Duration {
    match current {
        Some(current) if current <= left && current >= left / 8 * 7 => current,
        _ => (left / 16 * 15).max(TIMEOUT_MIN),
    }
}

/// Whether the attempt was interrupted or its timeout is over, which may be before the deadline.
fn is_to_be_repeated(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// Why nothing was sent or received.
enum Cause {
    TimedOut,
    Io(io::Error),
}

impl Cause {
    fn into_failure(self, deadline: Deadline, phase: Phase, received_len: usize) -> Failure {
        match self {
            Cause::TimedOut => Failure::TimedOut { phase, after: deadline.elapsed() },
            Cause::Io(error) => Failure::of_io(error, phase, received_len),
        }
    }
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
