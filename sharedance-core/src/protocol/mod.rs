//! Codecs without I/O: bytes to [`Request`], [`Response`] to bytes, for client and server.
//!
//! The codecs open no socket, read no clock, and allocate nothing because of an announced length. A decoder takes the
//! bytes that have arrived, and returns a complete message that borrows from them, the number of bytes that it needs,
//! or the reason why the bytes are not a message. The result depends on the bytes only, not on how they were cut into
//! reads.
//!
//! `PROTOCOL.md`, included in [`dialects`], is normative.

use std::fmt;

use thiserror::Error;

pub mod classic;
pub mod memcached;
mod operation;

pub use operation::Operation;

#[doc = include_str!("../../PROTOCOL.md")]
pub mod dialects {}

/// A wire language. The first byte of a connection selects it for the whole connection.
///
/// ```
/// # use sharedance_core::protocol::Dialect;
/// let dialect_of = |input: &[u8]| Dialect::detect(input[0]);
/// assert_eq!(dialect_of(b"F\0\0\0\x03key"), Some(Dialect::Classic));
/// assert_eq!(dialect_of(b"get key\r\n"), Some(Dialect::MemcachedText));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dialect {
    /// The dialect of the first Sharedance: [`classic`].
    Classic,
    /// Memcached's text protocol with its meta commands: [`memcached::text`].
    MemcachedText,
    /// Memcached's binary protocol: [`memcached::binary`].
    MemcachedBinary,
}

impl Dialect {
    /// The dialect that starts with this byte. If it is `None`, the server closes the connection.
    ///
    /// ```
    /// # use sharedance_core::protocol::Dialect;
    /// assert_eq!(Dialect::detect(b'S'), Some(Dialect::Classic));
    /// // An empty line, as a user of telnet may send first.
    /// assert_eq!(Dialect::detect(b'\r'), Some(Dialect::MemcachedText));
    /// assert_eq!(Dialect::detect(b' '), None);
    /// ```
    pub fn detect(first_byte: u8) -> Option<Dialect> {
        match first_byte {
            b'a'..=b'z' | b'\r' | b'\n' => Some(Dialect::MemcachedText),
            memcached::binary::MAGIC => Some(Dialect::MemcachedBinary),
            _ => classic::starts_request(first_byte).then_some(Dialect::Classic),
        }
    }
}

/// The longest key of the protocols, in bytes.
pub const MAX_KEY_LEN: usize = 250;

/// The default limit on a whole request: 32 MiB.
pub const DEFAULT_MAX_REQUEST_LEN: usize = 32 * 1024 * 1024;

/// A request, independent of its dialect.
///
/// Keys and values borrow from the input. `Debug` prints lengths only: a web session's key is a credential.
///
/// ```
/// # use sharedance_core::protocol::Request;
/// let request = Request::Store { key: b"session-17", value: b"user=ada" };
/// assert_eq!(format!("{request:?}"), "Store { key: 10 bytes, value: 8 bytes }");
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Request<'a> {
    /// Store `value` under `key` with a new lifetime, and replace an old value.
    Store {
        /// The key, which is well-formed.
        key: &'a [u8],
        /// The value. It may be empty.
        value: &'a [u8],
    },
    /// Return the value of `key`, without a change of its lifetime.
    Fetch {
        /// The key, which is well-formed.
        key: &'a [u8],
    },
    /// Delete `key`.
    Delete {
        /// The key, which is well-formed.
        key: &'a [u8],
    },
}

