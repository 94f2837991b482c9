//! The text dialect: command lines, some of them with a data block of an announced length.
//!
//! [`Decoder::decode`] returns one [`Request`] after the other. A server responds with [`Reply`], [`push_value`] and
//! [`push_number`]. Meta commands are part of the dialect, and in [`meta`].
//!
//! Results depend on the bytes only. A line of up to [`MAX_LINE_LEN`](super::MAX_LINE_LEN) is decoded as a whole. A
//! longer line can only be a retrieval: it is decoded key by key, so that neither its keys nor their values are in
//! memory at the same time.
//!
//! A server of a single pair:
//!
//! ```
//! use sharedance_core::protocol::memcached::text::{Decoder, Reply, Request, push_value};
//! use sharedance_core::protocol::{DecodeError, Decoded, Limits};
//!
//! /// Responds to the complete requests in `input`. Returns their length; the caller passes the rest again later.
//! fn serve(decoder: &mut Decoder, input: &[u8], output: &mut Vec<u8>) -> Result<usize, DecodeError> {
//!     let mut done = 0;
//!     while let Decoded::Complete { message, consumed } = decoder.decode(&input[done..], &Limits::default())? {
//!         done += consumed;
//!         match message {
//!             Request::Get(get) => {
//!                 if get.key == b"motto" {
//!                     push_value(output, get.key, 0, 11, None);
//!                     output.extend_from_slice(b"per aspera!\r\n");
//!                 }
//!                 if get.is_last {
//!                     output.extend_from_slice(Reply::End.as_bytes());
//!                 }
//!             }
//!             Request::EndOfGet => output.extend_from_slice(Reply::End.as_bytes()),
//!             _ => output.extend_from_slice(Reply::Error.as_bytes()),
//!         }
//!     }
//!     Ok(done)
//! }
//!
//! let (mut decoder, mut output) = (Decoder::new(), Vec::new());
//! let input = b"get name motto\r\nget mo";
//! assert_eq!(serve(&mut decoder, input, &mut output)?, 16);
//! assert_eq!(output, b"VALUE motto 0 11\r\nper aspera!\r\nEND\r\n");
//! # Ok::<(), DecodeError>(())
//! ```

use std::fmt;
use std::time::Duration;

use super::{Direction, Exptime, Key, Update, meta};

mod commands;
#[cfg(test)]
mod data_never_runs;
mod decoder;
mod replies;

pub(super) use commands::{Announced, Line, block_len};
pub use decoder::Decoder;
pub use replies::{Reply, push_digits, push_number, push_stat, push_unlocked, push_value};

/// A request of the text dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Request<'a> {
    /// Nothing: discarded bytes. There is no response.
    Discarded,
    /// A key of `get`, `gets`, `gat` or `gats`.
    Get(Get<'a>),
    /// The end of a retrieval whose last key was not known to be the last. The response is [`Reply::End`].
    EndOfGet,
    /// `set`, `add`, `replace`, `append`, `prepend`, `cas`.
    Update {
        /// The write.
        update: Update<'a>,
        /// Whether the client wants no response.
        noreply: bool,
    },
    /// A write above the limit. The response is [`Reply::TooLarge`]. The decoder discards the data block.
    TooLarge {
        /// The key.
        key: Key<'a>,
        /// Whether to delete the old value: the write was [unconditional](Update::is_unconditional), and the old value
        /// must not be taken for the new one.
        deletes: bool,
        /// Whether the client wants no response.
        noreply: bool,
    },
    /// `delete`.
    Delete {
        /// The key.
        key: Key<'a>,
        /// Whether the client wants no response.
        noreply: bool,
    },
    /// `incr`, `decr`.
    Count {
        /// The key.
        key: Key<'a>,
        /// `incr` is up, `decr` is down.
        direction: Direction,
        /// The difference.
        delta: u64,
        /// Whether the client wants no response.
        noreply: bool,
    },
    /// `touch`.
    Touch {
        /// The key.
        key: Key<'a>,
        /// The new lifetime.
        exptime: Exptime,
        /// Whether the client wants no response.
        noreply: bool,
    },
    /// `flush_all`.
    FlushAll {
        /// When. [`Exptime::Never`] and [`Exptime::Past`] mean at once.
        at: Exptime,
        /// Whether the client wants no response.
        noreply: bool,
    },
    /// `stats`, with or without arguments.
    Stats {
        /// The words after the command, with the spaces between them.
        about: &'a [u8],
    },
    /// `version`.
    Version,
    /// `verbosity`. The response is [`Reply::Ok`].
    Verbosity {
        /// Whether the client wants no response.
        noreply: bool,
    },
    /// `quit`: the server closes the connection after the responses to earlier requests.
    Quit,
    /// `lock`.
    Lock {
        /// The key.
        key: &'a [u8],
        /// The maximum wait.
        wait: Duration,
        /// The TTL of the lock, unless it is released before.
        ttl: Duration,
    },
    /// `unlock`.
    Unlock {
        /// The key.
        key: &'a [u8],
    },
    /// `unlock_all`. The response is that of [`push_unlocked`].
    UnlockAll {
        /// A word that the response repeats.
        opaque: Option<&'a [u8]>,
    },
    /// A meta command.
    Meta(meta::Request<'a>),
    /// A request that cannot be executed, and the response. The connection stays open.
    Refused(Reply),
    /// A storage command that cannot be executed, and the response, which is sent even with `noreply`. The server
    /// closes the connection after it: the end of the data block is unknown, and the decoder discards all that follows.
    Fatal(Reply),
}

/// A key of a retrieval. The response has the values in the order of the keys, and [`Reply::End`] after the last one.
///
/// `Debug` prints the key's length only.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Get<'a> {
    /// The key.
    pub key: &'a [u8],
    /// Whether the response has the version: `gets`, `gats`.
    pub with_version: bool,
    /// The new lifetime of the pair: `gat`, `gats`.
    pub touch: Option<Exptime>,
    /// Whether this is known to be the last key.
    pub is_last: bool,
}

impl fmt::Debug for Get<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Get {{ key: {} bytes, touch: {:?}, is_last: {} }}", self.key.len(), self.touch, self.is_last)
    }
}
