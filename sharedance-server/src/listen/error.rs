//! Why the server cannot listen.

use std::io;
use std::net::SocketAddr;

use thiserror::Error;

/// Why the server cannot listen.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BindError {
    /// The name of the host cannot be resolved.
    #[error("the address \"{host}\" to listen on cannot be resolved")]
    Resolve {
        /// The name.
        host: String,
        /// The error of the resolver.
        source: io::Error,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}{}", advice(.source))]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why it failed.
        source: io::Error,
    },
    /// This server has no listeners of this kind.
    #[error("cannot listen on {0}: this server has no listeners of this kind")]
    Unsupported(String),
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => " (another server has this port: stop it, or choose another port)",
        io::ErrorKind::PermissionDenied => " (ports below 1024 need root's rights)",
        _ => "",
    }
}
