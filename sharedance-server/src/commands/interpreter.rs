//! Decodes the input of a memcached connection, request by request, and executes it.

use sharedance_core::protocol::memcached;
use sharedance_core::protocol::{DecodeError, Decoded};

use super::context::Context;
use super::step::Step;
use super::{binary, text};
use crate::buffers::Output;

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
