//! Sans-I/O codecs: bytes to [`Request`], response to bytes, for client and server alike.
//!
//! Nothing here opens a socket, reads a clock or allocates for what a peer merely announces. A decoder looks at
//! the bytes that are there and answers one of three things: a whole message that borrows from them, how many bytes
//! must be there before it is worth looking again, or why the bytes can never become a message. The answer depends
//! on the bytes alone, never on how they were cut into reads.
//!
//! The normative description of the wire is `PROTOCOL.md`, included in [`dialects`].

use std::fmt;

use thiserror::Error;

pub mod classic;
pub mod memcached;

#[doc = include_str!("../../PROTOCOL.md")]
pub mod dialects {}

/// A language that is spoken on the port. The first byte of a connection decides which, for the connection's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dialect {
    /// The dialect of the first Sharedance: [`classic`].
    Classic,
    /// Memcached's text, with its meta commands: [`memcached::text`].
    MemcachedText,
    /// Memcached's binary frames: [`memcached::binary`].
    MemcachedBinary,
}

impl Dialect {
    /// The dialect that starts with this byte, or `None`: then the connection is to be closed.
    pub fn detect(first_byte: u8) -> Option<Dialect> {
        match first_byte {
            b'a'..=b'z' => Some(Dialect::MemcachedText),
            memcached::binary::MAGIC => Some(Dialect::MemcachedBinary),
            _ => classic::starts_request(first_byte).then_some(Dialect::Classic),
        }
    }
}

/// The longest key that a dialect carries, in bytes.
pub const MAX_KEY_LEN: usize = 250;

/// The limit on a whole request unless told otherwise: 32 MiB.
pub const DEFAULT_MAX_REQUEST_LEN: usize = 32 * 1024 * 1024;

/// What a peer asked for, free of the dialect in which it was said.
///
/// Keys and values borrow from the input. `Debug` prints lengths only: a web session's key is a credential.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Request<'a> {
    /// Store `value` under `key`, replacing what is there and starting its life anew.
    Store {
        /// The key, already found to be well-formed.
        key: &'a [u8],
        /// The value; may be empty.
        value: &'a [u8],
    },
    /// Answer the value of `key`, without prolonging its life.
    Fetch {
        /// The key, already found to be well-formed.
        key: &'a [u8],
    },
    /// Delete `key`.
    Delete {
        /// The key, already found to be well-formed.
        key: &'a [u8],
    },
}

impl<'a> Request<'a> {
    /// The key that the request is about.
    pub fn key(&self) -> &'a [u8] {
        match *self {
            Request::Store { key, .. } | Request::Fetch { key } | Request::Delete { key } => key,
        }
    }
}

impl fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Request::Store { key, value } => {
                write!(f, "Store {{ key: {} bytes, value: {} bytes }}", key.len(), value.len())
            }
            Request::Fetch { key } => write!(f, "Fetch {{ key: {} bytes }}", key.len()),
            Request::Delete { key } => write!(f, "Delete {{ key: {} bytes }}", key.len()),
        }
    }
}

/// What to tell the peer, free of the dialect in which it will be said.
///
/// `Debug` leaves the value out.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Response<V> {
    /// The value was stored.
    Stored,
    /// The value that was asked for.
    Value(V),
    /// The pair was there and is deleted.
    Deleted,
    /// There is no such pair.
    NotFound,
    /// The request was understood and could not be served.
    Failed,
}

impl<V> Response<V> {
    /// The same response with another kind of value in it, if it carries one.
    pub fn map<W>(self, f: impl FnOnce(V) -> W) -> Response<W> {
        match self {
            Response::Stored => Response::Stored,
            Response::Value(value) => Response::Value(f(value)),
            Response::Deleted => Response::Deleted,
            Response::NotFound => Response::NotFound,
            Response::Failed => Response::Failed,
        }
    }
}

impl<V> fmt::Debug for Response<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Response::Stored => "Stored",
            Response::Value(_) => "Value(..)",
            Response::Deleted => "Deleted",
            Response::NotFound => "NotFound",
            Response::Failed => "Failed",
        })
    }
}

/// The result of decoding: a whole message, or the length of input at which to try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decoded<T> {
    /// A whole message.
    Complete {
        /// The message.
        message: T,
        /// How many bytes of the input it took.
        consumed: usize,
    },
    /// Not all of it is there yet. This is no error.
    Incomplete {
        /// The length that the input must have before decoding it again can tell more; always greater than the length
        /// it has now, and never more than the request needs.
        needed: usize,
    },
}

/// Hard maximums that a decoder enforces before anything is reserved for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The longest request in bytes, header, key and value together.
    pub max_request_len: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { max_request_len: DEFAULT_MAX_REQUEST_LEN }
    }
}

/// Why bytes can never become a request. A connection that sent them is beyond repair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The first byte starts no request of any dialect.
    #[error("unknown command byte 0x{0:02x}")]
    UnknownCommand(u8),
    /// The key is empty, too long, or has a byte that keys must not have.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The header announces more than the limit.
    #[error("a request of {len} bytes is larger than the limit of {max} bytes")]
    TooLarge {
        /// Bytes announced, header included.
        len: u64,
        /// The limit in force.
        max: usize,
    },
    /// A command line goes on beyond the limit.
    #[error("a command line is longer than {max} bytes")]
    LineTooLong {
        /// The limit.
        max: usize,
    },
    /// A frame of the binary dialect begins with another byte than its magic one.
    #[error("a frame begins with 0x{0:02x}")]
    Magic(u8),
    /// Bytes follow a request in a dialect that carries one request a connection.
    #[error("{0} bytes follow the only request of the connection")]
    TrailingBytes(usize),
}

/// Why a key is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum KeyError {
    /// No byte at all.
    #[error("the key is empty")]
    Empty,
    /// More than [`MAX_KEY_LEN`] bytes.
    #[error("a key of {len} bytes is longer than {MAX_KEY_LEN} bytes")]
    TooLong {
        /// The key's length in bytes.
        len: u64,
    },
    /// A byte that a key must not have.
    #[error("byte 0x{byte:02x} at offset {offset} is not allowed in a key")]
    ForbiddenByte {
        /// The byte.
        byte: u8,
        /// Where it stands, counted from zero.
        offset: usize,
    },
}
