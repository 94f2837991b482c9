//! The reason why a connection cannot be used or can no longer be used, before the server's name is added to the error.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::address::Address;
use crate::connect::is_closed_by_peer;
use crate::error::{Error, Phase};
use crate::reply::ReplyError;
use crate::time::Deadline;
use crate::tls::TlsProblem;

/// Why nothing was sent or received.
#[derive(Debug)]
pub(crate) enum Cause {
    TimedOut,
    Io(io::Error),
    Tls(TlsProblem),
}

/// The error for a connection on which the TLS handshake did not succeed. `deadline` began with the connection.
pub(crate) fn handshake_failed(address: &Address, cause: Cause, deadline: Deadline) -> Error {
    let server = address.to_string();
    match cause {
        Cause::TimedOut => Error::TimedOut { server, phase: Phase::Connect, after: deadline.elapsed() },
        Cause::Tls(problem) => Error::Tls { server, problem },
        Cause::Io(error) if is_closed_by_peer(&error) => Error::Tls { server, problem: TlsProblem::Closed },
        Cause::Io(error) => Error::Io { server, phase: Phase::Connect, source: error.into() },
    }
}

#[derive(Debug)]
pub(crate) enum Failure {
    TimedOut {
        phase: Phase,
        after: Duration,
    },
    Closed {
        received_len: usize,
        source: Option<io::Error>,
    },
    Foreign,
    AuthenticationFailed,
    /// The server executed nothing.
    Tls(TlsProblem),
    ValueTooLarge {
        max: usize,
    },
    Io {
        phase: Phase,
        source: io::Error,
    },
}

impl Failure {
    pub(crate) fn of_reply(error: ReplyError, max: usize) -> Failure {
        match error {
            ReplyError::Foreign => Failure::Foreign,
            ReplyError::AuthenticationFailed => Failure::AuthenticationFailed,
            ReplyError::ValueTooLarge { .. } => Failure::ValueTooLarge { max },
        }
    }

    /// A failed system call.
    pub(crate) fn of_io(source: io::Error, phase: Phase, received_len: usize) -> Failure {
        match is_closed_by_peer(&source) {
            true => Failure::Closed { received_len, source: Some(source) },
            false => Failure::Io { phase, source },
        }
    }

    /// A violation of TLS after the handshake, as far as the client knows: the server may not have accepted its
    /// certificate yet.
    pub(crate) fn of_tls(problem: TlsProblem, phase: Phase) -> Failure {
        match problem.is_of_client_certificate() {
            true => Failure::Tls(problem),
            false => Failure::Io { phase, source: io::Error::new(io::ErrorKind::InvalidData, problem) },
        }
    }

    /// Whether the peer has closed the connection without sending anything, as a server does with an idle connection.
    pub(crate) fn is_silent_close(&self) -> bool {
        matches!(self, Failure::Closed { received_len: 0, .. })
    }

    pub(crate) fn into_error(self, server: &str) -> Error {
        let server = server.to_owned();
        match self {
            Failure::TimedOut { phase, after } => Error::TimedOut { server, phase, after },
            Failure::Closed { received_len, source } => {
                Error::ConnectionLost { server, received_len, source: source.map(Arc::new) }
            }
            Failure::AuthenticationFailed => Error::AuthenticationFailed { server },
            Failure::Tls(problem) => Error::Tls { server, problem },
            Failure::Foreign => Error::UnexpectedReply { server },
            Failure::ValueTooLarge { max } => Error::AnswerTooLarge { server, max },
            Failure::Io { phase, source } => Error::Io { server, phase, source: source.into() },
        }
    }
}
