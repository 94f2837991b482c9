//! A connected socket on tokio. Opening it tries the addresses of a server in turn, up to a deadline.

use std::io::{self, ErrorKind, Read};
use std::net::SocketAddr;
use std::time::Duration;

use ::tokio::io::Interest;
use ::tokio::net::TcpStream;
#[cfg(unix)]
use ::tokio::net::UnixStream;
use ::tokio::time::{timeout, timeout_at};
use socket2::{SockRef, Socket};

use crate::address::Address;
use crate::connect;
use crate::error::{Attempt, Attempts, Error};
use crate::failure::{Cause, handshake_failed};
use crate::runtime;
use crate::socket;
use crate::time::Deadline;
use crate::tls::{Connector, HANDSHAKE_ROOM_LEN, RECEIVE_LEN, Session, TlsProblem, without_waiting};

pub(crate) struct Stream {
    socket: AnySocket,
    tls: Option<Session>,
}

impl Stream {
    pub(crate) async fn open(address: &Address, tls: Option<&Connector>, limit: Duration) -> Result<Stream, Error> {
        let deadline = Deadline::after(limit);
        let mut stream = Stream { socket: AnySocket::open(address, limit, deadline).await?, tls: None };
        if let Some(connector) = tls {
            let session = connector.session().map_err(Cause::Tls);
            let shaken = match session {
                Ok(session) => stream.shake_hands(session, deadline).await,
                Err(cause) => Err(cause),
            };
            shaken.map_err(|cause| handshake_failed(address, cause, deadline))?;
        }
        Ok(stream)
    }

    /// The last bytes of the client are sent together with the first request.
    async fn shake_hands(&mut self, session: Session, deadline: Deadline) -> Result<(), Cause> {
        let (socket, session) = (&self.socket, self.tls.insert(session));
        let mut room = [0; HANDSHAKE_ROOM_LEN];
        while session.is_handshaking() {
            socket.transmit(session, deadline).await?;
            match socket.receive(&mut room, deadline).await? {
                0 => return Err(Cause::Tls(TlsProblem::Closed)),
                len => socket.absorb(session, &room[..len])?,
            }
        }
        Ok(())
    }

    /// Sends some of `bytes`.
    pub(super) async fn send(&mut self, bytes: &[u8], deadline: Deadline) -> Result<usize, Cause> {
        match &mut self.tls {
            None => self.socket.send(deadline, |socket| socket::try_send(socket, bytes)).await,
            Some(session) => {
                let len = session.encrypt(bytes);
                self.socket.transmit(session, deadline).await?;
                Ok(len)
            }
        }
    }

    /// Receives into `room`. Returns 0 if the peer has closed the connection.
    pub(super) async fn receive(&mut self, room: &mut [u8], deadline: Deadline) -> Result<usize, Cause> {
        let Some(session) = &mut self.tls else {
            return self.socket.receive(room, deadline).await;
        };
        let received_len = room.len().min(RECEIVE_LEN);
        loop {
            if let Some(len) = session.decrypted(room).map_err(|error| Cause::Tls(error.into()))? {
                return Ok(len);
            }
            match self.socket.receive(&mut room[..received_len], deadline).await? {
                0 => return Ok(0),
                len => self.socket.absorb(session, &room[..len])?,
            }
        }
    }
}

