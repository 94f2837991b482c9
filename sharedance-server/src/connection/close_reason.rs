//! Why a connection ends, and how that is logged.

use std::fmt;
use std::time::Instant;

use log::Level;
use rustix::io::Errno;
use sharedance_core::protocol::DecodeError;
use sharedance_core::store::StoreError;

#[cfg(feature = "tls")]
use super::tls::TlsFailure;
use crate::buffers::OverBudget;
use crate::observe::Counters;
use crate::process::logging::{Kind, LogLimits};

/// Why a connection ends, or why a request was refused.
#[derive(Debug)]
pub(crate) enum CloseReason {
    /// All responses were sent.
    Completed,
    /// The peer closed before its request was complete.
    PeerClosed,
    /// The bytes are not a request, or not one that is allowed.
    InvalidRequest(DecodeError),
    /// The listener does not allow the dialect.
    DialectNotAllowed,
    /// The peer has sent wrong credentials.
    WrongCredentials {
        /// Its address.
        peer: String,
    },
    /// The dialect has no credentials, and the listener requires them.
    NoCredentials {
        /// The address of the peer.
        peer: String,
    },
    /// The credentials of the connection are no longer valid.
    Revoked,
    /// The store could not execute the request.
    StoreFailed(StoreError),
    /// All connections together, or this one, would use more memory than they may.
    OverBudget,
    /// The highest number of connections is open.
    TooManyConnections,
    /// The peer took too long to send its request or to receive the response.
    TooSlow,
    /// The peer has sent no request for too long.
    Idle,
    /// The server stops.
    Stopping,
    /// The socket failed.
    SocketFailed(Errno),
    /// TLS failed.
    #[cfg(feature = "tls")]
    TlsFailed(TlsFailure),
}

impl CloseReason {
    /// The peer took too long for its part of a handshake.
    #[cfg(feature = "tls")]
    pub(crate) const HANDSHAKE_TOO_SLOW: CloseReason = CloseReason::TlsFailed(TlsFailure::HandshakeTooSlow);
    #[cfg(not(feature = "tls"))]
    pub(crate) const HANDSHAKE_TOO_SLOW: CloseReason = CloseReason::TooSlow;

    /// Counts the reason if it is one that the statistics have.
    pub(crate) fn count(&self, _counters: &Counters) {
        #[cfg(feature = "tls")]
        if let CloseReason::TlsFailed(failure) = self {
            failure.count(_counters);
        }
    }

    /// Whether the connection ends without a decision on its request. The connection is [reset](crate::listen::reset)
    /// then, so that the peer can detect it.
    pub(crate) fn is_without_decision(&self) -> bool {
        matches!(
            self,
            CloseReason::DialectNotAllowed
                | CloseReason::NoCredentials { .. }
                | CloseReason::Revoked
                | CloseReason::StoreFailed(_)
                | CloseReason::OverBudget
                | CloseReason::Stopping
        )
    }

    /// Logs the reason if the operator has to know it, without keys and values, and limited in number.
    pub(crate) fn log(&self, log: &LogLimits, now: Instant) {
        match self {
            CloseReason::Completed | CloseReason::PeerClosed | CloseReason::Stopping | CloseReason::Idle => {}
            CloseReason::StoreFailed(error) => log.log_store_error(error, now),
            CloseReason::WrongCredentials { peer } => {
                let line = format_args!("wrong credentials from {peer}");
                log.log(Kind::WrongCredentials, Level::Warn, now, line);
            }
            CloseReason::NoCredentials { peer } => {
                let line = format_args!(
                    "a connection of the classic dialect from {peer} was refused: that dialect has no credentials; a \
                     listener with auth=off serves it"
                );
                log.log(Kind::NoCredentials, Level::Warn, now, line);
            }
            CloseReason::OverBudget => {
                let line = format_args!("a request was refused: {self}; --inflight sets the limit");
                log.log(Kind::OverBudget, Level::Warn, now, line);
            }
            #[cfg(feature = "tls")]
            CloseReason::TlsFailed(_) => {
                log.log(Kind::FailedTls, Level::Info, now, format_args!("a connection was closed: {self}"));
            }
            CloseReason::InvalidRequest(_)
            | CloseReason::Revoked
            | CloseReason::DialectNotAllowed
            | CloseReason::TooManyConnections
            | CloseReason::TooSlow
            | CloseReason::SocketFailed(_) => {
                log.log(Kind::ClosedConnection, Level::Debug, now, format_args!("a connection was closed: {self}"));
            }
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CloseReason::Completed => f.write_str("completed"),
            CloseReason::PeerClosed => f.write_str("the peer closed it within a request"),
            CloseReason::InvalidRequest(error) => write!(f, "invalid request: {error}"),
            CloseReason::DialectNotAllowed => f.write_str("its listener does not allow this dialect"),
            CloseReason::WrongCredentials { .. } => f.write_str("its credentials are wrong"),
            CloseReason::NoCredentials { .. } => f.write_str("its dialect has no credentials"),
            CloseReason::Revoked => f.write_str("its credentials are no longer valid"),
            CloseReason::StoreFailed(error) => write!(f, "the store could not execute the request: {error}"),
            CloseReason::OverBudget => f.write_str("too many bytes are in flight"),
            CloseReason::TooManyConnections => f.write_str("too many connections are open"),
            CloseReason::TooSlow => f.write_str("the peer was too slow"),
            CloseReason::Idle => f.write_str("idle for too long"),
            CloseReason::Stopping => f.write_str("the server stops"),
            CloseReason::SocketFailed(error) => write!(f, "the socket failed: {error}"),
            #[cfg(feature = "tls")]
            CloseReason::TlsFailed(failure) => failure.fmt(f),
        }
    }
}

impl From<OverBudget> for CloseReason {
    fn from(OverBudget: OverBudget) -> CloseReason {
        CloseReason::OverBudget
    }
}

#[cfg(feature = "tls")]
impl From<TlsFailure> for CloseReason {
    fn from(failure: TlsFailure) -> CloseReason {
        CloseReason::TlsFailed(failure)
    }
}

#[cfg(feature = "tls")]
impl From<rustls::Error> for CloseReason {
    fn from(error: rustls::Error) -> CloseReason {
        TlsFailure::from(error).into()
    }
}

impl From<Errno> for CloseReason {
    fn from(error: Errno) -> CloseReason {
        CloseReason::SocketFailed(error)
    }
}
