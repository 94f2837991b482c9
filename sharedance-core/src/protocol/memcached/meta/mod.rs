//! The meta commands of the text dialect: `mg`, `ms`, `md`, `ma`, `mn`, `me`.
//!
//! A command has a key and flags, each a character with or without an argument. The decoder decodes the flags of the
//! request. The encoder reads them again to determine which of them the response repeats, and in which order. A refused
//! command changes nothing.
//!
//! ```
//! use sharedance_core::protocol::memcached::{KeyBuffer, meta, text};
//! use sharedance_core::protocol::{Decoded, Limits};
//!
//! let input = b"ms greeting 5 T60 c\r\nhello\r\nmd greeting q\r\n";
//! let mut decoder = text::Decoder::new();
//! let decoded = decoder.decode(input, &Limits::default())?;
//! let Decoded::Complete { message: text::Request::Meta(meta::Request::Set(set)), consumed } = decoded else {
//!     panic!("not a complete `ms`");
//! };
//! assert_eq!((set.update.key.bytes(&mut KeyBuffer::default()), set.update.value), (&b"greeting"[..], &b"hello"[..]));
//! assert_eq!(&input[consumed..], b"md greeting q\r\n");
//!
//! // The request has the flag `c`, so the response has the version.
//! let mut output = Vec::new();
//! meta::push_stored(&mut output, &set, meta::Status::Done, 17, 5);
//! assert_eq!(output, b"HD c17\r\n");
//! # Ok::<(), sharedance_core::protocol::DecodeError>(())
//! ```

use std::fmt;
use std::num::NonZeroU64;

use super::tokens::Tokens;
use super::{Direction, Exptime, Key, Update};

mod decode;
mod responses;

pub(super) use decode::decode;
pub use responses::{Facts, Status, push_counted, push_debug, push_found, push_status, push_stored};

/// The longest opaque with its flag, in bytes.
pub const MAX_OPAQUE_LEN: usize = 32;

/// The flags of a command.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Flags<'a> {
    words: &'a [u8],
}

impl<'a> Flags<'a> {
    fn iter(self) -> impl Iterator<Item = (u8, &'a [u8])> {
        Tokens::new(self.words).filter_map(|token| token.split_first().map(|(&letter, _)| (letter, token)))
    }
}

impl Flags<'_> {
    /// Whether the response has the remaining TTL: `t`.
    pub fn ask_for_ttl(self) -> bool {
        self.has(b't')
    }

    /// Whether the response has the length of the value: `s`.
    pub fn ask_for_len(self) -> bool {
        self.has(b's')
    }

    fn has(self, wanted: u8) -> bool {
        self.iter().any(|(letter, _)| letter == wanted)
    }
}

impl fmt::Debug for Flags<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Flags({} bytes)", self.words.len())
    }
}

