//! A connected socket on tokio, and how it is opened: the addresses of a server in turn, within a time.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use ::tokio::io::Interest;
use ::tokio::net::TcpStream;
#[cfg(unix)]
use ::tokio::net::UnixStream;
use ::tokio::time::timeout;
use socket2::SockRef;

use crate::address::Address;
use crate::connect;
use crate::error::{Attempt, Attempts, Error};
use crate::socket;
use crate::time::Deadline;

pub(crate) enum Stream {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
}

/// Calls a method of whichever socket it is.
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

    pub(crate) async fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            let sent = either!(self, socket => {
                socket.try_io(Interest::WRITABLE, || socket::try_send(&SockRef::from(socket), bytes))
            });
            match sent {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                outcome => return outcome,
            }
            either!(self, socket => socket.writable().await)?;
        }
    }

    pub(crate) async fn receive(&self, room: &mut [u8]) -> io::Result<usize> {
        loop {
            either!(self, socket => socket.readable().await)?;
            match either!(self, socket => socket.try_read(room)) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                outcome => return outcome,
            }
        }
    }

    /// Sends some of `bytes`, or fails with `WouldBlock`.
    pub(crate) fn try_send(&self, bytes: &[u8]) -> io::Result<usize> {
        socket::try_send(&self.socket(), bytes)
    }

    /// Returns 1 if there is something to read, 0 if the peer has closed the connection, and fails with `WouldBlock` if
    /// there is nothing.
    ///
    /// Asks the system, also where the runtime knows of nothing: its driver may not have run since. Where the runtime
    /// remembers that the last answer arrived, it learns that nothing is left of it, and the next
    /// [`receive`](Stream::receive) does not try in vain.
    pub(crate) fn try_peek(&self) -> io::Result<usize> {
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

/// Connects to the first of the addresses that answers. Each has an equal part of the time that is left.
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
