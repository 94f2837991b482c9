//! Listening on everything that the options name.

use std::fmt;
use std::net::SocketAddr;

use super::error::BindError;
use super::listener::Listener;
use super::options::{ListenerKind, ListenerOptions};
use super::spec::{ListenAddress, ListenSpec};
use super::tcp;

/// The sockets of a server, and their addresses.
#[derive(Debug)]
pub(crate) struct Listening {
    /// The listeners of each worker.
    pub(crate) per_worker: Vec<Vec<Listener>>,
    /// Each address once, in the order of the options.
    pub(crate) addresses: Vec<BoundAddress>,
}

/// An address that a server listens on. Displays without its kind if that is plain TCP.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum BoundAddress {
    /// Plain text over TCP.
    Tcp(SocketAddr),
    /// TLS over TCP.
    Tls(SocketAddr),
}

impl BoundAddress {
    /// The address of a TCP listener.
    pub fn as_socket_addr(&self) -> Option<SocketAddr> {
        match self {
            BoundAddress::Tcp(address) | BoundAddress::Tls(address) => Some(*address),
        }
    }
}

impl fmt::Display for BoundAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BoundAddress::Tcp(address) => address.fmt(f),
            BoundAddress::Tls(address) => write!(f, "tls:{address}"),
        }
    }
}

/// Listens for `workers` workers on everything that `specs` describe.
///
/// # Errors
/// One of them cannot be listened on.
pub(crate) fn listen(specs: &[ListenSpec], backlog: i32, workers: usize) -> Result<Listening, BindError> {
    let mut listening = Listening { per_worker: (0..workers).map(|_| Vec::new()).collect(), addresses: Vec::new() };
    for spec in specs {
        match &spec.address {
            ListenAddress::Tcp { host, port, tls: false } => {
                let options = spec.options(ListenerKind::Tcp);
                listening.add(tcp::listen(host.as_deref(), *port, options, backlog, workers)?);
            }
            address => return Err(BindError::Unsupported(address.to_string())),
        }
    }
    Ok(listening)
}

impl Listening {
    /// Adds listeners of each worker, on the same addresses for each of them.
    fn add(&mut self, per_worker: Vec<Vec<Listener>>) {
        for listener in per_worker.iter().take(1).flatten() {
            if let Some(address) = address_of(listener)
                && !self.addresses.contains(&address)
            {
                self.addresses.push(address);
            }
        }
        for (own, added) in self.per_worker.iter_mut().zip(per_worker) {
            own.extend(added);
        }
    }
}

fn address_of(listener: &Listener) -> Option<BoundAddress> {
    let ListenerOptions { kind, .. } = listener.options();
    match kind {
        ListenerKind::Tcp => listener.local_addr().ok().map(BoundAddress::Tcp),
        ListenerKind::Tls => listener.local_addr().ok().map(BoundAddress::Tls),
        ListenerKind::Unix => None,
    }
}
