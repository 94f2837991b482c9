//! The settings of the server that clients can retrieve.

use std::time::Duration;

/// The settings of the server that clients can retrieve.
#[derive(Debug, Clone, Default)]
pub(crate) struct Settings {
    pub(crate) address: String,
    pub(crate) port: u16,
    /// The first Unix socket, or memcached's word for none.
    pub(crate) domain_socket: String,
    /// All addresses, separated by spaces.
    pub(crate) listeners: String,
    pub(crate) backlog: i32,
    pub(crate) threads: usize,
    pub(crate) max_connections: usize,
    pub(crate) max_request_len: usize,
    pub(crate) idle_timeout: Duration,
}
