//! One listening socket.

use std::ffi::OsString;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::sync::Arc;

use rustix::io::Errno;
use rustix::net::{SocketAddrAny, SocketFlags, accept_with, acceptfrom_with};
use socket2::Socket;

use super::address::BoundAddress;
use super::networks::Network;
use super::options::{ListenerKind, ListenerOptions};

/// One listening socket of a worker.
#[derive(Debug, Clone)]
pub(crate) struct Listener {
    socket: Arc<Socket>,
    options: ListenerOptions,
    sharing: Sharing,
}

/// Who else accepts connections from a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sharing {
    /// No other listener.
    OneWorker,
    /// The other workers of this server.
    Workers,
    /// The other workers, and the server that follows this one.
    Servers,
}

/// The result of an attempt to accept.
pub(super) enum Accepted {
    /// A connection, on a socket that does not block.
    Connection(OwnedFd),
    /// A connection of a host that may not connect.
    Denied(OwnedFd, IpAddr),
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
    /// A listener for one worker.
    pub(super) fn of_worker(socket: Socket, options: ListenerOptions) -> Listener {
        Listener { socket: Arc::new(socket), options, sharing: Sharing::OneWorker }
    }

    /// A listener of which each worker has a clone.
    pub(super) fn of_workers(socket: Socket, options: ListenerOptions) -> Listener {
        Listener { socket: Arc::new(socket), options, sharing: Sharing::Workers }
    }

    /// The same, on a socket that stays open when the server has ended.
    pub(super) fn of_servers(socket: Socket, options: ListenerOptions) -> Listener {
        Listener { socket: Arc::new(socket), options, sharing: Sharing::Servers }
    }

    /// Whether other workers accept from the same socket.
    pub(crate) fn is_shared(&self) -> bool {
        self.sharing != Sharing::OneWorker
    }

    /// Whether the connections that wait may be left to another server.
    pub(crate) fn outlives_server(&self) -> bool {
        self.sharing == Sharing::Servers
    }

    /// From now on peers can connect.
    pub(super) fn start(&self, backlog: i32) -> io::Result<()> {
        self.socket.listen(backlog)
    }

    pub(crate) fn options(&self) -> ListenerOptions {
        self.options
    }

    /// Accepts one connection, by one system call: each further call would be made for every request. If there are
    /// `allowed` networks, hosts of others may not connect by TCP.
    pub(super) fn accept(&self, allowed: &[Network]) -> Accepted {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let accepted = match allowed.is_empty() || self.options.kind == ListenerKind::Unix {
            true => accept_with(&*self.socket, flags).map(|socket| (socket, None)),
            false => acceptfrom_with(&*self.socket, flags).map(|(socket, peer)| (socket, Some(ip_of(peer)))),
        };
        match accepted {
            Ok((socket, Some(host))) if !allowed.iter().any(|network| network.contains(host)) => {
                Accepted::Denied(socket, host)
            }
            Ok((socket, _)) => Accepted::Connection(socket),
            Err(Errno::WOULDBLOCK) => Accepted::NoneWaiting,
            Err(error @ (Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM)) => Accepted::Exhausted(error),
            Err(_) => Accepted::Gone,
        }
    }

    /// What it listens on, unless that cannot be found out.
    pub(crate) fn address(&self) -> Option<BoundAddress> {
        match self.options.kind {
            ListenerKind::Tcp => self.local_addr().ok().map(BoundAddress::Tcp),
            ListenerKind::Tls => self.local_addr().ok().map(BoundAddress::Tls),
            ListenerKind::Unix => self.local_path().ok().map(BoundAddress::Unix),
        }
    }

    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        let address = self.socket.local_addr()?;
        address.as_socket().ok_or_else(|| io::Error::other("the listening socket has no address"))
    }

    /// The path of a Unix socket; an abstract name follows an @, as usual.
    fn local_path(&self) -> io::Result<PathBuf> {
        let address = self.socket.local_addr()?;
        let name = address.as_abstract_namespace().map(|name| [b"@", name].concat());
        let name = name.map(|name| PathBuf::from(OsString::from_vec(name)));
        address.as_pathname().map(PathBuf::from).or(name).ok_or_else(|| io::Error::other("the Unix socket has no name"))
    }
}

/// The address of a peer. One that the kernel does not report is in no network that an operator names.
fn ip_of(peer: Option<SocketAddrAny>) -> IpAddr {
    let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok());
    peer.map_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED), |peer| peer.ip().to_canonical())
}