impl runtime::Stream for Stream {
    fn try_send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let socket = self.socket.socket();
        match &mut self.tls {
            None => socket::try_send(&socket, bytes),
            Some(session) => without_waiting::send(session, bytes, |parts| socket::try_send_vectored(&socket, parts)),
        }
    }

    fn try_peek(&mut self) -> io::Result<usize> {
        let socket = &self.socket;
        match &mut self.tls {
            None => socket.try_peek(),
            Some(session) => {
                without_waiting::peek(session, || socket.try_peek(), |room| (&*socket.socket()).read(room))
            }
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

enum AnySocket {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
}

/// Calls a method of the TCP or the unix socket.
macro_rules! either {
    ($stream:expr, $socket:ident => $call:expr) => {
        match $stream {
            AnySocket::Tcp($socket) => $call,
            #[cfg(unix)]
            AnySocket::Unix($socket) => $call,
        }
    };
}

impl AnySocket {
    async fn open(address: &Address, limit: Duration, deadline: Deadline) -> Result<AnySocket, Error> {
        let connected = match address {
            Address::Tcp { host, port } | Address::Tls { host, port } => {
                let resolved = timeout(limit, ::tokio::net::lookup_host((host.as_str(), *port))).await;
                let addresses: Vec<SocketAddr> = resolved
                    .unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()))
                    .map_err(|source| Error::Unresolved { server: address.to_string(), source: source.into() })?
                    .collect();
                connect_in_turn(&addresses, deadline).await
            }
            #[cfg(unix)]
            Address::Unix { path } => match within(limit, UnixStream::connect(path)).await {
                Ok(socket) => Ok(AnySocket::Unix(socket)),
                Err(error) => Err(Attempts(vec![Attempt { address: address.to_string(), error: error.into() }])),
            },
            #[cfg(not(unix))]
            Address::Unix { .. } => Err(Attempts(Vec::new())),
        };
        connected.map_err(|attempts| connect::failed(address, attempts, deadline.elapsed()))
    }

    /// Waits until `attempt` can send.
    async fn send(
        &self,
        deadline: Deadline,
        mut attempt: impl FnMut(&Socket) -> io::Result<usize>,
    ) -> Result<usize, Cause> {
        loop {
            let sent = either!(self, socket => socket.try_io(Interest::WRITABLE, || attempt(&SockRef::from(socket))));
            match sent {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                outcome => return outcome.map_err(Cause::Io),
            }
            either!(self, socket => before(deadline, socket.writable()).await)?;
        }
    }

    /// Sends the bytes of a TLS connection, all of them.
    async fn transmit(&self, session: &mut Session, deadline: Deadline) -> Result<(), Cause> {
        while session.wants_send() {
            let sent = self.send(deadline, |socket| session.transmit(|parts| socket::try_send_vectored(socket, parts)));
            sent.await.map_err(|cause| self.problem_behind(session, cause))?;
        }
        Ok(())
    }

    /// Passes received bytes to a TLS connection. If it refuses them, the server receives the reason.
    fn absorb(&self, session: &mut Session, bytes: &[u8]) -> Result<(), Cause> {
        session.absorb(bytes).map_err(|error| {
            let _ = without_waiting::send(session, &[], |parts| socket::try_send_vectored(&self.socket(), parts));
            Cause::Tls(error.into())
        })
    }

    /// A server that refuses the client's certificate sends the reason before it closes the connection, and the client
    /// may notice the second first.
    fn problem_behind(&self, session: &mut Session, cause: Cause) -> Cause {
        let mut room = [0; HANDSHAKE_ROOM_LEN];
        if let Cause::Io(error) = &cause
            && connect::is_closed_by_peer(error)
            && let Ok(len) = (&*self.socket()).read(&mut room)
            && let Err(problem) = session.absorb(&room[..len])
        {
            return Cause::Tls(problem.into());
        }
        cause
    }

    /// Receives into `room`. Returns 0 if the peer has closed the connection.
    async fn receive(&self, room: &mut [u8], deadline: Deadline) -> Result<usize, Cause> {
        loop {
            // This makes no system call if the runtime knows that there is nothing to read.
            match either!(self, socket => socket.try_read(room)) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                outcome => return outcome.map_err(Cause::Io),
            }
            either!(self, socket => before(deadline, socket.readable()).await)?;
        }
    }

    /// Makes a system call even if the runtime knows of nothing to read: its driver may not have run since. If the
    /// runtime still has the readiness of the last response, this call clears it, so that the next `receive` does not
    /// try in vain.
    fn try_peek(&self) -> io::Result<usize> {
        let mut is_asked = false;
        let peeked = either!(self, socket => socket.try_io(Interest::READABLE, || {
            is_asked = true;
            socket::try_peek(&SockRef::from(socket))
        }));
        if is_asked { peeked } else { socket::try_peek(&self.socket()) }
    }

    fn socket(&self) -> SockRef<'_> {
        either!(self, socket => SockRef::from(socket))
    }
}

/// Connects to the first address that accepts. Each attempt has an equal part of the time that is left.
async fn connect_in_turn(addresses: &[SocketAddr], deadline: Deadline) -> Result<AnySocket, Attempts> {
    let mut attempts = Vec::with_capacity(addresses.len());
    for (index, &address) in addresses.iter().enumerate() {
        let share = deadline.left().unwrap_or_default() / (addresses.len() - index) as u32;
        match connect_tcp(address, share).await {
            Ok(socket) => return Ok(AnySocket::Tcp(socket)),
            Err(error) => attempts.push(Attempt { address: address.to_string(), error: error.into() }),
        }
    }
    Err(Attempts(attempts))
}

async fn connect_tcp(address: SocketAddr, limit: Duration) -> io::Result<TcpStream> {
    let socket = within(limit, TcpStream::connect(address)).await?;
    connect::prepare(&SockRef::from(&socket), address)?;
    Ok(socket)
}

async fn within<T>(limit: Duration, attempt: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(limit, attempt).await.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()))
}

/// Waits for the socket, up to the deadline.
async fn before(deadline: Deadline, readiness: impl Future<Output = io::Result<()>>) -> Result<(), Cause> {
    let ready = timeout_at(deadline.at().into(), readiness).await;
    ready.map_err(|_| Cause::TimedOut)?.map_err(Cause::Io)
}
