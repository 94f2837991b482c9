//! The socket of one connection, plain or with TLS. Never waits, except to connect.

use std::io::{self, ErrorKind, Read, Write};
use std::time::Duration;

use rustix::fd::{AsFd, BorrowedFd};
use socket2::{Domain, SockAddr, Socket, Type};

use super::Failure;
use super::session::Session;
use super::target::{Address, Target};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) struct Stream {
    socket: Socket,
    tls: Option<Session>,
}

/// The result of a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Received {
    /// There may be more.
    Some,
    Nothing,
    /// The server has closed the connection.
    End,
}

impl Stream {
    /// Opens the connection of this number. A TLS handshake begins with the first call of `send`.
    pub(super) fn open(target: &Target, number: usize) -> Result<Stream, Failure> {
        let socket = match &target.address {
            // Without a TIME_WAIT state when it is closed: tens of thousands of them would exhaust the ports.
            Address::Tcp(address) => {
                let socket = Socket::new(Domain::for_address(*address), Type::STREAM, None)?;
                socket.connect_timeout(&(*address).into(), CONNECT_TIMEOUT)?;
                socket.set_tcp_nodelay(true)?;
                socket.set_linger(Some(Duration::ZERO))?;
                socket
            }
            Address::Unix(path) => {
                let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
                // While the server's backlog is full, connecting waits.
                socket.set_write_timeout(Some(CONNECT_TIMEOUT))?;
                socket.connect(&SockAddr::unix(path)?)?;
                socket
            }
        };
        socket.set_nonblocking(true)?;
        Ok(Stream { socket, tls: target.session(number)? })
    }

    /// Whether bytes of TLS wait for room in the socket.
    pub(super) fn has_unsent(&self) -> bool {
        self.tls.as_ref().is_some_and(Session::wants_send)
    }

    /// Whether the TLS handshake is not complete.
    pub(super) fn is_handshaking(&self) -> bool {
        self.tls.as_ref().is_some_and(Session::is_handshaking)
    }

    /// Whether the TLS handshake continued an earlier session.
    pub(super) fn is_resumed(&self) -> Option<bool> {
        self.tls.as_ref()?.is_resumed()
    }

    /// Sends some of `bytes`, and returns how many; fewer if the socket has no more room.
    pub(super) fn send(&mut self, bytes: &[u8]) -> Result<usize, Failure> {
        let mut sent_len = 0;
        let Some(session) = &mut self.tls else {
            while sent_len < bytes.len()
                && let Some(len) = unless_full(self.socket.write(&bytes[sent_len..]))?
            {
                sent_len += len;
            }
            return Ok(sent_len);
        };
        loop {
            sent_len += session.encrypt(&bytes[sent_len..]);
            if !session.wants_send() {
                return Ok(sent_len);
            }
            if unless_full(session.transmit(|parts| self.socket.send_vectored(parts)))?.is_none() {
                return Ok(sent_len);
            }
        }
    }

    /// Reads once from the socket, and passes what has arrived to `take`.
    pub(super) fn receive(
        &mut self,
        room: &mut [u8],
        mut take: impl FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<Received, Failure> {
        let len = match unless_full((&self.socket).read(room))? {
            None => return Ok(Received::Nothing),
            Some(0) => return Ok(Received::End),
            Some(len) => len,
        };
        let Some(session) = &mut self.tls else {
            take(&room[..len])?;
            return Ok(Received::Some);
        };
        let failed = |error: rustls::Error| Failure::from(format!("the TLS connection failed: {error}"));
        session.absorb(&room[..len]).map_err(failed)?;
        while let Some(len) = session.decrypted(room).map_err(failed)? {
            if len == 0 {
                return Ok(Received::End);
            }
            take(&room[..len])?;
        }
        // The last messages of a handshake, and the requests that waited for its end.
        self.send(&[])?;
        Ok(Received::Some)
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// `None` if the call would have to wait.
fn unless_full(outcome: io::Result<usize>) -> io::Result<Option<usize>> {
    match outcome {
        Ok(len) => Ok(Some(len)),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(None),
        Err(error) => Err(error),
    }
}
