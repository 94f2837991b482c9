//! The text dialect: command lines, and data blocks of an announced length behind some of them.
//!
//! [`Decoder::decode`] answers one [`Request`] after the other; a server says its answers with [`Reply`],
//! [`push_value`] and [`push_number`]. Meta commands are part of the dialect, and in [`meta`].
//!
//! Results depend on the bytes alone. A line is looked at as a whole, up to [`MAX_LINE_LEN`](super::MAX_LINE_LEN). What is longer can only be
//! a retrieval: it is decoded word by word, so that neither its keys nor its answers need to be held at the same time.
//!
//! A server of a single pair:
//!
//! ```
//! use sharedance_core::protocol::memcached::text::{Decoder, Reply, Request, push_value};
//! use sharedance_core::protocol::{DecodeError, Decoded, Limits};
//!
//! /// Responds to the complete requests in `input`; returns how many bytes they took. The rest is to be passed again later.
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

/// What a peer asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Request<'a> {
    /// Nothing: discarded bytes. There is no response.
    Discarded,
    /// A key of `get`, `gets`, `gat` or `gats`.
    Get(Get<'a>),
    /// The end of a retrieval whose last key was not known to be the last: to be answered by [`Reply::End`].
    EndOfGet,
    /// `set`, `add`, `replace`, `append`, `prepend`, `cas`.
    Update {
        /// What to write.
        update: Update<'a>,
        /// Whether nothing is to be answered.
        noreply: bool,
    },
    /// A write of more than the limit: to be answered by [`Reply::TooLarge`]. The decoder throws the data block away.
    TooLarge {
        /// The key.
        key: Key<'a>,
        /// Whether the value in place is to be deleted: the write was [unconditional](Update::is_unconditional), and
        /// the old value must not be taken for the new one.
        deletes: bool,
        /// Whether nothing is to be answered.
        noreply: bool,
    },
    /// `delete`.
    Delete {
        /// The key.
        key: Key<'a>,
        /// Whether nothing is to be answered.
        noreply: bool,
    },
    /// `incr`, `decr`.
    Count {
        /// The key.
        key: Key<'a>,
        /// `incr` is up.
        direction: Direction,
        /// How far.
        delta: u64,
        /// Whether nothing is to be answered.
        noreply: bool,
    },
    /// `touch`.
    Touch {
        /// The key.
        key: Key<'a>,
        /// How long it lives from now on.
        exptime: Exptime,
        /// Whether nothing is to be answered.
        noreply: bool,
    },
    /// `flush_all`.
    FlushAll {
        /// When; [`Exptime::Never`] and [`Exptime::Past`] mean at once.
        at: Exptime,
        /// Whether nothing is to be answered.
        noreply: bool,
    },
    /// `stats`, and what it is to be about: nothing, or words.
    Stats {
        /// The words behind the command, spaces between them.
        about: &'a [u8],
    },
    /// `version`.
    Version,
    /// `verbosity`: to be answered by [`Reply::Ok`].
    Verbosity {
        /// Whether nothing is to be answered.
        noreply: bool,
    },
    /// `quit`: the connection is to be closed once what precedes is answered.
    Quit,
    /// `lock`.
    Lock {
        /// The key.
        key: &'a [u8],
        /// How long to wait for it.
        wait: Duration,
        /// How long it is held unless it is given back before.
        ttl: Duration,
    },
    /// `unlock`.
    Unlock {
        /// The key.
        key: &'a [u8],
    },
    /// `unlock_all`: to be answered by [`push_unlocked`].
    UnlockAll {
        /// What the answer repeats.
        opaque: Option<&'a [u8]>,
    },
    /// A meta command.
    Meta(meta::Request<'a>),
    /// A request that cannot be executed, and the response. The connection stays open.
    Refused(Reply),
    /// A storage command that cannot be carried out, and what to answer, whether or not the client wants answers. The
    /// connection is to be closed then: it is not known where the data block ends, and the decoder discards all that
    /// follows.
    Fatal(Reply),
}

/// A key of a retrieval. The values are answered in the order of the keys, and behind the last [`Reply::End`].
///
/// `Debug` prints the key's length alone.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Get<'a> {
    /// The key.
    pub key: &'a [u8],
    /// Whether the answer tells the version: `gets`, `gats`.
    pub with_version: bool,
    /// How long the pair lives from now on: `gat`, `gats`.
    pub touch: Option<Exptime>,
    /// Whether this is known to be the last key.
    pub is_last: bool,
}

impl fmt::Debug for Get<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Get {{ key: {} bytes, touch: {:?}, is_last: {} }}", self.key.len(), self.touch, self.is_last)
    }
}
