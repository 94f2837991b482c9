//! The requests of the memcached dialect as values: encodes each, and decodes the meaning of its response. No I/O.
//!
//! Meta commands have a tag that the response repeats, so that a response is never assigned to another request. Keys
//! are checked before a command is created.

mod guarded;
mod recache;
mod server;

use std::io::Write;
use std::time::Duration;

use sharedance_core::{Version, WriteResult};

use crate::entry::Entry;
use crate::reply::{Flags, Reply, decimal};

pub(crate) use guarded::{GUARDED_STORE_FLAGS, Guarded, GuardedOutput};
pub(crate) use recache::{Invalidate, Look, Seen};
pub(crate) use server::{FLUSH, PING, STATISTICS, ServerCommand, VERSION};

/// A number in a request that its response repeats.
pub(crate) type Tag = u32;

const END_OF_LINE: &[u8] = b"\r\n";

/// More bytes than a [`Store`] has besides its value: a key of up to 250 bytes, four numbers of up to 20 digits, flags.
const MAX_STORE_OVERHEAD_LEN: usize = 512;

/// The response does not belong to this request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unexpected;

pub(crate) trait Command: Copy {
    type Output;

    /// Whether the response may have any length, and the command changes nothing.
    const IS_READ: bool = false;

    /// Whether it is safe to repeat the command after a connection has ended without a response, even if other clients
    /// have made changes in between.
    fn is_repeatable(&self) -> bool {
        Self::IS_READ
    }

    fn key(&self) -> &[u8];

    /// Whether the response repeats the tag.
    fn is_tagged(&self) -> bool {
        true
    }

    /// Whether the connection may hold a lock after this command; `held` states whether it may before.
    fn holds_lock_after(&self, held: bool) -> bool {
        held
    }

    fn encode(&self, tag: Tag, out: &mut Vec<u8>);

    /// The meaning of a response that is not a rejection.
    fn decode(&self, reply: Reply<'_>) -> Result<Self::Output, Unexpected>;
}

/// Writing to a vector does not fail.
macro_rules! put {
    ($out:expr, $($format:tt)*) => {
        let _ = write!($out, $($format)*);
    };
}

pub(crate) use put;

pub(crate) fn put_head(out: &mut Vec<u8>, code: &str, key: &[u8]) {
    out.extend_from_slice(code.as_bytes());
    out.push(b' ');
    out.extend_from_slice(key);
}

/// Reads a value, and sets its deadline if one is given.
#[derive(Clone, Copy)]
pub(crate) struct Get<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) exptime: Option<i64>,
}

impl Command for Get<'_> {
    type Output = Option<Vec<u8>>;
    const IS_READ: bool = true;

    fn key(&self) -> &[u8] {
        self.key
    }

    fn encode(&self, tag: Tag, out: &mut Vec<u8>) {
        put_head(out, "mg", self.key);
        if let Some(exptime) = self.exptime {
            put!(out, " T{exptime}");
        }
        put!(out, " v O{tag}\r\n");
    }

    fn decode(&self, reply: Reply<'_>) -> Result<Self::Output, Unexpected> {
        match reply {
            Reply::Value { value, .. } => Ok(Some(value.to_vec())),
            Reply::Missing(_) => Ok(None),
            _ => Err(Unexpected),
        }
    }
}

/// Reads a value and its metadata.
#[derive(Clone, Copy)]
pub(crate) struct GetEntry<'a> {
    pub(crate) key: &'a [u8],
}

impl Command for GetEntry<'_> {
    type Output = Option<Entry>;
    const IS_READ: bool = true;

    fn key(&self) -> &[u8] {
        self.key
    }

    fn encode(&self, tag: Tag, out: &mut Vec<u8>) {
        put_head(out, "mg", self.key);
        put!(out, " f c t v O{tag}\r\n");
    }

    fn decode(&self, reply: Reply<'_>) -> Result<Self::Output, Unexpected> {
        match reply {
            Reply::Value { value, flags } => entry(value, flags).map(Some).ok_or(Unexpected),
            Reply::Missing(_) => Ok(None),
            _ => Err(Unexpected),
        }
    }
}

