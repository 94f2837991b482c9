//! Decodes the input of a memcached connection, request by request, and executes it.

use std::time::Duration;

use sharedance_core::protocol::memcached;
use sharedance_core::protocol::{DecodeError, Decoded};

use super::context::Context;
use super::{binary, text};
use crate::buffers::Output;

/// The result of interpreting the first bytes of an input.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step<'a> {
    /// This many bytes were a request, or one key of a retrieval. It was executed, and the response, if there is one, is
    /// in the output.
    Done { consumed: usize },
    /// The input must have this many bytes.
    Incomplete { needed: usize },
    /// This many bytes request a lock. The requests behind them wait with it.
    Lock { consumed: usize, key: &'a [u8], wait: Duration, ttl: Duration },
    /// This many bytes release a lock.
    Unlock { consumed: usize, key: &'a [u8] },
    /// This many bytes release all locks of the connection.
    UnlockAll { consumed: usize, opaque: Option<&'a [u8]> },
    /// This many bytes were the last request: the connection ends once the output is sent.
    Last { consumed: usize },
}

/// Interprets the input of one connection in a dialect of memcached.
#[derive(Debug)]
pub(crate) enum Interpreter {
    Text(memcached::text::Decoder),
    Binary(memcached::binary::Decoder),
}

impl Interpreter {
    pub(crate) fn text() -> Interpreter {
        Interpreter::Text(memcached::text::Decoder::new())
    }

    pub(crate) fn binary() -> Interpreter {
        Interpreter::Binary(memcached::binary::Decoder::new())
    }

    /// Decodes and executes the next request at the beginning of `input`. A retrieval of several keys takes a step for
    /// each key.
    ///
    /// # Errors
    /// The bytes are not a request, and the connection must be closed. They get no response; what is in the output may be
    /// sent.
    #[inline]
    pub(crate) fn step<'a>(
        &mut self,
        input: &'a [u8],
        context: &Context<'_>,
        output: &mut Output,
    ) -> Result<Step<'a>, DecodeError> {
        Ok(match self {
            Interpreter::Text(decoder) => match decoder.decode(input, context.limits)? {
                Decoded::Complete { message, consumed } => text::execute(message, consumed, context, output),
                Decoded::Incomplete { needed } => Step::Incomplete { needed },
            },
            Interpreter::Binary(decoder) => match decoder.decode(input, context.limits)? {
                Decoded::Complete { message, consumed } => binary::execute(message, consumed, context, output),
                Decoded::Incomplete { needed } => Step::Incomplete { needed },
            },
        })
    }
}
