//! The meta commands of the text dialect: `mg`, `ms`, `md`, `ma`, `mn`, `me`.
//!
//! A command has a key and flags, each one character with or without an argument. What the flags ask for is decoded;
//! which of them the answer repeats, and in which order, is found in them again when it is encoded. What is refused is
//! refused as a whole: it changes nothing.
//!
//! ```
//! use sharedance_core::protocol::memcached::{KeyBuffer, meta, text};
//! use sharedance_core::protocol::{Decoded, Limits};
//!
//! let input = b"ms greeting 5 T60 c\r\nhello\r\nmd greeting q\r\n";
//! let mut decoder = text::Decoder::new();
//! let decoded = decoder.decode(input, &Limits::default())?;
//! let Decoded::Complete { message: text::Request::Meta(meta::Request::Set(set)), consumed } = decoded else {
//!     panic!("it is a whole `ms`");
//! };
//! assert_eq!((set.update.key.bytes(&mut KeyBuffer::default()), set.update.value), (&b"greeting"[..], &b"hello"[..]));
//! assert_eq!(&input[consumed..], b"md greeting q\r\n");
//!
//! // It asks for the version, so the answer has it.
//! let mut output = Vec::new();
//! meta::push_stored(&mut output, &set, meta::Status::Done, 17, 5);
//! assert_eq!(output, b"HD c17\r\n");
//! # Ok::<(), sharedance_core::protocol::DecodeError>(())
//! ```

use std::fmt;
use std::num::NonZeroU64;

use super::tokens::Tokens;
use super::{Direction, Exptime, Key, Update};

mod answers;
mod decode;

pub use answers::{Facts, Status, push_counted, push_debug, push_found, push_status, push_stored};
pub(super) use decode::decode;

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
    /// Whether the response reports how long the pair still lives: `t`.
    pub fn ask_for_ttl(self) -> bool {
        self.has(b't')
    }

    /// Whether the response reports how long the value is: `s`.
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
    /// `mn`: to be answered by [`Reply::MetaNoop`](super::text::Reply::MetaNoop).
    Noop,
}

impl<'a> Request<'a> {
    /// The key and the flags of a command that is carried out only if the connection holds the lock of the key: `H`.
    /// Where it does not, the answer is [`Status::Exists`].
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

/// `mg`: to be answered by [`push_found`] or by [`push_status`] with [`Status::Missing`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Get<'a> {
    /// The key.
    pub key: Key<'a>,
    /// For the answer.
    pub flags: Flags<'a>,
    /// Whether the value is asked for: `v`.
    pub wants_value: bool,
    /// Whether a miss is not answered: `q`.
    pub quiet: bool,
    /// Whether this shall not count as an access: `u`.
    pub unnoticed: bool,
    /// How long the pair lives from now on: `T`.
    pub touch: Option<Exptime>,
    /// How long an empty value lives that is stored where there is none: `N`.
    pub create: Option<Exptime>,
    /// The value is due to be computed again when it lives for less: `R`.
    pub refresh_below: Option<Exptime>,
    /// Whether the connection must hold the lock of the key: `H`.
    pub needs_lock: bool,
    /// A value of this version is not sent, even if it is asked for: `C`.
    pub known_version: Option<NonZeroU64>,
    /// The version of the empty value that is stored where there is none: `E`.
    pub new_version: Option<NonZeroU64>,
}

/// `ms`: to be answered by [`push_stored`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Set<'a> {
    /// What to write.
    pub update: Update<'a>,
    /// For the answer.
    pub flags: Flags<'a>,
    /// Whether success is not answered: `q`.
    pub quiet: bool,
    /// Whether a version that is too old stores a value that is stale: `I`.
    pub may_be_stale: bool,
    /// Whether the connection must hold the lock of the key: `H`.
    pub needs_lock: bool,
    /// Whether [`Mode::Append`](super::Mode::Append) and [`Mode::Prepend`](super::Mode::Prepend) store the value where
    /// there is none, for as long as the update's exptime says: `N`.
    pub creates: bool,
    /// The version that the value gets: `E`.
    pub new_version: Option<NonZeroU64>,
}

/// `md`: to be answered by [`push_status`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delete<'a> {
    /// The key.
    pub key: Key<'a>,
    /// For the answer.
    pub flags: Flags<'a>,
    /// Whether success is not answered: `q`.
    pub quiet: bool,
    /// The version that the value must have: `C`.
    pub version: Option<u64>,
    /// Whether the value stays, and is stale: `I`.
    pub invalidates: bool,
    /// Whether the pair stays, with an empty value: `x`.
    pub removes_value: bool,
    /// The client flags of the empty value: `F`.
    pub client_flags: u32,
    /// How long the pair that stays lives: `T`.
    pub touch: Option<Exptime>,
    /// Whether the connection must hold the lock of the key: `H`.
    pub needs_lock: bool,
    /// The version that the pair that stays gets: `E`.
    pub new_version: Option<NonZeroU64>,
}

/// `ma`: to be answered by [`push_counted`] or by [`push_status`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count<'a> {
    /// The key.
    pub key: Key<'a>,
    /// For the answer.
    pub flags: Flags<'a>,
    /// Whether the number is asked for: `v`.
    pub wants_value: bool,
    /// Whether success is not answered: `q`.
    pub quiet: bool,
    /// The version that the value must have: `C`. Zero means any.
    pub version: Option<NonZeroU64>,
    /// Which way: `M`.
    pub direction: Direction,
    /// How far: `D`.
    pub delta: u64,
    /// How long the initial value lives that is stored where there is none: `N`.
    pub create: Option<Exptime>,
    /// That value: `J`.
    pub initial: u64,
    /// How long the pair lives from now on: `T`.
    pub touch: Option<Exptime>,
    /// Whether the connection must hold the lock of the key: `H`.
    pub needs_lock: bool,
    /// The version that the number gets: `E`.
    pub new_version: Option<NonZeroU64>,
}

impl<'a> Set<'a> {
    pub(super) fn with_value(self, value: &'a [u8]) -> Set<'a> {
        Set { update: Update { value, ..self.update }, ..self }
    }
}
