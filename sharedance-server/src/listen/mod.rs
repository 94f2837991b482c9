//! Listening sockets, accepting from them, and when to pause that.

mod admission;
mod sockets;

pub(crate) use admission::Admission;
pub use sockets::BindError;
pub(crate) use sockets::{Accepted, Listener, Spare, break_off, listen, local_addr, local_addrs};
