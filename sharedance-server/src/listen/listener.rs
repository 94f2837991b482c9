//! One listening socket.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{SocketFlags, accept_with};
use socket2::Socket;

use super::options::ListenerOptions;

/// One listening socket.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: Socket,
    options: ListenerOptions,
}

/// The result of an attempt to accept.
pub(super) enum Accepted {
    /// A connection, on a socket that does not block.
    Connection(OwnedFd),
    /// A connection was closed before it could be accepted; others may wait.
    Gone,
    /// No connection waits.
    NoneWaiting,
    /// A connection waits, and the process or the system has no descriptor or no memory for it.
    Exhausted(Errno),
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Listener {
    /// A listener on a socket that is bound.
    pub(super) fn new(socket: Socket, options: ListenerOptions) -> Listener {
        Listener { socket, options }
    }

    /// From now on peers can connect.
    pub(super) fn start(&self, backlog: i32) -> io::Result<()> {
        self.socket.listen(backlog)
    }

    pub(super) fn options(&self) -> ListenerOptions {
        self.options
    }

    /// Accepts one connection, by one system call: each further call would be made for every request.
    pub(super) fn accept(&self) -> Accepted {
        match accept_with(&self.socket, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
            Ok(socket) => Accepted::Connection(socket),
            Err(Errno::WOULDBLOCK) => Accepted::NoneWaiting,
            Err(error @ (Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM)) => Accepted::Exhausted(error),
            Err(_) => Accepted::Gone,
        }
    }

    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        let address = self.socket.local_addr()?;
        address.as_socket().ok_or_else(|| io::Error::other("the listening socket has no address"))
    }
}