/// A meta command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Request<'a> {
    /// `mg`.
    Get(Get<'a>),
    /// `ms`.
    Set(Set<'a>),
    /// `md`.
    Delete(Delete<'a>),
    /// `ma`.
    Count(Count<'a>),
    /// `me`.
    Debug {
        /// The key.
        key: Key<'a>,
    },
    /// `mn`. The response is [`Reply::MetaNoop`](super::text::Reply::MetaNoop).
    Noop,
}

impl<'a> Request<'a> {
    /// The key and the flags of a command that is executed only if the connection holds the lock of the key: `H`.
    /// Otherwise the response is [`Status::Exists`].
    pub fn needs_lock(&self) -> Option<(Key<'a>, Flags<'a>)> {
        let (needs_lock, key, flags) = match self {
            Request::Get(get) => (get.needs_lock, get.key, get.flags),
            Request::Set(set) => (set.needs_lock, set.update.key, set.flags),
            Request::Delete(delete) => (delete.needs_lock, delete.key, delete.flags),
            Request::Count(count) => (count.needs_lock, count.key, count.flags),
            Request::Debug { .. } | Request::Noop => return None,
        };
        needs_lock.then_some((key, flags))
    }
}

/// `mg`. The response is that of [`push_found`], or of [`push_status`] with [`Status::Missing`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Get<'a> {
    /// The key.
    pub key: Key<'a>,
    /// The flags of the response.
    pub flags: Flags<'a>,
    /// Whether the value is requested: `v`.
    pub wants_value: bool,
    /// Whether there is no response to a miss: `q`.
    pub quiet: bool,
    /// Whether this does not count as an access: `u`.
    pub unnoticed: bool,
    /// The new lifetime of the pair: `T`.
    pub touch: Option<Exptime>,
    /// The lifetime of an empty value, which is stored if there is no pair: `N`.
    pub create: Option<Exptime>,
    /// The value should be computed again if its remaining TTL is less: `R`.
    pub refresh_below: Option<Exptime>,
    /// Whether the connection must hold the lock of the key: `H`.
    pub needs_lock: bool,
    /// A value with this version is not sent, even if it is requested: `C`.
    pub known_version: Option<NonZeroU64>,
    /// The version of the empty value that is stored if there is no pair: `E`.
    pub new_version: Option<NonZeroU64>,
}

/// `ms`. The response is that of [`push_stored`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Set<'a> {
    /// What to write.
    pub update: Update<'a>,
    /// The flags of the response.
    pub flags: Flags<'a>,
    /// Whether there is no response to success: `q`.
    pub quiet: bool,
    /// Whether a write with an old version stores a stale value: `I`.
    pub may_be_stale: bool,
    /// Whether the connection must hold the lock of the key: `H`.
    pub needs_lock: bool,
    /// Whether [`Mode::Append`](super::Mode::Append) and [`Mode::Prepend`](super::Mode::Prepend) store the value if
    /// there is no pair, with the exptime of the update: `N`.
    pub creates: bool,
    /// The version of the new value: `E`.
    pub new_version: Option<NonZeroU64>,
}

/// `md`. The response is that of [`push_status`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delete<'a> {
    /// The key.
    pub key: Key<'a>,
    /// The flags of the response.
    pub flags: Flags<'a>,
    /// Whether there is no response to success: `q`.
    pub quiet: bool,
    /// The version that the value must have: `C`.
    pub version: Option<u64>,
    /// Whether the value stays and becomes stale: `I`.
    pub invalidates: bool,
    /// Whether the pair stays with an empty value: `x`.
    pub removes_value: bool,
    /// The client flags of the empty value: `F`.
    pub client_flags: u32,
    /// The lifetime of the pair that stays: `T`.
    pub touch: Option<Exptime>,
    /// Whether the connection must hold the lock of the key: `H`.
    pub needs_lock: bool,
    /// The version of the pair that stays: `E`.
    pub new_version: Option<NonZeroU64>,
}

/// `ma`. The response is that of [`push_counted`] or [`push_status`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count<'a> {
    /// The key.
    pub key: Key<'a>,
    /// The flags of the response.
    pub flags: Flags<'a>,
    /// Whether the number is requested: `v`.
    pub wants_value: bool,
    /// Whether there is no response to success: `q`.
    pub quiet: bool,
    /// The version that the value must have: `C`. Zero means any.
    pub version: Option<NonZeroU64>,
    /// The direction: `M`.
    pub direction: Direction,
    /// The difference: `D`.
    pub delta: u64,
    /// The lifetime of the initial value, which is stored if there is no pair: `N`.
    pub create: Option<Exptime>,
    /// The initial value: `J`.
    pub initial: u64,
    /// The new lifetime of the pair: `T`.
    pub touch: Option<Exptime>,
    /// Whether the connection must hold the lock of the key: `H`.
    pub needs_lock: bool,
    /// The version of the new number: `E`.
    pub new_version: Option<NonZeroU64>,
}

impl<'a> Set<'a> {
    pub(super) fn with_value(self, value: &'a [u8]) -> Set<'a> {
        Set { update: Update { value, ..self.update }, ..self }
    }
}