fn entry(value: &[u8], flags: Flags<'_>) -> Option<Entry> {
    let expires_in = match flags.token(b't')? {
        b"-1" => None,
        secs => Some(Duration::from_secs(decimal(secs)?)),
    };
    let client_flags = flags.number(b'f')?.try_into().ok()?;
    Some(Entry { value: value.to_vec(), version: version(flags)?, expires_in, client_flags })
}

pub(crate) fn version(flags: Flags<'_>) -> Option<Version> {
    Version::new(flags.number(b'c')?)
}

/// Whether the command found a value.
fn existed(reply: Reply<'_>) -> Result<bool, Unexpected> {
    match reply {
        Reply::Done(_) => Ok(true),
        Reply::Missing(_) => Ok(false),
        _ => Err(Unexpected),
    }
}

/// Sets a deadline. The output is whether there was a value.
#[derive(Clone, Copy)]
pub(crate) struct Touch<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) exptime: i64,
}

impl Command for Touch<'_> {
    type Output = bool;

    fn key(&self) -> &[u8] {
        self.key
    }

    fn encode(&self, tag: Tag, out: &mut Vec<u8>) {
        put_head(out, "mg", self.key);
        put!(out, " T{} O{tag}\r\n", self.exptime);
    }

    fn decode(&self, reply: Reply<'_>) -> Result<bool, Unexpected> {
        existed(reply)
    }
}

/// The condition and the kind of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Set,
    Add,
    Replace,
    Append,
    Prepend,
    IfVersion(Version),
}

/// The flags of a [`Set`], besides those of its mode.
pub(crate) const SET_FLAGS: &str = "";

/// The flags of a [`Store`], besides those of its mode: it returns the version.
pub(crate) const STORE_FLAGS: &str = " c";

/// A conditional write. Its response has the version.
#[derive(Clone, Copy)]
pub(crate) struct Store<'a> {
    pub(crate) mode: Mode,
    pub(crate) key: &'a [u8],
    pub(crate) value: &'a [u8],
    /// Not sent with `Append` and `Prepend`, which keep the deadline and the client flags.
    pub(crate) exptime: i64,
    pub(crate) client_flags: u32,
}

impl Command for Store<'_> {
    type Output = WriteResult;

    fn key(&self) -> &[u8] {
        self.key
    }

    fn encode(&self, tag: Tag, out: &mut Vec<u8>) {
        self.encode_with(STORE_FLAGS, tag, out);
    }

    fn decode(&self, reply: Reply<'_>) -> Result<WriteResult, Unexpected> {
        match (self.mode, reply) {
            (_, Reply::Done(flags)) => version(flags).map(WriteResult::Stored).ok_or(Unexpected),
            (Mode::Add, Reply::NotStored(_)) | (Mode::IfVersion(_), Reply::Exists(_)) => Ok(WriteResult::Conflict),
            (Mode::Replace | Mode::Append | Mode::Prepend, Reply::NotStored(_))
            | (Mode::IfVersion(_), Reply::Missing(_)) => Ok(WriteResult::NotFound),
            _ => Err(Unexpected),
        }
    }
}

impl Store<'_> {
    /// The length of the request in bytes, if that is more than `max`. It is computed as in servers of this project:
    /// the line, the value and both line ends, with the longest tag that the request may get. `flags` are those of
    /// [`Store::encode_with`].
    pub(crate) fn exceeds(&self, flags: &str, max: usize) -> Option<u64> {
        // Almost every value is so small that the rest cannot exceed the limit.
        if self.value.len().saturating_add(MAX_STORE_OVERHEAD_LEN) <= max {
            return None;
        }
        let mut line = Vec::with_capacity(MAX_STORE_OVERHEAD_LEN);
        self.encode_line(flags, Tag::MAX, &mut line);
        let len = (line.len() + END_OF_LINE.len()) as u64 + self.value.len() as u64;
        (len > max as u64).then_some(len)
    }

    /// With more flags, each with a space before it.
    fn encode_with(&self, flags: &str, tag: Tag, out: &mut Vec<u8>) {
        out.reserve(self.key.len() + self.value.len() + 64);
        self.encode_line(flags, tag, out);
        out.extend_from_slice(self.value);
        out.extend_from_slice(END_OF_LINE);
    }

    fn encode_line(&self, flags: &str, tag: Tag, out: &mut Vec<u8>) {
        put_head(out, "ms", self.key);
        put!(out, " {} O{tag}{flags}", self.value.len());
        if !matches!(self.mode, Mode::Append | Mode::Prepend) {
            put!(out, " T{}", self.exptime);
            if self.client_flags != 0 {
                put!(out, " F{}", self.client_flags);
            }
        }
        match self.mode {
            Mode::Set => {}
            Mode::Add => out.extend_from_slice(b" ME"),
            Mode::Replace => out.extend_from_slice(b" MR"),
            Mode::Append => out.extend_from_slice(b" MA"),
            Mode::Prepend => out.extend_from_slice(b" MP"),
            Mode::IfVersion(version) => {
                put!(out, " C{}", version.get());
            }
        }
        out.extend_from_slice(END_OF_LINE);
    }
}

