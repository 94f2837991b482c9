//! The binary dialect: frames of a header of fixed length, extras, a key and a value.
//!
//! ```text
//! 0x80  opcode  key length  extras length  0  0   body length  opaque  version   extras  key  value
//!   1      1         2             1       1  2        4          4       8                           bytes
//! ```
//!
//! Numbers are big-endian; the body follows the header. A response is a frame too, with 0x81 in front and a
//! status in place of the bytes that are zero. It repeats the opcode and the opaque.
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
//!     panic!("it is whole");
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

mod answers;
mod decoder;

pub use answers::{Status, push_done, push_error, push_found, push_missing, push_number, push_stat, push_text};
pub use decoder::Decoder;

/// What every frame of a client begins with.
pub const MAGIC: u8 = 0x80;

/// What every frame of a server begins with.
pub const RESPONSE_MAGIC: u8 = 0x81;

/// The length of a header in bytes.
pub const HEADER_LEN: usize = 24;

/// What a peer asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request<'a> {
    /// What to do.
    pub command: Command<'a>,
    /// What the answers are to be told by.
    pub tag: Tag,
    /// Whether what the peer expects is not answered: a miss of a retrieval, success of anything else.
    pub quiet: bool,
}

/// What an answer repeats of its request.
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
    /// To be answered by [`push_found`] or [`push_missing`].
    Get {
        /// The key.
        key: &'a [u8],
        /// Whether the answer repeats the key.
        with_key: bool,
        /// Whether the answer has the value.
        wants_value: bool,
        /// How long the pair lives from now on.
        touch: Option<Exptime>,
    },
    /// A write.
    Update(Update<'a>),
    /// A write of more than the limit: to be answered by [`Status::TooLarge`].
    TooLarge {
        /// The key.
        key: Key<'a>,
        /// Whether the value in place is to be deleted: the write was [unconditional](Update::is_unconditional), and
        /// the old value must not be taken for the new one.
        deletes: bool,
    },
    /// A deletion.
    Delete {
        /// The key.
        key: &'a [u8],
        /// The version that the value must have.
        version: Option<u64>,
    },
    /// To be answered by [`push_number`].
    Count {
        /// The key.
        key: &'a [u8],
        /// Which way.
        direction: Direction,
        /// How far.
        delta: u64,
        /// The value to store where there is none.
        initial: u64,
        /// How long that lives; `None` stores nothing.
        create: Option<Exptime>,
        /// The version that the value must have.
        version: Option<u64>,
    },
    /// Everything is to be deleted; [`Exptime::Never`] means at once.
    FlushAll {
        /// When.
        at: Exptime,
    },
    /// To be answered by [`push_done`]: what precedes is answered.
    Noop,
    /// To be answered by [`push_text`].
    Version,
    /// To be answered by [`push_stat`], many times.
    Stats {
        /// What about; empty for everything.
        about: &'a [u8],
    },
    /// To be answered by [`push_done`]; the connection is to be closed then.
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
    /// There is no such command: [`Status::UnknownCommand`].
    Unknown,
    /// Not a frame: the response is this status, and the connection is to be closed.
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
