//! Decodes the input of a memcached connection, request by request, and executes it.

use sharedance_core::protocol::memcached;
use sharedance_core::protocol::memcached::binary::{HEADER_LEN, Status, Tag, push_error};
use sharedance_core::protocol::{DecodeError, Decoded};

use super::context::Context;
use super::step::Step;
use super::{binary, guard, text};
use crate::buffers::Output;

/// The response to a request in the text dialect where that is not allowed.
const DIALECT_NOT_ALLOWED: &[u8] = b"CLIENT_ERROR the text dialect is not allowed on this connection\r\n";

/// Interprets the input of one connection in a dialect of memcached.
#[derive(Debug)]
pub(crate) enum Interpreter {
    Text {
        decoder: memcached::text::Decoder,
        /// Whether a key of the current retrieval was refused.
        is_refusing: bool,
    },
    Binary {
        decoder: memcached::binary::Decoder,
        /// Whether an exchange of credentials has begun.
        has_begun_sasl: bool,
    },
    /// Refuses the first request: the dialect is not allowed.
    Refusing(Refused),
}

/// A dialect that is refused and has a response for that.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Refused {
    Text,
    Binary,
}

impl Interpreter {
    pub(crate) fn text() -> Interpreter {
        Interpreter::Text { decoder: memcached::text::Decoder::new(), is_refusing: false }
    }

    pub(crate) fn binary() -> Interpreter {
        Interpreter::Binary { decoder: memcached::binary::Decoder::new(), has_begun_sasl: false }
    }

    /// An interpreter that refuses the first request in the dialect of `self`.
    pub(crate) fn refusing(self) -> Interpreter {
        match self {
            Interpreter::Text { .. } => Interpreter::Refusing(Refused::Text),
            Interpreter::Binary { .. } => Interpreter::Refusing(Refused::Binary),
            refusing @ Interpreter::Refusing(_) => refusing,
        }
    }

    /// Whether it is an interpreter of the binary dialect, where each response belongs to a request.
    pub(crate) fn is_binary(&self) -> bool {
        matches!(self, Interpreter::Binary { .. } | Interpreter::Refusing(Refused::Binary))
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
            Interpreter::Text { decoder, is_refusing } => match decoder.decode(input, context.limits)? {
                Decoded::Complete { message, consumed } if context.access.is_unrestricted() => {
                    text::execute(message, consumed, context, output)
                }
                Decoded::Complete { message, consumed } => {
                    guard::execute_text(message, consumed, is_refusing, context, output)
                }
                Decoded::Incomplete { needed } => Step::Incomplete { needed },
            },
            Interpreter::Binary { decoder, has_begun_sasl } => match decoder.decode(input, context.limits)? {
                Decoded::Complete { message, consumed } if context.access.is_unrestricted() => {
                    binary::execute(message, consumed, context, output)
                }
                Decoded::Complete { message, consumed } => {
                    guard::execute_binary(message, consumed, has_begun_sasl, context, output)
                }
                Decoded::Incomplete { needed } => Step::Incomplete { needed },
            },
            Interpreter::Refusing(dialect) => dialect.refuse(input, output),
        })
    }
}

impl Refused {
    /// Responds to the request at the beginning of `input`. What follows it is not decoded.
    fn refuse<'a>(self, input: &[u8], output: &mut Output) -> Step<'a> {
        match self {
            Refused::Text => output.bytes().extend_from_slice(DIALECT_NOT_ALLOWED),
            Refused::Binary => {
                let Some(header) = input.first_chunk() else {
                    return Step::Incomplete { needed: HEADER_LEN };
                };
                push_error(output.bytes(), Tag::of(header), Status::NotSupported);
            }
        }
        Step::Last { consumed: input.len() }
    }
}
