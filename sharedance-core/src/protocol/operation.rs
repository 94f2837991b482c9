//! What a request does, so that a server can decide whether a client may do it.
//!
//! Each type of request has a method `operation`. Its match is exhaustive: a request that is added without its operation does
//! not compile.

use super::memcached::{Key, binary, meta, text};
use super::{Request, memcached};

/// What a request does, with the key that it concerns. A retrieval of several keys is one request for each key.
///
/// ```
/// # use sharedance_core::protocol::memcached::text;
/// # use sharedance_core::protocol::{Decoded, Limits, Operation};
/// let mut decoder = text::Decoder::new();
/// let decoded = decoder.decode(b"touch session-17 60\r\n", &Limits::default())?;
/// let Decoded::Complete { message, .. } = decoded else { panic!("it is complete") };
/// assert!(matches!(message.operation(), Operation::Write(key) if key.encoded() == b"session-17"));
/// # Ok::<(), sharedance_core::protocol::DecodeError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation<'a> {
    /// Concerns the connection alone: the request reads and changes no pair and no lock of another connection.
    Connection,
    /// Sends credentials.
    Authenticate,
    /// Reads a pair. The time of its last access may change, nothing else.
    Read(Key<'a>),
    /// May create, change or delete a pair, its expiration time or its marks.
    Write(Key<'a>),
    /// Requests or releases the lock of a key.
    Lock(Key<'a>),
    /// Deletes all pairs.
    Clear,
    /// Reports, or resets, statistics.
    Report,
}

impl<'a> Request<'a> {
    /// What the request does.
    pub fn operation(&self) -> Operation<'a> {
        match *self {
            Request::Store { key, .. } | Request::Delete { key } => Operation::Write(Key::plain(key)),
            Request::Fetch { key } => Operation::Read(Key::plain(key)),
        }
    }
}

impl<'a> text::Request<'a> {
    /// What the request does.
    #[inline]
    pub fn operation(&self) -> Operation<'a> {
        use text::Request;
        match *self {
            Request::Get(get) => match get.touch {
                None => Operation::Read(Key::plain(get.key)),
                Some(_) => Operation::Write(Key::plain(get.key)),
            },
            Request::Update { update: memcached::Update { key, .. }, .. }
            | Request::TooLarge { key, .. }
            | Request::Delete { key, .. }
            | Request::Count { key, .. }
            | Request::Touch { key, .. } => Operation::Write(key),
            Request::Lock { key, .. } | Request::Unlock { key } => Operation::Lock(Key::plain(key)),
            Request::FlushAll { .. } => Operation::Clear,
            Request::Stats { .. } => Operation::Report,
            Request::Meta(request) => request.operation(),
            Request::Discarded
            | Request::EndOfGet
            | Request::Version
            // It has no effect.
            | Request::Verbosity { .. }
            | Request::Quit
            // The locks of the connection itself.
            | Request::UnlockAll { .. }
            | Request::Refused(_)
            | Request::Fatal(_) => Operation::Connection,
        }
    }

    /// Whether the client has asked for no response, not even to an error.
    pub fn noreply(&self) -> bool {
        use text::Request;
        match *self {
            Request::Update { noreply, .. }
            | Request::TooLarge { noreply, .. }
            | Request::Delete { noreply, .. }
            | Request::Count { noreply, .. }
            | Request::Touch { noreply, .. }
            | Request::FlushAll { noreply, .. }
            | Request::Verbosity { noreply } => noreply,
            Request::Discarded => true,
            Request::Get(_)
            | Request::EndOfGet
            | Request::Stats { .. }
            | Request::Version
            | Request::Quit
            | Request::Lock { .. }
            | Request::Unlock { .. }
            | Request::UnlockAll { .. }
            | Request::Meta(_)
            | Request::Refused(_)
            | Request::Fatal(_) => false,
        }
    }
}

