//! Why the server cannot listen.

use std::io;
use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::path::PathBuf;

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
    /// The Unix socket cannot be listened on.
    #[error("cannot listen on the Unix socket {}", path.display())]
    Unix {
        /// The path of the socket.
        path: PathBuf,
        /// Why it failed.
        source: UnixError,
    },
    /// The service manager has handed over no socket that is left.
    #[error(
        "there is no socket of the service manager{} to listen on: {why}; start the server by its socket unit, or use \
         another --listen",
        .name.as_ref().map(|name| format!(" with the name \"{name}\"")).unwrap_or_default()
    )]
    NothingInherited {
        /// The name that was asked for.
        name: Option<String>,
        /// Why there is none.
        why: &'static str,
    },
    /// The service manager has handed over sockets, but none with this name.
    #[error(
        "the service manager has handed over no socket with the name \"{name}\", only {others}; see FileDescriptorName= \
             of the socket unit"
    )]
    NoSuchInherited {
        /// The name that was asked for.
        name: String,
        /// The names that there are.
        others: String,
    },
    /// What the service manager has handed over is not a socket that listens for streams.
    #[error("cannot listen on descriptor {descriptor}, which the service manager has handed over as \"{name}\"")]
    Inherited {
        /// Its name.
        name: String,
        /// Its number.
        descriptor: RawFd,
        /// What is wrong with it.
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

/// Why a Unix socket cannot be listened on.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum UnixError {
    /// The address of a Unix socket has no room for the path.
    #[error("its path has {len} bytes, and the path of a Unix socket has at most {max} bytes: choose a shorter one")]
    PathTooLong {
        /// The length of the path.
        len: usize,
        /// The longest possible path.
        max: usize,
    },
    /// There is no such group.
    #[error("there is no group \"{name}\" on this system")]
    UnknownGroup {
        /// The name as given.
        name: String,
    },
    /// The process may not give the socket to the group.
    #[error("cannot give it to group {gid} (only root and the members of a group can)")]
    Group {
        /// The group.
        gid: u32,
        /// Why it failed.
        source: io::Error,
    },
    /// There is a file that is not a socket.
    #[error("there is a file that is not a socket, which is not removed: choose another path, or remove it yourself")]
    NotASocket,
    /// Another server listens there.
    #[error("another server listens there: stop it, or choose another path")]
    InUse,
    /// Another process locks the directory for too long.
    #[error("its directory is locked by another process, which has kept it for some seconds: see `lslocks`")]
    Locked,
    /// The system refuses it.
    #[error("cannot {what}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        source: io::Error,
    },
}
