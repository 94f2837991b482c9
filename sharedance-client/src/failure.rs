//! The reason why a connection can no longer be used, before the server's name is added to the error.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Phase};
use crate::reply::ReplyError;

#[derive(Debug)]
pub(crate) enum Failure {
    TimedOut { phase: Phase, after: Duration },
    Closed { received_len: usize, source: Option<io::Error> },
    Foreign,
    ValueTooLarge { max: usize },
    Io { phase: Phase, source: io::Error },
}

impl Failure {
    pub(crate) fn of_reply(error: ReplyError, max: usize) -> Failure {
        match error {
            ReplyError::Foreign => Failure::Foreign,
            ReplyError::ValueTooLarge { .. } => Failure::ValueTooLarge { max },
        }
    }

    /// A failed system call.
    pub(crate) fn of_io(source: io::Error, phase: Phase, received_len: usize) -> Failure {
        match crate::connect::is_closed_by_peer(&source) {
            true => Failure::Closed { received_len, source: Some(source) },
            false => Failure::Io { phase, source },
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
            Failure::Foreign => Error::UnexpectedReply { server },
            Failure::ValueTooLarge { max } => Error::AnswerTooLarge { server, max },
            Failure::Io { phase, source } => Error::Io { server, phase, source: source.into() },
        }
    }
}