/// A write without a condition, with the mode `Set`.
#[derive(Clone, Copy)]
pub(crate) struct Set<'a>(pub(crate) Store<'a>);

impl Command for Set<'_> {
    type Output = ();

    fn key(&self) -> &[u8] {
        self.0.key
    }

    fn encode(&self, tag: Tag, out: &mut Vec<u8>) {
        self.0.encode_with(SET_FLAGS, tag, out);
    }

    fn decode(&self, reply: Reply<'_>) -> Result<(), Unexpected> {
        match reply {
            Reply::Done(_) => Ok(()),
            _ => Err(Unexpected),
        }
    }
}

/// Deletes a value. The output is whether there was one.
#[derive(Clone, Copy)]
pub(crate) struct Delete<'a> {
    pub(crate) key: &'a [u8],
}

impl Command for Delete<'_> {
    type Output = bool;

    fn key(&self) -> &[u8] {
        self.key
    }

    fn encode(&self, tag: Tag, out: &mut Vec<u8>) {
        put_head(out, "md", self.key);
        put!(out, " O{tag}\r\n");
    }

    fn decode(&self, reply: Reply<'_>) -> Result<bool, Unexpected> {
        existed(reply)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Up,
    Down,
}

/// Increments or decrements a decimal number. The output is the new number.
#[derive(Clone, Copy)]
pub(crate) struct Count<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) direction: Direction,
    pub(crate) by: u64,
}

