//! Listening sockets, accepting from them, and when to refuse or to pause.

mod accept;
mod admission;
mod sockets;

pub(crate) use accept::{Acceptor, reset};
pub(crate) use admission::ConnectionLimit;
pub use sockets::BindError;
pub(crate) use sockets::{Listener, listen, local_addr, local_addrs};
