//! The options of a [`Server`](crate::Server). Each field has the name of its option on the command line.

use std::num::NonZeroUsize;
use std::thread;
use std::time::Duration;

use sharedance_core::protocol::DEFAULT_MAX_REQUEST_LEN;

/// How to serve.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// The address or name to listen on; `None` is any address, IPv4 and IPv6.
    pub ip: Option<String>,
    /// The port; 0 lets the kernel choose.
    pub port: u16,
    /// How many connections may wait to be accepted at each listening socket. Each worker has four sockets for an address.
    pub backlog: i32,
    /// How many bytes are read at first from a connection; at least 1.
    pub readsize: usize,
    /// The longest request, in bytes.
    pub maxreadsize: usize,
    /// The most memory that incomplete requests and unsent responses of all connections may use, in bytes.
    pub inflight: usize,
    /// The most of that memory that one connection may use, in bytes.
    pub max_connection_memory: usize,
    /// How many connections may be open; `None` is as many as there are descriptors for.
    pub max_connections: Option<NonZeroUsize>,
    /// How long a peer may send or receive nothing while a request or a response is under way, before it is
    /// disconnected.
    pub timeout: Duration,
    /// How long a connection of a dialect with several requests may stay between two of them; `None` is without a limit.
    pub idle_timeout: Option<Duration>,
    /// The number of workers.
    pub threads: NonZeroUsize,
}

impl Default for ServerOptions {
    fn default() -> Self {
        ServerOptions {
            ip: None,
            port: 1042,
            backlog: 100,
            readsize: 4096,
            maxreadsize: DEFAULT_MAX_REQUEST_LEN,
            inflight: 256 * 1024 * 1024,
            max_connection_memory: DEFAULT_MAX_REQUEST_LEN + 4 * 1024 * 1024,
            max_connections: None,
            timeout: Duration::from_secs(60),
            idle_timeout: None,
            threads: thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
        }
    }
}
