//! The error type. Its variants differ in what the caller can do next.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use sharedance_core::protocol::KeyError;
use thiserror::Error;

use crate::reply::Rejection;
use crate::tls::TlsProblem;

/// Why a request has no result.
///
/// It contains no part of a key or a value, so it can be logged: the key of a web session is a credential. It
/// implements `Clone`, because one failure of a server is the result for many keys of a batch.
///
/// [`delivery`](Error::delivery) and [`is_retryable`](Error::is_retryable) help to decide what to do next:
///
/// ```no_run
/// # fn example(client: &sharedance_client::Client) -> Result<(), sharedance_client::Error> {
/// use sharedance_client::{Delivery, Ttl};
///
/// match client.incr("visits", 1) {
///     Ok(visits) => println!("{visits:?}"),
///     Err(error) if error.delivery() == Delivery::Unknown => println!("counted or not: {error}"),
///     Err(error) if error.is_retryable() => println!("later: {error}"),
///     Err(error) => return Err(error),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum Error {
    /// The address of the server cannot be parsed. Nothing was sent.
    #[error("{address:?} is not a server address: {reason}")]
    Address {
        /// The text.
        address: String,
        /// What is wrong with it.
        reason: &'static str,
    },

    /// The server's name has no address. Nothing was sent.
    #[error("cannot reach {server}: its name cannot be resolved")]
    Unresolved {
        /// The server.
        server: String,
        /// The error of the system's resolver.
        source: Arc<io::Error>,
    },

    /// No connection to any of the server's addresses succeeded. Nothing was sent.
    #[error("cannot reach {server}: {source}")]
    Unreachable {
        /// The server.
        server: String,
        /// The attempts that failed.
        source: Attempts,
    },

    /// There is no TLS connection to the server. The server executed nothing. Except for [`TlsProblem::Closed`] the
    /// certificates or the options must be changed: the server is not tried again for a while, as one that is down.
    #[error("cannot use {server} by TLS: {problem}")]
    Tls {
        /// The server.
        server: String,
        /// What is wrong.
        problem: TlsProblem,
    },

    /// The server does not accept the name and the password. It executed nothing, and is not tried again for a while.
    #[error("{server} does not accept the name and the password: compare them with the server's file of credentials")]
    AuthenticationFailed {
        /// The server.
        server: String,
    },

    /// The name or the password cannot be sent. Nothing was sent.
    #[error("the credentials cannot be used: {reason}")]
    Credentials {
        /// What is wrong.
        reason: &'static str,
    },

    /// The options of TLS cannot be used, for instance because a file cannot be read. Nothing was sent.
    #[error("the options of TLS cannot be used: {reason}")]
    TlsOptions {
        /// What is wrong.
        reason: String,
    },

    /// The server recently could not be reached, and is not tried again before `retry_in` has passed. Nothing was sent.
    #[error("{server} is down: it is tried again in {} ms", retry_in.as_millis())]
    Down {
        /// The server.
        server: String,
        /// When it may be tried again.
        retry_in: Duration,
    },

    /// The timeout has passed. A request that was sent in full or in part may have been executed.
    #[error("{server} timed out after {} ms {phase}", after.as_millis())]
    TimedOut {
        /// The server.
        server: String,
        /// The phase in which the timeout passed.
        phase: Phase,
        /// The duration of the phase.
        after: Duration,
    },

    /// The server of the memcached dialect reported that it did not execute the request.
    #[error("{server} refused the request: {rejection}")]
    Rejected {
        /// The server.
        server: String,
        /// Why.
        rejection: Rejection,
    },

    /// The lock is no longer held: its TTL has passed. Nothing was changed, and values that the next holder of the lock
    /// has stored stay.
    #[error("the lock on {server} has expired before the call, which changed nothing: ask for it with a longer TTL")]
    LockExpired {
        /// The server.
        server: String,
    },

    /// A client without the lock has changed or deleted the value that was read under the lock, or the value has
    /// expired; or there was no value, and now there is one. Nothing was stored.
    #[error("the value on {server} was changed without the lock since it was read; nothing was stored: read it again")]
    Conflict {
        /// The server.
        server: String,
    },

    /// The connection that held a lock has ended, and the lock with it. Nothing was sent.
    #[error("the lock is lost: the connection to {server} that held it has ended")]
    LockLost {
        /// The server.
        server: String,
    },

    /// The server of the classic dialect closed the connection without a response: it refused the request, for instance
    /// because of its own limit on length, or it failed and could not execute it. The dialect does not distinguish
    /// these cases.
    #[error("{server} refused the request: it closed the connection without a response")]
    Refused {
        /// The server.
        server: String,
        /// The system's error, if the connection did not end orderly.
        source: Option<Arc<io::Error>>,
    },

    /// The connection ended before the response was complete. The request may have been executed.
    #[error("{server} closed the connection after {received_len} bytes of its response")]
    ConnectionLost {
        /// The server.
        server: String,
        /// The number of bytes of the response that were received.
        received_len: usize,
        /// The system's error, if the connection did not end orderly.
        source: Option<Arc<io::Error>>,
    },

    /// The response does not belong to this dialect.
    #[error("{server} sent a response that is not part of this protocol: check whether another service listens there")]
    UnexpectedReply {
        /// The server.
        server: String,
    },

    /// No server would accept this key. Nothing was sent.
    #[error(transparent)]
    Key(#[from] KeyError),

    /// The request is longer than the limit. Nothing was sent, and the old value stays. Store a smaller value, or raise
    /// the limit here and at the server.
    #[error("a request of {len} bytes is larger than the limit of {max} bytes")]
    TooLarge {
        /// The length in bytes of the whole request: the command line and the value with their line ends, or in the
        /// classic dialect the header, the key and the value.
        len: u64,
        /// The limit in force.
        max: usize,
    },

    /// The value cannot be written as JSON, for instance because a key of a map is not a string. Nothing was sent.
    #[error("the value cannot be stored as JSON: see what serde_json can write")]
    Encode,

    /// The stored value is not JSON of the requested type. The error has no details, so that no part of the value can
    /// be logged.
    #[error("the stored value of {len} bytes is not JSON of the requested type")]
    Decode {
        /// The length of the value in bytes.
        len: usize,
    },

    /// The value that the server sends is longer than the limit; the rest of it was not read.
    #[error("the value that {server} sends is larger than the limit of {max} bytes")]
    AnswerTooLarge {
        /// The server.
        server: String,
        /// The limit in force.
        max: usize,
    },

    /// A system call failed for a reason that is not caused by the server.
    #[error("{phase} with {server} failed")]
    Io {
        /// The server.
        server: String,
        /// The phase in which the timeout passed.
        phase: Phase,
        /// The error of the system.
        source: Arc<io::Error>,
    },
}

