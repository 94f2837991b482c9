//! The commands on a connection that holds a lock: the lock commands of this project's servers, and the meta commands
//! in between. The meta commands have the flag `H`: the server executes them only while this connection holds the lock.

use std::io::Write;

use sharedance_core::Version;

use crate::reply::Reply;

use super::{Command, Delete, Mode, Store, Tag, Touch, Unexpected, put, put_head, version};

/// The flags of a write under a lock, besides those of its mode: the response contains the version, and the write
/// requires the lock.
pub(crate) const GUARDED_STORE_FLAGS: &str = " c H";

/// A command on a connection that holds, or requests, a key's lock.
#[derive(Clone, Copy)]
pub(crate) enum Guarded<'a> {
    Lock {
        key: &'a [u8],
        wait_ms: u64,
        ttl_secs: u64,
    },
    /// Reads the value and its version.
    Get {
        key: &'a [u8],
    },
    /// With the mode `Set`, `Add` or `IfVersion`.
    Store(Store<'a>),
    Touch(Touch<'a>),
    Delete(Delete<'a>),
    Unlock {
        key: &'a [u8],
    },
    /// Releases all locks of the connection. The response repeats the tag.
    UnlockAll,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum GuardedOutput {
    /// Whether the lock is held, or was held until its release.
    Held(bool),
    /// The value and its version, or `None` if there is no value.
    Value(Option<(Vec<u8>, Version)>),
    /// The value is stored, with this version.
    Stored(Version),
    /// Whether there was a value to touch or to delete.
    Was(bool),
    /// Nothing was changed: the lock is not held, or, for a store with a version, the value has another version.
    Refused,
    /// Nothing was stored: there is a value where none was expected, or none where one was.
    Changed,
}

impl Command for Guarded<'_> {
    type Output = GuardedOutput;

    fn key(&self) -> &[u8] {
        match self {
            Guarded::Lock { key, .. } | Guarded::Unlock { key } | Guarded::Get { key } => key,
            Guarded::Store(store) => store.key,
            Guarded::Touch(touch) => touch.key,
            Guarded::Delete(delete) => delete.key,
            Guarded::UnlockAll => &[],
        }
    }

    /// A lock ends with its connection, so it can be requested on another one. Commands under the lock cannot be
    /// repeated.
    fn is_repeatable(&self) -> bool {
        matches!(self, Guarded::Lock { .. } | Guarded::Get { .. })
    }

    fn is_tagged(&self) -> bool {
        !matches!(self, Guarded::Lock { .. } | Guarded::Unlock { .. } | Guarded::UnlockAll)
    }

    fn holds_lock_after(&self, held: bool) -> bool {
        match self {
            Guarded::Lock { .. } => true,
            Guarded::Unlock { .. } | Guarded::UnlockAll => false,
            _ => held,
        }
    }

    fn encode(&self, tag: Tag, out: &mut Vec<u8>) {
        match self {
            Guarded::Lock { key, wait_ms, ttl_secs } => {
                put_head(out, "lock", key);
                put!(out, " {wait_ms} {ttl_secs}\r\n");
            }
            Guarded::Get { key } => {
                put_head(out, "mg", key);
                put!(out, " c v H O{tag}\r\n");
            }
            Guarded::Store(store) => store.encode_with(GUARDED_STORE_FLAGS, tag, out),
            Guarded::Touch(touch) => {
                put_head(out, "mg", touch.key);
                put!(out, " T{} H O{tag}\r\n", touch.exptime);
            }
            Guarded::Delete(delete) => {
                put_head(out, "md", delete.key);
                put!(out, " H O{tag}\r\n");
            }
            Guarded::Unlock { key } => {
                put_head(out, "unlock", key);
                out.extend_from_slice(b"\r\n");
            }
            Guarded::UnlockAll => {
                put!(out, "unlock_all {tag}\r\n");
            }
        }
    }

    fn decode(&self, reply: Reply<'_>) -> Result<GuardedOutput, Unexpected> {
        Ok(match (self, reply) {
            (Guarded::Lock { .. }, Reply::Locked) | (Guarded::Unlock { .. }, Reply::Unlocked) => {
                GuardedOutput::Held(true)
            }
            (Guarded::Lock { .. }, Reply::LockTimedOut) | (Guarded::Unlock { .. }, Reply::NotHeld) => {
                GuardedOutput::Held(false)
            }
            (Guarded::Get { .. }, Reply::Value { value, flags }) => {
                let version = version(flags).ok_or(Unexpected)?;
                GuardedOutput::Value(Some((value.to_vec(), version)))
            }
            (Guarded::Get { .. }, Reply::Missing(_)) => GuardedOutput::Value(None),
            (Guarded::Store(_), Reply::Done(flags)) => GuardedOutput::Stored(version(flags).ok_or(Unexpected)?),
            (Guarded::Store(Store { mode: Mode::Add, .. }), Reply::NotStored(_))
            | (Guarded::Store(Store { mode: Mode::IfVersion(_), .. }), Reply::Missing(_)) => GuardedOutput::Changed,
            (Guarded::Touch(_) | Guarded::Delete(_), Reply::Done(_)) => GuardedOutput::Was(true),
            (Guarded::Touch(_) | Guarded::Delete(_), Reply::Missing(_)) => GuardedOutput::Was(false),
            (Guarded::Get { .. } | Guarded::Store(_) | Guarded::Touch(_) | Guarded::Delete(_), Reply::Exists(_)) => {
                GuardedOutput::Refused
            }
            _ => return Err(Unexpected),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{answered, written};
    use super::*;

    fn store(mode: Mode) -> Guarded<'static> {
        Guarded::Store(Store { mode, key: b"k", value: b"v", exptime: 60, client_flags: 0 })
    }

    #[test]
    fn encoded_commands() {
        let key = b"k";
        for (command, expected) in [
            (Guarded::Lock { key, wait_ms: 250, ttl_secs: 30 }, "lock k 250 30\r\n"),
            (Guarded::Get { key }, "mg k c v H O7\r\n"),
            (Guarded::Touch(Touch { key, exptime: 0 }), "mg k T0 H O7\r\n"),
            (Guarded::Delete(Delete { key }), "md k H O7\r\n"),
            (store(Mode::Set), "ms k 1 O7 c H T60\r\nv\r\n"),
            (store(Mode::Add), "ms k 1 O7 c H T60 ME\r\nv\r\n"),
            (store(Mode::IfVersion(Version::new(9).unwrap())), "ms k 1 O7 c H T60 C9\r\nv\r\n"),
            (Guarded::Unlock { key }, "unlock k\r\n"),
            (Guarded::UnlockAll, "unlock_all 7\r\n"),
        ] {
            assert_eq!(written(&command), expected);
        }
    }

    #[test]
    fn responses_to_lock_commands() {
        let lock = Guarded::Lock { key: b"k", wait_ms: 0, ttl_secs: 1 };
        let unlock = Guarded::Unlock { key: b"k" };
        assert_eq!(answered(&lock, b"LOCKED\r\n"), Ok(GuardedOutput::Held(true)));
        assert_eq!(answered(&lock, b"TIMEOUT\r\n"), Ok(GuardedOutput::Held(false)));
        assert_eq!(answered(&lock, b"UNLOCKED\r\n"), Err(Unexpected));
        assert_eq!(answered(&unlock, b"UNLOCKED\r\n"), Ok(GuardedOutput::Held(true)));
        assert_eq!(answered(&unlock, b"NOT_FOUND\r\n"), Ok(GuardedOutput::Held(false)));
        assert_eq!(answered(&unlock, b"HD\r\n"), Err(Unexpected));
        assert_eq!(answered(&unlock, b"UNLOCKED 1 7\r\n"), Err(Unexpected));
    }

    #[test]
    fn responses_to_commands_under_a_lock() {
        let (get, delete) = (Guarded::Get { key: b"k" }, Guarded::Delete(Delete { key: b"k" }));
        let value = Some((b"v".to_vec(), Version::new(3).unwrap()));
        assert_eq!(answered(&get, b"VA 1 c3 O7\r\nv\r\n"), Ok(GuardedOutput::Value(value)));
        assert_eq!(answered(&get, b"VA 1 O7\r\nv\r\n"), Err(Unexpected));
        assert_eq!(answered(&get, b"EN O7\r\n"), Ok(GuardedOutput::Value(None)));
        assert_eq!(answered(&delete, b"NF O7\r\n"), Ok(GuardedOutput::Was(false)));
        let modes = [Mode::Set, Mode::Add, Mode::IfVersion(Version::new(3).unwrap())];
        for command in [get, delete].into_iter().chain(modes.map(store)) {
            assert_eq!(answered(&command, b"EX c0 O7\r\n"), Ok(GuardedOutput::Refused));
        }
        for mode in modes {
            assert_eq!(answered(&store(mode), b"HD c4 O7\r\n"), Ok(GuardedOutput::Stored(Version::new(4).unwrap())));
            assert_eq!(answered(&store(mode), b"HD O7\r\n"), Err(Unexpected));
        }
        assert_eq!(answered(&store(Mode::Add), b"NS c0 O7\r\n"), Ok(GuardedOutput::Changed));
        assert_eq!(answered(&store(modes[2]), b"NF c0 O7\r\n"), Ok(GuardedOutput::Changed));
        assert_eq!(answered(&store(Mode::Set), b"NF c0 O7\r\n"), Err(Unexpected));
    }
}
