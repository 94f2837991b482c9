//! What can go wrong, cut by what the caller can do about it.

use std::fmt;
use std::io;
use std::time::Duration;

use sharedance_core::protocol::KeyError;
use thiserror::Error;

/// Why a request has no result.
///
/// Nothing of a key or a value is in it, so that it can be logged: the key of a web session is a credential.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// The text that names the server cannot be understood. Nothing was sent.
    #[error("{address:?} is no address of a server: {reason}")]
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
        /// What the system's resolver said.
        source: io::Error,
    },

    /// None of the server's addresses could be connected to. Nothing was sent.
    #[error("cannot reach {server}: {source}")]
    Unreachable {
        /// The server.
        server: String,
        /// What was tried.
        source: Attempts,
    },

    /// The time was over. A request that was sent whole, or nearly, may have been executed.
    #[error("{server} timed out after {} ms {phase}", after.as_millis())]
    TimedOut {
        /// The server.
        server: String,
        /// What was being done.
        phase: Phase,
        /// For how long it had been done.
        after: Duration,
    },

    /// The server closed the connection without an answer: it refused the request, for instance because of its own
    /// limit on length, or it is in trouble and could not execute it. The dialect does not tell which.
    #[error("{server} refused the request: it closed the connection without an answer")]
    Refused {
        /// The server.
        server: String,
        /// How the system reported the end, if it was not in good order.
        source: Option<io::Error>,
    },

    /// The connection broke within the answer. The request was executed, or partly answered at least.
    #[error("{server} broke off after {received_len} bytes of its answer")]
    Cut {
        /// The server.
        server: String,
        /// How many bytes of the answer had come.
        received_len: usize,
        /// How the system reported the end, if it was not in good order.
        source: Option<io::Error>,
    },

    /// What answers there is no server of this dialect.
    #[error("{server} answered something that no sharedanced answers: is another service there?")]
    Foreign {
        /// The server.
        server: String,
    },

    /// No server would accept this key. Nothing was sent.
    #[error(transparent)]
    Key(#[from] KeyError),

    /// The request is longer than the limit. Nothing was sent.
    #[error("a request of {len} bytes is larger than the limit of {max} bytes")]
    TooLarge {
        /// The request's length in bytes: header, key and value.
        len: u64,
        /// The limit in force.
        max: usize,
    },

    /// The value that the server sends is longer than the limit; the rest of it was not read.
    #[error("the value that {server} sends is larger than the limit of {max} bytes")]
    AnswerTooLarge {
        /// The server.
        server: String,
        /// The limit in force.
        max: usize,
    },

    /// The system failed in a way that says nothing about the server.
    #[error("{phase} with {server} failed")]
    Io {
        /// The server.
        server: String,
        /// What was being done.
        phase: Phase,
        /// What the system said.
        source: io::Error,
    },
}

impl Error {
    /// Whether the time was over, in whichever phase.
    pub fn is_timeout(&self) -> bool {
        matches!(self, Error::TimedOut { .. })
    }

    /// Whether the same call may succeed when it is made again, now or somewhat later.
    ///
    /// Every request can be repeated without harm to its own effect. A store or a delete that is repeated late may
    /// still undo what somebody else has stored in the meantime.
    pub fn may_retry(&self) -> bool {
        match self {
            Error::Unresolved { .. }
            | Error::Unreachable { .. }
            | Error::TimedOut { .. }
            | Error::Refused { .. }
            | Error::Cut { .. }
            | Error::Io { .. } => true,
            Error::Address { .. }
            | Error::Foreign { .. }
            | Error::Key(_)
            | Error::TooLarge { .. }
            | Error::AnswerTooLarge { .. } => false,
        }
    }

    /// Whether nothing was sent, so that the server cannot have executed the request.
    pub fn nothing_was_sent(&self) -> bool {
        match self {
            Error::Address { .. }
            | Error::Unresolved { .. }
            | Error::Unreachable { .. }
            | Error::Key(_)
            | Error::TooLarge { .. } => true,
            Error::TimedOut { phase, .. } | Error::Io { phase, .. } => *phase == Phase::Connect,
            Error::Refused { .. } | Error::Cut { .. } | Error::Foreign { .. } | Error::AnswerTooLarge { .. } => false,
        }
    }
}

/// What was being done when it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// Opening the connection.
    Connect,
    /// Sending the request.
    Send,
    /// Waiting for the answer, and receiving it.
    Receive,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Phase::Connect => "connecting",
            Phase::Send => "sending the request",
            Phase::Receive => "waiting for the answer",
        })
    }
}

/// One address of a server, and why it could not be connected to.
#[derive(Debug)]
#[non_exhaustive]
pub struct Attempt {
    /// The address.
    pub address: String,
    /// What the system said.
    pub error: io::Error,
}

/// All that was tried to reach a server, in the order in which it was tried.
#[derive(Debug)]
pub struct Attempts(pub(crate) Vec<Attempt>);

impl Attempts {
    /// One for each address.
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
        self.0.last().map(|attempt| &attempt.error as _)
    }
}
