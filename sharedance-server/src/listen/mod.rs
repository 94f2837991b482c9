//! Listening sockets, accepting from them, and when to refuse or to pause.
//!
//! - [`ListenSpec`]: what to listen on, as the options describe it; [`listen`] binds the sockets.
//! - [`ListenerOptions`]: what a connection may do because of its listener.
//! - [`Acceptor`]: accepts connections for one worker.
//! - [`ConnectionLimit`]: the limit on connections, and pauses of accepting.

mod accept;
mod address;
mod admission;
mod bind;
mod error;
mod inherited;
mod listener;
mod networks;
mod options;
mod port;
mod socket_file;
mod spec;
mod tcp;
mod unix;

pub(crate) use accept::{Acceptor, Denied, NewConnection, reset};
pub use address::BoundAddress;
pub(crate) use admission::ConnectionLimit;
pub(crate) use bind::{Listening, listen};
pub use error::{BindError, UnixError};
pub(crate) use listener::Listener;
pub use networks::{Network, NetworkError};
pub use options::{Dialects, ListenerKind, ListenerOptions};
pub(crate) use port::parse_port;
pub(crate) use socket_file::SocketFile;
pub use spec::{ListenAddress, ListenSpec, SpecError};