impl Error {
    /// Whether a timeout has passed, in any phase.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let client = sharedance_client::Client::builder("127.0.0.1:1").build()?;
    /// assert!(!client.get("greeting").unwrap_err().is_timeout());
    /// # Ok(())
    /// # }
    /// ```
    pub fn is_timeout(&self) -> bool {
        matches!(self, Error::TimedOut { .. })
    }

    /// Whether the request was delivered.
    ///
    /// ```
    /// use sharedance_client::{Delivery, Client};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let client = Client::builder("localhost").build()?;
    /// let error = client.get("no spaces, please").unwrap_err();
    /// assert_eq!(error.delivery(), Delivery::NotSent);
    /// # Ok(())
    /// # }
    /// ```
    pub fn delivery(&self) -> Delivery {
        match self {
            Error::Address { .. }
            | Error::Unresolved { .. }
            | Error::Unreachable { .. }
            | Error::Down { .. }
            | Error::Credentials { .. }
            | Error::TlsOptions { .. }
            | Error::LockLost { .. }
            | Error::Key(_)
            | Error::Encode
            | Error::TooLarge { .. } => Delivery::NotSent,
            Error::Tls { problem, .. } if !problem.is_of_client_certificate() => Delivery::NotSent,
            Error::Tls { .. } | Error::AuthenticationFailed { .. } => Delivery::Refused,
            Error::TimedOut { phase, .. } | Error::Io { phase, .. } => match phase {
                Phase::Wait | Phase::Connect => Delivery::NotSent,
                Phase::Send | Phase::Receive => Delivery::Unknown,
            },
            Error::Rejected { .. } | Error::Refused { .. } | Error::LockExpired { .. } | Error::Conflict { .. } => {
                Delivery::Refused
            }
            Error::ConnectionLost { .. }
            | Error::UnexpectedReply { .. }
            | Error::Decode { .. }
            | Error::AnswerTooLarge { .. } => Delivery::Unknown,
        }
    }

