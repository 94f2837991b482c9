//! The dialects of memcached: [`text`] with its [`meta`] commands, and [`binary`].
//!
//! The parts that they share: keys, lifetimes, and writes. A connection has one decoder, which is called in a loop on
//! the bytes that are not consumed yet. It returns one request after the other, each of which borrows from those bytes.
//! A decoder keeps state between calls: it decodes a retrieval of many keys key by key, for any length of its line, and
//! discards the body of a refused request as it arrives. Neither is ever stored as a whole.

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

/// The longest command line in bytes, without its end. Only a retrieval of many keys may be longer.
pub const MAX_LINE_LEN: usize = 2048;

/// Up to this many seconds (30 days), an expiration time is relative; above, it is a Unix time.
const MAX_RELATIVE_SECS: i64 = 30 * 24 * 60 * 60;

/// Numbers from here to the end are negative ones, -30 days to -1, that a client has written as unsigned numbers of 32
/// bits. As Unix times they would be dates in January and February 2106.
const WRAPPED_NEGATIVES_START: i64 = WRAPPED_NEGATIVES_END - MAX_RELATIVE_SECS;
const WRAPPED_NEGATIVES_END: i64 = 1 << 32;

/// A key as the peer sent it: plain, or in base64.
///
/// `Debug` prints its length only: a web session's key is a credential.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Key<'a> {
    encoded: &'a [u8],
    is_base64: bool,
}

/// A buffer for a key that must be decoded.
#[derive(Debug)]
pub struct KeyBuffer([u8; base64::decoded_len(MAX_KEY_LEN)]);

impl Default for KeyBuffer {
    fn default() -> KeyBuffer {
        KeyBuffer([0; base64::decoded_len(MAX_KEY_LEN)])
    }
}

impl<'a> Key<'a> {
    pub(crate) fn plain(encoded: &'a [u8]) -> Key<'a> {
        Key { encoded, is_base64: false }
    }

    /// `None` if it is not base64, or has no bytes.
    pub(crate) fn base64(encoded: &'a [u8]) -> Option<Key<'a>> {
        base64::decode(encoded, &mut KeyBuffer::default().0)?;
        Some(Key { encoded, is_base64: true })
    }

    /// The key's bytes. A plain key borrows from the input; a key in base64 is decoded into `buffer`.
    pub fn bytes<'b>(&self, buffer: &'b mut KeyBuffer) -> &'b [u8]
    where
        'a: 'b,
    {
        match self.is_base64 {
            false => self.encoded,
            // The decoder has checked that it is base64.
            true => base64::decode(self.encoded, &mut buffer.0).unwrap_or_default(),
        }
    }

    /// The key as it is in the request.
    pub fn encoded(&self) -> &'a [u8] {
        self.encoded
    }

    /// Whether it is encoded in base64.
    pub fn is_base64(&self) -> bool {
        self.is_base64
    }
}

impl fmt::Debug for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({} bytes)", self.encoded.len())
    }
}

/// The lifetime of a pair, as the peer sent it.
///
/// ```
/// # use sharedance_core::protocol::memcached::Exptime;
/// assert_eq!(Exptime::parse(b"300"), Some(Exptime::Secs(300)));
/// assert_eq!(Exptime::parse(b"1800000000"), Some(Exptime::Until(1_800_000_000)));
/// // -1, as clients with unsigned numbers of 32 bits write it.
/// assert_eq!(Exptime::parse(b"4294967295"), Some(Exptime::Past));
/// assert_eq!(Exptime::parse(b"soon"), None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exptime {
    /// Never expires.
    Never,
    /// This many seconds from now.
    Secs(u32),
    /// Until this Unix time in seconds, which may have passed.
    Until(u64),
    /// No lifetime: a negative time, which may be written as an unsigned number of 32 bits.
    Past,
}

impl Exptime {
    /// The exptime in `word`, in decimal digits; `None` if it is not a number of 64 bits.
    #[inline]
    pub fn parse(word: &[u8]) -> Option<Exptime> {
        numbers::signed(word).map(Exptime::new)
    }

    /// The exptime of a number in a request, in any dialect.
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

/// The condition of a write, and the position of its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Replaces an old value.
    Set,
    /// Only if there is no value.
    Add,
    /// Only if there is a value.
    Replace,
    /// After the old value.
    Append,
    /// Before the old value.
    Prepend,
}

/// A write of a value.
///
/// `Debug` prints lengths only.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Update<'a> {
    /// The key.
    pub key: Key<'a>,
    /// The value. It may be empty.
    pub value: &'a [u8],
    /// The condition, and the position of the value.
    pub mode: Mode,
    /// A number to store with the value. Not used with [`Mode::Append`] and [`Mode::Prepend`].
    pub client_flags: u32,
    /// The lifetime. Not used with [`Mode::Append`] and [`Mode::Prepend`].
    pub exptime: Exptime,
    /// The version (the cas unique) that the old value must have, if one was given.
    pub version: Option<u64>,
}

impl Update<'_> {
    /// Whether the write has no condition. If such a value is too large, the old value is deleted, so that no client
    /// takes it for the new one. A client that sets a condition checks whether its write has failed.
    pub fn is_unconditional(&self) -> bool {
        self.mode == Mode::Set && self.version.is_none()
    }
}

impl fmt::Debug for Update<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Update {{ mode: {:?}, key: {:?}, value: {} bytes }}", self.mode, self.key, self.value.len())
    }
}

/// The direction in which a number changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Up, wrapping at 2⁶⁴.
    Up,
    /// Down, stopping at zero.
    Down,
}
