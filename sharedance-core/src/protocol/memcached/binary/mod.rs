//! The binary dialect: frames of a header of fixed length, extras, a key and a value.
//!
//! ```text
//! 0x80  opcode  key length  extras length  0  0   body length  opaque  version   extras  key  value
//!   1      1         2             1       1  2        4          4       8                           bytes
//! ```
//!
//! Numbers are big-endian. The body follows the header. A response is a frame that begins with 0x81 and has a status in
//! place of the two zero bytes. It repeats the opcode and the opaque.
//!
//! ```
//! use sharedance_core::protocol::memcached::binary::{Command, Decoder, HEADER_LEN, RESPONSE_MAGIC, push_found};
//! use sharedance_core::protocol::{Decoded, Limits};
//!
//! let mut input = [0; HEADER_LEN + 3];
//! input[0] = 0x80; // a request
//! input[3] = 3; // the key's length
//! input[11] = 3; // the body's
//! input[HEADER_LEN..].copy_from_slice(b"key");
//!
//! let mut decoder = Decoder::new();
//! assert_eq!(decoder.decode(&input[..10], &Limits::default())?, Decoded::Incomplete { needed: HEADER_LEN });
//! let Decoded::Complete { message, consumed } = decoder.decode(&input, &Limits::default())? else {
//!     panic!("incomplete");
//! };
//! assert!(matches!(message.command, Command::Get { key: b"key", with_key: false, .. }));
//! assert_eq!(consumed, input.len());
//!
//! let mut output = Vec::new();
//! push_found(&mut output, message.tag, 0, b"", 5, 17);
//! output.extend_from_slice(b"value");
//! assert_eq!((output[0], output.len()), (RESPONSE_MAGIC, HEADER_LEN + 4 + 5));
//! # Ok::<(), sharedance_core::protocol::DecodeError>(())
//! ```

use std::fmt;

use super::{Direction, Exptime, Key, Update};

mod decoder;
mod responses;

pub use decoder::Decoder;
pub use responses::{Status, push_done, push_error, push_found, push_missing, push_number, push_stat, push_text};

/// The first byte of each frame of a client.
pub const MAGIC: u8 = 0x80;

/// The first byte of each frame of a server.
pub const RESPONSE_MAGIC: u8 = 0x81;

/// The length of a header in bytes.
pub const HEADER_LEN: usize = 24;

/// A request of the binary dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request<'a> {
    /// What to do.
    pub command: Command<'a>,
    /// What the responses repeat.
    pub tag: Tag,
    /// Whether there is no response to the expected result: a miss of a retrieval, success of other commands.
    pub quiet: bool,
}

/// The fields of a request that its responses repeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tag {
    opcode: u8,
    opaque: [u8; 4],
}

impl Tag {
    /// The tag of the request with this header.
    pub fn of(header: &[u8; HEADER_LEN]) -> Tag {
        Tag { opcode: header[1], opaque: [header[12], header[13], header[14], header[15]] }
    }
}

/// What to do.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Command<'a> {
    /// Nothing: discarded bytes. There is no response.
    Discarded,
    /// A retrieval. The response is that of [`push_found`] or [`push_missing`].
    Get {
        /// The key.
        key: &'a [u8],
        /// Whether the response repeats the key.
        with_key: bool,
        /// Whether the response has the value.
        wants_value: bool,
        /// The new lifetime of the pair.
        touch: Option<Exptime>,
    },
    /// A write.
    Update(Update<'a>),
    /// A write above the limit. The response is [`Status::TooLarge`].
    TooLarge {
        /// The key.
        key: Key<'a>,
        /// Whether to delete the old value: the write was [unconditional](Update::is_unconditional), and the old value
        /// must not be taken for the new one.
        deletes: bool,
    },
    /// A deletion.
    Delete {
        /// The key.
        key: &'a [u8],
        /// The version that the value must have.
        version: Option<u64>,
    },
    /// A count. The response is that of [`push_number`].
    Count {
        /// The key.
        key: &'a [u8],
        /// The direction.
        direction: Direction,
        /// The difference.
        delta: u64,
        /// The value to store if there is no pair.
        initial: u64,
        /// The lifetime of the initial value; `None` stores nothing.
        create: Option<Exptime>,
        /// The version that the value must have.
        version: Option<u64>,
    },
    /// Delete all pairs; [`Exptime::Never`] means at once.
    FlushAll {
        /// When.
        at: Exptime,
    },
    /// The response is that of [`push_done`], after the responses to earlier requests.
    Noop,
    /// The response is that of [`push_text`].
    Version,
    /// The responses are those of [`push_stat`].
    Stats {
        /// The topic; empty for all statistics.
        about: &'a [u8],
    },
    /// The response is that of [`push_done`]. The server closes the connection after it.
    Quit,
    /// Which mechanisms of authentication there are: to be answered by [`push_text`].
    SaslMechanisms,
    /// Credentials, in the form of a mechanism of SASL.
    SaslAuthenticate {
        /// The name of the mechanism.
        mechanism: &'a [u8],
        /// What the mechanism sends.
        credentials: &'a [u8],
        /// Whether it continues an exchange that another request has begun.
        is_step: bool,
    },
    /// The command is unknown. The response is [`Status::UnknownCommand`].
    Unknown,
    /// The frame is invalid. The response is this status, and the server closes the connection after it.
    Invalid(Status),
}

impl fmt::Debug for Command<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Command::Discarded => f.write_str("Discarded"),
            Command::Get { key, touch, .. } => write!(f, "Get {{ key: {} bytes, touch: {touch:?} }}", key.len()),
            Command::Update(update) => update.fmt(f),
            Command::TooLarge { key, .. } => write!(f, "TooLarge({key:?})"),
            Command::Delete { key, .. } => write!(f, "Delete {{ key: {} bytes }}", key.len()),
            Command::Count { key, direction, .. } => write!(f, "Count {{ key: {} bytes, {direction:?} }}", key.len()),
            Command::FlushAll { at } => write!(f, "FlushAll {{ at: {at:?} }}"),
            Command::Noop => f.write_str("Noop"),
            Command::Version => f.write_str("Version"),
            Command::Stats { .. } => f.write_str("Stats"),
            Command::Quit => f.write_str("Quit"),
            Command::SaslMechanisms => f.write_str("SaslMechanisms"),
            Command::SaslAuthenticate { credentials, is_step, .. } => {
                write!(f, "SaslAuthenticate {{ credentials: {} bytes, is_step: {is_step} }}", credentials.len())
            }
            Command::Unknown => f.write_str("Unknown"),
            Command::Invalid(status) => write!(f, "Invalid({status:?})"),
        }
    }
}