    /// Whether the same call may succeed when it is made again, now or later.
    ///
    /// Whether a repetition is safe depends on the call and on [`delivery`](Error::delivery). A read can always be
    /// repeated. A store or a delete that is repeated later may overwrite a value that another client has stored in the
    /// meantime, and a repeated increment or append may take effect twice.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// // No server is listening there now; later there may be one.
    /// let client = sharedance_client::Client::builder("127.0.0.1:1").build()?;
    /// assert!(client.get("greeting").unwrap_err().is_retryable());
    /// # Ok(())
    /// # }
    /// ```
    pub fn is_retryable(&self) -> bool {
        match self {
            Error::Unresolved { .. }
            | Error::Unreachable { .. }
            | Error::Down { .. }
            | Error::TimedOut { .. }
            | Error::Refused { .. }
            | Error::ConnectionLost { .. }
            | Error::Io { .. } => true,
            Error::Tls { problem, .. } => problem.is_temporary(),
            Error::Rejected { rejection, .. } => {
                matches!(rejection, Rejection::OutOfMemory | Rejection::TooManyConnections | Rejection::ServerError)
            }
            Error::Address { .. }
            | Error::AuthenticationFailed { .. }
            | Error::Credentials { .. }
            | Error::TlsOptions { .. }
            | Error::LockLost { .. }
            | Error::LockExpired { .. }
            | Error::Conflict { .. }
            | Error::UnexpectedReply { .. }
            | Error::Key(_)
            | Error::Encode
            | Error::Decode { .. }
            | Error::TooLarge { .. }
            | Error::AnswerTooLarge { .. } => false,
        }
    }

    /// Whether every attempt fails until a configuration is changed.
    pub(crate) fn is_lasting_refusal(&self) -> bool {
        match self {
            Error::Tls { problem, .. } => !problem.is_temporary(),
            Error::AuthenticationFailed { .. } => true,
            _ => false,
        }
    }

    /// Whether the server was not reached at all, so that another server may be tried.
    pub(crate) fn is_unreached(&self) -> bool {
        match self {
            Error::Unresolved { .. } | Error::Unreachable { .. } | Error::Down { .. } | Error::Tls { .. } => true,
            Error::TimedOut { phase, .. } | Error::Io { phase, .. } => *phase == Phase::Connect,
            _ => false,
        }
    }
}

/// Whether a request that has no result was delivered.
///
/// ```
/// use sharedance_client::{Delivery, Error};
///
/// /// Whether a request that must not be executed twice can be made again.
/// fn can_be_repeated(error: &Error) -> bool {
///     error.delivery() != Delivery::Unknown && error.is_retryable()
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Delivery {
    /// Nothing was sent: the server did not execute the request.
    NotSent,
    /// The request was sent at least in part, and there is no response: the server may have executed it, or may still
    /// do so.
    Unknown,
    /// The server reported that it did not execute the request, or, in the classic dialect, closed the connection.
    Refused,
}

/// The phase of a call in which it failed.
///
/// ```no_run
/// # fn example(error: sharedance_client::Error) {
/// use sharedance_client::{Error, Phase};
///
/// if let Error::TimedOut { phase: Phase::Wait, .. } = error {
///     println!("all connections are in use: allow more of them, see Builder::max_connections");
/// }
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// Waiting for a free connection of the client.
    Wait,
    /// Opening the connection.
    Connect,
    /// Sending the request.
    Send,
    /// Waiting for the response, and receiving it.
    Receive,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Phase::Wait => "waiting for a free connection",
            Phase::Connect => "connecting",
            Phase::Send => "sending the request",
            Phase::Receive => "waiting for the answer",
        })
    }
}

/// One address of a server, and why connecting to it failed: see [`Attempts`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Attempt {
    /// The address.
    pub address: String,
    /// The error of the system.
    pub error: Arc<io::Error>,
}

/// All failed attempts to reach a server, in the order in which they were made.
///
/// ```
/// use sharedance_client::{Client, Error};
///
/// # fn main() -> Result<(), Error> {
/// let client = Client::builder("127.0.0.1:1").build()?;
/// if let Err(Error::Unreachable { source, .. }) = client.get("greeting") {
///     for attempt in source.iter() {
///         println!("{}: {}", attempt.address, attempt.error);
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Attempts(pub(crate) Vec<Attempt>);

impl Attempts {
    /// One for each address: see [`Attempts`].
    pub fn iter(&self) -> std::slice::Iter<'_, Attempt> {
        self.0.iter()
    }

    pub(crate) fn all_timed_out(&self) -> bool {
        let timed_out = |attempt: &Attempt| attempt.error.kind() == io::ErrorKind::TimedOut;
        !self.0.is_empty() && self.iter().all(timed_out)
    }
}

impl fmt::Display for Attempts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, attempt) in self.iter().enumerate() {
            let separator = if index == 0 { "tried " } else { ", " };
            write!(f, "{separator}{} ({})", attempt.address, attempt.error)?;
        }
        Ok(())
    }
}

impl std::error::Error for Attempts {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.last().map(|attempt| &*attempt.error as _)
    }
}