impl<'a> meta::Request<'a> {
    /// What the request does. A retrieval that may choose this client to compute the value again is a write: no other client
    /// is chosen then. Without the flags `T`, `N` and `R` that happens only to values which are marked as stale, and a
    /// server can execute such a retrieval without choosing the client.
    pub fn operation(&self) -> Operation<'a> {
        use meta::Request;
        match *self {
            Request::Get(meta::Get { key, touch: None, create: None, refresh_below: None, .. })
            | Request::Debug { key } => Operation::Read(key),
            Request::Get(meta::Get { key, .. })
            | Request::Set(meta::Set { update: memcached::Update { key, .. }, .. })
            | Request::Delete(meta::Delete { key, .. })
            | Request::Count(meta::Count { key, .. }) => Operation::Write(key),
            Request::Noop => Operation::Connection,
        }
    }
}

impl<'a> binary::Command<'a> {
    /// What the command does.
    pub fn operation(&self) -> Operation<'a> {
        use binary::Command;
        match *self {
            Command::Get { key, touch: None, .. } => Operation::Read(Key::plain(key)),
            Command::Get { key, .. } | Command::Delete { key, .. } | Command::Count { key, .. } => {
                Operation::Write(Key::plain(key))
            }
            Command::Update(memcached::Update { key, .. }) | Command::TooLarge { key, .. } => Operation::Write(key),
            Command::FlushAll { .. } => Operation::Clear,
            Command::Stats { .. } => Operation::Report,
            Command::SaslMechanisms | Command::SaslAuthenticate { .. } => Operation::Authenticate,
            Command::Discarded
            | Command::Noop
            | Command::Version
            | Command::Quit
            | Command::Unknown
            | Command::Invalid(_) => Operation::Connection,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Decoded, Limits};

    fn words(operation: Operation<'_>) -> String {
        let key = |key: Key<'_>| String::from_utf8_lossy(key.bytes(&mut memcached::KeyBuffer::default())).into_owned();
        match operation {
            Operation::Read(of) => format!("read {}", key(of)),
            Operation::Write(of) => format!("write {}", key(of)),
            Operation::Lock(of) => format!("lock {}", key(of)),
            operation => format!("{operation:?}").to_lowercase(),
        }
    }

    fn of(line: &str) -> String {
        let mut decoder = text::Decoder::new();
        match decoder.decode(format!("{line}\r\n").as_bytes(), &Limits::default()).unwrap() {
            Decoded::Complete { message, .. } => words(message.operation()),
            Decoded::Incomplete { .. } => panic!("{line:?} is not complete"),
        }
    }

    #[test]
    fn a_request_that_may_change_a_pair_is_a_write() {
        for line in [
            "set k 0 0 1\r\nv",
            "add k 0 0 1\r\nv",
            "replace k 0 0 1\r\nv",
            "append k 0 0 1\r\nv",
            "prepend k 0 0 1\r\nv",
            "cas k 0 0 1 1\r\nv",
            "set k 0 0 999999999",
            "delete k",
            "incr k 1",
            "decr k 1",
            "touch k 0",
            "gat 0 k",
            "gats 0 k",
            "ms k 1\r\nv",
            "ms aw== 1 b\r\nv",
            "md k",
            "md k I",
            "md k x",
            "ma k",
            "mg k T0",
            "mg k N0",
            "mg k R0",
            "mg aw== b v T5",
        ] {
            assert_eq!(of(line), "write k", "{line}");
        }
        for line in ["get k", "gets k", "mg k", "mg k v C1 E2", "mg aw== b v", "me k", "me aw== b"] {
            assert_eq!(of(line), "read k", "{line}");
        }
        for line in ["lock k 0 1", "unlock k"] {
            assert_eq!(of(line), "lock k", "{line}");
        }
        for (lines, operation) in [
            (&["version", "verbosity 1", "quit", "unlock_all", "mn", "unknown", "incr k x"][..], "connection"),
            (&["flush_all", "flush_all 5 noreply"][..], "clear"),
            (&["stats", "stats reset", "stats settings"][..], "report"),
        ] {
            assert!(lines.iter().all(|line| of(line) == operation), "{operation}");
        }
    }
}
