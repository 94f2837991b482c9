//! TLS for connections to servers. Without the feature `tls` only the problems exist, because errors contain them.
//!
//! [`Session`] is one TLS connection without I/O; the streams of both clients move its bytes.

#[cfg(not(feature = "tls"))]
mod absent;
#[cfg(feature = "tls")]
mod connector;
#[cfg(feature = "tls")]
mod options;
mod problem;
#[cfg(feature = "tls")]
mod session;
pub(crate) mod without_waiting;

#[cfg(not(feature = "tls"))]
pub(crate) use absent::{Connector, Session};
#[cfg(feature = "tls")]
pub(crate) use connector::Connector;
#[cfg(feature = "tls")]
pub use options::TlsOptions;
pub use problem::TlsProblem;
#[cfg(feature = "tls")]
pub(crate) use session::Session;

/// The maximum number of bytes to receive from the socket at once. What rustls cannot decrypt yet is copied once more.
pub(crate) const RECEIVE_LEN: usize = 32 * 1024;

/// The space for the messages of a handshake; longer ones are received in parts.
pub(crate) const HANDSHAKE_ROOM_LEN: usize = 4096;