impl<'a> Request<'a> {
    /// The key of the request.
    ///
    /// ```
    /// # use sharedance_core::protocol::Request;
    /// assert_eq!(Request::Delete { key: b"session-17" }.key(), b"session-17");
    /// ```
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

/// A response, independent of its dialect. The value can be of any type with bytes, such as a value of the store, so
/// that it need not be copied.
///
/// `Debug` does not print the value.
///
/// ```
/// # use sharedance_core::protocol::{Response, classic};
/// let response = Response::Value("user=ada".to_owned());
/// assert_eq!(classic::encode_response(&response), b"user=ada");
/// assert_eq!(format!("{response:?}"), "Value(..)");
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Response<V> {
    /// The value was stored.
    Stored,
    /// The requested value.
    Value(V),
    /// The pair existed and was deleted.
    Deleted,
    /// There is no such pair.
    NotFound,
    /// The request was decoded but could not be executed.
    Failed,
}

impl<V> Response<V> {
    /// The same response with another type of value.
    ///
    /// ```
    /// # use sharedance_core::protocol::Response;
    /// let borrowed: Response<&[u8]> = Response::Value(b"user=ada");
    /// let owned: Response<Vec<u8>> = borrowed.map(<[u8]>::to_vec);
    /// assert_eq!(owned, Response::Value(b"user=ada".to_vec()));
    /// ```
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

/// The result of decoding: a complete message, or the length of input at which to try again.
///
/// ```
/// # use sharedance_core::protocol::{Decoded, Limits, Request, classic};
/// let mut input = b"F\0\0".to_vec();
/// let needed = match classic::decode_request(&input, &Limits::default())? {
///     Decoded::Complete { .. } => panic!("the request is incomplete"),
///     Decoded::Incomplete { needed } => needed,
/// };
/// // The decoder needs the whole header.
/// assert_eq!(needed, classic::SHORT_HEADER_LEN);
/// input.extend_from_slice(b"\0\x03key");
/// let decoded = classic::decode_request(&input, &Limits::default())?;
/// assert_eq!(decoded, Decoded::Complete { message: Request::Fetch { key: b"key" }, consumed: 8 });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decoded<T> {
    /// A complete message.
    Complete {
        /// The message.
        message: T,
        /// The number of bytes of the input that it took.
        consumed: usize,
    },
    /// The message is not complete. This is not an error.
    Incomplete {
        /// The length that the input must have before decoding it again can return more. It is greater than the current
        /// length, and not greater than the request needs.
        needed: usize,
    },
}

/// Limits that a decoder enforces before memory is reserved for a request.
///
/// ```
/// # use sharedance_core::protocol::{DecodeError, Limits, classic};
/// let limits = Limits { max_request_len: 1_000 };
/// // A header that announces 16 MiB is refused at once.
/// let header = b"S\0\0\0\x03\x01\0\0\0";
/// let refused = classic::decode_request(header, &limits);
/// assert!(matches!(refused, Err(DecodeError::TooLarge { max: 1_000, .. })));
/// ```
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

/// Why the bytes are not a request. The connection cannot be used after this.
///
/// ```
/// # use sharedance_core::protocol::{DecodeError, Limits, classic};
/// let refused = classic::decode_request(b"GET / HTTP/1.1", &Limits::default()).unwrap_err();
/// assert_eq!(refused, DecodeError::UnknownCommand(b'G'));
/// assert_eq!(refused.to_string(), "unknown command byte 0x47");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The first byte does not start a request of any dialect.
    #[error("unknown command byte 0x{0:02x}")]
    UnknownCommand(u8),
    /// The key is empty or too long, or has a forbidden byte.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The header announces more than the limit.
    #[error("a request of {len} bytes is larger than the limit of {max} bytes")]
    TooLarge {
        /// The announced length, header included.
        len: u64,
        /// The limit.
        max: usize,
    },
    /// A command line is longer than the limit.
    #[error("a command line is longer than {max} bytes")]
    LineTooLong {
        /// The limit.
        max: usize,
    },
    /// A discarded data block does not end where its line says, so the start of the next line is unknown.
    #[error("a data block does not end where its command line says")]
    BlockEnd,
    /// A frame of the binary dialect does not begin with its magic byte.
    #[error("a binary frame begins with 0x{0:02x} instead of 0x80")]
    Magic(u8),
    /// Bytes follow a request in a dialect with one request per connection.
    #[error("{0} bytes follow the only request of the connection")]
    TrailingBytes(usize),
}

/// Why a key is refused.
///
/// ```
/// # use sharedance_core::protocol::{KeyError, classic};
/// let refused = classic::check_key(b"../etc/passwd").unwrap_err();
/// assert_eq!(refused, KeyError::ForbiddenByte { byte: b'.', offset: 0 });
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The key has no bytes.
    #[error("the key is empty")]
    Empty,
    /// More than [`MAX_KEY_LEN`] bytes.
    #[error("a key of {len} bytes is longer than {MAX_KEY_LEN} bytes")]
    TooLong {
        /// The key's length in bytes.
        len: u64,
    },
    /// The key has a forbidden byte.
    #[error("byte 0x{byte:02x} at offset {offset} is not allowed in a key")]
    ForbiddenByte {
        /// The byte.
        byte: u8,
        /// Its offset.
        offset: usize,
    },
}
