//! What a server listens on.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

/// An address that a server listens on. Displays without its kind if that is plain TCP.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum BoundAddress {
    /// Plain text over TCP.
    Tcp(SocketAddr),
    /// TLS over TCP.
    Tls(SocketAddr),
    /// Plain text over a Unix socket.
    Unix(PathBuf),
}

impl BoundAddress {
    /// Whether only processes of this host can connect.
    pub fn is_local(&self) -> bool {
        self.as_socket_addr().is_none_or(|address| address.ip().to_canonical().is_loopback())
    }

    /// The address of a TCP listener.
    pub fn as_socket_addr(&self) -> Option<SocketAddr> {
        match self {
            BoundAddress::Tcp(address) | BoundAddress::Tls(address) => Some(*address),
            BoundAddress::Unix(_) => None,
        }
    }
}

impl fmt::Display for BoundAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BoundAddress::Tcp(address) => address.fmt(f),
            BoundAddress::Tls(address) => write!(f, "tls:{address}"),
            BoundAddress::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}
