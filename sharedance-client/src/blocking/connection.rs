//! One kept connection of the blocking client. Every wait in it is bounded: what is left until the deadline is set as
//! the socket's own timeout before each call to the system.
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
use crate::time::Deadline;
use crate::wire::Wire;

pub(crate) struct Connection {
    socket: Socket,
    wire: Wire,
}

impl Connection {
    pub(crate) fn open(address: &Address, timeout: Duration) -> Result<Connection, Error> {
        Ok(Connection { socket: connect(address, timeout)?, wire: Wire::default() })
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
                    let sent_len = patiently(deadline, Phase::Send, received_len, |left| {
                        self.socket.set_write_timeout(Some(left))?;
                        self.socket.send(self.wire.unsent())
                    })?;
                    self.wire.sent(sent_len);
                }
                Step::Receive => {
                    let len = patiently(deadline, Phase::Receive, received_len, |left| {
                        self.socket.set_read_timeout(Some(left))?;
                        (&self.socket).read(self.wire.spare())
                    })?;
                    if len == 0 {
                        return Err(Failure::Closed { received_len, source: None });
                    }
                    received_len += len;
                    self.wire.received(len);
                }
                Step::Done => return Ok(()),
            }
        }
    }

    /// Whether the other end has neither closed it nor said anything that nobody asked for.
    pub(crate) fn is_fit(&self) -> bool {
        if !self.wire.is_idle() {
            return false;
        }
        let peeked = self.at_once(|socket| socket.peek(&mut [std::mem::MaybeUninit::uninit()]));
        match peeked {
            Ok(0) => false,
            Ok(_) => self.wire.is_owed(),
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        }
    }

    /// Gives a lock back without waiting for the answer, and says whether the connection can be used again; where it
    /// cannot, closing it gives the lock back.
    pub(crate) fn unlock_at_once(&mut self, key: &[u8]) -> bool {
        if !self.wire.is_idle() {
            return false;
        }
        self.wire.put_unlock(key);
        let sent = self.at_once(|socket| socket.send(self.wire.unsent()));
        self.wire.sent(sent.unwrap_or(0));
        self.wire.is_idle()
    }

    fn at_once(&self, call: impl FnOnce(&Socket) -> io::Result<usize>) -> io::Result<usize> {
        self.socket.set_nonblocking(true)?;
        let outcome = call(&self.socket);
        self.socket.set_nonblocking(false)?;
        outcome
    }
}

/// Calls `attempt`, with the time that is left to it, until it succeeds, fails for good, or the time is over.
fn patiently(
    deadline: Deadline,
    phase: Phase,
    received_len: usize,
    mut attempt: impl FnMut(Duration) -> io::Result<usize>,
) -> Result<usize, Failure> {
    loop {
        let Some(left) = deadline.left() else {
            return Err(Failure::TimedOut { phase, after: deadline.elapsed() });
        };
        // Less than a microsecond would be rounded to zero, which the system takes for no timeout at all.
        match attempt(left.max(Duration::from_micros(1))) {
            Ok(len) => return Ok(len),
            Err(error) => match error.kind() {
                ErrorKind::Interrupted | ErrorKind::WouldBlock | ErrorKind::TimedOut => {}
                _ => return Err(Failure::of_io(error, phase, received_len)),
            },
        }
    }
}
