//! A connected blocking socket. Every wait is limited by the socket's own timeouts.
//!
//! A call usually takes three system calls: one that checks the connection, one that sends and one that receives. This
//! is the same with TLS.

use std::io::{self, ErrorKind, Read};
use std::time::Duration;

use socket2::Socket;

use crate::address::Address;
use crate::connect::{self, connect};
use crate::error::Error;
use crate::failure::{Cause, handshake_failed};
use crate::runtime;
use crate::socket;
use crate::time::Deadline;
use crate::tls::{Connector, HANDSHAKE_ROOM_LEN, RECEIVE_LEN, Session, TlsProblem, without_waiting};

pub(crate) struct Stream {
    socket: TimedSocket,
    tls: Option<Session>,
}

impl Stream {
    pub(super) fn open(address: &Address, tls: Option<&Connector>, timeout: Duration) -> Result<Stream, Error> {
        let deadline = Deadline::after(timeout);
        let socket = TimedSocket { socket: connect(address, timeout)?, read_timeout: None };
        let mut stream = Stream { socket, tls: None };
        if let Some(connector) = tls {
            let shaken =
                connector.session().map_err(Cause::Tls).and_then(|session| stream.shake_hands(session, deadline));
            shaken.map_err(|cause| handshake_failed(address, cause, deadline))?;
        }
        Ok(stream)
    }

    /// The last bytes of the client are sent together with the first request.
    fn shake_hands(&mut self, session: Session, deadline: Deadline) -> Result<(), Cause> {
        let (socket, session) = (&mut self.socket, self.tls.insert(session));
        let mut room = [0; HANDSHAKE_ROOM_LEN];
        while session.is_handshaking() {
            socket.transmit(session, deadline)?;
            match socket.receive(&mut room, deadline)? {
                0 => return Err(Cause::Tls(TlsProblem::Closed)),
                len => socket.absorb(session, &room[..len])?,
            }
        }
        Ok(())
    }

    /// Sends some of `bytes`.
    pub(super) fn send(&mut self, bytes: &[u8], deadline: Deadline) -> Result<usize, Cause> {
        match &mut self.tls {
            None => self.socket.send(bytes, deadline),
            Some(session) => {
                let len = session.encrypt(bytes);
                self.socket.transmit(session, deadline)?;
                Ok(len)
            }
        }
    }

    /// Receives into `room`. Returns 0 if the peer has closed the connection.
    pub(super) fn receive(&mut self, room: &mut [u8], deadline: Deadline) -> Result<usize, Cause> {
        let Some(session) = &mut self.tls else {
            return self.socket.receive(room, deadline);
        };
        let received_len = room.len().min(RECEIVE_LEN);
        loop {
            if let Some(len) = session.decrypted(room).map_err(|error| Cause::Tls(error.into()))? {
                return Ok(len);
            }
            match self.socket.receive(&mut room[..received_len], deadline)? {
                0 => return Ok(0),
                len => self.socket.absorb(session, &room[..len])?,
            }
        }
    }
}

impl runtime::Stream for Stream {
    fn try_peek(&mut self) -> io::Result<usize> {
        let socket = &self.socket.socket;
        match &mut self.tls {
            None => socket::try_peek(socket),
            Some(session) => without_waiting::peek(session, || socket::try_peek(socket), |room| (&*socket).read(room)),
        }
    }

    fn try_send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let socket = &self.socket.socket;
        match &mut self.tls {
            None => socket::try_send(socket, bytes),
            Some(session) => without_waiting::send(session, bytes, |parts| socket::try_send_vectored(socket, parts)),
        }
    }
}

impl Drop for Stream {
    /// The end of a TLS connection is sent, so that the server does not report it as cut.
    fn drop(&mut self) {
        if let Some(session) = &mut self.tls {
            session.close();
            let _ = runtime::Stream::try_send(self, &[]);
        }
    }
}

/// A socket, and its timeout for receiving; a new one has none.
struct TimedSocket {
    socket: Socket,
    read_timeout: Option<Duration>,
}

impl TimedSocket {
    /// Sends some of `bytes`. Most requests fit into the socket's buffer; only the others set a timeout.
    fn send(&self, bytes: &[u8], deadline: Deadline) -> Result<usize, Cause> {
        match socket::try_send(&self.socket, bytes) {
            Err(error) if is_to_be_repeated(&error) => {}
            outcome => return outcome.map_err(Cause::Io),
        }
        loop {
            self.set_write_timeout(deadline)?;
            match socket::send(&self.socket, bytes) {
                Err(error) if is_to_be_repeated(&error) => {}
                outcome => return outcome.map_err(Cause::Io),
            }
        }
    }

    /// Sends the bytes of a TLS connection, all of them.
    fn transmit(&mut self, session: &mut Session, deadline: Deadline) -> Result<(), Cause> {
        let mut is_full = false;
        while session.wants_send() {
            if is_full {
                self.set_write_timeout(deadline)?;
            }
            let sent = session.transmit(|parts| match is_full {
                false => socket::try_send_vectored(&self.socket, parts),
                true => socket::send_vectored(&self.socket, parts),
            });
            match sent {
                Ok(_) => {}
                Err(error) if is_to_be_repeated(&error) => is_full = true,
                Err(error) => return Err(self.problem_behind(session, error)),
            }
        }
        Ok(())
    }

    /// Passes received bytes to a TLS connection. If it refuses them, the server receives the reason.
    fn absorb(&self, session: &mut Session, bytes: &[u8]) -> Result<(), Cause> {
        session.absorb(bytes).map_err(|error| {
            let _ = without_waiting::send(session, &[], |parts| socket::try_send_vectored(&self.socket, parts));
            Cause::Tls(error.into())
        })
    }

    /// A server that refuses the client's certificate sends the reason before it closes the connection, and the client
    /// may notice the second first.
    fn problem_behind(&self, session: &mut Session, error: io::Error) -> Cause {
        let mut room = [0; HANDSHAKE_ROOM_LEN];
        if connect::is_closed_by_peer(&error)
            && socket::try_peek(&self.socket).is_ok()
            && let Ok(len) = (&self.socket).read(&mut room)
            && let Err(problem) = session.absorb(&room[..len])
        {
            return Cause::Tls(problem.into());
        }
        Cause::Io(error)
    }

    /// Receives into `room`. Returns 0 if the peer has closed the connection.
    fn receive(&mut self, room: &mut [u8], deadline: Deadline) -> Result<usize, Cause> {
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

    fn set_write_timeout(&self, deadline: Deadline) -> Result<(), Cause> {
        let left = deadline.left().ok_or(Cause::TimedOut)?;
        self.socket.set_write_timeout(Some(left.max(TIMEOUT_MIN))).map_err(Cause::Io)
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
