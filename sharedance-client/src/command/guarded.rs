//! The commands on a connection that holds a lock: the two verbs of this project's servers, and what is done in between.

use std::io::Write;

use crate::entry::Swap;
use crate::reply::Reply;

use super::{Command, Delete, Get, Store, Tag, Touch, Unexpected, put, put_head};

/// What is said on a connection that holds, or is to hold, a key's lock.
#[derive(Clone, Copy)]
pub(crate) enum Guarded<'a> {
    Lock { key: &'a [u8], wait_ms: u64, ttl_secs: u64 },
    Get(Get<'a>),
    Store(Store<'a>),
    Touch(Touch<'a>),
    Delete(Delete<'a>),
    Unlock { key: &'a [u8] },
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum GuardedOutput {
    /// Whether the lock is held, or was until now; whether there was something to touch or to delete.
    Was(bool),
    Value(Option<Vec<u8>>),
    Stored(Swap),
}

impl Command for Guarded<'_> {
    type Output = GuardedOutput;

    fn key(&self) -> &[u8] {
        match self {
            Guarded::Lock { key, .. } | Guarded::Unlock { key } => key,
            Guarded::Get(get) => get.key,
            Guarded::Store(store) => store.key,
            Guarded::Touch(touch) => touch.key,
            Guarded::Delete(delete) => delete.key,
        }
    }

    /// A lock ends with its connection, so it can be asked for on another one; what is done under it cannot.
    fn is_repeatable(&self) -> bool {
        matches!(self, Guarded::Lock { .. } | Guarded::Get(_))
    }

    fn is_tagged(&self) -> bool {
        !matches!(self, Guarded::Lock { .. } | Guarded::Unlock { .. })
    }

    fn encode(&self, tag: Tag, out: &mut Vec<u8>) {
        match self {
            Guarded::Lock { key, wait_ms, ttl_secs } => {
                put_head(out, "lock", key);
                put!(out, " {wait_ms} {ttl_secs}\r\n");
            }
            Guarded::Get(get) => get.encode(tag, out),
            Guarded::Store(store) => store.encode(tag, out),
            Guarded::Touch(touch) => touch.encode(tag, out),
            Guarded::Delete(delete) => delete.encode(tag, out),
            Guarded::Unlock { key } => {
                put_head(out, "unlock", key);
                out.extend_from_slice(b"\r\n");
            }
        }
    }

    fn decode(&self, reply: Reply<'_>) -> Result<GuardedOutput, Unexpected> {
        match (self, reply) {
            (Guarded::Lock { .. }, Reply::Locked) | (Guarded::Unlock { .. }, Reply::Unlocked) => {
                Ok(GuardedOutput::Was(true))
            }
            (Guarded::Lock { .. }, Reply::LockTimedOut) | (Guarded::Unlock { .. }, Reply::NotHeld) => {
                Ok(GuardedOutput::Was(false))
            }
            (Guarded::Get(get), reply) => get.decode(reply).map(GuardedOutput::Value),
            (Guarded::Store(store), reply) => store.decode(reply).map(GuardedOutput::Stored),
            (Guarded::Touch(touch), reply) => touch.decode(reply).map(GuardedOutput::Was),
            (Guarded::Delete(delete), reply) => delete.decode(reply).map(GuardedOutput::Was),
            _ => Err(Unexpected),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{answered, written};
    use super::*;

    #[test]
    fn commands_as_they_are_written() {
        let key = b"k";
        for (command, expected) in [
            (Guarded::Lock { key, wait_ms: 250, ttl_secs: 30 }, "lock k 250 30\r\n"),
            (Guarded::Get(Get { key, exptime: None }), "mg k v O7\r\n"),
            (Guarded::Touch(Touch { key, exptime: 0 }), "mg k T0 O7\r\n"),
            (Guarded::Delete(Delete { key }), "md k O7\r\n"),
            (Guarded::Unlock { key }, "unlock k\r\n"),
        ] {
            assert_eq!(written(&command), expected);
        }
    }

    #[test]
    fn what_is_answered_to_locks() {
        let lock = Guarded::Lock { key: b"k", wait_ms: 0, ttl_secs: 1 };
        let unlock = Guarded::Unlock { key: b"k" };
        assert_eq!(answered(&lock, b"LOCKED\r\n"), Ok(GuardedOutput::Was(true)));
        assert_eq!(answered(&lock, b"TIMEOUT\r\n"), Ok(GuardedOutput::Was(false)));
        assert_eq!(answered(&lock, b"UNLOCKED\r\n"), Err(Unexpected));
        assert_eq!(answered(&unlock, b"UNLOCKED\r\n"), Ok(GuardedOutput::Was(true)));
        assert_eq!(answered(&unlock, b"NOT_FOUND\r\n"), Ok(GuardedOutput::Was(false)));
        assert_eq!(answered(&unlock, b"HD\r\n"), Err(Unexpected));
    }
}
