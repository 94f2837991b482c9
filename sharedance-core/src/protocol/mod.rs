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
mod operation;

pub use operation::Operation;

#[doc = include_str!("../../PROTOCOL.md")]
pub mod dialects {}

/// A language that is spoken on the port. The first byte of a connection decides which, for the connection's life.
///
/// ```
/// # use sharedance_core::protocol::Dialect;
/// let speaks = |input: &[u8]| Dialect::detect(input[0]);
/// assert_eq!(speaks(b"F\0\0\0\x03key"), Some(Dialect::Classic));
/// assert_eq!(speaks(b"get key\r\n"), Some(Dialect::MemcachedText));
/// ```
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

/// The longest key that a dialect carries, in bytes.
pub const MAX_KEY_LEN: usize = 250;

/// The default limit on a whole request: 32 MiB.
pub const DEFAULT_MAX_REQUEST_LEN: usize = 32 * 1024 * 1024;

/// What a peer asked for, free of the dialect in which it was said.
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
    /// Store `value` under `key` with a new lifetime, replacing an old value.
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

/// What to tell the peer, free of the dialect in which it will be said. A value may be whatever shows bytes: what a
/// store answers, so that it is sent from where it lies.
///
/// `Debug` leaves the value out.
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

/// The result of decoding: a whole message, or the length of input at which to try again. There will be no other.
///
/// ```
/// # use sharedance_core::protocol::{Decoded, Limits, Request, classic};
/// let mut input = b"F\0\0".to_vec();
/// let needed = match classic::decode_request(&input, &Limits::default())? {
///     Decoded::Complete { .. } => panic!("it is not there yet"),
///     Decoded::Incomplete { needed } => needed,
/// };
/// // No other call is useful before the whole header is there.
/// assert_eq!(needed, classic::SHORT_HEADER_LEN);
/// input.extend_from_slice(b"\0\x03key");
/// let decoded = classic::decode_request(&input, &Limits::default())?;
/// assert_eq!(decoded, Decoded::Complete { message: Request::Fetch { key: b"key" }, consumed: 8 });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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
///
/// ```
/// # use sharedance_core::protocol::{DecodeError, Limits, classic};
/// let limits = Limits { max_request_len: 1_000 };
/// // A header that announces 16 MiB is refused as soon as it is there.
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

/// Why bytes can never become a request. A connection that sent them is beyond repair.
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
    /// A command line is longer than the limit.
    #[error("a command line is longer than {max} bytes")]
    LineTooLong {
        /// The limit.
        max: usize,
    },
    /// A discarded data block does not end where its line says: it is not known where the next line begins.
    #[error("a data block does not end where its command line says")]
    BlockEnd,
    /// A frame of the binary dialect begins with another byte than its magic one.
    #[error("a frame begins with 0x{0:02x}")]
    Magic(u8),
    /// Bytes follow a request in a dialect that carries one request a connection.
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
