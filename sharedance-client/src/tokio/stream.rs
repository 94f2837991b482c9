//! A connected socket on tokio. Opening it tries the addresses of a server in turn, up to a deadline.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use ::tokio::io::Interest;
use ::tokio::net::TcpStream;
#[cfg(unix)]
use ::tokio::net::UnixStream;
use ::tokio::time::{timeout, timeout_at};
use socket2::SockRef;

use crate::address::Address;
use crate::call::Cause;
use crate::connect;
use crate::error::{Attempt, Attempts, Error};
use crate::runtime;
use crate::socket;
use crate::time::Deadline;

pub(crate) enum Stream {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
}

/// Calls a method of the TCP or the unix socket.
macro_rules! either {
    ($stream:expr, $socket:ident => $call:expr) => {
        match $stream {
            Stream::Tcp($socket) => $call,
            #[cfg(unix)]
            Stream::Unix($socket) => $call,
        }
    };
}

impl Stream {
    pub(crate) async fn open(address: &Address, limit: Duration) -> Result<Stream, Error> {
        let deadline = Deadline::after(limit);
        let connected = match address {
            Address::Tcp { host, port } => {
                let resolved = timeout(limit, ::tokio::net::lookup_host((host.as_str(), *port))).await;
                let addresses: Vec<SocketAddr> = resolved
                    .unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()))
                    .map_err(|source| Error::Unresolved { server: address.to_string(), source: source.into() })?
                    .collect();
                connect_in_turn(&addresses, deadline).await
            }
            #[cfg(unix)]
            Address::Unix { path } => match within(limit, UnixStream::connect(path)).await {
                Ok(socket) => Ok(Stream::Unix(socket)),
                Err(error) => Err(Attempts(vec![Attempt { address: address.to_string(), error: error.into() }])),
            },
            #[cfg(not(unix))]
            Address::Unix { .. } => Err(Attempts(Vec::new())),
        };
        connected.map_err(|attempts| connect::failed(address, attempts, deadline.elapsed()))
    }

    /// Sends some of `bytes`.
    pub(super) async fn send(&self, bytes: &[u8], deadline: Deadline) -> Result<usize, Cause> {
        loop {
            let sent = either!(self, socket => {
                socket.try_io(Interest::WRITABLE, || socket::try_send(&SockRef::from(socket), bytes))
            });
            match sent {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                outcome => return outcome.map_err(Cause::Io),
            }
            either!(self, socket => before(deadline, socket.writable()).await)?;
        }
    }

    /// Receives into `room`. Returns 0 if the peer has closed the connection.
    pub(super) async fn receive(&self, room: &mut [u8], deadline: Deadline) -> Result<usize, Cause> {
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

    fn socket(&self) -> SockRef<'_> {
        either!(self, socket => SockRef::from(socket))
    }
}

impl runtime::Stream for Stream {
    fn try_send(&self, bytes: &[u8]) -> io::Result<usize> {
        socket::try_send(&self.socket(), bytes)
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
}

/// Connects to the first address that accepts. Each attempt has an equal part of the time that is left.
async fn connect_in_turn(addresses: &[SocketAddr], deadline: Deadline) -> Result<Stream, Attempts> {
    let mut attempts = Vec::with_capacity(addresses.len());
    for (index, &address) in addresses.iter().enumerate() {
        let share = deadline.left().unwrap_or_default() / (addresses.len() - index) as u32;
        match connect_tcp(address, share).await {
            Ok(socket) => return Ok(Stream::Tcp(socket)),
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