impl Command for Count<'_> {
    type Output = Option<u64>;

    fn key(&self) -> &[u8] {
        self.key
    }

    fn encode(&self, tag: Tag, out: &mut Vec<u8>) {
        put_head(out, "ma", self.key);
        let mode = match self.direction {
            Direction::Up => "I",
            Direction::Down => "D",
        };
        put!(out, " M{mode} D{} v O{tag}\r\n", self.by);
    }

    fn decode(&self, reply: Reply<'_>) -> Result<Self::Output, Unexpected> {
        match reply {
            // A number that has become shorter may be padded with spaces.
            Reply::Value { value, .. } => decimal(value.trim_ascii_end()).map(Some).ok_or(Unexpected),
            Reply::Missing(_) => Ok(None),
            _ => Err(Unexpected),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::reply;
    use sharedance_core::protocol::Decoded;

    const NINE: Version = Version::new(9).unwrap();

    pub(crate) fn written(command: &impl Command) -> String {
        let mut out = Vec::new();
        command.encode(7, &mut out);
        String::from_utf8(out).unwrap()
    }

    pub(crate) fn answered<C: Command>(command: &C, bytes: &[u8]) -> Result<C::Output, Unexpected> {
        let Ok(Decoded::Complete { message, .. }) = reply::decode(bytes, 1000) else {
            panic!("incomplete response");
        };
        command.decode(message)
    }

    #[test]
    fn encoded_commands() {
        let key = b"k";
        let store = |mode| written(&Store { mode, key, value: b"a\r\n", exptime: 60, client_flags: 0 });
        let set = |client_flags| written(&Set(Store { mode: Mode::Set, key, value: b"v", exptime: 60, client_flags }));
        let count = |direction| written(&Count { key, direction, by: u64::MAX });
        for (found, expected) in [
            (written(&Get { key, exptime: None }), "mg k v O7\r\n"),
            (written(&Get { key, exptime: Some(-1) }), "mg k T-1 v O7\r\n"),
            (written(&GetEntry { key }), "mg k f c t v O7\r\n"),
            (written(&Touch { key, exptime: 0 }), "mg k T0 O7\r\n"),
            (set(0), "ms k 1 O7 T60\r\nv\r\n"),
            (set(u32::MAX), "ms k 1 O7 T60 F4294967295\r\nv\r\n"),
            (store(Mode::Set), "ms k 3 O7 c T60\r\na\r\n\r\n"),
            (store(Mode::Add), "ms k 3 O7 c T60 ME\r\na\r\n\r\n"),
            (store(Mode::Replace), "ms k 3 O7 c T60 MR\r\na\r\n\r\n"),
            (store(Mode::Append), "ms k 3 O7 c MA\r\na\r\n\r\n"),
            (store(Mode::Prepend), "ms k 3 O7 c MP\r\na\r\n\r\n"),
            (store(Mode::IfVersion(NINE)), "ms k 3 O7 c T60 C9\r\na\r\n\r\n"),
            (written(&Delete { key }), "md k O7\r\n"),
            (count(Direction::Up), "ma k MI D18446744073709551615 v O7\r\n"),
            (count(Direction::Down), "ma k MD D18446744073709551615 v O7\r\n"),
        ] {
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn only_responses_to_a_store_are_accepted_for_a_store() {
        let store = |mode, bytes| answered(&Store { mode, key: b"k", value: b"", exptime: 0, client_flags: 0 }, bytes);
        for mode in [Mode::Set, Mode::Add, Mode::Replace, Mode::Append, Mode::Prepend, Mode::IfVersion(NINE)] {
            assert_eq!(store(mode, b"HD c9 O7\r\n"), Ok(WriteResult::Stored(NINE)));
            assert_eq!(store(mode, b"HD c0 O7\r\n"), Err(Unexpected));
            assert_eq!(store(mode, b"HD O7\r\n"), Err(Unexpected));
            assert_eq!(store(mode, b"VA 1 O7\r\nx\r\n"), Err(Unexpected));
        }
        assert_eq!(store(Mode::Set, b"NS\r\n"), Err(Unexpected));
        assert_eq!(store(Mode::Add, b"NS\r\n"), Ok(WriteResult::Conflict));
        assert_eq!(store(Mode::Replace, b"NS\r\n"), Ok(WriteResult::NotFound));
        assert_eq!(store(Mode::Append, b"NF\r\n"), Err(Unexpected));
        assert_eq!(store(Mode::IfVersion(NINE), b"EX\r\n"), Ok(WriteResult::Conflict));
        assert_eq!(store(Mode::IfVersion(NINE), b"NF\r\n"), Ok(WriteResult::NotFound));

        let set = Set(Store { mode: Mode::Set, key: b"k", value: b"", exptime: 0, client_flags: 0 });
        assert_eq!(answered(&set, b"HD O7\r\n"), Ok(()));
        assert_eq!(answered(&set, b"NS O7\r\n"), Err(Unexpected));
    }

    #[test]
    fn an_entry_requires_all_fields() {
        let get = GetEntry { key: b"k" };
        let entry = answered(&get, b"VA 3 f4294967295 c12 t59 O7\r\nabc\r\n").unwrap().unwrap();
        assert_eq!(
            (&entry.value[..], entry.version, entry.client_flags),
            (&b"abc"[..], Version::new(12).unwrap(), u32::MAX)
        );
        assert_eq!(entry.expires_in, Some(Duration::from_secs(59)));
        let forever = answered(&get, b"VA 0 f0 c1 t-1 O7\r\n\r\n").unwrap().unwrap();
        assert_eq!(forever.expires_in, None);
        for bytes in [&b"VA 0 f0 c1\r\n\r\n"[..], b"VA 0 f4294967296 c1 t1\r\n\r\n", b"VA 0 f0 t1\r\n\r\n", b"HD\r\n"] {
            assert_eq!(answered(&get, bytes), Err(Unexpected));
        }
    }

    #[test]
    fn a_number_may_be_padded_with_spaces() {
        let count = Count { key: b"k", direction: Direction::Down, by: 1 };
        assert_eq!(answered(&count, b"VA 2\r\n9 \r\n"), Ok(Some(9)));
        assert_eq!(answered(&count, b"VA 2\r\n 9\r\n"), Err(Unexpected));
        assert_eq!(answered(&count, b"NF\r\n"), Ok(None));
    }
}
