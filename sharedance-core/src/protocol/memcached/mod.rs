//! The dialects of memcached: [`text`] with its [`meta`] commands, and [`binary`].
//!
//! What the three have in common: keys, lifetimes, and what a store is asked to do. A connection has one decoder, which
//! is called in a loop on the bytes that are not consumed yet; it answers one request after the other, each of which
//! borrows from those bytes. A decoder remembers what lies behind a request's first bytes: a retrieval of many keys is
//! decoded key by key, for any length of its line, and the body of a refused request is discarded as it arrives.
//! Neither is ever held as a whole.

use std::fmt;

mod base64;
pub mod binary;
#[cfg(test)]
mod cutting;
pub mod meta;
mod numbers;
pub mod text;
mod tokens;

pub use super::MAX_KEY_LEN;

/// The longest command line, its end not counted, in bytes. Only a retrieval of many keys may be longer.
pub const MAX_LINE_LEN: usize = 2048;

/// Up to this many seconds an expiration time is relative; beyond, it is a Unix time. 30 days.
const MAX_RELATIVE_SECS: i64 = 30 * 24 * 60 * 60;

/// From here to the end, a number is a negative one, -30 days to -1, that a client has written as an unsigned number of
/// 32 bits. As Unix times these would be dates in January and February 2106.
const WRAPPED_NEGATIVES_START: i64 = WRAPPED_NEGATIVES_END - MAX_RELATIVE_SECS;
const WRAPPED_NEGATIVES_END: i64 = 1 << 32;

/// A key as the peer said it: plain, or in base64.
///
/// `Debug` prints its length alone: a web session's key is a credential.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Key<'a> {
    said: &'a [u8],
    is_base64: bool,
}

/// Room for a key that has to be decoded.
#[derive(Debug)]
pub struct KeyBuffer([u8; base64::decoded_len(MAX_KEY_LEN)]);

impl Default for KeyBuffer {
    fn default() -> KeyBuffer {
        KeyBuffer([0; base64::decoded_len(MAX_KEY_LEN)])
    }
}

impl<'a> Key<'a> {
    pub(crate) fn plain(said: &'a [u8]) -> Key<'a> {
        Key { said, is_base64: false }
    }

    /// `None` where it is no base64, or that of no byte at all.
    pub(crate) fn base64(said: &'a [u8]) -> Option<Key<'a>> {
        base64::decode(said, &mut KeyBuffer::default().0)?;
        Some(Key { said, is_base64: true })
    }

    /// The key's bytes. A plain key lies in the input; one in base64 is decoded into `buffer`.
    pub fn bytes<'b>(&self, buffer: &'b mut KeyBuffer) -> &'b [u8]
    where
        'a: 'b,
    {
        match self.is_base64 {
            false => self.said,
            // It was found to be base64 when it was decoded.
            true => base64::decode(self.said, &mut buffer.0).unwrap_or_default(),
        }
    }

    /// The key as it is in the request.
    pub fn said(&self) -> &'a [u8] {
        self.said
    }

    /// Whether it is encoded in base64.
    pub fn is_base64(&self) -> bool {
        self.is_base64
    }
}

impl fmt::Debug for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({} bytes)", self.said.len())
    }
}

/// How long a pair is to live, as the peer said it.
///
/// ```
/// # use sharedance_core::protocol::memcached::Exptime;
/// assert_eq!(Exptime::parse(b"300"), Some(Exptime::Secs(300)));
/// assert_eq!(Exptime::parse(b"1800000000"), Some(Exptime::Until(1_800_000_000)));
/// // -1, as clients write it that have 32 bits and no sign.
/// assert_eq!(Exptime::parse(b"4294967295"), Some(Exptime::Past));
/// assert_eq!(Exptime::parse(b"soon"), None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exptime {
    /// Never expires.
    Never,
    /// For so many seconds from now on.
    Secs(u32),
    /// Until this Unix time, in seconds. It may have passed.
    Until(u64),
    /// Not at all: a negative time, also one that is written as an unsigned number of 32 bits.
    Past,
}

impl Exptime {
    /// The exptime that `word` is, in decimal digits; `None` where it is not a number of 64 bits.
    #[inline]
    pub fn parse(word: &[u8]) -> Option<Exptime> {
        numbers::signed(word).map(Exptime::new)
    }

    /// The exptime that a number of a request means, in any dialect.
    #[inline]
    pub(crate) fn new(number: i64) -> Exptime {
        match number {
            0 => Exptime::Never,
            ..0 | WRAPPED_NEGATIVES_START..WRAPPED_NEGATIVES_END => Exptime::Past,
            secs @ 1..=MAX_RELATIVE_SECS => Exptime::Secs(secs as u32),
            unix_secs => Exptime::Until(unix_secs as u64),
        }
    }
}

/// What must hold for a write, and where the value goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Whatever is there is replaced.
    Set,
    /// Only if there is no value.
    Add,
    /// Only if there is one.
    Replace,
    /// Behind the value that is there.
    Append,
    /// In front of it.
    Prepend,
}

/// A write of a value.
///
/// `Debug` prints lengths alone.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Update<'a> {
    /// The key.
    pub key: Key<'a>,
    /// The value; may be empty.
    pub value: &'a [u8],
    /// What must hold, and where the value goes.
    pub mode: Mode,
    /// A number to be kept beside the value. Without meaning for [`Mode::Append`] and [`Mode::Prepend`].
    pub client_flags: u32,
    /// How long it lives: likewise.
    pub exptime: Exptime,
    /// The version (the cas unique) that the value in place must have, where one was given.
    pub version: Option<u64>,
}

impl Update<'_> {
    /// Whether the value is to be replaced whatever it is. Only then must the old value not be left in place of a new
    /// one that is too large: a client that sets a condition learns that its write has failed.
    pub fn is_unconditional(&self) -> bool {
        self.mode == Mode::Set && self.version.is_none()
    }
}

impl fmt::Debug for Update<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Update {{ mode: {:?}, key: {:?}, value: {} bytes }}", self.mode, self.key, self.value.len())
    }
}

/// Which way a number is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Up, wrapping at 2⁶⁴.
    Up,
    /// Down, stopping at zero.
    Down,
}
